//! Traces that a user brings, in the formats that [`trace`](crate::trace) reads: `FORMAT:PATH`.

use super::{Jobs, Load, NoCases, Recipe};
use crate::topology::{EIGHT, Place, THREE};
use crate::trace;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

/// The format of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// [`trace::azure`].
    Azure,
    /// [`trace::mooncake`].
    Mooncake,
    /// [`trace::servegen`], a day in the length of a case.
    ServeGen,
    /// [`trace::day`], with the requests of Azure's conversations.
    Day,
}

/// A trace by its format and file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// How it is written.
    pub format: Format,
    /// Where it is.
    pub path: PathBuf,
}

impl FromStr for Given {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let of = |name: &str| {
            Some(match name {
                "azure" => Format::Azure,
                "mooncake" => Format::Mooncake,
                "servegen" => Format::ServeGen,
                "day" => Format::Day,
                _ => return None,
            })
        };
        let parts = text.split_once(':');
        let parts = parts.and_then(|(name, path)| Some((of(name)?, path)));
        let Some((format, path)) = parts.filter(|(_, path)| !path.is_empty()) else {
            return Err("expected azure:PATH, mooncake:PATH, servegen:PATH or day:PATH".to_owned());
        };
        Ok(Self {
            format,
            path: path.into(),
        })
    }
}

impl Given {
    /// Its cases, on three and on eight regions; `text` is what the file holds.
    ///
    /// # Errors
    /// A text that is not of the format, with its line.
    pub fn recipes(&self, text: &str) -> Result<[Recipe; 2], NoCases> {
        let file = self.path.display().to_string();
        let broken = |broken| NoCases::Broken {
            file: file.clone(),
            broken,
        };
        let mut day = None;
        let jobs = match self.format {
            Format::Azure => Jobs::Given(Arc::from(trace::azure(text).map_err(broken)?)),
            Format::Mooncake => Jobs::Given(Arc::from(trace::mooncake(text).map_err(broken)?)),
            Format::ServeGen => {
                // Lengths and a speed are needed to play it, not to find what is wrong with it.
                trace::servegen(text, &[], 1.0, 0).map_err(broken)?;
                Jobs::ServeGen(text.into())
            }
            Format::Day => {
                day = Some(trace::day(text).map_err(broken)?);
                Jobs::Conversation
            }
        };
        if matches!(&jobs, Jobs::Given(jobs) if jobs.is_empty()) {
            return Err(NoCases::Empty(file));
        }
        let stem = self
            .path
            .file_stem()
            .unwrap_or(Path::new("trace").as_os_str());
        let stem = stem.to_string_lossy();
        let recipe = |places: &'static [Place]| {
            let load = match self.format {
                Format::Day => Load::WholeDay,
                _ => Load::Hour,
            };
            let name = format!("{stem}-{}", places.len());
            let mut recipe = Recipe::new(&name, &file, places, jobs.clone(), load);
            recipe.day.clone_from(&day);
            recipe
        };
        Ok([recipe(&THREE), recipe(&EIGHT)])
    }
}

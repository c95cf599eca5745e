//! Traces from users' files, given as `FORMAT:PATH`.

use super::load::Load;
use super::spec::{CaseError, CaseSpec, TraceSource};
use crate::topology::{EIGHT, RegionLocation, THREE};
use crate::trace;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

/// Format of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// [`trace::azure`].
    Azure,
    /// [`trace::mooncake`].
    Mooncake,
    /// [`trace::servegen`], a day compressed into the length of a case.
    ServeGen,
    /// [`trace::day`], with the requests of Azure's conversations.
    Day,
}

/// A trace file and its format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceFile {
    /// Format.
    pub format: Format,
    /// Path.
    pub path: PathBuf,
}

impl FromStr for TraceFile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let format = |name: &str| {
            Some(match name {
                "azure" => Format::Azure,
                "mooncake" => Format::Mooncake,
                "servegen" => Format::ServeGen,
                "day" => Format::Day,
                _ => return None,
            })
        };
        let parts = text.split_once(':');
        let parts = parts.and_then(|(name, path)| Some((format(name)?, path)));
        let Some((format, path)) = parts.filter(|(_, path)| !path.is_empty()) else {
            return Err("expected azure:PATH, mooncake:PATH, servegen:PATH or day:PATH".to_owned());
        };
        Ok(Self {
            format,
            path: path.into(),
        })
    }
}

impl TraceFile {
    /// The trace's cases on three and on eight regions. `text` is the content of the file.
    ///
    /// # Errors
    /// An invalid line, or a trace without requests.
    pub fn specs(&self, text: &str) -> Result<[CaseSpec; 2], CaseError> {
        let file = self.path.display().to_string();
        let error = |error| CaseError::Trace {
            file: file.clone(),
            error,
        };
        let mut day = None;
        let trace = match self.format {
            Format::Azure => TraceSource::Custom(Arc::from(trace::azure(text).map_err(error)?)),
            Format::Mooncake => {
                TraceSource::Custom(Arc::from(trace::mooncake(text).map_err(error)?))
            }
            Format::ServeGen => {
                // Validation needs neither lengths nor a speed.
                trace::servegen(text, &[], 1.0, 0).map_err(error)?;
                TraceSource::ServeGen(text.into())
            }
            Format::Day => {
                day = Some(trace::day(text).map_err(error)?);
                TraceSource::Conversation
            }
        };
        if matches!(&trace, TraceSource::Custom(requests) if requests.is_empty()) {
            return Err(CaseError::Empty(file));
        }
        let stem = self
            .path
            .file_stem()
            .unwrap_or(Path::new("trace").as_os_str());
        let stem = stem.to_string_lossy();
        let spec = |locations: &'static [RegionLocation]| {
            let load = match self.format {
                Format::Day => Load::WholeDay,
                _ => Load::RealTime,
            };
            let name = format!("{stem}-{}", locations.len());
            let mut spec = CaseSpec::new(&name, &file, locations, trace.clone(), load);
            spec.day.clone_from(&day);
            spec
        };
        Ok([spec(&THREE), spec(&EIGHT)])
    }
}

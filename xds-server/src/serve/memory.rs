//! What survives a restart: the plan, and the lease that was given with it. Everything else is observed anew within
//! seconds; without the plan those seconds would send everyone home, into the very region that was shedding.

use meridian_policy::filter_policy::Lease;
use meridian_policy::plan::Plan;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};

/// What survives a restart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Remembered {
    /// The plan.
    pub plan: Plan,
    /// The last lease.
    pub lease: Lease,
}

/// A file that remembers.
#[derive(Clone, Debug)]
pub struct Memory {
    file: Option<PathBuf>,
}

impl Memory {
    /// Remembers in this file, or not at all.
    pub fn new(file: Option<PathBuf>) -> Self {
        Self { file }
    }

    /// What was remembered. A file that cannot be read is as good as none: a warning, and home first.
    pub fn recall(&self) -> Option<Remembered> {
        let file = self.file.as_ref()?;
        let text = match std::fs::read(file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(file = %file.display(), %error, "the last plan cannot be read; beginning with home first");
                return None;
            }
        };
        serde_json::from_slice(&text)
            .inspect_err(|error| {
                tracing::warn!(file = %file.display(), %error, "the last plan cannot be understood; beginning with home first");
            })
            .ok()
    }

    /// Remembers, replacing the file as a whole.
    pub fn remember(&self, remembered: &Remembered) {
        let Some(file) = &self.file else {
            return;
        };
        if let Err(error) = replace(file, remembered) {
            tracing::warn!(file = %file.display(), %error, "the plan cannot be kept; a restart would begin with home first");
        }
    }
}

fn replace(file: &Path, remembered: &Remembered) -> io::Result<()> {
    let next = file.with_extension("next");
    std::fs::write(&next, serde_json::to_vec(remembered)?)?;
    std::fs::rename(next, file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_comes_back_as_it_was_and_a_broken_file_is_none() {
        let dir = std::env::temp_dir().join(format!("meridian-memory-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let memory = Memory::new(Some(dir.join("plan.json")));
        assert_eq!(memory.recall(), None);
        let remembered = Remembered {
            plan: Plan::default(),
            lease: Lease {
                given: 7,
                runs_ms: 60_000,
            },
        };
        memory.remember(&remembered);
        assert_eq!(memory.recall(), Some(remembered));
        std::fs::write(dir.join("plan.json"), "{ torn").unwrap();
        assert_eq!(memory.recall(), None);
        std::fs::remove_dir_all(dir).unwrap();
        assert_eq!(Memory::new(None).recall(), None);
    }
}

//! What survives a restart: the plan, and the lease that was given with it. Everything else is observed anew within
//! seconds; without the plan those seconds would send everyone home, into the very region that was shedding.

use meridian_planner::plan::Plan;
use meridian_policy::filter_policy::Lease;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};
use tokio::sync::watch;

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

    /// Remembers what it is told until nobody tells it anything more. What is overtaken while the file is slow is left
    /// out; the last is not.
    pub async fn keep(self, mut told: watch::Receiver<Option<Remembered>>) {
        while told.changed().await.is_ok() {
            let remembered = told.borrow_and_update().clone();
            if let (Some(file), Some(remembered)) = (&self.file, remembered)
                && let Err(error) = replace(file, &remembered).await
            {
                tracing::warn!(file = %file.display(), %error, "the plan cannot be kept; a restart would begin with home first");
            }
        }
    }
}

/// Replaces the file as a whole.
async fn replace(file: &Path, remembered: &Remembered) -> io::Result<()> {
    let next = file.with_extension("next");
    tokio::fs::write(&next, serde_json::to_vec(remembered)?).await?;
    tokio::fs::rename(next, file).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remembered(given: u64) -> Remembered {
        Remembered {
            plan: Plan::default(),
            lease: Lease {
                given,
                runs_ms: 60_000,
            },
        }
    }

    #[tokio::test]
    async fn the_last_comes_back_as_it_was_and_a_broken_file_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("plan.json");
        let memory = Memory::new(Some(file.clone()));
        assert_eq!(memory.recall(), None);
        let (tell, told) = watch::channel(None);
        let keeping = tokio::spawn(memory.clone().keep(told));
        for given in 0..100 {
            tell.send_replace(Some(remembered(given)));
            tokio::task::yield_now().await;
        }
        drop(tell);
        keeping.await.unwrap();
        assert_eq!(memory.recall(), Some(remembered(99)));
        let files = std::fs::read_dir(dir.path()).unwrap();
        assert_eq!(files.count(), 1, "nothing is left over");
        std::fs::write(&file, "{ torn").unwrap();
        assert_eq!(memory.recall(), None);
        assert_eq!(Memory::new(None).recall(), None);
    }
}

//! The fleet file while it is edited. It is read again and again rather than watched: a file that is replaced, mounted
//! anew or on a network file system changes without a word.

use crate::fleet::{self, FleetError};
use meridian_policy::Fleet;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::mpsc::Sender;
use tokio::time::MissedTickBehavior;

/// How often it is read.
const LOOK: Duration = Duration::from_millis(250);

/// A fleet file and what was last read of it.
#[derive(Debug)]
pub struct FleetFile {
    path: PathBuf,
    last: Option<String>,
}

impl FleetFile {
    /// Nothing is read yet.
    pub fn new(path: PathBuf) -> Self {
        Self { path, last: None }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the file until nobody wants to know any more. A file system that hangs holds nobody else up.
    pub async fn watch(mut self, edits: Sender<Result<Fleet, FleetError>>) {
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                _ = looks.tick() => {}
                () = edits.closed() => return,
            }
            if let Some(edit) = self.read().await {
                // Nobody is left to tell: the next round ends.
                let _ = edits.send(edit).await;
            }
        }
    }

    /// What the file says now, if that is something else than the last time. A file that is not there for a moment, as
    /// while it is replaced, is an error like any other, said once.
    pub async fn read(&mut self) -> Option<Result<Fleet, FleetError>> {
        let text = match tokio::fs::read_to_string(&self.path).await {
            Ok(text) => text,
            Err(error) => {
                let said = format!("cannot be read: {error}");
                return self.is_new(&said).then_some(Err(FleetError::Io(error)));
            }
        };
        let is_new = self.is_new(&text);
        is_new.then(|| fleet::parse(&text))
    }

    fn is_new(&mut self, text: &str) -> bool {
        if self.last.as_deref() == Some(text) {
            return false;
        }
        self.last = Some(text.to_owned());
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const EXAMPLE: &str = include_str!("../../../envoy/fleet.yaml");

    #[tokio::test]
    async fn an_edit_is_said_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fleet.yaml");
        let mut file = FleetFile::new(path.clone());
        fs::write(&path, EXAMPLE).unwrap();
        assert!(file.read().await.unwrap().is_ok());
        assert!(file.read().await.is_none());
        fs::write(&path, "zones: [").unwrap();
        assert!(file.read().await.unwrap().is_err());
        assert!(file.read().await.is_none());
        fs::remove_file(&path).unwrap();
        let error = file.read().await.unwrap().unwrap_err();
        assert!(matches!(error, FleetError::Io(_)), "{error}");
        assert!(file.read().await.is_none());
        fs::write(&path, EXAMPLE).unwrap();
        assert!(file.read().await.unwrap().is_ok());
    }

    #[tokio::test]
    async fn it_is_watched_for_as_long_as_somebody_wants_to_know() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fleet.yaml");
        fs::write(&path, EXAMPLE).unwrap();
        let (edits, mut edited) = tokio::sync::mpsc::channel(1);
        let watching = tokio::spawn(FleetFile::new(path.clone()).watch(edits));
        let all = async {
            assert!(edited.recv().await.unwrap().is_ok());
            fs::remove_file(&path).unwrap();
            assert!(edited.recv().await.unwrap().is_err());
            drop(edited);
            watching.await.unwrap();
        };
        let deadline = Duration::from_secs(20);
        tokio::time::timeout(deadline, all).await.unwrap();
    }
}

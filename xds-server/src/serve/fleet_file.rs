//! Edits of the fleet file. The file is polled: file notifications miss files that are replaced, remounted or on a
//! network file system.

use super::edition::Edition;
use crate::fleet::{self, FleetError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::mpsc::Sender;
use tokio::time::MissedTickBehavior;

/// Interval between two reads.
const POLL_INTERVAL: Duration = Duration::from_millis(250);

/// A fleet file, and its text or error at the last read.
#[derive(Debug)]
pub struct FleetFile {
    path: PathBuf,
    /// The text or error that was reported last.
    last: Option<String>,
    /// The text at the last poll, if there was one.
    polled: Option<Option<String>>,
}

impl FleetFile {
    /// A file that was not read yet.
    pub fn new(path: PathBuf) -> Self {
        Self {
            path,
            last: None,
            polled: None,
        }
    }

    /// The path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path for messages.
    pub fn shown(&self) -> String {
        self.path.display().to_string()
    }

    /// Polls the file and sends its changes until the receiver is dropped. A file system that hangs blocks this task
    /// only.
    pub async fn watch(mut self, edits: Sender<Result<Edition, FleetError>>) {
        let mut polls = tokio::time::interval(POLL_INTERVAL);
        polls.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                _ = polls.tick() => {}
                () = edits.closed() => return,
            }
            if let Some(edit) = self.poll().await {
                // An error means that the receiver is gone: the next round returns.
                let _ = edits.send(edit).await;
            }
        }
    }

    /// The fleet or the error in the file; `None` if nothing has changed since the last read. A file that is missing for a
    /// moment, e.g. while it is replaced, is reported once as an error.
    pub async fn read(&mut self) -> Option<Result<Edition, FleetError>> {
        let text = tokio::fs::read_to_string(&self.path).await;
        self.edit(text)
    }

    /// The same, once the file has been the same at two polls: a file that is being written may be a valid one at any moment, with
    /// less in it.
    async fn poll(&mut self) -> Option<Result<Edition, FleetError>> {
        let text = tokio::fs::read_to_string(&self.path).await;
        let polled = Some(text.as_ref().ok().cloned());
        let is_settled = self.polled == polled;
        self.polled = polled;
        if is_settled { self.edit(text) } else { None }
    }

    fn edit(&mut self, text: io::Result<String>) -> Option<Result<Edition, FleetError>> {
        let text = match text {
            Ok(text) => text,
            Err(error) => {
                let message = format!("cannot be read: {error}");
                return self.is_new(&message).then_some(Err(FleetError::Io(error)));
            }
        };
        let is_new = self.is_new(&text);
        is_new.then(|| checked(&text))
    }

    fn is_new(&mut self, text: &str) -> bool {
        if self.last.as_deref() == Some(text) {
            return false;
        }
        self.last = Some(text.to_owned());
        true
    }
}

/// The edition in a text. The findings that it accepts are logged.
fn checked(text: &str) -> Result<Edition, FleetError> {
    let checked = fleet::parse_checked(text)?;
    for finding in &checked.accepted {
        tracing::warn!("accepted: {finding}");
    }
    Ok(Edition::new(checked.fleet, text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const EXAMPLE: &str = include_str!("../../../envoy/fleet.yaml");

    #[tokio::test]
    async fn an_edit_is_reported_once() {
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
    async fn a_file_that_is_being_written_is_not_taken() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fleet.yaml");
        let mut file = FleetFile::new(path.clone());
        // The beginning of a file, without its policy and control plane, is a valid file.
        let (beginning, _) = EXAMPLE.split_once("policy:\n").unwrap();
        assert!(Edition::parse(beginning).is_ok());
        fs::write(&path, beginning).unwrap();
        assert!(file.poll().await.is_none());
        fs::write(&path, EXAMPLE).unwrap();
        assert!(file.poll().await.is_none());
        let edition = file.poll().await.unwrap().unwrap();
        assert!(edition.fleet.control_plane.is_some());
        assert!(file.poll().await.is_none());
        fs::remove_file(&path).unwrap();
        assert!(file.poll().await.is_none());
        assert!(file.poll().await.unwrap().is_err());
        assert!(file.poll().await.is_none());
    }

    #[tokio::test]
    async fn the_file_is_polled_until_the_receiver_is_dropped() {
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

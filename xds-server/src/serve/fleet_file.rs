//! The fleet file while it is edited. It is read again and again rather than watched: a file that is replaced, mounted
//! anew or on a network file system changes without a word.

use crate::fleet::{self, FleetError};
use meridian_policy::Fleet;
use std::path::{Path, PathBuf};

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

    /// What the file says now, if that is something else than the last time. A file that is not there for a moment, as
    /// while it is replaced, is an error like any other, said once.
    pub fn read(&mut self) -> Option<Result<Fleet, FleetError>> {
        let text = match std::fs::read_to_string(&self.path) {
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

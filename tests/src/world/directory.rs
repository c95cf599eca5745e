//! The directory of a world: its fleet file, configurations, certificates and logs.

use anyhow::Result;
use std::path::{Path, PathBuf};

/// A directory that is removed when it is dropped, but not by a panic, and not once it is to be kept.
pub(super) struct Directory(tempfile::TempDir);

impl Directory {
    pub(super) fn create() -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("meridian-").tempdir()?;
        Ok(Self(dir))
    }

    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Keeps it.
    pub(super) fn keep(&mut self) -> PathBuf {
        self.0.disable_cleanup(true);
        self.0.path().to_owned()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let kept = self.keep();
            #[allow(clippy::print_stderr)] // For the person who reads why a test has failed.
            {
                eprintln!("the logs of this world are kept in {}", kept.display());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)] // Tests.

    use super::*;

    #[test]
    fn a_directory_is_removed_with_everything_in_it() {
        let directory = Directory::create().unwrap();
        let path = directory.path().to_owned();
        std::fs::write(path.join("envoy.log"), "said").unwrap();
        drop(directory);
        assert!(!path.exists());
    }

    #[test]
    fn a_directory_that_is_to_be_kept_is_kept() {
        let mut directory = Directory::create().unwrap();
        let path = directory.keep();
        drop(directory);
        assert!(path.exists());
        std::fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn a_panic_keeps_the_directory() {
        let directory = Directory::create().unwrap();
        let path = directory.path().to_owned();
        let panicked = std::thread::spawn(move || {
            let _directory = directory;
            panic!("a test fails");
        });
        assert!(panicked.join().is_err());
        assert!(path.exists());
        std::fs::remove_dir_all(path).unwrap();
    }
}

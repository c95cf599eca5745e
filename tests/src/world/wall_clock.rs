//! Wall clocks that a scenario sets while their processes run. The monotonic clock stays the machine's. A library that is preloaded
//! into the process reads the clock's file; libfaketime does not do, since Envoy hangs under it before it starts.

use super::shared_object::clock_library;
use anyhow::Result;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use tokio::process::Command;

/// The wall clock of one process.
pub struct WallClock {
    file: PathBuf,
    library: PathBuf,
}

impl WallClock {
    /// The clock of a process of the world in this directory: the machine's time at first.
    pub(super) async fn create(dir: &Path, process: &str) -> Result<Self> {
        let clock = Self {
            file: dir.join(format!("{process}.clock")),
            library: clock_library(dir, process, include_str!("wall_clock.c")).await?,
        };
        std::fs::write(&clock.file, 0_i64.to_ne_bytes())?;
        Ok(clock)
    }

    /// Steps the clock to the machine's time plus this many seconds.
    pub fn set(&self, seconds: i64) -> Result<()> {
        // In place: the process has mapped the file.
        let file = std::fs::OpenOptions::new().write(true).open(&self.file)?;
        Ok(file.write_all_at(&seconds.to_ne_bytes(), 0)?)
    }

    /// Gives the clock to a process that is about to start.
    pub(super) fn give_to(&self, command: &mut Command) {
        command
            .env("LD_PRELOAD", &self.library)
            .env("WALL_CLOCK", &self.file);
    }
}

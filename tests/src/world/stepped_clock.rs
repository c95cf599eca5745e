//! Clocks of an Envoy that stand still until they are stepped. What Envoy does depends on what it was sent and on the steps, and on nothing
//! else: it can be asked whether it has anything left to do before the next step.

use super::shared_object::clock_library;
use anyhow::{Result, bail};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::process::Command;

/// The place of the numbers in the file, as `stepped_clock.c` has them.
const MONOTONIC: u64 = 0;
const WALL: u64 = 8;
const ROUND: u64 = 16;
const SIZE: usize = 24 + 60 * 8;

/// The clocks of one process, both the monotonic one and the wall clock.
#[derive(Clone)]
pub struct SteppedClock {
    path: PathBuf,
    library: PathBuf,
    file: Arc<std::fs::File>,
}

/// What the threads of a process have said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Threads {
    /// The newest round in which each had nothing to do.
    pub quiet: u32,
    /// How often they had something to do, all together.
    pub busy: u64,
}

impl SteppedClock {
    /// The clocks of a process of the world in this directory: the machine's until [`SteppedClock::set`].
    pub(super) async fn create(dir: &Path, process: &str) -> Result<Self> {
        let path = dir.join(format!("{process}.clock"));
        std::fs::write(&path, [0; SIZE])?;
        let mut options = std::fs::OpenOptions::new();
        let file = options.read(true).write(true).open(&path)?;
        Ok(Self {
            path,
            library: clock_library(dir, process, include_str!("stepped_clock.c")).await?,
            file: Arc::new(file),
        })
    }

    /// Sets the clocks to times since the machine's start and since the Unix epoch. They stand still until they are set again.
    pub fn set(&self, monotonic: Duration, wall: Duration) -> Result<()> {
        let nanoseconds = |time: Duration| i64::try_from(time.as_nanos());
        self.write(WALL, &nanoseconds(wall)?.to_ne_bytes())?;
        self.write(MONOTONIC, &nanoseconds(monotonic)?.to_ne_bytes())
    }

    /// Asks all threads to say when they have nothing to do.
    pub fn begin_round(&self, round: u32) -> Result<()> {
        self.write(ROUND, &round.to_ne_bytes())
    }

    /// What the threads have said by now.
    pub fn threads(&self) -> Result<Threads> {
        let mut bytes = [0; SIZE];
        self.file.read_exact_at(&mut bytes, 0)?;
        let (words, _) = bytes[20..].as_chunks::<4>();
        let mut words = words.iter().map(|word| u32::from_ne_bytes(*word));
        let count = words.next().unwrap_or_default();
        let mut threads = Threads {
            quiet: u32::MAX,
            busy: 0,
        };
        for _ in 0..count {
            let (Some(quiet), Some(busy)) = (words.next(), words.next()) else {
                bail!("{count} threads wait for events, which are too many");
            };
            threads.quiet = threads.quiet.min(quiet);
            threads.busy += u64::from(busy);
        }
        Ok(threads)
    }

    fn write(&self, at: u64, bytes: &[u8]) -> Result<()> {
        // In place: the process has mapped the file.
        Ok(self.file.write_all_at(bytes, at)?)
    }

    /// Gives the clocks to a process that is about to start.
    pub(super) fn give_to(&self, command: &mut Command) -> Result<()> {
        self.write(0, &[0; SIZE])?;
        command
            .env("LD_PRELOAD", &self.library)
            .env("STEPPED_CLOCK", &self.path);
        Ok(())
    }
}

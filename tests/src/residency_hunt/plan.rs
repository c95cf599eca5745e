//! What a hunt is to do.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

/// What a hunt is to do.
#[derive(Clone, Debug)]
pub struct Hunt {
    /// What the random numbers begin with.
    pub seed: u64,
    /// How long it sends requests.
    pub time: Duration,
    /// It ends after this many requests, if that is earlier.
    pub requests: u64,
    /// The kinds of steps in it.
    pub kinds: BTreeSet<Kind>,
    /// Whether it goes on after a leak.
    pub goes_on: bool,
    /// How long it looks for a shorter run after a leak.
    pub shrinks: Duration,
    /// Whether a definition counts for a request from the time when the fleet file has it, though the filter that decides has not.
    pub file_counts: bool,
    /// The file of the filter that one gateway runs instead of the one that was built. Needs root.
    pub older_filter: Option<PathBuf>,
}

/// Kinds of steps, for choosing among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Kind {
    /// The fleet file is edited.
    Edit,
    /// A gateway is stopped and goes on.
    Stop,
    /// A gateway is killed and started again.
    Restart,
    /// The control plane is killed and started again, also with an edited file.
    ControlPlane,
    /// The link between a gateway and the control plane is cut.
    Cut,
    /// The link stalls midway through a push.
    Stall,
    /// Pools and providers fail, slowly.
    Failure,
    /// Bodies of requests trickle.
    SlowUpload,
}

impl Kind {
    /// All kinds.
    pub fn all() -> BTreeSet<Self> {
        <Self as clap::ValueEnum>::value_variants()
            .iter()
            .copied()
            .collect()
    }
}

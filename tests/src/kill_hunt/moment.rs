//! The moments at which the control plane is killed.

use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, RngExt};
use std::time::Duration;

/// What happens as the control plane is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Nothing.
    Quiet,
    /// Its own start: it is killed, and killed again as it starts.
    Start,
    /// The fleet file is edited after the kill, before the next start.
    BeforeEdit,
    /// The fleet file was edited just before, or the definitions before an edit are about to be dropped.
    AfterEdit,
    /// An edit was just taken: a handover is on its way.
    Handover,
    /// A pool turns hot.
    Hot,
    /// A pool was hot, and its callers return.
    Cooling,
}

/// Regions that every fleet file has in the zone `global`, so that their callers leave a hot pool.
const HOT: [&str; 2] = ["us-west-2", "eu-west-1"];

const MOMENTS: [Moment; 7] = [
    Moment::Quiet,
    Moment::Start,
    Moment::BeforeEdit,
    Moment::AfterEdit,
    Moment::Handover,
    Moment::Hot,
    Moment::Cooling,
];

impl Moment {
    /// Each of them once, in a random order.
    pub fn shuffled(random: &mut impl Rng) -> Vec<Self> {
        let mut moments = MOMENTS.to_vec();
        moments.shuffle(random);
        moments
    }

    /// Whether the fleet file is edited.
    pub fn is_edit(self) -> bool {
        matches!(self, Self::BeforeEdit | Self::AfterEdit | Self::Handover)
    }

    /// Its name in a summary.
    pub fn name(self) -> &'static str {
        match self {
            Self::Quiet => "quiet",
            Self::Start => "during a start",
            Self::BeforeEdit => "before an edit",
            Self::AfterEdit => "after an edit",
            Self::Handover => "in a handover",
            Self::Hot => "as a pool turns hot",
            Self::Cooling => "as a pool cools down",
        }
    }

    /// Types of resources of which some change. `moved`: the plan has changed meanwhile.
    pub fn changes(self, moved: bool) -> &'static [&'static str] {
        match self {
            Self::Quiet | Self::Start if !moved => &[],
            Self::Quiet | Self::Start | Self::Hot | Self::Cooling => &["extension", "route"],
            Self::BeforeEdit | Self::AfterEdit | Self::Handover => {
                &["cluster", "endpoint", "extension", "listener", "route"]
            }
        }
    }

    /// How long after it has begun the control plane is killed at the latest, in milliseconds.
    fn latest(self, random: &mut impl Rng) -> u64 {
        match self {
            Self::Quiet => 1000,
            Self::Start | Self::BeforeEdit => 600,
            // The file is read every 250 ms, and the definitions before are dropped after ten seconds.
            Self::AfterEdit => *[300, 600, 12_000].choose(random).unwrap_or(&600),
            Self::Handover => 100,
            Self::Hot | Self::Cooling => 3000,
        }
    }
}

/// How it is killed once.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub moment: Moment,
    /// How long after the moment has begun.
    pub after: Duration,
    /// How long there is no control plane.
    pub away: Duration,
    /// The region of the pool that turns hot.
    pub region: &'static str,
    /// Which of the other fleet files the edit brings.
    pub edit: usize,
}

impl Plan {
    /// A random one at this moment.
    pub fn random(moment: Moment, random: &mut impl Rng) -> Self {
        let latest = moment.latest(random);
        let ms = |at: u64| Duration::from_millis(at);
        Self {
            moment,
            after: ms(random.random_range(0..latest)),
            away: ms(random.random_range(0..1500)),
            region: *HOT.choose(random).unwrap_or(&HOT[0]),
            edit: random.random_range(0..usize::MAX),
        }
    }
}

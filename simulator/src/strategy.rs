//! The routing strategies that are compared.

/// The ways to route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Strategy {
    /// The nearest region, always.
    Nearest,
    /// One after the other.
    RoundRobin,
    /// At random, by how large regions are.
    FixedWeights,
    /// In order, leaving out who has failed for a while: LiteLLM's order with cooldowns.
    Priority,
    /// The lowest latency of the last answers: LiteLLM's `latency-based-routing`.
    Latency,
    /// As much at home as its part of all capacity carries: Envoy's zone-aware routing.
    ZoneAware,
    /// The lowest load by the last pages.
    LeastLoad,
    /// At home while a replica has nobody waiting, else where one has, else it is held back: SkyWalker's selective pushing.
    QueuePush,
    /// Meridian.
    Meridian,
    /// The replica that costs the least by what is true at this moment.
    Oracle,
    /// A part of Meridian: the nearest region, always, and in it the server that Meridian picks.
    OwnServers,
    /// A part of Meridian: the region that it picks, and in it the server with the fewest requests.
    OwnRegions,
}

impl Strategy {
    /// All of them: the others, Meridian, the oracle, and Meridian's parts.
    pub const ALL: [Self; 12] = [
        Self::Nearest,
        Self::RoundRobin,
        Self::FixedWeights,
        Self::Priority,
        Self::Latency,
        Self::ZoneAware,
        Self::LeastLoad,
        Self::QueuePush,
        Self::Meridian,
        Self::Oracle,
        Self::OwnServers,
        Self::OwnRegions,
    ];

    /// Whether Meridian is held against it: not what nobody can have, and not its own parts.
    pub fn is_other(self) -> bool {
        !matches!(
            self,
            Self::Meridian | Self::Oracle | Self::OwnServers | Self::OwnRegions
        )
    }

    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nearest => "nearest only",
            Self::RoundRobin => "round robin",
            Self::FixedWeights => "fixed weights",
            Self::Priority => "priority, cooldown",
            Self::Latency => "lowest latency",
            Self::ZoneAware => "zone-aware weights",
            Self::LeastLoad => "least load, delayed",
            Self::QueuePush => "push on queue state",
            Self::Meridian => "Meridian",
            Self::Oracle => "oracle",
            Self::OwnServers => "nearest, own servers",
            Self::OwnRegions => "Meridian, least request",
        }
    }

    /// Whether it asks regions for their queues.
    pub fn probes(self) -> bool {
        self == Self::QueuePush
    }
}

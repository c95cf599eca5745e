//! The routing strategies that are compared.

/// The routing strategies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Strategy {
    /// Always the nearest region.
    Nearest,
    /// The regions in turn.
    RoundRobin,
    /// Random, weighted by the number of servers.
    FixedWeights,
    /// The first region that is not cooling down after failures: LiteLLM's deployment order with cooldowns.
    Priority,
    /// The lowest mean TTFT of recent answers: LiteLLM's `latency-based-routing`.
    Latency,
    /// Envoy's zone-aware routing: home keeps what its share of the capacity can serve.
    ZoneAware,
    /// The fewest requests per server on the last metrics pages.
    LeastLoad,
    /// SkyWalker's selective pushing: a region with a server whose queue is empty; without one, the request waits at its gateway.
    QueuePush,
    /// Meridian.
    Meridian,
    /// The server with the lowest estimated cost, computed from the true state of all servers.
    Oracle,
    /// Ablation of Meridian: the nearest region, and Meridian's choice of a server.
    MeridianServerOnly,
    /// Ablation of Meridian: Meridian's choice of a region, and the server with the fewest requests.
    MeridianRegionOnly,
}

impl Strategy {
    /// All strategies, in the order of the tables.
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
        Self::MeridianServerOnly,
        Self::MeridianRegionOnly,
    ];

    /// Whether the gate compares Meridian with this strategy. The oracle and the ablations are no baselines.
    pub fn is_baseline(self) -> bool {
        !matches!(
            self,
            Self::Meridian | Self::Oracle | Self::MeridianServerOnly | Self::MeridianRegionOnly
        )
    }

    /// Name in tables and charts.
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
            Self::MeridianServerOnly => "Meridian, server only",
            Self::MeridianRegionOnly => "Meridian, region only",
        }
    }

    /// Whether gateways probe the queues of all regions.
    pub fn uses_probes(self) -> bool {
        self == Self::QueuePush
    }
}

//! The part that the short and the static configuration share.

use crate::collect::gateway::stats_tags;
use crate::wire::{address, extension, millis, number};
use envoy_types::pb::envoy::config::bootstrap::v3::{Admin, Bootstrap};
use envoy_types::pb::envoy::config::core::v3::{Locality, Node, TypedExtensionConfig};
use envoy_types::pb::envoy::config::metrics::v3::stats_matcher::StatsMatcher as Matcher;
use envoy_types::pb::envoy::config::metrics::v3::{
    HistogramBucketSettings, StatsConfig, StatsMatcher,
};
use envoy_types::pb::envoy::config::overload::v3::trigger::TriggerOneof;
use envoy_types::pb::envoy::config::overload::v3::{
    BufferFactoryConfig, OverloadAction, OverloadManager, ResourceMonitor, ScaledTrigger,
    ThresholdTrigger, Trigger, resource_monitor,
};
use envoy_types::pb::envoy::extensions::bootstrap::internal_listener::v3::InternalListener;
use envoy_types::pb::envoy::extensions::network::dns_resolver::cares::v3::CaresDnsResolverConfig;
use envoy_types::pb::envoy::extensions::resource_monitors::downstream_connections::v3::DownstreamConnectionsConfig;
use envoy_types::pb::envoy::extensions::resource_monitors::fixed_heap::v3::FixedHeapConfig;
use envoy_types::pb::envoy::r#type::matcher::v3::string_matcher::MatchPattern;
use envoy_types::pb::envoy::r#type::matcher::v3::{ListStringMatcher, RegexMatcher, StringMatcher};
use envoy_types::pb::google::protobuf::UInt64Value;
use meridian_policy::{Fleet, RegionName};

/// Limit of downstream connections of one Envoy.
const CONNECTIONS: i64 = 50_000;

/// Statistics of chains that are not kept. A chain has about a hundred; the kept ones count its requests and responses.
const UNUSED_CHAIN_STATS: &str = "cluster\\.chain_.*\\.(circuit_breakers|default|http1|http2|http3|lb_|membership_\
                                  |max_host_|original_dst|bind_errors|assignment_|update_|upstream_cx_|upstream_flow_\
                                  |upstream_internal_|version|warming_state|internal\\.|external\\.).*";

/// Envoy resets streams for memory only if they hold at least 2 to this power bytes (1 MiB).
const SMALL_STREAM_POWER: u32 = 20;

/// Node, admin interface, memory limits and statistics. `None` if the region is unknown.
pub fn bootstrap(fleet: &Fleet, home: &RegionName) -> Option<Bootstrap> {
    let region = fleet.regions.get(home)?;
    Some(Bootstrap {
        node: Some(Node {
            id: format!("{home}-gateway"),
            cluster: "meridian".into(),
            locality: Some(Locality {
                region: home.to_string(),
                ..Default::default()
            }),
            ..Default::default()
        }),
        admin: Some(Admin {
            address: address(region.admin),
            ..Default::default()
        }),
        bootstrap_extensions: vec![extension(
            "envoy.bootstrap.internal_listener",
            InternalListener::default(),
        )],
        overload_manager: Some(overload(fleet.heap)),
        stats_config: Some(stats()),
        typed_dns_resolver_config: Some(dns_resolver()),
        ..Default::default()
    })
}

/// Gives up on a silent name server after some seconds: until then an Envoy that starts serves nothing, since it waits for the
/// addresses of all clusters. By default that takes two minutes.
fn dns_resolver() -> TypedExtensionConfig {
    let resolver = CaresDnsResolverConfig {
        query_timeout_seconds: Some(UInt64Value { value: 1 }),
        query_tries: number(2),
        ..Default::default()
    };
    extension("envoy.network.dns_resolver.cares", resolver)
}

/// Limits memory, which runs out first because request bodies are buffered whole. Near the heap limit Envoy resets the
/// streams that hold the most memory, then refuses new requests.
fn overload(heap: u64) -> OverloadManager {
    let heap = FixedHeapConfig {
        max_heap_size_bytes: heap,
        ..Default::default()
    };
    let connections = DownstreamConnectionsConfig {
        max_active_downstream_connections: CONNECTIONS,
    };
    let monitor = |extension: TypedExtensionConfig| ResourceMonitor {
        name: extension.name,
        config_type: extension
            .typed_config
            .map(resource_monitor::ConfigType::TypedConfig),
    };
    let heap_name = "envoy.resource_monitors.fixed_heap";
    let action = |name: &str, trigger| OverloadAction {
        name: format!("envoy.overload_actions.{name}"),
        triggers: vec![Trigger {
            name: heap_name.into(),
            trigger_oneof: Some(trigger),
        }],
        ..Default::default()
    };
    let at = |value| TriggerOneof::Threshold(ThresholdTrigger { value });
    let between = TriggerOneof::Scaled(ScaledTrigger {
        scaling_threshold: 0.80,
        saturation_threshold: 0.95,
    });
    OverloadManager {
        refresh_interval: millis(250),
        resource_monitors: vec![
            monitor(extension(heap_name, heap)),
            monitor(extension(
                "envoy.resource_monitors.global_downstream_max_connections",
                connections,
            )),
        ],
        actions: vec![
            action("reset_high_memory_stream", between),
            action("shrink_heap", at(0.90)),
            action("stop_accepting_requests", at(0.95)),
        ],
        buffer_factory_config: Some(BufferFactoryConfig {
            minimum_account_to_track_power_of_two: SMALL_STREAM_POWER,
        }),
        ..Default::default()
    }
}

/// Histogram buckets of the time to the first token, in milliseconds. Envoy's default buckets have none between 2.5 s and
/// 5 s, where the first-token limit usually lies.
const FIRST_TOKEN_MS: [f64; 18] = [
    25.0, 50.0, 100.0, 250.0, 500.0, 750.0, 1000.0, 1500.0, 2000.0, 2500.0, 3000.0, 4000.0, 5000.0,
    7500.0, 10_000.0, 20_000.0, 60_000.0, 300_000.0,
];

fn first_token_buckets() -> HistogramBucketSettings {
    let name = MatchPattern::Prefix("wasmcustom.meridian_first_token_ms".into());
    HistogramBucketSettings {
        r#match: Some(StringMatcher {
            match_pattern: Some(name),
            ..Default::default()
        }),
        buckets: FIRST_TOKEN_MS.into(),
        ..Default::default()
    }
}

fn stats() -> StatsConfig {
    let regex = RegexMatcher {
        regex: UNUSED_CHAIN_STATS.into(),
        ..Default::default()
    };
    let pattern = StringMatcher {
        match_pattern: Some(MatchPattern::SafeRegex(regex)),
        ..Default::default()
    };
    let excluded = Matcher::ExclusionList(ListStringMatcher {
        patterns: vec![pattern],
    });
    StatsConfig {
        stats_tags: stats_tags(),
        histogram_bucket_settings: vec![first_token_buckets()],
        stats_matcher: Some(StatsMatcher {
            stats_matcher: Some(excluded),
        }),
        ..Default::default()
    }
}

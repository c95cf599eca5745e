//! A snapshot as one static Envoy configuration file: what `meridian export` prints.

use crate::translate::Snapshot;
use envoy_types::pb::envoy::config::bootstrap::v3::bootstrap::StaticResources;
use envoy_types::pb::envoy::config::bootstrap::v3::{Admin, Bootstrap};
use envoy_types::pb::envoy::config::core::v3::address::Address as AddressKind;
use envoy_types::pb::envoy::config::core::v3::socket_address::PortSpecifier;
use envoy_types::pb::envoy::config::core::v3::{
    Address, Locality, Node, SocketAddress, TypedExtensionConfig,
};
use envoy_types::pb::envoy::config::metrics::v3::stats_matcher::StatsMatcher as Matcher;
use envoy_types::pb::envoy::config::metrics::v3::{StatsConfig, StatsMatcher};
use envoy_types::pb::envoy::config::overload::v3::trigger::TriggerOneof;
use envoy_types::pb::envoy::config::overload::v3::{
    OverloadAction, OverloadManager, ResourceMonitor, ThresholdTrigger, Trigger, resource_monitor,
};
use envoy_types::pb::envoy::extensions::bootstrap::internal_listener::v3::InternalListener;
use envoy_types::pb::envoy::extensions::resource_monitors::downstream_connections::v3::DownstreamConnectionsConfig;
use envoy_types::pb::envoy::extensions::resource_monitors::fixed_heap::v3::FixedHeapConfig;
use envoy_types::pb::envoy::r#type::matcher::v3::string_matcher::MatchPattern;
use envoy_types::pb::envoy::r#type::matcher::v3::{ListStringMatcher, RegexMatcher, StringMatcher};
use envoy_types::pb::google::protobuf::Duration;
use envoy_types::util::pack_any;
use meridian_policy::RegionName;
use meridian_policy::fleet::Region;
use prost::{Message, Name};

/// Past it Envoy frees what it can, then refuses new requests rather than being killed.
const HEAP: u64 = 4 << 30;

const CONNECTIONS: i64 = 50_000;

/// A chain's statistics are about a hundred lines; what is kept says how much traffic it has and how it fares.
const UNUSED_CHAIN_STATS: &str = "cluster\\.chain_.*\\.(circuit_breakers|default|http1|http2|http3|lb_|membership_\
                                  |max_host_|original_dst|bind_errors|assignment_|update_|upstream_cx_|upstream_flow_\
                                  |upstream_internal_|version|warming_state|internal\\.|external\\.).*";

/// The whole configuration of one Envoy.
pub fn bootstrap(home: &RegionName, region: &Region, snapshot: Snapshot) -> Bootstrap {
    let Snapshot {
        listeners,
        clusters,
        secrets,
    } = snapshot;
    Bootstrap {
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
            address: Some(admin(region)),
            ..Default::default()
        }),
        bootstrap_extensions: vec![extension(
            "envoy.bootstrap.internal_listener",
            InternalListener::default(),
        )],
        overload_manager: Some(overload()),
        stats_config: Some(stats()),
        static_resources: Some(StaticResources {
            listeners,
            clusters,
            secrets,
        }),
        ..Default::default()
    }
}

fn admin(region: &Region) -> Address {
    let socket = SocketAddress {
        address: region.admin.ip().to_string(),
        port_specifier: Some(PortSpecifier::PortValue(region.admin.port().into())),
        ..Default::default()
    };
    Address {
        address: Some(AddressKind::SocketAddress(socket)),
    }
}

fn extension<M: Message + Name>(name: &str, message: M) -> TypedExtensionConfig {
    TypedExtensionConfig {
        name: name.into(),
        typed_config: Some(pack_any(message)),
    }
}

fn overload() -> OverloadManager {
    let heap = FixedHeapConfig {
        max_heap_size_bytes: HEAP,
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
    let action = |name: &str, value: f64| OverloadAction {
        name: name.into(),
        triggers: vec![Trigger {
            name: heap_name.into(),
            trigger_oneof: Some(TriggerOneof::Threshold(ThresholdTrigger { value })),
        }],
        ..Default::default()
    };
    OverloadManager {
        refresh_interval: Some(Duration {
            seconds: 0,
            nanos: 250_000_000,
        }),
        resource_monitors: vec![
            monitor(extension(heap_name, heap)),
            monitor(extension(
                "envoy.resource_monitors.global_downstream_max_connections",
                connections,
            )),
        ],
        actions: vec![
            action("envoy.overload_actions.shrink_heap", 0.90),
            action("envoy.overload_actions.stop_accepting_requests", 0.95),
        ],
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
        stats_matcher: Some(StatsMatcher {
            stats_matcher: Some(excluded),
        }),
        ..Default::default()
    }
}

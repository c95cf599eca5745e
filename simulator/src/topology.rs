//! Region locations, and the fleet of a case.

use crate::case::RegionSpec;
use crate::profile::Profile;
use meridian_policy::country::Country;
use meridian_policy::fleet::{
    ContentRules, Failover, FilterFiles, FilterKind, Fleet, Gateway, KeyPair, Limits, Misdirected,
    Order, Overflow, OwnLimits, Pool, Public, Region, Trust, Unhealthy, UnknownZone, Zone,
    ZoneSource, ZoneSourceKind,
};
use meridian_policy::location::Location;
use meridian_policy::name::{ModelName, RegionName, ZoneName};
use meridian_policy::source::{Preset, SignalFormat, SignalSource};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Header with the caller's zone.
pub const ZONE_HEADER: &str = "x-zone";
/// The fleet's only model.
pub const MODEL: &str = "model";

/// Scrape interval of metrics pages in seconds: the fleet file's default.
pub const SCRAPE_INTERVAL: usize = 2;

/// Location of a region.
#[derive(Clone, Copy, Debug)]
pub struct RegionLocation {
    /// Name.
    pub name: &'static str,
    /// Coordinates.
    pub coordinates: Location,
    /// UTC offset in winter, in hours.
    pub utc_offset: f64,
    /// Whether the region is in the European Economic Area (EEA). Its callers then belong to the pinned zone.
    pub in_eea: bool,
}

const fn location(
    name: &'static str,
    at: (f64, f64),
    utc_offset: f64,
    in_eea: bool,
) -> RegionLocation {
    let (latitude, longitude) = at;
    RegionLocation {
        name,
        coordinates: Location {
            latitude,
            longitude,
        },
        utc_offset,
        in_eea,
    }
}

/// Three regions.
pub const THREE: [RegionLocation; 3] = [
    location("eu-west-1", (53.3, -6.3), 0.0, true),
    location("us-east-1", (38.9, -77.5), -5.0, false),
    location("us-west-2", (45.8, -119.7), -8.0, false),
];

/// Eight regions on five continents, two of them in the European Economic Area.
pub const EIGHT: [RegionLocation; 8] = [
    location("ap-northeast-1", (35.6, 139.7), 9.0, false),
    location("ap-south-1", (19.1, 72.9), 5.5, false),
    location("ca-central-1", (45.5, -73.6), -5.0, false),
    location("eu-central-1", (50.1, 8.7), 1.0, true),
    location("eu-west-1", (53.3, -6.3), 0.0, true),
    location("sa-east-1", (-23.5, -46.6), -3.0, false),
    location("us-east-1", (38.9, -77.5), -5.0, false),
    location("us-west-2", (45.8, -119.7), -8.0, false),
];

/// Round-trip time between two regions in seconds; 1 ms within a region.
fn round_trip(one: &RegionLocation, other: &RegionLocation) -> f64 {
    if one.name == other.name {
        0.001
    } else {
        one.coordinates.round_trip(&other.coordinates).as_secs_f64()
    }
}

/// Round-trip times between all regions in seconds, by index.
pub fn round_trips(locations: &[RegionLocation]) -> Vec<Vec<f64>> {
    let from = |one: &RegionLocation| {
        locations
            .iter()
            .map(|other| round_trip(one, other))
            .collect()
    };
    locations.iter().map(from).collect()
}

/// The zone whose requests never leave its regions.
pub fn pinned_zone() -> ZoneName {
    ZoneName::from_static("eea")
}

/// The zone of all other requests. It may use all regions.
pub fn open_zone() -> ZoneName {
    ZoneName::from_static("global")
}

/// The zones: the pinned zone has the European regions, the open zone has all regions.
fn zones(locations: &[RegionLocation]) -> BTreeMap<ZoneName, Zone> {
    let names = |keep: fn(&RegionLocation) -> bool| {
        let kept = locations.iter().filter(|location| keep(location));
        kept.map(|location| RegionName::from_static(location.name))
            .collect::<BTreeSet<_>>()
    };
    let zone = |pinned: bool, regions| Zone {
        countries: BTreeSet::new(),
        rest: !pinned,
        pinned,
        regions,
        fallbacks: Vec::new(),
        misdirected: Misdirected::Refuse,
        order: Order::Nearest,
        failover: None,
        limits: OwnLimits::default(),
        content: ContentRules::default(),
    };
    let eea = Zone {
        countries: Country::preset("eea").into_iter().flatten().collect(),
        ..zone(true, names(|location| location.in_eea))
    };
    let open = zone(false, names(|_| true));
    [(pinned_zone(), eea), (open_zone(), open)].into()
}

/// The fleet of a case. `sizes` are the numbers of servers, in the order of `locations`.
pub fn fleet(locations: &[RegionLocation], sizes: &[usize]) -> Fleet {
    let own = |(location, replicas): (&RegionLocation, &usize)| {
        (
            RegionName::from_static(location.name),
            region(location, locations, *replicas),
        )
    };
    Fleet {
        zones: zones(locations),
        unknown_zone: UnknownZone::Zone(pinned_zone()),
        sources: vec![ZoneSource {
            header: ZONE_HEADER.into(),
            gives: ZoneSourceKind::Zone,
            trust: Trust {
                cidr: [ipnet::IpNet::from(std::net::IpAddr::from([127, 0, 0, 1]))].into(),
            },
        }],
        regions: locations.iter().zip(sizes).map(own).collect(),
        fallbacks: BTreeMap::new(),
        limits: Limits {
            connect: Duration::from_secs(1),
            first_token: Duration::from_secs(10),
            unstreamed: Duration::from_secs(120),
            prefill_rate: 2000,
            stream_idle_timeout: Duration::from_secs(60),
            least_rate: None,
            answer: Duration::from_secs(600),
            retries: 10_000,
            body: 64 << 20,
        },
        own_limits: BTreeMap::new(),
        balance: BTreeMap::new(),
        batch_keys: BTreeSet::new(),
        needs_header: None,
        failover: Failover::default(),
        overflow: Overflow::default(),
        unhealthy: Unhealthy::default(),
        control_plane: None,
        trust_domain: "meridian".into(),
        filters: FilterFiles {
            wasm: "/filter.wasm".into(),
            native: "/filter.so".into(),
        },
        access_log: "/dev/stdout".into(),
        heap: 4 << 30,
    }
}

fn region(location: &RegionLocation, locations: &[RegionLocation], replicas: usize) -> Region {
    let mut others: Vec<&RegionLocation> = locations
        .iter()
        .filter(|other| other.name != location.name)
        .collect();
    others.sort_by(|one, other| round_trip(location, one).total_cmp(&round_trip(location, other)));
    let file = || "/tls.pem".to_owned();
    let endpoint = |replica: usize| std::net::SocketAddr::from(([10, 0, 0, replica as u8], 8000));
    let source = |replica: usize| SignalSource {
        url: format!("http://{}/metrics", endpoint(replica)),
        format: SignalFormat::Preset(Preset::Vllm),
        model: Some(ModelName::from_static(MODEL)),
        max_running: None,
        token: None,
        tls: None,
        every: Duration::from_secs(SCRAPE_INTERVAL as u64),
    };
    let pool = Pool::Endpoints((1..=replicas).map(endpoint).collect());
    Region {
        public: Public {
            listen: ([127, 0, 0, 1], 8080).into(),
            url: None,
            tls: None,
        },
        gateway: Gateway {
            listen: ([127, 0, 0, 1], 8443).into(),
            address: "gateway.example.com".into(),
            port: 8443,
            identity: KeyPair {
                certificate: file(),
                key: file(),
            },
            ca: file(),
            replicas: 1,
            filter: FilterKind::default(),
        },
        admin: ([127, 0, 0, 1], 9901).into(),
        location: Some(location.coordinates),
        round_trips: others
            .iter()
            .map(|other| {
                (
                    RegionName::from_static(other.name),
                    location.coordinates.round_trip(&other.coordinates),
                )
            })
            .collect(),
        nearest: others
            .into_iter()
            .map(|other| RegionName::from_static(other.name))
            .collect(),
        pools: BTreeMap::from([(ModelName::from_static(MODEL), pool)]),
        contexts: BTreeMap::new(),
        health_paths: BTreeMap::new(),
        names_decide: BTreeSet::new(),
        price: None,
        vector_db: None,
        signals: (1..=replicas).map(source).collect(),
    }
}

/// The regions of a case, in the order of `locations`.
pub fn region_specs(
    locations: &[RegionLocation],
    sizes: &[usize],
    profile: Profile,
) -> Vec<RegionSpec> {
    let region = |(location, replicas): (&RegionLocation, &usize)| RegionSpec {
        name: RegionName::from_static(location.name),
        replicas: *replicas,
        profile,
    };
    locations.iter().zip(sizes).map(region).collect()
}

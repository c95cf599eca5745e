//! Places, and fleets of regions in them.

use crate::case::Site;
use crate::profile::Profile;
use crate::router::{MODEL, ZONE_HEADER};
use meridian_planner::location::Location;
use meridian_policy::country::Country;
use meridian_policy::fleet::{
    Fleet, Gateway, KeyPair, Limits, Misdirected, Order, Overflow, OwnLimits, Pool, Public, Region,
    Trust, Unhealthy, UnknownZone, Zone, ZoneSource, ZoneSourceKind,
};
use meridian_policy::name::{RegionName, ZoneName};
use meridian_policy::source::{Preset, SignalFormat, SignalSource};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Pages of metrics are read every so many seconds, as Meridian does where the fleet file says nothing else.
pub const PAGE_EVERY: usize = 2;

/// Where a region is.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Its name.
    pub name: &'static str,
    /// Where it is.
    pub at: Location,
    /// Hours that its clocks are ahead of UTC in winter.
    pub hours: f64,
    /// Whether its own callers are of the pinned zone.
    pub eea: bool,
}

const fn place(name: &'static str, at: (f64, f64), hours: f64, eea: bool) -> Place {
    let (latitude, longitude) = at;
    Place {
        name,
        at: Location {
            latitude,
            longitude,
        },
        hours,
        eea,
    }
}

/// Three regions.
pub const THREE: [Place; 3] = [
    place("eu-west-1", (53.3, -6.3), 0.0, true),
    place("us-east-1", (38.9, -77.5), -5.0, false),
    place("us-west-2", (45.8, -119.7), -8.0, false),
];

/// Eight regions on five continents, two of them in the European Economic Area.
pub const EIGHT: [Place; 8] = [
    place("ap-northeast-1", (35.6, 139.7), 9.0, false),
    place("ap-south-1", (19.1, 72.9), 5.5, false),
    place("ca-central-1", (45.5, -73.6), -5.0, false),
    place("eu-central-1", (50.1, 8.7), 1.0, true),
    place("eu-west-1", (53.3, -6.3), 0.0, true),
    place("sa-east-1", (-23.5, -46.6), -3.0, false),
    place("us-east-1", (38.9, -77.5), -5.0, false),
    place("us-west-2", (45.8, -119.7), -8.0, false),
];

/// A round trip, in seconds; within a region it is short.
fn round_trip(one: &Place, other: &Place) -> f64 {
    if one.name == other.name {
        0.001
    } else {
        one.at.round_trip(&other.at).as_secs_f64()
    }
}

/// All round trips, in seconds.
pub fn round_trips(places: &[Place]) -> Vec<Vec<f64>> {
    let from = |one: &Place| places.iter().map(|other| round_trip(one, other)).collect();
    places.iter().map(from).collect()
}

/// The zone whose requests never leave its regions.
pub fn pinned() -> ZoneName {
    "eea".into()
}

/// The zone of everybody else.
pub fn everybody() -> ZoneName {
    "global".into()
}

/// A fleet of regions of so many replicas in these places: the zone `eea` keeps to its own, `global` may use all.
pub fn fleet(places: &[Place], sizes: &[usize]) -> Fleet {
    let names = |keep: fn(&Place) -> bool| {
        let kept = places.iter().filter(|place| keep(place));
        kept.map(|place| RegionName::from(place.name))
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
        limits: OwnLimits::default(),
    };
    let eea = Zone {
        countries: Country::preset("eea").into_iter().flatten().collect(),
        ..zone(true, names(|place| place.eea))
    };
    let own = |(place, replicas): (&Place, &usize)| {
        (
            RegionName::from(place.name),
            region(place, places, *replicas),
        )
    };
    Fleet {
        zones: [(pinned(), eea), (everybody(), zone(false, names(|_| true)))].into(),
        unknown_zone: UnknownZone::Zone(pinned()),
        sources: vec![ZoneSource {
            header: ZONE_HEADER.into(),
            gives: ZoneSourceKind::Zone,
            trust: Trust {
                cidr: [ipnet::IpNet::from(std::net::IpAddr::from([127, 0, 0, 1]))].into(),
            },
        }],
        regions: places.iter().zip(sizes).map(own).collect(),
        fallbacks: BTreeMap::new(),
        limits: Limits {
            connect: Duration::from_secs(1),
            first_token: Duration::from_secs(10),
            unstreamed: Duration::from_secs(120),
            prefill_rate: 2000,
            stream_idle_timeout: Duration::from_secs(60),
            answer: Duration::from_secs(600),
            retries: 10_000,
            body: 64 << 20,
        },
        own_limits: BTreeMap::new(),
        balance: BTreeMap::new(),
        batch_keys: BTreeSet::new(),
        needs_header: None,
        overflow: Overflow::default(),
        unhealthy: Unhealthy::default(),
        control_plane: None,
        trust_domain: "meridian".into(),
        filter: "/filter.wasm".into(),
        access_log: "/dev/stdout".into(),
        heap: 4 << 30,
    }
}

fn region(place: &Place, places: &[Place], replicas: usize) -> Region {
    let mut others: Vec<&Place> = places
        .iter()
        .filter(|other| other.name != place.name)
        .collect();
    others.sort_by(|one, other| round_trip(place, one).total_cmp(&round_trip(place, other)));
    let file = || "/tls.pem".to_owned();
    let endpoint = |replica: usize| std::net::SocketAddr::from(([10, 0, 0, replica as u8], 8000));
    let source = |replica: usize| SignalSource {
        url: format!("http://{}/metrics", endpoint(replica)),
        format: SignalFormat::Preset(Preset::Vllm),
        model: Some(MODEL.into()),
        max_running: None,
        token: None,
        tls: None,
        every: Duration::from_secs(PAGE_EVERY as u64),
    };
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
        },
        admin: ([127, 0, 0, 1], 9901).into(),
        round_trips: others
            .iter()
            .map(|other| (RegionName::from(other.name), place.at.round_trip(&other.at)))
            .collect(),
        nearest: others
            .into_iter()
            .map(|other| RegionName::from(other.name))
            .collect(),
        pools: [(
            MODEL.into(),
            Pool::Endpoints((1..=replicas).map(endpoint).collect()),
        )]
        .into(),
        contexts: BTreeMap::new(),
        health_paths: BTreeMap::new(),
        price: None,
        vector_db: None,
        signals: (1..=replicas).map(source).collect(),
    }
}

/// The regions of a case in the order of their names.
pub fn sites(places: &[Place], sizes: &[usize], profile: Profile) -> Vec<Site> {
    let site = |(place, replicas): (&Place, &usize)| Site {
        name: RegionName::from(place.name),
        replicas: *replicas,
        profile,
    };
    places.iter().zip(sizes).map(site).collect()
}

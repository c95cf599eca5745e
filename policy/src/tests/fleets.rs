//! Fixed fleets to test with, and what fleets are built of.

use crate::budget::Budget;
use crate::country::Country;
use crate::egress::Provider;
use crate::fleet::{
    Fallback, Fleet, Gateway, Gives, KeyPair, Limits, Misdirected, Order, Overflow, OwnLimits,
    Pool, ProviderEndpoint, Public, Region, Secret, Trust, Unhealthy, UnknownZone, Zone,
    ZoneSource,
};
use crate::retrieval::{Role, VectorDb};
use crate::{ModelName, RegionName};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Every region has it.
pub const LLAMA: &str = "llama-3.1-70b";
/// Only us-west-2 has it.
pub const MISTRAL: &str = "mistralai/Mistral-7B:instruct";

/// Three regions; `eea` is pinned to eu-west-1, `global` takes the rest of the world.
pub fn example() -> Fleet {
    let eea = Zone {
        countries: Country::preset("eea").unwrap().into_iter().collect(),
        pinned: true,
        regions: names(&["eu-west-1"]).collect(),
        fallbacks: names(&["claude-eu"]).collect(),
        ..zone()
    };
    let global = Zone {
        rest: true,
        regions: names(&["us-west-2", "us-east-1", "eu-west-1"]).collect(),
        fallbacks: names(&["claude"]).collect(),
        ..zone()
    };
    Fleet {
        zones: [("eea".into(), eea), ("global".into(), global)].into(),
        unknown_zone: UnknownZone::Zone("eea".into()),
        sources: vec![
            source("x-tenant-zone", Gives::Zone, &["10.0.0.0/8"]),
            source("cf-ipcountry", Gives::Country, &["10.0.0.0/8", "fd00::/8"]),
        ],
        regions: [
            (
                "us-west-2",
                &["us-east-1", "eu-west-1"],
                &[LLAMA, MISTRAL][..],
            ),
            ("us-east-1", &["us-west-2", "eu-west-1"], &[LLAMA]),
            ("eu-west-1", &["us-east-1", "us-west-2"], &[LLAMA]),
        ]
        .into_iter()
        .map(|(name, nearest, models)| {
            let url = format!("https://{name}.llm.example.com");
            let region = region(names(nearest).collect(), models.iter().copied(), Some(url));
            (name.into(), region)
        })
        .collect(),
        fallbacks: [
            ("claude".into(), fallback("global")),
            ("claude-eu".into(), fallback("eea")),
        ]
        .into(),
        ..fleet()
    }
}

/// The example with a change to its zone `eea`.
pub fn with_eea(change: impl FnOnce(&mut Zone)) -> Fleet {
    let mut fleet = example();
    change(fleet.zones.get_mut("eea").unwrap());
    fleet
}

pub fn names<'n, N: From<&'n str>>(names: &'n [&'n str]) -> impl Iterator<Item = N> {
    names.iter().map(|name| N::from(name))
}

pub fn source(header: &str, gives: Gives, networks: &[&str]) -> ZoneSource {
    ZoneSource {
        header: header.into(),
        gives,
        trust: Trust {
            cidr: networks
                .iter()
                .map(|network| network.parse().unwrap())
                .collect(),
        },
    }
}

/// An empty fleet, for what tests do not look at.
pub fn fleet() -> Fleet {
    Fleet {
        zones: BTreeMap::new(),
        unknown_zone: UnknownZone::Refuse,
        sources: Vec::new(),
        regions: BTreeMap::new(),
        fallbacks: BTreeMap::new(),
        limits: Limits {
            connect: Duration::from_secs(1),
            first_token: Duration::from_secs(10),
            unstreamed: Duration::from_secs(60),
            prefill_rate: 2000,
            gap: Duration::from_secs(60),
            answer: Duration::from_secs(600),
            retries: 10_000,
            body: 1 << 20,
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

/// A zone of nobody, not pinned.
pub fn zone() -> Zone {
    Zone {
        countries: BTreeSet::new(),
        rest: false,
        pinned: false,
        regions: BTreeSet::new(),
        fallbacks: Vec::new(),
        misdirected: Misdirected::Refuse,
        order: Order::Nearest,
        limits: OwnLimits::default(),
    }
}

pub fn region<'m>(
    nearest: Vec<RegionName>,
    models: impl IntoIterator<Item = &'m str>,
    url: Option<String>,
) -> Region {
    let file = || "/tls.pem".to_string();
    let identity = KeyPair {
        certificate: file(),
        key: file(),
    };
    let pool = Pool::Endpoints(vec!["10.0.0.1:8000".parse().unwrap()]);
    Region {
        public: Public {
            listen: "0.0.0.0:8080".parse().unwrap(),
            url,
            tls: None,
        },
        gateway: Gateway {
            listen: "0.0.0.0:8443".parse().unwrap(),
            address: "gateway.example.com".into(),
            port: 8443,
            identity,
            ca: file(),
            replicas: 1,
        },
        admin: "127.0.0.1:9901".parse().unwrap(),
        nearest,
        round_trips: BTreeMap::new(),
        pools: models
            .into_iter()
            .map(|model| (ModelName::from(model), pool.clone()))
            .collect(),
        contexts: BTreeMap::new(),
        health_paths: BTreeMap::new(),
        signals: Vec::new(),
        price: None,
        vector_db: None,
    }
}

/// A vector database.
pub fn retrieves(role: Role) -> VectorDb {
    VectorDb {
        host: "10.0.0.2".into(),
        port: 19530,
        role,
        listen: "0.0.0.0:19530".parse().unwrap(),
        gateway_port: 8444,
    }
}

pub fn fallback(jurisdiction: &str) -> Fallback {
    Fallback {
        provider: Provider::OpenaiCompatible,
        endpoint: ProviderEndpoint {
            host: "api.example.com".into(),
            port: 443,
            tls: true,
            path: "/v1".into(),
        },
        jurisdiction: [jurisdiction.to_owned()].into(),
        api_key: Secret::Env("KEY".into()),
        context: None,
        budget: Budget::default(),
        price: None,
    }
}

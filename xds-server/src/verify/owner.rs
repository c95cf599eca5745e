//! The owner of every address, from the fleets.

use super::provider::{Provider, same_provider};
use crate::history::History;
use meridian_policy::fleet::Pool;
use meridian_policy::{Fleet, RegionName};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

/// The owner of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owner<'f> {
    /// An inference server in a region.
    Pool(&'f RegionName),
    /// A region's gateway.
    Gateway(&'f RegionName),
    /// The hosted provider of a fallback.
    Provider(Provider<'f>),
    /// A region's vector database.
    Database(&'f RegionName),
    /// A region's gateway, at the port of its vector database.
    DatabaseGateway(&'f RegionName),
}

impl fmt::Display for Owner<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pool(region) => write!(f, "a pool of `{region}`"),
            Self::Gateway(region) => write!(f, "the gateway of `{region}`"),
            Self::Database(region) => write!(f, "the vector database of `{region}`"),
            Self::DatabaseGateway(region) => {
                write!(f, "the vector database of `{region}`, by its gateway")
            }
            Self::Provider(provider) => {
                write!(f, "the provider of the fallback `{}`", provider.name)
            }
        }
    }
}

/// The owners of all addresses, as the home gateway reaches them. An address with two owners must be right for both.
pub struct Owners<'f> {
    /// By the fleets, the newest first.
    by_fleet: Vec<BTreeMap<Address, BTreeSet<Owner<'f>>>>,
    /// All definitions of providers at an address, by age. Those that equal a newer one are left out.
    providers: BTreeMap<Address, BTreeSet<Provider<'f>>>,
}

/// Host and port.
type Address = (String, u32);

impl<'f> Owners<'f> {
    pub fn of(history: &'f History, home: &RegionName) -> Self {
        let mut owners = Self {
            by_fleet: Vec::new(),
            providers: BTreeMap::new(),
        };
        for (age, fleet) in history.fleets().enumerate() {
            owners.by_fleet.push(of_regions(fleet, home));
            owners.add_providers(age, fleet);
        }
        owners
    }

    fn add_providers(&mut self, age: usize, fleet: &'f Fleet) {
        for (name, fallback) in &fleet.fallbacks {
            let provider = Provider {
                age,
                fleet,
                name,
                fallback,
            };
            let address = address(&fallback.endpoint.host, fallback.endpoint.port);
            let of_fleet = self.by_fleet[age].entry(address.clone());
            of_fleet.or_default().insert(Owner::Provider(provider));
            let known = self.providers.entry(address).or_default();
            let is_known = known
                .iter()
                .any(|newer| newer.name == name && same_provider(newer.fallback, fallback));
            if !is_known {
                known.insert(provider);
            }
        }
    }

    /// The owners of an address by the newest fleet that has it; empty if none does.
    pub fn at(&self, host: &str, port: u32) -> BTreeSet<Owner<'f>> {
        let address = (plain(host), port);
        let owners = self.by_fleet.iter();
        owners
            .filter_map(|owners| owners.get(&address))
            .next()
            .cloned()
            .unwrap_or_default()
    }

    /// All definitions of providers at an address.
    pub fn providers(&self, host: &str, port: u32) -> BTreeSet<Provider<'f>> {
        let providers = self.providers.get(&(plain(host), port));
        providers.cloned().unwrap_or_default()
    }
}

/// The owners of the addresses of regions, by one fleet.
fn of_regions<'f>(fleet: &'f Fleet, home: &RegionName) -> BTreeMap<Address, BTreeSet<Owner<'f>>> {
    let mut owners: BTreeMap<Address, BTreeSet<Owner<'f>>> = BTreeMap::new();
    let mut add = |address: Address, owner: Owner<'f>| {
        owners.entry(address).or_default().insert(owner);
    };
    let own: BTreeSet<Address> = pools(fleet, home).collect();
    let own_database = database(fleet, home);
    for (name, region) in &fleet.regions {
        let gateway = &region.gateway;
        add(
            address(&gateway.address, gateway.port),
            Owner::Gateway(name),
        );
        for address in pools(fleet, name) {
            let elsewhere = name != home && own.contains(&address);
            if !(elsewhere && is_local(&address.0)) {
                add(address, Owner::Pool(name));
            }
        }
        if let Some(address_of_database) = database(fleet, name)
            && let Some(database) = &region.vector_db
        {
            let elsewhere = name != home && own_database.as_ref() == Some(&address_of_database);
            if !(elsewhere && is_local(&address_of_database.0)) {
                add(address_of_database, Owner::Database(name));
            }
            let by_gateway = Owner::DatabaseGateway(name);
            add(address(&gateway.address, database.gateway_port), by_gateway);
        }
    }
    owners
}

fn address(host: &str, port: u16) -> Address {
    (plain(host), port.into())
}

/// The addresses of a region's pools.
fn pools(fleet: &Fleet, region: &RegionName) -> impl Iterator<Item = Address> {
    let region = fleet.regions.get(region);
    let pools = region.into_iter().flat_map(|region| region.pools.values());
    pools.flat_map(|pool| {
        let (endpoints, name) = match pool {
            Pool::Endpoints(endpoints) => (endpoints.as_slice(), None),
            Pool::Dns { host, port } => (&[][..], Some(address(host, *port))),
        };
        let endpoints = endpoints.iter().map(|endpoint| {
            let ip = endpoint.ip().to_canonical();
            (ip.to_string(), endpoint.port().into())
        });
        endpoints.chain(name)
    })
}

/// The address of a region's vector database.
fn database(fleet: &Fleet, region: &RegionName) -> Option<Address> {
    let database = fleet.regions.get(region)?.vector_db.as_ref()?;
    Some(address(&database.host, database.port))
}

/// Whether an address is local to a machine, a private network or a Kubernetes cluster. Dialled from the home gateway, it is the
/// home region's.
fn is_local(host: &str) -> bool {
    match host.parse::<IpAddr>().map(|ip| ip.to_canonical()) {
        Ok(IpAddr::V4(ip)) => {
            // 100.64.0.0/10 is shared address space.
            let shared = ip.octets()[0] == 100 && ip.octets()[1] & 0xc0 == 64;
            ip.is_loopback() || ip.is_private() || shared
        }
        Ok(IpAddr::V6(ip)) => ip.is_loopback() || ip.is_unique_local(),
        Err(_) => {
            host == "localhost" || host.ends_with(".svc") || host.ends_with(".svc.cluster.local")
        }
    }
}

/// The canonical form of a host: IPv4 mapped into IPv6 is the IPv4 address, and DNS ignores case.
fn plain(host: &str) -> String {
    host.parse::<IpAddr>().map_or_else(
        |_| host.to_ascii_lowercase(),
        |ip| ip.to_canonical().to_string(),
    )
}

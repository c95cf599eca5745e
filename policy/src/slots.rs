//! Which server of a pool takes a request. Envoy picks servers by a hash (Maglev) of a slot, a number that the gateway gives each
//! request, over those that it knows to be healthy; the gateway learns from the attempts which server a slot leads to, and
//! gives the slot of the server that will have read its prompts first. So health, addresses and names stay Envoy's matter.
//! Envoy's own least request counts requests: one that is read for seconds counts as much as one that is half generated.

use crate::name::ModelName;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use xxhash_rust::xxh3::xxh3_64;

/// Slots of a pool, of which each server has its part.
pub const SLOTS: u16 = 1024;

/// Bytes of prompts that a request counts as much as while it is in work: it makes every pass of its server longer.
const EACH: u64 = 600;
/// A pool's servers are all known, by all odds, once so many slots are for each of those that were found.
const ENOUGH: usize = 8;
/// One in so many requests goes to a slot that nothing is known of, before that and after. While a server has nothing to do every
/// one may: chance finds one as good.
const EXPLORES: (u64, u64) = (8, 64);
/// With affinity a server may have so many hundredths of the requests that all have in the mean, before others get those whose
/// place it is.
const BOUND: u64 = 125;

/// How a pool's server is picked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Balance {
    /// The one that has the least to do.
    #[default]
    LeastLoad,
    /// The one that conversations of this key are for, by hash, unless it has clearly more to do than the others.
    Affinity,
}

/// What the gateway of a region needs to pick servers for other gateways' requests, as the JSON that travels in Envoy's
/// configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PoolPolicy {
    /// How each of its pools balances.
    pub pools: BTreeMap<ModelName, Balance>,
}

impl PoolPolicy {
    /// How the pool of a model balances.
    pub fn balance(&self, model: &str) -> Balance {
        self.pools.get(model).copied().unwrap_or_default()
    }
}

/// What a server has to do, as far as it is seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Bytes of requests whose first token has not come.
    pub unread: u64,
    /// Requests.
    pub requests: u64,
}

impl Load {
    fn cost(self) -> u64 {
        self.unread
            .saturating_add(self.requests.saturating_mul(EACH))
    }

    fn and(self, other: Self) -> Self {
        Self {
            unread: self.unread.saturating_add(other.unread),
            requests: self.requests.saturating_add(other.requests),
        }
    }
}

/// A pool's servers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Slots {
    servers: Vec<Server>,
}

#[derive(Clone, Debug, PartialEq)]
struct Server {
    address: String,
    /// Those that lead to it.
    slots: Vec<u16>,
    own: Load,
    /// What the gateway's other workers see.
    elsewhere: Load,
}

impl Server {
    fn load(&self) -> Load {
        self.own.and(self.elsewhere)
    }

    fn is_gone(&self) -> bool {
        self.slots.is_empty() && self.load() == Load::default()
    }
}

/// What a request that begins adds, until it is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Begun {
    address: String,
    unread: u64,
}

/// A request that wants a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// How its pool balances.
    pub balance: Balance,
    /// The slot of its conversation, the same at every gateway.
    pub place: u16,
    /// A hash of the request itself.
    pub random: u64,
}

/// A hash of a request's id.
pub fn hash(id: &[u8]) -> u64 {
    xxh3_64(id)
}

/// The slot of a hash.
pub fn slot(hash: u64) -> u16 {
    (hash % u64::from(SLOTS)) as u16
}

impl Begun {
    /// The server.
    pub fn address(&self) -> &str {
        &self.address
    }
}

impl Slots {
    /// The slot of a request.
    pub fn pick(&self, ask: Ask) -> u16 {
        let random = ask.random;
        if ask.balance == Balance::Affinity {
            let own = ask.place % SLOTS;
            if self.at(own).is_none_or(|server| self.has_room(server)) {
                return own;
            }
        }
        let known = self.servers.iter().filter(|one| !one.slots.is_empty());
        let least = known.clone().map(|one| one.load().cost()).min();
        if ask.balance == Balance::LeastLoad
            && let Some(unknown) = self.explored(least == Some(0), random)
        {
            return unknown;
        }
        let best: Vec<&Server> = known
            .filter(|one| Some(one.load().cost()) == least)
            .collect();
        let one_of = |count: usize, hash: u64| (hash % count.max(1) as u64) as usize;
        let server = best.get(one_of(best.len(), random / 64));
        let its = server.and_then(|one| one.slots.get(one_of(one.slots.len(), random / 4096)));
        its.copied().unwrap_or_else(|| slot(random))
    }

    /// A slot that nothing is known of, for one of many requests: of few while servers may be unknown.
    fn explored(&self, one_is_idle: bool, random: u64) -> Option<u16> {
        let known: usize = self.servers.iter().map(|one| one.slots.len()).sum();
        let (before, after) = EXPLORES;
        let is_enough = known >= (self.servers.len() + 1) * ENOUGH;
        let every = match (is_enough, one_is_idle) {
            (true, _) => after,
            (false, true) => 1,
            (false, false) => before,
        };
        if !random.is_multiple_of(every) {
            return None;
        }
        let from = (random / every % u64::from(SLOTS)) as u16;
        let all = (from..SLOTS).chain(0..from);
        all.into_iter().find(|slot| self.at(*slot).is_none())
    }

    /// Whether a server may take one more by the bound of affinity.
    fn has_room(&self, server: &Server) -> bool {
        let all: u64 = self.servers.iter().map(|one| one.load().requests).sum();
        let count = self.servers.len() as u64;
        let most = (BOUND * (all + 1)).div_ceil(100 * count.max(1));
        server.load().requests < most
    }

    fn at(&self, slot: u16) -> Option<&Server> {
        self.servers.iter().find(|one| one.slots.contains(&slot))
    }

    /// A slot has led to this server.
    pub fn learn(&mut self, slot: u16, address: &str) {
        let slot = slot % SLOTS;
        if self.at(slot).is_some_and(|one| one.address == address) {
            return;
        }
        // Who is not where it was is gone, or has less slots than before: what was known of it may be wrong altogether.
        if let Some(other) = self.servers.iter_mut().find(|o| o.slots.contains(&slot)) {
            other.slots.clear();
        }
        self.server(address).slots.push(slot);
        self.servers.retain(|one| !one.is_gone());
    }

    /// The server that a slot is known to lead to.
    pub fn address(&self, slot: u16) -> Option<&str> {
        self.at(slot).map(|one| one.address.as_str())
    }

    /// A server has failed: no slot is known to lead to it any more.
    pub fn forget(&mut self, begun: &Begun) {
        self.server(&begun.address).slots.clear();
    }

    /// A request of so many bytes is sent to a server.
    pub fn begin(&mut self, address: &str, bytes: u64) -> Begun {
        let own = &mut self.server(address).own;
        own.unread = own.unread.saturating_add(bytes);
        own.requests = own.requests.saturating_add(1);
        Begun {
            address: address.to_owned(),
            unread: bytes,
        }
    }

    /// Its prompt has been read: the first token is here.
    pub fn first_token(&mut self, begun: &mut Begun) {
        let read = std::mem::take(&mut begun.unread);
        let own = &mut self.server(&begun.address).own;
        own.unread = own.unread.saturating_sub(read);
    }

    /// It is over.
    pub fn end(&mut self, mut begun: Begun) {
        self.first_token(&mut begun);
        let own = &mut self.server(&begun.address).own;
        own.requests = own.requests.saturating_sub(1);
        self.servers.retain(|one| !one.is_gone());
    }

    /// What this worker sees of each server, if it is anything.
    pub fn own(&self) -> impl Iterator<Item = (&str, Load)> {
        let busy = self.servers.iter().filter(|one| one.own != Load::default());
        busy.map(|one| (one.address.as_str(), one.own))
    }

    /// What the gateway's other workers see, of each server that they see anything of.
    pub fn hear<'a>(&mut self, elsewhere: impl IntoIterator<Item = (&'a str, Load)>) {
        for server in &mut self.servers {
            server.elsewhere = Load::default();
        }
        for (address, load) in elsewhere {
            let server = self.server(address);
            server.elsewhere = server.elsewhere.and(load);
        }
        self.servers.retain(|one| !one.is_gone());
    }

    fn server(&mut self, address: &str) -> &mut Server {
        let place = self.servers.iter().position(|one| one.address == address);
        let place = place.unwrap_or_else(|| {
            self.servers.push(Server {
                address: address.to_owned(),
                slots: Vec::new(),
                own: Load::default(),
                elsewhere: Load::default(),
            });
            self.servers.len() - 1
        });
        &mut self.servers[place]
    }
}

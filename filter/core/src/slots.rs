//! Which server of a pool takes a request. Envoy picks servers by a hash (Maglev) of a slot, a number that the gateway gives each
//! request, over those that it knows to be healthy; the gateway learns from the attempts which server a slot slot_map to, and
//! gives the slot of the server that will have read its prompts first. So health, addresses and names stay Envoy's matter.
//! Envoy's own least request counts requests: one that is read for seconds counts as much as one that is half generated.

use meridian_policy::pool_policy::Balance;
use std::collections::BTreeMap;
use xxhash_rust::xxh3::xxh3_64;

/// Slots of a pool, of which each server has its part: enough for a thousand servers, of whom with 1024 a third would have none.
pub const SLOTS: u16 = 16_384;

/// Bytes of prompts that a request counts as much as while it is in work: it makes every pass of its server longer.
const EACH: u64 = 600;
/// A pool's servers are all known, by all odds, once so many slots are for each of those that were found.
const ENOUGH: usize = 8;
/// One in so many requests goes to a slot that nothing is known of, before that and after. While a server has nothing to do every
/// one may: chance finds one as good.
const EXPLORES: (u64, u64) = (8, 512);
/// Slots that are tried, and how far they are apart.
const TRIES: u64 = 8;
const PRIME: u64 = 509;
/// A server is gone when so many slots in a row led elsewhere that are known to lead to it.
const MISROUTES: u32 = 3;
/// A server that failed is left alone for so long, in milliseconds; after each failure more twice as long, so many times.
const BACKOFF_MS: u64 = 1000;
const LONGER: u32 = 4;
/// With affinity a server may have so many hundredths of the requests that all have in the mean, before others get those whose
/// place it is.
const BOUND: u64 = 125;

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
    /// By their addresses.
    servers: BTreeMap<String, Server>,
    /// Which server each known slot slot_map to, by its address.
    slot_map: BTreeMap<u16, String>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Server {
    /// Those that lead to it.
    slots: Vec<u16>,
    own: Load,
    /// What the gateway's other workers see.
    elsewhere: Load,
    /// Failures in a row.
    failures: u32,
    /// Until when it is left alone for them, in milliseconds.
    backoff_until: u64,
    /// Slots in a row that have led elsewhere.
    misroutes: u32,
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
    is_judged: bool,
}

/// A request that wants a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// How its pool balances.
    pub balance: Balance,
    /// The slot of its conversation, the same at every gateway.
    pub affinity_slot: u16,
    /// A hash of the request itself.
    pub random: u64,
    /// By the gateway's own clock, in milliseconds.
    pub now_ms: u64,
}

/// A hash of a request's id.
pub fn hash(id: &[u8]) -> u64 {
    xxh3_64(id)
}

/// Whether this status is a server's failure, after which it is left alone for a while: it has too much, or does not work.
pub fn is_failure(status: u16) -> bool {
    status == 429 || status >= 500
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

    /// Its first token has come.
    pub fn is_read(&self) -> bool {
        self.unread == 0
    }
}

impl Slots {
    /// The slot of a request.
    pub fn pick(&self, ask: Ask) -> u16 {
        let Ask { random, now_ms, .. } = ask;
        if ask.balance == Balance::Affinity {
            let own = ask.affinity_slot % SLOTS;
            let may = |server: &Server| server.backoff_until <= now_ms && self.has_room(server);
            if self.at(own).is_none_or(may) {
                return own;
            }
        }
        let known = || self.servers.values().filter(|one| !one.slots.is_empty());
        let well: Vec<&Server> = known().filter(|one| one.backoff_until <= now_ms).collect();
        let among = if well.is_empty() {
            known().collect()
        } else {
            well
        };
        let least = among.iter().map(|one| one.load().cost()).min();
        if ask.balance == Balance::LeastLoad
            && let Some(unknown) = self.explored(least == Some(0), random)
        {
            return unknown;
        }
        let best = among
            .iter()
            .filter(|one| Some(one.load().cost()) == least)
            .collect::<Vec<_>>();
        let one_of = |count: usize, hash: u64| (hash % count.max(1) as u64) as usize;
        let server = best.get(one_of(best.len(), random / 64));
        let its = server.and_then(|one| one.slots.get(one_of(one.slots.len(), random / 4096)));
        its.copied().unwrap_or_else(|| slot(random))
    }

    /// A slot that nothing is known of, for one of many requests: of few while servers may be unknown.
    fn explored(&self, one_is_idle: bool, random: u64) -> Option<u16> {
        let (before, after) = EXPLORES;
        let is_enough = self.slot_map.len() >= (self.servers.len() + 1) * ENOUGH;
        let every = match (is_enough, one_is_idle) {
            (true, _) => after,
            (false, true) => 1,
            (false, false) => before,
        };
        if !random.is_multiple_of(every) {
            return None;
        }
        let tries = (0..TRIES).map(|turn| slot((random / every).wrapping_add(turn * PRIME)));
        let unknown = |slot: &u16| !self.slot_map.contains_key(slot);
        tries.into_iter().find(unknown)
    }

    /// Whether a server may take one more by the bound of affinity.
    fn has_room(&self, server: &Server) -> bool {
        let all: u64 = self.servers.values().map(|one| one.load().requests).sum();
        let count = self.servers.len() as u64;
        let most = (BOUND * (all + 1)).div_ceil(100 * count.max(1));
        server.load().requests < most
    }

    fn at(&self, slot: u16) -> Option<&Server> {
        self.servers.get(self.slot_map.get(&slot)?)
    }

    /// A slot has led to this server.
    pub fn learn(&mut self, slot: u16, address: &str) {
        let slot = slot % SLOTS;
        let before = self.slot_map.insert(slot, address.to_owned());
        if before.as_deref() == Some(address) {
            self.change(address, |server| server.misroutes = 0);
            return;
        }
        if let Some(before) = before {
            let lost = self.change(&before, |server| {
                server.misroutes += 1;
                server.slots.retain(|other| *other != slot);
                // One is a change of the others' places; several are a server that is gone.
                let is_gone = server.misroutes >= MISROUTES;
                if is_gone {
                    std::mem::take(&mut server.slots)
                } else {
                    Vec::new()
                }
            });
            for slot in lost {
                self.slot_map.remove(&slot);
            }
        }
        self.change(address, |server| server.slots.push(slot));
        self.forget_gone();
    }

    /// The server that a slot is known to lead to.
    pub fn address(&self, slot: u16) -> Option<&str> {
        self.slot_map.get(&slot).map(String::as_str)
    }

    /// A request of so many bytes is sent to a server.
    pub fn begin(&mut self, address: &str, bytes: u64) -> Begun {
        self.change(address, |server| {
            server.own.unread = server.own.unread.saturating_add(bytes);
            server.own.requests = server.own.requests.saturating_add(1);
        });
        Begun {
            address: address.to_owned(),
            unread: bytes,
            is_judged: false,
        }
    }

    /// Its prompt has been read: the first token is here.
    pub fn first_token(&mut self, begun: &mut Begun) {
        let read = std::mem::take(&mut begun.unread);
        self.change(&begun.address, |server| {
            server.own.unread = server.own.unread.saturating_sub(read);
        });
    }

    /// Its server has failed it, unless it has answered already, and is left alone for a while: for longer, the more often it has
    /// in a row.
    pub fn failed(&mut self, begun: &mut Begun, now_ms: u64) {
        if std::mem::replace(&mut begun.is_judged, true) {
            return;
        }
        self.change(&begun.address, |server| {
            let longer = 1 << server.failures.min(LONGER);
            server.failures = server.failures.saturating_add(1);
            server.backoff_until = now_ms.saturating_add(BACKOFF_MS * longer);
        });
    }

    /// Its server has answered it.
    pub fn answered(&mut self, begun: &mut Begun) {
        if !std::mem::replace(&mut begun.is_judged, true) {
            self.change(&begun.address, |server| server.failures = 0);
        }
    }

    /// It is over. Of one that was neither answered nor failed nothing follows.
    pub fn end(&mut self, mut begun: Begun) {
        self.first_token(&mut begun);
        self.change(&begun.address, |server| {
            server.own.requests = server.own.requests.saturating_sub(1);
        });
        self.forget_gone();
    }

    /// What this worker sees of each server, if it is anything.
    pub fn own(&self) -> impl Iterator<Item = (&str, Load)> {
        let each = self.servers.iter();
        let busy = each.filter(|(_, one)| one.own != Load::default());
        busy.map(|(address, one)| (address.as_str(), one.own))
    }

    /// What the gateway's other workers see, of each server that they see anything of.
    pub fn set_elsewhere<'a>(&mut self, elsewhere: impl IntoIterator<Item = (&'a str, Load)>) {
        for server in self.servers.values_mut() {
            server.elsewhere = Load::default();
        }
        for (address, load) in elsewhere {
            self.change(address, |server| {
                server.elsewhere = server.elsewhere.and(load)
            });
        }
        self.forget_gone();
    }

    fn forget_gone(&mut self) {
        self.servers.retain(|_, one| !one.is_gone());
    }

    fn change<R>(&mut self, address: &str, change: impl FnOnce(&mut Server) -> R) -> R {
        if let Some(server) = self.servers.get_mut(address) {
            return change(server);
        }
        change(self.servers.entry(address.to_owned()).or_default())
    }
}

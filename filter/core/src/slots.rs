//! Picks the server of a pool for a request.
//!
//! Envoy picks a server by a consistent hash (Maglev) of the request's slot, among the servers that it knows to be healthy. The
//! gateway gives each request a slot. From the attempts it learns the server of each slot. It gives a request the slot of the
//! server that will have read its prompts first. Envoy stays responsible for health, addresses and names.
//!
//! Envoy's own least-request balancer does not fit. It counts a request whose long prompt is being read like a request that is
//! half generated.

use meridian_policy::pool_policy::Balance;
use std::collections::BTreeMap;
use xxhash_rust::xxh3::xxh3_64;

/// Slots of a pool. Each server has a share of them: with 16,384 slots each of a thousand servers has some. With 1024 slots a
/// third of a thousand servers would have none.
pub const SLOT_COUNT: u16 = 16_384;

/// Cost of a request in work, in bytes of unread prompt: each request makes every forward pass of its server longer.
const REQUEST_BYTES: u64 = 600;
/// Slots that an exploring request tries.
const EXPLORE_TRIES: u64 = 8;
/// Distance between the slots that an exploring request tries: a prime, so that they do not repeat.
const EXPLORE_STEP: u64 = 509;
/// A server counts as gone once this many of its slots in a row led to other servers. Of a pool's two servers, one that comes back
/// takes half of the other one's slots: so many in a row are then rare.
const MAX_MISROUTES: u32 = 8;
/// A server that failed or is gone gets no requests for this time, in milliseconds. The time doubles with each further failure in
/// a row, or each further slot that led elsewhere.
const BACKOFF_MS: u64 = 1000;
/// The back-off time doubles at most this many times.
const MAX_BACKOFF_DOUBLINGS: u32 = 4;
/// With affinity a server may have at most this percentage of the mean number of requests. Above it, other servers take its
/// conversations (consistent hashing with bounded loads).
const AFFINITY_LOAD_PERCENT: u64 = 125;

/// The load of a server, as far as this gateway sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServerLoad {
    /// Bytes of the requests whose first token has not come.
    pub unread_bytes: u64,
    /// Requests in work.
    pub requests: u64,
}

impl ServerLoad {
    fn cost(self) -> u64 {
        self.unread_bytes
            .saturating_add(self.requests.saturating_mul(REQUEST_BYTES))
    }

    fn plus(self, other: Self) -> Self {
        Self {
            unread_bytes: self.unread_bytes.saturating_add(other.unread_bytes),
            requests: self.requests.saturating_add(other.requests),
        }
    }
}

/// The servers of a pool, and the slots that lead to them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SlotTable {
    /// The known servers, by address.
    servers: BTreeMap<String, Server>,
    /// The address of the server of each known slot.
    slot_map: BTreeMap<u16, String>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Server {
    /// The slots that lead to the server.
    slots: Vec<u16>,
    /// The load that this worker sends.
    own: ServerLoad,
    /// The load that the gateway's other workers send.
    other_workers: ServerLoad,
    /// Failures in a row.
    failures: u32,
    /// The server gets no requests until this time, in milliseconds.
    backoff_until: u64,
    /// Slots of the server that led to other servers, in a row.
    misroutes: u32,
}

impl Server {
    fn load(&self) -> ServerLoad {
        self.own.plus(self.other_workers)
    }

    /// Gets no requests for a while. `before`: how often that happened before, in a row.
    fn back_off(&mut self, before: u32, now_ms: u64) {
        let factor = 1 << before.min(MAX_BACKOFF_DOUBLINGS);
        self.backoff_until = now_ms.saturating_add(BACKOFF_MS * factor);
    }

    fn is_gone(&self) -> bool {
        self.slots.is_empty() && self.load() == ServerLoad::default()
    }
}

/// A request in work at a server. [`SlotTable::end`] takes its load off the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InFlight {
    address: String,
    unread_bytes: u64,
    /// The server had failed before, and is being tried again.
    is_probe: bool,
    /// The server has answered or failed the request.
    is_judged: bool,
}

/// A request for a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotRequest {
    /// The balancing policy of the pool.
    pub balance: Balance,
    /// The slot of the request's conversation, the same at every gateway.
    pub affinity_slot: u16,
    /// A hash of the request's id.
    pub random: u64,
    /// The time by the gateway's own clock, in milliseconds.
    pub now_ms: u64,
}

/// A hash of a request's id.
pub fn hash(id: &[u8]) -> u64 {
    xxh3_64(id)
}

/// Whether a status is a failure of the server, after which it gets no requests for a while: it is overloaded or broken.
pub fn is_failure(status: u16) -> bool {
    status == 429 || status >= 500
}

/// The slot of a hash.
pub fn slot(hash: u64) -> u16 {
    (hash % u64::from(SLOT_COUNT)) as u16
}

impl InFlight {
    /// The address of the server.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Whether the first token has come.
    pub fn has_first_token(&self) -> bool {
        self.unread_bytes == 0
    }
}

impl SlotTable {
    /// Picks the slot of a request.
    pub fn pick(&self, request: SlotRequest) -> u16 {
        let SlotRequest { random, now_ms, .. } = request;
        if request.balance == Balance::Affinity
            && let Some(slot) = self.pick_by_affinity(request)
        {
            return slot;
        }
        let candidates = self.candidates(now_ms);
        let costs = || candidates.iter().map(|server| server.load().cost());
        let (least, all_idle) = (costs().min(), costs().all(|cost| cost == 0));
        // Where some servers are idle and others are not, no unknown server is better than an idle one, and it may be a busy one.
        // While a server is left alone, an unknown slot may be its own: a new server is found by the known slots that it takes over.
        let nobody_is_left_alone = candidates.len() == self.known().count();
        if request.balance == Balance::LeastLoad
            && nobody_is_left_alone
            && (all_idle || least > Some(0))
            && let Some(unknown) = self.pick_unknown(random)
        {
            return unknown;
        }
        let best = candidates
            .iter()
            .filter(|server| Some(server.load().cost()) == least)
            .collect::<Vec<_>>();
        let index = |count: usize, hash: u64| (hash % count.max(1) as u64) as usize;
        let server = best.get(index(best.len(), random / 64));
        let picked =
            server.and_then(|server| server.slots.get(index(server.slots.len(), random / 4096)));
        picked.copied().unwrap_or_else(|| slot(random))
    }

    /// The slot of the request's conversation, unless its server is in back-off or above the load bound.
    fn pick_by_affinity(&self, request: SlotRequest) -> Option<u16> {
        let slot = request.affinity_slot % SLOT_COUNT;
        let may = |server: &Server| {
            server.backoff_until <= request.now_ms && self.is_below_load_bound(server)
        };
        self.server_of(slot).is_none_or(may).then_some(slot)
    }

    /// The servers with known slots that are not in back-off; all with known slots if every one is in back-off.
    fn candidates(&self, now_ms: u64) -> Vec<&Server> {
        let is_ready = |server: &&Server| server.backoff_until <= now_ms;
        let ready: Vec<&Server> = self.known().filter(is_ready).collect();
        if ready.is_empty() {
            self.known().collect()
        } else {
            ready
        }
    }

    /// The servers with known slots.
    fn known(&self) -> impl Iterator<Item = &Server> {
        let servers = self.servers.values();
        servers.filter(|server| !server.slots.is_empty())
    }

    /// A slot whose server is unknown, for the requests that explore. Their part is the chance that an unknown slot leads to an
    /// unknown server: by Good and Turing, the part of the known slots that are their server's only one. One is added, so that a
    /// pool of one server and a new server are explored as well.
    fn pick_unknown(&self, random: u64) -> Option<u16> {
        let single = |server: &&Server| server.slots.len() == 1;
        let singles = self.servers.values().filter(single).count() as u64 + 1;
        let known = self.slot_map.len() as u64 + 1;
        if random % known >= singles {
            return None;
        }
        let first = random / known;
        (0..EXPLORE_TRIES)
            .map(|turn| slot(first.wrapping_add(turn * EXPLORE_STEP)))
            .find(|slot| !self.slot_map.contains_key(slot))
    }

    /// Whether a server may take one more request by the load bound of affinity.
    fn is_below_load_bound(&self, server: &Server) -> bool {
        let servers = self.servers.values();
        let all: u64 = servers.map(|server| server.load().requests).sum();
        let count = self.servers.len() as u64;
        let bound = (AFFINITY_LOAD_PERCENT * (all + 1)).div_ceil(100 * count.max(1));
        server.load().requests < bound
    }

    fn server_of(&self, slot: u16) -> Option<&Server> {
        self.servers.get(self.slot_map.get(&slot)?)
    }

    /// Learns that a slot led to the server at this address.
    pub fn learn(&mut self, slot: u16, address: &str, now_ms: u64) {
        let slot = slot % SLOT_COUNT;
        if self.is_out_for_a_while(slot, address, now_ms) {
            return;
        }
        let before = self.slot_map.insert(slot, address.to_owned());
        let is_new = before.as_deref() != Some(address);
        if let Some(before) = before.filter(|_| is_new) {
            self.note_misroute(&before, slot, now_ms);
        }
        self.change(address, |server| {
            if server.misroutes >= MAX_MISROUTES {
                // It was gone, and is back.
                server.backoff_until = now_ms;
            }
            server.misroutes = 0;
            if is_new {
                server.slots.push(slot);
            }
        });
        self.forget_gone();
    }

    /// Whether a slot led to this address because its own server fails, and Envoy has taken that one out for a while. Then the slot
    /// stays the failing server's: once that is back, the slot would lead a request to it that is meant for this address.
    fn is_out_for_a_while(&mut self, slot: u16, address: &str, now_ms: u64) -> bool {
        let before = self.slot_map.get(&slot).filter(|before| *before != address);
        let server = before.and_then(|before| self.servers.get_mut(before));
        let failing =
            server.filter(|server| server.failures > 0 && server.misroutes < MAX_MISROUTES);
        let Some(server) = failing else {
            return false;
        };
        server.misroutes += 1;
        server.back_off(server.failures.saturating_add(server.misroutes), now_ms);
        true
    }

    /// A slot of this server led to another server. One misroute means that the hash table has changed. Several in a row mean
    /// that the server is gone. The slots that it has left are tried at growing pauses: they lead to it again once it is back,
    /// and until then to servers that serve as well.
    fn note_misroute(&mut self, address: &str, slot: u16, now_ms: u64) {
        self.change(address, |server| {
            server.misroutes = server.misroutes.saturating_add(1);
            server.slots.retain(|other| *other != slot);
            if let Some(further) = server.misroutes.checked_sub(MAX_MISROUTES) {
                server.back_off(further, now_ms);
            }
        });
    }

    /// The address of the server of a slot, if it is known.
    pub fn address(&self, slot: u16) -> Option<&str> {
        self.slot_map.get(&slot).map(String::as_str)
    }

    /// Adds a request of this many bytes to a server's load. At a server whose back-off is over it is a probe: others
    /// wait for what comes of it.
    pub fn begin(&mut self, address: &str, bytes: u64, now_ms: u64) -> InFlight {
        let is_probe = self.change(address, |server| {
            let is_probe = server.failures > 0 && server.backoff_until <= now_ms;
            if is_probe {
                server.back_off(server.failures, now_ms);
            }
            server.own.unread_bytes = server.own.unread_bytes.saturating_add(bytes);
            server.own.requests = server.own.requests.saturating_add(1);
            is_probe
        });
        InFlight {
            address: address.to_owned(),
            unread_bytes: bytes,
            is_probe,
            is_judged: false,
        }
    }

    /// The first token of a request has come: its prompt no longer counts as unread.
    pub fn first_token(&mut self, request: &mut InFlight) {
        let read = std::mem::take(&mut request.unread_bytes);
        self.change(&request.address, |server| {
            server.own.unread_bytes = server.own.unread_bytes.saturating_sub(read);
        });
    }

    /// The server has failed a request: it gets no requests for a while. Does nothing if the server has already answered or
    /// failed this request.
    pub fn failed(&mut self, request: &mut InFlight, now_ms: u64) {
        if std::mem::replace(&mut request.is_judged, true) {
            return;
        }
        self.change(&request.address, |server| {
            server.back_off(server.failures, now_ms);
            server.failures = server.failures.saturating_add(1);
        });
    }

    /// The server has answered a request.
    pub fn answered(&mut self, request: &mut InFlight) {
        if !std::mem::replace(&mut request.is_judged, true) {
            self.change(&request.address, |server| {
                server.failures = 0;
                if request.is_probe {
                    server.backoff_until = 0;
                }
            });
        }
    }

    /// Takes a request off its server's load. A request that was neither answered nor failed does not change the back-off.
    pub fn end(&mut self, mut request: InFlight) {
        self.first_token(&mut request);
        self.change(&request.address, |server| {
            server.own.requests = server.own.requests.saturating_sub(1);
        });
        self.forget_gone();
    }

    /// The load that this worker sends to each server, without idle servers.
    pub fn own_loads(&self) -> impl Iterator<Item = (&str, ServerLoad)> {
        let servers = self.servers.iter();
        let busy = servers.filter(|(_, server)| server.own != ServerLoad::default());
        busy.map(|(address, server)| (address.as_str(), server.own))
    }

    /// Replaces the loads that the gateway's other workers send.
    pub fn set_other_workers<'a>(
        &mut self,
        loads: impl IntoIterator<Item = (&'a str, ServerLoad)>,
    ) {
        for server in self.servers.values_mut() {
            server.other_workers = ServerLoad::default();
        }
        for (address, load) in loads {
            self.change(address, |server| {
                server.other_workers = server.other_workers.plus(load);
            });
        }
        self.forget_gone();
    }

    fn forget_gone(&mut self) {
        self.servers.retain(|_, server| !server.is_gone());
    }

    fn change<R>(&mut self, address: &str, change: impl FnOnce(&mut Server) -> R) -> R {
        if let Some(server) = self.servers.get_mut(address) {
            return change(server);
        }
        change(self.servers.entry(address.to_owned()).or_default())
    }
}

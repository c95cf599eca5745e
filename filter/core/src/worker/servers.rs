//! The load of the servers of this region's pools, by what this Envoy sends them. Workers tell each other at once, so that no
//! two choose the same server.

use super::board::Board;
use crate::host::Host;
use crate::slots::{InFlight, ServerLoad, SlotRequest, SlotTable, is_failure};
use hashbrown::HashMap;

/// Other workers' loads are read again after this time, in milliseconds: reading takes longer than picking.
const FRESH_MS: u64 = 2;

/// The bytes of a request whose length is not known.
const BYTES: u64 = 4096;

#[derive(Debug)]
struct Pool {
    /// What the workers tell each other about it.
    topic: String,
    slots: SlotTable,
    /// When the other workers' loads were read last, in milliseconds.
    read_at: u64,
    /// When a slot was picked last, in milliseconds.
    picked_at: u64,
}

impl Pool {
    fn new(model: &str) -> Self {
        Self {
            topic: format!("servers {model}"),
            slots: SlotTable::default(),
            read_at: 0,
            picked_at: 0,
        }
    }

    /// Tells the other workers the loads: a line for each server, with bytes, requests and address.
    fn publish(&self, host: &dyn Host, board: &Board) {
        let mut text = String::new();
        for (address, load) in self.slots.own_loads() {
            let ServerLoad {
                unread_bytes,
                requests,
            } = load;
            text += &unread_bytes.to_string();
            text += " ";
            text += &requests.to_string();
            text += " ";
            text += address;
            text += "\n";
        }
        board.write(host, &self.topic, &text);
    }
}

/// The pools of this region, by model.
#[derive(Debug, Default)]
pub struct Servers(HashMap<String, Pool>);

/// A request at a server, until it [ends](Servers::end).
#[derive(Debug)]
pub struct ServerRequest {
    model: String,
    in_flight: InFlight,
}

impl Servers {
    /// The slot of a request.
    pub fn pick(&mut self, host: &dyn Host, board: &Board, model: &str, ask: SlotRequest) -> u16 {
        let pool = self.pool(model);
        pool.picked_at = ask.now_ms;
        if ask.now_ms.abs_diff(pool.read_at) >= FRESH_MS {
            pool.read_at = ask.now_ms;
            let texts = board.read(host, &pool.topic);
            let lines = texts.iter().flat_map(|text| text.lines());
            pool.slots.set_other_workers(lines.filter_map(load));
        }
        pool.slots.pick(ask)
    }

    /// The server that a slot is known to lead to.
    pub fn address(&self, model: &str, slot: u16) -> Option<&str> {
        self.0.get(model)?.slots.address(slot)
    }

    /// A slot has led to this server.
    pub fn learn(&mut self, model: &str, slot: u16, address: &str) {
        let pool = self.pool(model);
        pool.slots.learn(slot, address, pool.picked_at);
    }

    /// A request is sent to a server. `length`: its bytes, as a header has them.
    pub fn begin(
        &mut self,
        host: &dyn Host,
        board: &Board,
        model: &str,
        address: &str,
        length: &str,
    ) -> ServerRequest {
        let bytes = length.parse().unwrap_or(BYTES);
        let pool = self.pool(model);
        let in_flight = pool.slots.begin(address, bytes, pool.picked_at);
        pool.publish(host, board);
        ServerRequest {
            model: model.to_owned(),
            in_flight,
        }
    }

    /// The server has failed the request, unless it has answered already, and is left alone for a while.
    pub fn failed(&mut self, request: &mut ServerRequest, now_ms: u64) {
        let ServerRequest { model, in_flight } = request;
        self.pool(model).slots.failed(in_flight, now_ms);
    }

    /// The server has answered with this status.
    pub fn answered(&mut self, request: &mut ServerRequest, status: u16, now_ms: u64) {
        if is_failure(status) {
            self.failed(request, now_ms);
        } else {
            let ServerRequest { model, in_flight } = request;
            self.pool(model).slots.answered(in_flight);
        }
    }

    /// The first token of the request has come.
    pub fn first_token(&mut self, host: &dyn Host, board: &Board, request: &mut ServerRequest) {
        let ServerRequest { model, in_flight } = request;
        if !in_flight.has_first_token() {
            let pool = self.pool(model);
            pool.slots.first_token(in_flight);
            pool.publish(host, board);
        }
    }

    /// The request is over.
    pub fn end(&mut self, host: &dyn Host, board: &Board, request: ServerRequest) {
        let ServerRequest { model, in_flight } = request;
        let pool = self.pool(&model);
        pool.slots.end(in_flight);
        pool.publish(host, board);
    }

    /// Requests at all servers.
    pub fn requests(&self) -> u64 {
        let loads = self.0.values().flat_map(|pool| pool.slots.own_loads());
        loads.map(|(_, load)| load.requests).sum()
    }

    /// Tells the other workers all loads again: this worker has another place.
    pub fn publish_all(&self, host: &dyn Host, board: &Board) {
        for pool in self.0.values() {
            pool.publish(host, board);
        }
    }

    fn pool(&mut self, model: &str) -> &mut Pool {
        self.0.entry_ref(model).or_insert_with(|| Pool::new(model))
    }
}

fn load(line: &str) -> Option<(&str, ServerLoad)> {
    let (unread, rest) = line.split_once(' ')?;
    let (requests, address) = rest.split_once(' ')?;
    let load = ServerLoad {
        unread_bytes: unread.parse().ok()?,
        requests: requests.parse().ok()?,
    };
    Some((address, load))
}

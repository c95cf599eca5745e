//! The choice of a pool's server, with a stand-in for Envoy's hash.

use crate::slots::{InFlight, SLOT_COUNT, ServerLoad, SlotRequest, SlotTable, hash, is_failure};
use meridian_policy::pool_policy::Balance;
use proptest::prelude::*;
use std::collections::BTreeSet;

/// The healthy servers, by address. A slot leads to one of them.
struct Envoy(Vec<&'static str>);

impl Envoy {
    fn server_of(&self, slot: u16) -> &'static str {
        // Rendezvous hashing: a server that leaves or joins changes its own slots only.
        let weight = |server: &&&str| hash(format!("{slot} {server}").as_bytes());
        self.0.iter().max_by_key(weight).unwrap()
    }
}

fn slot_request(balance: Balance, number: u64) -> SlotRequest {
    SlotRequest {
        balance,
        affinity_slot: (number % 7) as u16,
        random: hash(&number.to_le_bytes()),
        now_ms: number,
    }
}

/// Sends a request to the server that its slot leads to.
fn send(slots: &mut SlotTable, envoy: &Envoy, request: SlotRequest, bytes: u64) -> InFlight {
    let slot = slots.pick(request);
    let address = envoy.server_of(slot);
    slots.learn(slot, address, request.now_ms);
    slots.begin(address, bytes, request.now_ms)
}

/// A table that knows all servers.
fn learnt(envoy: &Envoy) -> SlotTable {
    let mut slots = SlotTable::default();
    for number in 0..400 {
        let mut request = send(
            &mut slots,
            envoy,
            slot_request(Balance::LeastLoad, number),
            100,
        );
        slots.answered(&mut request);
        slots.end(request);
    }
    slots
}

const THREE: [&str; 3] = ["10.0.0.1:8000", "10.0.0.2:8000", "10.0.0.3:8000"];

fn servers(slots: &mut SlotTable, envoy: &Envoy, from: u64, count: u64) -> Vec<String> {
    let mut servers = Vec::new();
    for number in from..from + count {
        let mut request = send(slots, envoy, slot_request(Balance::LeastLoad, number), 100);
        servers.push(request.address().to_owned());
        slots.answered(&mut request);
        slots.end(request);
    }
    servers
}

fn count(servers: &[String], address: &str) -> usize {
    servers.iter().filter(|one| *one == address).count()
}

#[test]
fn a_server_with_a_long_unread_prompt_gets_few_requests() {
    let envoy = Envoy(THREE.to_vec());
    let mut slots = learnt(&envoy);
    let mut long = slots.begin(THREE[0], 40_000, 0);
    // The other servers have more requests, but have read their prompts.
    let others = THREE[1..].iter().flat_map(|server| [server; 20]);
    let busy: Vec<InFlight> = others
        .map(|server| {
            let mut request = slots.begin(server, 1000, 0);
            slots.first_token(&mut request);
            request
        })
        .collect();
    let picked = servers(&mut slots, &envoy, 1000, 200);
    assert!(
        count(&picked, THREE[0]) <= 5,
        "{}",
        count(&picked, THREE[0])
    );
    slots.first_token(&mut long);
    let picked = servers(&mut slots, &envoy, 2000, 200);
    assert!(
        count(&picked, THREE[0]) >= 190,
        "{}",
        count(&picked, THREE[0])
    );
    for request in busy {
        slots.end(request);
    }
    slots.end(long);
    let picked = servers(&mut slots, &envoy, 3000, 300);
    for server in THREE {
        assert!(count(&picked, server) > 60, "all servers are idle");
    }
}

#[test]
fn loads_of_other_workers_count() {
    let envoy = Envoy(THREE.to_vec());
    let mut slots = learnt(&envoy);
    let much = ServerLoad {
        unread_bytes: 40_000,
        requests: 1,
    };
    slots.set_other_workers([(THREE[0], much), (THREE[1], much)]);
    let picked = servers(&mut slots, &envoy, 1000, 100);
    assert!(count(&picked, THREE[2]) >= 95);
    slots.set_other_workers([]);
    let picked = servers(&mut slots, &envoy, 2000, 300);
    assert!(count(&picked, THREE[0]) > 60);
}

#[test]
fn a_server_that_failed_gets_no_requests_for_a_while() {
    let envoy = Envoy(THREE.to_vec());
    let mut slots = learnt(&envoy);
    let busy = [slots.begin(THREE[1], 100, 0), slots.begin(THREE[2], 100, 0)];
    let fails = |slots: &mut SlotTable, now_ms: u64| {
        let mut request = slots.begin(THREE[0], 100, now_ms);
        slots.failed(&mut request, now_ms);
        slots.failed(&mut request, now_ms + 500);
        slots.end(request);
    };
    fails(&mut slots, 1000);
    let picked = servers(&mut slots, &envoy, 1000, 100);
    assert!(
        count(&picked, THREE[0]) <= 5,
        "{}",
        count(&picked, THREE[0])
    );
    let picked = servers(&mut slots, &envoy, 2000, 100);
    assert!(
        count(&picked, THREE[0]) >= 90,
        "the server has the least load"
    );
    // A success resets the back-off. The second failure in a row doubles it.
    fails(&mut slots, 3000);
    fails(&mut slots, 3000);
    let picked = servers(&mut slots, &envoy, 4500, 100);
    assert!(count(&picked, THREE[0]) <= 5);
    let picked = servers(&mut slots, &envoy, 5000, 100);
    assert!(count(&picked, THREE[0]) >= 90);
    // A request without result does not reset the failures in a row.
    fails(&mut slots, 6000);
    let request = slots.begin(THREE[0], 100, 0);
    slots.end(request);
    fails(&mut slots, 6000);
    let picked = servers(&mut slots, &envoy, 7500, 100);
    assert!(
        count(&picked, THREE[0]) <= 5,
        "{}",
        count(&picked, THREE[0])
    );
    // A request that was answered no longer counts as failed.
    let mut request = slots.begin(THREE[0], 100, 0);
    slots.answered(&mut request);
    slots.failed(&mut request, 9000);
    slots.end(request);
    let picked = servers(&mut slots, &envoy, 9000, 100);
    assert!(count(&picked, THREE[0]) >= 90);
    drop(busy);
}

#[test]
fn every_one_of_many_servers_has_a_slot() {
    const MANY: u16 = 300;
    let weight = |slot: u16, server: u16| {
        let [[a, b], [c, d]] = [slot.to_le_bytes(), server.to_le_bytes()];
        hash(&[a, b, c, d])
    };
    let leads = |slot| (0..MANY).max_by_key(|server| weight(slot, *server));
    let led: BTreeSet<u16> = (0..SLOT_COUNT).filter_map(leads).collect();
    assert_eq!(led.len(), usize::from(MANY));
}

#[test]
fn client_errors_are_no_server_failures() {
    for (status, failed) in [
        (200, false),
        (400, false),
        (404, false),
        (429, true),
        (500, true),
    ] {
        assert_eq!(is_failure(status), failed, "{status}");
    }
}

#[test]
fn if_all_servers_have_failed_one_is_tried() {
    let envoy = Envoy(vec![THREE[0]]);
    let mut slots = learnt(&envoy);
    let mut request = slots.begin(THREE[0], 100, 0);
    slots.failed(&mut request, 1000);
    assert_eq!(
        envoy.server_of(slots.pick(slot_request(Balance::LeastLoad, 1001))),
        THREE[0]
    );
}

#[test]
fn a_single_misroute_moves_one_slot() {
    let envoy = Envoy(THREE.to_vec());
    let mut slots = learnt(&envoy);
    let of = |slots: &SlotTable| {
        (0..SLOT_COUNT)
            .filter(|slot| slots.address(*slot) == Some(THREE[0]))
            .count()
    };
    let known = of(&slots);
    let own: Vec<u16> = (0..SLOT_COUNT)
        .filter(|slot| slots.address(*slot) == Some(THREE[0]))
        .take(4)
        .collect();
    slots.learn(own[0], THREE[1], 1000);
    assert_eq!(of(&slots), known - 1);
    slots.learn(own[1], THREE[0], 1000);
    slots.learn(own[2], THREE[1], 1000);
    slots.learn(own[3], THREE[1], 1000);
    assert_eq!(of(&slots), known - 3, "two in a row");
}

#[test]
fn removed_and_added_servers_are_learnt() {
    let mut envoy = Envoy(THREE.to_vec());
    let mut slots = learnt(&envoy);
    envoy.0.remove(0);
    let picked = servers(&mut slots, &envoy, 1000, 300);
    assert_eq!(count(&picked, THREE[0]), 0);
    assert!(count(&picked, THREE[1]) > 60 && count(&picked, THREE[2]) > 60);
    envoy.0.push("[fd00::1]:8000");
    let picked = servers(&mut slots, &envoy, 2000, 300);
    assert!(count(&picked, "[fd00::1]:8000") > 30, "{picked:?}");
}

/// By the number of requests that a worker sent before, while and after a server was away.
#[test]
fn a_server_that_comes_back_gets_its_share_again() {
    for (before, away) in [(400, 200), (40, 40), (400, 4000), (0, 20), (0, 400)] {
        let mut envoy = Envoy(THREE[..2].to_vec());
        let mut slots = SlotTable::default();
        servers(&mut slots, &envoy, 0, before);
        let gone = envoy.0.pop().unwrap();
        servers(&mut slots, &envoy, 10_000, away);
        envoy.0.push(gone);
        // The longest pause of a server that is away has passed.
        let picked = servers(&mut slots, &envoy, 40_000, 200);
        let counts = THREE.map(|server| count(&picked, server));
        assert!(
            counts[0].min(counts[1]) > 60,
            "{before} before, {away} while it was away: {counts:?}"
        );
    }
}

/// A wedged server fails every request, and Envoy takes it out for five of every ten seconds: fewer and fewer requests find out.
#[test]
fn a_wedged_server_is_found_by_few_however_often_it_comes_back() {
    let all = Envoy(THREE[..2].to_vec());
    let without = Envoy(THREE[1..2].to_vec());
    let mut slots = learnt(&all);
    let mut found = [0; 2];
    for number in 0..2_400_u64 {
        let now_ms = 10_000 + number * 50;
        let is_out = now_ms % 10_000 >= 5_000;
        let envoy = if is_out { &without } else { &all };
        let ask = SlotRequest {
            now_ms,
            ..slot_request(Balance::LeastLoad, number)
        };
        let mut request = send(&mut slots, envoy, ask, 100);
        if request.address() == THREE[0] {
            found[usize::from(number >= 1_200)] += 1;
            slots.failed(&mut request, now_ms);
        } else {
            slots.answered(&mut request);
        }
        slots.end(request);
    }
    assert!(found[0] <= 10 && found[1] <= 5, "{found:?} by the minute");
    // It is well again.
    let picked = servers(&mut slots, &all, 200_000, 200);
    assert!(
        count(&picked, THREE[0]) > 60,
        "{}",
        count(&picked, THREE[0])
    );
}

/// One long prompt is being read at each moment: Envoy's least request would never send the next one to its server.
#[test]
fn few_requests_meet_no_busy_server_while_another_is_idle() {
    let mut worst = 0;
    for seed in 0..20 {
        let servers = [1, 2, 3, 4, 5, 6, 7, 8];
        let leads =
            |slot: u16| hash(&[slot.to_le_bytes(), [seed, 9]].concat()) % servers.len() as u64;
        let mut slots = SlotTable::default();
        let mut reading: Option<InFlight> = None;
        let mut met = 0;
        for number in 0..200 {
            let slot = slots.pick(slot_request(Balance::LeastLoad, number));
            let address = format!("10.0.0.{}:8000", leads(slot));
            slots.learn(slot, &address, number);
            met += u32::from(reading.as_ref().is_some_and(|it| it.address() == address));
            let next = slots.begin(&address, 40_000, 0);
            if let Some(mut before) = reading.replace(next) {
                slots.first_token(&mut before);
                slots.end(before);
            }
        }
        worst = worst.max(met);
    }
    assert!(
        worst <= 8,
        "{worst} of 200 requests waited behind another one"
    );
}

#[test]
fn a_conversation_keeps_its_server_below_the_load_bound() {
    let envoy = Envoy(THREE.to_vec());
    let mut slots = SlotTable::default();
    let mut held = Vec::new();
    let mine = SlotRequest {
        affinity_slot: 5,
        ..slot_request(Balance::Affinity, 0)
    };
    let own = envoy.server_of(5);
    for number in 0..60 {
        let random = hash(&[number]);
        let request = send(&mut slots, &envoy, SlotRequest { random, ..mine }, 100);
        assert_eq!(request.address(), own, "{number}");
        slots.end(request);
    }
    // All other servers are known, and have the same load.
    for server in THREE {
        let slot = (0..SLOT_COUNT).find(|slot| envoy.server_of(*slot) == server);
        slots.learn(slot.unwrap(), server, 1000);
        held.extend((0..4).map(|_| slots.begin(server, 100, 0)));
    }
    assert_eq!(envoy.server_of(slots.pick(mine)), own);
    // The bound is 1.25 times the mean of (12 + 2 + 1) / 3, which is 6.25: the seventh request goes elsewhere.
    held.extend((0..2).map(|_| slots.begin(own, 100, 0)));
    assert_eq!(envoy.server_of(slots.pick(mine)), own);
    held.extend((0..2).map(|_| slots.begin(own, 100, 0)));
    assert_ne!(envoy.server_of(slots.pick(mine)), own);
}

proptest! {
    /// Ended requests leave no load after any sequence of calls, and every picked slot is valid.
    #[test]
    fn ended_requests_leave_no_load(steps in prop::collection::vec((0..6u8, any::<u64>()), 0..200)) {
        let mut envoy = Envoy(THREE.to_vec());
        let mut slots = SlotTable::default();
        let mut held: Vec<InFlight> = Vec::new();
        for (what, number) in steps {
            let balance = if number % 2 == 0 { Balance::LeastLoad } else { Balance::Affinity };
            match what {
                0 | 1 => held.push(send(&mut slots, &envoy, slot_request(balance, number), number)),
                2 if !held.is_empty() => {
                    let request = held.swap_remove(number as usize % held.len());
                    slots.end(request);
                }
                3 => if let Some(request) = held.last_mut() { slots.first_token(request) },
                4 => if let Some(request) = held.last_mut() { slots.failed(request, number) },
                5 => envoy.0.rotate_left(1),
                _ => {}
            }
            prop_assert!(slots.pick(slot_request(balance, number)) < SLOT_COUNT);
        }
        for request in held {
            slots.end(request);
        }
        prop_assert_eq!(slots.own_loads().count(), 0);
    }
}

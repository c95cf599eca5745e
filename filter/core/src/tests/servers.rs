//! Which server of a pool gets a request, with a stand-in for Envoy's hash.

use crate::slots::{InFlight, SLOT_COUNT, ServerLoad, SlotRequest, SlotTable, hash, is_failure};
use meridian_policy::pool_policy::Balance;
use proptest::prelude::*;
use std::collections::BTreeSet;

/// Who is healthy, by address: a slot leads to one of them.
struct Envoy(Vec<&'static str>);

impl Envoy {
    fn leads(&self, slot: u16) -> &'static str {
        // The highest of hashes: who goes takes nobody's place but its own.
        let weight = |server: &&&str| hash(format!("{slot} {server}").as_bytes());
        self.0.iter().max_by_key(weight).unwrap()
    }
}

fn ask(balance: Balance, number: u64) -> SlotRequest {
    SlotRequest {
        balance,
        affinity_slot: (number % 7) as u16,
        random: hash(&number.to_le_bytes()),
        now_ms: number,
    }
}

/// Sends a request, and says where it went.
fn send(slots: &mut SlotTable, envoy: &Envoy, ask: SlotRequest, bytes: u64) -> InFlight {
    let slot = slots.pick(ask);
    let address = envoy.leads(slot);
    slots.learn(slot, address);
    slots.begin(address, bytes)
}

/// SlotTable that know all servers.
fn taught(envoy: &Envoy) -> SlotTable {
    let mut slots = SlotTable::default();
    for number in 0..400 {
        let mut begun = send(&mut slots, envoy, ask(Balance::LeastLoad, number), 100);
        slots.answered(&mut begun);
        slots.end(begun);
    }
    slots
}

const THREE: [&str; 3] = ["10.0.0.1:8000", "10.0.0.2:8000", "10.0.0.3:8000"];

fn servers(slots: &mut SlotTable, envoy: &Envoy, from: u64, count: u64) -> Vec<String> {
    let mut servers = Vec::new();
    for number in from..from + count {
        let mut begun = send(slots, envoy, ask(Balance::LeastLoad, number), 100);
        servers.push(begun.address().to_owned());
        slots.answered(&mut begun);
        slots.end(begun);
    }
    servers
}

fn count(servers: &[String], address: &str) -> usize {
    servers.iter().filter(|one| *one == address).count()
}

#[test]
fn a_server_with_a_long_unread_prompt_gets_few_requests() {
    let envoy = Envoy(THREE.to_vec());
    let mut slots = taught(&envoy);
    let mut long = slots.begin(THREE[0], 40_000);
    // The others have more requests, and have read them.
    let others = THREE[1..].iter().flat_map(|server| [server; 20]);
    let busy: Vec<InFlight> = others
        .map(|server| {
            let mut begun = slots.begin(server, 1000);
            slots.first_token(&mut begun);
            begun
        })
        .collect();
    let went = servers(&mut slots, &envoy, 1000, 200);
    assert!(count(&went, THREE[0]) <= 5, "{}", count(&went, THREE[0]));
    slots.first_token(&mut long);
    let went = servers(&mut slots, &envoy, 2000, 200);
    assert!(count(&went, THREE[0]) >= 190, "{}", count(&went, THREE[0]));
    for begun in busy {
        slots.end(begun);
    }
    slots.end(long);
    let went = servers(&mut slots, &envoy, 3000, 300);
    for server in THREE {
        assert!(count(&went, server) > 60, "who is idle is as good as any");
    }
}

#[test]
fn loads_of_other_workers_count() {
    let envoy = Envoy(THREE.to_vec());
    let mut slots = taught(&envoy);
    let much = ServerLoad {
        unread_bytes: 40_000,
        requests: 1,
    };
    slots.set_other_workers([(THREE[0], much), (THREE[1], much)]);
    let went = servers(&mut slots, &envoy, 1000, 100);
    assert!(count(&went, THREE[2]) >= 95);
    slots.set_other_workers([]);
    let went = servers(&mut slots, &envoy, 2000, 300);
    assert!(count(&went, THREE[0]) > 60);
}

#[test]
fn a_server_that_failed_gets_no_requests_for_a_while() {
    let envoy = Envoy(THREE.to_vec());
    let mut slots = taught(&envoy);
    let busy = [slots.begin(THREE[1], 100), slots.begin(THREE[2], 100)];
    let fails = |slots: &mut SlotTable, now_ms: u64| {
        let mut begun = slots.begin(THREE[0], 100);
        slots.failed(&mut begun, now_ms);
        slots.failed(&mut begun, now_ms + 500);
        slots.end(begun);
    };
    fails(&mut slots, 1000);
    let went = servers(&mut slots, &envoy, 1000, 100);
    assert!(count(&went, THREE[0]) <= 5, "{}", count(&went, THREE[0]));
    let went = servers(&mut slots, &envoy, 2000, 100);
    assert!(count(&went, THREE[0]) >= 90, "it is the least busy one");
    // It was well again: the next time is as short. Twice in a row is twice as long.
    fails(&mut slots, 3000);
    fails(&mut slots, 3000);
    let went = servers(&mut slots, &envoy, 4500, 100);
    assert!(count(&went, THREE[0]) <= 5);
    let went = servers(&mut slots, &envoy, 5000, 100);
    assert!(count(&went, THREE[0]) >= 90);
    // Who was given up says nothing: the next failure is still one in a row.
    fails(&mut slots, 6000);
    let begun = slots.begin(THREE[0], 100);
    slots.end(begun);
    fails(&mut slots, 6000);
    let went = servers(&mut slots, &envoy, 7500, 100);
    assert!(count(&went, THREE[0]) <= 5, "{}", count(&went, THREE[0]));
    // One that has answered has not failed, whatever becomes of it.
    let mut begun = slots.begin(THREE[0], 100);
    slots.answered(&mut begun);
    slots.failed(&mut begun, 9000);
    slots.end(begun);
    let went = servers(&mut slots, &envoy, 9000, 100);
    assert!(count(&went, THREE[0]) >= 90);
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
    let mut slots = taught(&envoy);
    let mut begun = slots.begin(THREE[0], 100);
    slots.failed(&mut begun, 1000);
    assert_eq!(
        envoy.leads(slots.pick(ask(Balance::LeastLoad, 1001))),
        THREE[0]
    );
}

#[test]
fn a_single_misroute_moves_one_slot() {
    let envoy = Envoy(THREE.to_vec());
    let mut slots = taught(&envoy);
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
    slots.learn(own[0], THREE[1]);
    assert_eq!(of(&slots), known - 1);
    slots.learn(own[1], THREE[0]);
    slots.learn(own[2], THREE[1]);
    slots.learn(own[3], THREE[1]);
    assert_eq!(of(&slots), known - 3, "two in a row");
}

#[test]
fn removed_and_added_servers_are_learnt() {
    let mut envoy = Envoy(THREE.to_vec());
    let mut slots = taught(&envoy);
    envoy.0.remove(0);
    let went = servers(&mut slots, &envoy, 1000, 300);
    assert_eq!(count(&went, THREE[0]), 0);
    assert!(count(&went, THREE[1]) > 60 && count(&went, THREE[2]) > 60);
    envoy.0.push("[fd00::1]:8000");
    let went = servers(&mut slots, &envoy, 2000, 300);
    assert!(count(&went, "[fd00::1]:8000") > 30, "{went:?}");
}

#[test]
fn a_conversation_keeps_its_server_below_the_load_bound() {
    let envoy = Envoy(THREE.to_vec());
    let mut slots = SlotTable::default();
    let mut held = Vec::new();
    let mine = SlotRequest {
        affinity_slot: 5,
        ..ask(Balance::Affinity, 0)
    };
    let own = envoy.leads(5);
    for number in 0..60 {
        let random = hash(&[number]);
        let begun = send(&mut slots, &envoy, SlotRequest { random, ..mine }, 100);
        assert_eq!(begun.address(), own, "{number}");
        slots.end(begun);
    }
    // All other servers are known, and have as much.
    for server in THREE {
        let slot = (0..SLOT_COUNT).find(|slot| envoy.leads(*slot) == server);
        slots.learn(slot.unwrap(), server);
        held.extend((0..4).map(|_| slots.begin(server, 100)));
    }
    assert_eq!(envoy.leads(slots.pick(mine)), own);
    // 1.25 times the mean of (12 + 2 + 1) / 3 is 6.25: the seventh is elsewhere.
    held.extend((0..2).map(|_| slots.begin(own, 100)));
    assert_eq!(envoy.leads(slots.pick(mine)), own);
    held.extend((0..2).map(|_| slots.begin(own, 100)));
    assert_ne!(envoy.leads(slots.pick(mine)), own);
}

proptest! {
    /// Whatever happens, what is over leaves nothing behind, and a slot is always one.
    #[test]
    fn ended_requests_leave_no_load(steps in prop::collection::vec((0..6u8, any::<u64>()), 0..200)) {
        let mut envoy = Envoy(THREE.to_vec());
        let mut slots = SlotTable::default();
        let mut held: Vec<InFlight> = Vec::new();
        for (what, number) in steps {
            let balance = if number % 2 == 0 { Balance::LeastLoad } else { Balance::Affinity };
            match what {
                0 | 1 => held.push(send(&mut slots, &envoy, ask(balance, number), number)),
                2 if !held.is_empty() => {
                    let begun = held.swap_remove(number as usize % held.len());
                    slots.end(begun);
                }
                3 => if let Some(begun) = held.last_mut() { slots.first_token(begun) },
                4 => if let Some(begun) = held.last_mut() { slots.failed(begun, number) },
                5 => envoy.0.rotate_left(1),
                _ => {}
            }
            prop_assert!(slots.pick(ask(balance, number)) < SLOT_COUNT);
        }
        for begun in held {
            slots.end(begun);
        }
        prop_assert_eq!(slots.own_loads().count(), 0);
    }
}

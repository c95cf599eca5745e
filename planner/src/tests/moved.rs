//! What moved between two plans, and what moved it.

use super::intents::{any_intents, drain, intent, over};
use super::observations::any_stream;
use super::watch::{Watch, attempts, kv, server, watched};
use crate::intent::{Action, Intents};
use crate::plan::{Cause, Crossing, Move, Moved, Plan, Signal, Transition, moved, plan};
use crate::signal::{Figures, Millis, Observation, Reading};
use crate::state::FleetState;
use crate::topology::Topology;
use meridian_fixtures::any_fleet::fleets;
use meridian_fixtures::fleets::{EAST, EU, LLAMA, WEST, vector_db};
use meridian_policy::fleet::Order;
use meridian_policy::retrieval::Role;
use proptest::prelude::*;

impl Watch {
    /// What the next plan moves, with the intents of the plan before.
    fn moves_after(&mut self, before: &Intents) -> Vec<Move> {
        let (prev, now) = (self.plan.clone(), Millis(self.now));
        self.tick();
        let transition = Transition {
            topology: &self.fleet,
            state: &self.state,
            intents: &self.intents,
            intents_before: before,
            before: &prev,
            next: &self.plan,
            edited: false,
            now,
        };
        transition.moves()
    }

    fn moves(&mut self) -> Vec<Move> {
        let before = self.intents.clone();
        self.moves_after(&before)
    }

    /// Reports this KV-cache usage of every region.
    fn reports(&mut self, west: f64, others: f64) {
        for (region, used) in [(WEST, west), (EAST, others), (EU, others)] {
            self.report(region, vec![kv(used)]);
        }
    }

    /// What moves in the next second at this KV-cache usage.
    fn second(&mut self, west: f64, others: f64) -> Vec<Move> {
        self.reports(west, others);
        self.moves()
    }

    fn calm() -> Self {
        let mut watch = Self::new(watched());
        watch.at(0.3, 0.3, 0.3, 10);
        watch
    }
}

/// The move of us-west-2's own callers, with the shares.
fn own(moves: &[Move]) -> Option<(u8, u8, Vec<Cause>)> {
    let mut placements = moves.iter().filter_map(|each| match &each.moved {
        Moved::Placement {
            gateway,
            zone,
            before: Some(before),
            after: Some(after),
            ..
        } if gateway.as_str() == WEST && zone.as_str() == "global" => {
            Some((before.home_share, after.home_share, each.causes.clone()))
        }
        _ => None,
    });
    placements.next()
}

/// The move of the health of us-west-2's pool.
fn health(moves: &[Move]) -> Option<&Move> {
    let is_health = |each: &&Move| matches!(&each.moved, Moved::Health { region, .. } if region.as_str() == WEST);
    moves.iter().find(is_health)
}

fn crossing(signal: Signal, region: &str, value: f64, limit: f64) -> Crossing {
    Crossing {
        signal,
        region: region.parse().unwrap(),
        model: (signal != Signal::ReplicationLag).then(|| LLAMA.parse().unwrap()),
        value,
        limit,
    }
}

#[test]
fn an_overload_is_told_with_its_limit_and_so_is_the_recovery() {
    let mut watch = Watch::calm();
    let limits = watch.fleet.overflow;
    let moves = watch.second(0.95, 0.3);
    let (before, after, causes) = own(&moves).unwrap();
    assert_eq!((before, after), (100, 78));
    let above = crossing(Signal::Utilization, WEST, 0.95, limits.above);
    assert_eq!(causes, [Cause::Above(above)]);
    let gate = |moves: &[Move]| {
        let gate = |each: &&Move| matches!(&each.moved, Moved::BatchGate { region, .. } if region.as_str() == WEST);
        moves.iter().find(gate).cloned()
    };
    let closed = gate(&moves).unwrap();
    let far_above = f64::midpoint(limits.above, 1.0);
    let above = crossing(Signal::Utilization, WEST, 0.95, far_above);
    assert_eq!(closed.causes, [Cause::Above(above)]);
    // No other share moves: the others would send nothing there any more.
    assert_eq!(moves.len(), 4, "{moves:?}");
    let causes = moves[2..].iter().map(|each| &each.causes);
    let above = [Cause::Above(crossing(
        Signal::Utilization,
        WEST,
        0.95,
        limits.above,
    ))];
    assert!(
        causes.into_iter().all(|causes| *causes == above),
        "{moves:?}"
    );
    // Nothing is told while nothing moves.
    assert_eq!(watch.second(0.8, 0.3), []);
    let (mut rises, mut opened) = (Vec::new(), Vec::new());
    for _ in 0..80 {
        let moves = watch.second(0.4, 0.3);
        rises.extend(own(&moves));
        opened.extend(gate(&moves));
    }
    assert_eq!(rises.last().unwrap().1, 100);
    assert!(!opened.is_empty());
    for causes in rises
        .iter()
        .map(|(.., causes)| causes)
        .chain(opened.iter().map(|gate| &gate.causes))
    {
        let [Cause::Below(below)] = &causes[..] else {
            panic!("{causes:?}");
        };
        assert!(below.signal == Signal::Utilization && below.region.as_str() == WEST);
        assert!(below.value < below.limit && below.limit <= limits.back_below);
    }
}

fn endpoints(healthy: u64) -> Reading {
    Reading::Endpoints {
        model: LLAMA.parse().unwrap(),
        healthy,
        total: 2,
    }
}

#[test]
fn a_dead_pool_is_told_by_its_endpoints() {
    let mut watch = Watch::calm();
    let mut with = |healthy| {
        watch.report(WEST, vec![endpoints(healthy)]);
        watch.second(0.3, 0.3)
    };
    let moves = with(0);
    let none = [Cause::Below(crossing(Signal::Endpoints, WEST, 0.0, 1.0))];
    assert_eq!(health(&moves).unwrap().causes, none);
    assert_eq!(own(&moves).unwrap().2, none);
    let moves = with(2);
    let back = [Cause::Above(crossing(Signal::Endpoints, WEST, 2.0, 0.0))];
    assert_eq!(health(&moves).unwrap().causes, back);
    assert_eq!(own(&moves).unwrap().2, back);
}

#[test]
fn a_pool_that_leaves_is_told_at_those_who_sent_requests_there() {
    let mut watch = Watch::calm();
    watch.at(0.3, 0.95, 0.7, 5);
    assert_eq!(watch.weights(EAST).first().unwrap().0, WEST);
    watch.report(WEST, vec![kv(0.3), endpoints(0)]);
    watch.report(EAST, vec![kv(0.95)]);
    watch.report(EU, vec![kv(0.7)]);
    let moves = watch.moves();
    let is_of_east = |each: &&Move| matches!(&each.moved, Moved::Placement { gateway, .. } if gateway.as_str() == EAST);
    let causes = &moves.iter().find(is_of_east).unwrap().causes;
    let left =
        |cause: &Cause| matches!(cause, Cause::PoolLeft(pool) if pool.region.as_str() == WEST);
    assert!(causes.iter().any(left), "{causes:?}");
}

#[test]
fn each_reason_has_its_figure() {
    let mut watch = Watch::calm();
    let waiting = |waiting| {
        server(Figures {
            kv_cache: Some(0.3),
            waiting: Some(waiting),
            ..Default::default()
        })
    };
    watch.report(WEST, vec![waiting(150.0)]);
    let moves = watch.moves();
    let limit = f64::from(watch.fleet.unhealthy.queue_depth);
    let above = Cause::Above(crossing(Signal::Queue, WEST, 150.0, limit));
    assert_eq!(health(&moves).unwrap().causes, std::slice::from_ref(&above));
    assert_eq!(own(&moves).unwrap().2, [above]);
    watch.report(WEST, vec![waiting(1.0)]);
    let below = Cause::Below(crossing(Signal::Queue, WEST, 1.0, limit * 0.8));
    assert_eq!(health(&watch.moves()).unwrap().causes, [below]);
    let mut watch = Watch::calm();
    let mut failing = Vec::new();
    for second in 1..15 {
        let second = f64::from(second);
        watch.report(WEST, vec![attempts(50.0 * second, 0.0, 60.0 * second)]);
        failing.extend(watch.second(0.3, 0.3));
    }
    let limits: Vec<f64> = failing
        .iter()
        .filter(|each| matches!(each.moved, Moved::Health { .. }))
        .flat_map(|each| &each.causes)
        .map(|cause| match cause {
            Cause::Above(above) if above.signal == Signal::Errors => above.limit,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        limits,
        [watch.fleet.unhealthy.error_rate, 0.5],
        "unhealthy, and down"
    );
}

#[test]
fn a_drain_an_override_and_their_ends_are_told_by_number() {
    let mut watch = Watch::calm();
    let nothing = Intents::default();
    watch.say(drain(WEST, false), 1000);
    watch.reports(0.3, 0.3);
    let moves = watch.moves_after(&nothing);
    let drained = [Cause::Intent { number: 1 }];
    assert_eq!(health(&moves).unwrap().causes, drained);
    assert_eq!(own(&moves).unwrap().2, drained);
    watch.at(0.3, 0.3, 0.3, 60);
    assert_eq!(watch.share(WEST, "global"), Some(0));
    let before = std::mem::take(&mut watch.intents);
    watch.reports(0.3, 0.3);
    let moves = watch.moves_after(&before);
    let ended = Cause::IntentEnded { number: 1 };
    assert_eq!(health(&moves).unwrap().causes, std::slice::from_ref(&ended));
    assert_eq!(own(&moves).unwrap().2.first(), Some(&ended));

    let mut watch = Watch::calm();
    watch
        .intents
        .0
        .insert(7, intent(over(40, &[(EAST, 1)]), watch.now, 60_000));
    watch.reports(0.3, 0.3);
    let moves = watch.moves_after(&nothing);
    let (before, after, causes) = own(&moves).unwrap();
    assert_eq!((before, after), (100, 40));
    assert_eq!(causes, [Cause::Intent { number: 7 }]);
    assert_eq!(moves.len(), 1, "{moves:?}");
    // A region of it dies. The override goes on.
    watch.report(EAST, vec![endpoints(0)]);
    let causes = own(&watch.second(0.3, 0.3)).unwrap().2;
    assert_eq!(causes.len(), 2, "{causes:?}");
    assert_eq!(causes[0], Cause::Intent { number: 7 });
    assert!(matches!(&causes[1], Cause::PoolLeft(pool) if pool.region.as_str() == EAST));
    watch.report(EAST, vec![endpoints(2)]);
    watch.second(0.3, 0.3);
    let before = std::mem::take(&mut watch.intents);
    watch.reports(0.3, 0.3);
    let causes = own(&watch.moves_after(&before)).unwrap().2;
    assert_eq!(causes.first(), Some(&Cause::IntentEnded { number: 7 }));
}

#[test]
fn a_freeze_leaves_health_to_tell() {
    let mut watch = Watch::calm();
    watch.say(Action::Freeze {}, 1000);
    watch.report(
        WEST,
        vec![server(Figures {
            kv_cache: Some(0.99),
            waiting: Some(500.0),
            ..Default::default()
        })],
    );
    let moves = watch.moves();
    assert_eq!(moves.len(), 1, "{moves:?}");
    assert!(health(&moves).is_some());
}

#[test]
fn a_lag_is_told_with_what_it_moves() {
    let mut fleet = watched();
    fleet.zones.remove("eea");
    for (name, role) in [(WEST, Role::Replica), (EAST, Role::Primary)] {
        fleet.regions.get_mut(name).unwrap().vector_db = Some(vector_db(role));
    }
    let mut watch = Watch::new(fleet);
    let mut lag = |seconds| {
        watch.report(WEST, vec![kv(0.3), Reading::ReplicationLag { seconds }]);
        watch.moves()
    };
    lag(1.0);
    let of_data = |moves: Vec<Move>| -> Vec<Move> {
        let of_data = moves.into_iter().filter(|each| {
            matches!(
                each.moved,
                Moved::Freshness { .. } | Moved::Retrieval { .. }
            )
        });
        of_data.collect()
    };
    let moves = of_data(lag(100.0));
    let above = Cause::Above(crossing(Signal::ReplicationLag, WEST, 100.0, 30.0));
    assert_eq!(moves.len(), 2, "{moves:?}");
    assert!(
        matches!(&moves[1].moved, Moved::Retrieval { before, after, .. } if before.as_str() == WEST && after.as_str() == EAST)
    );
    for each in &moves {
        assert_eq!(each.causes, std::slice::from_ref(&above));
    }
    let moves = of_data(lag(2.0));
    let below = Cause::Below(crossing(Signal::ReplicationLag, WEST, 2.0, 24.0));
    assert_eq!(moves.len(), 2);
    for each in &moves {
        assert_eq!(each.causes, std::slice::from_ref(&below));
    }
}

#[test]
fn what_only_an_edit_moves_is_told_as_one() {
    let mut watch = Watch::calm();
    watch.at(0.95, 0.3, 0.3, 1);
    let mut fleet = watch.fleet.fleet().as_ref().clone();
    fleet.regions.remove(EAST);
    for zone in fleet.zones.values_mut() {
        zone.regions.retain(|region| region.as_str() != EAST);
    }
    let topology = Topology::new(fleet);
    let next = crate::plan::carried_over(&topology, &watch.plan);
    let transition = Transition {
        topology: &topology,
        state: &FleetState::default(),
        intents: &Intents::default(),
        intents_before: &Intents::default(),
        before: &watch.plan,
        next: &next,
        edited: true,
        now: Millis(watch.now),
    };
    let moves = transition.moves();
    let (before, after, causes) = own(&moves).unwrap();
    assert_eq!((before, after), (78, 100));
    assert_eq!(causes, [Cause::Edit {}]);
}

/// What must be true of moves, whatever was observed and said.
fn check(transition: &Transition<'_>) -> Result<(), TestCaseError> {
    let Transition {
        intents,
        now,
        next,
        before,
        topology,
        ..
    } = *transition;
    for each in transition.moves() {
        for cause in &each.causes {
            match cause {
                Cause::Above(it) => prop_assert!(it.value >= it.limit, "{each}"),
                Cause::Below(it) => prop_assert!(it.value <= it.limit, "{each}"),
                Cause::Intent { number } => {
                    prop_assert!(intents.active(now).any(|(active, _)| active == *number))
                }
                Cause::IntentEnded { number } => {
                    prop_assert!(intents.active(now).all(|(active, _)| active != *number))
                }
                Cause::PoolLeft(pool) => prop_assert!(!next.serves(&pool.region, &pool.model)),
                Cause::PoolReturned(pool) => prop_assert!(next.serves(&pool.region, &pool.model)),
                Cause::Silent(_) | Cause::Reporting(_) => {}
                Cause::Edit {} => prop_assert!(false, "{each}"),
            }
        }
        let Moved::Placement {
            gateway,
            zone,
            model,
            before: Some(was),
            after: Some(share),
        } = &each.moved
        else {
            continue;
        };
        prop_assert!(!intents.is_frozen(now), "{each}");
        let (first, _) = topology.choice(zone, model, gateway).unwrap();
        let is_fixed = matches!(topology.zones[zone].order, Order::Weighted(_));
        let health = &next.pools[first][model];
        let is_fit = !health.sheds() && health.serves();
        let lost = was
            .overflow
            .keys()
            .any(|to| before.serves(to, model) != next.serves(to, model));
        if share.home_share < was.home_share && is_fit && !lost && !is_fixed {
            // The planner sheds from a fit pool for one reason alone, if nobody said so.
            let is_told = each.causes.iter().any(|cause| match cause {
                Cause::Above(it) => it.signal == Signal::Utilization && it.region == *first,
                Cause::Intent { .. } => true,
                _ => false,
            });
            prop_assert!(is_told, "{each}");
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn causes_are_facts(fleet in fleets(), stream in any_stream(), said in any_intents()) {
        let fleet = Topology::new(fleet);
        let (mut state, mut prev, begin) = (FleetState::default(), Plan::default(), 5_000_000);
        let (mut now, mut before) = (begin, Intents::default());
        for (observation, pause) in stream {
            state.apply(&fleet, &Observation { at: Millis(now), ..observation });
            let mut intents = Intents::default();
            let begun = said.iter().enumerate().filter(|(_, (_, _, since))| begin + since <= now);
            for (number, (action, lasts, since)) in begun {
                intents.0.insert(number as u64, intent(action.clone(), begin + since, *lasts));
            }
            let next = plan(&fleet, &state, &intents, &prev, Millis(now));
            check(&Transition {
                topology: &fleet,
                state: &state,
                intents: &intents,
                intents_before: &before,
                before: &prev,
                next: &next,
                edited: false,
                now: Millis(now),
            })?;
            prop_assert!(moved(&next, &next).is_empty());
            before.0 = intents.active(Millis(now)).map(|(number, intent)| (number, intent.clone())).collect();
            prev = next;
            now += pause;
        }
    }
}

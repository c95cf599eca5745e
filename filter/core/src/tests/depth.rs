//! Chains that end before the last region: a request whose chain is down goes to a region that overflow may choose.

use super::decisions::{CHAT, US, admit, admitted, context};
use crate::breaker::Unavailable;
use crate::decision::Decision;
use crate::request::RequestContext;
use crate::router::Router;
use crate::routes::PoolId;
use meridian_fixtures::fleets::{EAST, EU, LLAMA, WEST, example};
use meridian_planner::health::Health;
use meridian_planner::plan::Plan;
use meridian_planner::plugins::filter_policy;
use meridian_policy::filter_policy::Lane;
use meridian_policy::fleet::Failover;

const OPEN: Unavailable = Unavailable {
    retry_after: 3,
    is_silent: false,
};

/// What us-west-2 decides with chains of so many regions, while the plan has some down and breakers of others are open.
fn decide(depth: usize, down: &[&str], open: &[&str], lease_ran_out: bool) -> Decision {
    let mut fleet = example();
    fleet.failover = Failover { regions: depth };
    let mut plan = Plan::default();
    for region in down {
        let pools = plan.pools.entry(region.parse().unwrap()).or_default();
        let health = Health {
            down: true,
            ..Health::default()
        };
        pools.insert(LLAMA.parse().unwrap(), health);
    }
    let policy = filter_policy(&(&fleet).into(), &plan, &WEST.parse().unwrap(), None);
    let (_, admission) = admit(&fleet, WEST, "POST", CHAT, &[US]);
    let body = format!(r#"{{"model":"{LLAMA}"}}"#);
    let breaker = |pool: &PoolId| open.contains(&pool.region.as_str()).then_some(OPEN);
    let context = RequestContext {
        lease_ran_out,
        breaker: &breaker,
        ..context()
    };
    let router = Router::new(policy);
    router
        .decide(&admitted(admission), body.as_bytes(), &context)
        .unwrap()
}

#[test]
fn a_chain_that_is_down_is_left_for_a_region_behind_it() {
    let both = [WEST, EAST];
    let all = [WEST, EAST, EU];
    for (depth, down, open, lane) in [
        (1, &[][..], &[][..], Lane::Home),
        (1, &[WEST], &[], Lane::Overflow),
        (2, &[WEST], &[], Lane::Home),
        (2, &both, &[], Lane::Overflow),
        (3, &both, &[], Lane::Home),
        // Of what is behind the chain nothing serves: the fallback is the chain's last member.
        (1, &all, &[], Lane::Home),
        (1, &both, &[EU], Lane::Fallback),
        (2, &[WEST], &[EAST], Lane::Overflow),
        (3, &[WEST], &[EAST], Lane::Home),
        (1, &[], &[WEST], Lane::Overflow),
    ] {
        let decision = decide(depth, down, open, false);
        assert_eq!(decision.lane, lane, "{depth} {down:?} {open:?}");
    }
    // The plan's word is too old.
    assert_eq!(decide(1, &[WEST], &[], true).lane, Lane::Home);
}

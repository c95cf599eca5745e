//! The per-try timeout of decisions.

use super::decisions::{CHAT, DE, decide};
use meridian_fixtures::fleets::{LLAMA, example, with_eea};
use meridian_policy::fleet::{Fleet, OwnLimits, Pool};
use std::time::Duration;

#[test]
fn a_long_prompt_has_a_longer_timeout() {
    let limit = |home: &str, stream: bool, bytes: usize| {
        let body = format!(
            r#"{{"stream":{stream},"model":"{LLAMA}","prompt":"{}"}}"#,
            "p".repeat(bytes)
        );
        decide(&example(), home, CHAT, &[DE], &body)
            .unwrap()
            .per_try_timeout_ms
    };
    let (short, long) = (
        limit("eu-west-1", true, 0).unwrap(),
        limit("eu-west-1", true, 80_000).unwrap(),
    );
    assert!((10_000..10_010).contains(&short), "{short}");
    assert_eq!(long - short, 10_000, "20,000 tokens at 2000 a second");
    assert_eq!(limit("eu-west-1", false, 80_000), Some(long + 50_000));
    // The zone's own limit, and the model's before it.
    let mut fleet = with_eea(|zone| zone.limits.first_token = Some(Duration::from_secs(20)));
    let first_token = |fleet: &Fleet| {
        let body = format!(r#"{{"stream":true,"model":"{LLAMA}"}}"#);
        let decision = decide(fleet, "eu-west-1", CHAT, &[DE], &body).unwrap();
        let header = decision.route_headers().pop().unwrap();
        assert_eq!(header.0, "x-envoy-upstream-rq-per-try-timeout-ms");
        header.1.parse::<u64>().unwrap() / 1000
    };
    assert_eq!(first_token(&fleet), 20);
    let own = OwnLimits {
        first_token: Some(Duration::from_secs(4)),
        ..OwnLimits::default()
    };
    fleet.own_limits.insert(LLAMA.parse().unwrap(), own);
    assert_eq!(first_token(&fleet), 4);
}

#[test]
fn a_single_server_has_no_per_try_timeout() {
    let fleet = with_eea(|zone| zone.fallbacks.clear());
    let patience = |fleet: &Fleet| {
        let body = format!(r#"{{"model":"{LLAMA}"}}"#);
        decide(fleet, "eu-west-1", CHAT, &[DE], &body)
            .unwrap()
            .per_try_timeout_ms
    };
    assert_eq!(patience(&fleet), None);
    let mut with_sibling = fleet;
    let region = with_sibling.regions.get_mut("eu-west-1").unwrap();
    let two = ["10.0.0.1:8000", "10.0.0.2:8000"].map(|endpoint| endpoint.parse().unwrap());
    region
        .pools
        .insert(LLAMA.parse().unwrap(), Pool::Endpoints(two.into()));
    assert!(patience(&with_sibling).is_some());
}

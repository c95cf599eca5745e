//! One server: continuous batching and its limits; every request finishes once.

use crate::profile::Profile;
use crate::replica::{Replica, TokenEvent};
use proptest::prelude::*;

const SMALL: Profile = Profile {
    pass: 0.02,
    prompt_token: 0.0001,
    prompt_square: 1e-9,
    sequence: 0.0005,
    context_token: 1e-7,
    kv_tokens: 2000,
    max_running: 4,
    chunk: 512,
};

/// Times of a request's first and last token, in seconds.
type Times = (Option<f64>, Option<f64>);

/// Runs requests (arrival, prompt, output) on one server.
fn run(profile: Profile, requests: &[(f64, u64, u64)]) -> (Vec<Times>, Replica) {
    let mut replica = Replica::new(profile);
    let mut times = vec![(None, None); requests.len()];
    let mut next = 0;
    loop {
        let arrival = requests.get(next).map(|(at, _, _)| *at);
        let Some(now) = [arrival, replica.passes_end()]
            .into_iter()
            .flatten()
            .reduce(f64::min)
        else {
            return (times, replica);
        };
        if arrival == Some(now) {
            let (_, prompt, output) = requests[next];
            replica.enqueue(next, prompt, output, now);
            next += 1;
        } else {
            for event in replica.finish_passes() {
                match event {
                    TokenEvent::First(id) => {
                        assert!(times[id].0.replace(now).is_none(), "two first tokens")
                    }
                    TokenEvent::Last(id) => {
                        assert!(times[id].1.replace(now).is_none(), "two last tokens")
                    }
                }
            }
        }
        replica.start_passes(now);
        assert!(replica.running() <= profile.max_running);
    }
}

#[test]
fn one_request_takes_the_time_of_its_passes() {
    let profile = Profile {
        sequence: 0.0,
        context_token: 0.0,
        prompt_square: 0.0,
        ..SMALL
    };
    // 1024 tokens are two chunks. The second one generates the first token; nine passes generate the others.
    let (times, _) = run(profile, &[(1.0, 1024, 10)]);
    let (first, last) = times[0];
    assert!((first.unwrap() - (1.0 + 2.0 * 0.02 + 1024.0 * 0.0001)).abs() < 1e-9);
    assert!((last.unwrap() - first.unwrap() - 9.0 * 0.02).abs() < 1e-9);
}

#[test]
fn a_prefill_slows_decoding_sequences() {
    let alone = run(SMALL, &[(0.0, 100, 50)]).0[0].1.unwrap();
    let beside = run(SMALL, &[(0.0, 100, 50), (0.5, 1500, 1)]).0[0]
        .1
        .unwrap();
    let prefill = 1500.0 * SMALL.prompt_token;
    assert!(beside > alone + prefill, "{beside} s, alone {alone} s");
}

#[test]
fn an_arrival_shortens_the_group_of_passes() {
    // Without the arrival, one group of passes decodes 1000 tokens in 20 s.
    let (times, _) = run(SMALL, &[(0.0, 100, 1000), (3.0, 100, 1)]);
    let first = times[1].0.unwrap();
    assert!(first < 3.2, "the second request waited until {first} s");
    assert!(times[0].1.unwrap() > 20.0);
}

#[test]
fn requests_beyond_the_batch_limit_wait() {
    let requests: Vec<_> = (0..5).map(|_| (0.0, 10, 100)).collect();
    let (times, _) = run(SMALL, &requests);
    let soonest = times[..4].iter().map(|(_, last)| last.unwrap());
    assert!(times[4].0.unwrap() >= soonest.fold(f64::INFINITY, f64::min));
}

#[test]
fn requests_beyond_the_prefill_budget_wait() {
    let mut replica = Replica::new(SMALL);
    for id in 0..3 {
        replica.enqueue(id, 300, 10, 0.0);
    }
    replica.start_passes(0.0);
    // The first pass prefills 512 tokens: the first prompt and a part of the second.
    assert_eq!((replica.running(), replica.waiting()), (2, 1));
}

#[test]
fn a_full_cache_preempts_the_youngest_sequence() {
    // Each context fits alone; both together do not.
    let (times, replica) = run(SMALL, &[(0.0, 600, 700), (0.001, 600, 700)]);
    assert!(replica.preemptions > 0);
    let last = |id: usize| times[id].1.unwrap();
    assert!(last(0) < last(1), "the older request finishes first");
    let (_, roomy) = run(
        Profile {
            kv_tokens: 10_000,
            ..SMALL
        },
        &[(0.0, 600, 700), (0.001, 600, 700)],
    );
    assert_eq!(roomy.preemptions, 0);
}

#[test]
fn a_failed_server_returns_its_requests() {
    let mut replica = Replica::new(SMALL);
    for id in 0..6 {
        replica.enqueue(id, 100, 10, 0.0);
        replica.start_passes(0.0);
    }
    let mut lost = replica.fail();
    lost.sort_unstable();
    assert_eq!(lost, [0, 1, 2, 3, 4, 5]);
    assert_eq!((replica.requests(), replica.passes_end()), (0, None));
    assert!(replica.kv_cache().abs() < 1e-9);
}

proptest! {
    #[test]
    fn every_request_finishes_once_in_order_and_frees_the_cache(
        gaps in prop::collection::vec((0.0..0.5f64, 1..1500u64, 1..300u64), 1..40),
    ) {
        let mut at = 0.0;
        let requests: Vec<_> = gaps.iter().map(|(gap, prompt, output)| {
            at += gap;
// Every context fits alone.
            (at, *prompt, (*output).min(SMALL.kv_tokens - prompt - 10))
        }).collect();
        let (times, replica) = run(SMALL, &requests);
        prop_assert_eq!((replica.requests(), replica.passes_end()), (0, None));
        prop_assert!(replica.kv_cache().abs() < 1e-9);
        for ((at, prompt, output), (first, last)) in requests.iter().zip(&times) {
            let (first, last) = (first.unwrap(), last.unwrap());
// Each token takes at least one pass.
            prop_assert!(first - at >= SMALL.pass + *prompt as f64 * SMALL.prompt_token - 1e-9);
            prop_assert!(last - first >= (*output - 1) as f64 * SMALL.pass - 1e-9);
        }
        if replica.preemptions == 0 {
            let firsts: Vec<f64> = times.iter().map(|(first, _)| first.unwrap()).collect();
            prop_assert!(firsts.is_sorted(), "first come, first served: {:?}", firsts);
        }
    }

    #[test]
    fn the_cache_stays_within_its_size(
        requests in prop::collection::vec((1..900u64, 1..400u64), 1..30),
    ) {
        let mut replica = Replica::new(SMALL);
        for (id, (prompt, output)) in requests.iter().enumerate() {
            replica.enqueue(id, *prompt, *output, 0.0);
        }
        replica.start_passes(0.0);
        while let Some(now) = replica.passes_end() {
replica.finish_passes();
            prop_assert!(replica.kv_cache() <= 1.0, "{}", replica.kv_cache());
            replica.start_passes(now);
        }
    }
}

//! One replica: continuous batching, its bounds, and that nothing is lost or made of nothing.

use crate::profile::Profile;
use crate::replica::{Made, Replica};
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

/// When a request's first and last tokens were made.
type Times = (Option<f64>, Option<f64>);

/// What came of requests, each (when it comes, prompt, output): when its first and its last token were made.
fn played(profile: Profile, requests: &[(f64, u64, u64)]) -> (Vec<Times>, Replica) {
    let mut replica = Replica::new(profile);
    let mut times = vec![(None, None); requests.len()];
    let mut next = 0;
    loop {
        let comes = requests.get(next).map(|(at, _, _)| *at);
        let Some(now) = [comes, replica.ends()]
            .into_iter()
            .flatten()
            .reduce(f64::min)
        else {
            return (times, replica);
        };
        if comes == Some(now) {
            let (_, prompt, output) = requests[next];
            replica.arrive(next, prompt, output, now);
            next += 1;
        } else {
            for made in replica.end() {
                match made {
                    Made::First(id) => {
                        assert!(times[id].0.replace(now).is_none(), "twice the first")
                    }
                    Made::Last(id) => assert!(times[id].1.replace(now).is_none(), "twice the last"),
                }
            }
        }
        replica.begin(now);
        assert!(replica.running() <= profile.max_running);
    }
}

#[test]
fn one_request_takes_what_the_profile_says() {
    let profile = Profile {
        sequence: 0.0,
        context_token: 0.0,
        prompt_square: 0.0,
        ..SMALL
    };
    // 1024 tokens are two chunks; the second one makes the first token, and nine passes the others.
    let (times, _) = played(profile, &[(1.0, 1024, 10)]);
    let (first, last) = times[0];
    assert!((first.unwrap() - (1.0 + 2.0 * 0.02 + 1024.0 * 0.0001)).abs() < 1e-9);
    assert!((last.unwrap() - first.unwrap() - 9.0 * 0.02).abs() < 1e-9);
}

#[test]
fn who_decodes_is_slower_while_a_prompt_is_read() {
    let alone = played(SMALL, &[(0.0, 100, 50)]).0[0].1.unwrap();
    let beside = played(SMALL, &[(0.0, 100, 50), (0.5, 1500, 1)]).0[0]
        .1
        .unwrap();
    let read = 1500.0 * SMALL.prompt_token;
    assert!(beside > alone + read, "{beside} s, alone {alone} s");
}

#[test]
fn an_arrival_cuts_passes_short() {
    // Alone it would decode 1000 tokens in one go, for 20 s.
    let (times, _) = played(SMALL, &[(0.0, 100, 1000), (3.0, 100, 1)]);
    let first = times[1].0.unwrap();
    assert!(first < 3.2, "the second one waited until {first} s");
    assert!(times[0].1.unwrap() > 20.0);
}

#[test]
fn one_more_than_there_are_places_waits() {
    let requests: Vec<_> = (0..5).map(|_| (0.0, 10, 100)).collect();
    let (times, _) = played(SMALL, &requests);
    let soonest = times[..4].iter().map(|(_, last)| last.unwrap());
    assert!(times[4].0.unwrap() >= soonest.fold(f64::INFINITY, f64::min));
}

#[test]
fn who_has_no_tokens_left_in_a_pass_waits() {
    let mut replica = Replica::new(SMALL);
    for id in 0..3 {
        replica.arrive(id, 300, 10, 0.0);
    }
    replica.begin(0.0);
    // 512 tokens are read in the first pass: the first prompt, and a part of the second.
    assert_eq!((replica.running(), replica.waiting()), (2, 1));
}

#[test]
fn a_full_cache_throws_the_youngest_out() {
    // Each fits, both at their ends do not.
    let (times, replica) = played(SMALL, &[(0.0, 600, 700), (0.001, 600, 700)]);
    assert!(replica.preempted > 0);
    let last = |id: usize| times[id].1.unwrap();
    assert!(last(0) < last(1), "the older one is through first");
    let (_, roomy) = played(
        Profile {
            kv_tokens: 10_000,
            ..SMALL
        },
        &[(0.0, 600, 700), (0.001, 600, 700)],
    );
    assert_eq!(roomy.preempted, 0);
}

#[test]
fn a_lost_replica_gives_back_what_it_had() {
    let mut replica = Replica::new(SMALL);
    for id in 0..6 {
        replica.arrive(id, 100, 10, 0.0);
        replica.begin(0.0);
    }
    let mut lost = replica.die();
    lost.sort_unstable();
    assert_eq!(lost, [0, 1, 2, 3, 4, 5]);
    assert_eq!((replica.requests(), replica.ends()), (0, None));
    assert!(replica.kv_cache().abs() < 1e-9);
}

proptest! {
    #[test]
    fn everybody_is_served_once_in_their_order_and_the_cache_is_empty_again(
        gaps in prop::collection::vec((0.0..0.5f64, 1..1500u64, 1..300u64), 1..40),
    ) {
        let mut at = 0.0;
        let requests: Vec<_> = gaps.iter().map(|(gap, prompt, output)| {
            at += gap;
            // What is alone fits.
            (at, *prompt, (*output).min(SMALL.kv_tokens - prompt - 10))
        }).collect();
        let (times, replica) = played(SMALL, &requests);
        prop_assert_eq!((replica.requests(), replica.ends()), (0, None));
        prop_assert!(replica.kv_cache().abs() < 1e-9);
        for ((at, prompt, output), (first, last)) in requests.iter().zip(&times) {
            let (first, last) = (first.unwrap(), last.unwrap());
            // No token is made faster than passes go by.
            prop_assert!(first - at >= SMALL.pass + *prompt as f64 * SMALL.prompt_token - 1e-9);
            prop_assert!(last - first >= (*output - 1) as f64 * SMALL.pass - 1e-9);
        }
        if replica.preempted == 0 {
            let firsts: Vec<f64> = times.iter().map(|(first, _)| first.unwrap()).collect();
            prop_assert!(firsts.is_sorted(), "first come, first served: {:?}", firsts);
        }
    }

    #[test]
    fn the_cache_holds_no_more_than_it_can(
        requests in prop::collection::vec((1..900u64, 1..400u64), 1..30),
    ) {
        let mut replica = Replica::new(SMALL);
        for (id, (prompt, output)) in requests.iter().enumerate() {
            replica.arrive(id, *prompt, *output, 0.0);
        }
        replica.begin(0.0);
        while let Some(now) = replica.ends() {
            replica.end();
            prop_assert!(replica.kv_cache() <= 1.0, "{}", replica.kv_cache());
            replica.begin(now);
        }
    }
}

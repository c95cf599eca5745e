//! What goes on, and what was only a moment.

use super::fleets::LLAMA;
use super::watch::{EAST, EU, WEST, Watch, attempts, kv, server, watched};
use crate::signal::{Figures, Histogram};

#[test]
fn a_moment_of_failures_is_one_step() {
    let mut watch = Watch::new(watched());
    watch.see(WEST, vec![kv(0.3), attempts(0.0, 0.0, 0.0)]);
    watch.at(0.3, 0.3, 0.3, 1);
    let mut shares = Vec::new();
    for second in 1..60u32 {
        let answered = 10.0 * f64::from(second);
        let failed = if second > 5 { 8.0 } else { 0.0 };
        watch.see(WEST, vec![attempts(answered, 0.0, failed)]);
        watch.at(0.3, 0.3, 0.3, 1);
        shares.push(watch.share(WEST, "global").unwrap());
    }
    assert_eq!(shares.iter().min(), Some(&75), "{shares:?}");
    assert_eq!(shares.last(), Some(&100));
}

#[test]
fn a_429_is_no_failure() {
    let mut watch = Watch::new(watched());
    for second in 0..20u32 {
        let second = f64::from(second);
        watch.see(WEST, vec![attempts(3.0 * second, 7.0 * second, 0.0)]);
        watch.at(0.3, 0.3, 0.3, 1);
    }
    assert_eq!(watch.reasons(WEST), []);
    assert!(!watch.plan.is_down(&WEST.into(), &LLAMA.into()));
    for second in 20..40u32 {
        let second = f64::from(second);
        watch.see(WEST, vec![attempts(60.0, 140.0, 7.0 * second)]);
        watch.at(0.3, 0.3, 0.3, 1);
    }
    assert!(watch.plan.is_down(&WEST.into(), &LLAMA.into()));
}

#[test]
fn a_queue_that_gets_shorter_is_waited_for() {
    let mut watch = Watch::new(watched());
    let mut waiting = 400.0;
    let mut shares = Vec::new();
    for _ in 0..40 {
        let figures = Figures {
            kv_cache: Some(0.75),
            waiting: Some(waiting),
            ..Default::default()
        };
        for region in [EAST, EU] {
            watch.see(region, vec![kv(0.2)]);
        }
        watch.see(WEST, vec![server(figures)]);
        watch.tick();
        shares.push(watch.share(WEST, "global").unwrap());
        waiting *= if *shares.last().unwrap() < 100 {
            0.93
        } else {
            1.0
        };
    }
    assert_eq!(shares.iter().min(), Some(&75), "{shares:?}");
}

#[test]
fn one_slow_request_is_no_queue() {
    let mut watch = Watch::new(watched());
    for second in 0..10u32 {
        let count = f64::from(second.min(2));
        let queue_time = Histogram {
            buckets: vec![],
            sum: count * 20.0,
            count,
        };
        let figures = Figures {
            kv_cache: Some(0.3),
            queue_time: Some(queue_time),
            ..Default::default()
        };
        watch.see(WEST, vec![server(figures)]);
        watch.tick();
        assert_eq!(watch.share(WEST, "global"), Some(100));
    }
}

//! The service model against what it is fitted to, and what a region is good for.

use crate::cases::{OBJECTIVE, calibrated};
use crate::demand::goodput;
use crate::profile::Point;
use crate::replica::Replica;
use crate::trace::Job;

#[test]
fn the_fit_is_close_to_what_was_measured() {
    let fit = calibrated().unwrap();
    let mean = |points: &[&Point]| {
        points.iter().map(|point| point.error()).sum::<f64>() / points.len() as f64
    };
    let tokens: Vec<&Point> = fit.tokens.iter().collect();
    assert!(tokens.len() >= 10);
    assert!(mean(&tokens) < 0.05, "tokens are off by {}", mean(&tokens));
    // Tiny prompts are further off: the document says so.
    let prompts: Vec<&Point> = fit
        .prompts
        .iter()
        .filter(|point| point.prompt_size * point.batch_size >= 512)
        .collect();
    assert!(prompts.len() >= 10);
    assert!(
        mean(&prompts) < 0.10,
        "prompts are off by {}",
        mean(&prompts)
    );
}

#[test]
fn an_idle_replica_reads_as_long_as_is_told() {
    let profile = calibrated().unwrap().profile;
    for (prompt, batch) in [(128, 1), (512, 16), (8192, 1)] {
        let mut replica = Replica::new(profile);
        for id in 0..batch {
            replica.arrive(id as usize, prompt, 1, 0.0);
        }
        replica.begin(0.0);
        let mut now = 0.0;
        while let Some(ends) = replica.ends() {
            now = ends;
            replica.end();
            replica.begin(now);
        }
        let told = profile.reads(prompt, batch);
        assert!(
            (now / told - 1.0).abs() < 0.01,
            "{prompt} {batch}: {now} s, told {told} s"
        );
    }
}

#[test]
fn more_servers_and_milder_promises_are_good_for_more() {
    let profile = calibrated().unwrap().profile;
    let jobs = |prompt| {
        [Job {
            at: 0.0,
            prompt,
            output: 100,
            session: None,
        }]
    };
    let of = |replicas, prompt, slack: f64| {
        let mut objective = OBJECTIVE;
        objective.first_token *= slack;
        goodput(&profile, replicas, &jobs(prompt), &objective)
    };
    let usual = of(2, 2000, 1.0);
    assert!(usual > 0.1, "{usual}");
    assert!(of(4, 2000, 1.0) > 1.8 * usual);
    assert!(of(2, 4000, 1.0) < usual);
    assert!(of(2, 2000, 3.0) >= usual);
}

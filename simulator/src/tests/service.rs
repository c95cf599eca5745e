//! The service model compared with the measurements, and the goodput of a region.

use crate::cases::{OBJECTIVE, calibrated};
use crate::demand::goodput;
use crate::profile::Point;
use crate::replica::Replica;
use crate::trace::TraceRequest;

#[test]
fn the_fit_is_close_to_the_measurements() {
    let fit = calibrated().unwrap();
    let mean = |points: &[&Point]| {
        points.iter().map(|point| point.error()).sum::<f64>() / points.len() as f64
    };
    let tokens: Vec<&Point> = fit.tokens.iter().collect();
    assert!(tokens.len() >= 10);
    assert!(
        mean(&tokens) < 0.05,
        "mean error of tokens: {}",
        mean(&tokens)
    );
    // The error of small prompts is larger.
    let prompts: Vec<&Point> = fit
        .prompts
        .iter()
        .filter(|point| point.prompt_size * point.batch_size >= 512)
        .collect();
    assert!(prompts.len() >= 10);
    assert!(
        mean(&prompts) < 0.10,
        "mean error of prompts: {}",
        mean(&prompts)
    );
}

#[test]
fn an_idle_server_prefills_in_the_predicted_time() {
    let profile = calibrated().unwrap().profile;
    for (prompt, batch) in [(128, 1), (512, 16), (8192, 1)] {
        let mut replica = Replica::new(profile);
        for id in 0..batch {
            replica.enqueue(id as usize, prompt, 1, 0.0);
        }
        replica.start_passes(0.0);
        let mut now = 0.0;
        while let Some(end) = replica.passes_end() {
            now = end;
            replica.finish_passes();
            replica.start_passes(now);
        }
        let predicted = profile.prefill_time(prompt, batch);
        assert!(
            (now / predicted - 1.0).abs() < 0.01,
            "{prompt} {batch}: {now} s, predicted {predicted} s"
        );
    }
}

#[test]
fn goodput_grows_with_servers_and_with_a_looser_objective() {
    let profile = calibrated().unwrap().profile;
    let jobs = |prompt| {
        [TraceRequest {
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

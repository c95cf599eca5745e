//! `docs/decision-quality.md`: the tables of a study, each with a sentence that says what it shows.

use super::table::Table;
use super::{Report, ablation, table};
use crate::gate::{GateFailure, MAX_REVERSALS};
use crate::profile::Point;
use crate::spread::Spread;
use crate::study::CaseResult;

/// First lines of the document. They ask readers not to edit it.
pub const HEAD: &str = "# Decision quality\n\n<!-- Written by `meridian-simulate`; edit simulator/src/report instead. -->\n";

/// The command that writes the document.
pub const COMMAND: &str = "cargo run --release -p meridian-simulator -- --markdown docs/decision-quality.md --html target/decision-quality.html";

const COLUMNS: &str = include_str!("columns.md");

/// The document.
pub fn document(report: &Report) -> String {
    let parts = [
        HEAD.to_owned(),
        format!(
            "This page compares Meridian with other routing strategies in a simulation that runs Meridian's own planner and request path. \
             {} cases, {} seeds each. [simulator.md](simulator.md) describes the simulation, the strategies and the limits. The page is written by:\n\n```sh\n{COMMAND}\n```\n",
            report.cases.len(),
            report.seeds
        ),
        gate(report),
        format!(
            "## Results by case\n\n\
             P95 time to first token (TTFT) in seconds and share of requests within the service-level objective (SLO), means over the seeds. \
             `best`: better than every baseline in both; `worse`: more than 2 % worse than the best baseline in one.\n\n{}",
            table::gate(&report.gate)
        ),
        format!(
            "## Pinned zone\n\n\
             The same for the requests of the zone `eea` alone, which stay in its regions. The gate ignores these values.\n\n{}",
            table::pinned(&report.gate)
        ),
        format!(
            "## Ablations\n\n\
             Meridian with only one of its two choices, region and server, and with neither. Medians over the cases.\n\n{}",
            ablation::table(&report.cases)
        ),
        service_model(report),
        COLUMNS.to_owned(),
        cases(report),
    ];
    parts.join("\n")
}

/// The gate's conditions and whether they are met.
fn gate(report: &Report) -> String {
    let failures = report.gate.failures();
    let count = |is: fn(&GateFailure) -> bool| {
        let failed = failures.iter().filter(|failure| is(failure));
        failed.count().to_string()
    };
    let cases = report.gate.cases.len();
    let row = |condition: String, required: &str, result: String| {
        vec![condition, required.to_owned(), result]
    };
    let table = Table {
        head: vec!["condition", "required", "result"],
        rows: vec![
            row(
                "cases in which Meridian is the best".to_owned(),
                "two thirds",
                format!("{} of {cases}", report.gate.wins()),
            ),
            row(
                "cases in which Meridian is more than 2 % worse".to_owned(),
                "0",
                count(|failure| matches!(failure, GateFailure::Regression(_))),
            ),
            row(
                format!(
                    "cases in which a home share reverses more than {MAX_REVERSALS} times after a disturbance"
                ),
                "0",
                count(|failure| matches!(failure, GateFailure::Oscillation(..))),
            ),
            row(
                "cases with attempts at regions outside the caller's zone".to_owned(),
                "0",
                count(|failure| matches!(failure, GateFailure::Violations(..))),
            ),
        ],
    };
    let verdict = if failures.is_empty() {
        "passed"
    } else {
        "**failed**"
    };
    format!(
        "## Gate\n\nThe gate {verdict}. `meridian-simulate` exits with 1 if a condition is not met.\n\n{table}"
    )
}

/// The fitted service times, with measured and fitted values.
fn service_model(report: &Report) -> String {
    let profile = &report.fit.profile;
    let mean = |points: &[Point]| {
        let errors = points.iter().map(Point::error);
        errors.sum::<f64>() / points.len().max(1) as f64 * 100.0
    };
    let simulated = |point: &Point| profile.prefill_time(point.prompt_size, point.batch_size) * 1e3;
    let error = |point: &Point| (simulated(point) / point.measured - 1.0) * 100.0;
    let cell = |point: &Point| format!("{:.1} ({:+.0} %)", simulated(point), error(point));
    format!(
        "## Service model\n\n\
         Cost of a forward pass, fitted by least absolute deviations to measured times of Llama 2 70B on four H100 GPUs.\n\n{}\n\
         Prefill times in milliseconds. The mean error is {:.1} %; `simulated` is the time of an idle simulated server, which prefills \
         in chunks of {} tokens.\n\n{}\n\
         Times per output token in milliseconds. The mean error is {:.1} %.\n\n{}",
        table::coefficients(profile),
        mean(&report.fit.prompts),
        profile.chunk,
        table::fit(&report.fit.prompts, &[("simulated", &cell)]),
        mean(&report.fit.tokens),
        table::fit(&report.fit.tokens, &[]),
    )
}

/// One table per case.
fn cases(report: &Report) -> String {
    let cases = report.cases.iter().map(|case| {
        format!(
            "### {}\n\n{}\n\n{}",
            case.name,
            description(case),
            table::case(case)
        )
    });
    cases.collect::<Vec<_>>().join("\n")
}

/// What happens in a case, its regions, and its objective.
fn description(case: &CaseResult) -> String {
    let objective = &case.objective;
    let mut text = case.description.clone();
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    format!(
        "{text}: {}, {:.0} requests. SLO: TTFT {} s and {} ms per prompt token, then {} ms per output token.",
        regions(&case.regions),
        case.requests.mean,
        objective.first_token,
        objective.prompt_token * 1e3,
        objective.token * 1e3,
    )
}

/// The number of regions, their servers and their goodput.
fn regions(regions: &[(usize, Spread)]) -> String {
    let count = regions.len();
    if let Some((servers, goodput)) = regions.first()
        && regions.iter().all(|(other, _)| other == servers)
    {
        return format!(
            "{count} regions of {servers} servers with a goodput of {:.1} requests/s each",
            goodput.mean
        );
    }
    let each = regions
        .iter()
        .map(|(servers, goodput)| format!("{servers} servers ({:.1} requests/s)", goodput.mean));
    format!(
        "{count} regions with {}",
        each.collect::<Vec<_>>().join(", ")
    )
}

//! `docs/decision-quality.md`: what is assumed, the tables, and what they say.

use super::{Report, parts, table};
use crate::gate::{Against, Gate, Judged};
use crate::profile::Point;
use crate::spread::Spread;
use crate::study::Studied;

/// How the document begins, so that whoever opens it knows not to edit it.
pub const HEAD: &str = "# Decision quality\n\n<!-- Written by `meridian simulate`; edit simulator/src/report instead. -->\n";

/// The command that writes it.
pub const COMMAND: &str =
    "meridian simulate --markdown docs/decision-quality.md --html target/decision-quality.html";

const HOW: &str = include_str!("how.md");
const LIMITS: &str = include_str!("limits.md");

/// The document.
pub fn document(report: &Report) -> String {
    let parts = [
        HEAD.to_owned(),
        format!(
            "How well Meridian's decisions serve callers, next to other ways to route, in a simulation with the product's own planner \
             and decision in the loop. {} cases, {} seeds each. Written by one command:\n\n```sh\n{COMMAND}\n```\n",
            report.cases.len(),
            report.seeds
        ),
        verdict(report),
        parts::parts(&report.cases),
        HOW.to_owned(),
        fits(report),
        cases(report),
        LIMITS.to_owned(),
    ];
    parts.join("\n")
}

/// The gate, and what is not as it should be.
fn verdict(report: &Report) -> String {
    let gate = &report.gate;
    let problems = gate.problems();
    let mut text = String::from("## Verdict\n\n");
    text += &format!(
        "Meridian is the best of all ways but the oracle, in both the 95th percentile of the time to the first token (TTFT) and the \
         promises kept, in {} of {} cases. ",
        gate.best(),
        gate.judged.len()
    );
    text += if problems.is_empty() {
        "The gate is met: the best in at least two thirds of the cases, nowhere more than 2 % worse in either, no share that turns \
         round more than twice after a disturbance, no request outside of its zone.\n\n"
    } else {
        "The gate is **not met**. It asks for the best in at least two thirds of the cases, nowhere more than 2 % worse in either, no \
         share that turns round more than twice after a disturbance (past its first 60 s), and no request outside of its zone:\n\n"
    };
    for problem in &problems {
        text += &format!("- {problem}\n");
    }
    if !problems.is_empty() {
        text += "\n";
    }
    text += &table::gate(gate).to_string();
    text += "\nMeans over the seeds; `turns` is the most of any share with any seed after something happened: in the other cases nothing does. \"Over it\" is Meridian's P95 over the oracle's.\n";
    let behind: Vec<&Judged> = gate
        .judged
        .iter()
        .filter(|one| !one.all.is_best())
        .collect();
    if !behind.is_empty() {
        text += "\nWhere Meridian is not the best:\n\n";
    }
    for judged in behind {
        text += &format!("- {}: {}.\n", judged.case, behind_in(&judged.all));
    }
    text + "\n" + &pinned(gate)
}

/// What the pinned zone's callers get, who cannot go elsewhere.
fn pinned(gate: &Gate) -> String {
    let cases = |is: fn(&Against) -> bool| -> Vec<&str> {
        let cases = gate.judged.iter().filter(|judged| is(&judged.pinned));
        cases.map(|judged| judged.case.as_str()).collect()
    };
    let worse = cases(Against::is_worse);
    let names = match worse.as_slice() {
        [] => String::new(),
        worse => format!(" ({})", worse.join(", ")),
    };
    format!(
        "### The pinned zone alone\n\n\
         Callers of the zone `eea`, whose requests stay in its regions while others may come there; no part of the gate. Meridian serves \
         them better than the best other way in both figures in {} of {} cases, worse by more than 2 % in one or both in {}{names}, and \
         in the rest not better in both, and worse by no more than that.\n\n{}",
        cases(Against::is_best).len(),
        gate.judged.len(),
        worse.len(),
        table::pinned(gate),
    )
}

/// In what another way is ahead in a case.
fn behind_in(against: &Against) -> String {
    let mut parts = Vec::new();
    let (way, seconds) = against.soonest;
    if against.meridian.first_token >= seconds {
        let more = (against.meridian.first_token / seconds - 1.0) * 100.0;
        parts.push(format!(
            "its P95 is {more:.1} % above that of {}",
            way.name()
        ));
    }
    let (way, kept) = against.most_kept;
    if against.meridian.attainment <= kept {
        let less = (kept - against.meridian.attainment) * 100.0;
        parts.push(format!(
            "it keeps {less:.2} points fewer promises than {}",
            way.name()
        ));
    }
    parts.join("; ")
}

fn fits(report: &Report) -> String {
    let profile = &report.fit.profile;
    let mean = |points: &[Point]| {
        let errors = points.iter().map(Point::error);
        errors.sum::<f64>() / points.len().max(1) as f64 * 100.0
    };
    let simulated = |point: &Point| profile.reads(point.prompt_size, point.batch_size) * 1e3;
    let off = |point: &Point| (simulated(point) / point.measured - 1.0) * 100.0;
    let told = |point: &Point| format!("{:.1} ({:+.0} %)", simulated(point), off(point));
    format!(
        "### The service model and what it is fitted to\n\n\
         A forward pass takes {:.2} ms, and {:.4} ms more for each prompt token in it, {:.3} ns for each pair of a prompt token and \
         a token before it, {:.3} ms for each sequence that decodes, {:.3} µs for each token of their context. Fitted by least \
         absolute deviations to measured times of Llama 2 70B on four H100.\n\n\
         Prompts, off by {:.1} % in the mean. Their times hardly follow their size where they are tiny, and the fit takes what a token \
         costs from the large ones, where the time goes: below 512 tokens it is far too low. The simulated server reads in chunks of \
         {} tokens, and each of its passes has the fixed part that decoding has, which is larger than the one of the fit for prompts \
         alone: the last column is what a server that has nothing else to do takes in the simulation, over what was measured.\n\n{}\n\
         Tokens, off by {:.1} % in the mean.\n\n{}",
        profile.pass * 1e3,
        profile.prompt_token * 1e3,
        profile.prompt_square * 1e9,
        profile.sequence * 1e3,
        profile.context_token * 1e6,
        mean(&report.fit.prompts),
        profile.chunk,
        table::fit(&report.fit.prompts, &[("simulated ms", &told)]),
        mean(&report.fit.tokens),
        table::fit(&report.fit.tokens, &[]),
    )
}

fn cases(report: &Report) -> String {
    let mut text = String::from(
        "## Cases\n\n\
         Seconds; means over the seeds, and the lowest and the highest in brackets where they differ. `kept`: requests that got what is \
         promised. `home`: served by the region that they came to. `GB between`: bytes of prompts and answers between regions. \
         `fallback`, `its cost`: requests that no region could take, and what they cost at a hosted provider. `failed`: answers that \
         broke off. `left zone`: attempts at regions that the caller's zone may not use. The last two \
         rows are parts of Meridian, none of the ways that it is compared with.\n",
    );
    for case in &report.cases {
        text += &format!(
            "\n### {}\n\n{}\n{}",
            case.name,
            about(case),
            table::case(case)
        );
    }
    text
}

fn about(case: &Studied) -> String {
    let promise = &case.objective;
    let mut about = case.about.clone();
    if let Some(first) = about.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    format!(
        "{about}. {}; {:.0} requests. Promised: the first token within {} s and {} ms a token of the prompt, then {} ms a token.\n",
        regions(&case.regions),
        case.requests.mean,
        promise.first_token,
        promise.prompt_token * 1e3,
        promise.token * 1e3,
    )
}

fn regions(regions: &[(usize, Spread)]) -> String {
    let count = regions.len();
    if let Some((servers, good)) = regions.first()
        && regions.iter().all(|(other, _)| other == servers)
    {
        return format!(
            "{count} regions of {servers} servers, each good for {:.1} requests/s",
            good.mean
        );
    }
    let each = regions
        .iter()
        .map(|(servers, good)| format!("{servers} servers good for {:.1} requests/s", good.mean));
    format!("{count} regions: {}", each.collect::<Vec<_>>().join(", "))
}

//! Reports for people.

use super::read::value;
use super::record::{AttemptReport, DecisionRecord, Outcome};
use crate::table::{self, time};
use std::fmt::{Result, Write};

/// A line for each report.
pub fn table(records: &[DecisionRecord]) -> String {
    if records.is_empty() {
        return "no gateway has reported such a request within the last 15 minutes\n".to_owned();
    }
    let mut table = table::table([
        "time", "gateway", "zone", "model", "lane", "outcome", "by", "attempts", "ms", "request",
    ]);
    for record in records {
        let dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        table.add_row([
            time(record.at),
            record.gateway.to_string(),
            dash(&record.zone),
            dash(&record.model),
            dash(&record.lane),
            outcome(record),
            dash(&record.region),
            record.attempts.len().to_string(),
            record
                .duration_ms
                .map_or_else(|| "-".to_owned(), |ms| ms.to_string()),
            record.request_id.clone(),
        ]);
    }
    let lines = table.lines().map(|line| format!("{}\n", line.trim_end()));
    lines.collect()
}

fn outcome(record: &DecisionRecord) -> String {
    let DecisionRecord {
        outcome,
        status,
        refused,
        broken,
        ..
    } = record;
    match (outcome, refused, broken) {
        (Outcome::Refused, Some(code), _) => format!("refused {status} {code}"),
        (Outcome::Broken, _, Some(how)) => format!("broken {how}"),
        (Outcome::Left, ..) => "left".to_owned(),
        (outcome, ..) => format!("{outcome} {status}"),
    }
}

/// A report in sentences.
pub fn text(record: &DecisionRecord) -> String {
    let mut text = String::new();
    // Writing into a String cannot fail.
    let _ = write(&mut text, record);
    text
}

fn write(out: &mut String, record: &DecisionRecord) -> Result {
    let DecisionRecord {
        at,
        gateway,
        request_id,
        zone,
        by,
        model,
        lane,
        attempts,
        tokens,
        ..
    } = record;
    writeln!(
        out,
        "request   {request_id}, at gateway {gateway}, {}",
        time(*at)
    )?;
    if let Some(zone) = zone {
        let by = match by.as_deref() {
            None => String::new(),
            Some("unknown") => ": no source told it".to_owned(),
            Some(by) => format!(", told by {by}"),
        };
        writeln!(out, "zone      {zone}{by}")?;
    }
    if let Some(model) = model {
        writeln!(out, "model     {model}")?;
    }
    if let Some(lane) = lane {
        writeln!(out, "lane      {lane}: {}", lane_meaning(lane))?;
    }
    for line in reasons(&record.decision) {
        writeln!(out, "          {line}")?;
    }
    for (number, attempt) in attempts.iter().enumerate() {
        let title = if number == 0 { "attempts" } else { "" };
        writeln!(out, "{title:<9} {}. {}", number + 1, attempt_line(attempt))?;
    }
    writeln!(out, "outcome   {}", outcome_line(record))?;
    if let Some(tokens) = tokens {
        writeln!(
            out,
            "tokens    {} in, {} of them from a cache; {} out",
            tokens.prompt, tokens.cached, tokens.completion
        )?;
    }
    if record.sampled {
        writeln!(
            out,
            "reported  as one of a few: not all requests like it are"
        )?;
    }
    Ok(())
}

fn lane_meaning(lane: &str) -> &'static str {
    match lane {
        "home" => "the first region, which keeps it",
        "overflow" => "another region, because home sheds load",
        "fresh" => "a region with fresh data",
        "batch" => "the cheapest region with room",
        "fallback" => "no region of the zone has the model, or none serves",
        _ => "a lane that this version does not know",
    }
}

/// What else the gateway took into account, in sentences.
fn reasons(decision: &str) -> Vec<String> {
    let say = |key: &str, sentence: fn(&str) -> String| value(decision, key).map(sentence);
    let said = [
        say("home_share", |share| {
            format!("home keeps {share} % of the callers, by the plan")
        }),
        say("breaker", |which| match which {
            "first" => "the first region serves nobody at this moment".to_owned(),
            _ => "no region serves at this moment".to_owned(),
        }),
        say("cooling", |part| {
            format!("{} leave home: it has just refused requests", percent(part))
        }),
        say("full", |part| {
            format!(
                "{} leave home: its servers report that they are full",
                percent(part)
            )
        }),
        say("pressure", |part| {
            format!("{} leave home: others answer sooner", percent(part))
        }),
        say("drain", |which| match which {
            "new" => "home is drained, and it begins a conversation".to_owned(),
            _ => "home is drained, and it goes on with a conversation".to_owned(),
        }),
        say("lease", |_| {
            "the control plane was away for longer than the lease: home first".to_owned()
        }),
        say("continues", |field| {
            format!("it has `{field}`: it stays with the first region")
        }),
        say("tier", |tier| format!("tier {tier}")),
        say("fresh", |met| match met {
            "yes" => "fresh data was wanted, and is there".to_owned(),
            "no" => "fresh data was wanted, and no region of the zone has any".to_owned(),
            _ => "fresh data was wanted, and no source tells whether it is there".to_owned(),
        }),
    ];
    said.into_iter().flatten().collect()
}

/// `0.25` as `25 %`.
fn percent(part: &str) -> String {
    let part: Option<f64> = part.parse().ok();
    part.map_or_else(
        || "some".to_owned(),
        |part| format!("{:.0} %", part * 100.0),
    )
}

fn attempt_line(attempt: &AttemptReport) -> String {
    let AttemptReport {
        to,
        address,
        end,
        ms,
    } = attempt;
    let at = match address.as_str() {
        "-" => String::new(),
        address => format!(" ({address})"),
    };
    let after = ms.map_or_else(String::new, |ms| format!(" after {ms} ms"));
    format!("{to}{at}: {end}{after}{}", end_meaning(end))
}

fn end_meaning(end: &str) -> &'static str {
    match end {
        "first_token" | "unstreamed" => {
            ": its limit had passed, another member was asked as well and was sooner"
        }
        "overtaken" => ": one that was asked before was sooner after all",
        "connect" => ": no connection",
        "reset" => ": the connection ended before an answer",
        "left" => ": the caller left",
        "trickle" => ": the answer came too slowly",
        "stall" => ": the stream fell silent",
        "cut" => ": the stream ended before its end",
        "error" | "incomplete" | "aborted" | "malformed" => ": the answer was not valid",
        "no_model" => ": the server does not have the model",
        "answered" => "",
        status if status.starts_with(['4', '5']) => ": an error",
        _ => "",
    }
}

fn outcome_line(record: &DecisionRecord) -> String {
    let DecisionRecord {
        status,
        region,
        first_byte_ms,
        duration_ms,
        bytes_in,
        bytes_out,
        ..
    } = record;
    let said = match record.outcome {
        Outcome::Answered => format!("answered with {status}"),
        Outcome::Refused => {
            let code = record.refused.as_deref().unwrap_or_default();
            format!("refused by the gateway with {status}, {code}")
        }
        Outcome::Failed => format!("an error, {status}"),
        Outcome::Broken => {
            let how = record.broken.as_deref().unwrap_or_default();
            format!("broke off after its first content: {how}")
        }
        Outcome::Left => "the caller left".to_owned(),
    };
    let by = region
        .as_ref()
        .filter(|_| record.outcome != Outcome::Refused)
        .map_or_else(String::new, |region| format!(" by {region}"));
    let first = first_byte_ms.map_or_else(String::new, |ms| format!(", first byte after {ms} ms"));
    let whole = duration_ms.map_or_else(String::new, |ms| format!(", over after {ms} ms"));
    format!("{said}{by}{first}{whole}; {bytes_in} bytes in, {bytes_out} out")
}

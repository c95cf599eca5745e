//! An explanation for a person.

use super::explanation::{
    Explanation, Fate, Finding, MemberReport, Outcome, PolicyReport, Routed, ShareReport,
    SourceReport, ZoneReport,
};
use std::fmt::{Result, Write};

/// The explanation as text.
pub fn text(explanation: &Explanation) -> String {
    let mut text = String::new();
    // Writing into a String cannot fail.
    let _ = write(&mut text, explanation);
    text
}

fn write(out: &mut String, explanation: &Explanation) -> Result {
    let Explanation {
        gateway,
        from,
        policy,
        sources,
        zone,
        outcomes,
        unless,
        excluded,
        ..
    } = explanation;
    writeln!(out, "gateway   {gateway}, {}", policy_line(policy))?;
    for (number, source) in sources.iter().enumerate() {
        let title = if number == 0 { "sources" } else { "" };
        writeln!(out, "{title:<9} {}", source_line(source, &from.to_string()))?;
    }
    match zone {
        Some(zone) => writeln!(out, "zone      {}", zone_line(zone))?,
        None => writeln!(
            out,
            "zone      not known, and the fleet refuses such callers"
        )?,
    }
    for each in outcomes {
        outcome(out, each)?;
    }
    if !unless.is_empty() {
        writeln!(out, "\nunless, which only the gateway knows")?;
    }
    for each in unless {
        writeln!(out, "  {}", each.when)?;
        for then in &each.then {
            writeln!(out, "    {then}")?;
        }
    }
    if !excluded.is_empty() {
        writeln!(out, "\nnever sent to")?;
    }
    for each in excluded {
        writeln!(out, "  {}: {}", each.member, each.why)?;
    }
    Ok(())
}

fn policy_line(policy: &PolicyReport) -> String {
    let version: String = policy.version.chars().take(8).collect();
    let accepted = match policy.accepted_by.as_slice() {
        [] => "which no Envoy of the region has".to_owned(),
        all => format!("accepted by {}", all.join(", ")),
    };
    let age = if policy.newest {
        ""
    } else {
        "; a newer one is on its way"
    };
    let others = match policy.others.as_slice() {
        [] => String::new(),
        all => format!("; not by {}", all.join(", ")),
    };
    format!("by policy {version}, {accepted}{others}{age}")
}

fn source_line(source: &SourceReport, from: &str) -> String {
    let SourceReport {
        header,
        value,
        finding,
        decides,
    } = source;
    let value = value.as_ref().map(|value| format!("`{value}`"));
    let said = match (finding, value) {
        (Finding::NotTrusted { trusted }, Some(value)) => {
            let trusted = trusted.join(", ");
            format!("{value}, not believed: {from} is not in {trusted}")
        }
        (Finding::NotTrusted { .. } | Finding::Absent, None) => "not sent".to_owned(),
        (Finding::Absent, Some(value)) => format!("{value}, which names no place"),
        (Finding::Invalid, value) => format!(
            "{}, which names no zone: the caller may mean a pinned one",
            value.unwrap_or_default()
        ),
        (Finding::Zone { zone, pinned }, value) => {
            let pinned = if *pinned { ", a pinned zone" } else { "" };
            format!("{}: {zone}{pinned}", value.unwrap_or_default())
        }
    };
    let decides = if *decides { "; it decides" } else { "" };
    format!("{header} {said}{decides}")
}

fn zone_line(zone: &ZoneReport) -> String {
    let regions: Vec<&str> = zone.regions.iter().map(|it| it.as_str()).collect();
    let fallbacks: Vec<&str> = zone.fallbacks.iter().map(String::as_str).collect();
    let places = [regions, fallbacks].concat().join(", ");
    let pinned = match zone.pinned {
        true => "pinned: its requests never leave",
        false => "its requests may go to",
    };
    format!("{} by {}; {pinned} {places}", zone.zone, zone.by)
}

fn outcome(out: &mut String, outcome: &Outcome) -> Result {
    let part = match outcome.percent {
        100.0 => String::new(),
        percent => format!("about {percent:.0} % of such requests: "),
    };
    match &outcome.result {
        Fate::Answered { status, message } => {
            writeln!(out, "\n{part}answered by the gateway: {status}")?;
            writeln!(out, "  {message}")?;
            if !outcome.decision.is_empty() {
                writeln!(out, "  decision  {}", outcome.decision)?;
            }
            Ok(())
        }
        Fate::Routed(routed) => {
            let first = match &routed.first {
                Some(first) => format!("{first} first"),
                None => "and no member serves it".to_owned(),
            };
            writeln!(
                out,
                "
{part}lane {}, {first}",
                routed.lane.as_str()
            )?;
            writeln!(out, "  decision  {}", outcome.decision)?;
            details(out, routed)
        }
    }
}

fn details(out: &mut String, routed: &Routed) -> Result {
    if let Some(share) = &routed.share {
        share_lines(out, share)?;
    }
    if let Some(fresh) = &routed.fresh {
        writeln!(out, "  fresh     {fresh}")?;
    }
    if let Some(field) = &routed.continues {
        writeln!(
            out,
            "  continues an earlier answer (`{field}`): it stays with the first region"
        )?;
    }
    for (number, member) in routed.chain.iter().enumerate() {
        let title = if number == 0 { "chain" } else { "" };
        writeln!(out, "  {title:<9} {}. {}", number + 1, member_line(member))?;
    }
    let limits = &routed.limits;
    let per_try = match limits.per_try_timeout_ms {
        Some(ms) => format!(
            "the next member is asked as well after {:.1} s; ",
            ms as f64 / 1e3
        ),
        None => String::new(),
    };
    writeln!(
        out,
        "  limits    {per_try}the whole answer takes at most {} s",
        limits.answer_s
    )
}

fn share_lines(out: &mut String, share: &ShareReport) -> Result {
    let others: Vec<String> = share
        .others
        .iter()
        .map(|(region, part)| format!("{region} {part} %"))
        .collect();
    let kind = if share.fixed {
        "fixed, load does not change it"
    } else {
        "by the plan"
    };
    writeln!(
        out,
        "  share     {} keeps {} % {kind}, at least {} %; the others go to {}",
        share.region,
        share.planned,
        share.floor,
        others.join(", ")
    )?;
    if share.drained {
        writeln!(
            out,
            "            drained: requests that begin a conversation leave first"
        )?;
    }
    for intent in &share.intents {
        writeln!(out, "            intent {intent}")?;
    }
    Ok(())
}

fn member_line(member: &MemberReport) -> String {
    let state = match member.state.as_slice() {
        [] => String::new(),
        words => format!(": {}", words.join(", ")),
    };
    let passed_over = member.passed_over.as_ref();
    let passed_over = passed_over.map(|why| format!("; passed over, {why}"));
    format!(
        "{}{state}{}",
        member.member,
        passed_over.unwrap_or_default()
    )
}

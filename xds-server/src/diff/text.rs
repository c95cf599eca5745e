//! The difference for a person.

use super::{Change, Counts, Difference, GatewayChange, Kind, Move, Reach};
use bytesize::ByteSize;
use std::fmt::{Display, Result, Write};

/// Most countries that are named.
const MOST_NAMED: usize = 12;

/// The difference as text.
pub fn text(difference: &Difference) -> String {
    let mut text = String::new();
    // Writing into a String cannot fail.
    let _ = write(&mut text, difference);
    text
}

fn write(out: &mut String, difference: &Difference) -> Result {
    if difference.is_empty() {
        return writeln!(out, "nothing changes");
    }
    let Difference {
        residency,
        countries,
        zones,
        reach,
        regions,
        fallbacks,
        settings,
        gateways,
    } = difference;
    section(
        out,
        "residency: read it twice",
        residency.iter().map(|it| format!("! {it}")),
    )?;
    section(
        out,
        "callers with another zone",
        countries.iter().map(moved),
    )?;
    section(out, "zones", zones.iter().map(change))?;
    section(out, "who gains or loses regions", reach.iter().map(reached))?;
    section(out, "regions", regions.iter().map(change))?;
    section(out, "fallbacks", fallbacks.iter().map(change))?;
    section(out, "settings", settings)?;
    section(
        out,
        "what each Envoy would get",
        gateways.iter().map(gateway),
    )
}

fn section(out: &mut String, title: &str, lines: impl IntoIterator<Item = impl Display>) -> Result {
    let mut lines = lines.into_iter().peekable();
    if lines.peek().is_none() {
        return Ok(());
    }
    writeln!(out, "{title}")?;
    lines.try_for_each(|line| writeln!(out, "  {line}"))
}

fn moved(moved: &Move) -> String {
    let zone = |zone: &Option<_>| match zone {
        Some(zone) => format!("{zone}"),
        None => "no zone".to_owned(),
    };
    let named = moved.countries.iter().take(MOST_NAMED);
    let named: Vec<String> = named.map(ToString::to_string).collect();
    let more = match moved.countries.len().saturating_sub(MOST_NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let (from, to) = (zone(&moved.from), zone(&moved.to));
    format!("{from} -> {to}: {}{more}", named.join(" "))
}

fn change(change: &Change) -> String {
    let sign = match change.kind {
        Kind::Added => "+",
        Kind::Removed => "-",
        Kind::Changed => "~",
    };
    let details = match change.details.as_slice() {
        [] => String::new(),
        details => format!(": {}", details.join("; ")),
    };
    format!("{sign} {}{details}", change.name)
}

fn reached(reach: &Reach) -> String {
    let gains = reach.gains.iter().map(|region| format!("+{region}"));
    let loses = reach.loses.iter().map(|region| format!("-{region}"));
    let regions: Vec<String> = gains.chain(loses).collect();
    let (old, new) = reach.servers;
    let (zone, model) = (&reach.zone, &reach.model);
    let line = format!(
        "{zone}, {model}: {} servers {old} -> {new}",
        regions.join(" ")
    );
    line.replace(":  ", ": ")
}

fn gateway(change: &GatewayChange) -> String {
    let kinds = change.resources.iter().map(|(kind, counts)| {
        let Counts {
            added,
            changed,
            removed,
        } = counts;
        format!("{kind} +{added} ~{changed} -{removed}")
    });
    let kinds: Vec<String> = kinds.collect();
    let cost = match (change.before, change.after) {
        (Some(old), Some(new)) => format!(
            "{} -> {} clusters, {} -> {} routes, {} -> {}",
            old.clusters,
            new.clusters,
            old.routes,
            new.routes,
            ByteSize(old.bytes as u64),
            ByteSize(new.bytes as u64)
        ),
        (None, Some(new)) => format!(
            "new: {} clusters, {} routes, {}",
            new.clusters,
            new.routes,
            ByteSize(new.bytes as u64)
        ),
        (_, None) => "goes".to_owned(),
    };
    format!("{}: {cost}; {}", change.region, kinds.join(", "))
}

//! What a caller may hear.

use super::act::{Act, Fate, Words};
use super::caller::Heard;
use super::plan::{MEMBERS, Plan};
use anyhow::{Result, bail};
use serde_json::Value;

/// What a caller heard.
#[derive(Debug)]
pub enum Verdict {
    /// One whole answer.
    Whole,
    /// One error.
    Error,
    /// A part of a stream, and that it broke off.
    Broken,
}

/// Judges what a caller heard by what the members did.
///
/// # Errors
/// It may not be.
pub fn judge(plan: &Plan, heard: &Heard) -> Result<Verdict> {
    let body = String::from_utf8_lossy(&heard.body);
    let fates = || plan.parts.iter().map(|part| part.act.fate());
    if heard.status == 200 {
        return answered(plan, heard, &body);
    }
    // A member that keeps its stream open after an error leaves HTTP/2 without an end of it.
    let may_be_cut = plan.http2
        && plan
            .parts
            .iter()
            .any(|part| matches!(part.act, Act::ErrorOpen(_)));
    if heard.status < 400 || (heard.is_cut && !may_be_cut) {
        bail!(
            "status {}, cut {}: {}",
            heard.status,
            heard.is_cut,
            short(&body)
        );
    }
    let error: Value = serde_json::from_str(&body).unwrap_or_default();
    // A member's own error without a body may pass without one.
    let is_bare = body.is_empty()
        && plan
            .parts
            .iter()
            .any(|part| matches!(part.act, Act::Bare(_) | Act::Empty));
    if error.get("error").is_none() && !is_bare {
        bail!("status {} without an error: {}", heard.status, short(&body));
    }
    let may_fail =
        !fates().any(|fate| fate == Fate::Whole) || fates().any(|fate| fate == Fate::Final);
    if !may_fail {
        bail!(
            "an error, though a member has an answer: {} {}",
            heard.status,
            short(&body)
        );
    }
    Ok(Verdict::Error)
}

/// What came with status 200.
fn answered(plan: &Plan, heard: &Heard, body: &str) -> Result<Verdict> {
    for (member, part) in MEMBERS.iter().zip(&plan.parts) {
        let words = Words {
            member,
            id: plan.id,
            large: part.act == Act::Large,
        };
        match part.act.fate() {
            Fate::Whole if !heard.is_cut && body == expected(plan, &words) => {
                return Ok(Verdict::Whole);
            }
            Fate::Broken if broke_off(&words, body, heard.is_cut) => {
                return Ok(Verdict::Broken);
            }
            _ => {}
        }
    }
    let cut = heard.is_cut;
    bail!("not what any member said: cut {cut}, {}", short(body));
}

fn expected(plan: &Plan, words: &Words<'_>) -> String {
    if plan.streamed {
        words.stream()
    } else {
        words.whole()
    }
}

/// The beginning of a stream with content, then an error event, a cut, or both.
fn broke_off(words: &Words<'_>, body: &str, is_cut: bool) -> bool {
    let begun = words.role() + &words.content().concat();
    let Some(rest) = body.strip_prefix(&begun) else {
        // It may have broken within what was said.
        let first = words.content().first().map(|event| words.role() + event);
        return is_cut
            && begun.starts_with(body)
            && first.is_some_and(|first| body.starts_with(&first));
    };
    let event = rest
        .strip_prefix("data: ")
        .and_then(|rest| rest.strip_suffix("\n\n"));
    let says_error = event.is_some_and(|event| {
        serde_json::from_str::<Value>(event).is_ok_and(|event| event.get("error").is_some())
    });
    says_error || (rest.is_empty() && is_cut)
}

fn short(body: &str) -> String {
    format!("{:?}", body.chars().take(600).collect::<String>())
}

//! What a caller heard, judged by its bytes alone. Nothing here is shared with the product.

use crate::hunt::caller::Heard;
use anyhow::{Context, Result, bail};
use serde_json::Value;

/// Tokens of every answer.
pub const TOKENS: usize = 60;

/// Everybody who may answer.
pub const MEMBERS: [&str; 4] = ["us-west-2", "us-east-1", "eu-west-1", "claude"];

/// What a caller heard.
#[derive(Debug)]
pub enum Verdict {
    /// One whole answer of one member, or one that a content filter ended; with its usage if it reports one.
    Whole(Option<Usage>),
    /// An error with this status.
    Error(u16),
    /// A part of an answer, and that it broke off.
    Broken,
}

/// The tokens that a whole answer reports.
#[derive(Debug)]
pub struct Usage {
    /// Who answered.
    pub by: &'static str,
    /// Of the prompt.
    pub prompt: u64,
    /// Of the answer.
    pub completion: u64,
}

/// Judges an answer.
///
/// # Errors
/// It may not be: above all, a part that passes as whole.
pub fn judge(heard: &Heard, streamed: bool) -> Result<Verdict> {
    let body = String::from_utf8_lossy(&heard.body);
    let verdict = match (heard.status, streamed) {
        (200, true) => stream(&body, heard.is_cut),
        (200, false) => in_one_piece(&body, heard.is_cut),
        (status, _) => error(status, &body, heard.is_cut),
    };
    verdict.with_context(|| {
        let end = body.char_indices().rev().nth(300).map_or(0, |(at, _)| at);
        let (status, cut) = (heard.status, heard.is_cut);
        format!("status {status}, cut {cut}, ends with {:?}", &body[end..])
    })
}

/// What a member says.
pub fn words(member: &str) -> Vec<String> {
    let first = format!("{member} token0");
    let others = (1..TOKENS).map(|index| format!(" token{index}"));
    std::iter::once(first).chain(others).collect()
}

/// The whole text of a member. Claude adds what it saw of images and tools: nothing.
fn text(member: &str) -> String {
    let end = if member == "claude" { " []" } else { "" };
    words(member).concat() + end
}

fn error(status: u16, body: &str, is_cut: bool) -> Result<Verdict> {
    let body: Value = serde_json::from_str(body).context("an error that is no JSON")?;
    if status < 400 || is_cut || !body["error"]["message"].is_string() {
        bail!("an error without its form");
    }
    Ok(Verdict::Error(status))
}

fn in_one_piece(body: &str, is_cut: bool) -> Result<Verdict> {
    let answer: Value = serde_json::from_str(body).context("no JSON")?;
    let choice = &answer["choices"][0];
    let seen = Seen {
        content: choice["message"]["content"]
            .as_str()
            .unwrap_or_default()
            .into(),
        finish: choice["finish_reason"].as_str().map(str::to_owned),
        usage: answer["usage"].clone(),
        ..Seen::default()
    };
    if is_cut {
        bail!("JSON behind which the connection broke off");
    }
    seen.whole()
}

/// What was in the events of a stream.
#[derive(Default)]
struct Seen {
    content: String,
    finish: Option<String>,
    usage: Value,
    is_done: bool,
    has_error: bool,
}

fn stream(body: &str, is_cut: bool) -> Result<Verdict> {
    let mut seen = Seen::default();
    let mut events: Vec<&str> = body.split("\n\n").collect();
    // Behind the last event is nothing, but where the connection broke off within one.
    let rest = events.pop().unwrap_or_default();
    if !rest.is_empty() && !is_cut {
        bail!("the beginning of an event at the end");
    }
    for event in events {
        seen.read(event)?;
    }
    if !seen.has_error && !is_cut {
        if !seen.is_done {
            bail!("a stream without an end that ended well");
        }
        return seen.whole();
    }
    let begins = |member: &&str| text(member).starts_with(&seen.content);
    if seen.is_done || seen.content.is_empty() || !MEMBERS.iter().any(begins) {
        bail!("not a part of what a member said: {:?}", seen.content);
    }
    Ok(Verdict::Broken)
}

impl Seen {
    fn read(&mut self, event: &str) -> Result<()> {
        if self.is_done || self.has_error {
            bail!("an event behind the end: {event}");
        }
        let data = event.strip_prefix("data: ").context("no data")?;
        if data == "[DONE]" {
            self.is_done = true;
            return Ok(());
        }
        let chunk: Value = serde_json::from_str(data).context("an event that is no JSON")?;
        self.has_error = chunk.get("error").is_some();
        let choice = &chunk["choices"][0];
        self.content += choice["delta"]["content"].as_str().unwrap_or_default();
        if let Some(finish) = choice["finish_reason"].as_str()
            && let Some(before) = self.finish.replace(finish.into())
        {
            bail!("ended twice: {before}, {finish}");
        }
        if chunk["usage"].is_object() {
            self.usage = chunk["usage"].clone();
        }
        Ok(())
    }

    fn whole(&self) -> Result<Verdict> {
        let by = MEMBERS
            .into_iter()
            .find(|member| text(member) == self.content);
        let tokens = |name: &str| self.usage[name].as_u64().context("no usage");
        match (self.finish.as_deref(), by) {
            (Some("content_filter"), _) if !self.content.is_empty() => Ok(Verdict::Whole(None)),
            (Some("stop"), Some(by)) => Ok(Verdict::Whole(Some(Usage {
                by,
                prompt: tokens("prompt_tokens")?,
                completion: tokens("completion_tokens")?,
            }))),
            _ => bail!("a part of an answer that passes as whole"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // Tests.

    use super::*;

    fn event(delta: &str, finish: &str) -> String {
        format!(
            "data: {{\"choices\":[{{\"delta\":{{\"content\":\"{delta}\"}},\"finish_reason\":{finish}}}],\
             \"usage\":{{\"prompt_tokens\":3,\"completion_tokens\":60}}}}\n\n"
        )
    }

    fn judged(body: String, is_cut: bool) -> Result<Verdict> {
        let heard = Heard {
            status: 200,
            body: body.into_bytes(),
            is_cut,
        };
        judge(&heard, true)
    }

    #[test]
    fn a_part_never_passes_as_whole() {
        let whole = text("us-east-1");
        let (part, done) = (&whole[..40], "data: [DONE]\n\n");
        let fine = judged(event(&whole, "\"stop\"") + done, false).unwrap();
        assert!(matches!(fine, Verdict::Whole(Some(usage)) if usage.by == "us-east-1"));
        let broken = [
            judged(event(part, "null"), true),
            judged(event(part, "null") + "data: {\"error\":{}}\n\n", false),
            judged(event(part, "null") + "data: {\"cho", true),
        ];
        for verdict in broken {
            assert!(matches!(verdict, Ok(Verdict::Broken)), "{verdict:?}");
        }
        let wrong = [
            event(part, "null"),
            event(part, "null") + done,
            event(part, "\"stop\"") + done,
            event(&whole, "\"stop\""),
            event(&whole, "null") + done,
            event(part, "null") + "data: {\"error\":{}}\n\n" + done,
            event(&format!("{part}x"), "null") + "data: {\"error\":{}}\n\n",
            event(part, "null") + "data: {\"cho\n\n" + done,
            event("", "null") + "data: {\"error\":{}}\n\n",
        ];
        for body in wrong {
            assert!(judged(body.clone(), false).is_err(), "{body}");
        }
    }
}

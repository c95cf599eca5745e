//! `docs/provider-fields.md`: what becomes of each field and type of the providers' APIs on its way to a fallback of a pinned zone.

use meridian_filter_core::claude::Ask;
use meridian_filter_core::edit::edit;
use meridian_filter_core::egress::{EgressMode, Restriction, mode};
use meridian_policy::egress_policy::EgressPolicy;
use serde_json::{Value, json};
use std::fmt::Write as _;

/// The fields: lines of a path, a field and a body that has it, with tabs between them.
const FIELDS: &str = include_str!("../../fixtures/provider-fields.txt");

/// What stands before the tables.
const HEAD: &str = include_str!("provider_fields.txt");

/// The definition of the pinned zone.
const ZONE: &str = "eea@000000000000000b";

/// Betas that messages may need, by the caller's header.
const BETAS: &str = "compact-2026-09-04,context-management-2025-06-27,mid-conversation-output-config-2026-07-01,\
                     mid-conversation-system-clear-at-2026-08-21,mid-conversation-tool-changes-2026-07-01";

/// What becomes of a field.
enum Outcome {
    Goes,
    Dropped,
    /// The request is refused with this text.
    Refused(String),
}

/// The page.
pub fn page() -> String {
    let (compatible, claude) = (compatible(), claude());
    let mut texts = Vec::new();
    let mut tables = String::new();
    let mut before = "";
    for line in FIELDS.lines().filter(|line| !line.starts_with('#')) {
        let mut columns = line.splitn(3, '\t');
        let [path, field, body] = [(); 3].map(|()| columns.next().unwrap());
        let body: Value = serde_json::from_str(body).unwrap();
        let policies = match path {
            "/v1/messages" => &[&claude][..],
            _ => &[&compatible, &claude][..],
        };
        if path != before {
            before = path;
            let providers = ["| Claude |", "| `openai-compatible` | Claude |"][policies.len() - 1];
            let rule = "| --- ".repeat(policies.len() + 1);
            let _ = write!(tables, "\n## `{path}`\n\n| field {providers}\n{rule}|\n");
        }
        let _ = write!(tables, "| `{field}` |");
        for policy in policies {
            let cell = match outcome(policy, path, field, &body) {
                Outcome::Goes => "goes".to_owned(),
                Outcome::Dropped => "dropped".to_owned(),
                Outcome::Refused(text) => {
                    let known = texts.iter().position(|other| *other == text);
                    let number = known.unwrap_or_else(|| {
                        texts.push(text);
                        texts.len() - 1
                    });
                    format!("400 ({})", number + 1)
                }
            };
            let _ = write!(tables, " {cell} |");
        }
        tables.push('\n');
    }
    let mut page = HEAD.to_owned();
    for (index, text) in texts.iter().enumerate() {
        let _ = writeln!(page, "{}. {text}", index + 1);
    }
    page + &tables
}

/// A fallback with an OpenAI-compatible API.
fn compatible() -> EgressPolicy {
    policy(&json!("openai_compatible"))
}

fn claude() -> EgressPolicy {
    let model = json!({ "host": "anthropic", "model": "claude-sonnet-5", "max_tokens": 1024 });
    policy(&json!({ "claude": model }))
}

fn policy(provider: &Value) -> EgressPolicy {
    let policy = json!({ "fallback": "other", "provider": provider, "pinned": { (ZONE): [] } });
    serde_json::from_value(policy).unwrap()
}

fn outcome(policy: &EgressPolicy, path: &str, field: &str, body: &Value) -> Outcome {
    let mut without = body.clone();
    remove(&mut without, field);
    match (sent(policy, path, body), sent(policy, path, &without)) {
        (Err(text), _) => Outcome::Refused(text),
        (Ok(with), Ok(without)) if with == without => Outcome::Dropped,
        (Ok(_), _) => Outcome::Goes,
    }
}

/// What the provider gets of a body, or the error that the caller gets.
fn sent(policy: &EgressPolicy, path: &str, body: &Value) -> Result<Value, String> {
    let mut body = body.clone();
    body["model"] = json!("m");
    let mut bytes = body.to_string().into_bytes();
    let mode = mode(policy, path).unwrap();
    let restriction = Restriction::of(policy, mode, ZONE).unwrap().unwrap();
    let checked = restriction.check(path, &bytes);
    let edits = checked.map_err(|violation| named(&violation.to_string(), &violation.field))?;
    if let Some(edited) = edit(&bytes, edits) {
        bytes.splice(..edited.replaces, edited.bytes);
    }
    let EgressMode::Claude(claude, api) = mode else {
        return Ok(serde_json::from_slice(&bytes).unwrap());
    };
    let ask = Ask {
        api,
        version: None,
        betas: BETAS,
        claude,
        fallback: &policy.fallback,
    };
    let translated = ask.translate(bytes);
    let (request, _) = translated.map_err(|error| named(&error.message, &error.param))?;
    Ok(serde_json::from_str(&request.body).unwrap())
}

/// A text with `FIELD` in the place of the field, and `VALUE` in that of what it is.
fn named(text: &str, field: &str) -> String {
    let text = text.replace(&format!("`{field}`"), "`FIELD`");
    let text = text.split(" (no region").next().unwrap().to_owned();
    match text
        .strip_prefix("`FIELD` is `")
        .and_then(|rest| rest.split_once('`'))
    {
        Some((_, rest)) => format!("`FIELD` is `VALUE`{rest}"),
        None => text,
    }
}

/// Removes a field, or the element of a list that has this type.
fn remove(body: &mut Value, field: &str) {
    let (path, kind) = match field.split_once(": ") {
        Some((path, kind)) if path.ends_with(".type") => (path.trim_end_matches(".type"), kind),
        Some((path, _)) => (path, ""),
        None => (field, ""),
    };
    let path = if kind.is_empty() {
        path
    } else {
        path.trim_end_matches("[]")
    };
    let (parent, last) = path.rsplit_once('.').unwrap_or(("", path));
    let parent = match parent {
        "" => String::new(),
        parent => format!("/{}", parent.replace("[]", "/0").replace('.', "/")),
    };
    let object = body
        .pointer_mut(&parent)
        .and_then(Value::as_object_mut)
        .unwrap();
    object.remove(last.trim_end_matches("[]")).unwrap();
}

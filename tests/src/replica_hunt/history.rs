//! What etcd has kept of every change: who led when, and that all else was written by the one that led.

use anyhow::{Context, Result};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use flate2::read::ZlibDecoder;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt;
use std::io::Read;
use std::net::SocketAddr;

/// The keys.
const PREFIX: &str = "/meridian/";
/// What follows all of them.
const END: &str = "/meridian0";

/// What was seen.
#[derive(Debug, Default)]
pub struct History {
    terms: usize,
    leaders: BTreeSet<String>,
    plans: usize,
    records: usize,
    /// The revision of the last plan.
    plan_at: i64,
    /// The number of the last record of what a plan has moved.
    moved: u64,
    /// What may not be.
    pub wrong: Vec<String>,
}

/// One change.
struct Change {
    key: String,
    value: Option<Vec<u8>>,
    revision: i64,
    created: i64,
}

/// Reads all changes by etcd's JSON gateway, and judges them.
///
/// # Errors
/// etcd does not answer as it should.
pub async fn read(etcd: SocketAddr) -> Result<History> {
    let mut history = History::default();
    let mut leader = None;
    for change in changes(etcd).await? {
        history.take(change, &mut leader)?;
    }
    Ok(history)
}

impl History {
    fn take(&mut self, change: Change, leader: &mut Option<i64>) -> Result<()> {
        let Change {
            key,
            value,
            revision,
            created,
        } = change;
        if key == "leader" {
            match value {
                Some(value) => {
                    if leader.is_some() {
                        self.wrong
                            .push(format!("at {revision} a second replica leads"));
                    }
                    *leader = Some(created);
                    self.terms += 1;
                    let value: Value = serde_json::from_slice(&value)?;
                    let name = value["name"].as_str().context("a leader without a name")?;
                    self.leaders.insert(name.to_owned());
                }
                None => *leader = None,
            }
        } else if key == "plan" {
            self.plans += 1;
            self.plan_at = revision;
            let by = term(&value.context("the plan was removed")?)?;
            if *leader != Some(by) {
                self.wrong.push(format!(
                    "at {revision} the plan of term {by}, and {leader:?} leads"
                ));
            }
        } else if let (Some(number), Some(_)) = (key.strip_prefix("plans/"), value) {
            let number: u64 = number.parse()?;
            if revision != self.plan_at || number != self.moved + 1 {
                self.wrong.push(format!(
                    "at {revision} record {number} of a plan, after {} and the plan at {}",
                    self.moved, self.plan_at
                ));
            }
            self.moved = number;
        } else if key.starts_with("audit/") || key.starts_with("intents/") {
            self.records += usize::from(key.starts_with("audit/"));
            if leader.is_none() {
                self.wrong
                    .push(format!("at {revision} {key} was changed, and nobody leads"));
            }
        }
        Ok(())
    }
}

/// The term in which a plan was committed.
fn term(plan: &[u8]) -> Result<i64> {
    let mut text = String::new();
    ZlibDecoder::new(plan).read_to_string(&mut text)?;
    let plan: Value = serde_json::from_str(&text)?;
    plan["term"].as_i64().context("a plan without a term")
}

async fn changes(etcd: SocketAddr) -> Result<Vec<Change>> {
    let client = crate::world::client().build()?;
    let range = json!({ "key": BASE64_STANDARD.encode(PREFIX), "range_end": BASE64_STANDARD.encode(END), "limit": 1 });
    let now = client
        .post(format!("http://{etcd}/v3/kv/range"))
        .json(&range)
        .send()
        .await?;
    let now: Value = now.error_for_status()?.json().await?;
    let now = number(&now["header"]["revision"])?;
    let create = json!({ "create_request": {
        "key": BASE64_STANDARD.encode(PREFIX), "range_end": BASE64_STANDARD.encode(END), "start_revision": "1",
    }});
    // Something that ends the reading, whatever was the last change.
    let put = json!({ "key": BASE64_STANDARD.encode("/meridian/end-of-history"), "value": "" });
    client
        .post(format!("http://{etcd}/v3/kv/put"))
        .json(&put)
        .send()
        .await?
        .error_for_status()?;
    let request = client.post(format!("http://{etcd}/v3/watch")).json(&create);
    let mut answer = request.send().await?.error_for_status()?;
    let (mut changes, mut rest) = (Vec::new(), Vec::new());
    while let Some(chunk) = answer.chunk().await? {
        rest.extend_from_slice(&chunk);
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            let line: Value = serde_json::from_slice(&line)?;
            for event in line["result"]["events"].as_array().into_iter().flatten() {
                let change = change(event)?;
                if change.revision > now {
                    return Ok(changes);
                }
                changes.push(change);
            }
        }
    }
    anyhow::bail!("etcd has ended the history")
}

fn change(event: &Value) -> Result<Change> {
    let kv = &event["kv"];
    let bytes = |value: &Value| BASE64_STANDARD.decode(value.as_str().unwrap_or_default());
    let key = String::from_utf8(bytes(&kv["key"])?)?;
    let removed = event["type"] == "DELETE";
    Ok(Change {
        key: key.strip_prefix(PREFIX).context("another key")?.to_owned(),
        value: (!removed).then(|| bytes(&kv["value"])).transpose()?,
        revision: number(&kv["mod_revision"])?,
        created: kv["create_revision"].as_str().map_or(Ok(0), str::parse)?,
    })
}

/// 64-bit numbers are texts in JSON.
fn number(value: &Value) -> Result<i64> {
    Ok(value.as_str().context("no number")?.parse()?)
}

impl fmt::Display for History {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            terms,
            leaders,
            plans,
            records,
            moved,
            ..
        } = self;
        write!(
            to,
            "by etcd's history {terms} terms of {} replicas, one at a time, {plans} plans, {moved} of which moved something, and {records} records, each of the one that led",
            leaders.len()
        )
    }
}

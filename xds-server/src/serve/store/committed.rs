//! A plan as a value in etcd: JSON, compressed. A value may have 1.5 MiB there, and the editions of a fleet file have much in common.

use crate::serve::saved_state::SavedState;
use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use meridian_planner::plan::Plan;
use meridian_policy::filter_policy::Lease;
use serde::{Deserialize, Serialize};
use std::io::{self, Read, Write};

/// The largest value when it is no longer compressed, in bytes.
const LARGEST: u64 = 256 << 20;

/// A state, and the one before it if there is one. Texts that both have are there once.
#[derive(Serialize, Deserialize)]
struct Value {
    /// The revision since which the replica led that has committed it.
    #[serde(default)]
    term: i64,
    texts: Vec<String>,
    state: State,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    before: Option<State>,
}

#[derive(Serialize, Deserialize)]
struct State {
    plan: Plan,
    lease: Lease,
    /// By their place among the texts.
    files: Vec<usize>,
}

/// The value of a state that is committed in a term.
pub(super) fn encoded(state: &SavedState, term: i64) -> io::Result<Vec<u8>> {
    let mut texts = Vec::new();
    let value = Value {
        term,
        state: numbered(state, &mut texts),
        before: state
            .before
            .as_deref()
            .map(|before| numbered(before, &mut texts)),
        texts,
    };
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    serde_json::to_writer(&mut encoder, &value)?;
    encoder.flush()?;
    encoder.finish()
}

/// The state of a value.
///
/// # Errors
///
/// The value was not written by a control plane, or by one of another version.
pub fn decoded(value: &[u8]) -> Result<SavedState, String> {
    let mut text = Vec::new();
    let mut decoder = ZlibDecoder::new(value).take(LARGEST);
    decoder
        .read_to_end(&mut text)
        .map_err(|error| error.to_string())?;
    let value: Value = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
    let mut state = named(value.state, &value.texts)?;
    if let Some(before) = value.before {
        state.before = Some(Box::new(named(before, &value.texts)?));
    }
    state.check()?;
    Ok(state)
}

fn numbered(state: &SavedState, texts: &mut Vec<String>) -> State {
    let number = |text: &String| {
        texts
            .iter()
            .position(|known| known == text)
            .unwrap_or_else(|| {
                texts.push(text.clone());
                texts.len() - 1
            })
    };
    State {
        files: state.files.iter().map(number).collect(),
        plan: state.plan.clone(),
        lease: state.lease,
    }
}

fn named(state: State, texts: &[String]) -> Result<SavedState, String> {
    let text = |number: usize| {
        let text = texts.get(number).cloned();
        text.ok_or_else(|| format!("there is no text {number}"))
    };
    Ok(SavedState {
        plan: state.plan,
        lease: state.lease,
        files: state
            .files
            .into_iter()
            .map(text)
            .collect::<Result<_, _>>()?,
        before: None,
    })
}

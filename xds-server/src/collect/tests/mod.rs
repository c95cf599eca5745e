//! Tests of pages, sources and gateways: accepted and refused values.

mod any;
mod collector;
mod dcgm;
mod envoy;
mod figures;
mod gateway;
mod milvus;
mod pages;
mod postgres;
mod push;
mod query;
mod servers;
mod sources;
mod stream;
mod vllm;
mod vllm_lies;

use super::interpreted::Interpreted;
use super::page::Page;
use super::preset;
use super::{RefusalReason, Refused};
use meridian_planner::signal::Millis;
use meridian_policy::ModelName;
use meridian_policy::source::{Preset, SignalFormat, SignalSource};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

/// Three regions; us-west-2 has `llama-3.1-70b` and `mistral-7b`.
const FLEET: &str = include_str!("../../fleet/tests/example.yaml");

fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn fixture(name: &str) -> String {
    std::fs::read_to_string(fixtures().join(name)).unwrap()
}

fn signal(preset: Preset) -> SignalSource {
    SignalSource {
        url: "http://127.0.0.1:1/metrics".to_owned(),
        format: SignalFormat::Preset(preset),
        model: None,
        max_running: None,
        token: None,
        tls: None,
        every: Duration::from_millis(100),
    }
}

fn pools(models: &[&str]) -> BTreeSet<ModelName> {
    models
        .iter()
        .map(|model| model.parse::<ModelName>().unwrap())
        .collect()
}

/// Reads a page of a region that has `tiny-llama`.
fn read(text: &str, preset: Preset) -> Interpreted {
    let page = Page::parse(text.as_bytes()).unwrap();
    preset::read(&page, preset, &signal(preset), &pools(&["tiny-llama"]))
}

fn whys(refused: &[Refused]) -> Vec<(&str, RefusalReason, u64)> {
    refused
        .iter()
        .map(|refused| (refused.metric.as_ref(), refused.why, refused.count))
        .collect()
}

/// A clock that does not advance.
fn noon() -> Millis {
    Millis(1_795_000_000_000)
}

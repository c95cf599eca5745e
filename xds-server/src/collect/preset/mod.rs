//! What a page means, by whose names its metrics have.

mod dcgm;
mod postgres;
mod vllm;

use super::page::{MetricType, Page, Sample};
use super::refused::Refusals;
use super::{Refused, Why};
use meridian_policy::ModelName;
use meridian_policy::fleet::{Preset, SignalSource};
use meridian_policy::signal::Reading;
use std::collections::BTreeSet;

/// What a page says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Read {
    /// What is believed.
    pub readings: Vec<Reading>,
    /// What is not, and why.
    pub refused: Vec<Refused>,
}

/// Reads a page of a source. `pools` are the models that the source's region has.
pub fn read(page: &Page<'_>, signal: &SignalSource, pools: &BTreeSet<ModelName>) -> Read {
    let mut refusals = Refusals::default();
    if let Some((count, first)) = page.bad_lines() {
        refusals.add_many("page", Why::BadLine, *count, first);
    }
    let known = match signal.preset {
        Preset::Vllm => vllm::KNOWN,
        Preset::Dcgm => dcgm::KNOWN,
        Preset::Postgres => postgres::KNOWN,
    };
    if known.iter().all(|name| page.samples(name).is_empty()) {
        refusals.add("page", Why::Nothing, &known.join(", "));
    }
    let readings = match signal.preset {
        Preset::Vllm => vllm::read(page, signal, pools, &mut refusals),
        Preset::Dcgm => dcgm::read(page, &mut refusals),
        Preset::Postgres => postgres::read(page, &mut refusals),
    };
    Read {
        readings,
        refused: refusals.into_vec(),
    }
}

/// The samples of a metric, if the page does not say that they are of another type.
fn samples<'p, 'a>(
    page: &'p Page<'a>,
    metric: &'static str,
    kind: MetricType,
    refusals: &mut Refusals,
) -> &'p [Sample<'a>] {
    let said = page.kind(metric);
    if said == kind || said == MetricType::Untyped {
        return page.samples(metric);
    }
    refusals.add(metric, Why::WrongType, &format!("{said:?}"));
    &[]
}

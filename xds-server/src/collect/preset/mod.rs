//! What a page means, by whose names its metrics have.

mod dcgm;
mod milvus;
mod postgres;
mod server;

use super::page::{MetricType, Page, Sample};
use super::refused::Refusals;
use super::{Refused, Why};
use meridian_planner::signal::Reading;
use meridian_policy::ModelName;
use meridian_policy::source::{Preset, SignalSource};
use std::borrow::Cow;
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
pub fn read(
    page: &Page<'_>,
    preset: Preset,
    signal: &SignalSource,
    pools: &BTreeSet<ModelName>,
) -> Read {
    let mut refusals = Refusals::default();
    if let Some((count, first)) = page.bad_lines() {
        refusals.add_many("page", Why::BadLine, *count, first);
    }
    let mut server = |names: &'static server::Names| {
        let readings = server::read(names, page, signal, pools, &mut refusals);
        (names.known(), readings)
    };
    let (known, readings) = match preset {
        Preset::Vllm => server(&server::VLLM),
        Preset::Sglang => server(&server::SGLANG),
        Preset::Tgi => server(&server::TGI),
        Preset::Llamacpp => server(&server::LLAMACPP),
        Preset::Triton => server(&server::TRITON),
        Preset::Dcgm => (dcgm::KNOWN.to_vec(), dcgm::read(page, &mut refusals)),
        Preset::Postgres => {
            let readings = postgres::read(page, &mut refusals);
            (postgres::KNOWN.to_vec(), readings)
        }
        Preset::Milvus => (milvus::KNOWN.to_vec(), milvus::read(page, &mut refusals)),
    };
    if known.iter().all(|name| page.samples(name).is_empty()) {
        refusals.add("page", Why::Nothing, &known.join(", "));
    }
    Read {
        readings,
        refused: refusals.into_vec(),
    }
}

/// The samples of a metric, if the page does not say that they are of another type.
pub(super) fn samples<'p, 'a>(
    page: &'p Page<'a>,
    metric: impl Into<Cow<'static, str>>,
    kind: MetricType,
    refusals: &mut Refusals,
) -> &'p [Sample<'a>] {
    let metric = metric.into();
    let said = page.kind(&metric);
    if said == kind || said == MetricType::Untyped {
        return page.samples(&metric);
    }
    refusals.add(metric, Why::WrongType, &format!("{said:?}"));
    &[]
}

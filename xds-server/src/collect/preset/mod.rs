//! Reads pages of known exporters and inference servers.

mod dcgm;
mod milvus;
mod postgres;
mod server;

use super::interpreted::Interpreted;
use super::page::Page;
use super::refused::{RefusalReason, Refusals};
use meridian_policy::ModelName;
use meridian_policy::source::{Preset, SignalSource};
use std::collections::BTreeSet;

/// Reads a page of a source. `pools` are the models that the source's region has.
pub fn read(
    page: &Page<'_>,
    preset: Preset,
    signal: &SignalSource,
    pools: &BTreeSet<ModelName>,
) -> Interpreted {
    let mut refusals = Refusals::default();
    if let Some((count, first)) = page.bad_lines() {
        refusals.add_many("page", RefusalReason::BadLine, *count, first);
    }
    let mut server = |names: &'static server::ServerMetrics| {
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
        refusals.add("page", RefusalReason::Nothing, &known.join(", "));
    }
    Interpreted {
        readings,
        refused: refusals.into_vec(),
    }
}

//! NVIDIA's DCGM exporter: the mean over the GPUs of a page.

use crate::collect::page::{MetricType, Page, Sample};
use crate::collect::refused::RefusalReason;
use crate::collect::refused::Refusals;
use crate::collect::samples::samples_of_type;
use crate::collect::value;
use meridian_planner::signal::Reading;
use std::collections::{BTreeMap, BTreeSet};

/// In percent.
const BUSY: &str = "DCGM_FI_DEV_GPU_UTIL";
/// A ratio.
const ENGINE_ACTIVE: &str = "DCGM_FI_PROF_GR_ENGINE_ACTIVE";

pub(super) const KNOWN: &[&str] = &[BUSY, ENGINE_ACTIVE];

/// The smallest of DCGM's values for "no reading", `DCGM_INT32_BLANK`. Those of wider types are larger.
const BLANK: f64 = 2_147_483_632.0;

pub(super) fn read(page: &Page<'_>, refusals: &mut Refusals) -> Vec<Reading> {
    let split: BTreeSet<&str> = page
        .samples(ENGINE_ACTIVE)
        .iter()
        .filter(|sample| instance(sample).is_some())
        .filter_map(gpu)
        .collect();
    let busy = mean(page, BUSY, 0.01, &split, refusals);
    let engine_active = mean(page, ENGINE_ACTIVE, 1.0, &BTreeSet::new(), refusals);
    if busy.is_none() && engine_active.is_none() {
        return Vec::new();
    }
    vec![Reading::Gpu {
        busy,
        engine_active,
    }]
}

fn gpu<'s>(sample: &'s Sample<'_>) -> Option<&'s str> {
    sample.label("UUID").or_else(|| sample.label("gpu"))
}

/// The MIG instance of a sample.
fn instance<'s>(sample: &'s Sample<'_>) -> Option<&'s str> {
    sample.label("GPU_I_ID")
}

/// The mean over the GPUs. A GPU with MIG instances counts as the mean of its instances.
fn mean(
    page: &Page<'_>,
    metric: &'static str,
    unit: f64,
    without: &BTreeSet<&str>,
    refusals: &mut Refusals,
) -> Option<f64> {
    let mut gpus: BTreeMap<&str, BTreeMap<Option<&str>, f64>> = BTreeMap::new();
    for sample in samples_of_type(page, metric, MetricType::Gauge, refusals) {
        let Some(name) = gpu(sample) else {
            refusals.add(metric, RefusalReason::MissingLabel, sample);
            continue;
        };
        // On a GPU with MIG instances the metric is 0 or absent, however busy the instances are.
        if without.contains(name) || (metric == BUSY && instance(sample).is_some()) {
            refusals.add(metric, RefusalReason::Mig, sample);
            continue;
        }
        let value = if sample.value >= BLANK && sample.value.is_finite() {
            Err(RefusalReason::Blank)
        } else {
            value::ratio(sample.value * unit)
        };
        if let Some(value) = refusals.accept(metric, value, sample) {
            // A GPU that several pods share has one sample per pod, all with the same value.
            let instances = gpus.entry(name).or_default();
            instances.entry(instance(sample)).or_insert(value);
        }
    }
    average(gpus.into_values().filter_map(|mut instances| {
        if instances.len() > 1 {
            instances.remove(&None);
        }
        average(instances.into_values())
    }))
}

fn average(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (mut sum, mut count) = (0.0, 0_u32);
    for value in values {
        sum += value;
        count += 1;
    }
    (count > 0).then(|| sum / f64::from(count))
}

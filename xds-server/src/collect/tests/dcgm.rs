//! DCGM's pages.

use super::{fixture, read, whys};
use crate::collect::RefusalReason;
use meridian_planner::signal::Reading;
use meridian_policy::source::Preset;

const BUSY: &str = "DCGM_FI_DEV_GPU_UTIL";
const ACTIVE: &str = "DCGM_FI_PROF_GR_ENGINE_ACTIVE";

fn gpu(busy: Option<f64>, engine_active: Option<f64>) -> Vec<Reading> {
    vec![Reading::Gpu {
        busy,
        engine_active,
    }]
}

#[test]
fn the_mean_over_the_gpus() {
    let read = read(&fixture("from-docs/dcgm-exporter.prom"), Preset::Dcgm);
    assert_eq!(read.readings, gpu(Some(0.435), Some(0.86124)));
    assert_eq!(read.refused, []);
}

#[test]
fn instances_have_an_engine_and_no_utilization() {
    let text = fixture("from-docs/dcgm-exporter.mig-and-blank.prom");
    let found = read(&text, Preset::Dcgm);
    assert_eq!(found.readings, gpu(None, Some(0.365501)));
    assert_eq!(found.refused, []);
    // Some exporters print it anyway, for the whole GPU or for an instance.
    let uuid = "UUID=\"GPU-11111111-2222-3333-4444-555555555555\"";
    let text = format!("{text}{BUSY}{{{uuid}}} 0\n{BUSY}{{{uuid},GPU_I_ID=\"7\"}} 0\n");
    let found = read(&text, Preset::Dcgm);
    assert_eq!(found.readings, gpu(None, Some(0.365501)));
    assert_eq!(whys(&found.refused), [(BUSY, RefusalReason::Mig, 2)]);
}

#[test]
fn a_blank_is_no_reading() {
    for blank in ["9223372036854775794", "2147483632", "140737488355328"] {
        let text = format!("{BUSY}{{gpu=\"0\"}} {blank}\n{BUSY}{{gpu=\"1\"}} 50\n");
        let found = read(&text, Preset::Dcgm);
        assert_eq!(found.readings, gpu(Some(0.5), None), "{blank}");
        assert_eq!(whys(&found.refused), [(BUSY, RefusalReason::Blank, 1)]);
    }
    let only = read(&format!("{BUSY}{{gpu=\"0\"}} 2147483632\n"), Preset::Dcgm);
    assert_eq!(only.readings, []);
}

#[test]
fn text_instead_of_a_value_costs_one_gpu() {
    let text = format!(
        "{BUSY}{{gpu=\"0\"}} ERROR - FAILED TO CONVERT TO STRING\n{BUSY}{{gpu=\"1\",modelName=\"ERROR - FAILED TO CONVERT TO STRING\"}} 20\n"
    );
    let found = read(&text, Preset::Dcgm);
    assert_eq!(found.readings, gpu(Some(0.2), None));
    assert_eq!(whys(&found.refused), [("page", RefusalReason::BadLine, 1)]);
}

#[test]
fn pods_that_share_a_gpu_count_once() {
    let text = format!(
        "{ACTIVE}{{UUID=\"a\",pod=\"x\"}} 0.9\n{ACTIVE}{{UUID=\"a\",pod=\"y\"}} 0.9\n{ACTIVE}{{UUID=\"b\"}} 0.1\n"
    );
    assert_eq!(read(&text, Preset::Dcgm).readings, gpu(None, Some(0.5)));
}

#[test]
fn lies_are_refused() {
    for (value, why) in [
        ("NaN", RefusalReason::NotANumber),
        ("-3", RefusalReason::Negative),
        ("130", RefusalReason::TooLarge),
        ("+Inf", RefusalReason::Infinite),
    ] {
        let found = read(&format!("{BUSY}{{gpu=\"0\"}} {value}\n"), Preset::Dcgm);
        assert_eq!(found.readings, [], "{value}");
        assert_eq!(whys(&found.refused), [(BUSY, why, 1)]);
    }
    let nameless = read(&format!("{BUSY} 5\n"), Preset::Dcgm);
    assert_eq!(
        whys(&nameless.refused),
        [(BUSY, RefusalReason::MissingLabel, 1)]
    );
}

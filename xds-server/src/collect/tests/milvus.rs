//! Milvus' pages.

use super::{fixture, read, whys};
use crate::collect::RefusalReason;
use meridian_planner::signal::Reading;
use meridian_policy::source::Preset;

fn lag(text: &str) -> Option<f64> {
    match read(text, Preset::Milvus).readings[..] {
        [] => None,
        [Reading::ReplicationLag { seconds }] => Some(seconds),
        ref other => panic!("{other:?}"),
    }
}

#[test]
fn the_slowest_channel_is_how_far_it_is_behind() {
    // The second channel was replicated up to 1795224400, and is written up to 1795224503.1.
    let seconds = lag(&fixture("from-docs/milvus-builtin-cdc.prom")).unwrap();
    assert!((seconds - 103.1).abs() < 1e-3, "{seconds}");
    let seconds = lag(&fixture("from-docs/milvus-cdc-standalone.prom")).unwrap();
    assert!((seconds - 3.0).abs() < 1e-3, "{seconds}");
}

#[test]
fn what_cannot_be_is_not_believed() {
    let page = |replicated: &str| {
        format!(
            "milvus_wal_last_confirmed_time_tick{{channel_name=\"a\"}} 1795224500\n\
             milvus_cdc_last_replicated_time_tick{{channel_name=\"a\"}} {replicated}\n"
        )
    };
    // A replica is read a moment later than its primary.
    assert_eq!(lag(&page("1795224501")), Some(0.0));
    for wrong in ["NaN", "+Inf", "-Inf", "0"] {
        let read = read(&page(wrong), Preset::Milvus);
        assert_eq!(read.readings, [], "{wrong}");
        assert_eq!(read.refused.len(), 1, "{wrong}");
    }
    // A channel without writes gives no lag.
    let alone = "milvus_cdc_last_replicated_time_tick{channel_name=\"a\"} 5\n";
    assert_eq!(lag(alone), None);
    let nothing = read("up 1\n", Preset::Milvus);
    assert_eq!(
        whys(&nothing.refused),
        [("page", RefusalReason::Nothing, 1)]
    );
}

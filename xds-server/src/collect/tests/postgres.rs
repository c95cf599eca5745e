//! The PostgreSQL exporter's pages.

use super::{fixture, read, whys};
use crate::collect::RefusalReason;
use meridian_planner::signal::Reading;
use meridian_policy::source::Preset;

fn lag(text: &str) -> Option<f64> {
    match read(text, Preset::Postgres).readings[..] {
        [] => None,
        [Reading::ReplicationLag { seconds }] => Some(seconds),
        ref other => panic!("{other:?}"),
    }
}

#[test]
fn a_replica_is_behind() {
    let page = fixture("from-docs/postgres_exporter.prom");
    assert_eq!(lag(&page), Some(2.481));
    assert_eq!(read(&page, Preset::Postgres).refused, []);
    assert_eq!(lag("pg_replication_lag_seconds 7\n"), Some(7.0));
}

#[test]
fn a_primary_is_behind_nobody() {
    let text = "pg_replication_is_replica 0\npg_replication_lag_seconds 900\n";
    assert_eq!(lag(text), Some(0.0));
}

#[test]
fn the_largest_lag_counts_and_each_server_has_its_own_role() {
    let text = concat!(
        "pg_replication_is_replica{server=\"a\"} 0\npg_replication_lag_seconds{server=\"a\"} 900\n",
        "pg_replication_is_replica{server=\"b\"} 1\npg_replication_lag_seconds{server=\"b\"} 3\n",
        "pg_replication_lag_seconds{server=\"c\"} 5\n",
    );
    assert_eq!(lag(text), Some(5.0));
}

#[test]
fn lies_are_refused() {
    let metric = "pg_replication_lag_seconds";
    for (value, why) in [
        ("NaN", RefusalReason::NotANumber),
        ("-1", RefusalReason::Negative),
        ("1e12", RefusalReason::TooLarge),
        ("-Inf", RefusalReason::Infinite),
    ] {
        let found = read(&format!("{metric} {value}\n"), Preset::Postgres);
        assert_eq!(found.readings, [], "{value}");
        assert_eq!(whys(&found.refused), [(metric, why, 1)]);
    }
    let counter = read(
        &format!("# TYPE {metric} counter\n{metric} 1\n"),
        Preset::Postgres,
    );
    assert_eq!(
        whys(&counter.refused),
        [(metric, RefusalReason::WrongType, 1)]
    );
}

//! The keys in etcd.
//!
//! | key | value |
//! | --- | --- |
//! | `version` | the version of the keys |
//! | `leader` | the replica that leads; it ends with the replica's lease |
//! | `replicas/<lease>` | a running replica, likewise |
//! | `plan` | the plan in force, the fleet files and the lease of the gateways |
//! | `intents/<number>` | an intent in force |
//! | `audit/<number>` | a record |
//! | `plans/<number>` | what a plan has moved: the last 1,000 |
//! | `requests/<id>`, `answers/<id>` | what an operator has asked one replica for, and the leader's answer; both end with a lease |

pub const VERSION: &str = "version";
pub const LEADER: &str = "leader";
pub const PLAN: &str = "plan";
pub const REPLICAS: &str = "replicas/";
pub const INTENTS: &str = "intents/";
pub const AUDIT: &str = "audit/";
pub const PLANS: &str = "plans/";
pub const REQUESTS: &str = "requests/";
pub const ANSWERS: &str = "answers/";

/// The key of a replica, by its lease.
pub fn replica_key(lease: i64) -> String {
    format!("{REPLICAS}{lease:x}")
}

/// A key that sorts by its number.
pub fn numbered(beginning: &str, number: u64) -> String {
    format!("{beginning}{number:020}")
}

/// The number of an intent's key; `None` for other keys.
pub fn number_of(key: &str) -> Option<u64> {
    key.strip_prefix(INTENTS)?.parse().ok()
}

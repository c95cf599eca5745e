//! Explanations of an example fleet, as a person reads them; and that each says what the gateway's own code decides.

use super::*;
use crate::serve::report::{PoolReport, RegionReport, Report};
use meridian_planner::health::{Health, Reason};
use meridian_planner::placement::Placement;
use meridian_planner::plan::Plan;
use meridian_planner::plugins::filter_policy;
use meridian_planner::topology::Topology;
use meridian_policy::filter_policy::Lease;

const EXAMPLE: &str = include_str!("../../../envoy/fleet.yaml");
const LLAMA: &str = "llama-3.1-70b";

/// The example fleet: us-west-2 keeps 70 % of its callers, and us-east-1 is down.
struct Stand {
    topology: Topology,
    plan: Plan,
    report: Report,
}

impl Stand {
    fn new() -> Self {
        let mut plan = Plan::default();
        let mut report = Report::default();
        let down = Health {
            down: true,
            reasons: [Reason::NoEndpoints].into(),
            failed: None,
        };
        let pool = PoolReport {
            health: down.clone(),
            batch: 100,
            ..Default::default()
        };
        let region = RegionReport {
            pools: [(LLAMA.parse().unwrap(), pool)].into(),
            ..Default::default()
        };
        report.regions.insert("us-east-1".parse().unwrap(), region);
        let pools = [(LLAMA.parse().unwrap(), down)].into();
        plan.pools.insert("us-east-1".parse().unwrap(), pools);
        let placement = Placement {
            home_share: 70,
            overflow: [("eu-west-1".parse().unwrap(), 100)].into(),
            ..Placement::home()
        };
        let models = [(LLAMA.parse().unwrap(), placement)].into();
        let zones = [("global".parse().unwrap(), models)].into();
        plan.gateways.insert("us-west-2".parse().unwrap(), zones);
        Self {
            topology: crate::fleet::parse(EXAMPLE).unwrap().into(),
            plan,
            report,
        }
    }

    fn explain(&self, request: &ExplainRequest) -> Result<Explanation, BadRequest> {
        let lease = Lease {
            given: 0,
            runs_ms: 60_000,
        };
        let policy = filter_policy(&self.topology, &self.plan, &request.gateway, Some(lease));
        let accepted = PolicyReport {
            version: "0123456789abcdef".to_owned(),
            accepted_by: vec!["gateway-1".to_owned()],
            others: Vec::new(),
            newest: true,
        };
        let inputs = Inputs {
            policy: &policy,
            accepted: &accepted,
            topology: &self.topology,
            report: &self.report,
        };
        explain(inputs, request)
    }
}

fn request(json: serde_json::Value) -> ExplainRequest {
    serde_json::from_value(json).unwrap()
}

macro_rules! text_of {
    ($($name:ident: $json:tt,)*) => {$(
        #[test]
        fn $name() {
            let explanation = Stand::new().explain(&request(serde_json::json!($json))).unwrap();
            insta::assert_snapshot!(text(&explanation));
        }
    )*};
}

text_of! {
    a_caller_at_a_hot_gateway: { "gateway": "us-west-2", "country": "US", "model": LLAMA },
    a_conversation_that_leaves: { "gateway": "us-west-2", "country": "US", "model": LLAMA, "session": "s2", "request_id": "r1" },
    a_pinned_caller_at_home: { "gateway": "eu-west-1", "country": "DE", "model": LLAMA, "needs": "fresh" },
    a_pinned_caller_at_the_wrong_gateway: { "gateway": "us-west-2", "country": "DE", "model": LLAMA },
    a_header_of_a_stranger: { "gateway": "eu-west-1", "country": "US", "from": "203.0.113.9", "model": LLAMA },
    a_body_that_is_too_long: { "gateway": "us-west-2", "country": "US", "model": LLAMA, "body_size": 1_000_000_000 },
    a_model_that_nobody_has: { "gateway": "us-west-2", "country": "US", "model": "gpt-9" },
    a_body_that_a_fallback_refuses: { "gateway": "eu-west-1", "country": "DE",
        "body": "{\"model\":\"llama-3.1-70b\",\"n\":3,\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}" },
}

#[test]
fn a_long_prompt_has_more_time() {
    let time = |size: u64| {
        let asked = serde_json::json!({ "gateway": "us-west-2", "country": "US", "model": LLAMA, "body_size": size });
        let explanation = Stand::new().explain(&request(asked)).unwrap();
        match &explanation.outcomes[0].result {
            Fate::Routed(routed) => routed.limits.per_try_timeout_ms.unwrap(),
            other => panic!("{other:?}"),
        }
    };
    assert!(time(4_000_000) > time(1000));
}

#[test]
fn what_contradicts_itself_is_named() {
    for (json, says) in [
        (
            serde_json::json!({ "gateway": "us-west-2" }),
            "model: name the model",
        ),
        (
            serde_json::json!({ "gateway": "us-west-2", "model": LLAMA, "body": "{}" }),
            "model: the body that is given says it",
        ),
        (
            serde_json::json!({ "gateway": "us-west-2", "stream": true, "body": "{}" }),
            "stream: the body",
        ),
        (
            serde_json::json!({ "gateway": "us-west-2", "body_size": 3, "body": "{}" }),
            "body_size: the body",
        ),
        (
            serde_json::json!({ "gateway": "us-west-2", "body": " ".repeat(1 << 21) }),
            "body: it has more than 1048576 bytes",
        ),
        (
            serde_json::json!({ "gateway": "us-west-2", "model": LLAMA, "headers": [["a b", "c"]] }),
            "headers: `a b: c`",
        ),
        (
            serde_json::json!({ "gateway": "us-west-2", "model": LLAMA, "session": "a\nb" }),
            "headers: `x-meridian-session: a",
        ),
    ] {
        let error = Stand::new()
            .explain(&request(json))
            .unwrap_err()
            .to_string();
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn json_is_read_again() {
    let asked = serde_json::json!({ "gateway": "us-west-2", "country": "US", "model": LLAMA });
    let explanation = Stand::new().explain(&request(asked)).unwrap();
    let json = serde_json::to_string(&explanation).unwrap();
    assert_eq!(
        serde_json::from_str::<Explanation>(&json).unwrap(),
        explanation
    );
}

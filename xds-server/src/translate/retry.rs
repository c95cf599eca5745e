//! Retries of the public listener.

use super::node::Node;
use crate::wire::{duration, extension, matches, millis, number, seconds};
use envoy_types::pb::envoy::config::route::v3::header_matcher::HeaderMatchSpecifier;
use envoy_types::pb::envoy::config::route::v3::retry_policy::{
    RateLimitedRetryBackOff, ResetHeader, ResetHeaderFormat, RetryBackOff, RetryHostPredicate,
    RetryPriority, retry_host_predicate, retry_priority,
};
use envoy_types::pb::envoy::config::route::v3::{HeaderMatcher, RetryPolicy};
use envoy_types::pb::envoy::extensions::retry::host::previous_hosts::v3::PreviousHostsPredicate;
use envoy_types::pb::envoy::extensions::retry::priority::previous_priorities::v3::PreviousPrioritiesConfig;
use meridian_planner::chain::has_another;
use meridian_policy::chain::Member;
use meridian_policy::fleet::Limits;
use meridian_policy::retry::RETRIED_BELOW_500;
use meridian_policy::{ModelName, headers};

/// The header in which a server says when to retry.
const RETRY_AFTER: &str = "retry-after";

/// Values of `Retry-After`, in seconds, that the gateway waits out when there is no other endpoint.
const SHORT_WAIT: &str = "[0-5]";

/// One attempt per member of a chain. A chain with one member uses other endpoints of that member.
pub fn policy(
    node: &Node<'_>,
    limits: &Limits,
    model: &ModelName,
    members: &[Member],
    stream: bool,
) -> RetryPolicy {
    if !has_another(node.topology, model, members) {
        return alone(limits, members);
    }
    let policy = RetryPolicy {
        // Overload, and failures that health checks do not show: another member may avoid them (see `is_retried`).
        retry_on: "5xx,retriable-status-codes,retriable-headers".into(),
        retriable_status_codes: RETRIED_BELOW_500.map(u32::from).into(),
        retriable_headers: vec![HeaderMatcher {
            name: headers::RETRY.into(),
            header_match_specifier: Some(HeaderMatchSpecifier::PresentMatch(true)),
            ..Default::default()
        }],
        // The filter overrides it per request by a header, as prompts differ in length.
        per_try_timeout: duration(if stream {
            limits.first_token
        } else {
            limits.unstreamed
        }),
        // The next attempt goes to another member: a longer wait would not help.
        retry_back_off: Some(RetryBackOff {
            base_interval: millis(5),
            max_interval: millis(50),
        }),
        ..Default::default()
    };
    match u32::try_from(members.len().saturating_sub(1)).unwrap_or(u32::MAX) {
        0 => on_another_host(policy),
        others => on_other_members(policy, others),
    }
}

/// At most `others` more attempts, each at the next member of the chain.
fn on_other_members(policy: RetryPolicy, others: u32) -> RetryPolicy {
    let priority = extension(
        "envoy.retry_priorities.previous_priorities",
        PreviousPrioritiesConfig {
            update_frequency: 1,
        },
    );
    RetryPolicy {
        num_retries: number(others),
        retry_priority: Some(RetryPriority {
            name: priority.name,
            config_type: priority
                .typed_config
                .map(retry_priority::ConfigType::TypedConfig),
        }),
        ..policy
    }
}

/// A single endpoint is asked once more: by a request that it has not answered, and after a short `Retry-After`. A fallback charges
/// for what it was asked, so it is asked again only if the request never reached it.
fn alone(limits: &Limits, members: &[Member]) -> RetryPolicy {
    let is_pool = !matches!(members, [Member::Fallback(_)]);
    let unreached = "connect-failure,refused-stream,retriable-headers";
    RetryPolicy {
        retry_on: if is_pool {
            format!("reset,{unreached}")
        } else {
            unreached.into()
        },
        num_retries: number(1),
        // Nobody else can be asked, so it may be as slow as for a whole answer.
        per_try_timeout: duration(limits.unstreamed).filter(|_| is_pool),
        retriable_headers: vec![HeaderMatcher {
            name: RETRY_AFTER.into(),
            header_match_specifier: Some(HeaderMatchSpecifier::StringMatch(matches(SHORT_WAIT))),
            ..Default::default()
        }],
        rate_limited_retry_back_off: Some(RateLimitedRetryBackOff {
            reset_headers: vec![ResetHeader {
                name: RETRY_AFTER.into(),
                format: ResetHeaderFormat::Seconds.into(),
            }],
            max_interval: seconds(5),
        }),
        ..Default::default()
    }
}

/// One more attempt, at another endpoint of the same cluster if it has one.
pub fn on_another_host(policy: RetryPolicy) -> RetryPolicy {
    let predicate = extension(
        "envoy.retry_host_predicates.previous_hosts",
        PreviousHostsPredicate::default(),
    );
    RetryPolicy {
        num_retries: number(1),
        retry_host_predicate: vec![RetryHostPredicate {
            name: predicate.name,
            config_type: predicate
                .typed_config
                .map(retry_host_predicate::ConfigType::TypedConfig),
        }],
        // Selection is random and may pick the same host again: of two hosts, three tries miss one time in sixteen.
        host_selection_retry_max_attempts: 20,
        ..policy
    }
}

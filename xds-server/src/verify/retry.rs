//! Retries: they must stay within the targets of the route.

use super::leak::{Leaks, only};
use envoy_types::pb::envoy::config::route::v3::RetryPolicy;
use envoy_types::pb::envoy::config::route::v3::retry_policy::{
    retry_host_predicate, retry_priority,
};
use envoy_types::pb::envoy::extensions::retry::host::previous_hosts::v3::PreviousHostsPredicate;
use envoy_types::pb::envoy::extensions::retry::priority::previous_priorities::v3::PreviousPrioritiesConfig;

/// Checks a retry policy. Its extensions choose hosts and priorities within the cluster; two of them are supported.
pub fn policy(at: &str, policy: &RetryPolicy, leaks: &mut Leaks) {
    let supported = only!(
        RetryPolicy,
        policy,
        [
            retry_on,
            num_retries,
            per_try_timeout,
            per_try_idle_timeout,
            retry_priority,
            retry_host_predicate,
            host_selection_retry_max_attempts,
            retriable_status_codes,
            retry_back_off,
            rate_limited_retry_back_off,
            retriable_headers,
            retriable_request_headers,
        ]
    );
    leaks.check_fields(at, policy, &supported);
    if let Some(priority) = &policy.retry_priority {
        let any = priority
            .config_type
            .as_ref()
            .map(|retry_priority::ConfigType::TypedConfig(any)| any);
        leaks.unpack_required::<PreviousPrioritiesConfig>(at, any);
    }
    for predicate in &policy.retry_host_predicate {
        let any = predicate
            .config_type
            .as_ref()
            .map(|retry_host_predicate::ConfigType::TypedConfig(any)| any);
        leaks.unpack_required::<PreviousHostsPredicate>(at, any);
    }
}

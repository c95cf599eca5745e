//! The tag rules with which Envoy extracts labels from the names of the filter's metrics.

use envoy_types::pb::envoy::config::metrics::v3::TagSpecifier;
use envoy_types::pb::envoy::config::metrics::v3::tag_specifier::TagValue;

/// The labels that the filter's metrics have.
pub(super) const LABELS: [&str; 6] = ["zone", "model", "lane", "to", "outcome", "what"];

/// The value of `stats_config.stats_tags`. A metric that the filter defines as
/// `meridian_attempts;zone=eea;model=llama-3_1-70b` becomes `wasmcustom.meridian_attempts` with two labels.
///
/// A label's value ends with `;` or the end of the name. Envoy tries an expression that begins with `^wasmcustom\.`
/// only on names with that prefix, so its other statistics cost nothing.
pub fn stats_tags() -> Vec<TagSpecifier> {
    LABELS.into_iter().map(tag).collect()
}

fn tag(label: &str) -> TagSpecifier {
    TagSpecifier {
        tag_name: label.to_owned(),
        // Envoy removes the first group from the name; the second group is the value.
        tag_value: Some(TagValue::Regex(format!(
            r"^wasmcustom\.meridian_[^.]*?(;{label}=([^;]+))"
        ))),
    }
}

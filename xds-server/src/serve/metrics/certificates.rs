//! Metrics of certificates, and of handshakes that were refused.

use super::encode::{counters, gauges};
use crate::serve::certificates::CONTROL_PLANE;
use crate::serve::report::Report;
use prometheus_client::encoding::DescriptorEncoder;
use std::fmt;

/// Encodes when certificates end, and the refused handshakes.
pub fn certificates(report: &Report, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let labels = |region: &str, node: &str, certificate: &str| {
        vec![
            ("region", region.to_owned()),
            ("node", node.to_owned()),
            ("certificate", certificate.to_owned()),
        ]
    };
    let of = &report.certificates;
    let own = of
        .own
        .iter()
        .map(|(name, ends)| (labels(CONTROL_PLANE, CONTROL_PLANE, name), *ends as f64));
    let gateways = report.certificates_of_gateways().into_iter();
    let gateways =
        gateways.map(|((region, node, name), ends)| (labels(region, node, name), ends as f64));
    gauges(
        encoder,
        "meridian_certificate_not_after_seconds",
        "When a certificate expires, in seconds since the Unix epoch",
        own.chain(gateways),
    )?;
    let refused = of.refused.iter();
    counters(
        encoder,
        "meridian_tls_handshakes_refused",
        "TLS handshakes of clients that failed",
        refused.map(|(reason, count)| (vec![("reason", reason.clone())], *count)),
    )?;
    counters(
        encoder,
        "meridian_certificate_reloads",
        "Replacements of the control plane's certificates that were taken",
        [(Vec::new(), of.reloads)],
    )?;
    let api = report.api.iter();
    let refused = api.flat_map(|api| &api.refused);
    counters(
        encoder,
        "meridian_api_refused",
        "Requests to the admin API whose caller is no operator",
        refused.map(|(reason, count)| (vec![("reason", reason.clone())], *count)),
    )
}

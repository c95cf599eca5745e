//! Settings that all gateways share.

use super::{Check, field};
use crate::fleet::raw::RawGateways;
use meridian_policy::fleet::{FilterFiles, Fleet};

/// The parsed `gateways`.
pub(super) struct Gateways {
    pub trust_domain: String,
    pub filters: FilterFiles,
    pub access_log: String,
    pub heap: u64,
}

impl Check {
    pub(super) fn gateways(&mut self, raw: RawGateways) -> Gateways {
        let mut path = |name: &str, text: Option<String>, default: &str| {
            let text = text.unwrap_or_else(|| default.into());
            self.path(&format!("gateways.{name}"), &text);
            text
        };
        let heap = raw.heap.as_deref().unwrap_or("4GiB");
        Gateways {
            filters: FilterFiles {
                wasm: path("wasm", raw.wasm, "/etc/meridian/meridian_filter.wasm"),
                native: path(
                    "native",
                    raw.native,
                    "/etc/meridian/libmeridian_filter_native.so",
                ),
            },
            access_log: path("access_log", raw.access_log, "/dev/stdout"),
            trust_domain: self.trust_domain(raw.trust_domain),
            heap: self.at("gateways.heap", field::heap(heap)).unwrap_or(0),
        }
    }

    /// A worker must be able to hold the largest body.
    pub(super) fn bodies_fit(&mut self, fleet: &Fleet) {
        let body = u64::from(fleet.limits.body);
        if fleet.heap > 0 && body > fleet.bodies() {
            let size = |bytes| bytesize::ByteSize::b(bytes);
            let message = format!(
                "{} is less than four times `policy.limits.body`, which is {}; use {} or more, or a smaller body",
                size(fleet.heap),
                size(body),
                size(body * 4),
            );
            self.problem("gateways.heap", message);
        }
    }

    /// A file path on every gateway.
    pub(super) fn path(&mut self, at: &str, text: &str) {
        self.at(at, field::path(text));
    }

    fn trust_domain(&mut self, raw: Option<String>) -> String {
        let domain = raw.unwrap_or_else(|| "meridian".into());
        let fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-._".contains(c);
        if domain.is_empty() || domain.len() > 255 || !domain.chars().all(fine) {
            let message = format!(
                "`{domain}` is not a SPIFFE trust domain; use a-z, 0-9 and -._ (at most 255 characters)"
            );
            self.problem("gateways.trust_domain", message);
        }
        domain
    }
}

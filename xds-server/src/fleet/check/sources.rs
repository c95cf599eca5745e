//! Sources of a caller's zone.

use super::{Check, field};
use crate::fleet::raw::RawSource;
use meridian_policy::fleet::{Trust, ZoneSource};

impl Check {
    pub(super) fn sources(&mut self, raw: Vec<RawSource>) -> Vec<ZoneSource> {
        let mut sources: Vec<ZoneSource> = Vec::new();
        for (index, raw) in raw.into_iter().enumerate() {
            let at = format!("classify[{index}]");
            let RawSource {
                header,
                gives,
                trust,
            } = raw;
            let header = self
                .at(&format!("{at}.header"), field::header_name(&header))
                .unwrap_or_default();
            let again = |source: &ZoneSource| !header.is_empty() && source.header == header;
            if sources.iter().any(again) {
                self.problem(
                    format!("{at}.header"),
                    format!("`{header}` is a source already; remove one"),
                );
            }
            if trust.cidr.is_empty() {
                let message = "list the networks that may send this header; a header from anyone cannot be trusted";
                self.problem(format!("{at}.trust.cidr"), message);
            }
            let networks = trust.cidr.iter().enumerate();
            let cidr = networks
                .filter_map(|(n, text)| {
                    self.at(&format!("{at}.trust.cidr[{n}]"), field::cidr(text))
                })
                .collect();
            sources.push(ZoneSource {
                header,
                gives,
                trust: Trust { cidr },
            });
        }
        sources
    }
}

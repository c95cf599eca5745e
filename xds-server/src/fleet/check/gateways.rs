//! What is the same on every gateway: where things lie, and the limits.

use super::{Check, field};
use crate::fleet::raw::{RawGateways, RawLimits};
use meridian_policy::fleet::Limits;
use std::time::Duration;

/// What a fleet takes over from `gateways`.
pub(super) struct Gateways {
    pub trust_domain: String,
    pub filter: String,
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
            filter: path("filter", raw.filter, "/etc/meridian/meridian_filter.wasm"),
            access_log: path("access_log", raw.access_log, "/dev/stdout"),
            trust_domain: self.trust_domain(raw.trust_domain),
            heap: self.at("gateways.heap", field::heap(heap)).unwrap_or(0),
        }
    }

    /// A path on a gateway.
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

    pub(super) fn limits(&mut self, raw: RawLimits) -> Limits {
        let mut time = |field: &str, text: Option<String>, default: Duration| match text {
            Some(text) => self.at(&format!("policy.limits.{field}"), field::duration(&text)),
            None => Some(default),
        };
        let seconds = Duration::from_secs;
        let answer = time("answer", raw.answer, seconds(600));
        // What is not said fits what is said: an answer of 30 s needs no other limit spelled out.
        let whole = answer.unwrap_or(Duration::MAX);
        let unstreamed = time("unstreamed", raw.unstreamed, whole.min(seconds(120)));
        let first_token = time("first_token", raw.first_token, whole.min(seconds(10)));
        let gap = time("gap", raw.gap, whole.min(seconds(60)));
        let first = first_token.min(unstreamed).unwrap_or(Duration::MAX);
        let connect = time("connect", raw.connect, first.min(seconds(1)));
        let not_longer = [
            ("connect", connect, "first_token", first_token),
            ("connect", connect, "unstreamed", unstreamed),
            ("first_token", first_token, "answer", answer),
            ("unstreamed", unstreamed, "answer", answer),
            ("gap", gap, "answer", answer),
        ];
        for (part, short, whole, long) in not_longer {
            if let (Some(short), Some(long)) = (short, long)
                && short > long
            {
                let (short, long) = (
                    humantime::format_duration(short),
                    humantime::format_duration(long),
                );
                let message = format!(
                    "{short} is longer than `{whole}` ({long}), which it is a part of; shorten it or lengthen `{whole}`"
                );
                self.problem(format!("policy.limits.{part}"), message);
            }
        }
        let body = raw.body.as_deref().unwrap_or("64MiB");
        let body = self.at("policy.limits.body", field::bytes(body));
        Limits {
            connect: connect.unwrap_or(Duration::MAX),
            first_token: first_token.unwrap_or(Duration::MAX),
            unstreamed: unstreamed.unwrap_or(Duration::MAX),
            gap: gap.unwrap_or(Duration::MAX),
            answer: answer.unwrap_or(Duration::MAX),
            body: body.unwrap_or(0),
        }
    }
}

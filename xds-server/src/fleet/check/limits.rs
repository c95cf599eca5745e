//! Limits of the fleet, of zones and of models.

use super::{Check, field, listed};
use crate::fleet::raw::{RawBalance, RawLimits, RawModel, RawOwnLimits};
use meridian_policy::fleet::{Limits, OwnLimits, Region};
use meridian_policy::pool_policy::Balance;
use meridian_policy::{ModelName, RegionName};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Default prefill rate, in tokens per second. A 70B model on one node alone reads several times as many; waiting
/// requests share them.
const PREFILL_RATE: u32 = 2000;

/// Default least rate of a response, in bytes per second: a token of a stream every 10 s.
const LEAST_RATE: u32 = 20;

/// Largest least rate, in bytes per second: slow models at small batches stream as little.
const MAX_LEAST_RATE: u32 = 1000;

/// Default limit of concurrent retries: above the number of concurrent requests for one model at one gateway. When a
/// region fails, all of them are retried at once.
const RETRIES: u32 = 10_000;

/// Largest limit of concurrent retries: more than one gateway has in flight.
const MOST_RETRIES: u64 = 10_000_000;

/// Largest prefill rate, in tokens per second.
const FASTEST_PREFILL: u64 = 100_000_000;

impl Check {
    pub(super) fn limits(&mut self, raw: RawLimits) -> Limits {
        let mut time = |field: &str, text: Option<String>, default: Duration| match text {
            Some(text) => self.at(&format!("policy.limits.{field}"), field::duration(&text)),
            None => Some(default),
        };
        let seconds = Duration::from_secs;
        let answer = time("answer", raw.answer, seconds(600));
        // Defaults adapt to given values: a response limit of 30 s needs no other limits.
        let whole = answer.unwrap_or(Duration::MAX);
        let unstreamed = time("unstreamed", raw.unstreamed, whole.min(seconds(120)));
        let first_token = time("first_token", raw.first_token, whole.min(seconds(10)));
        let stream_idle_timeout = time(
            "stream_idle_timeout",
            raw.stream_idle_timeout,
            whole.min(seconds(60)),
        );
        let first = first_token.min(unstreamed).unwrap_or(Duration::MAX);
        let connect = time("connect", raw.connect, first.min(seconds(1)));
        let not_longer = [
            ("connect", connect, "first_token", first_token),
            ("connect", connect, "unstreamed", unstreamed),
            ("first_token", first_token, "answer", answer),
            ("unstreamed", unstreamed, "answer", answer),
            ("stream_idle_timeout", stream_idle_timeout, "answer", answer),
        ];
        for (part, short, whole, long) in not_longer {
            if let (Some(short), Some(long)) = (short, long) {
                self.part_of((&format!("policy.limits.{part}"), short), (whole, long));
            }
        }
        let prefill_rate = self.prefill_rate("policy.limits.prefill_rate", raw.prefill_rate);
        let least_rate = raw.least_rate.unwrap_or(LEAST_RATE);
        if least_rate > MAX_LEAST_RATE {
            let message = format!(
                "{least_rate} bytes per second would end good streams, whose tokens are about 200 bytes each; write at most {MAX_LEAST_RATE}, or 0 for no limit"
            );
            self.problem("policy.limits.least_rate", message);
        }
        self.at_most("policy.limits.retries", raw.retries, MOST_RETRIES);
        let body = raw.body.as_deref().unwrap_or("64MiB");
        let body = self.at("policy.limits.body", field::bytes(body));
        if raw.retries == Some(0) {
            let message = "at 0 no request is retried in another region; write more than the concurrent requests of a gateway";
            self.problem("policy.limits.retries", message);
        }
        Limits {
            connect: connect.unwrap_or(Duration::MAX),
            first_token: first_token.unwrap_or(Duration::MAX),
            unstreamed: unstreamed.unwrap_or(Duration::MAX),
            prefill_rate: prefill_rate.unwrap_or(PREFILL_RATE),
            stream_idle_timeout: stream_idle_timeout.unwrap_or(Duration::MAX),
            least_rate: Some(least_rate).filter(|rate| *rate > 0),
            answer: answer.unwrap_or(Duration::MAX),
            retries: raw.retries.unwrap_or(RETRIES),
            body: body.unwrap_or(0),
        }
    }

    /// The limits of a zone or a model. Each must lie between the fleet's `connect` and `answer`.
    pub(super) fn own_limits(&mut self, at: &str, raw: RawOwnLimits, limits: &Limits) -> OwnLimits {
        let mut time = |field: &str, text: Option<String>| {
            let at = format!("{at}.{field}");
            let time = self.at(&at, field::duration(&text?))?;
            self.part_of((&at, time), ("policy.limits.answer", limits.answer));
            if time < limits.connect {
                let message = format!(
                    "{} is shorter than `policy.limits.connect` ({}), which is a part of it; lengthen it or shorten that",
                    humantime::format_duration(time),
                    humantime::format_duration(limits.connect)
                );
                self.problem(at, message);
            }
            Some(time)
        };
        OwnLimits {
            first_token: time("first_token", raw.first_token),
            unstreamed: time("unstreamed", raw.unstreamed),
            prefill_rate: self.prefill_rate(&format!("{at}.prefill_rate"), raw.prefill_rate),
        }
    }

    /// Settings per model. Each model must be in a pool.
    pub(super) fn models(
        &mut self,
        raw: BTreeMap<String, RawModel>,
        limits: &Limits,
        regions: &BTreeMap<RegionName, Region>,
    ) -> (BTreeMap<ModelName, OwnLimits>, BTreeMap<ModelName, Balance>) {
        let pools = regions.values().flat_map(|region| region.pools.keys());
        let deployed: BTreeSet<&ModelName> = pools.collect();
        let (mut limited, mut balanced) = (BTreeMap::new(), BTreeMap::new());
        for (name, raw) in raw {
            let at = format!("models.{name}");
            let own = self.own_limits(&format!("{at}.limits"), raw.limits, limits);
            let Some(name) = self.name::<ModelName>(&at, &name) else {
                continue;
            };
            if !deployed.contains(&name) {
                let known = listed(&deployed);
                let message =
                    format!("no region has a pool of `{name}`; there are pools of: {known}");
                self.problem(at, message);
            }
            let balance = match raw.balance {
                RawBalance::LeastLoad => Balance::LeastLoad,
                RawBalance::Affinity => Balance::Affinity,
            };
            limited.insert(name.clone(), own);
            balanced.insert(name, balance);
        }
        (limited, balanced)
    }

    fn part_of(&mut self, (at, short): (&str, Duration), (whole, long): (&str, Duration)) {
        if short > long {
            let (short, long) = (
                humantime::format_duration(short),
                humantime::format_duration(long),
            );
            let message = format!(
                "{short} is longer than `{whole}` ({long}), which it is a part of; shorten it or lengthen `{whole}`"
            );
            self.problem(at, message);
        }
    }

    fn prefill_rate(&mut self, at: &str, rate: Option<u32>) -> Option<u32> {
        self.at_most(at, rate, FASTEST_PREFILL);
        if rate == Some(0) {
            self.problem(
                at,
                "at 0 no prompt is ever read; write tokens per second, e.g. 2000",
            );
        }
        rate
    }
}

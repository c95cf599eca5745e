//! Sources of a region's signals.

use super::{Check, field, listed, region_at};
use crate::fleet::raw::{RawPool, RawSignal, RawSourceTls};
use meridian_policy::source::{SignalFormat, SignalSource, SourceTls, Subject};
use meridian_policy::{Fleet, ModelName};
use std::collections::BTreeMap;
use std::time::Duration;

/// Shortest scrape interval: more frequent scrapes load the server for little information.
const OFTEN: Duration = Duration::from_millis(100);

/// Largest `max_running`, in requests.
const MOST_RUNNING: u64 = 1_000_000;

impl Check {
    pub(super) fn signals(
        &mut self,
        at: &str,
        raw: Vec<RawSignal>,
        pools: &BTreeMap<String, RawPool>,
    ) -> Vec<SignalSource> {
        let mut signals: Vec<SignalSource> = Vec::new();
        for (index, raw) in raw.into_iter().enumerate() {
            let at = format!("{at}[{index}]");
            let Some(signal) = self.signal(&at, raw, pools) else {
                continue;
            };
            let key = signal.key();
            if !signal.url.is_empty() && signals.iter().any(|other| other.key() == key) {
                let message = match &signal.format {
                    SignalFormat::Preset(_) => {
                        format!(
                            "`{}` is read already with this preset; remove one",
                            signal.url
                        )
                    }
                    SignalFormat::Pushed(_) => {
                        format!(
                            "`{}` may push already; put all figures into one",
                            signal.url
                        )
                    }
                    _ => format!(
                        "`{}` is read already for these figures; put both into one, or give each its `model`",
                        signal.url
                    ),
                };
                let field = if matches!(signal.format, SignalFormat::Pushed(_)) {
                    "push"
                } else {
                    "prometheus"
                };
                self.problem(format!("{at}.{field}"), message);
            }
            signals.push(signal);
        }
        signals
    }

    fn signal(
        &mut self,
        at: &str,
        mut raw: RawSignal,
        pools: &BTreeMap<String, RawPool>,
    ) -> Option<SignalSource> {
        let (url, tells) = match (raw.prometheus.take(), raw.push.take()) {
            (Some(prometheus), None) => {
                let tells = self.tells(at, &mut raw);
                let url = field::page_url(&prometheus);
                let url = self.at(&format!("{at}.prometheus"), url);
                (url.unwrap_or_default(), tells)
            }
            (None, Some(id)) => (id, self.pushed(at, &mut raw)),
            _ => {
                let message = "give exactly one of `prometheus` (a URL that is read) and `push` (the SPIFFE ID of the pusher)";
                self.problem(at, message);
                return None;
            }
        };
        if let Some(token) = &raw.token {
            self.path(&format!("{at}.token"), token);
            if url.starts_with("http") && !field::is_private(&url) {
                let message = "would go over the network in the clear; use https:// (http:// is for loopback only)";
                self.problem(format!("{at}.token"), message);
            }
        }
        let tls = raw.tls.take();
        let tls = tls.map(|tls| self.source_tls(&format!("{at}.tls"), tls, &url));
        let model = raw.model.as_deref();
        let model = model.and_then(|model| self.name::<ModelName>(&format!("{at}.model"), model));
        let signal = SignalSource {
            tls,
            url,
            format: tells?,
            model,
            max_running: raw.max_running,
            token: raw.token,
            every: self.every(at, raw.every.as_deref()),
        };
        self.of_servers(at, &signal, pools);
        Some(signal)
    }

    fn source_tls(&mut self, at: &str, raw: RawSourceTls, url: &str) -> SourceTls {
        if url.starts_with("http://") {
            self.problem(at, "is not used over http://; write https:// or remove it");
        }
        if let Some(ca) = &raw.ca {
            self.path(&format!("{at}.ca"), ca);
        }
        let identity = match (raw.certificate, raw.key) {
            (Some(certificate), Some(key)) => Some(self.key_pair(at, certificate, key)),
            (None, None) => None,
            _ => {
                self.problem(at, "needs `certificate` and `key` together, or neither");
                None
            }
        };
        SourceTls {
            ca: raw.ca,
            identity,
        }
    }

    fn every(&mut self, at: &str, every: Option<&str>) -> Duration {
        let at = format!("{at}.every");
        let every = self
            .at(&at, field::duration(every.unwrap_or("2s")))
            .unwrap_or(OFTEN);
        if every < OFTEN {
            let message = format!(
                "{} is too often; at least 100ms",
                humantime::format_duration(every)
            );
            self.problem(at, message);
        }
        every
    }

    /// Fields that only sources of inference servers use.
    fn of_servers(&mut self, at: &str, signal: &SignalSource, pools: &BTreeMap<String, RawPool>) {
        let of_servers = [
            ("model", signal.model.is_some()),
            ("max_running", signal.max_running.is_some()),
        ];
        if signal.subject() != Subject::Servers {
            for (field, _) in of_servers.into_iter().filter(|(_, there)| *there) {
                let message = "applies to inference servers only; remove it";
                self.problem(format!("{at}.{field}"), message);
            }
            return;
        }
        if let SignalFormat::Preset(preset) = &signal.format
            && !preset.has_model_label()
            && signal.model.is_none()
            && pools.len() > 1
        {
            let message = format!(
                "is missing: the pages of `{}` do not say which model they are about; write one of: {}",
                preset.as_str(),
                listed(pools.keys())
            );
            self.problem(format!("{at}.model"), message);
        }
        if let Some(model) = &signal.model
            && !pools.contains_key(model.as_str())
        {
            let message = format!(
                "the region has no pool of `{model}`; there are: {}",
                listed(pools.keys())
            );
            self.problem(format!("{at}.model"), message);
        }
        self.at_most(
            &format!("{at}.max_running"),
            signal.max_running,
            MOST_RUNNING,
        );
        if signal.max_running == Some(0) {
            let message = "must be above 0; write the server's limit of concurrent requests, e.g. vLLM's `--max-num-seqs`";
            self.problem(format!("{at}.max_running"), message);
        }
    }

    /// Sources must be read at least twice per `signal_ttl`, so that one failed read does not make them stale.
    pub(super) fn signals_stay_fresh(&mut self, fleet: &Fleet) {
        let ttl = fleet.unhealthy.signal_ttl;
        for (name, region) in &fleet.regions {
            for (index, signal) in region.signals.iter().enumerate() {
                if signal.every * 2 > ttl {
                    let message = format!(
                        "read every {}, it would be stale before one miss is over: `policy.unhealthy.signal_ttl` is {}; \
                         read it at least twice in that time",
                        humantime::format_duration(signal.every),
                        humantime::format_duration(ttl),
                    );
                    self.problem(
                        format!("{}.signals[{index}].every", region_at(name)),
                        message,
                    );
                }
            }
        }
    }
}

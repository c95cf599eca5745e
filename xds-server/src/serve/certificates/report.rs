//! Certificates and refused handshakes in the report: when certificates end, and an alarm two weeks ahead.
//!
//! Certificates are judged by the wall clock, as TLS does it, and not by the report's clock, which nobody sets.

use super::own::OwnCertificates;
use crate::serve::report::{CertificatesReport, RefusedReport, Report};
use crate::xds::Certificates;
use meridian_planner::alarm::{Alarm, AlarmKind};
use meridian_planner::signal::Millis;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long before a certificate ends there is an alarm.
const AHEAD: i64 = 14 * 24 * 60 * 60;

/// Begins the names of the admin API's certificates.
const API: &str = "api ";

/// The `region` of alarms and metrics that are about the control plane itself.
pub const CONTROL_PLANE: &str = "control-plane";

impl Report {
    /// The report with the state of the control plane's TLS, at the xDS port and at the admin API's, and with alarms on certificates
    /// that end soon. Needs the connected Envoys.
    pub fn with_certificates(
        mut self,
        own: Option<&OwnCertificates>,
        api: Option<&OwnCertificates>,
        now: SystemTime,
    ) -> Self {
        if let Some(own) = own {
            for envoy in &mut self.envoys {
                envoy.certificate = of_connection(&own.in_force, &envoy.remote);
            }
            self.certificates = own.report(self.at);
        }
        if let Some(api) = api {
            self.certificates.add(api.report(self.at));
        }
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        self.alarms.extend(self.ending(now));
        self
    }

    /// When the certificates of gateways end, by region, node and certificate: as Envoy reports them, and the one that
    /// it presents in its connection (`connection`). A gateway may have replaced it since it connected.
    pub fn certificates_of_gateways(&self) -> BTreeMap<(&str, &str, &str), i64> {
        let mut all = BTreeMap::new();
        for (region, of) in &self.regions {
            for (node, source) in &of.sources {
                for (certificate, ends) in &source.certificates {
                    all.insert(
                        (region.as_str(), node.as_str(), certificate.as_str()),
                        *ends,
                    );
                }
            }
        }
        for envoy in &self.envoys {
            if let Some(ends) = envoy.certificate {
                // Of several Envoys of one node id the first that ends.
                all.entry((&envoy.region, &envoy.node, "connection"))
                    .and_modify(|first| *first = ends.min(*first))
                    .or_insert(ends);
            }
        }
        all
    }

    pub(super) fn ending(&self, now: i64) -> Vec<Alarm> {
        let alarm = |region: &str, what: String, ends: i64, fix: &str| {
            Some(Alarm {
                region: region.parse().ok()?,
                kind: AlarmKind::CertificateExpires,
                message: format!("{what} {}; {fix}", in_words(ends, now)),
            })
        };
        let is_soon = |ends: i64| ends < now.saturating_add(AHEAD);
        let own = self.certificates.own.iter();
        let own = own.filter(|(_, ends)| is_soon(**ends));
        let own = own.filter_map(|(name, ends)| {
            let of_api = name.strip_prefix(API);
            let field = of_api.map_or("control_plane.tls", |_| "control_plane.api.tls");
            let fix = if of_api.unwrap_or(name) == "certificate" {
                format!("replace `{field}.certificate` and `key`")
            } else {
                format!(
                    "put a new authority beside it in `{field}.ca`, and take it out when all certificates are of the new one"
                )
            };
            alarm(CONTROL_PLANE, format!("the control plane's {name}"), *ends, &fix)
        });
        let gateways = self.certificates_of_gateways();
        let reported: Vec<(&str, &str)> = gateways
            .keys()
            .filter(|(_, _, certificate)| *certificate != "connection")
            .map(|(region, node, _)| (*region, *node))
            .collect();
        let of_gateways = gateways.iter().filter_map(|((region, node, name), ends)| {
            // What Envoy reports is newer than what it presented when it connected.
            let is_known = *name == "connection" && reported.contains(&(*region, *node));
            if is_known || !is_soon(*ends) {
                return None;
            }
            let what = format!("{node}: the certificate `{name}`");
            let fix = "replace the gateway's files, and restart its Envoy if its bootstrap was written without `--sds`";
            alarm(region, what, *ends, fix)
        });
        own.chain(of_gateways).collect()
    }
}

impl CertificatesReport {
    /// Adds what is said of the admin API's.
    fn add(&mut self, api: Self) {
        let own = api.own.into_iter();
        let own = own.map(|(name, ends)| (format!("{API}{name}"), ends));
        self.own.extend(own);
        self.reloads += api.reloads;
        for (reason, count) in api.refused {
            *self.refused.entry(reason).or_default() += count;
        }
        let (error, refused) = (self.error.take(), self.last_refused.take());
        self.error = error.or(api.error);
        let refused = refused.into_iter().chain(api.last_refused);
        self.last_refused = refused.max_by_key(|refused| refused.at);
    }
}

impl OwnCertificates {
    fn report(&self, now: Millis) -> CertificatesReport {
        let expiry = self.in_force.expiry();
        let authorities = expiry.authorities.into_iter();
        let authorities = authorities.map(|(subject, ends)| (format!("ca {subject}"), ends));
        let own = [("certificate".to_owned(), expiry.certificate)];
        let refused = self.in_force.refused();
        let counts = refused.counts.into_iter();
        CertificatesReport {
            own: own.into_iter().chain(authorities).collect(),
            error: self.error(),
            reloads: self.reloads.load(Ordering::Relaxed),
            refused: counts.map(|(why, count)| (why.to_owned(), count)).collect(),
            last_refused: refused.last.map(|last| {
                let ago = u64::try_from(last.at.elapsed().as_millis()).unwrap_or(u64::MAX);
                RefusedReport {
                    at: Millis(now.0.saturating_sub(ago)),
                    remote: last.remote.to_string(),
                    reason: last.reason.to_owned(),
                    message: last.message,
                }
            }),
        }
    }
}

fn of_connection(certificates: &Certificates, remote: &str) -> Option<i64> {
    certificates.of_client(remote.parse().ok()?)
}

/// When a certificate ends, from now.
fn in_words(ends: i64, now: i64) -> String {
    let seconds = ends.abs_diff(now);
    // Days and hours are enough.
    let shown = Duration::from_secs(if seconds < 7200 {
        seconds
    } else {
        seconds / 3600 * 3600
    });
    let shown = humantime::format_duration(shown);
    if ends <= now {
        format!("has expired {shown} ago")
    } else {
        format!("expires in {shown}")
    }
}

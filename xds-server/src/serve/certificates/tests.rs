use super::*;
use crate::serve::report::{EnvoyReport, RefusedReport, RegionReport, Report, SourceReport};
use meridian_planner::signal::Millis;
use meridian_policy::fleet::KeyPair as Paths;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

/// A year's certificate and key, and the authority, in a directory.
struct Pki {
    authority: CertifiedIssuer<'static, KeyPair>,
    dir: tempfile::TempDir,
}

impl Pki {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_after = rcgen::date_time_ymd(2040, 1, 1);
        params.distinguished_name.push(DnType::CommonName, "fleet");
        let key = KeyPair::generate().unwrap();
        let pki = Self {
            authority: CertifiedIssuer::self_signed(params, key).unwrap(),
            dir: tempfile::tempdir().unwrap(),
        };
        std::fs::write(pki.path("ca.crt"), pki.authority.pem()).unwrap();
        pki.write_pair(2030);
        pki
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    fn pair(&self, year: i32) -> (String, String) {
        let mut params = CertificateParams::default();
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.authority).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    fn write_pair(&self, year: i32) {
        let (certificate, key) = self.pair(year);
        std::fs::write(self.path("own.crt"), certificate).unwrap();
        std::fs::write(self.path("own.key"), key).unwrap();
    }

    fn paths(&self) -> ControlPlaneTls {
        ControlPlaneTls {
            identity: Paths {
                certificate: self.path("own.crt"),
                key: self.path("own.key"),
            },
            ca: self.path("ca.crt"),
        }
    }

    fn open(&self) -> CertificateFiles {
        CertificateFiles::open(self.paths()).unwrap()
    }
}

fn poll(files: &mut CertificateFiles) {
    let read = read(&files.paths);
    files.poll(read, || Millis(7));
}

fn ends(files: &CertificateFiles) -> i64 {
    files.own.in_force.expiry().certificate
}

/// The start of a year.
fn year(year: i32) -> i64 {
    rcgen::date_time_ymd(year, 1, 1).unix_timestamp()
}

#[test]
fn a_replaced_pair_is_taken_when_it_has_settled() {
    let pki = Pki::new();
    let mut files = pki.open();
    poll(&mut files);
    pki.write_pair(2035);
    poll(&mut files);
    assert_eq!(ends(&files), year(2030));
    poll(&mut files);
    assert_eq!(ends(&files), year(2035));
    poll(&mut files);
    assert_eq!(files.own.reloads.load(Ordering::Relaxed), 1);
    assert_eq!(files.own.error(), None);
}

#[test]
fn a_pair_of_which_one_file_is_new_is_an_error_until_the_other_is() {
    let pki = Pki::new();
    let mut files = pki.open();
    let (certificate, key) = pki.pair(2035);
    std::fs::write(pki.path("own.crt"), certificate).unwrap();
    poll(&mut files);
    assert_eq!(files.own.error(), None, "it may be on its way");
    poll(&mut files);
    poll(&mut files);
    let error = files.own.error().unwrap();
    assert_eq!(error.at, Millis(7));
    let expected = "`key` is not the key of `certificate`; replace both";
    assert!(error.message.contains(expected), "{}", error.message);
    assert!(
        error.message.contains("control_plane.tls ("),
        "{}",
        error.message
    );
    assert_eq!(ends(&files), year(2030));
    std::fs::write(pki.path("own.key"), key).unwrap();
    poll(&mut files);
    poll(&mut files);
    assert_eq!((files.own.error(), ends(&files)), (None, year(2035)));
}

#[test]
fn a_file_that_is_gone_is_an_error_and_the_old_files_end_it() {
    let pki = Pki::new();
    let mut files = pki.open();
    let ca = std::fs::read(pki.path("ca.crt")).unwrap();
    std::fs::remove_file(pki.path("ca.crt")).unwrap();
    poll(&mut files);
    poll(&mut files);
    let error = files.own.error().unwrap().message;
    assert!(error.starts_with("control_plane.tls.ca: "), "{error}");
    std::fs::write(pki.path("ca.crt"), ca).unwrap();
    poll(&mut files);
    poll(&mut files);
    assert_eq!(files.own.error(), None);
}

#[test]
fn a_start_with_bad_files_names_them() {
    let pki = Pki::new();
    std::fs::write(pki.path("own.key"), pki.pair(2030).1).unwrap();
    let error = format!("{:#}", CertificateFiles::open(pki.paths()).unwrap_err());
    assert!(
        error.contains("own.crt") && error.contains("not the key"),
        "{error}"
    );
    std::fs::remove_file(Path::new(&pki.path("own.key"))).unwrap();
    let error = format!("{:#}", CertificateFiles::open(pki.paths()).unwrap_err());
    assert!(error.starts_with("control_plane.tls.key: "), "{error}");
}

/// A fleet of one region whose gateway reports and presents these ends of certificates.
fn report(reported: &[(&str, i64)], connection: Option<i64>) -> Report {
    let source = SourceReport {
        certificates: reported
            .iter()
            .map(|(name, ends)| ((*name).to_owned(), *ends))
            .collect(),
        ..Default::default()
    };
    let region = RegionReport {
        sources: [("gw".to_owned(), source)].into(),
        ..Default::default()
    };
    let envoy = EnvoyReport {
        node: "gw".into(),
        region: "eu".into(),
        certificate: connection,
        ..Default::default()
    };
    Report {
        regions: [("eu".parse().unwrap(), region)].into(),
        envoys: vec![envoy],
        ..Default::default()
    }
}

const DAY: i64 = 86_400;

#[test]
fn two_weeks_before_a_certificate_expires_there_is_an_alarm() {
    let alarms = |mut report: Report, own: &[(&str, i64)]| {
        report.certificates.own = own
            .iter()
            .map(|(name, ends)| ((*name).to_owned(), *ends))
            .collect();
        let alarms = report.ending(0).into_iter();
        let alarms = alarms.map(|alarm| format!("{}: {}", alarm.region, alarm.message));
        alarms.collect::<Vec<_>>()
    };
    let (far, near) = (15 * DAY, 13 * DAY);
    assert!(
        alarms(
            report(&[("gateway", far)], Some(far)),
            &[("certificate", far)]
        )
        .is_empty()
    );
    let said = alarms(report(&[("gateway", near)], Some(far)), &[]);
    assert_eq!(
        said,
        [
            "eu: gw: the certificate `gateway` expires in 13days; replace the gateway's files, and restart its Envoy if its bootstrap was \
             written without `--sds`"
        ]
    );
    // It was replaced since the gateway connected.
    assert!(alarms(report(&[("gateway", far)], Some(near)), &[]).is_empty());
    // An Envoy that does not report.
    assert_eq!(alarms(report(&[], Some(-DAY)), &[]).len(), 1);
    let said = alarms(
        report(&[], None),
        &[("certificate", near), ("ca CN=fleet", -DAY)],
    );
    assert_eq!(said.len(), 2, "{said:?}");
    let expected = "control-plane: the control plane's ca CN=fleet has expired 1day ago; ";
    assert!(said[0].starts_with(expected), "{said:?}");
}

#[test]
fn the_report_has_the_certificates_and_so_have_status_and_metrics() {
    let pki = Pki::new();
    let own = pki.open().own();
    own.set_error(Some(ErrorReport {
        at: Millis(0),
        message: "they do not fit".into(),
    }));
    let now = UNIX_EPOCH + Duration::from_secs(year(2030).unsigned_abs() - 60);
    let mut report = report(&[("gateway", year(2031)), ("public", year(2032))], None);
    report = report.with_certificates(Some(&own), None, now);
    report.certificates.refused.insert("expired".into(), 3);
    report.certificates.last_refused = Some(RefusedReport {
        at: Millis(0),
        remote: "192.0.2.1:4000".into(),
        reason: "expired".into(),
        message: "invalid peer certificate".into(),
    });
    let status = crate::status::text(&report);
    for line in [
        "control plane  certificate  2030-01-01T00:00:00Z",
        "control plane  ca CN=fleet  2040-01-01T00:00:00Z",
        "gw             gateway      2031-01-01T00:00:00Z",
        "the certificates before stay: they do not fit",
        "3 handshakes were refused, the last one 0s ago: 192.0.2.1:4000: expired: invalid peer certificate",
        "control-plane: the control plane's certificate expires in 1m; replace",
    ] {
        assert!(status.contains(line), "no `{line}` in\n{status}");
    }
    let page = crate::serve::metrics::page(report);
    for line in [
        r#"meridian_certificate_not_after_seconds{region="control-plane",node="control-plane",certificate="certificate"} 1893456000.0"#,
        r#"meridian_certificate_not_after_seconds{region="eu",node="gw",certificate="public"} 1956528000.0"#,
        r#"meridian_tls_handshakes_refused_total{reason="expired"} 3"#,
        r#"meridian_alarms{region="control-plane",kind="certificate_expires"} 1.0"#,
        r#"meridian_alarms{region="eu",kind="certificate_expires"} 0.0"#,
        "meridian_certificate_files_error{} 1.0",
    ] {
        assert!(page.contains(line), "no `{line}` in\n{page}");
    }
}

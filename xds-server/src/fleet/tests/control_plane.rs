//! Where the control plane is.

use super::{EXAMPLE, check};
use crate::fleet::parse;
use std::time::Duration;

fn with(control_plane: &str) -> String {
    format!("{EXAMPLE}\ncontrol_plane: {control_plane}\n")
}

#[test]
fn an_address_is_enough() {
    let fleet = parse(&with("{ address: cp.example.com }")).unwrap();
    let control_plane = fleet.control_plane.unwrap();
    assert_eq!(
        (control_plane.addresses[0].as_str(), control_plane.port),
        ("cp.example.com", 18000)
    );
    assert_eq!(control_plane.listen.to_string(), "0.0.0.0:18000");
    assert_eq!(control_plane.status.to_string(), "127.0.0.1:18001");
    assert_eq!(control_plane.lease, Duration::from_secs(60));
    let tls = control_plane.tls.unwrap();
    assert_eq!(
        tls.identity.certificate,
        "/etc/meridian/tls/control-plane.crt"
    );
    assert_eq!(parse(EXAMPLE).unwrap().control_plane, None);
}

#[test]
fn each_replica_has_an_address() {
    let fleet = parse(&with("{ address: [cp-1.example.com, 10.0.0.2] }")).unwrap();
    let control_plane = fleet.control_plane.unwrap();
    assert_eq!(control_plane.addresses, ["cp-1.example.com", "10.0.0.2"]);
    assert_eq!(control_plane.listen.to_string(), "0.0.0.0:18000");
    let fleet = parse(&with(
        "{ address: [127.0.0.2, 127.0.0.3], plaintext: true }",
    ))
    .unwrap();
    let control_plane = fleet.control_plane.unwrap();
    assert_eq!(control_plane.listen.to_string(), "127.0.0.2:18000");
    let error = parse(&with("{ address: { a: b } }"))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("an address belongs here, or a list"),
        "{error}"
    );
}

#[test]
fn the_status_page_has_a_port_of_its_own() {
    for status in ["127.0.0.1:18000", "0.0.0.0:18000"] {
        let text = with(&format!(
            "{{ address: cp.example.com, status: \"{status}\" }}"
        ));
        let says = format!("{status} is taken by `listen`, 0.0.0.0:18000");
        check(&text, &[("control_plane.status", &says)]);
    }
}

#[test]
fn without_tls_only_on_this_machine() {
    let fleet = parse(&with("{ address: 127.0.0.1, plaintext: true }")).unwrap();
    let control_plane = fleet.control_plane.unwrap();
    assert_eq!(
        (control_plane.tls, control_plane.listen.to_string()),
        (None, "127.0.0.1:18000".into())
    );
    for wrong in [
        "{ address: cp.example.com, plaintext: true }",
        "{ address: 10.0.0.1, plaintext: true }",
        "{ address: [127.0.0.1, 10.0.0.1], plaintext: true }",
        "{ address: 127.0.0.1, plaintext: true, listen: \"0.0.0.0:18000\" }",
    ] {
        check(
            &with(wrong),
            &[("control_plane.plaintext", "must be on 127.0.0.1")],
        );
    }
    let both = "{ address: 127.0.0.1, plaintext: true, tls: { ca: /a, certificate: /b, key: /c } }";
    check(
        &with(both),
        &[("control_plane.tls", "contradicts `plaintext: true`")],
    );
}

#[test]
fn what_cannot_be() {
    for (wrong, at, says) in [
        (
            "{ address: \"a b\" }",
            "address",
            "neither an IP address nor a DNS name",
        ),
        ("{ address: cp, port: 0 }", "port", "port 0"),
        ("{ address: [] }", "address", "there is none"),
        ("{ address: [cp, cp] }", "address", "cp is here twice"),
        (
            "{ address: [cp, \"a b\"] }",
            "address",
            "neither an IP address nor a DNS name",
        ),
        ("{ address: cp, status: here }", "status", "not `ip:port`"),
        (
            "{ address: cp, listen: \"0.0.0.0:1\", status: \"0.0.0.0:1\" }",
            "status",
            "another port",
        ),
        ("{ address: cp, lease: 1s }", "lease", "3s or more"),
        ("{ address: cp, lease: long }", "lease", "write a duration"),
        (
            "{ address: cp, tls: { ca: ca.crt, certificate: /b, key: /c } }",
            "tls.ca",
            "absolute path",
        ),
    ] {
        check(&with(wrong), &[(&format!("control_plane.{at}"), says)]);
    }
}

#[test]
fn the_admin_api_for_other_machines() {
    let api = |listen: &str, operators: &str| {
        with(&format!(
            "{{ address: cp.example.com, api: {{ listen: \"{listen}\", operators: {operators}, tls: {{ certificate: /a.crt, key: /a.key }} }} }}"
        ))
    };
    let control_plane = parse(&api("0.0.0.0:18002", "/etc/meridian/operators.yaml"));
    let found = control_plane.unwrap().control_plane.unwrap().api.unwrap();
    assert_eq!(found.listen.to_string(), "0.0.0.0:18002");
    assert_eq!(found.operators, "/etc/meridian/operators.yaml");
    assert_eq!(
        (found.identity.certificate.as_str(), found.ca),
        ("/a.crt", None)
    );
    let taken = |by: &str| format!("is taken by {by} of the control plane");
    for (listen, by) in [
        ("0.0.0.0:18000", "0.0.0.0:18000"),
        ("0.0.0.0:18001", "127.0.0.1:18001"),
    ] {
        let text = api(listen, "/operators.yaml");
        check(&text, &[("control_plane.api.listen", &taken(by))]);
    }
    let text = api("0.0.0.0:18002", "operators.yaml");
    check(&text, &[("control_plane.api.operators", "absolute")]);
}

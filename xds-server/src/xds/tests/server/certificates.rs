//! Certificates that are replaced while the server runs, and handshakes that it refuses.

use super::world::{
    Ads, Authority, PATIENCE, REGION, Server, authority, issue, issue_until, node, tls, uri,
};
use crate::xds::{Certificates, Tls, TlsError};
use std::sync::Arc;
use std::time::Duration;

fn own_name() -> Vec<rcgen::SanType> {
    vec![uri(&format!("spiffe://meridian/region/{REGION}"))]
}

async fn start() -> (Server, Arc<Certificates>) {
    let server = Server::start(Some(authority())).await;
    server.publish(&[(REGION, "cluster mine@1")]);
    let certificates = server.certificates.clone().unwrap();
    (server, certificates)
}

/// A stream that has got the resources, of a client of one authority that expects the server to be of another.
async fn stream(server: &Server, servers: &Authority, own: &Authority) -> Result<Ads, String> {
    let channel = server
        .trusting(servers, Some(issue(own, own_name())))
        .await?;
    let stream = Ads::open(channel, node(REGION)).await;
    let mut stream = stream.map_err(|status| format!("{status:?}"))?;
    match stream.next().await {
        Ok(Some((response, text))) if text.starts_with("mine@") => {
            stream.answer(&response, None).await;
            Ok(stream)
        }
        other => Err(format!("{other:?}")),
    }
}

#[tokio::test]
async fn new_certificates_are_for_new_connections_and_open_ones_stay() {
    let (server, certificates) = start().await;
    let old = server.authority.as_ref().unwrap();
    let new = authority();
    let mut open = stream(&server, old, old).await.unwrap();
    // While the authority is rolled over the bundle has both.
    certificates.replace(&tls(&new, &[old, &new])).unwrap();
    stream(&server, &new, old).await.unwrap();
    stream(&server, &new, &new).await.unwrap();
    assert!(stream(&server, old, old).await.is_err());
    certificates.replace(&tls(&new, &[&new])).unwrap();
    stream(&server, &new, &new).await.unwrap();
    assert!(stream(&server, &new, old).await.is_err());
    server.publish(&[(REGION, "cluster mine@2")]);
    assert_eq!(open.next().await.unwrap().unwrap().1, "mine@2");
}

#[tokio::test]
async fn certificates_that_cannot_be_used_leave_those_before_in_force() {
    let (server, certificates) = start().await;
    let own = server.authority.as_ref().unwrap();
    let good = tls(own, &[own]);
    let other = tls(own, &[own]);
    let cut = |bytes: &[u8]| bytes[..bytes.len() / 2].to_vec();
    let bad: [(Tls, &str); 7] = [
        (
            Tls {
                key: other.key.clone(),
                ..good.clone()
            },
            "`key` is not the key of `certificate`",
        ),
        (
            Tls {
                certificate: cut(&good.certificate),
                ..good.clone()
            },
            "`certificate` has no certificate that can be read: the file is cut off",
        ),
        (
            Tls {
                key: cut(&good.key),
                ..good.clone()
            },
            "`key` has no private key that can be read: the file is cut off",
        ),
        (
            Tls {
                ca: Vec::new(),
                ..good.clone()
            },
            "`ca` has no authority that can be read: there is none in the file",
        ),
        (
            Tls {
                ca: [good.ca.clone(), cut(&good.ca)].concat(),
                ..good.clone()
            },
            "`ca` has no authority that can be read",
        ),
        (
            Tls {
                certificate: good.key.clone(),
                key: good.certificate.clone(),
                ..good.clone()
            },
            "`certificate` has no certificate",
        ),
        (
            Tls {
                certificate: b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
                    .to_vec(),
                ..good.clone()
            },
            "it is no X.509 certificate",
        ),
    ];
    for (tls, expected) in bad {
        let error: TlsError = certificates.replace(&tls).unwrap_err();
        let said = error.to_string();
        assert!(said.contains(expected), "{said}");
    }
    stream(&server, own, own).await.unwrap();
}

#[tokio::test]
async fn a_refused_handshake_is_counted_by_its_reason() {
    let (server, certificates) = start().await;
    let own = server.authority.as_ref().unwrap();
    let cases = [
        (None, own, "no_certificate"),
        (Some(issue_until(own, own_name(), 2020)), own, "expired"),
        (
            Some(issue(&authority(), own_name())),
            own,
            "unknown_authority",
        ),
        (
            Some(issue(own, own_name())),
            &authority(),
            "refused_by_client",
        ),
    ];
    for (identity, servers, reason) in cases {
        if let Ok(channel) = server.trusting(servers, identity).await {
            assert!(Ads::open(channel, node(REGION)).await.is_err());
        }
        let wait = async {
            while !certificates.refused().counts.contains_key(reason) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, wait).await;
        let refused = certificates.refused();
        waited.unwrap_or_else(|_| panic!("{reason}: {refused:?}"));
        let last = refused.last.unwrap();
        assert_eq!(
            (last.reason, last.remote.ip()),
            (reason, server.address.ip())
        );
        assert!(!last.message.is_empty());
    }
    assert_eq!(server.hub.clients().len(), 0);
}

#[tokio::test]
async fn a_connection_shows_when_its_certificate_ends() {
    let (server, certificates) = start().await;
    let own = server.authority.as_ref().unwrap();
    let identity = issue_until(own, own_name(), 2100);
    let channel = server.secure(Some(identity)).await.unwrap();
    let mut ads = Ads::open(channel, node(REGION)).await.unwrap();
    ads.next().await.unwrap();
    let remote = server.hub.clients()[0].client.remote.unwrap();
    // 2100-01-01T00:00:00Z.
    assert_eq!(certificates.of_client(remote), Some(4_102_444_800));
    drop(ads);
    server
        .until("it to leave", |_| certificates.of_client(remote).is_none())
        .await;
    assert_eq!(certificates.expiry().authorities.len(), 1);
}

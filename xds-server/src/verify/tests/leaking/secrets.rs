//! Certificates and authorities that are not the fleet's, and contexts that refer to others.

use super::*;
use crate::wire::file;
use envoy_types::pb::envoy::config::core::v3::config_source::ConfigSourceSpecifier;
use envoy_types::pb::envoy::config::core::v3::{ConfigSource, PathConfigSource};
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::TlsCertificate;

const NOT_OURS: &str = "not one of the certificates and authorities that the fleet file names";

fn certificate(snapshot: &mut Snapshot, edit: impl FnOnce(&mut TlsCertificate)) {
    match &mut secret_of(snapshot, "gateway").r#type {
        Some(secret::Type::TlsCertificate(certificate)) => edit(certificate),
        _ => panic!("no certificate"),
    }
}

fn elsewhere() -> Option<ConfigSource> {
    Some(ConfigSource {
        config_source_specifier: Some(ConfigSourceSpecifier::PathConfigSource(PathConfigSource {
            path: "/tmp/secret.yaml".into(),
            ..Default::default()
        })),
        ..Default::default()
    })
}

#[test]
fn secrets_that_leak() {
    check(
        EXAMPLE,
        vec![
            case(
                "an authority from another file",
                EU,
                |s| authorities(s, |v| v.trusted_ca = file("/etc/ssl/cert.pem")),
                NOT_OURS,
            ),
            case(
                "no authority",
                EU,
                |s| authorities(s, |v| v.trusted_ca = None),
                NOT_OURS,
            ),
            case(
                "a name that Envoy adds to those of every context",
                EU,
                |s| {
                    let mut names = Vec::new();
                    gateway_tls(s, "peer/us-west-2/llama", |t| {
                        names = validation(&mut t.common_tls_context)
                            .match_typed_subject_alt_names
                            .clone();
                    });
                    authorities(s, |v| v.match_typed_subject_alt_names = names);
                },
                NOT_OURS,
            ),
            case(
                "an untrusted chain, by the secret",
                EU,
                |s| authorities(s, |v| v.trust_chain_verification = 1),
                NOT_OURS,
            ),
            case(
                "a certificate of another file",
                EU,
                |s| certificate(s, |c| c.certificate_chain = file("/tmp/gateway.crt")),
                NOT_OURS,
            ),
            case(
                "a key that travels",
                EU,
                |s| {
                    certificate(s, |c| {
                        c.private_key.as_mut().unwrap().specifier =
                            Some(Specifier::InlineString("k".into()));
                    })
                },
                NOT_OURS,
            ),
            case(
                "two authorities of one name",
                EU,
                |s| {
                    let again = secret_of(s, "gateway_ca").clone();
                    s.secrets.push(again);
                },
                NOT_OURS,
            ),
            case(
                "no secret at all",
                EU,
                |s| s.secrets.retain(|secret| secret.name != "gateway_ca"),
                "the secret is not there",
            ),
            case(
                "a peer cluster with the authority of another secret",
                EU,
                |s| {
                    gateway_tls(s, "peer/us-west-2/llama", |t| {
                        authority(&mut t.common_tls_context).name = "other".into();
                    })
                },
                "held to their own authority",
            ),
            case(
                "a peer cluster with an authority from elsewhere",
                EU,
                |s| {
                    gateway_tls(s, "peer/us-west-2/llama", |t| {
                        authority(&mut t.common_tls_context).sds_config = elsewhere();
                    })
                },
                "held to their own authority",
            ),
            case(
                "a peer listener with an authority from elsewhere",
                EU,
                |s| {
                    peer_tls(s, |t| {
                        authority(&mut t.common_tls_context).sds_config = elsewhere();
                    })
                },
                "held to their own authority",
            ),
            case(
                "a peer listener with a certificate from elsewhere",
                EU,
                |s| {
                    peer_tls(s, |t| {
                        let common = t.common_tls_context.as_mut().unwrap();
                        common.tls_certificate_sds_secret_configs[0].sds_config = elsewhere();
                    })
                },
                "meet with the home gateway's certificate",
            ),
            case(
                "a peer listener with an authority beside the secret's",
                EU,
                |s| {
                    peer_tls(s, |t| {
                        validation(&mut t.common_tls_context).trusted_ca = file("/tmp/ca.crt");
                    })
                },
                "`trusted_ca` of this CertificateValidationContext",
            ),
            case(
                "an inline certificate",
                EU,
                |s| {
                    peer_tls(s, |t| {
                        let common = t.common_tls_context.as_mut().unwrap();
                        common.tls_certificates = vec![TlsCertificate::default()];
                    })
                },
                "`tls_certificates` of this CommonTlsContext",
            ),
        ],
    );
}

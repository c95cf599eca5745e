//! TLS: certificates as secrets that Envoy reads again when their files are replaced, and mutual TLS between gateways.

use crate::name;
use crate::wire::{exactly, file};
use envoy_types::pb::envoy::config::core::v3::ConfigSource;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::common_tls_context::{
    CombinedCertificateValidationContext, ValidationContextType,
};
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::secret::Type;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::subject_alt_name_matcher::SanType;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::tls_parameters::TlsProtocol;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{
    CertificateValidationContext, CommonTlsContext, SdsSecretConfig, Secret, SubjectAltNameMatcher,
    TlsCertificate, TlsParameters,
};
use meridian_policy::fleet::{Gateway, KeyPair, Public};
use meridian_policy::{Fleet, RegionName};

/// The context for both ends of a connection between gateways: TLS 1.3, HTTP/2, certificates with SPIFFE IDs of
/// regions. Certificate and authority are the gateway's secrets ([`secrets`]).
pub fn between_gateways(peers: Vec<SubjectAltNameMatcher>) -> CommonTlsContext {
    mutual(by_name(name::GATEWAY), by_name(name::AUTHORITY), peers)
}

/// The same with the secrets of these sources.
pub fn mutual(
    certificate: SdsSecretConfig,
    authority: SdsSecretConfig,
    peers: Vec<SubjectAltNameMatcher>,
) -> CommonTlsContext {
    let names = CertificateValidationContext {
        match_typed_subject_alt_names: peers,
        ..Default::default()
    };
    // Envoy adds what the secret has: the authority.
    let validation = CombinedCertificateValidationContext {
        default_validation_context: Some(names),
        validation_context_sds_secret_config: Some(authority),
        ..Default::default()
    };
    CommonTlsContext {
        tls_params: Some(TlsParameters {
            tls_minimum_protocol_version: TlsProtocol::TlSv13.into(),
            // Envoy's default maximum as a client is 1.2.
            tls_maximum_protocol_version: TlsProtocol::TlSv13.into(),
            ..Default::default()
        }),
        tls_certificate_sds_secret_configs: vec![certificate],
        alpn_protocols: vec!["h2".into()],
        validation_context_type: Some(ValidationContextType::CombinedValidationContext(validation)),
        ..Default::default()
    }
}

/// Matches the certificate of one region's gateway only.
pub fn gateway_san(fleet: &Fleet, region: &RegionName) -> SubjectAltNameMatcher {
    SubjectAltNameMatcher {
        san_type: SanType::Uri.into(),
        matcher: Some(exactly(&fleet.spiffe_id(region))),
        ..Default::default()
    }
}

/// A secret of the snapshot.
pub fn by_name(name: &str) -> SdsSecretConfig {
    by_source(name, None)
}

/// A secret of a source; `None`: of the snapshot.
pub fn by_source(name: &str, source: Option<ConfigSource>) -> SdsSecretConfig {
    SdsSecretConfig {
        name: name.into(),
        sds_config: source,
    }
}

/// The secrets of a gateway: its certificate, the authority of all gateways, and the certificate for callers. They
/// name files. Envoy watches the files' directories, and reads all again after a move in one of them, if the secret
/// came by SDS.
pub fn secrets(gateway: &Gateway, public: &Public) -> Vec<Secret> {
    let mut secrets = vec![certificate(gateway), authority(gateway)];
    let public = public.tls.as_ref();
    secrets.extend(public.map(|pair| secret(name::PUBLIC, Type::TlsCertificate(key_pair(pair)))));
    secrets
}

/// The secret with a gateway's certificate.
pub fn certificate(gateway: &Gateway) -> Secret {
    let pair = key_pair(&gateway.identity);
    secret(name::GATEWAY, Type::TlsCertificate(pair))
}

/// The secret with the authority of all gateways.
pub fn authority(gateway: &Gateway) -> Secret {
    let context = CertificateValidationContext {
        trusted_ca: file(&gateway.ca),
        ..Default::default()
    };
    secret(name::AUTHORITY, Type::ValidationContext(context))
}

fn secret(name: &str, kind: Type) -> Secret {
    Secret {
        name: name.into(),
        r#type: Some(kind),
    }
}

fn key_pair(pair: &KeyPair) -> TlsCertificate {
    TlsCertificate {
        certificate_chain: file(&pair.certificate),
        private_key: file(&pair.key),
        ..Default::default()
    }
}

//! TLS: certificates by file path, and mutual TLS between gateways.

use crate::wire::{exactly, file};
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::common_tls_context::ValidationContextType;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::subject_alt_name_matcher::SanType;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::tls_parameters::TlsProtocol;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{
    CertificateValidationContext, CommonTlsContext, SubjectAltNameMatcher, TlsCertificate,
    TlsParameters,
};
use meridian_policy::fleet::{Gateway, KeyPair};
use meridian_policy::{Fleet, RegionName};

/// The context for both ends of a connection between gateways: TLS 1.3, HTTP/2, certificates with SPIFFE IDs of
/// regions.
pub fn between_gateways(own: &Gateway, peers: Vec<SubjectAltNameMatcher>) -> CommonTlsContext {
    let validation = CertificateValidationContext {
        trusted_ca: file(&own.ca),
        match_typed_subject_alt_names: peers,
        ..Default::default()
    };
    CommonTlsContext {
        tls_params: Some(TlsParameters {
            tls_minimum_protocol_version: TlsProtocol::TlSv13.into(),
            // Envoy's default maximum as a client is 1.2.
            tls_maximum_protocol_version: TlsProtocol::TlSv13.into(),
            ..Default::default()
        }),
        tls_certificates: vec![certificate(&own.identity)],
        alpn_protocols: vec!["h2".into()],
        validation_context_type: Some(ValidationContextType::ValidationContext(validation)),
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

/// A certificate and its key, by file path.
pub fn certificate(pair: &KeyPair) -> TlsCertificate {
    TlsCertificate {
        certificate_chain: file(&pair.certificate),
        private_key: file(&pair.key),
        ..Default::default()
    }
}

//! TLS: the identity of the other end of a connection.

use super::leak::{Leaks, only};
use super::secret::{AUTHORITY, GATEWAY, PUBLIC};
use envoy_types::pb::envoy::config::core::v3::TransportSocket;
use envoy_types::pb::envoy::config::core::v3::transport_socket::ConfigType;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::common_tls_context::{
    CombinedCertificateValidationContext, ValidationContextType,
};
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::subject_alt_name_matcher::SanType;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{
    CertificateValidationContext, CommonTlsContext, DownstreamTlsContext, SdsSecretConfig,
    UpstreamTlsContext,
};
use envoy_types::pb::envoy::r#type::matcher::v3::StringMatcher;
use envoy_types::pb::envoy::r#type::matcher::v3::string_matcher::MatchPattern;
use meridian_policy::fleet::ProviderEndpoint;
use meridian_policy::{Fleet, RegionName};
use prost::{Message, Name};
use std::net::IpAddr;

/// A subject alternative name that must match exactly.
type San = (SanType, String);

/// Checks that an upstream must be the gateway of `region`, and gets our certificate.
pub fn to_gateway(
    fleet: &Fleet,
    home: &RegionName,
    region: &RegionName,
    at: &str,
    socket: Option<&TransportSocket>,
    leaks: &mut Leaks,
) {
    let (Some(_), Some(other)) = (fleet.regions.get(home), fleet.regions.get(region)) else {
        leaks.add(at, "there is no such region in the fleet");
        return;
    };
    let Some(common) = upstream(at, &other.gateway.address, socket, leaks) else {
        leaks.add(
            at,
            format!("without TLS that proves it, this only claims to be the gateway of `{region}`"),
        );
        return;
    };
    let names = mutual(at, &common, leaks);
    let id = fleet.spiffe_id(region);
    if names.and_then(sans) != Some(vec![(SanType::Uri, id.clone())]) {
        leaks.add(
            at,
            format!("the other end must be held to the one URI SAN `{id}`, to the letter"),
        );
    }
}

/// Checks that an upstream must be the provider, by the system's trusted roots.
pub fn to_provider(
    endpoint: &ProviderEndpoint,
    at: &str,
    socket: Option<&TransportSocket>,
    leaks: &mut Leaks,
) {
    let host = &endpoint.host;
    if !endpoint.tls {
        if socket.is_some() {
            leaks.unsupported(at, "a transport socket to a provider without TLS");
        }
        return;
    }
    let common = upstream(at, host, socket, leaks);
    let Some((common, Some(ValidationContextType::ValidationContext(validation)))) = common
        .as_ref()
        .map(|common| (common, &common.validation_context_type))
    else {
        leaks.add(
            at,
            format!("without TLS that proves it, this only claims to be `{host}`"),
        );
        return;
    };
    if !common.tls_certificate_sds_secret_configs.is_empty() {
        leaks.add(at, "a gateway's certificate is not for providers");
    }
    if validation.system_root_certs.is_none() {
        leaks.add(at, "a provider must be held to the system's trusted roots");
    }
    let kind = if host.parse::<IpAddr>().is_ok() {
        SanType::IpAddress
    } else {
        SanType::Dns
    };
    if sans(validation) != Some(vec![(kind, host.clone())]) {
        leaks.add(
            at,
            format!("the provider must be held to the one SAN `{host}`, to the letter"),
        );
    }
}

/// Checks the TLS of a listener for callers. Client certificates are not required.
pub fn from_callers(at: &str, context: &DownstreamTlsContext, leaks: &mut Leaks) {
    leaks.check_fields(
        at,
        context,
        &only!(
            DownstreamTlsContext,
            context,
            [
                common_tls_context,
                require_client_certificate,
                disable_stateful_session_resumption,
                session_timeout,
            ]
        ),
    );
    if let Some(common) = &context.common_tls_context {
        common_context(at, common, leaks);
    }
}

/// Checks the TLS of a listener that only the gateways of these regions may enter.
pub fn from_gateways(
    fleet: &Fleet,
    home: &RegionName,
    regions: &[&RegionName],
    at: &str,
    context: &DownstreamTlsContext,
    leaks: &mut Leaks,
) {
    from_callers(at, context, leaks);
    let required = context.require_client_certificate.as_ref();
    if !required.is_some_and(|required| required.value) {
        leaks.add(at, "no client certificate is required of other gateways");
    }
    let Some(common) = &context.common_tls_context else {
        leaks.add(at, "nothing says whose client certificates are trusted");
        return;
    };
    let names = mutual(at, common, leaks);
    let mut others: Vec<San> = regions
        .iter()
        .map(|region| (SanType::Uri, fleet.spiffe_id(region)))
        .collect();
    if others.is_empty() {
        others.push((SanType::Uri, fleet.spiffe_id(home)));
    }
    match names.and_then(sans) {
        Some(sans) if !sans.is_empty() && sans.iter().all(|san| others.contains(san)) => {}
        _ => leaks.add(
            at,
            "client certificates must be held to URI SANs of other regions' gateways, to the letter",
        ),
    }
}

/// The context of a TLS transport socket.
pub fn context<M: Message + Name + Default>(
    at: &str,
    socket: &TransportSocket,
    leaks: &mut Leaks,
) -> Option<M> {
    let any = socket
        .config_type
        .as_ref()
        .map(|ConfigType::TypedConfig(any)| any);
    leaks.unpack_required(at, any)
}

fn upstream(
    at: &str,
    host: &str,
    socket: Option<&TransportSocket>,
    leaks: &mut Leaks,
) -> Option<CommonTlsContext> {
    let context: UpstreamTlsContext = context(at, socket?, leaks)?;
    leaks.check_fields(
        at,
        &context,
        &only!(UpstreamTlsContext, context, [sni, common_tls_context]),
    );
    if !context.sni.is_empty() && !context.sni.eq_ignore_ascii_case(host) {
        leaks.add(
            at,
            format!("asks for `{}` instead of `{host}`", context.sni),
        );
    }
    let common = context.common_tls_context?;
    common_context(at, &common, leaks);
    Some(common)
}

/// Checks the part that client and server share. Fields that weaken authentication (expired certificates, untrusted
/// chains, key logs) are not supported, nor are certificates beside the secrets: Envoy would read them once.
fn common_context(at: &str, common: &CommonTlsContext, leaks: &mut Leaks) {
    leaks.check_fields(
        at,
        common,
        &only!(
            CommonTlsContext,
            common,
            [
                tls_params,
                tls_certificate_sds_secret_configs,
                alpn_protocols,
                validation_context_type
            ]
        ),
    );
    for certificate in &common.tls_certificate_sds_secret_configs {
        if *certificate != by_name(GATEWAY) && *certificate != by_name(PUBLIC) {
            leaks.add(
                at,
                "a certificate is the gateway's own or that for callers, from the snapshot",
            );
        }
    }
    match &common.validation_context_type {
        None => {}
        Some(ValidationContextType::ValidationContext(validation)) => leaks.check_fields(
            at,
            validation,
            &only!(
                CertificateValidationContext,
                validation,
                [system_root_certs, match_typed_subject_alt_names]
            ),
        ),
        Some(ValidationContextType::CombinedValidationContext(combined)) => {
            combined_context(at, combined, leaks)
        }
        Some(_) => leaks.unsupported(at, "a validation context from elsewhere"),
    }
}

/// Checks a validation context that Envoy merges: names of its own, and the authority of a secret. `Secrets::read`
/// knows that the secret has the authority and nothing else.
fn combined_context(at: &str, combined: &CombinedCertificateValidationContext, leaks: &mut Leaks) {
    leaks.check_fields(
        at,
        combined,
        &only!(
            CombinedCertificateValidationContext,
            combined,
            [
                default_validation_context,
                validation_context_sds_secret_config
            ]
        ),
    );
    if let Some(names) = &combined.default_validation_context {
        leaks.check_fields(
            at,
            names,
            &only!(
                CertificateValidationContext,
                names,
                [match_typed_subject_alt_names]
            ),
        );
    }
    if combined.validation_context_sds_secret_config != Some(by_name(AUTHORITY)) {
        leaks.add(
            at,
            "gateways are held to their own authority, the secret `gateway_ca`",
        );
    }
}

/// Checks mutual TLS between gateways: our own certificate, and the gateways' authority. Returns the names that the
/// other end is held to.
fn mutual<'c>(
    at: &str,
    common: &'c CommonTlsContext,
    leaks: &mut Leaks,
) -> Option<&'c CertificateValidationContext> {
    if common.tls_certificate_sds_secret_configs != [by_name(GATEWAY)] {
        leaks.add(at, "gateways meet with the home gateway's certificate");
    }
    let Some(ValidationContextType::CombinedValidationContext(combined)) =
        &common.validation_context_type
    else {
        leaks.add(
            at,
            "gateways are held to their own authority, the secret `gateway_ca`",
        );
        return None;
    };
    combined.default_validation_context.as_ref()
}

/// A secret of the snapshot.
fn by_name(name: &str) -> SdsSecretConfig {
    SdsSecretConfig {
        name: name.into(),
        sds_config: None,
    }
}

/// The exact subject alternative names; `None` if any matcher is not exact.
fn sans(validation: &CertificateValidationContext) -> Option<Vec<San>> {
    let matchers = validation.match_typed_subject_alt_names.iter();
    matchers
        .map(|san| {
            let exact = san.matcher.as_ref().and_then(exact)?;
            (san.oid.is_empty()).then(|| (san.san_type(), exact.to_owned()))
        })
        .collect()
}

/// The text of an exact, case-sensitive matcher.
pub fn exact(matcher: &StringMatcher) -> Option<&str> {
    match &matcher.match_pattern {
        Some(MatchPattern::Exact(text)) if !matcher.ignore_case => Some(text),
        _ => None,
    }
}

//! Configurations that leak: small edits of good ones, and the leaks that must be reported.

mod clusters;
mod egresses;
mod filters;
mod guards;
mod listeners;
mod modules;
mod peers;
mod reports;
mod retrieval;
mod routes;
mod secrets;
mod trees;

use super::edit::*;
use super::fleets::{EXAMPLE, RETRIEVAL, TWO_PINNED, fleet, id, snapshot};
use crate::snapshot::Snapshot;
use crate::verify::verify;
use envoy_types::pb::envoy::config::cluster::v3::cluster::{ClusterDiscoveryType, DiscoveryType};
use envoy_types::pb::envoy::config::core::v3::DataSource;
use envoy_types::pb::envoy::config::core::v3::data_source::Specifier;
use envoy_types::pb::envoy::config::endpoint::v3::endpoint::{
    AdditionalAddress, HealthCheckConfig,
};
use envoy_types::pb::envoy::config::listener::v3::filter;
use envoy_types::pb::envoy::config::rbac::v3::principal::{Authenticated, Identifier};
use envoy_types::pb::envoy::config::rbac::v3::{Permission, Policy, Principal, permission};
use envoy_types::pb::envoy::config::route::v3::route_action::{
    ClusterSpecifier, HostRewriteSpecifier, RequestMirrorPolicy,
};
use envoy_types::pb::envoy::config::route::v3::weighted_cluster::ClusterWeight;
use envoy_types::pb::envoy::config::route::v3::{InternalRedirectPolicy, WeightedCluster};
use envoy_types::pb::envoy::extensions::filters::http::credential_injector::v3::CredentialInjector;
use envoy_types::pb::envoy::extensions::filters::http::header_mutation::v3::HeaderMutation;
use envoy_types::pb::envoy::extensions::filters::http::lua::v3::Lua;
use envoy_types::pb::envoy::extensions::filters::http::rbac::v3::{Rbac, RbacPerRoute};
use envoy_types::pb::envoy::extensions::filters::http::router::v3::Router;
use envoy_types::pb::envoy::extensions::filters::http::wasm::v3::Wasm;
use envoy_types::pb::envoy::extensions::filters::network::tcp_proxy::v3::TcpProxy;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::common_tls_context::ValidationContextType;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{
    CertificateValidationContext, CommonTlsContext, DownstreamTlsContext, GenericSecret,
    SdsSecretConfig, Secret, UpstreamTlsContext, secret,
};
use envoy_types::pb::envoy::extensions::upstreams::http::v3::HttpProtocolOptions;
use envoy_types::util::pack_any;
use meridian_policy::country::Country;
use meridian_policy::headers;
use prost::Name;

const EU: &str = "eu-west-1";
const US: &str = "us-west-2";
const CHAIN: &str = "chain/eea/llama/eu-west-1";
const EEA: &str = "eea/llama";

/// An edit of a region's good snapshot, and the expected leak.
struct Case {
    name: &'static str,
    home: &'static str,
    edit: fn(&mut Snapshot),
    found: &'static str,
}

fn case(
    name: &'static str,
    home: &'static str,
    edit: fn(&mut Snapshot),
    found: &'static str,
) -> Case {
    Case {
        name,
        home,
        edit,
        found,
    }
}

fn check(text: &str, cases: Vec<Case>) {
    let fleet = fleet(text);
    for Case {
        name,
        home,
        edit,
        found,
    } in cases
    {
        let good = snapshot(&fleet, home);
        let mut bad = good.clone();
        edit(&mut bad);
        assert_ne!(good, bad, "{name}: edits nothing");
        let leaks = verify(&fleet, &home.parse().unwrap(), &bad);
        let lines: Vec<String> = leaks.iter().map(ToString::to_string).collect();
        assert!(
            lines.iter().any(|line| line.contains(found)),
            "{name}: no `{found}` in\n{}",
            lines.join("\n")
        );
    }
}

fn validation(common: &mut Option<CommonTlsContext>) -> &mut CertificateValidationContext {
    match &mut common.as_mut().unwrap().validation_context_type {
        Some(ValidationContextType::ValidationContext(validation)) => validation,
        Some(ValidationContextType::CombinedValidationContext(combined)) => {
            combined.default_validation_context.as_mut().unwrap()
        }
        _ => panic!("no validation"),
    }
}

/// The secret that a context takes the authority from.
fn authority(common: &mut Option<CommonTlsContext>) -> &mut SdsSecretConfig {
    match &mut common.as_mut().unwrap().validation_context_type {
        Some(ValidationContextType::CombinedValidationContext(combined)) => combined
            .validation_context_sds_secret_config
            .as_mut()
            .unwrap(),
        _ => panic!("no authority"),
    }
}

fn secret_of<'s>(snapshot: &'s mut Snapshot, name: &str) -> &'s mut Secret {
    let mut secrets = snapshot.secrets.iter_mut();
    secrets.find(|secret| secret.name == name).unwrap()
}

fn authorities(snapshot: &mut Snapshot, edit: impl FnOnce(&mut CertificateValidationContext)) {
    match &mut secret_of(snapshot, "gateway_ca").r#type {
        Some(secret::Type::ValidationContext(validation)) => edit(validation),
        _ => panic!("no authority"),
    }
}

fn peer_tls(snapshot: &mut Snapshot, edit: impl FnOnce(&mut DownstreamTlsContext)) {
    let chain = &mut listener(snapshot, "peer").filter_chains[0];
    tls(chain.transport_socket.as_mut(), edit);
}

fn gateway_tls(snapshot: &mut Snapshot, name: &str, edit: impl FnOnce(&mut UpstreamTlsContext)) {
    tls(cluster(snapshot, name).transport_socket.as_mut(), edit);
}

fn plugin(snapshot: &mut Snapshot, edit: impl FnOnce(&mut Wasm)) {
    manager(listener(snapshot, "public"), |manager| {
        http_filter(manager, edit)
    });
}

fn allowing(snapshot: &mut Snapshot, edit: impl FnOnce(&mut Rbac)) {
    manager(listener(snapshot, "peer"), |manager| rbac(manager, 0, edit));
}

fn denying(snapshot: &mut Snapshot, edit: impl FnOnce(&mut Rbac)) {
    manager(listener(snapshot, "peer"), |manager| rbac(manager, 1, edit));
}

fn drop_filter(snapshot: &mut Snapshot, name: &str, url: &str) {
    manager(listener(snapshot, name), |manager| {
        manager
            .http_filters
            .retain_mut(|filter| configuration(filter).is_none_or(|any| any.type_url != url));
    });
}

fn lead(snapshot: &mut Snapshot, name: &str, to: ClusterSpecifier) {
    route(listener(snapshot, name), EEA, |route| {
        action(route).cluster_specifier = Some(to);
    });
}

fn zone_policy(definition: &str, region: &str) -> Policy {
    let name = exactly(&format!("spiffe://meridian/region/{region}"));
    Policy {
        permissions: vec![Permission {
            rule: Some(permission::Rule::Header(header_is(
                headers::DEFINITION,
                definition,
            ))),
        }],
        principals: vec![Principal {
            identifier: Some(Identifier::Authenticated(Authenticated {
                principal_name: Some(name),
            })),
        }],
        ..Default::default()
    }
}

fn drop_all_wasm(listener: &mut envoy_types::pb::envoy::config::listener::v3::Listener) {
    manager(listener, |manager| {
        manager.http_filters.retain_mut(|filter| {
            configuration(filter).is_none_or(|any| any.type_url != Wasm::type_url())
        });
    });
}

fn vm(wasm: &mut Wasm) -> &mut envoy_types::pb::envoy::extensions::wasm::v3::VmConfig {
    match &mut wasm.config.as_mut().unwrap().vm {
        Some(envoy_types::pb::envoy::extensions::wasm::v3::plugin_config::Vm::VmConfig(vm)) => vm,
        None => panic!("no VM"),
    }
}

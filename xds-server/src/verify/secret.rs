//! References to secrets: places on the gateway, never values.

use super::leak::{Leaks, only};
use envoy_types::pb::envoy::config::core::v3::config_source::ConfigSourceSpecifier;
use envoy_types::pb::envoy::config::core::v3::data_source::Specifier;
use envoy_types::pb::envoy::config::core::v3::{
    ApiVersion, ConfigSource, DataSource, PathConfigSource, WatchedDirectory,
};
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::secret::Type;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{
    CertificateValidationContext, GenericSecret, SdsSecretConfig, Secret, TlsCertificate,
};
use meridian_policy::fleet::{self, KeyPair, Region};
use std::collections::BTreeMap;

/// The names of the secrets that are certificates. Contexts refer to them, and this module knows what they must be.
pub const GATEWAY: &str = "gateway";
pub const AUTHORITY: &str = "gateway_ca";
pub const PUBLIC: &str = "public";

/// The snapshot's keys of fallbacks by name. Its certificates are those of the fleet.
pub struct Secrets<'f>(BTreeMap<&'f str, &'f DataSource>);

impl<'f> Secrets<'f> {
    /// Reads the secrets of the gateway of a region.
    pub fn read(home: Option<&Region>, secrets: &'f [Secret], leaks: &mut Leaks) -> Self {
        let mut places = BTreeMap::new();
        let mut missing = home.map(certificates).unwrap_or_default();
        for secret in secrets {
            let at = format!("secrets.{}", secret.name);
            if let Some(Type::TlsCertificate(_) | Type::ValidationContext(_)) = secret.r#type {
                match missing.iter().position(|certificate| certificate == secret) {
                    Some(index) => drop(missing.swap_remove(index)),
                    None => leaks.add(
                        &at,
                        "it is not one of the certificates and authorities that the fleet file names, by file",
                    ),
                }
                continue;
            }
            let Some(Type::GenericSecret(generic)) = &secret.r#type else {
                leaks.unsupported(&at, "a secret of this type");
                continue;
            };
            leaks.check_fields(&at, generic, &only!(GenericSecret, generic, [secret]));
            let Some(source) = &generic.secret else {
                leaks.unsupported(&at, "a secret without a place");
                continue;
            };
            if !is_place(source) {
                leaks.add(
                    &at,
                    "the value of a secret must not travel: only a file or an environment variable",
                );
            }
            if places.insert(secret.name.as_str(), source).is_some() {
                leaks.add(&at, "there are two secrets of this name");
            }
        }
        for secret in missing {
            leaks.add(
                &format!("secrets.{}", secret.name),
                "the fleet file names this certificate, and the secret is not there",
            );
        }
        Self(places)
    }

    /// Whether a secret has the place that the fleet names.
    pub fn is_at(&self, secret: &SdsSecretConfig, place: &fleet::Secret) -> bool {
        let specifier = match place {
            fleet::Secret::Env(variable) => Specifier::EnvironmentVariable(variable.clone()),
            fleet::Secret::File(path) => Specifier::Filename(path.clone()),
            fleet::Secret::Sds(path) => return secret.sds_config == Some(by_file(path)),
        };
        secret.sds_config.is_none() && self.0.get(secret.name.as_str()) == Some(&&source(specifier))
    }
}

/// The certificates and authorities that a gateway may have: its own, and that of all gateways. Envoy adds everything
/// that such a secret has to the contexts that refer to it, so it has nothing but files.
fn certificates(region: &Region) -> Vec<Secret> {
    let pair = |name: &str, pair: &KeyPair| Secret {
        name: name.into(),
        r#type: Some(Type::TlsCertificate(TlsCertificate {
            certificate_chain: Some(file(&pair.certificate)),
            private_key: Some(file(&pair.key)),
            ..Default::default()
        })),
    };
    let authority = CertificateValidationContext {
        trusted_ca: Some(file(&region.gateway.ca)),
        ..Default::default()
    };
    let authority = Secret {
        name: AUTHORITY.into(),
        r#type: Some(Type::ValidationContext(authority)),
    };
    let mut all = vec![pair(GATEWAY, &region.gateway.identity), authority];
    all.extend(region.public.tls.iter().map(|own| pair(PUBLIC, own)));
    all
}

/// The config source of a watched file, reloaded with every move in its directory.
fn by_file(path: &str) -> ConfigSource {
    let end = path.rfind('/').map_or(0, |slash| slash + 1);
    let watched = WatchedDirectory {
        path: path[..end].into(),
        ..Default::default()
    };
    ConfigSource {
        resource_api_version: ApiVersion::V3.into(),
        config_source_specifier: Some(ConfigSourceSpecifier::PathConfigSource(PathConfigSource {
            path: path.into(),
            watched_directory: Some(watched),
            ..Default::default()
        })),
        ..Default::default()
    }
}

/// A file on the gateway.
pub fn file(path: &str) -> DataSource {
    source(Specifier::Filename(path.into()))
}

/// Whether a source is a place on the gateway instead of a value.
pub fn is_place(source: &DataSource) -> bool {
    source.watched_directory.is_none()
        && matches!(
            source.specifier,
            Some(Specifier::Filename(_) | Specifier::EnvironmentVariable(_))
        )
}

fn source(specifier: Specifier) -> DataSource {
    DataSource {
        specifier: Some(specifier),
        ..Default::default()
    }
}

//! References to secrets: places on the gateway, never values.

use super::leak::{Leaks, only};
use envoy_types::pb::envoy::config::core::v3::config_source::ConfigSourceSpecifier;
use envoy_types::pb::envoy::config::core::v3::data_source::Specifier;
use envoy_types::pb::envoy::config::core::v3::{
    ApiVersion, ConfigSource, DataSource, PathConfigSource, WatchedDirectory,
};
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::secret::Type;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{
    GenericSecret, SdsSecretConfig, Secret,
};
use meridian_policy::fleet;
use std::collections::BTreeMap;

/// The snapshot's secrets by name.
pub struct Secrets<'f>(BTreeMap<&'f str, &'f DataSource>);

impl<'f> Secrets<'f> {
    pub fn read(secrets: &'f [Secret], leaks: &mut Leaks) -> Self {
        let mut places = BTreeMap::new();
        for secret in secrets {
            let at = format!("secrets.{}", secret.name);
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

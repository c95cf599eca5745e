//! Why the store does not do what is wanted.

use crate::etcd::EtcdError;
use serde::de::DeserializeOwned;

/// Why the store does not do what is wanted.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The embedded store.
    #[error("{0:#}")]
    Embedded(#[from] anyhow::Error),
    /// etcd has not answered, or with an error. What was to be written may be there.
    #[error(transparent)]
    Etcd(#[from] EtcdError),
    /// There is no connection to etcd.
    #[error("etcd is away")]
    Away,
    /// This replica does not lead, or no longer. Nothing was written.
    #[error("this replica does not lead")]
    NotLeading,
    /// Who wanted it has withdrawn it. Nothing was written.
    #[error("it was withdrawn")]
    Withdrawn,
    /// Other writers were always sooner. Nothing was written.
    #[error("too many changes at once")]
    Busy,
    /// Something in the store cannot be read.
    #[error("{0} in etcd cannot be read: {1}")]
    Unreadable(String, String),
    /// A value cannot be written.
    #[error("the plan cannot be written: {0}")]
    Encode(#[from] std::io::Error),
    /// A record cannot be written.
    #[error("a record cannot be written: {0}")]
    Json(#[from] serde_json::Error),
    /// The keys are of a newer version.
    #[error("the store in etcd is of a newer version of meridian ({0}, this one knows {1})")]
    Newer(u64, u64),
}

/// A value of etcd, as JSON.
pub(super) fn json<T: DeserializeOwned>(what: &str, value: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(value)
        .map_err(|error| StoreError::Unreadable(what.to_owned(), error.to_string()))
}

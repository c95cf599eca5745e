//! A client of etcd, as far as the control plane needs one: transactions, a watch and leases, below one prefix of keys.
//!
//! It is generated from the part of etcd's API in `proto/etcd`, without a protoc. Each call has a time limit: an etcd that hangs is one
//! that is away.

mod address;
mod client;
mod watch;

#[cfg(test)]
pub(crate) mod process;

pub use address::{Address, AddressError, TlsFiles};
pub use client::{Client, Guard, Step, Transaction};
pub use watch::{Change, Watch};

/// Why a call has failed.
#[derive(Debug, thiserror::Error)]
pub enum EtcdError {
    /// A file for TLS cannot be read.
    #[error("{0}: {1}")]
    File(String, std::io::Error),
    /// The address cannot be connected to.
    #[error("etcd at {0}: {1}")]
    Connect(String, String),
    /// No answer came in time. A change may have been made.
    #[error("etcd has not answered within {} s", client::TIMEOUT.as_secs())]
    Timeout,
    /// It has answered with an error, or the connection broke: a change may have been made.
    #[error("etcd: {}", .0.message())]
    Status(#[from] tonic::Status),
    /// The watch has ended.
    #[error("etcd has ended the watch: {0}")]
    WatchEnded(String),
    /// The lease has ended.
    #[error("the lease in etcd has ended")]
    LeaseEnded,
}

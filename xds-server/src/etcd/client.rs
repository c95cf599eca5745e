//! Calls of one member of etcd. Keys are given without the prefix.

use super::watch::Watch;
use super::{Address, EtcdError, TlsFiles};
use meridian_proto::etcd::compare::{CompareTarget, TargetUnion};
use meridian_proto::etcd::kv_client::KvClient;
use meridian_proto::etcd::lease_client::LeaseClient;
use meridian_proto::etcd::request_op::Request as Operation;
use meridian_proto::etcd::response_op::Response as Outcome;
use meridian_proto::etcd::watch_client::WatchClient;
use meridian_proto::etcd::{
    Compare, DeleteRangeRequest, KeyValue, LeaseGrantRequest, LeaseKeepAliveRequest,
    LeaseRevokeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest,
};
use std::time::Duration;
use tokio::time::timeout;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

/// The longest time for a call.
pub(super) const TIMEOUT: Duration = Duration::from_secs(2);

/// The longest time for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// The largest answer, in bytes: a thousand records of the audit log, each as long as a record may be.
const LARGEST: usize = 64 << 20;

/// A connection to a member of etcd. A clone shares it.
#[derive(Clone, Debug)]
pub struct Client {
    channel: Channel,
    prefix: String,
}

/// What must hold for a transaction.
#[derive(Clone, Debug)]
pub enum Guard {
    /// A key was created at this revision and has been there since.
    CreatedAt(String, i64),
    /// There is no such key.
    Absent(String),
    /// There is such a key.
    Present(String),
}

/// A step of a transaction.
#[derive(Clone, Debug)]
pub enum Step {
    /// A value for a key; it ends with the lease, unless that is 0.
    Put {
        /// The key.
        key: String,
        /// The value.
        value: Vec<u8>,
        /// The lease.
        lease: i64,
    },
    /// A key is removed, or all keys that begin with a text that ends in `/`.
    Delete(String),
    /// The value of a key, or of all keys that begin with a text that ends in `/`, at most so many, in the order of keys.
    Read {
        /// The key, or the beginning of keys.
        key: String,
        /// At most so many; 0 for all.
        limit: usize,
        /// The last ones first.
        last: bool,
    },
}

/// What a transaction has done.
#[derive(Clone, Debug)]
pub struct Transaction {
    /// Whether all guards held. Otherwise nothing was done.
    pub succeeded: bool,
    /// The revision of the store after it.
    pub revision: i64,
    /// What each [`Step::Read`] has found. Keys are without the prefix.
    pub read: Vec<Vec<KeyValue>>,
}

impl Step {
    /// A value that stays.
    pub fn put(key: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        Self::Put {
            key: key.into(),
            value: value.into(),
            lease: 0,
        }
    }

    /// Reads a key, or all keys that begin with a text that ends in `/`.
    pub fn read(key: impl Into<String>) -> Self {
        Self::Read {
            key: key.into(),
            limit: 0,
            last: false,
        }
    }
}

impl Client {
    /// Connects to one of the members.
    ///
    /// # Errors
    /// It cannot be reached, or a file cannot be read.
    pub async fn connect(address: &Address, member: usize) -> Result<Self, EtcdError> {
        let member = &address.members[member % address.members.len()];
        let refused =
            |error: &dyn std::error::Error| EtcdError::Connect(member.clone(), chain(error));
        let scheme = if address.tls.is_some() {
            "https"
        } else {
            "http"
        };
        let endpoint = Endpoint::from_shared(format!("{scheme}://{member}"));
        let mut endpoint = endpoint
            .map_err(|error| refused(&error))?
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true);
        if let Some(files) = &address.tls {
            let tls = tls(files)?;
            endpoint = endpoint.tls_config(tls).map_err(|error| refused(&error))?;
        }
        let channel = endpoint.connect().await.map_err(|error| refused(&error))?;
        Ok(Self {
            channel,
            prefix: address.prefix.clone(),
        })
    }

    fn kv(&self) -> KvClient<Channel> {
        KvClient::new(self.channel.clone()).max_decoding_message_size(LARGEST)
    }

    fn key(&self, key: &str) -> Vec<u8> {
        [&self.prefix, key].concat().into_bytes()
    }

    /// The end of all keys that begin with a text that ends in `/`; empty for one key.
    fn range_end(&self, key: &str) -> Vec<u8> {
        if key.ends_with('/') || key.is_empty() {
            end_of(&self.key(key))
        } else {
            Vec::new()
        }
    }

    /// Does all steps, or none if a guard does not hold.
    ///
    /// # Errors
    /// No answer came; all steps may have been done, or none.
    pub async fn transact(
        &self,
        guards: impl IntoIterator<Item = Guard>,
        steps: impl IntoIterator<Item = Step>,
    ) -> Result<Transaction, EtcdError> {
        let request = TxnRequest {
            compare: guards
                .into_iter()
                .map(|guard| self.compare(guard))
                .collect(),
            success: steps.into_iter().map(|step| self.operation(step)).collect(),
        };
        let answer = in_time(self.kv().txn(request)).await?;
        let read = answer.responses.into_iter().filter_map(|outcome| {
            let Some(Outcome::ResponseRange(range)) = outcome.response else {
                return None;
            };
            let kvs = range.kvs.into_iter().filter_map(|mut kv| {
                kv.key = kv.key.strip_prefix(self.prefix.as_bytes())?.to_vec();
                Some(kv)
            });
            Some(kvs.collect())
        });
        Ok(Transaction {
            succeeded: answer.succeeded,
            revision: answer
                .header
                .map(|header| header.revision)
                .unwrap_or_default(),
            read: read.collect(),
        })
    }

    fn compare(&self, guard: Guard) -> Compare {
        let (key, greater, revision) = match guard {
            Guard::CreatedAt(key, revision) => (key, false, revision),
            Guard::Absent(key) => (key, false, 0),
            Guard::Present(key) => (key, true, 0),
        };
        Compare {
            result: i32::from(greater),
            target: CompareTarget::Create.into(),
            key: self.key(&key),
            target_union: Some(TargetUnion::CreateRevision(revision)),
        }
    }

    fn operation(&self, step: Step) -> RequestOp {
        let request = match step {
            Step::Put { key, value, lease } => Operation::RequestPut(PutRequest {
                key: self.key(&key),
                value,
                lease,
            }),
            Step::Delete(key) => Operation::RequestDeleteRange(DeleteRangeRequest {
                range_end: self.range_end(&key),
                key: self.key(&key),
            }),
            Step::Read { key, limit, last } => {
                let range_end = self.range_end(&key);
                Operation::RequestRange(RangeRequest {
                    key: self.key(&key),
                    range_end,
                    limit: i64::try_from(limit).unwrap_or(i64::MAX),
                    sort_order: if last { 2 } else { 1 },
                })
            }
        };
        RequestOp {
            request: Some(request),
        }
    }

    /// The values from one key up to another, which is left out, at most so many.
    ///
    /// # Errors
    /// No answer came.
    pub async fn between(
        &self,
        from: &str,
        to: &str,
        limit: usize,
    ) -> Result<Vec<KeyValue>, EtcdError> {
        let request = RangeRequest {
            key: self.key(from),
            range_end: self.key(to),
            limit: i64::try_from(limit).unwrap_or(i64::MAX),
            sort_order: 1,
        };
        Ok(in_time(self.kv().range(request)).await?.kvs)
    }

    /// A new lease of so many seconds.
    ///
    /// # Errors
    /// No answer came.
    pub async fn grant(&self, seconds: i64) -> Result<i64, EtcdError> {
        let request = LeaseGrantRequest { ttl: seconds };
        let mut lease = LeaseClient::new(self.channel.clone());
        Ok(in_time(lease.lease_grant(request)).await?.id)
    }

    /// Renews a lease.
    ///
    /// # Errors
    /// It has ended, or no answer came.
    pub async fn keep_alive(&self, lease: i64) -> Result<(), EtcdError> {
        let request = LeaseKeepAliveRequest { id: lease };
        let mut client = LeaseClient::new(self.channel.clone());
        let renewed = in_time(async {
            let once = tokio_stream::once(request);
            let answers = client
                .lease_keep_alive(once)
                .await?
                .into_inner()
                .message()
                .await?;
            Ok(tonic::Response::new(answers))
        });
        match renewed.await? {
            Some(answer) if answer.ttl > 0 => Ok(()),
            _ => Err(EtcdError::LeaseEnded),
        }
    }

    /// Ends a lease, and removes its keys.
    ///
    /// # Errors
    /// No answer came, or it has ended already.
    pub async fn revoke(&self, lease: i64) -> Result<(), EtcdError> {
        let request = LeaseRevokeRequest { id: lease };
        let mut client = LeaseClient::new(self.channel.clone());
        in_time(client.lease_revoke(request)).await.map(|_| ())
    }

    /// Watches all keys from a revision on.
    ///
    /// # Errors
    /// No answer came.
    pub async fn watch(&self, from: i64) -> Result<Watch, EtcdError> {
        let client = WatchClient::new(self.channel.clone()).max_decoding_message_size(LARGEST);
        let key = self.key("");
        let end = end_of(&key);
        match timeout(TIMEOUT, Watch::start(client, key, end, from)).await {
            Ok(watch) => watch,
            Err(_) => Err(EtcdError::Timeout),
        }
    }
}

/// The key after all keys that begin with this one.
fn end_of(key: &[u8]) -> Vec<u8> {
    let mut end = key.to_vec();
    // Every prefix ends with `/`.
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    end
}

async fn in_time<T>(
    call: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>,
) -> Result<T, EtcdError> {
    match timeout(TIMEOUT, call).await {
        Ok(answer) => Ok(answer?.into_inner()),
        Err(_) => Err(EtcdError::Timeout),
    }
}

fn tls(files: &TlsFiles) -> Result<ClientTlsConfig, EtcdError> {
    let read = |path: &std::path::Path| {
        std::fs::read(path).map_err(|error| EtcdError::File(path.display().to_string(), error))
    };
    let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(read(&files.ca)?));
    Ok(match &files.identity {
        Some((certificate, key)) => {
            tls.identity(Identity::from_pem(read(certificate)?, read(key)?))
        }
        None => tls,
    })
}

/// An error with what caused it: tonic's own says `transport error` alone.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

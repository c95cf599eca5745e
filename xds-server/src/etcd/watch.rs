//! A watch of all keys below the prefix.

use super::EtcdError;
use futures_util::StreamExt;
use meridian_proto::etcd::event::EventType;
use meridian_proto::etcd::watch_client::WatchClient;
use meridian_proto::etcd::watch_request::RequestUnion;
use meridian_proto::etcd::{WatchCreateRequest, WatchRequest, WatchResponse};
use tonic::Streaming;
use tonic::transport::Channel;

/// One change of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The key, without the prefix.
    pub key: String,
    /// The new value; `None` if the key was removed.
    pub value: Option<Vec<u8>>,
    /// The revision of the change.
    pub revision: i64,
    /// The revision at which the key was created.
    pub created: i64,
    /// The lease of the key, or 0.
    pub lease: i64,
}

/// A watch.
#[derive(Debug)]
pub struct Watch {
    prefix: Vec<u8>,
    changes: Streaming<WatchResponse>,
}

impl Watch {
    pub(super) async fn start(
        mut client: WatchClient<Channel>,
        prefix: Vec<u8>,
        range_end: Vec<u8>,
        start_revision: i64,
    ) -> Result<Self, EtcdError> {
        let create = WatchRequest {
            request_union: Some(RequestUnion::CreateRequest(WatchCreateRequest {
                key: prefix.clone(),
                range_end,
                start_revision,
            })),
        };
        // The stream of requests stays open: its end would end the watch.
        let requests = tokio_stream::once(create).chain(tokio_stream::pending());
        let changes = client.watch(requests).await?.into_inner();
        Ok(Self { prefix, changes })
    }

    /// The next changes, in the order of their revisions. May be none.
    ///
    /// # Errors
    /// The watch has ended: its revision is no longer kept, or the connection broke.
    pub async fn next(&mut self) -> Result<Vec<Change>, EtcdError> {
        let answer = self.changes.message().await?;
        let answer =
            answer.ok_or_else(|| EtcdError::WatchEnded("the connection is closed".into()))?;
        if answer.canceled {
            let why = match answer.compact_revision {
                0 => answer.cancel_reason,
                revision => format!("everything before revision {revision} was compacted"),
            };
            return Err(EtcdError::WatchEnded(why));
        }
        let changes = answer.events.into_iter().filter_map(|event| {
            let removed = event.r#type() == EventType::Delete;
            let kv = event.kv?;
            let key = kv.key.strip_prefix(self.prefix.as_slice())?;
            Some(Change {
                key: String::from_utf8_lossy(key).into_owned(),
                value: (!removed).then_some(kv.value),
                revision: kv.mod_revision,
                created: kv.create_revision,
                lease: kv.lease,
            })
        });
        Ok(changes.collect())
    }
}

//! The task of one stream: passes requests and states to the [`Stream`](crate::xds::stream::Stream), and sends its
//! pushes.

use super::inbound::Inbound;
use super::variant::Variant;
use crate::xds::hub::{Connection, Hub};
use crate::xds::identity::{Peer, Trust};
use crate::xds::resource_type::ResourceType;
use crate::xds::resources::Resources;
use crate::xds::response::Response;
use crate::xds::status::Client;
use crate::xds::subscription::{Push, Verdict};
use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::config::core::v3::node::UserAgentVersionType;
use meridian_policy::RegionName;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{self, Sender};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;
use tonic::Status;
use tracing::Instrument;

/// What the tasks of all streams share.
#[derive(Clone)]
pub(super) struct Shared {
    pub hub: Arc<Hub>,
    pub trust: Arc<Trust>,
    /// Becomes true when the server shuts down.
    pub stopped: watch::Receiver<bool>,
    /// A place for each stream that may be open.
    pub places: Arc<Semaphore>,
    /// How long a stream may be open without a request.
    pub first_request: Duration,
}

/// Serves one stream until the client leaves or the server shuts down.
pub(super) async fn run<V: Variant>(
    shared: Shared,
    peer: Peer,
    remote: Option<SocketAddr>,
    mut inbound: Inbound,
    sender: Sender<Result<Response, Status>>,
) {
    let mut stopped = shared.stopped.clone();
    let first = tokio::select! {
        _ = stopped.wait_for(|stopped| *stopped) => return,
        () = sender.closed() => return,
        first = timeout(shared.first_request, inbound.message::<V::Request>()) => first,
    };
    let refuse = async |reason, status: Status| {
        shared.hub.count_refused(reason);
        tracing::warn!(?remote, refused = status.message(), "stream refused");
        // Fails only if the client is gone.
        let _gone = sender.send(Err(status)).await;
    };
    let mut first = match first {
        Ok(Ok(Some(first))) => first,
        Ok(Ok(None)) => return, // It left without a word.
        Ok(Err(status)) => return refuse("unreadable", status).await,
        Err(_) => {
            let message = format!("no request within {:?}", shared.first_request);
            return refuse("silent", Status::deadline_exceeded(message)).await;
        }
    };
    let node = V::node(&mut first);
    let region = match shared.trust.region(&peer, node.as_ref()) {
        Ok(region) => region,
        Err(refused) => return refuse(refused.reason(), refused.into()).await,
    };
    let client = client::<V>(region, remote, node.unwrap_or_default());
    let span = tracing::info_span!(
        "xds",
        node = client.node,
        region = client.region.as_str(),
        wire = client.wire.label()
    );
    let session = Session {
        region: client.region.clone(),
        given: None,
        connection: shared.hub.connect(client.clone()),
        hub: shared.hub.clone(),
    };
    async {
        tracing::info!(?remote, user_agent = client.user_agent, "connected");
        let left = tokio::select! {
            _ = stopped.wait_for(|stopped| *stopped) => "shutdown".to_owned(),
            left = session.exchange::<V>(first, inbound, &sender) => left,
        };
        tracing::info!(why = left, "disconnected");
    }
    .instrument(span)
    .await;
}

fn client<V: Variant>(region: RegionName, remote: Option<SocketAddr>, node: Node) -> Client {
    let version = match node.user_agent_version_type {
        Some(UserAgentVersionType::UserAgentVersion(version)) => version,
        Some(UserAgentVersionType::UserAgentBuildVersion(build)) => {
            let version = build.version.unwrap_or_default();
            let (major, minor, patch) = (version.major_number, version.minor_number, version.patch);
            format!("{major}.{minor}.{patch}")
        }
        None => String::new(),
    };
    Client {
        node: node.id,
        region,
        remote,
        wire: V::WIRE,
        user_agent: format!("{} {version}", node.user_agent_name)
            .trim()
            .to_owned(),
        connected: Instant::now(),
    }
}

struct Session {
    hub: Arc<Hub>,
    region: RegionName,
    connection: Connection,
    given: Option<Arc<Resources>>,
}

impl Session {
    /// Serves the stream until the client leaves. Returns the reason.
    async fn exchange<V: Variant>(
        mut self,
        first: V::Request,
        mut inbound: Inbound,
        sender: &Sender<Result<Response, Status>>,
    ) -> String {
        let mut published = self.hub.watch();
        let mut next = Some(first);
        loop {
            // Reserve room for all types first: a client that does not read gets no state, and its requests are not
            // read.
            let Ok(room) = sender.reserve_many(ResourceType::ALL.len()).await else {
                return "closed by the client".to_owned();
            };
            // A new state first: a request that waits is answered with it, not with the one before.
            let pushes = if let Some(resources) = self.hub.newer(&self.region, self.given.as_ref())
            {
                self.given = Some(Arc::clone(&resources));
                self.connection.stream().update(resources)
            } else if let Some(request) = next.take() {
                self.handle_request::<V>(&request)
            } else {
                tokio::select! {
                    message = inbound.message::<V::Request>() => match message {
                        Ok(Some(request)) => next = Some(request),
                        Ok(None) => return "closed by the client".to_owned(),
                        Err(status) => return status.to_string(),
                    },
                    // The hub outlives its streams, so this cannot fail.
                    _ = published.changed() => {}
                    () = sender.closed() => return "closed by the client".to_owned(),
                }
                continue;
            };
            if let Err(error) = self.send::<V>(pushes, room) {
                return error;
            }
        }
    }

    fn handle_request<V: Variant>(&self, request: &V::Request) -> Vec<Push> {
        let url = V::type_url(request);
        let Some(kind) = ResourceType::from_type_url(url) else {
            tracing::debug!(url, "a type that is not served");
            return Vec::new();
        };
        let (verdict, pushes) = V::request(&mut self.connection.stream(), kind, request);
        match verdict {
            Some(Verdict::Ack) => self.hub.count_ack(kind),
            Some(Verdict::Nack(nack)) => {
                self.hub.count_nack(kind);
                let (kind, version) = (kind.label(), nack.version);
                tracing::warn!(
                    kind,
                    version,
                    message = nack.message,
                    "rejected by the client"
                );
            }
            None => {}
        }
        pushes
    }

    /// Sends pushes. Fails if one of them is too long for a message.
    fn send<V: Variant>(
        &self,
        pushes: Vec<Push>,
        room: mpsc::PermitIterator<'_, Result<Response, Status>>,
    ) -> Result<(), String> {
        // There is room: a state causes at most one push per type.
        for (push, place) in pushes.into_iter().zip(room) {
            let kind = push.kind;
            let (sent, removed) = (push.resources.len(), push.removed.len());
            let Some(response) = Response::new(&push, V::WIRE) else {
                let message = format!("too many resources for a response: {}", kind.label());
                place.send(Err(Status::out_of_range(&message)));
                return Err(message);
            };
            tracing::debug!(
                kind = kind.label(),
                version = &*push.version,
                sent,
                removed,
                "push"
            );
            self.hub.count_push(kind);
            place.send(Ok(response));
        }
        Ok(())
    }
}

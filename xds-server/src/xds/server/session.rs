//! One stream's task: carries requests and states to the [`Stream`](crate::xds::stream::Stream), and its answers back.

use super::ads::{Ads, Form};
use crate::xds::hub::{Connection, Hub};
use crate::xds::identity::{Peer, Refused};
use crate::xds::resources::{ResourceType, Resources};
use crate::xds::status::Client;
use crate::xds::subscription::{Answer, Verdict};
use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::config::core::v3::node::UserAgentVersionType;
use meridian_policy::RegionName;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;
use tokio::sync::mpsc::{self, Sender};
use tonic::{Status, Streaming};
use tracing::Instrument;

pub(super) async fn run<F: Form>(
    ads: Ads,
    peer: Peer,
    remote: Option<SocketAddr>,
    mut inbound: Streaming<F::Request>,
    sender: Sender<Result<F::Response, Status>>,
) {
    let mut stopped = ads.stopped.clone();
    let first = tokio::select! {
        _ = stopped.wait_for(|stopped| *stopped) => return,
        () = sender.closed() => return,
        first = inbound.message() => first,
    };
    let Ok(Some(mut first)) = first else {
        return; // It left without a word.
    };
    let node = F::node(&mut first);
    let region = match ads.trust.region(&peer, node.as_ref()) {
        Ok(region) => region,
        Err(refused) => return refuse(&ads.hub, remote, refused, &sender).await,
    };
    let client = client::<F>(region, remote, node.unwrap_or_default());
    let span = tracing::info_span!(
        "xds",
        node = client.node,
        region = client.region.as_str(),
        wire = client.wire.label()
    );
    let session = Session {
        region: client.region.clone(),
        given: None,
        connection: ads.hub.connect(client.clone()),
        hub: ads.hub,
    };
    async {
        tracing::info!(?remote, user_agent = client.user_agent, "connected");
        let left = tokio::select! {
            _ = stopped.wait_for(|stopped| *stopped) => "shutdown".to_owned(),
            left = session.exchange::<F>(first, inbound, &sender) => left,
        };
        tracing::info!(why = left, "disconnected");
    }
    .instrument(span)
    .await;
}

async fn refuse<R>(
    hub: &Hub,
    remote: Option<SocketAddr>,
    refused: Refused,
    sender: &Sender<Result<R, Status>>,
) {
    hub.count_refused(refused.reason());
    tracing::warn!(?remote, %refused, "stream refused");
    // Fails only if nobody is there any more to be told.
    let _gone = sender.send(Err(refused.into())).await;
}

fn client<F: Form>(region: RegionName, remote: Option<SocketAddr>, node: Node) -> Client {
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
        wire: F::WIRE,
        user_agent: format!("{} {version}", node.user_agent_name)
            .trim()
            .to_owned(),
        connected: SystemTime::now(),
    }
}

struct Session {
    hub: Arc<Hub>,
    region: RegionName,
    connection: Connection,
    given: Option<Arc<Resources>>,
}

impl Session {
    /// Until the client leaves: why it left.
    async fn exchange<F: Form>(
        mut self,
        first: F::Request,
        mut inbound: Streaming<F::Request>,
        sender: &Sender<Result<F::Response, Status>>,
    ) -> String {
        let mut published = self.hub.watch();
        let mut next = Some(first);
        loop {
            // Room for all types first: while a client does not read, it gets no state and no request of it is read.
            let Ok(room) = sender.reserve_many(ResourceType::ALL.len()).await else {
                return "closed by the client".to_owned();
            };
            let answers = if let Some(request) = next.take() {
                self.hear::<F>(&request)
            } else if let Some(resources) = self.hub.newer(&self.region, self.given.as_ref()) {
                self.given = Some(Arc::clone(&resources));
                self.connection.stream().update(resources)
            } else {
                tokio::select! {
                    message = inbound.message() => match message {
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
            self.send::<F>(answers, room);
        }
    }

    fn hear<F: Form>(&self, request: &F::Request) -> Vec<Answer> {
        let url = F::type_url(request);
        let Some(kind) = ResourceType::from_type_url(url) else {
            tracing::debug!(url, "a type that is not served");
            return Vec::new();
        };
        let (verdict, answers) = F::request(&mut self.connection.stream(), kind, request);
        match verdict {
            Some(Verdict::Ack) => self.hub.count_ack(kind),
            Some(Verdict::Nack(nack)) => {
                self.hub.count_nack(kind);
                let (kind, version) = (kind.label(), nack.version);
                tracing::warn!(
                    kind,
                    version,
                    message = nack.message,
                    "refused by the client"
                );
            }
            None => {}
        }
        answers
    }

    fn send<F: Form>(
        &self,
        answers: Vec<Answer>,
        room: mpsc::PermitIterator<'_, Result<F::Response, Status>>,
    ) {
        // A state has at most one answer for each type: there is room for all of them.
        for (answer, place) in answers.into_iter().zip(room) {
            let kind = answer.kind;
            let (sent, removed) = (answer.resources.len(), answer.removed.len());
            tracing::debug!(
                kind = kind.label(),
                version = answer.version,
                sent,
                removed,
                "push"
            );
            self.hub.count_push(kind);
            place.send(Ok(F::response(answer)));
        }
    }
}

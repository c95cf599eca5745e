//! One gateway's stream: subscribes as Envoy does, accepts everything, and remembers what it has.

use super::codec::{Counting, DeltaResponse, SotwResponse};
use anyhow::Result;
use envoy_types::pb::envoy::config::core::v3::{Locality, Node};
use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DiscoveryRequest};
use meridian_xds_server::xds::{PerType, ResourceType};
use prost::Message;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::mpsc;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

/// Names that gateways of a region ask for, by type. Clusters and listeners are asked for by wildcard.
pub type Names = PerType<Vec<Arc<str>>>;

/// What a gateway has, and keeps while it is not connected.
#[derive(Clone, Debug, Default)]
pub struct Held {
    /// Delta: versions by name.
    pub versions: PerType<HashMap<Arc<str>, Arc<str>>>,
    /// SotW: the version of each type.
    pub version: PerType<String>,
}

/// A response, as far as it is of interest.
#[derive(Debug)]
pub struct Response {
    pub kind: ResourceType,
    pub bytes: usize,
    nonce: String,
    version: String,
    changed: Vec<(String, String)>,
    removed: Vec<String>,
}

/// One variant of the protocol on one stream.
pub enum Stream {
    Sotw(
        mpsc::UnboundedSender<DiscoveryRequest>,
        Streaming<(SotwResponse, usize)>,
    ),
    Delta(
        mpsc::UnboundedSender<DeltaDiscoveryRequest>,
        Streaming<(DeltaResponse, usize)>,
    ),
}

/// The types that Envoy subscribes to once it has another one.
pub fn follow(kind: ResourceType) -> &'static [ResourceType] {
    use ResourceType::{Cluster, Endpoint, Extension, Listener, Route, Secret};
    match kind {
        Cluster => &[Endpoint, Secret, Listener],
        Listener => &[Extension, Route],
        _ => &[],
    }
}

impl Stream {
    /// Opens a stream for a gateway of a region, and asks for clusters.
    pub async fn open(
        channel: Channel,
        delta: bool,
        region: &str,
        held: &Held,
    ) -> Result<Self, Status> {
        let node = Some(Node {
            id: format!("bench-{region}"),
            user_agent_name: "bench".to_owned(),
            locality: Some(Locality {
                region: region.to_owned(),
                ..Default::default()
            }),
            ..Default::default()
        });
        let kind = ResourceType::Cluster;
        if delta {
            let (sender, receiver) = mpsc::unbounded_channel();
            let mut first = delta_request(kind, &[], held);
            first.node = node;
            let _open = sender.send(first);
            let responses = call(channel, "DeltaAggregatedResources", receiver).await?;
            Ok(Self::Delta(sender, responses))
        } else {
            let (sender, receiver) = mpsc::unbounded_channel();
            let mut first = sotw_request(kind, &[], held);
            first.node = node;
            let _open = sender.send(first);
            let responses = call(channel, "StreamAggregatedResources", receiver).await?;
            Ok(Self::Sotw(sender, responses))
        }
    }

    /// Subscribes to a type. An error means that the stream has ended, which the next response says.
    pub fn subscribe(&self, kind: ResourceType, names: &[Arc<str>], held: &Held) {
        match self {
            Self::Sotw(sender, _) => {
                let _ended = sender.send(sotw_request(kind, names, held));
            }
            Self::Delta(sender, _) => {
                let _ended = sender.send(delta_request(kind, names, held));
            }
        }
    }

    /// The next response of a type that is known; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Response>, Status> {
        Ok(match self {
            Self::Sotw(_, responses) => {
                responses
                    .message()
                    .await?
                    .map(|(response, bytes)| Response {
                        kind: kind(&response.type_url),
                        bytes,
                        nonce: response.nonce,
                        version: response.version_info,
                        changed: Vec::new(),
                        removed: Vec::new(),
                    })
            }
            Self::Delta(_, responses) => responses.message().await?.map(|(response, bytes)| {
                let changed = response.resources.into_iter();
                Response {
                    kind: kind(&response.type_url),
                    bytes,
                    nonce: response.nonce,
                    version: String::new(),
                    changed: changed.map(|each| (each.name, each.version)).collect(),
                    removed: response.removed_resources,
                }
            }),
        })
    }

    /// Takes what a response says, and accepts it.
    pub fn accept(
        &self,
        response: Response,
        names: &[Arc<str>],
        held: &mut Held,
        share: impl Fn(&str) -> Arc<str>,
    ) {
        let Response {
            kind,
            nonce,
            version,
            changed,
            removed,
            ..
        } = response;
        match self {
            Self::Sotw(sender, _) => {
                held.version[kind] = version;
                let request = DiscoveryRequest {
                    response_nonce: nonce,
                    ..sotw_request(kind, names, held)
                };
                let _ended = sender.send(request);
            }
            Self::Delta(sender, _) => {
                let versions = &mut held.versions[kind];
                for (name, version) in changed {
                    versions.insert(share(&name), share(&version));
                }
                for name in &removed {
                    versions.remove(name.as_str());
                }
                let request = DeltaDiscoveryRequest {
                    type_url: kind.type_url().to_owned(),
                    response_nonce: nonce,
                    ..Default::default()
                };
                let _ended = sender.send(request);
            }
        }
    }
}

impl Response {
    /// Names and sizes are of interest to the scout.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.changed.iter().map(|(name, _)| name.as_str())
    }
}

fn kind(url: &str) -> ResourceType {
    // The control plane sends what was asked for.
    ResourceType::from_type_url(url).unwrap_or(ResourceType::Secret)
}

fn strings(names: &[Arc<str>]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

fn sotw_request(kind: ResourceType, names: &[Arc<str>], held: &Held) -> DiscoveryRequest {
    DiscoveryRequest {
        type_url: kind.type_url().to_owned(),
        resource_names: strings(names),
        version_info: held.version[kind].clone(),
        ..Default::default()
    }
}

fn delta_request(kind: ResourceType, names: &[Arc<str>], held: &Held) -> DeltaDiscoveryRequest {
    let versions = held.versions[kind].iter();
    DeltaDiscoveryRequest {
        type_url: kind.type_url().to_owned(),
        resource_names_subscribe: strings(names),
        initial_resource_versions: versions
            .map(|(name, version)| (name.to_string(), version.to_string()))
            .collect(),
        ..Default::default()
    }
}

async fn call<Q: Message + 'static, S: Message + Default + 'static>(
    channel: Channel,
    method: &str,
    requests: mpsc::UnboundedReceiver<Q>,
) -> Result<Streaming<(S, usize)>, Status> {
    let requests = futures_util::stream::unfold(requests, async |mut requests| {
        let request = requests.recv().await?;
        Some((request, requests))
    });
    let mut grpc = tonic::client::Grpc::new(channel).max_decoding_message_size(256 << 20);
    grpc.ready()
        .await
        .map_err(|error| Status::unavailable(error.to_string()))?;
    let path = format!("/envoy.service.discovery.v3.AggregatedDiscoveryService/{method}");
    let path = path.parse().map_err(|_| Status::internal("an odd path"))?;
    let request = tonic::Request::new(requests);
    let response = grpc.streaming(request, path, Counting::<Q, S>::default());
    Ok(response.await?.into_inner())
}

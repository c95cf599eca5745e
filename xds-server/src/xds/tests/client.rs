//! A client of a stream without a network. It describes responses in short texts: `cluster a@1 b@2 -c` is a push of the
//! clusters `a` and `b` that removes `c`.

use crate::xds::Resource;
use crate::xds::resource_type::{PerType, ResourceType};
use crate::xds::resources::Resources;
use crate::xds::response::Response;
use crate::xds::status::{Nack, TypeStatus, Wire};
use crate::xds::stream::Stream;
use crate::xds::subscription::{Push, Verdict};
use crate::xds::{delta, sotw};
use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::cluster::v3::cluster::{ClusterDiscoveryType, DiscoveryType};
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use envoy_types::pb::google::protobuf::Any;
use envoy_types::pb::google::rpc::Status;
use prost::Message;
use std::sync::Arc;

pub const REFUSAL: &str = "no such thing";

/// A resource whose body holds its name and version. Clusters use EDS under their own name.
pub fn resource(kind: ResourceType, name: &str, version: &str) -> Resource {
    let value = if kind == ResourceType::Cluster {
        let eds = DiscoveryType::Eds.into();
        let cluster = Cluster {
            name: name.to_owned(),
            alt_stat_name: version.to_owned(),
            cluster_discovery_type: Some(ClusterDiscoveryType::Type(eds)),
            ..Default::default()
        };
        cluster.encode_to_vec()
    } else {
        format!("{name}@{version}").into_bytes()
    };
    Resource {
        version: version.to_owned(),
        body: Any {
            type_url: kind.type_url().to_owned(),
            value,
        },
    }
}

/// `name@version` of a body that [`resource`] made.
pub fn read(body: &Any) -> String {
    if ResourceType::from_type_url(&body.type_url) == Some(ResourceType::Cluster) {
        let cluster = Cluster::decode(body.value.as_slice()).unwrap();
        format!("{}@{}", cluster.name, cluster.alt_stat_name)
    } else {
        String::from_utf8(body.value.clone()).unwrap()
    }
}

/// `cluster a@1 b@2 | route r@1`.
pub fn resources(text: &str) -> Arc<Resources> {
    let mut resources = Resources::default();
    for part in text.split('|').filter(|part| !part.trim().is_empty()) {
        let mut words = part.split_whitespace();
        let label = words.next().unwrap();
        let kind = ResourceType::ALL
            .into_iter()
            .find(|kind| kind.label() == label);
        let kind = kind.unwrap();
        for word in words {
            let (name, version) = word.split_once('@').unwrap();
            resources.insert(kind, name, resource(kind, name, version));
        }
    }
    Arc::new(resources)
}

pub struct Client {
    wire: Wire,
    stream: Stream,
    /// Nonce and version of the last push.
    last: PerType<(String, String)>,
    /// SotW: what every request repeats.
    names: PerType<Vec<String>>,
    acked: PerType<String>,
    pub verdict: Option<Verdict>,
}

impl Client {
    pub fn new(wire: Wire) -> Self {
        Self {
            wire,
            stream: Stream::new(wire),
            last: PerType::default(),
            names: PerType::from_fn(|_| Vec::new()),
            acked: PerType::default(),
            verdict: None,
        }
    }

    /// The same client on a new stream, with the resources that it has.
    pub fn reconnect(&mut self) {
        self.stream = Stream::new(self.wire);
        self.last = PerType::default();
    }

    pub fn publish(&mut self, text: &str) -> Vec<String> {
        self.update(resources(text))
    }

    pub fn update(&mut self, resources: Arc<Resources>) -> Vec<String> {
        let answers = self.stream.update(resources);
        self.take(answers)
    }

    /// SotW: these are the names now.
    pub fn ask(&mut self, kind: ResourceType, names: &[&str]) -> Vec<String> {
        self.want(kind, names);
        self.send_sotw(kind, None, None)
    }

    /// SotW: the names of the next request.
    pub fn want(&mut self, kind: ResourceType, names: &[&str]) {
        self.names[kind] = names.iter().map(|&name| name.to_owned()).collect();
    }

    /// SotW: a request without a nonce.
    pub fn ask_without_nonce(&mut self, kind: ResourceType) -> Vec<String> {
        self.send_sotw(kind, Some(""), None)
    }

    /// Delta: subscribes to some names and unsubscribes from others.
    pub fn change(&mut self, kind: ResourceType, more: &[&str], less: &[&str]) -> Vec<String> {
        self.send_delta(DeltaDiscoveryRequest {
            type_url: kind.type_url().to_owned(),
            resource_names_subscribe: more.iter().map(|&name| name.to_owned()).collect(),
            resource_names_unsubscribe: less.iter().map(|&name| name.to_owned()).collect(),
            ..Default::default()
        })
    }

    /// Delta: the first request of a stream, with what the client has: `a@1 b@2`.
    pub fn resume(&mut self, kind: ResourceType, names: &[&str], held: &str) -> Vec<String> {
        let held = held
            .split_whitespace()
            .map(|word| word.split_once('@').unwrap());
        let held = held.map(|(name, version)| (name.to_owned(), version.to_owned()));
        self.send_delta(DeltaDiscoveryRequest {
            type_url: kind.type_url().to_owned(),
            resource_names_subscribe: names.iter().map(|&name| name.to_owned()).collect(),
            initial_resource_versions: held.collect(),
            ..Default::default()
        })
    }

    pub fn ack(&mut self, kind: ResourceType) -> Vec<String> {
        self.acked[kind] = self.last[kind].1.clone();
        self.answer(kind, None, None)
    }

    pub fn nack(&mut self, kind: ResourceType) -> Vec<String> {
        self.answer(kind, None, Some(REFUSAL))
    }

    /// An ACK or NACK of some other push than the last.
    pub fn answer(
        &mut self,
        kind: ResourceType,
        nonce: Option<&str>,
        error: Option<&str>,
    ) -> Vec<String> {
        if self.wire == Wire::Sotw {
            return self.send_sotw(kind, nonce, error);
        }
        self.send_delta(DeltaDiscoveryRequest {
            type_url: kind.type_url().to_owned(),
            response_nonce: nonce.unwrap_or(&self.last[kind].0).to_owned(),
            error_detail: error.map(status),
            ..Default::default()
        })
    }

    pub fn nonce(&self, kind: ResourceType) -> String {
        self.last[kind].0.clone()
    }

    pub fn status(&self, kind: ResourceType) -> TypeStatus {
        self.stream.status()[kind].clone().unwrap()
    }

    /// How many names the stream has a list of.
    pub fn listed(&self, kind: ResourceType) -> usize {
        self.stream.listed(kind)
    }

    pub fn refusal(&self, kind: ResourceType) -> Option<Nack> {
        self.status(kind).nack
    }

    pub fn send_sotw(
        &mut self,
        kind: ResourceType,
        nonce: Option<&str>,
        error: Option<&str>,
    ) -> Vec<String> {
        let request = DiscoveryRequest {
            type_url: kind.type_url().to_owned(),
            version_info: self.acked[kind].clone(),
            resource_names: self.names[kind].clone(),
            response_nonce: nonce.unwrap_or(&self.last[kind].0).to_owned(),
            error_detail: error.map(status),
            ..Default::default()
        };
        let (verdict, answers) = sotw::request(&mut self.stream, kind, &request);
        self.verdict = verdict;
        self.take(answers)
    }

    pub fn send_delta(&mut self, request: DeltaDiscoveryRequest) -> Vec<String> {
        let kind = ResourceType::from_type_url(&request.type_url).unwrap();
        let (verdict, answers) = delta::request(&mut self.stream, kind, &request);
        self.verdict = verdict;
        self.take(answers)
    }

    fn take(&mut self, answers: Vec<Push>) -> Vec<String> {
        let texts = answers.into_iter().map(|answer| match self.wire {
            Wire::Sotw => sotw_text(&mut self.last, decoded(&answer, Wire::Sotw)),
            Wire::Delta => delta_text(&mut self.last, decoded(&answer, Wire::Delta)),
        });
        texts.collect()
    }
}

/// A push as the client decodes it.
pub fn decoded<M: Message + Default>(push: &Push, wire: Wire) -> M {
    M::decode(Response::new(push, wire).unwrap().message()).unwrap()
}

fn status(message: &str) -> Status {
    Status {
        message: message.to_owned(),
        ..Default::default()
    }
}

fn sotw_text(last: &mut PerType<(String, String)>, response: DiscoveryResponse) -> String {
    let kind = ResourceType::from_type_url(&response.type_url).unwrap();
    last[kind] = (response.nonce, response.version_info);
    let bodies = response.resources.iter().map(read);
    let words: Vec<String> = [kind.label().to_owned()]
        .into_iter()
        .chain(bodies)
        .collect();
    words.join(" ")
}

fn delta_text(last: &mut PerType<(String, String)>, response: DeltaDiscoveryResponse) -> String {
    let kind = ResourceType::from_type_url(&response.type_url).unwrap();
    last[kind] = (response.nonce, response.system_version_info);
    let mut words = vec![kind.label().to_owned()];
    for resource in &response.resources {
        let text = read(resource.resource.as_ref().unwrap());
        assert_eq!(text, format!("{}@{}", resource.name, resource.version));
        words.push(text);
    }
    let removed = response.removed_resources.iter();
    words.extend(removed.map(|name| format!("-{name}")));
    words.join(" ")
}

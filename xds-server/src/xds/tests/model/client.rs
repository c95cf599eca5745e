//! A client that follows the protocol's description: clusters and listeners by wildcard, other types by name.

use super::message::{Request, Response};
use super::{Content, KINDS, State, Wire, index};
use crate::xds::resource_type::ResourceType;
use std::collections::BTreeSet;

/// A nonce that was never used.
pub(super) const NOBODYS: &str = "nobody's";

#[derive(Default)]
struct Type {
    asked: bool,
    /// Explicit subscriptions.
    names: BTreeSet<String>,
    held: Content,
    version: String,
    /// SotW: the resources of `version`.
    versioned: Content,
    nonce: String,
}

pub(super) struct Client {
    wire: Wire,
    types: [Type; 5],
}

fn by_wildcard(kind: ResourceType) -> bool {
    matches!(kind, ResourceType::Cluster | ResourceType::Listener)
}

impl Client {
    pub fn new(wire: Wire) -> Self {
        Self {
            wire,
            types: Default::default(),
        }
    }

    pub fn subscribe(&mut self, kind: ResourceType, name: &str) -> Option<Request> {
        let wire = self.wire;
        let this = &mut self.types[index(kind)];
        let first = !std::mem::replace(&mut this.asked, true);
        if by_wildcard(kind) && (first || wire == Wire::Sotw) {
            return first.then(|| self.request(kind));
        }
        let new = this.names.insert(name.to_owned());
        if wire == Wire::Sotw {
            return (first || new).then(|| self.request(kind));
        }
        let mut request = self.request(kind);
        request.names = vec![name.to_owned()];
        request.nonce.clear();
        Some(request)
    }

    pub fn unsubscribe(&mut self, kind: ResourceType, name: &str) -> Option<Request> {
        let this = &mut self.types[index(kind)];
        if !this.names.remove(name) {
            return None;
        }
        // It drops the resource even if the wildcard covers it; the server must send it again.
        this.held.remove(name);
        let mut request = self.request(kind);
        if self.wire == Wire::Delta {
            request.less = vec![name.to_owned()];
            request.nonce.clear();
        }
        Some(request)
    }

    pub fn ask_again(&mut self, kind: ResourceType) -> Option<Request> {
        let this = &mut self.types[index(kind)];
        if self.wire == Wire::Delta || !this.asked {
            return None;
        }
        this.nonce.clear();
        Some(self.request(kind))
    }

    pub fn stale(&self, kind: ResourceType) -> Option<Request> {
        let this = &self.types[index(kind)];
        this.asked.then(|| Request {
            nonce: NOBODYS.to_owned(),
            ..self.request(kind)
        })
    }

    /// ACK or NACK.
    pub fn response(&mut self, response: &Response, accept: bool) -> Option<Request> {
        let kind = response.kind;
        let this = &mut self.types[index(kind)];
        this.nonce.clone_from(&response.nonce);
        if accept {
            let wanted = |name: &String| by_wildcard(kind) || this.names.contains(name);
            let news = response
                .resources
                .iter()
                .filter(|(name, _)| wanted(name))
                .cloned();
            let news: Content = news.collect();
            if self.wire == Wire::Sotw && by_wildcard(kind) {
                this.held.clear();
            }
            this.held.extend(news);
            response.removed.iter().for_each(|name| {
                this.held.remove(name);
            });
            this.version.clone_from(&response.version);
            this.versioned = response.resources.iter().cloned().collect();
        }
        let mut request = self.request(kind);
        request.refuses = !accept;
        Some(request)
    }

    /// Subscribes to all types on a new stream.
    pub fn reconnect(&mut self) -> Vec<Request> {
        let mut requests = Vec::new();
        for kind in KINDS {
            let wire = self.wire;
            let this = &mut self.types[index(kind)];
            if !this.asked {
                continue;
            }
            this.nonce.clear();
            let mut lost = this
                .versioned
                .keys()
                .filter(|name| this.names.contains(*name));
            if !by_wildcard(kind) && lost.any(|name| !this.held.contains_key(name)) {
                this.versioned.clear();
                this.version.clear(); // It does not hold any more what this version stands for.
            }
            let mut request = self.request(kind);
            if wire == Wire::Delta {
                let this = &self.types[index(kind)];
                request.names = this.names.iter().cloned().collect();
                if by_wildcard(kind) && !this.names.is_empty() {
                    request.names.push("*".to_owned());
                }
                request.initial.clone_from(&this.held);
            }
            requests.push(request);
        }
        requests
    }

    /// The names in every request of the type.
    fn request(&self, kind: ResourceType) -> Request {
        let this = &self.types[index(kind)];
        let sotw = self.wire == Wire::Sotw;
        Request {
            kind: Some(kind),
            names: this.names.iter().filter(|_| sotw).cloned().collect(),
            version: this.version.clone(),
            versioned: this.versioned.clone(),
            nonce: this.nonce.clone(),
            ..Default::default()
        }
    }

    /// Checks that it has exactly the published resources that it subscribed to.
    pub fn assert_holds(&self, state: &State) {
        for kind in KINDS {
            let this = &self.types[index(kind)];
            let wants =
                |name: &String| this.asked && (by_wildcard(kind) || this.names.contains(name));
            let published = &state[index(kind)];
            let wanted = published.iter().filter(|(name, _)| wants(name));
            let wanted: Content = wanted
                .map(|(name, version)| (name.clone(), version.clone()))
                .collect();
            let mut held = this.held.clone();
            if self.wire == Wire::Sotw && !by_wildcard(kind) {
                held.retain(|name, _| published.contains_key(name)); // It is never told.
            }
            assert_eq!(held, wanted, "{kind:?}");
        }
    }
}

//! Observes the server's messages and checks the protocol's rules.

use super::message::{Request, Response};
use super::{Content, KINDS, State, Wire, index};
use crate::xds::resource_type::ResourceType::{self, Cluster, Endpoint, Listener, Route};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Default)]
struct Type {
    asked: bool,
    wildcard: bool,
    names: BTreeSet<String>,
    /// What the client has accepted, as far as the server can know.
    accepted: Content,
    unanswered: Option<Response>,
    /// Whether the content has changed since that push was made.
    outdated: bool,
    /// Whether the server may have compared the client's initial resources with an older state.
    unsure: bool,
    /// Names of rejected pushes. The client may have applied a part, so they may be sent again.
    unclear: BTreeSet<String>,
    /// Rejected versions by name (`None`: a removal), until the content changes.
    refused: BTreeSet<(String, Option<String>)>,
    refused_whole: Option<Content>,
    /// Whether the last verdict was a rejection.
    refuses: bool,
    /// Names that must be sent again.
    owed: BTreeSet<String>,
    owed_all: bool,
}

pub(super) struct Observer {
    wire: Wire,
    types: [Type; 5],
    state: Option<State>,
}

fn content(response: &Response) -> Content {
    response.resources.iter().cloned().collect()
}

impl Observer {
    pub fn new(wire: Wire) -> Self {
        Self {
            wire,
            types: Default::default(),
            state: None,
        }
    }

    pub fn state(&self) -> Option<&State> {
        self.state.as_ref()
    }

    /// The resources that must be sent on the new stream.
    pub fn reconnected(&mut self) -> Option<State> {
        self.types = Default::default();
        self.state.take()
    }

    pub fn published(&mut self, state: &State) {
        for (place, this) in self.types.iter_mut().enumerate() {
            if self
                .state
                .as_ref()
                .is_none_or(|old| old[place] != state[place])
            {
                this.refused.clear();
                this.refused_whole = None;
                this.outdated = true;
            }
        }
        self.state = Some(state.clone());
    }

    pub fn request(&mut self, request: &Request) {
        self.hear(request);
        let this = &mut self.types[index(request.kind.unwrap())];
        let Type {
            accepted,
            names,
            wildcard,
            ..
        } = this;
        accepted.retain(|name, _| *wildcard || names.contains(name));
    }

    fn hear(&mut self, request: &Request) {
        let kind = request.kind.unwrap();
        let full = matches!(kind, Cluster | Listener);
        let this = &mut self.types[index(kind)];
        let first = !std::mem::replace(&mut this.asked, true);
        let unanswered = this
            .unanswered
            .take_if(|push| !first && push.nonce == request.nonce);
        let answered = unanswered.is_some();
        if let Some(push) = unanswered {
            this.verdict(self.wire, &push, request.refuses);
            let refused = std::mem::replace(&mut this.refuses, request.refuses);
            if refused && !request.refuses {
                self.retry_all_but(kind);
            }
        }
        let this = &mut self.types[index(kind)];
        if self.wire == Wire::Sotw {
            let again = !first && request.nonce.is_empty();
            this.unsure |= first && matches!(kind, Listener | Route) && !request.version.is_empty();
            // The resources of a version are known if they are the ones that would be sent.
            if let Some(state) = self.state.as_ref().filter(|_| first) {
                let mut same = state[index(kind)].clone();
                same.retain(|name, _| full || request.names.contains(name));
                if same == request.versioned {
                    this.accepted = same;
                }
            }
            if again && let Some(push) = this.unanswered.take() {
                this.accepted = content(&push);
            }
            if first || again || answered || this.unanswered.is_none() {
                this.wildcard = full;
                let names: BTreeSet<String> = request.names.iter().cloned().collect();
                this.owed_all |= again || !names.is_subset(&this.names);
                this.names = names;
            }
            return;
        }
        if first {
            this.wildcard = full;
            this.accepted.clone_from(&request.initial);
        } else {
            this.owed.extend(request.names.iter().cloned());
        }
        for name in &request.less {
            this.names.remove(name);
            if this.wildcard {
                this.owed.insert(name.clone());
            } else {
                this.accepted.remove(name);
                this.unclear.remove(name);
            }
        }
        let names = request.names.iter().filter(|name| *name != "*");
        this.names.extend(names.cloned());
    }

    /// Other types may have been rejected because of this one.
    fn retry_all_but(&mut self, kind: ResourceType) {
        for other in KINDS.into_iter().filter(|other| *other != kind) {
            let this = &mut self.types[index(other)];
            this.refused.clear();
            this.refused_whole = None;
        }
    }

    pub fn responses(&mut self, responses: &[Response]) {
        self.check_order(responses);
        // Types that wait for others may come from an older state.
        let mut held_back = false;
        let held_back = KINDS.map(|kind| {
            let before = held_back;
            held_back |= self.types[index(kind)].unanswered.is_some();
            before && matches!(kind, Listener | Route)
        });
        for response in responses {
            self.check(response);
            let kind = response.kind;
            if kind == Cluster {
                let changed = self.changed(response);
                self.types[index(Endpoint)].owed.extend(changed);
            }
            let this = &mut self.types[index(kind)];
            this.unanswered = Some(response.clone());
            this.outdated = held_back[index(kind)];
            this.owed.clear();
            this.owed_all = false;
        }
    }

    /// Additions and changes come in push order, then pushes that only remove.
    fn check_order(&self, responses: &[Response]) {
        let order = responses.iter().map(|response| {
            let only_removes = self.removes(response) && self.changed(response).is_empty();
            (only_removes, (!only_removes).then_some(response.kind))
        });
        let order: Vec<(bool, Option<ResourceType>)> = order.collect();
        assert!(order.is_sorted(), "out of order: {order:?}");
    }

    /// Names of resources that the client may not have in this version.
    fn changed(&self, response: &Response) -> Vec<String> {
        let Type {
            accepted, unclear, ..
        } = &self.types[index(response.kind)];
        content(response)
            .into_iter()
            .filter(|(name, version)| accepted.get(name) != Some(version) || unclear.contains(name))
            .map(|(name, _)| name)
            .collect()
    }

    /// Whether a response removes a resource that the client may have.
    fn removes(&self, response: &Response) -> bool {
        let Type {
            accepted, unclear, ..
        } = &self.types[index(response.kind)];
        match self.wire {
            Wire::Sotw => {
                let new = content(response);
                let mut may_have = accepted.keys().chain(unclear);
                matches!(response.kind, Cluster | Listener)
                    && may_have.any(|name| !new.contains_key(name))
            }
            Wire::Delta => {
                let mut removed = response.removed.iter();
                removed.any(|name| accepted.contains_key(name) || unclear.contains(name))
            }
        }
    }

    fn check(&self, response: &Response) {
        let this = &self.types[index(response.kind)];
        assert!(this.asked, "not asked for: {response:?}");
        assert!(this.unanswered.is_none(), "two at a time: {response:?}");
        let names = response.resources.iter().map(|(name, _)| name);
        let names: Vec<&String> = names.chain(&response.removed).collect();
        let once: BTreeSet<&String> = names.iter().copied().collect();
        assert_eq!(once.len(), names.len(), "a name twice: {response:?}");
        match self.wire {
            Wire::Sotw => self.check_sotw(response),
            Wire::Delta => self.check_delta(response),
        }
    }

    fn check_sotw(&self, response: &Response) {
        let this = &self.types[index(response.kind)];
        let new = content(response);
        let asked = this.owed_all || this.unsure || !this.owed.is_empty();
        assert!(
            asked || !this.unclear.is_empty() || new != this.accepted || new.is_empty(),
            "unchanged: {response:?}"
        );
        let refused = this.refused_whole.as_ref() == Some(&new);
        assert!(asked || !refused, "refused before: {response:?}");
        if response.kind == Cluster {
            let lost: Vec<&String> = this
                .accepted
                .keys()
                .filter(|name| !new.contains_key(*name))
                .collect();
            assert!(
                lost.is_empty() || self.referrers_agree(),
                "too early: {lost:?}"
            );
        }
    }

    fn check_delta(&self, response: &Response) {
        let this = &self.types[index(response.kind)];
        for (name, version) in &response.resources {
            let owed = this.owed.contains(name);
            assert!(
                this.wildcard || this.names.contains(name),
                "unwanted {name}"
            );
            assert!(
                owed || this.unclear.contains(name) || this.accepted.get(name) != Some(version),
                "unchanged {name}"
            );
            let pair = (name.clone(), Some(version.clone()));
            assert!(
                owed || !this.refused.contains(&pair),
                "refused before: {pair:?}"
            );
        }
        for name in &response.removed {
            if this.owed.contains(name) {
                continue;
            }
            let pair = (name.clone(), None);
            assert!(!this.refused.contains(&pair), "refused before: {pair:?}");
            let held = this.accepted.contains_key(name);
            if held && matches!(response.kind, Cluster | Endpoint) {
                assert!(self.referrers_agree(), "too early: {name}");
            }
        }
    }

    /// Whether the client has accepted all published listeners and routes that it subscribed to.
    fn referrers_agree(&self) -> bool {
        let state = self.state.as_ref().unwrap();
        [Listener, Route].into_iter().all(|kind| {
            let this = &self.types[index(kind)];
            let wants = |name: &String| this.wildcard || this.names.contains(name);
            let mut published = state[index(kind)].iter().filter(|(name, _)| wants(name));
            !this.asked
                || this.unsure
                || (this.unanswered.is_none()
                    && published.all(|(name, version)| this.accepted.get(name) == Some(version)))
        })
    }
}

impl Type {
    fn verdict(&mut self, wire: Wire, push: &Response, refused: bool) {
        let new = content(push);
        if !refused {
            self.unsure = false;
            self.unclear.retain(|name| {
                wire == Wire::Delta && !new.contains_key(name) && !push.removed.contains(name)
            });
            if wire == Wire::Sotw {
                self.accepted.clear();
            }
            self.accepted.extend(new);
            push.removed.iter().for_each(|name| {
                self.accepted.remove(name);
            });
            return;
        }
        self.unclear.extend(new.keys().cloned());
        self.unclear.extend(push.removed.iter().cloned());
        if wire == Wire::Sotw {
            self.unclear.extend(self.accepted.keys().cloned());
        }
        if self.outdated {
            return;
        }
        let pairs: BTreeMap<String, Option<String>> = new
            .iter()
            .map(|(name, version)| (name.clone(), Some(version.clone())))
            .chain(push.removed.iter().map(|name| (name.clone(), None)))
            .collect();
        self.refused.extend(pairs);
        self.refused_whole = Some(new);
    }
}

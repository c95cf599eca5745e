//! One type of one stream: what the client wants, what it holds, what it is owed.
//!
//! SotW and Delta differ in what a push says, not in when one is due: whenever what the client *knows* (what it
//! accepted, and over it what it has not answered yet) differs from what it *should* know.

mod difference;
mod due;
mod held;
mod requests;

use super::interest::Interest;
use super::resources::{Resource, ResourceType, Resources};
use super::status::{Nack, TypeStatus, Wire};
use held::{Held, Push};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A push, before it takes the form of its wire.
#[derive(Debug)]
pub(super) struct Answer {
    pub kind: ResourceType,
    pub nonce: String,
    pub version: String,
    pub resources: Vec<(String, Arc<Resource>)>,
    /// Delta only: what does not exist, or no longer.
    pub removed: Vec<String>,
    /// The resources that the client did not know in this version.
    pub news: Vec<Arc<Resource>>,
}

/// What a client said about a push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Ack,
    Nack(Nack),
}

#[derive(Debug)]
pub(super) struct Subscription {
    kind: ResourceType,
    wire: Wire,
    interest: Interest,
    /// Whether the client has asked for this type on this stream.
    asked: bool,
    /// SotW: the version that the client says it has, until it is compared.
    claimed: Option<String>,
    /// What the client should know. Can be older than the newest: the stream holds it back for the sake of order.
    target: Option<Arc<Resources>>,
    /// What the client has accepted, or says it has.
    held: BTreeMap<String, Held>,
    in_flight: Option<Push>,
    last_nonce: String,
    /// Names to be sent whatever the client knows.
    owed: BTreeSet<String>,
    /// Whether to answer even if nothing differs.
    owes_answer: bool,
    /// The refused push, name by name (`None`: a removal), until the content changes.
    parked: Option<BTreeMap<String, Option<String>>>,
    acked: Option<String>,
    nack: Option<Nack>,
}

impl Subscription {
    pub fn new(kind: ResourceType, wire: Wire) -> Self {
        Self {
            kind,
            wire,
            interest: Interest::new(kind),
            asked: false,
            claimed: None,
            target: None,
            held: BTreeMap::new(),
            in_flight: None,
            last_nonce: String::new(),
            owed: BTreeSet::new(),
            owes_answer: false,
            parked: None,
            acked: None,
            nack: None,
        }
    }

    pub fn asked(&self) -> bool {
        self.asked
    }

    pub fn last_nonce(&self) -> &str {
        &self.last_nonce
    }

    pub fn status(&self) -> Option<TypeStatus> {
        self.asked.then(|| TypeStatus {
            wildcard: self.interest.wildcard(),
            names: self.interest.names().clone(),
            acked: self.acked.clone(),
            in_flight: self.in_flight.as_ref().map(|push| push.version.clone()),
            nack: self.nack.clone(),
        })
    }

    /// A newer state to bring the client to.
    pub fn advance(&mut self, latest: &Arc<Resources>) {
        let changed = match &self.target {
            Some(target) if Arc::ptr_eq(target, latest) => return,
            Some(target) => self.differs(target, latest),
            None => true,
        };
        if changed {
            self.parked = None;
        }
        self.target = Some(Arc::clone(latest));
    }

    /// Endpoints of a cluster that the client is being sent: it waits for them even if they are the same.
    pub fn owe(&mut self, name: String) {
        let parked = self.parked.as_ref();
        let refused = parked.is_some_and(|parked| parked.contains_key(&name));
        if !refused && (!self.asked || self.interest.covers(&name)) {
            self.owed.insert(name);
        }
    }

    /// The push that is due, if any: never while another one is in flight. `release`: whether what is gone may be
    /// taken away.
    pub fn push(&mut self, release: bool, nonce: impl FnOnce() -> String) -> Option<Answer> {
        if !self.asked || self.target.is_none() || self.in_flight.is_some() {
            return None;
        }
        self.compare_claimed();
        let due = self.due(release && self.parked.is_none());
        if due.is_empty() && !self.owes_answer {
            // Delta: what the client brought along is what there is.
            if self.acked.is_none() && !self.held.is_empty() {
                self.acked = Some(due.version(self.kind));
            }
            return None;
        }
        let (sent, removed) = match self.wire {
            Wire::Sotw => (due.whole(), Vec::new()),
            Wire::Delta => (due.changed.clone(), due.gone.clone()),
        };
        if self.wire == Wire::Sotw && !self.kind.is_full_state() && sent.is_empty() {
            self.owes_answer = false;
            return None; // It would say nothing.
        }
        let news = due.changed.iter();
        let news = news.filter(|(name, resource)| !self.knows(name, resource));
        let answer = Answer {
            kind: self.kind,
            nonce: nonce(),
            version: due.version(self.kind),
            resources: sent.iter().map(owned).collect(),
            removed: removed.into_iter().cloned().collect(),
            news: news.map(|(_, resource)| Arc::clone(resource)).collect(),
        };
        let gone = due.gone.iter().chain(&due.absent);
        let gone = gone.map(|name| Held::missing(name));
        let changes = gone.chain(sent.into_iter().map(Held::resource)).collect();
        self.in_flight = Some(Push {
            nonce: answer.nonce.clone(),
            version: answer.version.clone(),
            target: Arc::clone(self.target.as_ref()?),
            changes,
            whole: self.wire == Wire::Sotw,
        });
        self.last_nonce.clone_from(&answer.nonce);
        self.owed.clear();
        self.owes_answer = false;
        Some(answer)
    }

    /// Whether everything that this type has to say about `latest` is said, answered or not.
    pub fn said(&self, latest: &Arc<Resources>) -> bool {
        !self.asked || (self.is_at(latest) && self.due(false).is_empty())
    }

    /// Whether the client has accepted all that `latest` adds or changes.
    pub fn made(&self, latest: &Arc<Resources>) -> bool {
        !self.asked || (self.in_flight.is_none() && self.parked.is_none() && self.said(latest))
    }

    /// Whether the client has accepted all of `latest` and holds nothing that it lacks.
    pub fn complete(&self, latest: &Arc<Resources>) -> bool {
        self.made(latest) && !self.holds_gone()
    }

    /// Whether the client knows something that is to go.
    pub fn holds_gone(&self) -> bool {
        self.asked && !self.due(true).gone.is_empty()
    }

    /// Whether the client has accepted, or will get without asking, this resource.
    pub fn has(&self, name: &str) -> bool {
        self.interest.covers(name) && self.held.get(name).is_some_and(Held::exists)
    }

    // Inside.

    fn is_at(&self, latest: &Arc<Resources>) -> bool {
        let target = self.target.as_ref();
        target.is_some_and(|target| Arc::ptr_eq(target, latest))
    }

    /// Whether anything that the client wants is another in `new`.
    fn differs(&self, old: &Resources, new: &Resources) -> bool {
        let (old, new) = (old.of(self.kind), new.of(self.kind));
        let same = |name: &String| {
            let version = |resource: &Arc<Resource>| resource.version.clone();
            old.get(name).map(version) == new.get(name).map(version)
        };
        let names = old.keys().chain(new.keys());
        names
            .filter(|name| self.interest.covers(name))
            .any(|name| !same(name))
    }

    /// A client that comes back with the version that it would get has it all.
    fn compare_claimed(&mut self) {
        let Some(claimed) = self.claimed.take() else {
            return;
        };
        let due = self.due(false);
        if due.version(self.kind) == claimed {
            self.held = due.whole().into_iter().map(Held::resource).collect();
            self.acked = Some(claimed);
        } else {
            self.owes_answer = self.kind.is_full_state();
        }
    }

    fn accept(&mut self, push: Push) {
        if let Some(parked) = &mut self.parked {
            let accepted = |name: &String| push.changes.get(name).map(Held::version);
            parked.retain(|name, refused| accepted(name) != Some(refused.as_ref()));
        }
        self.parked.take_if(|parked| parked.is_empty());
        if push.whole {
            self.held = push.changes;
        } else {
            self.held.extend(push.changes);
        }
        self.forget_unwanted();
    }

    /// Of a push that a client refuses it may have taken a part, as Envoy does with clusters and listeners.
    fn doubt(&mut self, push: &Push) {
        let left_out = self.held.keys().filter(|_| push.whole);
        let names: BTreeSet<String> = left_out.chain(push.changes.keys()).cloned().collect();
        for name in names {
            let before = self.held.remove(&name);
            self.held.insert(name, Held::in_doubt(before));
        }
    }

    fn forget_unwanted(&mut self) {
        let Self { interest, held, .. } = self;
        held.retain(|name, held| {
            interest.covers(name) && (held.may_exist() || interest.names().contains(name))
        });
        self.owed.retain(|name| interest.covers(name));
        if let Some(parked) = self.parked.as_mut().filter(|parked| !parked.is_empty()) {
            parked.retain(|name, _| interest.covers(name));
            if parked.is_empty() {
                self.parked = None;
            }
        }
    }

    fn known(&self, name: &str) -> Option<&Held> {
        match &self.in_flight {
            Some(push) if push.whole => push.changes.get(name),
            Some(push) => push.changes.get(name).or_else(|| self.held.get(name)),
            None => self.held.get(name),
        }
    }

    fn knows(&self, name: &str, resource: &Resource) -> bool {
        let version = self.known(name).and_then(Held::version);
        version == Some(&resource.version)
    }

    /// What the client knows of, more than once where a push in flight changes it.
    fn known_names(&self) -> impl Iterator<Item = &String> {
        let push = self.in_flight.iter().flat_map(|push| push.changes.keys());
        push.chain(self.held.keys())
            .filter(|name| self.known(name).is_some())
    }

    /// Whether the client has refused exactly this (`None`: a removal).
    fn refused(&self, name: &str, version: Option<&String>) -> bool {
        let parked = self.parked.as_ref().and_then(|parked| parked.get(name));
        parked.is_some_and(|parked| parked.as_ref() == version)
    }
}

fn owned((name, resource): &(&String, &Arc<Resource>)) -> (String, Arc<Resource>) {
    ((*name).clone(), Arc::clone(resource))
}

//! The subscription of one stream to one type: what the client wants, has, and must be sent.
//!
//! SotW and Delta differ in the content of a push, not in when it is due. A push is due when what the client *knows*
//! (what it accepted, overlaid by the push in flight) differs from the target.

mod difference;
mod due;
mod held;
mod requests;

use super::interest::Interest;
use super::resources::{Resource, ResourceType, Resources};
use super::status::{Nack, TypeStatus, Wire};
use held::{Held, InFlight};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A push, independent of the variant of the protocol.
#[derive(Debug)]
pub(super) struct Push {
    pub kind: ResourceType,
    pub nonce: String,
    pub version: String,
    pub resources: Vec<(String, Arc<Resource>)>,
    /// Delta only: names that do not exist, or no longer.
    pub removed: Vec<String>,
    /// Resources that the client did not know in this version.
    pub new_resources: Vec<Arc<Resource>>,
}

/// The client's verdict on a push.
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
    /// Whether the client has requested this type on this stream.
    subscribed: bool,
    /// SotW: the version that the client claims to have, until it is checked.
    claimed_version: Option<String>,
    /// The state that the client should have. It may be older than the newest one, as the stream delays types for the
    /// sake of order.
    target: Option<Arc<Resources>>,
    /// What the client has accepted, or claims to have.
    held: BTreeMap<String, Held>,
    in_flight: Option<InFlight>,
    last_nonce: String,
    /// Names that must be sent even if the client knows them.
    forced: BTreeSet<String>,
    /// Whether to respond even if nothing differs.
    must_respond: bool,
    /// The rejected push: version by name (`None`: a removal). It is not repeated until its content changes, or until
    /// the client accepts another type that it had rejected.
    rejected: Option<BTreeMap<String, Option<String>>>,
    acked: Option<String>,
    nack: Option<Nack>,
}

impl Subscription {
    pub fn new(kind: ResourceType, wire: Wire) -> Self {
        Self {
            kind,
            wire,
            interest: Interest::new(kind),
            subscribed: false,
            claimed_version: None,
            target: None,
            held: BTreeMap::new(),
            in_flight: None,
            last_nonce: String::new(),
            forced: BTreeSet::new(),
            must_respond: false,
            rejected: None,
            acked: None,
            nack: None,
        }
    }

    pub fn is_subscribed(&self) -> bool {
        self.subscribed
    }

    pub fn last_nonce(&self) -> &str {
        &self.last_nonce
    }

    pub fn status(&self) -> Option<TypeStatus> {
        self.subscribed.then(|| TypeStatus {
            wildcard: self.interest.wildcard(),
            names: self.interest.names().clone(),
            acked: self.acked.clone(),
            in_flight: self.in_flight.as_ref().map(|push| push.version.clone()),
            nack: self.nack.clone(),
        })
    }

    /// Whether the client has rejected the last push that it judged.
    pub fn is_refused(&self) -> bool {
        self.nack.is_some()
    }

    /// Makes the rejected push due again.
    pub fn retry_rejected(&mut self) {
        self.rejected = None;
    }

    /// Sets a newer target.
    pub fn advance(&mut self, latest: &Arc<Resources>) {
        let changed = match &self.target {
            Some(target) if Arc::ptr_eq(target, latest) => return,
            Some(target) => self.differs(target, latest),
            None => true,
        };
        if changed {
            self.rejected = None;
        }
        self.target = Some(Arc::clone(latest));
    }

    /// Sends this name again, even unchanged. For endpoints of a changed cluster, which waits for them.
    pub fn force_resend(&mut self, name: String) {
        let rejected = self.rejected.as_ref();
        let refused = rejected.is_some_and(|rejected| rejected.contains_key(&name));
        if !refused && (!self.subscribed || self.interest.covers(&name)) {
            self.forced.insert(name);
        }
    }

    /// The push that is due, if any. At most one push is in flight. `release`: whether resources that are gone may be
    /// removed.
    pub fn push(&mut self, release: bool, nonce: impl FnOnce() -> String) -> Option<Push> {
        if !self.subscribed || self.target.is_none() || self.in_flight.is_some() {
            return None;
        }
        self.check_claimed_version();
        let due = self.due(release && self.rejected.is_none());
        if due.is_empty() && !self.must_respond {
            // Delta: the client has kept everything from an earlier stream.
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
            self.must_respond = false;
            return None; // The response would be empty.
        }
        let new_resources = due.changed.iter();
        let new_resources = new_resources.filter(|(name, resource)| !self.knows(name, resource));
        let push = Push {
            kind: self.kind,
            nonce: nonce(),
            version: due.version(self.kind),
            resources: sent.iter().map(owned).collect(),
            removed: removed.into_iter().cloned().collect(),
            new_resources: new_resources
                .map(|(_, resource)| Arc::clone(resource))
                .collect(),
        };
        let gone = due.gone.iter().chain(&due.absent);
        let gone = gone.map(|name| Held::missing(name));
        let changes = gone.chain(sent.into_iter().map(Held::resource)).collect();
        self.in_flight = Some(InFlight {
            nonce: push.nonce.clone(),
            version: push.version.clone(),
            target: Arc::clone(self.target.as_ref()?),
            changes,
            whole: self.wire == Wire::Sotw,
        });
        self.last_nonce.clone_from(&push.nonce);
        self.forced.clear();
        self.must_respond = false;
        Some(push)
    }

    /// Whether everything of `latest` was sent, acknowledged or not.
    pub fn sent(&self, latest: &Arc<Resources>) -> bool {
        !self.subscribed || (self.is_at(latest) && self.due(false).is_empty())
    }

    /// Whether the client has accepted everything that `latest` adds or changes.
    pub fn acked(&self, latest: &Arc<Resources>) -> bool {
        !self.subscribed
            || (self.in_flight.is_none() && self.rejected.is_none() && self.sent(latest))
    }

    /// Whether the client has accepted all of `latest` and holds nothing else.
    pub fn complete(&self, latest: &Arc<Resources>) -> bool {
        self.acked(latest) && !self.has_removals()
    }

    /// Whether the client knows a resource that must be removed.
    pub fn has_removals(&self) -> bool {
        self.subscribed && !self.due(true).gone.is_empty()
    }

    /// Whether the client has accepted this resource and still wants it.
    pub fn has(&self, name: &str) -> bool {
        self.interest.covers(name) && self.held.get(name).is_some_and(Held::exists)
    }

    fn is_at(&self, latest: &Arc<Resources>) -> bool {
        let target = self.target.as_ref();
        target.is_some_and(|target| Arc::ptr_eq(target, latest))
    }

    /// Whether a resource that the client wants differs in `new`.
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

    /// A client that reconnects with the version that it would be sent has everything already.
    fn check_claimed_version(&mut self) {
        let Some(claimed_version) = self.claimed_version.take() else {
            return;
        };
        let due = self.due(false);
        if due.version(self.kind) == claimed_version {
            self.held = due.whole().into_iter().map(Held::resource).collect();
            self.acked = Some(claimed_version);
        } else {
            self.must_respond = self.kind.is_full_state();
        }
    }

    fn accept(&mut self, push: InFlight) {
        if let Some(rejected) = &mut self.rejected {
            let accepted = |name: &String| push.changes.get(name).map(Held::version);
            rejected.retain(|name, refused| accepted(name) != Some(refused.as_ref()));
        }
        self.rejected.take_if(|rejected| rejected.is_empty());
        if push.whole {
            self.held = push.changes;
        } else {
            self.held.extend(push.changes);
        }
        self.forget_unwanted();
    }

    /// After a NACK the client may have applied a part of the push, as Envoy does with clusters and listeners.
    fn mark_uncertain(&mut self, push: &InFlight) {
        let left_out = self.held.keys().filter(|_| push.whole);
        let names: BTreeSet<String> = left_out.chain(push.changes.keys()).cloned().collect();
        for name in names {
            let before = self.held.remove(&name);
            self.held.insert(name, Held::uncertain(before));
        }
    }

    fn forget_unwanted(&mut self) {
        let Self { interest, held, .. } = self;
        held.retain(|name, held| {
            interest.covers(name) && (held.may_exist() || interest.names().contains(name))
        });
        self.forced.retain(|name| interest.covers(name));
        if let Some(rejected) = self
            .rejected
            .as_mut()
            .filter(|rejected| !rejected.is_empty())
        {
            rejected.retain(|name, _| interest.covers(name));
            if rejected.is_empty() {
                self.rejected = None;
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

    /// The names that the client knows. A name that a push in flight changes occurs twice.
    fn known_names(&self) -> impl Iterator<Item = &String> {
        let push = self.in_flight.iter().flat_map(|push| push.changes.keys());
        push.chain(self.held.keys())
            .filter(|name| self.known(name).is_some())
    }

    /// Whether the client has rejected exactly this version (`None`: a removal).
    fn is_rejected(&self, name: &str, version: Option<&String>) -> bool {
        let rejected = self
            .rejected
            .as_ref()
            .and_then(|rejected| rejected.get(name));
        rejected.is_some_and(|rejected| rejected.as_ref() == version)
    }
}

fn owned((name, resource): &(&String, &Arc<Resource>)) -> (String, Arc<Resource>) {
    ((*name).clone(), Arc::clone(resource))
}

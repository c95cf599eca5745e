//! The subscription of one stream to one type: what the client wants, has, and must be sent.
//!
//! SotW and Delta differ in the content of a push, not in when it is due. A push is due when what the client *knows*
//! (what it accepted, overlaid by the push in flight) differs from the target.

mod difference;
mod due;
mod held;
mod requests;

use super::encoded::EncodedResource;
use super::interest::Interest;
use super::resource_type::ResourceType;
use super::resources::Typed;
use super::status::{Nack, TypeStatus, Wire};
use held::{Held, Holdings, InFlight, Known};
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A push, independent of the variant of the protocol.
#[derive(Debug)]
pub(super) struct Push {
    pub kind: ResourceType,
    pub nonce: String,
    pub version: Arc<str>,
    pub resources: Vec<Arc<EncodedResource>>,
    /// Delta only: names that do not exist, or no longer.
    pub removed: Vec<Arc<str>>,
    /// Clusters that the client did not know in this version.
    pub new_clusters: Vec<Arc<EncodedResource>>,
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
    target: Option<Arc<Typed>>,
    /// What the client has accepted, or claims to have.
    held: Holdings,
    in_flight: Option<InFlight>,
    last_nonce: String,
    /// Names that must be sent even if the client knows them.
    forced: BTreeSet<Arc<str>>,
    /// Whether to respond even if nothing differs.
    must_respond: bool,
    /// The rejected push: version by name (`None`: a removal). It is not repeated until its content changes, or until
    /// the client accepts another type that it had rejected.
    rejected: Option<BTreeMap<Arc<str>, Option<Arc<str>>>>,
    acked: Option<Arc<str>>,
    nack: Option<Nack>,
    /// Whether nothing is due, and whether something is to be removed. `None` after a change, until it is asked for:
    /// most streams are asked much more often than they change.
    settled: Cell<Option<bool>>,
    removals: Cell<Option<bool>>,
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
            held: Holdings::default(),
            in_flight: None,
            last_nonce: String::new(),
            forced: BTreeSet::new(),
            must_respond: false,
            rejected: None,
            acked: None,
            nack: None,
            settled: Cell::new(None),
            removals: Cell::new(None),
        }
    }

    pub fn is_subscribed(&self) -> bool {
        self.subscribed
    }

    pub fn last_nonce(&self) -> &str {
        &self.last_nonce
    }

    pub fn status(&self) -> Option<TypeStatus> {
        let text = |version: &Arc<str>| version.to_string();
        self.subscribed.then(|| TypeStatus {
            wildcard: self.interest.wildcard(),
            names: self.interest.names().clone(),
            acked: self.acked.as_ref().map(text),
            in_flight: self.in_flight.as_ref().map(|push| text(&push.version)),
            nack: self.nack.clone(),
        })
    }

    /// How many names of its own it has.
    #[cfg(test)]
    pub fn listed(&self) -> usize {
        let in_flight = self.in_flight.as_ref();
        self.held.listed() + in_flight.map_or(0, |push| push.changes.len())
    }

    /// Whether the client has rejected the last push that it judged.
    pub fn is_refused(&self) -> bool {
        self.nack.is_some()
    }

    /// Makes the rejected push due again.
    pub fn retry_rejected(&mut self) {
        self.touch();
        self.rejected = None;
    }

    /// Sets a newer target.
    pub fn advance(&mut self, latest: &Arc<Typed>) {
        let changed = match &self.target {
            Some(target) if Arc::ptr_eq(target, latest) => return,
            Some(target) => self.differs(target, latest),
            None => true,
        };
        if changed {
            self.rejected = None;
        }
        self.touch();
        self.target = Some(Arc::clone(latest));
    }

    /// Sends this name again, even unchanged. For endpoints of a changed cluster, which waits for them.
    pub fn force_resend(&mut self, name: &Arc<str>) {
        let rejected = self.rejected.as_ref();
        let refused = rejected.is_some_and(|rejected| rejected.contains_key(name));
        if !refused && (!self.subscribed || self.interest.covers(name)) {
            self.touch();
            self.forced.insert(Arc::clone(name));
        }
    }

    /// The push that is due, if any. At most one push is in flight. `release`: whether resources that are gone may be
    /// removed.
    pub fn push(&mut self, release: bool, nonce: impl FnOnce() -> String) -> Option<Push> {
        if !self.subscribed || self.in_flight.is_some() {
            return None;
        }
        let target = Arc::clone(self.target.as_ref()?);
        self.check_claimed_version(&target);
        let release = release && self.rejected.is_none();
        let nothing = self.is_settled() && !(release && self.has_removals());
        if nothing && !self.must_respond {
            self.keep(&target);
            return None;
        }
        let due = self.due(release);
        let sent = match self.wire {
            Wire::Sotw => due.whole(),
            Wire::Delta => due.changed.clone(),
        };
        if self.wire == Wire::Sotw && !self.kind.is_full_state() && sent.is_empty() {
            self.must_respond = false;
            return None; // The response would be empty.
        }
        let removed = match self.wire {
            Wire::Sotw => Vec::new(),
            Wire::Delta => due.gone.iter().copied().cloned().collect(),
        };
        let is_cluster = self.kind == ResourceType::Cluster;
        let changed = due.changed.iter().filter(|_| is_cluster);
        let new_clusters = changed.filter(|resource| !self.knows(resource, &target));
        let push = Push {
            kind: self.kind,
            nonce: nonce(),
            version: due.version(self.kind, &target),
            resources: sent.into_iter().cloned().collect(),
            removed,
            new_clusters: new_clusters.copied().cloned().collect(),
        };
        let gone = due.gone.into_iter().chain(due.absent);
        let gone = gone.map(|name| (Arc::clone(name), Held::Missing));
        let sent = push.resources.iter();
        let sent = sent.map(|sent| (Arc::clone(sent.name()), Held::Resource(Arc::clone(sent))));
        let changes = gone.chain(sent).collect();
        self.in_flight = Some(InFlight {
            nonce: push.nonce.clone(),
            version: Arc::clone(&push.version),
            target,
            changes,
            whole: self.wire == Wire::Sotw,
        });
        self.touch();
        self.last_nonce.clone_from(&push.nonce);
        self.forced.clear();
        self.must_respond = false;
        Some(push)
    }

    /// The client has everything.
    fn keep(&mut self, target: &Arc<Typed>) {
        // Delta: it has kept everything from an earlier stream.
        if self.acked.is_none() && !self.held.is_empty() {
            self.acked = Some(self.due(false).version(self.kind, target));
        }
        if self.rejected.is_none() {
            self.held.refer_to(target, &self.interest);
        }
    }

    /// Whether everything of `latest` was sent, acknowledged or not.
    pub fn sent(&self, latest: &Arc<Typed>) -> bool {
        !self.subscribed || (self.is_at(latest) && self.is_settled())
    }

    /// Whether the client has accepted everything that `latest` adds or changes.
    pub fn acked(&self, latest: &Arc<Typed>) -> bool {
        !self.subscribed
            || (self.in_flight.is_none() && self.rejected.is_none() && self.sent(latest))
    }

    /// Whether the client has accepted all of `latest` and holds nothing else.
    pub fn complete(&self, latest: &Arc<Typed>) -> bool {
        self.acked(latest) && !self.has_removals()
    }

    /// Whether the client knows a resource that must be removed.
    pub fn has_removals(&self) -> bool {
        self.subscribed && remembered(&self.removals, || !self.due(true).gone.is_empty())
    }

    /// Whether nothing is due but removals that must wait.
    fn is_settled(&self) -> bool {
        remembered(&self.settled, || self.due(false).is_empty())
    }

    /// Forgets what follows from the state of the subscription, before it changes.
    fn touch(&mut self) {
        self.settled.set(None);
        self.removals.set(None);
    }

    /// Whether the client has accepted this resource and still wants it.
    pub fn has(&self, name: &str) -> bool {
        self.interest.covers(name) && self.held.get(name).is_some_and(Known::exists)
    }

    /// The resource of this name that the client has accepted. It may have kept it from an earlier stream: then it is that of the target, if
    /// the version is the same.
    pub fn held(&self, name: &str) -> Option<Arc<EncodedResource>> {
        let known = self.held.get(name)?;
        let kept = || {
            let resource = self.target.as_ref()?.by_name().get(name)?;
            known.is(resource).then_some(resource)
        };
        known.resource().or_else(kept).cloned()
    }

    fn is_at(&self, latest: &Arc<Typed>) -> bool {
        let target = self.target.as_ref();
        target.is_some_and(|target| Arc::ptr_eq(target, latest))
    }

    /// Whether a resource that the client wants differs in `new`.
    fn differs(&self, old: &Typed, new: &Typed) -> bool {
        let mut differing = old.difference(new);
        differing.any(|(name, _)| self.interest.covers(name))
    }

    /// A client that reconnects with the version that it would be sent has everything already.
    fn check_claimed_version(&mut self, target: &Typed) {
        let Some(claimed_version) = self.claimed_version.take() else {
            return;
        };
        let due = self.due(false);
        if *due.version(self.kind, target) == *claimed_version {
            let whole = due.whole().into_iter();
            let held = whole.map(|resource| {
                let held = Held::Resource(Arc::clone(resource));
                (Arc::clone(resource.name()), held)
            });
            self.held = Holdings::new(held);
            self.acked = Some(claimed_version.into());
        } else {
            self.must_respond = self.kind.is_full_state();
        }
        self.touch();
    }

    fn accept(&mut self, push: InFlight) {
        if let Some(rejected) = &mut self.rejected {
            let accepted =
                |name: &Arc<str>| push.changes.get(name).map(|held| held.known().version());
            rejected.retain(|name, refused| accepted(name) != Some(refused.as_ref()));
        }
        self.rejected.take_if(|rejected| rejected.is_empty());
        self.held.accept(push, &self.interest);
        self.forget_unwanted();
    }

    fn forget_unwanted(&mut self) {
        let Self { interest, held, .. } = self;
        held.forget_unwanted(interest);
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

    /// What the client has of a name that it wants, if it accepts the push in flight.
    fn known(&self, name: &str) -> Option<Known<'_>> {
        match &self.in_flight {
            Some(push) if push.whole => push.changes.get(name).map(Held::known),
            Some(push) => push
                .changes
                .get(name)
                .map(Held::known)
                .or_else(|| self.held.get(name)),
            None => self.held.get(name),
        }
    }

    fn knows(&self, resource: &Arc<EncodedResource>, target: &Arc<Typed>) -> bool {
        match &self.in_flight {
            None => self.held.knows(resource, target),
            Some(_) => {
                let known = self.known(resource.name());
                known.is_some_and(|known| known.is(resource))
            }
        }
    }

    /// The names that the client knows and that may not be in a state, some of them twice.
    fn names_beside<'a>(&'a self, state: &'a Arc<Typed>) -> impl Iterator<Item = &'a Arc<str>> {
        let push = self.in_flight.iter().flat_map(|push| push.changes.keys());
        push.chain(self.held.names_beside(state))
            .filter(|name| self.known(name).is_some())
    }

    /// Whether the client has rejected exactly this version (`None`: a removal).
    fn is_rejected(&self, name: &str, version: Option<&Arc<str>>) -> bool {
        let rejected = self
            .rejected
            .as_ref()
            .and_then(|rejected| rejected.get(name));
        rejected.is_some_and(|rejected| rejected.as_ref() == version)
    }
}

/// A value that is computed once.
fn remembered(place: &Cell<Option<bool>>, compute: impl FnOnce() -> bool) -> bool {
    place.get().unwrap_or_else(|| {
        let value = compute();
        place.set(Some(value));
        value
    })
}

//! All types of one stream, and the order between them.
//!
//! Make before break: clusters, endpoints, extensions, listeners, routes are sent in this order, each without waiting for the
//! answer to the one before (Envoy does not ACK a cluster before it has the endpoints). What is gone is taken away in
//! an order of its own, when the client has accepted the listeners and routes that no longer refer to it.

use super::reference;
use super::resources::{PerType, ResourceType, Resources};
use super::status::{TypeStatus, Wire};
use super::subscription::{Answer, Subscription, Verdict};
use std::sync::Arc;

/// The order in which things are taken away: whatever refers to others goes first.
const REMOVAL: [ResourceType; 6] = [
    ResourceType::Listener,
    ResourceType::Route,
    ResourceType::Cluster,
    ResourceType::Endpoint,
    ResourceType::Extension,
    ResourceType::Secret,
];

#[derive(Debug)]
pub(super) struct Stream {
    types: PerType<Subscription>,
    latest: Option<Arc<Resources>>,
    /// The client has had the time to say which types it wants: it has answered a push, or the state has changed.
    introduced: bool,
    nonce: u64,
}

impl Stream {
    pub fn new(wire: Wire) -> Self {
        Self {
            types: PerType::from_fn(|kind| Subscription::new(kind, wire)),
            latest: None,
            introduced: false,
            nonce: 0,
        }
    }

    /// A newer state: the answers to send now.
    pub fn update(&mut self, resources: Arc<Resources>) -> Vec<Answer> {
        self.introduced |= self.latest.is_some();
        self.latest = Some(resources);
        self.flush()
    }

    /// Lets a request change a type's subscription: what it said of a push, and the answers to send now.
    pub fn request(
        &mut self,
        kind: ResourceType,
        apply: impl FnOnce(&mut Subscription) -> Option<Verdict>,
    ) -> (Option<Verdict>, Vec<Answer>) {
        let verdict = apply(&mut self.types[kind]);
        self.introduced |= verdict.is_some();
        (verdict, self.flush())
    }

    /// Whether there is a state to answer with.
    pub fn waiting(&self) -> bool {
        self.latest.is_none()
    }

    /// Whether the client has accepted all that this state adds or changes, of every type that it has asked for.
    pub fn settled(&self, resources: &Arc<Resources>) -> bool {
        let mut types = self.types.iter();
        types.all(|(_, subscription)| subscription.made(resources))
            && self
                .latest
                .as_ref()
                .is_some_and(|latest| Arc::ptr_eq(latest, resources))
    }

    pub fn status(&self) -> PerType<Option<TypeStatus>> {
        PerType::from_fn(|kind| self.types[kind].status())
    }

    fn flush(&mut self) -> Vec<Answer> {
        let Some(latest) = self.latest.clone() else {
            return Vec::new();
        };
        let mut answers = Vec::new();
        let mut in_order = true;
        for kind in ResourceType::ALL {
            // A push of clusters that waits for an ACK holds back the routes to them; the old routes still hold.
            if in_order || !follows(kind) {
                self.types[kind].advance(&latest);
            }
            if let Some(answer) = self.push(kind, false) {
                if kind == ResourceType::Cluster {
                    self.owe_endpoints(&answer, &latest);
                }
                answers.push(answer);
            }
            in_order &= !leads(kind) || self.types[kind].said(&latest);
        }
        for kind in REMOVAL {
            if self.types[kind].holds_gone() && self.may_remove(kind, &latest) {
                answers.extend(self.push(kind, true));
            }
        }
        answers
    }

    fn push(&mut self, kind: ResourceType, release: bool) -> Option<Answer> {
        let nonce = &mut self.nonce;
        let next = || {
            *nonce += 1;
            nonce.to_string()
        };
        self.types[kind].push(release, next)
    }

    /// A changed cluster starts anew and waits for its endpoints.
    fn owe_endpoints(&mut self, clusters: &Answer, latest: &Resources) {
        let names = clusters.news.iter();
        let names = names.filter_map(|cluster| reference::endpoints(cluster));
        for name in names.filter(|name| latest.get(ResourceType::Endpoint, name).is_some()) {
            self.types[ResourceType::Endpoint].owe(name);
        }
    }

    /// Whether nothing that the client still uses can refer to what is gone of this type.
    fn may_remove(&self, kind: ResourceType, latest: &Arc<Resources>) -> bool {
        let before = REMOVAL.into_iter().take_while(|before| *before != kind);
        [ResourceType::Listener, ResourceType::Route]
            .iter()
            .all(|kind| self.types[*kind].made(latest) && self.declared(*kind))
            && self.routes_arrived(latest)
            && before
                .into_iter()
                .all(|before| self.types[before].complete(latest))
    }

    /// Whether it is known if the client wants this type: on a new stream it asks for one after the other.
    fn declared(&self, kind: ResourceType) -> bool {
        self.introduced || self.types[kind].asked()
    }

    /// Whether the client has the routes that its listeners ask for: it asks for them just after it ACKs a listener.
    fn routes_arrived(&self, latest: &Resources) -> bool {
        let (listeners, routes) = (
            &self.types[ResourceType::Listener],
            &self.types[ResourceType::Route],
        );
        let all = latest.of(ResourceType::Listener).iter();
        !routes.asked()
            || all
                .filter(|(name, _)| listeners.has(name))
                .flat_map(|(_, listener)| reference::routes(listener))
                .filter(|name| latest.get(ResourceType::Route, name).is_some())
                .all(|name| routes.has(&name))
    }
}

/// Types that others refer to.
fn leads(kind: ResourceType) -> bool {
    use ResourceType::{Cluster, Endpoint, Listener, Route};
    matches!(kind, Cluster | Endpoint | Listener | Route)
}

/// Types that must not be ahead of what they refer to. Not endpoints or secrets: clusters that wait for them are ACKed
/// only when they are there.
fn follows(kind: ResourceType) -> bool {
    use ResourceType::{Extension, Listener, Route};
    matches!(kind, Listener | Route | Extension)
}

//! The subscriptions of one stream, and the order between their types.
//!
//! Make before break: clusters, endpoints, extensions, listeners and routes are sent in this order. No type waits for
//! the ACK of the one before, because Envoy does not ACK a cluster before it has the endpoints. Resources are removed
//! in another order, after the client has accepted the listeners and routes that no longer refer to them.

use super::encoded::EncodedResource;
use super::resource_type::{PerType, ResourceType};
use super::resources::Resources;
use super::status::{TypeStatus, Wire};
use super::subscription::{Push, Subscription, Verdict};
use std::sync::Arc;

/// The order of removals: referring types before the types that they refer to.
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
    /// Whether the client has had time to subscribe to all its types: it has acknowledged a push, or the state has
    /// changed.
    types_declared: bool,
    nonce: u64,
}

impl Stream {
    pub fn new(wire: Wire) -> Self {
        Self {
            types: PerType::from_fn(|kind| Subscription::new(kind, wire)),
            latest: None,
            types_declared: false,
            nonce: 0,
        }
    }

    /// Takes a new state. Returns the pushes to send now.
    pub fn update(&mut self, resources: Arc<Resources>) -> Vec<Push> {
        self.types_declared |= self.latest.is_some();
        self.latest = Some(resources);
        self.flush()
    }

    /// Applies a request to the subscription of its type. Returns the verdict on the last push, and the pushes to send
    /// now.
    pub fn request(
        &mut self,
        kind: ResourceType,
        apply: impl FnOnce(&mut Subscription) -> Option<Verdict>,
    ) -> (Option<Verdict>, Vec<Push>) {
        let refused = self.types[kind].is_refused();
        let verdict = apply(&mut self.types[kind]);
        self.types_declared |= verdict.is_some();
        if refused && verdict == Some(Verdict::Ack) {
            self.retry_rejected(kind);
        }
        (verdict, self.flush())
    }

    /// A resource may have been rejected because of another type: Envoy rejects a cluster whose filter, an extension, it
    /// could not load.
    fn retry_rejected(&mut self, accepted: ResourceType) {
        for kind in ResourceType::ALL
            .into_iter()
            .filter(|kind| *kind != accepted)
        {
            self.types[kind].retry_rejected();
        }
    }

    /// Whether there is no state yet.
    pub fn waiting(&self) -> bool {
        self.latest.is_none()
    }

    /// Whether the client has accepted all additions and changes of this state, for every type that it subscribed to.
    pub fn settled(&self, resources: &Arc<Resources>) -> bool {
        let mut types = self.types.iter();
        types.all(|(kind, subscription)| subscription.acked(resources.typed(kind)))
            && self
                .latest
                .as_ref()
                .is_some_and(|latest| Arc::ptr_eq(latest, resources))
    }

    pub fn status(&self) -> PerType<Option<TypeStatus>> {
        PerType::from_fn(|kind| self.types[kind].status())
    }

    /// The resource of this name that the client has accepted, if its content is known.
    pub fn held(&self, kind: ResourceType, name: &str) -> Option<Arc<EncodedResource>> {
        self.types[kind].held(name)
    }

    /// How many names of a type this stream has a list of.
    #[cfg(test)]
    pub fn listed(&self, kind: ResourceType) -> usize {
        self.types[kind].listed()
    }

    fn flush(&mut self) -> Vec<Push> {
        let Some(latest) = self.latest.clone() else {
            return Vec::new();
        };
        let mut pushes = Vec::new();
        let mut in_order = true;
        for kind in ResourceType::ALL {
            // Routes wait for the ACK of the clusters that they refer to. Until then the old routes apply.
            if in_order || !waits_for_references(kind) {
                self.types[kind].advance(latest.typed(kind));
            }
            if let Some(push) = self.push(kind, false) {
                if kind == ResourceType::Cluster {
                    self.resend_endpoints(&push, &latest);
                }
                pushes.push(push);
            }
            in_order &= !is_referenced(kind) || self.types[kind].sent(latest.typed(kind));
        }
        for kind in REMOVAL {
            if self.types[kind].has_removals() && self.may_remove(kind, &latest) {
                pushes.extend(self.push(kind, true));
            }
        }
        pushes
    }

    fn push(&mut self, kind: ResourceType, release: bool) -> Option<Push> {
        let nonce = &mut self.nonce;
        let next = || {
            *nonce += 1;
            nonce.to_string()
        };
        self.types[kind].push(release, next)
    }

    /// Envoy recreates a changed cluster, and waits for its endpoints again.
    fn resend_endpoints(&mut self, clusters: &Push, latest: &Resources) {
        let endpoints = latest.of(ResourceType::Endpoint);
        let names = clusters.new_clusters.iter();
        let names = names.filter_map(|cluster| cluster.references().endpoints.as_deref());
        for (name, _) in names.filter_map(|name| endpoints.get_key_value(name)) {
            self.types[ResourceType::Endpoint].force_resend(name);
        }
    }

    /// Whether no resource that the client still uses can refer to the removed resources of this type.
    fn may_remove(&self, kind: ResourceType, latest: &Resources) -> bool {
        let before = REMOVAL.into_iter().take_while(|before| *before != kind);
        [ResourceType::Listener, ResourceType::Route]
            .iter()
            .all(|kind| self.types[*kind].acked(latest.typed(*kind)) && self.is_known_type(*kind))
            && self.routes_arrived(latest)
            && before
                .into_iter()
                .all(|before| self.types[before].complete(latest.typed(before)))
    }

    /// Whether the client's choice for this type is known: a new stream subscribes to one type after another.
    fn is_known_type(&self, kind: ResourceType) -> bool {
        self.types_declared || self.types[kind].is_subscribed()
    }

    /// Whether the client has the routes of its listeners: it requests them just after it ACKs a listener.
    fn routes_arrived(&self, latest: &Resources) -> bool {
        let (listeners, routes) = (
            &self.types[ResourceType::Listener],
            &self.types[ResourceType::Route],
        );
        let all = latest.of(ResourceType::Listener).iter();
        !routes.is_subscribed()
            || all
                .filter(|(name, _)| listeners.has(name))
                .flat_map(|(_, listener)| &listener.references().routes)
                .filter(|name| latest.get(ResourceType::Route, name).is_some())
                .all(|name| routes.has(name))
    }
}

/// Types that other types refer to.
fn is_referenced(kind: ResourceType) -> bool {
    use ResourceType::{Cluster, Endpoint, Listener, Route};
    matches!(kind, Cluster | Endpoint | Listener | Route)
}

/// Types that must not be newer than the types that they refer to. Not endpoints or secrets: Envoy ACKs clusters that
/// use them only when it has them.
fn waits_for_references(kind: ResourceType) -> bool {
    use ResourceType::{Extension, Listener, Route};
    matches!(kind, Listener | Route | Extension)
}

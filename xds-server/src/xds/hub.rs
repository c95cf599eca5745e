//! Connects the published resources with the clients' streams.

use super::encoded::EncodedResource;
use super::resource_type::{PerType, ResourceType};
use super::resources::Resources;
use super::status::{Client, ClientStatus, Counts};
use super::stream::Stream;
use arc_swap::ArcSwap;
use meridian_policy::RegionName;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// The published resources of every region, and the connected clients. Shared as an `Arc`.
#[derive(Debug)]
pub struct Hub {
    published: ArcSwap<BTreeMap<RegionName, Arc<Resources>>>,
    wake: watch::Sender<()>,
    clients: Mutex<Clients>,
    counters: Counters,
}

#[derive(Debug, Default)]
struct Clients {
    next: u64,
    connected: BTreeMap<u64, Arc<Entry>>,
}

/// A connected client, and its stream.
#[derive(Debug)]
struct Entry {
    client: Client,
    stream: Mutex<Stream>,
}

#[derive(Debug)]
struct Counters {
    pushes: PerType<AtomicU64>,
    acks: PerType<AtomicU64>,
    nacks: PerType<AtomicU64>,
    refused: Mutex<BTreeMap<&'static str, u64>>,
}

impl Default for Hub {
    fn default() -> Self {
        let zero = || PerType::from_fn(|_| AtomicU64::new(0));
        Self {
            published: ArcSwap::default(),
            wake: watch::Sender::new(()),
            clients: Mutex::default(),
            counters: Counters {
                pushes: zero(),
                acks: zero(),
                nacks: zero(),
                refused: Mutex::default(),
            },
        }
    }
}

impl Hub {
    /// Publishes the resources of every region. Gateways of a region that is missing in the map keep their resources;
    /// new ones wait. A region with the same `Arc` as before causes no work.
    pub fn publish(&self, resources: BTreeMap<RegionName, Arc<Resources>>) {
        self.published.store(Arc::new(resources));
        self.wake.send_replace(());
    }

    /// The published resources.
    pub fn published(&self) -> Arc<BTreeMap<RegionName, Arc<Resources>>> {
        self.published.load_full()
    }

    /// The connected clients, oldest first.
    pub fn clients(&self) -> Vec<ClientStatus> {
        let status = |entry: &Arc<Entry>| {
            let stream = lock(&entry.stream);
            ClientStatus {
                client: entry.client.clone(),
                waiting: stream.waiting(),
                types: stream.status(),
            }
        };
        self.connected().iter().map(status).collect()
    }

    /// The connected clients of a region, oldest first: their node ids, and which resource each has accepted of the first of these names
    /// that it has.
    pub fn held(
        &self,
        region: &RegionName,
        kind: ResourceType,
        names: &[String],
    ) -> Vec<(String, Option<Arc<EncodedResource>>)> {
        let clients = self.connected();
        let clients = clients
            .iter()
            .filter(|entry| entry.client.region == *region);
        let held = clients.map(|entry| {
            let stream = lock(&entry.stream);
            let held = names.iter().find_map(|name| stream.held(kind, name));
            (entry.client.node.clone(), held)
        });
        held.collect()
    }

    /// A copy, so that the list is not locked while the streams are.
    fn connected(&self) -> Vec<Arc<Entry>> {
        lock(&self.clients).connected.values().cloned().collect()
    }

    /// Whether all connected clients have accepted the published resources. Clients of a region without resources do
    /// not count.
    pub fn settled(&self) -> bool {
        let published = self.published.load();
        self.connected().iter().all(|entry| {
            let resources = published.get(&entry.client.region);
            resources.is_none_or(|resources| lock(&entry.stream).settled(resources))
        })
    }

    /// The regions of the connected clients.
    pub fn connected_regions(&self) -> BTreeSet<RegionName> {
        let clients = self.connected();
        let regions = clients.iter().map(|entry| entry.client.region.clone());
        regions.collect()
    }

    /// Counters since the start.
    pub fn counts(&self) -> Counts {
        let read = |counter: &PerType<AtomicU64>| {
            PerType::from_fn(|kind| counter[kind].load(Ordering::Relaxed))
        };
        Counts {
            pushes: read(&self.counters.pushes),
            acks: read(&self.counters.acks),
            nacks: read(&self.counters.nacks),
            refused: lock(&self.counters.refused).clone(),
        }
    }

    /// A receiver that learns of every [`publish`](Self::publish) from now on.
    pub(super) fn watch(&self) -> watch::Receiver<()> {
        self.wake.subscribe()
    }

    /// The resources of a region, if they are not the `given` ones.
    pub(super) fn newer(
        &self,
        region: &RegionName,
        given: Option<&Arc<Resources>>,
    ) -> Option<Arc<Resources>> {
        let published = self.published.load();
        let resources = published.get(region)?;
        let same = given.is_some_and(|given| Arc::ptr_eq(given, resources));
        (!same).then(|| Arc::clone(resources))
    }

    /// Adds a client to the list until the connection is dropped.
    pub(super) fn connect(self: &Arc<Self>, client: Client) -> Connection {
        let entry = Arc::new(Entry {
            stream: Mutex::new(Stream::new(client.wire)),
            client,
        });
        let mut clients = lock(&self.clients);
        let id = clients.next;
        clients.next += 1;
        clients.connected.insert(id, Arc::clone(&entry));
        Connection {
            hub: Arc::clone(self),
            id,
            entry,
        }
    }

    pub(super) fn count_push(&self, kind: ResourceType) {
        self.counters.pushes[kind].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_ack(&self, kind: ResourceType) {
        self.counters.acks[kind].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_nack(&self, kind: ResourceType) {
        self.counters.nacks[kind].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_refused(&self, reason: &'static str) {
        *lock(&self.counters.refused).entry(reason).or_default() += 1;
    }
}

/// The entry of a client in the list; removed on drop.
#[derive(Debug)]
pub(super) struct Connection {
    hub: Arc<Hub>,
    id: u64,
    entry: Arc<Entry>,
}

impl Connection {
    pub fn stream(&self) -> MutexGuard<'_, Stream> {
        lock(&self.entry.stream)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        lock(&self.hub.clients).connected.remove(&self.id);
    }
}

/// Locks, ignoring poisoning. The data stays consistent if a task panics: each change is one assignment, and a stream
/// ends together with its task.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

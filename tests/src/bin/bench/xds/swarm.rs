//! All gateways of the fleet, in this process.

use super::client::{Held, Names, Stream, follow};
use super::fleet::{self, Fleet};
use super::waves::Event;
use anyhow::{Context, Result, bail, ensure};
use meridian_xds_server::xds::{PerType, ResourceType};
use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;
use tonic::transport::{Channel, Endpoint};

/// How many bytes a client that never reads lets the server send.
const SLOW_WINDOW: u32 = 65_535;
/// As Envoy, a gateway tries again to connect.
const RETRIES: usize = 20;
const RETRY: Duration = Duration::from_millis(300);
/// How long a state may take to reach all.
const PATIENCE: Duration = Duration::from_secs(300);

/// The gateways, of which some are connected.
pub struct Swarm {
    shared: Arc<Shared>,
    members: Vec<Member>,
    bytes_each: usize,
}

/// What all streams share.
struct Shared {
    xds: SocketAddr,
    /// By region.
    names: Vec<Names>,
    texts: Mutex<HashSet<Arc<str>>>,
    events: Mutex<Vec<Event>>,
    bytes: AtomicU64,
    complete: AtomicUsize,
    /// How streams ended, except by this program.
    ended: Mutex<Vec<String>>,
}

struct Member {
    region: usize,
    delta: bool,
    held: Arc<Mutex<Held>>,
    reads: Arc<AtomicBool>,
    task: Option<JoinHandle<()>>,
}

impl Swarm {
    /// Asks for what gateways of each region have.
    pub async fn scout(fleet: &Fleet) -> Result<Self> {
        let mut shared = Shared {
            xds: fleet.xds(),
            names: Vec::new(),
            texts: Mutex::default(),
            events: Mutex::default(),
            bytes: AtomicU64::new(0),
            complete: AtomicUsize::new(0),
            ended: Mutex::default(),
        };
        let mut bytes_each = 0;
        for at in 0..fleet.regions() {
            let (names, bytes) = scout(&shared, &fleet::region(at)).await?;
            shared.names.push(names);
            bytes_each = bytes;
        }
        Ok(Self {
            shared: Arc::new(shared),
            members: Vec::new(),
            bytes_each,
        })
    }

    /// Resources of a gateway, and their bytes.
    pub fn size(&self) -> (usize, usize) {
        let names = self.shared.names.first();
        let count = |names: &Names| names.iter().map(|(_, names)| names.len()).sum();
        (names.map_or(0, count), self.bytes_each)
    }

    /// The clusters of a gateway.
    pub fn clusters(&self) -> &[Arc<str>] {
        let names = self.shared.names.first();
        names.map_or(&[], |names| &names[ResourceType::Cluster])
    }

    /// Connects gateways until there are this many, or disconnects the last ones. Waits until the new ones have all their resources.
    pub async fn resize(&mut self, count: usize) -> Result<Duration> {
        let begun = Instant::now();
        for member in self.members.drain(count.min(self.members.len())..) {
            member.disconnect();
        }
        let first = self.members.len();
        self.shared.complete.store(0, Ordering::Relaxed);
        for number in first..count {
            self.members.push(Member {
                region: number % self.shared.names.len(),
                delta: (number / self.shared.names.len()).is_multiple_of(2),
                held: Arc::default(),
                reads: Arc::new(AtomicBool::new(true)),
                task: None,
            });
            self.connect(number);
        }
        let new = count - first.min(count);
        self.until_complete(new).await?;
        Ok(begun.elapsed())
    }

    async fn until_complete(&self, count: usize) -> Result<()> {
        let begun = Instant::now();
        while self.shared.complete.load(Ordering::Relaxed) < count {
            if let Some(error) = lock(&self.shared.ended).first() {
                bail!("a stream has ended: {error}");
            }
            let complete = self.shared.complete.load(Ordering::Relaxed);
            ensure!(begun.elapsed() < PATIENCE, "{complete} of {count} have all");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    /// Connects all gateways again, with what they have.
    pub fn reconnect(&mut self) {
        for member in &mut self.members {
            if let Some(task) = member.task.take() {
                task.abort();
            }
        }
        (0..self.members.len()).for_each(|number| self.connect(number));
    }

    /// Connects one gateway of each `one_in` again as one that never reads; or all again as they were, for 0.
    pub fn slow_down(&mut self, one_in: usize) {
        for number in 0..self.members.len() {
            let reads = one_in == 0 || !number.is_multiple_of(one_in);
            let member = &mut self.members[number];
            if member.reads.swap(reads, Ordering::Relaxed) != reads {
                if let Some(task) = member.task.take() {
                    task.abort();
                }
                self.connect(number);
            }
        }
    }

    fn connect(&mut self, number: usize) {
        let shared = Arc::clone(&self.shared);
        let member = &mut self.members[number];
        let (region, delta) = (member.region, member.delta);
        let (held, reads) = (Arc::clone(&member.held), Arc::clone(&member.reads));
        member.task = Some(tokio::spawn(async move {
            let gateway = Gateway {
                number,
                region,
                held,
                shared,
                heard: AtomicBool::new(false),
            };
            let mut retries = 0;
            let ended = loop {
                match gateway.run(delta, reads.load(Ordering::Relaxed)).await {
                    Ok(()) => break "without an error".to_owned(),
                    Err(_) if retries < RETRIES && !gateway.heard.load(Ordering::Relaxed) => {
                        retries += 1;
                        tokio::time::sleep(RETRY).await;
                    }
                    Err(error) => break format!("{error:#}"),
                }
            };
            lock(&gateway.shared.ended).push(ended);
        }));
    }

    /// How many gateways read.
    pub fn readers(&self) -> usize {
        let members = self.members.iter();
        members
            .filter(|member| member.reads.load(Ordering::Relaxed))
            .count()
    }

    /// Bytes received so far.
    pub fn bytes(&self) -> u64 {
        self.shared.bytes.load(Ordering::Relaxed)
    }

    /// What has arrived since the last call.
    pub fn events(&self) -> Vec<Event> {
        std::mem::take(&mut lock(&self.shared.events))
    }

    /// How streams have ended since the last call.
    pub fn ended(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.shared.ended))
    }
}

impl Member {
    fn disconnect(self) {
        if let Some(task) = self.task {
            task.abort();
        }
    }
}

/// A gateway while it is connected.
struct Gateway {
    number: usize,
    region: usize,
    held: Arc<Mutex<Held>>,
    shared: Arc<Shared>,
    /// Whether there was a response.
    heard: AtomicBool,
}

impl Gateway {
    async fn run(&self, delta: bool, reads: bool) -> Result<()> {
        let window = (!reads).then_some(SLOW_WINDOW);
        let channel = channel(self.shared.xds, window).await?;
        let region = fleet::region(self.region);
        let before = lock(&self.held).clone();
        let mut stream = Stream::open(channel, delta, &region, &before).await?;
        let names = &self.shared.names[self.region];
        let returns = before.versions.iter().any(|(_, held)| !held.is_empty())
            || before.version.iter().any(|(_, held)| !held.is_empty());
        if !reads || returns {
            for kind in ResourceType::ALL.into_iter().skip(1) {
                stream.subscribe(kind, &names[kind], &before);
            }
        }
        if !reads {
            return std::future::pending().await;
        }
        let mut seen = PerType::from_fn(|_| returns);
        let expected = |kind: ResourceType| {
            matches!(kind, ResourceType::Cluster | ResourceType::Listener)
                || !names[kind].is_empty()
        };
        let mut complete = returns;
        while let Some(response) = stream.next().await? {
            self.heard.store(true, Ordering::Relaxed);
            let (kind, bytes, received) = (response.kind, response.bytes, Instant::now());
            let wanted = match kind {
                ResourceType::Cluster | ResourceType::Listener => &[][..],
                _ => &names[kind][..],
            };
            let share = |text: &str| self.shared.text(text);
            stream.accept(response, wanted, &mut lock(&self.held), share);
            self.shared.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
            lock(&self.shared.events).push(Event {
                stream: self.number,
                received,
                acked: Instant::now(),
                kind,
                bytes,
            });
            if !std::mem::replace(&mut seen[kind], true) {
                for kind in follow(kind) {
                    stream.subscribe(*kind, &names[*kind], &Held::default());
                }
            }
            if !complete && seen.iter().all(|(kind, seen)| *seen || !expected(kind)) {
                complete = true;
                self.shared.complete.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(())
    }
}

impl Shared {
    /// The same text, kept once.
    fn text(&self, text: &str) -> Arc<str> {
        let mut texts = lock(&self.texts);
        if let Some(text) = texts.get(text) {
            return Arc::clone(text);
        }
        let text: Arc<str> = text.into();
        texts.insert(Arc::clone(&text));
        text
    }
}

async fn channel(xds: SocketAddr, window: Option<u32>) -> Result<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{xds}"))?;
    let endpoint = endpoint
        .initial_stream_window_size(window)
        .initial_connection_window_size(window)
        .connect_timeout(PATIENCE);
    endpoint.connect().await.context("connecting")
}

/// The names of all resources of a region, and their bytes.
async fn scout(shared: &Shared, region: &str) -> Result<(Names, usize)> {
    let channel = channel(shared.xds, None).await?;
    let nothing = Held::default();
    let mut stream = Stream::open(channel, true, region, &nothing).await?;
    for kind in ResourceType::ALL.into_iter().skip(1) {
        stream.subscribe(kind, &["*".into()], &nothing);
    }
    let mut names = Names::from_fn(|_| Vec::new());
    let mut bytes = 0;
    let mut missing: HashSet<ResourceType> = ResourceType::ALL.into();
    while !missing.is_empty() {
        let response = tokio::time::timeout(PATIENCE, stream.next()).await;
        let response = response.context("no answer")??.context("it ended")?;
        let kind = response.kind;
        bytes += response.bytes;
        missing.remove(&kind);
        // A gateway asks for the plugins of its own kind.
        let own = response.names().filter(|name| !name.ends_with(".native"));
        let own: Vec<Arc<str>> = own.map(|name| shared.text(name)).collect();
        if !own.is_empty() {
            names[kind] = own;
        }
        stream.accept(response, &[], &mut Held::default(), |text| text.into());
    }
    // Asked for by wildcard.
    Ok((names, bytes))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

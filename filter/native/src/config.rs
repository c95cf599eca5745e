//! The configurations of plugins. Envoy makes each once, on its main thread, for all workers; each worker builds its own plugin of it.

use crate::abi::Ptr;
use crate::metrics;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The numbers of configurations that are in use.
static IN_USE: Mutex<BTreeSet<u64>> = Mutex::new(BTreeSet::new());

fn in_use() -> MutexGuard<'static, BTreeSet<u64>> {
    IN_USE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a configuration is in use.
pub fn is_in_use(number: u64) -> bool {
    in_use().contains(&number)
}

/// A plugin's configuration, as all workers have it.
pub struct Config {
    /// It tells it from all others, also from those that are gone.
    pub number: u64,
    /// What the plugin does.
    pub root: Vec<u8>,
    /// Its policy as JSON.
    pub policy: Vec<u8>,
    /// Envoy's id of each family of metrics; `None` if there was no room for it.
    pub metrics: Vec<Option<usize>>,
}

impl Config {
    /// A configuration that Envoy makes now, on its main thread. Metrics can be defined at this moment only.
    pub fn new(envoy: Ptr, root: &[u8], policy: &[u8]) -> Self {
        static NUMBERS: AtomicU64 = AtomicU64::new(0);
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        in_use().insert(number);
        Self {
            number,
            root: root.to_vec(),
            policy: policy.to_vec(),
            metrics: metrics::define_all(envoy),
        }
    }

    /// Whether it is of the plugin in front of providers, which shares nothing with the others.
    pub fn is_egress(&self) -> bool {
        self.root == b"egress"
    }

    /// Whether its streams are attempts of requests.
    pub fn is_of_attempts(&self) -> bool {
        self.root == b"guard"
    }

    /// Whether its streams are those of connections to this Envoy.
    pub fn is_downstream(&self) -> bool {
        matches!(self.root.as_slice(), b"router" | b"pool")
    }
}

impl Drop for Config {
    fn drop(&mut self) {
        in_use().remove(&self.number);
    }
}

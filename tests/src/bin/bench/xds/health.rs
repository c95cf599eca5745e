//! How soon `/healthz` answers, all the time.

use meridian_tests::world::client;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Between two requests.
const INTERVAL: Duration = Duration::from_millis(20);

/// Asks until it is dropped.
pub struct Health {
    asking: tokio::task::JoinHandle<()>,
    took: Arc<Mutex<Vec<Duration>>>,
}

impl Health {
    /// Asks this status port.
    pub fn watch(status: SocketAddr) -> Self {
        let took = Arc::new(Mutex::new(Vec::new()));
        let results = Arc::clone(&took);
        let asking = tokio::spawn(async move {
            let Ok(client) = client().build() else {
                return;
            };
            let url = format!("http://{status}/healthz");
            loop {
                let begun = Instant::now();
                // An error counts with the time it took: the control plane is gone at the end.
                let _answer = client.get(&url).send().await;
                lock(&results).push(begun.elapsed());
                tokio::time::sleep(INTERVAL).await;
            }
        });
        Self { asking, took }
    }

    /// How long the answers since the last call took.
    pub fn since(&self) -> Vec<Duration> {
        std::mem::take(&mut lock(&self.took))
    }
}

impl Drop for Health {
    fn drop(&mut self) {
        self.asking.abort();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

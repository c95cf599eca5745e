//! How soon `/healthz` answers, all the time.

use anyhow::Result;
use meridian_tests::world::client;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};
use tokio::runtime::Builder;
use tokio::sync::oneshot;

/// Between two requests.
const INTERVAL: Duration = Duration::from_millis(50);

/// Asks until it is dropped, from a thread of its own: what the streams of this program take does not count.
pub struct Health {
    _dropped_at_the_end: oneshot::Sender<()>,
    took: Arc<Mutex<Vec<Duration>>>,
}

impl Health {
    /// Asks this status port.
    ///
    /// # Errors
    /// There can be no client or thread.
    pub fn watch(status: SocketAddr) -> Result<Self> {
        let took = Arc::new(Mutex::new(Vec::new()));
        let results = Arc::clone(&took);
        let client = client().build()?;
        let url = format!("http://{status}/healthz");
        let asking = async move {
            loop {
                let begun = Instant::now();
                // An error counts with the time it took: the control plane is gone at the end.
                let _answer = client.get(&url).send().await;
                lock(&results).push(begun.elapsed());
                tokio::time::sleep(INTERVAL).await;
            }
        };
        let (dropped, stopped) = oneshot::channel::<()>();
        let runtime = Builder::new_current_thread().enable_all().build()?;
        thread::Builder::new()
            .name("health".into())
            .spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        () = asking => {}
                        _ = stopped => {}
                    }
                });
            })?;
        Ok(Self {
            _dropped_at_the_end: dropped,
            took,
        })
    }

    /// How long the answers since the last call took.
    pub fn since(&self) -> Vec<Duration> {
        std::mem::take(&mut lock(&self.took))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

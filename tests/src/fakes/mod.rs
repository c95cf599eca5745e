//! Fakes of inference servers and providers: real HTTP/1.1 servers on loopback whose answers look like those of
//! vLLM 0.32.0 and of a hosted API, and which fail on command. Every answer names its server: in the text, in
//! `system_fingerprint` (`fake-<name>`) and in the header `x-fake-server`.

mod answer;
mod anthropic;

mod bedrock;
mod behaviour;
mod claude;
mod control;
mod data;
mod database;
mod decision;
mod embeddings;
mod generation;
mod headers;
mod inference_request;
mod metrics;
mod openai;
mod problem;
mod recorded;
mod responses;
mod route;
mod server;
mod state;
mod stream;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use anyhow::Context;
use hyper::header::HeaderValue;
use tokio::sync::Mutex;

pub(crate) use bedrock::frame as bedrock_frame;
pub use behaviour::{Behaviour, Fail, Kind, Metrics, Replay};
pub use database::Database;
pub use embeddings::embedding;
pub use recorded::Recorded;

use control::Control;
use data::Data;
use server::Port;
use state::State;

/// A running fake. Dropping it stops the server: the port closes and open connections end with RST, soon after.
pub struct Fake {
    state: Arc<State>,
    addr: SocketAddr,
    data: Arc<Mutex<Port<Data>>>,
    control: Port<Control>,
}

impl Fake {
    /// Starts a fake: inference on `data`, control (see its `GET /`) on `control`; port 0 takes any free one.
    ///
    /// # Errors
    /// A port is taken, or `name` cannot be the value of a header.
    pub async fn start(
        name: &str,
        kind: Kind,
        data: SocketAddr,
        control: SocketAddr,
    ) -> anyhow::Result<Self> {
        let state = Arc::new(State::new(name, kind));
        let name = HeaderValue::from_str(name)
            .with_context(|| format!("{name:?} cannot be sent in a header"))?;
        let data = Port::open(
            data,
            Data {
                state: Arc::clone(&state),
                name,
            },
        )?;
        let addr = data.addr();
        let data = Arc::new(Mutex::new(data));
        let control = Port::open(
            control,
            Control {
                state: Arc::clone(&state),
                data: Arc::clone(&data),
            },
        )?;
        Ok(Self {
            state,
            addr,
            data,
            control,
        })
    }

    /// The name given at the start.
    pub fn name(&self) -> &str {
        &self.state.name
    }

    /// The address of the data port; it stays the same over [`kill`](Self::kill) and [`revive`](Self::revive).
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The address of the control port.
    pub fn control_addr(&self) -> SocketAddr {
        self.control.addr()
    }

    /// Replaces the whole behaviour.
    pub fn set(&self, behaviour: Behaviour) {
        self.state.change(|current| *current = behaviour);
    }

    /// Changes part of the behaviour.
    pub fn update(&self, change: impl FnOnce(&mut Behaviour)) {
        self.state.change(change);
    }

    /// The behaviour of now.
    pub fn behaviour(&self) -> Behaviour {
        self.state.behaviour()
    }

    /// Every request to the data port since the last [`clear`](Self::clear), in order, except the probes of a pool
    /// (`GET` on `/health`, `/ping`, `/load` and `/metrics`). A request is here before any byte of its answer is written.
    pub fn requests(&self) -> Vec<Recorded> {
        self.state.log().all()
    }

    /// Forgets the recorded requests.
    pub fn clear(&self) {
        self.state.log().clear();
    }

    /// How many probes came.
    pub fn probes(&self) -> u64 {
        self.state.probes.load(Ordering::SeqCst)
    }

    /// How often `/metrics` was read.
    pub fn scrapes(&self) -> u64 {
        self.state.scrapes.load(Ordering::SeqCst)
    }

    /// Bytes of request bodies read so far, those of requests still being sent included.
    pub fn bytes_received(&self) -> u64 {
        self.state.body_bytes.load(Ordering::SeqCst)
    }

    /// Inference requests being worked on, those that hang included.
    pub fn running(&self) -> u32 {
        self.state.running()
    }

    /// Tokens written so far over all streams.
    pub fn generated(&self) -> usize {
        self.state.generated.load(Ordering::SeqCst)
    }

    /// Lets gated streams write this many tokens more, together.
    pub fn release(&self, tokens: usize) {
        self.state.release(tokens);
    }

    /// Dies like a region: connections are refused and every open one, idle or not, has ended with RST on return.
    ///
    /// # Errors
    /// The port could not be kept for [`revive`](Self::revive).
    pub async fn kill(&self) -> anyhow::Result<()> {
        self.data.lock().await.kill().await
    }

    /// Listens on the same port again.
    ///
    /// # Errors
    /// The port was lost to somebody else.
    pub async fn revive(&self) -> anyhow::Result<()> {
        self.data.lock().await.revive()
    }
}

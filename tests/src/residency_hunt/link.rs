//! The link between a gateway and the control plane: a TCP proxy that can be cut, and that can stall midway through a push.

use super::sightings::lock;
use anyhow::Result;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// Between two looks at the state of a link.
const LOOK: Duration = Duration::from_millis(20);

/// What a link does with the bytes for the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It passes them on.
    Open,
    /// It passes on this many more, and keeps the rest until it is open again.
    StallsAfter(usize),
    /// It refuses connections, and has reset those that there were.
    Cut,
}

/// A link; it ends when it is dropped.
pub struct Link {
    state: Arc<Mutex<State>>,
    accepting: JoinHandle<()>,
}

impl Link {
    /// Listens for a gateway.
    pub fn start(listen: SocketAddr, control_plane: SocketAddr) -> Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(listen)?;
        let listener = socket.listen(64)?;
        let state = Arc::new(Mutex::new(State::Open));
        let shared = state.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((gateway, _)) = listener.accept().await {
                tokio::spawn(pass(gateway, control_plane, shared.clone()));
            }
        });
        Ok(Self { state, accepting })
    }

    /// Changes what it does, also with the connections that there are.
    pub fn set(&self, state: State) {
        *lock(&self.state) = state;
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn pass(gateway: TcpStream, control_plane: SocketAddr, state: Arc<Mutex<State>>) {
    let _ = gateway.set_nodelay(true);
    let _ = gateway.set_zero_linger();
    if is_cut(&state) {
        return;
    }
    let Ok(upstream) = TcpStream::connect(control_plane).await else {
        return;
    };
    let _ = upstream.set_nodelay(true);
    let (from_gateway, to_gateway) = gateway.into_split();
    let (from_control_plane, to_control_plane) = upstream.into_split();
    tokio::select! {
        _ = forward(from_gateway, to_control_plane, None) => {}
        _ = forward(from_control_plane, to_gateway, Some(&state)) => {}
        () = until_cut(&state) => {}
    }
}

fn is_cut(state: &Mutex<State>) -> bool {
    *lock(state) == State::Cut
}

async fn until_cut(state: &Mutex<State>) {
    while !is_cut(state) {
        sleep(LOOK).await;
    }
}

/// Passes bytes on. `state`: of the link, for the bytes that it may hold back.
async fn forward(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    state: Option<&Mutex<State>>,
) -> Result<()> {
    let mut buffer = vec![0; 16 << 10];
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        let mut left = &buffer[..read];
        while !left.is_empty() {
            let passes = state.map_or(left.len(), |state| taken(state, left.len()));
            if passes == 0 {
                sleep(LOOK).await;
                continue;
            }
            to.write_all(&left[..passes]).await?;
            left = &left[passes..];
        }
    }
}

/// How many bytes may pass now; they are taken off those that may pass before the link stalls.
fn taken(state: &Mutex<State>, wanted: usize) -> usize {
    match &mut *lock(state) {
        State::Open => wanted,
        State::StallsAfter(left) => {
            let passes = wanted.min(*left);
            *left -= passes;
            passes
        }
        State::Cut => 0,
    }
}

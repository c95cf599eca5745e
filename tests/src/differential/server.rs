//! A member of the chain: a server that answers requests as scripts say, byte by byte, and keeps all that it gets.

use super::gate::{Counted, Gate};
use super::message::{Kind, Message, Reader};
use anyhow::Result;
use std::collections::VecDeque;
use std::future::pending;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpSocket;
use tokio::task::JoinHandle;

/// What a server does with one request.
#[derive(Clone, Debug, Default)]
pub struct Script {
    /// It waits for the gate before it answers.
    pub waits: bool,
    /// What it writes; it waits for the gate between two pieces.
    pub pieces: Vec<Vec<u8>>,
    /// What it does then.
    pub ending: Ending,
}

/// What a server does with the connection after an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ending {
    /// It waits for the next request.
    #[default]
    Stays,
    /// It ends the connection.
    Closes,
    /// It ends the connection by RST.
    Resets,
    /// It says nothing more.
    Hangs,
}

/// A request as a server got it.
#[derive(Clone, Debug)]
pub struct Received {
    /// The request.
    pub message: Message,
    /// When it was whole, by the gateways' clocks, in milliseconds.
    pub at_ms: u64,
    /// Pieces of the answer that were written.
    pub written: usize,
    /// The gateway ended the connection while it was answered.
    pub is_left: bool,
}

/// A server; it ends when it is dropped.
pub struct Server {
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

struct Shared {
    gate: Arc<Gate>,
    scripts: Mutex<VecDeque<Script>>,
    received: Mutex<Vec<Received>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Server {
    /// Listens in the place of a fake that was killed.
    ///
    /// # Errors
    /// The address is taken.
    pub fn start(address: SocketAddr, gate: Arc<Gate>) -> Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let listener = socket.listen(1024)?;
        let shared = Arc::new(Shared {
            gate,
            scripts: Mutex::default(),
            received: Mutex::default(),
        });
        let all = shared.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = all.clone();
                tokio::spawn(async move {
                    if let Ok(stream) = Counted::new(stream, &shared.gate) {
                        shared.serve(stream).await;
                    }
                });
            }
        });
        Ok(Self { shared, accepting })
    }

    /// Says how the next requests are answered, the last one for all further ones, and forgets those before.
    pub fn plan(&self, scripts: &[Script]) {
        *lock(&self.shared.scripts) = scripts.iter().cloned().collect();
        lock(&self.shared.received).clear();
    }

    /// What came since.
    pub fn received(&self) -> Vec<Received> {
        lock(&self.shared.received).clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Shared {
    async fn serve(&self, stream: Counted) {
        let mut reader = Reader::new(stream);
        while let Some(message) = reader.message(Kind::Request).await {
            if is_health_check(&message) {
                let ok = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
                if reader.stream().write_all(ok).await.is_err() {
                    return;
                }
                continue;
            }
            let is_cut = message.is_cut;
            let at = self.record(message);
            if is_cut {
                return;
            }
            let script = self.next_script();
            let ending = script.ending;
            if !self.answer(&mut reader, script, at).await {
                self.note(at, |received| received.is_left = true);
                return;
            }
            match ending {
                Ending::Stays => {}
                Ending::Closes => return,
                Ending::Resets => return reader.into_stream().reset(),
                Ending::Hangs => return,
            }
        }
    }

    fn record(&self, message: Message) -> usize {
        let mut received = lock(&self.received);
        received.push(Received {
            message,
            at_ms: self.gate.now_ms(),
            written: 0,
            is_left: false,
        });
        received.len() - 1
    }

    fn note(&self, at: usize, change: impl FnOnce(&mut Received)) {
        lock(&self.received).get_mut(at).map(change);
    }

    fn next_script(&self) -> Script {
        let mut scripts = lock(&self.scripts);
        let last = scripts.len() == 1;
        if last {
            scripts.front().cloned().unwrap_or_default()
        } else {
            scripts.pop_front().unwrap_or_default()
        }
    }

    /// `false`: the gateway has ended the connection, or says something before it has an answer.
    async fn answer(&self, reader: &mut Reader<Counted>, script: Script, at: usize) -> bool {
        for (number, piece) in script.pieces.iter().enumerate() {
            if script.waits || number > 0 {
                tokio::select! {
                    () = self.gate.pass() => {}
                    _ = reader.more() => return false,
                }
            }
            if reader.stream().write_all(piece).await.is_err() {
                return false;
            }
            self.note(at, |received| received.written += 1);
        }
        if script.ending == Ending::Hangs {
            tokio::select! {
                () = pending() => {}
                _ = reader.more() => {}
            }
            return false;
        }
        if script.pieces.is_empty() && script.waits {
            tokio::select! {
                () = self.gate.pass() => {}
                _ = reader.more() => return false,
            }
        }
        true
    }
}

fn is_health_check(message: &Message) -> bool {
    let head = String::from_utf8_lossy(&message.head).to_ascii_lowercase();
    head.contains("user-agent: envoy/hc")
}

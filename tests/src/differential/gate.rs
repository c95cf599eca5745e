//! A gate that callers and servers wait at before each piece that they send, and a count of everything that they do. Whoever opens the gate
//! knows that all of them have done what they could.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use tokio::io::{self, AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;

/// The gate of one world.
#[derive(Default)]
pub struct Gate {
    activity: AtomicU64,
    waiting: AtomicU64,
    opens: Notify,
    /// Milliseconds by the gateways' clocks since they were stopped.
    now_ms: AtomicU64,
}

impl Gate {
    /// Waits until the gate is opened.
    pub async fn pass(&self) {
        let _waiting = Waiting::of(self);
        self.opens.notified().await;
    }

    /// Lets all pass that wait. `false`: nobody waits.
    pub fn open(&self) -> bool {
        let some_wait = self.waiting.load(Ordering::SeqCst) > 0;
        self.opens.notify_waiters();
        some_wait
    }

    /// How much was read and written so far.
    pub fn activity(&self) -> u64 {
        self.activity.load(Ordering::SeqCst)
    }

    /// The gateways' time, in milliseconds.
    pub fn now_ms(&self) -> u64 {
        self.now_ms.load(Ordering::SeqCst)
    }

    /// The gateways' clocks have been stepped.
    pub fn set_now_ms(&self, now_ms: u64) {
        self.now_ms.store(now_ms, Ordering::SeqCst);
    }

    fn note(&self) {
        self.activity.fetch_add(1, Ordering::SeqCst);
    }
}

struct Waiting<'g>(&'g Gate);

impl<'g> Waiting<'g> {
    fn of(gate: &'g Gate) -> Self {
        gate.note();
        gate.waiting.fetch_add(1, Ordering::SeqCst);
        Self(gate)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
        self.0.note();
    }
}

/// A connection whose reads and writes are counted.
pub struct Counted {
    stream: TcpStream,
    gate: Arc<Gate>,
}

impl Counted {
    /// A new connection.
    ///
    /// # Errors
    /// It is over already.
    pub fn new(stream: TcpStream, gate: &Arc<Gate>) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        gate.note();
        Ok(Self {
            stream,
            gate: gate.clone(),
        })
    }

    /// Ends it by RST.
    pub fn reset(self) {
        // Of a connection that is over already there is nothing to reset.
        let _ = self.stream.set_zero_linger();
    }
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = ready!(Pin::new(&mut self.stream).poll_read(context, buffer));
        self.gate.note();
        Poll::Ready(read)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(context, bytes));
        self.gate.note();
        Poll::Ready(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

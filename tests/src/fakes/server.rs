use std::convert::Infallible;
use std::future::{Future, pending};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep};

use super::behaviour::Replay;

pub(super) type Payload = UnsyncBoxBody<Bytes, Infallible>;

/// Answers the requests of one port.
pub(super) trait Handler: Clone + Send + Sync + 'static {
    fn handle(
        &self,
        request: Request<Incoming>,
        takeover: Takeover,
    ) -> impl Future<Output = Response<Payload>> + Send;
}

/// Takes the connection of a request away from the server.
#[derive(Clone, Default)]
pub(super) struct Takeover {
    wanted: Arc<Notify>,
    /// What is to be written, and the milliseconds between its pieces.
    replay: Arc<Mutex<Option<(Replay, u64)>>>,
}

impl Takeover {
    /// Ends the connection with RST. Never returns: the connection task drops the caller. Bytes handed over before are
    /// written first.
    pub(super) async fn reset(&self) -> Infallible {
        self.wanted.notify_one();
        pending().await
    }

    /// Writes these bytes instead of an answer, and nothing else. Never returns.
    pub(super) async fn replay(&self, replay: Replay, pause_ms: u64) -> Infallible {
        *self.replay.lock().unwrap_or_else(PoisonError::into_inner) = Some((replay, pause_ms));
        self.wanted.notify_one();
        pending().await
    }

    fn wanted_replay(&self) -> Option<(Replay, u64)> {
        self.replay
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}

/// A TCP port that can be closed as if its machine had died, and opened again. Dropping it closes it.
pub(super) struct Port<H> {
    addr: SocketAddr,
    handler: H,
    open: Option<Open>,
    held: Option<TcpSocket>,
}

struct Open {
    stop: watch::Sender<()>,
    accepting: JoinHandle<()>,
}

impl<H: Handler> Port<H> {
    /// Listens; port 0 takes any free one.
    pub(super) fn open(address: SocketAddr, handler: H) -> anyhow::Result<Self> {
        let socket = bind(address)?;
        let addr = socket.local_addr()?;
        let mut port = Self {
            addr,
            handler,
            open: None,
            held: Some(socket),
        };
        port.revive()?;
        Ok(port)
    }

    pub(super) fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Closes the listener and then every connection with RST; returns when all of it has happened.
    pub(super) async fn kill(&mut self) -> anyhow::Result<()> {
        if let Some(open) = self.open.take() {
            drop(open.stop);
            open.accepting.await?;
            // Bound but not listening: connections are refused, and nobody else gets the port meanwhile.
            self.held = Some(bind_again(self.addr).await?);
        }
        Ok(())
    }

    pub(super) fn revive(&mut self) -> anyhow::Result<()> {
        if self.open.is_none() {
            let socket = match self.held.take() {
                Some(socket) => socket,
                None => bind(self.addr)?,
            };
            let listener = socket.listen(1024)?;
            let (stop, stopping) = watch::channel(());
            let accepting = tokio::spawn(accept(listener, self.handler.clone(), stopping));
            self.open = Some(Open { stop, accepting });
        }
        Ok(())
    }
}

fn bind(addr: SocketAddr) -> anyhow::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket
        .bind(addr)
        .with_context(|| format!("cannot bind {addr}"))?;
    Ok(socket)
}

/// Binds the port of a listener that was closed. A process that is being started has a copy of it until its program runs.
async fn bind_again(addr: SocketAddr) -> anyhow::Result<TcpSocket> {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        match bind(addr) {
            Err(_) if Instant::now() < deadline => sleep(Duration::from_millis(5)).await,
            bound => return bound,
        }
    }
}

async fn accept<H: Handler>(listener: TcpListener, handler: H, stop: watch::Receiver<()>) {
    let mut connections = JoinSet::new();
    let mut stopping = pin!(stopped(stop.clone()));
    loop {
        tokio::select! {
            biased;
            () = &mut stopping => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => { connections.spawn(serve(stream, handler.clone(), stop.clone())); }
                // Out of file descriptors, most likely: leave the processor to those who can free some.
                Err(_) => sleep(Duration::from_millis(10)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn stopped(mut stop: watch::Receiver<()>) {
    while stop.changed().await.is_ok() {}
}

async fn serve<H: Handler>(stream: TcpStream, handler: H, stop: watch::Receiver<()>) {
    // Without it a token could wait for the acknowledgement of the one before.
    let _ = stream.set_nodelay(true);
    let takeover = Takeover::default();
    let service = service_fn(|request| {
        let (handler, takeover) = (handler.clone(), takeover.clone());
        async move { Ok::<_, Infallible>(handler.handle(request, takeover).await) }
    });
    let mut connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    // Biased, so that hyper has written what it was given before a reset is looked at.
    tokio::select! {
        biased;
        _ = &mut connection => return,
        () = takeover.wanted.notified() => {}
        () = stopped(stop.clone()) => {}
    }
    let mut stream = connection.into_parts().io.into_inner();
    if let Some((replay, pause_ms)) = takeover.wanted_replay() {
        // A client that has heard enough may hang up.
        let _ = write(&mut stream, &replay, pause_ms.max(1)).await;
        if replay.stalls {
            let mut hung_up = [0];
            tokio::select! {
                () = stopped(stop) => {}
                _ = stream.read(&mut hung_up) => {}
            }
        } else {
            let _ = stream.shutdown().await;
            return;
        }
    }
    let _ = stream.set_zero_linger();
}

/// Piece by piece, each in a packet of its own.
async fn write(stream: &mut TcpStream, replay: &Replay, pause_ms: u64) -> std::io::Result<()> {
    for piece in &replay.pieces {
        stream.write_all(piece).await?;
        stream.flush().await?;
        sleep(Duration::from_millis(pause_ms)).await;
    }
    Ok(())
}

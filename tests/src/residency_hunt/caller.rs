//! Sends a request, byte by byte where a client library would not, and hears what comes back.

use super::call::{Call, Framing};
use super::marker::{Part, marker};
use super::sightings::now;
use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame};
use hyper::{HeaderMap, Request};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::{sleep, timeout};

/// When a caller gives up, after its body was sent.
const PATIENCE: Duration = Duration::from_secs(15);

/// Pieces of a body that trickles.
const PIECES: u64 = 5;

/// What a caller heard.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    /// The status, if there was a head.
    pub status: Option<u16>,
    /// The gateway's id of the request.
    pub request_id: Option<String>,
    /// The region or fallback that answered, by Meridian's header.
    pub by: String,
    /// The gateway's decision, by Meridian's header.
    pub decision: String,
    /// When the head came, in milliseconds since the hunt began.
    pub head_at: Option<u64>,
}

/// What a caller heard, and when.
#[derive(Clone, Debug)]
pub struct Ended {
    /// The request.
    pub call: Call,
    /// What was heard.
    pub heard: Heard,
    /// How it ended without a whole answer.
    pub failure: Option<&'static str>,
    /// Just before it was sent.
    pub sent_at: u64,
    /// The end.
    pub ended_at: u64,
}

/// Sends a request and hears the answer to its end.
pub async fn ask(gateway: SocketAddr, call: Call) -> Ended {
    let patience = PATIENCE + Duration::from_millis(call.trickle_ms);
    let (sent_at, mut heard) = (now(), Heard::default());
    let asked = async {
        match call.framing {
            Framing::Http2 => http2(gateway, &call, &mut heard).await,
            Framing::Length | Framing::Chunks => http1(gateway, &call, &mut heard).await,
        }
    };
    let failure = match timeout(patience, asked).await {
        Ok(Ok(())) => None,
        Ok(Err(_)) if heard.status.is_none() => Some("no head"),
        Ok(Err(_)) => Some("cut"),
        Err(_) => Some("no end in time"),
    };
    Ended {
        call,
        heard,
        failure,
        sent_at,
        ended_at: now(),
    }
}

async fn http1(gateway: SocketAddr, call: &Call, heard: &mut Heard) -> Result<()> {
    let stream = TcpStream::connect(gateway).await?;
    stream.set_nodelay(true)?;
    let (mut reader, mut writer) = stream.into_split();
    // A gateway may answer before it has the whole body.
    let read = async {
        let mut all = Vec::new();
        loop {
            let more = reader.read_buf(&mut all).await?;
            if heard.status.is_none() {
                head(&all, heard)?;
            }
            if more == 0 {
                break;
            }
        }
        heard.status.context("no head")?;
        if is_whole(&all) { Ok(()) } else { bail!("cut") }
    };
    let write = async {
        // A gateway that has answered may not read the rest.
        let _ = write_http1(&mut writer, call).await;
    };
    let (read, ()) = tokio::join!(read, write);
    read
}

async fn write_http1(writer: &mut (impl AsyncWriteExt + Unpin), call: &Call) -> Result<()> {
    let Call { path, body, .. } = call;
    let mut text = format!("POST {path} HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n");
    for (name, value) in &call.headers {
        text += &format!("{name}: {value}\r\n");
    }
    let chunked = call.framing == Framing::Chunks;
    if chunked {
        text += "transfer-encoding: chunked\r\ntrailer: x-last\r\n\r\n";
    } else {
        text += &format!("content-length: {}\r\n\r\n", body.len());
    }
    writer.write_all(text.as_bytes()).await?;
    for piece in pieces(call) {
        if chunked {
            let (size, extension) = (piece.len(), marker(call.id, Part::Extension));
            let text = format!("{size:x};{extension}={extension}\r\n{piece}\r\n");
            writer.write_all(text.as_bytes()).await?;
        } else {
            writer.write_all(piece.as_bytes()).await?;
        }
        pause(call).await;
    }
    if chunked {
        let trailer = marker(call.id, Part::Trailer);
        let end = format!("0;{trailer}\r\nx-last: {trailer}\r\n\r\n");
        writer.write_all(end.as_bytes()).await?;
    }
    Ok(())
}

/// The body in pieces: one, unless it trickles.
fn pieces(call: &Call) -> Vec<&str> {
    if call.trickle_ms == 0 {
        return vec![&call.body];
    }
    let size = call.body.len().div_ceil(PIECES as usize);
    let pieces = call.body.as_bytes().chunks(size);
    // The body is ASCII.
    pieces
        .map(|piece| std::str::from_utf8(piece).unwrap_or_default())
        .collect()
}

async fn pause(call: &Call) {
    if call.trickle_ms > 0 {
        sleep(Duration::from_millis(call.trickle_ms / PIECES)).await;
    }
}

/// Reads the head of an answer, once it is whole.
fn head(all: &[u8], heard: &mut Heard) -> Result<()> {
    let Some(end) = all.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(());
    };
    let text = String::from_utf8_lossy(&all[..end]).into_owned();
    let status = text.split(' ').nth(1).context("no status")?;
    let field = |wanted: &str| {
        text.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            (name.eq_ignore_ascii_case(wanted)).then(|| value.trim().to_owned())
        })
    };
    *heard = Heard {
        status: Some(status.parse()?),
        request_id: field("x-request-id"),
        by: field("x-meridian-region").unwrap_or_default(),
        decision: field("x-meridian-decision").unwrap_or_default(),
        head_at: Some(now()),
    };
    Ok(())
}

/// Whether an answer that was read to the end of its connection is whole.
fn is_whole(all: &[u8]) -> bool {
    let end = all.windows(4).position(|window| window == b"\r\n\r\n");
    let Some(end) = end else { return false };
    let text = String::from_utf8_lossy(&all[..end]).to_ascii_lowercase();
    let length = text
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"));
    match length.and_then(|length| length.trim().parse::<usize>().ok()) {
        Some(length) => all.len() == end + 4 + length,
        None => !text.contains("transfer-encoding: chunked") || all.ends_with(b"0\r\n\r\n"),
    }
}

async fn http2(gateway: SocketAddr, call: &Call, heard: &mut Heard) -> Result<()> {
    let stream = TcpStream::connect(gateway).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    let connection = Aborted(tokio::spawn(async move {
        let _ = connection.await;
    }));
    let mut request = Request::post(format!("http://{gateway}{}", call.path));
    for (name, value) in &call.headers {
        request = request.header(*name, value);
    }
    let (frames, body) = channel(1);
    let body = Queue(body);
    let asked = async {
        let answer = sender.send_request(request.body(body)?).await?;
        note_head(answer.status().as_u16(), answer.headers(), heard);
        let mut body = answer.into_body();
        while let Some(frame) = body.frame().await {
            frame?;
        }
        anyhow::Ok(())
    };
    let pieces = frames_of(call);
    let (asked, ()) = tokio::join!(asked, send_frames(&pieces, frames, call));
    drop(connection);
    asked
}

/// A task that ends when this is dropped.
struct Aborted(tokio::task::JoinHandle<()>);

impl Drop for Aborted {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A body whose frames come from a task.
struct Queue(Receiver<Frame<Bytes>>);

impl Body for Queue {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|frame| frame.map(Ok))
    }
}

fn frames_of(call: &Call) -> Vec<Bytes> {
    let pieces = pieces(call).into_iter();
    pieces.map(|piece| Bytes::from(piece.to_owned())).collect()
}

async fn send_frames(pieces: &[Bytes], frames: Sender<Frame<Bytes>>, call: &Call) {
    for piece in pieces {
        if frames.send(Frame::data(piece.clone())).await.is_err() {
            return;
        }
        pause(call).await;
    }
    let mut trailers = HeaderMap::new();
    if let Ok(value) = marker(call.id, Part::Trailer).parse() {
        trailers.insert("x-last", value);
    }
    let _ = frames.send(Frame::trailers(trailers)).await;
}

fn note_head(status: u16, headers: &HeaderMap, heard: &mut Heard) {
    let field = |name: &str| {
        let value = headers.get(name).and_then(|value| value.to_str().ok());
        value.map(str::to_owned)
    };
    *heard = Heard {
        status: Some(status),
        request_id: field("x-request-id"),
        by: field("x-meridian-region").unwrap_or_default(),
        decision: field("x-meridian-decision").unwrap_or_default(),
        head_at: Some(now()),
    };
}

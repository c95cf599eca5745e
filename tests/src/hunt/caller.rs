//! A caller that keeps every byte.

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// When a caller gives up.
const PATIENCE: Duration = Duration::from_secs(40);

/// What a caller sends, from the USA.
#[derive(Clone, Debug)]
pub struct Call {
    /// The body of a chat.
    pub body: String,
    /// It speaks HTTP/2.
    pub http2: bool,
    /// It leaves after this time.
    pub leaves_after: Option<Duration>,
}

/// What a caller heard.
#[derive(Debug, Default)]
pub struct Heard {
    /// The status; 0 if there was no head.
    pub status: u16,
    /// The body, without its framing.
    pub body: Vec<u8>,
    /// The connection, or the stream, broke off before the end of the body.
    pub is_cut: bool,
}

/// Sends a request and reads until the end, or until the caller leaves.
pub async fn ask(gateway: SocketAddr, call: &Call) -> Result<Heard> {
    let patience = call.leaves_after.unwrap_or(PATIENCE);
    let heard = if call.http2 {
        timeout(patience, http2(gateway, call)).await
    } else {
        timeout(patience, http1(gateway, call)).await
    };
    match heard {
        Ok(heard) => heard,
        Err(_) if call.leaves_after.is_some() => Ok(Heard::default()),
        Err(_) => bail!("no end of an answer after {PATIENCE:?}"),
    }
}

async fn http1(gateway: SocketAddr, call: &Call) -> Result<Heard> {
    let mut stream = TcpStream::connect(gateway).await?;
    let body = &call.body;
    // All callers share one id: it is theirs to choose.
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\ncf-ipcountry: US\r\nx-request-id: the-same\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all((head + body).as_bytes()).await?;
    let mut all = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        // A reset ends what there is to read, as does the end.
        let more = stream.read(&mut buffer).await.unwrap_or(0);
        all.extend_from_slice(&buffer[..more]);
        if let Some(heard) = whole(&all, more == 0)? {
            return Ok(heard);
        }
    }
}

/// The answer in these bytes, once it is whole or cut.
fn whole(all: &[u8], ends: bool) -> Result<Option<Heard>> {
    let Some(end) = all.windows(4).position(|window| window == b"\r\n\r\n") else {
        if ends || !b"HTTP/1.1 ".starts_with(&all[..all.len().min(9)]) {
            bail!("no head: {:?}", String::from_utf8_lossy(all));
        }
        return Ok(None);
    };
    let head = String::from_utf8(all[..end].to_vec())?.to_ascii_lowercase();
    let status = head.split(' ').nth(1).context("no status")?.parse()?;
    let rest = &all[end + 4..];
    let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name));
    if let Some(length) = field("content-length:") {
        let length: usize = length.trim().parse()?;
        if rest.len() > length {
            bail!("bytes behind the end: {:?}", String::from_utf8_lossy(rest));
        }
        let is_cut = rest.len() < length;
        return Ok((ends || !is_cut).then(|| Heard {
            status,
            body: rest.to_vec(),
            is_cut,
        }));
    }
    if field("transfer-encoding:").is_none() {
        bail!("a body of no known length: {head}");
    }
    let (body, is_whole) = unchunked(rest)?;
    Ok((ends || is_whole).then_some(Heard {
        status,
        body,
        is_cut: !is_whole,
    }))
}

/// The body in chunks so far, and whether it is whole.
fn unchunked(mut rest: &[u8]) -> Result<(Vec<u8>, bool)> {
    let mut body = Vec::new();
    while let Some(line) = rest.windows(2).position(|window| window == b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..line])?, 16)?;
        let from = line + 2;
        if rest.len() < from + size + 2 {
            body.extend_from_slice(&rest[from..rest.len().min(from + size)]);
            return Ok((body, false));
        }
        body.extend_from_slice(&rest[from..from + size]);
        rest = &rest[from + size + 2..];
        if size == 0 {
            if !rest.is_empty() {
                bail!("bytes behind the end: {:?}", String::from_utf8_lossy(rest));
            }
            return Ok((body, true));
        }
    }
    Ok((body, false))
}

async fn http2(gateway: SocketAddr, call: &Call) -> Result<Heard> {
    let stream = TokioIo::new(TcpStream::connect(gateway).await?);
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await?;
    let connection = tokio::spawn(connection);
    let request = Request::post(format!("http://{gateway}/v1/chat/completions"))
        .header("cf-ipcountry", "US")
        .header("x-request-id", "the-same")
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(call.body.clone())))?;
    let answer = sender.send_request(request).await.context("no head")?;
    let (status, mut body) = (answer.status().as_u16(), answer.into_body());
    let mut heard = Heard {
        status,
        ..Heard::default()
    };
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => heard
                .body
                .extend_from_slice(frame.data_ref().map_or(&[], |data| data)),
            Err(_) => {
                heard.is_cut = true;
                break;
            }
        }
    }
    connection.abort();
    Ok(heard)
}

//! A caller that sends a request piece by piece, and keeps all that it gets.

use super::gate::{Counted, Gate};
use super::message::{Kind, Message, Reader, status};
use anyhow::{Context, Result};
use bytes::Bytes;
use futures_util::stream::unfold;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper::header::{HeaderName, HeaderValue};
use hyper::{HeaderMap, Request, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::net::TcpSocket;

/// What a caller sends.
#[derive(Clone, Debug)]
pub struct Call {
    /// Its address.
    pub from: IpAddr,
    /// It speaks HTTP/2.
    pub http2: bool,
    /// The method.
    pub method: &'static str,
    /// The path with its query.
    pub path: String,
    /// The headers, but those of the framing.
    pub headers: Vec<(String, String)>,
    /// The body; it waits for the gate between two pieces.
    pub pieces: Vec<Vec<u8>>,
    /// The head says how long the body is.
    pub has_length: bool,
    /// The trailers, if the head does not.
    pub trailers: Vec<(String, String)>,
}

/// What a caller got.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    /// The heads of interim answers.
    pub interim: Vec<Message>,
    /// The answer. Of HTTP/2 its head has the lines of HTTP/1.1, in the order of their names.
    pub answer: Option<Message>,
    /// Bytes behind it.
    pub behind: Vec<u8>,
    /// What was wrong with the stream, of HTTP/2.
    pub error: String,
    /// When it ended, by the gateways' clocks, in milliseconds.
    pub at_ms: u64,
}

/// Sends a request and reads until the end of the answer.
pub async fn ask(gateway: SocketAddr, call: Call, gate: Arc<Gate>) -> Result<Heard> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(call.from, 0))?;
    let stream = Counted::new(socket.connect(gateway).await?, &gate)?;
    let mut heard = if call.http2 {
        http2(stream, call, gate.clone()).await?
    } else {
        http1(stream, &call, &gate).await
    };
    heard.at_ms = gate.now_ms();
    Ok(heard)
}

async fn http1(stream: Counted, call: &Call, gate: &Gate) -> Heard {
    let (reader, mut writer) = tokio::io::split(stream);
    let mut reader = Reader::new(reader);
    let mut heard = Heard::default();
    let kind = match call.method {
        "HEAD" => Kind::AnswerToHead,
        _ => Kind::Answer,
    };
    let read = async {
        while let Some(message) = reader.message(kind).await {
            if !matches!(status(&message.head), 100..=199) {
                heard.answer = Some(message);
                break;
            }
            heard.interim.push(message);
        }
    };
    let write = async {
        // A gateway that has answered need not read on.
        let _ = send(&mut writer, call, gate).await;
    };
    let mut read = Box::pin(read);
    tokio::select! {
        () = &mut read => {}
        () = write => read.as_mut().await,
    }
    drop(read);
    heard.behind = reader.unread().to_vec();
    // The gateway may learn of the answer's end after its last byte: a caller that left between them would have left before the end.
    gate.pass().await;
    heard
}

async fn send(
    writer: &mut (impl AsyncWrite + Unpin),
    call: &Call,
    gate: &Gate,
) -> std::io::Result<()> {
    let length: usize = call.pieces.iter().map(Vec::len).sum();
    let mut head = format!(
        "{} {} HTTP/1.1\r\nhost: gateway\r\n",
        call.method, call.path
    );
    for (name, value) in &call.headers {
        head += &format!("{name}: {value}\r\n");
    }
    head += &match (call.has_length, length) {
        (true, 0) if call.method == "GET" => "\r\n".to_owned(),
        (true, _) => format!("content-length: {length}\r\n\r\n"),
        (false, _) => "transfer-encoding: chunked\r\n\r\n".to_owned(),
    };
    writer.write_all(head.as_bytes()).await?;
    for (number, piece) in call.pieces.iter().enumerate() {
        if number > 0 {
            gate.pass().await;
        }
        if call.has_length {
            writer.write_all(piece).await?;
        } else if !piece.is_empty() {
            let size = format!("{:x}\r\n", piece.len());
            let chunk = [size.as_bytes(), piece, b"\r\n"].concat();
            writer.write_all(&chunk).await?;
        }
    }
    if !call.has_length {
        let mut end = "0\r\n".to_owned();
        for (name, value) in &call.trailers {
            end += &format!("{name}: {value}\r\n");
        }
        writer.write_all((end + "\r\n").as_bytes()).await?;
    }
    Ok(())
}

async fn http2(stream: Counted, call: Call, gate: Arc<Gate>) -> Result<Heard> {
    let stream = TokioIo::new(stream);
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await?;
    let connection = AbortOnDrop(tokio::spawn(async move {
        let _ = connection.await;
    }));
    let heard = match sender.send_request(request(call, gate.clone())?).await {
        Err(error) => Heard {
            error: words(&error),
            ..Heard::default()
        },
        Ok(answer) => {
            let head = format!(
                "HTTP/2 {}\n{}",
                answer.status().as_u16(),
                lines(answer.headers())
            );
            let mut message = Message {
                head: head.into_bytes(),
                ..Message::default()
            };
            let mut error = String::new();
            let mut body = answer.into_body();
            while let Some(frame) = body.frame().await {
                match frame.map(Frame::into_data) {
                    Ok(Ok(data)) => message.body.extend_from_slice(&data),
                    Ok(Err(frame)) => {
                        let trailers = frame.into_trailers().unwrap_or_default();
                        message.trailers = lines(&trailers).into_bytes();
                    }
                    Err(broken) => {
                        message.is_cut = true;
                        error = words(&broken);
                        break;
                    }
                }
            }
            Heard {
                answer: Some(message),
                error,
                ..Heard::default()
            }
        }
    };
    gate.pass().await;
    drop(connection);
    Ok(heard)
}

struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The words of an error and of its causes.
fn words(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words += &format!(": {error}");
        cause = error.source();
    }
    words
}

fn lines(headers: &HeaderMap) -> String {
    let mut names: Vec<&HeaderName> = headers.keys().collect();
    names.sort_by_key(|name| name.as_str());
    let line = |name: &HeaderName, value: &HeaderValue| {
        format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes()))
    };
    let all = names.into_iter().flat_map(|name| {
        let values = headers.get_all(name).iter();
        values.map(move |value| line(name, value))
    });
    all.collect()
}

fn request(
    call: Call,
    gate: Arc<Gate>,
) -> Result<Request<impl hyper::body::Body<Data = Bytes, Error = Infallible> + Send + 'static>> {
    let length: usize = call.pieces.iter().map(Vec::len).sum();
    let mut request = Request::builder()
        .method(call.method)
        .version(Version::HTTP_2)
        .uri(format!("http://gateway{}", call.path));
    for (name, value) in &call.headers {
        request = request.header(name, HeaderValue::from_bytes(value.as_bytes())?);
    }
    if call.has_length && !(length == 0 && call.method == "GET") {
        request = request.header("content-length", length);
    }
    let mut trailers = HeaderMap::new();
    for (name, value) in call.trailers.iter().filter(|_| !call.has_length) {
        trailers.append(HeaderName::try_from(name)?, HeaderValue::try_from(value)?);
    }
    let pieces = call
        .pieces
        .into_iter()
        .map(|piece| Frame::data(piece.into()));
    let end = (!trailers.is_empty()).then(|| Frame::trailers(trailers));
    let frames: Vec<Frame<Bytes>> = pieces.chain(end).collect();
    let body = unfold((frames.into_iter(), false), move |(mut frames, begun)| {
        let gate = gate.clone();
        async move {
            let frame = frames.next()?;
            if begun && frame.is_data() {
                gate.pass().await;
            }
            Some((Ok(frame), (frames, true)))
        }
    });
    request
        .body(StreamBody::new(Box::pin(body)))
        .context("a request that cannot be")
}

mod answers;
mod control;
mod failures;
mod metrics;
mod streams;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Fake, Kind};

const ANY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
const DEADLINE: Duration = Duration::from_secs(10);

async fn pool() -> Fake {
    let kind = Kind::Pool {
        models: vec!["tiny".to_owned()],
    };
    Fake::start("west", kind, ANY, ANY).await.unwrap()
}

async fn provider() -> Fake {
    let kind = Kind::Provider {
        api_key: "secret".to_owned(),
    };
    Fake::start("hosted", kind, ANY, ANY).await.unwrap()
}

fn question() -> Value {
    json!({"model": "tiny", "messages": [{"role": "user", "content": "one two three"}]})
}

fn with(mut body: Value, more: Value) -> Value {
    let more = more.as_object().unwrap().clone();
    body.as_object_mut().unwrap().extend(more);
    body
}

struct Answered {
    status: u16,
    headers: HeaderMap,
    body: Bytes,
}

impl Answered {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// The payloads of the server-sent events.
    fn events(&self) -> Vec<&str> {
        let blocks = self.text().split_terminator("\n\n");
        blocks
            .map(|block| {
                block
                    .lines()
                    .last()
                    .unwrap()
                    .strip_prefix("data: ")
                    .unwrap()
            })
            .collect()
    }
}

async fn connect(addr: SocketAddr) -> SendRequest<Full<Bytes>> {
    let stream = TcpStream::connect(addr).await.unwrap();
    let (sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

fn request(method: &str, path: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "fake")
        .header("content-type", "application/json");
    request.body(Full::new(body.into())).unwrap()
}

async fn whole(response: Response<Incoming>) -> Answered {
    let (parts, body) = response.into_parts();
    Answered {
        status: parts.status.as_u16(),
        headers: parts.headers,
        body: body.collect().await.unwrap().to_bytes(),
    }
}

async fn send(addr: SocketAddr, request: Request<Full<Bytes>>) -> Answered {
    let exchange = async { whole(connect(addr).await.send_request(request).await.unwrap()).await };
    tokio::time::timeout(DEADLINE, exchange)
        .await
        .expect("an answer in time")
}

async fn get(addr: SocketAddr, path: &str) -> Answered {
    send(addr, request("GET", path, "")).await
}

async fn post(addr: SocketAddr, path: &str, body: &Value) -> Answered {
    send(addr, request("POST", path, body.to_string())).await
}

async fn chat(fake: &Fake, more: Value) -> Answered {
    post(fake.addr(), "/v1/chat/completions", &with(question(), more)).await
}

/// A connection that has sent one chat, with nothing between the test and the socket.
async fn raw_chat(fake: &Fake, more: Value) -> TcpStream {
    let body = with(question(), more).to_string();
    let mut stream = TcpStream::connect(fake.addr()).await.unwrap();
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: fake\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all((head + &body).as_bytes()).await.unwrap();
    stream
}

/// Everything up to the end of the connection, and how it ended.
async fn read_out(stream: &mut TcpStream) -> (String, std::io::Result<()>) {
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut bytes))
        .await
        .expect("an end in time");
    (String::from_utf8(bytes).unwrap(), read.map(drop))
}

/// Reads until `text` holds `count` tokens.
async fn read_tokens(stream: &mut TcpStream, text: &mut String, count: usize) {
    let mut buffer = [0; 4096];
    // The last one may be cut off at the end of a read: its digit is what counts.
    while !text.contains(&format!("token{}", count - 1)) {
        let read = tokio::time::timeout(DEADLINE, stream.read(&mut buffer));
        let read = read.await.expect("a token in time").unwrap();
        assert_ne!(read, 0, "the stream ended early: {text}");
        text.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
    }
}

async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(DEADLINE, wait)
        .await
        .unwrap_or_else(|_| panic!("never: {what}"));
}

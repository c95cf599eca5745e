//! The inference server behind every variant: it reads the request and answers at once.

use anyhow::Result;
use bytes::Bytes;
use futures_util::stream;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::json;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::time::sleep;

/// Chunks of a stream.
pub const CHUNKS: usize = 200;

/// Serves for as long as the process lives, on a thread of its own.
pub async fn start(address: SocketAddr) -> Result<()> {
    let listener = TcpListener::bind(address).await?.into_std()?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    // It ends with the process.
    std::thread::spawn(move || runtime.block_on(serve(listener)));
    Ok(())
}

async fn serve(listener: std::net::TcpListener) -> Result<()> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let connection =
            http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer));
        tokio::spawn(connection);
    }
}

type Body = BoxBody<Bytes, Infallible>;

async fn answer(request: Request<Incoming>) -> Result<Response<Body>, hyper::Error> {
    let body = request.into_body().collect().await?.to_bytes();
    let is_streamed = body
        .windows(13)
        .take(200)
        .any(|part| part == b"\"stream\":true");
    let (kind, body) = if is_streamed {
        ("text/event-stream", events())
    } else {
        ("application/json", Full::new(whole()).boxed())
    };
    let mut response = Response::new(body);
    let kind = hyper::header::HeaderValue::from_static(kind);
    response.headers_mut().insert("content-type", kind);
    Ok(response)
}

fn whole() -> Bytes {
    json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1_795_000_000, "model": "model-5",
        "choices": [{ "index": 0, "message": { "role": "assistant", "content": "Hello, how can I help you today?" }, "finish_reason": "stop" }],
        "usage": { "prompt_tokens": 12, "completion_tokens": 9, "total_tokens": 21 },
    }).to_string().into()
}

/// A stream: each chunk is written by itself.
fn events() -> Body {
    let chunk = |delta: serde_json::Value, finish: Option<&str>| {
        let choice = json!({ "index": 0, "delta": delta, "finish_reason": finish });
        let chunk = json!({ "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_795_000_000, "model": "model-5", "choices": [choice] });
        format!("data: {chunk}\n\n")
    };
    let role = chunk(json!({ "role": "assistant", "content": "" }), None);
    let word = chunk(json!({ "content": "word " }), None);
    let end = chunk(json!({}), Some("stop")) + "data: [DONE]\n\n";
    let pieces = std::iter::once(role)
        .chain(std::iter::repeat_n(word, CHUNKS - 2))
        .chain([end]);
    let pieces = stream::unfold(pieces, |mut pieces| async move {
        let piece = pieces.next()?;
        // What is ready at once would be written together.
        sleep(Duration::from_millis(1)).await;
        Some((Ok::<_, Infallible>(Frame::data(Bytes::from(piece))), pieces))
    });
    StreamBody::new(pieces).boxed()
}

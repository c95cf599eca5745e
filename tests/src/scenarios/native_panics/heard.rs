//! What a caller heard, whole or cut.

use crate::world::{DEADLINE, MODEL};
use anyhow::Result;
use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::HeaderMap;
use hyper::body::Frame;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use std::convert::Infallible;
use std::net::SocketAddr;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// What its caller gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// 500 and the code of a gateway that failed.
    Failed,
    /// The beginning of an answer, and the end of the connection or stream.
    Cut,
    /// The whole answer.
    Served,
}

/// What a caller heard.
#[derive(Debug)]
pub struct Heard {
    status: u16,
    body: String,
    /// The answer broke off.
    is_cut: bool,
}

impl Heard {
    /// Whether it is as expected.
    pub fn is(&self, expect: Expect) -> bool {
        let body: Value = serde_json::from_str(&self.body).unwrap_or_default();
        let error = &body["error"];
        match expect {
            Expect::Failed => {
                let says = (&error["code"], &error["type"]);
                let is_error = says == (&json!("gateway_failed"), &json!("server_error"));
                self.status == 500 && is_error && !self.is_cut
            }
            Expect::Cut => self.status == 200 && self.is_cut,
            Expect::Served => {
                let is_whole = self.body.ends_with("data: [DONE]\n\n")
                    || body["choices"][0]["finish_reason"] == "stop";
                self.status == 200 && is_whole && !self.is_cut
            }
        }
    }
}

/// Reads an answer to its end.
pub async fn read(mut response: reqwest::Response) -> Result<Heard> {
    let status = response.status().as_u16();
    let mut body = Vec::new();
    let is_cut = loop {
        match response.chunk().await {
            Ok(Some(piece)) => body.extend_from_slice(&piece),
            Ok(None) => break false,
            Err(_) => break true,
        }
    };
    Ok(Heard {
        status,
        body: String::from_utf8(body)?,
        is_cut,
    })
}

/// Sends a request by HTTP/2 whose body is followed by trailers.
pub async fn ask_with_trailers(gateway: SocketAddr, (name, value): (&str, &str)) -> Result<Heard> {
    let (io, executor) = (
        TokioIo::new(TcpStream::connect(gateway).await?),
        TokioExecutor::new(),
    );
    let (mut sender, connection) = hyper::client::conn::http2::handshake(executor, io).await?;
    tokio::spawn(connection);
    let body = json!({ "model": MODEL, "messages": [{ "role": "user", "content": "hi" }] });
    let mut trailers = HeaderMap::new();
    trailers.insert("x-checksum", "1".parse()?);
    let frames = [
        Frame::data(Bytes::from(body.to_string())),
        Frame::trailers(trailers),
    ];
    // Of no known length: HTTP/1 has no trailers behind a body with one.
    let body = StreamBody::new(stream::iter(frames.map(Ok::<_, Infallible>)));
    let request = hyper::Request::post(format!("http://{gateway}/v1/chat/completions"))
        .header("cf-ipcountry", "US")
        .header("content-type", "application/json")
        .header(name, value)
        .body(body)?;
    let answer = timeout(DEADLINE, sender.send_request(request)).await??;
    let (head, mut body) = answer.into_parts();
    let mut read = Vec::new();
    let mut is_cut = false;
    while let Some(frame) = timeout(DEADLINE, body.frame()).await? {
        match frame {
            Ok(frame) => read.extend_from_slice(frame.data_ref().map_or(&[], |data| data)),
            Err(_) => {
                is_cut = true;
                break;
            }
        }
    }
    Ok(Heard {
        status: head.status.as_u16(),
        body: String::from_utf8(read)?,
        is_cut,
    })
}

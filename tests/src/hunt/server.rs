//! A member of the chain: a server that does with each request what its plan says, byte by byte.

use super::act::{Act, Words};
use super::plan::{MEMBERS, Part, Plan};
use anyhow::{Context, Result};
use flate2::Compression;
use flate2::write::GzEncoder;
use std::collections::HashMap;
use std::future::pending;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// A server; it ends when it is dropped.
pub struct Server {
    asked: Asked,
    accepting: JoinHandle<()>,
}

/// How often each request came.
type Asked = Arc<Mutex<HashMap<u64, u64>>>;

impl Server {
    /// Listens in the place of a fake that was killed.
    pub fn start(member: &'static str, address: SocketAddr) -> Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let listener = socket.listen(1024)?;
        let asked = Asked::default();
        let noted = asked.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let noted = noted.clone();
                // A gateway that hangs up has its reasons.
                tokio::spawn(async move { serve(member, stream, &noted).await.ok() });
            }
        });
        Ok(Self { asked, accepting })
    }

    /// How often a request came.
    pub fn asked(&self, id: u64) -> u64 {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.get(&id).copied().unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn serve(member: &'static str, stream: TcpStream, asked: &Asked) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    loop {
        let (mut first, mut length) = (String::new(), 0);
        if stream.read_line(&mut first).await? == 0 {
            return Ok(());
        }
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).await?;
            let line = line.trim().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse()?;
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        if first.starts_with("GET") {
            let ok = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
            stream.write_all(ok).await?;
            continue;
        }
        let plan = Plan::read(&body)?;
        *asked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(plan.id)
            .or_default() += 1;
        let at = MEMBERS.iter().position(|known| *known == member);
        let part = *plan.parts.get(at.context("a member")?).context("a part")?;
        // Whatever it does, it sees when the gateway hangs up.
        let mut hung_up = [0];
        let (mut reader, writer) = tokio::io::split(stream.into_inner());
        let mut answer = Answer {
            writer,
            plan: &plan,
            member,
        };
        let goes_on = tokio::select! {
            goes_on = answer.act(part) => goes_on?,
            _ = reader.read(&mut hung_up) => return Ok(()),
        };
        let whole = reader.unsplit(answer.writer);
        if !goes_on {
            whole.set_zero_linger()?;
            return Ok(());
        }
        stream = BufReader::new(whole);
    }
}

struct Answer<'p> {
    writer: tokio::io::WriteHalf<TcpStream>,
    plan: &'p Plan,
    member: &'static str,
}

impl Answer<'_> {
    /// `false`: the connection is to be reset.
    async fn act(&mut self, part: Part) -> Result<bool> {
        sleep(Duration::from_millis(part.delay_ms)).await;
        let words = Words {
            member: self.member,
            id: self.plan.id,
            large: part.act == Act::Large,
        };
        let streamed = self.plan.streamed;
        match part.act {
            Act::Hang => pending::<()>().await,
            Act::Reset => return Ok(false),
            Act::ResetInHead => {
                self.write("HTTP/1.1 200 OK\r\ncontent-ty").await?;
                return Ok(false);
            }
            Act::Status(status) => self.status(status, part, &words.error(status)).await?,
            Act::Bare(204) => self.write("HTTP/1.1 204 No Content\r\n\r\n").await?,
            Act::Bare(status) => {
                self.write(&format!(
                    "HTTP/1.1 {status} Status\r\ncontent-length: 0\r\n\r\n"
                ))
                .await?;
            }
            Act::Redirect => {
                self.write("HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:9/\r\ncontent-length: 4\r\n\r\nhere").await?;
            }
            Act::Html => {
                self.chunked("text/html", part, &["<html>not here</html>".into()])
                    .await?
            }
            Act::OtherForm => {
                let text = if streamed {
                    words.whole()
                } else {
                    words.stream()
                };
                self.form(!streamed, part, &[text]).await?;
            }
            Act::Encoded => {
                self.head("application/json\r\ncontent-encoding: br", part)
                    .await?;
                self.chunks(&["\u{1}\u{2}\u{3}".into()], true).await?;
            }
            Act::Gzip => self.gzip(part, &words).await?,
            act => return self.answer(act, part, &words).await,
        }
        Ok(true)
    }

    /// What begins as an answer.
    async fn answer(&mut self, act: Act, part: Part, words: &Words<'_>) -> Result<bool> {
        let streamed = self.plan.streamed;
        let kind = if streamed {
            "text/event-stream"
        } else {
            "application/json"
        };
        self.head(kind, part).await?;
        self.chunks(&pieces(act, streamed, words), false).await?;
        match end(act, streamed) {
            End::Proper => self.write("0\r\n\r\n").await?,
            End::Trailers => self.write("0\r\nx-trailer: 1\r\n\r\n").await?,
            End::Silence => pending::<()>().await,
            End::Reset => return Ok(false),
        }
        Ok(true)
    }

    async fn gzip(&mut self, part: Part, words: &Words<'_>) -> Result<()> {
        let (kind, whole) = if self.plan.streamed {
            (
                "text/event-stream\r\ncontent-encoding: gzip",
                words.stream(),
            )
        } else {
            ("application/json\r\ncontent-encoding: gzip", words.whole())
        };
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(whole.as_bytes())?;
        let encoded = encoder.finish()?;
        self.head(kind, part).await?;
        for piece in encoded.chunks(50) {
            let size = format!("{:x}\r\n", piece.len());
            let chunk = [size.as_bytes(), piece, b"\r\n"].concat();
            self.writer.write_all(&chunk).await?;
        }
        self.write("0\r\n\r\n").await
    }

    async fn form(&mut self, streamed: bool, part: Part, pieces: &[String]) -> Result<()> {
        let kind = if streamed {
            "text/event-stream"
        } else {
            "application/json"
        };
        self.chunked(kind, part, pieces).await
    }

    async fn chunked(&mut self, kind: &str, part: Part, pieces: &[String]) -> Result<()> {
        self.head(kind, part).await?;
        self.chunks(pieces, true).await
    }

    async fn head(&mut self, kind: &str, part: Part) -> Result<()> {
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\n\r\n"
        );
        self.write(&head).await?;
        sleep(Duration::from_millis(part.pause_ms)).await;
        Ok(())
    }

    async fn status(&mut self, status: u16, part: Part, body: &str) -> Result<()> {
        let length = body.len();
        self.write(&format!("HTTP/1.1 {status} Status\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"))
            .await?;
        sleep(Duration::from_millis(part.pause_ms)).await;
        self.write(body).await
    }

    async fn chunks(&mut self, pieces: &[String], ends: bool) -> Result<()> {
        for piece in pieces {
            self.write(&format!("{:x}\r\n{piece}\r\n", piece.len()))
                .await?;
        }
        if ends {
            self.write("0\r\n\r\n").await?;
        }
        Ok(())
    }

    async fn write(&mut self, text: &str) -> Result<()> {
        self.writer.write_all(text.as_bytes()).await?;
        Ok(self.writer.flush().await?)
    }
}

/// How the body of an answer ends.
enum End {
    Proper,
    Trailers,
    Silence,
    Reset,
}

fn end(act: Act, streamed: bool) -> End {
    match act {
        Act::ResetAfterHead | Act::Cut => End::Reset,
        Act::HangAfterHead | Act::Stall => End::Silence,
        Act::ErrorOpen(_) if streamed => End::Silence,
        Act::Trailers => End::Trailers,
        _ => End::Proper,
    }
}

/// The body of an answer, in pieces.
fn pieces(act: Act, streamed: bool, words: &Words<'_>) -> Vec<String> {
    let error = |status| {
        let error = words.error(status);
        if streamed {
            format!("data: {error}\n\n")
        } else {
            error
        }
    };
    let (role, whole) = if streamed {
        (words.role(), words.stream())
    } else {
        let begun = r#"{"object":"chat.completion","choices":["#;
        (begun.into(), words.whole())
    };
    let some = || [vec![words.role()], words.content()].concat();
    match act {
        Act::ResetAfterHead | Act::HangAfterHead | Act::Empty => Vec::new(),
        Act::NoContent => vec![role],
        Act::NoContentDone if streamed => vec![role, "data: [DONE]\n\n".into()],
        Act::NoContentDone => vec!["{}".into()],
        Act::ErrorOpen(status) if streamed => vec![role, error(status)],
        Act::Error(status) | Act::ErrorOpen(status) => vec![error(status)],
        Act::Cut | Act::Half | Act::Stall => some(),
        Act::LateError => [some(), vec![error(500), words.end()]].concat(),
        Act::Drip => drops(&whole),
        _ => vec![whole],
    }
}

/// A text in pieces of a few bytes.
fn drops(text: &str) -> Vec<String> {
    let characters: Vec<String> = text.chars().map(String::from).collect();
    characters.chunks(7).map(<[String]>::concat).collect()
}

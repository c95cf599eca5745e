//! Messages of HTTP/1.1 as they come: heads byte by byte, bodies without their framing.

use tokio::io::{AsyncRead, AsyncReadExt};

/// One message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// The first line and the headers, without the empty line.
    pub head: Vec<u8>,
    /// The body without its framing.
    pub body: Vec<u8>,
    /// The lines of the trailers.
    pub trailers: Vec<u8>,
    /// The connection ended before the message.
    pub is_cut: bool,
}

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A request.
    Request,
    /// An answer.
    Answer,
    /// An answer to `HEAD`.
    AnswerToHead,
}

/// Reads messages from a connection.
pub struct Reader<R> {
    stream: R,
    unread: Vec<u8>,
}

impl<R: AsyncRead + Unpin> Reader<R> {
    /// A connection from which nothing was read.
    pub fn new(stream: R) -> Self {
        Self {
            stream,
            unread: Vec::new(),
        }
    }

    /// The connection itself.
    pub fn stream(&mut self) -> &mut R {
        &mut self.stream
    }

    /// The connection; what was read and not used is lost.
    pub fn into_stream(self) -> R {
        self.stream
    }

    /// Bytes that were read behind the last message.
    pub fn unread(&self) -> &[u8] {
        &self.unread
    }

    /// Waits for the end of the connection, or for more bytes.
    pub async fn more(&mut self) -> bool {
        let mut buffer = vec![0; 64 << 10];
        // A reset ends what there is to read, as does the end.
        let read = self.stream.read(&mut buffer).await.unwrap_or(0);
        self.unread.extend_from_slice(&buffer[..read]);
        read > 0
    }

    /// The next message. `None`: the connection ended before its first byte.
    pub async fn message(&mut self, kind: Kind) -> Option<Message> {
        let mut message = Message::default();
        message.head = match self.until(b"\r\n\r\n").await {
            Some(head) => head,
            None if self.unread.is_empty() => return None,
            None => {
                message.head = std::mem::take(&mut self.unread);
                message.is_cut = true;
                return Some(message);
            }
        };
        let (length, is_chunked) = framing(&message.head);
        let has_none = match kind {
            Kind::Request => false,
            Kind::Answer => has_no_body(&message.head),
            Kind::AnswerToHead => true,
        };
        if has_none {
        } else if is_chunked {
            message.is_cut = self.chunks(&mut message).await.is_none();
        } else if let Some(length) = length {
            while self.unread.len() < length && self.more().await {}
            message.is_cut = self.unread.len() < length;
            let length = length.min(self.unread.len());
            message.body = self.unread.drain(..length).collect();
        } else if kind != Kind::Request {
            while self.more().await {}
            message.body = std::mem::take(&mut self.unread);
        }
        Some(message)
    }

    /// `None`: it is cut.
    async fn chunks(&mut self, message: &mut Message) -> Option<()> {
        loop {
            let size = self.until(b"\r\n").await?;
            let size = std::str::from_utf8(&size).ok()?;
            let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
            if size == 0 {
                break;
            }
            while self.unread.len() < size + 2 {
                if !self.more().await {
                    let left = self.unread.len().min(size);
                    message.body.extend(self.unread.drain(..left));
                    return None;
                }
            }
            message.body.extend(self.unread.drain(..size));
            self.unread.drain(..2);
        }
        loop {
            let line = self.until(b"\r\n").await?;
            if line.is_empty() {
                return Some(());
            }
            message.trailers.extend_from_slice(&line);
            message.trailers.push(b'\n');
        }
    }

    /// The bytes up to an end, without it. `None`: the connection ends before it.
    async fn until(&mut self, end: &[u8]) -> Option<Vec<u8>> {
        let mut from = 0;
        loop {
            let found = self.unread[from..]
                .windows(end.len())
                .position(|window| window == end);
            if let Some(at) = found {
                let bytes = self.unread.drain(..from + at).collect();
                self.unread.drain(..end.len());
                return Some(bytes);
            }
            from = self.unread.len().saturating_sub(end.len());
            if !self.more().await {
                return None;
            }
        }
    }
}

/// The status of an answer, 0 if there is none.
pub fn status(head: &[u8]) -> u16 {
    let head = String::from_utf8_lossy(head);
    let status = head.split(' ').nth(1);
    status
        .and_then(|status| status.trim().get(..3)?.parse().ok())
        .unwrap_or(0)
}

fn has_no_body(head: &[u8]) -> bool {
    matches!(status(head), 100..=199 | 204 | 304)
}

fn framing(head: &[u8]) -> (Option<usize>, bool) {
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name));
    let length = field("content-length:").and_then(|length| length.trim().parse().ok());
    let is_chunked = field("transfer-encoding:").is_some_and(|coding| coding.contains("chunked"));
    (length, is_chunked)
}

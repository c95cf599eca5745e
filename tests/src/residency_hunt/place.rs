//! A server in the place of a pool or a provider. It notes every marker in every byte that it is sent, also in requests that never
//! become whole, and fails as its mode says.

use super::answers;
use super::judge::Place;
use super::marker::{LENGTH, find};
use super::sightings::{Sightings, lock};
use anyhow::Result;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// Requests are small; what is longer is not ours.
const LONGEST: usize = 1 << 20;

/// A server that hangs ends after this time at the latest.
const HANGS: Duration = Duration::from_secs(15);

/// What a server does with requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailureMode {
    /// The part of the requests that fail, in percent.
    pub fails: u8,
    /// The shortest and the longest time until a failure, in milliseconds.
    pub after_ms: (u64, u64),
}

impl FailureMode {
    /// Every request is answered.
    pub const FINE: Self = Self {
        fails: 0,
        after_ms: (0, 0),
    };
}

/// A running server; it ends when it is dropped.
pub struct Server {
    mode: Arc<Mutex<FailureMode>>,
    accepting: JoinHandle<()>,
}

#[derive(Clone)]
struct Handler {
    place: Place,
    sightings: Arc<Sightings>,
    mode: Arc<Mutex<FailureMode>>,
}

impl Server {
    /// Listens.
    pub fn start(place: Place, address: SocketAddr, sightings: Arc<Sightings>) -> Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let listener = socket.listen(1024)?;
        let mode = Arc::new(Mutex::new(FailureMode::FINE));
        let handler = Handler {
            place,
            sightings,
            mode: mode.clone(),
        };
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let handler = handler.clone();
                tokio::spawn(async move { handler.serve(stream).await.ok() });
            }
        });
        Ok(Self { mode, accepting })
    }

    /// Changes its mode.
    pub fn set(&self, mode: FailureMode) {
        *lock(&self.mode) = mode;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// What is done with a request.
enum Fate {
    Answer,
    Refuse,
    Reset,
    Hang,
}

impl Handler {
    async fn serve(&self, mut stream: TcpStream) -> Result<()> {
        stream.set_nodelay(true)?;
        let (mut buffer, mut noted) = (Vec::new(), 0);
        loop {
            let end = loop {
                if let Some(end) = request_end(&buffer) {
                    break end;
                }
                let read = stream.read_buf(&mut buffer).await?;
                // From where a marker may begin that was not whole before.
                let from = noted.max(LENGTH) - LENGTH;
                let markers = find(&buffer[from..]);
                if !markers.is_empty() {
                    self.sightings.note(self.place, &markers);
                }
                noted = buffer.len();
                if read == 0 || noted > LONGEST {
                    return Ok(());
                }
            };
            let request = String::from_utf8_lossy(&buffer[..end]).into_owned();
            buffer.drain(..end);
            noted = 0;
            if !self.answer(&mut stream, &request).await? {
                stream.set_zero_linger()?;
                return Ok(());
            }
        }
    }

    /// `false`: the connection is to be reset.
    async fn answer(&self, stream: &mut TcpStream, request: &str) -> Result<bool> {
        if request.starts_with("GET") {
            stream.write_all(answers::ok().as_bytes()).await?;
            return Ok(true);
        }
        let (fate, after) = self.fate(request);
        if after > Duration::ZERO && is_gone(stream, after).await {
            return Ok(false);
        }
        match fate {
            Fate::Answer => {
                stream
                    .write_all(answers::answer(request).as_bytes())
                    .await?
            }
            Fate::Refuse => stream.write_all(answers::unavailable().as_bytes()).await?,
            Fate::Reset => return Ok(false),
            Fate::Hang => {
                is_gone(stream, HANGS).await;
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn fate(&self, request: &str) -> (Fate, Duration) {
        let mode = *lock(&self.mode);
        let mut hasher = DefaultHasher::new();
        (self.place, request).hash(&mut hasher);
        let hash = hasher.finish();
        if hash % 100 >= u64::from(mode.fails) {
            return (Fate::Answer, Duration::ZERO);
        }
        let (shortest, longest) = mode.after_ms;
        let after = shortest + (hash >> 16) % (longest - shortest + 1);
        let fate = match (hash >> 8) % 8 {
            0..5 => Fate::Refuse,
            5..7 => Fate::Reset,
            _ => Fate::Hang,
        };
        (fate, Duration::from_millis(after))
    }
}

/// Waits, and tells whether the gateway hung up meanwhile.
async fn is_gone(stream: &mut TcpStream, time: Duration) -> bool {
    let mut more = [0];
    match timeout(time, stream.peek(&mut more)).await {
        Ok(Ok(0) | Err(_)) => true,
        Ok(Ok(_)) => {
            sleep(time).await;
            false
        }
        Err(_) => false,
    }
}

/// Where the first request in these bytes ends, once it is whole.
fn request_end(bytes: &[u8]) -> Option<usize> {
    let head = position(bytes, b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase();
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
    if field("transfer-encoding:").is_some() {
        return chunks_end(bytes, head);
    }
    let length = field("content-length:").and_then(|value| value.trim().parse::<usize>().ok());
    let end = head + length.unwrap_or(0);
    (bytes.len() >= end).then_some(end)
}

/// Where a body in chunks ends, with its trailers.
fn chunks_end(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        let line = position(&bytes[at..], b"\r\n")?;
        let size = String::from_utf8_lossy(&bytes[at..at + line]).into_owned();
        let size = size.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16).ok()?;
        at += line + 2;
        if size == 0 {
            break;
        }
        at += size + 2;
        if at > bytes.len() {
            return None;
        }
    }
    // Trailers, up to an empty line.
    loop {
        let line = position(&bytes[at..], b"\r\n")?;
        at += line + 2;
        if line == 0 {
            return Some(at);
        }
    }
}

fn position(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_end_where_their_framing_says() {
        let fixed = b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcGET";
        assert_eq!(request_end(fixed), Some(fixed.len() - 3));
        assert_eq!(request_end(&fixed[..fixed.len() - 4]), None);
        let chunked =
            b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n2;x=y\r\nab\r\n0\r\nt: 1\r\n\r\n";
        assert_eq!(request_end(chunked), Some(chunked.len()));
        assert_eq!(request_end(&chunked[..chunked.len() - 2]), None);
    }
}

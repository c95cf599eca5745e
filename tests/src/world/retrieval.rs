//! A connection for retrieval.

use anyhow::{Context, Result, bail};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longer than any database takes.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A connection to a region's listener `milvus`.
pub struct Retrieval(BufReader<TcpStream>);

impl Retrieval {
    /// Connects.
    ///
    /// # Errors
    /// The connection is refused.
    pub async fn connect(milvus: SocketAddr) -> Result<Self> {
        let stream = timeout(TIMEOUT, TcpStream::connect(milvus)).await??;
        Ok(Self(BufReader::new(stream)))
    }

    /// Sends a line; the name of the database that answers it.
    ///
    /// # Errors
    /// The connection ends, or no answer comes in time.
    pub async fn ask(&mut self, line: &str) -> Result<String> {
        self.0.write_all(format!("{line}\n").as_bytes()).await?;
        let mut answer = String::new();
        timeout(TIMEOUT, self.0.read_line(&mut answer))
            .await
            .context("no answer")??;
        let Some((by, echo)) = answer.trim_end().split_once(' ') else {
            bail!("the connection ended without an answer");
        };
        if echo != line {
            bail!("an answer to something else: {answer}");
        }
        Ok(by.to_owned())
    }

    /// Waits until the other end closes the connection.
    ///
    /// # Errors
    /// It is still open after 10 s.
    pub async fn closed(&mut self) -> Result<()> {
        let mut rest = String::new();
        // A connection that is reset is closed as well.
        let _ = timeout(TIMEOUT, self.0.read_line(&mut rest))
            .await
            .context("the connection is still open")?;
        Ok(())
    }

    /// The database that answers on a new connection.
    ///
    /// # Errors
    /// As of the two steps.
    pub async fn once(milvus: SocketAddr, line: &str) -> Result<String> {
        Self::connect(milvus).await?.ask(line).await
    }
}

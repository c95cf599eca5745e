//! A fake vector database: a TCP server that answers every line with its name and the line.

use anyhow::Result;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// A running fake. Dropping it stops it.
pub struct Database {
    name: String,
    addr: SocketAddr,
    lines: Arc<Mutex<Vec<String>>>,
    serving: Option<JoinHandle<()>>,
}

impl Database {
    /// Starts one.
    ///
    /// # Errors
    /// The port is taken.
    pub async fn start(name: &str, addr: SocketAddr) -> Result<Self> {
        let lines = Arc::default();
        let serving = Some(serve(name, addr, &lines).await?);
        Ok(Self {
            name: name.to_owned(),
            addr,
            lines,
            serving,
        })
    }

    /// The name given at the start.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Every line that came.
    pub fn lines(&self) -> Vec<String> {
        let lines = self.lines.lock();
        lines.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether a line with this in it came.
    pub fn saw(&self, marker: &str) -> bool {
        self.lines().iter().any(|line| line.contains(marker))
    }

    /// Ends it with all of its connections.
    pub async fn kill(&mut self) {
        if let Some(serving) = self.serving.take() {
            serving.abort();
            // Until it is gone, and its port with it.
            let _ = serving.await;
        }
    }

    /// Starts it again.
    ///
    /// # Errors
    /// The port is taken.
    pub async fn revive(&mut self) -> Result<()> {
        self.kill().await;
        self.serving = Some(serve(&self.name, self.addr, &self.lines).await?);
        Ok(())
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if let Some(serving) = &self.serving {
            serving.abort();
        }
    }
}

type Lines = Arc<Mutex<Vec<String>>>;

async fn serve(name: &str, addr: SocketAddr, lines: &Lines) -> Result<JoinHandle<()>> {
    let listener = TcpListener::bind(addr).await?;
    let (name, lines) = (name.to_owned(), lines.clone());
    Ok(tokio::spawn(async move {
        // Dropped with this task, and every connection with it.
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let (name, lines) = (name.clone(), lines.clone());
            connections.spawn(async move { answer(stream, &name, &lines).await });
        }
    }))
}

async fn answer(stream: TcpStream, name: &str, lines: &Lines) -> Result<()> {
    let (reading, mut writing) = stream.into_split();
    let mut reading = BufReader::new(reading).lines();
    while let Some(line) = reading.next_line().await? {
        let answer = format!("{name} {line}\n");
        lines
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(line);
        writing.write_all(answer.as_bytes()).await?;
    }
    Ok(())
}

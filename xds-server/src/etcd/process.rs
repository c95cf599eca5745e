//! A real etcd for tests.

use super::{Address, Client};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A running etcd; dropping it kills it.
pub struct Etcd {
    process: Child,
    dir: tempfile::TempDir,
    ports: [u16; 2],
}

impl Etcd {
    /// Starts one, and waits until it answers.
    pub async fn start() -> Self {
        let free = || {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            listener.local_addr().unwrap().port()
        };
        let dir = tempfile::tempdir().unwrap();
        let ports = [free(), free()];
        let process = spawn(&dir, ports);
        let etcd = Self {
            process,
            dir,
            ports,
        };
        etcd.until_up().await;
        etcd
    }

    /// Where it is.
    pub fn address(&self) -> Address {
        format!("etcd://127.0.0.1:{}", self.ports[0])
            .parse()
            .unwrap()
    }

    /// A connection.
    pub async fn client(&self) -> Client {
        Client::connect(&self.address(), 0).await.unwrap()
    }

    /// Kills it.
    pub fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Starts it again with its data, and waits until it answers.
    pub async fn restart(&mut self) {
        self.process = spawn(&self.dir, self.ports);
        self.until_up().await;
    }

    async fn until_up(&self) {
        let begun = Instant::now();
        loop {
            if let Ok(client) = Client::connect(&self.address(), 0).await
                && client.transact([], []).await.is_ok()
            {
                return;
            }
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "etcd does not start"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn spawn(dir: &tempfile::TempDir, [clients, peers]: [u16; 2]) -> Child {
    let binary = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../.tools/etcd");
    assert!(
        binary.exists(),
        "{} is missing; run scripts/setup test first",
        binary.display()
    );
    let (clients, peers) = (
        format!("http://127.0.0.1:{clients}"),
        format!("http://127.0.0.1:{peers}"),
    );
    Command::new(binary)
        .args(["--name", "one", "--data-dir"])
        .arg(dir.path().join("data"))
        .args([
            "--listen-client-urls",
            &clients,
            "--advertise-client-urls",
            &clients,
        ])
        .args([
            "--listen-peer-urls",
            &peers,
            "--initial-advertise-peer-urls",
            &peers,
        ])
        .args(["--initial-cluster", &format!("one={peers}")])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

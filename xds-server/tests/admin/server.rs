//! A `meridian serve` on loopback.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Time limit of what is waited for.
pub const LIMIT: Duration = Duration::from_secs(30);

/// A running control plane. It ends with this value.
pub struct Server {
    process: Child,
    /// Its files.
    pub directory: TempDir,
    /// `control_plane.status`.
    pub status: SocketAddr,
}

impl Server {
    /// Starts one for the fleet of these tests.
    pub fn start() -> Self {
        Self::start_with(|_| " }".to_owned())
    }

    /// The same, with something at the end of `control_plane`, of files in the directory.
    pub fn start_with(end: impl FnOnce(&Path) -> String) -> Self {
        let directory = TempDir::new().unwrap();
        let status = free();
        let end = end(directory.path());
        write_fleet(directory.path(), status, &end);
        Self {
            process: serve(directory.path(), status),
            directory,
            status,
        }
    }

    /// Ends it, as a crash does.
    pub fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Starts it again.
    pub fn restart(&mut self) {
        self.process = serve(self.directory.path(), self.status);
    }

    /// Runs `meridian` with these arguments and the server's address.
    pub fn meridian(&self, arguments: &[&str]) -> Output {
        let address = self.status.to_string();
        meridian(&[arguments, &["--address", &address]].concat())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Writes the fleet file, with addresses that are free.
fn write_fleet(directory: &Path, status: SocketAddr, end: &str) {
    let text = include_str!("fleet.yaml")
        .replace("STATUS", &status.to_string())
        .replace(" END", end)
        .replace("PORT", &free().port().to_string());
    fs::write(directory.join("fleet.yaml"), text).unwrap();
}

/// Starts `meridian serve` and waits until its status port answers.
fn serve(directory: &Path, status: SocketAddr) -> Child {
    let mut process = Command::new(env!("CARGO_BIN_EXE_meridian"))
        .args(["serve", "--fleet"])
        .arg(directory.join("fleet.yaml"))
        .arg("--state")
        .arg(directory.join("state"))
        .stderr(fs::File::create(directory.join("log")).unwrap())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let log = || fs::read_to_string(directory.join("log")).unwrap();
    wait_for(&format!("the port {status}"), || {
        if let Some(ended) = process.try_wait().unwrap() {
            panic!("meridian serve has ended: {ended}: {}", log());
        }
        TcpStream::connect(status).is_ok()
    });
    process
}

/// Waits for a condition.
pub fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < LIMIT, "{what}: not within {LIMIT:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// An address on loopback that nobody listens on.
pub fn free() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

/// Runs `meridian`.
pub fn meridian(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_meridian"))
        .args(arguments)
        .env("USER", "ana")
        .env_remove("MERIDIAN_TOKEN")
        .output()
        .unwrap()
}

/// A program of the Python that `scripts/setup test` installs.
pub fn python(program: &str) -> Command {
    let program = workspace().join(".tools/python/bin").join(program);
    let shown = program.display();
    assert!(
        program.exists(),
        "{shown} is missing; run scripts/setup test first"
    );
    Command::new(program)
}

/// The workspace.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

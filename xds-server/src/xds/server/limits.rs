//! Limits of what all clients together, and each of them, may take.

use std::time::Duration;

/// The limits of the server.
#[derive(Clone, Copy, Debug)]
pub(in crate::xds) struct Limits {
    /// Connections at the same time.
    pub connections: usize,
    /// xDS streams at the same time. A gateway needs one.
    pub streams: usize,
    /// How long a stream may be open without a request.
    pub first_request: Duration,
}

/// A thousand gateways, twice while their streams move from one connection to the next, and as much again.
const CONNECTIONS: usize = 4096;
/// Files that the process needs besides: pages, scrapes, the status port.
const OTHER_FILES: usize = 256;
/// Envoy sends its first request with the headers. The slowest network is faster.
const FIRST_REQUEST: Duration = Duration::from_secs(10);

impl Default for Limits {
    fn default() -> Self {
        let files = open_files().unwrap_or(usize::MAX);
        let connections = CONNECTIONS.min(files.saturating_sub(OTHER_FILES).max(1));
        if connections < CONNECTIONS {
            tracing::warn!(
                connections,
                "fewer gateways than usual may connect: the limit of open files is {files}"
            );
        }
        Self {
            connections,
            streams: connections,
            first_request: FIRST_REQUEST,
        }
    }
}

/// How many files this process may have open; `None` if that is not known or not limited.
fn open_files() -> Option<usize> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

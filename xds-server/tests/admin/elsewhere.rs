//! A control plane with the admin API for other machines, and who may use it.

use crate::pki::Authority;
use crate::server::{Server, free, meridian};
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Output;

/// The name in the client certificate of the operator `ana`.
pub const ANA: &str = "spiffe://meridian/operator/ana";

/// The control plane.
pub struct Elsewhere {
    /// It runs.
    pub server: Server,
    /// `control_plane.api.listen`.
    pub api: SocketAddr,
    /// Of the port's certificate, and of operators.
    pub authority: Authority,
}

/// What `meridian token new` prints: the token, and its line for the file.
pub struct NewToken {
    /// The token.
    pub token: String,
    /// The line.
    pub line: String,
}

/// Makes a token.
pub fn new_token(arguments: &[&str]) -> NewToken {
    let output = meridian(&[&["token", "new"], arguments].concat());
    let out = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{out}");
    let (token, rest) = out.split_once('\n').unwrap();
    let line = rest.lines().last().unwrap();
    NewToken {
        token: token.to_owned(),
        line: line.to_owned(),
    }
}

impl Elsewhere {
    /// Starts it with these lines in the file of operators.
    pub fn start(operators: &[&str]) -> Self {
        let (api, authority) = (free(), Authority::new());
        let server = Server::start_with(|directory| {
            fs::write(directory.join("ca.crt"), authority.pem()).unwrap();
            let (certificate, key) = authority.server();
            fs::write(directory.join("api.crt"), certificate).unwrap();
            fs::write(directory.join("api.key"), key).unwrap();
            fs::write(directory.join("operators.yaml"), file(operators)).unwrap();
            let path = |name: &str| directory.join(name).display().to_string();
            format!(
                r#", api: {{ listen: "{api}", tls: {{ certificate: {}, key: {}, ca: {} }}, operators: {} }} }}"#,
                path("api.crt"),
                path("api.key"),
                path("ca.crt"),
                path("operators.yaml"),
            )
        });
        Self {
            server,
            api,
            authority,
        }
    }

    /// A file of the control plane, or of a test.
    pub fn path(&self, name: &str) -> PathBuf {
        self.server.directory.path().join(name)
    }

    /// Writes a file, and moves it into its place.
    pub fn write(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        fs::write(self.path("new"), text).unwrap();
        fs::rename(self.path("new"), &path).unwrap();
        path.display().to_string()
    }

    /// Replaces the file of operators.
    pub fn operators(&self, lines: &[&str]) {
        self.write("operators.yaml", &file(lines));
    }

    /// Runs `meridian` over TLS.
    pub fn meridian(&self, arguments: &[&str]) -> Output {
        let address = format!("https://{}", self.api);
        let ca = self.path("ca.crt").display().to_string();
        meridian(&[arguments, &["--address", &address, "--ca", &ca]].concat())
    }

    /// The same with a token.
    pub fn with_token(&self, token: &str, arguments: &[&str]) -> Output {
        let file = self.write("token", &format!("{token}\n"));
        self.meridian(&[arguments, &["--token-file", &file]].concat())
    }
}

fn file(lines: &[&str]) -> String {
    if lines.is_empty() {
        return "operators: []\n".to_owned();
    }
    format!("operators:\n{}\n", lines.join("\n"))
}

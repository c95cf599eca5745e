//! `meridian top` in a terminal, against a control plane that goes away and comes back.

use crate::server::{Server, python, workspace};
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

/// A terminal, in a process of its own.
struct Terminal {
    process: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Terminal {
    fn start(server: &Server) -> Self {
        let mut process = python("python")
            .arg(workspace().join("tests/clients/terminal.py"))
            .arg(env!("CARGO_BIN_EXE_meridian"))
            .args(["top", "--address", &server.status.to_string()])
            .env("TERM", "xterm-256color")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            stdin: process.stdin.take().unwrap(),
            stdout: BufReader::new(process.stdout.take().unwrap()),
            process,
        }
    }

    fn step(&mut self, step: &str) {
        writeln!(self.stdin, "{step}").unwrap();
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        if line != "ok\n" {
            let rest = self.stdout.by_ref().lines().map_while(Result::ok);
            let screen: Vec<String> = rest.collect();
            panic!("{step}: {line}{}", screen.join("\n"));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn the_view_goes_on_when_the_control_plane_is_back() {
    let mut server = Server::start();
    let mut terminal = Terminal::start(&server);
    terminal.step("shows us-west-2");
    terminal.step("shows eu-west-1 37, us-east-1 63");
    let drained = server.meridian(&["drain", "us-west-2", "--why", "racks"]);
    assert!(drained.status.success());
    terminal.step("shows drain us-west-2");
    server.kill();
    terminal.step("shows ! shown as it was: no control plane answers");
    terminal.step("shows drain us-west-2");
    server.restart();
    terminal.step("hides ! shown as it was");
    // What operators said is in the store.
    terminal.step("shows drain us-west-2");
    terminal.step("press ?");
    terminal.step("shows eight columns");
    terminal.step("press \\x1b[6~?");
    terminal.step("shows pools");
    terminal.step("press q");
    terminal.step("ends");
}

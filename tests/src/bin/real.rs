//! A real inference server in the place of us-west-2's fake one, and what callers see when something happens to it:
//!
//! ```text
//! cargo run -p meridian-tests --bin real -- --signal TERM -- vllm serve MODEL --served-model-name {model} --host {host} --port {port}
//! ```
//!
//! Not a test: it takes minutes and a server that is too large to install here. What was seen is in docs/real-servers.md.
#![allow(clippy::print_stdout)] // This program's output is for a person at a terminal.

use anyhow::{Context, Result, bail};
use clap::Parser;
use meridian_tests::world::{Ask, MODEL, Options, World, client};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep, timeout};

const LIMITS: &str =
    "{ first_token: 5s, unstreamed: 15s, connect: 1s, gap: 5s, answer: 120s, retries: 1000 }";

/// A model may take its time to load.
const START: Duration = Duration::from_secs(300);

/// Puts a real server in the place of us-west-2's pool, asks it from many callers at once, and lets something happen.
#[derive(Parser)]
struct Arguments {
    /// The signal that it gets after a third of the time; none by default.
    #[arg(long)]
    signal: Option<String>,
    /// Its process that gets it, by a part of its command line; by default the first.
    #[arg(long)]
    process: Option<String>,
    /// Callers; every other one wants a stream.
    #[arg(long, default_value_t = 12)]
    callers: usize,
    /// How long they go on, in seconds.
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// Tokens of an answer.
    #[arg(long, default_value_t = 60)]
    tokens: u32,
    /// The server's command, with {host}, {port} and {model} in it.
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let world = World::start(&Options {
        limits: LIMITS,
        ..Options::default()
    })
    .await?;
    world.pool("us-west-2").kill().await?;
    let server = start(&world, &arguments.command)?;
    until_it_answers(&world).await?;
    world.until_healthy().await?;
    println!("it serves; {} callers", arguments.callers);

    let (stop, stopped) = watch::channel(false);
    let mut callers = JoinSet::new();
    for number in 0..arguments.callers {
        callers.spawn(call(
            world.ask("us-west-2").country("US"),
            number,
            arguments.tokens,
            stopped.clone(),
        ));
    }
    let third = Duration::from_secs(arguments.seconds) / 3;
    sleep(third).await;
    let happened = Instant::now();
    if let Some(signal) = &arguments.signal {
        let id = process(&server, arguments.process.as_deref()).await?;
        let done = Command::new("kill")
            .args([format!("-{signal}"), id.to_string()])
            .status();
        println!("SIG{signal} to process {id}: {}", done.await?);
    }
    sleep(2 * third).await;
    stop.send_replace(true);
    let mut seen: BTreeMap<(bool, bool, String), u32> = BTreeMap::new();
    for each in callers.join_all().await.into_iter().flatten() {
        let after = each.ended >= happened;
        let key = (after, each.streamed, each.outcome);
        *seen.entry(key).or_default() += 1;
    }
    for ((after, streamed, outcome), count) in seen {
        println!(
            "{:6} {:10} {count:5}  {outcome}",
            if after { "after" } else { "before" },
            if streamed { "streamed" } else { "in one" },
        );
    }
    Ok(())
}

/// Starts the server as the leader of a group, which ends with this program.
fn start(world: &World, command: &[String]) -> Result<Server> {
    let address = world.block().pool("us-west-2");
    let mut words = command.iter().map(|word| {
        word.replace("{host}", &address.ip().to_string())
            .replace("{port}", &address.port().to_string())
            .replace("{model}", MODEL)
    });
    let log = world.dir().join("real.log");
    println!("its log: {}", log.display());
    let output = std::fs::File::create(log)?;
    let process = Command::new(words.next().context("a command")?)
        .args(words)
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .process_group(0)
        .spawn()
        .context("starting the server")?;
    Ok(Server(process))
}

/// A server and all of its processes.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(id) = self.0.id() {
            let _ = std::process::Command::new("kill")
                .args(["-KILL", "--", &format!("-{id}")])
                .status();
        }
    }
}

/// The server's first process, or the one of its group that is called so.
async fn process(server: &Server, name: Option<&str>) -> Result<u32> {
    let first = server.0.id().context("the server has ended")?;
    let Some(name) = name else { return Ok(first) };
    let list = Command::new("ps")
        .args(["-eo", "pid=,pgid=,args="])
        .output()
        .await?;
    let list = String::from_utf8_lossy(&list.stdout).into_owned();
    let group = first.to_string();
    for line in list.lines().filter(|line| line.contains(name)) {
        let mut words = line.split_whitespace();
        if let (Some(id), Some(of)) = (words.next(), words.next())
            && of == group
        {
            return Ok(id.parse()?);
        }
    }
    bail!("the server has no process `{name}`; there are:\n{list}")
}

async fn until_it_answers(world: &World) -> Result<()> {
    let url = format!("http://{}/health", world.block().pool("us-west-2"));
    let client = client().build()?;
    let mut tries = interval(Duration::from_millis(200));
    let answers = async {
        loop {
            tries.tick().await;
            let answer = client.get(&url).send().await;
            if answer.is_ok_and(|answer| answer.status() == 200) {
                return;
            }
        }
    };
    timeout(START, answers)
        .await
        .context("the server does not answer /health")
}

/// What became of a request.
struct Seen {
    ended: Instant,
    streamed: bool,
    outcome: String,
}

/// Asks again and again, one conversation each time.
async fn call(ask: Ask, number: usize, tokens: u32, stopped: watch::Receiver<bool>) -> Vec<Seen> {
    let streamed = number.is_multiple_of(2);
    let mut all = Vec::new();
    while !*stopped.borrow() {
        let body = json!({
            "model": MODEL,
            "stream": streamed,
            "max_tokens": tokens,
            "ignore_eos": true,
            "prompt_cache_key": format!("{number}/{}", all.len()),
            "messages": [{ "role": "user", "content": "the quick brown fox jumps over a lazy dog" }],
        });
        let outcome = outcome(&ask.clone().json(&body), streamed).await;
        all.push(Seen {
            ended: Instant::now(),
            streamed,
            outcome,
        });
    }
    all
}

/// How an answer ended: whole, with an error event, cut, or without an end that says so.
async fn outcome(ask: &Ask, streamed: bool) -> String {
    let mut answer = match ask.open().await {
        Ok(answer) => answer,
        Err(error) => return format!("NO ANSWER: {error:#}"),
    };
    let status = answer.status().as_u16();
    let by = answer.headers().get("x-meridian-region");
    let by = by.map_or_else(String::new, |by| {
        String::from_utf8_lossy(by.as_bytes()).into_owned()
    });
    let mut body = Vec::new();
    let cut = read(&mut answer, &mut body).await.is_err();
    let text = String::from_utf8_lossy(&body);
    if status != 200 {
        return format!("REFUSED by {by}: {status} {text}");
    }
    let has_error = text.contains("\"error\":{");
    match (is_whole(&text, streamed), has_error, cut) {
        (true, false, false) => format!("whole, by {by}"),
        (_, true, _) => format!("begun by {by}, then an error event"),
        (_, _, true) => format!("begun by {by}, then cut"),
        (false, false, false) => format!("LOOKS WHOLE, by {by}: {text}"),
    }
}

/// Reads what comes of an answer, up to its end or a cut.
async fn read(answer: &mut reqwest::Response, body: &mut Vec<u8>) -> Result<()> {
    while let Some(piece) = answer.chunk().await? {
        body.extend_from_slice(&piece);
    }
    Ok(())
}

/// Whether an answer has content, and if streamed a proper end.
fn is_whole(text: &str, streamed: bool) -> bool {
    if streamed {
        return text.contains("\"content\":\"") && text.trim_end().ends_with("data: [DONE]");
    }
    let answer: Value = serde_json::from_str(text).unwrap_or_default();
    let content = answer["choices"][0]["message"]["content"].as_str();
    content.is_some_and(|content| !content.is_empty())
}

//! What the official clients can send, by way of a fallback: for a pinned zone the provider is given nothing with which it could send
//! the prompt to a third place.

use super::client::python;
use super::ensure;
use crate::world::{Answer, Ask, MODEL, REGIONS, World, workspace};
use anyhow::{Result, bail};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// The fields: lines of a path, a field and a body that has it, with tabs between them.
const FIELDS: &str = include_str!("../../fixtures/provider-fields.txt");

/// What the documents say becomes of them.
const DOCUMENT: &str = include_str!("../../../docs/provider-fields.md");

/// The place that the fields name.
const NAMED: &str = "https://example.com";

/// What the caller says in each of them.
const SAID: &str = "\"hi\"";

/// Tools of these types run at the caller. Everything else in a list of tools runs at the provider.
const CLIENT_TOOLS: [&str; 8] = [
    "function",
    "custom",
    "namespace",
    "bash_",
    "browser_toolset_",
    "computer_",
    "memory_",
    "text_editor_",
];

/// Fields by which a provider asks others, whatever is in them.
const ASKS_OTHERS: [&str; 2] = ["web_search_options", "mcp_servers"];

/// A field, and a request that has it.
struct Row {
    path: &'static str,
    field: &'static str,
    body: &'static str,
}

fn rows() -> impl Iterator<Item = Row> {
    let lines = FIELDS.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| {
        let mut columns = line.splitn(3, '\t');
        let [path, field, body] = [(); 3].map(|()| columns.next().unwrap_or_default());
        Row { path, field, body }
    })
}

impl Row {
    /// The request, which names this place.
    fn ask(&self, ask: Ask, place: &str) -> Result<Ask> {
        let said = json!(ask.marker()).to_string();
        let body = self.body.replace(NAMED, place).replace(SAID, &said);
        let mut body: Value = serde_json::from_str(&body)?;
        body["model"] = json!(MODEL);
        if self.path == "/v1/messages" {
            body["max_tokens"] = json!(16);
        }
        Ok(ask.path(self.path).json(&body))
    }

    /// What came back, for an error.
    fn seen(&self, answer: &Answer) -> String {
        let (path, field) = (self.path, self.field);
        format!("{path} {field}: {} {}", answer.status, answer.text())
    }

    /// What the documents say, by the provider's column: `goes`, `dropped` or `400`.
    fn outcome(&self, column: &str) -> Option<&'static str> {
        let of_path = DOCUMENT.split("\n## `").find_map(|section| {
            let rest = section.strip_prefix(self.path)?;
            rest.starts_with('`').then_some(rest)
        })?;
        let mut rows = of_path.lines().filter(|line| line.starts_with('|'));
        let at = rows
            .next()?
            .split(" | ")
            .position(|name| name.trim_end_matches(" |").trim_matches('`') == column)?;
        let begin = format!("| `{}` |", self.field);
        let row = rows.find(|row| row.starts_with(&begin))?;
        row.split(" | ").nth(at)?.split_whitespace().next()
    }
}

/// Somewhere else in the world. It counts what comes.
struct ThirdPlace {
    url: String,
    bytes: Arc<AtomicU64>,
    accepting: JoinHandle<()>,
}

impl ThirdPlace {
    async fn open() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let bytes = Arc::<AtomicU64>::default();
        let counted = bytes.clone();
        let accepting = tokio::spawn(async move {
            let mut piece = vec![0; 4096];
            while let Ok((mut stream, _)) = listener.accept().await {
                while let Ok(size @ 1..) = stream.read(&mut piece).await {
                    counted.fetch_add(size as u64, Ordering::SeqCst);
                }
            }
        });
        Ok(Self {
            url,
            bytes,
            accepting,
        })
    }

    fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::SeqCst)
    }
}

impl Drop for ThirdPlace {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// What a provider does with what it is given: it fetches whatever the request names, and runs the tools that run there. How often it
/// asked a third place.
async fn act_as_provider(given: &[u8], third: &ThirdPlace) -> Result<usize> {
    let given: Value = serde_json::from_slice(given)?;
    let asks = ASKS_OTHERS.iter().filter(|name| given.get(name).is_some());
    let asks = asks.count() + hosted_tools(&given) + given.to_string().matches(&third.url).count();
    for _ in 0..asks {
        let mut stream = TcpStream::connect(third.url.trim_start_matches("http://")).await?;
        stream.write_all(given.to_string().as_bytes()).await?;
        stream.shutdown().await?;
        // It has read everything once it hangs up.
        stream.read_to_end(&mut Vec::new()).await?;
    }
    Ok(asks)
}

/// The tools that a provider runs, whatever they are called.
fn hosted_tools(value: &Value) -> usize {
    match value {
        Value::Array(all) => all.iter().map(hosted_tools).sum(),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| {
                let tools = value.as_array().filter(|_| name == "tools");
                let types = tools
                    .into_iter()
                    .flatten()
                    .filter_map(|tool| tool["type"].as_str());
                let is_hosted =
                    |kind: &&str| !CLIENT_TOOLS.iter().any(|known| kind.starts_with(known));
                types.filter(is_hosted).count() + hosted_tools(value)
            })
            .sum(),
        _ => 0,
    }
}

/// What became of the rows, by outcome.
type Tally = BTreeMap<&'static str, usize>;

/// Every field by fallbacks with an OpenAI-compatible API.
pub async fn compatible(world: &mut World) -> Result<String> {
    fields(world, "openai-compatible").await
}

/// Every field by Claude.
pub async fn claude(world: &mut World) -> Result<String> {
    fields(world, "Claude").await
}

/// Every field by a fallback of a pinned zone, and by one of a zone that is open. Pools get every one of them.
async fn fields(world: &World, column: &str) -> Result<String> {
    let fixture = workspace().join("tests/fixtures/provider-fields.txt");
    python("provider_fields.py", &[&fixture.to_string_lossy()]).await?;
    let third = ThirdPlace::open().await?;
    let rows: Vec<Row> = rows().filter(|row| row.outcome(column).is_some()).collect();
    for row in &rows {
        let ask = row.ask(world.ask("eu-west-1").country("FR"), &third.url)?;
        let answer = ask.send().await?;
        ensure(
            answer.region() == "eu-west-1" && answer.status == 200,
            || row.seen(&answer),
        )?;
    }
    for region in REGIONS {
        world.pool(region).kill().await?;
    }
    let mut tally = Tally::new();
    for row in &rows {
        let outcome = pinned(world, row, column, &third).await?;
        *tally.entry(outcome).or_default() += 1;
    }
    let by_pinned = third.bytes();
    ensure(by_pinned == 0, || {
        format!("{by_pinned} bytes at a third place")
    })?;
    let mut sent_on = 0;
    for row in &rows {
        let ask = row.ask(world.ask("us-west-2").country("US"), &third.url)?;
        ask.send().await?;
        sent_on += usize::from(by_provider(world, "claude", &third).await? > 0);
    }
    ensure(third.bytes() > 0, || {
        "no field of an open zone brings a provider to ask others".into()
    })?;
    Ok(format!(
        "{} fields and types of {column}: for a pinned zone {tally:?} and 0 bytes at third places; for an open one {sent_on} of them and {} bytes",
        rows.len(),
        third.bytes()
    ))
}

/// What the provider does with what it got last, if it got something.
async fn by_provider(world: &World, name: &str, third: &ThirdPlace) -> Result<usize> {
    let provider = world.provider(name);
    let mut asks = 0;
    for request in provider.requests() {
        asks += act_as_provider(&request.body, third).await?;
    }
    provider.clear();
    Ok(asks)
}

/// A row by a fallback of a pinned zone: what the documents say.
async fn pinned(
    world: &World,
    row: &Row,
    column: &str,
    third: &ThirdPlace,
) -> Result<&'static str> {
    let ask = row.ask(world.ask("eu-west-1").country("FR"), &third.url)?;
    let answer = ask.send().await?;
    let given = world.provider("claude-eu").requests().len();
    let asks = by_provider(world, "claude-eu", third).await?;
    let seen = || row.seen(&answer);
    ensure(asks == 0, || {
        format!("{}; the provider asked others {asks} times", seen())
    })?;
    let says = row.outcome(column).unwrap_or_default();
    let outcome = match answer.status {
        200 if given == 1 && answer.region() == "fallback/claude-eu" => says,
        // Some are nothing that the provider itself would take.
        400 if given == 1 => says,
        400 if given == 0 => "400",
        // It stays with the region that has the conversation.
        503 if given == 0 && answer.json()["error"]["code"] == "previous_response_unavailable" => {
            "503"
        }
        _ => bail!(seen()),
    };
    ensure(outcome == says || outcome == "503", || {
        format!("{}, not `{says}`", seen())
    })?;
    Ok(outcome)
}

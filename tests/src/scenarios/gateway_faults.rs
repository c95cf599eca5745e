//! The usual faults of a gateway's upstreams, at home only: three regions, and Claude behind them. The callers' bytes are judged by
//! themselves.

mod fault;
mod judge;

use super::guard::AT_HOME;
use super::{ensure, serves_again};
use crate::fakes::{Fake, Recorded};
use crate::hunt::caller::{Call, Heard, ask};
use crate::world::{Configured, DEADLINE, MODEL, Options, REGIONS, World, wait_for};
use anyhow::{Context, Result};
use fault::{Expect, Fault, Lasts, faults, fine};
use judge::{MEMBERS, Usage, Verdict, judge};
use meridian_policy::egress_policy::ClaudeHost;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval};

/// Short enough for silence and stalls to be met, and with time for a busy machine.
const LIMITS: &str =
    "{ first_token: 2s, unstreamed: 2s, connect: 1s, gap: 2s, answer: 12s, retries: 5000 }";

/// No plan takes home for down between two faults.
pub fn options() -> Options {
    Options {
        limits: LIMITS,
        policy: AT_HOME,
        claude: Some(ClaudeHost::Vertex),
        configured: Configured::ByFile,
        ..Options::default()
    }
}

/// By when a caller has the end of its answer: the limit of an answer, and what a busy machine adds.
const BOUND: Duration = Duration::from_secs(16);

/// Requests of one form at once.
const BURST: usize = 20;

/// Between two requests at a steady rate.
const STEADY: Duration = Duration::from_millis(50);

const HOME: &str = "us-west-2";

/// Prompt and completion tokens, by who made them.
type Tokens = BTreeMap<&'static str, (u64, u64)>;

/// What callers heard of a fault.
#[derive(Default)]
struct Seen {
    requests: usize,
    whole: usize,
    errors: usize,
    broken: usize,
    hangs: usize,
    longest: Duration,
    attempts: usize,
    usages: Vec<Usage>,
    wrong: Vec<String>,
}

/// One fault after the other.
pub async fn faults_at_home(world: &mut World) -> Result<String> {
    let (mut lines, mut tokens) = (Vec::new(), counted(world).await?);
    for fault in faults() {
        let mut all = Seen::default();
        for forms in fault.forms {
            let seen = meet(world, &fault, forms, &mut tokens).await;
            all.add(seen.with_context(|| format!("{}, streamed {forms:?}", fault.name))?);
        }
        lines.push(all.line(fault.name));
    }
    Ok(format!("faults at {HOME}:\n  {}", lines.join("\n  ")))
}

/// Lets requests of these forms meet a fault together. `tokens`: those that the gateway has counted, and is to count.
async fn meet(world: &World, fault: &Fault, forms: &[bool], tokens: &mut Tokens) -> Result<Seen> {
    // Home has been left because of the fault before, and comes back.
    world.heal().await?;
    for server in world.servers() {
        server.set(fine());
    }
    serves_again(HOME, || world.ask(HOME).country("US")).await?;
    *tokens = counted(world).await?;
    for server in world.servers() {
        server.clear();
    }
    for streamed in forms {
        world.pool(HOME).set((fault.home)(*streamed)?);
    }
    let callers = Callers {
        world,
        fault,
        forms,
    };
    let mut seen = match fault.lasts {
        Lasts::Once => callers.once().await?,
        Lasts::Always => callers.at_once(BURST).await?,
        Lasts::For(time) => callers.steadily(time).await?,
    };
    let recorded: Vec<Recorded> = world.servers().flat_map(Fake::requests).collect();
    seen.attempts = recorded.len();
    seen.is_as_expected(fault.streamed, world.pool(HOME).requests().len())?;
    no_prefills(&recorded)?;
    seen.count_into(tokens);
    is_counted_once(world, tokens).await?;
    Ok(seen)
}

/// Those who meet a fault.
struct Callers<'f> {
    world: &'f World,
    fault: &'f Fault,
    forms: &'f [bool],
}

/// A caller's request: its form, what it heard in the end, and after how long.
type Ended = (bool, Result<Heard>, Duration);

impl Callers<'_> {
    /// The first request meets the fault, and those after it do not.
    async fn once(&self) -> Result<Seen> {
        let mut seen = self.at_once(1).await?;
        self.world.pool(HOME).set(fine());
        seen.add(self.at_once(BURST).await?);
        Ok(seen)
    }

    /// So many of each form at once: a region that fails is left soon.
    async fn at_once(&self, requests: usize) -> Result<Seen> {
        let mut calls = JoinSet::new();
        for _ in 0..requests {
            self.call(&mut calls);
        }
        self.hear(calls).await
    }

    /// At a steady rate while the fault lasts, and then until home serves again.
    async fn steadily(&self, time: Duration) -> Result<Seen> {
        let (begun, mut ticks, mut calls) = (Instant::now(), interval(STEADY), JoinSet::new());
        while begun.elapsed() < time {
            ticks.tick().await;
            self.call(&mut calls);
        }
        let mut seen = self.hear(calls).await?;
        self.world.pool(HOME).set(fine());
        let healed = Instant::now();
        loop {
            ticks.tick().await;
            let one = self.at_once(1).await?;
            let is_back = one.usages.iter().any(|usage| usage.by == HOME);
            seen.add(one);
            if is_back {
                return Ok(seen);
            }
            ensure(healed.elapsed() < DEADLINE, || {
                "home is not asked again".into()
            })?;
        }
    }

    /// One request of each form, of one conversation: recent refusals send others elsewhere. HTTP/2 every other time.
    fn call(&self, calls: &mut JoinSet<Ended>) {
        let gateway = self.world.block().public(HOME);
        for streamed in self.forms.iter().copied() {
            let marker = self.world.ask(HOME).marker().to_owned();
            let mut body = json!({
                "model": MODEL,
                "stream": streamed,
                "user": "guard",
                "messages": [{ "role": "user", "content": marker }],
            });
            if streamed {
                body["stream_options"] = json!({ "include_usage": true });
            }
            let call = Call {
                body: body.to_string(),
                http2: (calls.len() / self.forms.len()).is_multiple_of(2),
                leaves_after: None,
            };
            calls.spawn(async move {
                let begun = Instant::now();
                let heard = ask(gateway, &call).await;
                (streamed, heard, begun.elapsed())
            });
        }
    }

    async fn hear(&self, mut calls: JoinSet<Ended>) -> Result<Seen> {
        let mut seen = Seen::default();
        while let Some(ended) = calls.join_next().await {
            let (streamed, heard, took) = ended?;
            let expect = if streamed {
                self.fault.streamed
            } else {
                self.fault.whole
            };
            seen.requests += 1;
            seen.longest = seen.longest.max(took);
            if took > BOUND {
                seen.hangs += 1;
            } else {
                seen.note(heard.and_then(|heard| judge(&heard, streamed)), expect);
            }
        }
        Ok(seen)
    }
}

impl Seen {
    fn note(&mut self, verdict: Result<Verdict>, expect: Expect) {
        match (verdict, expect) {
            (Ok(Verdict::Whole(usage)), Expect::Rescued | Expect::Told | Expect::Answer) => {
                self.whole += 1;
                self.usages.extend(usage);
            }
            (Ok(Verdict::Broken), Expect::Told) => self.broken += 1,
            (Ok(Verdict::Error(status)), Expect::Refused(told)) if status == told => {
                self.errors += 1;
            }
            (Ok(verdict), _) => self.wrong.push(format!("{verdict:?}")),
            (Err(error), _) => self.wrong.push(format!("{error:#}")),
        }
    }

    fn add(&mut self, other: Self) {
        self.requests += other.requests;
        self.whole += other.whole;
        self.errors += other.errors;
        self.broken += other.broken;
        self.hangs += other.hangs;
        self.attempts += other.attempts;
        self.longest = self.longest.max(other.longest);
        self.usages.extend(other.usages);
        self.wrong.extend(other.wrong);
    }

    /// `met`: the requests that reached home's server.
    fn is_as_expected(&self, expect: Expect, met: usize) -> Result<()> {
        let as_expected = match expect {
            Expect::Rescued => met > 0,
            Expect::Told => self.broken > 0,
            Expect::Answer | Expect::Refused(_) => {
                (met, self.attempts) == (self.requests, self.requests)
            }
        };
        let fine = as_expected && self.hangs == 0 && self.wrong.is_empty();
        ensure(fine, || {
            let wrong: Vec<&str> = self.wrong.iter().take(3).map(String::as_str).collect();
            let line = self.line("seen");
            format!("not {expect:?}: {line}; {met} met it; wrong: {wrong:#?}")
        })
    }

    fn count_into(&self, tokens: &mut Tokens) {
        for usage in &self.usages {
            let count = tokens.entry(usage.by).or_default();
            count.0 += usage.prompt;
            count.1 += usage.completion;
        }
    }

    fn line(&self, name: &str) -> String {
        let Self {
            requests,
            whole,
            errors,
            broken,
            hangs,
            longest,
            attempts,
            ..
        } = self;
        let each = *attempts as f64 / (*requests).max(1) as f64;
        format!(
            "{name}: {requests} requests, {whole} whole, {errors} errors told, {broken} broken off told, {hangs} hangs, \
             the longest {longest:.1?}, {each:.2} attempts a request"
        )
    }
}

/// Nobody is asked to go on with a part of an answer: many models refuse that, and the others begin anew.
fn no_prefills(recorded: &[Recorded]) -> Result<()> {
    for request in recorded {
        let body: Value = serde_json::from_slice(&request.body)?;
        let last = body["messages"].as_array().and_then(|all| all.last());
        let role = last.map(|message| &message["role"]);
        ensure(role == Some(&json!("user")), || {
            format!("a server was asked to go on: {body}")
        })?;
    }
    Ok(())
}

/// The tokens that the gateway has counted.
async fn counted(world: &World) -> Result<Tokens> {
    let mut tokens = Tokens::new();
    for by in MEMBERS {
        let of = async |what: &str| {
            let to = match REGIONS.contains(&by) {
                true => by.to_owned(),
                false => format!("fallback/{by}"),
            };
            let labels = [("to", to.as_str()), ("what", what)];
            world.gateway(HOME).metric("meridian_tokens", &labels).await
        };
        tokens.insert(by, (of("prompt").await?, of("completion").await?));
    }
    Ok(tokens)
}

/// The gateway counts what the callers' answers report, where they were made, and nothing of other attempts.
async fn is_counted_once(world: &World, tokens: &Tokens) -> Result<()> {
    let as_reported = wait_for("tokens as reported", || async {
        Ok(counted(world).await? == *tokens)
    });
    if let Err(error) = as_reported.await {
        let counted = counted(world).await?;
        return Err(error.context(format!("counted {counted:?}, reported {tokens:?}")));
    }
    Ok(())
}

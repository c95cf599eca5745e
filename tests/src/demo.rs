//! The live demo: what runs where, commands to try, a little traffic, the state of the regions, and the regions that answered.
#![allow(clippy::print_stdout)] // For a person at a terminal.

use crate::world::{MODEL, PROVIDERS, REGIONS, World, client};
use anyhow::{Context, Result};
use meridian_xds_server::serve::report::Report;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::io::{IsTerminal, Read};
use std::time::{Duration, Instant};

/// Short limits, so that a hanging region is seen to be left.
pub const LIMITS: &str =
    "{ first_token: 3s, unstreamed: 3s, connect: 1s, gap: 20s, answer: 60s, body: 64MiB }";

/// The callers whose traffic the demo makes: gateway and country.
const CALLERS: [(&str, &str); 4] = [
    ("us-west-2", "US"),
    ("us-east-1", "CA"),
    ("eu-west-1", "DE"),
    ("eu-west-1", "JP"),
];

/// Prints where everything is, and what to try.
pub fn explain(world: &World) {
    places(world);
    println!("\nTry:");
    requests(world);
    behaviours(world);
    if let Some(id) = world.control_plane_id() {
        println!(
            "  # freeze the control plane, let it go on, kill it (it is started again after {} s)",
            AWAY.as_secs()
        );
        println!("    kill -STOP {id}    kill -CONT {id}    kill -9 {id}");
    }
    println!(
        "  # what the control plane knows and does\n    target/debug/meridian status --address {}",
        world.block().status()
    );
    println!(
        "\nCallers in the US, Canada, Germany and Japan send five requests a second each, of 100 conversations. Ctrl-C ends everything.\n"
    );
}

fn places(world: &World) {
    let block = world.block();
    println!("\nThe page: http://{}/", block.status());
    println!(
        "\nWhat runs where (fleet file, Envoy configurations and logs in {} until it ends):",
        world.dir().display()
    );
    for region in REGIONS {
        let (gateway, admin, pool) = (
            block.public(region),
            block.admin(region),
            block.pool(region),
        );
        println!(
            "  {region:10} gateway http://{gateway}   Envoy admin http://{admin}   pool http://{pool}"
        );
    }
    for provider in PROVIDERS {
        println!(
            "  {provider:10} provider http://{}",
            block.provider(provider)
        );
    }
}

/// Prints requests to try, each with what it shows.
fn requests(world: &World) {
    let block = world.block();
    let chat = |what: &str, region: &str, country: &str, more: &str| {
        println!(
            "  # {what}\n    curl -si http://{}/v1/chat/completions -H 'cf-ipcountry: {country}' -H 'content-type: application/json'{more} \\\n      -d '{{\"model\":\"{MODEL}\",\"messages\":[{{\"role\":\"user\",\"content\":\"hi\"}}]}}'",
            block.public(region)
        );
    };
    chat("a caller in the US", "us-west-2", "US", "");
    chat("a caller in Germany", "eu-west-1", "DE", "");
    chat(
        "the same at the wrong gateway: 421, and nothing leaves",
        "us-west-2",
        "DE",
        "",
    );
    chat(
        "a forged zone changes nothing",
        "us-west-2",
        "DE",
        " -H 'x-meridian-zone: global'",
    );
    println!(
        "  # what a caller may ask for\n    curl -s http://{}/v1/models -H 'cf-ipcountry: US'",
        block.public("us-west-2")
    );
}

/// Prints what can be done to the fake servers.
fn behaviours(world: &World) {
    let control = |region: &str| format!("http://{}", world.block().pool_control(region));
    let behave = |region: &str, what: &str| {
        println!(
            "    curl -X PATCH {}/behaviour -d '{what}'",
            control(region)
        );
    };
    println!("  # make a region hot: part of its callers leave; and cool it down again");
    behave("us-west-2", r#"{"kv_cache_usage":0.95}"#);
    behave("us-west-2", r#"{"kv_cache_usage":0.3}"#);
    println!("  # a long queue, a data store that is behind, metrics that lie");
    behave("us-east-1", r#"{"waiting":150}"#);
    behave("us-east-1", r#"{"replication_lag_seconds":45}"#);
    behave("us-east-1", r#"{"metrics":"lies"}"#);
    behave(
        "us-east-1",
        r#"{"waiting":0,"replication_lag_seconds":0,"metrics":"true"}"#,
    );
    println!("  # kill a region's pool, and bring it back");
    println!("    curl -X POST {}/kill", control("us-west-2"));
    println!("    curl -X POST {}/revive", control("us-west-2"));
    println!("  # a pool that answers 429, 503, hangs, behaves");
    for fail in [
        r#"{"status":429}"#,
        r#"{"status":503}"#,
        r#""hang""#,
        r#""none""#,
    ] {
        behave("eu-west-1", &format!(r#"{{"fail":{fail}}}"#));
    }
    println!(
        "  # every request that a server has seen\n    curl -s {}/requests",
        control("eu-west-1")
    );
}

/// Makes traffic and prints the state of the regions and the answers, until it is dropped.
pub async fn live(world: &mut World) -> Result<()> {
    let client = client().build()?;
    let mut ticks = tokio::time::interval(Duration::from_millis(200));
    let mut seen = Seen::new(world)?;
    let mut away: Option<Instant> = None;
    let in_place = std::io::stdout().is_terminal();
    for tick in 0usize.. {
        ticks.tick().await;
        for (region, country) in CALLERS {
            let content = format!("question {tick}");
            let ask = world.ask(region).country(country).json(&json!({
                "model": MODEL,
                "prompt_cache_key": format!("{country}-{}", tick % 100),
                "messages": [{ "role": "user", "content": content }],
            }));
            let client = client.clone();
            // The answers are read from the access logs.
            tokio::spawn(async move { ask.send_with(&client).await });
        }
        if tick % 5 == 4 {
            seen.read()?;
            let control_plane = watch_over(world, &mut away).await?;
            let report = world.report().await.ok();
            let text = table(&seen, report.as_ref(), &control_plane);
            if in_place && tick > 5 {
                print!("\x1b[{}A\x1b[J", text.lines().count());
            }
            println!("{text}");
        }
    }
    Ok(())
}

/// Starts the control plane again some time after it was killed.
async fn watch_over(world: &mut World, away: &mut Option<Instant>) -> Result<String> {
    let control_plane = world.control_plane()?;
    if !control_plane.has_ended()? {
        *away = None;
        return Ok(String::new());
    }
    let since = *away.get_or_insert_with(Instant::now);
    match AWAY.checked_sub(since.elapsed()) {
        Some(left) => Ok(format!(
            "the control plane is dead; it is started again in {} s",
            left.as_secs()
        )),
        None => {
            control_plane.restart().await?;
            Ok("the control plane is back".into())
        }
    }
}

/// Every gateway: the state of its region, the share that it keeps, and the regions that answered its callers lately.
fn table(seen: &Seen, report: Option<&Report>, note: &str) -> String {
    let columns = Seen::columns();
    let mut text = format!(
        "{:10} {:>5} {:>6} {:>6} {:>6}  {:16}",
        "region", "util", "queue", "lag", "keeps", "overflow to"
    );
    for column in &columns {
        text += &format!(" {:>10}", column.trim_start_matches("fallback/"));
    }
    for region in REGIONS {
        let pool = report.and_then(|report| report.regions.get(region)?.pools.get(MODEL));
        let placement =
            report.and_then(|report| report.placements.get(region)?.get("global")?.get(MODEL));
        let signals = pool.map(|pool| &pool.signals);
        let number = |value: Option<f64>, unit: &str| {
            value.map_or("-".into(), |value| format!("{value:.0}{unit}"))
        };
        let to = placement.map_or(String::new(), |placement| {
            let weights: Vec<String> = placement
                .overflow
                .iter()
                .map(|(region, weight)| format!("{region} {weight}"))
                .collect();
            weights.join(" ")
        });
        text += &format!(
            "\n{region:10} {:>5} {:>6} {:>6} {:>6}  {to:16}",
            number(
                signals
                    .and_then(|signals| signals.utilization)
                    .map(|utilization| utilization.now * 100.0),
                "%"
            ),
            number(signals.and_then(|signals| signals.waiting), ""),
            number(signals.and_then(|signals| signals.replication_lag), "s"),
            placement.map_or("-".into(), |placement| format!("{}%", placement.home_share)),
        );
        for column in &columns {
            text += &format!(" {:>10}", seen.lately(region, column));
        }
    }
    let alarms = report
        .map(|report| report.alarms.as_slice())
        .unwrap_or_default();
    let alarms: Vec<String> = alarms
        .iter()
        .map(|alarm| format!("{}: {}", alarm.region, alarm.message))
        .collect();
    let unheard = if report.is_none() && note.is_empty() {
        "the control plane does not answer"
    } else {
        note
    };
    text + &format!(
        "\n(answers of the last {} s) {unheard} {}\n",
        LATELY.as_secs(),
        alarms.join("; ")
    )
}

/// The regions that answered at each gateway, from the access logs.
struct Seen {
    /// Each with what was read of its last line.
    logs: Vec<(std::fs::File, String)>,
    answers: VecDeque<(Instant, String, String)>,
}

const REFUSED: &str = "refused";

/// How far back answers are counted.
const LATELY: Duration = Duration::from_secs(10);

/// How long the control plane stays away after it was killed.
const AWAY: Duration = Duration::from_secs(15);

impl Seen {
    fn new(world: &World) -> Result<Self> {
        let open = |region| {
            Ok((
                std::fs::File::open(world.access_log(region))?,
                String::new(),
            ))
        };
        let logs: Result<Vec<_>> = REGIONS.into_iter().map(open).collect();
        Ok(Self {
            logs: logs?,
            answers: VecDeque::new(),
        })
    }

    /// Reads what was written since the last time.
    fn read(&mut self) -> Result<()> {
        for (log, rest) in &mut self.logs {
            log.read_to_string(rest)?;
            let whole = rest.rfind('\n').map_or(0, |end| end + 1);
            for line in rest.drain(..whole).collect::<String>().lines() {
                let request: Value = serde_json::from_str(line).context("in an access log")?;
                // A caller who left was not refused.
                if request["listener"] != "public" || request["status"] == 0 {
                    continue;
                }
                let by = if request["status"] == 200 {
                    request["region"].as_str()
                } else {
                    None
                };
                let gateway = request["gateway"].as_str().unwrap_or_default().to_owned();
                let by = by.unwrap_or(REFUSED).to_owned();
                self.answers.push_back((Instant::now(), gateway, by));
            }
        }
        while self
            .answers
            .front()
            .is_some_and(|(at, ..)| at.elapsed() > LATELY)
        {
            self.answers.pop_front();
        }
        Ok(())
    }

    fn lately(&self, at: &str, by: &str) -> usize {
        self.answers
            .iter()
            .filter(|(_, gateway, region)| gateway == at && region == by)
            .count()
    }

    fn columns() -> Vec<String> {
        let fallbacks = PROVIDERS.map(|provider| format!("fallback/{provider}"));
        REGIONS
            .map(String::from)
            .into_iter()
            .chain(fallbacks)
            .chain([REFUSED.to_owned()])
            .collect()
    }
}

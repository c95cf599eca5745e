//! The live demo: what runs where, commands to try, a little traffic, and who answered it.
#![allow(clippy::print_stdout)] // For a person at a terminal.

use crate::world::{MODEL, PROVIDERS, REGIONS, World, client};
use anyhow::Result;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{IsTerminal, Read};
use std::time::Duration;

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
    let block = world.block();
    println!(
        "\nWhat runs where (fleet file, Envoy configurations and logs in {}):",
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
    let chat = |region: &str, country: &str, more: &str| {
        format!(
            "curl -si http://{}/v1/chat/completions -H 'cf-ipcountry: {country}' -H 'content-type: application/json'{more} \\\n      -d '{{\"model\":\"{MODEL}\",\"messages\":[{{\"role\":\"user\",\"content\":\"hi\"}}]}}'",
            block.public(region)
        )
    };
    println!("\nTry:");
    println!(
        "  # a caller in the US\n    {}",
        chat("us-west-2", "US", "")
    );
    println!(
        "  # a caller in Germany\n    {}",
        chat("eu-west-1", "DE", "")
    );
    println!(
        "  # the same at the wrong gateway: 421, and nothing leaves\n    {}",
        chat("us-west-2", "DE", "")
    );
    println!(
        "  # a forged zone changes nothing\n    {}",
        chat("us-west-2", "DE", " -H 'x-meridian-zone: global'")
    );
    println!(
        "  # what a caller may ask for\n    curl -s http://{}/v1/models -H 'cf-ipcountry: US'",
        block.public("us-west-2")
    );
    let control = |region: &str| format!("http://{}", block.pool_control(region));
    println!(
        "  # kill a region's pool, and bring it back\n    curl -X POST {}/kill\n    curl -X POST {}/revive",
        control("us-west-2"),
        control("us-west-2")
    );
    println!(
        "  # make a pool answer 503, or hang, or behave\n    curl -X PATCH {0}/behaviour -d '{{\"fail\":{{\"status\":503}}}}'\n    curl -X PATCH {0}/behaviour -d '{{\"fail\":\"hang\"}}'\n    curl -X PATCH {0}/behaviour -d '{{\"fail\":\"none\"}}'",
        control("eu-west-1")
    );
    println!(
        "  # every request that a server has seen\n    curl -s {}/requests",
        control("eu-west-1")
    );
    println!(
        "\nCallers in the US, Canada, Germany and Japan send two requests a second each. Ctrl-C ends everything.\n"
    );
}

/// Makes traffic and prints who answered, until it is dropped.
pub async fn live(world: &World) -> Result<()> {
    let client = client().build()?;
    let mut ticks = tokio::time::interval(Duration::from_millis(500));
    let mut seen = Seen::new(world)?;
    let in_place = std::io::stdout().is_terminal();
    for tick in 0u64.. {
        ticks.tick().await;
        for (region, country) in CALLERS {
            let (ask, client) = (world.ask(region).country(country), client.clone());
            // Who is served, and by whom, is read from the access log.
            tokio::spawn(async move { ask.send_with(&client).await });
        }
        if tick % 2 == 1 {
            seen.read()?;
            if in_place && tick > 1 {
                print!("\x1b[{}A", seen.lines());
            }
            seen.print();
            if !in_place {
                println!();
            }
        }
    }
    Ok(())
}

/// Who answered the requests of each zone, from the gateways' access log.
struct Seen {
    log: std::fs::File,
    rest: String,
    counts: BTreeMap<(String, String), u64>,
}

const REFUSED: &str = "refused";
const ZONES: [&str; 2] = ["global", "eea"];

impl Seen {
    fn new(world: &World) -> Result<Self> {
        let log = std::fs::File::open(world.dir().join("access.log"))?;
        Ok(Self {
            log,
            rest: String::new(),
            counts: BTreeMap::new(),
        })
    }

    /// Reads what was written since the last time.
    fn read(&mut self) -> Result<()> {
        self.log.read_to_string(&mut self.rest)?;
        let whole = self.rest.rfind('\n').map_or(0, |end| end + 1);
        for line in self.rest.drain(..whole).collect::<String>().lines() {
            let Ok(request) = serde_json::from_str::<Value>(line) else {
                continue;
            };
            if request["listener"] == "public" {
                let zone = request["zone"].as_str().unwrap_or("none").to_owned();
                let by = if request["status"] == 200 {
                    request["region"].as_str()
                } else {
                    None
                };
                *self
                    .counts
                    .entry((zone, by.unwrap_or(REFUSED).to_owned()))
                    .or_default() += 1;
            }
        }
        Ok(())
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

    fn lines(&self) -> usize {
        1 + ZONES.len()
    }

    fn print(&self) {
        let columns = Self::columns();
        let header: String = columns
            .iter()
            .map(|column| format!("{column:>20}"))
            .collect();
        println!("{:12}{header}", "zone");
        for zone in ZONES {
            let count = |by: &String| {
                self.counts
                    .get(&(zone.to_owned(), by.clone()))
                    .copied()
                    .unwrap_or_default()
            };
            let row: String = columns
                .iter()
                .map(|column| format!("{:>20}", count(column)))
                .collect();
            println!("{zone:12}{row}");
        }
    }
}

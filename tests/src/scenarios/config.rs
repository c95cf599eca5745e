//! The fleet file is edited while the fleet runs.

use super::ensure;
use super::load::Load;
use super::overflow::share;
use crate::fakes::Fail;
use crate::world::{REGIONS, World, wait_for};
use anyhow::{Context, Result};
use meridian_xds_server::fleet;
use meridian_xds_server::serve::report::{EnvoyReport, TypeReport};
use std::time::Instant;
use tokio::task::JoinSet;

/// A right piece of the fleet file, a wrong one in its place, and what the error says.
const MISTAKES: [(&str, &str, &str); 4] = [
    (
        "pinned: true, regions: [eu-west-1]",
        "pinned: true, regions: [eu-west-9]",
        "zones.eea.regions[0]",
    ),
    (
        "unknown_zone: eea",
        "unknown_zone: eea\nunknown_zone: eea",
        "for the second time",
    ),
    (
        "pinned: true, regions: [eu-west-1], fallbacks: [claude-eu]",
        "pinned: true, regions: [eu-west-1], fallbacks: [claude]",
        "this pinned zone accepts",
    ),
    (
        "trust_domain: meridian",
        "trust_domain: elsewhere",
        "takes a restart",
    ),
];

/// A broken edit changes nothing and is reported; a good one takes effect; no request fails.
pub async fn edits(world: &mut World) -> Result<String> {
    let original = world.fleet_file()?;
    let load = Load::start(world, &[("us-west-2", "US"), ("eu-west-1", "DE")])?;
    for (right, wrong, says) in MISTAKES {
        mistake(world, &original, (right, wrong), says).await?;
    }
    let with_model = model_added(world, &original).await?;
    region_dropped(world, &with_model).await?;
    // The region comes back.
    world.edit(&original)?;
    wait_for("us-east-1 to be back", || async {
        let clusters = world.gateway("us-west-2").admin("/clusters").await?;
        Ok(clusters.contains("peer/us-east-1/")
            && world.report().await?.regions.len() == REGIONS.len())
    })
    .await?;
    let tally = load.stop().await?;
    let counts = world.report().await?.counts;
    ensure(counts.nacks.values().all(|nacks| *nacks == 0), || {
        format!("refused: {:?}", counts.nacks)
    })?;
    Ok(format!(
        "{} broken edits reported and not taken, {} good ones taken (a model added, a region dropped and back); {} requests at 50/s, none failed",
        MISTAKES.len(),
        counts.reloads,
        tally.all
    ))
}

/// A broken edit is reported, in the report and on the page of metrics; so is its end.
async fn mistake(
    world: &World,
    original: &str,
    (right, wrong): (&str, &str),
    says: &str,
) -> Result<()> {
    let edited = original.replace(right, wrong);
    ensure(edited != original, || {
        format!("`{right}` is not in the fleet file")
    })?;
    world.edit(&edited)?;
    wait_for(&format!("`{wrong}` to be refused"), || async {
        let error = world.report().await?.fleet.error;
        Ok(error.is_some_and(|error| error.message.contains(says)))
    })
    .await?;
    ensure(
        world
            .metrics()
            .await?
            .contains("meridian_fleet_file_error{} 1"),
        || "not on the page of metrics".into(),
    )?;
    world.edit(original)?;
    wait_for("the file to be fine again", || async {
        Ok(world.report().await?.fleet.error.is_none())
    })
    .await
}

/// A model that only two regions had comes to the third: unhealthy while its health check is wrong, then it serves.
async fn model_added(world: &World, original: &str) -> Result<String> {
    let model = crate::world::PARTIAL_MODEL;
    let pool = world.block().pool("us-west-2");
    let with_model = |health: &str| {
        let pool = format!("\"{model}\": {{ endpoints: [\"{pool}\"], health: {health} }}");
        original.replacen("    pools:\n", &format!("    pools:\n      {pool}\n"), 1)
    };
    // A path that its servers do not have is no health check.
    world.edit(&with_model("/nowhere"))?;
    wait_for("the new pool to be unhealthy", || async {
        let regions = world.report().await?.regions;
        let pool = regions["us-west-2"].pools.get(model);
        Ok(pool.is_some_and(|pool| pool.signals.endpoints == Some((0, 1))))
    })
    .await?;
    let with_model = with_model("/ping");
    world.edit(&with_model)?;
    wait_for("us-west-2 to be asked for the new model", || async {
        let ask = world.ask("us-west-2").country("US").model(model);
        ask.send().await?;
        Ok(world.reached(ask.marker()).first().map(String::as_str) == Some("us-west-2"))
    })
    .await?;
    Ok(with_model)
}

/// A region is dropped from the file: from then on us-west-2 sheds to the one that is left.
async fn region_dropped(world: &World, text: &str) -> Result<()> {
    let start = text.find("  us-east-1:\n").context("no us-east-1")?;
    let end = text.find("  eu-west-1:\n").context("no eu-west-1")?;
    let without = format!("{}{}", &text[..start], &text[end..])
        .replace(
            "regions: [us-west-2, us-east-1, eu-west-1]",
            "regions: [us-west-2, eu-west-1]",
        )
        .replace("nearest: [us-east-1, eu-west-1]", "nearest: [eu-west-1]")
        .replace("nearest: [us-west-2, us-east-1]", "nearest: [us-west-2]");
    world.edit(&without)?;
    wait_for("us-east-1 to be gone from us-west-2's gateway", || async {
        let clusters = world.gateway("us-west-2").admin("/clusters").await?;
        Ok(!clusters.contains("peer/us-east-1/"))
    })
    .await?;
    world
        .pool("us-west-2")
        .update(|behaviour| behaviour.kv_cache_usage = 0.95);
    wait_for("us-west-2 to shed to eu-west-1", || async {
        Ok(share(world, "us-west-2").await? < 100)
    })
    .await?;
    let overflow = world.report().await?.placements["us-west-2"]["global"][crate::world::MODEL]
        .overflow
        .clone();
    let to = overflow.keys().map(|region| region.as_str());
    ensure(to.eq(["eu-west-1"]), || format!("{overflow:?}"))
}

/// How often zones are renamed, split and put back.
const ROUNDS: u64 = 10;

/// Zones are renamed, split and put back, again and again: no request fails meanwhile, and each is served by the same region as
/// before, also through a peer for a pinned zone.
pub async fn zones(world: &mut World) -> Result<String> {
    let original = world.fleet_file()?;
    let (renamed, split) = (renamed(&original)?, split(&original)?);
    let callers = [
        ("eu-west-1", "DE"),
        ("us-west-2", "US"),
        ("us-east-1", "DE"),
        ("eu-west-1", "FR"),
        ("eu-west-1", "JP"),
        ("us-east-1", "FR"),
    ];
    let answering = [
        ("us-west-2", "us-west-2"),
        ("us-east-1", "eu-west-1"),
        ("eu-west-1", "eu-west-1"),
    ];
    let before = world.report().await?.counts.reloads;
    let load = Load::start(world, &callers)?;
    let edits = (0..ROUNDS).flat_map(|_| [&renamed, &split, &original]);
    for (text, taken) in edits.zip(before + 1..) {
        world.edit(text)?;
        wait_for("the edit to be taken", || async {
            Ok(world.report().await?.counts.reloads == taken)
        })
        .await?;
    }
    let tally = load.stop().await?;
    for (gateway, region) in answering {
        let by = tally.at(gateway);
        ensure(by.keys().eq([&region]), || {
            format!("the callers of {gateway} were answered by {by:?}")
        })?;
    }
    until_only_own_zones(world).await?;
    Ok(format!(
        "zones renamed, split and put back {ROUNDS} times; {} requests at 50/s, none failed, all by the region as before",
        tally.all
    ))
}

/// Limits of a fleet with long answers.
pub const LONG_ANSWERS: &str = "{ first_token: 5s, unstreamed: 5s, connect: 5s, stream_idle_timeout: 20s, answer: 90s, body: 64MiB }";

/// Zones get a region and lose one, again and again: nobody fails of 200 requests a second, and streams that began before go on to their
/// end, a minute later.
pub async fn regions(world: &mut World) -> Result<String> {
    const STREAMS: usize = 6;
    let original = world.fleet_file()?;
    let fewer = edited(
        &original,
        &[(
            "regions: [us-west-2, us-east-1, eu-west-1]",
            "regions: [us-west-2, eu-west-1]",
        )],
    )?;
    let more = edited(
        &original,
        &[(
            "pinned: true, regions: [eu-west-1]",
            "pinned: true, regions: [eu-west-1, us-east-1]",
        )],
    )?;
    world.pool("eu-west-1").update(|behaviour| {
        behaviour.token_ms = 1000;
        behaviour.tokens = 64;
    });
    let begun = Instant::now();
    let mut streams = JoinSet::new();
    for _ in 0..STREAMS {
        let ask = world.ask("eu-west-1").country("DE").streamed();
        streams.spawn(async move { ask.send().await });
    }
    let pool = world.pool("eu-west-1");
    wait_for("the streams to begin", || async {
        Ok(pool.requests().len() >= STREAMS)
    })
    .await?;
    let before = world.report().await?.counts.reloads;
    let callers = [("us-west-2", "US"), ("us-east-1", "US")];
    let load = Load::at_rate(world, &callers, 200)?;
    let edits = (0..ROUNDS).flat_map(|_| [&fewer, &original, &more, &original]);
    for (text, taken) in edits.zip(before + 1..) {
        world.edit(text)?;
        wait_for("the edit to be taken", || async {
            Ok(world.report().await?.counts.reloads == taken)
        })
        .await?;
    }
    let tally = load.stop().await?;
    for answer in streams.join_all().await {
        let answer = answer?;
        let is_whole = answer.status == 200 && answer.text().contains("[DONE]");
        ensure(is_whole && answer.region() == "eu-west-1", || {
            format!("a stream under way: {} {}", answer.status, answer.text())
        })?;
    }
    Ok(format!(
        "{} edits that gave a zone a region or took one; {} requests at 200/s, none failed; {STREAMS} streams from before the first edit \
         ended whole after {:.0} s",
        4 * ROUNDS,
        tally.all,
        begun.elapsed().as_secs_f64()
    ))
}

/// The fleet file with other names for its zones.
fn renamed(original: &str) -> Result<String> {
    let edits = [
        ("  eea: { ", "  europe: { jurisdictions: [eea], "),
        ("unknown_zone: eea", "unknown_zone: europe"),
        ("  global: { ", "  world: { "),
    ];
    edited(original, &edits)
}

/// The fleet file with two zones in the place of one.
fn split(original: &str) -> Result<String> {
    let edit = (
        "  eea: { countries: [preset:eea], ",
        "  dach: { countries: [DE, AT], pinned: true, regions: [eu-west-1], misdirected: forward }
  eea: { countries: [FR, ES, IT], ",
    );
    edited(original, &[edit])
}

fn edited(original: &str, edits: &[(&str, &str)]) -> Result<String> {
    edits
        .iter()
        .try_fold(original.to_owned(), |text, (old, new)| {
            ensure(text.contains(old), || {
                format!("`{old}` is not in the fleet file")
            })?;
            Ok(text.replace(old, new))
        })
}

/// Waits until no gateway has a route of a zone that is gone.
async fn until_only_own_zones(world: &World) -> Result<()> {
    wait_for("the routes of zones that are gone to be gone", || async {
        let mut routes = String::new();
        for region in REGIONS {
            let gateway = world.gateway(region);
            routes += &gateway
                .admin("/config_dump?resource=dynamic_route_configs")
                .await?;
        }
        let has = |zone: &str| routes.contains(&format!("\"{zone}/"));
        Ok(has("eea") && has("global") && !["dach", "europe", "world"].into_iter().any(has))
    })
    .await?;
    Ok(())
}

/// An edit that the control plane takes and Envoy does not: shown in Envoy's own words, not sent again, and the old configuration
/// serves.
pub async fn nack(world: &mut World) -> Result<String> {
    let original = world.fleet_file()?;
    let words = "/nowhere/the_filter";
    world.edit(&original.replace(&filter_file(&original)?, words))?;
    until_refused(world, words).await?;
    is_not_sent_again(world).await?;
    let shown = world.status().await?;
    let line = shown
        .lines()
        .find(|line| line.contains(words))
        .context("`meridian status` does not show it")?
        .trim()
        .to_owned();
    world.edit(&original)?;
    until_taken(world).await?;
    Ok(format!(
        "three Envoys refuse a filter that is not there, serve as before, and are not asked again: {line}"
    ))
}

/// Waits until every Envoy refuses a resource, with these words in its error.
pub(super) async fn until_refused(world: &World, words: &str) -> Result<()> {
    wait_for("Envoys to refuse it", || async {
        let report = world.report().await?;
        let refusing = report.envoys.iter().filter(|envoy| {
            envoy
                .types
                .values()
                .any(|of| of.nack.as_ref().is_some_and(|nack| nack.contains(words)))
        });
        Ok(refusing.count() == REGIONS.len())
    })
    .await
}

/// Waits until every Envoy has taken all that it was sent, and refuses nothing.
pub(super) async fn until_taken(world: &World) -> Result<()> {
    let not_taken = async || {
        let report = world.report().await?;
        let types = report.envoys.into_iter().flat_map(|envoy: EnvoyReport| {
            let of = move |(kind, of): (_, TypeReport)| (envoy.node.clone(), kind, of);
            envoy.types.into_iter().map(of)
        });
        let left = types.filter(|(.., of)| of.nack.is_some() || of.in_flight.is_some());
        anyhow::Ok(left.map(|left| format!("{left:?}")).collect::<Vec<_>>())
    };
    let taken = wait_for("Envoys to take the mended file", || async {
        Ok(not_taken().await?.is_empty())
    });
    if let Err(error) = taken.await {
        return Err(error.context(not_taken().await?.join("; ")));
    }
    Ok(())
}

/// Waits until the lease was renewed twice: whatever an edit sends has been sent.
pub(super) async fn until_renewed_twice(world: &World) -> Result<()> {
    let leases = async || {
        let counts = world.report().await?.counts;
        anyhow::Ok(counts.pushes.get("extension").copied().unwrap_or_default())
    };
    let before = leases().await?;
    wait_for("the lease to be renewed twice", || async {
        Ok(leases().await? >= before + 2 * REGIONS.len() as u64)
    })
    .await
}

/// Every region serves, and two renewals of the lease later no cluster or listener was sent again.
async fn is_not_sent_again(world: &World) -> Result<()> {
    let before = world.report().await?.counts;
    for region in REGIONS {
        let country = if region == "eu-west-1" { "DE" } else { "US" };
        let answer = world.ask(region).country(country).send().await?;
        ensure(answer.status == 200 && answer.region() == region, || {
            format!("{region}: {} {}", answer.status, answer.text())
        })?;
    }
    until_renewed_twice(world).await?;
    let after = world.report().await?.counts;
    for kind in ["cluster", "listener"] {
        ensure(after.pushes.get(kind) == before.pushes.get(kind), || {
            format!(
                "{kind} was sent again: {:?} {:?}",
                before.pushes, after.pushes
            )
        })?;
    }
    Ok(())
}

/// The file of the filter that the gateways of a fleet file run.
pub fn filter_file(text: &str) -> Result<String> {
    let fleet = fleet::parse(text)?;
    let home = fleet.regions.keys().next().context("no region")?;
    Ok(fleet.filters.of(fleet.filter_kind(home)).to_owned())
}

/// Another version of the filter takes the place of the one that runs: in every plugin, without a restart, and no request fails
/// meanwhile.
pub async fn filter(world: &mut World) -> Result<String> {
    let original = world.fleet_file()?;
    let old = filter_file(&original)?;
    let new = world.dir().join("next_filter");
    let mut code = std::fs::read(&old)?;
    if code.starts_with(b"\0asm") {
        // A custom section named "v": the same program in another file.
        code.extend_from_slice(&[0, 2, 1, b'v']);
    }
    std::fs::write(&new, code)?;
    let new = new.display().to_string();
    let load = Load::start(world, &[("us-west-2", "US"), ("eu-west-1", "DE")])?;
    world.edit(&original.replace(&old, &new))?;
    wait_for(
        "every plugin of every gateway to run the new file",
        || async {
            let mut all = true;
            for region in REGIONS {
                let dump = world.gateway(region).admin("/config_dump").await?;
                all &= dump.contains(&new) && !dump.contains(&old);
            }
            Ok(all)
        },
    )
    .await?;
    let tally = load.stop().await?;
    // The guard is there, too.
    world
        .pool("us-west-2")
        .update(|behaviour| behaviour.fail = Fail::ErrorEvent(0));
    let answer = world.ask("us-west-2").country("US").streamed();
    let answer = answer.send().await?;
    let text = answer.text();
    let is_clean = answer.status == 200 && !text.contains("\"error\":{");
    // The nearest one, unless a busy home has sent the request elsewhere already.
    let elsewhere = matches!(answer.region(), "us-east-1" | "eu-west-1");
    ensure(is_clean && elsewhere, || {
        format!("{} by {}: {text}", answer.status, answer.region())
    })?;
    Ok(format!(
        "another file of the filter, in router, guard and egress of three gateways; {} requests at 50/s, none failed; then an \
         error in a 200 is hidden: {}",
        tally.all,
        answer.region()
    ))
}

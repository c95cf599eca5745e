//! Overflow: part of a full region's callers go to other regions, and come back.

use super::ensure;
use crate::fakes::Fail;
use crate::world::{Answer, Ask, DEADLINE, MODEL, World, wait_for};
use anyhow::{Context, Result};
use meridian_xds_server::name::{ROUTER, native};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::{Instant, interval, sleep, timeout};

/// One turn of a conversation.
pub(super) fn turn(world: &World, region: &str, country: &str, conversation: usize) -> Ask {
    let ask = world.ask(region).country(country);
    let content = format!("tell me about {}", ask.marker());
    ask.json(&json!({
        "model": MODEL,
        "prompt_cache_key": format!("conversation-{conversation}"),
        "messages": [{ "role": "user", "content": content }],
    }))
}

/// The region that answers each of these conversations.
pub(super) async fn who_answers(
    world: &World,
    conversations: impl Iterator<Item = usize>,
) -> Result<BTreeMap<usize, String>> {
    let mut answers = BTreeMap::new();
    for conversation in conversations {
        let answer = turn(world, "us-west-2", "US", conversation).send().await?;
        ensure(answer.status == 200, || {
            format!("{}: {}", answer.status, answer.text())
        })?;
        answers.insert(conversation, answer.region().to_owned());
    }
    Ok(answers)
}

pub(super) fn left(answers: &BTreeMap<usize, String>) -> usize {
    answers
        .values()
        .filter(|region| *region != "us-west-2")
        .count()
}

/// The share that us-west-2 keeps of its callers, as the control plane says.
pub(super) async fn share(world: &World, gateway: &str) -> Result<u8> {
    let report = world.report().await?;
    let placement = &report.placements[gateway]["global"][MODEL];
    Ok(placement.home_share)
}

/// Sets a region's KV-cache usage to 95 % until its gateway sheds, then to what shedding leaves. Returns the share that it keeps.
pub(super) async fn overload(world: &World, region: &str) -> Result<u8> {
    world
        .pool(region)
        .update(|behaviour| behaviour.kv_cache_usage = 0.95);
    wait_for(&format!("{region} to shed"), || async {
        Ok(share(world, region).await? < 100)
    })
    .await?;
    relieved(world, region);
    let planned_in_force = || async {
        let (policy, _) = in_force(world, region).await?;
        let split = &policy["zones"]["global"]["models"][MODEL]["split"];
        Ok(split["home_share"] == share(world, region).await?)
    };
    wait_for(&format!("{region}'s Envoy to have it"), planned_in_force).await?;
    share(world, region).await
}

/// Sets a usage that neither sheds more nor takes callers back.
fn relieved(world: &World, region: &str) {
    world
        .pool(region)
        .update(|behaviour| behaviour.kv_cache_usage = 0.76);
}

/// What has this name, at any depth.
fn named<'v>(value: &'v Value, name: &str) -> Option<&'v Value> {
    if value["name"] == name {
        return Some(value);
    }
    match value {
        Value::Object(fields) => fields.values().find_map(|value| named(value, name)),
        Value::Array(values) => values.iter().find_map(|value| named(value, name)),
        _ => None,
    }
}

/// The filter's policy and the weights of the overflow lane, as Envoy itself shows them.
pub(super) async fn in_force(
    world: &World,
    region: &str,
) -> Result<(Value, BTreeMap<String, u64>)> {
    let dump: Value = serde_json::from_str(
        &world
            .gateway(region)
            .admin("/config_dump?include_eds")
            .await?,
    )?;
    let configs = dump["configs"].as_array().context("no configs")?;
    let of = |kind: &'static str| {
        configs.iter().filter(move |config| {
            config["@type"]
                .as_str()
                .is_some_and(|name| name.ends_with(kind))
        })
    };
    let policy = of("EcdsConfigDump")
        .flat_map(|dump| dump["ecds_filters"].as_array().into_iter().flatten())
        .map(|filter| &filter["ecds_filter"])
        .find_map(|filter| {
            let config = &filter["typed_config"];
            let policy = match filter["name"].as_str()? {
                ROUTER => &config["config"]["configuration"],
                name if name == native(ROUTER) => &config["filter_config"],
                _ => return None,
            };
            policy["value"].as_str()
        })
        .context("no policy in the dump")?;
    let name = format!("global/{MODEL}/overflow/whole");
    let route = of("RoutesConfigDump").find_map(|dump| named(dump, &name));
    let route = route.context("no overflow route in the dump")?;
    let clusters = route["route"]["weighted_clusters"]["clusters"]
        .as_array()
        .context("no weights in the dump")?;
    let weights = clusters.iter().map(|cluster| {
        (
            cluster["name"].as_str().unwrap_or_default().to_owned(),
            cluster["weight"].as_u64().unwrap_or_default(),
        )
    });
    Ok((serde_json::from_str(policy)?, weights.collect()))
}

/// us-west-2 at 0.95: part leaves, the rest stays; below 0.70 it returns.
pub async fn overflow(world: &mut World) -> Result<String> {
    let before = who_answers(world, 0..20).await?;
    ensure(left(&before) == 0, || {
        format!("somebody left an idle region: {before:?}")
    })?;
    let (rounds, took) = until_envoy_sheds(world).await?;
    relieved(world, "us-west-2");
    // Two looks, what began of the third while the news travelled, and what a busy machine adds.
    ensure(rounds <= 4.0, || format!("only after {rounds:.1} scrapes"))?;
    let (share, gone) = part_leaves(world).await?;
    world
        .pool("us-west-2")
        .update(|behaviour| behaviour.kv_cache_usage = 0.4);
    wait_for("the share to return", || async {
        Ok(self::share(world, "us-west-2").await? == 100)
    })
    .await?;
    wait_for("the callers to return", || async {
        Ok(left(&who_answers(world, 0..50).await?) == 0)
    })
    .await?;
    Ok(format!(
        "us-west-2 at 0.95: after {rounds:.1} scrapes ({took:?}) Envoy's own dump keeps {share} %, and {gone} of 200 are answered by us-east-1; at 0.40 all back"
    ))
}

/// us-west-2's pool is at 0.95: how many scrapes it takes, and how long, until its Envoy keeps less than all. Nobody sends
/// requests meanwhile: by the load that answers carry callers would leave before the plan changes.
async fn until_envoy_sheds(world: &World) -> Result<(f64, Duration)> {
    // The page is read by three sources, one of which reads the load.
    let pool = world.pool("us-west-2");
    let scrapes = pool.scrapes();
    pool.update(|behaviour| behaviour.kv_cache_usage = 0.95);
    let since = Instant::now();
    loop {
        let (policy, _) = in_force(world, "us-west-2").await?;
        let split = &policy["zones"]["global"]["models"][MODEL]["split"];
        if split["home_share"].as_u64().is_some_and(|kept| kept < 100) {
            let rounds = (pool.scrapes() - scrapes) as f64 / 3.0;
            return Ok((rounds, since.elapsed()));
        }
        ensure(since.elapsed() < DEADLINE, || {
            "Envoy never had another share".into()
        })?;
        sleep(Duration::from_millis(5)).await;
    }
}

/// Of 200 conversations as many leave us-west-2 as its share says, all to the nearest region; Envoy's own dump says the same. The
/// share, and how many left.
async fn part_leaves(world: &World) -> Result<(u8, usize)> {
    let answers = who_answers(world, 0..200).await?;
    // The report is made twice a second.
    wait_for("the report to say so", || async {
        Ok(share(world, "us-west-2").await? < 100)
    })
    .await?;
    let share = share(world, "us-west-2").await?;
    let expected = 200 * usize::from(100 - share) / 100;
    ensure(left(&answers).abs_diff(expected) <= 20, || {
        format!("{} of 200 left at a share of {share}", left(&answers))
    })?;
    let elsewhere: Vec<&String> = answers
        .values()
        .filter(|region| *region != "us-west-2")
        .collect();
    ensure(
        elsewhere.iter().all(|region| *region == "us-east-1"),
        || format!("the nearest had room: {elsewhere:?}"),
    )?;
    let (policy, weights) = in_force(world, "us-west-2").await?;
    let split = &policy["zones"]["global"]["models"][MODEL]["split"];
    ensure(
        split["home_share"] == share && split["first"] == "us-west-2",
        || format!("Envoy's own dump has {split}"),
    )?;
    let global = world.definition("global")?;
    let expected = BTreeMap::from([(format!("chain/{global}/{MODEL}/us-east-1"), 100)]);
    ensure(weights == expected, || {
        format!("Envoy's own dump has {weights:?}")
    })?;
    Ok((share, left(&answers)))
}

/// The EU's one region at 0.95: its callers stay, and nothing is paid for. Others than EU callers leave.
pub async fn eu(world: &mut World) -> Result<String> {
    let share = overload(world, "eu-west-1").await?;
    let mut stayed = 0;
    for conversation in 0..60 {
        let answer = turn(world, "eu-west-1", "DE", conversation).send().await?;
        ensure(answer.region() == "eu-west-1", || {
            format!("an EU caller was served by {}", answer.region())
        })?;
        stayed += 1;
    }
    let mut left = 0;
    let mut decision = String::new();
    for conversation in 0..60 {
        let answer = turn(world, "eu-west-1", "JP", conversation).send().await?;
        left += usize::from(answer.region() != "eu-west-1");
        answer
            .header("x-meridian-decision")
            .clone_into(&mut decision);
    }
    ensure(left > 0, || {
        format!("no caller from outside the EU left at a share of {share}; the last: {decision}")
    })?;
    let spent =
        world.provider("claude").requests().len() + world.provider("claude-eu").requests().len();
    ensure(spent == 0, || {
        format!("{spent} requests went to a fallback")
    })?;
    Ok(format!(
        "eu-west-1 at 0.95: {stayed} of 60 EU callers stayed, {left} of 60 others left, no fallback spent"
    ))
}

/// A minute of noise between 0.78 and 0.82: the share must not go up and down, which would move conversations to and fro.
pub async fn noise(world: &mut World) -> Result<String> {
    let mut shares = vec![share(world, "us-west-2").await?];
    let mut ticks = interval(Duration::from_millis(250));
    for tick in 0..240u32 {
        ticks.tick().await;
        let noise = f64::from(tick.wrapping_mul(2_654_435_761) % 41) / 1000.0;
        world
            .pool("us-west-2")
            .update(|behaviour| behaviour.kv_cache_usage = 0.78 + noise);
        shares.push(share(world, "us-west-2").await?);
    }
    let looks = shares.len();
    shares.dedup();
    ensure(
        shares.len() <= 2 && shares.is_sorted_by(|one, next| one >= next),
        || format!("the share went {shares:?}"),
    )?;
    Ok(format!(
        "60 s between 0.78 and 0.82: {looks} looks, shares {shares:?}"
    ))
}

/// Conversations stay where they are while nothing is shed, and shedding moves as few as it can.
pub async fn affinity(world: &mut World) -> Result<String> {
    const ALL: usize = 120;
    let home = who_answers(world, 0..ALL).await?;
    ensure(left(&home) == 0, || "somebody left an idle region".into())?;
    overload(world, "us-west-2").await?;
    let some = who_answers(world, 0..ALL).await?;
    for _ in 0..3 {
        let again = who_answers(world, 0..ALL).await?;
        ensure(again == some, || {
            "a conversation moved though nothing changed".into()
        })?;
    }
    // More is shed: a conversation that has left stays where it is.
    world
        .pool("us-west-2")
        .update(|behaviour| behaviour.waiting = 500);
    wait_for("more to leave", || async {
        Ok(share(world, "us-west-2").await? <= 10)
    })
    .await?;
    wait_for("more to have left", || async {
        Ok(left(&who_answers(world, 0..ALL).await?) > left(&some))
    })
    .await?;
    let more = who_answers(world, 0..ALL).await?;
    let gone = some.iter().filter(|(_, region)| *region != "us-west-2");
    let came_back = gone
        .clone()
        .find(|(conversation, _)| more[*conversation] == "us-west-2");
    ensure(came_back.is_none(), || format!("{came_back:?} came back"))?;
    // The first of the others is no longer given all of them: its part of the weights moves on, and nothing else.
    let twice = gone
        .filter(|(conversation, region)| more[*conversation] != **region)
        .count();
    let few = left(&some);
    ensure(twice * 5 <= few, || {
        format!("of {few} conversations {twice} were moved twice")
    })?;
    let many = left(&more);
    Ok(format!(
        "{ALL} conversations: none moved unasked in 3 rounds; {few} left, then {many}, {twice} of them twice"
    ))
}

/// A number in a decision, by its name.
fn figure(answer: &Answer, name: &str) -> Option<f64> {
    let decision = answer.header("x-meridian-decision");
    let (_, rest) = decision.split_once(&format!(" {name}="))?;
    rest.split(' ').next()?.parse().ok()
}

/// The part of home's callers that leaves because home refused some a moment ago.
fn cooling(answer: &Answer) -> Option<f64> {
    figure(answer, "cooling")
}

/// The part that leaves because home's servers said in their answers that they are too full.
fn full(answer: &Answer) -> Option<f64> {
    figure(answer, "full")
}

/// us-west-2's answer to a turn of a conversation.
async fn next(world: &World, conversation: usize) -> Result<Answer> {
    turn(world, "us-west-2", "US", conversation).send().await
}

/// The first 429 counts at once, on every connection, long before it is measured; so does the load that answers carry.
pub async fn fast_path(world: &mut World) -> Result<String> {
    let (took, level, left) = first_refusal(world).await?;
    let (too_much, full_after) = told_load(world).await?;
    retry_after_is_kept(world).await?;
    Ok(format!(
        "one 429: the next request, {took:?} later, finds the share lowered by {level}; {left} of 40 left; forgotten by itself; answers that say 0.95 \
         of its KV-cache: after {full_after:?} a part of {too_much} is kept away"
    ))
}

/// One 429 lowers the share for the next request, whichever worker takes it, and is forgotten. How long after it the next request
/// was answered, by how much the share was lowered, and how many of 40 left.
async fn first_refusal(world: &World) -> Result<(Duration, f64, usize)> {
    let pool = world.pool("us-west-2");
    wait_for("the gateway to know where its callers may go", || async {
        let calm = next(world, 0).await?;
        let decision = calm.header("x-meridian-decision");
        ensure(cooling(&calm).is_none(), || decision.into())?;
        Ok(decision.contains("home_share=100"))
    })
    .await?;
    pool.update(|behaviour| behaviour.fail = Fail::Status(429));
    let refused = next(world, 0).await?;
    let since = Instant::now();
    pool.update(|behaviour| behaviour.fail = Fail::None);
    ensure(
        refused.status == 200 && refused.region() == "us-east-1",
        || format!("{} by {}", refused.status, refused.region()),
    )?;
    let first = next(world, 1).await?;
    let took = since.elapsed();
    let decision = first.header("x-meridian-decision");
    let level =
        cooling(&first).with_context(|| format!("the share was not lowered: {decision}"))?;
    ensure(decision.contains("home_share=100"), || {
        format!("the control plane knew already: {decision}")
    })?;
    // Whichever worker takes the connection.
    let mut left = 0;
    for conversation in 2..42 {
        let answer = next(world, conversation).await?;
        ensure(cooling(&answer).is_some(), || {
            answer.header("x-meridian-decision").into()
        })?;
        left += usize::from(answer.region() != "us-west-2");
    }
    ensure(left > 0, || "nobody left".into())?;
    wait_for("it to be forgotten", || async {
        Ok(cooling(&next(world, 1).await?).is_none())
    })
    .await?;
    Ok((took, level, left))
}

/// What servers say of their load in their answers counts as soon. The part that is kept away, and how soon.
async fn told_load(world: &World) -> Result<(f64, Duration)> {
    let pool = world.pool("us-west-2");
    pool.update(|behaviour| behaviour.kv_cache_usage = 0.95);
    let since = Instant::now();
    let too_much = timeout(DEADLINE, async {
        loop {
            let next = next(world, 1).await?;
            if let Some(part) = full(&next).filter(|part| *part > 0.1) {
                return anyhow::Ok(part);
            }
        }
    })
    .await
    .context("what is too much was not kept away")??;
    let full_after = since.elapsed();
    ensure(too_much < 0.17, || {
        format!("{too_much} of the requests is more than what is too much")
    })?;
    pool.update(|behaviour| behaviour.kv_cache_usage = 0.1);
    wait_for("it to be forgotten, and its callers to be back", || async {
        let next = next(world, 1).await?;
        let decision = next.header("x-meridian-decision");
        Ok(full(&next).is_none() && decision.contains("home_share=100"))
    })
    .await?;
    Ok((too_much, full_after))
}

/// The Retry-After of a pool that refuses most is kept, though it answers again.
async fn retry_after_is_kept(world: &World) -> Result<()> {
    let pool = world.pool("us-west-2");
    pool.update(|behaviour| {
        behaviour.fail = Fail::Status(429);
        behaviour.retry_after = Some(60);
    });
    wait_for("most to be sent elsewhere", || async {
        who_answers(world, 100..140).await?;
        Ok(cooling(&next(world, 1).await?).is_some_and(|level| level > 0.5))
    })
    .await?;
    pool.update(|behaviour| behaviour.fail = Fail::None);
    let at_first = cooling(&next(world, 1).await?).context("429 says nothing")?;
    let mut ticks = interval(Duration::from_millis(100));
    for _ in 0..20 {
        ticks.tick().await;
        let later = cooling(&next(world, 1).await?).context("a Retry-After was not kept")?;
        ensure((at_first - later).abs() < 1e-9, || {
            format!("{at_first} became {later} within a Retry-After")
        })?;
    }
    Ok(())
}

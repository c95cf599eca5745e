//! What the control plane counts is what the servers have seen: by zone, model, lane and region, to the last request.

use super::ensure;
use super::overflow::share;
use crate::fakes::Fail;
use crate::world::{Ask, MODEL, PARTIAL_MODEL, REGIONS, World, client, wait_for};
use anyhow::{Context, Result};
use meridian_xds_server::collect::page::Page;
use serde_json::json;
use std::collections::BTreeMap;
use tokio::task::JoinSet;

/// Requests at a time.
const AT_ONCE: usize = 20;

/// Whose callers, and what for: a gateway, a country, its zone, a model.
const CALLERS: [(&str, &str, &str, &str); 8] = [
    ("us-west-2", "US", "global", MODEL),
    ("us-west-2", "BR", "global", PARTIAL_MODEL),
    ("us-east-1", "CA", "global", MODEL),
    ("us-east-1", "US", "global", PARTIAL_MODEL),
    ("eu-west-1", "JP", "global", MODEL),
    ("eu-west-1", "DE", "eea", MODEL),
    ("eu-west-1", "FR", "eea", PARTIAL_MODEL),
    ("eu-west-1", "IN", "global", PARTIAL_MODEL),
];

/// Attempts by gateway, zone, model, lane, the region that was asked, and how it answered.
type Counted = BTreeMap<[String; 6], u64>;

/// One request of a caller: the marker by which servers' records are matched, and the labels of its attempts.
struct Sent {
    marker: String,
    gateway: &'static str,
    zone: &'static str,
    model: &'static str,
    lane: String,
}

async fn send(world: &World, numbers: std::ops::Range<usize>, sent: &mut Vec<Sent>) -> Result<()> {
    let client = client().build()?;
    let mut requests = JoinSet::new();
    for number in numbers {
        let (gateway, country, zone, model) = CALLERS[number % CALLERS.len()];
        let ask = world.ask(gateway).country(country);
        let content = format!("tell me about {}", ask.marker());
        let ask = ask.json(&json!({
            "model": model,
            "prompt_cache_key": format!("conversation-{number}"),
            "stream": number % 3 == 0,
            "messages": [{ "role": "user", "content": content }],
        }));
        let client = client.clone();
        if requests.len() >= AT_ONCE {
            let one = requests.join_next().await.context("none is under way")?;
            sent.push(one.context("a request has died")??);
        }
        requests.spawn(async move { one(&ask, &client, (gateway, zone, model)).await });
    }
    for one in requests.join_all().await {
        sent.push(one?);
    }
    Ok(())
}

async fn one(
    ask: &Ask,
    client: &reqwest::Client,
    (gateway, zone, model): (&'static str, &'static str, &'static str),
) -> Result<Sent> {
    let answer = ask.send_with(client).await?;
    let decision = answer.header("x-meridian-decision").to_owned();
    ensure(
        answer.status == 200 && decision.contains(&format!("zone={zone}")),
        || format!("{} {}: {decision}", answer.status, answer.text()),
    )?;
    let lane = decision
        .strip_prefix("lane=")
        .and_then(|rest| rest.split(' ').next());
    Ok(Sent {
        marker: ask.marker().to_owned(),
        gateway,
        zone,
        model,
        lane: lane.context("no lane")?.to_owned(),
    })
}

/// What the servers have recorded.
fn recorded(world: &World, sent: &[Sent]) -> Result<Counted> {
    let by_marker: BTreeMap<&str, &Sent> =
        sent.iter().map(|one| (one.marker.as_str(), one)).collect();
    let mut counted = Counted::new();
    for region in REGIONS {
        for request in world.pool(region).requests() {
            let body = String::from_utf8_lossy(&request.body).into_owned();
            let begin = body.find("marker-").context("a request of nobody")?;
            let end = body[begin..].find("-end").context("a request of nobody")?;
            let one = by_marker
                .get(&body[begin..begin + end + "-end".len()])
                .with_context(|| format!("nobody sent {body}"))?;
            let outcome = match request.answered.as_str() {
                "200" => "answered",
                "429" => "overloaded",
                _ => "failed",
            };
            let key = [one.gateway, one.zone, one.model, &one.lane, region, outcome];
            *counted.entry(key.map(str::to_owned)).or_default() += 1;
        }
    }
    Ok(counted)
}

/// What the control plane's page of metrics says.
async fn counted(world: &World) -> Result<Counted> {
    let text = world.metrics().await?;
    let page = Page::parse(text.as_bytes())?;
    let mut counted = Counted::new();
    for sample in page.samples("meridian_attempts_total") {
        let label = |name| sample.label(name).unwrap_or_default().to_owned();
        let key = ["region", "zone", "model", "lane", "to", "outcome"].map(label);
        if sample.value > 0.0 {
            *counted.entry(key).or_default() += sample.value as u64;
        }
    }
    Ok(counted)
}

/// Waits for two more reports of every gateway.
async fn reported(world: &World) -> Result<()> {
    let last = async || -> Result<Vec<_>> {
        let report = world.report().await?;
        let heard = REGIONS.iter().flat_map(|region| {
            let sources = report.regions[*region].sources.iter();
            let gateways = sources.filter(|(_, source)| source.url.is_empty());
            gateways
                .map(|(name, source)| (name.clone(), source.heard))
                .collect::<Vec<_>>()
        });
        Ok(heard.collect())
    };
    for _ in 0..2 {
        let before = last().await?;
        wait_for("every gateway to report", || async {
            let now = last().await?;
            Ok(now.len() == before.len()
                && now
                    .iter()
                    .zip(&before)
                    .all(|(now, before)| now.1 > before.1))
        })
        .await?;
    }
    Ok(())
}

/// Waits until as many attempts are counted as the servers have seen. No other request comes meanwhile.
async fn all_counted(world: &World, sent: &[Sent]) -> Result<()> {
    let all: u64 = recorded(world, sent)?.values().sum();
    wait_for("all to be counted", || async {
        Ok(counted(world).await?.values().sum::<u64>() >= all)
    })
    .await
}

/// 1,100 requests; some while us-west-2 sheds, and some while us-east-1 refuses or fails.
pub async fn counted_exactly(world: &mut World) -> Result<String> {
    let mut sent = Vec::new();
    send(world, 0..400, &mut sent).await?;
    world
        .pool("us-west-2")
        .update(|behaviour| behaviour.kv_cache_usage = 0.95);
    wait_for("us-west-2 to shed", || async {
        Ok(share(world, "us-west-2").await? < 100)
    })
    .await?;
    send(world, 400..800, &mut sent).await?;
    for (fail, numbers) in [(429, 800..840), (500, 840..870), (503, 870..900)] {
        let pool = world.pool("us-east-1");
        pool.update(|behaviour| behaviour.fail = Fail::Status(fail));
        send(world, numbers, &mut sent).await?;
        pool.update(|behaviour| behaviour.fail = Fail::None);
    }
    send(world, 900..1000, &mut sent).await?;
    all_counted(world, &sent).await?;
    // The last ones of a gateway may end together.
    for wave in 0..5 {
        let begin = 1000 + wave * AT_ONCE;
        send(world, begin..begin + AT_ONCE, &mut sent).await?;
        all_counted(world, &sent).await?;
    }
    reported(world).await?;
    let expected = recorded(world, &sent)?;
    let all: u64 = expected.values().sum();
    let counted = counted(world).await?;
    ensure(counted == expected, || {
        let missing = expected
            .iter()
            .filter(|(key, count)| counted.get(*key) != Some(*count));
        let other = counted
            .iter()
            .filter(|(key, count)| expected.get(*key) != Some(*count));
        format!(
            "servers: {:?}\ncounted: {:?}",
            missing.collect::<Vec<_>>(),
            other.collect::<Vec<_>>()
        )
    })?;
    let of = |place: usize, what: &str| -> u64 {
        let those = expected.iter().filter(|(key, _)| key[place] == what);
        those.map(|(_, count)| count).sum()
    };
    ensure(
        of(3, "overflow") > 0 && of(5, "overloaded") > 0 && of(5, "failed") > 0 && of(1, "eea") > 0,
        || format!("nothing of some kind: {expected:?}"),
    )?;
    Ok(format!(
        "{} requests, {all} attempts in {} rows of gateway, zone, model, lane, region and outcome: all as the servers have them ({} overflow, {} eea, {} refused, {} failed)",
        sent.len(),
        expected.len(),
        of(3, "overflow"),
        of(1, "eea"),
        of(5, "overloaded"),
        of(5, "failed"),
    ))
}

//! Retrieval is served by the region's own vector database, and by the primary while that one is behind. Retrieval in the EU
//! stays there.

use super::ensure;
use crate::world::{PRIMARY, Retrieval, World, client, wait_for, workspace};
use anyhow::Result;
use meridian_policy::RegionName;
use meridian_xds_server::serve::report::DataReport;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::task::{JoinHandle, JoinSet};

const WEST: &str = "us-west-2";
const EU: &str = "eu-west-1";

async fn data(world: &World, region: &str) -> Result<DataReport> {
    Ok(world.report().await?.regions[region].data.clone())
}

/// A region's database is so far behind, and the control plane has heard of it.
pub(super) async fn lag(world: &World, region: &str, seconds: f64) -> Result<DataReport> {
    let pool = world.pool(region);
    pool.update(|behaviour| behaviour.replication_lag_seconds = seconds);
    wait_for(&format!("{region} to be {seconds} s behind"), || async {
        Ok(data(world, region).await?.lag == Some(seconds))
    })
    .await?;
    // Above the limit and well below it there is no question what the plan will say.
    let clear = (!(24.0..=30.0).contains(&seconds)).then_some(seconds > 30.0);
    wait_for("the plan to follow", || async {
        let behind = data(world, region).await?.behind;
        Ok(clear.is_none_or(|clear| behind == clear))
    })
    .await?;
    data(world, region).await
}

/// New connections at a region are answered by the database of another from now on.
async fn served_by(world: &World, region: &str, by: &str) -> Result<()> {
    wait_for(
        &format!("retrieval at {region} to be served by {by}"),
        || async { Ok(Retrieval::once(world.block().milvus(region), "who").await? == by) },
    )
    .await
}

/// New connections, one after the other, until they are stopped: the database that answered each, or what went wrong.
struct Stream {
    stop: Arc<AtomicBool>,
    asking: JoinHandle<Vec<Result<String, String>>>,
}

impl Stream {
    fn start(world: &World, region: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (milvus, stopped) = (world.block().milvus(region), stop.clone());
        let asking = tokio::spawn(async move {
            let mut answers = Vec::new();
            let mut pace = tokio::time::interval(Duration::from_millis(20));
            while !stopped.load(Ordering::Relaxed) {
                pace.tick().await;
                let answer = Retrieval::once(milvus, "stream").await;
                answers.push(answer.map_err(|error| format!("{error:#}")));
            }
            answers
        });
        Self { stop, asking }
    }

    /// How many there were. At most `died` may have failed: those that were open to a database as it died.
    async fn end(self, died: usize) -> Result<usize> {
        self.stop.store(true, Ordering::Relaxed);
        let answers = self.asking.await?;
        let failed: Vec<_> = answers.iter().filter(|answer| answer.is_err()).collect();
        ensure(failed.len() <= died, || {
            format!(
                "{} of {} connections failed: {failed:?}",
                failed.len(),
                answers.len()
            )
        })?;
        Ok(answers.len())
    }
}

/// A replica at 31 s: its region's retrieval goes to the primary, and comes back well below 30 s. No new connection fails
/// meanwhile, and open connections stay.
pub async fn follows(world: &mut World) -> Result<String> {
    for region in [WEST, PRIMARY, EU] {
        served_by(world, region, region).await?;
    }
    let stream = Stream::start(world, WEST);
    let milvus = world.block().milvus(WEST);
    let mut before = Retrieval::connect(milvus).await?;
    ensure(before.ask("before").await? == WEST, || "not at home".into())?;
    let behind = lag(world, WEST, 31.0).await?;
    ensure(
        behind.behind && behind.serves == Some(RegionName::from_static(PRIMARY)),
        || format!("{behind:?}"),
    )?;
    served_by(world, WEST, PRIMARY).await?;
    let mut meanwhile = Retrieval::connect(milvus).await?;
    ensure(meanwhile.ask("meanwhile").await? == PRIMARY, || {
        "not at the primary".into()
    })?;
    ensure(before.ask("still").await? == WEST, || {
        "a connection that stood was moved".into()
    })?;
    for seconds in [29.0, 24.5] {
        let near = lag(world, WEST, seconds).await?;
        ensure(
            near.behind && near.serves == Some(RegionName::from_static(PRIMARY)),
            || format!("back at {seconds} s: {near:?}"),
        )?;
    }
    served_by(world, WEST, PRIMARY).await?;
    lag(world, WEST, 23.5).await?;
    served_by(world, WEST, WEST).await?;
    ensure(meanwhile.ask("still").await? == PRIMARY, || {
        "a connection that stood was moved back".into()
    })?;
    lag(world, WEST, 29.5).await?;
    ensure(!data(world, WEST).await?.behind, || {
        "left below the limit".into()
    })?;
    let count = stream.end(0).await?;
    for other in [PRIMARY, EU] {
        served_by(world, other, other).await?;
    }
    let status = world.status().await?;
    ensure(status.contains("vector database"), || status)?;
    Ok(format!(
        "{WEST} at 31 s: retrieval by {PRIMARY}, over mTLS; at 29 and 24.5 s still, at 23.5 s back; {count} new connections, none failed, \
         those that stood stayed"
    ))
}

/// A client with a gateway's certificate that claims to be the gateway of a region.
fn as_reader(world: &World, identity: Option<&str>, claims: &str) -> Result<reqwest::Client> {
    let certificates = world.certificates();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certificates.ca())?)?;
    let builder = ClientConfig::builder().with_root_certificates(roots);
    let mut config = match identity {
        Some(name) => builder.with_client_auth_cert(
            vec![CertificateDer::from_pem_file(
                certificates.certificate(name),
            )?],
            PrivateKeyDer::from_pem_file(certificates.key(name))?,
        )?,
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![format!("retrieval/{claims}").into_bytes()];
    Ok(client()
        .tls_backend_preconfigured(config)
        .http1_only()
        .build()?)
}

/// Retrieval in the EU stays there, however old its data is, and when its database is dead.
pub async fn eu(world: &mut World) -> Result<String> {
    let marker = "marker-of-an-EU-question";
    let milvus = world.block().milvus(EU);
    let behind = lag(world, EU, 3600.0).await?;
    ensure(behind.serves == Some(RegionName::from_static(EU)), || {
        format!("{behind:?}")
    })?;
    let alarms = world.report().await?.alarms;
    let told = alarms.iter().any(|alarm| {
        alarm.region.as_str() == EU && alarm.message.contains("vector database is behind")
    });
    ensure(told, || format!("no alarm: {alarms:?}"))?;
    let metrics = world.metrics().await?;
    let sample = format!(r#"meridian_alarms{{region="{EU}",kind="old_data"}} 1.0"#);
    ensure(metrics.contains(&sample), || {
        format!("no `{sample}`: {metrics}")
    })?;
    for _ in 0..20 {
        let by = Retrieval::once(milvus, marker).await?;
        ensure(by == EU, || format!("answered by {by}"))?;
    }
    world.database(EU).kill().await;
    let mut refused = 0;
    for _ in 0..20 {
        refused += usize::from(Retrieval::once(milvus, marker).await.is_err());
    }
    ensure(refused == 20, || format!("{} were answered", 20 - refused))?;
    ensure(world.retrieved_from(marker) == [EU], || {
        format!("{:?}", world.retrieved_from(marker))
    })?;
    // No other gateway may retrieve in the EU, and no gateway of the EU elsewhere: the other gateway refuses it.
    let closed = tokio::net::TcpStream::connect(world.block().milvus_peer(EU)).await;
    ensure(closed.is_err(), || "another gateway could come in".into())?;
    for (identity, claims, comes) in [
        (None, WEST, false),
        (Some(EU), EU, false),
        (Some(EU), WEST, false),
        (Some(WEST), EU, false),
        (Some(WEST), WEST, true),
    ] {
        let client = as_reader(world, identity, claims)?;
        let line = format!("{}-as-{claims}", identity.unwrap_or("nobody"));
        let url = format!("https://{}/{line}", world.block().milvus_peer(PRIMARY));
        // The database speaks no HTTP: what it has recorded shows which client was let in.
        let answer = client.get(url).send().await;
        ensure(answer.is_err(), || format!("{answer:?}"))?;
        ensure(world.retrieved_from(&line).is_empty() != comes, || {
            format!("{line}: {:?}", world.retrieved_from(&line))
        })?;
    }
    Ok(format!(
        "{EU} an hour behind: 20 of 20 connections stay there, with an alarm; its database dead: 20 of 20 refused; nothing came to \
         another region's, and {PRIMARY} refuses a gateway of the EU"
    ))
}

/// A database that dies is skipped at once in its own region; through a peer once the peer's health checks fail.
pub async fn dead(world: &mut World) -> Result<String> {
    let stream = Stream::start(world, WEST);
    served_by(world, WEST, WEST).await?;
    world.database(WEST).kill().await;
    served_by(world, WEST, PRIMARY).await?;
    world.database(WEST).revive().await?;
    served_by(world, WEST, WEST).await?;
    let count = stream.end(1).await?;
    lag(world, WEST, 31.0).await?;
    served_by(world, WEST, PRIMARY).await?;
    world.database(PRIMARY).kill().await;
    let milvus = world.block().milvus(WEST);
    wait_for("the replica to serve in the primary's place", || async {
        Ok(Retrieval::once(milvus, "who")
            .await
            .is_ok_and(|by| by == WEST))
    })
    .await?;
    world.database(PRIMARY).revive().await?;
    wait_for("the primary to serve again", || async {
        Ok(Retrieval::once(milvus, "who")
            .await
            .is_ok_and(|by| by == PRIMARY))
    })
    .await?;
    Ok(format!(
        "{WEST}'s database killed and revived: {count} new connections, none of those after it failed; the primary killed while {WEST} is behind: the \
         replica serves until it is back"
    ))
}

/// The regions of the zone `eea`, which keep the EU to itself, and regions that let it read everywhere.
const EU_REGIONS: [&str; 2] = [
    "pinned: true, regions: [eu-west-1]",
    "pinned: true, regions: [eu-west-1, us-east-1, us-west-2]",
];

/// A zone that pins the west: from then on it reads no other database, and nobody reads its own.
const PINNED_WEST: &str =
    "  west: { countries: [MX], pinned: true, regions: [us-west-2] }\nunknown_zone:";

/// Connections of each kind: enough to meet both workers of a gateway.
const OF_EACH: usize = 6;

/// Longer than a gateway drains what an edit replaced, see `DRAIN_S`.
const DRAINED: Duration = Duration::from_secs(34);

/// Well before the drain time is over, also on a busy machine. An idle one needs about a second.
const AT_ONCE: Duration = Duration::from_secs(25);

/// How long the gateways of `retrieval-withdrawn-*` drain, in seconds.
pub const DRAIN_S: u32 = 30;

/// Opens connections at a region, all served by one database.
async fn open(world: &World, region: &str, by: &str) -> Result<Vec<Retrieval>> {
    let mut connections = Vec::new();
    for _ in 0..OF_EACH {
        let mut connection = Retrieval::connect(world.block().milvus(region)).await?;
        let answer = connection.ask("open").await?;
        ensure(answer == by, || format!("{region} is served by {answer}"))?;
        connections.push(connection);
    }
    Ok(connections)
}

/// An edit takes the primary away from the west. Connections of the west to it close at once; all others stay, also past
/// the drain time.
pub async fn withdrawn(world: &mut World) -> Result<String> {
    withdraw(world, None, false).await
}

/// The same while the west's gateway does not hear of the edit: the primary's gateway closes them.
pub async fn withdrawn_by_owner(world: &mut World) -> Result<String> {
    withdraw(world, Some(WEST), false).await
}

/// The same while the primary's gateway does not hear of the edit: the west's gateway closes them.
pub async fn withdrawn_by_reader(world: &mut World) -> Result<String> {
    withdraw(world, Some(PRIMARY), false).await
}

/// The same after the gateways got another file of the filter: connections stay in the VM that they began in.
pub async fn withdrawn_after_upgrade(world: &mut World) -> Result<String> {
    withdraw(world, None, true).await
}

/// Gives the gateways other code of the filter, which does the same. The fleet file that names it.
async fn with_another_filter(world: &World, fleet: &str) -> Result<String> {
    let (now, next) = (
        workspace().join("target/filter/meridian_filter.wasm"),
        world.dir().join("next.wasm"),
    );
    // A custom section, named `next`.
    let code = [std::fs::read(&now)?.as_slice(), b"\0\x05\x04next"].concat();
    std::fs::write(&next, code)?;
    let fleet = fleet.replace(&now.display().to_string(), &next.display().to_string());
    world.edit(&fleet)?;
    wait_for("all gateways to have the other filter", || async {
        let dump = world.gateway(PRIMARY).admin("/config_dump").await?;
        Ok(dump.contains("next.wasm") && world.is_up_to_date().await?)
    })
    .await?;
    Ok(fleet)
}

/// Waits until all connections are closed. The time from the edit to the last of them.
async fn all_closed(connections: Vec<Retrieval>, edited: Instant) -> Result<Duration> {
    let mut waits = JoinSet::new();
    for mut connection in connections {
        waits.spawn(async move { connection.closed().await.map(|()| edited.elapsed()) });
    }
    let mut slowest = Duration::ZERO;
    while let Some(closed) = waits.join_next().await {
        slowest = slowest.max(closed??);
    }
    Ok(slowest)
}

async fn withdraw(world: &mut World, cut_off: Option<&str>, upgrade: bool) -> Result<String> {
    let relay = match cut_off {
        Some(region) => Some(world.through_relay(region).await?),
        None => None,
    };
    let [alone, everywhere] = EU_REGIONS;
    let mut shared = world.fleet_file()?.replacen(alone, everywhere, 1);
    world.edit(&shared)?;
    served_by(world, WEST, WEST).await?;
    let mut stay = vec![(WEST, open(world, WEST, WEST).await?)];
    for region in [WEST, EU] {
        lag(world, region, 31.0).await?;
        served_by(world, region, PRIMARY).await?;
    }
    stay.push((PRIMARY, open(world, EU, PRIMARY).await?));
    stay.push((PRIMARY, open(world, PRIMARY, PRIMARY).await?));
    let end = open(world, WEST, PRIMARY).await?;
    if upgrade {
        shared = with_another_filter(world, &shared).await?;
    }
    drop(relay);
    let edited = Instant::now();
    world.edit(&shared.replacen("unknown_zone:", PINNED_WEST, 1))?;
    let slowest = all_closed(end, edited).await?;
    ensure(slowest < AT_ONCE, || {
        format!("closed only after {slowest:?}")
    })?;
    tokio::time::sleep(DRAINED).await;
    for (by, connections) in &mut stay {
        for connection in connections {
            let answer = connection.ask("still").await?;
            ensure(answer == *by, || format!("moved to {answer}"))?;
        }
    }
    served_by(world, EU, PRIMARY).await?;
    Ok(format!(
        "{OF_EACH} connections from {WEST} to {PRIMARY} closed within {} ms of the edit; {} others stayed, past the drain time",
        slowest.as_millis(),
        OF_EACH * stay.len()
    ))
}

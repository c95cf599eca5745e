//! One fault under load.

use super::operators::Operators;
use super::seen::Seen;
use super::settled::until_settled;
use crate::kill_hunt::edits::Edits;
use crate::kill_hunt::sent::{Changes, Counters, Pushes};
use crate::kill_hunt::{Tally, Traffic};
use crate::world::{Replicas, World, wait_for};
use anyhow::{Context, Result};
use rand::{Rng, RngExt};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// The longest time without a leader after one that has died or stands still.
const FOLLOWED_WITHIN: Duration = Duration::from_secs(5);

/// How many faults of which kind.
#[derive(Clone, Copy, Debug)]
pub struct Faults {
    /// Leaders that are killed or stopped, in equal parts.
    pub leaders: usize,
    /// Kills of etcd.
    pub etcd: usize,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The leader dies.
    LeaderDies,
    /// The leader stands still, and goes on later.
    LeaderStops,
    /// etcd dies, and is started again later.
    EtcdDies,
}

impl Fault {
    /// So many of each.
    pub fn all(faults: Faults) -> Vec<Self> {
        let stopped = faults.leaders / 2;
        let mut all = vec![Self::LeaderDies; faults.leaders - stopped];
        all.extend(vec![Self::LeaderStops; stopped]);
        all.extend(vec![Self::EtcdDies; faults.etcd]);
        all
    }

    fn name(self) -> &'static str {
        match self {
            Self::LeaderDies => "leader killed",
            Self::LeaderStops => "leader stopped",
            Self::EtcdDies => "etcd killed",
        }
    }
}

/// What else happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meanwhile {
    /// Nothing: nothing may be sent.
    Nothing,
    /// Operators say something all the time.
    Operators,
    /// The fleet file is edited just before.
    Edit,
}

impl Meanwhile {
    /// Each in its turn; operators every other time.
    fn of(number: usize) -> Self {
        match number % 4 {
            1 => Self::Nothing,
            3 => Self::Edit,
            _ => Self::Operators,
        }
    }
}

/// What happens when.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    fault: Fault,
    meanwhile: Meanwhile,
    /// Which of the other fleet files an edit brings.
    edit: usize,
    /// How long everything runs before.
    before: Duration,
    /// How long what has died or stands still is away.
    away: Duration,
}

impl Plan {
    /// A random one with this fault.
    pub fn random(fault: Fault, number: usize, random: &mut impl Rng) -> Self {
        let ms = |at: u64| Duration::from_millis(at);
        let away = match fault {
            // Longer than it takes until another one leads: it wakes up as one that was followed.
            Fault::LeaderStops => random.random_range(4500..8000),
            Fault::LeaderDies => random.random_range(0..4000),
            Fault::EtcdDies => random.random_range(0..5000),
        };
        Self {
            fault,
            meanwhile: Meanwhile::of(number),
            edit: random.random_range(0..usize::MAX),
            before: ms(random.random_range(0..1500)),
            away: ms(away),
        }
    }
}

/// One fault in a world.
pub struct Round<'r> {
    /// The world.
    pub world: &'r mut World,
    /// Fleet files.
    pub edits: &'r mut Edits,
    /// What happens.
    pub plan: Plan,
}

impl Round<'_> {
    /// Does it, and judges it.
    ///
    /// # Errors
    /// It does not end.
    pub async fn run(self, seen: &mut Seen) -> Result<String> {
        let Self { world, edits, plan } = self;
        let traffic = Traffic::start(world)?;
        traffic.until_answered(20).await?;
        let counters = Counters::read(world).await?;
        let mut pushes = Sent::of(world.replicas()?)?;
        let next = seen.operators.next();
        // By some of the fleet files it has another name.
        let text = world.fleet_file()?;
        let zone = if text.contains("  world: {") {
            "world"
        } else {
            "global"
        };
        let operators = match plan.meanwhile {
            Meanwhile::Operators => Some(Operators::start(world.replicas()?, next, zone)?),
            _ => None,
        };
        if plan.meanwhile == Meanwhile::Edit {
            world.edit(edits.next(plan.edit))?;
        }
        sleep(plan.before).await;
        let replicas = world.replicas()?;
        let followed = fault(replicas, plan, &mut pushes).await?;
        if let Some(operators) = operators {
            seen.operators.add(operators.stop().await?);
        }
        until_settled(world).await?;
        let seen_here = Outcome {
            followed,
            sent: pushes.since(world.replicas()?)?,
            changes: Counters::read(world).await?.since(&counters),
            tally: traffic.stop(world).await?,
        };
        Ok(seen_here.judge(plan, seen))
    }
}

/// What was seen in a round.
struct Outcome {
    followed: Duration,
    sent: Pushes,
    changes: Changes,
    tally: Tally,
}

impl Outcome {
    /// Adds it to all that was seen, with what is wrong of it.
    fn judge(self, plan: Plan, seen: &mut Seen) -> String {
        let Self {
            followed,
            sent,
            changes,
            tally,
        } = self;
        let (count, longest) = seen.faults.entry(plan.fault.name()).or_default();
        *count += 1;
        *longest = followed.max(*longest);
        if plan.fault != Fault::EtcdDies && followed > FOLLOWED_WITHIN {
            seen.wrong
                .push(format!("{plan:?}: followed after {followed:.1?}"));
        }
        if plan.meanwhile == Meanwhile::Nothing {
            seen.quiet += sent.resources();
            let kinds = changes.kinds();
            if sent.resources() > 0 || !kinds.is_empty() {
                seen.wrong
                    .push(format!("{plan:?}: sent {sent}, taken {kinds:?}"));
            }
        } else {
            seen.again += changes.unchanged(&sent);
        }
        seen.requests += tally.requests;
        seen.longest = seen.longest.max(tally.longest);
        let wrong = tally.wrong.iter();
        seen.wrong
            .extend(wrong.map(|wrong| format!("{plan:?}: {wrong}")));
        let by_fallbacks = tally.by_fallbacks;
        // An edit that replaces all clusters may lead there for a moment.
        if by_fallbacks > 0 && plan.meanwhile != Meanwhile::Edit {
            seen.wrong
                .push(format!("{plan:?}: {by_fallbacks} by fallbacks"));
        }
        format!(
            "followed after {followed:.1?}; {} requests; sent {sent}, changed {changes}",
            tally.requests
        )
    }
}

/// Brings the fault about, and ends it. Returns the time from it until another replica led; of etcd until any did again after its start.
async fn fault(replicas: &mut Replicas, plan: Plan, pushes: &mut Sent) -> Result<Duration> {
    let leader = replicas.leader().await.context("no replica leads")?;
    let begun = Instant::now();
    match plan.fault {
        Fault::LeaderDies => {
            replicas.all[leader].kill().await?;
            pushes.ended(leader, replicas)?;
            let followed = until_followed(replicas, leader, begun, plan.away);
            let followed = followed.await?;
            replicas.all[leader].restart().await?;
            Ok(followed)
        }
        Fault::LeaderStops => {
            replicas.all[leader].freeze().await?;
            let followed = until_followed(replicas, leader, begun, plan.away);
            let followed = followed.await?;
            replicas.all[leader].thaw().await?;
            Ok(followed)
        }
        Fault::EtcdDies => {
            replicas.etcd.kill().await?;
            sleep(plan.away).await;
            replicas.etcd.restart().await?;
            let begun = Instant::now();
            let all = &*replicas;
            wait_for("a replica to lead again", || async {
                Ok(all.leader().await.is_some())
            })
            .await?;
            Ok(begun.elapsed())
        }
    }
}

/// Waits until another replica leads, and until the fault's time is over.
async fn until_followed(
    replicas: &Replicas,
    before: usize,
    begun: Instant,
    away: Duration,
) -> Result<Duration> {
    wait_for("another replica to lead", || async {
        Ok(replicas.leader_but(before).await.is_some())
    })
    .await?;
    let followed = begun.elapsed();
    sleep(away.saturating_sub(followed)).await;
    Ok(followed)
}

/// What the replicas have sent.
struct Sent {
    before: Vec<Pushes>,
    by_dead: Pushes,
}

impl Sent {
    fn of(replicas: &Replicas) -> Result<Self> {
        let pushes = replicas.all.iter();
        let pushes = pushes.map(|replica| Ok(Pushes::of(&replica.log()?)));
        Ok(Self {
            before: pushes.collect::<Result<_>>()?,
            by_dead: Pushes::default(),
        })
    }

    /// One has died: the next one begins another log.
    fn ended(&mut self, number: usize, replicas: &Replicas) -> Result<()> {
        let before = std::mem::take(&mut self.before[number]);
        let sent = Pushes::of(&replicas.all[number].log()?).without(&before);
        self.by_dead = std::mem::take(&mut self.by_dead).with(&sent);
        Ok(())
    }

    fn since(self, replicas: &Replicas) -> Result<Pushes> {
        let mut sum = self.by_dead;
        for (replica, before) in replicas.all.iter().zip(&self.before) {
            sum = sum.with(&Pushes::of(&replica.log()?).without(before));
        }
        Ok(sum)
    }
}

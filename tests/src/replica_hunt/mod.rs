//! A hunt for what replicas of the control plane lose. Leaders are killed or stopped and etcd is killed at random moments, while 200
//! requests a second go through three gateways and operators say something all the time. The judge shares no code with the product: it
//! reads etcd's own history, the audit log, the counters of the gateways, and every answer.

mod history;
mod operators;
mod round;
mod seen;
mod settled;

pub use round::Faults;
pub use seen::{Seen, conclude};

use crate::kill_hunt;
use crate::kill_hunt::edits::Edits;
use crate::world::{Options, World};
use anyhow::Result;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use round::{Fault, Plan, Round};
use settled::until_settled;
use tokio::time::Instant;

/// Control planes.
const REPLICAS: usize = 3;

/// The world of a hunt.
pub fn options() -> Options {
    Options {
        replicas: REPLICAS,
        ..kill_hunt::options()
    }
}

/// Does so many faults, in a random order.
///
/// # Errors
/// No replica leads, or a gateway is not brought up to date.
pub async fn hunt(
    world: &mut World,
    seed: u64,
    faults: Faults,
    tell: impl Fn(&str),
) -> Result<Seen> {
    let begun = Instant::now();
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut all = Fault::all(faults);
    all.shuffle(&mut random);
    let mut seen = Seen {
        seed,
        ..Seen::default()
    };
    let mut edits = Edits::new(world.fleet_file()?)?;
    until_settled(world).await?;
    for (number, fault) in all.into_iter().enumerate() {
        let plan = Plan::random(fault, number, &mut random);
        let round = Round {
            world,
            edits: &mut edits,
            plan,
        };
        let line = round.run(&mut seen).await;
        let line = line.map_err(|error| error.context(format!("fault {number}, {plan:?}")))?;
        tell(&format!(
            "{:.0?}: fault {number}, {plan:?}: {line}; {} wrong so far",
            begun.elapsed(),
            seen.wrong.len()
        ));
    }
    let replicas = world.replicas()?;
    let wrong = seen.operators.judge(replicas).await?;
    seen.wrong.extend(wrong);
    seen.history = history::read(replicas.etcd.address()).await?;
    seen.wrong.extend(seen.history.wrong.iter().cloned());
    seen.took = begun.elapsed();
    Ok(seen)
}

//! Shedding at request time: how much less than its share the first pool gets at this moment.

use crate::pace::{self, PoolPace};
use crate::request::RequestContext;
use crate::routes::{BatchRoute, ModelRoute, PoolId, SplitRoute};
use meridian_policy::filter_policy::TOTAL_WEIGHT;
use std::rc::Rc;

/// How much less than its share the first pool gets, 0 to 1; the largest counts.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ShedFractions {
    /// The part that it refused lately, beyond what others refused.
    pub refused: f64,
    /// The part that is too much by its servers' load reports. The pool keeps no more than the rest of all requests: the share may
    /// account for the load already.
    pub loaded: f64,
    /// The part that would get its first token sooner elsewhere.
    pub queued: f64,
}

impl ShedFractions {
    /// What gateways see of the first pool and the others at this moment.
    pub fn of(
        split: &SplitRoute,
        refused: impl Fn(&PoolId) -> f64,
        loaded: impl Fn(&PoolId) -> f64,
        pace: impl Fn(&PoolId) -> PoolPace,
        now_ms: u64,
    ) -> Self {
        let all: u32 = split.overflow.iter().map(|(_, weight)| weight).sum();
        if split.fixed || all == 0 {
            return Self::default();
        }
        let refuses = weighted(&split.overflow, &refused) / f64::from(all);
        // Nothing is sent where it would be refused, however soon.
        let take = (1.0 - refuses).max(0.0);
        let others: Vec<(PoolPace, u32)> = split
            .overflow
            .iter()
            .map(|(pool, weight)| (pace(pool), *weight))
            .collect();
        let others = others.iter().map(|(pace, weight)| (pace, *weight));
        let here = pace(&split.first);
        Self {
            // Where all refuse as much, leaving gains nothing. A product would be largest where all refuse one half.
            refused: (refused(&split.first) - refuses).max(0.0),
            loaded: take
                * (loaded(&split.first) - weighted(&split.overflow, &loaded) / f64::from(all))
                    .max(0.0),
            queued: take * pace::pressure(&here, others, now_ms),
        }
    }

    /// What lowers the share.
    pub(crate) fn of_share(self) -> f64 {
        self.refused.max(self.queued)
    }
}

fn weighted(pools: &[(Rc<PoolId>, u32)], value: impl Fn(&PoolId) -> f64) -> f64 {
    let each = pools.iter();
    each.map(|(pool, weight)| f64::from(*weight) * value(pool))
        .sum()
}

/// The part of batch requests that does not go where they would be refused, 0 to 1.
pub fn batch_not_refused(batch: &BatchRoute, refused: impl Fn(&PoolId) -> f64) -> f64 {
    let refused = weighted(&batch.others, refused);
    (1.0 - refused / f64::from(TOTAL_WEIGHT)).max(0.0)
}

/// A choice between the first region and the others.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Choice {
    /// Percent that the first region was to keep.
    pub home_share: u8,
    /// Percent that it keeps whatever it said a moment ago.
    pub floor: u8,
    /// How much less it keeps.
    pub shed: ShedFractions,
    /// The lease had run out, so none of it counted.
    pub lease_ran_out: bool,
    /// Set while the first region is drained.
    pub leaving: Option<Leaving>,
}

/// A request for a pool that is drained: those that begin a conversation leave first, since the others have a KV-cache there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Leaving {
    /// It begins a conversation.
    pub begins: bool,
    /// The part of the pool's requests that do, 0 to 1.
    pub beginning: f64,
}

impl Leaving {
    /// Of this kind of request, the part that stays where `keeps` of all do.
    fn part(self, keeps: f64) -> f64 {
        let ongoing = 1.0 - self.beginning;
        let stays = if self.begins {
            (keeps - ongoing) / self.beginning
        } else {
            keeps / ongoing
        };
        // Without any of the other kind, one of the two divides by zero.
        if stays.is_nan() {
            keeps
        } else {
            stays.clamp(0.0, 1.0)
        }
    }
}

impl Choice {
    /// The choice of a request at this moment; `None` where there is none. `begins`: whether it begins a conversation.
    pub fn of(
        route: &ModelRoute,
        begins: impl FnOnce() -> bool,
        context: &RequestContext<'_>,
    ) -> Option<Self> {
        let split = route.split.as_ref()?;
        let leaving = split.drains.then(|| {
            let begins = begins();
            Leaving {
                begins,
                beginning: (context.begins)(&split.first, begins),
            }
        });
        Some(Self {
            leaving,
            home_share: split.home_share,
            floor: split.floor,
            shed: ShedFractions::of(
                split,
                context.refused,
                context.loaded,
                context.pace,
                context.now_ms,
            ),
            lease_ran_out: context.lease_ran_out,
        })
    }

    /// Home has less room at this moment than others have.
    pub fn sheds(&self) -> bool {
        !self.lease_ran_out && (self.shed.of_share() > 0.0 || self.shed.loaded > 0.0)
    }

    /// Whether a conversation leaves, by its hash. Those with the highest rank leave first and come back last: the others stay
    /// where they are, and so does their KV-cache.
    pub fn leaves(&self, hash: u64) -> bool {
        let shed_rank = hash as f64 / u64::MAX as f64;
        let keeps = self.keeps() / 100.0;
        let keeps = self.leaving.map_or(keeps, |leaving| leaving.part(keeps));
        !self.lease_ran_out && shed_rank >= keeps
    }

    /// Percent of the conversations that stay with the first region.
    pub fn keeps(&self) -> f64 {
        if self.lease_ran_out {
            return 100.0;
        }
        let share = f64::from(self.home_share);
        let most = 100.0 * (1.0 - self.shed.loaded);
        let keeps = (share * (1.0 - self.shed.of_share())).min(most);
        keeps.max(share.min(f64::from(self.floor)))
    }
}

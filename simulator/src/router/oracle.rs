//! What nobody can have: the region whose best replica, as it is at this very moment, gives the soonest first token.

use super::{Ask, Router, Verdict, first};
use crate::case::Case;

pub struct Oracle {
    round_trip: Vec<Vec<f64>>,
}

impl Oracle {
    pub fn new(case: &Case) -> Self {
        Self {
            round_trip: case.round_trip.clone(),
        }
    }
}

impl Router for Oracle {
    fn route(&mut self, ask: &Ask<'_>) -> Verdict {
        let soonest = |region: &usize| {
            let replicas = ask.truth[*region].iter();
            let times = replicas.map(|replica| replica.first_token_after(ask.request.prompt));
            let wait = times.fold(f64::INFINITY, f64::min);
            wait + self.round_trip[ask.request.home][*region]
        };
        let best = ask
            .allowed
            .iter()
            .min_by(|one, other| soonest(one).total_cmp(&soonest(other)));
        first(best.copied().unwrap_or(ask.allowed[0]), ask.allowed)
    }
}

//! What nobody can have: every replica of every region as it is at this very moment, and what all gateways have on its way
//! there. A request goes where it costs the least: its own time until the first token, and the time that it takes from those
//! who are there already. It is greedy, one request after the other, and knows nothing of what comes next: no upper bound.

use super::interface::{Ask, Pick, Router, Verdict};
use crate::case::Case;

/// What the seconds that a request takes from all who are there count, over its own: of what was tried, from 0 to 0.3, this keeps
/// the most promises and costs first tokens the least.
const OTHERS: f64 = 0.03;

pub struct Oracle {
    round_trip: Vec<Vec<f64>>,
    /// By region and replica: when what is on its way arrives, and the tokens of its prompt.
    coming: Vec<Vec<Vec<(f64, u64)>>>,
}

impl Oracle {
    pub fn new(case: &Case) -> Self {
        let sites = case.regions.iter();
        Self {
            round_trip: case.round_trip.clone(),
            coming: sites.map(|site| vec![Vec::new(); site.replicas]).collect(),
        }
    }
}

impl Router for Oracle {
    fn route(&mut self, ask: &Ask<'_>) -> Verdict {
        let prompt = ask.request.prompt;
        let mut best = (f64::INFINITY, ask.allowed[0], 0);
        for region in ask.allowed.iter().copied() {
            let way = self.round_trip[ask.request.home][region];
            for (index, replica) in ask.truth[region].iter().enumerate() {
                let coming = &mut self.coming[region][index];
                coming.retain(|(arrives, _)| *arrives > ask.now);
                let tokens = coming.iter().map(|(_, prompt)| prompt).sum();
                let own = way + replica.first_token_after(prompt, tokens);
                let cost = own + OTHERS * replica.takes(prompt);
                if cost < best.0 {
                    best = (cost, region, index);
                }
            }
        }
        let (_, region, replica) = best;
        let arrives = ask.now + self.round_trip[ask.request.home][region] / 2.0;
        self.coming[region][replica].push((arrives, prompt));
        let others = ask.allowed.iter().copied().filter(|other| *other != region);
        Verdict::Go {
            order: std::iter::once(region).chain(others).collect(),
            pick: Pick::Replica(replica),
        }
    }
}

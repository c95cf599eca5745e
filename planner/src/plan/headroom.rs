//! Distribution of the regions' headroom among the gateways that shed.

use crate::flow::{Path, Want, allot};
use crate::placement::{Candidate, HomePool, Placement};
use crate::signal::Millis;
use meridian_policy::fleet::Overflow;
use meridian_policy::name::{RegionName, ZoneName};
use std::collections::BTreeMap;

/// A gateway's choice between regions, for one zone and model.
pub struct Choice {
    pub gateway: RegionName,
    pub zone: ZoneName,
    pub before: Placement,
    pub first: HomePool,
    /// Capacity of the first region: requests per second at a utilization of 1.
    pub capacity: f64,
    pub others: Vec<Candidate>,
    /// Round trip to each of them, in milliseconds.
    pub costs: Vec<f64>,
}

impl Choice {
    /// Requests per second in one percent of the requests.
    fn percent(&self) -> f64 {
        self.before.load(&self.first) * self.capacity
    }

    /// Sets the headroom of each open candidate to its allotment `taken`, in requests per second.
    fn limit_headroom(&mut self, taken: Vec<f64>) {
        let (percent, capacity) = (self.percent(), self.capacity);
        let elasticity = self.first.elasticity;
        let open = self.others.iter_mut().filter(|other| other.open);
        for (other, taken) in open.zip(taken) {
            if other.headroom >= 0.0 {
                let current = self.before.part(&other.region) * percent;
                let available = if other.measured {
                    taken
                } else {
                    taken + current
                };
                other.headroom = available * elasticity / (other.relative_capacity * capacity);
            }
        }
    }
}

/// Distributes the regions' headroom among the choices that shed. In total they take no more than there is.
pub fn share_headroom(limits: &Overflow, choices: &mut [Choice], now: Millis) {
    let wanted: Vec<f64> = choices
        .iter()
        .map(|choice| {
            let (first, others) = (&choice.first, &choice.others);
            choice.before.wants(limits, first, others, now)
        })
        .collect();
    if wanted.iter().all(|wanted| *wanted <= 0.0) {
        return;
    }
    let taken = allot(&wants(choices, &wanted));
    for ((choice, taken), wanted) in choices.iter_mut().zip(taken).zip(wanted) {
        // A choice that sheds nothing keeps the full headroom. Its weights show where its traffic would go.
        if wanted > 0.0 {
            choice.limit_headroom(taken);
        }
    }
}

/// What each choice sheds and where it may go, in requests per second.
fn wants(choices: &[Choice], wanted: &[f64]) -> Vec<Want> {
    let regions = current_overflow(choices);
    let path = |choice: &Choice, other: &Candidate, cost: f64| {
        let (region, current) = *regions.get(&other.region)?;
        let headroom = other.headroom * other.relative_capacity * choice.capacity
            / choice.first.elasticity
            - current;
        Some(Path {
            region,
            headroom,
            cost,
        })
    };
    let each = choices.iter().zip(wanted);
    each.map(|(choice, wanted)| {
        let open = choice.others.iter().zip(&choice.costs);
        let open = open.filter(|(other, _)| other.open);
        Want {
            amount: wanted * choice.percent(),
            to: open
                .filter_map(|(other, cost)| path(choice, other, *cost))
                .collect(),
        }
    })
    .collect()
}

/// Index of each region, and its current overflow in requests per second if its headroom is unmeasured. That overflow
/// is part of the headroom.
fn current_overflow(choices: &[Choice]) -> BTreeMap<RegionName, (usize, f64)> {
    let mut regions: BTreeMap<RegionName, (usize, f64)> = BTreeMap::new();
    for choice in choices {
        for other in &choice.others {
            let index = regions.len();
            let (_, current) = regions.entry(other.region.clone()).or_insert((index, 0.0));
            if !other.measured {
                *current += choice.before.part(&other.region) * choice.percent();
            }
        }
    }
    regions
}

//! Room: what regions can take more, and which gateway has how much of it.

use crate::flow::{Want, Way, allot};
use crate::placement::{First, Other, Placement};
use crate::signal::Millis;
use meridian_policy::fleet::Overflow;
use meridian_policy::name::{RegionName, ZoneName};
use std::collections::BTreeMap;

/// A gateway's choice between regions, for one zone and model.
pub struct Choice {
    pub gateway: RegionName,
    pub zone: ZoneName,
    pub before: Placement,
    pub first: First,
    /// Requests per second that are a utilization of 1 in the first region.
    pub size: f64,
    pub others: Vec<Other>,
    /// How far it is to each of them.
    pub ways: Vec<f64>,
}

impl Choice {
    /// Requests per second in one percent of them.
    fn percent(&self) -> f64 {
        self.before.load(&self.first) * self.size
    }
}

/// Of the room that regions have, each choice that wants some gets its own: together they take no more than there is.
pub fn share_room(limits: &Overflow, choices: &mut [Choice], now: Millis) {
    let wanted: Vec<f64> = choices
        .iter()
        .map(|choice| {
            choice
                .before
                .wants(limits, &choice.first, &choice.others, now)
        })
        .collect();
    if wanted.iter().all(|wanted| *wanted <= 0.0) {
        return;
    }
    let mut regions: BTreeMap<RegionName, (usize, f64)> = BTreeMap::new();
    for choice in choices.iter() {
        for other in &choice.others {
            let place = regions.len();
            let (_, given) = regions.entry(other.region.clone()).or_insert((place, 0.0));
            // Where nothing measures it, what was given already is part of the room.
            if !other.measured {
                *given += choice.before.part(&other.region) * choice.percent();
            }
        }
    }
    let way = |choice: &Choice, other: &Other, cost: f64| {
        let (region, given) = *regions.get(&other.region)?;
        let room = other.room * other.size * choice.size / choice.first.elasticity - given;
        Some(Way { region, room, cost })
    };
    let wants: Vec<Want> = choices
        .iter()
        .zip(&wanted)
        .map(|(choice, wanted)| Want {
            amount: wanted * choice.percent(),
            to: choice
                .others
                .iter()
                .zip(&choice.ways)
                .filter(|(other, _)| other.open)
                .filter_map(|(other, cost)| way(choice, other, *cost))
                .collect(),
        })
        .collect();
    for ((choice, taken), wanted) in choices.iter_mut().zip(allot(&wants)).zip(wanted) {
        // Who wants nothing sees the room that there is: it is where its callers would go.
        if wanted <= 0.0 {
            continue;
        }
        let (percent, size) = (choice.percent(), choice.size);
        let elasticity = choice.first.elasticity;
        let had: Vec<f64> = choice
            .others
            .iter()
            .map(|other| choice.before.part(&other.region) * percent)
            .collect();
        let open = choice
            .others
            .iter_mut()
            .zip(had)
            .filter(|(other, _)| other.open);
        for ((other, had), taken) in open.zip(taken) {
            if other.room >= 0.0 {
                let own = if other.measured { taken } else { taken + had };
                other.room = own * elasticity / (other.size * size);
            }
        }
    }
}

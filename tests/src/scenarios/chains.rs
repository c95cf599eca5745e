//! What runs one after the other on one world.

use super::{Needs, Scenario};

/// Scenarios that want worlds alike, for one world. The longest chains come first.
pub(super) type Chain = Vec<Scenario>;

/// Scenarios of a chain at most: more of a kind share their work between chains, and so between cores.
const MOST: usize = 7;

/// Puts scenarios together that may have the same world.
pub(super) fn chains(scenarios: Vec<Scenario>) -> Vec<Chain> {
    let mut chains: Vec<Chain> = Vec::new();
    for scenario in scenarios {
        match chains.iter_mut().find(|chain| takes(chain, &scenario)) {
            Some(chain) => chain.push(scenario),
            None => chains.push(vec![scenario]),
        }
    }
    chains.sort_by_key(|chain| std::cmp::Reverse(chain.iter().map(weight).sum::<usize>()));
    chains
}

fn takes(chain: &Chain, scenario: &Scenario) -> bool {
    let goes_on = |last: &Scenario| last.needs == Needs::Any && last.options == scenario.options;
    scenario.needs != Needs::Fresh && chain.len() < MOST && chain.last().is_some_and(goes_on)
}

/// How long one takes, in tens of seconds.
fn weight(scenario: &Scenario) -> usize {
    if super::LONG.contains(&scenario.plain_name()) {
        7
    } else {
        1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenarios::scenarios;
    use std::collections::BTreeSet;

    #[test]
    fn every_scenario_is_in_one_chain() {
        let chains = chains(scenarios());
        let names: Vec<&str> = chains.iter().flatten().map(|it| it.name).collect();
        let unique: BTreeSet<&str> = names.iter().copied().collect();
        assert_eq!(
            (names.len(), unique.len()),
            (scenarios().len(), names.len())
        );
    }

    #[test]
    fn a_chain_has_one_kind_of_world_and_ends_with_what_cannot_be_healed() {
        for chain in chains(scenarios()) {
            let names: Vec<&str> = chain.iter().map(|it| it.name).collect();
            assert!(chain.len() <= MOST, "{names:?}");
            for pair in chain.windows(2) {
                assert_eq!(pair[0].options, pair[1].options, "{names:?}");
                assert_eq!(pair[0].needs, Needs::Any, "{names:?}");
                assert_ne!(pair[1].needs, Needs::Fresh, "{names:?}");
            }
        }
    }
}

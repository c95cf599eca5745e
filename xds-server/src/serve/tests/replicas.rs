//! Several controllers, of which one plans and the others publish what it has committed.

use super::*;
use crate::serve::controller::NotAdopted;

/// A controller that leads, and one that follows it.
struct Pair {
    leader: Stand,
    follower: Stand,
}

impl Pair {
    fn new() -> Self {
        let leader = Stand::new();
        let mut follower = Stand::new();
        follower.controller.follow();
        let mut pair = Self { leader, follower };
        pair.agree();
        pair
    }

    /// The follower adopts what is in force, and publishes the same.
    fn agree(&mut self) {
        let Self { leader, follower } = self;
        follower.adopt(&leader.saved);
        same(&leader.published, &follower.published);
    }

    /// The other one leads.
    fn exchange(&mut self) -> Effects {
        std::mem::swap(&mut self.leader, &mut self.follower);
        self.follower.controller.follow();
        let effects = self.leader.controller.lead(self.leader.now);
        self.leader.take(&effects);
        effects
    }
}

impl Stand {
    fn adopt(&mut self, saved: &SavedState) {
        let effects = self.controller.adopt(saved, self.now).unwrap();
        assert_eq!((&effects.save, &effects.record), (&None, &None));
        self.take(&effects);
        self.saved = saved.clone();
    }

    fn take(&mut self, effects: &Effects) {
        if let Some(publication) = &effects.publish {
            self.published = publication.clone();
        }
        if let Some(saved) = &effects.save {
            self.saved = saved.clone();
        }
    }
}

/// Both have the same resources, of the same versions.
fn same(one: &Publication, other: &Publication) {
    assert_eq!(
        one.keys().collect::<Vec<_>>(),
        other.keys().collect::<Vec<_>>()
    );
    for (region, resources) in one {
        for kind in ResourceType::ALL {
            let versions = (resources.version(kind), other[region].version(kind));
            assert_eq!(versions.0, versions.1, "{region} {kind:?}");
        }
    }
}

#[test]
fn a_follower_publishes_the_versions_of_the_leader_and_plans_nothing() {
    let mut pair = Pair::new();
    for _ in 0..20 {
        pair.leader.second(0.95, 0.2);
        let quiet = pair.follower.second(0.95, 0.2);
        assert!(quiet.publish.is_none() && quiet.save.is_none());
        pair.agree();
    }
    let moved = |stand: &Stand| stand.saved.plan.gateways.clone();
    assert!(
        moved(&pair.leader) != moved(&Pair::new().leader),
        "no plan has moved"
    );
    // It goes on from there.
    let effects = pair.exchange();
    assert!(effects.publish.is_none());
    for _ in 0..5 {
        pair.leader.second(0.95, 0.2);
        pair.agree();
    }
    assert!(pair.leader.saved.plan.gateways.values().any(|zones| {
        let mut placements = zones.values().flat_map(|models| models.values());
        placements.any(|placement| placement.home_share < 100)
    }));
}

#[test]
fn each_step_of_a_handover_is_the_same_at_a_follower() {
    let mut pair = Pair::new();
    let before = pair.leader.published.clone();
    pair.leader.handle(renamed("europe"));
    assert!(pair.leader.controller.is_handing_over());
    assert!(pair.leader.saved.before.is_some());
    pair.agree();
    assert!(pair.follower.controller.is_handing_over());
    pair.leader.handle(Event::Settled);
    assert!(pair.leader.saved.before.is_none());
    pair.agree();
    assert!(!pair.follower.controller.is_handing_over());
    assert!(pair.leader.published != before);
    // One that starts now publishes the same.
    let mut late = Stand::new();
    late.adopt(&pair.leader.saved);
    same(&pair.leader.published, &late.published);
}

#[test]
fn a_follower_ends_the_handover_of_a_leader_that_has_died() {
    let mut pair = Pair::new();
    pair.leader.handle(renamed("europe"));
    pair.agree();
    let mut late = Stand::new();
    late.adopt(&pair.leader.saved);
    same(&pair.leader.published, &late.published);
    let mut whole = Stand::new();
    whole.handle(renamed("europe"));
    whole.handle(Event::Settled);
    // Its own file says the same.
    pair.follower.handle(renamed("europe"));
    assert!(!pair.follower.controller.differs());
    pair.exchange();
    assert!(pair.leader.controller.is_handing_over());
    pair.leader.handle(Event::Settled);
    same(&whole.published, &pair.leader.published);
    pair.agree();
}

/// Else it would not say that its gateways have what the next one waits for.
#[test]
fn one_that_led_looks_after_earlier_definitions_again() {
    let mut pair = Pair::new();
    pair.leader.handle(renamed("europe"));
    pair.leader.handle(Event::Settled);
    pair.leader.handle(Event::Settled);
    pair.agree();
    assert!(!pair.leader.controller.keeps_definitions_in_use());
    pair.exchange();
    pair.agree();
    let controllers = [&pair.leader, &pair.follower].map(|stand| &stand.controller);
    assert!(controllers.iter().all(|it| it.keeps_definitions_in_use()));
}

/// They were connected to the one that led before, and accept nothing until they have found another one.
#[test]
fn one_that_begins_to_lead_waits_until_gateways_connect_again() {
    let mut pair = Pair::new();
    for _ in 0..600 {
        pair.leader.tick(100);
        pair.follower.tick(100);
    }
    pair.agree();
    pair.exchange();
    pair.leader.handle(renamed("europe"));
    assert_eq!(pair.leader.ticks_of_handover(), 300);
}

#[test]
fn the_file_of_the_one_that_leads_counts() {
    let mut pair = Pair::new();
    let effects = pair.follower.handle(renamed("europe"));
    assert!(effects.publish.is_none());
    assert!(pair.follower.controller.differs() && !pair.leader.controller.differs());
    let effects = pair.exchange();
    assert!(effects.publish.is_some() && effects.save.is_some());
    pair.leader.handle(Event::Settled);
    pair.agree();
    assert!(pair.follower.controller.differs() && !pair.leader.controller.differs());
}

#[test]
fn a_plan_that_was_not_committed_leaves_nothing_behind() {
    let mut pair = Pair::new();
    let in_force = pair.leader.saved.clone();
    let published = pair.leader.published.clone();
    for _ in 0..20 {
        pair.leader.second(0.95, 0.2);
    }
    pair.leader.handle(renamed("europe"));
    pair.leader.adopt(&in_force);
    same(&published, &pair.leader.published);
    assert!(!pair.leader.controller.is_handing_over());
    // The other one is edited, and this one follows it.
    pair.exchange();
    pair.leader.handle(renamed("west"));
    pair.agree();
}

#[test]
fn while_the_store_is_away_all_give_the_same_leases() {
    let mut pair = Pair::new();
    let away = Duration::from_secs(1);
    let renew = |stand: &mut Stand, at: u64| {
        let effects = stand.controller.renew_alone(away, Millis(at));
        if let Some(effects) = &effects {
            stand.take(effects);
        }
        effects.is_some()
    };
    let begun = pair.leader.now.0;
    let before = pair.leader.published.clone();
    for third in 1..4 {
        let at = begun + third * 20_000;
        // Their clocks differ by some time.
        assert!(!renew(&mut pair.leader, at - 5_000));
        assert!(renew(&mut pair.leader, at + 100));
        assert!(renew(&mut pair.follower, at + 900));
        same(&pair.leader.published, &pair.follower.published);
    }
    assert!(before != pair.leader.published);
    let hours = Duration::from_secs(3601);
    let late = pair
        .leader
        .controller
        .renew_alone(hours, Millis(begun + 4_000_000));
    assert!(late.is_none());
}

#[test]
fn what_cannot_be_published_here_is_said_and_changes_nothing() {
    let mut pair = Pair::new();
    let before = pair.follower.published.clone();
    let mut state = pair.leader.saved.clone();
    state.files = vec!["zones: {".into()];
    let adopt = |stand: &mut Stand, state: &SavedState| stand.controller.adopt(state, stand.now);
    assert!(matches!(
        adopt(&mut pair.follower, &state),
        Err(NotAdopted::File(_))
    ));
    state.files = Vec::new();
    assert!(matches!(
        adopt(&mut pair.follower, &state),
        Err(NotAdopted::NoFile)
    ));
    state.files = vec![format!("gateways: {{ trust_domain: other }}\n{EXAMPLE}")];
    assert!(matches!(
        adopt(&mut pair.follower, &state),
        Err(NotAdopted::TrustDomain(_))
    ));
    pair.agree();
    same(&before, &pair.follower.published);
}

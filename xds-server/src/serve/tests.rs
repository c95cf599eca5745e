//! The controller, event by event, without clock or network.

use super::controller::{Controller, Effects, Event};
use super::edition::Edition;
use super::metrics;
use super::publication::{Publication, Unpublishable};
use super::report::{EnvoyReport, Report, TypeReport};
use super::saved_state::SavedState;
use crate::collect::gateway::{self, GatewayEvent};
use crate::collect::page::Page;
use crate::collect::{Scrape, ScrapeError, Scraped};
use crate::status;
use crate::xds::ResourceType;
use meridian_planner::alarm::{Alarm, AlarmKind};
use meridian_planner::intent::Intents;
use meridian_planner::signal::{AttemptCounts, Figures, Millis, Observation, Reading};
use meridian_policy::Fleet;
use meridian_policy::filter_policy::{Lane, Lease};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

mod edits;
mod gateways;
mod plans;
mod replicas;

use edits::renamed;

const EXAMPLE: &str = include_str!("../../../envoy/fleet.yaml");
const LLAMA: &str = "llama-3.1-70b";

fn fleet() -> Fleet {
    crate::fleet::parse(EXAMPLE).unwrap()
}

fn edition(text: &str) -> Edition {
    Edition::parse(text).unwrap()
}

/// A controller and its clock.
struct Stand {
    controller: Controller,
    published: Publication,
    saved: SavedState,
    now: Millis,
}

impl Stand {
    fn start(saved: Option<SavedState>, now: Millis) -> Self {
        Self::start_with(EXAMPLE, saved, now)
    }

    fn start_with(text: &str, saved: Option<SavedState>, now: Millis) -> Self {
        let file = "fleet.yaml".into();
        let (controller, effects) =
            Controller::start(edition(text), file, saved, Intents::default(), now).unwrap();
        Self {
            controller,
            published: effects.publish.unwrap(),
            saved: effects.save.unwrap(),
            now,
        }
    }

    fn new() -> Self {
        Self::start(None, Millis(1_700_000_000_000))
    }

    fn handle(&mut self, event: Event) -> Effects {
        let effects = self.controller.handle(event, self.now);
        if let Some(publication) = &effects.publish {
            self.published = publication.clone();
        }
        if let Some(saved) = &effects.save {
            self.saved = saved.clone();
        }
        effects
    }

    /// Reports this KV-cache usage from every source, and another one from us-west-2; then a tick, one second later.
    fn second(&mut self, west: f64, others: f64) -> Effects {
        for name in fleet().regions.keys() {
            let is_west = name.as_str() == "us-west-2";
            self.reads(name.as_str(), if is_west { west } else { others });
        }
        self.tick(1000)
    }

    /// Reports this KV-cache usage from every source of a region.
    fn reads(&mut self, region: &str, kv_cache: f64) {
        for (index, signal) in fleet().regions[region].signals.iter().enumerate() {
            let observation = Observation {
                region: region.parse().unwrap(),
                source: signal.key(),
                at: self.now,
                readings: vec![Reading::Server {
                    model: LLAMA.parse().unwrap(),
                    engine: "0".into(),
                    figures: Figures {
                        kv_cache: Some(kv_cache),
                        ..Default::default()
                    },
                }],
            };
            let scraped = Scraped {
                observation: Some(observation),
                refused: Vec::new(),
            };
            let source = format!("signals[{index}]");
            self.look(region, &source, &signal.url, Ok(scraped));
        }
    }

    fn look(
        &mut self,
        region: &str,
        source: &str,
        url: &str,
        outcome: Result<Scraped, ScrapeError>,
    ) {
        self.handle(Event::Scraped(Scrape {
            region: region.parse().unwrap(),
            source: source.into(),
            url: url.into(),
            at: self.now,
            took: Duration::from_millis(3),
            outcome,
        }));
    }

    fn tick(&mut self, milliseconds: u64) -> Effects {
        self.now = Millis(self.now.0 + milliseconds);
        self.handle(Event::Tick)
    }

    /// The ticks of 100 ms until a handover ends, while no gateway answers.
    fn ticks_of_handover(&mut self) -> usize {
        let mut ticks = 0;
        while self.controller.is_handing_over() {
            self.tick(100);
            ticks += 1;
        }
        ticks
    }

    fn report(&self) -> Report {
        self.controller.report(self.now)
    }
}

/// The resources that differ, as `region type name`.
fn changed(before: &Publication, after: &Publication) -> BTreeSet<String> {
    let mut changed = BTreeSet::new();
    for (region, resources) in after {
        for kind in ResourceType::ALL {
            // No gateway here asks for plugins of the other kind.
            let own = |(name, _): &(&Arc<str>, &Arc<_>)| !name.ends_with(".native");
            for (name, resource) in resources.of(kind).iter().filter(own) {
                let old = before.get(region).and_then(|before| before.get(kind, name));
                if old.is_none_or(|old| old.version != resource.version) {
                    changed.insert(format!("{region} {} {name}", kind.label()));
                }
            }
        }
    }
    changed
}

fn set<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.map(String::from).into()
}

fn every_policy() -> BTreeSet<String> {
    ["us-west-2", "us-east-1", "eu-west-1"]
        .map(|region| format!("{region} extension meridian.router"))
        .into()
}

#[test]
fn a_hot_region_moves_its_own_weights_and_policy_and_nothing_else() {
    let mut stand = Stand::new();
    stand.second(0.3, 0.3);
    let before = stand.published.clone();
    for _ in 0..5 {
        assert!(stand.second(0.31, 0.3).publish.is_none(), "a quiet fleet");
    }
    stand.second(0.95, 0.3);
    // The others' weights move away from it.
    let expected = set([
        "eu-west-1 extension meridian.router",
        "us-east-1 route public",
        "us-west-2 extension meridian.router",
        "us-west-2 route public",
    ]);
    let moved = changed(&before, &stand.published);
    assert!(
        moved.is_subset(
            &expected
                .union(&set([
                    "eu-west-1 route public",
                    "us-east-1 extension meridian.router"
                ]))
                .cloned()
                .collect()
        ),
        "{moved:?}"
    );
    assert!(moved.contains("us-west-2 extension meridian.router"));
    let same = |region: &str| Arc::ptr_eq(&before[region], &stand.published[region]);
    assert!(!same("us-west-2"));
    let placement = &stand.report().placements["us-west-2"]["global"][LLAMA];
    assert_eq!(placement.home_share, 78);
}

#[test]
fn a_quiet_fleet_is_sent_lease_renewals_and_nothing_else() {
    let mut stand = Stand::new();
    stand.second(0.3, 0.3);
    let before = stand.published.clone();
    let mut renewals = 0;
    for _ in 0..120 {
        renewals += usize::from(stand.second(0.3, 0.3).publish.is_some());
    }
    assert_eq!(renewals, 6, "every 20 s of a lease of 60 s");
    assert_eq!(changed(&before, &stand.published), every_policy());
}

#[test]
fn a_restart_goes_on_where_it_was() {
    let mut stand = Stand::new();
    stand.second(0.3, 0.3);
    stand.second(0.95, 0.3);
    let soon = Millis(stand.now.0 + 2000);
    let mut again = Stand::start(Some(stand.saved.clone()), soon);
    assert_eq!(changed(&stand.published, &again.published), BTreeSet::new());
    // No traffic moves on the first observations alone: first every source must have been read.
    let url = fleet().regions["eu-west-1"].signals[0].url.clone();
    again.look(
        "eu-west-1",
        "signals[0]",
        &url,
        Err(ScrapeError::Status(500)),
    );
    for _ in 0..5 {
        assert!(again.tick(1000).publish.is_none());
    }
    // Later only the lease is new.
    let later = Millis(stand.now.0 + 30_000);
    let again = Stand::start(Some(stand.saved.clone()), later);
    let moved = changed(&stand.published, &again.published);
    assert!(
        moved.len() == 3
            && moved
                .iter()
                .all(|name| name.ends_with("extension meridian.router")),
        "{moved:?}"
    );
}

/// Its sources may have said anything meanwhile: it plans as after a start, once all of them were read again.
#[test]
fn a_control_plane_that_stood_still_does_not_plan_with_the_first_source_alone() {
    let mut stand = Stand::new();
    stand.second(0.3, 0.3);
    stand.second(0.95, 0.3);
    let before = stand.report().placements;
    stand.tick(120_000);
    stand.reads("us-west-2", 0.95);
    stand.tick(1000);
    assert_eq!(stand.report().placements, before);
    let unhealthy = |alarm: &Alarm| alarm.kind == AlarmKind::Unhealthy;
    assert!(!stand.report().alarms.iter().any(unhealthy));
    stand.second(0.95, 0.3);
    assert_ne!(stand.report().placements, before);
}

#[test]
fn what_outlived_its_lease_is_forgotten() {
    let mut stand = Stand::new();
    stand.second(0.3, 0.3);
    stand.second(0.95, 0.3);
    let share = |now: u64| {
        let again = Stand::start(Some(stand.saved.clone()), Millis(now));
        again.report().placements["us-west-2"]["global"][LLAMA].home_share
    };
    assert_eq!(share(stand.now.0 + 50_000), 78);
    assert_eq!(share(stand.now.0 + 61_000), 100);
    let clock_went_back = stand.now.0 - 3_600_000;
    assert_eq!(share(clock_went_back), 100);
}

#[test]
fn a_fleet_that_would_leak_is_not_published() {
    let mut stand = Stand::new();
    let before = stand.published.clone();
    // The fleet file check rejects such a fleet; it is built by hand.
    let mut leaking = fleet();
    let global = leaking.fallbacks["claude"].endpoint.clone();
    leaking.fallbacks.get_mut("claude-eu").unwrap().endpoint = global;
    let leaking = Edition {
        fleet: Arc::new(leaking.into()),
        text: "".into(),
    };
    let effects = stand.handle(Event::Edited(Ok(leaking)));
    assert!(effects.publish.is_none() && effects.fleet.is_none());
    let error = stand.report().fleet.error.unwrap().message;
    assert!(error.contains("would break residency"), "{error}");
    assert!(stand.tick(1000).publish.is_none());
    assert_eq!(changed(&before, &stand.published), BTreeSet::new());
}

#[test]
fn while_a_plan_cannot_be_published_the_one_before_it_has_the_lease() {
    let mut stand = Stand::new();
    stand.second(0.3, 0.3);
    let before = stand.published.clone();
    let good = stand.saved.clone();
    let since = stand.now;
    let mut refuse = |seconds: u64, lease: Lease| {
        let mut bad = good.plan.clone();
        bad.pools.clear();
        let error = Unpublishable::Leaks {
            region: "us-west-2".parse().unwrap(),
            leaks: Vec::new(),
        };
        stand.now = Millis(since.0 + seconds * 1000);
        stand
            .controller
            .publish_plan(bad, lease, Err(error), stand.now)
    };
    for second in 0..20 {
        let effects = refuse(second, good.lease);
        assert!(effects.publish.is_none() && effects.save.is_none());
    }
    let lease = Lease {
        given: good.lease.given + 20,
        ..good.lease
    };
    let effects = refuse(20, lease);
    let policies = ["us-west-2", "us-east-1", "eu-west-1"]
        .map(|region| format!("{region} extension meridian.router"));
    assert_eq!(changed(&before, &effects.publish.unwrap()), policies.into());
    let plan = good.plan.clone();
    let files = vec![EXAMPLE.to_owned()];
    let before = None;
    let saved = SavedState {
        plan,
        lease,
        files,
        before,
    };
    assert_eq!((effects.save, effects.record), (Some(saved), None));

    let report = stand.report();
    assert_eq!(report.counts.unpublished, 21);
    let text = status::text(&report);
    assert!(text.contains("cannot be published, for 20s;"), "{text}");
    let error = report.unpublished.clone().unwrap();
    assert!(error.message.contains("residency"), "{}", error.message);
    assert_eq!(error.at, since, "one and the same all the time");
    let flag = |report| metrics::page(report).contains("meridian_plan_not_published{} 1");
    assert!(flag(report));
    stand.tick(1000);
    assert_eq!(stand.report().unpublished, None);
    assert!(!flag(stand.report()));
}

#[test]
fn what_it_shows() {
    let mut stand = Stand::new();
    stand.second(0.3, 0.3);
    stand.second(0.95, 0.3);
    let url = fleet().regions["us-east-1"].signals[1].url.clone();
    stand.look(
        "us-east-1",
        "signals[1]",
        &url,
        Err(ScrapeError::Timeout(Duration::from_secs(2))),
    );
    stand.tick(1000);
    let report = stand.report();
    insta::assert_snapshot!("status", status::text(&report));
    let page = metrics::page(report);
    // As Prometheus parses it.
    let parsed = Page::parse(page.as_bytes()).unwrap();
    let samples = parsed.samples("meridian_home_share");
    assert!(
        samples
            .iter()
            .any(|sample| sample.label("gateway") == Some("us-west-2")
                && (sample.value - 0.78).abs() < 1e-9)
    );
    assert!(page.contains("meridian_source_failures_total{region=\"us-east-1\",source=\"signals[1]\",reason=\"timeout\"} 1"), "{page}");
    assert!(page.ends_with("# EOF\n"));
}

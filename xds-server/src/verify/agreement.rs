//! Compares the filter's policy with the fleet: the zone of each caller, and the zones that are turned away.

use super::leak::{Leaks, one_of};
use super::plugin::Plugin;
use super::residency::may_transit;
use super::walk::Walk;
use crate::history::History;
use meridian_policy::country::Country;
use meridian_policy::definition::Definitions;
use meridian_policy::filter_policy::{TurnAway, ZoneRule};
use meridian_policy::fleet::Zone;
use meridian_policy::{FilterPolicy, Fleet, RegionName, ZoneName};
use std::collections::BTreeMap;

impl Walk<'_> {
    /// Checks the filter that decides the zone of every request.
    pub fn router_plugin(&mut self, at: &str, plugin: &Plugin) {
        router(self.history, self.home, at, plugin, &mut self.leaks);
    }
}

/// Checks the filter that decides the zone of every request at the gateway of `home`.
pub fn router(history: &History, home: &RegionName, at: &str, plugin: &Plugin, leaks: &mut Leaks) {
    let Some(policy) = plugin.router(&history.current, at, leaks) else {
        return;
    };
    // While an edit is published, the policy before it stays for a moment.
    one_of(history.all(), leaks, |topology, leaks| {
        let mut agreement = Agreement {
            fleet: topology,
            ids: topology.definitions(),
            home,
            leaks,
        };
        agreement.policy(at, &policy);
    });
}

/// The comparison of one policy with one fleet.
struct Agreement<'w> {
    fleet: &'w Fleet,
    ids: &'w Definitions,
    home: &'w RegionName,
    leaks: &'w mut Leaks,
}

impl Agreement<'_> {
    /// Reports differences in everything that decides a zone or admits one.
    fn policy(&mut self, at: &str, policy: &FilterPolicy) {
        let at = format!("{at}.policy");
        if policy.region != *self.home {
            self.leaks.add(
                &at,
                format!("is for `{}`, not for `{}`", policy.region, self.home),
            );
        }
        if policy.sources != self.fleet.sources {
            self.leaks.add(
                &at,
                "reads zones from other headers than the fleet's, or trusts others",
            );
        }
        if policy.unknown_zone != self.fleet.unknown_zone {
            self.leaks.add(
                &at,
                "places callers of unknown origin elsewhere than the fleet",
            );
        }
        let rest = self.fleet.zones.iter().find(|(_, zone)| zone.rest);
        if policy.rest_of_world.as_ref() != rest.map(|(name, _)| name) {
            self.leaks
                .add(&at, "places the rest of the world elsewhere than the fleet");
        }
        self.countries(&at, &policy.countries);
        for (name, zone) in &self.fleet.zones {
            let at = format!("{at}.zones.{name}");
            match policy.zones.get(name) {
                Some(rule) => {
                    if self.ids.zones.get(name) != Some(&rule.definition) {
                        self.leaks
                            .add(&at, "names another definition than the fleet's");
                    }
                    self.rule(&at, zone, rule);
                }
                None => self.leaks.add(&at, "the filter does not know this zone"),
            }
        }
        for name in policy.zones.keys() {
            if !self.fleet.zones.contains_key(name) {
                self.leaks
                    .add(&format!("{at}.zones.{name}"), "the fleet has no such zone");
            }
        }
    }

    fn countries(&mut self, at: &str, countries: &BTreeMap<Country, ZoneName>) {
        let right: BTreeMap<Country, &ZoneName> = self
            .fleet
            .zones
            .iter()
            .flat_map(|(name, zone)| zone.countries.iter().map(move |country| (*country, name)))
            .collect();
        for (country, zone) in &right {
            match countries.get(country) {
                Some(found) if found == *zone => {}
                Some(found) => self.leaks.add(
                    at,
                    format!("takes {country} for `{found}`; it belongs to `{zone}`"),
                ),
                None => self
                    .leaks
                    .add(at, format!("lacks {country}, which belongs to `{zone}`")),
            }
        }
        for (country, zone) in countries {
            if !right.contains_key(country) {
                self.leaks.add(
                    at,
                    format!("takes {country} for `{zone}`; the fleet does not"),
                );
            }
        }
    }

    fn rule(&mut self, at: &str, zone: &Zone, rule: &ZoneRule) {
        if rule.pinned != zone.pinned {
            self.leaks
                .add(at, "whether the zone is pinned differs from the fleet");
        }
        if rule.refuse_remote_content != zone.content.refuse_remote {
            self.leaks.add(
                at,
                "whether content by URL is refused differs from the fleet",
            );
        }
        let Some(turn_away) = &rule.turn_away else {
            if !may_transit(zone, self.home) {
                self.leaks.add(
                    at,
                    format!(
                        "must be turned away: it may not pass through `{}`",
                        self.home
                    ),
                );
            }
            return;
        };
        if may_transit(zone, self.home) {
            self.leaks.add(
                at,
                format!("is turned away, but may pass through `{}`", self.home),
            );
        }
        if !rule.models.is_empty() {
            self.leaks.add(at, "is turned away, but has models here");
        }
        let sent_to = match turn_away {
            TurnAway::Redirect(url) => std::slice::from_ref(url),
            TurnAway::Refuse(gateways) => gateways.as_slice(),
        };
        let url_only = matches!(turn_away, TurnAway::Redirect(_));
        for gateway in sent_to {
            let right = zone.regions.iter().any(|name| {
                let region = self.fleet.regions.get(name);
                let url = region.and_then(|region| region.public.url.as_ref());
                url == Some(gateway) || (!url_only && name.as_str() == gateway)
            });
            if !right {
                self.leaks.add(
                    at,
                    format!("callers are sent to `{gateway}`, outside the zone"),
                );
            }
        }
    }
}

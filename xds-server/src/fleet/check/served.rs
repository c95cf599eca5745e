//! Checks that every zone has callers and a region or fallback that serves it.

use super::{Check, field, listed, region_at};
use crate::fleet::raw::RawZoneFinding;
use meridian_policy::fleet::{Misdirected, Region, UnknownZone, Zone, ZoneSourceKind};
use meridian_policy::{Fleet, ModelName, ZoneName};
use std::collections::BTreeSet;

impl Check {
    /// A zone without callers or without a server is a mistake in the file.
    pub(super) fn zones_are_served(&mut self, fleet: &Fleet) {
        let no_pools = fleet.regions.values().all(|region| region.pools.is_empty());
        if no_pools && !fleet.regions.is_empty() {
            let message = "no region has a pool: there is no model to ask for; list one under a region's `pools`";
            self.problem("regions", message);
        }
        for (name, zone) in &fleet.zones {
            let at = format!("zones.{name}");
            if !has_callers(fleet, name, zone) {
                let message = "no caller can belong to it: give it `countries` and a source in `classify` that gives a \
                               country, or a source that gives a zone, or make it the `unknown_zone`";
                self.problem(&at, message);
            }
            if !no_pools && !has_server(fleet, zone) {
                let message =
                    "none of its regions has a pool and it has no fallback: nothing serves it";
                self.problem(&at, message);
            }
            if zone.misdirected == Misdirected::Redirect {
                self.redirects_lead_somewhere(fleet, name, zone);
            }
        }
    }

    /// A provider's name of a model that nobody can ask for is a mistake.
    pub(super) fn renamed_models_exist(&mut self, fleet: &Fleet) {
        let pools = fleet
            .regions
            .values()
            .flat_map(|region| region.pools.keys());
        let known: BTreeSet<&ModelName> = pools.collect();
        for (name, fallback) in &fleet.fallbacks {
            for model in fallback.renames.models.keys() {
                if !known.contains(model) {
                    let models: Vec<&str> = known.iter().map(|model| model.as_str()).collect();
                    let message = format!(
                        "no region has a pool of this model; there are: {}",
                        models.join(", ")
                    );
                    self.problem(format!("fallbacks.{name}.models.{model}"), message);
                }
            }
        }
    }

    fn redirects_lead_somewhere(&mut self, fleet: &Fleet, name: &ZoneName, zone: &Zone) {
        for region in &zone.regions {
            let without = |region: &Region| region.public.url.is_none();
            if fleet.regions.get(region).is_some_and(without) {
                let message = format!(
                    "the zone `{name}` redirects its misdirected callers here; give the URL, e.g. \
                     https://{region}.llm.example.com"
                );
                self.problem(format!("{}.public.url", region_at(region)), message);
            }
        }
    }
}

impl Check {
    /// A redirect to plain HTTP has the caller send the prompt in the clear.
    pub(super) fn redirects_are_private(&mut self, fleet: &Fleet) {
        for (name, zone) in &fleet.zones {
            let clear = zone.regions.iter().filter_map(|region| {
                let url = fleet.regions.get(region)?.public.url.as_deref()?;
                (!field::is_private(url)).then(|| format!("{url} ({region})"))
            });
            let clear: Vec<String> = clear.collect();
            if zone.misdirected == Misdirected::Redirect && !clear.is_empty() {
                let message = format!(
                    "callers are redirected to plain http at {}; give these regions a `public.url` with https://",
                    listed(clear)
                );
                let place = format!("zones.{name}");
                self.finding(
                    &place,
                    "misdirected",
                    RawZoneFinding::PlainRedirect,
                    &message,
                );
            }
        }
    }
}

fn has_callers(fleet: &Fleet, name: &ZoneName, zone: &Zone) -> bool {
    let named = !zone.countries.is_empty() || zone.rest;
    let by_unknown = matches!(&fleet.unknown_zone, UnknownZone::Zone(unknown) if unknown == name);
    by_unknown
        || fleet.sources.iter().any(|source| match source.gives {
            ZoneSourceKind::Zone => true,
            ZoneSourceKind::Country => named,
        })
}

fn has_server(fleet: &Fleet, zone: &Zone) -> bool {
    let pools = |region| {
        fleet
            .regions
            .get(region)
            .is_some_and(|region| !region.pools.is_empty())
    };
    !zone.fallbacks.is_empty() || zone.regions.iter().any(pools)
}

//! The entry of a listener: the zones whose requests can reach its routes.

use super::http_filter::{Filter, Placed};
use super::leak::only;
use super::residency::{Definition, is_inside, may_transit};
use super::tls;
use super::walk::{Walk, Zones};
use envoy_types::pb::envoy::config::core::v3::TransportSocket;
use envoy_types::pb::envoy::config::rbac::v3::principal::Identifier;
use envoy_types::pb::envoy::config::rbac::v3::rbac::Action;
use envoy_types::pb::envoy::config::rbac::v3::{
    Permission, Policy, Principal, Rbac as Rules, permission,
};
use envoy_types::pb::envoy::config::route::v3::HeaderMatcher;
use envoy_types::pb::envoy::config::route::v3::header_matcher::HeaderMatchSpecifier;
use envoy_types::pb::envoy::extensions::filters::http::rbac::v3::Rbac;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::DownstreamTlsContext;
use meridian_policy::{RegionName, headers};

/// What a request must pass to reach a route.
pub enum Entry {
    /// Meridian's filter, which sets the header of the definition.
    Filtered,
    /// mTLS and RBAC: other gateways, with requests of these definitions. The peer sets the header.
    Peers(Zones),
    /// An internal listener: routes of the same gateway, with requests of these definitions.
    Internal(Zones),
    /// Nothing: any client can send any header.
    Open,
}

impl<'f> Walk<'f> {
    /// The entry of a listener with a socket.
    pub fn entry(
        &mut self,
        at: &str,
        socket: Option<&TransportSocket>,
        filters: &[Placed],
    ) -> Entry {
        let tls: Option<DownstreamTlsContext> =
            socket.and_then(|socket| tls::context(at, socket, &mut self.leaks));
        let (filtered, rbac) = self.entry_filters(filters);
        if filtered {
            if let Some(tls) = &tls {
                tls::from_callers(at, tls, &mut self.leaks);
            }
            return Entry::Filtered;
        }
        match (rbac.as_slice(), tls) {
            ([_, ..], Some(tls)) => {
                let regions = self.fleet.regions.keys();
                let others: Vec<_> = regions.filter(|region| *region != self.home).collect();
                tls::from_gateways(self.fleet, self.home, &others, at, &tls, &mut self.leaks);
                Entry::Peers(self.admitted(at, &rbac))
            }
            ([_, ..], None) => {
                self.leaks.add(
                    at,
                    "RBAC without TLS: no client can prove which region it is",
                );
                Entry::Open
            }
            ([], Some(tls)) => {
                tls::from_callers(at, &tls, &mut self.leaks);
                if tls.require_client_certificate.is_some() {
                    self.leaks
                        .add(at, "other gateways enter, and no RBAC limits their zones");
                }
                Entry::Open
            }
            ([], None) => Entry::Open,
        }
    }

    /// Whether Meridian's filter is among these, and all RBAC filters with their places.
    fn entry_filters<'p>(&mut self, filters: &'p [Placed]) -> (bool, Vec<(&'p str, &'p Rbac)>) {
        let mut filtered = false;
        let mut rbac = Vec::new();
        for placed in filters {
            match &placed.filter {
                // It does not set the zone header, so it is no filter in the sense of `Entry::Filtered`.
                Filter::Plugin(plugin) if plugin.is_pool() => {
                    plugin.pool(self.fleet, &placed.at, &mut self.leaks);
                }
                Filter::Plugin(plugin) => {
                    filtered = true;
                    self.router_plugin(&placed.at, plugin);
                }
                Filter::Rbac(found) => rbac.push((placed.at.as_str(), found.as_ref())),
                Filter::Mutation(_) | Filter::Credential(_) => self.leaks.add(
                    &placed.at,
                    "headers are changed and credentials added on the way out only",
                ),
                Filter::Health | Filter::Compressor | Filter::Router => {}
            }
        }
        (filtered, rbac)
    }

    /// The zones that RBAC admits. Two filters are needed because Envoy matches each value of a repeated header by itself:
    /// a request that names an admitted zone and another one passes the allowing filter, so a second filter denies the rest.
    fn admitted(&mut self, at: &str, filters: &[(&str, &Rbac)]) -> Zones {
        let mut allowing = Vec::new();
        let mut denied = Zones::new();
        for (at, rbac) in filters {
            self.leaks
                .check_fields(at, *rbac, &only!(Rbac, rbac, [rules]));
            let Some(rules) = &rbac.rules else {
                self.leaks.add(at, "RBAC without rules refuses nobody");
                continue;
            };
            self.leaks
                .check_fields(at, rules, &only!(Rules, rules, [action, policies]));
            match Action::try_from(rules.action) {
                Ok(Action::Allow) => allowing.push((at, rules)),
                Ok(Action::Deny) => denied.extend(self.denied(at, rules)),
                _ => self
                    .leaks
                    .unsupported(at, "RBAC that neither allows nor denies"),
            }
        }
        for (id, Definition { name, zone, .. }) in &self.definitions {
            if zone.pinned && !denied.contains(id) {
                self.leaks.add(
                    at,
                    format!(
                        "nothing denies the pinned zone `{name}` to gateways that may not bring it, beside a zone that they may"
                    ),
                );
            }
        }
        let [(at, rules)] = allowing.as_slice() else {
            self.leaks.unsupported(
                at,
                "RBAC that does not refuse whatever the policies of one filter do not allow",
            );
            return self.every_zone();
        };
        let mut zones = Zones::new();
        for (name, policy) in &rules.policies {
            zones.extend(self.admitted_by(&format!("{at}.policies[{name:?}]"), policy));
        }
        zones
    }

    /// The zones that rules deny to all clients but gateways that may send them here.
    fn denied(&mut self, at: &str, rules: &Rules) -> Zones {
        let mut zones = Zones::new();
        for (name, policy) in &rules.policies {
            let at = format!("{at}.policies[{name:?}]");
            let supported = only!(Policy, policy, [permissions, principals]);
            self.leaks.check_fields(&at, policy, &supported);
            for permission in &policy.permissions {
                let named = permitted_definition(permission);
                let Some((id, Definition { zone, .. })) =
                    named.and_then(|named| self.definitions.get_key_value(named))
                else {
                    self.leaks.unsupported(
                        &at,
                        "a permission that is not one definition, to the letter,",
                    );
                    continue;
                };
                let serves = is_inside(zone, self.home);
                let covers =
                    policy
                        .principals
                        .iter()
                        .any(|principal| match &principal.identifier {
                            Some(Identifier::Any(any)) => *any,
                            Some(Identifier::NotId(exempt)) => {
                                self.exempt(exempt).is_some_and(|all| {
                                    all.iter().all(|sender| serves && may_transit(zone, sender))
                                })
                            }
                            _ => false,
                        });
                if covers {
                    zones.insert(id.clone());
                }
            }
        }
        zones
    }

    /// The regions whose gateways an exact principal names; `None` for any other principal.
    fn exempt(&self, principal: &Principal) -> Option<Vec<&'f RegionName>> {
        match &principal.identifier {
            Some(Identifier::OrIds(set)) => set.ids.iter().map(|id| self.gateway(id)).collect(),
            _ => self.gateway(principal).map(|region| vec![region]),
        }
    }

    fn admitted_by(&mut self, at: &str, policy: &Policy) -> Zones {
        let supported = only!(Policy, policy, [permissions, principals]);
        self.leaks.check_fields(at, policy, &supported);
        let senders: Vec<Option<&RegionName>> = policy
            .principals
            .iter()
            .map(|principal| self.sender(at, principal))
            .collect();
        let mut zones = Zones::new();
        for permission in &policy.permissions {
            let Some(named) = permitted_definition(permission) else {
                self.leaks.unsupported(
                    at,
                    "a permission that is not one definition, to the letter,",
                );
                return self.every_zone();
            };
            let known = self.definitions.get_key_value(named);
            let Some((id, Definition { name, zone, .. })) = known else {
                self.leaks.add(
                    at,
                    format!("admits the definition `{named}`, which no fleet has"),
                );
                continue;
            };
            zones.insert(id.clone());
            if !zone.pinned {
                continue;
            }
            if !is_inside(zone, self.home) {
                self.leaks.add(
                    at,
                    format!(
                        "admits the pinned zone `{name}`, which `{}` may not serve",
                        self.home
                    ),
                );
            }
            for sender in senders.iter().flatten() {
                if !may_transit(zone, sender) {
                    self.leaks.add(
                        at,
                        format!(
                            "admits the pinned zone `{name}` from `{sender}`, which it may not pass through"
                        ),
                    );
                }
            }
        }
        zones
    }

    /// The other region whose gateway a principal names. Reports any other principal.
    pub fn sender(&mut self, at: &str, principal: &Principal) -> Option<&'f RegionName> {
        if !matches!(principal.identifier, Some(Identifier::Authenticated(_))) {
            self.leaks
                .unsupported(at, "a principal that is not one client certificate");
            return None;
        }
        let sender = self.gateway(principal);
        if sender.is_none() {
            self.leaks
                .add(at, "a principal that is not another region's gateway");
        }
        sender
    }

    fn gateway(&self, principal: &Principal) -> Option<&'f RegionName> {
        let Some(Identifier::Authenticated(authenticated)) = &principal.identifier else {
            return None;
        };
        let id = authenticated.principal_name.as_ref().and_then(tls::exact)?;
        let mut regions = self.fleet.regions.keys();
        regions.find(|region| *region != self.home && self.fleet.spiffe_id(region) == id)
    }
}

fn permitted_definition(permission: &Permission) -> Option<&str> {
    match &permission.rule {
        Some(permission::Rule::Header(header)) => exact_definition(header),
        _ => None,
    }
}

/// The definition that a header matcher requires exactly; `None` for any other matcher.
pub fn exact_definition(header: &HeaderMatcher) -> Option<&str> {
    if !header.name.eq_ignore_ascii_case(headers::DEFINITION)
        || header.invert_match
        || header.treat_missing_header_as_empty
    {
        return None;
    }
    match &header.header_match_specifier {
        Some(HeaderMatchSpecifier::StringMatch(matcher)) => tls::exact(matcher),
        _ => None,
    }
}

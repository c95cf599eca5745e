//! Changes of a subscription by the client's requests.

use super::held::{Held, Holdings};
use super::{Subscription, Verdict};
use crate::xds::interest::WILDCARD;
use crate::xds::status::Nack;
use std::collections::HashMap;
use std::sync::Arc;

impl Subscription {
    /// SotW: the first request of the stream.
    pub fn open_sotw(&mut self, names: &[String], version: &str) {
        self.touch();
        self.subscribed = true;
        let names = self.shared(names);
        self.interest.replace(&names);
        self.claimed_version = Some(version.to_owned());
    }

    /// Delta: the first request of the stream, with the versions that the client has kept from an earlier one.
    pub fn open_delta(&mut self, names: &[String], kept: &HashMap<String, String>) {
        self.touch();
        self.subscribed = true;
        let names = self.shared(names);
        self.interest.open(&names);
        let kept = kept.iter().map(|(name, version)| self.kept(name, version));
        self.held = Holdings::new(kept);
        // Without any response Envoy waits 15 s at start.
        self.must_respond = self.interest.wildcard() && self.held.is_empty();
        self.forget_unwanted();
    }

    /// Takes an ACK or NACK. `None` if it is not about the push in flight.
    pub fn verdict(&mut self, nonce: &str, error: Option<&str>) -> Option<Verdict> {
        let push = self.in_flight.take_if(|push| push.nonce == nonce)?;
        self.touch();
        let Some(message) = error else {
            self.acked = Some(Arc::clone(&push.version));
            self.nack = None;
            self.accept(push);
            return Some(Verdict::Ack);
        };
        let nack = Nack {
            version: push.version.to_string(),
            message: message.to_owned(),
        };
        self.nack = Some(nack.clone());
        let newer = self.target.as_ref();
        let changed = newer.is_some_and(|target| self.differs(&push.target, target));
        if changed {
            self.rejected = None;
        } else {
            let refused = self.held.refused(&push, &self.interest);
            let rejected = self.rejected.get_or_insert_default();
            rejected.extend(refused);
        }
        self.held.mark_uncertain(&push, &self.interest);
        self.forget_unwanted();
        Some(Verdict::Nack(nack))
    }

    /// SotW: replaces the names, which every request lists in full.
    pub fn replace(&mut self, names: &[String]) {
        if self.interest.equals(names) {
            return;
        }
        self.touch();
        let wildcard = self.interest.wildcard();
        let names = self.shared(names);
        self.held.list(&self.interest);
        self.interest.replace(&names);
        self.must_respond |= self.interest.wildcard() && !wildcard;
        self.forget_unwanted();
    }

    /// SotW: a request without a nonce that is not the first one. Envoy sends it for endpoints after a cluster has
    /// changed. It will not acknowledge the push in flight.
    pub fn request_again(&mut self, names: &[String]) {
        self.touch();
        if let Some(push) = self.in_flight.take() {
            self.accept(push);
        }
        if self.claimed_version.is_some() {
            return self.replace(names); // Nothing was published yet: this is still the first request.
        }
        let before = (self.interest.wildcard(), self.interest.names().clone());
        self.replace(names);
        let same = before == (self.interest.wildcard(), self.interest.names().clone());
        let more = !self.interest.names().is_subset(&before.1);
        self.must_respond |= same || more;
    }

    /// Delta: adds names. Each is sent again even if the client has it, as it may have dropped it.
    pub fn subscribe(&mut self, names: &[String]) {
        if names.is_empty() {
            return;
        }
        self.touch();
        let names = self.shared(names);
        self.held.list(&self.interest);
        self.interest.subscribe(&names);
        for name in names {
            if &*name != WILDCARD {
                self.forced.insert(name);
                continue;
            }
            self.must_respond = true;
            if let Some(target) = &self.target {
                self.forced.extend(target.by_name().keys().cloned());
            }
        }
    }

    /// Delta: removes a name. If the wildcard still covers it, it is sent again: otherwise the client would consider it
    /// removed.
    pub fn unsubscribe(&mut self, name: &str) {
        self.touch();
        self.held.list(&self.interest);
        let subscribed = self.interest.unsubscribe(name);
        if name != WILDCARD && self.interest.wildcard() {
            if subscribed || self.known(name).is_some() {
                self.forced.insert(self.shared_name(name));
            }
        } else if subscribed {
            self.forget_unwanted();
        }
    }

    /// Names, shared with the published resources and so with other streams.
    fn shared(&self, names: &[String]) -> Vec<Arc<str>> {
        names.iter().map(|name| self.shared_name(name)).collect()
    }

    fn shared_name(&self, name: &str) -> Arc<str> {
        let target = self.target.as_ref();
        let published = target.and_then(|target| target.by_name().get_key_value(name));
        published.map_or_else(|| name.into(), |(name, _)| Arc::clone(name))
    }

    /// A resource that the client has kept.
    fn kept(&self, name: &str, version: &str) -> (Arc<str>, Held) {
        let target = self.target.as_ref();
        let published = target.and_then(|target| target.by_name().get(name));
        let same = published.filter(|resource| &*resource.version == version);
        let held = same.map_or_else(
            || Held::Version(version.into()),
            |resource| Held::Resource(Arc::clone(resource)),
        );
        (self.shared_name(name), held)
    }
}

//! Changes of a subscription by the client's requests.

use super::held::Held;
use super::{Subscription, Verdict};
use crate::xds::interest::WILDCARD;
use crate::xds::status::Nack;

impl Subscription {
    /// SotW: the first request of the stream.
    pub fn open_sotw(&mut self, names: &[String], version: &str) {
        self.subscribed = true;
        self.interest.replace(names);
        self.claimed_version = Some(version.to_owned());
    }

    /// Delta: the first request of the stream, with the versions that the client has kept from an earlier one.
    pub fn open_delta<'a>(
        &mut self,
        names: &[String],
        kept: impl Iterator<Item = (&'a String, &'a String)>,
    ) {
        self.subscribed = true;
        self.interest.open(names);
        let kept = kept.map(|(name, version)| (name.clone(), Held::Version(version.clone())));
        self.held = kept.collect();
        // Without any response Envoy waits 15 s at start.
        self.must_respond = self.interest.wildcard() && self.held.is_empty();
        self.forget_unwanted();
    }

    /// Takes an ACK or NACK. `None` if it is not about the push in flight.
    pub fn verdict(&mut self, nonce: &str, error: Option<&str>) -> Option<Verdict> {
        let push = self.in_flight.take_if(|push| push.nonce == nonce)?;
        let Some(message) = error else {
            self.acked = Some(push.version.clone());
            self.nack = None;
            self.accept(push);
            return Some(Verdict::Ack);
        };
        let nack = Nack {
            version: push.version.clone(),
            message: message.to_owned(),
        };
        self.nack = Some(nack.clone());
        let newer = self.target.as_ref();
        let changed = newer.is_some_and(|target| self.differs(&push.target, target));
        if changed {
            self.rejected = None;
        } else {
            let rejected = self.rejected.get_or_insert_default();
            rejected.extend(push.refused(&self.held));
        }
        self.mark_uncertain(&push);
        self.forget_unwanted();
        Some(Verdict::Nack(nack))
    }

    /// SotW: replaces the names, which every request lists in full.
    pub fn replace(&mut self, names: &[String]) {
        let wildcard = self.interest.wildcard();
        self.interest.replace(names);
        self.must_respond |= self.interest.wildcard() && !wildcard;
        self.forget_unwanted();
    }

    /// SotW: a request without a nonce that is not the first one. Envoy sends it for endpoints after a cluster has
    /// changed. It will not acknowledge the push in flight.
    pub fn request_again(&mut self, names: &[String]) {
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
        self.interest.subscribe(names);
        for name in names {
            if name != WILDCARD {
                self.forced.insert(name.clone());
                continue;
            }
            self.must_respond = true;
            if let Some(target) = &self.target {
                self.forced.extend(target.of(self.kind).keys().cloned());
            }
        }
    }

    /// Delta: removes a name. If the wildcard still covers it, it is sent again: otherwise the client would consider it
    /// removed.
    pub fn unsubscribe(&mut self, name: &str) {
        let subscribed = self.interest.unsubscribe(name);
        if name != WILDCARD && self.interest.wildcard() {
            if subscribed || self.known(name).is_some() {
                self.forced.insert(name.to_owned());
            }
        } else if subscribed {
            self.forget_unwanted();
        }
    }
}

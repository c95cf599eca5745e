//! What the client says, and what it changes in its subscription.

use super::held::Held;
use super::{Subscription, Verdict};
use crate::xds::interest::WILDCARD;
use crate::xds::status::Nack;

impl Subscription {
    /// SotW: the first request of the stream.
    pub fn open_sotw(&mut self, names: &[String], version: &str) {
        self.asked = true;
        self.interest.replace(names);
        self.claimed = Some(version.to_owned());
    }

    /// Delta: the first request of the stream, with the versions that the client has kept.
    pub fn open_delta<'a>(
        &mut self,
        names: &[String],
        kept: impl Iterator<Item = (&'a String, &'a String)>,
    ) {
        self.asked = true;
        self.interest.open(names);
        let kept = kept.map(|(name, version)| (name.clone(), Held::Version(version.clone())));
        self.held = kept.collect();
        // Envoy waits 15 s for the first answer, even if there is nothing to be had.
        self.owes_answer = self.interest.wildcard() && self.held.is_empty();
        self.forget_unwanted();
    }

    /// An ACK or NACK, if it is about the push in flight.
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
            self.parked = None;
        } else {
            let parked = self.parked.get_or_insert_default();
            parked.extend(push.refused(&self.held));
        }
        self.doubt(&push);
        self.forget_unwanted();
        Some(Verdict::Nack(nack))
    }

    /// SotW: the names, as every request gives them all.
    pub fn replace(&mut self, names: &[String]) {
        let wildcard = self.interest.wildcard();
        self.interest.replace(names);
        self.owes_answer |= self.interest.wildcard() && !wildcard;
        self.forget_unwanted();
    }

    /// SotW: a request that knows of no answer on this stream although it is not the first. Envoy does it for
    /// endpoints after a changed cluster. Whatever is in flight will not be answered any more.
    pub fn ask_again(&mut self, names: &[String]) {
        if let Some(push) = self.in_flight.take() {
            self.accept(push);
        }
        if self.claimed.is_some() {
            return self.replace(names); // Nothing was published yet: this is still the first request.
        }
        let before = (self.interest.wildcard(), self.interest.names().clone());
        self.replace(names);
        let same = before == (self.interest.wildcard(), self.interest.names().clone());
        let more = !self.interest.names().is_subset(&before.1);
        self.owes_answer |= same || more;
    }

    /// Delta: each of these is sent again, whatever the client has: it may have lost it.
    pub fn subscribe(&mut self, names: &[String]) {
        self.interest.subscribe(names);
        for name in names {
            if name != WILDCARD {
                self.owed.insert(name.clone());
                continue;
            }
            self.owes_answer = true;
            if let Some(target) = &self.target {
                self.owed.extend(target.of(self.kind).keys().cloned());
            }
        }
    }

    /// Delta: a name that the wildcard still covers gets an answer, or the client would think it gone.
    pub fn unsubscribe(&mut self, name: &str) {
        let subscribed = self.interest.unsubscribe(name);
        if name != WILDCARD && self.interest.wildcard() {
            if subscribed || self.known(name).is_some() {
                self.owed.insert(name.to_owned());
            }
        } else if subscribed {
            self.forget_unwanted();
        }
    }
}

//! The labels of attempts in statistics. Attempts with the same labels share them, and what is made of them once.

use crate::host::{Host, MetricKind};
use crate::routes::pool_name;
use hashbrown::HashMap;
use std::cell::RefCell;
use std::rc::Rc;

/// What the statistics of an attempt are told apart by.
#[derive(Debug, Default)]
pub struct Labels {
    /// The caller's zone.
    pub zone: String,
    /// The model.
    pub model: String,
    /// The lane.
    pub lane: String,
    /// A region or `fallback/<name>`.
    pub to: String,
    /// The name of the member's pool of the model.
    pub pool: String,
    /// The ids of metrics with these labels, by their name and their further label.
    metrics: RefCell<Vec<((&'static str, &'static str), u32)>>,
}

impl Labels {
    /// The id of a metric with these labels. `key`: its name and its further label. It is defined once, by its whole name.
    pub(super) fn metric(
        &self,
        host: &dyn Host,
        kind: MetricKind,
        key: (&'static str, &'static str),
        name: impl FnOnce() -> String,
    ) -> Option<u32> {
        let mut metrics = self.metrics.borrow_mut();
        if let Some((_, id)) = metrics.iter().find(|(known, _)| *known == key) {
            return Some(*id);
        }
        let id = host.define_metric(kind, &name())?;
        metrics.push((key, id));
        Some(id)
    }
}

/// The labels in use. Names come from the fleet, so there are few.
#[derive(Debug, Default)]
pub struct LabelSets {
    sets: HashMap<String, Rc<Labels>>,
    /// Room for a key. Names hold no spaces.
    key: String,
}

impl LabelSets {
    /// The labels of an attempt of these names.
    pub fn of(&mut self, zone: &str, model: &str, lane: &str, to: &str) -> Rc<Labels> {
        self.key.clear();
        for name in [zone, model, lane, to] {
            self.key.push_str(name);
            self.key.push(' ');
        }
        let new = || {
            Rc::new(Labels {
                zone: zone.to_owned(),
                model: model.to_owned(),
                lane: lane.to_owned(),
                to: to.to_owned(),
                pool: pool_name(to, model),
                metrics: RefCell::default(),
            })
        };
        let set = self.sets.entry_ref(self.key.as_str());
        set.or_insert_with(new).clone()
    }
}

//! What a control plane that is one of several knows of the store and of the others.

use crate::serve::operator::{Command, Refusal};
use crate::serve::publication::Publication;
use crate::serve::replica::Ends;
use crate::serve::report::{ReplicaReport, ReplicasReport};
use crate::serve::saved_state::SavedState;
use crate::serve::store::{Answer, Member, NotSubmitted, Shared};
use crate::xds::ResourceType;
use meridian_policy::RegionName;
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::{Notify, watch};
use xxhash_rust::xxh3::Xxh3;

/// This control plane as one of several.
pub struct Replica {
    pub store: Arc<Shared>,
    pub own: watch::Sender<Member>,
    pub resign: Arc<Notify>,
    pub leads: bool,
    /// No plan was seen since it is connected: the store may be another one, with other revisions.
    pub is_new_session: bool,
    /// The plan in force by the store, and its revision.
    pub in_force: Option<(i64, SavedState)>,
    /// Why it cannot be published here.
    pub unable: Option<String>,
    /// A hash of the versions of what is published.
    published: String,
    pub report: ReplicasReport,
}

impl Replica {
    pub fn new(ends: &Ends) -> Self {
        Self {
            store: Arc::clone(&ends.store),
            own: ends.own.clone(),
            resign: Arc::clone(&ends.resign),
            leads: false,
            is_new_session: true,
            in_force: None,
            unable: None,
            published: String::new(),
            report: ReplicasReport::default(),
        }
    }

    pub fn leads(&self) -> bool {
        self.leads
    }

    /// Takes note of what is published.
    pub fn note_published(&mut self, publication: &Publication) {
        let mut hash = Xxh3::new();
        for (region, resources) in publication {
            hash.update(region.as_str().as_bytes());
            for kind in ResourceType::ALL {
                hash.update(resources.version(kind).as_bytes());
            }
        }
        self.published = format!("{:016x}", hash.digest());
    }

    pub fn revision(&self) -> i64 {
        self.in_force.as_ref().map_or(0, |(revision, _)| *revision)
    }

    /// What it shows.
    pub fn report(&self) -> ReplicasReport {
        ReplicasReport {
            leads: self.leads,
            revision: self.revision(),
            unable: self.unable.clone(),
            published: self.published.clone(),
            ..self.report.clone()
        }
    }

    /// The other replicas.
    fn others(&self) -> impl Iterator<Item = &ReplicaReport> {
        let replicas = self.report.replicas.iter();
        replicas.filter(|replica| !replica.own)
    }

    /// Whether the gateways of all other replicas have accepted the plan in force.
    pub fn others_have_settled(&self) -> bool {
        self.others()
            .all(|replica| replica.settled >= self.revision())
    }

    /// The regions whose gateways are connected to other replicas.
    pub fn regions_of_others(&self) -> BTreeSet<RegionName> {
        self.others()
            .flat_map(|replica| replica.regions.iter().cloned())
            .collect()
    }

    /// Passes an operator's command to the replica that leads.
    pub fn pass_on(&self, command: Command) {
        let store = Arc::clone(&self.store);
        tokio::spawn(async move {
            let Command { wanted, key, reply } = command;
            let answer = match store.submit(key.as_deref(), &wanted).await {
                Ok(Answer::Done(record)) => Ok(*record),
                Ok(Answer::Refused(why)) => Err(Refusal::of_leader(why)),
                Err(NotSubmitted::Unknown(error)) => Err(Refusal::Unknown(error.to_string())),
                Err(error) => Err(Refusal::Store(error.to_string())),
            };
            // An error means that the caller has left.
            let _ = reply.send(answer);
        });
    }

    pub fn note_unable(&mut self, error: String) {
        if self.unable.as_ref() != Some(&error) {
            tracing::error!(
                error,
                "the plan in force cannot be published here; what was published stays"
            );
        }
        self.unable = Some(error);
    }
}

//! Connections for retrieval. One that the policy does not allow is closed: as the policy arrives, or as soon as Envoy
//! knows both of its ends.

use crate::host::{ConnectionHost, Fact, LogLevel};
use meridian_policy::retrieval_policy::RetrievalPolicy;
use std::collections::BTreeMap;
use std::time::Duration;

/// How often a worker looks for a policy that another VM received. A new version of the filter has a VM of its own, and
/// connections stay in the VM that they began in.
pub const FOLLOW_EVERY: Duration = Duration::from_secs(1);

/// The shared key of the policy in force.
const KEY: &str = "retrieval";

/// The connections of one worker.
#[derive(Default)]
pub struct Connections {
    /// Without a policy nothing is allowed.
    policy: Option<RetrievalPolicy>,
    /// The policy as it arrived.
    text: Vec<u8>,
    /// Open connections by their ids, and whether the policy in force is known to allow them.
    open: BTreeMap<u32, bool>,
}

impl Connections {
    /// A policy arrived as JSON: it is in force from now on, and other VMs are told.
    ///
    /// # Errors
    /// It is not understood; the one before stays in force.
    pub fn arrived(&mut self, host: &dyn ConnectionHost, text: &[u8]) -> Result<(), String> {
        let policy = parse(text)?;
        host.set_shared(KEY, text, None);
        self.adopt(host, text, Some(policy));
        Ok(())
    }

    /// Adopts the policy that arrived last in any VM. One that this VM does not understand allows nothing.
    pub fn follow(&mut self, host: &dyn ConnectionHost) {
        let Some(text) = host.shared(KEY).0.filter(|text| *text != self.text) else {
            return;
        };
        let policy = parse(&text);
        if let Err(error) = &policy {
            host.log(LogLevel::Error, &format!("meridian: {error}"));
        }
        self.adopt(host, &text, policy.ok());
    }

    fn adopt(&mut self, host: &dyn ConnectionHost, text: &[u8], policy: Option<RetrievalPolicy>) {
        self.policy = policy;
        text.clone_into(&mut self.text);
        let open: Vec<u32> = self.open.keys().copied().collect();
        for id in open {
            if host.enter(id) {
                self.apply(host, id);
            }
        }
    }

    /// A connection was accepted.
    pub fn began(&mut self, id: u32) {
        self.open.insert(id, false);
    }

    /// A connection is over.
    pub fn ended(&mut self, id: u32) {
        self.open.remove(&id);
    }

    /// Whether data of the present connection may go on. If not, the connection is closed.
    pub fn passes(&mut self, host: &dyn ConnectionHost, id: u32) -> bool {
        self.open.get(&id) == Some(&true) || self.apply(host, id)
    }

    /// Applies the policy to the present connection; `false` if it does not allow it, and Envoy was told to close it.
    fn apply(&mut self, host: &dyn ConnectionHost, id: u32) -> bool {
        let allowed = self.allows(host);
        self.open.insert(id, allowed == Some(true));
        if allowed == Some(false) {
            host.close_connection();
        }
        allowed != Some(false)
    }

    /// Whether the policy allows the present connection: by the client's certificate if it has one, else by the database.
    /// `None` if Envoy does not know that yet.
    fn allows(&self, host: &dyn ConnectionHost) -> Option<bool> {
        let Some(policy) = &self.policy else {
            return Some(false);
        };
        if let Some(reader) = host.fact(Fact::ClientId) {
            return Some(policy.readers.contains(&reader));
        }
        let region = host.fact(Fact::UpstreamRegion)?;
        Some(policy.databases.contains(region.as_str()))
    }
}

fn parse(text: &[u8]) -> Result<RetrievalPolicy, String> {
    serde_json::from_slice(text)
        .map_err(|error| format!("the policy for retrieval is refused: {error}"))
}

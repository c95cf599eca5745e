//! What a server may be given.

use std::collections::BTreeSet;

/// What a server may be given.
#[derive(Clone, Copy, Debug)]
pub struct Allowance<'a> {
    /// Whether a request that does not say `store` is made to say that nothing is kept: the server keeps it by default.
    pub forbids_store: bool,
    /// Whether fields and tools that no table lists are refused.
    pub listed_only: bool,
    /// Types of tools that the provider may run all the same.
    pub tools: &'a BTreeSet<String>,
    /// Whether the server may fetch content that the request names by URL.
    pub remote_content: bool,
}

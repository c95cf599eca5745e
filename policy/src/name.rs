//! Names as types of their own, so that a zone can never be passed where a region is meant.

use serde::{Deserialize, Serialize};
use std::borrow::Borrow;
use std::fmt;

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl<S: Into<String>> From<S> for $name {
            fn from(name: S) -> Self {
                Self(name.into())
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name! {
    /// A residency zone, e.g. `eea`.
    ZoneName
}
name! {
    /// A location with a gateway and pools, e.g. `us-west-2`.
    RegionName
}
name! {
    /// A model as callers name it, e.g. `meta-llama/Llama-3.1-70B`.
    ModelName
}
name! {
    /// A hosted provider used last, e.g. `claude-eu`.
    FallbackName
}

/// A name in statistics: a dot would end the tag that Envoy extracts it into.
pub fn stat(name: &str) -> String {
    let fine = |c: char| {
        if c.is_ascii_alphanumeric() || c == '-' {
            c
        } else {
            '_'
        }
    };
    name.chars().map(fine).collect()
}

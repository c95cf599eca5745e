//! Names as types of their own: a zone cannot be passed where a region is meant, and no empty, oversized or unprintable name can be
//! made.

use serde::{Deserialize, Serialize};
use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

/// Bytes of the longest name of a zone, region or fallback: they stand in cluster names, SPIFFE IDs and header values.
pub const LONGEST_NAME: usize = 63;
/// Bytes of the longest name of a model: it stands in header values and paths.
pub const LONGEST_MODEL_NAME: usize = 128;

/// A text that is not a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    /// It cannot name a zone, region or fallback.
    #[error("`{0}` is not a name; use a-z, 0-9 and inner `-`, at most {LONGEST_NAME} characters")]
    Plain(String),
    /// It cannot name a model.
    #[error(
        "`{0}` is not a model's name; use A-Z, a-z, 0-9 and ._:/@+- (at most {LONGEST_MODEL_NAME} characters)"
    )]
    Model(String),
}

/// The text of a bad name, cut: a name that is far too long is not repeated whole.
fn shown(text: &str) -> String {
    text.chars().take(2 * LONGEST_MODEL_NAME).collect()
}

fn check_plain(text: &str) -> Result<(), BadName> {
    let fine = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let has_edge = text.starts_with('-') || text.ends_with('-');
    if (1..=LONGEST_NAME).contains(&text.len()) && !has_edge && text.bytes().all(fine) {
        Ok(())
    } else {
        Err(BadName::Plain(shown(text)))
    }
}

fn check_model(text: &str) -> Result<(), BadName> {
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || b"._:/@+-".contains(&byte);
    if (1..=LONGEST_MODEL_NAME).contains(&text.len()) && text.bytes().all(fine) {
        Ok(())
    } else {
        Err(BadName::Model(shown(text)))
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $check:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String")]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = BadName;

            fn try_from(text: String) -> Result<Self, BadName> {
                $check(&text)?;
                Ok(Self(text))
            }
        }

        impl FromStr for $name {
            type Err = BadName;

            fn from_str(text: &str) -> Result<Self, BadName> {
                text.to_owned().try_into()
            }
        }

        /// Names that tests write down.
        #[cfg(feature = "literals")]
        impl From<&str> for $name {
            #[allow(clippy::unwrap_used)] // A test with a bad name fails.
            fn from(literal: &str) -> Self {
                literal.parse().unwrap()
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
    ZoneName, check_plain
}
name! {
    /// A location with a gateway and pools, e.g. `us-west-2`.
    RegionName, check_plain
}
name! {
    /// A model as callers name it, e.g. `meta-llama/Llama-3.1-70B`.
    ModelName, check_model
}
name! {
    /// A hosted provider used last, e.g. `claude-eu`.
    FallbackName, check_plain
}

impl ZoneName {
    /// The name that sorts before all others: where a range of zones begins.
    pub fn lowest() -> Self {
        Self("0".to_owned())
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_name_cannot_be_made_by_any_way() {
        let long = "a".repeat(LONGEST_NAME + 1);
        for bad in [
            "", "-a", "a-", "EEA", "a b", "a/b", "eu\n", "\u{e9}u", &long,
        ] {
            assert!(bad.parse::<ZoneName>().is_err(), "{bad:?}");
            assert!(RegionName::try_from(bad.to_owned()).is_err(), "{bad:?}");
            let json = serde_json::to_string(bad).unwrap();
            let read = serde_json::from_str::<FallbackName>(&json);
            assert!(read.unwrap_err().to_string().contains("is not a name"));
        }
        let long = "a".repeat(LONGEST_MODEL_NAME + 1);
        for bad in ["", "a b", "a\r\nx: y", "\u{e9}", &long] {
            assert!(bad.parse::<ModelName>().is_err(), "{bad:?}");
        }
        let megabyte = "A".repeat(1 << 20).parse::<ZoneName>().unwrap_err();
        assert!(megabyte.to_string().len() < 500);
    }

    #[test]
    fn good_names_are_kept_as_they_are() {
        for good in ["a", "us-west-2", &"a".repeat(LONGEST_NAME)] {
            let name: RegionName = good.parse().unwrap();
            assert_eq!(name.as_str(), good);
            let json = serde_json::to_string(&name).unwrap();
            assert_eq!(serde_json::from_str::<RegionName>(&json).unwrap(), name);
        }
        for other in ["0", "00", "a", "0-0"] {
            assert!(ZoneName::lowest() <= other.parse().unwrap());
        }
        let model: ModelName = "mistralai/Mistral-7B:instruct".parse().unwrap();
        assert_eq!(model.to_string(), "mistralai/Mistral-7B:instruct");
    }
}

//! The file of operators: who may use the API from elsewhere.

use super::caller::Role;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

/// Longest name of an operator, in bytes.
const LONGEST_NAME: usize = 100;
/// Digits of a SHA-256 in hexadecimal.
const DIGITS: usize = 64;

/// The file, as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawOperators {
    operators: Vec<OperatorEntry>,
}

/// An entry of the file: a token or a client certificate, its name and role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperatorEntry {
    /// For the record.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// The SHA-256 of its token, in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_sha256: Option<String>,
    /// A URI, DNS name or e-mail address among the alternative names of its client certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// When the entry ends to count; `None`: never.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "humantime_serde"
    )]
    pub expires: Option<SystemTime>,
}

/// The operators by what they prove.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OperatorList {
    /// By the SHA-256 of the token.
    tokens: BTreeMap<String, OperatorEntry>,
    /// By the name in the certificate.
    certificates: BTreeMap<String, OperatorEntry>,
}

impl OperatorList {
    /// Reads the text of a file.
    ///
    /// # Errors
    ///
    /// It is not such a file. The error names the place; it has nothing of a token.
    pub fn parse(text: &str) -> Result<Self, String> {
        let raw: RawOperators = serde_saphyr::from_str(text).map_err(|error| {
            // The first line has the place; what follows would show lines of the file.
            let error = error.to_string();
            error.lines().next().unwrap_or_default().to_owned()
        })?;
        let mut list = Self::default();
        let mut names = BTreeSet::new();
        for (index, entry) in raw.operators.into_iter().enumerate() {
            let at = |field: &str, why: &str| format!("operators[{index}]{field}: {why}");
            if !is_name(&entry.name) {
                return Err(at(
                    ".name",
                    "use letters, digits and ._-@, at most 100 characters",
                ));
            }
            if !names.insert(entry.name.clone()) {
                return Err(at(
                    ".name",
                    &format!("`{}` is the name of another one", entry.name),
                ));
            }
            let (by, key, field) = match (&entry.token_sha256, &entry.certificate) {
                (Some(hash), None) if is_hash(hash) => {
                    (&mut list.tokens, hash.to_ascii_lowercase(), ".token_sha256")
                }
                (Some(_), None) => {
                    return Err(at(
                        ".token_sha256",
                        "write the 64 digits that `meridian token new` prints, not the token",
                    ));
                }
                (None, Some(name)) => (&mut list.certificates, name.clone(), ".certificate"),
                _ => return Err(at("", "give either `token_sha256` or `certificate`")),
            };
            if by.insert(key, entry).is_some() {
                return Err(at(field, "another operator has the same"));
            }
        }
        Ok(list)
    }

    /// The operator of a token.
    pub fn of_token(&self, token: &str) -> Option<&OperatorEntry> {
        self.tokens.get(&hash(token))
    }

    /// The operator of a certificate with these names.
    pub fn of_certificate(&self, names: &[String]) -> Option<&OperatorEntry> {
        names.iter().find_map(|name| self.certificates.get(name))
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.tokens.len() + self.certificates.len()
    }
}

/// The SHA-256 of a token, in hexadecimal. A token has 256 random bits: nobody finds it by trying.
pub fn hash(token: &str) -> String {
    hex::encode(Sha256::digest(token.as_bytes()))
}

/// Whether an operator may have this name.
pub fn is_name(text: &str) -> bool {
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || b"._-@".contains(&byte);
    !text.is_empty() && text.len() <= LONGEST_NAME && text.bytes().all(fine)
}

fn is_hash(text: &str) -> bool {
    text.len() == DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

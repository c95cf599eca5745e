//! Where etcd is: `etcd://host:port[,host:port...][/prefix]`.

use std::path::PathBuf;
use std::str::FromStr;

/// The prefix of keys without another one.
const PREFIX: &str = "/meridian/";

/// The port of etcd's clients.
const PORT: &str = "2379";

/// Where etcd is, and how it is spoken to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The members, `host:port` each.
    pub members: Vec<String>,
    /// The prefix of all keys; ends with `/`.
    pub prefix: String,
    /// Files for TLS; `None` without.
    pub tls: Option<TlsFiles>,
}

/// PEM files for TLS with etcd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The CA of etcd's certificates.
    pub ca: PathBuf,
    /// A client certificate and its key. etcd takes the certificate's common name as the user, where it has users.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// Why a text is no address of etcd.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}; write e.g. etcd://10.0.0.1:2379,10.0.0.2:2379")]
pub struct AddressError(String);

impl Address {
    /// The beginning of every address.
    pub const SCHEME: &str = "etcd://";
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let error = |why: &str| AddressError(format!("`{text}`: {why}"));
        let rest = text.strip_prefix(Self::SCHEME);
        let rest = rest.ok_or_else(|| error("it does not begin with etcd://"))?;
        let (members, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let members: Result<Vec<String>, AddressError> = members
            .split(',')
            .map(|member| {
                let member = member.trim();
                let authority = match member.parse::<tonic::codegen::http::uri::Authority>() {
                    Ok(authority) if !member.contains('@') => authority,
                    _ => return Err(error(&format!("`{member}` is no host and port"))),
                };
                Ok(match authority.port() {
                    Some(_) => member.to_owned(),
                    None => format!("{member}:{PORT}"),
                })
            })
            .collect();
        let prefix = match prefix.trim_matches('/') {
            "" => PREFIX.to_owned(),
            prefix => format!("/{prefix}/"),
        };
        Ok(Self {
            members: members?,
            prefix,
            tls: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_members_and_a_prefix() {
        let address: Address = "etcd://a.example.com,10.0.0.2:23790,[::1]:2379"
            .parse()
            .unwrap();
        assert_eq!(
            address.members,
            ["a.example.com:2379", "10.0.0.2:23790", "[::1]:2379"]
        );
        assert_eq!(address.prefix, "/meridian/");
        let address: Address = "etcd://a:1/fleets/europe/".parse().unwrap();
        assert_eq!(address.prefix, "/fleets/europe/");
    }

    #[test]
    fn what_is_no_address_is_named() {
        for (text, named) in [
            ("http://a:2379", "begin with etcd://"),
            ("etcd://", "`` is no host and port"),
            ("etcd://a,,b", "`` is no host and port"),
            ("etcd://user@a", "`user@a` is no host and port"),
            ("etcd://a b", "`a b` is no host and port"),
        ] {
            let error = text.parse::<Address>().unwrap_err().to_string();
            assert!(error.contains(named), "{text}: {error}");
        }
    }
}

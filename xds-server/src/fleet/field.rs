//! Single values of the fleet file, from text. Errors say what is wrong and how to mend it; the caller knows the place.

use ipnet::IpNet;
use meridian_policy::fleet::{Pool, ProviderEndpoint, Secret};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use url::{Host, Url};

type Parsed<T> = Result<T, String>;

/// Names of zones, regions and fallbacks stand in cluster names, SPIFFE IDs and header values.
pub fn plain_name(text: &str) -> Parsed<()> {
    let fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let edges = text.starts_with('-') || text.ends_with('-');
    if text.is_empty() || text.len() > 63 || edges || !text.chars().all(fine) {
        return Err(format!("`{text}` is not a name; use a-z, 0-9 and inner `-`, at most 63 characters"));
    }
    Ok(())
}

/// Names of models stand in header values and paths.
pub fn model_name(text: &str) -> Parsed<()> {
    let fine = |c: char| c.is_ascii_alphanumeric() || "._:/@+-".contains(c);
    if text.is_empty() || text.len() > 128 || !text.chars().all(fine) {
        return Err(format!("`{text}` is not a model's name; use A-Z, a-z, 0-9 and ._:/@+- (at most 128 characters)"));
    }
    Ok(())
}

/// HTTP field names in Meridian's own space cannot be zone sources: the filter removes them.
pub fn header_name(text: &str) -> Parsed<String> {
    let lower = text.to_ascii_lowercase();
    let fine = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if lower.is_empty() || !lower.chars().all(fine) {
        return Err(format!("`{text}` is not a header's name; use letters, digits and `-`"));
    }
    if meridian_policy::headers::is_ours(&lower) {
        return Err(format!("`{text}` is one of Meridian's own headers, which callers may not send; use another name"));
    }
    Ok(lower)
}

pub fn duration(text: &str) -> Parsed<Duration> {
    let fix = "write a duration such as 500ms, 10s or 5m";
    let duration = humantime::parse_duration(text).map_err(|error| format!("`{text}`: {error}; {fix}"))?;
    if duration < Duration::from_millis(1) || duration > Duration::from_secs(24 * 3600) {
        return Err(format!("`{text}` is not between 1ms and 24h; {fix}"));
    }
    Ok(duration)
}

pub fn bytes(text: &str) -> Parsed<u32> {
    let fix = "write a size such as 512KiB or 64MiB";
    let size: bytesize::ByteSize = text.parse().map_err(|error| format!("`{text}`: {error}; {fix}"))?;
    match u32::try_from(size.as_u64()) {
        Ok(size) if (1024..=1 << 30).contains(&size) => Ok(size),
        _ => Err(format!("`{text}` is not between 1KiB and 1GiB; {fix}")),
    }
}

pub fn cidr(text: &str) -> Parsed<IpNet> {
    text.parse().map_err(|_| format!("`{text}` is not a network; write e.g. 10.0.0.0/8 or 2001:db8::/32"))
}

pub fn socket(text: &str) -> Parsed<SocketAddr> {
    text.parse().map_err(|_| format!("`{text}` is not `ip:port`"))
}

pub fn endpoint(text: &str) -> Parsed<SocketAddr> {
    let fix = "list IP addresses as `ip:port`, or give a name under `dns`";
    let address: SocketAddr = text.parse().map_err(|_| format!("`{text}` is not an endpoint; {fix}"))?;
    if address.ip().is_unspecified() || address.port() == 0 {
        return Err(format!("`{text}` is no address that can be reached; {fix}"));
    }
    Ok(address)
}

pub fn dns_pool(text: &str) -> Parsed<Pool> {
    let error = || format!("`{text}` is not `name:port`");
    let (host, port) = text.rsplit_once(':').ok_or_else(error)?;
    let port = port.parse().ok().filter(|port| *port != 0).ok_or_else(error)?;
    Ok(Pool::Dns { host: host_name(host).map_err(|_| error())?, port })
}

/// An IP address or a DNS name.
pub fn host(text: &str) -> Parsed<String> {
    if text.parse::<IpAddr>().is_ok() { Ok(text.to_owned()) } else { host_name(text) }
}

fn host_name(text: &str) -> Parsed<String> {
    match Host::parse(text) {
        Ok(Host::Domain(name)) if !name.is_empty() => Ok(name),
        _ => Err(format!("`{text}` is neither an IP address nor a DNS name")),
    }
}

/// A gateway's URL for callers: scheme and authority only.
pub fn public_url(text: &str) -> Parsed<String> {
    let fix = "write scheme and host only, e.g. https://us-west-2.llm.example.com";
    let url = Url::parse(text).map_err(|error| format!("`{text}`: {error}; {fix}"))?;
    let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() || !bare {
        return Err(format!("`{text}` is not a gateway's URL; {fix}"));
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// A provider's base URL.
pub fn provider_url(text: &str) -> Parsed<ProviderEndpoint> {
    let fix = "write the API's base URL, e.g. https://api.example.com/v1";
    let url = Url::parse(text).map_err(|error| format!("`{text}`: {error}; {fix}"))?;
    let host = url.host().ok_or_else(|| format!("`{text}` names no host; {fix}"))?;
    let loopback = match &host {
        Host::Ipv4(ip) => ip.is_loopback(),
        Host::Ipv6(ip) => ip.is_loopback(),
        Host::Domain(_) => false,
    };
    let tls = match url.scheme() {
        "https" => true,
        "http" if loopback => false,
        "http" => return Err(format!("`{text}` would send prompts and our key in the clear; use https://")),
        scheme => return Err(format!("`{scheme}` is not a scheme that can be spoken; {fix}")),
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Err("a URL is no place for credentials; put the key under `api_key`".into());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(format!("`{text}` has a query or fragment; {fix}"));
    }
    let host = match host {
        Host::Domain(name) => name.to_owned(),
        Host::Ipv4(ip) => ip.to_string(),
        Host::Ipv6(ip) => ip.to_string(),
    };
    let port = url.port_or_known_default().unwrap_or(443);
    Ok(ProviderEndpoint { host, port, tls, path: url.path().trim_end_matches('/').to_owned() })
}

pub fn secret(env: Option<String>, file: Option<String>) -> Parsed<Secret> {
    match (env.filter(|name| !name.is_empty()), file.filter(|path| !path.is_empty())) {
        (Some(name), None) => Ok(Secret::Env(name)),
        (None, Some(path)) => Ok(Secret::File(path)),
        _ => Err("give exactly one of `env` (a variable's name) and `file` (a path)".into()),
    }
}

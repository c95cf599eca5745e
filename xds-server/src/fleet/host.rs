//! Hosts as the fleet file writes them: DNS names and IP addresses that a server can have.

use axum::http::Uri;
use ipnet::{IpNet, Ipv4Net};
use std::net::{IpAddr, Ipv4Addr};
use url::{Host, Url};

/// Longest URL, in bytes: proxies and servers commonly take no more.
const LONGEST_URL: usize = 2048;

/// Why no server can have this address; `None` if one can. IPv4 in IPv6 form counts as IPv4.
pub fn unusable(ip: IpAddr) -> Option<&'static str> {
    let ip = ip.to_canonical();
    let link_local = match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    // 0.0.0.0/8 is this network, and 240.0.0.0/4 is reserved; it contains the broadcast address.
    let within = |network: Ipv4Net| IpNet::V4(network).contains(&ip);
    if ip.is_unspecified() {
        Some("is where a listener binds")
    } else if ip.is_multicast() {
        Some("is a multicast address")
    } else if ip == IpAddr::V4(Ipv4Addr::BROADCAST) {
        Some("is the broadcast address")
    } else if link_local {
        Some("is a link-local address, which each machine reads differently")
    } else if within(Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 8))
        || within(Ipv4Net::new_assert(Ipv4Addr::new(240, 0, 0, 0), 4))
    {
        Some("is in a reserved network")
    } else {
        None
    }
}

/// Whether an address has a meaning within one private network only, so that two networks may both use it. Loopback is not meant.
pub fn is_private(ip: IpAddr) -> bool {
    // Shared address space, RFC 6598: clouds give it to pods and nodes.
    let shared = Ipv4Net::new_assert(Ipv4Addr::new(100, 64, 0, 0), 10);
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.is_private() || shared.contains(&ip),
        IpAddr::V6(ip) => ip.is_unique_local(),
    }
}

/// A DNS name in lower case. A dot at its end is kept: a resolver then adds no search domain.
///
/// # Errors
///
/// If it is not one, or only becomes one by decoding: such a text shows another name than the one that is used.
pub fn dns_name(text: &str) -> Result<String, String> {
    let Ok(Host::Domain(name)) = Host::parse(text) else {
        return Err(neither(text));
    };
    if !is_dns_name(&name) {
        return Err(neither(text));
    }
    if !name.eq_ignore_ascii_case(text) {
        return Err(format!(
            "`{text}` is the DNS name `{name}` in other characters; write `{name}`, if that is what you mean"
        ));
    }
    Ok(name)
}

fn neither(text: &str) -> String {
    format!("`{text}` is neither an IP address nor a DNS name (a port goes in a field of its own)")
}

fn is_dns_name(name: &str) -> bool {
    let fine = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let label = |label: &str| (1..=63).contains(&label.len()) && label.chars().all(fine);
    name.len() <= 253 && name.strip_suffix('.').unwrap_or(name).split('.').all(label)
}

/// A URL without the parts that may contain secrets, for messages. Its host is a DNS name without a dot at the end, or the address of a
/// server: TLS and HTTP know a name without that dot only.
///
/// # Errors
///
/// If it is no such URL, or if its host is written in other characters than those that are used.
pub fn url(text: &str, fix: &str) -> Result<Url, String> {
    if text.len() > LONGEST_URL {
        return Err(format!("is longer than {LONGEST_URL} bytes; {fix}"));
    }
    if text.contains('@') {
        return Err(format!("credentials have no place in it; {fix}"));
    }
    if text.contains(['?', '#']) {
        return Err(format!("a query or fragment has no place in it; {fix}"));
    }
    let mut url = Url::parse(text).map_err(|error| format!("`{text}`: {error}; {fix}"))?;
    let Some(host) = url.host_str().map(str::to_owned) else {
        return Ok(url);
    };
    let written: Option<Uri> = text.parse().ok();
    let written = written.as_ref().and_then(Uri::host).unwrap_or_default();
    // IPv6 has several forms, and each says what it is.
    let is_ipv6 = host.starts_with('[') && written.starts_with('[');
    if !is_ipv6 && !written.eq_ignore_ascii_case(&host) {
        return Err(format!(
            "`{text}` leads to the host `{host}`, which it does not show; write that host, if you mean it"
        ));
    }
    match url.host() {
        Some(Host::Domain(name)) => {
            let absolute = name.strip_suffix('.').unwrap_or(name).to_owned();
            if absolute.ends_with('.') || !is_dns_name(&absolute) {
                return Err(format!("`{name}` is not a DNS name; {fix}"));
            }
            url.set_host(Some(&absolute))
                .map_err(|error| format!("`{text}`: {error}; {fix}"))?;
        }
        Some(Host::Ipv4(ip)) => usable(ip.into(), text, fix)?,
        Some(Host::Ipv6(ip)) => usable(ip.into(), text, fix)?,
        None => {}
    }
    Ok(url)
}

fn usable(ip: IpAddr, text: &str, fix: &str) -> Result<(), String> {
    match unusable(ip) {
        Some(why) => Err(format!("`{text}`: {ip} {why}; {fix}")),
        None => Ok(()),
    }
}

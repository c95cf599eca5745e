//! Parses single values of the fleet file. Errors say what is wrong and how to fix it; the caller adds the place.

use super::host::{dns_name, unusable, url};
use crate::fleet::raw::RawSecret;
use axum::http::uri::PathAndQuery;
use ipnet::IpNet;
use meridian_policy::ZoneName;
use meridian_policy::fleet::{Pool, ProviderEndpoint, Secret};
use meridian_policy::name::BadName;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;
use url::{Host, Url};

type Parsed<T> = Result<T, String>;

/// A name that is not one of the fleet's own, such as a jurisdiction's, in the same form.
pub fn plain_name(text: &str) -> Parsed<()> {
    let name: Result<ZoneName, BadName> = text.parse();
    name.map(drop).map_err(|bad| bad.to_string())
}

/// Names of Claude models. They may become a part of the provider's path.
pub fn claude_model(text: &str) -> Parsed<String> {
    let fine = |c: char| c.is_ascii_alphanumeric() || "._@-".contains(c);
    if text.is_empty() || text.len() > 128 || !text.chars().all(fine) {
        return Err(format!(
            "`{text}` is not the name of a Claude model; write it as its provider does, e.g. claude-sonnet-5"
        ));
    }
    Ok(text.into())
}

/// A model of Bedrock, e.g. `anthropic.claude-sonnet-5-v1:0`, or an inference profile. ARNs are refused because they
/// hide the region.
pub fn bedrock_model(text: &str) -> Parsed<String> {
    let fine = |c: char| c.is_ascii_alphanumeric() || "._:-".contains(c);
    let (_, name) = text.split_once("anthropic.").unwrap_or_default();
    if name.is_empty() || text.len() > 128 || !text.chars().all(fine) {
        return Err(format!(
            "`{text}` is not the name of a Claude model; write it as Bedrock does, e.g. anthropic.claude-sonnet-5 or, with \
             `destinations`, eu.anthropic.claude-sonnet-5"
        ));
    }
    Ok(text.into())
}

/// The geographic prefix of an inference profile, e.g. `eu` or `global`.
pub fn inference_profile(model: &str) -> Option<&str> {
    let (before, _) = model.split_once("anthropic.")?;
    Some(before.trim_end_matches('.')).filter(|profile| !profile.is_empty())
}

/// Longest name of a header, in bytes.
const LONGEST_HEADER: usize = 128;
/// Longest path of a file, in bytes: the kernel's limit.
const LONGEST_PATH: usize = 4095;
/// Longest path of a request for a page, in bytes.
const LONGEST_HTTP_PATH: usize = 1024;
/// Longest name of an environment variable, in bytes.
const LONGEST_VARIABLE: usize = 255;

/// A header that gives a zone. Meridian's own headers are refused, because the filter removes them.
pub fn header_name(text: &str) -> Parsed<String> {
    let lower = text.to_ascii_lowercase();
    let fine = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if lower.is_empty() || lower.len() > LONGEST_HEADER || !lower.chars().all(fine) {
        return Err(format!(
            "`{text}` is not a header's name; use letters, digits and `-`, at most {LONGEST_HEADER} characters"
        ));
    }
    if meridian_policy::headers::is_ours(&lower) {
        return Err(format!(
            "`{text}` is one of Meridian's own headers, which callers may not send; use another name"
        ));
    }
    Ok(lower)
}

pub fn duration(text: &str) -> Parsed<Duration> {
    let fix = "write a duration such as 500ms, 10s or 5m";
    let duration =
        humantime::parse_duration(text).map_err(|error| format!("`{text}`: {error}; {fix}"))?;
    if duration < Duration::from_millis(1) || duration > Duration::from_secs(24 * 3600) {
        return Err(format!("`{text}` is not between 1ms and 24h; {fix}"));
    }
    Ok(duration)
}

pub fn heap(text: &str) -> Parsed<u64> {
    let fix = "write a size such as 2GiB";
    let size: bytesize::ByteSize = text
        .parse()
        .map_err(|error| format!("`{text}`: {error}; {fix}"))?;
    let size = size.as_u64();
    if !(256 << 20..=1 << 40).contains(&size) {
        return Err(format!("`{text}` is not between 256MiB and 1TiB; {fix}"));
    }
    Ok(size)
}

pub fn bytes(text: &str) -> Parsed<u32> {
    let fix = "write a size such as 512KiB or 64MiB";
    let size: bytesize::ByteSize = text
        .parse()
        .map_err(|error| format!("`{text}`: {error}; {fix}"))?;
    match u32::try_from(size.as_u64()) {
        Ok(size) if (1024..=1 << 30).contains(&size) => Ok(size),
        _ => Err(format!("`{text}` is not between 1KiB and 1GiB; {fix}")),
    }
}

/// A network. Ambiguous forms are refused: host bits, IPv4 mapped into IPv6, and the whole address space.
pub fn cidr(text: &str) -> Parsed<IpNet> {
    let network: IpNet = text.parse().map_err(|_| {
        format!("`{text}` is not a network; write e.g. 10.0.0.0/8 or 2001:db8::/32")
    })?;
    if network.trunc() != network {
        let (whole, alone) = (network.trunc(), IpNet::from(network.addr()));
        return Err(format!(
            "`{text}` has bits outside its prefix; write {whole} for the network or {alone} for the one address"
        ));
    }
    if network.prefix_len() == 0 {
        return Err(format!(
            "`{text}` matches every address; list the networks of the edge only"
        ));
    }
    if matches!(network.addr(), IpAddr::V6(ip) if ip.to_ipv4_mapped().is_some()) {
        return Err(format!(
            "`{text}` is an IPv4 network in IPv6 form; write it as IPv4, it matches both forms"
        ));
    }
    Ok(network)
}

/// The address that a listener binds.
pub fn socket(text: &str) -> Parsed<SocketAddr> {
    let address: SocketAddr = text
        .parse()
        .map_err(|_| format!("`{text}` is not `ip:port`, e.g. 0.0.0.0:8080"))?;
    if address.port() == 0 {
        return Err(format!(
            "`{text}`: port 0 is another port at every start; give one"
        ));
    }
    if let Some(why) = unusable(address.ip()).filter(|_| !address.ip().is_unspecified()) {
        return Err(format!(
            "`{text}` {why}; a listener binds 0.0.0.0, [::] or an address of its machine"
        ));
    }
    Ok(address)
}

/// A file path on a gateway.
pub fn path(text: &str) -> Parsed<()> {
    if is_path(text) {
        Ok(())
    } else {
        Err(format!(
            "`{text}` is not an absolute path on the gateway; it begins with `/`, and has {LONGEST_PATH} bytes at most"
        ))
    }
}

fn is_path(text: &str) -> bool {
    text.starts_with('/') && text.len() <= LONGEST_PATH && !text.chars().any(char::is_control)
}

/// The path of an HTTP request, with an optional query.
pub fn http_path(text: &str) -> Parsed<()> {
    let parsed: Result<PathAndQuery, _> = text.parse();
    let is_sized = text.len() <= LONGEST_HTTP_PATH;
    if is_sized && text.starts_with('/') && parsed.is_ok_and(|path| path.as_str() == text) {
        Ok(())
    } else {
        Err(format!(
            "`{text}` is not a path of HTTP; write one such as `/health`, at most {LONGEST_HTTP_PATH} bytes"
        ))
    }
}

pub fn endpoint(text: &str) -> Parsed<SocketAddr> {
    let fix = "list IP addresses as `ip:port`, or give a name under `dns`";
    let address: SocketAddr = text
        .parse()
        .map_err(|_| format!("`{text}` is not an endpoint; {fix}"))?;
    if let Some(why) = unusable(address.ip()) {
        return Err(format!(
            "`{text}` is no address that can be reached: it {why}; {fix}"
        ));
    }
    if address.port() == 0 {
        return Err(format!("`{text}` is no address that can be reached; {fix}"));
    }
    Ok(address)
}

pub fn dns_pool(text: &str) -> Parsed<Pool> {
    let error = || {
        format!(
            "`{text}` is not `name:port`, e.g. vllm.llm.svc:8000; IP addresses go under `endpoints`"
        )
    };
    let (host, port) = text.rsplit_once(':').ok_or_else(error)?;
    let port = port
        .parse()
        .ok()
        .filter(|port| *port != 0)
        .ok_or_else(error)?;
    let host = match host.parse::<Ipv4Addr>() {
        Ok(_) => return Err(error()),
        Err(_) => dns_name(host).map_err(|why| format!("{}: {why}", error()))?,
    };
    Ok(Pool::Dns { host, port })
}

/// An IP address or a DNS name to connect to.
pub fn host(text: &str) -> Parsed<String> {
    match text.parse::<IpAddr>() {
        Ok(ip) => match unusable(ip) {
            Some(why) => Err(format!(
                "`{text}` {why}; give the address that other gateways connect to"
            )),
            None => Ok(text.to_owned()),
        },
        Err(_) => dns_name(text),
    }
}

/// A gateway's URL for callers: scheme and authority only.
pub fn public_url(text: &str) -> Parsed<String> {
    let fix = "write scheme and host only, e.g. https://us-west-2.llm.example.com";
    let url = url(text, fix)?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() || url.path() != "/" {
        return Err(format!("`{text}` is not a gateway's URL; {fix}"));
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// The URL of a page of metrics.
pub fn page_url(text: &str) -> Parsed<String> {
    let fix = "write e.g. http://10.0.1.10:8000/metrics";
    let url = url(text, fix)?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(format!(
            "`{text}` is not the URL of a page of metrics; {fix}"
        ));
    }
    Ok(url.into())
}

/// Whether requests to a URL cannot be read in transit: TLS, or loopback.
pub fn is_private(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| {
        url.scheme() == "https" || url.host().is_some_and(|host| is_loopback(&host))
    })
}

fn is_loopback(host: &Host<&str>) -> bool {
    match host {
        Host::Ipv4(ip) => ip.is_loopback(),
        Host::Ipv6(ip) => ip.is_loopback(),
        Host::Domain(_) => false,
    }
}

/// A provider's base URL.
pub fn provider_url(text: &str) -> Parsed<ProviderEndpoint> {
    let fix = "write the API's base URL, e.g. https://api.example.com/v1";
    let url = url(text, fix)?;
    let host = url
        .host()
        .ok_or_else(|| format!("`{text}` names no host; {fix}"))?;
    let loopback = is_loopback(&host);
    let tls = match url.scheme() {
        "https" => true,
        "http" if loopback => false,
        "http" => {
            return Err(format!(
                "`{text}` would send prompts and our key in the clear; use https:// (http:// is for 127.0.0.1 only)"
            ));
        }
        scheme => {
            return Err(format!("`{scheme}` is not a supported scheme; {fix}"));
        }
    };
    let host = match host {
        Host::Domain(name) => name.to_owned(),
        Host::Ipv4(ip) => ip.to_string(),
        Host::Ipv6(ip) => ip.to_string(),
    };
    let port = url.port_or_known_default().unwrap_or(443);
    if port == 0 {
        return Err(format!("`{text}`: port 0 cannot be connected to; {fix}"));
    }
    Ok(ProviderEndpoint {
        host,
        port,
        tls,
        path: url.path().trim_end_matches('/').to_owned(),
    })
}

/// The place of a secret. Errors do not repeat the text, which could be the secret itself.
pub fn secret(raw: RawSecret) -> Parsed<Secret> {
    let RawSecret { env, file, sds } = raw;
    match (env, file, sds) {
        (Some(name), None, None) if variable_name(&name) => Ok(Secret::Env(name)),
        (Some(_), None, None) => Err(
            "`env` is not the name of an environment variable (A-Z, 0-9 and _); it is never the key itself"
                .into(),
        ),
        (None, Some(path), None) if is_path(&path) => Ok(Secret::File(path)),
        (None, None, Some(path)) if is_path(&path) => Ok(Secret::Sds(path)),
        (None, Some(_), None) | (None, None, Some(_)) => Err(
            "`file` or `sds` is not an absolute path on the gateway; it is never the key itself"
                .into(),
        ),
        _ => Err(
            "give exactly one of `env` (a variable's name), `file` and `sds` (paths), and nothing else; never the key itself"
                .into(),
        ),
    }
}

fn variable_name(name: &str) -> bool {
    let fine = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let is_sized = name.len() <= LONGEST_VARIABLE;
    is_sized && name.starts_with(|c: char| !c.is_ascii_digit()) && name.chars().all(fine)
}

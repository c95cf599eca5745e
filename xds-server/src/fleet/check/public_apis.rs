//! Public APIs of hosted providers: which hosts they have, and where each host processes requests.

use super::places::{AWS, Places, VERTEX};

/// Domains of providers' APIs besides Google's and Amazon's, where other things have names too.
const APIS: [&str; 14] = [
    "api.anthropic.com",
    "api.openai.com",
    "openai.azure.com",
    "googleapis.com",
    "api.cohere.com",
    "api.deepseek.com",
    "api.fireworks.ai",
    "api.groq.com",
    "api.mistral.ai",
    "api.perplexity.ai",
    "api.together.ai",
    "api.together.xyz",
    "api.x.ai",
    "openrouter.ai",
];

/// Domains that a look-alike host contains, or is a longer form of.
const IMITATED: [&str; 4] = [
    "googleapis.com",
    "amazonaws.com",
    "api.anthropic.com",
    "api.openai.com",
];

/// Hosts of providers that are for one jurisdiction: <https://developers.openai.com/api/docs/guides/your-data>.
const REGIONAL: [(&str, &str); 2] = [("eu.api.openai.com", "eea"), ("us.api.openai.com", "us")];

/// Hosts that process requests in the US, if anywhere in particular.
const IN_THE_US: [&str; 2] = ["api.anthropic.com", "api.openai.com"];

/// The location that a host of Vertex AI or Bedrock serves, as its whole name says: a location in any other position proves nothing.
/// Hosts are in lower case and have no dot at the end.
pub(super) fn location(host: &str) -> Option<(Places, &str)> {
    let (places, location) = match host.strip_suffix(".googleapis.com") {
        Some("aiplatform") => (VERTEX, "global"),
        Some(front) => {
            let regional = || front.strip_prefix("aiplatform.")?.strip_suffix(".rep");
            let location = front.strip_suffix("-aiplatform").or_else(regional)?;
            (VERTEX, location)
        }
        None => {
            let front = host.strip_suffix(".amazonaws.com")?;
            // A private endpoint has its own name in front of the service's.
            let front = match front.strip_suffix(".vpce") {
                Some(private) => private.split_once('.')?.1,
                None => front,
            };
            let services = ["bedrock-runtime.", "bedrock-runtime-fips."];
            let location = services
                .iter()
                .find_map(|service| front.strip_prefix(service))?;
            (AWS, location)
        }
    };
    (!location.contains('.')).then_some((places, location))
}

/// Checks that a known public host may serve a jurisdiction. A host that is not known proves nothing, and is not refused.
pub(super) fn serves(host: &str, jurisdiction: &str) -> Result<(), String> {
    if let Some((places, location)) = location(host) {
        return places.keep(location, jurisdiction);
    }
    if IN_THE_US.contains(&host) && !matches!(jurisdiction, "us" | "global") {
        return Err(format!(
            "`{host}` processes requests in the US or anywhere, not in `{jurisdiction}`; use the provider's host there"
        ));
    }
    let regional = REGIONAL.iter().find(|(regional, _)| *regional == host);
    match regional {
        Some((_, place)) if !covers(place, jurisdiction) && jurisdiction != "global" => {
            Err(format!(
                "`{host}` is for `{place}`, not for `{jurisdiction}`; use the provider's host there"
            ))
        }
        _ => Ok(()),
    }
}

/// Whether a host is known to keep requests in a jurisdiction.
pub(super) fn is_proven(host: &str, jurisdiction: &str) -> bool {
    let regional = REGIONAL.iter().find(|(regional, _)| *regional == host);
    location(host).is_some() || regional.is_some_and(|(_, place)| covers(place, jurisdiction))
}

fn covers(place: &str, jurisdiction: &str) -> bool {
    place == jurisdiction || (place == "eea" && jurisdiction == "eu")
}

/// Whether a host is the public API of a hosted provider.
pub(super) fn is_public_api(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    location(host).is_some() || APIS.iter().any(|api| is_within(host, api))
}

/// The provider's domain that a host looks like and does not belong to.
pub(super) fn imitates(host: &str) -> Option<&'static str> {
    let inside = |domain: &str| {
        host.starts_with(&format!("{domain}.")) || host.contains(&format!(".{domain}."))
    };
    IMITATED
        .into_iter()
        .find(|domain| !is_within(host, domain) && inside(domain))
}

pub(super) fn is_within(host: &str, domain: &str) -> bool {
    let front = host.strip_suffix(domain);
    front.is_some_and(|front| front.is_empty() || front.ends_with('.'))
}

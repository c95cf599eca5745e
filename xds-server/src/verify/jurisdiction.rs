//! Where a provider is by its address, written for the verifier alone.

use meridian_policy::egress_policy::{Claude, ClaudeHost, Provider};
use meridian_policy::fleet::Fallback;

/// Jurisdictions whose locations are known.
const KNOWN: [&str; 5] = ["eea", "eu", "uk", "ch", "us"];

/// Whether the address or the model of a fallback is known to be outside all of its jurisdictions. A jurisdiction of another name is the
/// operator's own.
pub fn contradicts(fallback: &Fallback) -> bool {
    let jurisdiction = &fallback.jurisdiction;
    let all_known = jurisdiction
        .iter()
        .all(|name| KNOWN.contains(&name.as_str()));
    let place = place(fallback);
    all_known
        && place.is_some_and(|place| {
            let is_there = |name: &str| name == place || (name == "eu" && place == "eea");
            !jurisdiction.iter().any(|name| is_there(name))
        })
}

/// The jurisdiction in which a fallback's requests are processed, as far as its address and model tell; `elsewhere` if it is none of the
/// known ones, or may be any.
fn place(fallback: &Fallback) -> Option<&'static str> {
    let host = fallback.endpoint.host.as_str();
    let claude = match &fallback.provider {
        Provider::Claude(claude) => Some(claude),
        Provider::OpenaiCompatible => None,
    };
    if let Some(profile) = claude.and_then(profile) {
        return Some(profile);
    }
    if host == "api.anthropic.com" {
        let geo = claude.and_then(|claude| claude.inference_geo.as_deref());
        return Some(if geo == Some("us") { "us" } else { "elsewhere" });
    }
    location(host).map(jurisdiction_of)
}

/// A model of Bedrock's that runs in several regions. Those of `eu.` may be in the EEA, in the United Kingdom and in Switzerland.
fn profile(claude: &Claude) -> Option<&'static str> {
    let prefix = claude.model.split('.').next();
    match (claude.host, prefix) {
        (ClaudeHost::Bedrock, Some("us")) => Some("us"),
        (ClaudeHost::Bedrock, Some("global" | "apac")) => Some("elsewhere"),
        _ => None,
    }
}

/// The location in the name of a host of Google's or Amazon's.
fn location(host: &str) -> Option<&str> {
    let rest = host.strip_suffix(".googleapis.com");
    let google = rest.and_then(|rest| match rest {
        "aiplatform" => Some("global"),
        rest => rest
            .strip_suffix("-aiplatform")
            .or_else(|| rest.strip_prefix("aiplatform.")?.strip_suffix(".rep")),
    });
    let amazon = || {
        host.strip_prefix("bedrock-runtime.")?
            .strip_suffix(".amazonaws.com")
    };
    google.or_else(amazon)
}

fn jurisdiction_of(location: &str) -> &'static str {
    match location {
        "europe-west2" | "eu-west-2" => "uk",
        "europe-west6" | "eu-central-2" => "ch",
        "eu" => "eea",
        "us" => "us",
        _ if location.starts_with("europe-") || location.starts_with("eu-") => "eea",
        _ if location.starts_with("us-") => "us",
        _ => "elsewhere",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = include_str!("../../../envoy/fleet.yaml");

    #[test]
    fn an_address_that_contradicts_its_jurisdiction_is_found() {
        let fleet = crate::fleet::parse(EXAMPLE).unwrap();
        let claude = |host, model: &str, geo: Option<&str>| {
            Provider::Claude(Claude {
                host,
                model: model.into(),
                max_tokens: 1,
                inference_geo: geo.map(str::to_owned),
                max_body: None,
            })
        };
        let check = |provider: &Provider, host: &str, jurisdiction: &[&str]| {
            let mut fallback = fleet.fallbacks["claude-eu"].clone();
            fallback.provider = provider.clone();
            fallback.endpoint.host = host.into();
            fallback.jurisdiction = jurisdiction.iter().map(|&name| name.into()).collect();
            contradicts(&fallback)
        };
        let vertex = claude(ClaudeHost::Vertex, "m", None);
        for (host, jurisdiction, wrong) in [
            (
                "europe-west1-aiplatform.googleapis.com",
                &["eea"][..],
                false,
            ),
            ("europe-west1-aiplatform.googleapis.com", &["eu"], false),
            (
                "europe-west1-aiplatform.googleapis.com",
                &["uk", "ch"],
                true,
            ),
            ("europe-west2-aiplatform.googleapis.com", &["eea"], true),
            (
                "europe-west2-aiplatform.googleapis.com",
                &["eea", "uk"],
                false,
            ),
            ("aiplatform.us.rep.googleapis.com", &["eea"], true),
            ("aiplatform.eu.rep.googleapis.com", &["eea"], false),
            ("aiplatform.googleapis.com", &["eea"], true),
            ("aiplatform.googleapis.com", &["global"], false),
            ("asia-east1-aiplatform.googleapis.com", &["eea"], true),
            (
                "us-east5-aiplatform.googleapis.com",
                &["eea", "ours"],
                false,
            ),
            ("vertex.example.com", &["eea"], false),
        ] {
            assert_eq!(
                check(&vertex, host, jurisdiction),
                wrong,
                "{host} {jurisdiction:?}"
            );
        }
        let bedrock = "bedrock-runtime.eu-central-1.amazonaws.com";
        for (model, wrong) in [
            ("anthropic.m", false),
            ("eu.anthropic.m", false),
            ("us.anthropic.m", true),
            ("global.anthropic.m", true),
        ] {
            let provider = claude(ClaudeHost::Bedrock, model, None);
            assert_eq!(check(&provider, bedrock, &["eea"]), wrong, "{model}");
        }
        let anthropic = |geo| claude(ClaudeHost::Anthropic, "m", geo);
        assert!(check(&anthropic(None), "api.anthropic.com", &["eea"]));
        assert!(check(&anthropic(None), "api.anthropic.com", &["us"]));
        assert!(!check(&anthropic(Some("us")), "api.anthropic.com", &["us"]));
        assert!(!check(
            &Provider::OpenaiCompatible,
            "api.example.com",
            &["eea"]
        ));
    }
}

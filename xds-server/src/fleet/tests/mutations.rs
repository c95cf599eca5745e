//! Random edits of a valid file: none lets a pinned zone use a fallback whose host does not prove its jurisdiction, and none panics.
//! What a host proves is stated here in its own way: as whole hosts, one for each location.

use crate::fleet::parse;
use meridian_policy::Fleet;
use meridian_policy::egress_policy::{ClaudeHost, Provider};
use meridian_policy::fleet::Fallback;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

const FILE: &str = r#"zones:
  eea:    { countries: [preset:eea], pinned: true, regions: [eu-west-1], fallbacks: [vertex-eu, bedrock-eu] }
  us:     { countries: [US], pinned: true, regions: [us-east-1], fallbacks: [vertex-us] }
  global: { countries: [preset:rest], regions: [us-east-1, eu-west-1], fallbacks: [claude] }
unknown_zone: refuse
classify:
  - { header: cf-ipcountry, gives: country, trust: { cidr: [10.0.0.0/8] } }
regions:
  us-east-1:
    gateway: { address: gw.us-east-1.example.com, port: 8443 }
    public: { url: "https://us-east-1.llm.example.com" }
    pools: { llama: { dns: "llama.us-east-1.example.com:8000" } }
  eu-west-1:
    gateway: { address: gw.eu-west-1.example.com, port: 8443 }
    public: { url: "https://eu-west-1.llm.example.com" }
    pools: { llama: { endpoints: [ "10.0.3.10:8000" ] } }
fallbacks:
  claude:     { provider: anthropic, url: "https://api.anthropic.com/v1", model: claude-x, jurisdiction: [global], api_key: { env: KEY } }
  vertex-eu:  { provider: vertex, url: "https://europe-west1-aiplatform.googleapis.com/v1", project: p1, location: europe-west1, model: claude-x, jurisdiction: [eea], api_key: { sds: /k1 } }
  bedrock-eu: { provider: bedrock, url: "https://bedrock-runtime.eu-central-1.amazonaws.com", location: eu-central-1, model: anthropic.claude-x, jurisdiction: [eea], api_key: { file: /k2 } }
  vertex-us:  { provider: vertex, url: "https://us-east5-aiplatform.googleapis.com/v1", project: p1, location: us-east5, model: claude-x, jurisdiction: [us], api_key: { sds: /k3 } }
"#;

/// What ends or separates values of YAML's flow style.
const SEPARATORS: [char; 8] = [' ', ',', '[', ']', '{', '}', '"', '\n'];

const GOOGLE_EEA: [&str; 12] = [
    "eu",
    "europe-central2",
    "europe-north1",
    "europe-north2",
    "europe-southwest1",
    "europe-west1",
    "europe-west10",
    "europe-west12",
    "europe-west3",
    "europe-west4",
    "europe-west8",
    "europe-west9",
];
const AMAZON_EEA: [&str; 6] = [
    "eu-central-1",
    "eu-north-1",
    "eu-south-1",
    "eu-south-2",
    "eu-west-1",
    "eu-west-3",
];
const GOOGLE_US: [&str; 3] = ["us", "us-east5", "us-central1"];
const AMAZON_US: [&str; 1] = ["us-east-1"];

/// Every host that keeps requests in a zone.
fn hosts(google: &[&str], amazon: &[&str]) -> Vec<String> {
    let google = google.iter().flat_map(|location| {
        [
            format!("{location}-aiplatform.googleapis.com"),
            format!("aiplatform.{location}.rep.googleapis.com"),
        ]
    });
    let amazon = amazon
        .iter()
        .map(|location| format!("bedrock-runtime.{location}.amazonaws.com"));
    google.chain(amazon).collect()
}

fn is_proven(zone: &str, fallback: &Fallback) -> bool {
    let host = &fallback.endpoint.host;
    // Only Bedrock has profiles.
    let profile = match &fallback.provider {
        Provider::Claude(claude) if claude.host == ClaudeHost::Bedrock => claude.model.as_str(),
        Provider::Claude(_) => "",
        Provider::OpenaiCompatible => return false,
    };
    match zone {
        "eea" => {
            let is_there = hosts(&GOOGLE_EEA, &AMAZON_EEA).contains(host);
            is_there && !profile.starts_with("us.") && !profile.starts_with("global.")
        }
        "us" => {
            let by_field = host == "api.anthropic.com" && fallback.jurisdiction.contains("us");
            by_field || hosts(&GOOGLE_US, &AMAZON_US).contains(host)
        }
        _ => true,
    }
}

/// Fallbacks that a pinned zone uses, though their hosts prove nothing.
fn unproven(fleet: &Fleet) -> Vec<String> {
    let pinned = fleet.zones.iter().filter(|(_, zone)| zone.pinned);
    let used = pinned.flat_map(|(name, zone)| zone.fallbacks.iter().map(move |used| (name, used)));
    let wrong = used.filter(|(zone, used)| !is_proven(zone.as_str(), &fleet.fallbacks[*used]));
    wrong
        .map(|(zone, used)| format!("{zone}: {used} at {}", fleet.fallbacks[used].endpoint.host))
        .collect()
}

#[derive(Clone, Debug)]
enum Edit {
    /// Two values change places.
    Swap(Index, Index),
    /// A value is another one.
    Replace(Index, &'static str),
    /// Text comes before a host, an address or any other value.
    Before(Index, &'static str),
    /// Text comes after it.
    After(Index, &'static str),
    /// A letter of it is in upper case, one that looks like it, or percent-encoded.
    Letter(Index, Index, u8),
    /// The file ends.
    Truncate(Index),
}

/// The places of all values in a text.
fn values(text: &str) -> Vec<std::ops::Range<usize>> {
    let mut found = Vec::new();
    let mut at = 0;
    for value in text.split(SEPARATORS) {
        if !value.is_empty() {
            // The host of a URL is a value of its own.
            let scheme = value.find("://").map_or(0, |scheme| scheme + 3);
            let host = &value[scheme..];
            let end = host.find('/').filter(|_| scheme > 0);
            let end = scheme + end.unwrap_or(host.len());
            found.push(at + scheme..at + end);
        }
        at += value.len() + 1;
    }
    found
}

impl Edit {
    fn apply(&self, mut text: String) -> String {
        let values = values(&text);
        if values.is_empty() {
            return text;
        }
        match self {
            Self::Swap(one, other) => {
                let (one, other) = (one.get(&values).clone(), other.get(&values).clone());
                let (first, last) = if one.start < other.start {
                    (one, other)
                } else {
                    (other, one)
                };
                let (before, after) = (
                    text[first.clone()].to_owned(),
                    text[last.clone()].to_owned(),
                );
                text.replace_range(last, &before);
                text.replace_range(first, &after);
            }
            Self::Replace(value, with) => text.replace_range(value.get(&values).clone(), with),
            Self::Before(value, more) => text.insert_str(value.get(&values).start, more),
            Self::After(value, more) => text.insert_str(value.get(&values).end, more),
            Self::Letter(value, letter, how) => {
                let value = value.get(&values);
                let letters: Vec<(usize, char)> = text[value.clone()].char_indices().collect();
                let (at, letter) = *letter.get(&letters);
                let at = value.start + at;
                let instead = match (how, letter) {
                    (0, 'a') => "\u{430}".to_owned(),
                    (0, 'e') => "\u{435}".to_owned(),
                    (0, '.') => "\u{3002}".to_owned(),
                    (0, _) => format!("{letter}\u{200d}"),
                    (1, _) => format!("%{:02x}", u32::from(letter)),
                    _ => letter.to_uppercase().to_string(),
                };
                text.replace_range(at..at + letter.len_utf8(), &instead);
            }
            Self::Truncate(at) => {
                let mut end = at.index(text.len());
                while !text.is_char_boundary(end) {
                    end -= 1;
                }
                text.truncate(end);
            }
        }
        text
    }
}

fn edit() -> impl Strategy<Value = Edit> {
    let index = any::<Index>;
    let others = vec![
        "us-east5-aiplatform.googleapis.com",
        "bedrock-runtime.us-east-1.amazonaws.com",
        "aiplatform.googleapis.com",
        "europe-west1.us-east5-aiplatform.googleapis.com",
        "eu-central-1.bedrock-runtime.us-east-1.amazonaws.com",
        "europe-west2-aiplatform.googleapis.com",
        "api.openai.com",
        "us.anthropic.claude-x",
        "global",
        "eu",
    ];
    let before = vec![
        "x-",
        "europe-west1.",
        "user@",
        "user:key@",
        "eu-central-1.",
        "us.",
        "\\",
    ];
    let after = vec![
        ".",
        "..",
        ".evil.example",
        ".cn",
        ":8443",
        ":0",
        "@evil.example",
        "#",
        "?a",
        "\\",
        "/../",
        "%2eevil.example",
    ];
    prop_oneof![
        (index(), index()).prop_map(|(one, other)| Edit::Swap(one, other)),
        (index(), select(others)).prop_map(|(value, with)| Edit::Replace(value, with)),
        (index(), select(before)).prop_map(|(value, more)| Edit::Before(value, more)),
        (index(), select(after)).prop_map(|(value, more)| Edit::After(value, more)),
        (index(), index(), 0..3_u8)
            .prop_map(|(value, letter, how)| Edit::Letter(value, letter, how)),
        index().prop_map(Edit::Truncate),
    ]
}

#[test]
fn the_file_itself_is_proven() {
    assert_eq!(unproven(&parse(FILE).unwrap()), [""; 0]);
    let hosts = values(FILE).into_iter().map(|value| &FILE[value]);
    assert!(
        hosts
            .into_iter()
            .any(|host| host == "europe-west1-aiplatform.googleapis.com")
    );
}

#[test]
fn no_beginning_of_the_file_is_unproven() {
    for end in 0..FILE.len() {
        if let Ok(fleet) = parse(&FILE[..end]) {
            assert_eq!(unproven(&fleet), [""; 0], "{end}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_edit_makes_a_pinned_zone_use_an_unproven_fallback(edits in vec(edit(), 1..4)) {
        let text = edits.iter().fold(FILE.to_owned(), |text, edit| edit.apply(text));
        if let Ok(fleet) = parse(&text) {
            prop_assert_eq!(unproven(&fleet), [""; 0], "{}", text);
        }
    }
}

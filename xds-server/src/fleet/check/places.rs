//! Jurisdictions of hosted providers' locations.

/// Jurisdictions, with the locations that keep requests in each.
#[derive(Clone, Copy)]
pub struct Places(&'static [(&'static str, &'static [&'static str])]);

const GOOGLE_IN_THE_EEA: &[&str] = &[
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

/// Locations of Google's Vertex AI. London and Zurich begin with `europe-` too:
/// <https://cloud.google.com/about/locations>.
pub const VERTEX: Places = Places(&[
    ("eea", GOOGLE_IN_THE_EEA),
    ("eu", GOOGLE_IN_THE_EEA),
    ("uk", &["europe-west2"]),
    ("ch", &["europe-west6"]),
    (
        "us",
        &[
            "us",
            "us-central1",
            "us-east1",
            "us-east4",
            "us-east5",
            "us-south1",
            "us-west1",
            "us-west2",
            "us-west3",
            "us-west4",
        ],
    ),
]);

const AWS_IN_THE_EEA: &[&str] = &[
    "eu-central-1",
    "eu-north-1",
    "eu-south-1",
    "eu-south-2",
    "eu-west-1",
    "eu-west-3",
];

/// Regions of AWS. London and Zurich begin with `eu-` too:
/// <https://docs.aws.amazon.com/global-infrastructure/latest/regions/aws-regions.html>.
pub const AWS: Places = Places(&[
    ("eea", AWS_IN_THE_EEA),
    ("eu", AWS_IN_THE_EEA),
    ("uk", &["eu-west-2"]),
    ("ch", &["eu-central-2"]),
    ("us", &["us-east-1", "us-east-2", "us-west-1", "us-west-2"]),
]);

impl Places {
    /// Checks that a location keeps requests in a jurisdiction. A jurisdiction without a list accepts any location but
    /// `global`.
    pub fn keep(self, location: &str, jurisdiction: &str) -> Result<(), String> {
        let known = self.0.iter().find(|(name, _)| *name == jurisdiction);
        let keeps = match known {
            Some((_, places)) => places.contains(&location),
            None => jurisdiction == "global" || location != "global",
        };
        if keeps {
            return Ok(());
        }
        let instead = known.map(|(_, places)| format!("; use {}", places.join(", ")));
        Err(format!(
            "the location `{location}` does not keep requests in `{jurisdiction}`{}",
            instead.unwrap_or_default()
        ))
    }
}

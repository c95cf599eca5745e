//! Fleet files between which edits go. Under all of them the callers may be answered by the same regions.

use anyhow::{Result, ensure};

/// Texts in the place of others.
type Replacements = &'static [(&'static str, &'static str)];

/// The fleet files beside that of the start.
const OTHERS: [Replacements; 4] = [
    // Zones with other names.
    &[
        ("  eea: { ", "  europe: { jurisdictions: [eea], "),
        ("unknown_zone: eea", "unknown_zone: europe"),
        ("  global: { ", "  world: { "),
    ],
    // Two zones in the place of one.
    &[(
        "  eea: { countries: [preset:eea], ",
        "  dach: { countries: [DE, AT], pinned: true, regions: [eu-west-1], misdirected: forward }
  eea: { countries: [FR, ES, IT], ",
    )],
    // A zone with fewer regions.
    &[(
        "regions: [us-west-2, us-east-1, eu-west-1]",
        "regions: [us-west-2, eu-west-1]",
    )],
    // Other clusters, and the same definitions.
    &[("connect: 5s", "connect: 4s")],
];

/// The fleet files, and which of them is there.
pub struct Edits {
    texts: Vec<String>,
    current: usize,
}

impl Edits {
    /// Edits of this fleet file.
    pub fn new(original: String) -> Result<Self> {
        let mut texts = Vec::new();
        for replacements in OTHERS {
            let mut text = original.clone();
            for (old, new) in replacements {
                ensure!(text.contains(old), "`{old}` is not in the fleet file");
                text = text.replace(old, new);
            }
            texts.push(text);
        }
        texts.insert(0, original);
        Ok(Self { texts, current: 0 })
    }

    /// Another fleet file than the one that is there.
    pub fn next(&mut self, choice: usize) -> &str {
        let others = self.texts.len() - 1;
        self.current = (self.current + 1 + choice % others) % self.texts.len();
        &self.texts[self.current]
    }
}

//! Countries as edges report them, and the country presets of the fleet file.
//!
//! The presets are engineering defaults, not legal advice. A fleet file can list countries itself.

use serde::{Deserialize, Serialize};
use std::fmt;

/// An assigned ISO 3166-1 alpha-2 code (or `XK`), in upper case. Common aliases are resolved.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Country([u8; 2]);

/// The officially assigned ISO 3166-1 alpha-2 codes, and `XK` (Kosovo), which CDNs and GeoIP databases report.
const ASSIGNED: &str = "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT \
BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR \
GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH \
KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ \
NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ \
SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF \
WS XK YE YT ZA ZM ZW";

/// EU and EEA members, their outermost regions and Åland, which have their own codes, and the French territories whose local law
/// is equivalent or unclear. Without GL, FO, SX, CW and AW.
const EEA: &str = "AT BE BG HR CY CZ DK EE FI FR DE GR HU IE IT LV LT LU MT NL PL PT RO SK SI ES SE IS LI NO \
GF GP MQ MF RE YT AX NC PF WF PM BL";

/// Codes in use for an assigned code.
const ALIASES: [(&str, &str); 4] = [("EL", "GR"), ("IC", "ES"), ("EA", "ES"), ("UK", "GB")];

/// Whether a code of two letters is assigned, by its [`place`].
const IS_ASSIGNED: [bool; LETTERS * LETTERS] = {
    let mut table = [false; LETTERS * LETTERS];
    let codes = ASSIGNED.as_bytes();
    let mut at = 0;
    while at + 1 < codes.len() {
        if let Some(place) = place([codes[at], codes[at + 1]]) {
            table[place] = true;
        }
        at += 3;
    }
    table
};

const LETTERS: usize = 26;

/// The place of a code in a table of all. `None` for one that is not of two upper-case letters.
const fn place([first, second]: [u8; 2]) -> Option<usize> {
    if !first.is_ascii_uppercase() || !second.is_ascii_uppercase() {
        return None;
    }
    Some((first - b'A') as usize * LETTERS + (second - b'A') as usize)
}

impl Country {
    /// Parses exactly the value that an edge sends: an assigned code or an alias, as two upper-case letters. Returns `None` for
    /// anything else: `XX`, `ZZ`, `T1`, `EU`, `AP`, lower case, spaces, two values.
    pub fn parse(text: &str) -> Option<Self> {
        let code = ALIASES
            .iter()
            .find(|(alias, _)| *alias == text)
            .map_or(text, |(_, code)| code);
        let bytes: [u8; 2] = code.as_bytes().try_into().ok()?;
        IS_ASSIGNED
            .get(place(bytes)?)
            .is_some_and(|is_assigned| *is_assigned)
            .then_some(Self(bytes))
    }

    /// All countries.
    pub fn all() -> impl Iterator<Item = Self> {
        ASSIGNED.split(' ').filter_map(Self::parse)
    }

    /// The countries of a preset: `eea`, `uk` or `ch`. `None` for any other name.
    pub fn preset(name: &str) -> Option<Vec<Self>> {
        let codes = match name {
            "eea" => EEA,
            "uk" => "GB",
            "ch" => "CH",
            _ => return None,
        };
        Some(codes.split(' ').filter_map(Self::parse).collect())
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.0).unwrap_or("??"))
    }
}

impl fmt::Debug for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<Country> for String {
    fn from(country: Country) -> Self {
        country.to_string()
    }
}

impl TryFrom<String> for Country {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or_else(|| {
            format!("`{text}` is not an assigned ISO 3166-1 alpha-2 code in upper case")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_what_the_list_has() {
        let letters = || 'A'..='Z';
        let pairs = letters().flat_map(|first| letters().map(move |second| [first, second]));
        for code in pairs.map(String::from_iter) {
            let is_listed = ASSIGNED.split(' ').any(|assigned| assigned == code);
            let is_alias = ALIASES.iter().any(|(alias, _)| *alias == code);
            assert_eq!(
                Country::parse(&code).is_some(),
                is_listed || is_alias,
                "{code}"
            );
        }
    }

    #[test]
    fn only_assigned_upper_case_codes_are_countries() {
        for unknown in [
            "XX",
            "ZZ",
            "T1",
            "EU",
            "AP",
            "de",
            "De",
            " DE",
            "DE ",
            "DE,US",
            "DEU",
            "D",
            "",
            "Ä",
            "\u{0}\u{0}",
        ] {
            assert_eq!(Country::parse(unknown), None, "{unknown:?}");
        }
        for (text, country) in [
            ("DE", "DE"),
            ("EL", "GR"),
            ("IC", "ES"),
            ("EA", "ES"),
            ("UK", "GB"),
            ("XK", "XK"),
        ] {
            assert_eq!(Country::parse(text).unwrap().to_string(), country);
        }
    }

    #[test]
    fn presets_match_residency_law() {
        let eea = Country::preset("eea").unwrap();
        assert_eq!(
            eea.len(),
            42,
            "30 members, 7 codes of outermost regions and Åland, 5 territories"
        );
        let holds = |code: &str| eea.contains(&Country::parse(code).unwrap());
        assert!(["DE", "IS", "RE", "AX", "NC"].into_iter().all(holds));
        assert!(
            !["GB", "CH", "GL", "FO", "SX", "CW", "AW", "GG", "US"]
                .into_iter()
                .any(holds)
        );
        assert_eq!(Country::preset("nowhere"), None);
    }
}

//! A definition as a fleet file.

use super::definition::{Definition, JURISDICTIONS, Zone};
use super::generator::LIMITS;
use crate::world::{World, api_key};
use anyhow::{Context, Result, bail};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::process::Command;

/// What the mark of a generation begins with. It is the digest of no key that a caller has.
const MARK: &str = "feedc0de";

/// The parts of the fleet files of a world that no edit changes.
#[derive(Clone)]
pub struct FleetText {
    classify: String,
    control_plane: String,
    regions: String,
    providers: Vec<SocketAddr>,
    key: PathBuf,
    meridian: PathBuf,
    draft: PathBuf,
}

impl FleetText {
    /// Takes them from the fleet file of a world. The servers of these addresses are the providers.
    pub fn new(world: &World, providers: Vec<SocketAddr>) -> Result<Self> {
        let text = world.fleet_file()?;
        let section = |from: &str, to: &str| {
            let start = text.find(from).with_context(|| format!("no {from}"))?;
            let length = text[start..].find(to);
            let length = length.with_context(|| format!("no {to}"))?;
            anyhow::Ok(text[start..start + length].to_owned())
        };
        let regions = text[text.find("\nregions:").context("no regions")?..].lines();
        // No load moves anybody: only failures do.
        let regions = regions.filter(|line| {
            let line = line.trim_start();
            !line.starts_with("signals:") && !line.starts_with("- {")
        });
        let regions: Vec<&str> = regions.collect();
        let key = world.dir().join("hunt.key");
        std::fs::write(&key, api_key("hunt"))?;
        Ok(Self {
            classify: section("classify:", "policy:")?,
            control_plane: section("control_plane:", "fallbacks:\n")?,
            regions: regions.join("\n"),
            providers,
            key,
            meridian: crate::world::meridian()?,
            draft: world.dir().join("draft.yaml"),
        })
    }

    /// The fleet file of a definition. The policies of all gateways carry the number of the generation, where it changes nothing.
    pub fn render(&self, definition: &Definition, generation: u32) -> String {
        let mut zones: Vec<String> = definition
            .zones
            .iter()
            .map(|(name, zone)| zone_text(name, zone, definition))
            .collect();
        if definition.reversed {
            zones.reverse();
        }
        let fallbacks: String = definition
            .fallbacks
            .iter()
            .map(|(name, provider)| self.fallback(name, *provider))
            .collect();
        format!(
            "zones:\n{}unknown_zone: {}\n{}policy:\n  limits: {}\n  batch: {{ keys: [\"{}\"] }}\n{}fallbacks:\n{fallbacks}{}\n",
            zones.concat(),
            definition.unknown_zone,
            self.classify,
            LIMITS[definition.limits],
            mark(generation),
            self.control_plane,
            self.regions,
        )
    }

    fn fallback(&self, name: &str, provider: usize) -> String {
        let (address, jurisdiction) = (self.providers[provider], JURISDICTIONS[provider]);
        let key = self.key.display();
        format!(
            "  {name}: {{ provider: openai-compatible, url: \"http://{address}/v1\", jurisdiction: [{jurisdiction}], api_key: {{ file: {key} }} }}\n"
        )
    }

    /// What `meridian validate` says against a definition.
    pub async fn problems(&self, definition: &Definition) -> Result<Option<String>> {
        write(&self.draft, &self.render(definition, 0))?;
        let output = Command::new(&self.meridian)
            .arg("validate")
            .arg(&self.draft)
            .stdin(Stdio::null())
            .output()
            .await
            .context("meridian validate")?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        Ok((!output.status.success()).then_some(said))
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    Ok(std::fs::write(path, text)?)
}

fn zone_text(name: &str, zone: &Zone, definition: &Definition) -> String {
    let mut countries: Vec<&str> = zone.countries.clone();
    if zone.rest {
        countries.push("preset:rest");
    }
    let (countries, regions) = (countries.join(", "), zone.regions.join(", "));
    let fallbacks = zone.fallbacks.join(", ");
    let pin = if zone.pinned {
        let providers = zone
            .fallbacks
            .iter()
            .filter_map(|name| definition.fallbacks.get(name));
        let mut accepted: Vec<&str> = providers.map(|at| JURISDICTIONS[*at]).collect();
        accepted.push(JURISDICTIONS[1]);
        accepted.sort_unstable();
        accepted.dedup();
        let misdirected = zone.misdirected.as_str();
        let accepted = accepted.join(", ");
        format!("pinned: true, jurisdictions: [{accepted}], misdirected: {misdirected}, ")
    } else {
        String::new()
    };
    let countries = if countries.is_empty() {
        String::new()
    } else {
        format!("countries: [{countries}], ")
    };
    format!("  {name}: {{ {countries}{pin}regions: [{regions}], fallbacks: [{fallbacks}] }}\n")
}

/// A digest, as of a key, that tells the generation.
fn mark(generation: u32) -> String {
    format!("{MARK}{generation:08x}{}", "0".repeat(48))
}

/// The least and the greatest generation that a text carries.
///
/// # Errors
/// It carries a mark that no generation has.
pub fn generations(text: &str) -> Result<Option<(u32, u32)>> {
    let mut found: Option<(u32, u32)> = None;
    for (at, _) in text.match_indices(MARK) {
        let digits = text.get(at + MARK.len()..at + MARK.len() + 8);
        let Some(generation) = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok())
        else {
            bail!("a mark without a generation");
        };
        let (least, greatest) = found.unwrap_or((generation, generation));
        found = Some((least.min(generation), greatest.max(generation)));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // Tests.

    use super::*;

    #[test]
    fn a_mark_tells_its_generation() {
        let text = format!("{} and {}", mark(7), mark(300));
        assert_eq!(generations(&text).unwrap(), Some((7, 300)));
        assert_eq!(generations("no mark").unwrap(), None);
        assert_eq!(mark(7).len(), 64);
    }
}

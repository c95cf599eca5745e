//! The report: at a terminal line by line, and in docs/benchmarks.md once it is whole.

use super::litellm;
use anyhow::{Context, Result};
use meridian_tests::world::workspace;
use std::path::Path;
use std::process::Command;

/// What stands behind a report in docs/benchmarks.md.
const END: &str = "<!-- end -->\n";

/// What stands before it. `part`: an argument of `scripts/bench`; none for its main part.
fn mark(part: &str) -> String {
    let command = format!("scripts/bench {part}");
    format!("<!-- written by {} -->\n", command.trim_end())
}

/// What was measured, as Markdown.
pub struct Report(String);

impl Report {
    /// Begins with where and when it is measured, and with what. `with_litellm`: LiteLLM's proxy is measured.
    ///
    /// # Errors
    /// A program does not tell its version.
    pub fn begin(with_litellm: bool) -> Result<Self> {
        let mut report = Self(String::new());
        let cores = std::thread::available_parallelism()?;
        let envoy = said(workspace().join(".tools/envoy"), &["--version"])?;
        let version = envoy.split("version: ").nth(1);
        let envoy = version.and_then(|version| version.split('/').nth(1));
        let envoy = envoy.context("Envoy does not tell its version")?;
        let mut routers = format!("vllm-router {}", installed(".tools/vllm-router")?);
        if with_litellm {
            routers += &format!(", LiteLLM {}", installed(litellm::DIR)?);
        }
        report.line(&format!(
            "{}, commit {}, {cores} cores of {}, Envoy {envoy}, {routers}.",
            said("date", &["-u", "+%F"])?,
            said("git", &["rev-parse", "--short", "HEAD"])?,
            processor()?,
        ));
        Ok(report)
    }

    /// Begins with when it is measured, and on what.
    ///
    /// # Errors
    /// A program does not tell its version.
    pub fn of_this_machine() -> Result<Self> {
        let mut report = Self(String::new());
        let cores = std::thread::available_parallelism()?;
        report.line(&format!(
            "{}, commit {}, {cores} cores of {}.",
            said("date", &["-u", "+%F"])?,
            said("git", &["rev-parse", "--short", "HEAD"])?,
            processor()?,
        ));
        Ok(report)
    }

    /// Adds a line.
    pub fn line(&mut self, line: &str) {
        println!("{line}");
        self.0 += line;
        self.0.push('\n');
    }

    /// Begins a table: its columns, of which all but the first one are numbers.
    pub fn table(&mut self, title: &str, columns: &[&str]) {
        let numbers = " ---: |".repeat(columns.len() - 1);
        self.line(&format!("\n### {title}\n"));
        self.line(&format!("| {} |", columns.join(" | ")));
        self.line(&format!("| --- |{numbers}"));
    }

    /// Writes it to docs/benchmarks.md, in the place of the one before.
    ///
    /// # Errors
    /// The file has no place for it.
    pub fn write(&self) -> Result<()> {
        self.write_to("")
    }

    /// The same for one of the other parts.
    ///
    /// # Errors
    /// The file has no place for it.
    pub fn write_to(&self, part: &str) -> Result<()> {
        let path = workspace().join("docs/benchmarks.md");
        let page = put(&std::fs::read_to_string(&path)?, part, &self.0)?;
        std::fs::write(&path, page)?;
        println!("\nwritten to {}", path.display());
        Ok(())
    }
}

/// A page with this report between its marks.
fn put(page: &str, part: &str, report: &str) -> Result<String> {
    let begin = mark(part);
    let (before, rest) = page
        .split_once(&begin)
        .context("docs/benchmarks.md has no mark")?;
    let (_, behind) = rest
        .split_once(END)
        .context("docs/benchmarks.md has no end mark")?;
    Ok(format!("{before}{begin}\n{report}\n{END}{behind}"))
}

/// The first line that a program says.
fn said(program: impl AsRef<Path>, arguments: &[&str]) -> Result<String> {
    let program = program.as_ref();
    let output = Command::new(program)
        .args(arguments)
        .current_dir(workspace())
        .output()
        .with_context(|| program.display().to_string())?;
    let text = String::from_utf8(output.stdout)?;
    let mut lines = text.lines().map(str::trim);
    let line = lines.find(|line| !line.is_empty());
    Ok(line.context("it says nothing")?.to_owned())
}

/// The version of a package that `scripts/setup` has installed there.
fn installed(dir: &str) -> Result<String> {
    let version = std::fs::read_to_string(workspace().join(dir).join("installed"))?;
    Ok(version.trim().to_owned())
}

/// The name of the processor.
fn processor() -> Result<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo")?;
    let name = text.lines().find_map(|line| {
        let (field, value) = line.split_once(':')?;
        (field.trim() == "model name").then(|| value.trim())
    });
    Ok(name.unwrap_or("an unknown processor").to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_a_place_for_the_report() {
        let page = include_str!("../../../../docs/benchmarks.md");
        for part in ["", "xds"] {
            let with = put(page, part, "2026-11-30\n").unwrap();
            assert!(with.contains("-->\n\n2026-11-30\n\n<!-- end -->\n"));
            assert_eq!(put(&with, part, "2026-11-30\n").unwrap(), with);
            assert!(with.starts_with("# Benchmarks\n") && with.contains("## Measured before"));
        }
        assert!(put("# Benchmarks\n", "", "").is_err());
    }
}

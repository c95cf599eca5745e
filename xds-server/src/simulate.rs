//! `meridian simulate`.

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use meridian_simulator::cases::{self, Given, Library, Recipe};
use meridian_simulator::gate::{Entry, judge};
use meridian_simulator::report::{Report, document, page, table};
use meridian_simulator::study::study;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// What `meridian simulate` is told.
#[derive(Args)]
pub struct Options {
    /// A case; may be given several times. Without it all of them, and the gate is held.
    #[arg(long = "case", value_name = "NAME")]
    cases: Vec<String>,
    /// A trace of yours instead, on three and on eight regions; may be given several times. Formats: azure, mooncake, servegen, day.
    #[arg(long = "trace", value_name = "FORMAT:PATH")]
    traces: Vec<Given>,
    /// Runs of each case, each with another seed.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=100))]
    seeds: u64,
    /// Writes the tables with what is assumed, as Markdown.
    #[arg(long, value_name = "PATH")]
    markdown: Option<PathBuf>,
    /// Writes a page with charts: one file that needs no network.
    #[arg(long, value_name = "PATH")]
    html: Option<PathBuf>,
    /// Lists the cases.
    #[arg(long)]
    list: bool,
}

/// Simulates, and prints what comes of it.
///
/// # Errors
/// A case that there is not, a trace that cannot be read, a file that cannot be written, and a gate that is not met.
pub fn simulate(options: &Options, out: &mut impl Write) -> Result<()> {
    if options.list {
        for recipe in cases::all() {
            writeln!(out, "{:<13} {}", recipe.name(), recipe.about())?;
        }
        return Ok(());
    }
    let recipes = chosen(options)?;
    let library = Library::read()?;
    let all = recipes.len() * options.seeds as usize;
    let cases = study(&library, &recipes, options.seeds, told(all))?;
    let report = Report {
        fit: library.fit,
        seeds: options.seeds,
        gate: judge(cases.iter().map(Entry::from)),
        cases,
    };
    for case in &report.cases {
        writeln!(
            out,
            "{}: {}\n\n{}",
            case.name,
            case.about,
            table::case(case)
        )?;
    }
    writeln!(out, "{}", table::gate(&report.gate))?;
    if let Some(path) = &options.markdown {
        write(path, &document::document(&report))?;
    }
    if let Some(path) = &options.html {
        let page = page::page(&report).map_err(|error| anyhow!("a chart: {error}"))?;
        write(path, &page)?;
    }
    let is_whole = options.cases.is_empty() && options.traces.is_empty();
    let problems = report.gate.problems();
    if is_whole && !problems.is_empty() {
        let lines: Vec<String> = problems.iter().map(|one| format!("\n  {one}")).collect();
        bail!("the gate is not met:{}", lines.concat());
    }
    Ok(())
}

fn chosen(options: &Options) -> Result<Vec<Recipe>> {
    let mut all = cases::all();
    for name in &options.cases {
        if !all.iter().any(|recipe| recipe.name() == name) {
            let known: Vec<&str> = all.iter().map(Recipe::name).collect();
            bail!(
                "--case: there is no case `{name}`; there are: {}",
                known.join(", ")
            );
        }
    }
    if options.cases.is_empty() && options.traces.is_empty() {
        return Ok(all);
    }
    all.retain(|recipe| options.cases.iter().any(|name| recipe.name() == name));
    for given in &options.traces {
        let path = given.path.display();
        let text =
            std::fs::read_to_string(&given.path).with_context(|| format!("--trace: {path}"))?;
        all.extend(given.recipes(&text).context("--trace")?);
    }
    Ok(all)
}

/// Says on stderr how far it is, once for each case and seed.
fn told(all: usize) -> impl Fn(&str, u64) + Sync {
    let through = AtomicUsize::new(0);
    move |case, seed| {
        let through = through.fetch_add(1, Ordering::Relaxed) + 1;
        // Nothing is lost if stderr is closed.
        let _ = writeln!(std::io::stderr(), "{through}/{all} {case}, seed {seed}");
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).with_context(|| path.display().to_string())
}

//! `meridian-simulate`: runs cases through every routing strategy and prints the results side by side.

use anyhow::{Context, Result, anyhow, bail};
use clap::Parser;
use meridian_simulator::cases::{self, CaseSpec, Library, TraceFile};
use meridian_simulator::gate::{CaseScores, evaluate};
use meridian_simulator::report::{Report, document, html, table};
use meridian_simulator::study::study;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Runs traces through Meridian's decisions and through other routing strategies, and prints the results side by side.
#[derive(Parser)]
#[command(
    name = "meridian-simulate",
    version,
    after_help = "Examples:
  meridian simulate --list
  meridian simulate --seeds 1 --html decision-quality.html"
)]
struct Arguments {
    /// Case to run; repeatable. Without --case and --trace, all cases run and the gate decides the exit status.
    #[arg(long = "case", value_name = "NAME")]
    cases: Vec<String>,
    /// Trace file to run on three and on eight regions; repeatable. Formats: azure, mooncake, servegen, day.
    #[arg(long = "trace", value_name = "FORMAT:PATH")]
    traces: Vec<TraceFile>,
    /// Runs of each case, each with its own seed.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=100))]
    seeds: u64,
    /// Write the tables to this file as Markdown.
    #[arg(long, value_name = "PATH")]
    markdown: Option<PathBuf>,
    /// Write the tables and charts to this file as one HTML page that loads nothing from the network.
    #[arg(long, value_name = "PATH")]
    html: Option<PathBuf>,
    /// List the cases and exit.
    #[arg(long)]
    list: bool,
}

fn main() -> ExitCode {
    match simulate(&Arguments::parse(), &mut std::io::stdout()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // There is no other place to report the error if stderr is closed.
            let _ = writeln!(std::io::stderr(), "meridian-simulate: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs what the arguments ask for.
///
/// # Errors
/// An unknown case, an unreadable trace, an output file that cannot be written, or a failed gate.
fn simulate(arguments: &Arguments, out: &mut impl Write) -> Result<()> {
    if arguments.list {
        for spec in cases::all() {
            writeln!(out, "{:<13} {}", spec.name(), spec.description())?;
        }
        return Ok(());
    }
    let specs = selected(arguments)?;
    let library = Library::read()?;
    let runs = specs.len() * arguments.seeds as usize;
    let cases = study(&library, &specs, arguments.seeds, progress(runs))?;
    let report = Report {
        fit: library.fit,
        seeds: arguments.seeds,
        gate: evaluate(cases.iter().map(CaseScores::from)),
        cases,
    };
    print(&report, out)?;
    write_files(&report, arguments)?;
    let is_whole = arguments.cases.is_empty() && arguments.traces.is_empty();
    let failures = report.gate.failures();
    if is_whole && !failures.is_empty() {
        let lines: Vec<String> = failures.iter().map(|one| format!("\n  {one}")).collect();
        bail!("the gate failed:{}", lines.concat());
    }
    Ok(())
}

/// The cases that the arguments name; all of them without `--case` and `--trace`.
fn selected(arguments: &Arguments) -> Result<Vec<CaseSpec>> {
    let mut selected = cases::all();
    for name in &arguments.cases {
        if !selected.iter().any(|spec| spec.name() == name) {
            let known: Vec<&str> = selected.iter().map(CaseSpec::name).collect();
            bail!(
                "--case: there is no case `{name}`; there are: {}",
                known.join(", ")
            );
        }
    }
    if arguments.cases.is_empty() && arguments.traces.is_empty() {
        return Ok(selected);
    }
    selected.retain(|spec| arguments.cases.iter().any(|name| spec.name() == name));
    for trace in &arguments.traces {
        let path = trace.path.display();
        let text =
            std::fs::read_to_string(&trace.path).with_context(|| format!("--trace: {path}"))?;
        selected.extend(trace.specs(&text).context("--trace")?);
    }
    Ok(selected)
}

/// Reports each finished (case, seed) on stderr.
fn progress(runs: usize) -> impl Fn(&str, u64) + Sync {
    let finished = AtomicUsize::new(0);
    move |case, seed| {
        let finished = finished.fetch_add(1, Ordering::Relaxed) + 1;
        // Progress is optional: a closed stderr must not end the run.
        let _ = writeln!(std::io::stderr(), "{finished}/{runs} {case}, seed {seed}");
    }
}

fn print(report: &Report, out: &mut impl Write) -> Result<()> {
    for case in &report.cases {
        writeln!(
            out,
            "{}: {}\n\n{}",
            case.name,
            case.description,
            table::case(case)
        )?;
    }
    writeln!(out, "{}", table::gate(&report.gate))?;
    Ok(())
}

fn write_files(report: &Report, arguments: &Arguments) -> Result<()> {
    if let Some(path) = &arguments.markdown {
        write(path, &document::document(report))?;
    }
    if let Some(path) = &arguments.html {
        let page = html::page(report).map_err(|error| anyhow!("cannot draw a chart: {error}"))?;
        write(path, &page)?;
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).with_context(|| path.display().to_string())
}

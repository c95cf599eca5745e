//! Reports of a study.

use crate::cases::{Library, all};
use crate::gate::{CaseScores, evaluate};
use crate::report::{Report, document, html, table};
use crate::strategy::Strategy;
use crate::study::study;

fn report() -> Report {
    let library = Library::read().unwrap();
    let mut specs = all();
    specs.retain(|spec| spec.name() == "azure-code-3");
    let cases = study(&library, &specs, 2, |_, _| ()).unwrap();
    Report {
        fit: library.fit,
        seeds: 2,
        gate: evaluate(cases.iter().map(CaseScores::from)),
        cases,
    }
}

#[test]
fn the_page_loads_nothing() {
    let report = report();
    let page = html::page(&report).unwrap();
    // Everything that makes a browser load a resource.
    for part in ["src=", "<link", "<script", "@import", "url("] {
        assert!(!page.contains(part), "`{part}` is in the page");
    }
    let charts: Vec<&str> = page
        .split("<svg")
        .skip(1)
        .filter_map(|part| Some(part.split_once("</svg>")?.0))
        .collect();
    assert_eq!(charts.len(), 12);
    for (index, chart) in charts.iter().enumerate() {
        let svg = format!("<svg{chart}</svg>");
        let parsed = roxmltree::Document::parse(&svg).unwrap();
        let texts: Vec<&str> = parsed
            .descendants()
            .filter_map(|node| Some(node.text()?.trim()))
            .collect();
        if index > 0 {
            for strategy in Strategy::ALL {
                assert!(
                    texts.contains(&strategy.name()),
                    "{} is not in {texts:?}",
                    strategy.name()
                );
            }
        }
    }
}

#[test]
fn the_document_has_the_tables_of_the_run() {
    let report = report();
    let text = document::document(&report);
    assert!(text.starts_with(document::HEAD));
    assert!(text.contains(document::COMMAND));
    assert!(text.contains(&table::gate(&report.gate).to_string()));
    assert!(text.contains(&table::pinned(&report.gate).to_string()));
    assert!(text.contains(&table::case(&report.cases[0]).to_string()));
    assert_eq!(
        text.contains("**failed**"),
        !report.gate.failures().is_empty()
    );
}

#[test]
fn the_document_in_the_repository_was_generated() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/decision-quality.md");
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.starts_with(document::HEAD));
    let specs = all();
    assert!(text.contains(&format!("{} cases, 3 seeds each", specs.len())));
    for spec in &specs {
        assert!(
            text.contains(&format!("\n### {}\n", spec.name())),
            "{}",
            spec.name()
        );
    }
    for strategy in Strategy::ALL {
        assert_eq!(
            text.matches(&format!("\n| {} ", strategy.name())).count(),
            specs.len(),
            "{}",
            strategy.name()
        );
    }
}

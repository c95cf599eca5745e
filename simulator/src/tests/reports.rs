//! What is told of a study.

use crate::cases::{Library, all};
use crate::gate::{Entry, judge};
use crate::report::{Report, document, page, table};
use crate::strategy::Strategy;
use crate::study::study;

fn report() -> Report {
    let library = Library::read().unwrap();
    let mut recipes = all();
    recipes.retain(|recipe| recipe.name() == "azure-code-3");
    let cases = study(&library, &recipes, 2, |_, _| ()).unwrap();
    Report {
        fit: library.fit,
        seeds: 2,
        gate: judge(cases.iter().map(Entry::from)),
        cases,
    }
}

#[test]
fn the_page_is_one_whole_file() {
    let report = report();
    let page = page::page(&report).unwrap();
    // All that a browser might fetch.
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
            for way in Strategy::ALL {
                assert!(
                    texts.contains(&way.name()),
                    "{} is not in {texts:?}",
                    way.name()
                );
            }
        }
    }
}

#[test]
fn the_document_tells_the_figures_of_the_run() {
    let report = report();
    let text = document::document(&report);
    assert!(text.starts_with(document::HEAD));
    assert!(text.contains(document::COMMAND));
    assert!(text.contains(&table::gate(&report.gate).to_string()));
    assert!(text.contains(&table::pinned(&report.gate).to_string()));
    assert!(text.contains(&table::case(&report.cases[0]).to_string()));
    assert_eq!(text.contains("not met"), !report.gate.problems().is_empty());
}

#[test]
fn the_document_in_the_repository_is_one_that_was_written() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/decision-quality.md");
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.starts_with(document::HEAD));
    let recipes = all();
    assert!(text.contains(&format!("{} cases, 3 seeds each", recipes.len())));
    for recipe in &recipes {
        assert!(
            text.contains(&format!("\n### {}\n", recipe.name())),
            "{}",
            recipe.name()
        );
    }
    for way in Strategy::ALL {
        assert_eq!(
            text.matches(&format!("\n| {} ", way.name())).count(),
            recipes.len(),
            "{}",
            way.name()
        );
    }
}

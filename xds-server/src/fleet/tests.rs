//! The fleet file: valid files and every problem.

use super::{FleetError, Problem, parse};

mod addresses;
mod batch;
mod bounds;
mod control_plane;
mod cut_off;
mod example;
mod fallbacks;
mod findings;
mod form;
mod hosts;
mod mutations;
mod regions;
mod schema;
mod served;
mod signals;
mod urls;
mod values;
mod vector_dbs;
mod zones;

const EXAMPLE: &str = include_str!("tests/example.yaml");

/// The example with its first `from` replaced.
fn edited(from: &str, to: &str) -> String {
    assert!(EXAMPLE.contains(from), "the example has no `{from}`");
    EXAMPLE.replacen(from, to, 1)
}

fn problems(text: &str) -> Vec<Problem> {
    match parse(text) {
        Ok(_) => Vec::new(),
        Err(FleetError::Problems(problems)) => problems,
        Err(other) => panic!("{other}\n{text}"),
    }
}

/// Checks that a file has exactly these problems: the place of each, and a part of its message.
fn check(text: &str, expect: &[(&str, &str)]) {
    let problems = problems(text);
    let places: Vec<&str> = problems.iter().map(|problem| problem.at.as_str()).collect();
    let expected: Vec<&str> = expect.iter().map(|(at, _)| *at).collect();
    assert_eq!(places, expected, "{problems:#?}\n{text}");
    for (problem, (_, says)) in problems.iter().zip(expect) {
        assert!(
            problem.message.contains(says),
            "not `{says}`: {problem}\n{text}"
        );
    }
}

/// An edit of the example with one problem.
fn check_edit(from: &str, to: &str, at: &str, says: &str) {
    check(&edited(from, to), &[(at, says)]);
}

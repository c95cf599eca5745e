#![allow(clippy::unwrap_used, clippy::panic)] // Tests.

use super::*;
use crate::Arguments;
use clap::{CommandFactory, Parser};

/// All subcommands that do something, with their names in a row.
fn leaves(command: &Command, before: &str) -> Vec<(String, Command)> {
    let all = command.get_subcommands();
    let all = all.filter(|subcommand| subcommand.get_name() != "help");
    all.flat_map(|subcommand| {
        let name = format!("{before} {}", subcommand.get_name());
        if subcommand.has_subcommands() {
            leaves(subcommand, &name)
        } else {
            vec![(name, subcommand.clone())]
        }
    })
    .collect()
}

/// The words of a line, as a shell reads them.
fn words(line: &str) -> Vec<String> {
    let line = line.split(" > ").next().unwrap();
    let mut words = vec![String::new()];
    let mut is_quoted = false;
    for c in line.chars() {
        match c {
            '\'' => is_quoted = !is_quoted,
            ' ' if !is_quoted => words.push(String::new()),
            c => words.last_mut().unwrap().push(c),
        }
    }
    words
}

#[test]
fn every_subcommand_has_two_examples_that_parse() {
    let leaves = leaves(&Arguments::command(), "meridian");
    assert!(leaves.len() > 15, "{}", leaves.len());
    for (name, command) in leaves {
        let help = command.get_after_help().map(ToString::to_string);
        let help = help.unwrap_or_default();
        let examples = help.strip_prefix("Examples:\n");
        let examples = examples.unwrap_or_else(|| panic!("`{name}` has no examples"));
        let examples: Vec<&str> = examples.lines().map(str::trim).collect();
        assert!(examples.len() >= 2, "`{name}`: {examples:?}");
        for example in examples {
            assert!(example.starts_with(&name), "`{name}`: {example}");
            let mut words = words(example);
            // Default: `$USER`, which this test need not have.
            if command
                .get_arguments()
                .any(|argument| argument.get_id() == "by")
            {
                words.extend(["--by", "ana"].map(str::to_owned));
            }
            let parsed = Arguments::try_parse_from(words);
            let error = parsed.err().map(|error| error.to_string());
            assert_eq!(error, None, "{example}");
        }
    }
}

#[test]
fn the_command_line_is_consistent() {
    Arguments::command().debug_assert();
}

#[test]
fn the_help_has_the_exit_codes() {
    let help = Arguments::command().render_help().to_string();
    assert!(help.contains(EXIT_CODES), "{help}");
}

#[test]
fn there_is_a_man_page_for_every_subcommand() {
    let directory = tempfile::tempdir().unwrap();
    let pages = directory.path().join("man1");
    man(Arguments::command(), &pages).unwrap();
    let page = |name: &str| fs::read_to_string(pages.join(format!("{name}.1"))).unwrap();
    assert!(page("meridian").contains("Exit codes"));
    for (name, _) in leaves(&Arguments::command(), "meridian") {
        let page = page(&name.replace(' ', "-"));
        assert!(page.contains("Examples"), "{name}");
    }
}

#[test]
fn completions_name_the_subcommands() {
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        let mut script = Vec::new();
        completions(Arguments::command(), shell, &mut script).unwrap();
        let script = String::from_utf8(script).unwrap();
        assert!(script.contains("undrain"), "{shell}");
    }
}

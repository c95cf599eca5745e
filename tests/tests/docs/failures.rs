//! docs/failures.md: each failure names what shows it.

use meridian_tests::scenarios::scenarios;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The heading of the column that names scenarios and tests.
const SHOWN_BY: &str = "shown by";

/// The scenarios, and the tests below a directory.
pub fn shows(root: &Path) -> BTreeSet<String> {
    let mut names = scenarios().iter().map(|each| each.name.into()).collect();
    find(root, &mut names);
    names
}

fn find(dir: &Path, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_str().unwrap();
        if entry.file_type().unwrap().is_dir() {
            if !name.starts_with('.') && name != "target" {
                find(&path, names);
            }
        } else if name.ends_with(".rs") {
            names.extend(tests(&fs::read_to_string(path).unwrap()));
        }
    }
}

/// The names of the tests in a source: the functions behind a test's attribute.
fn tests(source: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut lines = source.lines().map(str::trim);
    while let Some(line) = lines.next() {
        if !line.starts_with("#[test]") && !line.starts_with("#[tokio::test") {
            continue;
        }
        let function = lines.find_map(|line| line.split_once("fn "));
        let name = function.and_then(|(_, rest)| rest.split_once('('));
        names.extend(name.map(|(name, _)| name.to_owned()));
    }
    names
}

/// What is wrong with the tables of a document that say what shows their rows; and how many rows there are.
pub fn unshown(text: &str, names: &BTreeSet<String>) -> (usize, Vec<String>) {
    let (mut rows, mut wrong, mut is_table) = (0, Vec::new(), false);
    for line in text.lines() {
        let Some(row) = line
            .strip_prefix("| ")
            .and_then(|row| row.strip_suffix(" |"))
        else {
            is_table = false;
            continue;
        };
        let (rest, last) = row.rsplit_once(" | ").unwrap_or_default();
        if last == SHOWN_BY {
            is_table = true;
        } else if is_table && !last.starts_with("---") {
            rows += 1;
            let named: Vec<&str> = last.split('`').skip(1).step_by(2).collect();
            if named.is_empty() {
                wrong.push(format!("nothing shows: {rest}"));
            }
            let unknown = named.into_iter().filter(|name| !names.contains(*name));
            wrong.extend(unknown.map(|name| format!("there is no scenario or test `{name}`")));
        }
    }
    (rows, wrong)
}

#[test]
fn a_row_that_nothing_shows_is_found() {
    let source = "#[test]\nfn a_test() {}\n#[tokio::test]\n#[ignore]\nasync fn b_test() {}\nfn no_test() {}\n";
    let names: BTreeSet<String> = tests(source).into_iter().collect();
    let text = "\
| failure | shown by |
| --- | --- |
| fine | `a_test`, `b_test` |
| unknown | `a_test`, `no_test` |
| nothing | none |

| other | table |
| --- | --- |
| of other | `things` |
";
    let (rows, wrong) = unshown(text, &names);
    assert_eq!(rows, 3);
    assert_eq!(
        wrong,
        [
            "there is no scenario or test `no_test`",
            "nothing shows: nothing"
        ]
    );
}

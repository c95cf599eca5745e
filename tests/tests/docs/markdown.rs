//! As much of Markdown as the documents use: links, headings and the anchors that GitHub gives them, blocks of code.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Directories that hold no documents of the project.
const LEFT_OUT: [&str; 3] = ["target", "fixtures", "node_modules"];

/// What is checked of a document.
#[derive(Debug, Default)]
pub struct Document {
    /// Where its links and images lead, as written.
    pub links: Vec<String>,
    /// The anchors of its headings.
    pub anchors: BTreeSet<String>,
}

/// All documents of the repository, by their path in it.
pub fn documents(root: &Path) -> BTreeMap<PathBuf, Document> {
    let mut paths = Vec::new();
    find(root, &mut paths);
    let read = |path: PathBuf| {
        let document = Document::from(fs::read_to_string(&path).unwrap().as_str());
        (path.strip_prefix(root).unwrap().to_owned(), document)
    };
    paths.into_iter().map(read).collect()
}

fn find(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_str().unwrap();
        if entry.file_type().unwrap().is_dir() {
            if !name.starts_with('.') && !LEFT_OUT.contains(&name) {
                find(&path, found);
            }
        } else if is_document(&path) {
            found.push(path);
        }
    }
}

/// Parts of a generated document are no documents: the simulator has two.
fn is_document(path: &Path) -> bool {
    let is_markdown = path.extension().is_some_and(|extension| extension == "md");
    is_markdown && !path.components().any(|part| part.as_os_str() == "src")
}

impl From<&str> for Document {
    fn from(text: &str) -> Self {
        let mut document = Self::default();
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        let mut in_code = false;
        for line in text.lines() {
            if line.trim_start().starts_with("```") {
                in_code = !in_code;
            } else if !in_code {
                document.links.extend(links(line));
                document.anchors.extend(heading(line).map(|title| {
                    let anchor = anchor(title);
                    let before = seen.entry(anchor.clone()).or_default();
                    *before += 1;
                    match *before {
                        1 => anchor,
                        again => format!("{anchor}-{}", again - 1),
                    }
                }));
            }
        }
        document
    }
}

fn heading(line: &str) -> Option<&str> {
    let title = line.trim_start_matches('#');
    let level = line.len() - title.len();
    (1..=6).contains(&level).then(|| title.strip_prefix(' '))?
}

/// As GitHub makes anchors: lower case, spaces as hyphens, without punctuation.
pub fn anchor(title: &str) -> String {
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    let lower = title.trim().to_lowercase();
    lower
        .chars()
        .filter(kept)
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

/// The targets of `[text](target)` and `![text](target)`, outside of code spans.
fn links(line: &str) -> impl Iterator<Item = String> {
    let outside: String = line.split('`').step_by(2).collect::<Vec<_>>().join("`");
    let targets: Vec<String> = outside
        .split("](")
        .skip(1)
        .filter_map(|rest| Some(rest.split_once(')')?.0.to_owned()))
        .collect();
    targets.into_iter()
}

/// Blocks of code, with the language that they name.
pub fn code_blocks(text: &str) -> Vec<(String, String)> {
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(language) = line.trim_start().strip_prefix("```") {
            let code = lines
                .by_ref()
                .take_while(|line| !line.trim_start().starts_with("```"));
            let code = code.collect::<Vec<_>>().join("\n");
            blocks.push((language.trim().to_owned(), code + "\n"));
        }
    }
    blocks
}

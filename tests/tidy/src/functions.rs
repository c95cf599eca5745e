//! Functions fit a screen: 60 lines and 12 branches at most, but for tables.
//!
//! A branch is an `if`, a loop, or an arm of a `match` after the first. A table is a `match` whose arms only name values, or a
//! literal: its arms are no branches, and a function that is nothing but a table may be as long as it likes.

use super::sources::{CRATES, is_for_tests, root, rust_files};
use std::fs;
use std::path::Path;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

const MOST_LINES: usize = 60;
const MOST_BRANCHES: usize = 12;

/// The functions of a file that are too long, or branch too often.
struct Functions {
    found: Vec<String>,
}

impl<'a> Visit<'a> for Functions {
    fn visit_item_mod(&mut self, item: &'a syn::ItemMod) {
        if !is_for_tests(&item.attrs) {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_fn(&mut self, item: &'a syn::ItemFn) {
        if !is_for_tests(&item.attrs) {
            self.function(&item.sig.ident, item.span(), &item.block);
            visit::visit_item_fn(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'a syn::ImplItemFn) {
        self.function(&item.sig.ident, item.span(), &item.block);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'a syn::TraitItemFn) {
        if let Some(block) = &item.default {
            self.function(&item.sig.ident, item.span(), block);
        }
        visit::visit_trait_item_fn(self, item);
    }
}

impl Functions {
    fn function(&mut self, name: &syn::Ident, span: proc_macro2::Span, block: &syn::Block) {
        let lines = block.span().end().line - block.span().start().line + 1;
        let line = span.start().line;
        let mut branches = Branches(0);
        branches.visit_block(block);
        if lines > MOST_LINES && !is_table(block) {
            self.found
                .push(format!("line {line}: `{name}` has {lines} lines"));
        }
        if branches.0 > MOST_BRANCHES {
            let count = branches.0;
            self.found
                .push(format!("line {line}: `{name}` has {count} branches"));
        }
    }
}

/// How often code branches. Functions within functions are counted by themselves.
struct Branches(usize);

impl<'a> Visit<'a> for Branches {
    fn visit_expr_if(&mut self, expression: &'a syn::ExprIf) {
        self.0 += 1;
        visit::visit_expr_if(self, expression);
    }

    fn visit_expr_for_loop(&mut self, expression: &'a syn::ExprForLoop) {
        self.0 += 1;
        visit::visit_expr_for_loop(self, expression);
    }

    fn visit_expr_while(&mut self, expression: &'a syn::ExprWhile) {
        self.0 += 1;
        visit::visit_expr_while(self, expression);
    }

    fn visit_expr_match(&mut self, expression: &'a syn::ExprMatch) {
        if !expression.arms.iter().all(|arm| is_value(&arm.body)) {
            self.0 += expression.arms.len().saturating_sub(1);
        }
        visit::visit_expr_match(self, expression);
    }

    fn visit_item(&mut self, _: &'a syn::Item) {}
}

/// Whether a function is nothing but a table.
fn is_table(block: &syn::Block) -> bool {
    let [syn::Stmt::Expr(expression, _)] = block.stmts.as_slice() else {
        return false;
    };
    match expression {
        syn::Expr::Match(table) => table.arms.iter().all(|arm| is_value(&arm.body)),
        other => is_value(other),
    }
}

/// Whether an expression only names or builds a value.
fn is_value(expression: &syn::Expr) -> bool {
    let mut control = Control(false);
    control.visit_expr(expression);
    !control.0
}

struct Control(bool);

impl<'a> Visit<'a> for Control {
    fn visit_expr(&mut self, expression: &'a syn::Expr) {
        self.0 |= matches!(
            expression,
            syn::Expr::Block(_)
                | syn::Expr::Closure(_)
                | syn::Expr::If(_)
                | syn::Expr::Match(_)
                | syn::Expr::ForLoop(_)
                | syn::Expr::While(_)
                | syn::Expr::Loop(_)
                | syn::Expr::Try(_)
                | syn::Expr::Return(_)
                | syn::Expr::Await(_)
        );
        visit::visit_expr(self, expression);
    }
}

fn too_long(text: &str) -> Vec<String> {
    let mut functions = Functions { found: Vec::new() };
    functions.visit_file(&syn::parse_file(text).unwrap());
    functions.found
}

fn is_of_tests(path: &Path) -> bool {
    let name = path.file_name().unwrap();
    let inside = path.strip_prefix(root()).unwrap();
    let mut dirs = inside.parent().unwrap().iter();
    // The crate `tests` is no test itself.
    name == "tests.rs" || dirs.by_ref().skip(1).any(|dir| dir == "tests")
}

#[test]
fn functions_fit_a_screen() {
    let mut found = Vec::new();
    for each in CRATES {
        for path in rust_files(&root().join(each).join("src")) {
            if is_of_tests(&path) {
                continue;
            }
            let inside = path.strip_prefix(root()).unwrap().display();
            let long = too_long(&fs::read_to_string(&path).unwrap());
            found.extend(long.into_iter().map(|what| format!("{inside}: {what}")));
        }
    }
    found.sort();
    found.dedup();
    assert!(
        found.is_empty(),
        "{} functions:\n{}",
        found.len(),
        found.join("\n")
    );
}

#[test]
fn long_and_branching_functions_are_found() {
    let long = format!("fn f() {{\n{}}}", "g();\n".repeat(MOST_LINES));
    assert_eq!(too_long(&long).len(), 1, "{:?}", too_long(&long));
    let short = format!("fn f() {{\n{}}}", "g();\n".repeat(MOST_LINES - 2));
    assert!(too_long(&short).is_empty());
    let branches = format!("fn f() {{ {} }}", "if a { b() }".repeat(MOST_BRANCHES + 1));
    assert_eq!(too_long(&branches).len(), 1);
    let method = format!("impl T {{ fn f() {{\n{}}} }}", "g();\n".repeat(MOST_LINES));
    assert_eq!(too_long(&method).len(), 1);
}

#[test]
fn tables_and_tests_may_be_long() {
    let arms: String = (0..80)
        .map(|arm| format!("{arm} => \"{arm}\",\n"))
        .collect();
    assert!(
        too_long(&format!(
            "fn f(n: u8) -> &'static str {{ match n {{\n{arms} _ => \"\" }} }}"
        ))
        .is_empty()
    );
    let test = format!(
        "#[cfg(test)] mod t {{ fn f() {{\n{}}} }}",
        "g();\n".repeat(80)
    );
    assert!(too_long(&test).is_empty());
}

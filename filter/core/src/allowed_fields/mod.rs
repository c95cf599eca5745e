//! The fields of a request that a server may be given. A provider runs tools of its own and fetches what a request names, so it can
//! send a prompt, or what it found, to third places. One [table] for each API lists the fields that cannot: everything else is refused
//! by name.
//!
//! The body is read as it stands, without a tree of it: a field that is repeated is checked each time, whichever one the server reads.

mod allowance;
mod table;
mod tools;
mod violation;
mod walk;

use crate::edit::Edit;
pub use allowance::Allowance;
use table::{Table, table};
pub use violation::Violation;
use walk::Walk;

/// Checks a body of the API on a path, and returns what is to be changed in it. The path has no query.
///
/// # Errors
/// The first field that is not allowed, or the place where the body is no JSON.
pub fn check(path: &str, body: &[u8], allowance: Allowance<'_>) -> Result<Vec<Edit>, Violation> {
    static NO_ROWS: Table = Table::new();
    let table = match table(path) {
        Some(table) => table,
        None if allowance.listed_only => return Err(Violation::default()),
        None => &NO_ROWS,
    };
    Walk::new(table, allowance, body).edits()
}

#[cfg(test)]
mod tests;

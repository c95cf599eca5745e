//! The page is part of the program, which is compiled anew once the page was built anew.

use std::{fs, io};

/// Where `scripts/setup page` builds it. A directory that is not there could not be watched.
const PAGE: &str = "../target/page";

fn main() -> io::Result<()> {
    fs::create_dir_all(PAGE)?;
    println!("cargo::rerun-if-changed={PAGE}");
    println!("cargo::rerun-if-changed=build.rs");
    Ok(())
}

//! Every stop of the tour is a test.

use libtest_mimic::{Arguments, Failed, Trial};
use meridian_tests::tour::{Stop, stops};

fn main() {
    let trials = stops()
        .into_iter()
        .map(|stop| Trial::test(stop.name, move || walk(&stop)))
        .collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn walk(stop: &Stop) -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let seen = runtime
        .block_on(stop.walk())
        .map_err(|error| format!("{error:#}"))?;
    #[allow(clippy::print_stdout)] // What was seen, beside the verdict.
    {
        println!("{}: {seen}", stop.name);
    }
    Ok(())
}

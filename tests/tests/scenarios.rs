//! Every scenario is a test.

use libtest_mimic::{Arguments, Failed, Trial};
use meridian_tests::scenarios::{Scenario, scenarios};

fn main() {
    let trials = scenarios()
        .into_iter()
        .map(|scenario| Trial::test(scenario.name, move || run(&scenario)))
        .collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn run(scenario: &Scenario) -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let seen = runtime
        .block_on(scenario.run())
        .map_err(|error| format!("{error:#}"))?;
    #[allow(clippy::print_stdout)] // What was seen, beside the verdict.
    {
        println!("{}: {seen}", scenario.name);
    }
    Ok(())
}

//! Every scenario is a test. Those that are selected run on shared worlds, as many at a time as `--test-threads` says.

use libtest_mimic::{Arguments, Failed, Trial};
use meridian_tests::scenarios::{self, Outcome, Scenario, lanes, scenarios};
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use tokio::runtime::Builder;

fn main() -> Result<ExitCode, std::io::Error> {
    let mut arguments = Arguments::from_args();
    let lanes = arguments.test_threads.unwrap_or_else(lanes);
    let (mut trials, mut selected, mut senders) = (Vec::new(), Vec::new(), BTreeMap::new());
    let is_selective = arguments.filter.is_some();
    let wanted = |scenario: &Scenario| is_selective || scenario.is_usual();
    for scenario in scenarios().into_iter().filter(wanted) {
        let name = scenario.name;
        let (sender, receiver) = channel();
        let receiver = Mutex::new(receiver);
        let trial = Trial::test(name, move || outcome(name, &receiver));
        if !arguments.is_filtered_out(&trial) {
            selected.push(scenario);
        }
        senders.insert(name, sender);
        trials.push(trial);
    }
    if !arguments.list && !arguments.bench {
        // Each of them waits for its own outcome.
        arguments.test_threads = Some(selected.len().max(1));
        let runtime = Builder::new_multi_thread().enable_all().build()?;
        std::thread::spawn(move || {
            runtime.block_on(scenarios::run(selected, lanes.max(1), |outcome| {
                tell(&senders, outcome);
            }));
        });
    }
    Ok(libtest_mimic::run(&arguments, trials).exit_code())
}

type Verdict = Result<String, String>;

fn tell(senders: &BTreeMap<&'static str, Sender<Verdict>>, outcome: Outcome) {
    let verdict = outcome.seen.map_err(|error| format!("{error:#}"));
    if let Some(sender) = senders.get(outcome.name) {
        let _ = sender.send(verdict);
    }
}

fn outcome(name: &str, receiver: &Mutex<Receiver<Verdict>>) -> Result<(), Failed> {
    let receiver = receiver.lock().map_err(|error| error.to_string())?;
    let seen = receiver
        .recv()
        .map_err(|_| "the runner has ended without it")??;
    #[allow(clippy::print_stdout)] // What was seen, beside the verdict.
    {
        println!("{name}: {seen}");
    }
    Ok(())
}

//! The replay for a person.

use super::report::{Group, Replay};
use std::fmt::{Result, Write};

/// The replay as text.
pub fn text(replay: &Replay) -> String {
    let mut text = String::new();
    // Writing into a String cannot fail.
    let _ = write(&mut text, replay);
    text
}

fn write(out: &mut String, replay: &Replay) -> Result {
    let moved: usize = replay.moved.iter().map(|moved| moved.requests).sum();
    let (requests, others) = (replay.requests, replay.others);
    writeln!(
        out,
        "{moved} of {requests} requests would have gone elsewhere; {others} lines are of something else"
    )?;
    for moved in &replay.moved {
        let Group {
            gateway,
            zone,
            model,
            before,
            after,
        } = &moved.of;
        writeln!(
            out,
            "  {}: {zone}, {model} at {gateway}: {before} -> {after}, e.g. {}",
            moved.requests, moved.example
        )?;
    }
    Ok(())
}

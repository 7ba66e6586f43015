//! Load for long, for a moment.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use serde_json::Value;
use uswitch_tests::{privileged, program, running::Running, tester};

use super::{lines, said};

const TINY: &str = "--share 0.1 --rounds 1 --trial 0.05 --resolution 0.4";

fn soak(words: &str) -> Command {
    let mut command = Command::new(tester());
    command.arg("soak").args(words.split(' ')).arg("--json").arg("--uswitch").arg(program());
    command
}

#[test]
fn load_for_long_tells_loss_and_memory() {
    if !privileged() {
        return;
    }
    let output = soak(&format!("--for 1s {TINY}")).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let slices = lines(&output, "soak");
    let total = &lines(&output, "soak_total")[0];
    assert_eq!((&total["fault"], &total["slices"]), (&Value::Null, &slices.len().into()));
    let sum = |key: &str| slices.iter().map(|slice| slice[key].as_u64().unwrap()).sum::<u64>();
    assert_eq!(total["offered"], sum("offered"), "{total}");
    assert_eq!(total["lost"], sum("offered") - sum("received"), "{total}");
    assert!(total["memory_peak"].as_u64() >= total["memory_last"].as_f64().map(|m| m as u64));
    assert!(total["memory_grows"].is_boolean(), "{total}");
    assert!(total["confidence_95"][0].as_f64() <= total["memory_per_hour"].as_f64(), "{total}");
}

#[test]
fn load_for_long_that_is_interrupted_tells_what_was_until_then() {
    if !privileged() {
        return;
    }
    let mut running =
        Running(soak(&format!("--for 10m {TINY}")).stdout(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(running.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.contains(r#""kind":"soak""#)), "a slice is told");
    running.signal("-INT");
    let last = lines.last().expect("the sum is told");
    assert_eq!(running.0.wait().unwrap().code(), Some(130));
    assert!(last.contains(r#""kind":"soak_total""#), "{last}");
}

#[test]
fn a_time_or_a_share_that_makes_no_sense_is_refused() {
    for (words, cure) in [("--for 8d", "as in 90s, 10m or 2h"), ("--share 1.5", "0.5 is half")] {
        let output = soak(words).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{words}: {}", said(&output));
        assert!(said(&output).contains(cure), "{words}: {}", said(&output));
    }
}

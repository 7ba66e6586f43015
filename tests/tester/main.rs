//! The traffic tester, `uswitch-bench`: its counts against a device whose faults are known, and
//! what it does when it is asked for nonsense, stopped, or left alone. Nothing here is timed.

mod ab;
mod bad;
mod device;
mod exact;
mod learning;
mod loads;
mod pictures;
mod quiet;
mod routers;
mod scale;
mod soak;
mod whole;
mod word;

use std::{
    env,
    path::Path,
    process::{Command, Output},
};

use serde_json::Value;
use uswitch_tests::tester;

/// The tester with these words, on a device of ours with these faults, which tells what it did in
/// a file.
fn on_device(words: &str, faults: &str, told: &Path) -> Command {
    let own = env::current_exe().expect("a test knows its own path");
    let exec = format!("{} {} --exact --nocapture --quiet", own.display(), device::NAME);
    let mut command = Command::new(tester());
    command.args(words.split(' ')).args(["--device", "exec", "--exec", &exec, "--json"]);
    command.env(device::FAULTS, faults).env(device::TOLD, told);
    command
}

/// The JSON lines of a kind.
fn lines(output: &Output, kind: &str) -> Vec<Value> {
    let text = String::from_utf8_lossy(&output.stdout);
    let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
    let lines = text.lines().map(parse).filter(|line: &Value| line["kind"] == kind);
    lines.collect()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

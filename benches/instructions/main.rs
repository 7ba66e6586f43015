//! How many instructions the way of a frame takes. Callgrind counts them, and counts alike however
//! loaded the machine is, so that a change is seen which no clock would show.
//!
//! ```text
//! cargo bench -p uswitch-benches --bench instructions                 beside counts.txt
//! cargo bench -p uswitch-benches --bench instructions -- --write      into counts.txt
//! ```
//!
//! counts.txt has the figures that stand. One that leaves its band fails: whoever means it writes
//! the new one down, and why into the CHANGELOG. What another compiler makes of the same source is
//! told and not judged. An instruction is no time, and a miss of the cache none at all: what is
//! faster, the clocks of the other benchmarks say.

#[path = "../cables.rs"]
mod cables;
mod cases;
mod counts;

use std::{env, io, process::Command, process::ExitCode};

use cases::{CASES, Case};
use counts::Counts;

/// Repetitions of which the count is the mean.
const REPEATS: u64 = 100;

/// A case is this program again, under callgrind.
const ROLE: &str = "USWITCH_INSTRUCTIONS_CASE";

fn main() -> ExitCode {
    if let Ok(role) = env::var(ROLE) {
        let case = CASES.iter().find(|case| case.name == role).expect("a case that there is");
        (case.run)(REPEATS);
        return ExitCode::SUCCESS;
    }
    match run(env::args().any(|argument| argument == "--write")) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("instructions: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(write: bool) -> io::Result<ExitCode> {
    let counted = CASES.iter().map(|case| Ok((case.name.to_string(), count(case)?)));
    let now = Counts { compiler: compiler()?, counts: counted.collect::<io::Result<_>>()? };
    if write {
        now.write()?;
        print!("{now}");
        return Ok(ExitCode::SUCCESS);
    }
    let faults = now.beside(&Counts::read()?);
    Ok(if faults == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What one repetition of a case takes: callgrind counts between the entries of
/// [`cases::counted`] and its returns, and nothing else.
fn count(case: &Case) -> io::Result<u64> {
    let callgrind = ["--tool=callgrind", "--callgrind-out-file=/dev/null"];
    let output = Command::new("valgrind")
        .args(callgrind)
        .arg("--toggle-collect=*cases::counted*")
        .arg(env::current_exe()?)
        .env(ROLE, case.name)
        .output()
        .map_err(|error| io::Error::other(format!("cannot run valgrind: {error}")))?;
    let text = String::from_utf8_lossy(&output.stderr);
    let collected = text.lines().find_map(|line| line.split_once("Collected : "));
    let total: Option<u64> = collected.and_then(|(_, number)| number.trim().parse().ok());
    match total {
        Some(total) if output.status.success() && total > 0 => Ok(total / REPEATS),
        _ => Err(io::Error::other(format!("valgrind did not count {}:\n{text}", case.name))),
    }
}

/// Which compiler made this, as it calls itself.
fn compiler() -> io::Result<String> {
    let rustc = env::var_os("RUSTC").unwrap_or("rustc".into());
    let output = Command::new(rustc).arg("--version").output()?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_string())
}

//! Devices that are this program again, in a process of its own, so that their time is their own:
//! whoever starts one calls [`play_if_asked`] first in its `main`.

use std::{
    env,
    io::{self, BufRead, BufReader, Write},
    process::{self, Command, Stdio},
    thread,
};

use netlab::Namespace;
use uswitch::port::tap::{Tap, TapConfig};

use super::{
    LINK, Process,
    bare::{self, Loop, Wait},
};

/// The environment variable that tells a child what it is.
const ROLE: &str = "USWITCH_BENCH_ROLE";

/// Starts this program again in a role, and waits until it is ready.
///
/// # Errors
///
/// It did not start, or did not get ready.
pub(super) fn start(role: &str) -> io::Result<Process> {
    let mut command = Command::new(env::current_exe()?);
    command.env(ROLE, role).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut process = Process::spawn(&mut command)?;
    let mut line = String::new();
    let stdout = process.child().stdout.take().expect("it is piped");
    BufReader::new(stdout).read_line(&mut line)?;
    if line != READY {
        return Err(io::Error::other(format!("the device `{role}` did not start")));
    }
    Ok(process)
}

/// Plays the role for which this process was started, until its parent ends, or returns at once if
/// it was started for none.
pub fn play_if_asked() {
    let Ok(role) = env::var(ROLE) else { return };
    // The parent holds the other end of our standard input: it ends, and so do we.
    thread::spawn(|| {
        let _ = io::stdin().read_line(&mut String::new());
        process::exit(0);
    });
    if let Err(error) = play(&role) {
        // The parent may have been killed, and its namespaces with it.
        eprintln!("the device `{role}` did not start: {}", netlab::reason(&error));
        process::exit(1);
    }
}

fn play(role: &str) -> io::Result<()> {
    let words: Vec<_> = role.split(' ').collect();
    match words[..] {
        ["loop", a, b] => {
            let taps = [tap(a)?, tap(b)?];
            ready()?;
            bare::run(taps, Loop::Pair, Wait::Sleep);
            Ok(())
        }
        _ => panic!("there is no role `{role}`"),
    }
}

fn ready() -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(READY.as_bytes())?;
    stdout.flush()
}

fn tap(namespace: &str) -> io::Result<Tap> {
    let netns = Some(Namespace::open(namespace)?);
    Tap::open(&TapConfig { netns, ..TapConfig::named(LINK) }).map_err(io::Error::other)
}

const READY: &str = "ready\n";

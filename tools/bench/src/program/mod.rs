//! What a person or a script touches: the command line, tables, JSON lines, progress, Ctrl-C.

mod ab;
mod cli;
mod compare;
mod contenders;
mod pictures;
mod quiet;
mod report;
mod rfc2544;
mod rfc2889;
mod scale;
mod signals;
mod soak;
mod table;
mod tcp;
mod throughput;
mod trial;

use std::{io, process::ExitCode};

use clap::Parser;
use uswitch_bench::device::KINDS;

use self::cli::{Cli, Command};

/// Everything was done.
const DONE: u8 = 0;
/// Something could not be done.
const FAILURE: u8 = 1;
/// It was stopped by a signal; what had been measured was told.
const STOPPED: u8 = 130;

/// How a command ended, if not by an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// It did all.
    Done,
    /// Somebody stopped it.
    Stopped,
}

/// Does what the command line says.
pub(crate) fn run() -> ExitCode {
    // Clap tells what makes no sense and ends with its exit code for that: 2.
    let cli = Cli::parse();
    let ending = perform(&cli.command);
    let code = match ending {
        Ok(Ending::Done) => DONE,
        Ok(Ending::Stopped) => {
            complain("stopped: what was measured until then is told, and nothing is left behind");
            STOPPED
        }
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => DONE,
        Err(error) => {
            complain(&netlab::reason(&error));
            FAILURE
        }
    };
    ExitCode::from(code)
}

/// Does one command.
fn perform(command: &Command) -> io::Result<Ending> {
    match command {
        Command::Devices => devices(),
        Command::Trial(options) => trial::run(options),
        Command::Throughput(options) => throughput::run(options),
        Command::Rfc2544(options) => rfc2544::run(options),
        Command::Rfc2889(options) => rfc2889::run(options),
        Command::Tcp(options) => tcp::run(options),
        Command::Compare(options) => compare::run(options),
        Command::Ab(options) => ab::run(options),
        Command::Scale(options) => scale::run(options),
        Command::Soak(options) => soak::run(options),
        Command::Pictures(options) => pictures::run(options),
        Command::Report(options) => report::page_of(options).map(|()| Ending::Done),
    }
}

/// Lists what can be measured.
fn devices() -> io::Result<Ending> {
    let lines = KINDS.iter().map(|(_, name, about)| format!("{name:<16}{about}\n"));
    report::print(&lines.collect::<String>())?;
    Ok(Ending::Done)
}

/// Tells what somebody should know, on standard error. There is nobody to tell that it is closed.
fn complain(sentence: &str) {
    let _ =
        io::Write::write_all(&mut io::stderr(), format!("uswitch-bench: {sentence}\n").as_bytes());
}

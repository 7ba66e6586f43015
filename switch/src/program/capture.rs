//! `uswitch capture`: frames of a switch that runs, into a file, into Wireshark, or a line each.
//!
//! The switch sends pcapng over the control socket (`control/capture.rs`). What comes is taken
//! apart into blocks and each is passed on whole, so that whatever ends this, what was written can
//! be read. Files and filters are the affair of this program and its user: the switch opens no file
//! for anybody, and compiles no expression.

pub(crate) mod extcap;
mod line;
mod pump;

use std::{
    fs::File,
    io::{self, BufReader, IsTerminal},
    net::Shutdown,
    os::{fd::AsFd, unix::net::UnixStream},
    path::PathBuf,
    process::{Command, ExitCode, Stdio},
    thread,
};

use clap::Args;
use crossbeam_channel::bounded;
use uswitch::{capture::SNAPLEN_MAX, topology::Faults};

use self::pump::{Ended, Pump};
use super::{
    control::Request,
    output::{self, DONE, FAILURE, plural},
    signals::{self, Wish},
    steer::{Line, PATIENCE},
};

/// What compiles expressions.
const COMPILER: &str = "tcpdump";

/// See the frames of a switch that runs: in Wireshark, in a file, or a line each
///
/// Writes pcapng: `uswitch capture | wireshark -k -i -`. On a terminal it is a line a frame, with
/// times in UTC. Frames that are dropped say why. It ends with Ctrl-C, and tells how many frames
/// were captured and lost; the switch never waits for it.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct CaptureArgs {
    /// Ports, or listening ports with all their clients [default: all ports]
    #[arg(value_name = "PORT")]
    ports: Vec<String>,

    /// Only frames that match, in tcpdump's words: `--filter 'udp port 53'`; takes tcpdump
    #[arg(long, value_name = "EXPR")]
    filter: Option<String>,

    /// Only frames that are dropped, with the reason
    #[arg(long)]
    drops: bool,

    /// End after so many frames
    #[arg(short, long, value_name = "N")]
    count: Option<String>,

    /// Octets of each frame that are kept [default: all]
    #[arg(short, long, value_name = "OCTETS")]
    snaplen: Option<String>,

    /// Write to this file; `-`: standard output
    #[arg(short, long, value_name = "FILE")]
    write: Option<PathBuf>,

    /// The name of the switch, or the path of its control socket [default: the only one that
    /// runs, or `uswitch`]
    #[arg(short, long, value_name = "NAME")]
    name: Option<String>,
}

/// What is to be captured, and where it goes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Capture {
    name: Option<String>,
    ports: Vec<String>,
    drops: bool,
    filter: Option<String>,
    snaplen: Option<u32>,
    count: Option<u64>,
    /// A file or a pipe. `None`: standard output.
    write: Option<PathBuf>,
    /// Lines, if standard output is a terminal.
    lines: bool,
}

impl CaptureArgs {
    /// Understands what was typed; `name` stood in front of the command.
    pub(crate) fn settle(self, name: Option<String>) -> Result<Capture, Faults> {
        let mut faults = Faults::default();
        let number = |option: &str, text: Option<String>, max: u64| {
            let number = text.map(|text| match text.parse::<u64>() {
                Ok(number) if number <= max => Ok(number),
                _ => Err(format!("{option} `{}` is not 0 to {max}", text.escape_debug())),
            });
            number.transpose().map_err(Faults::from)
        };
        let count = faults.note("capture", number("--count", self.count, u64::MAX)).flatten();
        let snaplen = number("--snaplen", self.snaplen, SNAPLEN_MAX.into());
        let snaplen = faults.note("capture", snaplen).flatten().map(|octets| octets as u32);
        let lines = self.write.is_none();
        let write = self.write.filter(|path| path.as_os_str() != "-");
        let capture = Capture {
            name: self.name.or(name),
            ports: self.ports,
            drops: self.drops,
            filter: self.filter,
            // As for tcpdump, 0 is no limit.
            snaplen: snaplen.filter(|octets| *octets > 0),
            count: count.filter(|frames| *frames > 0),
            write,
            lines,
        };
        faults.or(Some(capture))
    }
}

/// Does it.
pub(crate) fn run(capture: &Capture) -> ExitCode {
    match capture.run() {
        Ok(code) => code,
        Err(sentences) => {
            sentences.lines().for_each(output::complain);
            ExitCode::from(FAILURE)
        }
    }
}

impl Capture {
    fn run(&self) -> Result<ExitCode, String> {
        let filter = self.filter.as_deref().map(compile).transpose()?;
        let failed = |error: io::Error| netlab::reason(&error);
        let wishes = signals::listen().map_err(failed)?;
        let stream = self.ask(filter)?;
        // The file is made when there is something to be written to it.
        let lines = self.write.is_none() && self.lines && io::stdout().is_terminal();
        let (out, name) = self.open()?;
        let switch = stream.get_ref().try_clone().map_err(failed)?;
        let (wish_end, wished) = bounded(1);
        thread::spawn(move || {
            while let Ok(wish) = wishes.recv() {
                if wish != Wish::Report {
                    // It is full: it was wished before.
                    let _ = wish_end.try_send(());
                    // The switch sends what it still has, and the end. If it has gone, it is over.
                    let _ = switch.shutdown(Shutdown::Write);
                }
            }
        });
        let pump = Pump { stream, out, lines, count: self.count, wished };
        let (seen, ended) = pump.run();
        if io::stderr().is_terminal() {
            output::tell("");
        }
        output::tell(format_args!(
            "{} captured, {} lost",
            plural(seen.captured as usize, "frame"),
            seen.lost
        ));
        Ok(ExitCode::from(match ended {
            Ended::Asked | Ended::NobodyReads => DONE,
            Ended::Switch => {
                output::tell("the switch has ended; the capture is whole");
                DONE
            }
            Ended::CutOff(why) => {
                output::complain(format_args!(
                    "the switch has hung up: {why}; what came until then is there"
                ));
                FAILURE
            }
            Ended::Failed(error) => {
                let reason = netlab::reason(&error);
                output::complain(format_args!("{name} could not be written: {reason}"));
                FAILURE
            }
        }))
    }

    /// Asks the switch for it; what comes then is pcapng.
    fn ask(&self, filter: Option<Vec<[u32; 4]>>) -> Result<BufReader<UnixStream>, String> {
        let request = Request::Capture {
            ports: self.ports.clone(),
            drops: self.drops,
            snaplen: self.snaplen,
            filter,
        };
        Line::open(self.name.as_deref(), PATIENCE)?.give(&request)
    }

    /// Where it is written to, and what that is called.
    fn open(&self) -> Result<(File, String), String> {
        let Some(path) = &self.write else {
            let stdout = io::stdout().as_fd().try_clone_to_owned();
            let stdout = stdout.map_err(|error| netlab::reason(&error))?;
            return Ok((stdout.into(), "standard output".to_owned()));
        };
        let name = path.display().to_string();
        match File::create(path) {
            Ok(file) => Ok((file, name)),
            Err(error) => Err(format!("{name} could not be made: {}", netlab::reason(&error))),
        }
    }
}

/// Makes a program of an expression. tcpdump does it: to link its library would take it into a
/// program that otherwise needs none.
fn compile(expression: &str) -> Result<Vec<[u32; 4]>, String> {
    let command = Command::new(COMPILER)
        .args(["-ddd", "-y", "EN10MB", "--", expression])
        .stdin(Stdio::null())
        .output();
    let output = command.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => format!(
            "--filter takes `{COMPILER}`, which compiles the expression, and it is not there: \
             install it, as in `apt install {COMPILER}`"
        ),
        _ => format!("{COMPILER} could not be run: {}", netlab::reason(&error)),
    })?;
    let expression = expression.escape_debug();
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let why = said.lines().last().unwrap_or_default().trim_start_matches("tcpdump: ");
        return Err(format!("--filter `{expression}` makes no sense to {COMPILER}: {why}"));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let program = text.lines().skip(1).map(|line| {
        let mut numbers = line.split(' ').map(|word| word.parse().ok());
        Some([numbers.next()??, numbers.next()??, numbers.next()??, numbers.next()??])
    });
    let program: Option<Vec<_>> = program.collect();
    program
        .filter(|program| !program.is_empty())
        .ok_or_else(|| format!("--filter `{expression}`: {COMPILER} says what is no program"))
}

/// What a capture has brought.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    captured: u64,
    lost: u64,
}

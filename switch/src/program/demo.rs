//! `uswitch demo`: three hosts, each in a network namespace of its own, with the switch between
//! them. They ping each other, one pushes data to another, and what was measured is shown.
//!
//! It needs no other program and leaves nothing behind: the namespaces are held by descriptor
//! and the TAPs are not persistent, so that the kernel takes all of it away with this process,
//! however that ends.

use std::{
    io::{self, IsTerminal},
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use clap::Args;

use super::{
    output::{self, FAILURE},
    signals::{self, Wish},
};
use lab::Lab;
use paint::Paint;
use progress::Progress;
use results::Results;
use rights::Ground;

mod lab;
mod measure;
mod paint;
mod progress;
mod results;
mod rights;

/// Show the switch at work: three hosts, pings, speeds; nothing is left behind
///
/// Makes three network namespaces, each with a TAP, starts the switch between them, pings all
/// pairs by IPv4 and IPv6, pushes TCP and small frames from the first to the second, and shows
/// what came of it. It needs no other program, and no root where the kernel lets users make
/// namespaces; where it does not, it says which command helps.
#[derive(Clone, Debug, Args)]
pub(crate) struct DemoArgs {
    /// Seconds that each of the four measurements takes, 0.1 to 3600
    #[arg(long, value_name = "N", value_parser = seconds, default_value = "1.5")]
    pub(crate) seconds: Duration,

    /// Print one JSON object in place of pictures and tables
    #[arg(short, long)]
    pub(crate) json: bool,

    /// Print the tables only: no picture, no progress, no hint
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// Runs the demo. No thread may have been started before: a user namespace is for a process that
/// has one only.
pub(crate) fn run(args: &DemoArgs) -> ExitCode {
    let started = Instant::now();
    let ground = match rights::obtain() {
        Ok(ground) => ground,
        Err(missing) => {
            rights::tell(&missing);
            return ExitCode::from(FAILURE);
        }
    };
    let stop = match listen() {
        Ok(stop) => stop,
        Err(error) => {
            return failed(format_args!(
                "signals cannot be listened to: {}",
                netlab::reason(&error)
            ));
        }
    };
    let workers = thread::available_parallelism().map_or(1, |n| n.get()).min(lab::WORKERS_MAX);
    let mut results = Results::new(ground == Ground::UserNamespace, workers, args.seconds);
    let outcome = perform(args, &mut results, &stop);
    results.elapsed = started.elapsed();
    results.interrupted = stop.load(Ordering::Relaxed);
    // Without a switch there is nothing to be shown.
    let shown = match results.status {
        Some(_) => show(args, &results),
        None => ExitCode::from(FAILURE),
    };
    match outcome {
        _ if results.interrupted => failed("interrupted; namespaces and devices are gone again"),
        Err(why) => failed(why),
        Ok(()) if !results.all_reached() => {
            failed(format_args!("only {} came back", results.reached()))
        }
        Ok(()) => shown,
    }
}

/// Makes the hosts, lets them talk, and notes what comes of it. When this returns, the hosts are
/// gone.
fn perform(args: &DemoArgs, results: &mut Results, stop: &AtomicBool) -> Result<(), String> {
    let live = io::stderr().is_terminal() && !paint::is_dumb();
    let mut progress = Progress::new(args.quiet, live, Paint::for_stream(&io::stderr()));
    // Into a pipe or a file everything goes at once, at the end.
    if io::stdout().is_terminal() && !args.quiet && !args.json {
        output::print(&results.picture(Paint::for_stream(&io::stdout())));
    }
    progress.step("namespaces");
    let mut lab = Lab::start(results.workers)?;
    progress.done("3 hosts, 3 ports");
    let measured = measure::all(&lab, args.seconds, results, &mut progress, stop);
    progress.end();
    let events = lab.events();
    results.status = Some(lab.stop());
    measured.map_err(|error| netlab::reason(&error))?;
    events.map_or(Ok(()), Err)
}

/// What was found out, on standard output.
fn show(args: &DemoArgs, results: &Results) -> ExitCode {
    if args.json {
        return output::print(&results.json());
    }
    let paint = Paint::for_stream(&io::stdout());
    let mut text = String::new();
    if !args.quiet && !io::stdout().is_terminal() {
        text += &results.picture(paint);
    }
    text += &results.tables(paint);
    if !args.quiet && results.is_whole() {
        text += &results.farewell(paint);
    }
    output::print(&text)
}

/// A flag that goes up when somebody wishes the end.
fn listen() -> io::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let wishes = signals::listen()?;
    let raise = stop.clone();
    thread::Builder::new().name("wishes".into()).spawn(move || {
        if wishes.iter().any(|wish| wish == Wish::End) {
            raise.store(true, Ordering::Relaxed);
        }
        // Who wishes more is not to be told that nobody listens.
        wishes.iter().for_each(drop);
    })?;
    Ok(stop)
}

fn failed(why: impl std::fmt::Display) -> ExitCode {
    output::complain(why);
    ExitCode::from(FAILURE)
}

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.1..=3600.0).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("a number of seconds from 0.1 to 3600".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_a_number_within_bounds() {
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        assert_eq!(seconds("3600"), Ok(Duration::from_secs(3600)));
        for text in ["", "0", "0.09", "-1", "3601", "1s", "nan", "inf"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}

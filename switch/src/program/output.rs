//! Where words go: what was asked for to standard output, everything else to standard error.
//! Nothing in here panics, whoever has closed whatever; and while a switch runs, nothing in here
//! waits for who reads them ([`Writing`]). The lines of the log have their look from `log.rs`.

mod pen;

use std::{
    fmt::Display,
    io::{self, ErrorKind, Write},
    process::ExitCode,
};

use uswitch::topology::Faults;

pub(crate) use self::pen::Writing;
use self::pen::{Stream, pen};

/// Everything was done.
pub(crate) const DONE: u8 = 0;
/// Something could not be done.
pub(crate) const FAILURE: u8 = 1;
/// What was typed makes no sense; nothing was done.
pub(crate) const USAGE: u8 = 2;

/// Where a failure or an event is told: one line, behind the program's name. There is nobody to
/// tell that standard error is closed.
pub(crate) fn complain(sentence: impl Display) {
    tracing::error!("{sentence}");
}

/// Where it is told that somebody should look at something: the same.
pub(crate) fn warn(sentence: impl Display) {
    tracing::warn!("{sentence}");
}

/// Where it is told what was done: one line.
pub(crate) fn tell(sentence: impl Display) {
    tracing::info!("{sentence}");
}

/// The text without anything that moves a terminal's cursor: names may come from strangers.
pub(crate) fn one_line(text: &str) -> String {
    escaped(text, |c| c.is_control())
}

/// The same of a text that may have lines.
pub(crate) fn plain(text: &str) -> String {
    escaped(text, |c| c.is_control() && c != '\n')
}

fn escaped(text: &str, bad: impl Fn(char) -> bool) -> String {
    let shown = |c: char| match bad(c) {
        true => c.escape_default().to_string(),
        false => c.to_string(),
    };
    text.chars().map(shown).collect()
}

/// Where lines are told that are made up for a person already: the text as it is.
pub(crate) fn raw(text: &str) {
    match pen() {
        Some(pen) => pen.tell(Stream::Error, text.to_owned()),
        None => drop(io::stderr().write_all(text.as_bytes())),
    }
}

/// Tells all faults of a command line.
pub(crate) fn usage(faults: &Faults) -> ExitCode {
    faults.iter().for_each(complain);
    complain("nothing was done; `uswitch --help` tells what can be said");
    ExitCode::from(USAGE)
}

/// Writes to standard output what a switch that runs was asked for, and does not wait for who reads
/// it.
pub(crate) fn report(text: String) {
    match pen() {
        Some(pen) => pen.tell(Stream::Output, text),
        None => drop(print_more(&text)),
    }
}

/// Writes to standard output. A reader who has closed the pipe has seen enough: no failure. All
/// else (a full disk) is one, and has been told.
pub(crate) fn print(text: &str) -> ExitCode {
    let written = print_more(text);
    ExitCode::from(written.err().unwrap_or(DONE))
}

/// The same for one of several texts.
///
/// # Errors
///
/// The exit code, when there is nobody to print the others for.
pub(crate) fn print_more(text: &str) -> Result<(), u8> {
    // What was told before comes first.
    if let Some(pen) = pen() {
        pen.finish();
    }
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    written.map_err(|error| {
        if error.kind() == ErrorKind::BrokenPipe {
            return DONE;
        }
        let reason = netlab::reason(&error);
        complain(format_args!("standard output could not be written: {reason}"));
        FAILURE
    })
}

/// A number of things: `1 port`, `2 ports`.
pub(crate) fn plural(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complaint_is_one_line() {
        assert_eq!(one_line("é: a\nb \u{1b}[1m"), "é: a\\nb \\u{1b}[1m");
    }
}

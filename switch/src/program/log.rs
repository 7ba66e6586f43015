//! The log of the program, by `tracing`: how its lines look, and where they go. A line is a
//! sentence for people, with its level in front for the journal (sd-daemon(3)), or a JSON object
//! for machines.
//!
//! `--quiet` and `--verbose` are levels: whoever tells something says how much it matters and does
//! not ask who wants to know. Lines go where everything goes that is written (`output.rs`), so that
//! they and the reports have one order, and who does not read them makes nobody wait (`pen.rs`).
//!
//! The formats are ours, for `tracing-subscriber`'s own begin with a time, a level and a module,
//! and its JSON has no `port`. Between device and device there is no log: nothing there may be told
//! frame by frame, and a rule of tests/tidy says so.

use std::{
    env, fmt, io,
    time::{SystemTime, UNIX_EPOCH},
};

use nix::sys::stat::fstat;
use serde::Serialize;
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};
use uswitch::topology::Faults;

use super::{cli::Options, output};

/// Device and inode of the journal's socket, for whom standard error is that.
const JOURNAL_VARIABLE: &str = "JOURNAL_STREAM";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Text,
    Journal,
    Json,
}

/// Whether what `--log-format` says is JSON.
///
/// # Errors
///
/// A sentence: there is no such format.
pub(crate) fn is_json(word: Option<&str>) -> Result<bool, Faults> {
    match word {
        None | Some("text") => Ok(false),
        Some("json") => Ok(true),
        Some(word) => Err(format!("`{}` is neither `text` nor `json`", word.escape_debug()).into()),
    }
}

/// Says how the lines of a switch look, and which there are; or, without one, those of whatever
/// else is done, which speaks to people. Once, before anything is told.
pub(crate) fn begin(switch: Option<&Options>) {
    let level = match switch {
        Some(options) if options.quiet => Level::WARN,
        Some(options) if !options.verbose => Level::INFO,
        _ => Level::DEBUG,
    };
    let lines = tracing_subscriber::fmt()
        .event_format(Format::of(switch))
        .with_max_level(level)
        .with_writer(|| Line)
        .finish();
    // Whoever began before has begun the same.
    let _ = tracing::subscriber::set_global_default(lines);
}

impl Format {
    fn of(switch: Option<&Options>) -> Format {
        let journal = || env::var(JOURNAL_VARIABLE).is_ok_and(|stream| is_stderr(&stream));
        match switch {
            Some(options) if options.log_json => Format::Json,
            Some(_) if journal() => Format::Journal,
            _ => Format::Text,
        }
    }

    /// The line for a sentence, with its end.
    fn line(self, level: Level, sentence: &str, time: f64) -> String {
        // Names may come from strangers.
        let sentence = output::one_line(sentence);
        let who = match level {
            Level::ERROR => "uswitch: ",
            Level::WARN => "uswitch: warning: ",
            _ => "",
        };
        match self {
            Format::Text => format!("{who}{sentence}\n"),
            Format::Journal => format!("<{}>{who}{sentence}\n", priority(level)),
            // It only moves a terminal's cursor.
            Format::Json if sentence.is_empty() => String::new(),
            Format::Json => {
                let (port, text) = (port(&sentence), &*sentence);
                let record = Record { time, level: name(level), port, text };
                serde_json::to_string(&record).expect("texts and a number") + "\n"
            }
        }
    }
}

impl<S, N> FormatEvent<S, N> for Format
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut sentence = Sentence::default();
        event.record(&mut sentence);
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        // Milliseconds are enough.
        let time = since.as_millis() as f64 / 1e3;
        writer.write_str(&self.line(*event.metadata().level(), &sentence.0, time))
    }
}

/// What an event says.
#[derive(Default)]
struct Sentence(String);

impl Visit for Sentence {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

/// Takes a line, whole, to where everything is written.
struct Line;

impl io::Write for Line {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        output::raw(&String::from_utf8_lossy(octets));
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether this is what standard error is. It may be inherited by who has another.
fn is_stderr(stream: &str) -> bool {
    let stat = fstat(io::stderr());
    stat.is_ok_and(|stat| stream == format!("{}:{}", stat.st_dev, stat.st_ino))
}

/// The priority of syslog(3).
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    }
}

/// The level's name in JSON, by syslog(3).
fn name(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warning",
        Level::INFO => "info",
        _ => "debug",
    }
}

#[derive(Serialize)]
struct Record<'a> {
    /// Seconds since 1970.
    time: f64,
    level: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<&'a str>,
    text: &'a str,
}

/// The port that a sentence is about: it has the name in front, as all of them do.
fn port(sentence: &str) -> Option<&str> {
    let (name, _) = sentence.split_once(": ")?;
    let names = name.chars().all(|c| c.is_ascii_alphanumeric() || "._-@".contains(c));
    (names && !name.is_empty() && name != "metrics" && !name.starts_with('-')).then_some(name)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[test]
    fn a_line_is_text_or_has_its_level() {
        let line = |format: Format, level, text| format.line(level, text, 1.5);
        assert_eq!(line(Format::Text, Level::INFO, "tap0: created"), "tap0: created\n");
        assert_eq!(line(Format::Text, Level::ERROR, "no"), "uswitch: no\n");
        let warning = "tap0: it is a TUN";
        let warned = format!("<4>uswitch: warning: {warning}\n");
        assert_eq!(line(Format::Journal, Level::WARN, warning), warned);
        assert_eq!(line(Format::Journal, Level::ERROR, "no"), "<3>uswitch: no\n");
        assert_eq!(line(Format::Journal, Level::DEBUG, "a\nb"), "<7>a\\nb\n");
        assert_eq!(line(Format::Journal, Level::INFO, "a"), "<6>a\n");
        assert_eq!(
            line(Format::Json, Level::WARN, warning),
            "{\"time\":1.5,\"level\":\"warning\",\"port\":\"tap0\",\
             \"text\":\"tap0: it is a TUN\"}\n"
        );
        assert_eq!(
            line(Format::Json, Level::INFO, "switching \"2\" ports"),
            "{\"time\":1.5,\"level\":\"info\",\"text\":\"switching \\\"2\\\" ports\"}\n"
        );
        assert_eq!(line(Format::Json, Level::INFO, ""), "");
    }

    #[test]
    fn what_is_told_is_a_line_of_its_own_with_its_level() {
        #[derive(Clone, Default)]
        struct Heard(Arc<Mutex<String>>);
        impl io::Write for Heard {
            fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
                *self.0.lock().unwrap() += str::from_utf8(octets).unwrap();
                Ok(octets.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let heard = Heard::default();
        let writer = heard.clone();
        let lines = tracing_subscriber::fmt().event_format(Format::Journal);
        let lines = lines.with_max_level(Level::INFO).with_writer(move || writer.clone()).finish();
        tracing::subscriber::with_default(lines, || {
            output::complain("no");
            output::warn(format_args!("{}: odd", "tap0"));
            output::tell("a");
            tracing::debug!("only for --verbose");
        });
        let lines = "<3>uswitch: no\n<4>uswitch: warning: tap0: odd\n<6>a\n";
        assert_eq!(*heard.0.lock().unwrap(), lines);
    }

    #[test]
    fn the_journal_is_who_has_our_standard_error() {
        let stat = fstat(io::stderr()).unwrap();
        assert!(is_stderr(&format!("{}:{}", stat.st_dev, stat.st_ino)));
        assert!(!is_stderr(&format!("{}:{}", stat.st_dev, stat.st_ino + 1)) && !is_stderr(""));
    }
}

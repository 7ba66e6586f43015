//! How a line of the log looks: as a sentence for people, with its level in front for the journal
//! (sd-daemon(3)), or as a JSON object for machines. `output.rs` writes it.
//!
//! Why not `tracing`: its subscriber would want a format of our own for all three, and its
//! appender's writer knows one stream, where reports and the log share an order (`pen.rs`). So
//! nothing here would go, and 26 crates and 380 KB would come (0.1, 0.3 and 0.2 of the three, JSON
//! and text, in a program of ten lines, stripped).

use std::{
    env, io,
    sync::OnceLock,
    time::{SystemTime, UNIX_EPOCH},
};

use nix::sys::stat::fstat;
use serde::Serialize;
use uswitch::topology::Faults;

/// Device and inode of the journal's socket, for whom standard error is that.
const JOURNAL_VARIABLE: &str = "JOURNAL_STREAM";

/// Chosen once, by the switch. Everything else that the program does speaks to people.
static FORMAT: OnceLock<Format> = OnceLock::new();

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Text,
    Journal,
    Json,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    /// Something could not be done.
    Error,
    /// It could, but somebody should look at it.
    Warning,
    /// Something was done.
    Info,
}

impl Level {
    /// Of a complaint.
    pub(super) fn of(complaint: &str) -> Level {
        if complaint.starts_with("warning: ") { Level::Warning } else { Level::Error }
    }

    /// The priority of syslog(3).
    fn priority(self) -> u8 {
        match self {
            Level::Error => 3,
            Level::Warning => 4,
            Level::Info => 6,
        }
    }
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

/// Says how the lines of a switch look, once.
pub(crate) fn choose(json: bool) {
    let journal = || env::var(JOURNAL_VARIABLE).is_ok_and(|stream| is_stderr(&stream));
    let format = match json {
        true => Format::Json,
        false if journal() => Format::Journal,
        false => Format::Text,
    };
    // Whoever chose before has chosen the same.
    let _ = FORMAT.set(format);
}

/// Whether this is what standard error is. It may be inherited by who has another.
fn is_stderr(stream: &str) -> bool {
    let stat = fstat(io::stderr());
    stat.is_ok_and(|stat| stream == format!("{}:{}", stat.st_dev, stat.st_ino))
}

/// The line for a sentence, which has no control characters, with its end.
pub(super) fn line(level: Level, sentence: &str) -> String {
    let format = FORMAT.get().copied().unwrap_or(Format::Text);
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    // Milliseconds are enough.
    format.line(level, sentence, since.as_millis() as f64 / 1e3)
}

impl Format {
    fn line(self, level: Level, sentence: &str, time: f64) -> String {
        let who = if level == Level::Info { "" } else { "uswitch: " };
        match self {
            Format::Text => format!("{who}{sentence}\n"),
            Format::Journal => format!("<{}>{who}{sentence}\n", level.priority()),
            // It only moves a terminal's cursor.
            Format::Json if sentence.is_empty() => String::new(),
            Format::Json => {
                let text = sentence.strip_prefix("warning: ").unwrap_or(sentence);
                let record = Record { time, level, port: port(text), text };
                serde_json::to_string(&record).expect("texts and a number") + "\n"
            }
        }
    }
}

#[derive(Serialize)]
struct Record<'a> {
    /// Seconds since 1970.
    time: f64,
    level: Level,
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
    use super::*;

    #[test]
    fn a_line_is_text_or_has_its_level() {
        let line = |format: Format, level, text| format.line(level, text, 1.5);
        assert_eq!(line(Format::Text, Level::Info, "tap0: created"), "tap0: created\n");
        assert_eq!(line(Format::Text, Level::Error, "no"), "uswitch: no\n");
        let warning = "warning: tap0: it is a TUN";
        assert_eq!(
            line(Format::Journal, Level::of(warning), warning),
            format!("<4>uswitch: {warning}\n")
        );
        assert_eq!(line(Format::Journal, Level::of("no"), "no"), "<3>uswitch: no\n");
        assert_eq!(line(Format::Journal, Level::Info, "a"), "<6>a\n");
        assert_eq!(
            line(Format::Json, Level::of(warning), warning),
            "{\"time\":1.5,\"level\":\"warning\",\"port\":\"tap0\",\
             \"text\":\"tap0: it is a TUN\"}\n"
        );
        assert_eq!(
            line(Format::Json, Level::Info, "switching \"2\" ports"),
            "{\"time\":1.5,\"level\":\"info\",\"text\":\"switching \\\"2\\\" ports\"}\n"
        );
        assert_eq!(line(Format::Json, Level::Info, ""), "");
    }

    #[test]
    fn the_journal_is_who_has_our_standard_error() {
        let stat = fstat(io::stderr()).unwrap();
        assert!(is_stderr(&format!("{}:{}", stat.st_dev, stat.st_ino)));
        assert!(!is_stderr(&format!("{}:{}", stat.st_dev, stat.st_ino + 1)) && !is_stderr(""));
    }
}

//! Where results go: tables or JSON lines to standard output, JSON lines to a file.

use std::{
    env, fs,
    fs::File,
    io::{self, Write},
    path::{Path, PathBuf},
    thread,
    time::SystemTime,
};

use serde_json::{Value, json};
use uswitch_bench::{page, plan::Size};

use super::cli::{Output, Page};

/// The results of one run.
pub(crate) struct Report {
    json: bool,
    file: Option<(PathBuf, File)>,
    /// Where the page goes, and what stands on it.
    page: Option<(PathBuf, Vec<Value>)>,
}

impl Report {
    /// Begins with what was measured where. The file is made before anything else is.
    ///
    /// # Errors
    ///
    /// The file cannot be made, or what comes of [`Report::line`].
    pub(crate) fn begin(output: &Output) -> io::Result<Report> {
        let file = output.output.as_ref().map(|path| match File::create(path) {
            Ok(file) => Ok((path.clone(), file)),
            Err(error) => Err(told(path, &error)),
        });
        let page = output.html.clone().map(|path| (path, Vec::new()));
        let mut report = Report { json: output.json, file: file.transpose()?, page };
        let command: Vec<_> = env::args_os().map(|word| word.to_string_lossy().into()).collect();
        report.line(&machine(command))?;
        Ok(report)
    }

    /// A result for programs. At once: whoever is killed has told all until then.
    ///
    /// # Errors
    ///
    /// The disk is full, or the reader of standard output is gone.
    pub(crate) fn line(&mut self, value: &Value) -> io::Result<()> {
        let line = format!("{value}\n");
        if let Some((path, file)) = &mut self.file {
            file.write_all(line.as_bytes()).map_err(|error| told(path, &error))?;
        }
        if let Some((path, lines)) = &mut self.page
            && value["kind"] != "trial"
        {
            lines.push(value.clone());
            write_page(path, lines)?;
        }
        if self.json { print(&line) } else { Ok(()) }
    }

    /// A result for people.
    ///
    /// # Errors
    ///
    /// The reader of standard output is gone, or its disk is full.
    pub(crate) fn text(&self, text: &str) -> io::Result<()> {
        if self.json { Ok(()) } else { print(text) }
    }
}

/// Makes a page of results that were written before. A last line that was cut is left out.
///
/// # Errors
///
/// The file is not there, has no results, or the page cannot be written.
pub(crate) fn page_of(options: &Page) -> io::Result<()> {
    let (shown, lines) = (options.results.display(), lines_of(&options.results)?);
    if lines.iter().all(|line| line["kind"].as_str().is_none_or(|kind| kind == "run")) {
        let text = format!("there are no results in `{shown}`: `--output FILE` writes some");
        return Err(io::Error::other(text));
    }
    write_page(&options.html, &lines)
}

/// What was written before, without a last line that was cut.
///
/// # Errors
///
/// The file cannot be read.
pub(crate) fn lines_of(file: &Path) -> io::Result<Vec<Value>> {
    let text = fs::read_to_string(file).map_err(|error| {
        let (shown, reason) = (file.display(), netlab::reason(&error));
        io::Error::other(format!("`{shown}` could not be read: {reason}"))
    })?;
    Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
}

fn write_page(path: &Path, lines: &[Value]) -> io::Result<()> {
    fs::write(path, page::page(lines)).map_err(|error| told(path, &error))
}

/// Writes to standard output.
pub(crate) fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(|error| {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return error;
        }
        let reason = netlab::reason(&error);
        unwritten(format!("standard output could not be written: {reason}"))
    })
}

/// A size for programs: a number, or the name of a mix.
pub(crate) fn size(size: Size) -> Value {
    match size {
        Size::Octets(octets) => octets.into(),
        Size::Imix => size.to_string().into(),
    }
}

pub(crate) fn told(path: &Path, error: &io::Error) -> io::Error {
    let reason = netlab::reason(error);
    unwritten(format!("`{}` could not be written: {reason}", path.display()))
}

fn unwritten(sentence: String) -> io::Error {
    // Nothing else in here is written to a disk.
    io::Error::new(io::ErrorKind::StorageFull, sentence)
}

/// Whether an error is of a report that could not be written: no device has it.
pub(crate) fn is_own(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::BrokenPipe)
}

/// What every report begins with: absolute figures mean nothing without it.
fn machine(command: Vec<String>) -> Value {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name"));
    json!({
        "kind": "run",
        "version": env!("CARGO_PKG_VERSION"),
        "command": command,
        "unix_seconds": since.as_secs(),
        "kernel": read("/proc/sys/kernel/osrelease"),
        "processors": thread::available_parallelism().map_or(0, usize::from),
        "processor": model.map(|model| model.trim_start_matches([' ', '\t', ':'])),
    })
}

//! What is wrong with a file: as a person wants to see it, with the line and a caret, and as a
//! program does.

use std::{
    cell::OnceCell,
    env,
    io::{self, IsTerminal},
    ops::Range,
    process::ExitCode,
};

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use serde::{Deserialize, Serialize};

use super::{Fault, File};
use crate::program::output::{self, FAILURE, USAGE};

/// Faults that are shown at the most.
const FAULTS_SHOWN_MAX: usize = 50;

/// Octets of lines that are shown with a fault at the most; of more, only the place is told.
const EXCERPT_OCTETS_MAX: usize = 16 * 1024;

/// Faults that programs are told at the most; the last of them says how many there are.
const FAULTS_JSON_MAX: usize = 1000;

/// Everything that is wrong with a file and with what was typed beside it.
#[derive(Debug)]
pub(crate) struct Told {
    /// `None`: it could not be read.
    file: Option<Box<File>>,
    faults: Vec<Fault>,
    /// Faults that nobody has kept.
    more: usize,
    /// The same of a file that it names.
    beside: Option<Box<Told>>,
    /// Where the lines of the file begin: of a large one that is not looked for again and again.
    lines: OnceCell<Vec<usize>>,
}

impl From<String> for Told {
    /// A file that could not be read, and why.
    fn from(sentence: String) -> Told {
        let faults = vec![Fault { sentence, places: Vec::new() }];
        Told { file: None, faults, more: 0, beside: None, lines: OnceCell::new() }
    }
}

impl Told {
    /// In the order of the file; what is not in it comes first.
    pub(super) fn new(file: File, mut faults: Vec<Fault>) -> Told {
        faults.sort_by_key(|fault| fault.places.first().map(|place| place.start));
        Told { file: Some(file.into()), faults, more: 0, beside: None, lines: OnceCell::new() }
    }

    /// With as many faults that were counted only.
    pub(super) fn and_more(self, more: usize) -> Told {
        Told { more, ..self }
    }

    /// With those of a file that it names.
    pub(super) fn beside(self, other: Option<Told>) -> Told {
        Told { beside: other.map(Box::new), ..self }
    }

    /// All faults that were kept, each with where it is from.
    fn all(&self) -> impl Iterator<Item = (&Told, &Fault)> {
        let beside = self.beside.iter().flat_map(|told| told.faults.iter().map(|f| (&**told, f)));
        self.faults.iter().map(move |fault| (self, fault)).chain(beside)
    }

    /// How many there are.
    fn count(&self) -> usize {
        self.all().count() + self.more + self.beside.as_ref().map_or(0, |told| told.more)
    }

    /// For a person.
    pub(crate) fn text(&self, colours: bool) -> String {
        let renderer = if colours { Renderer::styled() } else { Renderer::plain() };
        let shown = self.all().take(FAULTS_SHOWN_MAX);
        let mut texts: Vec<_> =
            shown.map(|(told, fault)| told.render(fault, &renderer) + "\n").collect();
        if let more @ 1.. = self.count().saturating_sub(FAULTS_SHOWN_MAX) {
            texts.push(format!("and {more} more\n"));
        }
        texts.join("\n")
    }

    fn render(&self, fault: &Fault, renderer: &Renderer) -> String {
        let title = Level::ERROR.primary_title(output::plain(&fault.sentence));
        let (Some(File { name, text, .. }), [place, others @ ..]) =
            (self.file.as_deref(), &*fault.places)
        else {
            return renderer.render(&[Group::with_title(title)]);
        };
        // Of a large file only these lines are looked at.
        let lines = lines_round(text, &fault.places);
        let (line, column) = self.position(text, place.start);
        if lines.end - lines.start > EXCERPT_OCTETS_MAX {
            let origin = Origin::path(output::plain(name)).line(line).char_column(column);
            return renderer.render(&[title.element(origin)]);
        }
        let within = |place: &Range<usize>| {
            let end = place.end.clamp(place.start, lines.end);
            place.start - lines.start..end - lines.start
        };
        let at = AnnotationKind::Primary.span(within(place));
        let others = others
            .iter()
            .map(|other| AnnotationKind::Context.span(within(other)).label("first here"));
        let snippet = Snippet::source(&text[lines.clone()]).path(output::plain(name));
        let snippet = snippet.line_start(self.position(text, lines.start).0).annotation(at);
        renderer.render(&[title.element(snippet.annotations(others))])
    }

    /// Line and column of an octet, both from 1 on; a column is a letter.
    fn position(&self, text: &str, at: usize) -> (usize, usize) {
        let lines = self.lines.get_or_init(|| {
            let behind = text.match_indices('\n').map(|(at, _)| at + 1);
            [0].into_iter().chain(behind).collect()
        });
        let line = lines.partition_point(|begin| *begin <= at);
        let before = &text.as_bytes()[lines[line - 1]..at.min(text.len())];
        (line, 1 + String::from_utf8_lossy(before).chars().count())
    }

    /// For a program: an array of objects.
    pub(crate) fn json(&self) -> String {
        let shown = self.all().take(FAULTS_JSON_MAX);
        let mut faults: Vec<_> = shown.map(|(told, fault)| told.facts(fault)).collect();
        let more = format!("there are {} faults in all", self.count());
        if self.count() > FAULTS_JSON_MAX
            && let Some(last) = faults.last_mut()
        {
            *last = JsonFault { file: last.file, line: None, column: None, message: &more };
        }
        serde_json::to_string(&faults).expect("texts and numbers") + "\n"
    }

    fn facts<'a>(&'a self, fault: &'a Fault) -> JsonFault<'a> {
        let file = self.file.as_deref();
        let place = file.zip(fault.places.first());
        let place = place.map(|(file, place)| self.position(&file.text, place.start));
        JsonFault {
            file: file.map(|file| &*file.name),
            line: place.map(|(line, _)| line),
            column: place.map(|(_, column)| column),
            message: &fault.sentence,
        }
    }

    /// For whoever asks from afar: as many as fit into about so many octets.
    pub(crate) fn shown(&self, octets_max: usize) -> Vec<Shown> {
        let mut octets = 0;
        let shown = self.all().take(FAULTS_SHOWN_MAX).map(|(told, fault)| {
            let JsonFault { file, line, column, message } = told.facts(fault);
            let (file, message) = (file.map(str::to_owned), message.to_owned());
            Shown { file, line, column, message, shown: told.render(fault, &Renderer::plain()) }
        });
        let fits = |fault: &Shown| {
            octets += fault.message.len() + fault.shown.len();
            octets <= octets_max
        };
        let mut shown: Vec<_> = shown.take_while(fits).collect();
        if let more @ 1.. = self.count() - shown.len() {
            let message = format!("and {more} more");
            shown.push(Shown { shown: message.clone(), message, ..Shown::default() });
        }
        shown
    }

    /// A line for each, of many the first.
    pub(crate) fn sentences(&self) -> String {
        let faults = self.all().take(FAULTS_SHOWN_MAX).map(|(told, fault)| {
            let JsonFault { file, line, column, message } = told.facts(fault);
            match (file, line, column) {
                (Some(file), Some(line), Some(column)) => {
                    format!("{file}:{line}:{column}: {}", output::one_line(message))
                }
                _ => output::one_line(message),
            }
        });
        faults.collect::<Vec<_>>().join("\n")
    }

    /// Whether the file could be read: then something is wrong with what it says.
    pub(crate) fn was_read(&self) -> bool {
        self.file.is_some()
    }

    /// Tells a person, on standard error.
    pub(crate) fn show(&self) {
        let colours = io::stderr().is_terminal() && env::var_os("NO_COLOR").is_none();
        output::raw(&(self.text(colours) + "\n"));
    }

    /// Tells a person, and that nothing was done.
    pub(crate) fn refuse(&self) -> ExitCode {
        self.show();
        output::complain("nothing was done");
        self.code()
    }

    /// What the program ends with: a file that cannot be read is nobody's wrong word.
    pub(crate) fn code(&self) -> ExitCode {
        ExitCode::from(if self.file.is_some() { USAGE } else { FAILURE })
    }
}

/// One fault, for whoever asks a switch from afar.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(crate) struct Shown {
    pub(crate) file: Option<String>,
    pub(crate) line: Option<usize>,
    pub(crate) column: Option<usize>,
    pub(crate) message: String,
    /// For a person, with the line and a caret.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) shown: String,
}

/// What [`Told::show`] writes, of these.
pub(crate) fn show(faults: &[Shown]) -> String {
    let texts: Vec<_> = faults.iter().map(|fault| fault.shown.clone() + "\n").collect();
    texts.join("\n") + "\n"
}

#[derive(Serialize)]
struct JsonFault<'a> {
    file: Option<&'a str>,
    line: Option<usize>,
    column: Option<usize>,
    message: &'a str,
}

/// The whole lines from the first of these places to the last.
fn lines_round(text: &str, places: &[Range<usize>]) -> Range<usize> {
    let first = places.iter().map(|place| place.start).min().unwrap_or_default();
    let last = places.iter().map(|place| place.end).max().unwrap_or_default();
    let (before, behind) = (&text.as_bytes()[..first], &text.as_bytes()[last.min(text.len())..]);
    let begin = before.iter().rposition(|octet| *octet == b'\n').map_or(0, |at| at + 1);
    let end = behind.iter().position(|octet| *octet == b'\n').map_or(text.len(), |at| last + at);
    begin..end
}

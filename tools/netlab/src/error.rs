//! Errors: a sentence that names the thing, in front of what the kernel said.
//!
//! The functions of this library return `io::Error`. Its text is the sentence; the kernel's
//! reason is its source and is not repeated in the text. [`explain`] prints both.

use std::{error::Error, fmt, io};

/// The whole chain of an error in one line: the sentence, then the reasons, the nearest first.
pub fn explain(error: &io::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(reason) = source {
        text.push_str(": ");
        text.push_str(&reason.to_string());
        source = reason.source();
    }
    text
}

/// The same without the system's number, which says nothing to a person.
pub fn reason(error: &io::Error) -> String {
    let text = explain(error);
    // It stands at the end, behind what the system itself said.
    let end = text.find(" (os error ").unwrap_or(text.len());
    text[..end].to_owned()
}

/// The kernel's error number, however many sentences stand in front of it.
pub fn errno(error: &io::Error) -> Option<i32> {
    let mut found = error.raw_os_error();
    let mut source = error.source();
    while let (None, Some(reason)) = (found, source) {
        found = reason.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error);
        source = reason.source();
    }
    found
}

/// Puts a sentence in front of an error. The kind of the error stays.
pub(crate) fn sentence(text: impl Into<String>, source: impl Into<io::Error>) -> io::Error {
    let source = source.into();
    io::Error::new(source.kind(), Sentence { text: text.into(), source: Some(source) })
}

/// An error with no reason but the sentence itself.
pub(crate) fn refused(kind: io::ErrorKind, text: impl Into<String>) -> io::Error {
    io::Error::new(kind, Sentence { text: text.into(), source: None })
}

#[derive(Debug)]
struct Sentence {
    text: String,
    source: Option<io::Error>,
}

impl fmt::Display for Sentence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Error for Sentence {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_and_the_reason_survive_two_sentences() {
        let kernel = io::Error::from_raw_os_error(libc::EPERM);
        let error = sentence("the lab did not start", sentence("link `a` did not go up", kernel));
        assert_eq!(error.to_string(), "the lab did not start");
        assert_eq!(errno(&error), Some(libc::EPERM));
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        let whole = explain(&error);
        assert!(whole.starts_with("the lab did not start: link `a` did not go up: "), "{whole}");
    }

    #[test]
    fn a_bare_sentence_has_no_number() {
        let error = refused(io::ErrorKind::NotFound, "there is no link `a`");
        assert_eq!(errno(&error), None);
        assert_eq!(explain(&error), "there is no link `a`");
    }

    #[test]
    fn a_reason_for_a_person_has_no_number() {
        assert_eq!(reason(&io::Error::from_raw_os_error(28)), "No space left on device");
        assert_eq!(reason(&io::Error::other("a sentence")), "a sentence");
    }
}

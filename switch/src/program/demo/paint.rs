//! Colours, where somebody sees them: on a terminal, and not with NO_COLOR (no-color.org).

use std::{env, io::IsTerminal};

/// Paints words, or leaves them as they are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paint {
    coloured: bool,
}

impl Paint {
    /// As this stream wants it.
    pub(super) fn for_stream(stream: &impl IsTerminal) -> Paint {
        let refused = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Paint { coloured: stream.is_terminal() && !refused && !is_dumb() }
    }

    /// Leaves everything as it is.
    #[cfg(test)]
    pub(super) fn plain() -> Paint {
        Paint { coloured: false }
    }

    /// Paints everything.
    #[cfg(test)]
    pub(super) fn coloured() -> Paint {
        Paint { coloured: true }
    }

    pub(super) fn bold(self, text: &str) -> String {
        self.with("1", text)
    }

    pub(super) fn dim(self, text: &str) -> String {
        self.with("2", text)
    }

    pub(super) fn red(self, text: &str) -> String {
        self.with("31", text)
    }

    pub(super) fn green(self, text: &str) -> String {
        self.with("32", text)
    }

    pub(super) fn cyan(self, text: &str) -> String {
        self.with("36", text)
    }

    /// Select Graphic Rendition (ECMA-48, 8.3.117).
    fn with(self, code: &str, text: &str) -> String {
        if self.coloured && !text.is_empty() {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

/// A terminal that can neither paint nor go back on a line.
pub(super) fn is_dumb() -> bool {
    env::var_os("TERM").is_none_or(|term| term == "dumb" || term.is_empty())
}

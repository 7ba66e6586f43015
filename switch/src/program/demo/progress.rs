//! What is being done, on standard error: on a terminal one line that is written again and again,
//! elsewhere a line for each step that is done.

use std::{
    io::{self, Write},
    time::Duration,
};

use super::paint::Paint;

/// Steps of the whole run.
const STEPS: usize = 6;

/// Cells of the bar.
const BAR_CELLS: usize = 24;

/// How often the line is written again.
pub(super) const INTERVAL: Duration = Duration::from_millis(50);

/// To the first column, and erase the line (ECMA-48: CR, then EL).
const REWRITE: &str = "\r\x1b[2K";

/// How it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    Silent,
    Lines,
    Live,
}

/// The progress of a run, step by step.
pub(super) struct Progress {
    manner: Manner,
    paint: Paint,
    number: usize,
    what: &'static str,
}

impl Progress {
    /// Of a run that has not begun.
    pub(super) fn new(quiet: bool, live: bool, paint: Paint) -> Progress {
        let manner = match (quiet, live) {
            (true, _) => Manner::Silent,
            (false, true) => Manner::Live,
            (false, false) => Manner::Lines,
        };
        Progress { manner, paint, number: 0, what: "" }
    }

    /// The next step begins.
    pub(super) fn step(&mut self, what: &'static str) {
        self.number += 1;
        self.what = what;
        self.show(0.0, "");
    }

    /// The step is so far, 0 to 1, and this is how it looks.
    pub(super) fn show(&self, share: f64, figure: &str) {
        if self.manner == Manner::Live {
            write(&format!("{REWRITE}{}", self.line(share, figure)));
        }
    }

    /// The step is done.
    pub(super) fn done(&self, figure: &str) {
        match self.manner {
            Manner::Silent => {}
            Manner::Lines => {
                let (number, what) = (self.number, self.what);
                write(&format!("{number}/{STEPS} {what:<18} {figure}\n"));
            }
            Manner::Live => self.show(1.0, figure),
        }
    }

    /// Takes the line away.
    pub(super) fn end(&self) {
        if self.manner == Manner::Live {
            write(REWRITE);
        }
    }

    fn line(&self, share: f64, figure: &str) -> String {
        let Progress { paint, number, what, .. } = self;
        let full = (share.clamp(0.0, 1.0) * BAR_CELLS as f64).round() as usize;
        let bar = paint.green(&"━".repeat(full)) + &paint.dim(&"─".repeat(BAR_CELLS - full));
        format!("  {} {what:<18} {bar}  {figure}", paint.dim(&format!("{number}/{STEPS}")))
    }
}

/// There is nobody to tell that standard error is closed.
fn write(text: &str) {
    let mut stderr = io::stderr().lock();
    let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_as_long_at_the_end_as_at_the_start_and_fits() {
        let mut progress = Progress::new(true, true, Paint::plain());
        progress.step("TCP, four streams");
        let lines = [0.0, 0.5, 1.0, 7.0].map(|share| progress.line(share, "21.42 Gbit/s"));
        assert_eq!(
            lines[1],
            format!("  1/6 TCP, four streams  {}{}  21.42 Gbit/s", "━".repeat(12), "─".repeat(12))
        );
        assert!(lines.iter().all(|line| line.chars().count() == 63), "{lines:?}");
    }
}

//! `uswitch doctor`: looks at this machine and says in sentences what is in the way of a switch,
//! and what to type. `facts` gathers, `findings` judges; nothing is changed, and what is made to
//! be looked at (a TAP in a namespace of its own) is gone afterwards.

mod facts;
mod findings;

use std::{fmt::Write, process::ExitCode};

use serde::Serialize;

use self::findings::{Finding, Level};
use super::output;

/// Looks, tells, and says by its exit code whether a switch can work here. With `json` it tells
/// by one object in one line.
pub(crate) fn run(json: bool) -> ExitCode {
    let findings = findings::findings(&facts::gather());
    let report = Report { usable: usable(&findings), findings: &findings };
    let text = if json {
        serde_json::to_string(&report).expect("nothing in there refuses") + "\n"
    } else {
        report.text()
    };
    let printed = output::print(&text);
    if printed != ExitCode::from(output::DONE) || report.usable {
        return printed;
    }
    ExitCode::from(output::FAILURE)
}

fn usable(findings: &[Finding]) -> bool {
    findings.iter().all(|finding| finding.level != Level::Failure)
}

/// All of it.
#[derive(Serialize)]
struct Report<'a> {
    /// Whether a switch can work here.
    usable: bool,
    findings: &'a [Finding],
}

impl Report<'_> {
    /// A line for each finding, and below it the command that helps, to be copied from there.
    fn text(&self) -> String {
        let mut text = String::new();
        for Finding { check, level, sentence, command } in self.findings {
            let level = level.word();
            let _ = writeln!(text, "{level:<8} {check:<12} {}", shown(sentence));
            if let Some(command) = command {
                let _ = writeln!(text, "{:<22}{}", "", shown(command));
            }
        }
        let end = match self.usable {
            true => "A switch can work here.",
            false => "A switch cannot work here until the failures are mended.",
        };
        text + end + "\n"
    }
}

/// Without anything that moves a terminal's cursor: programs and devices name themselves.
fn shown(text: &str) -> String {
    text.chars().flat_map(|c| escaped(c).into_iter().flatten()).collect()
}

fn escaped(c: char) -> [Option<char>; 2] {
    if c.is_control() { [Some('\\'), Some('?')] } else { [Some(c), None] }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(level: Level) -> Finding {
        let (sentence, command) = ("it is \u{1b}[1m so".into(), Some("do this".into()));
        Finding { check: "tun", level, sentence, command }
    }

    #[test]
    fn findings_are_lines_with_commands_below_and_nothing_moves_the_cursor() {
        let findings = [finding(Level::Warning)];
        let text = Report { usable: usable(&findings), findings: &findings }.text();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "warning  tun          it is \\?[1m so");
        assert_eq!(lines[1].trim(), "do this");
        assert_eq!(lines[2], "A switch can work here.");
    }

    #[test]
    fn a_failure_and_only_that_makes_it_unusable() {
        for level in [Level::Ok, Level::Note, Level::Warning] {
            assert!(usable(&[finding(level)]));
        }
        assert!(!usable(&[finding(Level::Ok), finding(Level::Failure)]));
    }

    #[test]
    fn json_has_the_words_that_people_see() {
        let findings = [finding(Level::Failure)];
        let json = serde_json::to_value(Report { usable: false, findings: &findings }).unwrap();
        assert_eq!(json["usable"], false);
        assert_eq!(json["findings"][0]["level"], "failure");
        assert_eq!(json["findings"][0]["check"], "tun");
        assert_eq!(json["findings"][0]["command"], "do this");
    }

    /// As much as can be tried where there are threads already: no user namespace is made.
    #[test]
    fn this_machine_has_facts_and_each_is_judged() {
        let facts = facts::gather();
        assert!(!facts.kernel.is_empty());
        assert!(facts.processors > 0 && facts.descriptors.soft > 0);
        let findings = findings::findings(&facts);
        assert!(findings.iter().all(|finding| finding.sentence.ends_with('.')));
    }
}

//! `uswitch port kinds`: what can be plugged in, from the table that parses it.

use serde::Serialize;
use uswitch::topology::{COMMON, KINDS, Kind, Setting};

/// One line and one example for each kind; for programs, one object a line with all options.
pub(crate) fn list(json: bool) -> String {
    let line = |kind: &Kind| match json {
        true => {
            let told = serde_json::to_string(&Told::from(kind));
            told.expect("texts can be written as JSON") + "\n"
        }
        false => {
            let example = format!("--port {}", kind.example);
            format!("{:<12}{}\n{:12}{example}\n", kind.name, kind.about, "")
        }
    };
    let lines: String = KINDS.iter().map(line).collect();
    if json { lines } else { format!("{lines}\n`uswitch --help` tells the options of each.\n") }
}

/// The kinds and their options, for the help of `--port`.
pub(crate) fn options() -> String {
    let setting = |Setting { name, value, about, .. }: &Setting| {
        format!("    {:<21} {about}", format!("{name}={value}"))
    };
    let mut lines = Vec::new();
    for kind in KINDS {
        lines.push(format!("  {:<23} {}", kind.form(), kind.about));
        lines.extend(kind.options.iter().map(setting));
    }
    lines.push("  all of them have".to_owned());
    lines.extend(COMMON.iter().map(setting));
    lines.join("\n")
}

#[derive(Serialize)]
struct Told<'a> {
    kind: &'a str,
    form: String,
    about: &'a str,
    example: &'a str,
    options: Vec<ToldOption<'a>>,
}

#[derive(Serialize)]
struct ToldOption<'a> {
    name: &'a str,
    value: &'a str,
    about: &'a str,
    many: bool,
}

impl<'a> From<&'a Kind> for Told<'a> {
    fn from(kind: &'a Kind) -> Told<'a> {
        let option = |setting: &'a Setting| {
            let Setting { name, value, about, many } = *setting;
            ToldOption { name, value, about, many }
        };
        Told {
            kind: kind.name,
            form: kind.form(),
            about: kind.about,
            example: kind.example,
            options: kind.options.iter().chain(COMMON).map(option).collect(),
        }
    }
}

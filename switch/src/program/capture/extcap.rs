//! extcap: Wireshark's way to ask a program which interfaces it has, and to let it capture on one
//! (wireshark, doc/extcap.adoc). A link to this program in the folder that Wireshark names under
//! Help, About, Folders is all that it takes: then the ports of the switches that run are listed
//! with the machine's interfaces.
//!
//! | Wireshark says | and is told |
//! |---|---|
//! | `--extcap-interfaces` | a line for each switch and each of its ports |
//! | `--extcap-dlts` | Ethernet |
//! | `--extcap-config` | the options that it may show |
//! | `--capture --extcap-interface I --fifo F` | frames, into the fifo |
//! | `--extcap-capture-filter EXPR` besides | only those; without `--capture`: whether it is one |
//!
//! Words of later versions are passed over: it asks for nothing that it could not do without.

use std::{ffi::OsString, process::ExitCode};

use super::{Capture, compile};
use crate::program::{
    control,
    output::{self, DONE, FAILURE, one_line},
    steer::{Line, PATIENCE},
};

/// In front of a switch's name and a port's.
const PREFIX: &str = "uswitch:";

/// The words behind the program's name, if they are Wireshark's.
pub(crate) fn words(words: &[OsString]) -> Option<Vec<String>> {
    let words = words.iter().skip(1).map(|word| word.to_string_lossy().into_owned());
    let words: Vec<_> = words.collect();
    words.iter().any(|word| word.starts_with("--extcap-")).then_some(words)
}

/// What was asked.
#[derive(Debug, Default, PartialEq)]
struct Asked {
    interfaces: bool,
    dlts: bool,
    config: bool,
    capture: bool,
    interface: Option<String>,
    fifo: Option<String>,
    filter: Option<String>,
    drops: bool,
}

impl Asked {
    fn read(words: &[String]) -> Asked {
        let mut asked = Asked::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let (option, value) = match word.split_once('=') {
                Some((option, value)) => (option, Some(value.to_owned())),
                None => (word.as_str(), None),
            };
            let mut value = || value.clone().or_else(|| words.next().cloned());
            match option {
                "--extcap-interfaces" => asked.interfaces = true,
                "--extcap-dlts" => asked.dlts = true,
                "--extcap-config" => asked.config = true,
                "--capture" => asked.capture = true,
                "--extcap-interface" => asked.interface = value(),
                "--fifo" => asked.fifo = value(),
                "--extcap-capture-filter" => asked.filter = value(),
                "--drops" => asked.drops = true,
                _ => {}
            }
        }
        asked.filter = asked.filter.filter(|filter| !filter.is_empty());
        asked
    }
}

/// Answers Wireshark.
pub(crate) fn run(words: &[String]) -> ExitCode {
    let asked = Asked::read(words);
    if asked.interfaces {
        return output::print(&interfaces());
    }
    if asked.dlts {
        return output::print("dlt {number=1}{name=EN10MB}{display=Ethernet}\n");
    }
    if asked.config {
        return output::print(
            "arg {number=0}{call=--drops}{display=Only frames that are dropped}{type=boolflag}\
             {tooltip=Each has the reason as a comment}\n",
        );
    }
    if let (false, Some(filter)) = (asked.capture, &asked.filter) {
        // What it prints is shown as what is wrong.
        return match compile(filter) {
            Ok(_) => ExitCode::from(DONE),
            Err(why) => {
                output::print(&format!("{why}\n"));
                ExitCode::from(FAILURE)
            }
        };
    }
    let interface = asked.interface.as_deref().and_then(split);
    let (true, Some((name, port)), Some(fifo)) = (asked.capture, interface, asked.fifo) else {
        output::complain(
            "extcap: Wireshark says what to capture: --capture --extcap-interface \
             uswitch:NAME/PORT --fifo PATH",
        );
        return ExitCode::from(output::USAGE);
    };
    super::run(&Capture {
        name: Some(name.to_owned()),
        ports: port.map(str::to_owned).into_iter().collect(),
        drops: asked.drops,
        filter: asked.filter,
        write: Some(fifo.into()),
        ..Capture::default()
    })
}

/// The switch and the port of an interface. No port: all of them.
fn split(interface: &str) -> Option<(&str, Option<&str>)> {
    let rest = interface.strip_prefix(PREFIX)?;
    Some(match rest.split_once('/') {
        Some((name, port)) => (name, Some(port)),
        None => (rest, None),
    })
}

/// A line for each switch that answers, and for each of its ports.
fn interfaces() -> String {
    let version = env!("CARGO_PKG_VERSION");
    let mut text = format!("extcap {{version={version}}}{{display=uswitch}}\n");
    let mut interface = |value: String, display: String| {
        // Braces are its own.
        let plain = |text: String| one_line(&text).replace(['{', '}'], "?");
        let (value, display) = (plain(value), plain(display));
        text += &format!("interface {{value={value}}}{{display={display}}}\n");
    };
    for name in control::running() {
        let rows = Line::open(Some(&name), PATIENCE).and_then(|mut line| line.ports(None, false));
        let Ok(rows) = rows else { continue };
        interface(format!("{PREFIX}{name}"), format!("switch {name}, all ports"));
        for row in rows {
            let port = row.ifname;
            let display = format!("switch {name}, port {port}");
            interface(format!("{PREFIX}{name}/{port}"), display);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_wireshark_are_understood_and_others_passed_over() {
        let read = |text: &str| {
            let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
            Asked::read(&words)
        };
        let asked = read(
            "--capture --extcap-interface uswitch:lab/a.1 --fifo=/tmp/f --extcap-new-thing \
             --extcap-capture-filter udp --drops",
        );
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(
            asked,
            Asked {
                capture: true,
                interface: text("uswitch:lab/a.1"),
                fifo: text("/tmp/f"),
                filter: text("udp"),
                drops: true,
                ..Asked::default()
            }
        );
        assert!(read("--extcap-interfaces --extcap-version=4.0").interfaces);
        assert_eq!(read("--extcap-capture-filter=").filter, None);
        assert_eq!(split("uswitch:lab/a/b"), Some(("lab", Some("a/b"))));
        assert_eq!(split("uswitch:lab"), Some(("lab", None)));
        assert_eq!(split("eth0"), None);
        let typed = |text: &str| words(&text.split(' ').map(OsString::from).collect::<Vec<_>>());
        assert!(typed("uswitch --extcap-interfaces").is_some());
        assert!(typed("uswitch capture --extcap-interfaces").is_some());
        assert!(typed("--extcap-interfaces --ports a").is_none());
    }
}

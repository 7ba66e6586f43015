//! `uswitch explain --from PORT FRAME`: what would become of a frame, and why. Here are the forms
//! in which a frame can be given, and how the answer is told to a person; the answer itself is the
//! switch's ([`control`](super::control)).

mod describe;
mod words;

use std::{
    io::{self, Read},
    net::IpAddr,
    path::PathBuf,
};

use serde::{Deserialize, Serialize};
use uswitch::{port::pcap, topology::Faults};

pub(crate) use self::describe::{describe, describe_uncut};
use super::{
    output::{one_line, plural},
    report::{columns, fold},
};

/// Octets of a frame that can be explained: two characters each, and all of it is one line of the
/// control socket.
pub(crate) const FRAME_MAX: usize = 30_000;
/// Characters that are read from standard input at the most.
const TEXT_MAX: u64 = 1 << 20;
/// Stands for standard input.
const STDIN: &str = "-";

/// A frame, as it was given.
#[derive(Clone, Debug)]
pub(crate) enum Given {
    /// These octets.
    Octets(Vec<u8>),
    /// The frame of this number in a capture.
    Packet {
        /// The capture.
        file: PathBuf,
        /// Its number, from 1.
        number: u64,
    },
    /// What standard input says.
    Stdin,
}

impl Given {
    /// Reads what was typed.
    ///
    /// # Errors
    ///
    /// Sentences, and where in the words the fault is.
    pub(crate) fn parse(typed: &[String]) -> Result<Given, Faults> {
        match typed {
            [word] if word == STDIN => return Ok(Given::Stdin),
            [word] => {
                if let Some((file, number)) = word.rsplit_once('#') {
                    let number = number.parse().map_err(|_| {
                        let number = number.escape_debug();
                        Faults::from(format!("`{number}`: behind `#` stands a frame's number"))
                    })?;
                    return Ok(Given::Packet { file: file.into(), number });
                }
            }
            _ => {}
        }
        octets(&typed.join(" ")).map(Given::Octets)
    }

    /// The frame.
    ///
    /// # Errors
    ///
    /// Sentences.
    pub(crate) fn octets(&self) -> Result<Vec<u8>, String> {
        let octets = match self {
            Given::Octets(octets) => octets.clone(),
            Given::Packet { file, number } => {
                pcap::read_frame(file, *number).map_err(|error| error.to_string())?
            }
            Given::Stdin => {
                let mut text = String::new();
                io::stdin()
                    .take(TEXT_MAX)
                    .read_to_string(&mut text)
                    .map_err(|error| format!("standard input: {}", netlab::reason(&error)))?;
                let lines = |faults: Faults| faults.iter().collect::<Vec<_>>().join("\n");
                octets(text.trim()).map_err(lines)?
            }
        };
        check(octets)
    }
}

/// Refuses what no line can carry.
fn check(octets: Vec<u8>) -> Result<Vec<u8>, String> {
    if octets.len() > FRAME_MAX {
        let len = octets.len();
        return Err(format!(
            "the frame has {len} octets: {FRAME_MAX} can be explained at the most"
        ));
    }
    Ok(octets)
}

/// Reads hexadecimal or words.
fn octets(text: &str) -> Result<Vec<u8>, Faults> {
    if is_hex(text) {
        return hex(text).and_then(check).map_err(Faults::from);
    }
    words::read(text).map_err(|fault| {
        let mut faults = Faults::default();
        faults.push(one_line(&fault.why));
        // A terminal counts characters; what it would not show as one is not shown.
        let shown = text.chars().map(|c| if c.is_control() { ' ' } else { c });
        faults.push(format!("  {}", shown.collect::<String>()));
        faults.push(format!("  {}{}", " ".repeat(fault.at), "^".repeat(fault.len.max(1))));
        let why = "a frame is hexadecimal, FILE#NUMBER of a capture, `-`, or words such as \
                   `arp who-has 10.0.0.2` or `02:00:00:00:00:01 > broadcast vlan 10`";
        faults.push(why);
        faults
    })
}

fn is_separator(c: char) -> bool {
    c.is_whitespace() || ":-.".contains(c)
}

/// Whether it is meant as hexadecimal: no words are made of these letters alone.
fn is_hex(text: &str) -> bool {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    !digits.is_empty() && digits.chars().all(|c| c.is_ascii_hexdigit() || is_separator(c))
}

/// Reads octets in hexadecimal, with blanks, colons, hyphens and dots between them or not.
///
/// # Errors
///
/// A sentence.
pub(crate) fn hex(text: &str) -> Result<Vec<u8>, String> {
    let text = text.strip_prefix("0x").unwrap_or(text);
    let digit = |c: char| {
        let bad = || format!("`{}` is no hexadecimal digit", c.escape_debug());
        c.to_digit(16).map(|digit| digit as u8).ok_or_else(bad)
    };
    let digits = text.chars().filter(|c| !is_separator(*c)).map(digit);
    let digits = digits.collect::<Result<Vec<u8>, String>>()?;
    let (octets, rest) = digits.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(format!("{} hexadecimal digits are no whole octets", digits.len()));
    }
    Ok(octets.iter().map(|[high, low]| high << 4 | low).collect())
}

/// The answer to `explain`.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Explained {
    pub(crate) frame: Told,
    /// Where it comes in.
    pub(crate) from: String,
    pub(crate) steps: Vec<Step>,
    pub(crate) verdict: Verdict,
    /// The ports that would get it.
    pub(crate) egress: Vec<Egress>,
    /// What the router makes of it, if one of them is its leg.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) routed: Option<Routed>,
}

/// What a frame is.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Told {
    pub(crate) octets: usize,
    /// Its headers, a line each.
    pub(crate) about: Vec<String>,
    /// All of it.
    pub(crate) hex: String,
}

impl Told {
    /// What is told of these octets.
    pub(crate) fn new(octets: &[u8], about: Vec<String>) -> Told {
        let hex = octets.iter().map(|octet| format!("{octet:02x}")).collect();
        Told { octets: octets.len(), about, hex }
    }
}

/// One step of the decision.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Step {
    /// `port`, `header`, `learn`, `reserved`, `destination`, `egress` or `waiting`.
    pub(crate) step: String,
    /// A sentence or two.
    pub(crate) text: String,
}

/// What becomes of it.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Verdict {
    /// `forward`, `flood` or `drop`.
    pub(crate) verdict: String,
    /// What counts it at the port where it comes in.
    pub(crate) counter: String,
    /// What counts there what is learned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) learn: Option<String>,
    pub(crate) text: String,
    /// What helps, if it is dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) help: Option<String>,
}

/// What becomes of it at one port.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Egress {
    pub(crate) ifname: String,
    /// Whether it is offered to the other end.
    pub(crate) sent: bool,
    /// What counts it there.
    pub(crate) counter: String,
    /// Into how many it is cut for it (`tx_cut`, `tx_segments`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) segments: Option<usize>,
    pub(crate) text: String,
}

/// What the router makes of a frame.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Routed {
    /// The leg by which it leaves its bridge.
    pub(crate) leg: String,
    /// `forward`, `redirect`, `fragments`, `reply`, `resolve`, `finish`, `local`, `drop` or
    /// `ignore`.
    pub(crate) verdict: String,
    /// Why it ends here, by the name of what counts that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    /// To whom something goes: its address, its leg, and its link-layer address if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) via: Option<IpAddr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) dev: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) lladdr: Option<String>,
    /// A sentence or two.
    pub(crate) text: String,
    /// What helps, if it ends here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) help: Option<String>,
    /// What enters another bridge, or the same again: the packet, its fragments, or an answer.
    pub(crate) onward: Vec<Explained>,
}

impl Routed {
    fn text(&self) -> String {
        let mut text = fold(&format!("The router, leg {}: {}", self.leg, one_line(&self.text)), 0);
        text += &self.help.as_ref().map(|help| fold(&one_line(help), 0)).unwrap_or_default();
        if let [first, rest @ ..] = &*self.onward {
            text += &format!("\n{}", first.text());
            // They go the same way.
            text += &match rest.len() {
                0 => String::new(),
                count if self.verdict == "fragments" => {
                    format!("\nAnd so with {} more.\n", plural(count, "fragment"))
                }
                _ => rest.iter().map(|next| format!("\n{}", next.text())).collect(),
            };
        }
        text
    }
}

impl Explained {
    /// For a person: the frame, numbered steps, the verdict, and the ports.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for (index, line) in self.frame.about.iter().enumerate() {
            let indent = if index == 0 { 0 } else { 2 };
            text += &fold(&format!("{:indent$}{}", "", one_line(line)), indent + 2);
        }
        text.push('\n');
        for (number, Step { text: sentence, .. }) in (1..).zip(&self.steps) {
            text += &fold(&format!("{number}. {}", one_line(sentence)), 3);
        }
        let row = |egress: &Egress| {
            [&egress.ifname, &egress.counter, &egress.text].map(|cell| one_line(cell))
        };
        let rows: Vec<_> = self.egress.iter().map(row).collect();
        text += &columns(&rows, 3).lines().map(|line| format!("   {line}\n")).collect::<String>();
        text.push('\n');
        let Verdict { counter, text: verdict, help, .. } = &self.verdict;
        text += &fold(&format!("{} ({})", one_line(verdict), one_line(counter)), 0);
        text += &help.as_ref().map(|help| fold(&one_line(help), 0)).unwrap_or_default();
        let routed = self.routed.as_ref().map(|routed| format!("\n{}", routed.text()));
        text + &routed.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Given, String> {
        let faults = |faults: Faults| faults.iter().collect::<Vec<_>>().join("\n");
        Given::parse(&[text.to_owned()]).map_err(faults)
    }

    #[test]
    fn octets_are_read_with_any_separators() {
        for text in
            ["0102ffab", "01 02 ff ab", "01:02:FF:ab", "0102.ffab", "01-02-ff\nab", "0x0102ffab"]
        {
            assert_eq!(hex(text), Ok(vec![1, 2, 0xff, 0xab]), "{text}");
            assert!(matches!(parse(text), Ok(Given::Octets(octets)) if octets.len() == 4));
        }
        assert!(hex("010").unwrap_err().contains("3 hexadecimal digits are no whole octets"));
        assert!(hex("01x2").unwrap_err().contains("`x` is no hexadecimal digit"));
        assert_eq!(hex(""), Ok(vec![]));
    }

    #[test]
    fn captures_and_standard_input_are_told_apart_from_words() {
        assert!(matches!(parse("-"), Ok(Given::Stdin)));
        let packet = parse("a#b.pcap#12").unwrap();
        assert!(
            matches!(&packet, Given::Packet { file, number: 12 } if file.ends_with("a#b.pcap"))
        );
        assert!(parse("a.pcap#x").unwrap_err().contains("`x`: behind `#`"));
    }

    #[test]
    fn fault_in_words_stands_above_its_caret() {
        let told = parse("02:00:00:00:00:01 > brodcast").unwrap_err();
        let lines: Vec<_> = told.lines().collect();
        assert_eq!(lines[1], "  02:00:00:00:00:01 > brodcast");
        assert_eq!(lines[2], "                      ^^^^^^^^");
        assert!(lines[3].contains("FILE#NUMBER"), "{told}");
    }

    #[test]
    fn frame_that_no_line_could_carry_is_refused() {
        assert!(parse(&"00".repeat(FRAME_MAX)).is_ok());
        let told = parse(&"00".repeat(FRAME_MAX + 1)).unwrap_err();
        assert!(told.contains("the frame has 30001 octets"), "{told}");
    }

    #[test]
    fn text_is_numbered_folded_and_without_control_characters() {
        let explained = Explained {
            frame: Told {
                octets: 60,
                about: vec!["60 octets".into(), "type 0x88b5".into()],
                hex: String::new(),
            },
            from: "a".into(),
            steps: vec![
                Step { step: "port".into(), text: "word ".repeat(20).trim().into() },
                Step { step: "learn".into(), text: "Learned.".into() },
            ],
            verdict: Verdict {
                verdict: "flood".into(),
                counter: "rx_flooded".into(),
                learn: None,
                text: "Flooded to 2 ports".into(),
                help: None,
            },
            egress: vec![
                Egress {
                    ifname: "b\u{1b}".into(),
                    sent: true,
                    counter: "tx_frames".into(),
                    segments: None,
                    text: "sent".into(),
                },
                Egress {
                    ifname: "long".into(),
                    sent: false,
                    counter: "tx_oversize".into(),
                    segments: None,
                    text: "not sent".into(),
                },
            ],
            routed: None,
        };
        let expected = "\
60 octets
  type 0x88b5

1. word word word word word word word word word word word word word word word
   word word word word word
2. Learned.
   b\\u{1b}  tx_frames    sent
   long     tx_oversize  not sent

Flooded to 2 ports (rx_flooded)
";
        assert_eq!(explained.text(), expected);
    }
}

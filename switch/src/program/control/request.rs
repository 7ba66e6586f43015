//! What can be asked on the control socket, and the lines in which it is asked and answered: the
//! same types on both sides.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::program::config::Shown;

/// The version of the protocol. It changes when a request that was good before would be refused,
/// or mean another thing; a key more in an answer is no change.
pub(crate) const VERSION: u64 = 1;

/// A request, without its version.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(tag = "do", deny_unknown_fields)]
pub(crate) enum Request {
    /// What kind of switch this is.
    #[serde(rename = "show")]
    Show {},
    /// Ports: those of this name, or all.
    #[serde(rename = "port.show")]
    PortShow {
        /// The name of a port or of a plug.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        port: Option<String>,
        /// Those too that have left.
        #[serde(default)]
        all: bool,
        /// Where the answer before has ended.
        #[serde(default)]
        from: usize,
    },
    /// A port more.
    #[serde(rename = "port.add")]
    PortAdd {
        /// As behind `--port`.
        spec: String,
    },
    /// A port less.
    #[serde(rename = "port.del")]
    PortDel {
        /// Its name.
        port: String,
    },
    /// A port that stays becomes another.
    #[serde(rename = "port.set")]
    PortSet {
        /// Its name.
        port: String,
        /// Options as behind `--port`: `quota=100`. `quota=default`: as if it had not been said.
        set: Vec<String>,
    },
    /// What runs now, as a file.
    #[serde(rename = "config")]
    Config {
        /// Where the answer before has ended.
        #[serde(default)]
        from: usize,
    },
    /// Where the router sends packets.
    #[serde(rename = "route.show")]
    RouteShow {
        /// Where the answer before has ended.
        #[serde(default)]
        from: usize,
    },
    /// Which way packets for an address go.
    #[serde(rename = "route.get")]
    RouteGet {
        /// The address.
        address: String,
        /// Only those of this flow.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        flow: Option<FlowSpec>,
    },
    /// A route more.
    #[serde(rename = "route.add")]
    RouteAdd {
        /// As behind `--route`.
        spec: String,
    },
    /// A route less, of those that were said.
    #[serde(rename = "route.del")]
    RouteDel {
        /// For whom it is, and perhaps `,metric=N`.
        spec: String,
    },
    /// Where the router has its feet.
    #[serde(rename = "leg.show")]
    LegShow {},
    /// Where the router's neighbours are: on a leg, or on all.
    #[serde(rename = "neigh.show")]
    NeighShow {
        /// The name of a leg.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        leg: Option<String>,
        /// Where the answer before has ended.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<(usize, IpAddr)>,
    },
    /// A neighbour is there, and is not asked for.
    #[serde(rename = "neigh.add")]
    NeighAdd {
        /// Its address.
        address: String,
        /// Its link-layer address.
        mac: String,
        /// The name of the leg by which it is reached.
        leg: String,
    },
    /// Forgets a neighbour, learned or said.
    #[serde(rename = "neigh.del")]
    NeighDel {
        /// Its address.
        address: String,
        /// The name of the leg by which it is reached.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        leg: Option<String>,
    },
    /// Forgets the neighbours that were learned: on a leg, or everywhere.
    #[serde(rename = "neigh.flush")]
    NeighFlush {
        /// The name of a leg.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        leg: Option<String>,
    },
    /// Reads its file again and does what differs.
    #[serde(rename = "reload")]
    Reload {},
    /// The learned addresses: those behind a port, or all.
    #[serde(rename = "fdb.show")]
    FdbShow {
        /// The name of a port or of a plug.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        port: Option<String>,
        /// Where the answer before has ended.
        #[serde(default)]
        from: usize,
    },
    /// Where a station is.
    #[serde(rename = "fdb.get")]
    FdbGet {
        /// Its address.
        mac: String,
    },
    /// A station is behind a port, whatever is learned.
    #[serde(rename = "fdb.add")]
    FdbAdd {
        /// Its address.
        mac: String,
        /// The name of the port.
        port: String,
    },
    /// Forgets a station, learned or said.
    #[serde(rename = "fdb.del")]
    FdbDel {
        /// Its address.
        mac: String,
        /// The name of a port or of a plug: only if it is behind that.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        port: Option<String>,
    },
    /// Forgets what was learned: behind a port, or everywhere.
    #[serde(rename = "fdb.flush")]
    FdbFlush {
        /// The name of a port or of a plug.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        port: Option<String>,
    },
    /// What would become of a frame.
    #[serde(rename = "explain")]
    Explain {
        /// The port where it would come in.
        from: String,
        /// Its octets, in hexadecimal.
        frame: String,
        /// Octets of payload in each segment into which it is to be cut. None: it is whole.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        gso: Option<u16>,
    },
    /// Frames on their way: behind the answer the connection is a capture.
    #[serde(rename = "capture")]
    Capture {
        /// The names of ports or of plugs; none: all.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        ports: Vec<String>,
        /// Only frames that were dropped.
        #[serde(default)]
        drops: bool,
        /// Octets of each frame; 0 or left out: all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        snaplen: Option<u32>,
        /// Instructions of a cBPF program, as `tcpdump -ddd` prints them: code, jt, jf, k.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        filter: Option<Vec<[u32; 4]>>,
    },
    /// From now on tells events.
    #[serde(rename = "monitor")]
    Monitor {
        /// Which of them.
        #[serde(default, skip_serializing_if = "Topic::is_all")]
        what: Topic,
    },
}

/// Packets that go one way.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FlowSpec {
    /// From whom.
    pub(crate) source: IpAddr,
    /// The protocol above IP, IANA's number.
    pub(crate) protocol: u8,
    /// Ports of source and destination, of protocols that have some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ports: Option<(u16, u16)>,
}

/// What events are about.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Topic {
    /// Everything.
    #[default]
    All,
    /// Ports that come and go.
    #[value(alias = "link")]
    Port,
    /// Stations: learned, moved, aged, forgotten; quotas; loops.
    Fdb,
    /// Links of the router: neighbours that moved or failed; addresses that others have, too.
    Neigh,
}

impl Topic {
    /// All of them.
    pub(super) const COUNT: usize = 4;

    fn is_all(&self) -> bool {
        *self == Topic::All
    }

    /// Whether who listens for this hears an event about that.
    pub(super) fn covers(self, other: Topic) -> bool {
        self == other || self == Topic::All || other == Topic::All
    }
}

/// What comes of a request: JSON, or a sentence, of several faults one a line.
pub(crate) type Answer = Result<String, String>;

/// Why a line is no request.
#[derive(Debug, PartialEq)]
pub(crate) enum Refused {
    /// Whoever wrote it does not speak this language: it is no use to listen on.
    Foreign(String),
    /// The next one may be better.
    Request(String),
}

impl Request {
    /// Reads a line.
    ///
    /// # Errors
    ///
    /// A sentence that says what is wrong with it.
    pub(crate) fn read(line: &[u8]) -> Result<Request, Refused> {
        let object: Result<Map<String, Value>, _> = serde_json::from_slice(line);
        let mut object = object.map_err(|error| {
            Refused::Foreign(format!("a request is a JSON object on a line of its own: {error}"))
        })?;
        match object.remove("v") {
            Some(version) if version == VERSION => {}
            Some(version) => {
                return Err(Refused::Foreign(format!(
                    "version {version} is not spoken here, only version {VERSION}"
                )));
            }
            None => {
                return Err(Refused::Foreign(format!(
                    "a request says its version: {{\"v\":{VERSION},\"do\":...}}"
                )));
            }
        }
        let request = serde_json::from_value(Value::Object(object));
        request.map_err(|error| Refused::Request(format!("this request is not known: {error}")))
    }

    /// The line that asks it, with its end.
    pub(crate) fn line(&self) -> String {
        #[derive(Serialize)]
        struct Line<'a> {
            v: u64,
            #[serde(flatten)]
            request: &'a Request,
        }
        let line = Line { v: VERSION, request: self };
        serde_json::to_string(&line).expect("names and numbers") + "\n"
    }
}

/// The line that answers, with its end.
pub(crate) fn answer_line(answer: &Answer) -> String {
    match answer {
        Ok(json) => format!("{{\"v\":{VERSION},\"ok\":{json}}}\n"),
        Err(sentence) => {
            let sentence = Value::from(sentence.as_str());
            format!("{{\"v\":{VERSION},\"error\":{sentence}}}\n")
        }
    }
}

/// The line that refuses because of a file, with its end: what is wrong with it comes besides.
pub(super) fn refusal_line(sentences: &str, faults: &[Shown]) -> String {
    let sentences = Value::from(sentences);
    let faults = serde_json::to_string(faults).expect("texts and numbers");
    format!("{{\"v\":{VERSION},\"error\":{sentences},\"faults\":{faults}}}\n")
}

/// What is wrong with a file, by such a line; nothing, by any other.
pub(crate) fn read_faults(line: &str) -> Vec<Shown> {
    #[derive(Deserialize)]
    struct Line {
        #[serde(default)]
        faults: Vec<Shown>,
    }
    serde_json::from_str(line).map_or_else(|_| Vec::new(), |Line { faults }| faults)
}

/// Reads an answer back.
///
/// # Errors
///
/// What the switch said, or that this is no answer.
pub(crate) fn read_answer(line: &str) -> Result<Value, String> {
    #[derive(Deserialize)]
    struct Line {
        ok: Option<Value>,
        error: Option<String>,
    }
    match serde_json::from_str(line) {
        Ok(Line { error: Some(sentence), .. }) => Err(sentence),
        Ok(Line { ok: Some(json), .. }) => Ok(json),
        _ => Err("what answers there is no switch, or none of this version".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_request_is_read_as_it_was_written() {
        let (port, mac) = (Some("tap0".to_owned()), "02:00:00:00:00:01".to_owned());
        for request in [
            Request::Show {},
            Request::PortShow { port: None, all: false, from: 0 },
            Request::PortShow { port: port.clone(), all: true, from: 7 },
            Request::PortAdd { spec: "tap:a\"\n\\,mtu=9000".to_owned() },
            Request::PortDel { port: "é".to_owned() },
            Request::PortSet { port: "a".to_owned(), set: vec!["quota=1".to_owned()] },
            Request::Config { from: 3 },
            Request::Reload {},
            Request::RouteShow { from: 7 },
            Request::RouteGet { address: "10.0.0.1".to_owned(), flow: None },
            Request::RouteGet {
                address: "10.0.0.1".to_owned(),
                flow: Some(FlowSpec {
                    source: [10, 0, 0, 2].into(),
                    protocol: 17,
                    ports: Some((1, 2)),
                }),
            },
            Request::RouteAdd { spec: "default,via=10.0.0.2".to_owned() },
            Request::RouteDel { spec: "default".to_owned() },
            Request::LegShow {},
            Request::NeighShow { leg: None, from: None },
            Request::NeighShow { leg: port.clone(), from: Some((1, [10, 0, 0, 2].into())) },
            Request::NeighAdd {
                address: "10.0.0.2".to_owned(),
                mac: mac.clone(),
                leg: "br".to_owned(),
            },
            Request::NeighDel { address: "fe80::1".to_owned(), leg: None },
            Request::NeighFlush { leg: port.clone() },
            Request::FdbShow { port: port.clone(), from: 1 << 40 },
            Request::FdbGet { mac: mac.clone() },
            Request::FdbAdd { mac: mac.clone(), port: "tap0".to_owned() },
            Request::FdbDel { mac: mac.clone(), port: None },
            Request::FdbDel { mac, port: port.clone() },
            Request::FdbFlush { port },
            Request::Explain { from: "a".to_owned(), frame: "00ff".to_owned(), gso: None },
            Request::Explain { from: "a".to_owned(), frame: String::new(), gso: Some(1448) },
            Request::Capture { ports: Vec::new(), drops: false, snaplen: None, filter: None },
            Request::Capture {
                ports: vec!["tap0".to_owned()],
                drops: true,
                snaplen: Some(64),
                filter: Some(vec![[6, 0, 255, u32::MAX]]),
            },
            Request::Monitor { what: Topic::Fdb },
            Request::Monitor { what: Topic::Neigh },
            Request::Monitor { what: Topic::All },
        ] {
            let line = request.line();
            assert_eq!(line.lines().count(), 1, "{line}");
            assert_eq!(Request::read(line.as_bytes()), Ok(request));
        }
        let short = Request::read(br#"{"do":"fdb.flush","v":1}"#);
        assert_eq!(short, Ok(Request::FdbFlush { port: None }));
    }

    #[test]
    fn what_is_no_request_is_told_apart_from_what_is_not_known() {
        let read = |line: &str| Request::read(line.as_bytes()).unwrap_err();
        let deep = "[".repeat(60_000);
        for line in ["", "x", "[]", "1", "{", "{}", r#"{"v":2,"do":"show"}"#, &deep, "\0\u{ff}"] {
            assert!(matches!(read(line), Refused::Foreign(_)), "{line:.20}");
        }
        for (line, word) in [
            (r#"{"v":1}"#, "`do`"),
            (r#"{"v":1,"do":"dance"}"#, "`dance`"),
            (r#"{"v":1,"do":"port.add"}"#, "`spec`"),
            (r#"{"v":1,"do":"port.del","prot":"x"}"#, "`prot`"),
            (r#"{"v":1,"do":"fdb.show","from":-1}"#, "-1"),
        ] {
            let Refused::Request(sentence) = read(line) else { panic!("{line}") };
            assert!(sentence.contains(word), "{line}: {sentence}");
        }
    }

    #[test]
    fn answers_come_back() {
        for answer in [Ok("{\"a\":[1]}".to_owned()), Err("a \"b\"\nc".to_owned())] {
            let line = answer_line(&answer);
            assert_eq!(line.lines().count(), 1);
            assert_eq!(read_answer(&line).map(|json| json.to_string()), answer);
        }
        assert!(read_answer("{}").is_err() && read_answer("hello").is_err());
    }

    proptest! {
        #[test]
        fn whatever_is_written_is_a_request_or_refused(
            octets in proptest::collection::vec(any::<u8>(), 0..200),
            word in "[a-z.]{0,12}",
            value in "(\"[ -~]{0,20}\"|-?[0-9e.]{0,30}|null|\\[\\]|\\{\\})",
        ) {
            for line in [
                octets,
                format!("{{\"v\":1,\"do\":\"{word}\"}}").into(),
                format!("{{\"v\":1,\"do\":\"port.show\",\"{word}\":{value}}}").into(),
                format!("{{\"v\":1,\"do\":\"port.show\",\"from\":{value}}}").into(),
                format!("{{\"v\":{value},\"do\":\"show\"}}").into(),
            ] {
                match Request::read(&line) {
                    Ok(request) => prop_assert_eq!(
                        Request::read(request.line().trim_end().as_bytes()),
                        Ok(request)
                    ),
                    Err(Refused::Foreign(why) | Refused::Request(why)) => {
                        prop_assert!(!why.is_empty());
                    }
                }
            }
        }
    }
}

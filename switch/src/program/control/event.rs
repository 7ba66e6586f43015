//! What has changed, as a line for those who listen.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use uswitch::{frame::Mac, plug::Change, switch, topology::PortSpec};

use super::{Applied, Topic};

/// An event.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(crate) struct Event {
    /// The kind of it.
    pub(crate) event: String,
    /// The port that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) port: Option<String>,
    /// The ports, if there are two.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) ports: Vec<String>,
    /// The leg of the router on whose link it happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) leg: Option<String>,
    /// The station that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) mac: Option<String>,
    /// What was done, if the file was read again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) applied: Option<Applied>,
    /// For people.
    pub(crate) text: String,
    /// Events before this one that were lost.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) missed: u64,
    /// Seconds since 1970.
    #[serde(default)]
    pub(crate) time: f64,
}

impl Event {
    /// A port was taken out because somebody wanted it.
    pub(crate) fn removed(port: &str) -> Event {
        Event {
            event: "removed".to_owned(),
            port: Some(port.to_owned()),
            text: format!("{port}: removed"),
            ..Event::default()
        }
    }

    /// The same because the file, read again, has it not, or has another of its name.
    pub(crate) fn removed_for(port: &str, again: bool) -> Event {
        let why = if again { "to come as the file has it" } else { "the file has it not" };
        Event { text: format!("{port}: removed, {why}"), ..Event::removed(port) }
    }

    /// A port that stays was set to this.
    pub(crate) fn set(spec: &PortSpec) -> Event {
        let (port, quota) = (&spec.name, spec.quota);
        let quota = quota.map_or("as any port's".to_owned(), |quota| quota.to_string());
        Event {
            event: "set".to_owned(),
            port: Some(port.clone()),
            text: format!("{port}: quota {quota}"),
            ..Event::default()
        }
    }

    /// Something happened on the link of a leg.
    pub(crate) fn of_link(kind: &str, leg: &str, text: &str) -> Event {
        Event {
            event: kind.to_owned(),
            leg: Some(leg.to_owned()),
            text: format!("leg {leg}: {text}"),
            ..Event::default()
        }
    }

    /// Something happened to a station behind a port.
    pub(super) fn of_station(kind: &str, mac: Mac, port: &str) -> Event {
        let text = match kind {
            "learned" => format!("{mac}: learned behind {port}"),
            _ => format!("{mac}: {kind}, it was behind {port}"),
        };
        Event { mac: Some(mac.to_string()), ..Event::of_port(kind, port, text) }
    }

    /// A station is behind another port than before.
    pub(super) fn moved(mac: Mac, from: &str, to: &str) -> Event {
        Event {
            event: "moved".to_owned(),
            ports: [from, to].map(str::to_owned).to_vec(),
            mac: Some(mac.to_string()),
            text: format!("{mac}: moved from {from} to {to}"),
            ..Event::default()
        }
    }

    /// The file was read again, and what differed was done.
    pub(crate) fn applied(applied: &Applied) -> Event {
        let (event, text) = ("applied".to_owned(), applied.to_string());
        Event { event, applied: Some(applied.clone()), text, ..Event::default() }
    }

    /// The file was read again in vain.
    pub(crate) fn refused(file: &str) -> Event {
        let (event, text) = ("refused".to_owned(), format!("{file}: nothing was changed"));
        Event { event, text, ..Event::default() }
    }

    pub(super) fn of_port(kind: &str, port: &str, text: String) -> Event {
        Event { event: kind.to_owned(), port: Some(port.to_owned()), text, ..Event::default() }
    }

    /// What it is about, by which listeners choose.
    pub(super) fn topic(&self) -> Topic {
        match &*self.event {
            "came" | "waits" | "left" | "told" | "failed" | "detached" | "removed" | "set" => {
                Topic::Port
            }
            "learned" | "moved" | "aged" | "forgotten" | "quota" | "full" | "flapping" => {
                Topic::Fdb
            }
            "address_conflict" | "address_duplicate" | "neighbour_full" | "neighbour_moved"
            | "neighbour_failed" => Topic::Neigh,
            _ => Topic::All,
        }
    }

    /// The line, with its end.
    pub(super) fn line(self, version: u64, missed: u64) -> String {
        #[derive(Serialize)]
        struct Line {
            v: u64,
            #[serde(flatten)]
            event: Event,
        }
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        // Milliseconds are enough.
        let time = since.as_millis() as f64 / 1e3;
        let line = Line { v: version, event: Event { missed, time, ..self } };
        serde_json::to_string(&line).expect("texts and numbers") + "\n"
    }
}

impl From<&Change> for Event {
    fn from(change: &Change) -> Event {
        let (event, port) = match change {
            Change::Came { name, .. } => ("came", Some(name)),
            Change::Waits { name, .. } => ("waits", Some(name)),
            Change::Left { name, .. } => ("left", Some(name)),
            Change::Told { name, .. } => ("told", Some(name)),
            Change::Failed(failure) => ("failed", Some(&failure.name)),
            Change::Switch(switch::Event::Detached { name, .. }) => ("detached", Some(name)),
            Change::Switch(switch::Event::Flapping { .. }) => ("flapping", None),
            Change::Switch(switch::Event::WorkerDied) => ("died", None),
        };
        let (mac, ports) = match change {
            Change::Switch(switch::Event::Flapping { station, ports }) => {
                (Some(station.to_string()), ports.to_vec())
            }
            _ => (None, Vec::new()),
        };
        let (event, port, text) = (event.to_owned(), port.cloned(), change.to_string());
        Event { event, port, ports, mac, text, ..Event::default() }
    }
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_chooses_a_topic_hears_that_and_what_concerns_all() {
        let topic = |kind: &str| Event::of_port(kind, "a", String::new()).topic();
        let hears = |topic: Topic, kinds: [&str; 3]| {
            kinds.map(|kind| topic.covers(Event::of_port(kind, "a", String::new()).topic()))
        };
        assert_eq!(["left", "aged", "died"].map(topic), [Topic::Port, Topic::Fdb, Topic::All]);
        assert_eq!(hears(Topic::Port, ["left", "aged", "died"]), [true, false, true]);
        assert_eq!(hears(Topic::Fdb, ["left", "aged", "died"]), [false, true, true]);
        assert_eq!(hears(Topic::All, ["left", "aged", "died"]), [true; 3]);
    }

    #[test]
    fn an_event_is_one_line_that_can_be_read_back() {
        let station = Mac::new([2, 0, 0, 0, 0, 1]);
        let ports = ["a".to_owned(), "b".to_owned()];
        let change = Change::Switch(switch::Event::Flapping { station, ports });
        let line = Event::from(&change).line(1, 3);
        assert!(line.starts_with(r#"{"v":1,"event":"flapping","ports":["a","b"],"mac":"02:"#));
        assert_eq!(line.lines().count(), 1);
        let event: Event = serde_json::from_str(&line).unwrap();
        assert_eq!((event.missed, &*event.text), (3, &*change.to_string()));
        assert!(event.time > 1.7e9, "{}", event.time);
        let line = Event::removed("tap0").line(1, 0);
        assert!(line.contains(r#""port":"tap0","text":"tap0: removed""#), "{line}");
        assert!(!line.contains("missed"), "{line}");
        let applied = Applied { file: "x".into(), came: 2, ..Applied::default() };
        let line = Event::applied(&applied).line(1, 0);
        assert!(line.contains(r#""applied":{"file":"x","came":2,"#), "{line}");
        assert_eq!(serde_json::from_str::<Event>(&line).unwrap().applied, Some(applied));
    }
}

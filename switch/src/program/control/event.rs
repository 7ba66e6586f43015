//! What has changed, as a line for those who listen.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use uswitch::{plug::Change, switch};

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
    /// The station that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) mac: Option<String>,
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
    use uswitch::frame::Mac;

    use super::*;

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
    }
}

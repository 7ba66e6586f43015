//! The same frame twice: first it is explained, which must change nothing, then it is sent, and
//! every counter of every port must change as it was said, and every station hear what was said.

use std::{collections::BTreeMap, path::Path};

use serde_json::{Value, json};
use uswitch_tests::{captures, running::Running};

use crate::{
    lab::{Lab, eventually},
    station::Station,
};

/// A switch with three ports whose stations are connected, and one that waits.
struct Bench {
    lab: Lab,
    running: Running,
    stations: BTreeMap<&'static str, Station>,
}

/// Counters by port and name. Those that are 0 are left out.
type Counts = BTreeMap<(String, String), u64>;

impl Bench {
    /// `a` learns three addresses, `b` takes payloads of 600 octets.
    fn new(words: &[&str]) -> Bench {
        let lab = Lab::new();
        let a = format!("{},quota=3", lab.spec("a"));
        let b = format!("{},mtu=600", lab.spec("b"));
        let ports = ["--port", &a, "--port", &b];
        let running = lab.start("lab", &["c", "waiting"], &[&ports, words].concat());
        let stations = ["a", "b", "c"].map(|port| (port, lab.station(port)));
        eventually("all are there", || lab.log("lab").matches(": connected").count() == 3);
        Bench { lab, running, stations: stations.into() }
    }

    /// Asks on a connection of its own: a program for each look would take minutes.
    fn ask(&self, request: &Value) -> Value {
        let mut answer = self.lab.line("lab").ask(&request.to_string());
        assert!(answer["error"].is_null(), "{request}: {answer}");
        answer["ok"].take()
    }

    fn counts(&self) -> Counts {
        let ports = self.ask(&json!({"v": 1, "do": "port.show"}));
        let mut counts = Counts::new();
        for port in ports["ports"].as_array().unwrap() {
            let Some(counters) = port["counts"]["counters"].as_object() else { continue };
            for (name, count) in counters {
                let key = (port["ifname"].as_str().unwrap().to_owned(), name.clone());
                counts.insert(key, count.as_u64().unwrap());
            }
        }
        counts.retain(|_, count| *count > 0);
        counts
    }

    /// Who is behind which port.
    fn table(&self) -> BTreeMap<String, String> {
        let page = self.ask(&json!({"v": 1, "do": "fdb.show"}));
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let entries = page["entries"].as_array().unwrap().iter();
        entries.map(|entry| (text(&entry["mac"]), text(&entry["ifname"]))).collect()
    }

    fn explain(&self, from: &str, frame: &[u8]) -> Value {
        let hex: String = frame.iter().map(|octet| format!("{octet:02x}")).collect();
        self.ask(&json!({"v": 1, "do": "explain", "from": from, "frame": hex}))
    }

    /// Explains a frame, sends it, and compares. Returns what was said.
    #[track_caller]
    fn compare(&mut self, from: &'static str, frame: &[u8]) -> Value {
        let (mut counts, table) = (self.counts(), self.table());
        let told = self.explain(from, frame);
        assert_eq!(self.counts(), counts, "nothing was counted: {told}");
        assert_eq!(self.table(), table, "nothing was learned: {told}");

        let octets = frame.len() as u64;
        let ingress = format!("{from}.1");
        assert_eq!(told["from"], ingress, "{told}");
        let egress = told["egress"].as_array().unwrap();
        let mut add = |port: &str, counter: &str, count| {
            *counts.entry((port.to_owned(), counter.to_owned())).or_default() += count;
        };
        add(&ingress, "rx_frames", 1);
        add(&ingress, "rx_octets", octets);
        add(&ingress, told["verdict"]["counter"].as_str().unwrap(), 1);
        if let Some(learn) = told["verdict"]["learn"].as_str() {
            add(&ingress, learn, 1);
        }
        if told["verdict"]["verdict"] == "flood" {
            add(&ingress, "rx_copies", egress.len() as u64);
        }
        let mut hear = Vec::new();
        for way in egress {
            let port = way["ifname"].as_str().unwrap();
            add(port, way["counter"].as_str().unwrap(), 1);
            if way["sent"] == true {
                add(port, "tx_octets", octets);
                hear.push(port.strip_suffix(".1").unwrap());
            }
        }

        self.stations.get_mut(from).unwrap().put(frame);
        let what = format!("all is counted as it was told: {told}");
        eventually(&what, || self.counts() == counts);
        for port in hear {
            assert_eq!(self.stations.get_mut(port).unwrap().take(), frame, "{port}: {told}");
        }
        told
    }

    /// The same for words.
    #[track_caller]
    fn compare_words(&mut self, from: &'static str, words: &str) -> (String, String) {
        let told = self.compare(from, &frame(words));
        let verdict = &told["verdict"];
        let learn = verdict["learn"].as_str().unwrap_or("-").to_owned();
        (verdict["counter"].as_str().unwrap().to_owned(), learn)
    }

    fn end(self) {
        self.lab.end("lab", self.running);
    }
}

/// `FROM TO LENGTH`: an octet for each station, `*` for everybody, and hexadecimal for others.
fn frame(words: &str) -> Vec<u8> {
    let words: Vec<_> = words.split(' ').collect();
    let mac = |word: &str| match word {
        "*" => vec![0xff; 6],
        word if word.len() == 12 => {
            let octet = |at| u8::from_str_radix(&word[at..at + 2], 16).unwrap();
            (0..12).step_by(2).map(octet).collect()
        }
        word => vec![2, 0, 0, 0, 0, word.parse().unwrap()],
    };
    let mut frame = [mac(words[1]), mac(words[0]), vec![0x88, 0xb5]].concat();
    frame.resize(words[2].parse().unwrap(), 0x5a);
    frame
}

#[test]
fn what_is_explained_is_what_becomes_of_the_frame() {
    let mut bench = Bench::new(&[]);
    for (from, words, counter, learn) in [
        ("a", "1 * 60", "rx_flooded", "learn_new"),
        ("a", "1 * 60", "rx_flooded", "-"),
        ("b", "2 1 60", "rx_forwarded", "learn_new"),
        ("a", "1 9 60", "rx_flooded", "-"),
        ("a", "1 2 614", "rx_forwarded", "-"),
        ("a", "1 2 615", "rx_forwarded", "-"),
        ("a", "1 * 1000", "rx_flooded", "-"),
        ("a", "3 1 60", "filter_same_port", "learn_new"),
        ("c", "4 4 60", "filter_same_port", "learn_new"),
        ("c", "1 2 60", "rx_forwarded", "learn_moved"),
        ("b", "2 1 60", "rx_forwarded", "-"),
        ("a", "5 0180c200000e 60", "filter_reserved", "learn_new"),
        ("a", "5 0180c2000010 60", "rx_flooded", "-"),
        ("a", "030000000001 * 60", "rx_group_source", "-"),
        ("a", "000000000000 1 60", "rx_null_source", "-"),
        ("a", "6 2 60", "rx_forwarded", "learn_new"),
        ("a", "7 2 60", "rx_forwarded", "learn_quota"),
        ("a", "7 7 60", "rx_flooded", "learn_quota"),
        // Who comes to a port over its quota is known nowhere from then on.
        ("a", "2 1 60", "rx_forwarded", "learn_quota"),
        ("c", "1 2 60", "rx_flooded", "-"),
        ("b", "5 4 14", "rx_forwarded", "learn_moved"),
    ] {
        let told = bench.compare_words(from, words);
        assert_eq!((&*told.0, &*told.1), (counter, learn), "{from}: {words}");
    }
    let runt = bench.compare("a", &[2; 13]);
    assert_eq!(runt["verdict"]["counter"], "rx_runt", "{runt}");
    bench.end();
}

#[test]
fn every_frame_of_the_corpus_is_explained_as_it_is_decided() {
    for group_forward in ["standard", "wire"] {
        let mut bench = Bench::new(&["--group-forward", group_forward]);
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
        let frames: Vec<_> = captures::corpus(&folder).unwrap();
        let mut reserved = Vec::new();
        for (capture, from) in frames.iter().zip(["a", "b", "c"].into_iter().cycle()) {
            for frame in capture.frames.iter().filter(|frame| frame.len() <= 30_000) {
                let told = bench.compare(from, frame);
                let reserves = |step: &Value| step["step"] == "reserved";
                if told["steps"].as_array().unwrap().iter().any(reserves) {
                    reserved.push(told["verdict"]["counter"].as_str().unwrap().to_owned());
                }
            }
        }
        let counter = if group_forward == "wire" { "rx_flooded" } else { "filter_reserved" };
        assert!(reserved.len() >= 3 && reserved.iter().all(|found| found == counter));
        bench.end();
    }
}

#[test]
fn flood_where_nobody_else_is_reaches_nobody() {
    let lab = Lab::new();
    let running = lab.start("lab", &["a"], &[]);
    let mut station = lab.station("a");
    eventually("it is there", || lab.log("lab").contains(": connected"));
    let told = lab.json("explain --from a -j 02:00:00:00:00:01 > broadcast");
    assert_eq!(told["verdict"]["counter"], "filter_alone", "{told}");
    station.put(&frame("1 * 60"));
    let total = || lab.json("stats -j")["total"].clone();
    eventually("it is counted", || total()["filter_alone"] == 1);
    lab.end("lab", running);
}

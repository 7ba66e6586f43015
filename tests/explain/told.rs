//! How it is told: text as a person sees it, JSON by its keys, and each wrong word in a sentence.

use std::{fs, io::Write, process::Stdio};

use netlab::Namespace;
use serde_json::Value;
use uswitch_tests::{privileged, running::Running};

use crate::{
    lab::{Lab, eventually, told},
    station::Station,
};

/// A switch with two stations on it: 02:..:01 is known behind `a`, nobody behind `b`.
fn start(lab: &Lab) -> (Running, [Station; 2]) {
    let running = lab.start("lab", &["a", "b", "guests"], &[]);
    let mut stations = ["a", "b"].map(|port| lab.station(port));
    eventually("both are there", || lab.log("lab").matches(": connected").count() == 2);
    stations[0].put(&[&[0xff; 6][..], &[2, 0, 0, 0, 0, 1, 0x88, 0xb5]].concat());
    eventually("it is known", || !lab.done("fdb show").is_empty());
    (running, stations)
}

/// The text with the seconds of silence left out, for they are others each time. Where there are
/// some, lines are folded elsewhere: then they are joined.
fn timeless(text: &str) -> String {
    if !text.contains("heard ") {
        return text.to_owned();
    }
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut parts = text.split("heard ");
    let mut timeless = parts.next().unwrap().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        timeless += "heard N";
        timeless += rest;
    }
    timeless
}

#[test]
fn flood_forwarding_and_drop_are_told_step_by_step() {
    let lab = Lab::new();
    let (running, _stations) = start(&lab);
    let check = |words: &str, expected: &str| {
        let text = lab.done(&format!("explain --from {words}"));
        assert!(text.lines().all(|line| line.len() <= 80), "{text}");
        assert_eq!(timeless(&text), timeless(expected), "{words}");
    };
    check(
        "a 02:00:00:00:00:02 > broadcast arp who-has 10.0.0.2 tell 10.0.0.1 vlan 10",
        "\
60 octets from 02:00:00:00:00:02 to ff:ff:ff:ff:ff:ff (broadcast)
  VLAN tag: VLAN 10, priority 0
  ARP: who has 10.0.0.2? tell 10.0.0.1

1. It comes in at a.1, a stream port, which is up (takes no offloads). Its MTU,
   1500, is for what leaves there.
2. Its header is whole, and 02:00:00:00:00:02 can be a station's address.
3. Its source is not known: it would be learned behind a.1.
4. Its destination is everybody: it goes to all other ports.
5. It has 42 octets of payload behind its VLAN tag, which passes as part of the
   frame. A port takes as many as its MTU, and what its other end does with them
   (tx_full, tx_refused, tx_down) only sending tells.
6. Not reached: guests waits for clients.
   b.1  tx_frames  sent

Flooded to 1 port (rx_flooded)
",
    );
    check(
        "b 02:00:00:00:00:02 > 02:00:00:00:00:01 length 2000",
        "\
2000 octets from 02:00:00:00:00:02 to 02:00:00:00:00:01
  type 0x88b5 (local experiments)

1. It comes in at b.1, a stream port, which is up (takes no offloads). Its MTU,
   1500, is for what leaves there.
2. Its header is whole, and 02:00:00:00:00:02 can be a station's address.
3. Its source is not known: it would be learned behind b.1.
4. Its destination is known behind a.1, heard 0.0 s ago.
5. It has 1986 octets of payload. A port takes as many as its MTU, and what its
   other end does with them (tx_full, tx_refused, tx_down) only sending tells.
   a.1  tx_oversize  not sent: larger than the MTU of this port, 1500

Forwarded to a.1, which does not take it (rx_forwarded)
What helps: a larger MTU there (`mtu=` of the port), or a smaller one at the
sender.
",
    );
    check(
        "b.1 02:00:00:00:00:01 > 01:80:c2:00:00:0e type 88cc",
        "\
60 octets from 02:00:00:00:00:01 to 01:80:c2:00:00:0e (a group, reserved)
  type 0x88cc (LLDP)

1. It comes in at b.1, a stream port, which is up (takes no offloads). Its MTU,
   1500, is for what leaves there.
2. Its header is whole, and 02:00:00:00:00:01 can be a station's address.
3. Its source is known behind a.1, heard 0.0 s ago: it would move to b.1 at once.
   If the station has not moved, two have its address, or there is a loop.
4. Its destination is one of 01-80-C2-00-00-00 to -0F, which are for the two
   ends of one link (IEEE 802.1Q, 8.6.3), and this switch relays none of them.

Dropped: for 01-80-C2-00-00-00 to -0F, which a bridge does not forward
(filter_reserved)
What helps, if it is to pass as on a wire: `--group-forward wire`.
",
    );
    lab.end("lab", running);
}

const UNCUT: &str = "--gso 1448 02:00:00:00:00:02 > broadcast ip 10.0.0.1 > 10.0.0.2 tcp 80";

#[test]
fn frame_that_is_to_be_cut_leaves_whole_or_in_segments_or_not_at_all() {
    let lab = Lab::new();
    let small = format!("--port={},mtu=1000", lab.spec("small"));
    let running = lab.start("lab", &["a", "b"], &[&small]);
    // One after the other: who comes first has the lower number.
    let mut stations = ["a", "b", "small"].map(|port| {
        let station = lab.station(port);
        eventually("it is there", || lab.log("lab").contains(&format!("{port}.1: connected")));
        station
    });
    let text = lab.done(&format!("explain --from a {UNCUT} length 9000"));
    let expected = "\
9000 octets from 02:00:00:00:00:02 to ff:ff:ff:ff:ff:ff (broadcast)
  IPv4 from 10.0.0.1 to 10.0.0.2, 8986 octets, TTL 64, header checksum right
  TCP SYN from 49152 to 80, checksum left to be completed
  to be cut into segments of 1448 octets of payload each (GSO)

1. It comes in at a.1, a stream port, which is up (takes no offloads). Its MTU,
   1500, is for what leaves there.
2. Its header is whole, and 02:00:00:00:00:02 can be a station's address.
3. Its source is not known: it would be learned behind a.1.
4. Its destination is everybody: it goes to all other ports.
5. It has 8986 octets of payload, and the largest of its segments has 1488. A
   port takes as many as its MTU, and what its other end does with them
   (tx_full, tx_refused, tx_down) only sending tells.
   b.1      tx_frames    sent, cut into 7 segments
   small.1  tx_oversize  not sent: larger than the MTU of this port, 1000

Flooded to 2 ports, of which one does not take it (rx_flooded)
What helps: a larger MTU there (`mtu=` of the port), or a smaller one at the
sender.
";
    assert_eq!(text, expected);
    let told = lab.json(&format!("explain -j --from a {UNCUT} length 9000"));
    let [b, small] = [0, 1].map(|port| &told["egress"][port]);
    assert_eq!((&b["segments"], &b["sent"]), (&7.into(), &true.into()), "{told}");
    assert_eq!((&small["segments"], &small["sent"]), (&Value::Null, &false.into()), "{told}");
    // More segments than are cut.
    let words = UNCUT.replace("1448", "8").replace("broadcast", "02:00:00:00:00:01");
    stations[1].put(&[&[0xff; 6][..], &[2, 0, 0, 0, 0, 1, 0x88, 0xb5]].concat());
    eventually("it is known", || !lab.done("fdb show").is_empty());
    let told = lab.json(&format!("explain -j --from a {words} length 20000"));
    assert_eq!(told["egress"][0]["counter"], "tx_refused", "{told}");
    assert!(told["verdict"]["help"].as_str().unwrap().contains("larger segments"), "{told}");
    lab.end("lab", running);
}

#[test]
fn port_with_offloads_gets_whole_what_is_to_be_cut() {
    if !privileged() {
        return;
    }
    let lab = Lab::new();
    let namespace = Namespace::new().unwrap();
    let running = namespace.run(|| lab.start("lab", &["a"], &["--ports=tap0"])).unwrap();
    let _station = lab.station("a");
    eventually("it is there", || lab.log("lab").contains(": connected"));
    let text = lab.done(&format!("explain --from a {UNCUT} length 9000"));
    assert!(text.contains("   tap0  tx_frames  sent whole: it takes offloads\n"), "{text}");
    let text = lab.done(&format!("explain --from tap0 {UNCUT} length 9000"));
    assert!(text.contains("   a.1  tx_frames  sent, cut into 7 segments\n"), "{text}");
    lab.end("lab", running);
}

#[test]
fn hexadecimal_words_a_capture_and_standard_input_are_one_frame() {
    let lab = Lab::new();
    let (running, _stations) = start(&lab);
    let frame = [&[0xff; 6][..], &[2, 0, 0, 0, 0, 7, 0x88, 0xb5], &[0; 46]].concat();
    let hex: String = frame.iter().map(|octet| format!("{octet:02x}")).collect();
    let capture = lab.path("one.pcap");
    // draft-ietf-opsawg-pcap, 4 and 5: magic number, version, times, snapshot length, Ethernet.
    let words = [0xa1b2_c3d4u32, 0x0004_0002, 0, 0, 65_535, 1, 0, 0, 60, 60];
    fs::write(&capture, [words.map(u32::to_le_bytes).concat(), frame].concat()).unwrap();
    let explain = |words: &str| lab.json(&format!("explain -j --from a {words}"));
    let wanted = explain(&hex);
    assert_eq!(explain("02:00:00:00:00:07 > broadcast"), wanted);
    assert_eq!(explain(&format!("{}#1", capture.display())), wanted);
    for text in [format!("{hex}\n"), "02:00:00:00:00:07 > broadcast".to_owned()] {
        let mut command = lab.command(&["explain", "-j", "-f", "a", "-"]);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let (code, out, err) = told(&child.wait_with_output().unwrap());
        assert_eq!((code, &*err), (0, ""));
        assert_eq!(serde_json::from_str::<Value>(&out).unwrap(), wanted);
    }
    let keys: Vec<_> = wanted.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["egress", "frame", "from", "steps", "verdict"]);
    lab.end("lab", running);
}

#[test]
fn what_is_wrong_is_told_in_a_sentence_for_each_form() {
    let lab = Lab::new();
    let (code, _, err) = lab.run("explain --from a 00");
    assert!(code == 1 && err.contains("no switch runs"), "{err}");
    let (running, _stations) = start(&lab);
    let (folder, empty) = (lab.path("").display().to_string(), lab.path("empty.pcap"));
    fs::write(&empty, b"").unwrap();
    for (words, code, sentence) in [
        ("explain", 2, "is missing"),
        ("explain --from a", 2, "FRAME"),
        ("explain 00", 2, "--from"),
        ("explain --from nowhere 00", 1, "there is no port `nowhere`"),
        ("explain --from guests 00", 1, "`guests` waits for clients: no frame can come in there"),
        ("explain --from a 0", 2, "1 hexadecimal digits are no whole octets"),
        ("explain --from a hello", 2, "`hello` is not understood"),
        ("explain --from a vlan 1", 2, "from whom and to whom?"),
        ("explain --from a 02:00 > broadcast", 2, "  ^^^^^"),
        ("explain --from a x.pcap#one", 2, "behind `#` stands a frame's number"),
        ("explain --from a /no/such.pcap#1", 1, "/no/such.pcap: it could not be read"),
        (&format!("explain --from a {}#1", empty.display()), 1, "neither pcap nor pcapng"),
        (&format!("explain --from a {folder}#1"), 1, "could not be read"),
        (&format!("explain --from a {}", "00".repeat(30_001)), 2, "30000 can be explained"),
        ("explain --from a --gso 0 00", 2, "--gso: `0` is not a number from 1 to 65535"),
        ("explain --from a --gso 1448 arp who-has 10.0.0.2", 1, "is TCP or UDP over IP"),
    ] {
        let (found, out, err) = lab.run(words);
        assert_eq!((found, &*out), (code, ""), "{words:.60}: {err}");
        assert!(err.contains(sentence), "{words:.60}: {err}");
        assert!(err.lines().all(|line| line.starts_with("uswitch: ")), "{words:.60}: {err}");
    }
    let mut line = lab.line("lab");
    for (request, sentence) in [
        (r#"{"v":1,"do":"explain","from":"a"}"#.to_owned(), "`frame`"),
        (r#"{"v":1,"do":"explain","from":"a","frame":"0g"}"#.to_owned(), "no hexadecimal digit"),
        (r#"{"v":1,"do":"explain","from":"c","frame":""}"#.to_owned(), "there is no port `c`"),
        (
            format!(r#"{{"v":1,"do":"explain","from":"a","frame":"{}"}}"#, "00".repeat(30_001)),
            "30000 octets at the most",
        ),
    ] {
        let answer = line.ask(&request);
        assert!(answer["error"].as_str().unwrap().contains(sentence), "{answer}");
    }
    let none = line.ask(r#"{"v":1,"do":"explain","from":"a","frame":""}"#);
    assert_eq!(none["ok"]["verdict"]["counter"], "rx_runt", "{none}");
    lab.end("lab", running);
}

//! Static entries, and what is told of stations, on a switch with stream ports.

use std::{fs, os::unix::net::UnixListener, thread};

use serde_json::{Value, json};
use uswitch_tests::exchange::{BROADCAST, frame, station};

use crate::{
    lab::{Lab, Line, eventually},
    station::Station,
};

/// The first two stations' addresses, as they are written.
const MACS: [&str; 2] = ["02:00:00:00:01:01", "02:00:00:00:01:02"];

/// Says hello to everybody.
fn hello(from: &mut Station, number: u16) {
    let mut source = station(1);
    source[4..].copy_from_slice(&number.to_be_bytes());
    from.put(&frame(BROADCAST, source, b"hello"));
}

/// Begins to listen for stations.
fn listen(lab: &Lab) -> Line {
    let mut line = lab.line("lab");
    assert!(line.ask(r#"{"v":1,"do":"monitor","what":"fdb"}"#)["ok"].is_object());
    line
}

/// Waits for an event of this kind, and does something again and again meanwhile: where ageing is
/// short, a station may age before it is seen.
fn told(line: &mut Line, kind: &str, mut again: impl FnMut()) -> Value {
    thread::scope(|scope| {
        let listener = scope.spawn(|| {
            loop {
                let event = line.next().expect("it goes on");
                if event["event"] == kind {
                    return event;
                }
            }
        });
        while !listener.is_finished() {
            again();
            thread::yield_now();
        }
        listener.join().unwrap()
    })
}

#[test]
fn static_station_is_where_it_was_said_to_be_whoever_uses_its_address() {
    let lab = Lab::new();
    let running = lab.start("lab", &["a", "b", "c"], &[]);
    let mut hosts = ["a", "b", "c"].map(|port| {
        let host = lab.station(port);
        eventually("it is there", || lab.log("lab").contains(&format!("{port}.1: connected")));
        host
    });
    lab.done(&format!("fdb add {} dev a.1", MACS[0]));
    assert_eq!(lab.done("fdb show"), format!("{} dev a.1 static\n", MACS[0]));
    // A thief at b, who is heard, and learned nowhere.
    let stolen = frame(BROADCAST, station(1), b"mine");
    hosts[1].put(&stolen);
    assert_eq!(hosts[2].take(), stolen);
    assert_eq!(hosts[0].take(), stolen);
    let to_it = frame(station(1), station(3), b"to whom it belongs");
    hosts[2].put(&to_it);
    assert_eq!(hosts[0].take(), to_it);
    let rows = lab.json(&format!("fdb get {} -j", MACS[0]));
    assert_eq!((&rows[0]["ifname"], &rows[0]["state"]), (&"a.1".into(), &"static".into()));
    assert_eq!(lab.json("stats -j")["total"]["learn_static"], 1);
    // A flush leaves it, and forgets who sent to it.
    assert_eq!(lab.done("fdb flush"), "1 address forgotten\n");
    assert_eq!(lab.done("fdb show"), format!("{} dev a.1 static\n", MACS[0]));
    // It can be said to be elsewhere, and deleted only where it is.
    lab.done(&format!("fdb add {} port b.1 master static", MACS[0]));
    assert_eq!(lab.done("fdb show port b"), format!("{} dev b.1 static\n", MACS[0]));
    let (code, _, err) = lab.run(&format!("fdb del {} dev a", MACS[0]));
    assert!(code == 1 && err.contains("is behind `b.1`, not behind `a`"), "{err}");
    lab.done(&format!("fdb del {} dev b", MACS[0]));
    assert_eq!(lab.done("fdb show"), "");
    // A learned one can be deleted too.
    hosts[1].put(&stolen);
    assert_eq!(hosts[0].take(), stolen);
    eventually("it is learned", || lab.done("fdb show") == format!("{} dev b.1\n", MACS[0]));
    let gone = lab.json(&format!("fdb del {} -j", MACS[0]));
    assert_eq!((&gone[0]["ifname"], &gone[0]["state"]), (&"b.1".into(), &"".into()));
    assert_eq!(lab.done("fdb show"), "");
    lab.end("lab", running);
}

#[test]
fn static_entry_comes_back_with_its_port_and_goes_when_that_is_deleted() {
    let lab = Lab::new();
    let running = lab.start("lab", &["a"], &[]);
    let path = lab.path("far.sock");
    lab.done(&format!("port add stream:{},connect=on,name=far", path.display()));
    lab.done(&format!("fdb add {} dev far", MACS[0]));
    let there = format!("{} dev far static\n", MACS[0]);
    let away = format!("{} dev far static (its port is away)\n", MACS[0]);
    for _ in 0..2 {
        let listener = UnixListener::bind(&path).unwrap();
        let client = listener.accept().unwrap().0;
        eventually("it is there", || lab.done("fdb show") == there);
        // Whoever listens takes the next connection at once: nobody may.
        drop(listener);
        fs::remove_file(&path).unwrap();
        drop(client);
        eventually("it has left", || lab.done("fdb show") == away);
    }
    let rows = lab.json("fdb show port far -j");
    assert_eq!((&rows[0]["mac"], &rows[0]["state"]), (&MACS[0].into(), &"static".into()));
    lab.done("port del far");
    assert_eq!(lab.done("fdb show"), "");
    let listener = UnixListener::bind(&path).unwrap();
    lab.done(&format!("port add stream:{},connect=on,name=far", path.display()));
    let _client = listener.accept().unwrap();
    eventually("it is back", || lab.json("port show far -j")[0]["operstate"] == "UP");
    assert_eq!(lab.done("fdb show"), "");
    lab.end("lab", running);
}

/// A file with the stream ports `a`, `b` and `c`, and these static entries: the number of a station
/// and its port.
fn file(lab: &Lab, statics: &[(u16, &str)]) -> String {
    let port = |name| format!("[[port]]\nstream = \"{}\"\n", lab.path(name).display());
    let entry = |(number, port): &(u16, &str)| {
        format!("[[fdb.static]]\nmac = \"02:00:00:00:01:{number:02}\"\nport = \"{port}\"\n")
    };
    let text = statics.iter().map(entry).chain(["a", "b", "c"].map(port)).collect::<String>();
    // In one step, so that it is never read half written.
    fs::write(lab.path("new"), text).unwrap();
    fs::rename(lab.path("new"), lab.path("lab.toml")).unwrap();
    lab.path("lab.toml").display().to_string()
}

/// How such an entry is shown.
fn entry_line((number, port): &(u16, &str)) -> String {
    format!("02:00:00:00:01:{number:02} dev {port} static")
}

/// What `fdb show` should tell of these, and of the station that was learned.
fn shown(statics: &[(u16, &str)]) -> Vec<String> {
    let learned = "02:00:00:00:01:09 dev c.1".to_owned();
    statics.iter().map(entry_line).chain([learned]).collect()
}

#[test]
fn static_entries_that_differ_in_the_file_come_and_go_and_the_others_hold_all_the_while() {
    const ROUNDS: usize = 3;
    // The first stays, the second goes, the third is said to be elsewhere, the fourth comes.
    let (old, new) = (
        [(1, "a.1"), (2, "b.1"), (3, "a.1")].as_slice(),
        [(1, "a.1"), (3, "b.1"), (4, "b.1")].as_slice(),
    );
    let lab = Lab::new();
    let path = file(&lab, old);
    let running = lab.start("lab", &[], &["-c", &path]);
    let [mut a, mut b, mut c] = ["a", "b", "c"].map(|port| {
        let host = lab.station(port);
        eventually("it is there", || lab.log("lab").contains(&format!("{port}.1: connected")));
        host
    });
    hello(&mut c, 0x0109);
    [a.take(), b.take()].into_iter().for_each(drop);
    let table = || lab.done("fdb show").lines().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(table(), shown(old));
    let [second, fourth] = [2, 4].map(|number| entry_line(&(number, "b.1")));
    let [here, there] = ["a.1", "b.1"].map(|port| entry_line(&(3, port)));
    let forth = [format!("- {second}"), format!("~ {here} -> {there}"), format!("+ {fourth}")];
    let back = [format!("- {fourth}"), format!("~ {there} -> {here}"), format!("+ {second}")];
    // A thief who uses the address of the first: wherever it were not known for a moment, it would
    // be learned.
    let stolen = frame(station(1), station(1), b"mine");
    let frames = thread::scope(|scope| {
        let turning = scope.spawn(|| {
            for _ in 0..ROUNDS {
                file(&lab, new);
                running.signal("-HUP");
                eventually("the entries are those of the file", || table() == shown(new));
                file(&lab, old);
                let applied = lab.json("reload -j");
                assert_eq!(applied["statics"], json!(back), "{applied}");
                assert_eq!((&applied["came"], &applied["removed"]), (&json!(0), &json!(0)));
                assert_eq!(table(), shown(old));
            }
        });
        let mut frames = 0;
        while !turning.is_finished() {
            b.put(&stolen);
            assert_eq!(a.take(), stolen);
            frames += 1;
        }
        turning.join().unwrap();
        frames
    });
    // Each entry is what it says: to where the file says, and to nobody else.
    file(&lab, new);
    assert_eq!(lab.done("reload"), format!("{path}: applied, {}\n", forth.join(", ")));
    for number in [3, 4] {
        let frame = frame(station(number), station(9), b"to whom it belongs");
        c.put(&frame);
        assert_eq!(b.take(), frame);
    }
    let unsaid = frame(station(2), station(9), b"to whom it may concern");
    c.put(&unsaid);
    assert_eq!([a.take(), b.take()], [unsaid.clone(), unsaid]);
    assert_eq!(lab.log("lab").matches(": connected").count(), 3, "no port was touched");
    let report = lab.end("lab", running);
    let total = &report["total"];
    assert_eq!((&total["learn_static"], &total["learn_new"]), (&json!(frames), &json!(1)));
}

#[test]
fn what_happens_to_stations_is_told_to_who_listens_for_it() {
    let lab = Lab::new();
    let words = ["--ageing", "1", "--fdb-quota", "2"];
    let running = lab.start("lab", &["a", "b"], &words);
    let (mut a, mut b) = (lab.station("a"), lab.station("b"));
    eventually("both are there", || lab.log("lab").matches(": connected").count() == 2);
    let mut for_ports = lab.line("lab");
    assert!(for_ports.ask(r#"{"v":1,"do":"monitor","what":"port"}"#)["ok"].is_object());
    let mut line = listen(&lab);
    let learned = told(&mut line, "learned", || hello(&mut a, 0x0101));
    assert_eq!((&learned["mac"], &learned["port"]), (&MACS[0].into(), &"a.1".into()));
    assert_eq!(learned["text"], format!("{}: learned behind a.1", MACS[0]));
    let aged = told(&mut line, "aged", || {});
    assert_eq!((&aged["mac"], &aged["port"]), (&MACS[0].into(), &"a.1".into()));
    let quota = told(&mut line, "quota", || (0..9).for_each(|number| hello(&mut b, number)));
    assert_eq!((&quota["port"], &quota["mac"]), (&"b.1".into(), &Value::Null));
    lab.done("port del a");
    assert_eq!(for_ports.next().unwrap()["event"], "removed", "and nothing of stations before");
    lab.end("lab", running);
}

#[test]
fn station_that_moves_or_is_forgotten_is_told() {
    let lab = Lab::new();
    let running = lab.start("lab", &["a", "b"], &[]);
    let (mut a, mut b) = (lab.station("a"), lab.station("b"));
    eventually("both are there", || lab.log("lab").matches(": connected").count() == 2);
    hello(&mut a, 0x0102);
    eventually("it is learned", || lab.done("fdb show") == format!("{} dev a.1\n", MACS[1]));
    let mut line = listen(&lab);
    hello(&mut b, 0x0102);
    let moved = line.next().unwrap();
    assert_eq!((&moved["event"], &moved["mac"]), (&"moved".into(), &MACS[1].into()), "{moved}");
    assert_eq!(moved["ports"], json!(["a.1", "b.1"]));
    lab.done("fdb flush");
    let forgotten = line.next().unwrap();
    assert_eq!((&forgotten["event"], &forgotten["port"]), (&"forgotten".into(), &"b.1".into()));
    lab.end("lab", running);
}

#[test]
fn flood_of_addresses_is_told_in_part_and_the_rest_is_counted() {
    const STATIONS: u64 = 10_000;
    let lab = Lab::new();
    let running = lab.start("lab", &["a", "b"], &["--fdb-quota", "20000"]);
    let mut a = lab.station("a");
    eventually("it is there", || lab.log("lab").contains("a.1: connected"));
    let mut line = listen(&lab);
    (0..STATIONS as u16).for_each(|number| hello(&mut a, number));
    let (mut told, mut missed) = (0, 0);
    while told + missed < STATIONS {
        let event = line.next().expect("it goes on");
        assert_eq!(event["event"], "learned", "{event}");
        told += 1;
        missed += event["missed"].as_u64().unwrap_or(0);
    }
    assert_eq!(told + missed, STATIONS);
    assert!(missed > 0, "{told} were told");
    assert_eq!(lab.json("stats -j")["fdb"]["used"], STATIONS);
    lab.end("lab", running);
}

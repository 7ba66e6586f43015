//! Static entries, on a switch with stream ports.

use std::os::unix::net::UnixListener;

use uswitch_tests::exchange::{BROADCAST, frame, station};

use crate::lab::{Lab, eventually};

/// The first station's address, as it is written.
const MACS: [&str; 1] = ["02:00:00:00:01:01"];

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
    let listener = UnixListener::bind(&path).unwrap();
    lab.done(&format!("port add stream:{},connect=on,name=far", path.display()));
    lab.done(&format!("fdb add {} dev far", MACS[0]));
    let there = format!("{} dev far static\n", MACS[0]);
    for round in 0..2 {
        let client = listener.accept().unwrap().0;
        eventually("it is there", || lab.done("fdb show") == there);
        drop(client);
        let away = format!("{} dev far static (its port is away)\n", MACS[0]);
        eventually("it has left", || lab.done("fdb show") == away || round == 1);
    }
    let rows = lab.json("fdb show port far -j");
    assert_eq!((&rows[0]["mac"], &rows[0]["state"]), (&MACS[0].into(), &"static".into()));
    lab.done("port del far");
    assert_eq!(lab.done("fdb show"), "");
    lab.done(&format!("port add stream:{},connect=on,name=far", path.display()));
    let _client = listener.accept().unwrap();
    eventually("it is back", || lab.json("port show far -j")[0]["operstate"] == "UP");
    assert_eq!(lab.done("fdb show"), "");
    lab.end("lab", running);
}

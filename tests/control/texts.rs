//! What the commands print for people, to the letter: a change of it is a change of this text.

use uswitch_tests::exchange::{BROADCAST, frame, station};

use crate::lab::{Lab, eventually};

const STATS: &str = "\
port   rx frames  rx octets  tx frames  tx octets  flooded  rx drops  tx drops
a.1            4         57          1         20        1         3         0
b.1            1         20          1         19        0         0         0
total          5         77          2         39        1         3         0

dropped           frames  because
rx_runt                1  shorter than an Ethernet header
rx_group_source        1  the source is a group address, which no station has
filter_same_port       1  the destination is behind the port where the frame
                          came from
learned addresses: 2 of 65,536
";

const DROPS: &str = "\
dropped           port  frames  because
rx_runt           a.1        1  shorter than an Ethernet header
rx_group_source   a.1        1  the source is a group address, which no station
                                has
filter_same_port  a.1        1  the destination is behind the port where the
                                frame came from
";

const PORTS: &str = "\
port  kind    state   mtu  rx frames  octets  drops  tx frames  octets  drops
a.1   stream  UP     1500          4      57      3          1      20      0
b.1   stream  UP     1500          1      20      0          1      19      0
";

const STATIONS: &str = "\
02:00:00:00:01:01 dev a.1
02:00:00:00:01:02 dev b.1
";

#[test]
fn tables_are_these_to_the_letter() {
    let lab = Lab::new();
    let _running = lab.start("lab", &["a", "b"], &["--workers=1"]);
    let [mut a, mut b] = ["a", "b"].map(|port| {
        let host = lab.station(port);
        eventually("it is there", || lab.log("lab").contains(&format!("{port}.1: connected")));
        host
    });
    let hello = frame(BROADCAST, station(1), b"hello");
    a.put(&hello);
    assert_eq!(b.take(), hello);
    let answer = frame(station(1), station(2), b"answer");
    b.put(&answer);
    assert_eq!(a.take(), answer);
    // A runt, one from a group, one to itself.
    a.put(&[1; 10]);
    a.put(&frame(BROADCAST, [1, 0, 0, 0, 1, 1], b""));
    a.put(&frame(station(1), station(1), b""));
    let counted = || lab.json("stats -j")["total"]["rx_frames"] == 5;
    eventually("all are counted", counted);
    let stats = lab.done("stats");
    let (first, table) = stats.split_once("\n\n").unwrap();
    assert!(first.starts_with("after ") && first.ends_with(" s so far:"), "{first}");
    assert_eq!(table, STATS);
    assert_eq!(lab.done("drops"), DROPS);
    assert_eq!(lab.done("port show -s"), PORTS);
    assert_eq!(lab.done("fdb show"), STATIONS);
}

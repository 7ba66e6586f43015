//! Frames as they are: what passes does so octet for octet, what does not is counted.

use netlab::tap_persistent;
use uswitch::{
    bridge::GroupForward,
    frame::Arena,
    port::{Port, Rx, Tx, tap::Tap},
    stats::Counter,
};
use uswitch_tests::{
    exchange::{BROADCAST, exchange, frame, marking_station, station},
    privileged,
};

use crate::lab::{Lab, Plan, eventually, tap_in};

const NOTHING: [Vec<u8>; 0] = [];

/// The address of bridges (IEEE 802.1Q-2018, table 8-1), the first of the reserved ones.
fn reserved(last: u8) -> [u8; 6] {
    [1, 0x80, 0xc2, 0, 0, last]
}

/// A frame with these octets behind the addresses, filled up with others.
fn filled(head: &[u8], octets: usize) -> Vec<u8> {
    let mut frame = [&station(1)[..], &station(2), head].concat();
    let len = frame.len();
    frame.extend((0..octets.saturating_sub(len)).map(|at| at as u8));
    frame
}

#[test]
fn frames_pass_octet_for_octet() {
    if !privileged() {
        return;
    }
    let tagged = [0x81, 0, 0xe0, 0x2a, 0x88, 0xb5];
    let priority = [0x81, 0, 0xa0, 0, 0x88, 0xb5];
    let service = [0x88, 0xa8, 0, 7, 0x88, 0xb5];
    let stacked = [0x88, 0xa8, 0, 7, 0x81, 0, 0, 8, 0x88, 0xb5];
    let thrice = [0x81, 0, 0, 1, 0x81, 0, 0, 2, 0x81, 0, 0, 3, 0x88, 0xb5];
    let old = [0x91, 0, 0, 7, 0x08, 0];
    let llc = [0, 38, 0x42, 0x42, 3];
    let [snap, unknown] = [[0, 40, 0xaa, 0xaa, 3], [0xde, 0xad, 0, 0, 0]];
    let heads: [&[u8]; 9] =
        [&tagged, &priority, &service, &stacked, &thrice, &old, &llc, &snap, &unknown];
    let mut frames = Vec::new();
    for head in heads {
        // A host throws a tagged frame away that ends within the type behind the tag.
        frames.extend([12 + head.len() + 2, 60, 64, 65, 1000, 1514].map(|len| filled(head, len)));
    }
    frames.extend((14..60).map(|len| filled(&[0x88, 0xb5], len)));
    frames.push(filled(&tagged, 1518));

    let lab = Lab::new(&Plan::quiet(3));
    let mut sockets = lab.sockets();
    for (from, to) in [(0, 1), (1, 0), (2, 1)] {
        for some in frames.chunks(20) {
            let received = exchange(&mut sockets, from, some);
            assert_eq!(received[to], some);
        }
    }
    lab.finish();
}

#[test]
fn frame_too_large_for_one_port_reaches_the_others() {
    if !privileged() {
        return;
    }
    let mut lab = Lab::new(&Plan { mtu: 9000, ..Plan::quiet(2) });
    lab.add_host(&Plan::quiet(1));
    let mut sockets = lab.sockets();
    let untagged = [0x88, 0xb5];
    let tagged = [0x81, 0, 0, 7, 0x88, 0xb5];
    let stacked = [0x88, 0xa8, 0, 7, 0x81, 0, 0, 8, 0x88, 0xb5];
    let cases: [(&[u8], usize); 3] = [(&untagged, 1514), (&tagged, 1518), (&stacked, 1522)];
    for (head, largest) in cases {
        let frames = [largest, largest + 1, 5000, 9014, 60].map(|octets| filled(head, octets));
        let before = lab.count(2, Counter::TxOversize);
        let received = exchange(&mut sockets, 0, &frames);
        assert_eq!(received[1], frames);
        assert_eq!(received[2], [frames[0].clone(), frames[4].clone()]);
        lab.settle();
        assert_eq!(lab.count(2, Counter::TxOversize) - before, 3);
    }
    lab.finish();
}

#[test]
fn reserved_addresses_pass_a_wire_but_no_bridge() {
    if !privileged() {
        return;
    }
    for group_forward in [GroupForward::Standard, GroupForward::Wire] {
        let mut plan = Plan::quiet(3);
        plan.switch.group_forward = group_forward;
        let lab = Lab::new(&plan);
        let mut sockets = lab.sockets();
        let to = |last| frame(reserved(last), station(last), &[last; 46]);
        let frames: Vec<_> = (0..=16).map(to).collect();
        let received = exchange(&mut sockets, 0, &frames);
        let wire = group_forward == GroupForward::Wire;
        for socket in [1, 2] {
            assert_eq!(received[socket], if wire { &frames[..] } else { &frames[16..] });
        }
        lab.settle();
        assert_eq!(lab.count(0, Counter::FilterReserved), if wire { 0 } else { 16 });
        lab.finish();
    }
}

#[test]
fn frames_that_no_bridge_may_forward_are_counted() {
    if !privileged() {
        return;
    }
    let lab = Lab::new(&Plan::quiet(2));
    let mut sockets = lab.sockets();
    let group = frame(BROADCAST, [3, 0, 0, 0, 0, 1], b"from a group");
    let null = frame(BROADCAST, [0; 6], b"from nobody");
    let own = frame(station(1), station(1), b"to myself");
    let received = exchange(&mut sockets, 0, &[&group, &null, &own]);
    assert_eq!(received[1], NOTHING);
    lab.settle();
    for reason in [Counter::RxGroupSource, Counter::RxNullSource, Counter::FilterSamePort] {
        assert_eq!(lab.count(0, reason), 1, "{}", reason.name());
    }
    let known = lab.handle.fdb().entries(lab.handle.now()).map(|entry| entry.mac.octets());
    let mut known: Vec<_> = known.collect();
    known.sort_unstable();
    assert_eq!(known, [station(1), marking_station(0)]);
    lab.finish();
}

/// Nobody reads, so the device's queue overflows: what it drops, and what it keeps, is all.
#[test]
fn frames_that_the_device_dropped_before_they_were_read_are_told() {
    const FRAMES: u64 = 3000;
    if !privileged() {
        return;
    }
    let lab = Lab::new(&Plan::quiet(1));
    let namespace = &lab.hosts[0].namespace;
    tap_persistent(namespace, "tap1", None, false).unwrap();
    let config = uswitch::port::tap::TapConfig { name: "tap1".into(), ..tap_in(namespace) };
    let (mut receiving, tx) = Tap::open(&config).unwrap().split().unwrap();
    let socket = netlab::FrameSocket::open(namespace, "tap1").unwrap();
    let mut taken = 0;
    for number in 0..FRAMES {
        let frame = frame(BROADCAST, station(1), &number.to_be_bytes());
        // A queue in front of the device may be full too, and says so.
        taken += u64::from(socket.send(&frame).is_ok());
    }
    let mut arena = Arena::new();
    let mut read = 0;
    eventually("each frame was read or dropped", || {
        read += receiving[0].recv(&mut arena).unwrap().len() as u64;
        let dropped = tx.kernel_drops().rx;
        assert!(read + dropped <= FRAMES, "{read} and {dropped}");
        dropped > 0 && read + dropped >= taken
    });
    assert!(read >= 100, "{read} frames were kept");
    lab.finish();
}

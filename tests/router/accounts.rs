//! Every packet is accounted for, whoever decided about it.

use std::{
    net::{SocketAddr, UdpSocket},
    thread,
    time::{Duration, Instant},
};

use netlab::{NEVER, transfer_tcp, transfer_udp};
use uswitch::stats::Counter;
use uswitch_router::{
    stats::Reason,
    totals::{Count, Totals},
};
use uswitch_tests::privileged;

use crate::lab::{Bridge, Host, Lab, PATIENCE, own};

/// Datagrams of each kind.
const MANY: usize = 5;
/// Octets for which the second bridge is too small.
const LARGE: usize = 5000;
/// The port for what nobody listens to.
const DISCARD: u16 = 9;
const OCTETS: u64 = 1 << 20;

/// Sends datagrams of so many octets to an address, with so many hops left.
fn send(host: &Host, to: &str, (octets, hops): (usize, u32)) {
    let to = SocketAddr::new(to.parse().unwrap(), DISCARD);
    let socket = host.namespace.run(|| UdpSocket::bind("0.0.0.0:0").unwrap()).unwrap();
    socket.set_ttl(hops).unwrap();
    for _ in 0..MANY {
        // Each error that came is told once, in the place of a datagram.
        let sent = (0..=MANY).any(|_| socket.send_to(&vec![0; octets], to).is_ok());
        assert!(sent, "{to}");
    }
}

/// The frames that the ports of all legs have sent and received.
fn frames(lab: &Lab) -> [u64; 2] {
    [Counter::TxFrames, Counter::RxFrames].map(|counter| {
        let ports = lab.legs.iter();
        ports.map(|(_, port)| lab.handle.stats(port).unwrap().get(counter)).sum()
    })
}

/// Waits until nothing is under way: each sum is the same on both sides.
fn settled(lab: &Lab) -> Totals {
    let since = Instant::now();
    loop {
        // Before and after: it is a moment at which nothing happened.
        let before = frames(lab);
        let totals = lab.legs.totals(&lab.handle);
        let counted = [totals.frames_in(), totals.frames_out()];
        if before == frames(lab) && before == counted && totals.missing() == [0, 0] {
            return totals;
        }
        let missing = totals.missing();
        assert!(since.elapsed() < PATIENCE, "{before:?}, {counted:?}, {missing:?}: {totals:?}");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn every_packet_is_accounted_for() {
    if !privileged() {
        return;
    }
    for workers in [1, 2] {
        let bridges = [Bridge { hosts: 2, mtu: 9000 }, Bridge { hosts: 1, mtu: 1400 }];
        let lab = Lab::new(&bridges, workers);
        let (one, two) = (&lab.hosts[0][0], &lab.hosts[1][0]);
        for address in [two.v4(), two.v6(), own(0)[0], own(1)[1]] {
            one.ping(address);
        }
        let (near, far) = (&one.namespace, &two.namespace);
        for (there, back) in [(two.v4(), one.v4()), (two.v6(), one.v6())] {
            let [there, back] = [there, back].map(|address| SocketAddr::new(address, 0));
            assert!(transfer_tcp(near, far, there, OCTETS, 1, &NEVER).unwrap().is_sound());
            assert!(transfer_udp(far, near, back, OCTETS, 1, &NEVER).unwrap().is_sound());
        }
        let before = settled(&lab);
        send(one, &two.v4().to_string(), (LARGE, 64));
        send(one, &two.v4().to_string(), (8, 1));
        send(one, "10.77.0.1", (8, 64));
        send(one, "10.1.0.99", (8, 64));
        send(one, "240.0.0.1", (8, 64));
        send(one, &own(1)[0].to_string(), (8, 64));
        let since = Instant::now();
        let lost = |totals: &Totals| {
            let waited = [Reason::NoAnswer, Reason::HeldFull, Reason::AskLimited];
            waited.iter().map(|reason| totals.dropped(*reason)).sum::<u64>()
        };
        // Whoever does not answer is asked for three seconds.
        while lost(&lab.legs.totals(&lab.handle)) - lost(&before) < MANY as u64 {
            assert!(since.elapsed() < PATIENCE, "{:?}", lab.legs.totals(&lab.handle));
            thread::sleep(Duration::from_millis(50));
        }
        let after = settled(&lab);
        for reason in [Reason::Ttl, Reason::NoRoute, Reason::MartianDestination] {
            let dropped = after.dropped(reason) - before.dropped(reason);
            assert_eq!(dropped, MANY as u64, "{reason:?}: {after:?}");
        }
        assert_eq!(lost(&after) - lost(&before), MANY as u64);
        let local = after.get(Count::Local) - before.get(Count::Local);
        assert!(local >= MANY as u64, "{after:?}");
        for count in [Count::Forwarded, Count::Echoes, Count::IcmpSent, Count::OwnSent] {
            assert!(after.get(count) > 0, "{count:?}: {after:?}");
        }
        assert!(after.dropped(Reason::TooBig) > 0, "the smaller link was found out: {after:?}");
        assert_eq!(after.get(Count::Held), 0);
    }
}

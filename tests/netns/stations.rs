//! Where the switch believes stations to be: moves, ageing and floods of addresses.

use std::{
    fs, slice,
    time::{Duration, Instant},
};

use uswitch::{fdb::FdbConfig, stats::Counter, switch::Event};
use uswitch_tests::{
    exchange::{BROADCAST, EXPERIMENT, exchange, frame, station},
    privileged,
};

use crate::{
    child::alone,
    lab::{Lab, PATIENCE, Plan, TAP, check_accounts, eventually},
};

const NOTHING: [Vec<u8>; 0] = [];

#[test]
fn station_that_moved_is_found_at_once() {
    if !privileged() {
        return;
    }
    let mut lab = Lab::new(&Plan::quiet(3).workers(2));
    let mut sockets = lab.sockets();
    let to_it = frame(station(1), station(2), b"where are you?");
    for round in 0..20u8 {
        let at = usize::from(round) % 2;
        let hello = frame(BROADCAST, station(1), &[round]);
        assert_eq!(exchange(&mut sockets, at, &[&hello])[2], [hello]);
        let received = exchange(&mut sockets, 2, &[&to_it]);
        assert_eq!(received[at], slice::from_ref(&to_it), "round {round}");
        assert_eq!(received[1 - at], NOTHING, "round {round}");
    }
    // A turn is counted when its frames have left.
    eventually("each move is counted", || {
        let moves = [0, 1].map(|host| lab.count(host, Counter::LearnMoved)).iter().sum::<u64>();
        assert!(moves <= 19, "{moves} moves");
        moves == 19
    });
    lab.settle();
    // Where the rounds take longer than a few ticks, as on a busy machine, it is told.
    let told = lab.handle.tend();
    let flaps = |event: &Event| {
        matches!(event, Event::Flapping { station: flapping, .. }
        if flapping.octets() == station(1))
    };
    assert!(told.iter().all(flaps), "nothing else happened: {told:?}");
    check_accounts(&lab.handle.stop());
}

/// A host's own address appears at another port: its peers' streams follow.
#[test]
fn host_that_took_anothers_address_gets_its_frames() {
    if !privileged() {
        return;
    }
    let lab = Lab::new(&Plan::hosts(3));
    let [old, new, peer] = lab.hosts.as_slice() else { unreachable!() };
    peer.ping(old.v4());
    old.namespace.links().unwrap().set_down(TAP).unwrap();
    new.namespace.links().unwrap().set_mac(TAP, old.mac).unwrap();
    let mut links = peer.namespace.links().unwrap();
    links.add_neighbour(TAP, new.v4(), old.mac).unwrap();
    // It speaks once: nobody else has to know.
    new.ping(peer.v4());
    peer.ping(new.v4());
    assert_eq!(lab.count(1, Counter::LearnMoved), 1);
    lab.settle();
    lab.finish();
}

#[test]
fn silent_station_is_forgotten_and_its_frames_are_flooded() {
    const AGEING: Duration = Duration::from_secs(1);
    if !privileged() {
        return;
    }
    let mut plan = Plan::quiet(3);
    plan.switch.fdb.ageing = AGEING;
    let lab = Lab::new(&plan);
    let mut sockets = lab.sockets();
    let to_it = frame(station(1), station(2), b"are you there?");
    let hello = frame(BROADCAST, station(1), b"hello");
    // On a machine that is stopped for a second between two frames this takes a second try.
    let spoke = loop {
        let spoke = Instant::now();
        exchange(&mut sockets, 0, &[&hello]);
        let received = exchange(&mut sockets, 2, &[&to_it]);
        assert_eq!(received[0], slice::from_ref(&to_it));
        if spoke.elapsed() < AGEING * 9 / 10 {
            assert_eq!(received[1], NOTHING, "it is known, and so are its frames' ways");
            break spoke;
        }
    };
    eventually("its frames are flooded", || {
        exchange(&mut sockets, 2, &[&to_it])[1] == [to_it.clone()]
    });
    // A tick less: when it was learned is known by the tick.
    assert!(spoke.elapsed() > AGEING - Duration::from_millis(200), "{:?}", spoke.elapsed());
    lab.finish();
}

/// Octets of this process that are in memory.
fn resident_octets() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

#[test]
fn flood_of_addresses_costs_its_own_port_alone() {
    const ADDRESSES: u32 = 200_000;
    const SIZE: u32 = 4096;
    // Other tests would use memory too.
    if !privileged() || !alone("stations::flood_of_addresses_costs_its_own_port_alone") {
        return;
    }
    let mut plan = Plan::quiet(4).workers(2);
    plan.switch.fdb = FdbConfig::new(SIZE);
    let lab = Lab::new(&plan);
    let quota = (SIZE / 8) as usize;
    let [flooder, from, to, sink] = [0, 1, 2, 3];
    let mut near = lab.hosts[flooder].socket();
    let hello = frame(BROADCAST, station(3), b"send it to me");
    lab.hosts[sink].socket().send(&hello).unwrap();
    assert_eq!(near.recv(PATIENCE).unwrap(), Some(hello), "the sink is known");
    let mut stream = lab.stream(from, to);
    let resident = resident_octets();
    let sent = stream.beside(|| {
        let mut sent = 0;
        for number in 0..ADDRESSES {
            let [a, b, c, d] = number.to_be_bytes();
            let flood = [&station(3)[..], &[6, a, b, c, d, 6], &EXPERIMENT, &[0; 46]].concat();
            // The device has no room now and then: the switch does not see that frame.
            sent += u64::from(near.send(&flood).is_ok());
        }
        sent
    });
    stream.run(1000);
    lab.settle();
    let grown = resident_octets().saturating_sub(resident);
    assert!(grown < 4 << 20, "{grown} octets more");
    let ports = lab.port(flooder);
    let count = |counter| ports.stats.get(counter);
    assert_eq!(count(Counter::RxFrames) + ports.kernel.rx, sent, "each is accounted for");
    assert_eq!(count(Counter::LearnNew), quota as u64);
    assert_eq!(count(Counter::LearnNew) + count(Counter::LearnQuota), count(Counter::RxFrames));
    assert_eq!(lab.handle.fdb().used_by(lab.hosts[flooder].port), quota);
    assert!(lab.handle.report().fdb_used <= quota + 8);
    for (host, what) in [(from, "sender"), (to, "receiver")] {
        assert_eq!(lab.count(host, Counter::LearnNew), 1, "the {what} was never forgotten");
        assert_eq!(lab.handle.fdb().used_by(lab.hosts[host].port), 1);
    }
    lab.finish();
}

//! The whole switch over socketpairs: the code that runs on a TAP, without privilege. A port
//! that is full, a port that closes, and frames of any octets.

use std::{
    os::fd::OwnedFd,
    thread,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    sys::socket::{AddressFamily, SockFlag, SockType, socketpair},
    unistd::{read, write},
};
use uswitch::{
    frame::{Mac, WIRE_MAX},
    offload::VNET_HEADER_LEN,
    port::datagram::Datagram,
    stats::Counter,
    switch::{self, Event, Handle, PortConfig, Report, SwitchConfig},
};

const PATIENCE: Duration = Duration::from_secs(60);

/// A switch with so many workers, and the hosts' ends of its ports.
fn started(workers: usize, ports: usize) -> (Handle<Datagram>, Vec<OwnedFd>) {
    let mut handle = switch::start(&SwitchConfig { workers, ..SwitchConfig::default() }).unwrap();
    let hosts = (0..ports).map(|number| {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let pair = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags).unwrap();
        let name = PortConfig::named(format!("port{number}"));
        handle.add(name, Datagram::new(pair.0, 1500)).unwrap();
        pair.1
    });
    let hosts = hosts.collect();
    (handle, hosts)
}

/// A frame behind an empty virtio-net header, with a number to know it by.
fn wire(to: Mac, from: Mac, number: u32) -> Vec<u8> {
    let header = [0; VNET_HEADER_LEN];
    [&header[..], &to.octets(), &from.octets(), &[0x88, 0xb5], &number.to_be_bytes()].concat()
}

/// Sends, and tries again while the switch has not read what came before.
fn send(host: &OwnedFd, wire: &[u8]) {
    let begin = Instant::now();
    while let Err(errno) = write(host, wire) {
        assert_eq!(errno, Errno::EAGAIN);
        assert!(begin.elapsed() < PATIENCE, "the switch reads on");
        thread::yield_now();
    }
}

/// The next frame, if one comes in time.
fn recv(host: &OwnedFd, patience: Duration) -> Option<Vec<u8>> {
    let begin = Instant::now();
    let mut octets = vec![0; WIRE_MAX];
    loop {
        match read(host, &mut octets) {
            Ok(len) => return Some(octets[..len].to_vec()),
            Err(errno) => assert_eq!(errno, Errno::EAGAIN),
        }
        if begin.elapsed() > patience {
            return None;
        }
        thread::yield_now();
    }
}

/// The equations at the head of stats.rs.
fn assert_accounts(report: &Report) {
    let sum = |which: fn(&switch::PortReport) -> u64| report.ports.iter().map(which).sum::<u64>();
    let received = sum(|port| port.stats.get(Counter::RxFrames));
    let passed =
        sum(|port| port.stats.get(Counter::RxForwarded) + port.stats.get(Counter::RxFlooded));
    assert_eq!(received, passed + sum(|port| port.stats.rx_drops()));
    let to_send =
        sum(|port| port.stats.get(Counter::RxForwarded) + port.stats.get(Counter::RxCopies));
    let sent = sum(|port| port.stats.get(Counter::TxFrames));
    assert_eq!(to_send, sent + sum(|port| port.stats.tx_drops()));
}

#[test]
fn port_that_does_not_read_costs_its_own_frames_and_nobody_elses() {
    const FRAMES: u32 = 19_200;
    const WINDOW: u32 = 32;
    for workers in [1, 2] {
        let (handle, hosts) = started(workers, 3);
        let [a, b, _deaf] = &hosts[..] else { unreachable!() };
        let source = Mac::new([2, 0, 0, 0, 0, 1]);
        let frame = |number| wire(Mac::BROADCAST, source, number);
        for first in (0..FRAMES).step_by(WINDOW as usize) {
            // Never more on the way than the host that reads has room for: what is tested is
            // the port that does not read.
            (first..first + WINDOW).for_each(|number| send(a, &frame(number)));
            for number in first..first + WINDOW {
                assert_eq!(recv(b, PATIENCE), Some(frame(number)), "the port that reads gets all");
            }
        }
        let report = handle.stop();
        let deaf = &report.ports[2].stats;
        assert!(deaf.get(Counter::TxFull) > 0);
        assert_eq!(deaf.get(Counter::TxFull) + deaf.get(Counter::TxFrames), u64::from(FRAMES));
        assert_eq!(report.ports[1].stats.tx_drops(), 0);
        assert_accounts(&report);
    }
}

#[test]
fn port_that_closes_leaves_with_one_event_and_the_others_go_on() {
    for workers in [1, 2, 3] {
        let (mut handle, mut hosts) = started(workers, 3);
        drop(hosts.remove(1));
        let [a, c] = &hosts[..] else { unreachable!() };
        let begin = Instant::now();
        let mut events = Vec::new();
        let mut number = 0;
        while events.is_empty() {
            assert!(begin.elapsed() < PATIENCE, "the port leaves");
            let frame = wire(Mac::BROADCAST, Mac::new([2, 0, 0, 0, 0, 1]), number);
            send(a, &frame);
            assert_eq!(recv(c, PATIENCE), Some(frame));
            number += 1;
            events = handle.tend();
        }
        assert!(matches!(&events[..], [Event::Detached { name, .. }] if name == "port1"));
        let frame = wire(Mac::BROADCAST, Mac::new([2, 0, 0, 0, 0, 2]), number);
        send(c, &frame);
        assert_eq!(recv(a, PATIENCE), Some(frame));
        assert!(handle.tend().is_empty());
        assert_accounts(&handle.stop());
    }
}

#[test]
fn frame_of_any_octets_passes_or_is_counted_and_never_stops_the_switch() {
    const FRAMES: usize = 5_000;
    let (handle, hosts) = started(2, 2);
    let mut state = 1_u64;
    let mut random = || {
        // xorshift64 (Marsaglia, 2003).
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for _ in 0..FRAMES {
        let len = 1 + random() as usize % if random() % 8 == 0 { 3000 } else { 40 };
        let wire: Vec<u8> = (0..len).map(|_| random() as u8).collect();
        send(&hosts[random() as usize % 2], &wire);
        while recv(&hosts[0], Duration::ZERO).is_some() {}
        while recv(&hosts[1], Duration::ZERO).is_some() {}
    }
    let received = |report: &Report| {
        report.ports.iter().map(|port| port.stats.get(Counter::RxFrames)).sum::<u64>()
    };
    let begin = Instant::now();
    while received(&handle.report()) < FRAMES as u64 {
        assert!(begin.elapsed() < PATIENCE, "every frame is read");
    }
    let report = handle.stop();
    assert!(report.ports.iter().all(|port| port.attached));
    assert!(report.ports.iter().any(|port| port.stats.get(Counter::RxRunt) > 0));
    assert!(report.ports.iter().any(|port| port.stats.get(Counter::RxGroupSource) > 0));
    assert_accounts(&report);
}

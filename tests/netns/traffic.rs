//! What hosts send each other.

use std::{
    net::SocketAddr,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use netlab::{NEVER, transfer_tcp, transfer_udp};
use uswitch::stats::Counter;
use uswitch_tests::{
    exchange::{BROADCAST, frame, station},
    privileged,
    running::Running,
};

use crate::lab::{Host, Lab, PATIENCE, Plan, eventually};

/// Octets of a transfer: some hundred of the largest frames.
const TCP_OCTETS: u64 = 16 << 20;
const UDP_OCTETS: u64 = 1 << 20;

/// Octets of an Ethernet header.
const HEADER_OCTETS: u64 = 14;

fn everybody_pings_everybody(hosts: &[Host]) {
    for host in hosts {
        for other in hosts.iter().filter(|other| other.mac != host.mac) {
            host.ping(other.v4());
            host.ping(other.v6());
        }
    }
}

/// The mean length of the frames that the first host sends in a transfer by TCP to the second;
/// what the transfers carry has to arrive.
fn transfer(lab: &Lab, version: u8) -> u64 {
    let (from, to) = (&lab.hosts[0], &lab.hosts[1]);
    let address = SocketAddr::new(if version == 4 { to.v4() } else { to.v6() }, 0);
    lab.settle();
    let before = lab.port(0).stats;
    let (near, far) = (&from.namespace, &to.namespace);
    let tcp = transfer_tcp(near, far, address, TCP_OCTETS, 1, &NEVER).unwrap();
    assert!(tcp.is_sound(), "{tcp:?}");
    lab.settle();
    let after = lab.port(0).stats;
    let udp = transfer_udp(near, far, address, UDP_OCTETS, 2, &NEVER).unwrap();
    assert!(udp.is_sound(), "{udp:?}");
    let grown = |counter| after.get(counter) - before.get(counter);
    grown(Counter::RxOctets) / grown(Counter::RxFrames)
}

#[test]
fn four_hosts_ping_each_other() {
    if !privileged() {
        return;
    }
    for workers in [1, 2] {
        let lab = Lab::new(&Plan::hosts(4).workers(workers));
        everybody_pings_everybody(&lab.hosts);
        let report = lab.finish();
        assert!(report.fdb_used >= 4, "{report:?}");
    }
}

#[test]
fn transfers_arrive_in_frames_far_above_the_mtu() {
    if !privileged() {
        return;
    }
    for mtu in [1500, 9000] {
        let lab = Lab::new(&Plan { mtu, ..Plan::hosts(2) }.workers(2));
        for version in [4, 6] {
            let mean = transfer(&lab, version);
            assert!(mean > u64::from(mtu) + HEADER_OCTETS, "{mean} octets a frame, MTU {mtu}");
        }
        lab.finish();
    }
}

#[test]
fn transfers_arrive_when_the_hosts_offload_nothing() {
    if !privileged() {
        return;
    }
    for mtu in [1500, 9000] {
        let lab = Lab::new(&Plan { mtu, ..Plan::hosts(2) });
        for host in &lab.hosts {
            let off = ["-K", "tap0", "tx", "off", "sg", "off", "tso", "off", "gso", "off"];
            host.command("ethtool", &off);
        }
        for version in [4, 6] {
            let mean = transfer(&lab, version);
            assert!(mean <= u64::from(mtu) + HEADER_OCTETS, "{mean} octets a frame, MTU {mtu}");
        }
        lab.finish();
    }
}

/// Where one side completes its checksums and the other leaves that to the device.
#[test]
fn transfers_arrive_when_only_one_host_offloads() {
    if !privileged() {
        return;
    }
    for which in [0, 1] {
        let lab = Lab::new(&Plan::hosts(2));
        lab.hosts[which].command("ethtool", &["-K", "tap0", "tx", "off", "rx", "off"]);
        transfer(&lab, 4);
        transfer(&lab, 6);
        lab.finish();
    }
}

#[test]
fn iperf3_runs_from_host_to_host() {
    if !privileged() {
        return;
    }
    let lab = Lab::new(&Plan::hosts(2).workers(2));
    let (client, server) = (&lab.hosts[0], &lab.hosts[1]);
    for address in [server.v4(), server.v6()] {
        let address = address.to_string();
        let arguments = ["--server", "--one-off", "--bind", &address];
        let listen = || Command::new("iperf3").args(arguments).stdout(Stdio::null()).spawn();
        let _listening = Running(server.namespace.run(listen).unwrap().unwrap());
        let begin = Instant::now();
        let arguments = ["--client", &address, "--bytes", "32M"];
        let output = loop {
            let run = || Command::new("iperf3").args(arguments).output();
            let output = client.namespace.run(run).unwrap().unwrap();
            // The server may not listen yet.
            if output.status.success() || begin.elapsed() > PATIENCE {
                break output;
            }
            thread::sleep(Duration::from_millis(20));
        };
        assert!(output.status.success(), "{output:?}");
    }
    // A turn is counted when its frames have left.
    eventually("all octets are counted", || lab.count(0, Counter::RxOctets) > 64 << 20);
    lab.finish();
}

#[test]
fn two_queues_are_served_by_two_workers() {
    if !privileged() {
        return;
    }
    let lab = Lab::new(&Plan { queues: 2, ..Plan::hosts(3) }.workers(2));
    for host in &lab.hosts {
        assert!(host.link().tun.unwrap().multi_queue);
    }
    everybody_pings_everybody(&lab.hosts);
    for version in [4, 6] {
        transfer(&lab, version);
    }
    thread::scope(|scope| {
        for seed in 0..6 {
            let [from, to] = [&lab.hosts[seed % 3], &lab.hosts[(seed + 1) % 3]];
            let address = SocketAddr::new(to.v4(), 0);
            scope.spawn(move || {
                let (near, far) = (&from.namespace, &to.namespace);
                let octets = TCP_OCTETS / 4;
                let tcp = transfer_tcp(near, far, address, octets, seed as u64, &NEVER).unwrap();
                assert!(tcp.is_sound(), "{tcp:?}");
            });
        }
    });
    lab.finish();
}

#[test]
fn sixty_four_ports_reach_each_other() {
    const PORTS: usize = 64;
    if !privileged() {
        return;
    }
    let mut lab = Lab::new(&Plan::quiet(0).workers(2));
    let begin = Instant::now();
    for _ in 0..PORTS {
        lab.add_host(&Plan::quiet(1));
    }
    println!("{PORTS} namespaces with a TAP each: {:?}", begin.elapsed());
    let mut sockets = lab.sockets();
    let begin = Instant::now();
    let hello = frame(BROADCAST, station(0), b"to everybody");
    sockets[0].send(&hello).unwrap();
    for socket in &mut sockets[1..] {
        assert_eq!(socket.recv(PATIENCE).unwrap().as_ref(), Some(&hello));
    }
    println!("a broadcast reached them all: {:?}", begin.elapsed());
    // Once round everybody is heard, the second time addressed.
    for round in 0..2 {
        for at in 0..PORTS {
            let next = (at + 1) % PORTS;
            let to = if round == 0 { BROADCAST } else { lab.hosts[next].mac };
            let frame = frame(to, lab.hosts[at].mac, &[round, at as u8]);
            sockets[at].send(&frame).unwrap();
            let wanted = |got: &[u8]| got == frame;
            assert!(sockets[next].recv_matching(PATIENCE, wanted).unwrap().is_some());
        }
    }
    let begin = Instant::now();
    let report = lab.finish();
    println!("stopped: {:?}", begin.elapsed());
    let forwarded = report.ports.iter().map(|port| port.stats.get(Counter::RxForwarded));
    assert_eq!(forwarded.sum::<u64>(), PORTS as u64);
    assert_eq!(report.fdb_used, PORTS + 1);
}

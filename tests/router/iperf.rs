//! iperf3 through the router, TCP and UDP, by both versions and two MTUs; and beside it transfers
//! whose octets are compared. Between TAPs and TUNs frames far above the MTU have to pass whole.

use std::{io::Read, net::IpAddr, thread, time::Duration};

use netlab::{FrameSocket, Namespace};
use serde_json::Value;
use uswitch_tests::{privileged, running::Program};

use crate::{
    lab::PATIENCE,
    machine::{Machine, ping, transfer},
    member::{Member, TAP, run, spawn},
};

const MTUS: [u32; 2] = [1500, 9000];
const TCP_OCTETS: u64 = 16 << 20;
/// So few that all of them have room in the receiver's socket, should it sleep.
const UDP_OCTETS: u64 = 64 << 10;
/// Behind the packet's headers.
const DATAGRAM_OCTETS: u32 = 1400;
/// One of these is several fragments, also at the larger MTU.
const LARGE_OCTETS: u32 = 12_000;
/// An Ethernet header.
const HEADER_OCTETS: usize = 14;
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// A host, and the link by which it is reached.
struct End<'a> {
    namespace: &'a Namespace,
    link: &'a str,
    addresses: [&'a str; 2],
}

/// What the server counted of one run.
fn iperf(from: &Namespace, to: &End<'_>, address: &str, words: &str) -> Value {
    let serving = format!("iperf3 --server --one-off --json --bind {address}");
    let mut server = spawn(to.namespace, &serving);
    let words = format!("iperf3 --client {address} {words}");
    let mut tries = PATIENCE.as_millis() / LOOK_INTERVAL.as_millis();
    loop {
        let output = run(from, &words);
        // The server may not listen yet.
        if output.status.success() {
            break;
        }
        tries -= 1;
        assert!(tries > 0, "{words}: {output:?}");
        thread::sleep(LOOK_INTERVAL);
    }
    let mut text = String::new();
    server.0.stdout.as_mut().unwrap().read_to_string(&mut text).unwrap();
    let said: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
    assert!(said["error"].is_null(), "{said}");
    said["end"].clone()
}

/// TCP and UDP, of which nothing may be out of order.
fn iperf_both(from: &Namespace, to: &End<'_>, address: &str) {
    let count = |end: &Value, sum: &str, what: &str| {
        end[sum][what].as_u64().unwrap_or_else(|| panic!("{what}: {end}"))
    };
    let end = iperf(from, to, address, &format!("--bytes {TCP_OCTETS}"));
    // It ends when the sender has, and counts no more what is still on the way.
    assert!(count(&end, "sum_received", "bytes") > TCP_OCTETS / 2, "{end}");
    for octets in [DATAGRAM_OCTETS, LARGE_OCTETS] {
        let words = format!("--udp --bitrate 5M --bytes {UDP_OCTETS} --length {octets}");
        let end = iperf(from, to, address, &words);
        let [packets, lost] = ["packets", "lost_packets"].map(|what| count(&end, "sum", what));
        // How many it counts before it hears of the end is a matter of who wakes first: that all
        // of them arrive is what a transfer shows.
        assert!(packets > lost && packets <= UDP_OCTETS.div_ceil(octets.into()), "{end}");
        assert_eq!(end["streams"][0]["udp"]["out_of_order"], 0, "{end}");
    }
}

/// The length of the largest packet that waits at a socket.
fn largest(socket: &mut FrameSocket, header: usize) -> usize {
    let mut largest = 0;
    while let Some(frame) = socket.recv(Duration::ZERO).unwrap() {
        largest = largest.max(frame.len() - header);
    }
    largest
}

/// All of it, one way. Whether the receiver gets packets above the MTU is said, too.
fn all(from: &End<'_>, to: &End<'_>, mtu: u32, whole: bool) {
    for address in to.addresses {
        ping(from.namespace, address);
        let mut socket = FrameSocket::open(to.namespace, to.link).unwrap();
        iperf_both(from.namespace, to, address);
        // A TUN has packets alone.
        let header = if to.link == TAP { HEADER_OCTETS } else { 0 };
        let largest = largest(&mut socket, header);
        assert_eq!(largest > mtu as usize, whole, "{largest} octets at {address}, MTU {mtu}");
        drop(socket);
        let address: IpAddr = address.parse().unwrap();
        transfer(from.namespace, to.namespace, address);
    }
}

fn ends(program: Program, whole: bool) {
    let report = program.stop();
    let cut = report["total"]["tx_cut"].as_u64().unwrap();
    assert_eq!(cut == 0, whole, "frames are cut where they have to be, and only there: {report}");
}

#[test]
fn iperf3_between_a_tun_and_a_tap() {
    if !privileged() {
        return;
    }
    for mtu in MTUS {
        let (machine, host) = (Machine::new(), Member::new("host"));
        let program = machine.start(&[
            &host.port(&format!(",mtu={mtu}")),
            &format!("--leg=br=10.0.0.1/24,fd00::1/64,mtu={mtu}"),
            &format!("--tun=tun0=10.9.0.1/24,fd09::1/64,host=10.9.0.2,host=fd09::2/64,mtu={mtu}"),
        ]);
        host.settle(&["10.0.0.2/24", "fd00::2/64"], &["10.0.0.1", "fd00::1"]);
        machine.route("10.0.0.0/24", "10.9.0.1");
        machine.route("fd00::/64", "fd09::1");
        let tap = End { namespace: &host.namespace, link: TAP, addresses: ["10.0.0.2", "fd00::2"] };
        let tun =
            End { namespace: &machine.namespace, link: "tun0", addresses: ["10.9.0.2", "fd09::2"] };
        all(&tun, &tap, mtu, true);
        all(&tap, &tun, mtu, true);
        ends(program, true);
    }
}

#[test]
fn iperf3_between_taps_of_two_bridges() {
    if !privileged() {
        return;
    }
    for mtu in MTUS {
        let (machine, one, two) = (Machine::new(), Member::new("one"), Member::new("two"));
        let program = machine.start(&[
            &one.port(&format!(",mtu={mtu}")),
            &two.port(&format!(",mtu={mtu},bridge=lab")),
            &format!("--leg=br=10.0.0.1/24,fd00::1/64,mtu={mtu}"),
            &format!("--leg=lab=10.1.0.1/24,fd01::1/64,mtu={mtu}"),
        ]);
        one.settle(&["10.0.0.2/24", "fd00::2/64"], &["10.0.0.1", "fd00::1"]);
        two.settle(&["10.1.0.2/24", "fd01::2/64"], &["10.1.0.1", "fd01::1"]);
        let one = End { namespace: &one.namespace, link: TAP, addresses: ["10.0.0.2", "fd00::2"] };
        let two = End { namespace: &two.namespace, link: TAP, addresses: ["10.1.0.2", "fd01::2"] };
        all(&one, &two, mtu, true);
        all(&two, &one, mtu, true);
        ends(program, true);
    }
}

/// Two programs joined by a cable of the kernel's, by which frames pass whole, or by a stream of
/// octets, for which they are cut.
#[test]
fn iperf3_across_two_routers_in_a_row() {
    if !privileged() {
        return;
    }
    for (mtu, joint) in MTUS.into_iter().flat_map(|mtu| [(mtu, "packet"), (mtu, "stream")]) {
        let (machine, one, two) = (Machine::new(), Member::new("one"), Member::new("two"));
        let cable = ["joint1", "joint2"];
        let mut links = machine.namespace.links().unwrap();
        links.add_veth(cable[0], None, cable[1]).unwrap();
        for end in cable {
            links.set_mtu(end, mtu).unwrap();
            links.set_up(end).unwrap();
        }
        let programs = [(&one, 0, 1, 2), (&two, 2, 2, 1)].map(|(host, net, own, far)| {
            let joint = match (joint, own) {
                ("packet", _) => format!("packet:{}", cable[own - 1]),
                (_, 1) => "stream:joint.sock".to_owned(),
                (_, _) => "stream:joint.sock,connect=on".to_owned(),
            };
            machine.start(&[
                &host.port(&format!(",mtu={mtu}")),
                &format!("--port={joint},mtu={mtu},bridge=between"),
                &format!("--leg=br=10.{net}.0.1/24,fd0{net}::1/64,mtu={mtu}"),
                &format!("--leg=between=10.1.0.{own}/24,fd01::{own}/64,mtu={mtu}"),
                &format!("--route=default,via=10.1.0.{far}"),
                &format!("--route=default,via=fd01::{far}"),
            ])
        });
        one.settle(&["10.0.0.2/24", "fd00::2/64"], &["10.0.0.1", "fd00::1"]);
        two.settle(&["10.2.0.2/24", "fd02::2/64"], &["10.2.0.1", "fd02::1"]);
        let one = End { namespace: &one.namespace, link: TAP, addresses: ["10.0.0.2", "fd00::2"] };
        let two = End { namespace: &two.namespace, link: TAP, addresses: ["10.2.0.2", "fd02::2"] };
        let whole = joint == "packet";
        all(&one, &two, mtu, whole);
        all(&two, &one, mtu, whole);
        programs.into_iter().for_each(|program| ends(program, whole));
    }
}

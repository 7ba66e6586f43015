//! Packets of those who mean no good: each is dropped for a reason that has a name, nobody hears
//! of it, and what comes behind it goes on.

use std::net::{IpAddr, Ipv4Addr};

use netlab::FrameSocket;
use uswitch_router::stats::Reason;
use uswitch_tests::{exchange, privileged};

use crate::{
    cases::{ICMP, ICMP6, TCP, UDP, changed, checksum, echo, syn, udp, v4, v6, with_options},
    differential::ROUTERS,
    lab::{Bridge, Host, Lab, PATIENCE, TAP},
    messages::MARKER,
};

const NEAR: &str = "10.0.0.2";
const FAR: &str = "10.1.0.2";
const OWN: &str = "10.0.0.1";
const NEAR6: &str = "fd00::2";
const FAR6: &str = "fd00:1::2";
const OWN6: &str = "fd00::1";
/// Extension headers in a row.
const CHAIN: usize = 100;

/// Headers of destination options in a row, each of padding; the first octet says what is first.
fn chain(headers: usize) -> Vec<u8> {
    let mut chain = vec![60];
    for left in (0..headers).rev() {
        chain.extend([if left == 0 { UDP } else { 60 }, 0, 1, 4, 0, 0, 0, 0]);
    }
    chain
}

/// A fragment of IPv4 with this offset in units of 8 octets.
fn part(to: &str, protocol: u8, offset: u16, more: bool, payload: &[u8]) -> Vec<u8> {
    let mut packet = v4(NEAR, to, 64, UDP, &udp(payload.len() - 8));
    packet[20..].copy_from_slice(payload);
    let field = (offset | u16::from(more) << 13).to_be_bytes();
    changed(changed(packet, 9, &[protocol]), 6, &field)
}

/// Packets, and why each ends.
fn packets() -> Vec<(&'static str, Vec<u8>, Reason)> {
    let plain = |from, to| v4(from, to, 64, UDP, &udp(8));
    let plain6 = |from, to| v6(from, to, 64, &[], UDP, &udp(8));
    let long = chain(CHAIN);
    let mut cut = v6(NEAR6, FAR6, 64, &[60, UDP, 0, 1, 4, 0, 0, 0, 0], UDP, &udp(8));
    // One header says that it is longer than the packet.
    cut[41] = 200;
    vec![
        ("land", plain(NEAR, NEAR), Reason::Land),
        ("land of IPv6", plain6(NEAR6, NEAR6), Reason::Land),
        ("land at the router", plain(OWN, OWN), Reason::Land),
        ("land at the router, IPv6", plain6(OWN6, OWN6), Reason::Land),
        ("smurf", v4(NEAR, "10.1.0.255", 64, ICMP, &echo()), Reason::DirectedBroadcast),
        ("fraggle", plain(NEAR, "10.1.0.255"), Reason::DirectedBroadcast),
        ("from a loopback address", plain("127.0.0.1", FAR), Reason::MartianSource),
        ("from a group", plain("224.1.2.3", FAR), Reason::MartianSource),
        ("loose source route", with_options(&[131, 7, 4, 10, 9, 9, 9, 0]), Reason::SourceRoute),
        ("strict source route", with_options(&[137, 7, 4, 10, 9, 9, 9, 0]), Reason::SourceRoute),
        ("tiny first fragment", part(FAR, TCP, 0, true, &syn()[..8]), Reason::FragmentTiny),
        (
            "fragment over the flags of TCP",
            part(FAR, TCP, 1, false, &[0; 16]),
            Reason::FragmentTiny,
        ),
        (
            "fragment that ends behind the largest packet",
            part(FAR, ICMP, 8189, false, &[0; 64]),
            Reason::FragmentOverflow,
        ),
        (
            "a hundred extension headers",
            v6(NEAR6, FAR6, 64, &long, UDP, &udp(8)),
            Reason::ExtensionChain,
        ),
        (
            "a hundred extension headers for the router",
            v6(NEAR6, OWN6, 64, &long, UDP, &udp(8)),
            Reason::ExtensionChain,
        ),
        ("extension header beyond the end", cut, Reason::ExtensionTruncated),
    ]
}

/// Sends packets, and returns those of IP that come out at the other host before one that is sound.
fn pass(sockets: &mut [FrameSocket; 2], packets: &[&[u8]]) -> Vec<Vec<u8>> {
    let frame = |packet: &[u8]| {
        let kind: [u8; 2] = if packet[0] >> 4 == 6 { [0x86, 0xdd] } else { [8, 0] };
        [&ROUTERS[0][..], &[2, 0, 0, 0, 0xbb, 1], &kind, packet].concat()
    };
    let sound = v4(NEAR, FAR, 64, UDP, &udp(77));
    for packet in packets.iter().chain([&&*sound]) {
        exchange::send(&sockets[0], &frame(packet)).unwrap();
    }
    let mut others = Vec::new();
    loop {
        let frame = sockets[1].recv(PATIENCE).unwrap().expect("what is sound goes on");
        let (kind, packet) = (&frame[12..14], &frame[14..]);
        if kind == [8, 0] && packet.len() == sound.len() {
            return others;
        }
        // Neighbours ask for each other; so they do in IPv6.
        if kind == [8, 0] || kind == [0x86, 0xdd] && packet[6] != ICMP6 && packet[6] != 0 {
            others.push(frame);
        }
    }
}

/// How many packets were dropped so far, by reason.
fn dropped(lab: &Lab) -> Vec<(Reason, u64)> {
    let totals = lab.legs.totals(&lab.handle);
    // Hosts speak to groups without being asked.
    let own = |reason: &&Reason| !matches!(reason, Reason::Multicast | Reason::LinkLocal);
    Reason::ALL.iter().filter(own).map(|reason| (*reason, totals.dropped(*reason))).collect()
}

#[test]
fn hostile_packets_are_dropped_by_a_named_reason_and_what_is_sound_goes_on() {
    if !privileged() {
        return;
    }
    let lab = Lab::new(&[Bridge { hosts: 1, mtu: 1500 }; 2], 1);
    let hosts: [&Host; 2] = [&lab.hosts[0][0], &lab.hosts[1][0]];
    for address in [hosts[1].v4(), hosts[1].v6()] {
        hosts[0].ping(address);
    }
    let mut sockets = hosts.map(|host| FrameSocket::open(&host.namespace, TAP).unwrap());
    for (name, packet, reason) in packets() {
        let before = dropped(&lab);
        let passed = pass(&mut sockets, &[&packet]);
        assert_eq!(passed, Vec::<Vec<u8>>::new(), "{name}");
        let grown = dropped(&lab).into_iter().zip(before);
        let grown = grown.map(|((reason, now), (_, before))| (reason, now - before));
        let grown: Vec<_> = grown.filter(|(_, grown)| *grown > 0).collect();
        assert_eq!(grown, [(reason, 1)], "{name}");
    }
}

/// An echo request in fragments to the router: whole it is answered, and not if two overlap.
#[test]
fn fragments_that_overlap_are_not_put_together() {
    if !privileged() {
        return;
    }
    let lab = Lab::new(&[Bridge { hosts: 1, mtu: 1500 }; 2], 1);
    let hosts: [&Host; 2] = [&lab.hosts[0][0], &lab.hosts[1][0]];
    hosts[0].ping(hosts[1].v4());
    hosts[0].ping(OWN.parse::<Ipv4Addr>().map(IpAddr::from).unwrap());
    let mut sockets = hosts.map(|host| FrameSocket::open(&host.namespace, TAP).unwrap());
    let mut message = vec![8, 0, 0, 0, 0x77, 0x77, 0, 1];
    message.extend([1; 24]);
    let sum = checksum(&message);
    message[2..4].copy_from_slice(&sum);
    let ident = |packet: Vec<u8>, ident: u8| changed(packet, 4, &[0x77, ident]);
    let first = |number| ident(part(OWN, ICMP, 0, true, &message[..16]), number);
    let last = |number| ident(part(OWN, ICMP, 2, false, &message[16..]), number);
    let over = |number| ident(part(OWN, ICMP, 1, true, &[9; 16]), number);
    for (number, answered, fragments) in [
        (1, true, vec![first(1), last(1)]),
        (2, false, vec![first(2), over(2), last(2)]),
        // What came before is forgotten, and what comes behind is the rest of nothing.
        (3, true, vec![first(3), last(3)]),
    ] {
        let fragments: Vec<_> = fragments.iter().map(Vec::as_slice).collect();
        pass(&mut sockets, &fragments);
        // The router answers in the order in which it is asked.
        sockets[0].send(&MARKER.question()).unwrap();
        let mut answers = 0;
        loop {
            let frame = sockets[0].recv(PATIENCE).unwrap().expect("a router answers ARP");
            let (kind, packet) = (&frame[12..14], &frame[14..]);
            if kind == [8, 6] && frame[..6] == MARKER.mac {
                break;
            }
            // An echo's answer, with our number.
            let reply = kind == [8, 0] && packet[9] == ICMP && packet[20] == 0;
            answers += usize::from(reply && packet[24..26] == [0x77, 0x77]);
        }
        assert_eq!(answers, usize::from(answered), "echo {number}");
    }
}

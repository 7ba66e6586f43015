//! Packets that say what kind of router it is that gets them.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::differential::ROUTERS;

/// The hosts, their routers, and who is nowhere.
const NEAR: &str = "10.0.0.2";
const FAR: &str = "10.1.0.2";
const OWN: &str = "10.0.0.1";
const NEAR6: &str = "fd00::2";
const FAR6: &str = "fd00:1::2";
const OWN6: &str = "fd00::1";

pub const ICMP: u8 = 1;
pub const TCP: u8 = 6;
pub const UDP: u8 = 17;
pub const ICMP6: u8 = 58;
/// For experiments (RFC 3692).
const EXPERIMENT: u8 = 253;

/// A packet.
pub struct Case {
    pub name: &'static str,
    /// To whom on the link.
    pub to: [u8; 6],
    pub packet: Vec<u8>,
    /// The answer takes the time in which a neighbour is asked for.
    pub late: bool,
}

/// The checksum of the internet (RFC 1071).
pub fn checksum(octets: &[u8]) -> [u8; 2] {
    let words = octets
        .chunks(2)
        .map(|word| u32::from_be_bytes([0, 0, word[0], *word.get(1).unwrap_or(&0)]));
    let mut sum = words.sum::<u32>();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!(sum as u16)).to_be_bytes()
}

/// An IPv4 packet, as it was, with its checksum put right.
fn sealed(mut packet: Vec<u8>) -> Vec<u8> {
    let len = usize::from(packet[0] & 0xf) * 4;
    packet[10..12].fill(0);
    let check = checksum(&packet[..len]);
    packet[10..12].copy_from_slice(&check);
    packet
}

/// With these octets in the place of those at this offset.
pub fn changed(mut packet: Vec<u8>, at: usize, octets: &[u8]) -> Vec<u8> {
    packet[at..at + octets.len()].copy_from_slice(octets);
    sealed(packet)
}

pub fn v4(source: &str, destination: &str, ttl: u8, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let address = |text: &str| text.parse::<Ipv4Addr>().unwrap().octets();
    let (source, destination) = (address(source), address(destination));
    let mut payload = payload.to_vec();
    let place = match protocol {
        TCP => Some(16),
        UDP => Some(6),
        _ => None,
    };
    if let Some(place) = place {
        let len = (payload.len() as u16).to_be_bytes();
        let pseudo = [&source[..], &destination, &[0, protocol], &len, &payload].concat();
        payload[place..place + 2].copy_from_slice(&checksum(&pseudo));
    }
    let len = (20 + payload.len() as u16).to_be_bytes();
    let head = [0x45, 0, len[0], len[1], 0x12, 0x34, 0, 0, ttl, protocol, 0, 0];
    sealed([&head[..], &source, &destination, &payload].concat())
}

pub fn v6(
    source: &str,
    destination: &str,
    hops: u8,
    chain: &[u8],
    upper: u8,
    payload: &[u8],
) -> Vec<u8> {
    let address = |text: &str| text.parse::<Ipv6Addr>().unwrap().octets();
    let (source, destination) = (address(source), address(destination));
    let mut payload = payload.to_vec();
    let place = match upper {
        TCP => Some(16),
        UDP => Some(6),
        ICMP6 => Some(2),
        _ => None,
    };
    if let Some(place) = place {
        let len = (payload.len() as u32).to_be_bytes();
        let pseudo = [&source[..], &destination, &len, &[0, 0, 0, upper], &payload].concat();
        payload[place..place + 2].copy_from_slice(&checksum(&pseudo));
    }
    // The first word of the chain is the kind of its first header.
    let (first, chain) = chain.split_first().map_or((upper, chain), |(first, rest)| (*first, rest));
    let len = ((chain.len() + payload.len()) as u16).to_be_bytes();
    let head = [0x60, 0, 0, 0, len[0], len[1], first, hops];
    [&head[..], &source, &destination, chain, &payload].concat()
}

/// A datagram to a port where nobody listens.
pub fn udp(octets: usize) -> Vec<u8> {
    let len = (8 + octets as u16).to_be_bytes();
    [&[0x80, 1, 0x82, 0x35, len[0], len[1], 0, 0][..], &vec![7; octets]].concat()
}

/// The first segment of a connection.
pub fn syn() -> Vec<u8> {
    [&[0x80, 1, 0, 9, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 4, 0, 0, 0, 0, 0][..]].concat()
}

/// An echo request, sealed for IPv4.
pub fn echo() -> Vec<u8> {
    let mut message = vec![8, 0, 0, 0, 0, 1, 0, 2, 1, 2, 3, 4];
    let check = checksum(&message);
    message[2..4].copy_from_slice(&check);
    message
}

pub fn with_options(options: &[u8]) -> Vec<u8> {
    let mut packet = v4(NEAR, FAR, 64, UDP, &udp(8));
    packet.splice(20..20, options.iter().copied());
    packet[0] = 0x45 + (options.len() / 4) as u8;
    let len = (packet.len() as u16).to_be_bytes();
    changed(packet, 2, &len)
}

/// All of them.
pub fn cases() -> Vec<Case> {
    let case = |(name, packet)| {
        let late = name == "unknown neighbour" || name == "IPv6: unknown neighbour";
        Case { name, to: ROUTERS[0], packet, late }
    };
    let group = |name, packet| Case { to: [0xff; 6], ..case((name, packet)) };
    let mut all: Vec<Case> = ipv4().into_iter().chain(ipv6()).map(case).collect();
    all.push(group("in a frame for all", v4(NEAR, FAR, 64, UDP, &udp(8))));
    all.push(group("for all on the link", v4(NEAR, "255.255.255.255", 64, UDP, &udp(8))));
    all
}

fn ipv4() -> Vec<(&'static str, Vec<u8>)> {
    let to = |destination| v4(NEAR, destination, 64, UDP, &udp(8));
    let from = |source| v4(source, FAR, 64, UDP, &udp(8));
    let large = || v4(NEAR, FAR, 64, UDP, &udp(1300));
    let mut broken = to(FAR);
    broken[10] ^= 1;
    let mut error = vec![3, 3, 0, 0, 0, 0, 0, 0];
    error.extend(v4(FAR, NEAR, 64, UDP, &udp(8)));
    let check = checksum(&error);
    error[2..4].copy_from_slice(&check);
    vec![
        ("a packet", to(FAR)),
        ("behind a gateway", to("172.16.9.9")),
        ("TTL 2", v4(NEAR, FAR, 2, UDP, &udp(8))),
        ("TTL 1", v4(NEAR, FAR, 1, UDP, &udp(8))),
        ("TTL 0", v4(NEAR, FAR, 0, UDP, &udp(8))),
        ("no route", to("8.8.8.8")),
        ("no route for an error", v4(NEAR, "8.8.8.8", 64, ICMP, &error)),
        ("no route for a later fragment", changed(to("8.8.8.8"), 6, &[0, 9])),
        ("blackhole", to("192.0.2.1")),
        ("unreachable", to("198.51.100.1")),
        ("prohibit", to("203.0.113.1")),
        ("too big with DF", changed(large(), 6, &[0x40, 0])),
        ("too big without DF", large()),
        ("unknown neighbour", to("10.1.0.77")),
        ("land", v4(NEAR, NEAR, 64, UDP, &udp(8))),
        ("from the router's own address", from(OWN)),
        ("from this network", from("0.0.0.1")),
        ("from a loopback address", from("127.0.0.1")),
        ("from a group", from("224.1.2.3")),
        ("from class E", from("240.0.0.1")),
        ("from all", from("255.255.255.255")),
        ("from link-local", from("169.254.1.1")),
        ("to link-local", to("169.254.1.1")),
        ("to loopback", to("127.0.0.1")),
        ("to class E", to("240.0.0.1")),
        ("to a group", to("239.1.2.3")),
        ("directed broadcast", to("10.1.0.255")),
        ("broadcast of the link", to("10.0.0.255")),
        ("loose source route", with_options(&[131, 7, 4, 10, 9, 9, 9, 0])),
        ("source route that is used up", with_options(&[131, 7, 8, 10, 9, 9, 9, 0])),
        ("record route", with_options(&[7, 7, 4, 0, 0, 0, 0, 0])),
        ("option that runs over", with_options(&[7, 9, 4, 0])),
        ("router alert", with_options(&[148, 4, 0, 0])),
        ("header checksum", broken),
        ("version 5", changed(to(FAR), 0, &[0x55])),
        ("header of 16 octets", changed(to(FAR), 0, &[0x44])),
        ("length beyond the end", changed(to(FAR), 2, &[9, 0])),
        ("first fragment", changed(to(FAR), 6, &[0x20, 0])),
        ("tiny first fragment of TCP", changed(v4(NEAR, FAR, 64, TCP, &syn()), 6, &[0x20, 0])),
        ("echo", v4(NEAR, OWN, 64, ICMP, &echo())),
        ("echo to the address of the other leg", v4(NEAR, "10.1.0.1", 1, ICMP, &echo())),
        ("echo with a wrong checksum", v4(NEAR, OWN, 64, ICMP, &[8, 0, 1, 1, 0, 1, 0, 2])),
        ("UDP to a closed port", to(OWN)),
        ("TCP to a closed port", v4(NEAR, OWN, 64, TCP, &syn())),
        ("unknown protocol", v4(NEAR, OWN, 64, EXPERIMENT, &[1; 8])),
    ]
}

fn ipv6() -> Vec<(&'static str, Vec<u8>)> {
    let to = |destination| v6(NEAR6, destination, 64, &[], UDP, &udp(8));
    let from = |source| v6(source, FAR6, 64, &[], UDP, &udp(8));
    let behind = |chain: &[u8], destination| v6(NEAR6, destination, 64, chain, UDP, &udp(8));
    let echo = [128, 0, 0, 0, 0, 1, 0, 2, 9, 9];
    vec![
        ("IPv6: a packet", to(FAR6)),
        ("IPv6: behind a gateway", to("2001:db8:4::9")),
        ("IPv6: hop limit 1", v6(NEAR6, FAR6, 1, &[], UDP, &udp(8))),
        ("IPv6: hop limit 0", v6(NEAR6, FAR6, 0, &[], UDP, &udp(8))),
        ("IPv6: no route", to("2001:db8:9::1")),
        ("IPv6: blackhole", to("2001:db8:1::1")),
        ("IPv6: unreachable", to("2001:db8:2::1")),
        ("IPv6: prohibit", to("2001:db8:3::1")),
        ("IPv6: too big", v6(NEAR6, FAR6, 64, &[], UDP, &udp(1300))),
        ("IPv6: unknown neighbour", to("fd00:1::77")),
        ("IPv6: land", v6(NEAR6, NEAR6, 64, &[], UDP, &udp(8))),
        ("IPv6: from the router's own address", from(OWN6)),
        ("IPv6: from a loopback address", from("::1")),
        ("IPv6: from nobody", from("::")),
        ("IPv6: from a group", from("ff05::1")),
        ("IPv6: from a mapped address", from("::ffff:10.0.0.2")),
        ("IPv6: from link-local", from("fe80::9")),
        ("IPv6: to link-local", to("fe80::77")),
        ("IPv6: to loopback", to("::1")),
        ("IPv6: hop-by-hop", behind(&[0, UDP, 0, 1, 4, 0, 0, 0, 0], FAR6)),
        ("IPv6: hop-by-hop, unknown option", behind(&[0, UDP, 0, 0x9e, 4, 0, 0, 0, 0], FAR6)),
        ("IPv6: destination options", behind(&[60, UDP, 0, 1, 4, 0, 0, 0, 0], FAR6)),
        ("IPv6: routing header, spent", behind(&[43, UDP, 0, 0, 0, 0, 0, 0, 0], FAR6)),
        ("IPv6: fragment", behind(&[44, UDP, 0, 0, 1, 0, 0, 0, 7], FAR6)),
        ("IPv6: length beyond the end", {
            let mut packet = to(FAR6);
            packet[5] = 200;
            packet
        }),
        ("IPv6: echo", v6(NEAR6, OWN6, 64, &[], ICMP6, &echo)),
        ("IPv6: echo to the other leg", v6(NEAR6, "fd00:1::1", 1, &[], ICMP6, &echo)),
        ("IPv6: UDP to a closed port", to(OWN6)),
        ("IPv6: TCP to a closed port", v6(NEAR6, OWN6, 64, &[], TCP, &syn())),
        ("IPv6: unknown next header", v6(NEAR6, OWN6, 64, &[], EXPERIMENT, &[1; 8])),
        ("IPv6: unknown option for the router", behind(&[60, UDP, 0, 0x9e, 4, 0, 0, 0, 0], OWN6)),
        ("IPv6: routing header 0 for the router", behind(&[43, UDP, 0, 0, 1, 0, 0, 0, 0], OWN6)),
    ]
}

//! What a frame is, in lines for a person: its headers as etherparse reads them, which never
//! panics, whatever the octets. The bridge looks at none of this but the two addresses.

use std::net::{Ipv4Addr, Ipv6Addr};

use etherparse::{
    ArpOperation, EtherType, LaxLinkExtSlice, LaxNetSlice, LaxSlicedPacket, LinkSlice,
    TransportSlice,
};
use uswitch::{
    frame::{HEADER_LEN, Header, Mac},
    offload::checksum::Sum,
};

/// From this number on it is a type, below it a length (IEEE 802.3-2018, 3.2.6).
const TYPE_LEAST: u16 = 0x600;

/// The lines.
pub(crate) fn describe(octets: &[u8]) -> Vec<String> {
    lines(octets, false)
}

/// The lines of a frame that its sender left to be cut into segments of so many octets.
pub(crate) fn describe_uncut(octets: &[u8], size: u16) -> Vec<String> {
    let mut lines = lines(octets, true);
    lines.push(format!("to be cut into segments of {size} octets of payload each (GSO)"));
    lines
}

/// The same with, or without, a checksum that is left to be completed.
fn lines(octets: &[u8], unfinished: bool) -> Vec<String> {
    let Some(header) = Header::parse(octets) else {
        let len = octets.len();
        return vec![format!("{len} octets: no whole Ethernet header, which has {HEADER_LEN}")];
    };
    let mut lines = vec![format!(
        "{} octets from {} to {}{}",
        octets.len(),
        header.source,
        header.destination,
        whom(header.destination)
    )];
    let packet = match LaxSlicedPacket::from_ethernet(octets) {
        Ok(packet) => packet,
        Err(error) => {
            lines.push(format!("what follows cannot be read: {error}"));
            return lines;
        }
    };
    lines.extend(packet.link_exts.iter().map(tag));
    if let Some(net) = &packet.net {
        lines.push(network(net));
        let transport = packet.transport.as_ref();
        lines.extend(transport.map(|transport| carried(net, transport, unfinished)));
    } else if packet.stop_err.is_none() {
        lines.push(kind(&packet));
    }
    if let Some((error, layer)) = &packet.stop_err {
        lines.push(format!("what follows cannot be read ({layer}): {error}"));
    }
    lines
}

/// What kind of address it is.
fn whom(mac: Mac) -> &'static str {
    match mac {
        Mac::BROADCAST => " (broadcast)",
        mac if mac.is_reserved() => " (a group, reserved)",
        mac if mac.is_group() => " (a group)",
        _ => "",
    }
}

fn tag(tag: &LaxLinkExtSlice<'_>) -> String {
    match tag {
        LaxLinkExtSlice::Vlan(tag) => format!(
            "VLAN tag: VLAN {}, priority {}",
            tag.vlan_identifier().value(),
            tag.priority_code_point().value()
        ),
        LaxLinkExtSlice::Macsec(_) => "MACsec".to_owned(),
    }
}

/// What the type behind the tags says, where it is none of those below.
fn kind(packet: &LaxSlicedPacket<'_>) -> String {
    let inner = packet.link_exts.iter().rev().find_map(|tag| match tag {
        LaxLinkExtSlice::Vlan(tag) => Some(tag.ether_type()),
        LaxLinkExtSlice::Macsec(_) => None,
    });
    let outer = || match &packet.link {
        Some(LinkSlice::Ethernet2(link)) => link.ether_type(),
        _ => EtherType(0),
    };
    let EtherType(number) = inner.unwrap_or_else(outer);
    let name = match number {
        length if length < TYPE_LEAST => return format!("LLC, {length} octets (IEEE 802.3)"),
        0x88cc => " (LLDP)",
        0x8808 => " (PAUSE)",
        0x8809 => " (LACP and other slow protocols)",
        0x88f7 => " (PTP)",
        0x88b5 | 0x88b6 => " (local experiments)",
        _ => "",
    };
    format!("type 0x{number:04x}{name}")
}

fn network(net: &LaxNetSlice<'_>) -> String {
    match net {
        LaxNetSlice::Arp(arp) => {
            let Ok(arp) = arp.to_packet().try_eth_ipv4() else {
                return "ARP, not for IPv4 over Ethernet".to_owned();
            };
            let (target, sender) =
                (Ipv4Addr::from(arp.target_ipv4), Ipv4Addr::from(arp.sender_ipv4));
            match arp.operation {
                ArpOperation::REQUEST => format!("ARP: who has {target}? tell {sender}"),
                ArpOperation::REPLY => {
                    format!("ARP: {sender} is at {}", Mac::new(arp.sender_mac))
                }
                ArpOperation(other) => format!("ARP, operation {other}"),
            }
        }
        LaxNetSlice::Ipv4(packet) => {
            let header = packet.header();
            let sound = Sum::of(header.slice()).checksum() == 0;
            let fragment = if packet.is_payload_fragmented() { ", a fragment" } else { "" };
            format!(
                "IPv4 from {} to {}, {} octets, TTL {}{fragment}, header checksum {}",
                header.source_addr(),
                header.destination_addr(),
                header.total_len(),
                header.ttl(),
                right(sound)
            )
        }
        LaxNetSlice::Ipv6(packet) => {
            let header = packet.header();
            let fragment = if packet.is_payload_fragmented() { ", a fragment" } else { "" };
            format!(
                "IPv6 from {} to {}, {} octets of payload, hop limit {}{fragment}",
                header.source_addr(),
                header.destination_addr(),
                header.payload_length(),
                header.hop_limit()
            )
        }
    }
}

fn carried(net: &LaxNetSlice<'_>, transport: &TransportSlice<'_>, unfinished: bool) -> String {
    let (pseudo, payload) = match net {
        LaxNetSlice::Ipv4(packet) => {
            let (source, destination) =
                (packet.header().source_addr(), packet.header().destination_addr());
            (pseudo_v4(source, destination), packet.payload())
        }
        LaxNetSlice::Ipv6(packet) => {
            let header = packet.header();
            (pseudo_v6(header.source_addr(), header.destination_addr()), packet.payload())
        }
        LaxNetSlice::Arp(_) => return String::new(),
    };
    let sound = |protocol: Option<u8>| {
        if unfinished {
            return "checksum left to be completed";
        }
        if payload.incomplete || payload.fragmented {
            return "checksum not looked at: not all is here";
        }
        // RFC 9293, 3.1 and RFC 768: addresses, protocol and length are summed, too.
        let pseudo = protocol.map_or(Sum::ZERO, |protocol| {
            let length = (payload.payload.len() as u32).to_be_bytes();
            pseudo.merge(Sum::of(&[length, [0, 0, 0, protocol]].concat()))
        });
        match pseudo.merge(Sum::of(payload.payload)).checksum() {
            0 => "checksum right",
            _ => "checksum wrong: the receiver drops it",
        }
    };
    match transport {
        TransportSlice::Udp(udp) if udp.checksum() == 0 => {
            format!("UDP from {} to {}, no checksum", udp.source_port(), udp.destination_port())
        }
        TransportSlice::Udp(udp) => {
            let (source, destination) = (udp.source_port(), udp.destination_port());
            format!("UDP from {source} to {destination}, {}", sound(Some(17)))
        }
        TransportSlice::Tcp(tcp) => {
            let flags =
                [(tcp.syn(), "SYN"), (tcp.ack(), "ACK"), (tcp.fin(), "FIN"), (tcp.rst(), "RST")];
            let flags = flags.iter().filter(|(set, _)| *set).map(|(_, name)| format!(" {name}"));
            let (source, destination) = (tcp.source_port(), tcp.destination_port());
            let flags: String = flags.collect();
            format!("TCP{flags} from {source} to {destination}, {}", sound(Some(6)))
        }
        TransportSlice::Icmpv4(icmp) => {
            let kind = match (icmp.type_u8(), icmp.code_u8()) {
                (8, _) => "echo request".to_owned(),
                (0, _) => "echo reply".to_owned(),
                (kind, code) => error_v4(kind, code),
            };
            format!("ICMP {kind}, {}", sound(None))
        }
        TransportSlice::Icmpv6(icmp) => {
            let kind = match (icmp.type_u8(), icmp.code_u8()) {
                (128, _) => "echo request".to_owned(),
                (129, _) => "echo reply".to_owned(),
                (133, _) => "router solicitation".to_owned(),
                (134, _) => "router advertisement".to_owned(),
                (135, _) => "neighbour solicitation".to_owned(),
                (136, _) => "neighbour advertisement".to_owned(),
                (137, _) => "redirect".to_owned(),
                (kind, code) => error_v6(kind, code),
            };
            format!("ICMPv6 {kind}, {}", sound(Some(58)))
        }
        TransportSlice::Igmp(_) => "IGMP".to_owned(),
    }
}

/// Errors by their names (RFC 792; RFC 1122, section 3.2.2.1; RFC 1812, section 5.2.7.1).
fn error_v4(kind: u8, code: u8) -> String {
    let name = match (kind, code) {
        (3, 0) => "network unreachable",
        (3, 1) => "host unreachable",
        (3, 2) => "protocol unreachable",
        (3, 3) => "port unreachable",
        (3, 4) => "fragmentation needed",
        (3, 13) => "prohibited",
        (3, _) => "unreachable",
        (5, _) => "redirect",
        (11, 0) => "time exceeded",
        (11, _) => "time exceeded in reassembly",
        (12, _) => "parameter problem",
        _ => return format!("type {kind}"),
    };
    format!("{name} (type {kind}, code {code})")
}

/// The same of RFC 4443, sections 3.1 to 3.4.
fn error_v6(kind: u8, code: u8) -> String {
    let name = match (kind, code) {
        (1, 0) => "no route",
        (1, 1) => "prohibited",
        (1, 3) => "address unreachable",
        (1, 4) => "port unreachable",
        (1, _) => "unreachable",
        (2, _) => "packet too big",
        (3, 0) => "hop limit exceeded",
        (3, _) => "time exceeded in reassembly",
        (4, _) => "parameter problem",
        _ => return format!("type {kind}"),
    };
    format!("{name} (type {kind}, code {code})")
}

fn pseudo_v4(source: Ipv4Addr, destination: Ipv4Addr) -> Sum {
    Sum::of(&[source.octets(), destination.octets()].concat())
}

fn pseudo_v6(source: Ipv6Addr, destination: Ipv6Addr) -> Sum {
    Sum::of(&[source.octets(), destination.octets()].concat())
}

fn right(sound: bool) -> &'static str {
    if sound { "right" } else { "wrong: the receiver drops it" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(octets: &[u8]) -> String {
        describe(octets).join("\n")
    }

    #[test]
    fn frame_is_told_header_by_header() {
        let frame = super::super::words::read(
            "2:0:0:0:0:1 > 2:0:0:0:0:2 vlan 7 vlan 10 ip \
                                               10.0.0.1 > 10.0.0.2 udp 53 length 100",
        )
        .unwrap();
        assert_eq!(
            told(&frame),
            "100 octets from 02:00:00:00:00:01 to 02:00:00:00:00:02\n\
             VLAN tag: VLAN 7, priority 0\n\
             VLAN tag: VLAN 10, priority 0\n\
             IPv4 from 10.0.0.1 to 10.0.0.2, 78 octets, TTL 64, header checksum right\n\
             UDP from 49152 to 53, checksum right"
        );
    }

    #[test]
    fn wrong_checksums_and_what_is_cut_short_are_told() {
        let text = "2:0:0:0:0:1 > 2:0:0:0:0:2 ip 10.0.0.1 > 10.0.0.2 tcp 80";
        let sound = super::super::words::read(text).unwrap();
        for (octet, words) in [
            (24, "header checksum wrong: the receiver drops it\nTCP"),
            (50, "header checksum right\nTCP SYN from 49152 to 80, checksum wrong"),
        ] {
            let mut frame = sound.clone();
            frame[octet] ^= 1;
            assert!(told(&frame).contains(words), "{}", told(&frame));
        }
        assert!(told(&sound[..40]).contains("cannot be read"), "{}", told(&sound[..40]));
        assert!(told(&sound[..13]).contains("13 octets: no whole Ethernet header"));
        assert!(told(&sound[..14]).contains("cannot be read"), "{}", told(&sound[..14]));
    }

    #[test]
    fn kinds_that_are_no_ip_are_named() {
        let frame = |rest: &[u8]| [&[1, 0x80, 0xc2, 0, 0, 0xe, 2, 0, 0, 0, 0, 1], rest].concat();
        let lldp = told(&frame(&[0x88, 0xcc, 0, 0]));
        assert!(lldp.contains("(a group, reserved)\ntype 0x88cc (LLDP)"), "{lldp}");
        assert!(told(&frame(&[0, 38, 0x42, 0x42, 3])).contains("LLC, 38 octets"));
        assert!(
            told(&frame(&[0x81, 0, 0x20, 5, 0x88, 0xb5]))
                .contains("VLAN tag: VLAN 5, priority 1\ntype 0x88b5 (local experiments)")
        );
    }

    proptest::proptest! {
        #[test]
        fn whatever_the_octets(
            octets in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200),
            kind in proptest::sample::select(vec![[8, 0], [8, 6], [0x86, 0xdd], [0x81, 0], [0, 9]]),
        ) {
            let headed = [&[2; 12][..], &kind, &octets].concat();
            for octets in [octets, headed] {
                proptest::prop_assert!(!describe(&octets).is_empty());
            }
        }
    }
}

//! A frame as a line, for who has no Wireshark at hand: when, where, which way, from whom to whom.

use std::fmt::Write;

use etherparse::{LaxNetSlice, LaxSlicedPacket, TransportSlice};
use pcap_file::pcapng::blocks::{
    enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption},
    interface_description::{InterfaceDescriptionBlock, InterfaceDescriptionOption},
};
use uswitch::frame::Header;

use crate::program::output::one_line;

/// The bits of epb_flags that say which way the frame went, and the one that says: out.
const DIRECTION: u32 = 3;
const OUTBOUND: u32 = 2;

/// The name of a port.
pub(super) fn name<'a>(port: &'a InterfaceDescriptionBlock<'a>) -> Option<&'a str> {
    port.options.iter().find_map(|option| match option {
        InterfaceDescriptionOption::IfName(name) => Some(&**name),
        _ => None,
    })
}

/// The line, with its end.
pub(super) fn line(packet: &EnhancedPacketBlock<'_>, port: &str) -> String {
    let time = packet.timestamp;
    let seconds = time.as_secs() % 86_400;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let (nanos, len) = (time.subsec_nanos(), packet.original_len);
    let (mut way, mut comments) = ("in", String::new());
    for option in &packet.options {
        match option {
            EnhancedPacketOption::Flags(flags) if flags & DIRECTION == OUTBOUND => way = "out",
            EnhancedPacketOption::Comment(text) => {
                let _ = write!(comments, " [{text}]");
            }
            _ => {}
        }
    }
    let what = describe(&packet.data);
    let time = format!("{hours:02}:{minutes:02}:{seconds:02}.{nanos:09}");
    let line = format!("{time} {port} {way} {what}, {len} octets{comments}");
    one_line(&line) + "\n"
}

fn describe(frame: &[u8]) -> String {
    let Some(Header { destination, source }) = Header::parse(frame) else {
        return "no Ethernet header".to_owned();
    };
    let mut text = format!("{source} > {destination}");
    let Ok(packet) = LaxSlicedPacket::from_ethernet(frame) else { return text };
    for id in packet.vlan_ids() {
        let _ = write!(text, " VLAN {}", id.value());
    }
    let _ = match &packet.net {
        Some(LaxNetSlice::Ipv4(ip)) => {
            let header = ip.header();
            write!(text, " IPv4 {} > {}", header.source_addr(), header.destination_addr())
        }
        Some(LaxNetSlice::Ipv6(ip)) => {
            let header = ip.header();
            write!(text, " IPv6 {} > {}", header.source_addr(), header.destination_addr())
        }
        Some(LaxNetSlice::Arp(arp)) => write!(text, " ARP{}", arp_words(arp)),
        None => match packet.ether_payload() {
            Some(payload) => write!(text, " type {:#06x}", payload.ether_type.0),
            None => Ok(()),
        },
    };
    let _ = match &packet.transport {
        Some(TransportSlice::Udp(udp)) => {
            write!(text, " UDP {} -> {}", udp.source_port(), udp.destination_port())
        }
        Some(TransportSlice::Tcp(tcp)) => {
            write!(text, " TCP {} -> {}", tcp.source_port(), tcp.destination_port())
        }
        Some(TransportSlice::Icmpv4(_)) => write!(text, " ICMP"),
        Some(TransportSlice::Icmpv6(_)) => write!(text, " ICMPv6"),
        Some(TransportSlice::Igmp(_)) => write!(text, " IGMP"),
        None => Ok(()),
    };
    text
}

fn arp_words(arp: &etherparse::ArpPacketSlice<'_>) -> String {
    let address = |octets: &[u8]| match <[u8; 4]>::try_from(octets) {
        Ok(octets) => std::net::Ipv4Addr::from(octets).to_string(),
        Err(_) => "?".to_owned(),
    };
    let (asks, tells) = (address(arp.sender_protocol_addr()), address(arp.target_protocol_addr()));
    match arp.operation().0 {
        1 => format!(" who has {tells}? tell {asks}"),
        2 => format!(" {asks} is there"),
        other => format!(" operation {other}"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn of(data: Vec<u8>, options: Vec<EnhancedPacketOption<'static>>) -> String {
        let (timestamp, original_len) = (Duration::new(3723, 42), data.len() as u32);
        let data = data.into();
        let packet =
            EnhancedPacketBlock { interface_id: 0, timestamp, original_len, data, options };
        line(&packet, "tap0")
    }

    #[test]
    fn frames_are_told_in_a_line_each() {
        let builder = etherparse::PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2])
            .ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64)
            .udp(42, 53);
        let mut udp = Vec::new();
        builder.write(&mut udp, &[0; 18]).unwrap();
        let why = EnhancedPacketOption::Comment("tx_full: a\nb".into());
        assert_eq!(
            of(udp, vec![EnhancedPacketOption::Flags(OUTBOUND), why]),
            "01:02:03.000000042 tap0 out 02:00:00:00:00:01 > 02:00:00:00:00:02 IPv4 10.0.0.1 > \
             10.0.0.2 UDP 42 -> 53, 60 octets [tx_full: a\\nb]\n"
        );
        assert!(of(vec![1; 13], Vec::new()).ends_with("tap0 in no Ethernet header, 13 octets\n"));
        let unknown = [&[2; 12][..], &[0x88, 0xb5, 1]].concat();
        assert!(of(unknown, Vec::new()).contains("02:02:02:02:02:02 type 0x88b5, 15 octets"));
    }
}

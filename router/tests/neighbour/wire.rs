//! Messages as smoltcp writes and reads them: it knows nothing of ours.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use smoltcp::{
    phy::ChecksumCapabilities,
    wire::{
        ArpOperation, ArpPacket, ArpRepr, EthernetAddress, Icmpv6Packet, Icmpv6Repr, IpProtocol,
        Ipv6Packet, Ipv6Repr, NdiscNeighborFlags, NdiscRepr,
    },
};
use uswitch_router::link::{LinkAddress, ethertype};

pub const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// A message, as far as it matters who is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// Somebody asks for the target.
    Ask { source: IpAddr, target: IpAddr },
    /// Somebody says where the target is, to one or to all.
    Tell { target: IpAddr, to: IpAddr },
}

pub fn arp(
    operation: ArpOperation,
    from: LinkAddress,
    source: Ipv4Addr,
    target: Ipv4Addr,
) -> Vec<u8> {
    let message = ArpRepr::EthernetIpv4 {
        operation,
        source_hardware_addr: EthernetAddress(from.0),
        source_protocol_addr: source,
        target_hardware_addr: EthernetAddress([0; 6]),
        target_protocol_addr: target,
    };
    let mut octets = vec![0; message.buffer_len()];
    message.emit(&mut ArpPacket::new_unchecked(&mut octets));
    octets
}

pub fn solicit(from: LinkAddress, source: Ipv6Addr, target: Ipv6Addr) -> Vec<u8> {
    let lladdr = Some(EthernetAddress(from.0).into());
    packet(source, group(target), NdiscRepr::NeighborSolicit { target_addr: target, lladdr })
}

pub fn advertise(from: LinkAddress, target: Ipv6Addr, to: Ipv6Addr, overrides: bool) -> Vec<u8> {
    let mut flags = NdiscNeighborFlags::empty();
    flags.set(NdiscNeighborFlags::SOLICITED, to != ALL_NODES);
    flags.set(NdiscNeighborFlags::OVERRIDE, overrides);
    let lladdr = Some(EthernetAddress(from.0).into());
    packet(target, to, NdiscRepr::NeighborAdvert { flags, target_addr: target, lladdr })
}

fn packet(source: Ipv6Addr, destination: Ipv6Addr, message: NdiscRepr<'_>) -> Vec<u8> {
    let message = Icmpv6Repr::Ndisc(message);
    let header = Ipv6Repr {
        src_addr: source,
        dst_addr: destination,
        next_header: IpProtocol::Icmpv6,
        payload_len: message.buffer_len(),
        hop_limit: 255,
    };
    let mut octets = vec![0; header.buffer_len() + message.buffer_len()];
    let mut packet = Ipv6Packet::new_unchecked(&mut octets);
    header.emit(&mut packet);
    let mut icmp = Icmpv6Packet::new_unchecked(packet.payload_mut());
    message.emit(&source, &destination, &mut icmp, &ChecksumCapabilities::default());
    octets
}

/// The solicited-node group.
fn group(target: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b] = target.segments();
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | a & 0xff, b)
}

/// Reads what the router sent, and checks all of it that does not depend on what went before.
pub fn read(own: LinkAddress, to: LinkAddress, kind: u16, payload: &[u8]) -> Said {
    if kind == ethertype::ARP { read_arp(own, to, payload) } else { read_ndp(own, to, payload) }
}

fn read_arp(own: LinkAddress, to: LinkAddress, payload: &[u8]) -> Said {
    let packet = ArpPacket::new_checked(payload).expect("it is a message");
    let ArpRepr::EthernetIpv4 {
        operation,
        source_hardware_addr,
        source_protocol_addr: source,
        target_hardware_addr,
        target_protocol_addr: target,
    } = ArpRepr::parse(&packet).expect("of Ethernet and IPv4")
    else {
        panic!("of Ethernet and IPv4")
    };
    assert_eq!(payload.len(), 28);
    assert_eq!(source_hardware_addr.0, own.0);
    match operation {
        ArpOperation::Request => {
            assert_eq!(target_hardware_addr.0, [0; 6]);
            if source == target {
                assert_eq!(to, LinkAddress::BROADCAST);
                return Said::Tell { target: source.into(), to: target.into() };
            }
            Said::Ask { source: source.into(), target: target.into() }
        }
        ArpOperation::Reply => {
            assert_eq!(target_hardware_addr.0, to.0);
            Said::Tell { target: source.into(), to: target.into() }
        }
        other => panic!("{other:?}"),
    }
}

fn read_ndp(own: LinkAddress, to: LinkAddress, payload: &[u8]) -> Said {
    let packet = Ipv6Packet::new_checked(payload).expect("it is a packet");
    let header = Ipv6Repr::parse(&packet).expect("with a header");
    assert_eq!((header.hop_limit, header.next_header), (255, IpProtocol::Icmpv6));
    assert_eq!(payload.len(), 40 + header.payload_len);
    let (source, destination) = (header.src_addr, header.dst_addr);
    if destination.is_multicast() {
        let [.., a, b, c, d] = destination.octets();
        assert_eq!(to, LinkAddress([0x33, 0x33, a, b, c, d]));
    }
    let icmp = Icmpv6Packet::new_checked(packet.payload()).expect("with a message");
    let caps = ChecksumCapabilities::default();
    let message = Icmpv6Repr::parse(&source, &destination, &icmp, &caps).expect("that is sound");
    let link = Some(EthernetAddress(own.0).into());
    match message {
        Icmpv6Repr::Ndisc(NdiscRepr::NeighborSolicit { target_addr: target, lladdr }) => {
            assert!([target, group(target)].contains(&destination));
            assert_eq!(lladdr, link.filter(|_| !source.is_unspecified()));
            Said::Ask { source: source.into(), target: target.into() }
        }
        Icmpv6Repr::Ndisc(NdiscRepr::NeighborAdvert { target_addr: target, lladdr, flags }) => {
            assert_eq!(lladdr, link);
            assert!(flags.contains(NdiscNeighborFlags::ROUTER));
            let solicited = flags.contains(NdiscNeighborFlags::SOLICITED);
            assert_eq!(solicited, !destination.is_multicast());
            Said::Tell { target: target.into(), to: destination.into() }
        }
        other => panic!("{other:?}"),
    }
}

/// Whether smoltcp finds a message of ARP in these octets.
pub fn is_arp(octets: &[u8]) -> bool {
    ArpPacket::new_checked(octets).is_ok_and(|packet| ArpRepr::parse(&packet).is_ok())
}

/// Whether it finds a solicitation or an advertisement.
pub fn is_ndp(octets: &[u8]) -> bool {
    let Ok(packet) = Ipv6Packet::new_checked(octets) else { return false };
    let Ok(header) = Ipv6Repr::parse(&packet) else { return false };
    let (source, destination) = (header.src_addr, header.dst_addr);
    Icmpv6Packet::new_checked(packet.payload()).is_ok_and(|icmp| {
        let caps = ChecksumCapabilities::default();
        Icmpv6Repr::parse(&source, &destination, &icmp, &caps).is_ok()
    })
}

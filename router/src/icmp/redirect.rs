//! Redirects: a host is told that another router on its own link, or the destination itself, is
//! its better first hop (RFC 1812, section 5.2.7.2; RFC 4861, section 8.2). The packet goes on all
//! the same.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{ERROR_MAX_V6, ICMP_HEADER_LEN, emit_message_v4, error_len_v4};
use crate::{
    link::LinkAddress,
    packet::{IPV6_HEADER_LEN, Ipv4, Ipv6, checksum_icmpv6, protocol},
    prefix::LegAddress,
    route::{Hop, Leg, LegId},
    tables::is_link_local,
};

const REDIRECT: u8 = 5;
/// Redirects are for one host: of those for a network the length is not known (RFC 1812, 5.2.7.2).
const HOST: u8 = 1;
const REDIRECT_V6: u8 = 137;
/// No router lets it pass (RFC 4861, section 8.1).
const HOP_LIMIT: u8 = 255;
/// Octets of a redirect of IPv6 before its options.
const MESSAGE_LEN: usize = 40;
const LINK_OPTION_LEN: usize = 8;
/// Octets before the packet in the option that quotes it.
const QUOTE_HEAD_LEN: usize = 8;
const TARGET_LINK: u8 = 2;
const REDIRECTED: u8 = 4;

/// From which of a leg's addresses the sender of a packet is told that its next hop is nearer.
/// `None`: it is not told, for the packet goes elsewhere or the sender is. That it was for one
/// host, without a source route, and that its sender may be answered, has been seen before.
pub fn source(leg: (LegId, &Leg), sender: IpAddr, destination: IpAddr, hop: Hop) -> Option<IpAddr> {
    let (came, leg) = leg;
    if hop.leg != came || hop.address == sender {
        return None;
    }
    let mut own = leg.addresses.iter();
    match hop.address {
        // RFC 1812, section 5.2.7.2: the sender is on the subnet of the next hop.
        IpAddr::V4(_) => {
            let both =
                |own: &&LegAddress| own.prefix.contains(sender) && own.prefix.contains(hop.address);
            own.find(both).map(|own| own.address)
        }
        // RFC 4861, section 8.2: the sender is a neighbour; a router is named, and speaks, by its
        // link-local address.
        IpAddr::V6(next) => {
            let near = |sender: IpAddr| {
                is_link_local(sender) || leg.addresses.iter().any(|own| own.prefix.contains(sender))
            };
            let named = next.is_unicast_link_local() || hop.address == destination;
            let speaks = |own: &&LegAddress| own.address.is_ipv6() && is_link_local(own.address);
            own.find(speaks).filter(|_| named && near(sender)).map(|own| own.address)
        }
    }
}

/// Octets of a redirect of IPv4 about a packet of so many.
pub fn len_v4(len: usize) -> usize {
    error_len_v4(len)
}

/// Writes a redirect to this gateway, which is the destination itself if that is on the link. It
/// fills the room: see [`len_v4`].
pub fn emit_v4(
    room: &mut [u8],
    gateway: Ipv4Addr,
    source: Ipv4Addr,
    about: (&[u8], &Ipv4),
    ident: u16,
) {
    emit_message_v4(room, (REDIRECT, HOST, gateway.to_bits()), source, about, ident);
}

/// What a redirect of IPv6 says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RedirectV6 {
    /// The link-local address of the router that speaks.
    pub source: Ipv6Addr,
    /// The better first hop.
    pub target: Ipv6Addr,
    /// Its link-layer address, if that is known.
    pub link: Option<LinkAddress>,
}

impl RedirectV6 {
    /// Octets of the redirect about a packet of so many.
    pub fn len(&self, len: usize) -> usize {
        let link = if self.link.is_some() { LINK_OPTION_LEN } else { 0 };
        let before = IPV6_HEADER_LEN + MESSAGE_LEN + link + QUOTE_HEAD_LEN;
        // Options have whole units of eight octets: of the packet's end some are not quoted.
        before + (len.min(ERROR_MAX_V6 - before) & !7)
    }

    /// Writes the redirect, which fills the room.
    pub fn emit(&self, room: &mut [u8], (octets, packet): (&[u8], &Ipv6)) {
        let (header, message) = room.split_at_mut(IPV6_HEADER_LEN);
        header[..4].copy_from_slice(&[0x60, 0, 0, 0]);
        header[4..6].copy_from_slice(&(message.len() as u16).to_be_bytes());
        header[6..8].copy_from_slice(&[protocol::ICMPV6, HOP_LIMIT]);
        header[8..24].copy_from_slice(&self.source.octets());
        header[24..40].copy_from_slice(&packet.source.octets());
        message[..ICMP_HEADER_LEN].copy_from_slice(&[REDIRECT_V6, 0, 0, 0, 0, 0, 0, 0]);
        message[8..24].copy_from_slice(&self.target.octets());
        message[24..40].copy_from_slice(&packet.destination.octets());
        let mut options = &mut message[MESSAGE_LEN..];
        if let Some(link) = self.link {
            let (option, rest) = options.split_at_mut(LINK_OPTION_LEN);
            option[..2].copy_from_slice(&[TARGET_LINK, 1]);
            option[2..].copy_from_slice(&link.0);
            options = rest;
        }
        let units = (options.len() / 8) as u8;
        let (head, quote) = options.split_at_mut(QUOTE_HEAD_LEN);
        head.copy_from_slice(&[REDIRECTED, units, 0, 0, 0, 0, 0, 0]);
        quote.copy_from_slice(&octets[..quote.len()]);
        let check = checksum_icmpv6(self.source, packet.source, message);
        message[2..4].copy_from_slice(&check.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use etherparse::{Icmpv4Slice, Icmpv4Type, SlicedPacket, TransportSlice, icmpv4::RedirectCode};
    use smoltcp::{
        phy::ChecksumCapabilities,
        wire::{Icmpv6Packet, Icmpv6Repr, Ipv6Packet, Ipv6Repr, NdiscRepr},
    };

    use super::*;
    use crate::forward::sample::{ipv4, ipv6};

    fn leg() -> Leg {
        let texts = ["10.0.0.1/24", "10.7.0.1/24", "fd00::1/64", "fe80::1/64"];
        Leg::new(texts.map(|text| text.parse().unwrap()).to_vec(), 1500)
    }

    fn told(sender: &str, destination: &str, leg_out: u16, next: &str) -> Option<String> {
        let [sender, destination, address] =
            [sender, destination, next].map(|text| text.parse::<IpAddr>().unwrap());
        let hop = Hop { leg: LegId(leg_out), address };
        source((LegId(3), &leg()), sender, destination, hop).map(|own| own.to_string())
    }

    #[test]
    fn sender_is_told_only_if_it_could_reach_the_next_hop_itself() {
        let to = "192.0.2.1";
        assert_eq!(told("10.0.0.2", to, 3, "10.0.0.9").unwrap(), "10.0.0.1");
        assert_eq!(told("10.7.0.2", to, 3, "10.7.0.9").unwrap(), "10.7.0.1");
        assert_eq!(told("10.0.0.2", "10.0.0.8", 3, "10.0.0.8").unwrap(), "10.0.0.1");
        // By another leg, on another subnet, from beyond, back to itself.
        assert_eq!(told("10.0.0.2", to, 4, "10.0.0.9"), None);
        assert_eq!(told("10.0.0.2", to, 3, "10.7.0.9"), None);
        assert_eq!(told("198.51.100.1", to, 3, "10.0.0.9"), None);
        assert_eq!(told("10.0.0.9", to, 3, "10.0.0.9"), None);
    }

    #[test]
    fn router_of_ipv6_is_named_by_its_link_local_address() {
        let to = "2001:db8::1";
        assert_eq!(told("fd00::2", to, 3, "fe80::9").unwrap(), "fe80::1");
        assert_eq!(told("fe80::2", to, 3, "fe80::9").unwrap(), "fe80::1");
        assert_eq!(told("fd00::2", "fd00::8", 3, "fd00::8").unwrap(), "fe80::1");
        assert_eq!(told("fd00::2", to, 3, "fd00::9"), None);
        assert_eq!(told("2001:db8:7::1", to, 3, "fe80::9"), None);
        assert_eq!(told("fd00::2", to, 4, "fe80::9"), None);
    }

    #[test]
    fn redirect_of_ipv4_is_read_by_another() {
        let octets = ipv4("10.0.0.2", "192.0.2.1", 64, 17, &[7; 30]);
        let packet = Ipv4::parse(&octets).unwrap();
        let mut room = vec![0xa5; len_v4(packet.len)];
        let [gateway, own] = [[10, 0, 0, 9], [10, 0, 0, 1]].map(Ipv4Addr::from);
        emit_v4(&mut room, gateway, own, (&octets, &packet), 5);
        let sliced = SlicedPacket::from_ip(&room).unwrap();
        let Some(TransportSlice::Icmpv4(message)) = sliced.transport else { panic!("{sliced:?}") };
        let Icmpv4Type::Redirect(redirect) = message.icmp_type() else { panic!("{message:?}") };
        assert_eq!(redirect.code, RedirectCode::RedirectForHost);
        assert_eq!(redirect.gateway_internet_address, [10, 0, 0, 9]);
        assert_eq!(message.payload(), octets);
        assert!(Icmpv4Slice::from_slice(message.slice()).is_ok());
        assert_eq!(crate::packet::checksum(message.slice()), 0);
        let header = Ipv4::parse(&room).unwrap();
        assert_eq!((header.source, header.destination), (own, packet.source));
    }

    #[test]
    fn redirect_of_ipv6_is_read_by_another_and_no_longer_than_every_link_carries() {
        let link = Some(LinkAddress([2, 0, 0, 0, 0, 9]));
        for (len, link) in
            [0, 1, 7, 8, 1000, 1143, 1144, 1400].map(|len| [(len, link), (len, None)]).concat()
        {
            let octets = ipv6("fd00::2", "2001:db8::1", 64, 59, &vec![7; len]);
            let packet = Ipv6::parse(&octets).unwrap();
            let [own, target] = ["fe80::1", "fe80::9"].map(|text| text.parse().unwrap());
            let redirect = RedirectV6 { source: own, target, link };
            let mut room = vec![0xa5; redirect.len(packet.len)];
            assert!(room.len() <= 1280);
            redirect.emit(&mut room, (&octets, &packet));
            let sliced = Ipv6Packet::new_checked(&room[..]).unwrap();
            let header = Ipv6Repr::parse(&sliced).unwrap();
            assert_eq!((header.hop_limit, header.src_addr), (255, own));
            assert_eq!(header.dst_addr, packet.source);
            let icmp = Icmpv6Packet::new_checked(sliced.payload()).unwrap();
            let caps = ChecksumCapabilities::default();
            let message = Icmpv6Repr::parse(&own, &packet.source, &icmp, &caps).unwrap();
            let Icmpv6Repr::Ndisc(NdiscRepr::Redirect {
                target_addr,
                dest_addr,
                lladdr,
                redirected_hdr,
            }) = message
            else {
                panic!("{message:?}")
            };
            assert_eq!((target_addr, dest_addr), (target, packet.destination));
            let expected = link.map(|link| smoltcp::wire::EthernetAddress(link.0).into());
            assert_eq!(lladdr, expected);
            // smoltcp reads no packet that was cut.
            if octets.len().is_multiple_of(8) && octets.len() < 1184 {
                assert_eq!(redirected_hdr.unwrap().header.dst_addr, packet.destination);
            }
            // As much as there is room for, in units of eight octets.
            let most = 1280 - 40 - 40 - 8 - if link.is_some() { 8 } else { 0 };
            let quoted = octets.len().min(most) & !7;
            assert!(room.ends_with(&octets[..quoted]) && room.len() == 1280 - most + quoted);
        }
    }
}

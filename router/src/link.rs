//! The link below: its addresses, and what the slow path says by it.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use crate::route::{Hop, LegId};

/// What a payload is (IEEE 802, EtherType; IANA, IEEE 802 numbers).
pub mod ethertype {
    /// RFC 894.
    pub const IPV4: u16 = 0x0800;
    /// RFC 826.
    pub const ARP: u16 = 0x0806;
    /// RFC 2464, section 3.
    pub const IPV6: u16 = 0x86dd;
}

/// A link-layer address: six octets in the order of the wire (IEEE 802-2014, section 8.2).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkAddress(pub [u8; 6]);

impl LinkAddress {
    /// All ones: every station.
    pub const BROADCAST: LinkAddress = LinkAddress([0xff; 6]);
    /// All zeros: nobody, or not known yet.
    pub const NULL: LinkAddress = LinkAddress([0; 6]);

    /// The first six octets of these; `None`: there are fewer.
    pub fn read(octets: &[u8]) -> Option<LinkAddress> {
        octets.first_chunk().copied().map(LinkAddress)
    }

    /// A group address, multicast or broadcast: the I/G bit is set (IEEE 802-2014, 8.2.2).
    #[inline]
    pub fn is_group(self) -> bool {
        self.0[0] & 1 != 0
    }

    /// Whether one station can have it: it is no group, and not nobody.
    pub fn is_station(self) -> bool {
        !self.is_group() && self != LinkAddress::NULL
    }

    /// To whom a packet for this group goes (RFC 1112, section 6.4).
    pub fn of_group_v4(group: Ipv4Addr) -> LinkAddress {
        let [_, a, b, c] = group.octets();
        LinkAddress([0x01, 0x00, 0x5e, a & 0x7f, b, c])
    }

    /// The same for IPv6 (RFC 2464, section 7).
    pub fn of_group_v6(group: Ipv6Addr) -> LinkAddress {
        let [.., a, b, c, d] = group.octets();
        LinkAddress([0x33, 0x33, a, b, c, d])
    }

    /// The link-local address of a station: fe80::/64 and its EUI-64 with the U/L bit turned (RFC
    /// 2464, sections 4 and 5).
    pub fn link_local(self) -> Ipv6Addr {
        let [a, b, c, d, e, f] = self.0;
        Ipv6Addr::from([0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xff, 0xfe, d, e, f])
    }
}

impl fmt::Display for LinkAddress {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, f] = self.0;
        write!(out, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
    }
}

impl fmt::Debug for LinkAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for LinkAddress {
    type Err = LinkAddressFault;

    /// Reads six octets in hexadecimal, with colons or hyphens between them.
    fn from_str(text: &str) -> Result<LinkAddress, LinkAddressFault> {
        let fault = || LinkAddressFault { text: text.to_owned() };
        let separator = if text.contains('-') { '-' } else { ':' };
        let mut parts = text.split(separator);
        let mut octets = [0; 6];
        for octet in &mut octets {
            let part = parts.next().filter(|part| matches!(part.len(), 1 | 2));
            // Rust reads a sign, too.
            let part = part.filter(|part| part.bytes().all(|b| b.is_ascii_hexdigit()));
            *octet = part.and_then(|p| u8::from_str_radix(p, 16).ok()).ok_or_else(fault)?;
        }
        if parts.next().is_some() { Err(fault()) } else { Ok(LinkAddress(octets)) }
    }
}

/// A text that is no link-layer address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkAddressFault {
    /// It.
    pub text: String,
}

impl fmt::Display for LinkAddressFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = &self.text;
        write!(f, "\"{text}\" is no link-layer address: write six octets as in 02:00:00:00:00:01")
    }
}

impl std::error::Error for LinkAddressFault {}

/// What the slow path has to say. Its caller supplies it.
pub trait Post {
    /// A payload for the link of this leg, from the leg's own link-layer address. It is no longer
    /// than the leg's MTU.
    fn send(&mut self, leg: LegId, to: LinkAddress, ethertype: u16, payload: &[u8]);

    /// The neighbour of a held packet answered: send it there. `held` is what was given, octet
    /// for octet.
    fn release(&mut self, hop: Hop, to: LinkAddress, held: Box<[u8]>);

    /// Nobody answered: the sender of the packet is to be told (RFC 1812, section 5.2.7.1; RFC
    /// 4443, section 3.1, code 3).
    fn fail(&mut self, hop: Hop, held: Box<[u8]>);

    /// Something that a person wants to hear of.
    fn event(&mut self, event: Event);
}

/// What happened on a link, for a person or a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Another station uses an address of the router (RFC 5227, section 2.4). The router goes on
    /// with it.
    Conflict {
        /// On the link of this leg.
        leg: LegId,
        /// The address.
        address: IpAddr,
        /// The other station.
        with: LinkAddress,
    },
    /// Another station had the address before the router (RFC 4862, section 5.4.5): it is not
    /// used.
    Duplicate {
        /// On the link of this leg.
        leg: LegId,
        /// The address.
        address: IpAddr,
        /// The other station.
        with: LinkAddress,
    },
    /// A leg has as many neighbours as it may, all of them in use: a new one had no place.
    NeighbourFull {
        /// The leg.
        leg: LegId,
    },
    /// A neighbour has another link-layer address than before.
    NeighbourMoved {
        /// The neighbour.
        hop: Hop,
        /// It had this one.
        from: LinkAddress,
        /// It has this one.
        to: LinkAddress,
    },
    /// A neighbour that was asked for does not answer.
    NeighbourFailed {
        /// The neighbour.
        hop: Hop,
    },
}

impl Event {
    /// The leg on whose link it happened.
    pub fn leg(&self) -> LegId {
        match *self {
            Event::Conflict { leg, .. }
            | Event::Duplicate { leg, .. }
            | Event::NeighbourFull { leg } => leg,
            Event::NeighbourMoved { hop, .. } | Event::NeighbourFailed { hop } => hop.leg,
        }
    }

    /// The name of what happened, for programs.
    pub fn name(&self) -> &'static str {
        match self {
            Event::Conflict { .. } => "address_conflict",
            Event::Duplicate { .. } => "address_duplicate",
            Event::NeighbourFull { .. } => "neighbour_full",
            Event::NeighbourMoved { .. } => "neighbour_moved",
            Event::NeighbourFailed { .. } => "neighbour_failed",
        }
    }
}

impl fmt::Display for Event {
    /// A sentence without the leg: who knows its name puts it in front.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Conflict { address, with, .. } => {
                write!(f, "{with} uses {address}, too, which is this router's: give one another")
            }
            Event::Duplicate { address, with, .. } => {
                write!(f, "{with} has {address} already, so this router does not use it")
            }
            Event::NeighbourFull { .. } => {
                f.write_str("no room for another neighbour: all that are there are in use")
            }
            Event::NeighbourMoved { hop, from, to } => {
                write!(f, "{} moved from {from} to {to}", hop.address)
            }
            Event::NeighbourFailed { hop } => write!(f, "{} does not answer", hop.address),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_shown_again() {
        let address: LinkAddress = "02:00:5E:10:0a:ff".parse().unwrap();
        assert_eq!(address, LinkAddress([2, 0, 0x5e, 0x10, 0x0a, 0xff]));
        assert_eq!(address.to_string(), "02:00:5e:10:0a:ff");
        assert_eq!(format!("{address:?}"), "02:00:5e:10:0a:ff");
        assert_eq!("2-0-5e-10-a-ff".parse(), Ok(address));
    }

    #[test]
    fn what_is_no_address_is_refused_with_a_sentence() {
        for text in [
            "",
            "02",
            "02:00:00:00:00",
            "02:00:00:00:00:01:02",
            "02:00:00:00:00:0g",
            "+2:0:0:0:0:1",
        ] {
            let fault = text.parse::<LinkAddress>().unwrap_err();
            assert!(fault.to_string().contains("write six octets as in 02:"), "{text}");
        }
        for text in
            ["02:00:00:00:00:001", "02::00:00:00:01", "02:00-00:00:00:01", "02:00:00:00:00:01:"]
        {
            assert!(text.parse::<LinkAddress>().is_err(), "{text}");
        }
    }

    #[test]
    fn groups_have_the_addresses_of_the_standards() {
        let v4 = |text: &str| LinkAddress::of_group_v4(text.parse().unwrap()).to_string();
        assert_eq!(v4("224.0.0.251"), "01:00:5e:00:00:fb");
        // 23 bits: the same as that of 239.127.1.2.
        assert_eq!(v4("239.255.1.2"), "01:00:5e:7f:01:02");
        let v6 = |text: &str| LinkAddress::of_group_v6(text.parse().unwrap()).to_string();
        assert_eq!(v6("ff02::1:ff12:3456"), "33:33:ff:12:34:56");
    }

    #[test]
    fn stations_groups_and_nobody_are_told_apart() {
        assert!(LinkAddress([2, 0, 0, 0, 0, 1]).is_station());
        for address in [LinkAddress::BROADCAST, LinkAddress([1, 0, 0x5e, 0, 0, 1])] {
            assert!(address.is_group() && !address.is_station());
        }
        assert!(!LinkAddress::NULL.is_group() && !LinkAddress::NULL.is_station());
    }

    #[test]
    fn link_local_address_is_that_of_rfc_2464() {
        // The example of section 4.
        let address = LinkAddress([0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde]);
        assert_eq!(address.link_local().to_string(), "fe80::3656:78ff:fe9a:bcde");
    }

    #[test]
    fn events_are_sentences_and_know_their_leg() {
        let hop = Hop { leg: LegId(3), address: [10, 0, 0, 2].into() };
        let [from, to] = [1, 2].map(|last| LinkAddress([2, 0, 0, 0, 0, last]));
        let event = Event::NeighbourMoved { hop, from, to };
        assert_eq!(event.to_string(), "10.0.0.2 moved from 02:00:00:00:00:01 to 02:00:00:00:00:02");
        assert_eq!((event.leg(), event.name()), (LegId(3), "neighbour_moved"));
        let event = Event::Conflict { leg: LegId(1), address: hop.address, with: from };
        assert!(event.to_string().starts_with("02:00:00:00:00:01 uses 10.0.0.2, too"));
        assert_eq!(event.leg(), LegId(1));
    }
}

//! Packets: the headers of IPv4 and IPv6, checked in place, and the one edit that forwarding makes.
//!
//! A parse is the door (RFC 1812, section 5.2.2; RFC 8200, section 3): what comes through has a
//! header of which every length is within the octets that are there. What does not has a
//! [`Reason`]. Nothing here looks at legs or routes.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::stats::Reason;

/// Octets of an IPv4 header without options.
pub const IPV4_HEADER_LEN: usize = 20;
/// Octets of an IPv6 header.
pub const IPV6_HEADER_LEN: usize = 40;
/// Extension headers of a packet of IPv6 that are followed: as many as RFC 8200, section 4.1, has
/// in its order, and no reason for more. (RFC 8504, section 5.3, lets a node have such a limit.)
pub const EXTENSIONS_MAX: usize = 8;

/// Numbers of protocols and extension headers (IANA, protocol numbers).
pub mod protocol {
    /// Hop-by-hop options (RFC 8200, 4.3).
    pub const HOP_BY_HOP: u8 = 0;
    /// RFC 792.
    pub const ICMP: u8 = 1;
    /// RFC 9293.
    pub const TCP: u8 = 6;
    /// RFC 768.
    pub const UDP: u8 = 17;
    /// RFC 4340.
    pub const DCCP: u8 = 33;
    /// Routing header (RFC 8200, 4.4).
    pub const ROUTING: u8 = 43;
    /// Fragment header (RFC 8200, 4.5).
    pub const FRAGMENT: u8 = 44;
    /// RFC 4302.
    pub const AUTHENTICATION: u8 = 51;
    /// RFC 4443.
    pub const ICMPV6: u8 = 58;
    /// Destination options (RFC 8200, 4.6).
    pub const DESTINATION: u8 = 60;
    /// RFC 9260.
    pub const SCTP: u8 = 132;
    /// RFC 6275.
    pub const MOBILITY: u8 = 135;
    /// RFC 3828.
    pub const UDP_LITE: u8 = 136;
    /// RFC 7401.
    pub const HIP: u8 = 139;
    /// RFC 5533.
    pub const SHIM6: u8 = 140;
}

/// What is known of a packet beside its octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketMeta {
    /// Octets of the largest packet that this one will be on a wire: its own length, or that of
    /// its largest segment if it has yet to be cut. The MTU is compared with this.
    pub largest: usize,
    /// Whether the checksum of its transport is there. If not, somebody completes it later.
    pub complete: bool,
    /// Whether its frame was for a group address: it goes to nobody else then (RFC 1812, 5.3.4).
    pub group: bool,
}

impl PacketMeta {
    /// That of a packet as it was on a wire, in a frame for one station.
    pub fn of(octets: &[u8]) -> PacketMeta {
        PacketMeta { largest: octets.len(), complete: true, group: false }
    }
}

/// A header of IPv4 that was found sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv4 {
    /// Octets of the header: 20 to 60.
    pub header_len: usize,
    /// Octets of the packet. What is behind them was added by the link.
    pub len: usize,
    /// Type of service: precedence, or DSCP and ECN.
    pub tos: u8,
    /// Three flags and thirteen bits of offset, in units of eight octets.
    pub fragment: u16,
    /// Hops that are left.
    pub ttl: u8,
    /// What it carries.
    pub protocol: u8,
    /// From whom.
    pub source: Ipv4Addr,
    /// For whom.
    pub destination: Ipv4Addr,
}

impl Ipv4 {
    /// DF, in [`Ipv4::fragment`].
    pub const DONT_FRAGMENT: u16 = 0x4000;
    /// MF.
    pub const MORE_FRAGMENTS: u16 = 0x2000;
    /// The offset.
    pub const OFFSET: u16 = 0x1fff;

    /// Reads and checks a header.
    ///
    /// # Errors
    ///
    /// The first of the tests of RFC 1812, section 5.2.2, that it does not pass.
    #[inline]
    pub fn parse(octets: &[u8]) -> Result<Ipv4, Reason> {
        // (1) as long as a header.
        let Some(head) = octets.first_chunk::<IPV4_HEADER_LEN>() else {
            return Err(Reason::IpRunt);
        };
        let [first, tos, l0, l1, _, _, f0, f1, ttl, protocol, ..] = *head;
        // (3) the version.
        if first >> 4 != 4 {
            return Err(Reason::IpVersion);
        }
        // (4) the header's length.
        let header_len = usize::from(first & 0xf) * 4;
        let Some(header) = octets.get(..header_len).filter(|h| h.len() >= IPV4_HEADER_LEN) else {
            return Err(Reason::IpHeaderLength);
        };
        // (5) the packet's length, also against what is there.
        let len = usize::from(u16::from_be_bytes([l0, l1]));
        if len < header_len || len > octets.len() {
            return Err(Reason::IpLength);
        }
        // (2) the checksum, last because it costs most.
        if checksum(header) != 0 {
            return Err(Reason::IpChecksum);
        }
        let [.., s0, s1, s2, s3, d0, d1, d2, d3] = *head;
        Ok(Ipv4 {
            header_len,
            len,
            tos,
            fragment: u16::from_be_bytes([f0, f1]),
            ttl,
            protocol,
            source: Ipv4Addr::new(s0, s1, s2, s3),
            destination: Ipv4Addr::new(d0, d1, d2, d3),
        })
    }

    /// Whether it is a part of a packet.
    #[inline]
    pub fn is_fragment(&self) -> bool {
        self.fragment & (Ipv4::MORE_FRAGMENTS | Ipv4::OFFSET) != 0
    }

    /// Where its payload belongs in that of the whole packet, in octets.
    #[inline]
    pub fn offset(&self) -> usize {
        usize::from(self.fragment & Ipv4::OFFSET) * 8
    }
}

/// A header of IPv6 that was found sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv6 {
    /// Octets of the packet. What is behind them was added by the link.
    pub len: usize,
    /// What stands behind the header.
    pub next_header: u8,
    /// Hops that are left.
    pub hop_limit: u8,
    /// From whom.
    pub source: Ipv6Addr,
    /// For whom.
    pub destination: Ipv6Addr,
}

/// What a packet carries, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upper {
    /// The protocol behind all extension headers.
    pub protocol: u8,
    /// Where it begins. `None`: elsewhere, this is a fragment without the beginning.
    pub at: Option<usize>,
    /// Whether it is a part of a packet.
    pub fragment: bool,
}

impl Ipv6 {
    /// Reads and checks a header (RFC 8200, section 3).
    ///
    /// # Errors
    ///
    /// Why it is none.
    #[inline]
    pub fn parse(octets: &[u8]) -> Result<Ipv6, Reason> {
        let Some(head) = octets.first_chunk::<IPV6_HEADER_LEN>() else {
            return Err(Reason::IpRunt);
        };
        if head[0] >> 4 != 6 {
            return Err(Reason::IpVersion);
        }
        // A length of 0 before hop-by-hop options is a jumbogram (RFC 2675): of more octets than
        // any frame of ours. It is refused with the option: too short for it.
        let len = IPV6_HEADER_LEN + usize::from(u16::from_be_bytes([head[4], head[5]]));
        if len > octets.len() {
            return Err(Reason::IpLength);
        }
        let source = head[8..].first_chunk::<16>().map_or([0; 16], |chunk| *chunk);
        let destination = head[24..].first_chunk::<16>().map_or([0; 16], |chunk| *chunk);
        Ok(Ipv6 {
            len,
            next_header: head[6],
            hop_limit: head[7],
            source: source.into(),
            destination: destination.into(),
        })
    }

    /// Goes along the extension headers.
    ///
    /// # Errors
    ///
    /// If there are more than [`EXTENSIONS_MAX`], or one runs past the packet's end: also in a
    /// first fragment, which has all of them (RFC 7112, section 5).
    #[inline]
    pub fn upper(&self, octets: &[u8]) -> Result<Upper, Reason> {
        let mut upper =
            Upper { protocol: self.next_header, at: Some(IPV6_HEADER_LEN), fragment: false };
        let packet = octets.get(..self.len).unwrap_or(octets);
        for _ in 0..=EXTENSIONS_MAX {
            let Some(at) = upper.at else { return Ok(upper) };
            let head = packet.get(at..).and_then(|rest| rest.first_chunk::<8>());
            let units = |head: &[u8; 8]| usize::from(head[1]);
            let len = match (upper.protocol, head) {
                (
                    protocol::HOP_BY_HOP
                    | protocol::ROUTING
                    | protocol::DESTINATION
                    | protocol::MOBILITY
                    | protocol::HIP
                    | protocol::SHIM6,
                    Some(head),
                ) => (units(head) + 1) * 8,
                // RFC 4302, section 2.2: in words, minus two.
                (protocol::AUTHENTICATION, Some(head)) => (units(head) + 2) * 4,
                (protocol::FRAGMENT, Some(head)) => {
                    let field = u16::from_be_bytes([head[2], head[3]]);
                    // An offset and no M flag of 0 both: an atomic fragment (RFC 6946).
                    upper.fragment = field & 0xfff9 != 0;
                    if field & 0xfff8 != 0 {
                        return Ok(Upper { protocol: head[0], at: None, fragment: true });
                    }
                    8
                }
                (
                    protocol::HOP_BY_HOP
                    | protocol::ROUTING
                    | protocol::DESTINATION
                    | protocol::MOBILITY
                    | protocol::HIP
                    | protocol::SHIM6
                    | protocol::AUTHENTICATION
                    | protocol::FRAGMENT,
                    None,
                ) => return Err(Reason::ExtensionTruncated),
                _ => return Ok(upper),
            };
            if at + len > packet.len() {
                return Err(Reason::ExtensionTruncated);
            }
            upper.protocol = packet[at];
            upper.at = Some(at + len);
        }
        Err(Reason::ExtensionChain)
    }
}

/// Takes one hop of those that are left, and corrects the checksum by the difference. The header
/// is sound and there is one left: see the callers.
#[inline]
pub fn decrement_ttl(octets: &mut [u8]) {
    let old = u16::from_be_bytes([octets[8], octets[9]]);
    let new = old - 0x0100;
    let check = u16::from_be_bytes([octets[10], octets[11]]);
    octets[8] -= 1;
    octets[10..12].copy_from_slice(&updated(check, old, new).to_be_bytes());
}

/// The same for IPv6, which has no checksum.
#[inline]
pub fn decrement_hop_limit(octets: &mut [u8]) {
    octets[7] -= 1;
}

/// A checksum after one of its words has changed (RFC 1624, section 3, equation 3).
#[inline]
pub fn updated(check: u16, old: u16, new: u16) -> u16 {
    !fold(u32::from(!check) + u32::from(!old) + u32::from(new))
}

/// The Internet checksum (RFC 1071): 0 over octets that contain a valid one.
#[inline]
pub fn checksum(octets: &[u8]) -> u16 {
    !fold(sum(octets))
}

/// The checksum of ICMPv6, with the pseudo-header (RFC 4443, section 2.3; RFC 8200, section 8.1).
pub fn checksum_icmpv6(source: Ipv6Addr, destination: Ipv6Addr, message: &[u8]) -> u16 {
    let addresses = sum(&source.octets()) + sum(&destination.octets());
    let len = message.len() as u32;
    let rest = (len >> 16) + (len & 0xffff) + u32::from(protocol::ICMPV6);
    !fold(addresses + rest + sum(message))
}

/// The sum of all 16-bit words, of at most 64 KiB; behind an odd one is a zero.
#[inline]
fn sum(octets: &[u8]) -> u32 {
    let (words, rest) = octets.as_chunks::<2>();
    let odd = rest.first().map_or(0, |last| u32::from(*last) << 8);
    words.iter().map(|word| u32::from(u16::from_be_bytes(*word))).sum::<u32>() + odd
}

#[inline]
fn fold(sum: u32) -> u16 {
    let once = (sum >> 16) + (sum & 0xffff);
    ((once >> 16) + (once & 0xffff)) as u16
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// An echo request of 192.0.2.1 to 198.51.100.2 with four octets, TTL 64.
    const ECHO: [u8; 32] = [
        0x45, 0, 0, 32, 0x12, 0x34, 0x40, 0, 64, 1, 0x3c, 0x6b, 192, 0, 2, 1, 198, 51, 100, 2, 8,
        0, 0, 0, 0, 1, 0, 1, b'p', b'i', b'n', b'g',
    ];

    fn echo() -> [u8; 32] {
        let mut echo = ECHO;
        echo[10..12].fill(0);
        let check = checksum(&echo[..20]);
        echo[10..12].copy_from_slice(&check.to_be_bytes());
        echo
    }

    fn changed(at: usize, value: u8) -> Result<Ipv4, Reason> {
        let mut octets = echo();
        octets[at] = value;
        Ipv4::parse(&octets)
    }

    #[test]
    fn sound_header_is_read() {
        let packet = Ipv4::parse(&echo()).unwrap();
        assert_eq!((packet.header_len, packet.len, packet.ttl, packet.protocol), (20, 32, 64, 1));
        assert_eq!(packet.source.to_string(), "192.0.2.1");
        assert_eq!(packet.destination.to_string(), "198.51.100.2");
        assert!(!packet.is_fragment());
        assert_eq!(packet.fragment, Ipv4::DONT_FRAGMENT);
    }

    #[test]
    fn each_test_of_the_header_has_its_reason() {
        assert_eq!(Ipv4::parse(&echo()[..19]), Err(Reason::IpRunt));
        assert_eq!(changed(0, 0x65), Err(Reason::IpVersion));
        assert_eq!(changed(0, 0x44), Err(Reason::IpHeaderLength));
        assert_eq!(changed(0, 0x4f), Err(Reason::IpHeaderLength));
        assert_eq!(changed(3, 33), Err(Reason::IpLength));
        assert_eq!(changed(3, 19), Err(Reason::IpLength));
        assert_eq!(changed(8, 63), Err(Reason::IpChecksum));
    }

    #[test]
    fn what_the_link_added_is_not_of_the_packet() {
        let padded = [&echo()[..], &[0; 14]].concat();
        assert_eq!(Ipv4::parse(&padded).unwrap().len, 32);
    }

    #[test]
    fn example_of_rfc_1624_gives_zero_and_not_its_complement() {
        assert_eq!(updated(0xdd2f, 0x5555, 0x3285), 0x0000);
    }

    #[test]
    fn decrement_keeps_every_header_valid() {
        for ttl in 1..=u8::MAX {
            for ident in [0, 0x1234, 0xffff, u16::from(ttl) * 257] {
                let mut octets = echo();
                octets[4..6].copy_from_slice(&ident.to_be_bytes());
                octets[8] = ttl;
                octets[10..12].fill(0);
                let check = checksum(&octets[..20]);
                octets[10..12].copy_from_slice(&check.to_be_bytes());
                decrement_ttl(&mut octets);
                assert_eq!(Ipv4::parse(&octets).map(|packet| packet.ttl), Ok(ttl - 1));
            }
        }
    }

    fn ipv6(next_header: u8, payload: &[u8]) -> Vec<u8> {
        let mut octets = vec![0; IPV6_HEADER_LEN];
        octets[0] = 0x60;
        octets[4..6].copy_from_slice(&(payload.len() as u16).to_be_bytes());
        octets[6] = next_header;
        octets[7] = 64;
        octets[8..10].copy_from_slice(&[0xfd, 1]);
        octets[24..26].copy_from_slice(&[0xfd, 2]);
        octets.extend(payload);
        octets
    }

    fn upper(next_header: u8, payload: &[u8]) -> Result<Upper, Reason> {
        let octets = ipv6(next_header, payload);
        Ipv6::parse(&octets).unwrap().upper(&octets)
    }

    #[test]
    fn ipv6_header_is_read_and_its_lengths_tested() {
        let octets = ipv6(59, &[1, 2, 3]);
        let packet = Ipv6::parse(&octets).unwrap();
        assert_eq!((packet.len, packet.next_header, packet.hop_limit), (43, 59, 64));
        assert_eq!(packet.source.to_string(), "fd01::");
        assert_eq!(Ipv6::parse(&octets[..39]), Err(Reason::IpRunt));
        assert_eq!(Ipv6::parse(&octets[..42]), Err(Reason::IpLength));
        let mut four = octets;
        four[0] = 0x45;
        assert_eq!(Ipv6::parse(&four), Err(Reason::IpVersion));
    }

    #[test]
    fn extension_headers_are_followed_to_what_they_carry() {
        let at = |at| Some(at);
        let found = upper(17, &[0; 8]).unwrap();
        assert_eq!(found, Upper { protocol: 17, at: at(40), fragment: false });
        // Hop-by-hop of 16 octets, then destination options of 8, then UDP.
        let mut chain = vec![60, 1];
        chain.extend([0; 14]);
        chain.extend([17, 0, 0, 0, 0, 0, 0, 0]);
        chain.extend([0; 8]);
        assert_eq!(upper(0, &chain).unwrap(), Upper { protocol: 17, at: at(64), fragment: false });
        // Authentication counts in words.
        let mut chain = vec![6, 4];
        chain.extend([0; 42]);
        assert_eq!(upper(51, &chain).unwrap().at, at(64));
    }

    #[test]
    fn fragments_are_told_apart() {
        let first = upper(44, &[17, 0, 0, 1, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0]).unwrap();
        assert_eq!(first, Upper { protocol: 17, at: Some(48), fragment: true });
        let second = upper(44, &[17, 0, 0, 8, 0, 0, 0, 9, 0, 0]).unwrap();
        assert_eq!(second, Upper { protocol: 17, at: None, fragment: true });
        let alone = upper(44, &[17, 0, 0, 0, 0, 0, 0, 9]).unwrap();
        assert!(!alone.fragment);
    }

    #[test]
    fn chain_of_a_hundred_is_refused_and_so_is_one_that_runs_past_the_end() {
        let mut chain: Vec<u8> = [60, 0, 0, 0, 0, 0, 0, 0].repeat(EXTENSIONS_MAX);
        chain[8 * (EXTENSIONS_MAX - 1)] = 59;
        assert_eq!(upper(60, &chain).unwrap().protocol, 59);
        assert_eq!(upper(60, &[60, 0, 0, 0, 0, 0, 0, 0].repeat(100)), Err(Reason::ExtensionChain));
        assert_eq!(upper(60, &[59, 1, 0, 0, 0, 0, 0, 0]), Err(Reason::ExtensionTruncated));
        assert_eq!(upper(43, &[59, 0, 0]), Err(Reason::ExtensionTruncated));
        assert_eq!(upper(44, &[]), Err(Reason::ExtensionTruncated));
    }

    proptest! {
        #[test]
        fn difference_gives_what_the_whole_sum_gives(
            words: [u16; 10],
            at in 0..10_usize,
            new: u16,
        ) {
            let octets = |words: [u16; 10]| words.map(u16::to_be_bytes).concat();
            let check = checksum(&octets(words));
            let mut changed = words;
            changed[at] = new;
            let whole = checksum(&octets(changed));
            // Of all zeros the sum knows two complements (RFC 1624, section 3).
            let by_difference = updated(check, words[at], new);
            prop_assert!(by_difference == whole || changed == [0; 10] || words == [0; 10]);
        }

        #[test]
        fn any_octets_have_a_verdict(octets: Vec<u8>) {
            let _ = Ipv4::parse(&octets);
            if let Ok(packet) = Ipv6::parse(&octets) {
                let _ = packet.upper(&octets);
            }
        }

        #[test]
        fn any_chain_has_a_verdict(next_header: u8, payload: Vec<u8>) {
            let _ = upper(next_header, &payload);
        }
    }
}

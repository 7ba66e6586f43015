//! Messages of neighbour discovery: solicitation and advertisement (RFC 4861, sections 4.3, 4.4).

use std::net::Ipv6Addr;

use super::stats::Counter;
use crate::{
    link::LinkAddress,
    packet::{EXTENSIONS_MAX, IPV6_HEADER_LEN, Ipv6, checksum_icmpv6, protocol},
};

const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
/// What no router lets pass unchanged (RFC 4861, section 7.1).
const HOP_LIMIT: u8 = 255;
/// Octets of a message before its options.
const MESSAGE_LEN: usize = 24;
/// Options: source and target link-layer address (RFC 4861, section 4.6.1), in units of 8 octets.
const SOURCE_LINK: u8 = 1;
const TARGET_LINK: u8 = 2;
const LINK_OPTION_LEN: usize = 8;

/// All on the link (RFC 4291, section 2.7.1).
pub(super) const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// Flags of an advertisement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Flags {
    /// R: from a router.
    pub router: bool,
    /// S: it answers a solicitation.
    pub solicited: bool,
    /// O: its link-layer address replaces another one.
    pub overrides: bool,
}

impl Flags {
    fn of(octet: u8) -> Flags {
        let [router, solicited, overrides] = [0x80, 0x40, 0x20].map(|bit| octet & bit != 0);
        Flags { router, solicited, overrides }
    }

    fn octet(self) -> u8 {
        u8::from(self.router) << 7 | u8::from(self.solicited) << 6 | u8::from(self.overrides) << 5
    }
}

/// A message. In an advertisement `link` is the target's link-layer address, else the source's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Message {
    /// Unspecified: of one who would like to have the target (RFC 4862, section 5.4).
    pub source: Ipv6Addr,
    pub destination: Ipv6Addr,
    pub target: Ipv6Addr,
    pub link: Option<LinkAddress>,
    /// `None`: it is a solicitation.
    pub flags: Option<Flags>,
}

impl Message {
    /// Reads a message, and checks all of RFC 4861, sections 7.1.1 and 7.1.2.
    pub fn parse(octets: &[u8]) -> Result<Message, Counter> {
        let packet = Ipv6::parse(octets).map_err(|_| Counter::NdMalformed)?;
        let octets = &octets[..packet.len];
        let message = &octets[begin(octets, packet.next_header)?..];
        let kind = match message.first().copied() {
            Some(kind @ (SOLICITATION | ADVERTISEMENT)) => kind,
            _ => return Err(Counter::NdType),
        };
        let Ipv6 { source, destination, hop_limit, .. } = packet;
        if hop_limit != HOP_LIMIT {
            return Err(Counter::NdHopLimit);
        }
        if checksum_icmpv6(source, destination, message) != 0 {
            return Err(Counter::NdChecksum);
        }
        let Some(head) = message.first_chunk::<MESSAGE_LEN>() else {
            return Err(Counter::NdMalformed);
        };
        let target = Ipv6Addr::from(*head[8..].first_chunk().unwrap_or(&[0; 16]));
        if head[1] != 0 {
            return Err(Counter::NdMalformed);
        }
        if source.is_multicast() || source.is_loopback() {
            return Err(Counter::NdSource);
        }
        if !is_host(target) {
            return Err(Counter::NdTarget);
        }
        let wanted = if kind == SOLICITATION { SOURCE_LINK } else { TARGET_LINK };
        let link = link_option(&message[MESSAGE_LEN..], wanted)?;
        let flags = (kind == ADVERTISEMENT).then(|| Flags::of(head[4]));
        let sound = match flags {
            None if source.is_unspecified() => destination == group(target) && link.is_none(),
            // Of who has an address nothing is said about to whom he speaks.
            None => true,
            // Who has no address does not answer; what is for all answers nobody.
            Some(flags) => {
                !(source.is_unspecified() || destination.is_multicast() && flags.solicited)
            }
        };
        if !sound {
            return Err(Counter::NdMalformed);
        }
        Ok(Message { source, destination, target, link, flags })
    }

    /// The packet.
    pub fn emit(&self) -> Vec<u8> {
        let option = if self.link.is_some() { LINK_OPTION_LEN } else { 0 };
        let mut octets = vec![0; IPV6_HEADER_LEN + MESSAGE_LEN + option];
        let (header, message) = octets.split_at_mut(IPV6_HEADER_LEN);
        header[0] = 0x60;
        header[5] = message.len() as u8;
        header[6..8].copy_from_slice(&[protocol::ICMPV6, HOP_LIMIT]);
        header[8..24].copy_from_slice(&self.source.octets());
        header[24..].copy_from_slice(&self.destination.octets());
        let (kind, flags, number) = match self.flags {
            Some(flags) => (ADVERTISEMENT, flags.octet(), TARGET_LINK),
            None => (SOLICITATION, 0, SOURCE_LINK),
        };
        message[0] = kind;
        message[4] = flags;
        message[8..24].copy_from_slice(&self.target.octets());
        if let Some(link) = self.link {
            message[24..26].copy_from_slice(&[number, 1]);
            message[26..].copy_from_slice(&link.0);
        }
        let check = checksum_icmpv6(self.source, self.destination, message);
        message[2..4].copy_from_slice(&check.to_be_bytes());
        octets
    }
}

/// The solicited-node group of an address (RFC 4291, section 2.7.1).
pub(super) fn group(address: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = address.octets();
    Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c])
}

/// Whether one host can have this address.
pub(super) fn is_host(address: Ipv6Addr) -> bool {
    let mapped = address.to_ipv4_mapped().is_some();
    !(address.is_multicast() || address.is_unspecified() || address.is_loopback() || mapped)
}

/// Where the message begins. A fragment header is refused even if it is that of a whole packet
/// (RFC 6980, section 5).
fn begin(packet: &[u8], mut next_header: u8) -> Result<usize, Counter> {
    let mut at = IPV6_HEADER_LEN;
    for _ in 0..=EXTENSIONS_MAX {
        match next_header {
            protocol::ICMPV6 => return Ok(at),
            protocol::FRAGMENT => return Err(Counter::NdFragment),
            protocol::HOP_BY_HOP | protocol::ROUTING | protocol::DESTINATION => {}
            _ => return Err(Counter::NdType),
        }
        let head = packet.get(at..).and_then(|rest| rest.first_chunk::<8>());
        let head = head.ok_or(Counter::NdMalformed)?;
        next_header = head[0];
        at += (usize::from(head[1]) + 1) * 8;
        if at > packet.len() {
            return Err(Counter::NdMalformed);
        }
    }
    Err(Counter::NdMalformed)
}

/// The link-layer address in the options, the last one of the wanted kind.
fn link_option(mut options: &[u8], wanted: u8) -> Result<Option<LinkAddress>, Counter> {
    let mut found = None;
    while let [kind, units, ..] = options {
        let len = usize::from(*units) * 8;
        // RFC 4861, section 4.6: none has length 0.
        let option = options.get(..len).filter(|_| len > 0).ok_or(Counter::NdOption)?;
        if *kind == wanted {
            let link = LinkAddress::read(&option[2..]);
            let link = link.filter(|link| len == LINK_OPTION_LEN && link.is_station());
            found = Some(link.ok_or(Counter::NdOption)?);
        }
        options = &options[len..];
    }
    if options.is_empty() { Ok(found) } else { Err(Counter::NdOption) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// fe80::2 at 02:..:02 asks who has fe80::1, in a frame as Linux sends it.
    const SOLICIT: [u8; 72] = [
        0x60, 0, 0, 0, 0, 32, 58, 255, // To the group of fe80::1.
        0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, //
        0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0, 0, 1, //
        135, 0, 0x79, 0x13, 0, 0, 0, 0, // Its target.
        0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, //
        1, 1, 2, 0, 0, 0, 0, 2,
    ];

    /// With the right checksum and length.
    fn sealed(mut octets: Vec<u8>) -> Vec<u8> {
        let len = (octets.len() - 40) as u16;
        octets[4..6].copy_from_slice(&len.to_be_bytes());
        let address = |at: usize| Ipv6Addr::from(*octets[at..].first_chunk::<16>().unwrap());
        let (source, destination) = (address(8), address(24));
        octets[42..44].fill(0);
        let check = checksum_icmpv6(source, destination, &octets[40..]);
        octets[42..44].copy_from_slice(&check.to_be_bytes());
        octets
    }

    fn solicit() -> Vec<u8> {
        sealed(SOLICIT.to_vec())
    }

    /// An advertisement for fe80::2 that answers it, from fe80::1 at 02:..:01.
    fn advert() -> Vec<u8> {
        let mut octets = solicit();
        octets[23] = 1;
        octets[24..40].copy_from_slice(&SOLICIT[8..24]);
        (octets[40], octets[44], octets[64], octets[71]) = (136, 0x60, 2, 1);
        sealed(octets)
    }

    fn changed(of: Vec<u8>, at: usize, octets: &[u8]) -> Result<Message, Counter> {
        let mut message = of;
        message[at..at + octets.len()].copy_from_slice(octets);
        Message::parse(&sealed(message))
    }

    #[test]
    fn solicitation_is_read_and_written_again() {
        let octets = solicit();
        let message = Message::parse(&octets).unwrap();
        assert_eq!(message.source.to_string(), "fe80::2");
        assert_eq!(message.destination.to_string(), "ff02::1:ff00:1");
        assert_eq!(message.target.to_string(), "fe80::1");
        assert_eq!(message.link, Some(LinkAddress([2, 0, 0, 0, 0, 2])));
        assert_eq!(message.flags, None);
        assert_eq!(message.emit(), octets);
        assert_eq!(Message::parse(&[&octets[..], &[7; 9]].concat()), Ok(message));
    }

    #[test]
    fn advertisement_is_read_and_written_again() {
        let octets = advert();
        let message = Message::parse(&octets).unwrap();
        assert_eq!(message.link, Some(LinkAddress([2, 0, 0, 0, 0, 1])));
        let flags = Flags { router: false, solicited: true, overrides: true };
        assert_eq!((message.flags, message.target.to_string()), (Some(flags), "fe80::1".into()));
        assert_eq!(message.emit(), octets);
        for (octet, flags) in [(0x80, [true, false, false]), (0x20, [false, false, true])] {
            let [router, solicited, overrides] = flags;
            let flags = Flags { router, solicited, overrides };
            assert_eq!((Flags::of(octet), flags.octet()), (flags, octet));
        }
    }

    #[test]
    fn each_rule_of_rfc_4861_section_7_1_has_its_counter() {
        assert_eq!(changed(solicit(), 7, &[254]), Err(Counter::NdHopLimit));
        let mut wrong = solicit();
        wrong[43] ^= 1;
        assert_eq!(Message::parse(&wrong), Err(Counter::NdChecksum));
        // The code.
        assert_eq!(changed(solicit(), 41, &[1]), Err(Counter::NdMalformed));
        assert_eq!(changed(advert(), 41, &[1]), Err(Counter::NdMalformed));
        // Shorter than 24 octets.
        assert_eq!(Message::parse(&sealed(solicit()[..63].to_vec())), Err(Counter::NdMalformed));
        assert_eq!(Message::parse(&solicit()[..71]), Err(Counter::NdMalformed));
        assert_eq!(Message::parse(&[]), Err(Counter::NdMalformed));
        // A target that is a group, and nobody.
        assert_eq!(changed(solicit(), 48, &[0xff, 2]), Err(Counter::NdTarget));
        assert_eq!(changed(advert(), 48, &[0; 16]), Err(Counter::NdTarget));
        // An option of length 0, one past the end, one for a group's address, one of two units.
        assert_eq!(changed(solicit(), 65, &[0]), Err(Counter::NdOption));
        assert_eq!(changed(solicit(), 65, &[2]), Err(Counter::NdOption));
        assert_eq!(changed(solicit(), 66, &[1]), Err(Counter::NdOption));
        assert_eq!(changed(solicit(), 66, &[0; 6]), Err(Counter::NdOption));
        assert_eq!(changed(solicit(), 64, &[9, 0]), Err(Counter::NdOption));
        let long = sealed([&solicit()[..64], &[1, 2], &[2; 14]].concat());
        assert_eq!(Message::parse(&long), Err(Counter::NdOption));
        let rest = sealed([&solicit()[..], &[1]].concat());
        assert_eq!(Message::parse(&rest), Err(Counter::NdOption));
        // From nobody: only to the group, and without a link-layer address.
        assert_eq!(changed(solicit(), 8, &[0; 16]), Err(Counter::NdMalformed));
        let mut nobody = solicit();
        nobody[8..24].fill(0);
        nobody.truncate(64);
        assert!(Message::parse(&sealed(nobody.clone())).is_ok());
        assert_eq!(changed(nobody, 39, &[2]), Err(Counter::NdMalformed));
        // An answer from nobody, and one to all that says it answers.
        assert_eq!(changed(advert(), 8, &[0; 16]), Err(Counter::NdMalformed));
        let all = ALL_NODES.octets();
        assert_eq!(changed(advert(), 24, &all), Err(Counter::NdMalformed));
        // From a group.
        assert_eq!(changed(solicit(), 8, &[0xff, 2]), Err(Counter::NdSource));
    }

    #[test]
    fn unknown_options_are_passed_over_and_options_may_be_missing() {
        let octets =
            sealed([&solicit()[..64], &[14, 1, 0, 0, 0, 0, 0, 0], &SOLICIT[64..]].concat());
        assert_eq!(Message::parse(&octets).unwrap().link, Some(LinkAddress([2, 0, 0, 0, 0, 2])));
        let octets = sealed(solicit()[..64].to_vec());
        assert_eq!(Message::parse(&octets).unwrap().link, None);
        // The source's address says nothing in an advertisement.
        assert_eq!(changed(advert(), 64, &[1]).map(|message| message.link), Ok(None));
        // A solicitation may be for one host.
        let mut one = solicit();
        one[24..40].copy_from_slice(&SOLICIT[48..64]);
        assert!(Message::parse(&sealed(one)).is_ok());
        // Or for all of them.
        assert!(changed(solicit(), 24, &ALL_NODES.octets()).is_ok());
    }

    #[test]
    fn other_messages_and_protocols_are_not_read() {
        for kind in [128, 133, 134, 137] {
            assert_eq!(changed(solicit(), 40, &[kind]), Err(Counter::NdType), "{kind}");
        }
        for protocol in [6, 17, 59] {
            assert_eq!(changed(solicit(), 6, &[protocol]), Err(Counter::NdType), "{protocol}");
        }
    }

    /// The solicitation behind one header more.
    fn behind(number: u8, header: &[u8]) -> Vec<u8> {
        let mut octets = [&solicit()[..40], header, &solicit()[40..]].concat();
        octets[6] = number;
        octets[5] += header.len() as u8;
        octets
    }

    #[test]
    fn fragments_are_refused_even_if_they_are_whole() {
        let whole = [58, 0, 0, 0, 0, 0, 0, 7];
        assert_eq!(Message::parse(&behind(44, &whole)), Err(Counter::NdFragment));
        let options = [44, 0, 1, 4, 0, 0, 0, 0];
        let both = [options, whole].concat();
        assert_eq!(Message::parse(&behind(0, &both)), Err(Counter::NdFragment));
    }

    #[test]
    fn other_headers_are_passed_over_so_many_and_no_more() {
        let options = [58, 0, 1, 4, 0, 0, 0, 0];
        assert!(Message::parse(&behind(0, &options)).is_ok());
        let mut many = [60, 0, 1, 4, 0, 0, 0, 0].repeat(EXTENSIONS_MAX - 1);
        many.extend(options);
        assert!(Message::parse(&behind(60, &many)).is_ok());
        let more = [&[60, 0, 1, 4, 0, 0, 0, 0][..], &many].concat();
        assert_eq!(Message::parse(&behind(60, &more)), Err(Counter::NdMalformed));
        assert_eq!(Message::parse(&behind(60, &[58, 9])), Err(Counter::NdMalformed));
    }
}

//! ICMP: what the router says to senders, and its answer to an echo request.
//!
//! The offending packet's octets are quoted as they came, never parsed and built again: a sender
//! finds its own packet by them. Whether one may be sent at all is asked first: see
//! [`may_answer_v4`] and [`may_answer_v6`].

pub mod redirect;

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::packet::{
    IPV4_HEADER_LEN, IPV6_HEADER_LEN, Ipv4, Ipv6, Upper, checksum, checksum_icmpv6, protocol,
    updated,
};

/// Octets of an error of ICMP for IPv4, at most (RFC 1812, section 4.3.2.3).
const ERROR_MAX: usize = 576;
/// Octets of an error of ICMPv6, at most: what every link carries (RFC 4443, section 2.4 c).
const ERROR_MAX_V6: usize = 1280;
/// Octets before what is quoted.
const ICMP_HEADER_LEN: usize = 8;
/// Hops of what the router itself sends (RFC 1700).
const TTL: u8 = 64;
/// Precedence of errors: internetwork control (RFC 1812, section 4.3.2.5).
const PRECEDENCE: u8 = 0xc0;
/// The other bits of the type of service, without those for ECN.
const SERVICE: u8 = 0x1c;

/// Types of messages.
mod kind {
    pub const ECHO_REPLY: u8 = 0;
    pub const UNREACHABLE: u8 = 3;
    pub const ECHO: u8 = 8;
    pub const TIME_EXCEEDED: u8 = 11;
    pub const PARAMETER_PROBLEM: u8 = 12;
    /// Queries, which are no errors: echo, router discovery (RFC 1256), timestamp, information,
    /// address mask. All others are errors, or may be (RFC 1812, section 4.3.2.7).
    pub const QUERIES: [u8; 10] = [ECHO_REPLY, ECHO, 9, 10, 13, 14, 15, 16, 17, 18];

    pub const UNREACHABLE_V6: u8 = 1;
    pub const PACKET_TOO_BIG: u8 = 2;
    pub const TIME_EXCEEDED_V6: u8 = 3;
    pub const PARAMETER_PROBLEM_V6: u8 = 4;
    /// Below are errors (RFC 4443, section 2.1).
    pub const FIRST_QUERY_V6: u8 = 128;
    pub const REDIRECT_V6: u8 = 137;
    pub const ECHO_V6: u8 = 128;
    pub const ECHO_REPLY_V6: u8 = 129;
}

/// What a sender is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// There is no route.
    NoRoute,
    /// The route says so.
    Unreachable,
    /// The route says so.
    Prohibited,
    /// The packet is larger than this MTU.
    TooBig(usize),
    /// No hops were left.
    TimeExceeded,
    /// The neighbour to whom it would go does not answer.
    NoAnswer,
    /// The router itself does not listen at that port.
    Port,
    /// The router itself does not speak that protocol, the number of which stands at this octet
    /// of the packet.
    Protocol(usize),
    /// What stands at this octet cannot be.
    Field(usize),
    /// The option at this octet is not known, and says that its sender wants to hear of that.
    Option(usize),
    /// Fragments of it did not come in time.
    Reassembly,
}

impl Error {
    /// Type, code and the last four octets of the header (RFC 792; RFC 1812, section 5.2.7.1; RFC
    /// 1191, section 4).
    fn v4(self) -> (u8, u8, u32) {
        match self {
            Error::NoRoute => (kind::UNREACHABLE, 0, 0),
            Error::Unreachable | Error::NoAnswer => (kind::UNREACHABLE, 1, 0),
            Error::Prohibited => (kind::UNREACHABLE, 13, 0),
            Error::TooBig(mtu) => (kind::UNREACHABLE, 4, mtu.min(0xffff) as u32),
            Error::TimeExceeded => (kind::TIME_EXCEEDED, 0, 0),
            // RFC 1122, section 3.2.2.1.
            Error::Protocol(_) => (kind::UNREACHABLE, 2, 0),
            Error::Port => (kind::UNREACHABLE, 3, 0),
            Error::Field(at) | Error::Option(at) => {
                (kind::PARAMETER_PROBLEM, 0, (at.min(0xff) as u32) << 24)
            }
            Error::Reassembly => (kind::TIME_EXCEEDED, 1, 0),
        }
    }

    /// The same of RFC 4443, sections 3.1 to 3.4. IPv6 has no code for a route that says
    /// unreachable: Linux sends that for no route, too.
    fn v6(self) -> (u8, u8, u32) {
        match self {
            Error::NoRoute | Error::Unreachable => (kind::UNREACHABLE_V6, 0, 0),
            Error::Prohibited => (kind::UNREACHABLE_V6, 1, 0),
            Error::NoAnswer => (kind::UNREACHABLE_V6, 3, 0),
            Error::TooBig(mtu) => (kind::PACKET_TOO_BIG, 0, mtu as u32),
            Error::TimeExceeded => (kind::TIME_EXCEEDED_V6, 0, 0),
            Error::Port => (kind::UNREACHABLE_V6, 4, 0),
            Error::Field(at) => (kind::PARAMETER_PROBLEM_V6, 0, at as u32),
            Error::Protocol(at) => (kind::PARAMETER_PROBLEM_V6, 1, at as u32),
            Error::Option(at) => (kind::PARAMETER_PROBLEM_V6, 2, at as u32),
            Error::Reassembly => (kind::TIME_EXCEEDED_V6, 1, 0),
        }
    }
}

/// Whether a packet may be answered with an error (RFC 1812, section 4.3.2.7). That it was for a
/// host and not for a group, and its source a host's, has been seen before.
pub fn may_answer_v4(octets: &[u8], packet: &Ipv4) -> bool {
    let error = || {
        let message = octets.get(packet.header_len..packet.len);
        // A message without a type may have been an error.
        message.and_then(|m| m.first()).is_none_or(|kind| !kind::QUERIES.contains(kind))
    };
    packet.offset() == 0 && !(packet.protocol == protocol::ICMP && error())
}

/// The same for IPv6 (RFC 4443, section 2.4 e).
pub fn may_answer_v6(octets: &[u8], packet: &Ipv6, upper: &Upper) -> bool {
    let error = |at: usize| {
        let message = octets.get(at..packet.len);
        let kind = message.and_then(|m| m.first());
        kind.is_none_or(|kind| *kind < kind::FIRST_QUERY_V6 || *kind == kind::REDIRECT_V6)
    };
    match upper.at {
        Some(at) => !(upper.protocol == protocol::ICMPV6 && error(at)),
        // The first fragment was or will be answered.
        None => false,
    }
}

/// Octets of the error about a packet of so many.
pub fn error_len_v4(len: usize) -> usize {
    (IPV4_HEADER_LEN + ICMP_HEADER_LEN + len).min(ERROR_MAX)
}

/// The same for IPv6.
pub fn error_len_v6(len: usize) -> usize {
    (IPV6_HEADER_LEN + ICMP_HEADER_LEN + len).min(ERROR_MAX_V6)
}

/// Writes an error about a packet, which fills the room: see [`error_len_v4`].
pub fn emit_error_v4(
    room: &mut [u8],
    error: Error,
    source: Ipv4Addr,
    (octets, packet): (&[u8], &Ipv4),
    ident: u16,
) {
    emit_message_v4(room, error.v4(), source, (octets, packet), ident);
}

/// A message about a packet: type, code, the last four octets of the header, and its octets.
fn emit_message_v4(
    room: &mut [u8],
    (kind, code, rest): (u8, u8, u32),
    source: Ipv4Addr,
    (octets, packet): (&[u8], &Ipv4),
    ident: u16,
) {
    let len = room.len() as u16;
    let (header, message) = room.split_at_mut(IPV4_HEADER_LEN);
    let tos = packet.tos & SERVICE | PRECEDENCE;
    emit_header_v4(header, len, (tos, ident), source, packet.source);
    let quoted = message.len() - ICMP_HEADER_LEN;
    message[ICMP_HEADER_LEN..].copy_from_slice(&octets[..quoted]);
    message[..4].copy_from_slice(&[kind, code, 0, 0]);
    message[4..8].copy_from_slice(&rest.to_be_bytes());
    let check = checksum(message);
    message[2..4].copy_from_slice(&check.to_be_bytes());
}

/// The same for IPv6: see [`error_len_v6`].
pub fn emit_error_v6(
    room: &mut [u8],
    error: Error,
    source: Ipv6Addr,
    (octets, packet): (&[u8], &Ipv6),
) {
    let (kind, code, rest) = error.v6();
    let (header, message) = room.split_at_mut(IPV6_HEADER_LEN);
    header[..4].copy_from_slice(&[0x60, 0, 0, 0]);
    header[4..6].copy_from_slice(&(message.len() as u16).to_be_bytes());
    header[6..8].copy_from_slice(&[protocol::ICMPV6, TTL]);
    header[8..24].copy_from_slice(&source.octets());
    header[24..40].copy_from_slice(&packet.source.octets());
    let quoted = message.len() - ICMP_HEADER_LEN;
    message[ICMP_HEADER_LEN..].copy_from_slice(&octets[..quoted]);
    message[..4].copy_from_slice(&[kind, code, 0, 0]);
    message[4..8].copy_from_slice(&rest.to_be_bytes());
    let check = checksum_icmpv6(source, packet.source, message);
    message[2..4].copy_from_slice(&check.to_be_bytes());
}

/// What an echo request for the router itself is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Echo {
    /// None, or one that is not answered at once: with options, or in fragments.
    None,
    /// One whose checksum is wrong.
    Invalid,
    /// One to be answered.
    Request,
}

/// Looks whether a packet is an echo request.
pub fn echo_v4(octets: &[u8], packet: &Ipv4) -> Echo {
    let plain = packet.header_len == IPV4_HEADER_LEN && !packet.is_fragment();
    let message = octets.get(packet.header_len..packet.len).unwrap_or_default();
    match message {
        [kind::ECHO, 0, _, _, _, _, _, _, ..] if plain && packet.protocol == protocol::ICMP => {
            if checksum(message) == 0 {
                Echo::Request
            } else {
                Echo::Invalid
            }
        }
        _ => Echo::None,
    }
}

/// The same for IPv6.
pub fn echo_v6(octets: &[u8], packet: &Ipv6) -> Echo {
    let message = octets.get(IPV6_HEADER_LEN..packet.len).unwrap_or_default();
    match message {
        [kind::ECHO_V6, 0, _, _, _, _, _, _, ..] if packet.next_header == protocol::ICMPV6 => {
            let check = checksum_icmpv6(packet.source, packet.destination, message);
            if check == 0 { Echo::Request } else { Echo::Invalid }
        }
        _ => Echo::None,
    }
}

/// Writes the answer to an echo request, as long as that (RFC 1812, section 4.3.3.6).
pub fn emit_echo_v4(room: &mut [u8], octets: &[u8], packet: &Ipv4, ident: u16) {
    room.copy_from_slice(&octets[..packet.len]);
    let (header, message) = room.split_at_mut(IPV4_HEADER_LEN);
    let service = (packet.tos, ident);
    emit_header_v4(header, packet.len as u16, service, packet.destination, packet.source);
    answer(message, kind::ECHO_REPLY);
}

/// The same for IPv6 (RFC 4443, section 4.2).
pub fn emit_echo_v6(room: &mut [u8], octets: &[u8], packet: &Ipv6) {
    room.copy_from_slice(&octets[..packet.len]);
    let (header, message) = room.split_at_mut(IPV6_HEADER_LEN);
    header[7] = TTL;
    header[8..24].copy_from_slice(&packet.destination.octets());
    header[24..40].copy_from_slice(&packet.source.octets());
    // The pseudo-header's sum is that of the same two addresses.
    answer(message, kind::ECHO_REPLY_V6);
}

/// Makes an answer of a request.
fn answer(message: &mut [u8], kind: u8) {
    let check = u16::from_be_bytes([message[2], message[3]]);
    let old = u16::from_be_bytes([message[0], message[1]]);
    message[0] = kind;
    let new = u16::from_be_bytes([kind, message[1]]);
    message[2..4].copy_from_slice(&updated(check, old, new).to_be_bytes());
}

/// A header without options, DF clear: what the router says is small.
fn emit_header_v4(
    header: &mut [u8],
    len: u16,
    (tos, ident): (u8, u16),
    source: Ipv4Addr,
    destination: Ipv4Addr,
) {
    header[..2].copy_from_slice(&[0x45, tos]);
    header[2..4].copy_from_slice(&len.to_be_bytes());
    header[4..6].copy_from_slice(&ident.to_be_bytes());
    header[6..12].copy_from_slice(&[0, 0, TTL, protocol::ICMP, 0, 0]);
    header[12..16].copy_from_slice(&source.octets());
    header[16..20].copy_from_slice(&destination.octets());
    let check = checksum(header);
    header[10..12].copy_from_slice(&check.to_be_bytes());
}

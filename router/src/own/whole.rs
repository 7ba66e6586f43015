//! A packet for the router itself, of either version, and what can be said to it. All that differs
//! between the versions once it is whole is here.

use std::{borrow::Cow, net::IpAddr};

use super::{Fate, Result, Silence, extension::Place, plain};
use crate::{
    icmp::{self, Echo, Error},
    packet::{Ipv4, Ipv6, protocol},
    stats::Reason,
};

/// Where the protocol of a packet of IPv4 stands (RFC 791, section 3.1).
const PROTOCOL_AT: usize = 9;

/// All of its octets and no more.
pub(super) struct Whole<'a> {
    octets: &'a [u8],
    header: Header,
    /// Its payload, behind options and extension headers.
    pub(super) place: Place,
}

#[derive(Clone, Copy)]
enum Header {
    V4(Ipv4),
    V6(Ipv6),
}

impl<'a> Whole<'a> {
    pub(super) fn v4(octets: &'a [u8], packet: Ipv4) -> Whole<'a> {
        let place =
            Place { protocol: packet.protocol, at: packet.header_len, named_at: PROTOCOL_AT };
        Whole { octets, header: Header::V4(packet), place }
    }

    /// `place`: where its payload stands, or the header of which something is to be said.
    pub(super) fn v6(octets: &'a [u8], packet: Ipv6, place: Place) -> Whole<'a> {
        Whole { octets, header: Header::V6(packet), place }
    }

    pub(super) fn payload(&self) -> &'a [u8] {
        &self.octets[self.place.at..]
    }

    pub(super) fn addresses(&self) -> (IpAddr, IpAddr) {
        match self.header {
            Header::V4(packet) => (packet.source.into(), packet.destination.into()),
            Header::V6(packet) => (packet.source.into(), packet.destination.into()),
        }
    }

    /// Whether its payload is a message of its version's ICMP.
    pub(super) fn is_icmp(&self) -> bool {
        match self.header {
            Header::V4(_) => self.place.protocol == protocol::ICMP,
            Header::V6(_) => self.place.protocol == protocol::ICMPV6,
        }
    }

    /// Whether it says itself that it has no payload (RFC 8200, section 4.7).
    pub(super) fn is_empty(&self) -> bool {
        matches!(self.header, Header::V6(_)) && self.place.protocol == super::NO_NEXT_HEADER
    }

    /// Without options and extension headers: what answers it has none of them.
    pub(super) fn plain(&self) -> Cow<'a, [u8]> {
        match &self.header {
            Header::V4(packet) => plain::plain_v4(self.octets, packet),
            Header::V6(_) => plain::plain_v6(self.octets, self.place),
        }
    }

    /// The answer to an echo request.
    pub(super) fn echo(&self, ident: u16) -> Result<Vec<u8>> {
        let plain = self.plain();
        match self.header {
            Header::V4(_) => {
                let packet = Ipv4::parse(&plain).map_err(Silence::Malformed)?;
                asked(icmp::echo_v4(&plain, &packet))?;
                let mut room = vec![0; plain.len()];
                icmp::emit_echo_v4(&mut room, &plain, &packet, ident);
                Ok(room)
            }
            Header::V6(_) => {
                let packet = Ipv6::parse(&plain).map_err(Silence::Malformed)?;
                asked(icmp::echo_v6(&plain, &packet))?;
                let mut room = vec![0; plain.len()];
                icmp::emit_echo_v6(&mut room, &plain, &packet);
                Ok(room)
            }
        }
    }

    /// Whether its sender may be told of an error.
    pub(super) fn may_be_told(&self) -> Result<()> {
        let may = match &self.header {
            Header::V4(packet) => icmp::may_answer_v4(self.octets, packet),
            Header::V6(packet) => {
                let upper = packet.upper(self.octets).map_err(|_| Silence::Extension)?;
                icmp::may_answer_v6(self.octets, packet, &upper)
            }
        };
        if may { Ok(()) } else { Err(Silence::NotAsked) }
    }

    /// What its sender is told.
    pub(super) fn error(&self, error: Error, ident: u16) -> Vec<u8> {
        match &self.header {
            Header::V4(packet) => {
                let mut room = vec![0; icmp::error_len_v4(packet.len)];
                let about = (self.octets, packet);
                icmp::emit_error_v4(&mut room, error, packet.destination, about, ident);
                room
            }
            Header::V6(packet) => {
                let mut room = vec![0; icmp::error_len_v6(packet.len)];
                let about = (self.octets, packet);
                icmp::emit_error_v6(&mut room, error, packet.destination, about);
                room
            }
        }
    }
}

/// Whether an echo request is to be answered.
fn asked(echo: Echo) -> Result<()> {
    match echo {
        Echo::Request => Ok(()),
        Echo::Invalid => Err(Silence::Malformed(Reason::EchoChecksum)),
        Echo::None => Err(Silence::NotAsked),
    }
}

/// How a packet came, and where its answers go.
pub(super) struct Came<F> {
    pub(super) leg: usize,
    pub(super) now_millis: u64,
    pub(super) out: F,
}

impl<F: FnMut(&[u8])> Came<F> {
    pub(super) fn answer(&mut self, octets: &[u8]) -> Result<Fate> {
        (self.out)(octets);
        Ok(Fate::Answered)
    }
}

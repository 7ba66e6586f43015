//! The policy for IPv4.

use std::net::Ipv4Addr;

use super::{Arrival, Emit, Header, Place, Router, Verdict};
use crate::{
    fragment::Options,
    icmp::{self, Echo, Error},
    limit::Tick,
    packet::{IPV4_HEADER_LEN, Ipv4, protocol},
    stats::Reason,
    tables::Target,
};

/// Loose and strict source routes (RFC 791, section 3.1).
const SOURCE_ROUTES: [u8; 2] = [131, 137];
/// Octets of the largest packet.
const PACKET_MAX: usize = 65_535;
/// Octets of a TCP header up to its flags, which a first fragment must have (RFC 1858, 3.2.1).
const TCP_FLAGS_END: usize = 16;

impl Router {
    pub(super) fn decide_v4(
        &mut self,
        arrival: &mut Arrival<'_>,
        place: Place,
        now: Tick,
        emit: &mut impl Emit,
    ) -> Verdict {
        let packet = match Ipv4::parse(arrival.octets) {
            Ok(packet) => packet,
            Err(reason) => return Verdict::Drop(reason),
        };
        let (source, destination) = (packet.source, packet.destination);
        // RFC 1812, section 5.3.5.1: for all on this link, also from who has no address yet (RFC
        // 2131, section 4.1).
        if destination.is_broadcast() {
            let known = is_host(source) || source.is_unspecified();
            return if known { Verdict::Local } else { Verdict::Drop(Reason::MartianSource) };
        }
        if let Some(reason) = self.impostor_v4(&packet) {
            return Verdict::Drop(reason);
        }
        let option = match malicious(arrival.octets, &packet) {
            Ok(option) => option,
            Err(reason) => return Verdict::Drop(reason),
        };
        if !source.is_link_local() && !self.came_right(arrival.leg, source.into()) {
            return Verdict::Drop(Reason::ReversePath);
        }
        // RFC 1812, section 5.2.3. Groups of 224.0.0.0/24 are never forwarded (RFC 5771, section
        // 4): their members are on the link, and the router may be one.
        if destination.is_multicast() {
            let link = destination.octets()[..3] == [224, 0, 0];
            return if link { Verdict::Local } else { Verdict::Drop(Reason::Multicast) };
        }
        if !is_host(destination) {
            return Verdict::Drop(Reason::MartianDestination);
        }

        let header = Header::V4(packet);
        if let Some(at) = option {
            return self.refuse_option(arrival, &header, (place, at), now, emit);
        }
        let hop = match self.tables.target(place.0) {
            Target::Local => return self.own_v4(arrival, &packet, emit),
            // RFC 1812, section 5.3.5.2, as RFC 2644 has it: not forwarded.
            Target::Broadcast(leg) if *leg == arrival.leg => return Verdict::Local,
            Target::Broadcast(_) => return Verdict::Drop(Reason::DirectedBroadcast),
            // RFC 1812, section 5.3.4.
            _ if arrival.meta.group => return Verdict::Drop(Reason::LinkGroup),
            // RFC 3927, section 7.
            _ if source.is_link_local() || destination.is_link_local() => {
                return Verdict::Drop(Reason::LinkLocal);
            }
            Target::Blackhole => return Verdict::Drop(Reason::Blackhole),
            // RFC 1812, section 5.2.7.1.
            Target::None => Err((Reason::NoRoute, Error::NoRoute)),
            Target::Unreachable => Err((Reason::Unreachable, Error::Unreachable)),
            Target::Prohibit => Err((Reason::Prohibit, Error::Prohibited)),
            // RFC 1812, section 5.3.1: only for what is forwarded, and behind the lookup (5.2.1.2).
            Target::Hops(_) if packet.ttl <= 1 => Err((Reason::Ttl, Error::TimeExceeded)),
            Target::Hops(hops) => Ok(self.hop(arrival.octets, &header, hops)),
        };
        match hop {
            Ok(hop) => self.cross(arrival, &header, hop, now, emit),
            Err(why) => self.refuse(arrival, &header, why, now, emit),
        }
    }

    /// Why nobody can have sent it (RFC 1812, section 5.3.7, and what it refers to, 4.2.2.11 and
    /// 4.2.3.1).
    #[inline]
    fn impostor_v4(&self, packet: &Ipv4) -> Option<Reason> {
        match packet.source {
            source if !is_host(source) => Some(Reason::MartianSource),
            source if source == packet.destination => Some(Reason::Land),
            source if self.tables.is_own_v4(source) => Some(Reason::OwnSource),
            _ => None,
        }
    }

    /// A packet has an option that cannot be read (RFC 1812, section 4.3.3.5).
    #[cold]
    fn refuse_option(
        &mut self,
        arrival: &Arrival<'_>,
        header: &Header,
        (place, at): (Place, usize),
        now: Tick,
        emit: &mut impl Emit,
    ) -> Verdict {
        match self.tables.target(place.0) {
            // RFC 1812, section 4.3.2.7; and of a blackhole nobody hears.
            Target::Broadcast(_) | Target::Blackhole => Verdict::Drop(Reason::Options),
            _ => self.refuse(arrival, header, (Reason::Options, Error::Field(at)), now, emit),
        }
    }

    /// A packet for one of the router's own addresses.
    fn own_v4(&mut self, arrival: &Arrival<'_>, packet: &Ipv4, emit: &mut impl Emit) -> Verdict {
        if !self.neighbours.is_used(arrival.leg, packet.destination.into()) {
            return self.unused();
        }
        // A group is asked by none that wants one answer (RFC 1122, section 3.2.2.6).
        if arrival.meta.group {
            return Verdict::Local;
        }
        match icmp::echo_v4(arrival.octets, packet) {
            Echo::None => Verdict::Local,
            Echo::Invalid => Verdict::Drop(Reason::EchoChecksum),
            Echo::Request => self.answer(arrival, &Header::V4(*packet), emit),
        }
    }
}

/// Whether one host can have this address (RFC 1812, section 4.2.2.11; RFC 6890).
fn is_host(address: Ipv4Addr) -> bool {
    let first = address.octets()[0];
    first != 0 && first != 127 && first < 224
}

/// Options and fragments that nobody sends who means well. Returns where an option stands that
/// cannot be read.
fn malicious(octets: &[u8], packet: &Ipv4) -> Result<Option<usize>, Reason> {
    let mut unread = None;
    if packet.header_len > IPV4_HEADER_LEN {
        for option in Options(octets.get(IPV4_HEADER_LEN..packet.header_len).unwrap_or_default()) {
            match option {
                Err(left) => unread = Some(packet.header_len - left),
                // RFC 1812, section 5.3.13.4, allows it, RFC 7126, section 4.3.5, wants it.
                Ok([kind, ..]) if SOURCE_ROUTES.contains(kind) => return Err(Reason::SourceRoute),
                Ok(_) => {}
            }
        }
    }
    if packet.is_fragment() {
        let payload = packet.len - packet.header_len;
        if packet.offset() + payload > PACKET_MAX - packet.header_len {
            return Err(Reason::FragmentOverflow);
        }
        // RFC 1858, section 3, with RFC 3128: the flags are in the first, and none is laid over
        // them.
        let first = packet.offset() == 0 && payload < TCP_FLAGS_END;
        if packet.protocol == protocol::TCP && (first || packet.offset() == 8) {
            return Err(Reason::FragmentTiny);
        }
    }
    Ok(unread)
}

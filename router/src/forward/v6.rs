//! The policy for IPv6.

use std::net::Ipv6Addr;

use super::{Arrival, Emit, Header, Place, Router, Verdict};
use crate::{
    icmp::{self, Echo, Error},
    limit::Tick,
    own::extension::options,
    packet::{IPV6_HEADER_LEN, Ipv6, protocol},
    stats::Reason,
    tables::Target,
};

impl Router {
    pub(super) fn decide_v6(
        &mut self,
        arrival: &mut Arrival<'_>,
        place: Place,
        now: Tick,
        emit: &mut impl Emit,
    ) -> Verdict {
        let packet = match Ipv6::parse(arrival.octets) {
            Ok(packet) => packet,
            Err(reason) => return Verdict::Drop(reason),
        };
        let upper = match packet.upper(arrival.octets) {
            Ok(upper) => upper,
            Err(reason) => return Verdict::Drop(reason),
        };
        let (source, destination) = (packet.source, packet.destination);
        if let Some(verdict) = by_address(source, destination) {
            return verdict;
        }
        // An address that is not used is not the router's: who has it may speak.
        if self.is_own_at(arrival, source) && self.neighbours.is_used(arrival.leg, source.into()) {
            return Verdict::Drop(Reason::OwnSource);
        }
        let link_local = source.is_unicast_link_local();
        if !link_local && !self.came_right(arrival.leg, source.into()) {
            return Verdict::Drop(Reason::ReversePath);
        }
        // RFC 4291, section 2.5.6: on this link, or nowhere.
        if destination.is_unicast_link_local() {
            let own = self.is_own_at(arrival, destination);
            let drop = Verdict::Drop(Reason::LinkLocal);
            return if own { self.own_v6(arrival, &packet, upper, emit) } else { drop };
        }

        let header = Header::V6(packet, upper);
        if packet.next_header == protocol::HOP_BY_HOP
            // What is for the router itself its own side looks at.
            && !matches!(self.tables.target(place.0), Target::Local)
            && let Err(error) = hop_by_hop(arrival.octets)
        {
            return error.map_or(Verdict::Drop(Reason::Options), |error| {
                self.refuse(arrival, &header, (Reason::Options, error), now, emit)
            });
        }
        let hop = match self.tables.target(place.0) {
            Target::Local => return self.own_v6(arrival, &packet, upper, emit),
            Target::Broadcast(_) => return Verdict::Drop(Reason::DirectedBroadcast),
            _ if arrival.meta.group => return Verdict::Drop(Reason::LinkGroup),
            _ if link_local => return Verdict::Drop(Reason::LinkLocal),
            Target::Blackhole => return Verdict::Drop(Reason::Blackhole),
            // RFC 4443, section 3.1.
            Target::None => Err((Reason::NoRoute, Error::NoRoute)),
            Target::Unreachable => Err((Reason::Unreachable, Error::Unreachable)),
            Target::Prohibit => Err((Reason::Prohibit, Error::Prohibited)),
            // RFC 8200, section 3; RFC 4443, section 3.3.
            Target::Hops(_) if packet.hop_limit <= 1 => Err((Reason::Ttl, Error::TimeExceeded)),
            Target::Hops(hops) => Ok(self.hop(arrival.octets, &header, hops)),
        };
        match hop {
            Ok(hop) => self.cross(arrival, &header, hop, now, emit),
            Err(why) => self.refuse(arrival, &header, why, now, emit),
        }
    }

    /// A packet for one of the router's own addresses.
    fn own_v6(
        &mut self,
        arrival: &Arrival<'_>,
        packet: &Ipv6,
        upper: crate::packet::Upper,
        emit: &mut impl Emit,
    ) -> Verdict {
        // RFC 4862, section 5.4.
        if !self.neighbours.is_used(arrival.leg, packet.destination.into()) {
            return self.unused();
        }
        // What is for all routers of a subnet is answered from another address.
        if arrival.meta.group || !self.is_own_at(arrival, packet.destination) {
            return Verdict::Local;
        }
        match icmp::echo_v6(arrival.octets, packet) {
            Echo::None => Verdict::Local,
            Echo::Invalid => Verdict::Drop(Reason::EchoChecksum),
            Echo::Request => self.answer(arrival, &Header::V6(*packet, upper), emit),
        }
    }

    /// Whether an address is the router's own, seen from where a packet came in: of link-local
    /// ones each leg has its own.
    fn is_own_at(&self, arrival: &Arrival<'_>, address: Ipv6Addr) -> bool {
        if address.is_unicast_link_local() {
            let leg = self.tables.leg(arrival.leg);
            return leg.addresses.iter().any(|own| own.address == address);
        }
        self.tables.is_own_v6(address)
    }
}

/// Looks at the options for every router on the way. RFC 8200, section 4, leaves it to a router
/// whether it does: one that does not may pass on what its sender wants nobody to pass on who does
/// not know it (section 4.2). Linux does.
#[cold]
fn hop_by_hop(octets: &[u8]) -> Result<(), Option<Error>> {
    let header = octets.get(IPV6_HEADER_LEN..).unwrap_or_default();
    // That it is all there has been seen before.
    let len = header.get(1).map_or(0, |units| (usize::from(*units) + 1) * 8);
    options(header.get(2..len).unwrap_or_default(), IPV6_HEADER_LEN + 2)
}

/// What the two addresses say without looking at any table.
fn by_address(source: Ipv6Addr, destination: Ipv6Addr) -> Option<Verdict> {
    // RFC 4291, sections 2.7, 2.5.3; one with an IPv4 address in it is for sockets, not for
    // packets (RFC 6890, table 20).
    if source.is_multicast() || source.is_loopback() || source.to_ipv4_mapped().is_some() {
        return Some(Verdict::Drop(Reason::MartianSource));
    }
    // RFC 4291, section 2.7: the scope. On the link are neighbour discovery and its like, also
    // from who has no address yet.
    if destination.is_multicast() {
        return Some(match destination.octets()[1] & 0xf {
            0 | 1 => Verdict::Drop(Reason::MartianDestination),
            2 => Verdict::Local,
            _ => Verdict::Drop(Reason::Multicast),
        });
    }
    // RFC 4291, section 2.5.2: who has no address asks groups only.
    if source.is_unspecified() {
        return Some(Verdict::Drop(Reason::MartianSource));
    }
    if source == destination {
        return Some(Verdict::Drop(Reason::Land));
    }
    // RFC 4291, sections 2.5.2 and 2.5.3.
    let nobody = destination.is_unspecified() || destination.is_loopback();
    nobody.then_some(Verdict::Drop(Reason::MartianDestination))
}

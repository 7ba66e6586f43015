//! What the router itself says: errors to senders, answers to echo requests.

use std::net::IpAddr;

use super::{Arrival, Emit, Header, Router, Verdict};
use crate::{
    icmp::{self, Error},
    limit::Tick,
    packet::{Ipv4, Ipv6},
    route::{Hop, LegId},
    stats::Reason,
    tables::{Target, is_link_local},
};

impl Router {
    /// Drops a packet for a reason, and tells its sender unless there is a reason not to.
    pub(super) fn refuse(
        &mut self,
        arrival: &Arrival<'_>,
        header: &Header,
        (reason, error): (Reason, Error),
        now: Tick,
        emit: &mut impl Emit,
    ) -> Verdict {
        let drop = Verdict::Drop(reason);
        let octets = &*arrival.octets;
        let may_answer = match header {
            Header::V4(packet) => icmp::may_answer_v4(octets, packet),
            Header::V6(packet, upper) => icmp::may_answer_v6(octets, packet, upper),
        };
        // RFC 1812, section 4.3.2.7: nor about what came in a frame for a group.
        if arrival.meta.group || !may_answer {
            return drop;
        }
        let Some(hop) = self.way_back(arrival.leg, header.source()) else { return drop };
        let Some(source) = self.source(hop, arrival.leg) else { return drop };
        let Some(to) = self.neighbours.get(hop) else { return Verdict::Resolve(hop) };
        // RFC 1812, section 4.3.2.8; RFC 4443, section 2.4 f.
        if !self.may_err(arrival.leg, now) {
            self.stats.icmp_limited += 1;
            return drop;
        }
        let len = match header {
            Header::V4(packet) => icmp::error_len_v4(packet.len),
            Header::V6(packet, _) => icmp::error_len_v6(packet.len),
        };
        let Some(room) = emit.room(len) else { return drop };
        match (header, source) {
            (Header::V4(packet), IpAddr::V4(source)) => {
                self.ident = self.ident.wrapping_add(1);
                icmp::emit_error_v4(room, error, source, (octets, packet), self.ident);
            }
            (Header::V6(packet, _), IpAddr::V6(source)) => {
                icmp::emit_error_v6(room, error, source, (octets, packet));
            }
            _ => unreachable!("the source is of the version of its destination"),
        }
        self.stats.icmp_sent += 1;
        Verdict::Reply { hop, to, reason: Some(reason) }
    }

    /// A packet was to go on, but nobody answers at its next hop: its sender is told (RFC 1812,
    /// section 5.2.7.1; RFC 4443, section 3.1, code 3). It has been counted as what was sent, and
    /// its neighbour's table counts it again.
    pub fn no_answer(&mut self, arrival: &Arrival<'_>, now: Tick, emit: &mut impl Emit) -> Verdict {
        let octets = &*arrival.octets;
        let header = match octets.first().map(|first| first >> 4) {
            Some(6) => {
                Ipv6::parse(octets).and_then(|packet| Ok(Header::V6(packet, packet.upper(octets)?)))
            }
            _ => Ipv4::parse(octets).map(Header::V4),
        };
        let header = match header {
            Ok(header) => header,
            Err(reason) => return Verdict::Drop(reason),
        };
        self.refuse(arrival, &header, (Reason::NoAnswer, Error::NoAnswer), now, emit)
    }

    /// Answers an echo request, at once if that is easy: if not, the slow path shall.
    pub(super) fn answer(
        &mut self,
        arrival: &Arrival<'_>,
        header: &Header,
        emit: &mut impl Emit,
    ) -> Verdict {
        let hop = self.way_back(arrival.leg, header.source());
        let fits = |hop: &Hop| header.len() <= self.tables.leg(hop.leg).mtu;
        let Some(hop) = hop.filter(fits) else { return Verdict::Local };
        let Some(to) = self.neighbours.get(hop) else { return Verdict::Resolve(hop) };
        let Some(room) = emit.room(header.len()) else { return Verdict::Drop(Reason::NoRoom) };
        match header {
            Header::V4(packet) => {
                self.ident = self.ident.wrapping_add(1);
                icmp::emit_echo_v4(room, arrival.octets, packet, self.ident);
            }
            Header::V6(packet, _) => icmp::emit_echo_v6(room, arrival.octets, packet),
        }
        Verdict::Reply { hop, to, reason: None }
    }

    /// By which way somebody is told something who said something by this leg. `None`: it cannot
    /// be a host, or is not reached.
    pub fn way_back(&self, leg: LegId, sender: IpAddr) -> Option<Hop> {
        if is_link_local(sender) {
            return Some(Hop { leg, address: sender });
        }
        let Target::Hops(hops) = self.tables.lookup(sender) else { return None };
        // No flow: the errors about all of a sender's flows go one way.
        let via = hops.choose(0);
        Some(Hop { leg: via.leg, address: via.gateway.unwrap_or(sender) })
    }

    /// From which of its addresses the router speaks: one of the leg by which it leaves (RFC 1812,
    /// section 4.3.2.4), on the link of the next hop if it has one there, else of the leg by which
    /// the packet came, else any (RFC 4443, section 2.2).
    fn source(&self, hop: Hop, came: LegId) -> Option<IpAddr> {
        let tables = &self.tables;
        let of = |id: LegId| {
            let own = tables.leg(id).addresses.iter();
            // RFC 4862, section 5.4.
            let mut own = own.filter(|own| self.neighbours.is_used(id, own.address));
            let mut any = own.clone().map(|own| own.address);
            let near = own.find(|own| own.prefix.contains(hop.address)).map(|own| own.address);
            let same =
                |own: &IpAddr| own.is_ipv4() == hop.address.is_ipv4() && !is_link_local(*own);
            near.filter(|near| {
                hop.address.is_ipv4() || !is_link_local(*near) || is_link_local(hop.address)
            })
            .or_else(|| any.find(same))
        };
        let all = (0..tables.legs().len()).map(|index| LegId(index as u16));
        [hop.leg, came].into_iter().chain(all).find_map(of)
    }
}

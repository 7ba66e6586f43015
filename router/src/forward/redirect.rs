//! When a host is told of a better first hop: see [`crate::icmp::redirect`].

use std::net::IpAddr;

use super::{Arrival, Emit, Header, Router};
use crate::{
    icmp::{self, redirect},
    limit::Tick,
    neighbour::resolved::Known,
    route::Hop,
};

impl Router {
    /// Tells the sender of a packet that its next hop is nearer to it than the router, if nothing
    /// speaks against it: the packet goes on by the leg by which it came, which tells such things.
    /// It is as it came, and goes on all the same. Returns to whom the packet goes that was
    /// emitted, if one was, and where that is.
    #[cold]
    pub(super) fn redirect(
        &mut self,
        arrival: &Arrival<'_>,
        header: &Header,
        (hop, to): (Hop, Known),
        now: Tick,
        emit: &mut impl Emit,
    ) -> Option<(Hop, Known)> {
        let octets = &*arrival.octets;
        let sender = Hop { leg: arrival.leg, address: header.source() };
        let may = match header {
            Header::V4(packet) => icmp::may_answer_v4(octets, packet),
            Header::V6(packet, upper) => icmp::may_answer_v6(octets, packet, upper),
        };
        let destination = header.destination();
        let source = self.nearer(arrival, (sender.address, destination), hop).filter(|_| may)?;
        // Nobody is asked for only to be told this.
        let at = self.neighbours.get(sender)?;
        match (header, source, hop.address) {
            (Header::V4(packet), IpAddr::V4(source), IpAddr::V4(next)) => {
                let room = self.room(arrival, redirect::len_v4(packet.len), now, emit)?;
                self.ident = self.ident.wrapping_add(1);
                redirect::emit_v4(room, next, source, (octets, packet), self.ident);
            }
            (Header::V6(packet, _), IpAddr::V6(source), IpAddr::V6(target)) => {
                let link = (to != Known::ANYBODY).then_some(to.to);
                let redirect = redirect::RedirectV6 { source, target, link };
                let room = self.room(arrival, redirect.len(packet.len), now, emit)?;
                redirect.emit(room, (octets, packet));
            }
            _ => return None,
        }
        Some((sender, at))
    }

    /// From which address a sender is told.
    fn nearer(
        &self,
        arrival: &Arrival<'_>,
        (sender, destination): (IpAddr, IpAddr),
        hop: Hop,
    ) -> Option<IpAddr> {
        let leg = (arrival.leg, self.tables.leg(arrival.leg));
        let source = redirect::source(leg, sender, destination, hop);
        source.filter(|source| self.neighbours.is_used(arrival.leg, *source))
    }

    /// Room for what is said, if it may be said now (RFC 1812, section 4.3.2.8; RFC 4861, section
    /// 8.2).
    fn room<'a>(
        &mut self,
        arrival: &Arrival<'_>,
        len: usize,
        now: Tick,
        emit: &'a mut impl Emit,
    ) -> Option<&'a mut [u8]> {
        if !self.may_err(arrival.leg, now) {
            self.stats.icmp_limited += 1;
            return None;
        }
        let room = emit.room(len)?;
        self.stats.icmp_sent += 1;
        Some(room)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        forward::{
            Verdict,
            sample::{Emitted, ipv4, ipv6},
        },
        limit::Limit,
        link::LinkAddress,
        neighbour::resolved::Resolved,
        packet::PacketMeta,
        route::{Kind, Leg, LegId, NextHop, Route},
        tables::Tables,
    };

    /// A leg with hosts and another router, 10.0.0.9 and fe80::9.
    fn router(redirects: bool) -> Router {
        let texts = ["10.0.0.1/24", "fd00::1/64", "fe80::1/64"];
        let addresses = texts.map(|text| text.parse().unwrap()).to_vec();
        let errors = Limit { per_tick: 1, burst: 2 };
        let leg = Leg { redirects, errors, ..Leg::new(addresses, 1500) };
        let gateway = Some("fe80::9".parse().unwrap());
        let hop = NextHop { gateway, leg: Some(LegId(0)), weight: 1 };
        let prefix = "2001:db8::/32".parse().unwrap();
        let v6 = Route { prefix, metric: 0, kind: Kind::Unicast(vec![hop]) };
        let v4 = Route::via("192.0.2.0/24".parse().unwrap(), "10.0.0.9".parse().unwrap());
        Router::new(Arc::new(Tables::build(vec![leg], &[v4, v6]).unwrap()), 1)
    }

    /// To whom something is said about a packet, and what. It goes on all the same.
    fn told(router: &mut Router, octets: &[u8]) -> Option<(Hop, Vec<u8>)> {
        let mut emitted = Emitted::default();
        let mut edited = octets.to_vec();
        let meta = PacketMeta::of(octets);
        let mut arrival = Arrival { octets: &mut edited, leg: LegId(0), meta };
        let place = router.place(octets);
        let verdict = router.decide(&mut arrival, place, Tick(0), &mut emitted);
        let to = match verdict {
            Verdict::Forward { .. } => None,
            Verdict::Redirect { sender, .. } => Some(sender),
            _ => panic!("{verdict:?}"),
        };
        assert_ne!(edited, octets, "a hop less");
        assert_eq!(to.is_some(), !emitted.0.is_empty());
        to.map(|to| (to, emitted.0.remove(0)))
    }

    #[test]
    fn host_is_told_of_the_other_router_as_often_as_errors_are() {
        let mut router = router(true);
        let v4 = ipv4("10.0.0.2", "192.0.2.1", 64, 17, &[7; 30]);
        let (to, message) = told(&mut router, &v4).unwrap();
        assert_eq!((to.address, message[20..22].to_vec()), ([10, 0, 0, 2].into(), vec![5, 1]));
        assert_eq!(message[24..28], [10, 0, 0, 9]);
        assert_eq!(message[28..], v4);
        let v6 = ipv6("fd00::2", "2001:db8::1", 64, 17, &[7; 32]);
        let (to, message) = told(&mut router, &v6).unwrap();
        assert_eq!((to.address.to_string(), message[40]), ("fd00::2".to_owned(), 137));
        assert!(message.ends_with(&v6));
        assert_eq!(told(&mut router, &v4), None);
        assert_eq!((router.stats().icmp_sent, router.stats().icmp_limited), (2, 1));
    }

    #[test]
    fn nobody_is_told_where_that_is_off_nor_about_errors_and_fragments() {
        let v4 = ipv4("10.0.0.2", "192.0.2.1", 64, 17, &[7; 30]);
        let v6 = ipv6("fd00::2", "2001:db8::1", 64, 17, &[7; 32]);
        for octets in [&v4, &v6] {
            assert_eq!(told(&mut router(false), octets), None);
        }
        let error = ipv4("10.0.0.2", "192.0.2.1", 64, 1, &[3, 1, 0, 0, 0, 0, 0, 0]);
        let error_v6 = ipv6("fd00::2", "2001:db8::1", 64, 58, &[1, 0, 0, 0, 0, 0, 0, 0]);
        let far = ipv4("198.51.100.1", "192.0.2.1", 64, 17, &[7; 30]);
        for octets in [error, error_v6, far] {
            assert_eq!(told(&mut router(true), &octets), None);
        }
        let mut fragment = v4;
        fragment[7] = 9;
        let fragment = crate::forward::sample::sealed(fragment);
        assert_eq!(told(&mut router(true), &fragment), None);
    }

    #[test]
    fn nobody_is_asked_for_only_to_be_told() {
        let mut router = router(true);
        let mut near = Resolved::new(1, &[None]);
        let known = Known { to: LinkAddress([2, 0, 0, 0, 0, 9]), stale: false };
        near.set(LegId(0), &[("10.0.0.9".parse().unwrap(), known)]);
        router.know(Arc::new(near.clone()));
        let v4 = ipv4("10.0.0.2", "192.0.2.1", 64, 17, &[7; 30]);
        assert_eq!(told(&mut router, &v4), None);
        let sender = "10.0.0.2".parse().unwrap();
        near.set(LegId(0), &[("10.0.0.9".parse().unwrap(), known), (sender, known)]);
        router.know(Arc::new(near));
        assert!(told(&mut router, &v4).is_some());
    }
}

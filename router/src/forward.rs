//! The decision: what becomes of a packet. It has no hands: no device, clock, thread or allocation.
//!
//! Read `decide_v4` in `forward/v4.rs` and `decide_v6` in `forward/v6.rs` from the top down: each
//! is the whole policy for its version, in the order of RFC 1812, section 5.2.1. Where both agree
//! that a packet goes on, `Router::cross` is the one place in which it changes legs: what wants
//! to look at all packets between two legs belongs there and nowhere else.
//!
//! A packet is looked at twice, so that memory has time to answer in between: [`Router::places`]
//! for all packets of a batch, which finds where they go, then [`Router::decide`] for each.

mod flow;
mod place;
mod redirect;
pub(crate) mod reply;
#[cfg(test)]
pub(crate) mod sample;
mod v4;
mod v6;

pub use self::flow::Flow;
pub use self::place::Place;
pub use crate::emit::Emit;

use std::{net::IpAddr, sync::Arc};

use crate::{
    fragment::fragment,
    icmp::Error,
    limit::Tick,
    neighbour::resolved::{Known, Resolved},
    packet::{Ipv4, Ipv6, PacketMeta, Upper, decrement_hop_limit, decrement_ttl},
    route::{Hop, Leg, LegId, ReversePath},
    stats::{Reason, Stats},
    tables::{Hops, Tables, Target, Via},
};

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on, edited in place.
    Forward {
        /// To whom.
        hop: Hop,
        /// Where that is.
        to: Known,
        /// Its octets. What is behind them was added by the link and stays here.
        len: usize,
    },
    /// The same, by the leg by which it came. The packet that was emitted tells its sender that
    /// the next hop is nearer to it than the router, and goes first.
    Redirect {
        /// To whom.
        hop: Hop,
        /// Where that is.
        to: Known,
        /// Its octets.
        len: usize,
        /// The sender.
        sender: Hop,
        /// Where that is.
        at: Known,
    },
    /// It goes on as the fragments that were emitted, in their order.
    Fragments {
        /// To whom, all of them.
        hop: Hop,
        /// Where that is.
        to: Known,
    },
    /// Something would go to this neighbour, but where that is has yet to be asked. It is
    /// unchanged.
    Resolve(Hop),
    /// It needs fragments, but has yet to be cut into segments, or its checksum to be completed:
    /// do that, and ask about each. It is unchanged.
    Finish,
    /// It is for the router itself.
    Local,
    /// It ended here; the packet that was emitted is sent.
    Reply {
        /// To whom.
        hop: Hop,
        /// Where that is.
        to: Known,
        /// Why it ended; `None`: it was an echo request, and was answered.
        reason: Option<Reason>,
    },
    /// It ended here.
    Drop(Reason),
}

/// A packet that came in.
#[derive(Debug)]
pub struct Arrival<'a> {
    /// From its first octet of IP. Behind its end there may be what the link added.
    pub octets: &'a mut [u8],
    /// By which leg.
    pub leg: LegId,
    /// What else is known of it.
    pub meta: PacketMeta,
}

/// A header of either version, and what else the decision needs.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Header {
    V4(Ipv4),
    V6(Ipv6, Upper),
}

impl Header {
    fn len(&self) -> usize {
        match self {
            Header::V4(packet) => packet.len,
            Header::V6(packet, _) => packet.len,
        }
    }

    fn source(&self) -> IpAddr {
        match self {
            Header::V4(packet) => packet.source.into(),
            Header::V6(packet, _) => packet.source.into(),
        }
    }

    fn destination(&self) -> IpAddr {
        match self {
            Header::V4(packet) => packet.destination.into(),
            Header::V6(packet, _) => packet.destination.into(),
        }
    }
}

/// The rules, with what one worker needs to follow them. Several share the tables.
pub struct Router {
    tables: Arc<Tables>,
    neighbours: Arc<Resolved>,
    /// For the hash of flows: strangers must not choose their path.
    seed: u64,
    /// Of the last packet that the router itself sent.
    ident: u16,
    /// Whether nothing is taken from the limits, which all who have these tables share.
    asks: bool,
    stats: Stats,
}

impl Router {
    /// A router with these tables, which knows where everybody is. Those of several workers have
    /// the same seed, so that a flow has one path whoever receives it.
    pub fn new(tables: Arc<Tables>, seed: u64) -> Router {
        let neighbours = Arc::new(Resolved::any());
        Router { tables, neighbours, seed, ident: 0, asks: false, stats: Stats::default() }
    }

    /// The same for whoever only asks what would be: nothing is taken from the limits of errors.
    pub fn asking(self) -> Router {
        Router { asks: true, ..self }
    }

    /// Whether a packet that came by this leg may cause an error now.
    fn may_err(&self, leg: LegId, now: Tick) -> bool {
        self.asks || self.tables.errors(leg).take(now)
    }

    /// What becomes of a packet for an address of the router that is not used. Whoever knows some
    /// neighbours only was told of addresses when he was told of those: his slow path may use it
    /// since, and have said so to the host that sends to it now.
    #[cold]
    fn unused(&self) -> Verdict {
        match self.asks || self.neighbours.is_whole() {
            true => Verdict::Drop(Reason::UnusedAddress),
            false => Verdict::Local,
        }
    }

    /// Goes on with other tables.
    pub fn swap(&mut self, tables: Arc<Tables>) {
        self.tables = tables;
    }

    /// From now on knows where these are, and nobody else.
    pub fn know(&mut self, neighbours: Arc<Resolved>) {
        self.neighbours = neighbours;
    }

    /// Where whom it knows is.
    pub fn neighbours(&self) -> &Arc<Resolved> {
        &self.neighbours
    }

    /// The tables.
    pub fn tables(&self) -> &Arc<Tables> {
        &self.tables
    }

    /// What became of packets up to now.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// So many packets that it sent on, or made, are not sent: their leg has left.
    pub fn lose(&mut self, packets: u64) {
        self.stats.lose(packets);
    }

    /// For the slow path, where more becomes of packets than is decided here.
    pub(crate) fn stats_mut(&mut self) -> &mut Stats {
        &mut self.stats
    }

    /// Decides about a packet.
    #[inline]
    pub fn decide(
        &mut self,
        arrival: &mut Arrival<'_>,
        place: Place,
        now: Tick,
        emit: &mut impl Emit,
    ) -> Verdict {
        let verdict = match arrival.octets.first().map(|first| first >> 4) {
            Some(6) => self.decide_v6(arrival, place, now, emit),
            _ => self.decide_v4(arrival, place, now, emit),
        };
        match verdict {
            Verdict::Forward { .. } | Verdict::Redirect { .. } => self.stats.forwarded += 1,
            Verdict::Fragments { .. } => self.stats.fragmented += 1,
            Verdict::Finish => self.stats.unfinished += 1,
            Verdict::Resolve(_) => self.stats.unresolved += 1,
            Verdict::Local => self.stats.local += 1,
            Verdict::Reply { reason: None, .. } => self.stats.echoes += 1,
            Verdict::Reply { reason: Some(reason), .. } | Verdict::Drop(reason) => {
                self.stats.drop(reason);
            }
        }
        verdict
    }

    /// A packet goes from the leg by which it came to that of its next hop: the one place in which
    /// packets change legs.
    fn cross(
        &mut self,
        arrival: &mut Arrival<'_>,
        header: &Header,
        hop: Hop,
        now: Tick,
        emit: &mut impl Emit,
    ) -> Verdict {
        let Leg { mtu, redirects, .. } = *self.tables.leg(hop.leg);
        // Segments are what a wire will carry.
        let large = header.len().min(arrival.meta.largest) > mtu;
        match header {
            // RFC 791, section 3.2, and RFC 1812, section 5.2.6.
            Header::V4(packet) if large && packet.fragment & Ipv4::DONT_FRAGMENT == 0 => {
                if arrival.meta.largest < packet.len || !arrival.meta.complete {
                    return Verdict::Finish;
                }
                let Some(to) = self.neighbours.get(hop) else { return Verdict::Resolve(hop) };
                decrement_ttl(arrival.octets);
                return match fragment(arrival.octets, packet, mtu, emit) {
                    Some(count) => {
                        self.stats.fragments += count;
                        Verdict::Fragments { hop, to }
                    }
                    None => Verdict::Drop(Reason::NoRoom),
                };
            }
            // RFC 1191, section 4; RFC 8200, section 5: routers do not fragment IPv6.
            _ if large => {
                let why = (Reason::TooBig, Error::TooBig(mtu));
                return self.refuse(arrival, header, why, now, emit);
            }
            _ => {}
        }
        let Some(to) = self.neighbours.get(hop) else { return Verdict::Resolve(hop) };
        let nearer = hop.leg == arrival.leg && redirects;
        let told = if nearer { self.redirect(arrival, header, (hop, to), now, emit) } else { None };
        match header {
            // RFC 1812, section 5.3.1: by one, for what has been seen to be more than one.
            Header::V4(_) => decrement_ttl(arrival.octets),
            Header::V6(..) => decrement_hop_limit(arrival.octets),
        }
        let len = header.len();
        match told {
            None => Verdict::Forward { hop, to, len },
            Some((sender, at)) => Verdict::Redirect { hop, to, len, sender, at },
        }
    }

    /// The next hop for this packet, of those that its route has.
    #[inline]
    fn hop(&self, octets: &[u8], header: &Header, hops: &Hops) -> Hop {
        let via = hops.only().unwrap_or_else(|| hops.choose(self.hash(octets, header)));
        let Via { leg, gateway } = via;
        Hop { leg, address: gateway.unwrap_or(header.destination()) }
    }

    /// The hash of a packet's flow (RFC 2992): addresses, protocol, and ports where there are any.
    /// No part of a fragmented packet counts its ports, or they would go apart.
    fn hash(&self, octets: &[u8], header: &Header) -> u32 {
        let (protocol, at) = match header {
            Header::V4(packet) => {
                (packet.protocol, (!packet.is_fragment()).then_some(packet.header_len))
            }
            Header::V6(_, upper) => (upper.protocol, upper.at.filter(|_| !upper.fragment)),
        };
        let at = at.filter(|_| has_ports(protocol));
        let ports = at.and_then(|at| octets.get(at..at + 4));
        let ports =
            ports.map(|p| (u16::from_be_bytes([p[0], p[1]]), u16::from_be_bytes([p[2], p[3]])));
        let (source, destination) = (header.source(), header.destination());
        Flow { source, destination, protocol, ports }.hash(self.seed)
    }

    /// Whether a packet may have come by this leg from this source (RFC 3704, section 2).
    fn came_right(&self, leg: LegId, source: IpAddr) -> bool {
        let wanted = self.tables.leg(leg).reverse_path;
        wanted == ReversePath::Off
            || match self.tables.lookup(source) {
                Target::Hops(hops) => {
                    wanted == ReversePath::Loose || hops.iter().any(|via| via.leg == leg)
                }
                _ => false,
            }
    }
}

/// Whether the first four octets of such a packet are two ports.
fn has_ports(protocol: u8) -> bool {
    use crate::packet::protocol::{DCCP, SCTP, TCP, UDP, UDP_LITE};
    matches!(protocol, TCP | UDP | UDP_LITE | DCCP | SCTP)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{
        sample::{Emitted, ipv4, ipv6, sealed},
        *,
    };
    use crate::{
        limit::Limit,
        link::LinkAddress,
        packet::checksum_icmpv6,
        route::{Kind, NextHop, Route},
    };

    const UDP: u8 = 17;

    fn leg(addresses: &[&str], mtu: usize) -> Leg {
        Leg::new(addresses.iter().map(|text| text.parse().unwrap()).collect(), mtu)
    }

    fn legs() -> Vec<Leg> {
        vec![
            leg(&["10.0.0.1/24", "fd00:1::1/64", "fe80::1/64"], 1500),
            leg(&["10.9.0.1/30", "fd00:9::1/64", "fe80::2/64"], 1400),
        ]
    }

    fn routes() -> Vec<Route> {
        let via = |prefix: &str, gateway: &str| {
            Route::via(prefix.parse().unwrap(), gateway.parse().unwrap())
        };
        let with = |prefix: &str, kind| Route { prefix: prefix.parse().unwrap(), metric: 0, kind };
        vec![
            via("172.16.0.0/12", "10.9.0.2"),
            via("2001:db8::/32", "fd00:9::2"),
            with("192.0.2.0/24", Kind::Blackhole),
            with("198.51.100.0/25", Kind::Unreachable),
            with("198.51.100.128/25", Kind::Prohibit),
            with("2001:db8:1::/48", Kind::Blackhole),
            with("2001:db8:2::/48", Kind::Unreachable),
            with("2001:db8:3::/48", Kind::Prohibit),
        ]
    }

    fn router_of(legs: Vec<Leg>, routes: &[Route]) -> Router {
        Router::new(Arc::new(Tables::build(legs, routes).unwrap()), 7)
    }

    fn router() -> Router {
        router_of(legs(), &routes())
    }

    /// What becomes of a packet that comes in by leg 0, its octets afterwards, what was emitted.
    fn decide(octets: &[u8]) -> (Verdict, Vec<u8>, Vec<Vec<u8>>) {
        decide_with(&mut router(), octets, PacketMeta::of(octets), 0)
    }

    fn decide_with(
        router: &mut Router,
        octets: &[u8],
        meta: PacketMeta,
        leg: u16,
    ) -> (Verdict, Vec<u8>, Vec<Vec<u8>>) {
        let mut octets = octets.to_vec();
        let mut emitted = Emitted::default();
        let place = router.place(&octets);
        let mut arrival = Arrival { octets: &mut octets, leg: LegId(leg), meta };
        let verdict = router.decide(&mut arrival, place, Tick(5), &mut emitted);
        (verdict, octets, emitted.0)
    }

    fn verdict(octets: &[u8]) -> Verdict {
        decide(octets).0
    }

    fn hop(leg: u16, address: &str) -> Hop {
        Hop { leg: LegId(leg), address: address.parse().unwrap() }
    }

    fn udp(source: &str, destination: &str) -> Vec<u8> {
        ipv4(source, destination, 64, UDP, b"\x12\x34\x00\x35\x00\x0c\x00\x00data")
    }

    fn udp6(source: &str, destination: &str) -> Vec<u8> {
        ipv6(source, destination, 64, UDP, b"\x12\x34\x00\x35\x00\x0c\x00\x00data")
    }

    fn changed(mut octets: Vec<u8>, at: usize, new: &[u8]) -> Vec<u8> {
        octets[at..at + new.len()].copy_from_slice(new);
        sealed(octets)
    }

    #[test]
    fn whatever_goes_to_an_unknown_neighbour_waits_as_it_is() {
        let mut router = router();
        let mut near = Resolved::new(1, &[None, None]);
        router.know(Arc::new(near.clone()));
        let gone = |octets: Vec<u8>| changed(octets, 8, &[1]);
        let cases = [
            (udp("10.0.0.2", "172.16.0.9"), hop(1, "10.9.0.2")),
            (udp6("fd00:1::2", "fd00:9::7"), hop(1, "fd00:9::7")),
            // An error and an answer go back.
            (gone(udp("10.0.0.2", "172.16.0.9")), hop(0, "10.0.0.2")),
            (sealed_icmp("10.0.0.2", "10.9.0.1", [8, 0], b"ping"), hop(0, "10.0.0.2")),
            // To be fragmented.
            (ipv4("10.0.0.2", "172.16.0.9", 64, UDP, &[0; 1480]), hop(1, "10.9.0.2")),
        ];
        for (octets, hop) in &cases {
            let meta = PacketMeta::of(octets);
            let (verdict, after, emitted) = decide_with(&mut router, octets, meta, 0);
            assert_eq!((verdict, &after, emitted.len()), (Verdict::Resolve(*hop), octets, 0));
        }
        assert_eq!((router.stats().unresolved, router.stats().packets()), (5, 5));
        let to = Known { to: LinkAddress([2, 0, 0, 0, 0, 9]), stale: true };
        near.set(LegId(1), &[("10.9.0.2".parse().unwrap(), to)]);
        router.know(Arc::new(near));
        let (octets, hop) = &cases[0];
        let (verdict, ..) = decide_with(&mut router, octets, PacketMeta::of(octets), 0);
        assert_eq!(verdict, Verdict::Forward { hop: *hop, to, len: 32 });
    }

    #[test]
    fn packet_goes_on_with_one_hop_less_and_nothing_else_changed() {
        let sent = udp("10.0.0.2", "172.16.5.5");
        let (verdict, octets, emitted) = decide(&sent);
        assert_eq!(
            verdict,
            Verdict::Forward { hop: hop(1, "10.9.0.2"), to: Known::ANYBODY, len: 32 }
        );
        assert_eq!(octets, changed(sent, 8, &[63]));
        assert!(emitted.is_empty());
        let sent = udp6("fd00:1::2", "2001:db8::5");
        let (verdict, octets, _) = decide(&sent);
        assert_eq!(
            verdict,
            Verdict::Forward { hop: hop(1, "fd00:9::2"), to: Known::ANYBODY, len: 52 }
        );
        assert_eq!((octets[7], &octets[8..]), (63, &sent[8..]));
    }

    #[test]
    fn neighbour_on_a_link_is_its_own_next_hop_and_padding_stays_here() {
        let mut sent = udp("10.0.0.2", "10.9.0.2");
        sent.extend([0; 14]);
        let expected = Verdict::Forward { hop: hop(1, "10.9.0.2"), to: Known::ANYBODY, len: 32 };
        assert_eq!(verdict(&sent), expected);
    }

    #[test]
    fn sources_that_no_host_has_are_dropped() {
        for source in ["0.1.2.3", "127.0.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255"] {
            let drop = Verdict::Drop(Reason::MartianSource);
            assert_eq!(verdict(&udp(source, "172.16.0.1")), drop, "{source}");
        }
        for source in ["::1", "ff02::1", "::ffff:10.0.0.2", "::"] {
            let drop = Verdict::Drop(Reason::MartianSource);
            assert_eq!(verdict(&udp6(source, "2001:db8::1")), drop, "{source}");
        }
    }

    #[test]
    fn own_sources_and_land_attacks_are_dropped() {
        assert_eq!(verdict(&udp("10.9.0.1", "172.16.0.1")), Verdict::Drop(Reason::OwnSource));
        assert_eq!(verdict(&udp("10.0.0.1", "10.0.0.1")), Verdict::Drop(Reason::Land));
        assert_eq!(verdict(&udp("172.16.0.1", "172.16.0.1")), Verdict::Drop(Reason::Land));
        assert_eq!(verdict(&udp6("fd00:9::1", "2001:db8::1")), Verdict::Drop(Reason::OwnSource));
        assert_eq!(verdict(&udp6("fd00:1::2", "fd00:1::2")), Verdict::Drop(Reason::Land));
        // Another leg's link-local address is anybody's on this one.
        assert_eq!(verdict(&udp6("fe80::2", "fe80::1")), Verdict::Local);
    }

    #[test]
    fn destinations_on_no_network_are_dropped() {
        for destination in ["0.0.0.1", "127.0.0.1", "240.0.0.1"] {
            let drop = Verdict::Drop(Reason::MartianDestination);
            assert_eq!(verdict(&udp("10.0.0.2", destination)), drop, "{destination}");
        }
        for destination in ["::", "::1", "ff00::1", "ff01::1"] {
            let drop = Verdict::Drop(Reason::MartianDestination);
            assert_eq!(verdict(&udp6("fd00:1::2", destination)), drop, "{destination}");
        }
    }

    #[test]
    fn groups_and_broadcasts_of_the_link_are_local_and_others_go_nowhere() {
        let to = |destination| verdict(&udp("10.0.0.2", destination));
        assert_eq!(to("255.255.255.255"), Verdict::Local);
        assert_eq!(verdict(&udp("0.0.0.0", "255.255.255.255")), Verdict::Local);
        assert_eq!(to("10.0.0.255"), Verdict::Local);
        assert_eq!(to("10.9.0.3"), Verdict::Drop(Reason::DirectedBroadcast));
        assert_eq!(to("10.9.0.0"), Verdict::Drop(Reason::DirectedBroadcast));
        assert_eq!(to("224.0.0.5"), Verdict::Local);
        assert_eq!(to("224.0.1.5"), Verdict::Drop(Reason::Multicast));
        let to = |destination| verdict(&udp6("fe80::9", destination));
        assert_eq!(to("ff02::1"), Verdict::Local);
        assert_eq!(verdict(&udp6("::", "ff02::1:ff00:1")), Verdict::Local);
        assert_eq!(to("ff05::1"), Verdict::Drop(Reason::Multicast));
    }

    #[test]
    fn smurf_is_not_answered() {
        let echo = sealed_icmp("10.0.0.2", "10.0.0.255", [8, 0], b"smurf");
        assert_eq!(decide(&echo).0, Verdict::Local);
        assert!(decide(&echo).2.is_empty());
        let echo = sealed_icmp("10.0.0.2", "10.9.0.3", [8, 0], b"smurf");
        assert_eq!(verdict(&echo), Verdict::Drop(Reason::DirectedBroadcast));
    }

    #[test]
    fn link_local_addresses_stay_on_their_link() {
        let drop = Verdict::Drop(Reason::LinkLocal);
        assert_eq!(verdict(&udp("169.254.1.1", "172.16.0.1")), drop);
        assert_eq!(verdict(&udp("10.0.0.2", "169.254.1.1")), drop);
        assert_eq!(verdict(&udp6("fe80::9", "2001:db8::1")), drop);
        assert_eq!(verdict(&udp6("fd00:1::2", "fe80::9")), drop);
        assert_eq!(verdict(&udp6("fe80::9", "fe80::1")), Verdict::Local);
    }

    #[test]
    fn packet_for_one_host_in_a_frame_for_a_group_goes_no_further() {
        let sent = udp("10.0.0.2", "172.16.0.1");
        let meta = PacketMeta { group: true, ..PacketMeta::of(&sent) };
        let found = decide_with(&mut router(), &sent, meta, 0);
        assert_eq!(found.0, Verdict::Drop(Reason::LinkGroup));
        let sent = udp("10.0.0.2", "10.0.0.1");
        assert_eq!(decide_with(&mut router(), &sent, meta, 0).0, Verdict::Local);
    }

    #[test]
    fn source_routes_are_dropped_and_other_options_pass() {
        let with = |options: &[u8]| {
            let mut octets = udp("10.0.0.2", "172.16.0.1");
            octets.splice(20..20, options.iter().copied());
            octets[0] = 0x45 + (options.len() / 4) as u8;
            verdict(&sealed(octets))
        };
        assert_eq!(with(&[131, 7, 4, 1, 2, 3, 4, 0]), Verdict::Drop(Reason::SourceRoute));
        assert_eq!(with(&[1, 137, 7, 4, 1, 2, 3, 4]), Verdict::Drop(Reason::SourceRoute));
        let passed = Verdict::Forward { hop: hop(1, "10.9.0.2"), to: Known::ANYBODY, len: 36 };
        assert_eq!(with(&[0x94, 4, 0, 0]), passed);
    }

    #[test]
    fn fragments_pass_but_for_those_made_to_harm() {
        let fragment = |protocol: u8, field: u16, len: usize| {
            let octets = ipv4("10.0.0.2", "172.16.0.1", 64, protocol, &vec![0; len]);
            verdict(&changed(octets, 6, &field.to_be_bytes()))
        };
        let passed = |len| Verdict::Forward { hop: hop(1, "10.9.0.2"), to: Known::ANYBODY, len };
        assert_eq!(fragment(UDP, 0x2000, 8), passed(28));
        assert_eq!(fragment(6, 0x2000, 16), passed(36));
        assert_eq!(fragment(6, 2, 8), passed(28));
        assert_eq!(fragment(6, 0x2000, 8), Verdict::Drop(Reason::FragmentTiny));
        assert_eq!(fragment(6, 1, 100), Verdict::Drop(Reason::FragmentTiny));
        assert_eq!(fragment(1, 8189, 100), Verdict::Drop(Reason::FragmentOverflow));
        assert_eq!(fragment(1, 8189, 3), passed(23));
    }

    #[test]
    fn reverse_path_is_asked_where_it_is_wanted() {
        let with = |reverse_path, source| {
            let mut legs = legs();
            legs[0].reverse_path = reverse_path;
            let sent = udp(source, "10.9.0.2");
            decide_with(&mut router_of(legs, &routes()), &sent, PacketMeta::of(&sent), 0).0
        };
        let passed = Verdict::Forward { hop: hop(1, "10.9.0.2"), to: Known::ANYBODY, len: 32 };
        let drop = Verdict::Drop(Reason::ReversePath);
        use ReversePath::{Loose, Off, Strict};
        assert_eq!([Off, Loose, Strict].map(|wanted| with(wanted, "10.0.0.2")), [passed; 3]);
        let found = [Off, Loose, Strict].map(|wanted| with(wanted, "172.16.0.1"));
        assert_eq!(found, [passed, passed, drop]);
        let found = [Off, Loose, Strict].map(|wanted| with(wanted, "203.0.113.1"));
        assert_eq!(found, [passed, drop, drop]);
        let found = [Off, Loose, Strict].map(|wanted| with(wanted, "192.0.2.1"));
        assert_eq!(found, [passed, drop, drop]);
    }

    fn sealed_icmp(source: &str, destination: &str, kind: [u8; 2], data: &[u8]) -> Vec<u8> {
        let mut message = [&kind[..], &[0, 0, 0, 1, 0, 2], data].concat();
        let check = crate::packet::checksum(&message);
        message[2..4].copy_from_slice(&check.to_be_bytes());
        ipv4(source, destination, 64, 1, &message)
    }

    /// The type and code of the one error about a packet, after all else in it was checked.
    fn error(sent: &[u8]) -> Option<(u8, u8, u32)> {
        let (verdict, octets, emitted) = decide(sent);
        let Verdict::Reply { hop, reason: Some(_), .. } = verdict else {
            assert!(emitted.is_empty(), "{verdict:?}");
            return None;
        };
        assert_eq!(octets, sent, "a packet that is refused is not changed");
        let [reply] = &emitted[..] else { panic!("{} packets", emitted.len()) };
        let message = if reply[0] >> 4 == 4 {
            assert_eq!(hop, self::hop(0, "10.0.0.2"));
            let packet = Ipv4::parse(reply).unwrap();
            assert_eq!(packet.len, reply.len().min(576));
            assert_eq!((packet.source.to_string(), packet.ttl), ("10.0.0.1".into(), 64));
            assert_eq!(packet.tos, 0xc0 | sent[1] & 0x1c);
            let message = &reply[20..];
            assert_eq!(crate::packet::checksum(message), 0);
            message
        } else {
            let packet = Ipv6::parse(reply).unwrap();
            assert!(reply.len() == packet.len && reply.len() <= 1280);
            assert_eq!(packet.source.to_string(), "fd00:1::1");
            let message = &reply[40..];
            assert_eq!(checksum_icmpv6(packet.source, packet.destination, message), 0);
            message
        };
        assert_eq!(message[8..], sent[..message.len() - 8]);
        let rest = u32::from_be_bytes([message[4], message[5], message[6], message[7]]);
        Some((message[0], message[1], rest))
    }

    #[test]
    fn each_refusal_of_ipv4_has_its_message() {
        assert_eq!(error(&udp("10.0.0.2", "203.0.113.1")), Some((3, 0, 0)));
        assert_eq!(error(&udp("10.0.0.2", "198.51.100.1")), Some((3, 1, 0)));
        assert_eq!(error(&udp("10.0.0.2", "198.51.100.129")), Some((3, 13, 0)));
        assert_eq!(error(&changed(udp("10.0.0.2", "172.16.0.1"), 8, &[1])), Some((11, 0, 0)));
        assert_eq!(error(&changed(udp("10.0.0.2", "172.16.0.1"), 8, &[0])), Some((11, 0, 0)));
        let large = ipv4("10.0.0.2", "172.16.0.1", 64, UDP, &[7; 1381]);
        assert_eq!(error(&changed(large, 6, &[0x40, 0])), Some((3, 4, 1400)));
        let blackhole = verdict(&udp("10.0.0.2", "192.0.2.1"));
        assert_eq!(blackhole, Verdict::Drop(Reason::Blackhole));
    }

    #[test]
    fn sender_of_an_option_that_cannot_be_read_is_told_where_it_stands() {
        let with = |destination: &str, options: &[u8]| {
            let mut octets = udp("10.0.0.2", destination);
            octets.splice(20..20, options.iter().copied());
            octets[0] = 0x45 + (options.len() / 4) as u8;
            sealed(octets)
        };
        for (options, at) in [
            (&[7, 9, 4, 0][..], 20),
            (&[1, 1, 7, 1], 22),
            (&[1, 1, 1, 7], 23),
            (&[0x94, 4, 0, 0, 1, 68, 0, 0], 25),
        ] {
            for destination in ["172.16.0.1", "10.0.0.1", "203.0.113.1"] {
                let told = error(&with(destination, options));
                assert_eq!(told, Some((12, 0, at << 24)), "{destination} {options:?}");
            }
        }
        // Behind the end of the list stands nothing.
        let passed = Verdict::Forward { hop: hop(1, "10.9.0.2"), to: Known::ANYBODY, len: 36 };
        assert_eq!(verdict(&with("172.16.0.1", &[0, 9, 9, 9])), passed);
        for silent in ["192.0.2.1", "10.9.0.3"] {
            let verdict = verdict(&with(silent, &[7, 9, 4, 0]));
            assert_eq!(verdict, Verdict::Drop(Reason::Options));
        }
    }

    #[test]
    fn hop_by_hop_option_that_is_not_known_is_treated_as_it_says() {
        let with = |destination: &str, option: [u8; 6]| {
            let payload = [&[UDP, 0][..], &option, b"\x12\x34\x00\x35\x00\x08\x00\x00"].concat();
            ipv6("fd00:1::2", destination, 64, 0, &payload)
        };
        let far = "2001:db8::1";
        let passed = Verdict::Forward { hop: hop(1, "fd00:9::2"), to: Known::ANYBODY, len: 56 };
        // Padding, a router alert, and one that may be passed over.
        for option in [[1, 4, 0, 0, 0, 0], [5, 2, 0, 0, 1, 0], [0x1e, 4, 0, 0, 0, 0]] {
            assert_eq!(verdict(&with(far, option)), passed);
        }
        let dropped = Verdict::Drop(Reason::Options);
        assert_eq!(verdict(&with(far, [0x5e, 4, 0, 0, 0, 0])), dropped);
        assert_eq!(verdict(&with(far, [1, 9, 0, 0, 0, 0])), dropped, "it runs over");
        for kind in [0x9e, 0xde] {
            assert_eq!(error(&with(far, [0, 0, kind, 2, 0, 0])), Some((4, 2, 44)));
            assert_eq!(verdict(&with("fd00:9::1", [kind, 4, 0, 0, 0, 0])), Verdict::Local);
        }
    }

    #[test]
    fn each_refusal_of_ipv6_has_its_message() {
        assert_eq!(error(&udp6("fd00:1::2", "fd77::1")), Some((1, 0, 0)));
        assert_eq!(error(&udp6("fd00:1::2", "2001:db8:2::1")), Some((1, 0, 0)));
        assert_eq!(error(&udp6("fd00:1::2", "2001:db8:3::1")), Some((1, 1, 0)));
        assert_eq!(error(&ipv6("fd00:1::2", "2001:db8::1", 1, UDP, &[0; 8])), Some((3, 0, 0)));
        let large = ipv6("fd00:1::2", "2001:db8::1", 64, UDP, &[7; 1361]);
        assert_eq!(error(&large), Some((2, 0, 1400)));
        let blackhole = verdict(&udp6("fd00:1::2", "2001:db8:1::1"));
        assert_eq!(blackhole, Verdict::Drop(Reason::Blackhole));
    }

    #[test]
    fn type_of_service_is_kept_and_precedence_raised() {
        assert!(error(&changed(udp("10.0.0.2", "203.0.113.1"), 1, &[0xb9])).is_some());
    }

    #[test]
    fn errors_are_never_about_errors_nor_later_fragments_nor_from_nobody() {
        let about = |kind| error(&sealed_icmp("10.0.0.2", "203.0.113.1", [kind, 0], b""));
        assert!([3, 4, 5, 11, 12, 200].into_iter().all(|kind| about(kind).is_none()));
        assert!([0, 8, 13].into_iter().all(|kind| about(kind).is_some()));
        let later = changed(udp("10.0.0.2", "203.0.113.1"), 6, &[0, 9]);
        assert_eq!(error(&later), None);
        let first = changed(udp("10.0.0.2", "203.0.113.1"), 6, &[0x20, 0]);
        assert!(error(&first).is_some());
        // Senders that are not reached, or are all on a link.
        assert_eq!(error(&udp("203.0.113.9", "203.0.113.1")), None);
        assert_eq!(error(&udp("10.0.0.255", "203.0.113.1")), None);
        let about = |kind| error(&ipv6("fd00:1::2", "fd77::1", 64, 58, &[kind, 0, 0, 0]));
        assert!([1, 2, 3, 4, 100, 127, 137].into_iter().all(|kind| about(kind).is_none()));
        assert!([128, 129, 135].into_iter().all(|kind| about(kind).is_some()));
        // An error behind an extension header is one, too.
        let hidden = [58, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0];
        assert_eq!(error(&ipv6("fd00:1::2", "fd77::1", 64, 60, &hidden)), None);
    }

    #[test]
    fn errors_are_limited_for_each_leg_apart() {
        let mut legs = legs();
        legs[0].errors = Limit { per_tick: 1, burst: 3 };
        let mut router = router_of(legs, &routes());
        let sent = udp("10.0.0.2", "203.0.113.1");
        let flood = |router: &mut Router, leg| {
            let meta = PacketMeta::of(&sent);
            let verdicts = (0..10).map(|_| decide_with(router, &sent, meta, leg).0);
            verdicts.filter(|verdict| matches!(verdict, Verdict::Reply { .. })).count()
        };
        assert_eq!([flood(&mut router, 0), flood(&mut router, 1)], [3, 10]);
        let stats = router.stats();
        assert_eq!((stats.icmp_sent, stats.icmp_limited), (13, 7));
        // All that is left to another worker.
        let mut another = Router::new(router.tables().clone(), 7);
        assert_eq!([flood(&mut another, 0), flood(&mut another, 1)], [0, 10]);
        assert_eq!((stats.dropped(Reason::NoRoute), stats.packets()), (20, 20));
    }

    #[test]
    fn echo_for_an_own_address_is_answered_from_it() {
        let sent = sealed_icmp("10.0.0.2", "10.9.0.1", [8, 0], b"ping");
        let (verdict, _, emitted) = decide(&sent);
        assert_eq!(
            verdict,
            Verdict::Reply { hop: hop(0, "10.0.0.2"), to: Known::ANYBODY, reason: None }
        );
        let reply = Ipv4::parse(&emitted[0]).unwrap();
        assert_eq!(
            [reply.source, reply.destination].map(|a| a.to_string()),
            ["10.9.0.1", "10.0.0.2"]
        );
        assert_eq!((emitted[0][20], &emitted[0][24..]), (0, &sent[24..]));
        assert_eq!(crate::packet::checksum(&emitted[0][20..]), 0);
        let mut wrong = sent;
        wrong[30] ^= 1;
        assert_eq!(decide(&wrong).0, Verdict::Drop(Reason::EchoChecksum));
        assert_eq!(decide(&udp("10.0.0.2", "10.0.0.1")).0, Verdict::Local);
    }

    #[test]
    fn echo_of_ipv6_is_answered_also_on_the_link() {
        for (source, own) in [("fd00:1::2", "fd00:9::1"), ("fe80::9", "fe80::1")] {
            let mut sent = ipv6(source, own, 64, 58, b"\x80\0\0\0\0\x01\0\x02ping");
            let packet = Ipv6::parse(&sent).unwrap();
            let check = checksum_icmpv6(packet.source, packet.destination, &sent[40..]);
            sent[42..44].copy_from_slice(&check.to_be_bytes());
            let (verdict, _, emitted) = decide(&sent);
            assert_eq!(
                verdict,
                Verdict::Reply { hop: hop(0, source), to: Known::ANYBODY, reason: None }
            );
            let reply = Ipv6::parse(&emitted[0]).unwrap();
            assert_eq!((reply.source, reply.destination), (packet.destination, packet.source));
            assert_eq!((emitted[0][40], &emitted[0][44..]), (129, &sent[44..]));
            assert_eq!(checksum_icmpv6(reply.source, reply.destination, &emitted[0][40..]), 0);
        }
    }

    #[test]
    fn address_that_is_not_used_neither_answers_nor_speaks() {
        let silent = |addresses: &[(u16, &str)]| {
            let mut all = Resolved::any();
            all.silence(addresses.iter().map(|(leg, own)| hop(*leg, own)).collect());
            let mut router = router();
            router.know(Arc::new(all));
            router
        };
        let sent = |mut router: Router, octets: &[u8]| {
            let (verdict, _, emitted) = decide_with(&mut router, octets, PacketMeta::of(octets), 0);
            (verdict, emitted)
        };
        let echo = |own: &str| ipv6("fd00:1::2", own, 64, 58, b"\x80\0\0\0\0\x01\0\x02ping");
        let unused = Verdict::Drop(Reason::UnusedAddress);
        // Each leg has its own link-local addresses, and all have the others.
        for (own, leg, verdict) in [
            ("fd00:1::1", 0, unused),
            ("fd00:9::1", 1, unused),
            ("fe80::1", 0, unused),
            ("fe80::1", 1, Verdict::Drop(Reason::EchoChecksum)),
        ] {
            assert_eq!(sent(silent(&[(leg, own)]), &echo(own)).0, verdict, "{own} on leg {leg}");
        }
        // Whose neighbours are told by a slow path leaves it to that.
        let mut told = Resolved::new(1, &[None; 2]);
        told.silence(vec![hop(0, "fd00:1::1"), hop(0, "10.0.0.1")]);
        let told = Arc::new(told);
        let echo4 = ipv4("10.0.0.2", "10.0.0.1", 64, 1, b"\x08\0\0\0\0\x01\0\x02ping");
        for octets in [echo("fd00:1::1"), echo4] {
            let mut worker = router();
            worker.know(told.clone());
            assert_eq!(sent(worker, &octets).0, Verdict::Local);
            let mut asking = router().asking();
            asking.know(told.clone());
            assert_eq!(sent(asking, &octets).0, unused);
        }
        // Who has it is no liar.
        let passed = Verdict::Forward { hop: hop(1, "fd00:9::2"), to: Known::ANYBODY, len: 52 };
        let theirs = udp6("fd00:1::1", "2001:db8::1");
        assert_eq!(sent(silent(&[(0, "fd00:1::1")]), &theirs).0, passed);
        assert_eq!(sent(router(), &theirs).0, Verdict::Drop(Reason::OwnSource));
        // Errors are from another address, and from none if there is none.
        let source = |silent| {
            let nowhere = udp6("fd00:1::2", "fd77::1");
            let (_, emitted) = sent(silent, &nowhere);
            emitted.first().map(|reply| Ipv6::parse(reply).unwrap().source.to_string())
        };
        assert_eq!(source(router()).unwrap(), "fd00:1::1");
        assert_eq!(source(silent(&[(0, "fd00:1::1")])).unwrap(), "fd00:9::1");
        assert_eq!(source(silent(&[(0, "fd00:1::1"), (1, "fd00:9::1")])), None);
    }

    #[test]
    fn large_packet_goes_on_in_fragments_and_the_mtu_itself_is_not_large() {
        let whole = ipv4("10.0.0.2", "172.16.0.1", 64, UDP, &[7; 1380]);
        assert_eq!(
            verdict(&whole),
            Verdict::Forward { hop: hop(1, "10.9.0.2"), to: Known::ANYBODY, len: 1400 }
        );
        let large = ipv4("10.0.0.2", "172.16.0.1", 64, UDP, &[7; 1381]);
        let (verdict, _, emitted) = decide(&large);
        assert_eq!(verdict, Verdict::Fragments { hop: hop(1, "10.9.0.2"), to: Known::ANYBODY });
        let ttls = emitted.iter().map(|part| Ipv4::parse(part).unwrap().ttl);
        assert_eq!(ttls.collect::<Vec<_>>(), [63, 63]);
    }

    #[test]
    fn segments_are_what_the_mtu_is_compared_with() {
        let large = ipv4("10.0.0.2", "172.16.0.1", 64, 6, &[7; 30_000]);
        let unfinished = |largest| PacketMeta { largest, complete: false, group: false };
        let with = |largest| decide_with(&mut router(), &large, unfinished(largest), 0);
        let passed = Verdict::Forward { hop: hop(1, "10.9.0.2"), to: Known::ANYBODY, len: 30_020 };
        assert_eq!(with(1400).0, passed);
        let (verdict, octets, _) = with(1401);
        assert_eq!((verdict, octets), (Verdict::Finish, large.clone()));
        let fixed = changed(large.clone(), 6, &[0x40, 0]);
        let (verdict, ..) = decide_with(&mut router(), &fixed, unfinished(1401), 0);
        assert!(matches!(verdict, Verdict::Reply { reason: Some(Reason::TooBig), .. }));
        // A checksum that is not there yet cannot be cut.
        let large = ipv4("10.0.0.2", "172.16.0.1", 64, UDP, &[7; 1400]);
        let found = decide_with(&mut router(), &large, unfinished(1420), 0);
        assert_eq!(found.0, Verdict::Finish);
    }

    #[test]
    fn flow_has_one_path_and_flows_have_several() {
        let hop = |gateway: &str| NextHop {
            gateway: Some(gateway.parse().unwrap()),
            leg: None,
            weight: 1,
        };
        let kind = Kind::Unicast(vec![hop("10.0.0.8"), hop("10.9.0.2")]);
        let route = Route { prefix: "203.0.113.0/24".parse().unwrap(), metric: 0, kind };
        let mut router = router_of(legs(), &[route]);
        let mut path = |port: u16, field: u16| {
            let mut octets = udp("10.0.0.2", "203.0.113.1");
            octets[20..22].copy_from_slice(&port.to_be_bytes());
            let octets = changed(octets, 6, &field.to_be_bytes());
            match decide_with(&mut router, &octets, PacketMeta::of(&octets), 0).0 {
                Verdict::Forward { hop, .. } => hop.leg.index(),
                other => panic!("{other:?}"),
            }
        };
        let mut counts = [0; 2];
        (0..1000).for_each(|port| counts[path(port, 0)] += 1);
        assert!(counts.iter().all(|count| *count > 400), "{counts:?}");
        assert!((0..100).all(|port| path(port, 0) == path(port, 0)));
        // All parts of a packet go together, whatever stands where ports would be.
        assert!((0..100).all(|port| path(port, 0x2000) == path(0, 0x0010)));
    }

    proptest! {
        #[test]
        fn any_octets_have_a_verdict(octets: Vec<u8>, version in 4..7_u8, leg in 0..2_u16) {
            let mut octets = octets;
            if let Some(first) = octets.first_mut() {
                *first = version << 4 | *first & 0xf;
            }
            let meta = PacketMeta::of(&octets);
            decide_with(&mut router(), &octets, meta, leg);
            if octets.len() >= 20 && version == 4 {
                octets[0] = 0x45 + octets[0] % 3;
                let len = octets.len();
                if len >= usize::from(octets[0] & 0xf) * 4 {
                    decide_with(&mut router(), &sealed(octets), meta, leg);
                }
            }
        }
    }
}

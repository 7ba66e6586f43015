//! What becomes of sound messages: who is heard, who is answered, and who is contradicted.

use std::net::IpAddr;

use super::{
    Neighbours, Standing,
    arp::{self, Operation},
    entry::Heard,
    leg::Leg,
    ndp::{self, Flags},
};
use crate::{
    link::{LinkAddress, Post},
    route::LegId,
    tables::is_link_local,
};

impl Neighbours {
    /// A sound message of ARP (RFC 826, packet reception; RFC 5227, section 2.4).
    pub(super) fn take_arp(&mut self, id: LegId, message: &arp::Message, post: &mut impl Post) {
        let proxied = self.is_proxied(id, message.target.into());
        let (leg, shared) = (&mut self.legs[id.index()], &mut self.shared);
        let source = IpAddr::from(message.source);
        if leg.standing(source).is_some() {
            return leg.conflict(source, message.from, shared, post);
        }
        let own = leg.standing(message.target.into()) == Some(Standing::Preferred);
        let request = message.operation == Operation::Request;
        // Who probes has no address yet (RFC 5227, section 1.1).
        let nobody = message.source.is_unspecified();
        if !nobody {
            let solicited = !request && own;
            let heard = Heard { to: Some(message.from), solicited, overrides: true };
            leg.hear(source, heard, request && own, shared, post);
        }
        let proxied = proxied && !nobody && !message.is_announcement();
        if request && (own || proxied) {
            leg.answer_arp(message, shared, post);
        }
    }

    /// A sound message of neighbour discovery.
    pub(super) fn take_ndp(
        &mut self,
        id: LegId,
        from: LinkAddress,
        message: &ndp::Message,
        post: &mut impl Post,
    ) {
        let target = IpAddr::from(message.target);
        let proxied = self.is_proxied(id, target);
        let (leg, shared) = (&mut self.legs[id.index()], &mut self.shared);
        let standing = leg.standing(target);
        let source = IpAddr::from(message.source);
        if leg.standing(source).is_some() {
            return leg.conflict(source, from, shared, post);
        }
        let Some(flags) = message.flags else {
            let nobody = message.source.is_unspecified();
            if standing == Some(Standing::Tentative) && nobody {
                // RFC 4862, section 5.4.3: two would like to have it, and neither gets it.
                return leg.conflict(target, from, shared, post);
            }
            let own = standing == Some(Standing::Preferred);
            let anycast = standing.is_none() && leg.is_anycast(message.target);
            let answers = own || anycast || proxied && !nobody;
            if message.link.is_some() {
                // RFC 4861, section 7.2.3.
                let heard = Heard { to: message.link, solicited: false, overrides: true };
                leg.hear(source, heard, answers, shared, post);
            }
            if answers {
                // RFC 4861, sections 7.2.7 and 7.2.8: for these another may answer, too.
                let to = message.link.unwrap_or(from);
                leg.answer_ndp(message, to, own, shared, post);
            }
            return;
        };
        if standing.is_some() {
            // RFC 4862, section 5.4.4.
            return leg.conflict(target, from, shared, post);
        }
        let Flags { solicited, overrides, .. } = flags;
        let heard = Heard { to: message.link, solicited, overrides };
        leg.hear(target, heard, false, shared, post);
    }

    /// Whether a leg answers for an address that is on the link of another one.
    fn is_proxied(&self, id: LegId, target: IpAddr) -> bool {
        let near = |leg: &Leg| leg.link.addresses.iter().any(|own| own.prefix.contains(target));
        let leg = &self.legs[id.index()];
        let others = self.legs.iter().enumerate().filter(|(index, _)| *index != id.index());
        leg.link.proxy
            && !is_link_local(target)
            && !near(leg)
            && others.into_iter().any(|(_, other)| near(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        link::{Event, ethertype},
        neighbour::{
            Link, State,
            sample::{
                Sample, advertise, arp_from, arp_reply, arp_request, hop, ip, link, own, solicit,
                station,
            },
            stats::Counter,
        },
    };

    const LOCAL: &str = "fe80::ff:fe00:ff00";

    #[test]
    fn request_is_answered_with_these_octets_and_its_sender_is_known() {
        let mut sample = Sample::new(1);
        // 10.0.0.2 asks for 10.0.0.1, in a frame of 46 octets.
        let mut request = vec![0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 2, 10, 0, 0, 2];
        request.extend([0, 0, 0, 0, 0, 0, 10, 0, 0, 1]);
        request.extend([0xa5; 18]);
        sample.arp(0, &request);
        let reply = [
            0, 1, 8, 0, 6, 4, 0, 2, 2, 0, 0, 0, 0xff, 0, 10, 0, 0, 1, 2, 0, 0, 0, 0, 2, 10, 0, 0, 2,
        ];
        let sent = (LegId(0), station(2), ethertype::ARP, reply.to_vec());
        assert_eq!(sample.post.sent, [sent]);
        let known = sample.find(hop(0, "10.0.0.2")).unwrap();
        assert_eq!((known.state, known.to), (State::Stale, Some(station(2))));
        assert_eq!(sample.count(Counter::ArpTaken), 1);
    }

    #[test]
    fn what_nobody_asked_for_makes_no_neighbour() {
        let mut sample = Sample::new(1);
        let host = (station(2), "10.0.0.2");
        // To others, of itself, to the router but not asked, from beyond the link.
        sample.arp(0, &arp_request(host, "10.0.0.3"));
        sample.arp(0, &arp_request(host, "10.0.0.2"));
        sample.arp(0, &arp_reply(host, "10.0.0.2"));
        sample.arp(0, &arp_reply(host, "10.0.0.1"));
        assert!(sample.sent().is_empty());
        sample.arp(0, &arp_request((station(2), "192.0.2.1"), "10.0.0.1"));
        assert_eq!(sample.sent().len(), 1, "it is answered all the same");
        let nodes = "ff02::1";
        sample.ndp(0, station(2), &advertise("fd00::2", nodes, "O", Some(station(2))));
        sample.ndp(0, station(2), &advertise("fd00::2", "fd00::1", "SO", Some(station(2))));
        sample.ndp(0, station(2), &solicit("fd00::2", "fd00::3", Some(station(2))));
        assert!(sample.sent().is_empty());
        sample.ndp(0, station(2), &solicit("2001:db8::2", "fd00::1", Some(station(2))));
        assert_eq!(sample.neighbours.iter().count(), 0);
        assert_eq!(sample.count(Counter::Unasked), 9);
    }

    #[test]
    fn answers_are_given_for_own_addresses_of_that_leg_and_no_others() {
        let mut sample = Sample::new(2);
        for target in ["10.0.0.1", "10.0.1.1", "10.0.0.9"] {
            sample.arp(0, &arp_request((station(2), "10.0.0.2"), target));
        }
        let reply = "Reply 10.0.0.1 at 02:00:00:00:ff:00 about 10.0.0.2 at 02:00:00:00:00:02";
        assert_eq!(sample.sent(), [format!("0 02:00:00:00:00:02: {reply}")]);
        // A reply asks nothing.
        sample.arp(0, &arp_reply((station(2), "10.0.0.2"), "10.0.0.1"));
        assert!(sample.sent().is_empty());
        for target in ["fd00::1", LOCAL, "fd00:1::1", "fd00::9"] {
            sample.ndp(0, station(2), &solicit("fd00::2", target, Some(station(2))));
        }
        let answer = |own: &str| {
            format!(
                "0 02:00:00:00:00:02: Advert RSO {own} to fd00::2 about {own} at 02:00:00:00:ff:00"
            )
        };
        assert_eq!(sample.sent(), [answer("fd00::1"), answer(LOCAL)]);
        assert_eq!(sample.state(hop(0, "fd00::2")), Some(State::Stale));
        // Without its link-layer address it is answered where its frame came from, and not known.
        sample.ndp(0, station(3), &solicit("fd00::3", "fd00::1", None));
        assert!(sample.sent()[0].starts_with("0 02:00:00:00:00:03: Advert RSO fd00::1 to fd00::3"));
        assert_eq!(sample.state(hop(0, "fd00::3")), None);
    }

    #[test]
    fn who_has_no_address_yet_is_answered_and_not_known() {
        let mut sample = Sample::new(1);
        sample.arp(0, &arp_request((station(2), "0.0.0.0"), "10.0.0.1"));
        let reply = "Reply 10.0.0.1 at 02:00:00:00:ff:00 about 0.0.0.0 at 02:00:00:00:00:02";
        assert_eq!(sample.sent(), [format!("0 02:00:00:00:00:02: {reply}")]);
        sample.ndp(0, station(2), &solicit("::", "fd00::1", None));
        let all = "Advert R-O fd00::1 to ff02::1 about fd00::1 at 02:00:00:00:ff:00";
        assert_eq!(sample.sent(), [format!("0 33:33:00:00:00:01: {all}")]);
        assert_eq!(sample.neighbours.iter().count(), 0);
    }

    #[test]
    fn all_routers_of_a_subnet_have_an_address_that_overrides_nothing() {
        let mut sample = Sample::new(1);
        sample.ndp(0, station(2), &solicit("fd00::2", "fd00::", Some(station(2))));
        let answer = "Advert RS- fd00::1 to fd00::2 about fd00:: at 02:00:00:00:ff:00";
        assert_eq!(sample.sent(), [format!("0 02:00:00:00:00:02: {answer}")]);
    }

    #[test]
    fn reply_to_what_was_asked_makes_it_reachable_of_both_versions() {
        let mut sample = Sample::new(1);
        let (v4, v6) = (hop(0, "10.0.0.2"), hop(0, "fd00::2"));
        sample.need(v4, b"four");
        sample.need(v6, b"six");
        let me = own(0);
        assert_eq!(
            sample.sent(),
            [
                format!(
                    "0 ff:ff:ff:ff:ff:ff: Request 10.0.0.1 at {me} about 10.0.0.2 at \
                     00:00:00:00:00:00"
                ),
                format!(
                    "0 33:33:ff:00:00:02: Solicit fd00::1 to ff02::1:ff00:2 about fd00::2 at {me}"
                ),
            ]
        );
        sample.arp(0, &arp_reply((station(2), "10.0.0.2"), "10.0.0.1"));
        sample.ndp(0, station(3), &advertise("fd00::2", "fd00::1", "SO", Some(station(3))));
        let expected = [
            (v4, station(2), Box::from(*b"four") as Box<[u8]>),
            (v6, station(3), Box::from(*b"six")),
        ];
        assert_eq!(sample.released(), expected);
        for hop in [v4, v6] {
            assert_eq!(sample.state(hop), Some(State::Reachable));
        }
        sample.need(v6, b"more");
        assert_eq!(sample.released(), [(v6, station(3), Box::from(*b"more"))]);
    }

    #[test]
    fn link_local_neighbour_is_asked_from_the_link_local_address() {
        let mut sample = Sample::new(1);
        sample.need(hop(0, "fe80::2"), b"x");
        assert!(sample.sent()[0].contains(&format!("Solicit {LOCAL} to ff02::1:ff00:2")));
    }

    #[test]
    fn announcement_moves_who_is_known_and_a_person_is_told() {
        let mut sample = Sample::new(1);
        let hop = hop(0, "10.0.0.2");
        sample.need(hop, b"x");
        sample.arp(0, &arp_reply((station(2), "10.0.0.2"), "10.0.0.1"));
        // From elsewhere, to all: RFC 826's merge.
        sample.arp(0, &arp_request((station(3), "10.0.0.2"), "10.0.0.2"));
        let known = sample.find(hop).unwrap();
        assert_eq!((known.state, known.to), (State::Stale, Some(station(3))));
        let moved = Event::NeighbourMoved { hop, from: station(2), to: station(3) };
        assert_eq!(sample.post.events, [moved]);
        // Back and forth, and it is told once a second.
        for number in 0..40 {
            sample.arp(0, &arp_request((station(number), "10.0.0.2"), "10.0.0.3"));
            sample.ticks(1);
        }
        assert_eq!(sample.post.events.len(), 4);
        assert_eq!(sample.count(Counter::EventLimited), 37);
    }

    #[test]
    fn own_address_of_another_station_is_told_and_defended_not_too_often() {
        let mut sample = Sample::new(1);
        let (address, with) = (ip("10.0.0.1"), station(6));
        let announce = "Request 10.0.0.1 at 02:00:00:00:ff:00 about 10.0.0.1 at 00:00:00:00:00:00";
        for operation in [Operation::Request, Operation::Reply] {
            sample.arp(0, &arp_from(operation, (with, "10.0.0.1"), "10.0.0.1"));
        }
        let conflict = Event::Conflict { leg: LegId(0), address, with };
        assert_eq!(sample.post.events, [conflict]);
        assert_eq!(sample.sent(), [format!("0 ff:ff:ff:ff:ff:ff: {announce}")]);
        for _ in 0..100 {
            sample.ticks(1);
            sample.arp(0, &arp_request((with, "10.0.0.1"), "10.0.0.5"));
        }
        assert_eq!(sample.post.events.len(), 11);
        assert_eq!(sample.sent().len(), 1);
        assert_eq!(sample.state(hop(0, "10.0.0.1")), None);

        sample.post.events.clear();
        sample.ndp(0, with, &advertise("fd00::1", "ff02::1", "O", Some(with)));
        let conflict = Event::Conflict { leg: LegId(0), address: ip("fd00::1"), with };
        sample.ticks(20);
        sample.ndp(0, with, &solicit("fd00::1", "fd00::7", Some(with)));
        assert_eq!(sample.post.events.last(), Some(&conflict));
        assert_eq!(sample.count(Counter::Conflict), 104);
        assert!(sample.sent()[0].contains("Advert R-O fd00::1 to ff02::1 about fd00::1"));
    }

    #[test]
    fn address_that_somebody_has_is_not_used() {
        let with = station(6);
        let messages = [
            advertise("fd00::1", "ff02::1", "O", Some(with)),
            solicit("::", "fd00::1", None),
            solicit("fd00::1", "fd00::7", Some(with)),
        ];
        for message in messages {
            let neighbours = Neighbours::new(vec![link(0)], 7);
            let mut sample = Sample { neighbours, post: Default::default(), now: 0 };
            sample.ticks(5);
            // It is not answered for yet.
            sample.ndp(0, station(2), &solicit("fd00::2", "fd00::1", Some(station(2))));
            assert_eq!(sample.count(Counter::Answered), 0);
            sample.ndp(0, with, &message);
            let (leg, address) = (LegId(0), ip("fd00::1"));
            assert_eq!(sample.post.events, [Event::Duplicate { leg, address, with }]);
            sample.ticks(100);
            sample.sent();
            sample.ndp(0, station(2), &solicit("fd00::2", "fd00::1", Some(station(2))));
            assert!(sample.sent().is_empty());
            let standings: Vec<_> = sample.neighbours.own().map(|(.., s)| s).collect();
            use Standing::{Duplicate, Preferred};
            assert_eq!(standings, [Preferred, Duplicate, Preferred]);
            // What has to be asked is asked from another address.
            sample.need(hop(0, "fd00::9"), b"x");
            assert!(sample.sent()[0].contains(&format!("Solicit {LOCAL} to")));
        }
    }

    #[test]
    fn own_messages_that_come_back_are_not_heard() {
        let neighbours = Neighbours::new(vec![link(0)], 7);
        let mut sample = Sample { neighbours, post: Default::default(), now: 0 };
        sample.ticks(40);
        for (leg, _, kind, octets) in std::mem::take(&mut sample.post.sent) {
            match kind {
                ethertype::ARP => sample.arp(leg.0, &octets),
                _ => sample.ndp(leg.0, own(0), &octets),
            }
        }
        assert_eq!(sample.count(Counter::LinkOwn), 8);
        assert!(sample.post.events.is_empty() && sample.post.sent.is_empty());
    }

    #[test]
    fn proxy_answers_for_the_links_of_other_legs_and_overrides_nothing() {
        let mut sample = Sample::of(vec![Link { proxy: true, ..link(0) }, link(1)]);
        let host = (station(2), "10.0.0.2");
        for target in ["10.0.1.7", "10.0.0.7", "10.0.7.7"] {
            sample.arp(0, &arp_request(host, target));
        }
        // A probe and an announcement ask for nobody else.
        sample.arp(0, &arp_request((station(2), "0.0.0.0"), "10.0.1.7"));
        sample.arp(0, &arp_request((station(2), "10.0.1.7"), "10.0.1.7"));
        let reply = "Reply 10.0.1.7 at 02:00:00:00:ff:00 about 10.0.0.2 at 02:00:00:00:00:02";
        assert_eq!(sample.sent(), [format!("0 02:00:00:00:00:02: {reply}")]);
        for target in ["fd00:1::7", "fd00::7", "fe80::7"] {
            sample.ndp(0, station(2), &solicit("fd00::2", target, Some(station(2))));
        }
        sample.ndp(0, station(2), &solicit("::", "fd00:1::7", None));
        let answer = "Advert RS- fd00::1 to fd00::2 about fd00:1::7 at 02:00:00:00:ff:00";
        assert_eq!(sample.sent(), [format!("0 02:00:00:00:00:02: {answer}")]);
        // The other leg is no proxy.
        sample.arp(1, &arp_request((station(3), "10.0.1.3"), "10.0.0.7"));
        assert!(sample.sent().is_empty());
    }

    #[test]
    fn unsound_messages_are_counted_and_change_nothing() {
        let mut sample = Sample::new(1);
        sample.arp(0, &[0; 27]);
        sample.ndp(0, station(2), &[0x60; 39]);
        sample.ndp(0, LinkAddress::BROADCAST, &solicit("fd00::2", "fd00::1", None));
        let counts = [Counter::ArpMalformed, Counter::NdMalformed, Counter::NdSource]
            .map(|counter| sample.count(counter));
        assert_eq!(counts, [1; 3]);
        assert!(sample.post.sent.is_empty());
        let taken = [Counter::ArpTaken, Counter::NdTaken].map(|counter| sample.count(counter));
        assert_eq!(taken, [0; 2]);
    }
}

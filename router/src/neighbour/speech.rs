//! What a leg says of itself on its link: answers, announcements, questions about its own
//! addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{
    arp::{self, Operation},
    leg::{Leg, Shared},
    ndp::{self, Flags},
    stats::Counter,
};
use crate::link::{LinkAddress, Post, ethertype};

impl Leg {
    pub(super) fn send_arp(
        &self,
        operation: Operation,
        source: Ipv4Addr,
        (to, target): (LinkAddress, Ipv4Addr),
        station: LinkAddress,
        post: &mut impl Post,
    ) {
        let message = arp::Message { operation, from: self.link.own, source, to, target };
        post.send(self.id, station, ethertype::ARP, &message.emit());
    }

    /// Answers a request for an address that is the router's, or that it is proxy for.
    pub(super) fn answer_arp(
        &self,
        request: &arp::Message,
        shared: &mut Shared,
        post: &mut impl Post,
    ) {
        shared.stats.count(Counter::Answered);
        let to = (request.from, request.source);
        self.send_arp(Operation::Reply, request.target, to, request.from, post);
    }

    /// The same for a solicitation. `to`: who asked.
    pub(super) fn answer_ndp(
        &self,
        solicitation: &ndp::Message,
        to: LinkAddress,
        overrides: bool,
        shared: &mut Shared,
        post: &mut impl Post,
    ) {
        // RFC 4861, section 7.2.4: who has no address yet is told with all others.
        let nobody = solicitation.source.is_unspecified();
        let flags = Flags { router: true, solicited: !nobody, overrides };
        let (destination, to) = match nobody {
            true => (ndp::ALL_NODES, LinkAddress::of_group_v6(ndp::ALL_NODES)),
            false => (solicitation.source, to),
        };
        let source = self.source(solicitation.target.into());
        let source = match self.standing(solicitation.target.into()) {
            Some(_) => Some(solicitation.target),
            None => source.and_then(|source| match source {
                IpAddr::V6(source) => Some(source),
                IpAddr::V4(_) => None,
            }),
        };
        let Some(source) = source else { return };
        shared.stats.count(Counter::Answered);
        let (target, link) = (solicitation.target, Some(self.link.own));
        let message = ndp::Message { source, destination, target, link, flags: Some(flags) };
        post.send(self.id, to, ethertype::IPV6, &message.emit());
    }

    /// Says to all that an address is the router's (RFC 5227, section 2.3; RFC 4861, section
    /// 7.2.6).
    pub(super) fn announce(&mut self, address: IpAddr, shared: &mut Shared, post: &mut impl Post) {
        shared.stats.count(Counter::Announced);
        match address {
            IpAddr::V4(own) => {
                let all = LinkAddress::BROADCAST;
                self.send_arp(Operation::Request, own, (LinkAddress::NULL, own), all, post);
            }
            IpAddr::V6(own) => {
                let flags = Some(Flags { router: true, solicited: false, overrides: true });
                let (destination, link) = (ndp::ALL_NODES, Some(self.link.own));
                let message = ndp::Message { source: own, destination, target: own, link, flags };
                let to = LinkAddress::of_group_v6(destination);
                post.send(self.id, to, ethertype::IPV6, &message.emit());
            }
        }
    }

    /// Asks whether somebody has an address that the router would like to have (RFC 4862, section
    /// 5.4.2).
    pub(super) fn ask_if_free(
        &mut self,
        address: IpAddr,
        shared: &mut Shared,
        post: &mut impl Post,
    ) {
        let IpAddr::V6(target) = address else { return };
        shared.stats.count(Counter::Announced);
        let (source, destination) = (Ipv6Addr::UNSPECIFIED, ndp::group(target));
        let message = ndp::Message { source, destination, target, link: None, flags: None };
        let to = LinkAddress::of_group_v6(destination);
        post.send(self.id, to, ethertype::IPV6, &message.emit());
    }
}

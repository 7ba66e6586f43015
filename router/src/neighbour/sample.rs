//! A link with two hosts, the messages that they send, and a post that keeps all, for tests.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Link, Neighbour, Neighbours, State, arp, ndp, stats::Counter};
use crate::{
    limit::Tick,
    link::{Event, LinkAddress, Post, ethertype},
    route::{Hop, LegId},
};

/// Keeps all that it was told.
#[derive(Debug, Default)]
pub(super) struct Posted {
    pub sent: Vec<(LegId, LinkAddress, u16, Vec<u8>)>,
    pub released: Vec<(Hop, LinkAddress, Box<[u8]>)>,
    pub failed: Vec<(Hop, Box<[u8]>)>,
    pub events: Vec<Event>,
}

impl Post for Posted {
    fn send(&mut self, leg: LegId, to: LinkAddress, ethertype: u16, payload: &[u8]) {
        self.sent.push((leg, to, ethertype, payload.to_vec()));
    }
    fn release(&mut self, hop: Hop, to: LinkAddress, held: Box<[u8]>) {
        self.released.push((hop, to, held));
    }
    fn fail(&mut self, hop: Hop, held: Box<[u8]>) {
        self.failed.push((hop, held));
    }
    fn event(&mut self, event: Event) {
        self.events.push(event);
    }
}

/// What was sent, in words.
pub(super) fn words(sent: &[(LegId, LinkAddress, u16, Vec<u8>)]) -> Vec<String> {
    let line = |(leg, to, kind, octets): &(LegId, LinkAddress, u16, Vec<u8>)| {
        let what = match *kind {
            ethertype::ARP => {
                let message = arp::Message::parse(octets).unwrap();
                let arp::Message { operation, from, source, to, target } = message;
                format!("{operation:?} {source} at {from} about {target} at {to}")
            }
            _ => {
                let message = ndp::Message::parse(octets).unwrap();
                let ndp::Message { source, destination, target, link, flags } = message;
                let link = link.map_or("nowhere".to_owned(), |link| link.to_string());
                let kind = match flags {
                    None => "Solicit".to_owned(),
                    Some(f) => {
                        let letters =
                            [(f.router, 'R'), (f.solicited, 'S'), (f.overrides, 'O')].into_iter();
                        letters.fold("Advert ".to_owned(), |mut text, (set, letter)| {
                            text.push(if set { letter } else { '-' });
                            text
                        })
                    }
                };
                format!("{kind} {source} to {destination} about {target} at {link}")
            }
        };
        format!("{} {to}: {what}", leg.0)
    };
    sent.iter().map(line).collect()
}

/// The link-layer address of the host of this number.
pub(super) fn station(number: u8) -> LinkAddress {
    LinkAddress([2, 0, 0, 0, 0, number])
}

/// That of the router's leg of this number.
pub(super) fn own(leg: u8) -> LinkAddress {
    LinkAddress([2, 0, 0, 0, 0xff, leg])
}

/// 10.0.LEG.1/24 and fd00:LEG::1/64.
pub(super) fn link(leg: u8) -> Link {
    let addresses = [format!("10.0.{leg}.1/24"), format!("fd00:{leg}::1/64")];
    Link::new(own(leg), addresses.map(|text| text.parse().unwrap()).to_vec())
}

pub(super) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(super) fn hop(leg: u16, address: &str) -> Hop {
    Hop { leg: LegId(leg), address: ip(address) }
}

/// A message of ARP from a host, about an address.
pub(super) fn arp_from(
    operation: arp::Operation,
    (from, source): (LinkAddress, &str),
    target: &str,
) -> Vec<u8> {
    let [source, target] = [source, target].map(|text| text.parse::<Ipv4Addr>().unwrap());
    arp::Message { operation, from, source, to: LinkAddress::NULL, target }.emit().to_vec()
}

pub(super) fn arp_request(from: (LinkAddress, &str), target: &str) -> Vec<u8> {
    arp_from(arp::Operation::Request, from, target)
}

pub(super) fn arp_reply(from: (LinkAddress, &str), target: &str) -> Vec<u8> {
    arp_from(arp::Operation::Reply, from, target)
}

/// A solicitation for an address, to its group.
pub(super) fn solicit(source: &str, target: &str, link: Option<LinkAddress>) -> Vec<u8> {
    let [source, target] = [source, target].map(|text| text.parse::<Ipv6Addr>().unwrap());
    let destination = ndp::group(target);
    ndp::Message { source, destination, target, link, flags: None }.emit()
}

/// An advertisement of an address: `flags` are some of R, S and O.
pub(super) fn advertise(
    target: &str,
    destination: &str,
    flags: &str,
    link: Option<LinkAddress>,
) -> Vec<u8> {
    let [target, destination] = [target, destination].map(|text| text.parse().unwrap());
    let [router, solicited, overrides] = ['R', 'S', 'O'].map(|letter| flags.contains(letter));
    let flags = Some(ndp::Flags { router, solicited, overrides });
    ndp::Message { source: target, destination, target, link, flags }.emit()
}

/// Neighbours, a post, and a clock.
pub(super) struct Sample {
    pub neighbours: Neighbours,
    pub post: Posted,
    pub now: u32,
}

impl Sample {
    /// So many legs, whose own addresses are announced and can be used.
    pub fn new(legs: u8) -> Sample {
        Sample::of((0..legs).map(link).collect())
    }

    pub fn of(links: Vec<Link>) -> Sample {
        let neighbours = Neighbours::new(links, 7);
        let mut sample = Sample { neighbours, post: Posted::default(), now: 100 };
        sample.ticks(40);
        sample.post = Posted::default();
        sample
    }

    pub fn ticks(&mut self, ticks: u32) {
        for _ in 0..ticks {
            self.now += 1;
            self.neighbours.tick(Tick(self.now), &mut self.post);
        }
    }

    pub fn arp(&mut self, leg: u16, octets: &[u8]) {
        self.neighbours.arp(LegId(leg), octets, Tick(self.now), &mut self.post);
    }

    pub fn ndp(&mut self, leg: u16, from: LinkAddress, octets: &[u8]) {
        self.neighbours.ndp(LegId(leg), from, octets, Tick(self.now), &mut self.post);
    }

    pub fn need(&mut self, hop: Hop, packet: &[u8]) {
        self.neighbours.need(hop, packet.into(), Tick(self.now), &mut self.post);
    }

    /// What was sent since the last look.
    pub fn sent(&mut self) -> Vec<String> {
        words(&std::mem::take(&mut self.post.sent))
    }

    pub fn released(&mut self) -> Vec<(Hop, LinkAddress, Box<[u8]>)> {
        std::mem::take(&mut self.post.released)
    }

    pub fn find(&self, hop: Hop) -> Option<Neighbour> {
        self.neighbours.iter().find(|neighbour| neighbour.hop == hop)
    }

    pub fn state(&self, hop: Hop) -> Option<State> {
        self.find(hop).map(|neighbour| neighbour.state)
    }

    pub fn count(&self, counter: Counter) -> u64 {
        self.neighbours.stats().get(counter)
    }
}

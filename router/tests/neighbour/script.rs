//! What happens to the router, drawn at random: needs, messages of hosts, time, and what a person
//! does.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::{collection::vec, prelude::*};
use smoltcp::wire::ArpOperation;
use uswitch_router::{
    link::LinkAddress,
    route::{Hop, LegId},
};

use crate::wire::{self, ALL_NODES};

pub const LEGS: usize = 3;
const HOSTS: u8 = 6;

/// One of the hosts of a leg, of either version.
#[derive(Clone, Copy, Debug)]
pub struct Host {
    pub leg: usize,
    pub v6: bool,
    pub number: u8,
}

impl Host {
    pub fn address(self) -> IpAddr {
        let leg = self.leg as u8;
        match self.v6 {
            false => [10, 0, leg, self.number + 2].into(),
            true => {
                Ipv6Addr::new(0xfd00, leg.into(), 0, 0, 0, 0, 0, u16::from(self.number) + 2).into()
            }
        }
    }

    /// The router's address on its link.
    pub fn router(self) -> IpAddr {
        let leg = self.leg as u8;
        match self.v6 {
            false => [10, 0, leg, 1].into(),
            true => Ipv6Addr::new(0xfd00, leg.into(), 0, 0, 0, 0, 0, 1).into(),
        }
    }

    pub fn hop(self) -> Hop {
        Hop { leg: LegId(self.leg as u16), address: self.address() }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// It answers the router.
    Answer,
    /// It says to all where it is, now.
    Announce,
    /// It says so to all, but it may be wrong. (ARP cannot say that: it is not sent.)
    Weak,
    /// It asks for the router.
    Ask,
    /// It asks for somebody else.
    Other,
}

#[derive(Clone, Debug)]
pub enum Step {
    Need(Host),
    Used(Host),
    Hear(Host, Message, u8),
    Ticks(u64),
    Enter(Host, u8),
    Remove(Host),
    Flush(usize),
    Noise(usize, Vec<u8>),
}

pub fn host() -> impl Strategy<Value = Host> {
    (0..LEGS, any::<bool>(), 0..HOSTS).prop_map(|(leg, v6, number)| Host { leg, v6, number })
}

/// One step.
pub fn step() -> impl Strategy<Value = Step> {
    use Message::{Announce, Answer, Ask, Other, Weak};
    let message = proptest::sample::select(vec![Answer, Answer, Announce, Weak, Ask, Other]);
    prop_oneof![
        8 => host().prop_map(Step::Need),
        2 => host().prop_map(Step::Used),
        12 => (host(), message, 0..3_u8).prop_map(|(host, what, at)| Step::Hear(host, what, at)),
        6 => prop_oneof![1..12_u64, 25..35_u64, 40..90_u64, 140..500_u64].prop_map(Step::Ticks),
        1 => (host(), 0..3_u8).prop_map(|(host, at)| Step::Enter(host, at)),
        1 => host().prop_map(Step::Remove),
        1 => (0..LEGS).prop_map(Step::Flush),
        1 => (0..LEGS, vec(any::<u8>(), 0..80)).prop_map(|(leg, noise)| Step::Noise(leg, noise)),
    ]
}

pub fn station(number: u8) -> LinkAddress {
    LinkAddress([2, 0, 0, 0, 1, number])
}

pub fn own(leg: usize) -> LinkAddress {
    LinkAddress([2, 0, 0, 0, 0xff, leg as u8])
}

/// Octets of a message.
pub fn octets(host: Host, message: Message, from: LinkAddress) -> Option<Vec<u8>> {
    let v4 = |target: IpAddr, operation| match (host.address(), target) {
        (IpAddr::V4(source), IpAddr::V4(target)) => wire::arp(operation, from, source, target),
        _ => unreachable!("of one version"),
    };
    let other = Ipv4Addr::new(10, 0, host.leg as u8, 77).into();
    if !host.v6 {
        return Some(match message {
            Message::Answer => v4(host.router(), ArpOperation::Reply),
            Message::Announce => v4(host.address(), ArpOperation::Request),
            Message::Ask => v4(host.router(), ArpOperation::Request),
            Message::Other => v4(other, ArpOperation::Request),
            Message::Weak => return None,
        });
    }
    let (IpAddr::V6(address), IpAddr::V6(router)) = (host.address(), host.router()) else {
        unreachable!("it is of IPv6")
    };
    Some(match message {
        Message::Answer => wire::advertise(from, address, router, true),
        Message::Announce => wire::advertise(from, address, ALL_NODES, true),
        Message::Weak => wire::advertise(from, address, ALL_NODES, false),
        Message::Ask => wire::solicit(from, address, router),
        Message::Other => wire::solicit(from, address, "fd00::77".parse().unwrap()),
    })
}

//! Any messages of ARP and neighbour discovery, needs and time, on two legs with few places.
//! Nothing panics, nothing grows beyond its bounds, every packet is accounted for, what is taken
//! smoltcp takes too, and what is sent it can read.
//!
//! An input is records: what happens, a number, the octets that follow, and those. A message of
//! neighbour discovery gets its checksum here: no mutation would find it.
#![no_main]

use std::net::{IpAddr, Ipv6Addr};

use libfuzzer_sys::fuzz_target;
use smoltcp::{
    phy::ChecksumCapabilities,
    wire::{ArpPacket, ArpRepr, Icmpv6Packet, Icmpv6Repr, Ipv6Packet, Ipv6Repr},
};
use uswitch_router::{
    limit::Tick,
    link::{Event, LinkAddress, Post, ethertype},
    neighbour::{Link, Neighbours, stats::Counter},
    packet::checksum_icmpv6,
    route::{Hop, LegId},
};

const LEGS: u8 = 2;
const QUOTA: usize = 8;
const RECORDS_MAX: usize = 256;

fuzz_target!(|input: &[u8]| {
    let link = |leg: u8| {
        let texts = [format!("10.0.{leg}.1/24"), format!("fd00:{leg}::1/64")];
        let addresses = texts.map(|text| text.parse().expect("it is one")).to_vec();
        let own = LinkAddress([2, 0, 0, 0, 0xff, leg]);
        Link { quota: QUOTA, proxy: leg == 1, ..Link::new(own, addresses) }
    };
    let mut run = Run {
        neighbours: Neighbours::new((0..LEGS).map(link).collect(), 1),
        now: 0,
        needs: 0,
        packet: Vec::new(),
    };
    let mut rest = input;
    for _ in 0..RECORDS_MAX {
        let [kind, number, len, octets @ ..] = rest else { break };
        let (octets, behind) = octets.split_at(octets.len().min(usize::from(*len)));
        run.step(*kind, *number, octets);
        run.check();
        rest = behind;
    }
});

struct Run {
    neighbours: Neighbours,
    now: u32,
    needs: u64,
    packet: Vec<u8>,
}

impl Run {
    fn step(&mut self, kind: u8, number: u8, octets: &[u8]) {
        let leg = LegId(u16::from(number % LEGS));
        let now = Tick(self.now);
        let hop = Hop { leg, address: address(number) };
        let from = LinkAddress::read(octets).unwrap_or(LinkAddress([2, 0, 0, 0, 0, 7]));
        let before = *self.neighbours.stats();
        let taken = |neighbours: &Neighbours, counter: Counter| {
            neighbours.stats().get(counter) > before.get(counter)
        };
        match kind % 8 {
            0 | 1 => {
                self.neighbours.arp(leg, octets, now, &mut Reader);
                assert!(!taken(&self.neighbours, Counter::ArpTaken) || is_arp(octets));
            }
            2 | 3 => {
                self.seal(octets);
                self.neighbours.ndp(leg, from, &self.packet, now, &mut Reader);
                assert!(!taken(&self.neighbours, Counter::NdTaken) || is_ndp(&self.packet));
            }
            4 => {
                self.neighbours.need(hop, octets.into(), now, &mut Reader);
                self.needs += 1;
            }
            5 => self.neighbours.used(hop, now),
            6 => {
                for _ in 0..number {
                    self.now += 1;
                    self.neighbours.tick(Tick(self.now), &mut Reader);
                }
            }
            _ if number < 128 => drop(self.neighbours.add_static(hop, from)),
            _ if number < 192 => drop(self.neighbours.remove(hop)),
            _ => drop(self.neighbours.flush((number < 224).then_some(leg))),
        }
    }

    /// A packet whose checksum, length and hop limit are right, if there is room for them.
    fn seal(&mut self, octets: &[u8]) {
        self.packet = octets.to_vec();
        let Some((header, message)) = self.packet.split_at_mut_checked(40) else { return };
        if message.len() < 8 {
            return;
        }
        header[0] = 0x60;
        header[4..8].copy_from_slice(&[0, message.len() as u8, 58, 255]);
        let address = |at: usize| {
            Ipv6Addr::from(*header[at..].first_chunk::<16>().expect("16 octets are there"))
        };
        message[2..4].fill(0);
        let check = checksum_icmpv6(address(8), address(24), message);
        message[2..4].copy_from_slice(&check.to_be_bytes());
    }

    fn check(&mut self) {
        let count = |leg: u8| {
            let of = self.neighbours.iter().filter(|n| n.hop.leg == LegId(u16::from(leg)));
            of.filter(|n| n.state.name() != "PERMANENT").count()
        };
        assert!((0..LEGS).all(|leg| count(leg) <= QUOTA));
        let held = self.neighbours.iter().map(|n| n.held).sum::<usize>();
        assert!(self.neighbours.iter().all(|n| n.held <= 3));
        let ended = [
            Counter::HeldReleased,
            Counter::HeldFailed,
            Counter::HeldFull,
            Counter::HeldLost,
            Counter::AskLimited,
            Counter::NeighbourFull,
        ];
        let ended = ended.iter().map(|counter| self.neighbours.stats().get(*counter));
        assert_eq!(ended.sum::<u64>() + held as u64, self.needs);
        if let Some(table) = self.neighbours.resolved() {
            for neighbour in self.neighbours.iter() {
                assert_eq!(table.get(neighbour.hop).map(|known| known.to), neighbour.to);
            }
        }
    }
}

/// Some of both versions, and a few that nobody has.
fn address(number: u8) -> IpAddr {
    match number % 4 {
        0 | 1 => [10, 0, number % LEGS, number / 4].into(),
        2 => Ipv6Addr::new(0xfd00, u16::from(number % LEGS), 0, 0, 0, 0, 0, u16::from(number / 4))
            .into(),
        _ => Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, u16::from(number)).into(),
    }
}

fn is_arp(octets: &[u8]) -> bool {
    ArpPacket::new_checked(octets).is_ok_and(|packet| ArpRepr::parse(&packet).is_ok())
}

fn is_ndp(octets: &[u8]) -> bool {
    let Ok(packet) = Ipv6Packet::new_checked(octets) else { return false };
    let Ok(header) = Ipv6Repr::parse(&packet) else { return false };
    let (source, destination) = (header.src_addr, header.dst_addr);
    Icmpv6Packet::new_checked(packet.payload()).is_ok_and(|icmp| {
        let caps = ChecksumCapabilities::default();
        Icmpv6Repr::parse(&source, &destination, &icmp, &caps).is_ok()
    })
}

/// Reads what the router says.
struct Reader;

impl Post for Reader {
    fn send(&mut self, leg: LegId, to: LinkAddress, kind: u16, payload: &[u8]) {
        assert!(leg.0 < u16::from(LEGS) && to != LinkAddress::NULL);
        assert!(if kind == ethertype::ARP { is_arp(payload) } else { is_ndp(payload) });
    }
    fn release(&mut self, _: Hop, to: LinkAddress, _: Box<[u8]>) {
        assert_ne!(to, LinkAddress::NULL);
    }
    fn fail(&mut self, _: Hop, _: Box<[u8]>) {}
    fn event(&mut self, event: Event) {
        assert!(!event.to_string().is_empty());
    }
}

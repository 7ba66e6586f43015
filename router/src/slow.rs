//! The slow path: a whole router, behind the workers that are its fast path. It gets the frames
//! that no worker could send on at once, and all that is said to the router itself. It has no
//! hands either: frames and the time go in, frames come out by a [`Wire`].
//!
//! ```text
//! ARP, neighbour discovery          neighbour.rs   who is where, and are we unique
//! a packet that goes on             forward.rs     then neighbour.rs, which holds it if it must
//! a packet for the router itself    own.rs         echo was answered by forward.rs
//! router solicitations              advertise.rs
//! ```

mod held;

use std::{
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
};

use crate::{
    advertise::{AdvertiseConfig, Advertiser},
    forward::{Arrival, Emit, Router, Verdict},
    limit::Tick,
    link::{Event, LinkAddress, Post, ethertype},
    neighbour::{Link, Neighbours, resolved::Resolved, stats::Counter},
    own::Own,
    packet::{IPV6_HEADER_LEN, Ipv4, Ipv6, PacketMeta, protocol},
    route::{Hop, LegId},
    stats::Reason,
    tables::Tables,
    totals::{Count, Totals},
};
pub use held::LEAD_MAX;

use held::Held;

/// Packets that the router makes of one: fragments of the largest, on the smallest link of IPv6.
const MADE_MAX: usize = 64;
/// Hops of messages that no router lets pass (RFC 4861, section 7.1).
const HOP_LIMIT_LINK: u8 = 255;
/// Types of ICMPv6 for the link alone: solicitations, advertisements and redirects of RFC 4861.
const DISCOVERY: std::ops::RangeInclusive<u8> = 133..=137;
/// That of a router solicitation (RFC 4861, section 4.1).
const SOLICITATION: u8 = 133;

/// How the slow path says something. Its caller supplies it.
pub trait Wire {
    /// A packet for the link of this leg, from the leg's own link-layer address. `lead` is what the
    /// caller gave along with the packet; empty: the router itself has made it, and it is complete.
    /// `false`: there is no room for it.
    fn send(&mut self, leg: LegId, lead: &[u8], to: LinkAddress, kind: u16, packet: &[u8]) -> bool;

    /// Something that a person wants to hear of.
    fn event(&mut self, event: Event);
}

/// A frame that came by a leg.
#[derive(Debug)]
pub struct Heard<'a> {
    /// By which.
    pub leg: LegId,
    /// From whom on the link.
    pub from: LinkAddress,
    /// What the payload is: see [`ethertype`].
    pub kind: u16,
    /// What goes along with it if it goes on: [`LEAD_MAX`] octets at the most.
    pub lead: &'a [u8],
    /// The payload. It may be written to.
    pub payload: &'a mut [u8],
    /// What else is known of it.
    pub meta: PacketMeta,
}

/// What the caller has to do about a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing.
    Done,
    /// To complete its checksum, cut it, and come again with each part, by [`Slow::hear_part`]. It
    /// is unchanged.
    Finish,
}

/// The slow path.
pub struct Slow {
    router: Router,
    neighbours: Neighbours,
    own: Own,
    /// By leg, with the link-local address from which it speaks.
    advertisers: Vec<Option<(Ipv6Addr, Advertiser)>>,
    /// The changes of standings that its own router knows of.
    standings: u64,
    seed: u64,
    made: Made,
    /// Packets whose neighbour does not answer.
    failed: Vec<(Hop, Box<[u8]>)>,
    counts: Counts,
}

/// What is counted here and nowhere else.
#[derive(Clone, Copy, Default)]
struct Counts {
    cut: u64,
    parts: u64,
    solicited: u64,
    foreign: u64,
    /// Packets of the router's own.
    said: u64,
    /// Messages of ARP and neighbour discovery that were sent.
    messages: u64,
    /// Packets for which a wire had no room.
    full: u64,
}

impl Slow {
    /// A router on these links, one for each leg of the tables. The seed is a secret.
    ///
    /// # Panics
    ///
    /// If there are not as many links as legs.
    pub fn new(tables: Arc<Tables>, links: Vec<Link>, seed: u64) -> Slow {
        Slow::of_flows(tables, links, seed, seed)
    }

    /// The same behind workers: `flows` is their seed, so that a flow of which one packet waits
    /// here has the same path as the rest of it.
    ///
    /// # Panics
    ///
    /// As [`Slow::new`].
    pub fn of_flows(tables: Arc<Tables>, links: Vec<Link>, seed: u64, flows: u64) -> Slow {
        assert_eq!(tables.legs().len(), links.len(), "a link for each leg");
        Slow {
            own: Own::new(tables.clone(), seed),
            router: Router::new(tables, flows),
            neighbours: Neighbours::new(links, seed),
            advertisers: Vec::new(),
            standings: 0,
            seed,
            made: Made::default(),
            failed: Vec::new(),
            counts: Counts::default(),
        }
    }

    /// Goes on with other tables and links; see [`Neighbours::swap`].
    ///
    /// # Panics
    ///
    /// As [`Slow::new`].
    pub fn swap(&mut self, tables: Arc<Tables>, links: Vec<Link>) {
        assert_eq!(tables.legs().len(), links.len(), "a link for each leg");
        self.own = Own::new(tables.clone(), self.seed);
        self.router.swap(tables);
        let moved = self.neighbours.swap(links);
        for held in self.neighbours.held_mut() {
            held::renumber(held, &moved);
        }
    }

    /// From now on hosts are told this on the legs; who was told something else before hears that
    /// it is over. What is wrong with a configuration has been seen before: such a leg is silent.
    pub fn advertise(&mut self, configs: &[Option<AdvertiseConfig>], wire: &mut impl Wire) {
        self.cease(wire);
        let mut own = vec![None; configs.len()];
        for (leg, address, _) in self.neighbours.own() {
            if let (IpAddr::V6(address), Some(own)) = (address.address, own.get_mut(leg.index()))
                && address.is_unicast_link_local()
            {
                *own = Some(address);
            }
        }
        let legs = (0..).map(LegId).zip(configs).zip(own);
        let advertiser = |((leg, config), own): ((LegId, &Option<AdvertiseConfig>), _)| {
            let link = self.neighbours.link(leg)?;
            let seed = self.seed ^ u64::from(leg.0);
            let advertiser = Advertiser::new(leg, config.as_ref()?, link, own?, seed).ok()?;
            Some((own?, advertiser))
        };
        self.advertisers = legs.map(advertiser).collect();
    }

    /// Says on all legs that this is no default router any more (RFC 4861, section 6.2.5).
    pub fn cease(&mut self, wire: &mut impl Wire) {
        self.look_at_own();
        let used =
            |(leg, own): (LegId, Ipv6Addr)| self.router.neighbours().is_used(leg, own.into());
        let (failed, counts) = (&mut self.failed, &mut self.counts);
        let mut saying = Saying { wire, failed, counts };
        for (leg, advertiser) in (0..).map(LegId).zip(&mut self.advertisers) {
            if let Some((own, advertiser)) = advertiser
                && used((leg, *own))
            {
                advertiser.cease(&mut saying);
            }
        }
    }

    /// Does with a frame what is to be done.
    pub fn hear(&mut self, heard: Heard<'_>, now: Tick, wire: &mut impl Wire) -> Outcome {
        let outcome = self.hear_before(heard, now, wire);
        self.counts.cut += u64::from(outcome == Outcome::Finish);
        outcome
    }

    /// The same with a part of a frame that was to be finished. If that is to be finished, too, it
    /// never will be.
    pub fn hear_part(&mut self, heard: Heard<'_>, now: Tick, wire: &mut impl Wire) {
        match self.hear_before(heard, now, wire) {
            Outcome::Done => self.counts.parts += 1,
            Outcome::Finish => self.unfinishable(),
        }
    }

    /// A frame was to be finished, and cannot be.
    pub fn unfinishable(&mut self) {
        self.counts.parts += 1;
        self.router.stats_mut().drop(Reason::Unfinishable);
    }

    fn hear_before(&mut self, heard: Heard<'_>, now: Tick, wire: &mut impl Wire) -> Outcome {
        let Heard { leg, from, kind, payload, .. } = &heard;
        let (failed, counts) = (&mut self.failed, &mut self.counts);
        let mut saying = Saying { wire, failed, counts };
        match *kind {
            ethertype::ARP => self.neighbours.arp(*leg, payload, now, &mut saying),
            ethertype::IPV6
                if is_discovery(payload) && payload[IPV6_HEADER_LEN] == SOLICITATION =>
            {
                saying.counts.solicited += 1;
                if let Some(Some((_, advertiser))) = self.advertisers.get_mut(leg.index()) {
                    advertiser.solicit(payload, now);
                }
            }
            ethertype::IPV6 if is_discovery(payload) => {
                self.neighbours.ndp(*leg, *from, payload, now, &mut saying);
            }
            ethertype::IPV4 | ethertype::IPV6 => return self.packet(heard, now, wire),
            // No other protocol has a business with a router of IP.
            _ => saying.counts.foreign += 1,
        }
        self.tell_failed(now, wire);
        Outcome::Done
    }

    /// Its own router knows everybody, and which of its addresses are used.
    fn look_at_own(&mut self) {
        if self.standings != self.neighbours.standings() {
            self.standings = self.neighbours.standings();
            let mut all = Resolved::any();
            all.silence(self.neighbours.silent());
            self.router.know(Arc::new(all));
        }
    }

    /// A packet goes on, or is answered.
    fn packet(&mut self, heard: Heard<'_>, now: Tick, wire: &mut impl Wire) -> Outcome {
        self.look_at_own();
        let Heard { leg, lead, payload, meta, .. } = heard;
        let place = self.router.place(payload);
        let mut arrival = Arrival { octets: payload, leg, meta };
        self.made.0.clear();
        match self.router.decide(&mut arrival, place, now, &mut self.made) {
            Verdict::Forward { hop, len, .. } => {
                let held = Held { came: Some(leg), lead, packet: &payload[..len] };
                self.give(hop, held.emit(), now, wire);
            }
            Verdict::Redirect { hop, len, sender, .. } => {
                let held = Held { came: Some(leg), lead, packet: &payload[..len] }.emit();
                self.give_made(sender, None, now, wire);
                self.give(hop, held, now, wire);
            }
            Verdict::Reply { hop, .. } => self.give_made(hop, None, now, wire),
            Verdict::Fragments { hop, .. } => self.give_made(hop, Some(leg), now, wire),
            Verdict::Finish => return Outcome::Finish,
            Verdict::Resolve(_) => unreachable!("this router knows everybody"),
            // What is for all on the link has an answer elsewhere, or none.
            Verdict::Local if meta.group => {}
            Verdict::Local if !meta.complete || meta.largest < payload.len() => {
                let stats = self.router.stats_mut();
                (stats.local, stats.unfinished) = (stats.local - 1, stats.unfinished + 1);
                return Outcome::Finish;
            }
            Verdict::Local => self.own(leg, payload, now, wire),
            Verdict::Drop(_) => {}
        }
        self.tell_failed(now, wire);
        Outcome::Done
    }

    /// A packet for one of the router's own addresses.
    fn own(&mut self, leg: LegId, packet: &[u8], now: Tick, wire: &mut impl Wire) {
        let mut said = Vec::new();
        self.own.packet(leg, packet, millis(now), &mut |packet| said.push(packet.to_vec()));
        self.say(leg, &said, now, wire);
    }

    /// Sends packets of the router's own. Those to link-local addresses leave by this leg.
    fn say(&mut self, leg: LegId, said: &[Vec<u8>], now: Tick, wire: &mut impl Wire) {
        for packet in said {
            let hop = destination(packet).and_then(|to| self.router.way_back(leg, to));
            let Some(hop) = hop else { continue };
            let mut parts = Vec::new();
            let mtu = self.router.tables().leg(hop.leg).mtu;
            self.own.cut(packet, mtu, &mut |part| parts.push(part.to_vec()));
            for packet in &parts {
                self.counts.said += 1;
                self.give(hop, Held { came: None, lead: &[], packet }.emit(), now, wire);
            }
        }
    }

    /// What was made goes on.
    fn give_made(&mut self, hop: Hop, came: Option<LegId>, now: Tick, wire: &mut impl Wire) {
        for packet in std::mem::take(&mut self.made.0) {
            self.give(hop, Held { came, lead: &[], packet: &packet }.emit(), now, wire);
        }
    }

    /// A packet goes to a neighbour as soon as it is known where that is.
    fn give(&mut self, hop: Hop, held: Box<[u8]>, now: Tick, wire: &mut impl Wire) {
        let (failed, counts) = (&mut self.failed, &mut self.counts);
        let mut saying = Saying { wire, failed, counts };
        self.neighbours.need(hop, held, now, &mut saying);
    }

    /// Tells senders that nobody answers. What is said of a packet may itself fail: that is told
    /// to nobody.
    fn tell_failed(&mut self, now: Tick, wire: &mut impl Wire) {
        while let Some((_, held)) = self.failed.pop() {
            let Some(mut held) = Held::parse(held) else { continue };
            // It may have left since.
            let there = |leg: &LegId| leg.index() < self.router.tables().legs().len();
            let Some(leg) = held.came().filter(there) else { continue };
            let packet = held.packet_mut();
            let meta = PacketMeta::of(packet);
            self.made.0.clear();
            let arrival = Arrival { octets: packet, leg, meta };
            let verdict = self.router.no_answer(&arrival, now, &mut self.made);
            if let Verdict::Reply { hop, reason: Some(Reason::NoAnswer), .. } = verdict {
                self.give_made(hop, None, now, wire);
            }
        }
    }

    /// The tick with which the next timer ends: one behind this, of which [`Slow::tick`] has been
    /// told. `None`: none ends unless something is heard, wanted or changed. So a caller may sleep.
    pub fn next(&self, now: Tick) -> Option<Tick> {
        let own = self.own.next().map(|millis| Tick(millis.div_ceil(Tick::MILLIS) as u32));
        let known = self.router.neighbours();
        let advertisers = (0..).map(LegId).zip(&self.advertisers).filter_map(|(leg, one)| {
            let (own, advertiser) = one.as_ref()?;
            // One that may not speak yet has no timer that could end.
            known.is_used(leg, (*own).into()).then(|| advertiser.next(now))?
        });
        let all = advertisers.chain(self.neighbours.next()).chain(own);
        all.map(|due| now.until(due).max(1)).min().map(|ticks| now.after(ticks))
    }

    /// Timers. To be called at the tick of [`Slow::next`], or more often, and before neighbours are
    /// shown or changed: they have no other clock.
    pub fn tick(&mut self, now: Tick, wire: &mut impl Wire) {
        let (failed, counts) = (&mut self.failed, &mut self.counts);
        let mut saying = Saying { wire, failed, counts };
        self.neighbours.tick(now, &mut saying);
        self.look_at_own();
        let known = self.router.neighbours().clone();
        let (failed, counts) = (&mut self.failed, &mut self.counts);
        let mut saying = Saying { wire, failed, counts };
        for (leg, advertiser) in (0..).map(LegId).zip(&mut self.advertisers) {
            // RFC 4862, section 5.4: nothing is said from an address that is not used.
            if let Some((own, advertiser)) = advertiser
                && known.is_used(leg, (*own).into())
            {
                advertiser.tick(now, &mut saying);
            }
        }
        let mut said = Vec::new();
        self.own.tick(millis(now), &mut |leg, packet| said.push((leg, packet.to_vec())));
        for (leg, packet) in said {
            self.say(leg, &[packet], now, wire);
        }
        self.tell_failed(now, wire);
    }

    /// A worker sent to a neighbour that is stale.
    pub fn used(&mut self, hop: Hop, now: Tick) {
        self.neighbours.used(hop, now);
    }

    /// What workers are to know of neighbours, if it changed since the last call.
    pub fn resolved(&mut self) -> Option<Arc<Resolved>> {
        self.neighbours.resolved()
    }

    /// The neighbours, to be shown and changed.
    pub fn neighbours(&mut self) -> &mut Neighbours {
        &mut self.neighbours
    }

    /// What was counted here. A whole router has that of its workers, too.
    pub fn totals(&self) -> Totals {
        let (counts, stats, neighbours) =
            (self.counts, self.router.stats(), self.neighbours.stats());
        let mut stats = *stats;
        stats.fill(counts.full);
        let released = neighbours.get(Counter::HeldReleased);
        let counts = [
            (Count::Sent, released - counts.full),
            (Count::Held, self.neighbours.held()),
            (Count::OwnSent, counts.said),
            (Count::Cut, counts.cut),
            (Count::Parts, counts.parts),
            (Count::Solicited, counts.solicited),
            (Count::Foreign, counts.foreign),
            (Count::MessagesSent, counts.messages),
        ];
        Totals::of_slow_path(&stats, *neighbours, counts)
    }

    /// What became of packets here.
    pub fn router(&self) -> &Router {
        &self.router
    }
}

fn millis(now: Tick) -> u64 {
    u64::from(now.0) * Tick::MILLIS
}

/// To whom a packet is.
fn destination(packet: &[u8]) -> Option<IpAddr> {
    if packet.first()? >> 4 == 6 {
        return Ipv6::parse(packet).ok().map(|packet| packet.destination.into());
    }
    Ipv4::parse(packet).ok().map(|packet| packet.destination.into())
}

/// Whether a packet is a message of neighbour discovery. They have no extension headers but those
/// that nobody sends: what has some is looked at as any packet for the router.
fn is_discovery(packet: &[u8]) -> bool {
    let kind = packet.get(IPV6_HEADER_LEN);
    packet.get(6) == Some(&protocol::ICMPV6)
        && packet.get(7) == Some(&HOP_LIMIT_LINK)
        && kind.is_some_and(|kind| DISCOVERY.contains(kind))
}

/// What neighbours have to say, between them and the wire.
struct Saying<'a, W> {
    wire: &'a mut W,
    failed: &'a mut Vec<(Hop, Box<[u8]>)>,
    counts: &'a mut Counts,
}

impl<W: Wire> Post for Saying<'_, W> {
    fn send(&mut self, leg: LegId, to: LinkAddress, kind: u16, payload: &[u8]) {
        let sent = self.wire.send(leg, &[], to, kind, payload);
        self.counts.messages += u64::from(sent);
    }

    fn release(&mut self, hop: Hop, to: LinkAddress, held: Box<[u8]>) {
        let Some(mut held) = Held::parse(held) else { return };
        let lead = held.lead().to_vec();
        let packet = held.packet_mut();
        let kind = if packet[0] >> 4 == 6 { ethertype::IPV6 } else { ethertype::IPV4 };
        let sent = self.wire.send(hop.leg, &lead, to, kind, packet);
        self.counts.full += u64::from(!sent);
    }

    fn fail(&mut self, hop: Hop, held: Box<[u8]>) {
        self.failed.push((hop, held));
    }

    fn event(&mut self, event: Event) {
        self.wire.event(event);
    }
}

/// Packets that the router makes.
#[derive(Default)]
struct Made(Vec<Vec<u8>>);

impl Emit for Made {
    fn room(&mut self, octets: usize) -> Option<&mut [u8]> {
        if self.0.len() == MADE_MAX {
            return None;
        }
        self.0.push(vec![0; octets]);
        self.0.last_mut().map(Vec::as_mut_slice)
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*, sample::Index};

    use super::*;
    use crate::{
        forward::Flow,
        forward::sample::{ipv4, ipv6, sealed},
        packet::{Ipv4, Ipv6, checksum, checksum_icmpv6},
        route::{Kind, Leg, NextHop, Route},
        tables::Target,
    };

    const OWN: [LinkAddress; 2] =
        [LinkAddress([2, 0, 0, 0, 1, 0]), LinkAddress([2, 0, 0, 0, 1, 1])];
    const HOST: LinkAddress = LinkAddress([2, 0, 0, 0, 0, 9]);
    const LEAD: [u8; 10] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];

    /// Leg, lead, to whom, kind and packet.
    type Saying = (u16, Vec<u8>, LinkAddress, u16, Vec<u8>);

    /// What was said.
    #[derive(Default)]
    struct Said(Vec<Saying>);

    impl Wire for Said {
        fn send(
            &mut self,
            leg: LegId,
            lead: &[u8],
            to: LinkAddress,
            kind: u16,
            packet: &[u8],
        ) -> bool {
            self.0.push((leg.0, lead.to_vec(), to, kind, packet.to_vec()));
            true
        }

        fn event(&mut self, _: Event) {}
    }

    impl Said {
        /// The packets of this kind on a leg, taken.
        fn take(&mut self, leg: u16, kind: u16) -> Vec<(Vec<u8>, LinkAddress, Vec<u8>)> {
            let is_it = |said: &mut Saying| said.0 == leg && said.3 == kind;
            self.0
                .extract_if(.., is_it)
                .map(|(_, lead, to, _, packet)| (lead, to, packet))
                .collect()
        }
    }

    struct Lab {
        slow: Slow,
        said: Said,
        now: u32,
    }

    /// 10.0.0.1 and fd00::1 on leg 0, 10.1.0.1 and fd00:1::1 on leg 1; announced and unique.
    fn lab() -> Lab {
        let link = |own, addresses: [&str; 2]| {
            Link::new(own, addresses.iter().map(|text| text.parse().unwrap()).collect())
        };
        let links = vec![
            link(OWN[0], ["10.0.0.1/24", "fd00::1/64"]),
            link(OWN[1], ["10.1.0.1/24", "fd00:1::1/64"]),
        ];
        let legs = links.iter().map(|link| Leg::new(link.own(), 1500)).collect();
        let tables = Arc::new(Tables::build(legs, &[]).unwrap());
        let mut lab = Lab { slow: Slow::new(tables, links, 3), said: Said::default(), now: 0 };
        lab.ticks(100);
        lab.said.0.clear();
        lab
    }

    /// The same before anything was said.
    fn fresh() -> Lab {
        let link = Link::new(OWN[0], vec!["fd00::1/64".parse().unwrap()]);
        let tables = Tables::build(vec![Leg::new(link.own(), 1500)], &[]).unwrap();
        let slow = Slow::new(Arc::new(tables), vec![link], 3);
        Lab { slow, said: Said::default(), now: 0 }
    }

    #[test]
    fn address_is_silent_until_nobody_else_has_it_and_for_ever_if_somebody_has() {
        let local = OWN[0].link_local().to_string();
        let config = AdvertiseConfig::every(60);
        let is_advertisement = |said: &(Vec<u8>, LinkAddress, Vec<u8>)| said.2[40] == 134;
        for duplicate in [false, true] {
            let mut lab = fresh();
            lab.slow.advertise(&[Some(config.clone())], &mut lab.said);
            lab.ticks(5);
            if duplicate {
                // Somebody else asks for the same address (RFC 4862, section 5.4.3).
                let group = "ff02::1:ff00:100".to_owned();
                let mut ask =
                    [&[135, 0, 0, 0, 0, 0, 0, 0][..], &OWN[0].link_local().octets()].concat();
                let mut packet = ipv6("::", &group, 255, 58, &ask);
                let to = Ipv6::parse(&packet).unwrap();
                let check = checksum_icmpv6(to.source, to.destination, &ask);
                ask[2..4].copy_from_slice(&check.to_be_bytes());
                packet.splice(40.., ask);
                lab.packet(0, &packet);
            }
            let mut said = lab.said.take(0, ethertype::IPV6);
            assert!(!said.iter().any(is_advertisement), "nothing is said from it yet");
            let mut echo = ipv6("fe80::9", &local, 64, 58, &[128, 0, 0, 0, 0, 1, 0, 2]);
            let to = Ipv6::parse(&echo).unwrap();
            let check = checksum_icmpv6(to.source, to.destination, &echo[40..]);
            echo[42..44].copy_from_slice(&check.to_be_bytes());
            let dropped = |lab: &Lab| lab.slow.router().stats().dropped(Reason::UnusedAddress);
            lab.packet(0, &echo);
            assert_eq!(dropped(&lab), 1);
            lab.ticks(100);
            said = lab.said.take(0, ethertype::IPV6);
            assert_eq!(said.iter().any(is_advertisement), !duplicate);
            lab.packet(0, &echo);
            assert_eq!(dropped(&lab), if duplicate { 2 } else { 1 });
            lab.slow.cease(&mut lab.said);
            said = lab.said.take(0, ethertype::IPV6);
            assert_eq!(said.iter().any(is_advertisement), !duplicate);
        }
    }

    impl Lab {
        fn ticks(&mut self, ticks: u32) {
            for _ in 0..ticks {
                self.now += 1;
                self.slow.tick(Tick(self.now), &mut self.said);
            }
        }

        fn hear(&mut self, leg: u16, kind: u16, payload: &[u8], largest: usize) -> Outcome {
            let meta = PacketMeta { largest, complete: true, group: false };
            let payload = &mut payload.to_vec();
            let heard = Heard { leg: LegId(leg), from: HOST, kind, lead: &LEAD, payload, meta };
            self.slow.hear(heard, Tick(self.now), &mut self.said)
        }

        fn packet(&mut self, leg: u16, packet: &[u8]) -> Outcome {
            let kind = if packet[0] >> 4 == 6 { ethertype::IPV6 } else { ethertype::IPV4 };
            self.hear(leg, kind, packet, packet.len())
        }
    }

    /// ARP: HOST has 10.1.0.2, and says so to the router.
    fn arp_reply() -> Vec<u8> {
        let head = [0, 1, 8, 0, 6, 4, 0, 2];
        [&head[..], &HOST.0, &[10, 1, 0, 2], &OWN[1].0, &[10, 1, 0, 1]].concat()
    }

    #[test]
    fn packet_waits_for_arp_and_goes_on_with_its_lead() {
        let mut lab = lab();
        let packet = ipv4("10.0.0.2", "10.1.0.2", 64, 17, &[1; 30]);
        assert_eq!(lab.packet(0, &packet), Outcome::Done);
        let asked = lab.said.take(1, ethertype::ARP);
        assert_eq!(asked.len(), 1);
        assert_eq!((asked[0].1, &asked[0].2[24..28]), (LinkAddress::BROADCAST, &[10, 1, 0, 2][..]));
        assert!(lab.said.0.is_empty());
        lab.hear(1, ethertype::ARP, &arp_reply(), 28);
        let sent = lab.said.take(1, ethertype::IPV4);
        let (lead, to, octets) = &sent[0];
        assert_eq!((&lead[..], *to, sent.len()), (&LEAD[..], HOST, 1));
        assert_eq!(Ipv4::parse(octets).unwrap().ttl, 63);
        let known = lab.slow.resolved().unwrap();
        let hop = Hop { leg: LegId(1), address: "10.1.0.2".parse().unwrap() };
        assert_eq!(known.get(hop).map(|known| known.to), Some(HOST));
        // Now at once.
        lab.packet(0, &packet);
        assert_eq!(lab.said.take(1, ethertype::IPV4).len(), 1);
    }

    #[test]
    fn packet_that_waits_goes_the_way_of_its_flow_on_the_workers() {
        const FLOWS: u64 = 77;
        let link = |own, text: &str| Link::new(own, vec![text.parse().unwrap()]);
        let links = vec![link(OWN[0], "10.0.0.1/24"), link(OWN[1], "10.1.0.1/24")];
        let legs = links.iter().map(|link| Leg::new(link.own(), 1500)).collect();
        let hop = |last| NextHop { gateway: Some([10, 1, 0, last].into()), leg: None, weight: 1 };
        let prefix = "10.8.0.0/16".parse().unwrap();
        let kind = Kind::Unicast(vec![hop(2), hop(3)]);
        let tables = Tables::build(legs, &[Route { prefix, metric: 0, kind }]).unwrap();
        let tables = Arc::new(tables);
        let slow = Slow::of_flows(tables.clone(), links, 3, FLOWS);
        let mut lab = Lab { slow, said: Said::default(), now: 0 };
        let mut ways = [0, 0];
        for port in 0..64 {
            let ports = [4000 + port, 80];
            let payload = ports.map(u16::to_be_bytes).concat();
            let packet = ipv4("10.0.0.2", "10.8.0.9", 64, 17, &[&payload[..], &[0; 16]].concat());
            lab.slow.neighbours().flush(None);
            lab.said.0.clear();
            lab.packet(0, &packet);
            let asked = lab.said.take(1, ethertype::ARP);
            let flow = Flow {
                source: "10.0.0.2".parse().unwrap(),
                destination: "10.8.0.9".parse().unwrap(),
                protocol: 17,
                ports: Some((ports[0], ports[1])),
            };
            let Target::Hops(hops) = tables.lookup(flow.destination) else { panic!("a route") };
            let last = asked[0].2[27];
            assert_eq!(hops.choose(flow.hash(FLOWS)).gateway, Some([10, 1, 0, last].into()));
            ways[usize::from(last) - 2] += 1;
        }
        assert!(ways.iter().all(|count| *count > 8), "{ways:?}");
    }

    #[test]
    fn sender_is_told_that_nobody_answers() {
        for (packet, expected) in [
            (ipv4("10.0.0.2", "10.1.0.7", 64, 17, &[1; 30]), [3, 1]),
            (ipv6("fd00::2", "fd00:1::7", 64, 17, &[1; 30]), [1, 3]),
        ] {
            let mut lab = lab();
            lab.packet(0, &packet);
            let six = packet[0] >> 4 == 6;
            let kind = if six { ethertype::IPV6 } else { ethertype::IPV4 };
            // The way back is known when the sender was asked for and has answered.
            let told = (0..100).find_map(|_| {
                lab.ticks(1);
                let asked = lab.said.take(0, if six { kind } else { ethertype::ARP });
                (!asked.is_empty()).then_some(asked)
            });
            assert!(told.is_some(), "the sender is asked for: the error goes to him");
            let sender = Hop {
                leg: LegId(0),
                address: if six { "fd00::2".parse() } else { "10.0.0.2".parse() }.unwrap(),
            };
            lab.slow.neighbours().add_static(sender, HOST).unwrap();
            lab.packet(0, &packet);
            lab.ticks(100);
            let told = lab.said.take(0, kind);
            let at = if six { 40 } else { 20 };
            let errors: Vec<_> = told.iter().filter(|(_, to, _)| *to == HOST).collect();
            assert!(!errors.is_empty());
            assert!(
                errors
                    .iter()
                    .all(|(lead, _, octets)| lead.is_empty() && octets[at..at + 2] == expected)
            );
            assert!(lab.slow.totals().dropped(Reason::NoAnswer) >= 1);
            assert_eq!(lab.slow.totals().missing(), [0, 0]);
        }
    }

    #[test]
    fn echo_is_answered_on_the_way_that_the_question_came() {
        let mut lab = lab();
        let mut question = ipv6("fd00::2", "fd00:1::1", 64, 58, b"\x80\0\0\0\0\x01\0\x02ping");
        let packet = Ipv6::parse(&question).unwrap();
        let check = checksum_icmpv6(packet.source, packet.destination, &question[40..]);
        question[42..44].copy_from_slice(&check.to_be_bytes());
        let sender = Hop { leg: LegId(0), address: "fd00::2".parse().unwrap() };
        lab.slow.neighbours().add_static(sender, HOST).unwrap();
        lab.packet(0, &question);
        let sent = lab.said.take(0, ethertype::IPV6);
        assert_eq!((sent.len(), sent[0].2[40]), (1, 129));
    }

    #[test]
    fn answer_is_cut_for_the_leg_by_which_it_leaves() {
        let mut lab = lab();
        let leg = |link: &Link, mtu| Leg::new(link.own(), mtu);
        let texts = [["10.0.0.1/24", "fd00::1/64"], ["10.1.0.1/24", "fd00:1::1/64"]];
        let link = |(own, texts): (&LinkAddress, [&str; 2])| {
            Link::new(*own, texts.map(|text| text.parse().unwrap()).to_vec())
        };
        let links: Vec<_> = OWN.iter().zip(texts).map(link).collect();
        let legs = vec![leg(&links[0], 9000), leg(&links[1], 1300)];
        lab.slow.swap(Arc::new(Tables::build(legs, &[]).unwrap()), links);
        lab.ticks(100);
        lab.said.0.clear();
        for sender in ["10.1.0.2", "fd00:1::2"] {
            let hop = Hop { leg: LegId(1), address: sender.parse().unwrap() };
            lab.slow.neighbours().add_static(hop, HOST).unwrap();
        }
        // They came by the leg on whose link more fits.
        let mut question = vec![8, 0, 0, 0, 0, 1, 0, 2];
        question.resize(2000, 7);
        let check = checksum(&question);
        question[2..4].copy_from_slice(&check.to_be_bytes());
        lab.packet(0, &ipv4("10.1.0.2", "10.0.0.1", 64, 1, &question));
        let sent = lab.said.take(1, ethertype::IPV4);
        let lens: Vec<_> = sent.iter().map(|(.., packet)| packet.len()).collect();
        assert_eq!(lens, [1300, 2020 - 1280]);
        question[0] = 128;
        question[2..4].fill(0);
        let mut question = ipv6("fd00:1::2", "fd00::1", 64, 58, &question);
        let packet = Ipv6::parse(&question).unwrap();
        let check = checksum_icmpv6(packet.source, packet.destination, &question[40..]);
        question[42..44].copy_from_slice(&check.to_be_bytes());
        lab.packet(0, &question);
        let sent = lab.said.take(1, ethertype::IPV6);
        let lens: Vec<_> = sent.iter().map(|(.., packet)| packet.len()).collect();
        assert_eq!(lens, [1280, 48 + 2000 - 1232]);
        assert!(lab.said.0.is_empty());
    }

    #[test]
    fn sender_of_half_a_packet_is_told_on_his_own_link() {
        let mut lab = lab();
        let sender = Hop { leg: LegId(1), address: "fe80::9".parse().unwrap() };
        lab.slow.neighbours().add_static(sender, HOST).unwrap();
        let half = [&[17, 0, 0, 1, 9, 9, 9, 9][..], &[1; 64]].concat();
        lab.packet(1, &ipv6("fe80::9", "fd00:1::1", 64, 44, &half));
        lab.ticks(601);
        let errors = |lab: &mut Lab, leg| {
            let said = lab.said.take(leg, ethertype::IPV6);
            said.into_iter().filter(|(.., octets)| octets[40..42] == [3, 1]).count()
        };
        assert_eq!([0, 1].map(|leg| errors(&mut lab, leg)), [0, 1]);
    }

    #[test]
    fn large_packet_is_finished_first_and_then_fragmented() {
        let mut lab = lab();
        let hop = Hop { leg: LegId(1), address: "10.1.0.2".parse().unwrap() };
        lab.slow.neighbours().add_static(hop, HOST).unwrap();
        let packet = ipv4("10.0.0.2", "10.1.0.2", 64, 17, &[1; 3000]);
        assert_eq!(lab.hear(0, ethertype::IPV4, &packet, 1600), Outcome::Finish);
        assert!(lab.said.0.is_empty());
        assert_eq!(lab.packet(0, &packet), Outcome::Done);
        let sent = lab.said.take(1, ethertype::IPV4);
        assert_eq!(sent.len(), 3);
        assert!(sent.iter().all(|(lead, _, octets)| lead.is_empty() && octets.len() <= 1500));
    }

    #[test]
    fn closed_port_of_the_router_itself_is_told_of() {
        let mut lab = lab();
        let sender = Hop { leg: LegId(0), address: "10.0.0.2".parse().unwrap() };
        lab.slow.neighbours().add_static(sender, HOST).unwrap();
        let datagram = [0x12, 0x34, 0, 53, 0, 12, 0, 0, 1, 2, 3, 4];
        let packet = ipv4("10.0.0.2", "10.1.0.1", 64, 17, &datagram);
        lab.packet(0, &packet);
        let sent = lab.said.take(0, ethertype::IPV4);
        assert_eq!((sent.len(), &sent[0].2[20..22]), (1, &[3, 3][..]));
        // One whose checksum is not there yet is finished first.
        let meta = PacketMeta { complete: false, ..PacketMeta::of(&packet) };
        let (mut payload, from, kind) = (packet, HOST, ethertype::IPV4);
        let (leg, lead, payload) = (LegId(0), &LEAD[..], &mut payload[..]);
        let heard = Heard { leg, from, kind, lead, payload, meta };
        assert_eq!(lab.slow.hear(heard, Tick(lab.now), &mut lab.said), Outcome::Finish);
    }

    #[test]
    fn hosts_hear_of_the_router_and_that_it_goes() {
        let mut lab = lab();
        let config = AdvertiseConfig::default();
        lab.slow.advertise(&[None, Some(config)], &mut lab.said);
        // What is due at once is done with the next tick: nobody may be kept awake for it.
        assert_eq!(lab.slow.next(Tick(lab.now)), Some(Tick(lab.now + 1)));
        lab.ticks(1);
        assert!(lab.said.take(0, ethertype::IPV6).is_empty());
        let told = lab.said.take(1, ethertype::IPV6);
        assert_eq!((told.len(), told[0].2[40]), (1, 134));
        lab.ticks(40);
        lab.said.0.clear();
        let mut question = ipv6("fe80::9", "ff02::2", 255, 58, &[133, 0, 0, 0, 0, 0, 0, 0]);
        let packet = Ipv6::parse(&question).unwrap();
        let check = checksum_icmpv6(packet.source, packet.destination, &question[40..]);
        question[42..44].copy_from_slice(&check.to_be_bytes());
        lab.packet(1, &question);
        lab.ticks(10);
        assert_eq!(lab.said.take(1, ethertype::IPV6).len(), 1, "who asks is answered");
        lab.slow.cease(&mut lab.said);
        let last = lab.said.take(1, ethertype::IPV6);
        assert_eq!((last.len(), &last[0].2[46..48]), (1, &[0, 0][..]), "no lifetime");
    }

    #[test]
    fn who_sleeps_until_the_next_timer_says_the_same_as_who_never_sleeps() {
        let solicitation = || {
            let mut question = ipv6("fe80::9", "ff02::2", 255, 58, &[133, 0, 0, 0, 0, 0, 0, 0]);
            let packet = Ipv6::parse(&question).unwrap();
            let check = checksum_icmpv6(packet.source, packet.destination, &question[40..]);
            question[42..44].copy_from_slice(&check.to_be_bytes());
            question
        };
        let fragment = || {
            let mut part = ipv4("10.0.0.2", "10.0.0.1", 64, 17, &[1; 64]);
            part[6] = 0x20;
            sealed(part)
        };
        // What happens, and when.
        let happens = |lab: &mut Lab| match lab.now {
            110 => {
                lab.slow.advertise(&[None, Some(AdvertiseConfig::every(60))], &mut lab.said);
            }
            130 => drop(lab.packet(0, &ipv4("10.0.0.2", "10.1.0.7", 64, 17, &[1; 30]))),
            140 => drop(lab.packet(0, &fragment())),
            141 => drop(lab.packet(0, &ipv4("10.0.0.2", "10.1.0.2", 64, 17, &[1; 30]))),
            143 => drop(lab.hear(1, ethertype::ARP, &arp_reply(), 28)),
            333 => drop(lab.packet(1, &solicitation())),
            2000 => lab.slow.cease(&mut lab.said),
            _ => {}
        };
        let run = |sleeps: bool| {
            let (mut lab, mut last, mut heard, mut woken) = (lab(), Tick(100), Vec::new(), 0);
            for now in 101..20_000 {
                lab.now = now;
                let due = lab.slow.next(last).is_some_and(|next| last.until(next) <= now - last.0);
                if !sleeps || due {
                    lab.slow.tick(Tick(now), &mut lab.said);
                    (last, woken) = (Tick(now), woken + 1);
                }
                happens(&mut lab);
                heard.extend(lab.said.0.drain(..).map(|said| (now, said)));
            }
            (heard, woken, lab.slow.next(last))
        };
        let ((all, ticks, _), (heard, woken, next)) = (run(false), run(true));
        assert_eq!(heard, all);
        assert!(all.len() > 10 && woken < 40, "{} and {woken} of {ticks}", all.len());
        assert_eq!(next, None, "nobody is known and nothing is said any more");
    }

    #[test]
    fn new_address_is_asked_for_and_announced_by_who_sleeps() {
        let mut lab = lab();
        assert_eq!(lab.slow.next(Tick(lab.now)), None);
        let texts = [&["10.0.0.1/24", "fd00::1/64", "fd00::7/64"][..], &["10.1.0.1/24"]];
        let link = |(own, texts): (&LinkAddress, &[&str])| {
            Link::new(*own, texts.iter().map(|text| text.parse().unwrap()).collect())
        };
        let links: Vec<_> = OWN.iter().zip(texts).map(link).collect();
        let legs = links.iter().map(|link| Leg::new(link.own(), 1500)).collect();
        lab.slow.swap(Arc::new(Tables::build(legs, &[]).unwrap()), links);
        for _ in 0..100 {
            let Some(next) = lab.slow.next(Tick(lab.now)) else { break };
            lab.now = next.0;
            lab.slow.tick(next, &mut lab.said);
        }
        assert_eq!(lab.slow.next(Tick(lab.now)), None);
        let said = lab.said.take(0, ethertype::IPV6);
        let kinds: Vec<_> = said.iter().map(|(.., packet)| packet[40]).collect();
        assert_eq!((kinds, lab.now), (vec![135, 136, 136], 131));
    }

    /// Sound messages of all kinds, for the router and through it.
    fn templates() -> Vec<(u16, Vec<u8>)> {
        let discovery = |source: &str, to: &str, message: &[u8]| {
            let mut packet = ipv6(source, to, 255, 58, message);
            let header = Ipv6::parse(&packet).unwrap();
            let check = checksum_icmpv6(header.source, header.destination, &packet[40..]);
            packet[42..44].copy_from_slice(&check.to_be_bytes());
            packet
        };
        let about = "fd00::1".parse::<std::net::Ipv6Addr>().unwrap().octets();
        let solicit = [&[135, 0, 0, 0, 0, 0, 0, 0][..], &about, &[1, 1], &HOST.0].concat();
        let advert = [&[136, 0, 0, 0, 0x60, 0, 0, 0][..], &about, &[2, 1], &HOST.0].concat();
        let options = [60, 0, 1, 4, 0, 0, 0, 0, 43, 0, 0, 0, 0xde, 2, 0, 0, 17, 2, 0, 0];
        let fragment = [&[58, 0, 0, 1, 9, 9, 9, 9][..], &[128, 0, 1, 2, 3, 4, 5, 6]].concat();
        let mut half = ipv4("10.0.0.2", "10.0.0.1", 64, 1, &[8; 64]);
        half[6] = 0x20;
        let strict = [7, 7, 4, 0, 0, 0, 0, 0, 1, 2, 3, 4];
        let mut optioned = ipv4("10.0.0.2", "10.1.0.2", 1, 17, &strict);
        optioned[0] = 0x47;
        vec![
            (ethertype::ARP, arp_reply()),
            (ethertype::IPV4, ipv4("10.0.0.2", "10.0.0.1", 64, 1, b"\x08\0\0\0\0\x01\0\x02")),
            (ethertype::IPV4, ipv4("10.0.0.2", "10.1.0.1", 64, 6, &[0x50; 20])),
            (ethertype::IPV4, ipv4("10.0.0.2", "10.9.9.9", 64, 17, &[1; 1600])),
            (ethertype::IPV4, sealed(half)),
            (ethertype::IPV4, sealed(optioned)),
            (ethertype::IPV6, discovery("fd00::2", "ff02::1:ff00:1", &solicit)),
            (ethertype::IPV6, discovery("fd00::2", "fd00::1", &advert)),
            (ethertype::IPV6, discovery("fe80::9", "ff02::2", &[133, 0, 0, 0, 0, 0, 0, 0])),
            (ethertype::IPV6, discovery("fd00::2", "fd00::1", b"\x80\0\0\0\0\x01\0\x02")),
            (ethertype::IPV6, ipv6("fd00::2", "fd00::1", 64, 0, &options)),
            (ethertype::IPV6, ipv6("fd00::2", "fd00::1", 64, 44, &fragment)),
            (ethertype::IPV6, ipv6("fd00::2", "fd00:1::1", 1, 6, &[0x50; 20])),
            (ethertype::IPV6, ipv6("fd00::2", "fd00:1::2", 1, 17, &[0x50; 1600])),
        ]
    }

    proptest! {
        /// Messages that are nearly sound, in any order, with time in between.
        #[test]
        fn whatever_comes_what_is_said_is_sound(
            messages in vec(
                (0..templates().len(), 0..2_u16, vec((any::<Index>(), any::<u8>()), 0..4),
                 0..1700_usize, 0..40_u32, any::<bool>()),
                1..12,
            ),
        ) {
            let (mut lab, templates) = (lab(), templates());
            lab.slow.advertise(&[Some(AdvertiseConfig::default()), None], &mut lab.said);
            for (which, leg, edits, cut, ticks, whole) in messages {
                let (kind, mut octets) = templates[which].clone();
                for (at, octet) in edits {
                    let at = at.index(octets.len());
                    octets[at] = octet;
                }
                if !whole {
                    octets.truncate(cut);
                } else if kind == ethertype::IPV4 && octets[0] & 0xf >= 5 {
                    // Else few would come farther than the checksum.
                    let len = (usize::from(octets[0] & 0xf) * 4).min(octets.len());
                    octets[10..12].fill(0);
                    let check = checksum(&octets[..len]);
                    octets[10..12].copy_from_slice(&check.to_be_bytes());
                }
                lab.hear(leg, kind, &octets, octets.len());
                lab.ticks(ticks);
                // It never forgets to wake up for what it has begun.
                let waits = lab.slow.neighbours().iter().any(|known| known.held > 0);
                prop_assert!(!waits || lab.slow.next(Tick(lab.now)).is_some());
            }
            for (_, _, _, kind, packet) in lab.said.0.drain(..) {
                let sound = match kind {
                    ethertype::IPV4 => Ipv4::parse(&packet).is_ok_and(|p| p.len == packet.len()),
                    ethertype::IPV6 => Ipv6::parse(&packet).is_ok_and(|p| p.len == packet.len()),
                    _ => packet.len() == 28,
                };
                prop_assert!(sound && packet.len() <= 1500, "{:02x?}", packet);
            }
        }
    }

    #[test]
    fn nonsense_of_any_kind_is_borne() {
        let mut lab = lab();
        for kind in [ethertype::ARP, ethertype::IPV4, ethertype::IPV6, 0x88cc] {
            for len in 0..64 {
                for octet in [0, 0x45, 0x60, 0xff] {
                    lab.hear(0, kind, &vec![octet; len], len);
                }
            }
        }
        assert!(lab.said.0.is_empty());
    }
}

//! One leg: its neighbours, its own addresses, and what is said on its link.

use std::net::{IpAddr, Ipv6Addr};

use super::{
    Link,
    arp::{self, Operation},
    claim::{Claim, Say, Standing},
    entry::{Change, Entry, FAILED_TICKS, HELD_MAX, Heard, REACHABLE_TICKS, RETRANS_TICKS, Rank},
    entry::{STALE_TICKS, State, TRIES},
    ndp,
    stats::{Counter, NeighbourStats},
    table::Table,
};
use crate::{
    limit::{Bucket, Limit, Tick},
    link::{Event, LinkAddress, Post, ethertype},
    prefix::{LegAddress, Prefix},
    route::{Hop, LegId},
    tables::is_link_local,
};

/// Octets of all packets that wait on one leg.
pub(super) const HELD_OCTETS_MAX: usize = 256 << 10;
/// Between two events of one kind on a leg: 1 s.
const EVENT_TICKS: u64 = 10;
/// Kinds of events.
const EVENTS: usize = 5;

/// What all legs share.
#[derive(Debug)]
pub(super) struct Shared {
    /// Ticks since some start. It does not wrap.
    pub now: u64,
    pub tick: Tick,
    pub random: u64,
    pub stats: NeighbourStats,
    /// Changes of what the router's own addresses are good for.
    pub standings: u64,
}

impl Shared {
    /// For how long an answer is good: each for another time, lest all are asked again at once
    /// (RFC 4861, section 6.3.2).
    fn reachable(&mut self) -> u64 {
        // Steele, Lea, Flood: Fast splittable pseudorandom number generators, figure 1.
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let [least, most] = REACHABLE_TICKS;
        least + (mixed >> 32) % (most - least + 1)
    }
}

#[derive(Debug)]
pub(super) struct Leg {
    pub id: LegId,
    pub link: Link,
    pub table: Table,
    pub claims: Vec<Claim>,
    /// For questions about new neighbours.
    bucket: Bucket,
    /// When each kind of event was told last.
    told: [Option<u64>; EVENTS],
}

impl Leg {
    pub fn new(id: LegId, link: Link) -> Leg {
        let claims = link.own().into_iter().map(|own| claim(&link, own)).collect();
        let bucket = bucket(&link);
        Leg { id, link, table: Table::default(), claims, bucket, told: [None; EVENTS] }
    }

    /// Goes on with another description of the same link.
    pub fn change(&mut self, link: Link, shared: &mut Shared) {
        let known = std::mem::take(&mut self.claims);
        let new = |own: LegAddress| {
            let known = known.iter().find(|claim| claim.own == own);
            known.copied().unwrap_or_else(|| claim(&link, own))
        };
        self.claims = link.own().into_iter().map(new).collect();
        if link.quota != self.link.quota {
            self.bucket = bucket(&link);
        }
        self.link = link;
        for own in self.claims.iter().map(Claim::address).collect::<Vec<_>>() {
            self.forget(own, shared);
        }
        while self.table.learned() > self.link.quota() {
            let Some(weakest) = self.table.weakest(Rank::Spoken) else { break };
            self.forget(weakest, shared);
        }
    }

    /// Removes a neighbour, and what waits for it.
    pub fn forget(&mut self, address: IpAddr, shared: &mut Shared) -> bool {
        let removed = self.table.remove(address);
        let lost = removed.as_ref().map_or(0, |entry| entry.held.len());
        shared.stats.add(Counter::HeldLost, lost);
        removed.is_some()
    }

    /// Removes all neighbours: also the permanent ones, or not.
    pub fn flush(&mut self, permanent: bool, shared: &mut Shared) {
        let goes = |entry: &Entry| permanent || entry.state != State::Permanent;
        let all = self.table.iter().filter(|(_, entry)| goes(entry));
        for address in all.map(|(address, _)| address).collect::<Vec<_>>() {
            self.forget(address, shared);
        }
    }

    /// Whether it is the address of all routers of a subnet (RFC 4291, section 2.6.1; RFC 6164,
    /// section 5.1, has none on a link of two).
    pub fn is_anycast(&self, address: Ipv6Addr) -> bool {
        self.link.addresses.iter().any(|own| match own.prefix {
            Prefix::V6(net) => net.length() <= 126 && net.first() == address.to_bits(),
            Prefix::V4(_) => false,
        })
    }

    pub fn standing(&self, address: IpAddr) -> Option<Standing> {
        let claim = self.claims.iter().find(|claim| claim.address() == address);
        claim.map(|claim| claim.standing)
    }

    /// Whether an address is on this link.
    pub fn is_on_link(&self, address: IpAddr) -> bool {
        let near = |own: &LegAddress| own.prefix.contains(address);
        self.link.addresses.iter().any(near) || address.is_ipv6() && is_link_local(address)
    }

    /// A packet waits for a neighbour.
    pub fn need(
        &mut self,
        address: IpAddr,
        held: Box<[u8]>,
        shared: &mut Shared,
        post: &mut impl Post,
    ) {
        let hop = Hop { leg: self.id, address };
        if let Some(to) = self.fixed(address) {
            shared.stats.count(Counter::HeldReleased);
            return post.release(hop, to, held);
        }
        match self.table.get(address).map(|entry| entry.state) {
            None => self.find(address, held, shared, post),
            Some(State::Incomplete) => self.hold(address, held, shared),
            Some(State::Failed) => {
                shared.stats.count(Counter::HeldFailed);
                post.fail(hop, held);
            }
            Some(_) => {
                let now = shared.now;
                let send = |entry: &mut Entry| {
                    entry.send(now);
                    entry.to
                };
                if let Some(to) = self.table.edit(address, send) {
                    shared.stats.count(Counter::HeldReleased);
                    post.release(hop, to, held);
                }
            }
        }
    }

    /// Where nobody has to be asked.
    fn fixed(&self, address: IpAddr) -> Option<LinkAddress> {
        if self.link.point_to_point.is_some() {
            return self.link.point_to_point;
        }
        match address {
            IpAddr::V4(group) if group.is_multicast() => Some(LinkAddress::of_group_v4(group)),
            IpAddr::V6(group) if group.is_multicast() => Some(LinkAddress::of_group_v6(group)),
            IpAddr::V4(address) => {
                // RFC 3021: a link of two has no broadcast.
                let last = |own: &LegAddress| match own.prefix {
                    Prefix::V4(net) => net.length() <= 30 && net.last() == address.to_bits(),
                    Prefix::V6(_) => false,
                };
                let all = address.is_broadcast() || self.link.addresses.iter().any(last);
                all.then_some(LinkAddress::BROADCAST)
            }
            IpAddr::V6(_) => None,
        }
    }

    /// Asks for a neighbour that is not known.
    fn find(
        &mut self,
        address: IpAddr,
        held: Box<[u8]>,
        shared: &mut Shared,
        post: &mut impl Post,
    ) {
        let own = self.claims.iter().any(|claim| claim.address() == address);
        if own || !is_host(address) {
            // Nobody would answer.
            shared.stats.count(Counter::HeldFailed);
            return post.fail(Hop { leg: self.id, address }, held);
        }
        if !self.bucket.take(shared.tick) {
            // RFC 6583, section 7: whoever scans a prefix must not fill the link with questions.
            return shared.stats.count(Counter::AskLimited);
        }
        if !self.make_room(Rank::Stale, shared, post) {
            return shared.stats.count(Counter::NeighbourFull);
        }
        self.table.put(address, Entry::asked(shared.now));
        self.hold(address, held, shared);
        self.ask(address, None, shared, post);
    }

    /// Keeps a packet until its neighbour is known (RFC 1122, section 2.3.2.2; RFC 4861, section
    /// 7.2.2): the latest ones. Of a leg's they give way first whose neighbour was asked for first:
    /// who lives answers soon.
    fn hold(&mut self, address: IpAddr, held: Box<[u8]>, shared: &mut Shared) {
        let stats = &mut shared.stats;
        self.table.edit(address, |entry| {
            if entry.held.len() == HELD_MAX {
                entry.held.pop_front();
                stats.count(Counter::HeldFull);
            }
            entry.held.push_back(held);
        });
        while self.table.held_octets() > HELD_OCTETS_MAX {
            let Some(first) = self.table.first_holding() else { break };
            self.table.edit(first, |entry| entry.held.pop_front());
            stats.count(Counter::HeldFull);
        }
    }

    /// Makes room for a neighbour by removing one of no higher rank than this.
    fn make_room(&mut self, most: Rank, shared: &mut Shared, post: &mut impl Post) -> bool {
        if self.table.learned() < self.link.quota() {
            return true;
        }
        let weakest = match most {
            // Those who come of their own accord take nothing from those whom the router wants.
            Rank::Stranger => self.table.oldest(Rank::Failed),
            _ => None,
        };
        let Some(weakest) = weakest.or(self.table.weakest(most)) else {
            self.tell(Event::NeighbourFull { leg: self.id }, shared, post);
            return false;
        };
        shared.stats.count(Counter::NeighbourEvicted);
        self.forget(weakest, shared)
    }

    /// Asks where a neighbour is: all, or where it was last.
    fn ask(
        &mut self,
        address: IpAddr,
        last: Option<LinkAddress>,
        shared: &mut Shared,
        post: &mut impl Post,
    ) {
        // Without an own address there is nobody to be answered: it fails after its tries.
        let Some(source) = self.source(address) else { return };
        shared.stats.count(if last.is_some() { Counter::Probed } else { Counter::Asked });
        match (source, address) {
            (IpAddr::V4(source), IpAddr::V4(target)) => {
                let to = last.unwrap_or(LinkAddress::BROADCAST);
                self.send_arp(Operation::Request, source, (LinkAddress::NULL, target), to, post);
            }
            (IpAddr::V6(source), IpAddr::V6(target)) => {
                let group = ndp::group(target);
                let to = last.unwrap_or(LinkAddress::of_group_v6(group));
                let destination = if last.is_some() { target } else { group };
                let link = Some(self.link.own);
                let message = ndp::Message { source, destination, target, link, flags: None };
                post.send(self.id, to, ethertype::IPV6, &message.emit());
            }
            _ => {}
        }
    }

    /// From which own address a neighbour is asked: one on its link, best (RFC 4861, section
    /// 7.2.2).
    pub fn source(&self, address: IpAddr) -> Option<IpAddr> {
        let usable = |claim: &&Claim| {
            claim.standing == Standing::Preferred && claim.address().is_ipv4() == address.is_ipv4()
        };
        let near = |claim: &&Claim| claim.own.prefix.contains(address);
        let own = || self.claims.iter().filter(usable);
        own().find(near).or_else(|| own().next()).map(Claim::address)
    }

    /// What was heard of a neighbour. `asks`: it asked for the router itself, so it will be spoken
    /// to. Nobody else becomes a neighbour by his own word (RFC 826; RFC 4861, section 7.2.5).
    pub fn hear(
        &mut self,
        address: IpAddr,
        heard: Heard,
        asks: bool,
        shared: &mut Shared,
        post: &mut impl Post,
    ) {
        if self.table.get(address).is_none() {
            let Some(to) = heard.to.filter(|_| asks && self.is_on_link(address)) else {
                return shared.stats.count(Counter::Unasked);
            };
            if !self.make_room(Rank::Stranger, shared, post) {
                return shared.stats.count(Counter::NeighbourRefused);
            }
            self.table.put(address, Entry::stranger(to, shared.now));
            return;
        }
        let (now, reachable) = (shared.now, shared.reachable());
        let change =
            self.table.edit(address, |entry| (entry.hear(heard, now, reachable), entry.to));
        let Some((Change { moved_from, released }, to)) = change else { return };
        let hop = Hop { leg: self.id, address };
        shared.stats.add(Counter::HeldReleased, released.len());
        for held in released {
            post.release(hop, to, held);
        }
        if let Some(from) = moved_from {
            shared.stats.count(Counter::NeighbourMoved);
            self.tell(Event::NeighbourMoved { hop, from, to }, shared, post);
        }
    }

    /// Another station speaks as if an address of the router were its own.
    pub fn conflict(
        &mut self,
        address: IpAddr,
        with: LinkAddress,
        shared: &mut Shared,
        post: &mut impl Post,
    ) {
        let leg = self.id;
        let Some(claim) = self.claims.iter_mut().find(|claim| claim.address() == address) else {
            return;
        };
        match claim.standing {
            Standing::Tentative => {
                claim.give_up();
                shared.standings += 1;
                shared.stats.count(Counter::Duplicate);
                self.tell(Event::Duplicate { leg, address, with }, shared, post);
            }
            Standing::Preferred => {
                shared.stats.count(Counter::Conflict);
                if claim.defend(shared.now) {
                    self.announce(address, shared, post);
                }
                self.tell(Event::Conflict { leg, address, with }, shared, post);
            }
            Standing::Duplicate => {}
        }
    }

    /// Tells an event, unless there has just been one of its kind: strangers cause them.
    fn tell(&mut self, event: Event, shared: &mut Shared, post: &mut impl Post) {
        let told = &mut self.told[match event {
            Event::Conflict { .. } => 0,
            Event::Duplicate { .. } => 1,
            Event::NeighbourFull { .. } => 2,
            Event::NeighbourMoved { .. } => 3,
            Event::NeighbourFailed { .. } => 4,
        }];
        if told.is_some_and(|last| shared.now - last < EVENT_TICKS) {
            return shared.stats.count(Counter::EventLimited);
        }
        *told = Some(shared.now);
        post.event(event);
    }

    /// When something is due.
    pub fn next(&self) -> Option<u64> {
        self.claims.iter().filter_map(Claim::next).chain(self.table.next()).min()
    }

    /// Does what is due, so many things at the most. Returns how many.
    pub fn tick(&mut self, most: usize, shared: &mut Shared, post: &mut impl Post) -> usize {
        let mut done = 0;
        for index in 0..self.claims.len() {
            if done < most && self.claims[index].is_due(shared.now) {
                done += 1;
                let claim = &mut self.claims[index];
                let (address, before) = (claim.address(), claim.standing);
                let say = claim.turn(shared.now);
                shared.standings += u64::from(claim.standing != before);
                match say {
                    Some(Say::Ask) => self.ask_if_free(address, shared, post),
                    Some(Say::Announce) => self.announce(address, shared, post),
                    None => {}
                }
            }
        }
        while done < most {
            let Some(address) = self.table.due(shared.now) else { break };
            done += 1;
            self.expire(address, shared, post);
        }
        done
    }

    /// The timer of a neighbour has ended (RFC 4861, section 7.3.3).
    fn expire(&mut self, address: IpAddr, shared: &mut Shared, post: &mut impl Post) {
        let Some(entry) = self.table.get(address) else { return };
        let (state, tries, last, now) = (entry.state, entry.tries, entry.to, shared.now);
        match state {
            State::Incomplete | State::Probe if tries < TRIES => {
                self.table.edit(address, |entry| {
                    entry.tries += 1;
                    entry.deadline = Some(now + RETRANS_TICKS);
                });
                self.ask(address, (state == State::Probe).then_some(last), shared, post);
            }
            State::Incomplete => self.fail(address, shared, post),
            State::Reachable => {
                self.table.edit(address, |entry| entry.enter(State::Stale, now, STALE_TICKS));
            }
            State::Delay => {
                self.table.edit(address, |entry| {
                    entry.enter(State::Probe, now, RETRANS_TICKS);
                    entry.tries = 1;
                });
                self.ask(address, Some(last), shared, post);
            }
            // It may be elsewhere: the next packet for it asks all.
            State::Probe => {
                shared.stats.count(Counter::NeighbourFailed);
                self.forget(address, shared);
            }
            State::Stale | State::Failed => {
                self.forget(address, shared);
            }
            State::Permanent => {
                let held = self.table.edit(address, |entry| {
                    entry.deadline = None;
                    std::mem::take(&mut entry.held)
                });
                for held in held.into_iter().flatten() {
                    shared.stats.count(Counter::HeldReleased);
                    post.release(Hop { leg: self.id, address }, last, held);
                }
            }
        }
    }

    /// A neighbour does not answer.
    fn fail(&mut self, address: IpAddr, shared: &mut Shared, post: &mut impl Post) {
        let hop = Hop { leg: self.id, address };
        let held = self.table.edit(address, |entry| {
            entry.enter(State::Failed, shared.now, FAILED_TICKS);
            std::mem::take(&mut entry.held)
        });
        for held in held.into_iter().flatten() {
            shared.stats.count(Counter::HeldFailed);
            post.fail(hop, held);
        }
        shared.stats.count(Counter::NeighbourFailed);
        self.tell(Event::NeighbourFailed { hop }, shared, post);
    }
}

/// An address of the router. On a link from point to point nobody is told.
fn claim(link: &Link, own: LegAddress) -> Claim {
    if link.is_private() { Claim::silent(own) } else { Claim::new(own) }
}

/// As many questions at once, and each second, as there may be neighbours.
fn bucket(link: &Link) -> Bucket {
    let quota = link.quota() as u32;
    Bucket::new(Limit { per_tick: (quota / 10).max(1), burst: quota })
}

/// Whether one host can have this address.
pub(super) fn is_host(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => arp::is_host(address),
        IpAddr::V6(address) => ndp::is_host(address),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::neighbour::{
        LEG_TIMERS_A_TICK, Neighbours,
        sample::{
            Posted, Sample, advertise, arp_reply, arp_request, hop, link, own, solicit, station,
        },
    };

    fn host(number: u32) -> IpAddr {
        IpAddr::from((0x0a00_0000 + number).to_be_bytes())
    }

    fn at(leg: u16, number: u32) -> Hop {
        Hop { leg: LegId(leg), address: host(number) }
    }

    /// A link of many, 10.0.0.1/8.
    fn wide(quota: usize) -> Link {
        Link { quota, ..Link::new(own(0), vec!["10.0.0.1/8".parse().unwrap()]) }
    }

    fn answer(sample: &mut Sample, leg: u16, number: u32, from: LinkAddress) {
        let source = host(number).to_string();
        sample.arp(leg, &arp_reply((from, &source), "10.0.0.1"));
    }

    #[test]
    fn who_does_not_answer_is_asked_three_times_a_second_apart_and_then_failed() {
        for (address, question) in [("10.0.0.2", "Request"), ("fd00::2", "Solicit")] {
            let mut sample = Sample::new(1);
            let (hop, begin) = (hop(0, address), sample.now);
            sample.need(hop, b"x");
            let mut asked = vec![0; sample.sent().len()];
            while sample.post.failed.is_empty() {
                sample.ticks(1);
                let sent = sample.sent();
                assert!(sent.iter().all(|line| line.contains(question)));
                asked.extend(sent.iter().map(|_| sample.now - begin));
            }
            assert_eq!((asked, sample.now - begin), (vec![0, 10, 20], 30));
            assert_eq!(sample.post.failed.pop(), Some((hop, Box::from(*b"x"))));
            assert_eq!(sample.post.events, [Event::NeighbourFailed { hop }]);
            // For a while nobody waits for it, and nobody asks.
            sample.ticks(49);
            sample.need(hop, b"y");
            assert_eq!(sample.post.failed.pop(), Some((hop, Box::from(*b"y"))));
            assert!(sample.sent().is_empty());
            assert_eq!(sample.state(hop), Some(State::Failed));
            sample.ticks(1);
            assert_eq!(sample.state(hop), None);
            sample.need(hop, b"z");
            assert_eq!((sample.sent().len(), sample.post.failed.len()), (1, 0));
        }
    }

    #[test]
    fn neighbour_that_is_spoken_to_is_asked_again_where_it_was() {
        for address in ["10.0.0.2", "fd00::2"] {
            let mut sample = Sample::new(1);
            let hop = hop(0, address);
            let answers = |sample: &mut Sample| match address {
                "10.0.0.2" => sample.arp(0, &arp_reply((station(2), address), "10.0.0.1")),
                _ => {
                    let answer = advertise(address, "fd00::1", "SO", Some(station(2)));
                    sample.ndp(0, station(2), &answer);
                }
            };
            sample.need(hop, b"x");
            answers(&mut sample);
            sample.sent();
            // Fifteen seconds at least, forty-five at the most (RFC 4861, section 6.3.2).
            sample.ticks(149);
            assert_eq!(sample.state(hop), Some(State::Reachable));
            sample.ticks(302);
            assert_eq!(sample.state(hop), Some(State::Stale));
            sample.neighbours.used(hop, Tick(sample.now));
            sample.ticks(49);
            assert_eq!(sample.state(hop), Some(State::Delay));
            assert!(sample.sent().is_empty());
            sample.ticks(1);
            assert_eq!(sample.state(hop), Some(State::Probe));
            let probe = sample.sent();
            assert!(probe.len() == 1 && probe[0].starts_with("0 02:00:00:00:00:02: "), "{probe:?}");
            if address == "fd00::2" {
                assert!(probe[0].contains("Solicit fd00::1 to fd00::2 about fd00::2"));
            }
            answers(&mut sample);
            assert_eq!(sample.state(hop), Some(State::Reachable));
            // And then it is gone. Packets go there until three questions are not answered.
            sample.ticks(451);
            sample.need(hop, b"y");
            sample.ticks(79);
            assert_eq!(sample.sent().len(), 3);
            sample.need(hop, b"z");
            assert_eq!(sample.released().len(), 3);
            sample.ticks(1);
            assert_eq!(sample.state(hop), None);
            // The next packet asks all.
            sample.need(hop, b"w");
            assert!(!sample.sent()[0].starts_with("0 02:"));
            assert_eq!(sample.count(Counter::Probed), 4);
        }
    }

    #[test]
    fn times_of_answers_differ_within_their_bounds() {
        let mut shared =
            Shared { now: 0, tick: Tick(0), random: 1, stats: Default::default(), standings: 0 };
        let times: Vec<_> = (0..10_000).map(|_| shared.reachable()).collect();
        assert_eq!((times.iter().min(), times.iter().max()), (Some(&150), Some(&450)));
        let mean = times.iter().sum::<u64>() / 10_000;
        assert!((290..310).contains(&mean), "{mean}");
    }

    #[test]
    fn neighbour_to_whom_nobody_sends_is_forgotten() {
        let mut sample = Sample::new(1);
        sample.arp(0, &arp_request((station(2), "10.0.0.2"), "10.0.0.1"));
        sample.ticks(5999);
        assert_eq!(sample.state(at(0, 2)), Some(State::Stale));
        sample.ticks(1);
        assert_eq!(sample.state(at(0, 2)), None);
    }

    #[test]
    fn three_packets_wait_and_the_oldest_gives_way() {
        let mut sample = Sample::new(1);
        let hop = at(0, 2);
        for octet in 1..=5 {
            sample.need(hop, &[octet]);
        }
        assert_eq!(sample.sent().len(), 1, "it is asked for once");
        answer(&mut sample, 0, 2, station(2));
        let released = sample.released().into_iter().map(|(_, _, held)| held[0]);
        assert_eq!(released.collect::<Vec<_>>(), [3, 4, 5]);
        assert_eq!(sample.count(Counter::HeldFull), 2);
    }

    #[test]
    fn octets_that_wait_are_bounded_on_each_leg() {
        let mut sample = Sample::of(vec![wide(1024), link(1)]);
        let packet = vec![7; 64 << 10];
        for number in 2..102 {
            sample.need(at(0, number), &packet);
            sample.need(at(0, number), &packet);
        }
        let held = |sample: &Sample| sample.neighbours.iter().map(|n| n.held).sum::<usize>();
        assert_eq!(held(&sample), 4);
        assert_eq!(sample.count(Counter::HeldFull), 196);
        // Those of the last, who may live.
        answer(&mut sample, 0, 101, station(2));
        assert_eq!((held(&sample), sample.released().len()), (2, 2));
        // They are asked for all the same, and the other leg has its own.
        assert_eq!(sample.sent().len(), 100);
        sample.need(hop(1, "10.0.1.2"), &packet);
        assert_eq!(held(&sample), 3);
        sample.ticks(31);
        assert_eq!(held(&sample), 0);
        sample.ticks(51);
        sample.need(at(0, 2), &packet);
        assert_eq!(held(&sample), 1);
    }

    #[test]
    fn a_thousand_dead_neighbours_do_not_delay_a_live_one() {
        let mut sample = Sample::of(vec![wide(2048), link(1)]);
        for number in 1000..2000 {
            sample.need(at(0, number), b"dead");
        }
        // A live one: asked at once, released at once.
        sample.sent();
        sample.need(at(0, 2), b"live");
        assert!(sample.sent()[0].contains("about 10.0.0.2 "));
        answer(&mut sample, 0, 2, station(2));
        assert_eq!(sample.released().len(), 1);
        // One whose first answer is lost, while all the dead are asked again.
        sample.need(at(0, 3), b"late");
        sample.need(hop(1, "10.0.1.2"), b"elsewhere");
        sample.sent();
        let (mut waited, mut most) = ([None; 2], 0);
        for tick in 1..30 {
            sample.ticks(1);
            let sent = sample.sent();
            most = most.max(sent.len());
            for (waited, target) in waited.iter_mut().zip(["10.0.0.3 ", "10.0.1.2 "]) {
                let asked = sent.iter().any(|line| line.contains(target));
                *waited = waited.or(asked.then_some(tick));
            }
        }
        // The other leg's is not late at all; on this leg the timers of four ticks are before it.
        assert_eq!(waited[1], Some(10));
        assert!(waited[0].is_some_and(|tick| tick <= 14), "{waited:?}");
        assert!(most <= LEG_TIMERS_A_TICK + 1, "{most}");
        // A new one does not wait while they fail.
        sample.need(at(0, 4), b"new");
        assert!(sample.sent()[0].contains("about 10.0.0.4 "));
    }

    #[test]
    fn legs_take_turns_when_more_is_due_than_a_tick_does() {
        let links = (0..64).map(|number| {
            let address = format!("10.{number}.0.1/16").parse().unwrap();
            Link::new(own(number), vec![address])
        });
        let mut neighbours = Neighbours::new(links.collect(), 7);
        let mut post = Posted::default();
        (0..40).for_each(|now| neighbours.tick(Tick(now), &mut post));
        // Each has enough to do for two ticks, and a tick does that of half of them.
        let hosts = |leg: u8| (1..3).flat_map(move |net| (0..=255).map(move |n| [10, leg, net, n]));
        for address in (0..64).flat_map(hosts) {
            let hop = Hop { leg: LegId(address[1].into()), address: address.into() };
            neighbours.need(hop, Box::from(*b"x"), Tick(40), &mut post);
        }
        post.sent.clear();
        let mut legs = Vec::new();
        for now in [50, 51] {
            neighbours.tick(Tick(now), &mut post);
            assert_eq!(post.sent.len(), 8192);
            legs.extend(post.sent.drain(..).map(|(leg, ..)| leg));
        }
        legs.sort_unstable();
        legs.dedup();
        assert_eq!(legs.len(), 64, "each has been served");
    }

    #[test]
    fn a_flood_on_one_leg_costs_another_nothing() {
        let mut sample = Sample::of(vec![wide(64), link(1)]);
        let other = hop(1, "10.0.1.2");
        sample.need(other, b"x");
        sample.arp(1, &arp_reply((station(2), "10.0.1.2"), "10.0.1.1"));
        for number in 1000..5000 {
            sample.need(at(0, number), &[7; 1500]);
            let source = host(number + 10_000).to_string();
            sample.arp(0, &arp_request((station(9), &source), "10.0.0.1"));
            sample.ticks(u32::from(number % 50 == 0));
        }
        let on = |leg| sample.neighbours.iter().filter(move |n| n.hop.leg == LegId(leg)).count();
        assert_eq!((on(0), on(1)), (64, 1));
        assert_eq!(sample.state(other), Some(State::Reachable));
        sample.sent();
        sample.need(hop(1, "10.0.1.3"), b"x");
        assert_eq!(sample.sent().len(), 1);
        assert!(sample.count(Counter::AskLimited) > 2000);
    }

    #[test]
    fn neighbours_give_way_in_the_order_of_the_head_comment() {
        let mut sample = Sample::of(vec![wide(4)]);
        // One that failed, one stale, one spoken to, one permanent.
        let learn = |sample: &mut Sample, number: u32| {
            sample.need(at(0, number), b"x");
            answer(sample, 0, number, station(number as u8));
        };
        learn(&mut sample, 2);
        sample.ticks(451);
        sample.need(at(0, 4), b"dead");
        sample.ticks(30);
        learn(&mut sample, 3);
        sample.neighbours.add_static(at(0, 5), station(5)).unwrap();
        // And a stranger.
        let strange = |sample: &mut Sample, number: u32| {
            let source = host(number).to_string();
            sample.arp(0, &arp_request((station(9), &source), "10.0.0.1"));
        };
        strange(&mut sample, 6);
        let there = |sample: &Sample| {
            let numbers = sample.neighbours.iter().map(|n| match n.hop.address {
                IpAddr::V4(address) => address.octets()[3],
                IpAddr::V6(_) => 0,
            });
            numbers.collect::<Vec<_>>()
        };
        assert_eq!(there(&sample), [2, 3, 4, 5, 6]);
        // A stranger takes the place of one that failed, then of another stranger.
        strange(&mut sample, 7);
        assert_eq!(there(&sample), [2, 3, 5, 6, 7]);
        strange(&mut sample, 8);
        assert_eq!(there(&sample), [2, 3, 5, 7, 8]);
        // Who is needed takes that of strangers, then of who is being asked.
        for (number, expected) in
            [(10, [2, 3, 5, 8, 10]), (11, [2, 3, 5, 10, 11]), (12, [2, 3, 5, 11, 12])]
        {
            sample.need(at(0, number), b"x");
            assert_eq!(there(&sample), expected);
        }
        assert_eq!(sample.count(Counter::HeldLost), 1);
        // A stranger takes nothing of these.
        strange(&mut sample, 13);
        assert_eq!(there(&sample), [2, 3, 5, 11, 12]);
        assert_eq!(sample.post.events.pop(), Some(Event::NeighbourFull { leg: LegId(0) }));
        assert!(sample.sent().last().unwrap().contains("Reply 10.0.0.1"), "it is answered");
        // They answer: now a stale one goes, and nobody who is spoken to.
        answer(&mut sample, 0, 11, station(11));
        answer(&mut sample, 0, 12, station(12));
        sample.ticks(20);
        sample.need(at(0, 14), b"x");
        assert_eq!(there(&sample), [3, 5, 11, 12, 14]);
        answer(&mut sample, 0, 14, station(14));
        sample.need(at(0, 15), b"x");
        assert_eq!(there(&sample), [3, 5, 11, 12, 14]);
        assert_eq!(sample.count(Counter::NeighbourFull), 1);
        assert_eq!(sample.count(Counter::NeighbourRefused), 1);
    }

    #[test]
    fn questions_for_new_neighbours_are_limited_and_those_for_known_ones_are_not() {
        let mut sample = Sample::of(vec![wide(50)]);
        sample.need(at(0, 2), b"x");
        answer(&mut sample, 0, 2, station(2));
        let mut asked = 0;
        for number in 0..1000 {
            sample.need(at(0, 1000 + number), b"x");
            sample.need(at(0, 2), b"x");
            asked += sample.sent().len();
        }
        // That for the first among them.
        assert_eq!(asked, 50);
        assert_eq!(sample.released().len(), 1001);
        assert_eq!(sample.count(Counter::AskLimited), 951);
        sample.ticks(2);
        sample.sent();
        (0..100).for_each(|number| sample.need(at(0, 5000 + number), b"x"));
        assert_eq!(sample.sent().len(), 10);
    }

    #[test]
    fn groups_and_broadcasts_are_nobody_to_be_asked_for() {
        let mut sample = Sample::new(1);
        let fixed = [
            ("224.0.0.5", "01:00:5e:00:00:05"),
            ("ff02::5", "33:33:00:00:00:05"),
            ("255.255.255.255", "ff:ff:ff:ff:ff:ff"),
            ("10.0.0.255", "ff:ff:ff:ff:ff:ff"),
        ];
        for (address, to) in fixed {
            sample.need(hop(0, address), b"x");
            assert_eq!(sample.released()[0].1.to_string(), to);
        }
        for nobody in ["0.0.0.0", "127.0.0.1", "::", "::1", "10.0.0.1", "fd00::1"] {
            sample.need(hop(0, nobody), b"x");
            assert_eq!(sample.post.failed.pop(), Some((hop(0, nobody), Box::from(*b"x"))));
        }
        assert!(sample.sent().is_empty() && sample.neighbours.iter().count() == 0);
        // A link of two has no broadcast.
        let two = Link::new(own(0), vec!["10.0.0.0/31".parse().unwrap()]);
        let mut sample = Sample::of(vec![two]);
        sample.need(hop(0, "10.0.0.1"), b"x");
        assert_eq!(sample.sent().len(), 1);
    }

    #[test]
    fn without_an_address_of_its_version_nobody_is_asked_and_it_fails() {
        let v6 = Link::new(own(0), vec!["fd00::1/64".parse().unwrap()]);
        let mut sample = Sample::of(vec![v6]);
        sample.need(hop(0, "10.0.0.2"), b"x");
        sample.ticks(30);
        assert_eq!((sample.sent().len(), sample.post.failed.len()), (0, 1));
    }

    #[test]
    fn solicitation_of_a_neighbour_that_is_asked_for_answers_it() {
        let mut sample = Sample::new(1);
        let hop = hop(0, "fd00::2");
        sample.need(hop, b"x");
        sample.ndp(0, station(2), &solicit("fd00::2", "fd00::1", Some(station(2))));
        assert_eq!(sample.released(), [(hop, station(2), Box::from(*b"x"))]);
        // It is not known whether it hears the router, so it will be asked.
        assert_eq!(sample.state(hop), Some(State::Delay));
    }
}

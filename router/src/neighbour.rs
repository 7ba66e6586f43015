//! Neighbours: who has which link-layer address on the links of the router, by ARP and neighbour
//! discovery (RFC 826, 5227, 4861, 4862).
//!
//! Two protocols, one machine: both have the states of RFC 4861, section 7.3.2 (see
//! `neighbour/entry.rs`), as in Linux. Messages are read in `neighbour/{arp,ndp}.rs`; what becomes
//! of them is decided in `neighbour/hearing.rs` and `neighbour/leg.rs`. What workers see of it all
//! is [`resolved::Resolved`].
//!
//! Strangers write these messages, so:
//!
//! * A neighbour comes to be in two ways only: the router needs it, or it asks for the router.
//!   What nobody asked for changes what is known, and never adds to it.
//! * Each leg has a quota of neighbours, and of packets and octets that wait. When it is used up,
//!   they give way in this order: who did not answer, who asked for the router and was never
//!   spoken to, who is being asked, who has not been spoken to for long. Who is spoken to stays,
//!   and so does who was entered by a person. Who asks takes only of the first two.
//! * Each leg asks for as many new neighbours a second as its quota. A packet beyond that ends.
//! * A neighbour that does not answer is remembered for some seconds, so that packets for it fail
//!   at once. Each neighbour has a timer of its own, and a tick ends a bounded number of them, of
//!   each leg in turn: a thousand that are dead do not delay one that lives.
//! * An address of the router that somebody else uses is defended, not too often, and told.
//!
//! What is ugly: whoever is on a link can speak for others there. Neither protocol can tell.

mod arp;
mod claim;
mod entry;
mod hearing;
mod leg;
mod ndp;
pub mod resolved;
#[cfg(test)]
mod sample;
mod speech;
pub mod stats;
mod table;

use std::{fmt, net::IpAddr, sync::Arc, time::Duration};

pub use self::{claim::Standing, entry::State};
use self::{
    entry::Entry,
    leg::{Leg, Shared, is_host},
    resolved::Resolved,
    stats::{Counter, NeighbourStats},
};
use crate::{
    limit::Tick,
    link::{LinkAddress, Post},
    prefix::{LegAddress, Prefix},
    route::{Hop, LEGS_MAX, LegId},
    tables::is_link_local,
};

/// Neighbours of a leg, if nothing else is said.
pub const QUOTA_DEFAULT: usize = 1024;
/// The most that a leg may have.
pub const QUOTA_MAX: usize = 65_536;
/// Neighbours of a leg that a person may enter; they do not count against its quota.
pub const PERMANENT_MAX: usize = 1024;
/// Timers that end in one tick, of all legs and of one: the others end with the next.
const TIMERS_A_TICK: usize = 8192;
const LEG_TIMERS_A_TICK: usize = 256;
/// The first tick, far from 0, so that what was before it has a number.
const START: u64 = 1 << 32;

/// What a leg is on its link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its link-layer address.
    pub own: LinkAddress,
    /// Its addresses. A link-local one of IPv6 is added if there is none: see [`Link::own`].
    pub addresses: Vec<LegAddress>,
    /// The link-layer address of whoever is at the other end. Nobody is asked for there.
    pub point_to_point: Option<LinkAddress>,
    /// Whether it answers for addresses on the links of other legs (RFC 1027; RFC 4861, section
    /// 7.2.8).
    pub proxy: bool,
    /// Neighbours that it may have, 1 to [`QUOTA_MAX`]; those that a person entered not counted.
    pub quota: usize,
}

impl Link {
    /// A link with others on it, all else as usual.
    pub fn new(own: LinkAddress, addresses: Vec<LegAddress>) -> Link {
        Link { own, addresses, point_to_point: None, proxy: false, quota: QUOTA_DEFAULT }
    }

    /// All addresses that the leg has: those that were given, and the link-local one that is made
    /// of its link-layer address (RFC 4862, section 5.3), unless another was given or the link is
    /// one from point to point.
    pub fn own(&self) -> Vec<LegAddress> {
        let mut own = self.addresses.clone();
        let has = own.iter().any(|own| own.address.is_ipv6() && is_link_local(own.address));
        let address = IpAddr::from(self.own.link_local());
        if let Some(prefix) = Prefix::of(address, 64).filter(|_| !has && !self.is_private()) {
            own.push(LegAddress { address, prefix });
        }
        own
    }

    fn is_private(&self) -> bool {
        self.point_to_point.is_some()
    }

    fn quota(&self) -> usize {
        self.quota.clamp(1, QUOTA_MAX)
    }

    /// Whether the other is what became of this one: then what is known of it is worth keeping.
    fn is_alike(&self, other: &Link) -> bool {
        let same = self.own == other.own && self.point_to_point == other.point_to_point;
        let shares = self.addresses.iter().any(|own| other.addresses.contains(own));
        same && (shares || self.addresses.is_empty() || other.addresses.is_empty())
    }
}

/// A neighbour, as tables show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// Its address, and the leg on whose link it is.
    pub hop: Hop,
    /// Its link-layer address, if that is known.
    pub to: Option<LinkAddress>,
    /// What is known of it.
    pub state: State,
    /// For how long it has been so; if it answered since, since then.
    pub age: Duration,
    /// Packets that wait for it.
    pub held: usize,
}

/// Why somebody cannot be entered as a neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NeighbourFault {
    /// There is no such leg.
    NoLeg(LegId),
    /// The leg's link has one neighbour, whose link-layer address is given.
    PointToPoint(LegId),
    /// No host can have this address.
    NotHost(IpAddr),
    /// The router itself has this address.
    Own(IpAddr),
    /// No station can have this link-layer address.
    NotStation(LinkAddress),
    /// The leg has [`PERMANENT_MAX`] already.
    Full(LegId),
}

impl fmt::Display for NeighbourFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NeighbourFault::NoLeg(LegId(leg)) => write!(f, "there is no leg {leg}"),
            NeighbourFault::PointToPoint(LegId(leg)) => write!(
                f,
                "leg {leg} leads to one station, whose link-layer address is known: nobody else \
                 is there"
            ),
            NeighbourFault::NotHost(address) => {
                write!(f, "{address} cannot be a neighbour: no host may have that address")
            }
            NeighbourFault::Own(address) => {
                write!(f, "{address} cannot be a neighbour: it is this router's own")
            }
            NeighbourFault::NotStation(address) => write!(
                f,
                "{address} cannot be a neighbour's: it is a group's or nobody's; write one as \
                 02:00:00:00:00:01"
            ),
            NeighbourFault::Full(LegId(leg)) => write!(
                f,
                "leg {leg} has {PERMANENT_MAX} permanent neighbours already: remove one first"
            ),
        }
    }
}

impl std::error::Error for NeighbourFault {}

/// The neighbours of all legs.
///
/// Legs are named by their place in the list of links. To name another one is a mistake of the
/// caller, and panics, but in what persons say ([`Neighbours::add_static`], [`Neighbours::remove`],
/// [`Neighbours::flush`]) and workers ([`Neighbours::used`]).
#[derive(Debug)]
pub struct Neighbours {
    legs: Vec<Leg>,
    shared: Shared,
    /// With what time begins.
    began: bool,
    resolved: Resolved,
    seed: u64,
    /// The changes of standings that workers know of.
    told_standings: u64,
    /// Whether legs have come or gone.
    swapped: bool,
    /// Whose timers are looked at first.
    turn: usize,
}

impl Neighbours {
    /// Nobody is known yet. The router's own addresses are announced with the first tick. The
    /// seed is a secret.
    ///
    /// # Panics
    ///
    /// If there are more than [`LEGS_MAX`] links.
    pub fn new(links: Vec<Link>, seed: u64) -> Neighbours {
        let stats = NeighbourStats::default();
        let shared = Shared { now: START, tick: Tick(0), random: seed, stats, standings: 0 };
        let resolved = Resolved::new(seed, &[]);
        let mut new = Neighbours {
            legs: Vec::new(),
            shared,
            began: false,
            resolved,
            seed,
            told_standings: 0,
            swapped: true,
            turn: 0,
        };
        new.swap(links);
        new
    }

    /// Goes on with other links. What is known of legs that stay alike stays, whatever their number
    /// is now: the same kind of link and link-layer address, and an address in common. Addresses
    /// that are new are announced. Returns the numbers that legs have now, by those that they had;
    /// what waits ([`Neighbours::held_mut`]) may bear old ones.
    ///
    /// # Panics
    ///
    /// If there are more than [`LEGS_MAX`] links.
    pub fn swap(&mut self, links: Vec<Link>) -> Vec<Option<LegId>> {
        assert!(links.len() <= LEGS_MAX, "legs of a router");
        let mut old = std::mem::take(&mut self.legs).into_iter().map(Some).collect::<Vec<_>>();
        let mut moved = vec![None; old.len()];
        for (index, link) in links.into_iter().enumerate() {
            let id = LegId(index as u16);
            // Most legs keep their place.
            let places = (index..old.len()).chain(0..index.min(old.len()));
            let is_it = |place: &usize| {
                let leg: &Option<Leg> = &old[*place];
                leg.as_ref().is_some_and(|leg| leg.link.is_alike(&link))
            };
            let place = places.into_iter().find(is_it);
            let leg = match place.and_then(|place| Some((place, old[place].take()?))) {
                Some((place, mut leg)) => {
                    moved[place] = Some(id);
                    leg.id = id;
                    leg.change(link, &mut self.shared);
                    leg
                }
                None => Leg::new(id, link),
            };
            self.legs.push(leg);
        }
        for mut gone in old.into_iter().flatten() {
            gone.flush(true, &mut self.shared);
        }
        (self.swapped, self.turn) = (true, 0);
        self.shared.standings += 1;
        moved
    }

    /// All that waits for neighbours, to be written to. Its length stays.
    pub fn held_mut(&mut self) -> impl Iterator<Item = &mut [u8]> {
        self.legs.iter_mut().flat_map(|leg| leg.table.held_mut())
    }

    /// Enters a neighbour that stays until it is removed.
    ///
    /// # Errors
    ///
    /// Why it cannot be.
    pub fn add_static(&mut self, hop: Hop, to: LinkAddress) -> Result<(), NeighbourFault> {
        let Hop { leg: id, address } = hop;
        let now = self.shared.now;
        let leg = self.legs.get_mut(id.index()).ok_or(NeighbourFault::NoLeg(id))?;
        let known = leg.table.get(address).map(|entry| entry.state);
        if leg.link.is_private() {
            return Err(NeighbourFault::PointToPoint(id));
        }
        if !is_host(address) {
            return Err(NeighbourFault::NotHost(address));
        }
        if leg.standing(address).is_some() {
            return Err(NeighbourFault::Own(address));
        }
        if !to.is_station() {
            return Err(NeighbourFault::NotStation(to));
        }
        if known != Some(State::Permanent) && leg.table.permanent() >= PERMANENT_MAX {
            return Err(NeighbourFault::Full(id));
        }
        let mut entry = Entry::permanent(to, now);
        if let Some(known) = leg.table.remove(address) {
            // What waits goes with the next tick.
            entry.deadline = (!known.held.is_empty()).then_some(now);
            entry.held = known.held;
        }
        leg.table.put(address, entry);
        Ok(())
    }

    /// Removes a neighbour, also a permanent one. Returns whether there was one.
    pub fn remove(&mut self, hop: Hop) -> bool {
        let leg = self.legs.get_mut(hop.leg.index());
        leg.is_some_and(|leg| leg.forget(hop.address, &mut self.shared))
    }

    /// Removes all neighbours of a leg, or of all of them, but the permanent ones. Returns how
    /// many.
    pub fn flush(&mut self, leg: Option<LegId>) -> usize {
        let only = |at: usize| leg.is_none_or(|leg| leg.index() == at);
        let legs = self.legs.iter_mut().enumerate().filter(|(at, _)| only(*at));
        let counts = legs.map(|(_, leg)| {
            let count = leg.table.learned();
            leg.flush(false, &mut self.shared);
            count
        });
        counts.sum()
    }

    /// A message of ARP that came on a leg, from behind the Ethernet header on. Behind its end may
    /// be anything.
    pub fn arp(&mut self, leg: LegId, octets: &[u8], now: Tick, post: &mut impl Post) {
        self.advance(now);
        let verdict = match arp::Message::parse(octets) {
            _ if self.legs[leg.index()].link.is_private() => Counter::LinkPointToPoint,
            Ok(message) if message.from == self.legs[leg.index()].link.own => Counter::LinkOwn,
            Ok(message) => {
                self.take_arp(leg, &message, post);
                Counter::ArpTaken
            }
            Err(counter) => counter,
        };
        self.shared.stats.count(verdict);
    }

    /// The same for a packet with a message of neighbour discovery: types 135 and 136. `from` is
    /// the source of its frame.
    pub fn ndp(
        &mut self,
        leg: LegId,
        from: LinkAddress,
        packet: &[u8],
        now: Tick,
        post: &mut impl Post,
    ) {
        self.advance(now);
        let verdict = match ndp::Message::parse(packet) {
            _ if self.legs[leg.index()].link.is_private() => Counter::LinkPointToPoint,
            Ok(_) if from == self.legs[leg.index()].link.own => Counter::LinkOwn,
            Ok(_) if !from.is_station() => Counter::NdSource,
            Ok(message) => {
                self.take_ndp(leg, from, &message, post);
                Counter::NdTaken
            }
            Err(counter) => counter,
        };
        self.shared.stats.count(verdict);
    }

    /// A packet waits for its next hop: it is released at once if that is known, and held
    /// otherwise while the neighbour is asked for.
    pub fn need(&mut self, hop: Hop, held: Box<[u8]>, now: Tick, post: &mut impl Post) {
        self.advance(now);
        self.legs[hop.leg.index()].need(hop.address, held, &mut self.shared, post);
    }

    /// A worker sent something to a neighbour that is stale: it is asked soon whether it is still
    /// there (RFC 4861, section 7.3.3). Workers tell it late: the leg may be gone.
    pub fn used(&mut self, hop: Hop, now: Tick) {
        self.advance(now);
        let now = self.shared.now;
        if let Some(leg) = self.legs.get_mut(hop.leg.index()) {
            leg.table.edit(hop.address, |entry| entry.send(now));
        }
    }

    /// When a timer ends, or has ended; `None`: nothing is due unless something is heard or wanted.
    pub fn next(&self) -> Option<Tick> {
        let due = self.legs.iter().filter_map(Leg::next).min()?;
        let ticks = due.saturating_sub(self.shared.now).min(u64::from(u32::MAX / 2));
        Some(self.shared.tick.after(ticks as u32))
    }

    /// Timers. To be called at the tick of [`Neighbours::next`], or more often, and before what is
    /// shown or changed by persons, for whom it is then that tick. A call does bounded work; what
    /// it leaves the next one does.
    pub fn tick(&mut self, now: Tick, post: &mut impl Post) {
        self.advance(now);
        let count = self.legs.len();
        let (begin, mut left) = (self.turn, TIMERS_A_TICK);
        for step in 0..count {
            let at = (begin + step) % count;
            // Who gets nothing now is the first next time.
            self.turn = at;
            if left == 0 {
                return;
            }
            left -= self.legs[at].tick(left.min(LEG_TIMERS_A_TICK), &mut self.shared, post);
        }
    }

    /// The table for the workers, if it changed since the last call.
    pub fn resolved(&mut self) -> Option<Arc<Resolved>> {
        let mut changed = std::mem::take(&mut self.swapped);
        if changed {
            let links: Vec<_> = self.legs.iter().map(|leg| leg.link.point_to_point).collect();
            self.resolved = Resolved::new(self.seed, &links);
            self.legs.iter_mut().for_each(|leg| leg.table.change());
        }
        for (index, leg) in self.legs.iter_mut().enumerate() {
            let Some(known) = leg.table.changed() else { continue };
            self.resolved.set(LegId(index as u16), &known);
            changed = true;
        }
        if self.told_standings != self.shared.standings {
            self.told_standings = self.shared.standings;
            self.resolved.silence(self.silent());
            changed = true;
        }
        changed.then(|| Arc::new(self.resolved.clone()))
    }

    /// The next [`Neighbours::resolved`] tells the table, whether it changed or not.
    pub fn tell_again(&mut self) {
        self.told_standings = self.shared.standings.wrapping_sub(1);
    }

    /// The table as [`Neighbours::resolved`] gave it last.
    pub fn told(&self) -> &Resolved {
        &self.resolved
    }

    /// All neighbours, by leg and address.
    pub fn iter(&self) -> impl Iterator<Item = Neighbour> {
        let now = self.shared.now;
        self.legs.iter().enumerate().flat_map(move |(index, leg)| {
            leg.table.iter().map(move |(address, entry)| Neighbour {
                hop: Hop { leg: LegId(index as u16), address },
                to: entry.known().map(|known| known.to),
                state: entry.state,
                age: Duration::from_millis((now - entry.since) * Tick::MILLIS),
                held: entry.held.len(),
            })
        })
    }

    /// The router's link-layer address on a link. `None`: there is no such leg.
    pub fn link(&self, leg: LegId) -> Option<LinkAddress> {
        Some(self.legs.get(leg.index())?.link.own)
    }

    /// The router's own addresses on its links, and whether they may be used: [`Link::own`] of all
    /// legs.
    pub fn own(&self) -> impl Iterator<Item = (LegId, LegAddress, Standing)> {
        self.legs.iter().enumerate().flat_map(|(index, leg)| {
            leg.claims.iter().map(move |claim| (LegId(index as u16), claim.own, claim.standing))
        })
    }

    /// The own addresses that are not used: somebody might have them, or has them (RFC 4862,
    /// section 5.4).
    pub fn silent(&self) -> Vec<Hop> {
        let silent = self.own().filter(|(.., standing)| *standing != Standing::Preferred);
        silent.map(|(leg, own, _)| Hop { leg, address: own.address }).collect()
    }

    /// Counts the changes of what [`Neighbours::own`] says.
    pub fn standings(&self) -> u64 {
        self.shared.standings
    }

    /// What became of messages, packets and neighbours up to now.
    pub fn stats(&self) -> &NeighbourStats {
        &self.shared.stats
    }

    /// Packets that wait.
    pub fn held(&self) -> u64 {
        let entries = self.legs.iter().flat_map(|leg| leg.table.iter());
        entries.map(|(_, entry)| entry.held.len() as u64).sum()
    }

    /// Time goes on. It never goes back: clocks are read in several places.
    fn advance(&mut self, now: Tick) {
        let ticks = now.0.wrapping_sub(self.shared.tick.0);
        if !self.began {
            (self.began, self.shared.tick) = (true, now);
        } else if ticks <= u32::MAX / 2 {
            self.shared.now += u64::from(ticks);
            self.shared.tick = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        sample::{
            Posted, Sample, advertise, arp_reply, arp_request, hop, ip, link, own, station, words,
        },
        *,
    };
    use crate::link::Event;

    #[test]
    fn own_addresses_are_announced_twice_those_of_ipv6_after_a_question() {
        let mut neighbours = Neighbours::new(vec![link(0)], 7);
        let (mut post, mut said) = (Posted::default(), Vec::new());
        for now in 0..100 {
            neighbours.tick(Tick(now), &mut post);
            said.extend(words(&post.sent).into_iter().map(|line| format!("{now} {line}")));
            post.sent.clear();
        }
        let (me, all, nodes) = (own(0), "ff:ff:ff:ff:ff:ff", "33:33:00:00:00:01");
        let arp = format!("0 {all}: Request 10.0.0.1 at {me} about 10.0.0.1 at 00:00:00:00:00:00");
        let ask = |own: &str, end: &str, group: &str| {
            format!("0 0 33:33:ff:{end}: Solicit :: to ff02::1:ff{group} about {own} at nowhere")
        };
        let tell =
            |own: &str| format!("0 {nodes}: Advert R-O {own} to ff02::1 about {own} at {me}");
        let local = "fe80::ff:fe00:ff00";
        let [first, second] = ["fd00::1", local].map(tell);
        let expected = [
            format!("0 {arp}"),
            ask("fd00::1", "00:00:01", "00:1"),
            ask(local, "00:ff:00", "00:ff00"),
            format!("10 {first}"),
            format!("10 {second}"),
            format!("20 {arp}"),
            format!("30 {first}"),
            format!("30 {second}"),
        ];
        assert_eq!(said, expected);
        assert!(neighbours.own().all(|(.., standing)| standing == Standing::Preferred));
    }

    #[test]
    fn swap_keeps_what_is_known_of_legs_that_stay_and_announces_what_is_new() {
        let mut sample = Sample::new(2);
        let (a, b) = (hop(0, "10.0.0.2"), hop(1, "10.0.1.2"));
        for (leg, hop, number) in [(0, a, 2), (1, b, 3)] {
            sample.need(hop, b"x");
            let reply =
                arp_reply((station(number), &hop.address.to_string()), &format!("10.0.{leg}.1"));
            sample.arp(leg, &reply);
        }
        let mut first = link(0);
        first.addresses.push("10.7.0.1/24".parse().unwrap());
        let second = Link { own: own(9), ..link(1) };
        sample.sent();
        sample.neighbours.swap(vec![first.clone(), second]);
        assert_eq!(sample.state(a), Some(State::Reachable));
        assert_eq!(sample.state(b), None, "another link-layer address: another link");
        sample.ticks(1);
        let said = sample.sent();
        let about = |text: &str| said.iter().filter(|line| line.contains(text)).count();
        assert_eq!((about("about 10.7.0.1"), about("about 10.0.0.1 ")), (1, 0), "{said:?}");
        assert_eq!(about("about 10.0.1.1"), 1);
        // A leg less, and one that is another in its place. A worker has yet to hear of it.
        sample.neighbours.swap(vec![Link { addresses: vec![link(1).addresses[0]], ..first }]);
        assert_eq!(sample.neighbours.iter().count(), 0);
        sample.neighbours.used(b, Tick(sample.now));
    }

    #[test]
    fn leg_that_gets_another_number_keeps_its_neighbours() {
        let mut sample = Sample::new(2);
        let (a, b) = (hop(0, "10.0.0.2"), hop(1, "10.0.1.2"));
        for (leg, hop, number) in [(0, a, 2), (1, b, 3)] {
            sample.need(hop, b"x");
            let reply =
                arp_reply((station(number), &hop.address.to_string()), &format!("10.0.{leg}.1"));
            sample.arp(leg, &reply);
        }
        let waits = hop(1, "10.0.1.9");
        sample.need(waits, b"waits");
        sample.neighbours.resolved();
        sample.released();
        let between = Link { addresses: vec!["10.7.0.1/24".parse().unwrap()], ..link(7) };
        let moved = sample.neighbours.swap(vec![between, link(1), link(0)]);
        assert_eq!(moved, [Some(LegId(2)), Some(LegId(1))]);
        let a = Hop { leg: LegId(2), ..a };
        assert_eq!([a, b].map(|hop| sample.state(hop)), [Some(State::Reachable); 2]);
        let table = sample.neighbours.resolved().unwrap();
        assert_eq!([a, b].map(|hop| table.get(hop).unwrap().to), [station(2), station(3)]);
        assert_eq!(table.get(hop(0, "10.0.0.2")), None);
        // What waits goes on, by the leg's new number.
        assert_eq!(sample.neighbours.held_mut().count(), 1);
        let moved = sample.neighbours.swap(vec![link(1)]);
        assert_eq!(moved, [None, Some(LegId(0)), None]);
        sample.arp(0, &arp_reply((station(9), "10.0.1.9"), "10.0.1.1"));
        let (hop, to, held) = sample.released().remove(0);
        assert_eq!((hop.leg, to, &*held), (LegId(0), station(9), &b"waits"[..]));
    }

    #[test]
    fn swap_removes_who_has_become_the_router_itself_and_who_is_too_many() {
        let mut sample = Sample::new(1);
        for last in 2..8 {
            sample.need(hop(0, &format!("10.0.0.{last}")), b"x");
        }
        let mut changed = Link { quota: 3, ..link(0) };
        changed.addresses.push("10.0.0.7/24".parse().unwrap());
        sample.neighbours.swap(vec![changed]);
        assert_eq!(sample.state(hop(0, "10.0.0.7")), None);
        assert_eq!(sample.neighbours.iter().count(), 3);
        assert_eq!(sample.count(Counter::HeldLost), 3);
    }

    #[test]
    fn permanent_neighbours_need_no_answer_and_listen_to_none() {
        let mut sample = Sample::new(1);
        let hop = hop(0, "10.0.0.2");
        sample.need(hop, b"waits");
        assert_eq!(sample.neighbours.add_static(hop, station(2)), Ok(()));
        sample.ticks(1);
        let waited = (hop, station(2), Box::from(*b"waits"));
        assert_eq!(sample.released(), [waited]);
        sample.arp(0, &arp_reply((station(9), "10.0.0.2"), "10.0.0.1"));
        sample.ticks(20_000);
        sample.need(hop, b"x");
        assert_eq!(sample.released()[0].1, station(2));
        assert_eq!(sample.state(hop), Some(State::Permanent));
        assert_eq!(sample.neighbours.flush(None), 0);
        assert_eq!(sample.neighbours.iter().count(), 1);
        assert!(sample.neighbours.remove(hop) && !sample.neighbours.remove(hop));
        assert!(!sample.neighbours.remove(Hop { leg: LegId(5), ..hop }));
    }

    #[test]
    fn who_cannot_be_a_neighbour_is_refused_with_a_sentence() {
        let mut sample =
            Sample::of(vec![link(0), Link { point_to_point: Some(station(9)), ..link(1) }]);
        let mut fault = |leg, address: &str, to| {
            sample.neighbours.add_static(hop(leg, address), to).unwrap_err().to_string()
        };
        assert_eq!(fault(2, "10.0.0.2", station(1)), "there is no leg 2");
        assert!(fault(1, "10.0.1.2", station(1)).contains("leads to one station"));
        for nobody in ["224.0.0.1", "0.0.0.0", "127.0.0.1", "ff02::1", "::", "::1"] {
            assert!(fault(0, nobody, station(1)).contains("no host may have"), "{nobody}");
        }
        assert!(fault(0, "10.0.0.1", station(1)).contains("this router's own"));
        assert!(fault(0, "fe80::ff:fe00:ff00", station(1)).contains("this router's own"));
        for nobody in [LinkAddress::NULL, LinkAddress::BROADCAST] {
            assert!(fault(0, "10.0.0.2", nobody).contains("group's or nobody's"));
        }
        for number in 0..PERMANENT_MAX as u32 {
            let address = IpAddr::from((0x0a00_0100 + number).to_be_bytes());
            let hop = Hop { leg: LegId(0), address };
            assert_eq!(sample.neighbours.add_static(hop, station(1)), Ok(()));
        }
        let full = sample.neighbours.add_static(hop(0, "10.0.0.2"), station(1));
        assert_eq!(full, Err(NeighbourFault::Full(LegId(0))));
        // Who is there may have another address.
        assert_eq!(sample.neighbours.add_static(hop(0, "10.0.1.0"), station(2)), Ok(()));
    }

    #[test]
    fn workers_get_a_table_when_it_changed_and_only_then() {
        let mut sample =
            Sample::of(vec![link(0), Link { point_to_point: Some(station(9)), ..link(1) }]);
        let table = sample.neighbours.resolved().unwrap();
        assert_eq!(table.get(hop(1, "10.0.1.7")).unwrap().to, station(9));
        assert!(sample.neighbours.resolved().is_none());
        let hop = hop(0, "10.0.0.2");
        sample.need(hop, b"x");
        assert!(sample.neighbours.resolved().is_none(), "nobody is known by a question");
        sample.arp(0, &arp_reply((station(2), "10.0.0.2"), "10.0.0.1"));
        let known = sample.neighbours.resolved().unwrap().get(hop).unwrap();
        assert_eq!((known.to, known.stale), (station(2), false));
        sample.arp(0, &arp_reply((station(2), "10.0.0.2"), "10.0.0.1"));
        assert!(sample.neighbours.resolved().is_none());
        sample.ticks(451);
        assert!(sample.neighbours.resolved().unwrap().get(hop).unwrap().stale);
        sample.neighbours.used(hop, Tick(sample.now));
        assert!(!sample.neighbours.resolved().unwrap().get(hop).unwrap().stale);
        sample.neighbours.flush(Some(LegId(1)));
        assert!(sample.neighbours.resolved().is_none());
        assert_eq!(sample.neighbours.flush(Some(LegId(0))), 1);
        assert_eq!(sample.neighbours.resolved().unwrap().get(hop), None);
        sample.neighbours.swap(vec![link(0)]);
        assert!(sample.neighbours.resolved().is_some());
        assert!(sample.neighbours.resolved().is_none());
        sample.neighbours.tell_again();
        assert!(sample.neighbours.resolved().is_some(), "somebody has not listened");
        assert!(sample.neighbours.resolved().is_none());
    }

    #[test]
    fn nobody_asks_or_answers_on_a_link_from_point_to_point() {
        let private = Link { point_to_point: Some(station(9)), ..link(0) };
        let mut neighbours = Neighbours::new(vec![private.clone()], 7);
        let mut post = Posted::default();
        (0..100).for_each(|now| neighbours.tick(Tick(now), &mut post));
        neighbours.arp(
            LegId(0),
            &arp_request((station(9), "10.0.0.2"), "10.0.0.1"),
            Tick(100),
            &mut post,
        );
        let all = advertise("fd00::2", "ff02::1", "O", Some(station(9)));
        neighbours.ndp(LegId(0), station(9), &all, Tick(100), &mut post);
        assert!(post.sent.is_empty() && post.events.is_empty());
        assert_eq!(neighbours.stats().get(Counter::LinkPointToPoint), 2);
        neighbours.need(hop(0, "fd00::77"), Box::from(*b"x"), Tick(100), &mut post);
        assert_eq!(post.released.pop().unwrap().1, station(9));
        // It has no link-local address of its own.
        assert_eq!(private.own().len(), 2);
    }

    #[test]
    fn list_shows_state_and_age() {
        let mut sample = Sample::new(1);
        let hop = hop(0, "10.0.0.2");
        sample.need(hop, b"x");
        sample.ticks(5);
        let shown = sample.find(hop).unwrap();
        assert_eq!(
            (shown.state.to_string().as_str(), shown.to, shown.held),
            ("INCOMPLETE", None, 1)
        );
        assert_eq!(shown.age, Duration::from_millis(500));
        sample.arp(0, &arp_reply((station(2), "10.0.0.2"), "10.0.0.1"));
        let shown = sample.find(hop).unwrap();
        assert_eq!((shown.state, shown.to), (State::Reachable, Some(station(2))));
        assert_eq!((shown.age, shown.held), (Duration::ZERO, 0));
    }

    #[test]
    fn time_may_wrap_and_be_read_twice() {
        let mut neighbours = Neighbours::new(vec![link(0)], 7);
        let mut post = Posted::default();
        let begin = u32::MAX - 5;
        neighbours.tick(Tick(begin), &mut post);
        neighbours.need(hop(0, "10.0.0.2"), Box::from(*b"x"), Tick(begin), &mut post);
        // A clock that was read before.
        neighbours.tick(Tick(begin - 3), &mut post);
        for ticks in 1..30 {
            neighbours.tick(Tick(begin.wrapping_add(ticks)), &mut post);
            assert!(post.failed.is_empty());
        }
        neighbours.tick(Tick(begin.wrapping_add(30)), &mut post);
        assert_eq!(post.failed.len(), 1);
        assert_eq!(post.events, [Event::NeighbourFailed { hop: hop(0, "10.0.0.2") }]);
        assert_eq!(post.failed[0].0.address, ip("10.0.0.2"));
    }
}

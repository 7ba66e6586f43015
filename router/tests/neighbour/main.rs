//! Neighbours beside a model of what may be known of whom, and when, on random scripts of needs,
//! messages and ticks on several legs. smoltcp writes the messages of the hosts, and reads all
//! that the router says.
//!
//! What the model cannot know is when an answer is too old, for that is drawn: there it asks, and
//! only that a neighbour is not given up too soon is tested.

mod script;
mod wire;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use proptest::{collection::vec, prelude::*};
use script::{LEGS, Message, Step, host, octets, own, station, step};
use uswitch_router::{
    limit::Tick,
    link::{Event, LinkAddress, Post},
    neighbour::{Link, Neighbours, QUOTA_DEFAULT, State, stats::Counter},
    route::{Hop, LegId},
};
use wire::Said;

/// Three questions, a second apart.
const FAILS: u64 = 30;
const FAILED: u64 = 50;
/// An answer is good for so long at the least.
const GOOD: u64 = 150;
/// From a packet to somebody stale to the end of three questions without an answer.
const GIVEN_UP: u64 = 80;
const FORGOTTEN: u64 = 6000;

/// What the router did.
#[derive(Debug, Default)]
struct Posted {
    asked: Vec<(Hop, bool)>,
    released: Vec<(Hop, LinkAddress, u64)>,
    failed: Vec<(Hop, u64)>,
    events: Vec<Event>,
}

fn number(held: &[u8]) -> u64 {
    u64::from_be_bytes(*held.first_chunk().expect("eight octets"))
}

impl Post for Posted {
    fn send(&mut self, leg: LegId, to: LinkAddress, ethertype: u16, payload: &[u8]) {
        let said = wire::read(own(leg.index()), to, ethertype, payload);
        if let Said::Ask { source, target } = said {
            assert!(!source.is_unspecified(), "its own addresses were asked for before");
            self.asked.push((Hop { leg, address: target }, to.is_group()));
        }
    }
    fn release(&mut self, hop: Hop, to: LinkAddress, held: Box<[u8]>) {
        self.released.push((hop, to, number(&held)));
    }
    fn fail(&mut self, hop: Hop, held: Box<[u8]>) {
        self.failed.push((hop, number(&held)));
    }
    fn event(&mut self, event: Event) {
        self.events.push(event);
    }
}

/// Swallows the first announcements.
struct Silent;

impl Post for Silent {
    fn send(&mut self, leg: LegId, to: LinkAddress, ethertype: u16, payload: &[u8]) {
        wire::read(own(leg.index()), to, ethertype, payload);
    }
    fn release(&mut self, _: Hop, _: LinkAddress, _: Box<[u8]>) {}
    fn fail(&mut self, _: Hop, _: Box<[u8]>) {}
    fn event(&mut self, _: Event) {}
}

/// What the model knows of a host.
#[derive(Clone, Debug)]
enum Entry {
    Asked {
        since: u64,
        held: VecDeque<u64>,
    },
    Known {
        to: LinkAddress,
        /// From when on it may be stale, and from when on it may be gone.
        stale: u64,
        gone: u64,
    },
    Failed {
        since: u64,
    },
    Permanent {
        to: LinkAddress,
        held: VecDeque<u64>,
    },
}

/// The router, and what it should know.
struct Model {
    neighbours: Neighbours,
    now: u64,
    hosts: BTreeMap<Hop, Entry>,
    /// Packets that were needed up to now, and when each neighbour was asked for last.
    needs: u64,
    asked: BTreeMap<Hop, u64>,
}

fn links(quota: usize) -> Vec<Link> {
    let link = |leg: usize| {
        let addresses = [format!("10.0.{leg}.1/24"), format!("fd00:{leg}::1/64")];
        let addresses = addresses.map(|text| text.parse().unwrap()).to_vec();
        Link { quota, ..Link::new(own(leg), addresses) }
    };
    (0..LEGS).map(link).collect()
}

/// Neighbours whose own addresses are announced and used, at tick 50.
fn begun(quota: usize) -> Neighbours {
    let mut neighbours = Neighbours::new(links(quota), 3);
    (0..=50).for_each(|now| neighbours.tick(Tick(now), &mut Silent));
    neighbours
}

impl Model {
    fn new() -> Model {
        let (hosts, asked) = Default::default();
        Model { neighbours: begun(QUOTA_DEFAULT), now: 50, hosts, needs: 0, asked }
    }

    fn tick(&self) -> Tick {
        Tick(self.now as u32)
    }

    fn step(&mut self, step: &Step) {
        let (mut post, mut expected) = (Posted::default(), Posted::default());
        match step {
            Step::Need(host) => {
                let packet = Box::from(self.needs.to_be_bytes());
                self.neighbours.need(host.hop(), packet, self.tick(), &mut post);
                self.need(host.hop(), &mut expected);
                self.needs += 1;
            }
            Step::Used(host) => {
                self.neighbours.used(host.hop(), self.tick());
                self.sent(host.hop());
            }
            Step::Hear(host, message, at) => {
                let Some(octets) = octets(*host, *message, station(*at)) else { return };
                let (leg, now) = (LegId(host.leg as u16), self.tick());
                match host.v6 {
                    true => self.neighbours.ndp(leg, station(*at), &octets, now, &mut post),
                    false => self.neighbours.arp(leg, &octets, now, &mut post),
                }
                self.hear(host.hop(), *message, station(*at), &mut expected);
            }
            Step::Ticks(ticks) => {
                for _ in 0..*ticks {
                    self.now += 1;
                    self.neighbours.tick(self.tick(), &mut post);
                    self.pass(&mut expected);
                    self.check(&mut post, &mut expected);
                }
            }
            Step::Enter(host, at) => {
                self.neighbours.add_static(host.hop(), station(*at)).expect("it may be one");
                let held = match self.hosts.remove(&host.hop()) {
                    Some(Entry::Asked { held, .. } | Entry::Permanent { held, .. }) => held,
                    _ => VecDeque::new(),
                };
                self.hosts.insert(host.hop(), Entry::Permanent { to: station(*at), held });
            }
            Step::Remove(host) => {
                let removed = self.neighbours.remove(host.hop());
                assert_eq!(removed, self.hosts.remove(&host.hop()).is_some());
                self.asked.remove(&host.hop());
            }
            Step::Flush(leg) => {
                let before = self.hosts.len();
                let stays = |hop: &Hop, entry: &Entry| {
                    hop.leg.index() != *leg || matches!(entry, Entry::Permanent { .. })
                };
                self.hosts.retain(|hop, entry| stays(hop, entry));
                let flushed = self.neighbours.flush(Some(LegId(*leg as u16)));
                assert_eq!(flushed, before - self.hosts.len());
                self.asked.retain(|hop, _| hop.leg.index() != *leg);
            }
            Step::Noise(leg, noise) => {
                let (leg, now) = (LegId(*leg as u16), self.tick());
                self.neighbours.arp(leg, noise, now, &mut post);
                self.neighbours.ndp(leg, station(0), noise, now, &mut post);
            }
        }
        self.check(&mut post, &mut expected);
    }

    fn need(&mut self, hop: Hop, expected: &mut Posted) {
        match self.hosts.get_mut(&hop) {
            None => {
                let held = VecDeque::from([self.needs]);
                self.hosts.insert(hop, Entry::Asked { since: self.now, held });
                expected.asked.push((hop, true));
            }
            Some(Entry::Asked { held, .. }) => {
                held.push_back(self.needs);
                if held.len() > 3 {
                    held.pop_front();
                }
            }
            Some(Entry::Failed { .. }) => expected.failed.push((hop, self.needs)),
            Some(Entry::Known { to, .. } | Entry::Permanent { to, .. }) => {
                expected.released.push((hop, *to, self.needs));
                self.sent(hop);
            }
        }
    }

    /// Something was sent to it: if it is stale it will be asked, and may be given up.
    fn sent(&mut self, hop: Hop) {
        match self.hosts.get_mut(&hop) {
            Some(Entry::Known { stale, gone, .. }) if self.now >= *stale => {
                *gone = (*gone).min(self.now + GIVEN_UP);
            }
            _ => {}
        }
    }

    fn hear(&mut self, hop: Hop, message: Message, from: LinkAddress, expected: &mut Posted) {
        let now = self.now;
        let answered = Entry::Known { to: from, stale: now + GOOD, gone: now + GOOD + FORGOTTEN };
        let shown = Entry::Known { to: from, stale: now, gone: now + FORGOTTEN };
        let answers = message == Message::Answer;
        match self.hosts.get_mut(&hop) {
            Some(Entry::Permanent { .. }) => {}
            None if message == Message::Ask => drop(self.hosts.insert(hop, shown)),
            None => {}
            Some(Entry::Failed { .. }) => drop(self.hosts.insert(hop, shown)),
            Some(Entry::Asked { held, .. }) => {
                let released = std::mem::take(held);
                expected.released.extend(released.iter().map(|number| (hop, from, *number)));
                self.hosts.insert(hop, if answers { answered } else { shown });
                if !answers {
                    self.sent(hop);
                }
            }
            Some(Entry::Known { to, stale, .. }) if message == Message::Weak => {
                // It is asked sooner, perhaps.
                *stale = if *to == from { *stale } else { (*stale).min(now) };
            }
            Some(Entry::Known { to, .. }) if *to == from && !answers => {}
            Some(Entry::Known { .. }) => {
                self.hosts.insert(hop, if answers { answered } else { shown });
            }
        }
    }

    /// A tick has passed.
    fn pass(&mut self, expected: &mut Posted) {
        let now = self.now;
        let mut over = Vec::new();
        let neighbours = &self.neighbours;
        let there = |hop: &Hop| neighbours.iter().any(|neighbour| neighbour.hop == *hop);
        for (hop, entry) in &mut self.hosts {
            match entry {
                Entry::Asked { since, held } if now == *since + FAILS => {
                    expected.failed.extend(held.iter().map(|number| (*hop, *number)));
                    *entry = Entry::Failed { since: now };
                }
                Entry::Asked { since, .. } if (now - *since).is_multiple_of(10) => {
                    expected.asked.push((*hop, true));
                }
                Entry::Failed { since } if now == *since + FAILED => over.push(*hop),
                Entry::Permanent { to, held } => {
                    expected.released.extend(held.drain(..).map(|number| (*hop, *to, number)));
                }
                // From here on the model does not know: it asks.
                Entry::Known { gone, .. } if now >= *gone && !there(hop) => over.push(*hop),
                _ => {}
            }
        }
        over.iter().for_each(|hop| drop(self.hosts.remove(hop)));
    }

    /// The router did what was expected, and knows what it should.
    fn check(&mut self, post: &mut Posted, expected: &mut Posted) {
        let (mut post, mut expected) = (std::mem::take(post), std::mem::take(expected));
        let sort = |posted: &mut Posted| {
            // Of each neighbour in the order in which they came; neighbours in any order.
            posted.released.sort_by_key(|(hop, ..)| *hop);
            posted.failed.sort_by_key(|(hop, _)| *hop);
            posted.asked.sort_unstable();
        };
        sort(&mut post);
        sort(&mut expected);
        assert_eq!(post.released, expected.released);
        assert_eq!(post.failed, expected.failed);
        // Those who may be stale are asked, each where it is, and not by a group.
        let (all, probed): (Vec<_>, Vec<_>) = post.asked.iter().partition(|(_, group)| *group);
        assert_eq!(all, expected.asked);
        for (hop, _) in probed {
            let known = self.hosts.get(&hop);
            let stale = matches!(known, Some(Entry::Known { stale, .. }) if self.now >= *stale);
            assert!(stale, "{hop:?} was asked and is {known:?}");
        }
        for (hop, _) in post.asked {
            let last = self.asked.insert(hop, self.now);
            assert!(last.is_none_or(|last| self.now - last >= 10), "{hop:?} is asked too often");
        }
        let found = self.neighbours.iter().map(|n| (n.hop, n.to));
        let known = self.hosts.iter().map(|(hop, entry)| match entry {
            Entry::Known { to, .. } | Entry::Permanent { to, .. } => (*hop, Some(*to)),
            Entry::Asked { .. } | Entry::Failed { .. } => (*hop, None),
        });
        assert_eq!(found.collect::<Vec<_>>(), known.collect::<Vec<_>>());
    }
}

/// Every packet that waited ended in one way, or still waits.
fn accounted(neighbours: &Neighbours) -> u64 {
    let ended = [
        Counter::HeldReleased,
        Counter::HeldFailed,
        Counter::HeldFull,
        Counter::HeldLost,
        Counter::AskLimited,
        Counter::NeighbourFull,
    ];
    let ended = ended.iter().map(|counter| neighbours.stats().get(*counter)).sum::<u64>();
    ended + neighbours.iter().map(|neighbour| neighbour.held as u64).sum::<u64>()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn router_and_model_know_the_same(steps in vec(step(), 1..120)) {
        let mut model = Model::new();
        let mut table = model.neighbours.resolved().expect("it is new");
        for step in &steps {
            model.step(step);
            prop_assert_eq!(accounted(&model.neighbours), model.needs);
            // What workers see is the same.
            table = model.neighbours.resolved().unwrap_or(table);
            for neighbour in model.neighbours.iter() {
                let known = table.get(neighbour.hop);
                prop_assert_eq!(known.map(|known| known.to), neighbour.to);
                let stale = known.is_some_and(|known| known.stale);
                prop_assert_eq!(stale, neighbour.state == State::Stale);
            }
            let known = model.neighbours.iter().filter(|n| n.to.is_some()).count();
            prop_assert_eq!(table.len(), known);
        }
    }

    /// Four neighbours a leg, twelve who would be: nobody who is spoken to gives way, nobody is
    /// known who was neither needed nor asked, and all is accounted for.
    #[test]
    fn few_places_are_kept_by_those_who_are_spoken_to(steps in vec(step(), 1..200)) {
        let mut neighbours = begun(4);
        let (mut now, mut needs) = (50, 0_u64);
        let mut invited = BTreeSet::new();
        for step in &steps {
            let mut post = Posted::default();
            let kept: Vec<_> = neighbours.iter().filter(|n| {
                matches!(n.state, State::Reachable | State::Delay | State::Probe)
            }).collect();
            let mut may_go = true;
            match step {
                Step::Need(host) => {
                    neighbours.need(host.hop(), needs.to_be_bytes().into(), Tick(now), &mut post);
                    invited.insert(host.hop());
                    (needs, may_go) = (needs + 1, false);
                }
                Step::Used(host) => neighbours.used(host.hop(), Tick(now)),
                Step::Hear(host, message, at) => {
                    let Some(octets) = octets(*host, *message, station(*at)) else { continue };
                    let leg = LegId(host.leg as u16);
                    match host.v6 {
                        true => neighbours.ndp(leg, station(*at), &octets, Tick(now), &mut post),
                        false => neighbours.arp(leg, &octets, Tick(now), &mut post),
                    }
                    if *message == Message::Ask {
                        invited.insert(host.hop());
                    }
                    may_go = false;
                }
                Step::Ticks(ticks) => {
                    for _ in 0..*ticks {
                        now += 1;
                        neighbours.tick(Tick(now), &mut post);
                    }
                }
                Step::Remove(host) => drop(neighbours.remove(host.hop())),
                Step::Flush(leg) => drop(neighbours.flush(Some(LegId(*leg as u16)))),
                Step::Noise(leg, noise) => {
                    neighbours.arp(LegId(*leg as u16), noise, Tick(now), &mut post);
                    may_go = false;
                }
                Step::Enter(..) => {}
            }
            for leg in 0..LEGS {
                let count = neighbours.iter().filter(|n| n.hop.leg.index() == leg).count();
                prop_assert!(count <= 4, "{count} on leg {leg}");
            }
            for neighbour in neighbours.iter() {
                prop_assert!(invited.contains(&neighbour.hop), "{neighbour:?}");
            }
            for kept in kept.iter().filter(|_| !may_go) {
                prop_assert!(neighbours.iter().any(|n| n.hop == kept.hop), "{kept:?} is gone");
            }
            prop_assert_eq!(accounted(&neighbours), needs);
        }
    }

    /// Random octets, and sound messages of which some octets are others: nothing panics, and
    /// what the router takes smoltcp takes.
    #[test]
    fn what_is_taken_another_takes_too(
        host in host(),
        at in 0..5_usize,
        changes in vec((0..80_usize, any::<u8>()), 0..3),
        cut in 0..90_usize,
    ) {
        use Message::{Announce, Answer, Ask, Other, Weak};
        let message = [Answer, Announce, Weak, Ask, Other][at];
        let Some(mut octets) = octets(host, message, station(1)) else { return Ok(()) };
        for (at, octet) in changes {
            if let Some(changed) = octets.get_mut(at) {
                *changed = octet;
            }
        }
        octets.truncate(cut.max(20));
        let mut neighbours = begun(4);
        let (leg, mut post) = (LegId(host.leg as u16), Posted::default());
        if host.v6 {
            neighbours.ndp(leg, station(1), &octets, Tick(51), &mut post);
        } else {
            neighbours.arp(leg, &octets, Tick(51), &mut post);
        }
        let taken = |counter| neighbours.stats().get(counter) == 1;
        prop_assert!(!taken(Counter::ArpTaken) || wire::is_arp(&octets));
        prop_assert!(!taken(Counter::NdTaken) || wire::is_ndp(&octets));
    }
}

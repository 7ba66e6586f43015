//! One neighbour: its state, and what changes it (RFC 4861, sections 7.2 and 7.3). ARP has the
//! same states, as in Linux: RFC 1122, section 2.3.2.1, asks for no less.

use std::{collections::VecDeque, fmt};

use super::resolved::Known;
use crate::link::LinkAddress;

/// Between two questions for the same neighbour: 1 s (RFC 4861, section 10, RETRANS_TIMER; RFC
/// 1122, section 2.3.2.1, allows no more).
pub(super) const RETRANS_TICKS: u64 = 10;
/// Questions without an answer before a neighbour is given up (MAX_MULTICAST_SOLICIT and
/// MAX_UNICAST_SOLICIT).
pub(super) const TRIES: u8 = 3;
/// From a packet for a stale neighbour to the question whether it is still there: 5 s
/// (DELAY_FIRST_PROBE_TIME). An answer of its own may come before.
pub(super) const DELAY_TICKS: u64 = 50;
/// An answer is good for so long: 15 to 45 s (REACHABLE_TIME and its random factors).
pub(super) const REACHABLE_TICKS: [u64; 2] = [150, 450];
/// A stale neighbour to whom nobody sends is forgotten: 10 min.
pub(super) const STALE_TICKS: u64 = 6000;
/// For so long packets fail at once behind a neighbour that did not answer: 5 s.
pub(super) const FAILED_TICKS: u64 = 50;
/// Packets that wait for one neighbour.
pub(super) const HELD_MAX: usize = 3;

/// What is known of a neighbour (RFC 4861, section 7.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// It was asked for and has not answered yet.
    Incomplete,
    /// It answered not long ago.
    Reachable,
    /// It has not been heard of for long; nothing was sent to it since.
    Stale,
    /// Something was sent to it since: if it is not heard of soon, it is asked.
    Delay,
    /// It is asked, where it was last.
    Probe,
    /// It did not answer. Packets for it fail at once, for some seconds.
    Failed,
    /// A person said where it is.
    Permanent,
}

impl State {
    /// The name that iproute2 has for it.
    pub fn name(self) -> &'static str {
        match self {
            State::Incomplete => "INCOMPLETE",
            State::Reachable => "REACHABLE",
            State::Stale => "STALE",
            State::Delay => "DELAY",
            State::Probe => "PROBE",
            State::Failed => "FAILED",
            State::Permanent => "PERMANENT",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Who gives way to whom: the lower before the higher, of equals the older.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    Failed,
    /// It asked for the router once; nothing was ever sent to it. Were it to stay longer than one
    /// that is asked for, then whoever invents such could keep the router from finding anybody.
    Stranger,
    Incomplete,
    Stale,
    /// It is spoken to.
    Spoken,
    Permanent,
}

/// What a message says of its sender, or of the target of an advertisement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Heard {
    /// Where it is; `None`: it does not say.
    pub to: Option<LinkAddress>,
    /// It answers what the router asked: so the way there and back is good.
    pub solicited: bool,
    /// It counts more than what was known.
    pub overrides: bool,
}

/// What comes of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Change {
    /// It was there before.
    pub moved_from: Option<LinkAddress>,
    /// These may go now.
    pub released: VecDeque<Box<[u8]>>,
}

/// A neighbour.
#[derive(Debug)]
pub(super) struct Entry {
    pub state: State,
    /// Nobody while it is not known.
    pub to: LinkAddress,
    /// When it came to this state, or was last heard of in it.
    pub since: u64,
    /// When its timer ends.
    pub deadline: Option<u64>,
    /// Questions since the last answer.
    pub tries: u8,
    /// Whether anything was ever sent to it.
    pub spoken: bool,
    /// What waits, the oldest first.
    pub held: VecDeque<Box<[u8]>>,
}

impl Entry {
    /// One that is asked for now.
    pub fn asked(now: u64) -> Entry {
        let mut entry = Entry::new(State::Incomplete, LinkAddress::NULL, now);
        (entry.tries, entry.spoken) = (1, true);
        entry.deadline = Some(now + RETRANS_TICKS);
        entry
    }

    /// One that asked for the router.
    pub fn stranger(to: LinkAddress, now: u64) -> Entry {
        let mut entry = Entry::new(State::Stale, to, now);
        entry.deadline = Some(now + STALE_TICKS);
        entry
    }

    /// One that a person knows.
    pub fn permanent(to: LinkAddress, now: u64) -> Entry {
        Entry::new(State::Permanent, to, now)
    }

    fn new(state: State, to: LinkAddress, since: u64) -> Entry {
        let held = VecDeque::new();
        Entry { state, to, since, deadline: None, tries: 0, spoken: false, held }
    }

    /// Goes to a state for so long.
    pub fn enter(&mut self, state: State, now: u64, ticks: u64) {
        (self.state, self.since, self.deadline, self.tries) = (state, now, Some(now + ticks), 0);
    }

    /// A packet is sent to it.
    pub fn send(&mut self, now: u64) {
        self.spoken = true;
        if self.state == State::Stale {
            self.enter(State::Delay, now, DELAY_TICKS);
        }
    }

    /// Goes by what was heard. An answer is good for `reachable` ticks.
    pub fn hear(&mut self, heard: Heard, now: u64, reachable: u64) -> Change {
        let mut change = Change::default();
        match (self.state, heard.to) {
            (State::Permanent, _) => {}
            // RFC 4861, section 7.2.5: without an address it says nothing.
            (State::Incomplete | State::Failed, None) => {}
            (State::Incomplete | State::Failed, Some(to)) => {
                self.to = to;
                change.released = std::mem::take(&mut self.held);
                if heard.solicited && self.state == State::Incomplete {
                    self.enter(State::Reachable, now, reachable);
                } else {
                    self.enter(State::Stale, now, STALE_TICKS);
                }
                if !change.released.is_empty() {
                    self.send(now);
                }
            }
            (_, Some(to)) if to != self.to && !heard.overrides => {
                // Someone else has it, perhaps: worth a question, no more.
                if self.state == State::Reachable {
                    self.enter(State::Stale, now, STALE_TICKS);
                }
            }
            (_, to) => {
                change.moved_from = to.filter(|to| *to != self.to).map(|_| self.to);
                self.to = to.unwrap_or(self.to);
                if heard.solicited {
                    self.enter(State::Reachable, now, reachable);
                } else if change.moved_from.is_some() {
                    self.enter(State::Stale, now, STALE_TICKS);
                }
            }
        }
        change
    }

    /// What workers know of it.
    pub fn known(&self) -> Option<Known> {
        match self.state {
            State::Incomplete | State::Failed => None,
            state => Some(Known { to: self.to, stale: state == State::Stale }),
        }
    }

    pub fn rank(&self) -> Rank {
        match self.state {
            State::Failed => Rank::Failed,
            State::Incomplete => Rank::Incomplete,
            State::Stale if !self.spoken => Rank::Stranger,
            State::Stale => Rank::Stale,
            State::Reachable | State::Delay | State::Probe => Rank::Spoken,
            State::Permanent => Rank::Permanent,
        }
    }

    pub fn held_octets(&self) -> usize {
        self.held.iter().map(|packet| packet.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use State::{Delay, Failed, Incomplete, Permanent, Probe, Reachable, Stale};

    const A: LinkAddress = LinkAddress([2, 0, 0, 0, 0, 0xa]);
    const B: LinkAddress = LinkAddress([2, 0, 0, 0, 0, 0xb]);

    /// One at A, if that can be known.
    fn entry(state: State) -> Entry {
        let known = !matches!(state, Incomplete | Failed);
        Entry { spoken: true, ..Entry::new(state, if known { A } else { LinkAddress::NULL }, 0) }
    }

    /// The table of RFC 4861, appendix C, for all that can be heard: solicited, overriding, and
    /// the address, and what comes of it in each state. (A solicitation and a message of ARP
    /// override and are not solicited, but a reply is.)
    #[test]
    fn states_change_as_in_appendix_c() {
        const STATES: [State; 7] = [Incomplete, Reachable, Stale, Delay, Probe, Failed, Permanent];
        // What comes of the first, of the four that have an address, and of one that failed.
        let next = |first, between: [State; 4], failed| {
            let [a, b, c, d] = between;
            [first, a, b, c, d, failed, Permanent]
        };
        let (same, all) = ([Reachable, Stale, Delay, Probe], |state| [state; 4]);
        let doubted = [Stale, Stale, Delay, Probe];
        // Each: S, O, address, then for the seven states the next one, and the address there.
        let table = [
            // Without an address nothing is said but that it is there.
            (false, false, None, next(Incomplete, same, Failed), A),
            (false, true, None, next(Incomplete, same, Failed), A),
            (true, false, None, next(Incomplete, all(Reachable), Failed), A),
            (true, true, None, next(Incomplete, all(Reachable), Failed), A),
            // With the same.
            (false, false, Some(A), next(Stale, same, Stale), A),
            (false, true, Some(A), next(Stale, same, Stale), A),
            (true, false, Some(A), next(Reachable, all(Reachable), Stale), A),
            (true, true, Some(A), next(Reachable, all(Reachable), Stale), A),
            // With another that does not count more.
            (false, false, Some(B), next(Stale, doubted, Stale), A),
            (true, false, Some(B), next(Reachable, doubted, Stale), A),
            // With another that does.
            (false, true, Some(B), next(Stale, all(Stale), Stale), B),
            (true, true, Some(B), next(Reachable, all(Reachable), Stale), B),
        ];
        for (solicited, overrides, to, next, at) in table {
            for (from, next) in STATES.into_iter().zip(next) {
                let mut entry = entry(from);
                let change = entry.hear(Heard { to, solicited, overrides }, 7, 100);
                let case = format!("{from} hears {to:?}, S {solicited}, O {overrides}");
                assert_eq!(entry.state, next, "{case}");
                let expected = match from {
                    // What nobody knew better is taken.
                    Incomplete | Failed => to.unwrap_or(LinkAddress::NULL),
                    Permanent => A,
                    _ => at,
                };
                assert_eq!(entry.to, expected, "{case}");
                let moved = !matches!(from, Incomplete | Failed | Permanent) && at == B;
                assert_eq!(change.moved_from, moved.then_some(A), "{case}");
            }
        }
    }

    #[test]
    fn what_waits_is_released_by_any_word_of_its_neighbour_in_order() {
        for solicited in [false, true] {
            let mut entry = Entry::asked(0);
            entry.held.extend([1_u8, 2].map(|octet| Box::from([octet; 3]) as Box<[u8]>));
            let heard = Heard { to: Some(A), solicited, overrides: false };
            let released = entry.hear(heard, 5, 100).released;
            assert_eq!(released.iter().map(|packet| packet[0]).collect::<Vec<_>>(), [1, 2]);
            assert!(entry.held.is_empty());
            // To one that did not answer the packets themselves are a question.
            assert_eq!(entry.state, if solicited { Reachable } else { Delay });
        }
    }

    #[test]
    fn only_a_stale_neighbour_is_asked_because_something_is_sent_to_it() {
        for state in [Incomplete, Reachable, Delay, Probe, Failed, Permanent] {
            let mut entry = entry(state);
            entry.send(5);
            assert_eq!((entry.state, entry.since, entry.deadline), (state, 0, None));
        }
        let mut entry = Entry::stranger(A, 0);
        assert_eq!(entry.rank(), Rank::Stranger);
        entry.send(5);
        assert_eq!((entry.state, entry.since, entry.deadline), (Delay, 5, Some(55)));
        assert_eq!(entry.rank(), Rank::Spoken);
        entry.enter(Stale, 9, STALE_TICKS);
        assert_eq!(entry.rank(), Rank::Stale);
    }
}

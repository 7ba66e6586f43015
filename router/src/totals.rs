//! The counters of a whole router: of its workers, its slow path and its neighbours, added up so
//! that each packet is counted once, whoever saw it. Where nothing is under way,
//!
//! ```text
//! received = forwarded + fragmented + local + echoes + drops on the way in
//! forwarded + fragments + echoes + icmp_sent + own_sent = sent + drops on the way out + held
//! ```
//!
//! What came in frames that had to be cut first is counted as what they were cut into, and what a
//! worker gave to the slow path as the slow path has decided. What the bridges have of it: the
//! frames that left by the ports of legs (`tx_frames`) are `received - parts + cut`, the messages
//! of ARP and neighbour discovery, `solicited` and `foreign`, and those that came in by them
//! (`rx_frames`) are `sent` and `messages_sent`.

use crate::{
    neighbour::stats::{Counter, NeighbourStats},
    stats::{Reason, Stats},
};

counters! {
    /// What is counted of a whole router, beside the reasons for which packets end.
    Count:
    /// Packets that came by legs.
    Received = "received",
    /// Packets that went on.
    Forwarded = "forwarded",
    /// Packets that went on as fragments.
    Fragmented = "fragmented",
    /// Packets for the router itself.
    Local = "local",
    /// Echo requests for the router itself, which it answered.
    Echoes = "echoes",
    /// The fragments that packets became.
    Fragments = "fragments",
    /// ICMP errors and redirects sent.
    IcmpSent = "icmp_sent",
    /// ICMP errors and redirects that a limit kept back.
    IcmpLimited = "icmp_limited",
    /// Packets of the router's own: answers of its sockets and their like.
    OwnSent = "own_sent",
    /// Packets that left by legs, whoever made them.
    Sent = "sent",
    /// Packets that wait for a neighbour.
    Held = "held",
    /// Packets that workers gave to the slow path.
    SlowPath = "slow_path",
    /// Packets that had to be cut or completed first.
    Cut = "cut",
    /// What those became.
    Parts = "parts",
    /// Router solicitations heard.
    Solicited = "solicited",
    /// Frames heard that are neither IP nor ARP.
    Foreign = "foreign",
    /// Messages of ARP and neighbour discovery sent, router advertisements among them.
    MessagesSent = "messages_sent",
}

impl Count {
    /// Whether it counts what there is, and not what has been.
    pub fn is_gauge(self) -> bool {
        self == Count::Held
    }
}

/// What has been counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Totals {
    counts: [u64; Count::ALL.len()],
    dropped: [u64; Reason::ALL.len()],
    /// Of the slow path's neighbours. Those for packets that were not sent are reasons here.
    neighbours: NeighbourStats,
}

impl Default for Totals {
    fn default() -> Totals {
        Totals {
            counts: [0; Count::ALL.len()],
            dropped: [0; Reason::ALL.len()],
            neighbours: NeighbourStats::default(),
        }
    }
}

impl Totals {
    /// Of a slow path: what its router, its neighbours and itself have counted.
    pub(crate) fn of_slow_path(
        stats: &Stats,
        neighbours: NeighbourStats,
        counts: impl IntoIterator<Item = (Count, u64)>,
    ) -> Totals {
        let mut totals = Totals { neighbours, ..Totals::default() };
        totals.merge(stats);
        totals.add(Count::Local, stats.local);
        totals.add(Count::Received, stats.local);
        counts.into_iter().for_each(|(count, number)| totals.add(count, number));
        for (counter, number) in neighbours.iter() {
            if let Some(reason) = counter.reason() {
                totals.dropped[reason as usize] += number;
            }
        }
        totals
    }

    /// Adds what a worker has counted.
    pub fn add_worker(&mut self, stats: &Stats) {
        self.merge(stats);
        self.add(Count::SlowPath, stats.local + stats.unfinished + stats.unresolved);
        let Stats { forwarded, fragments, echoes, icmp_sent, .. } = stats;
        let lost = stats.dropped(Reason::LegGone);
        self.add(Count::Sent, (forwarded + fragments + echoes + icmp_sent).saturating_sub(lost));
    }

    /// What a worker and a slow path count alike. What is local or to be finished is not.
    fn merge(&mut self, stats: &Stats) {
        let others = stats.local + stats.unfinished + stats.unresolved;
        for (count, number) in [
            (Count::Received, stats.packets() - others),
            (Count::Forwarded, stats.forwarded),
            (Count::Fragmented, stats.fragmented),
            (Count::Echoes, stats.echoes),
            (Count::Fragments, stats.fragments),
            (Count::IcmpSent, stats.icmp_sent),
            (Count::IcmpLimited, stats.icmp_limited),
        ] {
            self.add(count, number);
        }
        for (sum, (_, number)) in self.dropped.iter_mut().zip(stats.drops()) {
            *sum += number;
        }
    }

    fn add(&mut self, count: Count, number: u64) {
        self.counts[count as usize] += number;
    }

    /// The number of one.
    pub fn get(&self, count: Count) -> u64 {
        self.counts[count as usize]
    }

    /// All of them, in the order of [`Count::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (Count, u64)> {
        Count::ALL.iter().map(|count| (*count, self.get(*count)))
    }

    /// Packets that ended for this reason.
    pub fn dropped(&self, reason: Reason) -> u64 {
        self.dropped[reason as usize]
    }

    /// Reasons with their numbers, in the order of [`Reason::ALL`].
    pub fn drops(&self) -> impl Iterator<Item = (Reason, u64)> {
        Reason::ALL.iter().map(|reason| (*reason, self.dropped(*reason)))
    }

    /// Frames that came by legs: what the ports of legs have sent, where nothing is under way.
    pub fn frames_in(&self) -> u64 {
        let messages = self.neighbours.iter().filter(|(counter, _)| counter.is_message());
        let messages = messages.map(|(_, number)| number).sum::<u64>();
        let [received, cut, parts, solicited, foreign] =
            [Count::Received, Count::Cut, Count::Parts, Count::Solicited, Count::Foreign]
                .map(|count| self.get(count));
        (received + cut + solicited + foreign + messages).saturating_sub(parts)
    }

    /// Frames that left by legs: what the ports of legs have received, where nothing is under way.
    pub fn frames_out(&self) -> u64 {
        self.get(Count::Sent) + self.get(Count::MessagesSent)
    }

    /// By how much the left sides of the two equations are more than their right sides: 0, both,
    /// where nothing is under way.
    pub fn missing(&self) -> [i64; 2] {
        let sum = |counts: &[Count]| counts.iter().map(|count| self.get(*count)).sum::<u64>();
        let drops = |out: bool| {
            let drops = self.drops().filter(|(reason, _)| reason.is_out() == out);
            drops.map(|(_, number)| number).sum::<u64>()
        };
        use Count::{
            Echoes, Forwarded, Fragmented, Fragments, Held, IcmpSent, Local, OwnSent, Received,
            Sent,
        };
        let decided = sum(&[Forwarded, Fragmented, Local, Echoes]) + drops(false);
        let made = sum(&[Forwarded, Fragments, Echoes, IcmpSent, OwnSent]);
        let done = sum(&[Sent, Held]) + drops(true);
        [sum(&[Received]) as i64 - decided as i64, made as i64 - done as i64]
    }

    /// What was counted of neighbours and their messages, and is no reason for which packets end.
    pub fn neighbours(&self) -> impl Iterator<Item = (Counter, u64)> {
        self.neighbours.iter().filter(|(counter, _)| counter.reason().is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_have_one_name() {
        let counts = Count::ALL.iter().map(|count| (count.name(), count.about()));
        let reasons = Reason::ALL.iter().map(|reason| (reason.name(), reason.about()));
        let neighbours = Counter::ALL.iter().filter(|counter| counter.reason().is_none());
        let neighbours = neighbours.map(|counter| (counter.name(), counter.about()));
        let all: Vec<_> = counts.chain(reasons).chain(neighbours).collect();
        let names: std::collections::HashSet<_> = all.iter().map(|(name, _)| name).collect();
        assert_eq!(names.len(), all.len());
        assert!(all.iter().all(|(_, about)| about.ends_with('.')));
    }

    #[test]
    fn what_a_worker_gives_to_the_slow_path_is_counted_there() {
        let worker = Stats { forwarded: 5, local: 2, unresolved: 3, ..Stats::default() };
        let mut slow = Stats { forwarded: 3, local: 2, unfinished: 4, ..Stats::default() };
        slow.drop(Reason::Ttl);
        let counts = [(Count::Sent, 3)];
        let mut totals = Totals::of_slow_path(&slow, NeighbourStats::default(), counts);
        totals.add_worker(&worker);
        totals.add_worker(&Stats { icmp_sent: 1, ..Stats::default() });
        let got = [Count::Received, Count::Forwarded, Count::Local, Count::Sent, Count::SlowPath];
        assert_eq!(got.map(|count| totals.get(count)), [11, 8, 2, 9, 5]);
        assert_eq!(totals.dropped(Reason::Ttl), 1);
        assert_eq!(totals.missing(), [0, 0]);
    }
}

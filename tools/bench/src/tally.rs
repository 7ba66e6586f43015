//! What became of a stream's frames: each is known by its number, so all of this is exact.
//!
//! * received: sound frames that came for the first time.
//! * duplicated: sound frames that came again.
//! * reordered (RFC 4737 section 3.3): received after one with a higher number. Of two that are
//!   swapped, one is reordered; one that falls back behind three others is one, too.
//! * extent: how many numbers the furthest of these was behind the highest (RFC 5236 section 4.1
//!   calls it lateness, RFC 4737 section 4.2 bounds its extent by it).
//! * damaged: frames whose check or head is wrong. They are not received (RFC 1242 section 3.7).
//! * latency: from when a frame was to be sent to when the kernel had it at the receiver: both
//!   ends of RFC 1242 section 3.8 as far as a tester in software can see them.

use hdrhistogram::Histogram;

/// The frames of one stream, as its receiver sees them.
#[derive(Clone, Debug)]
pub struct Tally {
    /// See the head of this file, as for the others.
    pub received: u64,
    /// Sound frames that came again.
    pub duplicated: u64,
    /// Received behind one with a higher number.
    pub reordered: u64,
    /// By how many numbers at the most.
    pub extent: u64,
    /// Numbers beyond those that are sent, which only a damaged frame can have.
    pub impossible: u64,
    /// Nanoseconds.
    pub latency: Histogram<u64>,
    /// A bit for each number.
    seen: Vec<u64>,
    frames: u64,
    next: u64,
}

impl Tally {
    /// For a stream of so many frames.
    pub fn new(frames: u64) -> Tally {
        Tally {
            received: 0,
            duplicated: 0,
            reordered: 0,
            extent: 0,
            impossible: 0,
            latency: latencies(),
            seen: vec![0; frames.div_ceil(64) as usize],
            frames,
            next: 0,
        }
    }

    /// What came at all ports to which copies of a stream went: a frame is received when each has
    /// it. `None`: there is no port.
    ///
    /// # Panics
    ///
    /// If they are of streams of different lengths.
    pub fn of_all(copies: &[Tally]) -> Option<Tally> {
        let (first, rest) = copies.split_first()?;
        let mut joint = first.clone();
        for copy in rest {
            assert_eq!(joint.frames, copy.frames, "copies of one stream");
            joint.seen.iter_mut().zip(&copy.seen).for_each(|(joint, copy)| *joint &= copy);
            joint.duplicated += copy.duplicated;
            joint.reordered += copy.reordered;
            joint.impossible += copy.impossible;
            joint.extent = joint.extent.max(copy.extent);
            joint.next = joint.next.max(copy.next);
            joint.latency.add(&copy.latency).expect("they have the same range");
        }
        joint.received = joint.seen.iter().map(|word| u64::from(word.count_ones())).sum();
        Some(joint)
    }

    /// Counts a sound frame.
    pub fn count(&mut self, sequence: u64, latency_ns: u64) {
        if sequence >= self.frames {
            self.impossible += 1;
            return;
        }
        let (word, bit) = ((sequence / 64) as usize, 1 << (sequence % 64));
        if self.seen[word] & bit != 0 {
            self.duplicated += 1;
            return;
        }
        self.seen[word] |= bit;
        self.received += 1;
        self.latency.saturating_record(latency_ns.max(1));
        if sequence >= self.next {
            self.next = sequence + 1;
        } else {
            self.reordered += 1;
            self.extent = self.extent.max(self.next - 1 - sequence);
        }
    }

    /// The last of the first `frames` numbers that did not come.
    pub fn last_missing(&self, frames: u64) -> Option<u64> {
        (0..frames.min(self.frames)).rev().find(|sequence| !self.has_seen(*sequence))
    }

    fn has_seen(&self, sequence: u64) -> bool {
        self.seen[(sequence / 64) as usize] >> (sequence % 64) & 1 == 1
    }

    /// The longest run of numbers that did not come, before the last that did.
    pub fn longest_gap(&self) -> u64 {
        let (mut longest, mut gap) = (0, 0);
        for sequence in 0..self.next {
            gap = if self.has_seen(sequence) { 0 } else { gap + 1 };
            longest = longest.max(gap);
        }
        longest
    }
}

/// An empty histogram of nanoseconds, right to three digits, up to a minute.
pub fn latencies() -> Histogram<u64> {
    Histogram::new_with_max(LATENCY_MAX_NS, 3).expect("a range and three digits")
}

/// Latencies beyond this are told as this.
const LATENCY_MAX_NS: u64 = 60_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(sequences: &[u64]) -> Tally {
        let mut tally = Tally::new(100);
        sequences.iter().for_each(|sequence| tally.count(*sequence, 1000));
        tally
    }

    #[test]
    fn in_order_nothing_is_remarkable() {
        let tally = tally(&[0, 1, 2, 3]);
        assert_eq!((tally.received, tally.duplicated, tally.reordered), (4, 0, 0));
        assert_eq!((tally.extent, tally.longest_gap()), (0, 0));
    }

    #[test]
    fn of_two_that_are_swapped_one_is_reordered() {
        let tally = tally(&[0, 2, 1, 3]);
        assert_eq!((tally.received, tally.reordered, tally.extent), (4, 1, 1));
    }

    #[test]
    fn one_that_falls_behind_three_is_one_with_an_extent_of_three() {
        let tally = tally(&[1, 2, 3, 0, 4]);
        assert_eq!((tally.received, tally.reordered, tally.extent), (5, 1, 3));
    }

    #[test]
    fn what_comes_again_is_double_and_not_reordered() {
        let tally = tally(&[0, 1, 0, 2, 2, 2]);
        assert_eq!((tally.received, tally.duplicated, tally.reordered), (3, 3, 0));
    }

    #[test]
    fn what_is_missing_is_a_gap_and_no_disorder() {
        let tally = tally(&[0, 4, 5, 7]);
        assert_eq!((tally.received, tally.reordered, tally.longest_gap()), (4, 0, 3));
        assert_eq!(
            [100, 8, 6, 1].map(|frames| tally.last_missing(frames)),
            [Some(99), Some(6), Some(3), None]
        );
    }

    #[test]
    fn of_copies_those_are_received_that_came_at_all_ports() {
        let copies = [tally(&[0, 1, 2, 64, 2]), tally(&[1, 0, 64]), tally(&[0, 1, 2, 3, 64])];
        let joint = Tally::of_all(&copies).unwrap();
        assert_eq!((joint.received, joint.duplicated, joint.reordered), (3, 1, 1));
        assert_eq!((joint.last_missing(3), joint.last_missing(2)), (Some(2), None));
        assert_eq!(joint.latency.len(), 4 + 3 + 5);
        assert!(Tally::of_all(&[]).is_none());
    }

    #[test]
    fn a_number_that_was_never_sent_is_not_received() {
        let tally = tally(&[99, 100, u64::MAX]);
        assert_eq!((tally.received, tally.impossible), (1, 2));
    }

    #[test]
    fn latencies_are_right_to_three_digits_and_none_is_lost() {
        let mut tally = Tally::new(3);
        for (sequence, latency) in [(0, 0), (1, 123_456), (2, u64::MAX)] {
            tally.count(sequence, latency);
        }
        assert_eq!(tally.latency.len(), 3);
        let middle = tally.latency.value_at_quantile(0.5);
        assert!((123_400..=123_600).contains(&middle), "{middle}");
    }
}

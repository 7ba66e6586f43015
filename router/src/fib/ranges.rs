//! Prefixes that lie in one another become ranges that lie side by side.
//!
//! The prefixes come in order, each behind those that contain it. A stack holds those that are open
//! at the present address; where one ends, the one below it goes on. Each prefix begins one range
//! and ends one, so there are at most two ranges for each prefix, and one more.

use super::Leaf;
use crate::prefix::{Bits, Net};

/// Ranges of addresses without gaps, from the lowest address to the highest. No two neighbours
/// have the same leaf.
pub(super) struct Ranges<B> {
    /// The first address of each; the last is that before the next one's first.
    pub firsts: Vec<B>,
    /// What each stands for.
    pub leaves: Vec<Leaf>,
}

impl<B: Bits> Ranges<B> {
    /// Of prefixes in order. Of those that are the same the last counts.
    pub fn of(nets: &[(Net<B>, Leaf)]) -> Ranges<B> {
        let mut ranges = Ranges { firsts: vec![B::ZERO], leaves: vec![Leaf::NONE] };
        // The last address and the leaf of each open prefix: one a length at the most.
        let mut open: Vec<(B, Leaf)> = Vec::with_capacity(usize::from(B::LEN) + 1);
        for (net, leaf) in nets {
            while let Some((last, _)) = open.last().copied().filter(|(last, _)| *last < net.first())
            {
                open.pop();
                ranges.close(last, &open);
            }
            // The same prefix again: as long as its twin, so on top of it.
            open.pop_if(|(last, _)| *last == net.last() && ranges.begins(net.first()));
            ranges.push(net.first(), *leaf);
            open.push((net.last(), *leaf));
        }
        while let Some((last, _)) = open.pop() {
            ranges.close(last, &open);
        }
        ranges
    }

    /// Behind this address the innermost of those that are still open goes on.
    fn close(&mut self, last: B, open: &[(B, Leaf)]) {
        let below = open.last().map_or(Leaf::NONE, |(_, leaf)| *leaf);
        if let Some(first) = last.next() {
            self.push(first, below);
        }
    }

    /// From this address on it is this leaf.
    fn push(&mut self, first: B, leaf: Leaf) {
        if self.begins(first) {
            self.firsts.pop();
            self.leaves.pop();
        }
        if self.leaves.last() != Some(&leaf) {
            self.firsts.push(first);
            self.leaves.push(leaf);
        }
    }

    /// Whether the last range begins with this address.
    fn begins(&self, first: B) -> bool {
        self.firsts.last() == Some(&first)
    }
}

/// A place in ranges that only moves on.
#[derive(Clone)]
pub(super) struct Cursor<'a, B> {
    ranges: &'a Ranges<B>,
    at: usize,
}

impl<'a, B: Bits> Cursor<'a, B> {
    /// At the lowest address.
    pub fn new(ranges: &'a Ranges<B>) -> Cursor<'a, B> {
        Cursor { ranges, at: 0 }
    }

    /// The leaf of the present range.
    pub fn leaf(&self) -> Leaf {
        self.ranges.leaves[self.at]
    }

    /// Whether the present range reaches to this address, or farther.
    pub fn reaches(&self, last: B) -> bool {
        self.end().is_none_or(|end| end > last)
    }

    /// The first address behind the present range; `None`: it reaches to the highest.
    pub fn end(&self) -> Option<B> {
        self.ranges.firsts.get(self.at + 1).copied()
    }

    /// Goes to the next range if that begins with this address.
    pub fn step(&mut self, first: B) {
        if self.end() == Some(first) {
            self.at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(nets: &[(u32, u8, usize)]) -> Vec<(u32, usize)> {
        let nets = nets.iter().map(|(first, len, leaf)| (Net::of(*first, *len), Leaf::new(*leaf)));
        let ranges = Ranges::of(&nets.collect::<Vec<_>>());
        ranges.firsts.into_iter().zip(ranges.leaves.iter().map(|leaf| leaf.index())).collect()
    }

    #[test]
    fn prefix_in_a_prefix_is_a_range_between_two() {
        let found = ranges(&[(0x0a00_0000, 8, 1), (0x0a01_0000, 16, 2)]);
        let expected =
            [(0, 0), (0x0a00_0000, 1), (0x0a01_0000, 2), (0x0a02_0000, 1), (0x0b00_0000, 0)];
        assert_eq!(found, expected);
    }

    #[test]
    fn neighbours_of_one_leaf_are_one_range() {
        let found = ranges(&[(0, 0, 1), (0x0a00_0000, 9, 2), (0x0a80_0000, 9, 2)]);
        assert_eq!(found, [(0, 1), (0x0a00_0000, 2), (0x0b00_0000, 1)]);
    }

    #[test]
    fn ends_at_the_highest_address_need_no_range_behind() {
        assert_eq!(ranges(&[(0, 0, 1), (u32::MAX, 32, 2)]), [(0, 1), (u32::MAX, 2)]);
    }

    #[test]
    fn of_the_same_prefix_the_last_counts_and_leaves_nothing_behind() {
        let found = ranges(&[(0, 0, 9), (0x0a00_0000, 8, 1), (0x0a00_0000, 8, 2)]);
        assert_eq!(found, [(0, 9), (0x0a00_0000, 2), (0x0b00_0000, 9)]);
    }

    #[test]
    fn the_longer_of_two_that_begin_and_end_alike_is_on_top() {
        // The upper half ends where the whole ends, the lower half begins where it begins.
        let found = ranges(&[(0, 0, 1), (0, 1, 2), (0x8000_0000, 1, 3), (0xc000_0000, 2, 4)]);
        assert_eq!(found, [(0, 2), (0x8000_0000, 3), (0xc000_0000, 4)]);
    }
}

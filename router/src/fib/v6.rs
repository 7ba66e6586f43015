//! The table of IPv6: a tree of searches, each of which looks at 32 bits of the address.
//!
//! **Parts.** A search divides all that its 32 bits can be into ranges, each known by its last
//! number. A range is a leaf, or it is one number only and another search goes on with the next 32
//! bits. The last numbers of a search stand in lines of sixteen, a cache line each; where there are
//! more than sixteen, lines above hold the last number of each line below, and so on up to one
//! line. The number of keys in a line that are below what is searched is the place to go on; the
//! compiler makes four vector comparisons of it and no branch. The lines of a search stand
//! together: those of all levels but the lowest as if they were full, so that a line's place
//! follows from the depth, then those of the lowest, each before a line with its entries, which a
//! processor fetches with it.
//!
//! **Memory.** At most two ranges a prefix, each with 4 octets for its key and 4 for its entry; in
//! each search up to fifteen more that are not used, and one search for each /32 in which something
//! longer is, each /64 and each /96 likewise. At the very worst, hosts each in a /32 of its own,
//! 384 octets a prefix and 16 for its part of the first search.
//!
//! **Why this one.** What counts is how many lines that are in no cache are waited for one after
//! the other. With 200 k prefixes, on a busy machine, a tree over whole addresses, eight of 128
//! bits a node, took twice as long, and so did these searches with their heads and entries in
//! tables apart from the lines; a binary search over the ranges 1.2 times, and it grows with them.
//!
//! **Ugly.** How deep the second search is hangs on what the first has read, so that a processor
//! guesses wrong and lookups overlap less than those of IPv4: to go down for several addresses at
//! a time, a level for each in turn, would help.

use super::{Leaf, flatten, ranges::Cursor, ranges::Ranges};
use crate::prefix::Net;

/// Set in an entry that is not a leaf: it says where another search stands, and how deep it is.
const DEEPER: u32 = 1 << 31;
/// Where in such an entry the depth stands, above the number of the first line.
const DEPTH_SHIFT: u32 = 28;
/// Keys in a line.
const LINE_LEN: usize = 16;
/// Bits that one search looks at.
const STEP: u32 = 32;
/// Bits behind those of the first search.
const FIRST_SHIFT: u32 = 96;
/// Levels of lines in one search: more keys than these lead to need more prefixes than a table has.
const DEPTH_MAX: u32 = 6;
/// The first line of the lowest level, for a search of each depth: behind full levels above.
const LOWEST: [usize; 8] = [0, 0, 1, 17, 273, 4369, 69_905, 0];

const _: () = assert!(2 * super::NETS_MAX < LINE_LEN.pow(DEPTH_MAX));

#[derive(Clone, Copy)]
#[repr(align(64))]
struct Line([u32; LINE_LEN]);

/// The table.
pub struct FibV6 {
    lines: Vec<Line>,
    /// The entry that leads to the search for the first 32 bits.
    first: u32,
}

impl FibV6 {
    /// Builds the table, from prefixes in any order.
    pub(super) fn build(nets: Vec<(Net<u128>, Leaf)>) -> FibV6 {
        FibV6::from_ranges(&flatten(nets))
    }

    fn from_ranges(ranges: &Ranges<u128>) -> FibV6 {
        let mut table = FibV6 { lines: Vec::new(), first: 0 };
        table.first = table.search(&mut Cursor::new(ranges), 0, FIRST_SHIFT);
        table.lines.shrink_to_fit();
        table
    }

    /// Builds the search for the bits from `shift` on, behind those that `first` has, and returns
    /// the entry that leads to it.
    fn search(&mut self, cursor: &mut Cursor<'_, u128>, first: u128, shift: u32) -> u32 {
        let (mut keys, mut entries) = (Vec::new(), Vec::new());
        let mut next = Some(0);
        while let Some(digit) = next {
            let start = first | u128::from(digit) << shift;
            cursor.step(start);
            let last = if cursor.reaches(start | ((1 << shift) - 1)) {
                entries.push(cursor.leaf().0);
                cursor.whole(first, shift)
            } else {
                entries.push(self.search(cursor, start, shift - STEP));
                digit
            };
            keys.push(last);
            next = last.checked_add(1);
        }
        self.emit(&keys, &entries)
    }

    /// Puts a search into lines and returns the entry that leads to it.
    fn emit(&mut self, keys: &[u32], entries: &[u32]) -> u32 {
        let depth = (1..DEPTH_MAX).find(|depth| keys.len() <= LINE_LEN.pow(*depth));
        let depth = depth.unwrap_or(DEPTH_MAX);
        let begin = self.lines.len();
        // The last key of each line of the lowest level, then of each line of the level above.
        let lowest = keys.chunks(LINE_LEN).map(|line| line[line.len() - 1]);
        let mut above: Vec<u32> = lowest.collect();
        self.lines.resize(begin + LOWEST[depth as usize], Line([u32::MAX; LINE_LEN]));
        for level in (1..depth).rev() {
            let lines = above.chunks(LINE_LEN).map(Line::of);
            let place = begin + LOWEST[level as usize];
            self.lines[place..].iter_mut().zip(lines).for_each(|(line, new)| *line = new);
            above = above.chunks(LINE_LEN).map(|line| line[line.len() - 1]).collect();
        }
        for (keys, entries) in keys.chunks(LINE_LEN).zip(entries.chunks(LINE_LEN)) {
            self.lines.extend([Line::of(keys), Line::of(entries)]);
        }
        assert!(begin < 1 << DEPTH_SHIFT, "lines of a table");
        DEEPER | depth << DEPTH_SHIFT | begin as u32
    }

    /// The leaf of the longest prefix that matches.
    #[inline]
    pub fn lookup(&self, address: u128) -> Leaf {
        let mut entry = self.first;
        let mut shift = FIRST_SHIFT;
        loop {
            let digit = (address >> shift) as u32;
            let depth = (entry >> DEPTH_SHIFT & 7) as usize;
            let lines = &self.lines[(entry & ((1 << DEPTH_SHIFT) - 1)) as usize..];
            let mut index = 0;
            for level in &LOWEST[1..depth] {
                index = index * LINE_LEN + lines[level + index].below(digit);
            }
            // A line of keys and one of entries by turns.
            let lowest = LOWEST[depth] + 2 * index;
            entry = lines[lowest + 1].0[lines[lowest].below(digit) % LINE_LEN];
            if entry & DEEPER == 0 {
                return Leaf(entry);
            }
            // Below the last 32 bits there is no search to go on.
            shift = shift.wrapping_sub(STEP) % u128::BITS;
        }
    }

    /// Octets that the table occupies.
    pub fn memory(&self) -> usize {
        self.lines.capacity() * size_of::<Line>()
    }
}

impl Default for FibV6 {
    /// A table without a route.
    fn default() -> FibV6 {
        FibV6::build(Vec::new())
    }
}

impl Line {
    /// These numbers. What fills it up is below nothing.
    fn of(numbers: &[u32]) -> Line {
        let mut line = [u32::MAX; LINE_LEN];
        line[..numbers.len()].copy_from_slice(numbers);
        Line(line)
    }

    /// How many keys are below this number.
    #[inline]
    fn below(&self, digit: u32) -> usize {
        self.0.iter().map(|key| u32::from(*key < digit)).sum::<u32>() as usize
    }
}

impl Cursor<'_, u128> {
    /// The last number of the 32 bits from `shift` on, behind those that `first` has, of which the
    /// present range has all addresses.
    fn whole(&self, first: u128, shift: u32) -> u32 {
        let Some(end) = self.end() else { return u32::MAX };
        let last = first | ((u128::from(u32::MAX) << shift) | ((1 << shift) - 1));
        if end > last { u32::MAX } else { ((end >> shift) as u32).wrapping_sub(1) }
    }
}

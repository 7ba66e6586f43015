//! The table of IPv6: indexed with the first 16 bits of the address, then a tree of cache lines.
//!
//! **Parts.** The root has an entry for each 16 bits. An entry is a leaf, or says where to go on.
//! Where four ranges at the most are left, that is a [`Tail`]: a cache line with whole addresses
//! and the leaves between them, the end of every search. Else the next 16 bits are divided into
//! ranges, each known by its last number, of which a [`Line`] holds eleven with their entries;
//! where there are more, lines above lead to those below. So every step but the first and the last
//! is the same: fetch a line, count the numbers in it that are below one's own, take the entry of
//! that place. The compiler makes vector comparisons of it and no branch. An entry says whether
//! the same 16 bits go on to be looked at, or the next.
//!
//! **Batches.** What costs is to wait for lines that are in no cache, one after the other, and to
//! guess wrong how deep a search is, for then nothing is fetched ahead. So [`FibV6::lookup_batch`]
//! takes a step for all addresses before the next step for any, with a list of those that are not
//! at their end; and before each step it asks for a word of all their lines, in a loop so small
//! that a processor has as many in flight as it can. Safe Rust has no other prefetch.
//!
//! **Memory.** 256 KiB; at most two ranges a prefix, with 6 octets each in lines that are at least
//! half full, or a tail of 64 octets for two or three of them. At the very worst, hosts in pairs of
//! which each has a /32 of its own and only the last bits tell them apart, 256 octets a prefix.
//!
//! **Why this one.** 200 k prefixes; processor time of a lookup in ns, in a batch of 64 and one by
//! one; medians of 61 short rounds by turns in one run, on two busy cores (AMD EPYC, 1 MiB of L2),
//! where IPv4 with a million prefixes took 24-30 and 150-260: trust the ratios. `full`, `dense` and
//! `hosts` are those of `cargo bench -p uswitch-benches --bench fib`, which measures some of the
//! others, too; `links` are 200 links with 1000 hosts each, `deep` nests 100 lengths.
//!
//! ```text
//!                                         full      dense      hosts     links      deep   MiB
//!   these lines, a step for all at once  54 413    79 432    59  689    96 647   104 293   4.7
//!   the same, lines not asked for        95 415   107 431   125  685   147 647   131 279   4.7
//!   the same, each to its end           125 444   191 445   167  624   269 645   155 278   4.7
//!   root of 20 bits                      68 565    72 430    73  605   116 736    88 308  10.7
//!   lines in pairs, 20 ranges            93 596    90 433   109  802   136 685    63 240   3.7
//!   searches of 32 bits, 16 keys a line 229 521   184 464   860 1459   504 776   194 357   6.2
//!   Waldvogel: hashes, lengths halved   174 395   155 372    65  356    66 360   259 436  18.3
//!   poptrie, steps of 6 bits, no POPCNT 346 800   258 627  1149 1604  1111 1380  133 287  14.4
//! ```
//!
//! On a quiet machine the whole decision about a packet of `full`, this among it, takes 83 ns in a
//! batch and 216 alone (`--bench route`). A tree over whole addresses, eight of 128 bits a node,
//! took twice as long as searches of 32 bits, a binary search over the ranges 1.2 times. All load
//! in less than 0.1 s, but hashes and the poptrie.

use std::hint::black_box;

use super::{BATCH, Leaf, flatten, ranges::Cursor, ranges::Ranges};
use crate::prefix::Net;

/// Set in an entry that is not a leaf.
const DEEPER: u32 = 1 << 31;
/// Set beside it: what goes on is a tail, not a line.
const TAIL: u32 = 1 << 30;
/// Set beside it: the line is for the next bits.
const NEXT: u32 = 1 << 29;
/// In an entry: a leaf has less than `DEEPER`, the number of a line or tail these.
const NUMBER: u32 = NEXT - 1;
/// Bits that the root and each tree of lines look at.
const STEP: u32 = 16;
/// Entries of the root.
const ROOT_LEN: usize = 1 << STEP;
/// Entries of a line.
const LINE_LEN: usize = 11;
/// Ranges of a tail.
const TAIL_LEN: usize = 4;

/// Ranges of 16 bits. What fills it up is never found.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Line {
    /// The last number of each range but the last.
    lasts: [u16; LINE_LEN - 1],
    entries: [u32; LINE_LEN],
}

/// Ranges of addresses. What fills it up is never found.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Tail {
    /// The last address of each range but the last.
    lasts: [u128; TAIL_LEN - 1],
    leaves: [u32; TAIL_LEN],
}

const _: () = assert!(size_of::<Line>() == 64 && size_of::<Tail>() == 64);

/// The table.
pub struct FibV6 {
    root: Box<[u32]>,
    lines: Vec<Line>,
    tails: Vec<Tail>,
}

impl FibV6 {
    /// Builds the table, from prefixes in any order.
    pub(super) fn build(nets: Vec<(Net<u128>, Leaf)>) -> FibV6 {
        FibV6::from_ranges(&flatten(nets))
    }

    fn from_ranges(ranges: &Ranges<u128>) -> FibV6 {
        let root = vec![0; ROOT_LEN].into_boxed_slice();
        let mut table = FibV6 { root, lines: Vec::new(), tails: Vec::new() };
        let mut cursor = Cursor::new(ranges);
        let shift = u128::BITS - STEP;
        for high in 0..ROOT_LEN {
            table.root[high] = table.entry(&mut cursor, (high as u128) << shift, shift) & !NEXT;
        }
        table.lines.shrink_to_fit();
        table.tails.shrink_to_fit();
        table
    }

    /// The entry for the addresses that begin as `first` does, up to the last `bits` bits.
    fn entry(&mut self, cursor: &mut Cursor<'_, u128>, first: u128, bits: u32) -> u32 {
        cursor.step(first);
        let last = first | ((1 << bits) - 1);
        if cursor.reaches(last) {
            return cursor.leaf().0;
        }
        if let Some(tail) = Tail::of(cursor, last) {
            self.tails.push(tail);
            return DEEPER | TAIL | number(self.tails.len() - 1);
        }
        // So few ranges fit into fewer addresses: there are bits left.
        let bits = bits - STEP;
        let mut parts = Vec::new();
        let mut next = Some(0);
        while let Some(digit) = next {
            let entry = self.entry(cursor, first | u128::from(digit) << bits, bits);
            let last = if entry & DEEPER == 0 { cursor.last_of(first, bits) } else { digit };
            parts.push((last, entry));
            next = last.checked_add(1);
        }
        DEEPER | NEXT | self.tree(parts)
    }

    /// Puts ranges of 16 bits into lines, and returns the number of the line that leads to all.
    fn tree(&mut self, mut parts: Vec<(u16, u32)>) -> u32 {
        loop {
            let lines = parts.len().div_ceil(LINE_LEN);
            let mut above = Vec::with_capacity(lines);
            for part in parts.chunks(parts.len().div_ceil(lines)) {
                above.push((part[part.len() - 1].0, DEEPER | number(self.lines.len())));
                self.lines.push(Line::of(part));
            }
            if let [(_, entry)] = above[..] {
                return entry & NUMBER;
            }
            parts = above;
        }
    }

    /// The leaf of the longest prefix that matches.
    #[inline]
    pub fn lookup(&self, address: u128) -> Leaf {
        let mut entry = self.enter(address);
        let mut rest = address << STEP;
        while is_line(entry) {
            (entry, rest) = self.step(entry, rest);
        }
        self.end(entry, address)
    }

    /// The leaves of several addresses, [`BATCH`] at the most.
    ///
    /// # Panics
    ///
    /// If there are more, or not as many leaves.
    pub fn lookup_batch(&self, addresses: &[u128], leaves: &mut [Leaf]) {
        assert!(addresses.len() <= BATCH && addresses.len() == leaves.len(), "a batch");
        let mut entries = [0; BATCH];
        let mut rests = [0; BATCH];
        // Which of them are not at their end. To write every number and to count some needs no
        // branch that could be guessed wrong.
        let mut open = [0_u8; BATCH];
        let mut count = 0;
        for (index, address) in addresses.iter().enumerate() {
            entries[index] = self.enter(*address);
            rests[index] = address << STEP;
            open[count % BATCH] = index as u8;
            count += usize::from(is_line(entries[index]));
        }
        while count > 0 {
            let all = open[..count].iter().map(|index| entries[usize::from(*index) % BATCH]);
            black_box(all.fold(0, |sum, entry| sum ^ self.line(entry).lasts[0]));
            let mut left = 0;
            for at in 0..count {
                let index = usize::from(open[at]) % BATCH;
                (entries[index], rests[index]) = self.step(entries[index], rests[index]);
                open[left % BATCH] = index as u8;
                left += usize::from(is_line(entries[index]));
            }
            count = left;
        }
        for (index, leaf) in leaves.iter_mut().enumerate() {
            *leaf = Leaf(entries[index % BATCH] & !DEEPER);
            open[count % BATCH] = index as u8;
            count += usize::from(entries[index % BATCH] & DEEPER != 0);
        }
        let tails = open[..count].iter().map(|index| entries[usize::from(*index) % BATCH]);
        black_box(tails.fold(0, |sum, entry| sum ^ self.tail(entry).leaves[0]));
        for index in &open[..count] {
            let index = usize::from(*index) % BATCH;
            leaves[index] = self.end(entries[index], addresses[index]);
        }
    }

    /// Where a search begins.
    #[inline]
    fn enter(&self, address: u128) -> u32 {
        self.root[(address >> (u128::BITS - STEP)) as usize]
    }

    /// Goes one line on, with what of the address has yet to be looked at.
    #[inline]
    fn step(&self, entry: u32, rest: u128) -> (u32, u128) {
        let line = self.line(entry);
        let digit = (rest >> (u128::BITS - STEP)) as u16;
        let below: u16 = line.lasts.iter().map(|last| u16::from(*last < digit)).sum();
        let entry = line.entries[usize::from(below).min(LINE_LEN - 1)];
        (entry, if entry & NEXT == 0 { rest } else { rest << STEP })
    }

    /// Where a search ends: at a leaf, or in a tail.
    #[inline]
    fn end(&self, entry: u32, address: u128) -> Leaf {
        if entry & DEEPER == 0 {
            return Leaf(entry);
        }
        let tail = self.tail(entry);
        let below: usize = tail.lasts.iter().map(|last| usize::from(*last < address)).sum();
        Leaf(tail.leaves[below])
    }

    #[inline]
    fn line(&self, entry: u32) -> &Line {
        &self.lines[(entry & NUMBER) as usize]
    }

    #[inline]
    fn tail(&self, entry: u32) -> &Tail {
        &self.tails[(entry & NUMBER) as usize]
    }

    /// Octets that the table occupies.
    pub fn memory(&self) -> usize {
        self.root.len() * size_of::<u32>()
            + self.lines.capacity() * size_of::<Line>()
            + self.tails.capacity() * size_of::<Tail>()
    }
}

impl Default for FibV6 {
    /// A table without a route.
    fn default() -> FibV6 {
        FibV6::build(Vec::new())
    }
}

/// Whether an entry leads to a line.
#[inline]
fn is_line(entry: u32) -> bool {
    entry & (DEEPER | TAIL) == DEEPER
}

/// The number of a line or tail, for an entry.
fn number(index: usize) -> u32 {
    assert!(index <= NUMBER as usize, "lines of a table");
    index as u32
}

impl Line {
    /// These ranges: the last number and the entry of each.
    fn of(parts: &[(u16, u32)]) -> Line {
        let mut line = Line { lasts: [u16::MAX; LINE_LEN - 1], entries: [0; LINE_LEN] };
        for (index, (last, entry)) in parts.iter().enumerate() {
            line.entries[index] = *entry;
            // Whatever is behind the last but one is in the last.
            if index + 1 < parts.len() {
                line.lasts[index] = *last;
            }
        }
        line
    }
}

impl Tail {
    /// The ranges from the present one to that of an address, where the cursor is then. `None`:
    /// they are too many, and it has not moved.
    fn of(cursor: &mut Cursor<'_, u128>, last: u128) -> Option<Tail> {
        let mut tail = Tail { lasts: [u128::MAX; TAIL_LEN - 1], leaves: [0; TAIL_LEN] };
        let mut ahead = cursor.clone();
        for index in 0..TAIL_LEN {
            tail.leaves[index] = ahead.leaf().0;
            let Some(end) = ahead.end().filter(|end| *end <= last) else {
                *cursor = ahead;
                return Some(tail);
            };
            *tail.lasts.get_mut(index)? = end - 1;
            ahead.step(end);
        }
        None
    }
}

impl Cursor<'_, u128> {
    /// Of the 16 bits before the last `bits`, behind those that `first` has: the last number of
    /// which the present range has all addresses.
    fn last_of(&self, first: u128, bits: u32) -> u16 {
        let last = first | ((1 << (bits + STEP)) - 1);
        match self.end() {
            Some(end) if end <= last => ((end >> bits) as u16).wrapping_sub(1),
            _ => u16::MAX,
        }
    }
}

//! The table of IPv4: indexed with the first 16 bits of the address, the next 8 and the last 8.
//!
//! **Parts.** The root has an entry for each 16 bits. An entry is a leaf, or says which block goes
//! on; a block has an entry for each of the next 8 bits. What is longer than 24 bits is a tail: a
//! bit for each of the last 8 bits, set where another leaf begins, so that the number of bits set
//! up to an address is the index of its leaf. Routes longer than 24 bits are few on the Internet
//! and many in a data centre: a full block of 1 KiB for each would make a million of them 1 GiB,
//! tails make them 52 MiB.
//!
//! **Memory.** 256 KiB, 1 KiB for each /16 in which there is more than one route (64 MiB if that is
//! everywhere), and 40 octets for each /24 likewise, with 4 for each range in it.
//!
//! **Why this one.** It does what DIR-24-8 does (`flat` in `cargo bench -p uswitch-benches --bench
//! fib`), whose first step has 24 bits: a random look into a full table waits for memory once, for
//! the root stays in the caches. A million prefixes: 16-24 ns against 14-17 in batches, and 41 MiB
//! against 84, of which a home of five routes needs none. A binary search takes 20 times as long.

use super::{Leaf, flatten, ranges::Cursor, ranges::Ranges};
use crate::prefix::Net;

/// Set in an entry that is not a leaf: the other bits say where it goes on.
const DEEPER: u32 = 1 << 31;
/// Entries of the root: 16 bits of the address.
const ROOT_LEN: usize = 1 << 16;
/// Entries of a block: 8 bits of the address.
const BLOCK_LEN: usize = 1 << 8;

/// The last 8 bits where they tell something. The leaves of all tails stand together.
struct Tail {
    /// A bit for each address, the lowest of the first word for the first: set where a leaf begins.
    begins: [u64; 4],
    /// Where its leaves begin.
    leaves: u32,
    /// How many leaves begin before each word: 192 at the most.
    before: [u8; 4],
}

/// The table.
pub struct FibV4 {
    root: Box<[u32]>,
    /// Blocks, one behind the other.
    blocks: Vec<u32>,
    tails: Vec<Tail>,
    tail_leaves: Vec<u32>,
}

impl FibV4 {
    /// Builds the table, from prefixes in any order.
    pub(super) fn build(nets: Vec<(Net<u32>, Leaf)>) -> FibV4 {
        FibV4::from_ranges(&flatten(nets))
    }

    fn from_ranges(ranges: &Ranges<u32>) -> FibV4 {
        let mut table = FibV4 {
            root: vec![0; ROOT_LEN].into_boxed_slice(),
            blocks: Vec::new(),
            tails: Vec::new(),
            tail_leaves: Vec::new(),
        };
        let mut cursor = Cursor::new(ranges);
        for high in 0..ROOT_LEN {
            let (first, last) = ((high as u32) << 16, (high as u32) << 16 | 0xffff);
            cursor.step(first);
            table.root[high] = if cursor.reaches(last) {
                cursor.leaf().0
            } else {
                table.block(&mut cursor, first)
            };
        }
        table.blocks.shrink_to_fit();
        table.tails.shrink_to_fit();
        table.tail_leaves.shrink_to_fit();
        table
    }

    /// Builds a block and returns the entry that leads to it.
    fn block(&mut self, cursor: &mut Cursor<'_, u32>, first: u32) -> u32 {
        let entry = DEEPER | (self.blocks.len() / BLOCK_LEN) as u32;
        for middle in 0..BLOCK_LEN as u32 {
            let first = first | middle << 8;
            cursor.step(first);
            let inner = if cursor.reaches(first | 0xff) {
                cursor.leaf().0
            } else {
                self.tail(cursor, first)
            };
            self.blocks.push(inner);
        }
        entry
    }

    /// Builds a tail and returns the entry that leads to it.
    fn tail(&mut self, cursor: &mut Cursor<'_, u32>, first: u32) -> u32 {
        let leaves = self.tail_leaves.len();
        let mut tail = Tail { begins: [0; 4], leaves: leaves as u32, before: [0; 4] };
        for low in 0..BLOCK_LEN {
            let (word, bit) = (low / 64, low % 64);
            if bit == 0 {
                tail.before[word] = (self.tail_leaves.len() - leaves) as u8;
            }
            let before = cursor.leaf();
            cursor.step(first | low as u32);
            if low == 0 || cursor.leaf() != before {
                tail.begins[word] |= 1 << bit;
                self.tail_leaves.push(cursor.leaf().0);
            }
        }
        self.tails.push(tail);
        DEEPER | (self.tails.len() - 1) as u32
    }

    /// The leaf of the longest prefix that matches.
    #[inline]
    pub fn lookup(&self, address: u32) -> Leaf {
        let entry = self.root[(address >> 16) as usize];
        if entry & DEEPER == 0 {
            return Leaf(entry);
        }
        let block = (entry & !DEEPER) as usize * BLOCK_LEN;
        let entry = self.blocks[block | (address >> 8 & 0xff) as usize];
        if entry & DEEPER == 0 {
            return Leaf(entry);
        }
        self.tails[(entry & !DEEPER) as usize].lookup(address as u8, &self.tail_leaves)
    }

    /// Octets that the table occupies.
    pub fn memory(&self) -> usize {
        let words = self.root.len() + self.blocks.capacity() + self.tail_leaves.capacity();
        words * size_of::<u32>() + self.tails.capacity() * size_of::<Tail>()
    }
}

impl Default for FibV4 {
    /// A table without a route.
    fn default() -> FibV4 {
        FibV4::build(Vec::new())
    }
}

impl Tail {
    #[inline]
    fn lookup(&self, low: u8, leaves: &[u32]) -> Leaf {
        let word = usize::from(low / 64);
        // Bits up to this one. The first address begins a leaf, so there is at least one.
        let begun = (self.begins[word] << (63 - low % 64)).count_ones();
        Leaf(leaves[(self.leaves + u32::from(self.before[word]) + begun - 1) as usize])
    }
}

//! The forwarding table: which of all prefixes that match an address is the longest, and what it
//! stands for. It knows nothing of routes but the number of each, its [`Leaf`].
//!
//! **Parts.** Both versions of IP begin with the same step: prefixes that lie in one another are
//! flattened into ranges of addresses that lie side by side (`fib/ranges.rs`), each with the leaf
//! of its longest prefix. So a prefix of any length, /0 and /32 and all between, is no case of its
//! own afterwards. IPv4 then spreads the ranges over tables that are indexed with 16, 8 and 8 bits
//! of the address (`fib/v4.rs`), IPv6 with 16, and searches what is behind as a tree
//! (`fib/v6.rs`). Each says in its head why it was chosen.
//!
//! **Rules.** A table never changes. The control side builds another one aside and swaps it, so a
//! reader needs no lock, and what he sees is of one moment. A change to one route costs as much as
//! loading all of them: some tenths of a second for a full table, and not on the way of a packet.
//!
//! **Batches.** A random look into a table of millions waits for memory; several that do not
//! depend on each other wait together. So find the leaves of all packets of a batch in a loop of
//! nothing else, and then go on with each packet: the processor overlaps what it may. A search of
//! IPv6 has more steps than a processor looks ahead: [`Fib::lookup_batch_v6`] overlaps them itself.
//!
//! **Limits.** [`Leaf::MAX`] leaves, [`NETS_MAX`] prefixes of each version. [`Fib::memory`] says
//! what a table occupies; an empty one 512 KiB, a full one of 2026 about 60 MiB, and the worst
//! million of IPv4 prefixes less than 120 MiB.

mod ranges;
mod v4;
mod v6;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ranges::Ranges;
pub use v4::FibV4;
pub use v6::FibV6;

use crate::prefix::{Bits, Net};

/// Prefixes of one version of IP that a table can hold: four times a full table of 2026.
pub const NETS_MAX: usize = 1 << 22;

/// Addresses that are looked up together at the most.
pub const BATCH: usize = 64;

/// What a prefix stands for: a number that the owner of the table gives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Leaf(u32);

impl Leaf {
    /// Where no prefix matches.
    pub const NONE: Leaf = Leaf(0);
    /// The highest number: the bit above it is the tables' own.
    pub const MAX: u32 = (1 << 31) - 1;

    /// The leaf of this number; 0 is [`Leaf::NONE`].
    ///
    /// # Panics
    ///
    /// If it is above [`Leaf::MAX`].
    pub fn new(number: usize) -> Leaf {
        assert!(number <= Leaf::MAX as usize, "number of a leaf");
        Leaf(number as u32)
    }

    /// Its number.
    #[inline]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Both tables.
#[derive(Default)]
pub struct Fib {
    v4: FibV4,
    v6: FibV6,
}

impl Fib {
    /// Builds the tables, from prefixes in any order. Of a prefix that is there twice the later one
    /// counts.
    ///
    /// # Panics
    ///
    /// If there are more than [`NETS_MAX`] of a version: whoever reads routes checks that.
    pub fn build(v4: Vec<(Net<u32>, Leaf)>, v6: Vec<(Net<u128>, Leaf)>) -> Fib {
        Fib { v4: FibV4::build(v4), v6: FibV6::build(v6) }
    }

    /// The leaf of the longest prefix that matches.
    #[inline]
    pub fn lookup_v4(&self, address: Ipv4Addr) -> Leaf {
        self.v4.lookup(address.to_bits())
    }

    /// The leaf of the longest prefix that matches.
    #[inline]
    pub fn lookup_v6(&self, address: Ipv6Addr) -> Leaf {
        self.v6.lookup(address.to_bits())
    }

    /// The leaves of several addresses, [`BATCH`] at the most.
    ///
    /// # Panics
    ///
    /// If there are more, or not as many leaves.
    #[inline]
    pub fn lookup_batch_v6(&self, addresses: &[u128], leaves: &mut [Leaf]) {
        self.v6.lookup_batch(addresses, leaves);
    }

    /// The leaf of the longest prefix that matches, of the address's own version.
    pub fn lookup(&self, address: IpAddr) -> Leaf {
        match address {
            IpAddr::V4(address) => self.lookup_v4(address),
            IpAddr::V6(address) => self.lookup_v6(address),
        }
    }

    /// Octets that the tables occupy.
    pub fn memory(&self) -> usize {
        self.v4.memory() + self.v6.memory()
    }
}

/// Sorts prefixes as [`Ranges::of`] wants them.
fn flatten<B: Bits>(mut nets: Vec<(Net<B>, Leaf)>) -> Ranges<B> {
    assert!(nets.len() <= NETS_MAX, "number of prefixes");
    // Stable: of two that are the same the later one stays behind.
    nets.sort_by_key(|(net, _)| *net);
    Ranges::of(&nets)
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*, sample::select};

    use super::*;
    use crate::prefix::Prefix;

    /// What a table is, in so many words: of all prefixes that match the longest, of two that are
    /// the same the later.
    fn naive<B: Bits>(nets: &[(Net<B>, Leaf)], address: B) -> Leaf {
        let matching = nets.iter().filter(|(net, _)| net.contains(address));
        matching.max_by_key(|(net, _)| net.length()).map_or(Leaf::NONE, |(_, leaf)| *leaf)
    }

    /// Prefixes that lie in one another, touch and repeat: few bits differ, any length.
    fn nets_v4() -> impl Strategy<Value = Vec<(Net<u32>, Leaf)>> {
        let first = select(vec![0_u32, 0x0a00_0000, 0x0a00_ff00, 0xc0a8_0100, u32::MAX - 0x1ff]);
        let len = prop_oneof![0..=32_u8, 14..=18_u8, 22..=32_u8];
        let net = (first, 0..0x400_u32, len)
            .prop_map(|(first, low, len)| Net::of(first.wrapping_add(low), len));
        vec((net, (0..6_usize).prop_map(Leaf::new)), 0..40)
    }

    fn nets_v6() -> impl Strategy<Value = Vec<(Net<u128>, Leaf)>> {
        let first = select(vec![0, 0x2001_0db8 << 96, 0xfd00 << 112, u128::MAX - 0x1ff]);
        let low = prop_oneof![0..0x400_u128, (0..0x400_u128).prop_map(|low| low << 64)];
        let len = prop_oneof![0..=128_u8, 40..=64_u8, 118..=128_u8];
        let net = (first, low, len)
            .prop_map(|(first, low, len): (u128, u128, u8)| Net::of(first.wrapping_add(low), len));
        vec((net, (0..6_usize).prop_map(Leaf::new)), 0..80)
    }

    /// Addresses at which a table could be wrong: both ends of each prefix and their neighbours.
    fn edges<B: Bits>(nets: &[(Net<B>, Leaf)]) -> Vec<B> {
        let ends = nets.iter().flat_map(|(net, _)| {
            let before = net.first().not().next().map(Bits::not);
            [Some(net.first()), Some(net.last()), before, net.last().next()]
        });
        ends.flatten().chain([B::ZERO, B::MAX]).collect()
    }

    fn agree<B: Bits>(nets: &[(Net<B>, Leaf)], lookup: impl Fn(B) -> Leaf) {
        for address in edges(nets) {
            assert_eq!(lookup(address), naive(nets, address), "{address:x?} of {nets:x?}");
        }
    }

    fn agree_in_batches(nets: &[(Net<u128>, Leaf)], table: &FibV6) {
        for batch in edges(nets).chunks(BATCH - 1) {
            let leaves = &mut [Leaf::NONE; BATCH][..batch.len()];
            table.lookup_batch(batch, leaves);
            for (address, leaf) in batch.iter().zip(leaves) {
                assert_eq!(*leaf, naive(nets, *address), "{address:x?} of {nets:x?}");
            }
        }
    }

    proptest! {
        #[test]
        fn v4_agrees_with_the_naive_table(nets in nets_v4(), more: Vec<u32>, removed: usize) {
            let mut nets = nets;
            let table = FibV4::build(nets.clone());
            agree(&nets, |address| table.lookup(address));
            for address in more {
                prop_assert_eq!(table.lookup(address), naive(&nets, address));
            }
            if !nets.is_empty() {
                nets.remove(removed % nets.len());
                let table = FibV4::build(nets.clone());
                agree(&nets, |address| table.lookup(address));
            }
        }

        #[test]
        fn v6_agrees_with_the_naive_table(nets in nets_v6(), more: Vec<u128>, removed: usize) {
            let mut nets = nets;
            let table = FibV6::build(nets.clone());
            agree(&nets, |address| table.lookup(address));
            agree_in_batches(&nets, &table);
            for address in more {
                prop_assert_eq!(table.lookup(address), naive(&nets, address));
            }
            if !nets.is_empty() {
                nets.remove(removed % nets.len());
                let table = FibV6::build(nets.clone());
                agree(&nets, |address| table.lookup(address));
                agree_in_batches(&nets, &table);
            }
        }
    }

    fn fib(texts: &[&str]) -> Fib {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for (index, text) in texts.iter().enumerate() {
            let leaf = Leaf::new(index + 1);
            match text.parse().unwrap() {
                Prefix::V4(net) => v4.push((net, leaf)),
                Prefix::V6(net) => v6.push((net, leaf)),
            }
        }
        Fib::build(v4, v6)
    }

    fn leaf(fib: &Fib, address: &str) -> usize {
        fib.lookup(address.parse().unwrap()).index()
    }

    #[test]
    fn empty_table_has_no_route_to_anywhere() {
        let fib = Fib::default();
        for address in ["0.0.0.0", "10.0.0.1", "255.255.255.255", "::", "fd00::1"] {
            assert_eq!(fib.lookup(address.parse().unwrap()), Leaf::NONE);
        }
    }

    #[test]
    fn longest_of_nested_prefixes_wins_at_each_step() {
        let fib = fib(&["0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24", "10.1.2.3/32"]);
        let expected = [
            ("9.255.255.255", 1),
            ("10.0.0.0", 2),
            ("10.1.0.0", 3),
            ("10.1.2.2", 4),
            ("10.1.2.3", 5),
            ("10.1.2.4", 4),
            ("10.1.3.0", 3),
            ("10.2.0.0", 2),
            ("11.0.0.0", 1),
            ("255.255.255.255", 1),
        ];
        for (address, number) in expected {
            assert_eq!(leaf(&fib, address), number, "{address}");
        }
    }

    #[test]
    fn longest_of_nested_prefixes_wins_in_ipv6() {
        let fib = fib(&["::/0", "2001:db8::/32", "2001:db8:1::/48", "2001:db8:1::1/128"]);
        let expected = [
            ("2001:db7:ffff::", 1),
            ("2001:db8::", 2),
            ("2001:db8:1::", 3),
            ("2001:db8:1::1", 4),
            ("2001:db8:1::2", 3),
            ("2001:db8:2::", 2),
            ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 1),
        ];
        for (address, number) in expected {
            assert_eq!(leaf(&fib, address), number, "{address}");
        }
    }

    #[test]
    fn versions_do_not_meet() {
        let fib = fib(&["0.0.0.0/0"]);
        assert_eq!((leaf(&fib, "10.0.0.1"), leaf(&fib, "::ffff:10.0.0.1")), (1, 0));
    }

    #[test]
    fn memory_grows_with_the_table_and_not_with_the_length_of_its_prefixes() {
        let empty = Fib::default().memory();
        assert_eq!(empty, 512 << 10);
        assert_eq!(fib(&["0.0.0.0/0"]).memory(), empty);
        // Each in a /24 of its own: the worst that a prefix can do.
        let hosts = (0..1000_u32).map(|i| (Net::of(i << 8 | 7, 32), Leaf::new(1))).collect();
        let grown = Fib::build(hosts, Vec::new()).memory() - empty;
        assert_eq!(grown, 1000 * (40 + 3 * 4) + 4 * 1024);
    }

    #[test]
    fn tree_of_lines_finds_both_ends_of_each_range() {
        // As many as make trees of one to five levels.
        for count in [3, 11, 12, 120, 1400, 16_000] {
            let nets = (0..count).map(|i| (Net::of(i << 81, 48), Leaf::new(i as usize % 7 + 1)));
            let nets: Vec<_> = nets.collect();
            let fib = Fib::build(Vec::new(), nets.clone());
            for (net, leaf) in nets {
                let ends = [net.first(), net.last(), net.last() + 1];
                let leaves = &mut [Leaf::NONE; 3];
                fib.lookup_batch_v6(&ends, leaves);
                assert_eq!(*leaves, [leaf, leaf, Leaf::NONE]);
                assert_eq!(ends.map(|bits| fib.lookup_v6(bits.into())), *leaves);
            }
        }
    }

    #[test]
    fn no_table_of_ipv6_needs_more_than_256_octets_a_prefix() {
        let empty = Fib::default().memory();
        // Hosts in pairs, each pair in a /32 of its own: they differ in one bit, far down or not.
        for apart in [1, 15, 16, 31, 48, 79, 93] {
            let pair =
                |i: u128| [0, 1 << apart].map(|bit| Net::of(i << 96 | 1 << 94 | 4 | bit, 128));
            let nets: Vec<_> = (1..1000).flat_map(pair).map(|net| (net, Leaf::new(1))).collect();
            let (count, grown) = (nets.len(), Fib::build(Vec::new(), nets).memory() - empty);
            assert!(grown <= count * 256, "{apart}: {}", grown / count);
        }
    }
}

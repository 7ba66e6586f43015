//! Full tables as the Internet's are, made up: as many prefixes of each length as there, addresses
//! drawn at random within what is given out.

use std::{collections::HashSet, hash::Hash};

use uswitch_router::{
    fib::Leaf,
    prefix::{Bits, Net},
};

/// An address as a number that can be hashed.
pub trait Key: Bits + Hash {}
impl Key for u32 {}
impl Key for u128 {}

/// Prefixes, each with its leaf.
pub type Nets<B> = Vec<(Net<B>, Leaf)>;

/// Random numbers, the same in each run (splitmix64).
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }
}

/// Different next hops.
pub const LEAVES: u64 = 64;

/// Prefixes of each length in a hundred, after the routing tables of 2026.
const LENS_V4: [(u8, u64); 9] =
    [(24, 60), (23, 10), (22, 11), (21, 5), (20, 5), (19, 3), (18, 2), (16, 2), (32, 2)];
const LENS_V6: [(u8, u64); 7] =
    [(48, 46), (32, 13), (44, 11), (40, 11), (36, 6), (64, 8), (128, 5)];

/// So many prefixes that `draw` finds, each once, in no order.
pub fn nets<B: Key>(
    count: usize,
    lens: &[(u8, u64)],
    mut draw: impl FnMut(&mut Random) -> B,
) -> Nets<B> {
    let mut random = Random(1);
    let mut seen = HashSet::with_capacity(count);
    let mut nets = Vec::with_capacity(count);
    while nets.len() < count {
        let mut share = random.below(100);
        let len = lens.iter().find(|(_, part)| {
            let own = share < *part;
            share = share.wrapping_sub(*part);
            own
        });
        let net = Net::of(draw(&mut random), len.expect("the shares make a hundred").0);
        if seen.insert(net) {
            nets.push((net, Leaf::new(1 + random.below(LEAVES) as usize)));
        }
    }
    nets
}

/// So many prefixes of IPv4, within 11.0.0.0 to 126.255.255.255 and 128.0.0.0 to 168.255.255.255:
/// what a router may forward, and the benchmark's own links are not in it.
pub fn v4(count: usize) -> Nets<u32> {
    nets(count, &LENS_V4, |random| {
        let address = 0x0b00_0000 + random.below(0x9d00_0000) as u32;
        if address < 0x7f00_0000 { address } else { address + 0x0100_0000 }
    })
}

/// So many prefixes of IPv6, within 2000::/3: 4096 blocks of 32 bits, as registries give them.
pub fn v6(count: usize) -> Nets<u128> {
    nets(count, &LENS_V6, |random| {
        let block = random.below(4096).wrapping_mul(0x9e37) & 0x1fff_ffff | 0x2000_0000;
        let rest = u128::from(random.next()) << 32 | u128::from(random.next() >> 32);
        u128::from(block) << 96 | rest
    })
}

/// Addresses drawn from the prefixes: a prefix at random, and in it an address at random.
pub fn destinations_v4(nets: &[(Net<u32>, Leaf)], count: usize) -> Vec<u32> {
    let mut random = Random(2);
    let mut draw = || {
        let (net, _) = nets[random.below(nets.len() as u64) as usize];
        net.first() | (net.last() - net.first()) & random.next() as u32
    };
    (0..count).map(|_| draw()).collect()
}

/// The same for IPv6.
pub fn destinations_v6(nets: &[(Net<u128>, Leaf)], count: usize) -> Vec<u128> {
    let mut random = Random(2);
    let mut draw = || {
        let (net, _) = nets[random.below(nets.len() as u64) as usize];
        let host = u128::from(random.next()) << 64 | u128::from(random.next());
        net.first() | (net.last() - net.first()) & host
    };
    (0..count).map(|_| draw()).collect()
}

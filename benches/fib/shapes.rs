//! Other shapes that a table of IPv6 can have.

use uswitch_router::{fib::Leaf, prefix::Net};

use crate::tables::{LEAVES, Nets, Random, nets};

/// Lengths of what holders announce within what they have.
const LENS_WITHIN: [(u8, u64); 8] =
    [(48, 58), (44, 14), (40, 12), (36, 6), (47, 3), (46, 3), (42, 2), (64, 2)];

/// So many prefixes of IPv6, as registries give addresses: some thousand /32 and /29 side by side
/// in each of few regions, and what is longer by Zipf's law, most of it with few holders.
pub fn dense_v6(count: usize) -> Nets<u128> {
    let regions = [0x2001_0200, 0x2400_0000, 0x2600_0000, 0x2800_0000, 0x2a00_0000, 0x2a09_0000];
    let mut random = Random(7);
    let mut holders: Vec<Net<u128>> = Vec::new();
    for mut at in regions {
        for _ in 0..count / 50 {
            let large = random.below(4) == 0;
            at = if large { (at + 7) & !7 } else { at };
            holders.push(Net::of(at << 96, if large { 29 } else { 32 }));
            at += if large { 8 } else { 1 << random.below(4) };
        }
    }
    // Whoever has much does not stand first.
    for last in (1..holders.len()).rev() {
        holders.swap(last, random.below(last as u64 + 1) as usize);
    }
    let given = holders.len();
    let mut all = nets(count - given, &LENS_WITHIN, |random| {
        let share = random.below(1 << 53) as f64 / (1_u64 << 53) as f64;
        let holder = holders[(given as f64).powf(share) as usize - 1];
        let rest = u128::from(random.next()) << 64 | u128::from(random.next());
        // Half of it stands at the beginning.
        let rest = if random.below(2) == 0 { rest } else { rest >> (64 - random.below(16)) };
        holder.first() | rest & (holder.last() - holder.first())
    });
    let leaf = |random: &mut Random| Leaf::new(1 + random.below(LEAVES) as usize);
    all.extend(holders.into_iter().map(|net| (net, leaf(&mut random))));
    all
}

/// So many hosts of IPv6 anywhere within 2000::/3.
pub fn hosts_v6(count: usize) -> Nets<u128> {
    nets(count, &[(128, 100)], |random| {
        let bits = u128::from(random.next()) << 64 | u128::from(random.next());
        bits >> 3 | 1 << 125
    })
}

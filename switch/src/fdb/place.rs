//! Where in the table a station has its place: a secret permutation of the 60-bit numbers, VLAN
//! and address, so that nothing of the key is lost and strangers cannot choose their bucket. It is
//! quick and seeded, not a cipher: good against those who see frames, not against those who can
//! read the table or time each lookup exactly.

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
};

use crate::frame::Mac;

/// Bits of a key: VLAN and address. loom gets 4 VLANs, and so a table that it can handle.
pub(super) const KEY_BITS: u32 = if cfg!(loom) { 50 } else { 60 };
const KEY_MASK: u64 = (1 << KEY_BITS) - 1;
const MAC_BITS: u32 = 48;

/// Bits of a place for which a word has room. The bucket must tell the others.
pub(super) const REMAINDER_BITS: u32 = 49;

/// Decides which addresses share a bucket. Who knows it can choose addresses that all do.
#[derive(Clone)]
pub struct Seed([u64; 3]);

impl Seed {
    /// A secret one, another with each call.
    pub fn random() -> Seed {
        let state = RandomState::new();
        Seed([0, 1, 2].map(|number: u64| state.hash_one(number)))
    }

    /// The same one for the same number: for tests and simulations.
    pub fn from_number(number: u64) -> Seed {
        // Any three unlike numbers will do; the odd constant spreads small ones over all bits.
        Seed([1, 2, 3].map(|i: u64| {
            let spread = number.wrapping_add(i).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            (spread ^ (spread >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        }))
    }
}

impl fmt::Debug for Seed {
    /// Says nothing: this may end in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed(..)")
    }
}

/// Where a station has its place in one table. To be had from [`Fdb::place`](super::Fdb::place),
/// good for that table as long as it lives, meaningless to any other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(u64);

impl Place {
    /// A place from its upper bits, which are its first bucket, and its lower ones. Where there
    /// are so many buckets that the two overlap, they agree.
    pub(super) fn from_parts(bucket: usize, shift: u32, remainder: u64) -> Place {
        Place((bucket as u64) << shift | remainder)
    }

    /// The upper bits, those from number `shift` on.
    #[inline]
    pub(super) fn bucket(self, shift: u32) -> usize {
        (self.0 >> shift) as usize
    }

    /// The lower bits.
    #[inline]
    pub(super) fn remainder(self) -> u64 {
        self.0 & ((1 << REMAINDER_BITS) - 1)
    }
}

/// Two rounds of an odd factor and a fold of the upper half into the lower one, so that all bits
/// of the key reach the upper bits of the place, which are the bucket, and then the lower ones,
/// which are the distance to the second.
pub(super) struct Permutation {
    mask: u64,
    factors: [u64; 2],
    /// Of the factors, modulo 2^64 and so modulo any lower power.
    inverses: [u64; 2],
}

/// At least half of the bits: then to fold twice is not to fold at all.
const FOLD: u32 = KEY_BITS.div_ceil(2);

impl Permutation {
    pub(super) fn new(seed: &Seed) -> Permutation {
        let [mask, a, b] = seed.0;
        let factors = [a | 1, b | 1];
        Permutation { mask: mask & KEY_MASK, factors, inverses: factors.map(inverse) }
    }

    #[inline]
    pub(super) fn place(&self, vlan: u16, mac: Mac) -> Place {
        let key = (u64::from(vlan) << MAC_BITS | mac.bits()) & KEY_MASK;
        Place(self.factors.iter().fold(key ^ self.mask, |x, factor| {
            let x = x.wrapping_mul(*factor) & KEY_MASK;
            x ^ (x >> FOLD)
        }))
    }

    /// Whose place this is.
    pub(super) fn station(&self, place: Place) -> (u16, Mac) {
        let unfold = |x: u64, inverse: &u64| (x ^ (x >> FOLD)).wrapping_mul(*inverse) & KEY_MASK;
        let key = self.inverses.iter().rev().fold(place.0, unfold) ^ self.mask;
        ((key >> MAC_BITS) as u16, Mac::from_bits(key))
    }
}

/// The number with which an odd one multiplies to 1, modulo 2^64.
fn inverse(odd: u64) -> u64 {
    // Newton: an odd number is its own inverse in 3 bits, each step doubles them: 6, 12, ... 96.
    (0..5).fold(odd, |x, _| x.wrapping_mul(2u64.wrapping_sub(odd.wrapping_mul(x))))
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn station_is_recovered_from_its_place() {
        for number in 0..100 {
            let permutation = Permutation::new(&Seed::from_number(number));
            let keys = (0..60).map(|bit| 1u64 << bit).chain([0, KEY_MASK, 0x0123_4567_89ab_cdef]);
            for key in keys {
                let (vlan, mac) = ((key >> MAC_BITS) as u16 & 0xfff, Mac::from_bits(key));
                let place = permutation.place(vlan, mac);
                assert!(place.0 <= KEY_MASK);
                assert_eq!(permutation.station(place), (vlan, mac));
            }
        }
    }

    #[test]
    fn vlan_beyond_twelve_bits_is_cut_and_does_not_run_into_the_word() {
        let permutation = Permutation::new(&Seed::random());
        let mac = Mac::new([2, 0, 0, 0, 0, 1]);
        assert_eq!(permutation.place(0xf005, mac), permutation.place(0x0005, mac));
    }

    #[test]
    fn each_bit_of_the_key_changes_about_half_of_the_bits_of_the_bucket_and_the_distance() {
        let mut flips = [[0u32; 2]; 60];
        for number in 0..400 {
            let permutation = Permutation::new(&Seed::from_number(number));
            let key = number.wrapping_mul(0x1234_5678_9abc_def1) & KEY_MASK;
            let place =
                |key: u64| permutation.place((key >> MAC_BITS) as u16, Mac::from_bits(key)).0;
            for (bit, flips) in flips.iter_mut().enumerate() {
                let change = place(key) ^ place(key ^ 1 << bit);
                flips[0] += (change >> 44).count_ones();
                flips[1] += (change & 0xffff).count_ones();
            }
        }
        // Of 16 bits each, in 400 samples: 8 would be ideal. The highest bits of the key, which
        // are those of the VLAN, reach the fewest.
        for (bit, counts) in flips.iter().enumerate() {
            for count in counts {
                let mean = f64::from(*count) / 400.0;
                assert!((3.0..13.0).contains(&mean), "bit {bit}: {mean}");
            }
        }
    }

    #[test]
    fn seeds_are_unlike_and_silent() {
        assert_ne!(Seed::random().0, Seed::random().0);
        assert_ne!(Seed::from_number(1).0, Seed::from_number(2).0);
        assert_eq!(format!("{:?}", Seed::random()), "Seed(..)");
    }
}

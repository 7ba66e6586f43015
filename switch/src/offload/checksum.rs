//! The Internet checksum (RFC 1071): the complement of the ones' complement sum of 16-bit words.
//!
//! Such a sum does not mind the order of octets within its words, if only all of them have the
//! same (RFC 1071, section 2 B): so we add as the machine loads, and what is written back from
//! the register is right on the wire. Nor does it mind wider words, for 2^16 is 1 modulo 65,535:
//! we add 32 bits at a time into sums of 64, which cannot overflow below 2^32 words and need no
//! carry, side by side, so that the compiler makes vectors of them. It does so with steps of a
//! fixed size in functions of their own; inlined beside what adds up the rest it makes none, and
//! they are four times as slow (benches/offload.rs). Where a processor has AVX2, avx2.rs does all
//! that is not less than a step.

#[cfg(target_arch = "x86_64")]
pub(crate) mod avx2;

#[cfg(target_arch = "x86_64")]
use crate::sys::Avx2;

/// Octets that are added in one step.
const STEP: usize = 64;
/// Sums side by side, each of two 32-bit words of a step.
const LANES: usize = STEP / 8;
/// Octets of a word, in which what is shorter than a step is added.
const WORD: usize = 8;

/// What a device writes where the sum would be zero: in UDP, zero says that there is no checksum
/// (RFC 768), and the same for all is what Linux does (CSUM_MANGLED_0).
const ZERO: u16 = 0xffff;

/// A ones' complement sum that is not folded yet, in the machine's order of octets.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum(u64);

impl Sum {
    /// Of nothing.
    pub const ZERO: Sum = Sum(0);

    /// Of these octets. If their number is odd, a zero is added behind (RFC 1071, section 1).
    #[inline]
    pub fn of(octets: &[u8]) -> Sum {
        #[cfg(target_arch = "x86_64")]
        if let Some(sum) = Avx2::detect().and_then(|avx2| avx2.sum(octets)) {
            return Sum(sum);
        }
        Sum::by_words(octets)
    }

    /// The same on any processor.
    #[inline]
    fn by_words(octets: &[u8]) -> Sum {
        let (steps, tail) = octets.as_chunks();
        let words = tail.as_chunks().0;
        Sum(sum(steps) + words.iter().map(halves).sum::<u64>() + halves(&last(octets)))
    }

    /// Of these octets, which are copied to the start of `room` on the way.
    ///
    /// # Panics
    ///
    /// If the room is smaller.
    #[inline]
    pub fn copy(octets: &[u8], room: &mut [u8]) -> Sum {
        let room = &mut room[..octets.len()];
        #[cfg(target_arch = "x86_64")]
        if let Some(sum) = Avx2::detect().and_then(|avx2| avx2.copy(octets, room)) {
            return Sum(sum);
        }
        Sum::copy_by_words(octets, room)
    }

    /// The same on any processor, to a room that is as long.
    #[inline]
    fn copy_by_words(octets: &[u8], room: &mut [u8]) -> Sum {
        // The last word, which may overlap the one before, first: the others are whole.
        match (octets.last_chunk::<WORD>(), room.last_chunk_mut()) {
            (Some(word), Some(room)) => *room = *word,
            _ => room.copy_from_slice(octets),
        }
        let (steps, tail) = octets.as_chunks();
        let (room, room_tail) = room.as_chunks_mut();
        let mut sum = copy(steps, room);
        for (word, room) in tail.as_chunks().0.iter().zip(room_tail.as_chunks_mut().0) {
            sum += halves(word);
            *room = *word;
        }
        Sum(sum + halves(&last(octets)))
    }

    /// With one word more.
    #[inline]
    pub fn plus(self, word: u16) -> Sum {
        Sum(self.0 + u64::from(word.to_be()))
    }

    /// Without a word that was added before (RFC 1624, section 3: its complement is added).
    #[inline]
    pub fn minus(self, word: u16) -> Sum {
        self.plus(!word)
    }

    /// With the words of another sum. Both begin at even places of the same octets.
    #[inline]
    pub fn merge(self, other: Sum) -> Sum {
        // Both are far below 2^63: of less than 2^30 words.
        Sum(self.0 + other.0)
    }

    /// The checksum: folded to 16 bits and complemented.
    #[inline]
    pub fn checksum(self) -> u16 {
        let half = (self.0 >> 32) + (self.0 & 0xffff_ffff);
        let quarter = (half >> 16) + (half & 0xffff);
        let carried = (quarter >> 16) + (quarter & 0xffff);
        let folded = (carried >> 16) + (carried & 0xffff);
        !u16::from_be(folded as u16)
    }

    /// The checksum as it is written where zero would say that there is none.
    #[inline]
    pub fn checksum_unless_zero(self) -> u16 {
        match self.checksum() {
            0 => ZERO,
            checksum => checksum,
        }
    }
}

/// Completes the checksum that begins at `start` and goes where `offset` from there says: in its
/// place stands the sum of a pseudo header (virtio 1.2, 5.1.6.2). `false`: there is no such place.
pub fn complete(octets: &mut [u8], start: usize, offset: usize) -> bool {
    let Some(covered) = octets.get_mut(start..) else { return false };
    let checksum = Sum::of(covered).checksum_unless_zero();
    let place = covered.get_mut(offset..).and_then(<[u8]>::first_chunk_mut);
    place.map(|place| *place = checksum.to_be_bytes()).is_some()
}

#[inline(never)]
fn sum(steps: &[[u8; STEP]]) -> u64 {
    let mut lanes = [0; LANES];
    for step in steps {
        add(&mut lanes, step);
    }
    lanes.iter().sum()
}

/// One pass over both: to copy first and add then costs a half more. A step is stored in two
/// halves, as of one that is stored whole the compiler would make a pass of its own, by memcpy.
#[inline(never)]
fn copy(steps: &[[u8; STEP]], room: &mut [[u8; STEP]]) -> u64 {
    let mut lanes = [0; LANES];
    for (step, room) in steps.iter().zip(room) {
        add(&mut lanes, step);
        let (halves, room): (&[[u8; STEP / 2]], &mut [[u8; STEP / 2]]) =
            (step.as_chunks().0, room.as_chunks_mut().0);
        room[0] = halves[0];
        room[1] = halves[1];
    }
    lanes.iter().sum()
}

#[inline]
fn add(lanes: &mut [u64; LANES], step: &[u8; STEP]) {
    let words = step.as_chunks().0;
    for (at, lane) in lanes.iter_mut().enumerate() {
        let [one, other] = [at, at + LANES].map(|at| u64::from(u32::from_ne_bytes(words[at])));
        *lane += one + other;
    }
}

/// The sum of one word's halves.
#[inline]
fn halves(word: &[u8; WORD]) -> u64 {
    let word = u64::from_ne_bytes(*word);
    (word >> 32) + (word & 0xffff_ffff)
}

/// What is left behind the last whole word, and zeros.
#[inline]
fn last(octets: &[u8]) -> [u8; WORD] {
    let len = octets.len() % WORD;
    match octets.last_chunk() {
        // Two shifts, for none by 64 bits is allowed.
        Some(word) => (u64::from_le_bytes(*word) >> (8 * (WORD - 1 - len)) >> 8).to_le_bytes(),
        None => std::array::from_fn(|at| octets.get(at).copied().unwrap_or(0)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The sum in the words of RFC 1071, section 4.1.
    fn plain(octets: &[u8]) -> u16 {
        let word = |pair: &[u8]| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
        let mut sum: u32 = octets.chunks(2).map(word).sum();
        while sum >> 16 != 0 {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        !(sum as u16)
    }

    #[test]
    fn example_of_rfc_1071_has_its_sum() {
        let octets = [0, 1, 0xf2, 3, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(Sum::of(&octets).checksum(), !0xddf2);
    }

    #[test]
    fn largest_sum_does_not_overflow() {
        for len in [63, 64, 65, 1500, 65_535, 1 << 20] {
            let octets = vec![0xff; len];
            assert_eq!(Sum::of(&octets).checksum(), if len % 2 == 0 { 0 } else { 0xff }, "{len}");
        }
    }

    #[test]
    fn checksum_of_zero_is_written_as_all_ones() {
        let mut octets = vec![0xff; 40];
        octets[20..22].fill(0);
        octets[30] = 0;
        octets[31] = 0;
        assert!(complete(&mut octets, 10, 20));
        assert_eq!(octets[30..32], [0xff; 2]);
        assert_eq!(Sum::of(&[0xff; 4]).checksum(), 0);
    }

    #[test]
    fn checksum_beyond_the_frame_is_none() {
        let mut octets = [7; 40];
        for (start, offset) in [(41, 0), (40, 0), (39, 0), (0, 39), (20, 19), (30, usize::MAX)] {
            assert!(!complete(&mut octets, start, offset), "{start} + {offset}");
        }
        assert_eq!(octets, [7; 40]);
        assert!(complete(&mut octets, 20, 18));
    }

    proptest! {
        #[test]
        fn sum_is_that_of_the_definition(
            octets in prop::collection::vec(any::<u8>(), 0..3000), skip in 0..8usize,
            start in 0..64usize,
        ) {
            let octets = &octets[skip.min(octets.len())..];
            let end = start + octets.len();
            prop_assert_eq!(Sum::of(octets).checksum(), plain(octets));
            prop_assert_eq!(Sum::by_words(octets).checksum(), plain(octets));
            let copied = |copy: fn(&[u8], &mut [u8]) -> Sum| {
                // Nothing is written in front of the room or behind it.
                let mut room = vec![0xaa; end + 100];
                prop_assert_eq!(copy(octets, &mut room[start..]).checksum(), plain(octets));
                prop_assert_eq!(&room[start..end], octets);
                prop_assert!(room[..start].iter().chain(&room[end..]).all(|octet| *octet == 0xaa));
                Ok(())
            };
            copied(Sum::copy)?;
            copied(|octets, room| Sum::copy_by_words(octets, &mut room[..octets.len()]))?;
        }

        #[test]
        fn words_are_added_and_taken_away(
            octets in prop::collection::vec(any::<[u8; 2]>(), 1..100), word: u16,
        ) {
            let (first, rest) = octets.split_first().unwrap();
            let sum = Sum::of(rest.as_flattened()).plus(u16::from_be_bytes(*first));
            prop_assert_eq!(sum.checksum(), plain(octets.as_flattened()));
            let replaced = [&[word.to_be_bytes()], rest].concat();
            let sum = sum.minus(u16::from_be_bytes(*first)).plus(word);
            // Zero has two forms: their difference is none (RFC 1624, section 3).
            prop_assert_eq!(sum.checksum() % 0xffff, plain(replaced.as_flattened()) % 0xffff);
        }

        #[test]
        fn completed_checksum_is_valid(
            mut octets in prop::collection::vec(any::<u8>(), 4..200), start: u8, offset: u8,
        ) {
            let (start, offset) = (usize::from(start), usize::from(offset) & !1);
            let before = octets.clone();
            let there = start + offset + 2 <= octets.len();
            prop_assert_eq!(complete(&mut octets, start, offset), there);
            if there {
                // All was added, and what stood in the place of the checksum, too.
                let place = before[start + offset..].first_chunk().unwrap();
                let pseudo = u16::from_be_bytes(*place);
                prop_assert_eq!(Sum::of(&octets[start..]).plus(pseudo).checksum() % 0xffff, 0);
            }
        }
    }
}

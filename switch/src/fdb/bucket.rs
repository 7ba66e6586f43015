//! A bucket: five slots in one cache line, and what a word in a slot means. Which access may
//! follow which is said at the head of `fdb.rs`; here are the orderings that make it true.

use super::{
    Tick,
    atomic::{AtomicU32, AtomicU64, Ordering},
    place::{Place, REMAINDER_BITS},
};
use crate::port::{PORTS_MAX, PortId};

/// As many as a cache line holds. (loom does with fewer.)
const SLOTS: usize = if cfg!(loom) { 2 } else { 5 };

/// Five slots in one cache line, words and ages apart lest the words straddle.
#[derive(Default)]
#[repr(align(64))]
pub(super) struct Bucket {
    words: [AtomicU64; SLOTS],
    ages: [AtomicU32; SLOTS],
}

#[cfg(not(loom))]
const _: () = assert!(size_of::<Bucket>() == 64);

impl Bucket {
    /// The first slot whose word equals `wanted` in these bits. All are compared, and one jump
    /// decides: where in the bucket an entry is, no processor could predict.
    #[inline]
    pub(super) fn find(&self, wanted: u64, bits: u64) -> Option<Slot<'_>> {
        let mut hits = 0u32;
        for (index, word) in self.words.iter().enumerate() {
            // See `Slot::word`.
            let equal = (word.load(Ordering::Acquire) ^ wanted) & bits == 0;
            hits |= u32::from(equal) << index;
        }
        let index = hits.trailing_zeros() as usize;
        Some(Slot { word: self.words.get(index)?, age: self.ages.get(index)? })
    }

    pub(super) fn slots(&self) -> impl Iterator<Item = Slot<'_>> {
        self.words.iter().zip(&self.ages).map(|(word, age)| Slot { word, age })
    }
}

/// A place for one entry.
#[derive(Clone, Copy)]
pub(super) struct Slot<'a> {
    word: &'a AtomicU64,
    age: &'a AtomicU32,
}

impl Slot<'_> {
    /// Acquire: who sees a new entry also sees the age that was stored before it, or a later one.
    /// (A move does not hide that: a swap continues the release sequence of the word.)
    #[inline]
    pub(super) fn word(self) -> u64 {
        self.word.load(Ordering::Acquire)
    }

    /// Acquire, and the store Release, for rule 3: what its writer has seen of the word happened
    /// before what the reader sees of it next, so that can be no earlier word.
    #[inline]
    pub(super) fn age(self) -> Tick {
        Tick(self.age.load(Ordering::Acquire))
    }

    #[inline]
    pub(super) fn set_age(self, now: Tick) {
        self.age.store(now.0, Ordering::Release);
    }

    /// Rule 1. Release: what `word` acquires. A failure teaches nothing but that it failed.
    pub(super) fn swap(self, old: u64, new: u64) -> bool {
        self.word.compare_exchange(old, new, Ordering::Release, Ordering::Relaxed).is_ok()
    }
}

// A word, from the top: occupied, in its second bucket, static, port, remainder of the place. An
// empty slot is 0.
const OCCUPIED: u64 = 1 << 63;
/// The flag of an entry in its second bucket.
pub(super) const SECOND: u64 = 1 << 62;
/// The flag of an entry that was not learned and does not age.
pub(super) const STATIC: u64 = 1 << 61;
const PORT_SHIFT: u32 = REMAINDER_BITS;
const PORT: u64 = (PORTS_MAX as u64 - 1) << PORT_SHIFT;
/// The bits of a word that say whose it is, the bucket given.
pub(super) const KEY: u64 = !(PORT | STATIC);

const _: () = assert!(PORTS_MAX.is_power_of_two() && PORT < STATIC);

/// The word of a station, less the port, in its first bucket.
#[inline]
pub(super) fn key_of(place: Place) -> u64 {
    OCCUPIED | place.remainder()
}

/// The word of a station's learned entry behind this port.
#[inline]
pub(super) fn with_port(word: u64, port: PortId) -> u64 {
    word & KEY | (port.index() as u64) << PORT_SHIFT
}

#[inline]
pub(super) fn port_of(word: u64) -> PortId {
    PortId::new(((word & PORT) >> PORT_SHIFT) as usize)
}

pub(super) fn is_static(word: u64) -> bool {
    word & STATIC != 0
}

pub(super) fn remainder_of(word: u64) -> u64 {
    word & ((1 << REMAINDER_BITS) - 1)
}

//! The lines of the table, for people and for the control plane: all of them, or bucket by bucket
//! for who may not be held up.

use std::{ops::Range, time::Duration};

use super::{
    Fdb, Tick,
    bucket::{Bucket, SECOND, is_static, port_of, remainder_of},
    place::Place,
};
use crate::{frame::Mac, port::PortId};

/// A line of the table, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The filtering identifier under which it was learned: its bridge.
    pub fid: u16,
    /// The station's address.
    pub mac: Mac,
    /// The port behind which it is.
    pub port: PortId,
    /// For how long it has been silent, in whole ticks.
    pub age: Duration,
    /// Whether somebody has said so; it was not learned and does not age.
    pub is_static: bool,
}

impl Fdb {
    /// The entries that have not expired, in no order. One that moves or changes while the
    /// iterator passes is seen before or after, or not at all.
    pub fn entries(&self, now: Tick) -> impl Iterator<Item = Entry> {
        self.entries_from(0, now).map(|(_, entry)| entry)
    }

    /// The same from the bucket with this number on, each with the number of its bucket, which
    /// only grows: for who takes the table bucket by bucket, with pauses.
    pub fn entries_from(&self, bucket: usize, now: Tick) -> impl Iterator<Item = (usize, Entry)> {
        self.entries_in(bucket..self.buckets(), now)
    }

    /// How many buckets there are.
    pub fn buckets(&self) -> usize {
        self.buckets.len()
    }

    /// The same of some buckets: for who may not be held up by a table that is large and empty.
    pub fn entries_in(
        &self,
        buckets: Range<usize>,
        now: Tick,
    ) -> impl Iterator<Item = (usize, Entry)> {
        let first = buckets.start;
        let buckets = first..buckets.end.min(self.buckets.len());
        let buckets = self.buckets.get(buckets).unwrap_or_default();
        // In this order: there may be no number behind the last.
        let slots = buckets.iter().map(Bucket::slots).zip(first..).map(|(slots, b)| (b, slots));
        slots.flat_map(|(bucket, slots)| slots.map(move |slot| (bucket, slot))).filter_map(
            move |(bucket, slot)| {
                // Rule 3: first the age.
                let (age, word) = (slot.age(), slot.word());
                let live = word != 0 && (!self.is_expired(age, now) || is_static(word));
                live.then(|| (bucket, self.entry(bucket, word, now.since(age))))
            },
        )
    }

    /// Reads an entry back from its word and the bucket in which it is.
    pub(super) fn entry(&self, bucket: usize, word: u64, elapsed: i32) -> Entry {
        let remainder = remainder_of(word);
        let distance = if word & SECOND == 0 { 0 } else { self.distance(remainder) };
        let place = Place::from_parts(bucket ^ distance, self.shift, remainder);
        let (fid, mac) = self.permutation.station(place);
        let ticks = u64::from(elapsed.max(0).unsigned_abs());
        let age = Duration::from_millis(ticks * Tick::MILLIS);
        Entry { fid, mac, port: port_of(word), age, is_static: is_static(word) }
    }
}

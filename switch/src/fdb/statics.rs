//! Static entries: what a person says about where a station is (the static filtering entries of
//! IEEE 802.1Q-2018, 8.8.1). Such an entry does not age; learning neither moves nor removes it,
//! and a frame from its station that comes in by another port is forwarded like any other, but
//! teaches nothing ([`Learn::Static`](super::Learn)). To the kernel's bridge that is an entry with
//! `static sticky`: one that is merely `static` would follow whoever uses its address, and what
//! people want of a static entry is that nobody can take it. Flush and sweep leave it, it goes when
//! it is deleted or its port detaches.
//!
//! It counts neither for its port's quota nor for the size of the table, but has a limit of its
//! own ([`FDB_STATIC_MAX`]): neither can strangers' addresses keep a person from saying something,
//! nor does what he says take room from a port. Slots are enough, there are two and a half for each
//! entry of a full table; and where both buckets of a key are full, a learned entry makes room.
//!
//! One thread at a time says and deletes; workers learn meanwhile. Rules by number are those at
//! the head of `fdb.rs`.

use std::fmt;

use super::{
    Fdb, Place, Tick,
    bucket::{STATIC, is_static, key_of, port_of, with_port},
};
use crate::port::PortId;

/// Static entries of a table at the most.
pub const FDB_STATIC_MAX: u32 = if cfg!(loom) { 4 } else { 1024 };

/// Why there is no static entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// There are [`FDB_STATIC_MAX`].
    Many,
    /// Wherever this station could have its entry are others' static ones.
    Full,
}

impl fmt::Display for Refused {
    /// A sentence.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::Many => {
                write!(f, "there are {FDB_STATIC_MAX} static entries, and there may be no more")
            }
            Refused::Full => f.write_str(
                "its place in the table is full of other static entries; a larger table \
                 (`--fdb-size`) has other places",
            ),
        }
    }
}

impl Fdb {
    /// Says that the station is behind this port, which is attached: whatever was learned of it,
    /// or said before, is replaced.
    ///
    /// # Errors
    ///
    /// Why not. What was said before holds then, and so does what was learned.
    pub fn add_static(&self, place: Place, port: PortId, now: Tick) -> Result<(), Refused> {
        loop {
            if let Some((slot, word)) = self.find(place) {
                if !is_static(word) && !self.shares.take_static() {
                    return Err(Refused::Many);
                }
                if slot.swap(word, with_port(word, port) | STATIC) {
                    if !is_static(word) {
                        self.shares.give(port_of(word));
                    }
                    slot.set_age(now);
                    // A worker may have learned it into another slot, and not seen this one.
                    self.settle(place);
                    return Ok(());
                }
                if !is_static(word) {
                    self.shares.give_static();
                }
                // It has moved or was removed: look again.
                continue;
            }
            if !self.shares.take_static() {
                return Err(Refused::Many);
            }
            for (second, slot) in self.slots(place) {
                let word = with_port(key_of(place) | second, port) | STATIC;
                if slot.word() == 0 && slot.swap(0, word) {
                    slot.set_age(now);
                    self.settle(place);
                    return Ok(());
                }
            }
            self.shares.give_static();
            self.make_room(place)?;
        }
    }

    /// Forgets one station, whether it was learned or said, and tells behind which port it was.
    pub fn forget(&self, place: Place) -> Option<PortId> {
        loop {
            let (slot, word) = self.find(place)?;
            if self.remove(slot, word) {
                return Some(port_of(word));
            }
        }
    }

    /// Static entries in the table.
    pub fn statics(&self) -> usize {
        self.shares.statics()
    }

    /// Whether the station has a static entry behind this very port, in its first bucket. Takes
    /// note that it was heard.
    #[inline]
    pub(super) fn is_static_here(&self, place: Place, port: PortId, now: Tick) -> bool {
        let entry = with_port(key_of(place), port) | STATIC;
        let Some(slot) = self.first(place).find(entry, u64::MAX) else { return false };
        if now.since(slot.age()) > 0 {
            slot.set_age(now);
        }
        true
    }

    /// What a removed entry was counted for.
    pub(super) fn give_back(&self, word: u64) {
        if is_static(word) {
            self.shares.give_static();
        } else {
            self.shares.give(port_of(word));
        }
    }

    /// Takes a learned entry out of the station's buckets: its station is flooded, and learned
    /// again where there is room.
    fn make_room(&self, place: Place) -> Result<(), Refused> {
        let mut learned = false;
        for (_, slot) in self.slots(place) {
            let word = slot.word();
            if word == 0 || !is_static(word) && self.remove(slot, word) {
                return Ok(());
            }
            // One that was not removed has changed just now: it is worth another look.
            learned |= !is_static(word);
        }
        if learned { Ok(()) } else { Err(Refused::Full) }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::time::Duration;

    use super::{
        super::{Bucket, FdbConfig, Learn, Seed, check::*},
        *,
    };

    const AGEING: u32 = 10;
    const NOW: Tick = Tick(5);
    /// When everything heard at `NOW` has expired.
    const LATER: Tick = Tick(5 + AGEING);

    fn table(size: u32, quota: u32) -> Fdb {
        let ageing = Duration::from_millis(u64::from(AGEING) * Tick::MILLIS);
        let fdb = Fdb::new(&FdbConfig { size, quota, ageing, seed: Seed::from_number(1) });
        (0..3).for_each(|index| fdb.attach(port(index), None));
        fdb
    }

    /// Stations that share their first bucket with the first of them.
    fn neighbours(fdb: &Fdb) -> impl Iterator<Item = Place> {
        let first = fdb.place(0, mac(0)).bucket(fdb.shift);
        let places = (0..).map(|number| fdb.place(0, mac(number)));
        places.filter(move |place| place.bucket(fdb.shift) == first)
    }

    #[test]
    fn static_station_does_not_age_or_move_and_outlives_sweep_and_flush() {
        let fdb = table(64, 64);
        let place = fdb.place(0, mac(1));
        fdb.add_static(place, port(1), NOW).unwrap();
        for now in [NOW, LATER, Tick(NOW.0.wrapping_sub(1)), Tick(NOW.0 + u32::MAX / 2)] {
            // Before it is heard again, which would make it young.
            assert_eq!(fdb.sweep(now), 0, "{now:?}");
            assert_eq!(fdb.lookup(place, now), Some(port(1)), "{now:?}");
            assert_eq!(fdb.learn(place, port(0), now), Learn::Static);
            assert_eq!(fdb.learn(place, port(1), now), Learn::Known);
        }
        fdb.flush(None);
        fdb.flush(Some(port(1)));
        assert_eq!(fdb.lookup(place, LATER), Some(port(1)));
        assert_eq!((fdb.used(), fdb.used_by(port(1)), fdb.statics()), (0, 0, 1));
        assert_sound(&fdb);
        assert_eq!(fdb.forget(place), Some(port(1)));
        assert_eq!(fdb.forget(place), None);
        assert_eq!(fdb.learn(place, port(0), LATER), Learn::New);
        assert_sound(&fdb);
    }

    #[test]
    fn what_was_learned_or_said_before_is_replaced_and_its_count_given_back() {
        let fdb = table(64, 1);
        let place = fdb.place(0, mac(1));
        fdb.learn(place, port(0), NOW);
        assert_eq!(fdb.used_by(port(0)), 1);
        fdb.add_static(place, port(1), NOW).unwrap();
        assert_eq!((fdb.lookup(place, NOW), fdb.used(), fdb.statics()), (Some(port(1)), 0, 1));
        assert_eq!(fdb.learn(fdb.place(0, mac(2)), port(0), NOW), Learn::New, "its quota is free");
        fdb.add_static(place, port(2), NOW).unwrap();
        fdb.add_static(place, port(2), NOW).unwrap();
        assert_eq!((fdb.lookup(place, NOW), fdb.statics()), (Some(port(2)), 1));
        assert_eq!(fdb.learn(place, port(1), NOW), Learn::Static);
        // A port whose quota is used up may have static entries, and keeps what it has.
        fdb.add_static(fdb.place(0, mac(3)), port(0), NOW).unwrap();
        assert_eq!(fdb.used_by(port(0)), 1);
        assert_sound(&fdb);
        let entry = fdb.entries(LATER).find(|entry| entry.mac == mac(1)).unwrap();
        assert!(entry.is_static && entry.port == port(2), "{entry:?}");
        assert_eq!(entry.age, Duration::from_secs(1));
    }

    #[test]
    fn static_entries_of_a_port_go_with_it() {
        let fdb = table(64, 64);
        for index in 0..3 {
            fdb.add_static(fdb.place(0, mac(index)), port(index as usize), NOW).unwrap();
        }
        fdb.detach(port(1));
        fdb.attach(port(1), None);
        let found = [0, 1, 2].map(|number| fdb.lookup(fdb.place(0, mac(number)), NOW));
        assert_eq!(found, [Some(port(0)), None, Some(port(2))]);
        assert_eq!(fdb.statics(), 2);
        assert_sound(&fdb);
    }

    #[test]
    fn learned_neighbours_make_room_and_static_ones_do_not() {
        let fdb = table(64, 64);
        let mut places = neighbours(&fdb);
        // So many that the first bucket is full and each has gone on to its own second one.
        let learned: Vec<_> = places.by_ref().take(20).collect();
        learned.iter().for_each(|place| assert_eq!(fdb.learn(*place, port(0), NOW), Learn::New));
        let said: Vec<_> = places.by_ref().take(5).collect();
        for place in &said {
            // Its second bucket is full too, of stations that are said to be there.
            for (_, slot) in fdb.slots(*place).skip(5) {
                if slot.word() == 0 {
                    fdb.shares.take(port(0)).unwrap();
                    let index = fdb.slots(*place).skip(5).position(|(_, other)| other.word() == 0);
                    let stranger = with_port(key_of(*place) ^ 1 << 20 << index.unwrap(), port(0));
                    assert!(slot.swap(0, stranger));
                    slot.set_age(NOW);
                }
            }
            fdb.add_static(*place, port(1), NOW).unwrap();
            assert_eq!(fdb.lookup(*place, LATER), Some(port(1)));
        }
        // Five have all slots of the first bucket: who finds the second full of such is refused.
        assert!(said.iter().all(|place| fdb.first(*place).slots().any(|s| is_static(s.word()))));
        let last = places.next().unwrap();
        for (_, slot) in fdb.slots(last).skip(5).filter(|(_, slot)| slot.word() == 0) {
            assert!(fdb.shares.take_static());
            let index = fdb.slots(last).skip(5).position(|(_, other)| other.word() == 0);
            let stranger = with_port(key_of(last) ^ 1 << 20 << index.unwrap(), port(2)) | STATIC;
            assert!(slot.swap(0, stranger));
        }
        assert_eq!(fdb.add_static(last, port(1), NOW), Err(Refused::Full));
        assert!(fdb.lookup(last, NOW).is_none());
        assert_eq!(
            fdb.statics(),
            fdb.buckets.iter().flat_map(Bucket::slots).filter(|s| is_static(s.word())).count()
        );
    }

    #[test]
    fn static_entries_are_as_many_as_they_may_be_and_no_stranger_keeps_them_out() {
        let fdb = table(4096, 4096);
        let mut strangers = 0;
        while fdb.used() < 4096 - 24 {
            fdb.learn(fdb.place(1, mac(strangers)), port(0), NOW);
            strangers += 1;
        }
        let place = |number| fdb.place(0, mac(number));
        for number in 0..u64::from(FDB_STATIC_MAX) {
            fdb.add_static(place(number), port(1), NOW).unwrap();
        }
        assert_eq!(fdb.add_static(place(5000), port(1), NOW), Err(Refused::Many));
        fdb.learn(place(5001), port(2), NOW);
        assert_eq!(fdb.add_static(place(5001), port(1), NOW), Err(Refused::Many));
        assert_eq!(fdb.lookup(place(5001), NOW), Some(port(2)), "what was learned holds");
        // One that is there can be said again, and one that goes makes room.
        fdb.add_static(place(7), port(2), NOW).unwrap();
        fdb.forget(place(8)).unwrap();
        fdb.add_static(place(5000), port(1), NOW).unwrap();
        for number in (0..u64::from(FDB_STATIC_MAX)).filter(|number| *number != 8) {
            let found = if number == 7 { port(2) } else { port(1) };
            assert_eq!(fdb.lookup(place(number), LATER), Some(found));
        }
        assert_sound(&fdb);
    }
}

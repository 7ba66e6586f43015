//! A look at the table that changes nothing: what [`Fdb::learn`] would say, and what
//! [`Fdb::lookup`] would find after it. For who asks what would become of a frame; frames
//! themselves never come here.
//!
//! Workers go on learning meanwhile, so an answer is of one moment for each slot, as everywhere.
//! Read `relearn` and `insert` in `fdb.rs` beside [`Fdb::would_learn`]: each of its branches is one
//! of theirs, less the store.

use std::{cell::Cell, time::Duration};

use super::{
    Entry, Fdb, Learn, Place, Tick,
    bucket::{is_static, port_of},
};
use crate::port::PortId;

/// Slots in which one station may be.
const SLOTS_MAX: usize = 16;

/// The table as a frame would find it, and leave it as it was.
pub struct Dry<'a> {
    fdb: &'a Fdb,
    /// Who would have been learned, and where a lookup would find him then.
    learned: Cell<Option<(Place, Option<PortId>)>>,
    /// What the last lookup found.
    found: Cell<Option<Option<PortId>>>,
}

impl<'a> Dry<'a> {
    /// A look at this table.
    pub fn new(fdb: &'a Fdb) -> Dry<'a> {
        Dry { fdb, learned: Cell::new(None), found: Cell::new(None) }
    }

    /// What [`Fdb::learn`] would say.
    pub fn learn(&self, place: Place, port: PortId, now: Tick) -> Learn {
        let learn = self.fdb.would_learn(place, port, now);
        self.learned.set(match learn {
            // The table says it already.
            Learn::Known | Learn::Static => None,
            Learn::New | Learn::Moved { .. } => {
                Some((place, (self.fdb.settings.ageing() > 0).then_some(port)))
            }
            // Who is not learned is known nowhere afterwards, wherever he was known before.
            Learn::Quota | Learn::Full => Some((place, None)),
        });
        learn
    }

    /// What [`Fdb::lookup`] would find, had what was asked of [`Dry::learn`] last been learned.
    pub fn lookup(&self, place: Place, now: Tick) -> Option<PortId> {
        let found = match self.learned.get() {
            Some((learned, port)) if learned == place => port,
            _ => self.fdb.lookup(place, now),
        };
        self.found.set(Some(found));
        found
    }

    /// What the last lookup found. `None`: there was none.
    pub fn found(&self) -> Option<Option<PortId>> {
        self.found.get()
    }
}

impl Fdb {
    /// What [`Fdb::learn`] would say at this moment. Nothing is learned, and nothing removed.
    pub fn would_learn(&self, place: Place, port: PortId, now: Tick) -> Learn {
        let Some((slot, word)) = self.find(place) else {
            return self.would_insert(place, port, now);
        };
        let from = port_of(word);
        let expired = self.is_expired(slot.age(), now);
        if from == port {
            let new = expired && !is_static(word);
            return if new { Learn::New } else { Learn::Known };
        }
        if is_static(word) {
            return Learn::Static;
        }
        match self.shares.would_take(port, &[]) {
            Err(refusal) => refusal,
            Ok(()) if expired => Learn::New,
            Ok(()) => Learn::Moved { from },
        }
    }

    /// The same of a station that has no entry.
    fn would_insert(&self, place: Place, port: PortId, now: Tick) -> Learn {
        // Whose entries would have been removed because they have expired.
        let (mut given, mut count) = ([port; SLOTS_MAX], 0);
        let mut room = false;
        for (_, slot) in self.slots(place).take(SLOTS_MAX) {
            // Rule 4, as in `purge`.
            let word = slot.word();
            if word == 0 {
                room = true;
            } else if !is_static(word) && self.is_expired(slot.age(), now) {
                given[count] = port_of(word);
                count += 1;
                room = true;
            }
        }
        match self.shares.would_take(port, &given[..count]) {
            Err(refusal) => refusal,
            Ok(()) if room => Learn::New,
            Ok(()) => Learn::Full,
        }
    }

    /// The entry of a station, unless it has expired.
    pub fn entry_of(&self, place: Place, now: Tick) -> Option<Entry> {
        let (slot, _) = self.find(place)?;
        // Rule 3: first the age. What is in the slot by then is told, if it is still this station.
        let (age, word) = (slot.age(), slot.word());
        let (fid, mac) = self.permutation.station(place);
        let same = self.find(place).is_some_and(|(_, found)| found == word);
        let elapsed = u64::from(now.since(age).max(0).unsigned_abs());
        let age_of = Duration::from_millis(elapsed * Tick::MILLIS);
        let live = same && (!self.is_expired(age, now) || is_static(word));
        live.then(|| Entry {
            fid,
            mac,
            port: port_of(word),
            age: age_of,
            is_static: is_static(word),
        })
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fdb::{FDB_SIZE_MIN, FdbConfig, Seed, check::*};

    const AGEING: u32 = 20;

    fn table(ports: usize, quota: u32) -> Fdb {
        let ageing = Duration::from_millis(u64::from(AGEING) * Tick::MILLIS);
        let seed = Seed::from_number(1);
        let fdb = Fdb::new(&FdbConfig { size: FDB_SIZE_MIN, quota, ageing, seed });
        (0..ports).for_each(|index| fdb.attach(port(index), None));
        fdb
    }

    /// Static entries for some of the stations that are heard.
    fn say_some(fdb: &Fdb, ports: usize) {
        for number in 0..4 {
            let place = fdb.place(0, mac(30 * number));
            fdb.add_static(place, port(number as usize % ports), Tick(0)).unwrap();
        }
    }

    fn entries(fdb: &Fdb, now: Tick) -> Vec<Entry> {
        fdb.entries(now).collect()
    }

    #[test]
    fn frame_to_its_own_sender_finds_him_where_he_would_be_by_then() {
        let fdb = table(2, 1);
        let (place, other) = (fdb.place(0, mac(1)), fdb.place(0, mac(2)));
        let dry = Dry::new(&fdb);
        assert_eq!(dry.found(), None);
        assert_eq!(dry.learn(place, port(0), Tick(0)), Learn::New);
        assert_eq!(dry.lookup(place, Tick(0)), Some(port(0)));
        assert_eq!(dry.found(), Some(Some(port(0))));
        assert_eq!((fdb.lookup(place, Tick(0)), fdb.used()), (None, 0));
        // Over the quota of the new port he would be known nowhere.
        fdb.learn(place, port(0), Tick(0));
        fdb.learn(other, port(1), Tick(0));
        assert_eq!(dry.learn(place, port(1), Tick(0)), Learn::Quota);
        assert_eq!(dry.lookup(place, Tick(0)), None);
        assert_eq!(fdb.lookup(place, Tick(0)), Some(port(0)));
    }

    #[test]
    fn entry_is_told_with_its_age_until_it_expires() {
        let fdb = table(2, 8);
        let place = fdb.place(7, mac(1));
        assert_eq!(fdb.entry_of(place, Tick(0)), None);
        fdb.learn(place, port(1), Tick(0));
        let told = fdb.entry_of(place, Tick(AGEING - 1)).unwrap();
        assert_eq!((told.fid, told.mac, told.port), (7, mac(1), port(1)));
        assert_eq!(told.age, Duration::from_millis(u64::from(AGEING - 1) * Tick::MILLIS));
        assert_eq!(fdb.entry_of(place, Tick(AGEING)), None);
    }

    proptest! {
        /// A small table, so that all that can happen does: quotas, reserves, a table that is
        /// full, two full buckets, stations that move and that expire.
        #[test]
        fn what_would_be_learned_is_then_learned(
            ports in 1..8usize,
            quota in 1..40u32,
            steps in proptest::collection::vec((0..8usize, 0..160u64, 0..3u32), 1..600),
        ) {
            let fdb = table(ports, quota);
            say_some(&fdb, ports);
            let mut now = 0;
            for (index, number, ticks) in steps {
                now += ticks / 2;
                let (port, now) = (port(index % ports), Tick(now));
                let place = fdb.place(0, mac(number));
                let before = (fdb.used(), fdb.entry_of(place, now));
                let would = fdb.would_learn(place, port, now);
                let dry = Dry::new(&fdb);
                prop_assert_eq!(dry.learn(place, port, now), would);
                let found = dry.lookup(place, now);
                prop_assert_eq!((fdb.used(), fdb.entry_of(place, now)), before);
                prop_assert_eq!(would, fdb.learn(place, port, now));
                prop_assert_eq!(found, fdb.lookup(place, now));
                let entry = fdb.entry_of(place, now);
                prop_assert_eq!(entry.map(|entry| entry.port), found);
            }
            assert_sound(&fdb);
        }
    }

    #[test]
    fn everything_that_can_be_learned_was_foreseen_once() {
        // What the one above draws is worth nothing if it never comes to this.
        let (mut seen, fdb) = ([0u32; 6], table(6, 30));
        fdb.attach(port(0), Some(5));
        say_some(&fdb, 6);
        let mut random = 1u64;
        for step in 0..20_000u32 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let (port, now) = (port((random >> 40) as usize % 6), Tick(step / 20));
            let place = fdb.place(0, mac((random >> 50) % 200));
            // All of the table now and then: it takes its time.
            let look = || (step % 500 == 0).then(|| entries(&fdb, now));
            let before = look();
            let would = fdb.would_learn(place, port, now);
            assert_eq!(look(), before);
            assert_eq!(would, fdb.learn(place, port, now));
            seen[match would {
                Learn::Known => 0,
                Learn::New => 1,
                Learn::Moved { .. } => 2,
                Learn::Quota => 3,
                Learn::Full => 4,
                Learn::Static => 5,
            }] += 1;
        }
        assert!(seen.iter().all(|count| *count > 0), "{seen:?}");
    }
}

//! The forwarding database: which station, by VLAN and address, is behind which port. All workers
//! share it, nobody locks it. It knows nothing of a port but its number, and of time but [`Tick`]s.
//!
//! **Parts.** A power of two of buckets, each one cache line of five slots; a slot is a word (64
//! bits) and an age (the tick at which its station was last heard). A key (12 bits VLAN, 48 bits
//! address) goes through a secret permutation of 60-bit numbers: strangers choose the addresses.
//! The upper bits of the result are the first bucket, the lower 49 are kept in the word, so
//! nothing of the key is lost and the word holds the whole truth: occupied, static, key, port.
//! There is no second word that a reader could catch half changed: **no torn read can name another
//! station's port.** A key that finds its first bucket full goes to the second one, which depends
//! on the lower bits. With two entries a bucket at the most, on average, 2 % do.
//!
//! **Rules** for the order of accesses; everything else may happen at any time, on any thread:
//! 1. A word changes by compare-and-swap only: 0 to an entry (new), to the same key with another
//!    port (move), to 0 (remove). Who wins has the count of the port in the old word to give back;
//!    who puts a port into a word has taken from its count before.
//! 2. An age is stored only by one who *before* has seen the slot empty or with his own entry. He
//!    may be late, and the slot another's by then. But then that entry is younger than his look
//!    and his `now`, so it never lives longer for it. It may look older: a flood, no more.
//! 3. To use an entry, read the age before the word. Who wrote that age had seen the word as it
//!    was, or an earlier one; so the word read now is at least as young as the age says, however
//!    often the slot was emptied and filled between. A stale entry is never used, swept or not.
//! 4. To remove an old entry, read the word before the age, and swap that word. If it was learned
//!    again meanwhile, a live entry is lost: a flood, and it is learned again.
//! 5. After a new entry, a full fence, then a second look at both buckets. Of two workers that put
//!    the same key into two slots at least one sees the other (each wrote, then fenced, then
//!    read). A static entry stays, or else the first; all others are removed, whosever they are.
//! 6. Learning swaps no word that says static, nor does a sweep or a flush. Its age is
//!    when its station was heard from its port and decides nothing, so one stored late (rule 2)
//!    does no harm.
//!
//! **Limits.** `size` entries, a quota for each port, a reserve that nobody else can take: see
//! `shares.rs`. An address beyond them is not learned but flooded, nobody's entry evicted for it.
//! Ageing time and quotas may change while frames flow: `settings.rs`.
//!
//! **Ugly.** Both buckets of a key may be full while others are empty: [`Learn::Full`], for less
//! than one address in a thousand at capacity. An unknown address costs two cache lines, a frame
//! from a station with a static entry a call and a second look at one (`statics.rs`).
//!
//! **Why this one.** `cargo bench -p uswitch-benches --bench fdb`, one worker, 1 k, 64 k and 1 M
//! stations, times relative to this table's (10, 13 and 50-64 ns a frame): sharded locks 1.1, 1.8,
//! 1.9-2.3; slots of two words 1.1, 1.6, 0.9-1.2, and torn reads to explain away; hashbrown behind
//! arc-swap 0.5, 1.1, 1.0-1.6, and a copy of all for each new address. Two workers: the same.

pub(crate) mod atomic;
mod bucket;
mod dry;
mod entries;
mod place;
mod settings;
mod shares;
mod statics;

use std::time::Duration;

use atomic::{Ordering, fence};
use bucket::{Bucket, KEY, SECOND, Slot, is_static, key_of, port_of, with_port};
pub use dry::Dry;
pub use entries::Entry;
use place::{KEY_BITS, Permutation, REMAINDER_BITS};
pub use place::{Place, Seed};
use settings::Settings;
use shares::Shares;
pub use statics::{FDB_STATIC_MAX, Refused};

use crate::{frame::Mac, port::PortId, sys};

/// Entries of a table, unless told otherwise.
pub const FDB_SIZE_DEFAULT: u32 = 65_536;

/// Entries of the smallest table that can be asked for.
pub const FDB_SIZE_MIN: u32 = if cfg!(loom) { 1 } else { 64 };

/// Entries of the largest table that can be asked for: it occupies 512 MiB.
pub const FDB_SIZE_MAX: u32 = 16 * 1024 * 1024;

/// Entries that each attached port can always have. Ports beyond the one with which these would
/// become more than half of the table have none.
pub const FDB_RESERVE: u32 = if cfg!(loom) { 1 } else { 8 };

/// How long a silent station is remembered (IEEE 802.1Q-2018, table 8-6).
pub const AGEING_DEFAULT: Duration = Duration::from_secs(300);

/// The longest time for which a silent station may be remembered (the same table).
pub const AGEING_MAX: Duration = Duration::from_secs(1_000_000);

/// What a table is to be.
#[derive(Clone, Debug)]
pub struct FdbConfig {
    /// Entries in all, [`FDB_SIZE_MIN`] to [`FDB_SIZE_MAX`].
    pub size: u32,
    /// Entries for one port at the most, where [`Fdb::attach`] is told nothing else.
    pub quota: u32,
    /// How long a silent station is remembered, up to [`AGEING_MAX`]; counted in whole ticks.
    pub ageing: Duration,
    /// What strangers must not know.
    pub seed: Seed,
}

impl FdbConfig {
    /// A table of so many entries, an eighth of it for one port at the most, and a secret seed.
    pub fn new(size: u32) -> FdbConfig {
        FdbConfig { size, quota: (size / 8).max(1), ageing: AGEING_DEFAULT, seed: Seed::random() }
    }
}

impl Default for FdbConfig {
    fn default() -> FdbConfig {
        FdbConfig::new(FDB_SIZE_DEFAULT)
    }
}

/// A moment, in units of 100 ms since some start. It wraps after 13 years, so of two moments more
/// than half of that apart the later one counts as the earlier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tick(pub u32);

impl Tick {
    /// Milliseconds in one tick.
    pub const MILLIS: u64 = 100;

    /// The tick in which so many milliseconds since the start are over.
    #[inline]
    pub const fn from_millis(millis: u64) -> Tick {
        Tick((millis / Tick::MILLIS) as u32)
    }

    /// The tick in which so much time since the start is over.
    #[inline]
    pub const fn from_duration(duration: Duration) -> Tick {
        Tick::from_millis(duration.as_millis() as u64)
    }

    /// Ticks from `earlier` to this one; negative if that one is in fact later.
    #[inline]
    pub const fn since(self, earlier: Tick) -> i32 {
        self.0.wrapping_sub(earlier.0) as i32
    }
}

/// What became of an attempt to learn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Learn {
    /// Nothing new: the station was known behind this port, and has been heard again.
    Known,
    /// The station was not known, or not heard for so long that it had expired.
    New,
    /// The station was known behind another port; from now on its frames go to this one.
    Moved {
        /// Behind which it was.
        from: PortId,
    },
    /// Not learned: the port has as many entries as it may have. If the station was known behind
    /// another port, it no longer is.
    Quota,
    /// Not learned: the table is full, or both places that the station could have are. If it was
    /// known behind another port, it no longer is.
    Full,
    /// Not learned: a static entry says that the station is behind another port.
    Static,
}

/// The fewest buckets: they tell apart those bits of a place for which a word has no room.
const BUCKETS_MIN: usize = 1 << (KEY_BITS - REMAINDER_BITS);

/// Entries in a bucket of a full table, on average: 40 % of the slots. With more, too many would
/// find both their buckets full.
const ENTRIES_A_BUCKET: usize = 2;

/// The forwarding database.
pub struct Fdb {
    buckets: Box<[Bucket]>,
    /// By how much a place is shifted to give its first bucket.
    shift: u32,
    settings: Settings,
    permutation: Permutation,
    shares: Shares,
}

impl Fdb {
    /// An empty table. This allocates all that it will ever occupy.
    ///
    /// # Panics
    ///
    /// If size or ageing time is out of bounds: whoever reads configurations checks that.
    pub fn new(config: &FdbConfig) -> Fdb {
        assert!((FDB_SIZE_MIN..=FDB_SIZE_MAX).contains(&config.size), "size of the table");
        let count = (config.size as usize / ENTRIES_A_BUCKET).next_power_of_two().max(BUCKETS_MIN);
        Fdb {
            buckets: (0..count).map(|_| Bucket::default()).collect(),
            shift: KEY_BITS - count.ilog2(),
            settings: Settings::new(config),
            permutation: Permutation::new(&config.seed),
            shares: Shares::new(config.size),
        }
    }

    /// Where this station has its place. Compute it once a frame, and for all frames of a batch
    /// before the first is looked at: then [`Fdb::prefetch`] has time to work.
    #[inline]
    pub fn place(&self, fid: u16, mac: Mac) -> Place {
        self.permutation.place(fid, mac)
    }

    /// Starts to fetch the cache line that learn and lookup will need.
    #[inline]
    pub fn prefetch(&self, place: Place) {
        sys::prefetch(self.first(place));
    }

    /// Notes that the station was heard from this port. For a known station this only reads, and
    /// once a tick stores its age. Whether the address is one to learn, the caller decides.
    #[inline]
    pub fn learn(&self, place: Place, port: PortId, now: Tick) -> Learn {
        let entry = with_port(key_of(place), port);
        if let Some(slot) = self.first(place).find(entry, u64::MAX) {
            let elapsed = now.since(slot.age());
            if elapsed < self.settings.ageing() {
                // Below 0 another worker, whose clock was read later, has heard it already.
                if elapsed > 0 {
                    slot.set_age(now);
                }
                return Learn::Known;
            }
        }
        self.learn_slowly(place, port, now)
    }

    /// The port behind which the station is by a static entry, or was heard last, if that was
    /// within the ageing time.
    #[inline]
    pub fn lookup(&self, place: Place, now: Tick) -> Option<PortId> {
        let key = key_of(place);
        if let Some(slot) = self.first(place).find(key, KEY)
            && let Some(used) = self.use_slot(slot, key, now)
        {
            return used;
        }
        self.lookup_slowly(place, now)
    }

    /// Admits a port, with a quota of its own or the common one, before it learns for the first
    /// time; or gives an attached port another quota: what it has beyond that stays until it
    /// expires.
    pub fn attach(&self, port: PortId, quota: Option<u32>) {
        self.shares.attach(port, quota.unwrap_or_else(|| self.settings.quota()));
    }

    /// Forgets a port and all stations behind it; its number may be given to another port. To be
    /// called when no worker learns for it any more: an entry that comes late would stay until it
    /// expires.
    pub fn detach(&self, port: PortId) {
        self.shares.detach(port);
        self.forget_all(Some(port), true);
    }

    /// Forgets all stations that were learned behind this port, or behind all ports.
    pub fn flush(&self, port: Option<PortId>) {
        self.forget_all(port, false);
    }

    /// Forgets what was learned, and also what was said.
    fn forget_all(&self, port: Option<PortId>, statics: bool) {
        for slot in self.buckets.iter().flat_map(Bucket::slots) {
            let word = slot.word();
            let wanted = word != 0 && (statics || !is_static(word));
            if wanted && port.is_none_or(|port| port_of(word) == port) {
                self.remove(slot, word);
            }
        }
    }

    /// Removes the expired entries and says how many. It walks the whole table: for the control
    /// thread, every few seconds. Nothing but room depends on it.
    pub fn sweep(&self, now: Tick) -> usize {
        self.buckets.iter().flat_map(Bucket::slots).filter(|&slot| self.purge(slot, now)).count()
    }

    /// Learned entries, those included that have expired and were not removed yet.
    pub fn used(&self) -> usize {
        self.shares.used()
    }

    /// Learned entries of one port, counted in the same way.
    pub fn used_by(&self, port: PortId) -> usize {
        self.shares.used_by(port)
    }

    /// Learns what is not simply known in its first bucket.
    #[cold]
    #[inline(never)]
    fn learn_slowly(&self, place: Place, port: PortId, now: Tick) -> Learn {
        if self.is_static_here(place, port, now) {
            return Learn::Known;
        }
        loop {
            let Some((slot, word)) = self.find(place) else {
                return self.insert(place, port, now);
            };
            if let Some(learned) = self.relearn(slot, word, port, now) {
                return learned;
            }
            // Another worker has changed this very entry: look again. Each round that is lost is
            // another's success.
        }
    }

    /// Learns a station that has an entry, perhaps an expired one. `None`: it changed meanwhile.
    fn relearn(&self, slot: Slot<'_>, word: u64, port: PortId, now: Tick) -> Option<Learn> {
        let from = port_of(word);
        let age = slot.age();
        let expired = self.is_expired(age, now);
        if from == port {
            if now.since(age) > 0 {
                slot.set_age(now);
            }
            let new = expired && !is_static(word);
            return Some(if new { Learn::New } else { Learn::Known });
        }
        // IEEE 802.1Q-2018, 8.7 and 8.8.1: what a static filtering entry says, no frame changes.
        if is_static(word) {
            return Some(Learn::Static);
        }
        if let Err(refusal) = self.shares.take(port) {
            // The station is not where its entry says: better no entry than a wrong one. If the
            // entry has changed, somebody has just learned better.
            self.remove(slot, word);
            return Some(refusal);
        }
        if !slot.swap(word, with_port(word, port)) {
            self.shares.give(port);
            return None;
        }
        self.shares.give(from);
        // Only now, lest the old port's entry be refreshed by a frame from the new one (rule 2).
        slot.set_age(now);
        Some(if expired { Learn::New } else { Learn::Moved { from } })
    }

    /// Learns a station that has no entry.
    fn insert(&self, place: Place, port: PortId, now: Tick) -> Learn {
        // What has expired makes room, and gives back what it took from its port.
        for (_, slot) in self.slots(place) {
            self.purge(slot, now);
        }
        if let Err(refusal) = self.shares.take(port) {
            return refusal;
        }
        for (second, slot) in self.slots(place) {
            if slot.word() != 0 {
                continue;
            }
            // First the age, lest the sweep take the entry for an old one (rule 2 allows it).
            slot.set_age(now);
            if slot.swap(0, with_port(key_of(place) | second, port)) {
                self.settle(place);
                return Learn::New;
            }
        }
        self.shares.give(port);
        Learn::Full
    }

    /// Rule 5: leaves of several entries for one station the static one, or the first.
    fn settle(&self, place: Place) {
        // Pairs with the same fence of whoever has just put the same key into another slot.
        fence(Ordering::SeqCst);
        loop {
            let (mut settled, mut kept) = (true, None);
            let found = self.slots(place).filter_map(|(second, slot)| {
                let word = slot.word();
                (word & KEY == key_of(place) | second).then_some((slot, word))
            });
            for (slot, word) in found {
                let Some(first) = kept else {
                    kept = Some((slot, word));
                    continue;
                };
                let says = |entry: (Slot<'_>, u64)| is_static(entry.1);
                let better = says((slot, word)) && !says(first);
                let (stays, goes) =
                    if better { ((slot, word), first) } else { (first, (slot, word)) };
                kept = Some(stays);
                settled &= self.remove(goes.0, goes.1);
            }
            if settled {
                return;
            }
            // An entry was removed by another or moved: look again.
        }
    }

    /// Looks up what was not found in its first bucket or slipped away there.
    #[cold]
    #[inline(never)]
    fn lookup_slowly(&self, place: Place, now: Tick) -> Option<PortId> {
        loop {
            let (slot, word) = self.find(place)?;
            if let Some(used) = self.use_slot(slot, word & KEY, now) {
                return used;
            }
            // The slot was emptied between two looks: another worker has got on.
        }
    }

    /// The port in a slot, nothing if it has expired. The outer `None`: this key is gone from it.
    #[inline]
    fn use_slot(&self, slot: Slot<'_>, key: u64, now: Tick) -> Option<Option<PortId>> {
        // Rule 3: first the age.
        let (age, word) = (slot.age(), slot.word());
        let live = !self.is_expired(age, now) || is_static(word);
        (word & KEY == key).then(|| live.then(|| port_of(word)))
    }

    /// Removes the entry of a slot if it has expired, and says whether it did.
    fn purge(&self, slot: Slot<'_>, now: Tick) -> bool {
        // Rule 4: first the word.
        let word = slot.word();
        let may = word != 0 && !is_static(word);
        may && self.is_expired(slot.age(), now) && self.remove(slot, word)
    }

    /// Empties a slot if it still holds this word, and says whether it did.
    fn remove(&self, slot: Slot<'_>, word: u64) -> bool {
        let removed = slot.swap(word, 0);
        if removed {
            self.give_back(word);
        }
        removed
    }

    /// The slot that holds this station, and its word.
    fn find(&self, place: Place) -> Option<(Slot<'_>, u64)> {
        self.slots(place).find_map(|(second, slot)| {
            let word = slot.word();
            (word & KEY == key_of(place) | second).then_some((slot, word))
        })
    }

    /// All slots in which a station may be, the preferred ones first; with each the flag that its
    /// word has to bear there.
    fn slots(&self, place: Place) -> impl Iterator<Item = (u64, Slot<'_>)> {
        let index = place.bucket(self.shift) ^ self.distance(place.remainder());
        let second = self.bucket(index).slots().map(|slot| (SECOND, slot));
        self.first(place).slots().map(|slot| (0, slot)).chain(second)
    }

    /// The bucket in which a station is, unless that was full when it was learned.
    #[inline]
    fn first(&self, place: Place) -> &Bucket {
        self.bucket(place.bucket(self.shift))
    }

    /// From a key's first bucket to its second one, and back. Never 0.
    fn distance(&self, remainder: u64) -> usize {
        remainder as usize & (self.buckets.len() - 1) | 1
    }

    #[inline]
    fn bucket(&self, index: usize) -> &Bucket {
        // The mask keeps a place of a larger table from being a panic.
        &self.buckets[index & (self.buckets.len() - 1)]
    }

    /// Whether a station that was heard then is forgotten by now.
    #[inline]
    pub fn is_expired(&self, age: Tick, now: Tick) -> bool {
        now.since(age) >= self.settings.ageing()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::{collections::HashMap, thread};

    use super::{check::*, *};

    const AGEING: u32 = 3000;

    /// A table with this many ports attached.
    fn table(size: u32, quota: u32, ports: usize) -> Fdb {
        let ageing = Duration::from_millis(u64::from(AGEING) * Tick::MILLIS);
        let fdb = Fdb::new(&FdbConfig { size, quota, ageing, seed: Seed::from_number(1) });
        (0..ports).for_each(|index| fdb.attach(port(index), None));
        fdb
    }

    /// Numbers that look random, the same ones for the same seed.
    struct Random(u64);

    impl Random {
        fn next(&mut self) -> u64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let x = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            x ^ (x >> 31)
        }

        fn below(&mut self, bound: u64) -> u64 {
            self.next() % bound
        }
    }

    #[test]
    fn station_is_found_behind_the_port_from_which_it_was_heard() {
        let fdb = table(64, 64, 2);
        let place = fdb.place(5, mac(1));
        let now = Tick(7);
        assert_eq!(fdb.lookup(place, now), None);
        assert_eq!(fdb.learn(place, port(1), now), Learn::New);
        assert_eq!(fdb.learn(place, port(1), now), Learn::Known);
        assert_eq!(fdb.lookup(place, now), Some(port(1)));
        assert_eq!(fdb.lookup(fdb.place(6, mac(1)), now), None, "another VLAN");
        assert_eq!(fdb.lookup(fdb.place(5, mac(2)), now), None, "another station");
        assert_eq!((fdb.used(), fdb.used_by(port(1)), fdb.used_by(port(0))), (1, 1, 0));
    }

    #[test]
    fn station_moves_at_once_and_its_count_with_it() {
        let fdb = table(64, 64, 3);
        let place = fdb.place(0, mac(1));
        fdb.learn(place, port(0), Tick(0));
        assert_eq!(fdb.learn(place, port(2), Tick(0)), Learn::Moved { from: port(0) });
        assert_eq!(fdb.lookup(place, Tick(0)), Some(port(2)));
        assert_eq!((fdb.used(), fdb.used_by(port(0)), fdb.used_by(port(2))), (1, 0, 1));
        assert_sound(&fdb);
    }

    #[test]
    fn station_that_moves_to_a_port_over_its_quota_is_known_nowhere() {
        let fdb = table(64, 2, 2);
        let place = fdb.place(0, mac(1));
        fdb.learn(place, port(0), Tick(0));
        for number in 2..4 {
            assert_eq!(fdb.learn(fdb.place(0, mac(number)), port(1), Tick(0)), Learn::New);
        }
        assert_eq!(fdb.learn(place, port(1), Tick(0)), Learn::Quota);
        assert_eq!(fdb.lookup(place, Tick(0)), None);
        assert_eq!((fdb.used(), fdb.used_by(port(0)), fdb.used_by(port(1))), (2, 0, 2));
    }

    #[test]
    fn port_learns_up_to_its_quota_and_its_stations_stay() {
        let fdb = table(64, 8, 2);
        fdb.attach(port(1), Some(3));
        for (index, quota) in [(0, 8), (1, 3)] {
            let places = (0..20).map(|number| fdb.place(0, mac(100 * index as u64 + number)));
            for (number, place) in places.enumerate() {
                let learned = fdb.learn(place, port(index), Tick(0));
                assert_eq!(learned, if number < quota { Learn::New } else { Learn::Quota });
                let found = (number < quota).then(|| port(index));
                assert_eq!(fdb.lookup(place, Tick(0)), found);
            }
            assert_eq!(fdb.used_by(port(index)), quota);
        }
    }

    #[test]
    fn port_that_is_not_attached_learns_nothing() {
        let fdb = table(64, 8, 1);
        assert_eq!(fdb.learn(fdb.place(0, mac(1)), port(1), Tick(0)), Learn::Quota);
        assert_eq!(fdb.used(), 0);
    }

    #[test]
    fn flood_of_strangers_neither_evicts_nor_blocks_the_other_ports() {
        let fdb = table(1024, 1024, 3);
        let now = Tick(0);
        let old = fdb.place(0, mac(1));
        assert_eq!(fdb.learn(old, port(1), now), Learn::New);
        let mut random = Random(1);
        let mut refused = 0;
        for _ in 0..100_000 {
            match fdb.learn(fdb.place(0, mac(random.next())), port(0), now) {
                Learn::Full => refused += 1,
                learned => assert!(matches!(learned, Learn::New | Learn::Known)),
            }
        }
        let reserve = FDB_RESERVE as usize;
        assert_eq!(fdb.used_by(port(0)), 1024 - 2 * reserve);
        assert!(refused > 0);
        assert_eq!(fdb.lookup(old, now), Some(port(1)));
        for index in [1, 2] {
            let mut learned = fdb.used_by(port(index));
            while learned < reserve {
                let place = fdb.place(1, mac(random.next()));
                assert_eq!(fdb.learn(place, port(index), now), Learn::New);
                assert_eq!(fdb.lookup(place, now), Some(port(index)));
                learned += 1;
            }
            assert_eq!(fdb.learn(fdb.place(2, mac(0)), port(index), now), Learn::Full);
        }
        assert_eq!(fdb.used(), 1024);
        assert_sound(&fdb);
    }

    #[test]
    fn silent_station_is_known_until_just_before_the_bound_and_across_the_wrap() {
        for start in [0, 1, u32::MAX - AGEING, u32::MAX - 1, u32::MAX] {
            let fdb = table(64, 64, 1);
            let place = fdb.place(0, mac(1));
            let after = |ticks: u32| Tick(start.wrapping_add(ticks));
            fdb.learn(place, port(0), after(0));
            assert_eq!(fdb.lookup(place, after(AGEING - 1)), Some(port(0)));
            assert_eq!(fdb.lookup(place, after(AGEING)), None);
            assert_eq!(fdb.lookup(place, after(u32::MAX)), Some(port(0)), "a clock just behind");
            assert_eq!(fdb.learn(place, port(0), after(u32::MAX)), Learn::Known);
            assert_eq!(fdb.lookup(place, after(AGEING - 1)), Some(port(0)), "it set nothing back");
            assert_eq!(fdb.learn(place, port(0), after(AGEING - 1)), Learn::Known);
            assert_eq!(fdb.lookup(place, after(2 * AGEING - 2)), Some(port(0)));
            assert_eq!(fdb.lookup(place, after(2 * AGEING - 1)), None);
            assert_eq!(fdb.learn(place, port(0), after(2 * AGEING - 1)), Learn::New);
            assert_eq!(fdb.lookup(place, after(2 * AGEING)), Some(port(0)));
            assert_eq!(fdb.used(), 1);
        }
    }

    #[test]
    fn expired_entry_gives_back_its_quota_when_met_and_when_swept() {
        let fdb = table(64, 1, 2);
        let place = fdb.place(0, mac(1));
        // In the bucket of the first: it meets the first one's entry when it is learned.
        let near = (2..)
            .map(|number| fdb.place(0, mac(number)))
            .find(|other| other.bucket(fdb.shift) == place.bucket(fdb.shift));
        let near = near.unwrap();
        fdb.learn(place, port(0), Tick(0));
        assert_eq!(fdb.learn(near, port(0), Tick(AGEING - 1)), Learn::Quota);
        assert_eq!(fdb.learn(near, port(0), Tick(AGEING)), Learn::New);
        assert_eq!(fdb.used(), 1);
        // An expired station comes back at another port.
        assert_eq!(fdb.learn(near, port(1), Tick(2 * AGEING)), Learn::New);
        assert_eq!((fdb.used_by(port(0)), fdb.used_by(port(1))), (0, 1));
        assert_eq!(fdb.sweep(Tick(3 * AGEING - 1)), 0);
        assert_eq!(fdb.sweep(Tick(3 * AGEING)), 1);
        assert_eq!(fdb.used(), 0);
        assert_sound(&fdb);
    }

    #[test]
    fn number_of_a_detached_port_can_be_given_to_another() {
        let fdb = table(64, 10, 2);
        for number in 0..10 {
            fdb.learn(fdb.place(0, mac(number)), port(0), Tick(0));
            fdb.learn(fdb.place(1, mac(number)), port(1), Tick(0));
        }
        fdb.detach(port(0));
        assert_eq!((fdb.used_by(port(0)), fdb.used_by(port(1))), (0, 10));
        assert_eq!(fdb.learn(fdb.place(0, mac(1)), port(0), Tick(0)), Learn::Quota);
        fdb.attach(port(0), Some(20));
        for number in 0..20 {
            assert_eq!(fdb.lookup(fdb.place(0, mac(number)), Tick(0)), None);
            assert_eq!(fdb.learn(fdb.place(0, mac(number)), port(0), Tick(0)), Learn::New);
        }
        fdb.flush(Some(port(1)));
        assert_eq!((fdb.used_by(port(0)), fdb.used_by(port(1))), (20, 0));
        fdb.flush(None);
        assert_eq!(fdb.used(), 0);
    }

    #[test]
    fn entries_taken_bucket_by_bucket_are_those_taken_at_once() {
        let fdb = table(1024, 1024, 1);
        for number in 0..1000 {
            fdb.learn(fdb.place(0, mac(number)), port(0), Tick(0));
        }
        let (mut taken, mut from) = (Vec::new(), Some(0));
        while let Some(bucket) = from {
            let mut rest = fdb.entries_from(bucket, Tick(0)).peekable();
            let first = rest.peek().map(|(bucket, _)| *bucket);
            taken.extend(rest.by_ref().take_while(|(b, _)| Some(*b) == first).map(|(_, e)| e));
            from = first.map(|first| first + 1);
        }
        assert_eq!(taken, fdb.entries(Tick(0)).collect::<Vec<_>>());
        assert_eq!(fdb.entries_from(usize::MAX, Tick(0)).count(), 0);
    }

    #[test]
    fn entries_lists_what_was_learned_and_is_live() {
        // So full that some entries are in their second buckets.
        let fdb = table(65_536, 65_536, 2);
        fdb.detach(port(0));
        fdb.detach(port(1));
        fdb.attach(port(4095), None);
        let mut random = Random(3);
        let mut learned = HashMap::new();
        while learned.len() < 60_000 {
            let (vlan, mac) = (random.below(4096) as u16, Mac::from_bits(random.next()));
            let now = Tick(random.below(AGEING.into()) as u32);
            if fdb.learn(fdb.place(vlan, mac), port(4095), now) == Learn::New {
                learned.insert((vlan, mac), now);
            }
        }
        let words = fdb.buckets.iter().flat_map(Bucket::slots).map(Slot::word);
        assert!(words.filter(|word| word & SECOND != 0).count() > 100);
        let now = Tick(AGEING + 100);
        learned.retain(|_, then| now.since(*then) < AGEING as i32);
        for entry in fdb.entries(now) {
            let then = learned.remove(&(entry.fid, entry.mac)).expect("learned, and not expired");
            assert_eq!(entry.port, port(4095));
            assert_eq!(entry.age, Duration::from_millis(now.since(then) as u64 * Tick::MILLIS));
        }
        assert!(learned.is_empty());
        assert_sound(&fdb);
    }

    #[test]
    fn full_table_refuses_fewer_than_one_address_in_a_thousand() {
        for (size, seed) in [(65_536, 1), (65_536, 2), (16_384, 3), (4096, 4)] {
            let config = FdbConfig { seed: Seed::from_number(seed), ..FdbConfig::new(size) };
            let fdb = Fdb::new(&FdbConfig { quota: size, ..config });
            fdb.attach(port(0), None);
            let mut random = Random(seed);
            let refused = |_: &u32| {
                let place = fdb.place(0, mac(random.next()));
                fdb.learn(place, port(0), Tick(0)) == Learn::Full
            };
            let refused = (0..size).filter(refused).count();
            assert!(refused * 1000 < size as usize, "{refused} of {size}, seed {seed}");
        }
    }

    /// What the table should do, without its limits: they are wide in the tests that use it.
    struct Model(HashMap<u64, (PortId, u32)>);

    impl Model {
        fn lookup(&self, number: u64, now: u32) -> Option<PortId> {
            let (port, then) = self.0.get(&number)?;
            (now - then < AGEING).then_some(*port)
        }

        fn learn(&mut self, number: u64, port: PortId, now: u32, quota: usize) -> Learn {
            let known = self.lookup(number, now);
            if known != Some(port) && self.used_by(port) >= quota {
                self.0.remove(&number);
                return Learn::Quota;
            }
            self.0.insert(number, (port, now));
            match known {
                None => Learn::New,
                Some(from) if from != port => Learn::Moved { from },
                Some(_) => Learn::Known,
            }
        }

        fn used_by(&self, port: PortId) -> usize {
            self.0.values().filter(|entry| entry.0 == port).count()
        }

        /// Returns how many went.
        fn keep(&mut self, kept: impl Fn(&(PortId, u32)) -> bool) -> usize {
            let before = self.0.len();
            self.0.retain(|_, entry| kept(entry));
            before - self.0.len()
        }
    }

    #[test]
    fn table_does_what_a_map_with_times_would_do() {
        for seed in 0..20 {
            // Every other run sweeps late or never, and then has quotas that nobody can reach:
            // when an expired entry gives back its quota depends on whom it meets.
            let late = seed % 2 == 1;
            let quota = if late { 512 } else { 40 };
            let fdb = table(2048, quota, 4);
            let mut model = Model(HashMap::new());
            let (mut random, mut now) = (Random(seed), 0);
            for _ in 0..5000 {
                let number = random.below(300);
                let place = fdb.place(0, mac(number));
                let port = port(random.below(4) as usize);
                match random.below(100) {
                    0..45 => {
                        let learned = fdb.learn(place, port, Tick(now));
                        let expected = model.learn(number, port, now, quota as usize);
                        assert_eq!(learned, expected, "seed {seed}");
                    }
                    45..90 => {
                        let found = fdb.lookup(place, Tick(now));
                        assert_eq!(found, model.lookup(number, now), "seed {seed}");
                    }
                    90..97 => {
                        now += random.below(u64::from(AGEING) / 4) as u32;
                        let swept = if late { 0 } else { fdb.sweep(Tick(now)) };
                        let expired = model.keep(|(_, then)| late || now - then < AGEING);
                        assert_eq!(swept, expired, "seed {seed}");
                    }
                    97 => {
                        fdb.flush(Some(port));
                        model.keep(|entry| entry.0 != port);
                    }
                    98 => {
                        fdb.detach(port);
                        fdb.attach(port, None);
                        model.keep(|entry| entry.0 != port);
                    }
                    _ => {
                        fdb.sweep(Tick(now));
                        model.keep(|(_, then)| now - then < AGEING);
                    }
                }
            }
            assert_sound(&fdb);
            let live = fdb.entries(Tick(now)).map(|e| (e.mac, e.port)).collect::<HashMap<_, _>>();
            model.keep(|(_, then)| now - then < AGEING);
            let expected = model.0.iter().map(|(number, entry)| (mac(*number), entry.0));
            assert_eq!(live, expected.collect(), "seed {seed}");
        }
    }

    #[test]
    fn many_workers_leave_a_sound_table() {
        let fdb = &table(256, 100, 4);
        thread::scope(|scope| {
            for worker in 0..4 {
                scope.spawn(move || {
                    let mut random = Random(worker);
                    for step in 0..60_000u64 {
                        let number = random.below(400);
                        let place = fdb.place((number % 3) as u16, mac(number));
                        // So short that much expires while others learn it again.
                        let now = Tick((step * u64::from(AGEING) / 1000) as u32);
                        fdb.learn(place, port(random.below(4) as usize), now);
                        fdb.lookup(place, now);
                        match random.below(2000) {
                            0 => drop(fdb.sweep(now)),
                            // One thread says what is static, as the control plane does.
                            3 if worker == 0 => {
                                let _ = fdb.add_static(place, port(3), now);
                            }
                            4 if worker == 0 => {
                                let _ = fdb.forget(place);
                            }
                            1 => fdb.flush(Some(port(worker as usize))),
                            2 => fdb.attach(port(worker as usize), Some(100)),
                            _ => {}
                        }
                        if step % 10_000 == 0 {
                            assert!(fdb.used_by(port(worker as usize)) <= 100);
                        }
                    }
                });
            }
        });
        assert!(fdb.used() <= 256);
        assert_sound(fdb);
        fdb.flush(None);
        assert_eq!(fdb.used(), 0);
        for entry in fdb.entries(Tick(0)) {
            let _ = fdb.forget(fdb.place(entry.fid, entry.mac));
        }
        assert_eq!(fdb.entries(Tick(0)).count() + fdb.statics(), 0);
        // The whole table can be had again: nothing has leaked.
        let learned = (0..1000).map(|number| {
            fdb.learn(fdb.place(9, mac(number)), port((number % 4) as usize), Tick(0))
        });
        assert_eq!(learned.filter(|learned| *learned == Learn::New).count(), 256);
    }

    #[test]
    #[should_panic(expected = "size of the table")]
    fn size_out_of_bounds_is_the_callers_mistake() {
        Fdb::new(&FdbConfig::new(FDB_SIZE_MIN - 1));
    }

    #[test]
    fn ticks_are_whole_tenths_of_a_second() {
        assert_eq!(Tick::from_millis(1299), Tick(12));
        assert_eq!(Tick::from_duration(Duration::from_secs(300)), Tick(3000));
        assert_eq!(Tick(2).since(Tick(u32::MAX)), 3);
        assert_eq!(Tick(u32::MAX).since(Tick(2)), -3);
    }
}

/// What both kinds of tests need.
#[cfg(test)]
mod check {
    use std::collections::{HashMap, HashSet};

    use super::*;

    pub(super) fn port(index: usize) -> PortId {
        PortId::new(index)
    }

    pub(super) fn mac(number: u64) -> Mac {
        Mac::from_bits(0x0200_0000_0000 | number)
    }

    /// Whatever happened before, the counts must be those of the words, and no station twice.
    pub(super) fn assert_sound(fdb: &Fdb) {
        let slots = fdb.buckets.iter().flat_map(Bucket::slots);
        let words = slots.map(Slot::word).filter(|word| *word != 0);
        let (statics, words): (Vec<_>, Vec<_>) = words.partition(|word| is_static(*word));
        let mut counts = HashMap::<_, usize>::new();
        let mut stations = HashSet::new();
        for (index, bucket) in fdb.buckets.iter().enumerate() {
            for slot in bucket.slots().filter(|slot| slot.word() != 0) {
                let entry = fdb.entry(index, slot.word(), 0);
                *counts.entry(entry.port).or_default() += usize::from(!entry.is_static);
                assert!(stations.insert((entry.fid, entry.mac)), "{entry:?} is there twice");
                let place = fdb.place(entry.fid, entry.mac);
                let second = place.bucket(fdb.shift) ^ fdb.distance(place.remainder());
                assert!(index == place.bucket(fdb.shift) || index == second);
            }
        }
        assert_eq!((fdb.used(), fdb.statics()), (words.len(), statics.len()));
        assert!(fdb.shares.is_balanced());
        for (port, count) in counts {
            assert_eq!(fdb.used_by(port), count, "{port:?}");
        }
    }
}

/// Every order in which the accesses of a few workers can come, and everything that the memory
/// model lets them see. The table has two buckets of two slots, so all stations meet in it.
///
/// `RUSTFLAGS="--cfg loom" cargo test -p uswitch --lib --release loom`
#[cfg(all(test, loom))]
mod loom_tests {
    use loom::{model::Builder, sync::Arc, thread};

    use super::{check::*, *};

    /// For most of them.
    const INTERRUPTIONS: usize = 3;
    const NOW: Tick = Tick(100);
    /// When everything heard at `NOW` has expired.
    const LATER: Tick = Tick(110);

    /// Runs `test` with a fresh table of four entries and two ports in each execution. So many
    /// times at the most a worker is interrupted where it need not be: without a bound it would
    /// take hours, and these find what we broke on purpose: a slot's orderings, the fence, the
    /// order of word and age, every count taken or given back.
    fn explore(interruptions: usize, quota: u32, test: impl Fn(Arc<Fdb>) + Sync + Send + 'static) {
        let mut builder = Builder::new();
        builder.preemption_bound = Some(interruptions);
        builder.check(move || {
            let ageing = Duration::from_millis(10 * Tick::MILLIS);
            let seed = Seed::from_number(1);
            let fdb = Arc::new(Fdb::new(&FdbConfig { size: 4, quota, ageing, seed }));
            fdb.attach(port(0), None);
            fdb.attach(port(1), None);
            test(fdb.clone());
            assert_sound(&fdb);
            fdb.flush(None);
            assert_eq!(fdb.used(), 0);
        });
    }

    /// Two workers, each with its own part of the work.
    fn both<A, B>(
        fdb: &Arc<Fdb>,
        other: impl FnOnce(&Fdb) -> A + 'static,
        this: impl FnOnce(&Fdb) -> B,
    ) where
        A: 'static,
    {
        let shared = fdb.clone();
        let worker = thread::spawn(move || other(&shared));
        this(fdb);
        worker.join().unwrap();
    }

    /// The place of a station. Those with numbers 1 to 4 have the same first bucket.
    fn place(fdb: &Fdb, number: u64) -> Place {
        let places = (0..).map(|number| fdb.place(0, mac(number)));
        let mut near = places.filter(|place| place.bucket(fdb.shift) == 0);
        near.nth(number as usize).unwrap()
    }

    #[test]
    fn station_learned_from_two_ports_at_once_has_one_entry() {
        explore(INTERRUPTIONS, 4, |fdb| {
            both(
                &fdb,
                |fdb| fdb.learn(place(fdb, 1), port(0), NOW),
                |fdb| fdb.learn(place(fdb, 1), port(1), NOW),
            );
            assert_eq!(fdb.used(), 1);
            assert!(fdb.lookup(place(&fdb, 1), NOW).is_some());
        });
    }

    #[test]
    fn station_learned_at_once_by_two_workers_of_one_port_has_one_entry() {
        explore(INTERRUPTIONS, 4, |fdb| {
            fdb.learn(place(&fdb, 2), port(0), NOW);
            both(
                &fdb,
                |fdb| fdb.learn(place(fdb, 1), port(0), NOW),
                |fdb| fdb.learn(place(fdb, 1), port(0), NOW),
            );
            assert_eq!(fdb.used_by(port(0)), 2);
            assert_eq!(fdb.lookup(place(&fdb, 1), NOW), Some(port(0)));
        });
    }

    #[test]
    fn lookup_during_a_move_gives_the_old_port_or_the_new_one() {
        explore(INTERRUPTIONS, 4, |fdb| {
            fdb.learn(place(&fdb, 1), port(0), NOW);
            both(
                &fdb,
                |fdb| {
                    let learned = fdb.learn(place(fdb, 1), port(1), NOW);
                    assert_eq!(learned, Learn::Moved { from: port(0) });
                },
                |fdb| {
                    let first = fdb.lookup(place(fdb, 1), NOW).expect("it is always known");
                    let second = fdb.lookup(place(fdb, 1), NOW).expect("it is always known");
                    assert!(first <= second, "it does not move back");
                },
            );
            assert_eq!(fdb.lookup(place(&fdb, 1), NOW), Some(port(1)));
        });
    }

    #[test]
    fn lookup_while_the_slot_goes_to_another_station_never_gives_that_ones_port() {
        explore(INTERRUPTIONS, 4, |fdb| {
            fdb.learn(place(&fdb, 1), port(0), NOW);
            both(
                &fdb,
                |fdb| {
                    fdb.flush(Some(port(0)));
                    fdb.learn(place(fdb, 2), port(1), NOW);
                },
                |fdb| {
                    assert_ne!(fdb.lookup(place(fdb, 1), NOW), Some(port(1)));
                    assert_ne!(fdb.lookup(place(fdb, 2), NOW), Some(port(0)));
                },
            );
        });
    }

    #[test]
    fn stale_entry_is_not_used_while_its_slot_gets_the_age_of_a_fresh_one() {
        explore(INTERRUPTIONS, 4, |fdb| {
            fdb.learn(place(&fdb, 1), port(0), NOW);
            both(
                &fdb,
                // Meets the expired entry, removes it and takes its slot.
                |fdb| assert_eq!(fdb.learn(place(fdb, 2), port(1), LATER), Learn::New),
                |fdb| {
                    assert_eq!(fdb.lookup(place(fdb, 1), LATER), None);
                    assert!(fdb.entries(LATER).all(|entry| entry.port != port(0)));
                },
            );
            assert_eq!(fdb.used(), 1);
        });
    }

    #[test]
    fn stale_entry_is_not_used_while_its_station_moves() {
        explore(INTERRUPTIONS, 4, |fdb| {
            fdb.learn(place(&fdb, 1), port(0), NOW);
            both(
                &fdb,
                |fdb| assert_eq!(fdb.learn(place(fdb, 1), port(1), LATER), Learn::New),
                |fdb| assert_ne!(fdb.lookup(place(fdb, 1), LATER), Some(port(0))),
            );
            assert_eq!(fdb.lookup(place(&fdb, 1), LATER), Some(port(1)));
        });
    }

    #[test]
    fn station_learned_by_three_workers_at_once_has_one_entry() {
        explore(1, 4, |fdb| {
            let shared = fdb.clone();
            let third = thread::spawn(move || shared.learn(place(&shared, 1), port(0), NOW));
            both(
                &fdb,
                |fdb| fdb.learn(place(fdb, 1), port(0), NOW),
                |fdb| fdb.learn(place(fdb, 1), port(1), NOW),
            );
            third.join().unwrap();
            assert_eq!(fdb.used(), 1);
        });
    }

    #[test]
    fn station_learned_at_once_in_two_slots_has_one_entry() {
        explore(2, 4, |fdb| {
            // One worker may meet a neighbour in the first slot, the other one an empty slot.
            fdb.learn(place(&fdb, 2), port(1), NOW);
            both(
                &fdb,
                |fdb| fdb.learn(place(fdb, 1), port(0), NOW),
                |fdb| {
                    fdb.flush(Some(port(1)));
                    fdb.learn(place(fdb, 1), port(0), NOW)
                },
            );
            assert_eq!(fdb.used(), 1);
        });
    }

    #[test]
    fn new_entry_is_not_taken_for_an_old_one() {
        explore(INTERRUPTIONS, 4, |fdb| {
            both(
                &fdb,
                |fdb| assert_eq!(fdb.learn(place(fdb, 1), port(0), NOW), Learn::New),
                |fdb| assert_eq!(fdb.sweep(NOW), 0),
            );
            assert_eq!(fdb.lookup(place(&fdb, 1), NOW), Some(port(0)));
        });
    }

    #[test]
    fn static_entry_stays_whatever_is_learned_while_it_is_said() {
        explore(INTERRUPTIONS, 4, |fdb| {
            both(
                &fdb,
                |fdb| fdb.learn(place(fdb, 1), port(0), NOW),
                |fdb| fdb.add_static(place(fdb, 1), port(1), NOW).unwrap(),
            );
            assert_eq!(fdb.lookup(place(&fdb, 1), LATER), Some(port(1)));
            assert_eq!((fdb.used(), fdb.statics()), (0, 1));
            fdb.forget(place(&fdb, 1));
        });
    }

    #[test]
    fn static_entry_stays_where_the_first_slot_is_emptied_meanwhile() {
        explore(2, 4, |fdb| {
            // The worker may meet an empty slot before the one that the static entry takes.
            fdb.learn(place(&fdb, 2), port(1), NOW);
            both(
                &fdb,
                |fdb| {
                    fdb.flush(Some(port(1)));
                    fdb.learn(place(fdb, 1), port(0), NOW);
                },
                |fdb| fdb.add_static(place(fdb, 1), port(1), NOW).unwrap(),
            );
            assert_eq!(fdb.lookup(place(&fdb, 1), LATER), Some(port(1)));
            assert_eq!((fdb.used(), fdb.statics()), (0, 1));
            fdb.forget(place(&fdb, 1));
        });
    }

    #[test]
    fn station_is_known_all_the_while_its_entry_becomes_a_static_one() {
        explore(INTERRUPTIONS, 4, |fdb| {
            fdb.learn(place(&fdb, 1), port(0), NOW);
            both(
                &fdb,
                |fdb| {
                    let first = fdb.lookup(place(fdb, 1), NOW).expect("it is always known");
                    let second = fdb.lookup(place(fdb, 1), NOW).expect("it is always known");
                    assert!(first <= second, "it does not move back");
                },
                |fdb| fdb.add_static(place(fdb, 1), port(1), NOW).unwrap(),
            );
            assert_eq!((fdb.used(), fdb.statics()), (0, 1));
            fdb.forget(place(&fdb, 1));
        });
    }

    #[test]
    fn static_entry_outlives_a_sweep_and_a_learn_over_the_quota() {
        explore(INTERRUPTIONS, 1, |fdb| {
            fdb.learn(place(&fdb, 1), port(0), NOW);
            fdb.learn(place(&fdb, 2), port(1), LATER);
            both(
                &fdb,
                |fdb| {
                    fdb.sweep(LATER);
                    fdb.learn(place(fdb, 1), port(1), LATER);
                },
                |fdb| fdb.add_static(place(fdb, 1), port(0), NOW).unwrap(),
            );
            assert_eq!(fdb.lookup(place(&fdb, 1), LATER), Some(port(0)));
            assert_eq!(fdb.statics(), 1);
            fdb.forget(place(&fdb, 1));
        });
    }

    #[test]
    fn static_entry_that_is_deleted_while_its_station_is_heard_leaves_no_debt() {
        explore(INTERRUPTIONS, 4, |fdb| {
            fdb.add_static(place(&fdb, 1), port(0), NOW).unwrap();
            both(
                &fdb,
                |fdb| {
                    let learned = fdb.learn(place(fdb, 1), port(1), LATER);
                    assert!(matches!(learned, Learn::Static | Learn::New), "{learned:?}");
                },
                |fdb| assert!(fdb.forget(place(fdb, 1)).is_some()),
            );
            assert_eq!(fdb.statics(), 0);
            assert_ne!(fdb.lookup(place(&fdb, 1), LATER), Some(port(0)));
        });
    }

    #[test]
    fn two_workers_of_a_port_together_keep_to_its_quota() {
        explore(INTERRUPTIONS, 2, |fdb| {
            fdb.learn(place(&fdb, 3), port(0), NOW);
            both(
                &fdb,
                |fdb| fdb.learn(place(fdb, 1), port(0), NOW),
                |fdb| {
                    fdb.learn(place(fdb, 2), port(0), NOW);
                    assert!(fdb.used_by(port(0)) <= 2);
                },
            );
            assert_eq!(fdb.used_by(port(0)), 2);
        });
    }

    #[test]
    fn two_ports_together_keep_to_what_is_free() {
        explore(INTERRUPTIONS, 4, |fdb| {
            // Four entries, a reserve of one for each port: one remains for either.
            fdb.learn(place(&fdb, 3), port(0), NOW);
            fdb.learn(place(&fdb, 4), port(0), NOW);
            both(
                &fdb,
                |fdb| fdb.learn(place(fdb, 1), port(0), NOW),
                |fdb| assert_eq!(fdb.learn(place(fdb, 2), port(1), NOW), Learn::New),
            );
            assert!((3..=4).contains(&fdb.used()));
        });
    }

    #[test]
    fn entry_that_moves_while_it_is_flushed_is_counted_once() {
        explore(INTERRUPTIONS, 1, |fdb| {
            fdb.learn(place(&fdb, 1), port(0), NOW);
            both(
                &fdb,
                |fdb| fdb.learn(place(fdb, 1), port(1), NOW),
                |fdb| fdb.flush(Some(port(0))),
            );
            assert_eq!(fdb.used_by(port(0)), 0);
        });
    }

    #[test]
    fn entry_that_is_heard_again_while_it_is_swept_is_counted_once() {
        explore(INTERRUPTIONS, 1, |fdb| {
            fdb.learn(place(&fdb, 1), port(0), NOW);
            both(&fdb, |fdb| fdb.learn(place(fdb, 1), port(0), LATER), |fdb| fdb.sweep(LATER));
            assert!(fdb.used() <= 1);
        });
    }

    #[test]
    fn port_that_is_detached_while_its_entry_moves_away_leaves_no_debt() {
        explore(INTERRUPTIONS, 4, |fdb| {
            fdb.learn(place(&fdb, 1), port(0), NOW);
            both(&fdb, |fdb| fdb.learn(place(fdb, 1), port(1), NOW), |fdb| fdb.detach(port(0)));
            assert_eq!(fdb.used_by(port(0)), 0);
            fdb.attach(port(0), None);
            // All four can still be had, by one port three of them.
            let learn = |number| fdb.learn(place(&fdb, number), port(1), NOW);
            fdb.flush(None);
            let learned = (1..=4).map(learn).filter(|learned| *learned == Learn::New).count();
            assert_eq!(learned, 3);
        });
    }
}

//! Who has how much of the table, so that no port can push another's stations out: a quota for
//! each port, and a reserve for each attached port that nobody else can take.
//!
//! At rest, size = free + the sum over all ports of max(entries, reserve). So an entry within its
//! port's reserve is free of charge, and the reserve as a whole is paid when the port attaches,
//! even out of a full table: then `free` goes below 0, and the table above its size by so much,
//! until entries go.
//!
//! All atomics in here are counts that guard no other memory, and change by read-modify-write,
//! which acts on the latest value whatever its ordering: hence `Relaxed` throughout. `free` is
//! taken before the port's count goes up and given back after it went down, so it may be too
//! small for a moment, never too large (but by a reserve, while its port attaches).
//!
//! Static entries are in none of this: they have a limit of their own, so that strangers can take
//! no room from what a person has said, nor the other way round.

use super::{
    FDB_RESERVE, FDB_SIZE_MAX, FDB_STATIC_MAX, Learn,
    atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering::Relaxed},
};
use crate::port::{PORTS_MAX, PortId};

/// The accounts of a table.
pub(super) struct Shares {
    /// One [`Share`] for each port.
    ports: Box<[AtomicU64]>,
    /// Entries that any port may still take. Below 0 when a reserve was promised out of a full
    /// table.
    free: AtomicI32,
    /// Sum of the reserves.
    reserved: AtomicU32,
    /// Static entries of all ports.
    statics: AtomicU32,
    /// Of the table.
    size: u32,
}

/// Ports of which account is kept. (loom would have to create all 4096 for each execution.)
const SHARES: usize = if cfg!(loom) { 3 } else { PORTS_MAX };

impl Shares {
    pub(super) fn new(size: u32) -> Shares {
        Shares {
            ports: (0..SHARES).map(|_| AtomicU64::new(0)).collect(),
            free: AtomicI32::new(size as i32),
            reserved: AtomicU32::new(0),
            statics: AtomicU32::new(0),
            size,
        }
    }

    /// One static entry more. `false`: there are as many as there may be.
    pub(super) fn take_static(&self) -> bool {
        let more = |count| (count < FDB_STATIC_MAX).then(|| count + 1);
        self.statics.fetch_update(Relaxed, Relaxed, more).is_ok()
    }

    /// One static entry less.
    pub(super) fn give_static(&self) {
        let old = self.statics.fetch_sub(1, Relaxed);
        assert!(old > 0, "a static entry that is removed was counted");
    }

    /// Static entries of all ports.
    pub(super) fn statics(&self) -> usize {
        self.statics.load(Relaxed) as usize
    }

    /// Learned entries of all ports.
    pub(super) fn used(&self) -> usize {
        self.ports.iter().map(|share| Share(share.load(Relaxed)).count()).sum()
    }

    /// Learned entries of one port.
    pub(super) fn used_by(&self, port: PortId) -> usize {
        Share(self.of(port).load(Relaxed)).count()
    }

    /// One entry more for this port.
    pub(super) fn take(&self, port: PortId) -> Result<(), Learn> {
        let share = self.of(port);
        let mut old = Share(share.load(Relaxed));
        loop {
            if old.count() >= old.quota() {
                return Err(Learn::Quota);
            }
            let common = old.count() >= old.reserve();
            if common {
                let some = |free| (free > 0).then(|| free - 1);
                self.free.fetch_update(Relaxed, Relaxed, some).map_err(|_| Learn::Full)?;
            }
            match share.compare_exchange(old.0, old.0 + 1, Relaxed, Relaxed) {
                Ok(_) => return Ok(()),
                Err(new) => old = Share(new),
            }
            // Another worker has taken or given for the same port.
            if common {
                self.free.fetch_add(1, Relaxed);
            }
        }
    }

    /// What [`Shares::take`] would say once each of these ports has given an entry back.
    pub(super) fn would_take(&self, port: PortId, given: &[PortId]) -> Result<(), Learn> {
        let after = |port: PortId, given: &[PortId]| {
            let given = given.iter().filter(|other| **other == port).count();
            let share = Share(self.of(port).load(Relaxed));
            // Another worker may have given one of them back meanwhile.
            let count = share.count().saturating_sub(given);
            Share::new(count, share.quota() as u32, share.reserve() as u32)
        };
        let from_common = |index: usize| {
            let old = after(given[index], &given[..index]);
            old.count() > old.reserve()
        };
        let freed = (0..given.len()).filter(|index| from_common(*index)).count() as i32;
        let old = after(port, given);
        if old.count() >= old.quota() {
            return Err(Learn::Quota);
        }
        let room = old.count() < old.reserve() || self.free.load(Relaxed) + freed > 0;
        if room { Ok(()) } else { Err(Learn::Full) }
    }

    /// One entry less for this port.
    pub(super) fn give(&self, port: PortId) {
        // The count is in the lowest bits.
        let old = Share(self.of(port).fetch_sub(1, Relaxed));
        assert!(old.count() > 0, "an entry that is removed was counted");
        if old.count() > old.reserve() {
            self.free.fetch_add(1, Relaxed);
        }
    }

    pub(super) fn attach(&self, port: PortId, quota: u32) {
        let mut reserve = Share(self.of(port).load(Relaxed)).reserve() as u32;
        if reserve == 0 {
            let more = |sum| Some(sum + FDB_RESERVE).filter(|sum| *sum <= self.size / 2);
            let granted = self.reserved.fetch_update(Relaxed, Relaxed, more);
            reserve = if granted.is_ok() { FDB_RESERVE } else { 0 };
        }
        self.set_terms(port, quota, reserve);
    }

    pub(super) fn detach(&self, port: PortId) {
        let old = self.set_terms(port, 0, 0);
        self.reserved.fetch_sub(old.reserve() as u32, Relaxed);
    }

    fn of(&self, port: PortId) -> &AtomicU64 {
        &self.ports[port.index()]
    }

    /// Gives a port another quota and reserve, and returns what it had. Its entries, if there are
    /// any, are from now on counted under the new terms.
    fn set_terms(&self, port: PortId, quota: u32, reserve: u32) -> Share {
        let terms = |old| Some(Share::new(Share(old).count(), quota, reserve).0);
        let old = self.of(port).fetch_update(Relaxed, Relaxed, terms);
        let old = Share(old.unwrap_or_else(|old| old));
        let occupied = |reserve| old.count().max(reserve) as i32;
        let more = occupied(reserve as usize) - occupied(old.reserve());
        self.free.fetch_sub(more, Relaxed);
        old
    }
}

/// One port's count, quota and reserve in one word, so that whether an entry comes out of the
/// reserve or out of the common part is never judged by one and counted by another.
#[derive(Clone, Copy)]
struct Share(u64);

/// Bits of a count and of a quota: for [`FDB_SIZE_MAX`] and all the reserves on top.
const COUNT_BITS: u32 = 25;
const COUNT_MAX: u64 = (1 << COUNT_BITS) - 1;

const _: () = assert!(FDB_SIZE_MAX as u64 + FDB_SIZE_MAX as u64 / 2 <= COUNT_MAX);

impl Share {
    fn new(count: usize, quota: u32, reserve: u32) -> Share {
        let quota = u64::from(quota).min(COUNT_MAX);
        Share(u64::from(reserve) << (2 * COUNT_BITS) | quota << COUNT_BITS | count as u64)
    }

    fn count(self) -> usize {
        (self.0 & COUNT_MAX) as usize
    }

    fn quota(self) -> usize {
        (self.0 >> COUNT_BITS & COUNT_MAX) as usize
    }

    fn reserve(self) -> usize {
        (self.0 >> (2 * COUNT_BITS)) as usize
    }
}

#[cfg(test)]
impl Shares {
    /// At rest: nothing was taken twice or given back twice.
    pub(super) fn is_balanced(&self) -> bool {
        let shares = self.ports.iter().map(|share| Share(share.load(Relaxed)));
        let occupied: usize = shares.map(|share| share.count().max(share.reserve())).sum();
        self.free.load(Relaxed) + occupied as i32 == self.size as i32
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn share_holds_the_largest_numbers_apart() {
        let share = Share::new(COUNT_MAX as usize, u32::MAX, FDB_RESERVE);
        assert_eq!(share.count(), COUNT_MAX as usize);
        assert_eq!(share.quota(), COUNT_MAX as usize);
        assert_eq!(share.reserve(), FDB_RESERVE as usize);
    }

    #[test]
    fn reserves_are_half_of_the_table_at_the_most() {
        let shares = Shares::new(100);
        for index in 0..100 {
            shares.attach(PortId::new(index), 10);
        }
        assert_eq!(shares.reserved.load(Relaxed), 48);
        assert_eq!(shares.free.load(Relaxed), 52);
        shares.detach(PortId::new(3));
        shares.attach(PortId::new(99), 10);
        assert_eq!(shares.reserved.load(Relaxed), 48);
        assert!(shares.is_balanced());
    }

    #[test]
    fn new_quota_of_an_attached_port_keeps_its_count_and_its_reserve() {
        let (shares, port) = (Shares::new(100), PortId::new(7));
        shares.attach(port, 2);
        assert_eq!([shares.take(port), shares.take(port)], [Ok(()), Ok(())]);
        assert_eq!(shares.take(port), Err(Learn::Quota));
        shares.attach(port, 3);
        assert_eq!(shares.reserved.load(Relaxed), FDB_RESERVE);
        assert_eq!(shares.take(port), Ok(()));
        assert_eq!(shares.take(port), Err(Learn::Quota));
        shares.attach(port, 1);
        shares.give(port);
        assert_eq!(shares.used_by(port), 2);
        assert!(shares.is_balanced());
    }

    #[test]
    fn entries_that_stay_when_a_port_leaves_are_paid_out_of_the_common_part() {
        let (shares, port) = (Shares::new(100), PortId::new(7));
        shares.attach(port, 50);
        for _ in 0..5 {
            shares.take(port).unwrap();
        }
        shares.detach(port);
        assert_eq!(shares.free.load(Relaxed), 95);
        shares.attach(port, 50);
        assert!(shares.is_balanced());
        for _ in 0..5 {
            shares.give(port);
        }
        shares.detach(port);
        assert_eq!(shares.free.load(Relaxed), 100);
    }

    #[test]
    fn port_that_attaches_to_a_full_table_has_its_reserve_and_no_more() {
        let (shares, greedy, late) = (Shares::new(100), PortId::new(0), PortId::new(1));
        shares.attach(greedy, 1000);
        while shares.take(greedy).is_ok() {}
        assert_eq!(shares.used(), 100);
        shares.attach(late, 1000);
        for _ in 0..FDB_RESERVE {
            assert_eq!(shares.take(late), Ok(()));
        }
        assert_eq!(shares.take(late), Err(Learn::Full));
        // The debt is paid before anybody gets more.
        for _ in 0..FDB_RESERVE {
            shares.give(greedy);
            assert_eq!(shares.take(late), Err(Learn::Full));
        }
        shares.give(greedy);
        assert_eq!(shares.take(late), Ok(()));
        assert!(shares.is_balanced());
    }
}

//! What may change while frames flow: the ageing time, and the quota of ports that have none of
//! their own. The control thread writes it, rarely; every worker reads the ageing time for each
//! frame.
//!
//! It guards nothing, so the accesses are relaxed: an entry is old or not by the ageing time that
//! is read with it, and a moment earlier or later by the other one. Such a load is a plain load to
//! the processor, and the line in which it lies, that of [`Fdb`] itself with the address of the
//! buckets, is read for each frame anyway: no line more, none that somebody writes. These atomics
//! are not loom's: no model changes them, and each look at them would be a step more to interleave.

use std::{
    sync::atomic::{AtomicI32, AtomicU32, Ordering::Relaxed},
    time::Duration,
};

use super::{AGEING_MAX, Fdb, FdbConfig, Tick};

/// The settings of a table.
pub(super) struct Settings {
    /// Ticks after which a silent station is forgotten.
    ageing: AtomicI32,
    /// Entries of a port that has no quota of its own.
    quota: AtomicU32,
}

impl Settings {
    pub(super) fn new(config: &FdbConfig) -> Settings {
        let (ageing, quota) = (ticks(config.ageing), config.quota);
        Settings { ageing: AtomicI32::new(ageing), quota: AtomicU32::new(quota) }
    }

    #[inline]
    pub(super) fn ageing(&self) -> i32 {
        self.ageing.load(Relaxed)
    }

    pub(super) fn quota(&self) -> u32 {
        self.quota.load(Relaxed)
    }
}

impl Fdb {
    /// From now on remembers silent stations for so long. An entry that had expired and was not
    /// swept yet may be known again if the time grows: sweep first.
    ///
    /// # Panics
    ///
    /// If it is more than [`AGEING_MAX`]: whoever reads configurations checks that.
    pub fn set_ageing(&self, ageing: Duration) {
        self.settings.ageing.store(ticks(ageing), Relaxed);
    }

    /// From now on [`Fdb::attach`] gives so many entries to a port of which it is told nothing
    /// else. Ports that are attached keep what they have until they are attached again.
    pub fn set_quota(&self, quota: u32) {
        self.settings.quota.store(quota, Relaxed);
    }
}

fn ticks(ageing: Duration) -> i32 {
    assert!(ageing <= AGEING_MAX, "ageing time");
    Tick::from_duration(ageing).0 as i32
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::{
        fdb::{Learn, Seed},
        frame::Mac,
        port::PortId,
    };

    const NOW: Tick = Tick::from_millis(0);

    fn table() -> Fdb {
        let (ageing, seed) = (Duration::from_secs(10), Seed::from_number(1));
        Fdb::new(&FdbConfig { size: 64, quota: 2, ageing, seed })
    }

    fn mac(number: u8) -> Mac {
        Mac::new([2, 0, 0, 0, 0, number])
    }

    #[test]
    fn entry_is_judged_by_the_ageing_time_that_was_set_last() {
        let (fdb, port) = (table(), PortId::new(0));
        fdb.attach(port, None);
        let place = fdb.place(0, mac(1));
        assert_eq!(fdb.learn(place, port, NOW), Learn::New);
        let after = |seconds: u64| Tick::from_millis(seconds * 1000);
        assert_eq!(fdb.lookup(place, after(9)), Some(port));
        fdb.set_ageing(Duration::from_secs(5));
        assert_eq!(fdb.lookup(place, after(4)), Some(port));
        assert_eq!(fdb.lookup(place, after(5)), None);
        fdb.set_ageing(Duration::from_secs(20));
        assert_eq!(fdb.lookup(place, after(19)), Some(port));
        assert_eq!(fdb.learn(place, port, after(19)), Learn::Known);
        assert_eq!(fdb.sweep(after(39)), 1);
    }

    #[test]
    fn quota_that_was_set_goes_for_who_attaches_then_and_has_none_of_his_own() {
        let (fdb, ports) = (table(), [0, 1, 2].map(PortId::new));
        fdb.attach(ports[0], None);
        fdb.set_quota(1);
        fdb.attach(ports[1], None);
        fdb.attach(ports[2], Some(3));
        let learned = ports.map(|port| {
            let index = port.index() as u8;
            let learn = |number| fdb.learn(fdb.place(0, mac(16 * index + number)), port, NOW);
            (1..8).map(learn).filter(|learn| *learn == Learn::New).count()
        });
        assert_eq!(learned, [2, 1, 3]);
        fdb.attach(ports[0], None);
        assert_eq!(fdb.learn(fdb.place(0, mac(9)), ports[0], NOW), Learn::Quota);
        assert_eq!(fdb.used_by(ports[0]), 2, "what it has beyond stays");
    }

    #[test]
    #[should_panic = "ageing time"]
    fn ageing_time_out_of_bounds_is_our_mistake() {
        table().set_ageing(AGEING_MAX + Duration::from_secs(1));
    }
}

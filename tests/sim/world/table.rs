//! The table in a run: what is said of stations and deleted again, sweeps, and what there should be
//! in it.

use uswitch::{fdb::Tick, frame::Mac, port::PortId};

use super::World;

impl World<'_> {
    /// A person says behind which port a station is, or deletes its entry, whichever it is.
    pub(super) fn say_or_delete(&mut self, number: usize) {
        self.check_table();
        let station = self.traffic.any(&mut self.random);
        let place = self.bench.fdb.place(0, Mac::new(station));
        if self.random.percent(40) {
            let expected = self.model.delete(station, self.clock);
            let deleted = self.bench.fdb.forget(place).map(PortId::index);
            self.log(format!("{station:x?} is deleted"));
            // What has expired may have been met, and so be gone.
            let met = !self.narrow && expected.is_none();
            assert!(deleted == expected || met, "{station:x?} behind {deleted:?}, {expected:?}");
        } else if self.ports[number].is_some() {
            let now = self.tick(self.clock);
            let said = self.bench.fdb.add_static(place, PortId::new(number), now);
            assert_eq!(said, Ok(()), "there are few of them");
            self.model.say(station, number, self.clock);
            self.log(format!("{station:x?} is said to be behind port {number}"));
        }
    }

    /// Removes what has expired.
    pub(super) fn sweep(&mut self) {
        let swept = self.bench.fdb.sweep(self.tick(self.clock));
        self.log(format!("sweep, {swept} entries"));
        let expected = self.model.sweep(self.clock);
        // What was met before it was swept is gone already.
        assert!(swept == expected || !self.narrow && swept < expected, "{swept} not {expected}");
        assert_eq!(self.bench.fdb.used(), self.model.table.len(), "entries after a sweep");
    }

    /// Compares the whole table.
    pub(super) fn check_table(&self) {
        let now = self.clock;
        let entries = self.bench.fdb.entries(self.tick(now));
        let mut entries: Vec<_> = entries
            .map(|entry| {
                assert_eq!(entry.fid, 0);
                let ticks = entry.age.as_millis() as u64 / Tick::MILLIS;
                (entry.mac.octets(), entry.port.index(), ticks as i64, entry.is_static)
            })
            .collect();
        let live =
            self.model.table.iter().filter(|(_, (_, heard))| now - heard < self.model.ageing);
        let live = live.map(|(station, entry)| (station, entry, false));
        let said = self.model.statics.iter().map(|(station, entry)| (station, entry, true));
        let mut expected: Vec<_> = live
            .chain(said)
            .map(|(station, (port, heard), said)| (*station, *port, now - heard, said))
            .collect();
        entries.sort_unstable();
        expected.sort_unstable();
        assert_eq!(entries, expected, "the table");
        for (station, port, ..) in expected {
            let place = self.bench.fdb.place(0, Mac::new(station));
            assert_eq!(self.bench.fdb.lookup(place, self.tick(now)), Some(PortId::new(port)));
        }
        assert_eq!(self.bench.fdb.statics(), self.model.statics.len());
        for port in 0..self.ports.len() {
            let used = self.bench.fdb.used_by(PortId::new(port));
            assert!(used == self.model.used_by(port) || !self.narrow, "entries of port {port}");
        }
    }
}

//! Counters that never go backwards while their port is there, or comes back.
//!
//! A port that comes back is a new port to the switch, and counts from 0. Here it goes on: what is
//! told under a name is the sum of all ports that had it. The switch remembers a bounded number of
//! those that have left (`Handle::departed`); when one of them is forgotten, what it had counted is
//! kept here instead, as long as its name is known: that is, while a port of this name is there, or
//! another that has left is remembered. After that the name begins at 0 again, as that of a new
//! port does, and whoever reads counters takes that for a restart.

use std::collections::BTreeMap;

use uswitch::{
    port::KernelDrops,
    stats::{Counter, PortStats},
    switch::Report,
};

/// What is told of a port, and was told before.
#[derive(Clone, Debug, Default)]
pub(super) struct Total {
    /// Whether a port of this name is there.
    pub(super) attached: bool,
    /// What is remembered nowhere else.
    forgotten: PortStats,
    /// The sum of all that the switch remembers.
    remembered: PortStats,
    pub(super) kernel: KernelDrops,
}

impl Total {
    /// The number of a counter.
    pub(super) fn get(&self, counter: Counter) -> u64 {
        self.forgotten.get(counter) + self.remembered.get(counter)
    }
}

/// Totals by name.
#[derive(Debug, Default)]
pub(super) struct Totals(BTreeMap<String, Total>);

impl Totals {
    /// Takes a report in: as many names are kept as it has.
    pub(super) fn fold(&mut self, report: &Report) -> &BTreeMap<String, Total> {
        let mut now: BTreeMap<String, Total> = BTreeMap::new();
        for port in &report.ports {
            let total = now.entry(port.name.clone()).or_default();
            total.attached |= port.attached;
            total.remembered.merge(&port.stats);
            total.kernel.rx += port.kernel.rx;
            total.kernel.tx += port.kernel.tx;
        }
        for (name, total) in &mut now {
            let Some(before) = self.0.get(name) else { continue };
            total.forgotten = before.forgotten;
            for counter in Counter::ALL {
                let (was, is) = (before.remembered.get(*counter), total.remembered.get(*counter));
                total.forgotten.add(*counter, was.saturating_sub(is));
            }
            // The kernel's are differences of two readings, and may fall back by a frame.
            total.kernel.rx = total.kernel.rx.max(before.kernel.rx);
            total.kernel.tx = total.kernel.tx.max(before.kernel.tx);
        }
        self.0 = now;
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use uswitch::{port::PortId, switch::PortReport};

    use super::*;

    fn port(name: &str, attached: bool, frames: u64) -> PortReport {
        let mut stats = PortStats::default();
        stats.add(Counter::RxFrames, frames);
        let kernel = KernelDrops { rx: frames / 2, tx: 0 };
        PortReport { port: PortId::new(0), name: name.to_owned(), attached, stats, kernel }
    }

    #[track_caller]
    fn check(totals: &mut Totals, ports: &[PortReport], frames: u64) {
        let report = Report { ports: ports.to_vec(), fdb_used: 0, fdb_size: 0 };
        assert_eq!(totals.fold(&report)["a"].get(Counter::RxFrames), frames);
    }

    #[test]
    fn a_port_that_comes_back_goes_on_where_it_was() {
        let mut totals = Totals::default();
        check(&mut totals, &[port("a", true, 5)], 5);
        check(&mut totals, &[port("b", true, 1), port("a", false, 7)], 7);
        assert!(!totals.0["a"].attached && totals.0["b"].attached);
        check(&mut totals, &[port("a", true, 0), port("a", false, 7)], 7);
        check(&mut totals, &[port("a", true, 2), port("a", false, 7)], 9);
        assert!(totals.0["a"].attached);
    }

    #[test]
    fn what_the_switch_forgets_is_kept_while_the_port_is_there() {
        let mut totals = Totals::default();
        check(&mut totals, &[port("a", true, 2), port("a", false, 7), port("a", false, 4)], 13);
        check(&mut totals, &[port("a", true, 3), port("a", false, 4)], 13);
        check(&mut totals, &[port("a", true, 4), port("a", false, 4)], 14);
        check(&mut totals, &[port("a", true, 4)], 14);
        check(&mut totals, &[port("a", true, 5)], 15);
        assert_eq!(totals.0["a"].kernel.rx, 6, "the highest that was ever told");
    }

    #[test]
    fn a_name_that_nothing_is_known_of_is_forgotten() {
        let mut totals = Totals::default();
        check(&mut totals, &[port("a", true, 5)], 5);
        totals.fold(&Report { ports: vec![port("b", true, 1)], fdb_used: 0, fdb_size: 0 });
        assert_eq!(totals.0.len(), 1);
        check(&mut totals, &[port("a", true, 1)], 1);
    }
}

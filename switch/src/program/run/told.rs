//! What is told of a switch that runs: to a person who asks for it by a signal, and to who reads
//! counters.

use super::Running;
use crate::program::{
    metrics::Snapshot,
    report::{Status, known_addresses},
};

impl Running<'_> {
    /// Everything that there is to tell so far.
    pub(super) fn status(&self) -> Status {
        Status {
            report: self.handle.report(),
            router: self.router.counts(&self.handle),
            addresses: self.options.verbose.then(|| known_addresses(&self.handle)),
            elapsed: self.started.elapsed(),
            workers: self.workers,
            running: true,
        }
    }

    /// What is counted, for who reads it.
    pub(super) fn snapshot(&self) -> Snapshot {
        let ports = self.plugs.specs().flat_map(|(_, ports)| ports).copied();
        let ports = ports.chain(self.router.ports());
        let mtu = |port| Some((self.handle.name(port)?.to_owned(), self.handle.mtu(port)?));
        let waiting = self.plugs.specs().filter(|(_, ports)| ports.is_empty());
        Snapshot {
            report: self.handle.report(),
            router: self.router.counts(&self.handle),
            mtus: ports.filter_map(mtu).collect(),
            waiting: waiting.map(|(spec, _)| spec.name.clone()).collect(),
            workers: self.workers,
        }
    }
}

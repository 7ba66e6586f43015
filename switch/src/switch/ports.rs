//! The ports of a switch that runs, by number and by name, and what can be asked of them without
//! a system call.

use super::{Attached, Handle};
use crate::{
    bridge::BridgeId,
    port::{Port, PortId},
    stats::PortStats,
};

impl<P: Port> Handle<P> {
    /// The ports that are attached, by number.
    pub fn ports(&self) -> impl Iterator<Item = (PortId, &str)> {
        let ports = self.ports.iter().enumerate();
        ports.filter_map(|(i, port)| Some((PortId::new(i), &*port.as_ref()?.name)))
    }

    /// The number of the port that has this name.
    pub fn find(&self, name: &str) -> Option<PortId> {
        let is_it = |index: &usize| {
            self.ports[*index].as_ref().is_some_and(|attached| attached.name == name)
        };
        (0..self.ports.len()).find(is_it).map(PortId::new)
    }

    /// The bridge of a port that is attached.
    pub fn bridge_of(&self, port: PortId) -> Option<BridgeId> {
        Some(self.ports.get(port.index())?.as_ref()?.bridge)
    }

    /// The counters of one port without those of the kernel. `None`: there is no such port.
    pub fn stats(&self, port: PortId) -> Option<PortStats> {
        Some(self.ports.get(port.index())?.as_ref()?.stats())
    }
}

impl<T> Attached<T> {
    /// What all workers have counted.
    pub(super) fn stats(&self) -> PortStats {
        let mut stats = PortStats::default();
        self.counters.iter().for_each(|block| stats.merge(&block.read()));
        stats
    }
}

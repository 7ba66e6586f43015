//! What runs now, as a file: with the ports that were added, without those that were deleted, and
//! with all that was set since.

use serde::{Deserialize, Serialize};
use uswitch::{
    port::any::AnyPort,
    switch::Handle,
    topology::{PortSpec, StaticEntry, Topology},
};

use super::{PAGE_OCTETS, Steered};
use crate::program::config::emit;

/// The answer to `config`.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(crate) struct ConfigPage {
    /// A piece of the file: whole lines.
    pub(crate) toml: String,
    /// The workers that there are, whatever the file leaves to the machine.
    pub(crate) workers: usize,
    /// What the command line says beside the file, in which it need not be said again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) allow_path: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) next: Option<usize>,
}

/// The static entries that there are.
pub(crate) fn statics(handle: &Handle<AnyPort>) -> Vec<StaticEntry> {
    let entries = handle.statics();
    entries.map(|(mac, port)| StaticEntry { mac, port: port.to_owned() }).collect()
}

impl Steered<'_> {
    /// The file from the port with this number on; from 0 on, what stands before them too.
    pub(super) fn config(&self, from: usize) -> ConfigPage {
        let workers = self.topology.switch.workers;
        let allow_path = self.allow_path.to_vec();
        let mut page = ConfigPage { toml: String::new(), workers, allow_path, next: None };
        if from == 0 {
            page.toml = self.head();
        }
        for (index, (spec, _)) in self.plugs.specs().enumerate().skip(from) {
            if page.toml.len() >= PAGE_OCTETS {
                page.next = Some(index);
                break;
            }
            page.toml += &emit::port(spec, &self.topology.legs);
        }
        page
    }

    fn head(&self) -> String {
        let specs = || self.plugs.specs().map(|(spec, _)| spec);
        let queues: usize = specs().map(|spec: &PortSpec| spec.kind.queues_max()).sum();
        let statics = statics(self.handle);
        let ports = specs().cloned().collect();
        let mut topology = Topology { ports, statics, ..self.topology.clone() };
        // With fewer ports than workers it could not be started: so many are left to the machine.
        topology.workers_auto |= topology.switch.workers > queues;
        let none = "# no port is plugged in: before it can be run, it wants one\n";
        let none = if queues == 0 { none } else { "" };
        format!("# what the switch `{}` runs\n{none}{}", self.name, emit::head(&topology))
    }
}

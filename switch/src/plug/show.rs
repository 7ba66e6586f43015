//! What can be asked of plugs.

use super::Plugs;
use crate::{port::PortId, topology::PortSpec};

impl Plugs {
    /// The specs of all plugs, in the order in which they came, each with its ports.
    pub fn specs(&self) -> impl Iterator<Item = (&PortSpec, &[PortId])> {
        self.plugs.values().map(|plug| (&plug.spec, &*plug.ports))
    }

    /// For what the plug of this name waits. `None`: for nothing, no port will come of it any
    /// more; or there is no such plug.
    pub fn waits_for(&self, name: &str) -> Option<&'static str> {
        let plug = self.plugs.values().find(|plug| plug.spec.name == name)?;
        plug.source.may_bring().then(|| plug.source.waits_for())
    }
}

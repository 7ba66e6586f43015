//! The numbers of bridges, by their names. A bridge keeps its number as long as anything is in it,
//! or is to be; then another may have it.
//!
//! Nothing of the old bridge is left by then. What is known of stations is known of ports
//! ([`Handle::remove`] forgets it when no worker has a frame of the port in hand any more), and a
//! port is in one bridge.

use std::io;

use super::Plugs;
use crate::{
    bridge::{BRIDGES_MAX, BridgeId},
    port::any::AnyPort,
    switch::Handle,
    topology::LegSpec,
};

/// The names, each in the place of its number.
#[derive(Default)]
pub(super) struct Bridges(Vec<Option<String>>);

impl Bridges {
    /// The number of the bridge with this name. `None`: there are too many.
    pub(super) fn number(&mut self, name: &str) -> Option<BridgeId> {
        let known = |wanted| self.0.iter().position(|known| known.as_deref() == wanted);
        let index = known(Some(name)).or(known(None)).unwrap_or(self.0.len());
        if index == BRIDGES_MAX {
            return None;
        }
        if index == self.0.len() {
            self.0.push(None);
        }
        self.0[index].get_or_insert(name.to_owned());
        Some(BridgeId::new(index))
    }

    /// Others may have the numbers of all bridges of which this is not so.
    fn retain(&mut self, is_used: impl Fn(BridgeId, &str) -> bool) {
        for (index, bridge) in self.0.iter_mut().enumerate() {
            bridge.take_if(|name| !is_used(BridgeId::new(index), name));
        }
    }
}

impl Plugs {
    /// The number of the bridge with this name, for ports and for what else is in it.
    ///
    /// # Errors
    ///
    /// There are more names than [`BRIDGES_MAX`].
    pub fn bridge(&mut self, name: &str) -> io::Result<BridgeId> {
        self.bridges.number(name).ok_or_else(|| {
            let text =
                format!("there are {BRIDGES_MAX} bridges already: no more can be told apart");
            io::Error::new(io::ErrorKind::QuotaExceeded, text)
        })
    }

    /// Forgets the bridges in which nothing is, or is to be, neither a port nor one of these legs.
    /// To be called while nobody has a number in hand of which no port has come yet.
    pub fn forget_bridges(&mut self, handle: &Handle<AnyPort>, legs: &[LegSpec]) {
        let Plugs { bridges, plugs, .. } = self;
        let is_port = |id| handle.ports().any(|(port, _)| handle.bridge_of(port) == Some(id));
        bridges.retain(|id, name| {
            let is_plug = plugs.values().any(|plug| plug.spec.bridge == name);
            is_plug || legs.iter().any(|leg| leg.name == name) || is_port(id)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_number_and_there_are_so_many() {
        let mut bridges = Bridges::default();
        for index in 0..BRIDGES_MAX {
            assert_eq!(bridges.number(&format!("b{index}")), Some(BridgeId::new(index)));
        }
        assert_eq!(bridges.number("another"), None);
        assert_eq!(bridges.number("b7"), Some(BridgeId::new(7)));
    }

    #[test]
    fn number_of_a_bridge_that_is_no_more_is_given_to_another() {
        let mut bridges = Bridges::default();
        for name in ["a", "b", "c"] {
            bridges.number(name);
        }
        bridges.retain(|id, name| id == BridgeId::new(0) || name == "c");
        let numbers = ["d", "a", "c", "e", "b"].map(|name| bridges.number(name).unwrap().index());
        assert_eq!(numbers, [1, 0, 2, 3, 4]);
    }
}

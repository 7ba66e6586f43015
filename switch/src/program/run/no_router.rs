//! A switch that was built without a router: no topology of it has a leg.

use std::fmt::Display;

use uswitch::{plug::Plugs, port::any::AnyPort, switch::Handle, topology::Topology};

/// There is none.
#[derive(Default)]
pub(in crate::program) struct Router(());

impl Router {
    pub(in crate::program) fn apply(
        &mut self,
        _: &Topology,
        _: &mut Plugs,
        _: &mut Handle<AnyPort>,
    ) -> Result<(), Vec<String>> {
        Ok(())
    }

    pub(in crate::program) fn events(&self) -> [(String, &dyn Display); 0] {
        []
    }
}

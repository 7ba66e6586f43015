//! A switch that was built without a router: no topology of it has a leg.

use std::net::IpAddr;

use uswitch::{
    frame::Frame,
    plug::Plugs,
    port::{PortId, any::AnyPort},
    switch::Handle,
    topology::{Found, LegSpec, NeighbourSpec, Topology},
};

use crate::program::{
    control::{Event as News, FlowSpec},
    explain::Routed,
    report::router::RouterRow,
};

/// What enters a bridge, of which there is nothing.
type Onward = Vec<(PortId, Vec<u8>)>;

/// Legs that are open, of which there are none.
pub(crate) struct Prepared;

/// A neighbour, of which there is none.
pub(crate) struct Neighbour {
    pub(in crate::program) leg: usize,
    pub(in crate::program) address: IpAddr,
    pub(in crate::program) to: Option<String>,
    pub(in crate::program) state: &'static str,
}

/// An address of the router, of which there is none.
pub(crate) struct Own {
    pub(in crate::program) leg: usize,
    pub(in crate::program) mac: String,
    pub(in crate::program) address: IpAddr,
    pub(in crate::program) prefix_len: u8,
    pub(in crate::program) tentative: bool,
    pub(in crate::program) duplicate: bool,
}

/// There is none.
#[derive(Default)]
pub(crate) struct Router {}

impl Router {
    pub(in crate::program) fn apply(
        &mut self,
        _: &Topology,
        _: &mut Plugs,
        _: &mut Handle<AnyPort>,
    ) -> Result<(), Vec<String>> {
        Ok(())
    }

    pub(in crate::program) fn find(
        &self,
        _: &Handle<AnyPort>,
        _: &[LegSpec],
        _: IpAddr,
        _: Option<FlowSpec>,
    ) -> Found {
        Found::None
    }

    pub(in crate::program) fn ports(&self) -> impl Iterator<Item = PortId> + use<> {
        std::iter::empty()
    }

    pub(in crate::program) fn counts(&self, _: &Handle<AnyPort>) -> Vec<RouterRow> {
        Vec::new()
    }

    pub(in crate::program) fn prepare(
        &mut self,
        _: &Topology,
        _: &mut Plugs,
        _: &mut Handle<AnyPort>,
    ) -> Result<Prepared, Vec<String>> {
        Ok(Prepared)
    }

    pub(in crate::program) fn abandon(&self, _: &mut Handle<AnyPort>, _: Prepared) {}

    pub(in crate::program) fn go_on(
        &mut self,
        _: &Topology,
        _: &mut Handle<AnyPort>,
        _: Prepared,
    ) -> Result<(), Vec<String>> {
        Ok(())
    }

    pub(in crate::program) fn neighbours(&self) -> Vec<Neighbour> {
        Vec::new()
    }

    pub(in crate::program) fn own(&self) -> Vec<Own> {
        Vec::new()
    }

    pub(in crate::program) fn add_neighbour(
        &self,
        _: usize,
        _: &NeighbourSpec,
    ) -> Result<(), String> {
        Err("this build has no router".to_owned())
    }

    pub(in crate::program) fn remove_neighbour(&self, _: usize, _: IpAddr) {}

    pub(in crate::program) fn flush_neighbours(&self, _: Option<usize>) -> usize {
        0
    }

    pub(in crate::program) fn foresee(
        &self,
        _: &Handle<AnyPort>,
        _: PortId,
        _: Frame<'_>,
    ) -> Option<(Routed, Onward)> {
        None
    }

    pub(in crate::program) fn leg_of(&self, _: PortId) -> Option<&str> {
        None
    }

    pub(in crate::program) fn events(&self) -> [News; 0] {
        []
    }
}

//! `route get`: where the router that runs sends packets, by the tables that its workers have.

use std::net::IpAddr;

use uswitch::{
    port::any::AnyPort,
    switch::Handle,
    topology::{Found, LegSpec, router::lookup},
};
use uswitch_router::forward::Flow;

use super::Router;
use crate::program::control::FlowSpec;

impl Router {
    /// What becomes of packets for this address, or of those of one flow. The legs are those by
    /// which the router goes, in their order.
    pub(in crate::program) fn find(
        &self,
        handle: &Handle<AnyPort>,
        specs: &[LegSpec],
        destination: IpAddr,
        flow: Option<FlowSpec>,
    ) -> Found {
        let Some(legs) = &self.legs else { return Found::None };
        let found = lookup(legs.tables(), specs, destination);
        let (Found::Hops(hops), Some(flow)) = (&found, flow) else { return found };
        let FlowSpec { source, protocol, ports } = flow;
        let flow = Flow { source, destination, protocol, ports };
        let Some(via) = legs.choose(handle, &flow) else { return found };
        let leg = &specs[via.leg.index()].name;
        let is_it = |(gateway, name, _): &&(_, String, u16)| *gateway == via.gateway && name == leg;
        Found::Hops(hops.iter().find(is_it).cloned().into_iter().collect())
    }
}

//! What the control loop answers. It owns the plugs and the handle, so nothing here waits for
//! anybody, and nothing is between: a request is done when it is answered.

mod config;
mod explain;
mod fdb;
mod neighbours;
mod ports;
mod routing;
mod set;
mod show;
mod statics;

use std::time::Instant;

use serde::Serialize;
use uswitch::{
    plug::{Change, Plugs},
    port::any::AnyPort,
    switch::Handle,
    topology::{Faults, Topology},
};

pub(crate) use self::{
    config::{ConfigPage, statics},
    fdb::{FdbPage, FdbRow, Flushed},
    neighbours::{NO_ROUTER, NeighbourPage, NeighbourRow},
    ports::{Counters, Counts, PortPage, PortRow, Told},
    routing::{AddressRow, HopRow, LegPage, LegRow, RoutePage, RouteRow},
    show::Show,
};
use super::{
    Captures, Event, PAGE_OCTETS,
    request::{Answer, Request},
};
use crate::program::run::router::Router;

/// What the control loop lends for an answer.
pub(crate) struct Steered<'a> {
    pub(crate) name: &'a str,
    /// Folders that its command line says.
    pub(crate) allow_path: &'a [String],
    /// What it was told to be.
    pub(crate) topology: &'a mut Topology,
    pub(crate) router: &'a mut Router,
    pub(crate) plugs: &'a mut Plugs,
    pub(crate) handle: &'a mut Handle<AnyPort>,
    pub(crate) started: Instant,
    pub(crate) captures: &'a mut Captures,
    /// What has changed by it.
    pub(crate) changes: Vec<Change>,
    /// What was done for it beside that.
    pub(crate) news: Vec<Event>,
}

impl Steered<'_> {
    /// Does what is asked.
    pub(crate) fn answer(&mut self, request: &Request) -> Answer {
        match request {
            Request::Show {} => json(&self.show()),
            Request::PortShow { port, all, from } => {
                json(&self.port_page(port.as_deref(), *all, *from)?)
            }
            Request::PortAdd { spec } => json(&self.add(spec)?),
            Request::PortDel { port } => json(&self.remove(port)?),
            Request::PortSet { port, set } => json(&self.set(port, set)?),
            Request::Config { from } => json(&self.config(*from)),
            Request::RouteShow { from } => json(&self.routes(*from)),
            Request::RouteGet { address, flow } => json(&self.route(address, *flow)?),
            Request::RouteAdd { spec } => json(&self.add_route(spec)?),
            Request::RouteDel { spec } => json(&self.del_route(spec)?),
            Request::LegShow {} => json(&self.legs()),
            Request::NeighShow { leg, from } => json(&self.neighbours(leg.as_deref(), *from)?),
            Request::NeighAdd { address, mac, leg } => json(&self.neigh_add(address, mac, leg)?),
            Request::NeighDel { address, leg } => json(&self.neigh_del(address, leg.as_deref())?),
            Request::NeighFlush { leg } => json(&self.neigh_flush(leg.as_deref())?),
            Request::Reload {} => Err("the control loop answers this itself".to_owned()),
            Request::FdbShow { port, from } => json(&self.fdb(port.as_deref(), *from)?),
            Request::FdbGet { mac } => json(&self.find(mac)?),
            Request::FdbAdd { mac, port } => json(&self.add_static(mac, port)?),
            Request::FdbDel { mac, port } => json(&self.del_station(mac, port.as_deref())?),
            Request::FdbFlush { port } => json(&self.flush(port.as_deref())?),
            Request::Explain { from, frame, gso } => json(&self.explain(from, frame, *gso)?),
            Request::Capture { .. } | Request::Monitor { .. } => {
                Err("the control loop answers this itself".to_owned())
            }
        }
    }
}

fn json(value: &impl Serialize) -> Answer {
    Ok(serde_json::to_string(value).expect("names, numbers and lists of them"))
}

fn lines(faults: &Faults) -> String {
    faults.iter().collect::<Vec<_>>().join("\n")
}

//! The way out: the sending halves of all ports, and which frames of this turn leave by which.
//!
//! First all frames of a batch are sorted, then each port is called once with those that leave by
//! it. A frame is a bit in a mask, so they leave in the order in which they came, and a flood
//! never overtakes what is for one station, nor the other way round.
//!
//! Ports that take offloads get their frames as they came, in one call. For all others together
//! what the senders left to be done is done once, when those have theirs: see finish.rs.

mod finish;
#[cfg(feature = "router")]
mod legs;
mod outlet;

use std::sync::Arc;

use crate::{
    bridge::{BridgeId, Ingress},
    frame::{Arena, BATCH_MAX, Batch, Selection},
    port::{PORTS_MAX, PortId, Tx},
    stats::{PortCounters, PortStats},
};

pub use finish::Finish;
#[cfg(any(feature = "router", feature = "vhost"))]
pub(crate) use finish::complete;
pub(crate) use outlet::Outlet;

/// The sending halves, and for each the frames of this turn that leave by it.
pub(crate) struct Egress<T> {
    /// By port number.
    ports: Vec<Option<Outlet<T>>>,
    /// By bridge, the numbers of its ports in ascending order: whom a flood reaches.
    bridges: Vec<Vec<PortId>>,
    /// The ports that have a frame of their own in this turn.
    touched: Vec<PortId>,
    /// The frames that leave by all ports of their bridge but one.
    flood: u64,
    /// A leg whose frames of this turn go another way, those of a flood with them.
    kept: Option<PortId>,
    /// The ports that wait in this turn, each with its mask, until their frames are finished.
    waiting: Vec<PortId>,
    /// Where frames are finished. Not touched as long as all ports take offloads.
    arena: Arena,
}

impl<T: Tx> Egress<T> {
    pub(crate) fn new() -> Egress<T> {
        // Touched is bounded by the frames of a batch, waiting by the ports of a bridge: like the
        // others it grows when one is attached.
        Egress {
            ports: Vec::new(),
            bridges: Vec::new(),
            touched: Vec::with_capacity(BATCH_MAX),
            flood: 0,
            kept: None,
            waiting: Vec::new(),
            arena: Arena::new(),
        }
    }

    pub(crate) fn attach(
        &mut self,
        port: PortId,
        bridge: BridgeId,
        tx: T,
        counters: Arc<PortCounters>,
    ) {
        let index = port.index();
        debug_assert!(index < PORTS_MAX);
        if self.ports.len() <= index {
            self.ports.resize_with(index + 1, || None);
        }
        assert!(self.ports[index].is_none(), "{port:?} is attached once");
        self.ports[index] = Some(Outlet::new(tx, counters));
        if self.bridges.len() <= bridge.index() {
            self.bridges.resize_with(bridge.index() + 1, Vec::new);
        }
        let bridge = &mut self.bridges[bridge.index()];
        let place = bridge.partition_point(|other| *other < port);
        bridge.insert(place, port);
        self.waiting.reserve(bridge.len());
    }

    pub(crate) fn detach(&mut self, port: PortId) {
        if let Some(outlet) = self.ports.get_mut(port.index()) {
            *outlet = None;
        }
        self.bridges.iter_mut().for_each(|bridge| bridge.retain(|other| *other != port));
    }

    /// The ports of a bridge.
    fn of(&self, bridge: BridgeId) -> &[PortId] {
        self.bridges.get(bridge.index()).map_or(&[], Vec::as_slice)
    }

    /// How many ports a flood from this one reaches.
    pub(crate) fn others(&self, ingress: Ingress) -> u64 {
        let itself = self.ports.get(ingress.port.index()).is_some_and(Option::is_some);
        (self.of(ingress.bridge).len() - usize::from(itself)) as u64
    }

    /// What is sorted so far: each port with its frames, before they are sent.
    pub(crate) fn leaving<'a>(
        &'a self,
        ingress: Ingress,
        batch: Batch<'a>,
    ) -> impl Iterator<Item = (PortId, Selection<'a>, &'a Outlet<T>)> {
        let reached = if self.flood == 0 { &self.touched } else { self.of(ingress.bridge) };
        reached.iter().filter(move |port| **port != ingress.port).filter_map(move |port| {
            let outlet = self.ports[port.index()].as_ref()?;
            let mask = self.flood | outlet.mask;
            (mask != 0).then_some((*port, Selection { batch, mask }, outlet))
        })
    }

    /// A port as this worker sends to it. `None`: there is no such port.
    pub(crate) fn outlet(&self, port: PortId) -> Option<&Outlet<T>> {
        self.ports.get(port.index())?.as_ref()
    }

    /// What this worker has counted for a port. `None`: there is no such port.
    pub(crate) fn stats(&self, port: PortId) -> Option<PortStats> {
        self.outlet(port).map(Outlet::stats)
    }

    /// Notes that a frame leaves by this port. `false`: there is no such port any more.
    #[inline]
    pub(crate) fn sort(&mut self, port: PortId, index: usize) -> bool {
        let Some(Some(outlet)) = self.ports.get_mut(port.index()) else { return false };
        if outlet.mask == 0 {
            self.touched.push(port);
        }
        outlet.mask |= 1 << index;
        true
    }

    /// Notes that a frame leaves by all ports of its bridge but the one where it came from.
    #[inline]
    pub(crate) fn sort_to_all(&mut self, index: usize) {
        self.flood |= 1 << index;
    }

    /// Sends what was sorted: to each port one call, with its frames in order of arrival. Tells
    /// `lost` of each port that was found gone for the first time.
    #[inline]
    pub(crate) fn send(
        &mut self,
        ingress: Ingress,
        batch: Batch<'_>,
        mut lost: impl FnMut(PortId),
    ) {
        let (flood, kept) = (std::mem::take(&mut self.flood), self.kept.take());
        let flooded = self.bridges.get(ingress.bridge.index());
        let reached = flooded.filter(|_| flood != 0).unwrap_or(&self.touched);
        let leaves = |port: &&PortId| **port != ingress.port && Some(**port) != kept;
        for port in reached.iter().filter(leaves) {
            let outlet = self.ports[port.index()].as_mut().expect("a port that is attached");
            let mask = flood | std::mem::take(&mut outlet.mask);
            let frames = Selection { batch, mask };
            if !outlet.takes_offloads {
                outlet.mask = outlet.fitting(frames);
                self.waiting.push(*port);
            } else if outlet.send(frames) {
                lost(*port);
            }
        }
        self.touched.clear();
        if !self.waiting.is_empty() {
            self.finish(batch, &mut lost);
        }
    }
}

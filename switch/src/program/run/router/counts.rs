//! What the router has counted, and the ports that its legs are.

use uswitch::{
    port::{PortId, any::AnyPort},
    switch::Handle,
};

use super::Router;
use crate::program::report::router::{RouterRow, RowKind};

impl Router {
    /// The ports that its legs are.
    pub(in crate::program) fn ports(&self) -> impl Iterator<Item = PortId> {
        self.legs.iter().flat_map(|legs| legs.iter().map(|(_, port)| port))
    }

    /// All that it has counted. Nothing: there is no router.
    pub(in crate::program) fn counts(&self, handle: &Handle<AnyPort>) -> Vec<RouterRow> {
        let Some(legs) = &self.legs else { return Vec::new() };
        let totals = legs.totals(handle);
        let row = |name: &str, about: &str, kind, count| RouterRow {
            name: name.to_owned(),
            about: about.to_owned(),
            kind,
            count,
        };
        let packets = totals.iter().map(|(of, count)| {
            let kind = if of.is_gauge() { RowKind::Gauge } else { RowKind::Packets };
            row(of.name(), of.about(), kind, count)
        });
        let drops = totals.drops();
        let drops = drops.map(|(of, count)| row(of.name(), of.about(), RowKind::Drop, count));
        let neighbours = totals
            .neighbours()
            .map(|(of, count)| row(of.name(), of.about(), RowKind::Neighbour, count));
        packets.chain(drops).chain(neighbours).collect()
    }
}

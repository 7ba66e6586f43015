//! Legs: ports by which frames leave to a router at this worker's side, and not by a sending half.

use crate::{
    frame::Selection,
    port::{PortId, Tx},
    stats::{Counter, PortStats},
};

use super::Egress;

impl<T: Tx> Egress<T> {
    /// Takes out of what is to be sent the frames that leave by a leg, where `take` says that a
    /// port is one: it is told those that leave by it alone, and those that leave by all, which
    /// must not overtake them. A bridge has one leg.
    #[inline]
    pub(crate) fn take(&mut self, mut take: impl FnMut(PortId, u64, u64) -> bool) {
        for port in &self.touched {
            let outlet = self.ports[port.index()].as_mut().expect("a port that is attached");
            if self.kept.is_none() && take(*port, outlet.mask, self.flood) {
                (outlet.mask, self.kept) = (0, Some(*port));
            }
        }
    }

    /// Counts frames that a port's leg took, without its sending half.
    #[inline]
    pub(crate) fn took(&self, port: PortId, frames: u64, octets: u64) {
        if let Some(Some(outlet)) = self.ports.get(port.index()) {
            outlet.counters.add(Counter::TxFrames, frames);
            outlet.counters.add(Counter::TxOctets, octets);
        }
    }

    /// Sends frames to one port at once, and says whether it was found gone for the first time.
    pub(crate) fn offer(&mut self, port: PortId, frames: Selection<'_>) -> bool {
        let outlet = self.ports.get_mut(port.index()).and_then(Option::as_mut);
        outlet.is_some_and(|outlet| outlet.send(frames))
    }

    /// Adds what was counted for a port in one turn.
    pub(crate) fn count(&self, port: PortId, tally: &PortStats) {
        if let Some(Some(outlet)) = self.ports.get(port.index()) {
            tally.iter().for_each(|(counter, count)| outlet.counters.add(counter, count));
        }
    }
}

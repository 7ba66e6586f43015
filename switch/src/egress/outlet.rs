//! One port as a worker sends to it: what fits its MTU goes to its sending half, and what became
//! of it is counted.

use std::sync::Arc;

use crate::{
    frame::{Selection, bits},
    port::Tx,
    stats::{Counter, PortCounters},
};

/// One sending half.
pub(super) struct Outlet<T> {
    tx: T,
    mtu: u32,
    counters: Arc<PortCounters>,
    /// The frames of this turn that leave by this port alone.
    pub(super) mask: u64,
    /// It was found gone and told; its frames are counted until it is detached.
    lost: bool,
}

impl<T: Tx> Outlet<T> {
    pub(super) fn new(tx: T, counters: Arc<PortCounters>) -> Outlet<T> {
        let mtu = tx.mtu();
        Outlet { tx, mtu, counters, mask: 0, lost: false }
    }

    /// Sends, counts, and says whether this is the first time that the port was found gone.
    #[inline]
    pub(super) fn send(&mut self, mut frames: Selection<'_>) -> bool {
        let oversize = self.oversize(frames);
        if oversize != 0 {
            self.counters.add(Counter::TxOversize, oversize.count_ones().into());
            frames.mask &= !oversize;
        }
        if frames.is_empty() {
            return false;
        }
        let sent = self.tx.send(frames);
        self.counters.add(Counter::TxFrames, sent.frames);
        self.counters.add(Counter::TxOctets, sent.octets);
        self.counters.add(Counter::TxFull, sent.full);
        self.counters.add(Counter::TxRefused, sent.refused);
        self.counters.add(Counter::TxDown, sent.down);
        self.counters.add(Counter::TxGone, sent.gone);
        sent.gone > 0 && !std::mem::replace(&mut self.lost, true)
    }

    /// Those of the frames that are too large for this port. They are dropped, never cut.
    #[inline]
    fn oversize(&self, frames: Selection<'_>) -> u64 {
        bits(frames.mask)
            .filter(|index| !frames.batch.frame(*index).fits(self.mtu))
            .fold(0, |mask, index| mask | 1 << index)
    }
}

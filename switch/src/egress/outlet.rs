//! One port as a worker sends to it: what fits its MTU goes to its sending half, and what became
//! of it is counted. A frame that was cut for it counts as one: as sent, if the port took all of
//! its segments, else as what befell the first that it did not take.

use std::sync::Arc;

use crate::{
    frame::{Selection, bits},
    port::{Sent, Tx},
    stats::{Counter, PortCounters, PortStats},
};

/// One sending half.
pub(crate) struct Outlet<T> {
    tx: T,
    mtu: u32,
    pub(super) counters: Arc<PortCounters>,
    /// The frames of this turn that leave by this port alone.
    pub(super) mask: u64,
    /// It takes frames as they are, with what their senders left to be done.
    pub(super) takes_offloads: bool,
    /// What befell a segment of the frame that is just being cut.
    failure: Option<Counter>,
    /// It was found gone and told; its frames are counted until it is detached.
    lost: bool,
}

impl<T: Tx> Outlet<T> {
    pub(super) fn new(tx: T, counters: Arc<PortCounters>) -> Outlet<T> {
        let (mtu, takes_offloads) = (tx.mtu(), tx.takes_offloads());
        Outlet { tx, mtu, counters, mask: 0, takes_offloads, failure: None, lost: false }
    }

    /// Sends what fits, counts, and says whether this is the first time that the port was found
    /// gone.
    #[inline]
    pub(super) fn send(&mut self, frames: Selection<'_>) -> bool {
        let mask = self.fitting(frames);
        self.deliver(Selection { mask, ..frames })
    }

    /// Those of the frames that are not too large for this port; the others are counted. They are
    /// dropped and never cut: not even a frame that is to be cut, if its segments are too large.
    #[inline]
    pub(super) fn fitting(&self, frames: Selection<'_>) -> u64 {
        let oversize = self.oversize(frames);
        if oversize != 0 {
            self.counters.add(Counter::TxOversize, oversize.count_ones().into());
        }
        frames.mask & !oversize
    }

    /// Sends frames that fit, counts, and says whether the port was found gone, as `send`.
    #[inline]
    pub(super) fn deliver(&mut self, frames: Selection<'_>) -> bool {
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
        self.found_gone(sent)
    }

    /// Sends some segments of one frame. What became of them is counted as the frame's when
    /// [`Outlet::end_cut`] says that they were all.
    pub(super) fn deliver_cut(&mut self, segments: Selection<'_>) -> bool {
        let sent = self.tx.send(segments);
        self.counters.add(Counter::TxOctets, sent.octets);
        self.counters.add(Counter::TxSegments, sent.frames);
        let failures = [
            (sent.gone, Counter::TxGone),
            (sent.down, Counter::TxDown),
            (sent.full, Counter::TxFull),
            (sent.refused, Counter::TxRefused),
        ];
        // Of one call's failures the gravest: a port does not say which was the first.
        let failure = failures.iter().find(|(count, _)| *count > 0).map(|(_, counter)| *counter);
        self.failure = self.failure.or(failure);
        self.found_gone(sent)
    }

    /// Counts the frame whose segments were all sent, or offered at least.
    pub(super) fn end_cut(&mut self) {
        self.counters.add(Counter::TxCut, 1);
        self.counters.add(self.failure.take().unwrap_or(Counter::TxFrames), 1);
    }

    /// Counts frames that cannot be finished for this port, whatever they are.
    pub(super) fn refuse(&mut self, frames: u64) {
        self.counters.add(Counter::TxRefused, (self.mask & frames).count_ones().into());
    }

    /// What this worker has counted for the port.
    pub(crate) fn stats(&self) -> PortStats {
        self.counters.read()
    }

    /// Whether this is the first time that it is.
    #[inline]
    fn found_gone(&mut self, sent: Sent) -> bool {
        sent.gone > 0 && !std::mem::replace(&mut self.lost, true)
    }

    /// Those of the frames that are too large for this port.
    #[inline]
    pub(crate) fn oversize(&self, frames: Selection<'_>) -> u64 {
        bits(frames.mask)
            .filter(|index| !frames.batch.frame(*index).fits(self.mtu))
            .fold(0, |mask, index| mask | 1 << index)
    }
}

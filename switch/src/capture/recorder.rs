//! What a worker has to do with captures: it looks on while a batch passes and writes down what
//! is asked for. Nearly always nobody looks on, and the way of a frame is compiled for that alone:
//! [`Witness`] for `()` is nothing at all. When somebody does, the worker takes another copy of
//! the same way ([`Recorders`]), and what it costs is bounded: a filter of bounded length, a copy
//! of bounded length into memory that is there, and never a wait.
//!
//! What became of a frame on its way in, the bridge has said. What became of it on its way out, a
//! port tells as counts of a whole call: so the port's counters, which this worker alone writes,
//! are read before and after. All or none is certain; of some, it is not known which.
//!
//! What leaves by a leg is routed in place: it is copied before, and written down when it is known
//! what has become of it.

use std::{array, time::Instant};

use crate::{
    bridge::Ingress,
    egress::{Egress, Outlet},
    frame::{BATCH_MAX, Batch, Frame, Selection, WIRE_MAX, bits},
    offload::VNET_HEADER_LEN,
    port::{PORTS_MAX, PortId, Tx},
    routing::REASONS_MAX,
    stats::{Counter, Reason},
};

use super::{Wants, filter::Filter, ring::Writer};

/// Who looks on while a worker moves a batch.
#[cfg_attr(not(feature = "router"), expect(dead_code, reason = "only legs are routed by"))]
pub(crate) trait Witness {
    /// Frames came in by a port.
    #[inline]
    fn came(&mut self) {}

    /// The bridge dropped one of them.
    #[inline]
    fn dropped(&mut self, _index: usize, _reason: Reason) {}

    /// All of them are sorted, and will be sent now.
    #[inline]
    fn leaves<T: Tx>(&mut self, _: Ingress, _: Selection<'_>, _: &Egress<T>) {}

    /// A frame that left by a leg is asked about of the router, which may edit it.
    #[inline]
    fn routes(&mut self, _leg: PortId, _frame: Frame<'_>) {}

    /// The router has taken it: it goes on, or ended for the reason with this number.
    #[inline]
    fn routed(&mut self, _leg: PortId, _index: usize, _ended: Option<u8>) {}

    /// These go to the router's slow path now.
    #[inline]
    fn offers<T: Tx>(&mut self, _leg: PortId, _: Selection<'_>, _: &Egress<T>) {}

    /// They were sent.
    #[inline]
    fn left<T: Tx>(&mut self, _batch: Batch<'_>, _egress: &Egress<T>) {}
}

/// Nobody.
impl Witness for () {}

/// One capture, as one worker serves it.
pub struct Recorder {
    /// The number of the capture.
    pub(crate) capture: u64,
    pub(super) ring: Writer,
    /// Since when times are counted.
    pub(super) origin: Instant,
    pub(super) wants: Wants,
    /// For each port number, under which number of its own the capture knows the port.
    interfaces: Box<[Option<u16>]>,
    /// Of the frames of this batch, those that were asked of the filter, and those it takes.
    asked: u64,
    taken: u64,
}

/// What there is to be said of a frame beside its octets. Two words in the ring:
///
/// ```text
/// nanoseconds since the origin, 64
/// octets of the frame as it was, 32 | interface, 12 | outbound, 1 | dropped, 7 | of, 7 | reason, 5
/// ```
///
/// Where the router has dropped it, `dropped` is [`BY_ROUTER`] and `of` the number of the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) nanos: u64,
    pub(super) len: u32,
    pub(super) interface: u16,
    pub(super) outbound: bool,
    /// Why it was dropped, if it was.
    pub(super) reason: Option<Why>,
    /// So many of so many that went the same way were dropped. The same number: this one was.
    pub(super) dropped: u8,
    pub(super) of: u8,
}

/// Who has dropped a frame, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// The bridge, or the port by which it was to leave.
    Switch(Counter),
    /// The router: the number of the reason.
    Router(u8),
}

/// In the place of a number of frames that were dropped: more than there can be.
const BY_ROUTER: u8 = 0x7f;

const _: () = assert!(PORTS_MAX <= 1 << 12 && BATCH_MAX < BY_ROUTER as usize);
const _: () = assert!(REASONS_MAX < 1 << 7);
const _: () = assert!(Counter::ALL.len() < 1 << 5);

impl Entry {
    fn emit(self) -> [u64; 2] {
        let (reason, dropped, of) = match self.reason {
            None => (0, self.dropped, self.of),
            Some(Why::Switch(counter)) => (counter as u64 + 1, self.dropped, self.of),
            Some(Why::Router(number)) => (0, BY_ROUTER, number),
        };
        let counts = u64::from(of) << 5 | u64::from(dropped) << 12;
        let way = u64::from(self.outbound) << 19 | u64::from(self.interface) << 20;
        [self.nanos, u64::from(self.len) << 32 | way | counts | reason]
    }

    pub(super) fn parse([nanos, word]: [u64; 2]) -> Entry {
        let reason = (word as usize & 0x1f).checked_sub(1);
        let reason = reason.and_then(|index| Counter::ALL.get(index).copied());
        let (dropped, of) = ((word >> 12) as u8 & 0x7f, (word >> 5) as u8 & 0x7f);
        let by_router = dropped == BY_ROUTER;
        Entry {
            nanos,
            len: (word >> 32) as u32,
            interface: (word >> 20) as u16 & 0xfff,
            outbound: word >> 19 & 1 != 0,
            reason: if by_router { Some(Why::Router(of)) } else { reason.map(Why::Switch) },
            dropped: if by_router { 1 } else { dropped },
            of: if by_router { 1 } else { of },
        }
    }
}

impl Recorder {
    pub(super) fn new(capture: u64, ring: Writer, origin: Instant, wants: Wants) -> Recorder {
        let interfaces = vec![None; PORTS_MAX].into_boxed_slice();
        Recorder { capture, ring, origin, wants, interfaces, asked: 0, taken: 0 }
    }

    /// From now on the frames of this port are wanted.
    pub(crate) fn listen(&mut self, port: PortId, interface: u16) {
        self.interfaces[port.index()] = Some(interface);
    }

    fn interface(&self, port: PortId) -> Option<u16> {
        self.interfaces[port.index()]
    }

    /// Writes a frame down, if it is wanted.
    fn record(&mut self, entry: Entry, index: usize, frame: Frame<'_>) {
        if self.wants.drops && entry.reason.is_none() {
            return;
        }
        if !self.passes(index, frame) {
            return;
        }
        // Behind its virtio-net header, from which it will be seen what was left to be done.
        let len = (VNET_HEADER_LEN + self.wants.snaplen as usize).min(frame.wire().len());
        let entry = Entry { len: frame.octets().len() as u32, ..entry };
        self.ring.push(usize::from(entry.interface), entry.emit(), &frame.wire()[..len]);
    }

    /// Whether the filter takes it: asked once a frame, however many ways it goes.
    fn passes(&mut self, index: usize, frame: Frame<'_>) -> bool {
        let Some(filter) = &self.wants.filter else { return true };
        let bit = 1 << index;
        if self.asked & bit == 0 {
            self.asked |= bit;
            self.taken |= if Filter::run(filter, frame.octets()) == 0 { 0 } else { bit };
        }
        self.taken & bit != 0
    }
}

/// All captures, as one worker serves them.
pub(crate) struct Recorders {
    all: Vec<Recorder>,
    /// When the batch came that is just passing.
    now: Instant,
    /// Why the bridge dropped frames of it.
    reasons: [Option<Reason>; BATCH_MAX],
    /// How it is being sent.
    leaving: Vec<Leaving>,
    /// A frame before it is routed; nothing: nobody wants to see it.
    before: Vec<u8>,
}

/// The frames that leave by one port, and what its counters were before.
struct Leaving {
    port: PortId,
    mask: u64,
    oversize: u64,
    drops: [u64; DROPS.len()],
}

/// What can befall a frame in sending, the gravest first. That one is too large is seen before.
const DROPS: [Counter; 4] = [Counter::TxGone, Counter::TxDown, Counter::TxFull, Counter::TxRefused];

impl Recorders {
    /// With one recorder.
    pub(crate) fn new(first: Recorder) -> Recorders {
        Recorders {
            now: first.origin,
            all: vec![first],
            reasons: [None; BATCH_MAX],
            leaving: Vec::with_capacity(PORTS_MAX),
            before: Vec::with_capacity(WIRE_MAX),
        }
    }

    pub(crate) fn add(&mut self, recorder: Recorder) {
        self.all.push(recorder);
    }

    /// Takes the recorder of a capture out. `false`: there is none any more.
    pub(crate) fn remove(&mut self, capture: u64) -> bool {
        self.all.retain(|recorder| recorder.capture != capture);
        !self.all.is_empty()
    }

    pub(crate) fn listen(&mut self, capture: u64, port: PortId, interface: u16) {
        let mut all = self.all.iter_mut();
        if let Some(recorder) = all.find(|recorder| recorder.capture == capture) {
            recorder.listen(port, interface);
        }
    }

    /// The port has left: its number may soon be another's.
    pub(crate) fn forget(&mut self, port: PortId) {
        self.all.iter_mut().for_each(|recorder| recorder.interfaces[port.index()] = None);
    }

    fn is_wanted(&self, port: PortId) -> bool {
        self.all.iter().any(|recorder| recorder.interface(port).is_some())
    }

    /// Notes what is about to leave by a port.
    fn leave<T: Tx>(&mut self, port: PortId, frames: Selection<'_>, outlet: &Outlet<T>) {
        if self.is_wanted(port) {
            let (oversize, stats) = (outlet.oversize(frames), outlet.stats());
            let drops = DROPS.map(|counter| stats.get(counter));
            self.leaving.push(Leaving { port, mask: frames.mask, oversize, drops });
        }
    }

    /// Shows some frames of a batch to all who want to know of this port.
    fn show(
        &mut self,
        port: PortId,
        outbound: bool,
        mask: u64,
        batch: Batch<'_>,
        fate: impl Fn(usize) -> Fate,
    ) {
        for recorder in &mut self.all {
            let Some(interface) = recorder.interface(port) else { continue };
            let nanos = self.now.saturating_duration_since(recorder.origin).as_nanos() as u64;
            for index in bits(mask) {
                let Fate { reason, dropped, of } = fate(index);
                let entry = Entry { nanos, len: 0, interface, outbound, reason, dropped, of };
                recorder.record(entry, index, batch.frame(index));
            }
        }
    }
}

/// What became of a frame, as far as it is known.
#[derive(Clone, Copy, Default)]
struct Fate {
    reason: Option<Why>,
    dropped: u8,
    of: u8,
}

impl Fate {
    fn dropped(reason: Counter) -> Fate {
        Fate { reason: Some(Why::Switch(reason)), dropped: 1, of: 1 }
    }
}

impl Witness for Recorders {
    /// Reads the clock: the one time of all that is written of this batch. `now` of the turn is
    /// too coarse, and that of the loop would be before the frames were there.
    fn came(&mut self) {
        self.now = Instant::now();
        self.reasons = [None; BATCH_MAX];
        self.all.iter_mut().for_each(|recorder| (recorder.asked, recorder.taken) = (0, 0));
    }

    fn dropped(&mut self, index: usize, reason: Reason) {
        self.reasons[index] = Some(reason);
    }

    fn leaves<T: Tx>(&mut self, ingress: Ingress, frames: Selection<'_>, egress: &Egress<T>) {
        let reasons = self.reasons;
        let Selection { batch, mask } = frames;
        self.show(ingress.port, false, mask, batch, |index| {
            reasons[index].map_or(Fate::default(), |reason| Fate::dropped(reason.into()))
        });
        self.leaving.clear();
        for (port, frames, outlet) in egress.leaving(ingress, batch) {
            self.leave(port, frames, outlet);
        }
    }

    fn routes(&mut self, leg: PortId, frame: Frame<'_>) {
        self.before.clear();
        if self.is_wanted(leg) {
            self.before.extend(&frame.wire()[..frame.wire().len().min(WIRE_MAX)]);
        }
    }

    fn routed(&mut self, leg: PortId, index: usize, ended: Option<u8>) {
        if self.before.is_empty() {
            return;
        }
        let before = std::mem::take(&mut self.before);
        let reason = ended.map(Why::Router);
        for recorder in &mut self.all {
            let Some(interface) = recorder.interface(leg) else { continue };
            let nanos = self.now.saturating_duration_since(recorder.origin).as_nanos() as u64;
            let (len, outbound) = (0, true);
            let entry = Entry { nanos, len, interface, outbound, reason, dropped: 1, of: 1 };
            // Meanwhile others had this number.
            recorder.asked &= !(1 << index);
            recorder.record(entry, index, Frame::from_wire(&before));
        }
        self.before = before;
    }

    fn offers<T: Tx>(&mut self, leg: PortId, frames: Selection<'_>, egress: &Egress<T>) {
        self.all.iter_mut().for_each(|recorder| recorder.asked &= !frames.mask);
        self.leaving.clear();
        if let Some(outlet) = egress.outlet(leg) {
            self.leave(leg, frames, outlet);
        }
    }

    fn left<T: Tx>(&mut self, batch: Batch<'_>, egress: &Egress<T>) {
        let mut leaving = std::mem::take(&mut self.leaving);
        for Leaving { port, mask, oversize, drops } in &leaving {
            let Some(stats) = egress.stats(*port) else { continue };
            let counts: [u64; DROPS.len()] =
                array::from_fn(|number| stats.get(DROPS[number]) - drops[number]);
            let dropped = counts.iter().sum::<u64>() as u8;
            let gravest = counts.iter().position(|count| *count > 0).map(|number| DROPS[number]);
            let of = (mask & !oversize).count_ones() as u8;
            self.show(*port, true, *mask, batch, |index| {
                if oversize >> index & 1 != 0 {
                    Fate::dropped(Counter::TxOversize)
                } else {
                    Fate { reason: gravest.map(Why::Switch), dropped, of }
                }
            });
        }
        leaving.clear();
        self.leaving = leaving;
        self.all.iter_mut().for_each(|recorder| recorder.ring.publish());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entry_is_taken_apart_and_built_again() {
        let entry = Entry {
            nanos: u64::MAX - 1,
            len: 66_000,
            interface: 4095,
            outbound: true,
            reason: Counter::ALL.last().copied().map(Why::Switch),
            dropped: 63,
            of: 64,
        };
        let other = Entry { outbound: false, reason: None, dropped: 64, of: 0, len: 1, ..entry };
        for entry in [entry, other, Entry { interface: 0, nanos: 0, ..entry }] {
            assert_eq!(Entry::parse(entry.emit()), entry);
        }
        for counter in Counter::ALL {
            let entry = Entry { reason: Some(Why::Switch(*counter)), ..entry };
            assert_eq!(Entry::parse(entry.emit()), entry);
        }
        for number in 0..REASONS_MAX as u8 {
            let reason = Some(Why::Router(number));
            let entry = Entry { reason, dropped: 1, of: 1, ..entry };
            assert_eq!(Entry::parse(entry.emit()), entry);
        }
    }
}

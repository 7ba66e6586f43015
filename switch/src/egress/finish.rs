//! Ports that do not take offloads: their frames are finished here, checksums completed and
//! segments cut, each once for all such ports by which it leaves, however many they are.
//!
//! Frames must leave in the order in which they came, and only some of them have anything left to
//! be done. So the batch is walked through in runs, and each run is offered to all ports before
//! the next one begins:
//!
//! | run | what is sent |
//! |---|---|
//! | frames that are done | they themselves: nothing is copied |
//! | frames without a checksum | copies with one, as many as fit the arena at a time |
//! | one frame to be cut | its segments, a batch of up to [`BATCH_MAX`] at a time |
//!
//! The arena is one worker's, and is filled again for each batch of copies or segments.

use crate::{
    frame::{Arena, BATCH_MAX, Batch, Frame, Lent, Selection, Span, WIRE_MAX, bits},
    offload::{Offload, VNET_HEADER_LEN, checksum, segment::Segments},
    port::{PortId, Tx},
};

use super::{Egress, Outlet};

use std::io;

/// What is done to a frame before a port that takes no offloads gets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// Nothing: it leaves as it came.
    Nothing,
    /// Its checksum is completed.
    Completed,
    /// It is cut into so many segments.
    Cut(usize),
    /// It cannot be finished: what its virtio-net header says is not so, or is more than is done.
    Refused,
}

impl Finish {
    /// What would be done, by the rules by which it is done, to a frame of which nothing is sent.
    pub(crate) fn foresee(frame: Frame<'_>) -> Finish {
        let spans = [Span { start: 0, len: frame.wire().len() as u32 }];
        let finish = match left(Selection { batch: Batch::new(frame.wire(), &spans), mask: 1 }) {
            (0, 0) => return Finish::Nothing,
            (_, 0) => complete(frame, &mut vec![0; WIRE_MAX]).map(|_| Finish::Completed),
            (_, _) => segments(frame).map(|segments| Finish::Cut(segments.count())),
        };
        finish.unwrap_or(Finish::Refused)
    }
}

impl<T: Tx> Egress<T> {
    /// Sends to the ports that wait what their masks say, and lets them wait no longer.
    pub(super) fn finish(&mut self, batch: Batch<'_>, lost: &mut impl FnMut(PortId)) {
        let mut waiting = Waiting { ports: &mut self.ports, waiting: &self.waiting, lost };
        let mut rest = waiting.union();
        let (unfinished, uncut) = left(Selection { batch, mask: rest });
        while rest != 0 {
            let first = 1 << rest.trailing_zeros();
            let run = if uncut & first != 0 {
                waiting.cut(batch.frame(rest.trailing_zeros() as usize), first, &mut self.arena);
                first
            } else if unfinished & first != 0 {
                let run = before(rest & !unfinished) & rest;
                waiting.complete(Selection { batch, mask: run }, &mut self.arena);
                run
            } else {
                let run = before(rest & (unfinished | uncut)) & rest;
                waiting.deliver(Selection { batch, mask: run });
                run
            };
            rest &= !run;
        }
        waiting.end();
        self.waiting.clear();
    }
}

/// The frames whose checksum is all that is to be completed, and those that are to be cut.
fn left(frames: Selection<'_>) -> (u64, u64) {
    bits(frames.mask).fold((0, 0), |(unfinished, uncut), index| {
        let offload = frames.batch.frame(index).offload();
        match (offload.is_done(), offload.gso_kind) {
            (true, _) => (unfinished, uncut),
            (false, 0) => (unfinished | 1 << index, uncut),
            (false, _) => (unfinished, uncut | 1 << index),
        }
    })
}

/// The segments of a frame that is to be cut. `None`: its header lies, or it is too large.
fn segments(frame: Frame<'_>) -> Option<Segments<'_>> {
    let segments = Segments::of(frame.offload(), frame.octets(), frame.packet_start());
    segments.filter(|_| frame.wire().len() <= WIRE_MAX)
}

/// All bits below the lowest of these.
fn before(mask: u64) -> u64 {
    mask.wrapping_sub(1) & !mask
}

/// The ports that wait for their frames.
struct Waiting<'a, T, L> {
    ports: &'a mut [Option<Outlet<T>>],
    waiting: &'a [PortId],
    lost: &'a mut L,
}

impl<T: Tx, L: FnMut(PortId)> Waiting<'_, T, L> {
    /// Does something with each; tells of those that are found gone in it.
    fn each(&mut self, mut offer: impl FnMut(&mut Outlet<T>) -> bool) {
        for port in self.waiting {
            let outlet = self.ports[port.index()].as_mut().expect("a port that is attached");
            if offer(outlet) {
                (self.lost)(*port);
            }
        }
    }

    /// The frames that leave by any of them.
    fn union(&mut self) -> u64 {
        let mut union = 0;
        self.each(|outlet| {
            union |= outlet.mask;
            false
        });
        union
    }

    /// Frames that are done.
    fn deliver(&mut self, frames: Selection<'_>) {
        self.each(|outlet| outlet.deliver(Selection { mask: frames.mask & outlet.mask, ..frames }));
    }

    /// Frames of which only the checksum is missing.
    fn complete(&mut self, frames: Selection<'_>, arena: &mut Arena) {
        let mut rest = bits(frames.mask).peekable();
        let mut refused = 0;
        while rest.peek().is_some() {
            // Which frame each copy is of.
            let (mut indices, mut count) = ([0; BATCH_MAX], 0);
            let copies = fill(arena, |room| {
                loop {
                    let index = rest.next()?;
                    let Some(len) = complete(frames.batch.frame(index), room) else {
                        refused |= 1 << index;
                        continue;
                    };
                    indices[count] = index;
                    count += 1;
                    return Some(len);
                }
            });
            let indices = &indices[..copies.len()];
            self.each(|outlet| {
                let leaving =
                    indices.iter().enumerate().filter(|(_, of)| outlet.mask >> **of & 1 != 0);
                let mask = leaving.fold(0, |mask, (copy, _)| mask | 1 << copy);
                outlet.deliver(Selection { batch: copies, mask })
            });
        }
        self.refuse(refused);
    }

    /// A frame that is to be cut: bit `mask` of the ports' masks.
    fn cut(&mut self, frame: Frame<'_>, mask: u64, arena: &mut Arena) {
        let Some(mut segments) = segments(frame) else { return self.refuse(mask) };
        loop {
            let batch = fill(arena, |room| segments.cut(room));
            if batch.is_empty() {
                break;
            }
            let all = u64::MAX >> (BATCH_MAX - batch.len());
            self.each(|outlet| {
                outlet.mask & mask != 0 && outlet.deliver_cut(Selection { batch, mask: all })
            });
        }
        self.each(|outlet| {
            if outlet.mask & mask != 0 {
                outlet.end_cut();
            }
            false
        });
    }

    fn refuse(&mut self, mask: u64) {
        self.each(|outlet| {
            outlet.refuse(mask);
            false
        });
    }

    /// All was sent.
    fn end(&mut self) {
        self.each(|outlet| {
            outlet.mask = 0;
            false
        });
    }
}

/// Fills a batch with what `write` writes, until that has nothing more or the batch is full.
fn fill(arena: &mut Arena, mut write: impl FnMut(&mut [u8]) -> Option<usize>) -> Batch<'_> {
    let batch = arena.fill(|room| write(room).ok_or(io::ErrorKind::WouldBlock.into()));
    batch.map_or(Batch::EMPTY, Lent::into_batch)
}

/// Writes a copy of a frame whose checksum is completed. `None`: its header lies.
pub(crate) fn complete(frame: Frame<'_>, room: &mut [u8]) -> Option<usize> {
    let (octets, offload) = (frame.octets(), frame.offload());
    let copy = room.get_mut(..VNET_HEADER_LEN + octets.len())?;
    copy[..VNET_HEADER_LEN].copy_from_slice(&Offload::NONE.emit());
    copy[VNET_HEADER_LEN..].copy_from_slice(octets);
    let (start, offset) = (usize::from(offload.csum_start), usize::from(offload.csum_offset));
    let completed = checksum::complete(&mut copy[VNET_HEADER_LEN..], start, offset);
    completed.then_some(copy.len())
}

#[cfg(test)]
mod tests {
    use std::{
        collections::HashSet,
        sync::{Arc, Mutex},
    };

    use super::*;
    use crate::{
        bridge::{BridgeId, Ingress},
        offload::sample::Sample,
        port::Sent,
        stats::{Counter, PortCounters},
    };

    const INGRESS: usize = 9;

    /// A port that notes what it was given, and where that lay.
    #[derive(Clone, Default)]
    struct Probe {
        calls: Arc<Mutex<Vec<Call>>>,
        takes_offloads: bool,
        /// What becomes of frames, one after the other; taken, if it says no more.
        fates: Arc<Mutex<Vec<Fate>>>,
        mtu: u32,
    }

    /// Where each frame lay, and its octets.
    type Call = Vec<(usize, Vec<u8>)>;

    #[derive(Clone, Copy, PartialEq)]
    enum Fate {
        Taken,
        Full,
        Gone,
    }

    impl Tx for Probe {
        fn mtu(&self) -> u32 {
            self.mtu
        }

        fn takes_offloads(&self) -> bool {
            self.takes_offloads
        }

        fn clone_for(&self, _worker: usize) -> io::Result<Probe> {
            Ok(self.clone())
        }

        fn send(&mut self, frames: Selection<'_>) -> Sent {
            let note = |frame: Frame<'_>| (frame.wire().as_ptr().addr(), frame.wire().to_vec());
            self.calls.lock().unwrap().push(frames.frames().map(note).collect());
            let mut sent = Sent::default();
            for frame in frames.frames() {
                let mut fates = self.fates.lock().unwrap();
                match if fates.is_empty() { Fate::Taken } else { fates.remove(0) } {
                    Fate::Taken => sent.took(frame),
                    Fate::Full => sent.full += 1,
                    Fate::Gone => sent.gone += 1,
                }
            }
            sent
        }
    }

    /// Ports that take offloads and others, and a batch that leaves by them.
    struct Bench {
        egress: Egress<Probe>,
        probes: Vec<Probe>,
        counters: Vec<Arc<PortCounters>>,
        memory: Vec<u8>,
        spans: Vec<Span>,
    }

    fn bench(takes_offloads: &[bool], wires: &[Vec<u8>]) -> Bench {
        let mut egress = Egress::new();
        let (mut probes, mut counters) = (Vec::new(), Vec::new());
        for (number, takes_offloads) in takes_offloads.iter().enumerate() {
            let probe = Probe { takes_offloads: *takes_offloads, mtu: 1500, ..Probe::default() };
            let block = Arc::new(PortCounters::default());
            egress.attach(PortId::new(number), BridgeId::FIRST, probe.clone(), block.clone());
            probes.push(probe);
            counters.push(block);
        }
        let mut spans: Vec<Span> = Vec::new();
        for wire in wires {
            let start = spans.last().map_or(0, |span| span.start + span.len);
            spans.push(Span { start, len: wire.len() as u32 });
        }
        Bench { egress, probes, counters, memory: wires.concat(), spans }
    }

    impl Bench {
        /// Floods all frames but those that are for one port alone.
        fn send(&mut self, alone: &[(usize, usize)]) -> Vec<PortId> {
            let batch = Batch::new(&self.memory, &self.spans);
            for index in 0..batch.len() {
                match alone.iter().find(|(frame, _)| *frame == index) {
                    Some((_, port)) => assert!(self.egress.sort(PortId::new(*port), index)),
                    None => self.egress.sort_to_all(index),
                }
            }
            let mut lost = Vec::new();
            let ingress = Ingress { port: PortId::new(INGRESS), bridge: BridgeId::FIRST };
            self.egress.send(ingress, batch, |port| lost.push(port));
            lost
        }

        fn received(&self, port: usize) -> Vec<Vec<u8>> {
            let calls = self.probes[port].calls.lock().unwrap();
            calls.iter().flatten().map(|(_, wire)| wire.clone()).collect()
        }

        fn places(&self, port: usize) -> Vec<usize> {
            let calls = self.probes[port].calls.lock().unwrap();
            calls.iter().flatten().map(|(place, _)| *place).collect()
        }

        fn calls(&self, port: usize) -> Vec<usize> {
            self.probes[port].calls.lock().unwrap().iter().map(Vec::len).collect()
        }

        fn count(&self, port: usize, counter: Counter) -> u64 {
            self.counters[port].read().get(counter)
        }
    }

    /// A frame that is done; one whose checksum is not; one of three segments.
    fn plain(number: u8) -> Vec<u8> {
        [&[0; VNET_HEADER_LEN][..], &[2; 6], &[4; 6], &[0x88, 0xb5], &[number; 46]].concat()
    }

    fn unfinished(number: u32) -> Vec<u8> {
        Sample { size: None, sequence: number, ..Sample::tcp(20) }.wire()
    }

    fn large(number: u32) -> Vec<u8> {
        Sample { sequence: number, ..Sample::tcp(3000) }.wire()
    }

    fn finished(wire: &[u8]) -> Vec<Vec<u8>> {
        let (frame, mut room) = (Frame::from_wire(wire), vec![0; WIRE_MAX]);
        if frame.offload().is_done() {
            return vec![wire.to_vec()];
        }
        if frame.offload().gso_kind == 0 {
            let len = complete(frame, &mut room).unwrap();
            return vec![room[..len].to_vec()];
        }
        let segments = Segments::of(frame.offload(), frame.octets(), frame.packet_start());
        let mut segments = segments.unwrap();
        std::iter::from_fn(|| segments.cut(&mut room).map(|len| room[..len].to_vec())).collect()
    }

    #[test]
    fn port_with_offloads_gets_a_frame_whole_and_one_without_gets_its_segments() {
        let mut bench = bench(&[true, false], &[large(1)]);
        bench.send(&[]);
        assert_eq!(bench.received(0), [large(1)]);
        assert_eq!(bench.received(1), finished(&large(1)));
        assert_eq!(bench.calls(1), [3]);
        let counts = |port| {
            [Counter::TxFrames, Counter::TxCut, Counter::TxSegments, Counter::TxOctets]
                .map(|counter| bench.count(port, counter))
        };
        assert_eq!(counts(0), [1, 0, 0, 3066]);
        assert_eq!(counts(1), [1, 1, 3, 3000 + 3 * 66]);
    }

    #[test]
    fn frames_leave_each_port_in_the_order_in_which_they_came() {
        let wires: Vec<_> = (0..60)
            .map(|number| match number * 7 % 5 {
                0 => large(number),
                1 | 2 => unfinished(number),
                _ => plain(number as u8),
            })
            .collect();
        let mut bench = bench(&[true, false, false], &wires);
        let alone: Vec<_> = (0..60).step_by(7).map(|frame| (frame, frame % 3)).collect();
        bench.send(&alone);
        for port in 0..3 {
            let leaves = |index: &usize| {
                alone.iter().find(|(frame, _)| frame == index).is_none_or(|(_, to)| *to == port)
            };
            let wires = (0..60).filter(leaves).map(|index| &wires[index]);
            let expected: Vec<_> = match port {
                0 => wires.cloned().collect(),
                _ => wires.flat_map(|wire| finished(wire)).collect(),
            };
            assert!(bench.received(port) == expected, "port {port}");
        }
        assert_eq!(bench.count(1, Counter::TxFrames), bench.received(0).len() as u64);
    }

    #[test]
    fn flood_to_many_ports_is_cut_and_completed_once() {
        let mut bench = bench(&[false; 5], &[large(1), unfinished(2), plain(3)]);
        bench.send(&[]);
        let places: HashSet<_> = (0..5).map(|port| bench.places(port)).collect();
        assert_eq!(places.len(), 1, "all ports were lent the same memory");
        // What was done when it came is not copied.
        let own = bench.memory.as_ptr().addr() + bench.spans[2].start as usize;
        assert_eq!(bench.places(0).last(), Some(&own));
    }

    /// Each run is one call: as many small frames as a batch has, and segments likewise.
    #[test]
    fn ports_are_called_once_for_many_frames() {
        let wires: Vec<_> = (0..BATCH_MAX as u32).map(unfinished).collect();
        let mut many = bench(&[false], &wires);
        many.send(&[]);
        assert_eq!(many.calls(0), [BATCH_MAX]);
        let small = Sample { size: Some(300), ..Sample::tcp(300 * 150) };
        let mut one = bench(&[false], &[small.wire()]);
        one.send(&[]);
        assert_eq!(one.calls(0), [64, 64, 22]);
        assert_eq!(one.received(0), finished(&small.wire()));
    }

    #[test]
    fn frames_larger_than_the_arena_are_completed_some_at_a_time() {
        let wires = vec![Sample { size: None, ..Sample::tcp(65_000) }.wire(); 7];
        let mut bench = bench(&[false], &[]);
        bench.egress.detach(PortId::new(0));
        let probe = Probe { mtu: 65_535, ..Probe::default() };
        bench.egress.attach(
            PortId::new(0),
            BridgeId::FIRST,
            probe.clone(),
            bench.counters[0].clone(),
        );
        bench.probes = vec![probe];
        bench.memory = wires.concat();
        let len = wires[0].len() as u32;
        bench.spans = (0..7).map(|number| Span { start: number * len, len }).collect();
        bench.send(&[]);
        assert_eq!(bench.calls(0), [3, 3, 1]);
        assert!(bench.received(0).iter().all(|wire| *wire == finished(&wires[0])[0]));
    }

    #[test]
    fn cut_frame_counts_once_as_sent_or_as_what_befell_its_first_segment() {
        let mut bench = bench(&[false; 2], &[large(1), large(2)]);
        *bench.probes[1].fates.lock().unwrap() = vec![Fate::Taken, Fate::Full];
        bench.send(&[]);
        let counts = |port| {
            [Counter::TxFrames, Counter::TxFull, Counter::TxCut, Counter::TxSegments]
                .map(|counter| bench.count(port, counter))
        };
        assert_eq!(counts(0), [2, 0, 2, 6]);
        assert_eq!(counts(1), [1, 1, 2, 5]);
        let missing = bench.count(0, Counter::TxOctets) - bench.count(1, Counter::TxOctets);
        assert_eq!(missing, 1448 + 66);
    }

    #[test]
    fn segment_that_is_lost_is_not_forgotten_when_others_follow_in_another_batch() {
        let small = Sample { size: Some(300), ..Sample::tcp(300 * 150) };
        let mut bench = bench(&[false], &[small.wire()]);
        *bench.probes[0].fates.lock().unwrap() = vec![Fate::Full];
        bench.send(&[]);
        assert_eq!(bench.count(0, Counter::TxFull), 1);
        assert_eq!(bench.count(0, Counter::TxFrames), 0);
        assert_eq!(bench.count(0, Counter::TxSegments), 149);
    }

    #[test]
    fn port_that_goes_amid_the_segments_is_told_once_and_the_rest_goes_on() {
        let mut bench = bench(&[false; 2], &[large(1), unfinished(2)]);
        *bench.probes[0].fates.lock().unwrap() =
            vec![Fate::Taken, Fate::Gone, Fate::Gone, Fate::Gone];
        assert_eq!(bench.send(&[]), [PortId::new(0)]);
        assert_eq!(bench.count(0, Counter::TxGone), 2);
        assert_eq!(bench.count(1, Counter::TxFrames), 2);
    }

    #[test]
    fn frame_whose_header_lies_is_refused_where_it_had_to_be_finished() {
        let mut beyond = unfinished(1);
        beyond[6..8].copy_from_slice(&4000u16.to_le_bytes());
        let mut unknown = Sample::tcp(100).wire();
        unknown[1] = 3;
        let wires = [beyond, unfinished(2), unknown, plain(3)];
        let mut bench = bench(&[true, false], &wires);
        bench.send(&[]);
        assert_eq!(bench.received(0), wires);
        assert_eq!(bench.received(1), [finished(&wires[1]).remove(0), plain(3)]);
        assert_eq!(bench.count(1, Counter::TxRefused), 2);
        assert_eq!(bench.count(1, Counter::TxFrames), 2);
        assert_eq!(bench.count(0, Counter::TxRefused), 0);
    }

    #[test]
    fn frame_whose_segments_are_too_large_is_dropped_whole() {
        let wide = Sample { size: Some(1449), ..Sample::tcp(3000) }.wire();
        let mut bench = bench(&[false], &[wide, large(1)]);
        bench.send(&[]);
        assert_eq!(bench.received(0), finished(&large(1)));
        assert_eq!(bench.count(0, Counter::TxOversize), 1);
        // Nothing is left of this turn for the next one.
        bench.send(&[]);
        assert_eq!(bench.count(0, Counter::TxFrames), 2);
        assert_eq!(bench.count(0, Counter::TxOversize), 2);
    }
}

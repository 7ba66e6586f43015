//! A worker: one thread that owns the receiving halves of some ports and a sending half of every
//! port. [`Worker::turn`] is the whole way of a batch, and there is nothing else between device
//! and device: no queue, lock, allocation, clock, log line or other thread.
//!
//! ```text
//! rx.recv()        the kernel writes into our arena                     port/
//! bridge.parse()   two addresses, and where the table has them          bridge.rs
//! bridge.decide()  learn the source, look up the destination            fdb.rs
//! Egress::sort()   one bit for each frame in the mask of its port       egress.rs
//! tx.send()        one call a port with all its frames, in order        port/
//! ```
//!
//! Round it, run.rs waits, reads the clock and takes commands. In a simulation nobody runs it:
//! there the test calls `turn`, and decides whose turn it is and what time it is.

use std::{io, os::fd::BorrowedFd, sync::Arc};

#[cfg(feature = "router")]
use uswitch_router::neighbour::resolved::Resolved;

#[cfg(feature = "router")]
use crate::routing::Routes;
use crate::{
    bridge::{Addressed, Bridge, BridgeId, Decision, GroupForward, Ingress, Verdict},
    capture::recorder::{Recorder, Recorders, Witness},
    egress::Egress,
    fdb::{Learn, Tick},
    frame::{Arena, BATCH_MAX, Mac},
    port::{Port, PortId, Rx, Tx},
    routing::{Crossing, Routing},
    stats::{Counter, PortCounters, PortStats, Reason},
};

/// The data plane of one thread.
pub struct Worker<P: Port> {
    bridge: Bridge,
    arena: Arena,
    addressed: Box<[Option<Addressed>; BATCH_MAX]>,
    queues: Vec<Option<Queue<P::Rx>>>,
    egress: Egress<P::Tx>,
    lost: Vec<Lost>,
    moved: Option<Moved>,
    /// Who looks on. `None`, nearly always: nobody.
    recorders: Option<Box<Recorders>>,
    /// `None`: no port is a router's leg.
    routing: Option<Box<Routing>>,
}

/// One receiving half and its port.
struct Queue<R> {
    ingress: Ingress,
    rx: R,
    counters: Arc<PortCounters>,
    /// It was found gone and told; it is no longer asked.
    lost: bool,
}

/// A station that was heard behind another port than before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    /// Whose address.
    pub station: Mac,
    /// Behind which port it was.
    pub from: PortId,
    /// Behind which it is now.
    pub to: PortId,
}

/// A port of which one half found that it is gone.
#[derive(Debug)]
pub struct Lost {
    /// Which one.
    pub port: PortId,
    /// The queue that found it, if it was not found in sending.
    pub queue: Option<usize>,
    /// What the system said, if it said something.
    pub error: Option<io::Error>,
}

impl<P: Port> Worker<P> {
    /// A worker without ports.
    pub fn new(bridge: Bridge) -> Worker<P> {
        Worker {
            bridge,
            arena: Arena::new(),
            addressed: Box::new([None; BATCH_MAX]),
            queues: Vec::new(),
            egress: Egress::new(),
            lost: Vec::new(),
            moved: None,
            recorders: None,
            routing: None,
        }
    }

    /// Gives the worker a sending half. From now on it may forward to this port of this bridge.
    /// `counters` is the block of this worker and this port.
    pub fn attach(
        &mut self,
        port: PortId,
        bridge: BridgeId,
        tx: P::Tx,
        counters: Arc<PortCounters>,
    ) {
        self.egress.attach(port, bridge, tx, counters);
    }

    /// Gives the worker a receiving half of a port that every worker has attached, and says by
    /// which number [`Worker::turn`] knows it.
    pub fn receive(
        &mut self,
        port: PortId,
        bridge: BridgeId,
        rx: P::Rx,
        counters: Arc<PortCounters>,
    ) -> usize {
        let ingress = Ingress { port, bridge };
        let queue = Some(Queue { ingress, rx, counters, lost: false });
        let free = self.queues.iter().position(Option::is_none).unwrap_or(self.queues.len());
        if free == self.queues.len() {
            self.queues.push(queue);
        } else {
            self.queues[free] = queue;
        }
        free
    }

    /// Takes both halves of a port away from the worker and closes them.
    pub fn detach(&mut self, port: PortId) {
        for queue in &mut self.queues {
            queue.take_if(|queue| queue.ingress.port == port);
        }
        self.egress.detach(port);
        if let Some(recorders) = &mut self.recorders {
            recorders.forget(port);
        }
    }

    /// From now on it writes down for a capture what passes.
    pub fn record(&mut self, recorder: Recorder) {
        match &mut self.recorders {
            Some(recorders) => recorders.add(recorder),
            none => *none = Some(Box::new(Recorders::new(recorder))),
        }
    }

    /// The frames of this port are wanted for a capture, where it has this number.
    pub fn record_port(&mut self, capture: u64, port: PortId, interface: u16) {
        if let Some(recorders) = &mut self.recorders {
            recorders.listen(capture, port, interface);
        }
    }

    /// Writes no more for this capture.
    pub fn end_record(&mut self, capture: u64) {
        self.recorders.take_if(|recorders| !recorders.remove(capture));
    }

    /// From now on packets that leave by legs are routed so. Routers of several workers have the
    /// same secret seed.
    #[cfg(feature = "router")]
    pub fn route(&mut self, routes: Routes, seed: u64) {
        match &mut self.routing {
            Some(routing) => routing.swap(routes),
            none => *none = Some(Box::new(Routing::new(routes, seed))),
        }
    }

    /// The router knows these neighbours from now on, if it routes by this generation of routes.
    #[cfg(feature = "router")]
    pub fn know(&mut self, generation: u64, neighbours: Arc<Resolved>) {
        if let Some(routing) = &mut self.routing {
            routing.know(generation, neighbours);
        }
    }

    /// What became of packets. `None`: there is no router.
    #[cfg(feature = "router")]
    pub fn routed(&self) -> Option<&uswitch_router::stats::Stats> {
        Some(self.routing.as_ref()?.stats())
    }

    /// From now on this becomes of frames for reserved addresses.
    pub fn set_group_forward(&mut self, group_forward: GroupForward) {
        self.bridge.set_group_forward(group_forward);
    }

    /// Moves one batch from one queue to where it belongs, and says how many frames it was.
    /// A port that turns out to be gone is no longer asked; [`Worker::lost`] tells.
    #[inline]
    pub fn turn(&mut self, queue: usize, now: Tick) -> usize {
        // All that a capture costs when there is none.
        if self.recorders.is_some() {
            return self.turn_recorded(queue, now);
        }
        self.turn_before(queue, now, &mut ())
    }

    /// The same turn, while somebody looks on: out of line, lest it be in the way of the other.
    #[cold]
    #[inline(never)]
    fn turn_recorded(&mut self, queue: usize, now: Tick) -> usize {
        let mut recorders = self.recorders.take().expect("it was seen that there are some");
        let frames = self.turn_before(queue, now, &mut *recorders);
        self.recorders = Some(recorders);
        frames
    }

    #[inline]
    fn turn_before<W: Witness>(&mut self, queue: usize, now: Tick, witness: &mut W) -> usize {
        let number = queue;
        let Some(Some(Queue { ingress, rx, counters, lost: lost @ false })) =
            self.queues.get_mut(number)
        else {
            return 0;
        };
        let ingress = *ingress;
        let mut lent = match rx.recv(&mut self.arena) {
            Ok(lent) => lent,
            Err(error) => {
                *lost = true;
                let port = ingress.port;
                self.lost.push(Lost { port, queue: Some(number), error: Some(error) });
                return 0;
            }
        };
        let batch = lent.batch();
        if batch.is_empty() {
            return 0;
        }
        witness.came();
        let mut tally = PortStats::default();
        // Kept from turn to turn, because to clear it costs as much as a frame.
        let addressed = &mut self.addressed[..batch.len()];
        for (addressed, frame) in addressed.iter_mut().zip(batch.frames()) {
            *addressed = self.bridge.parse(ingress.bridge, frame.octets());
            tally.add(Counter::RxOctets, frame.octets().len() as u64);
        }
        tally.add(Counter::RxFrames, batch.len() as u64);
        let notes = Notes { tally: &mut tally, moved: &mut self.moved, witness };
        decide(&self.bridge, &mut self.egress, ingress, addressed, now, notes);
        let egress = &mut self.egress;
        let routed = self.routing.as_mut().is_some_and(|routing| routing.take(egress));
        // What was taken is seen when it is decided about.
        witness.leaves(ingress, batch.all(), &self.egress);
        self.egress.send(ingress, batch, |port| {
            self.lost.push(Lost { port, queue: None, error: None });
        });
        witness.left(batch, &self.egress);
        let frames = batch.len();
        if let Some(routing) = self.routing.as_mut().filter(|_| routed) {
            let Worker { bridge, egress, lost, moved, .. } = self;
            Crossing { bridge, egress, lost, moved, witness, now }.route(routing, &mut lent);
        }
        rx.give_back();
        for (counter, count) in tally.iter() {
            counters.add(counter, count);
        }
        frames
    }

    /// The numbers of the queues that are there, each with its port.
    pub fn queues(&self) -> impl Iterator<Item = (usize, PortId)> + Clone {
        let queues = self.queues.iter().enumerate();
        queues.filter_map(|(number, queue)| Some((number, queue.as_ref()?.ingress.port)))
    }

    /// What a queue sleeps on: `None` if there is no such queue, or nothing to sleep on.
    pub fn wait_on(&self, queue: usize) -> Option<BorrowedFd<'_>> {
        self.queues.get(queue)?.as_ref()?.rx.wait_on()
    }

    /// Whether a queue may be asked again at no cost ([`Rx::asks_freely`]).
    #[inline]
    pub fn asks_freely(&self, queue: usize) -> bool {
        self.queues.get(queue).is_some_and(|queue| {
            queue.as_ref().is_some_and(|queue| !queue.lost && queue.rx.asks_freely())
        })
    }

    /// The ports that were found gone since the last call.
    pub fn lost(&mut self) -> std::vec::Drain<'_, Lost> {
        self.lost.drain(..)
    }

    /// The last station that moved since the last call.
    pub fn moved(&mut self) -> Option<Moved> {
        self.moved.take()
    }
}

/// Where is noted what is decided.
pub(crate) struct Notes<'a, W> {
    pub(crate) tally: &'a mut PortStats,
    pub(crate) moved: &'a mut Option<Moved>,
    pub(crate) witness: &'a mut W,
}

/// Decides about all frames of a batch and sorts them by the ports by which they leave.
#[inline]
fn decide<T: Tx, W: Witness>(
    bridge: &Bridge,
    egress: &mut Egress<T>,
    ingress: Ingress,
    addressed: &[Option<Addressed>],
    now: Tick,
    mut notes: Notes<'_, W>,
) {
    let others = egress.others(ingress);
    bridge.decide_all(ingress.port, addressed, now, |index, decision| {
        sort(egress, (ingress, others), (index, addressed[index]), decision, &mut notes);
    });
}

/// Sorts a frame by the ports by which it leaves. `others`: so many would be reached by a flood.
#[inline]
pub(crate) fn sort<T: Tx, W: Witness>(
    egress: &mut Egress<T>,
    (ingress, others): (Ingress, u64),
    (index, frame): (usize, Option<Addressed>),
    decision: Decision,
    notes: &mut Notes<'_, W>,
) {
    let Notes { tally, moved, witness } = notes;
    match decision.learn {
        None | Some(Learn::Known) => {}
        Some(Learn::New) => tally.add(Counter::LearnNew, 1),
        Some(Learn::Moved { from }) => {
            tally.add(Counter::LearnMoved, 1);
            **moved = frame.map(|frame| {
                let station = frame.source();
                Moved { station, from, to: ingress.port }
            });
        }
        Some(Learn::Quota) => tally.add(Counter::LearnQuota, 1),
        Some(Learn::Full) => tally.add(Counter::LearnFull, 1),
        Some(Learn::Static) => tally.add(Counter::LearnStatic, 1),
    }
    let mut drop = |reason: Reason| {
        tally.add(reason.into(), 1);
        witness.dropped(index, reason);
    };
    match decision.verdict.among(others) {
        Verdict::Flood => {
            egress.sort_to_all(index);
            tally.add(Counter::RxFlooded, 1);
            tally.add(Counter::RxCopies, others);
        }
        Verdict::Forward(port) if egress.sort(port, index) => {
            tally.add(Counter::RxForwarded, 1);
        }
        Verdict::Forward(_) => drop(Reason::Detached),
        Verdict::Drop(reason) => drop(reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        fdb::{Fdb, FdbConfig},
        frame::Mac,
        port::memory::{Memory, cable},
    };

    const A: Mac = Mac::new([2, 0, 0, 0, 0, 0xa]);
    const B: Mac = Mac::new([2, 0, 0, 0, 0, 0xb]);
    const NOW: Tick = Tick::from_millis(0);

    fn frame(to: Mac, from: Mac, number: u8, len: usize) -> Vec<u8> {
        let mut octets = [&to.octets()[..], &from.octets(), &[0x88, 0xb5, number]].concat();
        octets.resize(len, number);
        octets
    }

    /// A worker with ports, the hosts at their other ends, and the counters.
    struct Bench {
        worker: Worker<Memory>,
        hosts: Vec<Memory>,
        counters: Vec<Arc<PortCounters>>,
    }

    fn bench(mtus: &[u32], frames: usize) -> Bench {
        let ports = mtus.iter().map(|mtu| (*mtu, BridgeId::FIRST));
        bench_of(&ports.collect::<Vec<_>>(), frames)
    }

    fn bench_of(ports: &[(u32, BridgeId)], frames: usize) -> Bench {
        let fdb = Arc::new(Fdb::new(&FdbConfig::default()));
        let mut worker = Worker::new(Bridge::new(fdb.clone(), GroupForward::Standard));
        let (mut hosts, mut counters) = (Vec::new(), Vec::new());
        for (index, (mtu, bridge)) in ports.iter().enumerate() {
            let (host, plug) = cable(*mtu, frames);
            let (mut rx, tx) = plug.split().unwrap();
            let block = Arc::new(PortCounters::default());
            let port = PortId::new(index);
            fdb.attach(port, None);
            worker.attach(port, *bridge, tx, block.clone());
            let queue = worker.receive(port, *bridge, rx.remove(0), block.clone());
            assert_eq!(queue, index);
            hosts.push(host);
            counters.push(block);
        }
        Bench { worker, hosts, counters }
    }

    impl Bench {
        fn count(&self, port: usize, counter: Counter) -> u64 {
            self.counters[port].read().get(counter)
        }

        fn received(&mut self, port: usize) -> Vec<Vec<u8>> {
            std::iter::from_fn(|| self.hosts[port].take()).collect()
        }
    }

    #[test]
    fn unicast_and_flooded_frames_leave_in_the_order_in_which_they_came() {
        let mut bench = bench(&[1500; 3], 100);
        bench.hosts[1].put(&frame(A, B, 0, 60));
        bench.worker.turn(1, NOW);
        bench.received(0);
        bench.received(2);
        let frames: Vec<_> = (0..20)
            .map(|i| frame(if i % 3 == 0 { Mac::BROADCAST } else { B }, A, i, 60 + usize::from(i)))
            .collect();
        for frame in &frames {
            assert!(bench.hosts[0].put(frame));
        }
        assert_eq!(bench.worker.turn(0, NOW), 20);
        assert_eq!(bench.received(1), frames);
        let flooded: Vec<_> = frames.iter().step_by(3).cloned().collect();
        assert_eq!(bench.received(2), flooded);
        assert_eq!(bench.received(0), Vec::<Vec<u8>>::new());
        assert_eq!(bench.count(0, Counter::RxFlooded), 7);
        assert_eq!(bench.count(0, Counter::RxCopies), 14);
        assert_eq!(bench.count(0, Counter::RxForwarded), 13);
        assert_eq!(bench.count(1, Counter::TxFrames), 20);
    }

    #[test]
    fn too_large_frame_is_dropped_whole_and_the_others_pass() {
        let mut bench = bench(&[9000, 1500, 9000], 100);
        for (number, len) in [(1, 1514), (2, 1515), (3, 60)] {
            bench.hosts[0].put(&frame(Mac::BROADCAST, A, number, len));
        }
        bench.worker.turn(0, NOW);
        let numbers = |frames: Vec<Vec<u8>>| frames.iter().map(|f| f[14]).collect::<Vec<_>>();
        assert_eq!(numbers(bench.received(1)), [1, 3]);
        assert_eq!(numbers(bench.received(2)), [1, 2, 3]);
        assert_eq!(bench.count(1, Counter::TxOversize), 1);
    }

    #[test]
    fn full_port_costs_its_own_frames_and_nobody_elses() {
        let mut bench = bench(&[1500; 3], 4);
        for _ in 0..4 {
            bench.hosts[0].put(&frame(Mac::BROADCAST, A, 0, 60));
        }
        bench.worker.turn(0, NOW);
        bench.received(2);
        bench.hosts[0].put(&frame(Mac::BROADCAST, A, 1, 60));
        bench.worker.turn(0, NOW);
        assert_eq!(bench.count(1, Counter::TxFull), 1);
        assert_eq!(bench.count(2, Counter::TxFull), 0);
        assert_eq!(bench.received(2).len(), 1);
    }

    #[test]
    fn port_that_is_gone_is_told_once_by_each_half_and_the_rest_goes_on() {
        let mut bench = bench(&[1500; 3], 100);
        bench.hosts[1].unplug();
        for _ in 0..2 {
            bench.hosts[0].put(&frame(Mac::BROADCAST, A, 0, 60));
            bench.worker.turn(0, NOW);
            bench.worker.turn(1, NOW);
        }
        let lost: Vec<_> = bench.worker.lost().map(|lost| (lost.port, lost.queue)).collect();
        assert_eq!(lost, [(PortId::new(1), None), (PortId::new(1), Some(1))]);
        assert_eq!(bench.count(1, Counter::TxGone), 2);
        assert_eq!(bench.received(2).len(), 2);
    }

    #[test]
    fn bridges_of_one_switch_know_nothing_of_each_other() {
        let bridges = [0, 0, 1, 1].map(BridgeId::new);
        let mut bench = bench_of(&bridges.map(|bridge| (1500, bridge)), 100);
        // The same station on both.
        bench.hosts[1].put(&frame(B, A, 1, 60));
        bench.hosts[3].put(&frame(B, A, 2, 60));
        bench.worker.turn(1, NOW);
        bench.worker.turn(3, NOW);
        assert_eq!(bench.received(0), [frame(B, A, 1, 60)]);
        assert_eq!(bench.received(2), [frame(B, A, 2, 60)]);
        bench.hosts[0].put(&frame(A, B, 3, 60));
        bench.hosts[2].put(&frame(A, B, 4, 60));
        bench.worker.turn(0, NOW);
        bench.worker.turn(2, NOW);
        assert_eq!(bench.received(1), [frame(A, B, 3, 60)]);
        assert_eq!(bench.received(3), [frame(A, B, 4, 60)]);
        assert_eq!(
            (bench.count(0, Counter::LearnMoved), bench.count(0, Counter::RxCopies)),
            (0, 0)
        );
        // Alone on its bridge, whoever is on others.
        bench.worker.detach(PortId::new(3));
        bench.hosts[2].put(&frame(Mac::BROADCAST, B, 5, 60));
        bench.worker.turn(2, NOW);
        assert_eq!(bench.count(2, Counter::FilterAlone), 1);
        assert!(bench.received(0).is_empty() && bench.received(1).is_empty());
    }

    #[test]
    fn flood_without_other_ports_and_frame_for_a_port_that_left_are_counted() {
        let mut bench = bench(&[1500; 2], 100);
        bench.hosts[1].put(&frame(Mac::BROADCAST, B, 0, 60));
        bench.worker.turn(1, NOW);
        bench.worker.detach(PortId::new(1));
        bench.hosts[0].put(&frame(B, A, 0, 60));
        bench.hosts[0].put(&frame(Mac::BROADCAST, A, 0, 60));
        assert_eq!(bench.worker.turn(0, NOW), 2);
        assert_eq!(bench.count(0, Counter::FilterDetached), 1);
        assert_eq!(bench.count(0, Counter::FilterAlone), 1);
        assert_eq!(bench.worker.queues().map(|(queue, _)| queue).collect::<Vec<_>>(), [0]);
    }
}

//! How frames cross from bridge to bridge.
//!
//! The slow path hears frames in the order in which they came: those of a flood go up with those
//! that left by the leg alone. What is left is a packet that goes back into the bridge from which
//! it came (one leg, two links): a flood that came after it has been sent by then. To keep that
//! order too, a bridge's floods would have to wait for its router, each port would be called twice
//! in a turn, and all frames would pay for the few that have come to the wrong first hop.

use crate::{
    bridge::{Addressed, Bridge},
    capture::recorder::Witness,
    egress::Egress,
    fdb::Tick,
    frame::{BATCH_MAX, Batch, Lent, Selection, bits},
    port::{PortId, Tx},
    stats::{Counter, PortStats},
    worker::{Lost, Moved, Notes, sort},
};

use super::{Foot, Routing, Step, Taken};

/// A worker in the midst of a turn, as far as its router has to do with it.
pub(crate) struct Crossing<'a, T: Tx, W> {
    pub(crate) bridge: &'a Bridge,
    pub(crate) egress: &'a mut Egress<T>,
    pub(crate) lost: &'a mut Vec<Lost>,
    pub(crate) moved: &'a mut Option<Moved>,
    pub(crate) witness: &'a mut W,
    pub(crate) now: Tick,
}

impl<T: Tx, W: Witness> Crossing<'_, T, W> {
    /// Routes the frames that were taken in this turn. All others have been sent.
    pub(crate) fn route(&mut self, routing: &mut Routing, lent: &mut Lent<'_>) {
        for number in 0..routing.taken.len() {
            let taken = routing.taken[number];
            self.route_from(routing, taken, lent);
        }
    }

    /// Routes those that left by one leg.
    fn route_from(&mut self, routing: &mut Routing, taken: Taken, lent: &mut Lent<'_>) {
        let Taken { leg, port, mask, flood } = taken;
        let packets = routing.place(lent.batch(), mask);
        let mut up = mask & !packets | flood;
        let (mut frames, mut octets) = (0, 0);
        for index in bits(packets) {
            let len = lent.frame(index).octets().len() as u64;
            self.witness.routes(port, lent.frame(index));
            match routing.decide(leg, lent, index, self.now) {
                Step::Up => {
                    up |= 1 << index;
                    continue;
                }
                Step::On(foot) => {
                    self.witness.routed(port, index, None);
                    onward(&mut routing.onward, foot, index);
                }
                Step::Made(foot, ended) => {
                    self.witness.routed(port, index, ended.map(|reason| reason as u8));
                    self.enter_made(foot, routing, lent.batch());
                }
                Step::Both(foot) => {
                    self.witness.routed(port, index, None);
                    self.enter_made(foot, routing, lent.batch());
                    onward(&mut routing.onward, foot, index);
                }
                Step::Ended(reason) => self.witness.routed(port, index, Some(reason as u8)),
            }
            (frames, octets) = (frames + 1, octets + len);
        }
        self.go_on(routing, lent.batch());
        self.egress.took(port, frames, octets);
        let up = Selection { batch: lent.batch(), mask: up };
        if up.mask != 0 {
            self.witness.offers(port, up, self.egress);
            if self.egress.offer(port, up) {
                self.lose(port);
            }
        }
        self.witness.left(lent.batch(), self.egress);
    }

    /// What the router has made comes in. What came before leaves before.
    fn enter_made(&mut self, foot: Foot, routing: &mut Routing, batch: Batch<'_>) {
        self.go_on(routing, batch);
        let Routing { made, addressed, .. } = routing;
        self.enter(foot, made.all(), addressed);
    }

    /// Lets go on what can.
    fn go_on(&mut self, routing: &mut Routing, batch: Batch<'_>) {
        let Routing { onward, addressed, .. } = routing;
        for (foot, mask) in onward.drain(..) {
            self.enter(foot, Selection { batch, mask }, addressed);
        }
    }

    /// Frames of the router come into the bridge in which it has this foot, as from any port.
    fn enter(
        &mut self,
        foot: Foot,
        frames: Selection<'_>,
        addressed: &mut [Option<Addressed>; BATCH_MAX],
    ) {
        let (ingress, batch) = (foot.ingress, frames.batch);
        let mut tally = PortStats::default();
        self.witness.came();
        for index in bits(frames.mask) {
            let octets = batch.frame(index).octets();
            addressed[index] = self.bridge.parse(ingress.bridge, octets);
            tally.add(Counter::RxOctets, octets.len() as u64);
        }
        tally.add(Counter::RxFrames, frames.len() as u64);
        let others = self.egress.others(ingress);
        let (egress, witness) = (&mut *self.egress, &mut *self.witness);
        let mut notes = Notes { tally: &mut tally, moved: self.moved, witness };
        for index in bits(frames.mask) {
            let frame = addressed[index];
            let decision = self.bridge.decide(ingress.port, frame, self.now);
            sort(egress, (ingress, others), (index, frame), decision, &mut notes);
        }
        self.witness.leaves(ingress, frames, self.egress);
        let lost = &mut *self.lost;
        self.egress.send(ingress, batch, |port| {
            lost.push(Lost { port, queue: None, error: None });
        });
        self.witness.left(batch, self.egress);
        self.egress.count(ingress.port, &tally);
    }

    fn lose(&mut self, port: PortId) {
        self.lost.push(Lost { port, queue: None, error: None });
    }
}

/// Notes that a frame goes on by this leg.
#[inline]
fn onward(onward: &mut Vec<(Foot, u64)>, foot: Foot, index: usize) {
    match onward.iter_mut().find(|(to, _)| to.ingress == foot.ingress) {
        Some((_, mask)) => *mask |= 1 << index,
        None => onward.push((foot, 1 << index)),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use nix::sys::eventfd::EventFd;
    use pcap_file::pcapng::{
        Block, PcapNgReader,
        blocks::{
            enhanced_packet::EnhancedPacketOption,
            interface_description::InterfaceDescriptionOption,
        },
    };
    use uswitch_router::{
        link::LinkAddress,
        neighbour::resolved::{Known, Resolved},
        packet::{Ipv4, checksum},
        route::{Leg, LegId},
        stats::Reason,
        tables::Tables,
    };

    use super::*;
    use crate::{
        bridge::{BridgeId, GroupForward, Ingress},
        capture::{self, SNAPLEN_MAX, Wants},
        fdb::{Fdb, FdbConfig},
        frame::Mac,
        port::{
            Port,
            memory::{Memory, cable},
        },
        routing::{Foot, Routes, Used},
        stats::PortCounters,
        worker::Worker,
    };

    const NOW: Tick = Tick::from_millis(0);
    const LEGS: [Mac; 2] = [Mac::new([2, 0, 0, 0, 1, 1]), Mac::new([2, 0, 0, 0, 1, 2])];
    const HOSTS: [Mac; 2] = [Mac::new([2, 0, 0, 0, 0, 1]), Mac::new([2, 0, 0, 0, 0, 2])];
    /// Ports: a host and a leg of either bridge.
    const HOST: [usize; 2] = [0, 2];
    const LEG: [usize; 2] = [1, 3];

    /// One worker with two bridges, 10.0.0.0/24 and 10.1.0.0/24, and a router between them.
    struct Lab {
        worker: Worker<Memory>,
        ends: Vec<Memory>,
        counters: Vec<Arc<PortCounters>>,
        used: crossbeam_channel::Receiver<uswitch_router::route::Hop>,
        routes: Routes,
    }

    fn lab(mtus: [usize; 2]) -> Lab {
        let fdb = Arc::new(Fdb::new(&FdbConfig::default()));
        let mut worker = Worker::new(Bridge::new(fdb.clone(), GroupForward::Standard));
        let (mut ends, mut counters) = (Vec::new(), Vec::new());
        for number in 0..4 {
            let (end, plug) = cable(9000, 100);
            let (mut rx, tx) = plug.split().unwrap();
            let (port, bridge) = (PortId::new(number), BridgeId::new(number / 2));
            let block = Arc::new(PortCounters::default());
            fdb.attach(port, None);
            worker.attach(port, bridge, tx, block.clone());
            worker.receive(port, bridge, rx.remove(0), block.clone());
            ends.push(end);
            counters.push(block);
        }
        let foot = |leg: usize| {
            let ingress = Ingress { port: PortId::new(LEG[leg]), bridge: BridgeId::new(leg) };
            fdb.add_static(fdb.place(leg as u16, LEGS[leg]), ingress.port, NOW).unwrap();
            Some(Foot { ingress, own: LEGS[leg] })
        };
        let leg = |text: &str, mtu| Leg::new(vec![text.parse().unwrap()], mtu);
        let legs = vec![leg("10.0.0.1/24", mtus[0]), leg("10.1.0.1/24", mtus[1])];
        let mut near = Resolved::new(7, &[None, None]);
        let known = |mac: Mac, stale| Known { to: LinkAddress(mac.octets()), stale };
        near.set(LegId(0), &[("10.0.0.2".parse().unwrap(), known(HOSTS[0], false))]);
        near.set(LegId(1), &[("10.1.0.2".parse().unwrap(), known(HOSTS[1], true))]);
        let (told, used) = crossbeam_channel::bounded(4);
        let routes = Routes {
            generation: 1,
            tables: Arc::new(Tables::build(legs, &[]).unwrap()),
            feet: [foot(0), foot(1)].into(),
            neighbours: Arc::new(near),
            used: Used::new(told, Arc::new(EventFd::new().unwrap())),
        };
        worker.route(routes.clone(), 9);
        Lab { worker, ends, counters, used, routes }
    }

    impl Lab {
        /// Sends from the host of bridge 0 and gives the worker its turn.
        fn send(&mut self, frames: &[Vec<u8>]) {
            frames.iter().for_each(|frame| assert!(self.ends[HOST[0]].put(frame)));
            assert_eq!(self.worker.turn(HOST[0], NOW), frames.len());
        }

        fn received(&mut self, port: usize) -> Vec<Vec<u8>> {
            std::iter::from_fn(|| self.ends[port].take()).collect()
        }

        fn count(&self, port: usize, counter: Counter) -> u64 {
            self.counters[port].read().get(counter)
        }
    }

    fn frame(to: Mac, from: Mac, packet: &[u8]) -> Vec<u8> {
        [&to.octets()[..], &from.octets(), &[8, 0], packet].concat()
    }

    fn packet(to: [u8; 4], ttl: u8, number: u8, len: usize) -> Vec<u8> {
        let total = ((20 + len) as u16).to_be_bytes();
        let mut octets = vec![0x45, 0, total[0], total[1], 0, number, 0, 0, ttl, 17, 0, 0];
        octets.extend([10, 0, 0, 2]);
        octets.extend(to);
        let check = checksum(&octets);
        octets[10..12].copy_from_slice(&check.to_be_bytes());
        octets.resize(20 + len, number);
        octets
    }

    /// As it leaves the router towards the host of bridge 1.
    fn routed(mut octets: Vec<u8>) -> Vec<u8> {
        uswitch_router::packet::decrement_ttl(&mut octets);
        frame(HOSTS[1], LEGS[1], &octets)
    }

    #[test]
    fn packets_cross_in_the_same_turn_and_in_order() {
        let mut lab = lab([1500; 2]);
        let packets: Vec<_> =
            (0..20).map(|n| packet([10, 1, 0, 2], 64, n, usize::from(n))).collect();
        let frames: Vec<_> = packets.iter().map(|p| frame(LEGS[0], HOSTS[0], p)).collect();
        lab.send(&frames);
        let expected: Vec<_> = packets.into_iter().map(routed).collect();
        assert_eq!(lab.received(HOST[1]), expected);
        assert!(lab.received(LEG[0]).is_empty() && lab.received(LEG[1]).is_empty());
        assert_eq!(lab.worker.routed().unwrap().forwarded, 20);
        // Each port has what went through it.
        let octets = frames.iter().map(|f| f.len() as u64).sum::<u64>();
        assert_eq!(lab.count(HOST[0], Counter::RxForwarded), 20);
        assert_eq!(
            (lab.count(LEG[0], Counter::TxFrames), lab.count(LEG[0], Counter::TxOctets)),
            (20, octets)
        );
        assert_eq!(
            (lab.count(LEG[1], Counter::RxFrames), lab.count(LEG[1], Counter::RxOctets)),
            (20, octets)
        );
        assert_eq!(lab.count(LEG[1], Counter::RxFlooded), 20, "the host has not been heard yet");
        assert_eq!(lab.count(HOST[1], Counter::TxFrames), 20);
        // Its neighbour is stale: that was told once.
        assert_eq!(lab.used.try_iter().count(), 1);
    }

    #[test]
    fn padding_of_the_link_stays_behind() {
        let mut lab = lab([1500; 2]);
        let packet = packet([10, 1, 0, 2], 64, 1, 4);
        let padded = [frame(LEGS[0], HOSTS[0], &packet), vec![0xaa; 22]].concat();
        lab.send(&[padded]);
        assert_eq!(lab.received(HOST[1]), [routed(packet)]);
    }

    #[test]
    fn what_the_worker_cannot_do_goes_up_as_it_came() {
        let mut lab = lab([1500; 2]);
        let arp = [&[0xff; 6][..], &HOSTS[0].octets(), &[8, 6, 1, 2, 3]].concat();
        let tagged = [&LEGS[0].octets()[..], &HOSTS[0].octets(), &[0x81, 0, 0, 5, 8, 0]].concat();
        let unknown = frame(LEGS[0], HOSTS[0], &packet([10, 1, 0, 9], 64, 1, 8));
        let own = frame(LEGS[0], HOSTS[0], &packet([10, 1, 0, 1], 64, 1, 8));
        // What is for all does not overtake what came before it.
        let frames = [unknown, tagged, arp, own];
        lab.send(&frames);
        assert_eq!(lab.received(LEG[0]), frames);
        assert!(lab.received(HOST[1]).is_empty() && lab.received(LEG[1]).is_empty());
        assert_eq!(
            (lab.count(LEG[0], Counter::TxFrames), lab.count(HOST[0], Counter::RxFlooded)),
            (4, 1)
        );
    }

    #[test]
    fn packet_that_ends_here_is_told_of_to_its_sender() {
        let mut lab = lab([1500; 2]);
        let gone = frame(LEGS[0], HOSTS[0], &packet([10, 1, 0, 2], 1, 1, 8));
        let nowhere = frame(LEGS[0], HOSTS[0], &packet([10, 2, 0, 2], 64, 2, 8));
        lab.send(&[gone, nowhere]);
        let told = lab.received(HOST[0]);
        let kinds = told.iter().map(|frame| {
            assert_eq!(frame[..14], frame_head(HOSTS[0], LEGS[0]));
            assert_eq!(Ipv4::parse(&frame[14..]).unwrap().source.to_string(), "10.0.0.1");
            [frame[34], frame[35]]
        });
        assert_eq!(kinds.collect::<Vec<_>>(), [[11, 0], [3, 0]]);
        let stats = lab.worker.routed().unwrap();
        assert_eq!((stats.dropped(Reason::Ttl), stats.dropped(Reason::NoRoute)), (1, 1));
        assert_eq!(lab.count(LEG[0], Counter::RxForwarded), 2, "the router's frames are the leg's");
    }

    fn frame_head(to: Mac, from: Mac) -> [u8; 14] {
        frame(to, from, &[]).try_into().unwrap()
    }

    #[test]
    fn fragments_leave_between_the_packets_of_before_and_after() {
        let mut lab = lab([1500, 600]);
        let packets: Vec<_> = [(1, 100), (2, 1400), (3, 100)]
            .map(|(n, len)| packet([10, 1, 0, 2], 64, n, len))
            .into();
        lab.send(&packets.iter().map(|p| frame(LEGS[0], HOSTS[0], p)).collect::<Vec<_>>());
        let received = lab.received(HOST[1]);
        let numbers: Vec<_> = received.iter().map(|frame| frame[14 + 5]).collect();
        assert_eq!(numbers, [1, 2, 2, 2, 3]);
        assert!(
            received
                .iter()
                .all(|frame| frame.len() <= 614 && frame[..14] == frame_head(HOSTS[1], LEGS[1]))
        );
    }

    #[test]
    fn neighbours_of_another_generation_are_not_believed() {
        let mut lab = lab([1500; 2]);
        let nobody = Arc::new(Resolved::new(7, &[None, None]));
        lab.worker.know(2, nobody.clone());
        let frame = frame(LEGS[0], HOSTS[0], &packet([10, 1, 0, 2], 64, 1, 8));
        lab.send(std::slice::from_ref(&frame));
        assert_eq!(lab.received(HOST[1]).len(), 1);
        lab.worker.know(1, nobody);
        lab.send(std::slice::from_ref(&frame));
        assert_eq!((lab.received(HOST[1]).len(), lab.received(LEG[0])), (0, vec![frame]));
    }

    /// What a capture of these ports shows: name, way, TTL and comment of each frame.
    fn captured(lab: &mut Lab, wants: Wants, frames: &[Vec<u8>]) -> Vec<String> {
        let (mut recording, mut capture, mut recorders) = capture::begin(1, wants, 1);
        lab.worker.record(recorders.remove(0));
        for (number, name) in ["h0", "leg:0", "h1", "leg:1"].into_iter().enumerate() {
            if let Some(interface) = recording.interface(name) {
                lab.worker.record_port(1, PortId::new(number), interface);
            }
        }
        lab.send(frames);
        let mut output = Vec::new();
        capture.drain(&mut output, usize::MAX);
        let mut reader = PcapNgReader::new(&*output).unwrap();
        let mut names = Vec::new();
        let mut shown = Vec::new();
        while let Some(block) = reader.next_block() {
            match block.unwrap() {
                Block::InterfaceDescription(block) => {
                    names.extend(block.options.iter().find_map(|option| match option {
                        InterfaceDescriptionOption::IfName(name) => Some(name.to_string()),
                        _ => None,
                    }));
                }
                Block::EnhancedPacket(packet) => {
                    let told = packet.options.iter().map(|option| match option {
                        EnhancedPacketOption::Flags(1) => "in".to_owned(),
                        EnhancedPacketOption::Flags(_) => "out".to_owned(),
                        EnhancedPacketOption::Comment(text) => {
                            text.split(':').next().unwrap().to_owned()
                        }
                        _ => "?".to_owned(),
                    });
                    let told: Vec<_> = told.collect();
                    let name = &names[packet.interface_id as usize];
                    shown.push(format!("{name} {} {}", packet.data[14 + 8], told.join(" ")));
                }
                _ => {}
            }
        }
        shown
    }

    #[test]
    fn capture_sees_a_packet_before_and_after_and_what_ended_with_the_reason() {
        let send = |to: [u8; 4], ttl| frame(LEGS[0], HOSTS[0], &packet(to, ttl, 1, 8));
        let frames = [send([10, 1, 0, 2], 64), send([10, 1, 0, 2], 1), send([10, 1, 0, 9], 33)];
        let wants = Wants { snaplen: SNAPLEN_MAX, ..Wants::default() };
        let shown = captured(&mut lab([1500; 2]), wants.clone(), &frames);
        let of = |port: &str| {
            let rows = shown.iter().filter_map(|row| row.strip_prefix(port));
            rows.map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(of("h0 "), ["64 in", "1 in", "33 in", "64 out"]);
        // It comes back as an error; the last goes to the slow path.
        assert_eq!(of("leg:0 "), ["64 out", "1 out ttl", "64 in", "33 out"]);
        assert_eq!(
            (of("leg:1 "), of("h1 ")),
            (vec!["63 in".to_owned()], vec!["63 out".to_owned()])
        );
        assert_eq!(shown.len(), 10, "{shown:?}");

        let drops = Wants { drops: true, ..wants.clone() };
        assert_eq!(captured(&mut lab([1500; 2]), drops, &frames), ["leg:0 1 out ttl"]);
        let leg = Wants { ports: vec!["leg:1".to_owned()], ..wants };
        assert_eq!(captured(&mut lab([1500; 2]), leg, &frames), ["leg:1 63 in"]);
    }

    #[test]
    fn leg_whose_port_has_left_takes_nothing_with_it() {
        let mut lab = lab([1500; 2]);
        let feet = [lab.routes.feet[0], None].into();
        lab.worker.route(Routes { generation: 2, feet, ..lab.routes.clone() }, 9);
        lab.send(&[frame(LEGS[0], HOSTS[0], &packet([10, 1, 0, 2], 64, 1, 8))]);
        assert!((0..4).all(|port| lab.received(port).is_empty()));
        assert_eq!(lab.count(LEG[0], Counter::TxFrames), 1);
    }
}

//! What would become of a frame, asked of a switch that runs: the rules by which workers decide are
//! run once more, on the control plane's thread, and nothing is sent, learned or counted.

use super::Handle;
pub use crate::egress::Finish;
use crate::{
    bridge::{Decision, GroupForward, Ingress, Verdict},
    frame::Frame,
    port::{Port, PortId, Tx},
    stats::{Counter, Reason},
};

/// What would become of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foresight {
    /// The verdict, and what would be learned.
    pub decision: Decision,
    /// What the table would say of the destination; `None` if it would not be asked.
    pub lookup: Option<Option<PortId>>,
    /// The ports by which it would leave, in ascending order.
    pub ways: Vec<Way>,
}

/// One port by which a frame would leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    /// Which one.
    pub port: PortId,
    /// The largest payload that it takes, in octets.
    pub mtu: u32,
    /// Whether the frame is small enough for it.
    pub fits: bool,
    /// Whether it takes frames with what their senders left to be done.
    pub takes_offloads: bool,
    /// What is done to it before, where that is not so.
    pub finish: Finish,
}

impl Way {
    /// What would count the frame there, if the other end takes it.
    pub fn counter(&self) -> Counter {
        match self.finish {
            _ if !self.fits => Counter::TxOversize,
            Finish::Refused => Counter::TxRefused,
            _ => Counter::TxFrames,
        }
    }

    /// Whether it is offered to the other end.
    pub fn is_sent(&self) -> bool {
        self.counter() == Counter::TxFrames
    }
}

impl<P: Port> Handle<P> {
    /// Says what would become of a frame that came in by this port now.
    ///
    /// # Panics
    ///
    /// If there is no such port.
    pub fn foresee(&self, ingress: PortId, frame: Frame<'_>) -> Foresight {
        let bridge = self.bridge_of(ingress).expect("a port that is attached");
        let place = Ingress { port: ingress, bridge };
        let foreseen = self.bridge.foresee(place, frame.octets(), self.now());
        let there = (0..self.ports.len()).map(PortId::new);
        let others = there.filter(|port| *port != ingress && self.bridge_of(*port) == Some(bridge));
        let ways = |ports: &[PortId]| ports.iter().filter_map(|p| self.way(*p, frame)).collect();
        let others: Vec<PortId> = others.collect();
        let verdict = foreseen.decision.verdict.among(others.len() as u64);
        let (verdict, ways) = match verdict {
            Verdict::Drop(_) => (verdict, Vec::new()),
            Verdict::Flood => (verdict, ways(&others)),
            Verdict::Forward(port) if self.name(port).is_some() => (verdict, ways(&[port])),
            // As `Egress::sort` finds it.
            Verdict::Forward(_) => (Verdict::Drop(Reason::Detached), Vec::new()),
        };
        let decision = Decision { verdict, ..foreseen.decision };
        Foresight { decision, lookup: foreseen.lookup, ways }
    }

    fn way(&self, port: PortId, frame: Frame<'_>) -> Option<Way> {
        let tx = &self.ports.get(port.index())?.as_ref()?.tx;
        let (mtu, takes_offloads) = (tx.mtu(), tx.takes_offloads());
        let finish = if takes_offloads { Finish::Nothing } else { Finish::foresee(frame) };
        Some(Way { port, mtu, fits: frame.fits(mtu), takes_offloads, finish })
    }

    /// Whether a port takes frames with what their senders left to be done. `None`: there is no
    /// such port.
    pub fn takes_offloads(&self, port: PortId) -> Option<bool> {
        Some(self.ports.get(port.index())?.as_ref()?.tx.takes_offloads())
    }

    /// What happens to frames for reserved addresses.
    pub fn group_forward(&self) -> GroupForward {
        self.bridge.group_forward()
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::{
        frame::Mac,
        offload::{VNET_HEADER_LEN, sample::Sample},
        port::memory::{Memory, cable},
        stats::PortStats,
        switch::{PortConfig, SwitchConfig, start},
    };

    const PATIENCE: Duration = Duration::from_secs(60);
    const A: Mac = Mac::new([2, 0, 0, 0, 0, 0xa]);
    const B: Mac = Mac::new([2, 0, 0, 0, 0, 0xb]);

    fn wire(to: Mac, from: Mac, len: usize) -> Vec<u8> {
        let mut wire = vec![0; VNET_HEADER_LEN];
        wire.extend([&to.octets()[..], &from.octets(), &[0x88, 0xb5]].concat());
        wire.resize(VNET_HEADER_LEN + len, 0);
        wire
    }

    /// Frames, what counts each at four ports (with offloads and without, twice, of which the
    /// second two have an MTU of 1400), and what is done to it where there are none.
    fn unfinished() -> Vec<(Vec<u8>, [Counter; 4], Finish)> {
        let lying = |at: usize, octet| {
            let mut wire = Sample::tcp(3000).wire();
            wire[at] = octet;
            wire
        };
        let completed = Sample { size: None, ..Sample::tcp(100) };
        let (sent, large) = (Counter::TxFrames, Counter::TxOversize);
        let refused = [sent, Counter::TxRefused, sent, Counter::TxRefused];
        vec![
            (Sample::tcp(3000).wire(), [sent, sent, large, large], Finish::Cut(3)),
            (Sample { size: Some(1348), ..Sample::tcp(3000) }.wire(), [sent; 4], Finish::Cut(3)),
            (
                Sample { size: Some(1349), ..Sample::tcp(3000) }.wire(),
                [sent, sent, large, large],
                Finish::Cut(3),
            ),
            (
                Sample { udp: true, v6: true, size: Some(500), ..Sample::tcp(1001) }.wire(),
                [sent; 4],
                Finish::Cut(3),
            ),
            (completed.wire(), [sent; 4], Finish::Completed),
            (wire(Mac::BROADCAST, A, 60), [sent; 4], Finish::Nothing),
            // It says that it is UDP, and is TCP; and more segments than are cut.
            (lying(1, 5), [sent, Counter::TxRefused, large, large], Finish::Refused),
            (Sample { size: Some(1), ..Sample::tcp(2049) }.wire(), refused, Finish::Refused),
        ]
    }

    /// Each frame is asked about and then sent, and every counter must change as it was said.
    #[test]
    fn what_a_port_gets_of_a_frame_that_is_not_finished_is_foretold() {
        let mut handle = start::<Memory>(&SwitchConfig::default()).unwrap();
        let mut plug = |mtu, takes_offloads| {
            let (host, mut plug) = cable(mtu, 1024);
            plug.set_takes_offloads(takes_offloads);
            (handle.add(PortConfig::named("p"), plug).unwrap(), host)
        };
        let (ingress, mut host) = plug(1500, true);
        let others = [plug(1500, true), plug(1500, false), plug(1400, true), plug(1400, false)];
        for (wire, counters, finish) in unfinished() {
            let frame = Frame::from_wire(&wire);
            let ways = handle.foresee(ingress, frame).ways;
            assert_eq!(ways.iter().map(Way::counter).collect::<Vec<_>>(), counters, "{wire:?}");
            assert_eq!(
                ways.iter().map(|way| way.finish).collect::<Vec<_>>(),
                [Finish::Nothing, finish, Finish::Nothing, finish]
            );
            let counts = |handle: &Handle<Memory>| -> Vec<PortStats> {
                let ports = handle.report().ports;
                others
                    .iter()
                    .map(|(id, _)| ports.iter().find(|p| p.port == *id).unwrap().stats)
                    .collect()
            };
            let mut expected = counts(&handle);
            for (way, stats) in ways.iter().zip(&mut expected) {
                stats.add(way.counter(), 1);
                match way.finish {
                    Finish::Cut(segments) if way.fits => {
                        stats.add(Counter::TxCut, 1);
                        stats.add(Counter::TxSegments, segments as u64);
                    }
                    _ => {}
                }
            }
            assert!(host.put_wire(&wire));
            let begin = Instant::now();
            let octets = |stats: &PortStats| stats.get(Counter::TxOctets);
            loop {
                let counted = counts(&handle);
                for (stats, counted) in expected.iter_mut().zip(&counted) {
                    stats.add(Counter::TxOctets, octets(counted) - octets(stats));
                }
                if counted == expected {
                    break;
                }
                assert!(begin.elapsed() < PATIENCE, "{counted:?}, not {expected:?}");
                std::thread::yield_now();
            }
        }
        handle.stop();
    }

    #[test]
    fn ways_are_those_of_the_ports_that_are_there() {
        let mut handle = start::<Memory>(&SwitchConfig::default()).unwrap();
        let mut plug = |mtu| {
            let (host, plug) = cable(mtu, 64);
            (handle.add(PortConfig::named("a"), plug).unwrap(), host)
        };
        let (a, _host) = plug(1500);
        let frame = wire(Mac::BROADCAST, A, 1000);
        let (b, _other) = plug(900);
        let (c, _third) = plug(1500);
        let foresee = |handle: &Handle<Memory>, wire: &[u8]| {
            let foresight = handle.foresee(a, Frame::from_wire(wire));
            let ways = foresight.ways.iter().map(|way| (way.port, way.counter()));
            (foresight.decision.verdict, ways.collect::<Vec<_>>())
        };
        let both = vec![(b, Counter::TxOversize), (c, Counter::TxFrames)];
        assert_eq!(foresee(&handle, &frame), (Verdict::Flood, both));
        handle.fdb().learn(handle.fdb().place(0, B), b, handle.now());
        let one = vec![(b, Counter::TxFrames)];
        assert_eq!(foresee(&handle, &wire(B, A, 60)), (Verdict::Forward(b), one));
        handle.remove(b);
        // Learned by a worker in the very moment in which the port went.
        handle.fdb().attach(b, None);
        handle.fdb().learn(handle.fdb().place(0, B), b, handle.now());
        let detached = Verdict::Drop(Reason::Detached);
        assert_eq!(foresee(&handle, &wire(B, A, 60)), (detached, vec![]));
        handle.remove(c);
        assert_eq!(foresee(&handle, &frame), (Verdict::Drop(Reason::Alone), vec![]));
        assert_eq!(handle.stop().fdb_used, 1);
    }
}

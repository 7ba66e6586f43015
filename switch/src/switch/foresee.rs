//! What would become of a frame, asked of a switch that runs: the rules by which workers decide are
//! run once more, on the control plane's thread, and nothing is sent, learned or counted.

use super::Handle;
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
}

impl Way {
    /// What would count the frame there, if the other end takes it.
    pub fn counter(&self) -> Counter {
        if self.fits { Counter::TxFrames } else { Counter::TxOversize }
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
        let mtu = tx.mtu();
        Some(Way { port, mtu, fits: frame.fits(mtu), takes_offloads: tx.takes_offloads() })
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
    use super::*;
    use crate::{
        frame::Mac,
        offload::VNET_HEADER_LEN,
        port::memory::{Memory, cable},
        switch::{PortConfig, SwitchConfig, start},
    };

    const A: Mac = Mac::new([2, 0, 0, 0, 0, 0xa]);
    const B: Mac = Mac::new([2, 0, 0, 0, 0, 0xb]);

    fn wire(to: Mac, from: Mac, len: usize) -> Vec<u8> {
        let mut wire = vec![0; VNET_HEADER_LEN];
        wire.extend([&to.octets()[..], &from.octets(), &[0x88, 0xb5]].concat());
        wire.resize(VNET_HEADER_LEN + len, 0);
        wire
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

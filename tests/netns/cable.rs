//! A veth pair as a cable: a host at its inner end, a packet port at the outer one.

use netlab::{FrameSocket, Namespace};
use uswitch::{
    frame::{Arena, Batch, Selection, Span},
    offload::VNET_HEADER_LEN,
    port::{
        Port, Rx, Sent, Tx,
        packet::{Packet, PacketConfig, PacketRx, PacketTx},
    },
};
use uswitch_tests::exchange::PATIENCE;

use crate::lab::{eventually, silence};

/// What each host calls its end.
pub const INNER: &str = "eth0";
/// What the outer ends are called.
pub const OUTER: [&str; 2] = ["p0", "p1"];

/// A host behind a veth pair, whose outer end is `p0` in a namespace of its own.
pub struct Cable {
    /// Where the host is.
    pub inner: Namespace,
    /// Where the port is.
    pub outer: Namespace,
}

impl Cable {
    /// Lays it, with this MTU.
    pub fn new(mtu: u32) -> Cable {
        let (inner, outer) = (Namespace::new().unwrap(), Namespace::new().unwrap());
        silence(&inner);
        silence(&outer);
        lay(&outer, OUTER[0], &inner, mtu);
        Cable { inner, outer }
    }

    /// A port at its outer end.
    pub fn config(&self) -> PacketConfig {
        PacketConfig { netns: Some(self.outer.clone()), ..PacketConfig::named(OUTER[0]) }
    }

    /// Opens a port at its outer end.
    pub fn open(&self) -> (PacketRx, PacketTx) {
        halves(Packet::open(&self.config()).unwrap())
    }

    /// Frames that the host sent and that the kernel's backlog (`netdev_max_backlog`), which all
    /// veth pairs of a processor share, had no room for. None of them came to the port.
    pub fn lost(&self) -> u64 {
        self.inner.links().unwrap().expect(INNER).unwrap().counters.tx_dropped
    }

    /// A socket at its inner end.
    pub fn socket(&self) -> FrameSocket {
        FrameSocket::open(&self.inner, INNER).unwrap()
    }
}

/// Lays a cable from a host to a place.
pub fn lay(outer: &Namespace, name: &str, inner: &Namespace, mtu: u32) {
    let mut links = outer.links().unwrap();
    links.add_veth(name, Some(inner), INNER).unwrap();
    links.set_mtu(name, mtu).unwrap();
    links.set_up(name).unwrap();
    let mut links = inner.links().unwrap();
    links.set_mtu(INNER, mtu).unwrap();
    links.set_up(INNER).unwrap();
    assert!(links.wait_running(INNER, PATIENCE).unwrap());
    assert!(outer.links().unwrap().wait_running(name, PATIENCE).unwrap());
}

/// Takes a port apart that had nothing to warn of.
pub fn halves(port: Packet) -> (PacketRx, PacketTx) {
    assert_eq!(port.warnings(), [""; 0]);
    let (mut rx, tx) = port.split().unwrap();
    assert_eq!(rx.len(), 1);
    (rx.remove(0), tx)
}

/// Receives so many frames, without their virtio-net headers.
pub fn receive(rx: &mut PacketRx, count: usize) -> Vec<Vec<u8>> {
    let mut arena = Arena::new();
    let mut received = Vec::new();
    eventually("all frames come", || {
        let batch = rx.recv(&mut arena).unwrap();
        received.extend(batch.frames().map(|frame| frame.octets().to_vec()));
        received.len() >= count
    });
    assert_eq!(received.len(), count);
    received
}

/// Sends frames that need nothing more.
pub fn send(tx: &mut PacketTx, frames: &[Vec<u8>]) -> Sent {
    let (mut memory, mut spans) = (Vec::new(), Vec::new());
    for frame in frames {
        let (start, len) = (memory.len() as u32, (VNET_HEADER_LEN + frame.len()) as u32);
        spans.push(Span { start, len });
        memory.extend([0; VNET_HEADER_LEN]);
        memory.extend(frame);
    }
    let mask = u64::MAX >> (64 - frames.len());
    tx.send(Selection { batch: Batch::new(&memory, &spans), mask })
}

//! The router's own TCP: one interface of smoltcp, that gets whole packets from memory and gives
//! its answers back there. It has no sockets yet, so its one answer is a reset (RFC 9293, section
//! 3.10.7.1); sockets that are put into it will be served.

use std::collections::VecDeque;

use smoltcp::{
    iface::{Config, Interface, SocketSet},
    phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken},
    time::Instant,
    wire::HardwareAddress,
};

/// Packets that wait to be fetched from the interface, at most.
const OUTGOING_MAX: usize = 16;
/// Octets of the largest packet: who carries it cuts it.
const MTU: usize = 65_535;

pub(super) struct Stack {
    interface: Interface,
    wire: Wire,
    sockets: SocketSet<'static>,
}

impl Stack {
    /// A stack with other numbers for other seeds. It answers for every address.
    pub(super) fn new(seed: u64) -> Stack {
        let mut wire = Wire::default();
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = seed;
        let mut interface = Interface::new(config, &mut wire, Instant::ZERO);
        interface.set_any_ip(true);
        Stack { interface, wire, sockets: SocketSet::new(Vec::new()) }
    }

    /// Takes a packet without options and extension headers, and gives the answers.
    pub(super) fn packet(&mut self, octets: Vec<u8>, now_millis: u64) -> VecDeque<Vec<u8>> {
        let now = Instant::from_millis(i64::try_from(now_millis).unwrap_or(i64::MAX));
        self.wire.incoming = Some(octets);
        self.interface.poll_ingress_single(now, &mut self.wire, &mut self.sockets);
        self.interface.poll_egress(now, &mut self.wire, &mut self.sockets);
        self.wire.incoming = None;
        std::mem::take(&mut self.wire.outgoing)
    }
}

/// A device of memory: one packet in, a few out.
#[derive(Default)]
struct Wire {
    incoming: Option<Vec<u8>>,
    outgoing: VecDeque<Vec<u8>>,
}

struct Incoming(Vec<u8>);
struct Outgoing<'a>(&'a mut VecDeque<Vec<u8>>);

impl Device for Wire {
    type RxToken<'a> = Incoming;
    type TxToken<'a> = Outgoing<'a>;

    fn receive(&mut self, now: Instant) -> Option<(Incoming, Outgoing<'_>)> {
        let octets = self.incoming.take()?;
        Some((Incoming(octets), self.transmit(now)?))
    }

    fn transmit(&mut self, _: Instant) -> Option<Outgoing<'_>> {
        (self.outgoing.len() < OUTGOING_MAX).then_some(Outgoing(&mut self.outgoing))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = MTU;
        capabilities
    }
}

impl RxToken for Incoming {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(&self.0)
    }
}

impl TxToken for Outgoing<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, write: F) -> R {
        let mut octets = vec![0; len];
        let result = write(&mut octets);
        self.0.push_back(octets);
        result
    }
}

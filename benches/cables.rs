//! A worker between cables in memory, and the hosts at their other ends: a switch without threads
//! or system calls, whose table falls alike in every run.

use std::sync::Arc;

use uswitch::{
    bridge::{Bridge, BridgeId, GroupForward},
    fdb::{Fdb, FdbConfig, Seed, Tick},
    frame::BATCH_MAX,
    offload::VNET_HEADER_LEN,
    port::{
        Port, PortId,
        memory::{Memory, cable},
    },
    stats::PortCounters,
    worker::Worker,
};

/// When everything happens.
pub const NOW: Tick = Tick(0);

/// The worker, and the host of each port by its number. A port's number is its queue's, too.
pub struct Cables {
    pub worker: Worker<Memory>,
    pub hosts: Vec<Memory>,
}

impl Cables {
    /// So many ports with room for a batch of frames of any size.
    pub fn new(ports: usize) -> Cables {
        let config = FdbConfig { seed: Seed::from_number(1), ..FdbConfig::default() };
        let fdb = Arc::new(Fdb::new(&config));
        let mut worker = Worker::new(Bridge::new(fdb.clone(), GroupForward::Standard));
        let host = |index| {
            let (host, plug) = cable(65_535, BATCH_MAX);
            let (mut rx, tx) = plug.split().expect("a cable can be split");
            let (port, counters) = (PortId::new(index), Arc::new(PortCounters::default()));
            fdb.attach(port, None);
            worker.attach(port, BridgeId::FIRST, tx, counters.clone());
            worker.receive(port, BridgeId::FIRST, rx.remove(0), counters);
            host
        };
        let hosts = (0..ports).map(host).collect();
        Cables { worker, hosts }
    }

    /// The host of each port has spoken to all.
    pub fn introduce(&mut self) {
        for index in 0..self.hosts.len() {
            let header = [&[0xff; 6][..], &station(index), &[0x88, 0xb5]].concat();
            self.hosts[index].put(&header);
            self.worker.turn(index, NOW);
            self.hosts.iter_mut().for_each(|host| {
                host.discard();
            });
        }
    }

    /// Puts frames from one host to a destination into its cable, of so many octets each.
    pub fn fill(&mut self, host: usize, destination: [u8; 6], (frames, octets): (usize, usize)) {
        let header = [&destination[..], &station(host), &[0x88, 0xb5]].concat();
        let mut wire = [&[0; VNET_HEADER_LEN], &header[..]].concat();
        wire.resize(VNET_HEADER_LEN + octets, 0x5a);
        for _ in 0..frames {
            assert!(self.hosts[host].put_wire(&wire), "the cable has room");
        }
    }
}

/// The address of the host at a port.
pub fn station(port: usize) -> [u8; 6] {
    [2, 0, 0, 0, 0, port as u8]
}

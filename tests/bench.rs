//! A switch without threads: real workers, in-memory ports, and the test decides whose turn it is
//! and what time it is. The simulator and the stories stand on it.

use std::sync::Arc;

use uswitch::{
    bridge::{Bridge, BridgeId, GroupForward},
    fdb::{Fdb, FdbConfig, Tick},
    port::{
        Port, PortId,
        memory::{Memory, cable},
    },
    stats::{Counter, PortCounters, PortStats},
    worker::{Lost, Worker},
};

/// The switch, with the hosts at the other ends of its cables.
pub struct Bench {
    /// The table that all workers share.
    pub fdb: Arc<Fdb>,
    /// Addresses that it takes from one port, if that has no quota of its own.
    pub quota: u32,
    workers: Vec<Worker<Memory>>,
    /// By port number.
    plugged: Vec<Option<Plugged>>,
    /// What ports that left have counted.
    departed: PortStats,
}

/// One port, in whatever state of coming or leaving.
struct Plugged {
    host: Memory,
    /// Of the switch's end; taken apart when the first worker gets its half.
    halves: Option<Halves>,
    /// Which worker receives for the port.
    owner: usize,
    /// By which number the owner knows it.
    queue: Option<usize>,
    /// One block for each worker.
    counters: Vec<Arc<PortCounters>>,
}

struct Halves {
    rx: Option<<Memory as Port>::Rx>,
    tx: <Memory as Port>::Tx,
}

impl Bench {
    /// A switch without ports.
    pub fn new(workers: usize, config: &FdbConfig, group_forward: GroupForward) -> Bench {
        let fdb = Arc::new(Fdb::new(config));
        let bridge = Bridge::new(fdb.clone(), group_forward);
        let workers = (0..workers).map(|_| Worker::new(bridge.clone())).collect();
        let (plugged, departed) = (Vec::new(), PortStats::default());
        Bench { fdb, quota: config.quota, workers, plugged, departed }
    }

    /// Plugs a port in as [`uswitch::switch::Handle::add`] does, in one go.
    pub fn plug(&mut self, port: usize, owner: usize, terms: &Terms) {
        self.lay(port, owner, terms);
        (0..self.workers.len()).for_each(|worker| self.attach(worker, port));
        self.receive(port);
    }

    /// Unplugs a port as [`uswitch::switch::Handle::remove`] does, in one go.
    pub fn unplug(&mut self, port: usize) {
        (0..self.workers.len()).for_each(|worker| self.detach(worker, port));
        self.forget(port);
    }

    /// First step of plugging in: lays the cable and admits the port to the table.
    pub fn lay(&mut self, port: usize, owner: usize, terms: &Terms) {
        let (host, mut end) = cable(terms.mtu, terms.room);
        end.set_takes_offloads(terms.takes_offloads);
        let (mut rx, tx) = end.split().expect("a cable can be taken apart");
        let halves = Some(Halves { rx: rx.pop(), tx });
        let counters = self.workers.iter().map(|_| Arc::default()).collect();
        if self.plugged.len() <= port {
            self.plugged.resize_with(port + 1, || None);
        }
        assert!(self.plugged[port].is_none(), "port {port} is free");
        self.plugged[port] = Some(Plugged { host, halves, owner, queue: None, counters });
        self.fdb.attach(PortId::new(port), terms.quota);
    }

    /// Second step, once for each worker: gives it a sending half.
    pub fn attach(&mut self, worker: usize, port: usize) {
        let plugged = self.plugged[port].as_ref().expect("a port that was laid");
        let halves = plugged.halves.as_ref().expect("a port that does not receive yet");
        let tx = uswitch::port::Tx::clone_for(&halves.tx, worker).expect("a cable can be cloned");
        self.workers[worker].attach(
            PortId::new(port),
            BridgeId::FIRST,
            tx,
            plugged.counters[worker].clone(),
        );
    }

    /// Third step: gives the owner the receiving half.
    pub fn receive(&mut self, port: usize) {
        let plugged = self.plugged[port].as_mut().expect("a port that was laid");
        let rx = plugged.halves.take().and_then(|halves| halves.rx).expect("a receiving half");
        let counters = plugged.counters[plugged.owner].clone();
        let queue =
            self.workers[plugged.owner].receive(PortId::new(port), BridgeId::FIRST, rx, counters);
        plugged.queue = Some(queue);
    }

    /// First step of unplugging, once for each worker: takes its halves away.
    pub fn detach(&mut self, worker: usize, port: usize) {
        self.workers[worker].detach(PortId::new(port));
        if let Some(plugged) = self.plugged[port].as_mut().filter(|p| p.owner == worker) {
            // The number may be another queue's from now on.
            plugged.queue = None;
        }
    }

    /// Last step of unplugging: forgets the port's addresses, and it.
    pub fn forget(&mut self, port: usize) {
        self.fdb.detach(PortId::new(port));
        self.departed.merge(&self.stats(port));
        self.plugged[port] = None;
    }

    /// Gives the port's queue a turn and says how many frames moved.
    pub fn turn(&mut self, port: usize, now: Tick) -> usize {
        let Some(Some(Plugged { owner, queue: Some(queue), .. })) = self.plugged.get(port) else {
            return 0;
        };
        self.workers[*owner].turn(*queue, now)
    }

    /// The host at the other end of a port's cable.
    ///
    /// # Panics
    ///
    /// If there is no such port.
    pub fn host(&mut self, port: usize) -> &mut Memory {
        &mut self.plugged[port].as_mut().expect("a port that is plugged in").host
    }

    /// The ports that a worker found gone since the last call.
    pub fn lost(&mut self, worker: usize) -> Vec<Lost> {
        self.workers[worker].lost().collect()
    }

    /// What all workers counted for a port.
    pub fn stats(&self, port: usize) -> PortStats {
        let mut stats = PortStats::default();
        for block in self.plugged[port].iter().flat_map(|plugged| &plugged.counters) {
            stats.merge(&block.read());
        }
        stats
    }

    /// What one worker counted for a port.
    pub fn stats_of(&self, worker: usize, port: usize) -> PortStats {
        let plugged = self.plugged[port].as_ref();
        plugged.map_or_else(PortStats::default, |plugged| plugged.counters[worker].read())
    }

    /// Checks that every frame is accounted for, by the equations at the head of stats.rs.
    ///
    /// # Panics
    ///
    /// If one is not.
    pub fn assert_accounts(&self) {
        let mut all = self.departed;
        for port in 0..self.plugged.len() {
            all.merge(&self.stats(port));
        }
        let received = all.get(Counter::RxFrames);
        let decided = all.get(Counter::RxForwarded) + all.get(Counter::RxFlooded);
        assert_eq!(received, decided + all.rx_drops(), "frames received are accounted for");
        let meant = all.get(Counter::RxForwarded) + all.get(Counter::RxCopies);
        let sent = all.get(Counter::TxFrames);
        assert_eq!(meant, sent + all.tx_drops(), "frames to be sent are accounted for");
    }
}

/// What a port is to be like.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// The largest payload that may leave.
    pub mtu: u32,
    /// Whether it takes frames as they are, with what their senders left to be done.
    pub takes_offloads: bool,
    /// Frames that the cable holds in each direction.
    pub room: usize,
    /// Addresses that may be learned behind it; `None`: as many as the table's own quota.
    pub quota: Option<u32>,
}

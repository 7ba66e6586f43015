//! Any octets as frames: they go through a real worker with three ports. Nothing panics, every
//! frame is accounted for, and what comes out is what went in, where it should and in order.
//!
//! An input is an octet of settings and then records: an octet that says by which port and
//! whether the worker has its turns before, two octets of length (little-endian), and so many
//! octets of virtio-net header and frame. `seeds.rs` writes such inputs.
#![no_main]

use std::{
    collections::{HashMap, VecDeque},
    io,
    os::fd::BorrowedFd,
    sync::{Arc, Mutex},
};

use libfuzzer_sys::fuzz_target;
use uswitch::{
    bridge::{Bridge, BridgeId, GroupForward},
    fdb::{Fdb, FdbConfig, Seed, Tick},
    frame::{Arena, BATCH_MAX, Frame, Lent, Mac, Selection},
    port::{Port, PortId, Rx, Sent, Tx},
    stats::{Counter, PortCounters, PortStats},
    worker::Worker,
};

const PORTS: usize = 3;
const NOW: Tick = Tick(0);
/// The port that does with its frames what the settings say.
const ODD: usize = 2;
/// Large enough for the stations of one input, whatever its octets are.
const FDB_SIZE: u32 = 4096;

fuzz_target!(|input: &[u8]| {
    mac(input);
    if let Some((settings, records)) = input.split_first() {
        Bench::new(*settings).run(records);
    }
});

/// What is read as an address is written and read again as the same.
fn mac(input: &[u8]) {
    if let Ok(text) = str::from_utf8(input)
        && let Ok(mac) = text.parse::<Mac>()
    {
        assert_eq!(mac.to_string().parse(), Ok(mac));
        assert_eq!(Mac::new(mac.octets()), mac);
    }
}

/// A worker, and what its ports have to receive and have sent.
struct Bench {
    worker: Worker<Line>,
    lines: [Line; PORTS],
    counters: [Arc<PortCounters>; PORTS],
    fdb: Arc<Fdb>,
    model: Model,
}

impl Bench {
    fn new(settings: u8) -> Bench {
        let wire = settings & 1 != 0;
        let mtus = if settings & 2 == 0 { [1500, 65_535, 1500] } else { [0, 60, u32::MAX / 2] };
        let group_forward = if wire { GroupForward::Wire } else { GroupForward::Standard };
        let config = FdbConfig {
            size: FDB_SIZE,
            quota: FDB_SIZE,
            seed: Seed::from_number(1),
            ..FdbConfig::default()
        };
        let fdb = Arc::new(Fdb::new(&config));
        let mut worker = Worker::new(Bridge::new(fdb.clone(), group_forward));
        let counters = std::array::from_fn(|_| Arc::new(PortCounters::default()));
        let lines = std::array::from_fn(|index| {
            let outcome = if index == ODD { Outcome::from(settings) } else { Outcome::Taken };
            let line = Line { mtu: mtus[index], outcome, ..Line::default() };
            let port = PortId::new(index);
            fdb.attach(port, None);
            worker.attach(port, BridgeId::FIRST, line.clone(), Arc::clone(&counters[index]));
            worker.receive(port, BridgeId::FIRST, line.clone(), counters[index].clone());
            line
        });
        let model = Model { wire, mtus, stations: HashMap::new(), out: Default::default() };
        Bench { worker, lines, counters, fdb, model }
    }

    fn run(&mut self, mut records: &[u8]) {
        let mut octets = 0;
        while let Some(([control, low, high], rest)) = records.split_first_chunk() {
            let len = usize::from(u16::from_le_bytes([*low, *high])).min(rest.len());
            let (wire, rest) = rest.split_at(len);
            records = rest;
            if control & 4 != 0 {
                self.turns();
            }
            octets += Frame::from_wire(wire).octets().len();
            self.lines[usize::from(*control) % PORTS].received().push_back(wire.to_vec());
        }
        self.turns();
        self.account(octets as u64);
    }

    /// Gives every port turns until nothing waits any more.
    fn turns(&mut self) {
        for ingress in 0..PORTS {
            let waiting: Vec<_> = self.lines[ingress].received().iter().cloned().collect();
            waiting.iter().for_each(|wire| self.model.expect(ingress, wire));
            let turns = waiting.len().div_ceil(BATCH_MAX);
            let moved: usize = (0..=turns).map(|_| self.worker.turn(ingress, NOW)).sum();
            assert_eq!(moved, waiting.len());
        }
        let lost = self.worker.lost().map(|lost| lost.port.index()).collect::<Vec<_>>();
        assert!(lost.iter().all(|port| *port == ODD), "only a port that says so is gone");
    }

    fn account(&self, octets: u64) {
        let mut sum = PortStats::default();
        self.counters.iter().for_each(|block| sum.merge(&block.read()));
        let get = |counter| sum.get(counter);
        let (forwarded, flooded) = (get(Counter::RxForwarded), get(Counter::RxFlooded));
        assert_eq!(get(Counter::RxFrames), forwarded + flooded + sum.rx_drops());
        assert_eq!(forwarded + get(Counter::RxCopies), get(Counter::TxFrames) + sum.tx_drops());
        assert_eq!(get(Counter::RxOctets), octets);
        // Strangers who knew the seed could fill both places of a station: then it is flooded.
        let exact = get(Counter::LearnFull) == 0;
        for (index, line) in self.lines.iter().enumerate() {
            let sent = line.sent.lock().expect("nobody panicked");
            let wanted = &self.model.out[index];
            assert!(!exact || *sent == *wanted, "port {index}: {sent:02x?}, not {wanted:02x?}");
            if index != ODD {
                let octets = sent.iter().map(|wire| Frame::from_wire(wire).octets().len());
                let octets: usize = octets.sum();
                let counted = self.counters[index].read();
                assert_eq!(counted.get(Counter::TxFrames), sent.len() as u64);
                assert_eq!(counted.get(Counter::TxOctets) as usize, octets);
            }
        }
        let (used, known) = (self.fdb.used(), self.model.stations.len());
        assert!(if exact { used == known } else { used < known }, "{used} of {known} are learned");
    }
}

/// What is to come out, worked out from the octets alone.
struct Model {
    wire: bool,
    mtus: [u32; PORTS],
    stations: HashMap<[u8; 6], usize>,
    out: [Vec<Vec<u8>>; PORTS],
}

impl Model {
    fn expect(&mut self, ingress: usize, wire: &[u8]) {
        let octets = wire.get(10..).unwrap_or_default();
        if octets.len() < 14 {
            return;
        }
        let [to, from]: [[u8; 6]; 2] = [0, 6].map(|at| octets[at..at + 6].try_into().unwrap());
        if from[0] & 1 == 1 || from == [0; 6] {
            return;
        }
        self.stations.insert(from, ingress);
        if to[..5] == [1, 0x80, 0xc2, 0, 0] && to[5] < 16 && !self.wire {
            return;
        }
        let known = self.stations.get(&to).copied().filter(|_| to[0] & 1 == 0);
        for egress in (0..PORTS).filter(|egress| *egress != ingress) {
            let fits = Frame::from_wire(wire).fits(self.mtus[egress]);
            assert!(fits || octets.len() > 14 + self.mtus[egress] as usize);
            if fits && known.is_none_or(|port| port == egress) {
                self.out[egress].push(wire.to_vec());
            }
        }
    }
}

/// What a port does with the frames that it is given.
#[derive(Clone, Copy, Default)]
enum Outcome {
    #[default]
    Taken,
    Full,
    Refused,
    Gone,
}

impl From<u8> for Outcome {
    fn from(settings: u8) -> Outcome {
        [Outcome::Taken, Outcome::Full, Outcome::Refused, Outcome::Gone][usize::from(settings) >> 6]
    }
}

/// A port that receives what it is given, and remembers what it was to send.
#[derive(Clone, Default)]
struct Line {
    received: Arc<Mutex<VecDeque<Vec<u8>>>>,
    sent: Arc<Mutex<Vec<Vec<u8>>>>,
    mtu: u32,
    outcome: Outcome,
}

impl Line {
    fn received(&self) -> std::sync::MutexGuard<'_, VecDeque<Vec<u8>>> {
        self.received.lock().expect("nobody panicked")
    }
}

impl Port for Line {
    type Rx = Line;
    type Tx = Line;

    fn split(self) -> io::Result<(Vec<Line>, Line)> {
        Ok((vec![self.clone()], self))
    }
}

impl Rx for Line {
    fn recv<'a>(&'a mut self, arena: &'a mut Arena) -> io::Result<Lent<'a>> {
        arena.fill(|room| {
            let wire = self.received().pop_front().ok_or(io::ErrorKind::WouldBlock)?;
            room[..wire.len()].copy_from_slice(&wire);
            Ok(wire.len())
        })
    }

    fn wait_on(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

impl Tx for Line {
    fn mtu(&self) -> u32 {
        self.mtu
    }

    fn clone_for(&self, _worker: usize) -> io::Result<Line> {
        Ok(self.clone())
    }

    fn send(&mut self, frames: Selection<'_>) -> Sent {
        let mut sent = Sent::default();
        let mut memory = self.sent.lock().expect("nobody panicked");
        for frame in frames.frames() {
            memory.push(frame.wire().to_vec());
            match self.outcome {
                Outcome::Taken => sent.took(frame),
                Outcome::Full => sent.full += 1,
                Outcome::Refused => sent.refused += 1,
                Outcome::Gone => sent.gone += 1,
            }
        }
        sent
    }
}

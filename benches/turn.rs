//! What a worker's turn costs between two cables in memory: receive a batch, decide, send. The
//! frames are copied in and out of the cable, so this is the switch without any system call.
//!
//! What a capture costs that is not there: two instructions a turn, `cmpq` and a `jne` that is not
//! taken, however many frames come in it. `Worker::turn` asks once whether somebody looks on, and
//! all behind it is compiled without (`Witness` for `()`). Counted by callgrind (valgrind 3.19,
//! x86-64, release build), instructions a turn in which frames of 60 octets are received, switched
//! and sent:
//!
//! | frames | as it is, nobody captures | `turn` without that question and its other copy |
//! |---|---|---|
//! | 1 | 1,240 | 1,255 |
//! | 64 | 46,563 | 46,882 |
//!
//! The compiler lays the same code out otherwise beside another copy, here for the better, once for
//! the worse (1,189 for 1,164): more than the question itself, and nothing that the clock sees.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use uswitch::{
    bridge::{Bridge, BridgeId, GroupForward},
    capture::{self, Capture, SNAPLEN_MAX, Wants},
    fdb::{Fdb, FdbConfig, Tick},
    frame::BATCH_MAX,
    offload::VNET_HEADER_LEN,
    port::{
        Port, PortId,
        memory::{Memory, cable},
    },
    stats::PortCounters,
    worker::Worker,
};

/// Frames in a batch and octets of each: as many of 65,000 as a worker's arena holds.
const BATCHES: [(usize, usize); 3] = [(BATCH_MAX, 60), (BATCH_MAX, 1514), (3, 65_000)];
const NOW: Tick = Tick(0);

criterion_group!(benches, turn, turn_not_captured, turn_captured);
criterion_main!(benches);

fn turn(criterion: &mut Criterion) {
    turns(criterion, "turn/unicast", Bench::new);
}

/// The same when a capture has come and gone: as if there never had been one.
fn turn_not_captured(criterion: &mut Criterion) {
    turns(criterion, "turn/capture_off", || {
        let mut bench = Bench::new();
        drop(bench.capture(SNAPLEN_MAX));
        bench.worker.end_record(0);
        bench
    });
}

fn turns(criterion: &mut Criterion, name: &str, bench: impl Fn() -> Bench) {
    let mut group = criterion.benchmark_group(name);
    for (frames, octets) in BATCHES {
        let mut bench = bench();
        group.throughput(Throughput::Elements(frames as u64));
        group.bench_function(format!("{frames}_frames_of_{octets}_octets"), |bencher| {
            bencher.iter_custom(|turns| (0..turns).map(|_| bench.turn(frames, octets)).sum());
        });
    }
    group.finish();
}

/// The same while a capture writes all of it down, on the way in and on the way out: what finds no
/// room in the ring, which is emptied after each turn, would be seen.
fn turn_captured(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("turn/captured");
    for (frames, octets) in BATCHES {
        for snaplen in [64, SNAPLEN_MAX] {
            let mut bench = Bench::new();
            let mut capture = bench.capture(snaplen);
            let mut output = Vec::new();
            group.throughput(Throughput::Elements(frames as u64));
            let name = format!("{frames}_frames_of_{octets}_octets_snaplen_{snaplen}");
            group.bench_function(name, |bencher| {
                bencher.iter_custom(|turns| {
                    let turn = |_| {
                        let taken = bench.turn(frames, octets);
                        output.clear();
                        capture.drain(&mut output, usize::MAX);
                        taken
                    };
                    (0..turns).map(turn).sum()
                });
            });
            assert_eq!(capture.seen().lost, 0, "the ring has room for a turn");
        }
    }
    group.finish();
}

/// A worker with two ports, and the hosts at their other ends, who know each other.
struct Bench {
    worker: Worker<Memory>,
    hosts: [Memory; 2],
    wire: Vec<u8>,
}

impl Bench {
    fn new() -> Bench {
        let fdb = Arc::new(Fdb::new(&FdbConfig::default()));
        let mut worker = Worker::new(Bridge::new(fdb.clone(), GroupForward::Standard));
        let hosts = [0, 1].map(|index| {
            let (host, plug) = cable(65_535, BATCH_MAX);
            let (mut rx, tx) = plug.split().expect("a cable can be split");
            let (port, counters) = (PortId::new(index), Arc::new(PortCounters::default()));
            fdb.attach(port, None);
            worker.attach(port, BridgeId::FIRST, tx, counters.clone());
            worker.receive(port, BridgeId::FIRST, rx.remove(0), counters);
            host
        });
        let mut bench = Bench { worker, hosts, wire: Vec::new() };
        bench.hosts[1].put(&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0xb5]);
        bench.worker.turn(1, NOW);
        bench.hosts[0].discard();
        bench
    }

    /// Begins a capture of both ports.
    fn capture(&mut self, snaplen: u32) -> Capture {
        let wants = Wants { snaplen, ..Wants::default() };
        let (mut recording, capture, mut recorders) = capture::begin(0, wants, 1);
        self.worker.record(recorders.remove(0));
        for (port, name) in ["a", "b"].into_iter().enumerate() {
            let interface = recording.interface(name).expect("all ports are wanted");
            self.worker.record_port(0, PortId::new(port), interface);
        }
        capture
    }

    /// How long one turn takes.
    fn turn(&mut self, frames: usize, octets: usize) -> Duration {
        self.wire.clear();
        self.wire.resize(VNET_HEADER_LEN, 0);
        self.wire.extend([2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x88, 0xb5]);
        self.wire.resize(VNET_HEADER_LEN + octets, 0x5a);
        for _ in 0..frames {
            assert!(self.hosts[0].put_wire(&self.wire), "the cable has room");
        }
        let begin = Instant::now();
        let moved = self.worker.turn(0, NOW);
        let taken = begin.elapsed();
        assert_eq!((moved, self.hosts[1].discard()), (frames, frames), "all frames pass");
        taken
    }
}

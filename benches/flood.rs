//! What it costs to flood a batch to 2 to 64 ports: one copy of each frame into the cable of each
//! port, and nothing else for each frame and port. The figure is per copy.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use uswitch::{
    bridge::{Bridge, BridgeId, GroupForward},
    fdb::{Fdb, FdbConfig, Tick},
    frame::BATCH_MAX,
    port::{
        Port, PortId,
        memory::{Memory, cable},
    },
    stats::PortCounters,
    worker::Worker,
};

/// Ports that a flood reaches.
const REACHED: [usize; 6] = [2, 4, 8, 16, 32, 64];
const NOW: Tick = Tick(0);

criterion_group!(benches, flood);
criterion_main!(benches);

fn flood(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("flood/64_frames_of_60_octets");
    for reached in REACHED {
        let mut bench = Bench::new(reached);
        group.throughput(Throughput::Elements((BATCH_MAX * reached) as u64));
        group.bench_function(BenchmarkId::new("ports", reached), |bencher| {
            bencher.iter_custom(|turns| (0..turns).map(|_| bench.turn()).sum());
        });
    }
    group.finish();
}

/// A worker, the host that floods, and those who listen.
struct Bench {
    worker: Worker<Memory>,
    hosts: Vec<Memory>,
}

impl Bench {
    fn new(reached: usize) -> Bench {
        let fdb = Arc::new(Fdb::new(&FdbConfig::default()));
        let mut worker = Worker::new(Bridge::new(fdb.clone(), GroupForward::Standard));
        let mut hosts = Vec::new();
        for index in 0..=reached {
            let (host, plug) = cable(1500, BATCH_MAX);
            let (mut rx, tx) = plug.split().expect("a cable can be split");
            let (port, counters) = (PortId::new(index), Arc::new(PortCounters::default()));
            fdb.attach(port, None);
            worker.attach(port, BridgeId::FIRST, tx, counters.clone());
            worker.receive(port, BridgeId::FIRST, rx.remove(0), counters);
            hosts.push(host);
        }
        Bench { worker, hosts }
    }

    /// How long one turn takes.
    fn turn(&mut self) -> Duration {
        let mut frame = [0x5a; 60];
        frame[..12].copy_from_slice(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1]);
        for _ in 0..BATCH_MAX {
            assert!(self.hosts[0].put(&frame), "the cable has room");
        }
        let begin = Instant::now();
        self.worker.turn(0, NOW);
        let taken = begin.elapsed();
        for host in &mut self.hosts[1..] {
            assert_eq!(host.discard(), BATCH_MAX, "all frames reach all ports");
        }
        taken
    }
}

//! What it costs to flood a batch to 2 to 64 ports: one copy of each frame into the cable of each
//! port, and nothing else for each frame and port. The figure is per copy.

#[path = "cables.rs"]
mod cables;

use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use uswitch::frame::BATCH_MAX;

use cables::{Cables, NOW};

/// Ports that a flood reaches.
const REACHED: [usize; 6] = [2, 4, 8, 16, 32, 64];

criterion_group!(benches, flood);
criterion_main!(benches);

fn flood(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("flood/64_frames_of_60_octets");
    for reached in REACHED {
        let mut cables = Cables::new(reached + 1);
        cables.introduce();
        group.throughput(Throughput::Elements((BATCH_MAX * reached) as u64));
        group.bench_function(BenchmarkId::new("ports", reached), |bencher| {
            bencher.iter_custom(|turns| (0..turns).map(|_| turn(&mut cables)).sum());
        });
    }
    group.finish();
}

/// How long one turn takes.
fn turn(cables: &mut Cables) -> Duration {
    cables.fill(0, [0xff; 6], (BATCH_MAX, 60));
    let begin = Instant::now();
    cables.worker.turn(0, NOW);
    let taken = begin.elapsed();
    for host in &mut cables.hosts[1..] {
        assert_eq!(host.discard(), BATCH_MAX, "all frames reach all ports");
    }
    taken
}

//! The router's forwarding table and what could have been in its place, with the prefixes of full
//! tables and destinations drawn from them: the worst that traffic can be to a cache.
//!
//! `lookup` finds the leaves of 64 destinations, as a worker does with a batch; a time is that of
//! one. `one_by_one` is the latency: which destination is next depends on the last one's leaf.
//! `load` is the time to build the table from prefixes in no order. What a table occupies is
//! printed beside its name.
//!
//! `cargo bench -p uswitch-benches --bench fib`, or with `-- 'fib/v4/lookup'`. The contenders:
//! `flat` is DIR-24-8 (Gupta, Lin, McKeown 1998), `search` a binary search over the ranges,
//! `hashes` one hash table for each length, the longest first, `halved` the same with a binary
//! search on the lengths. `v6` has blocks of 32 bits all over 2000::/3, each with as many prefixes;
//! `v6-dense` holders side by side, of which a few have most; `v6-hosts` nothing but /128.

#[path = "contenders.rs"]
mod contenders;
#[path = "shapes.rs"]
mod shapes;
#[path = "tables.rs"]
mod tables;

use std::hint::black_box;

use contenders::{Flat, Halved, Hashes, Search, Table};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use uswitch_router::fib::{Fib, Leaf};

/// Destinations looked up in one go, as in a batch of frames.
const BATCH: usize = 64;
/// Destinations made before the clock starts: more than the caches could learn by heart.
const DESTINATIONS: usize = 1 << 20;

criterion_group!(benches, v4, v6);
criterion_main!(benches);

impl Table<u32> for Fib {
    fn build(nets: tables::Nets<u32>) -> Fib {
        Fib::build(nets, Vec::new())
    }

    fn lookup(&self, address: u32) -> Leaf {
        self.lookup_v4(address.into())
    }

    fn memory(&self) -> usize {
        Fib::memory(self)
    }
}

impl Table<u128> for Fib {
    fn build(nets: tables::Nets<u128>) -> Fib {
        Fib::build(Vec::new(), nets)
    }

    fn lookup(&self, address: u128) -> Leaf {
        self.lookup_v6(address.into())
    }

    fn lookup_batch(&self, addresses: &[u128], leaves: &mut [Leaf]) {
        self.lookup_batch_v6(addresses, leaves);
    }

    fn memory(&self) -> usize {
        Fib::memory(self)
    }
}

fn v4(criterion: &mut Criterion) {
    for count in [1_000, 200_000, 1_000_000] {
        let nets = tables::v4(count);
        let destinations = tables::destinations_v4(&nets, DESTINATIONS);
        measure::<_, Fib>(criterion, "fib/v4", "ours", &nets, &destinations);
        measure::<_, Flat>(criterion, "fib/v4", "flat", &nets, &destinations);
        measure::<_, Search<u32>>(criterion, "fib/v4", "search", &nets, &destinations);
        measure::<_, Hashes<u32>>(criterion, "fib/v4", "hashes", &nets, &destinations);
    }
}

fn v6(criterion: &mut Criterion) {
    let full = tables::v6(200_000);
    let (dense, hosts) = (shapes::dense_v6(200_000), shapes::hosts_v6(200_000));
    let all = [tables::v6(1_000), full, dense, hosts];
    for (group, nets) in ["fib/v6", "fib/v6", "fib/v6-dense", "fib/v6-hosts"].into_iter().zip(all) {
        let destinations = tables::destinations_v6(&nets, DESTINATIONS);
        measure::<_, Fib>(criterion, group, "ours", &nets, &destinations);
        measure::<_, Search<u128>>(criterion, group, "search", &nets, &destinations);
        measure::<_, Hashes<u128>>(criterion, group, "hashes", &nets, &destinations);
        measure::<_, Halved<u128>>(criterion, group, "halved", &nets, &destinations);
    }
}

fn measure<B: tables::Key, T: Table<B>>(
    criterion: &mut Criterion,
    group: &str,
    name: &str,
    nets: &tables::Nets<B>,
    destinations: &[B],
) {
    let table = T::build(nets.clone());
    let routes = nets.len();
    let id = || BenchmarkId::new(name, routes);
    println!("{group}/{name}/{routes}: {} KiB", table.memory() >> 10);

    let mut lookup = criterion.benchmark_group(format!("{group}/lookup"));
    lookup.throughput(Throughput::Elements(1));
    lookup.bench_function(id(), |bencher| {
        bencher.iter_custom(|lookups| {
            let batches = lookups.div_ceil(BATCH as u64);
            let mut batch = destinations.chunks_exact(BATCH).cycle();
            let begin = std::time::Instant::now();
            for _ in 0..batches {
                let mut leaves = [Leaf::NONE; BATCH];
                table.lookup_batch(batch.next().unwrap_or_default(), &mut leaves);
                black_box(leaves);
            }
            begin.elapsed().mul_f64(lookups as f64 / (batches * BATCH as u64) as f64)
        });
    });
    lookup.finish();

    let mut one = criterion.benchmark_group(format!("{group}/one_by_one"));
    one.bench_function(id(), |bencher| {
        let mut at = 0;
        bencher.iter(|| {
            let leaf = table.lookup(destinations[at % DESTINATIONS]);
            at = at.wrapping_add(leaf.index() | 1);
        });
    });
    one.finish();

    let mut load = criterion.benchmark_group(format!("{group}/load"));
    load.sample_size(10);
    load.bench_function(id(), |bencher| {
        bencher.iter_batched(|| nets.clone(), T::build, criterion::BatchSize::PerIteration);
    });
    load.finish();
}

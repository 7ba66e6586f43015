//! What it costs a worker to find a neighbour's link-layer address: `hit` looks up 64 of 4096
//! neighbours on four legs, others each time, `miss` 64 that are not there. Figures are of one
//! look. `cargo bench -p uswitch-benches --bench neighbour`.

use std::{
    hint::black_box,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use uswitch_router::{
    link::LinkAddress,
    neighbour::resolved::{Known, Resolved},
    route::{Hop, LegId},
};

const LEGS: u32 = 4;
const NEIGHBOURS: u32 = 4096;
/// Looks between two readings of the clock: a batch of packets.
const BATCH: usize = 64;

criterion_group!(benches, neighbour);
criterion_main!(benches);

fn neighbour(criterion: &mut Criterion) {
    let v4 = |number: u32| IpAddr::from(Ipv4Addr::from_bits(0x0a00_0002 + number));
    let v6 = |number: u32| {
        // As SLAAC makes them: 64 bits of which many differ.
        let station = u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        IpAddr::from(Ipv6Addr::from_bits(0xfd00 << 112 | u128::from(station)))
    };
    measure(criterion, "v4", v4);
    measure(criterion, "v6", v6);
}

fn measure(criterion: &mut Criterion, name: &str, address: impl Fn(u32) -> IpAddr) {
    let mut table = Resolved::new(1, &[None; LEGS as usize]);
    for leg in 0..LEGS {
        let of = (0..NEIGHBOURS).filter(|number| number % LEGS == leg);
        let to = LinkAddress([2, 0, 0, 0, 0, 1]);
        let all: Vec<_> = of.map(|n| (address(n), Known { to, stale: false })).collect();
        table.set(LegId(leg as u16), &all);
    }
    // An odd factor: all of them, far from each other.
    let order = (0..NEIGHBOURS).map(|i| i.wrapping_mul(2_654_435_761) % NEIGHBOURS);
    let hop = |n: u32| Hop { leg: LegId((n % LEGS) as u16), address: address(n) };
    let hits: Vec<Hop> = order.clone().map(hop).collect();
    let misses: Vec<Hop> = order.map(|n| hop(n + NEIGHBOURS)).collect();
    let mut group = criterion.benchmark_group("neighbour");
    group.throughput(Throughput::Elements(BATCH as u64));
    for (what, hops, found) in [("hit", hits, BATCH), ("miss", misses, 0)] {
        let mut batches = hops.chunks_exact(BATCH).cycle();
        group.bench_function(BenchmarkId::new(what, name), |bencher| {
            bencher.iter(|| {
                let batch = batches.next().expect("it goes round");
                let known = batch.iter().filter(|hop| black_box(table.get(**hop)).is_some());
                assert_eq!(known.count(), found);
            });
        });
    }
    group.finish();
}

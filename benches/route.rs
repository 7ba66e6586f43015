//! What the router's decision about a packet costs: find where it goes, check its header, take a
//! hop and correct the checksum, name the next hop; with full tables and destinations drawn from
//! their prefixes, so that nearly every look at a table misses the caches.
//!
//! `batch` does as a worker does: find the places of 64 packets, then decide about 64. `one_by_one`
//! does both for each packet in turn. `load` is the time in which tables are made of legs and
//! routes, faults and all. `cargo bench -p uswitch-benches --bench route`.
//!
//! Only the calls are measured; the packets are made before, [`ROUND`] batches at a time, and lie
//! in the caches as packets do that have just been received.

#[path = "fib/tables.rs"]
mod tables;

use std::{
    hint::black_box,
    net::{Ipv4Addr, Ipv6Addr},
    sync::Arc,
    time::{Duration, Instant},
};

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use uswitch_router::{
    forward::{Arrival, Emit, Place, Router, Verdict},
    limit::Tick,
    packet::{PacketMeta, checksum},
    prefix::Prefix,
    route::{Leg, LegId, Route},
    tables::Tables,
};

/// Packets in a batch.
const BATCH: usize = 64;
/// Batches that are made at a time: 48 KiB of packets.
const ROUND: usize = 8;
const DESTINATIONS: usize = 1 << 20;
/// Octets of a packet, of which the headers are looked at.
const PACKET_LEN: usize = 96;

type Packet = [u8; PACKET_LEN];

criterion_group!(benches, v4, v6);
criterion_main!(benches);

fn v4(criterion: &mut Criterion) {
    for count in [1_000, 1_000_000] {
        let nets = tables::v4(count);
        let destinations = tables::destinations_v4(&nets, DESTINATIONS);
        // Where the routes lead depends on the leaves that the tables draw.
        let routes = nets.iter().map(|(net, leaf)| {
            let gateway = Ipv4Addr::from_bits(0x0a01_0000 + 2 + leaf.index() as u32);
            Route::via(Prefix::V4(*net), gateway.into())
        });
        let packet = |to: &u32| {
            let mut octets = [0; PACKET_LEN];
            octets[..4].copy_from_slice(&[0x45, 0, 0, PACKET_LEN as u8]);
            octets[8..10].copy_from_slice(&[64, 17]);
            octets[12..16].copy_from_slice(&[10, 0, 0, 2]);
            octets[16..20].copy_from_slice(&to.to_be_bytes());
            let check = checksum(&octets[..20]);
            octets[10..12].copy_from_slice(&check.to_be_bytes());
            octets
        };
        measure(criterion, "route/v4", &routes.collect::<Vec<_>>(), &destinations, packet);
    }
}

fn v6(criterion: &mut Criterion) {
    for count in [1_000, 200_000] {
        let nets = tables::v6(count);
        let destinations = tables::destinations_v6(&nets, DESTINATIONS);
        let routes = nets.iter().map(|(net, leaf)| {
            let gateway = Ipv6Addr::from_bits(0xfd01 << 112 | (2 + leaf.index() as u128));
            Route::via(Prefix::V6(*net), gateway.into())
        });
        let packet = |to: &u128| {
            let mut octets = [0; PACKET_LEN];
            octets[..8].copy_from_slice(&[0x60, 0, 0, 0, 0, PACKET_LEN as u8 - 40, 17, 64]);
            octets[8..24].copy_from_slice(&(0xfd00_u128 << 112 | 2).to_be_bytes());
            octets[24..40].copy_from_slice(&to.to_be_bytes());
            octets
        };
        measure(criterion, "route/v6", &routes.collect::<Vec<_>>(), &destinations, packet);
    }
}

/// Hosts come by leg 0, all routes lead to leg 1.
fn legs() -> Vec<Leg> {
    let addresses = [["10.0.0.1/24", "fd00::1/64"], ["10.1.0.1/16", "fd01::1/64"]];
    let parsed = addresses.map(|texts| texts.map(|text| text.parse().expect("it is an address")));
    parsed.into_iter().map(|addresses| Leg::new(addresses.to_vec(), 1500)).collect()
}

fn measure<B>(
    criterion: &mut Criterion,
    name: &str,
    routes: &[Route],
    destinations: &[B],
    packet: impl Fn(&B) -> Packet,
) {
    let build = |legs| Tables::build(legs, routes).unwrap_or_else(|faults| panic!("{faults:?}"));
    let tables = Arc::new(build(legs()));
    println!("{name}/{}: {} KiB", routes.len(), tables.fib().memory() >> 10);
    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Elements(1));
    for (how, ahead) in [("batch", BATCH), ("one_by_one", 1)] {
        let mut router = Router::new(tables.clone(), 1);
        let mut load = destinations.chunks_exact(BATCH * ROUND).cycle();
        group.bench_function(BenchmarkId::new(how, routes.len()), |bencher| {
            bencher.iter_custom(|packets| {
                let rounds = packets.div_ceil((BATCH * ROUND) as u64);
                let mut elapsed = Duration::ZERO;
                for _ in 0..rounds {
                    let chunk = load.next().expect("it goes round");
                    let mut made: Vec<Packet> = chunk.iter().map(&packet).collect();
                    let begin = Instant::now();
                    for batch in made.chunks_exact_mut(ahead) {
                        turn(&mut router, batch);
                    }
                    elapsed += begin.elapsed();
                }
                elapsed.mul_f64(packets as f64 / (rounds * (BATCH * ROUND) as u64) as f64)
            });
        });
    }
    group.sample_size(10);
    group.bench_function(BenchmarkId::new("load", routes.len()), |bencher| {
        bencher.iter_batched(legs, build, BatchSize::PerIteration);
    });
    group.finish();
}

fn turn(router: &mut Router, batch: &mut [Packet]) {
    let mut places = [Place::default(); BATCH];
    let packets = batch.iter().map(|packet| packet.as_slice());
    router.places(packets.enumerate(), &mut places);
    for (octets, place) in batch.iter_mut().zip(places) {
        let meta = PacketMeta::of(octets);
        let mut arrival = Arrival { octets, leg: LegId(0), meta };
        let verdict = router.decide(&mut arrival, place, Tick(0), &mut Nothing);
        assert!(matches!(verdict, Verdict::Forward { .. }), "{verdict:?}");
        black_box(verdict);
    }
}

/// Has no room: nothing is to be said.
struct Nothing;

impl Emit for Nothing {
    fn room(&mut self, _: usize) -> Option<&mut [u8]> {
        None
    }
}

//! What the decision about a frame costs: parse its header, learn its source, look up its
//! destination, for tables of 1 to a million addresses. Sources and destinations are drawn
//! uniformly, so nearly every look at a large table misses the caches.
//!
//! `batch` does as a worker does: parse 64 frames, then decide about 64. `one_by_one` is the
//! latency: which frame is next depends on what became of the last. `header` is for comparison:
//! to read the addresses and nothing else, by us and by etherparse.
//!
//! Only the calls are measured; the frames are made before, [`ROUND`] batches at a time, and lie
//! in the caches as frames do that have just been received.

use std::{
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use uswitch::{
    bridge::{Bridge, BridgeId, GroupForward, Verdict},
    fdb::{Fdb, FdbConfig, Learn, Seed, Tick},
    frame::{BATCH_MAX, Header, Mac},
    port::{PORTS_MAX, PortId},
};

/// Addresses in the table.
const ADDRESSES: [u32; 4] = [1, 1 << 10, 1 << 16, 1 << 20];
/// Batches that are made at a time: 16 KiB of headers.
const ROUND: usize = 8;
/// Octets of a frame. Only the first 14 are looked at.
const FRAME_LEN: usize = 32;
const NOW: Tick = Tick(10);

criterion_group!(benches, batch, one_by_one, header);
criterion_main!(benches);

fn batch(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("frame/batch");
    group.throughput(Throughput::Elements(1));
    for (addresses, ports) in ADDRESSES.map(|n| (n, 2)).into_iter().chain([(1 << 16, 64)]) {
        let mut load = Load::new(addresses, ports);
        group.bench_function(id(addresses, ports), |bencher| {
            bencher.iter_custom(|frames| {
                load.time(frames, |bridge, batches| {
                    let mut addressed = [None; BATCH_MAX];
                    for (ingress, batch) in batches {
                        for (addressed, frame) in addressed.iter_mut().zip(batch) {
                            *addressed = bridge.parse(BridgeId::FIRST, frame);
                        }
                        bridge.decide_all(*ingress, &addressed, NOW, |_, decision| {
                            black_box(decision);
                        });
                    }
                })
            });
        });
    }
    group.finish();
}

fn one_by_one(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("frame/one_by_one");
    group.throughput(Throughput::Elements(1));
    for (addresses, ports) in ADDRESSES.map(|n| (n, 2)).into_iter().chain([(1 << 16, 64)]) {
        let mut load = Load::new(addresses, ports);
        group.bench_function(id(addresses, ports), |bencher| {
            bencher.iter_custom(|frames| {
                load.time(frames, |bridge, batches| {
                    let mut skip = 0;
                    for (ingress, batch) in batches {
                        for index in 0..BATCH_MAX {
                            let addressed = bridge.parse(BridgeId::FIRST, &batch[index + skip]);
                            skip = depends(bridge.decide(*ingress, addressed, NOW).verdict);
                        }
                    }
                })
            });
        });
    }
    group.finish();
}

/// 0, but the processor cannot know before the verdict is there.
fn depends(verdict: Verdict) -> usize {
    let port = match verdict {
        Verdict::Forward(port) => port.index(),
        Verdict::Flood | Verdict::Drop(_) => 0,
    };
    black_box(port) / PORTS_MAX
}

fn header(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("frame/header");
    group.throughput(Throughput::Elements(1));
    let mut load = Load::new(1 << 10, 2);
    group.bench_function("uswitch", |bencher| {
        bencher.iter_custom(|frames| {
            load.time(frames, |_, batches| {
                for frame in batches.iter().flat_map(|(_, batch)| batch) {
                    black_box(Header::parse(frame));
                }
            })
        });
    });
    group.bench_function("etherparse_header", |bencher| {
        bencher.iter_custom(|frames| {
            load.time(frames, |_, batches| {
                for frame in batches.iter().flat_map(|(_, batch)| batch) {
                    let header = etherparse::Ethernet2HeaderSlice::from_slice(frame);
                    black_box(header.map(|header| (header.destination(), header.source())).ok());
                }
            })
        });
    });
    group.bench_function("etherparse_packet", |bencher| {
        bencher.iter_custom(|frames| {
            load.time(frames, |_, batches| {
                for frame in batches.iter().flat_map(|(_, batch)| batch) {
                    black_box(etherparse::SlicedPacket::from_ethernet(frame).ok());
                }
            })
        });
    });
    group.finish();
}

fn id(addresses: u32, ports: usize) -> BenchmarkId {
    BenchmarkId::new(format!("{ports}_ports"), addresses)
}

/// A batch of frames, and the port where they come in.
type Received = (PortId, [[u8; FRAME_LEN]; BATCH_MAX]);

/// A bridge that knows so many stations, and frames between them.
struct Load {
    bridge: Bridge,
    addresses: u64,
    ports: u64,
    random: u64,
    batches: Vec<Received>,
}

impl Load {
    fn new(addresses: u32, ports: usize) -> Load {
        let size = addresses.max(1 << 16);
        let config = FdbConfig { quota: size, seed: Seed::from_number(7), ..FdbConfig::new(size) };
        let fdb = Arc::new(Fdb::new(&config));
        (0..ports).for_each(|index| fdb.attach(PortId::new(index), None));
        let mut missed = 0;
        for number in 0..u64::from(addresses) {
            let port = PortId::new(number as usize % ports);
            let learned = fdb.learn(fdb.place(0, station(number)), port, NOW);
            missed += u32::from(learned != Learn::New);
        }
        // The table is filled to its size: a few stations find both their places taken.
        assert!(missed <= addresses / 1000, "{missed} stations of {addresses} were not learned");
        Load {
            bridge: Bridge::new(fdb, GroupForward::Standard),
            addresses: addresses.into(),
            ports: ports as u64,
            random: 1,
            batches: vec![(PortId::new(0), [[0; FRAME_LEN]; BATCH_MAX]); ROUND],
        }
    }

    /// How long `work` takes for so many frames, on average of whole rounds.
    fn time(&mut self, frames: u64, work: impl Fn(&Bridge, &[Received])) -> Duration {
        let per_round = (ROUND * BATCH_MAX) as u64;
        let rounds = frames.div_ceil(per_round);
        let mut taken = Duration::ZERO;
        for _ in 0..rounds {
            self.refill();
            let begin = Instant::now();
            work(&self.bridge, black_box(&self.batches));
            taken += begin.elapsed();
        }
        taken.mul_f64(frames as f64 / (rounds * per_round) as f64)
    }

    /// Draws an ingress for each batch, a source behind it and any destination for each frame.
    fn refill(&mut self) {
        let mut batches = std::mem::take(&mut self.batches);
        for (ingress, batch) in &mut batches {
            let port = self.below(self.ports.min(self.addresses));
            *ingress = PortId::new(port as usize);
            let stations = (self.addresses - port).div_ceil(self.ports);
            for frame in batch {
                let source = station(self.below(stations) * self.ports + port);
                let destination = station(self.below(self.addresses));
                frame[..6].copy_from_slice(&destination.octets());
                frame[6..12].copy_from_slice(&source.octets());
                frame[12..14].copy_from_slice(&[8, 0]);
            }
        }
        self.batches = batches;
    }

    /// A number below the bound (splitmix64).
    fn below(&mut self, bound: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (x ^ (x >> 31)) % bound
    }
}

/// The address of the station with this number.
fn station(number: u64) -> Mac {
    Mac::from_bits(0x0200_0000_0000 | number)
}

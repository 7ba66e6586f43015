//! The forwarding database and what could have been in its place: parse, learn and lookup for
//! batches of 64 frames, from and to stations chosen uniformly at random, which is the worst that
//! traffic can be to a cache. Each candidate knows all stations before the clock starts, so learn
//! refreshes an age; a tick passes every 1000 batches. Two workers share the table and each does
//! the whole number of batches, so the time is always that of one worker: processor time, which
//! other load on the machine disturbs less than time on the wall.
//!
//! `cargo bench -p uswitch-benches --bench fdb`, or with `-- '65536/1'` to choose stations and
//! workers. A time is that of 64 frames. `none` only makes the frames and parses them: subtract it.

use std::{
    hint::black_box,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use arc_swap::{ArcSwap, Cache};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use hashbrown::HashTable;
use nix::time::{ClockId, clock_gettime};
use parking_lot::RwLock;
use uswitch::{
    fdb::{Fdb, FdbConfig, Tick},
    frame::{HEADER_LEN, Header, Mac},
    port::PortId,
};

const FRAMES: usize = 64;
const PORTS: u64 = 64;
const BATCHES_A_TICK: u64 = 1000;

/// The headers of one batch.
type Headers = [Header; FRAMES];

/// What all candidates can do.
trait Candidate: Sync + Sized {
    const NAME: &'static str;
    /// What a worker keeps from one batch to the next.
    type Worker<'a>
    where
        Self: 'a;

    /// A table that knows the stations below this number.
    fn new(stations: u64) -> Self;
    fn worker(&self) -> Self::Worker<'_>;
    /// Learns the sources, looks up the destinations, returns the sum of the ports.
    fn turn(&self, worker: &mut Self::Worker<'_>, port: PortId, batch: &Headers, now: u32) -> u64;
}

/// The address of a station: odd factor, so that no two are the same, individual, local.
fn station(number: u64) -> Mac {
    let spread = number.wrapping_mul(0x9e37_79b9_7f4b) & 0xfcff_ffff_ffff;
    Mac::from_bits(spread | 0x0200_0000_0000)
}

/// Seeded multiply-mix, as good as hashes of this price get.
fn hash(key: u64) -> u64 {
    let product =
        u128::from(key ^ 0x243f_6a88_85a3_08d3).wrapping_mul(0x1319_8a2e_0370_7344_a409_3822_299f);
    (product >> 64) as u64 ^ product as u64
}

/// No table at all.
struct Nothing;

impl Candidate for Nothing {
    const NAME: &'static str = "none";
    type Worker<'a> = ();

    fn new(_: u64) -> Nothing {
        Nothing
    }

    fn worker(&self) {}

    fn turn(&self, (): &mut (), _: PortId, batch: &Headers, _: u32) -> u64 {
        batch.iter().map(|header| header.source.bits() ^ header.destination.bits()).sum()
    }
}

/// The table of the switch.
struct Ours(Fdb);

impl Candidate for Ours {
    const NAME: &'static str = "fdb";
    type Worker<'a> = ();

    fn new(stations: u64) -> Ours {
        let size = stations as u32;
        let fdb = Fdb::new(&FdbConfig { quota: size, ..FdbConfig::new(size) });
        (0..PORTS).for_each(|index| fdb.attach(PortId::new(index as usize), None));
        for number in 0..stations {
            fdb.learn(fdb.place(0, station(number)), port_of(number), Tick(0));
        }
        Ours(fdb)
    }

    fn worker(&self) {}

    fn turn(&self, (): &mut (), port: PortId, batch: &Headers, now: u32) -> u64 {
        let Ours(fdb) = self;
        let places = batch.each_ref().map(|header| {
            let both = [fdb.place(0, header.source), fdb.place(0, header.destination)];
            both.iter().for_each(|place| fdb.prefetch(*place));
            both
        });
        let mut sum = 0;
        for [source, destination] in places {
            black_box(fdb.learn(source, port, Tick(now)));
            sum += fdb.lookup(destination, Tick(now)).map_or(0, |port| port.index() as u64);
        }
        sum
    }
}

/// An entry of the candidates that stand on hashbrown.
struct Entry {
    key: u64,
    port: u32,
    age: AtomicU32,
}

impl Entry {
    fn of(number: u64) -> Entry {
        let (key, port) = (station(number).bits(), (number % PORTS) as u32);
        Entry { key, port, age: AtomicU32::new(0) }
    }

    fn refresh(&self, port: PortId, now: u32) -> bool {
        if self.age.load(Ordering::Relaxed) != now {
            self.age.store(now, Ordering::Relaxed);
        }
        self.port == port.index() as u32
    }
}

fn table(stations: impl Iterator<Item = u64>) -> HashTable<Entry> {
    let mut table = HashTable::new();
    for number in stations {
        let entry = Entry::of(number);
        table.insert_unique(hash(entry.key), entry, |entry| hash(entry.key));
    }
    table
}

/// An immutable table that is replaced as a whole when an address is new. That costs a copy of
/// all of it, so somebody must collect the new ones; this is not measured here.
struct Swapped(ArcSwap<HashTable<Entry>>);

impl Candidate for Swapped {
    const NAME: &'static str = "arc_swap_hashbrown";
    type Worker<'a> = Cache<&'a ArcSwap<HashTable<Entry>>, Arc<HashTable<Entry>>>;

    fn new(stations: u64) -> Swapped {
        Swapped(ArcSwap::from_pointee(table(0..stations)))
    }

    fn worker(&self) -> Self::Worker<'_> {
        Cache::new(&self.0)
    }

    fn turn(&self, worker: &mut Self::Worker<'_>, port: PortId, batch: &Headers, now: u32) -> u64 {
        let table = worker.load();
        let find = |mac: Mac| table.find(hash(mac.bits()), |entry| entry.key == mac.bits());
        let mut sum = 0;
        for header in batch {
            black_box(find(header.source).is_some_and(|entry| entry.refresh(port, now)));
            sum += find(header.destination).map_or(0, |entry| u64::from(entry.port));
        }
        sum
    }
}

/// Tables behind locks, a key's hash says which.
struct Sharded(Vec<RwLock<HashTable<Entry>>>);

const SHARDS: usize = 256;

/// By bits that hashbrown uses last.
fn shard_of(hash: u64) -> usize {
    (hash >> 40) as usize % SHARDS
}

impl Sharded {
    fn find<T>(&self, mac: Mac, found: impl FnOnce(&Entry) -> T) -> Option<T> {
        let hash = hash(mac.bits());
        let table = self.0[shard_of(hash)].read();
        table.find(hash, |entry| entry.key == mac.bits()).map(found)
    }
}

impl Candidate for Sharded {
    const NAME: &'static str = "sharded_locks";
    type Worker<'a> = ();

    fn new(stations: u64) -> Sharded {
        let mut shards: Vec<_> = (0..SHARDS).map(|_| Vec::new()).collect();
        for number in 0..stations {
            shards[shard_of(hash(station(number).bits()))].push(number);
        }
        Sharded(shards.into_iter().map(|shard| RwLock::new(table(shard.into_iter()))).collect())
    }

    fn worker(&self) {}

    fn turn(&self, (): &mut (), port: PortId, batch: &Headers, now: u32) -> u64 {
        let mut sum = 0;
        for header in batch {
            black_box(self.find(header.source, |entry| entry.refresh(port, now)));
            sum += self.find(header.destination, |entry| u64::from(entry.port)).unwrap_or(0);
        }
        sum
    }
}

/// Slots of two words, the key and what is known of it, found by trying one after the other. The
/// key must be read again after the rest, and how an entry may be removed is left open.
struct Probed {
    slots: Vec<[AtomicU64; 2]>,
}

impl Probed {
    fn find(&self, mac: Mac) -> Option<&AtomicU64> {
        let mask = self.slots.len() - 1;
        let mut index = hash(mac.bits()) as usize & mask;
        loop {
            let [key, value] = &self.slots[index];
            match key.load(Ordering::Acquire) {
                0 => return None,
                found if found == mac.bits() => return Some(value),
                _ => index = (index + 1) & mask,
            }
        }
    }
}

impl Candidate for Probed {
    const NAME: &'static str = "two_word_slots";
    type Worker<'a> = ();

    fn new(stations: u64) -> Probed {
        let count = (stations as usize * 2).next_power_of_two();
        let slots: Vec<_> = (0..count).map(|_| [const { AtomicU64::new(0) }; 2]).collect();
        for number in 0..stations {
            let key = station(number).bits();
            let mut index = hash(key) as usize & (count - 1);
            while slots[index][0].load(Ordering::Relaxed) != 0 {
                index = (index + 1) & (count - 1);
            }
            slots[index][0].store(key, Ordering::Relaxed);
            slots[index][1].store((number % PORTS) << 32, Ordering::Relaxed);
        }
        Probed { slots }
    }

    fn worker(&self) {}

    fn turn(&self, (): &mut (), port: PortId, batch: &Headers, now: u32) -> u64 {
        let mut sum = 0;
        for header in batch {
            if let Some(value) = self.find(header.source) {
                let old = value.load(Ordering::Relaxed);
                black_box(old >> 32 == port.index() as u64);
                if old as u32 != now {
                    value.store(old >> 32 << 32 | u64::from(now), Ordering::Release);
                }
            }
            let found = self.find(header.destination);
            sum += found.map_or(0, |value| value.load(Ordering::Acquire) >> 32);
        }
        sum
    }
}

fn port_of(number: u64) -> PortId {
    PortId::new((number % PORTS) as usize)
}

/// Does so many batches and returns the time.
fn work<C: Candidate>(candidate: &C, stations: u64, seed: u64, batches: u64) -> Duration {
    let mut worker = candidate.worker();
    let mut frames = [[0; HEADER_LEN]; FRAMES];
    let mut random = seed;
    let mut below = |bound: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        ((random >> 32) * bound) >> 32
    };
    let start = busy();
    for batch in 0..batches {
        // All frames of a batch come in by one port: their stations are PORTS apart.
        let port = below(PORTS);
        for frame in &mut frames {
            frame[..6].copy_from_slice(&station(below(stations)).octets());
            let source = below(stations / PORTS) * PORTS + port;
            frame[6..12].copy_from_slice(&station(source).octets());
        }
        let headers = black_box(&frames).each_ref().map(|f| Header::parse(f).expect("14 octets"));
        let now = (batch / BATCHES_A_TICK) as u32 + 1;
        black_box(candidate.turn(&mut worker, port_of(port), &headers, now));
    }
    busy() - start
}

/// How long this thread has run. Unlike a clock on the wall, it does not count what others do on
/// the same processor.
fn busy() -> Duration {
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID);
    time.expect("Linux has this clock").into()
}

fn measure<C: Candidate>(criterion: &mut Criterion) {
    for stations in [1 << 10, 1 << 16, 1 << 20] {
        let candidate = C::new(stations);
        let mut group = criterion.benchmark_group(C::NAME);
        group.throughput(Throughput::Elements(FRAMES as u64));
        for workers in [1, 2] {
            let id = BenchmarkId::new(stations.to_string(), workers);
            group.bench_function(id, |bencher| {
                bencher.iter_custom(|batches| {
                    thread::scope(|scope| {
                        let work = |seed| work(&candidate, stations, seed, batches);
                        let others: Vec<_> =
                            (1..workers).map(|seed| scope.spawn(move || work(seed + 1))).collect();
                        let mut time = work(1);
                        for other in others {
                            time = time.max(other.join().expect("a worker does not panic"));
                        }
                        time
                    })
                });
            });
        }
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_millis(1500))
        .sample_size(20);
    targets = measure::<Nothing>, measure::<Ours>, measure::<Swapped>, measure::<Sharded>,
        measure::<Probed>
}
criterion_main!(benches);

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

#[path = "cables.rs"]
mod cables;

use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use uswitch::{
    capture::{self, Capture, SNAPLEN_MAX, Wants},
    frame::BATCH_MAX,
    port::PortId,
};

use cables::{Cables, NOW, station};

/// Frames in a batch and octets of each: as many of 65,000 as a worker's arena holds.
const BATCHES: [(usize, usize); 3] = [(BATCH_MAX, 60), (BATCH_MAX, 1514), (3, 65_000)];

criterion_group!(benches, turn, turn_not_captured, turn_captured);
criterion_main!(benches);

fn turn(criterion: &mut Criterion) {
    turns(criterion, "turn/unicast", cables);
}

/// The same when a capture has come and gone: as if there never had been one.
fn turn_not_captured(criterion: &mut Criterion) {
    turns(criterion, "turn/capture_off", || {
        let mut cables = cables();
        drop(capture(&mut cables, SNAPLEN_MAX));
        cables.worker.end_record(0);
        cables
    });
}

fn turns(criterion: &mut Criterion, name: &str, cables: impl Fn() -> Cables) {
    let mut group = criterion.benchmark_group(name);
    for (frames, octets) in BATCHES {
        let mut cables = cables();
        group.throughput(Throughput::Elements(frames as u64));
        group.bench_function(format!("{frames}_frames_of_{octets}_octets"), |bencher| {
            bencher.iter_custom(|turns| {
                (0..turns).map(|_| turn_of(&mut cables, (frames, octets))).sum()
            });
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
            let mut cables = cables();
            let mut capture = capture(&mut cables, snaplen);
            let mut output = Vec::new();
            group.throughput(Throughput::Elements(frames as u64));
            let name = format!("{frames}_frames_of_{octets}_octets_snaplen_{snaplen}");
            group.bench_function(name, |bencher| {
                bencher.iter_custom(|turns| {
                    let turn = |_| {
                        let taken = turn_of(&mut cables, (frames, octets));
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
fn cables() -> Cables {
    let mut cables = Cables::new(2);
    cables.introduce();
    cables
}

/// Begins a capture of both ports.
fn capture(cables: &mut Cables, snaplen: u32) -> Capture {
    let wants = Wants { snaplen, ..Wants::default() };
    let (mut recording, capture, mut recorders) = capture::begin(0, wants, 1);
    cables.worker.record(recorders.remove(0));
    for (port, name) in ["a", "b"].into_iter().enumerate() {
        let interface = recording.interface(name).expect("all ports are wanted");
        cables.worker.record_port(0, PortId::new(port), interface);
    }
    capture
}

/// How long one turn takes, of so many frames of so many octets.
fn turn_of(cables: &mut Cables, (frames, octets): (usize, usize)) -> Duration {
    cables.fill(0, station(1), (frames, octets));
    let begin = Instant::now();
    let moved = cables.worker.turn(0, NOW);
    let taken = begin.elapsed();
    assert_eq!((moved, cables.hosts[1].discard()), (frames, frames), "all frames pass");
    taken
}

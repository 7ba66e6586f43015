//! What it costs to do in software what a port without offloads cannot: completing checksums, in
//! octets a second, and cutting a frame of 64 KB into segments, beside a plain copy of the same
//! octets.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use uswitch::{
    frame::{Frame, WIRE_MAX},
    offload::{VNET_HEADER_LEN, checksum::Sum, segment::Segments},
};
use uswitch_tests::sample::Sample;

/// Octets of what is summed up: small, a full frame, a large one.
const SIZES: [usize; 3] = [64, 1500, 65_000];
/// Octets of TCP in the frame that is cut, into segments of 1448: as Linux makes it.
const PAYLOAD: usize = 65_160;

criterion_group!(benches, checksum, segment);
criterion_main!(benches);

fn checksum(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("offload/checksum");
    for size in SIZES {
        let octets = Sample::tcp(size).payload;
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(format!("{size}_octets"), |bencher| {
            bencher.iter(|| Sum::of(black_box(&octets)).checksum());
        });
    }
    group.finish();
}

fn segment(criterion: &mut Criterion) {
    let wire = Sample::tcp(PAYLOAD).wire();
    let octets = Frame::from_wire(&wire).octets().len();
    let mut room = vec![0; 2 * WIRE_MAX];
    let mut group = criterion.benchmark_group("offload/segment");
    group.throughput(Throughput::Bytes(octets as u64));
    group.bench_function("copy", |bencher| {
        bencher.iter(|| {
            room[..wire.len()].copy_from_slice(black_box(&wire));
            black_box(&mut room);
        });
    });
    group.bench_function("cut", |bencher| {
        bencher.iter(|| {
            let cut = cut(black_box(&wire), &mut room);
            black_box(&mut room);
            cut
        });
    });
    group.finish();
}

/// Cuts a frame into pieces, one behind the other, and says how many octets they have.
fn cut(wire: &[u8], room: &mut [u8]) -> usize {
    let frame = Frame::from_wire(wire);
    let segments = Segments::of(frame.offload(), frame.octets(), frame.packet_start());
    let mut segments = segments.expect("a sound frame can be cut");
    let mut end = 0;
    while let Some(len) = segments.cut(&mut room[end..]) {
        end += len;
    }
    assert!(end > wire.len() + VNET_HEADER_LEN);
    end
}

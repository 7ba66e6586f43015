//! The port between a switch's hands and a guest that is played by `driver.rs`.

mod asleep;
mod hostile;

use std::{os::fd::AsRawFd, path::PathBuf};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use tempfile::TempDir;

use super::{driver::*, guest::IDLE_LOOK, *};
use crate::{
    frame::{Batch, Span},
    offload::{VNET_HEADER_LEN, sample::Sample},
};

/// What nearly every driver takes.
const MODERN: u64 = F_VERSION_1 | F_PROTOCOL | F_CSUM;

/// A port and its path. Nothing is left when it is dropped.
struct Bench {
    rx: VhostRx,
    tx: VhostTx,
    status: VhostStatus,
    arena: Arena,
    path: PathBuf,
    _folder: TempDir,
}

impl Bench {
    fn new() -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vm");
        let port = Vhost::open(&VhostConfig { path: path.clone(), mtu: 1500 }).unwrap();
        let status = port.status();
        let (mut rx, tx) = port.split().unwrap();
        Bench { rx: rx.remove(0), tx, status, arena: Arena::new(), path, _folder: folder }
    }

    /// A port and a guest that is there.
    fn with(size: u16, features: u64, base: u16) -> (Bench, Driver) {
        let bench = Bench::new();
        let driver = Driver::start(&bench.path, size, features, base);
        assert!(bench.rx.guest.is_up());
        (bench, driver)
    }

    /// What is received now: each frame with its header in front.
    fn recv(&mut self) -> Vec<Vec<u8>> {
        let batch = self.rx.recv(&mut self.arena).unwrap();
        batch.frames().map(|frame| frame.wire().to_vec()).collect()
    }

    fn send(&mut self, frames: &[Vec<u8>]) -> Sent {
        let (mut memory, mut spans) = (Vec::new(), Vec::new());
        for wire in frames {
            spans.push(Span { start: memory.len() as u32, len: wire.len() as u32 });
            memory.extend(wire);
        }
        let mask = u64::MAX >> (64 - frames.len());
        self.tx.send(Selection { batch: Batch::new(&memory, &spans), mask })
    }

    /// Whether a worker would go on: it waits as one does, by an epoll on what the port says.
    fn is_awake(&self) -> bool {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).unwrap();
        let event = EpollEvent::new(EpollFlags::EPOLLIN, 0);
        epoll.add(self.rx.wait_on().unwrap(), event).unwrap();
        epoll.wait(&mut [EpollEvent::empty()], EpollTimeout::ZERO).unwrap() == 1
    }

    /// Lets it fall asleep; nothing is there.
    fn rest(&mut self) {
        for _ in 0..3 {
            assert_eq!(self.recv(), [[0; 0]; 0]);
        }
        assert!(!self.is_awake(), "an idle port does not wake its worker");
    }

    /// The next news, which come from another thread.
    fn news(&self) -> String {
        loop {
            match self.status.take_news() {
                Some(news) => return news,
                None => std::thread::yield_now(),
            }
        }
    }
}

/// A frame of so many octets that no other of this number has.
fn frame(number: usize, len: usize) -> Vec<u8> {
    (0..len).map(|at| (number * 31 + at * 7 + at / 256) as u8).collect()
}

/// Behind an empty header, as a switch carries it.
fn wire(frame: &[u8]) -> Vec<u8> {
    [&[0; VNET_HEADER_LEN][..], frame].concat()
}

#[test]
fn frames_pass_both_ways_whatever_the_driver_took() {
    let optional = [F_MRG_RXBUF, F_INDIRECT, F_EVENT_IDX, F_PROTOCOL, F_VERSION_1];
    for set in 0..1 << optional.len() {
        let chosen = optional.iter().enumerate().filter(|(bit, _)| set >> bit & 1 != 0);
        let features = chosen.fold(0, |all, (_, bit)| all | bit);
        let (mut bench, mut driver) = Bench::with(64, features, 0);
        let frames: Vec<_> = (0..40).map(|i| frame(i, 60 + i * 36)).collect();
        frames.iter().for_each(|frame| driver.send_frame([0; 10], frame));
        driver.kick(TX);
        assert!(bench.is_awake());
        let wires: Vec<_> = frames.iter().map(|frame| wire(frame)).collect();
        assert_eq!(bench.recv(), wires, "features {features:#x}");
        assert_eq!(driver.used_index(TX), 40);
        (0..40).for_each(|_| driver.refill(1600));
        driver.calls(RX);
        let sent = bench.send(&wires);
        assert_eq!((sent.frames, sent.octets), (40, frames.iter().map(|f| f.len() as u64).sum()));
        assert_eq!(driver.calls(RX), 1, "one call a batch");
        for frame in &frames {
            assert_eq!(&driver.received().unwrap().1, frame, "features {features:#x}");
        }
        bench.rest();
    }
}

#[test]
fn frame_is_merged_from_small_buffers_and_its_header_says_of_how_many() {
    let (mut bench, mut driver) = Bench::with(64, MODERN | F_MRG_RXBUF, 0);
    (0..10).for_each(|_| driver.refill(256));
    let frames = [frame(1, 1514), frame(2, 60), frame(3, 1000)];
    let sent = bench.send(&frames.each_ref().map(|frame| wire(frame)));
    // 6, 1 and 4 buffers; there are 10.
    assert_eq!((sent.frames, sent.full), (2, 1));
    assert_eq!(driver.used_index(RX), 7);
    let (header, octets) = driver.received().unwrap();
    assert_eq!((header[10..].to_vec(), octets), (vec![6, 0], frames[0].clone()));
    assert_eq!(driver.received().unwrap().1, frames[1]);
    // What was begun for the third was taken back, and the next frame has it.
    assert_eq!(bench.send(&[wire(&frame(4, 300))]).frames, 1);
    assert_eq!(driver.received().unwrap().1, frame(4, 300));
}

#[test]
fn guest_that_never_refills_its_ring_loses_its_own_frames_alone() {
    let (mut bench, mut driver) = Bench::with(16, MODERN, 0);
    driver.refill(1600);
    let wires: Vec<_> = (0..5).map(|i| wire(&frame(i, 60))).collect();
    let sent = bench.send(&wires);
    assert_eq!(sent, Sent { frames: 1, octets: 60, full: 4, ..Sent::default() });
    for _ in 0..100 {
        assert_eq!(bench.send(&wires).full, 5);
    }
    // And it still sends.
    driver.send_frame([0; 10], &frame(7, 60));
    assert_eq!(bench.recv(), [wire(&frame(7, 60))]);
    driver.refill(40);
    let sent = bench.send(&wires[..1]);
    assert_eq!((sent.refused, sent.frames), (1, 0), "without merging a buffer must be long enough");
}

#[test]
fn without_a_guest_frames_are_down_and_nobody_is_awake() {
    let mut bench = Bench::new();
    bench.rest();
    assert_eq!(bench.send(&[wire(&[1; 60]), wire(&[2; 60])]).down, 2);
    let driver = Driver::connect(&bench.path, 16);
    bench.rest();
    assert_eq!(bench.send(&[wire(&[1; 60])]).down, 1);
    drop(driver);
    assert_eq!(bench.news(), "its machine has gone");
}

#[test]
fn indices_run_round_their_end() {
    let (mut bench, mut driver) = Bench::with(16, MODERN | F_EVENT_IDX, 0xfff0);
    for round in 0..20 {
        let frames: Vec<_> = (0..7).map(|i| frame(round * 7 + i, 100 + i)).collect();
        frames.iter().for_each(|frame| driver.send_frame([0; 10], frame));
        let wires: Vec<_> = frames.iter().map(|frame| wire(frame)).collect();
        assert_eq!(bench.recv(), wires, "round {round}");
        (0..7).for_each(|_| driver.refill(1600));
        assert_eq!(bench.send(&wires).frames, 7, "round {round}");
        for frame in &frames {
            assert_eq!(&driver.received().unwrap().1, frame);
            assert!(driver.next_used(TX).is_some());
        }
    }
    assert_eq!(driver.used_index(TX), 0xfff0u16.wrapping_add(140));
}

#[test]
fn worker_sleeps_until_it_is_kicked_and_kicks_are_asked_for_only_then() {
    let (mut bench, mut driver) = Bench::with(16, MODERN | F_EVENT_IDX, 5);
    bench.rest();
    assert_eq!(driver.available_event(TX), 5, "a kick is asked for at the next chain");
    let asleep = bench.rx.wait_on().unwrap().as_raw_fd();
    driver.send_frame([0; 10], &[1; 60]);
    driver.kick(TX);
    assert!(bench.is_awake());
    assert_eq!(bench.recv().len(), 1);
    assert!(bench.is_awake(), "it may ask again before it sleeps");
    assert_eq!(driver.available_event(TX), 5, "none is asked for while frames come");
    bench.rest();
    assert_eq!(driver.available_event(TX), 6);
    // Kicks for nothing wake it for a moment.
    for _ in 0..3 {
        driver.kick(TX);
        (0..2 * IDLE_LOOK).for_each(|_| drop(bench.recv()));
        bench.rest();
    }
    drop(driver);
    let _driver = Driver::start(&bench.path, 16, MODERN, 0);
    assert_eq!(bench.rx.wait_on().unwrap().as_raw_fd(), asleep, "the same for the port's life");
}

#[test]
fn more_than_a_batch_that_nobody_kicked_for_keeps_the_worker_awake() {
    let (mut bench, mut driver) = Bench::with(256, MODERN | F_EVENT_IDX, 0);
    // The port was just given its ring, and looks for itself.
    (0..200).for_each(|i| driver.send_frame([0; 10], &frame(i, 60)));
    let mut received = 0;
    while received < 200 {
        assert!(bench.is_awake(), "after {received}");
        received += bench.recv().len();
    }
    assert_eq!(received, 200);
    bench.rest();
}

#[test]
fn frames_that_came_while_a_kick_was_asked_for_keep_the_worker_awake() {
    let (mut bench, mut driver) = Bench::with(256, MODERN | F_EVENT_IDX, 0);
    bench.rest();
    // It has looked, and found nothing; now they come, and nobody kicks.
    (0..100).for_each(|i| driver.send_frame([0; 10], &frame(i, 60)));
    let guest = bench.rx.guest.clone();
    assert_eq!(guest.sending().ask(&guest.wake), Ok(true));
    assert_eq!(bench.recv().len(), 64);
    assert!(bench.is_awake(), "it has to come back for the others");
    assert_eq!(bench.recv().len(), 36);
    bench.rest();
}

#[test]
fn guest_is_called_only_when_it_wants_to_be() {
    let (mut bench, mut driver) = Bench::with(64, MODERN, 0);
    driver.calls(TX);
    driver.set_available_flags(TX, 1);
    driver.send_frame([0; 10], &[1; 60]);
    bench.recv();
    assert_eq!(driver.calls(TX), 0, "NO_INTERRUPT");
    driver.set_available_flags(TX, 0);
    driver.send_frame([0; 10], &[1; 60]);
    bench.recv();
    assert_eq!(driver.calls(TX), 1);
    assert_eq!(driver.used_flags(TX), 1, "no kicks while it is busy");
    bench.rest();
    assert_eq!(driver.used_flags(TX), 0);

    let (mut bench, mut driver) = Bench::with(64, MODERN | F_EVENT_IDX, 0);
    driver.calls(TX);
    driver.set_used_event(TX, 2);
    for calls in [0, 0, 1, 0] {
        driver.send_frame([0; 10], &[1; 60]);
        bench.recv();
        assert_eq!(driver.calls(TX), calls);
    }
}

#[test]
fn header_of_a_guest_says_what_it_may_and_no_more() {
    let sent = [0xff, 1, 66, 0, 0xa8, 5, 34, 0, 16, 0];
    let (mut bench, mut driver) = Bench::with(16, MODERN, 0);
    driver.send_frame(sent, &[9; 60]);
    assert_eq!(bench.recv()[0][..10], [1, 1, 66, 0, 0xa8, 5, 34, 0, 16, 0], "no DATA_VALID");
    let (mut bench, mut driver) = Bench::with(16, MODERN & !F_CSUM, 0);
    driver.send_frame(sent, &[9; 60]);
    assert_eq!(bench.recv()[0][..10], [0; 10]);
}

#[test]
fn chains_of_any_layout_are_one_frame() {
    for indirect in [false, true] {
        let (mut bench, mut driver) = Bench::with(16, MODERN | F_INDIRECT, 0);
        let octets: Vec<u8> = [&[0; 12][..], &frame(1, 300)].concat();
        let (guest, at) = buffer(TX, 0);
        driver.put(at, &octets);
        // The header in pieces, an empty buffer, the frame in pieces.
        let cuts = [0, 3, 11, 11, 13, 100, octets.len() as u64];
        let pieces: Vec<_> =
            cuts.windows(2).map(|cut| (cut[0], (cut[1] - cut[0]) as u32)).collect();
        let (table_guest, table_at) = buffer(TX, 5);
        for (index, (start, len)) in pieces.iter().enumerate() {
            let last = index + 1 == pieces.len();
            let what = (guest + start, *len, if last { 0 } else { NEXT }, index as u16 + 1);
            if indirect {
                driver.put(table_at + index as u64 * 16, &descriptor(what));
            } else {
                driver.describe(TX, index as u16, what);
            }
        }
        if indirect {
            driver.describe(TX, 3, (table_guest, pieces.len() as u32 * 16, INDIRECT, 0));
        }
        driver.offer(TX, if indirect { 3 } else { 0 });
        assert_eq!(bench.recv(), [wire(&frame(1, 300))], "indirect: {indirect}");
    }
}

#[test]
fn frame_is_finished_for_a_guest_that_cannot_take_it_as_it_is() {
    let sample = Sample::tcp(4000);
    let (mut bench, mut driver) = Bench::with(64, MODERN | F_MRG_RXBUF, 0);
    (0..10).for_each(|_| driver.refill(1600));
    assert_eq!(bench.send(&[sample.wire()]).frames, 1);
    let mut payload = Vec::new();
    while let Some((header, octets)) = driver.received() {
        assert_eq!(header[..10], [0; 10]);
        assert!(octets.len() <= 1514);
        payload.extend_from_slice(&octets[66..]);
    }
    assert_eq!(payload, sample.payload, "three segments");
    // And whole for one that takes it.
    let tso4 = 1 << 1 | 1 << 7;
    let (mut bench, mut driver) = Bench::with(64, MODERN | F_MRG_RXBUF | tso4, 0);
    (0..10).for_each(|_| driver.refill(1600));
    assert_eq!(bench.send(&[sample.wire()]).frames, 1);
    let (header, octets) = driver.received().unwrap();
    assert_eq!((&header[..10], &octets[..]), sample.wire().split_at(10));
    assert_eq!(header[10..], [3, 0]);
}

#[test]
fn rings_stop_start_and_are_enabled_in_any_order() {
    let (mut bench, mut driver) = Bench::with(16, MODERN, 0);
    driver.send_frame([0; 10], &[1; 60]);
    assert_eq!(bench.recv().len(), 1);
    // Stopped, a ring is left alone.
    assert_eq!(driver.stop_ring(TX), 1);
    driver.send_frame([0; 10], &[2; 60]);
    assert_eq!(bench.recv().len(), 0);
    driver.start_ring(TX, 1);
    driver.settled();
    assert!(bench.is_awake(), "it looks without a kick");
    assert_eq!(bench.recv(), [wire(&[2; 60])]);
    driver.enable(TX, false);
    driver.settled();
    driver.send_frame([0; 10], &[3; 60]);
    assert_eq!(bench.recv().len(), 0);
    driver.enable(TX, true);
    driver.settled();
    assert_eq!(bench.recv(), [wire(&[3; 60])]);
    // Both, in the other order.
    let bases = [TX, RX].map(|ring| driver.stop_ring(ring));
    driver.enable(RX, false);
    driver.start_ring(TX, bases[0]);
    driver.start_ring(RX, bases[1]);
    driver.settled();
    assert_eq!(bench.send(&[wire(&[4; 60])]).down, 1);
    driver.enable(RX, true);
    driver.settled();
    driver.refill(1600);
    assert_eq!(bench.send(&[wire(&[4; 60])]).frames, 1);
}

#[test]
fn memory_and_features_change_while_rings_run() {
    let (mut bench, mut driver) = Bench::with(16, MODERN, 0);
    for round in 0..5u8 {
        driver.send_frame([0; 10], &[round; 60]);
        let split = 0x500000;
        let halves = [
            (GUEST, split, USER, OFFSET),
            (GUEST + split, MEMORY - split, USER + split, OFFSET + split),
        ];
        driver.share(if round % 2 == 0 { &halves } else { &halves[..1] });
        driver.settled();
        assert_eq!(bench.recv(), [wire(&[round; 60])]);
    }
    driver.agree(MODERN | F_MRG_RXBUF);
    driver.settled();
    driver.share_memory();
    driver.settled();
    (0..8).for_each(|_| driver.refill(256));
    assert_eq!(bench.send(&[wire(&[9; 1000])]).frames, 1);
}

#[test]
fn guests_come_and_go_and_the_next_one_begins_anew() {
    let mut bench = Bench::new();
    for round in 0..3 {
        let mut driver = Driver::start(&bench.path, 16, MODERN, round * 100);
        assert!(bench.news().starts_with("a guest is there, offloads csum"));
        driver.send_frame([0; 10], &[round as u8; 60]);
        assert_eq!(bench.recv(), [wire(&[round as u8; 60])]);
        drop(driver);
        assert_eq!(bench.news(), "its machine has gone");
        bench.rest();
        assert_eq!(bench.send(&[wire(&[4; 60])]).down, 1);
    }
    let path = bench.path.clone();
    assert!(path.exists());
    drop(bench);
    assert!(!path.exists(), "the socket goes with the port");
}

#[test]
fn port_that_goes_ends_the_session_in_the_middle_of_a_message() {
    let bench = Bench::new();
    let mut driver = Driver::connect(&bench.path, 16);
    // More is said to follow than does.
    driver.settled();
    driver.send_half();
    drop(bench);
    assert!(driver.is_closed());
}

#[test]
fn two_workers_send_to_one_guest_and_no_frame_is_lost_or_torn() {
    let (bench, mut driver) = Bench::with(256, MODERN | F_MRG_RXBUF, 0);
    (0..256).for_each(|_| driver.refill(512));
    std::thread::scope(|scope| {
        for worker in 0..2u8 {
            let mut tx = bench.tx.clone_for(worker.into()).unwrap();
            scope.spawn(move || {
                let wires: Vec<_> = (0..8).map(|i| wire(&[worker * 8 + i; 900])).collect();
                let memory = wires.concat();
                let span = |i: usize| Span { start: (i * 910) as u32, len: 910 };
                let spans: Vec<_> = (0..8).map(span).collect();
                for _ in 0..8 {
                    let batch = Batch::new(&memory, &spans);
                    assert_eq!(tx.send(Selection { batch, mask: 0xff }).frames, 8);
                }
            });
        }
    });
    let mut counts = [0; 16];
    while let Some((_, octets)) = driver.received() {
        assert!(octets.len() == 900 && octets.iter().all(|octet| *octet == octets[0]));
        counts[usize::from(octets[0])] += 1;
    }
    assert_eq!(counts, [8; 16]);
}

//! Segments as the kernel cuts them: a frame goes into a TAP with offloads and out of one without,
//! through the kernel's own bridge, which so has to cut it. Ours are the same, octet for octet.

use std::{thread, time::Instant};

use netlab::Namespace;
use uswitch::{
    frame::{Batch, Frame, Selection, Span},
    offload::{VNET_HEADER_LEN, checksum, segment::Segments},
    port::{
        Port, Tx,
        tap::{Tap, TapTx},
    },
};
use uswitch_tests::{
    exchange::{BROADCAST, frame, station},
    privileged,
    sample::Sample,
};

use crate::lab::{PATIENCE, TAP, silence, tap_in};

/// The TAP without offloads, and without a virtio-net header.
const PLAIN: &str = "plain0";

/// A namespace with a bridge between two TAPs.
struct Kernel {
    tx: TapTx,
    plain: tun::Device,
    markers: u8,
    _namespace: Namespace,
}

impl Kernel {
    fn new() -> Kernel {
        let namespace = Namespace::new().unwrap();
        silence(&namespace);
        namespace.prepare();
        let (_, tx) = Tap::open(&tap_in(&namespace)).unwrap().split().unwrap();
        let mut config = tun::Configuration::default();
        config.tun_name(PLAIN).layer(tun::Layer::L2).platform_config(|platform| {
            platform.ensure_root_privileges(false);
        });
        let plain = namespace.run(|| tun::create(&config)).unwrap().unwrap();
        plain.set_nonblock().unwrap();
        let mut links = namespace.links().unwrap();
        links.add_bridge("br").unwrap();
        links.set_up("br").unwrap();
        for port in [TAP, PLAIN] {
            links.set_master(port, Some("br")).unwrap();
            links.set_up(port).unwrap();
            assert!(links.wait_running(port, PATIENCE).unwrap());
        }
        Kernel { tx, plain, markers: 0, _namespace: namespace }
    }

    fn send(&mut self, wire: &[u8]) {
        let spans = [Span { start: 0, len: wire.len() as u32 }];
        let sent = self.tx.send(Selection { batch: Batch::new(wire, &spans), mask: 1 });
        assert_eq!(sent.frames, 1, "the kernel takes the frame: {sent:?}");
    }

    /// What the kernel makes of a frame.
    fn cut(&mut self, wire: &[u8]) -> Vec<Vec<u8>> {
        self.send(wire);
        self.markers += 1;
        let marker = frame(BROADCAST, station(9), &[self.markers; 46]);
        self.send(&[&[0; VNET_HEADER_LEN][..], &marker].concat());
        let mut pieces = Vec::new();
        loop {
            match self.receive() {
                piece if piece == marker => return pieces,
                // The bridge itself may say something.
                piece if piece[6..12] == station(1) => pieces.push(piece),
                _ => {}
            }
        }
    }

    fn receive(&self) -> Vec<u8> {
        let (begin, mut room) = (Instant::now(), vec![0; 70_000]);
        loop {
            match self.plain.recv(&mut room) {
                Ok(len) => return room[..len].to_vec(),
                Err(error) => {
                    assert!(begin.elapsed() < PATIENCE, "the marker arrives: {error}");
                    thread::yield_now();
                }
            }
        }
    }
}

/// What we make of it.
fn cut(wire: &[u8]) -> Vec<Vec<u8>> {
    let (frame, mut room) = (Frame::from_wire(wire), vec![0; wire.len()]);
    let (octets, offload) = (frame.octets(), frame.offload());
    if offload.gso_kind == 0 {
        let mut octets = octets.to_vec();
        let (start, offset) = (offload.csum_start.into(), offload.csum_offset.into());
        assert!(checksum::complete(&mut octets, start, offset));
        return vec![octets];
    }
    let mut segments = Segments::of(offload, octets, frame.packet_start()).unwrap();
    let pieces = std::iter::from_fn(|| {
        segments.cut(&mut room).map(|len| room[VNET_HEADER_LEN..len].to_vec())
    });
    pieces.collect()
}

#[test]
fn segments_and_checksums_are_those_of_the_kernel() {
    if !privileged() {
        return;
    }
    let mut kernel = Kernel::new();
    let mut cases = 0;
    for (v6, udp) in [(false, false), (true, false), (false, true), (true, true)] {
        for tags in 0..=2 {
            for options in [0, 1, 3] {
                for (payload, size) in [
                    (3000, Some(1448)),
                    (1449, Some(1448)),
                    (4001, Some(999)),
                    (64_000, Some(1400)),
                    (20, None),
                    (1001, None),
                    (0, None),
                ] {
                    let sample = Sample {
                        to: BROADCAST,
                        from: station(1),
                        v6,
                        udp,
                        tags,
                        options,
                        tcp_options: if payload == 4001 { 0 } else { 3 },
                        flags: if payload == 3000 { 0xd9 } else { 0x11 },
                        size,
                        ..Sample::tcp(payload)
                    };
                    let wire = sample.wire();
                    let (ours, theirs) = (cut(&wire), kernel.cut(&wire));
                    assert_eq!(ours.len(), theirs.len(), "{}", about(&sample));
                    for (number, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
                        let differs = ours.iter().zip(theirs).position(|(a, b)| a != b);
                        let at = (ours.len(), differs);
                        let about = about(&sample);
                        assert_eq!(at, (theirs.len(), None), "segment {number} of {about}");
                    }
                    cases += 1;
                }
            }
        }
    }
    assert_eq!(cases, 4 * 3 * 3 * 7);
}

/// A sample without its payload, which nobody wants to read.
fn about(sample: &Sample) -> String {
    let payload = sample.payload.len();
    format!("{:?} with {payload} octets", Sample { payload: Vec::new(), ..sample.clone() })
}

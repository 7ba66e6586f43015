//! What is counted: a worker's turn with the ports' own copies, and a router's decisions.

use std::{hint::black_box, sync::Arc};

use uswitch::frame::BATCH_MAX;
use uswitch_router::{
    forward::{Arrival, Emit, Place, Router, Verdict},
    limit::Tick,
    packet::{PacketMeta, checksum},
    route::{Leg, LegId, Route},
    tables::Tables,
};

use crate::cables::{Cables, NOW, station};

/// One thing that is counted, so many times.
pub struct Case {
    pub name: &'static str,
    pub run: fn(u64),
}

/// All of them.
pub const CASES: [Case; 7] = [
    Case { name: "turn, 1 frame", run: |repeats| turn(repeats, 2, station(1), 1) },
    Case { name: "turn, 64 frames", run: |repeats| turn(repeats, 2, station(1), BATCH_MAX) },
    Case { name: "flood, 1 to 8", run: |repeats| turn(repeats, 9, [0xff; 6], 1) },
    Case { name: "flood, 64 to 8", run: |repeats| turn(repeats, 9, [0xff; 6], BATCH_MAX) },
    Case { name: "nothing is there", run: |repeats| turn(repeats, 2, station(1), 0) },
    Case { name: "route, 64 of IPv4", run: |repeats| route(repeats, ipv4()) },
    Case { name: "route, 64 of IPv6", run: |repeats| route(repeats, ipv6()) },
];

/// What runs in here is counted, and nothing else.
#[inline(never)]
fn counted<T>(work: impl FnOnce() -> T) -> T {
    black_box(work())
}

/// A turn of one worker: frames of 60 octets from port 0.
fn turn(repeats: u64, ports: usize, destination: [u8; 6], frames: usize) {
    let mut cables = Cables::new(ports);
    cables.introduce();
    for _ in 0..repeats {
        cables.fill(0, destination, (frames, 60));
        assert_eq!(counted(|| cables.worker.turn(0, NOW)), frames, "all frames pass");
        cables.hosts.iter_mut().for_each(|host| {
            host.discard();
        });
    }
}

const PACKET_LEN: usize = 96;
type Packet = [u8; PACKET_LEN];

/// A batch of packets between two legs, as benches/route.rs has them, with a table that is in the
/// caches: what the tables cost, their own benchmark says.
fn route(repeats: u64, packet: Packet) {
    let addresses = [["10.0.0.1/24", "fd00::1/64"], ["10.1.0.1/16", "fd01::1/64"]];
    let parsed = addresses.map(|texts| texts.map(|text| text.parse().expect("it is an address")));
    let legs = parsed.map(|addresses| Leg::new(addresses.to_vec(), 1500)).to_vec();
    let via = |net: &str, gateway: &str| {
        let gateway = gateway.parse().expect("it is an address");
        Route::via(net.parse().expect("it is a prefix"), gateway)
    };
    let routes = [via("192.0.2.0/24", "10.1.0.2"), via("2001:db8::/32", "fd01::2")];
    let tables = Tables::build(legs, &routes).unwrap_or_else(|faults| panic!("{faults:?}"));
    let mut router = Router::new(Arc::new(tables), 1);
    for _ in 0..repeats {
        let mut batch = [packet; BATCH_MAX];
        counted(|| decide(&mut router, &mut batch));
    }
}

fn decide(router: &mut Router, batch: &mut [Packet; BATCH_MAX]) {
    let mut places = [Place::default(); BATCH_MAX];
    router.places(batch.iter().map(Packet::as_slice).enumerate(), &mut places);
    for (octets, place) in batch.iter_mut().zip(places) {
        let meta = PacketMeta::of(octets);
        let mut arrival = Arrival { octets, leg: LegId(0), meta };
        let verdict = router.decide(&mut arrival, place, Tick(0), &mut Nothing);
        assert!(matches!(black_box(&verdict), Verdict::Forward { .. }), "{verdict:?}");
    }
}

fn ipv4() -> Packet {
    let mut octets = [0; PACKET_LEN];
    octets[..4].copy_from_slice(&[0x45, 0, 0, PACKET_LEN as u8]);
    octets[8..10].copy_from_slice(&[64, 17]);
    octets[12..20].copy_from_slice(&[10, 0, 0, 2, 192, 0, 2, 1]);
    let check = checksum(&octets[..20]);
    octets[10..12].copy_from_slice(&check.to_be_bytes());
    octets
}

fn ipv6() -> Packet {
    let mut octets = [0; PACKET_LEN];
    octets[..8].copy_from_slice(&[0x60, 0, 0, 0, 0, PACKET_LEN as u8 - 40, 17, 64]);
    octets[8..24].copy_from_slice(&(0xfd00_u128 << 112 | 2).to_be_bytes());
    octets[24..40].copy_from_slice(&(0x2001_0db8_u128 << 96 | 1).to_be_bytes());
    octets
}

/// Has no room: nothing is to be said.
struct Nothing;

impl Emit for Nothing {
    fn room(&mut self, _: usize) -> Option<&mut [u8]> {
        None
    }
}

//! Draws frames: all that a switch may meet, and most often what is near one of its bounds.

use uswitch::offload::{Offload, VNET_HEADER_LEN};
use uswitch_tests::sample::Sample;

use crate::{model::Address, random::Random};

/// The largest that is drawn; some are larger than what one read returns, and come in cut.
const FRAME_MAX: usize = 70_000;

/// The stations, and behind which port each is at the moment.
pub struct Traffic {
    stations: Vec<(Address, usize)>,
    /// Addresses that come once in a while, from anywhere.
    strangers: usize,
    /// MTUs that some port has: sizes are drawn round them.
    mtus: Vec<u32>,
    /// Frames drawn, written into each so that no two are equal.
    count: u32,
    last: Vec<u8>,
}

impl Traffic {
    pub fn new(random: &mut Random, ports: usize, mtus: &[u32]) -> Traffic {
        let station = |number| ([2, 0, 0, 0, 0, number as u8], number % ports);
        let stations = (1..=random.range(2, 24)).map(station).collect();
        let strangers = random.choose(&[4, 30, 200]);
        Traffic { stations, strangers, mtus: mtus.to_vec(), count: 0, last: Vec::new() }
    }

    /// A frame that comes in by this port, behind its virtio-net header.
    pub fn draw(&mut self, random: &mut Random, port: usize) -> Vec<u8> {
        if random.percent(3) && !self.last.is_empty() {
            return self.last.clone();
        }
        self.count += 1;
        let mut octets = self.header(random, port);
        if random.percent(8) {
            self.last = self.sample(random, &octets);
            return self.last.clone();
        }
        let head = octets.len();
        let size = self.size(random, octets.len());
        octets.extend(self.count.to_be_bytes());
        octets.resize(size.max(head), self.count as u8);
        let offload = self.offload(random, &mut octets);
        if random.percent(4) {
            octets.truncate(random.below(15));
        }
        let mut wire = [&offload[..], &octets].concat();
        if random.percent(1) {
            wire.truncate(random.below(VNET_HEADER_LEN + 1));
        }
        self.last.clone_from(&wire);
        wire
    }

    /// A frame of TCP or UDP between the stations of this header, as a host leaves it to be cut or
    /// completed; the model of finish.rs knows it.
    fn sample(&self, random: &mut Random, header: &[u8]) -> Vec<u8> {
        let address = |at: usize| *header[at..].first_chunk().expect("a header has addresses");
        let mtu = random.choose(&self.mtus) as usize;
        let size = random.percent(80).then(|| (mtu + random.below(3)).max(150) as u16 - 120);
        let most = if size.is_some() { 60 * mtu } else { mtu };
        let payload = random.below(most.min(20_000));
        Sample {
            to: address(0),
            from: address(6),
            tags: random.below(3),
            v6: random.percent(50),
            udp: random.percent(30),
            options: random.below(4) as u8,
            tcp_options: random.below(11) as u8,
            flags: random.number() as u8,
            sequence: self.count.wrapping_mul(0x9e37_79b9),
            id: self.count as u16,
            size,
            ..Sample::tcp(payload)
        }
        .wire()
    }

    /// A small frame from any of many addresses, as one who wants to fill the table sends it.
    pub fn draw_stranger(&mut self, random: &mut Random) -> Vec<u8> {
        self.count += 1;
        let source = self.stranger(random);
        let destination = self.destination(random, source);
        let count = self.count.to_be_bytes();
        [&Offload::NONE.emit()[..], &destination, &source, &[8, 0], &count].concat()
    }

    /// Addresses, tags and type.
    fn header(&mut self, random: &mut Random, port: usize) -> Vec<u8> {
        let source = self.source(random, port);
        let destination = self.destination(random, source);
        let mut octets = [destination, source].concat();
        let tags: &[&[u8]] = match random.below(100) {
            0..65 => &[],
            65..75 => &[&[0x81, 0, 0, 5]],
            75..80 => &[&[0x81, 0, 0xe0, 0]],
            80..84 => &[&[0x88, 0xa8, 0, 6]],
            84..92 => &[&[0x88, 0xa8, 0, 5], &[0x81, 0, 0, 6]],
            92..96 => &[&[0x81, 0, 0, 5], &[0x81, 0, 0, 6], &[0x81, 0, 0, 7]],
            // Tags that are none: their identifiers are of a vendor's making, or nearly right.
            96..98 => &[&[0x91, 0, 0, 5]],
            _ => &[&[0x81, 1, 0, 5], &[0x81, 0, 0, 6]],
        };
        octets.extend(tags.concat());
        octets.extend(random.choose(&[[8, 0], [8, 6], [0x86, 0xdd], [0x88, 0xb5], [0, 46]]));
        octets
    }

    fn source(&mut self, random: &mut Random, port: usize) -> Address {
        match random.below(100) {
            0..78 => {
                let here = self.stations.iter().filter(|(_, home)| *home == port);
                let here: Vec<_> = here.map(|(station, _)| *station).collect();
                if here.is_empty() { self.move_here(random, port) } else { random.choose(&here) }
            }
            78..85 => self.move_here(random, port),
            85..94 => self.stranger(random),
            94..96 => [3, 0, 0, 0, 0, random.below(4) as u8],
            96..98 => [0xff; 6],
            _ => [0; 6],
        }
    }

    fn move_here(&mut self, random: &mut Random, port: usize) -> Address {
        let chosen = random.below(self.stations.len());
        self.stations[chosen].1 = port;
        self.stations[chosen].0
    }

    /// A station or a stranger.
    pub fn any(&self, random: &mut Random) -> Address {
        match random.percent(80) {
            true => random.choose(&self.stations).0,
            false => self.stranger(random),
        }
    }

    fn stranger(&self, random: &mut Random) -> Address {
        [0x1e, 0x5e, 0, 0, 0, random.below(self.strangers) as u8]
    }

    fn destination(&self, random: &mut Random, source: Address) -> Address {
        match random.below(100) {
            0..50 => self.stations[random.below(self.stations.len())].0,
            50..60 => self.stranger(random),
            60..75 => [0xff; 6],
            75..85 => [0x33, 0x33, 0, 0, 0, random.below(3) as u8],
            // One beyond the reserved ones, too, and a neighbour of all of them.
            85..93 => [1, 0x80, 0xc2, 0, 0, random.below(0x12) as u8],
            93..95 => [1, 0x80, 0xc2, 0, random.below(2) as u8, 0x0e],
            95..97 => source,
            97 => [0; 6],
            _ => [0, 0x80, 0xc2, 0, 0, random.below(16) as u8],
        }
    }

    /// How large the frame is whose header has so many octets.
    fn size(&self, random: &mut Random, header: usize) -> usize {
        match random.below(100) {
            0..35 => 60,
            35..55 => random.range(14, 128),
            55..88 => header + random.choose(&self.mtus) as usize + random.below(4) - 2,
            88..95 => random.range(60, 2000),
            95..98 => random.range(2000, 10_000),
            _ => random.range(10_000, FRAME_MAX),
        }
    }

    /// The virtio-net header; may write into the frame what that hangs on.
    fn offload(&self, random: &mut Random, octets: &mut Vec<u8>) -> [u8; VNET_HEADER_LEN] {
        match random.below(100) {
            0..75 => Offload::NONE.emit(),
            75..79 => std::array::from_fn(|_| random.number() as u8),
            _ => {
                // Segments that fit a port exactly, or just not, of a frame that does not.
                if random.percent(70) {
                    octets.resize(random.range(2000, 20_000), self.count as u8);
                }
                let (tags, transport) = (random.below(4) * 4, random.range(34, 54));
                let kind = random.choose(&[0, 1, 4, 5, 0x81, 0x84, 0x85]);
                let words = random.range(5, 15);
                let header = if kind % 128 == 5 { 8 } else { words * 4 };
                if let Some(offset) = octets.get_mut(transport + 12) {
                    *offset = (words * 16 + random.below(16)) as u8;
                }
                let mtu = random.choose(&self.mtus) as usize;
                let most = (14 + tags + mtu + random.below(3)).saturating_sub(1);
                let offload = Offload {
                    flags: random.choose(&[1, 1, 1, 1, 1, 0, 2, 3]),
                    gso_kind: kind,
                    header_len: random.number() as u16,
                    gso_size: most.saturating_sub(transport + header) as u16,
                    csum_start: transport as u16,
                    csum_offset: 16,
                };
                offload.emit()
            }
        }
    }
}

//! What is sent: frames of a size between addresses of the tester's own, each with a signature by
//! which its receiver knows it again.
//!
//! ```text
//!  0    6    12    14      15       17         22        28      32
//!  | to | from | type | magic | stream | sequence | due at | check | filler ...
//!                     '------------- the signature, 18 octets -------------'
//! ```
//!
//! Sizes count octets from the destination address on, without frame check sequence, as Linux
//! counts them: RFC 2544's 64 is 60 here. With a VLAN tag the frame is four octets longer.
//!
//! * magic: 0xb5 for what is measured, 0xb6 for frames by which addresses are learned.
//! * stream, sequence: which frame it is, so that what is lost, late or double is known exactly.
//! * due at: nanoseconds from the start of the trial to when the frame was to be sent, not to when
//!   it was: who measures from the latter does not see what waited (coordinated omission).
//! * check: CRC-32 (IEEE 802.3-2018, 3.2.9) of the rest of the signature and the filler. The
//!   addresses and the type are compared instead: a router changes some of what is in front.

mod packet;
mod train;

use std::{fmt, ops::Range, str::FromStr};

pub use self::{
    packet::{ROUTER_PORTS_MAX, ROUTES_MAX, Version},
    train::{TRAIN_MIN, VNET_LEN},
};

/// Octets of a signature.
pub const SIGNATURE_LEN: usize = 18;

/// Octets of the smallest frame: IEEE 802.3-2018, 4A.4.2, less the frame check sequence.
pub const SIZE_MIN: usize = 60;

/// Octets of the smallest that can bear a signature: shorter than a frame may be.
pub const RUNT_MIN: usize = HEADER_LEN + SIGNATURE_LEN;

/// Octets of the largest frame that is sent as one: a link's MTU is at most 65,535.
pub const SIZE_MAX: usize = 65_549;

/// RFC 2544 section 9.1, less the frame check sequence.
pub const RFC_SIZES: [usize; 7] = [60, 124, 252, 508, 1020, 1276, 1514];

/// Internet mix: seven small frames, four of 590 octets, one large one, as testers have it since
/// the 1990s (RFC 6985 section 4 wants it stated), in a fixed order.
const IMIX: [usize; 12] = [60, 590, 60, 60, 590, 60, 1514, 60, 590, 60, 590, 60];

/// Flows of a stream at the most: each has addresses of its own.
pub const FLOWS_MAX: usize = 1 << 20;

/// A type for local experiments (IEEE 802-2014, 9.2.3): no host answers it.
const EXPERIMENT: [u8; 2] = [0x88, 0xb5];

/// Octets of two addresses and a type.
const HEADER_LEN: usize = 14;

/// Where in a signature its check stands.
const CHECK: Range<usize> = 14..18;

/// How large frames are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// All alike.
    Octets(usize),
    /// 60, 590 and 1514 octets, of twelve 7, 4 and 1.
    Imix,
}

impl Size {
    /// The sizes of frames that follow each other, from the first on and over again.
    pub fn pattern(&self) -> &[usize] {
        match self {
            Size::Octets(size) => std::slice::from_ref(size),
            Size::Imix => &IMIX,
        }
    }

    /// The largest.
    pub fn most(&self) -> usize {
        *self.pattern().iter().max().expect("a pattern is not empty")
    }

    /// Octets of a frame on average.
    pub fn mean(&self) -> f64 {
        let pattern = self.pattern();
        pattern.iter().sum::<usize>() as f64 / pattern.len() as f64
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Size::Octets(size) => write!(f, "{size}"),
            Size::Imix => f.write_str("imix"),
        }
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Size, String> {
        if text == "imix" {
            return Ok(Size::Imix);
        }
        let octets = text.parse().ok().filter(|size| (SIZE_MIN..=SIZE_MAX).contains(size));
        let sentence = || format!("a frame has {SIZE_MIN} to {SIZE_MAX} octets, or it is `imix`");
        octets.map(Size::Octets).ok_or_else(sentence)
    }
}

/// What a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// It is counted.
    Measure = 0xb5,
    /// Its source address shall be learned (RFC 2544 section 23, RFC 2889 section 5.8).
    Learn = 0xb6,
}

/// By what a frame is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signature {
    /// What it is for.
    pub purpose: Purpose,
    /// The number of its stream.
    pub stream: u16,
    /// Its number within the stream, from 0; 40 bits of it are sent.
    pub sequence: u64,
    /// When it was to be sent, in nanoseconds from the start of the trial; 48 bits, or 78 hours.
    pub due_ns: u64,
}

/// The frames of one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FramePlan {
    /// The stream's number.
    pub stream: u16,
    /// The numbers of the ports from which and to which it goes.
    pub from: u8,
    /// See `from`.
    pub to: u8,
    /// How large its frames are, a VLAN tag not counted.
    pub size: Size,
    /// In how many pairs of addresses they come, one after the other.
    pub flows: usize,
    /// Which stations these pairs are of.
    pub pairing: Pairing,
    /// The VLAN whose tag they bear.
    pub vlan: Option<u16>,
    /// They are packets, which a router takes from one host to networks behind another.
    pub packets: Option<Version>,
    /// They are trains of segments, which whoever must may cut.
    pub train: bool,
}

/// Between which stations the frames of a stream go, flow by flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pairing {
    /// From each station to the one of the same number.
    EachToEach,
    /// From the first to each.
    OneToEach,
    /// From each to the first.
    EachToOne,
    /// From each to a group, whose frames are to come out of all other ports.
    ToGroup([u8; 6]),
}

/// The group of everybody.
pub const BROADCAST: Pairing = Pairing::ToGroup([0xff; 6]);

/// What stands in front of a signature: header and tag, and how much of it.
pub type Head = ([u8; HEAD_MAX], usize);

/// Octets of the longest.
const HEAD_MAX: usize = HEADER_LEN + 4 + packet::HEADER_MAX;

impl FramePlan {
    /// One flow without a tag.
    ///
    /// # Panics
    ///
    /// If a frame would be too small for a signature, or too large.
    pub fn new(stream: u16, from: u8, to: u8, size: Size) -> FramePlan {
        let range = RUNT_MIN..=SIZE_MAX;
        assert!(size.pattern().iter().all(|size| range.contains(size)), "frames of {range:?}");
        let pairing = Pairing::EachToEach;
        FramePlan {
            stream,
            from,
            to,
            size,
            flows: 1,
            pairing,
            vlan: None,
            packets: None,
            train: false,
        }
    }

    /// The same as packets to so many networks.
    ///
    /// # Panics
    ///
    /// If a frame would be too small for them: see [`FramePlan::size_min`].
    pub fn of_packets(self, version: Version, networks: usize) -> FramePlan {
        let least = *self.size.pattern().iter().min().expect("a pattern is not empty");
        assert!(least >= FramePlan::size_min(version), "there is room for a header");
        FramePlan { flows: networks, packets: Some(version), ..self }
    }

    /// Octets of the smallest frame with a packet.
    pub fn size_min(version: Version) -> usize {
        HEADER_LEN + version.header_len() + SIGNATURE_LEN
    }

    /// The way back: by its frames the stations are learned to which these go.
    pub fn back(&self) -> FramePlan {
        let pairing = match self.pairing {
            Pairing::OneToEach => Pairing::EachToOne,
            Pairing::EachToOne => Pairing::OneToEach,
            // A group does not speak: a single station at one of its ports.
            Pairing::EachToEach | Pairing::ToGroup(_) => Pairing::EachToEach,
        };
        FramePlan { from: self.to, to: self.from, pairing, ..self.clone() }
    }

    /// Whether its frames are to come out of this port.
    pub fn goes_to(&self, port: usize) -> bool {
        match self.pairing {
            Pairing::ToGroup(_) => port != usize::from(self.from),
            _ => port == usize::from(self.to),
        }
    }

    /// How many stations speak.
    pub fn sources(&self) -> usize {
        match self.pairing {
            Pairing::OneToEach => 1,
            // A port's host is one, however many networks are behind it.
            _ if self.packets.is_some() => 1,
            _ => self.flows,
        }
    }

    /// The address of a station behind a port: locally administered, of one host.
    pub fn address(port: u8, flow: usize) -> [u8; 6] {
        let [_, high, middle, low] = (flow as u32).to_be_bytes();
        [0x02, 0xb5, port, high, middle, low]
    }

    /// What stands in front of the signature of the frame of this number.
    pub fn head(&self, sequence: u64) -> Head {
        self.head_behind(sequence, 0)
    }

    /// The same after so many routers, which packets meet.
    fn head_behind(&self, sequence: u64, routers: u8) -> Head {
        let (station, flow) = (FramePlan::address, (sequence % self.flows as u64) as usize);
        let (from, to) = match (self.packets, self.pairing) {
            (Some(_), _) if routers == 0 => (station(self.from, 0), Version::router(self.from)),
            (Some(_), _) => (Version::router(self.to), station(self.to, 0)),
            (_, Pairing::EachToEach) => (station(self.from, flow), station(self.to, flow)),
            (_, Pairing::OneToEach) => (station(self.from, 0), station(self.to, flow)),
            (_, Pairing::EachToOne) => (station(self.from, flow), station(self.to, 0)),
            (_, Pairing::ToGroup(group)) => (station(self.from, flow), group),
        };
        let (mut head, len) = self.head_between(from, to);
        let sizes = self.size.pattern();
        let octets = sizes[(sequence % sizes.len() as u64) as usize] - HEADER_LEN;
        if self.train {
            train::write(&mut head[len..], self, octets);
            return (head, len + train::HEADER_LEN);
        }
        let Some(version) = self.packets else { return (head, len) };
        let network = packet::drawn(sequence, self.flows);
        version.write(&mut head[len..], self, network, octets, routers);
        (head, len + version.header_len())
    }

    /// What stands in front of the signature of a frame by which the address of a flow is learned:
    /// it is to everybody. By packets routers learn who is behind them.
    pub fn learning_head(&self, flow: usize) -> Head {
        match self.packets {
            Some(_) => self.head(flow as u64),
            None if self.train => {
                let (mut head, len) = self.head(flow as u64);
                head[..6].fill(0xff);
                (head, len)
            }
            None => self.head_between(FramePlan::address(self.from, flow), [0xff; 6]),
        }
    }

    fn head_between(&self, from: [u8; 6], to: [u8; 6]) -> Head {
        let mut head = [0; HEAD_MAX];
        head[..6].copy_from_slice(&to);
        head[6..12].copy_from_slice(&from);
        let len = match self.vlan {
            None => HEADER_LEN,
            Some(vlan) => {
                head[12..16].copy_from_slice(&tag(vlan));
                HEADER_LEN + 4
            }
        };
        let version = self.packets.or(self.train.then_some(Version::V4));
        let ether_type = version.map_or(EXPERIMENT, Version::ether_type);
        head[len - 2..len].copy_from_slice(&ether_type);
        (head, len)
    }

    /// What stands behind the signatures of frames that follow each other, from the first on and
    /// over again.
    pub fn fillers(&self) -> Vec<Filler> {
        let train = if self.train { train::HEADER_LEN } else { 0 };
        let header = HEADER_LEN + train + self.packets.map_or(0, Version::header_len);
        let filler = |size: &usize| Filler::new(size - header - SIGNATURE_LEN);
        self.size.pattern().iter().map(filler).collect()
    }

    /// What is told in front of each frame to a socket that is to be told ([`VNET_LEN`] octets).
    pub fn vnet_header(&self) -> Option<[u8; VNET_LEN]> {
        self.train.then(train::vnet_header)
    }

    /// Whether a frame, from which the kernel has taken the tag, begins as that of this number is
    /// to come.
    pub fn is_head(&self, frame: &[u8], tag_taken: Option<[u8; 4]>, sequence: u64) -> bool {
        let (mut own, mut len) = self.head_behind(sequence, self.packets.is_some().into());
        if self.vlan.is_some() {
            own.copy_within(16..len, 12);
            len -= 4;
        }
        frame.starts_with(&own[..len]) && tag_taken == self.vlan.map(tag)
    }
}

/// The octets behind a signature.
#[derive(Clone, Debug)]
pub struct Filler {
    octets: Vec<u8>,
    check: crc32fast::Hasher,
}

impl Filler {
    fn new(len: usize) -> Filler {
        // Not all alike: a frame that is cut and put together wrongly must be noticed.
        let octets: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
        let mut check = crc32fast::Hasher::new();
        check.update(&octets);
        Filler { octets, check }
    }

    /// The octets.
    pub fn octets(&self) -> &[u8] {
        &self.octets
    }

    /// A signature as it is sent in front of them.
    pub fn sign(&self, signature: Signature) -> [u8; SIGNATURE_LEN] {
        let mut octets = [0; SIGNATURE_LEN];
        octets[0] = signature.purpose as u8;
        octets[1..3].copy_from_slice(&signature.stream.to_be_bytes());
        octets[3..8].copy_from_slice(&signature.sequence.to_be_bytes()[3..]);
        octets[8..14].copy_from_slice(&signature.due_ns.to_be_bytes()[2..]);
        let mut check = self.check.clone();
        check.update(&octets[..CHECK.start]);
        octets[CHECK].copy_from_slice(&check.finalize().to_be_bytes());
        octets
    }
}

/// What a frame that came turns out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// One of the tester's, behind the signature as it was sent.
    Own(Signature),
    /// One of the tester's that was changed on its way.
    Damaged,
    /// Somebody else's.
    Foreign,
}

/// Looks at a frame from which the kernel has taken the outer tag. The head is not compared: see
/// [`FramePlan::is_head`].
pub fn look(frame: &[u8]) -> Found {
    // The tester's own by its type, or, were that damaged, by both addresses.
    let own_address = |at: usize| frame.get(at..at + 2) == Some(&[0x02, 0xb5]);
    let at = match packet::look(frame) {
        Some(Some(at)) => at,
        Some(None) if train::look(frame).is_some() => train::SIGNATURE_AT,
        Some(None) => return Found::Foreign,
        None if frame.get(12..14) == Some(&EXPERIMENT) => HEADER_LEN,
        None if own_address(0) && own_address(6) => HEADER_LEN,
        None => return Found::Foreign,
    };
    let Some(signed) = frame.get(at..at + SIGNATURE_LEN) else {
        return Found::Damaged;
    };
    let mut check = crc32fast::Hasher::new();
    check.update(&frame[at + SIGNATURE_LEN..]);
    check.update(&signed[..CHECK.start]);
    let purpose = [Purpose::Measure, Purpose::Learn].into_iter().find(|p| *p as u8 == signed[0]);
    let (true, Some(purpose)) = (signed[CHECK] == check.finalize().to_be_bytes(), purpose) else {
        return Found::Damaged;
    };
    let number = |octets: &[u8]| octets.iter().fold(0, |sum, octet| sum << 8 | u64::from(*octet));
    Found::Own(Signature {
        purpose,
        stream: number(&signed[1..3]) as u16,
        sequence: number(&signed[3..8]),
        due_ns: number(&signed[8..14]),
    })
}

fn tag(vlan: u16) -> [u8; 4] {
    let [high, low] = (vlan & 0xfff).to_be_bytes();
    [0x81, 0x00, high, low]
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGNATURE: Signature = Signature {
        purpose: Purpose::Measure,
        stream: 0x0102,
        sequence: 0x03_0405_0607,
        due_ns: 0x0809_0a0b_0c0d,
    };

    fn frame(plan: &FramePlan, signature: Signature) -> Vec<u8> {
        let fillers = plan.fillers();
        let filler = &fillers[signature.sequence as usize % fillers.len()];
        let (head, len) = plan.head(signature.sequence);
        [&head[..len], &filler.sign(signature), filler.octets()].concat()
    }

    #[test]
    fn smallest_frame_octet_for_octet() {
        let plan = FramePlan { flows: 2, ..FramePlan::new(0x0102, 1, 2, Size::Octets(60)) };
        let octets = frame(&plan, SIGNATURE);
        assert_eq!(octets[..6], [2, 0xb5, 2, 0, 0, 1]);
        assert_eq!(octets[6..14], [2, 0xb5, 1, 0, 0, 1, 0x88, 0xb5]);
        assert_eq!(octets[14..28], [0xb5, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]);
        let filler: Vec<u8> = (0..28).collect();
        assert_eq!(octets[32..], filler);
        let check = crc32fast::hash(&[&filler[..], &octets[14..28]].concat());
        assert_eq!(octets[28..32], check.to_be_bytes());
        assert_eq!(look(&octets), Found::Own(SIGNATURE));
        assert!(plan.is_head(&octets, None, SIGNATURE.sequence));
    }

    #[test]
    fn every_bit_counts() {
        for size in [60, 61, 1514] {
            let plan = FramePlan::new(7, 0, 1, Size::Octets(size));
            let octets = frame(&plan, SIGNATURE);
            assert_eq!(octets.len(), size);
            for bit in 0..octets.len() * 8 {
                let mut damaged = octets.clone();
                damaged[bit / 8] ^= 1 << (bit % 8);
                let sound = match look(&damaged) {
                    Found::Own(signature) => plan.is_head(&damaged, None, signature.sequence),
                    Found::Damaged => false,
                    Found::Foreign => panic!("bit {bit} makes it somebody else's"),
                };
                assert!(!sound, "bit {bit}");
            }
            for len in [octets.len() - 1, 40, 31, 14] {
                assert_eq!(look(&octets[..len]), Found::Damaged, "cut to {len}");
            }
            assert_eq!(look(&[&octets[..], &[0]].concat()), Found::Damaged);
        }
    }

    #[test]
    fn a_tag_is_behind_the_addresses_and_compared_apart() {
        let plan = FramePlan { vlan: Some(42), ..FramePlan::new(7, 0, 1, Size::Octets(60)) };
        let octets = frame(&plan, SIGNATURE);
        assert_eq!(octets.len(), 64);
        assert_eq!(octets[12..18], [0x81, 0, 0, 42, 0x88, 0xb5]);
        let taken = [&octets[..12], &octets[16..]].concat();
        assert_eq!(look(&taken), Found::Own(SIGNATURE));
        let is_head = |tag| plan.is_head(&taken, tag, SIGNATURE.sequence);
        assert!(is_head(Some([0x81, 0, 0, 42])));
        assert!(!is_head(Some([0x81, 0, 0, 43])) && !is_head(None));
    }

    #[test]
    fn stations_are_paired_as_is_said() {
        let plan = FramePlan { flows: 1 << 17, ..FramePlan::new(0, 1, 2, Size::Octets(60)) };
        let last = plan.flows as u64 - 1;
        let [far, near] = [2, 1].map(|port| [2, 0xb5, port, 1, 0xff, 0xff]);
        let [first_far, first_near] = [2, 1].map(|port| [2, 0xb5, port, 0, 0, 0]);
        for (pairing, to, from, sources) in [
            (Pairing::EachToEach, far, near, plan.flows),
            (Pairing::OneToEach, far, first_near, 1),
            (Pairing::EachToOne, first_far, near, plan.flows),
            (BROADCAST, [0xff; 6], near, plan.flows),
        ] {
            let plan = FramePlan { pairing, ..plan.clone() };
            let (head, _) = plan.head(last);
            assert_eq!((&head[..6], &head[6..12]), (&to[..], &from[..]), "{pairing:?}");
            assert_eq!(plan.sources(), sources, "{pairing:?}");
            let ports: Vec<usize> = (0..4).filter(|port| plan.goes_to(*port)).collect();
            let all = pairing == BROADCAST;
            assert_eq!(ports, if all { vec![0, 2, 3] } else { vec![2] }, "{pairing:?}");
            let back = plan.back();
            assert_eq!((back.from, back.to), (2, 1));
            // Who speaks on the way back is who is spoken to.
            let (head, _) = back.head(last);
            assert!(all || head[6..12] == to, "{pairing:?}");
        }
    }

    #[test]
    fn a_mix_has_seven_small_four_middling_and_one_large_in_turn() {
        let plan = FramePlan::new(7, 0, 1, Size::Imix);
        let mut sizes: Vec<usize> = (0..24)
            .map(|sequence| frame(&plan, Signature { sequence, ..SIGNATURE }).len())
            .collect();
        assert_eq!(sizes[..12], sizes[12..]);
        sizes.truncate(12);
        sizes.sort_unstable();
        assert_eq!(sizes, [60, 60, 60, 60, 60, 60, 60, 590, 590, 590, 590, 1514]);
        assert_eq!((Size::Imix.most(), Size::Imix.mean().round()), (1514, 358.0));
        assert_eq!("imix".parse(), Ok(Size::Imix));
        assert_eq!("60".parse(), Ok(Size::Octets(60)));
        assert!("59".parse::<Size>().unwrap_err().contains("60 to 65549"));
    }

    #[test]
    fn what_others_say_is_foreign() {
        let mut arp = vec![0xff; 6];
        arp.extend([2, 0, 0, 0, 0, 1, 8, 6]);
        arp.resize(60, 0);
        assert_eq!(look(&arp), Found::Foreign);
        assert_eq!(look(&[]), Found::Foreign);
        // Whoever experiments with the same type.
        arp[12..14].copy_from_slice(&EXPERIMENT);
        assert_eq!(look(&arp), Found::Damaged);
    }
}

//! The script: what is sent, where, and when there is a pause. Drawn from one seed.

pub type Mac = [u8; 6];

/// Octets of an Ethernet header.
pub const ETHERNET_OCTETS: usize = 14;
/// Octets of a VLAN tag.
pub const TAG_OCTETS: usize = 4;
/// Octets of two addresses.
const ADDRESSES_OCTETS: usize = 12;

/// Ports on either side.
pub const PORTS: usize = 4;
/// Their MTU. The first and the second take large frames, so that there is one to send them and
/// one to receive them.
pub const MTUS: [usize; PORTS] = [9000, 9000, 1500, 1500];

/// Stations that speak; some more only are spoken to.
const STATIONS: u64 = 10;
/// Frames of one step at the most: fewer than any queue holds.
const BURST_MAX: u64 = 12;

/// One thing to do.
#[derive(Clone, Debug)]
pub enum Step {
    /// Send these frames at this port, one after the other.
    Send { port: usize, frames: Vec<Vec<u8>> },
    /// Wait until everybody who is silent is forgotten.
    Wait,
}

/// Numbers that look random (splitmix64, Steele et al. 2014), the same ones for the same seed.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn one_of<T: Copy>(&mut self, some: &[T]) -> T {
        some[self.below(some.len() as u64) as usize]
    }
}

/// So many steps, with a wait among them about every so manieth if `wait_every` is not 0.
pub fn script(random: &mut Random, steps: usize, wait_every: u64) -> Vec<Step> {
    let mut number = 0;
    let mut draw = |_| {
        if wait_every > 0 && random.below(wait_every) == 0 {
            return Step::Wait;
        }
        let port = random.below(PORTS as u64) as usize;
        let count = 1 + random.below(BURST_MAX);
        let mut frames: Vec<Vec<u8>> = Vec::new();
        for _ in 0..count {
            number += 1;
            let frame = frame(random, port, number);
            // Which of two equal frames arrived could not be told.
            if !frames.contains(&frame) {
                frames.push(frame);
            }
        }
        Step::Send { port, frames }
    };
    (0..steps).map(&mut draw).collect()
}

/// A frame as hosts, and people who mean harm, send them.
fn frame(random: &mut Random, port: usize, number: u32) -> Vec<u8> {
    let mut frame = [to(random), from(random)].concat();
    let (head, shortest): (&[u8], usize) = match random.below(16) {
        // A priority tag (VID 0), a tag, a service tag, two tags, three.
        0 => (&[0x81, 0, 0xa0, 0], 20),
        1 => (&[0x81, 0, 0xe0, 0x2a], 20),
        2 => (&[0x88, 0xa8, 0, 7], 20),
        3 => (&[0x88, 0xa8, 0, 7, 0x81, 0, 0, 8], 24),
        4 => (&[0x81, 0, 0, 1, 0x81, 0, 0, 2, 0x81, 0, 0, 3], 28),
        // LLC lengths, honest or not.
        5 => return [&frame[..], &[0, 46, 0x42, 0x42, 3], &[0; 43]].concat(),
        6 => return [&frame[..], &[5, 0xdc, 0xaa, 0xaa, 3]].concat(),
        _ => (&[], ETHERNET_OCTETS),
    };
    frame.extend(head);
    // IPv4, ARP, IPv6, PAUSE, LLDP, PPPoE, experiments: with nothing sensible inside.
    let kinds = [0x0800, 0x0806, 0x86dd, 0x8808, 0x88cc, 0x8863, 0x88b5, 0xffff_u16];
    frame.extend(random.one_of(&kinds).to_be_bytes());
    frame.extend(number.to_be_bytes());
    let octets = length(random, port, head.len()).max(shortest);
    let mut filling = number as u8;
    frame.resize_with(octets.max(shortest), || {
        filling = filling.wrapping_mul(5).wrapping_add(1);
        filling
    });
    frame
}

/// How long a frame with so many octets of tags is to be: often at a limit.
fn length(random: &mut Random, port: usize, tags: usize) -> usize {
    let short = ETHERNET_OCTETS + tags + random.below(60) as usize;
    // What the sending host does not take either is no question to a bridge.
    let largest = MTUS[PORTS - 1] + ETHERNET_OCTETS + tags.min(TAG_OCTETS);
    match random.below(8) {
        0..4 => short,
        4 => 1000 + random.below(400) as usize,
        5 if MTUS[port] > MTUS[PORTS - 1] => largest - 6 + random.below(20) as usize,
        6 if MTUS[port] > MTUS[PORTS - 1] => 2000 + random.below(7000) as usize,
        _ => MTUS[PORTS - 1] + ETHERNET_OCTETS - random.below(4) as usize,
    }
}

fn to(random: &mut Random) -> Mac {
    match random.below(12) {
        0 => [0xff; 6],
        // IPv4 and IPv6 multicast, a group of nobody's, one after the reserved ones.
        1 => random.one_of(&[
            [1, 0, 0x5e, 0, 0, 1],
            [0x33, 0x33, 0, 0, 0, 1],
            [3, 0, 0, 0, 0, 9],
            [1, 0x80, 0xc2, 0, 0, 0x10],
        ]),
        2 => [1, 0x80, 0xc2, 0, 0, random.below(16) as u8],
        // Those of whom Linux thinks something of its own, more often.
        3 => [1, 0x80, 0xc2, 0, 0, random.below(3) as u8],
        4 if random.below(4) == 0 => [0; 6],
        _ => station(random, STATIONS + 2),
    }
}

fn from(random: &mut Random) -> Mac {
    match random.below(30) {
        0 => [0; 6],
        1 => [0xff; 6],
        2 => [3, 0, 0, 0, 0, random.below(STATIONS) as u8],
        _ => station(random, STATIONS),
    }
}

fn station(random: &mut Random, count: u64) -> Mac {
    [2, 0, 0, 0, 1, random.below(count) as u8]
}

/// For whom a frame is.
pub fn destination(frame: &[u8]) -> Mac {
    *frame.first_chunk().expect("a whole header")
}

/// From whom a frame is.
pub fn source(frame: &[u8]) -> Mac {
    *frame[6..].first_chunk().expect("a whole header")
}

/// Whether an address is a group's.
pub fn is_group(mac: Mac) -> bool {
    mac[0] & 1 == 1
}

/// VLAN tags of a frame, two at the most.
pub fn tags(frame: &[u8]) -> usize {
    let at = |n: usize| frame.get(ADDRESSES_OCTETS + n * TAG_OCTETS..)?.first_chunk::<2>();
    let is_tag = |n: &usize| matches!(at(*n), Some([0x81, 0] | [0x88, 0xa8]));
    (0..2).take_while(is_tag).count()
}

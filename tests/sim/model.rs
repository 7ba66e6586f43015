//! The model bridge: the same rules in the plainest words, with a map for a table and a queue for
//! a cable. It shares no code with the bridge and is not quick.
//!
//! What it cannot know is which stations share a bucket, hence when exactly an expired entry is
//! met and gives its quota back. So a run either sweeps with each step of time, and then limits may
//! be narrow, or sweeps when it likes, and then limits are wider than all that it learns.

use std::collections::{BTreeMap, HashMap, VecDeque};

use uswitch::stats::Counter;

pub type Address = [u8; 6];

/// Entries that nobody else can take, for as many ports as half of the table allows.
const RESERVE: usize = 8;
/// Octets of a virtio-net header.
pub const VNET: usize = 10;
/// Octets that one direction of a cable holds, each frame with four more for its length.
const LINE_OCTETS: usize = 1 << 18;

pub struct Model {
    pub size: usize,
    /// In ticks, as all times.
    pub ageing: i64,
    /// Reserved addresses are flooded.
    pub wire: bool,
    /// Behind which port, and when heard last.
    pub table: HashMap<Address, (usize, i64)>,
    /// Behind which port a station was said to be, and when it was heard there, or that was said.
    pub statics: BTreeMap<Address, (usize, i64)>,
    /// Quota and reserve of each port.
    pub terms: BTreeMap<usize, (usize, usize)>,
}

/// What becomes of a frame.
pub enum Fate {
    Drop(Counter),
    Flood,
    To(usize),
}

impl Model {
    /// A bridge that knows nobody.
    pub fn new(size: usize, ageing: i64, wire: bool) -> Model {
        let (table, statics, terms) = (HashMap::new(), BTreeMap::new(), BTreeMap::new());
        Model { size, ageing, wire, table, statics, terms }
    }

    /// What the source taught, and where the frame goes.
    pub fn decide(&mut self, octets: &[u8], port: usize, now: i64) -> (Option<Counter>, Fate) {
        if octets.len() < 14 {
            return (None, Fate::Drop(Counter::RxRunt));
        }
        let (to, from) = (address(&octets[..6]), address(&octets[6..12]));
        if from[0] % 2 == 1 {
            return (None, Fate::Drop(Counter::RxGroupSource));
        }
        if from == [0; 6] {
            return (None, Fate::Drop(Counter::RxNullSource));
        }
        let learned = self.learn(from, port, now);
        let fate = match self.find(to, now) {
            _ if to[..5] == [1, 0x80, 0xc2, 0, 0] && to[5] < 16 && !self.wire => {
                Fate::Drop(Counter::FilterReserved)
            }
            Some(there) if there == port => Fate::Drop(Counter::FilterSamePort),
            Some(there) => Fate::To(there),
            None => Fate::Flood,
        };
        (learned, fate)
    }

    pub fn find(&self, station: Address, now: i64) -> Option<usize> {
        if let Some((port, _)) = self.statics.get(&station) {
            return Some(*port);
        }
        let (port, heard) = self.table.get(&station)?;
        (now - heard < self.ageing).then_some(*port)
    }

    fn learn(&mut self, station: Address, port: usize, now: i64) -> Option<Counter> {
        if let Some((there, heard)) = self.statics.get_mut(&station) {
            if *there != port {
                return Some(Counter::LearnStatic);
            }
            *heard = now.max(*heard);
            return None;
        }
        let known = self.find(station, now);
        let entry = self.table.get(&station).copied();
        if entry.is_none_or(|(there, _)| there != port)
            && let Some(refusal) = self.refusal(port)
        {
            self.table.remove(&station);
            return Some(refusal);
        }
        // A clock that was read a little earlier sets nothing back.
        let heard = if known == Some(port) { now.max(entry?.1) } else { now };
        self.table.insert(station, (port, heard));
        match known {
            Some(there) if there == port => None,
            Some(_) => Some(Counter::LearnMoved),
            None => Some(Counter::LearnNew),
        }
    }

    /// Why this port may not have one entry more.
    fn refusal(&self, port: usize) -> Option<Counter> {
        let (quota, reserve) = self.terms.get(&port).copied().unwrap_or_default();
        let used = self.used_by(port);
        if used >= quota {
            return Some(Counter::LearnQuota);
        }
        let taken = |(port, terms): (&usize, &(usize, usize))| self.used_by(*port).max(terms.1);
        let common: usize = self.terms.iter().map(taken).sum();
        (used >= reserve && common >= self.size).then_some(Counter::LearnFull)
    }

    pub fn used_by(&self, port: usize) -> usize {
        self.table.values().filter(|(there, _)| *there == port).count()
    }

    /// Admits a port, or gives it another quota.
    pub fn admit(&mut self, port: usize, quota: usize) {
        let reserved: usize = self.terms.values().map(|terms| terms.1).sum();
        let reserve = if reserved + RESERVE <= self.size / 2 { RESERVE } else { 0 };
        let terms = self.terms.entry(port).or_insert((quota, reserve));
        *terms = (quota, if terms.1 == 0 { reserve } else { terms.1 });
    }

    pub fn forget(&mut self, port: usize) {
        self.terms.remove(&port);
        self.table.retain(|_, (there, _)| *there != port);
        self.statics.retain(|_, (there, _)| *there != port);
    }

    /// Somebody says where a station is.
    pub fn say(&mut self, station: Address, port: usize, now: i64) {
        self.table.remove(&station);
        self.statics.insert(station, (port, now));
    }

    /// Deletes what was said or learned of a station, and tells where it was.
    pub fn delete(&mut self, station: Address, now: i64) -> Option<usize> {
        let port = self.find(station, now);
        self.table.remove(&station);
        self.statics.remove(&station);
        port
    }

    /// Removes what has expired and says how much.
    pub fn sweep(&mut self, now: i64) -> usize {
        let before = self.table.len();
        self.table.retain(|_, (_, heard)| now - *heard < self.ageing);
        before - self.table.len()
    }
}

fn address(octets: &[u8]) -> Address {
    octets.try_into().expect("six octets")
}

/// The frame without its virtio-net header.
pub fn octets(wire: &[u8]) -> &[u8] {
    wire.get(VNET..).unwrap_or_default()
}

/// Whether a frame is too large for a port: its payload, after two tags at the most, or that of
/// its largest segment.
pub fn oversize(wire: &[u8], mtu: u32) -> bool {
    let frame = octets(wire);
    let tagged = |at: usize| matches!(frame.get(at..at + 2), Some([0x81, 0] | [0x88, 0xa8]));
    let header = match (tagged(12), tagged(16)) {
        (true, true) => 22,
        (true, false) => 18,
        (false, _) => 14,
    };
    let largest = segment(wire).unwrap_or(frame.len()).min(frame.len());
    largest > header + mtu as usize
}

/// Octets of the largest segment, if the frame is one that can be cut.
fn segment(wire: &[u8]) -> Option<usize> {
    let (vnet, frame) = wire.split_at_checked(VNET)?;
    let number = |at: usize| usize::from(vnet[at]) + 256 * usize::from(vnet[at + 1]);
    let (size, transport) = (number(4), number(6));
    if vnet[0] % 2 == 0 || vnet[1] == 0 {
        return None;
    }
    let header = match vnet[1] % 128 {
        5 => 8,
        _ => usize::from(*frame.get(transport + 12)? / 16) * 4,
    };
    Some(transport + header + size)
}

/// One direction of a cable.
pub struct Line {
    pub frames: VecDeque<Vec<u8>>,
    room: usize,
    octets: usize,
}

impl Line {
    pub fn new(room: usize) -> Line {
        Line { frames: VecDeque::new(), room, octets: 0 }
    }

    /// `false`: there is no room.
    pub fn put(&mut self, wire: &[u8]) -> bool {
        let octets = self.octets + 4 + wire.len();
        let fits = self.frames.len() < self.room && octets <= LINE_OCTETS;
        if fits {
            self.octets = octets;
            self.frames.push_back(wire.to_vec());
        }
        fits
    }

    /// Those that there was room for, and octets of them.
    pub fn put_all(&mut self, wires: &[Vec<u8>]) -> (usize, usize) {
        let taken = wires.iter().filter(|wire| self.put(wire));
        taken.fold((0, 0), |(count, sum), wire| (count + 1, sum + octets(wire).len()))
    }

    pub fn take(&mut self) -> Option<Vec<u8>> {
        let wire = self.frames.pop_front()?;
        self.octets -= 4 + wire.len();
        Some(wire)
    }
}

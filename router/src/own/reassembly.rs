//! Packets in fragments, until all of them are there (RFC 791, section 3.2; RFC 8200, section
//! 4.5).
//!
//! Fragments that overlap are nobody's good will: all of the packet is forgotten (RFC 5722,
//! section 4, for IPv4 too); one that comes twice is not minded. Each leg has its own few packets,
//! of which the oldest gives way, so that who sends the halves of many costs his own link alone.
//! What is held is what came, never what a field says.

use std::{collections::VecDeque, net::IpAddr};

/// Packets of one leg that wait for fragments, at most.
pub(super) const PACKETS_MAX: usize = 4;
/// Fragments of one packet, at most: 64 KiB in those of a link with an MTU of 576.
pub(super) const FRAGMENTS_MAX: usize = 128;
/// For how long a packet waits for its fragments (RFC 8200, section 4.5; RFC 1122, section
/// 3.3.2, has that and more).
pub(super) const WAIT_MILLIS: u64 = 60_000;
/// Octets of the payload of a packet, at most.
const PAYLOAD_MAX: usize = 65_535;

/// Of which packet a fragment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    pub(super) ident: u32,
    /// Of IPv4; 0 of IPv6, which has several in a row.
    pub(super) protocol: u8,
}

/// A fragment.
pub(super) struct Part<'a> {
    pub(super) key: Key,
    /// Where its payload belongs in that of the packet.
    pub(super) offset: usize,
    /// Whether there is more behind it.
    pub(super) more: bool,
    pub(super) payload: &'a [u8],
    /// What stands before the payload of the packet, if this is the first fragment.
    pub(super) head: Option<Vec<u8>>,
    /// All of the fragment, as it came.
    pub(super) octets: &'a [u8],
}

/// What became of a fragment.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Joined {
    /// It waits for others.
    Waits,
    /// It was the last to come: this is the packet, with the head as it was given.
    Whole(Vec<u8>),
    /// It does not go with those that are there, and they are forgotten.
    Overlap,
    /// There are too many.
    TooMany,
}

/// All that wait.
pub(super) struct Reassembly {
    /// By leg, the oldest first.
    legs: Vec<VecDeque<Packet>>,
}

struct Packet {
    key: Key,
    until: u64,
    /// By place; no two overlap.
    pieces: Vec<(usize, Box<[u8]>)>,
    /// Octets of all of them.
    octets: usize,
    /// Octets of the whole payload, when the last fragment has come.
    len: Option<usize>,
    head: Vec<u8>,
    /// The first fragment as it came, for whom it has to be told that the others did not.
    first: Option<Box<[u8]>>,
}

impl Reassembly {
    pub(super) fn new(legs: usize) -> Reassembly {
        Reassembly { legs: (0..legs).map(|_| VecDeque::new()).collect() }
    }

    /// Takes a fragment.
    pub(super) fn add(&mut self, leg: usize, part: Part<'_>, now_millis: u64) -> Joined {
        let Some(packets) = self.legs.get_mut(leg) else { return Joined::TooMany };
        let at = packets.iter().position(|packet| packet.key == part.key).unwrap_or_else(|| {
            if packets.len() == PACKETS_MAX {
                packets.pop_front();
            }
            packets.push_back(Packet::new(part.key, now_millis.saturating_add(WAIT_MILLIS)));
            packets.len() - 1
        });
        let joined = packets[at].add(part);
        if joined != Joined::Waits {
            packets.remove(at);
        }
        joined
    }

    /// When a packet will have waited for too long, in milliseconds.
    pub(super) fn next(&self) -> Option<u64> {
        let oldest = self.legs.iter().filter_map(VecDeque::front);
        oldest.map(|packet| packet.until).min()
    }

    /// Takes out a packet that has waited for too long: its leg, and the first fragment if that
    /// has come.
    pub(super) fn expired(&mut self, now_millis: u64) -> Option<(usize, Option<Box<[u8]>>)> {
        self.legs.iter_mut().enumerate().find_map(|(leg, packets)| {
            packets.front().filter(|packet| packet.until <= now_millis)?;
            let packet = packets.pop_front()?;
            Some((leg, packet.first))
        })
    }
}

impl Packet {
    fn new(key: Key, until: u64) -> Packet {
        let (pieces, head) = (Vec::new(), Vec::new());
        Packet { key, until, pieces, octets: 0, len: None, head, first: None }
    }

    fn add(&mut self, part: Part<'_>) -> Joined {
        let (from, end) = (part.offset, part.offset + part.payload.len());
        if end > PAYLOAD_MAX || part.payload.is_empty() {
            return Joined::Overlap;
        }
        let at = self.pieces.partition_point(|(offset, _)| *offset < from);
        let next = self.pieces.get(at);
        if next.is_some_and(|(offset, octets)| *offset == from && **octets == *part.payload) {
            return Joined::Waits;
        }
        let before = at.checked_sub(1).map(|before| &self.pieces[before]);
        let last = self.pieces.last().map_or(0, |(offset, octets)| offset + octets.len());
        let len = if part.more { self.len } else { Some(end) };
        if next.is_some_and(|(offset, _)| *offset < end)
            || before.is_some_and(|(offset, octets)| offset + octets.len() > from)
            || self.len.is_some_and(|known| Some(known) != len)
            || len.is_some_and(|len| end.max(last) > len)
        {
            return Joined::Overlap;
        }
        if self.pieces.len() == FRAGMENTS_MAX {
            return Joined::TooMany;
        }
        if let Some(head) = part.head {
            self.head = head;
            self.first = Some(part.octets.into());
        }
        self.len = len;
        self.octets += part.payload.len();
        self.pieces.insert(at, (from, part.payload.into()));
        // None overlaps and none is behind the end: so many octets leave no hole.
        if self.len != Some(self.octets) {
            return Joined::Waits;
        }
        let mut whole = std::mem::take(&mut self.head);
        self.pieces.iter().for_each(|(_, octets)| whole.extend_from_slice(octets));
        Joined::Whole(whole)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(ident: u32) -> Key {
        let [source, destination] = [[10, 0, 0, 2], [10, 0, 0, 1]].map(IpAddr::from);
        Key { source, destination, ident, protocol: 17 }
    }

    fn part<'a>(ident: u32, offset: usize, payload: &'a [u8], more: bool) -> Part<'a> {
        let head = (offset == 0).then(|| b"head".to_vec());
        Part { key: key(ident), offset, more, payload, head, octets: payload }
    }

    #[test]
    fn fragments_in_any_order_become_the_packet() {
        let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
        for order in orders {
            let mut reassembly = Reassembly::new(1);
            let parts =
                [(0, &b"firsthalf second"[..], true), (16, b"thirdpar", true), (24, b"end", false)];
            for (count, at) in order.into_iter().enumerate() {
                let (offset, payload, more) = parts[at];
                let joined = reassembly.add(0, part(1, offset, payload, more), 0);
                if count < 2 {
                    assert_eq!(joined, Joined::Waits);
                    // Again: nothing changes.
                    assert_eq!(reassembly.add(0, part(1, offset, payload, more), 0), Joined::Waits);
                } else {
                    assert_eq!(joined, Joined::Whole(b"headfirsthalf secondthirdparend".to_vec()));
                }
            }
            assert!(reassembly.legs[0].is_empty());
        }
    }

    #[test]
    fn fragments_that_overlap_are_forgotten_with_all_that_came() {
        let overlaps = [
            (8, &b"12345678"[..], true),
            (0, b"otherwise_same!!", true),
            (0, b"1234567812345678>", false),
            (16, b"more behind the end", true),
            (24, b"another end", false),
            (16, b"", true),
        ];
        for (offset, payload, more) in overlaps {
            let mut reassembly = Reassembly::new(1);
            assert_eq!(reassembly.add(0, part(1, 0, b"1234567812345678", true), 0), Joined::Waits);
            assert_eq!(reassembly.add(0, part(1, 24, b"end", false), 0), Joined::Waits);
            assert_eq!(reassembly.add(0, part(1, offset, payload, more), 0), Joined::Overlap);
            assert!(reassembly.legs[0].is_empty(), "{offset} {payload:?}");
        }
    }

    #[test]
    fn end_before_what_is_there_is_none() {
        let mut reassembly = Reassembly::new(1);
        reassembly.add(0, part(1, 16, b"12345678", true), 0);
        assert_eq!(reassembly.add(0, part(1, 0, b"end", false), 0), Joined::Overlap);
    }

    #[test]
    fn leg_has_a_few_packets_and_takes_none_of_anothers() {
        let mut reassembly = Reassembly::new(2);
        reassembly.add(1, part(7, 0, b"12345678", true), 0);
        for ident in 0..100 {
            assert_eq!(reassembly.add(0, part(ident, 0, b"12345678", true), 0), Joined::Waits);
        }
        assert_eq!(reassembly.legs[0].len(), PACKETS_MAX);
        let end = part(99, 8, b"!", false);
        assert_eq!(reassembly.add(0, end, 0), Joined::Whole(b"head12345678!".to_vec()));
        let end = part(7, 8, b"!", false);
        assert_eq!(reassembly.add(1, end, 0), Joined::Whole(b"head12345678!".to_vec()));
        // No such leg.
        assert_eq!(reassembly.add(2, part(7, 8, b"!", false), 0), Joined::TooMany);
    }

    #[test]
    fn more_fragments_than_there_may_be_end_it() {
        let mut reassembly = Reassembly::new(1);
        let mut add = |at: usize| reassembly.add(0, part(1, at * 8, b"12345678", true), 0);
        assert!((0..FRAGMENTS_MAX).all(|at| add(at) == Joined::Waits));
        assert_eq!(add(FRAGMENTS_MAX), Joined::TooMany);
    }

    #[test]
    fn packet_waits_for_its_time_and_then_its_first_fragment_is_told() {
        let mut reassembly = Reassembly::new(2);
        reassembly.add(0, part(1, 8, b"12345678", true), 5);
        reassembly.add(1, part(1, 0, b"12345678", true), 6);
        assert_eq!(reassembly.expired(4 + WAIT_MILLIS), None);
        assert_eq!(reassembly.expired(5 + WAIT_MILLIS), Some((0, None)));
        assert_eq!(reassembly.expired(5 + WAIT_MILLIS), None);
        let first = Some(b"12345678"[..].into());
        assert_eq!(reassembly.expired(6 + WAIT_MILLIS), Some((1, first)));
        assert_eq!(reassembly.expired(u64::MAX), None);
    }

    proptest! {
        /// Whatever comes: what is whole is as long as its end said, and memory is bounded.
        #[test]
        fn what_is_whole_has_no_hole(
            parts in prop::collection::vec((0u32..3, 0usize..12, 1usize..40, any::<bool>()), 1..60),
        ) {
            let mut reassembly = Reassembly::new(1);
            let octets: Vec<u8> = (0..=255).collect();
            for (ident, offset, len, more) in parts {
                let from = offset * 8;
                let joined =
                    reassembly.add(0, part(ident, from, &octets[from..from + len], more), 0);
                if let Joined::Whole(whole) = joined {
                    prop_assert_eq!(&whole[..4], b"head");
                    prop_assert_eq!(&whole[4..], &octets[..whole.len() - 4]);
                }
                let of = |packet: &Packet| packet.pieces.iter().map(|(_, piece)| piece.len()).sum();
                for packet in &reassembly.legs[0] {
                    let sum: usize = of(packet);
                    prop_assert_eq!(sum, packet.octets);
                }
            }
        }
    }
}

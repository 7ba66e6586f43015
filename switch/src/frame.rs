//! Frames: the address, the three header fields that the bridge reads, the frame behind its
//! virtio-net header, and the batch in which frames travel.
//!
//! How a frame lies in memory, from the port that received it to the last port that sends it:
//!
//! ```text
//!  | headroom                    | frame                                   |
//!  | ... | virtio-net header, 10 | destination 6 | source 6 | type 2 | ... |
//!        ^ Frame::wire()         ^ Frame::octets()
//! ```
//!
//! The kernel writes and reads `wire` in one piece, so a frame passes from TAP to TAP without a
//! copy in user space and with its offloads intact. The headroom in front is for a VLAN tag.

use std::{fmt, io, str::FromStr};

use crate::offload::{Offload, VNET_HEADER_LEN};

/// Octets of an Ethernet header: destination, source, type or length (IEEE 802.3-2018, 3.1.1).
pub const HEADER_LEN: usize = 14;

/// Octets of the largest frame that is carried: a header with two VLAN tags and an IP packet of
/// 65,535 octets.
pub const FRAME_MAX: usize = HEADER_LEN + 2 * 4 + 65_535;

/// Frames in one batch at the most: one for each bit of a [`Selection`].
pub const BATCH_MAX: usize = 64;

/// Octets of the largest thing that one read returns: a virtio-net header, an Ethernet header
/// with two VLAN tags, and an IP packet of 65,535 octets; rounded up.
pub const WIRE_MAX: usize = 66 * 1024;

/// Octets in front of each frame, virtio-net header included: room for it to grow by two tags.
const HEADROOM: usize = 32;

/// Octets of an [`Arena`]. Small frames fill a batch long before it is full; of 64 KB frames it
/// holds a few, which is enough to amortise a turn and stays inside a level-2 cache.
const ARENA_OCTETS: usize = 256 * 1024;

/// Frames begin on a cache line, less the headroom.
const PITCH: usize = 64;

/// The tag protocol identifiers of a C-tag and an S-tag (IEEE 802.1Q-2018, table 9-1).
const TPIDS: [[u8; 2]; 2] = [[0x81, 0x00], [0x88, 0xa8]];
/// Octets of a VLAN tag.
const TAG_LEN: usize = 4;
/// VLAN tags that may come on top of a port's MTU: a customer's and a provider's.
const TAGS_MAX: usize = 2;
const _: () = assert!(VNET_HEADER_LEN + FRAME_MAX <= WIRE_MAX, "the largest frame is read whole");

/// A MAC address: 48 bits, the first octet on the wire is the most significant.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mac(u64);

impl Mac {
    /// All ones: every station (IEEE 802-2014, 8.2.2).
    pub const BROADCAST: Mac = Mac(0xffff_ffff_ffff);
    /// All zeros: nobody. Not a source that a station may use.
    pub const NULL: Mac = Mac(0);

    /// The address whose octets are these, in the order of the wire.
    pub const fn new(octets: [u8; 6]) -> Mac {
        let [a, b, c, d, e, f] = octets;
        Mac(u64::from_be_bytes([0, 0, a, b, c, d, e, f]))
    }

    /// The octets in the order of the wire.
    pub const fn octets(self) -> [u8; 6] {
        let [_, _, a, b, c, d, e, f] = self.0.to_be_bytes();
        [a, b, c, d, e, f]
    }

    /// The lower 48 bits of a number.
    pub const fn from_bits(bits: u64) -> Mac {
        Mac(bits & 0xffff_ffff_ffff)
    }

    /// The address as a number below 2^48.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// A group address, multicast or broadcast: the I/G bit is set (IEEE 802-2014, 8.2.2).
    pub const fn is_group(self) -> bool {
        self.0 & 0x0100_0000_0000 != 0
    }

    /// One of 01-80-C2-00-00-00 to -0F, which bridges keep to themselves (IEEE 802.1Q-2018,
    /// table 8-1).
    pub const fn is_reserved(self) -> bool {
        self.0 & !0xf == 0x0180_c200_0000
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.octets();
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Mac {
    type Err = MacError;

    /// Six octets in hexadecimal, separated by colons or hyphens.
    fn from_str(text: &str) -> Result<Mac, MacError> {
        let mut octets = [0; 6];
        let mut parts = text.split([':', '-']);
        for octet in &mut octets {
            let part = parts.next().filter(|p| matches!(p.len(), 1 | 2)).ok_or(MacError)?;
            // `from_str_radix` would take a sign.
            if !part.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(MacError);
            }
            *octet = u8::from_str_radix(part, 16).map_err(|_| MacError)?;
        }
        if parts.next().is_some() {
            return Err(MacError);
        }
        Ok(Mac::new(octets))
    }
}

/// The text is not a MAC address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MacError;

impl fmt::Display for MacError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a MAC address is six octets in hexadecimal, as in 02:00:00:00:00:01")
    }
}

impl std::error::Error for MacError {}

/// The fields of a frame by which a bridge decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// To whom.
    pub destination: Mac,
    /// From whom.
    pub source: Mac,
}

impl Header {
    /// Reads the header of a frame. `None`: a runt, too short to have one.
    #[inline]
    pub fn parse(octets: &[u8]) -> Option<Header> {
        let header: &[u8; HEADER_LEN] = octets.first_chunk()?;
        let [a, b, c, d, e, f, g, h, i, j, k, l, _, _] = *header;
        Some(Header {
            destination: Mac::new([a, b, c, d, e, f]),
            source: Mac::new([g, h, i, j, k, l]),
        })
    }
}

/// One frame behind its virtio-net header, borrowed from a batch.
#[derive(Clone, Copy)]
pub struct Frame<'a> {
    wire: &'a [u8],
}

impl<'a> Frame<'a> {
    /// A frame from its octets on the wire: virtio-net header first.
    pub fn from_wire(wire: &'a [u8]) -> Frame<'a> {
        Frame { wire }
    }

    /// Virtio-net header and frame in one piece, as a TAP reads and writes them.
    #[inline]
    pub fn wire(self) -> &'a [u8] {
        self.wire
    }

    /// The frame itself, from the destination address on. Empty when not even the virtio-net
    /// header came in whole.
    #[inline]
    pub fn octets(self) -> &'a [u8] {
        self.wire.get(VNET_HEADER_LEN..).unwrap_or_default()
    }

    /// What the sender left to be done: checksum to complete, segments to cut.
    #[inline]
    pub fn offload(self) -> Offload {
        self.wire.first_chunk().map_or(Offload::NONE, Offload::parse)
    }

    /// Whether it may leave by a port with this MTU: its payload, or that of its largest
    /// segment, has `mtu` octets at the most; up to two VLAN tags come on top, as in the envelope
    /// frames of IEEE 802.3-2018, 3.2.7.
    #[inline]
    pub fn fits(self, mtu: u32) -> bool {
        let mtu = mtu as usize;
        // Nearly every frame ends here.
        if self.octets().len() <= HEADER_LEN + mtu {
            return true;
        }
        self.offload().on_the_wire(self.octets()) <= self.packet_start() + mtu
    }

    /// Where its payload begins, behind the Ethernet header and up to two VLAN tags. The type of
    /// the payload is in the two octets before; the frame may end before that.
    pub fn packet_start(self) -> usize {
        let octets = self.octets();
        let at = |n: usize| octets.get(HEADER_LEN - 2 + n * TAG_LEN..)?.first_chunk::<2>();
        let tagged = |n: &usize| at(*n).is_some_and(|tpid| TPIDS.contains(tpid));
        HEADER_LEN + (0..TAGS_MAX).take_while(tagged).count() * TAG_LEN
    }
}

/// Where in the memory of a batch one frame lies, virtio-net header included.
#[derive(Clone, Copy, Debug, Default)]
pub struct Span {
    /// Octets from the start of the memory.
    pub start: u32,
    /// Octets of virtio-net header and frame.
    pub len: u32,
}

/// Up to [`BATCH_MAX`] frames that one port received, in the order in which they came.
#[derive(Clone, Copy)]
pub struct Batch<'a> {
    memory: &'a [u8],
    spans: &'a [Span],
}

impl<'a> Batch<'a> {
    /// A batch with nothing in it: nothing was ready.
    pub const EMPTY: Batch<'static> = Batch { memory: &[], spans: &[] };

    /// Frames that lie at `spans` of `memory`.
    ///
    /// # Panics
    ///
    /// If there are more than [`BATCH_MAX`], or one is not within the memory: a port's mistake.
    pub fn new(memory: &'a [u8], spans: &'a [Span]) -> Batch<'a> {
        assert!(spans.len() <= BATCH_MAX, "a batch has {BATCH_MAX} frames at the most");
        for span in spans {
            let end = span.start as usize + span.len as usize;
            assert!(end <= memory.len(), "a frame lies within its batch's memory");
        }
        Batch { memory, spans }
    }

    /// How many frames.
    #[inline]
    pub fn len(self) -> usize {
        self.spans.len()
    }

    /// Whether there is none.
    #[inline]
    pub fn is_empty(self) -> bool {
        self.spans.is_empty()
    }

    /// The frame that came in as number `index`, from 0.
    #[inline]
    pub fn frame(self, index: usize) -> Frame<'a> {
        let Span { start, len } = self.spans[index];
        Frame { wire: &self.memory[start as usize..][..len as usize] }
    }

    /// All of it.
    ///
    /// # Panics
    ///
    /// If it is empty: then there is nothing to select from.
    #[inline]
    pub fn all(self) -> Selection<'a> {
        Selection { batch: self, mask: u64::MAX >> (BATCH_MAX - self.len()) }
    }

    /// All frames in the order in which they came.
    pub fn frames(self) -> impl ExactSizeIterator<Item = Frame<'a>> {
        (0..self.len()).map(move |index| self.frame(index))
    }
}

/// A batch as a port lends it: until it is given back its frames may also be written to, as a
/// router does that sends them on with another header.
pub struct Lent<'a> {
    memory: &'a mut [u8],
    spans: &'a mut [Span],
}

impl<'a> Lent<'a> {
    /// Frames that lie at `spans` of `memory`.
    ///
    /// # Panics
    ///
    /// As [`Batch::new`].
    pub fn new(memory: &'a mut [u8], spans: &'a mut [Span]) -> Lent<'a> {
        Batch::new(memory, spans);
        Lent { memory, spans }
    }

    /// Nothing was ready.
    pub fn nothing() -> Lent<'static> {
        Lent { memory: &mut [], spans: &mut [] }
    }

    /// To be read.
    #[inline]
    pub fn batch(&self) -> Batch<'_> {
        Batch { memory: self.memory, spans: self.spans }
    }

    /// To be read from now on, and by several.
    #[inline]
    pub fn into_batch(self) -> Batch<'a> {
        Batch { memory: self.memory, spans: self.spans }
    }

    /// How many frames.
    #[inline]
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there is none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// As [`Batch::frame`].
    #[inline]
    pub fn frame(&self, index: usize) -> Frame<'_> {
        self.batch().frame(index)
    }

    /// As [`Batch::frames`].
    pub fn frames(&self) -> impl ExactSizeIterator<Item = Frame<'_>> {
        self.batch().frames()
    }

    /// The octets of frame `index`, behind its virtio-net header. Empty when not even that came in
    /// whole.
    #[inline]
    pub fn octets_mut(&mut self, index: usize) -> &mut [u8] {
        let Span { start, len } = self.spans[index];
        let wire = &mut self.memory[start as usize..][..len as usize];
        wire.get_mut(VNET_HEADER_LEN..).unwrap_or_default()
    }

    /// Frame `index` has so many octets at the most from now on, its virtio-net header not counted.
    #[inline]
    pub fn truncate(&mut self, index: usize, octets: usize) {
        let len = &mut self.spans[index].len;
        *len = (*len).min((VNET_HEADER_LEN + octets) as u32);
    }
}

/// Those frames of a batch that leave by one port. Bit `i` of `mask` stands for frame `i`, so
/// the order of arrival is the only order that can be expressed.
#[derive(Clone, Copy)]
pub struct Selection<'a> {
    /// The frames to choose from.
    pub batch: Batch<'a>,
    /// Which ones are chosen.
    pub mask: u64,
}

impl<'a> Selection<'a> {
    /// How many frames are chosen.
    pub fn len(self) -> usize {
        self.mask.count_ones() as usize
    }

    /// Whether none is.
    pub fn is_empty(self) -> bool {
        self.mask == 0
    }

    /// The chosen frames in the order in which they came.
    #[inline]
    pub fn frames(self) -> impl Iterator<Item = Frame<'a>> {
        bits(self.mask).map(move |index| self.batch.frame(index))
    }
}

/// The numbers of the bits that are set, lowest first.
#[inline]
pub(crate) fn bits(mut mask: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let index = (mask != 0).then(|| mask.trailing_zeros() as usize)?;
        mask &= mask - 1;
        Some(index)
    })
}

/// The memory into which ports that copy receive: each frame right behind the one before, so
/// that a batch of small frames occupies a few kilobytes and not 64 pages.
pub struct Arena {
    octets: Box<[u8]>,
    spans: Box<[Span; BATCH_MAX]>,
}

impl Arena {
    /// An arena, allocated once and for all; pages that no frame ever reaches stay untouched.
    pub fn new() -> Arena {
        Arena {
            octets: vec![0; ARENA_OCTETS].into_boxed_slice(),
            spans: Box::new([Span::default(); BATCH_MAX]),
        }
    }

    /// Fills a batch: calls `recv` for one frame after the other, virtio-net header first, until
    /// it has nothing more (`WouldBlock`), the batch is full or memory runs out.
    ///
    /// # Errors
    ///
    /// What `recv` returned, if it was the first call; after a first frame the batch goes out
    /// and the error, if it lasts, is met again by the next call.
    #[inline]
    pub fn fill(
        &mut self,
        mut recv: impl FnMut(&mut [u8]) -> io::Result<usize>,
    ) -> io::Result<Lent<'_>> {
        let mut count = 0;
        let mut start = HEADROOM - VNET_HEADER_LEN;
        while count < BATCH_MAX {
            let Some(room) = self.octets.get_mut(start..start + WIRE_MAX) else { break };
            let len = match recv(room) {
                Ok(len) => len,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock || count > 0 => break,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(e),
            };
            self.spans[count] = Span { start: start as u32, len: len as u32 };
            count += 1;
            start = (start + len + HEADROOM).next_multiple_of(PITCH) + HEADROOM - VNET_HEADER_LEN;
        }
        Ok(Lent { memory: &mut self.octets, spans: &mut self.spans[..count] })
    }
}

impl Default for Arena {
    fn default() -> Arena {
        Arena::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mac_reads_and_writes_the_same_text() {
        for text in ["02:00:5e:10:00:01", "ff:ff:ff:ff:ff:ff", "00:00:00:00:00:00"] {
            assert_eq!(text.parse::<Mac>().unwrap().to_string(), text);
        }
        assert_eq!("2:0:0:0:0:a".parse(), Ok(Mac::new([2, 0, 0, 0, 0, 10])));
        assert_eq!("01-80-C2-00-00-0E".parse(), Ok(Mac::new([1, 0x80, 0xc2, 0, 0, 14])));
    }

    #[test]
    fn mac_refuses_what_is_not_one() {
        for text in [
            "",
            "02:00",
            "02:00:00:00:00:00:00",
            "02:00:00:00:00:0g",
            "+2:0:0:0:0:0",
            "002:0:0:0:0:0",
            "02:00:00:00:00:",
            "020000000000",
        ] {
            assert_eq!(text.parse::<Mac>(), Err(MacError), "{text}");
        }
    }

    #[test]
    fn group_and_reserved_addresses_are_told_by_their_bits() {
        assert!(Mac::BROADCAST.is_group());
        assert!(Mac::new([0x33, 0x33, 0, 0, 0, 1]).is_group());
        assert!(!Mac::new([2, 0xff, 0xff, 0xff, 0xff, 0xff]).is_group());
        for last in 0..=0xff {
            let mac = Mac::new([1, 0x80, 0xc2, 0, 0, last]);
            assert_eq!(mac.is_reserved(), last <= 0x0f, "{mac}");
        }
        assert!(!Mac::new([1, 0x80, 0xc2, 0, 1, 0]).is_reserved());
    }

    #[test]
    fn header_is_read_from_fourteen_octets_and_not_from_thirteen() {
        let octets = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0x88, 0xcc];
        let header = Header::parse(&octets).unwrap();
        assert_eq!(header.destination, Mac::new([1, 2, 3, 4, 5, 6]));
        assert_eq!(header.source, Mac::new([7, 8, 9, 10, 11, 12]));
        for len in 0..HEADER_LEN {
            assert_eq!(Header::parse(&octets[..len]), None);
        }
    }

    /// Plays a port that has these frames, and then nothing.
    fn fill<'a>(arena: &'a mut Arena, frames: &[Vec<u8>]) -> io::Result<Batch<'a>> {
        let mut frames = frames.iter();
        let lent = arena.fill(|room| {
            let frame = frames.next().ok_or(io::ErrorKind::WouldBlock)?;
            room[..frame.len()].copy_from_slice(frame);
            Ok(frame.len())
        });
        lent.map(Lent::into_batch)
    }

    #[test]
    fn arena_keeps_frames_whole_apart_and_in_order() {
        let frames: Vec<_> = (0..100).map(|i| vec![i as u8; i * 37 % 1526]).collect();
        let mut arena = Arena::new();
        let batch = fill(&mut arena, &frames).unwrap();
        assert_eq!(batch.len(), BATCH_MAX);
        for (frame, sent) in batch.frames().zip(&frames) {
            assert_eq!(frame.wire(), sent);
        }
    }

    #[test]
    fn arena_stops_where_the_largest_frame_would_no_longer_fit() {
        let frames = vec![vec![7; WIRE_MAX]; BATCH_MAX];
        let mut arena = Arena::new();
        let batch = fill(&mut arena, &frames).unwrap();
        assert_eq!(batch.len(), ARENA_OCTETS / (WIRE_MAX + 2 * HEADROOM));
        assert!(batch.frames().all(|frame| frame.wire() == frames[0]));
    }

    #[test]
    fn arena_hands_out_what_came_before_an_error() {
        let mut arena = Arena::new();
        let mut calls = 0;
        let mut recv = |_: &mut [u8]| {
            calls += 1;
            if calls == 1 { Ok(60) } else { Err(io::Error::from_raw_os_error(libc::EIO)) }
        };
        assert_eq!(arena.fill(&mut recv).unwrap().len(), 1);
        assert!(arena.fill(&mut recv).is_err());
        assert!(arena.fill(|_| Err(io::ErrorKind::WouldBlock.into())).unwrap().is_empty());
    }

    #[test]
    fn frame_shorter_than_its_virtio_net_header_has_no_octets() {
        for len in 0..=VNET_HEADER_LEN {
            let wire = vec![0xff; len];
            assert!(Frame::from_wire(&wire).octets().is_empty());
        }
    }

    #[test]
    fn selection_keeps_the_order_of_arrival() {
        let frames: Vec<_> = (0..10).map(|i| vec![i; 30]).collect();
        let mut arena = Arena::new();
        let batch = fill(&mut arena, &frames).unwrap();
        let chosen = Selection { batch, mask: 0b10_0101_0010 };
        assert_eq!(chosen.len(), 4);
        assert_eq!(chosen.frames().map(|f| f.wire()[0]).collect::<Vec<_>>(), [1, 4, 6, 9]);
    }

    /// A frame of so many octets with this type field, behind this header.
    fn wire(offload: Offload, ethertype: &[u8], len: usize) -> Vec<u8> {
        let mut wire = offload.emit().to_vec();
        wire.resize(VNET_HEADER_LEN + len, 0);
        wire[VNET_HEADER_LEN + 12..][..ethertype.len()].copy_from_slice(ethertype);
        wire
    }

    /// TCP over IPv4 with options of 12 octets (data offset 8), MSS 1448, in a 60,066 octet frame.
    fn tcp() -> Vec<u8> {
        let offload = Offload {
            flags: 1,
            gso_kind: 1,
            header_len: 66,
            gso_size: 1448,
            csum_start: 34,
            csum_offset: 16,
        };
        let mut wire = wire(offload, &[8, 0], 60_066);
        wire[VNET_HEADER_LEN + 34 + 12] = 0x80;
        wire
    }

    fn passes(wire: &[u8], mtu: u32) -> bool {
        Frame::from_wire(wire).fits(mtu)
    }

    #[test]
    fn plain_frame_fits_up_to_the_mtu_and_not_one_octet_more() {
        assert!(passes(&wire(Offload::NONE, &[8, 0], 1514), 1500));
        assert!(!passes(&wire(Offload::NONE, &[8, 0], 1515), 1500));
        assert!(passes(&wire(Offload::NONE, &[8, 0], 9014), 9000));
    }

    #[test]
    fn one_or_two_tags_come_on_top_of_the_mtu_and_a_third_does_not() {
        let one = [0x81, 0, 0, 5, 8, 0];
        let two = [0x88, 0xa8, 0, 5, 0x81, 0, 0, 6, 8, 0];
        let three = [0x88, 0xa8, 0, 5, 0x81, 0, 0, 6, 0x81, 0, 0, 7, 8, 0];
        for (tags, fitting) in [(&one[..], 1518), (&two, 1522), (&three, 1522)] {
            assert!(passes(&wire(Offload::NONE, tags, fitting), 1500));
            assert!(!passes(&wire(Offload::NONE, tags, fitting + 1), 1500));
        }
    }

    #[test]
    fn frame_to_be_cut_counts_as_its_largest_segment() {
        assert!(passes(&tcp(), 1500));
        assert!(!passes(&tcp(), 1499));
        // With ECN the kind has its upper bit set.
        let mut ecn = tcp();
        ecn[1] |= 0x80;
        assert!(passes(&ecn, 1500));
        assert!(!passes(&ecn, 1499));
    }

    #[test]
    fn datagrams_count_their_own_header() {
        let offload = Offload {
            flags: 1,
            gso_kind: 5,
            gso_size: 1472,
            csum_start: 34,
            csum_offset: 6,
            ..Offload::NONE
        };
        let wire = wire(offload, &[8, 0], 40_000);
        assert!(passes(&wire, 1500));
        assert!(!passes(&wire, 1499));
    }

    #[test]
    fn header_that_lies_makes_a_frame_count_whole_and_never_panics() {
        let mut beyond = tcp();
        beyond[6..8].copy_from_slice(&u16::MAX.to_le_bytes());
        assert!(!passes(&beyond, 1500));
        for len in 0..64 {
            let short = vec![0xff; len];
            passes(&short, 0);
        }
    }
}

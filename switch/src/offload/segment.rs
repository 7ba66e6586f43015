//! Segmentation: a frame of which its sender left the cutting to the device, piece by piece as
//! the wire would have carried them.
//!
//! All pieces have the frame's headers, and each a part of its payload, `gso_size` octets but the
//! last one. What differs between the headers (RFC 9293, 3.1; RFC 768; RFC 791, 3.1; RFC 8200,
//! section 3):
//!
//! | | first | others | last |
//! |---|---|---|---|
//! | TCP sequence number | as it is | advances by the payload before | |
//! | TCP CWR (RFC 3168, 6.1.2) | as it is | 0 | 0 |
//! | TCP FIN, PSH | 0 | 0 | as they are |
//! | IPv4 identification | as it is | one more each | |
//! | lengths and checksums | its own | its own | its own |
//!
//! These are Linux's rules (net/ipv4/tcp_offload.c, udp_offload.c and af_inet.c, net/ipv6/
//! ip6_offload.c), and a test compares the pieces with those that the kernel cuts. As there, what
//! stands in the place of the transport checksum is trusted to be the sum of the pseudo header:
//! only the sender knows the final destination of a packet with a routing header.
//!
//! Everything else is checked, for a frame may come from anybody: one whose virtio-net header
//! does not agree with its own headers cannot be cut.

use super::{
    GSO_ECN, GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4, NEEDS_CSUM, Offload, TCP_DATA_OFFSET,
    UDP_HEADER_LEN, VNET_HEADER_LEN, checksum::Sum,
};

/// Segments of one frame at the most. 64 KB in pieces of 36 octets are fewer: no less is what
/// Linux's smallest MSS (48, `tcp_min_snd_mss`) leaves beside a timestamp.
pub const SEGMENTS_MAX: usize = 2048;

/// Extension headers of one packet at the most: RFC 8200, 4.1 lists four that are of these kinds.
const EXTENSIONS_MAX: usize = 8;
/// The longest that a header can say.
const LENGTH_MAX: usize = u16::MAX as usize;

/// Ethernet types (IEEE 802 numbers).
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
/// Protocols, and extension headers that may stand before them (IANA protocol numbers).
const TCP: u8 = 6;
const UDP: u8 = 17;
const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const DESTINATION_OPTIONS: u8 = 60;

/// IPv4: where the total length, the identification, the protocol, the checksum stand.
const V4_LENGTH: usize = 2;
const V4_ID: usize = 4;
const V4_PROTOCOL: usize = 9;
const V4_CHECKSUM: usize = 10;
const V4_HEADER_LEN_MIN: usize = 20;
/// IPv6: where the payload length and the next header stand.
const V6_LENGTH: usize = 4;
const V6_NEXT: usize = 6;
const V6_HEADER_LEN: usize = 40;
/// TCP: where the sequence number, data offset and flags, and the checksum stand.
const TCP_SEQUENCE: usize = 4;
const TCP_CHECKSUM: usize = 16;
const TCP_HEADER_LEN_MIN: usize = 20;
const TCP_FIN: u16 = 0x01;
const TCP_PSH: u16 = 0x08;
const TCP_CWR: u16 = 0x80;
/// UDP: where the length and the checksum stand.
const UDP_LENGTH: usize = 4;
const UDP_CHECKSUM: usize = 6;

/// The segments of one frame, in order.
#[derive(Clone, Debug)]
pub struct Segments<'a> {
    /// From the destination address up to the payload.
    headers: &'a [u8],
    /// What is not cut off yet.
    payload: &'a [u8],
    /// Octets of payload in each piece but the last.
    size: usize,
    /// How many pieces there are, and how many were cut already.
    count: usize,
    number: usize,
    /// Where the two headers begin that differ.
    packet_start: usize,
    transport_start: usize,
    network: Network,
    transport: Transport,
    /// Of the transport header without what differs, and of the pseudo header without its length.
    sum: Sum,
}

#[derive(Clone, Copy, Debug)]
enum Network {
    /// The identification, and the sum of the header without what differs.
    V4(u16, Sum),
    V6,
}

#[derive(Clone, Copy, Debug)]
enum Transport {
    /// The sequence number, and the word of data offset and flags.
    Tcp(u32, u16),
    Udp,
}

impl<'a> Segments<'a> {
    /// The segments of a frame, from its destination address on, whose packet begins at
    /// `packet_start`. A frame whose payload is not larger than a segment has one. `None`: the
    /// frame cannot be cut, as its header lies, is of a kind that we do not know (UFO, which IP
    /// fragments would follow), or asks for more than [`SEGMENTS_MAX`].
    pub fn of(offload: Offload, octets: &'a [u8], packet_start: usize) -> Option<Segments<'a>> {
        let Headers { network, transport, sum, transport_start, payload_start, checksum } =
            Headers::read(octets, packet_start)?;
        let kind = kind(network, transport);
        let agrees = match transport {
            Transport::Udp => offload.gso_kind == kind,
            Transport::Tcp(..) => offload.gso_kind & !GSO_ECN == kind,
        };
        let place = (usize::from(offload.csum_start), usize::from(offload.csum_offset));
        // Virtio 1.2, 5.1.6.2.1: who leaves segments to be cut leaves their checksums, too.
        let agrees = agrees && offload.flags & NEEDS_CSUM != 0;
        if !agrees || place != (transport_start, checksum) {
            return None;
        }
        let (headers, payload) = octets.split_at(payload_start);
        let size = Some(usize::from(offload.gso_size)).filter(|size| *size > 0)?;
        let count = payload.len().div_ceil(size).max(1);
        (count <= SEGMENTS_MAX).then_some(Segments {
            headers,
            payload,
            size,
            count,
            number: 0,
            packet_start,
            transport_start,
            network,
            transport,
            sum,
        })
    }

    /// How many there are in all.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Writes the next one to the start of `room`, behind a virtio-net header with which nothing
    /// is left to be done, and says how many octets that is. `None`: there is none left.
    ///
    /// # Panics
    ///
    /// If the room is smaller: the frame with its virtio-net header always fits.
    #[inline]
    pub fn cut(&mut self, room: &mut [u8]) -> Option<usize> {
        if self.number == self.count {
            return None;
        }
        let (payload, rest) = self.payload.split_at(self.size.min(self.payload.len()));
        let len = VNET_HEADER_LEN + self.headers.len() + payload.len();
        let (vnet, piece) = room[..len].split_at_mut(VNET_HEADER_LEN);
        let (headers, to) = piece.split_at_mut(self.headers.len());
        vnet.fill(0);
        headers.copy_from_slice(self.headers);
        let sum = self.sum.merge(Sum::copy(payload, to));
        let transport_len = self.headers.len() - self.transport_start + payload.len();
        let (before, transport) = headers.split_at_mut(self.transport_start);
        self.write_network(&mut before[self.packet_start..], transport_len);
        self.write_transport(transport, transport_len as u16, sum);
        self.payload = rest;
        self.number += 1;
        Some(len)
    }

    #[inline]
    fn write_network(&self, header: &mut [u8], transport_len: usize) {
        let len = header.len() + transport_len;
        match self.network {
            Network::V4(id, sum) => {
                let (len, id) = (len as u16, id.wrapping_add(self.number as u16));
                put(header, V4_LENGTH, len);
                put(header, V4_ID, id);
                put(header, V4_CHECKSUM, sum.plus(len).plus(id).checksum());
            }
            Network::V6 => put(header, V6_LENGTH, (len - V6_HEADER_LEN) as u16),
        }
    }

    #[inline]
    fn write_transport(&self, header: &mut [u8], len: u16, sum: Sum) {
        match self.transport {
            Transport::Tcp(sequence, mut flags) => {
                let sequence = sequence.wrapping_add((self.number * self.size) as u32);
                if self.number > 0 {
                    flags &= !TCP_CWR;
                }
                if self.number + 1 < self.count {
                    flags &= !(TCP_FIN | TCP_PSH);
                }
                let (high, low) = ((sequence >> 16) as u16, sequence as u16);
                put(header, TCP_SEQUENCE, high);
                put(header, TCP_SEQUENCE + 2, low);
                put(header, TCP_DATA_OFFSET, flags);
                let sum = sum.plus(len).plus(high).plus(low).plus(flags);
                put(header, TCP_CHECKSUM, sum.checksum());
            }
            Transport::Udp => {
                put(header, UDP_LENGTH, len);
                // In the pseudo header, and in its own.
                let sum = sum.plus(len).plus(len);
                put(header, UDP_CHECKSUM, sum.checksum_unless_zero());
            }
        }
    }
}

impl Offload {
    /// The header with which a host leaves this frame, whose packet begins at `packet_start`, to be
    /// cut into segments of so many octets of payload. `None`: it is none that is cut.
    pub fn of_segments(octets: &[u8], packet_start: usize, size: u16) -> Option<Offload> {
        let headers = Headers::read(octets, packet_start)?;
        Some(Offload {
            flags: NEEDS_CSUM,
            gso_kind: kind(headers.network, headers.transport),
            header_len: headers.payload_start as u16,
            gso_size: size,
            csum_start: headers.transport_start as u16,
            csum_offset: headers.checksum as u16,
        })
    }
}

/// What of a virtio-net header says that such packets are to be cut.
fn kind(network: Network, transport: Transport) -> u8 {
    match (transport, network) {
        (Transport::Udp, _) => GSO_UDP_L4,
        (Transport::Tcp(..), Network::V4(..)) => GSO_TCPV4,
        (Transport::Tcp(..), Network::V6) => GSO_TCPV6,
    }
}

/// The headers of a frame of a kind that is cut.
struct Headers {
    network: Network,
    transport: Transport,
    /// Of the transport header without what differs.
    sum: Sum,
    transport_start: usize,
    payload_start: usize,
    /// Where the checksum stands, from the transport header on.
    checksum: usize,
}

impl Headers {
    fn read(octets: &[u8], packet_start: usize) -> Option<Headers> {
        let ethertype = word(octets, packet_start.checked_sub(2)?)?;
        let packet = octets.get(packet_start..)?;
        let (network, protocol, header_len) = match ethertype {
            IPV4 => v4(packet)?,
            IPV6 => v6(packet)?,
            _ => return None,
        };
        let transport_start = packet_start + header_len;
        let header = octets.get(transport_start..)?;
        let (transport, sum, header_len, checksum) = match protocol {
            TCP => tcp(header)?,
            UDP => udp(header)?,
            _ => return None,
        };
        let payload_start = transport_start + header_len;
        Some(Headers { network, transport, sum, transport_start, payload_start, checksum })
    }
}

/// Reads an IPv4 header: what differs, the protocol, and its length.
fn v4(packet: &[u8]) -> Option<(Network, u8, usize)> {
    let first = *packet.first()?;
    let len = usize::from(first & 0xf) * 4;
    if first >> 4 != 4 || len < V4_HEADER_LEN_MIN || packet.len() > LENGTH_MAX {
        return None;
    }
    let header = packet.get(..len)?;
    let mut sum = Sum::of(header);
    for at in [V4_LENGTH, V4_ID, V4_CHECKSUM] {
        sum = sum.minus(word(header, at)?);
    }
    Some((Network::V4(word(header, V4_ID)?, sum), header[V4_PROTOCOL], len))
}

/// Reads an IPv6 header and the extension headers that Linux passes over: what differs, the
/// protocol, and the length of all.
fn v6(packet: &[u8]) -> Option<(Network, u8, usize)> {
    let header: &[u8; V6_HEADER_LEN] = packet.first_chunk()?;
    if header[0] >> 4 != 6 || packet.len() > V6_HEADER_LEN + LENGTH_MAX {
        return None;
    }
    let (mut next, mut len) = (header[V6_NEXT], V6_HEADER_LEN);
    for _ in 0..EXTENSIONS_MAX {
        if !matches!(next, HOP_BY_HOP | ROUTING | DESTINATION_OPTIONS) {
            return Some((Network::V6, next, len));
        }
        let [after, units] = *packet.get(len..)?.first_chunk()?;
        (next, len) = (after, len + (usize::from(units) + 1) * 8);
    }
    None
}

/// Reads a TCP header: what differs, the sum of the rest, its length, where its checksum stands.
fn tcp(segment: &[u8]) -> Option<(Transport, Sum, usize, usize)> {
    let flags = word(segment, TCP_DATA_OFFSET)?;
    let len = usize::from(flags >> 12) * 4;
    let header = segment.get(..len).filter(|_| len >= TCP_HEADER_LEN_MIN)?;
    let (high, low) = (word(header, TCP_SEQUENCE)?, word(header, TCP_SEQUENCE + 2)?);
    let sum = Sum::of(header).minus(high).minus(low).minus(flags);
    let sequence = u32::from(high) << 16 | u32::from(low);
    Some((Transport::Tcp(sequence, flags), sum.minus(segment.len() as u16), len, TCP_CHECKSUM))
}

/// Reads a UDP header, likewise. Its length stands in the pseudo header, too.
fn udp(datagram: &[u8]) -> Option<(Transport, Sum, usize, usize)> {
    let header = datagram.get(..UDP_HEADER_LEN)?;
    let len = word(header, UDP_LENGTH)?;
    let sum = Sum::of(header).minus(len).minus(len);
    Some((Transport::Udp, sum, UDP_HEADER_LEN, UDP_CHECKSUM))
}

fn word(octets: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*octets.get(at..)?.first_chunk()?))
}

/// Writes a word into a header that was found to be so long.
#[inline]
fn put(header: &mut [u8], at: usize, word: u16) {
    header[at..at + 2].copy_from_slice(&word.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use etherparse::{NetSlice, SlicedPacket, TransportSlice};
    use proptest::prelude::*;

    use super::*;
    use crate::{
        frame::{Frame, WIRE_MAX},
        offload::sample::Sample,
    };

    #[test]
    fn frame_that_is_left_to_be_cut_has_the_header_by_which_it_is() {
        for (v6, udp, tags) in
            [(false, false, 0), (true, false, 2), (false, true, 1), (true, true, 0)]
        {
            let wire = Sample { v6, udp, tags, ..Sample::tcp(3000) }.wire();
            let frame = Frame::from_wire(&wire);
            let offload = Offload::of_segments(frame.octets(), frame.packet_start(), 1448);
            assert_eq!(offload, Some(frame.offload()));
        }
        let arp = [&[2; 12][..], &[8, 6], &[0; 46]].concat();
        assert_eq!(Offload::of_segments(&arp, 14, 1448), None);
    }

    /// What is cut from a frame; `None`: it is refused.
    fn cut(wire: &[u8]) -> Option<Vec<Vec<u8>>> {
        let frame = Frame::from_wire(wire);
        let octets = frame.octets();
        let mut segments = Segments::of(frame.offload(), octets, frame.packet_start())?;
        let mut room = vec![0xaa; wire.len()];
        let pieces = std::iter::from_fn(|| {
            let len = segments.cut(&mut room)?;
            assert_eq!(room[..VNET_HEADER_LEN], [0; VNET_HEADER_LEN]);
            Some(room[VNET_HEADER_LEN..len].to_vec())
        });
        let pieces: Vec<_> = pieces.collect();
        assert_eq!(pieces.len(), segments.count());
        Some(pieces)
    }

    /// The frame with what stands in no two pieces alike set to nothing.
    fn common(piece: &[u8], sample: &Sample) -> Vec<u8> {
        let mut octets = piece.to_vec();
        let packet = 14 + sample.tags * 4;
        let transport = if sample.v6 {
            octets[packet + 4..packet + 6].fill(0);
            packet + 40 + usize::from(sample.options) * 8
        } else {
            octets[packet + 2..packet + 6].fill(0);
            octets[packet + 10..packet + 12].fill(0);
            packet + 20 + usize::from(sample.options) * 4
        };
        let (differing, len): (&[usize], _) = if sample.udp {
            (&[4, 5, 6, 7], 8)
        } else {
            (&[4, 5, 6, 7, 13, 16, 17], 20 + usize::from(sample.tcp_options) * 4)
        };
        differing.iter().for_each(|at| octets[transport + at] = 0);
        octets.truncate(transport + len);
        octets
    }

    /// Takes a piece apart with another's parser, which checks all lengths; checks its checksums,
    /// and returns its payload.
    fn check<'a>(piece: &'a [u8], sample: &Sample, number: usize, last: bool) -> &'a [u8] {
        let packet = SlicedPacket::from_ethernet(piece).expect("a piece is sound");
        let size = usize::from(sample.size.unwrap());
        let v4 = match packet.net.as_ref().expect("a piece is a packet") {
            NetSlice::Ipv4(ip) => {
                let header = ip.header().to_header();
                assert_eq!(header.header_checksum, header.calc_header_checksum());
                assert_eq!(header.identification, sample.id.wrapping_add(number as u16));
                Some(header)
            }
            _ => None,
        };
        let v6 = match packet.net.as_ref() {
            Some(NetSlice::Ipv6(ip)) => Some(ip.header().to_header()),
            _ => None,
        };
        match packet.transport.expect("a piece has a transport header") {
            TransportSlice::Tcp(tcp) => {
                let (header, payload) = (tcp.to_header(), tcp.payload());
                let checksum = match (&v4, &v6) {
                    (Some(ip), _) => header.calc_checksum_ipv4(ip, payload),
                    (_, ip) => header.calc_checksum_ipv6(ip.as_ref().unwrap(), payload),
                };
                assert_eq!(header.checksum, checksum.unwrap());
                let sequence = sample.sequence.wrapping_add((number * size) as u32);
                assert_eq!(header.sequence_number, sequence);
                let flag = |bit| sample.flags & bit != 0;
                assert_eq!((header.fin, header.psh), (flag(1) && last, flag(8) && last));
                assert_eq!(header.cwr, flag(0x80) && number == 0);
                let others = [header.syn, header.rst, header.ack, header.urg, header.ece];
                assert_eq!(others, [2, 4, 16, 32, 64].map(flag));
                payload
            }
            TransportSlice::Udp(udp) => {
                let (header, payload) = (udp.to_header(), udp.payload());
                assert_eq!(usize::from(header.length), 8 + payload.len());
                let checksum = match (&v4, &v6) {
                    (Some(ip), _) => header.calc_checksum_ipv4(ip, payload),
                    (_, ip) => header.calc_checksum_ipv6(ip.as_ref().unwrap(), payload),
                };
                assert_eq!(header.checksum, checksum.unwrap());
                assert_ne!(header.checksum, 0, "zero says that there is none");
                payload
            }
            other => panic!("a piece is TCP or UDP and not {other:?}"),
        }
    }

    fn check_all(sample: &Sample) {
        let wire = sample.wire();
        let pieces = cut(&wire).expect("a sound frame is cut");
        let size = usize::from(sample.size.unwrap());
        assert_eq!(pieces.len(), sample.payload.len().div_ceil(size).max(1));
        let mut payload = Vec::new();
        for (number, piece) in pieces.iter().enumerate() {
            let last = number + 1 == pieces.len();
            let part = check(piece, sample, number, last);
            assert!(part.len() == size || last && part.len() <= size);
            assert_eq!(common(piece, sample), common(&wire[VNET_HEADER_LEN..], sample));
            payload.extend_from_slice(part);
        }
        assert_eq!(payload, sample.payload);
    }

    fn samples() -> impl Strategy<Value = Sample> {
        let kinds = (0..3usize, any::<bool>(), any::<bool>(), 0..8u8, 0..=10u8, any::<u8>());
        let numbers = (any::<u32>(), any::<u16>(), any::<u8>());
        let sizes = prop_oneof![(0..3000usize, 1..1500u16), (0..60_000usize, 536..9000u16)];
        (kinds, numbers, sizes).prop_map(|(kinds, (sequence, id, first), (payload, size))| {
            let (tags, v6, udp, options, tcp_options, flags) = kinds;
            let payload = (0..payload).map(|at| first.wrapping_add((at * 7 + at / 251) as u8));
            let (payload, size) = (payload.collect::<Vec<_>>(), Some(size));
            let few = payload.len().div_ceil(SEGMENTS_MAX) as u16;
            let size = size.map(|size| size.max(few));
            Sample {
                tags,
                v6,
                udp,
                options,
                tcp_options,
                flags,
                sequence,
                id,
                payload,
                size,
                ..Sample::tcp(0)
            }
        })
    }

    proptest! {
        #[test]
        fn pieces_are_those_that_another_parser_finds_sound(sample in samples()) {
            check_all(&sample);
        }

        #[test]
        fn any_octets_are_cut_or_refused(
            sample in samples(), len in 0..200usize,
            changes in prop::collection::vec((0..120usize, any::<u8>()), 0..6),
        ) {
            let mut wire = sample.wire();
            for (at, octet) in changes {
                if let Some(place) = wire.get_mut(at) {
                    *place = octet;
                }
            }
            cut(&wire);
            wire.truncate(len);
            cut(&wire);
        }
    }

    #[test]
    fn frame_of_64_kilobytes_becomes_as_many_segments_as_it_has() {
        for (v6, udp) in [(false, false), (false, true), (true, false), (true, true)] {
            check_all(&Sample { v6, udp, ..Sample::tcp(65_000) });
        }
        assert_eq!(cut(&Sample::tcp(1448 * 44).wire()).unwrap().len(), 44);
        assert_eq!(cut(&Sample::tcp(1448 * 44 + 1).wire()).unwrap().len(), 45);
        assert_eq!(cut(&Sample::tcp(1448).wire()).unwrap().len(), 1);
        assert_eq!(cut(&Sample::tcp(0).wire()).unwrap().len(), 1);
        assert!(Sample::tcp(65_000).wire().len() <= WIRE_MAX);
    }

    #[test]
    fn flags_and_numbers_differ_as_they_must() {
        let sample = Sample { flags: 0xd9, ..Sample::tcp(3000) };
        let pieces = cut(&sample.wire()).unwrap();
        let flags: Vec<_> = pieces.iter().map(|piece| piece[34 + 13]).collect();
        assert_eq!(flags, [0xd0, 0x50, 0x59]);
        let ids: Vec<_> = pieces.iter().map(|piece| word(piece, 14 + V4_ID)).collect();
        assert_eq!(ids, [0xfff0, 0xfff1, 0xfff2].map(Some));
        let sequences: Vec<_> = pieces.iter().map(|piece| piece[38..42].to_vec()).collect();
        assert_eq!(
            sequences,
            [[0xff, 0xff, 0xf0, 0], [0xff, 0xff, 0xf5, 0xa8], [0xff, 0xff, 0xfb, 0x50]]
        );
        check_all(&sample);
    }

    /// The last two octets make the sum that of all ones, of which zero is the complement.
    #[test]
    fn datagram_whose_checksum_comes_out_as_zero_says_so_with_ones() {
        let mut sample = Sample { udp: true, size: Some(100), ..Sample::tcp(150) };
        let first = &cut(&sample.wire()).unwrap()[0];
        let checksum = word(first, 34 + UDP_CHECKSUM).unwrap();
        let [high, low] = word(&sample.payload, 98)
            .map(|last| {
                let sum = u32::from(last) + u32::from(checksum);
                (sum as u16 + u16::from(sum > 0xffff)).to_be_bytes()
            })
            .unwrap();
        sample.payload[98..100].copy_from_slice(&[high, low]);
        let first = &cut(&sample.wire()).unwrap()[0];
        assert_eq!(word(first, 34 + UDP_CHECKSUM), Some(0xffff));
        check_all(&sample);
    }

    #[test]
    fn header_that_lies_is_refused() {
        let sound = Sample::tcp(4000).wire();
        let refused = |at: usize, octets: &[u8]| {
            let mut wire = sound.clone();
            wire[at..at + octets.len()].copy_from_slice(octets);
            cut(&wire).is_none()
        };
        assert!(!refused(0, &[1, 1]) && !refused(0, &[3, 0x81]), "the frame is sound");
        assert!(refused(0, &[0]), "no checksum to complete");
        for kind in [0, 2, 3, 4, 5, 6, 0x83, 0x84, 0x85] {
            assert!(refused(1, &[kind]), "kind {kind} is not TCP over IPv4");
        }
        assert!(refused(4, &[0, 0]), "segments of nothing");
        assert!(refused(4, &[1, 0]), "more segments than there may be");
        for start in [0u16, 33, 35, 36, 54, 4065, u16::MAX] {
            assert!(refused(6, &start.to_le_bytes()), "TCP does not begin at {start}");
        }
        assert!(refused(8, &[6, 0]) && refused(8, &[255, 255]), "no checksum there");
        let octets = VNET_HEADER_LEN;
        assert!(refused(octets + 12, &[0x86, 0xdd]) && refused(octets + 12, &[8, 6]), "not IPv4");
        assert!(refused(octets + 14, &[0x65]) && refused(octets + 14, &[0x44]), "no such header");
        assert!(refused(octets + 14, &[0x46]), "options where TCP was to be");
        assert!(refused(octets + 14 + V4_PROTOCOL, &[UDP]), "UDP");
        assert!(refused(octets + 34 + TCP_DATA_OFFSET, &[0x40]), "TCP of four words");
        let mut six = Sample { v6: true, ..Sample::tcp(4000) }.wire();
        six[1] = GSO_TCPV4;
        assert!(cut(&six).is_none(), "TCP over IPv4 that is over IPv6");
        let short = &Sample::tcp(10).wire();
        for len in 0..octets + 34 + 32 {
            assert!(cut(&short[..len]).is_none(), "{len} octets");
        }
        assert!(cut(&Sample { tags: 3, ..Sample::tcp(4000) }.wire()).is_none(), "three tags");
        assert!(cut(&Sample::tcp(65_483).wire()).is_some(), "65,535 octets");
        assert!(cut(&Sample::tcp(65_484).wire()).is_none(), "one more than IPv4 can say");
        let six = |payload| cut(&Sample { v6: true, ..Sample::tcp(payload) }.wire());
        assert!(six(65_503).is_some() && six(65_504).is_none(), "the same of IPv6");
        let six = |options| cut(&Sample { v6: true, options, ..Sample::tcp(4000) }.wire());
        assert!(six(7).is_some() && six(8).is_none(), "extension headers");
    }
}

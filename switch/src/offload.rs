//! Offloads: what a sender left to be done to its frame, as the 12 octets of virtio-net header
//! in front of it say (`struct virtio_net_hdr_v1`, linux/virtio_net.h; virtio 1.2, 5.1.6).
//!
//! A TAP whose host has checksum and segmentation offload hands us one frame of up to 64 KB
//! where the wire would have carried 45. It passes through untouched, header and all, and the
//! receiving host takes it whole: this is where most of the speed comes from. The bridge needs
//! to know one thing about it: how large the largest frame would be, had it been cut.
//!
//! ```text
//!  0      1         2        4         6           8            10           12
//!  | flags | gso_type | hdr_len | gso_size | csum_start | csum_offset | num_buffers |
//! ```

use crate::frame::{Frame, HEADER_LEN};

/// Octets of the virtio-net header in front of each frame.
pub const VNET_HEADER_LEN: usize = 12;

/// VIRTIO_NET_HDR_F_NEEDS_CSUM: the checksum at `csum_start + csum_offset` is to be completed.
const NEEDS_CSUM: u8 = 1;
/// VIRTIO_NET_HDR_GSO_UDP_L4: UDP datagrams of `gso_size` octets of payload each (USO).
const GSO_UDP_L4: u8 = 5;
/// VIRTIO_NET_HDR_GSO_ECN: a flag beside the kind, for TCP with CWR set.
const GSO_ECN: u8 = 0x80;
/// Octets of a UDP header (RFC 768).
const UDP_HEADER_LEN: usize = 8;
/// Where in a TCP header the data offset stands, in its upper four bits (RFC 9293, 3.1).
const TCP_DATA_OFFSET: usize = 12;

/// The tag protocol identifiers of a C-tag and an S-tag (IEEE 802.1Q-2018, table 9-1).
const TPIDS: [[u8; 2]; 2] = [[0x81, 0x00], [0x88, 0xa8]];
/// Octets of a VLAN tag.
const TAG_LEN: usize = 4;
/// VLAN tags that may come on top of a port's MTU: a customer's and a provider's.
const TAGS_MAX: usize = 2;

/// A virtio-net header. Numbers are little-endian on the wire and in octets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offload {
    /// VIRTIO_NET_HDR_F_*.
    pub flags: u8,
    /// VIRTIO_NET_HDR_GSO_*: 0 means that there is nothing to cut.
    pub gso_kind: u8,
    /// A hint how many octets are headers. Senders do not agree about it: not relied on.
    pub header_len: u16,
    /// Octets of payload in each segment.
    pub gso_size: u16,
    /// Where the checksum begins, from the start of the frame: at the transport header.
    pub csum_start: u16,
    /// Where the checksum goes, from `csum_start`.
    pub csum_offset: u16,
}

impl Offload {
    /// Nothing is left to be done: the frame is as the wire would carry it.
    pub const NONE: Offload = Offload {
        flags: 0,
        gso_kind: 0,
        header_len: 0,
        gso_size: 0,
        csum_start: 0,
        csum_offset: 0,
    };

    /// Reads a header. Any 12 octets are one.
    #[inline]
    pub fn parse(octets: &[u8; VNET_HEADER_LEN]) -> Offload {
        let [flags, gso_kind, a, b, c, d, e, f, g, h, _, _] = *octets;
        Offload {
            flags,
            gso_kind,
            header_len: u16::from_le_bytes([a, b]),
            gso_size: u16::from_le_bytes([c, d]),
            csum_start: u16::from_le_bytes([e, f]),
            csum_offset: u16::from_le_bytes([g, h]),
        }
    }

    /// Writes a header.
    pub fn emit(self) -> [u8; VNET_HEADER_LEN] {
        let [a, b] = self.header_len.to_le_bytes();
        let [c, d] = self.gso_size.to_le_bytes();
        let [e, f] = self.csum_start.to_le_bytes();
        let [g, h] = self.csum_offset.to_le_bytes();
        [self.flags, self.gso_kind, a, b, c, d, e, f, g, h, 0, 0]
    }
}

/// Whether a frame may leave by a port with this MTU: its payload, or that of its largest
/// segment, has `mtu` octets at the most; up to two VLAN tags come on top, as in the envelope
/// frames of IEEE 802.3-2018, 3.2.7.
#[inline]
pub fn fits(frame: Frame<'_>, mtu: u32) -> bool {
    let mtu = mtu as usize;
    // Nearly every frame ends here.
    if frame.octets().len() <= HEADER_LEN + mtu {
        return true;
    }
    on_the_wire(frame) <= HEADER_LEN + tags(frame.octets()) * TAG_LEN + mtu
}

/// Octets of a frame as the wire would carry it: its largest segment, if it is to be cut.
fn on_the_wire(frame: Frame<'_>) -> usize {
    let octets = frame.octets();
    let offload = frame.offload();
    if offload.gso_kind == 0 || offload.flags & NEEDS_CSUM == 0 {
        return octets.len();
    }
    let transport = usize::from(offload.csum_start);
    let header = if offload.gso_kind & !GSO_ECN == GSO_UDP_L4 {
        UDP_HEADER_LEN
    } else {
        // A frame that ends before its own data offset is not cut by anybody: it counts whole.
        let Some(offset) = octets.get(transport + TCP_DATA_OFFSET) else { return octets.len() };
        usize::from(offset >> 4) * 4
    };
    octets.len().min(transport + header + usize::from(offload.gso_size))
}

/// VLAN tags in front of the frame's own type, [`TAGS_MAX`] at the most.
fn tags(octets: &[u8]) -> usize {
    let at = |n: usize| octets.get(HEADER_LEN - 2 + n * TAG_LEN..)?.first_chunk::<2>();
    (0..TAGS_MAX).take_while(|n| at(*n).is_some_and(|tpid| TPIDS.contains(tpid))).count()
}

#[cfg(test)]
mod tests {
    use super::*;

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
            flags: NEEDS_CSUM,
            gso_kind: 1,
            header_len: 66,
            gso_size: 1448,
            csum_start: 34,
            csum_offset: 16,
        };
        let mut wire = wire(offload, &[8, 0], 60_066);
        wire[VNET_HEADER_LEN + 34 + TCP_DATA_OFFSET] = 0x80;
        wire
    }

    fn passes(wire: &[u8], mtu: u32) -> bool {
        fits(Frame::from_wire(wire), mtu)
    }

    #[test]
    fn header_is_taken_apart_and_built_again() {
        let octets = [1, 0x81, 66, 0, 0xa8, 0x05, 34, 0, 16, 0, 0, 0];
        let offload = Offload::parse(&octets);
        assert_eq!(offload.gso_size, 1448);
        assert_eq!(offload.csum_start, 34);
        assert_eq!(offload.emit(), octets);
        assert_eq!(Offload::NONE.emit(), [0; 12]);
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
        ecn[1] |= GSO_ECN;
        assert!(passes(&ecn, 1500));
        assert!(!passes(&ecn, 1499));
    }

    #[test]
    fn datagrams_count_their_own_header() {
        let offload = Offload {
            flags: NEEDS_CSUM,
            gso_kind: GSO_UDP_L4,
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

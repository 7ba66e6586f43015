//! Offloads: what a sender left to be done to its frame, as the 10 octets of virtio-net header
//! in front of it say (`struct virtio_net_hdr`, linux/virtio_net.h; virtio 1.2, 5.1.6).
//!
//! A TAP whose host has checksum and segmentation offload hands us one frame of up to 64 KB
//! where the wire would have carried 45. It passes through untouched, header and all, and the
//! receiving host takes it whole: this is where most of the speed comes from. The bridge needs
//! to know one thing about it: how large the largest frame would be, had it been cut. Where a
//! port cannot take it so, [`checksum`] completes its checksum and [`segment`] cuts it.
//!
//! ```text
//!  0      1         2        4         6           8            10
//!  | flags | gso_type | hdr_len | gso_size | csum_start | csum_offset |
//! ```
//!
//! The two octets with a number of buffers, which virtio rings have behind it, mean nothing on a
//! descriptor; and a packet socket's ring has no room for them.

pub mod checksum;
#[cfg(test)]
pub(crate) mod sample;
pub mod segment;

/// Octets of the virtio-net header in front of each frame.
pub const VNET_HEADER_LEN: usize = 10;

/// VIRTIO_NET_HDR_F_NEEDS_CSUM: the checksum at `csum_start + csum_offset` is to be completed.
pub(crate) const NEEDS_CSUM: u8 = 1;
/// VIRTIO_NET_HDR_GSO_TCPV4: TCP segments of `gso_size` octets of payload each, over IPv4.
pub(crate) const GSO_TCPV4: u8 = 1;
/// VIRTIO_NET_HDR_GSO_TCPV6: the same over IPv6.
pub(crate) const GSO_TCPV6: u8 = 4;
/// VIRTIO_NET_HDR_GSO_UDP_L4: UDP datagrams of `gso_size` octets of payload each (USO).
pub(crate) const GSO_UDP_L4: u8 = 5;
/// VIRTIO_NET_HDR_GSO_ECN: a flag beside the kind, for TCP with CWR set.
pub(crate) const GSO_ECN: u8 = 0x80;
/// Octets of a UDP header (RFC 768).
const UDP_HEADER_LEN: usize = 8;
/// Where in a TCP header the data offset stands, in its upper four bits (RFC 9293, 3.1).
const TCP_DATA_OFFSET: usize = 12;

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

    /// Reads a header. Any 10 octets are one.
    #[inline]
    pub fn parse(octets: &[u8; VNET_HEADER_LEN]) -> Offload {
        let [flags, gso_kind, a, b, c, d, e, f, g, h] = *octets;
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
        [self.flags, self.gso_kind, a, b, c, d, e, f, g, h]
    }

    /// That of the same frame behind so many octets more: what is counted from its start moves.
    /// `None`: a header cannot say where its checksum would begin.
    #[inline]
    pub fn behind(self, octets: u16) -> Option<Offload> {
        let csum_start = match self.flags & NEEDS_CSUM {
            0 => self.csum_start,
            _ => self.csum_start.checked_add(octets)?,
        };
        // No hint stays none.
        let more = if self.header_len == 0 { 0 } else { octets };
        let header_len = self.header_len.saturating_add(more);
        Some(Offload { csum_start, header_len, ..self })
    }

    /// That of the same frame without so many octets at its start. `None`: its checksum began
    /// among those.
    #[inline]
    pub fn without(self, octets: u16) -> Option<Offload> {
        let csum_start = match self.flags & NEEDS_CSUM {
            0 => self.csum_start,
            _ => self.csum_start.checked_sub(octets)?,
        };
        Some(Offload { csum_start, header_len: self.header_len.saturating_sub(octets), ..self })
    }

    /// Whether nothing is left to be done: no checksum to complete, nothing to cut. What else the
    /// header may say (that the checksum was found valid, VIRTIO_NET_HDR_F_DATA_VALID) is a hint
    /// that the wire does not carry.
    #[inline]
    pub fn is_done(self) -> bool {
        self.flags & NEEDS_CSUM == 0 && self.gso_kind == 0
    }

    /// Octets of a frame as the wire would carry it: its largest segment, if it is to be cut.
    pub fn on_the_wire(self, octets: &[u8]) -> usize {
        if self.gso_kind == 0 || self.flags & NEEDS_CSUM == 0 {
            return octets.len();
        }
        let transport = usize::from(self.csum_start);
        let header = if self.gso_kind & !GSO_ECN == GSO_UDP_L4 {
            UDP_HEADER_LEN
        } else {
            // A frame that ends before its own data offset is cut by nobody: it counts whole.
            let Some(offset) = octets.get(transport + TCP_DATA_OFFSET) else { return octets.len() };
            usize::from(offset >> 4) * 4
        };
        octets.len().min(transport + header + usize::from(self.gso_size))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_is_taken_apart_and_built_again() {
        let octets = [1, 0x81, 66, 0, 0xa8, 0x05, 34, 0, 16, 0];
        let offload = Offload::parse(&octets);
        assert_eq!(offload.gso_size, 1448);
        assert_eq!(offload.csum_start, 34);
        assert_eq!(offload.emit(), octets);
        assert_eq!(Offload::NONE.emit(), [0; 10]);
    }

    #[test]
    fn what_is_counted_from_the_start_moves_with_it_and_comes_back() {
        let packet = Offload::parse(&[1, 1, 52, 0, 0xa8, 5, 20, 0, 16, 0]);
        let frame = packet.behind(14).unwrap();
        assert_eq!(frame.emit(), [1, 1, 66, 0, 0xa8, 5, 34, 0, 16, 0]);
        assert_eq!(frame.without(14), Some(packet));
        let no_hint = Offload { header_len: 0, ..packet };
        assert_eq!(no_hint.behind(14).unwrap().header_len, 0);
    }

    #[test]
    fn header_that_lies_about_its_checksum_cannot_move() {
        let at =
            |csum_start, header_len| Offload { flags: 1, csum_start, header_len, ..Offload::NONE };
        assert_eq!(at(u16::MAX - 13, 0).behind(14), None);
        assert_eq!(at(u16::MAX - 14, u16::MAX).behind(14), Some(at(u16::MAX, u16::MAX)));
        assert_eq!(at(13, 66).without(14), None);
        assert_eq!(at(14, 13).without(14), Some(at(0, 0)));
        // Without a checksum to complete, its place means nothing.
        let valid = Offload { flags: 2, csum_start: 3, ..Offload::NONE };
        assert_eq!((valid.behind(14), valid.without(14)), (Some(valid), Some(valid)));
    }

    #[test]
    fn done_is_what_has_neither_checksum_nor_segments_left() {
        let valid = Offload { flags: 2, header_len: 54, ..Offload::NONE };
        assert!(Offload::NONE.is_done() && valid.is_done());
        assert!(!Offload { flags: 3, ..Offload::NONE }.is_done());
        assert!(!Offload { gso_kind: 3, ..Offload::NONE }.is_done());
    }
}

//! Trains: what a host's TCP sends that leaves its segments to be cut by whoever must (GSO). As one
//! frame of up to 64 KiB it passes links of any MTU, if what is between does not cut it.

use std::net::IpAddr;

use super::{FramePlan, Version, packet::checksum};

/// Octets of the headers of IPv4 and TCP.
pub(super) const HEADER_LEN: usize = 40;

/// Where the signature of a train stands.
pub(super) const SIGNATURE_AT: usize = 14 + HEADER_LEN;

/// Octets of a segment: what an MTU of 1500 leaves with TCP's timestamps.
const SEGMENT: u16 = 1448;

/// Octets of the smallest train: two segments.
pub const TRAIN_MIN: usize = SIGNATURE_AT + 2 * SEGMENT as usize;

/// Octets of the header in front of a frame (linux/virtio_net.h, struct virtio_net_hdr).
pub const VNET_LEN: usize = 10;

/// What is told of each train: its checksum is to be done, and it is of TCP over IPv4, segments so
/// long. Flags, kind, header, segment, where the checksum starts and stands.
pub(super) fn vnet_header() -> [u8; VNET_LEN] {
    let mut header = [0; VNET_LEN];
    header[0] = 1;
    header[1] = 1;
    for (at, number) in [(2, SIGNATURE_AT as u16), (4, SEGMENT), (6, 34), (8, 16)] {
        // In the order of the machine's octets (PACKET_VNET_HDR).
        header[at..at + 2].copy_from_slice(&number.to_ne_bytes());
    }
    header
}

/// Writes the headers of a train of so many octets behind the header of a frame.
pub(super) fn write(head: &mut [u8], plan: &FramePlan, octets: usize) {
    let (IpAddr::V4(from), IpAddr::V4(to)) =
        (Version::V4.host(plan.from), Version::V4.host(plan.to))
    else {
        unreachable!("hosts of IPv4");
    };
    head[..HEADER_LEN].fill(0);
    head[..2].copy_from_slice(&[0x45, 0]);
    head[2..4].copy_from_slice(&(octets as u16).to_be_bytes());
    head[6..10].copy_from_slice(&[0x40, 0, 64, 6]);
    head[12..16].copy_from_slice(&from.octets());
    head[16..20].copy_from_slice(&to.octets());
    let sum = checksum(&head[..20]);
    head[10..12].copy_from_slice(&sum.to_be_bytes());
    // Of the pseudo-header alone: the rest is added by who completes it (RFC 9293 section 3.1).
    let mut pseudo = [0; 12];
    pseudo[..8].copy_from_slice(&head[12..20]);
    pseudo[9] = 6;
    pseudo[10..].copy_from_slice(&((octets - 20) as u16).to_be_bytes());
    let partial = !checksum(&pseudo);
    let tcp = &mut head[20..40];
    // Discard to discard, five words, ACK, a window.
    tcp[..4].copy_from_slice(&[0, 9, 0, 9]);
    tcp[12..16].copy_from_slice(&[0x50, 0x10, 0xff, 0xff]);
    tcp[16..18].copy_from_slice(&partial.to_be_bytes());
}

/// Where the signature stands if this is a train of the tester's.
pub(super) fn look(frame: &[u8]) -> Option<usize> {
    let is_tcp = frame.get(12..14) == Some(&[0x08, 0x00]) && frame.get(23) == Some(&6);
    let own = |at: usize| frame.get(at..at + 2) == Some(&[0x02, 0xb5]);
    // Not to itself by the address of the host, as the hosts' own TCP.
    (is_tcp && frame.get(34..38) == Some(&[0, 9, 0, 9]) && own(6)).then_some(SIGNATURE_AT)
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Found, Purpose, Signature, Size, look},
        *,
    };

    #[test]
    fn a_train_is_tcp_whose_checksum_is_not_done() {
        let plan = FramePlan::new(0, 0, 1, Size::Octets(65_000));
        let plan = FramePlan { train: true, ..plan };
        let signature = Signature { purpose: Purpose::Measure, stream: 0, sequence: 7, due_ns: 5 };
        let ((head, len), filler) = (plan.head(7), &plan.fillers()[0]);
        let frame = [&head[..len], &filler.sign(signature), filler.octets()].concat();
        assert_eq!((len, frame.len()), (SIGNATURE_AT, 65_000));
        assert_eq!(frame[12..18], [8, 0, 0x45, 0, 0xfd, 0xda], "IPv4 of 64,986 octets");
        assert_eq!(checksum(&frame[14..34]), 0);
        // The pseudo-header: 198.18.0.2, 198.18.1.2, TCP, 64,966 octets.
        let words = [0xc612, 0x0002, 0xc612, 0x0102, 6, 64_966];
        let sum: u32 = words.iter().sum();
        assert_eq!(frame[50..52], (((sum & 0xffff) + (sum >> 16)) as u16).to_be_bytes());
        assert_eq!(look(&frame), Found::Own(signature));
        assert!(plan.is_head(&frame, None, 7));
        // The first segment of one that was cut is none.
        assert_eq!(look(&frame[..SIGNATURE_AT + SEGMENT as usize]), Found::Damaged);
        assert_eq!(plan.learning_head(0).0[..6], [0xff; 6]);
    }

    #[test]
    fn what_is_told_of_a_train() {
        let number = |number: u16| number.to_ne_bytes();
        let [header, segment, start, offset] = [54, 1448, 34, 16].map(number);
        assert_eq!(vnet_header()[..], [&[1, 1], &header[..], &segment, &start, &offset].concat());
    }
}

//! Receiving from a packet socket: small frames from the ring where they lie, large ones from the
//! socket's queue.
//!
//! A slot of the ring holds a frame of an ordinary MTU. One that is larger (a host's 64 KB of TCP,
//! a jumbo frame) is put into the socket's receive queue as it is, without a copy, because
//! PACKET_COPY_THRESH is set, and its slot says so (TP_STATUS_COPY). The kernel does both under
//! one lock (`tpacket_rcv` in net/packet/af_packet.c), so the slots alone give the order, and the
//! frame at the head of the queue is that of the first such slot. A batch is either slots that are
//! lent or queued frames in the arena: it ends where the other kind begins.
//!
//! If the queue had no room, the slot holds the beginning of a frame and nothing of it waits: the
//! frame is lost, and counted as the kernel's drop.
//!
//! The kernel hands over the virtio-net header and the frame in one piece, but for the frame's
//! outer VLAN tag: that is put back here, in the headroom before. Without a tag nothing is written
//! to a slot, so that the kernel's processor keeps the cache lines that it filled.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    sync::Arc,
};

use nix::{
    errno::Errno,
    sys::socket::{getsockopt, sockopt::SocketError},
};

use super::{
    Shared,
    ring::{Ring, SLOT_OCTETS, Slot},
};
use crate::{
    frame::{Arena, BATCH_MAX, Lent, Span},
    offload::{Offload, VNET_HEADER_LEN},
    port::Rx,
    sys::read,
};

/// What an event says of a port that is gone.
const STOPPED: &str = "a frame came that the kernel cannot hand over (its cutting is left to the \
                       device: UDP fragmentation or SCTP), and by a fault of the kernel no other \
                       will: open the port again";

/// Octets of the two addresses: a tag comes behind them (IEEE 802.1Q-2018, 9.3).
const ADDRESSES_LEN: usize = 12;

/// Octets of a VLAN tag.
const TAG_LEN: usize = 4;

/// VIRTIO_NET_HDR_F_NEEDS_CSUM.
const NEEDS_CSUM: u8 = 1;

/// The receiving half: it alone has the ring.
pub struct PacketRx {
    ring: Ring,
    shared: Arc<Shared>,
    spans: Box<[Span; BATCH_MAX]>,
    /// Slots that were taken from the ring.
    slots: u64,
    /// There was nothing when it was asked last.
    empty: bool,
}

impl PacketRx {
    pub(super) fn new(ring: Ring, shared: Arc<Shared>) -> PacketRx {
        let spans = Box::new([Span::default(); BATCH_MAX]);
        PacketRx { ring, shared, spans, slots: 0, empty: true }
    }
}

impl Rx for PacketRx {
    #[inline]
    fn recv<'a>(&'a mut self, arena: &'a mut Arena) -> io::Result<Lent<'a>> {
        self.ring.release();
        let slot = self.ring.peek();
        let empty_before = std::mem::replace(&mut self.empty, slot.is_none());
        match slot {
            Some(slot) if slot.is_queued() => self.recv_queued(arena),
            Some(_) => Ok(self.lend()),
            None if self.shared.drops.is_stopped() => Err(io::Error::other(STOPPED)),
            None => {
                // Woken for nothing: it may be an error that waits, as when the device went down,
                // and the socket is ready for ever until it is taken (datagram_poll).
                if empty_before {
                    self.take_error();
                }
                Ok(Lent::nothing())
            }
        }
    }

    /// A ring is ready until its last slot is given back: kept until the next turn, each wake-up
    /// would be followed by one for nothing.
    #[inline]
    fn give_back(&mut self) {
        self.ring.release();
    }

    /// A look into memory.
    #[inline]
    fn asks_freely(&self) -> bool {
        true
    }

    fn wait_on(&self) -> Option<BorrowedFd<'_>> {
        Some(self.shared.fd.as_fd())
    }
}

impl PacketRx {
    /// Lends the frames in the next slots, up to one that is queued.
    #[inline]
    fn lend(&mut self) -> Lent<'_> {
        let mut count = 0;
        while count < BATCH_MAX
            && let Some(slot) = self.ring.take_if(|slot| !slot.is_queued())
        {
            let base = (self.ring.taken() - 1) * SLOT_OCTETS;
            if slot.is_own() {
                continue;
            }
            let Some((mac, end)) = slot.place() else {
                self.shared.drops.lose();
                continue;
            };
            let octets = &mut self.ring.memory()[base..][..end];
            let start = restore(octets, mac, slot.tag());
            self.spans[count] = Span { start: (base + start) as u32, len: (end - start) as u32 };
            count += 1;
        }
        self.slots += self.ring.taken() as u64;
        self.shared.drops.receive(self.slots);
        Lent::new(self.ring.memory(), &mut self.spans[..count])
    }

    /// Reads the frames of the next slots from the queue, up to one that is not there.
    #[inline]
    fn recv_queued<'a>(&'a mut self, arena: &'a mut Arena) -> io::Result<Lent<'a>> {
        let batch = arena.fill(|room| {
            while let Some(slot) = self.ring.take_if(Slot::is_queued) {
                let tag = slot.tag();
                let header_at = tag.map_or(0, |_| TAG_LEN);
                let read = loop {
                    match read(&self.shared.fd, &mut room[header_at..]) {
                        // The device went down: told once; the frames of before are still there.
                        Err(Errno::ENETDOWN | Errno::EINTR) => {}
                        read => break read,
                    }
                };
                let mac = header_at + VNET_HEADER_LEN;
                match read {
                    Ok(len) if header_at + len >= mac + ADDRESSES_LEN && !slot.is_own() => {
                        let start = restore(room, mac, tag);
                        debug_assert_eq!(start, 0);
                        return Ok(header_at + len);
                    }
                    Ok(_) => {}
                    // The kernel did not keep its word.
                    Err(_) => self.shared.drops.lose(),
                }
            }
            Err(io::ErrorKind::WouldBlock.into())
        });
        self.slots += self.ring.taken() as u64;
        self.shared.drops.receive(self.slots);
        // Nothing is lent of these slots.
        self.ring.release();
        batch
    }

    #[cold]
    fn take_error(&self) {
        // What it was does not matter: down passes, and that the device is gone the socket does
        // not tell.
        let _ = getsockopt(&self.shared.fd, SocketError);
    }
}

impl Slot {
    /// Whether the frame is in the socket's queue.
    #[inline]
    fn is_queued(&self) -> bool {
        self.status & libc::TP_STATUS_COPY != 0
    }

    /// Whether we, or the host, sent it: kernels before 4.20 know no PACKET_IGNORE_OUTGOING.
    #[inline]
    fn is_own(&self) -> bool {
        self.packet_type == libc::PACKET_OUTGOING
    }

    /// Where in the slot the frame begins and ends. `None`: it is not there as a whole.
    #[inline]
    fn place(&self) -> Option<(usize, usize)> {
        let mac = usize::from(self.mac);
        let end = mac + self.snaplen as usize;
        let whole = self.len == self.snaplen && self.snaplen as usize >= ADDRESSES_LEN;
        let within = mac >= VNET_HEADER_LEN + TAG_LEN && end <= SLOT_OCTETS;
        (whole && within).then_some((mac, end))
    }

    /// The tag that the kernel took off.
    #[inline]
    fn tag(&self) -> Option<[u8; TAG_LEN]> {
        if self.status & libc::TP_STATUS_VLAN_VALID == 0 {
            return None;
        }
        let (control, tpid) = self.vlan;
        // Kernels before 3.14 do not tell the type, and know one only.
        let told = self.status & libc::TP_STATUS_VLAN_TPID_VALID != 0;
        let [a, b] = if told { tpid } else { libc::ETH_P_8021Q as u16 }.to_be_bytes();
        let [c, d] = control.to_be_bytes();
        Some([a, b, c, d])
    }
}

/// Puts the tag back into a frame that begins at `mac`, behind its addresses: they move down for
/// it, and the virtio-net header with them. Returns where that is now.
#[inline]
fn restore(octets: &mut [u8], mac: usize, tag: Option<[u8; TAG_LEN]>) -> usize {
    let start = mac - VNET_HEADER_LEN;
    let Some(tag) = tag else { return start };
    let octets = &mut octets[start - TAG_LEN..];
    octets.copy_within(TAG_LEN..TAG_LEN + VNET_HEADER_LEN + ADDRESSES_LEN, 0);
    octets[VNET_HEADER_LEN + ADDRESSES_LEN..][..TAG_LEN].copy_from_slice(&tag);
    let header = octets.first_chunk_mut().expect("a header is there");
    *header = behind_tag(header);
    start - TAG_LEN
}

/// The virtio-net header of a frame that got a tag: what it counts from the frame's start moves.
fn behind_tag(header: &[u8; VNET_HEADER_LEN]) -> [u8; VNET_HEADER_LEN] {
    let mut offload = Offload::parse(header);
    if offload.flags & NEEDS_CSUM != 0 {
        offload.csum_start = offload.csum_start.saturating_add(TAG_LEN as u16);
        offload.header_len = match offload.header_len {
            // No hint stays none.
            0 => 0,
            len => len.saturating_add(TAG_LEN as u16),
        };
    }
    offload.emit()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESSES: [u8; 12] = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];

    fn slot() -> Slot {
        Slot {
            status: libc::TP_STATUS_USER,
            len: 60,
            snaplen: 60,
            mac: 78,
            vlan: (0xe02a, 0x88a8),
            packet_type: 0,
        }
    }

    /// A slot with a header of ones up to `mac`, and a frame behind.
    fn memory(mac: usize, header: &[u8]) -> Vec<u8> {
        let mut octets = vec![0xee; mac];
        octets[mac - header.len()..].copy_from_slice(header);
        octets.extend(ADDRESSES);
        octets.extend([0x88, 0xb5, 1, 2, 3]);
        octets
    }

    #[test]
    fn frame_without_a_tag_stays_as_it_is() {
        let mut octets = memory(78, &[1, 1, 66, 0, 0xa8, 5, 34, 0, 16, 0]);
        let before = octets.clone();
        assert_eq!(restore(&mut octets, 78, None), 68);
        assert_eq!(octets, before);
    }

    #[test]
    fn tag_is_put_back_and_what_counts_from_the_start_moves() {
        let mut octets = memory(78, &[1, 1, 66, 0, 0xa8, 5, 34, 0, 16, 0]);
        let start = restore(&mut octets, 78, Some([0x88, 0xa8, 0xe0, 0x2a]));
        assert_eq!(start, 64);
        assert_eq!(octets[64..74], [1, 1, 70, 0, 0xa8, 5, 38, 0, 16, 0]);
        assert_eq!(octets[74..86], ADDRESSES);
        assert_eq!(octets[86..], [0x88, 0xa8, 0xe0, 0x2a, 0x88, 0xb5, 1, 2, 3]);
    }

    #[test]
    fn header_without_a_checksum_to_complete_stays_as_it_is() {
        // VIRTIO_NET_HDR_F_DATA_VALID: the checksum is known to be good.
        for header in [[0; 10], [2, 0, 0, 0, 0, 0, 0, 0, 0, 0]] {
            assert_eq!(behind_tag(&header), header);
        }
        let no_hint = [1, 0, 0, 0, 0, 0, 34, 0, 6, 0];
        assert_eq!(behind_tag(&no_hint), [1, 0, 0, 0, 0, 0, 38, 0, 6, 0]);
    }

    #[test]
    fn tag_is_read_with_its_type_where_the_kernel_tells_it() {
        assert_eq!(slot().tag(), None);
        let valid = Slot { status: libc::TP_STATUS_USER | libc::TP_STATUS_VLAN_VALID, ..slot() };
        assert_eq!(valid.tag(), Some([0x81, 0x00, 0xe0, 0x2a]));
        let told = Slot { status: valid.status | libc::TP_STATUS_VLAN_TPID_VALID, ..slot() };
        assert_eq!(told.tag(), Some([0x88, 0xa8, 0xe0, 0x2a]));
    }

    #[test]
    fn frame_that_is_not_whole_or_not_within_its_slot_has_no_place() {
        assert_eq!(slot().place(), Some((78, 138)));
        let full = (SLOT_OCTETS - 78) as u32;
        let bad = [
            Slot { len: 61, ..slot() },
            Slot { mac: 13, ..slot() },
            Slot { mac: SLOT_OCTETS as u16, ..slot() },
            Slot { mac: u16::MAX, ..slot() },
            Slot { len: full + 1, snaplen: full + 1, ..slot() },
            Slot { len: u32::MAX, snaplen: u32::MAX, ..slot() },
            Slot { len: 11, snaplen: 11, ..slot() },
        ];
        for slot in bad {
            assert_eq!(slot.place(), None, "{slot:?}");
        }
        assert!(Slot { len: full, snaplen: full, ..slot() }.place().is_some());
    }
}

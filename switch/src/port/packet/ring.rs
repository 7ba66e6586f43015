//! The memory that a packet socket shares with the kernel for receiving (PACKET_RX_RING with
//! TPACKET_V2: linux/if_packet.h, Documentation/networking/packet_mmap.rst), and all of the
//! unsafe code for it. Read `tpacket_rcv` in net/packet/af_packet.c before changing this file.
//!
//! ```text
//!  0                32                52  68              78
//!  | tpacket2_hdr 32 | sockaddr_ll 20 | - | virtio-net 10 | frame ...        |  one slot
//!    ^ tp_status                                           ^ tp_mac
//! ```
//!
//! The rules:
//!
//! 1. Each slot has one owner, told by its status word. The kernel fills slots in their order and
//!    gives them to us (TP_STATUS_USER); [`Ring::take_if`] takes the next one, and
//!    [`Ring::release`] gives back all that were taken (TP_STATUS_KERNEL).
//! 2. A slot that is ours is touched by nobody else, so what was taken is ordinary memory. What is
//!    taken at one time never goes beyond the end of the ring: it is one piece, and nothing in it
//!    is the kernel's.
//! 3. The kernel's numbers are only read here; whoever uses them as offsets checks them.

#![allow(unsafe_code)]

use std::{
    io,
    mem::offset_of,
    os::fd::{AsRawFd, BorrowedFd},
    ptr::{self, NonNull},
    slice,
    sync::atomic::{AtomicU32, Ordering},
};

use libc::{c_int, c_uint, tpacket2_hdr};

use crate::sys;

/// Octets of a slot: a frame of a 1500 octet MTU and all that stands before it fit, and a page
/// has a whole number of them.
pub(super) const SLOT_OCTETS: usize = 2048;

/// Slots of a ring: a millisecond of small frames at a million a second.
pub(super) const SLOTS: usize = 1024;

/// Octets of a ring.
pub(super) const RING_OCTETS: usize = SLOT_OCTETS * SLOTS;

/// Octets that the kernel allocates in one piece, if it can.
const BLOCK_OCTETS: usize = 64 * 1024;

/// Where a slot's `sockaddr_ll` begins: TPACKET_ALIGN(sizeof(struct tpacket2_hdr)).
const ADDRESS_AT: usize = size_of::<tpacket2_hdr>().next_multiple_of(libc::TPACKET_ALIGNMENT);

/// Octets of a slot before anything of its frame.
const HEAD_LEN: usize = ADDRESS_AT + size_of::<libc::sockaddr_ll>();

// linux/if_packet.h; the kernel's own BUILD_BUG_ON says the same.
const _: () = assert!(ADDRESS_AT == 32 && HEAD_LEN == libc::TPACKET2_HDRLEN);

/// What the kernel wrote in front of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    /// TP_STATUS_*.
    pub status: u32,
    /// Octets of the frame.
    pub len: u32,
    /// Octets of it that are in the slot.
    pub snaplen: u32,
    /// Where in the slot it begins.
    pub mac: u16,
    /// Its VLAN tag, if the status says that there is one: control information and type.
    pub vlan: (u16, u16),
    /// PACKET_HOST, PACKET_OUTGOING and so on.
    pub packet_type: u8,
}

/// The ring of one socket.
pub(super) struct Ring {
    memory: NonNull<u8>,
    /// The first slot that was taken and not released.
    first: usize,
    /// The slot that is taken next; [`SLOTS`] at the end of the ring, until all are released.
    next: usize,
}

// SAFETY: Send wants that no thread keeps a right to what moves. The pointer is to a mapping that
// only this value knows and unmaps, and that is the same in all threads of the process.
unsafe impl Send for Ring {}

impl Ring {
    /// Gives a socket its ring. Options that change the layout (PACKET_VERSION apart, which is set
    /// here) must have been set before.
    pub(super) fn open(socket: BorrowedFd<'_>) -> io::Result<Ring> {
        let version = libc::tpacket_versions::TPACKET_V2 as c_int;
        sys::set_option(socket, libc::SOL_PACKET, libc::PACKET_VERSION, &version)?;
        let request = libc::tpacket_req {
            tp_block_size: BLOCK_OCTETS as c_uint,
            tp_block_nr: (RING_OCTETS / BLOCK_OCTETS) as c_uint,
            tp_frame_size: SLOT_OCTETS as c_uint,
            tp_frame_nr: SLOTS as c_uint,
        };
        sys::set_option(socket, libc::SOL_PACKET, libc::PACKET_RX_RING, &request)?;
        Ring::map(socket)
    }

    /// The ring that a socket has been given: by [`Ring::open`], in this process or in another, of
    /// which no slot was taken yet.
    pub(super) fn map(socket: BorrowedFd<'_>) -> io::Result<Ring> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: mmap(2) without MAP_FIXED takes a place that nothing else has, so no memory of
        // ours changes; the borrow keeps the descriptor open. The kernel maps exactly the ring
        // (packet_mmap) and refuses any other length.
        let memory = unsafe {
            libc::mmap(
                ptr::null_mut(),
                RING_OCTETS,
                protection,
                libc::MAP_SHARED,
                socket.as_raw_fd(),
                0,
            )
        };
        if memory == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let memory = NonNull::new(memory.cast()).expect("a mapping is not at zero");
        Ok(Ring { memory, first: 0, next: 0 })
    }

    /// What is in the next slot, if the kernel has filled it and the ring does not end before it.
    #[inline]
    pub(super) fn peek(&self) -> Option<Slot> {
        if self.next == SLOTS {
            return None;
        }
        // Acquire: what the kernel wrote into the slot before its status is seen after it.
        let status = self.status(self.next).load(Ordering::Acquire);
        if status & libc::TP_STATUS_USER == 0 {
            return None;
        }
        // SAFETY: from_raw_parts wants memory that is readable and does not change while the slice
        // lives. HEAD_LEN octets at the start of a slot are within the mapping, which lives as
        // long as `self`; by its status the slot is ours (rule 1), and `&self` keeps us from
        // writing.
        let head = unsafe { slice::from_raw_parts(self.slot(self.next), HEAD_LEN) };
        let long = |at| u32::from_ne_bytes(*octets(head, at));
        let short = |at| u16::from_ne_bytes(*octets(head, at));
        Some(Slot {
            status,
            len: long(offset_of!(tpacket2_hdr, tp_len)),
            snaplen: long(offset_of!(tpacket2_hdr, tp_snaplen)),
            mac: short(offset_of!(tpacket2_hdr, tp_mac)),
            vlan: (
                short(offset_of!(tpacket2_hdr, tp_vlan_tci)),
                short(offset_of!(tpacket2_hdr, tp_vlan_tpid)),
            ),
            packet_type: head[ADDRESS_AT + offset_of!(libc::sockaddr_ll, sll_pkttype)],
        })
    }

    /// Takes the next slot, if there is one and it is `wanted`.
    #[inline]
    pub(super) fn take_if(&mut self, wanted: impl FnOnce(&Slot) -> bool) -> Option<Slot> {
        let slot = self.peek().filter(wanted)?;
        self.next += 1;
        Some(slot)
    }

    /// How many slots are taken.
    #[inline]
    pub(super) fn taken(&self) -> usize {
        self.next - self.first
    }

    /// The memory of the slots that are taken, [`SLOT_OCTETS`] each.
    #[inline]
    pub(super) fn memory(&mut self) -> &mut [u8] {
        let len = self.taken() * SLOT_OCTETS;
        // SAFETY: from_raw_parts_mut wants memory that nobody else touches while the slice lives.
        // The slots from `first` to `next` are within the mapping, which lives as long as `self`.
        // `take_if` took each of them by its status, so they are ours until `release` (rules 1 and
        // 2), which the exclusive borrow keeps away.
        unsafe { slice::from_raw_parts_mut(self.slot(self.first), len) }
    }

    /// Gives all slots that were taken back to the kernel.
    #[inline]
    pub(super) fn release(&mut self) {
        for slot in self.first..self.next {
            // Release: what we read and wrote in the slot is done when the kernel sees this.
            self.status(slot).store(libc::TP_STATUS_KERNEL, Ordering::Release);
        }
        self.first = self.next % SLOTS;
        self.next = self.first;
    }

    fn slot(&self, index: usize) -> *mut u8 {
        debug_assert!(index <= SLOTS);
        self.memory.as_ptr().wrapping_add(index * SLOT_OCTETS)
    }

    #[inline]
    fn status(&self, index: usize) -> &AtomicU32 {
        debug_assert!(index < SLOTS);
        let status = self.slot(index).wrapping_add(offset_of!(tpacket2_hdr, tp_status));
        // SAFETY: AtomicU32::from_ptr wants a pointer that is aligned, valid for as long as the
        // reference lives, and not used for anything but atomic accesses meanwhile. Slots begin on
        // multiples of 2048 in a mapping that begins on a page and lives as long as `self`; the
        // kernel reads and writes the word as a whole (__packet_set_status), and slices of slots
        // borrow `self`, so that none is in use while the word is written.
        unsafe { AtomicU32::from_ptr(status.cast()) }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: munmap(2) wants that nobody uses the memory any more. It was mapped by `open`
        // with this length, and every reference to it borrowed `self`.
        let result = unsafe { libc::munmap(self.memory.as_ptr().cast(), RING_OCTETS) };
        debug_assert_eq!(result, 0, "a mapping is unmapped");
    }
}

#[inline]
fn octets<const LEN: usize>(head: &[u8], at: usize) -> &[u8; LEN] {
    head[at..].first_chunk().expect("a field lies within the head")
}

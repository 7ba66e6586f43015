//! Receiving without a system call for each frame: the memory that a packet socket shares with
//! the kernel (PACKET_RX_RING with TPACKET_V2: linux/if_packet.h,
//! Documentation/networking/packet_mmap.rst). Read `tpacket_rcv` in net/packet/af_packet.c before
//! changing this file.
//!
//! The kernel writes each frame into the next slot, and with it the time at which it did so. So
//! who reads may sleep as long as there are slots: that costs the receiving side nothing, and the
//! times are exact all the same. What finds no slot is lost, and counted ([`FrameRing::drops`]).
//!
//! ```text
//!  0                32                52  66
//!  | tpacket2_hdr 32 | sockaddr_ll 20 | - | frame ...        |  one slot
//!    ^ tp_status                          ^ tp_mac
//! ```
//!
//! The rules:
//!
//! 1. Each slot has one owner, told by its status word. The kernel fills slots in their order and
//!    gives them to us (TP_STATUS_USER); [`FrameRing::drain`] reads them and gives each back
//!    (TP_STATUS_KERNEL).
//! 2. A slot that is ours is touched by nobody else: it is ordinary memory.
//! 3. The kernel's numbers are checked before they are used as offsets.
#![allow(unsafe_code)]

use std::{
    fmt, io,
    mem::offset_of,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    ptr::{self, NonNull},
    slice,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use libc::{c_int, c_uint, tpacket2_hdr};

use super::frames::open_receiver;
use crate::{Namespace, error::sentence, sys};

/// A packet socket bound to one link, with a receive ring. It sees what comes in, whoever it is
/// for, and not what the host itself sends.
pub struct FrameRing {
    socket: OwnedFd,
    memory: NonNull<u8>,
    slot_octets: usize,
    slots: usize,
    /// The slot that is filled next.
    next: usize,
    drops: u64,
}

/// A frame that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival<'a> {
    /// The frame without its outer VLAN tag, as much of it as there was room for.
    pub octets: &'a [u8],
    /// How long it was.
    pub len: usize,
    /// That tag, which the kernel takes off: type and control information.
    pub tag: Option<[u8; 4]>,
    /// When the kernel wrote it into the ring, by the real-time clock.
    pub at: Duration,
}

// SAFETY: Send wants that no thread keeps a right to what moves. The pointer is to a mapping that
// only this value knows and unmaps, and that is the same in all threads of the process.
unsafe impl Send for FrameRing {}

impl FrameRing {
    /// Opens a socket on a link of a namespace, with room for at least so many frames of so many
    /// octets.
    ///
    /// # Errors
    ///
    /// There is no such link, the process may not (CAP_NET_RAW), or there is no memory.
    ///
    /// # Panics
    ///
    /// If a frame of [`RING_FRAME_OCTETS_MAX`] would be too small, or there would be no slot.
    pub fn open(
        namespace: &Namespace,
        link: &str,
        octets: usize,
        frames: usize,
    ) -> io::Result<FrameRing> {
        assert!(octets <= RING_FRAME_OCTETS_MAX && frames > 0, "a ring of some frames");
        let slot_octets = (octets + HEAD_OCTETS_MAX).next_power_of_two();
        let block_octets = slot_octets.max(BLOCK_OCTETS);
        let blocks = (frames * slot_octets).div_ceil(block_octets);
        let slots = blocks * block_octets / slot_octets;
        // What was queued before there is a ring would stay in the queue.
        let prepare = |fd: BorrowedFd<'_>| -> io::Result<()> {
            let level = libc::SOL_PACKET;
            let version = libc::tpacket_versions::TPACKET_V2 as c_int;
            sys::set_option(fd, level, libc::PACKET_VERSION, version)?;
            let request = libc::tpacket_req {
                tp_block_size: block_octets as c_uint,
                tp_block_nr: blocks as c_uint,
                tp_frame_size: slot_octets as c_uint,
                tp_frame_nr: slots as c_uint,
            };
            sys::set_option_struct(fd, level, libc::PACKET_RX_RING, &request)
        };
        let open = || {
            let socket = open_receiver(namespace, link, prepare)?;
            FrameRing::map(socket, slot_octets, slots)
        };
        open().map_err(|error| {
            sentence(format!("no ring was opened to receive on link `{link}`"), error)
        })
    }

    fn map(socket: OwnedFd, slot_octets: usize, slots: usize) -> io::Result<FrameRing> {
        let (rights, shared) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
        let (place, octets, fd) = (ptr::null_mut(), slot_octets * slots, socket.as_raw_fd());
        // SAFETY: mmap(2) without MAP_FIXED takes a place that nothing else has, so no memory of
        // ours changes; `socket` is open. The kernel maps exactly the ring (packet_mmap) and
        // refuses any other length.
        let memory = unsafe { libc::mmap(place, octets, rights, shared, fd, 0) };
        if memory == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let memory = NonNull::new(memory.cast()).expect("a mapping is not at zero");
        Ok(FrameRing { socket, memory, slot_octets, slots, next: 0, drops: 0 })
    }

    /// Hands over what has come since the last call, in its order and at most one ring full, and
    /// says how many frames that were. It never waits.
    pub fn drain(&mut self, mut each: impl FnMut(Arrival<'_>)) -> usize {
        for count in 0..self.slots {
            // Acquire: what the kernel wrote into the slot before its status is seen after it.
            if self.status().load(Ordering::Acquire) & libc::TP_STATUS_USER == 0 {
                return count;
            }
            // SAFETY: from_raw_parts wants memory that is readable and does not change while the
            // slice lives. The slot is within the mapping, which lives as long as `self`; by its
            // status it is ours (rules 1 and 2) until it is given back, below.
            let slot = unsafe { slice::from_raw_parts(self.slot(), self.slot_octets) };
            if let Some(arrival) = parse(slot) {
                each(arrival);
            }
            // Release: what we read in the slot is read when the kernel sees this.
            self.status().store(libc::TP_STATUS_KERNEL, Ordering::Release);
            self.next = (self.next + 1) % self.slots;
        }
        self.slots
    }

    /// Frames that came and found no slot, since the ring was opened.
    ///
    /// # Errors
    ///
    /// What the system said.
    pub fn drops(&mut self) -> io::Result<u64> {
        self.drops += u64::from(sys::packet_drops(self.socket.as_fd())?);
        Ok(self.drops)
    }

    /// How many frames it holds.
    pub fn slots(&self) -> usize {
        self.slots
    }

    fn slot(&self) -> *mut u8 {
        debug_assert!(self.next < self.slots);
        self.memory.as_ptr().wrapping_add(self.next * self.slot_octets)
    }

    fn status(&self) -> &AtomicU32 {
        let status = self.slot().wrapping_add(offset_of!(tpacket2_hdr, tp_status));
        // SAFETY: AtomicU32::from_ptr wants a pointer that is aligned, valid for as long as the
        // reference lives, and not used for anything but atomic accesses meanwhile. Slots begin on
        // multiples of a power of two, at least 128, in a mapping that begins on a page and lives
        // as long as `self`; the kernel reads and writes the word as a whole
        // (__packet_set_status), and while it is written here no slice of the slot is in use.
        unsafe { AtomicU32::from_ptr(status.cast()) }
    }
}

impl Drop for FrameRing {
    fn drop(&mut self) {
        let octets = self.slot_octets * self.slots;
        // SAFETY: munmap(2) wants that nobody uses the memory any more. It was mapped by `map`
        // with this length, and every reference to it borrowed `self`.
        let answer = unsafe { libc::munmap(self.memory.as_ptr().cast(), octets) };
        debug_assert_eq!(answer, 0, "a mapping is unmapped");
    }
}

impl fmt::Debug for FrameRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ring of {} slots of {} octets", self.slots, self.slot_octets)
    }
}

/// Reads a slot. `None`: the kernel's numbers point outside of it.
fn parse(slot: &[u8]) -> Option<Arrival<'_>> {
    let long = |at: usize| slot.get(at..)?.first_chunk().copied().map(u32::from_ne_bytes);
    let short = |at: usize| slot.get(at..)?.first_chunk().copied().map(u16::from_ne_bytes);
    let status = long(offset_of!(tpacket2_hdr, tp_status))?;
    let len = long(offset_of!(tpacket2_hdr, tp_len))? as usize;
    let snaplen = long(offset_of!(tpacket2_hdr, tp_snaplen))? as usize;
    let mac = usize::from(short(offset_of!(tpacket2_hdr, tp_mac))?);
    let seconds = long(offset_of!(tpacket2_hdr, tp_sec))?;
    let nanos = long(offset_of!(tpacket2_hdr, tp_nsec))?;
    let tag = if status & libc::TP_STATUS_VLAN_VALID == 0 {
        None
    } else {
        let control = short(offset_of!(tpacket2_hdr, tp_vlan_tci))?;
        let kind = short(offset_of!(tpacket2_hdr, tp_vlan_tpid))?;
        // Kernels before 3.14 do not tell the type, and know one only.
        let told = status & libc::TP_STATUS_VLAN_TPID_VALID != 0;
        let [a, b] = if told { kind } else { libc::ETH_P_8021Q as u16 }.to_be_bytes();
        let [c, d] = control.to_be_bytes();
        Some([a, b, c, d])
    };
    let octets = slot.get(mac..)?.get(..snaplen)?;
    Some(Arrival { octets, len, tag, at: Duration::new(seconds.into(), nanos) })
}

/// Octets of the largest frame that has a slot: an IP packet of 65,535 octets, its header and two
/// tags.
pub const RING_FRAME_OCTETS_MAX: usize = 66 * 1024;

/// Octets of a slot before its frame at the most: TPACKET_ALIGN(TPACKET2_HDRLEN + 16).
const HEAD_OCTETS_MAX: usize = 80;

/// Octets that the kernel allocates in one piece, if no slot is longer.
const BLOCK_OCTETS: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::{
        FrameSocket,
        test::{self, PATIENCE},
    };

    fn frame(head: &[u8], octets: usize) -> Vec<u8> {
        let mut frame = vec![2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 7];
        frame.extend(head);
        frame.extend((0..octets).map(|at| at as u8));
        frame
    }

    fn now() -> Duration {
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap()
    }

    /// The next frame of ours, its tag, and when it came.
    fn next(ring: &mut FrameRing) -> (Vec<u8>, Option<[u8; 4]>, Duration) {
        let mut got = None;
        test::eventually("a frame arrives", || {
            ring.drain(|arrival| {
                if arrival.octets[..6] == [2, 0, 0, 0, 0, 9] {
                    assert_eq!(arrival.len, arrival.octets.len());
                    got = Some((arrival.octets.to_vec(), arrival.tag, arrival.at));
                }
            });
            got.is_some()
        });
        got.unwrap()
    }

    #[test]
    fn frames_arrive_octet_for_octet_with_tag_and_time_however_often_the_ring_goes_round() {
        test::root!();
        let (one, other) = test::pair();
        let near = FrameSocket::open(&one, "a").unwrap();
        let mut ring = FrameRing::open(&other, "b", 1514, 1).unwrap();
        assert_eq!(ring.slots(), 32, "a block's worth");
        for round in 0..100 {
            let before = now();
            let plain = frame(&[0x88, 0xb5], 46 + round);
            test::send(&near, &plain);
            let (octets, tag, at) = next(&mut ring);
            assert_eq!((octets, tag), (plain, None));
            assert!(before <= at && at <= now(), "{before:?} {at:?}");
            let tag = [0x81, 0x00, 0xe0, 0x2a];
            test::send(&near, &frame(&[&tag[..], &[0x88, 0xb5]].concat(), 46));
            let (octets, got, _) = next(&mut ring);
            assert_eq!((octets, got), (frame(&[0x88, 0xb5], 46), Some(tag)));
        }
    }

    #[test]
    fn what_finds_no_slot_is_counted() {
        test::root!();
        let (one, other) = test::pair();
        let near = FrameSocket::open(&one, "a").unwrap();
        let mut ring = FrameRing::open(&other, "b", RING_FRAME_OCTETS_MAX, 1).unwrap();
        assert_eq!(ring.slots(), 1);
        let deadline = std::time::Instant::now() + PATIENCE;
        while ring.drops().unwrap() == 0 {
            assert!(std::time::Instant::now() < deadline, "some are lost");
            test::send(&near, &frame(&[0x88, 0xb5], 46));
        }
        assert_eq!(ring.drain(|_| {}), 1);
        let before = ring.drops().unwrap();
        assert!(before > 0, "it is a sum");
    }

    #[test]
    fn numbers_that_point_out_of_a_slot_are_no_frame() {
        let mut slot = [0; 256];
        let mut put = |at: usize, octets: &[u8]| {
            slot[at..at + octets.len()].copy_from_slice(octets);
        };
        put(offset_of!(tpacket2_hdr, tp_len), &60u32.to_ne_bytes());
        put(offset_of!(tpacket2_hdr, tp_snaplen), &60u32.to_ne_bytes());
        put(offset_of!(tpacket2_hdr, tp_mac), &66u16.to_ne_bytes());
        put(offset_of!(tpacket2_hdr, tp_sec), &7u32.to_ne_bytes());
        put(offset_of!(tpacket2_hdr, tp_nsec), &8u32.to_ne_bytes());
        let arrival = parse(&slot).unwrap();
        assert_eq!((arrival.octets.len(), arrival.len), (60, 60));
        assert_eq!(arrival.at, Duration::new(7, 8));
        for (at, value) in [(offset_of!(tpacket2_hdr, tp_snaplen), u32::MAX), (8, 191)] {
            let mut bad = slot;
            bad[at..at + 4].copy_from_slice(&value.to_ne_bytes());
            assert_eq!(parse(&bad), None, "{at}");
        }
        assert_eq!(parse(&slot[..20]), None);
    }
}

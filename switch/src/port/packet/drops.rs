//! What the kernel lost before a port could receive it, or after it was sent, as running sums:
//! the kernel's own count begins again at zero whenever it is read (PACKET_STATISTICS).
//!
//! Who asks for them finds out as well whether the ring has stopped. Linux (6.18 at least) marks
//! the next slot as being filled and then asks for a frame's virtio-net header; a frame that such a
//! header cannot describe it drops without taking the mark away (`tpacket_rcv`), and from then on
//! every frame. A guest's UDP fragmentation (VIRTIO_NET_HDR_GSO_UDP) is such a frame. So if frames
//! were dropped between two looks, none was received and none waits, then none will ever come.

use std::{
    os::fd::BorrowedFd,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::sys;

/// The sums of one port, shared by its halves.
#[derive(Default)]
pub(super) struct Drops {
    /// The kernel's counts, as far as they were read.
    counted: AtomicU64,
    /// Frames whose slot came without all of them: the queue for large ones was full. The kernel
    /// counts them as received.
    cut: AtomicU64,
    /// Frames that the device dropped and said so: they are counted as not sent.
    told: AtomicU64,
    received: Received,
    /// What had been received at the last look.
    seen: AtomicU64,
    stopped: AtomicBool,
}

/// Frames that came, on cache lines of its own: it is written with every batch, and what else a
/// port's halves share is read with every batch, by all workers.
#[derive(Default)]
#[repr(align(128))]
struct Received(AtomicU64);

impl Drops {
    /// Counts a frame that came without its end.
    #[cold]
    pub(super) fn lose(&self) {
        // Relaxed: a count that guards nothing else, here and below.
        self.cut.fetch_add(1, Ordering::Relaxed);
    }

    /// Says how many slots were taken from the ring by now. To be called before they are given
    /// back.
    #[inline]
    pub(super) fn receive(&self, slots: u64) {
        // Release: who finds that none waits because they were given back sees this.
        self.received.0.store(slots, Ordering::Release);
    }

    /// Whether the ring was found to have stopped for good.
    #[inline]
    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// Counts a frame for which the device had no room.
    #[cold]
    pub(super) fn tell(&self) {
        self.told.fetch_add(1, Ordering::Relaxed);
    }

    /// What of the device's drops was not told when it was sent.
    pub(super) fn untold(&self, dropped: u64) -> u64 {
        dropped.saturating_sub(self.told.load(Ordering::Relaxed))
    }

    /// All that was lost since the socket was opened.
    pub(super) fn total(&self, socket: BorrowedFd<'_>) -> u64 {
        // Each drop is handed out once, whoever asks, and added once.
        let new = u64::from(sys::packet_drops(socket).unwrap_or(0));
        let none_waits = poll(&mut [PollFd::new(socket, PollFlags::POLLIN)], PollTimeout::ZERO);
        let received = self.received.0.load(Ordering::Acquire);
        let seen = self.seen.swap(received, Ordering::Relaxed);
        if new > 0 && none_waits == Ok(0) && received == seen {
            self.stopped.store(true, Ordering::Relaxed);
        }
        self.counted.fetch_add(new, Ordering::Relaxed) + new + self.cut.load(Ordering::Relaxed)
    }
}

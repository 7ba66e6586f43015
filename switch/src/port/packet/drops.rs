//! What the kernel lost before a port could receive it, or after it was sent, as running sums:
//! the kernel's own count begins again at zero whenever it is read (PACKET_STATISTICS).

use std::{
    os::fd::BorrowedFd,
    sync::atomic::{AtomicU64, Ordering},
};

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
}

impl Drops {
    /// Counts a frame that came without its end.
    #[cold]
    pub(super) fn lose(&self) {
        // Relaxed: a count that guards nothing else, here and below.
        self.cut.fetch_add(1, Ordering::Relaxed);
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
        let new = sys::packet_drops(socket).unwrap_or(0);
        let counted = self.counted.fetch_add(new.into(), Ordering::Relaxed) + u64::from(new);
        counted + self.cut.load(Ordering::Relaxed)
    }
}

//! Sending by a packet socket: a whole selection by one system call, sendmmsg(2), that never
//! waits. The virtio-net header goes in front of each frame (PACKET_VNET_HDR), so that the device,
//! or the host behind it, takes checksums to complete and segments to cut.

use std::{io, os::fd::AsFd, sync::Arc};

use nix::errno::Errno;

use super::Shared;
use crate::{
    frame::Selection,
    port::{KernelDrops, Sent, Tx},
    sys,
};

/// The sending half. All share one socket: the kernel keeps frames whole.
pub struct PacketTx {
    shared: Arc<Shared>,
}

impl PacketTx {
    pub(super) fn new(shared: Arc<Shared>) -> PacketTx {
        PacketTx { shared }
    }
}

impl Tx for PacketTx {
    fn mtu(&self) -> u32 {
        self.shared.mtu
    }

    fn clone_for(&self, _worker: usize) -> io::Result<PacketTx> {
        Ok(PacketTx { shared: self.shared.clone() })
    }

    #[inline]
    fn send(&mut self, mut frames: Selection<'_>) -> Sent {
        // The receiving half sleeps, and nothing would wake it: it is told here.
        if self.shared.drops.is_stopped() {
            return Sent { gone: frames.len() as u64, ..Sent::default() };
        }
        let mut sent = Sent::default();
        while !frames.is_empty() {
            let wires = frames.frames().map(|frame| frame.wire());
            let done = match sys::send_many(self.shared.sender.as_fd(), None, wires) {
                Ok(taken) => {
                    frames.frames().take(taken).for_each(|frame| sent.took(frame));
                    taken
                }
                Err(errno) => {
                    if errno == Errno::ENOBUFS {
                        self.shared.drops.tell();
                    }
                    refused(errno, frames.len() as u64, &mut sent) as usize
                }
            };
            for _ in 0..done {
                frames.mask &= frames.mask - 1;
            }
        }
        sent
    }

    /// What the ring and the queue had no room for, and what the device threw away after it had
    /// taken it. The device's figure is zero when it is gone, or in another namespace.
    fn kernel_drops(&self) -> KernelDrops {
        let rx = self.shared.drops.total(self.shared.fd.as_fd());
        let tx = self.shared.drops.untold(self.shared.device_drops().unwrap_or_default());
        KernelDrops { rx, tx }
    }
}

/// Sorts the ways in which the first of `left` frames was not taken (`packet_snd` in
/// net/packet/af_packet.c), and says for how many of them that holds.
#[cold]
fn refused(errno: Errno, left: u64, sent: &mut Sent) -> u64 {
    match errno {
        // The socket's buffer is full, for every frame alike (sock_alloc_send_pskb).
        Errno::EAGAIN => {
            sent.full += left;
            left
        }
        // The device is off, or not there: it may come back.
        Errno::ENETDOWN | Errno::ENXIO => {
            sent.down += left;
            left
        }
        // The device's queue had no room for this one.
        Errno::ENOBUFS | Errno::ENOMEM | Errno::EINTR => {
            sent.full += 1;
            1
        }
        Errno::EBADF => {
            sent.gone += left;
            left
        }
        // EMSGSIZE, EINVAL: this one alone.
        _ => {
            sent.refused += 1;
            1
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_sorted_by_what_they_mean_and_for_how_many_frames() {
        let sort = |errno| {
            let mut sent = Sent::default();
            let skipped = refused(errno, 5, &mut sent);
            (skipped, sent.full, sent.down, sent.gone, sent.refused)
        };
        assert_eq!(sort(Errno::EAGAIN), (5, 5, 0, 0, 0));
        assert_eq!(sort(Errno::ENOBUFS), (1, 1, 0, 0, 0));
        assert_eq!(sort(Errno::ENETDOWN), (5, 0, 5, 0, 0));
        assert_eq!(sort(Errno::ENXIO), (5, 0, 5, 0, 0));
        assert_eq!(sort(Errno::EMSGSIZE), (1, 0, 0, 0, 1));
        assert_eq!(sort(Errno::EINVAL), (1, 0, 0, 0, 1));
    }
}

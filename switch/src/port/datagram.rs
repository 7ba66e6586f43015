//! Descriptors of which one read is one frame: TAP, macvtap, unix datagram and seqpacket
//! sockets. They differ in how they are opened; from then on this is all there is to them.
//! Each frame comes and goes behind its virtio-net header, in one call.
//!
//! For such descriptors the kernel keeps writes whole, whichever thread they come from, so a
//! sending half is shared by all workers without a lock.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::Arc,
};

use nix::errno::Errno;

use crate::{
    frame::{Arena, Lent, Selection},
    port::{Port, Rx, Sent, Tx},
    sys::{read, write},
};

/// A port on one descriptor.
pub struct Datagram {
    fd: Arc<OwnedFd>,
    mtu: u32,
}

impl Datagram {
    /// A port on a descriptor that is already set non-blocking and carries virtio-net headers
    /// of 10 octets.
    pub fn new(fd: OwnedFd, mtu: u32) -> Datagram {
        Datagram { fd: Arc::new(fd), mtu }
    }
}

impl Port for Datagram {
    type Rx = DatagramRx;
    type Tx = DatagramTx;

    fn split(self) -> io::Result<(Vec<DatagramRx>, DatagramTx)> {
        Ok((vec![DatagramRx::new(self.fd.clone())], DatagramTx::new(self.fd, self.mtu)))
    }
}

/// The receiving half: reads until there is nothing, or the batch is full.
pub struct DatagramRx {
    fd: Arc<OwnedFd>,
}

impl DatagramRx {
    pub(crate) fn new(fd: Arc<OwnedFd>) -> DatagramRx {
        DatagramRx { fd }
    }
}

impl Rx for DatagramRx {
    #[inline]
    fn recv<'a>(&'a mut self, arena: &'a mut Arena) -> io::Result<Lent<'a>> {
        arena.fill(|room| match read(&self.fd, room) {
            // A datagram has at least its virtio-net header: nothing at all is the end.
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(len) => Ok(len),
            Err(errno) => Err(unread(errno)),
        })
    }

    fn wait_on(&self) -> Option<BorrowedFd<'_>> {
        Some(self.fd.as_fd())
    }
}

/// The sending half: one write a frame.
#[derive(Clone)]
pub struct DatagramTx {
    fd: Arc<OwnedFd>,
    mtu: u32,
}

impl DatagramTx {
    pub(crate) fn new(fd: Arc<OwnedFd>, mtu: u32) -> DatagramTx {
        DatagramTx { fd, mtu }
    }

    /// Sends, as [`Tx::send`]; the kernel needs no exclusive right to it.
    #[inline]
    pub(crate) fn write(&self, frames: Selection<'_>) -> Sent {
        let mut sent = Sent::default();
        for frame in frames.frames() {
            match write(&self.fd, frame.wire()) {
                Ok(_) => sent.took(frame),
                Err(errno) => refused(errno, &mut sent),
            }
        }
        sent
    }

    /// The descriptor, to ask the device behind it something.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Tx for DatagramTx {
    fn mtu(&self) -> u32 {
        self.mtu
    }

    fn clone_for(&self, _worker: usize) -> io::Result<DatagramTx> {
        Ok(self.clone())
    }

    #[inline]
    fn send(&mut self, frames: Selection<'_>) -> Sent {
        self.write(frames)
    }
}

/// Sorts the ways in which a read fails (drivers/net/tun.c, net/unix/af_unix.c).
#[inline]
pub(super) fn unread(errno: Errno) -> io::Error {
    match errno {
        // The device is down, or memory is short: that passes.
        Errno::EIO | Errno::ENETDOWN | Errno::ENOBUFS | Errno::ENOMEM => {
            io::ErrorKind::WouldBlock.into()
        }
        errno => errno.into(),
    }
}

/// Sorts the ways in which a write fails (drivers/net/tun.c, net/unix/af_unix.c).
#[cold]
pub(super) fn refused(errno: Errno, sent: &mut Sent) {
    match errno {
        Errno::EAGAIN | Errno::ENOBUFS | Errno::ENOMEM | Errno::EINTR => sent.full += 1,
        Errno::EIO | Errno::ENETDOWN => sent.down += 1,
        Errno::EBADFD
        | Errno::EBADF
        | Errno::ENODEV
        | Errno::ENXIO
        | Errno::EPIPE
        | Errno::ECONNRESET
        | Errno::ECONNREFUSED
        | Errno::ENOTCONN => sent.gone += 1,
        _ => sent.refused += 1,
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use nix::sys::socket::{AddressFamily, SockFlag, SockType, setsockopt, socketpair, sockopt};

    use super::*;
    use crate::{
        frame::{BATCH_MAX, Batch, Frame, Span},
        offload::VNET_HEADER_LEN,
    };

    /// A port, and the other end of its socket.
    fn pair() -> (Datagram, OwnedFd) {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let (ours, theirs) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags).unwrap();
        (Datagram::new(ours, 1500), theirs)
    }

    fn send(tx: &mut DatagramTx, wires: &[Vec<u8>]) -> Sent {
        let mut spans = Vec::new();
        for wire in wires {
            let start = spans.last().map_or(0, |span: &Span| span.start + span.len);
            spans.push(Span { start, len: wire.len() as u32 });
        }
        let memory = wires.concat();
        let mask = u64::MAX >> (64 - wires.len());
        tx.send(Selection { batch: Batch::new(&memory, &spans), mask })
    }

    #[test]
    fn one_read_is_one_frame_and_an_empty_batch_means_that_nothing_is_ready() {
        let (port, theirs) = pair();
        let (mut rx, _tx) = port.split().unwrap();
        let mut arena = Arena::new();
        assert!(rx[0].recv(&mut arena).unwrap().is_empty());
        for len in [13, 72, 1526, 65_562] {
            write(&theirs, &vec![len as u8; len]).unwrap();
        }
        let batch = rx[0].recv(&mut arena).unwrap();
        let lengths: Vec<_> = batch.frames().map(|frame| frame.wire().len()).collect();
        assert_eq!(lengths, [13, 72, 1526, 65_562]);
        assert!(batch.frames().all(|f| f.wire().iter().all(|o| *o == f.wire().len() as u8)));
    }

    #[test]
    fn batch_ends_at_its_bound_and_the_rest_comes_next() {
        let (port, theirs) = pair();
        setsockopt(&theirs, sockopt::SndBuf, &(1 << 20)).unwrap();
        let (mut rx, _tx) = port.split().unwrap();
        for number in 0..BATCH_MAX + 10 {
            write(&theirs, &[number as u8; 72]).unwrap();
        }
        let mut arena = Arena::new();
        assert_eq!(rx[0].recv(&mut arena).unwrap().len(), BATCH_MAX);
        let rest = rx[0].recv(&mut arena).unwrap();
        assert_eq!(rest.len(), 10);
        assert_eq!(rest.frame(0).wire()[0], BATCH_MAX as u8);
    }

    #[test]
    fn full_port_counts_what_it_has_no_room_for_and_does_not_wait() {
        let (port, theirs) = pair();
        let (_rx, mut tx) = port.split().unwrap();
        let wires = vec![vec![1; VNET_HEADER_LEN + 1514]; BATCH_MAX];
        let mut taken = 0;
        let sent = loop {
            let sent = send(&mut tx, &wires);
            taken += sent.frames;
            if sent.full > 0 {
                break sent;
            }
        };
        assert_eq!(sent.frames + sent.full, BATCH_MAX as u64);
        assert_eq!(sent, Sent { octets: sent.frames * 1514, ..sent });
        let mut octets = [0; 2000];
        let read = (0..).take_while(|_| read(&theirs, &mut octets).is_ok()).count();
        assert_eq!(read as u64, taken);
    }

    #[test]
    fn port_whose_other_end_closed_is_gone_in_both_directions() {
        let (port, theirs) = pair();
        let (mut rx, mut tx) = port.split().unwrap();
        drop(theirs);
        let mut arena = Arena::new();
        let error = rx[0].recv(&mut arena).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
        assert_eq!(send(&mut tx, &[vec![0; 72]]), Sent { gone: 1, ..Sent::default() });
    }

    #[test]
    fn errors_of_a_write_are_sorted_by_what_they_mean() {
        let count = |errno| {
            let mut sent = Sent::default();
            refused(errno, &mut sent);
            (sent.full, sent.down, sent.gone, sent.refused)
        };
        assert_eq!(count(Errno::EAGAIN), (1, 0, 0, 0));
        assert_eq!(count(Errno::EIO), (0, 1, 0, 0));
        assert_eq!(count(Errno::EBADFD), (0, 0, 1, 0));
        assert_eq!(count(Errno::EINVAL), (0, 0, 0, 1));
        assert_eq!(count(Errno::EMSGSIZE), (0, 0, 0, 1));
    }

    #[test]
    fn frame_goes_out_with_its_virtio_net_header_as_it_came_in() {
        let (port, theirs) = pair();
        let (_rx, mut tx) = port.split().unwrap();
        let wire: Vec<u8> = (0..VNET_HEADER_LEN as u8 + 60).collect();
        assert_eq!(Frame::from_wire(&wire).octets().len(), 60);
        assert_eq!(send(&mut tx, std::slice::from_ref(&wire)).octets, 60);
        let mut octets = [0; 200];
        let len = read(&theirs, &mut octets).unwrap();
        assert_eq!(octets[..len], wire);
    }
}

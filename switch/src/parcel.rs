//! What one process hands to another over a socket: numbers, texts and descriptors, taken out in
//! the order in which they were put in (SCM_RIGHTS of unix(7)).
//!
//! A parcel goes in pieces, each a message of a SOCK_SEQPACKET socket: one octet that says whether
//! it is the last, then octets, and descriptors beside them. A number is 8 octets, least first; a
//! text is its length as a number, then UTF-8.

use std::{
    collections::VecDeque,
    io::{self, ErrorKind},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use crate::sys;

/// Octets of a piece, its first not counted.
const PIECE_OCTETS: usize = 16 << 10;
/// Descriptors of a piece: fewer than the kernel takes (SCM_MAX_FD of linux/net/scm.h, 253).
const PIECE_FDS: usize = 128;
/// Octets of a parcel at the most.
const OCTETS_MAX: usize = 4 << 20;
/// Descriptors of a parcel at the most: the queues of a TAP, and what goes with them.
const FDS_MAX: usize = 512;

/// Things on their way.
#[derive(Default)]
pub(crate) struct Parcel {
    octets: Vec<u8>,
    /// What of them was taken out.
    taken: usize,
    fds: VecDeque<OwnedFd>,
}

impl Parcel {
    /// With this number before all that is in it.
    pub(crate) fn headed(mut self, number: u64) -> Parcel {
        self.octets.splice(..0, number.to_le_bytes());
        self
    }

    pub(crate) fn put_number(&mut self, number: u64) {
        self.octets.extend(number.to_le_bytes());
    }

    pub(crate) fn put_text(&mut self, text: &str) {
        self.put_number(text.len() as u64);
        self.octets.extend(text.as_bytes());
    }

    pub(crate) fn put_fd(&mut self, fd: impl Into<OwnedFd>) {
        self.fds.push_back(fd.into());
    }

    pub(crate) fn take_number(&mut self) -> io::Result<u64> {
        let octets = self.take(size_of::<u64>())?;
        Ok(u64::from_le_bytes(octets.try_into().expect("as many as were asked for")))
    }

    pub(crate) fn take_text(&mut self) -> io::Result<String> {
        let len = usize::try_from(self.take_number()?).map_err(|_| wrong())?;
        let octets = self.take(len)?.to_vec();
        String::from_utf8(octets).map_err(|_| wrong())
    }

    pub(crate) fn take_fd(&mut self) -> io::Result<OwnedFd> {
        self.fds.pop_front().ok_or_else(wrong)
    }

    /// How many descriptors are in it.
    pub(crate) fn fds(&self) -> usize {
        self.fds.len()
    }

    fn take(&mut self, len: usize) -> io::Result<&[u8]> {
        let end = self.taken.checked_add(len).ok_or_else(wrong)?;
        let octets = self.octets.get(self.taken..end).ok_or_else(wrong)?;
        self.taken = end;
        Ok(octets)
    }

    /// Sends it, and waits for room.
    ///
    /// # Errors
    ///
    /// Nobody is at the other end, or it is too large.
    pub(crate) fn send(self, socket: BorrowedFd<'_>) -> io::Result<()> {
        if self.octets.len() > OCTETS_MAX || self.fds.len() > FDS_MAX {
            return Err(wrong());
        }
        let fds: Vec<_> = self.fds.iter().map(AsFd::as_fd).collect();
        let (mut octets, mut fds) = (&*self.octets, &*fds);
        loop {
            let (head, rest) = octets.split_at(octets.len().min(PIECE_OCTETS));
            let (with, others) = fds.split_at(fds.len().min(PIECE_FDS));
            (octets, fds) = (rest, others);
            let last = octets.is_empty() && fds.is_empty();
            let piece = [&[u8::from(last)], head].concat();
            sys::send_with(socket, &piece, with)?;
            if last {
                return Ok(());
            }
        }
    }

    /// Waits for one. `None`: the other end has gone.
    ///
    /// # Errors
    ///
    /// What came is no parcel, or there was no descriptor left to take it (`InvalidData`): it is
    /// gone then to its last piece, and the next is whole again. Or what the system said.
    pub(crate) fn recv(socket: BorrowedFd<'_>) -> io::Result<Option<Parcel>> {
        let mut parcel = Parcel::default();
        let mut piece = vec![0; 1 + PIECE_OCTETS];
        let mut whole = true;
        loop {
            let came = sys::recv_with::<PIECE_FDS>(socket, &mut piece)?;
            let Some((last, octets)) = piece[..came.len].split_first() else { return Ok(None) };
            whole &= came.whole;
            whole &= parcel.octets.len() + octets.len() <= OCTETS_MAX;
            whole &= parcel.fds.len() + came.fds.len() <= FDS_MAX;
            if whole {
                parcel.octets.extend(octets);
                parcel.fds.extend(came.fds);
            }
            match *last {
                0 => {}
                _ if whole => return Ok(Some(parcel)),
                _ => return Err(wrong()),
            }
        }
    }
}

/// It is not what was expected.
pub(crate) fn wrong() -> io::Error {
    io::Error::new(ErrorKind::InvalidData, "a message between two processes makes no sense")
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};

    use super::*;

    fn pair() -> (OwnedFd, OwnedFd) {
        let flags = SockFlag::SOCK_CLOEXEC;
        socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags).unwrap()
    }

    #[test]
    fn what_was_put_in_comes_out_in_its_order_however_many_pieces_it_takes() {
        let (one, other) = pair();
        let long = "é".repeat(20_000);
        let mut parcel = Parcel::default();
        parcel.put_number(u64::MAX);
        parcel.put_text(&long);
        parcel.put_text("");
        (0..300).for_each(|_| parcel.put_fd(File::open("/dev/null").unwrap()));
        std::thread::scope(|scope| {
            scope.spawn(|| parcel.send(one.as_fd()).unwrap());
            let mut came = Parcel::recv(other.as_fd()).unwrap().unwrap();
            assert_eq!(came.take_number().unwrap(), u64::MAX);
            assert_eq!((came.take_text().unwrap(), came.take_text().unwrap()), (long, "".into()));
            assert_eq!(came.fds(), 300);
            assert!(came.take_number().is_err(), "there is no more");
        });
        drop(one);
        assert!(Parcel::recv(other.as_fd()).unwrap().is_none());
    }

    #[test]
    fn what_does_not_fit_is_gone_to_its_last_piece_and_the_next_comes() {
        let (one, other) = pair();
        let piece = |last: u8, octets: usize| [&[last][..], &vec![7; octets]].concat();
        let next = || {
            let mut parcel = Parcel::default();
            parcel.put_number(5);
            parcel.send(one.as_fd()).unwrap();
        };
        let null = File::open("/dev/null").unwrap();
        std::thread::scope(|scope| {
            // Whoever sends does not wait for ever if we fail.
            let other = other;
            scope.spawn(|| {
                // A piece that is longer than any, and one more.
                sys::send_with(one.as_fd(), &piece(0, PIECE_OCTETS + 1), &[]).unwrap();
                sys::send_with(one.as_fd(), &piece(1, 1), &[]).unwrap();
                next();
                // Pieces without end, or with more descriptors than any.
                for _ in 0..=OCTETS_MAX / PIECE_OCTETS {
                    sys::send_with(one.as_fd(), &piece(0, PIECE_OCTETS), &[]).unwrap();
                }
                sys::send_with(one.as_fd(), &piece(1, 0), &[]).unwrap();
                next();
                let fds = vec![null.as_fd(); PIECE_FDS];
                for _ in 0..=FDS_MAX / PIECE_FDS {
                    sys::send_with(one.as_fd(), &piece(0, 1), &fds).unwrap();
                }
                sys::send_with(one.as_fd(), &piece(1, 0), &[]).unwrap();
                next();
            });
            for _ in 0..3 {
                let refused = Parcel::recv(other.as_fd()).err().expect("it is refused");
                assert_eq!(refused.kind(), ErrorKind::InvalidData);
                let mut came = Parcel::recv(other.as_fd()).unwrap().unwrap();
                assert_eq!((came.take_number().unwrap(), came.fds()), (5, 0));
            }
        });
    }

    #[test]
    fn length_that_lies_takes_nothing() {
        for len in [9, u64::MAX] {
            let mut parcel = Parcel::default();
            parcel.put_number(len);
            parcel.put_number(0);
            assert!(parcel.take_text().is_err());
        }
    }
}

//! A leg's port: where a router has its foot in a bridge. It is one end of a pair of sockets, and
//! at the other sits the router's slow path, a host like any other: it gets frames and sends some.
//! Like the card of a host it takes only what may be for it.
//!
//! The pair is of type SOCK_SEQPACKET: a write is a frame, as on a TAP, and what waits is bounded
//! by octets and not by a number of frames (`net.unix.max_dgram_qlen`).

use std::{io, os::fd::OwnedFd, sync::Arc};

use nix::sys::socket::{
    AddressFamily, SetSockOpt, SockFlag, SockType, socketpair, sockopt::SndBuf,
};

use super::{
    Port, Sent, Tx,
    datagram::{Datagram, DatagramRx, DatagramTx},
    unix::MTU_MAX,
};
use crate::frame::{Frame, HEADER_LEN, Header, Mac, Selection, bits};

/// Octets that may wait in each direction; the kernel counts twice as many, with its own.
const SOCKET_OCTETS: usize = 1 << 20;

/// The bridge's end.
pub struct LegPort {
    fd: OwnedFd,
    own: Mac,
}

/// Makes a pair: the bridge's end of a leg with this address, and the slow path's.
///
/// # Errors
///
/// What the system said.
pub fn leg_pair(own: Mac) -> io::Result<(LegPort, Datagram)> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let (near, far) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?;
    for end in [&near, &far] {
        SndBuf.set(end, &SOCKET_OCTETS)?;
    }
    Ok((LegPort { fd: near, own }, Datagram::new(far, MTU_MAX)))
}

impl Port for LegPort {
    type Rx = DatagramRx;
    type Tx = LegTx;

    fn split(self) -> io::Result<(Vec<DatagramRx>, LegTx)> {
        let fd = Arc::new(self.fd);
        let tx = LegTx { tx: DatagramTx::new(fd.clone(), MTU_MAX), own: self.own };
        Ok((vec![DatagramRx::new(fd)], tx))
    }
}

/// The sending half.
pub struct LegTx {
    tx: DatagramTx,
    own: Mac,
}

impl Tx for LegTx {
    fn mtu(&self) -> u32 {
        MTU_MAX
    }

    fn clone_for(&self, _worker: usize) -> io::Result<LegTx> {
        Ok(LegTx { tx: self.tx.clone(), own: self.own })
    }

    /// What is not for the router has been sent all the same: it was there to be heard.
    #[inline]
    fn send(&mut self, frames: Selection<'_>) -> Sent {
        let is_heard = |index: &usize| is_for(frames.batch.frame(*index), self.own);
        let mask = bits(frames.mask).filter(is_heard).fold(0, |mask, index| mask | 1 << index);
        let mut sent = self.tx.write(Selection { mask, ..frames });
        let others = Selection { mask: frames.mask & !mask, ..frames };
        others.frames().for_each(|frame| sent.took(frame));
        sent
    }
}

/// Whether the router's slow path has a use for a frame: it is for its own address, or a question
/// to all about an address (RFC 826), or for a group of the link (RFC 5771, section 4; RFC 4291,
/// section 2.7). Other groups are nobody's here: there is no multicast routing.
pub(crate) fn is_for(frame: Frame<'_>, own: Mac) -> bool {
    let octets = frame.octets();
    let Some(header) = Header::parse(octets) else { return false };
    if !header.destination.is_group() {
        return header.destination == own;
    }
    let packet = octets.get(HEADER_LEN..).unwrap_or_default();
    match octets.get(HEADER_LEN - 2..HEADER_LEN) {
        Some([0x08, 0x06]) => true,
        Some([0x08, 0x00]) => packet.get(16..19) == Some(&[224, 0, 0]),
        Some([0x86, 0xdd]) => packet.get(24..26) == Some(&[0xff, 0x02]),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offload::VNET_HEADER_LEN;

    const OWN: Mac = Mac::new([2, 0, 0, 0, 0, 1]);

    fn is_for_own(to: [u8; 6], kind: [u8; 2], packet: &[u8]) -> bool {
        let mut wire = vec![0; VNET_HEADER_LEN];
        wire.extend(to);
        wire.extend([2, 0, 0, 0, 0, 9]);
        wire.extend(kind);
        wire.extend(packet);
        is_for(Frame::from_wire(&wire), OWN)
    }

    #[test]
    fn router_hears_its_address_questions_and_groups_of_the_link() {
        let own = OWN.octets();
        assert!(is_for_own(own, [0x88, 0xb5], &[]));
        assert!(!is_for_own([2, 0, 0, 0, 0, 2], [8, 0], &[]));
        let all = [0xff; 6];
        assert!(is_for_own(all, [8, 6], &[]));
        assert!(!is_for_own(all, [0x88, 0xb5], &[]));
        let to_v4 = |group: [u8; 4]| [&[0x45; 16][..], &group].concat();
        assert!(is_for_own([1, 0, 0x5e, 0, 0, 2], [8, 0], &to_v4([224, 0, 0, 2])));
        assert!(!is_for_own([1, 0, 0x5e, 0, 1, 2], [8, 0], &to_v4([224, 0, 1, 2])));
        assert!(!is_for_own(all, [8, 0], &to_v4([255; 4])));
        let to_v6 = |first: [u8; 2]| [&[0x60; 24][..], &first, &[0; 14]].concat();
        assert!(is_for_own([0x33, 0x33, 0, 0, 0, 2], [0x86, 0xdd], &to_v6([0xff, 2])));
        assert!(!is_for_own([0x33, 0x33, 0, 0, 0, 2], [0x86, 0xdd], &to_v6([0xff, 5])));
        for len in 0..VNET_HEADER_LEN + HEADER_LEN {
            assert!(!is_for(Frame::from_wire(&vec![0xff; len]), OWN));
        }
    }
}

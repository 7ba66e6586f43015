//! Frames out of one link, many with one system call, and never waiting: for a sender that keeps
//! a schedule and has to know at once what there was no room for.

use std::{
    io::{self, IoSlice},
    os::fd::{AsFd, AsRawFd, OwnedFd},
};

use nix::{
    errno::Errno,
    sys::socket::{
        MsgFlags, MultiHeaders, sendmmsg, setsockopt,
        sockopt::{RcvBuf, SndBuf, SndBufForce},
    },
};

use super::frames::open_socket;
use crate::{Namespace, error::sentence, sys};

/// A packet socket that only sends.
#[derive(Debug)]
pub struct FrameOutlet {
    socket: OwnedFd,
}

/// How an outlet sends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutletConfig {
    /// Straight to the driver, past the queueing discipline (`PACKET_QDISC_BYPASS`).
    pub bypass_qdisc: bool,
    /// A virtio-net header of 10 octets stands in front of each frame (`PACKET_VNET_HDR`), which
    /// may then be a whole train of segments.
    pub vnet_header: bool,
}

impl FrameOutlet {
    /// Opens a socket on a link of a namespace. The link has to be up to send.
    ///
    /// # Errors
    ///
    /// There is no such link, or the process may not (CAP_NET_RAW).
    pub fn open(
        namespace: &Namespace,
        link: &str,
        config: OutletConfig,
    ) -> io::Result<FrameOutlet> {
        let open = || -> io::Result<OwnedFd> {
            let (socket, index) = open_socket(namespace, link)?;
            let (fd, level) = (socket.as_fd(), libc::SOL_PACKET);
            sys::set_option(fd, level, libc::PACKET_QDISC_BYPASS, config.bypass_qdisc.into())?;
            sys::set_option(fd, level, libc::PACKET_VNET_HDR, config.vnet_header.into())?;
            // Beyond the system's limit where we may; what fits below it otherwise.
            if setsockopt(&fd, SndBufForce, &SEND_BUFFER_OCTETS).is_err() {
                setsockopt(&fd, SndBuf, &SEND_BUFFER_OCTETS)?;
            }
            sys::bind_packet(fd, index)?;
            // It only sends: what comes in would cost time and fill its buffer.
            setsockopt(&fd, RcvBuf, &0)?;
            Ok(socket)
        };
        let socket = open().map_err(|error| {
            sentence(format!("no packet socket was opened to send on link `{link}`"), error)
        })?;
        Ok(FrameOutlet { socket })
    }

    /// What one thread needs to send.
    pub fn sending(&self) -> Sending<'_> {
        Sending { outlet: self, headers: MultiHeaders::preallocate(OUTLET_FRAMES_MAX, None) }
    }
}

/// An outlet in the hands of a thread.
pub struct Sending<'a> {
    outlet: &'a FrameOutlet,
    headers: MultiHeaders<()>,
}

impl Sending<'_> {
    /// Sends frames, each gathered from its parts, in their order, and says how many of them the
    /// kernel took: fewer than there are if the next one had no room, behind which the others
    /// were not tried. At most [`OUTLET_FRAMES_MAX`] at a time.
    ///
    /// # Errors
    ///
    /// The link does not take the first one (too long, too short), is down, or is gone.
    pub fn send<const PARTS: usize>(
        &mut self,
        frames: &[[IoSlice<'_>; PARTS]],
    ) -> io::Result<usize> {
        let nobody = [None::<()>; OUTLET_FRAMES_MAX];
        let (fd, flags) = (self.outlet.socket.as_raw_fd(), MsgFlags::MSG_DONTWAIT);
        loop {
            return match sendmmsg(fd, &mut self.headers, frames, nobody, [], flags) {
                Ok(results) => Ok(results.count()),
                Err(Errno::ENOBUFS | Errno::EAGAIN) => Ok(0),
                Err(Errno::EINTR) => continue,
                Err(error) => Err(sentence("a frame was not sent", error)),
            };
        }
    }
}

/// Frames of one call of [`Sending::send`] at the most.
pub const OUTLET_FRAMES_MAX: usize = 64;

/// Octets of frames that may wait to be sent: more than any device's queue holds of small ones,
/// so that the queue and not this socket is what fills.
const SEND_BUFFER_OCTETS: usize = 16 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FrameSocket, errno, test};

    #[test]
    fn frames_go_out_in_order_each_from_its_parts() {
        test::root!();
        let (one, other) = test::pair();
        let outlet = FrameOutlet::open(&one, "a", OutletConfig::default()).unwrap();
        let mut far = FrameSocket::open(&other, "b").unwrap();
        let head = [2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 7, 0x88, 0xb5];
        let numbers: Vec<[u8; 1]> = (0..3).map(|number| [number]).collect();
        let (filler, mut sending) = ([0x5a; 45], outlet.sending());
        let frame = |number| [&head[..], number, &filler];
        let parts: Vec<[IoSlice; 3]> =
            numbers.iter().map(|number| frame(&number[..]).map(IoSlice::new)).collect();
        let mut left = &parts[..];
        test::eventually("there is room for three frames", || {
            left = &left[sending.send(left).unwrap()..];
            left.is_empty()
        });
        for number in &numbers {
            let got = far.recv_matching(test::PATIENCE, |got| got[..6] == head[..6]).unwrap();
            assert_eq!(got, Some(frame(&number[..]).concat()));
        }
    }

    #[test]
    fn what_the_link_refuses_is_told() {
        test::root!();
        let (one, _other) = test::pair();
        let outlet = FrameOutlet::open(&one, "a", OutletConfig::default()).unwrap();
        let long = [0; 1515];
        let error = outlet.sending().send(&[[IoSlice::new(&long)]]).unwrap_err();
        assert_eq!(errno(&error), Some(libc::EMSGSIZE));
        let error = FrameOutlet::open(&one, "nobody", OutletConfig::default()).unwrap_err();
        assert!(error.to_string().contains("link `nobody`"), "{error}");
    }
}

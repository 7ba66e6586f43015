//! Frames as they are: a packet socket on one link (packet(7)).
//!
//! To count what arrives somewhere, read the receiving link's counters before and after
//! ([`crate::Link::counters`]): a socket that receives each frame would cost the receiver more
//! than what is measured.

use std::{
    io::{self, IoSlice, IoSliceMut},
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    sys::{
        socket::{
            AddressFamily, ControlMessageOwned, MsgFlags, MultiHeaders, SockFlag, SockType,
            recvmsg, send, sendmmsg, setsockopt, socket,
            sockopt::{RcvBuf, RcvBufForce, SendTimeout},
        },
        time::{TimeVal, TimeValLike},
    },
};

use super::{STOP_INTERVAL, stopped, wait_readable};
use crate::{Links, Namespace, error::sentence, sys};

/// A packet socket bound to one link: it sends frames out of it and receives those that come in,
/// whoever they are for, but not those that the host itself sends.
#[derive(Debug)]
pub struct FrameSocket {
    socket: OwnedFd,
    octets: Vec<u8>,
}

impl FrameSocket {
    /// Opens a socket on a link of a namespace. The link has to be up to send and receive.
    ///
    /// # Errors
    ///
    /// There is no such link, or the process may not (CAP_NET_RAW).
    pub fn open(namespace: &Namespace, link: &str) -> io::Result<FrameSocket> {
        let failed =
            |error| sentence(format!("no packet socket was opened on link `{link}`"), error);
        let prepare = |fd: BorrowedFd<'_>| -> io::Result<()> {
            sys::set_option(fd, libc::SOL_PACKET, libc::PACKET_AUXDATA, 1)?;
            // Beyond the system's limit where we may; what fits below it otherwise.
            if setsockopt(&fd, RcvBufForce, &RECEIVE_BUFFER_OCTETS).is_err() {
                setsockopt(&fd, RcvBuf, &RECEIVE_BUFFER_OCTETS)?;
            }
            Ok(())
        };
        let socket = open_receiver(namespace, link, prepare).map_err(failed)?;
        Ok(FrameSocket { socket, octets: vec![0; FRAME_OCTETS_MAX] })
    }

    /// Sends one frame, from the destination address on.
    ///
    /// # Errors
    ///
    /// The link does not take it (too long, too short), is down, or is gone.
    pub fn send(&self, frame: &[u8]) -> io::Result<()> {
        send(self.socket.as_raw_fd(), frame, MsgFlags::empty()).map_err(|error| {
            sentence(format!("a frame of {} octets was not sent", frame.len()), error)
        })?;
        Ok(())
    }

    /// Waits for the next frame. The kernel takes the outer VLAN tag off: here it is put back,
    /// so that the frame is as it was on the wire. `None`: none came in time. A frame from the
    /// host's own stack may have an unfinished checksum, or be a whole train of segments.
    ///
    /// # Errors
    ///
    /// The link is down or gone.
    pub fn recv(&mut self, timeout: Duration) -> io::Result<Option<Vec<u8>>> {
        let deadline = Instant::now() + timeout;
        loop {
            match self.recv_now() {
                Ok(frame) => return Ok(Some(frame)),
                Err(Errno::EAGAIN | Errno::EINTR) => {}
                Err(error) => return Err(sentence("no frame was received", error)),
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            wait_readable(self.socket.as_fd(), left)?;
        }
    }

    /// Waits for the next frame that is `wanted` and throws away those before it: hosts talk
    /// without being asked (IPv6 does as soon as a link is up). `None`: none came in time.
    ///
    /// # Errors
    ///
    /// The link is down or gone.
    pub fn recv_matching(
        &mut self,
        timeout: Duration,
        wanted: impl Fn(&[u8]) -> bool,
    ) -> io::Result<Option<Vec<u8>>> {
        let deadline = Instant::now() + timeout;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.recv(left)? {
                Some(frame) if wanted(&frame) => return Ok(Some(frame)),
                Some(_) if left.is_zero() => return Ok(None),
                Some(_) => {}
                None => return Ok(None),
            }
        }
    }

    fn recv_now(&mut self) -> Result<Vec<u8>, Errno> {
        let mut control = nix::cmsg_space!([u8; AUXDATA_LEN]);
        let mut parts = [IoSliceMut::new(&mut self.octets)];
        let received = recvmsg::<()>(
            self.socket.as_raw_fd(),
            &mut parts,
            Some(&mut control),
            MsgFlags::MSG_DONTWAIT,
        )?;
        let len = received.bytes;
        let mut tag = None;
        for message in received.cmsgs()? {
            if let ControlMessageOwned::Unknown(message) = message {
                tag = tag.or(parse_tag(&message.data_bytes));
            }
        }
        let mut frame = self.octets[..len].to_vec();
        if let (Some(tag), true) = (tag, len >= ADDRESSES_LEN) {
            frame.splice(ADDRESSES_LEN..ADDRESSES_LEN, tag);
        }
        Ok(frame)
    }
}

impl AsFd for FrameSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// One frame, again and again, as fast as a link takes it.
#[derive(Clone, Debug)]
pub struct Burst<'a> {
    /// The frame, from the destination address on.
    pub frame: &'a [u8],
    /// For how long.
    pub duration: Duration,
    /// Straight to the driver, past the queueing discipline (`PACKET_QDISC_BYPASS`).
    pub bypass_qdisc: bool,
}

/// What became of a [`Burst`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BurstSent {
    /// Frames that the kernel took.
    pub frames: u64,
    /// Times that it had no room.
    pub full: u64,
    /// From the first frame to the last.
    pub elapsed: Duration,
}

impl BurstSent {
    /// The mean speed.
    pub fn frames_per_second(&self) -> f64 {
        let seconds = self.elapsed.as_secs_f64();
        if seconds > 0.0 { self.frames as f64 / seconds } else { 0.0 }
    }
}

impl Burst<'_> {
    /// Sends out of a link of a namespace, on the calling thread. `frames` grows while it runs.
    ///
    /// # Errors
    ///
    /// There is no such link, it does not take the frame, or it goes down.
    pub fn send(
        &self,
        namespace: &Namespace,
        link: &str,
        frames: &AtomicU64,
        stop: &AtomicBool,
    ) -> io::Result<BurstSent> {
        let failed = |error| sentence(format!("no burst went out of link `{link}`"), error);
        let (socket, index) = open_socket(namespace, link).map_err(failed)?;
        let prepare = || -> io::Result<()> {
            let bypass = self.bypass_qdisc.into();
            sys::set_option(socket.as_fd(), libc::SOL_PACKET, libc::PACKET_QDISC_BYPASS, bypass)?;
            let interval = TimeVal::milliseconds(STOP_INTERVAL.as_millis() as i64);
            setsockopt(&socket, SendTimeout, &interval)?;
            sys::bind_packet(socket.as_fd(), index)?;
            // It only sends: what comes in would cost time and fill its buffer.
            setsockopt(&socket, RcvBuf, &0)?;
            Ok(())
        };
        prepare().map_err(failed)?;
        self.send_on(&socket, frames, stop).map_err(failed)
    }

    fn send_on(
        &self,
        socket: &OwnedFd,
        frames: &AtomicU64,
        stop: &AtomicBool,
    ) -> io::Result<BurstSent> {
        let parts = [[IoSlice::new(self.frame)]; BURST_FRAMES];
        let nobody = [None::<()>; BURST_FRAMES];
        let mut headers = MultiHeaders::preallocate(BURST_FRAMES, None);
        let mut sent = BurstSent::default();
        let started = Instant::now();
        while !stopped(stop) && started.elapsed() < self.duration {
            let flags = MsgFlags::empty();
            match sendmmsg(socket.as_raw_fd(), &mut headers, &parts, nobody, [], flags) {
                Ok(results) => {
                    let count = results.count() as u64;
                    sent.frames += count;
                    frames.fetch_add(count, Ordering::Relaxed);
                }
                Err(Errno::ENOBUFS | Errno::EAGAIN) => sent.full += 1,
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        sent.elapsed = started.elapsed();
        Ok(sent)
    }
}

/// A packet socket bound to a link, which receives all that comes in there and nothing that the
/// host itself sends. What it is to be beside that is prepared before it is bound: until then
/// nothing is received, so that it holds for the first frame already.
pub(super) fn open_receiver(
    namespace: &Namespace,
    link: &str,
    prepare: impl FnOnce(BorrowedFd<'_>) -> io::Result<()>,
) -> io::Result<OwnedFd> {
    let (socket, index) = open_socket(namespace, link)?;
    let fd = socket.as_fd();
    sys::set_option(fd, libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, 1)?;
    sys::join_promiscuous(fd, index)?;
    prepare(fd)?;
    sys::bind_packet(fd, index)?;
    Ok(socket)
}

/// A packet socket that is bound to nothing and so receives nothing, and the number of the link.
pub(super) fn open_socket(namespace: &Namespace, link: &str) -> io::Result<(OwnedFd, u32)> {
    namespace.run(|| {
        let index = Links::here()?.expect(link)?.index;
        let flags = SockFlag::SOCK_CLOEXEC;
        let socket = socket(AddressFamily::Packet, SockType::Raw, flags, None)?;
        Ok((socket, index))
    })?
}

/// The VLAN tag in a `struct tpacket_auxdata` (linux/if_packet.h): status 4 octets, len 4,
/// snaplen 4, mac 2, net 2, vlan_tci 2, vlan_tpid 2.
fn parse_tag(auxdata: &[u8]) -> Option<[u8; 4]> {
    let status = u32::from_ne_bytes(auxdata.get(0..4)?.try_into().ok()?);
    let tci = u16::from_ne_bytes(auxdata.get(16..18)?.try_into().ok()?).to_be_bytes();
    let tpid = u16::from_ne_bytes(auxdata.get(18..20)?.try_into().ok()?);
    if status & libc::TP_STATUS_VLAN_VALID == 0 {
        return None;
    }
    // Kernels before 3.14 do not tell the type, and know one only.
    let told = status & libc::TP_STATUS_VLAN_TPID_VALID != 0;
    let [high, low] = if told { tpid } else { libc::ETH_P_8021Q as u16 }.to_be_bytes();
    Some([high, low, tci[0], tci[1]])
}

/// Octets of the largest frame: an IP packet of 65,535 octets, its header and two tags.
const FRAME_OCTETS_MAX: usize = 66 * 1024;

/// Octets of the two addresses: a tag comes behind them (IEEE 802.1Q-2018, 9.3).
const ADDRESSES_LEN: usize = 12;

/// Octets of `struct tpacket_auxdata`.
const AUXDATA_LEN: usize = 20;

/// Octets of frames that may wait to be received.
const RECEIVE_BUFFER_OCTETS: usize = 8 * 1024 * 1024;

/// Frames of one system call.
const BURST_FRAMES: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        NEVER, errno,
        test::{self, PATIENCE},
    };

    /// A frame of the type for local experiments (IEEE 802-2014, 9.2.3), or with a tag.
    fn frame(head: &[u8], octets: usize) -> Vec<u8> {
        let mut frame = vec![2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 7];
        frame.extend(head);
        frame.extend((0..octets).map(|at| at as u8));
        frame
    }

    #[test]
    fn frames_arrive_octet_for_octet_with_their_tags() {
        test::root!();
        let (one, other) = test::pair();
        let near = FrameSocket::open(&one, "a").unwrap();
        let mut far = FrameSocket::open(&other, "b").unwrap();
        let plain = [0x88, 0xb5];
        let tagged = [0x81, 0x00, 0xe0, 0x2a, 0x88, 0xb5];
        let priority = [0x81, 0x00, 0x00, 0x00, 0x88, 0xb5];
        let service = [0x88, 0xa8, 0x00, 0x07, 0x88, 0xb5];
        let stacked = [0x88, 0xa8, 0x00, 0x07, 0x81, 0x00, 0x00, 0x08, 0x88, 0xb5];
        for head in [&plain[..], &tagged, &priority, &service, &stacked] {
            // The kernel throws a tagged frame away that ends behind the inner type.
            for octets in [2, 46, 1400] {
                let frame = frame(head, octets);
                test::send(&near, &frame);
                let got = far.recv_matching(PATIENCE, |got| got[..6] == frame[..6]).unwrap();
                assert_eq!(got, Some(frame));
            }
        }
    }

    #[test]
    fn own_frames_and_silence_are_not_received() {
        test::root!();
        let (one, other) = test::pair();
        for namespace in [&one, &other] {
            namespace.set_sysctl("net/ipv6/conf/all/disable_ipv6", "1").unwrap();
        }
        let mut near = FrameSocket::open(&one, "a").unwrap();
        test::send(&near, &frame(&[0x88, 0xb5], 46));
        let own =
            near.recv_matching(Duration::from_millis(50), |got| got[..6] == [2, 0, 0, 0, 0, 9]);
        assert_eq!(own.unwrap(), None);
    }

    #[test]
    fn what_the_link_refuses_is_told() {
        test::root!();
        let (one, _other) = test::pair();
        let near = FrameSocket::open(&one, "a").unwrap();
        let error = near.send(&frame(&[0x88, 0xb5], 1501)).unwrap_err();
        assert_eq!(errno(&error), Some(libc::EMSGSIZE));
        let error = FrameSocket::open(&one, "nobody").unwrap_err();
        assert!(error.to_string().contains("link `nobody`"), "{error}");
    }

    #[test]
    fn a_burst_is_counted_at_the_receiving_link() {
        test::root!();
        let (one, other) = test::pair();
        let mut links = other.links().unwrap();
        let frame = frame(&[0x88, 0xb5], 46);
        for bypass_qdisc in [false, true] {
            let mut duration = Duration::from_millis(100);
            test::eventually("a burst is long enough for a thousand frames", || {
                let before = links.expect("b").unwrap().counters;
                let burst = Burst { frame: &frame, duration, bypass_qdisc };
                let live = AtomicU64::new(0);
                let sent = burst.send(&one, "a", &live, &NEVER).unwrap();
                let after = links.expect("b").unwrap().counters;
                assert!(sent.elapsed >= duration, "{sent:?}");
                assert_eq!(sent.frames_per_second() > 0.0, sent.frames > 0, "{sent:?}");
                assert_eq!(live.into_inner(), sent.frames);
                // The stacks at both ends may say something of their own.
                let got = after.rx_packets - before.rx_packets;
                let dropped = after.rx_dropped - before.rx_dropped;
                assert!(got + dropped >= sent.frames, "{got} and {dropped} of {sent:?}");
                duration *= 2;
                sent.frames > 1000
            });
        }
    }

    #[test]
    fn tags_are_read_from_auxdata() {
        let mut auxdata = [0; AUXDATA_LEN];
        auxdata[16..18].copy_from_slice(&0xe02au16.to_ne_bytes());
        assert_eq!(parse_tag(&auxdata), None);
        auxdata[..4].copy_from_slice(&libc::TP_STATUS_VLAN_VALID.to_ne_bytes());
        assert_eq!(parse_tag(&auxdata), Some([0x81, 0x00, 0xe0, 0x2a]));
        let both = libc::TP_STATUS_VLAN_VALID | libc::TP_STATUS_VLAN_TPID_VALID;
        auxdata[..4].copy_from_slice(&both.to_ne_bytes());
        auxdata[18..].copy_from_slice(&0x88a8u16.to_ne_bytes());
        assert_eq!(parse_tag(&auxdata), Some([0x88, 0xa8, 0xe0, 0x2a]));
        assert_eq!(parse_tag(&auxdata[..19]), None);
    }
}

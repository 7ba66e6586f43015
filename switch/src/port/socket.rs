//! Datagram sockets that carry bare Ethernet, one frame a datagram: unix sockets (QEMU's
//! `-netdev dgram` with `type=unix`, vfkit) and UDP (`-netdev dgram` with `type=inet`, and
//! `-netdev socket,udp=`). No virtio-net header comes with them: that is what sets them apart
//! from datagram.rs.
//!
//! A datagram socket outlives the program at its other end. That nobody is there, or nobody any
//! more, passes: frames are counted as sent while the other end was down, and as soon as
//! somebody binds the address again he has them. So a port on such a socket is never gone.
//!
//! Who may put frames in: by UDP only the address and port that the socket is connected to; by a
//! unix socket only one that is bound to the remote path (see `unix.rs`). A datagram from
//! elsewhere, or one larger than any frame, which the kernel would have cut, arrives as a frame of
//! no octets: it is counted with the runts.
//!
//! UDP that is larger than the path's MTU is cut into IP fragments and put together again by the
//! kernels (RFC 791, 3.2): it works, and one lost fragment loses the frame. So a frame and the 28
//! octets of headers in front of it (48 by IPv6) should fit the path; on loopback 64 KB do.

use std::{
    io::{self, ErrorKind},
    net::{SocketAddr, UdpSocket},
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    path::PathBuf,
    sync::Arc,
};

use netlab::Namespace;
use nix::{
    errno::Errno,
    sys::socket::{MsgFlags, SockType, UnixAddr, recv},
};

use crate::{
    frame::{Arena, FRAME_MAX, Frame, Lent, Selection, bits},
    offload::VNET_HEADER_LEN,
    parcel::Parcel,
    port::{
        Port, Rx, Sent, Tx,
        unix::{Bound, Fault, Place, SocketError, check_mtu, widen},
    },
    sys::{self, UnixName},
};

/// What a port on a unix datagram socket is to be like.
#[derive(Clone, Debug)]
pub struct DgramConfig {
    /// Where our socket is to be. One that a program left there when it ended is replaced.
    pub local: PathBuf,
    /// Where the other end is, or will be.
    pub remote: PathBuf,
    /// The MTU of the port, 1 to [`MTU_MAX`](super::unix::MTU_MAX).
    pub mtu: u32,
}

/// What a port on a UDP socket is to be like.
#[derive(Clone, Debug)]
pub struct UdpConfig {
    /// Our address and port.
    pub local: SocketAddr,
    /// Those of the other end.
    pub remote: SocketAddr,
    /// Where the socket is to be, if not in the namespace where we are.
    pub netns: Option<Namespace>,
    /// The MTU of the port, 1 to [`MTU_MAX`](super::unix::MTU_MAX).
    pub mtu: u32,
}

/// A port on a datagram socket.
#[derive(Debug)]
pub struct Socket {
    ends: Ends,
    mtu: u32,
}

impl Socket {
    /// Binds a unix datagram socket. It is removed with the port.
    ///
    /// # Errors
    ///
    /// A sentence: another program has the local path, it is no socket, or the system said no.
    /// That the remote one is not there yet is none.
    pub fn dgram(config: &DgramConfig) -> Result<Socket, SocketError> {
        let name = config.local.display();
        check_mtu(&name, config.mtu)?;
        if config.local == config.remote {
            return Err(SocketError::new(name, Fault::Itself));
        }
        let remote = Remote::Unix(Place::new(&config.remote)?);
        let (socket, bound) = Place::new(&config.local)?.bind(SockType::Datagram)?;
        widen(&socket);
        Ok(Socket { ends: Ends { socket, remote, _bound: Some(bound) }, mtu: config.mtu })
    }

    /// Binds a UDP socket and connects it.
    ///
    /// # Errors
    ///
    /// A sentence: the local address is taken or is none of ours, or there is no route to the
    /// remote one. That nobody is there yet is none.
    pub fn udp(config: &UdpConfig) -> Result<Socket, SocketError> {
        let UdpConfig { local, remote, .. } = *config;
        let fail = |fault| SocketError::new(local, fault);
        check_mtu(local, config.mtu)?;
        if local.is_ipv4() != remote.is_ipv4() {
            return Err(fail(Fault::Families));
        }
        if local == remote {
            return Err(fail(Fault::Itself));
        }
        let open = || open_udp(local, remote);
        let socket = match &config.netns {
            None => open(),
            Some(namespace) => namespace
                .run(open)
                .map_err(|error| fail(Fault::System("enter its namespace", error)))?,
        };
        let socket = OwnedFd::from(socket.map_err(fail)?);
        widen(&socket);
        Ok(Socket {
            ends: Ends { socket, remote: Remote::Connected, _bound: None },
            mtu: config.mtu,
        })
    }
}

impl Socket {
    /// Puts its socket into a parcel. What removes its path stays here.
    pub(crate) fn pack(self, parcel: &mut Parcel) -> Option<Bound> {
        parcel.put_number(u64::from(self.mtu));
        parcel.put_text(self.ends.remote.path().unwrap_or_default());
        parcel.put_fd(self.ends.socket);
        self.ends._bound
    }

    /// Takes it out again.
    pub(crate) fn unpack(parcel: &mut Parcel) -> io::Result<Socket> {
        let (mtu, path) = (parcel.take_number()? as u32, parcel.take_text()?);
        let remote = match path.is_empty() {
            true => Remote::Connected,
            false => Remote::Unix(Place::new(path.as_ref()).map_err(io::Error::other)?),
        };
        let socket = parcel.take_fd()?;
        Ok(Socket { ends: Ends { socket, remote, _bound: None }, mtu })
    }
}

fn open_udp(local: SocketAddr, remote: SocketAddr) -> Result<UdpSocket, Fault> {
    let socket = UdpSocket::bind(local).map_err(|error| match error.kind() {
        ErrorKind::AddrInUse => Fault::Taken,
        ErrorKind::AddrNotAvailable => Fault::NotOurs,
        _ => Fault::System("bind a UDP socket", error),
    })?;
    socket
        .connect(remote)
        .map_err(|error| Fault::System("find the way to the other end", error))?;
    Ok(socket)
}

impl Port for Socket {
    type Rx = SocketRx;
    type Tx = SocketTx;

    fn split(self) -> io::Result<(Vec<SocketRx>, SocketTx)> {
        let ends = Arc::new(self.ends);
        Ok((vec![SocketRx { ends: ends.clone() }], SocketTx { ends, mtu: self.mtu }))
    }
}

/// Our socket, and whom it speaks to.
#[derive(Debug)]
struct Ends {
    socket: OwnedFd,
    remote: Remote,
    _bound: Option<Bound>,
}

#[derive(Debug)]
enum Remote {
    /// The kernel knows.
    Connected,
    /// Whoever is bound here when a frame is sent. A connection would end with him.
    Unix(Place),
}

impl Remote {
    /// Paths come from specs, which are text.
    fn path(&self) -> Option<&str> {
        match self {
            Remote::Connected => None,
            Remote::Unix(place) => place.path().to_str(),
        }
    }
}

impl Ends {
    /// Reads one datagram to the start of `room`, behind an empty virtio-net header.
    #[inline]
    fn read(&self, room: &mut [u8]) -> io::Result<usize> {
        let (header, room) = room.split_at_mut(VNET_HEADER_LEN);
        header.fill(0);
        let room = &mut room[..FRAME_MAX];
        let received = match &self.remote {
            Remote::Connected => {
                // MSG_TRUNC: the whole length, even if there was no room for it.
                let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_TRUNC;
                recv(self.socket.as_raw_fd(), room, flags).map(|len| (len, true))
            }
            Remote::Unix(place) => {
                let mut name = UnixName::NONE;
                let received = sys::recv_from(self.socket.as_fd(), room, &mut name);
                received.map(|(len, sender)| (len, place.is_of(sender)))
            }
        };
        match received {
            Ok((len, true)) if len <= FRAME_MAX => Ok(VNET_HEADER_LEN + len),
            Ok(_) => Ok(VNET_HEADER_LEN),
            Err(errno @ (Errno::EBADF | Errno::ENOTSOCK)) => Err(errno.into()),
            // There is nothing; or an ICMP message says what became of an earlier frame, and
            // that passes (ip(7), udp(7)).
            Err(_) => Err(ErrorKind::WouldBlock.into()),
        }
    }

    /// Where to send, if the socket does not know.
    #[inline]
    fn to(&self) -> Option<&UnixAddr> {
        match &self.remote {
            Remote::Connected => None,
            Remote::Unix(place) => Some(place.address()),
        }
    }
}

/// The receiving half: reads until there is nothing, or the batch is full.
pub struct SocketRx {
    ends: Arc<Ends>,
}

impl Rx for SocketRx {
    #[inline]
    fn recv<'a>(&'a mut self, arena: &'a mut Arena) -> io::Result<Lent<'a>> {
        arena.fill(|room| self.ends.read(room))
    }

    fn wait_on(&self) -> Option<BorrowedFd<'_>> {
        Some(self.ends.socket.as_fd())
    }
}

/// The sending half: one call for many frames. The kernel keeps datagrams whole, whichever
/// thread they come from.
#[derive(Clone)]
pub struct SocketTx {
    ends: Arc<Ends>,
    mtu: u32,
}

impl Tx for SocketTx {
    fn mtu(&self) -> u32 {
        self.mtu
    }

    /// The other end is given frames as the wire would carry them.
    fn takes_offloads(&self) -> bool {
        false
    }

    fn clone_for(&self, _worker: usize) -> io::Result<SocketTx> {
        Ok(self.clone())
    }

    #[inline]
    fn send(&mut self, mut frames: Selection<'_>) -> Sent {
        let mut sent = Sent::default();
        while !frames.is_empty() {
            let octets = frames.frames().map(Frame::octets);
            match sys::send_many(self.ends.socket.as_fd(), self.ends.to(), octets) {
                Ok(count) => {
                    for index in bits(frames.mask).take(count) {
                        sent.took(frames.batch.frame(index));
                        frames.mask &= !(1 << index);
                    }
                }
                Err(errno) => failed(errno, &self.ends.remote, &mut frames.mask, &mut sent),
            }
        }
        sent
    }
}

/// Sorts the ways in which the first of the frames fails (net/unix/af_unix.c, net/ipv4/udp.c),
/// and takes it, or all for which the same is true, out of `mask`.
#[cold]
fn failed(errno: Errno, remote: &Remote, mask: &mut u64, sent: &mut Sent) {
    let all = u64::from(mask.count_ones());
    match (errno, remote) {
        (Errno::EAGAIN | Errno::ENOBUFS | Errno::ENOMEM | Errno::EINTR, _) => sent.full += all,
        // Of an earlier frame: the next may reach somebody.
        (Errno::ECONNREFUSED, Remote::Connected) => {
            sent.down += 1;
            *mask &= *mask - 1;
            return;
        }
        (
            Errno::ENETDOWN | Errno::ENETUNREACH | Errno::EHOSTDOWN | Errno::EHOSTUNREACH
            | Errno::EADDRNOTAVAIL | Errno::EACCES | Errno::EPERM,
            _,
        )
        // Nobody is bound there, or somebody who does not speak this.
        | (
            Errno::ENOENT | Errno::ENOTDIR | Errno::ECONNREFUSED | Errno::ECONNRESET
            | Errno::EPROTOTYPE | Errno::ELOOP,
            Remote::Unix(_),
        ) => sent.down += all,
        _ => {
            sent.refused += 1;
            *mask &= *mask - 1;
            return;
        }
    }
    *mask = 0;
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::net::{UnixDatagram, UnixListener},
        path::Path,
        thread,
    };

    use nix::sys::socket::{setsockopt, sockopt};

    use super::*;
    use crate::frame::{BATCH_MAX, Batch, Span};

    fn config(local: &Path, remote: &Path) -> DgramConfig {
        DgramConfig { local: local.into(), remote: remote.into(), mtu: 1500 }
    }

    fn halves(socket: Socket) -> (SocketRx, SocketTx) {
        let (mut rx, tx) = socket.split().unwrap();
        (rx.remove(0), tx)
    }

    fn dgram(local: &Path, remote: &Path) -> (SocketRx, SocketTx) {
        halves(Socket::dgram(&config(local, remote)).unwrap())
    }

    /// A UDP port, and the address and port of its other end, at which nobody is yet.
    fn udp() -> (SocketRx, SocketTx, SocketAddr, SocketAddr) {
        // A number that nobody has here, nobody has at another address of the loopback.
        let remote = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let local = SocketAddr::new([127, 0, 0, 2].into(), remote.port());
        let config = UdpConfig { local, remote, netns: None, mtu: 1500 };
        let (rx, tx) = halves(Socket::udp(&config).unwrap());
        (rx, tx, local, remote)
    }

    fn send(tx: &mut SocketTx, frames: &[Vec<u8>]) -> Sent {
        let (mut memory, mut spans) = (Vec::new(), Vec::new());
        for frame in frames {
            let len = (VNET_HEADER_LEN + frame.len()) as u32;
            spans.push(Span { start: memory.len() as u32, len });
            memory.extend([[0; VNET_HEADER_LEN].as_slice(), frame].concat());
        }
        let mask = u64::MAX >> (64 - frames.len());
        tx.send(Selection { batch: Batch::new(&memory, &spans), mask })
    }

    /// What is there.
    fn recv(rx: &mut SocketRx) -> Vec<Vec<u8>> {
        let mut arena = Arena::new();
        let batch = rx.recv(&mut arena).expect("such a port is never gone");
        assert!(batch.frames().all(|f| f.wire()[..VNET_HEADER_LEN] == [0; VNET_HEADER_LEN]));
        batch.frames().map(|frame| frame.octets().to_vec()).collect()
    }

    fn frames(lens: &[usize]) -> Vec<Vec<u8>> {
        lens.iter().map(|len| vec![*len as u8; *len]).collect()
    }

    #[test]
    fn datagrams_are_bare_frames_in_both_directions() {
        let folder = tempfile::tempdir().unwrap();
        let [ours, theirs] = ["ours", "theirs"].map(|name| folder.path().join(name));
        let (mut rx, mut tx) = dgram(&ours, &theirs);
        let peer = UnixDatagram::bind(&theirs).unwrap();
        assert!(recv(&mut rx).is_empty());
        let all = frames(&[60, 1514, 0, 14, FRAME_MAX]);
        for frame in &all {
            peer.send_to(frame, &ours).unwrap();
        }
        assert!(recv(&mut rx) == all);
        let sent = send(&mut tx, &all);
        assert_eq!((sent.frames, sent.octets), (5, 60 + 1514 + 14 + FRAME_MAX as u64));
        let mut octets = vec![0; FRAME_MAX + 1];
        for frame in &all {
            let len = peer.recv(&mut octets).unwrap();
            assert_eq!(octets[..len], *frame);
        }
        assert!(!tx.takes_offloads());
        drop((rx, tx));
        assert!(!ours.exists() && theirs.exists());
    }

    #[test]
    fn other_end_that_comes_later_or_again_is_served_as_soon_as_it_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let [ours, theirs] = ["ours", "theirs"].map(|name| folder.path().join(name));
        let (mut rx, mut tx) = dgram(&ours, &theirs);
        let all = frames(&[60, 61, 62]);
        let down = Sent { down: 3, ..Sent::default() };
        assert_eq!(send(&mut tx, &all), down);
        for _ in 0..2 {
            let peer = UnixDatagram::bind(&theirs).unwrap();
            assert_eq!(send(&mut tx, &all).frames, 3);
            peer.send_to(&all[0], &ours).unwrap();
            assert_eq!(recv(&mut rx), all[..1]);
            drop(peer);
            // The name is there, and nobody behind it.
            assert_eq!(send(&mut tx, &all), down);
            fs::remove_file(&theirs).unwrap();
            assert_eq!(send(&mut tx, &all), down);
        }
        // Somebody, but not who is expected.
        let _listener = UnixListener::bind(&theirs).unwrap();
        assert_eq!(send(&mut tx, &all), down);
    }

    #[test]
    fn other_end_that_does_not_read_is_full_and_nobody_waits() {
        let folder = tempfile::tempdir().unwrap();
        let [ours, theirs] = ["ours", "theirs"].map(|name| folder.path().join(name));
        let (_rx, mut tx) = dgram(&ours, &theirs);
        let peer = UnixDatagram::bind(&theirs).unwrap();
        let all = frames(&[1514; BATCH_MAX]);
        let mut taken = 0;
        let sent = loop {
            let sent = send(&mut tx, &all);
            taken += sent.frames;
            if sent.full > 0 {
                break sent;
            }
        };
        assert_eq!(sent.frames + sent.full, BATCH_MAX as u64);
        peer.set_nonblocking(true).unwrap();
        let mut octets = [0; 2000];
        assert_eq!((0..).take_while(|_| peer.recv(&mut octets).is_ok()).count() as u64, taken);
        assert_eq!(send(&mut tx, &all[..1]).frames, 1);
    }

    #[test]
    fn frames_are_taken_from_the_other_end_only() {
        let folder = tempfile::tempdir().unwrap();
        let [ours, theirs] = ["ours", "theirs"].map(|name| folder.path().join(name));
        let (mut rx, _tx) = dgram(&ours, &theirs);
        let stranger = UnixDatagram::bind(folder.path().join("stranger")).unwrap();
        let nameless = UnixDatagram::unbound().unwrap();
        let peer = UnixDatagram::bind(&theirs).unwrap();
        for sender in [&stranger, &nameless, &peer] {
            sender.send_to(&[1; 60], &ours).unwrap();
        }
        assert_eq!(recv(&mut rx), [vec![], vec![], vec![1; 60]]);
    }

    #[test]
    fn datagram_larger_than_any_frame_is_not_passed_on_cut() {
        let folder = tempfile::tempdir().unwrap();
        let [ours, theirs] = ["ours", "theirs"].map(|name| folder.path().join(name));
        let (mut rx, mut tx) = dgram(&ours, &theirs);
        let peer = UnixDatagram::bind(&theirs).unwrap();
        peer.send_to(&vec![1; FRAME_MAX + 1], &ours).unwrap();
        peer.send_to(&[2; 60], &ours).unwrap();
        assert_eq!(recv(&mut rx), [vec![], vec![2; 60]]);
        // What the socket itself does not take costs that frame alone.
        setsockopt(&tx.ends.socket, sockopt::SndBuf, &8192).unwrap();
        let sent = send(&mut tx, &frames(&[60, 60_000, 61]));
        assert_eq!((sent.frames, sent.refused), (2, 1));
    }

    #[test]
    fn local_path_is_replaced_if_it_was_left_behind_and_refused_if_it_is_alive() {
        let folder = tempfile::tempdir().unwrap();
        let [ours, theirs] = ["ours", "theirs"].map(|name| folder.path().join(name));
        drop(UnixDatagram::bind(&ours).unwrap());
        let error = |config: &DgramConfig| Socket::dgram(config).unwrap_err().to_string();
        let _port = Socket::dgram(&config(&ours, &theirs)).unwrap();
        assert!(error(&config(&ours, &theirs)).contains("another program serves it"));
        assert!(error(&config(&theirs, &theirs)).contains("both ends are the same"));
        let _listener = UnixListener::bind(&theirs).unwrap();
        assert!(error(&config(&theirs, &ours)).contains("another program serves it"));
    }

    #[test]
    fn paths_longer_than_an_address_reach_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let long = folder.path().join("folder".repeat(20));
        fs::create_dir(&long).unwrap();
        let [one, other] = ["one", "other"].map(|name| long.join(name));
        let (mut one_rx, mut one_tx) = dgram(&one, &other);
        let (mut other_rx, mut other_tx) = dgram(&other, &one);
        let all = frames(&[60, 1514]);
        assert_eq!(send(&mut one_tx, &all).frames, 2);
        assert_eq!(recv(&mut other_rx), all);
        assert_eq!(send(&mut other_tx, &all).frames, 2);
        assert_eq!(recv(&mut one_rx), all);
    }

    /// Receives until so many frames have come.
    fn recv_all(rx: &mut SocketRx, count: usize) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        while all.len() < count {
            all.extend(recv(rx));
            thread::yield_now();
        }
        all
    }

    #[test]
    fn udp_carries_bare_frames_of_any_size_from_the_other_end_only() {
        let (mut rx, mut tx, local, remote) = udp();
        let peer = UdpSocket::bind(remote).unwrap();
        let stranger = UdpSocket::bind("127.0.0.3:0").unwrap();
        let all = frames(&[60, 1514, 0, 9014]);
        stranger.send_to(&[1; 60], local).unwrap();
        for frame in &all {
            peer.send_to(frame, local).unwrap();
        }
        assert!(recv_all(&mut rx, 4) == all);
        let sent = send(&mut tx, &frames(&[60, FRAME_MAX, 1514]));
        assert_eq!((sent.frames, sent.refused), (2, 1), "IP carries 65,507 octets");
        let mut octets = vec![0; FRAME_MAX];
        for len in [60, 1514] {
            assert_eq!(peer.recv(&mut octets).unwrap(), len);
            assert!(octets[..len].iter().all(|octet| *octet == len as u8));
        }
    }

    #[test]
    fn udp_to_nobody_is_down_and_goes_on_when_somebody_is_there() {
        let (mut rx, mut tx, local, remote) = udp();
        // An ICMP message says what became of the first; a later frame is told.
        let told = (0..100_000).any(|_| {
            thread::yield_now();
            send(&mut tx, &frames(&[60])).down == 1
        });
        assert!(told);
        send(&mut tx, &frames(&[60; 4]));
        assert!(recv(&mut rx).is_empty());
        let peer = UdpSocket::bind(remote).unwrap();
        while send(&mut tx, &frames(&[61])).frames == 0 {}
        assert_eq!(peer.recv(&mut [0; 100]).unwrap(), 61);
        peer.send_to(&[1; 60], local).unwrap();
        assert_eq!(recv_all(&mut rx, 1), [vec![1; 60]]);
    }

    #[test]
    fn udp_says_what_is_wrong_with_its_addresses() {
        let (_rx, _tx, local, remote) = udp();
        let error = |local: &str, remote: &str| {
            let [local, remote] = [local, remote].map(|text| text.parse().unwrap());
            let config = UdpConfig { local, remote, netns: None, mtu: 1500 };
            Socket::udp(&config).unwrap_err().to_string()
        };
        let (local, remote) = (local.to_string(), remote.to_string());
        assert!(error(&local, &remote).contains("another program has the local address"));
        assert!(error("192.0.2.1:1", &remote).contains("not one of this machine's"));
        assert!(error("[::1]:1", &remote).contains("IPv6"));
        assert!(error(&remote, &remote).contains("both ends"));
    }

    #[test]
    fn errors_of_a_send_are_sorted_by_what_they_mean_and_for_whom() {
        let count = |errno, remote: &Remote| {
            let (mut mask, mut sent) = (0b1110, Sent::default());
            failed(errno, remote, &mut mask, &mut sent);
            (sent.full, sent.down, sent.refused, mask)
        };
        let path = Remote::Unix(Place::new(Path::new("/nobody")).unwrap());
        assert_eq!(count(Errno::EAGAIN, &path), (3, 0, 0, 0));
        assert_eq!(count(Errno::ENOENT, &path), (0, 3, 0, 0));
        assert_eq!(count(Errno::ECONNREFUSED, &path), (0, 3, 0, 0));
        assert_eq!(count(Errno::ECONNREFUSED, &Remote::Connected), (0, 1, 0, 0b1100));
        assert_eq!(count(Errno::ENETUNREACH, &Remote::Connected), (0, 3, 0, 0));
        assert_eq!(count(Errno::EMSGSIZE, &Remote::Connected), (0, 0, 1, 0b1100));
    }
}

//! Stream sockets: QEMU's `-netdev stream`, passt. Each frame comes behind its length, which has
//! 4 octets, the most significant first.
//!
//! ```text
//!  0        4                    4 + n
//!  | length n | frame, n octets   | length | frame ...
//! ```
//!
//! A stream has no borders, which costs three things that a datagram does not:
//!
//! * A frame may come in pieces: `inbox.rs` keeps what was read until it is whole. It reads many
//!   frames at once, so that frames may wait there while the socket is empty.
//! * A frame may leave in pieces: `outbox.rs` keeps the rest of it, and no other worker may come
//!   between. So the sending halves share a lock, held for one call of the kernel that never
//!   waits.
//! * The rest of a frame must leave even if no frame follows. The receiving half's worker writes
//!   it when the socket has room again.
//!
//! So a worker waits for three things, and for all by one descriptor, an epoll of its own (one
//! epoll may wait on another): that there is something to read; while there is a rest, that
//! there is room; while whole frames are left from the last read, an event that has happened.
//!
//! A length that no frame has means that the two ends no longer agree where a frame begins, and
//! nothing can restore that: the port is gone, and only it.

mod inbox;
mod outbox;

use std::{
    io::{self, ErrorKind, IoSlice},
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::net::UnixListener,
    },
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError},
};

use nix::{
    errno::Errno,
    sys::{
        epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags},
        eventfd::{EfdFlags, EventFd},
        socket::{MsgFlags, SockType, UnixAddr, recv, sendmsg},
    },
};

use self::{inbox::Inbox, outbox::Outbox};
use crate::{
    frame::{Arena, Lent, Selection},
    port::{
        Port, Rx, Sent, Tx,
        unix::{Bound, Place, SocketError, check_mtu, listen_at, widen},
    },
};

/// Octets of the length in front of each frame.
const LENGTH_LEN: usize = 4;

/// Clients of one [`Listener`] at a time at the most.
pub const CLIENTS_MAX: usize = 1024;

/// What a port on a stream socket is to be like.
#[derive(Clone, Debug)]
pub struct StreamConfig {
    /// Where in the file system the socket is.
    pub path: PathBuf,
    /// Whether it is another's, to connect to ([`connect`]); else it is ours ([`Listener`]).
    pub connect: bool,
    /// The MTU of the port, or of each client's, 1 to [`MTU_MAX`](super::unix::MTU_MAX).
    pub mtu: u32,
}

/// A socket of ours to which clients connect, each of which becomes a port. For a control
/// thread: it becomes readable when a client is there.
pub struct Listener {
    listener: UnixListener,
    mtu: u32,
    /// Every client has a clone.
    clients: Arc<()>,
    /// `None`: whoever has given it to us removes it.
    bound: Option<Bound>,
}

impl Listener {
    /// Binds the path and listens, whatever `connect` says. A socket that a program left there
    /// when it ended is replaced. Ours is removed when this is dropped.
    ///
    /// # Errors
    ///
    /// A sentence: another program serves the path, it is no socket, or the system said no.
    pub fn bind(config: &StreamConfig) -> Result<Listener, SocketError> {
        check_mtu(config.path.display(), config.mtu)?;
        let (listener, bound) = listen_at(&config.path, None)?;
        Ok(Listener { listener, mtu: config.mtu, clients: Arc::new(()), bound: Some(bound) })
    }

    /// Its socket, to be given to another process, and what removes the path.
    pub(crate) fn give(self) -> (OwnedFd, Option<Bound>) {
        (self.listener.into(), self.bound)
    }

    /// A listener whose socket was given to us.
    pub(crate) fn given(socket: OwnedFd, mtu: u32) -> Listener {
        Listener { listener: socket.into(), mtu, clients: Arc::new(()), bound: None }
    }

    /// The next client, if one has come. Never waits.
    ///
    /// # Errors
    ///
    /// A client was turned away, because [`CLIENTS_MAX`] are here already; or it was not taken,
    /// because the process has no descriptor left (EMFILE) or there is no memory: then it is
    /// still waiting, and should be asked for after a while and not at once.
    pub fn accept(&self) -> io::Result<Option<Stream>> {
        let socket = match self.listener.accept() {
            Ok((socket, _)) => socket,
            Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(None),
            // The client has left already.
            Err(e) if e.kind() == ErrorKind::ConnectionAborted => return Ok(None),
            Err(e) => return Err(e),
        };
        // One is ours.
        if Arc::strong_count(&self.clients) > CLIENTS_MAX {
            return Err(io::Error::new(
                ErrorKind::QuotaExceeded,
                format!("a client was turned away: {CLIENTS_MAX} are connected, and that is all"),
            ));
        }
        let mut stream = Stream::new(socket.into(), self.mtu);
        stream.client = Some(self.clients.clone());
        Ok(Some(stream))
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

/// Connects to the server at the path, whatever `connect` says. Never waits.
///
/// # Errors
///
/// A sentence; [`SocketError::is_passing`] tells whether to try again.
pub fn connect(config: &StreamConfig) -> Result<Stream, SocketError> {
    check_mtu(config.path.display(), config.mtu)?;
    let socket = Place::new(&config.path)?.connect(SockType::Stream)?;
    Ok(Stream::new(socket, config.mtu))
}

/// A port on one connected stream socket.
pub struct Stream {
    socket: OwnedFd,
    mtu: u32,
    /// Held as long as the port is there, to count a listener's clients.
    client: Option<Arc<()>>,
}

impl Stream {
    /// Its socket, to be given to another process.
    pub(crate) fn give(self) -> OwnedFd {
        self.socket
    }

    /// A port on a connected stream socket.
    pub fn new(socket: OwnedFd, mtu: u32) -> Stream {
        widen(&socket);
        Stream { socket, mtu, client: None }
    }
}

impl Port for Stream {
    type Rx = StreamRx;
    type Tx = StreamTx;

    fn split(self) -> io::Result<(Vec<StreamRx>, StreamTx)> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(&self.socket, EpollEvent::new(EpollFlags::EPOLLIN, 0))?;
        let left = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        epoll.add(&left, EpollEvent::new(EpollFlags::EPOLLIN, 0))?;
        let sending = Mutex::new(Sending { outbox: Outbox::new(), awaits_room: false });
        let (socket, _client) = (self.socket, self.client);
        let line = Arc::new(Line { socket, epoll, sending, _client });
        let tx = StreamTx { line: line.clone(), mtu: self.mtu };
        Ok((vec![StreamRx { line, inbox: Inbox::new(), left, is_left: false }], tx))
    }
}

/// What the halves share.
struct Line {
    socket: OwnedFd,
    /// What the receiving half's worker waits on.
    epoll: Epoll,
    sending: Mutex<Sending>,
    _client: Option<Arc<()>>,
}

struct Sending {
    outbox: Outbox,
    /// Whether `epoll` waits for room.
    awaits_room: bool,
}

impl Line {
    #[inline]
    fn write(&self, slices: &[IoSlice<'_>]) -> nix::Result<usize> {
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        sendmsg::<UnixAddr>(self.socket.as_raw_fd(), slices, &[], flags, None)
    }

    /// Waits for room while, and only while, there is the rest of a frame.
    #[inline]
    fn await_room(&self, sending: &mut Sending) {
        if sending.outbox.is_pending() != sending.awaits_room {
            self.set_interest(sending);
        }
    }

    #[cold]
    fn set_interest(&self, sending: &mut Sending) {
        let pending = sending.outbox.is_pending();
        let room = if pending { EpollFlags::EPOLLOUT } else { EpollFlags::empty() };
        let mut event = EpollEvent::new(EpollFlags::EPOLLIN | room, 0);
        // Memory may be short: then it is tried again by whoever comes next.
        if self.epoll.modify(&self.socket, &mut event).is_ok() {
            sending.awaits_room = pending;
        }
    }

    /// Writes the rest of a frame, if there is one and nobody is sending at this moment. If
    /// somebody is, he writes it himself; and what he leaves is still waited for.
    #[inline]
    fn flush(&self) -> nix::Result<()> {
        let mut sending = match self.sending.try_lock() {
            Ok(sending) => sending,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Ok(()),
        };
        let flushed = sending.outbox.flush(|slices| self.write(slices));
        self.await_room(&mut sending);
        flushed
    }

    /// A lock that a panicking thread left is as sound as before: each write is noted at once.
    #[inline]
    fn sending(&self) -> MutexGuard<'_, Sending> {
        self.sending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The receiving half: one read for many frames.
pub struct StreamRx {
    line: Arc<Line>,
    inbox: Inbox,
    /// Has happened while frames are left that the last batch had no room for.
    left: EventFd,
    is_left: bool,
}

impl StreamRx {
    /// Reads once. What passes is a read of nothing.
    #[inline]
    fn read(&mut self) -> io::Result<()> {
        let socket = self.line.socket.as_raw_fd();
        match self.inbox.read(|room| recv(socket, room, MsgFlags::MSG_DONTWAIT)) {
            Ok(0) => Err(io::Error::new(ErrorKind::UnexpectedEof, "the other end closed it")),
            Ok(_) | Err(Errno::EAGAIN | Errno::EINTR | Errno::ENOBUFS | Errno::ENOMEM) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Keeps the worker from sleeping while frames are left: the socket may be empty.
    #[cold]
    fn remember(&mut self, is_left: bool) {
        // An event that is written happened, one that is read did not. Neither can fail.
        let _ = if is_left { self.left.write(1) } else { self.left.read().map(|_| 0) };
        self.is_left = is_left;
    }
}

impl Rx for StreamRx {
    #[inline]
    fn recv<'a>(&'a mut self, arena: &'a mut Arena) -> io::Result<Lent<'a>> {
        self.line.flush()?;
        if !self.inbox.is_due() {
            self.read()?;
        }
        let batch = arena.fill(|room| self.inbox.take(room))?;
        let is_left = self.inbox.is_due();
        if is_left != self.is_left {
            self.remember(is_left);
        }
        Ok(batch)
    }

    fn wait_on(&self) -> Option<BorrowedFd<'_>> {
        Some(self.line.epoll.0.as_fd())
    }
}

/// The sending half: one write for all frames of a call.
#[derive(Clone)]
pub struct StreamTx {
    line: Arc<Line>,
    mtu: u32,
}

impl Tx for StreamTx {
    fn mtu(&self) -> u32 {
        self.mtu
    }

    /// The other end is given frames as the wire would carry them.
    fn takes_offloads(&self) -> bool {
        false
    }

    fn clone_for(&self, _worker: usize) -> io::Result<StreamTx> {
        Ok(self.clone())
    }

    #[inline]
    fn send(&mut self, frames: Selection<'_>) -> Sent {
        let mut sending = self.line.sending();
        let sent = sending.outbox.send(frames, |slices| self.line.write(slices));
        self.line.await_room(&mut sending);
        sent
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        io::{Read, Write},
        os::unix::net::{UnixDatagram, UnixStream},
        path::Path,
        thread,
        time::Duration,
    };

    use nix::sys::epoll::EpollTimeout;

    use super::*;
    use crate::{
        frame::{BATCH_MAX, Batch, FRAME_MAX, Span},
        offload::VNET_HEADER_LEN,
    };

    /// Both halves of a port, and the other end of its socket.
    fn pair() -> (StreamRx, StreamTx, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        // Whoever waits for so long waits in vain.
        theirs.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let (mut rx, tx) = Stream::new(ours.into(), 1500).split().unwrap();
        (rx.remove(0), tx, theirs)
    }

    fn send(tx: &mut StreamTx, frames: &[Vec<u8>]) -> Sent {
        let (mut memory, mut spans) = (Vec::new(), Vec::new());
        for frame in frames {
            let len = (VNET_HEADER_LEN + frame.len()) as u32;
            spans.push(Span { start: memory.len() as u32, len });
            memory.extend([[0; VNET_HEADER_LEN].as_slice(), frame].concat());
        }
        let mask = u64::MAX >> (64 - frames.len());
        tx.send(Selection { batch: Batch::new(&memory, &spans), mask })
    }

    fn put(theirs: &mut UnixStream, frame: &[u8]) {
        theirs.write_all(&(frame.len() as u32).to_be_bytes()).unwrap();
        theirs.write_all(frame).unwrap();
    }

    /// The next frame at the other end, which waits for it.
    fn take(theirs: &mut UnixStream) -> Vec<u8> {
        let mut length = [0; LENGTH_LEN];
        theirs.read_exact(&mut length).unwrap();
        let mut frame = vec![0; u32::from_be_bytes(length) as usize];
        theirs.read_exact(&mut frame).unwrap();
        frame
    }

    /// Waits as a worker does, by an epoll on what the port says. `false`: there was nothing.
    fn ready(rx: &StreamRx, timeout: EpollTimeout) -> bool {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).unwrap();
        epoll.add(rx.wait_on().unwrap(), EpollEvent::new(EpollFlags::EPOLLIN, 0)).unwrap();
        epoll.wait(&mut [EpollEvent::empty()], timeout).unwrap() == 1
    }

    fn error(rx: &mut StreamRx) -> io::Error {
        let mut arena = Arena::new();
        rx.recv(&mut arena).err().expect("the port is gone")
    }

    #[test]
    fn frames_come_in_behind_an_empty_virtio_net_header_and_leave_without_one() {
        let (mut rx, mut tx, mut theirs) = pair();
        let mut arena = Arena::new();
        assert!(!ready(&rx, EpollTimeout::ZERO));
        assert!(rx.recv(&mut arena).unwrap().is_empty());
        for len in [1, 60, 1514] {
            put(&mut theirs, &vec![len as u8; len]);
        }
        assert!(ready(&rx, EpollTimeout::ZERO));
        let batch = rx.recv(&mut arena).unwrap();
        let frames: Vec<_> = batch.frames().map(|frame| frame.octets().to_vec()).collect();
        assert_eq!(frames, [vec![1; 1], vec![60; 60], vec![1514_u16 as u8; 1514]]);
        assert!(batch.frames().all(|f| f.wire()[..VNET_HEADER_LEN] == [0; VNET_HEADER_LEN]));
        let sent = send(&mut tx, &frames);
        assert_eq!(sent, Sent { frames: 3, octets: 1575, ..Sent::default() });
        for frame in frames {
            assert_eq!(take(&mut theirs), frame);
        }
        assert!(!tx.takes_offloads());
    }

    #[test]
    fn frame_in_pieces_is_received_when_it_is_whole() {
        let (mut rx, _tx, mut theirs) = pair();
        let mut arena = Arena::new();
        let octets = [&[0, 0, 0, 20][..], &[7; 20]].concat();
        for octet in &octets[..23] {
            theirs.write_all(&[*octet]).unwrap();
            assert!(rx.recv(&mut arena).unwrap().is_empty());
        }
        theirs.write_all(&octets[23..]).unwrap();
        assert_eq!(rx.recv(&mut arena).unwrap().frame(0).octets(), [7; 20]);
    }

    #[test]
    fn worker_does_not_sleep_while_frames_are_left_from_the_last_read() {
        let (mut rx, _tx, mut theirs) = pair();
        let mut arena = Arena::new();
        for number in 0..2 * BATCH_MAX + 1 {
            put(&mut theirs, &[number as u8; 14]);
        }
        for count in [BATCH_MAX, BATCH_MAX, 1] {
            assert!(ready(&rx, EpollTimeout::ZERO), "before a batch of {count}");
            assert_eq!(rx.recv(&mut arena).unwrap().len(), count);
        }
        assert!(!ready(&rx, EpollTimeout::ZERO));
    }

    #[test]
    fn hostile_length_ends_the_port_behind_the_frames_before_it() {
        for length in [0, FRAME_MAX as u32 + 1, u32::MAX] {
            let (mut rx, _tx, mut theirs) = pair();
            put(&mut theirs, &[1; 60]);
            theirs.write_all(&length.to_be_bytes()).unwrap();
            let mut arena = Arena::new();
            assert_eq!(rx.recv(&mut arena).unwrap().len(), 1);
            assert!(ready(&rx, EpollTimeout::ZERO), "the worker is to hear of it");
            assert_eq!(error(&mut rx).kind(), ErrorKind::InvalidData);
        }
    }

    #[test]
    fn other_end_that_closes_leaves_its_last_frame_and_then_the_port_is_gone() {
        let (mut rx, mut tx, mut theirs) = pair();
        put(&mut theirs, &[1; 60]);
        theirs.write_all(&[0, 0, 0, 60, 1, 2, 3]).unwrap();
        drop(theirs);
        let mut arena = Arena::new();
        assert_eq!(rx.recv(&mut arena).unwrap().len(), 1);
        assert!(ready(&rx, EpollTimeout::ZERO));
        assert_eq!(error(&mut rx).kind(), ErrorKind::UnexpectedEof);
        assert_eq!(send(&mut tx, &[vec![0; 60]]), Sent { gone: 1, ..Sent::default() });
    }

    /// Sends until there is no room, and says how many frames were taken.
    fn stuff(tx: &mut StreamTx) -> u64 {
        let frames: Vec<_> = (0..BATCH_MAX).map(|i| vec![i as u8; 1514]).collect();
        let mut taken = 0;
        loop {
            let sent = send(tx, &frames);
            taken += sent.frames;
            assert_eq!(sent.frames + sent.full, BATCH_MAX as u64);
            if sent.full > 0 {
                return taken;
            }
        }
    }

    #[test]
    fn peer_that_reads_again_gets_the_rest_without_another_frame_and_is_in_step() {
        let (mut rx, mut tx, mut theirs) = pair();
        let taken = stuff(&mut tx);
        assert!(tx.line.sending().outbox.is_pending(), "the last frame was cut");
        assert_eq!(send(&mut tx, &[vec![9; 60]]).full, 1);
        assert!(!ready(&rx, EpollTimeout::ZERO), "there is no room yet");
        let reader = thread::spawn(move || {
            for index in 0..taken {
                assert_eq!(take(&mut theirs), [(index as usize % BATCH_MAX) as u8; 1514]);
            }
            theirs
        });
        // What its worker does, and nothing else.
        let mut arena = Arena::new();
        while rx.line.sending().outbox.is_pending() {
            assert!(ready(&rx, EpollTimeout::NONE));
            assert!(rx.recv(&mut arena).unwrap().is_empty());
        }
        let mut theirs = reader.join().unwrap();
        assert!(!ready(&rx, EpollTimeout::ZERO), "room is awaited no longer");
        assert_eq!(send(&mut tx, &[vec![9; 60]]).frames, 1);
        assert_eq!(take(&mut theirs), [9; 60]);
    }

    #[test]
    fn peer_that_dies_while_it_does_not_read_ends_the_port() {
        let (mut rx, mut tx, theirs) = pair();
        stuff(&mut tx);
        drop(theirs);
        assert!(ready(&rx, EpollTimeout::ZERO));
        error(&mut rx);
        assert_eq!(send(&mut tx, &[vec![9; 60]]).gone, 1);
    }

    #[test]
    fn frames_of_several_workers_are_never_torn() {
        const ROUNDS: usize = 300;
        let (mut rx, tx, mut theirs) = pair();
        let workers: Vec<_> = (0..3_u8)
            .map(|worker| {
                let mut tx = tx.clone_for(worker.into()).unwrap();
                thread::spawn(move || {
                    let lens = (0..20).map(|i| 14 + i * 311 + usize::from(worker));
                    let frames: Vec<_> = lens.map(|len| vec![worker; len]).collect();
                    (0..ROUNDS).map(|_| send(&mut tx, &frames).frames).sum::<u64>()
                })
            })
            .collect();
        let reader = thread::spawn(move || {
            let mut counts = [0; 3];
            loop {
                let frame = take(&mut theirs);
                if frame == [0xff; 14] {
                    return counts;
                }
                let worker = frame[0];
                assert!(frame.iter().all(|octet| *octet == worker), "a frame is in one piece");
                assert_eq!((frame.len() - 14 - usize::from(worker)) % 311, 0);
                counts[usize::from(worker)] += 1;
            }
        });
        let taken: Vec<_> = workers.into_iter().map(|worker| worker.join().unwrap()).collect();
        let mut arena = Arena::new();
        while send(&mut tx.clone(), &[vec![0xff; 14]]).frames == 0 {
            rx.recv(&mut arena).unwrap();
            thread::yield_now();
        }
        assert_eq!(reader.join().unwrap().to_vec(), taken);
    }

    fn config(path: &Path) -> StreamConfig {
        StreamConfig { path: path.into(), connect: false, mtu: 1500 }
    }

    /// The text of the error, which there has to be.
    fn refused(path: &Path) -> String {
        let error = Listener::bind(&config(path)).err().expect("it is refused").to_string();
        assert!(error.starts_with(&format!("{}: ", path.display())), "{error}");
        error
    }

    #[test]
    fn clients_become_ports_and_the_path_goes_with_the_listener() {
        let folder = tempfile::tempdir().unwrap();
        // The second has more octets than an address has room for.
        for name in ["a", &"long".repeat(15)] {
            let path = folder.path().join("folder".repeat(7)).join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let listener = Listener::bind(&config(&path)).unwrap();
            assert!(listener.accept().unwrap().is_none());
            let (mut rx, tx) = connect(&config(&path)).unwrap().split().unwrap();
            let port = listener.accept().unwrap().expect("a client");
            assert!(listener.accept().unwrap().is_none());
            assert_eq!(tx.mtu(), 1500);
            let (_rx, mut port) = port.split().unwrap();
            send(&mut port, &[vec![3; 60]]);
            let mut arena = Arena::new();
            assert_eq!(rx[0].recv(&mut arena).unwrap().frame(0).octets(), [3; 60]);
            drop(listener);
            assert!(!path.exists());
        }
    }

    #[test]
    fn clients_beyond_the_bound_are_turned_away_and_leaving_makes_room() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sw");
        let listener = Listener::bind(&config(&path)).unwrap();
        let mut others: Vec<_> = (1..CLIENTS_MAX).map(|_| listener.clients.clone()).collect();
        let _first = connect(&config(&path)).unwrap();
        let port = listener.accept().unwrap().unwrap();
        let mut second = UnixStream::connect(&path).unwrap();
        assert_eq!(listener.accept().err().unwrap().kind(), ErrorKind::QuotaExceeded);
        assert_eq!(second.read(&mut [0]).unwrap(), 0, "it was closed");
        drop(port);
        let _third = connect(&config(&path)).unwrap();
        assert!(listener.accept().unwrap().is_some());
        others.clear();
    }

    #[test]
    fn socket_that_was_left_behind_is_replaced_and_a_live_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sw");
        // Dropped, but its name stays.
        drop(UnixListener::bind(&path).unwrap());
        assert!(connect(&config(&path)).err().unwrap().is_passing());
        let listener = Listener::bind(&config(&path)).unwrap();
        assert!(refused(&path).contains("another program serves it"));
        assert!(path.exists());
        drop(listener);
        let _datagrams = UnixDatagram::bind(&path).unwrap();
        assert!(refused(&path).contains("another program serves it"));
        let error = connect(&config(&path)).err().unwrap();
        assert!(error.to_string().contains("of another kind") && !error.is_passing(), "{error}");
    }

    #[test]
    fn what_is_no_socket_is_never_removed() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        fs::write(&file, b"precious").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        for path in [&file, &link] {
            assert!(refused(path).contains("is no socket"));
        }
        assert!(refused(&folder.path().join("none/sw")).contains("its folder"));
        assert!(refused(Path::new("/")).contains("a name is missing"));
        let name = folder.path().join("name".repeat(30));
        assert!(refused(&name).contains("too long"));
        assert_eq!(fs::read(&file).unwrap(), b"precious");
        let error = Listener::bind(&StreamConfig { mtu: 65_536, ..config(&link) });
        assert!(error.err().unwrap().to_string().contains("MTU"));
    }

    #[test]
    fn path_that_is_another_s_by_now_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sw");
        let listener = Listener::bind(&config(&path)).unwrap();
        fs::remove_file(&path).unwrap();
        let error = connect(&config(&path)).err().unwrap();
        assert!(error.to_string().contains("nobody listens") && error.is_passing(), "{error}");
        let _other = UnixListener::bind(&path).unwrap();
        drop(listener);
        assert!(path.exists());
    }
}

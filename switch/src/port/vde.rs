//! VDE: a switch that the clients of Virtual Distributed Ethernet can join, as they join a
//! `vde_switch`: `vde_plug`, `vde_plug2tap`, QEMU's `-netdev vde`, VirtualBox, User-mode Linux.
//!
//! A client connects to the stream socket `ctl` in the switch's folder, names a datagram socket
//! of its own, and is told of one of ours. From then on each datagram is a frame, without
//! anything in front of it, and the stream is kept open and silent; when it closes, the client is
//! gone. What the two say is in `request.rs`.
//!
//! Whoever may connect makes us send to a path that he names. So the socket there must be his
//! own, by its owner: else somebody could have frames sent, in our name, to a socket to which he
//! has no right.
//!
//! A datagram socket has room for `net.unix.max_dgram_qlen` frames of whatever size, 10 unless
//! the system was told otherwise; what comes while a client has no room is counted as `tx_full`.

mod request;

use std::{
    collections::VecDeque,
    fmt, fs,
    io::{self, ErrorKind, Read, Write},
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::{
            fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt},
            net::{UnixListener, UnixStream},
        },
    },
    path::{Path, PathBuf},
    sync::Arc,
};

use nix::{
    errno::Errno,
    sys::{
        epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags},
        socket::{
            Backlog, MsgFlags, SockType, UnixAddr, connect, getsockopt, listen, recv, send,
            sockopt::PeerCredentials,
        },
    },
};

use self::request::{DESCRIPTION_MAX, PATH_LEN, REQUEST_LEN, Request, emit_address};
use crate::{
    frame::{Arena, FRAME_MAX, Lent, Selection},
    offload::{Offload, VNET_HEADER_LEN},
    port::{
        Port, Rx, Sent, Tx, datagram,
        unix::{Bound, Fault, Place, SocketError, check_mtu, widen},
    },
};

/// Clients of one [`Vde`] at a time at the most.
pub const CLIENTS_MAX: usize = 1024;
/// Clients that may be connected without having said anything: then the one that has been so for
/// the longest is turned away.
const SILENT_MAX: usize = 64;
/// Clients that may wait to be accepted.
const BACKLOG: i32 = 128;

/// Octets that the name of a socket may add to the folder's: ours is `/0000.data`, a client's is
/// `/.PID-NUMBER`, and a client writes it without looking whether it fits.
const NAMES_LEN: usize = 24;
/// Names of our sockets.
const NUMBERS: u32 = 10_000;

/// What a VDE switch is to be like.
#[derive(Clone, Debug)]
pub struct VdeConfig {
    /// The folder of its sockets, made if it is not there, and then removed at the end.
    pub folder: PathBuf,
    /// Who may join, as permissions of the folder if it is made, and of the control socket.
    pub mode: u32,
    /// The MTU of each client's port.
    pub mtu: u32,
}

impl VdeConfig {
    /// A switch in this folder, for ourselves only.
    pub fn new(folder: impl Into<PathBuf>) -> VdeConfig {
        VdeConfig { folder: folder.into(), mode: 0o700, mtu: 1500 }
    }
}

/// Where VDE clients join, each of which becomes a port. For a control thread: it becomes
/// readable when [`Vde::accept`] has something to do.
pub struct Vde {
    listener: UnixListener,
    /// Connected, and nothing was heard of them yet; the oldest first.
    silent: VecDeque<UnixStream>,
    epoll: Epoll,
    mtu: u32,
    /// The number in the name of the next client's socket.
    next: u32,
    _bound: Bound,
    /// Every client has a clone.
    folder: Arc<Folder>,
}

impl Vde {
    /// Makes the folder and listens. Sockets that a program left there when it ended are
    /// replaced; ours are removed when this and the clients' ports are dropped.
    ///
    /// # Errors
    ///
    /// A sentence: another program serves the folder, it is no folder, its path is too long, or
    /// the system said no.
    pub fn listen(config: &VdeConfig) -> Result<Vde, SocketError> {
        let name = config.folder.display();
        let fail = |what, error| SocketError::new(&name, Fault::System(what, error));
        check_mtu(&name, config.mtu)?;
        let folder = Folder::open(&config.folder, config.mode).map_err(|e| fail("use it", e))?;
        let control = folder.path.join("ctl");
        let (socket, bound) = Place::new(&control)?.bind(SockType::Stream)?;
        // Nobody can connect before it listens.
        fs::set_permissions(&control, fs::Permissions::from_mode(config.mode & 0o666))
            .map_err(|e| fail("say who may join", e))?;
        let backlog = Backlog::new(BACKLOG).expect("a backlog that Linux has");
        listen(&socket, backlog).map_err(|e| fail("listen there", e.into()))?;
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)
            .and_then(|epoll| {
                epoll.add(&socket, EpollEvent::new(EpollFlags::EPOLLIN, 0)).map(|()| epoll)
            })
            .map_err(|e| fail("wait for clients", e.into()))?;
        Ok(Vde {
            listener: socket.into(),
            silent: VecDeque::new(),
            epoll,
            mtu: config.mtu,
            next: 0,
            _bound: bound,
            folder: Arc::new(folder),
        })
    }

    /// The next client that has said who it is, if there is one. Never waits. To be called until
    /// it says that there is none.
    ///
    /// # Errors
    ///
    /// A client was turned away, with the reason; or it was not taken, because the process has no
    /// descriptor left (EMFILE) or there is no memory: then it is still waiting, and should be
    /// asked for after a while and not at once.
    pub fn accept(&mut self) -> io::Result<Option<VdePort>> {
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => self.hold(stream)?,
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                // The client has left already.
                Err(e) if e.kind() == ErrorKind::ConnectionAborted => {}
                Err(e) => return Err(e),
            }
        }
        let mut octets = [0; REQUEST_LEN + DESCRIPTION_MAX];
        let mut index = 0;
        while index < self.silent.len() {
            let heard = self.silent[index].read(&mut octets);
            if let Err(e) = &heard
                && matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
            {
                index += 1;
                continue;
            }
            let stream = self.silent.remove(index).expect("it was there");
            match heard {
                // It has thought better of it.
                Ok(0) => {}
                Ok(len) => return self.admit(stream, &octets[..len]).map(Some),
                Err(error) => return Err(turned_away(error)),
            }
        }
        Ok(None)
    }

    /// Keeps a client until it says something.
    fn hold(&mut self, stream: UnixStream) -> io::Result<()> {
        stream.set_nonblocking(true)?;
        self.epoll.add(&stream, EpollEvent::new(EpollFlags::EPOLLIN, 0))?;
        self.silent.push_back(stream);
        if self.silent.len() > SILENT_MAX {
            self.silent.pop_front();
            return Err(turned_away(format!("{SILENT_MAX} later ones have not said anything yet")));
        }
        Ok(())
    }

    /// Makes a port for a client that has sent this.
    fn admit(&mut self, mut control: UnixStream, request: &[u8]) -> io::Result<VdePort> {
        // One is ours.
        if Arc::strong_count(&self.folder) > CLIENTS_MAX {
            return Err(turned_away(format!("{CLIENTS_MAX} are connected, and that is all")));
        }
        let request = Request::parse(request).map_err(turned_away)?;
        let (data, bound, path) = self.bind()?;
        widen(&data);
        let theirs = self.connect(&data, &control, &request.path)?;
        // Now that it is connected, the kernel takes from nobody else (unix_may_send of
        // net/unix/af_unix.c), and the client may be another user.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666))?;
        // Into an empty stream so little is written at once or not at all.
        let answer = emit_address(&path);
        if control.write(&answer).map_err(turned_away)? != answer.len() {
            return Err(turned_away("it does not read"));
        }
        let _ = self.epoll.delete(&control);
        let client =
            Client { data, control, _bound: bound, _theirs: theirs, _folder: self.folder.clone() };
        Ok(VdePort { client, mtu: self.mtu, description: request.description })
    }

    /// Makes a socket for one client. A stale one is replaced; a live one may be left of a switch
    /// in whose place we came, and is let be.
    fn bind(&mut self) -> io::Result<(OwnedFd, Bound, PathBuf)> {
        for _ in 0..NUMBERS {
            let path = self.folder.path.join(format!("{:04}.data", self.next % NUMBERS));
            self.next = self.next.wrapping_add(1);
            match Place::new(&path).and_then(|place| place.bind(SockType::Datagram)) {
                Ok((data, bound)) => return Ok((data, bound, path)),
                Err(SocketError { fault: Fault::Live, .. }) => {}
                // It is connected to a client of its own.
                Err(SocketError { fault: Fault::System(_, error), .. })
                    if error.kind() == ErrorKind::PermissionDenied => {}
                Err(error) => return Err(turned_away(error)),
            }
        }
        Err(turned_away("all names of sockets are taken"))
    }

    /// Connects our socket to the one that a client names, which must be its own.
    fn connect(&self, data: &OwnedFd, control: &UnixStream, path: &Path) -> io::Result<Theirs> {
        let refuse = |why: &str| turned_away(format!("its socket {} {why}", path.display()));
        let user = getsockopt(control, PeerCredentials)?.uid();
        // Held, so that it is the same which is looked at and connected to.
        let flags = libc::O_PATH | libc::O_NOFOLLOW;
        let held = fs::File::options().read(true).custom_flags(flags).open(path);
        let held = held.map_err(|e| refuse(&format!("is not there: {e}")))?;
        let file = held.metadata()?;
        if !file.file_type().is_socket() {
            return Err(refuse("is no socket"));
        }
        if user != 0 && file.uid() != user {
            return Err(refuse(&format!("belongs to the user {}, and it is {user}", file.uid())));
        }
        let address = UnixAddr::new(format!("/proc/self/fd/{}", held.as_raw_fd()).as_str())?;
        connect(data.as_raw_fd(), &address)
            .map_err(|errno| refuse(&format!("was not connected to: {errno}")))?;
        let ours = path.parent() == Some(&self.folder.path);
        Ok(Theirs { path: ours.then(|| path.into()), file: (file.dev(), file.ino()) })
    }
}

impl AsFd for Vde {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.0.as_fd()
    }
}

fn turned_away(why: impl fmt::Display) -> io::Error {
    io::Error::other(format!("a VDE client was turned away: {why}"))
}

/// The folder of the sockets. Dropped, it is removed if we made it.
#[derive(Debug)]
struct Folder {
    path: PathBuf,
    created: bool,
}

impl Folder {
    fn open(path: &Path, mode: u32) -> io::Result<Folder> {
        let created = match fs::DirBuilder::new().mode(mode).create(path) {
            Ok(()) => true,
            Err(e) if e.kind() == ErrorKind::AlreadyExists => false,
            Err(e) => return Err(e),
        };
        // Clients are somewhere else, and are told an absolute path.
        let folder = Folder { path: path.canonicalize()?, created };
        if created {
            // The umask has taken its part.
            fs::set_permissions(&folder.path, fs::Permissions::from_mode(mode))?;
        }
        if !fs::metadata(&folder.path)?.is_dir() {
            return Err(io::Error::other("it is there, and is no folder"));
        }
        let len = folder.path.as_os_str().len();
        if len + NAMES_LEN >= PATH_LEN {
            let most = PATH_LEN - NAMES_LEN - 1;
            return Err(io::Error::other(format!(
                "its path has {len} octets, and the addresses of sockets in it leave room for \
                 {most}: choose a shorter one"
            )));
        }
        Ok(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.created {
            // What somebody else has put there stays, and the folder with it.
            let _ = fs::remove_dir(&self.path);
        }
    }
}

/// A client's socket in our folder, which a client that was killed leaves behind.
#[derive(Debug)]
struct Theirs {
    path: Option<PathBuf>,
    /// Device and inode.
    file: (u64, u64),
}

impl Drop for Theirs {
    fn drop(&mut self) {
        let Some(path) = &self.path else { return };
        let there = fs::symlink_metadata(path);
        if there.is_ok_and(|file| (file.dev(), file.ino()) == self.file) {
            let _ = fs::remove_file(path);
        }
    }
}

/// The port of one client.
pub struct VdePort {
    client: Client,
    mtu: u32,
    description: String,
}

impl VdePort {
    /// What the client says of itself, in printable ASCII: as a rule its program, user and pid.
    pub fn description(&self) -> &str {
        &self.description
    }
}

/// What the halves share.
struct Client {
    data: OwnedFd,
    control: UnixStream,
    _bound: Bound,
    _theirs: Theirs,
    /// The last to be dropped: the others lie in it.
    _folder: Arc<Folder>,
}

impl Client {
    /// Looks whether the client is there still. It has nothing more to say.
    #[inline]
    fn check(&self) -> io::Result<()> {
        let gone = |why| Err(io::Error::new(ErrorKind::UnexpectedEof, why));
        match recv(self.control.as_raw_fd(), &mut [0], MsgFlags::MSG_DONTWAIT) {
            Err(Errno::EAGAIN | Errno::EINTR | Errno::ENOBUFS | Errno::ENOMEM) => Ok(()),
            Ok(0) => gone("the VDE client has left"),
            Ok(_) => gone("the VDE client made a second request, and there is none"),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl Port for VdePort {
    type Rx = VdeRx;
    type Tx = VdeTx;

    fn split(self) -> io::Result<(Vec<VdeRx>, VdeTx)> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(&self.client.data, EpollEvent::new(EpollFlags::EPOLLIN, 0))?;
        epoll.add(&self.client.control, EpollEvent::new(EpollFlags::EPOLLIN, 0))?;
        let client = Arc::new(self.client);
        Ok((vec![VdeRx { client: client.clone(), epoll }], VdeTx { client, mtu: self.mtu }))
    }
}

/// The receiving half: one read a frame.
pub struct VdeRx {
    client: Arc<Client>,
    /// Of both sockets, that the end of the stream wakes the worker too.
    epoll: Epoll,
}

impl Rx for VdeRx {
    #[inline]
    fn recv<'a>(&'a mut self, arena: &'a mut Arena) -> io::Result<Lent<'a>> {
        let data = self.client.data.as_raw_fd();
        let batch = arena.fill(|room| {
            let (header, room) = room.split_at_mut(VNET_HEADER_LEN);
            header.copy_from_slice(&Offload::NONE.emit());
            // The kernel says how long the datagram was, whatever there was room for.
            match recv(data, &mut room[..FRAME_MAX], MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_TRUNC) {
                // libvdeplug takes leave by an empty datagram.
                Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
                Ok(len) if len <= FRAME_MAX => Ok(VNET_HEADER_LEN + len),
                // No frame is so long: counted as a runt, for of a part nothing can be made.
                Ok(_) => Ok(VNET_HEADER_LEN),
                Err(Errno::ENOBUFS | Errno::ENOMEM) => Err(ErrorKind::WouldBlock.into()),
                Err(errno) => Err(errno.into()),
            }
        })?;
        // Woken for nothing, or spinning: only then may it have left.
        if batch.is_empty() {
            self.client.check()?;
        }
        Ok(batch)
    }

    fn wait_on(&self) -> Option<BorrowedFd<'_>> {
        Some(self.epoll.0.as_fd())
    }
}

/// The sending half: one write a frame.
#[derive(Clone)]
pub struct VdeTx {
    client: Arc<Client>,
    mtu: u32,
}

impl Tx for VdeTx {
    fn mtu(&self) -> u32 {
        self.mtu
    }

    /// A client is given frames as a wire would carry them.
    fn takes_offloads(&self) -> bool {
        false
    }

    fn clone_for(&self, _worker: usize) -> io::Result<VdeTx> {
        Ok(self.clone())
    }

    #[inline]
    fn send(&mut self, frames: Selection<'_>) -> Sent {
        let mut sent = Sent::default();
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        for frame in frames.frames() {
            match send(self.client.data.as_raw_fd(), frame.octets(), flags) {
                Ok(_) => sent.took(frame),
                Err(errno) => datagram::refused(errno, &mut sent),
            }
        }
        sent
    }
}

#[cfg(test)]
mod tests {
    use std::{
        ffi::OsStr,
        os::unix::{ffi::OsStrExt, net::UnixDatagram},
        time::Instant,
    };

    use nix::sys::epoll::EpollTimeout;

    use super::{
        request::{ADDRESS_LEN, FAMILY_LEN, HEAD_LEN, MAGIC, VERSION},
        *,
    };
    use crate::{
        frame::{Batch, Span},
        switch::{self, Event, PortConfig, SwitchConfig},
    };

    const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

    fn listen(folder: &Path) -> Vde {
        Vde::listen(&VdeConfig::new(folder)).unwrap()
    }

    /// A client as libvdeplug is one.
    struct Plug {
        control: UnixStream,
        data: UnixDatagram,
    }

    fn request(path: &Path, description: &str) -> Vec<u8> {
        let words = [MAGIC, VERSION, 0].map(u32::to_ne_bytes);
        [words.as_flattened(), &emit_address(path), description.as_bytes()].concat()
    }

    /// Sends a request for a socket of this name in the folder.
    fn ask(folder: &Path, name: &str) -> Plug {
        let control = UnixStream::connect(folder.join("ctl")).unwrap();
        let path = folder.canonicalize().unwrap().join(name);
        let data = UnixDatagram::bind(&path).unwrap();
        (&control).write_all(&request(&path, "test user=me\n")).unwrap();
        data.set_read_timeout(Some(PATIENCE)).unwrap();
        Plug { control, data }
    }

    impl Plug {
        fn connect(mut self) -> Plug {
            let mut answer = [0; ADDRESS_LEN];
            self.control.read_exact(&mut answer).unwrap();
            assert_eq!(answer[..2], 1u16.to_ne_bytes());
            let len = answer[2..].iter().position(|octet| *octet == 0).unwrap();
            self.data.connect(OsStr::from_bytes(&answer[2..2 + len])).unwrap();
            self
        }

        fn take(&self) -> Vec<u8> {
            let mut octets = vec![0; FRAME_MAX];
            let len = self.data.recv(&mut octets).unwrap();
            octets.truncate(len);
            octets
        }
    }

    fn joined(vde: &mut Vde, folder: &Path, name: &str) -> (Plug, VdePort) {
        let plug = ask(folder, name);
        let port = vde.accept().unwrap().unwrap();
        (plug.connect(), port)
    }

    fn send_one(tx: &mut VdeTx, octets: &[u8]) -> Sent {
        let wire = [&[0; VNET_HEADER_LEN], octets].concat();
        let spans = [Span { start: 0, len: wire.len() as u32 }];
        tx.send(Selection { batch: Batch::new(&wire, &spans), mask: 1 })
    }

    /// Whether a worker would wake.
    fn ready(fd: BorrowedFd<'_>) -> bool {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).unwrap();
        epoll.add(fd, EpollEvent::new(EpollFlags::EPOLLIN, 0)).unwrap();
        epoll.wait(&mut [EpollEvent::empty()], EpollTimeout::ZERO).unwrap() == 1
    }

    #[test]
    fn client_joins_and_frames_pass_without_anything_in_front() {
        let folder = tempfile::tempdir().unwrap();
        let mut vde = listen(folder.path());
        assert!(vde.accept().unwrap().is_none());
        assert!(!ready(vde.as_fd()));
        let plug = ask(folder.path(), ".1");
        assert!(ready(vde.as_fd()));
        let port = vde.accept().unwrap().unwrap();
        assert!(!ready(vde.as_fd()));
        assert_eq!(port.description(), "test user=me.");
        let plug = plug.connect();
        let (mut rx, mut tx) = port.split().unwrap();
        let mut arena = Arena::new();
        assert!(!ready(rx[0].wait_on().unwrap()));
        assert!(rx[0].recv(&mut arena).unwrap().is_empty());
        for len in [14, 60, 1514, FRAME_MAX] {
            plug.data.send(&vec![len as u8; len]).unwrap();
            assert!(ready(rx[0].wait_on().unwrap()));
            let batch = rx[0].recv(&mut arena).unwrap();
            assert_eq!(batch.frame(0).octets(), vec![len as u8; len]);
            assert_eq!(batch.frame(0).wire()[..VNET_HEADER_LEN], [0; VNET_HEADER_LEN]);
            assert_eq!(send_one(&mut tx, &vec![7; len]).frames, 1);
            assert_eq!(plug.take(), vec![7; len]);
        }
        assert!(!tx.takes_offloads());
        // Longer than any frame: a runt, and not its beginning.
        plug.data.send(&vec![1; FRAME_MAX + 1]).unwrap();
        assert!(rx[0].recv(&mut arena).unwrap().frame(0).octets().is_empty());
    }

    #[test]
    fn client_that_closes_its_stream_is_gone_after_its_last_frame() {
        let folder = tempfile::tempdir().unwrap();
        let mut vde = listen(folder.path());
        let (plug, port) = joined(&mut vde, folder.path(), ".1");
        let (mut rx, mut tx) = port.split().unwrap();
        plug.data.send(&[1; 60]).unwrap();
        drop(plug);
        let mut arena = Arena::new();
        assert!(ready(rx[0].wait_on().unwrap()));
        assert_eq!(rx[0].recv(&mut arena).unwrap().len(), 1);
        assert!(ready(rx[0].wait_on().unwrap()));
        let error = rx[0].recv(&mut arena).err().unwrap();
        assert_eq!(error.to_string(), "the VDE client has left");
        assert_eq!(send_one(&mut tx, &[1; 60]).gone, 1);
        // What it left behind goes with its port.
        assert!(folder.path().join(".1").exists());
        drop((rx, tx));
        assert!(!folder.path().join(".1").exists());
    }

    #[test]
    fn client_that_says_more_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let mut vde = listen(folder.path());
        let (mut plug, port) = joined(&mut vde, folder.path(), ".1");
        let (mut rx, _tx) = port.split().unwrap();
        plug.control.write_all(b"more").unwrap();
        assert!(rx[0].recv(&mut Arena::new()).err().unwrap().to_string().contains("second"));
    }

    #[test]
    fn client_that_does_not_read_has_no_room_and_the_others_do_not_wait() {
        let folder = tempfile::tempdir().unwrap();
        let mut vde = listen(folder.path());
        let (_plug, port) = joined(&mut vde, folder.path(), ".1");
        let (_rx, mut tx) = port.split().unwrap();
        let mut sent = (0..100_000).map(|_| send_one(&mut tx, &[1; 60]));
        assert_eq!(sent.find(|sent| sent.frames == 0).unwrap().full, 1);
    }

    #[test]
    fn nobody_else_can_send_to_a_clients_port() {
        let folder = tempfile::tempdir().unwrap();
        let mut vde = listen(folder.path());
        let (_plug, _port) = joined(&mut vde, folder.path(), ".1");
        let stranger = UnixDatagram::unbound().unwrap();
        let error = stranger.send_to(&[1; 60], folder.path().join("0000.data")).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    }

    #[test]
    fn requests_of_whatever_octets_are_refused_with_the_reason() {
        let folder = tempfile::tempdir().unwrap();
        let mut vde = listen(folder.path());
        let _there = UnixDatagram::bind(folder.path().join("there")).unwrap();
        let _foreign = UnixDatagram::bind(folder.path().join("stream")).unwrap();
        fs::write(folder.path().join("file"), "").unwrap();
        let sound = |name: &str| request(&folder.path().join(name), "");
        let changed = |at: usize, octet: u8| {
            let mut octets = sound("there");
            octets[at] = octet;
            octets
        };
        let mut endless = sound("there");
        endless[HEAD_LEN + FAMILY_LEN..].fill(b'/');
        for (octets, why) in [
            (vec![0], "too little"),
            (sound("there")[..REQUEST_LEN - 1].to_vec(), "too little"),
            (changed(0, 0), "does not speak the protocol"),
            (changed(4, 2), "version 2"),
            (changed(8, 2), "type 2"),
            (changed(HEAD_LEN, 2), "no path from the root"),
            (changed(HEAD_LEN + FAMILY_LEN, b'a'), "no path from the root"),
            (changed(HEAD_LEN + FAMILY_LEN, 0), "no path from the root"),
            (endless, "has no end"),
            (sound("absent"), "is not there"),
            (sound("file"), "is no socket"),
            // A stream socket cannot be connected to by a datagram socket.
            (sound("ctl"), "was not connected to"),
        ] {
            let mut control = UnixStream::connect(folder.path().join("ctl")).unwrap();
            control.write_all(&octets).unwrap();
            let text = vde.accept().err().unwrap().to_string();
            assert!(text.starts_with("a VDE client was turned away: "), "{text}");
            assert!(text.contains(why), "{text}");
            assert_eq!(control.read(&mut [0]).unwrap_or(0), 0, "it is hung up on");
        }
        // The wish for a number, and for a port that manages, is a request like any other.
        let mut octets = sound("there");
        octets[8..12].copy_from_slice(&(1u32 | 5 << 8).to_ne_bytes());
        let mut control = UnixStream::connect(folder.path().join("ctl")).unwrap();
        control.write_all(&octets).unwrap();
        assert!(vde.accept().unwrap().is_some());
    }

    #[test]
    fn silent_clients_hold_up_nobody_and_are_turned_away_in_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let mut vde = listen(folder.path());
        let silent: Vec<_> = (0..SILENT_MAX)
            .map(|_| {
                let control = UnixStream::connect(folder.path().join("ctl")).unwrap();
                assert!(vde.accept().unwrap().is_none());
                control
            })
            .collect();
        let plug = ask(folder.path(), ".1");
        let text = vde.accept().err().unwrap().to_string();
        assert!(text.contains("have not said anything"), "{text}");
        let _port = vde.accept().unwrap().unwrap();
        plug.connect();
        assert_eq!((&silent[0]).read(&mut [0]).unwrap(), 0, "the oldest had to go");
        drop(silent);
        assert!(vde.accept().unwrap().is_none());
        assert!(vde.silent.is_empty());
    }

    #[test]
    fn folder_is_made_for_ourselves_and_goes_with_the_last_port() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("vde");
        let mut vde = listen(&folder);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode(&folder), mode(&folder.join("ctl"))), (0o700, 0o600));
        let (plug, port) = joined(&mut vde, &folder, ".1");
        drop(vde);
        assert!(!folder.join("ctl").exists());
        assert!(folder.join("0000.data").exists());
        drop(plug);
        drop(port);
        assert!(!folder.exists());
        // One that was there stays as it was.
        fs::DirBuilder::new().mode(0o750).create(&folder).unwrap();
        drop(Vde::listen(&VdeConfig { mode: 0o777, ..VdeConfig::new(&folder) }).unwrap());
        assert_eq!(mode(&folder), 0o750);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
    }

    #[test]
    fn folder_that_is_served_is_refused_and_a_stale_one_taken_over() {
        let folder = tempfile::tempdir().unwrap();
        let mut vde = listen(folder.path());
        let refusal = |config: &VdeConfig| Vde::listen(config).err().unwrap().to_string();
        let config = VdeConfig::new(folder.path());
        assert!(refusal(&config).contains("another program serves it"));
        let _joined = joined(&mut vde, folder.path(), ".1");
        drop(vde);
        // As a program that was killed leaves them.
        drop(UnixListener::bind(folder.path().join("ctl")).unwrap());
        drop(UnixDatagram::bind(folder.path().join("0001.data")).unwrap());
        let mut vde = listen(folder.path());
        // The first number is still in use, by a port that outlived its switch.
        joined(&mut vde, folder.path(), ".2");
        drop(vde);
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(refusal(&VdeConfig::new(&file)).contains("no folder"));
        let long = folder.path().join("a".repeat(90));
        assert!(refusal(&VdeConfig::new(&long)).contains("choose a shorter one"));
        assert!(!long.exists());
        assert!(refusal(&VdeConfig { mtu: 0, ..config }).contains("MTU"));
    }

    #[test]
    fn client_that_leaves_a_switch_is_one_event() {
        let folder = tempfile::tempdir().unwrap();
        let mut vde = listen(folder.path());
        let (plug, port) = joined(&mut vde, folder.path(), ".1");
        let (other_plug, other_port) = joined(&mut vde, folder.path(), ".2");
        let mut handle = switch::start(&SwitchConfig::default()).unwrap();
        handle.add(PortConfig::named("a"), port).unwrap();
        handle.add(PortConfig::named("b"), other_port).unwrap();
        let frame = b"\xff\xff\xff\xff\xff\xff\x02\x00\x00\x00\x00\x01\x88\xb5hello";
        plug.data.send(frame).unwrap();
        assert_eq!(other_plug.take(), frame);
        drop(plug);
        let begin = Instant::now();
        let mut events = Vec::new();
        while events.is_empty() && begin.elapsed() < PATIENCE {
            events = handle.tend();
        }
        assert!(matches!(&events[..], [Event::Detached { name, .. }] if name == "a"), "{events:?}");
        assert!(!folder.path().join(".1").exists());
    }
}

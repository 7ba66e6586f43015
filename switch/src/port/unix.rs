//! Sockets that have a place in the file system: how they come there, and how they leave.
//!
//! A name that exists says nothing: who served it may have been killed and have left it behind.
//! So it is asked: a server that is alive takes the connection (or has no room for it), a socket
//! that nobody holds refuses it. Only such a one is removed, and bound again.
//!
//! An address has room for 107 octets (`struct sockaddr_un`, linux/un.h). A longer path is
//! reached through its folder, which is held open: /proc/self/fd/N/NAME.

use std::{
    error,
    ffi::OsStr,
    fmt,
    fs::File,
    io,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::{ffi::OsStrExt, fs::OpenOptionsExt, net::UnixListener},
    },
    path::{Path, PathBuf},
};

use nix::{
    errno::Errno,
    fcntl::AtFlags,
    sys::{
        socket::{
            AddressFamily, Backlog, SetSockOpt, SockFlag, SockType, UnixAddr, bind, connect,
            listen, setsockopt, socket, sockopt,
        },
        stat::{FileStat, Mode, SFlag, fchmod, fstatat, stat},
    },
    unistd::{UnlinkatFlags, unlinkat},
};

/// The largest MTU of a port on a socket: an IP packet has no more octets (RFC 791, 3.1).
pub const MTU_MAX: u32 = 65_535;

/// Octets that a socket is asked to hold in each direction: many frames of 64 KB. The kernel takes
/// twice as much (socket(7)), which is what a client that does not read can make it hold.
const SOCKET_OCTETS: usize = 1 << 20;

/// Octets of a path that an address has room for, less the 0 at its end.
const PATH_MAX: usize = 107;

/// Clients that may wait to be accepted.
const BACKLOG: i32 = 128;

/// Binds a stream socket at this path, in the place of one that nobody holds any more, and
/// listens. `mode`: who may connect, from the first moment on, less the umask; `None`: whom the
/// umask allows to. The listener never waits. The socket is removed when [`Bound`] is dropped.
///
/// # Errors
///
/// A sentence: another program serves the path ([`SocketError::is_served`]), it is no socket, or
/// the system said no.
pub fn listen_at(path: &Path, mode: Option<u32>) -> Result<(UnixListener, Bound), SocketError> {
    let fail = |fault| SocketError::new(path.display(), fault);
    let system = |what, errno: Errno| fail(Fault::System(what, errno.into()));
    let place = Place::new(path)?;
    let socket = open(SockType::Stream).map_err(|e| system("open a socket", e))?;
    if let Some(mode) = mode {
        // The file gets the mode of the socket (net/unix/af_unix.c, `unix_bind_bsd`).
        fchmod(&socket, Mode::from_bits_truncate(mode)).map_err(|e| system("close it", e))?;
    }
    let bound = place.bind_socket(&socket, SockType::Stream)?;
    let backlog = Backlog::new(BACKLOG).expect("a backlog that Linux has");
    listen(&socket, backlog).map_err(|e| system("listen there", e))?;
    Ok((socket.into(), bound))
}

/// Where a socket is, or is to be.
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    address: UnixAddr,
    /// Held open if the address leads through it.
    _folder: Option<OwnedFd>,
}

impl Place {
    pub(super) fn new(path: &Path) -> Result<Place, SocketError> {
        let fail = |fault| SocketError::new(path.display(), fault);
        let name = path.file_name().ok_or_else(|| fail(Fault::NoName))?;
        if path.as_os_str().len() <= PATH_MAX {
            let address =
                UnixAddr::new(path).map_err(|e| fail(Fault::System("use it", e.into())))?;
            return Ok(Place { path: path.into(), address, _folder: None });
        }
        let folder = folder(path).map_err(fail)?;
        let link = format!("/proc/self/fd/{}/", folder.as_raw_fd());
        let short = [link.as_bytes(), name.as_bytes()].concat();
        let address = UnixAddr::new(short.as_slice()).map_err(|_| fail(Fault::LongName))?;
        Ok(Place { path: path.into(), address, _folder: Some(folder) })
    }

    /// As it was given.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What a system call takes.
    pub(super) fn address(&self) -> &UnixAddr {
        &self.address
    }

    /// Whether a socket with this name may be the one here. One that was bound by a relative path,
    /// or through a descriptor as a long one, is known by its last part: that keeps crossed cables
    /// apart. Whoever may write to a socket could forge a name: its folder's permissions keep him
    /// out.
    pub(super) fn is_of(&self, name: Option<&Path>) -> bool {
        let Some(name) = name else { return false };
        // Octets first: to take paths apart costs more than the frame.
        name.as_os_str() == self.path.as_os_str()
            || name == self.path
            || (name.is_relative() || name.starts_with("/proc/self/fd"))
                && name.file_name() == self.path.file_name()
    }

    /// Connects to the server here, without waiting.
    pub(super) fn connect(&self, kind: SockType) -> Result<OwnedFd, SocketError> {
        let fail = |fault| SocketError::new(self.path.display(), fault);
        let socket = open(kind).map_err(|e| fail(Fault::System("open a socket", e.into())))?;
        match connect(socket.as_raw_fd(), &self.address) {
            Ok(()) => Ok(socket),
            Err(Errno::ENOENT) => Err(fail(Fault::Nobody)),
            // The kernel says the same of a file that is no socket (unix_find_bsd()).
            Err(Errno::ECONNREFUSED) if stat(&self.path).is_ok_and(|file| !is_socket(&file)) => {
                Err(fail(Fault::NotSocket))
            }
            Err(Errno::ECONNREFUSED) => Err(fail(Fault::Stale)),
            Err(Errno::EPROTOTYPE) => Err(fail(Fault::OtherKind)),
            Err(Errno::EAGAIN) => Err(fail(Fault::Busy)),
            // A datagram socket that is connected to another (net/unix/af_unix.c,
            // `unix_may_send`).
            Err(Errno::EPERM) => Err(fail(Fault::Live)),
            Err(errno) => Err(fail(Fault::System("connect to it", errno.into()))),
        }
    }

    /// Binds a socket here, in the place of one that nobody holds any more.
    pub(super) fn bind(self, kind: SockType) -> Result<(OwnedFd, Bound), SocketError> {
        let fail = |fault| SocketError::new(self.path.display(), fault);
        let socket = open(kind).map_err(|e| fail(Fault::System("open a socket", e.into())))?;
        let bound = self.bind_socket(&socket, kind)?;
        Ok((socket, bound))
    }

    fn bind_socket(self, socket: &OwnedFd, kind: SockType) -> Result<Bound, SocketError> {
        let fail = |fault| SocketError::new(self.path.display(), fault);
        let folder = folder(&self.path).map_err(fail)?;
        let mut bound = bind(socket.as_raw_fd(), &self.address);
        if bound == Err(Errno::EADDRINUSE) {
            self.clear(&folder, kind).map_err(fail)?;
            bound = bind(socket.as_raw_fd(), &self.address);
        }
        bound.map_err(|e| fail(Fault::System("bind a socket there", e.into())))?;
        let file = file(&folder, self.name())
            .map_err(|e| fail(Fault::System("find it when it was bound", e.into())))?;
        Ok(Bound { place: self, folder, file: identity(&file) })
    }

    /// Removes what is here if it is a socket that nobody holds.
    fn clear(&self, folder: &OwnedFd, kind: SockType) -> Result<(), Fault> {
        match file(folder, self.name()) {
            Ok(file) if !is_socket(&file) => return Err(Fault::NotSocket),
            Ok(_) => {}
            Err(Errno::ENOENT) => return Ok(()),
            Err(errno) => return Err(Fault::System("look at it", errno.into())),
        }
        match self.connect(kind).map_err(|error| error.fault) {
            Ok(_) | Err(Fault::Busy | Fault::OtherKind | Fault::Live) => return Err(Fault::Live),
            Err(Fault::Stale) => {}
            Err(Fault::Nobody) => return Ok(()),
            Err(fault) => return Err(fault),
        }
        match unlinkat(folder, self.name(), UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(errno) => Err(Fault::System("remove the socket that was left there", errno.into())),
        }
    }

    fn name(&self) -> &OsStr {
        self.path.file_name().expect("a place has a name")
    }
}

/// A socket of ours in the file system. Dropped, it is removed, unless the name is by now
/// somebody else's.
#[derive(Debug)]
pub struct Bound {
    place: Place,
    folder: OwnedFd,
    file: (u64, u64),
}

impl Drop for Bound {
    fn drop(&mut self) {
        let name = self.place.name();
        if file(&self.folder, name).is_ok_and(|file| identity(&file) == self.file) {
            // It stays behind then, and the next one finds that nobody holds it.
            let _ = unlinkat(&self.folder, name, UnlinkatFlags::NoRemoveDir);
        }
    }
}

fn open(kind: SockType) -> nix::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    socket(AddressFamily::Unix, kind, flags, None)
}

/// Lets a socket hold many frames: as many as we may (CAP_NET_ADMIN), else as the system allows
/// (net.core.wmem_max and rmem_max).
pub(super) fn widen(socket: &OwnedFd) {
    fn set<F, S>(socket: &OwnedFd, force: F, set: S)
    where
        F: SetSockOpt<Val = usize>,
        S: SetSockOpt<Val = usize>,
    {
        if setsockopt(socket, force, &SOCKET_OCTETS).is_err() {
            // It then has the room that every socket has, and is full sooner.
            let _ = setsockopt(socket, set, &SOCKET_OCTETS);
        }
    }
    set(socket, sockopt::SndBufForce, sockopt::SndBuf);
    set(socket, sockopt::RcvBufForce, sockopt::RcvBuf);
}

/// Refuses an MTU that a port on a socket cannot have.
pub(super) fn check_mtu(name: impl fmt::Display, mtu: u32) -> Result<(), SocketError> {
    if (1..=MTU_MAX).contains(&mtu) { Ok(()) } else { Err(SocketError::new(name, Fault::Mtu(mtu))) }
}

/// Opens the folder in which a path lies, to name what is in there and for nothing else.
fn folder(path: &Path) -> Result<OwnedFd, Fault> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let mut options = File::options();
    let opened = options.read(true).custom_flags(libc::O_PATH | libc::O_DIRECTORY).open(folder);
    opened.map(OwnedFd::from).map_err(|error| Fault::Folder(folder.into(), error))
}

fn file(folder: &OwnedFd, name: &OsStr) -> nix::Result<FileStat> {
    fstatat(folder, name, AtFlags::AT_SYMLINK_NOFOLLOW)
}

fn is_socket(file: &FileStat) -> bool {
    SFlag::from_bits_truncate(file.st_mode) & SFlag::S_IFMT == SFlag::S_IFSOCK
}

/// Device and inode.
fn identity(file: &FileStat) -> (u64, u64) {
    (file.st_dev, file.st_ino)
}

/// Why a port on a socket could not be opened. Displayed, it is a sentence with the socket's name.
#[derive(Debug)]
pub struct SocketError {
    name: String,
    pub(super) fault: Fault,
}

#[derive(Debug)]
pub(super) enum Fault {
    NoName,
    LongName,
    Folder(PathBuf, io::Error),
    Nobody,
    Stale,
    Busy,
    OtherKind,
    NotSocket,
    Live,
    Mtu(u32),
    Families,
    Itself,
    Taken,
    NotOurs,
    System(&'static str, io::Error),
}

impl SocketError {
    pub(super) fn new(name: impl fmt::Display, fault: Fault) -> SocketError {
        SocketError { name: name.to_string(), fault }
    }

    /// The system said no when this was done.
    pub(super) fn system(path: &Path, what: &'static str, error: io::Error) -> SocketError {
        SocketError::new(path.display(), Fault::System(what, error))
    }

    /// Whether it may succeed later without anybody changing the request: the server is not
    /// there yet, or has no room at the moment.
    pub fn is_passing(&self) -> bool {
        matches!(self.fault, Fault::Nobody | Fault::Stale | Fault::Busy)
    }

    /// Whether another program serves the path.
    pub fn is_served(&self) -> bool {
        matches!(self.fault, Fault::Live)
    }
}

impl fmt::Display for SocketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.name)?;
        match &self.fault {
            Fault::NoName => f.write_str("it is no path of a socket: a name is missing at its end"),
            Fault::LongName => write!(
                f,
                "the name at its end is too long: an address has room for {PATH_MAX} octets, of \
                 which `/proc/self/fd/N/` takes up to 24; choose a shorter one",
            ),
            Fault::Folder(folder, error) => {
                let (folder, error) = (folder.display(), netlab::explain(error));
                write!(f, "its folder {folder} could not be opened: {error}")
            }
            Fault::Nobody => f.write_str("nobody listens there yet: start the server first"),
            Fault::Stale => f.write_str("its server has ended and left it behind: start it again"),
            Fault::Busy => f.write_str("its server has no room for one more client at the moment"),
            Fault::OtherKind => f.write_str(
                "it is a socket of another kind: `stream:` goes with QEMU's `-netdev stream`, \
                 `dgram:` with `-netdev dgram`",
            ),
            Fault::NotSocket => f.write_str(
                "it is there already, and is no socket: remove it, or choose another path",
            ),
            Fault::Live => {
                f.write_str("another program serves it: end that program, or choose another path")
            }
            Fault::Mtu(mtu) => write!(f, "an MTU is 1 to {MTU_MAX}, and not {mtu}"),
            Fault::Families => f.write_str("one address is IPv4 and the other IPv6"),
            Fault::Itself => f.write_str("both ends are the same, and would hear only themselves"),
            Fault::Taken => f.write_str("another program has the local address and port"),
            Fault::NotOurs => f.write_str(
                "the local address is not one of this machine's (or of the namespace's): \
                 `ip address` shows them",
            ),
            Fault::System(what, error) => write!(f, "could not {what}: {}", netlab::explain(error)),
        }
    }
}

impl error::Error for SocketError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn socket_that_speaks_with_another_is_alive() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let theirs = std::os::unix::net::UnixDatagram::bind(path("theirs")).unwrap();
        let _other = std::os::unix::net::UnixDatagram::bind(path("other")).unwrap();
        theirs.connect(path("other")).unwrap();
        let taken = Place::new(&path("theirs")).unwrap().bind(SockType::Datagram).unwrap_err();
        assert!(matches!(taken.fault, Fault::Live), "{taken}");
        drop(theirs);
        Place::new(&path("theirs")).unwrap().bind(SockType::Datagram).unwrap();
    }

    #[test]
    fn listener_is_closed_to_others_from_the_first_moment_and_leaves_nothing() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control");
        let (listener, bound) = listen_at(&path, Some(0o600)).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let taken = listen_at(&path, Some(0o600)).unwrap_err();
        assert!(taken.is_served(), "{taken}");
        assert_eq!(listener.accept().map(drop).map_err(|e| e.kind()), Ok(()), "who asked has come");
        drop((listener, bound));
        assert!(!path.exists());
    }

    #[test]
    fn other_end_is_known_by_its_path_or_by_the_last_part_of_one_that_says_no_more() {
        let place = Place::new(Path::new("/run/vm/net")).unwrap();
        let is_of = |name: &str| place.is_of(Some(Path::new(name)));
        assert!(is_of("/run/vm/net") && is_of("/run//vm/net"));
        assert!(is_of("net") && is_of("vm/net") && is_of("/proc/self/fd/7/net"));
        assert!(!is_of("/run/other/net") && !is_of("/run/vm/other") && !is_of("other"));
        assert!(!is_of("/proc/self/fd/7/other") && !place.is_of(None));
    }
}

//! The clients at both ends: what QEMU's `-netdev stream` does to a socket, and what its
//! `-netdev vde` does by libvdeplug. Both send one frame a call, as QEMU does; a stream is read in
//! large pieces, as QEMU reads it.

use std::{
    io::{self, ErrorKind, Read, Write},
    os::unix::{
        ffi::OsStrExt,
        net::{UnixDatagram, UnixStream},
    },
    path::{Path, PathBuf},
    time::Duration,
};

/// Octets of the length in front of each frame of a stream.
const LENGTH_LEN: usize = 4;
/// How long a call waits at the most: a trial looks at its clock between two.
const WAIT: Duration = Duration::from_millis(20);

/// The request by which a client introduces itself to `vde_switch` (libvdeplug's `request_v3`):
/// magic, version, type, a `struct sockaddr_un`; a description may follow.
const VDE_MAGIC: u32 = 0xfeed_face;
const VDE_VERSION: u32 = 3;
const VDE_NEW_CONTROL: u32 = 0;
/// Octets of a `struct sockaddr_un`, and of the family in front of its path (linux/un.h).
const NAME_LEN: usize = 110;
const FAMILY_LEN: usize = 2;
const AF_UNIX: u16 = 1;

/// One client.
pub enum Client {
    /// By a stream socket.
    Stream {
        /// Ours.
        socket: UnixStream,
        /// What is sent, its length first.
        wire: Vec<u8>,
        /// Into which is read.
        room: Vec<u8>,
        /// Octets received of a frame that is not whole yet.
        part: usize,
    },
    /// By unix datagrams, each a frame.
    Vde {
        /// Ours, connected to the port's.
        data: UnixDatagram,
        /// The port is there as long as this is.
        _control: UnixStream,
        /// Into which is read.
        room: Vec<u8>,
    },
}

impl Client {
    /// Connects to a switch that listens at this path.
    pub fn stream(path: &Path) -> io::Result<Client> {
        let socket = UnixStream::connect(path)?;
        socket.set_read_timeout(Some(WAIT))?;
        socket.set_write_timeout(Some(WAIT))?;
        Ok(Client::Stream { socket, wire: Vec::new(), room: vec![0; 64 * 1024], part: 0 })
    }

    /// Takes a port of the `vde_switch` in this folder; `own` becomes the path of our socket.
    pub fn vde(folder: &Path, own: PathBuf) -> io::Result<Client> {
        let mut control = UnixStream::connect(folder.join("ctl"))?;
        let data = UnixDatagram::bind(&own)?;
        let mut request = Vec::new();
        for word in [VDE_MAGIC, VDE_VERSION, VDE_NEW_CONTROL] {
            request.extend(word.to_ne_bytes());
        }
        let name = request.len();
        request.extend(AF_UNIX.to_ne_bytes());
        request.extend(own.as_os_str().as_bytes());
        request.resize(name + NAME_LEN, 0);
        request.extend(b"bench");
        control.write_all(&request)?;
        let mut answer = [0; NAME_LEN];
        control.read_exact(&mut answer)?;
        let path = answer[FAMILY_LEN..].split(|octet| *octet == 0).next().unwrap_or_default();
        data.connect(Path::new(std::ffi::OsStr::from_bytes(path)))?;
        data.set_read_timeout(Some(WAIT))?;
        data.set_write_timeout(Some(WAIT))?;
        Ok(Client::Vde { data, _control: control, room: vec![0; 2048] })
    }

    /// Sends a frame, and says whether there was room for it in time.
    pub fn send(&mut self, frame: &[u8]) -> io::Result<bool> {
        match self {
            Client::Stream { socket, wire, .. } => {
                wire.clear();
                wire.extend((frame.len() as u32).to_be_bytes());
                wire.extend(frame);
                let mut rest = &wire[..];
                while !rest.is_empty() {
                    match socket.write(rest) {
                        Ok(len) => rest = &rest[len..],
                        Err(error) if !is_passing(&error) => return Err(error),
                        Err(_) if rest.len() == wire.len() => return Ok(false),
                        // A frame that was begun is completed.
                        Err(_) => {}
                    }
                }
                Ok(true)
            }
            Client::Vde { data, .. } => match data.send(frame) {
                Ok(_) => Ok(true),
                Err(error) if is_passing(&error) => Ok(false),
                Err(error) => Err(error),
            },
        }
    }

    /// Receives, and says how many frames of this length came: none in [`WAIT`] is none.
    pub fn recv(&mut self, len: usize) -> io::Result<u64> {
        match self {
            Client::Stream { socket, room, part, .. } => match socket.read(room) {
                Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
                Ok(octets) => {
                    let whole = LENGTH_LEN + len;
                    let octets = *part + octets;
                    *part = octets % whole;
                    Ok((octets / whole) as u64)
                }
                Err(error) if is_passing(&error) => Ok(0),
                Err(error) => Err(error),
            },
            Client::Vde { data, room, .. } => match data.recv(room) {
                Ok(_) => Ok(1),
                Err(error) if is_passing(&error) => Ok(0),
                Err(error) => Err(error),
            },
        }
    }

    /// Takes all that is still on its way.
    pub fn drain(&mut self, len: usize) -> io::Result<()> {
        while self.recv(len)? > 0 {}
        Ok(())
    }
}

fn is_passing(error: &io::Error) -> bool {
    // ENOBUFS: a datagram's receiver is full.
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
        || error.raw_os_error() == Some(nix::libc::ENOBUFS)
}

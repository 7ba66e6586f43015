//! vhost-user: a virtual machine's network card whose rings are in memory that we share with the
//! guest, and that we read and write ourselves. No kernel is in between, and a frame is copied
//! once on its way in and once on its way out.
//!
//! ```text
//!  guest's sending ring  -- take --> arena of a worker          Rx, one worker's
//!  guest's receiving ring <-- put -- frames of any worker       Tx, of each worker one
//!  its machine (QEMU)     <------->  session.rs, a thread       messages, no frames
//! ```
//!
//! The port listens, and is there whether or not a guest is; machines come and go, one at a time
//! (a second one waits until the first has gone). `session.rs` and `machine.rs` say when there is
//! a ring, `ring.rs` how frames come out and in, `memory.rs` what keeps a hostile guest out of us.
//!
//! What it costs, here and only here:
//!
//! * A lock round each ring. The ring that a guest sends by has one worker, which meets there only
//!   the session's thread, when something changes; so the lock is free, and costs two atomic
//!   instructions a batch. Into the ring that it receives by all workers put their frames, and it
//!   has one producer's end: the lock is held while one call copies its frames. So workers may wait
//!   for each other, for a copy and one kick. (The alternatives, a mailbox to one worker or a ring
//!   for each, cost a copy or need guests with many queues.)
//! * Offloads are what the guest's driver took, and that may change with each driver, whereas a
//!   switch asks a port once. So the port takes frames as they are, and finishes those that this
//!   guest cannot take itself, with what finishes them elsewhere (offload.rs). They count as
//!   sent, and not as cut.
//!
//! A guest that makes no buffers available loses its own frames (`tx_full`), one that is not there
//! as well (`tx_down`). Nothing here waits for a guest.
//!
//! A worker sleeps on one descriptor as long as the port lives: an epoll in which the kick of the
//! guest that is there is, and an event of ours, which has happened when somebody else knows that
//! there is something to do. Kicks are asked for before it sleeps, and not while frames come.

#[cfg(test)]
mod driver;
mod features;
#[cfg(any(test, fuzzing))]
mod fuzz;
mod guest;
mod machine;
mod memory;
mod ring;
mod session;
mod signals;
#[cfg(test)]
mod tests;

use std::{
    io,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixListener,
    },
    path::PathBuf,
    sync::Arc,
};

#[cfg(fuzzing)]
pub use self::fuzz::survive;
use self::{guest::Guest, ring::Put, session::Server};
use crate::{
    frame::{Arena, Lent, Selection, WIRE_MAX},
    parcel::Parcel,
    port::{
        Port, Rx, Sent, Tx,
        unix::{Bound, SocketError, check_mtu, listen_at},
    },
};

/// Rings: what the guest receives by, what it sends by (virtio 1.2, 5.1.2).
const RECEIVING: usize = 0;
const SENDING: usize = 1;
const RINGS: usize = 2;

/// What a port for a virtual machine is to be like.
#[derive(Clone, Debug)]
pub struct VhostConfig {
    /// Where in the file system its socket is.
    pub path: PathBuf,
    /// The MTU of the port.
    pub mtu: u32,
}

/// A port for virtual machines, one at a time.
pub struct Vhost {
    listener: UnixListener,
    mtu: u32,
    /// `None`: whoever has given it to us removes it.
    bound: Option<Bound>,
    guest: Arc<Guest>,
}

impl Vhost {
    /// Binds the path and listens. A socket that a program left there when it ended is replaced;
    /// ours is removed with the port.
    ///
    /// # Errors
    ///
    /// A sentence: another program serves the path, it is no socket, or the system said no.
    pub fn open(config: &VhostConfig) -> Result<Vhost, SocketError> {
        check_mtu(config.path.display(), config.mtu)?;
        let (listener, bound) = listen_at(&config.path, None)?;
        let guest = Guest::new();
        let guest =
            guest.map_err(|error| SocketError::system(&config.path, "wait for it", error))?;
        Ok(Vhost { listener, mtu: config.mtu, bound: Some(bound), guest: Arc::new(guest) })
    }

    /// Puts its socket into a parcel. What removes its path stays here.
    pub(crate) fn pack(self, parcel: &mut Parcel) -> Option<Bound> {
        parcel.put_number(u64::from(self.mtu));
        parcel.put_fd(self.listener);
        self.bound
    }

    /// Takes it out again.
    pub(crate) fn unpack(parcel: &mut Parcel) -> io::Result<Vhost> {
        let mtu = parcel.take_number()? as u32;
        let listener = parcel.take_fd()?.into();
        Ok(Vhost { listener, mtu, bound: None, guest: Arc::new(Guest::new()?) })
    }

    /// What tells of guests that come and go.
    pub fn status(&self) -> VhostStatus {
        VhostStatus(self.guest.clone())
    }
}

impl Port for Vhost {
    type Rx = VhostRx;
    type Tx = VhostTx;

    fn split(self) -> io::Result<(Vec<VhostRx>, VhostTx)> {
        let server = Server::start(self.listener, self.guest.clone())?;
        let rx = VhostRx { guest: self.guest.clone() };
        let held = Some((server, self.bound));
        Ok((vec![rx], VhostTx { guest: self.guest, mtu: self.mtu, room: room(), _held: held }))
    }
}

/// Tells of guests that come and go.
pub struct VhostStatus(Arc<Guest>);

impl VhostStatus {
    /// The next thing that there is to tell.
    pub fn take_news(&self) -> Option<String> {
        self.0.state().news.pop_front()
    }
}

/// The receiving half: what the guest sends.
pub struct VhostRx {
    guest: Arc<Guest>,
}

impl Rx for VhostRx {
    #[inline]
    fn recv<'a>(&'a mut self, arena: &'a mut Arena) -> io::Result<Lent<'a>> {
        let mut sending = self.guest.sending();
        let (lent, broken) = sending.take(&self.guest.wake, arena);
        if let Some(broken) = broken {
            sending.ring = None;
            self.guest.report(broken);
        }
        lent
    }

    fn asks_freely(&self) -> bool {
        true
    }

    fn wait_on(&self) -> Option<BorrowedFd<'_>> {
        Some(self.guest.epoll.0.as_fd())
    }
}

/// The sending half: what the guest receives. The one that [`Port::split`] returned waits when it
/// is dropped until the session has ended, and removes the socket.
pub struct VhostTx {
    guest: Arc<Guest>,
    mtu: u32,
    /// Where a frame is finished that this guest does not take as it is.
    room: Box<[u8]>,
    _held: Option<(Server, Option<Bound>)>,
}

fn room() -> Box<[u8]> {
    vec![0; WIRE_MAX].into_boxed_slice()
}

impl Tx for VhostTx {
    fn mtu(&self) -> u32 {
        self.mtu
    }

    fn clone_for(&self, _worker: usize) -> io::Result<VhostTx> {
        Ok(VhostTx { guest: self.guest.clone(), mtu: self.mtu, room: room(), _held: None })
    }

    #[inline]
    fn send(&mut self, frames: Selection<'_>) -> Sent {
        let mut sent = Sent::default();
        let mut receiving = self.guest.receiving();
        for frame in frames.frames() {
            match receiving.put(frame, &mut self.room) {
                None => sent.down += 1,
                Some(Ok(Put::Taken)) => sent.took(frame),
                Some(Ok(Put::Full)) => sent.full += 1,
                Some(Ok(Put::TooLong)) => sent.refused += 1,
                Some(Err(broken)) => {
                    receiving.ring = None;
                    self.guest.report(broken);
                    sent.down += 1;
                }
            }
        }
        if let Some(ring) = &mut receiving.ring {
            ring.publish();
        }
        sent
    }
}

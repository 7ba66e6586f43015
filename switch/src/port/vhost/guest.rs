//! What the halves of a port and the thread of its session share: the guest, as far as it is there.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, ErrorKind, Read},
    net::Shutdown,
    os::unix::net::UnixStream,
    sync::{Mutex, MutexGuard, PoisonError},
};

use nix::sys::{
    epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags},
    eventfd::{EfdFlags, EventFd},
};

use super::{
    RECEIVING,
    features::Features,
    ring::{Broken, Put, Ring},
};
use crate::{
    egress::complete,
    frame::{Arena, Frame, Lent, WIRE_MAX},
    offload::{Offload, VNET_HEADER_LEN, segment::Segments},
};

/// News that are kept until they are asked for; of more the oldest are forgotten.
const NEWS_MAX: usize = 16;

/// So many times in a row it is found that nothing came before it is looked whether a guest kicked
/// nevertheless: to look costs a system call.
pub(super) const IDLE_LOOK: u32 = 32;

/// What the halves of a port and the thread of its session share.
pub(super) struct Guest {
    receiving: Mutex<ToGuest>,
    sending: Mutex<FromGuest>,
    state: Mutex<State>,
    /// What the receiving half's worker waits on.
    pub(super) epoll: Epoll,
    /// In it: there may be something, whether or not the guest kicks.
    pub(super) wake: EventFd,
    /// Wakes the session's thread.
    pub(super) alarm: EventFd,
}

/// The ring that the guest receives by.
#[derive(Default)]
pub(super) struct ToGuest {
    pub(super) ring: Option<Ring>,
    features: Features,
}

/// The ring that the guest sends by.
#[derive(Default)]
pub(super) struct FromGuest {
    pub(super) ring: Option<Ring>,
    /// What the guest kicks; it is in the epoll.
    kick: Option<File>,
    /// A kick was asked for.
    is_asked: bool,
    /// `wake` has happened.
    is_woken: bool,
    /// How often nothing has come since.
    idle: u32,
}

/// What is between the session's thread and all others, off the way of a frame.
#[derive(Default)]
pub(super) struct State {
    /// The port goes.
    is_ending: bool,
    /// How the guest broke one of its rings.
    broken: Option<Broken>,
    /// The connection.
    socket: Option<UnixStream>,
    pub(super) news: VecDeque<String>,
}

impl Guest {
    pub(super) fn new() -> io::Result<Guest> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let [wake, alarm] = [EventFd::from_flags(flags)?, EventFd::from_flags(flags)?];
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(&wake, EpollEvent::new(EpollFlags::EPOLLIN, 0))?;
        let (receiving, sending, state) = Default::default();
        Ok(Guest { receiving, sending, state, epoll, wake, alarm })
    }

    /// A lock that a panicking thread left guards nothing that was half done: what it holds is
    /// noted at once, and rings judge what they read each time.
    #[inline]
    pub(super) fn receiving(&self) -> MutexGuard<'_, ToGuest> {
        self.receiving.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same.
    #[inline]
    pub(super) fn sending(&self) -> MutexGuard<'_, FromGuest> {
        self.sending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the workers a ring.
    pub(super) fn give_ring(
        &self,
        index: usize,
        ring: Ring,
        kick: Option<File>,
        features: Features,
    ) -> io::Result<()> {
        if index == RECEIVING {
            *self.receiving() = ToGuest { ring: Some(ring), features };
            return Ok(());
        }
        let mut sending = self.sending();
        if let Some(kick) = &kick {
            self.epoll.add(kick, EpollEvent::new(EpollFlags::EPOLLIN, 0))?;
        }
        (sending.ring, sending.kick, sending.is_asked) = (Some(ring), kick, false);
        // There may be frames already, and the kick for them heard by nobody.
        sending.wake(&self.wake);
        Ok(())
    }

    /// Takes a ring from the workers, and says which chain would have been the next. `None`: they
    /// have none.
    pub(super) fn take_ring(&self, index: usize) -> Option<u16> {
        let ring = if index == RECEIVING {
            self.receiving().ring.take()
        } else {
            let mut sending = self.sending();
            if let Some(kick) = sending.kick.take() {
                // The other side has it open as well: closing is not enough.
                let _ = self.epoll.delete(&kick);
            }
            sending.ring.take()
        };
        Some(ring?.next())
    }

    /// By this the guest is called from now on, if the workers have that ring.
    pub(super) fn set_call(&self, index: usize, call: Option<File>) {
        if index == RECEIVING {
            if let Some(ring) = &mut self.receiving().ring {
                ring.set_call(call);
            }
        } else if let Some(ring) = &mut self.sending().ring {
            ring.set_call(call);
        }
    }

    /// Whether the workers have all rings.
    pub(super) fn is_up(&self) -> bool {
        self.receiving().ring.is_some() && self.sending().ring.is_some()
    }

    /// The guest broke a ring, which its worker has given up: the session is to end.
    #[cold]
    pub(super) fn report(&self, broken: Broken) {
        self.state().broken.get_or_insert(broken);
        self.ring_alarm();
    }

    /// How the guest broke a ring, if it did.
    pub(super) fn broken(&self) -> Option<&'static str> {
        self.state().broken.take().map(|Broken(how)| how)
    }

    /// The connection that is to be closed when the port goes. A new one begins unbroken.
    pub(super) fn hold(&self, socket: Option<UnixStream>) {
        let mut state = self.state();
        (state.socket, state.broken) = (socket, None);
    }

    /// The port goes.
    pub(super) fn end(&self) {
        let mut state = self.state();
        state.is_ending = true;
        if let Some(socket) = state.socket.take() {
            // Its thread may be in the middle of a message. Closed already is as good.
            let _ = socket.shutdown(Shutdown::Both);
        }
        drop(state);
        self.ring_alarm();
    }

    pub(super) fn is_ending(&self) -> bool {
        self.state().is_ending
    }

    fn ring_alarm(&self) {
        // Fails only when it has been written 2^64 - 2 times: it is readable then.
        let _ = self.alarm.write(1);
    }

    pub(super) fn tell(&self, news: String) {
        let mut state = self.state();
        if state.news.len() == NEWS_MAX {
            state.news.pop_front();
        }
        state.news.push_back(news);
    }
}

impl FromGuest {
    /// Has the worker look again, kick or not.
    #[cold]
    fn wake(&mut self, wake: &EventFd) {
        self.is_woken = true;
        // Fails only when it has been written 2^64 - 2 times: it is readable then.
        let _ = wake.write(1);
    }

    /// Forgets that anybody has called.
    #[cold]
    fn hear(&mut self, wake: &EventFd) {
        if let Some(kick) = &mut self.kick {
            // Nothing to read (EAGAIN): nobody has kicked.
            let _ = kick.read(&mut [0; 8]);
        }
        if std::mem::take(&mut self.is_woken) {
            let _ = wake.read();
        }
    }

    /// Whether there is a frame. If not, there will be a call when one is.
    #[inline]
    fn is_ready(&mut self, wake: &EventFd) -> Result<bool, Broken> {
        let Some(ring) = &mut self.ring else {
            self.hear(wake);
            return Ok(false);
        };
        if ring.is_ready()? {
            if std::mem::take(&mut self.is_asked) {
                ring.refuse_kicks();
            }
            return Ok(true);
        }
        if self.is_asked {
            self.idle += 1;
            if !self.idle.is_multiple_of(IDLE_LOOK) {
                return Ok(false);
            }
        }
        self.ask(wake)
    }

    /// Asks to be called. `true`: there is a frame after all.
    #[cold]
    pub(super) fn ask(&mut self, wake: &EventFd) -> Result<bool, Broken> {
        // First: a kick from now on is not lost.
        self.hear(wake);
        (self.is_asked, self.idle) = (true, 0);
        let Some(ring) = &mut self.ring else { return Ok(false) };
        if !ring.ask_kick()? {
            return Ok(false);
        }
        // Nobody may have kicked for it, and there may be more than one batch takes.
        self.wake(wake);
        Ok(true)
    }

    /// Copies what is there into an arena, up to a batch.
    #[inline]
    pub(super) fn take<'a>(
        &mut self,
        wake: &EventFd,
        arena: &'a mut Arena,
    ) -> (io::Result<Lent<'a>>, Option<Broken>) {
        match self.is_ready(wake) {
            Ok(true) => {}
            Ok(false) => return (Ok(Lent::nothing()), None),
            Err(broken) => return (Ok(Lent::nothing()), Some(broken)),
        }
        let Some(ring) = &mut self.ring else { return (Ok(Lent::nothing()), None) };
        let mut broken = None;
        let lent = arena.fill(|room| match ring.take(room) {
            Ok(Some(len)) => Ok(len),
            Ok(None) => Err(ErrorKind::WouldBlock.into()),
            Err(found) => {
                broken = Some(found);
                Err(ErrorKind::WouldBlock.into())
            }
        });
        ring.publish();
        (lent, broken)
    }
}

impl ToGuest {
    /// Copies a frame to the guest, finished as far as that needs it. `None`: nobody is there.
    #[inline]
    pub(super) fn put(&mut self, frame: Frame<'_>, room: &mut [u8]) -> Option<Result<Put, Broken>> {
        let ring = self.ring.as_mut()?;
        let offload = frame.offload();
        if !self.features.takes(offload) {
            return Some(finish(ring, frame, offload, room));
        }
        // Without that feature no flag may be set (virtio 1.2, 5.1.6.4.1).
        let header = if self.features.takes_hints() { offload } else { Offload::NONE };
        Some(ring.put(header.emit(), frame.octets()))
    }
}

/// Completes the checksum of a frame, or cuts it, and copies what that becomes to the guest. Of a
/// frame that was cut what befell the first segment that was not taken is told.
fn finish(
    ring: &mut Ring,
    frame: Frame<'_>,
    offload: Offload,
    room: &mut [u8],
) -> Result<Put, Broken> {
    let mut put = |wire: &[u8]| ring.put(Offload::NONE.emit(), &wire[VNET_HEADER_LEN..]);
    if offload.gso_kind == 0 {
        let Some(len) = complete(frame, room) else { return Ok(Put::TooLong) };
        return put(&room[..len]);
    }
    let segments = Segments::of(offload, frame.octets(), frame.packet_start());
    let Some(mut segments) = segments.filter(|_| frame.wire().len() <= WIRE_MAX) else {
        return Ok(Put::TooLong);
    };
    while let Some(len) = segments.cut(room) {
        match put(&room[..len])? {
            Put::Taken => {}
            other => return Ok(other),
        }
    }
    Ok(Put::Taken)
}

//! The connection with a guest's machine: vhost-user's messages, and which rings follow from them
//! (<https://qemu.readthedocs.io/en/latest/interop/vhost-user.html>).
//!
//! One thread a port. It waits for a machine, does what that says until it goes, and waits for the
//! next: QEMU may start before or after the switch, end in any way and come again. It may block: no
//! worker ever waits for it, but where it changes a ring it takes that ring's lock for a moment.
//!
//! A ring is there for the workers while all of this is so, in whatever order it came about:
//!
//! * there is memory, and all parts of the ring are in it (SET_MEM_TABLE, SET_VRING_NUM, _ADDR);
//! * it is started: since SET_VRING_KICK, until GET_VRING_BASE;
//! * it is enabled: by SET_VRING_ENABLE, or because that was not agreed upon.
//!
//! Whenever one of them changes the ring is taken from the workers, and made anew where it left
//! off. So memory may change while it runs: the old one is unmapped with the last ring on it.
//!
//! Crate `vhost` reads and writes the messages. It has some ways of its own, of which these matter:
//! it answers SET_VRING_ENABLE with an error unless SET_FEATURES was before, but QEMU 7.2 sends the
//! one first and only once. So each message is looked at before the crate gets it, and what was
//! wanted is done in spite of that error, which does not end the connection. STATUS, MTU and RARP
//! are not offered, for their messages do; nor are several queues yet (MQ), the log for
//! migration (LOG_SHMFD: QEMU then refuses to migrate, and says why) and INFLIGHT_SHMFD.

use std::{
    io::{self, ErrorKind},
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd},
        unix::net::{UnixListener, UnixStream},
    },
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::socket::{MsgFlags, recv},
};
use vhost::vhost_user::{
    BackendReqHandler, Error, VhostUserBackendReqHandlerMut, message::FrontendReq,
};

use super::{guest::Guest, machine::Machine};

/// How long it is waited when a machine could not be taken, for want of a descriptor say.
const REST: Duration = Duration::from_secs(1);

/// The thread of one port. When this is dropped, it has ended.
pub(super) struct Server {
    guest: Arc<Guest>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts it on a listening socket.
    pub(super) fn start(listener: UnixListener, guest: Arc<Guest>) -> io::Result<Server> {
        let served = guest.clone();
        let named = thread::Builder::new().name("vhost-user".to_owned());
        let thread = named.spawn(move || serve(&listener, &served))?;
        Ok(Server { guest, thread: Some(thread) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.guest.end();
        if let Some(thread) = self.thread.take() {
            // Its panic has been printed.
            let _ = thread.join();
        }
    }
}

/// Serves one machine after the other, until the port goes.
fn serve(listener: &UnixListener, guest: &Arc<Guest>) {
    while !guest.is_ending() {
        wait(guest, listener.as_fd());
        match listener.accept() {
            Ok((socket, _)) => {
                let why = converse(socket, guest);
                let why = why.map_or_else(String::new, |why| format!(": {why}"));
                if !guest.is_ending() {
                    guest.tell(format!("its machine has gone{why}"));
                }
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock) => {}
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionAborted) => {}
            Err(error) => {
                guest.tell(format!("a machine was not taken: {}", netlab::reason(&error)));
                // It is still there, so that to wait for it would be in vain.
                wait_alone(guest, REST);
            }
        }
    }
}

/// Waits until there is something to read, or the port goes or its guest is broken.
fn wait(guest: &Guest, source: BorrowedFd<'_>) {
    let mut both = [guest.alarm.as_fd(), source].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
    // EINTR: a look too early finds nothing.
    let _ = poll(&mut both, PollTimeout::NONE);
    // Nothing to read: nobody has called.
    let _ = guest.alarm.read();
}

fn wait_alone(guest: &Guest, time: Duration) {
    let mut alone = [PollFd::new(guest.alarm.as_fd(), PollFlags::POLLIN)];
    let _ = poll(&mut alone, PollTimeout::try_from(time).unwrap_or(PollTimeout::MAX));
}

/// Does what a machine says until it goes, and says why it had to, if it did not wish to.
fn converse(socket: UnixStream, guest: &Arc<Guest>) -> Option<String> {
    let peeked = socket.try_clone().and_then(|peeked| Ok((peeked, socket.try_clone()?)));
    let (peeked, held) = match peeked {
        Ok(pair) => pair,
        Err(error) => return Some(netlab::reason(&error)),
    };
    guest.hold(Some(held));
    let machine = Arc::new(Mutex::new(Machine::new(guest.clone())));
    let mut messages = BackendReqHandler::from_stream(socket, machine.clone());
    let why = loop {
        wait(guest, peeked.as_fd());
        if guest.is_ending() {
            break None;
        }
        if let Some(broken) = guest.broken() {
            break Some(format!("it was turned away, for {broken}"));
        }
        let enable = match peek(&peeked) {
            Peeked::Nothing => continue,
            Peeked::Enable(index, enable) => Some((index, enable)),
            Peeked::Other => None,
        };
        let lock = || machine.lock().unwrap_or_else(PoisonError::into_inner);
        let done = match (messages.handle_request(), enable) {
            (Err(Error::InactiveFeature(_)), Some((index, enable))) => {
                lock().set_vring_enable(index, enable)
            }
            (done, _) => done,
        };
        match done {
            Ok(()) => {}
            Err(Error::Disconnected) => break None,
            Err(error) => {
                let why = lock().take_why();
                break Some(why.unwrap_or_else(|| error.to_string()));
            }
        }
    };
    machine.lock().unwrap_or_else(PoisonError::into_inner).stop();
    guest.hold(None);
    why
}

/// What comes next on a connection.
enum Peeked {
    /// Nothing yet.
    Nothing,
    /// SET_VRING_ENABLE.
    Enable(u32, bool),
    /// Anything else, the end included.
    Other,
}

/// Looks at what comes next, and leaves it there.
fn peek(socket: &UnixStream) -> Peeked {
    // Request, flags, size; then the index and the state of a ring.
    let mut octets = [0; 20];
    let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
    match recv(socket.as_raw_fd(), &mut octets, flags) {
        Err(nix::Error::EAGAIN | nix::Error::EINTR) => return Peeked::Nothing,
        Ok(20) => {}
        _ => return Peeked::Other,
    }
    let word = |index: usize| {
        let octets = octets[index * 4..].first_chunk().expect("five words were read");
        u32::from_le_bytes(*octets)
    };
    if word(0) == FrontendReq::SET_VRING_ENABLE as u32 {
        Peeked::Enable(word(3), word(4) == 1)
    } else {
        Peeked::Other
    }
}

//! The opener: a second process that keeps the rights when the switch gives up its own, and opens
//! ports for it. Two halves, which have nothing in common but this file and a socket that nobody
//! else has:
//!
//! | half | runs | with |
//! |---|---|---|
//! | `ask.rs`, `ask/unpack.rs` | in the switch | no right at all |
//! | `serve.rs`, `serve/pack.rs` | in the process that is made here | the rights to open ports |
//!
//! It takes seven requests and no other, the first of them once:
//!
//! | request | with | answer |
//! |---|---|---|
//! | bound | specs, folders | from now on files and sockets are opened only there |
//! | open | a number, a spec, a count of watches | the port's descriptors, its links' watch |
//! | again | a number | those of its device, which has come back, or of its connection |
//! | remove | a number | what was made for that plug is removed |
//! | loops | | the plugs that would make a loop |
//! | links | a TAP's descriptor | a socket that tells of the links where that is now |
//! | settle | | devices that are to stay do |
//!
//! and one to leave, without an answer. A spec goes as text, and the parser that reads command
//! lines reads it there: what it refuses is not opened. What is opened, who adds a port without an
//! opener runs, too (`owner.rs`, `open.rs`): that is no part of it.

mod ask;
mod serve;

use std::{
    io,
    os::fd::AsFd,
    sync::{Arc, Mutex},
};

use nix::{
    sys::{
        socket::{AddressFamily, SockFlag, SockType, socketpair},
        wait::waitpid,
    },
    unistd::Pid,
};

use self::{ask::Line, serve::serve};
use crate::{parcel::Parcel, sys, topology::PortSpec};

/// What is asked: the first number of a request.
const OPEN: u64 = 1;
const AGAIN: u64 = 2;
const REMOVE: u64 = 3;
const LOOPS: u64 = 4;
const LINKS: u64 = 5;
const SETTLE: u64 = 6;
const LEAVE: u64 = 7;
const BOUND: u64 = 8;

/// Begins an answer.
const DONE: u64 = 0;
const REFUSED: u64 = 1;

/// What brings a plug's ports: the first number of what is open.
mod origin {
    pub(super) const ONCE: u64 = 0;
    pub(super) const DEVICE: u64 = 1;
    pub(super) const LISTENER: u64 = 2;
    pub(super) const CONNECTION: u64 = 3;
    pub(super) const PCAP: u64 = 4;
}

/// Which kind of port it is: the next.
mod kind {
    pub(super) const NOTHING: u64 = 0;
    pub(super) const TAP: u64 = 1;
    pub(super) const MACVTAP: u64 = 2;
    pub(super) const PACKET: u64 = 3;
    pub(super) const STREAM: u64 = 4;
    pub(super) const SOCKET: u64 = 5;
    pub(super) const TUN: u64 = 6;
    pub(super) const VHOST: u64 = 7;
}

/// The switch's hold on its opener, which ends when this is dropped.
pub struct Opener {
    line: Arc<Line>,
    child: Pid,
    /// Whether the ports of the start are there.
    settled: bool,
}

impl Opener {
    /// Starts one, with the rights that this process has now and `confine` leaves it. To be called
    /// before the first thread is started. Whatever is asked of it later, in the file system it
    /// opens only what these ports name, what is in the same folders, and what is `below` these.
    ///
    /// # Errors
    ///
    /// There is another thread, a folder is not there, or what the system said.
    pub fn start(confine: fn(), ports: &[PortSpec], below: &[String]) -> io::Result<Opener> {
        let flags = SockFlag::SOCK_CLOEXEC;
        let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?;
        match sys::fork_alone()? {
            Some(child) => {
                let line = Arc::new(Line(Mutex::new(Some(ours))));
                let opener = Opener { line, child, settled: false };
                opener.bound(ports, below).map_err(io::Error::other)?;
                Ok(opener)
            }
            None => sys::with_alone(theirs, confine, |socket| serve(socket.as_fd())),
        }
    }

    /// Sends it away: what there is stays as it is. When this returns, it is gone.
    pub(super) fn leave(&self) {
        let mut request = Parcel::default();
        request.put_number(LEAVE);
        if let Some(socket) = self.line.lock().take() {
            // Gone already is as good.
            let _ = request.send(socket.as_fd());
            drop(socket);
            let _ = waitpid(self.child, None);
        }
    }

    /// Whether it can open anything more.
    pub(super) fn is_there(&self) -> bool {
        self.line.lock().is_some()
    }
}

impl Drop for Opener {
    fn drop(&mut self) {
        if self.line.lock().take().is_some() {
            // What was made is gone when this returns.
            let _ = waitpid(self.child, None);
        }
    }
}

fn reason(error: io::Error) -> String {
    netlab::reason(&error)
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn other_threads_are_seen_before_a_process_is_made_two() {
        thread::spawn(|| assert!(Opener::start(|| (), &[], &[]).is_err())).join().unwrap();
    }
}

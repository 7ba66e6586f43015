//! Traffic: a sender and a sink for each kind, and no external program.
//!
//! A socket is opened on a thread inside the namespace and then used on the caller's. Whatever
//! may take long is given an `AtomicBool`, looks at it every [`STOP_INTERVAL`] and returns what
//! it has when it is set; [`NEVER`] is for those who do not want to stop.

pub mod frames;
pub mod outlet;
pub mod ping;
pub mod ring;
pub mod round_trip;
pub mod tcp;
pub mod transfer;

use std::{
    io::{self, ErrorKind},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::BorrowedFd,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};

/// A stop that nobody gives.
pub static NEVER: AtomicBool = AtomicBool::new(false);

/// How long a call may wait before it looks whether it shall stop.
pub const STOP_INTERVAL: Duration = Duration::from_millis(50);

/// The stop was given. Nothing else hangs on it, so no ordering is asked for.
fn stopped(stop: &AtomicBool) -> bool {
    stop.load(Ordering::Relaxed)
}

/// Nothing came, or nothing went, within the time that the socket was given: no error.
fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

/// Waits until a socket has something to receive, or to accept. It may return early.
fn wait_readable(socket: BorrowedFd<'_>, timeout: Duration) -> io::Result<()> {
    // Rounded up: a wait of nothing would spin.
    let timeout = timeout.as_millis().saturating_add(1);
    let timeout = PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX);
    match poll(&mut [PollFd::new(socket, PollFlags::POLLIN)], timeout) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Any port of any address of the same family.
fn any(like: IpAddr) -> SocketAddr {
    match like {
        IpAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        IpAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    }
}

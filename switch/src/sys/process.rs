//! A second process, and descriptors that go from one to the other.

use std::{
    io::{self, IoSlice, IoSliceMut},
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd},
};

use libc::{c_int, c_uint};
use nix::{
    cmsg_space,
    errno::Errno,
    sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg},
    unistd::{self, ForkResult, Pid},
};

/// Makes this process two, and says to the first which number the second has, and `None` to the
/// second.
///
/// # Errors
///
/// There is another thread already: the second process would have what that was about, a lock it
/// held for one, and never an end of it. Or what fork(2) said.
pub(crate) fn fork_alone() -> io::Result<Option<Pid>> {
    if std::fs::read_dir("/proc/self/task")?.count() != 1 {
        return Err(io::Error::other("there is more than one thread already"));
    }
    // SAFETY: fork(2) wants of a process with several threads that the child calls nothing but
    // what is safe in a signal's function. This one has one thread, and only that could start
    // another: the child is a whole copy, and may do what it likes.
    Ok(match unsafe { unistd::fork() }? {
        ForkResult::Parent { child } => Some(child),
        ForkResult::Child => None,
    })
}

/// Closes all descriptors of the process but the standard streams and this one (close_range(2),
/// since Linux 5.9; before that they stay open), does `last`, and ends the process.
pub(crate) fn with_alone(fd: OwnedFd, last: fn(OwnedFd)) -> ! {
    const KEPT: RawFd = libc::STDERR_FILENO + 1;
    let number = fd.into_raw_fd();
    // SAFETY: dup3(2) and close_range(2) take numbers and touch no memory of ours. They close
    // descriptors under the values that own them: `last` has none of those, being no closure, and
    // this function never returns to whoever has.
    unsafe { libc::dup3(number, KEPT, libc::O_CLOEXEC) };
    let (first, end, flags): (c_uint, c_uint, c_uint) = (KEPT as c_uint + 1, c_uint::MAX, 0);
    // SAFETY: as above.
    unsafe { libc::syscall(libc::SYS_close_range, first, end, flags) };
    // SAFETY: from_raw_fd wants an open descriptor that nobody else uses. It is the one that we
    // were given, or its copy; whoever owned that number before is never returned to.
    let fd = unsafe { OwnedFd::from_raw_fd(KEPT) };
    // A panic goes no further: it would run what belongs to the first process.
    let ended = std::panic::catch_unwind(|| last(fd));
    std::process::exit(c_int::from(ended.is_err()))
}

/// Sends one message with these descriptors beside it (SCM_RIGHTS), and waits for room.
///
/// # Errors
///
/// What sendmsg(2) said: EPIPE if nobody is there.
pub(crate) fn send_with(
    socket: BorrowedFd<'_>,
    octets: &[u8],
    fds: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let numbers: Vec<RawFd> = fds.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&numbers)];
    let rights = if fds.is_empty() { &[][..] } else { &rights };
    loop {
        let slices = [IoSlice::new(octets)];
        match sendmsg::<()>(socket.as_raw_fd(), &slices, rights, MsgFlags::MSG_NOSIGNAL, None) {
            Err(Errno::EINTR) => {}
            sent => return Ok(sent.map(drop)?),
        }
    }
}

/// Waits for a message, and says how long it is and which descriptors came beside it, up to `MAX`.
/// No octets: the other end has gone.
///
/// # Errors
///
/// What recvmsg(2) said; there was no room for all of it.
pub(crate) fn recv_with<const MAX: usize>(
    socket: BorrowedFd<'_>,
    room: &mut [u8],
) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut rights = cmsg_space!([RawFd; MAX]);
    let (len, flags, fds) = loop {
        let mut slices = [IoSliceMut::new(room)];
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        match recvmsg::<()>(socket.as_raw_fd(), &mut slices, Some(&mut rights), flags) {
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
            Ok(came) => {
                let mut fds = Vec::new();
                for message in came.cmsgs()? {
                    if let ControlMessageOwned::ScmRights(numbers) = message {
                        // SAFETY: from_raw_fd wants open descriptors that nobody else owns: the
                        // kernel has just made these for us (unix(7), SCM_RIGHTS).
                        let own = |number| unsafe { OwnedFd::from_raw_fd(number) };
                        fds.extend(numbers.into_iter().map(own));
                    }
                }
                break (came.bytes, came.flags, fds);
            }
        }
    };
    if flags.intersects(MsgFlags::MSG_TRUNC | MsgFlags::MSG_CTRUNC) {
        return Err(io::Error::other("a message is too long, or there is no descriptor left"));
    }
    Ok((len, fds))
}

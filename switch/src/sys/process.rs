//! A second process, and descriptors that go from one to the other.

use std::{
    io::{self, IoSlice},
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd},
};

use libc::{c_int, c_uint, size_t};
use nix::{
    cmsg_space,
    errno::Errno,
    sys::socket::{ControlMessage, MsgFlags, sendmsg},
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
/// since Linux 5.9; before that they stay open), does `first` and `last`, and ends the process.
pub(crate) fn with_alone(fd: OwnedFd, first: fn(), last: fn(OwnedFd)) -> ! {
    const KEPT: RawFd = libc::STDERR_FILENO + 1;
    let number = fd.into_raw_fd();
    // SAFETY: dup3(2) and close_range(2) take numbers and touch no memory of ours. They close
    // descriptors under the values that own them: `first` and `last` have none of those, being no
    // closures, and this function never returns to whoever has.
    unsafe { libc::dup3(number, KEPT, libc::O_CLOEXEC) };
    let (from, end, flags): (c_uint, c_uint, c_uint) = (KEPT as c_uint + 1, c_uint::MAX, 0);
    // SAFETY: as above.
    unsafe { libc::syscall(libc::SYS_close_range, from, end, flags) };
    // SAFETY: from_raw_fd wants an open descriptor that nobody else uses. It is the one that we
    // were given, or its copy; whoever owned that number before is never returned to.
    let fd = unsafe { OwnedFd::from_raw_fd(KEPT) };
    // A panic goes no further: it would run what belongs to the first process.
    let ended = std::panic::catch_unwind(|| {
        first();
        last(fd);
    });
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

/// A message that has come.
pub(crate) struct Came {
    /// Octets; none: the other end has gone.
    pub(crate) len: usize,
    /// Descriptors that came beside them.
    pub(crate) fds: Vec<OwnedFd>,
    /// Whether that is all: there was room for the octets, and there were descriptors left.
    pub(crate) whole: bool,
}

/// Waits for a message with up to `MAX` descriptors beside it. (nix does not give those of which
/// there were too many: nobody could close them.)
///
/// # Errors
///
/// What recvmsg(2) said.
pub(crate) fn recv_with<const MAX: usize>(
    socket: BorrowedFd<'_>,
    room: &mut [u8],
) -> io::Result<Came> {
    let (fd, mut rights) = (socket.as_raw_fd(), cmsg_space!([RawFd; MAX]));
    let mut octets = libc::iovec { iov_base: room.as_mut_ptr().cast(), iov_len: room.len() };
    // SAFETY: msghdr is numbers and pointers, for which zero is a value (socket.h).
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut octets;
    message.msg_iovlen = 1;
    message.msg_control = rights.as_mut_ptr().cast();
    let len = loop {
        message.msg_controllen = rights.capacity() as _;
        // SAFETY: recvmsg(2) writes into the octets of `room`, which the iovec describes, and into
        // `msg_controllen` octets of `rights`, which has that capacity and is aligned as nix wants
        // it for the same; both outlive the call.
        let len = unsafe { libc::recvmsg(fd, &raw mut message, libc::MSG_CMSG_CLOEXEC) };
        match Errno::result(len) {
            Err(Errno::EINTR) => {}
            len => break len? as usize,
        }
    };
    let mut fds = Vec::new();
    // SAFETY: CMSG_FIRSTHDR and CMSG_NXTHDR (cmsg(3)) take the message that recvmsg(2) has filled,
    // and lead to headers within its control octets, or nowhere.
    let mut next = unsafe { libc::CMSG_FIRSTHDR(&raw const message) };
    // SAFETY: as above; and the header is read where the kernel has put a whole one.
    while let Some(header) = unsafe { next.as_ref() } {
        if (header.cmsg_level, header.cmsg_type) == (libc::SOL_SOCKET, libc::SCM_RIGHTS) {
            // SAFETY: CMSG_LEN reckons with numbers alone.
            let head = unsafe { libc::CMSG_LEN(0) };
            // SAFETY: CMSG_DATA leads behind the header, where its octets are. It is given the
            // pointer: `header` lends no more than the header.
            let data = unsafe { libc::CMSG_DATA(next) };
            let len = (header.cmsg_len as size_t - head as size_t) / size_of::<RawFd>()
                * size_of::<RawFd>();
            // SAFETY: the kernel has written as many octets there as the header says, fewer than
            // were sent if it had no room (unix(7), SCM_RIGHTS); nobody writes to them now.
            let numbers = unsafe { std::slice::from_raw_parts(data, len) };
            fds.extend(numbers.chunks_exact(size_of::<RawFd>()).map(|number| {
                let number = RawFd::from_ne_bytes(number.try_into().expect("as many as one has"));
                // SAFETY: from_raw_fd wants an open descriptor that nobody else owns: the kernel
                // has just made this one for us.
                unsafe { OwnedFd::from_raw_fd(number) }
            }));
        }
        // SAFETY: as for the first.
        next = unsafe { libc::CMSG_NXTHDR(&raw const message, next) };
    }
    let cut = libc::MSG_TRUNC | libc::MSG_CTRUNC;
    Ok(Came { len, fds, whole: message.msg_flags & cut == 0 })
}

#[cfg(test)]
mod tests {
    use std::{fs::File, os::fd::AsFd};

    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};

    use super::*;

    #[test]
    fn descriptors_for_which_there_is_no_room_are_told_and_those_that_came_are_owned() {
        let kind = SockType::SeqPacket;
        let (one, other) =
            socketpair(AddressFamily::Unix, kind, None, SockFlag::SOCK_CLOEXEC).unwrap();
        let file = File::open("/dev/null").unwrap();
        for count in [0, 1, 4, 5, 200] {
            send_with(one.as_fd(), b"x", &vec![file.as_fd(); count]).unwrap();
            let Came { len, fds, whole } = recv_with::<4>(other.as_fd(), &mut [0; 8]).unwrap();
            assert_eq!((len, whole), (1, count <= 4), "{count}");
            // The room is rounded up to a long: one more may come, and has its owner as well.
            assert!(fds.len() >= count.min(4) && fds.len() <= 5, "{count}: {}", fds.len());
            for fd in fds {
                assert!(File::from(fd).metadata().is_ok(), "it is open, and closed now");
            }
        }
        send_with(one.as_fd(), b"longer", &[]).unwrap();
        assert!(!recv_with::<4>(other.as_fd(), &mut [0; 3]).unwrap().whole);
        drop(one);
        let came = recv_with::<4>(other.as_fd(), &mut [0; 3]).unwrap();
        assert_eq!((came.len, came.whole), (0, true));
    }
}

//! The system calls and processor instructions that have no safe face elsewhere, and those of each
//! frame, without libc. Everything in here is safe to call.
#![allow(unsafe_code)]

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{__m256i, _mm256_loadu_si256, _mm256_storeu_si256};
use std::{
    ffi::OsStr,
    fs::OpenOptions,
    io::{self, IoSlice, IoSliceMut},
    mem::{self, MaybeUninit, offset_of},
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
    ptr,
    sync::{Mutex, PoisonError},
};

use libc::{c_int, c_long, c_uint};
use nix::{
    errno::Errno,
    sys::socket::{SockaddrLike, UnixAddr},
};

mod process;

pub(crate) use self::process::{fork_alone, recv_with, send_with, with_alone};
use crate::frame::BATCH_MAX;
#[cfg(target_arch = "x86_64")]
use crate::offload::checksum::avx2;

/// Takes over a descriptor that this process was given when it was executed, by its number, and
/// sets FD_CLOEXEC on it.
///
/// # Errors
///
/// There is no such descriptor (EBADF), or it is not one that was given: 0, 1 and 2 are the
/// standard streams, and one that has FD_CLOEXEC was opened by this program, or taken over before.
pub fn inherit(number: RawFd) -> io::Result<OwnedFd> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    if (0..=libc::STDERR_FILENO).contains(&number) {
        return Err(io::Error::other("it is a standard stream; give one from 3 on"));
    }
    // SAFETY: F_GETFD has no further argument and touches no memory; EBADF if there is no such
    // descriptor.
    let flags = unsafe { libc::fcntl(number, libc::F_GETFD) };
    check(flags)?;
    if flags & libc::FD_CLOEXEC != 0 {
        return Err(io::Error::other("it is one of this program's own"));
    }
    // SAFETY: F_SETFD takes an int by value and touches no memory.
    check(unsafe { libc::fcntl(number, libc::F_SETFD, flags | libc::FD_CLOEXEC) })?;
    // SAFETY: from_raw_fd wants an open descriptor that nobody else owns. It is open: F_GETFD
    // found it. It has come through exec(2), for FD_CLOEXEC was not set, and std and all crates
    // that we use set that on whatever they open; so no value here owns it. From now on it is
    // set: another call for the same number, which the lock keeps apart, fails.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// The supplementary groups of the process at the other end of a unix socket, as they were when it
/// connected (SO_PEERGROUPS).
///
/// # Errors
///
/// What getsockopt(2) said.
pub fn peer_groups(socket: BorrowedFd<'_>) -> io::Result<Vec<libc::gid_t>> {
    let mut groups: Vec<libc::gid_t> = vec![0; 64];
    loop {
        let room = size_of_val(&*groups);
        let mut len = room as libc::socklen_t;
        // SAFETY: SO_PEERGROUPS writes `len` octets of gid_t at the most (net/core/sock.c,
        // sk_getsockopt), which `groups` has, and to `len` how many they are or would be; both
        // are ours alone and outlive the call. Any bits are a gid_t.
        let result = unsafe {
            libc::getsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_PEERGROUPS,
                groups.as_mut_ptr().cast(),
                &raw mut len,
            )
        };
        let count = len as usize / size_of::<libc::gid_t>();
        match check(result) {
            Err(e) if e.raw_os_error() == Some(libc::ERANGE) && count > groups.len() => {
                groups.resize(count, 0);
            }
            Err(error) => return Err(error),
            Ok(()) => {
                groups.truncate(count);
                return Ok(groups);
            }
        }
    }
}

/// Asks the processor to fetch the cache line in which `place` begins. A hint: nothing is read.
#[inline]
pub(crate) fn prefetch<T>(place: &T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: PREFETCHT0 takes any address and cannot fault; it needs SSE, which every x86-64
        // processor has. The reference is not even followed.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(place).cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = place;
}

/// A processor that has AVX2: whoever holds one runs on it.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx2(());

#[cfg(target_arch = "x86_64")]
impl Avx2 {
    /// `None`: this one has not. The standard library asks it and the operating system once.
    #[inline]
    pub(crate) fn detect() -> Option<Avx2> {
        is_x86_feature_detected!("avx2").then_some(Avx2(()))
    }

    /// See offload/checksum/avx2.rs.
    #[inline]
    pub(crate) fn sum(self, octets: &[u8]) -> Option<u64> {
        // SAFETY: the function is safe on a processor that has AVX2. This one has: only `detect`
        // makes an `Avx2`, and it found that out.
        unsafe { avx2::sum(octets) }
    }

    /// See there.
    #[inline]
    pub(crate) fn copy(self, octets: &[u8], room: &mut [u8]) -> Option<u64> {
        // SAFETY: as in `sum`.
        unsafe { avx2::copy(octets, room) }
    }
}

/// Loads a register from any place (VMOVDQU).
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx2")]
pub(crate) fn load(octets: &[u8; size_of::<__m256i>()]) -> __m256i {
    // SAFETY: it reads 32 octets, which are borrowed, and minds no alignment. It needs AVX, and
    // who calls this function has AVX2.
    unsafe { _mm256_loadu_si256(octets.as_ptr().cast()) }
}

/// Stores a register to any place (VMOVDQU).
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx2")]
pub(crate) fn store(register: __m256i, octets: &mut [u8; size_of::<__m256i>()]) {
    // SAFETY: it writes 32 octets, which are ours alone, and minds no alignment. AVX as in `load`.
    unsafe { _mm256_storeu_si256(octets.as_mut_ptr().cast(), register) };
}

/// read(2), as the kernel has it.
///
/// A libc's is a cancellation point (pthreads(7)): while a process has threads it says before each
/// call and takes back behind it that the thread may be ended in it, by two atomic exchanges. That
/// is a third of a write to /dev/null (360 ns to 241, glibc 2.36, medians of 41 in turn) and of all
/// that a small frame costs from TAP to TAP (2130 ns to 1450), and nobody cancels threads here. The
/// same goes for the other three, and for sendmmsg(2).
#[inline]
pub(crate) fn read(fd: impl AsFd, room: &mut [u8]) -> nix::Result<usize> {
    rustix::io::read(fd, room).map_err(errno)
}

/// write(2), as the kernel has it: see [`read`].
#[inline]
pub(crate) fn write(fd: impl AsFd, octets: &[u8]) -> nix::Result<usize> {
    rustix::io::write(fd, octets).map_err(errno)
}

/// readv(2), as the kernel has it: see [`read`].
#[inline]
pub(crate) fn readv(fd: impl AsFd, rooms: &mut [IoSliceMut<'_>]) -> nix::Result<usize> {
    rustix::io::readv(fd, rooms).map_err(errno)
}

/// writev(2), as the kernel has it: see [`read`].
#[inline]
pub(crate) fn writev(fd: impl AsFd, pieces: &[IoSlice<'_>]) -> nix::Result<usize> {
    rustix::io::writev(fd, pieces).map_err(errno)
}

#[inline]
fn errno(errno: rustix::io::Errno) -> Errno {
    Errno::from_raw(errno.raw_os_error())
}

/// Sends datagrams to `to`, or to where the socket is connected, and says how many left. Never
/// waits, and allocates nothing. More than [`BATCH_MAX`] are not looked at.
///
/// # Errors
///
/// What sendmmsg(2) said of the first; what it says of a later one, the next call meets.
#[inline]
pub(crate) fn send_many<'a>(
    socket: BorrowedFd<'_>,
    to: Option<&UnixAddr>,
    datagrams: impl Iterator<Item = &'a [u8]>,
) -> nix::Result<usize> {
    let mut slices = [const { MaybeUninit::<libc::iovec>::uninit() }; BATCH_MAX];
    let mut messages = [const { MaybeUninit::<libc::mmsghdr>::uninit() }; BATCH_MAX];
    let mut count: c_long = 0;
    for (datagram, (slice, message)) in datagrams.zip(slices.iter_mut().zip(&mut messages)) {
        let (iov_base, iov_len) = (datagram.as_ptr().cast_mut().cast(), datagram.len());
        // SAFETY: a msghdr is numbers and pointers: all zeroes are one. (musl has padding in it.)
        let mut msg_hdr = unsafe { mem::zeroed::<libc::msghdr>() };
        msg_hdr.msg_name = to.map_or(ptr::null_mut(), |to| to.as_ptr().cast_mut().cast());
        msg_hdr.msg_namelen = to.map_or(0, |to| to.len());
        msg_hdr.msg_iov = slice.write(libc::iovec { iov_base, iov_len });
        msg_hdr.msg_iovlen = 1;
        message.write(libc::mmsghdr { msg_hdr, msg_len: 0 });
        count += 1;
    }
    const FLAGS: c_long = (libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) as c_long;
    let (fd, first) = (c_long::from(socket.as_raw_fd()), messages.as_mut_ptr());
    // SAFETY: sendmmsg(2) reads `count` messages, which were written just now, and writes the
    // `msg_len` of each: `messages` is ours alone. It reads, and never writes, the address and the
    // one slice that each names: `slices` outlives the call, datagrams and address are borrowed
    // beyond it.
    let sent = unsafe { libc::syscall(libc::SYS_sendmmsg, fd, first, count, FLAGS) };
    Errno::result(sent).map(|sent| sent as usize)
}

/// Receives a datagram from a unix socket to the start of `room`: how long it is, even if the room
/// was too small for all of it, and under which path its sender is bound, if he is bound to one.
/// Never waits. (nix's recvmsg takes senders without a name for a mistake, and panics.)
///
/// # Errors
///
/// What recvfrom(2) said.
#[inline]
pub(crate) fn recv_from<'a>(
    socket: BorrowedFd<'_>,
    room: &mut [u8],
    sender: &'a mut UnixName,
) -> nix::Result<(usize, Option<&'a Path>)> {
    let mut name_len = size_of::<UnixName>() as libc::socklen_t;
    // SAFETY: recvfrom(2) writes `room.len()` octets at the most to `room`, and as many of a name
    // as `name_len` says to `sender`, a `struct sockaddr_un`; both are ours alone. It writes to
    // `name_len` how long the name is, 0 if there is none.
    let len = unsafe {
        libc::recvfrom(
            socket.as_raw_fd(),
            room.as_mut_ptr().cast(),
            room.len(),
            libc::MSG_DONTWAIT | libc::MSG_TRUNC,
            std::ptr::from_mut(sender).cast(),
            &raw mut name_len,
        )
    };
    let len = Errno::result(len)? as usize;
    let path_len = (name_len as usize).saturating_sub(offset_of!(UnixName, path));
    let path = &sender.path[..path_len.min(sender.path.len())];
    // The length counts a 0 at the end; an abstract name begins with one (unix(7)).
    let path = path.split(|octet| *octet == 0).next().unwrap_or_default();
    Ok((len, (!path.is_empty()).then(|| Path::new(OsStr::from_bytes(path)))))
}

/// A `struct sockaddr_un` (linux/un.h) for the kernel to write to.
#[repr(C)]
pub(crate) struct UnixName {
    family: libc::sa_family_t,
    path: [u8; 108],
}

const _: () = assert!(size_of::<UnixName>() == size_of::<libc::sockaddr_un>());

impl UnixName {
    pub(crate) const NONE: UnixName = UnixName { family: 0, path: [0; 108] };
}

/// Attaches to the TUN or TAP device `name`, made if it is not there, in the network namespace
/// of the calling thread. `flags` are IFF_* of linux/if_tun.h.
///
/// # Errors
///
/// What open(2) of /dev/net/tun or TUNSETIFF said.
pub(crate) fn tun_attach(name: &str, flags: c_int) -> io::Result<OwnedFd> {
    let node = OpenOptions::new().read(true).write(true).open("/dev/net/tun")?;
    let mut request = interface_request(name, flags);
    // SAFETY: TUNSETIFF reads and writes one `struct ifreq` (drivers/net/tun.c,
    // __tun_chr_ioctl); `request` is one, is ours alone and outlives the call.
    let result = unsafe { libc::ioctl(node.as_raw_fd(), libc::TUNSETIFF, &raw mut request) };
    check(result)?;
    Ok(node.into())
}

/// Sets the flags of a macvtap's descriptor: IFF_* of linux/if_tun.h. Nothing is attached, for it
/// belongs to its device since it was opened.
pub(crate) fn tun_set_flags(fd: BorrowedFd<'_>, flags: c_int) -> io::Result<()> {
    let mut request = interface_request("", flags);
    // SAFETY: TUNSETIFF reads and writes one `struct ifreq` (drivers/net/tap.c, tap_ioctl);
    // `request` is one, is ours alone and outlives the call.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TUNSETIFF, &raw mut request) })
}

/// The name and the flags of the device behind a TUN descriptor (TUNGETIFF).
pub(crate) fn tun_device(fd: BorrowedFd<'_>) -> io::Result<(String, c_int)> {
    let mut request = interface_request("", 0);
    // SAFETY: TUNGETIFF writes one `struct ifreq`; `request` is one and outlives the call.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), libc::TUNGETIFF, &raw mut request) };
    check(result)?;
    let name = request.ifr_name.iter().take_while(|c| **c != 0).map(|c| *c as u8).collect();
    // SAFETY: TUNGETIFF fills `ifr_flags` of the union, and any bits are a c_short.
    let flags = unsafe { request.ifr_ifru.ifru_flags };
    // The flags have 16 bits of their own: a sign must not spread.
    Ok((String::from_utf8(name).map_err(io::Error::other)?, c_int::from(flags as u16)))
}

/// How many octets of virtio-net header a TAP puts in front of each frame (TUNSETVNETHDRSZ).
pub(crate) fn tun_set_vnet_header_len(fd: BorrowedFd<'_>, len: usize) -> io::Result<()> {
    let len = len as c_int;
    // SAFETY: TUNSETVNETHDRSZ reads one int behind the pointer; `len` is one.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TUNSETVNETHDRSZ, &raw const len) })
}

/// Which offloads we can take in what we read: TUN_F_* (TUNSETOFFLOAD).
pub(crate) fn tun_set_offload(fd: BorrowedFd<'_>, offloads: c_uint) -> io::Result<()> {
    let offloads = libc::c_ulong::from(offloads);
    // SAFETY: TUNSETOFFLOAD takes its argument by value and follows no pointer.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TUNSETOFFLOAD, offloads) })
}

/// Whether the device stays when its last descriptor is closed (TUNSETPERSIST).
pub(crate) fn tun_set_persist(fd: BorrowedFd<'_>, persist: bool) -> io::Result<()> {
    let persist = libc::c_ulong::from(persist);
    // SAFETY: TUNSETPERSIST takes its argument by value and follows no pointer.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TUNSETPERSIST, persist) })
}

/// The network namespace in which a TUN descriptor's device is now (TUNGETDEVNETNS).
pub(crate) fn tun_namespace(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    // SAFETY: TUNGETDEVNETNS takes no argument and follows no pointer.
    let namespace = unsafe { libc::ioctl(fd.as_raw_fd(), libc::TUNGETDEVNETNS) };
    check(namespace)?;
    // SAFETY: the call succeeded, so this is a new descriptor, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(namespace) })
}

/// Sets a socket option whose value is a plain structure or number of the kernel's.
pub(crate) fn set_option<T: Copy>(
    socket: BorrowedFd<'_>,
    level: c_int,
    option: c_int,
    value: &T,
) -> io::Result<()> {
    let (fd, from) = (socket.as_raw_fd(), ptr::from_ref(value).cast());
    let len = size_of::<T>() as libc::socklen_t;
    // SAFETY: setsockopt(2) reads `len` octets behind the pointer: the whole of `value`, borrowed
    // until the call returns; the borrow keeps the descriptor open.
    check(unsafe { libc::setsockopt(fd, level, option, from, len) })
}

/// Binds a packet socket to the link with this number, to receive frames of one protocol
/// (ETH_P_*), or of none if it is zero (packet(7)).
pub(crate) fn packet_bind(socket: BorrowedFd<'_>, link: u32, protocol: u16) -> io::Result<()> {
    let address = libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as libc::c_ushort,
        sll_protocol: protocol.to_be(),
        sll_ifindex: link as c_int,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    let len = size_of_val(&address) as libc::socklen_t;
    // SAFETY: bind(2) reads `len` octets behind the pointer: the whole of `address`, which
    // outlives the call; the borrow keeps the descriptor open.
    check(unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), len) })
}

/// The kind of the device that a packet socket is bound to: ARPHRD_* of linux/if_arp.h.
pub(crate) fn packet_device_kind(socket: BorrowedFd<'_>) -> io::Result<u16> {
    let mut address = libc::sockaddr_ll {
        sll_family: 0,
        sll_protocol: 0,
        sll_ifindex: 0,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    let mut len = size_of_val(&address) as libc::socklen_t;
    let (fd, to) = (socket.as_raw_fd(), (&raw mut address).cast());
    // SAFETY: getsockname(2) writes `len` octets at the most to `to`, which is the whole of
    // `address`, and their count into `len`; both outlive the call and are ours alone.
    check(unsafe { libc::getsockname(fd, to, &raw mut len) })?;
    Ok(address.sll_hatype)
}

/// The frames that a packet socket had no room for since this was asked last: asking sets it to
/// zero (PACKET_STATISTICS).
pub(crate) fn packet_drops(socket: BorrowedFd<'_>) -> io::Result<u32> {
    let mut stats = libc::tpacket_stats { tp_packets: 0, tp_drops: 0 };
    let mut len = size_of_val(&stats) as libc::socklen_t;
    let (fd, level, option) = (socket.as_raw_fd(), libc::SOL_PACKET, libc::PACKET_STATISTICS);
    let to = (&raw mut stats).cast();
    // SAFETY: getsockopt(2) writes `len` octets at the most to `to`, which is the whole of `stats`,
    // and their count into `len`; both outlive the call and are ours alone.
    check(unsafe { libc::getsockopt(fd, level, option, to, &raw mut len) })?;
    Ok(stats.tp_drops)
}

/// Takes over the descriptor of something that gives it away.
pub(crate) fn own(device: impl IntoRawFd) -> OwnedFd {
    let fd = device.into_raw_fd();
    // SAFETY: IntoRawFd hands out a descriptor that is open and that its caller now owns.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// A `struct ifreq` with a name, cut to what fits (callers have checked it), and flags.
fn interface_request(name: &str, flags: c_int) -> libc::ifreq {
    let mut ifr_name = [0; libc::IFNAMSIZ];
    for (place, octet) in ifr_name[..libc::IFNAMSIZ - 1].iter_mut().zip(name.bytes()) {
        *place = octet as libc::c_char;
    }
    let ifr_ifru = libc::__c_anonymous_ifr_ifru { ifru_flags: flags as libc::c_short };
    libc::ifreq { ifr_name, ifr_ifru }
}

fn check(result: c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

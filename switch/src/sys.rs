//! The system calls and processor instructions that have no safe face elsewhere. Everything in
//! here is safe to call.
#![allow(unsafe_code)]

use std::{
    fs::OpenOptions,
    io,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd},
    sync::{Mutex, PoisonError},
};

use libc::{c_int, c_uint};

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

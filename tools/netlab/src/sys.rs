//! The system calls that no crate wraps: all of the unsafe code of this library.
#![allow(unsafe_code)]

use std::{
    ffi::CStr,
    io, mem,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
    ptr,
};

/// Octets of a link's name at the most: `IFNAMSIZ` of linux/if.h, less the closing zero.
pub(crate) const LINK_NAME_MAX: usize = libc::IFNAMSIZ - 1;

/// What kind of namespace a descriptor of the nsfs file system stands for: a `CLONE_NEW*` bit.
pub(crate) fn namespace_kind(namespace: BorrowedFd<'_>) -> io::Result<libc::c_int> {
    // SAFETY: ioctl(NS_GET_NSTYPE) of linux/nsfs.h takes no argument and writes no memory of
    // ours; the borrow keeps the descriptor open.
    let answer = unsafe { libc::ioctl(namespace.as_raw_fd(), libc::NS_GET_NSTYPE) };
    checked(answer)
}

/// Sets a socket option that is a whole number.
pub(crate) fn set_option(
    socket: BorrowedFd<'_>,
    level: libc::c_int,
    option: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    set_option_struct(socket, level, option, &value)
}

/// Lets a packet socket see all frames of a link, whoever they are for, until it is closed.
pub(crate) fn join_promiscuous(socket: BorrowedFd<'_>, link: u32) -> io::Result<()> {
    let request = libc::packet_mreq {
        mr_ifindex: link as libc::c_int,
        mr_type: libc::PACKET_MR_PROMISC as libc::c_ushort,
        mr_alen: 0,
        mr_address: [0; 8],
    };
    set_option_struct(socket, libc::SOL_PACKET, libc::PACKET_ADD_MEMBERSHIP, &request)
}

/// Binds a packet socket to one link, for all protocols.
pub(crate) fn bind_packet(socket: BorrowedFd<'_>, link: u32) -> io::Result<()> {
    let address = libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as libc::c_ushort,
        sll_protocol: (libc::ETH_P_ALL as u16).to_be(),
        sll_ifindex: link as libc::c_int,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    let len = mem::size_of_val(&address) as libc::socklen_t;
    // SAFETY: bind(2) reads `len` octets behind the pointer: the whole of `address`, which lives
    // until the call returns; the borrow keeps the descriptor open.
    let answer = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), len) };
    checked(answer).map(drop)
}

/// Attaches an open /dev/net/tun to the device of this name, made if it is not there. A name
/// that is too long is cut: check it first.
pub(crate) fn attach_tun(tun: BorrowedFd<'_>, name: &str, flags: libc::c_int) -> io::Result<()> {
    let mut request = libc::ifreq {
        ifr_name: link_name(name),
        ifr_ifru: libc::__c_anonymous_ifr_ifru { ifru_flags: flags as libc::c_short },
    };
    // SAFETY: ioctl(TUNSETIFF) of linux/if_tun.h reads and writes one `struct ifreq`: `request`,
    // exclusively ours and alive until the call returns; the borrow keeps the descriptor open.
    let answer = unsafe { libc::ioctl(tun.as_raw_fd(), libc::TUNSETIFF, &raw mut request) };
    checked(answer).map(drop)
}

/// Keeps the device of an attached descriptor when the descriptor is closed.
pub(crate) fn persist_tun(tun: BorrowedFd<'_>) -> io::Result<()> {
    let persist: libc::c_int = 1;
    // SAFETY: ioctl(TUNSETPERSIST) of linux/if_tun.h takes a number, no pointer; the borrow
    // keeps the descriptor open.
    let answer = unsafe { libc::ioctl(tun.as_raw_fd(), libc::TUNSETPERSIST, persist) };
    checked(answer).map(drop)
}

/// Lets a user attach to the device of this descriptor without further rights.
pub(crate) fn own_tun(tun: BorrowedFd<'_>, owner: u32) -> io::Result<()> {
    // SAFETY: ioctl(TUNSETOWNER) of linux/if_tun.h takes a number, no pointer; the borrow keeps
    // the descriptor open.
    let answer = unsafe { libc::ioctl(tun.as_raw_fd(), libc::TUNSETOWNER, owner) };
    checked(answer).map(drop)
}

/// The features of a link that have a place in the flags of linux/ethtool.h (ETH_FLAG_*). A name
/// that is too long is cut: check it first.
pub(crate) fn ethtool_flags(socket: BorrowedFd<'_>, name: &str) -> io::Result<u32> {
    ethtool_value(socket, name, [ETHTOOL_GFLAGS, 0])
}

/// Switches those features on and off. All at once: read them first.
pub(crate) fn set_ethtool_flags(socket: BorrowedFd<'_>, name: &str, flags: u32) -> io::Result<()> {
    ethtool_value(socket, name, [ETHTOOL_SFLAGS, flags]).map(drop)
}

/// One of the features that have a command each: a number, 0 if it is off.
pub(crate) fn ethtool_get(socket: BorrowedFd<'_>, name: &str, command: u32) -> io::Result<u32> {
    assert_eq!(command, ETHTOOL_GTXCSUM, "a command with a number");
    ethtool_value(socket, name, [command, 0])
}

/// Switches one of them: [`ETHTOOL_STXCSUM`] or one of [`ETHTOOL_OFFLOADS`].
pub(crate) fn set_ethtool_value(
    socket: BorrowedFd<'_>,
    name: &str,
    command: u32,
    value: u32,
) -> io::Result<()> {
    let known = command == ETHTOOL_STXCSUM || ETHTOOL_OFFLOADS.contains(&command);
    assert!(known, "a command with a number");
    ethtool_value(socket, name, [command, value]).map(drop)
}

/// `request` is a `struct ethtool_value`: the command and a number, in which the answer comes.
/// Only for the commands below: others carry other structures.
fn ethtool_value(socket: BorrowedFd<'_>, name: &str, mut request: [u32; 2]) -> io::Result<u32> {
    let ifr_data = (&raw mut request).cast();
    let mut carrier = libc::ifreq {
        ifr_name: link_name(name),
        ifr_ifru: libc::__c_anonymous_ifr_ifru { ifru_data: ifr_data },
    };
    // SAFETY: ioctl(SIOCETHTOOL) of linux/sockios.h reads one `struct ifreq`: `carrier`, alive
    // until the call returns. Behind its `ifr_data` it reads and writes one `struct
    // ethtool_value`, two u32, for all commands that the callers above give: `request`, ours
    // alone and as long alive. The borrow keeps the descriptor open.
    let answer = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL, &raw mut carrier) };
    checked(answer)?;
    Ok(request[1])
}

const SIOCETHTOOL: libc::Ioctl = 0x8946;
const ETHTOOL_GFLAGS: u32 = 0x25;
const ETHTOOL_SFLAGS: u32 = 0x26;

/// Whether checksums are done by the device.
pub(crate) const ETHTOOL_GTXCSUM: u32 = 0x16;
/// The same, switched.
pub(crate) const ETHTOOL_STXCSUM: u32 = 0x17;
/// Received checksums, TSO, GSO, GRO: ETHTOOL_SRXCSUM, _STSO, _SGSO, _SGRO.
pub(crate) const ETHTOOL_OFFLOADS: [u32; 4] = [0x15, 0x1f, 0x24, 0x2c];

/// Another descriptor of what a process has open under this number (pidfd_open(2),
/// pidfd_getfd(2); since Linux 5.6).
pub(crate) fn descriptor_of(pid: u32, descriptor: i32) -> io::Result<OwnedFd> {
    let nothing: libc::c_uint = 0;
    // SAFETY: pidfd_open(2) takes two numbers and touches no memory of ours.
    let answer = unsafe { libc::syscall(libc::SYS_pidfd_open, pid as libc::pid_t, nothing) };
    let owned = new_descriptor(answer)?;
    let process = owned.as_raw_fd();
    // SAFETY: pidfd_getfd(2) takes three numbers and touches no memory of ours; `owned` keeps
    // its descriptor open until the end of this function.
    let answer = unsafe { libc::syscall(libc::SYS_pidfd_getfd, process, descriptor, nothing) };
    new_descriptor(answer)
}

/// Whether the device of a TUN, TAP or macvtap descriptor is still there.
pub(crate) fn tun_is_attached(tun: BorrowedFd<'_>) -> bool {
    let mut request = libc::ifreq {
        ifr_name: [0; libc::IFNAMSIZ],
        ifr_ifru: libc::__c_anonymous_ifr_ifru { ifru_flags: 0 },
    };
    // SAFETY: ioctl(TUNGETIFF) of linux/if_tun.h writes one `struct ifreq`: `request`, ours alone
    // and alive until the call returns; the borrow keeps the descriptor open.
    let answer = unsafe { libc::ioctl(tun.as_raw_fd(), libc::TUNGETIFF, &raw mut request) };
    answer == 0
}

/// Mounts a file system of this kind, with default options, and attaches it nowhere: it can be
/// reached by the descriptor alone, and goes with it (fsopen(2), fsconfig(2), fsmount(2); since
/// Linux 5.2). A sysfs shows the network namespace of the calling thread.
pub(crate) fn detached_mount(kind: &CStr) -> io::Result<OwnedFd> {
    // SAFETY: fsopen(2) reads the terminated string behind the pointer: `kind`, borrowed until
    // the call returns; the flags are passed by value.
    let answer = unsafe { libc::syscall(libc::SYS_fsopen, kind.as_ptr(), FSOPEN_CLOEXEC) };
    let kind = new_descriptor(answer)?;
    let nothing = ptr::null::<libc::c_char>();
    // SAFETY: fsconfig(2) with FSCONFIG_CMD_CREATE wants key and value to be null and aux to be
    // zero, and touches no memory of ours; `kind` keeps the descriptor open.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_fsconfig,
            kind.as_raw_fd(),
            FSCONFIG_CMD_CREATE,
            nothing,
            nothing,
            0 as libc::c_int,
        )
    };
    checked(answer as libc::c_int)?;
    let no_attributes: libc::c_uint = 0;
    // SAFETY: fsmount(2) takes three numbers and touches no memory of ours; `kind` keeps the
    // descriptor open.
    let answer = unsafe {
        libc::syscall(libc::SYS_fsmount, kind.as_raw_fd(), FSMOUNT_CLOEXEC, no_attributes)
    };
    new_descriptor(answer)
}

/// linux/mount.h.
const FSOPEN_CLOEXEC: libc::c_uint = 1;
const FSCONFIG_CMD_CREATE: libc::c_uint = 6;
const FSMOUNT_CLOEXEC: libc::c_uint = 1;

/// Owns what a system call that makes descriptors has answered.
fn new_descriptor(answer: libc::c_long) -> io::Result<OwnedFd> {
    let number = checked(answer as libc::c_int)?;
    // SAFETY: from_raw_fd wants an open descriptor that nobody else owns: all callers pass the
    // answer of a call that has just made one, and it did not fail.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// A link's name as the kernel wants it: cut, and with a zero behind it.
fn link_name(name: &str) -> [libc::c_char; libc::IFNAMSIZ] {
    let mut octets = [0; libc::IFNAMSIZ];
    for (to, from) in octets[..LINK_NAME_MAX].iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    octets
}

/// Frames that a packet socket had no room for since this was asked last.
pub(crate) fn packet_drops(socket: BorrowedFd<'_>) -> io::Result<u32> {
    let mut counts = libc::tpacket_stats { tp_packets: 0, tp_drops: 0 };
    let mut len = mem::size_of_val(&counts) as libc::socklen_t;
    let (level, option) = (libc::SOL_PACKET, libc::PACKET_STATISTICS);
    let (to, len) = ((&raw mut counts).cast(), &raw mut len);
    // SAFETY: getsockopt(2) writes at most `len` octets behind the pointer, the whole of `counts`,
    // and the length behind the other; both are ours alone and alive until the call returns. The
    // borrow keeps the descriptor open.
    let answer = unsafe { libc::getsockopt(socket.as_raw_fd(), level, option, to, len) };
    checked(answer)?;
    Ok(counts.tp_drops)
}

/// Sets a socket option that is a structure of the kernel's: the caller names the right one.
pub(crate) fn set_option_struct<T: Copy>(
    socket: BorrowedFd<'_>,
    level: libc::c_int,
    option: libc::c_int,
    value: &T,
) -> io::Result<()> {
    let len = mem::size_of::<T>() as libc::socklen_t;
    let value: *const T = value;
    // SAFETY: setsockopt(2) reads `len` octets behind the pointer: the whole of `value`, borrowed
    // until the call returns; the borrow keeps the descriptor open.
    let answer = unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, value.cast(), len) };
    checked(answer).map(drop)
}

fn checked(answer: libc::c_int) -> io::Result<libc::c_int> {
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(answer) }
}

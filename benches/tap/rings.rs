//! The yardstick for packet ports: a loop from the receive ring of one packet socket to the other
//! socket and nothing else, with rings and calls as a packet port has them. Frames are sent from
//! where they lie; those too large for a slot are read from the socket's queue and written.
#![allow(unsafe_code)]

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd},
    ptr,
    sync::atomic::{AtomicU32, Ordering},
    thread,
};

use libc::{c_int, c_long, c_uint, tpacket2_hdr};
use netlab::Namespace;
use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::socket::{
        AddressFamily, SockFlag, SockType, setsockopt, socket,
        sockopt::{RcvBufForce, SndBufForce},
    },
};
use rustix::io::{read, write};
use uswitch::frame::{BATCH_MAX, WIRE_MAX};

/// As in switch/src/port/packet/ring.rs.
const SLOT_OCTETS: usize = 2048;
const SLOTS: usize = 1024;
const BLOCK_OCTETS: usize = 64 * 1024;
/// Octets of the virtio-net header, which in a slot lies right before its frame.
const HEADER_LEN: usize = 10;

/// A packet socket with its ring, for as long as the process runs.
pub struct Ring {
    fd: OwnedFd,
    memory: *mut u8,
}

// SAFETY: Sync wants that shared use from several threads is sound: the mapping is never unmapped,
// and only the one thread that receives from this ring follows the pointer.
unsafe impl Sync for Ring {}

/// Opens a socket on a device of a namespace, all of whose frames come by the ring or the queue.
pub fn open(namespace: &Namespace, device: &str) -> io::Result<Ring> {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let new = || socket(AddressFamily::Packet, SockType::Raw, flags, None);
    let fd = namespace.run(new)??;
    let mut links = namespace.links()?;
    let index = links.expect(device)?.index as c_int;
    // The host does not see what the socket takes: that would cost time. It goes with the link.
    let _deaf = links.drop_ingress(device)?;
    set(&fd, libc::PACKET_VERSION, &(libc::tpacket_versions::TPACKET_V2 as c_int))?;
    set(&fd, libc::PACKET_VNET_HDR, &1)?;
    set(&fd, libc::PACKET_COPY_THRESH, &1)?;
    set(&fd, libc::PACKET_IGNORE_OUTGOING, &1)?;
    setsockopt(&fd, RcvBufForce, &(1 << 20))?;
    setsockopt(&fd, SndBufForce, &(1 << 20))?;
    let octets = SLOT_OCTETS * SLOTS;
    let request = libc::tpacket_req {
        tp_block_size: BLOCK_OCTETS as c_uint,
        tp_block_nr: (octets / BLOCK_OCTETS) as c_uint,
        tp_frame_size: SLOT_OCTETS as c_uint,
        tp_frame_nr: SLOTS as c_uint,
    };
    set(&fd, libc::PACKET_RX_RING, &request)?;
    let (rights, shared) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
    let (place, socket) = (ptr::null_mut(), fd.as_raw_fd());
    // SAFETY: mmap(2) without MAP_FIXED changes no memory of ours, and `fd` is open.
    let memory = unsafe { libc::mmap(place, octets, rights, shared, socket, 0) };
    if memory == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    let address = libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as u16,
        sll_protocol: (libc::ETH_P_ALL as u16).to_be(),
        sll_ifindex: index,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    let (from, len) = ((&raw const address).cast(), size_of_val(&address) as libc::socklen_t);
    // SAFETY: bind(2) reads `len` octets, the whole of `address`, which outlives the call.
    check(unsafe { libc::bind(fd.as_raw_fd(), from, len) })?;
    Ok(Ring { fd, memory: memory.cast() })
}

/// Runs until the process is killed, a thread for each direction.
pub fn run(rings: &[Ring; 2]) {
    let [a, b] = rings;
    thread::scope(|scope| {
        scope.spawn(|| sleeping(a, b.fd.as_fd()));
        scope.spawn(|| sleeping(b, a.fd.as_fd()));
    });
}

fn sleeping(from: &Ring, to: BorrowedFd<'_>) {
    let mut buffer = vec![0; WIRE_MAX];
    let mut next = 0;
    loop {
        let mut fds = [PollFd::new(from.fd.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::NONE).expect("poll works");
        while carry(from, to, &mut next, &mut buffer) {}
    }
}

/// Carries over what is in the next slots, up to a batch or the end of the ring. `false`: nothing
/// is there.
fn carry(from: &Ring, to: BorrowedFd<'_>, next: &mut usize, buffer: &mut [u8]) -> bool {
    let empty = libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 };
    let (mut parts, mut count) = ([empty; BATCH_MAX], 0);
    let first = *next;
    while count < BATCH_MAX && first + count < SLOTS {
        let slot = from.memory.wrapping_add((first + count) * SLOT_OCTETS);
        if status(slot).load(Ordering::Acquire) & libc::TP_STATUS_USER == 0 {
            break;
        }
        // SAFETY: by its status the slot is ours, and it begins with its header.
        let header = unsafe { ptr::read(slot.cast::<tpacket2_hdr>()) };
        if header.tp_status & libc::TP_STATUS_COPY != 0 {
            if count > 0 {
                break;
            }
            // What has no room is lost, as in the switch.
            let _ = read(&from.fd, &mut *buffer).and_then(|len| write(to, &buffer[..len]));
            status(slot).store(libc::TP_STATUS_KERNEL, Ordering::Release);
            *next = (first + 1) % SLOTS;
            return true;
        }
        parts[count].iov_base = slot.wrapping_add(usize::from(header.tp_mac) - HEADER_LEN).cast();
        parts[count].iov_len = HEADER_LEN + header.tp_snaplen as usize;
        count += 1;
    }
    send(to.as_raw_fd(), &mut parts[..count]);
    for slot in first..first + count {
        let slot = from.memory.wrapping_add(slot * SLOT_OCTETS);
        status(slot).store(libc::TP_STATUS_KERNEL, Ordering::Release);
    }
    *next = (first + count) % SLOTS;
    count > 0
}

/// Sends what the parts describe; one that is not taken is skipped.
fn send(fd: RawFd, parts: &mut [libc::iovec]) {
    let header = |part: &mut libc::iovec| libc::mmsghdr {
        msg_hdr: libc::msghdr {
            msg_name: ptr::null_mut(),
            msg_namelen: 0,
            msg_iov: part,
            msg_iovlen: 1,
            msg_control: ptr::null_mut(),
            msg_controllen: 0,
            msg_flags: 0,
        },
        msg_len: 0,
    };
    let mut unused = libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 };
    let mut headers = [header(&mut unused); BATCH_MAX];
    let count = parts.len();
    for (to, part) in headers.iter_mut().zip(parts) {
        *to = header(part);
    }
    const FLAGS: c_long = libc::MSG_DONTWAIT as c_long;
    let (fd, mut done) = (c_long::from(fd), 0);
    while done < count {
        let (first, left) = ((&raw mut headers[done]), (count - done) as c_long);
        // SAFETY: sendmmsg(2) reads and writes `left` headers from `first` on, which are in
        // `headers`; each points to a part, and that to octets of a slot that is ours.
        let sent = unsafe { libc::syscall(libc::SYS_sendmmsg, fd, first, left, FLAGS) };
        done += usize::try_from(sent).unwrap_or(1);
    }
}

fn status<'a>(slot: *mut u8) -> &'a AtomicU32 {
    // SAFETY: tp_status is the first word of a slot, which begins on a multiple of 2048 of a
    // mapping that is never unmapped; it is only used as an atomic, or read while it is ours.
    unsafe { AtomicU32::from_ptr(slot.cast()) }
}

fn set<T: Copy>(fd: &OwnedFd, option: c_int, value: &T) -> io::Result<()> {
    let (from, len) = (ptr::from_ref(value).cast(), size_of::<T>() as libc::socklen_t);
    // SAFETY: setsockopt(2) reads `len` octets, the whole of `value`, which outlives the call.
    check(unsafe { libc::setsockopt(fd.as_raw_fd(), libc::SOL_PACKET, option, from, len) })
}

fn check(result: c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

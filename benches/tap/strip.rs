//! The yardstick for TUNs: a loop between a TAP and a TUN that takes the Ethernet header off and
//! puts it on again, and nothing else, a thread for each direction.

use std::{
    io::{IoSlice, IoSliceMut},
    os::fd::BorrowedFd,
    thread,
};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::io::{read, readv, write, writev};
use uswitch::{
    frame::{HEADER_LEN, WIRE_MAX},
    offload::{Offload, VNET_HEADER_LEN},
    port::{Port, Rx, tap::Tap, tun::Tun},
};

/// Octets in front of a packet in a frame that a TAP gives.
const LEAD: usize = VNET_HEADER_LEN + HEADER_LEN;
/// By so many octets the packet's places move.
const MOVED: u16 = HEADER_LEN as u16;
/// Types of frames that bear packets (IANA, IEEE 802 numbers), by the version of IP.
const TYPES: [(u8, [u8; 2]); 2] = [(4, [0x08, 0x00]), (6, [0x86, 0xdd])];

/// Runs until it is killed. `host` is who hears the frames on the TAP, `own` who says them.
pub fn run(tap: Tap, tun: Tun, host: [u8; 6], own: [u8; 6]) {
    let (tap_rx, _) = tap.split().expect("an open TAP comes apart");
    let (tun_rx, _) = tun.split().expect("an open TUN comes apart");
    let tap = tap_rx[0].wait_on().expect("a TAP has one");
    let tun = tun_rx[0].wait_on().expect("a TUN has one");
    let header = [host, own].concat();
    thread::scope(|scope| {
        scope.spawn(|| sleeping(tap, |frame| strip(tap, tun, frame)));
        scope.spawn(|| sleeping(tun, |frame| dress(tun, tap, &header, frame)));
    });
}

/// Carries over what is there, then sleeps.
fn sleeping(from: BorrowedFd<'_>, mut carry: impl FnMut(&mut [u8]) -> bool) {
    let mut frame = vec![0; WIRE_MAX];
    loop {
        poll(&mut [PollFd::new(from, PollFlags::POLLIN)], PollTimeout::NONE).expect("poll works");
        while carry(&mut frame) {}
    }
}

/// A frame from the TAP to the TUN. `false`: nothing is there. What has no room is lost.
fn strip(tap: BorrowedFd<'_>, tun: BorrowedFd<'_>, frame: &mut [u8]) -> bool {
    let Ok(len) = read(tap, &mut *frame) else { return false };
    if len > LEAD && TYPES.iter().any(|(_, kind)| frame[LEAD - 2..LEAD] == *kind) {
        let vnet = Offload::parse(frame.first_chunk().expect("a TAP gives it")).without(MOVED);
        let vnet = vnet.unwrap_or_default().emit();
        let _ = writev(tun, &[IoSlice::new(&vnet), IoSlice::new(&frame[LEAD..len])]);
    }
    true
}

/// A packet from the TUN to the TAP. `false`: nothing is there. What has no room is lost.
fn dress(tun: BorrowedFd<'_>, tap: BorrowedFd<'_>, header: &[u8], frame: &mut [u8]) -> bool {
    let (vnet, rest) = frame.split_at_mut(VNET_HEADER_LEN);
    let packet = &mut rest[HEADER_LEN..];
    let Ok(len) = readv(tun, &mut [IoSliceMut::new(vnet), IoSliceMut::new(packet)]) else {
        return false;
    };
    let version = packet[0] >> 4;
    if let Some((_, kind)) = TYPES.iter().find(|(of, _)| *of == version) {
        let vnet = Offload::parse(frame.first_chunk().expect("a TUN gives it")).behind(MOVED);
        frame[..VNET_HEADER_LEN].copy_from_slice(&vnet.unwrap_or_default().emit());
        frame[VNET_HEADER_LEN..LEAD - 2].copy_from_slice(header);
        frame[LEAD - 2..LEAD].copy_from_slice(kind);
        let _ = write(tap, &frame[..len + HEADER_LEN]);
    }
    true
}

//! Frames through a bridge, octet for octet: what is sent at one socket, and what comes out at
//! the others.
//!
//! Silence cannot be awaited. So behind the frames goes a marker, a broadcast from the same
//! socket: a bridge keeps the order, so what has not arrived before the marker never will.

use std::{
    io,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use netlab::{FrameSocket, Namespace, errno};
use nix::errno::Errno;

/// After so long, what is awaited does not come any more. Nothing is as slow as that.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// Makes a host ask for its neighbours at a device for [`PATIENCE`], and keep what is for them.
/// By itself it asks for three seconds, then loses what waits and tells no socket: a switch that
/// gets no turn for so long, on a busy machine, would cost a test the one packet it waits for.
///
/// # Panics
///
/// If there is no such device.
pub fn ask_long(host: &Namespace, device: &str) {
    for version in ["ipv4", "ipv6"] {
        let name = format!("net/{version}/neigh/{device}/mcast_solicit");
        host.set_sysctl(&name, &PATIENCE.as_secs().to_string()).expect("the device is there");
    }
}

/// Everybody.
pub const BROADCAST: [u8; 6] = [0xff; 6];

/// The Ethernet type for local experiments (IEEE 802-2014, 9.2.3).
pub const EXPERIMENT: [u8; 2] = [0x88, 0xb5];

/// A station of our own making, one for each number.
pub const fn station(number: u8) -> [u8; 6] {
    [2, 0, 0, 0, 1, number]
}

/// Who sends the markers behind a socket.
pub const fn marking_station(socket: usize) -> [u8; 6] {
    [2, 0, 0, 0, 2, socket as u8]
}

/// A frame with a type for experiments.
pub fn frame(to: [u8; 6], from: [u8; 6], payload: &[u8]) -> Vec<u8> {
    [&to[..], &from, &EXPERIMENT, payload].concat()
}

/// Sends frames at one of the sockets and returns what came out at each of them, that one left
/// out: its own list is empty.
///
/// # Panics
///
/// If a socket does not send, or the marker does not arrive at all of the others.
pub fn exchange(
    sockets: &mut [FrameSocket],
    from: usize,
    frames: &[impl AsRef<[u8]>],
) -> Vec<Vec<Vec<u8>>> {
    static MARKERS: AtomicU64 = AtomicU64::new(0);
    let number = MARKERS.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    let marker = frame(BROADCAST, marking_station(from), &[&number[..], &[0; 38]].concat());
    for frame in frames.iter().map(AsRef::as_ref).chain([&marker[..]]) {
        let len = frame.len();
        send(&sockets[from], frame).unwrap_or_else(|e| {
            panic!("a frame of {len} octets leaves socket {from}: {}", netlab::explain(&e))
        });
    }
    let others = sockets.iter_mut().enumerate();
    others
        .map(|(at, socket)| if at == from { Vec::new() } else { receive(socket, at, &marker) })
        .collect()
}

/// Sends a frame as soon as there is room for it: until then its link refuses it. Behind a veth
/// pair lies the processor's backlog (`netdev_max_backlog`), which all pairs share, and a test
/// beside this one may fill it.
///
/// # Errors
///
/// The link refuses it for another reason, or there is no room in all the time that there is.
pub fn send(socket: &FrameSocket, frame: &[u8]) -> io::Result<()> {
    let begin = Instant::now();
    loop {
        match socket.send(frame) {
            Err(e) if errno(&e) == Some(Errno::ENOBUFS as i32) && begin.elapsed() < PATIENCE => {
                thread::yield_now();
            }
            sent => return sent,
        }
    }
}

/// What a socket receives until the marker comes.
fn receive(socket: &mut FrameSocket, at: usize, marker: &[u8]) -> Vec<Vec<u8>> {
    let mut received = Vec::new();
    loop {
        let frame = socket.recv(PATIENCE).expect("the link is up");
        match frame.unwrap_or_else(|| panic!("the marker arrives at socket {at}")) {
            frame if frame == marker => return received,
            frame => received.push(frame),
        }
    }
}

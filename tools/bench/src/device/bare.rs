//! The yardstick: a loop that reads from one TAP and writes to the other, and nothing else.

use std::{
    os::fd::{AsFd, BorrowedFd},
    thread,
};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::io::{read, write};
use uswitch::{
    frame::WIRE_MAX,
    port::{Port, Rx, tap::Tap},
};

use super::{Device, Kind, StartError, hosts, path_of, port_ends, role};

/// Threads of a bare loop.
#[derive(Clone, Copy)]
pub enum Loop {
    /// One for both directions.
    Single,
    /// One for each.
    Pair,
}

/// What a contender does when there is no frame.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// It sleeps until there is one.
    Sleep,
    /// It asks for a while before it sleeps.
    Spin,
    /// It asks again and again.
    Always,
}

/// In a process of its own, with a thread for each direction, and TAPs that it makes in the hosts'
/// namespaces.
pub(super) fn start() -> Result<Device, StartError> {
    let hosts = hosts(2)?;
    let child = role::start(&format!("loop {} {}", path_of(&hosts[0]), path_of(&hosts[1])))?;
    let (ports, processes) = (port_ends(hosts), vec![child]);
    Ok(Device {
        kind: Kind::Loop,
        ports,
        processes,
        polls: false,
        _between: Vec::new(),
        _folder: None,
    })
}

/// Runs until it is killed.
///
/// # Panics
///
/// If poll(2) fails.
pub fn run(taps: [Tap; 2], threads: Loop, wait: Wait) {
    let [a, b] = taps.map(|tap| tap.split().expect("an open TAP comes apart").0.remove(0));
    let (a, b) = (a.wait_on().expect("a TAP has one"), b.wait_on().expect("a TAP has one"));
    match (threads, wait) {
        (Loop::Pair, _) => thread::scope(|scope| {
            scope.spawn(|| sleeping(&[(a, b)]));
            scope.spawn(|| sleeping(&[(b, a)]));
        }),
        (Loop::Single, Wait::Sleep) => sleeping(&[(a, b), (b, a)]),
        (Loop::Single, _) => polling(&[(a, b), (b, a)]),
    }
}

/// Carries over what is there.
fn carry(from: BorrowedFd<'_>, to: BorrowedFd<'_>, buffer: &mut [u8]) {
    while let Ok(len) = read(from, &mut *buffer) {
        // What has no room is lost, as in the switch.
        let _ = write(to, &buffer[..len]);
    }
}

fn sleeping(ways: &[(BorrowedFd<'_>, BorrowedFd<'_>)]) {
    let mut buffer = vec![0; WIRE_MAX];
    let mut fds: Vec<_> =
        ways.iter().map(|(from, _)| PollFd::new(from.as_fd(), PollFlags::POLLIN)).collect();
    loop {
        poll(&mut fds, PollTimeout::NONE).expect("poll works");
        for (fd, (from, to)) in fds.iter().zip(ways) {
            if fd.any() == Some(true) {
                carry(*from, *to, &mut buffer);
            }
        }
    }
}

fn polling(ways: &[(BorrowedFd<'_>, BorrowedFd<'_>)]) {
    let mut buffer = vec![0; WIRE_MAX];
    loop {
        for (from, to) in ways {
            carry(*from, *to, &mut buffer);
        }
    }
}

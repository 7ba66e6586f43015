//! What the tests of this library share.

use std::{
    env,
    io::{self, Write},
    process,
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use crate::{FrameSocket, Namespace, Prefix, errno};

/// After so long, what is awaited does not come any more. Nothing is as slow as that.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Ends the calling test, aloud, unless it runs as root. CI must not skip it.
macro_rules! root {
    () => {
        if !$crate::test::is_root() {
            return;
        }
    };
}
pub(crate) use root;

pub(crate) fn is_root() -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        // Not by eprintln!: the harness would keep it to itself.
        let _ = writeln!(io::stderr(), "SKIPPED: needs root");
        assert_ne!(env::var("CI").as_deref(), Ok("true"), "CI must run this test: it needs root");
    }
    root
}

/// A name that no other test has, in this process or in another.
pub(crate) fn unique_name() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("netlab-{}-{}", process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// Two fresh namespaces with a veth pair between: `a` with 10.0.0.1 and fd00::1 in the first,
/// `b` with 10.0.0.2 and fd00::2 in the second.
pub(crate) fn pair() -> (Namespace, Namespace) {
    let (one, other) = (Namespace::new().unwrap(), Namespace::new().unwrap());
    one.links().unwrap().add_veth("a", Some(&other), "b").unwrap();
    for (namespace, link, host) in [(&one, "a", 1), (&other, "b", 2)] {
        let mut links = namespace.links().unwrap();
        for text in [format!("10.0.0.{host}/24"), format!("fd00::{host}/64")] {
            links.add_address(link, text.parse::<Prefix>().unwrap()).unwrap();
        }
        links.set_up(link).unwrap();
    }
    for (namespace, link) in [(&one, "a"), (&other, "b")] {
        assert!(namespace.links().unwrap().wait_running(link, PATIENCE).unwrap());
    }
    (one, other)
}

/// Tries until it succeeds. What goes through a veth pair may be lost on a busy machine: between
/// its ends lies the processor's backlog (`netdev_max_backlog`), which all pairs share, and a
/// test beside this one may fill it.
pub(crate) fn eventually(what: &str, mut succeeds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !succeeds() {
        assert!(begin.elapsed() < PATIENCE, "in time: {what}");
        thread::yield_now();
    }
}

/// Sends a frame as soon as that backlog has room for it: until then the link refuses it.
pub(crate) fn send(socket: &FrameSocket, frame: &[u8]) {
    eventually("there is room for the frame", || match socket.send(frame) {
        Ok(()) => true,
        Err(error) if errno(&error) == Some(libc::ENOBUFS) => false,
        Err(error) => panic!("{}", crate::explain(&error)),
    });
}

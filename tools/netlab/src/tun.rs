//! Persistent TAPs and TUNs, as `ip tuntap add` makes them, and who holds one.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::fd::AsFd,
};

use crate::{Namespace, error::sentence, link::link_name, sys};

/// Makes a TAP that stays when nobody holds it, in a namespace. `owner` may attach to it without
/// further rights; with `multi_queue`, several descriptors at once.
///
/// # Errors
///
/// The name is taken or cannot be one, /dev/net/tun cannot be opened, or what the kernel said.
pub fn tap_persistent(
    namespace: &Namespace,
    name: &str,
    owner: Option<u32>,
    multi_queue: bool,
) -> io::Result<()> {
    persistent(namespace, name, owner, multi_queue, libc::IFF_TAP)
}

/// Makes a TUN, which carries packets and no frames, otherwise like [`tap_persistent`].
///
/// # Errors
///
/// The name is taken or cannot be one, /dev/net/tun cannot be opened, or what the kernel said.
pub fn tun_persistent(
    namespace: &Namespace,
    name: &str,
    owner: Option<u32>,
    multi_queue: bool,
) -> io::Result<()> {
    persistent(namespace, name, owner, multi_queue, libc::IFF_TUN)
}

/// A process that holds the descriptor side of a TUN, a TAP or a macvtap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its number.
    pub pid: u32,
    /// What it calls itself (/proc/PID/comm).
    pub program: String,
}

/// The processes that hold the TUN or TAP of this name, in the order of their numbers. It sees
/// those that the caller may look into: all for root. The namespace of the device is not told
/// apart, for the kernel shows its name only.
///
/// # Errors
///
/// /proc is not there.
pub fn tun_holders(name: &str) -> io::Result<Vec<Holder>> {
    let line = format!("iff:\t{name}");
    holders_where(|pid| holds(pid, &line))
}

/// The processes of which this is true, in the order of their numbers.
pub(crate) fn holders_where(holds: impl Fn(u32) -> bool) -> io::Result<Vec<Holder>> {
    let mut holders = Vec::new();
    for entry in fs::read_dir("/proc").map_err(|error| sentence("/proc was not read", error))? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        if holds(pid) {
            let program = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            holders.push(Holder { pid, program: program.trim_end().to_string() });
        }
    }
    holders.sort_by_key(|holder| holder.pid);
    Ok(holders)
}

/// Tells whether a descriptor of the process has this line. Processes and descriptors come and go
/// while we look: what is gone holds nothing.
fn holds(pid: u32, line: &str) -> bool {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fdinfo")) else { return false };
    entries
        .flatten()
        .filter_map(|entry| fs::read_to_string(entry.path()).ok())
        .any(|info| info.lines().any(|one| one == line))
}

fn persistent(
    namespace: &Namespace,
    name: &str,
    owner: Option<u32>,
    multi_queue: bool,
    layer: libc::c_int,
) -> io::Result<()> {
    link_name(name)?;
    let queues = if multi_queue { libc::IFF_MULTI_QUEUE } else { 0 };
    // Without IFF_TUN_EXCL, a TUN that is there already would be taken for the new one.
    let flags = layer | queues | libc::IFF_NO_PI | IFF_TUN_EXCL;
    let made = namespace.run(|| -> io::Result<()> {
        let tun = open_tun()?;
        sys::attach_tun(tun.as_fd(), name, flags)?;
        if let Some(owner) = owner {
            sys::own_tun(tun.as_fd(), owner)?;
        }
        sys::persist_tun(tun.as_fd())
    })?;
    made.map_err(|error| {
        let kind = if layer == libc::IFF_TAP { "TAP" } else { "TUN" };
        sentence(format!("the {kind} `{name}` was not made"), error)
    })
}

fn open_tun() -> io::Result<File> {
    let path = "/dev/net/tun";
    OpenOptions::new().read(true).write(true).open(path).map_err(|error| {
        let why = match error.kind() {
            io::ErrorKind::NotFound => "load the module `tun`, or give the device to the container",
            _ => "its mode is 0666 on most systems",
        };
        sentence(format!("`{path}` did not open ({why})"), error)
    })
}

/// linux/if_tun.h; as `short` it is negative.
const IFF_TUN_EXCL: libc::c_int = 0x8000;

#[cfg(test)]
mod tests {
    use std::process;

    use super::*;
    use crate::{Tun, errno, test};

    #[test]
    fn tap_and_tun_are_told_apart_and_stay() {
        test::root!();
        let namespace = Namespace::new().unwrap();
        tap_persistent(&namespace, "tap0", Some(1234), true).unwrap();
        tun_persistent(&namespace, "tun0", None, false).unwrap();
        let mut links = namespace.links().unwrap();
        let tap = links.get("tap0").unwrap().unwrap();
        assert_eq!(tap.kind.as_deref(), Some("tun"));
        let described = Tun {
            tap: true,
            persist: true,
            multi_queue: true,
            vnet_hdr: false,
            queues: 0,
            owner: Some(1234),
        };
        assert_eq!(tap.tun, Some(described));
        let tun = links.get("tun0").unwrap().unwrap();
        let described = Tun { persist: true, ..Tun::default() };
        assert_eq!((tun.mac, tun.tun), (None, Some(described)));

        let error = tap_persistent(&namespace, "tap0", None, true).unwrap_err();
        assert_eq!(errno(&error), Some(libc::EBUSY));
        assert_eq!(error.to_string(), "the TAP `tap0` was not made");
        links.delete("tap0").unwrap();
        assert_eq!(links.get("tap0").unwrap(), None);
        assert!(tap_persistent(&namespace, "a/b", None, false).is_err());
    }

    #[test]
    fn descriptors_of_a_tap_with_several_queues_are_counted() {
        test::root!();
        let namespace = Namespace::new().unwrap();
        tap_persistent(&namespace, "tap0", None, true).unwrap();
        let flags = libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_MULTI_QUEUE;
        let attach = || {
            let attached = namespace.run(|| {
                let tun = open_tun().unwrap();
                sys::attach_tun(tun.as_fd(), "tap0", flags).unwrap();
                tun
            });
            attached.unwrap()
        };
        let mut links = namespace.links().unwrap();
        let mut queues = || links.expect("tap0").unwrap().tun.unwrap().queues;
        let (one, other) = (attach(), attach());
        assert_eq!(queues(), 2);
        drop(one);
        assert_eq!(queues(), 1);
        drop(other);
        assert_eq!(queues(), 0);
    }

    #[test]
    fn the_holder_of_a_tap_is_found_while_it_holds_it() {
        test::root!();
        let namespace = Namespace::new().unwrap();
        // A name that no other test has: the kernel does not show the namespace.
        let name = format!("h{}", process::id());
        let held = namespace.run(|| {
            let tun = open_tun().unwrap();
            sys::attach_tun(tun.as_fd(), &name, libc::IFF_TAP | libc::IFF_NO_PI).unwrap();
            tun
        });
        let held = held.unwrap();
        let mut links = namespace.links().unwrap();
        links.set_up(&name).unwrap();
        assert!(links.wait_running(&name, test::PATIENCE).unwrap());
        let holders = tun_holders(&name).unwrap();
        assert_eq!(holders.iter().map(|holder| holder.pid).collect::<Vec<_>>(), [process::id()]);
        assert!(!holders[0].program.is_empty());
        drop(held);
        assert_eq!(tun_holders(&name).unwrap(), []);
    }
}

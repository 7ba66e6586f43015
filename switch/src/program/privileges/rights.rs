//! No capability in any set (capabilities(7)), and none to be had by execve(2). For the opener: no
//! other than those that opening takes.

use caps::{CapSet, Capability, CapsHashSet};
use nix::sys::prctl;

/// Gives them up, for this thread and those that it starts.
///
/// # Errors
///
/// What the system said; one is left.
pub(super) fn drop() -> Result<(), String> {
    prctl::set_no_new_privs().map_err(|errno| errno.desc().to_owned())?;
    // The bounding set first, for that takes CAP_SETPCAP. Whoever has not may leave it: it bounds
    // what execve(2) would give, and that now gives nothing.
    let _ = caps::clear(None, CapSet::Bounding);
    let failed = |error: caps::errors::CapsError| error.to_string();
    // Before Linux 4.3 there is no such set.
    if caps::runtime::ambient_set_supported().is_ok() {
        caps::clear(None, CapSet::Ambient).map_err(failed)?;
    }
    // In this order: what is effective has to be permitted.
    for set in [CapSet::Effective, CapSet::Permitted, CapSet::Inheritable] {
        caps::set(None, set, &CapsHashSet::new()).map_err(failed)?;
    }
    for set in [CapSet::Effective, CapSet::Permitted, CapSet::Inheritable] {
        if !caps::read(None, set).map_err(failed)?.is_empty() {
            return Err(format!("the {set:?} set is not empty"));
        }
    }
    Ok(())
}

/// What it takes to open and remove ports.
const OPENERS: [Capability; 8] = [
    // TAPs, and all other links.
    Capability::CAP_NET_ADMIN,
    // Packet sockets.
    Capability::CAP_NET_RAW,
    // `udp:` below port 1024.
    Capability::CAP_NET_BIND_SERVICE,
    // Other namespaces: setns(2).
    Capability::CAP_SYS_ADMIN,
    // Those of processes of other users, or with other rights: /proc/PID/ns/net.
    Capability::CAP_SYS_PTRACE,
    // The nodes of macvtaps.
    Capability::CAP_MKNOD,
    // Sockets and captures in folders of other users, and sockets that were left behind there.
    Capability::CAP_DAC_OVERRIDE,
    Capability::CAP_FOWNER,
];

/// Gives up all others, for this thread and those that it starts.
///
/// # Errors
///
/// What the system said.
pub(super) fn keep_for_opener() -> Result<(), String> {
    let failed = |error: caps::errors::CapsError| error.to_string();
    prctl::set_no_new_privs().map_err(|errno| errno.desc().to_owned())?;
    let kept = CapsHashSet::from(OPENERS);
    // As far as that can be: without CAP_SETPCAP the bounding set stays, and bounds nothing.
    for other in caps::runtime::procfs_all_supported(None).unwrap_or_default().difference(&kept) {
        let _ = caps::drop(None, CapSet::Bounding, *other);
    }
    if caps::runtime::ambient_set_supported().is_ok() {
        caps::clear(None, CapSet::Ambient).map_err(failed)?;
    }
    let has = caps::read(None, CapSet::Permitted).map_err(failed)?;
    let kept: CapsHashSet = has.intersection(&kept).copied().collect();
    caps::set(None, CapSet::Effective, &kept).map_err(failed)?;
    caps::set(None, CapSet::Permitted, &kept).map_err(failed)?;
    caps::set(None, CapSet::Inheritable, &CapsHashSet::new()).map_err(failed)
}

//! No capability in any set (capabilities(7)), and none to be had by execve(2).

use caps::{CapSet, CapsHashSet};
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

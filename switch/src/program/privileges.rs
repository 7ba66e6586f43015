//! What the switch may do. It begins with the rights of whoever starts it, starts the opener
//! (`uswitch::plug::Opener`), which keeps them, and gives its own up before it has a second thread
//! and before the first frame:
//!
//! 1. `rights`: no capability, in no set, and none by executing anything;
//! 2. `folders`: no file but what it still needs (landlock(7));
//! 3. `calls`: no system call but those that it makes (seccomp(2)).
//!
//! Threads have what the thread had that started them: so all of them have this.

mod calls;
mod folders;
mod rights;

use std::path::Path;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use uswitch::topology::{PortKind, PortSpec};

/// Descriptors that the switch may have at the most, where it may say that itself: the kernel's
/// own bound, unless somebody has changed it (fs.nr_open).
const DESCRIPTORS_MAX: u64 = 1 << 20;

/// Files for which there is use later.
pub(crate) struct Needs<'a> {
    /// The configuration file, which may be read again.
    pub(crate) config: Option<&'a Path>,
    /// The file of routes, likewise.
    pub(crate) routes: Option<&'a Path>,
    /// The folder of the control socket, which is removed at the end.
    pub(crate) control: Option<&'a Path>,
    /// The socket of the metrics, for the same reason.
    pub(crate) metrics: Option<&'a Path>,
    /// The ports of the start: VDE makes sockets.
    pub(crate) ports: &'a [PortSpec],
}

/// Raises the bound to what may be raised later: beyond it takes a right (CAP_SYS_RESOURCE). For
/// whoever has not, it stays.
pub(crate) fn raise_descriptor_bound() {
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && hard < DESCRIPTORS_MAX
    {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, soft, DESCRIPTORS_MAX);
    }
}

/// Gives up all rights. To be called before the first thread is started. Returns what this kernel
/// cannot do about it: sentences.
///
/// # Errors
///
/// A sentence: then nothing may be begun.
pub(crate) fn give_up(needs: &Needs<'_>) -> Result<Vec<String>, String> {
    let failed = |what: &str, why: String| format!("rights were not given up: {what}: {why}");
    rights::drop().map_err(|why| failed("capabilities", why))?;
    let missing = folders::confine(needs).map_err(|why| failed("landlock", why))?;
    let vde = needs.ports.iter().any(|port| matches!(port.kind, PortKind::Vde(_)));
    calls::confine(vde).map_err(|why| failed("seccomp", why))?;
    Ok(missing.into_iter().collect())
}

/// Leaves this process what an opener needs, as far as it has it, and nothing else for ever.
pub(crate) fn keep_for_opener() {
    // It can do its work with more as well, and there is nobody yet to be told.
    let _ = rights::keep_for_opener();
}

/// What this kernel cannot do to confine a process to folders: a sentence, without its end.
pub(crate) fn missing() -> Option<String> {
    // In a thread of its own, for it is the thread that is confined.
    let none = Needs { config: None, routes: None, control: None, metrics: None, ports: &[] };
    let tried = std::thread::scope(|scope| {
        scope.spawn(|| folders::confine(&none)).join().unwrap_or(Err("it panicked".to_owned()))
    });
    tried.unwrap_or_else(Some)
}

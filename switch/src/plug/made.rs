//! Devices that are made for a port and go with it. Each bears a mark, its alias, with the number
//! of our process: what a switch that was killed has left behind is known by it, and made anew.

use std::{fs, io, process};

use netlab::{Created, Links, Namespace};

/// What the mark begins with. `ip link` shows it as the alias.
const MARK: &str = "made by uswitch, process ";

/// Makes a device, in the place of one that was left behind. If it cannot be finished it is removed
/// at once.
///
/// # Errors
///
/// The name is taken by a device of somebody else, or what `add` or `finish` said.
pub(super) fn make(
    namespace: &Namespace,
    device: &str,
    add: impl FnOnce(&mut Links) -> io::Result<()>,
    finish: impl FnOnce(&mut Links) -> io::Result<()>,
) -> io::Result<Created> {
    clear(namespace, device)?;
    let mut links = namespace.links()?;
    add(&mut links).map_err(|error| match netlab::errno(&error) {
        Some(libc::EEXIST) => io::Error::new(
            io::ErrorKind::AlreadyExists,
            format!(
                "it is there already: `packet:{device}` serves one that is there, \
                 `sudo ip link del {device}` removes it"
            ),
        ),
        _ => error,
    })?;
    let created = Created::new(namespace, device)?;
    finish(&mut links)?;
    mark(namespace, device)?;
    Ok(created)
}

/// Removes a device of this name if a switch made it that is no more.
///
/// # Errors
///
/// What the system said.
pub(super) fn clear(namespace: &Namespace, device: &str) -> io::Result<()> {
    let mut links = namespace.links()?;
    let left = links.get(device)?.is_some_and(|link| link.alias.as_deref().is_some_and(is_left));
    if left { links.delete(device) } else { Ok(()) }
}

/// Marks a device as ours.
///
/// # Errors
///
/// What the system said.
pub(super) fn mark(namespace: &Namespace, device: &str) -> io::Result<()> {
    namespace.links()?.set_alias(device, &format!("{MARK}{}", process::id()))
}

/// Whether this is the mark of a process that is no more, or is another program by now.
fn is_left(alias: &str) -> bool {
    let Some(pid) = alias.strip_prefix(MARK) else { return false };
    let program = |pid: &str| fs::read_to_string(format!("/proc/{pid}/comm")).ok();
    pid.bytes().all(|b| b.is_ascii_digit()) && program(pid) != program("self")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_mark_of_a_process_that_is_no_more_says_that_a_device_was_left() {
        assert!(!is_left(&format!("{MARK}{}", process::id())));
        assert!(!is_left("uplink") && !is_left(&format!("{MARK}x")));
        // Beyond what a process can have (linux/threads.h, PID_MAX_LIMIT).
        assert!(is_left(&format!("{MARK}{}", 1 << 23)));
        // Another program has the number.
        assert!(is_left(&format!("{MARK}1")));
    }
}

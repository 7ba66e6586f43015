//! What the demo may do, and what to type where it may not.
//!
//! Root has all that it takes. Anybody else makes a user namespace in which he is root, if the
//! kernel lets him; and he must be able to open /dev/net/tun, of which no namespace relieves him.

use std::{
    env, fmt,
    fs::{self, OpenOptions},
    io,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
};

use super::super::output;

/// Where TAPs come from.
const NODE: &str = "/dev/net/tun";

/// What makes the node, with the driver behind it.
const MAKE_NODE: &str =
    "sudo sh -c 'modprobe tun; mkdir -p /dev/net; mknod -m 666 /dev/net/tun c 10 200'";

/// CAP_NET_ADMIN, CAP_NET_RAW and CAP_SYS_ADMIN (linux/capability.h): addresses and devices,
/// pings and frames, namespaces.
const CAPABILITIES: u64 = 1 << 12 | 1 << 13 | 1 << 21;

/// On which ground the demo stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ground {
    /// The process has all rights that it takes.
    Root,
    /// It has them within a user namespace of its own.
    UserNamespace,
}

/// A permission that is missing: what it is, and a command that helps, with a word on it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Missing {
    what: String,
    help: Option<(String, &'static str)>,
    /// Whether root could do without.
    root_has_it: bool,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        match &self.help {
            Some((command, _)) => write!(f, ": `{command}` helps"),
            None => Ok(()),
        }
    }
}

/// Tells what is missing, each command on a line of its own, to be copied from there.
pub(super) fn tell(missing: &[Missing]) {
    for Missing { what, help, .. } in missing {
        output::complain(what);
        if let Some((command, about)) = help {
            output::tell(format_args!("  this helps:        {command}    # {about}"));
        }
    }
    if !is_root() && missing.iter().all(|missing| missing.root_has_it) {
        output::tell(format_args!("  or, being root:    sudo {} demo", program()));
    }
}

/// Makes sure of everything that the demo must be allowed to do.
///
/// # Errors
///
/// All that is missing, so that nobody has to come back twice.
pub(super) fn obtain() -> Result<Ground, Vec<Missing>> {
    let policy = Policy::read();
    let mut missing = Vec::new();
    // Opening it makes nothing: a device comes with TUNSETIFF.
    if let Err(error) = OpenOptions::new().read(true).write(true).open(NODE) {
        missing.push(node_missing(&error, mode_of_node()));
    }
    if is_capable() {
        return if missing.is_empty() { Ok(Ground::Root) } else { Err(missing) };
    }
    if let Err(error) = netlab::unshare_user() {
        missing.push(namespace_missing(&error, &policy));
    }
    if missing.is_empty() { Ok(Ground::UserNamespace) } else { Err(missing) }
}

/// Why there is no network namespace although the process seemed to have the right to make one.
pub(super) fn no_namespace(error: &io::Error) -> String {
    match Policy::read().max_net_namespaces {
        Some(0) => {
            let sysctl = "user.max_net_namespaces";
            let help = Some(allow(sysctl, "15000"));
            Missing { what: zero(sysctl), help, root_has_it: false }.to_string()
        }
        _ => netlab::reason(error),
    }
}

fn node_missing(error: &io::Error, mode: Option<Mode>) -> Missing {
    let (what, help) = match error.raw_os_error() {
        Some(libc::ENOENT) => (
            format!("there is no {NODE}, from which the switch gets its ports"),
            Some((MAKE_NODE, "the driver and its node")),
        ),
        Some(libc::ENXIO | libc::ENODEV) => (
            format!("there is no driver behind {NODE}, from which the switch gets its ports"),
            Some(("sudo modprobe tun", "the driver")),
        ),
        Some(libc::EACCES) if mode.is_some_and(|mode| !mode.is_open()) => (
            format!(
                "the permission to read and write {NODE} is missing ({})",
                mode.map(|mode| mode.to_string()).unwrap_or_default()
            ),
            Some(("sudo chmod 666 /dev/net/tun", "as most systems have it, and safe")),
        ),
        // Its mode is not what refused: a container's engine did, or another policy.
        Some(libc::EACCES | libc::EPERM) => (
            format!(
                "the permission to read and write {NODE} is missing: {}",
                netlab::reason(error)
            ),
            Some(("docker run --device /dev/net/tun ...", "if this is a container")),
        ),
        _ => (format!("{NODE} did not open: {}", netlab::reason(error)), None),
    };
    let help = help.map(|(command, about)| (command.to_owned(), about));
    let root_has_it = error.raw_os_error() == Some(libc::EACCES);
    Missing { what, help, root_has_it }
}

/// What `ls -l` shows of a file.
#[derive(Clone, Copy, Debug)]
struct Mode {
    bits: u32,
    owner: u32,
}

impl Mode {
    /// Everybody may read and write.
    fn is_open(self) -> bool {
        self.bits & 0o006 == 0o006
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "its mode is {:04o}, its owner ", self.bits)?;
        match self.owner {
            0 => f.write_str("root"),
            owner => write!(f, "user {owner}"),
        }
    }
}

/// `None`: it is not there, or not to be seen.
fn mode_of_node() -> Option<Mode> {
    let data = fs::metadata(NODE).ok()?;
    Some(Mode { bits: data.permissions().mode() & 0o7777, owner: data.uid() })
}

fn namespace_missing(error: &io::Error, policy: &Policy) -> Missing {
    let (what, help) = match policy {
        Policy { max_user_namespaces: Some(0), .. } => {
            let sysctl = "user.max_user_namespaces";
            (zero(sysctl), Some(allow(sysctl, "15000")))
        }
        Policy { max_net_namespaces: Some(0), .. } => {
            let sysctl = "user.max_net_namespaces";
            (zero(sysctl), Some(allow(sysctl, "15000")))
        }
        Policy { unprivileged_userns_clone: Some(0), .. } => {
            let sysctl = "kernel.unprivileged_userns_clone";
            (zero(sysctl), Some(allow(sysctl, "1")))
        }
        Policy { apparmor_restricts: Some(1), .. } => {
            let sysctl = "kernel.apparmor_restrict_unprivileged_userns";
            let what = format!(
                "the permission to make network namespaces is missing: AppArmor keeps it from \
                 programs without a profile (sysctl {sysctl} is 1)"
            );
            (what, Some(allow(sysctl, "0")))
        }
        Policy { container: true, .. } => {
            let what = "the permission to make network namespaces is missing: the container's \
                        engine withholds it";
            let options = "--privileged --device /dev/net/tun";
            let command = (format!("docker run {options} ..."), "or as your engine calls it");
            (what.to_owned(), Some(command))
        }
        _ => {
            let error = netlab::reason(error);
            (format!("the permission to make network namespaces is missing: {error}"), None)
        }
    };
    Missing { what, help, root_has_it: true }
}

fn zero(sysctl: &str) -> String {
    format!("the permission to make network namespaces is missing: sysctl {sysctl} is 0")
}

fn allow(sysctl: &str, value: &str) -> (String, &'static str) {
    (format!("sudo sysctl -w {sysctl}={value}"), "until the next boot")
}

/// How this program was called, for commands to be typed.
pub(super) fn program() -> String {
    let name = env::args_os().next().unwrap_or_else(|| "uswitch".into());
    let name = name.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
    if name.chars().all(plain) { name.into_owned() } else { format!("'{name}'") }
}

/// What the kernel allows to those who are not root. `None`: it has no such sysctl.
#[derive(Debug, Default)]
struct Policy {
    max_user_namespaces: Option<u64>,
    max_net_namespaces: Option<u64>,
    unprivileged_userns_clone: Option<u64>,
    apparmor_restricts: Option<u64>,
    /// Docker and Podman leave a mark.
    container: bool,
}

impl Policy {
    fn read() -> Policy {
        let sysctl = |name: &str| {
            fs::read_to_string(Path::new("/proc/sys").join(name)).ok()?.trim().parse().ok()
        };
        Policy {
            max_user_namespaces: sysctl("user/max_user_namespaces"),
            max_net_namespaces: sysctl("user/max_net_namespaces"),
            unprivileged_userns_clone: sysctl("kernel/unprivileged_userns_clone"),
            apparmor_restricts: sysctl("kernel/apparmor_restrict_unprivileged_userns"),
            container: ["/.dockerenv", "/run/.containerenv"].iter().any(|p| Path::new(p).exists()),
        }
    }
}

/// Root of the machine, not of a user namespace (user_namespaces(7): its map is then another).
pub(super) fn is_root() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let is_initial = map.split_whitespace().eq(["0", "0", "4294967295"]);
    is_initial && status("Uid:").is_some_and(|ids| ids.split_whitespace().nth(1) == Some("0"))
}

fn is_capable() -> bool {
    let effective = status("CapEff:").and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok());
    effective.is_some_and(|bits| bits & CAPABILITIES == CAPABILITIES)
}

/// A line of /proc/self/status (proc_pid_status(5)), without its name.
fn status(name: &str) -> Option<String> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denied() -> io::Error {
        io::Error::from_raw_os_error(libc::EPERM)
    }

    #[test]
    fn each_refusal_names_its_sysctl_and_the_command_that_helps() {
        let cases = [
            (
                Policy { max_user_namespaces: Some(0), ..Policy::default() },
                "sudo sysctl -w user.max_user_namespaces=15000",
            ),
            (
                Policy { max_net_namespaces: Some(0), ..Policy::default() },
                "sudo sysctl -w user.max_net_namespaces=15000",
            ),
            (
                Policy { unprivileged_userns_clone: Some(0), ..Policy::default() },
                "sudo sysctl -w kernel.unprivileged_userns_clone=1",
            ),
            (
                Policy { apparmor_restricts: Some(1), ..Policy::default() },
                "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
            ),
            (Policy { container: true, ..Policy::default() }, "docker run --privileged"),
        ];
        for (policy, command) in cases {
            let text = namespace_missing(&denied(), &policy).to_string();
            assert!(text.contains("permission to make network namespaces is missing"), "{text}");
            assert!(text.contains(command), "{text}");
        }
        let text = namespace_missing(&denied(), &Policy::default()).to_string();
        assert!(text.contains("Operation not permitted"), "{text}");
    }

    #[test]
    fn a_node_that_may_not_be_opened_and_one_that_is_not_there() {
        let cases = [
            (libc::ENOENT, "mknod -m 666 /dev/net/tun c 10 200"),
            (libc::ENODEV, "sudo modprobe tun"),
            (libc::EPERM, "docker run --device /dev/net/tun"),
        ];
        for (number, command) in cases {
            let error = io::Error::from_raw_os_error(number);
            let text = node_missing(&error, Some(OPEN)).to_string();
            assert!(text.contains(command), "{text}");
        }
    }

    #[test]
    fn the_mode_is_blamed_only_if_it_is_to_blame() {
        let error = io::Error::from_raw_os_error(libc::EACCES);
        let text = node_missing(&error, Some(Mode { bits: 0o600, owner: 0 })).to_string();
        assert!(text.contains("(its mode is 0600, its owner root)"), "{text}");
        assert!(text.contains("sudo chmod 666 /dev/net/tun"), "{text}");
        let text = node_missing(&error, Some(OPEN)).to_string();
        assert!(text.contains("docker run --device"), "{text}");
    }

    const OPEN: Mode = Mode { bits: 0o666, owner: 0 };
}

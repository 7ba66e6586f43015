//! What there is to know of a machine, gathered. Nothing is judged here.

use std::{
    collections::HashMap,
    fs::{self, OpenOptions},
    io,
    os::unix::fs::PermissionsExt,
    path::Path,
    thread,
};

use netlab::{Holder, Link, Links, Namespace};
use nix::sys::resource::{Resource, getrlimit};
use uswitch::port::tap::{Tap, TapConfig};

use crate::program::privileges;

/// Where TAPs come from.
pub(super) const NODE: &str = "/dev/net/tun";

/// What is known of a machine. `None` always is: it cannot be known, or there is no such thing.
#[derive(Debug)]
pub(super) struct Facts {
    /// `uname -r`.
    pub(super) kernel: String,
    pub(super) node: Node,
    /// The effective capabilities, a bit for each (linux/capability.h).
    pub(super) capabilities: u64,
    pub(super) trial: Trial,
    /// The sysctls below /proc/sys that are asked for, of our namespace.
    pub(super) sysctls: HashMap<&'static str, String>,
    pub(super) taps: Vec<TapFacts>,
    pub(super) descriptors: Descriptors,
    pub(super) processors: usize,
    /// What the kernel cannot do to confine the switch.
    pub(super) unconfined: Option<String>,
}

/// What became of opening /dev/net/tun.
#[derive(Debug)]
pub(super) struct Node {
    /// The error's number, and what it says.
    pub(super) error: Option<(i32, String)>,
    /// Its permissions.
    pub(super) mode: Option<u32>,
}

/// What became of making a TAP in a namespace of its own.
#[derive(Debug)]
pub(super) struct Trial {
    /// It took a user namespace to have the right to.
    pub(super) user_namespace: bool,
    /// Whether the namespace was made, or what failed.
    pub(super) namespace: Result<(), String>,
    /// The offloads that the kernel granted to a TAP in there, or what failed.
    pub(super) offloads: Result<Vec<&'static str>, String>,
}

/// One TAP of our namespace.
#[derive(Debug, Default)]
pub(super) struct TapFacts {
    pub(super) name: String,
    pub(super) up: bool,
    pub(super) running: bool,
    /// Name and kind of the bridge that it is a member of.
    pub(super) master: Option<(String, String)>,
    /// Who may attach without further rights.
    pub(super) owner: Option<u32>,
    /// Who holds it.
    pub(super) holders: Vec<Holder>,
}

/// How many descriptors this process may have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Descriptors {
    pub(super) soft: u64,
    pub(super) hard: u64,
}

/// The sysctls that are asked for. Those of bridges are there only with their module.
const SYSCTLS: [&str; 11] = [
    "user/max_user_namespaces",
    "user/max_net_namespaces",
    "kernel/unprivileged_userns_clone",
    "kernel/apparmor_restrict_unprivileged_userns",
    "net/bridge/bridge-nf-call-iptables",
    "net/bridge/bridge-nf-call-ip6tables",
    "net/bridge/bridge-nf-call-arptables",
    "net/ipv4/ip_forward",
    "net/ipv6/conf/all/forwarding",
    "net/ipv4/tcp_congestion_control",
    "net/unix/max_dgram_qlen",
];

/// CAP_NET_ADMIN and CAP_SYS_ADMIN: what it takes to make a namespace with a TAP in it.
const CAPABILITIES: u64 = 1 << 12 | 1 << 21;

/// Gathers all of it. To be called while there is one thread: without rights it moves this
/// process into a user namespace in the end.
pub(super) fn gather() -> Facts {
    let read = |path: &str| fs::read_to_string(path).ok().map(|text| text.trim().to_owned());
    let capabilities = capabilities().unwrap_or(0);
    // The first, for it takes a thread, and the last cannot be done beside one.
    let unconfined = privileges::missing();
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((0, 0));
    let sysctls = SYSCTLS.into_iter();
    let sysctls = sysctls.filter_map(|name| Some((name, read(&format!("/proc/sys/{name}"))?)));
    Facts {
        kernel: read("/proc/sys/kernel/osrelease").unwrap_or_default(),
        node: node(),
        capabilities,
        sysctls: sysctls.collect(),
        taps: taps().unwrap_or_default(),
        descriptors: Descriptors { soft, hard },
        processors: thread::available_parallelism().map_or(1, usize::from),
        unconfined,
        // The last, because it changes what the others would see.
        trial: trial(capabilities),
    }
}

fn node() -> Node {
    // Opening it makes nothing: a device comes with TUNSETIFF.
    let error = OpenOptions::new().read(true).write(true).open(NODE).err();
    let error = error.map(|e| (e.raw_os_error().unwrap_or(0), netlab::reason(&e)));
    let mode = fs::metadata(NODE).ok().map(|data| data.permissions().mode() & 0o7777);
    Node { error, mode }
}

/// The line CapEff of proc_pid_status(5).
fn capabilities() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let bits = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(bits.trim(), 16).ok()
}

fn trial(capabilities: u64) -> Trial {
    let user_namespace = capabilities & CAPABILITIES != CAPABILITIES;
    let make = || {
        if user_namespace {
            netlab::unshare_user()?;
        }
        Namespace::new()
    };
    let namespace = make().map_err(|error| netlab::reason(&error));
    let offloads = namespace.clone().and_then(|namespace| {
        let config = TapConfig { netns: Some(namespace), ..TapConfig::named("tap0") };
        let tap = Tap::open(&config).map_err(|error| error.to_string())?;
        Ok(tap.offloads().collect())
    });
    Trial { user_namespace, namespace: namespace.map(|_| ()), offloads }
}

fn taps() -> io::Result<Vec<TapFacts>> {
    let links = Links::here()?.list()?;
    let mut holders = holders();
    let taps = links.iter().filter(|link| link.tun.as_ref().is_some_and(|tun| tun.tap));
    let master = |link: &Link| {
        let master = links.iter().find(|other| Some(other.index) == link.master)?;
        Some((master.name.clone(), master.kind.clone().unwrap_or_default()))
    };
    let taps = taps.map(|link| TapFacts {
        name: link.name.clone(),
        up: link.up,
        running: link.running,
        master: master(link),
        owner: link.tun.as_ref().and_then(|tun| tun.owner),
        holders: holders.remove(&link.name).unwrap_or_default(),
    });
    Ok(taps.collect())
}

/// Who holds which TUN or TAP, by its name, as far as we may look (the line `iff:` of
/// drivers/net/tun.c, tun_chr_show_fdinfo). Processes come and go while we look.
fn holders() -> HashMap<String, Vec<Holder>> {
    let mut holders: HashMap<String, Vec<Holder>> = HashMap::new();
    let entries = |path: &Path| fs::read_dir(path).into_iter().flatten().flatten();
    for process in entries(Path::new("/proc")) {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let infos = entries(&process.path().join("fdinfo"));
        for info in infos.filter_map(|info| fs::read_to_string(info.path()).ok()) {
            let Some(name) = info.lines().find_map(|line| line.strip_prefix("iff:\t")) else {
                continue;
            };
            let program = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            let holder = Holder { pid, program: program.trim_end().to_owned() };
            let of_this = holders.entry(name.to_owned()).or_default();
            // One for each queue would say the same.
            if !of_this.contains(&holder) {
                of_this.push(holder);
            }
        }
    }
    holders
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tap_of_this_process_is_found_with_its_holder_and_its_bridge() {
        if !nix::unistd::geteuid().is_root() {
            assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "CI runs all tests, as root");
            eprintln!("SKIPPED: needs root");
            return;
        }
        let namespace = Namespace::new().unwrap();
        let config = |name| TapConfig { netns: Some(namespace.clone()), ..TapConfig::named(name) };
        let _taps = ["doctor0", "doctor1"].map(|name| Tap::open(&config(name)).unwrap());
        let mut links = namespace.links().unwrap();
        links.add_bridge("br0").unwrap();
        links.set_master("doctor1", Some("br0")).unwrap();
        let taps = namespace.run(taps).unwrap().unwrap();
        assert_eq!(taps.len(), 2);
        for tap in &taps {
            assert!(tap.up);
            assert!(tap.holders.iter().any(|holder| holder.pid == std::process::id()), "{tap:?}");
        }
        let master = |name| &taps.iter().find(|tap| tap.name == name).unwrap().master;
        assert_eq!(master("doctor0"), &None);
        assert_eq!(master("doctor1"), &Some(("br0".to_owned(), "bridge".to_owned())));
    }
}

//! Devices under test: what is measured, with its ports in namespaces that were made for it.
//!
//! A device stands between hosts, each a [`Namespace`] of its own with one link, at whose packet
//! sockets the tester sends and receives. It is the kernel, or processes that end with it. All go
//! when it is dropped.

pub mod bare;
mod bridge;
mod chained;
mod direct;
mod exec;
mod ours;
mod process;
pub mod role;
mod router;
mod taps;

use std::{
    env, fmt, fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    str::FromStr,
    time::Duration,
};

use netlab::Namespace;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use self::process::Process;
use crate::{cpu, plan::ROUTER_PORTS_MAX};

/// The name of each host's link.
pub const LINK: &str = "eth0";

/// What a device can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Nothing but a veth pair: what the tester itself is able to.
    Veth,
    /// A loop that reads from one TAP and writes to the other, and nothing else.
    Loop,
    /// The switch of this project, on TAPs.
    Uswitch,
    /// The same on packet sockets, at veth pairs.
    UswitchPacket,
    /// The kernel's bridge, with veth pairs.
    Bridge,
    /// The same with all offloads off: each frame is whole and no longer than the MTU.
    BridgePlain,
    /// The switch of this project, and a namespace in the place of a machine between two more of
    /// its ports.
    UswitchChained,
    /// The kernel's bridge, likewise.
    BridgeChained,
    /// The kernel's router, with veth pairs.
    Router,
    /// The router of this project, on TAPs.
    UswitchRouter,
    /// `vde_switch` of VDE 2, on TAPs.
    Vde,
    /// Open vSwitch with its userspace datapath, on TAPs.
    OpenVswitch,
    /// DPDK's `testpmd`, on TAPs.
    Testpmd,
    /// The same on packet sockets, at veth pairs.
    TestpmdPacket,
    /// `socat` between two packet sockets, at veth pairs.
    Socat,
    /// A program that is told on the command line, with veth pairs.
    Exec,
}

/// All kinds, each with its name and what it is.
pub const KINDS: [(Kind, &str, &str); 16] = [
    (Kind::Veth, "veth", "a veth pair and nothing else: the tester's own limit"),
    (Kind::Loop, "loop", "a bare loop between two TAPs, two threads: the least that a switch does"),
    (Kind::Uswitch, "uswitch", "this project's switch on TAPs"),
    (Kind::UswitchPacket, "uswitch-packet", "the same on packet sockets at veth pairs"),
    (Kind::Bridge, "bridge", "the kernel's bridge with veth pairs"),
    (Kind::BridgePlain, "bridge-plain", "the same with all offloads of its links off"),
    (Kind::UswitchChained, "uswitch-chained", "uswitch, with a namespace as a machine in the way"),
    (Kind::BridgeChained, "bridge-chained", "bridge, likewise: port to machine to port (RFC 8204)"),
    (Kind::Router, "router", "the kernel's router with veth pairs: packets, not frames"),
    (Kind::UswitchRouter, "uswitch-router", "this project's router on TAPs, likewise"),
    (Kind::Vde, "vde", "vde_switch of VDE 2, on TAPs; it cuts frames beyond 1518 octets"),
    (Kind::OpenVswitch, "ovs", "Open vSwitch with its userspace datapath, on TAPs"),
    (Kind::Testpmd, "testpmd", "DPDK's testpmd on TAPs; it polls, and looks up nothing"),
    (Kind::TestpmdPacket, "testpmd-packet", "the same on packet sockets at veth pairs"),
    (Kind::Socat, "socat", "socat between two packet sockets at veth pairs"),
    (Kind::Exec, "exec", "the program of --exec, between veth ends p0, p1, ..."),
];

impl Kind {
    /// Its name on the command line and in reports.
    pub fn name(self) -> &'static str {
        KINDS.iter().find(|(kind, ..)| *kind == self).expect("all kinds are listed").1
    }

    /// How many ports it can have.
    pub fn ports_max(self) -> usize {
        match self {
            Kind::Veth | Kind::Loop | Kind::Socat => 2,
            Kind::Testpmd | Kind::TestpmdPacket => 2,
            Kind::UswitchChained | Kind::BridgeChained => 2,
            Kind::Uswitch | Kind::UswitchPacket => PORTS_MAX,
            Kind::Bridge | Kind::BridgePlain => PORTS_MAX,
            Kind::Vde | Kind::OpenVswitch | Kind::Exec => PORTS_MAX,
            Kind::Router | Kind::UswitchRouter => ROUTER_PORTS_MAX,
        }
    }

    /// Whether it forwards packets between networks, and no frames.
    pub fn routes(self) -> bool {
        matches!(self, Kind::Router | Kind::UswitchRouter)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(name: &str) -> Result<Kind, String> {
        let found = KINDS.iter().find(|(_, one, _)| *one == name).map(|(kind, ..)| *kind);
        found.ok_or_else(|| {
            let names = KINDS.map(|(_, name, _)| name).join(", ");
            format!("there is no device `{name}`: there are {names}")
        })
    }
}

/// With what a device is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// How many ports it has.
    pub ports: usize,
    /// The MTU of its links, in octets.
    pub mtu: u32,
    /// Where the switch is, if not beside this program or in PATH.
    pub uswitch: Option<PathBuf>,
    /// More words for its command line.
    pub uswitch_words: Vec<String>,
    /// The words of [`Kind::Exec`]'s command line.
    pub exec: Vec<String>,
    /// How many networks of each version a router knows behind each of its ports.
    pub routes: usize,
}

impl Default for Terms {
    fn default() -> Terms {
        let (uswitch_words, exec) = (Vec::new(), Vec::new());
        Terms { ports: 2, mtu: 1500, uswitch: None, uswitch_words, exec, routes: 1 }
    }
}

/// A device that was started.
pub struct Device {
    /// What it is.
    pub kind: Kind,
    /// Its ports, by number.
    pub ports: Vec<PortEnd>,
    /// Its processes.
    processes: Vec<Process>,
    /// It burns a processor, so it is to be stopped while others are measured.
    polls: bool,
    /// The namespaces in which it lives, if not with its hosts.
    _between: Vec<Namespace>,
    /// Where its files are.
    _folder: Option<Folder>,
}

/// Where a port can be reached.
#[derive(Clone, Debug)]
pub struct PortEnd {
    /// The host behind it.
    pub namespace: Namespace,
    /// The host's link.
    pub link: String,
}

/// Why a device did not start.
#[derive(Debug)]
pub enum StartError {
    /// It is not installed: which program is missing.
    Missing(String),
    /// It cannot be what it is asked to be.
    Unable(String),
    /// What went wrong.
    Failed(io::Error),
}

impl From<io::Error> for StartError {
    fn from(error: io::Error) -> StartError {
        StartError::Failed(error)
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Missing(program) => write!(f, "`{program}` is not installed"),
            StartError::Unable(sentence) => f.write_str(sentence),
            StartError::Failed(error) => f.write_str(&netlab::reason(error)),
        }
    }
}

impl Device {
    /// Starts one. Frames flow when [`crate::bed::Bed::teach`] says so.
    ///
    /// # Errors
    ///
    /// See [`StartError`]; nothing is left of it then.
    pub fn start(kind: Kind, terms: &Terms) -> Result<Device, StartError> {
        let most = kind.ports_max();
        if !(2..=most).contains(&terms.ports) {
            let text = format!("{kind} can have 2 to {most} ports, not {}", terms.ports);
            return Err(StartError::Unable(text));
        }
        let mut device = match kind {
            Kind::Veth => direct::start()?,
            Kind::Loop => bare::start()?,
            Kind::Uswitch => ours::start(terms)?,
            Kind::UswitchPacket => ours::start_on_packets(terms)?,
            Kind::Bridge => bridge::start(terms)?,
            Kind::BridgePlain => bridge::start_plain(terms)?,
            Kind::UswitchChained => chained::uswitch(terms)?,
            Kind::BridgeChained => chained::bridge(terms)?,
            Kind::Router => router::kernel(terms)?,
            Kind::UswitchRouter => router::uswitch(terms)?,
            Kind::Vde => taps::vde(terms)?,
            Kind::OpenVswitch => taps::open_vswitch(terms)?,
            Kind::Testpmd => taps::testpmd(terms)?,
            Kind::TestpmdPacket => exec::testpmd(terms)?,
            Kind::Socat => exec::socat(terms)?,
            Kind::Exec => exec::start(terms)?,
        };
        device.kind = kind;
        for port in device.ports.iter().filter(|_| !kind.routes()) {
            // Hosts are to be silent: IPv6 speaks without being asked. Kernels without it are.
            let _ = port.namespace.set_sysctl("net/ipv6/conf/all/disable_ipv6", "1");
            let mut links = port.namespace.links()?;
            links.set_mtu(&port.link, terms.mtu)?;
            links.set_up(&port.link)?;
        }
        Ok(device)
    }

    /// Processor time that its processes have taken.
    pub fn cpu(&self) -> Duration {
        self.pids().map(cpu::of_process).sum()
    }

    /// Whether it has processes of its own: what the kernel does for a sender is nobody's.
    pub fn has_processes(&self) -> bool {
        !self.processes.is_empty()
    }

    /// The numbers of its processes; the first does the work.
    pub fn pids(&self) -> impl Iterator<Item = u32> {
        self.processes.iter().map(Process::id)
    }

    /// Lets a device that polls rest while others are measured. Others sleep by themselves.
    pub fn pause(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// Ends that.
    pub fn resume(&self) {
        self.signal(Signal::SIGCONT);
    }

    fn signal(&self, signal: Signal) {
        for pid in self.pids().filter(|_| self.polls) {
            // It has ended: the measurement will show that.
            let _ = kill(Pid::from_raw(pid as i32), signal);
        }
    }

    /// Whether one of its processes has ended.
    pub fn died(&mut self) -> bool {
        self.processes.iter_mut().any(Process::has_ended)
    }
}

/// Fresh hosts.
fn hosts(count: usize) -> io::Result<Vec<Namespace>> {
    (0..count).map(|_| Namespace::new()).collect()
}

/// A namespace with the ends p0, p1, ... of veth pairs, up and with this MTU, whose other ends are
/// the links of hosts.
fn between(hosts: &[Namespace], mtu: u32) -> io::Result<Namespace> {
    let between = Namespace::new()?;
    // What speaks there by itself would be forwarded.
    let _ = between.set_sysctl("net/ipv6/conf/all/disable_ipv6", "1");
    let mut links = between.links()?;
    for (number, host) in hosts.iter().enumerate() {
        let end = outer(number);
        links.add_veth(&end, Some(host), LINK)?;
        links.set_mtu(&end, mtu)?;
        links.set_up(&end)?;
    }
    Ok(between)
}

/// The name of the outer end of a port's veth pair.
fn outer(port: usize) -> String {
    format!("p{port}")
}

fn port_ends(hosts: Vec<Namespace>) -> Vec<PortEnd> {
    hosts.into_iter().map(|namespace| PortEnd { namespace, link: LINK.into() }).collect()
}

/// Starts a process of a device's, quiet.
fn spawn(command: &mut Command) -> io::Result<Process> {
    Process::spawn(command.stdout(Stdio::null()).stderr(Stdio::null()))
}

/// Where a program is: in PATH, or where Debian puts daemons.
fn found(program: &str) -> Result<PathBuf, StartError> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(["/usr/sbin", "/usr/bin"].map(PathBuf::from));
    let file = folders.map(|folder| folder.join(program)).find(|file| file.is_file());
    file.ok_or_else(|| StartError::Missing(program.into()))
}

/// By which path another process opens a namespace of ours.
fn path_of(namespace: &Namespace) -> String {
    use std::os::fd::{AsFd, AsRawFd};
    format!("/proc/{}/fd/{}", std::process::id(), namespace.as_fd().as_raw_fd())
}

/// A folder for sockets and databases, removed at the end.
pub struct Folder(PathBuf);

impl Folder {
    /// Makes one.
    ///
    /// # Errors
    ///
    /// What the system said.
    pub fn new(name: &str) -> io::Result<Folder> {
        let folder = env::temp_dir().join(format!("uswitch-bench-{name}-{}", std::process::id()));
        fs::create_dir(&folder)?;
        Ok(Folder(folder))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Ports of a device at the most: a station's address has an octet for its port.
pub const PORTS_MAX: usize = 256;

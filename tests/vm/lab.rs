//! Where guests stand: a namespace that is the machine on which QEMU and the switch run, another
//! in which a host lives, and a folder for sockets. All of it goes with the lab.

use std::{
    thread,
    time::{Duration, Instant},
};

use netlab::{FrameSocket, Namespace, tap_persistent};
use serde_json::Value;
use tempfile::TempDir;
use uswitch_tests::{
    exchange::{BROADCAST, PATIENCE, frame, station},
    program,
    running::Program,
};

use crate::station::{Station, inside, mac, spec, v4};

/// The TAP of a guest.
pub const GUEST_TAP: &str = "vmtap0";

/// QEMU's words for it, as they stand in the README.
pub const ON_TAP: &str = "tap,ifname=vmtap0,script=no,downscript=no";

/// QEMU's words for a cable to a switch that listens at `path`, as they stand in the README.
pub fn on_stream(path: &str) -> String {
    format!("stream,server=off,addr.type=unix,addr.path={path}")
}

/// QEMU's words for a cable of datagrams, as they stand in the README.
pub fn on_dgram(local: &str, remote: &str) -> String {
    format!("dgram,local.type=unix,local.path={local},remote.type=unix,remote.path={remote}")
}

/// How often a condition is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// Octets of a TCP stream after which it is surely under way.
const UNDER_WAY: u64 = 1 << 20;

/// A flood: far more than a socket has room for.
const FLOOD_OCTETS: u64 = 8 << 20;

/// Frames at a time.
const BURST: usize = 64;

/// The device of the host.
const HOST_TAP: &str = "tap0";

/// The host's number: guests begin at 1.
const HOST: u8 = 9;

/// Where guests stand.
pub struct Lab {
    /// Where QEMU and the switch run.
    pub machine: Namespace,
    home: Namespace,
    folder: TempDir,
}

impl Lab {
    /// Nothing runs yet.
    pub fn new() -> Lab {
        let [machine, home] = [(); 2].map(|()| Namespace::new().unwrap());
        // What systemd sets on most machines: the kernel's own 10 datagrams are less than a burst.
        machine.set_sysctl("net/unix/max_dgram_qlen", "512").unwrap();
        Lab { machine, home, folder: tempfile::tempdir().unwrap() }
    }

    /// The path of a socket.
    pub fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// Starts a guest on this `-netdev`.
    pub fn guest(&self, number: u8, netdev: &str) -> Station {
        Station::guest(&self.machine, number, netdev)
    }

    /// The host on a TAP of the switch, which has [started](Lab::switch) with [`Lab::host_port`].
    pub fn host(&self) -> Station {
        Station::host(&self.home, HOST)
    }

    /// The port at which the host is.
    pub fn host_port(&self) -> String {
        // The same address each time: nobody has to find out that an older one is gone.
        let (address, netns) = (host_address(), spec(&self.home));
        format!("host:{HOST_TAP},addr={address},mac={},netns={netns}", mac(HOST))
    }

    /// The host on a veth pair, whose other end is `name` in the machine.
    pub fn host_on_veth(&self, name: &str) -> Station {
        let mut links = self.machine.links().unwrap();
        links.add_veth(name, Some(&self.home), "eth0").unwrap();
        links.set_up(name).unwrap();
        let mut links = self.home.links().unwrap();
        links.set_up("eth0").unwrap();
        links.add_address("eth0", host_address().parse().unwrap()).unwrap();
        Station::host(&self.home, HOST)
    }

    /// A flood from the host to everybody; the switch has received it.
    pub fn flood(&self) {
        let socket = FrameSocket::open(&self.home, HOST_TAP).unwrap();
        let octets = frame(BROADCAST, station(1), &[0; 1400]);
        // Sent by the device is what the switch has read.
        let read = || self.home.links().unwrap().expect(HOST_TAP).unwrap().counters.tx_octets;
        let (begin, before) = (Instant::now(), read());
        while read() < before + FLOOD_OCTETS {
            // The device has no room now and then.
            (0..BURST).for_each(|_| drop(socket.send(&octets)));
            assert!(begin.elapsed() < PATIENCE, "the switch takes what the host sends");
        }
    }

    /// Has a guest push TCP to the host as fast as it can, until it ends; it is under way.
    pub fn push(&self, guest: &mut Station, host: &Station) {
        let octets = || self.home.links().unwrap().expect(HOST_TAP).unwrap().counters.rx_octets;
        let (begin, before) = (Instant::now(), octets());
        guest.order(&format!("nc {} 7 </dev/zero", host.v4()));
        while octets() < before + UNDER_WAY {
            assert!(begin.elapsed() < PATIENCE, "a guest sends");
            thread::sleep(LOOK_INTERVAL);
        }
    }

    /// Makes [`GUEST_TAP`], and switches it on.
    pub fn add_tap(&self) {
        tap_persistent(&self.machine, GUEST_TAP, None, false).unwrap();
        self.machine.links().unwrap().set_up(GUEST_TAP).unwrap();
    }

    /// Waits until QEMU holds [`GUEST_TAP`], which is there.
    pub fn wait_guest(&self) {
        let mut links = self.machine.links().unwrap();
        assert!(links.wait_running(GUEST_TAP, PATIENCE).unwrap(), "QEMU opens {GUEST_TAP}");
    }

    /// Runs `ip` in the machine.
    pub fn ip(&self, words: &str) {
        let output = inside(&self.machine, "ip").args(words.split(' ')).output().unwrap();
        assert!(output.status.success(), "ip {words}: {output:?}");
    }

    /// Starts the switch with these ports; frames flow when it returns.
    pub fn switch(&self, ports: &[&str]) -> Program {
        let ports: Vec<_> = ports.iter().map(|port| format!("--port={port}")).collect();
        let behind = Program::command(&program(), &ports);
        let mut command = inside(&self.machine, behind.get_program().to_str().unwrap());
        command.args(behind.get_args());
        Program::start(command)
    }
}

fn host_address() -> String {
    format!("{}/24", v4(HOST))
}

/// A counter of all ports of a kind, in the report of a switch that has ended.
pub fn count(report: &Value, kind: &str, counter: &str) -> u64 {
    let ports = report["ports"].as_array().unwrap().iter();
    let ports = ports.filter(|port| port["name"].as_str().is_some_and(|n| n.starts_with(kind)));
    ports.map(|port| port[counter].as_u64().unwrap()).sum()
}

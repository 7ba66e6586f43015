//! The program with a port of each kind, and a host in a namespace of its own behind each.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    os::{
        fd::{AsFd, AsRawFd},
        unix::net::{UnixDatagram, UnixStream},
    },
    path::Path,
    process::{self, Command},
};

use netlab::{Namespace, Prefix};
use tempfile::TempDir;
use uswitch::{
    port::tap::{Tap, TapConfig},
    switch::{self, Handle, PortConfig, SwitchConfig},
};
use uswitch_tests::{
    exchange::PATIENCE,
    program,
    running::{Program, Running},
};

use crate::{
    kinds::{KINDS, Kind, VDE},
    relay::{Cable, Relay},
};

/// What a host calls its end.
const DEVICE: &str = "eth0";

/// Where the switch and the relay of its UDP port meet, in a namespace where nobody else is.
const UDP: [SocketAddr; 2] = [
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 5001),
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 5002),
];

/// Datagrams that wait at a unix socket. The system's 10 are less than what TCP sends at a time,
/// and what is to be seen here are faults, not losses.
const DGRAM_QUEUE: &str = "512";

/// One host.
pub struct Host {
    /// Behind which kind of port.
    pub kind: &'static Kind,
    /// Where it lives.
    pub namespace: Namespace,
    /// Its end of the cable.
    pub device: String,
    /// From 1 on.
    pub number: u8,
}

impl Host {
    /// Its address in 10.0.0.0/24.
    pub fn v4(&self) -> IpAddr {
        Ipv4Addr::new(10, 0, 0, self.number).into()
    }

    /// Its address in fd00::/64.
    pub fn v6(&self) -> IpAddr {
        Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, self.number.into()).into()
    }

    fn prefixes(&self) -> [Prefix; 2] {
        [(self.v4(), 24), (self.v6(), 64)].map(|(ip, bits)| Prefix::new(ip, bits).unwrap())
    }

    /// The namespace as a port's spec has it.
    fn netns(&self) -> String {
        format!("/proc/{}/fd/{}", process::id(), self.namespace.as_fd().as_raw_fd())
    }

    /// Makes what a port needs before it can be opened; returns the port's spec without what all
    /// of them have.
    fn prepare(&self, outside: &Namespace, folder: &Path, mtu: u32) -> String {
        let [v4, v6] = self.prefixes();
        let netns = self.netns();
        let folder = folder.display();
        let veth = |name: &str| {
            let mut links = outside.links().unwrap();
            links.add_veth(name, Some(&self.namespace), DEVICE).unwrap();
            links.set_mtu(name, mtu).unwrap();
            links.set_up(name).unwrap();
            self.namespace.links().unwrap().set_mtu(DEVICE, mtu).unwrap();
        };
        match self.kind.name {
            "tap" => format!("tap:{DEVICE},netns={netns}"),
            "tap-netdev" => "tap:vm0,side=netdev".to_owned(),
            "packet" => {
                veth("p0");
                "packet:p0".to_owned()
            }
            "macvtap" => {
                veth("m0");
                "macvtap:mvt0,lower=m0,mode=passthru".to_owned()
            }
            "macvlan" => {
                veth("l0");
                "macvlan:mv0,lower=l0,mode=passthru".to_owned()
            }
            "veth" => format!("veth:v0,peer={DEVICE},netns={netns},addr={v4},addr={v6}"),
            "host" => format!("host:{},addr={v4},addr={v6}", self.device),
            "stream" => format!("stream:{folder}/stream"),
            "dgram" => format!("dgram:{folder}/dgram,{folder}/dgram-vm"),
            "udp" => format!("udp:{},{}", UDP[0], UDP[1]),
            "vde" => format!("vde:{folder}/{VDE}"),
            other => panic!("a port of kind {other} can be made"),
        }
    }

    /// Plugs the host in at the port that is there now.
    fn plug_in(&self, outside: &Namespace, folder: &Path, mtu: u32) -> Option<Plugged> {
        let relay = |cable| Relay::start(cable, &self.namespace, &self.device, mtu);
        Some(match self.kind.name {
            "tap-netdev" => Plugged::Machine { _switch: Box::new(self.machine(outside, mtu)) },
            "stream" => {
                let socket = UnixStream::connect(folder.join("stream")).unwrap();
                Plugged::Relay { _relay: relay(Cable::Stream(socket)) }
            }
            "dgram" => {
                let bind = || UnixDatagram::bind(folder.join("dgram-vm"));
                let socket = outside.run(bind).unwrap().unwrap();
                let cable = Cable::Dgram(socket, folder.join("dgram"));
                Plugged::Relay { _relay: relay(cable) }
            }
            "udp" => {
                let socket = outside.run(|| UdpSocket::bind(UDP[1])).unwrap().unwrap();
                socket.connect(UDP[0]).unwrap();
                Plugged::Relay { _relay: relay(Cable::Udp(socket)) }
            }
            "vde" => {
                let mut plug = Command::new("vde_plug2tap");
                plug.arg("-s").arg(folder.join(VDE)).arg(&self.device);
                let child = self.namespace.run(|| plug.spawn()).unwrap();
                let child = child.expect("vde_plug2tap is installed (Debian: vde2)");
                Plugged::Program { _program: Running(child) }
            }
            _ => return None,
        })
    }

    /// What a virtual machine would be at the descriptor side of a TAP: it takes all offloads and
    /// hands them on to its own device.
    fn machine(&self, outside: &Namespace, mtu: u32) -> Handle<Tap> {
        let mut handle = switch::start(&SwitchConfig::default()).unwrap();
        for (namespace, device) in [(outside, "vm0"), (&self.namespace, &*self.device)] {
            let netns = Some(namespace.clone());
            let config = TapConfig { netns, mtu: Some(mtu), ..TapConfig::named(device) };
            handle.add(PortConfig::named(device), Tap::open(&config).unwrap()).unwrap();
        }
        handle
    }

    /// Gives the device its addresses and waits until it runs.
    fn configure(&self, mtu: u32) {
        let mut links = self.namespace.links().unwrap();
        if !["veth", "host"].contains(&self.kind.name) {
            links.set_up(&self.device).unwrap();
            for prefix in self.prefixes() {
                links.add_address(&self.device, prefix).unwrap();
            }
        }
        assert!(links.wait_running(&self.device, PATIENCE).unwrap(), "{} runs", self.kind.name);
        assert_eq!(links.expect(&self.device).unwrap().mtu, mtu, "{}", self.kind.name);
        if self.kind.whole {
            assert!(self.completes_no_checksums(), "{} offloads", self.kind.name);
        }
    }

    /// Whether the host leaves its checksums to the device.
    fn completes_no_checksums(&self) -> bool {
        let ask = || Command::new("ethtool").arg("-k").arg(&self.device).output();
        let output = self.namespace.run(ask).unwrap().expect("ethtool is installed");
        String::from_utf8_lossy(&output.stdout).contains("tx-checksumming: on")
    }
}

/// What holds the other end of a host's port.
enum Plugged {
    Relay { _relay: Relay },
    Machine { _switch: Box<Handle<Tap>> },
    Program { _program: Running },
}

/// The program, and the hosts at its ports.
pub struct Lab {
    /// The hosts, in the order of [`KINDS`], without those that cannot do the MTU.
    pub hosts: Vec<Host>,
    program: Program,
    plugged: Vec<Plugged>,
    _folder: TempDir,
}

impl Lab {
    /// Builds it, with this MTU everywhere.
    pub fn new(mtu: u32) -> Lab {
        let outside = Namespace::new().unwrap();
        // The lower device of a macvlan passes broadcasts to its host as well, who would answer
        // there for the address that it has at its own port.
        outside.set_sysctl("net/ipv4/conf/all/arp_ignore", "1").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let able = |kind: &&Kind| kind.mtu_max.is_none_or(|(mtu_max, _)| mtu <= mtu_max);
        let host = |(kind, number): (&'static Kind, u8)| {
            let itself = kind.name == "host";
            let namespace = if itself { outside.clone() } else { Namespace::new().unwrap() };
            let device = if itself { "lan0" } else { DEVICE }.to_owned();
            namespace.set_sysctl("net/unix/max_dgram_qlen", DGRAM_QUEUE).unwrap();
            Host { kind, namespace, device, number }
        };
        let hosts: Vec<Host> = KINDS.iter().filter(able).zip(1..).map(host).collect();
        let specs = hosts.iter().map(|host| {
            let spec = host.prepare(&outside, folder.path(), mtu);
            format!("--port={spec},mtu={mtu},name={}", host.kind.name)
        });
        let specs: Vec<_> = specs.collect();
        let start = || Program::start(Program::command(&program(), &specs));
        let program = outside.run(start).unwrap();
        let plug_in = |host: &Host| host.plug_in(&outside, folder.path(), mtu);
        let plugged = hosts.iter().filter_map(plug_in).collect();
        hosts.iter().for_each(|host| host.configure(mtu));
        Lab { hosts, program, plugged, _folder: folder }
    }

    /// The counters of the ports, so far.
    pub fn report(&mut self) -> serde_json::Value {
        self.program.report()
    }

    /// Ends the program: the counters of the ports.
    pub fn finish(self) -> serde_json::Value {
        let report = self.program.stop();
        drop(self.plugged);
        report
    }
}

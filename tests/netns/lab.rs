//! A lab: hosts in namespaces of their own, each with a TAP, and a switch between them.
//!
//! All names are inside fresh namespaces, so that any number of labs stands side by side. All of
//! it goes with the lab, whether its test ended well or by a panic: the switch stops when its
//! handle is dropped, the TAPs go with their descriptors, the namespaces with the last of both.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use netlab::{FrameSocket, Link, Namespace};
use uswitch::{
    port::{
        PortId,
        tap::{Tap, TapConfig},
    },
    stats::{Counter, PortStats},
    switch::{self, Event, Handle, PortConfig, PortReport, Report, SwitchConfig},
};
pub use uswitch_tests::exchange::PATIENCE;
use uswitch_tests::stream::Stream;

/// What every host calls its end.
pub const TAP: &str = "tap0";

/// How often a condition is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(2);

/// What a lab is to be like.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How many hosts.
    pub hosts: usize,
    /// The MTU of all of them.
    pub mtu: u32,
    /// Queues of each TAP.
    pub queues: u16,
    /// Without addresses, so that no host says a word of its own.
    pub quiet: bool,
    /// The switch between them.
    pub switch: SwitchConfig,
}

impl Plan {
    /// So many hosts with addresses.
    pub fn hosts(hosts: usize) -> Plan {
        Plan { hosts, mtu: 1500, queues: 1, quiet: false, switch: SwitchConfig::default() }
    }

    /// So many hosts that only say what is sent at their [`FrameSocket`]s.
    pub fn quiet(hosts: usize) -> Plan {
        Plan { quiet: true, ..Plan::hosts(hosts) }
    }

    /// With so many workers.
    pub fn workers(mut self, workers: usize) -> Plan {
        self.switch.workers = workers;
        self
    }
}

/// One host.
pub struct Host {
    /// Where it lives.
    pub namespace: Namespace,
    /// Where it is plugged in.
    pub port: PortId,
    /// Its address on the wire.
    pub mac: [u8; 6],
    number: u8,
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

    /// Its end of the cable.
    pub fn link(&self) -> Link {
        self.namespace.links().unwrap().expect(TAP).unwrap()
    }

    /// A socket on its end of the cable.
    pub fn socket(&self) -> FrameSocket {
        FrameSocket::open(&self.namespace, TAP).unwrap()
    }

    /// Gives the device its addresses and switches it on: once more, if it had been moved here.
    pub fn configure(&self) {
        let mut links = self.namespace.links().unwrap();
        links.set_up(TAP).unwrap();
        for (address, bits) in [(self.v4(), 24), (self.v6(), 64)] {
            links.add_address(TAP, netlab::Prefix::new(address, bits).unwrap()).unwrap();
        }
    }

    /// Runs a program in there to its end, which has to be a good one.
    pub fn command(&self, program: &str, arguments: &[&str]) {
        let run = || Command::new(program).args(arguments).output();
        let output = self.namespace.run(run).unwrap().unwrap();
        assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
    }

    /// Asks another host for an echo, which has to come.
    pub fn ping(&self, address: IpAddr) {
        let trips = netlab::ping(&self.namespace, address, 1, PATIENCE).unwrap();
        assert_eq!(trips.len(), 1, "host {} is answered by {address}", self.number);
    }
}

/// Hosts and the switch between them.
pub struct Lab {
    /// The hosts, in the order of their ports.
    pub hosts: Vec<Host>,
    /// The switch.
    pub handle: Handle<Tap>,
}

impl Lab {
    /// Builds it.
    pub fn new(plan: &Plan) -> Lab {
        let handle = switch::start(&plan.switch).unwrap();
        let mut lab = Lab { hosts: Vec::new(), handle };
        for _ in 0..plan.hosts {
            lab.add_host(plan);
        }
        lab
    }

    /// Plugs one more host in.
    pub fn add_host(&mut self, plan: &Plan) {
        let namespace = Namespace::new().unwrap();
        if plan.quiet {
            silence(&namespace);
        }
        let config = TapConfig { mtu: Some(plan.mtu), queues: plan.queues, ..tap_in(&namespace) };
        self.plug(namespace, Tap::open(&config).unwrap());
        if !plan.quiet {
            self.hosts.last().unwrap().configure();
        }
    }

    /// Plugs a TAP in that is open already; its host is this namespace.
    pub fn plug(&mut self, namespace: Namespace, tap: Tap) {
        let number = self.hosts.len() as u8 + 1;
        let port = self.handle.add(PortConfig::named(format!("host {number}")), tap).unwrap();
        let mac = namespace.links().unwrap().expect(TAP).unwrap().mac.expect("a TAP has a MAC");
        self.hosts.push(Host { namespace, port, mac, number });
    }

    /// A socket at every host.
    pub fn sockets(&self) -> Vec<FrameSocket> {
        self.hosts.iter().map(Host::socket).collect()
    }

    /// Numbered frames from one host to another.
    pub fn stream(&self, from: usize, to: usize) -> Stream {
        Stream::new(self.hosts[from].socket(), self.hosts[to].socket())
    }

    /// What the switch reports of a host's port, that is still there.
    pub fn port(&self, host: usize) -> PortReport {
        let port = self.hosts[host].port;
        let ports = self.handle.report().ports;
        ports.into_iter().find(|report| report.attached && report.port == port).expect("a port")
    }

    /// A counter of a host's port.
    pub fn count(&self, host: usize, counter: Counter) -> u64 {
        self.port(host).stats.get(counter)
    }

    /// Waits for an event.
    pub fn event(&mut self) -> Event {
        let mut events = Vec::new();
        eventually("something happens", || {
            events.extend(self.handle.tend());
            !events.is_empty()
        });
        assert_eq!(events.len(), 1, "one event: {events:?}");
        events.remove(0)
    }

    /// Waits until the switch has counted what the devices have: each frame that a device gave
    /// was received, each that it took was sent. So the switch's counters are exact.
    pub fn settle(&self) {
        eventually("switch and devices have counted the same", || {
            let ports = self.handle.report().ports;
            self.hosts.iter().all(|host| {
                let of_host = |report: &&PortReport| report.attached && report.port == host.port;
                let Some(report) = ports.iter().find(of_host) else { return true };
                let device = host.link().counters;
                let count = |counter| report.stats.get(counter);
                (count(Counter::RxFrames), count(Counter::TxFrames))
                    == (device.tx_packets, device.rx_packets)
            })
        });
    }

    /// Stops the switch, when everything is counted, and checks its accounts. Nothing may have
    /// happened that the test has not asked about.
    pub fn finish(mut self) -> Report {
        self.settle();
        let events = self.handle.tend();
        assert!(events.is_empty(), "nothing else happened: {events:?}");
        let report = self.handle.stop();
        check_accounts(&report);
        report
    }
}

/// The usual TAP in a namespace.
pub fn tap_in(namespace: &Namespace) -> TapConfig {
    TapConfig { netns: Some(namespace.clone()), ..TapConfig::named(TAP) }
}

/// Turns IPv6 off, which talks without being asked.
pub fn silence(namespace: &Namespace) {
    for which in ["all", "default"] {
        let name = format!("net/ipv6/conf/{which}/disable_ipv6");
        namespace.set_sysctl(&name, "1").unwrap();
    }
}

/// The two equations in the head comment of stats.rs.
pub fn check_accounts(report: &Report) {
    let mut total = PortStats::default();
    for port in &report.ports {
        total.merge(&port.stats);
    }
    let count = |counter| total.get(counter);
    let decided = count(Counter::RxForwarded) + count(Counter::RxFlooded);
    assert_eq!(count(Counter::RxFrames), decided + total.rx_drops(), "on the way in: {total:?}");
    let due = count(Counter::RxForwarded) + count(Counter::RxCopies);
    assert_eq!(due, count(Counter::TxFrames) + total.tx_drops(), "on the way out: {total:?}");
}

/// Waits for a condition.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < PATIENCE, "in time: {what}");
        thread::sleep(LOOK_INTERVAL);
    }
}

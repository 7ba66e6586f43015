//! The three hosts and the switch between them, and who of them pushes what.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::Path,
    time::Instant,
};

use netlab::{Namespace, Prefix};
use uswitch::{
    frame::Mac,
    port::tap::{Tap, TapConfig},
    switch::{self, Event, Handle, PortConfig, SwitchConfig},
};

use super::{
    super::report::{Status, known_addresses},
    rights,
};

/// Threads that forward at the most. The hosts that talk most are two, and a thread that sends
/// and one that receives want processors as well.
pub(super) const WORKERS_MAX: usize = 2;

/// Octets of a small frame: the least of Ethernet, without the frame check sequence.
pub(super) const SMALL_FRAME_OCTETS: usize = 60;

/// Streams of the second measurement of TCP.
pub(super) const STREAMS: usize = 4;

/// Who pushes, and to whom.
pub(super) const FROM: usize = 0;
pub(super) const TO: usize = 1;

/// A host: a network namespace with one device in it, whose other end is a port of the switch.
pub(super) struct Host {
    /// What it is called.
    pub(super) name: &'static str,
    /// The device, and the port.
    pub(super) port: &'static str,
    /// The device's address.
    pub(super) mac: Mac,
    pub(super) v4: Ipv4Addr,
    pub(super) v6: Ipv6Addr,
}

impl Host {
    const fn new(number: u8, name: &'static str, port: &'static str) -> Host {
        Host {
            name,
            port,
            // Locally administered (IEEE 802-2014, 8.2.2). The initials end it: 0a, 0b, 0c.
            mac: Mac::new([2, 0, 0, 0, 0, 0x09 + number]),
            v4: Ipv4Addr::new(10, 0, 0, number),
            v6: Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, number as u16),
        }
    }

    /// Its addresses, as far as the kernel has IPv6.
    pub(super) fn addresses(&self) -> Vec<IpAddr> {
        let mut addresses = vec![self.v4.into()];
        if has_ipv6() {
            addresses.push(self.v6.into());
        }
        addresses
    }
}

/// Who takes part.
pub(super) const HOSTS: [Host; 3] =
    [Host::new(1, "alice", "tap0"), Host::new(2, "bob", "tap1"), Host::new(3, "carol", "tap2")];

/// Whether the kernel has IPv6, which can be turned off at its start.
pub(super) fn has_ipv6() -> bool {
    Path::new("/proc/sys/net/ipv6/conf").exists()
}

/// The hosts' namespaces and the switch, at work.
pub(super) struct Lab {
    /// In the order of [`HOSTS`].
    pub(super) namespaces: Vec<Namespace>,
    handle: Handle<Tap>,
    workers: usize,
    started: Instant,
}

impl Lab {
    /// Makes the namespaces, plugs their devices into a switch and gives them addresses.
    pub(super) fn start(workers: usize) -> Result<Lab, String> {
        let config = SwitchConfig { workers, ..SwitchConfig::default() };
        let handle = switch::start(&config);
        let handle =
            handle.map_err(|error| format!("no worker was started: {}", netlab::reason(&error)))?;
        let mut lab = Lab { namespaces: Vec::new(), handle, workers, started: Instant::now() };
        let mut ports = Vec::new();
        for host in &HOSTS {
            ports.push((PortConfig::named(host.port), lab.make(host)?));
        }
        // At once: what the first host says as soon as it is there would find nobody else.
        let added = lab.handle.add_all(ports);
        added.map_err(|error| format!("the ports did not open: {}", netlab::reason(&error)))?;
        for (host, namespace) in HOSTS.iter().zip(&lab.namespaces) {
            address(host, namespace).map_err(|error| netlab::reason(&error))?;
        }
        Ok(lab)
    }

    /// Makes a host's namespace and device.
    fn make(&mut self, host: &Host) -> Result<Tap, String> {
        let namespace = Namespace::new().map_err(|error| rights::no_namespace(&error))?;
        let config = TapConfig {
            netns: Some(namespace.clone()),
            mac: Some(host.mac),
            ..TapConfig::named(host.port)
        };
        let port = Tap::open(&config).map_err(|error| error.to_string())?;
        self.namespaces.push(namespace);
        Ok(port)
    }

    /// How many frames a host's device has received.
    pub(super) fn received(&self, host: usize) -> io::Result<u64> {
        let mut links = self.namespaces[host].links()?;
        Ok(links.expect(HOSTS[host].port)?.counters.rx_packets)
    }

    /// What happened to the switch that should not have.
    pub(super) fn events(&mut self) -> Option<String> {
        let events: Vec<Event> = self.handle.tend();
        let lines: Vec<_> = events.iter().map(Event::to_string).collect();
        (!lines.is_empty()).then(|| lines.join("; "))
    }

    /// Stops the switch. The devices are closed, and the namespaces go with the last hold on
    /// them.
    pub(super) fn stop(self) -> Status {
        // The table is read before the workers stop, the counters after.
        let addresses = Some(known_addresses(&self.handle));
        let report = self.handle.stop();
        let (elapsed, workers) = (self.started.elapsed(), self.workers);
        let router = Vec::new();
        Status { report, router, addresses, elapsed, workers, running: false }
    }
}

/// Gives a host its addresses, now that there is somebody to hear of it.
fn address(host: &Host, namespace: &Namespace) -> io::Result<()> {
    if has_ipv6() {
        // Fresh namespaces may have it turned off. Where that may not be written, it says so below.
        let _ = namespace.set_sysctl(&format!("net/ipv6/conf/{}/disable_ipv6", host.port), "0");
    }
    let mut links = namespace.links()?;
    for address in host.addresses() {
        let len = if address.is_ipv4() { 24 } else { 64 };
        let prefix = Prefix::new(address, len).expect("an address has as many bits");
        links.add_address(host.port, prefix)?;
    }
    Ok(())
}

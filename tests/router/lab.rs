//! A lab: bridges with hosts, and a router with a leg in each. Host `n` of bridge `b` has 10.b.0.n
//! and fd00:b::n, from 2 on; the router is number 1 everywhere, and everybody's way to all others.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    thread,
    time::{Duration, Instant},
};

use netlab::{Namespace, Prefix};
use uswitch::{
    bridge::BridgeId,
    port::{
        PortId,
        any::AnyPort,
        tap::{Tap, TapConfig},
    },
    routing::{LegConfig, Legs},
    switch::{self, Handle, PortConfig, SwitchConfig},
};
use uswitch_router::{
    link::LinkAddress,
    neighbour::{Link, Standing},
    prefix::LegAddress,
    route::{Leg, Route},
};
pub use uswitch_tests::exchange::PATIENCE;
use uswitch_tests::exchange::ask_long;

/// What every host calls its end.
pub const TAP: &str = "tap0";

/// One host.
pub struct Host {
    pub namespace: Namespace,
    pub port: PortId,
    bridge: u8,
    number: u8,
}

impl Host {
    pub fn v4(&self) -> IpAddr {
        Ipv4Addr::new(10, self.bridge, 0, self.number).into()
    }

    pub fn v6(&self) -> IpAddr {
        v6(self.bridge, self.number)
    }

    /// Asks for an echo, which has to come.
    pub fn ping(&self, address: IpAddr) {
        let trips = netlab::ping(&self.namespace, address, 1, PATIENCE).unwrap();
        assert_eq!(trips.len(), 1, "{} is answered by {address}", self.v4());
    }
}

/// The router's address in a bridge.
pub fn own(bridge: u8) -> [IpAddr; 2] {
    [Ipv4Addr::new(10, bridge, 0, 1).into(), v6(bridge, 1)]
}

fn v6(bridge: u8, number: u8) -> IpAddr {
    Ipv6Addr::new(0xfd00, bridge.into(), 0, 0, 0, 0, 0, number.into()).into()
}

/// A bridge of a lab.
#[derive(Clone, Copy)]
pub struct Bridge {
    pub hosts: usize,
    pub mtu: u32,
}

/// Hosts, switch and router.
pub struct Lab {
    /// By bridge.
    pub hosts: Vec<Vec<Host>>,
    /// Before the handle: the slow path ends first.
    pub legs: Legs,
    pub handle: Handle<AnyPort>,
}

impl Lab {
    pub fn new(bridges: &[Bridge], workers: usize) -> Lab {
        Lab::routing(bridges, workers, configs(bridges), &[])
    }

    /// One whose legs and routes are these.
    pub fn routing(
        bridges: &[Bridge],
        workers: usize,
        configs: Vec<LegConfig>,
        routes: &[Route],
    ) -> Lab {
        let config = SwitchConfig { workers, ..SwitchConfig::default() };
        let mut handle = switch::start(&config).unwrap();
        let mut legs = Legs::start(&handle).unwrap();
        let hosts = bridges.iter().enumerate().map(|(bridge, of)| {
            (0..of.hosts).map(|n| plug(&mut handle, bridge as u8, n as u8 + 2, of.mtu)).collect()
        });
        let hosts = hosts.collect();
        legs.apply(&mut handle, configs, routes).unwrap();
        wait_for_own(&legs);
        Lab { hosts, legs, handle }
    }

    /// Packets that workers sent on themselves.
    pub fn forwarded(&self) -> u64 {
        self.handle.routed().iter().map(|stats| stats.forwarded).sum()
    }
}

/// Waits until nobody else has the router's addresses (RFC 4862, section 5.4).
pub fn wait_for_own(legs: &Legs) {
    let begin = Instant::now();
    while legs.own().unwrap().iter().any(|(.., standing)| *standing != Standing::Preferred) {
        assert!(begin.elapsed() < PATIENCE, "the router has its addresses for itself");
        thread::sleep(Duration::from_millis(50));
    }
}

/// A leg in each.
pub fn configs(bridges: &[Bridge]) -> Vec<LegConfig> {
    let leg = |(bridge, of): (usize, &Bridge)| {
        let addresses: Vec<LegAddress> = [(24, 0), (64, 1)]
            .map(|(bits, version)| format!("{}/{bits}", own(bridge as u8)[version]))
            .map(|text| text.parse().unwrap())
            .into();
        let port = PortConfig {
            bridge: BridgeId::new(bridge),
            ..PortConfig::named(format!("leg {bridge}"))
        };
        let link = Link::new(LinkAddress([2, 0, 0, 0, 0xee, bridge as u8]), addresses.clone());
        let leg = Leg::new(addresses, of.mtu as usize);
        LegConfig { port, link, leg, advertise: None }
    };
    bridges.iter().enumerate().map(leg).collect()
}

/// A host that has the router for everything beyond its link.
fn plug(handle: &mut Handle<AnyPort>, bridge: u8, number: u8, mtu: u32) -> Host {
    let namespace = Namespace::new().unwrap();
    let config =
        TapConfig { netns: Some(namespace.clone()), mtu: Some(mtu), ..TapConfig::named(TAP) };
    let tap = Tap::open(&config).unwrap();
    let name = format!("host {bridge}.{number}");
    let port = PortConfig { bridge: BridgeId::new(bridge.into()), ..PortConfig::named(name) };
    let port = handle.add(port, tap.into()).unwrap();
    let host = Host { namespace, port, bridge, number };
    let mut links = host.namespace.links().unwrap();
    ask_long(&host.namespace, TAP);
    links.set_up(TAP).unwrap();
    for (address, bits) in [(host.v4(), 24), (host.v6(), 64)] {
        links.add_address(TAP, Prefix::new(address, bits).unwrap()).unwrap();
    }
    for (all, router) in [Prefix::ALL_V4, Prefix::ALL_V6].into_iter().zip(own(bridge)) {
        links.add_route(all, Some(router), None).unwrap();
    }
    host
}

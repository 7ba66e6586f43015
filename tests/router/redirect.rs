//! A router on the hosts' own link: who asks ours for what is behind it is told, and goes there by
//! himself from then on.

use std::process::Command;

use netlab::Namespace;
use uswitch_router::{
    link::LinkAddress,
    route::{Kind, LegId, NextHop, Route},
};
use uswitch_tests::privileged;

use crate::{
    lab::{Bridge, Lab, TAP, configs},
    machine::prefix,
};

/// Behind the second host.
const BEHIND: [&str; 2] = ["10.9.0.1", "fd00:9::1"];
/// By these addresses it is reached: of IPv6 a router is named by its link-local one.
const GATEWAYS: [&str; 2] = ["10.0.0.3", "fe80::3"];

/// So many pings are sent that may each be told.
const PINGS_MAX: usize = 20;

fn lab(redirects: bool) -> Lab {
    let bridges = [Bridge { hosts: 2, mtu: 1500 }];
    let mut configs = configs(&bridges);
    configs[0].leg.redirects = redirects;
    let routes = ["10.9.0.0/24", "fd00:9::/64"].into_iter().zip(GATEWAYS).map(|(to, via)| {
        let hop = NextHop { gateway: Some(via.parse().unwrap()), leg: Some(LegId(0)), weight: 1 };
        Route { prefix: to.parse().unwrap(), metric: 0, kind: Kind::Unicast(vec![hop]) }
    });
    let own: LinkAddress = configs[0].link.own;
    let lab = Lab::routing(&bridges, 1, configs, &routes.collect::<Vec<_>>());
    let [asks, gateway] = &lab.hosts[0][..] else { panic!("two hosts") };
    // Not only from routers that are its own (ip-sysctl.rst, secure_redirects).
    for name in ["all", TAP] {
        asks.namespace.set_sysctl(&format!("net/ipv4/conf/{name}/secure_redirects"), "0").unwrap();
        asks.namespace.set_sysctl(&format!("net/ipv4/conf/{name}/accept_redirects"), "1").unwrap();
    }
    // RFC 4861, section 8.1: it is believed from who is asked, by that one's link-local address.
    let router = own.link_local().into();
    let mut links = asks.namespace.links().unwrap();
    links.add_route(prefix("fd00:9::/64"), Some(router), Some(TAP)).unwrap();
    let mut links = gateway.namespace.links().unwrap();
    links.set_up("lo").unwrap();
    links.add_address(TAP, prefix("fe80::3/64")).unwrap();
    for (address, bits) in BEHIND.into_iter().zip([32, 128]) {
        links.add_address("lo", prefix(&format!("{address}/{bits}"))).unwrap();
    }
    drop(links);
    lab
}

/// By whom an address is reached, as the kernel has it.
fn way(namespace: &Namespace, address: &str) -> String {
    let mut command = Command::new("ip");
    command.args(["route", "get", address]);
    let output = namespace.run(|| command.output()).unwrap().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn host_goes_by_the_nearer_router_as_soon_as_it_is_told() {
    if !privileged() {
        return;
    }
    let lab = lab(true);
    let host = &lab.hosts[0][0];
    for (behind, gateway) in BEHIND.into_iter().zip(GATEWAYS) {
        let address = behind.parse().unwrap();
        assert!(!way(&host.namespace, behind).contains(&format!("via {gateway} ")));
        // What is for a neighbour that is not known yet the slow path tells; then workers do.
        host.ping(address);
        let is_told = || {
            host.ping(address);
            way(&host.namespace, behind).contains(&format!("via {gateway} "))
        };
        assert!((0..PINGS_MAX).any(|_| is_told()), "{}", way(&host.namespace, behind));
        let forwarded = lab.forwarded();
        host.ping(address);
        assert_eq!(lab.forwarded(), forwarded, "it goes there by itself");
    }
}

#[test]
fn nobody_is_told_where_nobody_wants_it() {
    if !privileged() {
        return;
    }
    let lab = lab(false);
    let host = &lab.hosts[0][0];
    for (behind, gateway) in BEHIND.into_iter().zip(GATEWAYS) {
        let begin = lab.forwarded();
        for _ in 0..5 {
            host.ping(behind.parse().unwrap());
        }
        assert!(lab.forwarded() >= begin + 4, "all of it goes by the router");
        assert!(!way(&host.namespace, behind).contains(&format!("via {gateway} ")));
    }
}

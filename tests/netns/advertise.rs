//! Router advertisements, and a real host that hears them: whether the kernel takes what they say
//! (RFC 4861, section 6.3; RFC 4862).

use std::{net::Ipv6Addr, process::Command};

use netlab::{FrameSocket, Namespace};
use serde_json::Value;
use uswitch_router::{
    advertise::{AdvertiseConfig, AdvertisedPrefix, Advertiser, Preference},
    limit::Tick,
    link::{Event, LinkAddress, Post},
    route::{Hop, LegId},
};
use uswitch_tests::privileged;

use crate::lab::{PATIENCE, eventually};

const ROUTER: LinkAddress = LinkAddress([2, 0, 0, 0, 0, 1]);
/// What the host calls its end.
const ETH: &str = "eth0";

/// Sends by a socket on the router's end of a cable.
struct Wire(FrameSocket);

impl Post for Wire {
    fn send(&mut self, _: LegId, to: LinkAddress, ethertype: u16, payload: &[u8]) {
        let frame = [&to.0[..], &ROUTER.0, &ethertype.to_be_bytes(), payload].concat();
        // The kernel may have no room for it now: it is sent again until it is heard.
        let _ = self.0.send(&frame);
    }
    fn release(&mut self, _: Hop, _: LinkAddress, _: Box<[u8]>) {}
    fn fail(&mut self, _: Hop, _: Box<[u8]>) {}
    fn event(&mut self, _: Event) {}
}

/// What `ip` says in a namespace.
fn ip(namespace: &Namespace, arguments: &[&str]) -> Vec<Value> {
    let run = || Command::new("ip").arg("-j").args(arguments).output();
    let output = namespace.run(run).unwrap().unwrap();
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap_or_default()
}

fn default_routes(host: &Namespace) -> Vec<Value> {
    ip(host, &["-6", "route", "show", "default", "proto", "ra"])
}

#[test]
fn host_takes_its_address_its_router_and_its_mtu_and_forgets_the_router_at_the_end() {
    if !privileged() {
        return;
    }
    let (near, host) = (Namespace::new().unwrap(), Namespace::new().unwrap());
    for (name, value) in [("accept_ra", "1"), ("autoconf", "1"), ("dad_transmits", "0")] {
        for which in ["all", "default"] {
            host.set_sysctl(&format!("net/ipv6/conf/{which}/{name}"), value).unwrap();
        }
    }
    near.links().unwrap().add_veth("leg", Some(&host), ETH).unwrap();
    for (namespace, end) in [(&near, "leg"), (&host, ETH)] {
        namespace.links().unwrap().set_up(end).unwrap();
    }
    for (namespace, end) in [(&near, "leg"), (&host, ETH)] {
        assert!(namespace.links().unwrap().wait_running(end, PATIENCE).unwrap());
    }
    let config = AdvertiseConfig {
        mtu: Some(1400),
        preference: Preference::High,
        prefixes: vec![AdvertisedPrefix::new("fd01:2:3:4::/64".parse().unwrap())],
        ..AdvertiseConfig::every(600)
    };
    let new = |seed| Advertiser::new(LegId(0), &config, ROUTER, ROUTER.link_local(), seed).unwrap();
    let mut wire = Wire(FrameSocket::open(&near, "leg").unwrap());
    let mac = host.links().unwrap().expect(ETH).unwrap().mac.unwrap();
    let [_, _, _, _, a, b, c, d] = LinkAddress(mac).link_local().segments();
    let own = Ipv6Addr::new(0xfd01, 2, 3, 4, a, b, c, d).to_string();
    eventually("the host has an address and a router", || {
        new(1).tick(Tick(0), &mut wire);
        let addresses = ip(&host, &["-6", "addr", "show", "dev", ETH]);
        let has = |info: &Value| info["local"] == own.as_str() && info["prefixlen"] == 64;
        let infos = addresses.iter().filter_map(|link| link["addr_info"].as_array()).flatten();
        infos.into_iter().any(has) && !default_routes(&host).is_empty()
    });
    let routes = default_routes(&host);
    let [route] = &routes[..] else { panic!("one router: {routes:?}") };
    assert_eq!(route["gateway"], ROUTER.link_local().to_string());
    assert_eq!((&route["dev"], &route["pref"]), (&ETH.into(), &"high".into()));
    assert_eq!(host.sysctl(&format!("net/ipv6/conf/{ETH}/mtu")).unwrap().trim(), "1400");
    eventually("the host forgets the router", || {
        new(1).cease(&mut wire);
        default_routes(&host).is_empty()
    });
}

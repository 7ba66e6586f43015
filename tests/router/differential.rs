//! The router beside the kernel's: the same packets for both, and the kinds of their answers
//! compared. What is to differ stands in `intended.rs`, each with its reason; anything else that
//! differs is a fault, and so is a listed difference that is none.

use std::{net::IpAddr, process::Command, time::Duration};

use netlab::{FrameSocket, Namespace};
use uswitch::{
    bridge::BridgeId,
    port::{
        any::AnyPort,
        tap::{Tap, TapConfig},
    },
    routing::Legs,
    switch::{self, Handle, PortConfig, SwitchConfig},
};
use uswitch_router::{
    link::LinkAddress,
    route::{Hop, Kind, LegId, NextHop, Route},
};
use uswitch_tests::{exchange, privileged};

use crate::{
    cases::{Case, cases},
    intended::{Comparison, INTENDED},
    lab::{Bridge, PATIENCE, TAP, configs, wait_for_own},
};

/// Of the link behind the router; that before it has the usual one.
const MTU: u32 = 1300;
/// A router asks three times, a second apart, for who does not answer.
const ASKED: Duration = Duration::from_secs(60);
const ARP: [u8; 2] = [8, 6];

/// The hosts' link-layer addresses, by the number of their link.
pub const HOSTS: [[u8; 6]; 2] = [[2, 0, 0, 0, 0xaa, 0], [2, 0, 0, 0, 0xaa, 1]];
/// And the routers'.
pub const ROUTERS: [[u8; 6]; 2] = [[2, 0, 0, 0, 0xee, 0], [2, 0, 0, 0, 0xee, 1]];

/// What goes where: a kind of route in iproute2's words, or a gateway.
const ROUTES: [(&str, &str); 8] = [
    ("192.0.2.0/24", "blackhole"),
    ("198.51.100.0/24", "unreachable"),
    ("203.0.113.0/24", "prohibit"),
    ("172.16.0.0/16", "10.1.0.2"),
    ("2001:db8:1::/48", "blackhole"),
    ("2001:db8:2::/48", "unreachable"),
    ("2001:db8:3::/48", "prohibit"),
    ("2001:db8:4::/48", "fd00:1::2"),
];

/// A router between two links, and sockets in the place of the hosts there.
struct Side {
    hosts: [FrameSocket; 2],
    /// It ends with this.
    _router: Router,
}

enum Router {
    Kernel {
        _namespace: Namespace,
    },
    /// The legs before the handle: the slow path ends first.
    Own {
        _running: Box<(Legs, Handle<AnyPort>)>,
    },
}

/// Where no kernel answers anything.
pub fn silent() -> Namespace {
    let namespace = Namespace::new().unwrap();
    for which in ["all", "default"] {
        namespace.set_sysctl(&format!("net/ipv6/conf/{which}/disable_ipv6"), "1").unwrap();
    }
    namespace
}

fn mtu(link: usize) -> u32 {
    [1500, MTU][link]
}

fn mac(octets: [u8; 6]) -> String {
    LinkAddress(octets).to_string()
}

impl Side {
    fn kernel() -> Side {
        let namespace = Namespace::new().unwrap();
        for (name, value) in [
            ("ipv4/ip_forward", "1"),
            // Not by a rate of 0: that empties the bucket of errors about routes, too.
            ("ipv4/icmp_ratemask", "0"),
            ("ipv4/conf/all/rp_filter", "0"),
            ("ipv4/conf/default/rp_filter", "0"),
            ("ipv4/conf/all/send_redirects", "0"),
            ("ipv4/conf/default/send_redirects", "0"),
            ("ipv6/conf/all/forwarding", "1"),
            ("ipv6/conf/default/forwarding", "1"),
            ("ipv6/conf/default/accept_dad", "0"),
            ("ipv6/icmp/ratelimit", "0"),
        ] {
            namespace.set_sysctl(&format!("net/{name}"), value).unwrap();
        }
        let hosts = [0, 1].map(|link: usize| {
            let host = silent();
            let (near, address) = (format!("r{link}"), mac(ROUTERS[link]));
            namespace.links().unwrap().add_veth(&near, Some(&host), TAP).unwrap();
            let mtu = mtu(link);
            host.links().unwrap().set_mtu(TAP, mtu).unwrap();
            host.links().unwrap().set_up(TAP).unwrap();
            ip(&namespace, &format!("link set {near} address {address} mtu {mtu} up"));
            ip(&namespace, &format!("address add 10.{link}.0.1/24 brd + dev {near}"));
            ip(&namespace, &format!("address add fd00:{link}::1/64 dev {near} nodad"));
            for host in [format!("10.{link}.0.2"), format!("fd00:{link}::2")] {
                let to = mac(HOSTS[link]);
                ip(&namespace, &format!("neigh add {host} lladdr {to} dev {near} nud permanent"));
            }
            assert!(host.links().unwrap().wait_running(TAP, PATIENCE).unwrap());
            FrameSocket::open(&host, TAP).unwrap()
        });
        for (to, what) in ROUTES {
            let gateway = what.parse::<IpAddr>().is_ok();
            let words = if gateway { format!("{to} via {what}") } else { format!("{what} {to}") };
            ip(&namespace, &format!("route add {words}"));
        }
        Side { hosts, _router: Router::Kernel { _namespace: namespace } }
    }

    fn own() -> Side {
        let config = SwitchConfig { workers: 1, ..SwitchConfig::default() };
        let mut handle = switch::start(&config).unwrap();
        let mut legs = Legs::start(&handle).unwrap();
        let hosts = [0, 1].map(|link: usize| {
            let host = silent();
            let netns = Some(host.clone());
            let config = TapConfig { netns, mtu: Some(mtu(link)), ..TapConfig::named(TAP) };
            let tap = Tap::open(&config).unwrap();
            let bridge = BridgeId::new(link);
            let port = PortConfig { bridge, ..PortConfig::named(format!("host {link}")) };
            handle.add(port, tap.into()).unwrap();
            host.links().unwrap().set_up(TAP).unwrap();
            FrameSocket::open(&host, TAP).unwrap()
        });
        let bridges = [0, 1].map(|link| Bridge { hosts: 1, mtu: mtu(link) });
        let routes = ROUTES.map(|(to, what)| {
            let kind = match what {
                "blackhole" => Kind::Blackhole,
                "unreachable" => Kind::Unreachable,
                "prohibit" => Kind::Prohibit,
                via => {
                    let gateway = Some(via.parse().unwrap());
                    Kind::Unicast(vec![NextHop { gateway, leg: None, weight: 1 }])
                }
            };
            Route { prefix: to.parse().unwrap(), metric: 0, kind }
        });
        legs.apply(&mut handle, configs(&bridges), &routes).unwrap();
        wait_for_own(&legs);
        for (leg, host) in HOSTS.into_iter().enumerate() {
            for address in [format!("10.{leg}.0.2"), format!("fd00:{leg}::2")] {
                let hop = Hop { leg: LegId(leg as u16), address: address.parse().unwrap() };
                legs.add_neighbour(hop, LinkAddress(host)).unwrap();
            }
        }
        Side { hosts, _router: Router::Own { _running: Box::new((legs, handle)) } }
    }

    /// What comes of a packet that the first host sends.
    fn answers(&mut self, case: &Case) -> Vec<String> {
        let kind = [[8, 0], [0x86, 0xdd]][usize::from(case.packet[0] >> 4 == 6)];
        let frame = [&case.to[..], &HOSTS[0], &kind, &case.packet].concat();
        exchange::send(&self.hosts[0], &frame).unwrap();
        let mut found = Vec::new();
        if case.late {
            let answer = |frame: &[u8]| heard(frame).is_some();
            let frame = self.hosts[0].recv_matching(ASKED, answer).unwrap();
            found.extend(frame.as_deref().and_then(heard));
        }
        // Silence cannot be awaited: each router answers ARP after what came before.
        for link in [0, 1] {
            self.hosts[link].send(&arp(link as u8)).unwrap();
            loop {
                let frame = self.hosts[link].recv(PATIENCE).unwrap();
                let frame = frame.expect("a router answers ARP");
                // Not one that a router tells to all.
                if frame[12..14] == ARP && frame[..6] == HOSTS[link] && frame[20..22] == [0, 2] {
                    break;
                }
                let name = ["answered", "forwarded"][link];
                found.extend(heard(&frame).map(|kind| format!("{name} {kind}")));
            }
        }
        found.iter_mut().for_each(|kind| {
            if case.late && !kind.starts_with("answered") {
                *kind = format!("answered {kind}");
            }
        });
        found.sort();
        found
    }
}

/// Asks the router of a link for its address, and nobody else: what is for all may overtake.
fn arp(link: u8) -> Vec<u8> {
    let head = [&ROUTERS[usize::from(link)][..], &HOSTS[usize::from(link)], &ARP].concat();
    let ask = [&[0, 1, 8, 0, 6, 4, 0, 1][..], &HOSTS[usize::from(link)], &[10, link, 0, 2]];
    [head, ask.concat(), vec![0, 0, 0, 0, 0, 0, 10, link, 0, 1]].concat()
}

fn ip(namespace: &Namespace, words: &str) {
    let mut command = Command::new("ip");
    command.args(words.split(' '));
    let output = namespace.run(|| command.output()).unwrap().unwrap();
    assert!(output.status.success(), "{words}: {output:?}");
}

/// What kind of packet a frame has. `None`: what routers and hosts say of themselves.
fn heard(frame: &[u8]) -> Option<String> {
    let packet = &frame[14..];
    match (frame[12], frame[13]) {
        (8, 0) => {
            let upper = &packet[usize::from(packet[0] & 0xf) * 4..];
            let part = u16::from_be_bytes([packet[6], packet[7]]) & 0x3fff != 0;
            Some(match (packet[9], upper.first()) {
                (1, Some(3 | 11 | 12)) => error(upper),
                (1, Some(0)) => "echo reply".to_owned(),
                (6, _) if upper.len() >= 20 && upper[13] & 4 != 0 => "reset".to_owned(),
                (protocol, _) => {
                    let what = if part { "fragment" } else { "packet" };
                    format!("{what} of protocol {protocol}, TTL {}", packet[8])
                }
            })
        }
        (0x86, 0xdd) => {
            let upper = &packet[40..];
            match (packet[6], upper.first()) {
                // Neighbour discovery, and listeners of groups behind a hop-by-hop header.
                (58, Some(130..=137 | 143)) => None,
                (0, _) if packet[8] == 0xfe => None,
                (58, Some(1..=4)) => Some(error(upper)),
                (58, Some(129)) => Some("echo reply".to_owned()),
                (6, _) if upper.len() >= 20 && upper[13] & 4 != 0 => Some("reset".to_owned()),
                (next, _) => Some(format!("packet of next header {next}, hops {}", packet[7])),
            }
        }
        _ => None,
    }
}

/// An ICMP error: its type, code, and what it points at.
fn error(message: &[u8]) -> String {
    let rest = u32::from_be_bytes(message[4..8].try_into().unwrap());
    format!("error {} {} ({rest})", message[0], message[1])
}

#[test]
fn router_answers_as_the_kernels_does() {
    if !privileged() {
        return;
    }
    // A link of the kernel's keeps the order of what one processor sends.
    let pinned = core_affinity::get_core_ids().and_then(|cores| cores.into_iter().next());
    core_affinity::set_for_current(pinned.expect("there is a processor"));
    let (mut kernel, mut own) = (Side::kernel(), Side::own());
    let mut comparison = Comparison::new(INTENDED);
    for case in &cases() {
        comparison.add(case.name, &kernel.answers(case), &own.answers(case));
    }
    comparison.end();
}

//! How the router meets its neighbours, beside how the kernel's does: the same messages of ARP and
//! of neighbour discovery for both, and two things compared: what each says, and what each knows
//! of the sender then. What is to differ stands in `intended.rs`.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    thread,
    time::{Duration, Instant},
};

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
    route::{Hop, LegId, Route},
};
use uswitch_tests::{exchange, privileged};

use crate::{
    cases::{ICMP6, UDP},
    differential::{ROUTERS, silent},
    intended::{Comparison, MEETINGS},
    lab::{Bridge, PATIENCE, TAP, configs},
    member::says,
    messages::{MARKER, Meeting, Station, meetings},
};

/// For so long the kernel believes nobody who says that a neighbour has moved: one tick of its
/// clock at the least, which is 10 ms at the most.
const LOCK: Duration = Duration::from_millis(25);

/// The router's on a link: one of IPv4, two of IPv6.
const OWN_ADDRESSES: usize = 3;
/// Of one who is not known.
const NOBODY: &str = "knows nobody";

/// A router with a host's socket on each of its two links.
struct Side {
    hosts: [FrameSocket; 2],
    router: Router,
}

enum Router {
    Kernel(Namespace),
    /// The legs before the handle: the slow path ends first.
    Own(Box<(Legs, Handle<AnyPort>)>),
}

impl Side {
    fn kernel() -> Side {
        let namespace = Namespace::new().unwrap();
        for (name, value) in [
            ("ipv4/ip_forward", "1"),
            ("ipv4/conf/all/rp_filter", "0"),
            ("ipv4/conf/default/rp_filter", "0"),
            ("ipv4/conf/default/send_redirects", "0"),
            ("ipv6/conf/all/forwarding", "1"),
            ("ipv6/conf/default/forwarding", "1"),
            ("ipv6/conf/default/accept_dad", "0"),
        ] {
            namespace.set_sysctl(&format!("net/{name}"), value).unwrap();
        }
        let hosts = [0, 1].map(|link: usize| {
            let host = silent();
            let (near, address) = (format!("r{link}"), LinkAddress(ROUTERS[link]));
            namespace.links().unwrap().add_veth(&near, Some(&host), TAP).unwrap();
            // An answer for an anycast address would come after a random time.
            for name in ["ipv4/neigh/NEAR/locktime", "ipv6/neigh/NEAR/proxy_delay"] {
                let name = format!("net/{}", name.replace("NEAR", &near));
                namespace.set_sysctl(&name, "0").unwrap();
            }
            host.links().unwrap().set_up(TAP).unwrap();
            for words in [
                format!("link set {near} address {address} up"),
                format!("address add 10.{link}.0.1/24 brd + dev {near}"),
                format!("address add fd00:{link}::1/64 dev {near} nodad"),
            ] {
                says(&namespace, &format!("ip {words}"));
            }
            assert!(host.links().unwrap().wait_running(TAP, PATIENCE).unwrap());
            FrameSocket::open(&host, TAP).unwrap()
        });
        Side { hosts, router: Router::Kernel(namespace) }
    }

    fn own() -> Side {
        let config = SwitchConfig { workers: 1, ..SwitchConfig::default() };
        let mut handle = switch::start(&config).unwrap();
        let mut legs = Legs::start(&handle).unwrap();
        let hosts = [0, 1].map(|link: usize| {
            let host = silent();
            let config = TapConfig { netns: Some(host.clone()), ..TapConfig::named(TAP) };
            let bridge = BridgeId::new(link);
            let port = PortConfig { bridge, ..PortConfig::named(format!("host {link}")) };
            handle.add(port, Tap::open(&config).unwrap().into()).unwrap();
            host.links().unwrap().set_up(TAP).unwrap();
            FrameSocket::open(&host, TAP).unwrap()
        });
        let bridges = [Bridge { hosts: 1, mtu: 1500 }; 2];
        legs.apply(&mut handle, configs(&bridges), &[] as &[Route]).unwrap();
        Side { hosts, router: Router::Own(Box::new((legs, handle))) }
    }

    /// Waits until it has nothing more to say of itself: it announces each address twice.
    fn settle(&mut self) {
        let announces = |frame: &[u8]| heard(frame, &MARKER).is_some();
        for _ in 0..2 * OWN_ADDRESSES {
            let frame = self.hosts[0].recv_matching(PATIENCE, announces).unwrap();
            assert!(frame.is_some(), "the router announces itself");
        }
    }

    /// What it says to this, and what it knows of the sender then.
    fn meets(&mut self, meeting: &Meeting) -> Vec<String> {
        if let Some((link, frame)) = &meeting.before {
            exchange::send(&self.hosts[*link], frame).unwrap();
            eventually("the router knows the sender", || self.knows(&meeting.station) != NOBODY);
            self.mark();
            thread::sleep(LOCK);
        }
        let mut said = Vec::new();
        exchange::send(&self.hosts[0], &meeting.frame).unwrap();
        for frame in self.mark() {
            said.extend(heard(&frame, &meeting.station));
        }
        said.push(self.knows(&meeting.station));
        said
    }

    /// What arrives at the first host before the router answers a question of the marker's: each
    /// router answers in the order in which it is asked.
    fn mark(&mut self) -> Vec<Vec<u8>> {
        let host = &mut self.hosts[0];
        exchange::send(host, &MARKER.question()).unwrap();
        let mut frames = Vec::new();
        loop {
            let frame = host.recv(PATIENCE).unwrap().expect("a router answers ARP");
            if frame[..6] == MARKER.mac && frame[12..14] == [8, 6] {
                return frames;
            }
            frames.push(frame);
        }
    }

    /// What is known of a station: where it is, and whether that is certain.
    fn knows(&self, station: &Station) -> String {
        let addresses = [IpAddr::V4(station.v4), IpAddr::V6(station.v6)];
        let known = addresses.map(|address| match &self.router {
            Router::Kernel(namespace) => kernel_knows(namespace, address),
            Router::Own(running) => {
                let known = running.0.neighbours().unwrap();
                let hop = Hop { leg: LegId(0), address };
                known.into_iter().find(|known| known.hop == hop).map(|known| {
                    (certainty(&known.state.to_string()), known.to.map(|to| to.to_string()))
                })
            }
        });
        let known = known.into_iter().flatten().map(|(certainty, to)| match to {
            Some(to) => format!("{certainty} at {to}"),
            None => certainty.to_owned(),
        });
        let known: Vec<_> = known.collect();
        if known.is_empty() { NOBODY.to_owned() } else { format!("knows {}", known.join(", ")) }
    }
}

/// Waits for a condition.
fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < PATIENCE, "in time: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// What `ip` says of a neighbour.
fn kernel_knows(namespace: &Namespace, address: IpAddr) -> Option<(&'static str, Option<String>)> {
    let text = says(namespace, &format!("ip neigh show {address} nud all dev r0"));
    let words: Vec<_> = text.split_whitespace().collect();
    let state = *words.last()?;
    let to = words.iter().position(|word| *word == "lladdr").map(|at| words[at + 1].to_owned());
    Some((certainty(state), to))
}

/// How certain a state is. What became of an old certainty since, by time or by use, is no matter
/// here.
fn certainty(state: &str) -> &'static str {
    match state {
        "REACHABLE" | "PERMANENT" => "surely",
        "STALE" | "DELAY" | "PROBE" => "by hearsay",
        _ => "nothing, and asks",
    }
}

/// What a router said, but for its questions: they are asked again as time passes.
fn heard(frame: &[u8], station: &Station) -> Option<String> {
    let name = |octets: &[u8]| match octets {
        octets if octets == station.mac => "it".to_owned(),
        octets if octets == station.elsewhere => "elsewhere".to_owned(),
        octets if octets == ROUTERS[0] => "the router".to_owned(),
        octets => LinkAddress(octets.try_into().unwrap()).to_string(),
    };
    let (to, body) = (name(&frame[..6]), &frame[14..]);
    let v4 = |at: usize| Ipv4Addr::from(<[u8; 4]>::try_from(&body[at..at + 4]).unwrap());
    let v6 = |at: usize| Ipv6Addr::from(<[u8; 16]>::try_from(&body[at..at + 16]).unwrap());
    match (frame[12], frame[13]) {
        (8, 6) if body[7] == 2 => Some(format!(
            "replies to {to}: {} is at {}, {} at {}",
            v4(14),
            name(&body[8..14]),
            v4(24),
            name(&body[18..24])
        )),
        // An announcement, which is no question.
        (8, 6) if body[14..18] == body[24..28] => Some(format!("announces {} to {to}", v4(14))),
        (8, 0) if body[9] == UDP => Some(format!("forwards to {to}")),
        (0x86, 0xdd) if body[6] == UDP => Some(format!("forwards to {to}")),
        (0x86, 0xdd) if body[6] == ICMP6 && body[40] == 136 => {
            let flags = [(0x80, 'R'), (0x40, 'S'), (0x20, 'O')];
            let flags = flags.iter().filter(|(bit, _)| body[44] & bit != 0);
            let flags: String = flags.map(|(_, name)| *name).collect();
            let place = body.get(66..72).map_or("?".to_owned(), name);
            let (from, destination, target) = (v6(8), v6(24), v6(48));
            let from = if from == target { String::new() } else { format!(" from {from}") };
            Some(format!("advertises {flags} to {to}, {destination}{from}: {target} is at {place}"))
        }
        _ => None,
    }
}

#[test]
fn router_meets_its_neighbours_as_the_kernels_does() {
    if !privileged() {
        return;
    }
    // A link of the kernel's keeps the order of what one processor sends.
    let pinned = core_affinity::get_core_ids().and_then(|cores| cores.into_iter().next());
    core_affinity::set_for_current(pinned.expect("there is a processor"));
    let (mut kernel, mut own) = (Side::kernel(), Side::own());
    own.settle();
    let mut comparison = Comparison::new(MEETINGS);
    for meeting in &meetings() {
        comparison.add(meeting.name, &kernel.meets(meeting), &own.meets(meeting));
    }
    comparison.end();
}

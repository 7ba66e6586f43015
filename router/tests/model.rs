//! The engine beside a model of it: a table that is searched from end to end, and the rules in so
//! many words. On random packets, many of them at the edges of the rules, both say the same.
//!
//! `USWITCH_PACKETS=1000000 cargo test --release -p uswitch-router --test model` for a million.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use etherparse::{Ipv4HeaderSlice, Ipv6HeaderSlice};
use proptest::{prelude::*, sample::select, test_runner::TestRunner};
use uswitch_router::{
    forward::{Arrival, Emit, Router, Verdict},
    limit::{Limit, Tick},
    packet::PacketMeta,
    prefix::Prefix,
    route::{Kind, Leg, LegId, Route},
    tables::Tables,
};

const PACKETS_DEFAULT: u32 = 20_000;

/// What becomes of a packet, as far as the model tells it.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Forward {
        leg: usize,
        next: IpAddr,
        parts: usize,
    },
    Local,
    /// Type and code of what its sender is told.
    Told(u8, u8),
    Gone,
}

#[derive(Clone, Debug)]
enum Target {
    Link(usize),
    Via(usize, IpAddr),
    Own,
    Broadcast(usize),
    Kind(Kind),
}

/// The model: lines of a table, the longest that matches counts, of equals the last.
struct Model {
    lines: Vec<(Prefix, Target)>,
    mtus: Vec<usize>,
}

impl Model {
    fn lookup(&self, address: IpAddr) -> Option<&Target> {
        let matching = self.lines.iter().filter(|(prefix, _)| prefix.contains(address));
        matching.max_by_key(|(prefix, _)| prefix.length()).map(|(_, target)| target)
    }

    /// The rules, for packets without options whose header is sound.
    fn decide(&self, octets: &[u8], came: usize) -> Outcome {
        if octets[0] >> 4 == 4 {
            let Ok(header) = Ipv4HeaderSlice::from_slice(octets) else { return Outcome::Gone };
            let (source, to) = (header.source_addr(), header.destination_addr());
            let host = |a: Ipv4Addr| !matches!(a.octets()[0], 0 | 127 | 224..);
            if to == Ipv4Addr::BROADCAST && (host(source) || source.is_unspecified()) {
                return Outcome::Local;
            }
            if !host(source) || source == to || self.is_own(source.into()) {
                return Outcome::Gone;
            }
            if to.is_multicast() {
                let link = to.octets()[..3] == [224, 0, 0];
                return if link { Outcome::Local } else { Outcome::Gone };
            }
            if !host(to) {
                return Outcome::Gone;
            }
            let large = usize::from(header.total_len());
            let whole = header.dont_fragment();
            self.route(source.into(), to.into(), came, header.ttl(), (large, whole), octets)
        } else {
            let Ok(header) = Ipv6HeaderSlice::from_slice(octets) else { return Outcome::Gone };
            let (source, to) = (header.source_addr(), header.destination_addr());
            if source.is_multicast() || source.is_loopback() || source.to_ipv4_mapped().is_some() {
                return Outcome::Gone;
            }
            if to.is_multicast() {
                return if to.octets()[1] & 15 == 2 { Outcome::Local } else { Outcome::Gone };
            }
            let nobody = |a: Ipv6Addr| a.is_unspecified() || a.is_loopback();
            if nobody(source) || nobody(to) || source == to || self.is_own(source.into()) {
                return Outcome::Gone;
            }
            let large = 40 + usize::from(header.payload_length());
            self.route(source.into(), to.into(), came, header.hop_limit(), (large, true), octets)
        }
    }

    fn is_own(&self, address: IpAddr) -> bool {
        // An anycast address of a subnet is own as a destination only.
        matches!(self.lookup(address), Some(Target::Own)) && !is_subnet(address)
    }

    fn route(
        &self,
        source: IpAddr,
        to: IpAddr,
        came: usize,
        hops: u8,
        (len, whole): (usize, bool),
        octets: &[u8],
    ) -> Outcome {
        let v4 = to.is_ipv4();
        let tell = |v4_says, v6_says| {
            let (kind, code) = if v4 { v4_says } else { v6_says };
            let told = matches!(self.lookup(source), Some(Target::Link(_) | Target::Via(..)));
            if told && !is_error(octets) { Outcome::Told(kind, code) } else { Outcome::Gone }
        };
        let (leg, next) = match self.lookup(to) {
            Some(Target::Own) => return Outcome::Local,
            Some(Target::Broadcast(leg)) if *leg == came => return Outcome::Local,
            Some(Target::Broadcast(_) | Target::Kind(Kind::Blackhole)) => return Outcome::Gone,
            None => return tell((3, 0), (1, 0)),
            Some(Target::Kind(Kind::Unreachable)) => return tell((3, 1), (1, 0)),
            Some(Target::Kind(_)) => return tell((3, 13), (1, 1)),
            Some(Target::Link(leg)) => (*leg, to),
            Some(Target::Via(leg, gateway)) => (*leg, *gateway),
        };
        let mtu = self.mtus[leg];
        match () {
            () if hops <= 1 => tell((11, 0), (3, 0)),
            () if len <= mtu => Outcome::Forward { leg, next, parts: 1 },
            () if whole => tell((3, 4), (2, 0)),
            () => Outcome::Forward { leg, next, parts: (len - 20).div_ceil((mtu - 20) & !7) },
        }
    }
}

fn is_subnet(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.segments()[4..] == [0; 4])
}

/// Whether a packet is an ICMP error.
fn is_error(octets: &[u8]) -> bool {
    match octets[0] >> 4 {
        4 => octets[9] == 1 && octets.get(20).is_none_or(|kind| !matches!(kind, 0 | 8)),
        _ => octets[6] == 58 && octets.get(40).is_none_or(|kind| *kind < 128),
    }
}

const MTUS: [usize; 3] = [1500, 1280, 1400];

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Legs and routes, for the engine and for the model.
fn world() -> (Router, Model) {
    let addresses = [
        ["10.0.0.1/24", "fd00:1::1/64"],
        ["10.9.0.1/30", "fd00:9::1/64"],
        ["10.8.0.1/16", "fd00:8::1/64"],
    ];
    let vias = [
        ("172.16.0.0/12", 1, "10.9.0.2"),
        ("172.16.7.0/24", 2, "10.8.7.7"),
        ("172.16.7.9/32", 0, "10.0.0.9"),
        ("2001:db8::/32", 1, "fd00:9::2"),
        ("2001:db8:7::/48", 2, "fd00:8::7"),
        ("2001:db8:7::9/128", 0, "fd00:1::9"),
    ];
    let kinds = [
        ("172.16.8.0/24", Kind::Blackhole),
        ("172.16.9.0/24", Kind::Unreachable),
        ("172.16.10.0/24", Kind::Prohibit),
        ("2001:db8:8::/48", Kind::Blackhole),
        ("2001:db8:9::/48", Kind::Unreachable),
        ("2001:db8:a::/48", Kind::Prohibit),
    ];
    let legs = addresses.iter().zip(MTUS).map(|(texts, mtu)| {
        let errors = Limit { per_tick: u32::MAX, burst: u32::MAX };
        Leg { errors, ..Leg::new(texts.iter().map(|text| text.parse().unwrap()).collect(), mtu) }
    });
    let mut routes = Vec::new();
    let mut lines: Vec<(Prefix, Target)> = Vec::new();
    for (prefix, leg, gateway) in vias {
        routes.push(Route::via(prefix.parse().unwrap(), ip(gateway)));
        lines.push((prefix.parse().unwrap(), Target::Via(leg, ip(gateway))));
    }
    for (prefix, kind) in kinds {
        let prefix = prefix.parse().unwrap();
        routes.push(Route { prefix, metric: 0, kind: kind.clone() });
        lines.push((prefix, Target::Kind(kind)));
    }
    let host = |text: &str| Prefix::host(ip(text));
    let links = ["10.0.0.0/24", "10.9.0.0/30", "10.8.0.0/16"].into_iter();
    let links = links.chain(["fd00:1::/64", "fd00:9::/64", "fd00:8::/64"]).enumerate();
    lines.extend(links.map(|(i, text)| (text.parse().unwrap(), Target::Link(i % 3))));
    let ends = ["10.0.0.0", "10.9.0.0", "10.8.0.0", "10.0.0.255", "10.9.0.3", "10.8.255.255"];
    lines.extend(ends.into_iter().enumerate().map(|(i, a)| (host(a), Target::Broadcast(i % 3))));
    let own = ["10.0.0.1", "10.9.0.1", "10.8.0.1", "fd00:1::1", "fd00:9::1", "fd00:8::1"];
    let own = own.into_iter().chain(["fd00:1::", "fd00:9::", "fd00:8::"]);
    lines.extend(own.map(|address| (host(address), Target::Own)));
    let tables = Tables::build(legs.collect(), &routes).unwrap();
    (Router::new(Arc::new(tables), 3), Model { lines, mtus: MTUS.to_vec() })
}

/// Addresses at the edges of all rules, and some of no interest.
fn address_v4() -> impl Strategy<Value = [u8; 4]> {
    let edges = [
        "0.0.0.0",
        "0.0.0.1",
        "10.0.0.0",
        "10.0.0.1",
        "10.0.0.2",
        "10.0.0.254",
        "10.0.0.255",
        "10.0.1.0",
        "10.9.0.0",
        "10.9.0.1",
        "10.9.0.2",
        "10.9.0.3",
        "10.9.0.4",
        "10.8.255.255",
        "10.8.3.4",
        "126.255.255.255",
        "127.0.0.0",
        "127.255.255.255",
        "128.0.0.1",
        "172.15.255.255",
        "172.16.0.0",
        "172.16.7.8",
        "172.16.7.9",
        "172.16.8.1",
        "172.16.9.1",
        "172.16.10.1",
        "172.31.255.255",
        "223.255.255.255",
        "224.0.0.0",
        "224.0.0.255",
        "224.0.1.0",
        "239.255.255.255",
        "240.0.0.0",
        "255.255.255.254",
        "255.255.255.255",
    ];
    let edges = edges.map(|text| text.parse::<Ipv4Addr>().unwrap().octets()).to_vec();
    prop_oneof![4 => select(edges), 1 => any::<[u8; 4]>()]
        .prop_filter("link-local", |octets| octets[..2] != [169, 254])
}

fn address_v6() -> impl Strategy<Value = [u8; 16]> {
    let edges = [
        "::",
        "::1",
        "::2",
        "::ffff:10.0.0.2",
        "fd00:1::",
        "fd00:1::1",
        "fd00:1::2",
        "fd00:1:0:1::",
        "fd00:9::1",
        "fd00:9::2",
        "fd00:8::",
        "2001:db7:ffff::",
        "2001:db8::1",
        "2001:db8:7::8",
        "2001:db8:7::9",
        "2001:db8:8::1",
        "2001:db8:9::1",
        "2001:db8:a::1",
        "2001:db9::",
        "ff01::1",
        "ff02::1",
        "ff05::1",
        "feff::1",
    ];
    let edges = edges.map(|text| text.parse::<Ipv6Addr>().unwrap().octets()).to_vec();
    prop_oneof![4 => select(edges), 1 => any::<[u8; 16]>()]
        .prop_filter("link-local", |octets| octets[0] != 0xfe || octets[1] & 0xc0 != 0x80)
}

fn packet() -> impl Strategy<Value = Vec<u8>> {
    let hops = prop_oneof![0..4_u8, any::<u8>()];
    let len = prop_oneof![
        8..60_usize,
        1230..1250_usize,
        1255..1265_usize,
        1355..1385_usize,
        1455..1485_usize
    ];
    let protocol = select(vec![1_u8, 6, 17, 50, 58]);
    // No echo request, which the engine answers and the model does not.
    let kind = select(vec![0_u8, 3, 11, 1, 2]);
    let v4 = (
        address_v4(),
        address_v4(),
        hops.clone(),
        protocol.clone(),
        len.clone(),
        any::<bool>(),
        kind.clone(),
    )
        .prop_map(|(source, to, hops, protocol, len, whole, kind)| {
            let mut octets = vec![0; 20 + len];
            octets[20] = kind;
            let total = (octets.len() as u16).to_be_bytes();
            octets[..4].copy_from_slice(&[0x45, 0, total[0], total[1]]);
            octets[6] = if whole { 0x40 } else { 0 };
            octets[8..10].copy_from_slice(&[hops, protocol]);
            octets[12..16].copy_from_slice(&source);
            octets[16..20].copy_from_slice(&to);
            let header = Ipv4HeaderSlice::from_slice(&octets).unwrap().to_header();
            octets[10..12].copy_from_slice(&header.calc_header_checksum().to_be_bytes());
            octets
        });
    let v6 = (address_v6(), address_v6(), hops, protocol, len, kind).prop_map(
        |(source, to, hops, protocol, len, kind)| {
            let mut octets = vec![0; 40 + len];
            octets[40] = kind;
            let len = (len as u16).to_be_bytes();
            octets[..8].copy_from_slice(&[0x60, 0, 0, 0, len[0], len[1], protocol, hops]);
            octets[8..24].copy_from_slice(&source);
            octets[24..40].copy_from_slice(&to);
            octets
        },
    );
    prop_oneof![v4, v6]
}

#[derive(Default)]
struct Emitted(Vec<Vec<u8>>);

impl Emit for Emitted {
    fn room(&mut self, octets: usize) -> Option<&mut [u8]> {
        self.0.push(vec![0; octets]);
        self.0.last_mut().map(Vec::as_mut_slice)
    }
}

fn outcome(router: &mut Router, octets: &mut [u8], leg: usize) -> Outcome {
    let mut emitted = Emitted::default();
    let meta = PacketMeta::of(octets);
    let place = router.place(octets);
    let mut arrival = Arrival { octets, leg: LegId(leg as u16), meta };
    match router.decide(&mut arrival, place, Tick(0), &mut emitted) {
        Verdict::Forward { hop, .. } | Verdict::Redirect { hop, .. } => {
            Outcome::Forward { leg: hop.leg.index(), next: hop.address, parts: 1 }
        }
        Verdict::Fragments { hop, .. } => {
            Outcome::Forward { leg: hop.leg.index(), next: hop.address, parts: emitted.0.len() }
        }
        Verdict::Local => Outcome::Local,
        Verdict::Reply { .. } => {
            let reply = &emitted.0[0];
            let at = if reply[0] >> 4 == 4 { 20 } else { 40 };
            Outcome::Told(reply[at], reply[at + 1])
        }
        Verdict::Drop(_) => Outcome::Gone,
        Verdict::Finish => panic!("nothing is unfinished"),
        Verdict::Resolve(hop) => panic!("everybody is known, and so is {hop:?}"),
    }
}

#[test]
fn engine_and_model_agree_on_every_packet() {
    let packets = std::env::var("USWITCH_PACKETS").ok().and_then(|text| text.parse().ok());
    let cases = packets.unwrap_or(PACKETS_DEFAULT);
    let mut runner = TestRunner::new(ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let (router, model) = world();
    let router = std::cell::RefCell::new(router);
    let mut counts = std::cell::RefCell::new([0_u32; 4]);
    runner
        .run(&(packet(), 0..3_usize), |(octets, leg)| {
            let expected = model.decide(&octets, leg);
            let found = outcome(&mut router.borrow_mut(), &mut octets.clone(), leg);
            let kind = match expected {
                Outcome::Forward { .. } => 0,
                Outcome::Local => 1,
                Outcome::Told(..) => 2,
                Outcome::Gone => 3,
            };
            counts.borrow_mut()[kind] += 1;
            prop_assert_eq!(found, expected, "{:02x?} by leg {}", octets, leg);
            Ok(())
        })
        .unwrap();
    // Each way out is taken often enough for an agreement to mean something.
    assert!(counts.get_mut().iter().all(|count| *count > cases / 50), "{counts:?}");
}

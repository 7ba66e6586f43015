//! Messages of ARP and of neighbour discovery, sound ones and others, and who sends them: each
//! station means one of them, so that none is known from another one's.

use std::net::{Ipv4Addr, Ipv6Addr};

use uswitch_router::link::LinkAddress;

use crate::{
    cases::{ICMP6, UDP, udp, v4, v6},
    differential::{HOSTS, ROUTERS},
};

/// The router's addresses on the first link, and on the other one.
const OWN: &str = "10.0.0.1";
const OWN6: &str = "fd00::1";
const LOCAL6: &str = "fe80::ff:fe00:ee00";
const FAR: &str = "10.1.0.1";
const FAR6: &str = "fd00:1::1";
/// Where nobody is.
const NOBODY: &str = "10.0.0.77";
const NOBODY6: &str = "fd00::7777";
const NONE: &str = "0.0.0.0";
const NONE6: &str = "::";
const ALL: [u8; 6] = [0xff; 6];
const NULL: [u8; 6] = [0; 6];

const REQUEST: u8 = 1;
const REPLY: u8 = 2;

/// Flags of an advertisement: solicited, override.
const S: u8 = 0x40;
const O: u8 = 0x20;

/// Whose questions are answered after all before them.
pub const MARKER: Station = Station::number(250);

/// Somebody on the first link.
#[derive(Clone, Copy)]
pub struct Station {
    pub mac: [u8; 6],
    /// Where it says that it has moved.
    pub elsewhere: [u8; 6],
    pub v4: Ipv4Addr,
    pub v6: Ipv6Addr,
}

impl Station {
    const fn number(number: u8) -> Station {
        Station {
            mac: [2, 0, 0, 0, 0xcc, number],
            elsewhere: [2, 0, 0, 0, 0xdd, number],
            v4: Ipv4Addr::new(10, 0, 0, number),
            v6: Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 1, number as u16),
        }
    }

    /// A question for the router's address, to it alone: what is for all may overtake.
    pub fn question(&self) -> Vec<u8> {
        self.arp(ROUTERS[0], REQUEST, (self.mac, &self.v4.to_string()), (NULL, OWN))
    }

    fn arp(
        &self,
        to: [u8; 6],
        operation: u8,
        source: ([u8; 6], &str),
        target: ([u8; 6], &str),
    ) -> Vec<u8> {
        let octets = |text: &str| text.parse::<Ipv4Addr>().unwrap().octets();
        [
            &to[..],
            &self.mac,
            &[8, 6, 0, 1, 8, 0, 6, 4, 0, operation],
            &source.0,
            &octets(source.1),
            &target.0,
            &octets(target.1),
        ]
        .concat()
    }

    /// To all, from itself.
    fn asks(&self, target: &str) -> Vec<u8> {
        self.arp(ALL, REQUEST, (self.mac, &self.v4.to_string()), (NULL, target))
    }

    fn ip(&self, destination: &str, hops: u8, chain: &[u8], source: &str, nd: &[u8]) -> Vec<u8> {
        let address: Ipv6Addr = destination.parse().unwrap();
        let to = match address.is_multicast() {
            true => LinkAddress::of_group_v6(address).0,
            false => ROUTERS[0],
        };
        let packet = v6(source, destination, hops, chain, ICMP6, nd);
        [&to[..], &self.mac, &[0x86, 0xdd], &packet].concat()
    }

    /// A message as it should be, from itself.
    fn says(&self, destination: &str, nd: &[u8]) -> Vec<u8> {
        self.ip(destination, 255, &[], &self.v6.to_string(), nd)
    }

    /// The option that says where it is: 1 in a solicitation, 2 in an advertisement.
    fn at(&self, kind: u8) -> Vec<u8> {
        [&[kind, 1][..], &self.mac].concat()
    }

    fn solicits(&self, target: &str) -> Vec<u8> {
        self.says(&group(target), &solicitation(target, &self.at(1)))
    }

    /// An advertisement of itself.
    fn advertises(&self, destination: &str, flags: u8, option: &[u8]) -> Vec<u8> {
        self.says(destination, &advertisement(&self.v6.to_string(), flags, option))
    }
}

/// What is said, and what went before.
pub struct Meeting {
    pub name: &'static str,
    pub station: Station,
    /// What makes the router know the sender as it is to: by which link it comes, and the frame.
    pub before: Option<(usize, Vec<u8>)>,
    pub frame: Vec<u8>,
}

/// How the router knows the sender before.
#[derive(Clone, Copy)]
enum As {
    Stranger,
    /// It has asked for the router.
    Known,
    /// The router asks for it: there is a packet that waits.
    Wanted,
}

fn group(target: &str) -> String {
    let [.., a, b, c] = target.parse::<Ipv6Addr>().unwrap().octets();
    let end = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c];
    Ipv6Addr::from(end).to_string()
}

fn message(kind: u8, flags: u8, target: &str, options: &[u8]) -> Vec<u8> {
    let target = target.parse::<Ipv6Addr>().unwrap().octets();
    [&[kind, 0, 0, 0, flags, 0, 0, 0][..], &target, options].concat()
}

fn solicitation(target: &str, options: &[u8]) -> Vec<u8> {
    message(135, 0, target, options)
}

fn advertisement(target: &str, flags: u8, options: &[u8]) -> Vec<u8> {
    message(136, flags, target, options)
}

/// With these octets in the place of those.
fn changed(mut frame: Vec<u8>, at: usize, octets: &[u8]) -> Vec<u8> {
    frame[at..at + octets.len()].copy_from_slice(octets);
    frame
}

/// Its name, who says it, and what.
type Listed = (&'static str, As, fn(&Station) -> Vec<u8>);

/// All of them.
pub fn meetings() -> Vec<Meeting> {
    let arp = [targets(), senders(), announcements(), replies(), unsound()];
    let arp = arp.into_iter().flatten().map(|listed| (4, listed));
    let nd = [solicitations(), checks(), advertisements(), moves()];
    let all = arp.chain(nd.into_iter().flatten().map(|listed| (6, listed)));
    let numbers = 10..;
    let meeting = |((version, (name, known, make)), number): ((u8, Listed), u8)| {
        let station = Station::number(number);
        let before = match (known, version) {
            (As::Stranger, _) => None,
            (As::Known, 4) => Some((0, station.asks(OWN))),
            (As::Known, _) => Some((0, station.solicits(OWN6))),
            (As::Wanted, version) => {
                let packet = match version {
                    4 => v4("10.1.0.2", &station.v4.to_string(), 64, UDP, &udp(8)),
                    _ => v6("fd00:1::2", &station.v6.to_string(), 64, &[], UDP, &udp(8)),
                };
                let kind: &[u8] = if version == 4 { &[8, 0] } else { &[0x86, 0xdd] };
                Some((1, [&ROUTERS[1][..], &HOSTS[1], kind, &packet].concat()))
            }
        };
        Meeting { name, station, before, frame: make(&station) }
    };
    all.zip(numbers).map(meeting).collect()
}

/// Requests for this and that.
fn targets() -> Vec<Listed> {
    use As::Stranger;
    vec![
        ("request", Stranger, |s| s.asks(OWN)),
        ("request to the router alone", Stranger, |s| s.question()),
        ("request, padded", Stranger, |s| [s.asks(OWN), vec![0xa5; 18]].concat()),
        ("request to another's address on the link", Stranger, |s| {
            changed(s.asks(OWN), 0, &[2, 0, 0, 0, 9, 9])
        }),
        ("request for nobody", Stranger, |s| s.asks(NOBODY)),
        ("request for the address of the other leg", Stranger, |s| s.asks(FAR)),
        ("request for a host behind the router", Stranger, |s| s.asks("10.1.0.2")),
        ("request for the network's address", Stranger, |s| s.asks("10.0.0.0")),
        ("request for the broadcast address", Stranger, |s| s.asks("10.0.0.255")),
        ("request for a loopback address", Stranger, |s| s.asks("127.0.0.1")),
        ("request for a group", Stranger, |s| s.asks("224.0.0.1")),
    ]
}

/// Requests of whoever.
fn senders() -> Vec<Listed> {
    use As::{Known, Stranger};
    vec![
        ("request from beyond the link", Stranger, |s| {
            s.arp(ALL, REQUEST, (s.mac, "192.168.9.9"), (NULL, OWN))
        }),
        ("request from a loopback address", Stranger, |s| {
            s.arp(ALL, REQUEST, (s.mac, "127.0.0.1"), (NULL, OWN))
        }),
        ("request from a group", Stranger, |s| {
            s.arp(ALL, REQUEST, (s.mac, "224.0.0.1"), (NULL, OWN))
        }),
        ("request from the broadcast address", Stranger, |s| {
            s.arp(ALL, REQUEST, (s.mac, "10.0.0.255"), (NULL, OWN))
        }),
        ("request whose sender is at a group", Stranger, |s| {
            s.arp(ALL, REQUEST, ([1, 0, 0x5e, 0, 0, 1], &s.v4.to_string()), (NULL, OWN))
        }),
        ("request whose sender is elsewhere than its frame", Stranger, |s| {
            s.arp(ALL, REQUEST, (s.elsewhere, &s.v4.to_string()), (NULL, OWN))
        }),
        ("probe", Stranger, |s| s.arp(ALL, REQUEST, (s.mac, NONE), (NULL, OWN))),
        ("probe for nobody", Stranger, |s| s.arp(ALL, REQUEST, (s.mac, NONE), (NULL, NOBODY))),
        ("probe of its own address", Known, |s| {
            s.arp(ALL, REQUEST, (s.elsewhere, NONE), (NULL, &s.v4.to_string()))
        }),
    ]
}

/// What nobody asked for.
fn announcements() -> Vec<Listed> {
    use As::{Known, Stranger};
    vec![
        ("announcement of a stranger", Stranger, |s| s.asks(&s.v4.to_string())),
        ("announcement by a reply of a stranger", Stranger, |s| {
            let own = s.v4.to_string();
            s.arp(ALL, REPLY, (s.mac, &own), (ALL, &own))
        }),
        ("announcement of one who has moved", Known, |s| {
            let own = s.v4.to_string();
            s.arp(ALL, REQUEST, (s.elsewhere, &own), (NULL, &own))
        }),
        ("announcement by a reply of one who has moved", Known, |s| {
            let own = s.v4.to_string();
            s.arp(ALL, REPLY, (s.elsewhere, &own), (ALL, &own))
        }),
        ("request for nobody of one who has moved", Known, |s| {
            s.arp(ALL, REQUEST, (s.elsewhere, &s.v4.to_string()), (NULL, NOBODY))
        }),
        ("request of one who has moved", Known, |s| {
            s.arp(ALL, REQUEST, (s.elsewhere, &s.v4.to_string()), (NULL, OWN))
        }),
        ("announcement of the router's address", Stranger, |s| {
            s.arp(ALL, REQUEST, (s.mac, OWN), (NULL, OWN))
        }),
        ("request from the router's address", Stranger, |s| {
            s.arp(ALL, REQUEST, (s.mac, OWN), (NULL, NOBODY))
        }),
    ]
}

/// Answers, asked for or not.
fn replies() -> Vec<Listed> {
    use As::{Stranger, Wanted};
    vec![
        ("reply of a stranger", Stranger, |s| {
            s.arp(ROUTERS[0], REPLY, (s.mac, &s.v4.to_string()), (ROUTERS[0], OWN))
        }),
        ("reply to a question", Wanted, |s| {
            s.arp(ROUTERS[0], REPLY, (s.mac, &s.v4.to_string()), (ROUTERS[0], OWN))
        }),
        ("reply to a question, told to all", Wanted, |s| {
            s.arp(ALL, REPLY, (s.mac, &s.v4.to_string()), (ROUTERS[0], OWN))
        }),
        ("reply to a question, for another one", Wanted, |s| {
            s.arp(ROUTERS[0], REPLY, (s.mac, &s.v4.to_string()), (s.elsewhere, NOBODY))
        }),
        ("request of one who is asked for", Wanted, |s| s.asks(OWN)),
        ("announcement of one who is asked for", Wanted, |s| s.asks(&s.v4.to_string())),
        ("reply of one who is at a group", Wanted, |s| {
            s.arp(ROUTERS[0], REPLY, (ALL, &s.v4.to_string()), (ROUTERS[0], OWN))
        }),
    ]
}

/// No messages of ARP for Ethernet and IPv4.
fn unsound() -> Vec<Listed> {
    use As::Stranger;
    vec![
        ("hardware type 6", Stranger, |s| changed(s.asks(OWN), 14, &[0, 6])),
        ("hardware type 24", Stranger, |s| changed(s.asks(OWN), 14, &[0, 24])),
        ("protocol type of IPv6", Stranger, |s| changed(s.asks(OWN), 16, &[0x86, 0xdd])),
        ("hardware addresses of 8 octets", Stranger, |s| changed(s.asks(OWN), 18, &[8])),
        ("protocol addresses of 16 octets", Stranger, |s| changed(s.asks(OWN), 19, &[16])),
        ("operation 3", Stranger, |s| changed(s.asks(OWN), 20, &[0, 3])),
        ("operation 9", Stranger, |s| changed(s.asks(OWN), 20, &[0, 9])),
        ("27 octets", Stranger, |s| s.asks(OWN)[..14 + 27].to_vec()),
    ]
}

/// Questions.
fn solicitations() -> Vec<Listed> {
    use As::{Known, Stranger, Wanted};
    vec![
        ("ND: solicitation", Stranger, |s| s.solicits(OWN6)),
        ("ND: solicitation for the link-local address", Stranger, |s| s.solicits(LOCAL6)),
        ("ND: solicitation without an option", Stranger, |s| {
            s.says(&group(OWN6), &solicitation(OWN6, &[]))
        }),
        ("ND: solicitation to the router alone", Stranger, |s| {
            s.says(OWN6, &solicitation(OWN6, &s.at(1)))
        }),
        ("ND: solicitation to the router alone without an option", Stranger, |s| {
            s.says(OWN6, &solicitation(OWN6, &[]))
        }),
        ("ND: probe of one who knows the router", Known, |s| {
            s.says(OWN6, &solicitation(OWN6, &[]))
        }),
        ("ND: solicitation to all nodes", Stranger, |s| {
            s.says("ff02::1", &solicitation(OWN6, &s.at(1)))
        }),
        ("ND: solicitation with a nonce", Stranger, |s| {
            let nonce = [14, 1, 1, 2, 3, 4, 5, 6];
            s.says(&group(OWN6), &solicitation(OWN6, &[&nonce[..], &s.at(1)].concat()))
        }),
        ("ND: solicitation for nobody", Stranger, |s| s.solicits(NOBODY6)),
        ("ND: solicitation for the address of the other leg", Stranger, |s| s.solicits(FAR6)),
        ("ND: solicitation for a host behind the router", Stranger, |s| s.solicits("fd00:1::2")),
        ("ND: solicitation for all routers of the subnet", Stranger, |s| s.solicits("fd00::")),
        ("ND: solicitation from beyond the link", Stranger, |s| {
            let nd = solicitation(OWN6, &s.at(1));
            s.ip(&group(OWN6), 255, &[], "2001:db8:99::9", &nd)
        }),
        ("ND: solicitation from a group", Stranger, |s| {
            s.ip(&group(OWN6), 255, &[], "ff02::5", &solicitation(OWN6, &s.at(1)))
        }),
        ("ND: solicitation from the router's address", Stranger, |s| {
            s.ip(&group(NOBODY6), 255, &[], OWN6, &solicitation(NOBODY6, &s.at(1)))
        }),
        ("ND: solicitation of one who has moved", Known, |s| {
            let option = [&[1, 1][..], &s.elsewhere].concat();
            s.says(&group(OWN6), &solicitation(OWN6, &option))
        }),
        ("ND: solicitation of one who is asked for", Wanted, |s| s.solicits(OWN6)),
    ]
}

/// What is to be discarded (RFC 4861, section 7.1), and what is not.
fn checks() -> Vec<Listed> {
    use As::Stranger;
    vec![
        ("ND: duplicate address detection", Stranger, |s| {
            s.ip(&group(OWN6), 255, &[], NONE6, &solicitation(OWN6, &[]))
        }),
        ("ND: duplicate address detection of nobody's", Stranger, |s| {
            s.ip(&group(NOBODY6), 255, &[], NONE6, &solicitation(NOBODY6, &[]))
        }),
        ("ND: duplicate address detection with an option", Stranger, |s| {
            s.ip(&group(OWN6), 255, &[], NONE6, &solicitation(OWN6, &s.at(1)))
        }),
        ("ND: duplicate address detection to the router alone", Stranger, |s| {
            s.ip(OWN6, 255, &[], NONE6, &solicitation(OWN6, &[]))
        }),
        ("ND: duplicate address detection to all nodes", Stranger, |s| {
            s.ip("ff02::1", 255, &[], NONE6, &solicitation(OWN6, &[]))
        }),
        ("ND: hop limit 254", Stranger, |s| {
            let own = s.v6.to_string();
            s.ip(&group(OWN6), 254, &[], &own, &solicitation(OWN6, &s.at(1)))
        }),
        ("ND: wrong checksum", Stranger, |s| {
            let frame = s.solicits(OWN6);
            let octet = frame[56] ^ 1;
            changed(frame, 56, &[octet])
        }),
        ("ND: code 1", Stranger, |s| {
            let nd = changed(solicitation(OWN6, &s.at(1)), 1, &[1]);
            s.says(&group(OWN6), &nd)
        }),
        ("ND: 23 octets", Stranger, |s| s.says(&group(OWN6), &solicitation(OWN6, &[])[..23])),
        ("ND: target is a group", Stranger, |s| s.says(OWN6, &solicitation("ff02::1", &s.at(1)))),
        ("ND: option of no length", Stranger, |s| {
            s.says(&group(OWN6), &solicitation(OWN6, &[1, 0, 2, 0, 0, 0, 0, 1]))
        }),
        ("ND: option that runs over", Stranger, |s| {
            s.says(&group(OWN6), &solicitation(OWN6, &[1, 2, 2, 0, 0, 0, 0, 1]))
        }),
        ("ND: in a fragment that is the whole", Stranger, |s| {
            let own = s.v6.to_string();
            let chain = [44, ICMP6, 0, 0, 0, 0, 0, 0, 9];
            s.ip(&group(OWN6), 255, &chain, &own, &solicitation(OWN6, &s.at(1)))
        }),
        ("ND: behind destination options", Stranger, |s| {
            let own = s.v6.to_string();
            let chain = [60, ICMP6, 0, 1, 4, 0, 0, 0, 0];
            s.ip(&group(OWN6), 255, &chain, &own, &solicitation(OWN6, &s.at(1)))
        }),
    ]
}

/// Answers, asked for or not.
fn advertisements() -> Vec<Listed> {
    use As::{Stranger, Wanted};
    vec![
        ("ND: advertisement of a stranger", Stranger, |s| s.advertises("ff02::1", O, &s.at(2))),
        ("ND: advertisement of a stranger, as if asked", Stranger, |s| {
            s.advertises(OWN6, S | O, &s.at(2))
        }),
        ("ND: advertisement", Wanted, |s| s.advertises(OWN6, S | O, &s.at(2))),
        ("ND: advertisement that answers nobody", Wanted, |s| s.advertises("ff02::1", O, &s.at(2))),
        ("ND: advertisement without an option", Wanted, |s| s.advertises(OWN6, S | O, &[])),
        ("ND: advertisement for all that answers", Wanted, |s| {
            s.advertises("ff02::1", S | O, &s.at(2))
        }),
        ("ND: advertisement of hop limit 254", Wanted, |s| {
            let nd = advertisement(&s.v6.to_string(), S | O, &s.at(2));
            s.ip(OWN6, 254, &[], &s.v6.to_string(), &nd)
        }),
        ("ND: advertisement of one at a group", Wanted, |s| {
            s.advertises(OWN6, S | O, &[2, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff])
        }),
    ]
}

/// What is said by who is known.
fn moves() -> Vec<Listed> {
    use As::{Known, Stranger};
    vec![
        ("ND: moved, with override", Known, |s| {
            s.advertises("ff02::1", O, &[&[2, 1][..], &s.elsewhere].concat())
        }),
        ("ND: moved, without override", Known, |s| {
            s.advertises("ff02::1", 0, &[&[2, 1][..], &s.elsewhere].concat())
        }),
        ("ND: moved, without override, as if asked", Known, |s| {
            s.advertises(OWN6, S, &[&[2, 1][..], &s.elsewhere].concat())
        }),
        ("ND: moved, with override, as if asked", Known, |s| {
            s.advertises(OWN6, S | O, &[&[2, 1][..], &s.elsewhere].concat())
        }),
        ("ND: still there", Known, |s| s.advertises(OWN6, S, &s.at(2))),
        ("ND: still there, without an option", Known, |s| s.advertises(OWN6, S, &[])),
        ("ND: advertisement of the router's address", Stranger, |s| {
            s.says("ff02::1", &advertisement(OWN6, O, &s.at(2)))
        }),
        ("ND: router solicitation", Stranger, |s| {
            s.says("ff02::2", &[&[133, 0, 0, 0, 0, 0, 0, 0][..], &s.at(1)].concat())
        }),
    ]
}

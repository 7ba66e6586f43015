//! What the router would do with a frame that leaves by a leg: a worker's own router is asked once
//! more, on the control plane's thread, with the tables that all workers have at this moment. It
//! is thrown away afterwards: nothing is sent, counted or taken from a limit.

use std::sync::Arc;

use uswitch_router::{
    forward::Verdict,
    neighbour::State,
    own::{Fate, Own},
    packet::PacketMeta,
    route::{Hop, LegId},
    tables::Tables,
};

use super::{Legs, Routing, Step, meta, slow::Used};
use crate::{
    fdb::Tick,
    frame::{Frame, HEADER_LEN, Lent, Span},
    port::{Port, PortId, leg::is_for},
    switch::Handle,
};

/// What would become of a frame that left by a leg.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crossed {
    /// By which leg.
    pub leg: LegId,
    /// Whether it is for the router at all, which like any host does not hear all of a flood.
    pub is_heard: bool,
    /// What the router decides. `None`: it holds no packet of IP, or one in another VLAN.
    pub verdict: Option<Verdict>,
    /// What is known of a neighbour that has to be asked for.
    pub known: Option<State>,
    /// What the router says as a host to what is for itself: packets, before they are cut for their
    /// way. `None`: it is for others, or has to be completed first.
    pub own: Option<(Fate, Vec<Vec<u8>>)>,
    /// The port by which something enters a bridge, and that, as ports send it. It is empty where
    /// all that is left is the slow path's to do, or nothing.
    pub onward: Vec<(PortId, Vec<u8>)>,
}

impl Legs {
    /// What would become of a frame that leaves by this port now. `None`: it is no leg's.
    pub fn foresee<P: Port>(
        &self,
        handle: &Handle<P>,
        port: PortId,
        frame: Frame<'_>,
    ) -> Option<Crossed> {
        let (index, (config, _)) = self.iter().enumerate().find(|(_, (_, leg))| *leg == port)?;
        let leg = LegId(index as u16);
        let is_heard = is_for(frame, config.own());
        // Nobody listens: that a neighbour is stale is told by who really sends.
        let routes = self.routes(handle, self.resolved()?, Used::unheard().ok()?);
        let tables = routes.tables.clone();
        let mut routing = Routing::new(routes, handle.flow_seed()).asking();
        let mut wire = frame.wire().to_vec();
        let mut span = [Span { start: 0, len: wire.len() as u32 }];
        let mut lent = Lent::new(&mut wire, &mut span);
        let (known, own, onward) = (None, None, Vec::new());
        let crossed = Crossed { leg, is_heard, verdict: None, known, own, onward };
        if !is_heard || routing.place(lent.batch(), 1) == 0 {
            return Some(crossed);
        }
        let Some(verdict) = routing.verdict(leg, &mut lent, 0, handle.now()) else {
            return Some(crossed);
        };
        let own = match (verdict, meta(lent.frame(0))) {
            (Verdict::Local, PacketMeta { group: false, complete: true, largest })
                if largest >= frame.octets().len() - HEADER_LEN =>
            {
                Some(own_says(tables, leg, &frame.octets()[HEADER_LEN..], handle.now()))
            }
            _ => None,
        };
        let onward = match routing.step(verdict, &mut lent, 0) {
            Step::On(foot) => vec![(foot.ingress.port, lent.frame(0).wire().to_vec())],
            Step::Made(foot, _) => {
                let made = routing.made.all().frames();
                made.map(|frame| (foot.ingress.port, frame.wire().to_vec())).collect()
            }
            Step::Both(foot) => {
                let made = routing.made.all().frames();
                let all = made.chain([lent.frame(0)]);
                all.map(|frame| (foot.ingress.port, frame.wire().to_vec())).collect()
            }
            Step::Up | Step::Ended(_) => Vec::new(),
        };
        let known = match verdict {
            Verdict::Resolve(hop) => self.state(hop),
            _ => None,
        };
        Some(Crossed { verdict: Some(verdict), known, own, onward, ..crossed })
    }

    /// What is known of a neighbour.
    fn state(&self, hop: Hop) -> Option<State> {
        self.neighbours()?.iter().find(|known| known.hop == hop).map(|known| known.state)
    }
}

/// What the router as a host says to a packet: another one with the same addresses says it.
fn own_says(tables: Arc<Tables>, leg: LegId, packet: &[u8], now: Tick) -> (Fate, Vec<Vec<u8>>) {
    let (mut host, mut said) = (Own::new(tables, 0).asking(), Vec::new());
    let millis = u64::from(now.0) * Tick::MILLIS;
    let fate = host.packet(leg, packet, millis, &mut |packet| said.push(packet.to_vec()));
    (fate, said)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use uswitch_router::{
        link::LinkAddress,
        neighbour::{Link, Standing},
        packet::checksum,
        prefix::LegAddress,
        route::{Kind, Leg, Route},
        stats::{Reason, Stats},
    };

    use super::*;
    use crate::{
        bridge::BridgeId,
        frame::{Arena, Mac},
        offload::VNET_HEADER_LEN,
        port::{
            Rx,
            datagram::{DatagramRx, DatagramTx},
            leg::{LegPort, leg_pair},
        },
        routing::LegConfig,
        switch::{PortConfig, SwitchConfig, start},
    };

    const PATIENCE: Duration = Duration::from_secs(60);
    const LEGS: [Mac; 2] = [Mac::new([2, 0, 0, 0, 1, 0]), Mac::new([2, 0, 0, 0, 1, 1])];
    const HOSTS: [Mac; 2] = [Mac::new([2, 0, 0, 0, 0, 0xa]), Mac::new([2, 0, 0, 0, 0, 0xb])];

    /// A host: its port, and what it hears and says by it.
    struct Host {
        port: PortId,
        rx: DatagramRx,
        tx: DatagramTx,
        arena: Arena,
        heard: Vec<Vec<u8>>,
    }

    impl Host {
        /// Waits until it has heard this. The slow path speaks, too, and of packets of the router's
        /// own each has another identification.
        fn hear(&mut self, wire: &[u8]) {
            let begin = Instant::now();
            let wire = without_ident(wire);
            loop {
                let lent = self.rx.recv(&mut self.arena).unwrap();
                self.heard.extend(lent.frames().map(|frame| without_ident(frame.wire())));
                if let Some(at) = self.heard.iter().position(|heard| *heard == wire) {
                    self.heard.remove(at);
                    return;
                }
                assert!(begin.elapsed() < PATIENCE, "{wire:?} in time, not {:?}", self.heard);
                std::thread::yield_now();
            }
        }
    }

    /// A frame without what differs in packets of IPv4 that the router sends.
    fn without_ident(wire: &[u8]) -> Vec<u8> {
        let mut wire = wire.to_vec();
        let packet = &mut wire[VNET_HEADER_LEN + HEADER_LEN..];
        if packet[0] == 0x45 && packet[9] == 1 {
            packet[4..6].fill(0);
            packet[10..12].fill(0);
        }
        wire
    }

    struct Lab {
        hosts: [Host; 2],
        ports: Vec<PortId>,
        legs: Legs,
        handle: Handle<LegPort>,
    }

    /// A host and a leg on two links, 10.0.0.0/24 and 10.1.0.0/24, the second of which carries 1280
    /// octets; each host is known, and so is nobody else.
    fn lab() -> Lab {
        let mut handle = start::<LegPort>(&SwitchConfig::default()).unwrap();
        let hosts = [0, 1].map(|number| {
            let (near, far) = leg_pair(HOSTS[number]).unwrap();
            let bridge = BridgeId::new(number);
            let config = PortConfig { bridge, ..PortConfig::named(format!("host{number}")) };
            let port = handle.add(config, near).unwrap();
            let (mut rx, tx) = far.split().unwrap();
            Host { port, rx: rx.remove(0), tx, arena: Arena::new(), heard: Vec::new() }
        });
        let config = |number: usize| {
            let addresses: Vec<LegAddress> = match number {
                0 => ["10.0.0.1/24", "fd00::1/64"].map(|text| text.parse().unwrap()).into(),
                _ => vec!["10.1.0.1/24".parse().unwrap()],
            };
            let bridge = BridgeId::new(number);
            LegConfig {
                port: PortConfig { bridge, ..PortConfig::named(format!("leg{number}")) },
                link: Link::new(LinkAddress(LEGS[number].octets()), addresses.clone()),
                leg: Leg { redirects: true, ..Leg::new(addresses, [1500, 1280][number]) },
                advertise: None,
            }
        };
        let of = |prefix: &str, kind| Route { prefix: prefix.parse().unwrap(), metric: 0, kind };
        let routes = [
            Route::via("10.2.0.0/16".parse().unwrap(), "10.1.0.2".parse().unwrap()),
            of("10.3.0.0/16", Kind::Blackhole),
            of("10.4.0.0/16", Kind::Prohibit),
        ];
        let mut legs = Legs::start(&handle).unwrap();
        legs.apply(&mut handle, vec![config(0), config(1)], &routes).unwrap();
        for (leg, address) in
            [(0, "10.0.0.2"), (0, "10.0.0.3"), (1, "10.1.0.2"), (0, "fd00::2"), (0, "fd00::3")]
        {
            let hop = Hop { leg: LegId(leg), address: address.parse().unwrap() };
            let mac = LinkAddress(HOSTS[usize::from(leg)].octets());
            legs.add_neighbour(hop, mac).unwrap();
        }
        // Addresses of IPv6 are used when nobody else has them (RFC 4862, section 5.4).
        let begin = Instant::now();
        while legs.own().unwrap().iter().any(|(.., standing)| *standing != Standing::Preferred) {
            assert!(begin.elapsed() < PATIENCE, "nobody else has them");
            std::thread::sleep(Duration::from_millis(50));
        }
        let ports = legs.iter().map(|(_, port)| port).collect();
        Lab { hosts, ports, legs, handle }
    }

    impl Lab {
        fn routed(&self) -> Stats {
            self.handle.routed().remove(0)
        }

        /// Asks about a frame of the first host, sends it, and compares.
        #[track_caller]
        fn compare(&mut self, wire: &[u8]) -> Option<Verdict> {
            let before = self.routed();
            let frame = Frame::from_wire(wire);
            let crossed = self.legs.foresee(&self.handle, self.ports[0], frame).unwrap();
            // More than there may be at once.
            for _ in 0..60 {
                let again = self.legs.foresee(&self.handle, self.ports[0], frame).unwrap();
                assert_eq!(again.verdict, crossed.verdict, "nothing is taken from a limit");
            }
            assert_eq!(self.routed(), before, "nothing is counted");
            let mut expected = before;
            match crossed.verdict {
                Some(Verdict::Forward { .. }) => expected.forwarded += 1,
                Some(Verdict::Redirect { .. }) => {
                    expected.forwarded += 1;
                    expected.icmp_sent += 1;
                }
                Some(Verdict::Fragments { .. }) => {
                    expected.fragmented += 1;
                    expected.fragments += crossed.onward.len() as u64;
                }
                Some(Verdict::Reply { reason: None, .. }) => expected.echoes += 1,
                Some(Verdict::Reply { reason: Some(reason), .. }) => {
                    expected.drop(reason);
                    expected.icmp_sent += 1;
                }
                Some(Verdict::Resolve(_)) => expected.unresolved += 1,
                Some(Verdict::Finish) => expected.unfinished += 1,
                Some(Verdict::Local) => expected.local += 1,
                Some(Verdict::Drop(reason)) => expected.drop(reason),
                None => {}
            }
            nix::unistd::write(self.hosts[0].tx.fd(), wire).unwrap();
            let begin = Instant::now();
            while self.routed() != expected {
                assert!(begin.elapsed() < PATIENCE, "{:?} is not {expected:?}", self.routed());
                std::thread::yield_now();
            }
            for packet in crossed.own.iter().flat_map(|(_, said)| said) {
                let kind = if packet[0] >> 4 == 6 { [0x86, 0xdd] } else { [8, 0] };
                let head = [&HOSTS[0].octets()[..], &LEGS[0].octets(), &kind].concat();
                self.hosts[0].hear(&[&[0; VNET_HEADER_LEN][..], &head, packet].concat());
            }
            for (port, wire) in crossed.onward {
                let host = usize::from(port == self.ports[1]);
                assert!(host == 1 || port == self.ports[0]);
                self.hosts[host].hear(&wire);
            }
            crossed.verdict
        }
    }

    fn wire(to: Mac, kind: [u8; 2], packet: &[u8]) -> Vec<u8> {
        let head = [&to.octets()[..], &HOSTS[0].octets(), &kind].concat();
        [&[0; VNET_HEADER_LEN][..], &head, packet].concat()
    }

    fn v4(to: [u8; 4], ttl: u8, len: usize, fragment: u16) -> Vec<u8> {
        let total = ((28 + len) as u16).to_be_bytes();
        let flags = fragment.to_be_bytes();
        let mut octets = vec![0x45, 0, total[0], total[1], 0, 9, flags[0], flags[1], ttl, 17, 0, 0];
        octets.extend([10, 0, 0, 2]);
        octets.extend(to);
        let check = checksum(&octets).to_be_bytes();
        octets[10..12].copy_from_slice(&check);
        octets.extend([0, 7, 0, 9, 0, 8, 0, 0]);
        octets.resize(28 + len, 7);
        wire(LEGS[0], [8, 0], &octets)
    }

    fn v6(to: [u8; 2], hops: u8, message: &[u8]) -> Vec<u8> {
        let address = |last| [&[0xfd, 0][..], &to[..1], &[0; 12], &[last]].concat();
        let mut octets = vec![0x60, 0, 0, 0, 0, message.len() as u8, 58, hops];
        octets.extend([&[0xfd, 0][..], &[0; 13], &[2]].concat());
        octets.extend(address(to[1]));
        octets.extend(message);
        wire(LEGS[0], [0x86, 0xdd], &octets)
    }

    #[test]
    fn what_the_router_does_with_a_packet_is_foretold() {
        let mut lab = lab();
        let what = |lab: &mut Lab, wire: &[u8]| match lab.compare(wire) {
            Some(Verdict::Reply { reason, .. }) => ("reply", reason),
            Some(Verdict::Drop(reason)) => ("drop", Some(reason)),
            Some(Verdict::Forward { .. }) => ("forward", None),
            Some(Verdict::Redirect { .. }) => ("redirect", None),
            Some(Verdict::Fragments { .. }) => ("fragments", None),
            Some(Verdict::Resolve(_)) => ("resolve", None),
            Some(Verdict::Local) => ("local", None),
            Some(Verdict::Finish) => ("finish", None),
            None => ("none", None),
        };
        let mut unfinished = v4([10, 1, 0, 2], 64, 1400, 0);
        // VIRTIO_NET_HDR_F_NEEDS_CSUM, from behind the header of IPv4, where UDP has it.
        unfinished[..10].copy_from_slice(&[1, 0, 0, 0, 0, 0, 34, 0, 6, 0]);
        let cases = [
            (v4([10, 1, 0, 2], 64, 20, 0), ("forward", None)),
            (v4([10, 2, 9, 9], 2, 20, 0), ("forward", None)),
            (v4([10, 0, 0, 2], 64, 20, 0), ("drop", Some(Reason::Land))),
            (v4([10, 0, 0, 3], 64, 20, 0), ("redirect", None)),
            (v6([0, 3], 64, &[200; 8]), ("redirect", None)),
            (v4([10, 1, 0, 2], 64, 1400, 0), ("fragments", None)),
            (v4([10, 1, 0, 2], 64, 1400, 0x4000), ("reply", Some(Reason::TooBig))),
            (v4([10, 1, 0, 2], 1, 20, 0), ("reply", Some(Reason::Ttl))),
            (v4([10, 3, 0, 2], 64, 20, 0), ("drop", Some(Reason::Blackhole))),
            (v4([10, 4, 0, 2], 64, 20, 0), ("reply", Some(Reason::Prohibit))),
            (v4([192, 0, 2, 1], 64, 20, 0), ("reply", Some(Reason::NoRoute))),
            (v4([10, 1, 0, 255], 64, 20, 0), ("drop", Some(Reason::DirectedBroadcast))),
            (v4([10, 1, 0, 77], 64, 20, 0), ("resolve", None)),
            (v4([10, 1, 0, 1], 64, 20, 0), ("local", None)),
            (unfinished, ("finish", None)),
            (v6([9, 9], 64, &[3; 8]), ("drop", Some(Reason::NoRoute))),
            (v6([9, 9], 64, &[200; 8]), ("reply", Some(Reason::NoRoute))),
            (v6([0, 77], 1, &[200; 8]), ("reply", Some(Reason::Ttl))),
            (v6([0, 77], 64, &[200; 8]), ("resolve", None)),
            (wire(LEGS[0], [0x88, 0xb5], &[0; 46]), ("none", None)),
            (wire(LEGS[0], [0x81, 0], &[0, 5, 8, 0]), ("none", None)),
        ];
        for (wire, expected) in cases {
            assert_eq!(what(&mut lab, &wire), expected, "{wire:?}");
        }
        drop(lab.legs);
        lab.handle.stop();
    }

    #[test]
    fn what_the_router_says_as_a_host_is_foretold() {
        let mut lab = lab();
        let foresee = |lab: &Lab, wire: &[u8]| {
            let crossed = lab.legs.foresee(&lab.handle, lab.ports[0], Frame::from_wire(wire));
            let (fate, said) = crossed.unwrap().own.unwrap();
            (fate, said.into_iter().map(|packet| [packet[20], packet[21]]).collect::<Vec<_>>())
        };
        let udp = v4([10, 1, 0, 1], 64, 0, 0);
        assert_eq!(foresee(&lab, &udp), (Fate::Answered, vec![[3, 3]]));
        lab.compare(&udp);
        let mut unknown = v4([10, 0, 0, 1], 64, 20, 0);
        let at = VNET_HEADER_LEN + HEADER_LEN;
        (unknown[at + 9], unknown[at + 10], unknown[at + 11]) = (253, 0, 0);
        let check = checksum(&unknown[at..at + 20]).to_be_bytes();
        unknown[at + 10..at + 12].copy_from_slice(&check);
        assert_eq!(foresee(&lab, &unknown), (Fate::Answered, vec![[3, 2]]));
        lab.compare(&unknown);
        let part = v4([10, 1, 0, 1], 64, 24, 0x2000);
        assert_eq!(foresee(&lab, &part), (Fate::Waits, vec![]));
        let mut wrong = v4([10, 1, 0, 1], 64, 20, 0);
        wrong[at + 27] = 1;
        assert!(matches!(foresee(&lab, &wrong).0, Fate::Silent(_)));
        drop(lab.legs);
        lab.handle.stop();
    }

    #[test]
    fn neighbour_that_is_asked_for_is_known_to_be() {
        let mut lab = lab();
        let wire = v4([10, 1, 0, 77], 64, 20, 0);
        lab.compare(&wire);
        let frame = Frame::from_wire(&wire);
        let begin = Instant::now();
        let foresee = |lab: &Lab| lab.legs.foresee(&lab.handle, lab.ports[0], frame).unwrap();
        while !matches!(foresee(&lab).known, Some(State::Incomplete | State::Failed)) {
            assert!(begin.elapsed() < PATIENCE, "the slow path asks in time");
            std::thread::yield_now();
        }
        // A host hears not all of a flood.
        let elsewhere = self::wire(HOSTS[1], [8, 0], &wire[24..]);
        let crossed = lab.legs.foresee(&lab.handle, lab.ports[0], Frame::from_wire(&elsewhere));
        assert!(!crossed.unwrap().is_heard);
        assert_eq!(lab.legs.foresee(&lab.handle, lab.hosts[0].port, frame), None);
        drop(lab.legs);
        lab.handle.stop();
    }
}

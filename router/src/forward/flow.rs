//! Flows: packets that go one way, since they may not overtake each other (RFC 2992).

use std::net::IpAddr;

use super::has_ports;

/// A flow, as far as it decides about its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// From whom.
    pub source: IpAddr,
    /// For whom, of the same version.
    pub destination: IpAddr,
    /// The protocol above (IANA's number), behind extension headers.
    pub protocol: u8,
    /// Ports of source and destination, if there are any and its packets are no fragments.
    pub ports: Option<(u16, u16)>,
}

impl Flow {
    /// Its hash, by the seed of a [`super::Router`].
    #[inline]
    pub fn hash(&self, seed: u64) -> u32 {
        let addresses = match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                u64::from(source.to_bits()) << 32 | u64::from(destination.to_bits())
            }
            (source, destination) => {
                let bits = |address: IpAddr| match address {
                    IpAddr::V4(address) => u128::from(address.to_bits()),
                    IpAddr::V6(address) => address.to_bits(),
                };
                let fold = |bits: u128| (bits >> 64) as u64 ^ mix(bits as u64, seed);
                mix(fold(bits(source)), seed) ^ fold(bits(destination))
            }
        };
        let ports = self.ports.filter(|_| has_ports(self.protocol));
        let ports = ports.map_or(0, |(from, to)| u64::from(from) << 16 | u64::from(to));
        let protocol = u64::from(self.protocol) << 32;
        (mix(mix(addresses, seed) ^ ports ^ protocol, seed) >> 32) as u32
    }
}

/// A seeded multiplication, its upper half folded into the lower.
fn mix(value: u64, seed: u64) -> u64 {
    let product = u128::from(value ^ seed) * 0x9e37_79b9_7f4a_7c15;
    (product >> 64) as u64 ^ product as u64
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        forward::{
            Arrival, Router, Verdict,
            sample::{Emitted, ipv4, ipv6},
        },
        limit::Tick,
        packet::PacketMeta,
        route::{Kind, Leg, LegId, NextHop, Route},
        tables::{Tables, Target},
    };

    const UDP: u8 = 17;
    const SEED: u64 = 7;

    #[test]
    fn a_flow_takes_the_way_that_its_packets_take() {
        let leg =
            |texts: [&str; 2]| Leg::new(texts.map(|text| text.parse().unwrap()).to_vec(), 1500);
        let legs = vec![leg(["10.0.0.1/24", "fd00::1/64"]), leg(["10.1.0.1/24", "fd00:1::1/64"])];
        let route = |prefix: &str, hops: [&str; 2]| {
            let hop = |text: &str, weight| NextHop {
                gateway: Some(text.parse().unwrap()),
                leg: None,
                weight,
            };
            let kind = Kind::Unicast(vec![hop(hops[0], 2), hop(hops[1], 1)]);
            Route { prefix: prefix.parse().unwrap(), metric: 0, kind }
        };
        let routes = [
            route("10.8.0.0/16", ["10.1.0.2", "10.1.0.3"]),
            route("fd08::/16", ["fd00:1::2", "fd00:1::3"]),
        ];
        let tables = Arc::new(Tables::build(legs, &routes).unwrap());
        let mut router = Router::new(tables.clone(), SEED);
        for (from, to) in [("10.0.0.2", "10.8.0.9"), ("fd00::2", "fd08::9")] {
            let (source, destination): (IpAddr, IpAddr) =
                (from.parse().unwrap(), to.parse().unwrap());
            let mut ways = [0; 2];
            for port in 1..100_u16 {
                let ports = Some((port, 53));
                let head = [port.to_be_bytes(), 53_u16.to_be_bytes(), [0, 8], [0; 2]].concat();
                let mut octets = match source {
                    IpAddr::V4(_) => ipv4(from, to, 64, UDP, &head),
                    IpAddr::V6(_) => ipv6(from, to, 64, UDP, &head),
                };
                let meta = PacketMeta::of(&octets);
                let place = router.place(&octets);
                let mut arrival = Arrival { octets: &mut octets, leg: LegId(0), meta };
                let mut emitted = Emitted::default();
                let verdict = router.decide(&mut arrival, place, Tick(5), &mut emitted);
                let Verdict::Forward { hop, .. } = verdict else { panic!("{verdict:?}") };
                let flow = Flow { source, destination, protocol: UDP, ports };
                let Target::Hops(hops) = tables.lookup(destination) else { panic!("{to}") };
                assert_eq!(hops.choose(flow.hash(SEED)).gateway, Some(hop.address));
                let way = hops.weighted().position(|(via, _)| via.gateway == Some(hop.address));
                ways[way.unwrap()] += 1;
                // Who has no ports goes by his addresses.
                let ping = |ports| Flow { protocol: 1, ports, ..flow }.hash(SEED);
                assert_eq!(ping(ports), ping(None));
            }
            assert!(ways[0] > ways[1] && ways[1] > 15, "{ways:?} of weights 2 and 1");
        }
    }
}

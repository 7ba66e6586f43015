//! Neighbours of which a person says what their link-layer addresses are, so that nobody asks.

use std::{collections::BTreeMap, fmt, net::IpAddr};

use super::{
    About, Faults, LegSpec, Part, PartOf, PortKind, PortSpec, Setting, Topology,
    fields::parse_mac,
    said::{Said, address, covers, each, is_link_local, one},
};
use crate::frame::Mac;

/// Neighbours that can be said.
pub const NEIGHBOURS_STATIC_MAX: usize = 1024;

/// The options of a neighbour.
pub const NEIGHBOUR: &[Setting] = &[
    one("leg", "NAME", "by which leg it is reached"),
    one("address", "ADDRESS", "its IP address"),
    one("mac", "ADDRESS", "its link-layer address"),
];

/// A neighbour of the router, as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NeighbourSpec {
    /// By which leg it is reached.
    pub leg: String,
    /// Its address.
    pub address: IpAddr,
    /// Its link-layer address.
    pub mac: Mac,
}

impl NeighbourSpec {
    /// What these options mean.
    ///
    /// # Errors
    ///
    /// All of their faults, each about the option with its number.
    pub fn read(said: &[Said]) -> Result<NeighbourSpec, Faults> {
        let (mut faults, mut found) = (Faults::default(), (None, None, None));
        each("a neighbour", NEIGHBOUR, said, &mut faults, |name, text| {
            match name {
                "leg" => found.0 = Some(text.to_owned()),
                "address" => found.1 = Some(address(text)?),
                _ => found.2 = Some(parse_mac(text)?),
            }
            Ok(())
        });
        for Setting { name, .. } in NEIGHBOUR {
            if !said.iter().any(|(other, _)| other == name) {
                faults.push(format!("`{name}` is missing in a neighbour"));
            }
        }
        let (leg, address, mac) = found;
        let whole = leg.zip(address).zip(mac);
        faults.or(whole.map(|((leg, address), mac)| NeighbourSpec { leg, address, mac }))
    }
}

impl fmt::Display for NeighbourSpec {
    /// As ip-neighbour(8) has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} dev {} lladdr {} PERMANENT", self.address, self.leg, self.mac)
    }
}

impl Topology {
    /// The same with a neighbour more, or with another link-layer address of one, for a router
    /// that runs.
    ///
    /// # Errors
    ///
    /// Why there cannot be such a neighbour.
    pub fn with_neighbour(&self, said: NeighbourSpec) -> Result<Topology, Faults> {
        let mut new = self.clone();
        let is_it =
            |other: &NeighbourSpec| (&other.leg, other.address) == (&said.leg, said.address);
        match new.neighbours.iter().position(is_it) {
            Some(index) => new.neighbours[index] = said,
            None => new.neighbours.push(said),
        }
        let mut faults = Faults::default();
        check(&new.neighbours, &new.legs, &new.ports, true, &mut faults);
        faults.or(Some(new))
    }
}

/// Why there can be no such neighbour by this leg, beside these ports. `None`: there can.
pub fn no_such_neighbour(
    neighbour: &NeighbourSpec,
    leg: &LegSpec,
    ports: &[PortSpec],
) -> Option<String> {
    let NeighbourSpec { address, .. } = neighbour;
    let name = &leg.name;
    let is_tun = |port: &PortSpec| matches!(port.kind, PortKind::Tun(_)) && port.bridge == *name;
    if ports.iter().any(is_tun) {
        return Some(format!(
            "leg `{name}` is that of a TUN, whose host has no link-layer address and needs none: \
             leave the neighbour out"
        ));
    }
    if leg.addresses.iter().any(|own| own.address() == *address) {
        return Some(format!("{address} is the router's own address on leg `{name}`"));
    }
    if address.is_multicast() {
        return Some(format!("{address} is the address of a group"));
    }
    let there = is_link_local(*address) || leg.addresses.iter().any(|own| covers(*own, *address));
    (!there).then(|| format!("{address} is not on the link of leg `{name}`"))
}

/// Notes what is wrong between these neighbours and the legs. Of those that are not all `known`
/// nothing is said to be missing.
pub(super) fn check(
    neighbours: &[NeighbourSpec],
    legs: &[LegSpec],
    ports: &[PortSpec],
    known: bool,
    faults: &mut Faults,
) {
    let mut seen = BTreeMap::new();
    for (number, neighbour) in neighbours.iter().enumerate() {
        let part = |number, option| Part { of: PartOf::Neighbour, number, option, which: 0 };
        match legs.iter().find(|leg| leg.name == neighbour.leg) {
            None if known => {
                let sentence = super::legs::no_such_leg(&neighbour.leg, legs);
                faults.push_about(About::Router(part(number, "leg"), None), sentence);
            }
            None => {}
            Some(leg) => {
                if let Some(why) = no_such_neighbour(neighbour, leg, ports) {
                    faults.push_about(About::Router(part(number, "address"), None), why);
                }
            }
        }
        let first = *seen.entry((&neighbour.leg, neighbour.address)).or_insert(number);
        if first != number {
            let about = About::Router(part(number, "address"), Some(part(first, "address")));
            let address = neighbour.address;
            faults.push_about(about, format!("the neighbour {address} is given twice"));
        }
    }
    if neighbours.len() > NEIGHBOURS_STATIC_MAX {
        let count = neighbours.len();
        faults
            .push(format!("{count} neighbours are too many: {NEIGHBOURS_STATIC_MAX} can be said"));
    }
}

#[cfg(all(test, feature = "router"))]
mod tests {
    use super::*;
    use crate::topology::Words;

    #[test]
    fn neighbours_come_to_links_where_somebody_is_asked_for() {
        let words = Words {
            ports: vec!["a".to_owned()],
            leg: vec!["br=10.0.0.1/24".to_owned()],
            tun: vec!["tun0=10.9.0.1/24".to_owned()],
            ..Words::default()
        };
        let there = Topology::resolve(&words, &[0]).unwrap();
        let said = |leg: &str, address: &str, mac: u8| NeighbourSpec {
            leg: leg.to_owned(),
            address: address.parse().unwrap(),
            mac: Mac::new([2, 0, 0, 0, 0, mac]),
        };
        let one = there.with_neighbour(said("br", "10.0.0.2", 2)).unwrap();
        let other = one.with_neighbour(said("br", "10.0.0.2", 3)).unwrap();
        assert_eq!(other.neighbours, [said("br", "10.0.0.2", 3)]);
        for (leg, address, sentence) in [
            ("tun0", "10.9.0.2", "leg `tun0` is that of a TUN"),
            ("br", "10.0.0.1", "10.0.0.1 is the router's own"),
            ("br", "10.9.0.2", "10.9.0.2 is not on the link"),
            ("lan", "10.0.0.2", "there is no leg `lan`"),
        ] {
            let told = other.with_neighbour(said(leg, address, 4)).unwrap_err().to_string();
            assert!(told.contains(sentence), "{leg} {address}: {told}");
        }
    }
}

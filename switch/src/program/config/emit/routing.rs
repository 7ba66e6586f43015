//! Legs, routes and neighbours as tables of a file.

use uswitch::topology::{
    AdvertiseSpec, AdvertisedPrefix, LegSpec, NeighbourSpec, PortSpec, RouteSpec, Topology, TunLeg,
};

use super::{array, quoted, value};

/// Names and values, as they are said.
type Options = Vec<(&'static str, String)>;

/// Those of a topology, each with the empty line before it.
pub(super) fn tables(topology: &Topology) -> String {
    let Topology { ports, legs, routes, neighbours, .. } = topology;
    let legs = legs.iter().map(|spec| leg(spec, ports));
    let routes = routes.iter().map(route);
    legs.chain(routes).chain(neighbours.iter().map(neighbour)).collect()
}

/// Whether the port is said by its leg.
pub(super) fn is_said_by_leg(port: &PortSpec, legs: &[LegSpec]) -> bool {
    legs.iter().any(|leg| TunLeg::of(leg, port).is_some())
}

fn leg(spec: &LegSpec, ports: &[PortSpec]) -> String {
    let tun = ports.iter().find_map(|port| TunLeg::of(spec, port));
    let (place, options) = match tun {
        Some(tun) => ("tun", tun.emit()),
        None => ("bridge", spec.emit()),
    };
    let name = quoted(&spec.name);
    let told = spec.advertise.as_ref().map(advertise).unwrap_or_default();
    format!("\n[[leg]]\n{place} = {name}\n{}{told}", lines(&options, &["address", "host"]))
}

fn advertise(spec: &AdvertiseSpec) -> String {
    let prefixes = spec.prefixes.iter().map(|prefix| {
        let AdvertisedPrefix { prefix: network, .. } = prefix;
        inline([("prefix", network.to_string())].into_iter().chain(prefix.emit()))
    });
    let prefixes: Vec<_> = prefixes.collect();
    let prefixes = match &*prefixes {
        [] => String::new(),
        prefixes => format!("prefix = {}\n", array(prefixes.iter().cloned())),
    };
    format!("[leg.advertise]\n{}{prefixes}", lines(&spec.emit(), &["rdnss", "dnssl"]))
}

fn route(spec: &RouteSpec) -> String {
    let of_hop = |name: &str| matches!(name, "via" | "leg" | "weight");
    let own: Vec<_> = spec.emit().into_iter().filter(|(name, _)| !of_hop(name)).collect();
    let hops = match spec.hops() {
        [] => String::new(),
        [hop] => lines(&hop.emit(), &[]),
        hops => {
            let hops = hops.iter().map(|hop| inline(hop.emit().into_iter()));
            format!("nexthop = {}\n", array(hops))
        }
    };
    format!("\n[[route]]\n{}{hops}", lines(&own, &[]))
}

fn neighbour(spec: &NeighbourSpec) -> String {
    let NeighbourSpec { leg, address, mac } = spec;
    let options =
        vec![("leg", leg.clone()), ("address", address.to_string()), ("mac", mac.to_string())];
    format!("\n[[neighbour]]\n{}", lines(&options, &[]))
}

/// A line for each name; these have an array of all their values.
fn lines(options: &Options, many: &[&str]) -> String {
    let mut text = String::new();
    for (index, (name, said)) in options.iter().enumerate() {
        let first = options.iter().position(|(other, _)| other == name) == Some(index);
        if many.contains(name) && first {
            let all = options.iter().filter(|(other, _)| other == name);
            text += &format!("{name} = {}\n", array(all.map(|(_, said)| quoted(said))));
        } else if first {
            text += &format!("{name} = {}\n", self::said(name, said));
        }
    }
    text
}

/// All of them on one line.
fn inline(options: impl Iterator<Item = (&'static str, String)>) -> String {
    let options = options.map(|(name, text)| format!("{name} = {}", said(name, &text)));
    format!("{{ {} }}", options.collect::<Vec<_>>().join(", "))
}

/// A value; a name is a text whatever it is.
fn said(name: &str, text: &str) -> String {
    if matches!(name, "leg" | "netns") { quoted(text) } else { value(text) }
}

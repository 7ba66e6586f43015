//! Bridges: ports of one bridge hear each other, and nobody else's. A bridge has no more than a
//! name; it is there because a port is in it, or a leg.

use std::collections::{BTreeMap, BTreeSet};

use super::{Faults, LegSpec, PortSpec, fields::check_name, spec::PORT_NAME_MAX};

/// The bridge of a port that names none.
pub const BRIDGE_DEFAULT: &str = "br";

pub use crate::bridge::BRIDGES_MAX;

/// A bridge's name, as it can stand in front of `=ADDRESS`.
pub(super) fn check_bridge(name: &str) -> Result<String, String> {
    check_name(name, "bridge's name", PORT_NAME_MAX, &['/', '=', ','])
}

/// There may not be too many.
pub(super) fn check_count<'a>(names: impl Iterator<Item = &'a str>, faults: &mut Faults) {
    let count = names.collect::<BTreeSet<_>>().len();
    if count > BRIDGES_MAX {
        faults
            .push(format!("{count} bridges are too many: a switch has {BRIDGES_MAX} at the most"));
    }
}

/// A sentence for each port that has nobody to talk to: no other port, nor a leg.
pub(super) fn lonely(ports: &[PortSpec], legs: &[LegSpec]) -> Vec<String> {
    let mut bridges: BTreeMap<&str, Vec<&PortSpec>> = BTreeMap::new();
    for port in ports {
        bridges.entry(&port.bridge).or_default().push(port);
    }
    let several = bridges.len() > 1;
    bridges.retain(|bridge, _| !legs.iter().any(|leg| leg.name == *bridge));
    let lone = bridges.into_iter().filter_map(|(bridge, ports)| match *ports {
        [port] => Some((bridge, &port.name)),
        _ => None,
    });
    lone.map(|(bridge, name)| match several {
        true => format!(
            "`{name}` is the only port of bridge `{bridge}`: there is nobody to whom its frames \
             could go"
        ),
        false => format!("`{name}` is the only port: there is nobody to whom its frames could go"),
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Topology, Words},
        *,
    };

    fn words(ports: &[&str]) -> Words {
        Words { port: ports.iter().map(|port| (*port).to_owned()).collect(), ..Words::default() }
    }

    #[test]
    fn a_port_is_in_the_bridge_that_it_names() {
        let topology = Topology::resolve(&words(&["a", "b,bridge=lan", "c,bridge=br"]), &[0]);
        let topology = topology.unwrap();
        let bridges: Vec<_> = topology.ports.iter().map(|port| &*port.bridge).collect();
        assert_eq!(bridges, [BRIDGE_DEFAULT, "lan", BRIDGE_DEFAULT]);
        let texts: Vec<_> = topology.ports.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["tap:a", "tap:b,bridge=lan", "tap:c"]);
    }

    #[test]
    fn a_port_without_anybody_else_is_warned_of() {
        let warnings = |ports: &[&str]| {
            Topology::resolve(&words(ports), &[0]).unwrap().warnings(&[0]).join("\n")
        };
        assert!(warnings(&["a"]).starts_with("`a` is the only port: "));
        assert!(
            warnings(&["a", "b", "c,bridge=lan"])
                .starts_with("`c` is the only port of bridge `lan`")
        );
        assert_eq!(warnings(&["a,bridge=lan", "b,bridge=lan"]), "");
    }

    #[test]
    fn there_are_so_many_bridges_and_no_more() {
        let ports: Vec<_> = (0..=BRIDGES_MAX).map(|n| format!("t{n},bridge=b{n}")).collect();
        let ports: Vec<_> = ports.iter().map(|port| &**port).collect();
        let faults = Topology::resolve(&words(&ports), &[0]).unwrap_err();
        assert_eq!(faults.to_string(), "1025 bridges are too many: a switch has 1024 at the most");
        assert!(Topology::resolve(&words(&ports[1..]), &[0]).is_ok());
    }
}

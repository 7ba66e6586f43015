//! A leg on a single port: it bears the port's name, and the port has a bridge of its own, of that
//! name, in which nobody else is. To the router that is a bridge like any other; to a person it is
//! a port with an address.

use super::{BRIDGE_DEFAULT, LegSpec, PortSpec};

/// Gives each port on which a leg is a bridge of its own. A name that is a bridge's is that.
/// Returns why it cannot be, by the numbers of legs.
pub fn settle(ports: &mut [PortSpec], legs: &[LegSpec]) -> Vec<(usize, String)> {
    let mut wrong = Vec::new();
    for (number, LegSpec { name, .. }) in legs.iter().enumerate() {
        if ports.iter().any(|port| port.bridge == *name) {
            continue;
        }
        let Some(port) = ports.iter_mut().find(|port| port.name == *name) else { continue };
        let bridge = &port.bridge;
        if bridge == BRIDGE_DEFAULT {
            port.bridge.clone_from(name);
            continue;
        }
        let sentence = format!(
            "`{name}` is a port of bridge `{bridge}`, whose leg is `{bridge}=...`: a leg on the \
             port alone takes that it says no `bridge`"
        );
        wrong.push((number, sentence));
    }
    wrong
}

#[cfg(all(test, feature = "router"))]
mod tests {
    use super::super::{Faults, Topology, Words};

    fn resolve(ports: &[&str], legs: &[&str]) -> Result<Topology, String> {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let words = Words { port: texts(ports), leg: texts(legs), ..Words::default() };
        let sentences = |faults: Faults| faults.iter().collect::<Vec<_>>().join("\n");
        Topology::resolve(&words, &[0]).map_err(sentences)
    }

    fn bridges(topology: &Topology) -> Vec<&str> {
        topology.ports.iter().map(|port| &*port.bridge).collect()
    }

    #[test]
    fn port_with_a_leg_of_its_name_has_a_bridge_of_its_own() {
        let legs = ["a=10.0.0.1/24", "br=10.1.0.1/24", "lan=10.2.0.1/24"];
        let topology = resolve(&["a", "b", "c,bridge=lan"], &legs).unwrap();
        assert_eq!(bridges(&topology), ["a", "br", "lan"]);
        assert!(topology.warnings(&[0]).is_empty());
        // What is written is the same again.
        let texts: Vec<_> = topology.ports.iter().map(ToString::to_string).collect();
        let texts: Vec<_> = texts.iter().map(String::as_str).collect();
        assert_eq!(resolve(&texts, &legs).unwrap().ports, topology.ports);
    }

    #[test]
    fn name_of_a_bridge_and_a_port_is_the_bridges() {
        let topology = resolve(&["a", "b,bridge=a"], &["a=10.0.0.1/24"]).unwrap();
        assert_eq!(bridges(&topology), ["br", "a"]);
    }

    #[test]
    fn port_of_another_bridge_has_no_leg_alone() {
        let told = resolve(&["a,bridge=lan", "b"], &["a=10.0.0.1/24"]).unwrap_err();
        assert!(told.contains("--leg `a=10.0.0.1/24`"), "{told}");
        assert!(told.contains("`a` is a port of bridge `lan`, whose leg is `lan=...`"), "{told}");
    }
}

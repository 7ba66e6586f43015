//! Opening the ports of a topology as a program does: with as many descriptors as they need, and
//! with one sentence for all that failed alike.

use std::collections::BTreeMap;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use uswitch::{
    plug::{Failure, Opener, Plugs},
    topology::{PortKind, PortSpec, Topology},
};

use super::control::CLIENTS_MAX;

/// Names that a line shows at the most.
const NAMES_SHOWN_MAX: usize = 8;

/// Descriptors of a port for a virtual machine: its sockets, three for each event of its rings, and
/// for a moment the files of its memory.
const VHOST: usize = 48;

/// Descriptors beside those of ports and workers: standard streams, signals, netlink, and those
/// who steer.
const DESCRIPTORS_BESIDE: usize = 64 + CLIENTS_MAX;

/// Lets the opener open all ports of a topology, or none.
///
/// # Errors
///
/// A sentence for each that did not open.
pub(crate) fn open_all(topology: &Topology, opener: Opener) -> Result<Plugs, Vec<String>> {
    raise_descriptor_limit(topology.ports.iter(), topology.switch.workers);
    Plugs::open_by(opener, &topology.ports).map_err(|failures| gather(&failures))
}

/// Opens these ports beside those that a switch with so many workers has: all, or none.
///
/// # Errors
///
/// A sentence for each that did not open.
pub(crate) fn open_more(
    plugs: &mut Plugs,
    specs: &[PortSpec],
    workers: usize,
) -> Result<(), Vec<String>> {
    let there = plugs.specs().map(|(spec, _)| spec);
    raise_descriptor_limit(there.chain(specs), workers);
    plugs.open_more(specs).map_err(|failures| gather(&failures))
}

/// One sentence for each reason: what failed alike for a thousand ports is told once.
fn gather(failures: &[Failure]) -> Vec<String> {
    let mut alike: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (index, Failure { name, why }) in failures.iter().enumerate() {
        alike.entry(why.replace(name.as_str(), "\0")).or_default().push(index);
    }
    let mut groups: Vec<_> = alike.into_values().collect();
    // In the order in which the ports were given.
    groups.sort();
    let tell = |group: Vec<usize>| {
        let Failure { name, why } = &failures[group[0]];
        let others: Vec<_> = group[1..].iter().map(|index| &*failures[*index].name).collect();
        match &*others {
            [] => format!("{name}: {why}"),
            others => format!("{name}: {why} (likewise {})", list(others)),
        }
    };
    groups.into_iter().map(tell).collect()
}

fn list(names: &[&str]) -> String {
    if names.len() <= NAMES_SHOWN_MAX {
        return names.join(", ");
    }
    let (shown, more) = names.split_at(NAMES_SHOWN_MAX);
    format!("{} and {} more", shown.join(", "), more.len())
}

/// Lets this process have as many descriptors as the ports may need. If that is refused, opening
/// will say at which port they ran out.
fn raise_descriptor_limit<'a>(ports: impl Iterator<Item = &'a PortSpec>, workers: usize) {
    // A queue may cost three descriptors, and one for each worker that waits on it or sends by it.
    let beside = |kind: &PortKind| if matches!(kind, PortKind::Vhost(_)) { VHOST } else { 1 };
    let needed =
        ports.map(|PortSpec { kind, .. }| kind.queues_max() * (3 + workers) + beside(kind));
    let needed: usize = needed.sum();
    let needed = (needed + DESCRIPTORS_BESIDE) as u64;
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return };
    if needed <= soft {
        return;
    }
    // Beyond the hard limit only with CAP_SYS_RESOURCE; up to it always.
    if needed <= hard || setrlimit(Resource::RLIMIT_NOFILE, needed, needed).is_err() {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_alike_is_told_once() {
        let failure = |name: &str, why: &str| Failure { name: name.into(), why: why.into() };
        let failures = [
            failure("tap0", "no permission: say `ip tuntap add tap0`"),
            failure("tap1", "it is a TUN"),
            failure("tap2", "no permission: say `ip tuntap add tap2`"),
        ];
        assert_eq!(
            gather(&failures),
            ["tap0: no permission: say `ip tuntap add tap0` (likewise tap2)", "tap1: it is a TUN"]
        );
        let names: Vec<_> = (0..10).map(|i| i.to_string()).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        assert_eq!(list(&names), "0, 1, 2, 3, 4, 5, 6, 7 and 2 more");
    }
}

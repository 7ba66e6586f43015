//! Ports, from their specs to what is open. All of them, or none: whoever asked for four ports and
//! gets three would not notice for a long time.

use std::collections::BTreeMap;

use netlab::Namespace;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use uswitch::{
    port::tap::{Tap, TapConfig},
    switch::PortConfig,
    topology::{PortKind, PortSpec, TapSpec, Topology},
};

use super::output;

/// Names that a line shows at the most.
const NAMES_SHOWN_MAX: usize = 8;

/// Descriptors beside those of ports and workers: standard streams, signals, netlink.
const DESCRIPTORS_BESIDE: usize = 64;

/// A port that is open.
pub(crate) struct Opened {
    pub(crate) config: PortConfig,
    pub(crate) port: Tap,
}

/// Opens all ports of a topology.
///
/// # Errors
///
/// A sentence for each that did not open; those that did are closed again.
pub(crate) fn open_all(topology: &Topology) -> Result<Vec<Opened>, Vec<String>> {
    raise_descriptor_limit(topology);
    let mut opened = Vec::new();
    let mut failures = Vec::new();
    for spec in &topology.ports {
        match open(spec) {
            Ok(port) => opened.push(port),
            Err(why) => failures.push(Failure { name: &spec.name, why }),
        }
    }
    if failures.is_empty() { Ok(opened) } else { Err(gather(&failures)) }
}

/// One line on what was done for a port.
pub(crate) fn describe(opened: &Opened) -> String {
    let Opened { config, port } = opened;
    let done = if port.created() { "created" } else { "attached (it was there, and stays)" };
    let offloads: Vec<_> = port.offloads().collect();
    let offloads = match &*offloads {
        [] => "no offloads".to_owned(),
        names => format!("offloads {}", names.join(" ")),
    };
    format!("{}: {done}, MTU {}, {offloads}", config.name, port.mtu())
}

fn open(spec: &PortSpec) -> Result<Opened, String> {
    let PortKind::Tap(TapSpec { device, netns, mtu, mac, queues, persist }) = &spec.kind;
    let netns = netns.as_deref().map(Namespace::open).transpose();
    let config = TapConfig {
        name: device.clone(),
        netns: netns.map_err(|error| output::reason(&error))?,
        mtu: *mtu,
        mac: *mac,
        queues: *queues,
        persist: persist.unwrap_or(false),
    };
    let port = Tap::open(&config).map_err(|error| {
        let text = error.to_string();
        // The port's name stands in front anyway.
        text.strip_prefix(&format!("{device}: ")).map_or(text.clone(), str::to_owned)
    })?;
    let config = PortConfig { name: spec.name.clone(), quota: spec.quota };
    Ok(Opened { config, port })
}

struct Failure<'a> {
    name: &'a str,
    why: String,
}

/// One sentence for each reason: what failed alike for a thousand ports is told once.
fn gather(failures: &[Failure<'_>]) -> Vec<String> {
    let mut alike: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (index, Failure { name, why }) in failures.iter().enumerate() {
        alike.entry(why.replace(name, "\0")).or_default().push(index);
    }
    let mut groups: Vec<_> = alike.into_values().collect();
    // In the order in which the ports were given.
    groups.sort();
    let tell = |group: Vec<usize>| {
        let Failure { name, why } = &failures[group[0]];
        let others: Vec<_> = group[1..].iter().map(|index| failures[*index].name).collect();
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
fn raise_descriptor_limit(topology: &Topology) {
    let queues: usize = topology
        .ports
        .iter()
        .map(|PortSpec { kind: PortKind::Tap(tap), .. }| usize::from(tap.queues))
        .sum();
    // A queue may cost a descriptor for each worker that waits on it or sends by it.
    let needed = queues * (1 + topology.switch.workers) + topology.ports.len();
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
        let failure = |name, why: &str| Failure { name, why: why.into() };
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

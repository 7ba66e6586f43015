//! A switch with a machine between two of its ports, as RFC 8204 has it: physical port to virtual
//! switch to virtual network function to virtual switch to physical port. Frames go from the first
//! host through the switch to a namespace in the machine's place, which forwards them by the
//! kernel's bridge, and through the switch again to the second host. The switch has a bridge for
//! each way in: with one for both, frames would find the short way.

use std::io;

use netlab::Namespace;

use super::{Device, Kind, LINK, StartError, Terms, hosts, ours, outer, path_of, port_ends};

/// This project's switch, with TAPs to both hosts and two to the machine.
pub(super) fn uswitch(terms: &Terms) -> Result<Device, StartError> {
    let (hosts, machine) = (hosts(2)?, machine()?);
    let mtu = terms.mtu;
    let port = |(number, (place, link, bridge)): (usize, (&Namespace, &str, &str))| {
        let path = path_of(place);
        format!("tap:{link},netns={path},mtu={mtu},name=port{number},bridge={bridge}")
    };
    let ports = [
        (&hosts[0], LINK, "in"),
        (&machine, NEAR, "in"),
        (&machine, FAR, "out"),
        (&hosts[1], LINK, "out"),
    ];
    let child = ours::run(terms, ports.into_iter().enumerate().map(port))?;
    forward(&machine, mtu)?;
    let (ports, processes) = (port_ends(hosts), vec![child]);
    Ok(Device {
        kind: Kind::UswitchChained,
        ports,
        processes,
        polls: false,
        _between: vec![machine],
        _folder: None,
    })
}

/// The kernel's bridges, two of them.
pub(super) fn bridge(terms: &Terms) -> Result<Device, StartError> {
    let (hosts, machine) = (hosts(2)?, machine()?);
    let switch = Namespace::new()?;
    let _ = switch.set_sysctl("net/ipv6/conf/all/disable_ipv6", "1");
    let mut links = switch.links()?;
    let ends = [(&hosts[0], LINK), (&machine, NEAR), (&machine, FAR), (&hosts[1], LINK)];
    for (number, (place, link)) in ends.into_iter().enumerate() {
        let end = outer(number);
        links.add_veth(&end, Some(place), link)?;
        links.set_mtu(&end, terms.mtu)?;
        links.set_up(&end)?;
    }
    for (name, members) in [("in", [0, 1]), ("out", [2, 3])] {
        links.add_bridge(name)?;
        for member in members {
            links.set_master(&outer(member), Some(name))?;
        }
        links.set_up(name)?;
    }
    forward(&machine, terms.mtu)?;
    let (ports, processes) = (port_ends(hosts), Vec::new());
    Ok(Device {
        kind: Kind::BridgeChained,
        ports,
        processes,
        polls: false,
        _between: vec![switch, machine],
        _folder: None,
    })
}

/// The namespace in the machine's place.
fn machine() -> io::Result<Namespace> {
    let machine = Namespace::new()?;
    let _ = machine.set_sysctl("net/ipv6/conf/all/disable_ipv6", "1");
    Ok(machine)
}

/// Has it forward between its links.
fn forward(machine: &Namespace, mtu: u32) -> io::Result<()> {
    let mut links = machine.links()?;
    links.add_bridge("br")?;
    for link in [NEAR, FAR] {
        links.set_mtu(link, mtu)?;
        links.set_master(link, Some("br"))?;
        links.set_up(link)?;
    }
    links.set_up("br")
}

/// The names of the machine's links.
const NEAR: &str = "v0";
const FAR: &str = "v1";

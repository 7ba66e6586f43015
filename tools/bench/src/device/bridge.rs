//! The kernel's bridge, in a namespace of its own, with a veth pair for each host. Netfilter is
//! off its way, as [`netlab::Namespace::prepare`] does it.

use super::{Device, Kind, LINK, StartError, Terms, between, hosts, outer, port_ends};

pub(super) fn start(terms: &Terms) -> Result<Device, StartError> {
    let hosts = hosts(terms.ports)?;
    let between = between(&hosts, terms.mtu)?;
    let mut links = between.links()?;
    links.add_bridge("br")?;
    for port in 0..terms.ports {
        links.set_master(&outer(port), Some("br"))?;
    }
    links.set_up("br")?;
    let (ports, processes) = (port_ends(hosts), Vec::new());
    Ok(Device {
        kind: Kind::Bridge,
        ports,
        processes,
        polls: false,
        _between: vec![between],
        _folder: None,
    })
}

/// The same without offloads, at either end of each pair.
pub(super) fn start_plain(terms: &Terms) -> Result<Device, StartError> {
    let device = start(terms)?;
    for between in &device._between {
        let mut links = between.links()?;
        (0..terms.ports).try_for_each(|port| links.set_offloads(&outer(port), false))?;
    }
    for port in &device.ports {
        port.namespace.links()?.set_offloads(LINK, false)?;
    }
    Ok(device)
}

//! No device at all: a veth pair between two hosts. What the tester reaches on it is the most that
//! it can find of anything.

use super::{Device, Kind, LINK, StartError, hosts, port_ends};

pub(super) fn start() -> Result<Device, StartError> {
    let hosts = hosts(2)?;
    hosts[0].links()?.add_veth(LINK, Some(&hosts[1]), LINK)?;
    let (ports, processes) = (port_ends(hosts), Vec::new());
    Ok(Device {
        kind: Kind::Veth,
        ports,
        processes,
        polls: false,
        _between: Vec::new(),
        _folder: None,
    })
}

//! Other people's switches, if they are installed: VDE, and Open vSwitch with its userspace
//! datapath, as the traffic tester starts them.

use std::io;

use uswitch_bench::device::{Device, Kind, StartError, Terms};

use crate::contender::Contender;

/// `vde_switch -tap A -tap B`.
pub fn vde(name: &'static str) -> io::Result<Option<Contender>> {
    start(name, Kind::Vde)
}

/// `ovs-vswitchd` without the kernel, on a database of its own.
pub fn open_vswitch(name: &'static str) -> io::Result<Option<Contender>> {
    start(name, Kind::OpenVswitch)
}

fn start(name: &'static str, kind: Kind) -> io::Result<Option<Contender>> {
    let device = match Device::start(kind, &Terms::default()) {
        Ok(device) => device,
        Err(StartError::Missing(_)) => return Ok(None),
        Err(error) => return Err(io::Error::other(format!("{name} did not start: {error}"))),
    };
    let hosts = [0, 1].map(|port| device.ports[port].namespace.clone());
    let (processes, device, _between) = (Vec::new(), Some(device), None);
    let (polls, next_hop) = (false, None);
    let contender = Contender { name, hosts, processes, device, polls, next_hop, _between };
    contender.address()?;
    Ok(Some(contender))
}

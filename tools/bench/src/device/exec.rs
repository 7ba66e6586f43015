//! Any program that forwards between network devices: it runs in a namespace with the veth ends
//! p0, p1, ..., one for each host, and finds their names behind its own words.

use std::{
    io,
    process::{Command, Stdio},
};

use super::{
    Device, Folder, Kind, StartError, Terms, between, found, hosts, outer, port_ends, spawn, taps,
};

pub(super) fn start(terms: &Terms) -> Result<Device, StartError> {
    let Some((program, words)) = terms.exec.split_first() else {
        let text = "device `exec` needs the words of a program: --exec \"my-switch --fast\"";
        return Err(StartError::Unable(text.into()));
    };
    let mut command = Command::new(program);
    command.args(words).args((0..terms.ports).map(outer));
    relay(Kind::Exec, command, terms)?.map_err(|error| {
        let reason = netlab::reason(&error);
        StartError::Unable(format!("the program of --exec, `{program}`, did not start: {reason}"))
    })
}

/// `socat` between packet sockets. (Of its TAPs it lets go when they are moved to hosts.)
pub(super) fn socat(terms: &Terms) -> Result<Device, StartError> {
    let mut command = Command::new(found("socat")?);
    command.args((0..terms.ports).map(|port| format!("INTERFACE:{}", outer(port))));
    Ok(relay(Kind::Socat, command, terms)??)
}

/// DPDK's `testpmd` on packet sockets: it looks up nothing, and polls.
pub(super) fn testpmd(terms: &Terms) -> Result<Device, StartError> {
    let (mut command, folder) =
        (Command::new(found("dpdk-testpmd")?), Folder::new("testpmd-packet")?);
    let vdev = |port| format!("net_af_packet{port},iface={}", outer(port));
    taps::testpmd_words(&mut command, (0..terms.ports).map(vdev));
    command.env("XDG_RUNTIME_DIR", folder.path()).stdin(Stdio::piped());
    let mut device = relay(Kind::TestpmdPacket, command, terms)??;
    (device.polls, device._folder) = (true, Some(folder));
    Ok(device)
}

/// Starts a program between veth ends. The inner error is that it did not start.
fn relay(kind: Kind, mut command: Command, terms: &Terms) -> io::Result<io::Result<Device>> {
    let hosts = hosts(terms.ports)?;
    let between = between(&hosts, terms.mtu)?;
    let child = match between.run(|| spawn(&mut command))? {
        Ok(child) => child,
        Err(error) => return Ok(Err(error)),
    };
    let (ports, processes) = (port_ends(hosts), vec![child]);
    Ok(Ok(Device { kind, ports, processes, polls: false, _between: vec![between], _folder: None }))
}

//! Any program that forwards between network devices: it runs in a namespace with the veth ends
//! p0, p1, ..., one for each host, and finds their names behind its own words.

use std::process::Command;

use super::{Device, Kind, StartError, Terms, between, hosts, outer, port_ends, spawn};

pub(super) fn start(terms: &Terms) -> Result<Device, StartError> {
    let Some((program, words)) = terms.exec.split_first() else {
        let text = "device `exec` needs the words of a program: --exec \"my-switch --fast\"";
        return Err(StartError::Unable(text.into()));
    };
    let hosts = hosts(terms.ports)?;
    let between = between(&hosts, terms.mtu)?;
    let mut command = Command::new(program);
    command.args(words).args((0..terms.ports).map(outer));
    let child = between.run(|| spawn(&mut command))?.map_err(|error| {
        let reason = netlab::reason(&error);
        StartError::Unable(format!("the program of --exec, `{program}`, did not start: {reason}"))
    })?;
    let (ports, processes) = (port_ends(hosts), vec![child]);
    Ok(Device { kind: Kind::Exec, ports, processes, _between: Some(between), _folder: None })
}

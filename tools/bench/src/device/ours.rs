//! This project's switch, in a process of its own: the program that anybody runs.

use std::{
    env,
    io::{self, Read},
    path::PathBuf,
    process::{Command, Stdio},
};

use super::{
    Device, Kind, LINK, Process, StartError, Terms, between, found, hosts, outer, path_of,
    port_ends,
};

/// With TAPs, which it makes in the hosts' namespaces.
pub(super) fn start(terms: &Terms) -> Result<Device, StartError> {
    let hosts = hosts(terms.ports)?;
    let spec = |(number, host)| {
        let (path, mtu) = (path_of(host), terms.mtu);
        format!("tap:{LINK},netns={path},mtu={mtu},name=port{number}")
    };
    let child = run(terms, hosts.iter().enumerate().map(spec))?;
    let (ports, processes) = (port_ends(hosts), vec![child]);
    Ok(Device {
        kind: Kind::Uswitch,
        ports,
        processes,
        polls: false,
        _between: Vec::new(),
        _folder: None,
    })
}

/// With packet sockets at veth pairs.
pub(super) fn start_on_packets(terms: &Terms) -> Result<Device, StartError> {
    let hosts = hosts(terms.ports)?;
    for host in &hosts {
        // Its port opens when the far end is up as well.
        let _ = host.set_sysctl("net/ipv6/conf/all/disable_ipv6", "1");
    }
    let between = between(&hosts, terms.mtu)?;
    for host in &hosts {
        let mut links = host.links()?;
        links.set_mtu(LINK, terms.mtu)?;
        links.set_up(LINK)?;
    }
    let path = path_of(&between);
    let spec = |number| format!("packet:{},netns={path}", outer(number));
    let child = run(terms, (0..terms.ports).map(spec))?;
    let (ports, processes, between) = (port_ends(hosts), vec![child], vec![between]);
    Ok(Device {
        kind: Kind::UswitchPacket,
        ports,
        processes,
        polls: false,
        _between: between,
        _folder: None,
    })
}

/// Starts it, and waits until frames flow.
pub(super) fn run(
    terms: &Terms,
    ports: impl Iterator<Item = String>,
) -> Result<Process, StartError> {
    // It tells that it is ready by a descriptor that is none of the first three: a shell lays it.
    let mut command = Command::new("sh");
    command.args(["-c", "exec \"$@\" 3>&1 1>&2", "sh"]).arg(program(terms)?);
    command.args(["--quiet", "--no-control", "--ready-fd", "3"]).args(&terms.uswitch_words);
    for port in ports {
        command.args(["--port", &port]);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = Process::spawn(&mut command)?;
    let child = process.child();
    let mut ready = [0];
    let read = child.stdout.as_mut().expect("it is piped").read(&mut ready);
    // What it says afterwards nobody reads: closed, so that it cannot fill.
    let mut said = child.stderr.take().expect("it is piped");
    if !matches!(read, Ok(1)) {
        let mut text = String::new();
        let _ = said.read_to_string(&mut text);
        let text = text.lines().map(str::trim).collect::<Vec<_>>().join("; ");
        return Err(StartError::Failed(io::Error::other(text)));
    }
    Ok(process)
}

/// Where the switch is: where it was said, beside this program, or in PATH.
fn program(terms: &Terms) -> Result<PathBuf, StartError> {
    if let Some(path) = &terms.uswitch {
        return match path.is_file() {
            true => Ok(path.clone()),
            false => Err(StartError::Missing(path.display().to_string())),
        };
    }
    let beside = env::current_exe().ok().and_then(|own| Some(own.parent()?.join("uswitch")));
    match beside.filter(|path| path.is_file()) {
        Some(path) => Ok(path),
        None => found("uswitch"),
    }
}

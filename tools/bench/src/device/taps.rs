//! Other people's switches, if they are installed, on TAPs: each runs in a namespace of its own,
//! and the TAPs that it makes are moved to the hosts. They are started as their manuals say.

use std::{
    io,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use netlab::{Link, Namespace};

use super::{
    Device, Folder, Kind, LINK, Process, StartError, Terms, found, hosts, port_ends, spawn,
};

/// `vde_switch -tap A -tap B`.
pub(super) fn vde(terms: &Terms) -> Result<Device, StartError> {
    let (program, between, folder) = (found("vde_switch")?, Namespace::new()?, Folder::new("vde")?);
    let mut command = Command::new(program);
    command.arg("-s").arg(folder.path().join("socket"));
    for number in 0..terms.ports {
        command.args(["-tap", &tap(number)]);
    }
    // It ends when its console does.
    let switch = within(&between, command.stdin(Stdio::piped()))?;
    finish(Kind::Vde, terms, between, vec![switch], Some(folder))
}

/// `ovs-vswitchd` without the kernel, on a database of its own.
pub(super) fn open_vswitch(terms: &Terms) -> Result<Device, StartError> {
    let (database, daemon) = (found("ovsdb-server")?, found("ovs-vswitchd")?);
    let (tool, control) = (found("ovsdb-tool")?, found("ovs-vsctl")?);
    let (between, folder) = (Namespace::new()?, Folder::new("ovs")?);
    let path = |name: &str| folder.path().join(name);
    let socket = format!("unix:{}", path("db.sock").display());
    let file = path("conf.db");
    run(&folder, Command::new(tool).arg("create").arg(&file).arg(OVS_SCHEMA))?;
    let mut command = Command::new(database);
    command.arg(&file).arg(format!("--remote=p{socket}")).arg("--log-file=/dev/null");
    command.arg(format!("--unixctl={}", path("db.ctl").display()));
    let database = within(&between, command.env("OVS_RUNDIR", folder.path()))?;
    // From here on a failure ends what runs already.
    let mut device = Device {
        kind: Kind::OpenVswitch,
        ports: Vec::new(),
        processes: vec![database],
        polls: false,
        _between: Vec::new(),
        _folder: None,
    };
    await_that("its database", || Ok(path("db.sock").exists()))?;
    let db = format!("--db={socket}");
    run(&folder, Command::new(&control).args([&db, "--no-wait", "init"]))?;
    let mut command = Command::new(daemon);
    command.args([&socket, "--disable-system", "--log-file=/dev/null"]);
    command.arg(format!("--unixctl={}", path("vswitchd.ctl").display()));
    let daemon = within(&between, command.env("OVS_RUNDIR", folder.path()))?;
    // The one that does the work stands first.
    device.processes.insert(0, daemon);
    let mut command = Command::new(control);
    command.args([&db, "--timeout=10", "add-br", "br"]);
    command.args(["--", "set", "bridge", "br", "datapath_type=netdev"]);
    for number in 0..terms.ports {
        let tap = tap(number);
        command.args(["--", "add-port", "br", &tap, "--", "set", "interface", &tap, "type=tap"]);
    }
    run(&folder, &mut command)?;
    let processes = std::mem::take(&mut device.processes);
    finish(Kind::OpenVswitch, terms, between, processes, Some(folder))
}

/// DPDK's `testpmd` on TAPs: it looks up nothing, and polls.
pub(super) fn testpmd(terms: &Terms) -> Result<Device, StartError> {
    let (program, between) = (found("dpdk-testpmd")?, Namespace::new()?);
    let folder = Folder::new("testpmd")?;
    let mut command = Command::new(program);
    let vdev = |number| format!("net_tap{number},iface={}", tap(number));
    testpmd_words(&mut command, (0..terms.ports).map(vdev));
    let command = command.env("XDG_RUNTIME_DIR", folder.path()).stdin(Stdio::piped());
    let poller = within(&between, command)?;
    let mut device = finish(Kind::Testpmd, terms, between, vec![poller], Some(folder))?;
    device.polls = true;
    Ok(device)
}

/// The words of `testpmd` with these devices.
pub(super) fn testpmd_words(command: &mut Command, devices: impl Iterator<Item = String>) {
    command.args(["--no-huge", "-m", "512", "--no-pci", "--no-shconf", "--no-telemetry"]);
    for device in devices {
        command.arg("--vdev").arg(device);
    }
    command.args(["--", "--forward-mode=io", "--auto-start", "--interactive", MBUFS]);
}

/// Moves the TAPs to the hosts, when they are there.
fn finish(
    kind: Kind,
    terms: &Terms,
    between: Namespace,
    processes: Vec<Process>,
    folder: Option<Folder>,
) -> Result<Device, StartError> {
    let (hosts, mut links) = (hosts(terms.ports)?, between.links()?);
    let ports = port_ends(hosts.clone());
    let (polls, _between, _folder) = (false, vec![between], folder);
    let mut device = Device { kind, ports, processes, polls, _between, _folder };
    // A TAP that is moved before its maker is done with it is one that it does not find any more.
    let is_done = |link: &Link| link.up || kind != Kind::Testpmd;
    for number in 0..terms.ports {
        await_that("its TAPs", || match links.get(&tap(number))? {
            Some(link) if is_done(&link) => Ok(true),
            _ if device.died() => Err(io::Error::other("its process has ended")),
            _ => Ok(false),
        })?;
    }
    for (number, host) in hosts.iter().enumerate() {
        let tap = tap(number);
        links.move_to(&tap, host)?;
        host.links()?.rename(&tap, LINK)?;
        host.links()?.set_up(LINK)?;
    }
    Ok(device)
}

fn await_that(what: &str, mut there: impl FnMut() -> io::Result<bool>) -> io::Result<()> {
    let begin = Instant::now();
    while !there()? {
        if begin.elapsed() > PATIENCE {
            return Err(io::Error::other(format!("it did not make {what}")));
        }
        thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

fn within(namespace: &Namespace, command: &mut Command) -> io::Result<Process> {
    namespace.run(|| spawn(command))?
}

fn run(folder: &Folder, command: &mut Command) -> io::Result<()> {
    command.env("OVS_RUNDIR", folder.path()).stdout(Stdio::null()).stderr(Stdio::null());
    let status = command.status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("{command:?} failed"))) }
}

/// The name of a TAP before it is moved.
fn tap(number: usize) -> String {
    format!("bench{number}")
}

/// How long a peer may take to make its TAPs.
const PATIENCE: Duration = Duration::from_secs(20);

/// Without huge pages there is not room for as many as it would take.
const MBUFS: &str = "--total-num-mbufs=16384";

const OVS_SCHEMA: &str = "/usr/share/openvswitch/vswitch.ovsschema";

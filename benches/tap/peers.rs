//! Other people's switches, if they are installed: VDE, and Open vSwitch with its userspace
//! datapath. Each runs in a namespace of its own, and its TAPs are moved to the hosts.

use std::{
    env, io,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use netlab::Namespace;

use crate::contender::{Contender, Folder, LINK};

/// How long a peer may take to make its TAPs.
const PATIENCE: Duration = Duration::from_secs(10);
const OVS_SCHEMA: &str = "/usr/share/openvswitch/vswitch.ovsschema";
/// The names of a peer's TAPs before they are moved.
const TAPS: [&str; 2] = ["bench0", "bench1"];

/// `vde_switch -tap A -tap B`.
pub fn vde(name: &'static str) -> io::Result<Option<Contender>> {
    let Some(program) = found("vde_switch") else { return Ok(None) };
    let (between, folder) = (Namespace::new()?, Folder::new("vde")?);
    let mut command = Command::new(program);
    command.arg("-s").arg(folder.0.join("socket"));
    for tap in TAPS {
        command.args(["-tap", tap]);
    }
    // It ends when its console does.
    let switch = spawn(&between, command.stdin(Stdio::piped()))?;
    finish(name, between, vec![switch], folder).map(Some)
}

/// `ovs-vswitchd` without the kernel, on a database of its own.
pub fn open_vswitch(name: &'static str) -> io::Result<Option<Contender>> {
    let (Some(database), Some(daemon)) = (found("ovsdb-server"), found("ovs-vswitchd")) else {
        return Ok(None);
    };
    let (between, folder) = (Namespace::new()?, Folder::new("ovs")?);
    let path = |name: &str| folder.0.join(name);
    let socket = format!("unix:{}", path("db.sock").display());
    let file = path("conf.db");
    run(&folder, Command::new("ovsdb-tool").arg("create").arg(&file).arg(OVS_SCHEMA))?;
    let mut command = Command::new(database);
    command.arg(&file).arg(format!("--remote=p{socket}")).arg("--log-file=/dev/null");
    command.arg(format!("--unixctl={}", path("db.ctl").display())).env("OVS_RUNDIR", &folder.0);
    let database = spawn(&between, &mut command)?;
    await_that("its database", || Ok(path("db.sock").exists()))?;
    run(&folder, Command::new("ovs-vsctl").args([&format!("--db={socket}"), "--no-wait", "init"]))?;
    let mut command = Command::new(daemon);
    command.args([&socket, "--disable-system", "--log-file=/dev/null"]);
    command.arg(format!("--unixctl={}", path("vswitchd.ctl").display()));
    let daemon = spawn(&between, command.env("OVS_RUNDIR", &folder.0))?;
    let mut command = Command::new("ovs-vsctl");
    command.args([&format!("--db={socket}"), "--timeout=10", "add-br", "br"]);
    command.args(["--", "set", "bridge", "br", "datapath_type=netdev"]);
    for tap in TAPS {
        command.args(["--", "add-port", "br", tap, "--", "set", "interface", tap, "type=tap"]);
    }
    run(&folder, &mut command)?;
    finish(name, between, vec![daemon, database], folder).map(Some)
}

/// Moves the TAPs to two hosts, when they are there.
fn finish(
    name: &'static str,
    between: Namespace,
    processes: Vec<Child>,
    folder: Folder,
) -> io::Result<Contender> {
    let hosts = [Namespace::new()?, Namespace::new()?];
    let mut links = between.links()?;
    let (_between, _folder) = (Some(between), Some(folder));
    let contender =
        Contender { name, hosts, processes, polls: false, next_hop: None, _between, _folder };
    for (tap, host) in TAPS.into_iter().zip(&contender.hosts) {
        await_that("its TAP", || Ok(links.get(tap)?.is_some()))?;
        links.move_to(tap, host)?;
        host.links()?.rename(tap, LINK)?;
        host.links()?.set_up(LINK)?;
    }
    contender.address()?;
    Ok(contender)
}

fn await_that(what: &str, mut there: impl FnMut() -> io::Result<bool>) -> io::Result<()> {
    let begin = Instant::now();
    while !there()? {
        if begin.elapsed() > PATIENCE {
            return Err(io::Error::other(format!("a peer did not make {what}")));
        }
        thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

fn spawn(namespace: &Namespace, command: &mut Command) -> io::Result<Child> {
    command.stdout(Stdio::null()).stderr(Stdio::null());
    namespace.run(|| command.spawn())?
}

fn run(folder: &Folder, command: &mut Command) -> io::Result<()> {
    command.env("OVS_RUNDIR", &folder.0).stdout(Stdio::null());
    if command.status()?.success() { Ok(()) } else { Err(io::Error::other(format!("{command:?}"))) }
}

/// Where a program is, in PATH or where Debian puts daemons.
fn found(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(["/usr/sbin", "/usr/bin"].map(PathBuf::from));
    folders.map(|folder| folder.join(program)).find(|file| file.is_file())
}

//! A machine on which the program runs as a router, and hosts behind it.

use std::{
    fs,
    net::{IpAddr, SocketAddr},
    path::Path,
    process::Command,
};

use netlab::{NEVER, Namespace, Prefix, transfer_tcp, transfer_udp};
use tempfile::TempDir;
use uswitch_tests::{exchange::ask_long, program, running::Program};

use crate::lab::PATIENCE;

/// Octets of a transfer: some hundred of the largest packets.
pub const TCP_OCTETS: u64 = 16 << 20;
const UDP_OCTETS: u64 = 1 << 20;
/// What a host calls its end of the cable.
pub const CABLE: &str = "eth0";

/// An address and the length of its network's.
pub fn prefix(text: &str) -> Prefix {
    text.parse().unwrap()
}

/// What is sent to this address by TCP arrives.
pub fn transfer_stream(from: &Namespace, to: &Namespace, address: IpAddr) {
    let address = SocketAddr::new(address, 0);
    let tcp = transfer_tcp(from, to, address, TCP_OCTETS, 1, &NEVER).unwrap();
    assert!(tcp.is_sound(), "{tcp:?}");
}

/// The same, and by UDP.
pub fn transfer(from: &Namespace, to: &Namespace, address: IpAddr) {
    transfer_stream(from, to, address);
    let address = SocketAddr::new(address, 0);
    let udp = transfer_udp(from, to, address, UDP_OCTETS, 2, &NEVER).unwrap();
    assert!(udp.is_sound(), "{udp:?}");
}

/// It answers an echo.
pub fn ping(from: &Namespace, to: &str) {
    let trips = netlab::ping(from, to.parse().unwrap(), 1, PATIENCE).unwrap();
    assert_eq!(trips.len(), 1, "{to} answers");
}

/// A machine on which the program runs, in a folder of its own. Its TAPs are its own too: behind
/// each is a host on a cable, joined by the kernel's bridge.
pub struct Machine {
    pub namespace: Namespace,
    folder: TempDir,
}

impl Machine {
    /// With nothing on it.
    pub fn new() -> Machine {
        Machine { namespace: Namespace::new().unwrap(), folder: tempfile::tempdir().unwrap() }
    }

    /// The program with these words.
    pub fn start(&self, arguments: &[&str]) -> Program {
        let arguments: Vec<_> = arguments.iter().map(|word| word.to_string()).collect();
        self.run(Program::command(&program(), &arguments))
    }

    /// By its file, with a control socket.
    pub fn start_file(&self, text: &str) -> Program {
        self.write(text);
        let mut command = Command::new("sh");
        command.args(["-c", "exec \"$@\" 3>&1 1>&2", "sh"]).arg(program());
        command.args(["run", "-c", "lab.toml", "--quiet", "--json", "--ready-fd", "3"]);
        self.run(command)
    }

    fn run(&self, mut command: Command) -> Program {
        command.current_dir(self.path()).env("USWITCH_RUNTIME_DIR", self.path());
        self.namespace.run(|| Program::start(command)).unwrap()
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn write(&self, text: &str) {
        fs::write(self.path().join("lab.toml"), text).unwrap();
    }

    /// Puts another file beside that of the program.
    pub fn put(&self, name: &str, text: &str) {
        fs::write(self.path().join(name), text).unwrap();
    }

    /// It is done when this returns.
    pub fn reload(&self, text: &str) {
        self.write(text);
        self.reload_same();
    }

    /// The same with the file as it is. Tells what was done.
    pub fn reload_same(&self) -> String {
        let mut command = Command::new(program());
        let output = command.arg("reload").env("USWITCH_RUNTIME_DIR", self.path()).output();
        let output = output.unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// What a command says of the program that runs, with these words.
    pub fn says(&self, words: &str) -> String {
        self.shell(&format!("exec \"$0\" {words}"))
    }

    /// What a shell says to whom the program is `$0`.
    pub fn shell(&self, script: &str) -> String {
        let mut command = Command::new("bash");
        command.args(["-c", script]).arg(program()).env("USWITCH_RUNTIME_DIR", self.path());
        command.current_dir(self.path());
        let output = command.output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{script}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// A host behind this TAP, with these addresses, to which all else is by way of these routers.
    pub fn host(&self, tap: &str, addresses: &[&str], routers: &[&str]) -> Namespace {
        let host = Namespace::new().unwrap();
        let (bridge, far) = (format!("{tap}-bridge"), format!("{tap}-far"));
        let mut links = self.namespace.links().unwrap();
        links.add_bridge(&bridge).unwrap();
        links.add_veth(&far, Some(&host), CABLE).unwrap();
        ask_long(&host, CABLE);
        for port in [tap, &far] {
            links.set_master(port, Some(&bridge)).unwrap();
            links.set_up(port).unwrap();
        }
        links.set_up(&bridge).unwrap();
        let mut own = host.links().unwrap();
        own.set_up(CABLE).unwrap();
        addresses.iter().for_each(|text| own.add_address(CABLE, prefix(text)).unwrap());
        assert!(own.wait_running(CABLE, PATIENCE).unwrap());
        for router in routers {
            let router: IpAddr = router.parse().unwrap();
            let all = if router.is_ipv4() { Prefix::ALL_V4 } else { Prefix::ALL_V6 };
            own.add_route(all, Some(router), None).unwrap();
        }
        host
    }

    /// The machine's own way to a network: it has to be told.
    pub fn route(&self, to: &str, via: &str) {
        let via = Some(via.parse().unwrap());
        self.namespace.links().unwrap().add_route(prefix(to), via, None).unwrap();
    }
}

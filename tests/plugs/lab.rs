//! A machine in a namespace of its own, on which the program runs, and the hosts round it.
//!
//! All names are inside fresh namespaces or folders, so that any number of tests stands side by
//! side. Nothing is waited for but what the program says and what frames arrive.

use std::{
    collections::VecDeque,
    io::{BufRead, BufReader, Read},
    net::IpAddr,
    process::{Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::Instant,
};

use netlab::{FrameSocket, Namespace};
use serde_json::Value;
pub use uswitch_tests::exchange::PATIENCE;
use uswitch_tests::{
    exchange::{BROADCAST, frame, station},
    program,
    running::{Running, check_accounts},
};

/// What every host calls its end.
pub const ETH: &str = "eth0";

/// A namespace in which nobody speaks without being asked.
pub fn silent() -> Namespace {
    let namespace = Namespace::new().unwrap();
    for which in ["all", "default"] {
        let name = format!("net/ipv6/conf/{which}/disable_ipv6");
        namespace.set_sysctl(&name, "1").unwrap();
    }
    namespace
}

/// The names of the links in a namespace, but for its loopback device.
pub fn links(namespace: &Namespace) -> Vec<String> {
    let links = namespace.links().unwrap().list().unwrap();
    links.into_iter().map(|link| link.name).filter(|name| name != "lo").collect()
}

/// Lays a cable from a host's `eth0` to a link of this name at the machine.
pub fn lay(machine: &Namespace, name: &str, host: &Namespace) {
    machine.links().unwrap().add_veth(name, Some(host), ETH).unwrap();
    for (namespace, end) in [(machine, name), (host, ETH)] {
        namespace.links().unwrap().set_up(end).unwrap();
    }
    for (namespace, end) in [(machine, name), (host, ETH)] {
        assert!(namespace.links().unwrap().wait_running(end, PATIENCE).unwrap());
    }
}

/// A process that lives in a namespace, by whose number the program finds that.
pub fn sleeper(namespace: &Namespace) -> Running {
    let sleep = || Command::new("sleep").arg("600").spawn();
    Running(namespace.run(sleep).unwrap().unwrap())
}

/// The socket of a host behind a cable.
pub fn socket(host: &Namespace) -> FrameSocket {
    assert!(host.links().unwrap().wait_running(ETH, PATIENCE).unwrap());
    FrameSocket::open(host, ETH).unwrap()
}

/// A frame to everybody passes from one socket to another.
pub fn passes(from: &FrameSocket, to: &mut FrameSocket, word: &str) {
    let sent = frame(BROADCAST, station(100), word.as_bytes());
    from.send(&sent).unwrap();
    // A short frame may arrive padded.
    let got = to.recv_matching(PATIENCE, |got| got.starts_with(&sent)).unwrap();
    assert!(got.is_some(), "`{word}` arrives");
}

/// Each host asks each other one for an echo, which has to come.
pub fn ping_all(hosts: &[(&Namespace, IpAddr)]) {
    for (from, own) in hosts {
        for (_, address) in hosts.iter().filter(|(_, address)| address != own) {
            let trips = netlab::ping(from, *address, 1, PATIENCE).unwrap();
            assert_eq!(trips.len(), 1, "{address} answers {own}");
        }
    }
}

/// The program at work.
pub struct Program {
    running: Running,
    said: Receiver<String>,
    /// What it said that no test has asked about.
    waiting: VecDeque<String>,
    told: Receiver<String>,
}

impl Program {
    /// Starts it on a machine, and returns when frames flow.
    pub fn start(machine: &Namespace, arguments: &[&str]) -> Program {
        machine.run(|| Program::run(command(arguments))).unwrap()
    }

    /// Starts a command that becomes the program, and returns when frames flow.
    pub fn run(mut command: Command) -> Program {
        let mut running = Running(command.spawn().unwrap());
        let told = lines(running.0.stdout.take().unwrap());
        let said = lines(running.0.stderr.take().unwrap());
        let mut program = Program { running, said, waiting: VecDeque::new(), told };
        program.says("switching ");
        program
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.running.0.id()
    }

    /// Waits for a line with these words in it.
    pub fn says(&mut self, words: &str) -> String {
        let begin = Instant::now();
        loop {
            if let Some(at) = self.waiting.iter().position(|line| line.contains(words)) {
                return self.waiting.remove(at).unwrap();
            }
            let left = PATIENCE.saturating_sub(begin.elapsed());
            match self.said.recv_timeout(left) {
                Ok(line) => self.waiting.push_back(line),
                Err(error) => panic!("it says `{words}`: {error}, {:?}", self.waiting),
            }
        }
    }

    /// Whether it has said a line with these words in it by now.
    pub fn has_said(&mut self, words: &str) -> bool {
        self.waiting.extend(self.said.try_iter());
        self.waiting.iter().any(|line| line.contains(words))
    }

    /// What it has counted so far.
    pub fn status(&self) -> Value {
        self.running.signal("-USR1");
        serde_json::from_str(&self.told.recv_timeout(PATIENCE).unwrap()).unwrap()
    }

    /// A counter of a port, of all that had this name.
    pub fn count(&self, port: &str, counter: &str) -> u64 {
        count(&self.status(), port, counter)
    }

    /// Ends it and checks its accounts.
    pub fn stop(mut self) -> Value {
        self.running.signal("-TERM");
        let last = self.told.recv_timeout(PATIENCE).expect("it tells its counts");
        let status = self.running.0.wait().unwrap();
        assert_eq!(status.code(), Some(0), "{:?}", self.said.iter().collect::<Vec<_>>());
        let json: Value = serde_json::from_str(&last).unwrap();
        check_accounts(&json["total"]);
        json
    }
}

/// A counter in a status, summed over all ports that had this name.
pub fn count(status: &Value, port: &str, counter: &str) -> u64 {
    let ports = status["ports"].as_array().unwrap().iter().filter(|one| one["name"] == port);
    ports.map(|one| one[counter].as_u64().unwrap()).sum()
}

/// The program with a `--port` for each of these.
pub fn command(ports: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.args(["--json", "--no-control"]);
    command.args(ports.iter().flat_map(|port| ["--port", port]));
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Starts the program on a machine, where it is to be refused. Returns what it says.
pub fn refused(machine: &Namespace, ports: &[&str]) -> String {
    let output = machine.run(|| command(ports).output()).unwrap().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{ports:?}: {text}");
    text
}

/// What is written there, line by line.
fn lines(from: impl Read + Send + 'static) -> Receiver<String> {
    let (tell, told) = channel();
    thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            if tell.send(line).is_err() {
                return;
            }
        }
    });
    told
}

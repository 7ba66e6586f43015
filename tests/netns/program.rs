//! The program, as it is started and ended by people and service managers.

use std::{
    env, fs,
    path::PathBuf,
    process::{self, Command},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use netlab::{FrameSocket, Namespace, tap_persistent, tcp_send, tcp_sink};
use uswitch_tests::{
    exchange::{BROADCAST, exchange, frame, station},
    privileged, program,
    running::{Program, Running},
};

use crate::lab::{PATIENCE, TAP, eventually, silence};

/// Somebody without rights: "nobody" on every Linux.
const NOBODY: u32 = 65534;

/// Runs a command as nobody, where /dev/net/tun is open to all as on most systems.
const AS_NOBODY: &str = "mount -t tmpfs none /dev/net && mknod -m 666 /dev/net/tun c 10 200 && \
    exec setpriv --reuid 65534 --regid 65534 --clear-groups \"$@\"";

/// Longer than any test.
const HOUR: Duration = Duration::from_secs(3600);

/// A copy of the program at a place where anybody may run it, until it is dropped.
struct Copy(PathBuf);

impl Copy {
    fn new() -> Copy {
        let copy = Copy(env::temp_dir().join(format!("uswitch-test-{}", process::id())));
        // By another process: a file that ours has open for writing cannot be run by those that
        // it starts meanwhile.
        let copied = Command::new("cp").arg(program()).arg(&copy.0).status().unwrap();
        assert!(copied.success());
        copy
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Two namespaces that live as long as their processes sleep, and the arguments that plug a TAP
/// of each in.
struct Hosts {
    namespaces: Vec<Namespace>,
    sleepers: Vec<Running>,
}

impl Hosts {
    fn new() -> Hosts {
        let (mut namespaces, mut sleepers) = (Vec::new(), Vec::new());
        for _ in 0..2 {
            let namespace = Namespace::new().unwrap();
            let sleep = || Command::new("sleep").arg("600").spawn();
            sleepers.push(Running(namespace.run(sleep).unwrap().unwrap()));
            namespaces.push(namespace);
        }
        Hosts { namespaces, sleepers }
    }

    /// Starts the program between them.
    fn start(&self) -> Program {
        let pids = self.sleepers.iter().map(|sleeper| sleeper.0.id());
        let port = |pid: u32| format!("--port=tap:{TAP},netns={pid},name=host{pid}");
        let arguments: Vec<_> = pids.map(port).collect();
        Program::start(Program::command(&program(), &arguments))
    }

    fn configure(&self) {
        for (namespace, address) in self.namespaces.iter().zip(["10.0.0.1/24", "10.0.0.2/24"]) {
            let mut links = namespace.links().unwrap();
            links.set_up(TAP).unwrap();
            links.add_address(TAP, address.parse().unwrap()).unwrap();
        }
    }

    fn ping(&self) {
        for (namespace, other) in self.namespaces.iter().zip(["10.0.0.2", "10.0.0.1"]) {
            let trips = netlab::ping(namespace, other.parse().unwrap(), 1, PATIENCE).unwrap();
            assert_eq!(trips.len(), 1, "{other} answers");
        }
    }

    /// Pushes TCP from the first to the second while `work` is done, which is told how many
    /// octets have arrived.
    fn pushing<T>(&self, work: impl FnOnce(&dyn Fn() -> u64) -> T) -> T {
        let sink = tcp_sink(&self.namespaces[1], "10.0.0.2:0".parse().unwrap()).unwrap();
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            // It may break off when the way does.
            scope.spawn(|| tcp_send(&self.namespaces[0], sink.address(), 1, HOUR, &stop));
            let guard = Stop(&stop);
            let result = work(&|| sink.octets());
            drop(guard);
            assert_eq!(sink.connections(), 1, "it is the same connection still");
            result
        })
    }
}

/// Gives the stop, also when the test panics.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn sigterm_under_traffic_ends_it_with_its_accounts_in_order() {
    if !privileged() {
        return;
    }
    let hosts = Hosts::new();
    let running = hosts.start();
    hosts.configure();
    hosts.ping();
    hosts.pushing(|octets| {
        eventually("traffic flows", || octets() > 1 << 20);
        let json = running.stop();
        assert!(json["total"]["rx_octets"].as_u64() > Some(1 << 20), "{json}");
        assert_eq!(json["running"], false);
    });
    for namespace in &hosts.namespaces {
        let mut links = namespace.links().unwrap();
        assert_eq!(links.get(TAP).unwrap(), None, "what it made it has removed");
    }
}

#[test]
fn restarted_on_persistent_devices_it_goes_on_where_it_was() {
    if !privileged() {
        return;
    }
    let hosts = Hosts::new();
    for namespace in &hosts.namespaces {
        tap_persistent(namespace, TAP, None, false).unwrap();
    }
    hosts.configure();
    let mut running = hosts.start();
    hosts.ping();
    let running = hosts.pushing(|octets| {
        for signal in ["-TERM", "-KILL", "-INT"] {
            let before = octets();
            eventually("traffic flows", || octets() > before + (1 << 20));
            running.signal(signal);
            let (status, text) = running.ended();
            assert_eq!(status.success(), signal != "-KILL", "{text}");
            running = hosts.start();
        }
        let before = octets();
        eventually("traffic flows", || octets() > before + (1 << 20));
        running
    });
    running.stop();
    hosts.namespaces.iter().for_each(|namespace| {
        assert!(namespace.links().unwrap().get(TAP).unwrap().is_some(), "it was there");
    });
}

#[test]
fn owner_of_the_devices_needs_no_other_right() {
    if !privileged() {
        return;
    }
    let namespace = Namespace::new().unwrap();
    silence(&namespace);
    let names = ["tap0", "tap1"];
    for name in names {
        tap_persistent(&namespace, name, Some(NOBODY), false).unwrap();
        namespace.links().unwrap().set_up(name).unwrap();
    }
    let copy = Copy::new();
    let nobody = |ports: &str| {
        let program = Program::command(&copy.0, &[ports.into()]);
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c", AS_NOBODY, "sh"]);
        command.arg(program.get_program()).args(program.get_args()).current_dir("/");
        command
    };
    let running = namespace.run(|| Program::start(nobody("--ports=tap0,tap1"))).unwrap();
    let mut sockets = names.map(|name| FrameSocket::open(&namespace, name).unwrap());
    let hello = frame(BROADCAST, station(1), b"hello");
    assert_eq!(exchange(&mut sockets, 0, &[&hello])[1], [hello]);
    running.stop();

    let refused = namespace.run(|| nobody("--ports=tap0,other").output()).unwrap().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    let text = String::from_utf8(refused.stderr).unwrap();
    assert!(text.contains("other: ") && text.contains("CAP_NET_ADMIN"), "{text}");
}

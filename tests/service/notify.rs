//! What the service manager hears, as systemd listens: at a datagram socket with a path or an
//! abstract name.

use std::{
    fs,
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixDatagram},
    },
    process,
    time::Duration,
};

use nix::time::{ClockId, clock_gettime};
use uswitch_tests::exchange::PATIENCE;

use crate::{lab::Lab, station::Station};

/// Who listens.
struct Supervisor(UnixDatagram);

impl Supervisor {
    fn new(socket: UnixDatagram) -> Supervisor {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Supervisor(socket)
    }

    /// The lines of the next message.
    fn next(&self) -> Vec<String> {
        let mut octets = [0; 4096];
        let len = self.0.recv(&mut octets).expect("a message comes in time");
        str::from_utf8(&octets[..len]).unwrap().lines().map(str::to_owned).collect()
    }

    /// The lines of the next message that has more than a status.
    fn next_state(&self) -> Vec<String> {
        loop {
            let lines = self.next();
            if lines.len() > 1 || !lines[0].starts_with("STATUS=") {
                return lines;
            }
        }
    }
}

fn now_us() -> u128 {
    Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap()).as_micros()
}

#[test]
fn a_service_tells_from_its_start_to_its_end_how_it_is() {
    let mut lab = Lab::new();
    let path = lab.path("notify");
    let supervisor = Supervisor::new(UnixDatagram::bind(&path).unwrap());
    let port = |name: &str| format!("[[port]]\nstream = {:?}\n", lab.path(name).display());
    let (one, two) = (port("a"), port("a") + &port("b"));
    let file = lab.path("lab.toml");
    fs::write(&file, &one).unwrap();
    let mut command = lab.command(&["--quiet"]);
    command.arg("--config").arg(&file).env("NOTIFY_SOCKET", &path);
    lab.start(command);
    assert_eq!(supervisor.next(), ["READY=1", "STATUS=0 ports (1 more awaited), 0 addresses"]);
    let station = Station::new(&lab.path("a"));
    assert_eq!(supervisor.next(), ["STATUS=1 port, 0 addresses"]);
    // A file that changes something, one that does not, and one with a fault.
    for (text, ready) in [
        (&two, "STATUS=1 port (1 more awaited), 0 addresses"),
        (&two, "STATUS=1 port (1 more awaited), 0 addresses"),
        (&"[[port]]\nstraem = 1\n".to_owned(), "STATUS=1 port (1 more awaited), 0 addresses"),
    ] {
        fs::write(&file, text).unwrap();
        let before = now_us();
        lab.signal("-HUP");
        let reloading = supervisor.next_state();
        assert_eq!(reloading[0], "RELOADING=1");
        let since = reloading[1].strip_prefix("MONOTONIC_USEC=").unwrap();
        assert!((before..=now_us()).contains(&since.parse().unwrap()), "{since} after {before}");
        assert_eq!(supervisor.next_state(), ["READY=1", ready]);
    }
    lab.said("nothing was changed");
    lab.signal("-TERM");
    assert_eq!(supervisor.next_state()[0], "STOPPING=1");
    assert!(lab.ended().success());
    drop(station);
}

#[test]
fn the_watchdog_of_a_supervisor_with_an_abstract_name_is_fed() {
    let mut lab = Lab::new();
    let name = format!("uswitch-test-{}", process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let supervisor = Supervisor::new(UnixDatagram::bind_addr(&address).unwrap());
    let mut command = lab.command(&["--quiet", &lab.port("a")]);
    command.env("NOTIFY_SOCKET", format!("@{name}")).env("WATCHDOG_USEC", "100000");
    lab.start(command);
    assert_eq!(supervisor.next()[0], "READY=1");
    for _ in 0..5 {
        assert_eq!(supervisor.next(), ["WATCHDOG=1"]);
    }
    // Who ends has no watchdog any more, but one may be on its way.
    lab.signal("-INT");
    let end = (0..100).map(|_| supervisor.next()).find(|lines| lines[0] != "WATCHDOG=1");
    assert_eq!(end.unwrap()[0], "STOPPING=1");
    assert!(lab.ended().success());
}

#[test]
fn a_supervisor_that_is_not_there_is_told_of_and_done_without() {
    let mut lab = Lab::new();
    let mut command = lab.command(&[&lab.port("a")]);
    command.env("NOTIFY_SOCKET", lab.path("nobody"));
    lab.start(command);
    lab.said("uswitch: warning: the service manager hears nothing: NOTIFY_SOCKET=");
    lab.said("switching 1 port");
    lab.signal("-TERM");
    assert!(lab.ended().success());
}

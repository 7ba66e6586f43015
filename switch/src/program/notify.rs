//! What a service manager is told: sd_notify(3), over the socket that `$NOTIFY_SOCKET` names.
//!
//! The socket is opened once, at the start: the crates for this open one for each message, which
//! somebody who has given his rights away may not be able to. Nothing here ever waits for the
//! service manager. What it does not take is said again, up to [`WAITING_MAX`] messages.

use std::{
    collections::VecDeque,
    env,
    ffi::OsStr,
    io::{self, ErrorKind},
    os::{
        linux::net::SocketAddrExt,
        unix::{
            ffi::OsStrExt,
            net::{SocketAddr, UnixDatagram},
        },
    },
    process,
    time::{Duration, Instant},
};

use nix::time::{ClockId, clock_gettime};

use super::output;

/// Where the service manager listens: a path, or `@` and an abstract name.
const SOCKET_VARIABLE: &str = "NOTIFY_SOCKET";
/// After how many microseconds without a sign of life it takes us for dead.
const WATCHDOG_VARIABLE: &str = "WATCHDOG_USEC";
/// For which process that is meant.
const WATCHDOG_PID_VARIABLE: &str = "WATCHDOG_PID";

/// Messages that wait for the service manager. Of more, the oldest is forgotten.
const WAITING_MAX: usize = 16;
/// How often a status is told in which nothing but the number of addresses is new.
const STATUS_INTERVAL: Duration = Duration::from_secs(10);

/// The line to the service manager, if there is one.
#[derive(Debug)]
pub(crate) struct Notify {
    line: Option<Line>,
    watchdog: Option<Watchdog>,
    /// The status that was told last, and when.
    told: Option<(State, Instant)>,
}

/// What the status is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct State {
    /// Ports in the switch.
    pub(crate) ports: usize,
    /// Plugs that have none yet.
    pub(crate) waiting: usize,
    /// Learned addresses.
    pub(crate) addresses: usize,
}

impl Notify {
    /// As the environment has it. What it has that cannot be used is told.
    pub(crate) fn from_environment() -> Notify {
        let line = env::var_os(SOCKET_VARIABLE).filter(|name| !name.is_empty());
        let line = line.and_then(|name| match Line::open(&name) {
            Ok(line) => Some(line),
            Err(error) => {
                let (name, reason) = (name.display(), netlab::reason(&error));
                output::warn(format_args!(
                    "the service manager hears nothing: {SOCKET_VARIABLE}={name}: {reason}"
                ));
                None
            }
        });
        let text = |name| env::var(name).ok();
        let interval = watchdog(text(WATCHDOG_VARIABLE), text(WATCHDOG_PID_VARIABLE));
        let watchdog = interval.filter(|_| line.is_some()).map(Watchdog::new);
        Notify { line, watchdog, told: None }
    }

    /// Frames flow, for the first time or again.
    pub(crate) fn ready(&mut self, state: State) {
        self.told = Some((state, Instant::now()));
        self.say(format!("READY=1\nSTATUS={}", state.sentence()));
    }

    /// The configuration is being read again. [`Notify::ready`] follows in any case.
    pub(crate) fn reloading(&mut self) {
        // The service manager tells by this that READY=1 was said after its own signal.
        let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from).unwrap_or_default();
        self.say(format!("RELOADING=1\nMONOTONIC_USEC={}", now.as_micros()));
    }

    /// The end has begun.
    pub(crate) fn stopping(&mut self) {
        self.say("STOPPING=1\nSTATUS=the ports are being closed".to_owned());
    }

    /// Shows that the control loop goes round, and what has changed. Called each time.
    pub(crate) fn tend(&mut self, state: State) {
        let Some(line) = &mut self.line else { return };
        line.flush();
        let now = Instant::now();
        if let Some(watchdog) = &mut self.watchdog
            && watchdog.due <= now
        {
            watchdog.due = now + watchdog.interval;
            self.say("WATCHDOG=1".to_owned());
        }
        if self.told.is_none_or(|(told, since)| state.is_news_after(told, now - since)) {
            self.told = Some((state, now));
            self.say(format!("STATUS={}", state.sentence()));
        }
    }

    /// How long the control loop may sleep if there is nothing else to do.
    pub(crate) fn sleep_max(&self, usual: Duration) -> Duration {
        let watchdog = self.watchdog.as_ref();
        let due = watchdog.map(|watchdog| watchdog.due.saturating_duration_since(Instant::now()));
        due.map_or(usual, |due| due.min(usual))
    }

    fn say(&mut self, message: String) {
        if let Some(line) = &mut self.line {
            line.say(message);
        }
    }
}

impl State {
    fn sentence(self) -> String {
        let State { ports, waiting, addresses } = self;
        let count = |count: usize, noun: &str, plural: &str| match count {
            1 => format!("1 {noun}"),
            _ => format!("{count} {noun}{plural}"),
        };
        let ports = count(ports, "port", "s");
        let waiting =
            if waiting > 0 { format!(" ({waiting} more awaited)") } else { String::new() };
        format!("{ports}{waiting}, {}", count(addresses, "address", "es"))
    }

    /// Whether it is worth a message. Addresses come and go: not each of them is.
    fn is_news_after(self, told: State, since: Duration) -> bool {
        let State { ports, waiting, addresses: _ } = self;
        (ports, waiting) != (told.ports, told.waiting) || self != told && since >= STATUS_INTERVAL
    }
}

/// The interval of the signs of life: half of what we have, as sd_watchdog_enabled(3) wants it.
fn watchdog(limit: Option<String>, pid: Option<String>) -> Option<Duration> {
    let ours = pid.is_none_or(|pid| pid.parse() == Ok(process::id()));
    let limit: u64 = limit.filter(|_| ours)?.parse().ok()?;
    (limit > 0).then(|| Duration::from_micros(limit) / 2)
}

#[derive(Debug)]
struct Watchdog {
    interval: Duration,
    due: Instant,
}

impl Watchdog {
    fn new(interval: Duration) -> Watchdog {
        Watchdog { interval, due: Instant::now() }
    }
}

/// A connected socket, and what it has not taken yet.
#[derive(Debug)]
struct Line {
    socket: UnixDatagram,
    waiting: VecDeque<String>,
}

impl Line {
    fn open(name: &OsStr) -> io::Result<Line> {
        let address = match name.as_bytes() {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
            [b'/', ..] => SocketAddr::from_pathname(name)?,
            _ => return Err(io::Error::new(ErrorKind::Unsupported, "neither a path nor abstract")),
        };
        let socket = UnixDatagram::unbound()?;
        socket.connect_addr(&address)?;
        socket.set_nonblocking(true)?;
        Ok(Line { socket, waiting: VecDeque::new() })
    }

    fn say(&mut self, message: String) {
        if self.waiting.len() == WAITING_MAX {
            self.waiting.pop_front();
        }
        self.waiting.push_back(message);
        self.flush();
    }

    /// Says what waits, in order, as far as there is room.
    fn flush(&mut self) {
        while let Some(message) = self.waiting.front() {
            match self.socket.send(message.as_bytes()) {
                Err(e) if e.kind() == ErrorKind::WouldBlock => return,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                // Nobody listens any more: there is nobody to tell that, either.
                Ok(_) | Err(_) => drop(self.waiting.pop_front()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(ports: usize, waiting: usize, addresses: usize) -> State {
        State { ports, waiting, addresses }
    }

    fn heard(socket: &UnixDatagram) -> String {
        let mut octets = [0; 256];
        let len = socket.recv(&mut octets).unwrap();
        String::from_utf8(octets[..len].to_vec()).unwrap()
    }

    fn line(socket: Option<Line>, watchdog: Option<Watchdog>) -> Notify {
        Notify { line: socket, watchdog, told: None }
    }

    #[test]
    fn a_status_is_a_sentence() {
        assert_eq!(state(1, 0, 1).sentence(), "1 port, 1 address");
        assert_eq!(state(2, 1, 0).sentence(), "2 ports (1 more awaited), 0 addresses");
    }

    #[test]
    fn ports_are_news_at_once_and_addresses_from_time_to_time() {
        let told = state(2, 0, 5);
        assert!(!told.is_news_after(told, STATUS_INTERVAL));
        assert!(state(1, 1, 5).is_news_after(told, Duration::ZERO));
        assert!(!state(2, 0, 6).is_news_after(told, Duration::ZERO));
        assert!(state(2, 0, 6).is_news_after(told, STATUS_INTERVAL));
    }

    #[test]
    fn the_watchdog_of_another_is_not_ours() {
        let interval = |limit: &str, pid: Option<u32>| {
            watchdog(Some(limit.to_owned()), pid.map(|pid| pid.to_string()))
        };
        assert_eq!(interval("3000000", None), Some(Duration::from_millis(1500)));
        assert_eq!(interval("2", Some(process::id())), Some(Duration::from_micros(1)));
        for (limit, pid) in [("2", Some(1)), ("0", None), ("", None), ("-1", None), ("x", None)] {
            assert_eq!(interval(limit, pid), None, "{limit} {pid:?}");
        }
        assert_eq!(watchdog(None, None), None);
    }

    #[test]
    fn without_a_supervisor_nothing_is_said_and_nobody_is_woken() {
        let mut notify = line(None, None);
        notify.ready(state(1, 0, 0));
        notify.tend(state(2, 0, 0));
        assert_eq!(notify.sleep_max(STATUS_INTERVAL), STATUS_INTERVAL);
    }

    #[test]
    fn who_does_not_listen_is_not_waited_for_and_hears_the_latest() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let supervisor = UnixDatagram::bind(&path).unwrap();
        supervisor.set_nonblocking(true).unwrap();
        let mut notify = line(Some(Line::open(path.as_os_str()).unwrap()), None);
        for _ in 0..100 {
            notify.reloading();
        }
        notify.ready(state(3, 0, 0));
        let (mut last, mut octets) = (String::new(), [0; 256]);
        while let Ok(len) = supervisor.recv(&mut octets) {
            last = String::from_utf8(octets[..len].to_vec()).unwrap();
            notify.line.as_mut().unwrap().flush();
        }
        assert_eq!(last, "READY=1\nSTATUS=3 ports, 0 addresses");
        // It went: that is no matter.
        drop(supervisor);
        notify.stopping();
        assert!(notify.line.unwrap().waiting.is_empty());
    }

    #[test]
    fn what_is_no_socket_is_refused() {
        for name in ["relative", "vsock:2:1", "/no/such/socket", "@nobody-has-this-name"] {
            assert!(Line::open(OsStr::new(name)).is_err(), "{name}");
        }
    }

    #[test]
    fn signs_of_life_come_when_they_are_due() {
        let name = format!("@uswitch-notify-{}", process::id());
        let address = SocketAddr::from_abstract_name(&name.as_bytes()[1..]).unwrap();
        let supervisor = UnixDatagram::bind_addr(&address).unwrap();
        let socket = Line::open(OsStr::new(&name)).unwrap();
        let hour = Duration::from_secs(3600);
        let mut notify = line(Some(socket), Some(Watchdog::new(hour)));
        assert_eq!(notify.sleep_max(hour), Duration::ZERO);
        notify.ready(state(1, 0, 0));
        notify.tend(state(1, 0, 0));
        assert!(notify.sleep_max(hour * 2) > hour / 2);
        notify.tend(state(1, 0, 0));
        notify.tend(state(1, 1, 0));
        notify.stopping();
        let heard: Vec<_> = (0..4).map(|_| heard(&supervisor)).collect();
        assert!(heard[0].starts_with("READY=1\n") && heard[1] == "WATCHDOG=1", "{heard:?}");
        assert_eq!(heard[2], "STATUS=1 port (1 more awaited), 0 addresses");
        assert!(heard[3].starts_with("STOPPING=1\n"), "{heard:?}");
    }
}

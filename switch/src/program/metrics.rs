//! Counters for Prometheus and its like: `GET /metrics` over HTTP, at `--metrics ADDRESS:PORT` or
//! `unix:PATH`, or where `metrics` of a file's `[switch]` says. Off by default.
//!
//! **What is told** is OpenMetrics, or the older text format to who does not ask for that
//! (`page.rs`). A port has its name as the label `port`, a drop its reason. Ports that have left
//! are not told; one that comes back goes on where it was (`totals.rs`). So there are as many
//! series as the ports that are there have, [`uswitch::port::PORTS_MAX`] at the most.
//!
//! **By whom.** A thread of its own (`server.rs`), which owns nothing that forwards. It asks the
//! control loop for a [`Snapshot`], one at a time for all who wait, and writes it out itself. The
//! control loop never waits for it.
//!
//! **Limits.** [`CLIENTS_MAX`] clients: one more takes the place of whoever has been there longest
//! of those who owe a request or have their answer; if there is none, he is told to come again.
//! One request a connection, [`HEAD_MAX`] octets of it, whole within [`PATIENCE`]; and as long to
//! read the answer. Why not a crate: those that serve HTTP bring a thread a connection, or a
//! runtime, and none of these limits. What a scraper needs of RFC 9112 is in `request.rs`.

mod client;
mod page;
mod request;
mod server;
mod totals;

use std::{
    collections::BTreeMap,
    io,
    net::TcpListener,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixListener,
    },
    path::Path,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded};
use nix::sys::eventfd::{EfdFlags, EventFd};
use uswitch::{
    port::unix::{Bound, listen_at},
    switch::Report,
    topology::MetricsPlace,
};

use self::{page::Process, server::Server, totals::Totals};
use super::report::router::RouterRow;

/// Clients at a time.
const CLIENTS_MAX: usize = 32;
/// Octets of a request's head.
const HEAD_MAX: usize = 8 << 10;
/// From the connection to the end of the request, and from the answer to its last octet.
const PATIENCE: Duration = Duration::from_secs(10);
/// Who may connect to a unix socket, as far as the umask and its folder let him.
const SOCKET_MODE: u32 = 0o666;

/// A socket that nobody serves yet.
pub(crate) struct Listening {
    listener: Listener,
    /// Where it is in the end.
    place: MetricsPlace,
}

impl Listening {
    /// Binds and listens, without waiting for anybody, while there is a right to.
    ///
    /// # Errors
    ///
    /// A sentence that begins with the setting.
    pub(crate) fn at(place: &MetricsPlace) -> Result<Listening, String> {
        let (listener, place) = Listener::at(place)?;
        Ok(Listening { listener, place })
    }

    /// Its path, which is removed at the end, if it has one.
    pub(crate) fn path(&self) -> Option<&Path> {
        match &self.place {
            MetricsPlace::Address(_) => None,
            MetricsPlace::Path(path) => Some(path),
        }
    }
}

/// Where clients come in.
enum Listener {
    Tcp(TcpListener),
    /// It is removed with its path.
    Unix {
        listener: UnixListener,
        _bound: Bound,
    },
}

impl Listener {
    /// Binds and listens, without waiting for anybody.
    ///
    /// # Errors
    ///
    /// A sentence.
    fn at(place: &MetricsPlace) -> Result<(Listener, MetricsPlace), String> {
        match place {
            MetricsPlace::Address(address) => {
                let listening = || -> io::Result<_> {
                    let listener = TcpListener::bind(address)?;
                    listener.set_nonblocking(true)?;
                    let found = MetricsPlace::Address(listener.local_addr()?);
                    Ok((Listener::Tcp(listener), found))
                };
                listening().map_err(|error| format!("metrics {place}: {}", netlab::reason(&error)))
            }
            MetricsPlace::Path(path) => {
                let listening = listen_at(path, Some(SOCKET_MODE));
                let (listener, bound) = listening.map_err(|error| format!("metrics {error}"))?;
                Ok((Listener::Unix { listener, _bound: bound }, place.clone()))
            }
        }
    }

    /// Takes in who waits. The socket does not block, nor does this.
    ///
    /// # Errors
    ///
    /// What the system said; that nobody waits is `WouldBlock`.
    fn accept(&self) -> io::Result<OwnedFd> {
        match self {
            Listener::Tcp(listener) => {
                let (socket, _) = listener.accept()?;
                socket.set_nonblocking(true)?;
                Ok(socket.into())
            }
            Listener::Unix { listener, .. } => {
                let (socket, _) = listener.accept()?;
                socket.set_nonblocking(true)?;
                Ok(socket.into())
            }
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Listener::Tcp(listener) => listener.as_fd(),
            Listener::Unix { listener, .. } => listener.as_fd(),
        }
    }
}

/// What the control loop knows at one moment.
pub(crate) struct Snapshot {
    /// All counters, of ports that have left too.
    pub(crate) report: Report,
    /// What the router has counted, if there is one.
    pub(crate) router: Vec<RouterRow>,
    /// The MTU of each port that is there, by its name.
    pub(crate) mtus: Vec<(String, u32)>,
    /// The names of plugs that have no port now.
    pub(crate) waiting: Vec<String>,
    pub(crate) workers: usize,
}

/// The control loop's hold on the metrics, which are gone when this is dropped.
pub(crate) struct Metrics {
    /// Somebody wants a snapshot. For `select`, too.
    pub(crate) wanted: Receiver<()>,
    /// Where they are in the end.
    place: MetricsPlace,
    snapshots: Option<Sender<Snapshot>>,
    bell: Arc<EventFd>,
    thread: Option<JoinHandle<()>>,
}

impl Metrics {
    /// Begins to serve them. Nobody is answered until [`Metrics::answer`] is called.
    ///
    /// # Errors
    ///
    /// A sentence that begins with the setting.
    pub(crate) fn serve(listening: Listening) -> Result<Metrics, String> {
        let Listening { listener, place } = listening;
        let failed = |reason: String| format!("metrics: {reason}");
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let bell = EventFd::from_value_and_flags(0, flags);
        let bell = Arc::new(bell.map_err(|errno| failed(errno.desc().to_owned()))?);
        let ((ask, wanted), (snapshots, given)) = (bounded(1), bounded(1));
        let server = Server {
            listener,
            wanted: ask,
            snapshots: given,
            bell: bell.clone(),
            clients: BTreeMap::new(),
            next: 0,
            asked: false,
            rests_until: None,
            totals: Totals::default(),
            process: Process::start(),
        };
        let thread = thread::Builder::new().name("metrics".into()).spawn(|| server.run());
        let thread = thread.map_err(|error| failed(netlab::reason(&error)))?;
        let (snapshots, thread) = (Some(snapshots), Some(thread));
        Ok(Metrics { wanted, place, snapshots, bell, thread })
    }

    /// Where they are in the end, as a scraper wants it.
    pub(crate) fn place(&self) -> String {
        shown(&self.place)
    }

    /// What somebody should think of before he leaves it so.
    pub(crate) fn warning(&self) -> Option<String> {
        is_open(&self.place).then(|| {
            format!(
                "the metrics at {} can be read by whoever reaches this address: nobody is asked \
                 who he is",
                self.place()
            )
        })
    }

    /// Gives a snapshot if one is wanted. Never waits. `false`: nobody will want one any more.
    pub(crate) fn answer(&self, snapshot: impl FnOnce() -> Snapshot) -> bool {
        match self.wanted.try_recv() {
            Ok(()) => {
                let snapshots = self.snapshots.as_ref();
                let snapshots = snapshots.expect("it is taken only when this is dropped");
                // One is wanted at a time, so there is room. If the server has ended, nobody sees.
                let _ = snapshots.try_send(snapshot());
                self.ring();
                true
            }
            Err(error) => error == TryRecvError::Empty,
        }
    }

    fn ring(&self) {
        // Fails only when it has been rung 2^64 - 2 times unheard: it is readable then.
        let _ = self.bell.write(1);
    }
}

impl Drop for Metrics {
    fn drop(&mut self) {
        self.snapshots = None;
        self.ring();
        if let Some(thread) = self.thread.take() {
            // Its panic has been printed.
            let _ = thread.join();
        }
    }
}

/// As a scraper wants it.
fn shown(place: &MetricsPlace) -> String {
    match place {
        MetricsPlace::Address(address) => format!("http://{address}/metrics"),
        MetricsPlace::Path(_) => format!("/metrics at {place}"),
    }
}

/// Whether others than this machine can reach it.
fn is_open(place: &MetricsPlace) -> bool {
    matches!(place, MetricsPlace::Address(address) if !address.ip().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scraper_is_told_where_it_finds_them() {
        let told = |text: &str| shown(&text.parse().unwrap());
        assert_eq!(told("127.0.0.1:9119"), "http://127.0.0.1:9119/metrics");
        assert_eq!(told("[::1]:9119"), "http://[::1]:9119/metrics");
        assert_eq!(told("unix:/run/m"), "/metrics at unix:/run/m");
    }

    #[test]
    fn only_this_machine_reaches_a_loopback_address_or_a_path() {
        let open = |text: &str| is_open(&text.parse().unwrap());
        assert!(open("0.0.0.0:1") && open("[::]:1") && open("192.0.2.1:1"));
        assert!(!open("127.0.0.9:1") && !open("[::1]:1") && !open("unix:m"));
    }
}

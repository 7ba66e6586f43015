//! The control socket: a switch that runs is asked and steered by it. `uswitch port`, `fdb`,
//! `reload`, `config`, `diff`, `stats`, `drops`, `explain`, `capture`, `top` and `monitor` speak to
//! it, and so can anybody who writes a line of JSON:
//!
//! ```text
//! echo '{"v":1,"do":"fdb.get","mac":"02:00:00:00:00:01"}' | socat - UNIX:/run/uswitch/uswitch.sock
//! {"v":1,"ok":{"entries":[{"mac":"02:00:00:00:00:01","ifname":"tap0","state":"","updated":0.3}]}}
//! ```
//!
//! **Where.** `/run/uswitch/NAME.sock` if root runs it, else `$XDG_RUNTIME_DIR/uswitch/NAME.sock`;
//! `$USWITCH_RUNTIME_DIR/NAME.sock` if that is set. NAME is that of `--name`. The mode is 0600, or
//! 0660 with `--socket-group`; and whoever connects is asked of the kernel (SO_PEERCRED,
//! SO_PEERGROUPS): root, the user of the switch and that group are heard. They may do what the
//! switch may do, so the group is as good as root where root runs it.
//!
//! **Lines.** A request is a JSON object on one line, with the version `v` of the protocol and
//! what to `do`. Each has one answer, on one line, in the order of the requests: `{"v":1,"ok":...}`
//! or `{"v":1,"error":"sentence"}`, of several faults one a line; `reload` tells those of a file as
//! `faults` too, each with `file`, `line`, `column`, `message` and, for a person, `shown`. An
//! object with another key than these is refused. More keys in an answer are no new version.
//!
//! | `do` | with | `ok` |
//! |---|---|---|
//! | `show` | | `name`, `version`, `pid`, `elapsed_s`, `workers`, `fdb` with `used` and `size` |
//! | `port.show` | `port`, `all`, `from` | `ports`, perhaps `next` |
//! | `port.add` | `spec`, as behind `--port` | `told`: what was done, sentences |
//! | `port.del` | `port` | `ports`: the last counts |
//! | `port.set` | `port`, `set`: a list of options, as behind `--port` | `told`: what was done |
//! | `config` | `from` | `toml`: what runs now as a file, `workers`; perhaps `allow_path`, `next` |
//! | `reload` | | `file`, how many ports `came`, were `removed` and `changed`; `set`: settings |
//! | `fdb.show` | `port`, `from` | `entries`, perhaps `next` |
//! | `fdb.get` | `mac` | `entries`: one for each VLAN in which it is known |
//! | `fdb.add` | `mac`, `port` | `entries`: it, static from now on |
//! | `fdb.del` | `mac`, `port` | `entries`: what was forgotten, learned or static |
//! | `fdb.flush` | `port` | `flushed`: how many were forgotten of those that were learned |
//! | `route.add` | `spec`, as behind `--route` | `routes`: it |
//! | `route.del` | `spec`: a network, perhaps `,metric=N` | `routes`: what was deleted |
//! | `neigh.show` | `leg`, `from` | `neighbours`, perhaps `next` |
//! | `neigh.add` | `address`, `mac`, `leg` | `neighbours`: it, as it is from now on |
//! | `neigh.del` | `address`, `leg` | `neighbours`: what was forgotten, learned or said |
//! | `neigh.flush` | `leg` | `flushed`: how many were forgotten of those that were learned |
//! | `explain` | `from`, a port, `frame` in hex, `gso` | `frame`, `steps`, `verdict`, `egress` |
//! | `capture` | `ports`, `drops`, `snaplen`, `filter` | nothing; then pcapng |
//! | `monitor` | `what`: `all`, `port`, `fdb`, `neigh` | nothing; from then on events come, too |
//!
//! All but `spec`, `mac`, `address`, the `port` of `port.del` and `fdb.add` and the `leg` of
//! `neigh.add` may be left out. Who finds
//! `next` in an answer asks again with that as `from`: an answer has about 64 KiB. What changes
//! meanwhile is seen before or after, or not at all. An event is
//! `{"v":1,"event":KIND,"time":SECONDS,"text":SENTENCE}` with `port`, `ports` or `mac` where it is
//! about such. Kinds about ports (`"what":"port"`) are `came`, `waits`, `left` (it will be back),
//! `told`, `failed`, `detached` (it will not), `removed` (`port.del`, `reload`) and `set` (by
//! `port.set`); about the forwarding database (`"what":"fdb"`) `learned`, `moved`, `aged`,
//! `forgotten` (not by age), `flapping`, and of a port `quota` and `full`: what it hears more is
//! not learned; about the links of the router (`"what":"neigh"`), with `leg`, `address_conflict`,
//! `address_duplicate`, `neighbour_full`, `neighbour_moved` and `neighbour_failed`. For all are
//! `applied` (the file was read again; an object of that name is the
//! answer to `reload`), `refused` (it was, and nothing was changed) and `died`. What happens to
//! stations is found out once a second (`stations.rs`). Events that found no room are counted in
//! `missed` of the next one about the same.
//!
//! **Limits.** [`CLIENTS_MAX`] clients; [`LINE_MAX`] octets of a line; [`PATIENCE`] from the
//! connection, or the last answer, to the next whole request, except for who hears events;
//! [`WAITING_MAX`] octets that wait for a client that does not read; one request of a client at a
//! time. Who oversteps them, or writes what is no request at all, is told and cut off. All this is
//! on a thread of its own (`server.rs`), which owns nothing that forwards. The control loop in
//! `run.rs` answers (`answer.rs`), and never waits for that thread.

mod answer;
mod applied;
mod capture;
mod client;
mod event;
mod place;
mod request;
mod server;
mod stations;

use std::{
    collections::BTreeMap,
    os::unix::net::{UnixListener, UnixStream},
    path::PathBuf,
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, Sender, bounded};
use nix::{
    sys::eventfd::{EfdFlags, EventFd},
    unistd::Gid,
};
use uswitch::{
    plug::Change,
    port::{Port, unix::Bound},
    switch::Handle,
};

pub(crate) use self::{
    answer::{
        AddressRow, ConfigPage, Counters, Counts, FdbPage, FdbRow, Flushed, HopRow, LegPage,
        LegRow, NO_ROUTER, NeighbourPage, NeighbourRow, PortPage, PortRow, RoutePage, RouteRow,
        Show, Steered, Told, statics,
    },
    applied::Applied,
    capture::Captures,
    event::Event,
    place::{NAME_DEFAULT, check_name, connect, find_group, running},
    request::{Answer, FlowSpec, Request, Topic, read_answer, read_faults},
    stations::Stations,
};
use self::{
    request::{VERSION, answer_line, refusal_line},
    server::Server,
};
use super::config;

/// Clients at a time.
pub(crate) const CLIENTS_MAX: usize = 64;
/// Octets of a line, its end not counted.
const LINE_MAX: usize = 64 << 10;
/// From the connection, or the last answer, to the end of the next request.
const PATIENCE: Duration = Duration::from_secs(10);
/// Octets that wait for a client that does not read.
const WAITING_MAX: usize = 256 << 10;
/// Octets of an answer that comes in pieces, about.
const PAGE_OCTETS: usize = 64 << 10;
/// Requests that the control loop has at a time: one of each client.
const REQUESTS_MAX: usize = CLIENTS_MAX;
/// Events that wait for the server.
const EVENTS_MAX: usize = 1024;

/// What a switch is called, and who may steer it.
#[derive(Clone, Debug)]
pub(crate) struct ControlConfig {
    pub(crate) name: String,
    pub(crate) group: Option<Gid>,
}

/// A control socket that nobody serves yet: it is bound while there is a right to.
pub(crate) struct Listening {
    listener: UnixListener,
    bound: Bound,
    group: Option<Gid>,
    /// Where it is.
    pub(crate) folder: PathBuf,
}

impl ControlConfig {
    /// Opens the socket.
    ///
    /// # Errors
    ///
    /// A sentence that says what helps.
    pub(crate) fn listen(&self) -> Result<Listening, String> {
        let (listener, bound, folder) = place::listen(&self.name, self.group)?;
        Ok(Listening { listener, bound, group: self.group, folder })
    }
}

/// A request, and whose it is.
pub(crate) struct Asked {
    client: u64,
    pub(crate) request: Request,
    /// The connection, if the request takes it whole.
    pub(crate) socket: Option<UnixStream>,
}

/// An answer on its way.
struct Line {
    client: u64,
    /// Whether what was asked for is done.
    done: bool,
    line: String,
}

/// The control loop's hold on the control socket, which is gone when this is dropped.
pub(crate) struct Control {
    /// Requests to be answered. For `select`, too.
    pub(crate) requests: Receiver<Asked>,
    answers: Option<Sender<Line>>,
    events: Sender<(Topic, String)>,
    bell: Arc<EventFd>,
    /// Events of each topic that were lost since the last that was told.
    missed: [u64; Topic::COUNT],
    /// Lent to each client that listens for stations.
    listeners: Arc<()>,
    /// Those who wish to listen, and wait until what there is now is known.
    waiting: Vec<Asked>,
    thread: Option<JoinHandle<()>>,
}

impl Control {
    /// Begins to serve the socket.
    ///
    /// # Errors
    ///
    /// A sentence that says what helps.
    pub(crate) fn serve(listening: Listening) -> Result<Control, String> {
        let Listening { listener, bound, group, folder: _ } = listening;
        let failed = |reason| format!("there is no control socket: {reason}");
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let bell = EventFd::from_value_and_flags(0, flags);
        let bell = Arc::new(bell.map_err(|errno| failed(errno.desc().to_owned()))?);
        let (ask, requests) = bounded(REQUESTS_MAX);
        let (answers, answered) = bounded(REQUESTS_MAX);
        let (events, told) = bounded(EVENTS_MAX);
        let listeners = Arc::new(());
        let server = Server {
            listener,
            _bound: bound,
            group,
            requests: ask,
            answers: answered,
            events: told,
            bell: bell.clone(),
            clients: BTreeMap::new(),
            next: 0,
            outstanding: 0,
            rests_until: None,
            listeners: listeners.clone(),
        };
        let thread = thread::Builder::new().name("control".into()).spawn(|| server.run());
        let thread = thread.map_err(|error| failed(netlab::reason(&error)))?;
        let (answers, thread) = (Some(answers), Some(thread));
        let (missed, waiting) = (Default::default(), Vec::new());
        Ok(Control { requests, answers, events, bell, missed, listeners, waiting, thread })
    }

    /// Answers a request. Never waits.
    pub(crate) fn answer(&self, asked: &Asked, answer: Answer) {
        self.say(asked, answer.is_ok(), answer_line(&answer));
    }

    /// Answers that nothing is done, because of what is wrong with a file. Never waits.
    pub(crate) fn refuse(&self, asked: &Asked, told: &config::Told) {
        let faults = told.shown(PAGE_OCTETS);
        self.say(asked, false, refusal_line(&told.sentences(), &faults));
    }

    fn say(&self, asked: &Asked, done: bool, line: String) {
        let answers = self.answers.as_ref().expect("it is taken only when this is dropped");
        // There is room for all that can be asked. If the server has ended, nobody hears it.
        let _ = answers.try_send(Line { client: asked.client, done, line });
        self.ring();
    }

    /// Tells who listens what has changed. Never waits.
    pub(crate) fn tell(&mut self, event: Event) {
        let topic = event.topic();
        let missed = &mut self.missed[topic as usize];
        let line = event.line(VERSION, *missed);
        *missed = if self.events.try_send((topic, line)).is_ok() { 0 } else { *missed + 1 };
        self.ring();
    }

    /// Tells it of what was found out about stations, before which others were lost.
    fn tell_behind(&mut self, event: Event, lost: u64) {
        self.missed[event.topic() as usize] += lost;
        self.tell(event);
    }

    /// Takes a wish to listen. Who wishes to hear of stations is answered when it is known which
    /// there are: from then on nothing is missed.
    pub(crate) fn listen(&mut self, asked: Asked) {
        self.waiting.push(asked);
    }

    /// Finds out what happened to stations, if somebody wants to know. Never takes long; how soon
    /// it is to be called again, [`Stations::pause`] says.
    pub(crate) fn look<P: Port>(&mut self, stations: &mut Option<Stations>, handle: &Handle<P>) {
        // Beside ours and the server's there is one of each who listens.
        if Arc::strong_count(&self.listeners) > 2 {
            let stations = stations.get_or_insert_default();
            for (event, lost) in stations.look(handle, Instant::now()) {
                self.tell_behind(event, lost);
            }
            if !stations.is_ready() {
                return;
            }
        } else {
            *stations = None;
        }
        for asked in std::mem::take(&mut self.waiting) {
            self.answer(&asked, Ok("{}".to_owned()));
        }
    }

    /// The same for a change of the plugs.
    pub(crate) fn tell_change(&mut self, change: &Change) {
        self.tell(Event::from(change));
    }

    fn ring(&self) {
        // Fails only when it has been rung 2^64 - 2 times unheard: it is readable then.
        let _ = self.bell.write(1);
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.answers = None;
        self.ring();
        if let Some(thread) = self.thread.take() {
            // Its panic has been printed.
            let _ = thread.join();
        }
    }
}

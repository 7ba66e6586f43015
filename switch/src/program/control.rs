//! The control socket: a switch that runs is asked and steered by it. `uswitch port`, `fdb`,
//! `reload`, `config`, `diff`, `stats`, `drops` and `monitor` speak to it, and so can anybody who
//! writes a line of JSON:
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
//! | `config` | `from` | `toml`: what runs now, as a file; `workers`, perhaps `next` |
//! | `reload` | | `file`, how many ports `came`, were `removed` and `changed`; `set`: settings |
//! | `fdb.show` | `port`, `from` | `entries`, perhaps `next` |
//! | `fdb.get` | `mac` | `entries`: one for each VLAN in which it is known |
//! | `fdb.add` | `mac`, `port` | `entries`: it, static from now on |
//! | `fdb.del` | `mac`, `port` | `entries`: what was forgotten, learned or static |
//! | `fdb.flush` | `port` | `flushed`: how many were forgotten of those that were learned |
//! | `monitor` | | nothing; from then on events come, between the answers |
//!
//! `port`, `all` and `from` may be left out. Who finds `next` in an answer asks again with that as
//! `from`: an answer has about 64 KiB. What changes meanwhile is seen before or after, or not at
//! all. An event is `{"v":1,"event":KIND,"time":SECONDS,"text":SENTENCE}` with `port`, `ports` or
//! `mac` where it is about such; kinds are `came`, `waits`, `left` (it will be back), `told`,
//! `failed`, `detached` (it will not), `removed` (`port.del`, `reload`), `set` (by `port.set`),
//! `applied` (the file was read again; an object of that name is the answer to `reload`), `refused`
//! (it was, and nothing was changed), `flapping` and `died`. Events that found no room are counted
//! in `missed` of the next one.
//!
//! **Limits.** [`CLIENTS_MAX`] clients; [`LINE_MAX`] octets of a line; [`PATIENCE`] from the
//! connection, or the last answer, to the next whole request, except for who hears events;
//! [`WAITING_MAX`] octets that wait for a client that does not read; one request of a client at a
//! time. Who oversteps them, or writes what is no request at all, is told and cut off. All this is
//! on a thread of its own (`server.rs`), which owns nothing that forwards. The control loop in
//! `run.rs` answers (`answer.rs`), and never waits for that thread.

mod answer;
mod applied;
mod client;
mod event;
mod place;
mod request;
mod server;

use std::{
    collections::BTreeMap,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use crossbeam_channel::{Receiver, Sender, bounded};
use nix::{
    sys::eventfd::{EfdFlags, EventFd},
    unistd::Gid,
};
use uswitch::plug::Change;

pub(crate) use self::{
    answer::{
        ConfigPage, Counters, Counts, FdbPage, FdbRow, Flushed, PortPage, PortRow, Show, Steered,
        Told, statics,
    },
    applied::Applied,
    event::Event,
    place::{NAME_DEFAULT, check_name, connect, find_group},
    request::{Answer, Request, read_answer, read_faults},
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

/// A request, and whose it is.
pub(crate) struct Asked {
    client: u64,
    pub(crate) request: Request,
}

/// The control loop's hold on the control socket, which is gone when this is dropped.
pub(crate) struct Control {
    /// Requests to be answered. For `select`, too.
    pub(crate) requests: Receiver<Asked>,
    /// Lines, each for the client of this number.
    answers: Option<Sender<(u64, String)>>,
    events: Sender<String>,
    bell: Arc<EventFd>,
    /// Events for which there was no room since the last that found some.
    missed: u64,
    thread: Option<JoinHandle<()>>,
}

impl Control {
    /// Opens the socket and begins to serve it.
    ///
    /// # Errors
    ///
    /// A sentence that says what helps.
    pub(crate) fn start(config: &ControlConfig) -> Result<Control, String> {
        let (listener, bound) = place::listen(&config.name, config.group)?;
        let failed = |reason| format!("there is no control socket: {reason}");
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let bell = EventFd::from_value_and_flags(0, flags);
        let bell = Arc::new(bell.map_err(|errno| failed(errno.desc().to_owned()))?);
        let (ask, requests) = bounded(REQUESTS_MAX);
        let (answers, answered) = bounded(REQUESTS_MAX);
        let (events, told) = bounded(EVENTS_MAX);
        let server = Server {
            listener,
            _bound: bound,
            group: config.group,
            requests: ask,
            answers: answered,
            events: told,
            bell: bell.clone(),
            clients: BTreeMap::new(),
            next: 0,
            outstanding: 0,
            rests_until: None,
        };
        let thread = thread::Builder::new().name("control".into()).spawn(|| server.run());
        let thread = thread.map_err(|error| failed(netlab::reason(&error)))?;
        let (answers, thread) = (Some(answers), Some(thread));
        Ok(Control { requests, answers, events, bell, missed: 0, thread })
    }

    /// Answers a request. Never waits.
    pub(crate) fn answer(&self, asked: &Asked, answer: Answer) {
        self.say(asked, answer_line(&answer));
    }

    /// Answers that nothing is done, because of what is wrong with a file. Never waits.
    pub(crate) fn refuse(&self, asked: &Asked, told: &config::Told) {
        let faults = told.shown(PAGE_OCTETS);
        self.say(asked, refusal_line(&told.sentences(), &faults));
    }

    fn say(&self, asked: &Asked, line: String) {
        let answers = self.answers.as_ref().expect("it is taken only when this is dropped");
        // There is room for all that can be asked. If the server has ended, nobody hears it.
        let _ = answers.try_send((asked.client, line));
        self.ring();
    }

    /// Tells who listens what has changed. Never waits.
    pub(crate) fn tell(&mut self, event: Event) {
        let line = event.line(VERSION, self.missed);
        self.missed = if self.events.try_send(line).is_ok() { 0 } else { self.missed + 1 };
        self.ring();
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

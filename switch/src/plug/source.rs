//! Where a plug's ports come from, after the first.

use std::{
    collections::BTreeMap,
    io,
    os::fd::AsFd,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crossbeam_channel::Sender;
use netlab::{LinkEvent, Links};
use nix::sys::eventfd::EventFd;

use super::{
    Arrival, Back,
    lookout::{Lookout, Next, event},
    origin::{Origin, Watched},
};
use crate::{
    port::{any::AnyPort, pcap::PcapStatus, stream::Listener, vde::Vde, vhost::VhostStatus},
    topology::{PcapSpec, PortKind, PortSpec},
};

/// How soon a connection that was lost is tried again; each time in vain doubles it.
const RETRY_MIN: Duration = Duration::from_millis(100);
/// How long it is waited at the most until the next try.
const RETRY_MAX: Duration = Duration::from_secs(2);
/// How long a listener rests when a client could not be taken.
const REST: Duration = Duration::from_secs(1);

/// What brings a plug its ports.
pub(super) enum Source {
    /// A descriptor: one port, once.
    Descriptor,
    /// Captures, which come to an end that is told.
    Pcap(PcapStatus, Playing),
    /// A port that stays while virtual machines come and go.
    Vhost(VhostStatus),
    /// A network device that may go and come back.
    Device {
        /// Its name, as long as nobody gives it another.
        name: String,
        /// Whether its port has a receive ring of the kernel's.
        ring: bool,
        /// The watch of its namespace.
        watch: usize,
        /// Those of its namespace.
        links: Arc<Mutex<Links>>,
        /// Its number, if it is there.
        index: Option<u32>,
    },
    /// A listener: each client is a port.
    Listener {
        /// Clients that have come so far.
        clients: u64,
        _lookout: Lookout,
    },
    /// A connection, made again when it is lost.
    Connection { lost: Arc<EventFd>, _lookout: Lookout },
}

/// How far a capture has been played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Playing {
    /// There is more.
    On,
    /// All has been played, or there was nothing to play, and that has been told.
    Over,
}

impl Playing {
    /// How far one of this spec is that has not begun.
    pub(super) fn of(spec: &PortSpec) -> Playing {
        match &spec.kind {
            PortKind::Pcap(PcapSpec { input: Some(_), .. }) => Playing::On,
            _ => Playing::Over,
        }
    }
}

/// What makes a connection again.
pub(super) type Reconnect = Box<dyn Fn() -> Option<AnyPort> + Send>;

impl Source {
    /// What brings the plug of this number its ports, the first of which may be open.
    pub(super) fn of(
        origin: Origin,
        number: usize,
        spec: &PortSpec,
        port: Option<&AnyPort>,
        tell: &Sender<Arrival>,
        watches: &mut Watches,
        reconnect: Reconnect,
    ) -> io::Result<Source> {
        Ok(match origin {
            Origin::Once => match port {
                Some(AnyPort::Pcap(port)) => Source::Pcap(port.status(), Playing::of(spec)),
                Some(AnyPort::Vhost(port)) => Source::Vhost(port.status()),
                _ => Source::Descriptor,
            },
            Origin::Device { watch, watched, index } => Source::Device {
                name: spec.kind.device().unwrap_or_default().to_owned(),
                ring: matches!(port, Some(AnyPort::Packet(_))),
                watch,
                links: watches.watch(watch, watched, tell)?,
                index: Some(index),
            },
            Origin::Stream(listener) => {
                let accept = |listener: &mut Listener| Ok(listener.accept()?.map(AnyPort::from));
                Source::listen(number, tell, listener, accept)?
            }
            Origin::Vde(vde) => {
                let accept = |vde: &mut Vde| Ok(vde.accept()?.map(AnyPort::from));
                Source::listen(number, tell, vde, accept)?
            }
            Origin::Connection => Source::connect(number, tell, port.is_some(), reconnect)?,
        })
    }

    /// Waits for clients: `accept` gives the next one, if there is one.
    pub(super) fn listen<L: AsFd + Send + 'static>(
        plug: usize,
        tell: &Sender<Arrival>,
        listener: L,
        accept: impl Fn(&mut L) -> io::Result<Option<AnyPort>> + Send + 'static,
    ) -> io::Result<Source> {
        let lookout =
            Lookout::start("listener", listener, Next::Wait, tell, move |listener, tell| {
                loop {
                    let (arrival, next) = match accept(listener) {
                        Ok(None) => return Next::Wait,
                        Ok(Some(port)) => (Arrival::Port { plug, port: Box::new(port) }, None),
                        Err(error) => {
                            let why = netlab::reason(&error);
                            (Arrival::Trouble { plug, why }, Some(Next::After(REST)))
                        }
                    };
                    if !tell.tell(arrival) {
                        return Next::End;
                    }
                    if let Some(next) = next {
                        return next;
                    }
                }
            })?;
        Ok(Source::Listener { clients: 0, _lookout: lookout })
    }

    /// Connects whenever there is no connection; `connected`: there is one to begin with.
    pub(super) fn connect(
        plug: usize,
        tell: &Sender<Arrival>,
        connected: bool,
        connect: impl Fn() -> Option<AnyPort> + Send + 'static,
    ) -> io::Result<Source> {
        let lost = Arc::new(event()?);
        let first = if connected { Next::Wait } else { Next::After(RETRY_MIN) };
        let mut pause = RETRY_MIN;
        let lookout =
            Lookout::start("connection", lost.clone(), first, tell, move |lost, tell| {
                // Nothing to read: it is tried again.
                let _ = lost.read();
                let Some(port) = connect() else {
                    let next = Next::After(pause);
                    pause = (pause * 2).min(RETRY_MAX);
                    return next;
                };
                pause = RETRY_MIN;
                let port = Box::new(port);
                if tell.tell(Arrival::Port { plug, port }) { Next::Wait } else { Next::End }
            })?;
        Ok(Source::Connection { lost, _lookout: lookout })
    }

    /// For what a plug without a port waits.
    pub(super) fn waits_for(&self) -> &'static str {
        match self {
            Source::Descriptor | Source::Pcap(..) | Source::Vhost(_) => "nothing",
            Source::Device { .. } => "its device",
            Source::Listener { .. } => "clients",
            Source::Connection { .. } => "somebody who listens there",
        }
    }

    /// Whether ports may still come.
    pub(super) fn may_bring(&self) -> bool {
        !matches!(self, Source::Descriptor | Source::Pcap(..) | Source::Vhost(_))
    }

    /// Whether a port that may still come has to be opened.
    pub(super) fn is_opened(&self) -> bool {
        matches!(self, Source::Device { .. } | Source::Connection { .. })
    }

    /// Whether its port has a receive ring of the kernel's.
    pub(super) fn has_ring(&self) -> bool {
        matches!(self, Source::Device { ring: true, .. })
    }

    /// What there is to tell of a port that stays.
    pub(super) fn news(&mut self) -> Option<String> {
        let (status, playing) = match self {
            Source::Pcap(status, playing) => (status, playing),
            Source::Vhost(status) => return status.take_news(),
            _ => return None,
        };
        if let Some(warning) = status.take_warning() {
            return Some(warning);
        }
        if *playing == Playing::Over || !status.finished() {
            return None;
        }
        *playing = Playing::Over;
        let (played, skipped) = (status.played(), status.skipped());
        Some(format!("all is played: {played} frames, and {skipped} that the capture had cut"))
    }

    /// What the port is called that came now.
    pub(super) fn name_next(&mut self, name: &str) -> String {
        match self {
            Source::Listener { clients, .. } => {
                *clients += 1;
                format!("{name}.{clients}")
            }
            _ => name.to_owned(),
        }
    }

    /// The device's number, if this may mean that it has gone or come.
    pub(super) fn concerned(&mut self, by: usize, event: &LinkEvent) -> Option<&mut Option<u32>> {
        let Source::Device { name, watch, index, links, .. } = self else { return None };
        let concerned = *watch == by
            && match (event, *index) {
                (LinkEvent::Changed(link), None) => link.name == *name,
                // It went down, came up, has another name: its socket bears that.
                (LinkEvent::Changed(_), Some(_)) => false,
                (LinkEvent::Gone { index, .. }, ours) => ours == Some(*index),
                (LinkEvent::Lost, None) => true,
                (LinkEvent::Lost, Some(index)) => !has(links, index),
            };
        concerned.then_some(index)
    }

    /// A port has left: what brings it back.
    pub(super) fn left(&mut self) -> Option<Back> {
        match self {
            Source::Descriptor | Source::Pcap(..) | Source::Vhost(_) => None,
            Source::Device { index, .. } => {
                *index = None;
                Some(Back::Device)
            }
            Source::Listener { .. } => Some(Back::Client),
            Source::Connection { lost, .. } => {
                // Fails only when it has been written 2^64 - 2 times: it is readable then.
                let _ = lost.write(1);
                Some(Back::Connection)
            }
        }
    }
}

/// Whether the link with this number is there. If nobody says, it is taken to be gone, and the
/// device is opened anew.
fn has(links: &Mutex<Links>, index: u32) -> bool {
    let list = links.lock().unwrap_or_else(PoisonError::into_inner).list();
    list.is_ok_and(|links| links.iter().any(|link| link.index == index))
}

/// The namespaces whose links are watched, each once.
#[derive(Default)]
pub(super) struct Watches {
    watches: BTreeMap<usize, (Arc<Mutex<Links>>, Lookout)>,
}

impl Watches {
    /// How many there are: their numbers are below that.
    pub(super) fn count(&self) -> usize {
        self.watches.len()
    }

    /// The links of the namespace whose watch has this number, and begins now if it is new: what
    /// happens from then on is told.
    pub(super) fn watch(
        &mut self,
        watch: usize,
        watched: Option<Watched>,
        tell: &Sender<Arrival>,
    ) -> io::Result<Arc<Mutex<Links>>> {
        let Some(Watched { events, links }) = watched else {
            let (links, _) = self.watches.get(&watch).ok_or(io::ErrorKind::NotFound)?;
            return Ok(links.clone());
        };
        let lookout = Lookout::start("links", events, Next::Wait, tell, move |links, tell| {
            loop {
                let event = match links.recv() {
                    Ok(None) => return Next::Wait,
                    Ok(Some(event)) => event,
                    // It is of no more use.
                    Err(_) => return Next::End,
                };
                if !tell.tell(Arrival::Link { watch, event }) {
                    return Next::End;
                }
            }
        })?;
        let links = Arc::new(Mutex::new(links));
        self.watches.insert(watch, (links.clone(), lookout));
        Ok(links)
    }
}

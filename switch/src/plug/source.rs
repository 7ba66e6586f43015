//! Where a plug's ports come from, after the first.

use std::{io, os::fd::AsFd, sync::Arc, time::Duration};

use crossbeam_channel::Sender;
use netlab::{LinkEvent, LinkWatch, Namespace};
use nix::sys::eventfd::EventFd;

use super::{
    Arrival, Back,
    lookout::{Lookout, Next, event},
};
use crate::port::{any::AnyPort, macvtap::MacvtapConfig, packet::PacketConfig, pcap::PcapStatus};

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
    /// A network device that may go and come back.
    Device {
        /// How it is opened.
        device: Device,
        /// The watch of its namespace.
        watch: usize,
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

/// A network device that does not tell when it is deleted: its link is watched.
pub(super) enum Device {
    /// Any, by a packet socket.
    Packet(PacketConfig),
    /// A macvtap, by its descriptor.
    Macvtap(MacvtapConfig),
}

impl Device {
    /// Its name, as long as nobody gives it another.
    pub(super) fn name(&self) -> &str {
        match self {
            Device::Packet(config) => &config.device,
            Device::Macvtap(config) => &config.name,
        }
    }

    /// Its namespace.
    ///
    /// # Errors
    ///
    /// What the system said when our own was asked for.
    pub(super) fn namespace(&self) -> io::Result<Namespace> {
        let netns = match self {
            Device::Packet(PacketConfig { netns, .. }) => netns,
            Device::Macvtap(MacvtapConfig { netns, .. }) => netns,
        };
        netns.clone().map_or_else(Namespace::current, Ok)
    }

    /// Whether the link with this number is there. If nobody says, it is taken to be gone, and the
    /// device is opened anew.
    fn has(&self, index: u32) -> bool {
        let list = || self.namespace()?.links()?.list();
        list().is_ok_and(|links| links.iter().any(|link| link.index == index))
    }
}

impl Source {
    /// Waits for clients: `accept` gives the next one, if there is one.
    pub(super) fn listen<L: AsFd + Send + 'static>(
        plug: usize,
        tell: &Sender<Arrival>,
        listener: L,
        accept: impl Fn(&mut L) -> io::Result<Option<AnyPort>> + Send + 'static,
    ) -> io::Result<Source> {
        let tell = tell.clone();
        let lookout = Lookout::start("listener", listener, Next::Wait, move |listener| {
            loop {
                let (arrival, next) = match accept(listener) {
                    Ok(None) => return Next::Wait,
                    Ok(Some(port)) => (Arrival::Port { plug, port: Box::new(port) }, None),
                    Err(error) => {
                        let why = netlab::reason(&error);
                        (Arrival::Trouble { plug, why }, Some(Next::After(REST)))
                    }
                };
                if tell.send(arrival).is_err() {
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
        let (tell, lost) = (tell.clone(), Arc::new(event()?));
        let first = if connected { Next::Wait } else { Next::After(RETRY_MIN) };
        let mut pause = RETRY_MIN;
        let lookout = Lookout::start("connection", lost.clone(), first, move |lost| {
            // Nothing to read: it is tried again.
            let _ = lost.read();
            let Some(port) = connect() else {
                let next = Next::After(pause);
                pause = (pause * 2).min(RETRY_MAX);
                return next;
            };
            pause = RETRY_MIN;
            let port = Box::new(port);
            if tell.send(Arrival::Port { plug, port }).is_ok() { Next::Wait } else { Next::End }
        })?;
        Ok(Source::Connection { lost, _lookout: lookout })
    }

    /// For what a plug without a port waits.
    pub(super) fn waits_for(&self) -> &'static str {
        match self {
            Source::Descriptor | Source::Pcap(..) => "nothing",
            Source::Device { .. } => "its device",
            Source::Listener { .. } => "clients",
            Source::Connection { .. } => "somebody who listens there",
        }
    }

    /// Whether ports may still come.
    pub(super) fn may_bring(&self) -> bool {
        !matches!(self, Source::Descriptor | Source::Pcap(..))
    }

    /// Whether its port has a receive ring of the kernel's.
    pub(super) fn has_ring(&self) -> bool {
        matches!(self, Source::Device { device: Device::Packet(_), .. })
    }

    /// What there is to tell of a port that stays.
    pub(super) fn news(&mut self) -> Option<String> {
        let Source::Pcap(status, playing) = self else { return None };
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
        let Source::Device { device, watch, index } = self else { return None };
        let concerned = *watch == by
            && match (event, *index) {
                (LinkEvent::Changed(link), None) => link.name == device.name(),
                // It went down, came up, has another name: its socket bears that.
                (LinkEvent::Changed(_), Some(_)) => false,
                (LinkEvent::Gone { index, .. }, ours) => ours == Some(*index),
                (LinkEvent::Lost, None) => true,
                (LinkEvent::Lost, Some(index)) => !device.has(index),
            };
        concerned.then_some(index)
    }

    /// A port has left: what brings it back.
    pub(super) fn left(&mut self) -> Option<Back> {
        match self {
            Source::Descriptor | Source::Pcap(..) => None,
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

/// The namespaces whose links are watched, each once.
#[derive(Default)]
pub(super) struct Watches {
    watches: Vec<(Namespace, Lookout)>,
}

impl Watches {
    /// The number of the watch of a namespace, which begins if there is none. What happens from
    /// now on is told, so list the links only then.
    pub(super) fn watch(
        &mut self,
        namespace: &Namespace,
        tell: &Sender<Arrival>,
    ) -> io::Result<usize> {
        if let Some(found) = self.watches.iter().position(|(known, _)| known == namespace) {
            return Ok(found);
        }
        let (watch, tell) = (self.watches.len(), tell.clone());
        let links = LinkWatch::open(namespace)?;
        let lookout = Lookout::start("links", links, Next::Wait, move |links| {
            loop {
                let event = match links.recv() {
                    Ok(None) => return Next::Wait,
                    Ok(Some(event)) => event,
                    // It is of no more use.
                    Err(_) => return Next::End,
                };
                if tell.send(Arrival::Link { watch, event }).is_err() {
                    return Next::End;
                }
            }
        })?;
        self.watches.push((namespace.clone(), lookout));
        Ok(watch)
    }
}

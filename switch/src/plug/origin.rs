//! What a spec became when it was opened.

use std::io;

use netlab::{Created, LinkWatch, Links, Namespace};

use super::Opened;
use crate::port::{macvtap::MacvtapConfig, packet::PacketConfig, stream::Listener, vde::Vde};

/// What became of a spec.
pub(super) struct Outcome {
    pub(super) origin: Origin,
    /// The first port, if it is there already.
    pub(super) opened: Option<Opened>,
    /// The device that was made for it.
    pub(super) made: Option<Created>,
    /// Whether that stays, once all ports have opened.
    pub(super) stays: bool,
    /// Its device, if that may go and come back.
    pub(super) device: Option<Device>,
}

/// Where a plug's ports come from.
pub(super) enum Origin {
    /// One port, once.
    Once,
    /// A network device.
    Device {
        /// The number of the watch of its namespace.
        watch: usize,
        /// That watch, if it is new.
        watched: Option<Watched>,
        /// The device's number.
        index: u32,
    },
    /// Clients.
    Stream(Listener),
    /// The same.
    Vde(Vde),
    /// A connection, made again when it is lost.
    Connection,
}

/// What tells of the links of a namespace.
pub(super) struct Watched {
    pub(super) events: LinkWatch,
    pub(super) links: Links,
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
}

/// An outcome without anything.
pub(super) const NOTHING: Outcome =
    Outcome { origin: Origin::Once, opened: None, made: None, stays: false, device: None };

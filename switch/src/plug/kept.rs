//! What the owner keeps of a plug that is open.

use netlab::Created;

use super::origin::Device;
use crate::{
    port::{packet::Taken, unix::Bound},
    topology::PortSpec,
};

/// What stays with the owner, and goes with the plug.
pub(super) struct Kept {
    pub(super) spec: PortSpec,
    pub(super) device: Option<Device>,
    /// The device that was made for it.
    pub(super) made: Option<Created>,
    /// Whether that stays once all are plugged in.
    pub(super) stays: bool,
    /// What its port took from the host, if the port is somewhere else.
    pub(super) taken: Option<Taken>,
    /// Its path in the file system, if the socket is somewhere else.
    pub(super) bound: Option<Bound>,
}

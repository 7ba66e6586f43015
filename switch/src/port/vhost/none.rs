//! What stands for virtual machines' rings in a switch that was built without them: nothing can be
//! opened.

use std::{convert::Infallible, io, os::fd::BorrowedFd, path::PathBuf};

use crate::{
    frame::{Arena, Lent, Selection},
    parcel::Parcel,
    port::{
        Port, Rx, Sent, Tx,
        unix::{Bound, SocketError},
    },
};

/// What a port for a virtual machine is to be like.
#[derive(Clone, Debug)]
pub struct VhostConfig {
    /// Where in the file system its socket is.
    pub path: PathBuf,
    /// The MTU of the port.
    pub mtu: u32,
}

/// A port that nobody has.
pub struct Vhost(Infallible);

impl Vhost {
    /// Opens none.
    ///
    /// # Errors
    ///
    /// Always, with a sentence that says why.
    pub fn open(config: &VhostConfig) -> Result<Vhost, SocketError> {
        let error = io::Error::from(io::ErrorKind::Unsupported);
        let what = "serve it: this switch was built without cargo's feature `vhost`";
        Err(SocketError::system(&config.path, what, error))
    }

    pub(crate) fn pack(self, _: &mut Parcel) -> Option<Bound> {
        match self.0 {}
    }

    pub(crate) fn unpack(_: &mut Parcel) -> io::Result<Vhost> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Tells nothing.
    pub fn status(&self) -> VhostStatus {
        match self.0 {}
    }
}

/// Tells of guests that come and go.
pub struct VhostStatus(Infallible);

impl VhostStatus {
    /// The next thing that there is to tell.
    pub fn take_news(&self) -> Option<String> {
        match self.0 {}
    }
}

/// Its receiving half.
pub struct VhostRx(Infallible);

/// Its sending half.
pub struct VhostTx(Infallible);

impl Port for Vhost {
    type Rx = VhostRx;
    type Tx = VhostTx;

    fn split(self) -> io::Result<(Vec<VhostRx>, VhostTx)> {
        match self.0 {}
    }
}

impl Rx for VhostRx {
    fn recv<'a>(&'a mut self, _: &'a mut Arena) -> io::Result<Lent<'a>> {
        match self.0 {}
    }

    fn wait_on(&self) -> Option<BorrowedFd<'_>> {
        match self.0 {}
    }
}

impl Tx for VhostTx {
    fn mtu(&self) -> u32 {
        match self.0 {}
    }

    fn clone_for(&self, _: usize) -> io::Result<VhostTx> {
        match self.0 {}
    }

    fn send(&mut self, _: Selection<'_>) -> Sent {
        match self.0 {}
    }
}

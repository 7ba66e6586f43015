//! Who opens plugs and keeps what was made for them: the process itself, or its opener.

use std::io;

use super::{
    Failure, Opened, open, opener::Opener, origin::Origin, owner::Owner, source::Reconnect,
};
use crate::topology::PortSpec;

/// Who opens plugs and keeps what was made for them.
pub(super) enum Hands {
    /// We ourselves.
    Own(Owner),
    /// A process that has the rights for it.
    Opener(Opener),
}

impl Hands {
    /// Opens the plug of this number, for who has so many watches.
    pub(super) fn open(
        &mut self,
        number: usize,
        spec: &PortSpec,
        watches: usize,
    ) -> Result<(Origin, Option<Opened>), String> {
        match self {
            Hands::Own(owner) => {
                owner.knows(watches);
                owner.open(number, spec)
            }
            Hands::Opener(opener) => opener.open(number, spec, watches),
        }
    }

    /// Opens its device again.
    pub(super) fn again(
        &mut self,
        number: usize,
        spec: &PortSpec,
    ) -> Result<(Opened, u32), String> {
        match self {
            Hands::Own(owner) => owner.again(number),
            Hands::Opener(opener) => opener.again(number, spec),
        }
    }

    /// What makes its connection again, from another thread.
    pub(super) fn reconnect(&self, number: usize, spec: &PortSpec) -> Reconnect {
        match self {
            Hands::Own(_) => Box::new(open::reconnect(spec)),
            Hands::Opener(opener) => Box::new(opener.reconnect(number, spec)),
        }
    }

    /// The plugs that would make a loop with one before them.
    pub(super) fn loops(&self) -> io::Result<Vec<Failure>> {
        match self {
            Hands::Own(owner) => owner.loops(),
            Hands::Opener(opener) => opener.loops(),
        }
    }

    /// All are plugged in.
    pub(super) fn settle(&mut self) {
        match self {
            Hands::Own(owner) => owner.settle(),
            Hands::Opener(opener) => opener.settle(),
        }
    }

    /// Removes what was made for a plug.
    pub(super) fn remove(&mut self, number: usize) {
        match self {
            Hands::Own(owner) => owner.remove(number),
            Hands::Opener(opener) => opener.remove(number),
        }
    }

    /// Whether more can be opened.
    pub(super) fn can_open(&self) -> bool {
        match self {
            Hands::Own(_) => true,
            Hands::Opener(opener) => opener.is_there(),
        }
    }
}

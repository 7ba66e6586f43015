//! The owner of what is open: it opens plugs, keeps what was made for them, and removes it with
//! them. All that takes rights is done here: by the switch itself, or by an opener.

use std::{collections::BTreeMap, io};

use netlab::Namespace;

use super::{
    Failure, Opened,
    kept::Kept,
    loops, open,
    origin::{Origin, Outcome},
};
use crate::{
    port::stream,
    topology::{PortKind, PortSpec},
};

/// All that was opened for the plugs of one switch.
#[derive(Default)]
pub(super) struct Owner {
    /// By the numbers of their plugs.
    kept: BTreeMap<usize, Kept>,
    /// The namespaces whose links are watched.
    watched: Vec<Namespace>,
}

impl Owner {
    /// Opens the plug of this number.
    ///
    /// # Errors
    ///
    /// A sentence that says what is wrong, and what helps.
    pub(super) fn open(
        &mut self,
        number: usize,
        spec: &PortSpec,
    ) -> Result<(Origin, Option<Opened>), String> {
        let Outcome { origin, opened, made, stays, device } = open::open(spec, &self.watched)?;
        if let (Origin::Device { watched: Some(_), .. }, Some(device)) = (&origin, &device) {
            self.watched.push(device.namespace().map_err(|error| netlab::reason(&error))?);
        }
        let (spec, taken, bound) = (spec.clone(), None, None);
        self.kept.insert(number, Kept { spec, device, made, stays, taken, bound });
        Ok((origin, opened))
    }

    /// Opens its device, or makes its connection, again.
    ///
    /// # Errors
    ///
    /// A sentence.
    pub(super) fn again(&mut self, number: usize) -> Result<(Opened, u32), String> {
        let Kept { spec, device, taken, .. } = self.kept.get_mut(&number).ok_or("it is gone")?;
        // The port for which it was taken is gone.
        *taken = None;
        match (&spec.kind, device) {
            (_, Some(device)) => open::open_device(spec, device),
            (PortKind::Stream(stream), None) if stream.connect => {
                let port = stream::connect(&open::stream_config(spec, stream));
                let port = port.map_err(|error| error.to_string())?.into();
                let (config, done, warnings) = (open::config_of(spec), String::new(), Vec::new());
                Ok((Opened { config, port, done, warnings }, 0))
            }
            _ => Err("it is no device".to_owned()),
        }
    }

    /// The plugs that would make a loop with one before them.
    pub(super) fn loops(&self) -> io::Result<Vec<Failure>> {
        loops::find(self.kept.values())
    }

    /// All are plugged in: what is to stay stays.
    pub(super) fn settle(&mut self) {
        for kept in self.kept.values_mut().filter(|kept| kept.stays) {
            if let Some(made) = kept.made.take() {
                made.keep();
            }
        }
    }

    /// Removes what was made for a plug.
    pub(super) fn remove(&mut self, number: usize) {
        self.kept.remove(&number);
    }

    /// Whoever waits knows so many watches: if there was one more, it never came there.
    pub(super) fn knows(&mut self, watches: usize) {
        self.watched.truncate(watches);
    }

    /// For how many plugs something is kept.
    pub(super) fn count(&self) -> usize {
        self.kept.len()
    }

    /// What is kept for a plug.
    pub(super) fn kept(&mut self, number: usize) -> Option<&mut Kept> {
        self.kept.get_mut(&number)
    }

    /// Lets all stay as it is, for ever.
    pub(super) fn leave(self) {
        for kept in self.kept.into_values() {
            if let Some(made) = kept.made {
                made.keep();
            }
            std::mem::forget((kept.taken, kept.bound));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn watch_that_never_came_there_is_opened_again_and_others_are_not() {
        let watched = vec![Namespace::current().unwrap()];
        let mut owner = Owner { watched, ..Owner::default() };
        owner.knows(1);
        assert_eq!(owner.watched.len(), 1);
        owner.knows(usize::MAX);
        assert_eq!(owner.watched.len(), 1);
        owner.knows(0);
        assert!(owner.watched.is_empty());
    }
}

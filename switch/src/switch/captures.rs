//! The switch's captures: they begin and end while frames flow, and ports come into them and leave
//! them as they come into the switch and leave it.

use std::io;

use crate::{
    capture::{self, CAPTURES_MAX, Capture, Recording, Wants},
    port::{Port, PortId},
    run::Command,
};

use super::Handle;

/// Those that run, and how many there were.
#[derive(Default)]
pub(super) struct Captures {
    recordings: Vec<Recording>,
    next: u64,
}

impl<P: Port> Handle<P> {
    /// Begins a capture: from now on frames that are wanted are written down, of ports that come
    /// later too. Allocates the memory that it will need, and waits until every worker has seen it.
    ///
    /// # Errors
    ///
    /// There are [`CAPTURES_MAX`] already.
    pub fn capture(&mut self, wants: Wants) -> io::Result<Capture> {
        if self.captures.recordings.len() >= CAPTURES_MAX {
            let text = format!("{CAPTURES_MAX} captures are running, and that is all");
            return Err(io::Error::new(io::ErrorKind::QuotaExceeded, text));
        }
        let number = self.captures.next;
        self.captures.next += 1;
        let (recording, capture, recorders) = capture::begin(number, wants, self.workers.len());
        for (worker, recorder) in self.workers.iter().zip(recorders) {
            worker.tell(Command::Record(Box::new(recorder)));
        }
        self.captures.recordings.push(recording);
        let ports = (0..self.ports.len()).map(PortId::new);
        ports.for_each(|port| self.show_to(number, port));
        self.finish();
        Ok(capture)
    }

    /// Ends a capture. What was written down can still be read; then [`Capture::drain`] says that
    /// there is no more.
    pub fn end_capture(&mut self, number: u64) {
        self.captures.recordings.retain(|recording| recording.number != number);
        for worker in &self.workers {
            worker.tell(Command::EndRecord { capture: number });
        }
    }

    /// A port has come: to be called before it is served.
    pub(super) fn show_to_all(&mut self, port: PortId) {
        let numbers: Vec<_> = self.captures.recordings.iter().map(|r| r.number).collect();
        numbers.into_iter().for_each(|number| self.show_to(number, port));
    }

    /// Lets a capture see a port, if it is there and wanted.
    fn show_to(&mut self, number: u64, port: PortId) {
        let Some(Some(attached)) = self.ports.get(port.index()) else { return };
        let mut recordings = self.captures.recordings.iter_mut();
        let recording = recordings.find(|recording| recording.number == number);
        let interface = recording.and_then(|recording| recording.interface(&attached.name));
        let Some(interface) = interface else { return };
        for worker in &self.workers {
            worker.tell(Command::RecordPort { capture: number, port, interface });
        }
    }
}

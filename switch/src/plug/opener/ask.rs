//! What the switch asks its opener, and what it makes of the answers. It has no right to anything
//! of this: descriptors come by the socket.

mod unpack;

use std::{
    io::{self, ErrorKind},
    os::fd::{AsFd, OwnedFd},
    sync::{Arc, Mutex, PoisonError},
};

use netlab::Links;

use self::unpack::{unpack, unpack_opened};
use super::{AGAIN, BOUND, DONE, LINKS, LOOPS, OPEN, Opener, REFUSED, REMOVE, SETTLE, reason};
use crate::{
    parcel::{Parcel, wrong},
    plug::{Failure, Opened, open, origin::Origin},
    port::{any::AnyPort, tap::AskLinks},
    topology::{PortKind, PortSpec},
};

const GONE: &str = "the opener has ended, so that no port can be opened any more: start the switch \
                    again";
const LEFT: &str = "the opener was sent away (`--no-opener`), so the ports are fixed: start the \
                    switch anew with this one";
const FULL: &str = "what the opener sent did not arrive whole: the switch has no descriptor left \
                    for it (`ulimit -n`)";
const VDE_LATE: &str = "a folder for VDE can be had from the start only, for its sockets are made \
                        by the switch, which has no right to other folders any more";

impl Opener {
    /// Says where files and sockets may be opened, once.
    pub(super) fn bound(&self, ports: &[PortSpec], below: &[String]) -> Result<(), String> {
        let mut request = Parcel::default();
        request.put_number(ports.len() as u64);
        ports.iter().for_each(|port| request.put_text(&port.to_string()));
        request.put_number(below.len() as u64);
        below.iter().for_each(|folder| request.put_text(folder));
        self.line.ask(BOUND, request).map(drop)
    }

    /// Opens the plug of this number.
    pub(in crate::plug) fn open(
        &mut self,
        number: usize,
        spec: &PortSpec,
        watches: usize,
    ) -> Result<(Origin, Option<Opened>), String> {
        if matches!(spec.kind, PortKind::Vde(_)) {
            if self.settled {
                return Err(VDE_LATE.to_owned());
            }
            let outcome = open::open(spec, &[])?;
            return Ok((outcome.origin, None));
        }
        let mut request = Parcel::default();
        request.put_number(number as u64);
        request.put_text(&spec.to_string());
        request.put_number(watches as u64);
        let mut answer = self.line.ask(OPEN, request)?;
        unpack(&mut answer, spec, &self.line.asker())
    }

    /// Opens its device again.
    pub(in crate::plug) fn again(
        &self,
        number: usize,
        spec: &PortSpec,
    ) -> Result<(Opened, u32), String> {
        again(&self.line, number, spec)
    }

    /// What makes its connection again.
    pub(in crate::plug) fn reconnect(
        &self,
        number: usize,
        spec: &PortSpec,
    ) -> impl Fn() -> Option<AnyPort> + Send + use<> {
        let (line, spec) = (self.line.clone(), spec.clone());
        move || again(&line, number, &spec).ok().map(|(opened, _)| opened.port)
    }

    /// The plugs that would make a loop with one before them.
    pub(in crate::plug) fn loops(&self) -> io::Result<Vec<Failure>> {
        let mut answer = self.line.ask(LOOPS, Parcel::default()).map_err(io::Error::other)?;
        let count = answer.take_number()?;
        let failure = |_| Ok(Failure { name: answer.take_text()?, why: answer.take_text()? });
        (0..count).map(failure).collect()
    }

    /// The ports of the start are there.
    pub(in crate::plug) fn settle(&mut self) {
        self.settled = true;
        // If it has ended, whoever wants a port is told.
        let _ = self.line.ask(SETTLE, Parcel::default());
    }

    /// Removes what was made for a plug.
    pub(in crate::plug) fn remove(&self, number: usize) {
        let mut request = Parcel::default();
        request.put_number(number as u64);
        // It has ended: then it has removed all.
        let _ = self.line.ask(REMOVE, request);
    }
}

/// The socket to the opener; `None`: it was sent away.
pub(super) struct Line(pub(super) Mutex<Option<OwnedFd>>);

impl Line {
    pub(super) fn lock(&self) -> std::sync::MutexGuard<'_, Option<OwnedFd>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What asks for the links of a TAP.
    fn asker(self: &Arc<Line>) -> AskLinks {
        let line = self.clone();
        Arc::new(move |tap| {
            let mut request = Parcel::default();
            request.put_fd(tap.try_clone_to_owned()?);
            let mut answer = line.ask(LINKS, request).map_err(io::Error::other)?;
            Ok(Links::from_fd(answer.take_fd()?))
        })
    }

    /// Asks, and waits for the answer.
    fn ask(&self, what: u64, with: Parcel) -> Result<Parcel, String> {
        let socket = self.lock();
        let socket = socket.as_ref().ok_or(LEFT)?.as_fd();
        let sent = with.headed(what).send(socket);
        let answer = match sent.and_then(|()| Parcel::recv(socket)) {
            Err(error) if error.kind() == ErrorKind::InvalidData => return Err(FULL.to_owned()),
            answer => answer.ok().flatten(),
        };
        let mut answer = answer.ok_or(GONE)?;
        match answer.take_number() {
            Ok(DONE) => Ok(answer),
            Ok(REFUSED) => Err(answer.take_text().unwrap_or_else(|_| GONE.to_owned())),
            _ => Err(reason(wrong())),
        }
    }
}

fn again(line: &Arc<Line>, number: usize, spec: &PortSpec) -> Result<(Opened, u32), String> {
    let mut request = Parcel::default();
    request.put_number(number as u64);
    let mut answer = line.ask(AGAIN, request)?;
    let index = answer.take_number().map_err(reason)? as u32;
    let opened = unpack_opened(&mut answer, spec, &line.asker()).map_err(reason)?;
    opened.map(|opened| (opened, index)).ok_or_else(|| reason(wrong()))
}

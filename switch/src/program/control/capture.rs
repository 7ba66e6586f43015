//! `capture` on the control socket: the answer is a line like any other, and behind it the
//! connection is no more one of lines but a capture, pcapng, until its client closes its side of it
//! or the switch ends. Then what is in the rings still comes, and the counts.
//!
//! Each capture has a thread here, which reads the rings and writes to the socket. It looks from
//! time to time, for to be woken would cost the workers a system call. A client that does not read
//! makes the thread wait and the rings run full, and nothing else.

use std::{
    io::{ErrorKind, Read, Write},
    os::{fd::AsFd, unix::net::UnixStream},
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, Sender, bounded};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use uswitch::{
    capture::{
        CAPTURES_MAX, Capture, NAMES_MAX, SNAPLEN_MAX, Wants,
        filter::{Filter, Instruction},
    },
    port::any::AnyPort,
    switch::Handle,
};

use super::{
    Steered,
    request::{Request, answer_line},
};

/// How often the rings are looked at when they were empty.
const LOOK_INTERVAL_MS: u16 = 10;
/// Octets that wait for the client before no more is taken out of the rings.
const WAITING_MAX: usize = 256 << 10;
/// How long a client that does not read is waited for when all is over.
const END_PATIENCE: Duration = Duration::from_secs(2);

/// The captures of a program.
pub(crate) struct Captures {
    threads: Vec<JoinHandle<()>>,
    tell: Sender<u64>,
    /// The numbers of those whose client has had enough. For `select`, too.
    pub(crate) ended: Receiver<u64>,
}

impl Captures {
    /// None yet.
    pub(crate) fn new() -> Captures {
        let (tell, ended) = bounded(2 * CAPTURES_MAX);
        Captures { threads: Vec::new(), tell, ended }
    }

    /// Ends those whose client has had enough.
    pub(crate) fn tend(&mut self, handle: &mut Handle<AnyPort>) {
        self.ended.try_iter().for_each(|number| handle.end_capture(number));
        self.threads.retain(|thread| !thread.is_finished());
    }

    /// Waits until all have written what they had, or their clients do not read. To be called when
    /// the workers have ended.
    pub(crate) fn join(&mut self) {
        for thread in self.threads.drain(..) {
            // Its panic has been printed.
            let _ = thread.join();
        }
    }
}

impl Steered<'_> {
    /// Begins a capture for the client at the other end, or tells it why not.
    pub(crate) fn capture(&mut self, request: &Request, mut socket: UnixStream) {
        let begun = self.wants(request).and_then(|wants| {
            let capture = self.handle.capture(wants).map_err(|error| error.to_string())?;
            let number = capture.number();
            let stream = socket.try_clone().map_err(|error| netlab::reason(&error));
            let spawned = stream.and_then(|socket| {
                let output = answer_line(&Ok("{}".to_owned())).into_bytes();
                let tell = self.captures.tell.clone();
                let stream = Stream { capture, socket, output, tell: Some(tell) };
                let named = thread::Builder::new().name("capture".to_owned());
                named.spawn(move || stream.run()).map_err(|error| netlab::reason(&error))
            });
            match spawned {
                Ok(thread) => self.captures.threads.push(thread),
                Err(why) => {
                    self.handle.end_capture(number);
                    return Err(format!("there is no capture: {why}"));
                }
            }
            Ok(())
        });
        if let Err(why) = begun {
            // It is one short line: if there is no room for it, nobody has read for long.
            let _ = socket.write(answer_line(&Err(why)).as_bytes());
        }
    }

    fn wants(&self, request: &Request) -> Result<Wants, String> {
        let Request::Capture { ports, drops, snaplen, filter } = request else {
            return Err("this is no capture".to_owned());
        };
        if ports.len() > NAMES_MAX {
            return Err(format!("{NAMES_MAX} ports can be named; without a name it is all ports"));
        }
        ports.iter().try_for_each(|port| self.check_port(port))?;
        let snaplen = match snaplen {
            None | Some(0) => SNAPLEN_MAX,
            Some(octets) if *octets <= SNAPLEN_MAX => *octets,
            Some(octets) => {
                return Err(format!("snaplen {octets} is more than {SNAPLEN_MAX}"));
            }
        };
        let filter = filter.as_ref().map(|program| {
            let program: Option<Vec<_>> = program.iter().map(instruction).collect();
            let program = program.ok_or("filter: a number is too large")?;
            let filter = Filter::new(&program).map_err(|error| format!("filter: {error}"))?;
            Ok::<_, String>(Arc::new(filter))
        });
        let filter = filter.transpose()?;
        Ok(Wants { ports: ports.clone(), drops: *drops, filter, snaplen })
    }
}

fn instruction([code, jt, jf, k]: &[u32; 4]) -> Option<Instruction> {
    Some(Instruction {
        code: u16::try_from(*code).ok()?,
        jt: u8::try_from(*jt).ok()?,
        jf: u8::try_from(*jf).ok()?,
        k: *k,
    })
}

/// A capture on its way to a client.
struct Stream {
    capture: Capture,
    /// Does not block.
    socket: UnixStream,
    /// What is to be written.
    output: Vec<u8>,
    /// Who is to be told that the client has had enough. `None`: it was.
    tell: Option<Sender<u64>>,
}

impl Stream {
    fn run(mut self) {
        let mut since = Instant::now();
        loop {
            let more = self.capture.drain(&mut self.output, WAITING_MAX);
            if !more {
                break;
            }
            let Some(written) = self.write() else { return };
            if written > 0 {
                since = Instant::now();
            }
            if self.capture.is_open() {
                since = Instant::now();
            } else if since.elapsed() > END_PATIENCE {
                return;
            }
            // Where something was, there is more by now.
            let interval = if written > 0 { 0 } else { LOOK_INTERVAL_MS };
            if !self.wait(interval) {
                return;
            }
        }
        self.capture.finish(&mut self.output);
        while let Some(written) = self.write()
            && !self.output.is_empty()
        {
            if written > 0 {
                since = Instant::now();
            }
            if since.elapsed() > END_PATIENCE || !self.wait(LOOK_INTERVAL_MS) {
                return;
            }
        }
    }

    /// Writes as much as there is room for, and says how much. `None`: nobody will read it.
    fn write(&mut self) -> Option<usize> {
        let mut written = 0;
        while written < self.output.len() {
            match self.socket.write(&self.output[written..]) {
                Ok(len) => written += len,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(_) => return None,
            }
        }
        self.output.drain(..written);
        Some(written)
    }

    /// Waits until something can be written, or it is time to look again. `false`: the client has
    /// gone.
    fn wait(&mut self, interval_ms: u16) -> bool {
        let mut flags = PollFlags::empty();
        // That it has closed its side is always ready: once heard, it is not listened for.
        flags.set(PollFlags::POLLIN, self.tell.is_some());
        flags.set(PollFlags::POLLOUT, !self.output.is_empty());
        let mut polled = [PollFd::new(self.socket.as_fd(), flags)];
        // Fails when a signal comes: then it is looked again.
        let _ = poll(&mut polled, PollTimeout::from(interval_ms));
        let found = polled[0].revents().unwrap_or(PollFlags::empty());
        if found.intersects(PollFlags::POLLHUP | PollFlags::POLLERR) {
            return false;
        }
        if found.contains(PollFlags::POLLIN) {
            match self.socket.read(&mut [0; 64]) {
                // What it says is for nobody.
                Ok(1..) => {}
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                Ok(0) | Err(_) => self.end(),
            }
        }
        true
    }

    /// The client has had enough: the workers are to write no more.
    fn end(&mut self) {
        if let Some(tell) = self.tell.take() {
            // There is room for all captures. If the loop has ended, so have the workers.
            let _ = tell.try_send(self.capture.number());
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.end();
    }
}

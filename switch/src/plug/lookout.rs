//! A lookout: a thread that waits for a descriptor on behalf of the control thread, and may try
//! something again after a while. It ends when it is dropped: also when it has something to tell
//! for which there is no room, as nobody makes room while he waits for it to end.

use std::{
    io,
    os::fd::AsFd,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use crossbeam_channel::{Receiver, Sender, bounded, select};
use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::eventfd::{EfdFlags, EventFd},
};

/// What a lookout does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// It waits until its descriptor is readable.
    Wait,
    /// It looks again after this time, readable or not.
    After(Duration),
    /// It ends: nobody listens any more.
    End,
}

/// The control thread's hold on a lookout.
pub(super) struct Lookout {
    stop: Arc<EventFd>,
    /// Nothing is ever sent: that it goes says it.
    alive: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// By which the thread of a lookout tells what it has found.
pub(super) struct Teller<T> {
    tell: Sender<T>,
    alive: Receiver<()>,
}

impl<T> Teller<T> {
    /// Tells this when there is room. `false`: nobody listens any more.
    pub(super) fn tell(&self, found: T) -> bool {
        select! {
            send(self.tell, found) -> told => told.is_ok(),
            recv(self.alive) -> _ => false,
        }
    }
}

impl Lookout {
    /// Starts one, which tells `tell`. `look` is called with what it watches: at once if `first` is
    /// `After(ZERO)`.
    pub(super) fn start<S: AsFd + Send + 'static, T: Send + 'static>(
        name: &str,
        mut source: S,
        first: Next,
        tell: &Sender<T>,
        mut look: impl FnMut(&mut S, &Teller<T>) -> Next + Send + 'static,
    ) -> io::Result<Lookout> {
        let stop = Arc::new(event()?);
        let stopped = stop.clone();
        let (lives, alive) = bounded(0);
        let teller = Teller { tell: tell.clone(), alive };
        let thread = thread::Builder::new().name(name.into()).spawn(move || {
            let mut next = first;
            while next != Next::End && wait(&stopped, &source, next) {
                next = look(&mut source, &teller);
            }
        })?;
        Ok(Lookout { stop, alive: Some(lives), thread: Some(thread) })
    }
}

impl Drop for Lookout {
    fn drop(&mut self) {
        // Fails only when it has been written 2^64 - 2 times: it is readable then.
        let _ = self.stop.write(1);
        self.alive = None;
        if let Some(thread) = self.thread.take() {
            // Its panic has been printed.
            let _ = thread.join();
        }
    }
}

/// An eventfd by which a thread is told something.
pub(super) fn event() -> io::Result<EventFd> {
    Ok(EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?)
}

/// Waits for what is next. `false`: it is to stop.
fn wait(stop: &EventFd, source: &impl AsFd, next: Next) -> bool {
    let readable = |fd| PollFd::new(fd, PollFlags::POLLIN);
    let mut both = [readable(stop.as_fd()), readable(source.as_fd())];
    let (watched, timeout) = match next {
        Next::After(time) => {
            (&mut both[..1], PollTimeout::try_from(time).unwrap_or(PollTimeout::MAX))
        }
        _ => (&mut both[..], PollTimeout::NONE),
    };
    // EINTR: a look too early finds nothing.
    let _ = poll(watched, timeout);
    !watched[0].any().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use crossbeam_channel::bounded;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    #[test]
    fn it_looks_when_its_descriptor_is_readable_and_ends_when_it_is_dropped() {
        let source = Arc::new(event().unwrap());
        let (tell, told) = bounded(1);
        let watched = source.clone();
        let lookout = Lookout::start("test", watched, Next::Wait, &tell, |source, teller| {
            assert!(teller.tell(source.read().unwrap()));
            Next::Wait
        })
        .unwrap();
        drop(tell);
        source.write(3).unwrap();
        assert_eq!(told.recv_timeout(PATIENCE), Ok(3));
        drop(lookout);
        assert!(told.recv_timeout(PATIENCE).is_err(), "its thread has ended");
    }

    #[test]
    fn it_looks_again_after_a_while_though_nothing_is_readable() {
        let (tell, told) = bounded(1);
        let mut looks = 0;
        let first = Next::After(Duration::ZERO);
        let source = event().unwrap();
        let _lookout = Lookout::start("test", source, first, &tell, move |_, teller| {
            looks += 1;
            match looks {
                3 => {
                    assert!(teller.tell(looks));
                    Next::End
                }
                _ => Next::After(Duration::from_millis(1)),
            }
        })
        .unwrap();
        assert_eq!(told.recv_timeout(PATIENCE), Ok(3));
    }

    #[test]
    fn it_ends_when_it_is_dropped_though_there_is_no_room_for_what_it_tells() {
        let (tell, told) = bounded(1);
        let source = event().unwrap();
        let first = Next::After(Duration::ZERO);
        let (begin, begun) = bounded(1);
        let lookout = Lookout::start("test", source, first, &tell, move |_, teller| {
            assert!(teller.tell(1), "there is room for one");
            begin.send(()).unwrap();
            if teller.tell(2) { Next::Wait } else { Next::End }
        });
        begun.recv_timeout(PATIENCE).unwrap();
        drop(lookout.unwrap());
        assert_eq!(told.try_iter().collect::<Vec<_>>(), [1], "the second found nobody");
    }
}

//! What a worker sleeps on: its queues and its bell.
//!
//! An epoll stands in the kernel's list of those to be woken as long as it is there, so that for
//! each frame that comes, also while the worker is at work, the sender's processor looks whether it
//! is to be woken: some 100 ns a frame. poll(2) stands there only while it sleeps, and takes longer
//! the more it is to look at. So a few queues are waited for by poll, more by epoll.
//!
//! Neither is called by libc, for the reason that is told at [`sys::read`](crate::sys::read):
//! epoll_wait takes 450 ns there with a descriptor that is ready, 308 ns here.

use std::{io, mem::MaybeUninit, os::fd::BorrowedFd, time::Duration};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};

use crate::{port::Port, worker::Worker};

/// Queues that are waited for by poll.
const POLLED_MAX: usize = 4;
/// Events that one wait takes of an epoll: a queue that did not get in comes in the next round.
const EVENTS_MAX: usize = 64;
/// The number of the bell among those of the queues.
const BELL: u64 = u64::MAX;

/// The queues that are waited for.
pub(super) struct Waiting {
    queues: Vec<usize>,
    /// It has the bell, and the queues while they are more than [`POLLED_MAX`].
    epoll: Epoll,
}

impl Waiting {
    /// For nothing yet but the bell.
    pub(super) fn new(bell: BorrowedFd<'_>) -> io::Result<Waiting> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(bell, EpollEvent::new(EpollFlags::EPOLLIN, BELL))?;
        Ok(Waiting { queues: Vec::new(), epoll })
    }

    /// Waits for this queue as well, from now on.
    pub(super) fn add<P: Port>(&mut self, worker: &Worker<P>, queue: usize) {
        self.queues.push(queue);
        match self.queues.len() {
            ..=POLLED_MAX => {}
            len if len == POLLED_MAX + 1 => {
                self.queues.iter().for_each(|queue| self.listen(worker, *queue));
            }
            _ => self.listen(worker, queue),
        }
    }

    /// Waits for it no longer. Others may hold its descriptor, so closing is not enough.
    pub(super) fn remove<P: Port>(&mut self, worker: &Worker<P>, queue: usize) {
        let Some(place) = self.queues.iter().position(|other| *other == queue) else { return };
        match self.queues.len() {
            ..=POLLED_MAX => {}
            len if len == POLLED_MAX + 1 => {
                self.queues.iter().for_each(|queue| self.ignore(worker, *queue));
            }
            _ => self.ignore(worker, queue),
        }
        self.queues.swap_remove(place);
    }

    fn listen<P: Port>(&self, worker: &Worker<P>, queue: usize) {
        let fd = worker.wait_on(queue).expect("what is waited for has a descriptor");
        let event = EpollEvent::new(EpollFlags::EPOLLIN, queue as u64);
        self.epoll.add(fd, event).expect("a descriptor that epoll has not got yet");
    }

    fn ignore<P: Port>(&self, worker: &Worker<P>, queue: usize) {
        let fd = worker.wait_on(queue).expect("what is waited for has a descriptor");
        self.epoll.delete(fd).expect("a descriptor that epoll has");
    }

    /// Sleeps until a queue is ready, the bell rings or the time is over, and puts the queues that
    /// are `ready` there. `None`: no end of time. Returns whether the bell rang.
    pub(super) fn wait<P: Port>(
        &self,
        worker: &Worker<P>,
        bell: BorrowedFd<'_>,
        timeout: Option<Duration>,
        ready: &mut Vec<usize>,
    ) -> bool {
        let timeout = timeout.map(|time| Timespec::try_from(time).expect("a short time"));
        if self.queues.len() > POLLED_MAX {
            let mut events = [MaybeUninit::uninit(); EVENTS_MAX];
            // EINTR is the one error that can be met here, and the next round waits again.
            let Ok((events, _)) = epoll::wait(&self.epoll.0, &mut events, timeout.as_ref()) else {
                return false;
            };
            let numbers = events.iter().map(|event| event.data.u64());
            ready.extend(numbers.clone().filter(|data| *data != BELL).map(|data| data as usize));
            return { numbers }.any(|data| data == BELL);
        }
        let mut fds: [PollFd<'_>; POLLED_MAX + 1] = std::array::from_fn(|index| {
            let queue = self.queues.get(index).and_then(|queue| worker.wait_on(*queue));
            PollFd::from_borrowed_fd(queue.unwrap_or(bell), PollFlags::IN)
        });
        let fds = &mut fds[..=self.queues.len()];
        if poll(fds, timeout.as_ref()).is_err() {
            return false;
        }
        let (bell, fds) = fds.split_last().expect("the bell is there");
        let queues = fds.iter().zip(&self.queues).filter(|(fd, _)| !fd.revents().is_empty());
        ready.extend(queues.map(|(_, queue)| *queue));
        !bell.revents().is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        os::fd::{AsFd, OwnedFd},
        sync::Arc,
    };

    use nix::{
        sys::{
            eventfd::{EfdFlags, EventFd},
            socket::{AddressFamily, SockFlag, SockType, socketpair},
        },
        unistd::{read, write},
    };

    use super::*;
    use crate::{
        bridge::{Bridge, BridgeId, GroupForward},
        fdb::{Fdb, FdbConfig},
        port::{PortId, datagram::Datagram},
        stats::PortCounters,
    };

    /// A worker with a queue of so many ports, and the other ends of their cables.
    fn worker(ports: usize) -> (Worker<Datagram>, Vec<OwnedFd>) {
        let fdb = Arc::new(Fdb::new(&FdbConfig::default()));
        let mut worker = Worker::new(Bridge::new(fdb, GroupForward::Standard));
        let far = (0..ports).map(|index| {
            let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
            let kind = (AddressFamily::Unix, SockType::SeqPacket);
            let (near, far) = socketpair(kind.0, kind.1, None, flags).unwrap();
            let (mut rx, _tx) = Datagram::new(near, 1500).split().unwrap();
            let counters = Arc::new(PortCounters::default());
            let rx = rx.remove(0);
            let queue = worker.receive(PortId::new(index), BridgeId::FIRST, rx, counters);
            assert_eq!(queue, index);
            far
        });
        let far = far.collect();
        (worker, far)
    }

    #[test]
    fn ready_queues_are_found_whether_they_are_few_or_many() {
        const MOST: usize = POLLED_MAX + 3;
        let (worker, far) = worker(MOST);
        let bell = EventFd::from_flags(EfdFlags::EFD_NONBLOCK).unwrap();
        let mut waiting = Waiting::new(bell.as_fd()).unwrap();
        let found = |waiting: &Waiting| {
            let mut ready = Vec::new();
            let rung = waiting.wait(&worker, bell.as_fd(), Some(Duration::ZERO), &mut ready);
            ready.sort_unstable();
            (rung, ready)
        };
        // All are ready from the beginning; those that are waited for are found, and no others.
        for end in &far {
            write(end, b"a frame").unwrap();
        }
        for count in 1..=MOST {
            waiting.add(&worker, count - 1);
            assert_eq!(found(&waiting), (false, (0..count).collect()), "{count} of them");
        }
        bell.write(1).unwrap();
        assert_eq!(found(&waiting), (true, (0..MOST).collect()));
        for first in 1..=MOST {
            waiting.remove(&worker, first - 1);
            waiting.remove(&worker, first - 1);
            assert_eq!(found(&waiting), (true, (first..MOST).collect()), "without {first}");
        }
        // What is given a turn is ready no longer, by poll and by epoll.
        bell.read().unwrap();
        for count in 1..=MOST {
            waiting.add(&worker, count - 1);
            read(worker.wait_on(count - 1).unwrap(), &mut [0; 100]).unwrap();
            assert_eq!(found(&waiting), (false, vec![]), "{count} of them");
            write(&far[count / 2], b"another").unwrap();
            assert_eq!(found(&waiting), (false, vec![count / 2]));
            read(worker.wait_on(count / 2).unwrap(), &mut [0; 100]).unwrap();
        }
    }
}

//! The thread of the metrics: it takes clients in, reads their requests, asks the control loop for
//! a snapshot and writes out what it gives. Nobody waits for it.

use std::{
    collections::BTreeMap,
    io::{self, ErrorKind},
    os::fd::AsFd,
    sync::Arc,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, Sender, TryRecvError};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::eventfd::EventFd,
};

use super::{
    CLIENTS_MAX, Listener, Snapshot,
    client::Client,
    page::{Page, Process},
    request::Status,
    totals::Totals,
};

/// How long nobody is taken in when the process has no descriptor left.
const REST: Duration = Duration::from_secs(1);

/// The server of the metrics.
pub(super) struct Server {
    pub(super) listener: Listener,
    pub(super) wanted: Sender<()>,
    pub(super) snapshots: Receiver<Snapshot>,
    /// Rung when there is a snapshot, or at the end.
    pub(super) bell: Arc<EventFd>,
    /// By the order in which they came.
    pub(super) clients: BTreeMap<u64, Client>,
    pub(super) next: u64,
    /// A snapshot is on its way.
    pub(super) asked: bool,
    /// Until when nobody is taken in.
    pub(super) rests_until: Option<Instant>,
    pub(super) totals: Totals,
    pub(super) process: Process,
}

impl Server {
    /// Serves until nobody gives snapshots any more.
    pub(super) fn run(mut self) {
        while self.hear() {
            if !self.asked && self.clients.values().any(Client::waits) {
                // There is room: nothing else is asked.
                self.asked = self.wanted.try_send(()).is_ok();
            }
            let now = Instant::now();
            for client in self.clients.values_mut() {
                if client.deadline().is_some_and(|deadline| deadline <= now) {
                    client.dismiss(now);
                }
            }
            self.clients.retain(|_, client| !client.is_gone());
            if self.wait(now).is_err() {
                return;
            }
        }
    }

    /// Writes out the snapshot that has come. `false`: the control loop has ended.
    fn hear(&mut self) -> bool {
        // Nothing to read: it was rung for something that has been heard since.
        let _ = self.bell.read();
        match self.snapshots.try_recv() {
            Ok(snapshot) => {
                self.asked = false;
                let page = Page::new(&snapshot, &mut self.totals, &self.process);
                let texts = page.render().map(Arc::from);
                let now = Instant::now();
                self.clients.values_mut().for_each(|client| client.tell(&texts, now));
                true
            }
            Err(TryRecvError::Empty) => true,
            Err(TryRecvError::Disconnected) => false,
        }
    }

    /// Waits until something happens, goes on with everybody and takes in who is at the door.
    fn wait(&mut self, now: Instant) -> io::Result<()> {
        let mut waits = vec![PollFd::new(self.bell.as_fd(), PollFlags::POLLIN)];
        self.rests_until = self.rests_until.filter(|until| *until > now);
        let door = if self.rests_until.is_some() { PollFlags::empty() } else { PollFlags::POLLIN };
        waits.push(PollFd::new(self.listener.as_fd(), door));
        let interested = self.clients.iter().filter_map(|(number, client)| {
            Some((*number, PollFd::new(client.as_fd(), client.interest()?)))
        });
        let (numbers, polled): (Vec<_>, Vec<_>) = interested.unzip();
        waits.extend(polled);
        let deadlines = self.clients.values().filter_map(Client::deadline);
        let timeout = match deadlines.chain(self.rests_until).min() {
            // A millisecond more: rounded down, it would wake before the time.
            Some(then) => {
                let millis = then.saturating_duration_since(now).as_millis() + 1;
                PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX)
            }
            None => PollTimeout::NONE,
        };
        match poll(&mut waits, timeout) {
            Ok(_) => {}
            Err(Errno::EINTR) => return Ok(()),
            Err(errno) => return Err(errno.into()),
        }
        let found: Vec<_> = waits.iter().map(|wait| wait.any().unwrap_or(true)).collect();
        let now = Instant::now();
        for (number, found) in numbers.into_iter().zip(&found[2..]) {
            if let Some(client) = self.clients.get_mut(&number).filter(|_| *found) {
                client.go_on(now);
            }
        }
        if found[1] {
            self.admit(now);
        }
        Ok(())
    }

    /// Takes in who is at the door.
    fn admit(&mut self, now: Instant) {
        // No more at a time than could stay.
        for _ in 0..CLIENTS_MAX {
            let socket = match self.listener.accept() {
                Ok(socket) => socket,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return,
                // The client has left already.
                Err(e) if e.kind() == ErrorKind::ConnectionAborted => continue,
                Err(_) => {
                    self.rests_until = Some(now + REST);
                    return;
                }
            };
            let mut client = Client::new(socket, now);
            if self.clients.len() >= CLIENTS_MAX && !self.make_room() {
                client.refuse(Status::Unavailable, "too many are being answered", now);
                continue;
            }
            self.clients.insert(self.next, client);
            self.next += 1;
        }
    }

    /// Lets the one go that has been here for longest of those to whom nothing is owed: who means
    /// it has asked at once, and has read his answer.
    fn make_room(&mut self) -> bool {
        let idle =
            self.clients.iter().find(|(_, client)| client.may_go()).map(|(number, _)| *number);
        idle.is_some_and(|number| self.clients.remove(&number).is_some())
    }
}

//! The thread of the control socket: it takes clients in, reads their lines, passes their requests
//! to the control loop and writes what comes of them. It owns nothing that forwards, and nobody
//! waits for it: requests, answers and events go by bounded channels.

use std::{
    collections::BTreeMap,
    io::{self, ErrorKind},
    os::{
        fd::AsFd,
        unix::net::{UnixListener, UnixStream},
    },
    sync::Arc,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, Sender, TryRecvError};
use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        eventfd::EventFd,
        socket::{getsockopt, sockopt::PeerCredentials},
    },
    unistd::{Gid, geteuid},
};
use uswitch::{port::unix::Bound, sys};

use super::{
    Asked, CLIENTS_MAX, Line, REQUESTS_MAX, Topic,
    client::{Client, Listens},
    request::{Refused, Request, answer_line},
};

/// How long nobody is taken in when the process has no descriptor left.
const REST: Duration = Duration::from_secs(1);

/// The server of one control socket.
pub(super) struct Server {
    pub(super) listener: UnixListener,
    pub(super) _bound: Bound,
    /// Who may connect beside root and our own user.
    pub(super) group: Option<Gid>,
    pub(super) requests: Sender<Asked>,
    pub(super) answers: Receiver<Line>,
    pub(super) events: Receiver<(Topic, String)>,
    /// Lent to each client that listens for stations.
    pub(super) listeners: Arc<()>,
    /// Rung when there is an answer or an event, or at the end.
    pub(super) bell: Arc<EventFd>,
    pub(super) clients: BTreeMap<u64, Client>,
    /// The number of the next client, which no other ever has.
    pub(super) next: u64,
    /// Requests that the control loop has, those of clients included that have gone since.
    pub(super) outstanding: usize,
    /// Until when nobody is taken in.
    pub(super) rests_until: Option<Instant>,
}

impl Server {
    /// Serves until nobody can answer any more.
    pub(super) fn run(mut self) {
        while self.hear() {
            self.take_lines();
            let now = Instant::now();
            for client in self.clients.values_mut() {
                if client.deadline().is_some_and(|deadline| deadline <= now) {
                    client.dismiss("no request has come for too long");
                }
            }
            self.clients.retain(|_, client| !client.is_gone());
            if self.wait(now).is_err() {
                return;
            }
        }
    }

    /// Passes on what the control loop has said. `false`: it has ended.
    fn hear(&mut self) -> bool {
        // Nothing to read: it was rung for something that has been heard since.
        let _ = self.bell.read();
        let now = Instant::now();
        loop {
            match self.answers.try_recv() {
                Ok(Line { client: number, done, line }) => {
                    self.outstanding -= 1;
                    if let Some(client) = self.clients.get_mut(&number) {
                        let wishes = client.wishes.take().filter(|_| done);
                        client.monitors = wishes.or(client.monitors.take());
                        client.answer(&line, now);
                    }
                }
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return false,
            }
        }
        for (topic, event) in self.events.try_iter() {
            let hears = |client: &&mut Client| {
                client.monitors.as_ref().is_some_and(|listens| listens.topic.covers(topic))
            };
            let listeners = self.clients.values_mut().filter(hears);
            listeners.for_each(|client| client.say(&event));
        }
        true
    }

    /// Takes from each client the lines that can be asked.
    fn take_lines(&mut self) {
        for (number, client) in &mut self.clients {
            while self.outstanding < REQUESTS_MAX
                && let Some(line) = client.next_line()
            {
                match Request::read(&line) {
                    Ok(request) => {
                        if let Request::Monitor { what } = request {
                            let stations = what.covers(Topic::Fdb).then(|| self.listeners.clone());
                            client.wishes = Some(Listens { topic: what, _stations: stations });
                        }
                        let captures = matches!(request, Request::Capture { .. });
                        let socket = captures.then(|| client.hand_over()).flatten();
                        if captures && socket.is_none() {
                            continue;
                        }
                        client.ask();
                        self.outstanding += 1;
                        let asked = Asked { client: *number, request, socket };
                        // It has room for all that are outstanding. If the loop has ended, so do
                        // we.
                        let _ = self.requests.try_send(asked);
                    }
                    Err(Refused::Request(why)) => {
                        client.answer(&answer_line(&Err(why)), Instant::now());
                    }
                    Err(Refused::Foreign(why)) => client.dismiss(&why),
                }
            }
        }
    }

    /// Waits until something happens, reads what came and takes in who is at the door.
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
            Err(nix::errno::Errno::EINTR) => return Ok(()),
            Err(errno) => return Err(errno.into()),
        }
        let mut found = waits.iter().map(|wait| wait.revents().unwrap_or(PollFlags::empty()));
        let at_the_door = found.by_ref().nth(1).is_some_and(|found| !found.is_empty());
        let found: Vec<_> = found.collect();
        for (number, found) in numbers.into_iter().zip(found) {
            let Some(client) = self.clients.get_mut(&number) else { continue };
            if found.intersects(PollFlags::POLLIN | PollFlags::POLLHUP | PollFlags::POLLERR) {
                client.read();
            }
            if found.intersects(PollFlags::POLLHUP | PollFlags::POLLERR) {
                client.hung_up();
            }
            if found.contains(PollFlags::POLLOUT) {
                client.write();
            }
        }
        if at_the_door {
            self.admit();
        }
        Ok(())
    }

    /// Takes in who is at the door, or says why not.
    fn admit(&mut self) {
        // No more at a time than could stay: those who are there wait meanwhile.
        for _ in 0..CLIENTS_MAX {
            let socket = match self.listener.accept() {
                Ok((socket, _)) => socket,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return,
                // The client has left already.
                Err(e) if matches!(e.kind(), ErrorKind::ConnectionAborted) => continue,
                Err(_) => {
                    self.rests_until = Some(Instant::now() + REST);
                    return;
                }
            };
            // Those who are not waited for could make us wait.
            if socket.set_nonblocking(true).is_err() {
                continue;
            }
            let refused = self.refuses(&socket);
            let mut client = Client::new(socket, Instant::now());
            match refused {
                Some(why) => client.dismiss(&why),
                None => {
                    self.clients.insert(self.next, client);
                    self.next += 1;
                }
            }
        }
    }

    /// Why this client is not taken in.
    fn refuses(&self, socket: &UnixStream) -> Option<String> {
        let Ok(peer) = getsockopt(socket, PeerCredentials) else {
            return Some("the system does not say who you are".to_owned());
        };
        let in_group = |group: Gid| {
            let groups = || sys::peer_groups(socket.as_fd()).unwrap_or_default();
            peer.gid() == group.as_raw() || groups().contains(&group.as_raw())
        };
        let admitted =
            peer.uid() == 0 || peer.uid() == geteuid().as_raw() || self.group.is_some_and(in_group);
        if !admitted {
            return Some(format!(
                "this switch may be steered by root, its own user and its `--socket-group`, and \
                 not by user {}",
                peer.uid()
            ));
        }
        (self.clients.len() >= CLIENTS_MAX)
            .then(|| format!("{CLIENTS_MAX} clients are connected, and that is all"))
    }
}

//! One client of the metrics: a connection that has one request and one answer. What it is owed,
//! and until when it is waited for.

use std::{
    fs::File,
    io::{ErrorKind, Read, Write},
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    sync::Arc,
    time::Instant,
};

use nix::{
    poll::PollFlags,
    sys::socket::{Shutdown, shutdown},
};

use super::{
    HEAD_MAX, PATIENCE, page,
    request::{Request, Status},
};

/// Octets that are read at a time.
const READ_MAX: usize = 4 << 10;
/// Octets behind a request that are read and thrown away, so that the answer arrives: the kernel
/// resets a connection that is closed with octets unread (RFC 9112 section 9.6).
const DISCARDED_MAX: usize = 64 << 10;

/// A client.
pub(super) struct Client {
    /// A connected socket that does not block: it is read and written as a file is.
    socket: File,
    state: State,
    deadline: Instant,
}

enum State {
    /// It owes a request.
    Reads { octets: Vec<u8> },
    /// It is owed the metrics.
    Waits { open: bool, head: bool },
    /// It is being answered.
    Writes { head: Vec<u8>, body: Arc<str>, written: usize },
    /// It has its answer.
    Ends { discarded: usize },
    /// It is to be forgotten.
    Gone,
}

impl Client {
    /// One that has just connected.
    pub(super) fn new(socket: OwnedFd, now: Instant) -> Client {
        let state = State::Reads { octets: Vec::new() };
        Client { socket: socket.into(), state, deadline: now + PATIENCE }
    }

    /// Whether we owe it nothing: it owes a request, or has its whole answer.
    pub(super) fn may_go(&self) -> bool {
        matches!(self.state, State::Reads { .. } | State::Ends { .. })
    }

    /// Whether it waits for the metrics.
    pub(super) fn waits(&self) -> bool {
        matches!(self.state, State::Waits { .. })
    }

    /// Whether it is to be forgotten.
    pub(super) fn is_gone(&self) -> bool {
        matches!(self.state, State::Gone)
    }

    /// When it has had its time. `None`: we owe it something.
    pub(super) fn deadline(&self) -> Option<Instant> {
        (!self.waits()).then_some(self.deadline)
    }

    /// It has had its time.
    pub(super) fn dismiss(&mut self, now: Instant) {
        match self.state {
            State::Reads { .. } => {
                let why = "no whole request has come for too long".to_owned();
                self.refuse(Status::Timeout, &why, now);
            }
            _ => self.state = State::Gone,
        }
    }

    /// What to wait for. `None`: for the control loop.
    pub(super) fn interest(&self) -> Option<PollFlags> {
        match self.state {
            State::Reads { .. } | State::Ends { .. } => Some(PollFlags::POLLIN),
            State::Writes { .. } => Some(PollFlags::POLLOUT),
            State::Waits { .. } | State::Gone => None,
        }
    }

    /// Goes on, as far as that is possible now.
    pub(super) fn go_on(&mut self, now: Instant) {
        match &self.state {
            State::Reads { .. } => self.read(now),
            State::Writes { .. } => self.write(),
            State::Ends { .. } => self.discard(),
            State::Waits { .. } | State::Gone => {}
        }
    }

    /// The metrics, in both formats.
    pub(super) fn tell(&mut self, [open, plain]: &[Arc<str>; 2], now: Instant) {
        if let State::Waits { open: wants_open, head } = self.state {
            let (kind, body) = match wants_open {
                true => (page::OPEN_TYPE, open),
                false => (page::PLAIN_TYPE, plain),
            };
            self.answer(Status::Ok, kind, body.clone(), head, now);
        }
    }

    /// Says why not.
    pub(super) fn refuse(&mut self, status: Status, why: &str, now: Instant) {
        self.answer(status, "text/plain; charset=utf-8", format!("{why}\n").into(), false, now);
    }

    fn answer(&mut self, status: Status, kind: &str, body: Arc<str>, bare: bool, now: Instant) {
        let allow = if status == Status::MethodNotAllowed { "Allow: GET, HEAD\r\n" } else { "" };
        let (line, len) = (status.line(), body.len());
        let head = format!(
            "HTTP/1.1 {line}\r\nContent-Type: {kind}\r\nContent-Length: {len}\r\n{allow}\
             Cache-Control: no-store\r\nConnection: close\r\n\r\n"
        );
        // RFC 9110 section 9.3.2: HEAD has the fields of GET, and no content.
        let body = if bare { "".into() } else { body };
        self.state = State::Writes { head: head.into_bytes(), body, written: 0 };
        self.deadline = now + PATIENCE;
        self.write();
    }

    fn read(&mut self, now: Instant) {
        let State::Reads { octets } = &mut self.state else { return };
        let begin = octets.len();
        octets.resize(begin + READ_MAX, 0);
        let read = self.socket.read(&mut octets[begin..]);
        octets.truncate(begin + *read.as_ref().unwrap_or(&0));
        match read {
            Ok(1..) => {}
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => return,
            Ok(0) | Err(_) => {
                self.state = State::Gone;
                return;
            }
        }
        match Request::read(octets) {
            Request::Begun if octets.len() <= HEAD_MAX => {}
            Request::Begun => {
                let why = format!("a request's head has {HEAD_MAX} octets at the most");
                self.refuse(Status::TooLarge, &why, now);
            }
            Request::Metrics { open, head } => self.state = State::Waits { open, head },
            Request::Refused(status, why) => self.refuse(status, &why, now),
        }
    }

    fn write(&mut self) {
        let State::Writes { head, body, written } = &mut self.state else { return };
        loop {
            let rest = match head.get(*written..).filter(|rest| !rest.is_empty()) {
                Some(rest) => rest,
                None => &body.as_bytes()[*written - head.len()..],
            };
            if rest.is_empty() {
                break;
            }
            match self.socket.write(rest) {
                Ok(len) => *written += len,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => return,
                Err(_) => {
                    self.state = State::Gone;
                    return;
                }
            }
        }
        // That it has ended meanwhile will be read.
        let _ = shutdown(self.socket.as_raw_fd(), Shutdown::Write);
        self.state = State::Ends { discarded: 0 };
        self.discard();
    }

    fn discard(&mut self) {
        let State::Ends { discarded } = &mut self.state else { return };
        let mut octets = [0; READ_MAX];
        match self.socket.read(&mut octets) {
            Ok(len @ 1..) if *discarded + len <= DISCARDED_MAX => *discarded += len,
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            _ => self.state = State::Gone,
        }
    }
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::{net, os::unix::net::UnixStream};

    use super::*;

    fn pair() -> (Client, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        theirs.set_read_timeout(Some(PATIENCE)).unwrap();
        (Client::new(ours.into(), Instant::now()), theirs)
    }

    fn heard(theirs: &mut UnixStream) -> String {
        let mut text = String::new();
        theirs.read_to_string(&mut text).unwrap();
        text
    }

    fn metrics() -> [Arc<str>; 2] {
        ["open".into(), "plain".into()]
    }

    #[test]
    fn a_request_in_pieces_has_one_answer_and_the_end() {
        for (method, accept, kind, body) in [
            ("GET", "", page::PLAIN_TYPE, "plain"),
            ("GET", "Accept: application/openmetrics-text\r\n", page::OPEN_TYPE, "open"),
            ("HEAD", "", page::PLAIN_TYPE, ""),
        ] {
            let (mut client, mut theirs) = pair();
            for piece in [method, " /metrics HTTP/1.1\r\nHost: a\r\n", accept, "\r\n"] {
                assert!(client.may_go() && !client.waits());
                theirs.write_all(piece.as_bytes()).unwrap();
                client.go_on(Instant::now());
            }
            assert!(client.waits() && client.deadline().is_none() && client.interest().is_none());
            client.tell(&metrics(), Instant::now());
            let answer = heard(&mut theirs);
            assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
            assert!(answer.contains(&format!("\r\nContent-Type: {kind}\r\n")), "{answer}");
            let len = if kind == page::OPEN_TYPE { 4 } else { 5 };
            assert!(answer.contains(&format!("\r\nContent-Length: {len}\r\n")), "{answer}");
            assert!(answer.ends_with(&format!("\r\n\r\n{body}")), "{answer}");
            theirs.shutdown(net::Shutdown::Write).unwrap();
            client.go_on(Instant::now());
            assert!(client.is_gone());
        }
    }

    #[test]
    fn a_head_without_end_is_refused_and_thrown_away() {
        let (mut client, mut theirs) = pair();
        theirs.set_nonblocking(true).unwrap();
        let (mut taken, octets) = (0, [b'x'; READ_MAX]);
        while !client.is_gone() {
            taken += theirs.write(&octets).unwrap_or(0);
            client.go_on(Instant::now());
            assert!(taken <= HEAD_MAX + DISCARDED_MAX + (4 << 20), "there is an end");
        }
        assert!(taken > HEAD_MAX + DISCARDED_MAX);
        assert!(heard(&mut theirs).starts_with("HTTP/1.1 431 "));
    }

    #[test]
    fn who_is_late_is_told_once() {
        let (mut client, mut theirs) = pair();
        let later = client.deadline().unwrap();
        client.dismiss(later);
        assert_eq!(client.deadline(), Some(later + PATIENCE));
        assert!(heard(&mut theirs).starts_with("HTTP/1.1 408 "));
        client.dismiss(later);
        assert!(client.is_gone());
    }

    #[test]
    fn who_does_not_read_costs_one_answer() {
        let (mut client, mut theirs) = pair();
        theirs.write_all(b"GET /metrics HTTP/1.0\n\n").unwrap();
        client.go_on(Instant::now());
        let long: Arc<str> = "x".repeat(4 << 20).into();
        client.tell(&[long.clone(), long.clone()], Instant::now());
        assert_eq!(client.interest(), Some(PollFlags::POLLOUT));
        assert_eq!(Arc::strong_count(&long), 2, "it is not copied");
        let late = client.deadline().unwrap();
        client.dismiss(late);
        assert!(client.is_gone());
        drop(theirs);
    }
}

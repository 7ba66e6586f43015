//! One client of the control socket, as the server sees it: what it has written and was not asked
//! yet, what was answered and it has not read yet, and when the patience with it ends.

use std::{
    io::{ErrorKind, Read, Write},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
    sync::Arc,
    time::Instant,
};

use nix::poll::PollFlags;

use super::{LINE_MAX, PATIENCE, Topic, WAITING_MAX, request::answer_line};

/// Octets that are read at a time: one client cannot keep the others waiting.
const READ_MAX: usize = 16 << 10;

/// That somebody listens: the control loop sees by the count of these what it has to find out.
pub(super) struct Listens {
    pub(super) topic: Topic,
    /// Held as long as stations are listened for.
    pub(super) _stations: Option<Arc<()>>,
}

/// A client, or what is left of it.
pub(super) struct Client {
    socket: UnixStream,
    /// Read, and not yet taken as lines.
    written: Vec<u8>,
    /// To be written.
    waiting: Vec<u8>,
    /// It will write nothing more.
    ended: bool,
    /// Nothing more is said to it or heard from it.
    gone: bool,
    /// A request of it is being answered.
    asked: bool,
    /// The events that it hears.
    pub(super) monitors: Option<Listens>,
    /// Those that it hears when its request has been answered.
    pub(super) wishes: Option<Listens>,
    /// When it connected, or had its last answer.
    since: Instant,
}

impl Client {
    /// A client that has just connected. Its socket does not block.
    pub(super) fn new(socket: UnixStream, now: Instant) -> Client {
        Client {
            socket,
            written: Vec::new(),
            waiting: Vec::new(),
            ended: false,
            gone: false,
            asked: false,
            monitors: None,
            wishes: None,
            since: now,
        }
    }

    /// Whether it is to be forgotten.
    pub(super) fn is_gone(&self) -> bool {
        self.gone
    }

    /// What to wait for. `None`: for nothing from it, until it is answered.
    pub(super) fn interest(&self) -> Option<PollFlags> {
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::POLLIN, !self.ended && !self.asked && !self.is_full());
        flags.set(PollFlags::POLLOUT, !self.waiting.is_empty());
        // That it has hung up is always told, and would be told again and again.
        (!flags.is_empty() || !self.asked).then_some(flags)
    }

    /// Reads a piece of what it has written.
    pub(super) fn read(&mut self) {
        if self.is_full() {
            return;
        }
        let begin = self.written.len();
        self.written.resize(begin + READ_MAX, 0);
        let read = self.socket.read(&mut self.written[begin..]);
        let len = *read.as_ref().unwrap_or(&0);
        self.written.truncate(begin + len);
        match read {
            Ok(1..) => {}
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Ok(0) | Err(_) => self.ended = true,
        }
    }

    /// Whether there is a line to be taken, or too long a one: it is not read on until then.
    fn is_full(&self) -> bool {
        self.written.len() > LINE_MAX
    }

    /// It hears nothing any more. What it has written counts nevertheless.
    pub(super) fn hung_up(&mut self) {
        self.waiting.clear();
        self.gone |= self.monitors.is_some();
    }

    /// The next line, if it is whole and the one before has been answered.
    pub(super) fn next_line(&mut self) -> Option<Vec<u8>> {
        if self.gone || self.asked {
            return None;
        }
        let end = self.written.iter().position(|octet| *octet == b'\n');
        if end.unwrap_or(self.written.len()) > LINE_MAX {
            self.dismiss(&format!("a line has {LINE_MAX} octets at the most"));
            return None;
        }
        let Some(end) = end else {
            self.gone |= self.ended && self.monitors.is_none() && self.waiting.is_empty();
            return None;
        };
        let mut line: Vec<u8> = self.written.drain(..=end).collect();
        line.pop();
        Some(line)
    }

    /// Its request is on its way: nothing more is taken from it until that is answered.
    pub(super) fn ask(&mut self) {
        self.asked = true;
    }

    /// Its request has been answered.
    pub(super) fn answer(&mut self, line: &str, now: Instant) {
        self.asked = false;
        self.since = now;
        self.say(line);
    }

    /// Says a line, which waits if it does not read.
    pub(super) fn say(&mut self, line: &str) {
        if self.waiting.len() + line.len() > WAITING_MAX {
            // Half a line would be no JSON: there is nothing left to say to it.
            self.gone = true;
            return;
        }
        self.waiting.extend_from_slice(line.as_bytes());
        self.write();
    }

    /// Writes what waits, as far as there is room.
    pub(super) fn write(&mut self) {
        while !self.gone && !self.waiting.is_empty() {
            match self.socket.write(&self.waiting) {
                Ok(len) => drop(self.waiting.drain(..len)),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => return,
                Err(_) => self.hung_up(),
            }
        }
    }

    /// Gives the connection away, if it has read all that was said to it, and has done with it.
    pub(super) fn hand_over(&mut self) -> Option<UnixStream> {
        if !self.waiting.is_empty() {
            self.dismiss("read what was answered before");
            return None;
        }
        self.gone = true;
        self.socket.try_clone().ok()
    }

    /// Says why, if it can hear it now, and has done with it.
    pub(super) fn dismiss(&mut self, why: &str) {
        self.say(&answer_line(&Err(why.to_owned())));
        self.gone = true;
    }

    /// When it has had its time. `None`: it owes us nothing.
    pub(super) fn deadline(&self) -> Option<Instant> {
        (!self.asked && self.monitors.is_none()).then(|| self.since + PATIENCE)
    }
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Client, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        (Client::new(ours, Instant::now()), theirs)
    }

    fn said(mut theirs: UnixStream, client: Client) -> String {
        drop(client);
        let mut text = String::new();
        theirs.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn lines_in_pieces_are_taken_whole_and_one_after_the_other() {
        let (mut client, mut theirs) = pair();
        theirs.write_all(b"on").unwrap();
        client.read();
        assert_eq!(client.next_line(), None);
        theirs.write_all(b"e\n\ntwo\nthr").unwrap();
        client.read();
        assert_eq!(client.next_line().unwrap(), b"one");
        client.ask();
        assert_eq!(client.next_line(), None);
        client.answer("1\n", Instant::now());
        assert_eq!(client.next_line().unwrap(), b"");
        assert_eq!(client.next_line().unwrap(), b"two");
        drop(theirs);
        client.read();
        assert!(client.next_line().is_none() && client.is_gone(), "half a line is none");
    }

    #[test]
    fn longest_line_is_taken_and_one_octet_more_is_not() {
        for (len, taken) in [(LINE_MAX, true), (LINE_MAX + 1, false)] {
            let (mut client, mut theirs) = pair();
            theirs.write_all(&vec![b'x'; len]).unwrap();
            while client.written.len() < len {
                client.read();
            }
            assert!(client.next_line().is_none());
            assert_eq!(client.is_gone(), !taken);
            if taken {
                theirs.write_all(b"\n").unwrap();
                client.read();
                assert_eq!(client.next_line().unwrap().len(), LINE_MAX);
            } else {
                assert!(said(theirs, client).contains("65536 octets at the most"));
            }
        }
    }

    #[test]
    fn who_does_not_read_is_cut_off_when_so_much_waits() {
        let (mut client, theirs) = pair();
        let line = "x".repeat(4095) + "\n";
        let mut said = 0;
        while !client.is_gone() {
            client.say(&line);
            said += line.len();
            assert!(client.waiting.len() <= WAITING_MAX);
        }
        assert!(said > WAITING_MAX);
        drop(theirs);
    }

    #[test]
    fn who_goes_after_his_request_has_asked_it_all_the_same() {
        let (mut client, mut theirs) = pair();
        theirs.write_all(b"one\ntwo\n").unwrap();
        drop(theirs);
        client.read();
        client.hung_up();
        for line in [b"one", b"two"] {
            assert_eq!(client.next_line().unwrap(), line);
            client.ask();
            client.answer("done\n", Instant::now());
        }
        client.read();
        assert!(client.next_line().is_none() && client.is_gone());
    }

    #[test]
    fn patience_is_for_who_owes_a_request() {
        let (mut client, _theirs) = pair();
        assert_eq!(client.deadline(), Some(client.since + PATIENCE));
        client.ask();
        assert_eq!((client.deadline(), client.interest()), (None, None));
        client.answer("", Instant::now());
        assert_eq!(client.interest(), Some(PollFlags::POLLIN));
        client.monitors = Some(Listens { topic: Topic::All, _stations: None });
        assert_eq!(client.deadline(), None);
    }
}

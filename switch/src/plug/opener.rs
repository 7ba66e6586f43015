//! The opener: a second process that keeps the rights when the switch gives up its own, and opens
//! ports for it. It takes six requests and no other, over a socket that nobody else has:
//!
//! | request | with | answer |
//! |---|---|---|
//! | open | a number, a spec, a count of watches | the port's descriptors, its links' watch |
//! | again | a number | those of its device, which has come back, or of its connection |
//! | remove | a number | what was made for that plug is removed |
//! | loops | | the plugs that would make a loop |
//! | links | a TAP's descriptor | a socket that tells of the links where that is now |
//! | settle | | devices that are to stay do |
//!
//! and one to leave, without an answer. A spec goes as text, and the parser that reads command
//! lines reads it here: what it refuses is not opened.
//!
//! The end of the socket ends the opener, and then all that was made is removed: also when the
//! switch was killed. So no signal may end it before (PR_SET_PDEATHSIG would, and would come when
//! the thread ends that made it, too): it blocks them all.

mod pack;

use std::{
    fs::File,
    io::{self, ErrorKind},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{Arc, Mutex, PoisonError},
};

use netlab::Links;
use nix::{
    sys::{
        resource::{Resource, getrlimit, setrlimit},
        signal::SigSet,
        socket::{AddressFamily, SockFlag, SockType, socketpair},
        wait::waitpid,
    },
    unistd::{Pid, dup2_stdin, dup2_stdout},
};

use self::pack::{pack, pack_opened, unpack, unpack_opened};
use super::{Failure, Opened, open, origin::Origin, owner::Owner};
use crate::{
    parcel::{Parcel, wrong},
    port::{
        PORTS_MAX,
        any::AnyPort,
        tap::{self, AskLinks},
    },
    sys,
    topology::{Faults, PortKind, PortSpec},
};

const OPEN: u64 = 1;
const AGAIN: u64 = 2;
const REMOVE: u64 = 3;
const LOOPS: u64 = 4;
const LINKS: u64 = 5;
const SETTLE: u64 = 6;
const LEAVE: u64 = 7;

/// Begins an answer.
const DONE: u64 = 0;
const REFUSED: u64 = 1;

/// Plugs at a time: a file that is read again may have as many new ones, which are opened before
/// the old ones go.
const PLUGS_MAX: usize = 2 * PORTS_MAX;

const GONE: &str = "the opener has ended, so that no port can be opened any more: start the switch \
                    again";
const LEFT: &str = "the opener was sent away (`--no-opener`), so the ports are fixed: start the \
                    switch anew with this one";
const FULL: &str = "what the opener sent did not arrive whole: the switch has no descriptor left \
                    for it (`ulimit -n`)";
const VDE_LATE: &str = "a folder for VDE can be had from the start only, for its sockets are made \
                        by the switch, which has no right to other folders any more";

/// The switch's hold on its opener, which ends when this is dropped.
pub struct Opener {
    line: Arc<Line>,
    child: Pid,
    /// Whether the ports of the start are there.
    settled: bool,
}

impl Opener {
    /// Starts one, with the rights that this process has now and `confine` leaves it. To be called
    /// before the first thread is started.
    ///
    /// # Errors
    ///
    /// There is another thread, or what the system said.
    pub fn start(confine: fn()) -> io::Result<Opener> {
        let flags = SockFlag::SOCK_CLOEXEC;
        let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?;
        match sys::fork_alone()? {
            Some(child) => {
                let line = Arc::new(Line(Mutex::new(Some(ours))));
                Ok(Opener { line, child, settled: false })
            }
            None => sys::with_alone(theirs, confine, |socket| serve(socket.as_fd())),
        }
    }

    /// Opens the plug of this number.
    pub(super) fn open(
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
    pub(super) fn again(&self, number: usize, spec: &PortSpec) -> Result<(Opened, u32), String> {
        again(&self.line, number, spec)
    }

    /// What makes its connection again.
    pub(super) fn reconnect(
        &self,
        number: usize,
        spec: &PortSpec,
    ) -> impl Fn() -> Option<AnyPort> + Send + use<> {
        let (line, spec) = (self.line.clone(), spec.clone());
        move || again(&line, number, &spec).ok().map(|(opened, _)| opened.port)
    }

    /// The plugs that would make a loop with one before them.
    pub(super) fn loops(&self) -> io::Result<Vec<Failure>> {
        let mut answer = self.line.ask(LOOPS, Parcel::default()).map_err(io::Error::other)?;
        let count = answer.take_number()?;
        let failure = |_| Ok(Failure { name: answer.take_text()?, why: answer.take_text()? });
        (0..count).map(failure).collect()
    }

    /// The ports of the start are there.
    pub(super) fn settle(&mut self) {
        self.settled = true;
        // If it has ended, whoever wants a port is told.
        let _ = self.line.ask(SETTLE, Parcel::default());
    }

    /// Removes what was made for a plug.
    pub(super) fn remove(&self, number: usize) {
        let mut request = Parcel::default();
        request.put_number(number as u64);
        // It has ended: then it has removed all.
        let _ = self.line.ask(REMOVE, request);
    }

    /// Sends it away: what there is stays as it is. When this returns, it is gone.
    pub(super) fn leave(&self) {
        let mut request = Parcel::default();
        request.put_number(LEAVE);
        if let Some(socket) = self.line.lock().take() {
            // Gone already is as good.
            let _ = request.send(socket.as_fd());
            drop(socket);
            let _ = waitpid(self.child, None);
        }
    }

    /// Whether it can open anything more.
    pub(super) fn is_there(&self) -> bool {
        self.line.lock().is_some()
    }
}

impl Drop for Opener {
    fn drop(&mut self) {
        if self.line.lock().take().is_some() {
            // What was made is gone when this returns.
            let _ = waitpid(self.child, None);
        }
    }
}

/// The socket to the opener; `None`: it was sent away.
struct Line(Mutex<Option<OwnedFd>>);

impl Line {
    fn lock(&self) -> std::sync::MutexGuard<'_, Option<OwnedFd>> {
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

/// What the opener does until the switch has gone.
fn serve(socket: BorrowedFd<'_>) {
    SigSet::all().thread_block().expect("signals can be blocked");
    if let Ok(null) = File::options().read(true).write(true).open("/dev/null") {
        // Whoever reads what the switch says waits for nobody else.
        let _ = dup2_stdin(&null).and_then(|()| dup2_stdout(&null));
    }
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
    obey(socket);
}

/// Answers requests until nobody can make one. What is none is refused, and the next one heard.
fn obey(socket: BorrowedFd<'_>) {
    let mut owner = Owner::default();
    loop {
        let answer = match Parcel::recv(socket) {
            Ok(Some(mut request)) => match request.take_number() {
                Ok(LEAVE) => return owner.leave(),
                Ok(what) => answer(&mut owner, what, request),
                Err(error) => Err(reason(error)),
            },
            Err(error) if error.kind() == ErrorKind::InvalidData => Err(reason(error)),
            Ok(None) | Err(_) => return,
        };
        let answer = answer.map_or_else(refusal, |done| done.headed(DONE));
        match answer.send(socket) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::InvalidData => {
                // It is too large to be sent, and nothing of it was.
                if refusal(reason(error)).send(socket).is_err() {
                    return;
                }
            }
            Err(_) => return,
        }
    }
}

fn refusal(why: String) -> Parcel {
    let mut refused = Parcel::default();
    refused.put_text(&why);
    refused.headed(REFUSED)
}

/// Does what is asked. The asker may be somebody who has taken the switch over: nothing of what he
/// says is taken for granted, and of nothing there is more than for [`PLUGS_MAX`] plugs.
fn answer(owner: &mut Owner, what: u64, mut request: Parcel) -> Result<Parcel, String> {
    let mut answer = Parcel::default();
    let mut number = || request.take_number().map(|number| number as usize).map_err(reason);
    match what {
        OPEN => {
            let number = number()?;
            let text = request.take_text().map_err(reason)?;
            let spec = PortSpec::parse_shown(&text).map_err(|faults: Faults| faults.to_string())?;
            let watches = request.take_number().map_err(reason)?;
            // What is kept for a number goes with it; and VDE is the switch's own affair.
            if owner.kept(number).is_some() || matches!(spec.kind, PortKind::Vde(_)) {
                return Err(reason(wrong()));
            }
            if owner.count() >= PLUGS_MAX {
                return Err(format!("{PLUGS_MAX} are open already"));
            }
            owner.knows(watches as usize);
            pack(owner, number, &spec, &mut answer).inspect_err(|_| owner.remove(number))?;
        }
        AGAIN => {
            let number = number()?;
            let (opened, index) = owner.again(number)?;
            answer.put_number(index.into());
            let kept = owner.kept(number).ok_or("it is gone")?;
            pack_opened(Some(opened), kept, &mut answer).map_err(reason)?;
        }
        REMOVE => owner.remove(number()?),
        LOOPS => {
            let failures = owner.loops().map_err(reason)?;
            answer.put_number(failures.len() as u64);
            for Failure { name, why } in failures {
                answer.put_text(&name);
                answer.put_text(&why);
            }
        }
        LINKS => {
            // Of a file that is none, nothing is told: only TAPs know what they are asked.
            let tap = request.take_fd().map_err(reason)?;
            answer.put_fd(tap::links_of(tap.as_fd()).map_err(reason)?.into_fd());
        }
        SETTLE => owner.settle(),
        _ => return Err(reason(wrong())),
    }
    Ok(answer)
}

fn reason(error: io::Error) -> String {
    netlab::reason(&error)
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    /// What is answered to these requests, by whoever hears no other.
    fn asked(requests: Vec<Parcel>) -> Vec<Result<(), String>> {
        asked_by(|line| {
            let requests = requests.into_iter().map(|request| {
                request.send(line).unwrap();
                answered(line)
            });
            requests.collect()
        })
    }

    /// What somebody finds out who has this line to an opener.
    fn asked_by<T>(ask: impl FnOnce(BorrowedFd<'_>) -> T) -> T {
        let flags = SockFlag::SOCK_CLOEXEC;
        let (ours, theirs) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags).unwrap();
        let opener = thread::spawn(move || obey(theirs.as_fd()));
        let found = ask(ours.as_fd());
        drop(ours);
        opener.join().unwrap();
        found
    }

    fn answered(line: BorrowedFd<'_>) -> Result<(), String> {
        let mut answer = Parcel::recv(line).unwrap().expect("there is an answer");
        match answer.take_number().unwrap() {
            DONE => Ok(()),
            _ => Err(answer.take_text().unwrap()),
        }
    }

    fn open(number: u64, spec: &str) -> Parcel {
        let mut request = Parcel::default();
        request.put_number(number);
        request.put_text(spec);
        request.put_number(0);
        request.headed(OPEN)
    }

    fn links_of(fd: impl Into<OwnedFd>) -> Parcel {
        let mut request = Parcel::default();
        request.put_fd(fd);
        request.headed(LINKS)
    }

    #[test]
    fn what_is_no_request_is_refused_and_the_next_is_heard() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sock");
        let mut lying = Parcel::default();
        lying.put_number(u64::MAX);
        let answers = asked(vec![
            Parcel::default(),
            Parcel::default().headed(99),
            Parcel::default().headed(OPEN),
            lying.headed(OPEN),
            Parcel::default().headed(AGAIN),
            Parcel::default().headed(LINKS),
            open(7, "nothing:x"),
            open(7, "stream:"),
            open(7, &format!("stream:{}", path.display())),
            Parcel::default().headed(LOOPS),
        ]);
        assert!(answers[..8].iter().all(Result::is_err), "{answers:?}");
        assert!(answers[6].as_ref().unwrap_err().contains("there is no kind of port"));
        assert_eq!(answers[8..], [Ok(()), Ok(())]);
        assert!(!path.exists(), "with the one who asked for it goes what was made");
    }

    #[test]
    fn what_the_switch_never_asks_for_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let (one, ctl) = (format!("stream:{}", at("one").display()), at("ctl"));
        let answers = asked_by(|line| {
            let ask = |request: Parcel| {
                request.send(line).unwrap();
                answered(line)
            };
            let first = ask(open(7, &one));
            let second = ask(open(7, &format!("stream:{}", at("two").display())));
            assert!(at("one").exists() && !at("two").exists(), "a number is one plug's");
            let vde = ask(open(8, &format!("vde:{}", ctl.display())));
            assert!(!ctl.exists(), "the folder is for the switch to make");
            let file = ask(links_of(File::open("/dev/null").unwrap()));
            let socket = ask(links_of(std::net::UdpSocket::bind("127.0.0.1:0").unwrap()));
            [first, second, vde, file, socket]
        });
        assert_eq!(answers[0], Ok(()));
        assert!(answers[1..].iter().all(Result::is_err), "{answers:?}");
    }

    #[test]
    fn parcel_that_is_none_is_refused_and_the_next_is_heard() {
        let null = File::open("/dev/null").unwrap();
        let refused = asked_by(|line| {
            // Longer than a piece, and with more beside it than a piece may have.
            sys::send_with(line, &[1; 20_000], &[]).unwrap();
            let long = answered(line);
            sys::send_with(line, &[1; 9], &vec![null.as_fd(); 200]).unwrap();
            let many = answered(line);
            Parcel::default().headed(LOOPS).send(line).unwrap();
            assert_eq!(answered(line), Ok(()));
            [long, many]
        });
        assert!(refused.iter().all(Result::is_err), "{refused:?}");
    }

    #[test]
    fn there_are_no_more_plugs_than_a_switch_can_have() {
        let folder = tempfile::tempdir().unwrap();
        let spec = format!("stream:{},connect=on", folder.path().join("nobody").display());
        let last = PLUGS_MAX as u64;
        let mut removed = Parcel::default();
        removed.put_number(0);
        let mut requests: Vec<_> = (0..=last).map(|number| open(number, &spec)).collect();
        requests.extend([removed.headed(REMOVE), open(last, &spec)]);
        let answers = asked(requests);
        assert_eq!(answers[..PLUGS_MAX], vec![Ok(()); PLUGS_MAX]);
        assert!(answers[PLUGS_MAX].as_ref().unwrap_err().contains("open already"));
        assert_eq!(answers[PLUGS_MAX + 1..], [Ok(()), Ok(())]);
    }

    #[test]
    fn other_threads_are_seen_before_a_process_is_made_two() {
        thread::spawn(|| assert!(Opener::start(|| ()).is_err())).join().unwrap();
    }
}

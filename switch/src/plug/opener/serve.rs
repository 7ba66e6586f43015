//! What the opener does: the process that keeps the rights. This and what is below are all that
//! runs in it beside what opens a port for anybody; it never sees a frame.
//!
//! The end of the socket ends it, and then all that was made is removed: also when the switch was
//! killed. So no signal may end it before (PR_SET_PDEATHSIG would, and would come when the thread
//! ends that made it, too): it blocks them all.

mod pack;
mod places;

use std::{
    fs::File,
    io::ErrorKind,
    os::fd::{AsFd, BorrowedFd},
};

use nix::{
    sys::{
        resource::{Resource, getrlimit, setrlimit},
        signal::SigSet,
    },
    unistd::{dup2_stdin, dup2_stdout},
};

use self::{
    pack::{pack, pack_opened},
    places::Places,
};
use super::{AGAIN, BOUND, DONE, LEAVE, LINKS, LOOPS, OPEN, REFUSED, REMOVE, SETTLE, reason};
use crate::{
    parcel::{Parcel, wrong},
    plug::{Failure, owner::Owner},
    port::{PORTS_MAX, tap},
    topology::{Faults, PortKind, PortSpec},
};

/// Plugs at a time: a file that is read again may have as many new ones, which are opened before
/// the old ones go.
const PLUGS_MAX: usize = 2 * PORTS_MAX;

/// Does it until the switch has gone.
pub(super) fn serve(socket: BorrowedFd<'_>) {
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
    let (mut owner, mut places) = (Owner::default(), None);
    loop {
        let answer = match Parcel::recv(socket) {
            Ok(Some(mut request)) => match request.take_number() {
                Ok(LEAVE) => return owner.leave(),
                Ok(what) => answer(&mut owner, &mut places, what, request),
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
fn answer(
    owner: &mut Owner,
    places: &mut Option<Places>,
    what: u64,
    mut request: Parcel,
) -> Result<Parcel, String> {
    let mut answer = Parcel::default();
    if what == BOUND && places.is_none() {
        *places = Some(Places::read(&mut request)?);
        return Ok(answer);
    }
    let places = places.as_ref().ok_or("it was not said yet where anything may be opened")?;
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
            places.check(&spec)?;
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

#[cfg(test)]
mod tests {
    use std::{os::fd::OwnedFd, thread};

    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};

    use super::*;
    use crate::sys;

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
        let folder = std::env::temp_dir().display().to_string();
        bound(&[], &[&folder]).send(ours.as_fd()).unwrap();
        answered(ours.as_fd()).unwrap();
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

    fn bound(ports: &[&str], below: &[&str]) -> Parcel {
        let mut request = Parcel::default();
        for texts in [ports, below] {
            request.put_number(texts.len() as u64);
            texts.iter().for_each(|text| request.put_text(text));
        }
        request.headed(BOUND)
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
    fn nothing_is_opened_before_it_is_bound_and_it_is_bound_once() {
        let flags = SockFlag::SOCK_CLOEXEC;
        let (ours, theirs) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags).unwrap();
        let opener = thread::spawn(move || obey(theirs.as_fd()));
        let ask = |request: Parcel| {
            request.send(ours.as_fd()).unwrap();
            answered(ours.as_fd())
        };
        let folder = tempfile::tempdir().unwrap();
        let spec = format!("stream:{}", folder.path().join("sock").display());
        let none = |why: Result<(), String>| why.unwrap_err();
        assert!(none(ask(open(1, &spec))).contains("not said yet"));
        assert!(none(ask(bound(&[], &["/no/such/folder"]))).contains("`/no/such/folder`"));
        assert_eq!(ask(bound(&["tap:t0"], &[])), Ok(()));
        assert!(none(ask(open(1, &spec))).contains("beyond the folders"));
        assert!(ask(bound(&[], &["/"])).is_err(), "by who has taken the switch over");
        assert!(none(ask(open(1, &spec))).contains("beyond the folders"));
        drop(ours);
        opener.join().unwrap();
    }
}

//! What befalls the links of a namespace, told by the kernel as it happens (RTNLGRP_LINK of
//! linux/rtnetlink.h).
//!
//! The kernel queues a message for each change, and when the queue is full it throws messages
//! away and says so once: then the watcher has to list the links anew. To miss nothing, open the
//! watch first and list the links then: what happens in between is told twice, not never.

use std::{
    collections::VecDeque,
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
};

use netlink_packet_core::{NetlinkMessage, NetlinkPayload};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use nix::{
    errno::Errno,
    sys::socket::{
        self, AddressFamily as SocketFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol,
        SockType, bind, setsockopt, socket,
        sockopt::{RcvBuf, RcvBufForce},
    },
};

use crate::{Link, Namespace, error::sentence, netlink::split_message};

/// Something that happened to a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkEvent {
    /// It is new here, or something about it has changed: its name, whether it is up or running,
    /// its MTU. This is how it is now, or was a moment ago.
    Changed(Box<Link>),
    /// It is no longer in this namespace: deleted, or moved to another.
    Gone {
        /// The number it had.
        index: u32,
        /// The name it had.
        name: String,
    },
    /// More happened than was told: [`crate::Links::list`] says how things stand.
    Lost,
}

/// A socket that hears of every change to the links of one namespace.
#[derive(Debug)]
pub struct LinkWatch {
    socket: OwnedFd,
    octets: Vec<u8>,
    /// The events of the last message that are not yet told.
    events: VecDeque<LinkEvent>,
}

impl LinkWatch {
    /// Begins to listen. Nobody needs rights for it but to enter the namespace.
    ///
    /// # Errors
    ///
    /// The namespace was not entered, or has no room for a socket.
    pub fn open(namespace: &Namespace) -> io::Result<LinkWatch> {
        let open = || -> io::Result<OwnedFd> {
            let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
            let route = SockProtocol::NetlinkRoute;
            let socket = socket(SocketFamily::Netlink, SockType::Raw, flags, route)?;
            // Beyond the system's limit where we may; what fits below it otherwise.
            if setsockopt(&socket, RcvBufForce, &RECEIVE_BUFFER_OCTETS).is_err() {
                setsockopt(&socket, RcvBuf, &RECEIVE_BUFFER_OCTETS)?;
            }
            bind(socket.as_raw_fd(), &NetlinkAddr::new(0, 1 << (libc::RTNLGRP_LINK - 1)))?;
            Ok(socket)
        };
        let failed = |error| sentence(format!("the links of {namespace:?} are not watched"), error);
        let socket = namespace.run(open)?.map_err(failed)?;
        Ok(LinkWatch::from_fd(socket))
    }

    /// The watch whose socket another process has given away.
    pub fn from_fd(socket: OwnedFd) -> LinkWatch {
        LinkWatch { socket, octets: vec![0; MESSAGE_OCTETS_MAX], events: VecDeque::new() }
    }

    /// Its socket, to be given to another process. Events that were received and not told are
    /// lost.
    pub fn into_fd(self) -> OwnedFd {
        self.socket
    }

    /// The next event, in the order in which the kernel told them; never waits. `None`: nothing
    /// more has happened, and the descriptor becomes readable when something does.
    ///
    /// # Errors
    ///
    /// What the system said; the watch is of no more use.
    pub fn recv(&mut self) -> io::Result<Option<LinkEvent>> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(Some(event));
            }
            // MSG_TRUNC: the real length, even when it was cut.
            match socket::recv(self.socket.as_raw_fd(), &mut self.octets, MsgFlags::MSG_TRUNC) {
                Ok(len) => match self.octets.get(..len) {
                    Some(octets) => parse(octets, &mut self.events),
                    None => self.events.push_back(LinkEvent::Lost),
                },
                Err(Errno::EAGAIN) => return Ok(None),
                Err(Errno::ENOBUFS) => self.events.push_back(LinkEvent::Lost),
                Err(Errno::EINTR) => {}
                Err(error) => return Err(sentence("no news of links was received", error)),
            }
        }
    }
}

impl AsFd for LinkWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Reads what came in one piece. What cannot be read may have been anything: it counts as lost.
fn parse(octets: &[u8], events: &mut VecDeque<LinkEvent>) {
    let mut rest = octets;
    while !rest.is_empty() {
        let Ok((one, tail)) = split_message(rest) else {
            events.push_back(LinkEvent::Lost);
            return;
        };
        rest = tail;
        match NetlinkMessage::<RouteNetlinkMessage>::deserialize(one) {
            Ok(message) => events.extend(event(message.payload)),
            Err(_) => events.push_back(LinkEvent::Lost),
        }
    }
}

fn event(payload: NetlinkPayload<RouteNetlinkMessage>) -> Option<LinkEvent> {
    let NetlinkPayload::InnerMessage(message) = payload else { return None };
    // A bridge tells of its members in the same group, and by the same messages: one that left
    // the bridge is not gone (br_ifinfo_notify() in net/bridge/br_netlink.c).
    match message {
        RouteNetlinkMessage::NewLink(message)
            if message.header.interface_family == AddressFamily::Unspec =>
        {
            Some(LinkEvent::Changed(Box::new(Link::parse(message))))
        }
        RouteNetlinkMessage::DelLink(message)
            if message.header.interface_family == AddressFamily::Unspec =>
        {
            let link = Link::parse(message);
            Some(LinkEvent::Gone { index: link.index, name: link.name })
        }
        _ => None,
    }
}

/// Octets of one message at the most: that of a link is some 2 KiB, with all its addresses of
/// virtual functions some more (rtnl_vfinfo_size() in net/core/rtnetlink.c).
const MESSAGE_OCTETS_MAX: usize = 64 * 1024;

/// The queue: some hundred messages, for the kernel counts each with its overhead.
const RECEIVE_BUFFER_OCTETS: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    use super::*;
    use crate::test::{self, PATIENCE};

    /// Waits for an event of which this is true.
    fn wait_for(watch: &mut LinkWatch, what: &str, is_it: impl Fn(&LinkEvent) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            match watch.recv().unwrap() {
                Some(event) if is_it(&event) => return,
                Some(_) => continue,
                None => {}
            }
            let mut fds = [PollFd::new(watch.as_fd(), PollFlags::POLLIN)];
            poll(&mut fds, PollTimeout::from(100u8)).unwrap();
        }
        panic!("in time: {what}");
    }

    fn changed(watch: &mut LinkWatch, what: &str, is_it: impl Fn(&Link) -> bool) {
        let wanted = |event: &LinkEvent| matches!(event, LinkEvent::Changed(link) if is_it(link));
        wait_for(watch, what, wanted);
    }

    #[test]
    fn link_is_followed_from_its_making_to_its_end() {
        test::root!();
        let (here, there) = (Namespace::new().unwrap(), Namespace::new().unwrap());
        let mut watch = LinkWatch::open(&here).unwrap();
        let mut far = LinkWatch::open(&there).unwrap();
        assert_eq!(watch.recv().unwrap(), None);

        let mut links = here.links().unwrap();
        links.add_veth("a", None, "b").unwrap();
        let index = links.expect("a").unwrap().index;
        changed(&mut watch, "added", |link| link.name == "a" && link.index == index && !link.up);
        for end in ["a", "b"] {
            links.set_up(end).unwrap();
        }
        changed(&mut watch, "runs", |link| link.index == index && link.running);
        links.set_down("b").unwrap();
        changed(&mut watch, "no carrier", |link| link.index == index && link.up && !link.running);
        links.set_down("a").unwrap();
        changed(&mut watch, "down", |link| link.index == index && !link.up);
        links.rename("a", "c").unwrap();
        changed(&mut watch, "renamed", |link| link.index == index && link.name == "c");

        links.move_to("c", &there).unwrap();
        let gone = LinkEvent::Gone { index, name: "c".to_string() };
        wait_for(&mut watch, "moved away", |event| *event == gone);
        changed(&mut far, "moved here", |link| link.name == "c");
        links.delete("b").unwrap();
        let is_gone = |event: &LinkEvent, of: &str| match event {
            LinkEvent::Gone { name, .. } => name == of,
            _ => false,
        };
        wait_for(&mut watch, "deleted", |event| is_gone(event, "b"));
        wait_for(&mut far, "deleted with its other end", |event| is_gone(event, "c"));
    }

    #[test]
    fn member_that_leaves_a_bridge_is_not_gone() {
        test::root!();
        let here = Namespace::new().unwrap();
        let mut links = here.links().unwrap();
        links.add_veth("a", None, "b").unwrap();
        links.add_bridge("br").unwrap();
        links.set_master("a", Some("br")).unwrap();
        let mut watch = LinkWatch::open(&here).unwrap();
        links.set_master("a", None).unwrap();
        links.delete("br").unwrap();
        // Everything that was told of `a` comes before this.
        let mut gone = Vec::new();
        let deadline = Instant::now() + PATIENCE;
        while gone.is_empty() && Instant::now() < deadline {
            if let Some(LinkEvent::Gone { name, .. }) = watch.recv().unwrap() {
                gone.push(name);
            }
        }
        assert_eq!(gone, ["br"]);
    }

    #[test]
    fn events_that_were_lost_are_told_once() {
        test::root!();
        let here = Namespace::new().unwrap();
        let mut links = here.links().unwrap();
        links.add_veth("a", None, "b").unwrap();
        let mut watch = LinkWatch::open(&here).unwrap();
        setsockopt(&watch.socket, RcvBuf, &1).unwrap();
        for mtu in 1300..1400 {
            links.set_mtu("a", mtu).unwrap();
        }
        wait_for(&mut watch, "lost", |event| *event == LinkEvent::Lost);
        let rest = std::iter::from_fn(|| watch.recv().unwrap());
        assert_eq!(rest.filter(|event| *event == LinkEvent::Lost).count(), 0);
        links.set_mtu("a", 1500).unwrap();
        changed(&mut watch, "told again", |link| link.name == "a" && link.mtu == 1500);
    }

    #[test]
    fn what_cannot_be_read_counts_as_lost() {
        let mut events = VecDeque::new();
        parse(&[4, 0, 0, 0], &mut events);
        // RTM_NEWLINK without its header.
        parse(&[16, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], &mut events);
        assert_eq!(events, [LinkEvent::Lost, LinkEvent::Lost]);
    }
}

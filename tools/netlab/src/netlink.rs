//! A route netlink socket: one request, then its answers (netlink(7), rtnetlink(7)).
//!
//! The socket belongs to the namespace of the thread that opened it. Requests are answered one
//! after the other; answers to an earlier request that was given up are told apart by their
//! sequence number and passed over.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    time::{Duration, Instant},
};

use netlink_packet_core::{
    ErrorMessage, NLM_F_ACK, NLM_F_ACK_TLVS, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST,
    NetlinkBuffer, NetlinkHeader, NetlinkMessage, NetlinkPayload, NlasIterator, parse_string,
};
use netlink_packet_route::RouteNetlinkMessage;
use nix::{
    errno::Errno,
    sys::{
        socket::{
            AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, setsockopt,
            socket, sockopt::ReceiveTimeout,
        },
        time::{TimeVal, TimeValLike},
    },
};

use crate::{
    Links,
    error::{refused, sentence},
    sys,
};

impl Links {
    /// The socket of a [`Links`] that another process has given away. It sees the links of the
    /// namespace in which it was opened; what it may change depends on the rights of both.
    pub fn from_fd(socket: OwnedFd) -> Links {
        Links { netlink: Netlink::from_fd(socket) }
    }

    /// Its socket, to be given to another process.
    pub fn into_fd(self) -> OwnedFd {
        self.netlink.into_fd()
    }
}

#[derive(Debug)]
pub(crate) struct Netlink {
    socket: OwnedFd,
    sequence: u32,
    answers: Vec<u8>,
}

impl Netlink {
    /// A socket in the namespace of the calling thread.
    pub(crate) fn open() -> io::Result<Netlink> {
        let route = SockProtocol::NetlinkRoute;
        let flags = SockFlag::SOCK_CLOEXEC;
        let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, route)?;
        setsockopt(&socket, ReceiveTimeout, &TimeVal::seconds(RECEIVE_TIMEOUT_S))?;
        // The kernel's own words for a refusal, and no copy of our request in front of them.
        sys::set_option(socket.as_fd(), libc::SOL_NETLINK, libc::NETLINK_EXT_ACK, 1)?;
        sys::set_option(socket.as_fd(), libc::SOL_NETLINK, libc::NETLINK_CAP_ACK, 1)?;
        Ok(Netlink::from_fd(socket))
    }

    /// The socket that another process has opened as [`Netlink::open`] does.
    pub(crate) fn from_fd(socket: OwnedFd) -> Netlink {
        Netlink { socket, sequence: 0, answers: vec![0; ANSWER_OCTETS_MAX] }
    }

    /// The socket, to be given to another process.
    pub(crate) fn into_fd(self) -> OwnedFd {
        self.socket
    }

    /// Asks for a change, and waits until it is made or refused.
    pub(crate) fn change(&mut self, message: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
        self.exchange(message, NLM_F_ACK | flags).map(drop)
    }

    /// Asks for one object.
    pub(crate) fn get(&mut self, message: RouteNetlinkMessage) -> io::Result<RouteNetlinkMessage> {
        // The acknowledgement follows the object and so marks the end of the answer.
        let mut answers = self.exchange(message, NLM_F_ACK)?;
        answers.pop().ok_or_else(|| io::Error::other("the kernel answered with nothing"))
    }

    /// Asks for all objects of a kind. When they change meanwhile, it asks again.
    pub(crate) fn dump(
        &mut self,
        message: RouteNetlinkMessage,
    ) -> io::Result<Vec<RouteNetlinkMessage>> {
        let mut answer = self.exchange(message.clone(), NLM_F_DUMP);
        for _ in 1..DUMPS_MAX {
            match &answer {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                    answer = self.exchange(message.clone(), NLM_F_DUMP);
                }
                _ => break,
            }
        }
        answer
    }

    fn exchange(
        &mut self,
        message: RouteNetlinkMessage,
        flags: u16,
    ) -> io::Result<Vec<RouteNetlinkMessage>> {
        self.send(message, flags)?;
        let deadline = Instant::now() + ANSWER_TIMEOUT;
        let mut objects = Vec::new();
        let mut whole = true;
        loop {
            if Instant::now() > deadline {
                return Err(refused(io::ErrorKind::TimedOut, "the kernel's answer did not end"));
            }
            let len = self.recv()?;
            let mut rest = &self.answers[..len];
            while !rest.is_empty() {
                let (one, tail) = split_message(rest)?;
                rest = tail;
                let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(one)
                    .map_err(io::Error::other)?;
                if message.header.sequence_number != self.sequence {
                    continue;
                }
                whole &= message.header.flags & NLM_F_DUMP_INTR == 0;
                match message.payload {
                    NetlinkPayload::InnerMessage(object) => objects.push(object),
                    NetlinkPayload::Error(error) if error.code.is_some() => {
                        return Err(refusal(&error, message.header.flags));
                    }
                    NetlinkPayload::Done(done) if done.code != 0 => {
                        return Err(io::Error::from_raw_os_error(done.code.wrapping_neg()));
                    }
                    NetlinkPayload::Error(_) | NetlinkPayload::Done(_) if whole => {
                        return Ok(objects);
                    }
                    NetlinkPayload::Error(_) | NetlinkPayload::Done(_) => {
                        let text = "what was listed changed meanwhile";
                        return Err(refused(io::ErrorKind::Interrupted, text));
                    }
                    _ => {}
                }
            }
        }
    }

    fn send(&mut self, message: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | flags;
        header.sequence_number = self.sequence;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::from(message));
        message.finalize();
        let mut octets = vec![0; message.buffer_len()];
        message.serialize(&mut octets);
        send(self.socket.as_raw_fd(), &octets, MsgFlags::empty())?;
        Ok(())
    }

    fn recv(&mut self) -> io::Result<usize> {
        loop {
            // MSG_TRUNC: the answer's real length, even when it was cut.
            let socket = self.socket.as_fd().as_raw_fd();
            match recv(socket, &mut self.answers, MsgFlags::MSG_TRUNC) {
                Ok(len) if len <= self.answers.len() => return Ok(len),
                Ok(len) => {
                    let text = format!("an answer of {len} octets from the kernel was cut");
                    return Err(refused(io::ErrorKind::InvalidData, text));
                }
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => {
                    return Err(refused(io::ErrorKind::TimedOut, "the kernel did not answer"));
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl AsFd for Netlink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// What the kernel refused, in its own words if it has any (`enum nlmsgerr_attrs` in
/// linux/netlink.h).
fn refusal(error: &ErrorMessage, flags: u16) -> io::Error {
    let number = error.to_io();
    if flags & NLM_F_ACK_TLVS == 0 {
        return number;
    }
    // In front of the attributes: the header of our request, and no more thanks to CAP_ACK.
    let attributes = error.header.get(NETLINK_HEADER_LEN..).unwrap_or_default();
    let words = NlasIterator::new(attributes)
        .map_while(Result::ok)
        .find(|attribute| attribute.kind() == NLMSGERR_ATTR_MSG)
        .and_then(|attribute| parse_string(attribute.value()).ok());
    match words {
        Some(words) => sentence(format!("the kernel says \"{words}\""), number),
        None => number,
    }
}

/// Takes the first message off what was received: messages are padded to four octets.
pub(crate) fn split_message(octets: &[u8]) -> io::Result<(&[u8], &[u8])> {
    let len = NetlinkBuffer::new_checked(&octets).map_err(io::Error::other)?.length() as usize;
    let padded = len.next_multiple_of(4).min(octets.len());
    Ok((&octets[..len], &octets[padded..]))
}

/// Octets of `struct nlmsghdr`.
const NETLINK_HEADER_LEN: usize = 16;

/// The attribute of a refusal that is text.
const NLMSGERR_ATTR_MSG: u16 = 1;

/// Octets of one answer at the most: a dump comes in pieces of up to 32 KiB (netlink_dump() in
/// net/netlink/af_netlink.c), a single object in less.
const ANSWER_OCTETS_MAX: usize = 64 * 1024;

/// One answer's time to come: the kernel answers from memory, so this only ends a hang.
const RECEIVE_TIMEOUT_S: i64 = 5;

/// A whole answer's time to come, with all its pieces.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// How often a list is asked for that keeps changing.
const DUMPS_MAX: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_split_at_their_padded_length() {
        let mut octets = [0; 20 + 16];
        octets[0] = 17;
        octets[20] = 16;
        let (one, rest) = split_message(&octets).unwrap();
        assert_eq!((one.len(), rest.len()), (17, 16));
        let (two, rest) = split_message(rest).unwrap();
        assert_eq!((two.len(), rest.len()), (16, 0));
    }

    #[test]
    fn a_length_beyond_the_octets_is_refused() {
        let mut octets = [0; 16];
        octets[0] = 17;
        assert!(split_message(&octets).is_err());
        assert!(split_message(&octets[..3]).is_err());
        octets[0] = 4;
        assert!(split_message(&octets).is_err());
    }
}

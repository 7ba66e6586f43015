//! Messages of ARP: Ethernet and IPv4, 28 octets (RFC 826).

use std::net::Ipv4Addr;

use super::stats::Counter;
use crate::{link::LinkAddress, link::ethertype};

/// Octets of a message.
pub(super) const MESSAGE_LEN: usize = 28;
/// Hardware type of Ethernet, protocol type of IPv4, and the lengths of their addresses.
const KINDS: [u8; 6] = {
    let [a, b] = ethertype::IPV4.to_be_bytes();
    [0, 1, a, b, 6, 4]
};

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Request = 1,
    Reply = 2,
}

/// A message. `source` unspecified: a probe, of one who would like to have the target (RFC 5227,
/// section 1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub operation: Operation,
    pub from: LinkAddress,
    pub source: Ipv4Addr,
    pub to: LinkAddress,
    pub target: Ipv4Addr,
}

impl Message {
    /// Reads a message. Behind it there may be anything: short frames are padded.
    pub fn parse(octets: &[u8]) -> Result<Message, Counter> {
        let Some(octets) = octets.first_chunk::<MESSAGE_LEN>() else {
            return Err(Counter::ArpMalformed);
        };
        if octets[..6] != KINDS {
            return Err(Counter::ArpMalformed);
        }
        let operation = match octets[6..8] {
            [0, 1] => Operation::Request,
            [0, 2] => Operation::Reply,
            _ => return Err(Counter::ArpOperation),
        };
        let link = |at: usize| LinkAddress::read(&octets[at..]).unwrap_or(LinkAddress::NULL);
        let address =
            |at: usize| Ipv4Addr::new(octets[at], octets[at + 1], octets[at + 2], octets[at + 3]);
        let (from, source, to, target) = (link(8), address(14), link(18), address(24));
        // RFC 1812, section 3.3.2: no reply is believed that names a group as its sender's
        // address. A probe asks, it does not answer.
        let probe = source.is_unspecified() && operation == Operation::Request;
        if !from.is_station() || !(probe || is_host(source)) {
            return Err(Counter::ArpSender);
        }
        Ok(Message { operation, from, source, to, target })
    }

    /// The octets of the message.
    pub fn emit(&self) -> [u8; MESSAGE_LEN] {
        let mut octets = [0; MESSAGE_LEN];
        octets[..6].copy_from_slice(&KINDS);
        octets[7] = self.operation as u8;
        octets[8..14].copy_from_slice(&self.from.0);
        octets[14..18].copy_from_slice(&self.source.octets());
        octets[18..24].copy_from_slice(&self.to.0);
        octets[24..].copy_from_slice(&self.target.octets());
        octets
    }

    /// Whether a station says where it is without having been asked (RFC 5227, section 1.1: an
    /// announcement).
    pub fn is_announcement(&self) -> bool {
        self.source == self.target
    }
}

/// Whether one host can have this address (RFC 1122, section 3.2.1.3).
pub(super) fn is_host(address: Ipv4Addr) -> bool {
    !matches!(address.octets()[0], 0 | 127 | 224..)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 10.0.0.2 at 02:..:02 asks who has 10.0.0.1, padded to the least of Ethernet.
    const REQUEST: [u8; 46] = [
        0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 2, 10, 0, 0, 2, 0, 0, 0, 0, 0, 0, 10, 0, 0, 1, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    ];

    fn changed(at: usize, octets: &[u8]) -> Result<Message, Counter> {
        let mut message = REQUEST;
        message[at..at + octets.len()].copy_from_slice(octets);
        Message::parse(&message)
    }

    #[test]
    fn request_is_read_and_written_again() {
        let message = Message::parse(&REQUEST).unwrap();
        assert_eq!(message.operation, Operation::Request);
        assert_eq!(message.from, LinkAddress([2, 0, 0, 0, 0, 2]));
        assert_eq!(message.source, Ipv4Addr::new(10, 0, 0, 2));
        assert_eq!((message.to, message.target), (LinkAddress::NULL, Ipv4Addr::new(10, 0, 0, 1)));
        assert_eq!(message.emit(), REQUEST[..28]);
        assert_eq!(Message::parse(&REQUEST[..28]), Ok(message));
        assert!(!message.is_announcement());
    }

    #[test]
    fn each_field_is_checked() {
        assert_eq!(Message::parse(&REQUEST[..27]), Err(Counter::ArpMalformed));
        assert_eq!(Message::parse(&[]), Err(Counter::ArpMalformed));
        // IEEE 802 (type 6), IPv6, addresses of other lengths.
        for (at, octets) in [(0, [0, 6]), (2, [0x86, 0xdd]), (4, [8, 4]), (4, [6, 16]), (4, [0, 0])]
        {
            assert_eq!(changed(at, &octets), Err(Counter::ArpMalformed), "{at} {octets:?}");
        }
        // None, reverse requests, and what only the upper octet tells from a request.
        for octets in [[0, 0], [0, 3], [0, 4], [1, 1], [0xff, 2]] {
            assert_eq!(changed(6, &octets), Err(Counter::ArpOperation), "{octets:?}");
        }
        for from in [[0xff; 6], [0; 6], [1, 0, 0x5e, 0, 0, 1]] {
            assert_eq!(changed(8, &from), Err(Counter::ArpSender), "{from:?}");
        }
        for source in [[127, 0, 0, 1], [224, 0, 0, 1], [255; 4], [0, 0, 0, 1], [240, 0, 0, 1]] {
            assert_eq!(changed(14, &source), Err(Counter::ArpSender), "{source:?}");
        }
    }

    #[test]
    fn nobody_asks_but_does_not_answer() {
        assert!(changed(14, &[0; 4]).is_ok());
        let mut reply = REQUEST;
        reply[7] = 2;
        assert!(Message::parse(&reply).is_ok());
        reply[14..18].fill(0);
        assert_eq!(Message::parse(&reply), Err(Counter::ArpSender));
    }
}

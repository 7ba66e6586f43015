//! Echo requests and replies (RFC 792, RFC 4443 section 4), each checked to the last octet.

use std::{
    io,
    net::{IpAddr, SocketAddr, UdpSocket},
    process,
    sync::atomic::{AtomicBool, AtomicU16, Ordering},
    time::{Duration, Instant},
};

use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};

use super::{NEVER, STOP_INTERVAL, is_timeout, stopped};
use crate::{Namespace, error::sentence};

/// Sends `count` echo requests, each when the one before was answered or given up after
/// `timeout`, and returns the round trips of those that were answered.
///
/// # Errors
///
/// No raw socket, or no route to the destination.
pub fn ping(
    namespace: &Namespace,
    destination: IpAddr,
    count: u16,
    timeout: Duration,
) -> io::Result<Vec<Duration>> {
    let answers = Ping { count, timeout, ..Ping::new(destination) }.run(namespace, &NEVER)?;
    Ok(answers.into_iter().flatten().collect())
}

/// Echo requests, and how many of which size.
#[derive(Clone, Debug)]
pub struct Ping {
    /// Who is asked.
    pub destination: IpAddr,
    /// How many requests.
    pub count: u16,
    /// How long one reply is waited for.
    pub timeout: Duration,
    /// Octets behind the 8 of the ICMP header, up to [`PAYLOAD_OCTETS_MAX`].
    pub payload_octets: usize,
}

/// Octets of an echo request's payload at the most: an IPv4 packet has 65,535.
pub const PAYLOAD_OCTETS_MAX: usize = 65_535 - 20 - HEADER_LEN;

impl Ping {
    /// One request with 56 octets, as everybody sends it, and a second for the reply.
    pub fn new(destination: IpAddr) -> Ping {
        Ping { destination, count: 1, timeout: Duration::from_secs(1), payload_octets: 56 }
    }

    /// Sends and waits. One round trip for each request, `None` for those without a reply; when
    /// stopped, those that were sent until then.
    ///
    /// # Errors
    ///
    /// No raw socket, or no route to the destination.
    pub fn run(
        &self,
        namespace: &Namespace,
        stop: &AtomicBool,
    ) -> io::Result<Vec<Option<Duration>>> {
        let failed = |error| sentence(format!("{} was not pinged", self.destination), error);
        let socket = namespace.run(|| open(self.destination))?.map_err(failed)?;
        let mut answers = Vec::new();
        // Differs from that of other pings, of this process and of others, as far as 16 bits go.
        let identifier = (process::id() as u16)
            .wrapping_mul(0x9e37)
            .wrapping_add(COUNT.fetch_add(1, Ordering::Relaxed));
        for sequence in 0..self.count {
            if stopped(stop) {
                break;
            }
            let echo = Echo::new(identifier, sequence, self.payload_octets.min(PAYLOAD_OCTETS_MAX));
            answers.push(self.exchange(&socket, &echo, stop).map_err(failed)?);
        }
        Ok(answers)
    }

    fn exchange(
        &self,
        socket: &UdpSocket,
        echo: &Echo,
        stop: &AtomicBool,
    ) -> io::Result<Option<Duration>> {
        let started = Instant::now();
        match socket.send(&echo.request(self.destination)) {
            Ok(_) => {}
            // An earlier request was answered with "unreachable": this one has no reply either.
            Err(error) if is_unreachable(&error) => return Ok(None),
            Err(error) => return Err(error),
        }
        let mut octets = vec![0; IP_HEADER_MAX + HEADER_LEN + PAYLOAD_OCTETS_MAX];
        while !stopped(stop) {
            let left = self.timeout.saturating_sub(started.elapsed());
            if left.is_zero() {
                break;
            }
            socket.set_read_timeout(Some(left.min(STOP_INTERVAL)))?;
            match socket.recv(&mut octets) {
                Ok(len) if echo.is_answered_by(self.destination, &octets[..len]) => {
                    return Ok(Some(started.elapsed()));
                }
                // Somebody else's ICMP: a raw socket gets a copy of each.
                Ok(_) => {}
                Err(error) if is_timeout(&error) => {}
                Err(error) if is_unreachable(&error) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }
}

/// One request and the reply that it calls for.
struct Echo {
    identifier: u16,
    sequence: u16,
    payload: Vec<u8>,
}

impl Echo {
    fn new(identifier: u16, sequence: u16, octets: usize) -> Echo {
        // Differs from one request to the next, so that a late reply cannot pass for another.
        let first = sequence.wrapping_mul(31) as u8;
        let payload = (0..octets).map(|at| first.wrapping_add(at as u8)).collect();
        Echo { identifier, sequence, payload }
    }

    fn request(&self, destination: IpAddr) -> Vec<u8> {
        match destination {
            IpAddr::V4(_) => {
                let mut octets = self.emit(V4_REQUEST);
                let sum = checksum(&octets).to_be_bytes();
                octets[2..4].copy_from_slice(&sum);
                octets
            }
            // Its checksum covers the addresses: the kernel fills it in (RFC 3542 section 3.1).
            IpAddr::V6(_) => self.emit(V6_REQUEST),
        }
    }

    fn is_answered_by(&self, destination: IpAddr, received: &[u8]) -> bool {
        match destination {
            // A raw socket of IPv4 has the IP header in front (raw(7)), one of IPv6 has not.
            IpAddr::V4(_) => {
                let header_len = received.first().map_or(0, |first| usize::from(first & 0xf) * 4);
                let reply = received.get(header_len..).unwrap_or_default();
                // The kernel hands raw sockets what it has not checked itself.
                self.is_reply(reply, V4_REPLY) && checksum(reply) == 0
            }
            IpAddr::V6(_) => self.is_reply(received, V6_REPLY),
        }
    }

    fn is_reply(&self, octets: &[u8], kind: u8) -> bool {
        let mut expected = self.emit(kind);
        match octets.get(2..4) {
            Some(sum) => expected[2..4].copy_from_slice(sum),
            None => return false,
        }
        octets == expected
    }

    /// Type, code 0, checksum 0, identifier, sequence number, payload.
    fn emit(&self, kind: u8) -> Vec<u8> {
        let mut octets = vec![kind, 0, 0, 0];
        octets.extend(self.identifier.to_be_bytes());
        octets.extend(self.sequence.to_be_bytes());
        octets.extend(&self.payload);
        octets
    }
}

/// A connected raw socket gets ICMP from its peer only. The type is UDP's because it has `send`,
/// `recv` and the timeouts; the kernel goes by the socket.
fn open(destination: IpAddr) -> io::Result<UdpSocket> {
    let (family, protocol) = match destination {
        IpAddr::V4(_) => (AddressFamily::Inet, SockProtocol::Icmp),
        IpAddr::V6(_) => (AddressFamily::Inet6, SockProtocol::IcmpV6),
    };
    let socket = socket(family, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol)?;
    let socket = UdpSocket::from(socket);
    socket.connect(SocketAddr::new(destination, 0))?;
    Ok(socket)
}

fn is_unreachable(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::HostUnreachable | io::ErrorKind::ConnectionRefused)
}

/// The internet checksum (RFC 1071). Zero over octets that hold their own.
fn checksum(octets: &[u8]) -> u16 {
    let mut sum = 0u32;
    for pair in octets.chunks(2) {
        let word = [pair[0], pair.get(1).copied().unwrap_or_default()];
        sum += u32::from(u16::from_be_bytes(word));
    }
    // Two folds are enough: 2^15 words are below 2^31.
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    !(sum as u16)
}

/// Pings of this process so far.
static COUNT: AtomicU16 = AtomicU16::new(0);

/// Octets of an ICMP echo header.
const HEADER_LEN: usize = 8;

/// Octets of an IPv4 header with options at the most.
const IP_HEADER_MAX: usize = 60;

const V4_REQUEST: u8 = 8;
const V4_REPLY: u8 = 0;
const V6_REQUEST: u8 = 128;
const V6_REPLY: u8 = 129;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test;

    const V4: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn a_request_checks_itself() {
        for octets in [0, 1, 55, 56] {
            let request = Echo::new(1, 2, octets).request(V4);
            assert_eq!((request.len(), checksum(&request)), (8 + octets, 0));
        }
        // RFC 1071 section 3.
        assert_eq!(!checksum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), 0xddf2);
    }

    #[test]
    fn only_the_whole_reply_is_one() {
        let echo = Echo::new(7, 9, 56);
        let mut reply = vec![0x45; 20];
        reply.extend(echo.emit(V4_REPLY));
        let sum = checksum(&reply[20..]).to_be_bytes();
        reply[22..24].copy_from_slice(&sum);
        assert!(echo.is_answered_by(V4, &reply));
        for at in 20..reply.len() {
            let mut damaged = reply.clone();
            damaged[at] ^= 1;
            assert!(!echo.is_answered_by(V4, &damaged), "octet {at}");
            assert!(!echo.is_answered_by(V4, &reply[..at]), "{at} octets");
        }
        assert!(!echo.is_answered_by(V4, &[]));
    }

    #[test]
    fn both_families_answer_at_every_size() {
        test::root!();
        let (one, _other) = test::pair();
        for destination in ["10.0.0.2", "fd00::2"] {
            let destination = destination.parse().unwrap();
            test::eventually("three answers to three requests", || {
                ping(&one, destination, 3, Duration::from_secs(5)).unwrap().len() == 3
            });
            for payload_octets in [0, 1472, 1473, 9000, 60_000] {
                let timeout = Duration::from_secs(5);
                let ping = Ping { payload_octets, timeout, ..Ping::new(destination) };
                test::eventually(&format!("{payload_octets} octets to {destination}"), || {
                    ping.run(&one, &NEVER).unwrap()[0].is_some()
                });
            }
        }
    }

    #[test]
    fn nobody_does_not_answer() {
        test::root!();
        let (one, _other) = test::pair();
        for nobody in ["10.0.0.9", "fd00::9"] {
            let answers = ping(&one, nobody.parse().unwrap(), 2, Duration::from_millis(20));
            assert_eq!(answers.unwrap(), []);
        }
        assert!(ping(&one, "192.0.2.1".parse().unwrap(), 1, Duration::from_millis(20)).is_err());
        let stop = AtomicBool::new(true);
        let answers = Ping::new("10.0.0.2".parse().unwrap()).run(&one, &stop).unwrap();
        assert_eq!(answers, []);
    }
}

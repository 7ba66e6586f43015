//! Packets and a place for new ones, for tests.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::Emit;
use crate::packet::checksum;

/// Keeps what was emitted, up to so many packets.
#[derive(Default)]
pub(crate) struct Emitted(pub Vec<Vec<u8>>, pub Option<usize>);

impl Emit for Emitted {
    fn room(&mut self, octets: usize) -> Option<&mut [u8]> {
        if self.1.is_some_and(|most| self.0.len() >= most) {
            return None;
        }
        // Not zeros: all of it must be written.
        self.0.push(vec![0xa5; octets]);
        self.0.last_mut().map(Vec::as_mut_slice)
    }
}

/// A packet of IPv4 with a valid checksum.
pub(crate) fn ipv4(
    source: &str,
    destination: &str,
    ttl: u8,
    protocol: u8,
    payload: &[u8],
) -> Vec<u8> {
    let mut octets = vec![0x45, 0, 0, 0, 0, 9, 0, 0, ttl, protocol, 0, 0];
    octets.extend(source.parse::<Ipv4Addr>().unwrap().octets());
    octets.extend(destination.parse::<Ipv4Addr>().unwrap().octets());
    octets.extend(payload);
    sealed(octets)
}

/// With the right length and checksum.
pub(crate) fn sealed(mut octets: Vec<u8>) -> Vec<u8> {
    let len = octets.len() as u16;
    octets[2..4].copy_from_slice(&len.to_be_bytes());
    octets[10..12].fill(0);
    let header_len = usize::from(octets[0] & 0xf) * 4;
    let check = checksum(&octets[..header_len]);
    octets[10..12].copy_from_slice(&check.to_be_bytes());
    octets
}

/// A packet of IPv6.
pub(crate) fn ipv6(source: &str, destination: &str, hops: u8, next: u8, payload: &[u8]) -> Vec<u8> {
    let mut octets = vec![0x60, 0, 0, 0];
    octets.extend((payload.len() as u16).to_be_bytes());
    octets.extend([next, hops]);
    octets.extend(source.parse::<Ipv6Addr>().unwrap().octets());
    octets.extend(destination.parse::<Ipv6Addr>().unwrap().octets());
    octets.extend(payload);
    octets
}

//! Packets without what stands between header and payload: what answers them has none of it.

use std::borrow::Cow;

use super::extension::Place;
use crate::packet::{IPV4_HEADER_LEN, IPV6_HEADER_LEN, Ipv4, checksum};

/// The packet without its options: what answers it has none of them.
pub(super) fn plain_v4<'a>(octets: &'a [u8], packet: &Ipv4) -> Cow<'a, [u8]> {
    if packet.header_len == IPV4_HEADER_LEN {
        return Cow::Borrowed(octets);
    }
    let (header, payload) = (&octets[..IPV4_HEADER_LEN], &octets[packet.header_len..]);
    let mut plain = [header, payload].concat();
    plain[0] = 0x45;
    let len = plain.len() as u16;
    plain[2..4].copy_from_slice(&len.to_be_bytes());
    seal(&mut plain);
    Cow::Owned(plain)
}

/// The packet without its extension headers.
pub(super) fn plain_v6(octets: &[u8], place: Place) -> Cow<'_, [u8]> {
    if place.at == IPV6_HEADER_LEN {
        return Cow::Borrowed(octets);
    }
    let payload = &octets[place.at..];
    let mut plain = [&octets[..IPV6_HEADER_LEN], payload].concat();
    plain[4..6].copy_from_slice(&(payload.len() as u16).to_be_bytes());
    plain[6] = place.protocol;
    Cow::Owned(plain)
}

/// Gives a header of IPv4 its checksum.
pub(super) fn seal(octets: &mut [u8]) {
    let len = usize::from(octets[0] & 0xf) * 4;
    octets[10..12].fill(0);
    let check = checksum(&octets[..len]);
    octets[10..12].copy_from_slice(&check.to_be_bytes());
}

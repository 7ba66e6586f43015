//! Fragments of IPv4, made on the way out (RFC 791, section 3.2; RFC 1812, section 4.2.2.7).
//!
//! All but the last are as large as the MTU allows, in units of eight octets. The first has all
//! options, the others those that say they are to be copied. What was a fragment before keeps its
//! place: its offset is added, and the last of its parts says whether more follow. The originals'
//! octets are copied and never changed.

use crate::{
    emit::Emit,
    packet::{IPV4_HEADER_LEN, Ipv4, checksum},
};

/// Set in the type of an option that all fragments have (RFC 791, section 3.1).
const COPIED: u8 = 0x80;
/// End of the list of options.
const END: u8 = 0;
/// An option without a length, to fill up.
const NOP: u8 = 1;
/// Octets of options, at most.
const OPTIONS_MAX: usize = 40;

/// Cuts a packet so that no part is longer than the MTU, and says into how many. `None`: there was
/// no room for one of them, and those before it are of no use to anybody.
///
/// The TTL is copied as it is. DF must be clear, and the MTU no less than 68.
pub fn fragment(octets: &[u8], packet: &Ipv4, mtu: usize, emit: &mut impl Emit) -> Option<u64> {
    let octets = octets.get(..packet.len)?;
    let (header, payload) = octets.split_at_checked(packet.header_len)?;
    let (copied, copied_len) = copied_options(header.get(IPV4_HEADER_LEN..)?);
    let more_behind = packet.fragment & Ipv4::MORE_FRAGMENTS;
    let (mut done, mut count) = (0, 0);
    while done < payload.len() {
        let options = if done == 0 { &header[IPV4_HEADER_LEN..] } else { &copied[..copied_len] };
        let header_len = IPV4_HEADER_LEN + options.len();
        let room = mtu.checked_sub(header_len)?;
        let rest = payload.len() - done;
        // Less than eight octets make no progress.
        let len = if rest <= room { rest } else { room & !7 };
        if len == 0 {
            return None;
        }
        let part = emit.room(header_len + len)?;
        part[..IPV4_HEADER_LEN].copy_from_slice(&header[..IPV4_HEADER_LEN]);
        part[IPV4_HEADER_LEN..header_len].copy_from_slice(options);
        part[header_len..].copy_from_slice(&payload[done..done + len]);
        part[0] = 0x40 | (header_len / 4) as u8;
        part[2..4].copy_from_slice(&((header_len + len) as u16).to_be_bytes());
        let more = if done + len < payload.len() { Ipv4::MORE_FRAGMENTS } else { more_behind };
        let offset = (packet.offset() + done) / 8;
        part[6..8].copy_from_slice(&(more | offset as u16 & Ipv4::OFFSET).to_be_bytes());
        part[10..12].fill(0);
        let check = checksum(&part[..header_len]);
        part[10..12].copy_from_slice(&check.to_be_bytes());
        done += len;
        count += 1;
    }
    Some(count)
}

/// The options that all fragments have, filled up to whole words, and their octets.
fn copied_options(options: &[u8]) -> ([u8; OPTIONS_MAX], usize) {
    let mut copied = [END; OPTIONS_MAX];
    let mut len = 0;
    for option in Options(options) {
        if let Ok(option) = option
            && option[0] & COPIED != 0
        {
            copied[len..len + option.len()].copy_from_slice(option);
            len += option.len();
        }
    }
    (copied, len.next_multiple_of(4))
}

/// The options of a header, but those that only fill up. An error is the last thing: what cannot
/// be read has no length. It says how many octets are left, from that option on.
pub(crate) struct Options<'a>(pub &'a [u8]);

impl<'a> Iterator for Options<'a> {
    type Item = Result<&'a [u8], usize>;

    fn next(&mut self) -> Option<Self::Item> {
        while let [NOP, rest @ ..] = self.0 {
            self.0 = rest;
        }
        let len = match self.0 {
            [] | [END, ..] => return None,
            [_, len, ..] => usize::from(*len),
            [_] => 0,
        };
        if len < 2 || len > self.0.len() {
            return Some(Err(std::mem::take(&mut self.0).len()));
        }
        let (option, rest) = self.0.split_at(len);
        self.0 = rest;
        Some(Ok(option))
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::forward::sample::{Emitted, ipv4};

    fn cut(octets: &[u8], mtu: usize) -> Vec<Vec<u8>> {
        let mut emitted = Emitted::default();
        let packet = Ipv4::parse(octets).unwrap();
        let count = fragment(octets, &packet, mtu, &mut emitted).unwrap();
        assert_eq!(count as usize, emitted.0.len());
        emitted.0
    }

    /// Puts fragments together as RFC 791 says, without a thought of how they were made.
    fn together(parts: &[Vec<u8>]) -> Vec<u8> {
        let mut payload = Vec::new();
        for part in parts {
            let packet = Ipv4::parse(part).unwrap();
            assert_eq!(packet.offset(), payload.len());
            payload.extend(&part[packet.header_len..packet.len]);
        }
        payload
    }

    #[test]
    fn packet_of_1500_octets_passes_a_link_of_576_in_three_parts() {
        let octets = ipv4("192.0.2.1", "198.51.100.2", 64, 17, &[7; 1480]);
        let parts = cut(&octets, 576);
        let lens: Vec<_> = parts.iter().map(Vec::len).collect();
        assert_eq!(lens, [572, 572, 396]);
        let fields: Vec<_> = parts.iter().map(|p| Ipv4::parse(p).unwrap().fragment).collect();
        assert_eq!(fields, [0x2000, 0x2000 | 69, 138]);
        assert_eq!(together(&parts), [7; 1480]);
    }

    #[test]
    fn fragment_of_a_fragment_keeps_its_place_and_its_flag() {
        let mut octets = ipv4("192.0.2.1", "198.51.100.2", 64, 17, &[7; 80]);
        octets[6..8].copy_from_slice(&(Ipv4::MORE_FRAGMENTS | 100).to_be_bytes());
        octets[10..12].fill(0);
        let check = checksum(&octets[..20]);
        octets[10..12].copy_from_slice(&check.to_be_bytes());
        let fields: Vec<_> =
            cut(&octets, 68).iter().map(|p| Ipv4::parse(p).unwrap().fragment).collect();
        assert_eq!(fields, [0x2000 | 100, 0x2000 | 106]);
    }

    #[test]
    fn options_are_copied_by_their_bit() {
        // A NOP, a record route that is not copied, a router alert that is.
        let options = [1, 7, 7, 4, 0, 0, 0, 0, 0x94, 4, 0, 0];
        let found = copied_options(&options);
        assert_eq!((&found.0[..4], found.1), (&[0x94, 4, 0, 0][..], 4));
        let (copied, len) = copied_options(&[0x82, 3, 9, 1, 7, 2, 0, 0]);
        assert_eq!(&copied[..len], [0x82, 3, 9, 0]);
    }

    #[test]
    fn options_that_cannot_be_read_end_the_list() {
        let errors = |octets: &[u8]| Options(octets).filter(Result::is_err).count();
        assert_eq!([&[7][..], &[7, 0], &[7, 1], &[7, 9, 0, 0]].map(errors), [1; 4]);
        assert_eq!([&[][..], &[0, 7, 0, 0], &[1, 1, 1, 0], &[7, 3, 0, 0]].map(errors), [0; 4]);
    }

    #[test]
    fn no_room_is_no_fragment() {
        let octets = ipv4("192.0.2.1", "198.51.100.2", 64, 17, &[7; 1480]);
        let packet = Ipv4::parse(&octets).unwrap();
        let mut full = Emitted(Vec::new(), Some(2));
        assert_eq!(fragment(&octets, &packet, 576, &mut full), None);
    }

    proptest! {
        #[test]
        fn parts_together_are_the_packet(
            payload in vec(any::<u8>(), 1..3000),
            mtu in 68..1500_usize,
        ) {
            let octets = ipv4("192.0.2.1", "198.51.100.2", 64, 17, &payload);
            let parts = cut(&octets, mtu);
            prop_assert!(parts.iter().all(|part| part.len() <= mtu));
            prop_assert_eq!(together(&parts), payload);
            let last = Ipv4::parse(parts.last().unwrap()).unwrap();
            prop_assert_eq!(last.fragment & Ipv4::MORE_FRAGMENTS, 0);
        }
    }
}

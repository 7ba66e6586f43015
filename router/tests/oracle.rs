//! Parsers and fragments beside those of etherparse, which knows nothing of ours.

use etherparse::{Ipv4HeaderSlice, Ipv6HeaderSlice, SlicedPacket, defrag::IpDefragPool};
use proptest::{collection::vec, prelude::*, sample::select};
use uswitch_router::{
    forward::Emit,
    fragment::fragment,
    packet::{Ipv4, Ipv6, checksum},
    stats::Reason,
};

/// Headers that are nearly sound: any octets, but the first of a version and lengths that may fit.
fn octets() -> impl Strategy<Value = Vec<u8>> {
    let first = prop_oneof![Just(0x45_u8), Just(0x46), Just(0x4f), Just(0x60), any::<u8>()];
    (first, vec(any::<u8>(), 0..100), 0..120_u16, any::<bool>()).prop_map(
        |(first, mut octets, len, sealed)| {
            if let Some(begin) = octets.first_mut() {
                *begin = first;
            }
            let at = if first >> 4 == 4 { 2 } else { 4 };
            // Etherparse forgets the flag that is reserved, and so its checksum is another.
            if let Some(flags) = octets.get_mut(6).filter(|_| first >> 4 == 4) {
                *flags &= 0x7f;
            }
            if let Some(field) = octets.get_mut(at..at + 2) {
                field.copy_from_slice(&len.to_be_bytes());
            }
            let header_len = usize::from(first & 0xf) * 4;
            if sealed && first >> 4 == 4 && header_len >= 20 && octets.len() >= header_len {
                octets[10..12].fill(0);
                let check = checksum(&octets[..header_len]);
                octets[10..12].copy_from_slice(&check.to_be_bytes());
            }
            octets
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 1000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn headers_of_ipv4_are_read_alike(octets in octets()) {
        let theirs = Ipv4HeaderSlice::from_slice(&octets);
        match Ipv4::parse(&octets) {
            Ok(ours) => {
                let theirs = theirs.unwrap();
                prop_assert_eq!(ours.header_len, theirs.slice().len());
                prop_assert_eq!(ours.len, usize::from(theirs.total_len()));
                prop_assert_eq!(ours.tos, theirs.dcp().value() << 2 | theirs.ecn().value());
                prop_assert_eq!(ours.ttl, theirs.ttl());
                prop_assert_eq!(ours.protocol, theirs.protocol().0);
                prop_assert_eq!(ours.source, theirs.source_addr());
                prop_assert_eq!(ours.destination, theirs.destination_addr());
                prop_assert_eq!(ours.is_fragment(), theirs.is_fragmenting_payload());
                prop_assert_eq!(ours.offset(), usize::from(theirs.fragments_offset().value()) * 8);
                let header = theirs.to_header();
                prop_assert_eq!(header.calc_header_checksum(), header.header_checksum);
            }
            Err(reason) => {
                let sound = theirs.is_ok_and(|theirs| {
                    let (len, header) = (usize::from(theirs.total_len()), theirs.to_header());
                    len <= octets.len() && len >= theirs.slice().len()
                        && header.calc_header_checksum() == header.header_checksum
                });
                prop_assert!(!sound, "{:?}", reason);
            }
        }
    }

    #[test]
    fn headers_of_ipv6_are_read_alike(octets in octets()) {
        let theirs = Ipv6HeaderSlice::from_slice(&octets);
        match Ipv6::parse(&octets) {
            Ok(ours) => {
                let theirs = theirs.unwrap();
                prop_assert_eq!(ours.len, 40 + usize::from(theirs.payload_length()));
                prop_assert_eq!(ours.next_header, theirs.next_header().0);
                prop_assert_eq!(ours.hop_limit, theirs.hop_limit());
                prop_assert_eq!(ours.source, theirs.source_addr());
                prop_assert_eq!(ours.destination, theirs.destination_addr());
            }
            Err(Reason::IpLength) => {
                prop_assert!(40 + usize::from(theirs.unwrap().payload_length()) > octets.len());
            }
            Err(reason) => prop_assert!(theirs.is_err(), "{:?}", reason),
        }
    }

    #[test]
    fn fragments_are_put_together_by_another(
        payload in vec(any::<u8>(), 1500..3000),
        mtu in 100..1500_usize,
        options in select(vec![vec![], vec![0x94, 4, 0, 0], vec![7, 7, 4, 0, 0, 0, 0, 0]]),
    ) {
        let header_len = 20 + options.len();
        let len = ((header_len + payload.len()) as u16).to_be_bytes();
        let first = 0x40 | (header_len / 4) as u8;
        let mut octets = vec![first, 0, len[0], len[1], 1, 2, 0, 0, 64, 253];
        octets.extend([0, 0, 192, 0, 2, 1, 198, 51, 100, 2]);
        octets.extend(options);
        let check = checksum(&octets);
        octets[10..12].copy_from_slice(&check.to_be_bytes());
        octets.extend(&payload);
        let mut parts = Parts(Vec::new());
        let count = fragment(&octets, &Ipv4::parse(&octets).unwrap(), mtu, &mut parts).unwrap();
        prop_assert_eq!(count as usize, parts.0.len());
        let mut pool = IpDefragPool::<(), ()>::new();
        let mut whole = None;
        // Backwards, as a network may do it.
        for part in parts.0.iter().rev() {
            let sliced = SlicedPacket::from_ip(part).unwrap();
            whole = pool.process_sliced_packet(&sliced, (), ()).unwrap();
        }
        prop_assert_eq!(whole.unwrap().payload, payload);
    }
}

struct Parts(Vec<Vec<u8>>);

impl Emit for Parts {
    fn room(&mut self, octets: usize) -> Option<&mut [u8]> {
        self.0.push(vec![0xa5; octets]);
        self.0.last_mut().map(Vec::as_mut_slice)
    }
}

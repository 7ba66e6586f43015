//! Any sequence of packets for the router itself: what it says is sound, small and from its own
//! address, and it says nothing about errors. The first octet of each says how long it is and
//! whether its addresses and lengths are made right, for few strangers' would be.
#![no_main]

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::{Arc, LazyLock},
};

use libfuzzer_sys::fuzz_target;
use uswitch_router::{
    own::{Fate, Own},
    packet::{Ipv4, Ipv6, checksum, checksum_icmpv6, protocol},
    route::{Leg, LegId},
    tables::Tables,
};

const OWN: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)),
    IpAddr::V6(Ipv6Addr::new(0xfd01, 0, 0, 0, 0, 0, 0, 1)),
];
const PEER: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)),
    IpAddr::V6(Ipv6Addr::new(0xfd01, 0, 0, 0, 0, 0, 0, 2)),
];
const MTU: usize = 1400;

/// One leg. Tables take longer to make than all that is done with them here.
static TABLES: LazyLock<Arc<Tables>> = LazyLock::new(|| {
    let addresses = ["10.0.0.1/24", "fd01::1/64"].map(|text| text.parse().unwrap()).to_vec();
    Arc::new(Tables::build(vec![Leg::new(addresses, MTU)], &[]).expect("one leg"))
});

fuzz_target!(|input: &[u8]| {
    let mut own = Own::new(TABLES.clone(), 1);
    let mut now = 0;
    let mut rest = input;
    while let [how, len, more @ ..] = rest {
        let (octets, behind) = more.split_at((usize::from(*len) * 8).min(more.len()));
        rest = behind;
        let mut octets = octets.to_vec();
        let made_right = how & 1 == 0;
        if made_right {
            make_right(&mut octets);
        }
        let mut said = Vec::new();
        let fate = own.packet(LegId(0), &octets, now, &mut |answer| said.push(answer.to_vec()));
        assert!(made_right || octets.len() >= 20 || fate != Fate::Answered);
        now += u64::from(how >> 1) * 100;
        own.tick(now, &mut |_, answer| said.push(answer.to_vec()));
        for answer in &said {
            check(answer, made_right);
            own.cut(answer, MTU, &mut |part| assert!(part.len() <= MTU, "{} octets", part.len()));
        }
    }
});

/// Gives a packet a version, lengths, addresses and a checksum that can be.
fn make_right(octets: &mut [u8]) {
    let len = octets.len();
    let Some(first) = octets.first_mut() else { return };
    if *first & 0x40 != 0 && len >= 40 {
        *first = 0x60;
        octets[4..6].copy_from_slice(&((len - 40) as u16).to_be_bytes());
        let [IpAddr::V6(source), IpAddr::V6(destination)] = [PEER[1], OWN[1]] else { return };
        octets[8..24].copy_from_slice(&source.octets());
        octets[24..40].copy_from_slice(&destination.octets());
        if octets[6] == protocol::ICMPV6 && len >= 44 {
            octets[42..44].fill(0);
            let check = checksum_icmpv6(source, destination, &octets[40..]);
            octets[42..44].copy_from_slice(&check.to_be_bytes());
        }
    } else if len >= 20 {
        let header = (usize::from(*first & 0xf) * 4).clamp(20, len & !3);
        *first = 0x40 | (header / 4) as u8;
        octets[2..4].copy_from_slice(&(len as u16).to_be_bytes());
        let [IpAddr::V4(source), IpAddr::V4(destination)] = [PEER[0], OWN[0]] else { return };
        octets[12..16].copy_from_slice(&source.octets());
        octets[16..20].copy_from_slice(&destination.octets());
        if octets[9] == protocol::ICMP && len >= header + 4 {
            octets[header + 2..header + 4].fill(0);
            let check = checksum(&octets[header..]);
            octets[header + 2..header + 4].copy_from_slice(&check.to_be_bytes());
        }
        octets[10..12].fill(0);
        let check = checksum(&octets[..header]);
        octets[10..12].copy_from_slice(&check.to_be_bytes());
    }
}

/// An answer can be sent: and if it was not made to lie, it goes to who asked.
fn check(answer: &[u8], made_right: bool) {
    let [source, destination, number] = if answer[0] >> 4 == 4 {
        let packet = Ipv4::parse(answer).expect("a sound header");
        assert_eq!(packet.len, answer.len());
        [packet.source.into(), packet.destination.into(), OWN[0]]
    } else {
        let packet = Ipv6::parse(answer).expect("a sound header");
        assert_eq!(packet.len, answer.len());
        packet.upper(answer).expect("sound extension headers");
        [packet.source.into(), packet.destination.into(), OWN[1]]
    };
    assert_eq!(source, number);
    assert!(!destination.is_multicast() && !destination.is_unspecified());
    if made_right {
        assert!(PEER.contains(&destination) || !OWN.contains(&destination));
    }
}

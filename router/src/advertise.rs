//! Router advertisements: by them the hosts of a link find the router, their addresses and the
//! servers of DNS (RFC 4861, section 6.2; RFC 8106; RFC 4191).
//!
//! One is sent when an [`Advertiser`] begins, then from time to time, at intervals that are drawn
//! so that routers do not fall into step; the first few follow sooner. Who asks is answered within
//! half a second, by one for all that asked meanwhile, and never sooner than three seconds after
//! the last one. At the end a last one says that this is no default router any more. All go to
//! all nodes: what one host learns, the others may as well.
//!
//! Each leg has its own advertiser. What other routers say is not compared with it (section
//! 6.2.7).

mod config;
mod message;

pub use config::{AdvertiseConfig, AdvertiseFault, AdvertisedPrefix, FOREVER_S, Preference};

use std::net::Ipv6Addr;

use self::message::{ALL_NODES, advertisement, is_solicitation};
use crate::{
    limit::Tick,
    link::{LinkAddress, Post, ethertype},
    route::{LegId, MTU_MIN_V6},
};

/// Ticks in a second.
const SECOND: u32 = 1000 / Tick::MILLIS as u32;
/// Advertisements at the beginning, and the ticks after which the next of them follows at the
/// latest (RFC 4861, section 10: MAX_INITIAL_RTR_ADVERTISEMENTS, MAX_INITIAL_RTR_ADVERT_INTERVAL).
const INITIAL_COUNT: u32 = 3;
const INITIAL_INTERVAL_MAX: u32 = 16 * SECOND;
/// Ticks until an answer, at most: with the tick in which the question came it is no more than
/// half a second (MAX_RA_DELAY_TIME).
const ANSWER_DELAY_MAX: u32 = SECOND / 2 - 1;
/// Ticks between two advertisements, at least (MIN_DELAY_BETWEEN_RAS).
const PAUSE: u32 = 3 * SECOND;

/// What advertises a router on one link.
#[derive(Clone, Debug)]
pub struct Advertiser {
    leg: LegId,
    /// The packets, made once: as long as it goes on, and at the end.
    usual: Vec<u8>,
    last: Vec<u8>,
    /// Ticks of the shortest and the longest interval.
    interval: (u32, u32),
    /// How many were sent, up to those of the beginning.
    count: u32,
    /// When the last was sent.
    sent: Option<Tick>,
    /// When the next is due; `None`: at once.
    due: Option<Tick>,
    /// Whether that is the answer to somebody.
    asked: bool,
    /// Whether it has ended.
    ceased: bool,
    /// For intervals and delays.
    seed: u64,
}

impl Advertiser {
    /// An advertiser for the link of a leg, on which the router has this link-layer address and
    /// this link-local one. Others draw other intervals by another seed.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with what is to be said.
    pub fn new(
        leg: LegId,
        config: &AdvertiseConfig,
        own: LinkAddress,
        link_local: Ipv6Addr,
        seed: u64,
    ) -> Result<Advertiser, Vec<AdvertiseFault>> {
        let mut faults = config.faults();
        let usual = advertisement(config, (own, link_local), config.lifetime_s);
        if usual.len() > MTU_MIN_V6 {
            faults.push(AdvertiseFault::Long(usual.len()));
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        let last = advertisement(config, (own, link_local), 0);
        let ticks = |seconds: u16| u32::from(seconds) * SECOND;
        let interval = (ticks(config.interval_min_s), ticks(config.interval_max_s));
        let (count, sent, due, asked, ceased) = (0, None, None, false, false);
        Ok(Advertiser { leg, usual, last, interval, count, sent, due, asked, ceased, seed })
    }

    /// A packet with a router solicitation came by the leg. `false`: it is not sound, and nobody
    /// is answered (section 6.1.1).
    pub fn solicit(&mut self, packet: &[u8], now: Tick) -> bool {
        if !is_solicitation(packet) {
            return false;
        }
        // One answer is for all that ask until it is sent (section 6.2.6).
        if self.asked {
            return true;
        }
        let delay = self.draw(0, ANSWER_DELAY_MAX);
        let rest = self.sent.map_or(0, |sent| PAUSE.saturating_sub(sent.until(now)));
        let answer = now.after(rest + delay);
        // What is due before then answers, too.
        if self.due.is_some_and(|due| answer.until(due) > 0) {
            self.due = Some(answer);
            self.asked = true;
        }
        true
    }

    /// When something is due; `None`: not before it is asked for.
    pub fn next(&self, now: Tick) -> Option<Tick> {
        (!self.ceased).then(|| self.due.unwrap_or(now))
    }

    /// Sends what is due: to be called at the tick of [`Advertiser::next`], or more often.
    pub fn tick(&mut self, now: Tick, post: &mut impl Post) {
        if self.ceased || self.due.is_some_and(|due| !is_over(due, now)) {
            return;
        }
        post.send(self.leg, LinkAddress::of_group_v6(ALL_NODES), ethertype::IPV6, &self.usual);
        self.count = (self.count + 1).min(INITIAL_COUNT);
        let (min, max) = self.interval;
        let interval = self.draw(min, max);
        let initial = self.count < INITIAL_COUNT;
        let interval = if initial { interval.min(INITIAL_INTERVAL_MAX) } else { interval };
        (self.sent, self.due, self.asked) = (Some(now), Some(now.after(interval)), false);
    }

    /// Says that this is no default router any more (section 6.2.5); nothing is sent after that.
    pub fn cease(&mut self, post: &mut impl Post) {
        if !std::mem::replace(&mut self.ceased, true) {
            let to = LinkAddress::of_group_v6(ALL_NODES);
            post.send(self.leg, to, ethertype::IPV6, &self.last);
        }
    }

    /// A number within these bounds (SplitMix64: it need not be secret, only spread).
    fn draw(&mut self, min: u32, max: u32) -> u32 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.seed;
        bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        let spread = u64::from(max - min) + 1;
        min + ((bits ^ bits >> 31) % spread) as u32
    }
}

fn is_over(due: Tick, now: Tick) -> bool {
    now.0.wrapping_sub(due.0) <= u32::MAX / 2
}

#[cfg(test)]
mod tests {
    use smoltcp::wire::{
        Icmpv6Packet, Icmpv6Repr, Ipv6Packet, NdiscPrefixInfoFlags, NdiscRepr, NdiscRouterFlags,
    };

    use super::*;
    use crate::{forward::sample::ipv6, link::Event, packet::checksum_icmpv6, route::Hop};

    const OWN: LinkAddress = LinkAddress([2, 0, 0, 0, 0, 1]);
    const ROUTER: &str = "fe80::ff:fe00:1";

    /// Keeps what is sent.
    #[derive(Default)]
    struct Posted(Vec<Vec<u8>>);

    impl Post for Posted {
        fn send(&mut self, leg: LegId, to: LinkAddress, ethertype: u16, payload: &[u8]) {
            assert_eq!(
                (leg, to.to_string(), ethertype),
                (LegId(3), "33:33:00:00:00:01".into(), 0x86dd)
            );
            self.0.push(payload.to_vec());
        }
        fn release(&mut self, _: Hop, _: LinkAddress, _: Box<[u8]>) {
            panic!("nothing is held")
        }
        fn fail(&mut self, _: Hop, _: Box<[u8]>) {
            panic!("nothing is held")
        }
        fn event(&mut self, _: Event) {
            panic!("nothing happens")
        }
    }

    fn advertiser(config: &AdvertiseConfig, seed: u64) -> Advertiser {
        Advertiser::new(LegId(3), config, OWN, ROUTER.parse().unwrap(), seed).unwrap()
    }

    /// The ticks of so many at which something is sent.
    fn ticks(advertiser: &mut Advertiser, from: u32, count: u32) -> Vec<u32> {
        let mut posted = Posted::default();
        let mut sent = |now: &u32| {
            let before = posted.0.len();
            advertiser.tick(Tick(from.wrapping_add(*now)), &mut posted);
            posted.0.len() > before
        };
        (0..count).filter(|now| sent(now)).collect()
    }

    fn first(config: &AdvertiseConfig) -> Vec<u8> {
        let mut posted = Posted::default();
        advertiser(config, 1).tick(Tick(0), &mut posted);
        posted.0.remove(0)
    }

    fn full() -> AdvertiseConfig {
        let prefix = AdvertisedPrefix::new("fd01:2:3:4::/64".parse().unwrap());
        AdvertiseConfig {
            preference: Preference::High,
            other: true,
            mtu: Some(1400),
            reachable_ms: 30_000,
            retransmit_ms: 1000,
            prefixes: vec![prefix],
            dns: vec!["fd01::53".parse().unwrap(), "fd01::54".parse().unwrap()],
            search: vec!["home.example".into(), "x.".into()],
            ..AdvertiseConfig::every(60)
        }
    }

    #[test]
    fn advertisement_says_what_was_configured() {
        let octets = first(&full());
        #[rustfmt::skip]
        let expected = [
            &[134, 0, octets[42], octets[43], 64, 0x48, 0, 180][..],
            &[0, 0, 0x75, 0x30, 0, 0, 3, 0xe8],
            &[1, 1, 2, 0, 0, 0, 0, 1],
            &[5, 1, 0, 0, 0, 0, 5, 0x78],
            &[3, 4, 64, 0xc0, 0, 0x27, 0x8d, 0, 0, 9, 0x3a, 0x80, 0, 0, 0, 0],
            &[0xfd, 1, 0, 2, 0, 3, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0],
            &[25, 5, 0, 0, 0, 0, 0, 180],
            &[0xfd, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x53],
            &[0xfd, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x54],
            &[31, 4, 0, 0, 0, 0, 0, 180],
            b"\x04home\x07example\0\x01x\0\0\0\0\0\0\0\0",
        ]
        .concat();
        assert_eq!(octets[40..], expected);
        assert_eq!(octets[..8], [0x60, 0, 0, 0, 0, expected.len() as u8, 58, 255]);
    }

    #[test]
    fn smoltcp_reads_the_same() {
        let octets = first(&AdvertiseConfig { managed: true, ..full() });
        let packet = Ipv6Packet::new_checked(&octets[..]).unwrap();
        let (source, destination) = (packet.src_addr(), packet.dst_addr());
        assert_eq!((source.to_string(), destination), (ROUTER.to_owned(), ALL_NODES));
        assert_eq!(packet.hop_limit(), 255);
        let message = Icmpv6Packet::new_checked(packet.payload()).unwrap();
        let read = Icmpv6Repr::parse(&source, &destination, &message, &Default::default());
        let Icmpv6Repr::Ndisc(NdiscRepr::RouterAdvert {
            hop_limit,
            flags,
            router_lifetime,
            reachable_time,
            retrans_time,
            lladdr,
            mtu,
            prefix_info,
        }) = read.unwrap()
        else {
            panic!("it is an advertisement")
        };
        assert_eq!((hop_limit, router_lifetime.secs(), mtu), (64, 180, Some(1400)));
        assert!(flags.contains(NdiscRouterFlags::MANAGED | NdiscRouterFlags::OTHER));
        assert_eq!(reachable_time.total_millis(), 30_000);
        assert_eq!(retrans_time.total_millis(), 1000);
        assert_eq!(lladdr.unwrap().as_bytes(), OWN.0);
        let prefix = prefix_info.unwrap();
        assert_eq!((prefix.prefix.to_string(), prefix.prefix_len), ("fd01:2:3:4::".into(), 64));
        assert_eq!(prefix.flags, NdiscPrefixInfoFlags::ON_LINK | NdiscPrefixInfoFlags::ADDRCONF);
        let (valid, preferred) = (prefix.valid_lifetime.secs(), prefix.preferred_lifetime.secs());
        assert_eq!((valid, preferred), (2_592_000, 604_800));
    }

    #[test]
    fn preference_stands_in_two_bits() {
        let flags =
            |preference| first(&AdvertiseConfig { preference, ..AdvertiseConfig::default() })[45];
        let all = [Preference::Low, Preference::Medium, Preference::High].map(flags);
        assert_eq!(all, [0x18, 0, 0x08]);
    }

    #[test]
    fn intervals_are_drawn_within_their_bounds_and_the_first_are_short() {
        for seed in 0..20 {
            let mut advertiser = advertiser(&AdvertiseConfig::every(600), seed);
            let sent = ticks(&mut advertiser, u32::MAX - 100, 200_000);
            assert_eq!(sent[..3], [0, 160, 320]);
            let gaps: Vec<_> = sent[2..].windows(2).map(|two| two[1] - two[0]).collect();
            assert!(gaps.iter().all(|gap| (1980..=6000).contains(gap)), "{gaps:?}");
            let (least, most) = (gaps.iter().min().unwrap(), gaps.iter().max().unwrap());
            assert!(most - least > 1000, "they are not all alike: {gaps:?}");
        }
        let of = |seed| ticks(&mut advertiser(&AdvertiseConfig::every(600), seed), 0, 50_000);
        assert_ne!(of(1), of(2));
    }

    fn solicitation(source: &str, options: &[u8]) -> Vec<u8> {
        let mut message = [&[133, 0, 0, 0, 0, 0, 0, 0], options].concat();
        let [from, to] = [source, "ff02::2"].map(|text| text.parse().unwrap());
        let check = checksum_icmpv6(from, to, &message);
        message[2..4].copy_from_slice(&check.to_be_bytes());
        ipv6(source, "ff02::2", 255, 58, &message)
    }

    const SOURCE: [u8; 8] = [1, 1, 2, 0, 0, 0, 0, 9];

    #[test]
    fn who_asks_is_answered_soon_and_once_for_all() {
        let mut delays = Vec::new();
        for seed in 0..50 {
            let mut advertiser = advertiser(&AdvertiseConfig::every(600), seed);
            assert_eq!(ticks(&mut advertiser, 0, 1000), [0, 160, 320]);
            for ask in 0..3 {
                assert!(advertiser.solicit(&solicitation("fe80::9", &SOURCE), Tick(1000 + ask)));
            }
            let sent = ticks(&mut advertiser, 1000, 1900);
            let [delay] = sent[..] else { panic!("one answer: {sent:?}") };
            delays.push(delay);
            // The next is an interval later than the answer.
            let next = ticks(&mut advertiser, 2900, 6000)[0] + 1900 - delay;
            assert!((1980..=6000).contains(&next), "{next}");
        }
        assert!(delays.iter().all(|delay| *delay <= 4));
        assert!((0..=4).all(|delay| delays.contains(&delay)), "{delays:?}");
    }

    #[test]
    fn who_asks_and_asks_makes_one_every_three_seconds() {
        let mut advertiser = advertiser(&AdvertiseConfig::every(600), 1);
        let mut posted = Posted::default();
        let mut sent: Vec<u32> = Vec::new();
        for now in 0..1000 {
            let before = posted.0.len();
            advertiser.solicit(&solicitation("::", &[]), Tick(now));
            advertiser.tick(Tick(now), &mut posted);
            if posted.0.len() > before {
                sent.push(now);
            }
        }
        let gaps: Vec<_> = sent.windows(2).map(|two| two[1] - two[0]).collect();
        assert!(gaps.len() > 25 && gaps.iter().all(|gap| (30..=34).contains(gap)), "{gaps:?}");
    }

    #[test]
    fn what_is_due_anyway_answers_too() {
        let mut advertiser = advertiser(&AdvertiseConfig::every(600), 1);
        assert!(advertiser.solicit(&solicitation("::", &[]), Tick(0)));
        assert_eq!(ticks(&mut advertiser, 0, 150), [0]);
        // Due at 160; the answer would be later.
        assert!(advertiser.solicit(&solicitation("::", &[]), Tick(160)));
        assert_eq!(ticks(&mut advertiser, 150, 100), [10]);
    }

    #[test]
    fn answer_puts_nothing_off() {
        for seed in 0..50 {
            let gap = |asks: bool| {
                let mut advertiser = advertiser(&AdvertiseConfig::every(4), seed);
                assert_eq!(ticks(&mut advertiser, 0, 1), [0]);
                // The answer has to wait for three seconds; what is due by then answers, too.
                let asked = !asks || advertiser.solicit(&solicitation("::", &[]), Tick(1));
                assert!(asked);
                ticks(&mut advertiser, 1, 100)[0]
            };
            assert!(gap(true) <= gap(false), "seed {seed}");
        }
    }

    #[test]
    fn question_that_is_not_sound_is_not_answered() {
        let sound = solicitation("fe80::9", &SOURCE);
        let changed = |at: usize, octet: u8| {
            let mut octets = sound.clone();
            octets[at] = octet;
            octets
        };
        let mut advertisement = sound.clone();
        (advertisement[40], advertisement[42]) = (134, advertisement[42].wrapping_sub(1));
        let cases = [
            ("forwarded", changed(7, 254)),
            ("a wrong checksum", changed(42, sound[42] ^ 1)),
            ("of another protocol", changed(6, 17)),
            ("an advertisement", advertisement),
            ("from nobody, with his address", solicitation("::", &SOURCE)),
            ("an option of no length", solicitation("fe80::9", &[1, 0, 0, 0, 0, 0, 0, 0])),
            ("an option that does not end", solicitation("fe80::9", &[1, 2, 0, 0, 0, 0, 0, 0])),
            ("half an option", solicitation("fe80::9", &[1])),
            ("too short", ipv6("fe80::9", "ff02::2", 255, 58, &[133, 0, 0])),
            ("no packet", vec![0x60]),
        ];
        let mut advertiser = advertiser(&AdvertiseConfig::every(600), 1);
        ticks(&mut advertiser, 0, 1000);
        for (what, octets) in cases {
            assert!(!advertiser.solicit(&octets, Tick(1000)), "{what}");
        }
        assert_eq!(ticks(&mut advertiser, 1000, 100), []);
        // With another option, and without any.
        for options in [&[14, 1, 0, 0, 0, 0, 0, 0][..], &[]] {
            assert!(advertiser.solicit(&solicitation("::", options), Tick(1100)));
        }
    }

    #[test]
    fn at_the_end_it_is_no_default_router_any_more_and_silent() {
        let config = full();
        let mut advertiser = advertiser(&config, 1);
        let mut posted = Posted::default();
        advertiser.tick(Tick(0), &mut posted);
        advertiser.cease(&mut posted);
        advertiser.cease(&mut posted);
        assert!(advertiser.solicit(&solicitation("::", &[]), Tick(1)));
        (0..10_000).for_each(|now| advertiser.tick(Tick(now), &mut posted));
        let [first, last] = &posted.0[..] else { panic!("{} were sent", posted.0.len()) };
        // Nor has it a preference; all else is as it was.
        assert_eq!((last[45], &last[46..48]), (0x40, &[0, 0][..]));
        assert_eq!(last[48..], first[48..]);
        let [from, to] = [ROUTER.parse().unwrap(), ALL_NODES];
        assert_eq!(checksum_icmpv6(from, to, &last[40..]), 0);
    }

    #[test]
    fn what_cannot_be_said_is_refused_at_once() {
        let servers = (0..90u16).map(|last| Ipv6Addr::new(0xfd01, 0, 0, 0, 0, 0, 0, last + 1));
        let config = AdvertiseConfig {
            interval_max_s: 3,
            mtu: Some(100),
            dns: servers.collect(),
            ..AdvertiseConfig::default()
        };
        let advertiser = Advertiser::new(LegId(0), &config, OWN, ROUTER.parse().unwrap(), 1);
        let faults = advertiser.unwrap_err();
        assert!(
            matches!(
                faults[..],
                [
                    AdvertiseFault::IntervalMax(3),
                    AdvertiseFault::Mtu(100),
                    AdvertiseFault::Long(1520)
                ]
            ),
            "{faults:?}"
        );
    }
}

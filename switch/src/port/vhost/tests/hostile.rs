//! Guests and machines that write what no driver writes.

use proptest::prelude::*;

use super::*;

/// What a hostile guest does, or its machine, and how that is told.
type Hostile = (fn(&mut Driver), &'static str);

const HOSTILE: &[Hostile] = &[
    (|d| d.set_available(TX, 17), "more is available than the ring has entries"),
    (|d| d.offer(TX, 16), "a descriptor is outside its table"),
    (|d| chain_of(d, &[(GUEST, 60, NEXT, 9_999)]), "a descriptor is outside its table"),
    (|d| chain_of(d, &[(GUEST, 1, NEXT, 0)]), "a chain of descriptors has no end"),
    (|d| chain_of(d, &[(GUEST, 0, NEXT, 0)]), "a chain of descriptors has no end"),
    (|d| chain_of(d, &[(GUEST - 1, 60, 0, 0)]), "a buffer is outside memory"),
    (|d| chain_of(d, &[(GUEST + MEMORY - 59, 60, 0, 0)]), "a buffer is outside memory"),
    (|d| chain_of(d, &[(GUEST, u32::MAX, 0, 0)]), "a buffer is outside memory"),
    (|d| chain_of(d, &[(u64::MAX, 60, 0, 0)]), "a buffer is outside memory"),
    (|d| chain_of(d, &[(GUEST, 60, WRITE, 0)]), "a buffer is for the other direction"),
    (|d| chain_of(d, &[(GUEST, 16, INDIRECT | NEXT, 0)]), "indirect where none can be"),
    (|d| chain_of(d, &[(GUEST, 8, INDIRECT, 0)]), "a length that none can have"),
    (|d| chain_of(d, &[(GUEST, 0, INDIRECT, 0)]), "a length that none can have"),
    (|d| chain_of(d, &[(u64::MAX, 16, INDIRECT, 0)]), "an indirect table is outside memory"),
    (
        |d| {
            d.put(0, &descriptor((GUEST, 16, INDIRECT, 0)));
            d.offer(TX, 0);
            d.describe(TX, 0, (GUEST, 16, INDIRECT, 0));
        },
        "indirect where none can be",
    ),
];

fn chain_of(driver: &mut Driver, chain: &[(u64, u32, u16, u16)]) {
    for (index, what) in chain.iter().enumerate() {
        driver.describe(TX, index as u16, *what);
    }
    driver.offer(TX, 0);
}

#[test]
fn hostile_guest_is_turned_away_with_a_reason_and_the_next_one_is_served() {
    let mut bench = Bench::new();
    for (hostile, reason) in HOSTILE {
        let mut driver = Driver::start(&bench.path, 16, MODERN | F_INDIRECT, 0);
        bench.news();
        hostile(&mut driver);
        driver.kick(TX);
        assert_eq!(bench.recv().len(), 0, "{reason}");
        assert!(driver.is_closed(), "{reason}");
        let news = bench.news();
        assert!(news.contains(reason), "{reason}: {news}");
        bench.rest();
    }
    let mut driver = Driver::start(&bench.path, 16, MODERN, 0);
    driver.send_frame([0; 10], &[5; 60]);
    assert_eq!(bench.recv(), [wire(&[5; 60])]);
}

#[test]
fn good_frames_before_a_hostile_one_arrive() {
    let (mut bench, mut driver) = Bench::with(16, MODERN, 0);
    driver.send_frame([0; 10], &[5; 60]);
    driver.offer(TX, 99);
    assert_eq!(bench.recv(), [wire(&[5; 60])]);
    assert!(driver.is_closed());
}

#[test]
fn hostile_receiving_ring_takes_nobody_else_along() {
    let (mut bench, mut driver) = Bench::with(16, MODERN, 0);
    driver.describe(RX, 0, (0, 2000, WRITE, 0));
    driver.offer(RX, 0);
    assert_eq!(bench.send(&[wire(&[1; 60]), wire(&[2; 60])]).down, 2);
    assert!(driver.is_closed());
}

#[test]
fn machine_that_says_what_cannot_be_is_turned_away() {
    let bench = Bench::new();
    let say: &[Hostile] = &[
        (|d| d.agree(1 << 34), "features that it was not offered"),
        (|d| d.send(Request::SetVringNum, &state(TX, 0), &[]), "a ring of 0 entries"),
        (|d| d.send(Request::SetVringNum, &state(7, 16), &[]), "ring 7"),
        (|d| d.share(&[(GUEST, MEMORY + 1, USER, OFFSET)]), "longer than its file"),
        (|d| d.share(&[(GUEST, u64::MAX - OFFSET, 0, OFFSET)]), ""),
        (
            |d| {
                d.begin(MODERN);
                d.share(&[(GUEST, 0x1000, USER, OFFSET)]);
                d.start_ring(TX, 0);
            },
            "a ring's size is no power of two",
        ),
        (
            |d| {
                d.begin(MODERN);
                d.share(&[(GUEST, 0x8000, USER, OFFSET)]);
                d.send(Request::SetVringNum, &state(TX, 16), &[]);
                d.start_ring(TX, 0);
            },
            "a ring is outside memory",
        ),
    ];
    for (say, reason) in say {
        let mut driver = Driver::connect(&bench.path, 16);
        say(&mut driver);
        assert!(driver.is_closed(), "{reason}");
        let news = bench.news();
        assert!(news.contains(reason), "{reason}: {news}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is in the rings: nobody hangs, nothing is touched that is not shared, and at the
    /// most the guest is turned away.
    #[test]
    fn any_octets_in_the_rings_are_survived(
        tables in prop::collection::vec(
            (0..12u64, any::<u16>(), 0..8u16, 0..20u16, any::<bool>()), 16),
        heads in prop::collection::vec(0..18u16, 16),
        available in prop_oneof![0..17u16, any::<u16>()],
        features in prop_oneof![Just(MODERN), Just(MODERN | F_INDIRECT | F_MRG_RXBUF)],
    ) {
        let (mut bench, driver) = Bench::with(16, features, 0);
        for (index, (place, len, flags, next, tame)) in tables.into_iter().enumerate() {
            let len = if tame { u32::from(len % 64) * 16 } else { u32::from(len) << 8 };
            for ring in [RX, TX] {
                // Buffers lie over the rings as well.
                let what = (GUEST + place * 0x8000, len, flags, next);
                driver.describe(ring, index as u16, what);
            }
        }
        for (index, head) in heads.into_iter().enumerate() {
            for ring in [RX, TX] {
                driver.put(parts(ring)[1] + 4 + index as u64 * 2, &head.to_le_bytes());
            }
        }
        [RX, TX].into_iter().for_each(|ring| driver.set_available(ring, available));
        for _ in 0..4 {
            bench.recv();
            let sent = bench.send(&[wire(&frame(1, 60)), wire(&frame(2, 1514))]);
            prop_assert_eq!(sent.frames + sent.full + sent.refused + sent.down, 2);
        }
    }
}

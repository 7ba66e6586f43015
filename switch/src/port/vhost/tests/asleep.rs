//! Guests that sleep, and a switch between them whose workers sleep as well.

use super::*;
use crate::{
    stats::Counter,
    switch::{self, PortConfig, SwitchConfig},
};

/// Sends so many frames in bursts of its own liking, and sleeps while there is no room.
fn talk(mut driver: Driver, frames: usize) -> Driver {
    let mut sent = 0;
    while sent < frames {
        let burst = (sent * 7 % 50 + 1).min(frames - sent);
        let before = driver.available[TX];
        for _ in 0..burst {
            while driver.next_used(TX).is_some() {}
            let taken = driver.available[TX].wrapping_sub(driver.used[TX]);
            if taken == driver.size {
                driver.kick_if_asked(TX, before);
                assert!(driver.sleep(TX), "the switch gives buffers back");
                while driver.next_used(TX).is_some() {}
            }
            let number = (sent as u32).to_be_bytes();
            let head = [&[2, 0, 0, 0, 0, 0xb, 2, 0, 0, 0, 0, 0xa, 0x88, 0xb5][..], &number];
            driver.send_frame([0; 10], &head.concat());
            sent += 1;
        }
        driver.kick_if_asked(TX, before);
    }
    driver
}

/// Receives until the last frame, and gives each buffer back. Returns how many came.
fn listen(mut driver: Driver, last: usize) -> usize {
    let (mut count, mut next) = (0, 0);
    loop {
        assert!(driver.sleep(RX), "frames are told of: {next} of {last}");
        while let Some((_, octets)) = driver.received() {
            let number = u32::from_be_bytes(*octets[14..].first_chunk().unwrap()) as usize;
            assert!(number >= next, "frames keep their order");
            (count, next) = (count + 1, number + 1);
            driver.refill(256);
            if next == last {
                return count;
            }
        }
    }
}

#[test]
fn guests_that_sleep_are_woken_and_wake_the_switch() {
    const FRAMES: usize = 3000;
    let folder = tempfile::tempdir().unwrap();
    let mut handle = switch::start(&SwitchConfig::default()).unwrap();
    let mut statuses = Vec::new();
    let [talker, listener] = ["a", "b"].map(|name| {
        let path = folder.path().join(name);
        let port = Vhost::open(&VhostConfig { path: path.clone(), mtu: 1500 }).unwrap();
        statuses.push(port.status());
        handle.add(PortConfig::named(name), port).unwrap();
        Driver::start(&path, 256, MODERN | F_EVENT_IDX, 0xff00)
    });
    let mut listener = listener;
    (0..256).for_each(|_| listener.refill(256));
    let listening = std::thread::spawn(|| listen(listener, FRAMES + 1));
    let talker = talk(talker, FRAMES);
    // One more, until it arrives: what finds no buffer is lost, as on any port.
    let talker = std::thread::spawn(move || {
        let mut talker = talker;
        loop {
            let before = talker.available[TX];
            let number = (FRAMES as u32).to_be_bytes();
            let head = [&[2, 0, 0, 0, 0, 0xb, 2, 0, 0, 0, 0, 0xa, 0x88, 0xb5][..], &number];
            talker.send_frame([0; 10], &head.concat());
            talker.kick_if_asked(TX, before);
            while talker.next_used(TX).is_none() {
                assert!(talker.sleep(TX), "the switch gives buffers back");
            }
            if listening.is_finished() {
                return listening.join().unwrap();
            }
        }
    });
    let count = talker.join().unwrap();
    let report = handle.stop();
    let port = |name: &str| report.ports.iter().find(|port| port.name == name).unwrap().stats;
    // What came when there was no buffer, or when the listener had gone, is accounted for.
    let fates = [Counter::TxFrames, Counter::TxFull, Counter::TxDown];
    let all = fates.map(|counter| port("b").get(counter)).iter().sum::<u64>();
    assert_eq!(all, port("a").get(Counter::RxFrames));
    assert!(count > 1 && port("b").get(Counter::TxFrames) >= count as u64);
}

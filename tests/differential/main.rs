//! The switch beside the kernel's bridge: the same random script of frames, moves and waits for
//! both. Every port has to give the same frames, octet for octet and in the same order, and both
//! tables have to hold the same stations, except for what `intended.rs` lists.
//!
//! `DIFFERENTIAL_SEED=N` plays one seed, `DIFFERENTIAL_SEEDS` and `DIFFERENTIAL_STEPS` say how
//! many and how long. A failure names its seed.
//!
//! No frame is for the bridge's own addresses or from them: there Linux answers itself, and the
//! switch has none. Frames that the sending or the receiving host would throw away (below 14
//! octets, above its MTU, ending within a tag) never get as far as a bridge.

mod intended;
mod play;
mod script;
mod sides;

use std::{
    env,
    ops::Range,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::Duration,
};

use uswitch_tests::privileged;

use crate::{intended::Difference, play::play, sides::Setting};

/// Longer than any script takes.
const NEVER: Duration = Duration::from_secs(3600);

/// So short that a script can wait for it.
const SOON: Duration = Duration::from_secs(1);

fn number(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

fn report(list: &[Difference]) {
    for difference in list {
        let seen = difference.seen();
        println!("{seen:>6} x {}: {}", difference.name, difference.reason);
        assert!(seen > 0, "a listed difference that never occurs: {}", difference.name);
    }
}

/// Plays the seeds from the first to the one before the last, a few at a time. `false`: one was
/// asked for, and that was played.
fn play_all(seeds: Range<u64>, threads: usize, one: impl Fn(u64) + Sync) -> bool {
    if env::var_os("DIFFERENTIAL_SEED").is_some() {
        one(number("DIFFERENTIAL_SEED", 0));
        return false;
    }
    let next = AtomicU64::new(seeds.start);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        break;
                    }
                    one(seed);
                }
            });
        }
    });
    true
}

#[test]
fn bridge_and_switch_forward_alike() {
    if !privileged() {
        return;
    }
    let steps = number("DIFFERENTIAL_STEPS", 150) as usize;
    let one = |seed: u64| {
        let (wire, workers) = (seed % 2 == 1, 1 + (seed / 2 % 2) as usize);
        play(seed, Setting { wire, workers, ageing: NEVER }, steps, 0);
    };
    if play_all(0..number("DIFFERENTIAL_SEEDS", 30), 2, one) {
        report(&intended::FORWARDED);
        report(&intended::LEARNED);
    }
}

#[test]
fn bridge_and_switch_forget_alike() {
    if !privileged() {
        return;
    }
    let one = |seed| play(seed, Setting { wire: false, workers: 1, ageing: SOON }, 40, 10);
    play_all(1000..1004, 4, one);
}

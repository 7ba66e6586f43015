//! The simulator: real workers over in-memory ports, and one seed from which everything is drawn:
//! ports, sizes, limits, traffic, what is said of stations, faults, the steps of time and whose
//! turn it is. A model bridge (model.rs) predicts each port's output octet by octet and in order,
//! every counter of every worker, and the table. There are no threads, so a seed is a run: it can
//! be had again.
//!
//! `USWITCH_SEEDS=10000` makes the long run, `USWITCH_SEED=17` plays one seed. A run that fails
//! leaves its steps and a capture for each port under `target/sim/SEED/`.

mod finish;
mod model;
mod random;
mod record;
mod traffic;
mod world;

use std::{
    env,
    panic::{AssertUnwindSafe, catch_unwind},
};

use record::Record;
use uswitch::stats::Counter;
use world::World;

/// Seeds that are played unless told otherwise.
const SEEDS: u64 = 300;
/// Steps of one run at the most.
const STEPS_MAX: u64 = 300;

#[test]
fn every_port_sends_and_counts_what_the_model_predicts() {
    if let Some(seed) = number("USWITCH_SEED") {
        play(seed);
        return;
    }
    let seeds = number("USWITCH_SEEDS").unwrap_or(SEEDS);
    let mut sum = vec![0; Counter::ALL.len()];
    for seed in 0..seeds {
        let counts = play(seed);
        sum.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
    }
    let count = |counter: Counter| sum[counter as usize];
    let (received, sent) = (count(Counter::RxFrames), count(Counter::TxFrames));
    println!("{seeds} seeds: {received} frames received, {sent} sent");
    // A rule that no frame ever met is not tested. A cable is never down.
    for counter in Counter::ALL.iter().filter(|counter| **counter != Counter::TxDown) {
        assert!(seeds < SEEDS || count(*counter) > 0, "{} was never counted", counter.name());
    }
}

#[test]
fn same_seed_is_the_same_run() {
    let run = |seed| {
        let mut record = Record::default();
        let counts = steps(seed, &mut record);
        (counts, record.steps)
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

/// Plays one seed; if that fails, plays it again to leave captures, and says how to repeat it.
fn play(seed: u64) -> Vec<u64> {
    let mut record = Record::default();
    if let Ok(counts) = catch_unwind(AssertUnwindSafe(|| steps(seed, &mut record))) {
        return counts;
    }
    let step = record.steps.len();
    let mut record = Record::capturing();
    let again = catch_unwind(AssertUnwindSafe(|| steps(seed, &mut record)));
    let folder = record.leave(seed).expect("captures can be written");
    let once = if again.is_ok() { ", but not when it was repeated" } else { "" };
    panic!(
        "seed {seed} fails after step {step}{once}: {}\n\
         replay: USWITCH_SEED={seed} cargo test -p uswitch-tests --test sim\n\
         steps and captures: {}",
        record.steps.last().map_or("", |text| text),
        folder.display(),
    );
}

/// One run, and what its ports counted.
fn steps(seed: u64, record: &mut Record) -> Vec<u64> {
    let mut world = World::new(seed, record);
    for _ in 0..50 + seed % (STEPS_MAX - 50) {
        world.step();
    }
    world.end();
    world.counts()
}

fn number(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
}

//! A round in which somebody else took the machine's time is done again, and told if that did not
//! help: here somebody does, all the time.

use std::{
    hint,
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use uswitch_tests::{privileged, tester};

use super::{lines, said};

#[test]
fn rounds_that_are_disturbed_are_told() {
    if !privileged() {
        return;
    }
    let over = AtomicBool::new(false);
    let output = thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                hint::spin_loop();
            }
        });
        let words = "throughput --device bridge --no-calibrate --rounds 1 --trial 0.1 \
                     --resolution 0.4 --json";
        let output = Command::new(tester()).args(words.split_whitespace()).output();
        over.store(true, Ordering::Relaxed);
        output.unwrap()
    });
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let found = &lines(&output, "throughput")[0];
    assert_eq!((&found["rounds_done_again"], &found["rounds_disturbed"]), (&1.into(), &1.into()));
}

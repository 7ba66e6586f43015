//! A router that has nothing to do does nothing.

use std::{
    fs,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use uswitch_tests::privileged;

use crate::{
    lab::PATIENCE,
    machine::{Machine, ping},
};

/// Between two looks.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// Events that the slow path waits for at a time: so its call is told from others.
const READY_MAX: u64 = 64;

/// Where the kernel tells what the slow path's thread of this program waits for.
fn slow_path(process: u32) -> PathBuf {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let mut tasks = tasks.map(|task| task.unwrap().path());
    let named = |task: &PathBuf| fs::read_to_string(task.join("comm")).unwrap() == "router\n";
    tasks.find(named).expect("a thread of this name").join("syscall")
}

/// For how long it sleeps, in ms: the last argument of epoll_wait(2). `None`: it does not.
fn sleeps(thread: &PathBuf) -> Option<i32> {
    let text = fs::read_to_string(thread).unwrap();
    let mut words = text.split_ascii_whitespace().skip(3);
    let mut number = || u64::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok();
    (number()? == READY_MAX).then_some(number()? as i32)
}

fn eventually(what: &str, holds: impl Fn() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < PATIENCE, "in time: {what}");
        thread::sleep(LOOK_INTERVAL);
    }
}

#[test]
fn slow_path_sleeps_until_something_is_due_or_comes() {
    if !privileged() {
        return;
    }
    let machine = Machine::new();
    let running = machine.start(&["--ports", "tap0", "--leg", "br=10.0.0.1/24,fd00:1::1/64"]);
    let thread = slow_path(running.id());
    // Its addresses have been announced.
    eventually("it sleeps for ever", || sleeps(&thread) == Some(-1));
    let host = machine.host("tap0", &["10.0.0.2/24"], &[]);
    ping(&host, "10.0.0.1");
    eventually("the neighbour will be asked again", || {
        sleeps(&thread).is_some_and(|millis| millis > 0)
    });
    running.stop();
}

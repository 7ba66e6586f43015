//! Every fault of a device is found exactly.

use std::time::{Duration, Instant};

use serde_json::Value;
use uswitch_tests::privileged;

use super::{device, lines, on_device, said};

/// Frames that are sent.
const FRAMES: u64 = 700;
const PATIENCE: Duration = Duration::from_secs(120);

/// A trial of which the kernel has lost nothing before the device saw it: between two veth ends
/// lies the processor's backlog, which all tests share.
fn trial(words: &str, faults: &str) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("told");
    let begin = Instant::now();
    loop {
        let output = on_device(words, faults, &file).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        let trial = lines(&output, "trial").pop().expect("a trial is told");
        let (_, seen) = device::told(&file);
        let behind = trial["received"].as_u64().unwrap_or(0) + trial["lost"].as_u64().unwrap_or(0);
        assert!(behind <= FRAMES, "{trial}");
        if seen == FRAMES {
            return trial;
        }
        assert!(begin.elapsed() < PATIENCE, "the device sees all: {seen} {trial}");
    }
}

/// Tries until the kernel has lost nothing behind the device either: the count that it cannot
/// raise is as it should be.
fn eventually(words: &str, faults: &str, lost: u64) -> Value {
    let begin = Instant::now();
    loop {
        let trial = trial(words, faults);
        assert!(trial["lost"].as_u64() >= Some(lost), "{trial}");
        if trial["lost"] == lost {
            return trial;
        }
        assert!(begin.elapsed() < PATIENCE, "nothing else is lost: {trial}");
    }
}

#[test]
fn what_is_dropped_swapped_repeated_and_damaged_is_found_exactly() {
    if !privileged() {
        return;
    }
    for size in ["60", "1514"] {
        let words = format!("trial --rate 2000 --frames {FRAMES} --size {size}");
        let trial = eventually(&words, "all", FRAMES / device::DROP_EVERY);
        assert_eq!(trial["offered"], FRAMES, "{trial}");
        assert_eq!(trial["damaged"], 6, "{trial}");
        assert_eq!(trial["received"], FRAMES - 100 - 6, "{trial}");
        assert_eq!(trial["duplicated"], 6, "{trial}");
        assert_eq!(trial["reordered"], 5, "{trial}");
        assert_eq!(trial["reordered_extent"], 1, "{trial}");
        assert_eq!((&trial["strayed"], &trial["unsent"]), (&0.into(), &0.into()), "{trial}");
    }
}

#[test]
fn a_sound_device_is_found_sound_with_tags_flows_and_both_ways() {
    if !privileged() {
        return;
    }
    for more in ["--vlan 42 --flows 10", "--size 1500 --flows 64", "--bidirectional"] {
        let words = format!("trial --rate 2000 --frames {FRAMES} {more}");
        // A tag stands where the device looks for what is measured: it counts none then.
        let folder = tempfile::tempdir().unwrap();
        let begin = Instant::now();
        let trial = loop {
            let output = on_device(&words, "none", &folder.path().join("told")).output().unwrap();
            assert_eq!(output.status.code(), Some(0), "{}", said(&output));
            let trial = lines(&output, "trial").pop().expect("a trial is told");
            if trial["lost"] == 0 {
                break trial;
            }
            assert!(begin.elapsed() < PATIENCE, "nothing is lost: {trial}");
        };
        assert_eq!(trial["received"], FRAMES, "{trial}");
        for fault in ["damaged", "duplicated", "reordered", "strayed"] {
            assert_eq!(trial[fault], 0, "{fault}: {trial}");
        }
        let latency = &trial["latency"];
        let of = |name: &str| latency[name].as_u64().unwrap_or_else(|| panic!("{name}: {trial}"));
        let names = ["min", "p50", "p90", "p99", "p99.9", "max"];
        assert!(names.map(of).is_sorted(), "{latency}");
        assert!(of("min") > 0);
    }
}

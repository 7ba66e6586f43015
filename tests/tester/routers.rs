//! Routers are sent packets to networks that they know, and what comes is one hop older.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use uswitch_tests::{privileged, program, tester};

use super::{lines, said};

const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn packets_of_both_versions_reach_every_network() {
    if !privileged() {
        return;
    }
    for device in ["router", "uswitch-router"] {
        for (ip, size) in [("4", "imix"), ("6", "100")] {
            let words = format!(
                "trial --device {device} --ip {ip} --size {size} --routes 300 --rate 2000 \
                 --frames 900 --bidirectional --json"
            );
            let begin = Instant::now();
            let trial = loop {
                let mut command = Command::new(tester());
                command.args(words.split_whitespace()).arg("--uswitch").arg(program());
                let output = command.output().unwrap();
                assert_eq!(output.status.code(), Some(0), "{}", said(&output));
                let trial = lines(&output, "trial").pop().expect("a trial is told");
                // The kernel may lose some on a busy machine.
                if trial["lost"] == 0 && trial["fault"].is_null() {
                    break trial;
                }
                assert!(begin.elapsed() < PATIENCE, "nothing is lost: {trial}");
            };
            assert_eq!(trial["received"], 900, "{trial}");
            for fault in ["damaged", "strayed", "duplicated", "reordered"] {
                assert_eq!(trial[fault], 0, "{fault}: {trial}");
            }
        }
    }
}

#[test]
fn what_a_router_does_not_take_is_refused_with_a_cure() {
    if !privileged() {
        return;
    }
    for (words, cure) in [
        ("--ip 6 --size 60", "say --size 72 or more"),
        ("--vlan 7", "neither tags, nor flows"),
        ("--pattern broadcast", "nor broadcasts"),
    ] {
        let mut command = Command::new(tester());
        command.args(["trial", "--device", "router"]).args(words.split(' '));
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{words}");
        assert!(said(&output).contains(cure), "{}", said(&output));
    }
}

//! Loads by the hosts' own TCP go through every kind of device, those that take no offloads too.

use std::{
    process::{Command, Output},
    time::{Duration, Instant},
};

use uswitch_tests::{privileged, program, tester};

use super::{lines, said};

const PATIENCE: Duration = Duration::from_secs(120);
const TINY: &str = "--rounds 1 --trial 0.05 --json";

fn run(words: &str) -> Output {
    let mut command = Command::new(tester());
    command.args(words.split(' ')).args(TINY.split(' ')).arg("--uswitch").arg(program());
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    output
}

#[test]
fn tcp_goes_through_switches_and_routers_with_ratios_by_the_first() {
    if !privileged() {
        return;
    }
    let all = ["bridge", "uswitch", "uswitch-packet", "bridge-plain", "router", "uswitch-router"];
    let all = [&all[..], &["loop", "vde", "socat"]].concat();
    let output = run(&format!("tcp --connections 2 --device {}", all.join(",")));
    for (load, connections) in [("tcp_stream", 2), ("tcp_rr", 1)] {
        let found = lines(&output, load);
        let devices: Vec<_> = found.iter().filter_map(|line| line["device"].as_str()).collect();
        assert_eq!(devices, all, "{load}");
        for line in &found {
            assert_eq!((&line["fault"], &line["connections"]), (&().into(), &connections.into()));
            let of = |key: &str| line[key].as_f64().unwrap_or_else(|| panic!("{key}: {line}"));
            assert!(of("median") > 0.0, "{line}");
            let exact = found[0]["median"].as_f64().expect("a number") / of("median");
            assert!((of("ratio") / exact - 1.0).abs() < 1e-9, "{exact}: {line}");
            // The kernel's time is nobody's.
            let has_cpu = line["cpu_per_octet"].is_number();
            let is_kernels =
                ["bridge", "bridge-plain", "router"].map(|name| line["device"] == name);
            assert_eq!(has_cpu, load == "tcp_stream" && !is_kernels.contains(&true), "{line}");
        }
    }
}

#[test]
fn a_device_through_which_no_connection_comes_is_told_of() {
    if !privileged() {
        return;
    }
    let mut command = Command::new(tester());
    let words = "tcp --load stream --device exec,bridge --exec";
    command.args(words.split(' ')).arg("tail -f /dev/null").args(TINY.split(' '));
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let found = lines(&output, "tcp_stream");
    let fault = found[0]["fault"].as_str().expect("a fault");
    assert!(fault.contains("there is no TCP connection to 198.18.1.2"), "{fault}");
    assert!(found[1]["fault"].is_null(), "the others go on: {found:?}");
}

#[test]
fn who_is_not_installed_is_told_and_the_others_are_measured() {
    if !privileged() {
        return;
    }
    let words =
        "compare --device uswitch,bridge --size 60 --no-calibrate --uswitch /nowhere/uswitch";
    let mut command = Command::new(tester());
    command.args(words.split(' ')).args(TINY.split(' ')).args(["--resolution", "0.4"]);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let sentence = "uswitch does not take part: `/nowhere/uswitch` is not installed";
    assert!(said(&output).contains(sentence), "{}", said(&output));
    let found = lines(&output, "throughput");
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0]["device"], "bridge");
}

#[test]
fn testpmd_on_packet_sockets_is_a_device() {
    if !privileged() {
        return;
    }
    // What a busy machine does to one that polls is not judged: only that frames come through.
    let words = "trial --device testpmd-packet --rate 500 --frames 100 --json";
    let mut command = Command::new(tester());
    let output = command.args(words.split(' ')).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let trial = lines(&output, "trial").pop().expect("a trial is told");
    assert!(trial["received"].as_u64() > Some(0), "{trial}");
    assert_eq!(trial["damaged"], 0, "{trial}");
}

#[test]
fn trains_pass_whole_where_offloads_are_and_not_where_they_are_not() {
    if !privileged() {
        return;
    }
    for (device, whole) in [("uswitch", true), ("bridge", true), ("vde", false)] {
        let patience = if whole { 60 } else { 2 };
        let words = format!(
            "trial --device {device} --train --size 65000 --rate 200 --frames 50 \
             --patience {patience} --json"
        );
        let begin = Instant::now();
        loop {
            let mut command = Command::new(tester());
            command.args(words.split(' ')).arg("--uswitch").arg(program());
            let output = command.output().unwrap();
            assert_eq!(output.status.code(), Some(0), "{}", said(&output));
            let trial = lines(&output, "trial").pop().expect("a trial is told");
            assert_eq!(trial["fault"].is_string(), !whole, "{trial}");
            // The kernel may lose some on a busy machine.
            if !whole || trial["received"] == 50 {
                break;
            }
            assert_eq!(trial["damaged"], 0, "{trial}");
            assert!(begin.elapsed() < PATIENCE, "all come: {trial}");
        }
    }
    let mut command = Command::new(tester());
    let words = "trial --device bridge --train --size 1514";
    let output = command.args(words.split(' ')).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("--size 65000"), "{}", said(&output));
}

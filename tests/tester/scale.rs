//! Curves of how a device grows, and overload, with trials of no length.

use std::process::{Command, Output};

use serde_json::Value;
use uswitch_tests::{privileged, program, tester};

use super::{lines, said};

/// Runs it with these words, beside the switch of this tree.
fn run(words: &str) -> Output {
    let output = command(words).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    output
}

fn command(words: &str) -> Command {
    let mut command = Command::new(tester());
    command.args(words.split(' ')).arg("--json").arg("--uswitch").arg(program());
    command
}

const TINY: &str = "--rounds 1 --trial 0.02 --resolution 0.4";

#[test]
fn every_axis_is_told_of_every_value_and_device() {
    if !privileged() {
        return;
    }
    for (axis, values, devices) in [
        ("ports", [2, 5], &["uswitch", "bridge"][..]),
        ("addresses", [2, 1024], &["uswitch"]),
        ("flows", [1, 300], &["uswitch-packet"]),
        ("sizes", [60, 9014], &["bridge"]),
        ("workers", [1, 2], &["uswitch"]),
    ] {
        let [low, high] = values;
        let device = devices.join(",");
        let words = format!("scale --over {axis} --values {low},{high} --device {device} {TINY}");
        let output = run(&words);
        let found = lines(&output, "scale");
        let places = found.iter().map(|line| (line["value"].as_u64(), line["device"].as_str()));
        let wanted =
            values.iter().flat_map(|value| devices.iter().map(|d| (Some(*value), Some(*d))));
        assert!(places.eq(wanted), "{found:?}");
        for line in &found {
            assert_eq!((&line["fault"], &line["over"]), (&Value::Null, &axis.into()), "{line}");
            assert_eq!(line["rounds"].as_array().map(Vec::len), Some(1), "{line}");
            let of_process = line["device"] != "bridge";
            let told = [&line["memory_peak"], &line["idle_cpu"]].map(Value::is_number);
            assert_eq!(told, [of_process; 2], "{line}");
        }
        let trials = lines(&output, "trial");
        assert!(trials.iter().all(|trial| trial["over"] == axis && trial["value"].is_u64()));
    }
}

#[test]
fn a_value_that_a_device_cannot_have_is_a_result() {
    if !privileged() {
        return;
    }
    let output = run(&format!("scale --over ports --values 2,3 --device socat,bridge {TINY}"));
    let found = lines(&output, "scale");
    let fault = |value: u64, device: &str| {
        let line = found.iter().find(|line| line["value"] == value && line["device"] == device);
        line.expect("it is told")["fault"].clone()
    };
    assert_eq!(fault(3, "socat"), "socat can have 2 to 2 ports, not 3");
    assert_eq!((fault(2, "socat"), fault(3, "bridge")), (Value::Null, Value::Null));
}

#[test]
fn values_that_make_no_sense_are_refused_before_anything_is_done() {
    for (words, code, cure) in [
        ("scale", 2, "--over"),
        ("scale --over holes", 2, "addresses"),
        ("scale --over ports --values 257", 1, "ports are 2 to 256, not 257"),
        ("scale --over ports --values 0", 2, "above 0"),
        ("scale --over ports,flows --values 2", 1, "--values are of one axis"),
    ] {
        let output = command(words).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{words}: {}", said(&output));
        assert!(said(&output).contains(cure), "{words}: {}", said(&output));
    }
}

#[test]
fn what_comes_through_under_overload_is_told_by_the_peak() {
    if !privileged() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("page");
    let words = format!("scale --over load --values 50,100,200 --device uswitch,bridge {TINY}");
    let output = run(&format!("{words} --html {}", page.display()));
    let found = lines(&output, "load");
    assert_eq!(found.len(), 2);
    for line in &found {
        let points = line["points"].as_array().expect("there are points");
        // A round in which nothing was let through has none.
        if line["throughput"].as_f64() >= Some(1.0) {
            assert_eq!(points.len(), 3, "{line}");
            let of = |index: usize, key: &str| points[index][key].as_f64().unwrap();
            let most = (0..3).map(|index| of(index, "rate_received")).fold(0.0, f64::max);
            let kept = of(2, "rate_received") / most;
            assert!((line["kept_of_peak"].as_f64().unwrap() - kept).abs() < 1e-6, "{line}");
            let offered = line["most_offered"].as_f64() >= Some(1.9);
            assert_eq!(line["graceful"], Value::from(offered.then_some(kept >= 0.9)), "{line}");
        }
    }
    assert!(std::fs::read_to_string(page).unwrap().contains("More load than there is room for"));
}

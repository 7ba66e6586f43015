//! Whole runs with trials of no length: every measurement is told of every device.

use std::{
    fs,
    process::Command,
    time::{Duration, Instant},
};

use serde_json::Value;
use uswitch_tests::{privileged, program, tester};

use super::{lines, said};

const PATIENCE: Duration = Duration::from_secs(120);
const TINY: &str = "--rounds 1 --trial 0.02 --resolution 0.4 --json";

/// Runs it with these words, beside the switch of this tree.
fn run(words: &str) -> std::process::Output {
    let mut command = Command::new(tester());
    command.args(words.split(' ')).args(TINY.split(' ')).arg("--uswitch").arg(program());
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    output
}

/// The devices of the lines of a kind, in their order.
fn devices(lines: &[Value]) -> Vec<&str> {
    let mut devices: Vec<_> = lines.iter().filter_map(|line| line["device"].as_str()).collect();
    devices.dedup();
    devices
}

#[test]
fn throughput_is_told_of_all_with_the_tester_beside() {
    if !privileged() {
        return;
    }
    let output = run("throughput --device uswitch,bridge --size 60,imix");
    let found = lines(&output, "throughput");
    let all = ["veth", "loop", "uswitch", "bridge"];
    assert_eq!(devices(&found), [all, all].concat());
    for line in &found {
        assert_eq!(line["fault"], Value::Null, "{line}");
        assert_eq!(line["rounds"].as_array().map(Vec::len), Some(1), "{line}");
    }
    assert_eq!((&found[0]["size"], &found[4]["size"]), (&60.into(), &"imix".into()));
    // Whoever comes near to the direct pair, as that does itself, is at the tester's limit.
    for (of_size, line) in found.chunks(4).flat_map(|four| four.iter().map(|line| (&four[0], line)))
    {
        let median = |line: &Value| line["median"].as_f64().expect("a number");
        assert_eq!(line["tester_limit"], median(line) >= median(of_size) * 0.9, "{line}");
    }
    assert_eq!(lines(&output, "run").len(), 1);
}

#[test]
fn a_comparison_tells_the_ratio_of_the_first_by_each_other() {
    if !privileged() {
        return;
    }
    let output = run("compare --device bridge,uswitch,vde,ovs --size 60 --no-calibrate");
    let others = ["uswitch", "vde", "ovs"];
    let found = lines(&output, "throughput");
    assert_eq!(devices(&found), [&["bridge"][..], &others].concat());
    let ratios = lines(&output, "ratio");
    assert!(ratios.iter().all(|ratio| ratio["device"] == "bridge"), "{ratios:?}");
    for (index, line) in found[1..].iter().enumerate() {
        // Rounds at which one let nothing through have no ratio.
        let rate = |line: &Value| line["rounds"][0].as_f64().unwrap_or(0.0);
        let Some(ratio) = ratios.iter().find(|ratio| ratio["by"] == others[index]) else {
            assert_eq!(rate(line), 0.0, "{line}");
            continue;
        };
        // What is written and read again may differ in its last digit.
        let exact = rate(&found[0]) / rate(line);
        let told = ratio["median"].as_f64().expect("a number");
        assert!((told / exact - 1.0).abs() < 1e-9, "{exact}: {ratio}");
        assert_eq!(ratio["confidence_95"][0], ratio["median"], "of one round");
    }
}

#[test]
fn ports_of_a_mesh_and_of_a_star_hear_what_is_for_them_and_nothing_else() {
    if !privileged() {
        return;
    }
    for (device, pattern) in
        [("uswitch", "mesh"), ("bridge", "one-to-many"), ("uswitch", "many-to-one")]
    {
        let words = format!(
            "trial --device {device} --ports 4 --pattern {pattern} --rate 2000 --frames 600 --json"
        );
        let begin = Instant::now();
        let trial = loop {
            let mut command = Command::new(tester());
            command.args(words.split(' ')).arg("--uswitch").arg(program());
            let output = command.output().unwrap();
            assert_eq!(output.status.code(), Some(0), "{}", said(&output));
            let trial = lines(&output, "trial").pop().expect("a trial is told");
            // The kernel may lose some on a busy machine, and what is not learned is flooded.
            if trial["lost"] == 0 && trial["strayed"] == 0 {
                break trial;
            }
            assert!(begin.elapsed() < PATIENCE, "nothing is lost or strays: {trial}");
        };
        assert_eq!((&trial["received"], &trial["duplicated"]), (&600.into(), &0.into()), "{trial}");
    }
}

#[test]
fn a_machine_in_the_way_forwards_both_ways() {
    if !privileged() {
        return;
    }
    for device in ["uswitch-chained", "bridge-chained"] {
        let words = format!(
            "trial --device {device} --rate 2000 --frames 600 --flows 8 --bidirectional --json"
        );
        let begin = Instant::now();
        let trial = loop {
            let mut command = Command::new(tester());
            command.args(words.split(' ')).arg("--uswitch").arg(program());
            let output = command.output().unwrap();
            assert_eq!(output.status.code(), Some(0), "{}", said(&output));
            let trial = lines(&output, "trial").pop().expect("a trial is told");
            // The kernel may lose some on a busy machine.
            if trial["lost"] == 0 && trial["fault"].is_null() {
                break trial;
            }
            assert!(begin.elapsed() < PATIENCE, "nothing is lost: {trial}");
        };
        assert_eq!((&trial["received"], &trial["duplicated"]), (&600.into(), &0.into()), "{trial}");
        assert_eq!((&trial["damaged"], &trial["reordered"]), (&0.into(), &0.into()), "{trial}");
    }
}

#[test]
fn every_measurement_of_rfc_2544_is_told_of_every_device() {
    if !privileged() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let [page, again, results] = ["page", "again", "results"].map(|name| folder.path().join(name));
    let words = "rfc2544 --device uswitch-packet,bridge --size 60 --no-calibrate";
    let output = run(&format!("{words} --html {} --output {}", page.display(), results.display()));
    for kind in ["throughput", "latency", "loss_curve", "back_to_back"] {
        assert_eq!(devices(&lines(&output, kind)), ["uswitch-packet", "bridge"], "{kind}");
    }
    for curve in lines(&output, "loss_curve") {
        assert!(curve["points"].as_array().is_some_and(|points| points.len() >= 2), "{curve}");
    }
    let page = fs::read_to_string(page).unwrap();
    assert_eq!(page.matches("<svg").count(), 4, "{page}");
    assert_eq!(fs::read(&results).unwrap(), output.stdout);
    let mut command = Command::new(tester());
    let status = command.arg("report").arg(&results).arg("--html").arg(&again).status().unwrap();
    assert!(status.success());
    assert_eq!(fs::read_to_string(again).unwrap(), page, "the same of what was written");
}

//! The measurements of RFC 2889, of devices of which is known what comes of them: what is learned,
//! filtered, copied and held apart. Rates are not judged.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;
use uswitch_tests::{privileged, program, running::Running, tester};

use super::{lines, on_device, said};

const PATIENCE: Duration = Duration::from_secs(120);
const TINY: &str = "--rounds 1 --trial 0.02 --resolution 0.4 --json";

fn run(words: &str) -> Output {
    let mut command = Command::new(tester());
    command.args(words.split(' ')).args(TINY.split(' ')).arg("--uswitch").arg(program());
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    output
}

/// The line of a device, when it is as it should be: of what passes a kernel that is busy may lose
/// some, and then it is measured again.
fn eventually(words: &str, kind: &str, sound: impl Fn(&[Value]) -> bool) {
    let begin = Instant::now();
    loop {
        let found = lines(&run(words), kind);
        if sound(&found) {
            return;
        }
        assert!(begin.elapsed() < PATIENCE, "{words}: {found:?}");
    }
}

#[test]
fn tables_are_as_large_as_they_were_made() {
    if !privileged() {
        return;
    }
    // A port may have an eighth of a table of 2048.
    let words = "rfc2889 --test caching --device uswitch,bridge --addresses 600 \
                 --learning-rate 5000 --uswitch-arg=--fdb-size=2048";
    eventually(&words.replace("                 ", ""), "address_caching_capacity", |found| {
        let [ours, bridge] = found else { return false };
        let addresses = ours["addresses"].as_f64().unwrap_or(0.0);
        // One may be that of the host itself.
        let ours_are_its_quota = (150.0..=256.0).contains(&addresses) && ours["at_least"] == false;
        ours_are_its_quota && bridge["addresses"] == 600.0 && bridge["at_least"] == true
    });
}

#[test]
fn a_hub_learns_nothing_and_that_is_a_result() {
    if !privileged() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let words = "rfc2889 --test caching,learning --addresses 20 --learning-rate 1000 \
                 --rounds 1 --trial 0.02 --resolution 0.4";
    let words = words.replace("                 ", "");
    let output = on_device(&words, "hub", &folder.path().join("told")).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let found = lines(&output, "address_caching_capacity");
    assert_eq!(found.len(), 1, "it is searched once: {found:?}");
    assert_eq!((&found[0]["addresses"], &found[0]["silent"]), (&0.0.into(), &false.into()));
    assert!(lines(&output, "address_learning_rate").is_empty(), "there is none to learn");
}

#[test]
fn all_that_are_learned_have_a_rate() {
    if !privileged() {
        return;
    }
    let words =
        "rfc2889 --test learning --device uswitch,bridge --addresses 50 --learning-rate 500";
    eventually(words, "address_learning_rate", |found| {
        let rate = |line: &Value| line["median"].as_f64().unwrap_or(0.0);
        found.len() == 2 && found.iter().all(|line| line["addresses"] == 50 && rate(line) >= 500.0)
    });
}

#[test]
fn a_switch_filters_what_is_too_long_and_a_loop_does_not() {
    if !privileged() {
        return;
    }
    eventually("rfc2889 --test errored --device uswitch,bridge,loop", "errored_frames", |found| {
        let of = |device: &str, error: &str| {
            let mut lines = found.iter();
            let line = lines.find(|line| line["device"] == device && line["error"] == error);
            line.map_or(&Value::Null, |line| &line["outcome"])
        };
        for device in ["uswitch", "bridge"] {
            for error in ["oversize", "jabber"] {
                assert_eq!(of(device, error), "filtered", "{device}: {error}: {found:?}");
            }
        }
        // On a TAP nothing fills a frame up, and nothing asks how long it is.
        let all = ["oversize", "jabber", "undersize", "fragment"];
        all.iter().all(|error| of("loop", error) == "forwarded")
            && all[2..].iter().all(|error| of("uswitch", error) == "forwarded")
    });
}

#[test]
fn frames_to_everybody_come_once_at_each_port() {
    if !privileged() {
        return;
    }
    for device in ["uswitch", "bridge"] {
        let words = format!(
            "trial --device {device} --ports 4 --pattern broadcast --rate 1000 --frames 300 --json"
        );
        let begin = Instant::now();
        let trial = loop {
            let mut command = Command::new(tester());
            command.args(words.split(' ')).arg("--uswitch").arg(program());
            let output = command.output().unwrap();
            assert_eq!(output.status.code(), Some(0), "{}", said(&output));
            let trial = lines(&output, "trial").pop().expect("a trial is told");
            if trial["lost"] == 0 {
                break trial;
            }
            assert!(begin.elapsed() < PATIENCE, "nothing is lost: {trial}");
        };
        assert_eq!((&trial["received"], &trial["offered"]), (&300.into(), &300.into()), "{trial}");
        assert_eq!((&trial["duplicated"], &trial["strayed"]), (&0.into(), &0.into()), "{trial}");
    }
}

#[test]
fn congestion_and_forwarding_are_told_of_all_and_two_ports_are_too_few() {
    if !privileged() {
        return;
    }
    let words = "rfc2889 --test congestion,forwarding,broadcast --device uswitch,bridge,loop";
    let output = run(words);
    let devices = |kind: &str| {
        let lines = lines(&output, kind);
        lines.iter().map(|line| line["device"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(devices("congestion_control"), ["uswitch", "bridge"]);
    assert_eq!(devices("forwarding_rates"), ["uswitch", "bridge", "loop"]);
    assert_eq!(devices("throughput"), ["uswitch", "bridge"]);
    assert!(said(&output).contains("loop does not take part: it has 2 ports"));
    for line in lines(&output, "forwarding_rates") {
        // Nobody lets through more than was sent, and somebody something.
        let figures = line["points"].as_array().expect("points").iter().map(|point| {
            let of = |key: &str| point[key].as_f64().expect("a rate");
            (of("rate_received"), of("rate_offered"))
        });
        let figures: Vec<_> = figures.collect();
        assert!(figures.iter().all(|(received, offered)| received <= offered), "{line}");
        assert!(figures.iter().any(|(received, _)| *received > 0.0), "{line}");
    }
    for line in lines(&output, "congestion_control") {
        let share = |key: &str| line[key].as_f64();
        for key in ["loss_alone", "loss_uncongested", "loss_congested"] {
            let is_fault = line["fault"].is_string();
            assert!(is_fault || share(key).is_some_and(|x| (0.0..=1.0).contains(&x)), "{line}");
        }
    }
}

#[test]
fn a_pattern_is_not_asked_for_twice() {
    let words = "rfc2889 --pattern mesh";
    let output = Command::new(tester()).args(words.split(' ')).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("say --test instead"), "{}", said(&output));
}

#[test]
fn half_of_a_search_is_no_figure() {
    if !privileged() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("told");
    // It takes a minute and more to speak.
    let words = "rfc2889 --test caching,errored --addresses 10000 --learning-rate 100";
    let mut command = on_device(words, "hub", &file);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = Running(command.spawn().unwrap());
    let mut out = BufReader::new(running.0.stdout.take().unwrap()).lines();
    let first = out.next().expect("what was run is told first").unwrap();
    assert!(first.contains(r#""kind":"run""#), "{first}");
    running.signal("-INT");
    let rest: Vec<String> = out.map(Result::unwrap).collect();
    assert_eq!(running.0.wait().unwrap().code(), Some(130));
    assert!(rest.is_empty(), "{rest:?}");
}

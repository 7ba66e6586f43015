//! The pictures of the README.

use std::{fs, process::Command};

use uswitch_tests::{privileged, program, tester};

use super::said;

#[test]
fn three_pictures_are_measured_and_drawn() {
    if !privileged() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(tester());
    command.arg("pictures").arg(folder.path()).args(["--tiny", "--uswitch"]).arg(program());
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    for name in ["throughput.svg", "latency.svg", "load.svg"] {
        let svg = fs::read_to_string(folder.path().join(name)).unwrap();
        for part in [">uswitch<", ">bridge<", "prefers-color-scheme", "</svg>"] {
            assert!(svg.contains(part), "{name}: {part}");
        }
    }
}

#[test]
fn pictures_of_nothing_or_nowhere_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let results = folder.path().join("results");
    fs::write(&results, "{\"kind\":\"run\"}\n").unwrap();
    let refused = |command: &mut Command, cure: &str| {
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(said(&output).contains(cure), "{}", said(&output));
    };
    let mut command = Command::new(tester());
    refused(command.args(["pictures", "/nowhere"]), "`/nowhere` is no folder");
    let mut command = Command::new(tester());
    command.arg("pictures").arg(folder.path()).arg("--from").arg(&results);
    refused(&mut command, "nothing to be drawn");
    fs::remove_file(&results).unwrap();
    let mut command = Command::new(tester());
    command.arg("pictures").arg(folder.path()).arg("--from").arg(&results);
    refused(&mut command, "could not be read: No such file");
}

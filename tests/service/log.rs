//! What a switch says while it runs: as text, for the journal, for machines.

use std::os::{linux::fs::MetadataExt, unix::process::ExitStatusExt};

use serde_json::Value;

use crate::{lab::Lab, station::Station};

#[test]
fn each_line_for_machines_is_an_object_with_its_level_and_port() {
    let mut lab = Lab::new();
    lab.start(lab.command(&["--log-format=json", "--json", &lab.port("a")]));
    lab.said("switching 1 port");
    let _station = Station::new(&lab.path("a"));
    lab.said("connected");
    lab.signal("-TERM");
    let status = lab.ended();
    assert!(status.success() && status.signal().is_none());
    let log = lab.log();
    let records: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told =
        |text: &str| records.iter().find(|r| r["text"].as_str().is_some_and(|t| t.contains(text)));
    let connected = told("connected").unwrap();
    assert_eq!((&connected["level"], &connected["port"]), (&"info".into(), &"a.1".into()));
    assert!(connected["time"].as_f64().unwrap() > 1.7e9);
    assert_eq!(told("is the only port").unwrap()["level"], "warning");
    assert_eq!(told("switching 1 port").unwrap()["port"], Value::Null);
    lab.start(lab.command(&["--log-format=xml", &lab.port("a")]));
    assert_eq!(lab.ended().code(), Some(2));
    assert!(lab.log().contains("`xml` is neither `text` nor `json`"), "{}", lab.log());
}

#[test]
fn the_journal_is_told_how_bad_it_is_and_nobody_else() {
    let mut lab = Lab::new();
    for (ours, prefixes) in [(true, ["<6>", "<4>"]), (false, ["", ""])] {
        let mut command = lab.command(&[&lab.port("a")]);
        // What systemd says of its socket; here standard error is a file.
        let log = std::fs::metadata(lab.path("log")).unwrap();
        let inode = if ours { log.st_ino() } else { log.st_ino() + 1 };
        command.env("JOURNAL_STREAM", format!("{}:{inode}", log.st_dev()));
        lab.start(command);
        lab.said("switching 1 port");
        let (info, warning) =
            (format!("{}switching", prefixes[0]), format!("{}uswitch: warning: ", prefixes[1]));
        for begin in [info, warning] {
            let found = lab.log().lines().any(|line| line.starts_with(&begin));
            assert!(found, "{begin}: {}", lab.log());
        }
        lab.signal("-TERM");
        assert!(lab.ended().success());
    }
}

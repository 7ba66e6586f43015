//! `uswitch doctor` on this machine, and on one without /dev/net/tun.

use std::{
    env,
    process::{Command, Output},
};

use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_uswitch");

fn privileged() -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        assert_ne!(env::var("CI").as_deref(), Ok("true"), "CI runs all tests, and this needs root");
        eprintln!("SKIPPED: needs root");
    }
    root
}

fn level<'a>(report: &'a Value, check: &str) -> &'a str {
    let findings = report["findings"].as_array().unwrap();
    let finding = findings.iter().find(|finding| finding["check"] == check).unwrap();
    finding["level"].as_str().unwrap()
}

fn report(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn exit_code_and_both_forms_agree() {
    let words = Command::new(PROGRAM).arg("doctor").output().unwrap();
    let json = Command::new(PROGRAM).args(["doctor", "-j"]).output().unwrap();
    let report = report(&json);
    let usable = report["usable"].as_bool().unwrap();
    assert_eq!(json.status.code(), Some(i32::from(!usable)));
    assert_eq!(words.status.code(), json.status.code());
    let text = String::from_utf8(words.stdout).unwrap();
    for finding in report["findings"].as_array().unwrap() {
        assert!(text.contains(finding["sentence"].as_str().unwrap()), "{finding}\n{text}");
    }
    assert!(words.stderr.is_empty() && json.stderr.is_empty());
}

#[test]
fn root_has_all_it_takes_and_nothing_is_left_behind() {
    if !privileged() {
        return;
    }
    let namespace = netlab::Namespace::new().unwrap();
    let doctor = || Command::new(PROGRAM).args(["doctor", "-j"]).output();
    let output = namespace.run(doctor).unwrap().unwrap();
    let report = report(&output);
    assert_eq!(report["usable"], true, "{report}");
    for check in ["tun", "namespaces", "capabilities"] {
        assert_eq!(level(&report, check), "ok", "{report}");
    }
    let links = namespace.links().unwrap().list().unwrap();
    assert_eq!(links.iter().map(|link| &link.name).collect::<Vec<_>>(), ["lo"]);
}

#[test]
fn without_the_node_it_says_how_to_make_it() {
    if !privileged() {
        return;
    }
    let script = format!("mount -t tmpfs none /dev/net && exec {PROGRAM} doctor -j");
    let output = Command::new("unshare").args(["-m", "sh", "-c", &script]).output().unwrap();
    let report = report(&output);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!((level(&report, "tun"), level(&report, "offloads")), ("failure", "note"));
    assert_eq!(level(&report, "namespaces"), "ok");
    assert!(String::from_utf8(output.stdout).unwrap().contains("mknod -m 666 /dev/net/tun"));
}

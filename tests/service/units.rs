//! The units for systemd, as systemd reads them. No systemd runs for that.

use std::{fs, path::Path, process::Command};

use uswitch_tests::program;

const UNIT: &str = include_str!("../../switch/package/systemd/uswitch.service");
const TEMPLATE: &str = include_str!("../../switch/package/systemd/uswitch@.service");

/// The exposure that `systemd-analyze security` may find, in tenths: below 5 it says `OK`. What is
/// left is what a switch is for: devices, namespaces and sockets of all families.
const EXPOSURE_MAX: u32 = 45;

/// Runs `systemd-analyze` on both units: whether it succeeded, and what it said.
fn analyze(words: &[&str]) -> Vec<(bool, String)> {
    let folder = tempfile::tempdir().unwrap();
    let told = [("uswitch.service", UNIT), ("uswitch@.service", TEMPLATE)].map(|(name, text)| {
        let path = folder.path().join(name);
        // It wants to see the program.
        let ours = text.replace("/usr/bin/uswitch", &program().display().to_string());
        assert_ne!(ours, text);
        fs::write(&path, ours).unwrap();
        let told = Command::new("systemd-analyze").args(words).arg(&path).output();
        let told = told.expect("Debian's package systemd has systemd-analyze");
        let said = String::from_utf8([told.stdout, told.stderr].concat()).unwrap();
        (told.status.success(), said)
    });
    told.into()
}

#[test]
fn systemd_finds_no_fault_with_the_units() {
    for (done, said) in analyze(&["verify", "--man=no"]) {
        assert!(done && said.is_empty(), "{said}");
    }
    // What it would say of one.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("faulty.service");
    fs::write(&path, UNIT.replace("ProtectClock=yes", "ProtectClocks=yes")).unwrap();
    let told = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&path).output();
    assert!(String::from_utf8_lossy(&told.unwrap().stderr).contains("ProtectClocks"));
}

#[test]
fn the_units_leave_little_open() {
    let threshold = format!("--threshold={EXPOSURE_MAX}");
    for (done, said) in analyze(&["security", "--no-pager", "--offline=true", &threshold]) {
        assert!(done, "{said}");
    }
}

#[test]
fn the_template_differs_from_the_unit_by_its_names_alone() {
    let settings = |text: &str| {
        let (_, settings) = text.split_once("[Unit]").unwrap();
        settings.to_owned()
    };
    let of_one = settings(TEMPLATE)
        .replace("switch %i in", "switch in")
        .replace("uswitch-%i", "uswitch")
        .replace("%i.toml --name %i", "uswitch.toml");
    assert_eq!(of_one, settings(UNIT));
    assert!(!of_one.contains('%'), "{of_one}");
}

#[test]
fn the_switch_takes_the_command_line_of_the_units() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("uswitch.toml");
    fs::write(&file, include_str!("../../switch/package/uswitch.toml")).unwrap();
    let line = |text: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
        line.replace("%i", "uswitch").replace("$USWITCH_OPTIONS", "--metrics 127.0.0.1:9119")
    };
    for text in [UNIT, TEMPLATE] {
        let line = line(text).replace("/etc/uswitch/uswitch.toml", &file.display().to_string());
        // `config` reads the same words as `run`, and opens nothing.
        let words: Vec<_> = line.split_whitespace().collect();
        assert_eq!(
            (Path::new(words[0]).file_name().unwrap(), words[1]),
            ("uswitch".as_ref(), "run")
        );
        let told = Command::new(program()).arg("config").args(&words[2..]).output().unwrap();
        assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    }
}

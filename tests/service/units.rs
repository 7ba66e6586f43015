//! The units for systemd, as systemd reads them. No systemd runs for that.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::{Command, Stdio},
};

use netlab::Namespace;
use uswitch_tests::{privileged, program, running::Running};

use crate::lab::{Lab, eventually};

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

/// The calls in groups of systemd, by their names, as its own list has them.
fn groups() -> BTreeMap<String, Vec<String>> {
    let told = Command::new("systemd-analyze").args(["syscall-filter", "--no-pager"]).output();
    let text = String::from_utf8(told.unwrap().stdout).unwrap();
    let (mut groups, mut name) = (BTreeMap::<_, Vec<_>>::new(), String::new());
    for line in text.lines() {
        match line.strip_prefix("    ") {
            Some(call) => groups.entry(name.clone()).or_default().push(call.to_owned()),
            None => name = line.to_owned(),
        }
    }
    groups
}

fn expand(word: &str, groups: &BTreeMap<String, Vec<String>>) -> BTreeSet<String> {
    if !word.starts_with('@') {
        return [word.to_owned()].into();
    }
    groups[word].iter().flat_map(|word| expand(word, groups)).collect()
}

#[test]
fn the_units_let_the_switch_give_its_rights_up_and_its_opener_open() {
    let groups = groups();
    let mut allowed = expand("@default", &groups);
    for words in UNIT.lines().filter_map(|line| line.strip_prefix("SystemCallFilter=")) {
        let calls = words.trim_start_matches('~').split(' ').map(|word| expand(word, &groups));
        for call in calls.flatten() {
            if words.starts_with('~') {
                allowed.remove(&call)
            } else {
                allowed.insert(call)
            };
        }
    }
    for call in [
        "capset",
        "prctl",
        "landlock_create_ruleset",
        "landlock_add_rule",
        "landlock_restrict_self",
        "seccomp",
        "clone",
        "close_range",
        "setns",
        "mknodat",
        "fsopen",
        "wait4",
    ] {
        assert!(allowed.contains(call), "{call}");
    }
    for call in ["ptrace", "init_module", "kexec_load", "reboot", "bpf"] {
        assert!(!allowed.contains(call), "{call}");
    }
}

/// Root with the capabilities of the units and no other, as systemd would start it.
#[test]
fn the_capabilities_of_the_units_do_for_every_kind_of_port() {
    if !privileged() {
        return;
    }
    let sets = UNIT.lines().filter_map(|line| line.strip_prefix("CapabilityBoundingSet="));
    let kept = sets.flat_map(|set| set.split(' ')).map(|name| {
        format!(",+{}", name.strip_prefix("CAP_").expect("a capability").to_lowercase())
    });
    let kept = format!("--bounding-set=-all{}", kept.collect::<String>());
    let namespace = Namespace::new().unwrap();
    for (one, other) in [("low", "other"), ("low2", "other2")] {
        namespace.links().unwrap().add_veth(one, None, other).unwrap();
    }
    let within = namespace.run(|| Command::new("sleep").arg("600").spawn()).unwrap().unwrap();
    let within = Running(within);
    let netns = format!("netns={}", within.0.id());

    let mut lab = Lab::new();
    let mut words = vec![lab.port("a"), format!("--metrics=unix:{}", lab.path("m").display())];
    let kinds = ["tap:t0", "veth:v0,peer=v1", "macvlan:l0,lower=low2", "packet:other"];
    words.extend(kinds.map(|kind| format!("--port={kind},{netns}")));
    words.push(format!("--port=macvtap:m0,lower=low,{netns}"));
    words.push(format!("--port=vde:{}", lab.path("vde").display()));
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    let plain = lab.command(&words);
    let mut command = Command::new("setpriv");
    command.arg(kept).arg(plain.get_program()).args(plain.get_args());
    let log = fs::File::create(lab.path("log")).unwrap();
    command.stdin(Stdio::null()).stderr(log.try_clone().unwrap()).stdout(log);
    lab.start(command);
    eventually("it starts, or says why not", || {
        let log = lab.log();
        log.contains("switching ") || log.contains("uswitch: ") && !log.contains("warning")
    });
    assert!(lab.path("m").exists() && lab.path("vde").exists(), "{}", lab.log());
    lab.signal("-TERM");
    assert!(lab.ended().success(), "{}", lab.log());
    let log = lab.log();
    assert!(!log.contains("warning") || log.contains("one station behind the switch"), "{log}");
    for name in ["a", "m", "vde"] {
        assert!(!lab.path(name).exists(), "{name} goes at the end");
    }
    let links = namespace.links().unwrap().list().unwrap();
    let mut left: Vec<_> = links.into_iter().map(|link| link.name).collect();
    left.sort();
    assert_eq!(left, ["lo", "low", "low2", "other", "other2"]);
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
        // systemd makes it, for StateDirectory= says so.
        assert!(line.contains(" /var/lib/uswitch ") && text.contains("StateDirectory=uswitch\n"));
        let line = line.replace("/var/lib/uswitch", &folder.path().display().to_string());
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

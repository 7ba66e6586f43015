//! `uswitch bench ...` is the tester.

use std::{fs, process::Command};

use uswitch_tests::{program, tester};

use super::said;

#[test]
fn the_word_bench_runs_the_tester_beside_the_switch_or_says_how_to_get_it() {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("uswitch");
    fs::copy(program(), &copy).unwrap();
    let mut command = Command::new(&copy);
    let output = command.args(["bench", "devices"]).env("PATH", folder.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let text = said(&output);
    assert!(text.contains("`cargo install --path tools/bench`"), "{text}");

    fs::copy(tester(), folder.path().join("uswitch-bench")).unwrap();
    let mut command = Command::new(&copy);
    let output = command.args(["bench", "devices"]).env("PATH", folder.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let direct = Command::new(tester()).arg("devices").output().unwrap();
    assert_eq!(output.stdout, direct.stdout);
}

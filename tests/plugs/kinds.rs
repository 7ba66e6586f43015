//! `uswitch port kinds`: what can be plugged in.

use std::{collections::BTreeSet, process::Command};

use serde_json::Value;
use uswitch::topology::{KINDS, PortSpec};
use uswitch_tests::program;

fn says(arguments: &[&str]) -> String {
    let output = Command::new(program()).args(arguments).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn each_kind_has_a_line_and_an_example_that_can_be_typed() {
    let text = says(&["port", "kinds"]);
    let mut lines = text.lines();
    for kind in KINDS {
        let line = lines.next().unwrap();
        assert_eq!(line.split_whitespace().next(), Some(kind.name));
        assert!(line.contains(kind.about), "{line}");
        let example = lines.next().unwrap().trim().strip_prefix("--port ").unwrap();
        assert!(example.parse::<PortSpec>().is_ok(), "{example}");
    }
    assert!(text.lines().all(|line| line.len() <= 80), "{text}");
}

#[test]
fn programs_get_an_object_a_line_with_every_option() {
    let text = says(&["port", "kinds", "-j"]);
    assert_eq!(text.lines().count(), KINDS.len());
    for (line, kind) in text.lines().zip(KINDS) {
        let told: Value = serde_json::from_str(line).unwrap();
        assert_eq!((&told["kind"], &told["form"]), (&kind.name.into(), &kind.form().into()));
        let options = told["options"].as_array().unwrap();
        let names = options.iter().map(|option| option["name"].as_str().unwrap());
        let names: BTreeSet<_> = names.collect();
        let own = kind.options.iter().map(|setting| setting.name);
        assert_eq!(names, own.chain(["bridge", "mtu", "name", "netns", "quota"]).collect());
        assert!(options.iter().all(|option| option["many"].is_boolean()), "{line}");
    }
}

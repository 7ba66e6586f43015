//! Loops that can be seen are refused, and one that cannot is noticed by who flaps in it.

use std::time::Instant;

use netlab::{MacvlanMode, Namespace};
use uswitch_tests::{
    exchange::{BROADCAST, frame, station},
    privileged,
};

use crate::{
    lab::{ETH, PATIENCE, Program, lay, links, refused, silent, sleeper},
    station::Station,
};

/// A machine with a card.
fn machine() -> (Namespace, Namespace) {
    let (machine, host) = (silent(), silent());
    lay(&machine, "card", &host);
    (machine, host)
}

#[test]
fn one_device_by_two_names_of_its_namespace_is_a_loop() {
    if !privileged() {
        return;
    }
    let (machine, _host) = machine();
    let here = sleeper(&machine);
    let again = format!("packet:card,name=again,netns={}", here.0.id());
    let text = refused(&machine, &["packet:card", &again]);
    let sentence = "again: `card` is the device of port `card` already: frames would run round";
    assert!(text.contains(sentence), "{text}");
}

#[test]
fn both_ends_of_one_cable_are_a_loop_wherever_the_other_is() {
    if !privileged() {
        return;
    }
    let (machine, host) = machine();
    let there = sleeper(&host);
    let far = format!("packet:{ETH},netns={}", there.0.id());
    for ports in [["packet:card", &far], [&far, "packet:card"]] {
        let text = refused(&machine, &ports);
        assert!(text.contains("are the two ends of one cable: frames would run round"), "{text}");
        assert!(text.contains("give the other end to a host"), "{text}");
    }
    // The end of a cable that is made is looked at, too, and the cable is removed again.
    let peer = format!("packet:peer,netns={}", there.0.id());
    let veth = format!("veth:ours,peer=peer,netns={}", there.0.id());
    let text = refused(&machine, &[&veth, &peer]);
    assert!(text.contains("are the two ends of one cable"), "{text}");
    assert_eq!((links(&machine), links(&host)), (vec!["card".into()], vec![ETH.into()]));
}

#[test]
fn macvlan_and_what_it_stands_on_or_beside_are_a_loop() {
    if !privileged() {
        return;
    }
    let (machine, _host) = machine();
    for kind in ["macvlan", "macvtap"] {
        let on_it = format!("{kind}:upper,lower=card");
        let text = refused(&machine, &[&on_it, "packet:card"]);
        assert!(text.contains("are one upon the other"), "{text}");
        assert!(text.contains("leave one of the two out"), "{text}");
        let beside = format!("{kind}:beside,lower=card");
        let text = refused(&machine, &[&on_it, &beside]);
        assert!(text.contains("stand on one device and hear each other"), "{text}");
        assert!(text.contains("mode=private"), "{text}");
        assert_eq!(links(&machine), ["card"]);
    }
    // Those that do not hear each other are none.
    let private = |name| format!("macvlan:{name},lower=card,mode=private");
    let mut program = Program::start(&machine, &[&private("one"), &private("other")]);
    program.says("in mode private it receives groups and what is for its own address");
    program.stop();
    // What was there is looked at like what is made.
    machine.links().unwrap().add_macvlan("old", "card", MacvlanMode::Bridge).unwrap();
    let text = refused(&machine, &["packet:old", "macvlan:new,lower=card"]);
    assert!(text.contains("hear each other"), "{text}");
    assert_eq!(links(&machine), ["card", "old"]);
}

#[test]
fn address_that_flaps_between_two_ports_is_told_with_both() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vm.sock");
    let spec = format!("stream:{}", path.display());
    let mut program = Program::run(crate::lab::command(&[&spec]));
    let mut stations: Vec<_> = (1..=3)
        .map(|number| {
            let station = Station::new(&path);
            program.says(&format!("vm.{number}: connected"));
            station
        })
        .collect();
    let begin = Instant::now();
    let words = format!("{} is heard behind vm.", "02:00:00:00:01:07");
    let frame = frame(BROADCAST, station(7), b"I am at two places");
    while !program.has_said(&words) {
        assert!(begin.elapsed() < PATIENCE, "it flaps");
        for at in [0, 1] {
            stations[at].put(&frame);
            assert_eq!(stations[2].take(), frame);
            stations[1 - at].take();
        }
    }
    let line = program.says(&words);
    assert!(line.contains("vm.1") && line.contains("vm.2"), "{line}");
    assert!(line.contains("two stations have this address, or there is a loop"), "{line}");
    program.stop();
}

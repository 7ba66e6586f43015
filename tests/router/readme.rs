//! The README's home lab, as it stands there.

use std::{thread, time::Duration};

use netlab::Namespace;
use uswitch_tests::privileged;

use crate::{
    lab::PATIENCE,
    machine::{CABLE, Machine, ping, prefix, transfer},
    member::says,
};

const README: &str = include_str!("../../README.md");
/// What stands before the file.
const BEFORE: &str = "A home lab, in a file";
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

fn file() -> &'static str {
    let (_, behind) = README.split_once(BEFORE).expect("the README has a home lab");
    let (_, behind) = behind.split_once("```toml\n").expect("in a file");
    behind.split_once("```").expect("that ends").0
}

/// Waits until the host has made an address in this network of what it was told.
fn configured(host: &Namespace, network: &str) {
    let mut tries = PATIENCE.as_millis() / LOOK_INTERVAL.as_millis();
    let words = format!("ip -6 address show dev {CABLE} scope global -tentative dynamic");
    loop {
        let said = says(host, &words);
        if said.contains(network) && !says(host, "ip -6 route show default proto ra").is_empty() {
            return;
        }
        tries -= 1;
        assert!(tries > 0, "the host has an address in {network}: {said}");
        thread::sleep(LOOK_INTERVAL);
    }
}

#[test]
fn home_lab_of_the_readme_does_what_it_says() {
    if !privileged() {
        return;
    }
    let machine = Machine::new();
    let running = machine.start_file(file());
    let near = machine.host("tap0", &["10.0.0.2/24"], &["10.0.0.1"]);
    // Both routers to 10.8.0.0/16 are one host.
    let far = machine.host("tap1", &["10.1.0.2/24", "10.1.0.3/24"], &["10.1.0.1"]);
    for network in ["10.0.0.0/24", "10.1.0.0/24"] {
        machine.route(network, "10.9.0.1");
    }
    for (host, behind) in [(&machine.namespace, "198.51.100.7/32"), (&far, "10.8.0.1/32")] {
        let mut links = host.links().unwrap();
        links.set_up("lo").unwrap();
        links.add_address("lo", prefix(behind)).unwrap();
    }
    for to in ["10.0.0.1", "10.1.0.2", "10.9.0.2", "198.51.100.7", "10.8.0.1"] {
        ping(&near, to);
    }
    for from in [&far, &machine.namespace] {
        ping(from, "10.0.0.2");
    }
    transfer(&near, &far, "10.1.0.2".parse().unwrap());
    transfer(&far, &machine.namespace, "10.9.0.2".parse().unwrap());
    configured(&near, "fd00:1:");
    ping(&near, "fd00:1::1");
    assert_eq!(machine.says("route get 192.0.2.1"), "blackhole 192.0.2.1\n");
    let neighbours = machine.says("neigh show");
    let said = neighbours.lines().find(|line| line.starts_with("10.1.0.7 "));
    assert!(said.is_some_and(|line| line.contains("PERMANENT")), "{neighbours}");
    running.stop();
}

//! Devices that the program makes: they work, they go with it, and go when it does not start.

use std::net::IpAddr;

use netlab::{FrameSocket, MacvlanMode, Namespace};
use uswitch_tests::{
    exchange::{BROADCAST, frame, station},
    privileged,
};

use crate::lab::{
    ETH, PATIENCE, Program, lay, links, passes, ping_all, refused, silent, sleeper, socket,
};

/// The address of a host in one of the two networks.
fn address(v6: bool, number: u8) -> IpAddr {
    let text = if v6 { format!("fd00::{number}") } else { format!("10.0.0.{number}") };
    text.parse().unwrap()
}

#[test]
fn hosts_behind_devices_that_were_made_ping_each_other_and_nothing_is_left() {
    if !privileged() {
        return;
    }
    let machine = Namespace::new().unwrap();
    // Otherwise the machine would answer for `lan0` by its cards, too (ip-sysctl.rst).
    machine.set_sysctl("net/ipv4/conf/all/arp_ignore", "1").unwrap();
    let hosts: [Namespace; 4] = std::array::from_fn(|_| Namespace::new().unwrap());
    // Two in containers, two behind cards of the machine; it is the fifth itself.
    let pids = [sleeper(&hosts[0]), sleeper(&hosts[1])].map(|sleeper| (sleeper.0.id(), sleeper));
    for (card, at) in [("card2", 2), ("card3", 3)] {
        lay(&machine, card, &hosts[at]);
        let mut links = hosts[at].links().unwrap();
        for text in [format!("10.0.0.{}/24", at + 1), format!("fd00::{}/64", at + 1)] {
            links.add_address(ETH, text.parse().unwrap()).unwrap();
        }
    }
    let veth = |number: u8, pid: u32| {
        format!(
            "veth:lab{number},peer={ETH},netns={pid},addr=10.0.0.{number}/24,\
             addr=fd00::{number}/64,mac=02:00:00:00:00:0{number},mtu=1400"
        )
    };
    let mut program = Program::start(
        &machine,
        &[
            &veth(1, pids[0].0),
            &veth(2, pids[1].0),
            "macvtap:mt0,lower=card2,mode=passthru",
            "macvlan:mv0,lower=card3,mode=passthru",
            "host:lan0,addr=10.0.0.5/24,addr=fd00::5/64,mac=02:00:00:00:00:05",
        ],
    );
    program.says("lab1: created with eth0, packet socket, MTU 1400");
    program.says("mt0: created, MTU 1500");
    program.says("mv0: created on card3, packet socket, MTU 1500");
    program.says("lan0: created, MTU 1500");
    for (number, host) in [(1, &hosts[0]), (2, &hosts[1]), (5, &machine)] {
        let name = if number == 5 { "lan0" } else { ETH };
        let link = host.links().unwrap().expect(name).unwrap();
        assert_eq!(link.mac, Some([2, 0, 0, 0, 0, number]));
        assert_eq!(link.mtu, if number == 5 { 1500 } else { 1400 });
        assert!(host.links().unwrap().wait_running(name, PATIENCE).unwrap());
    }
    for v6 in [false, true] {
        let places = [&hosts[0], &hosts[1], &hosts[2], &hosts[3], &machine];
        let places = places.into_iter().zip(1..).map(|(host, at)| (host, address(v6, at)));
        ping_all(&places.collect::<Vec<_>>());
    }
    program.stop();
    assert_eq!(links(&machine), ["card2", "card3"]);
    assert_eq!(links(&hosts[0]), [""; 0]);
    assert_eq!(links(&hosts[1]), [""; 0]);
}

#[test]
fn start_that_fails_leaves_nothing_of_what_it_made() {
    if !privileged() {
        return;
    }
    let (machine, host) = (silent(), silent());
    lay(&machine, "card", &host);
    let there = sleeper(&host);
    let veth = format!("veth:lab1,peer=lab2,netns={}", there.0.id());
    let made = [
        &*veth,
        "macvlan:mv0,lower=card,mode=private",
        "macvtap:mt0,lower=card,mode=private",
        "host:lan0,addr=10.0.0.1/24",
        "tap:t0,persist=on",
        "tap:t1,side=netdev",
        "packet:nobody",
    ];
    for at in 0..made.len() {
        let mut ports = made.to_vec();
        ports.rotate_left(at);
        let text = refused(&machine, &ports);
        assert!(text.contains("nobody: there is no such device here"), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
        assert_eq!((links(&machine), links(&host)), (vec!["card".into()], vec![ETH.into()]));
    }
}

#[test]
fn device_that_cannot_be_finished_is_not_left_half_made() {
    if !privileged() {
        return;
    }
    let (machine, host) = (silent(), silent());
    lay(&machine, "card", &host);
    let there = sleeper(&host);
    let pid = there.0.id();
    // IPv6 is off there; that address is taken; so large are no cables; that name is taken.
    for (spec, sentence) in [
        (format!("veth:a,peer=b,netns={pid},addr=fd00::1/64"), "a: "),
        ("host:a,addr=fd00::1/64".into(), "a: "),
        (format!("veth:a,peer={ETH},netns={pid}"), "a: "),
        ("veth:card,peer=b".into(), "card: "),
        ("macvlan:card,lower=card".into(), "card: "),
        ("macvlan:a,lower=nobody".into(), "there is no link `nobody`"),
        ("macvtap:a,lower=nobody".into(), "there is no link `nobody`"),
        ("macvlan:a,lower=card,mtu=9000".into(), "a: "),
        ("macvtap:a,lower=card,mtu=9000".into(), "a: "),
        ("tap:a,side=netdev,owner=no-such-user".into(), "a: there is no user `no-such-user`"),
        ("tap:card,side=netdev".into(), "but as a veth device and not as a TAP"),
        ("tap:card".into(), "but as a veth device and not as a TAP"),
        ("packet:a,netns=4294967295".into(), "a: "),
    ] {
        let text = refused(&machine, &[&spec]);
        assert!(text.contains(sentence), "{spec}: {text}");
        eprintln!("{text}");
        assert_eq!((links(&machine), links(&host)), (vec!["card".into()], vec![ETH.into()]));
    }
}

#[test]
fn macvtap_that_was_made_is_made_again_and_one_that_was_there_is_served_when_it_is_back() {
    if !privileged() {
        return;
    }
    let (machine, host, other) = (silent(), silent(), silent());
    lay(&machine, "card", &host);
    lay(&machine, "p1", &other);
    for made in [true, false] {
        let mut here = machine.links().unwrap();
        let make = |links: &mut netlab::Links| {
            links.add_macvtap("mt0", "card", MacvlanMode::Passthru).unwrap();
        };
        let spec = if made { "macvtap:mt0,lower=card,mode=passthru" } else { "macvtap:mt0" };
        if !made {
            make(&mut here);
        }
        let mut program = Program::start(&machine, &[spec, "packet:p1"]);
        let (from, mut to) = (socket(&host), socket(&other));
        passes(&from, &mut to, "first");
        here.delete("mt0").unwrap();
        program.says("mt0: asleep until its device is back");
        if !made {
            make(&mut here);
        }
        program.says(if made { "mt0: created, MTU" } else { "mt0: attached" });
        assert!(here.wait_running("mt0", PATIENCE).unwrap());
        passes(&from, &mut to, "again");
        program.stop();
        let left = if made { vec!["card", "p1"] } else { vec!["card", "p1", "mt0"] };
        assert_eq!(links(&machine), left);
    }
}

/// Nobody else is to be heard: what comes to the machine's own end of the cable stays there.
#[test]
fn cable_to_a_host_that_died_sleeps() {
    if !privileged() {
        return;
    }
    let (machine, other) = (silent(), silent());
    lay(&machine, "p1", &other);
    let host = silent();
    let there = sleeper(&host);
    let veth = format!("veth:lab1,peer={ETH},netns={}", there.0.id());
    let mut program = Program::start(&machine, &[&veth, "packet:p1"]);
    passes(&socket(&host), &mut socket(&other), "alive");
    host.links().unwrap().delete(ETH).unwrap();
    program.says("lab1: asleep until its device is back");
    let hello = frame(BROADCAST, station(1), b"nobody hears");
    FrameSocket::open(&other, ETH).unwrap().send(&hello).unwrap();
    let mut ours = machine.links().unwrap();
    ours.add_veth("lab1", Some(&host), ETH).unwrap();
    host.links().unwrap().set_up(ETH).unwrap();
    program.says("lab1: packet socket");
    assert!(ours.wait_running("lab1", PATIENCE).unwrap());
    passes(&socket(&host), &mut socket(&other), "alive again");
    program.stop();
    assert_eq!(links(&machine), ["p1", "lab1"], "what others made stays");
}

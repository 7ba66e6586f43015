//! Ports on datagram sockets, VDE and captures, by the program.

use std::{
    fs,
    io::{Read, Write},
    net::UdpSocket,
    os::unix::net::UnixDatagram,
    process::{Command, Stdio},
    time::Instant,
};

use uswitch_tests::{
    exchange::{BROADCAST, frame, station},
    privileged,
    running::Running,
};

use crate::{
    lab::{PATIENCE, Program, command, silent, sleeper},
    station::Station,
};

#[test]
fn datagram_peer_may_come_late_die_and_come_again() {
    let folder = tempfile::tempdir().unwrap();
    let [ours, theirs, other] = ["ours", "theirs", "vm"].map(|name| folder.path().join(name));
    let dgram = format!("dgram:{},{}", ours.display(), theirs.display());
    let stream = format!("stream:{}", other.display());
    let mut program = Program::run(command(&[&dgram, &stream]));
    program.says("ours: bound, its other end is ");
    let mut guest = Station::new(&other);
    program.says("vm.1: connected");
    for (lost, word) in (1..).zip(["first", "second", "third"]) {
        // Nobody hears it, and it harms nobody.
        guest.put(&frame(BROADCAST, station(1), word.as_bytes()));
        let begin = Instant::now();
        while program.count("ours", "tx_down") < lost {
            assert!(begin.elapsed() < PATIENCE, "a frame is lost");
        }
        let peer = UnixDatagram::bind(&theirs).unwrap();
        peer.set_read_timeout(Some(PATIENCE)).unwrap();
        let answer = frame(BROADCAST, station(2), word.as_bytes());
        peer.send_to(&answer, &ours).unwrap();
        assert_eq!(guest.take(), answer);
        let last = frame(station(2), station(1), word.as_bytes());
        guest.put(&last);
        let mut octets = [0; 2000];
        let len = peer.recv(&mut octets).unwrap();
        assert_eq!(octets[..len], last);
        drop(peer);
        fs::remove_file(&theirs).unwrap();
    }
    let json = program.stop();
    assert_eq!(crate::lab::count(&json, "ours", "tx_down"), 3, "{json}");
    assert!(!ours.exists(), "its socket goes with it");
}

#[test]
fn udp_ports_of_one_namespace_are_heard_in_it() {
    if !privileged() {
        return;
    }
    let machine = silent();
    machine.links().unwrap().set_up("lo").unwrap();
    let there = sleeper(&machine);
    let netns = format!("netns={}", there.0.id());
    let ports = [
        format!("udp:127.0.0.1:5001,127.0.0.1:5002,{netns}"),
        format!("udp:127.0.0.1:5003,127.0.0.1:5004,{netns}"),
    ];
    let mut program = Program::run(command(&[&ports[0], &ports[1]]));
    program.says("udp-5001: bound, its other end is 127.0.0.1:5002, MTU 1500");
    let bind = |port: u16| machine.run(|| UdpSocket::bind(("127.0.0.1", port)).unwrap()).unwrap();
    let (one, other, stranger) = (bind(5002), bind(5004), bind(5005));
    other.set_read_timeout(Some(PATIENCE)).unwrap();
    for len in [1, 100, 1500] {
        let hello = frame(BROADCAST, station(1), &vec![7; len]);
        stranger.send_to(&hello[..15], "127.0.0.1:5001").unwrap();
        one.send_to(&hello, "127.0.0.1:5001").unwrap();
        let mut octets = [0; 2000];
        let got = other.recv(&mut octets).unwrap();
        assert_eq!(octets[..got], hello);
    }
    let output = command(&[&ports[0], "udp:[::1]:1,127.0.0.1:1"]).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("udp-5001: ") && text.contains("another program has the"), "{text}");
    assert!(text.contains("udp-1: ") && text.contains("one address is IPv4"), "{text}");
    program.stop();
}

#[test]
fn vde_plugs_join_and_leave() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ctl");
    let mut program = Program::run(command(&[&format!("vde:{}", path.display())]));
    program.says("ctl: waits for clients");
    let mut plugs: Vec<_> = (1..=2)
        .map(|number| {
            let mut plug = Command::new("vde_plug");
            plug.arg(&path).stdin(Stdio::piped()).stdout(Stdio::piped());
            let plug = Running(plug.spawn().unwrap());
            program.says(&format!("ctl.{number}: connected"));
            plug
        })
        .collect();
    let mut hello = frame(BROADCAST, station(1), b"hello");
    hello.resize(60, 0);
    let input = plugs[0].0.stdin.as_mut().unwrap();
    input.write_all(&[&(hello.len() as u16).to_be_bytes()[..], &hello].concat()).unwrap();
    let mut octets = vec![0; 2 + hello.len()];
    plugs[1].0.stdout.as_mut().unwrap().read_exact(&mut octets).unwrap();
    assert_eq!(octets[2..], hello);
    drop(plugs.remove(0));
    program.says("ctl.1: the client has gone");
    program.stop();
    assert!(!path.exists() || fs::read_dir(&path).unwrap().count() == 0, "nothing is left in it");
}

/// A capture of frames in the first format (pcap-savefile(5)), a microsecond apart.
fn capture(frames: &[Vec<u8>]) -> Vec<u8> {
    let head: [u32; 6] = [0xa1b2_c3d4, 0x0004_0002, 0, 0, 65_535, 1];
    let mut octets: Vec<u8> = head.into_iter().flat_map(u32::to_le_bytes).collect();
    for (time, frame) in frames.iter().enumerate() {
        let len = frame.len() as u32;
        octets.extend([1, time as u32, len, len].into_iter().flat_map(u32::to_le_bytes));
        octets.extend(frame);
    }
    octets
}

/// The frames of such a capture, whoever wrote it.
fn frames_of(capture: &[u8]) -> Vec<Vec<u8>> {
    let (mut rest, mut frames) = (&capture[24..], Vec::new());
    while let Some((head, behind)) = rest.split_at_checked(16) {
        let len = u32::from_le_bytes(head[8..12].try_into().unwrap()) as usize;
        let (frame, behind) = behind.split_at(len);
        frames.push(frame.to_vec());
        rest = behind;
    }
    frames
}

#[test]
fn capture_is_played_into_one_port_and_recorded_by_another() {
    const FRAMES: usize = 500;
    let folder = tempfile::tempdir().unwrap();
    let [played, recorded] = ["in.pcap", "out.pcap"].map(|name| folder.path().join(name));
    let word = |number: usize| frame(BROADCAST, station(1), &[number as u8; 50]);
    let frames: Vec<_> = (0..FRAMES).map(word).collect();
    fs::write(&played, capture(&frames)).unwrap();
    let ports = [
        format!("pcap:in={},speed=top", played.display()),
        format!("pcap:out={}", recorded.display()),
    ];
    let mut program = Program::run(command(&[&ports[1], &ports[0]]));
    program.says("in: plays ");
    program.says("out: records into ");
    program.says("in: all is played: 500 frames");
    let json = program.stop();
    assert_eq!(crate::lab::count(&json, "in", "rx_frames"), FRAMES as u64);
    assert!(frames_of(&fs::read(&recorded).unwrap()) == frames);
}

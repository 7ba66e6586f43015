//! Captures beside TAPs: what hosts send with all offloads is recorded as a wire would carry it.

use std::{collections::BTreeMap, net::SocketAddr, path::Path, process::Command};

use netlab::{NEVER, Namespace, transfer_tcp};
use uswitch::{
    port::{
        any::AnyPort,
        pcap::{Pcap, PcapConfig, Speed},
        tap::{Tap, TapConfig},
    },
    stats::Counter,
    switch::{self, Handle, PortConfig, SwitchConfig},
};
use uswitch_tests::{
    exchange::{BROADCAST, PATIENCE, frame, station},
    privileged,
};

/// Octets of a transfer: some dozens of frames of 64 KB, and in segments no more than waits on the
/// line to the recording thread, so that none is lost however slow that is.
const OCTETS: u64 = 2 << 20;

/// A namespace with a TAP, up and with an address, behind which nobody is learned: so whatever is
/// sent to it is flooded, and leaves by a recording port too.
fn host(handle: &mut Handle<AnyPort>, number: u8) -> Namespace {
    let namespace = Namespace::new().unwrap();
    let config = TapConfig { netns: Some(namespace.clone()), ..TapConfig::named("tap0") };
    let tap = Tap::open(&config).unwrap();
    assert!(tap.offloads().any(|name| name == "tso4"));
    let port = PortConfig { quota: Some(0), ..PortConfig::named(format!("host {number}")) };
    handle.add(port, tap.into()).unwrap();
    let mut links = namespace.links().unwrap();
    links.add_address("tap0", format!("10.0.0.{number}/24").parse().unwrap()).unwrap();
    assert!(links.wait_running("tap0", PATIENCE).unwrap());
    namespace
}

/// One field of all frames of a capture that pass a filter, as tshark reads it.
fn tshark(path: &Path, filter: &str, field: &str) -> Vec<String> {
    let options = ["-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE"];
    let output = Command::new("tshark")
        .args(options)
        .args(["-T", "fields", "-e", field, "-Y", filter, "-nr"])
        .arg(path)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn offloaded_tcp_is_recorded_as_segments_with_their_checksums() {
    if !privileged() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.pcapng");
    let mut handle = switch::start(&SwitchConfig::default()).unwrap();
    let hosts = [1, 2].map(|number| host(&mut handle, number));
    let config = PcapConfig { output: Some(path.clone()), ..PcapConfig::new() };
    let pcap = Pcap::open(&config).unwrap();
    let status = pcap.status();
    let out = handle.add(PortConfig::named("out"), pcap.into()).unwrap();
    let address = SocketAddr::from(([10, 0, 0, 2], 0));
    let sent = transfer_tcp(&hosts[0], &hosts[1], address, OCTETS, 1, &NEVER).unwrap();
    assert!(sent.is_sound());
    let report = handle.stop();
    let ports = report.ports.iter();
    let received = ports.clone().map(|port| port.stats.get(Counter::RxFrames)).sum::<u64>();
    let full = ports.clone().find(|port| port.port == out).unwrap().stats.get(Counter::TxFull);
    let recorded = status.recorded();
    assert!(recorded > 2 * received, "frames of 64 KB were cut: {recorded} from {received}");
    let lengths = tshark(&path, "frame", "frame.len");
    assert_eq!(lengths.len() as u64, recorded);
    assert!(lengths.iter().all(|len| len.parse::<u32>().unwrap() <= 1514));
    // 0: bad (Wireshark's names of proto_checksum_enum_e).
    for filter in ["tcp.checksum.status == 0", "ip.checksum.status == 0"] {
        assert_eq!(tshark(&path, filter, "frame.number"), [""; 0], "{filter}");
    }
    assert_eq!(full, 0);
    // Every octet of the stream is in one segment, or in several if it was sent again.
    let field = |name| tshark(&path, "tcp.len > 0 && ip.dst == 10.0.0.2", name);
    let number = |text: String| text.parse::<u64>().unwrap();
    let segments = field("tcp.seq").into_iter().zip(field("tcp.len"));
    let segments: BTreeMap<_, _> = segments.map(|(seq, len)| (number(seq), number(len))).collect();
    let end = segments.iter().fold(1, |end, (seq, len)| {
        assert!(*seq <= end, "octets {end} to {seq} are absent");
        end.max(seq + len)
    });
    assert!(end > OCTETS, "{end}");
}

#[test]
fn frames_of_a_capture_reach_a_host() {
    if !privileged() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("in.pcap");
    let frames = (0..100u8).map(|number| frame(BROADCAST, station(number), &[number; 60]));
    let frames = frames.collect::<Vec<_>>();
    // Recorded by one switch, played by the next.
    let config = PcapConfig { output: Some(path.clone()), ..PcapConfig::new() };
    let mut handle = switch::start(&SwitchConfig::default()).unwrap();
    let host_a = host(&mut handle, 1);
    let mut socket = netlab::FrameSocket::open(&host_a, "tap0").unwrap();
    let pcap = Pcap::open(&config).unwrap();
    let status = pcap.status();
    handle.add(PortConfig::named("out"), pcap.into()).unwrap();
    frames.iter().for_each(|frame| socket.send(frame).unwrap());
    let begin = std::time::Instant::now();
    // The host says more than it is told to: these are counted at their own port.
    while status.recorded() < frames.len() as u64 {
        assert!(begin.elapsed() < PATIENCE, "all frames are recorded");
        std::thread::yield_now();
    }
    handle.stop();
    let mut handle = switch::start(&SwitchConfig::default()).unwrap();
    let host_b = host(&mut handle, 2);
    socket = netlab::FrameSocket::open(&host_b, "tap0").unwrap();
    let config = PcapConfig { input: Some(path), speed: Speed::Top, ..PcapConfig::new() };
    handle.add(PortConfig::named("in"), Pcap::open(&config).unwrap().into()).unwrap();
    for sent in &frames {
        let got = socket.recv_matching(PATIENCE, |got| got[12..14] == sent[12..14]).unwrap();
        assert_eq!(got.as_ref(), Some(sent));
    }
}

//! Filters: what tcpdump makes of an expression, run here, and what tcpdump finds by it itself.

use std::{fs, path::Path, process::Command};

use uswitch::capture::filter::{Filter, Instruction};
use uswitch_tests::captures::{self, FRAMES_VARIABLE};

use crate::lab::told;

/// Every kind of load, jump and reckoning that tcpdump makes.
const EXPRESSIONS: &[&str] = &[
    "arp",
    "ip or ip6",
    "udp port 53",
    "tcp portrange 1-1023",
    "tcp[tcpflags] & (tcp-syn|tcp-fin) != 0",
    "ether[0] & 1 = 0 and ip[0] & 0xf != 5",
    "vlan and ip",
    "vlan 10 or not ip",
    "icmp6 or ip proto 47",
    "host 10.0.0.1 or net 192.168.0.0/16",
    "ether host 02:00:00:00:00:01 or ether multicast",
    "len > 100 and len < 1000",
    "ip[2:2] - 20 * (ip[0] & 0xf) / 5 > 40",
    "ip[(ip[0] & 0xf) << 2] = 8 and ip[6:2] & 0x1fff = 0",
    "ether[12:2] % 7 = 3 or ether[14] ^ 3 = 1",
    "greater 60 and (udp or tcp) and not port 80",
];

fn run(program: &mut Command) -> String {
    let (code, out, err) = told(&program.output().expect("tcpdump is installed"));
    assert_eq!(code, 0, "{program:?}: {err}");
    out
}

/// A classic pcap file of these frames, in which the time of each is its number.
fn write(path: &Path, frames: &[Vec<u8>]) {
    let mut file = [0xa1b2_c3d4u32, 0x0004_0002, 0, 0, 262_144, 1].map(u32::to_le_bytes).concat();
    for (number, frame) in frames.iter().enumerate() {
        let len = frame.len() as u32;
        file.extend([number as u32, 0, len, len].map(u32::to_le_bytes).as_flattened());
        file.extend(frame);
    }
    fs::write(path, file).unwrap();
}

#[test]
fn filter_takes_the_frames_that_tcpdump_takes() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let mut all = captures::corpus(&corpus).unwrap();
    if let Some(folder) = std::env::var_os(FRAMES_VARIABLE) {
        all.extend(captures::captures(Path::new(&folder)).unwrap());
    }
    let frames: Vec<_> = all.into_iter().flat_map(|capture| capture.frames).collect();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("all.pcap");
    write(&file, &frames);
    for expression in EXPRESSIONS {
        let text = run(Command::new("tcpdump").args(["-ddd", "-y", "EN10MB", expression]));
        let program: Vec<_> = text
            .lines()
            .skip(1)
            .map(|line| {
                let numbers: Vec<u32> = line.split(' ').map(|n| n.parse().unwrap()).collect();
                let [code, jt, jf, k] = numbers[..] else { panic!("{line}") };
                Instruction { code: code as u16, jt: jt as u8, jf: jf as u8, k }
            })
            .collect();
        let filter = Filter::new(&program).unwrap();
        let ours: Vec<_> =
            (0..frames.len()).filter(|number| filter.run(&frames[*number]) != 0).collect();
        let taken = folder.path().join("taken.pcap");
        run(Command::new("tcpdump").arg("-r").arg(&file).arg("-w").arg(&taken).arg(expression));
        // The seconds of each record say which it was.
        let octets = fs::read(&taken).unwrap();
        let (mut theirs, mut at) = (Vec::new(), 24);
        while at < octets.len() {
            let word = |place| u32::from_le_bytes(*octets[at + place..].first_chunk().unwrap());
            theirs.push(word(0) as usize);
            at += 16 + word(8) as usize;
        }
        assert_eq!(ours, theirs, "{expression}");
    }
}

//! `uswitch capture`: what it writes is read by tshark, and whatever becomes of it, the switch
//! does not mind.

use std::{
    fs::{self, File},
    io::Read,
    os::fd::{AsFd, AsRawFd},
    path::Path,
    process::{Child, Command, Stdio},
};

use netlab::Namespace;
use uswitch_tests::{
    exchange::{BROADCAST, frame, station},
    privileged,
    running::Running,
};

use crate::{
    lab::{Lab, eventually, told},
    station::Station,
};

/// A switch with two stations, who are there.
fn start() -> (Lab, Running, Station, Station) {
    let lab = Lab::new();
    let running = lab.start("lab", &["a", "b"], &[]);
    let (a, b) = (lab.station("a"), lab.station("b"));
    eventually("both are there", || lab.log("lab").matches(": connected").count() == 2);
    (lab, running, a, b)
}

/// A capture that writes to this file, once it sees frames.
pub fn capture(lab: &Lab, words: &[&str], file: &str) -> Running {
    let path = lab.path(file);
    let write = path.display().to_string();
    let mut command = lab.command(&[&["capture", "-w", &write], words].concat());
    let mut running = Running(command.stderr(Stdio::piped()).spawn().unwrap());
    eventually("it captures", || {
        if let Some(status) = running.0.try_wait().unwrap() {
            panic!("it ended: {status}: {}", said(&mut running.0));
        }
        fs::metadata(&path).is_ok_and(|file| file.len() > 0)
    });
    running
}

fn said(child: &mut Child) -> String {
    let mut text = String::new();
    child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
    text
}

/// Waits for its end: exit code, and what it said.
pub fn ended(mut running: Running) -> (i32, String) {
    let text = said(&mut running.0);
    (running.0.wait().unwrap().code().unwrap_or(-1), text)
}

/// A line of these fields for each frame of a file.
pub fn fields(path: &Path, fields: &[&str]) -> Vec<String> {
    let mut tshark = Command::new("tshark");
    tshark.arg("-r").arg(path).args(["-T", "fields"]);
    tshark.args(fields.iter().flat_map(|field| ["-e", field]));
    let (code, out, err) = told(&tshark.output().expect("tshark is installed"));
    assert_eq!(code, 0, "{err}");
    out.lines().map(str::to_owned).collect()
}

/// The frames captured and lost, as it told them.
fn counts(said: &str) -> [u64; 2] {
    let line = said.lines().find(|line| line.contains(" captured, ")).unwrap_or_else(|| {
        panic!("no counts: {said}");
    });
    let numbers: Vec<u64> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
    numbers.try_into().unwrap()
}

#[test]
fn tshark_reads_ports_ways_times_and_octets() {
    let (lab, running, mut a, mut b) = start();
    let capture = capture(&lab, &["-c", "4"], "all.pcapng");
    a.put(&frame(BROADCAST, station(1), b"hello"));
    b.take();
    b.put(&frame(station(1), station(2), b"answer"));
    a.take();
    let (code, text) = ended(capture);
    assert_eq!((code, counts(&text)), (0, [4, 0]), "{text}");
    let wanted = ["frame.interface_name", "frame.packet_flags_direction", "eth.src"];
    let rows = fields(&lab.path("all.pcapng"), &wanted);
    let (one, two) = ("02:00:00:00:01:01", "02:00:00:00:01:02");
    assert_eq!(rows.len(), 4, "{rows:?}");
    for (row, (port, way, from)) in
        rows.iter().zip([("a.1", 1, one), ("b.1", 2, one), ("b.1", 1, two), ("a.1", 2, two)])
    {
        let found: Vec<_> = row.split('\t').collect();
        let number = found[1].trim_start_matches("0x").trim_start_matches('0');
        assert_eq!((found[0], number, found[2]), (port, &*way.to_string(), from), "{rows:?}");
    }
    let times = fields(&lab.path("all.pcapng"), &["frame.time_epoch"]);
    let times: Vec<f64> = times.iter().map(|time| time.parse().unwrap()).collect();
    assert!(times.is_sorted(), "{times:?}");
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
    assert!((0.0..600.0).contains(&(now - times[0])), "{times:?}");
    lab.end("lab", running);
}

#[test]
fn frames_of_one_port_and_of_one_kind_alone() {
    let (lab, running, mut a, mut b) = start();
    let one = capture(&lab, &["b", "-s", "16"], "one.pcapng");
    let filtered = capture(&lab, &["--filter", "ether src 02:00:00:00:01:02"], "filter.pcapng");
    let dropped = capture(&lab, &["--drops"], "drops.pcapng");
    a.put(&frame(BROADCAST, station(1), b"hello"));
    b.take();
    // For a reserved address: a bridge keeps it (IEEE 802.1Q).
    let reserved = [&[1, 0x80, 0xc2, 0, 0, 0][..], &[2, 0, 0, 0, 1, 2], &[0; 48]].concat();
    b.put(&reserved);
    b.put(&frame(station(1), station(2), b"answer"));
    a.take();
    let seen = |running: Running, file: &str| {
        running.signal("-INT");
        let (code, text) = ended(running);
        assert_eq!(code, 0, "{text}");
        let wanted = ["frame.interface_name", "frame.cap_len", "frame.comment"];
        fields(&lab.path(file), &wanted)
    };
    let rows = seen(one, "one.pcapng");
    assert_eq!(rows.len(), 3, "out, dropped, in: {rows:?}");
    assert!(rows.iter().all(|row| row.starts_with("b.1\t16\t")), "{rows:?}");
    assert!(rows[1].contains("filter_reserved: Dropped"), "{rows:?}");
    let rows = seen(filtered, "filter.pcapng");
    let ports: Vec<_> = rows.iter().map(|row| row.split('\t').next().unwrap()).collect();
    assert_eq!(ports, ["b.1", "b.1", "a.1"], "{rows:?}");
    let rows = seen(dropped, "drops.pcapng");
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert!(rows[0].starts_with("b.1\t60\tfilter_reserved: "), "{rows:?}");
    lab.end("lab", running);
}

#[test]
fn port_that_comes_later_is_seen_from_its_first_frame_on() {
    let (lab, running, mut a, _b) = start();
    lab.done(&format!("port add {}", lab.spec("c")));
    let late = capture(&lab, &["c", "-c", "2"], "late.pcapng");
    let mut c = lab.station("c");
    c.put(&frame(BROADCAST, station(3), b"hello"));
    a.take();
    a.put(&frame(station(3), station(1), b"answer"));
    c.take();
    let (code, text) = ended(late);
    assert_eq!((code, counts(&text)), (0, [2, 0]), "{text}");
    let rows = fields(&lab.path("late.pcapng"), &["frame.interface_name", "eth.src"]);
    assert_eq!(rows, ["c.1\t02:00:00:00:01:03", "c.1\t02:00:00:00:01:01"]);
    lab.end("lab", running);
}

#[test]
fn tshark_captures_live_from_the_pipe() {
    let (lab, running, mut a, mut b) = start();
    let program = uswitch_tests::program();
    let mut shell = Command::new("sh");
    shell.env("USWITCH_RUNTIME_DIR", lab.path("run")).stdout(Stdio::piped()).args([
        "-c",
        "\"$0\" capture a | tshark -l -n -i - -c 2 -T fields -e frame.interface_name -e eth.src",
    ]);
    let log = File::create(lab.path("tshark.log")).unwrap();
    let mut shell = Running(shell.arg(program).stderr(log).spawn().unwrap());
    // tshark begins when it likes: it is sent frames until it has had enough.
    eventually("tshark has two frames", || {
        a.put(&frame(BROADCAST, station(1), b"hello"));
        b.take();
        shell.0.try_wait().unwrap().is_some()
    });
    let mut text = String::new();
    shell.0.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    let log = fs::read_to_string(lab.path("tshark.log")).unwrap();
    assert_eq!(text, "a.1\t02:00:00:00:01:01\n".repeat(2), "{log}");
    lab.end("lab", running);
}

#[test]
fn reader_who_does_not_read_loses_frames_and_the_switch_none() {
    const FRAMES: u64 = 20_000;
    let (lab, running, mut a, mut b) = start();
    let capture = capture(&lab, &[], "deaf.pcapng");
    capture.signal("-STOP");
    let large = [&frame(BROADCAST, station(1), b"")[..], &[7; 1400]].concat();
    for _ in 0..FRAMES / 10 {
        (0..10).for_each(|_| a.put(&large));
        (0..10).for_each(|_| assert_eq!(b.take().len(), large.len()));
    }
    capture.signal("-CONT");
    capture.signal("-INT");
    let (code, text) = ended(capture);
    let [captured, lost] = counts(&text);
    assert_eq!((code, captured + lost), (0, 2 * FRAMES), "{text}");
    assert!(captured > 0 && lost > 0, "{text}");
    assert_eq!(fields(&lab.path("deaf.pcapng"), &["frame.number"]).len() as u64, captured);
    let report = lab.end("lab", running);
    assert_eq!(report["total"]["tx_frames"], FRAMES, "{report}");
}

#[test]
fn client_that_is_killed_leaves_its_place_to_others() {
    let (lab, running, mut a, mut b) = start();
    let all: Vec<_> = (0..4).map(|n| capture(&lab, &[], &format!("{n}.pcapng"))).collect();
    let (code, _, err) = lab.run("capture");
    assert!(code == 1 && err.contains("4 captures are running"), "{err}");
    for one in all {
        one.signal("-KILL");
        let _ = ended(one);
    }
    eventually("there is room", || {
        a.put(&frame(BROADCAST, station(1), b"hello"));
        b.take();
        let mut command = lab.command(&["capture", "-c", "1", "a"]);
        let mut one =
            Running(command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap());
        loop {
            a.put(&frame(BROADCAST, station(1), b"hello"));
            b.take();
            if let Some(status) = one.0.try_wait().unwrap() {
                break status.success();
            }
        }
    });
    lab.end("lab", running);
}

#[test]
fn end_of_the_switch_is_the_end_of_a_whole_file() {
    let (lab, running, mut a, mut b) = start();
    let whole = capture(&lab, &[], "whole.pcapng");
    a.put(&frame(BROADCAST, station(1), b"hello"));
    b.take();
    lab.end("lab", running);
    let (code, text) = ended(whole);
    assert_eq!((code, counts(&text)), (0, [2, 0]), "{text}");
    assert!(text.contains("the switch has ended; the capture is whole"), "{text}");
    assert_eq!(fields(&lab.path("whole.pcapng"), &["frame.number"]), ["1", "2"]);

    let (lab, running, mut a, mut b) = start();
    let cut = capture(&lab, &[], "cut.pcapng");
    a.put(&frame(BROADCAST, station(1), b"hello"));
    b.take();
    eventually("they are written", || {
        fields(&lab.path("cut.pcapng"), &["frame.number"]).len() == 2
    });
    running.signal("-KILL");
    let (code, text) = ended(cut);
    assert!(code == 1 && text.contains("has hung up"), "{text}");
    assert_eq!(fields(&lab.path("cut.pcapng"), &["frame.number"]), ["1", "2"]);
}

#[test]
fn what_cannot_be_captured_or_written_is_told() {
    let (lab, running, mut a, mut b) = start();
    let mut full = lab.command(&["capture", "-w", "/dev/full"]);
    let full = Running(full.stderr(Stdio::piped()).spawn().unwrap());
    let (code, text) = ended(full);
    assert!(code == 1 && text.contains("/dev/full could not be written: No space"), "{text}");
    for (words, code, sentence) in [
        ("capture c", 1, "there is no port `c`; did you mean `a`?"),
        ("capture -w /no/such/folder/x", 1, "/no/such/folder/x could not be made"),
        ("capture --filter blah", 1, "--filter `blah` makes no sense to tcpdump"),
        ("capture -c x", 2, "--count `x` is not 0 to"),
        ("capture -s 262145", 2, "--snaplen `262145` is not 0 to 262144"),
        ("capture -n other", 1, "no switch is named `other`"),
    ] {
        let (found, _, err) = lab.run(words);
        assert_eq!(found, code, "{words}: {err}");
        assert!(err.contains(sentence), "{words}: {err}");
    }
    for (wrong, sentence) in [
        ("\"filter\":[[6,0,0]]", "not known"),
        ("\"filter\":[[6,256,0,0]]", "too large"),
        ("\"filter\":[[5,0,0,1]]", "leaves the program"),
        ("\"filter\":[]", "1 to 2048 instructions"),
        ("\"snaplen\":262145", "more than 262144"),
    ] {
        let answer = lab.line("lab").ask(&format!("{{\"v\":1,\"do\":\"capture\",{wrong}}}"));
        assert!(answer["error"].as_str().unwrap().contains(sentence), "{wrong}: {answer}");
    }
    a.put(&frame(BROADCAST, station(1), b"hello"));
    b.take();
    lab.end("lab", running);
}

#[test]
fn wireshark_lists_the_ports_and_captures_on_one() {
    let (lab, running, mut a, mut b) = start();
    let folder = lab.path("home/.config/wireshark/extcap");
    fs::create_dir_all(&folder).unwrap();
    std::os::unix::fs::symlink(uswitch_tests::program(), folder.join("uswitch")).unwrap();
    let tshark = |words: &[&str]| {
        let mut tshark = Command::new("tshark");
        tshark.args(words).env("HOME", lab.path("home")).env_remove("XDG_CONFIG_HOME");
        tshark.env("USWITCH_RUNTIME_DIR", lab.path("run")).stdin(Stdio::null());
        tshark
    };
    let (code, list, err) = told(&tshark(&["-D"]).output().unwrap());
    assert_eq!(code, 0, "{err}");
    assert!(list.contains("uswitch:lab/a.1 (switch lab, port a.1)"), "{list}{err}");
    let mut listening = tshark(&[
        "-l",
        "-n",
        "-i",
        "uswitch:lab/b.1",
        "-c",
        "2",
        "-f",
        "ether src 02:00:00:00:01:01",
        "-T",
        "fields",
        "-e",
        "eth.src",
    ]);
    let log = File::create(lab.path("tshark.log")).unwrap();
    let listening = listening.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
    let mut listening = Running(listening);
    eventually("tshark has two frames", || {
        a.put(&frame(BROADCAST, station(1), b"hello"));
        b.take();
        listening.0.try_wait().unwrap().is_some()
    });
    let mut text = String::new();
    listening.0.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    let log = fs::read_to_string(lab.path("tshark.log")).unwrap();
    assert_eq!(text, "02:00:00:00:01:01\n".repeat(2), "{log}");
    lab.end("lab", running);
}

/// Between TAPs with offloads a transfer goes in frames of up to 64 KB.
#[test]
fn frames_that_are_still_to_be_cut_are_whole_sound_and_say_so() {
    if !privileged() {
        return;
    }
    let (lab, running, _a, _b) = start();
    let hosts = [Namespace::new().unwrap(), Namespace::new().unwrap()];
    for (number, host) in hosts.iter().enumerate() {
        let netns = format!("/proc/{}/fd/{}", std::process::id(), host.as_fd().as_raw_fd());
        let (name, address) = (format!("tap{number}"), format!("10.0.0.{}/24", number + 1));
        lab.done(&format!("port add tap:{name},netns={netns}"));
        let mut links = host.links().unwrap();
        links.add_address(&name, address.parse().unwrap()).unwrap();
        links.set_up(&name).unwrap();
    }
    let capture = capture(&lab, &["tap0", "--filter", "tcp"], "tcp.pcapng");
    let address = ([10, 0, 0, 2], 0).into();
    let far = netlab::transfer_tcp(&hosts[0], &hosts[1], address, 1 << 18, 1, &netlab::NEVER);
    assert!(far.unwrap().is_sound());
    capture.signal("-INT");
    let (code, text) = ended(capture);
    assert_eq!((code, counts(&text)[1]), (0, 0), "{text}");
    let mut tshark = Command::new("tshark");
    tshark.arg("-r").arg(lab.path("tcp.pcapng")).args(["-o", "tcp.check_checksum:TRUE"]);
    tshark.args(["-T", "fields", "-e", "tcp.checksum.status", "-e", "tcp.len"]);
    let (code, out, err) = told(&tshark.args(["-e", "frame.comment"]).output().unwrap());
    assert_eq!(code, 0, "{err}");
    let rows: Vec<Vec<&str>> = out.lines().map(|row| row.split('\t').collect()).collect();
    assert!(rows.len() > 4, "{out}");
    // 1 is good: those that the host left to its device, too.
    assert!(rows.iter().all(|row| row[0] == "1"), "{out}");
    let large: Vec<_> = rows.iter().filter(|row| row[1].parse::<u32>().unwrap() > 1448).collect();
    assert!(!large.is_empty(), "{out}");
    assert!(large.iter().all(|row| row[2].contains("Not yet cut into segments")), "{out}");
    lab.end("lab", running);
}

//! SIGHUP and `uswitch reload` on the real program: what differs in its file is done, and nothing
//! else is touched.

use std::{fs, process::Command, thread};

use netlab::{FrameSocket, Namespace};
use serde_json::Value;
use tempfile::TempDir;
use uswitch_tests::{
    exchange::{BROADCAST, exchange, frame, station},
    privileged, program,
    running::Program,
};

use crate::lab::{PATIENCE, eventually, silence};

/// Frames on their way at a time: fewer than the queue of a TAP holds.
const WINDOW: u64 = 32;
/// How often the file changes and changes back.
const ROUNDS: usize = 5;

/// The ports that stay.
const STAY: &str = "[[port]]\ntap = \"tap0\"\n[[port]]\ntap = \"tap1\"\n";

/// A switch with a file, in a silent namespace.
struct Lab {
    namespace: Namespace,
    /// `lab.toml`, and what the switch told: `told`.
    folder: TempDir,
    program: Program,
}

impl Lab {
    fn start(text: &str) -> Lab {
        let namespace = Namespace::new().unwrap();
        silence(&namespace);
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("lab.toml"), text).unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "exec \"$@\" 3>&1 1>&2 2>told", "sh"]).arg(program());
        command.args(["run", "-c", "lab.toml", "--quiet", "--json", "--ready-fd", "3"]);
        command.env("USWITCH_RUNTIME_DIR", folder.path()).current_dir(folder.path());
        let program = namespace.run(|| Program::start(command)).unwrap();
        Lab { namespace, folder, program }
    }

    fn reload(&self, text: &str) {
        self.write(text);
        self.program.signal("-HUP");
    }

    /// The same by the control socket: it is done when this returns.
    fn steer(&self, text: &str) {
        self.write(text);
        let mut command = Command::new(program());
        command.arg("reload").env("USWITCH_RUNTIME_DIR", self.folder.path());
        let output = command.output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    }

    fn write(&self, text: &str) {
        // In one step, so that it is never read half written.
        let at = |name: &str| self.folder.path().join(name);
        fs::write(at("new"), text).unwrap();
        fs::rename(at("new"), at("lab.toml")).unwrap();
    }

    fn told(&self) -> String {
        fs::read_to_string(self.folder.path().join("told")).unwrap()
    }

    fn has(&self, link: &str) -> bool {
        self.namespace.links().unwrap().get(link).unwrap().is_some()
    }

    fn socket(&self, link: &str) -> FrameSocket {
        FrameSocket::open(&self.namespace, link).unwrap()
    }
}

/// Sends numbered frames until it is told to end, and checks that each arrives, whole and in order.
/// Returns how many.
fn number_frames(from: &FrameSocket, to: &mut FrameSocket, ended: impl Fn() -> bool) -> u64 {
    let numbered = |number: u64| {
        let payload: Vec<u8> = number.to_be_bytes().into_iter().cycle().take(1000).collect();
        frame(station(1), station(0), &payload)
    };
    let mut number = 0;
    while !ended() {
        (number..number + WINDOW).for_each(|number| from.send(&numbered(number)).unwrap());
        for _ in 0..WINDOW {
            let got = to.recv(PATIENCE).unwrap();
            assert_eq!(got, Some(numbered(number)), "frame {number} arrives");
            number += 1;
        }
    }
    number
}

#[test]
fn ports_that_stay_lose_no_frame_while_others_come_and_go() {
    if !privileged() {
        return;
    }
    let more = format!("{STAY}[[port]]\ntap = \"more\"\n[[port]]\ntap = \"more2\"\nmtu = 1400\n");
    // Quotas of the table and of a port that stays, too, and what else can be set.
    let settings =
        "[switch]\ngroup-forward = \"wire\"\nbusy-poll = 20\n[fdb]\nageing = 60\nquota = 9\n";
    let quota = |text: &str| text.replace("\"tap1\"\n", "\"tap1\"\nquota = 7\n");
    let changed = settings.to_owned() + &quota(&more.replace("1400", "1300"));
    let lab = Lab::start(STAY);
    let (from, mut to) = (lab.socket("tap0"), lab.socket("tap1"));
    // Both are learned.
    to.send(&frame(BROADCAST, station(1), &[0; 50])).unwrap();
    let index = |name: &str| lab.namespace.links().unwrap().expect(name).unwrap().index;
    let before = ["tap0", "tap1"].map(index);
    let frames = thread::scope(|scope| {
        let turning = scope.spawn(|| {
            for _ in 0..ROUNDS {
                lab.reload(&more);
                eventually("the ports come", || lab.has("more") && lab.has("more2"));
                lab.reload(&changed);
                let mtu = || lab.namespace.links().unwrap().get("more2").unwrap().map(|l| l.mtu);
                eventually("the port changes", || mtu() == Some(1300));
                lab.reload(STAY);
                eventually("the ports go", || !lab.has("more") && !lab.has("more2"));
                lab.steer(&more);
                assert!(lab.has("more") && lab.has("more2"));
                lab.steer(&changed);
                assert_eq!(mtu(), Some(1300));
                lab.steer(STAY);
                assert!(!lab.has("more") && !lab.has("more2"));
            }
        });
        let frames = number_frames(&from, &mut to, || turning.is_finished());
        turning.join().unwrap();
        frames
    });
    assert!(frames > 0);
    assert_eq!(["tap0", "tap1"].map(index), before, "nobody touched them");
    let report = lab.program.stop();
    let ports = report["ports"].as_array().unwrap();
    let port = |name: &str| ports.iter().find(|port| port["name"] == name).unwrap();
    // The first frames may be flooded, if they were faster than the station behind `tap1`.
    assert_eq!(port("tap0")["rx_frames"], frames, "{report}");
    assert_eq!(port("tap1")["tx_frames"], frames, "{report}");
    for counter in ["tx_full", "tx_gone", "kernel_tx_dropped", "kernel_rx_dropped"] {
        let count = port("tap1").get(counter).and_then(Value::as_u64).unwrap_or(0);
        assert_eq!(count, 0, "{counter}: {report}");
    }
    assert_eq!(ports.iter().filter(|port| port["name"] == "more").count(), 2 * ROUNDS);
    assert_eq!(ports.iter().filter(|port| port["name"] == "more2").count(), 4 * ROUNDS);
}

#[test]
fn what_cannot_be_done_changes_nothing() {
    if !privileged() {
        return;
    }
    let other = "[[port]]\ntap = \"new\"\n[[port]]\n";
    let cases = [
        ("", "no port is given"),
        ("[[port]]\ntap = \"tap0\"\nmtuu = 1\n", "did you mean `mtu`?"),
        // A port comes, and another does not open: neither is there.
        (&format!("{STAY}{other}packet = \"nobody\""), "nobody: "),
        // The one that fails needs the device of the one that goes: that is put back.
        (&format!("{other}packet = \"tap1\"\nname = \"tap0\"\nnetns = \"nobody\""), "tap0: "),
        (&format!("{other}packet = \"tap1\"\n"), "tap1: "),
        (&format!("[fdb]\nsize = 128\n{STAY}"), "fdb-size: 65536 -> 128 (takes a restart)"),
        (&format!("[fdb]\nsize = 64\nageing = 7\n{STAY}{other}tap = \"x\""), "65536 -> 64"),
    ];
    let mut lab = Lab::start(STAY);
    let mut told = 0;
    for (text, sentence) in cases {
        lab.reload(text);
        eventually("it is told that nothing was changed", || {
            lab.told()[told..].contains("nothing was changed\n")
        });
        let text = lab.told();
        assert!(text[told..].contains(sentence), "{sentence}: {text}");
        assert!(!text.contains("not put back"), "{text}");
        told = text.len();
        assert!(lab.has("tap0") && lab.has("tap1") && !lab.has("new") && !lab.has("x"), "{text}");
    }
    lab.reload(&format!("{STAY}[[port]]\ntap = \"last\"\n"));
    // The device is there before it is a port.
    eventually("the last file is sound", || {
        let report = lab.program.report();
        report["ports"].as_array().unwrap().iter().any(|port| port["name"] == "last")
    });
    let mut sockets = ["tap0", "tap1", "last"].map(|name| lab.socket(name));
    let hello = frame(BROADCAST, station(1), b"hello");
    assert_eq!(exchange(&mut sockets, 0, &[&hello])[1..], [vec![hello.clone()], vec![hello]]);
    lab.program.signal("-TERM");
    let (status, text) = lab.program.ended();
    assert_eq!(status.code(), Some(0), "{text}");
}

#[test]
fn without_a_file_it_ends() {
    if !privileged() {
        return;
    }
    let namespace = Namespace::new().unwrap();
    let command = Program::command(&program(), &["--ports=tap0,tap1".into()]);
    let running = namespace.run(|| Program::start(command)).unwrap();
    running.signal("-HUP");
    let (status, text) = running.ended();
    assert_eq!(status.code(), Some(0), "{text}");
}

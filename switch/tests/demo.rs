//! `uswitch demo`, as root. What others see of it is in tests/user.sh.

use std::{
    collections::BTreeSet,
    env, fs,
    fs::File,
    io::{BufRead, BufReader, Read},
    os::unix::fs::MetadataExt,
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use netlab::Links;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

/// After this, something hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// How soon an interrupted demo is gone, with room for a busy machine.
const PROMPT: Duration = Duration::from_secs(4);

/// The hosts' addresses end so.
const HOSTS: [&str; 3] = ["02:00:00:00:00:0a", "02:00:00:00:00:0b", "02:00:00:00:00:0c"];

/// One demo at a time: numbers of namespaces are used again, and speeds are shared. `None`: this
/// is not root, which is told aloud, and a failure in CI.
fn alone() -> Option<MutexGuard<'static, ()>> {
    static ONE: Mutex<()> = Mutex::new(());
    if !nix::unistd::geteuid().is_root() {
        assert!(env::var("CI").as_deref() != Ok("true"), "CI runs all tests, and this needs root");
        eprintln!("SKIPPED: needs root");
        return None;
    }
    Some(ONE.lock().unwrap_or_else(PoisonError::into_inner))
}

fn demo(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_uswitch"));
    command.arg("demo").args(words).env_remove("NO_COLOR").stdin(Stdio::null());
    command
}

fn text(octets: &[u8]) -> &str {
    std::str::from_utf8(octets).expect("the program writes UTF-8")
}

#[track_caller]
fn output(words: &[&str]) -> Output {
    let output = demo(words).output().expect("the program starts");
    assert_eq!(output.status.code(), Some(0), "{words:?}: {}", text(&output.stderr));
    output
}

#[test]
fn all_pings_arrive_and_every_figure_is_there() {
    let Some(_alone) = alone() else { return };
    let output = output(&["--json", "--quiet", "--seconds", "0.2"]);
    assert_eq!(text(&output.stderr), "");
    assert_eq!(text(&output.stdout).lines().count(), 1);
    let json: Value = serde_json::from_slice(&output.stdout).expect("it is JSON");

    let pings = json["pings"].as_array().expect("a list");
    let pairs: BTreeSet<_> = pings
        .iter()
        .map(|ping| {
            assert_eq!(ping["reached"], true, "{ping}");
            assert!(ping["round_trip_us"].as_f64() > Some(0.0), "{ping}");
            ["from", "to", "family"].map(|name| ping[name].as_str().expect("a word"))
        })
        .collect();
    assert_eq!((pings.len(), pairs.len()), (12, 12), "each of them once");

    let tcp = json["tcp"].as_array().expect("a list");
    assert_eq!(tcp.len(), 2);
    assert!(tcp.iter().all(|one| one["gbit_per_s"].as_f64() > Some(0.0)), "{tcp:?}");
    assert!(json["small_frames"]["mframes_per_s"].as_f64() > Some(0.0), "{json}");
    let trip = &json["round_trip"];
    assert!(trip["p99_us"].as_f64() >= trip["p50_us"].as_f64(), "{trip}");
    assert!(trip["count"].as_u64() > Some(0), "{trip}");

    let learned = json["switch"]["fdb"]["entries"].as_array().expect("a list");
    let learned: Vec<_> = learned.iter().map(|entry| (&entry["mac"], &entry["port"])).collect();
    let ports = ["tap0", "tap1", "tap2"].map(Value::from);
    let expected: Vec<_> = HOSTS.map(Value::from).into_iter().zip(ports).collect();
    assert!(learned.iter().copied().eq(expected.iter().map(|(mac, port)| (mac, port))));
    assert_eq!((&json["interrupted"], &json["user_namespace"]), (&false.into(), &false.into()));
}

#[test]
fn people_get_a_picture_tables_and_a_line_for_each_step() {
    let Some(_alone) = alone() else { return };
    let output = output(&["--seconds", "0.1"]);
    let stdout = text(&output.stdout);
    for part in ["alice", "12 of 12 pings", "Gbit/s", "Mpps", "µs", HOSTS[2], "--ports tap0"] {
        assert!(stdout.contains(part), "{part} in {stdout}");
    }
    assert!(!stdout.contains('\x1b'), "colours are for terminals: {stdout}");
    // The commands to type next hold the program's path, which may be long.
    let mut lines = stdout.lines().filter(|line| !line.contains("uswitch --"));
    assert!(lines.all(|line| line.chars().count() <= 80), "{stdout}");
    let steps = text(&output.stderr);
    assert_eq!(steps.lines().count(), 6, "{steps}");
    assert!(!steps.contains(['\r', '\x1b']), "{steps}");
}

#[test]
fn a_full_disk_is_a_failure_and_a_closed_pipe_is_none() {
    let Some(_alone) = alone() else { return };
    let full = File::options().write(true).open("/dev/full").expect("/dev/full opens");
    let output = demo(&["--quiet", "--seconds", "0.1"]).stdout(full).output();
    let output = output.expect("the program starts");
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("No space left on device"));

    let mut child = demo(&["--quiet", "--seconds", "0.1"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), ""));
}

#[test]
fn an_interrupt_ends_it_soon_shows_what_it_had_and_leaves_nothing() {
    let Some(_alone) = alone() else { return };
    let mut running = Running::start();
    let namespaces = running.namespaces();
    let begin = Instant::now();
    running.send(Signal::SIGINT);
    let (code, stdout, stderr) = running.end();
    assert!(begin.elapsed() < PROMPT, "{:?}", begin.elapsed());
    assert_eq!(code, Some(1));
    assert!(stderr.contains("interrupted"), "{stderr}");
    assert!(stdout.contains("12 of 12 pings") && !stdout.contains("Gbit/s"), "{stdout}");
    nothing_is_left(&namespaces);
}

#[test]
fn a_kill_leaves_nothing() {
    let Some(_alone) = alone() else { return };
    let mut running = Running::start();
    let namespaces = running.namespaces();
    running.send(Signal::SIGKILL);
    assert_eq!(running.end().0, None);
    nothing_is_left(&namespaces);
}

#[test]
fn nonsense_is_told_and_nothing_is_done() {
    for (words, why) in [
        (&["--seconds", "0"][..], "a number of seconds from 0.1 to 3600"),
        (&["--secnods", "1"], "did you mean `--seconds`"),
        (&["loudly"], "loudly"),
    ] {
        let output = demo(words).output().expect("the program starts");
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{words:?}: {said}");
        assert!(said.contains(why), "{words:?}: {said}");
    }
}

/// A demo in the middle of its first measurement.
struct Running {
    child: Child,
    steps: BufReader<std::process::ChildStderr>,
}

impl Running {
    fn start() -> Running {
        let mut child = demo(&["--seconds", "60"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut steps = BufReader::new(child.stderr.take().expect("it is piped"));
        let mut line = String::new();
        while !line.contains("pings") {
            line.clear();
            let len = steps.read_line(&mut line).expect("the steps are told");
            assert!(len > 0, "it ended before the pings did");
        }
        // Into the measurement.
        thread::sleep(Duration::from_millis(300));
        Running { child, steps }
    }

    /// The numbers of the three namespaces, which this process holds, and nobody else.
    fn namespaces(&self) -> BTreeSet<u64> {
        let own = fs::metadata("/proc/self/ns/net").expect("/proc is there").ino();
        let held = held_by(&PathBuf::from(format!("/proc/{}", self.child.id())));
        let held: BTreeSet<u64> = held.into_iter().filter(|number| *number != own).collect();
        assert_eq!(held.len(), 3, "{held:?}");
        let holders = holders(&held);
        assert_eq!(holders, [self.child.id().to_string()]);
        held
    }

    fn send(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().try_into().expect("a process number"));
        kill(pid, signal).expect("it runs");
    }

    /// Its exit code, and the rest of what it said.
    fn end(&mut self) -> (Option<i32>, String, String) {
        let begin = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                break status;
            }
            assert!(begin.elapsed() < PATIENCE, "it does not end");
            thread::sleep(Duration::from_millis(10));
        };
        let (mut stdout, mut stderr) = (String::new(), String::new());
        let pipe = self.child.stdout.as_mut().expect("it is piped");
        pipe.read_to_string(&mut stdout).expect("UTF-8");
        self.steps.read_to_string(&mut stderr).expect("UTF-8");
        (status.code(), stdout, stderr)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Gone already is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// No process, no name below /run/netns holds one of these namespaces, and none of their devices
/// came to us. A number may be used again by somebody else: then it will be free later.
#[track_caller]
fn nothing_is_left(namespaces: &BTreeSet<u64>) {
    let begin = Instant::now();
    while !holders(namespaces).is_empty() {
        assert!(begin.elapsed() < PATIENCE, "held by {:?}", holders(namespaces));
        thread::sleep(Duration::from_millis(50));
    }
    let links = Links::here().and_then(|mut links| links.list()).expect("links are listed");
    for link in links {
        let mac = link.mac.unwrap_or_default();
        assert!(!(mac[..5] == [2, 0, 0, 0, 0] && (0xa..=0xc).contains(&mac[5])), "{link:?}");
    }
}

/// Processes and names that hold one of these namespaces.
fn holders(namespaces: &BTreeSet<u64>) -> Vec<String> {
    let mut holders = Vec::new();
    for process in fs::read_dir("/proc").expect("/proc is there").flatten() {
        let name = process.file_name().to_string_lossy().into_owned();
        let is_process = name.bytes().all(|octet| octet.is_ascii_digit());
        if is_process && !held_by(&process.path()).is_disjoint(namespaces) {
            holders.push(name);
        }
    }
    for name in fs::read_dir("/run/netns").into_iter().flatten().flatten() {
        if fs::metadata(name.path()).is_ok_and(|data| namespaces.contains(&data.ino())) {
            holders.push(name.path().display().to_string());
        }
    }
    holders
}

/// The network namespaces in which a process has a thread, or to which it has a descriptor. What
/// goes while we look holds nothing.
fn held_by(process: &std::path::Path) -> BTreeSet<u64> {
    let tasks = fs::read_dir(process.join("task")).into_iter().flatten().flatten();
    let inside = tasks.map(|task| task.path().join("ns/net"));
    let open = fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
    inside
        .chain(open.map(|descriptor| descriptor.path()))
        .filter_map(|path| {
            let target = fs::read_link(path).ok()?;
            target.to_str()?.strip_prefix("net:[")?.strip_suffix(']')?.parse().ok()
        })
        .collect()
}

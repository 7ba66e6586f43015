//! The program itself, from outside: what is typed, what is written where, and how it ends.
//! Its devices are in network namespaces of their own, which go with the last descriptor.

use std::{
    env,
    fs::{self, File},
    io::{BufRead, BufReader, Read},
    os::{
        fd::{AsFd, AsRawFd},
        unix::{fs::PermissionsExt, process::CommandExt},
    },
    process::{Child, ChildStderr, Command, ExitStatus, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use netlab::{FrameSocket, Namespace};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use uswitch::stats::Counter;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// The user and group `nobody`.
const NOBODY: u32 = 65_534;

fn uswitch(arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_uswitch"));
    command.args(arguments.split_whitespace());
    command
}

/// Runs it to its end.
#[track_caller]
fn run(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().expect("the program starts")
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

/// Whether this test can run; says aloud if not.
fn privileged() -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        assert!(env::var("CI").as_deref() != Ok("true"), "CI runs all tests, and this needs root");
        eprintln!("SKIPPED: needs root");
    }
    root
}

/// A switch that runs in a namespace of its own. It is killed when the test fails.
struct Switch {
    child: Child,
    namespace: Namespace,
    stderr: BufReader<ChildStderr>,
    /// What it has told so far.
    told: String,
}

impl Switch {
    /// Starts it and waits until frames flow.
    fn start(arguments: &str) -> Switch {
        let namespace = Namespace::new().expect("a namespace");
        Switch::start_in(namespace, &mut uswitch(arguments), Stdio::piped())
    }

    fn start_in(namespace: Namespace, command: &mut Command, stdout: Stdio) -> Switch {
        let command = command.stdin(Stdio::null()).stdout(stdout).stderr(Stdio::piped());
        let mut child = namespace.run(|| command.spawn()).expect("a namespace").expect("it starts");
        let stderr = BufReader::new(child.stderr.take().expect("it is piped"));
        let mut switch = Switch { child, namespace, stderr, told: String::new() };
        switch.expect("switching");
        switch
    }

    /// Reads what it tells up to a line with these words.
    #[track_caller]
    fn expect(&mut self, words: &str) {
        loop {
            let begin = self.told.len();
            let length = self.stderr.read_line(&mut self.told).expect("it can be read");
            assert!(length > 0, "`{words}` was not told, but: {}", self.told);
            if self.told[begin..].contains(words) {
                return;
            }
        }
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).expect("it runs");
    }

    #[track_caller]
    fn wait(&mut self) -> ExitStatus {
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                return status;
            }
            thread::sleep(Duration::from_millis(5));
        }
        panic!("it did not end; it told: {}", self.told);
    }

    /// Ends it, and returns its code, its standard output and all that it told.
    #[track_caller]
    fn end(mut self) -> (Option<i32>, String, String) {
        self.signal(Signal::SIGTERM);
        let code = self.wait().code();
        let mut text = String::new();
        if let Some(mut stdout) = self.child.stdout.take() {
            stdout.read_to_string(&mut text).expect("UTF-8");
        }
        self.stderr.read_to_string(&mut self.told).expect("UTF-8");
        (code, text, std::mem::take(&mut self.told))
    }

    fn link_is_there(&self, name: &str) -> bool {
        link_is_there(&self.namespace, name)
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn link_is_there(namespace: &Namespace, name: &str) -> bool {
    let mut links = namespace.links().expect("netlink");
    links.get(name).expect("netlink").is_some()
}

/// The two equations at the head of `stats.rs`.
#[track_caller]
fn assert_accounted(total: &Value) {
    let get = |counter: Counter| total[counter.name()].as_u64().expect("a counter");
    let drops = |tx: bool| -> u64 {
        let all = Counter::ALL.iter().copied();
        all.filter(|counter| counter.is_drop() && counter.is_tx_drop() == tx).map(get).sum()
    };
    let (forwarded, flooded) = (get(Counter::RxForwarded), get(Counter::RxFlooded));
    assert_eq!(get(Counter::RxFrames), forwarded + flooded + drops(false), "{total}");
    let copies = get(Counter::RxCopies);
    assert_eq!(forwarded + copies, get(Counter::TxFrames) + drops(true), "{total}");
}

#[test]
fn all_faults_of_a_command_line_are_told_at_once_and_nothing_is_done() {
    let arguments = "--ports pgA,pgA,x/y --prots pgB --port tap:pgC,mtu=1,colour=red --workers 0 \
                     --cpus 9999 --busy-poll x --ageing 0 --fdb-size 1 --group-forward x \
                     --ready-fd 77 -qv --mtu";
    let output = run(&mut uswitch(arguments));
    let told = err(&output);
    assert_eq!((output.status.code(), &*out(&output)), (Some(2), ""));
    assert!(told.lines().all(|line| line.starts_with("uswitch: ")), "{told}");
    let expected = [
        "no option `--prots`; did you mean `--ports`?",
        "`--mtu <OCTETS>` needs a value",
        "--quiet and --verbose",
        "--ready-fd: descriptor 77: Bad file descriptor",
        "`x/y` has a '/' in it",
        "no option `colour`",
        "mtu 1 is out of range",
        "`pgA` is given twice",
        "--cpus: processor 9999",
        "--workers: 0",
        "--busy-poll: `x`",
        "--group-forward: `x`",
        "--fdb-size: 1 is out of range",
        "--ageing: 0 means",
        "nothing was done",
    ];
    for words in expected {
        assert!(told.contains(words), "`{words}` is not in: {told}");
    }
    assert_eq!(told.lines().count(), expected.len(), "{told}");
}

#[test]
fn nothing_to_switch_is_a_fault_with_an_example() {
    let output = run(&mut uswitch(""));
    assert_eq!(output.status.code(), Some(2));
    assert!(err(&output).contains("`uswitch --ports tap0,tap1,tap2`"));
}

#[test]
fn the_help_names_every_option_and_every_exit_code() {
    let output = run(&mut uswitch("--help"));
    let text = out(&output);
    assert_eq!(output.status.code(), Some(0));
    let options = "--ports --port --mtu --persist --workers --cpus --busy-poll --ageing --fdb-size \
                   --fdb-quota --group-forward --json -j --quiet -q --verbose -v --ready-fd \
                   --help --version netns= mtu= mac= queues= quota= name= persist= SIGUSR1 0 1 2";
    for option in options.split_whitespace() {
        assert!(text.contains(option), "{option} is not in the help");
    }
    assert!(!text.contains('\u{1b}'), "no colours for a pipe");
    assert!(text.lines().all(|line| line.chars().count() <= 100));
}

#[test]
fn manual_and_completions_are_generated() {
    let manual = out(&run(&mut uswitch("generate man")));
    for words in [".TH uswitch 1", "\\-\\-ready\\-fd", ".SH PORT SPECS", ".SH EXIT CODES"] {
        assert!(manual.contains(words), "{words}");
    }
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = run(&mut uswitch(&format!("generate completions {shell}")));
        assert_eq!(output.status.code(), Some(0));
        assert!(out(&output).contains("ready-fd"), "{shell}");
    }
    assert_eq!(run(&mut uswitch("generate completions sh")).status.code(), Some(2));
    assert_eq!(run(&mut uswitch("generate")).status.code(), Some(2));
}

#[test]
fn another_command_is_another_program() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("uswitch-greet");
    fs::write(&path, "#!/bin/sh\necho \"hello $*\"\nexit 7\n").expect("it can be written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it is ours");

    let mut command = uswitch("greet --all you");
    let output = run(command.env("PATH", folder.path()));
    assert_eq!((output.status.code(), &*out(&output)), (Some(7), "hello --all you\n"));

    let unknown = run(uswitch("genrate man").env("PATH", folder.path()));
    assert_eq!(unknown.status.code(), Some(2));
    assert!(err(&unknown).contains("did you mean `generate`?"), "{}", err(&unknown));

    let port = run(uswitch("tap0").env("PATH", folder.path()));
    assert_eq!(port.status.code(), Some(2));
    assert!(err(&port).contains("say `uswitch --ports tap0,...`"), "{}", err(&port));

    let path = run(uswitch("../greet").env("PATH", folder.path()));
    assert_eq!(path.status.code(), Some(2));
}

#[test]
fn a_full_disk_is_a_failure_and_a_closed_pipe_is_none() {
    let full = || File::options().write(true).open("/dev/full").expect("/dev/full is there");
    for arguments in ["--help", "generate man"] {
        let output = run(uswitch(arguments).stdout(full()));
        let told = "uswitch: standard output could not be written: No space left on device\n";
        assert_eq!((output.status.code(), &*err(&output)), (Some(1), told));

        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let output = run(uswitch(arguments).stdout(writer));
        assert_eq!((output.status.code(), &*err(&output)), (Some(0), ""));
    }
    if !privileged() {
        return;
    }
    let namespace = || Namespace::new().expect("a namespace");
    let arguments = "--ports pg0,pg1";
    let switch = Switch::start_in(namespace(), &mut uswitch(arguments), full().into());
    let (code, _, told) = switch.end();
    assert!(code == Some(1) && told.contains("No space left on device"), "{code:?} {told}");

    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut switch = Switch::start_in(namespace(), &mut uswitch(arguments), writer.into());
    // A table for nobody does not end the switch.
    switch.signal(Signal::SIGUSR1);
    thread::sleep(Duration::from_millis(100));
    assert!(switch.child.try_wait().expect("it is our child").is_none());
    let (code, _, told) = switch.end();
    assert!(code == Some(0) && !told.contains("could not be written"), "{code:?} {told}");
}

#[test]
fn without_permission_it_says_which_is_missing_and_what_helps() {
    if !privileged() {
        return;
    }
    // The folder of the build may be closed to others.
    let folder = tempfile::tempdir().expect("a folder");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("it is ours");
    let program = folder.path().join("uswitch");
    fs::copy(env!("CARGO_BIN_EXE_uswitch"), &program).expect("it can be copied");

    let mut command = Command::new(&program);
    let output = run(command.args(["--ports", "pg0,pg1,pg2"]).uid(NOBODY).gid(NOBODY));
    let told = err(&output);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert_eq!(told.lines().count(), 1, "one sentence for all three: {told}");
    assert!(told.contains("permission") || told.contains("CAP_NET_ADMIN"), "{told}");
    assert!(told.contains("sudo") && told.contains("(likewise pg1, pg2)"), "{told}");
}

#[test]
fn when_one_port_does_not_open_all_failures_are_told_and_the_others_are_closed() {
    if !privileged() {
        return;
    }
    let namespace = Namespace::new().expect("a namespace");
    let mut command = uswitch("--ports pg0,lo --port pg1,netns=no-such-namespace --ports pg2");
    let output = namespace.run(|| run(&mut command)).expect("a namespace");
    let told = err(&output);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(told.lines().count(), 2, "{told}");
    assert!(told.contains("uswitch: lo: ") && told.contains("`no-such-namespace`"), "{told}");
    assert!(!link_is_there(&namespace, "pg0") && !link_is_there(&namespace, "pg2"));
}

#[test]
fn what_it_made_goes_and_what_was_there_stays() {
    if !privileged() {
        return;
    }
    for (arguments, stays) in [("", false), (" --persist", true)] {
        let namespace = Namespace::new().expect("a namespace");
        netlab::tap_persistent(&namespace, "old0", None, false).expect("a TAP");
        let mut command = uswitch("--ports new0,old0 --port new1,mtu=9000,name=uplink");
        let command = command.args(arguments.split_whitespace());
        let switch = Switch::start_in(namespace.clone(), command, Stdio::piped());
        assert!(switch.link_is_there("new0"));
        let (code, table, told) = switch.end();
        assert_eq!(code, Some(0), "{told}");
        assert!(told.contains("new0: created, MTU 1500, offloads csum tso4 tso6"), "{told}");
        assert!(told.contains("old0: attached"), "{told}");
        assert!(told.contains("uplink: created, MTU 9000"), "{told}");
        assert!(told.contains("switching 3 ports with "), "{told}");
        for words in ["rx frames", "\nnew0 ", "\nold0 ", "\nuplink ", "\ntotal ", "learned"] {
            assert!(table.contains(words), "{words} is not in: {table}");
        }
        assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
        assert!(link_is_there(&namespace, "old0"));
        assert_eq!(link_is_there(&namespace, "new0"), stays);
    }
}

#[test]
fn json_accounts_for_every_frame() {
    if !privileged() {
        return;
    }
    const FRAMES: u64 = 100;
    let mut switch = Switch::start("--ports pg0,pg1,pg2 --json --verbose");
    let station = FrameSocket::open(&switch.namespace, "pg0").expect("a packet socket");
    let frame = [&[0xff; 6][..], &[2, 0, 0, 0, 0, 0x77], &[0x88, 0xb5], &[0; 46]].concat();
    for _ in 0..FRAMES {
        station.send(&frame).expect("the link is up");
    }
    let stdout = switch.child.stdout.take().expect("it is piped");
    let mut lines = BufReader::new(stdout).lines();
    let mut next = || -> Value {
        let line = lines.next().expect("a line").expect("UTF-8");
        serde_json::from_str(&line).expect("a JSON object a line")
    };
    let begin = Instant::now();
    let so_far = loop {
        switch.signal(Signal::SIGUSR1);
        let so_far = next();
        let frames = so_far["ports"][0]["rx_frames"].as_u64().expect("a counter");
        if frames >= FRAMES || begin.elapsed() > PATIENCE {
            break so_far;
        }
    };
    assert_eq!(so_far["running"], true);
    let (code, _, told) = switch.end();
    assert_eq!(code, Some(0), "{told}");

    let last = next();
    assert_eq!(last["running"], false);
    assert_accounted(&last["total"]);
    let ports = last["ports"].as_array().expect("a list");
    assert_eq!(ports.len(), 3);
    assert_eq!(ports[0]["name"], "pg0");
    assert!(ports.iter().all(|port| port["attached"] == true));
    assert!(ports[0]["rx_flooded"].as_u64() >= Some(FRAMES), "{last}");
    assert!(ports[2]["tx_frames"].as_u64() >= Some(FRAMES), "{last}");
    let entries = last["fdb"]["entries"].as_array().expect("a list");
    let ours = entries.iter().find(|entry| entry["mac"] == "02:00:00:00:00:77");
    assert_eq!(ours.expect("it was learned")["port"], "pg0");
}

#[test]
fn ready_is_told_by_a_newline_and_the_end_of_the_descriptor() {
    if !privileged() {
        return;
    }
    let namespace = Namespace::new().expect("a namespace");
    // The shell makes our pipe descriptor 3, as whoever starts a service does.
    let mut shell = Command::new("sh");
    shell.args(["-c", "exec \"$0\" --ports pg0,pg1 --ready-fd 3 3>&1 >/dev/null"]);
    shell.arg(env!("CARGO_BIN_EXE_uswitch"));
    let mut switch = Switch::start_in(namespace, &mut shell, Stdio::piped());
    let mut ready = String::new();
    let mut stdout = switch.child.stdout.take().expect("it is piped");
    stdout.read_to_string(&mut ready).expect("UTF-8");
    assert_eq!(ready, "\n");
    assert!(switch.link_is_there("pg1"));
    assert_eq!(switch.end().0, Some(0));
}

#[test]
fn a_descriptor_that_was_not_given_is_a_fault() {
    for (number, why) in [
        ("1", "standard stream"),
        ("77", "Bad file descriptor"),
        ("-1", "Bad file descriptor"),
        ("x", "not the number of a descriptor"),
    ] {
        let output = run(&mut uswitch(&format!("--ports pg0 --ready-fd={number}")));
        let told = err(&output);
        assert!(output.status.code() == Some(2) && told.contains(why), "{told}");
    }
}

#[test]
fn a_port_whose_device_is_deleted_leaves_alone_and_the_last_one_ends_the_switch() {
    if !privileged() {
        return;
    }
    let mut switch = Switch::start("--ports pg0,pg1");
    let mut links = switch.namespace.links().expect("netlink");
    links.delete("pg0").expect("it is there");
    switch.expect("uswitch: pg0: detached");
    assert!(switch.child.try_wait().expect("it is our child").is_none());
    links.delete("pg1").expect("it is there");
    switch.expect("uswitch: pg1: detached");
    switch.expect("no port is left");
    assert_eq!(switch.wait().code(), Some(1));
}

#[test]
fn a_device_is_made_where_it_is_wanted() {
    if !privileged() {
        return;
    }
    let (one, other) = (Namespace::new().expect("one"), Namespace::new().expect("another"));
    let path = |namespace: &Namespace| {
        format!("/proc/{}/fd/{}", std::process::id(), namespace.as_fd().as_raw_fd())
    };
    let arguments =
        format!("--port h,netns={},name=a --port h,netns={},name=b", path(&one), path(&other));
    let switch = Switch::start(&arguments);
    assert!(link_is_there(&one, "h") && link_is_there(&other, "h") && !switch.link_is_there("h"));
    assert_eq!(switch.end().0, Some(0));
    assert!(!link_is_there(&one, "h") && !link_is_there(&other, "h"));
}

#[test]
fn many_ports_raise_the_limit_of_descriptors() {
    if !privileged() {
        return;
    }
    const PORTS: usize = 100;
    let ports: Vec<_> = (0..PORTS).map(|index| format!("pg{index}")).collect();
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -S -n 40; exec \"$0\" -j --ports \"$1\""]);
    shell.args([env!("CARGO_BIN_EXE_uswitch"), &ports.join(",")]);
    let namespace = Namespace::new().expect("a namespace");
    let switch = Switch::start_in(namespace, &mut shell, Stdio::piped());
    assert!(switch.link_is_there("pg99"));
    let (code, json, told) = switch.end();
    assert_eq!(code, Some(0), "{told}");
    let json: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json["ports"].as_array().map(Vec::len), Some(PORTS));
}

#[test]
fn who_asks_for_the_end_a_second_time_need_not_wait() {
    if !privileged() {
        return;
    }
    // The kernel takes some 20 ms to close a TAP, so this takes seconds.
    let ports: Vec<_> = (0..100).map(|index| format!("pg{index}")).collect();
    let mut switch = Switch::start(&format!("--ports {}", ports.join(",")));
    switch.signal(Signal::SIGTERM);
    thread::sleep(Duration::from_millis(100));
    switch.signal(Signal::SIGINT);
    assert_eq!(switch.wait().code(), Some(1));
}

#[test]
fn quiet_tells_nothing_but_what_was_asked_for() {
    if !privileged() {
        return;
    }
    let namespace = Namespace::new().expect("a namespace");
    let mut command = uswitch("--ports pg0,pg1 --quiet --no-control");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = namespace.run(|| command.spawn()).expect("a namespace").expect("it starts");
    let begin = Instant::now();
    while !link_is_there(&namespace, "pg1") && begin.elapsed() < PATIENCE {
        thread::sleep(Duration::from_millis(5));
    }
    kill(Pid::from_raw(child.id() as i32), Signal::SIGINT).expect("it runs");
    let output = child.wait_with_output().expect("it is our child");
    assert_eq!((output.status.code(), &*out(&output), &*err(&output)), (Some(0), "", ""));
}

//! What the switch may do while it runs, as the kernel says it, and what it can do all the same.

use std::{collections::BTreeMap, fs, process::Command};

use netlab::{FrameSocket, Namespace};
use uswitch_tests::{
    exchange::{BROADCAST, PATIENCE, frame, station},
    privileged,
    running::Running,
};

use crate::lab::{Lab, eventually};

/// What the kernel says of a thread: name of the line, and what stands there.
type Status = BTreeMap<String, String>;

fn status(path: &str) -> Status {
    let text = fs::read_to_string(path).unwrap_or_default();
    let lines = text.lines().filter_map(|line| line.split_once(":\t"));
    lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// All threads of a process.
fn threads(pid: u32) -> Vec<Status> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let tasks = tasks.map(|task| status(&format!("{}/status", task.unwrap().path().display())));
    tasks.filter(|status| !status.is_empty()).collect()
}

/// The opener of a switch, if it has one.
fn opener(pid: u32) -> Option<u32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten();
    let children = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    children.collect::<String>().split_whitespace().next()?.parse().ok()
}

/// Whether a process is there, and is no remnant.
fn lives(pid: u32) -> bool {
    status(&format!("/proc/{pid}/status")).get("State").is_some_and(|state| !state.starts_with('Z'))
}

#[track_caller]
fn assert_confined(pid: u32) {
    let threads = threads(pid);
    assert!(threads.len() > 3, "workers, signals, control: {threads:?}");
    for thread in threads {
        for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            assert_eq!(u64::from_str_radix(&thread[set], 16), Ok(0), "{set} {thread:?}");
        }
        assert_eq!((&*thread["NoNewPrivs"], &*thread["Seccomp"]), ("1", "2"), "{thread:?}");
    }
}

/// What an opener may (linux/capability.h): CAP_DAC_OVERRIDE, FOWNER, NET_BIND_SERVICE, NET_ADMIN,
/// NET_RAW, SYS_PTRACE, SYS_ADMIN and MKNOD.
const OPENERS: u64 = 1 << 1 | 1 << 3 | 1 << 10 | 1 << 12 | 1 << 13 | 1 << 19 | 1 << 21 | 1 << 27;

#[track_caller]
fn assert_opens_only(opener: u32) {
    for thread in threads(opener) {
        let set = |name: &str| u64::from_str_radix(&thread[name], 16).unwrap();
        let others = (set("CapInh"), set("CapAmb"), &*thread["NoNewPrivs"]);
        assert_eq!(others, (0, 0, "1"), "{thread:?}");
        for name in ["CapPrm", "CapEff", "CapBnd"] {
            assert_eq!(set(name) & !OPENERS, 0, "{name} {thread:?}");
            assert!(set(name) & 1 << 12 != 0 && set(name) & 1 << 21 != 0, "{name} {thread:?}");
        }
    }
}

/// A namespace in which nobody speaks without being asked, and a process by whose number the
/// program finds it.
fn host() -> (Namespace, Running) {
    let namespace = Namespace::new().unwrap();
    for which in ["all", "default"] {
        let name = format!("net/ipv6/conf/{which}/disable_ipv6");
        namespace.set_sysctl(&name, "1").unwrap();
    }
    let sleep = namespace.run(|| Command::new("sleep").arg("600").spawn()).unwrap().unwrap();
    (namespace, Running(sleep))
}

fn links(namespace: &Namespace) -> Vec<String> {
    let links = namespace.links().unwrap().list().unwrap();
    links.into_iter().map(|link| link.name).filter(|name| name != "lo").collect()
}

fn socket(namespace: &Namespace, link: &str) -> FrameSocket {
    assert!(namespace.links().unwrap().wait_running(link, PATIENCE).unwrap());
    FrameSocket::open(namespace, link).unwrap()
}

/// A frame to everybody passes between two hosts, both ways.
#[track_caller]
fn passes(one: &mut FrameSocket, other: &mut FrameSocket, word: &str) {
    let sent = frame(BROADCAST, station(1), word.as_bytes());
    one.send(&sent).unwrap();
    let got = other.recv_matching(PATIENCE, |got| got.starts_with(&sent)).unwrap();
    assert!(got.is_some(), "`{word}` arrives");
    let answer = frame(station(1), station(2), word.as_bytes());
    other.send(&answer).unwrap();
    let got = one.recv_matching(PATIENCE, |got| got.starts_with(&answer)).unwrap();
    assert!(got.is_some(), "the answer to `{word}` arrives");
}

#[test]
fn switch_without_any_right_opens_ports_elsewhere_and_lets_them_go() {
    if !privileged() {
        return;
    }
    let lab = Lab::new();
    let ((red, one), (blue, other)) = (host(), host());
    let first = format!("--port=tap:r0,netns={}", one.0.id());
    let running = lab.start("lab", &["a"], &[&first, "--workers", "2"]);
    assert_confined(running.0.id());
    let opener = opener(running.0.id()).expect("it has an opener");
    assert_opens_only(opener);

    let blue_pid = other.0.id();
    lab.done(&format!("-n lab port add tap:b0,netns={blue_pid}"));
    let (mut here, mut there) = (socket(&red, "r0"), socket(&blue, "b0"));
    passes(&mut here, &mut there, "between TAPs");
    lab.done(&format!("-n lab port add veth:lab{blue_pid},peer=e0,netns={blue_pid}"));
    let mut third = socket(&blue, "e0");
    passes(&mut here, &mut third, "to a packet socket");
    lab.done(&format!("-n lab port add {},name=late", lab.spec("late")));
    lab.station("late");
    lab.done("-n lab stats");
    assert_confined(running.0.id());

    assert_eq!(links(&blue), ["b0", "e0"]);
    lab.done("-n lab port del b0");
    lab.done(&format!("-n lab port del lab{blue_pid}"));
    eventually("they are gone", || links(&blue).is_empty());
    lab.done("-n lab port del late");
    assert!(!lab.path("late").exists(), "its socket goes with it");
    lab.end("lab", running);
    assert!(!lives(opener));
    assert_eq!(links(&red), [""; 0]);
}

#[test]
fn device_that_comes_back_is_opened_again() {
    if !privileged() {
        return;
    }
    let lab = Lab::new();
    let ((red, one), (blue, other)) = (host(), host());
    let lay = || {
        red.links().unwrap().add_veth("r0", Some(&blue), "b0").unwrap();
        red.links().unwrap().set_up("r0").unwrap();
        blue.links().unwrap().set_up("b0").unwrap();
    };
    lay();
    let specs = [
        format!("--port=packet:r0,netns={}", one.0.id()),
        format!("--port=tap:t0,netns={}", other.0.id()),
    ];
    let running = lab.start("lab", &[], &[&specs[0], &specs[1]]);
    passes(&mut socket(&blue, "b0"), &mut socket(&blue, "t0"), "before");
    red.links().unwrap().delete("r0").unwrap();
    eventually("it sleeps", || lab.log("lab").contains("r0: asleep until its device is back"));
    lay();
    eventually("it is back", || lab.log("lab").contains("\nr0: packet socket"));
    passes(&mut socket(&blue, "b0"), &mut socket(&blue, "t0"), "after");
    lab.end("lab", running);
}

#[test]
fn killed_switch_leaves_nothing_of_what_it_made() {
    if !privileged() {
        return;
    }
    let lab = Lab::new();
    let (red, one) = host();
    let (pid, path) = (one.0.id(), lab.path("a"));
    let veth = format!("--port=veth:lab{pid},peer=e0,netns={pid}");
    // One that the switch did not make, whose host it has made deaf.
    red.links().unwrap().add_veth("c0", None, "c1").unwrap();
    let packet = format!("--port=packet:c0,netns={pid}");
    let running = lab.start("lab", &["a"], &[&veth, &packet]);
    let opener = opener(running.0.id()).expect("it has an opener");
    assert!(links(&red).contains(&"e0".to_owned()) && path.exists());
    for signal in ["-TERM", "-INT", "-HUP"] {
        let sent = Command::new("kill").args([signal, &opener.to_string()]).status().unwrap();
        assert!(sent.success());
    }
    lab.done("-n lab stats");
    running.signal("-KILL");
    eventually("the opener has ended", || !lives(opener));
    assert_eq!(links(&red), ["c1", "c0"]);
    assert!(!path.exists(), "its socket is gone");
    let ears = red.links().unwrap().drop_ingress("c0").unwrap();
    red.links().unwrap().restore_ingress(ears).unwrap();
    assert!(
        Namespace::current()
            .unwrap()
            .links()
            .unwrap()
            .get(&format!("lab{pid}"))
            .is_ok_and(|link| link.is_none())
    );
}

#[test]
fn ports_are_fixed_without_an_opener() {
    if !privileged() {
        return;
    }
    let lab = Lab::new();
    let ((red, one), (blue, other)) = (host(), host());
    let specs = [&one, &other].map(|host| format!("--port=tap:t0,netns={}", host.0.id()));
    let names = [format!("{},name=t1", specs[0]), format!("{},name=t2", specs[1])];
    let running = lab.start("lab", &[], &[&names[0], &names[1], "--no-opener"]);
    assert_confined(running.0.id());
    // Not even a remnant of it, for it was waited for.
    eventually("there is none", || opener(running.0.id()).is_none());
    passes(&mut socket(&red, "t0"), &mut socket(&blue, "t0"), "as before");
    let (code, _, err) = lab.run("-n lab port add tap:t9");
    assert!(code == 1 && err.contains("`--no-opener`") && err.contains("fixed"), "{err}");
    lab.done("-n lab port del t1");
    lab.end("lab", running);
}

#[test]
fn files_beyond_what_it_needs_are_closed_to_it() {
    if !privileged() {
        return;
    }
    let lab = Lab::new();
    let outside = tempfile::tempdir().unwrap();
    let allowed = tempfile::tempdir().unwrap();
    let option = format!("--allow-path={}", allowed.path().display());
    let running = lab.start("lab", &["a"], &[&option]);
    // A folder for VDE is made by the switch itself.
    let (code, _, err) =
        lab.run(&format!("-n lab port add vde:{}", outside.path().join("ctl").display()));
    assert!(code == 1 && err.contains("from the start only"), "{err}");
    // Who has taken it over may ask the opener, and the opener opens what it was allowed to.
    let secret = outside.path().join("secret");
    fs::write(&secret, "").unwrap();
    let path = secret.display();
    for spec in [format!("pcap:in={path}"), format!("pcap:out={path}"), format!("stream:{path}")] {
        let (code, _, err) = lab.run(&format!("-n lab port add {spec},name=x"));
        assert!(code == 1 && err.contains("`--allow-path "), "{spec}: {err}");
    }
    // A capture is opened for it.
    let capture = allowed.path().join("out.pcap");
    lab.done(&format!("-n lab port add pcap:out={},name=c", capture.display()));
    lab.done("-n lab port del c");
    assert!(fs::metadata(&capture).unwrap().len() > 0);
    lab.end("lab", running);
}

#[test]
fn file_that_takes_the_place_of_another_is_read_again() {
    let lab = Lab::new();
    let etc = lab.path("etc");
    fs::create_dir(&etc).unwrap();
    let spec = |name: &str| format!("[[port]]\nstream = \"{}\"\n", lab.path(name).display());
    let file = etc.join("lab.toml");
    fs::write(&file, spec("a")).unwrap();
    let running = lab.start("lab", &[], &["--config", &file.display().to_string()]);
    // As editors do it.
    fs::write(etc.join("new"), spec("a") + &spec("b")).unwrap();
    fs::rename(etc.join("new"), &file).unwrap();
    lab.done("-n lab reload");
    assert!(lab.path("a").exists() && lab.path("b").exists());
    lab.end("lab", running);
    assert!(!lab.path("a").exists() && !lab.path("b").exists() && !lab.socket("lab").exists());
}

#[test]
fn sockets_of_a_switch_are_removed_however_it_ends_by_itself() {
    let lab = Lab::new();
    let metrics = lab.path("metrics");
    let word = format!("--metrics=unix:{}", metrics.display());
    let running = lab.start("lab", &["a"], &[&word]);
    assert!(metrics.exists() && lab.socket("lab").exists());
    lab.end("lab", running);
    assert!(!metrics.exists() && !lab.socket("lab").exists() && !lab.path("a").exists());
    // One that cannot start.
    let refused = lab.command(&["--allow-path=/no/where", &word]).output().unwrap();
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    let refused = lab.command(&[&word, "--port=stream:/nowhere/a"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(!metrics.exists() && !lab.socket("uswitch").exists());
}

//! What a switch that runs tells of its router.

use std::{
    net::{IpAddr, Ipv4Addr},
    os::fd::{AsFd, AsRawFd},
    time::Duration,
};

use netlab::{Namespace, Prefix};
use serde_json::{Value, json};
use uswitch_tests::running::Running;

use crate::lab::{Lab, eventually};

/// What every host calls its end.
const TAP: &str = "tap0";
/// How long one echo is waited for.
const ECHO: Duration = Duration::from_secs(1);

#[test]
fn routes_and_legs_of_a_switch_that_runs_are_told() {
    let lab = Lab::new();
    let options =
        ["--leg", "br=10.0.0.1/24,mac=02:00:00:00:00:01", "--route", "default,via=10.0.0.2"];
    let running = lab.start("lab", &["a"], &options);
    let told = lab.done("route show");
    let expected = "10.0.0.0/24 dev br proto kernel scope link src 10.0.0.1\n\
                    default via 10.0.0.2 dev br\n";
    assert_eq!(told, expected);
    assert_eq!(lab.done("route get 192.0.2.1"), "192.0.2.1 via 10.0.0.2 dev br\n");
    assert_eq!(lab.done("route get 10.0.0.1"), "local 10.0.0.1\n");
    let there = "192.0.2.1 from 10.0.0.9 via 10.0.0.2 dev br\n";
    assert_eq!(lab.done("route get 192.0.2.1 from 10.0.0.9"), there);
    // Nobody else has its addresses; that takes a moment to find out.
    let expected = "br: mtu 1500 address 02:00:00:00:00:01\n    inet 10.0.0.1/24\n    \
                    inet6 fe80::ff:fe00:1/64\n";
    eventually("all addresses are used", || lab.done("leg show") == expected);
    assert_eq!(lab.json("leg show -j")[0]["addr_info"][0]["local"], "10.0.0.1");
    assert_eq!(lab.json("route show -j")[1]["gateway"], "10.0.0.2");
    for (words, code, sentence) in [
        ("route get fd00::1", 1, "there is no route to fd00::1"),
        ("route get 10.0.0", 2, "`10.0.0` is no address"),
        ("route get 10.0.0.1 from fd00::1", 1, "are of two versions of IP"),
        ("route get 10.0.0.1 via 10.0.0.2", 2, "`via` is none of `from`"),
        ("route", 2, "a word is missing"),
    ] {
        let (found, _, err) = lab.run(words);
        assert_eq!(found, code, "{words}: {err}");
        assert!(err.contains(sentence), "{words}: {err}");
    }
    // What runs is a file that says the same.
    assert!(lab.done("config").contains("[[leg]]\nbridge = \"br\"\naddress = [\"10.0.0.1/24\"]\n"));
    lab.end("lab", running);
}

/// A host behind a TAP, number 2 of the network of its leg, which is its way to all others.
pub struct Host {
    pub namespace: Namespace,
    port: String,
    bridge: u8,
}

impl Host {
    fn new(bridge: u8) -> Host {
        let namespace = Namespace::new().unwrap();
        let (pid, fd) = (std::process::id(), namespace.as_fd().as_raw_fd());
        let port =
            format!("--port=tap:{TAP},name=h{bridge},bridge=b{bridge},netns=/proc/{pid}/fd/{fd}");
        Host { namespace, port, bridge }
    }

    pub fn address(&self) -> IpAddr {
        Ipv4Addr::new(10, self.bridge, 0, 2).into()
    }

    /// When the switch has made its TAP.
    fn come_up(&self) {
        let mut links = self.namespace.links().unwrap();
        links.set_up(TAP).unwrap();
        links.add_address(TAP, Prefix::new(self.address(), 24).unwrap()).unwrap();
        let router = Ipv4Addr::new(10, self.bridge, 0, 1).into();
        links.add_route(Prefix::ALL_V4, Some(router), None).unwrap();
    }

    /// Asks for an echo, until one comes: the first may be lost.
    pub fn ping(&self, address: IpAddr) {
        eventually("an echo", || {
            let trips = netlab::ping(&self.namespace, address, 1, ECHO).unwrap();
            !trips.is_empty()
        });
    }
}

/// A switch with two bridges, a leg and a host in each.
pub fn routed(lab: &Lab, more: &[&str]) -> (Running, [Host; 2]) {
    let hosts = [1, 2].map(Host::new);
    let mut words = vec!["--leg", "b1=10.1.0.1/24", "--leg", "b2=10.2.0.1/24"];
    words.extend(hosts.iter().map(|host| &*host.port));
    words.extend(more);
    let running = lab.start("lab", &[], &words);
    hosts.iter().for_each(Host::come_up);
    hosts[0].ping(hosts[1].address());
    (running, hosts)
}

#[test]
fn neighbours_of_a_router_that_runs_come_and_go() {
    let lab = Lab::new();
    let (running, hosts) = routed(&lab, &[]);
    let all = lab.json("neigh show -j");
    let learned = |all: &Value, host: &Host| {
        let rows = all.as_array().unwrap();
        rows.iter().find(|row| row["dst"] == host.address().to_string()).cloned()
    };
    for (host, leg) in hosts.iter().zip(["b1", "b2"]) {
        let row = learned(&all, host).unwrap_or_else(|| panic!("{all}"));
        assert_eq!(row["dev"], leg);
        let (mac, state) = (row["lladdr"].as_str().unwrap(), row["state"][0].as_str().unwrap());
        assert_eq!((mac.len(), row["state"].as_array().unwrap().len()), (17, 1));
        let state_is_known = ["REACHABLE", "STALE", "DELAY", "PROBE"].contains(&state);
        assert!(state_is_known, "{row}");
        assert!(lab.done("neigh show").contains(&format!("{} dev {leg} lladdr", host.address())));
    }
    assert_eq!(learned(&lab.json("neigh show dev b2 -j"), &hosts[0]), None);
    // Link-local ones may be among them.
    assert!(lab.json("neigh flush dev b2 -j")["flushed"].as_u64() >= Some(1));
    // Said wrongly, nobody is there; said no more, it is asked for again.
    let there = hosts[1].address();
    lab.done(&format!("neigh add {there} lladdr 02:00:00:00:00:99 dev b2"));
    let expected = json!({"dst": there.to_string(), "dev": "b2", "state": ["PERMANENT"],
                          "lladdr": "02:00:00:00:00:99"});
    assert!(lab.json("neigh flush -j")["flushed"].as_u64() >= Some(1));
    assert_eq!(learned(&lab.json("neigh show dev b2 -j"), &hosts[1]), Some(expected));
    let file = lab.done("config");
    assert!(file.contains("[[neighbour]]") && file.contains("02:00:00:00:00:99"), "{file}");
    lab.done(&format!("neigh del {there} dev b2"));
    assert!(!lab.done("config").contains("[[neighbour]]"));
    hosts[0].ping(there);
    for (words, code, sentence) in [
        ("neigh add 10.2.0.9 lladdr 02:00:00:00:00:09 dev b3", 1, "there is no leg `b3`; did you"),
        ("neigh add 10.1.0.9 lladdr 02:00:00:00:00:09 dev b2", 1, "is not on the link of leg `b2`"),
        ("neigh add 10.2.0.1 lladdr 02:00:00:00:00:09 dev b2", 1, "is the router's own address"),
        ("neigh add 10.2.0.9 dev b2", 2, "`lladdr MAC` is missing"),
        ("neigh add 10.2.0 lladdr 02:00:00:00:00:09 dev b2", 2, "`10.2.0` is no address"),
        ("neigh del 10.2.0.9", 1, "10.2.0.9 is not known"),
        ("neigh show leg b2", 2, "`leg b2` is not `dev LEG`"),
        ("neigh flush dev b4", 1, "there is no leg `b4`"),
    ] {
        refused(&lab, words, code, sentence);
    }
    lab.end("lab", running);
}

#[test]
fn routes_of_a_router_that_runs_come_and_go() {
    let lab = Lab::new();
    let (running, [a, b]) = routed(&lab, &[]);
    // An address of the other host that is on no link of the router.
    let beyond = IpAddr::from([192, 0, 2, 7]);
    b.namespace.links().unwrap().add_address(TAP, Prefix::new(beyond, 32).unwrap()).unwrap();
    lab.done("route add 192.0.2.0/24,via=10.2.0.2");
    a.ping(beyond);
    assert_eq!(lab.done("route get 192.0.2.7"), "192.0.2.7 via 10.2.0.2 dev b2\n");
    let file = lab.done("config");
    assert!(file.contains("[[route]]") && file.contains("192.0.2.0/24"), "{file}");
    assert_eq!(lab.json("route add 192.0.2.0/24,metric=7,blackhole -j")[0]["metric"], 7);
    for (words, code, sentence) in [
        ("route add 192.0.2.0/24,via=10.2.0.3", 1, "there are two routes to 192.0.2.0/24"),
        ("route add 10.8.0.0/16,via=10.3.0.3", 1, "is on no link of the router"),
        ("route add 10.8.0.0/16,leg=b3", 1, "there is no leg `b3`; did you mean"),
        ("route add 10.8.0.1/16,leg=b1", 2, "has bits set behind its length"),
        ("route del 10.8.0.0/16", 1, "there is no route to 10.8.0.0/16"),
        ("route del 192.0.2.0/24", 1, "say metric=N"),
        ("route del 192.0.2.0/24,via=10.2.0.2", 2, "is not metric=N"),
    ] {
        refused(&lab, words, code, sentence);
    }
    let gone = lab.json("route del 192.0.2.0/24,metric=0 -j");
    assert_eq!(gone[0]["gateway"], "10.2.0.2");
    let told = lab.done("route get 192.0.2.7");
    assert_eq!(told, "blackhole 192.0.2.7\n");
    lab.done("route del 192.0.2.0/24");
    assert!(!lab.done("config").contains("[[route]]"));
    refused(&lab, "route get 192.0.2.7", 1, "there is no route to 192.0.2.7");
    // Those that are left are routed as before.
    a.ping(b.address());
    lab.end("lab", running);
}

#[test]
fn reload_makes_routes_and_neighbours_those_of_the_file() {
    let lab = Lab::new();
    let file = lab.path("lab.toml").display().to_string();
    let text = format!(
        "[[port]]\nstream = \"{}\"\n[[leg]]\nbridge = \"br\"\naddress = [\"10.0.0.1/24\"]\n\
         [[route]]\nto = \"10.8.0.0/16\"\nvia = \"10.0.0.2\"\n",
        lab.path("a").display()
    );
    std::fs::write(&file, text).unwrap();
    let running = lab.start("lab", &[], &["-c", &file]);
    let before = lab.done("route show");
    lab.done("route add 10.9.0.0/16,via=10.0.0.3");
    lab.done("route del 10.8.0.0/16");
    lab.done("neigh add 10.0.0.3 lladdr 02:00:00:00:00:03 dev br");
    assert_ne!(lab.done("route show"), before);
    lab.done("reload");
    assert_eq!(lab.done("route show"), before);
    assert_eq!(lab.done("neigh show"), "");
    lab.end("lab", running);
}

/// Lets a program open so many files more, as their numbers are given out: the lowest first.
fn leave_files(pid: u32, more: usize) {
    let folder = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let taken: Vec<usize> =
        folder.map(|fd| fd.unwrap().file_name().to_str().unwrap().parse().unwrap()).collect();
    let free = (0..).filter(|number| !taken.contains(number)).nth(more).unwrap();
    let limit = format!("--nofile={free}:");
    let pid = format!("--pid={pid}");
    assert!(std::process::Command::new("prlimit").args([pid, limit]).status().unwrap().success());
}

#[test]
fn leg_that_the_system_refuses_is_refused_with_all_that_came_with_it() {
    let lab = Lab::new();
    let file = lab.path("lab.toml").display().to_string();
    let port = |name: &str| format!("[[port]]\nstream = \"{}\"\n", lab.path(name).display());
    let leg = |name: &str, net| {
        format!("[[leg]]\nbridge = \"{name}\"\naddress = [\"10.{net}.0.1/24\"]\n")
    };
    let before = [port("a"), leg("br", 0)].concat();
    std::fs::write(&file, &before).unwrap();
    let running = lab.start("lab", &[], &["-c", &file]);
    let mut line = lab.line("lab");
    let ran = lab.done("config");
    // Without the first port, with another leg.
    let after = [port("b"), leg("br", 0), leg("lab", 1)].concat();
    let reload = r#"{"v":1,"do":"reload"}"#;
    eventually("it is refused", || {
        std::fs::write(&file, &after).unwrap();
        // One for the file; a leg is a pair of sockets.
        leave_files(running.0.id(), 1);
        let answer = line.ask(reload);
        leave_files(running.0.id(), 100);
        if answer["error"].as_str().is_some_and(|e| e.contains("leg:lab: Too many open files")) {
            return true;
        }
        // A connection of somebody before us was just being closed: again, from the beginning.
        std::fs::write(&file, &before).unwrap();
        assert!(line.ask(reload)["error"].is_null());
        false
    });
    assert_eq!(lab.done("config"), ran, "nothing has changed");
    assert!(lab.done("leg show").lines().filter(|line| !line.starts_with(' ')).count() == 1);
    let _a = lab.station("a");
    lab.done("reload");
    assert!(lab.done("leg show").contains("10.1.0.1/24"));
    lab.end("lab", running);
}

#[test]
fn names_of_bridges_come_and_go_more_often_than_there_are_numbers() {
    let lab = Lab::new();
    let running = lab.start("lab", &["a"], &[]);
    let mut line = lab.line("lab");
    let spec = lab.spec("b");
    for number in 0..1100 {
        let spec = format!("{spec},bridge=b{number}");
        for request in [
            format!(r#"{{"v":1,"do":"port.add","spec":"{spec}"}}"#),
            r#"{"v":1,"do":"port.del","port":"b"}"#.to_owned(),
        ] {
            let answer = line.ask(&request);
            assert!(answer["error"].is_null(), "{number}: {answer}");
        }
    }
    lab.end("lab", running);
}

#[test]
fn without_a_router_there_are_no_neighbours_and_no_routes() {
    let lab = Lab::new();
    let running = lab.start("lab", &["a"], &[]);
    for words in [
        "neigh show",
        "neigh add 10.0.0.2 lladdr 02:00:00:00:00:02 dev br",
        "neigh del 10.0.0.2",
        "neigh flush",
        "route add 192.0.2.0/24,blackhole",
        "route del 192.0.2.0/24",
    ] {
        refused(&lab, words, 1, "this switch has no router: it was given no leg");
    }
    lab.end("lab", running);
}

#[test]
fn who_uses_the_address_of_the_router_is_told_to_who_listens() {
    let lab = Lab::new();
    let running = lab.start("lab", &["a"], &["--leg", "br=10.0.0.1/24"]);
    let mut line = lab.line("lab");
    line.ask(r#"{"v":1,"do":"monitor","what":"neigh"}"#);
    let mut a = lab.station("a");
    let (other, own) = ([2, 0, 0, 0, 0, 0x99], [10, 0, 0, 1]);
    // A gratuitous ARP request (RFC 5227, section 3): Ethernet, IPv4, 6 and 4 octets.
    let head = [&[0xff; 6][..], &other, &[8, 6, 0, 1, 8, 0, 6, 4, 0, 1]].concat();
    a.put(&[&head[..], &other, &own, &[0; 6], &own, &[0; 18]].concat());
    let event = line.next().unwrap();
    let kind = event["event"].as_str().unwrap();
    // It may come before the router has its address for sure.
    assert!(["address_conflict", "address_duplicate"].contains(&kind), "{event}");
    assert_eq!(event["leg"], "br");
    let text = event["text"].as_str().unwrap();
    assert!(text.starts_with("leg br: 02:00:00:00:00:99 "), "{text}");
    // Another thread writes the log.
    eventually("it is logged", || lab.log("lab").contains(text));
    lab.end("lab", running);
}

#[track_caller]
fn refused(lab: &Lab, words: &str, code: i32, sentence: &str) {
    let (found, _, err) = lab.run(words);
    assert_eq!(found, code, "{words}: {err}");
    assert!(err.contains(sentence), "{words}: {err}");
}

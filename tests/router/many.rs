//! As many routes as there are: the program with a file full of them, which is read again while
//! packets flow, and what is asked of it meanwhile. `USWITCH_ROUTES` says how many; a
//! configuration of the largest size that is read has some 70,000, a file of routes any number.

use std::{
    env,
    fmt::Write,
    net::{Ipv4Addr, Ipv6Addr},
    ops::Range,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Instant,
};

use netlab::Namespace;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use uswitch_tests::privileged;

use crate::{
    machine::{Machine, ping, prefix, transfer_stream},
    member::Member,
};

/// Routes of a file of them, which has room for any number: `USWITCH_ROUTES=1200000` are as many as
/// the internet has.
const FILE_ROUTES: usize = 50_000;
/// Of six routes five are of IPv4, as in the internet's tables.
const IN_SIX: usize = 6;
const ROUTES: usize = 10_000;

/// The network with this number.
fn v4(number: usize) -> Ipv4Addr {
    Ipv4Addr::from_bits(0x1000_0000 + ((number as u32) << 8))
}

fn v6(number: usize) -> Ipv6Addr {
    Ipv6Addr::from_bits((0x2600_0000_0000 + number as u128) << 80)
}

/// Two legs.
fn legs(hosts: &[Member; 2]) -> String {
    let mut text = String::new();
    for (host, bridge, net) in [(&hosts[0], "br", 0), (&hosts[1], "lab", 1)] {
        let (netns, name) = (host.netns(), bridge);
        write!(
            text,
            "[[port]]\ntap = \"tap0\"\nnetns = \"{netns}\"\nname = \"{name}\"\n\
             bridge = \"{bridge}\"\n[[leg]]\nbridge = \"{bridge}\"\n\
             address = [\"10.{net}.0.1/24\", \"fd0{net}::1/64\"]\n"
        )
        .unwrap();
    }
    text
}

/// Two legs, and all routes by way of the second host; the last one of each version as told.
fn file(hosts: &[Member; 2], routes: [usize; 2], last: [&str; 2]) -> String {
    let mut text = legs(hosts);
    let mut route = |to: String, what: &str| {
        write!(text, "[[route]]\nto = \"{to}\"\n{what}\n").unwrap();
    };
    let [gateway4, gateway6] = ["via = \"10.1.0.2\"", "via = \"fd01::2\""];
    (0..routes[0] - 1).for_each(|number| route(format!("{}/24", v4(number)), gateway4));
    (0..routes[1] - 1).for_each(|number| route(format!("{}/48", v6(number)), gateway6));
    route(format!("{}/24", v4(routes[0] - 1)), last[0]);
    route(format!("{}/48", v6(routes[1] - 1)), last[1]);
    text
}

/// How many routes are wanted.
fn count(usual: usize) -> usize {
    env::var("USWITCH_ROUTES").map_or(usual, |text| text.parse().unwrap())
}

/// So many routes in the words of ip-route(8); of each version those with these numbers end.
fn route_file(routes: [usize; 2], ending: &Range<usize>) -> String {
    let mut text = "# all there are\n".to_owned();
    for number in 0..routes[0] {
        match ending.contains(&number) {
            true => writeln!(text, "unreachable {}/24 proto bird metric 32", v4(number)),
            false => writeln!(text, "{}/24 via 10.1.0.2 dev lab proto bird metric 32", v4(number)),
        }
        .unwrap();
    }
    for number in 0..routes[1] {
        match ending.contains(&number) {
            true => writeln!(text, "unreachable {}/48 dev lo metric 1024 pref medium", v6(number)),
            false => writeln!(text, "{}/48 via fd01::2 dev lab pref medium", v6(number)),
        }
        .unwrap();
    }
    text
}

/// An address in each of these networks.
fn inside(numbers: [usize; 2]) -> [String; 2] {
    let v4 = Ipv4Addr::from_bits(v4(numbers[0]).to_bits() + 9);
    [v4.to_string(), Ipv6Addr::from_bits(v6(numbers[1]).to_bits() + 9).to_string()]
}

#[test]
fn file_of_routes_is_read_again_and_what_differs_is_done_without_a_packet_lost() {
    if !privileged() {
        return;
    }
    let all = count(FILE_ROUTES);
    let routes = [all - all / IN_SIX, all / IN_SIX];
    let hosts = ["one", "two"].map(Member::new);
    let [one, two] = &hosts;
    let machine = Machine::new();
    machine.put("full.routes", &route_file(routes, &(0..0)));
    let text = format!("[router]\nroutes = \"full.routes\"\n{}", legs(&hosts));
    let begin = Instant::now();
    let running = machine.start_file(&text);
    println!("{all} routes: up after {:?}", begin.elapsed());
    one.settle(&["10.0.0.2/24", "fd00::2/64"], &["10.0.0.1", "fd00::1"]);
    two.settle(&["10.1.0.2/24", "fd01::2/64"], &["10.1.0.1", "fd01::1"]);
    let (first, last) = (inside([0, 0]), inside(routes.map(|routes| routes - 1)));
    let mut links = two.namespace.links().unwrap();
    for (address, bits) in [(&first[0], 32), (&first[1], 128), (&last[0], 32), (&last[1], 128)] {
        links.add_address("lo", prefix(&format!("{address}/{bits}"))).unwrap();
        ping(&one.namespace, address);
    }
    let told = |address: &str| machine.says(&format!("route get {address}"));
    let changed = 100..100 + all / 20;
    let ends = inside([changed.start, changed.start]);
    let both = 2 * changed.len();

    // A stream would hide what is lost.
    let pinging = Pinging::begin(&one.namespace, &first);
    machine.put("full.routes", &route_file(routes, &changed));
    let told_before = machine.shell("\"$0\" check lab.toml");
    assert!(told_before.contains("nothing wrong"), "{told_before}");
    let begin = Instant::now();
    let done = machine.reload_same();
    println!("reloaded after {:?}", begin.elapsed());
    assert!(done.contains(&format!("routes: {both} in, {both} out")), "{done}");
    ends.iter().for_each(|end| assert_eq!(told(end), format!("unreachable {end}\n")));
    machine.put("full.routes", &route_file(routes, &(0..0)));
    machine.reload_same();
    assert_eq!(told(&ends[0]), format!("{} via 10.1.0.2 dev lab\n", ends[0]));
    let again = machine.reload_same();
    assert!(again.contains("nothing differs"), "{again}");
    pinging.end();

    let shown = machine.shell("\"$0\" route show | wc -l");
    assert_eq!(shown.trim().parse::<usize>().unwrap(), all + 4, "and those of the links");
    // Who has seen enough ends it, and that is no failure.
    let shown = machine.shell("set -o pipefail; \"$0\" route show | head -n 3");
    assert_eq!(shown.lines().count(), 3, "{shown}");
    // What is in the file is taken out there; what is said is `config`'s to name again.
    let refused = machine.shell(&format!("! \"$0\" route del {}/24 2>&1", v4(7)));
    assert!(refused.contains("full.routes: take it out there"), "{refused}");
    let config = machine.says("config");
    assert!(config.contains("full.routes\"\n") && config.len() < 4096, "{config}");
    // A file with a fault changes nothing.
    machine.put("full.routes", "10.9.0.0/16 via 10.1.0.2 mtu 9\n10.9.0.0/8 via 10.1.0.2\n");
    let told_wrong = machine.shell("! \"$0\" reload 2>&1");
    for place in ["full.routes:1:26", "full.routes:2:1"] {
        assert!(told_wrong.contains(place), "{told_wrong}");
    }
    last.iter().for_each(|address| ping(&one.namespace, address));
    running.stop();
}

#[test]
fn file_full_of_routes_is_lived_by_and_read_again_under_traffic() {
    if !privileged() {
        return;
    }
    // More would be no configuration any more.
    let all = count(ROUTES).min(60_000);
    let routes = [all - all / IN_SIX, all / IN_SIX];
    let hosts = ["one", "two"].map(Member::new);
    let [one, two] = &hosts;
    let machine = Machine::new();
    let gateways = ["via = \"10.1.0.2\"", "via = \"fd01::2\""];
    let full = file(&hosts, routes, gateways);
    let ends = file(&hosts, routes, ["type = \"unreachable\""; 2]);
    let running = machine.start_file(&full);
    one.settle(&["10.0.0.2/24", "fd00::2/64"], &["10.0.0.1", "fd00::1"]);
    two.settle(&["10.1.0.2/24", "fd01::2/64"], &["10.1.0.1", "fd01::1"]);
    let (first, last) = (inside([0, 0]), inside(routes.map(|routes| routes - 1)));
    let mut links = two.namespace.links().unwrap();
    for (address, bits) in [(&first[0], 32), (&first[1], 128), (&last[0], 32), (&last[1], 128)] {
        links.add_address("lo", prefix(&format!("{address}/{bits}"))).unwrap();
        ping(&one.namespace, address);
    }

    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        let (ended, first) = (&ended, &first);
        let pushing = scope.spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                for address in first {
                    let address = address.parse().unwrap();
                    transfer_stream(&one.namespace, &two.namespace, address);
                }
            }
        });
        let stop = Stop(ended);
        let told = |address: &str| machine.says(&format!("route get {address}"));
        machine.reload(&ends);
        last.iter().for_each(|end| assert_eq!(told(end), format!("unreachable {end}\n")));
        machine.reload(&full);
        for (end, way) in last.iter().zip([" via 10.1.0.2 dev lab\n", " via fd01::2 dev lab\n"]) {
            assert_eq!(told(end), format!("{end}{way}"));
        }
        let shown = machine.says("route show");
        assert_eq!(shown.lines().count(), all + 4, "and those of the links");
        drop(stop);
        pushing.join().unwrap();
    });
    last.iter().for_each(|address| ping(&one.namespace, address));
    // Who has seen enough ends it, and that is no failure.
    let shown = machine.shell("set -o pipefail; \"$0\" route show | head -n 3");
    assert_eq!(shown.lines().count(), 3, "{shown}");
    running.stop();
}

/// Echoes one after the other, each of which must be answered.
struct Pinging {
    children: Vec<Child>,
}

impl Pinging {
    /// Each of these is asked a hundred times a second.
    fn begin(from: &Namespace, to: &[String]) -> Pinging {
        let ping = |address: &String| {
            let mut command = Command::new("ping");
            command.args(["-n", "-i", "0.01", address]).stdout(Stdio::piped());
            from.run(|| command.spawn()).unwrap().unwrap()
        };
        Pinging { children: to.iter().map(ping).collect() }
    }

    /// No more, and none is missing before the last that was answered: one may be under way.
    fn end(self) {
        for child in self.children {
            // As Ctrl-C does: it tells what it has seen.
            kill(Pid::from_raw(child.id() as i32), Signal::SIGINT).unwrap();
            let output = child.wait_with_output().unwrap();
            let text = String::from_utf8(output.stdout).unwrap();
            let number =
                |line: &str| line.split_once("icmp_seq=")?.1.split(' ').next()?.parse().ok();
            let answered: Vec<usize> = text.lines().filter_map(number).collect();
            assert_eq!(answered, (1..=answered.len()).collect::<Vec<_>>(), "{text}");
            assert!(!answered.is_empty(), "{text}");
        }
    }
}

/// Ends what goes on, also when the test panics.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

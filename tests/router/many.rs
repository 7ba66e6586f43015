//! As many routes as there are: the program with a file full of them, which is read again while
//! packets flow, and what is asked of it meanwhile. `USWITCH_ROUTES` says how many; a file of the
//! largest size that is read has some 70,000.

use std::{
    env,
    fmt::Write,
    net::{Ipv4Addr, Ipv6Addr},
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use uswitch_tests::privileged;

use crate::{
    machine::{Machine, ping, prefix, transfer_stream},
    member::Member,
};

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

/// Two legs, and all routes by way of the second host; the last one of each version as told.
fn file(hosts: &[Member; 2], routes: [usize; 2], last: [&str; 2]) -> String {
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

#[test]
fn file_full_of_routes_is_lived_by_and_read_again_under_traffic() {
    if !privileged() {
        return;
    }
    let all = env::var("USWITCH_ROUTES").map_or(ROUTES, |text| text.parse().unwrap());
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
    let inside = |numbers: [usize; 2]| {
        let v4 = Ipv4Addr::from_bits(v4(numbers[0]).to_bits() + 9);
        [v4.to_string(), Ipv6Addr::from_bits(v6(numbers[1]).to_bits() + 9).to_string()]
    };
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

/// Ends what goes on, also when the test panics.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

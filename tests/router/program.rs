//! The program as a router: the words of its command line, its file, and a file that changes while
//! packets flow.

use std::{
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use uswitch_tests::{privileged, program};

use crate::machine::{Machine, TCP_OCTETS, ping, prefix, transfer};

/// How often the file changes and changes back.
const ROUNDS: usize = 5;

/// The README's first router, word for word.
#[test]
fn one_line_is_a_router_between_a_segment_and_a_tun() {
    if !privileged() {
        return;
    }
    let machine = Machine::new();
    let running = machine.start(&[
        "--ports",
        "tap0,tap1",
        "--leg",
        "br=10.0.0.1/24,fd00:1::1/64",
        "--tun",
        "tun0=10.9.0.1/24,host=10.9.0.2",
    ]);
    let one = machine.host("tap0", &["10.0.0.2/24", "fd00:1::2/64"], &["10.0.0.1", "fd00:1::1"]);
    let two = machine.host("tap1", &["10.0.0.3/24", "fd00:1::3/64"], &["10.0.0.1", "fd00:1::1"]);
    // The router itself is there before the machine knows a way back.
    for router in ["10.0.0.1", "fd00:1::1", "10.9.0.1"] {
        ping(&one, router);
    }
    ping(&machine.namespace, "10.9.0.1");
    machine.route("10.0.0.0/24", "10.9.0.1");
    for host in [&one, &two] {
        ping(host, "10.9.0.2");
        transfer(host, &machine.namespace, "10.9.0.2".parse().unwrap());
    }
    ping(&machine.namespace, "10.0.0.3");
    transfer(&machine.namespace, &two, "10.0.0.3".parse().unwrap());
    // In one bridge hosts do not need it.
    ping(&one, "fd00:1::3");
    let report = running.stop();
    assert!(report["total"]["rx_octets"].as_u64() > Some(TCP_OCTETS), "{report}");
}

/// Ports that are in no bridge but have a leg each; one goes and comes again.
#[test]
fn leg_on_a_single_port_needs_no_bridge() {
    if !privileged() {
        return;
    }
    let machine = Machine::new();
    let running = machine.start(&[
        "--ports=tap0,tap1,tap2,tap3",
        "--leg=tap0=10.0.0.1/24,fd00:1::1/64",
        "--leg=tap1=10.1.0.1/24,fd00:2::1/64",
    ]);
    let one = machine.host("tap0", &["10.0.0.2/24", "fd00:1::2/64"], &["10.0.0.1", "fd00:1::1"]);
    let two = machine.host("tap1", &["10.1.0.2/24", "fd00:2::2/64"], &["10.1.0.1", "fd00:2::1"]);
    // Who asks on the link hears when the router uses an address (RFC 4862, section 5.4).
    ping(&one, "fd00:1::1");
    ping(&two, "fd00:2::1");
    for address in ["10.1.0.1", "10.1.0.2", "fd00:2::1", "fd00:2::2"] {
        ping(&one, address);
    }
    transfer(&two, &one, "fd00:1::2".parse().unwrap());
    // The others are in one bridge, as ever.
    let three = machine.host("tap2", &["10.2.0.2/24"], &[]);
    let _four = machine.host("tap3", &["10.2.0.3/24"], &[]);
    ping(&three, "10.2.0.3");
    running.stop();
}

/// Networks beyond the TUN, by words and by a file that says the same.
#[test]
fn routes_lead_to_networks_behind_a_neighbour() {
    if !privileged() {
        return;
    }
    let words = [
        "--ports=tap0",
        "--leg=br=10.0.0.1/24,fd00:1::1/64",
        "--tun=tun0=10.9.0.1/24,fd00:9::1/64,host=10.9.0.2,host=fd00:9::2/64",
        "--route=10.8.0.0/16,via=10.9.0.2",
        "--route=default,via=fd00:9::2",
    ];
    let said = Command::new(program()).arg("config").args(words).output().unwrap();
    assert!(said.status.success(), "{said:?}");
    let text = String::from_utf8(said.stdout).unwrap();
    for by_file in [false, true] {
        let machine = Machine::new();
        let running = if by_file { machine.start_file(&text) } else { machine.start(&words) };
        let host =
            machine.host("tap0", &["10.0.0.2/24", "fd00:1::2/64"], &["10.0.0.1", "fd00:1::1"]);
        machine.route("10.0.0.0/24", "10.9.0.1");
        machine.route("fd00:1::/64", "fd00:9::1");
        let mut links = machine.namespace.links().unwrap();
        links.set_up("lo").unwrap();
        for (behind, bits) in [("10.8.1.1", 32), ("fd00:8::1", 128)] {
            links.add_address("lo", prefix(&format!("{behind}/{bits}"))).unwrap();
            ping(&host, behind);
            transfer(&host, &machine.namespace, behind.parse().unwrap());
        }
        for address in ["10.0.0.2", "fd00:1::2"] {
            ping(&machine.namespace, address);
            transfer(&machine.namespace, &host, address.parse().unwrap());
        }
        running.stop();
    }
}

/// Two legs that stay.
const STAY: &str = "[[port]]\ntap = \"tap0\"\n[[port]]\ntap = \"tap1\"\nbridge = \"lab\"\n\
    [[leg]]\nbridge = \"br\"\naddress = [\"10.0.0.1/24\"]\n\
    [[leg]]\nbridge = \"lab\"\naddress = [\"10.1.0.1/24\"]\n";
/// One that comes and goes, before the others: they get other numbers by that.
const MORE: &str = "[[leg]]\nbridge = \"attic\"\naddress = [\"10.2.0.1/24\"]\n\
    [[port]]\ntap = \"tap2\"\nbridge = \"attic\"\n\
    [[route]]\nto = \"10.3.0.0/16\"\nvia = \"10.2.0.2\"\n";

#[test]
fn legs_come_and_go_and_packets_between_two_others_are_not_lost() {
    if !privileged() {
        return;
    }
    let machine = Machine::new();
    let running = machine.start_file(STAY);
    let one = machine.host("tap0", &["10.0.0.2/24"], &["10.0.0.1"]);
    let two = machine.host("tap1", &["10.1.0.2/24"], &["10.1.0.1"]);
    ping(&one, "10.1.0.2");
    let (ended, more) = (AtomicBool::new(false), format!("{MORE}{STAY}"));
    let pings = thread::scope(|scope| {
        let (one, two, ended) = (&one, &two, &ended);
        // Each waits for its answer: one that is lost fails.
        let pinging = scope.spawn(move || {
            let mut pings = 0_u64;
            while !ended.load(Ordering::Relaxed) {
                ping(one, "10.1.0.2");
                pings += 1;
            }
            pings
        });
        let pushing = scope.spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                transfer(two, one, "10.0.0.2".parse().unwrap());
            }
        });
        let stop = Stop(ended);
        for _ in 0..ROUNDS {
            machine.reload(&more);
            let third = machine.host("tap2", &["10.2.0.2/24"], &["10.2.0.1"]);
            ping(&third, "10.1.0.2");
            machine.reload(STAY);
            // With its namespace the cable would go by and by: the next would find it there.
            let mut links = machine.namespace.links().unwrap();
            ["tap2-bridge", "tap2-far"].iter().for_each(|link| links.delete(link).unwrap());
        }
        drop(stop);
        pushing.join().unwrap();
        pinging.join().unwrap()
    });
    assert!(pings > 0);
    // Nor did its address change, by which hosts know it.
    ping(&one, "10.1.0.2");
    running.stop();
}

/// Ends what goes on, also when the test panics.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

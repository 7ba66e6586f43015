//! Every kind of port to every other: TCP and UDP, IPv4 and IPv6, MTU 1500 and 9000, while the
//! hosts leave checksums and segments to their devices. Here others break: what one kind of port
//! carries unfinished, another has to be given finished.
//!
//! One program has a port of each kind at once, with a host in a namespace behind each. The
//! matrix of what passed goes to a file in the target folder, to the output (`--nocapture`), and
//! into the message of a failure.

mod kinds;
mod lab;
mod pair;
mod relay;
mod table;

use std::{
    fs,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use netlab::transfer_tcp;
use serde_json::Value;
use uswitch::stats::Counter;
use uswitch_tests::{privileged, program};

use crate::{
    lab::{Host, Lab},
    table::Matrix,
};

/// Pairs at a time.
const THREADS: usize = 4;

/// What has not arrived by then hangs: TCP itself would go on trying for a quarter of an hour.
const PATIENCE: Duration = Duration::from_secs(300);

/// Octets of a transfer that is to show the length of frames.
const WHOLE_OCTETS: u64 = 2 << 20;

/// Octets of an Ethernet header.
const HEADER_OCTETS: u64 = 14;

/// What is never counted where all hosts keep to the MTU and say nothing but what is theirs.
const NEVER_COUNTED: [Counter; 10] = [
    Counter::TxOversize,
    Counter::TxRefused,
    Counter::TxGone,
    Counter::RxRunt,
    Counter::RxGroupSource,
    Counter::RxNullSource,
    Counter::FilterDetached,
    Counter::LearnQuota,
    Counter::LearnFull,
    Counter::LearnStatic,
];

#[test]
fn every_kind_of_port_reaches_every_other_at_mtu_1500() {
    if privileged() {
        compare(1500, true);
    }
}

#[test]
fn every_kind_of_port_reaches_every_other_at_mtu_9000() {
    if privileged() {
        compare(9000, false);
    }
}

fn compare(mtu: u32, iperf: bool) {
    let mut lab = Lab::new(mtu);
    within_patience(|stop| transfer_between_whole(&lab.hosts, stop));
    check_frames_pass_whole(&lab.report(), &lab.hosts, mtu);
    let matrix = Matrix { mtu, cells: send_all(&lab.hosts, mtu, iperf) };
    let text = matrix.render();
    println!("{text}");
    let target = program().ancestors().nth(2).expect("TARGET/PROFILE/uswitch").to_owned();
    fs::write(target.join(format!("matrix-{mtu}.txt")), &text).unwrap();
    assert_eq!(matrix.faults().count(), 0, "{text}");
    let hosts: Vec<_> = lab.hosts.iter().map(|host| host.kind).collect();
    let report = lab.finish();
    for kind in hosts {
        let count = |counter| count(&report, kind.name, counter);
        for counter in NEVER_COUNTED {
            assert_eq!(count(counter), 0, "{} of {}\n{text}", counter.name(), kind.name);
        }
        let (cut, segments) = (count(Counter::TxCut), count(Counter::TxSegments));
        assert_eq!(0 < cut, !kind.whole, "{cut} frames were cut for {}", kind.name);
        assert!(2 * cut <= segments, "{segments} of {cut} frames for {}", kind.name);
    }
}

/// TCP between all ports that take offloads, and nothing else.
fn transfer_between_whole(hosts: &[Host], stop: &AtomicBool) {
    let whole = || hosts.iter().filter(|host| host.kind.whole);
    for from in whole() {
        for to in whole().filter(|to| to.number != from.number) {
            let address = (to.v4(), 0).into();
            let (near, far) = (&from.namespace, &to.namespace);
            let sent = transfer_tcp(near, far, address, WHOLE_OCTETS, 1, stop);
            let about = (from.kind.name, to.kind.name);
            let sent = sent.unwrap_or_else(|e| panic!("{about:?}: {}", netlab::explain(&e)));
            assert!(sent.is_sound(), "{about:?}: {sent:?}");
        }
    }
}

/// The mean frame is far above the MTU, acknowledgements counted.
fn check_frames_pass_whole(report: &Value, hosts: &[Host], mtu: u32) {
    for host in hosts.iter().filter(|host| host.kind.whole) {
        let count = |counter| count(report, host.kind.name, counter);
        for (octets, frames) in
            [(Counter::RxOctets, Counter::RxFrames), (Counter::TxOctets, Counter::TxFrames)]
        {
            let mean = count(octets) / count(frames);
            let about = format!("{mean} {} a frame, {}", octets.name(), host.kind.name);
            assert!(u64::from(mtu) + HEADER_OCTETS < mean, "{about}");
        }
    }
}

type Cells = Vec<(&'static str, &'static str, Result<pair::Shown, String>)>;

/// Every ordered pair, some at a time.
fn send_all(hosts: &[Host], mtu: u32, iperf: bool) -> Cells {
    let to_all = |from| hosts.iter().map(move |to: &Host| (from, to));
    let pairs = hosts.iter().flat_map(to_all).filter(|(from, to)| from.number != to.number);
    let (pairs, cells) = (Mutex::new(pairs), Mutex::new(Vec::new()));
    within_patience(|stop| {
        let work = || {
            loop {
                let next = pairs.lock().unwrap().next();
                let Some((from, to)) = next else { return };
                let shown = pair::send(from, to, mtu, iperf, stop);
                cells.lock().unwrap().push((from.kind.name, to.kind.name, shown));
            }
        };
        thread::scope(|scope| (0..THREADS).for_each(|_| drop(scope.spawn(work))));
    });
    cells.into_inner().unwrap()
}

/// Works, and gives the stop when it takes too long.
fn within_patience<T>(work: impl FnOnce(&AtomicBool) -> T) -> T {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let (working, done) = mpsc::channel::<()>();
        let stop = &stop;
        scope.spawn(move || {
            // Nothing is ever sent: the channel ends with the work.
            if done.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
                stop.store(true, Ordering::Relaxed);
            }
        });
        let result = work(stop);
        drop(working);
        result
    })
}

/// A counter of the port with this name. A client's port has its number behind that, and a dot.
fn count(report: &Value, name: &str, counter: Counter) -> u64 {
    let ports = report["ports"].as_array().unwrap();
    let is_it = |port: &&Value| port["name"].as_str().unwrap().split('.').next() == Some(name);
    let port = ports.iter().find(is_it);
    let port = port.unwrap_or_else(|| panic!("a port {name}: {report}"));
    port[counter.name()].as_u64().unwrap()
}

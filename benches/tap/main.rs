//! The switch beside a bare loop, the kernel's bridge, VDE and Open vSwitch: two hosts in
//! namespaces of their own, and one of these between them, in turn, round after round.
//!
//! ```text
//! cargo bench -p uswitch-benches --bench tap                 seven rounds, some minutes
//! cargo bench -p uswitch-benches --bench tap -- --quick      one short round
//! cargo bench -p uswitch-benches --bench tap -- --rounds 21 --only "sleep|kernel" --small
//! cargo bench -p uswitch-benches --bench tap -- --only "switch, 2 workers, sleep|rings|packet"
//! cargo bench -p uswitch-benches --bench tap -- --only "IP|router"
//! cargo bench -p uswitch-benches --bench tap -- --only TUN
//! ```
//!
//! A contender is idle, or stopped if it polls, while another is measured. A ratio is the median
//! of the ratios of each round, so that what disturbs the machine for longer than a round
//! disturbs both sides alike. The bare loop (tools/bench/src/device/bare.rs) has the same TAPs
//! with the same flags, the same threads and the same way of waiting; it reads from one and writes
//! to the other. The bare rings (rings.rs) are the same for packet sockets, with rings and calls
//! like those of the switch.

mod contender;
mod measure;
mod peers;
mod rings;
mod strip;
mod table;

use std::{env, io, process::ExitCode, time::Duration};

use contender::{Contender, Plug};
use measure::{Figures, Trial};
use table::Ratio;
use uswitch_bench::device::bare::{Loop, Wait};

/// Rounds of a measurement whose figures may be quoted.
const ROUNDS: usize = 7;

/// What the command line asks for.
struct Options {
    rounds: usize,
    trial: Trial,
    only: Option<String>,
}

fn main() -> ExitCode {
    // A contender is this program again, in a process of its own, so that its time is its own.
    if let Ok(role) = env::var(contender::ROLE) {
        return contender::play(&role);
    }
    match run(&options()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tap: {error}");
            ExitCode::FAILURE
        }
    }
}

fn options() -> Options {
    let seconds = |s| Duration::from_secs_f64(s);
    let mut options = Options {
        rounds: ROUNDS,
        trial: Trial { duration: seconds(1.0), trips: 3000, small_only: false },
        only: None,
    };
    let mut arguments = env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--quick" | "--test" => {
                options.rounds = 1;
                options.trial = Trial { duration: seconds(0.1), trips: 100, ..options.trial };
            }
            "--small" => options.trial.small_only = true,
            "--rounds" => options.rounds = number(arguments.next()),
            "--seconds" => {
                options.trial.duration = Duration::from_secs(number(arguments.next()) as u64)
            }
            "--only" => options.only = arguments.next(),
            // Cargo adds --bench.
            _ => {}
        }
    }
    options
}

fn number(argument: Option<String>) -> usize {
    argument.and_then(|text| text.parse().ok()).expect("a number follows")
}

/// All who take part, and how each is started. The order is the order within a round.
fn contenders(options: &Options) -> io::Result<Vec<Contender>> {
    const TAPS: [Plug; 2] = [Plug::Tap; 2];
    type Start = fn(&'static str) -> io::Result<Option<Contender>>;
    let all: [(&str, Start); 20] = [
        ("bare, 2 threads, sleep", |name| Contender::bare(name, Loop::Pair, Wait::Sleep)),
        ("switch, 2 workers, sleep", |name| Contender::switch(name, 2, Wait::Sleep, TAPS)),
        ("bare, 1 thread, sleep", |name| Contender::bare(name, Loop::Single, Wait::Sleep)),
        ("switch, 1 worker, sleep", |name| Contender::switch(name, 1, Wait::Sleep, TAPS)),
        ("bare, 1 thread, poll", |name| Contender::bare(name, Loop::Single, Wait::Always)),
        ("switch, 1 worker, poll", |name| Contender::switch(name, 1, Wait::Always, TAPS)),
        ("switch, 1 worker, 50 us", |name| Contender::switch(name, 1, Wait::Spin, TAPS)),
        ("switch, 2 workers, 50 us", |name| Contender::switch(name, 2, Wait::Spin, TAPS)),
        ("bare rings, 2 threads, sleep", |name| Contender::bare_rings(name)),
        ("packet, 2 workers, sleep", |name| {
            Contender::switch(name, 2, Wait::Sleep, [Plug::Packet; 2])
        }),
        ("mixed, TAP to packet", |name| {
            Contender::switch(name, 2, Wait::Sleep, [Plug::Tap, Plug::Packet])
        }),
        ("mixed, packet to TAP", |name| {
            Contender::switch(name, 2, Wait::Sleep, [Plug::Packet, Plug::Tap])
        }),
        ("switch, IP packets", |name| Contender::switch_packets(name, 2)),
        ("router, 2 workers, sleep", |name| Contender::router(name, 2)),
        ("bare, TAP and TUN", |name| Contender::bare_tun(name)),
        ("router, TAP to TUN", |name| Contender::router_tun(name)),
        ("kernel bridge", |name| Contender::kernel_bridge(name)),
        ("kernel router", |name| Contender::kernel_router(name)),
        ("VDE", |name| peers::vde(name)),
        ("Open vSwitch, netdev", |name| peers::open_vswitch(name)),
    ];
    let mut contenders = Vec::new();
    for (name, start) in all {
        let wanted = |only: &String| only.split('|').any(|part| name.contains(part));
        if !options.only.as_ref().is_none_or(wanted) {
            continue;
        }
        match start(name)? {
            Some(contender) => contenders.push(contender),
            None => eprintln!("tap: {name} is not installed, so it does not take part"),
        }
    }
    Ok(contenders)
}

fn run(options: &Options) -> io::Result<()> {
    if !nix::unistd::geteuid().is_root() {
        return Err(io::Error::other("it makes namespaces and TAPs, and needs root for that"));
    }
    let mut contenders = contenders(options)?;
    let mut figures: Vec<Vec<Figures>> = contenders.iter().map(|_| Vec::new()).collect();
    for round in 1..=options.rounds {
        for (contender, figures) in contenders.iter_mut().zip(&mut figures) {
            eprint!("\rround {round} of {}: {:<30}", options.rounds, contender.name);
            figures.push(measure::round(contender, &options.trial)?);
        }
    }
    eprintln!("\r{:<60}", "");
    let names: Vec<_> = contenders.iter().map(|contender| contender.name).collect();
    table::print_medians(&names, &figures);
    table::print_ratios(&names, &figures, &RATIOS);
    Ok(())
}

/// The ratios that matter, and what they must be.
const RATIOS: [Ratio; 26] = {
    use measure::Figure::{RoundTrip, Small, Tcp1, Tcp4};
    use table::Goal::{AtLeast, AtMost, Told};
    const PAIR: (&str, &str) = ("switch, 2 workers, sleep", "bare, 2 threads, sleep");
    const POLL: (&str, &str) = ("switch, 1 worker, poll", "bare, 1 thread, poll");
    const BRIDGE: (&str, &str) = ("switch, 2 workers, sleep", "kernel bridge");
    const SPIN: (&str, &str) = ("switch, 2 workers, 50 us", "kernel bridge");
    const VDE: (&str, &str) = ("switch, 2 workers, sleep", "VDE");
    const RINGS: (&str, &str) = ("packet, 2 workers, sleep", "bare rings, 2 threads, sleep");
    const SLOWER: &str = "switch, 2 workers, sleep|packet, 2 workers, sleep";
    const TO_PACKET: (&str, &str) = ("mixed, TAP to packet", SLOWER);
    const TO_TAP: (&str, &str) = ("mixed, packet to TAP", SLOWER);
    const ROUTED: (&str, &str) = ("router, 2 workers, sleep", "switch, IP packets");
    const KERNEL: (&str, &str) = ("router, 2 workers, sleep", "kernel router");
    const TUN: (&str, &str) = ("router, TAP to TUN", "bare, TAP and TUN");
    const OVS: (&str, &str) = ("switch, 2 workers, sleep", "Open vSwitch, netdev");
    [
        Ratio(PAIR, Small, AtLeast(0.95)),
        Ratio(PAIR, Tcp1, AtLeast(0.95)),
        Ratio(PAIR, Tcp4, AtLeast(0.95)),
        Ratio(POLL, Small, AtLeast(0.95)),
        Ratio(POLL, Tcp1, Told),
        Ratio(POLL, Tcp4, Told),
        Ratio(BRIDGE, Tcp1, AtLeast(0.45)),
        Ratio(BRIDGE, Tcp4, Told),
        Ratio(BRIDGE, Small, Told),
        Ratio(SPIN, RoundTrip, AtMost(0.5)),
        Ratio(VDE, Tcp1, AtLeast(8.0)),
        Ratio(VDE, Small, AtLeast(1.1)),
        Ratio(OVS, Tcp1, AtLeast(8.0)),
        Ratio(OVS, Small, AtLeast(1.5)),
        Ratio(RINGS, Tcp1, AtLeast(0.95)),
        Ratio(RINGS, Small, AtLeast(0.95)),
        Ratio(TO_PACKET, Tcp1, AtLeast(0.9)),
        Ratio(TO_PACKET, Small, AtLeast(0.9)),
        Ratio(TO_TAP, Tcp1, AtLeast(0.9)),
        Ratio(TO_TAP, Small, AtLeast(0.9)),
        Ratio(ROUTED, Tcp1, AtLeast(0.9)),
        Ratio(ROUTED, Small, AtLeast(0.9)),
        Ratio(KERNEL, Tcp1, Told),
        Ratio(KERNEL, Small, Told),
        Ratio(TUN, Tcp1, AtLeast(0.9)),
        Ratio(TUN, Small, AtLeast(0.9)),
    ]
};

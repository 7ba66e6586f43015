//! How long the program takes to start with 64 ports until the first frame has passed, and to
//! stop; a line a round, the medians at the end.
//!
//! ```text
//! cargo bench -p uswitch-benches --bench start
//! ```
//!
//! All ports are in one fresh namespace, where IPv6 is off so that the hosts' own frames are not
//! the first to pass. The program is started anew each round, so its own loading counts too.

use std::{
    env, io,
    process::{Child, Command, ExitCode},
    thread,
    time::{Duration, Instant},
};

use netlab::{FrameSocket, Namespace};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

const PORTS: usize = 64;
const ROUNDS: usize = 7;
const PATIENCE: Duration = Duration::from_secs(10);
/// What the times must be, in milliseconds.
const START_MAX: f64 = 100.0;
const STOP_MAX: f64 = 3000.0;

fn main() -> ExitCode {
    let quick = env::args().any(|argument| argument == "--quick" || argument == "--test");
    match run(if quick { 1 } else { ROUNDS }) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("start: {}", netlab::explain(&error));
            ExitCode::FAILURE
        }
    }
}

fn run(rounds: usize) -> io::Result<()> {
    let program = uswitch_tests::program();
    let (mut starts, mut stops) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let namespace = Namespace::new()?;
        namespace.set_sysctl("net/ipv6/conf/default/disable_ipv6", "1")?;
        let ports: Vec<_> = (0..PORTS).map(|number| format!("port{number}")).collect();
        let mut command = Command::new(&program);
        command.args(["--quiet", "--ports", &ports.join(",")]);
        let begin = Instant::now();
        let mut child = namespace.run(|| command.spawn())??;
        let passed = first_frame(&namespace);
        starts.push(begin.elapsed());
        let begin = Instant::now();
        let ended = end(&mut child);
        stops.push(begin.elapsed());
        passed?;
        ended?;
    }
    let (start, stop) = (median(starts), median(stops));
    println!("{PORTS} ports, from exec to the first frame: {start:.0} ms (goal <= {START_MAX})");
    println!("{PORTS} ports, from SIGTERM to the end:      {stop:.0} ms (goal <= {STOP_MAX})");
    Ok(())
}

/// Sends by the first port until a frame comes out of the last.
fn first_frame(namespace: &Namespace) -> io::Result<()> {
    let begin = Instant::now();
    let last = format!("port{}", PORTS - 1);
    let mut links = namespace.links()?;
    while !links.get(&last)?.is_some_and(|link| link.up) {
        if begin.elapsed() > PATIENCE {
            return Err(io::Error::other("the last port did not come up"));
        }
        thread::sleep(Duration::from_millis(1));
    }
    let (from, mut to) =
        (FrameSocket::open(namespace, "port0")?, FrameSocket::open(namespace, &last)?);
    let frame = [&[0xff; 6][..], &[2, 0, 0, 0, 0, 1], &[0x88, 0xb5], &[0; 46]].concat();
    while begin.elapsed() < PATIENCE {
        // Refused while the port is still coming up.
        let _ = from.send(&frame);
        if to.recv_matching(Duration::from_millis(1), |other| other == frame)?.is_some() {
            return Ok(());
        }
    }
    Err(io::Error::other("no frame passed"))
}

fn end(child: &mut Child) -> io::Result<()> {
    kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM)?;
    if child.wait()?.success() { Ok(()) } else { Err(io::Error::other("the switch failed")) }
}

/// In milliseconds.
fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1e3
}

//! Two clients on sockets of a switch, beside two clients of VDE: frames a second from one to
//! the other, and how much processor time the switch took for each frame.
//!
//! ```text
//! cargo bench -p uswitch-benches --bench stream                seven rounds
//! cargo bench -p uswitch-benches --bench stream -- --quick     one short round
//! ```
//!
//! The contenders take turns round after round, each a process of its own with two clients in
//! this one. One client sends as fast as it can, a frame a call; what arrives at the other is
//! counted. A ratio is the median of the ratios of each round. VDE's clients speak by unix
//! datagrams, of which the kernel queues `net.unix.max_dgram_qlen` at a socket (10, or 512 under
//! systemd): the figure is printed, because VDE's rate depends on it.

mod client;

use std::{
    env, fs,
    io::{self, BufRead, BufReader},
    os::fd::AsFd,
    path::Path,
    process::{Child, Command, ExitCode, Stdio},
    thread,
    time::{Duration, Instant},
};

use client::Client;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tempfile::TempDir;
use uswitch::{
    port::stream::{Listener, StreamConfig},
    switch::{self, PortConfig, SwitchConfig},
};

/// The environment variable that tells a child where to listen.
const ROLE: &str = "USWITCH_STREAM_PATH";
/// Rounds of a measurement whose figures may be quoted.
const ROUNDS: usize = 7;
/// Frames of these lengths are sent.
const LENGTHS: [usize; 2] = [60, 1514];
/// What plain `stream` is to reach of VDE's rate.
const GOAL: f64 = 2.0;
/// How long a peer may take to start.
const PATIENCE: Duration = Duration::from_secs(10);
/// The stations: who sends, and to whom.
const STATIONS: [[u8; 6]; 2] = [[2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]];

fn main() -> ExitCode {
    if let Some(path) = env::var_os(ROLE) {
        return serve(Path::new(&path));
    }
    let quick = env::args().any(|argument| argument == "--quick" || argument == "--test");
    let (rounds, duration) = if quick { (1, 0.1) } else { (ROUNDS, 1.0) };
    match run(rounds, Duration::from_secs_f64(duration)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("stream: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What a child does: it serves two clients until its parent ends.
fn serve(path: &Path) -> ExitCode {
    let config = StreamConfig { path: path.into(), connect: false, mtu: 1500 };
    let listener = Listener::bind(&config).expect("a fresh path");
    let mut handle = switch::start(&SwitchConfig::default()).expect("a switch starts");
    println!("ready");
    for name in ["a", "b"] {
        let client = loop {
            let mut wait = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
            poll(&mut wait, PollTimeout::NONE).expect("a wait");
            if let Some(client) = listener.accept().expect("a client") {
                break client;
            }
        };
        handle.add(PortConfig::named(name), client).expect("a port is added");
    }
    // The parent holds the other end of our standard input: it ends, and so do we.
    let _ = io::stdin().read_line(&mut String::new());
    ExitCode::SUCCESS
}

/// One that takes part: a switch, and the clients at its two ends.
struct Contender {
    name: &'static str,
    process: Child,
    clients: [Client; 2],
    _folder: TempDir,
}

impl Contender {
    fn uswitch() -> io::Result<Contender> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("switch");
        let mut process = Command::new(env::current_exe()?)
            .env(ROLE, &path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(process.stdout.take().expect("it is piped")).read_line(&mut line)?;
        if line != "ready\n" {
            return Err(io::Error::other("the switch did not start"));
        }
        let clients = [Client::stream(&path)?, Client::stream(&path)?];
        Ok(Contender { name: "uswitch, stream", process, clients, _folder: folder })
    }

    /// `None`: it is not installed.
    fn vde() -> io::Result<Option<Contender>> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("vde");
        // It ends when its console does.
        let spawned = Command::new("vde_switch")
            .arg("-s")
            .arg(&path)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn();
        let process = match spawned {
            Ok(process) => process,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let begin = Instant::now();
        while !path.join("ctl").exists() {
            if begin.elapsed() > PATIENCE {
                return Err(io::Error::other("vde_switch did not start"));
            }
            thread::sleep(Duration::from_millis(10));
        }
        let client = |name: &str| Client::vde(&path, folder.path().join(name));
        let clients = [client("a")?, client("b")?];
        Ok(Some(Contender { name: "VDE, two clients", process, clients, _folder: folder }))
    }

    /// Lets the switch learn both, and measures from the one to the other.
    fn trial(&mut self, len: usize, duration: Duration) -> io::Result<Figures> {
        let [one, other] = &mut self.clients;
        let frames = [0, 1].map(|from: usize| {
            let mut frame = [&STATIONS[1 - from][..], &STATIONS[from], &[0x88, 0xb5]].concat();
            frame.resize(len, 0);
            frame
        });
        other.send(&frames[1])?;
        one.drain(len)?;
        let (before, begin) = (processor_time(&self.process)?, Instant::now());
        let (sent, received) = thread::scope(|scope| {
            let sender = scope.spawn(|| {
                let mut sent = 0;
                while begin.elapsed() < duration {
                    sent += u64::from(one.send(&frames[0])?);
                }
                Ok::<u64, io::Error>(sent)
            });
            let mut received = 0;
            while begin.elapsed() < duration {
                received += other.recv(len)?;
            }
            let took = begin.elapsed();
            let sent = sender.join().expect("a sender that does not panic")?;
            Ok::<_, io::Error>((sent, received as f64 / took.as_secs_f64()))
        })?;
        let used = processor_time(&self.process)? - before;
        let seconds = begin.elapsed().as_secs_f64();
        other.drain(len)?;
        let rate = sent as f64 / seconds;
        let cost = used.as_secs_f64() * 1e9 / sent as f64;
        Ok(Figures { received, arrived: (received / rate).min(1.0), cost })
    }
}

impl Drop for Contender {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Of one trial.
#[derive(Clone, Copy)]
struct Figures {
    /// Frames a second that arrived.
    received: f64,
    /// Of those that were sent, the share that arrived.
    arrived: f64,
    /// Nanoseconds of a processor that the switch took for a frame that was sent.
    cost: f64,
}

/// What a process has used, user and system (proc(5), stat, fields 14 and 15).
fn processor_time(process: &Child) -> io::Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", process.id()))?;
    let behind_name = stat.rsplit(')').next().unwrap_or_default();
    let fields = behind_name.split_whitespace().skip(11).take(2);
    let ticks: u64 = fields.filter_map(|field| field.parse::<u64>().ok()).sum();
    // USER_HZ is 100 on every architecture of Linux that Rust has.
    Ok(Duration::from_millis(ticks * 10))
}

fn run(rounds: usize, duration: Duration) -> io::Result<()> {
    let mut contenders = vec![Contender::uswitch()?];
    match Contender::vde()? {
        Some(vde) => contenders.push(vde),
        None => eprintln!("stream: VDE is not installed, so it does not take part"),
    }
    let queue = fs::read_to_string("/proc/sys/net/unix/max_dgram_qlen").unwrap_or_default();
    println!("net.unix.max_dgram_qlen = {}", queue.trim());
    println!(
        "{:<20}{:>8}{:>16}{:>12}{:>14}",
        "median of rounds", "octets", "frames/s", "arrived", "ns a frame"
    );
    for len in LENGTHS {
        let mut figures: Vec<Vec<Figures>> = contenders.iter().map(|_| Vec::new()).collect();
        for _ in 0..rounds {
            for (contender, figures) in contenders.iter_mut().zip(&mut figures) {
                figures.push(contender.trial(len, duration)?);
            }
        }
        for (contender, figures) in contenders.iter().zip(&figures) {
            let of = |figure: fn(&Figures) -> f64| median(figures.iter().map(figure).collect());
            let (received, arrived) = (of(|f| f.received), of(|f| f.arrived));
            println!(
                "{:<20}{len:>8}{received:>16.0}{arrived:>12.2}{:>14.0}",
                contender.name,
                of(|f| f.cost)
            );
        }
        if let [ours, theirs] = figures.as_slice() {
            let pairs = ours.iter().zip(theirs);
            let ratio = median(pairs.map(|(a, b)| a.received / b.received).collect());
            let verdict = if ratio >= GOAL { "reached" } else { "missed" };
            println!("stream / VDE, {len} octets: {ratio:.2}  >= {GOAL}: {verdict}");
        }
    }
    Ok(())
}

fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}

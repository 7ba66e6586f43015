//! One round of one contender: TCP with one stream and with four, small frames, round trips.

use std::{
    fs, io,
    net::{Ipv4Addr, SocketAddr},
    sync::atomic::AtomicU64,
    thread,
    time::{Duration, Instant},
};

use core_affinity::CoreId;
use netlab::{
    NEVER,
    traffic::{
        frames::Burst,
        round_trip::{quantile, round_trips, udp_echo},
        tcp::{tcp_send, tcp_sink},
    },
};
use nix::sys::signal::Signal;
use uswitch_bench::cpu;

use crate::contender::{ADDRESSES, Contender, LINK};

/// Octets of a small frame, without frame check sequence.
const SMALL: usize = 60;
/// A type for experiments (IEEE 802-2014, 9.2.3): no host answers it.
const EXPERIMENT: [u8; 2] = [0x88, 0xb5];
/// The type of frames that bear packets of IPv4, and a protocol for experiments (RFC 3692).
const IPV4: [u8; 2] = [8, 0];
const EXPERIMENT_PROTOCOL: u8 = 253;
/// Where sinks and echoes listen: in namespaces of their own, so it is free.
const PORT: u16 = 5201;

/// How long and how much.
pub struct Trial {
    pub duration: Duration,
    pub trips: usize,
    /// Small frames and nothing else: many more rounds in the same time.
    pub small_only: bool,
}

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Figure {
    /// Gbit/s of one stream.
    Tcp1,
    /// Gbit/s of four streams.
    Tcp4,
    /// Millions of small frames a second.
    Small,
    /// Microseconds of a round trip between processes on two processors, median.
    RoundTrip,
    /// The same, 99 of 100.
    RoundTrip99,
    /// Nanoseconds of processor for a small frame, in the contender's processes.
    Cpu,
    /// Nanoseconds of processor for a small frame, on the whole machine.
    CpuAll,
    /// Processor that its processes take when nothing is sent, in percent.
    Idle,
    /// Peak of its first process's resident memory in MiB, 64 KB frames included.
    Peak,
}

/// The figures of one round.
pub type Figures = [f64; Figure::ALL.len()];

impl Figure {
    pub const ALL: [Figure; 9] = [
        Figure::Tcp1,
        Figure::Tcp4,
        Figure::Small,
        Figure::RoundTrip,
        Figure::RoundTrip99,
        Figure::Cpu,
        Figure::CpuAll,
        Figure::Idle,
        Figure::Peak,
    ];

    /// A column's title.
    pub fn name(self) -> &'static str {
        match self {
            Figure::Tcp1 => "TCP1 Gbit/s",
            Figure::Tcp4 => "TCP4 Gbit/s",
            Figure::Small => "Mpps",
            Figure::RoundTrip => "rtt us",
            Figure::RoundTrip99 => "p99 us",
            Figure::Cpu => "CPU ns",
            Figure::CpuAll => "machine ns",
            Figure::Idle => "idle %",
            Figure::Peak => "peak MiB",
        }
    }
}

/// Measures everything once.
pub fn round(contender: &mut Contender, trial: &Trial) -> io::Result<Figures> {
    if contender.polls {
        contender.signal(Signal::SIGCONT);
    }
    let (small, cpu, cpu_all) = small(contender, trial)?;
    let (mut idle_share, mut tcp1, mut tcp4, mut trips) = (0.0, 0.0, 0.0, (0.0, 0.0));
    if !trial.small_only {
        idle_share = idle(contender, trial)?;
        tcp1 = tcp(contender, 1, trial)?;
        tcp4 = tcp(contender, 4, trial)?;
        trips = round_trip(contender, trial)?;
    }
    if contender.polls {
        contender.signal(Signal::SIGSTOP);
    }
    Ok([tcp1, tcp4, small, trips.0, trips.1, cpu, cpu_all, idle_share, peak(contender)?])
}

fn idle(contender: &Contender, trial: &Trial) -> io::Result<f64> {
    let (begin, before) = (Instant::now(), cpu_of(contender));
    thread::sleep(trial.duration / 2);
    Ok(100.0 * (cpu_of(contender) - before).as_secs_f64() / begin.elapsed().as_secs_f64())
}

fn tcp(contender: &Contender, streams: usize, trial: &Trial) -> io::Result<f64> {
    let sink = tcp_sink(&contender.hosts[1], address(1, PORT))?;
    let sent = tcp_send(&contender.hosts[0], address(1, PORT), streams, trial.duration, &NEVER)?;
    // What arrived while it was sent: the rest is in buffers, of which none is large.
    Ok(sink.octets() as f64 * 8.0 / sent.elapsed.as_secs_f64() / 1e9)
}

/// Small frames that arrive, in millions a second, and the processor time that each takes.
fn small(contender: &Contender, trial: &Trial) -> io::Result<(f64, f64, f64)> {
    let [from, to] = &contender.hosts;
    let address = |host: &netlab::Namespace| {
        let mac = host.links()?.expect(LINK)?.mac;
        mac.ok_or_else(|| io::Error::other("a host has an address"))
    };
    let near = address(from)?;
    let frame = match contender.next_hop {
        None => [&address(to)?[..], &near, &EXPERIMENT].concat(),
        Some(next_hop) => [&next_hop[..], &near, &IPV4, &packet()].concat(),
    };
    let frame: Vec<u8> = frame.into_iter().chain(std::iter::repeat(0)).take(SMALL).collect();
    let arrived = || Ok::<_, io::Error>(to.links()?.expect(LINK)?.counters.rx_packets);
    let (before, cpu, cpu_all) = (arrived()?, cpu_of(contender), cpu::of_machine()?);
    let burst = Burst { frame: &frame, duration: trial.duration, bypass_qdisc: false };
    let sent = burst.send(from, LINK, &AtomicU64::new(0), &NEVER)?;
    let frames = (arrived()? - before) as f64;
    let each = |time: Duration| time.as_nanos() as f64 / frames;
    let (cpu, cpu_all) = (cpu_of(contender) - cpu, cpu::of_machine()? - cpu_all);
    Ok((frames / sent.elapsed.as_secs_f64() / 1e6, each(cpu), each(cpu_all)))
}

/// Median and 99th percentile in microseconds, the two ends on two processors.
fn round_trip(contender: &Contender, trial: &Trial) -> io::Result<(f64, f64)> {
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    let (here, there) = (cores.first().copied(), cores.last().copied());
    // A thread begins where the one is that starts it.
    let pin = |core: Option<CoreId>| core.is_some_and(core_affinity::set_for_current);
    thread::scope(|scope| {
        let measured = scope.spawn(|| {
            pin(there);
            let echo = udp_echo(&contender.hosts[1], address(1, PORT))?;
            pin(here);
            round_trips(&contender.hosts[0], echo.address(), trial.trips, &NEVER)
        });
        let mut trips = measured.join().expect("a measurement ends")?;
        let micros = |trips: &mut [Duration], share| quantile(trips, share).as_nanos() as f64 / 1e3;
        Ok((micros(&mut trips, 0.5), micros(&mut trips, 0.99)))
    })
}

/// A packet from the first host to the second that has no use for it.
fn packet() -> Vec<u8> {
    let mut octets =
        vec![0x45, 0, 0, (SMALL - 14) as u8, 0, 0, 0, 0, 64, EXPERIMENT_PROTOCOL, 0, 0];
    for address in ADDRESSES {
        octets.extend(address.parse::<Ipv4Addr>().expect("an address").octets());
    }
    let check = uswitch_router::packet::checksum(&octets);
    octets[10..12].copy_from_slice(&check.to_be_bytes());
    octets
}

fn address(host: usize, port: u16) -> SocketAddr {
    SocketAddr::new(ADDRESSES[host].parse().expect("an address"), port)
}

/// Processor time that the threads of a contender have taken.
fn cpu_of(contender: &Contender) -> Duration {
    contender.pids().map(cpu::of_process).sum()
}

/// VmHWM of proc_pid_status(5), which is in units of 1024 octets.
fn peak(contender: &Contender) -> io::Result<f64> {
    let Some(first) = contender.pids().next() else { return Ok(0.0) };
    let status = fs::read_to_string(format!("/proc/{}/status", first))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    let kibibytes = line.split_whitespace().next().and_then(|word| word.parse::<f64>().ok());
    Ok(kibibytes.unwrap_or_default() / 1024.0)
}

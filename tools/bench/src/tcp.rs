//! Loads by the hosts' own TCP: how much goes through a device in bulk, and how many questions are
//! answered one after the other (netperf's TCP_STREAM and TCP_RR).
//!
//! All hosts have the same congestion control ([`netlab::Namespace::prepare`]), and the offloads
//! that their links begin with. Behind a device that takes each frame by itself and cannot be told
//! that its checksum is not done, offloads are off.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use netlab::Prefix;

use crate::{
    cpu,
    device::{Device, Kind},
    plan::Version,
    stop::Stop,
    tally::latencies,
};

/// What was moved in bulk.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bulk {
    /// Bits of data a second that came.
    pub bits_per_second: f64,
    /// Processor time of the device's processes for each octet of data that came, in nanoseconds.
    pub cpu_per_octet: f64,
    /// Of the whole machine, hosts included.
    pub cpu_machine_per_octet: f64,
}

/// Questions that were answered.
#[derive(Clone, Debug)]
pub struct Answers {
    /// Answers a second, each asked for when the one before had come.
    pub per_second: f64,
    /// How long each took, in nanoseconds.
    pub trips: Histogram<u64>,
}

/// Gives the hosts at the first two ports addresses, where the device has not.
///
/// # Errors
///
/// A link is gone, or what the system said.
pub fn settle(device: &Device) -> io::Result<()> {
    for (port, end) in (0..).zip(device.ports.iter().take(2)) {
        let mut links = end.namespace.links()?;
        if !device.kind.routes() {
            let prefix = Prefix::new(Version::V4.host(port), SWITCHED_BITS);
            links.add_address(&end.link, prefix.expect("a length of IPv4"))?;
        }
        if matches!(device.kind, Kind::Socat | Kind::TestpmdPacket | Kind::Exec) {
            links.set_offloads(&end.link, false)?;
        }
    }
    Ok(())
}

/// Sends from the first host to the second on so many connections.
///
/// # Errors
///
/// Nothing comes through, or a connection broke.
pub fn stream(
    device: &Device,
    connections: usize,
    duration: Duration,
    stop: &Stop,
) -> io::Result<Bulk> {
    let [from, to] = [0, 1].map(|port: usize| &device.ports[port].namespace);
    let sink = netlab::tcp_sink(to, (Version::V4.host(1), 0).into())?;
    let (cpu, machine) = (device.cpu(), cpu::of_machine()?);
    let sent = netlab::tcp_send(from, sink.address(), connections, duration, &stop.flag())?;
    let octets = sink.octets() as f64;
    let per_octet = |time: Duration| time.as_nanos() as f64 / octets.max(1.0);
    Ok(Bulk {
        bits_per_second: octets * 8.0 / sent.elapsed.as_secs_f64().max(1e-9),
        cpu_per_octet: per_octet(device.cpu().saturating_sub(cpu)),
        cpu_machine_per_octet: per_octet(cpu::of_machine()?.saturating_sub(machine)),
    })
}

/// Asks from the first host, and the second answers: an octet each.
///
/// # Errors
///
/// Nothing comes through, or the connection broke.
pub fn request_response(device: &Device, duration: Duration, stop: &Stop) -> io::Result<Answers> {
    let [from, to] = [0, 1].map(|port: usize| &device.ports[port].namespace);
    let address = SocketAddr::from((Version::V4.host(1), 0));
    let listener = to.run(|| TcpListener::bind(address))??;
    let address = listener.local_addr()?;
    let connect = || TcpStream::connect_timeout(&address, PATIENCE);
    // The kernel holds it until it is accepted.
    let asking = from.run(connect)??;
    let (answering, _) = listener.accept()?;
    for stream in [&asking, &answering] {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
    }
    thread::scope(|scope| {
        scope.spawn(move || answer(answering));
        ask(asking, duration, stop)
    })
}

fn ask(mut stream: TcpStream, duration: Duration, stop: &Stop) -> io::Result<Answers> {
    let (mut trips, begin, mut octet) = (latencies(), Instant::now(), [0]);
    while begin.elapsed() < duration && !stop.is_given() {
        let asked = Instant::now();
        stream.write_all(&octet)?;
        stream.read_exact(&mut octet)?;
        trips.saturating_record(asked.elapsed().as_nanos() as u64);
    }
    let per_second = trips.len() as f64 / begin.elapsed().as_secs_f64().max(1e-9);
    Ok(Answers { per_second, trips })
}

/// Until the other end is closed, or broken: that is told by who asks.
fn answer(mut stream: TcpStream) {
    let mut octet = [0];
    while stream.read_exact(&mut octet).is_ok() && stream.write_all(&octet).is_ok() {}
}

/// Both hosts are on one link where a switch is between them.
const SWITCHED_BITS: u8 = 16;

/// How long a connection may take, and an answer: a SYN that is lost is sent again after 1 and
/// 3 s.
const PATIENCE: Duration = Duration::from_secs(10);

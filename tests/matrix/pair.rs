//! What one host sends to another, and what has to arrive.

use std::{
    io::{BufRead, BufReader},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    process::{Command, Stdio},
    sync::atomic::AtomicBool,
    time::Duration,
};

use netlab::{Namespace, explain, transfer_tcp, transfer_udp};
use nix::sys::socket::{setsockopt, sockopt::UdpGsoSegment};
use serde_json::Value;
use uswitch_tests::running::Running;

use crate::lab::Host;

/// Octets of a transfer by TCP: some of the largest frames.
const TCP_OCTETS: u64 = 256 << 10;
/// Octets of a transfer by UDP: some dozens of datagrams.
const UDP_OCTETS: u64 = 64 << 10;
/// What iperf3 sends.
const IPERF_OCTETS: &str = "2M";
/// After so many seconds it does not arrive any more.
const IPERF_PATIENCE_S: &str = "60";

/// Octets of the headers before a datagram's payload, IPv4's and IPv6's.
const HEADER_OCTETS: [usize; 2] = [20 + 8, 40 + 8];
/// Octets of what goes in one call to be cut into datagrams.
const TRAIN_OCTETS_MAX: usize = 60_000;
/// A datagram that has not come by then was lost.
const LOST_AFTER: Duration = Duration::from_secs(2);
/// A datagram that was lost so often does not pass.
const TRIES_MAX: u64 = 5;

/// What a pair has shown.
#[derive(Clone, Copy, Debug, Default)]
pub struct Shown {
    /// As iperf3 measured it, if it was asked.
    pub megabits_per_second: Option<u64>,
    /// Datagrams that had to be sent again.
    pub repeated: u64,
}

/// All kinds of traffic from one host to another, until the stop is given.
///
/// # Errors
///
/// What did not arrive, as a sentence.
pub fn send(
    from: &Host,
    to: &Host,
    mtu: u32,
    iperf: bool,
    stop: &AtomicBool,
) -> Result<Shown, String> {
    let (near, far) = (&from.namespace, &to.namespace);
    let mut shown = Shown::default();
    for address in [to.v4(), to.v6()] {
        let version = if address.is_ipv4() { 4 } else { 6 };
        let there = SocketAddr::new(address, 0);
        let seed = u64::from(from.number) << 8 | u64::from(to.number);
        let sent = transfer_tcp(near, far, there, TCP_OCTETS, seed, stop);
        let sent = sent.map_err(|error| format!("TCP, IPv{version}: {}", explain(&error)))?;
        if !sent.is_sound() {
            return Err(format!("TCP, IPv{version}: other octets arrive: {sent:?}"));
        }
        let sent = transfer_udp(near, far, there, UDP_OCTETS, seed, stop);
        let sent = sent.map_err(|error| format!("UDP, IPv{version}: {}", explain(&error)))?;
        if !sent.is_sound() {
            return Err(format!("UDP, IPv{version}: other octets arrive: {sent:?}"));
        }
        let datagrams = datagrams(from, to, address, mtu as usize);
        let repeated = datagrams.map_err(|error| format!("UDP, IPv{version}: {error}"))?;
        shown.repeated += sent.repeated + repeated;
    }
    if iperf {
        shown.megabits_per_second = Some(iperf3(from, to).map_err(|e| format!("iperf3: {e}"))?);
    }
    Ok(shown)
}

/// Datagrams of all sizes, those too that are sent in fragments (RFC 791, 3.2; RFC 8200, 4.5), and
/// trains that are cut into datagrams on their way. Returns how many had to be sent again.
fn datagrams(from: &Host, to: &Host, address: IpAddr, mtu: usize) -> Result<u64, String> {
    let any: IpAddr =
        if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let near = bind(&from.namespace, any);
    let far = bind(&to.namespace, address);
    near.connect(far.local_addr().unwrap()).unwrap();
    let whole = mtu - HEADER_OCTETS[usize::from(address.is_ipv6())];
    let mut repeated = 0;
    let mut number = 0;
    for octets in [0, 1, 999, whole - 1, whole, whole + 1, 3 * mtu, 20_000, 65_000] {
        number += 1;
        repeated += arrives(&near, &far, &pattern(number, octets), octets.max(1), repeated)?;
    }
    for size in [100, 1201, whole] {
        number += 1;
        // Linux cuts no more than 64 at a time (linux/udp.h, UDP_MAX_SEGMENTS), the last shorter.
        let octets = (size * 40).min(TRAIN_OCTETS_MAX) - 1;
        setsockopt(&near, UdpGsoSegment, &(size as i32)).unwrap();
        repeated += arrives(&near, &far, &pattern(number, octets), size, repeated)?;
    }
    Ok(repeated)
}

/// Sends octets in one call, which have to arrive in datagrams of this size. So many were sent
/// again before: where they were not lost but late, both come.
fn arrives(
    near: &UdpSocket,
    far: &UdpSocket,
    octets: &[u8],
    size: usize,
    before: u64,
) -> Result<u64, String> {
    let what = format!("{} octets in datagrams of {size}", octets.len());
    let mut room = vec![0; 1 << 16];
    'again: for lost in 0..TRIES_MAX {
        near.send(octets).map_err(|error| format!("{what} do not leave: {error}"))?;
        for datagram in octets.chunks(size).chain(octets.is_empty().then_some(octets)) {
            let Ok(len) = far.recv(&mut room) else { continue 'again };
            // After a loss the rest of those before may still come; they are taken for lost too.
            if room[..len] != *datagram && before + lost == 0 {
                let at = room[..len].iter().zip(datagram).position(|(a, b)| a != b);
                return Err(format!("{what}: other octets arrive: {len}, the first at {at:?}"));
            } else if room[..len] != *datagram {
                continue 'again;
            }
        }
        return Ok(lost);
    }
    Err(format!("{what} do not arrive"))
}

/// Octets that no shift and no other number has.
fn pattern(number: usize, octets: usize) -> Vec<u8> {
    (0..octets).map(|at| (at ^ (at >> 8) ^ (number * 37)) as u8).collect()
}

fn bind(namespace: &Namespace, address: IpAddr) -> UdpSocket {
    let socket = namespace.run(|| UdpSocket::bind((address, 0))).unwrap().unwrap();
    socket.set_read_timeout(Some(LOST_AFTER)).unwrap();
    socket
}

/// TCP by IPv4 as others measure it, in Mbit/s.
fn iperf3(from: &Host, to: &Host) -> Result<u64, String> {
    // Several may ask one host at a time.
    let (address, port) = (to.v4().to_string(), (5200 + u16::from(from.number)).to_string());
    let mut server = Command::new("iperf3");
    server.args(["--server", "--one-off", "--forceflush", "--bind", &address, "--port", &port]);
    server.stdout(Stdio::piped());
    let server = to.namespace.run(|| server.spawn()).unwrap();
    let mut server = Running(server.expect("iperf3 is installed"));
    let mut lines = BufReader::new(server.0.stdout.take().unwrap()).lines();
    if !lines.by_ref().map_while(Result::ok).any(|line| line.contains("Server listening")) {
        return Err("the server does not listen".to_owned());
    }
    let mut client = Command::new("timeout");
    client.args([
        IPERF_PATIENCE_S,
        "iperf3",
        "--client",
        &address,
        "--port",
        &port,
        "--bytes",
        IPERF_OCTETS,
        "--json",
    ]);
    let output = from.namespace.run(|| client.output()).unwrap().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let json: Value = serde_json::from_str(&text).map_err(|error| format!("{error}: {text}"))?;
    match json["end"]["sum_received"]["bits_per_second"].as_f64() {
        Some(bits) if output.status.success() && bits > 0.0 => Ok((bits / 1e6) as u64),
        _ => Err(format!("{}", json["error"])),
    }
}

//! Round trips: one small datagram there and back, again and again.

use std::{
    io,
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::{STOP_INTERVAL, any, is_timeout, stopped};
use crate::{Namespace, error::sentence};

/// Returns every UDP datagram to its sender, in a namespace. With port 0 the kernel chooses a
/// free one: see [`Echo::address`].
///
/// # Errors
///
/// Nobody in the namespace has the address, or the port is taken.
pub fn udp_echo(namespace: &Namespace, address: SocketAddr) -> io::Result<Echo> {
    let socket = bind(namespace, address)?;
    let address = socket.local_addr()?;
    let stop = Arc::new(AtomicBool::new(false));
    let inside = stop.clone();
    let thread = thread::Builder::new()
        .name("udp echo".into())
        .spawn(move || echo_until_stopped(&socket, &inside))?;
    Ok(Echo { address, stop, thread: Some(thread) })
}

/// A running echo. It ends when it is dropped.
#[derive(Debug)]
pub struct Echo {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Echo {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It panicked: that was told when it did.
            let _ = thread.join();
        }
    }
}

/// Sends `count` small datagrams from a namespace to an echo, each after the one before came
/// back, and returns how long each took. A lost one is given up after [`LOST_AFTER`] and is not
/// among them; when stopped, neither are those that were not sent.
///
/// # Errors
///
/// There is no route to the address, or nobody listens there.
pub fn round_trips(
    namespace: &Namespace,
    address: SocketAddr,
    count: usize,
    stop: &AtomicBool,
) -> io::Result<Vec<Duration>> {
    let failed = |error| sentence(format!("no datagrams went to {address} and back"), error);
    let socket = bind(namespace, any(address.ip()))?;
    socket.connect(address).map_err(failed)?;
    let mut trips = Vec::with_capacity(count);
    for number in 0..count as u64 {
        if stopped(stop) {
            break;
        }
        trips.extend(round_trip(&socket, number, stop).map_err(failed)?);
    }
    Ok(trips)
}

/// The value below which this share of the samples lies, 0.5 for the median: the nearest rank.
/// Zero when there are none. Sorts the samples.
pub fn quantile(samples: &mut [Duration], share: f64) -> Duration {
    samples.sort_unstable();
    let rank = (samples.len() as f64 * share).ceil() as usize;
    samples.get(rank.clamp(1, samples.len().max(1)) - 1).copied().unwrap_or_default()
}

/// A socket in a namespace that waits for [`STOP_INTERVAL`] at a time.
pub(super) fn bind(namespace: &Namespace, address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = namespace
        .run(|| UdpSocket::bind(address))?
        .map_err(|error| sentence(format!("nothing listens on UDP {address}"), error))?;
    socket.set_read_timeout(Some(STOP_INTERVAL))?;
    Ok(socket)
}

fn round_trip(socket: &UdpSocket, number: u64, stop: &AtomicBool) -> io::Result<Option<Duration>> {
    let datagram = number.to_be_bytes();
    let mut answer = [0; DATAGRAM_OCTETS];
    let started = Instant::now();
    socket.send(&datagram)?;
    while !stopped(stop) && started.elapsed() < LOST_AFTER {
        match socket.recv(&mut answer) {
            Ok(len) if answer[..len] == datagram => return Ok(Some(started.elapsed())),
            // The late answer to an earlier one.
            Ok(_) => {}
            Err(error) if is_timeout(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

fn echo_until_stopped(socket: &UdpSocket, stop: &AtomicBool) {
    let mut datagram = [0; ECHO_OCTETS_MAX];
    while !stopped(stop) {
        // Whatever fails, a port unreachable or a full queue, is the sender's loss.
        if let Ok((len, sender)) = socket.recv_from(&mut datagram) {
            let _ = socket.send_to(&datagram[..len], sender);
        }
    }
}

/// A datagram that is not back by then is lost.
pub const LOST_AFTER: Duration = Duration::from_secs(1);

/// Octets of a datagram: its number.
const DATAGRAM_OCTETS: usize = 8;

/// Octets of the longest datagram that is returned whole.
const ECHO_OCTETS_MAX: usize = 65_535;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{NEVER, test};

    #[test]
    fn each_datagram_is_back_and_timed() {
        test::root!();
        let (one, other) = test::pair();
        for address in ["10.0.0.2:0", "[fd00::2]:0"] {
            let echo = udp_echo(&other, address.parse().unwrap()).unwrap();
            let mut trips = Vec::new();
            test::eventually("a hundred of a hundred are back", || {
                trips = round_trips(&one, echo.address(), 100, &NEVER).unwrap();
                assert!(trips.len() <= 100, "{trips:?}");
                trips.len() == 100
            });
            assert!(quantile(&mut trips, 0.5) > Duration::ZERO);
            assert!(quantile(&mut trips, 0.5) <= quantile(&mut trips, 0.99));
        }
        let stop = AtomicBool::new(true);
        assert_eq!(round_trips(&one, "10.0.0.2:9".parse().unwrap(), 1, &stop).unwrap(), []);
    }

    #[test]
    fn nobody_listening_is_told() {
        test::root!();
        let (one, _other) = test::pair();
        let error = round_trips(&one, "10.0.0.2:9".parse().unwrap(), 2, &NEVER).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[test]
    fn quantiles_are_samples() {
        let ms = Duration::from_millis;
        let mut samples = [ms(4), ms(1), ms(3), ms(2)];
        assert_eq!(quantile(&mut samples, 0.5), ms(2));
        assert_eq!(quantile(&mut samples, 0.99), ms(4));
        assert_eq!(quantile(&mut samples, 0.0), ms(1));
        assert_eq!(quantile(&mut [], 0.5), Duration::ZERO);
    }
}

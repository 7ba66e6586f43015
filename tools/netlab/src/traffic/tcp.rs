//! TCP in bulk: a sink that counts and a sender that pushes.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    os::fd::AsFd,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::{STOP_INTERVAL, is_timeout, stopped, wait_readable};
use crate::{Namespace, error::sentence};

/// Accepts TCP connections in a namespace, reads all that comes and counts it. With port 0 the
/// kernel chooses a free one: see [`Sink::address`].
///
/// # Errors
///
/// Nobody in the namespace has the address, or the port is taken.
pub fn tcp_sink(namespace: &Namespace, address: SocketAddr) -> io::Result<Sink> {
    let listener = listen(namespace, address)?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let shared = Arc::new(Shared::default());
    let inside = shared.clone();
    let thread = thread::Builder::new()
        .name("tcp sink".into())
        .spawn(move || accept_until_stopped(&listener, &inside))?;
    Ok(Sink { address, shared, thread: Some(thread) })
}

/// A running sink. It ends when it is dropped.
#[derive(Debug)]
pub struct Sink {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    octets: AtomicU64,
    connections: AtomicU64,
    stop: AtomicBool,
}

impl Sink {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Octets received so far, on all connections together.
    pub fn octets(&self) -> u64 {
        self.shared.octets.load(Ordering::Relaxed)
    }

    /// Connections accepted so far.
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::Relaxed)
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It panicked: that was told when it did.
            let _ = thread.join();
        }
    }
}

/// What a sender got rid of, and in how long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Octets that the kernel took.
    pub octets: u64,
    /// From the first octet to the last.
    pub elapsed: Duration,
}

impl Sent {
    /// The mean speed.
    pub fn bits_per_second(&self) -> f64 {
        let seconds = self.elapsed.as_secs_f64();
        if seconds > 0.0 { self.octets as f64 * 8.0 / seconds } else { 0.0 }
    }
}

/// Connects `streams` times from a namespace to a sink and sends as fast as it goes, for a
/// `duration` or until stopped.
///
/// # Errors
///
/// One of the streams did not connect, or broke.
///
/// # Panics
///
/// If `streams` is 0 or above [`STREAMS_MAX`].
pub fn tcp_send(
    namespace: &Namespace,
    address: SocketAddr,
    streams: usize,
    duration: Duration,
    stop: &AtomicBool,
) -> io::Result<Sent> {
    assert!((1..=STREAMS_MAX).contains(&streams), "1 to {STREAMS_MAX} streams");
    let failed = |error: io::Error| sentence(format!("TCP to {address} broke off"), error);
    let mut connections = Vec::new();
    for _ in 0..streams {
        match connect(namespace, address, stop)? {
            Some(stream) => connections.push(stream),
            None => return Ok(Sent::default()),
        }
    }
    let started = Instant::now();
    let deadline = started + duration;
    let octets = thread::scope(|scope| {
        let threads: Vec<_> = connections
            .into_iter()
            .map(|stream| scope.spawn(move || push(stream, deadline, stop)))
            .collect();
        let mut octets = 0;
        for thread in threads {
            octets += thread.join().expect("a sender does not panic")?;
        }
        Ok(octets)
    });
    Ok(Sent { octets: octets.map_err(failed)?, elapsed: started.elapsed() })
}

/// A listener in a namespace.
pub(super) fn listen(namespace: &Namespace, address: SocketAddr) -> io::Result<TcpListener> {
    namespace
        .run(|| TcpListener::bind(address))?
        .map_err(|error| sentence(format!("nothing listens on TCP {address}"), error))
}

/// A connection out of a namespace, which reads and writes for [`STOP_INTERVAL`] at a time.
/// `None`: it was stopped before.
pub(super) fn connect(
    namespace: &Namespace,
    address: SocketAddr,
    stop: &AtomicBool,
) -> io::Result<Option<TcpStream>> {
    let deadline = Instant::now() + CONNECT_TIMEOUT;
    // In slices, for the sake of the stop: each sends a new SYN.
    let connected = namespace.run(|| {
        loop {
            if stopped(stop) {
                return Ok(None);
            }
            match TcpStream::connect_timeout(&address, CONNECT_SLICE) {
                Ok(stream) => return Ok(Some(stream)),
                Err(error) if is_timeout(&error) && Instant::now() < deadline => {}
                Err(error) => return Err(error),
            }
        }
    })?;
    let stream = connected
        .map_err(|error| sentence(format!("there is no TCP connection to {address}"), error))?;
    if let Some(stream) = &stream {
        stream.set_read_timeout(Some(STOP_INTERVAL))?;
        stream.set_write_timeout(Some(STOP_INTERVAL))?;
    }
    Ok(stream)
}

fn push(mut stream: TcpStream, deadline: Instant, stop: &AtomicBool) -> io::Result<u64> {
    let chunk = vec![0x5a; CHUNK_OCTETS];
    let mut octets = 0;
    while !stopped(stop) && Instant::now() < deadline {
        match stream.write(&chunk) {
            Ok(written) => octets += written as u64,
            Err(error) if is_timeout(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(octets)
}

fn accept_until_stopped(listener: &TcpListener, shared: &Shared) {
    // The readers are within the scope: when it ends, all have ended.
    thread::scope(|scope| {
        let mut readers = Vec::new();
        while !stopped(&shared.stop) {
            readers.retain(|reader: &thread::ScopedJoinHandle<'_, ()>| !reader.is_finished());
            match listener.accept() {
                Ok((stream, _)) if readers.len() < STREAMS_MAX => {
                    shared.connections.fetch_add(1, Ordering::Relaxed);
                    readers.push(scope.spawn(|| discard(stream, shared)));
                }
                // One too many is closed at once; a passing failure to accept is its peer's.
                Ok(_) => {}
                Err(_) if wait_readable(listener.as_fd(), STOP_INTERVAL).is_ok() => {}
                Err(_) => return,
            }
        }
    });
}

/// Reads to the end, or until stopped. A broken connection is an end as well.
fn discard(mut stream: TcpStream, shared: &Shared) {
    // Else it would not see that it is stopped.
    if stream.set_read_timeout(Some(STOP_INTERVAL)).is_err() {
        return;
    }
    let mut chunk = vec![0; SINK_OCTETS];
    while !stopped(&shared.stop) {
        match stream.read(&mut chunk) {
            Ok(0) => return,
            Ok(len) => {
                shared.octets.fetch_add(len as u64, Ordering::Relaxed);
            }
            Err(error) if is_timeout(&error) => {}
            Err(_) => return,
        }
    }
}

/// Streams of one sender, and connections of one sink, at the most.
pub const STREAMS_MAX: usize = 64;

/// Octets of one write: large enough that its cost is in the copy, small enough for a cache.
const CHUNK_OCTETS: usize = 128 * 1024;

/// Octets of one read.
const SINK_OCTETS: usize = 256 * 1024;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The longest time until a connecting sender sees that it is stopped.
const CONNECT_SLICE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{NEVER, test};

    #[test]
    fn all_that_was_sent_is_counted() {
        test::root!();
        let (one, other) = test::pair();
        for (address, streams) in [("10.0.0.2:0", 1), ("[fd00::2]:0", 4)] {
            let mut duration = Duration::from_millis(200);
            test::eventually("it takes long enough for a million octets", || {
                let sink = tcp_sink(&other, address.parse().unwrap()).unwrap();
                let sent = tcp_send(&one, sink.address(), streams, duration, &NEVER).unwrap();
                assert!(sent.elapsed >= duration, "{sent:?}");
                assert_eq!(sent.bits_per_second() > 0.0, sent.octets > 0, "{sent:?}");
                // What the kernel took is still on its way.
                test::eventually("all of it arrives", || sink.octets() >= sent.octets);
                assert_eq!((sink.octets(), sink.connections()), (sent.octets, streams as u64));
                duration *= 2;
                sent.octets > 1_000_000
            });
        }
    }

    #[test]
    fn a_stop_ends_what_would_take_an_hour() {
        test::root!();
        let (one, other) = test::pair();
        let sink = tcp_sink(&other, "10.0.0.2:0".parse().unwrap()).unwrap();
        let stop = AtomicBool::new(false);
        let hour = Duration::from_secs(3600);
        let stopped = thread::scope(|scope| {
            let sender = scope.spawn(|| tcp_send(&one, sink.address(), 2, hour, &stop));
            test::eventually("octets arrive", || sink.octets() > 0);
            let stopped = Instant::now();
            stop.store(true, Ordering::Relaxed);
            assert!(sender.join().unwrap().unwrap().octets > 0);
            stopped
        });
        drop(sink);
        assert!(stopped.elapsed() < test::PATIENCE);
    }

    #[test]
    fn a_closed_port_is_told() {
        test::root!();
        let (one, _other) = test::pair();
        let address = "10.0.0.2:9".parse().unwrap();
        let error = tcp_send(&one, address, 1, Duration::ZERO, &NEVER).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(error.to_string(), "there is no TCP connection to 10.0.0.2:9");
    }
}

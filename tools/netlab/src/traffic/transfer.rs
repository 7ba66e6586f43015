//! Transfers that are compared: the same octets have to come out at the other end.
//!
//! The octets are a function of a seed, so that neither end keeps them, and each end takes a hash
//! of what it sent or received. UDP goes in a window that fits into a socket's buffer: a datagram
//! that does not arrive was lost on the way, not for want of room, and is counted and repeated.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use super::{
    any, is_timeout,
    round_trip::bind,
    stopped,
    tcp::{connect, listen},
};
use crate::{
    Namespace,
    error::{refused, sentence},
};

/// Both ends' account of a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transferred {
    /// The hash of what was sent.
    pub sent_hash: u64,
    /// The hash of what was received.
    pub received_hash: u64,
    /// Datagrams that were sent again because an acknowledgement was missing. TCP repeats out of
    /// our sight: none.
    pub repeated: u64,
    /// Datagrams that arrived although one before them was missing, or that had arrived already.
    pub out_of_order: u64,
}

impl Transferred {
    /// What was received is what was sent.
    pub fn is_sound(&self) -> bool {
        self.sent_hash == self.received_hash
    }
}

/// Sends octets by TCP from one namespace to an address in another.
///
/// # Errors
///
/// No connection, or it broke off; the stop was given (`Interrupted`).
pub fn transfer_tcp(
    from: &Namespace,
    to: &Namespace,
    address: SocketAddr,
    octets: u64,
    seed: u64,
    stop: &AtomicBool,
) -> io::Result<Transferred> {
    let listener = listen(to, address)?;
    let address = listener.local_addr()?;
    let failed = |error| sentence(format!("the transfer by TCP to {address} failed"), error);
    let Some(stream) = connect(from, address, stop)? else { return Err(failed(interrupted())) };
    let (received, sent) = thread::scope(|scope| {
        let receiver = scope.spawn(|| receive_stream(&listener, stop));
        let sent = send_stream(stream, octets, seed, stop);
        (receiver.join().expect("a receiver does not panic"), sent)
    });
    let (sent_hash, received_hash) = (sent.map_err(failed)?, received.map_err(failed)?);
    Ok(Transferred { sent_hash, received_hash, repeated: 0, out_of_order: 0 })
}

/// Sends octets by UDP from one namespace to an address in another, in datagrams of
/// [`DATAGRAM_OCTETS`], no more than [`WINDOW`] of them unacknowledged.
///
/// # Errors
///
/// No route, or nothing is acknowledged any more; the stop was given (`Interrupted`).
pub fn transfer_udp(
    from: &Namespace,
    to: &Namespace,
    address: SocketAddr,
    octets: u64,
    seed: u64,
    stop: &AtomicBool,
) -> io::Result<Transferred> {
    let far = bind(to, address)?;
    let address = far.local_addr()?;
    let failed = |error| sentence(format!("the transfer by UDP to {address} failed"), error);
    let near = bind(from, any(address.ip()))?;
    near.connect(address).map_err(failed)?;
    near.set_read_timeout(Some(REPEAT_AFTER))?;
    // The receiver goes on acknowledging until the sender has seen it all.
    let done = AtomicBool::new(false);
    let (received, sent) = thread::scope(|scope| {
        let receiver = scope.spawn(|| receive_datagrams(&far, &done));
        let sent = send_datagrams(&near, octets, seed, stop);
        done.store(true, Ordering::Relaxed);
        (receiver.join().expect("a receiver does not panic"), sent)
    });
    let ((sent_hash, repeated), (received_hash, out_of_order)) =
        (sent.map_err(failed)?, received.map_err(failed)?);
    Ok(Transferred { sent_hash, received_hash, repeated, out_of_order })
}

fn send_stream(
    mut stream: TcpStream,
    octets: u64,
    seed: u64,
    stop: &AtomicBool,
) -> io::Result<u64> {
    let mut hash = Hash::new();
    let mut chunk = vec![0; CHUNK_OCTETS];
    let mut left = octets;
    for number in 0.. {
        let len = left.min(CHUNK_OCTETS as u64) as usize;
        if len == 0 {
            break;
        }
        fill(&mut chunk[..len], seed, number);
        hash.add(&chunk[..len]);
        let mut rest = &chunk[..len];
        while !rest.is_empty() {
            match stream.write(rest) {
                _ if stopped(stop) => return Err(interrupted()),
                Ok(written) => rest = &rest[written..],
                Err(error) if is_timeout(&error) => {}
                Err(error) => return Err(error),
            }
        }
        left -= len as u64;
    }
    Ok(hash.value())
}

fn receive_stream(listener: &TcpListener, stop: &AtomicBool) -> io::Result<u64> {
    // The connection is made already, so this does not wait.
    let (mut stream, _) = listener.accept()?;
    stream.set_read_timeout(Some(super::STOP_INTERVAL))?;
    let mut hash = Hash::new();
    let mut chunk = vec![0; CHUNK_OCTETS];
    loop {
        match stream.read(&mut chunk) {
            _ if stopped(stop) => return Err(interrupted()),
            Ok(0) => return Ok(hash.value()),
            Ok(len) => hash.add(&chunk[..len]),
            Err(error) if is_timeout(&error) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Sends the window, waits for the acknowledgement, goes back to the first one missing when it
/// does not come. Returns the hash and how many were sent again.
fn send_datagrams(
    socket: &UdpSocket,
    octets: u64,
    seed: u64,
    stop: &AtomicBool,
) -> io::Result<(u64, u64)> {
    let mut hash = Hash::new();
    let mut repeated = 0;
    let mut datagram = vec![0; NUMBER_LEN + DATAGRAM_OCTETS];
    let count = octets.div_ceil(DATAGRAM_OCTETS as u64);
    // Below `acknowledged` all have arrived; `next` is sent next; below `fresh` all were sent.
    let (mut acknowledged, mut next, mut fresh) = (0, 0, 0);
    let mut progress = Instant::now();
    while acknowledged < count {
        if stopped(stop) {
            return Err(interrupted());
        }
        while next < count.min(acknowledged + WINDOW) {
            let len = (octets - next * DATAGRAM_OCTETS as u64).min(DATAGRAM_OCTETS as u64) as usize;
            let (number, payload) = datagram[..NUMBER_LEN + len].split_at_mut(NUMBER_LEN);
            number.copy_from_slice(&next.to_be_bytes());
            fill(payload, seed, next);
            if next == fresh {
                hash.add(payload);
                fresh += 1;
            } else {
                repeated += 1;
            }
            socket.send(&datagram[..NUMBER_LEN + len])?;
            next += 1;
        }
        let mut answer = [0; NUMBER_LEN];
        match socket.recv(&mut answer) {
            Ok(_) if u64::from_be_bytes(answer) > acknowledged => {
                acknowledged = u64::from_be_bytes(answer).min(fresh);
                next = next.max(acknowledged);
                progress = Instant::now();
            }
            Ok(_) => {}
            Err(error) if is_timeout(&error) => next = acknowledged,
            Err(error) => return Err(error),
        }
        if progress.elapsed() > SILENCE_MAX {
            let text = format!("datagram {acknowledged} of {count} is not acknowledged");
            return Err(refused(io::ErrorKind::TimedOut, text));
        }
    }
    Ok((hash.value(), repeated))
}

/// Acknowledges each datagram with the number of the next one that is missing. Returns the hash
/// and how many came out of order.
fn receive_datagrams(socket: &UdpSocket, done: &AtomicBool) -> io::Result<(u64, u64)> {
    let mut hash = Hash::new();
    let (mut expected, mut out_of_order) = (0u64, 0);
    let mut datagram = vec![0; NUMBER_LEN + DATAGRAM_OCTETS];
    while !stopped(done) {
        let (len, sender) = match socket.recv_from(&mut datagram) {
            Ok(received) => received,
            Err(error) if is_timeout(&error) => continue,
            Err(error) => return Err(error),
        };
        let Some((number, payload)) = datagram[..len].split_first_chunk() else { continue };
        if u64::from_be_bytes(*number) == expected {
            hash.add(payload);
            expected += 1;
        } else {
            out_of_order += 1;
        }
        socket.send_to(&expected.to_be_bytes(), sender)?;
    }
    Ok((hash.value(), out_of_order))
}

fn interrupted() -> io::Error {
    refused(io::ErrorKind::Interrupted, "it was stopped")
}

/// Fills octets that depend on the seed and on which chunk it is, and on nothing else:
/// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators").
fn fill(octets: &mut [u8], seed: u64, number: u64) {
    let mut state = seed ^ number.wrapping_mul(0xd134_2543_de82_ef95);
    for word in octets.chunks_mut(8) {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        word.copy_from_slice(&mixed.to_be_bytes()[..word.len()]);
    }
}

/// FNV-1a with 64 bits (RFC 9923): the same however the octets are cut into pieces.
struct Hash(u64);

impl Hash {
    fn new() -> Hash {
        Hash(0xcbf2_9ce4_8422_2325)
    }

    fn add(&mut self, octets: &[u8]) {
        for octet in octets {
            self.0 = (self.0 ^ u64::from(*octet)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    fn value(&self) -> u64 {
        self.0
    }
}

/// Octets of a datagram's payload: with its number and all headers it fits into an MTU of 1500.
pub const DATAGRAM_OCTETS: usize = 1400;

/// Datagrams on the way at the most. The kernel accounts some 2.3 KB for each, and a socket's
/// buffer holds 208 KB unless told otherwise.
pub const WINDOW: u64 = 32;

/// Octets of the number in front of a datagram, and of an acknowledgement.
const NUMBER_LEN: usize = 8;

/// Octets of one write.
const CHUNK_OCTETS: usize = 128 * 1024;

/// What is not acknowledged by then is sent again.
const REPEAT_AFTER: Duration = Duration::from_millis(200);

/// A transfer of which nothing was acknowledged for so long has failed.
const SILENCE_MAX: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{NEVER, test};

    #[test]
    fn what_is_sent_is_received() {
        test::root!();
        let (one, other) = test::pair();
        for address in ["10.0.0.2:0", "[fd00::2]:0"] {
            let address = address.parse().unwrap();
            for octets in [0, 1, 1400, 1401, 3_000_000] {
                let tcp = transfer_tcp(&one, &other, address, octets, 7, &NEVER).unwrap();
                assert!(tcp.is_sound(), "{octets} octets by TCP: {tcp:?}");
                let udp = transfer_udp(&one, &other, address, octets, 7, &NEVER).unwrap();
                assert!(udp.is_sound(), "{octets} octets by UDP: {udp:?}");
            }
        }
    }

    #[test]
    fn a_stop_ends_a_transfer() {
        test::root!();
        let (one, other) = test::pair();
        let address = "10.0.0.2:0".parse().unwrap();
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(Duration::from_millis(100));
                stop.store(true, Ordering::Relaxed);
            });
            let started = Instant::now();
            for transfer in [transfer_tcp, transfer_udp] {
                let error = transfer(&one, &other, address, u64::MAX / 2, 7, &stop).unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::Interrupted, "{}", crate::explain(&error));
            }
            assert!(started.elapsed() < test::PATIENCE);
        });
    }

    /// Hands datagrams on between two sockets until `done`, all but each `lose`th.
    fn relay(near: &UdpSocket, far: &UdpSocket, lose: u64, done: &AtomicBool) {
        let mut datagram = [0; NUMBER_LEN + DATAGRAM_OCTETS];
        let mut count = 0;
        let mut sender = None;
        while !stopped(done) {
            if let Ok((len, address)) = near.recv_from(&mut datagram) {
                sender = Some(address);
                count += 1;
                if count % lose != 0 {
                    far.send(&datagram[..len]).unwrap();
                }
            }
            while let (Ok(len), Some(sender)) = (far.recv(&mut datagram), sender) {
                near.send_to(&datagram[..len], sender).unwrap();
            }
        }
    }

    #[test]
    fn a_lost_datagram_is_counted_and_repeated() {
        let [near, relay_near, relay_far, far] =
            [(); 4].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
        near.connect(relay_near.local_addr().unwrap()).unwrap();
        relay_far.connect(far.local_addr().unwrap()).unwrap();
        near.set_read_timeout(Some(REPEAT_AFTER)).unwrap();
        far.set_read_timeout(Some(super::super::STOP_INTERVAL)).unwrap();
        relay_near.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        relay_far.set_nonblocking(true).unwrap();
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| relay(&relay_near, &relay_far, 50, &done));
            let receiver = scope.spawn(|| receive_datagrams(&far, &done));
            let sent = send_datagrams(&near, 100 * DATAGRAM_OCTETS as u64, 7, &NEVER);
            done.store(true, Ordering::Relaxed);
            let (received_hash, out_of_order) = receiver.join().unwrap().unwrap();
            let (sent_hash, repeated) = sent.unwrap();
            assert_eq!(sent_hash, received_hash);
            assert!(repeated >= 2, "two of the first hundred are lost: {repeated}");
            assert!(out_of_order >= 1, "{out_of_order}");
        });
    }

    #[test]
    fn the_hash_does_not_see_the_pieces() {
        let mut octets = [0; 100];
        fill(&mut octets, 1, 2);
        let mut whole = Hash::new();
        whole.add(&octets);
        let mut pieces = Hash::new();
        octets.chunks(7).for_each(|piece| pieces.add(piece));
        assert_eq!(whole.value(), pieces.value());
        // FNV-1a of "a", as published with the algorithm.
        let mut letter = Hash::new();
        letter.add(b"a");
        assert_eq!(letter.value(), 0xaf63_dc4c_8601_ec8c);
    }

    #[test]
    fn chunks_differ_by_seed_and_number() {
        let chunk = |seed, number| {
            let mut octets = [0; 13];
            fill(&mut octets, seed, number);
            octets
        };
        assert_eq!(chunk(1, 1), chunk(1, 1));
        assert_ne!(chunk(1, 1), chunk(2, 1));
        assert_ne!(chunk(1, 1), chunk(1, 2));
    }
}

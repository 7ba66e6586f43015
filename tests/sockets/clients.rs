//! Clients on a switch: who sends, who does not read, who lies and who dies.

use std::{
    io::ErrorKind,
    net::{SocketAddr, UdpSocket},
    os::{fd::OwnedFd, unix::net::UnixDatagram},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Instant,
};

use tempfile::TempDir;
use uswitch::{
    port::{
        PortId,
        any::AnyPort,
        socket::{DgramConfig, Socket, UdpConfig},
        stream::{Listener, StreamConfig},
    },
    stats::{Counter, PortStats},
    switch::{self, Event, Handle, PortConfig, Report, SwitchConfig},
};
use uswitch_tests::exchange::{BROADCAST, PATIENCE, frame, station};

use crate::station::Station;

/// A switch with a socket on which it listens.
pub struct Lab {
    /// The switch.
    pub handle: Handle<AnyPort>,
    /// Its socket.
    pub listener: Listener,
    /// Where that is.
    pub path: PathBuf,
    /// And where others may be.
    pub folder: TempDir,
}

impl Lab {
    /// With so many workers.
    pub fn new(workers: usize) -> Lab {
        let config = SwitchConfig { workers, ..SwitchConfig::default() };
        let handle = switch::start(&config).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("switch");
        let listener =
            Listener::bind(&StreamConfig { path: path.clone(), connect: false, mtu: 1500 });
        Lab { handle, listener: listener.unwrap(), path, folder }
    }

    /// One more client, and its port.
    pub fn client(&mut self) -> (Station, PortId) {
        let station = Station::new(&self.path);
        let stream = self.listener.accept().unwrap().expect("a client is there");
        let port = self.handle.add(PortConfig::named("client"), AnyPort::Stream(stream)).unwrap();
        (station, port)
    }

    fn clients<const N: usize>(&mut self) -> [(Station, PortId); N] {
        std::array::from_fn(|_| self.client())
    }

    /// A counter of a port.
    pub fn count(&self, port: PortId, counter: Counter) -> u64 {
        let ports = self.handle.report().ports;
        ports.iter().find(|report| report.port == port).unwrap().stats.get(counter)
    }

    /// Waits for the one event that there is to be: this port left. Returns why.
    pub fn detached(&mut self, left: PortId) -> ErrorKind {
        let mut events = Vec::new();
        eventually("a port leaves", || {
            events.extend(self.handle.tend());
            !events.is_empty()
        });
        match events.as_slice() {
            [Event::Detached { port, error, .. }] if *port == left => {
                error.as_ref().map_or(ErrorKind::Other, std::io::Error::kind)
            }
            other => panic!("this port left, but {other:?}"),
        }
    }

    /// Stops, and checks the accounts.
    pub fn finish(mut self) {
        assert!(self.handle.tend().is_empty(), "nothing else happened");
        check_accounts(&self.handle.stop());
    }
}

/// The two equations in the head comment of stats.rs.
fn check_accounts(report: &Report) {
    let mut total = PortStats::default();
    for port in &report.ports {
        total.merge(&port.stats);
    }
    let count = |counter| total.get(counter);
    let decided = count(Counter::RxForwarded) + count(Counter::RxFlooded);
    assert_eq!(count(Counter::RxFrames), decided + total.rx_drops(), "on the way in: {total:?}");
    let due = count(Counter::RxForwarded) + count(Counter::RxCopies);
    assert_eq!(due, count(Counter::TxFrames) + total.tx_drops(), "on the way out: {total:?}");
}

/// Waits for a condition.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < PATIENCE, "in time: {what}");
        thread::yield_now();
    }
}

/// A frame with a number to know it by, padded to this length.
pub fn numbered(to: [u8; 6], from: [u8; 6], number: u32, len: usize) -> Vec<u8> {
    let mut frame = frame(to, from, &number.to_be_bytes());
    frame.resize(len, number as u8);
    frame
}

#[test]
fn clients_hear_each_other_whole_and_in_order() {
    for workers in [1, 2] {
        let mut lab = Lab::new(workers);
        let [(mut a, _), (mut b, _), (mut c, _)] = lab.clients();
        let hello = frame(BROADCAST, station(1), b"hello");
        a.put(&hello);
        assert_eq!([b.take(), c.take()], [hello.clone(), hello]);
        let answer = frame(station(1), station(2), b"answer");
        b.put(&answer);
        assert_eq!(a.take(), answer);
        for window in 0..50 {
            let lens = (0..40).map(|i| 18 + (window * 40 + i) * 7 % 1497);
            let frames: Vec<_> = lens
                .enumerate()
                .map(|(i, len)| numbered(station(2), station(1), (window * 40 + i) as u32, len))
                .collect();
            frames.iter().for_each(|frame| a.put(frame));
            frames.iter().for_each(|frame| assert_eq!(b.take(), *frame));
        }
        // What was not for c has not come before this.
        let last = frame(BROADCAST, station(1), b"last");
        a.put(&last);
        assert_eq!(c.take(), last);
        lab.finish();
    }
}

#[test]
fn client_that_stops_reading_loses_its_own_frames_and_finds_its_stream_in_step() {
    for workers in [1, 2] {
        let mut lab = Lab::new(workers);
        let [(mut a, _), (mut deaf, deaf_port), (mut c, c_port)] = lab.clients();
        let mut number = 0;
        while lab.count(deaf_port, Counter::TxFull) < 100 {
            let frames: Vec<_> = (0..32)
                .map(|i| numbered(BROADCAST, station(1), number + i, 1514 - i as usize))
                .collect();
            frames.iter().for_each(|frame| a.put(frame));
            frames.iter().for_each(|frame| assert!(c.take() == *frame, "c loses nothing"));
            number += 32;
        }
        eventually("all is counted", || {
            let of_deaf = [Counter::TxFrames, Counter::TxFull].map(|c| lab.count(deaf_port, c));
            let of_c = lab.count(c_port, Counter::TxFrames);
            [of_deaf[0] + of_deaf[1], of_c] == [u64::from(number); 2]
        });
        // It reads again, the last frame in its whole length, though nobody says anything.
        let mut before = None;
        for _ in 0..lab.count(deaf_port, Counter::TxFrames) {
            let frame = deaf.take();
            let number = u32::from_be_bytes(*frame[14..].first_chunk().unwrap());
            assert!(before < Some(number));
            let len = 1514 - (number % 32) as usize;
            assert!(frame == numbered(BROADCAST, station(1), number, len));
            before = Some(number);
        }
        let last = frame(BROADCAST, station(1), b"last");
        a.put(&last);
        assert_eq!([deaf.take(), c.take()], [last.clone(), last]);
        lab.finish();
    }
}

#[test]
fn client_that_lies_about_a_length_is_detached_alone() {
    for length in [0, u32::MAX] {
        let mut lab = Lab::new(2);
        let [(mut a, _), (mut b, _), (mut liar, port)] = lab.clients();
        std::io::Write::write_all(&mut liar.0, &length.to_be_bytes()).unwrap();
        assert_eq!(lab.detached(port), ErrorKind::InvalidData);
        liar.end();
        let hello = frame(BROADCAST, station(1), b"hello");
        a.put(&hello);
        assert_eq!(b.take(), hello);
        lab.finish();
    }
}

#[test]
fn client_that_is_killed_within_a_frame_is_detached_alone() {
    let mut lab = Lab::new(2);
    let [(mut a, _), (mut b, _), (mut victim, port)] = lab.clients();
    let last = frame(BROADCAST, station(3), b"last words");
    victim.put(&last);
    std::io::Write::write_all(&mut victim.0, &[0, 0, 0, 60, 1, 2]).unwrap();
    assert_eq!([a.take(), b.take()], [last.clone(), last]);
    let mut process = Command::new("sleep")
        .arg("1000")
        .stdin(Stdio::from(OwnedFd::from(victim.0)))
        .spawn()
        .unwrap();
    process.kill().unwrap();
    process.wait().unwrap();
    assert_eq!(lab.detached(port), ErrorKind::UnexpectedEof);
    let hello = frame(BROADCAST, station(1), b"hello");
    a.put(&hello);
    assert_eq!(b.take(), hello);
    lab.finish();
}

/// A datagram port of the switch, and the socket at its other end.
fn dgram(folder: &Path, name: &str) -> (Socket, UnixDatagram) {
    let local = folder.join(format!("{name}-switch"));
    let remote = folder.join(name);
    let port =
        Socket::dgram(&DgramConfig { local: local.clone(), remote: remote.clone(), mtu: 1500 });
    let socket = UnixDatagram::bind(&remote).unwrap();
    socket.connect(&local).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    (port.unwrap(), socket)
}

/// The same by UDP.
fn udp() -> (Socket, UdpSocket) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let remote = socket.local_addr().unwrap();
    // A number that nobody has there, nobody has at another address of the loopback.
    let local = SocketAddr::new([127, 0, 0, 2].into(), remote.port());
    let port = Socket::udp(&UdpConfig { local, remote, netns: None, mtu: 1500 });
    socket.connect(local).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    (port.unwrap(), socket)
}

#[test]
fn stream_unix_datagrams_and_udp_hear_each_other() {
    let mut lab = Lab::new(2);
    let (mut stream, _) = lab.client();
    let (port, dgram) = dgram(lab.folder.path(), "machine");
    lab.handle.add(PortConfig::named("dgram"), AnyPort::Socket(port)).unwrap();
    let (port, udp) = udp();
    lab.handle.add(PortConfig::named("udp"), AnyPort::Socket(port)).unwrap();
    let mut octets = [0; 2000];
    let mut take_dgram = || {
        let len = dgram.recv(&mut octets).expect("a frame comes in time");
        octets[..len].to_vec()
    };
    let mut octets = [0; 2000];
    let mut take_udp = || {
        let len = udp.recv(&mut octets).expect("a frame comes in time");
        octets[..len].to_vec()
    };
    let from_stream = numbered(BROADCAST, station(1), 1, 1514);
    stream.put(&from_stream);
    assert_eq!([take_dgram(), take_udp()], [from_stream.clone(), from_stream]);
    let from_dgram = numbered(BROADCAST, station(2), 2, 1514);
    dgram.send(&from_dgram).unwrap();
    assert_eq!([stream.take(), take_udp()], [from_dgram.clone(), from_dgram]);
    let from_udp = numbered(station(1), station(3), 3, 60);
    udp.send(&from_udp).unwrap();
    assert_eq!(stream.take(), from_udp);
    let to_udp = numbered(station(3), station(2), 4, 1514);
    dgram.send(&to_udp).unwrap();
    assert_eq!(take_udp(), to_udp);
    lab.finish();
}

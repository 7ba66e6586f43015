//! Replay: every frame of our corpus, and of the captures that somebody names, goes through a
//! real switch, and comes out at every port where it should, octet by octet and in order, or is
//! counted as what it is.
//!
//! `USWITCH_FRAMES` names a folder of captures; without it there is our corpus alone. What is to
//! come out is worked out by [`Model`], which reads octets and knows nothing of the bridge. The
//! captures go through as by a hub and as between stations that move, over cables in memory and
//! over sockets.

use std::{
    collections::HashMap,
    env, io,
    os::fd::OwnedFd,
    path::Path,
    time::{Duration, Instant},
};

use nix::{
    sys::socket::{AddressFamily, SockFlag, SockType, setsockopt, socketpair, sockopt},
    unistd::{read, write},
};
use uswitch::{
    bridge::GroupForward,
    fdb::{FdbConfig, Seed},
    frame::{HEADER_LEN, Header, Mac, WIRE_MAX},
    offload::VNET_HEADER_LEN,
    port::{
        Port,
        datagram::Datagram,
        memory::{Memory, cable},
    },
    stats::{Counter, PortStats},
    switch::{self, Handle, PortConfig, SwitchConfig},
};
use uswitch_tests::captures::{Capture, FRAMES_VARIABLE, captures, corpus};

/// The MTU of each port: one is an ordinary one, so that large frames end there and nowhere else.
const MTUS: [u32; 4] = [65_535, 65_535, 1500, 65_535];
/// Frames, and octets behind the first, that are on their way at a time: fewer than a socket holds.
const BURST_FRAMES: usize = 32;
const BURST_OCTETS: usize = 32 * 1024;
/// After so many frames each station has moved to the next port.
const MOVE_AFTER: usize = 211;
/// How long a frame may take, on a machine with much else to do.
const PATIENCE: Duration = Duration::from_secs(60);

/// How a capture is played.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Manner {
    /// From one port, nothing is learned, groups pass: all that is sound comes out everywhere.
    Hub,
    /// From the port where the source is just then, by the standard.
    Stations,
}

#[test]
fn every_frame_comes_out_of_a_hub_in_memory_as_it_went_in() {
    replay_all(Manner::Hub, memory, 1);
}

#[test]
fn every_frame_comes_out_of_a_hub_of_sockets_as_it_went_in() {
    replay_all(Manner::Hub, socket, 2);
}

#[test]
fn every_frame_reaches_its_station_in_memory_as_it_was_sent() {
    replay_all(Manner::Stations, memory, 1);
}

#[test]
fn every_frame_reaches_its_station_over_sockets_as_it_was_sent() {
    replay_all(Manner::Stations, socket, 2);
}

#[test]
fn addresses_are_those_that_etherparse_reads() {
    let mut count = 0;
    for capture in all() {
        for frame in capture.frames.iter().filter(|frame| frame.len() >= HEADER_LEN) {
            let ours = Header::parse(frame).expect("14 octets are a header");
            let theirs = etherparse::Ethernet2HeaderSlice::from_slice(frame).expect("14 octets");
            assert_eq!(ours.destination, Mac::new(theirs.destination()), "{}", capture.name);
            assert_eq!(ours.source, Mac::new(theirs.source()), "{}", capture.name);
            count += 1;
        }
    }
    assert!(count > 30, "the corpus is there");
}

#[test]
fn corpus_has_what_the_rules_tell_apart() {
    let mut model = Model::new(Manner::Stations);
    for (number, frame) in all_frames(&corpus_only()).iter().enumerate() {
        model.expect(Manner::Stations.ingress(number, frame), frame);
    }
    let seen = |counter| model.ports.iter().any(|port| port.get(counter) > 0);
    for counter in [
        Counter::RxRunt,
        Counter::RxGroupSource,
        Counter::RxNullSource,
        Counter::FilterReserved,
        Counter::FilterSamePort,
        Counter::TxOversize,
    ] {
        assert!(seen(counter), "no frame of the corpus is for {}", counter.name());
    }
}

fn corpus_only() -> Vec<Capture> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let corpus = corpus(&folder).expect("the corpus can be read");
    assert!(corpus.len() >= 40, "the corpus is there");
    corpus
}

/// The corpus, and the captures of the folder that `USWITCH_FRAMES` names.
fn all() -> Vec<Capture> {
    let mut all = corpus_only();
    match env::var_os(FRAMES_VARIABLE) {
        Some(folder) => {
            // Cargo runs this in the package's folder, and the name may be relative to the tree.
            let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
            let captures = captures(&root.join(folder)).expect("the captures can be read");
            assert!(!captures.is_empty(), "{FRAMES_VARIABLE} names a folder without captures");
            all.extend(captures);
        }
        None => eprintln!("REDUCED: {FRAMES_VARIABLE} names no captures, only our corpus is used"),
    }
    all
}

fn all_frames(captures: &[Capture]) -> Vec<Vec<u8>> {
    captures.iter().flat_map(|capture| capture.frames.iter().cloned()).collect()
}

/// Plays our corpus as one capture, then each other, each through a switch of its own. One worker
/// serves cables in memory, where it cannot sleep and would take the processor from another.
fn replay_all<P: Port, H: Host>(manner: Manner, lay: impl Fn(u32) -> (H, P), workers: usize) {
    let (own, others): (Vec<_>, Vec<_>) =
        all().into_iter().partition(|capture| capture.name.ends_with(".hex"));
    let start = || start(manner, &lay, workers);
    let mut count = replay("the corpus", &all_frames(&own), manner, start());
    for capture in &others {
        if !capture.is_ethernet {
            eprintln!("{}: not Ethernet, replayed as octets all the same", capture.name);
        }
        count += replay(&capture.name, &capture.frames, manner, start());
    }
    eprintln!("{manner:?}: {count} frames of {} captures", others.len() + 1);
}

/// Plays one capture and says how many frames it was.
fn replay<P: Port, H: Host>(
    name: &str,
    frames: &[Vec<u8>],
    manner: Manner,
    (mut handle, mut hosts): (Handle<P>, Vec<H>),
) -> usize {
    let mut model = Model::new(manner);
    let mut sent = 0;
    while sent < frames.len() {
        let ingress = manner.ingress(sent, &frames[sent]);
        let burst = burst(&frames[sent..], |at| manner.ingress(sent + at, &frames[sent + at]));
        let mut wanted: [Vec<&[u8]>; MTUS.len()] = Default::default();
        for frame in &frames[sent..sent + burst] {
            assert!(hosts[ingress].put(frame), "{name}: a burst finds room");
            for egress in model.expect(ingress, frame) {
                wanted[egress].push(frame);
            }
        }
        for (egress, wanted) in wanted.iter().enumerate() {
            for (number, frame) in wanted.iter().enumerate() {
                let got = patiently(|| hosts[egress].take());
                assert!(
                    got.as_deref() == Some(*frame),
                    "{name}, {manner:?}: in at port {ingress} from frame {sent} on, out at port \
                     {egress} as number {number}: is to come\n{frame:02x?}\ncomes\n{got:02x?}"
                );
            }
        }
        sent += burst;
        // The next burst may come from elsewhere: not before all of this one was dealt with.
        patiently(|| (received(&handle) == sent as u64).then_some(())).expect("all are counted");
    }
    handle.tend();
    let stats: Vec<_> = handle.stop().ports.iter().map(|port| port.stats).collect();
    for (index, host) in hosts.iter_mut().enumerate() {
        assert_eq!(host.take(), None, "{name}, {manner:?}: nothing more comes at port {index}");
    }
    model.assert_counted(name, &stats);
    sent
}

impl Manner {
    /// The port where a frame comes in.
    fn ingress(self, number: usize, frame: &[u8]) -> usize {
        match self {
            Manner::Hub => 0,
            Manner::Stations => {
                let source = frame.get(6..12).unwrap_or_default();
                let sum: usize = source.iter().map(|octet| usize::from(*octet)).sum();
                (sum + number / MOVE_AFTER) % MTUS.len()
            }
        }
    }
}

/// How many of the first frames have the same ingress and can be on their way together.
fn burst(frames: &[Vec<u8>], ingress: impl Fn(usize) -> usize) -> usize {
    let mut octets = 0;
    let together = frames.iter().enumerate().take(BURST_FRAMES).take_while(|(at, frame)| {
        octets += frame.len();
        *at == 0 || octets <= BURST_OCTETS && ingress(*at) == ingress(0)
    });
    together.count()
}

/// A switch with so many workers, and the hosts at its ports.
fn start<P: Port, H: Host>(
    manner: Manner,
    lay: &impl Fn(u32) -> (H, P),
    workers: usize,
) -> (Handle<P>, Vec<H>) {
    let (quota, group_forward) = match manner {
        Manner::Hub => (0, GroupForward::Wire),
        Manner::Stations => (1 << 16, GroupForward::Standard),
    };
    let fdb = FdbConfig { quota, seed: Seed::from_number(1), ..FdbConfig::default() };
    let config = SwitchConfig { workers, fdb, group_forward, ..SwitchConfig::default() };
    let mut handle = switch::start(&config).expect("a switch starts");
    let mut hosts = Vec::new();
    for (index, mtu) in MTUS.iter().enumerate() {
        let (host, plug) = lay(*mtu);
        handle.add(PortConfig::named(index.to_string()), plug).expect("a port is added");
        hosts.push(host);
    }
    (handle, hosts)
}

/// Frames that the switch has received so far, and has dealt with.
fn received<P: Port>(handle: &Handle<P>) -> u64 {
    handle.report().ports.iter().map(|port| port.stats.get(Counter::RxFrames)).sum()
}

/// Asks until there is something, or it has taken too long.
fn patiently<T>(mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let begin = Instant::now();
    loop {
        let answer = ask();
        if answer.is_some() || begin.elapsed() > PATIENCE {
            return answer;
        }
        // A worker that cannot sleep must not be kept from its processor.
        std::thread::sleep(Duration::from_micros(20));
    }
}

/// What is to become of each frame, worked out from its octets alone.
struct Model {
    manner: Manner,
    stations: HashMap<[u8; 6], usize>,
    ports: [PortStats; MTUS.len()],
}

impl Model {
    fn new(manner: Manner) -> Model {
        Model { manner, stations: HashMap::new(), ports: Default::default() }
    }

    /// The ports where a frame is to come out.
    fn expect(&mut self, ingress: usize, frame: &[u8]) -> Vec<usize> {
        let egress = match self.judge(ingress, frame) {
            Ok(egress) => egress,
            Err(reason) => {
                self.ports[ingress].add(reason, 1);
                return Vec::new();
            }
        };
        let (fitting, large): (Vec<_>, Vec<_>) =
            egress.into_iter().partition(|port| frame.len() <= largest(frame, MTUS[*port]));
        large.iter().for_each(|port| self.ports[*port].add(Counter::TxOversize, 1));
        for port in &fitting {
            self.ports[*port].add(Counter::TxFrames, 1);
            self.ports[*port].add(Counter::TxOctets, frame.len() as u64);
        }
        fitting
    }

    /// Where a frame is to go, were it not for its size; or as what it is dropped.
    fn judge(&mut self, ingress: usize, frame: &[u8]) -> Result<Vec<usize>, Counter> {
        self.ports[ingress].add(Counter::RxFrames, 1);
        self.ports[ingress].add(Counter::RxOctets, frame.len() as u64);
        if frame.len() < 14 {
            return Err(Counter::RxRunt);
        }
        let to: [u8; 6] = frame[..6].try_into().expect("six octets");
        let from: [u8; 6] = frame[6..12].try_into().expect("six octets");
        if from[0] & 1 == 1 {
            return Err(Counter::RxGroupSource);
        }
        if from == [0; 6] {
            return Err(Counter::RxNullSource);
        }
        let learned = match self.manner {
            Manner::Hub => Counter::LearnQuota,
            Manner::Stations => match self.stations.insert(from, ingress) {
                None => Counter::LearnNew,
                Some(before) if before != ingress => Counter::LearnMoved,
                Some(_) => Counter::RxFrames,
            },
        };
        if learned != Counter::RxFrames {
            self.ports[ingress].add(learned, 1);
        }
        let reserved = to[..5] == [0x01, 0x80, 0xc2, 0x00, 0x00] && to[5] < 0x10;
        if reserved && self.manner == Manner::Stations {
            return Err(Counter::FilterReserved);
        }
        let individual = to[0] & 1 == 0;
        match self.stations.get(&to).filter(|_| individual) {
            Some(port) if *port == ingress => Err(Counter::FilterSamePort),
            Some(port) => {
                self.ports[ingress].add(Counter::RxForwarded, 1);
                Ok(vec![*port])
            }
            None => {
                self.ports[ingress].add(Counter::RxFlooded, 1);
                self.ports[ingress].add(Counter::RxCopies, MTUS.len() as u64 - 1);
                Ok((0..MTUS.len()).filter(|port| *port != ingress).collect())
            }
        }
    }

    /// Every counter of every port is what it should be, those included that should be 0.
    fn assert_counted(&self, name: &str, stats: &[PortStats]) {
        assert_eq!(stats.len(), MTUS.len(), "{name}: no port was lost");
        for (index, (wanted, counted)) in self.ports.iter().zip(stats).enumerate() {
            for ((counter, wanted), (_, counted)) in wanted.iter().zip(counted.iter()) {
                let (manner, counter) = (self.manner, counter.name());
                assert_eq!(counted, wanted, "{name}, {manner:?}: {counter} of port {index}");
            }
        }
    }
}

/// The octets that this frame may have at a port with this MTU: one or two tags come on top.
fn largest(frame: &[u8], mtu: u32) -> usize {
    let is_tag = |at: usize| matches!(frame.get(at..at + 2), Some([0x81, 0x00] | [0x88, 0xa8]));
    let tags = match (is_tag(12), is_tag(16)) {
        (true, true) => 8,
        (true, false) => 4,
        (false, _) => 0,
    };
    14 + tags + mtu as usize
}

/// What stands at the other end of a port.
trait Host {
    /// Sends a frame without offloads. `false`: there was no room.
    fn put(&mut self, frame: &[u8]) -> bool;
    /// Receives a frame, if there is one.
    fn take(&mut self) -> Option<Vec<u8>>;
}

/// A cable in memory.
fn memory(mtu: u32) -> (Memory, Memory) {
    cable(mtu, 2 * BURST_FRAMES)
}

impl Host for Memory {
    fn put(&mut self, frame: &[u8]) -> bool {
        Memory::put(self, frame)
    }

    fn take(&mut self) -> Option<Vec<u8>> {
        Memory::take(self)
    }
}

/// A pair of sockets, on which the code runs that runs on a TAP.
fn socket(mtu: u32) -> (Socket, Datagram) {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let (ours, theirs) =
        socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags).expect("two sockets");
    for end in [&ours, &theirs] {
        setsockopt(end, sockopt::SndBuf, &(1 << 20)).expect("a larger buffer");
    }
    (Socket { fd: ours, room: vec![0; WIRE_MAX] }, Datagram::new(theirs, mtu))
}

struct Socket {
    fd: OwnedFd,
    room: Vec<u8>,
}

impl Host for Socket {
    fn put(&mut self, frame: &[u8]) -> bool {
        let wire = [&[0; VNET_HEADER_LEN][..], frame].concat();
        write(&self.fd, &wire).map_err(io::Error::from).is_ok_and(|len| len == wire.len())
    }

    fn take(&mut self) -> Option<Vec<u8>> {
        let len = read(&self.fd, &mut self.room).ok().filter(|len| *len > 0)?;
        assert!(len >= VNET_HEADER_LEN, "a virtio-net header is in front");
        Some(self.room[VNET_HEADER_LEN..len].to_vec())
    }
}

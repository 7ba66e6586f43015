//! Captures: frames on their way, written down for somebody who wants to see them.
//!
//! ```text
//!   worker ── recorder ── ring ──┐
//!   worker ── recorder ── ring ──┴── Capture::drain, on a thread of whoever asked: pcapng
//! ```
//!
//! While there is none, it costs the way of a frame nothing but one look a turn, at one word
//! (`recorder.rs`). While there is one, a worker copies what is wanted into a ring of its own
//! (`ring.rs`), which is there before the first frame is. It never waits for who reads it: what
//! finds no room there is lost for the capture, and counted. The switch does not notice.
//!
//! What is seen: frames as they came in by a port, before anything is done to them (inbound), and
//! frames as they were given to a port (outbound); a flooded frame is so seen once at each. All
//! frames of a batch have the same time, when it came: nanoseconds of the clock that does not
//! jump, from the wall clock's time at the start of the capture. A frame that was dropped has the
//! reason as a comment: the counter's name and meaning. (The block's `epb_verdict` is for the
//! verdicts of hardware, eBPF and XDP, and would say something that is not so.) A port tells only
//! how many frames of a call it did not take: if not all, the comment says how many of how many.
//!
//! A frame that is still to be cut is seen whole, as it goes from port to port, with a comment; its
//! checksum, and that of others whose sender left it to be done, is completed, unless the frame was
//! cut short. Frames that two workers sent to one port at the same moment may stand in either
//! order; those that came in by one queue are in theirs.

pub mod filter;
pub(crate) mod recorder;
mod ring;
mod writing;

use std::{
    sync::Arc,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use crossbeam_channel::{Receiver, Sender, bounded};

pub use self::recorder::Recorder;
use self::{filter::Filter, ring::Reader, writing::Writing};
use crate::port::PORTS_MAX;

/// Captures of one switch at a time.
pub const CAPTURES_MAX: usize = 4;
/// Octets of a frame that are kept, if nobody says: all of any frame.
pub const SNAPLEN_MAX: u32 = 262_144;
/// Ports of one capture, those included that have left; a name that comes back is the same.
pub const INTERFACES_MAX: usize = PORTS_MAX;
/// Names of ports that a capture asks for.
pub const NAMES_MAX: usize = 64;
/// Octets of the ring between a worker and a capture, if there are few workers.
const RING_OCTETS: usize = 4 << 20;
/// Octets of all rings of a capture.
const RINGS_OCTETS_MAX: usize = 64 << 20;

/// What somebody wants to see.
#[derive(Clone, Debug, Default)]
pub struct Wants {
    /// The ports of these names, and the clients of these plugs (`a.1` of `a`); none: all.
    pub ports: Vec<String>,
    /// Only frames that were dropped.
    pub drops: bool,
    /// Only frames that this takes.
    pub filter: Option<Arc<Filter>>,
    /// Octets of each frame.
    pub snaplen: u32,
}

impl Wants {
    /// Whether the port of this name is one of those that are wanted.
    pub fn port(&self, name: &str) -> bool {
        let is_client = |rest: &str| {
            let number = rest.strip_prefix('.').filter(|number| !number.is_empty());
            number.is_some_and(|number| number.bytes().all(|octet| octet.is_ascii_digit()))
        };
        let wanted = |port: &String| {
            name.strip_prefix(port.as_str()).is_some_and(|rest| rest.is_empty() || is_client(rest))
        };
        self.ports.is_empty() || self.ports.iter().any(wanted)
    }
}

/// The reading end of a capture. Whoever has it calls [`Capture::drain`] often; when it is dropped,
/// what is recorded is lost until [`crate::switch::Handle::end_capture`] is called.
pub struct Capture {
    number: u64,
    readers: Vec<Reader>,
    /// Ports that the recorders know by now: each the next interface.
    news: Receiver<String>,
    writing: Writing,
    captured: u64,
    /// Whether somebody may still record.
    open: bool,
}

/// What a capture has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Frames written.
    pub captured: u64,
    /// Frames for which the ring had no room.
    pub lost: u64,
}

/// The control plane's end of a capture.
pub struct Recording {
    pub(crate) number: u64,
    wants: Wants,
    /// Names of ports; the place of each is the number of its interface.
    names: Vec<String>,
    news: Sender<String>,
}

/// Makes a capture for so many workers: both ends, and a recorder for each worker.
pub fn begin(number: u64, wants: Wants, workers: usize) -> (Recording, Capture, Vec<Recorder>) {
    let (origin, wall) = (Instant::now(), SystemTime::now());
    let wall = wall.duration_since(UNIX_EPOCH).unwrap_or_default();
    // A power of two that holds the largest frame however many workers there are.
    let share = (RINGS_OCTETS_MAX / workers.next_power_of_two()).min(RING_OCTETS);
    let rings = (0..workers).map(|_| ring::ring(share / size_of::<u64>(), INTERFACES_MAX));
    let (writers, readers): (Vec<_>, Vec<_>) = rings.unzip();
    let recorders = writers.into_iter();
    let recorders = recorders.map(|ring| Recorder::new(number, ring, origin, wants.clone()));
    // There is room for every name that will ever be told.
    let (tell, news) = bounded(INTERFACES_MAX);
    let writing = Writing::new(wall, wants.snaplen);
    let recorders = recorders.collect();
    let capture = Capture { number, readers, news, writing, captured: 0, open: true };
    (Recording { number, wants, names: Vec::new(), news: tell }, capture, recorders)
}

impl Recording {
    /// The number of the interface of the port with this name, if it is wanted. The reading end
    /// knows it before any worker does.
    pub fn interface(&mut self, name: &str) -> Option<u16> {
        if !self.wants.port(name) {
            return None;
        }
        if let Some(place) = self.names.iter().position(|known| known == name) {
            return Some(place as u16);
        }
        let place = self.names.len();
        // The reading end is gone: then it does not matter.
        let told = place < INTERFACES_MAX && self.news.try_send(name.to_owned()).is_ok();
        told.then(|| {
            self.names.push(name.to_owned());
            place as u16
        })
    }
}

impl Capture {
    /// The number by which [`crate::switch::Handle::end_capture`] knows it.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Whether somebody may still record, as it was when it was drained last.
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// Takes what was recorded out of the rings, in the order of time, and puts it behind `output`
    /// as pcapng, the head of the file first, until that has about `octets`. `false`: there will be
    /// no more, for every worker has ended it; [`Capture::finish`] writes the end.
    pub fn drain(&mut self, output: &mut Vec<u8>, octets: usize) -> bool {
        self.hear();
        self.writing.begin(output);
        // All are looked at, and then none is closed that has something left.
        self.open = self.readers.iter_mut().fold(false, |open, reader| reader.look() | open);
        let mut wire = Vec::new();
        while output.len() < octets {
            let heads = self.readers.iter_mut();
            let heads = heads.filter_map(|reader| Some((reader.peek()?, reader)));
            let Some((head, reader)) = heads.min_by_key(|(head, _)| head[0]) else {
                return self.open;
            };
            wire.clear();
            reader.take(&mut wire);
            let entry = recorder::Entry::parse(head);
            if usize::from(entry.interface) >= self.writing.interfaces() {
                // It was told before the worker knew it.
                self.hear();
            }
            self.writing.frame(entry, &wire, output);
            self.captured += 1;
        }
        true
    }

    /// Writes the end of the file: for each port, what was captured and what was lost.
    pub fn finish(&mut self, output: &mut Vec<u8>) {
        for interface in 0..self.writing.interfaces() {
            let lost = self.readers.iter().map(|reader| reader.lost(interface)).sum();
            self.writing.end(interface, lost, output);
        }
    }

    /// What it has seen so far.
    pub fn seen(&self) -> Seen {
        let lanes = 0..self.writing.interfaces();
        let lost = |lane| self.readers.iter().map(move |reader| reader.lost(lane)).sum::<u64>();
        Seen { captured: self.captured, lost: lanes.map(lost).sum() }
    }

    /// Takes in the ports that have come.
    fn hear(&mut self) {
        while let Ok(name) = self.news.try_recv() {
            self.writing.interface(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use pcap_file::pcapng::{
        Block, PcapNgReader,
        blocks::enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption},
    };

    use super::*;
    use crate::{
        bridge::{Bridge, BridgeId, GroupForward},
        fdb::{Fdb, FdbConfig, Tick},
        port::{
            Port, PortId,
            memory::{Memory, cable},
        },
        stats::PortCounters,
        worker::Worker,
    };

    const NOW: Tick = Tick::from_millis(0);

    /// A worker with ports of these MTUs, which hold four frames each, the hosts at their other
    /// ends, and a capture.
    struct Bench {
        worker: Worker<Memory>,
        hosts: Vec<Memory>,
        recording: Recording,
        capture: Capture,
        output: Vec<u8>,
    }

    fn plug(worker: &mut Worker<Memory>, fdb: &Fdb, index: usize, mtu: u32) -> Memory {
        let (host, plug) = cable(mtu, 4);
        let (mut rx, tx) = plug.split().unwrap();
        let (port, counters) = (PortId::new(index), Arc::new(PortCounters::default()));
        fdb.attach(port, None);
        worker.attach(port, BridgeId::FIRST, tx, counters.clone());
        worker.receive(port, BridgeId::FIRST, rx.remove(0), counters);
        host
    }

    fn bench(mtus: &[u32], wants: Wants) -> Bench {
        let fdb = Arc::new(Fdb::new(&FdbConfig::default()));
        let mut worker = Worker::new(Bridge::new(fdb.clone(), GroupForward::Standard));
        let (mut recording, capture, mut recorders) = begin(7, wants, 1);
        worker.record(recorders.remove(0));
        let mut hosts = Vec::new();
        for (index, mtu) in mtus.iter().enumerate() {
            hosts.push(plug(&mut worker, &fdb, index, *mtu));
            if let Some(interface) = recording.interface(&format!("p{index}")) {
                worker.record_port(7, PortId::new(index), interface);
            }
        }
        Bench { worker, hosts, recording, capture, output: Vec::new() }
    }

    fn everything() -> Wants {
        Wants { snaplen: SNAPLEN_MAX, ..Wants::default() }
    }

    fn frame(number: u8, len: usize) -> Vec<u8> {
        let mut octets = [&[0xff; 6][..], &[2, 0, 0, 0, 0, 1], &[0x88, 0xb5, number]].concat();
        octets.resize(len, number);
        octets
    }

    impl Bench {
        /// What was captured since the start: interface, number of the frame, what is said of it.
        fn seen(&mut self) -> Vec<(u32, u8, String)> {
            let row = |packet: EnhancedPacketBlock<'_>| {
                let said = packet.options.iter().map(|option| match option {
                    EnhancedPacketOption::Flags(1) => "in ",
                    EnhancedPacketOption::Flags(2) => "out ",
                    EnhancedPacketOption::Comment(text) => text,
                    _ => "?",
                });
                (packet.interface_id, packet.data[14], said.collect())
            };
            self.packets().into_iter().map(row).collect()
        }

        fn packets(&mut self) -> Vec<EnhancedPacketBlock<'static>> {
            self.capture.drain(&mut self.output, usize::MAX);
            let mut reader = PcapNgReader::new(&*self.output).unwrap();
            let blocks = std::iter::from_fn(|| Some(reader.next_block()?.unwrap().into_owned()));
            blocks.filter_map(Block::into_enhanced_packet).collect()
        }
    }

    #[test]
    fn frames_are_seen_in_and_out_with_what_befell_them() {
        let mut bench = bench(&[9000, 1500, 9000], everything());
        // One is too large for the second port, and the third has room for one less.
        assert!(bench.hosts[0].put(&frame(1, 60)) && bench.hosts[0].put(&frame(2, 2000)));
        bench.worker.turn(0, NOW);
        bench.hosts[1].discard();
        (3..6).for_each(|number| assert!(bench.hosts[0].put(&frame(number, 60))));
        bench.worker.turn(0, NOW);
        let seen = bench.seen();
        let of = |interface: u32| {
            let rows = seen.iter().filter(|(of, ..)| *of == interface);
            rows.map(|(_, number, said)| (*number, &**said)).collect::<Vec<_>>()
        };
        assert_eq!(of(0), [1, 2, 3, 4, 5].map(|number| (number, "in ")));
        assert_eq!(of(1).iter().map(|(number, _)| *number).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
        assert!(of(1)[1].1.starts_with("out tx_oversize: Not sent"), "{seen:?}");
        assert_eq!((of(1)[0].1, of(1)[2].1), ("out ", "out "));
        let full = of(2)[2].1;
        assert!(full.starts_with("out tx_full: ") && full.contains("1 of 3 frames"), "{full}");
        assert_eq!(bench.capture.seen(), Seen { captured: 15, lost: 0 });
    }

    #[test]
    fn only_what_is_wanted_is_written_down_and_no_more_of_it() {
        let drops = Wants { drops: true, ..everything() };
        let mut bench1 = bench(&[1500], drops);
        bench1.hosts[0].put(&frame(1, 60));
        bench1.worker.turn(0, NOW);
        let [(0, 1, said)] = &bench1.seen()[..] else { panic!("one, for there is nobody else") };
        assert!(said.starts_with("in filter_alone: Dropped"), "{said}");

        let taken = [
            filter::Instruction { code: 0x30, jt: 0, jf: 0, k: 14 },
            filter::Instruction { code: 0x15, jt: 0, jf: 1, k: 2 },
            filter::Instruction { code: 0x06, jt: 0, jf: 0, k: 1 },
            filter::Instruction { code: 0x06, jt: 0, jf: 0, k: 0 },
        ];
        let wants = Wants {
            ports: vec!["p1".to_owned()],
            filter: Some(Arc::new(Filter::new(&taken).unwrap())),
            snaplen: 20,
            ..Wants::default()
        };
        let mut bench = bench(&[1500; 3], wants);
        (1..4).for_each(|number| assert!(bench.hosts[0].put(&frame(number, 60))));
        bench.worker.turn(0, NOW);
        let packets = bench.packets();
        assert_eq!(packets.len(), 1);
        assert_eq!((&*packets[0].data, packets[0].original_len), (&frame(2, 20)[..], 60));
    }

    #[test]
    fn port_that_gets_the_number_of_another_is_not_taken_for_it() {
        let mut bench = bench(&[1500; 2], Wants { ports: vec!["p1".to_owned()], ..everything() });
        bench.worker.detach(PortId::new(1));
        let fdb = Fdb::new(&FdbConfig::default());
        let _other = plug(&mut bench.worker, &fdb, 1, 1500);
        bench.hosts[0].put(&frame(1, 60));
        bench.worker.turn(0, NOW);
        assert_eq!(bench.seen(), []);
        let interface = bench.recording.interface("p1").unwrap();
        assert_eq!(interface, 0, "a name that comes back is the same");
        bench.worker.record_port(7, PortId::new(1), interface);
        bench.hosts[0].put(&frame(2, 60));
        bench.worker.turn(0, NOW);
        assert_eq!(bench.packets().len(), 1);
    }

    #[test]
    fn capture_that_is_ended_is_read_to_its_end() {
        let mut bench = bench(&[1500; 2], everything());
        bench.hosts[0].put(&frame(1, 60));
        bench.worker.turn(0, NOW);
        bench.worker.end_record(7);
        bench.hosts[0].put(&frame(2, 60));
        bench.worker.turn(0, NOW);
        let mut output = Vec::new();
        assert!(!bench.capture.drain(&mut output, usize::MAX) && !bench.capture.is_open());
        assert_eq!(bench.capture.seen(), Seen { captured: 2, lost: 0 });
    }

    #[test]
    fn clients_belong_to_their_plug_and_others_to_nobody() {
        let wants = Wants { ports: vec!["a".to_owned()], ..everything() };
        let found = ["a", "a.1", "a.12", "b", "ab", "a.", "a.1x"].map(|name| wants.port(name));
        assert_eq!(found, [true, true, true, false, false, false, false]);
        assert!(everything().port("anything"));
    }
}

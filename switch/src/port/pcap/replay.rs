//! Reads a capture, pcap or pcapng, and puts its frames onto the line in their time.
//!
//! The crate that reads the blocks takes all times of pcapng for nanoseconds and leaves it to us
//! what the interface says of them; and it would refuse records whose lengths tools have got
//! wrong for decades (a snapshot length of 0), so of pcap we take its raw records.

use std::{
    fmt,
    fs::File,
    io::{self, Read, Seek},
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, ppoll},
    sys::time::TimeSpec,
    unistd::write,
};
use pcap_file::{
    Endianness, PcapError, TsResolution,
    pcap::PcapReader,
    pcapng::{
        Block, PcapNgReader,
        blocks::interface_description::{InterfaceDescriptionBlock, InterfaceDescriptionOption},
    },
};

use super::{PcapStatus, Speed};
use crate::{
    frame::WIRE_MAX,
    offload::{Offload, VNET_HEADER_LEN},
};

/// LINKTYPE_ETHERNET (the list of link types of tcpdump.org).
const LINK_ETHERNET: u32 = 1;
/// The first four octets of a pcapng file, the same in both byte orders
/// (draft-ietf-opsawg-pcapng, 4.1).
const NG_MAGIC: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];
/// In the field with the link type: the upper four bits say how many pairs of octets of frame
/// check sequence end each frame (draft-ietf-opsawg-pcap, 4: f and FCS len).
const FCS_PRESENT: u32 = 1 << 26;
/// The unit of an interface's times that says nothing of it: microseconds (draft-ietf-opsawg-
/// pcapng, 4.2, if_tsresol).
const TSRESOL_DEFAULT: u8 = 6;
/// Interfaces of one section at the most.
const INTERFACES_MAX: usize = 65_536;
/// How long it waits at once; then it looks again what time it is.
const WAIT_MAX: Duration = Duration::from_secs(3600);
/// How soon a frame is offered again for which the kernel had no memory.
const RETRY: Duration = Duration::from_millis(1);

/// One record of a capture.
#[derive(Debug, PartialEq)]
pub(super) enum Record {
    /// A whole frame, which is in [`Capture::wire`], with its time since 1970.
    Frame(Duration),
    /// A frame of which there is only a part, or that is too large for any port.
    Partial,
    /// Something from an interface with this link type, which is not Ethernet.
    Foreign(u32),
}

/// A capture that is being read.
pub(super) struct Capture {
    source: Source,
    /// The record that was read when the file was opened.
    ahead: Option<Result<Record, Damage>>,
    wire: Vec<u8>,
}

enum Source {
    Classic { reader: PcapReader<File>, resolution: u32, fcs_len: usize },
    Ng { reader: PcapNgReader<File>, section: Section },
}

impl Capture {
    /// Reads a file's first record.
    pub(super) fn of(mut file: File) -> Result<Capture, Damage> {
        let mut magic = [0; 4];
        file.read_exact(&mut magic).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => Damage::NoCapture,
            _ => Damage::System(error),
        })?;
        file.rewind().map_err(Damage::System)?;
        let source = if magic == NG_MAGIC {
            let reader = PcapNgReader::new(file).map_err(|_| Damage::NoCapture)?;
            let endianness = reader.section().endianness;
            let section = Section { endianness, interfaces: Vec::new(), time: Duration::ZERO };
            Source::Ng { reader, section }
        } else {
            let reader = PcapReader::new(file).map_err(|_| Damage::NoCapture)?;
            let header = reader.header();
            let link = u32::from(header.datalink);
            if link & 0xffff != LINK_ETHERNET {
                return Err(Damage::Link(link & 0xffff));
            }
            let fcs_len = if link & FCS_PRESENT == 0 { 0 } else { (link >> 28) as usize * 2 };
            let nanoseconds = header.ts_resolution == TsResolution::NanoSecond;
            Source::Classic { reader, resolution: if nanoseconds { 1 } else { 1000 }, fcs_len }
        };
        let mut capture = Capture { source, ahead: None, wire: Vec::with_capacity(WIRE_MAX) };
        match capture.read() {
            // Whole frames are played, and of this one there are none: told, not refused.
            Err(damage @ Damage::Cut) => capture.ahead = Some(Err(damage)),
            Err(damage) => return Err(damage),
            Ok(Some(Record::Foreign(link))) => return Err(Damage::Link(link)),
            Ok(record) => capture.ahead = record.map(Ok),
        }
        Ok(capture)
    }

    /// The next record; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Record>, Damage> {
        match self.ahead.take() {
            Some(record) => record.map(Some),
            None => self.read(),
        }
    }

    /// The frame that was read last, behind an empty virtio-net header.
    pub(super) fn wire(&self) -> &[u8] {
        &self.wire
    }

    fn read(&mut self) -> Result<Option<Record>, Damage> {
        let wire = &mut self.wire;
        match &mut self.source {
            Source::Classic { reader, resolution, fcs_len } => {
                let Some(packet) = reader.next_raw_packet() else { return Ok(None) };
                let packet = packet.map_err(Damage::from)?;
                let nanoseconds = u64::from(packet.ts_frac) * u64::from(*resolution);
                let time = Duration::from_secs(u64::from(packet.ts_sec))
                    + Duration::from_nanos(nanoseconds);
                if packet.incl_len < packet.orig_len {
                    return Ok(Some(Record::Partial));
                }
                let len = packet.data.len().saturating_sub(*fcs_len);
                Ok(Some(put(wire, &packet.data[..len], time)))
            }
            Source::Ng { reader, section } => loop {
                let Some(block) = reader.next_block() else { return Ok(None) };
                if let Some(record) = section.record(wire, &block.map_err(Damage::from)?)? {
                    return Ok(Some(record));
                }
            },
        }
    }
}

/// What a section of pcapng has said so far.
struct Section {
    endianness: Endianness,
    interfaces: Vec<Interface>,
    /// When the last frame came.
    time: Duration,
}

impl Section {
    /// Takes a frame out of a block. `None`: the block has none.
    fn record(&mut self, wire: &mut Vec<u8>, block: &Block<'_>) -> Result<Option<Record>, Damage> {
        let (interface, units, len, data) = match block {
            Block::SectionHeader(header) => {
                self.endianness = header.endianness;
                self.interfaces.clear();
                return Ok(None);
            }
            Block::InterfaceDescription(_) if self.interfaces.len() == INTERFACES_MAX => {
                return Err(Damage::Malformed("more interfaces than there can be".into()));
            }
            Block::InterfaceDescription(description) => {
                self.interfaces.push(Interface::new(description));
                return Ok(None);
            }
            // The crate has put the number of units into a Duration as if they were nanoseconds.
            Block::EnhancedPacket(packet) => {
                let units = packet.timestamp.as_nanos() as u64;
                (packet.interface_id, Some(units), packet.original_len, &packet.data)
            }
            // Two words, the upper one first whatever the byte order.
            Block::Packet(packet) => {
                let little = self.endianness == Endianness::Little;
                let units = packet.timestamp.rotate_left(if little { 32 } else { 0 });
                (packet.interface_id.into(), Some(units), packet.original_len, &packet.data)
            }
            Block::SimplePacket(packet) => (0, None, packet.original_len, &packet.data),
            _ => return Ok(None),
        };
        let interface = self.interfaces.get(interface as usize);
        let interface =
            interface.ok_or(Damage::Malformed("a frame of an interface that is unknown".into()))?;
        if interface.link != LINK_ETHERNET {
            return Ok(Some(Record::Foreign(interface.link)));
        }
        let len = len as usize;
        let mut data = &data[..];
        match units {
            Some(units) => {
                let wrong = || Damage::Malformed("times in a unit that there is not".into());
                self.time = interface.time(units).ok_or_else(wrong)?;
            }
            // It has neither a time nor a captured length, and is padded.
            None if interface.snaplen != 0 && len > interface.snaplen => data = &[],
            None => data = &data[..len.min(data.len())],
        }
        if data.len() < len {
            return Ok(Some(Record::Partial));
        }
        let len = data.len().saturating_sub(interface.fcs_len);
        Ok(Some(put(wire, &data[..len], self.time)))
    }
}

fn put(wire: &mut Vec<u8>, octets: &[u8], time: Duration) -> Record {
    if octets.len() > WIRE_MAX - VNET_HEADER_LEN {
        return Record::Partial;
    }
    wire.clear();
    wire.extend(Offload::NONE.emit());
    wire.extend(octets);
    Record::Frame(time)
}

/// What we need of what pcapng says of an interface.
struct Interface {
    link: u32,
    snaplen: usize,
    /// Octets of frame check sequence at the end of each frame.
    fcs_len: usize,
    /// The unit of times: 10 to the minus this many seconds, or with the highest bit 2 to the
    /// minus the rest.
    tsresol: u8,
    /// Seconds to add to times.
    offset: u64,
}

impl Interface {
    fn new(description: &InterfaceDescriptionBlock<'_>) -> Interface {
        let mut interface = Interface {
            link: description.linktype.into(),
            snaplen: description.snaplen as usize,
            fcs_len: 0,
            tsresol: TSRESOL_DEFAULT,
            offset: 0,
        };
        for option in &description.options {
            match option {
                InterfaceDescriptionOption::IfTsResol(tsresol) => interface.tsresol = *tsresol,
                InterfaceDescriptionOption::IfTsOffset(offset) => interface.offset = *offset,
                // Some writers give it in bits, as the draft does, and some in octets.
                InterfaceDescriptionOption::IfFcsLen(len @ 0..=8) => {
                    interface.fcs_len = usize::from(*len);
                }
                InterfaceDescriptionOption::IfFcsLen(bits) => {
                    interface.fcs_len = usize::from(bits / 8);
                }
                _ => {}
            }
        }
        interface
    }

    /// The time that is so many units. `None`: the unit is too small for any clock.
    fn time(&self, units: u64) -> Option<Duration> {
        let exponent = u32::from(self.tsresol & 0x7f);
        let binary = self.tsresol & 0x80 != 0;
        let per_second =
            if binary { 1u64.checked_shl(exponent) } else { 10u64.checked_pow(exponent) }?;
        let fraction = u128::from(units % per_second) * 1_000_000_000 / u128::from(per_second);
        // It may be negative, in two's complement.
        let seconds = (units / per_second).wrapping_add(self.offset);
        Some(Duration::new(seconds, fraction as u32))
    }
}

/// What is wrong with a capture. Displayed, it goes on after the file's name and a colon.
#[derive(Debug)]
pub(super) enum Damage {
    NoCapture,
    Link(u32),
    Cut,
    Malformed(String),
    System(io::Error),
}

impl From<PcapError> for Damage {
    fn from(error: PcapError) -> Damage {
        match error {
            PcapError::IncompleteBuffer => Damage::Cut,
            PcapError::IoError(e) if e.kind() == io::ErrorKind::UnexpectedEof => Damage::Cut,
            PcapError::IoError(e) => Damage::System(e),
            other => Damage::Malformed(other.to_string()),
        }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Damage::NoCapture => f.write_str(
                "it is neither pcap nor pcapng: `editcap -F pcapng FROM TO` converts what \
                 Wireshark can read, and a compressed file is unpacked first",
            ),
            Damage::Link(link) => write!(
                f,
                "its link type is {link}, and a switch carries Ethernet frames, link type 1: \
                 capture on an Ethernet device, not on `any` or a tunnel",
            ),
            Damage::Cut => f.write_str("it ends within a record"),
            Damage::Malformed(why) => write!(f, "a record is damaged: {why}"),
            Damage::System(error) => write!(f, "it could not be read: {error}"),
        }
    }
}

/// The thread that plays.
pub(super) struct Player {
    pub(super) capture: Capture,
    pub(super) speed: Speed,
    pub(super) line: Arc<OwnedFd>,
    pub(super) status: PcapStatus,
}

impl Player {
    /// Runs until the capture ends or the port is closed.
    pub(super) fn run(mut self) {
        let begin = Instant::now();
        let mut first = None;
        let warning = loop {
            match self.capture.next() {
                Ok(Some(Record::Frame(time))) => {
                    let since = time.saturating_sub(*first.get_or_insert(time));
                    let played = self.status.lock().played;
                    if !self.wait_until(begin, self.speed.due(since, played)) || !self.put() {
                        return;
                    }
                    self.status.lock().played += 1;
                }
                Ok(Some(Record::Partial | Record::Foreign(_))) => self.status.lock().skipped += 1,
                Ok(None) => break None,
                Err(damage) => break Some(damage),
            }
        };
        let mut counts = self.status.lock();
        counts.warning = warning.map(|damage| {
            format!("{damage}; the {} frames before that were played", counts.played)
        });
        counts.finished = true;
    }

    /// Waits until so long after `begin`. `false`: the port was closed.
    fn wait_until(&self, begin: Instant, due: Duration) -> bool {
        loop {
            let Some(rest) = due.checked_sub(begin.elapsed()).filter(|rest| !rest.is_zero()) else {
                return true;
            };
            // It is told of the end whatever it asks for.
            if self.poll(PollFlags::empty(), Some(rest)).intersects(PollFlags::POLLHUP) {
                return false;
            }
        }
    }

    /// Puts the frame onto the line, and waits for room there. `false`: the port was closed.
    fn put(&self) -> bool {
        loop {
            match write(&self.line, self.capture.wire()) {
                Ok(_) => return true,
                Err(Errno::EAGAIN) => _ = self.poll(PollFlags::POLLOUT, None),
                Err(Errno::EINTR) => {}
                Err(Errno::ENOBUFS | Errno::ENOMEM) => {
                    _ = self.poll(PollFlags::empty(), Some(RETRY));
                }
                Err(_) => return false,
            }
        }
    }

    fn poll(&self, events: PollFlags, time: Option<Duration>) -> PollFlags {
        let mut fds = [PollFd::new(self.line.as_fd(), events)];
        // Fails when a signal comes: then nothing is known, and the caller looks again.
        let _ = ppoll(&mut fds, Some(TimeSpec::from(time.unwrap_or(WAIT_MAX).min(WAIT_MAX))), None);
        fds[0].revents().unwrap_or(PollFlags::empty())
    }
}

impl Speed {
    /// How long after the first frame one is due: that came `since` later, after `played` others.
    fn due(self, since: Duration, played: u64) -> Duration {
        match self {
            Speed::Original(factor) => {
                let seconds = since.as_secs_f64() / factor;
                Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
            }
            Speed::Flat(frames) => {
                let nanoseconds = u128::from(played) * 1_000_000_000 / u128::from(frames);
                Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
            }
            Speed::Top => Duration::ZERO,
        }
    }
}

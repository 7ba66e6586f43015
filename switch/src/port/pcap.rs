//! Captures: a port that plays a file as if its frames came in by a cable, and records what
//! leaves by it into another.
//!
//! No worker waits for a disk. The port is one end of a socketpair; at the other end, one thread
//! reads and paces (`replay`) and another writes (`record`):
//!
//! ```text
//!  input  -> replay -> | line: a socketpair of | -> PcapRx   the worker
//!  output <- record <- | LINE_OCTETS each way  | <- PcapTx
//! ```
//!
//! The replaying thread waits for room on its line, so nothing of the input is lost whatever the
//! speed. What the switch sends while the recording thread lags behind by a whole line is
//! counted as `tx_full`, as at any port.
//!
//! The threads begin with [`Port::split`]. At the end of the input the port stays, silent: it
//! still records. [`PcapStatus`] tells how far it is. The sending half that `split` returns (not
//! its clones) waits when it is dropped until the output is written, which is why the control
//! plane keeps that one and drops it last.

mod record;
mod replay;
mod single;

use std::{
    error, fmt,
    fs::{self, Metadata},
    io,
    os::{
        fd::{BorrowedFd, OwnedFd},
        unix::fs::{FileTypeExt, MetadataExt},
    },
    path::{Path, PathBuf},
    str::FromStr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
};

use nix::sys::socket::{
    AddressFamily, Shutdown, SockFlag, SockType, setsockopt, shutdown, socketpair, sockopt,
};

use crate::{
    frame::{Arena, Lent, Selection},
    port::{
        Port, Rx, Sent, Tx,
        datagram::{DatagramRx, DatagramTx},
    },
};
use record::{Recorder, Recording};
use replay::{Capture, Damage, Player};
pub use single::read_frame;

/// Octets, with what the kernel keeps beside each frame, that wait in either direction between
/// the port and its threads. Without CAP_NET_ADMIN it is `net.core.wmem_max`, if that is less.
const LINE_OCTETS: usize = 4 << 20;

/// How fast a capture is played.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Speed {
    /// So many times as fast as it was captured; 1.0 keeps the distances between its frames.
    Original(f64),
    /// So many frames a second.
    Flat(u64),
    /// As fast as the switch takes them.
    Top,
}

impl FromStr for Speed {
    type Err = SpeedError;

    /// `original`, a factor (`2x`, `0.5x`), frames a second (`1000`) or `top`.
    fn from_str(text: &str) -> Result<Speed, SpeedError> {
        let speed = match text {
            "original" => Some(Speed::Original(1.0)),
            "top" => Some(Speed::Top),
            _ => match text.strip_suffix('x') {
                Some(factor) => factor.parse().ok().map(Speed::Original),
                None => text.parse().ok().map(Speed::Flat),
            },
        };
        speed.filter(|speed| speed.is_sound()).ok_or(SpeedError)
    }
}

impl Speed {
    fn is_sound(self) -> bool {
        match self {
            Speed::Original(factor) => factor.is_finite() && factor > 0.0,
            Speed::Flat(frames) => frames > 0,
            Speed::Top => true,
        }
    }
}

/// The text is not a speed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpeedError;

impl fmt::Display for SpeedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "a speed is `original`, a factor above 0 as in `2x` or `0.5x`, frames a second as in \
             `1000`, or `top`",
        )
    }
}

impl error::Error for SpeedError {}

/// What a port of captures is to be like.
#[derive(Clone, Debug)]
pub struct PcapConfig {
    /// What is played: pcap or pcapng, of Ethernet frames.
    pub input: Option<PathBuf>,
    /// What is written, anew: pcap if its name ends in `.pcap`, else pcapng. Times are in
    /// nanoseconds either way.
    pub output: Option<PathBuf>,
    /// How fast the input is played.
    pub speed: Speed,
    /// The largest payload that may leave, in octets.
    pub mtu: u32,
}

impl PcapConfig {
    /// Neither input nor output yet, the original speed, and no bound of its own to frames.
    pub fn new() -> PcapConfig {
        PcapConfig { input: None, output: None, speed: Speed::Original(1.0), mtu: MTU_MAX }
    }
}

impl Default for PcapConfig {
    fn default() -> PcapConfig {
        PcapConfig::new()
    }
}

/// The largest payload that an IP packet makes (RFC 791, 3.1).
const MTU_MAX: u32 = 65_535;

/// A port whose files are open.
pub struct Pcap {
    capture: Option<Capture>,
    recording: Option<Recording<fs::File>>,
    speed: Speed,
    mtu: u32,
    status: PcapStatus,
}

impl Pcap {
    /// Opens the files, reads the first record of the one and writes the head of the other.
    ///
    /// # Errors
    ///
    /// A sentence that says what is wrong with which file, and what helps.
    pub fn open(config: &PcapConfig) -> Result<Pcap, PcapError> {
        Pcap::of(config, Files::open(config)?)
    }

    /// The same with files that are open.
    pub(crate) fn of(config: &PcapConfig, files: Files) -> Result<Pcap, PcapError> {
        let capture = files.input.zip(config.input.as_ref()).map(|(file, path)| {
            Capture::of(file).map_err(|e| PcapError::new(path, Fault::Refused(e)))
        });
        let capture = capture.transpose()?;
        let recording = files.output.zip(config.output.as_ref()).map(|(file, path)| {
            Recording::create(file, path).map_err(|e| PcapError::new(path, Fault::Write(e)))
        });
        let (recording, status) = (recording.transpose()?, PcapStatus::default());
        Ok(Pcap { capture, recording, speed: config.speed, mtu: config.mtu, status })
    }

    /// By which to see later how far it is.
    pub fn status(&self) -> PcapStatus {
        self.status.clone()
    }
}

/// The files of a port.
pub(crate) struct Files {
    pub(crate) input: Option<fs::File>,
    /// As it was, if it was there.
    pub(crate) output: Option<fs::File>,
}

impl Files {
    /// Opens them.
    pub(crate) fn open(config: &PcapConfig) -> Result<Files, PcapError> {
        if config.input.is_none() && config.output.is_none() {
            return Err(PcapError::new(Path::new(""), Fault::NoFile));
        }
        if !config.speed.is_sound() {
            let path = config.input.as_deref().unwrap_or(Path::new(""));
            return Err(PcapError::new(path, Fault::Speed));
        }
        let mut there = None;
        let input = config.input.as_ref().map(|path| {
            there = Some(look(path).map_err(|e| PcapError::new(path, Fault::Read(e)))?);
            let refused = |e| PcapError::new(path, Fault::Refused(Damage::System(e)));
            fs::File::open(path).map_err(refused)
        });
        let input = input.transpose()?;
        let output = config.output.as_ref().map(|path| {
            let same = |a: &Metadata, b: &Metadata| (a.dev(), a.ino()) == (b.dev(), b.ino());
            match (look(path), &there) {
                (Ok(output), Some(input)) if same(&output, input) => {
                    return Err(PcapError::new(path, Fault::Same));
                }
                (Err(e), _) if e.kind() != io::ErrorKind::NotFound => {
                    return Err(PcapError::new(path, Fault::Write(e)));
                }
                _ => {}
            }
            // It is emptied when the input was found good.
            let file = fs::File::options().write(true).create(true).truncate(false).open(path);
            file.map_err(|e| PcapError::new(path, Fault::Write(e)))
        });
        Ok(Files { input, output: output.transpose()? })
    }
}

/// Looks at a file before it is opened: to open a FIFO would wait for its other end.
fn look(path: &Path) -> io::Result<Metadata> {
    let metadata = fs::metadata(path)?;
    let kind = metadata.file_type();
    if kind.is_fifo() || kind.is_socket() || kind.is_dir() {
        return Err(io::Error::other("it is a folder, a FIFO or a socket, and no file"));
    }
    Ok(metadata)
}

impl Port for Pcap {
    type Rx = PcapRx;
    type Tx = PcapTx;

    fn split(self) -> io::Result<(Vec<PcapRx>, PcapTx)> {
        let Pcap { capture, recording, speed, mtu, status } = self;
        start(capture, recording, speed, mtu, status)
    }
}

/// Lays the line and starts the threads.
fn start<W: io::Write + Send + 'static>(
    capture: Option<Capture>,
    recording: Option<Recording<W>>,
    speed: Speed,
    mtu: u32,
    status: PcapStatus,
) -> io::Result<(Vec<PcapRx>, PcapTx)> {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let (port, line) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?;
    for end in [&port, &line] {
        if setsockopt(end, sockopt::SndBufForce, &LINE_OCTETS).is_err() {
            setsockopt(end, sockopt::SndBuf, &LINE_OCTETS)?;
        }
    }
    let (port, line) = (Arc::new(port), Arc::new(line));
    // Made first, so that threads which did start end if another does not.
    let mut closing = Closing { line: line.clone(), threads: Vec::new() };
    let records = recording.is_some();
    if let Some(recording) = recording {
        let recorder = Recorder { recording, line: line.clone(), status: status.clone() };
        let thread = thread::Builder::new().name("pcap-record".into());
        closing.threads.push(thread.spawn(move || recorder.run())?);
    }
    match capture {
        Some(capture) => {
            let player = Player { capture, speed, line, status: status.clone() };
            let thread = thread::Builder::new().name("pcap-replay".into());
            closing.threads.push(thread.spawn(move || player.run())?);
        }
        None => status.lock().finished = true,
    }
    let rx = PcapRx { rx: DatagramRx::new(port.clone()), status };
    let tx = PcapTx { tx: DatagramTx::new(port, mtu), records, _closing: Some(closing) };
    Ok((vec![rx], tx))
}

/// Ends the threads and waits until the output is written.
struct Closing {
    line: Arc<OwnedFd>,
    threads: Vec<JoinHandle<()>>,
}

impl Drop for Closing {
    fn drop(&mut self) {
        use std::os::fd::AsRawFd;
        // What is on the line towards the recorder is still read; it fails for nobody.
        let _ = shutdown(self.line.as_raw_fd(), Shutdown::Both);
        for thread in self.threads.drain(..) {
            // Its panic has been printed.
            let _ = thread.join();
        }
    }
}

/// The receiving half: what is played.
pub struct PcapRx {
    rx: DatagramRx,
    status: PcapStatus,
}

impl Rx for PcapRx {
    #[inline]
    fn recv<'a>(&'a mut self, arena: &'a mut Arena) -> io::Result<Lent<'a>> {
        let status = &self.status;
        self.rx.recv(arena).map_err(|error| status.cause(error))
    }

    fn wait_on(&self) -> Option<BorrowedFd<'_>> {
        self.rx.wait_on()
    }
}

/// The sending half: what is recorded.
pub struct PcapTx {
    tx: DatagramTx,
    records: bool,
    /// In the one that was made first.
    _closing: Option<Closing>,
}

impl Tx for PcapTx {
    fn mtu(&self) -> u32 {
        self.tx.mtu()
    }

    /// A capture has frames as a wire would carry them.
    fn takes_offloads(&self) -> bool {
        false
    }

    fn clone_for(&self, worker: usize) -> io::Result<PcapTx> {
        Ok(PcapTx { tx: self.tx.clone_for(worker)?, records: self.records, _closing: None })
    }

    #[inline]
    fn send(&mut self, frames: Selection<'_>) -> Sent {
        if self.records {
            return self.tx.write(frames);
        }
        // Nobody reads the line.
        let mut sent = Sent::default();
        frames.frames().for_each(|frame| sent.took(frame));
        sent
    }
}

/// How far a port of captures is. Clones tell of the same port.
#[derive(Clone, Default)]
pub struct PcapStatus {
    counts: Arc<Mutex<Counts>>,
}

/// What [`PcapStatus`] tells.
#[derive(Debug, Default)]
struct Counts {
    played: u64,
    skipped: u64,
    recorded: u64,
    finished: bool,
    warning: Option<String>,
    error: Option<io::Error>,
}

impl PcapStatus {
    /// Frames of the input that went to the switch.
    pub fn played(&self) -> u64 {
        self.lock().played
    }

    /// Records of the input that were passed over: of which the capture has a part only, too
    /// large for any port, or of another interface that is not Ethernet.
    pub fn skipped(&self) -> u64 {
        self.lock().skipped
    }

    /// Frames written to the output.
    pub fn recorded(&self) -> u64 {
        self.lock().recorded
    }

    /// Whether the input was played to its end, or there is none.
    pub fn finished(&self) -> bool {
        self.lock().finished
    }

    /// What did not work but did not end the port, once: a sentence.
    pub fn take_warning(&self) -> Option<String> {
        self.lock().warning.take()
    }

    /// The reason why the port was closed from within, if it was, else what the system said.
    #[cold]
    fn cause(&self, error: io::Error) -> io::Error {
        self.lock().error.take().unwrap_or(error)
    }

    /// Counts are whole between any two calls, so those that a panicking thread left are too.
    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a port of captures could not be opened. Displayed, it is a sentence with the file's name.
#[derive(Debug)]
pub struct PcapError {
    path: PathBuf,
    fault: Fault,
}

#[derive(Debug)]
enum Fault {
    NoFile,
    Speed,
    Same,
    Read(io::Error),
    Refused(Damage),
    Write(io::Error),
    Zero,
    Partial(u64),
    Missing { number: u64, count: u64 },
}

impl PcapError {
    fn new(path: &Path, fault: Fault) -> PcapError {
        PcapError { path: path.to_owned(), fault }
    }
}

impl fmt::Display for PcapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.fault {
            Fault::NoFile => f.write_str(
                "pcap: neither a file to play nor one to record into: give `in=FILE`, `out=FILE` \
                 or both",
            ),
            Fault::Speed => write!(f, "pcap: {SpeedError}"),
            Fault::Same => write!(
                f,
                "{path}: it is the file that is played, and recording into it would destroy it: \
                 give `out=` another name",
            ),
            Fault::Read(error) => write!(f, "{path}: it could not be read: {error}"),
            Fault::Refused(damage) => write!(f, "{path}: {damage}"),
            Fault::Write(error) => write!(f, "{path}: it could not be written: {error}"),
            Fault::Zero => write!(f, "{path}: frames are numbered from 1"),
            Fault::Partial(number) => write!(
                f,
                "{path}: frame {number} is there in part only: capture whole frames, as `tcpdump \
                 -s 0` does",
            ),
            Fault::Missing { number, count } => {
                write!(f, "{path}: there is no frame {number}: it has {count}")
            }
        }
    }
}

impl error::Error for PcapError {}

#[cfg(test)]
mod tests {
    use std::{
        io::{ErrorKind, Write},
        process::Command,
        thread,
        time::{Duration, Instant, SystemTime, UNIX_EPOCH},
    };

    use super::*;
    use crate::{
        frame::{BATCH_MAX, Batch, Span},
        offload::VNET_HEADER_LEN,
        stats::Counter,
        switch::{self, Event, PortConfig, SwitchConfig},
    };

    const PATIENCE: Duration = Duration::from_secs(60);

    /// A frame to everybody with a number to know it by, of so many octets.
    fn frame(number: u32, len: usize) -> Vec<u8> {
        let head = b"\xff\xff\xff\xff\xff\xff\x02\x00\x00\x00\x00\x01\x88\xb5";
        let mut octets = [&head[..], &number.to_be_bytes()].concat();
        octets.resize(len, number as u8);
        octets
    }

    fn frames() -> Vec<Vec<u8>> {
        (0..200).map(|number| frame(number, 18 + number as usize * 7)).collect()
    }

    /// A pcap file with these frames, one a second from the second 1,000,000,000 on.
    fn pcap(magic: u32, link: u32, emit: fn(u32) -> [u8; 4], frames: &[Vec<u8>]) -> Vec<u8> {
        let head = [emit(magic), [0; 4], [0; 4], [0; 4], emit(65_535), emit(link)];
        let mut file = head.concat();
        for (number, octets) in frames.iter().enumerate() {
            let len = octets.len() as u32;
            let words = [1_000_000_000 + number as u32, 999, len, len];
            file.extend(words.map(emit).concat());
            file.extend(octets);
        }
        file
    }

    /// A block of pcapng.
    fn block(kind: u32, emit: fn(u32) -> [u8; 4], body: &[u8]) -> Vec<u8> {
        let padding = vec![0; body.len().next_multiple_of(4) - body.len()];
        let len = emit((12 + body.len() + padding.len()) as u32);
        [&emit(kind)[..], &len, body, &padding, &len].concat()
    }

    /// The head of a section of pcapng, little-endian.
    fn section() -> Vec<u8> {
        let version = [1, 0, 0, 0];
        block(
            0x0a0d_0d0a,
            u32::to_le_bytes,
            &[&[0x4d, 0x3c, 0x2b, 0x1a], &version[..], &[0xff; 8]].concat(),
        )
    }

    /// An interface with this link type and options.
    fn interface(link: u16, options: &[u8]) -> Vec<u8> {
        let [a, b] = link.to_le_bytes();
        block(1, u32::to_le_bytes, &[&[a, b, 0, 0, 0, 0, 0, 0], options].concat())
    }

    /// An enhanced packet block.
    fn enhanced(interface: u32, units: u64, len: u32, octets: &[u8]) -> Vec<u8> {
        let words = [interface, (units >> 32) as u32, units as u32, octets.len() as u32, len];
        block(6, u32::to_le_bytes, &[words.map(u32::to_le_bytes).as_flattened(), octets].concat())
    }

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn new() -> Folder {
            Folder(tempfile::tempdir().unwrap())
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        fn file(&self, name: &str, octets: &[u8]) -> PathBuf {
            fs::write(self.path(name), octets).unwrap();
            self.path(name)
        }
    }

    fn played(path: &Path) -> PcapConfig {
        PcapConfig { input: Some(path.to_owned()), speed: Speed::Top, ..PcapConfig::new() }
    }

    fn recorded(path: &Path) -> PcapConfig {
        PcapConfig { output: Some(path.to_owned()), ..PcapConfig::new() }
    }

    /// Plays a file to its end and returns what came in by the port.
    fn play(path: &Path) -> (Vec<Vec<u8>>, PcapStatus) {
        let port = Pcap::open(&played(path)).unwrap();
        let status = port.status();
        let (mut rx, _tx) = port.split().unwrap();
        let mut arena = Arena::new();
        let mut frames = Vec::new();
        let begin = Instant::now();
        loop {
            // Asked before: what was played by then is on the line.
            let finished = status.finished();
            let batch = rx[0].recv(&mut arena).unwrap();
            assert!(
                batch.frames().all(|frame| frame.wire()[..VNET_HEADER_LEN] == [0; VNET_HEADER_LEN])
            );
            frames.extend(batch.frames().map(|frame| frame.octets().to_vec()));
            if finished && batch.is_empty() {
                return (frames, status);
            }
            assert!(begin.elapsed() < PATIENCE, "the capture ends");
        }
    }

    /// Sends frames by a port, as a worker does.
    fn send(tx: &mut PcapTx, frames: &[Vec<u8>]) -> Sent {
        assert!(frames.len() <= BATCH_MAX);
        let mut memory = Vec::new();
        let mut spans = Vec::new();
        for octets in frames {
            spans.push(Span {
                start: memory.len() as u32,
                len: (VNET_HEADER_LEN + octets.len()) as u32,
            });
            memory.extend([0; VNET_HEADER_LEN]);
            memory.extend(octets);
        }
        let mask = u64::MAX >> (64 - frames.len());
        tx.send(Selection { batch: Batch::new(&memory, &spans), mask })
    }

    fn refusal(config: &PcapConfig) -> String {
        Pcap::open(config).err().expect("it is refused").to_string()
    }

    fn wait(what: &str, mut is: impl FnMut() -> bool) {
        let begin = Instant::now();
        while !is() {
            assert!(begin.elapsed() < PATIENCE, "{what}");
            thread::yield_now();
        }
    }

    #[test]
    fn capture_through_a_switch_comes_out_octet_by_octet_in_order() {
        let folder = Folder::new();
        // Few enough for the shortest line that there is: without rights it has 200 KB.
        let frames = &frames()[..60];
        let input = folder.file("in.pcap", &pcap(0xa1b2_c3d4, 1, u32::to_le_bytes, frames));
        for name in ["out.pcap", "out.pcapng"] {
            let mut handle = switch::start(&SwitchConfig::default()).unwrap();
            let output = Pcap::open(&recorded(&folder.path(name))).unwrap();
            let record = output.status();
            let out = handle.add(PortConfig::named("out"), output).unwrap();
            handle.add(PortConfig::named("in"), Pcap::open(&played(&input)).unwrap()).unwrap();
            wait("all frames are recorded", || record.recorded() == frames.len() as u64);
            let report = handle.stop();
            let sent = &report.ports.iter().find(|port| port.port == out).unwrap().stats;
            assert_eq!(sent.get(Counter::TxFrames), frames.len() as u64);
            assert_eq!(play(&folder.path(name)).0, frames, "{name}");
        }
    }

    #[test]
    fn both_units_and_both_byte_orders_are_read() {
        let folder = Folder::new();
        for magic in [0xa1b2_c3d4, 0xa1b2_3c4d] {
            for emit in [u32::to_le_bytes, u32::to_be_bytes] {
                let path = folder.file("in.pcap", &pcap(magic, 1, emit, &frames()));
                let (frames_played, status) = play(&path);
                assert_eq!(frames_played, frames(), "{magic:x}");
                assert_eq!((status.played(), status.skipped()), (200, 0));
                assert_eq!(status.take_warning(), None);
                let mut capture = Capture::of(fs::File::open(&path).unwrap()).unwrap();
                let nanoseconds = if magic == 0xa1b2_c3d4 { 999_000 } else { 999 };
                let time = Duration::new(1_000_000_000, nanoseconds);
                assert_eq!(capture.next().unwrap(), Some(replay::Record::Frame(time)));
            }
        }
    }

    #[test]
    fn times_of_pcapng_are_in_the_unit_that_its_interface_says() {
        let option = |code: u16, value: &[u8]| {
            let len = (value.len() as u16).to_le_bytes();
            let padding = vec![0; value.len().next_multiple_of(4) - value.len()];
            [&code.to_le_bytes()[..], &len, value, &padding, &[0; 4]].concat()
        };
        let folder = Folder::new();
        for (options, units, time) in [
            (vec![], 5_000_001, Some(Duration::new(5, 1000))),
            (option(9, &[9]), 5_000_000_001, Some(Duration::new(5, 1))),
            (option(9, &[3]), 5_001, Some(Duration::new(5, 1_000_000))),
            (option(9, &[0x80 | 1]), 11, Some(Duration::new(5, 500_000_000))),
            (option(14, &100u64.to_le_bytes()), 5_000_000, Some(Duration::from_secs(105))),
            (option(9, &[20]), 5, None),
            (option(9, &[0x80 | 64]), 5, None),
        ] {
            let file = [section(), interface(1, &options), enhanced(0, units, 18, &frame(1, 18))];
            let capture =
                Capture::of(fs::File::open(folder.file("in.pcapng", &file.concat())).unwrap());
            match time {
                Some(time) => {
                    let first = capture.ok().unwrap().next().unwrap();
                    assert_eq!(first, Some(replay::Record::Frame(time)), "{options:?}");
                }
                None => assert!(capture.is_err(), "{options:?}"),
            }
        }
    }

    #[test]
    fn blocks_without_times_and_sections_anew_are_played_too() {
        let simple = |octets: &[u8]| {
            let len = (octets.len() as u32).to_le_bytes();
            block(3, u32::to_le_bytes, &[&len, octets].concat())
        };
        let old = |octets: &[u8]| {
            let words = [0, 0, 7_000_000, octets.len() as u32, octets.len() as u32];
            block(
                2,
                u32::to_le_bytes,
                &[words.map(u32::to_le_bytes).as_flattened(), octets].concat(),
            )
        };
        let file = [
            section(),
            interface(1, &[]),
            simple(&frame(1, 19)),
            old(&frame(2, 21)),
            // Name resolution, of which we need nothing.
            block(4, u32::to_le_bytes, &[0; 4]),
            section(),
            interface(1, &[]),
            enhanced(0, 9, 20, &frame(3, 20)),
        ];
        let folder = Folder::new();
        let path = folder.file("in.pcapng", &file.concat());
        assert_eq!(play(&path).0, [frame(1, 19), frame(2, 21), frame(3, 20)]);
        let mut capture = Capture::of(fs::File::open(&path).unwrap()).unwrap();
        capture.next().unwrap();
        let time = Duration::from_secs(7);
        assert_eq!(capture.next().unwrap(), Some(replay::Record::Frame(time)));
    }

    #[test]
    fn parts_of_frames_and_other_interfaces_are_passed_over_and_counted() {
        let file = [
            section(),
            interface(1, &[]),
            interface(113, &[]),
            enhanced(0, 1, 60, &frame(1, 40)),
            enhanced(1, 2, 40, &frame(2, 40)),
            enhanced(0, 3, 70_000, &frame(3, 70_000)),
            enhanced(0, 4, 40, &frame(4, 40)),
        ];
        let folder = Folder::new();
        let (frames, status) = play(&folder.file("in.pcapng", &file.concat()));
        assert_eq!(frames, [frame(4, 40)]);
        assert_eq!((status.played(), status.skipped()), (1, 3));
        // The same in pcap: the second length is that of the frame on the wire.
        let mut file = pcap(0xa1b2_c3d4, 1, u32::to_le_bytes, &[frame(1, 40), frame(2, 40)]);
        file[24 + 12..24 + 16].copy_from_slice(&60u32.to_le_bytes());
        let (frames, status) = play(&folder.file("in.pcap", &file));
        assert_eq!((frames, status.skipped()), (vec![frame(2, 40)], 1));
    }

    #[test]
    fn frame_check_sequences_are_cut_off() {
        let folder = Folder::new();
        let whole = [frame(1, 40), vec![0xaa; 4]].concat();
        let link = 1 | 1 << 26 | 2 << 28;
        let file = pcap(0xa1b2_c3d4, link, u32::to_le_bytes, std::slice::from_ref(&whole));
        assert_eq!(play(&folder.file("in.pcap", &file)).0, [frame(1, 40)]);
        for len in [4, 32] {
            let options = [13, 0, 1, 0, len, 0, 0, 0, 0, 0, 0, 0];
            let file = [section(), interface(1, &options), enhanced(0, 1, 44, &whole)];
            assert_eq!(play(&folder.file("in.pcapng", &file.concat())).0, [frame(1, 40)]);
        }
    }

    #[test]
    fn file_that_was_cut_is_played_up_to_there_and_then_warned_of() {
        let folder = Folder::new();
        let whole = pcap(0xa1b2_c3d4, 1, u32::to_le_bytes, &frames()[..3]);
        let cut = |len| play(&folder.file("in.pcap", &whole[..len]));
        let (frames_played, status) = cut(whole.len() - 1);
        assert_eq!(frames_played, frames()[..2]);
        assert_eq!(
            status.take_warning().unwrap(),
            "it ends within a record; the 2 frames before that were played"
        );
        assert_eq!(status.take_warning(), None);
        let (frames_played, status) = cut(24 + 5);
        assert!(frames_played.is_empty());
        assert!(status.take_warning().is_some());
        // Nothing but the head is a whole file.
        let (frames_played, status) = cut(24);
        assert!(frames_played.is_empty());
        assert_eq!(status.take_warning(), None);
    }

    #[test]
    fn what_is_no_capture_of_ethernet_is_refused_with_a_sentence() {
        let folder = Folder::new();
        let other = [section(), interface(113, &[]), enhanced(0, 1, 40, &frame(1, 40))];
        for (octets, sentence) in [
            (vec![], "neither pcap nor pcapng"),
            (b"\x1f\x8b\x08\x00 compressed".to_vec(), "unpacked first"),
            (vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0], "neither pcap nor pcapng"),
            (section()[..20].to_vec(), "neither pcap nor pcapng"),
            (pcap(0xa1b2_c3d4, 113, u32::to_le_bytes, &frames()), "link type is 113"),
            (other.concat(), "link type is 113"),
            ([section(), enhanced(3, 1, 40, &frame(1, 40))].concat(), "a record is damaged"),
        ] {
            let path = folder.file("in", &octets);
            let text = refusal(&played(&path));
            assert!(text.starts_with(&format!("{}: ", path.display())), "{text}");
            assert!(text.contains(sentence), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_opened_is_refused_with_a_sentence() {
        let folder = Folder::new();
        let input = folder.file("in.pcap", &pcap(0xa1b2_c3d4, 1, u32::to_le_bytes, &frames()));
        let link = folder.path("link.pcap");
        std::os::unix::fs::symlink(&input, &link).unwrap();
        let fifo = folder.path("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let both = PcapConfig { output: Some(link), ..played(&input) };
        let speed = PcapConfig { speed: Speed::Original(f64::NAN), ..played(&input) };
        for (config, sentence) in [
            (PcapConfig::new(), "`in=FILE`"),
            (speed, "a speed is"),
            (both, "destroy it"),
            (played(&folder.path("absent")), "No such file"),
            (played(&fifo), "a FIFO"),
            (recorded(&fifo), "a FIFO"),
            (recorded(folder.0.path()), "a folder"),
            (recorded(&folder.path("absent/out.pcap")), "No such file"),
            // A full disk is known from the first octets on.
            (recorded(Path::new("/dev/full")), "No space left"),
        ] {
            let text = refusal(&config);
            assert!(text.contains(sentence), "{text}");
        }
        assert_eq!(play(&input).0, frames(), "the input was left alone");
    }

    #[test]
    fn any_octets_changed_or_cut_are_played_or_refused_but_never_a_panic() {
        let folder = Folder::new();
        let ng = [section(), interface(1, &[9, 0, 1, 0, 9, 0, 0, 0, 0, 0, 0, 0])];
        let ng =
            [ng.concat(), enhanced(0, 1, 40, &frame(1, 40)), enhanced(0, 2, 41, &frame(2, 41))];
        let classic = pcap(0xa1b2_c3d4, 1, u32::to_le_bytes, &[frame(1, 40), frame(2, 41)]);
        let path = folder.path("in");
        let read = |octets: &[u8]| {
            fs::write(&path, octets).unwrap();
            let Ok(mut capture) = Capture::of(fs::File::open(&path).unwrap()) else { return };
            while let Ok(Some(_)) = capture.next() {}
        };
        for file in [ng.concat(), classic] {
            for at in 0..file.len() {
                read(&file[..at]);
                for value in [0, 1, 0x7f, 0x80, 0xff] {
                    let mut changed = file.clone();
                    changed[at] = value;
                    read(&changed);
                }
            }
        }
    }

    /// What tshark makes of a file: the times in seconds and nanoseconds, and the lengths.
    fn tshark(path: &Path) -> Vec<(Duration, usize)> {
        let fields = ["-T", "fields", "-e", "frame.time_epoch", "-e", "frame.len"];
        let output = Command::new("tshark").arg("-nr").arg(path).args(fields).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        let lines = text.lines().map(|line| {
            let (time, len) = line.split_once('\t').unwrap();
            let (seconds, fraction) = time.split_once('.').unwrap();
            assert_eq!(fraction.len(), 9, "{time}");
            let time = Duration::new(seconds.parse().unwrap(), fraction.parse().unwrap());
            (time, len.parse().unwrap())
        });
        lines.collect()
    }

    #[test]
    fn other_programs_read_what_was_written_with_the_right_times() {
        let folder = Folder::new();
        for name in ["out.pcap", "out.pcapng", "out"] {
            let path = folder.path(name);
            let since_1970 = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
            let begin = since_1970();
            let (_rx, mut tx) = Pcap::open(&recorded(&path)).unwrap().split().unwrap();
            let sizes = [14, 60, 1514, 65_549];
            let sent =
                send(&mut tx, &sizes.map(|len| frame(len as u32, len.max(18))[..len].to_vec()));
            assert_eq!(sent.frames, 4);
            drop(tx);
            let end = since_1970();
            let frames = tshark(&path);
            assert_eq!(frames.iter().map(|(_, len)| *len).collect::<Vec<_>>(), sizes, "{name}");
            let times =
                [begin].into_iter().chain(frames.iter().map(|(time, _)| *time)).chain([end]);
            assert!(times.clone().is_sorted(), "{name}: {:?}", times.collect::<Vec<_>>());
        }
    }

    #[test]
    fn file_can_be_read_while_the_port_still_records() {
        let folder = Folder::new();
        let path = folder.path("out.pcapng");
        let port = Pcap::open(&recorded(&path)).unwrap();
        let (_rx, mut tx) = port.split().unwrap();
        send(&mut tx, &frames()[..10]);
        wait("what was gathered is written", || play(&path).0.len() == 10);
        assert_eq!(play(&path).1.take_warning(), None);
        send(&mut tx, &frames()[10..20]);
        wait("and again", || play(&path).0.len() == 20);
    }

    #[test]
    fn port_without_output_takes_what_is_sent_and_stays_at_the_end_of_its_input() {
        let folder = Folder::new();
        let path = folder.file("in.pcap", &pcap(0xa1b2_c3d4, 1, u32::to_le_bytes, &frames()[..1]));
        let port = Pcap::open(&played(&path)).unwrap();
        let status = port.status();
        let (mut rx, mut tx) = port.split().unwrap();
        wait("the input ends", || status.finished());
        let mut arena = Arena::new();
        assert_eq!(rx[0].recv(&mut arena).unwrap().len(), 1);
        assert!(rx[0].recv(&mut arena).unwrap().is_empty());
        for _ in 0..1000 {
            assert_eq!(send(&mut tx, &frames()[..BATCH_MAX]).frames, BATCH_MAX as u64);
        }
        assert!(!tx.takes_offloads());
    }

    #[test]
    fn capture_is_played_in_its_own_time_or_in_another() {
        let folder = Folder::new();
        let path = folder.file("in.pcap", &pcap(0xa1b2_c3d4, 1, u32::to_le_bytes, &frames()[..3]));
        for (speed, least) in [("10x", 200), ("top", 0), ("20", 100)] {
            let config = PcapConfig { speed: speed.parse().unwrap(), ..played(&path) };
            let port = Pcap::open(&config).unwrap();
            let status = port.status();
            let begin = Instant::now();
            let _halves = port.split().unwrap();
            wait("the input ends", || status.finished());
            assert!(begin.elapsed() >= Duration::from_millis(least), "{speed}");
        }
    }

    #[test]
    fn port_is_closed_at_once_while_its_next_frame_is_years_away() {
        let folder = Folder::new();
        let mut file = pcap(0xa1b2_c3d4, 1, u32::to_le_bytes, &frames()[..2]);
        let second = 24 + 16 + frames()[0].len();
        file[second..second + 4].copy_from_slice(&u32::MAX.to_le_bytes());
        let path = folder.file("in.pcap", &file);
        let port =
            Pcap::open(&PcapConfig { speed: Speed::Original(1e-9), ..played(&path) }).unwrap();
        let status = port.status();
        let halves = port.split().unwrap();
        wait("the first is played", || status.played() == 1);
        drop(halves);
        assert!(!status.finished());
    }

    #[test]
    fn speeds_are_read_from_text() {
        for (text, speed) in [
            ("original", Speed::Original(1.0)),
            ("0.5x", Speed::Original(0.5)),
            ("1000", Speed::Flat(1000)),
            ("top", Speed::Top),
        ] {
            assert_eq!(text.parse(), Ok(speed));
        }
        for text in ["", "0", "0x", "-1x", "infx", "nanx", "x", "fast", "1.5"] {
            assert_eq!(text.parse::<Speed>(), Err(SpeedError), "{text}");
        }
    }

    /// A disk with room for so many octets.
    struct Disk(usize);

    impl Write for Disk {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            self.0 = self.0.checked_sub(octets.len()).ok_or(ErrorKind::StorageFull)?;
            Ok(octets.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn disk_that_is_full_is_told_by_the_receiving_half_and_sending_goes_on() {
        let recording = Recording::begin(Disk(1000), true, "out.pcap".into()).ok().unwrap();
        let status = PcapStatus::default();
        let (mut rx, mut tx) = start(None, Some(recording), Speed::Top, 1500, status).unwrap();
        assert_eq!(send(&mut tx, &[frame(1, 1000)]).frames, 1);
        let mut arena = Arena::new();
        let mut error = None;
        wait("the port is closed", || {
            error = rx[0].recv(&mut arena).err();
            error.is_some()
        });
        let error = error.unwrap();
        assert_eq!(error.kind(), ErrorKind::StorageFull);
        assert!(error.to_string().starts_with("out.pcap: it could not be written: "), "{error}");
        assert_eq!(send(&mut tx, &[frame(2, 1000)]).gone, 0);
    }

    #[test]
    fn port_whose_disk_is_full_leaves_the_switch_with_one_event() {
        struct Full(Recording<Disk>);
        impl Port for Full {
            type Rx = PcapRx;
            type Tx = PcapTx;
            fn split(self) -> io::Result<(Vec<PcapRx>, PcapTx)> {
                let folder = Folder::new();
                let octets = pcap(0xa1b2_c3d4, 1, u32::to_le_bytes, &frames());
                let capture =
                    Capture::of(fs::File::open(folder.file("in.pcap", &octets)).unwrap()).ok();
                start(capture, Some(self.0), Speed::Flat(1000), 1500, PcapStatus::default())
            }
        }
        let mut handle = switch::start(&SwitchConfig::default()).unwrap();
        for name in ["a", "b"] {
            let room = if name == "a" { 1000 } else { usize::MAX };
            let recording = Recording::begin(Disk(room), true, name.into()).ok().unwrap();
            handle.add(PortConfig::named(name), Full(recording)).unwrap();
        }
        let mut events = Vec::new();
        wait("it leaves", || {
            events.extend(handle.tend());
            !events.is_empty()
        });
        let [Event::Detached { name, error: Some(error), .. }] = &events[..] else {
            panic!("{events:?}");
        };
        assert_eq!(name, "a");
        assert!(error.to_string().contains("could not be written"), "{error}");
        assert!(handle.tend().is_empty());
    }

    /// The captures that somebody names: refused with a sentence, or played without loss.
    #[test]
    fn captures_of_others_are_played_whole_or_refused() {
        let Some(folder) = std::env::var_os("USWITCH_FRAMES") else {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "CI has captures");
            eprintln!("SKIPPED: USWITCH_FRAMES names no folder of captures");
            return;
        };
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        for path in entries.filter(|path| path.extension().is_some_and(|suffix| suffix == "pcap")) {
            let Err(error) = Pcap::open(&played(&path)) else {
                let (frames, status) = play(&path);
                assert_eq!(frames.len() as u64, status.played());
                let read = tshark_lengths(&path);
                let all = frames.len() as u64 + status.skipped();
                assert_eq!(all, read.len() as u64, "{}", path.display());
                if status.skipped() == 0 {
                    assert_eq!(frames.iter().map(Vec::len).collect::<Vec<_>>(), read);
                }
                continue;
            };
            assert!(error.to_string().contains(": "), "{error}");
        }
    }

    /// The captured lengths as tshark reads them; it fails on damaged files, after what is whole.
    fn tshark_lengths(path: &Path) -> Vec<usize> {
        let fields = ["-T", "fields", "-e", "frame.cap_len"];
        let output = Command::new("tshark").arg("-nr").arg(path).args(fields).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(|line| line.parse().unwrap()).collect()
    }

    #[test]
    fn output_that_is_there_is_written_anew() {
        let folder = Folder::new();
        let path = folder.file("out.pcap", &[0xaa; 5000]);
        let (rx, tx) = Pcap::open(&recorded(&path)).unwrap().split().unwrap();
        drop((rx, tx));
        assert_eq!(fs::metadata(&path).unwrap().len(), 24);
    }
}

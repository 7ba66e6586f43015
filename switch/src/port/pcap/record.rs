//! Writes what comes over the line into a capture, each frame with the time at which it came.
//!
//! Records are gathered and written whole, at least once a second: whatever ends this program,
//! the file can be read.

use std::{
    borrow::Cow,
    fs::File,
    io::{self, Write},
    os::fd::{AsFd, AsRawFd, OwnedFd},
    path::Path,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, ppoll},
    sys::{
        socket::{Shutdown, shutdown},
        time::TimeSpec,
    },
    unistd::read,
};
use pcap_file::{
    DataLink, Endianness, PcapError, TsResolution,
    pcap::PcapHeader,
    pcapng::{
        PcapNgWriter,
        blocks::{
            enhanced_packet::EnhancedPacketBlock,
            interface_description::{InterfaceDescriptionBlock, InterfaceDescriptionOption},
        },
    },
};

use super::PcapStatus;
use crate::{frame::WIRE_MAX, offload::VNET_HEADER_LEN};

/// So much is gathered before it is written.
const GATHER_OCTETS: usize = 64 * 1024;
/// A record is written so long after its frame came, at the latest.
const GATHER_TIME: Duration = Duration::from_secs(1);
/// Times in units of 10^-9 seconds (draft-ietf-opsawg-pcapng, 4.2, if_tsresol). The crate writes
/// nanoseconds in any case: without this option every reader would take them for microseconds.
const TSRESOL_NANOSECONDS: u8 = 9;

/// A capture that is being written.
pub(super) struct Recording<W> {
    format: Format,
    file: W,
    /// What errors call it.
    name: String,
}

/// How records are written, with those that were gathered.
enum Format {
    Classic(Vec<u8>),
    Ng(PcapNgWriter<Vec<u8>>),
}

impl Recording<File> {
    /// Empties the file, and writes its head.
    pub(super) fn create(file: File, path: &Path) -> io::Result<Recording<File>> {
        let classic = path.extension().is_some_and(|suffix| suffix == "pcap");
        // Of a device there is nothing to be emptied.
        if file.metadata()?.is_file() {
            file.set_len(0)?;
        }
        Recording::begin(file, classic, path.display().to_string())
    }
}

impl<W: Write> Recording<W> {
    /// Writes the head of a capture.
    pub(super) fn begin(file: W, classic: bool, name: String) -> io::Result<Recording<W>> {
        let mut gathered = Vec::with_capacity(GATHER_OCTETS + WIRE_MAX);
        let format = if classic {
            let header = PcapHeader {
                snaplen: WIRE_MAX as u32,
                ts_resolution: TsResolution::NanoSecond,
                endianness: Endianness::native(),
                ..PcapHeader::default()
            };
            header.write_to(&mut gathered).map_err(system)?;
            Format::Classic(gathered)
        } else {
            let mut writer = PcapNgWriter::new(gathered).map_err(system)?;
            let interface = InterfaceDescriptionBlock {
                linktype: DataLink::ETHERNET,
                snaplen: 0,
                options: vec![InterfaceDescriptionOption::IfTsResol(TSRESOL_NANOSECONDS)],
            };
            writer.write_pcapng_block(interface).map_err(system)?;
            Format::Ng(writer)
        };
        let mut recording = Recording { format, file, name };
        recording.flush()?;
        Ok(recording)
    }

    /// Gathers one frame, which came at this time since 1970.
    fn record(&mut self, time: Duration, octets: &[u8]) -> io::Result<()> {
        let len = octets.len() as u32;
        match &mut self.format {
            // draft-ietf-opsawg-pcap, 5: seconds, nanoseconds, captured and original length.
            Format::Classic(gathered) => {
                let words = [time.as_secs() as u32, time.subsec_nanos(), len, len];
                gathered.extend(words.map(u32::to_ne_bytes).as_flattened());
                gathered.extend(octets);
            }
            Format::Ng(writer) => {
                let (data, options) = (Cow::Borrowed(octets), Vec::new());
                let packet = EnhancedPacketBlock {
                    interface_id: 0,
                    timestamp: time,
                    original_len: len,
                    data,
                    options,
                };
                writer.write_pcapng_block(packet).map_err(system)?;
            }
        }
        if self.gathered().len() < GATHER_OCTETS { Ok(()) } else { self.flush() }
    }

    /// Writes what was gathered.
    fn flush(&mut self) -> io::Result<()> {
        let gathered = match &mut self.format {
            Format::Classic(gathered) => gathered,
            Format::Ng(writer) => writer.get_mut(),
        };
        let written = self.file.write_all(gathered).and_then(|()| self.file.flush());
        gathered.clear();
        written
    }

    fn gathered(&self) -> &[u8] {
        match &self.format {
            Format::Classic(gathered) => gathered,
            Format::Ng(writer) => writer.get_ref(),
        }
    }
}

/// In memory, writing cannot fail but for what we got wrong.
fn system(error: PcapError) -> io::Error {
    match error {
        PcapError::IoError(error) => error,
        other => io::Error::other(other),
    }
}

/// The thread that records.
pub(super) struct Recorder<W> {
    pub(super) recording: Recording<W>,
    pub(super) line: Arc<OwnedFd>,
    pub(super) status: PcapStatus,
}

impl<W: Write> Recorder<W> {
    /// Runs until the port is closed, and then writes what is left.
    pub(super) fn run(mut self) {
        let mut wire = vec![0; WIRE_MAX];
        let mut failed = false;
        let mut flushed = Instant::now();
        loop {
            match read(&self.line, &mut wire) {
                Ok(0) => break,
                // After a failure the line is still emptied, lest the port be found gone by a
                // sender, who cannot tell why.
                Ok(_) if failed => {}
                Ok(len) => {
                    let octets = wire[..len].get(VNET_HEADER_LEN..).unwrap_or_default();
                    let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                    failed = !self.succeeded(|recording| recording.record(time, octets));
                    self.status.lock().recorded += u64::from(!failed);
                }
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => {
                    let rest = GATHER_TIME.saturating_sub(flushed.elapsed());
                    let waits = !self.recording.gathered().is_empty();
                    self.wait(waits.then_some(rest));
                }
                Err(_) => break,
            }
            if flushed.elapsed() >= GATHER_TIME {
                failed = failed || !self.succeeded(Recording::flush);
                flushed = Instant::now();
            }
        }
        if !failed {
            self.succeeded(Recording::flush);
        }
    }

    /// Does something with the file. If that fails, the port is closed towards the switch, and
    /// its receiving half tells why.
    fn succeeded(&mut self, act: impl FnOnce(&mut Recording<W>) -> io::Result<()>) -> bool {
        let Err(error) = act(&mut self.recording) else { return true };
        let text = format!("{}: it could not be written: {error}", self.recording.name);
        let mut counts = self.status.lock();
        counts.warning = Some(text.clone());
        counts.error = Some(io::Error::new(error.kind(), text));
        drop(counts);
        // It fails for nobody: the line is open.
        let _ = shutdown(self.line.as_raw_fd(), Shutdown::Write);
        false
    }

    /// Waits for a frame or the end, so long at the most.
    fn wait(&self, time: Option<Duration>) {
        let mut fds = [PollFd::new(self.line.as_fd(), PollFlags::POLLIN)];
        // Fails when a signal comes: then the caller looks again.
        let _ = ppoll(&mut fds, time.map(TimeSpec::from), None);
    }
}

//! From the switch to whoever reads: block by block, each whole, as long as both are there.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, ErrorKind, Read, Write},
    net::Shutdown,
    os::{fd::AsFd, unix::net::UnixStream},
};

use crossbeam_channel::Receiver;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use pcap_file::pcapng::{
    Block, PcapNgParser, blocks::interface_statistics::InterfaceStatisticsOption,
};

use super::{Seen, line};

/// Octets of a block at the most: a frame, and room for its options.
const BLOCK_MAX: usize = 1 << 20;
/// Octets of a block beside its body: type and length, and the length again (3.1).
const BLOCK_FRAME: usize = 12;

/// How it ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// As somebody wished.
    Asked,
    /// The switch has ended.
    Switch,
    /// The line to the switch broke.
    CutOff(String),
    /// Who read what is written has gone.
    NobodyReads,
    /// It could not be written.
    Failed(io::Error),
}

/// A capture that is being passed on.
pub(super) struct Pump {
    pub(super) stream: BufReader<UnixStream>,
    pub(super) out: File,
    /// As lines.
    pub(super) lines: bool,
    /// No more frames than so many.
    pub(super) count: Option<u64>,
    /// Whether somebody has wished the end.
    pub(super) wished: Receiver<()>,
}

/// What has come of it so far.
#[derive(Default)]
struct Passed {
    parser: Option<PcapNgParser>,
    /// What is to be written.
    gathered: Vec<u8>,
    seen: Seen,
    /// Ports of which the switch has told all.
    told: usize,
}

impl Pump {
    /// Passes on what comes until there is no more.
    pub(super) fn run(mut self) -> (Seen, Ended) {
        let mut passed = Passed::default();
        let ended = self.pass(&mut passed);
        let ended = match (self.out.write_all(&passed.gathered), ended) {
            (Ok(()), ended) => ended,
            (Err(_), ended @ (Ended::NobodyReads | Ended::Failed(_))) => ended,
            (Err(error), _) => failed(error),
        };
        (passed.seen, ended)
    }

    fn pass(&mut self, passed: &mut Passed) -> Ended {
        let mut block = Vec::new();
        loop {
            if self.stream.buffer().is_empty() {
                let written = self.out.write_all(&passed.gathered);
                passed.gathered.clear();
                if let Err(error) = written {
                    return failed(error);
                }
                if !self.wait() {
                    return Ended::NobodyReads;
                }
            }
            match self.next(&mut block) {
                Ok(true) => {}
                Ok(false) if passed.is_full(self.count) => return Ended::Asked,
                Ok(false) if !passed.is_whole() => {
                    return Ended::CutOff("it has not told the end".to_owned());
                }
                Ok(false) if self.wished.try_recv().is_ok() => return Ended::Asked,
                Ok(false) => return Ended::Switch,
                Err(error) => return Ended::CutOff(netlab::reason(&error)),
            }
            let was_full = passed.is_full(self.count);
            if let Err(why) = passed.take(&block, self.lines, was_full) {
                return Ended::CutOff(why);
            }
            if !was_full && passed.is_full(self.count) {
                // It sends what it still has, and the end.
                let _ = self.stream.get_ref().shutdown(Shutdown::Write);
            }
        }
    }

    /// Waits for the switch. `false`: who reads what is written has gone.
    fn wait(&self) -> bool {
        // Of the output nothing is wanted: that it has been closed is always told.
        let mut polled = [
            PollFd::new(self.stream.get_ref().as_fd(), PollFlags::POLLIN),
            PollFd::new(self.out.as_fd(), PollFlags::empty()),
        ];
        loop {
            // Fails when a signal comes.
            if poll(&mut polled, PollTimeout::NONE).is_err() {
                continue;
            }
            let found = polled[1].revents().unwrap_or(PollFlags::empty());
            return !found.intersects(PollFlags::POLLERR | PollFlags::POLLHUP);
        }
    }

    /// Reads the next block. `false`: there is none.
    fn next(&mut self, block: &mut Vec<u8>) -> io::Result<bool> {
        block.clear();
        if self.stream.fill_buf()?.is_empty() {
            return Ok(false);
        }
        let mut head = [0; 8];
        self.stream.read_exact(&mut head)?;
        let [.., a, b, c, d] = head;
        let len = u32::from_ne_bytes([a, b, c, d]) as usize;
        if !(BLOCK_FRAME..=BLOCK_MAX).contains(&len) {
            return Err(io::Error::new(ErrorKind::InvalidData, "it sends what is no capture"));
        }
        block.extend(head);
        block.resize(len, 0);
        self.stream.read_exact(&mut block[head.len()..])?;
        Ok(true)
    }
}

impl Passed {
    /// Takes a block, and says in `gathered` what is to be said of it; nothing of a frame that is
    /// `beyond` what was asked for.
    fn take(&mut self, block: &[u8], lines: bool, beyond: bool) -> Result<(), String> {
        let wrong = |error| format!("it sends what is no capture: {error}");
        let Some(parser) = &mut self.parser else {
            let (_, parser) = PcapNgParser::new(block).map_err(wrong)?;
            self.parser = Some(parser);
            if !lines {
                self.gathered.extend(block);
            }
            return Ok(());
        };
        match parser.next_block(block).map_err(wrong)?.1 {
            Block::EnhancedPacket(_) if beyond => return Ok(()),
            Block::EnhancedPacket(packet) => {
                self.seen.captured += 1;
                if lines {
                    let name = parser.packet_interface(&packet).and_then(line::name);
                    let text = line::line(&packet, name.unwrap_or("?"));
                    self.gathered.extend(text.as_bytes());
                }
            }
            Block::InterfaceStatistics(end) => {
                self.told += 1;
                let lost = end.options.iter().map(|option| match option {
                    InterfaceStatisticsOption::IsbIfDrop(lost) => *lost,
                    _ => 0,
                });
                self.seen.lost += lost.sum::<u64>();
            }
            _ => {}
        }
        if !lines {
            self.gathered.extend(block);
        }
        Ok(())
    }

    fn is_full(&self, count: Option<u64>) -> bool {
        count.is_some_and(|count| self.seen.captured >= count)
    }

    /// Whether the switch has told all of every port.
    fn is_whole(&self) -> bool {
        self.parser.as_ref().is_some_and(|parser| self.told == parser.interfaces().len())
    }
}

/// Nobody who reads is no failure: he has seen enough.
fn failed(error: io::Error) -> Ended {
    match error.kind() {
        ErrorKind::BrokenPipe => Ended::NobodyReads,
        _ => Ended::Failed(error),
    }
}

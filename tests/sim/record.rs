//! What a run leaves when it fails: what was done, step by step, and a capture for each port.

use std::{collections::BTreeMap, fs, io, path::PathBuf};

use uswitch::fdb::Tick;

use crate::model::octets;

/// The steps so far; with captures only in a run that is repeated because it failed.
#[derive(Default)]
pub struct Record {
    capturing: bool,
    pub steps: Vec<String>,
    /// By port: when, and the frame.
    captures: BTreeMap<usize, Vec<(i64, Vec<u8>)>>,
}

impl Record {
    /// A record that keeps the frames, too.
    pub fn capturing() -> Record {
        Record { capturing: true, ..Record::default() }
    }

    /// Notes a frame that went in or came out by a port.
    pub fn frame(&mut self, port: usize, now: i64, wire: &[u8]) {
        if self.capturing {
            self.captures.entry(port).or_default().push((now, octets(wire).to_vec()));
        }
    }

    /// Writes all into a folder under the build directory, and says which.
    pub fn leave(&self, seed: u64) -> io::Result<PathBuf> {
        let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        let folder = target.parent().unwrap_or(&target).join(format!("sim/{seed}"));
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("steps.txt"), self.steps.join("\n") + "\n")?;
        for (port, frames) in &self.captures {
            fs::write(folder.join(format!("port{port}.pcap")), pcap(frames))?;
        }
        Ok(folder)
    }
}

/// The classic capture format (draft-ietf-opsawg-pcap): a header, then each frame behind its
/// time in seconds and microseconds and its length, twice.
fn pcap(frames: &[(i64, Vec<u8>)]) -> Vec<u8> {
    const LINKTYPE_ETHERNET: u32 = 1;
    const SNAP_LEN: u32 = 262_144;
    let mut file = Vec::new();
    for word in [0xa1b2_c3d4, 4 << 16 | 2, 0, 0, SNAP_LEN, LINKTYPE_ETHERNET] {
        file.extend(u32::to_le_bytes(word));
    }
    for (now, octets) in frames {
        let millis = *now as u64 * Tick::MILLIS;
        let (seconds, micros) = ((millis / 1000) as u32, (millis % 1000 * 1000) as u32);
        let len = octets.len() as u32;
        for word in [seconds, micros, len, len] {
            file.extend(word.to_le_bytes());
        }
        file.extend(octets);
    }
    file
}

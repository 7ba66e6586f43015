//! Frames from files: our own corpus, written as hexadecimal text, and captures in classic pcap
//! or as single frames, from a folder that somebody names.
//!
//! It stands on the standard library alone, so that `fuzz/seeds.rs` can include it.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The variable that names the folder of captures.
pub const FRAMES_VARIABLE: &str = "USWITCH_FRAMES";

/// LINKTYPE_ETHERNET (the list of link types of tcpdump.org).
const LINK_ETHERNET: u32 = 1;
/// Octets of the header of a pcap file, and of the one of each record.
const FILE_HEADER_LEN: usize = 24;
const RECORD_HEADER_LEN: usize = 16;

/// The frames of one file, in its order.
pub struct Capture {
    /// The file's name.
    pub name: String,
    /// Whether the file says that these are Ethernet frames. Others are octets like any.
    pub is_ethernet: bool,
    /// The frames.
    pub frames: Vec<Vec<u8>>,
}

/// All frames of our own corpus, in the order of the files' names.
///
/// # Errors
///
/// What cannot be read or is not hexadecimal, with the file's name.
pub fn corpus(folder: &Path) -> io::Result<Vec<Capture>> {
    read_all(folder, "hex", |name, octets| {
        let text = String::from_utf8_lossy(octets);
        let frame = hex(&text).map_err(|why| format!("{name}: {why}"))?;
        Ok(Capture { name, is_ethernet: true, frames: vec![frame] })
    })
}

/// All captures of a folder: `.pcap` of many frames, `.bin` of one.
///
/// # Errors
///
/// What cannot be read or is not a capture, with the file's name.
pub fn captures(folder: &Path) -> io::Result<Vec<Capture>> {
    let mut captures = read_all(folder, "pcap", |name, octets| {
        let (link, frames) = pcap(octets).ok_or(format!("{name}: not a classic pcap file"))?;
        Ok(Capture { name, is_ethernet: link == LINK_ETHERNET, frames })
    })?;
    captures.extend(read_all(folder, "bin", |name, octets| {
        Ok(Capture { name, is_ethernet: true, frames: vec![octets.to_vec()] })
    })?);
    Ok(captures)
}

/// Reads all files of a folder with this ending, in the order of their names.
fn read_all(
    folder: &Path,
    ending: &str,
    read: impl Fn(String, &[u8]) -> Result<Capture, String>,
) -> io::Result<Vec<Capture>> {
    let entries = fs::read_dir(folder).map_err(|e| named(folder, e))?;
    let paths = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<PathBuf>>>()?;
    let mut paths: Vec<_> =
        paths.into_iter().filter(|path| path.extension().is_some_and(|e| e == ending)).collect();
    paths.sort();
    let files = paths.iter().map(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let octets = fs::read(path).map_err(|e| named(path, e))?;
        read(name, &octets).map_err(io::Error::other)
    });
    files.collect()
}

fn named(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// Reads octets in hexadecimal. White space separates them, `#` begins a comment, and `5a*46`
/// stands for 46 octets 5a.
///
/// # Errors
///
/// The word that is neither.
pub fn hex(text: &str) -> Result<Vec<u8>, String> {
    let mut octets = Vec::new();
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
    for word in lines.flat_map(str::split_whitespace) {
        let (digits, count) = word.split_once('*').unwrap_or((word, "1"));
        let count: usize = count.parse().map_err(|_| format!("{word}: not a count"))?;
        // `from_str_radix` would take a sign.
        if !digits.bytes().all(|b| b.is_ascii_hexdigit()) || digits.len() % 2 != 0 {
            return Err(format!("{word}: not hexadecimal"));
        }
        let pairs = (0..digits.len()).step_by(2).map(|at| &digits[at..at + 2]);
        let run = pairs.map(|pair| u8::from_str_radix(pair, 16)).collect::<Result<Vec<_>, _>>();
        octets.extend(run.map_err(|e| format!("{word}: {e}"))?.repeat(count));
    }
    Ok(octets)
}

/// Reads a classic pcap file, of either byte order, with microseconds or nanoseconds: the link
/// type and the frames (draft-ietf-opsawg-pcap). A last record that was cut is left out.
pub fn pcap(file: &[u8]) -> Option<(u32, Vec<Vec<u8>>)> {
    let magic: [u8; 4] = *file.first_chunk()?;
    let number: fn([u8; 4]) -> u32 = match u32::from_le_bytes(magic) {
        0xa1b2_c3d4 | 0xa1b2_3c4d => u32::from_le_bytes,
        0xd4c3_b2a1 | 0x4d3c_b2a1 => u32::from_be_bytes,
        _ => return None,
    };
    let field = |at: usize| Some(number(*file.get(at..)?.first_chunk()?));
    // The upper bits of the last field say how long a frame check sequence is: not our affair.
    let link = field(20)? & 0xffff;
    let mut frames = Vec::new();
    let mut at = FILE_HEADER_LEN;
    while let Some(len) = field(at + 8) {
        let begin = at + RECORD_HEADER_LEN;
        let Some(frame) = file.get(begin..begin + len as usize) else { break };
        frames.push(frame.to_vec());
        at = begin + len as usize;
    }
    Some((link, frames))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_text_has_comments_and_runs() {
        assert_eq!(hex("ff 0102 # a comment, 03\n5a*3"), Ok(vec![0xff, 1, 2, 0x5a, 0x5a, 0x5a]));
        for wrong in ["f", "+1", "5a*", "xy", "5a*-1", "é"] {
            assert!(hex(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn pcap_is_read_in_both_byte_orders_and_with_nanoseconds() {
        for magic in [0xa1b2_c3d4u32, 0xa1b2_3c4d] {
            for emit in [u32::to_le_bytes, u32::to_be_bytes] {
                let words = [magic, 0, 0, 0, 65_535, 1, 7, 8, 3, 60];
                let mut file = words.map(emit).concat();
                file.extend(b"abc");
                file.extend([7, 9, 2, 2].map(emit).concat());
                file.extend(b"de");
                let frames = vec![b"abc".to_vec(), b"de".to_vec()];
                assert_eq!(pcap(&file), Some((1, frames.clone())));
                // Cut in the last record: the first is there still.
                assert_eq!(pcap(&file[..file.len() - 1]), Some((1, frames[..1].to_vec())));
            }
        }
        assert_eq!(pcap(&[0; 24]), None);
        assert_eq!(pcap(b""), None);
    }
}

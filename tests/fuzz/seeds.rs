//! Writes inputs for the fuzz targets to begin with, from our corpus and from the captures of
//! the folder that `USWITCH_FRAMES` names: `seeds FOLDER`. It needs nothing but rustc.

use std::{env, fs, io, path::Path};

use captures::{FRAMES_VARIABLE, captures, corpus};

#[path = "../captures.rs"]
#[allow(dead_code)]
mod captures;

/// Frames in one input of the target `frame`.
const FRAMES_MAX: usize = 8;
/// No offloads.
const VNET_HEADER: [u8; 10] = [0; 10];

/// Command lines as `spec.rs` reads them.
const WORDS: [&str; 4] = [
    "Ptap0,tap1,tap2\nwauto\n",
    "ptap:tap0,netns=h1,mtu=9000,mac=02:00:00:00:00:01,queues=4,persist=on,name=a,quota=64\n",
    "Pa,b\nm1500\nw2\nc0-1,5\nb50\na300\ns4096\nq512\ngwire\n",
    "tap:tap0,name=x\nPa,a\nm0\nbalways\ngstandard\n",
];

/// What `neighbour.rs` reads: 10.0.0.4 is needed, asks for the router, answers; then fe80::2 asks.
#[rustfmt::skip]
const RECORDS: &[&[u8]] = &[
    &[4, 16, 1, 0],
    &[0, 0, 28, 0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 2, 10, 0, 0, 4,
      0, 0, 0, 0, 0, 0, 10, 0, 0, 1],
    &[0, 0, 28, 0, 1, 8, 0, 6, 4, 0, 2, 2, 0, 0, 0, 0, 2, 10, 0, 0, 4,
      2, 0, 0, 0, 0xff, 0, 10, 0, 0, 1],
    &[6, 40, 0],
    &[2, 0, 72, 0x60, 0, 0, 0, 0, 32, 58, 255,
      0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2,
      0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0, 0, 1,
      135, 0, 0, 0, 0, 0, 0, 0,
      0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,
      1, 1, 2, 0, 0, 0, 0, 2],
    &[2, 0, 72, 0x60, 0, 0, 0, 0, 32, 58, 255,
      0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2,
      0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,
      136, 0, 0, 0, 0x60, 0, 0, 0,
      0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2,
      2, 1, 2, 0, 0, 0, 0, 3],
];

fn main() -> io::Result<()> {
    let folder = env::args().nth(1).ok_or(io::Error::other("usage: seeds FOLDER"))?;
    let folder = Path::new(&folder);
    fs::create_dir_all(folder)?;
    let mut files = corpus(Path::new("../corpus"))?;
    if let Some(frames) = env::var_os(FRAMES_VARIABLE) {
        files.extend(captures(&Path::new("../..").join(frames))?);
    }
    for (number, words) in WORDS.iter().enumerate() {
        fs::write(folder.join(format!("words-{number}")), words)?;
    }
    fs::write(folder.join("records"), RECORDS.concat())?;
    for file in files {
        for (number, frames) in file.frames.chunks(FRAMES_MAX).enumerate() {
            fs::write(folder.join(format!("{}-{number}", file.name)), input(frames))?;
        }
    }
    Ok(())
}

/// An input as `frame.rs` reads it: settings, then the frames from one port after the other.
fn input(frames: &[Vec<u8>]) -> Vec<u8> {
    let records = frames.iter().enumerate().map(|(index, frame)| {
        let len = (VNET_HEADER.len() + frame.len()).min(u16::MAX.into());
        let [low, high] = (len as u16).to_le_bytes();
        [&[index as u8, low, high], &VNET_HEADER[..], frame].concat()
    });
    std::iter::once(vec![0]).chain(records).collect::<Vec<_>>().concat()
}

//! One frame of a capture, for who asks about it and plays nothing.

use std::{fs::File, path::Path};

use super::{
    Fault, PcapError,
    replay::{Capture, Damage, Record},
};
use crate::offload::VNET_HEADER_LEN;

/// The frame with this number, as Wireshark counts: from 1, and everything in the file.
///
/// # Errors
///
/// A sentence: there is no such frame, or not all of it, or the file is no capture.
pub fn read_frame(path: &Path, number: u64) -> Result<Vec<u8>, PcapError> {
    let failed = |fault| PcapError::new(path, fault);
    let refused = |damage| failed(Fault::Refused(damage));
    if number == 0 {
        return Err(failed(Fault::Zero));
    }
    let file = File::open(path).map_err(|error| refused(Damage::System(error)))?;
    let mut capture = Capture::of(file).map_err(refused)?;
    let mut count = 0;
    while let Some(record) = capture.next().map_err(refused)? {
        count += 1;
        if count < number {
            continue;
        }
        return match record {
            Record::Frame(_) => Ok(capture.wire()[VNET_HEADER_LEN..].to_vec()),
            Record::Partial => Err(failed(Fault::Partial(number))),
            Record::Foreign(link) => Err(refused(Damage::Link(link))),
        };
    }
    Err(failed(Fault::Missing { number, count }))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A capture with these records: octets that there are, and that there were on the wire.
    fn capture(records: &[(&[u8], u32)]) -> tempfile::NamedTempFile {
        let mut octets =
            [0xa1b2_c3d4u32, 0x0004_0002, 0, 0, 65_535, 1].map(u32::to_le_bytes).concat();
        for (data, len) in records {
            let header = [1, 0, data.len() as u32, *len].map(u32::to_le_bytes).concat();
            octets.extend([&header[..], data].concat());
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), octets).unwrap();
        file
    }

    #[test]
    fn frames_are_counted_from_one_and_all_of_them() {
        let file = capture(&[(&[1; 60], 60), (&[2; 60], 1514), (&[3; 14], 14)]);
        assert_eq!(read_frame(file.path(), 1).unwrap(), [1; 60]);
        assert_eq!(read_frame(file.path(), 3).unwrap(), [3; 14]);
        for (number, words) in [
            (2, "frame 2 is there in part only"),
            (4, "there is no frame 4: it has 3"),
            (0, "frames are numbered from 1"),
        ] {
            let error = read_frame(file.path(), number).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
            assert!(error.starts_with(&file.path().display().to_string()), "{error}");
        }
        assert!(read_frame(Path::new("/no/such/file"), 1).is_err());
    }
}

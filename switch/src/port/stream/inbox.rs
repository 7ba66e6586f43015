//! From octets to frames: what came in by a stream, until it is taken out frame by frame.

use std::io;

use crate::{frame::FRAME_MAX, offload::VNET_HEADER_LEN, port::stream::LENGTH_LEN};

/// Octets of an inbox: more than the largest frame, and more small ones than a batch has. Pages
/// that are never reached stay untouched.
const INBOX_OCTETS: usize = 128 * 1024;

const _: () = assert!(LENGTH_LEN + FRAME_MAX < INBOX_OCTETS, "there is always room to read");

/// Octets that were read and not yet taken.
pub(super) struct Inbox {
    octets: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Inbox {
    pub(super) fn new() -> Inbox {
        Inbox { octets: vec![0; INBOX_OCTETS].into_boxed_slice(), start: 0, end: 0 }
    }

    /// Reads once, behind what is there: less than a frame. Returns what `read` returned.
    #[inline]
    pub(super) fn read<E>(
        &mut self,
        read: impl FnOnce(&mut [u8]) -> Result<usize, E>,
    ) -> Result<usize, E> {
        self.octets.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        let len = read(&mut self.octets[self.end..])?;
        self.end += len;
        Ok(len)
    }

    /// Whether [`Inbox::take`] has something to say: a frame, or that there will be none.
    #[inline]
    pub(super) fn is_due(&self) -> bool {
        !matches!(self.peek(), Ok(None))
    }

    /// Copies the next frame to the start of `room`, behind an empty virtio-net header.
    ///
    /// # Errors
    ///
    /// `WouldBlock`: there is no whole frame. All else: the stream is out of step for good.
    #[inline]
    pub(super) fn take(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let len = self.peek()?.ok_or(io::ErrorKind::WouldBlock)?;
        let start = self.start + LENGTH_LEN;
        room[..VNET_HEADER_LEN].fill(0);
        room[VNET_HEADER_LEN..][..len].copy_from_slice(&self.octets[start..][..len]);
        self.start = start + len;
        Ok(VNET_HEADER_LEN + len)
    }

    /// The length of the next frame, if it is whole.
    #[inline]
    fn peek(&self) -> io::Result<Option<usize>> {
        let waiting = &self.octets[self.start..self.end];
        let Some((length, rest)) = waiting.split_first_chunk::<LENGTH_LEN>() else {
            return Ok(None);
        };
        let len = u32::from_be_bytes(*length) as usize;
        if !(1..=FRAME_MAX).contains(&len) {
            return Err(out_of_step(len));
        }
        Ok((rest.len() >= len).then_some(len))
    }
}

#[cold]
fn out_of_step(len: usize) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!(
            "the other end announced a frame of {len} octets, and one has 1 to {FRAME_MAX}: is \
             it a program that speaks QEMU's `-netdev stream`?"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{Arena, BATCH_MAX, WIRE_MAX};

    /// Frames as the stream carries them.
    fn stream(lens: &[usize]) -> Vec<u8> {
        let frame = |len: &usize| {
            let octets = (0..*len).map(|i| (i + len) as u8);
            (*len as u32).to_be_bytes().into_iter().chain(octets).collect::<Vec<_>>()
        };
        lens.iter().flat_map(frame).collect()
    }

    fn read(inbox: &mut Inbox, octets: &[u8]) {
        let copy = |room: &mut [u8]| {
            room[..octets.len()].copy_from_slice(octets);
            Ok::<_, ()>(octets.len())
        };
        assert_eq!(inbox.read(copy), Ok(octets.len()));
    }

    /// All frames that are whole.
    fn take(inbox: &mut Inbox) -> Vec<Vec<u8>> {
        let mut room = vec![0xff; WIRE_MAX];
        let mut frames = Vec::new();
        while inbox.is_due() {
            let len = inbox.take(&mut room).unwrap();
            assert_eq!(room[..VNET_HEADER_LEN], [0; VNET_HEADER_LEN]);
            frames.push(room[VNET_HEADER_LEN..len].to_vec());
        }
        assert_eq!(inbox.take(&mut room).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        frames
    }

    fn frames(lens: &[usize]) -> Vec<Vec<u8>> {
        lens.iter().map(|len| stream(&[*len])[LENGTH_LEN..].to_vec()).collect()
    }

    #[test]
    fn frames_are_the_same_wherever_the_stream_is_cut() {
        let lens = [60, 1, 14, 200];
        let octets = stream(&lens);
        for cut in 0..=octets.len() {
            let mut inbox = Inbox::new();
            read(&mut inbox, &octets[..cut]);
            let mut taken = take(&mut inbox);
            read(&mut inbox, &octets[cut..]);
            taken.extend(take(&mut inbox));
            assert_eq!(taken, frames(&lens), "cut at {cut}");
        }
    }

    #[test]
    fn frames_are_the_same_octet_by_octet() {
        let lens = [60, 1, 300];
        let mut inbox = Inbox::new();
        let mut taken = Vec::new();
        for octet in stream(&lens) {
            read(&mut inbox, &[octet]);
            taken.extend(take(&mut inbox));
        }
        assert_eq!(taken, frames(&lens));
    }

    #[test]
    fn largest_frame_passes_and_what_comes_behind_it() {
        let lens = [FRAME_MAX, 60, FRAME_MAX, FRAME_MAX, 1];
        let octets = stream(&lens);
        let (mut inbox, mut rest, mut taken) = (Inbox::new(), &octets[..], Vec::new());
        while !rest.is_empty() {
            let fill = |room: &mut [u8]| {
                assert!(!room.is_empty(), "a read of nothing would look like the end");
                let len = room.len().min(rest.len());
                room[..len].copy_from_slice(&rest[..len]);
                rest = &rest[len..];
                Ok::<_, ()>(len)
            };
            inbox.read(fill).unwrap();
            taken.extend(take(&mut inbox));
        }
        assert_eq!(taken, frames(&lens));
    }

    #[test]
    fn hostile_length_is_told_behind_the_frames_before_it_and_again() {
        for length in [0, FRAME_MAX as u32 + 1, u32::MAX] {
            let mut inbox = Inbox::new();
            read(&mut inbox, &[stream(&[60]), length.to_be_bytes().to_vec()].concat());
            let mut arena = Arena::new();
            assert_eq!(arena.fill(|room| inbox.take(room)).unwrap().len(), 1);
            for _ in 0..2 {
                assert!(inbox.is_due());
                let error = arena.fill(|room| inbox.take(room)).err().unwrap();
                assert_eq!(error.kind(), io::ErrorKind::InvalidData);
                assert!(error.to_string().contains(&format!(" {length} octets")), "{error}");
            }
        }
    }

    #[test]
    fn what_does_not_fit_a_batch_is_due_for_the_next() {
        let mut inbox = Inbox::new();
        read(&mut inbox, &stream(&[20; BATCH_MAX + 3]));
        let mut arena = Arena::new();
        assert_eq!(arena.fill(|room| inbox.take(room)).unwrap().len(), BATCH_MAX);
        assert!(inbox.is_due());
        assert_eq!(arena.fill(|room| inbox.take(room)).unwrap().len(), 3);
        assert!(!inbox.is_due());
    }

    proptest::proptest! {
        /// Whatever a stranger writes, and in whatever pieces: the frames are those that a reader
        /// of the whole finds, and behind a length that no frame has there is none.
        #[test]
        fn any_octets_in_any_pieces_are_the_same_frames(
            lens in proptest::collection::vec(0..90_usize, 0..20),
            pieces in proptest::collection::vec(1..200_usize, 1..20),
        ) {
            let octets = stream(&lens);
            let (mut inbox, mut rest, mut taken) = (Inbox::new(), &octets[..], Vec::new());
            for piece in pieces.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (now, then) = rest.split_at((*piece).min(rest.len()));
                read(&mut inbox, now);
                rest = then;
                let mut room = vec![0; WIRE_MAX];
                let end = loop {
                    match inbox.take(&mut room) {
                        Ok(len) => taken.push(room[VNET_HEADER_LEN..len].to_vec()),
                        Err(error) => break error.kind(),
                    }
                };
                if end != io::ErrorKind::WouldBlock {
                    break;
                }
            }
            let sound: Vec<_> = lens.iter().copied().take_while(|len| *len > 0).collect();
            proptest::prop_assert_eq!(taken, frames(&sound));
        }
    }
}

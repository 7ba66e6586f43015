//! From frames to octets: one write for many frames, and the rest of the one that was cut.
//!
//! A stream takes as many octets as it has room for, and may stop within a frame. What is left
//! of that frame must come next, whoever sends next: so it is kept here, and nothing else is
//! written before it. It is never more than one frame. The frames behind it found the port full.

use std::io::IoSlice;

use nix::errno::Errno;

use crate::{
    frame::{BATCH_MAX, FRAME_MAX, Selection, bits},
    port::{Sent, stream::LENGTH_LEN},
};

/// What is still to be written of a frame.
pub(super) struct Outbox {
    rest: Vec<u8>,
    /// Octets of it that are already gone.
    written: usize,
}

impl Outbox {
    pub(super) fn new() -> Outbox {
        Outbox { rest: Vec::with_capacity(LENGTH_LEN + FRAME_MAX), written: 0 }
    }

    /// Whether there is the rest of a frame.
    #[inline]
    pub(super) fn is_pending(&self) -> bool {
        self.written < self.rest.len()
    }

    /// Writes what is left of a frame.
    ///
    /// # Errors
    ///
    /// What `write` returned, if it does not pass.
    #[inline]
    pub(super) fn flush(
        &mut self,
        write: impl FnOnce(&[IoSlice<'_>]) -> nix::Result<usize>,
    ) -> nix::Result<()> {
        if self.is_pending() {
            self.written += passing(write(&[IoSlice::new(&self.rest[self.written..])]))?;
        }
        Ok(())
    }

    /// Writes the chosen frames behind what was left, and says what became of each. A frame of
    /// which a part was written is one that was taken.
    #[inline]
    pub(super) fn send(
        &mut self,
        mut frames: Selection<'_>,
        mut write: impl FnMut(&[IoSlice<'_>]) -> nix::Result<usize>,
    ) -> Sent {
        let mut sent = Sent::default();
        // No other end would take them: they end its stream.
        let misfits = bits(frames.mask)
            .filter(|index| !(1..=FRAME_MAX).contains(&frames.batch.frame(*index).octets().len()))
            .fold(0, |mask, index| mask | 1 << index);
        frames.mask &= !misfits;
        sent.refused = u64::from(misfits.count_ones());
        if self.flush(&mut write).is_err() {
            sent.gone = frames.len() as u64;
            return sent;
        }
        if self.is_pending() || frames.is_empty() {
            sent.full = frames.len() as u64;
            return sent;
        }
        let mut lengths = [[0; LENGTH_LEN]; BATCH_MAX];
        for (length, frame) in lengths.iter_mut().zip(frames.frames()) {
            *length = (frame.octets().len() as u32).to_be_bytes();
        }
        let mut slices = [IoSlice::new(&[]); 2 * BATCH_MAX];
        for ((pair, length), frame) in slices.chunks_mut(2).zip(&lengths).zip(frames.frames()) {
            pair.copy_from_slice(&[IoSlice::new(length), IoSlice::new(frame.octets())]);
        }
        match passing(write(&slices[..2 * frames.len()])) {
            Ok(written) => self.account(frames, &lengths, written, &mut sent),
            Err(_) => sent.gone = frames.len() as u64,
        }
        sent
    }

    /// Tells by how much was written what became of each frame, and keeps the rest of one.
    #[inline]
    fn account(
        &mut self,
        frames: Selection<'_>,
        lengths: &[[u8; LENGTH_LEN]],
        mut written: usize,
        sent: &mut Sent,
    ) {
        for (length, frame) in lengths.iter().zip(frames.frames()) {
            let octets = frame.octets();
            let whole = LENGTH_LEN + octets.len();
            if written == 0 {
                sent.full += 1;
                continue;
            }
            if written < whole {
                self.rest.clear();
                self.rest.extend_from_slice(&length[written.min(LENGTH_LEN)..]);
                self.rest.extend_from_slice(&octets[written.saturating_sub(LENGTH_LEN)..]);
                self.written = 0;
            }
            written = written.saturating_sub(whole);
            sent.took(frame);
        }
    }
}

/// That there is no room at the moment is a write of nothing (net/unix/af_unix.c, net/ipv4/tcp.c).
#[inline]
fn passing(written: nix::Result<usize>) -> nix::Result<usize> {
    match written {
        Err(Errno::EAGAIN | Errno::ENOBUFS | Errno::ENOMEM | Errno::EINTR) => Ok(0),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        frame::{Batch, Span},
        offload::VNET_HEADER_LEN,
    };

    /// Frames of these lengths in one batch, and what they are on a stream.
    fn batch(lens: &[usize]) -> (Vec<u8>, Vec<Span>, Vec<u8>) {
        let (mut memory, mut spans, mut stream) = (Vec::new(), Vec::new(), Vec::new());
        for len in lens {
            let octets: Vec<_> = (0..*len).map(|i| (i * 7 + len) as u8).collect();
            let (start, len) = (memory.len() as u32, (VNET_HEADER_LEN + len) as u32);
            spans.push(Span { start, len });
            memory.extend([0; VNET_HEADER_LEN]);
            memory.extend(&octets);
            stream.extend((octets.len() as u32).to_be_bytes());
            stream.extend(&octets);
        }
        (memory, spans, stream)
    }

    /// Writes up to `room` octets to `stream`.
    fn write(
        stream: &mut Vec<u8>,
        mut room: usize,
    ) -> impl FnMut(&[IoSlice<'_>]) -> nix::Result<usize> {
        move |slices| {
            let octets: Vec<_> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
            let len = octets.len().min(room);
            if len == 0 {
                return Err(Errno::EAGAIN);
            }
            room -= len;
            stream.extend(&octets[..len]);
            Ok(len)
        }
    }

    #[test]
    fn write_that_is_cut_anywhere_is_completed_before_anything_else() {
        let (memory, spans, whole) = batch(&[60, 14, 200]);
        let frames = Selection { batch: Batch::new(&memory, &spans), mask: 0b111 };
        let ends = [0, 64, 82, whole.len()];
        for cut in 0..=whole.len() {
            let (mut outbox, mut stream) = (Outbox::new(), Vec::new());
            let sent = outbox.send(frames, write(&mut stream, cut));
            // As many as were begun.
            let begun = ends[..3].iter().filter(|end| **end < cut).count();
            assert_eq!((sent.frames, sent.full), (begun as u64, 3 - begun as u64), "cut at {cut}");
            assert_eq!(outbox.is_pending(), !ends.contains(&cut));
            let again = outbox.send(frames, write(&mut stream, usize::MAX));
            assert_eq!(again, Sent { frames: 3, octets: 274, ..Sent::default() });
            assert_eq!(stream, [&whole[..ends[begun]], &whole].concat(), "cut at {cut}");
        }
    }

    #[test]
    fn rest_is_written_octet_by_octet_and_nothing_comes_between() {
        let (memory, spans, whole) = batch(&[60]);
        let frames = Selection { batch: Batch::new(&memory, &spans), mask: 1 };
        let (mut outbox, mut stream) = (Outbox::new(), Vec::<u8>::new());
        // There is room again at each call, and never for more.
        let mut write = |slices: &[IoSlice<'_>]| {
            stream.extend(slices.iter().flat_map(|slice| slice.iter()).take(1));
            Ok(1)
        };
        assert_eq!(outbox.send(frames, &mut write).frames, 1);
        for _ in 2..whole.len() {
            assert_eq!(outbox.send(frames, &mut write).full, 1);
        }
        outbox.flush(&mut write).unwrap();
        assert!(!outbox.is_pending());
        assert_eq!(stream, whole);
    }

    #[test]
    fn what_no_other_end_would_take_is_refused_alone() {
        let (memory, spans, whole) = batch(&[60, FRAME_MAX + 1, FRAME_MAX, 0]);
        let frames = Selection { batch: Batch::new(&memory, &spans), mask: 0b1111 };
        let (mut outbox, mut stream) = (Outbox::new(), Vec::new());
        let sent = outbox.send(frames, write(&mut stream, usize::MAX));
        assert_eq!((sent.frames, sent.refused), (2, 2));
        let large = LENGTH_LEN + FRAME_MAX + 1;
        assert_eq!(stream, [&whole[..64], &whole[64 + large..whole.len() - LENGTH_LEN]].concat());
    }

    #[test]
    fn other_end_that_is_gone_is_told_with_and_without_a_rest() {
        let (memory, spans, _) = batch(&[60, 60]);
        let frames = Selection { batch: Batch::new(&memory, &spans), mask: 0b11 };
        let (mut outbox, mut stream) = (Outbox::new(), Vec::new());
        let gone = Sent { gone: 2, ..Sent::default() };
        assert_eq!(outbox.send(frames, |_| Err(Errno::EPIPE)), gone);
        outbox.send(frames, write(&mut stream, 5));
        assert_eq!(outbox.send(frames, |_| Err(Errno::ECONNRESET)), gone);
        assert_eq!(outbox.flush(|_| Err(Errno::EPIPE)), Err(Errno::EPIPE));
    }
}

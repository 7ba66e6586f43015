//! The thread that writes for a switch that runs: what the control loop tells goes into a bounded
//! queue, so that whoever does not read standard error, or standard output, makes nobody wait. Once
//! there is a pen, everything that this program tells goes through it, in its order; both streams
//! too, as they may be one.
//!
//! A text that finds no room in the queue is lost whole, and when there is room again, it is told
//! how many were. At the end the pen is waited for as long as it gets on, so that the last words
//! are read; a reader who takes nothing for [`PATIENCE`] is given up.

use std::{
    collections::VecDeque,
    io,
    os::fd::AsFd,
    sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError},
    thread,
    time::Duration,
};

use nix::{errno::Errno, unistd};

/// Octets that wait to be written at the most.
const WAITING_MAX: usize = 256 * 1024;
/// How long, at the end, a reader may take for a piece.
const PATIENCE: Duration = Duration::from_secs(1);
/// Octets that are written at a time at the most, so that it is seen whether it gets on.
const PIECE_MAX: usize = 4096;

/// Where a text goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stream {
    Output,
    Error,
}

/// The queue, and who waits for it to change.
#[derive(Default)]
pub(super) struct Pen {
    desk: Mutex<Desk>,
    changed: Condvar,
}

/// What waits.
#[derive(Default)]
struct Desk {
    texts: VecDeque<(Stream, String)>,
    octets: usize,
    /// Texts for which there was no room since the last that found some.
    lost: u64,
    /// A text is being written.
    writing: bool,
    /// Pieces that were written.
    pieces: u64,
}

static PEN: OnceLock<Arc<Pen>> = OnceLock::new();

/// The pen, once there is one.
pub(super) fn pen() -> Option<&'static Arc<Pen>> {
    PEN.get()
}

/// While it lives, nobody waits for a reader; what is left is written when it goes.
pub(crate) struct Writing(());

impl Writing {
    /// Begins. Without a thread it is as before: who tells waits for who reads.
    pub(crate) fn begin() -> Writing {
        let pen = Arc::new(Pen::default());
        let write = pen.clone();
        let thread = thread::Builder::new().name("log".into());
        if thread.spawn(move || write.write(put)).is_ok() {
            // A second switch in this process writes by the first one's.
            let _ = PEN.set(pen);
        }
        Writing(())
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        if let Some(pen) = pen() {
            pen.finish();
        }
    }
}

impl Pen {
    /// A text more, or one that is lost. Never waits for a reader.
    pub(super) fn tell(&self, stream: Stream, text: String) {
        let mut desk = self.desk();
        // One that is alone may be larger: it is a report, and there is no more than one.
        if desk.octets > 0 && desk.octets + text.len() > WAITING_MAX {
            desk.lost += 1;
        } else {
            desk.tell_lost();
            desk.push(stream, text);
        }
        self.changed.notify_all();
    }

    /// Waits until everything is written, or nobody has read for [`PATIENCE`].
    pub(super) fn finish(&self) {
        self.finish_in(PATIENCE);
    }

    fn finish_in(&self, patience: Duration) {
        let mut desk = self.desk();
        while desk.writing || !desk.texts.is_empty() || desk.lost > 0 {
            let before = desk.pieces;
            let waited = self.changed.wait_timeout(desk, patience);
            let (then, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            desk = then;
            if timeout.timed_out() && desk.pieces == before {
                return;
            }
        }
    }

    /// Writes piece by piece, for ever.
    fn write(&self, mut put: impl FnMut(Stream, &[u8]) -> usize) {
        let mut desk = self.desk();
        loop {
            if desk.texts.is_empty() {
                desk.tell_lost();
            }
            let Some((stream, text)) = desk.texts.pop_front() else {
                desk = self.changed.wait(desk).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            desk.writing = true;
            let mut rest = text.as_bytes();
            while !rest.is_empty() {
                drop(desk);
                let written = put(stream, &rest[..rest.len().min(PIECE_MAX)]);
                rest = &rest[written..];
                desk = self.desk();
                desk.pieces += 1;
            }
            desk.octets -= text.len();
            desk.writing = false;
            self.changed.notify_all();
        }
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        // Nobody panics with it in hand.
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Desk {
    fn push(&mut self, stream: Stream, text: String) {
        self.octets += text.len();
        self.texts.push_back((stream, text));
    }

    /// Tells how much was lost, if something was.
    fn tell_lost(&mut self) {
        let text = match std::mem::take(&mut self.lost) {
            0 => return,
            1 => "uswitch: 1 line was lost here: nobody read it\n".to_owned(),
            lost => format!("uswitch: {lost} lines were lost here: nobody read them\n"),
        };
        self.push(Stream::Error, text);
    }
}

/// Writes some of a piece; all of it counts as written if nobody can read it any more.
fn put(stream: Stream, piece: &[u8]) -> usize {
    // Not by the standard library's: whoever panics would wait for its lock.
    let (output, error) = (io::stdout(), io::stderr());
    let descriptor = match stream {
        Stream::Output => output.as_fd(),
        Stream::Error => error.as_fd(),
    };
    match unistd::write(descriptor, piece) {
        Ok(written) => written,
        Err(Errno::EINTR) => 0,
        Err(Errno::EAGAIN) => {
            // Somebody who shares it has said that it is not to wait.
            thread::sleep(Duration::from_millis(10));
            0
        }
        Err(_) => piece.len(),
    }
}

#[cfg(test)]
mod tests {
    use crossbeam_channel::{Receiver, Sender, bounded};

    use super::*;

    /// A pen whose reader takes a piece whenever he is told to.
    fn pen() -> (Arc<Pen>, Receiver<(Stream, String)>, Sender<()>) {
        let pen = Arc::new(Pen::default());
        let (put, written) = bounded(0);
        let (permit, permitted) = bounded::<()>(0);
        let writer = pen.clone();
        thread::spawn(move || {
            writer.write(|stream, piece: &[u8]| {
                // Whoever drops them has seen enough.
                let _ = permitted.recv();
                let _ = put.send((stream, String::from_utf8(piece.to_vec()).unwrap()));
                piece.len()
            });
        });
        (pen, written, permit)
    }

    #[test]
    fn texts_come_in_their_order_whichever_stream() {
        let (pen, written, permit) = pen();
        let texts = [Stream::Error, Stream::Output, Stream::Error].map(|stream| {
            let text = format!("{stream:?}\n");
            pen.tell(stream, text.clone());
            (stream, text)
        });
        drop(permit);
        assert_eq!(texts.clone().map(|_| written.recv().unwrap()), texts);
        pen.finish_in(Duration::from_secs(60));
    }

    #[test]
    fn what_finds_no_room_is_counted_and_told_where_it_is_missing() {
        let (pen, written, permit) = pen();
        let line = |number: usize| format!("{number:0>999}\n");
        let fit = WAITING_MAX / 1000;
        (0..fit + 7).for_each(|number| pen.tell(Stream::Error, line(number)));
        drop(permit);
        let heard: Vec<_> = written.iter().take(fit + 1).map(|(_, text)| text).collect();
        assert!((0..fit).all(|number| heard[number] == line(number)));
        assert_eq!(heard[fit], "uswitch: 7 lines were lost here: nobody read them\n");
        pen.tell(Stream::Error, "last".to_owned());
        assert_eq!(written.recv().unwrap().1, "last");
    }

    #[test]
    fn long_text_is_whole_and_a_reader_who_takes_nothing_is_not_waited_for() {
        let (pen, written, permit) = pen();
        let text = "é".repeat(PIECE_MAX) + "\n";
        pen.tell(Stream::Output, text.clone());
        pen.finish_in(Duration::from_millis(1));
        drop(permit);
        let mut heard = String::new();
        while heard.len() < text.len() {
            heard += &written.recv().unwrap().1;
        }
        assert_eq!(heard, text);
    }
}

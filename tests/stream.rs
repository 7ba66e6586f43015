//! Numbered frames from one host to another, none of which may be lost or overtaken.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use netlab::FrameSocket;

use crate::exchange::{BROADCAST, PATIENCE, frame, station};

/// Frames on their way at the most: far fewer than a TAP has room for (500), so that none is lost
/// for want of it.
const WINDOW: u64 = 32;

/// Every so manieth frame goes to everybody.
const BROADCAST_EVERY: u64 = 4;

/// The sender's address: no test that has a stream uses it otherwise.
const SENDER: [u8; 6] = station(200);

/// The receiver's address.
const RECEIVER: [u8; 6] = station(201);

/// Frames from one host to another.
pub struct Stream {
    near: FrameSocket,
    far: FrameSocket,
    sent: u64,
    received: u64,
}

impl Stream {
    /// Between these two, to whom nobody else is to send as the stream's sender does.
    ///
    /// # Panics
    ///
    /// If a frame is lost or overtaken, as all of these.
    pub fn new(near: FrameSocket, far: FrameSocket) -> Stream {
        // So the switch knows where the receiver is.
        far.send(&frame(BROADCAST, RECEIVER, b"I am here")).unwrap();
        let mut stream = Stream { near, far, sent: 0, received: 0 };
        let hello = stream.near.recv_matching(PATIENCE, |got| got[6..12] == RECEIVER);
        assert!(hello.unwrap().is_some(), "the receiver is known");
        stream.run(100);
        stream
    }

    /// Sends so many more, and returns when all have arrived.
    ///
    /// # Panics
    ///
    /// If one does not arrive in its turn.
    pub fn run(&mut self, frames: u64) {
        let last = self.received + frames;
        while self.received < last {
            while self.sent < last.min(self.received + WINDOW) {
                let to =
                    if self.sent.is_multiple_of(BROADCAST_EVERY) { BROADCAST } else { RECEIVER };
                self.near.send(&frame(to, SENDER, &self.sent.to_be_bytes())).unwrap();
                self.sent += 1;
            }
            let got = self.far.recv_matching(PATIENCE, |got| got[6..12] == SENDER).unwrap();
            let got = got.unwrap_or_else(|| panic!("frame {} arrives", self.received));
            assert_eq!(got[14..22], self.received.to_be_bytes(), "frames arrive in order");
            self.received += 1;
        }
    }

    /// Goes on while `work` is done, and for a hundred frames after that.
    ///
    /// # Panics
    ///
    /// If a frame does not arrive in its turn.
    pub fn beside<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            let stream = scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    self.run(WINDOW);
                }
                self.run(100);
            });
            let stop = Stop(&done);
            let result = work();
            drop(stop);
            stream.join().expect("all of the stream arrives");
            result
        })
    }
}

/// Ends the stream, also when the work beside it panics.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

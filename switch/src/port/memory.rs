//! A cable: two in-memory ports back to back. What one end sends, the other receives, in order,
//! until the cable holds as much as it may; then it is full, as a device would be.
//!
//! For simulations, benchmarks and programs that embed the switch: no descriptor, no privilege.
//! A lock is taken once a batch, here and only here.

use std::{
    io,
    os::fd::BorrowedFd,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    frame::{Arena, Lent, Selection, WIRE_MAX},
    offload::{Offload, VNET_HEADER_LEN},
    port::{Port, Rx, Sent, Tx},
};

/// Octets that one direction of a cable holds: the largest frame fits, and many small ones.
const LINE_OCTETS: usize = 1 << 18;
/// Octets of the length in front of each frame on a line.
const LENGTH_LEN: usize = 4;

/// One end of a cable.
pub struct Memory {
    receive: Arc<Mutex<Line>>,
    send: Arc<Mutex<Line>>,
    mtu: u32,
    takes_offloads: bool,
}

/// Lays a cable: two ends with this MTU, each direction of which holds `frames` at the most.
pub fn cable(mtu: u32, frames: usize) -> (Memory, Memory) {
    let line = || Arc::new(Mutex::new(Line::new(frames)));
    let (a, b) = (line(), line());
    let end = |receive, send| Memory { receive, send, mtu, takes_offloads: true };
    (end(a.clone(), b.clone()), end(b, a))
}

impl Memory {
    /// Says whether a port at this end takes frames as they are ([`Tx::takes_offloads`]); if
    /// nobody says, it does.
    pub fn set_takes_offloads(&mut self, takes_offloads: bool) {
        self.takes_offloads = takes_offloads;
    }

    /// Sends one frame without offloads into the cable. `false`: there was no room.
    pub fn put(&mut self, octets: &[u8]) -> bool {
        let wire = [&Offload::NONE.emit()[..], octets].concat();
        self.put_wire(&wire)
    }

    /// Sends one frame behind its virtio-net header into the cable. `false`: there was no room.
    pub fn put_wire(&mut self, wire: &[u8]) -> bool {
        lock(&self.send).put(wire)
    }

    /// Takes the next frame out of the cable, without its virtio-net header.
    pub fn take(&mut self) -> Option<Vec<u8>> {
        let wire = self.take_wire()?;
        Some(wire.get(VNET_HEADER_LEN..).unwrap_or_default().to_vec())
    }

    /// Takes the next frame out of the cable, its virtio-net header first.
    pub fn take_wire(&mut self) -> Option<Vec<u8>> {
        let mut line = lock(&self.receive);
        if line.count == 0 {
            return None;
        }
        let mut wire = vec![0; WIRE_MAX];
        let len = line.take(&mut wire)?;
        wire.truncate(len);
        Some(wire)
    }

    /// Throws away all that waits in the cable for this end, and says how many frames it was.
    pub fn discard(&mut self) -> usize {
        let mut line = lock(&self.receive);
        (line.head, line.used) = (0, 0);
        std::mem::take(&mut line.count)
    }

    /// Pulls the plug: from now on the port at either end is gone.
    pub fn unplug(&mut self) {
        lock(&self.send).cut = true;
        lock(&self.receive).cut = true;
    }
}

impl Port for Memory {
    type Rx = MemoryRx;
    type Tx = MemoryTx;

    fn split(self) -> io::Result<(Vec<MemoryRx>, MemoryTx)> {
        let Memory { receive, send, mtu, takes_offloads } = self;
        Ok((vec![MemoryRx { line: receive }], MemoryTx { line: send, mtu, takes_offloads }))
    }
}

/// The receiving half of an end.
pub struct MemoryRx {
    line: Arc<Mutex<Line>>,
}

impl Rx for MemoryRx {
    fn recv<'a>(&'a mut self, arena: &'a mut Arena) -> io::Result<Lent<'a>> {
        let mut line = lock(&self.line);
        if line.cut && line.count == 0 {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        arena.fill(|room| line.take(room).ok_or(io::ErrorKind::WouldBlock.into()))
    }

    fn wait_on(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

/// The sending half of an end.
pub struct MemoryTx {
    line: Arc<Mutex<Line>>,
    mtu: u32,
    takes_offloads: bool,
}

impl Tx for MemoryTx {
    fn mtu(&self) -> u32 {
        self.mtu
    }

    fn takes_offloads(&self) -> bool {
        self.takes_offloads
    }

    fn clone_for(&self, _worker: usize) -> io::Result<MemoryTx> {
        Ok(MemoryTx { line: self.line.clone(), ..*self })
    }

    fn send(&mut self, frames: Selection<'_>) -> Sent {
        let mut sent = Sent::default();
        let mut line = lock(&self.line);
        for frame in frames.frames() {
            if line.cut {
                sent.gone += 1;
            } else if line.put(frame.wire()) {
                sent.took(frame);
            } else {
                sent.full += 1;
            }
        }
        sent
    }
}

/// One direction: frames in a ring of octets, each behind its length.
struct Line {
    ring: Box<[u8]>,
    head: usize,
    used: usize,
    count: usize,
    count_max: usize,
    cut: bool,
}

impl Line {
    fn new(count_max: usize) -> Line {
        let ring = vec![0; LINE_OCTETS].into_boxed_slice();
        Line { ring, head: 0, used: 0, count: 0, count_max, cut: false }
    }

    fn put(&mut self, wire: &[u8]) -> bool {
        let need = LENGTH_LEN + wire.len();
        let fits = self.count < self.count_max && self.ring.len() - self.used >= need;
        if fits && !self.cut {
            self.copy_in(&(wire.len() as u32).to_le_bytes());
            self.copy_in(wire);
            self.count += 1;
        }
        fits && !self.cut
    }

    /// Copies the next frame to the start of `room`. What is larger than the room is cut, as a
    /// read would cut it.
    fn take(&mut self, room: &mut [u8]) -> Option<usize> {
        self.count = self.count.checked_sub(1)?;
        let mut length = [0; LENGTH_LEN];
        self.copy_out(&mut length, LENGTH_LEN);
        let whole = u32::from_le_bytes(length) as usize;
        let len = whole.min(room.len());
        self.copy_out(&mut room[..len], whole);
        Some(len)
    }

    fn copy_in(&mut self, octets: &[u8]) {
        let tail = (self.head + self.used) % self.ring.len();
        let first = octets.len().min(self.ring.len() - tail);
        self.ring[tail..][..first].copy_from_slice(&octets[..first]);
        self.ring[..octets.len() - first].copy_from_slice(&octets[first..]);
        self.used += octets.len();
    }

    /// Copies octets out and moves on by `advance`, which is as many or more.
    fn copy_out(&mut self, octets: &mut [u8], advance: usize) {
        let first = octets.len().min(self.ring.len() - self.head);
        let (now, then) = octets.split_at_mut(first);
        now.copy_from_slice(&self.ring[self.head..][..first]);
        then.copy_from_slice(&self.ring[..then.len()]);
        self.head = (self.head + advance) % self.ring.len();
        self.used -= advance;
    }
}

/// A line is whole between any two calls, so one that a panicking thread left is too.
fn lock(line: &Mutex<Line>) -> std::sync::MutexGuard<'_, Line> {
    line.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Batch;

    #[test]
    fn frames_come_out_as_they_went_in() {
        let (mut a, mut b) = cable(1500, 1000);
        // More than the ring holds in all, so that it goes round.
        for round in 0..500 {
            for i in 0..5 {
                assert!(a.put(&vec![(round + i) as u8; round * 3 + i]));
            }
            for i in 0..5 {
                assert_eq!(b.take().unwrap(), vec![(round + i) as u8; round * 3 + i]);
            }
        }
        assert_eq!(b.take(), None);
    }

    #[test]
    fn virtio_net_header_comes_out_too_and_what_is_shorter_is_empty_without_it() {
        let (mut a, mut b) = cable(1500, 10);
        let wire = [7; VNET_HEADER_LEN + 3];
        for len in [wire.len(), 5] {
            assert!(a.put_wire(&wire[..len]) && a.put_wire(&wire[..len]));
            assert_eq!(b.take_wire().unwrap(), wire[..len]);
            assert_eq!(b.take().unwrap(), wire[..len.saturating_sub(VNET_HEADER_LEN)]);
        }
    }

    #[test]
    fn cable_is_full_by_frames_and_by_octets() {
        let (mut a, mut b) = cable(1500, 2);
        assert!(a.put(b"one") && a.put(b"two") && !a.put(b"three"));
        assert_eq!(b.take().unwrap(), b"one");
        assert!(a.put(b"three"));
        assert_eq!(b.discard(), 2);
        assert_eq!(b.take(), None);
        let (mut a, _b) = cable(65_535, 1000);
        let most = LINE_OCTETS / (60_000 + VNET_HEADER_LEN + LENGTH_LEN);
        assert_eq!((0..10).filter(|_| a.put(&[0; 60_000])).count(), most);
    }

    #[test]
    fn end_whose_plug_was_pulled_gives_what_it_had_and_is_gone() {
        let (mut a, b) = cable(1500, 10);
        a.put(&[1; 60]);
        a.unplug();
        let (mut rx, mut tx) = b.split().unwrap();
        let mut arena = Arena::new();
        assert_eq!(rx[0].recv(&mut arena).unwrap().len(), 1);
        assert!(rx[0].recv(&mut arena).is_err());
        let wire = [0; 72];
        let spans = [crate::frame::Span { start: 0, len: 72 }];
        let frames = Selection { batch: Batch::new(&wire, &spans), mask: 1 };
        assert_eq!(tx.send(frames), Sent { gone: 1, ..Sent::default() });
    }
}

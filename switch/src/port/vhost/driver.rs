//! A guest for tests: its driver, which fills and empties rings, and its machine, which speaks
//! vhost-user. It knows nothing of ours: the layouts are written down here a second time, and its
//! memory is read and written as the file that it is.

use std::{
    fs::File,
    io::Read,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::{fs::FileExt, net::UnixStream},
    },
    path::Path,
    sync::atomic::{Ordering, fence},
    time::Duration,
};

use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        eventfd::{EfdFlags, EventFd},
        memfd::{MFdFlags, memfd_create},
    },
};

use crate::sys::send_with;

/// What the guest receives by, what it sends by.
pub(super) const RX: usize = 0;
pub(super) const TX: usize = 1;

pub(super) const NEXT: u16 = 1;
pub(super) const WRITE: u16 = 2;
pub(super) const INDIRECT: u16 = 4;

pub(super) const F_CSUM: u64 = 1;
pub(super) const F_MRG_RXBUF: u64 = 1 << 15;
pub(super) const F_INDIRECT: u64 = 1 << 28;
pub(super) const F_EVENT_IDX: u64 = 1 << 29;
pub(super) const F_PROTOCOL: u64 = 1 << 30;
pub(super) const F_VERSION_1: u64 = 1 << 32;

/// Where the guest's memory is: as it sees it, as its machine sees it, in the file.
pub(super) const GUEST: u64 = 0x4000_0000;
pub(super) const USER: u64 = 0x7f00_0000_0000;
pub(super) const OFFSET: u64 = 0x1000;
pub(super) const MEMORY: u64 = 8 << 20;

/// From the start of the memory: a ring's descriptors, available ring, used ring; its buffers.
const RING: u64 = 0x20000;
const AVAILABLE: u64 = 0x8000;
const USED: u64 = 0x10000;
const BUFFERS: u64 = 0x100000;
/// Octets between two buffers.
pub(super) const PITCH: u64 = 0x800;

/// A request, by its number.
#[derive(Clone, Copy)]
pub(super) enum Request {
    GetFeatures = 1,
    SetFeatures = 2,
    SetOwner = 3,
    SetMemTable = 5,
    SetVringNum = 8,
    SetVringAddr = 9,
    SetVringBase = 10,
    GetVringBase = 11,
    SetVringKick = 12,
    SetVringCall = 13,
    SetVringEnable = 18,
}

/// A guest and its machine.
pub(super) struct Driver {
    socket: UnixStream,
    memory: File,
    pub(super) size: u16,
    pub(super) kicks: [EventFd; 2],
    pub(super) calls: [EventFd; 2],
    /// What was ever made available, and what was found used.
    pub(super) available: [u16; 2],
    pub(super) used: [u16; 2],
    header_len: usize,
    merges: bool,
}

impl Driver {
    /// Connects, and says nothing.
    pub(super) fn connect(path: &Path, size: u16) -> Driver {
        let socket = UnixStream::connect(path).unwrap();
        // Whoever waits for so long waits in vain.
        socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let memory = File::from(memfd_create("guest", MFdFlags::MFD_CLOEXEC).unwrap());
        memory.set_len(OFFSET + MEMORY).unwrap();
        let event = || EventFd::from_flags(EfdFlags::EFD_NONBLOCK).unwrap();
        let [kicks, calls] = [(); 2].map(|()| [event(), event()]);
        let (available, used) = ([0; 2], [0; 2]);
        let (header_len, merges) = (12, false);
        Driver { socket, memory, size, kicks, calls, available, used, header_len, merges }
    }

    /// Connects and starts both rings, in QEMU 7.2's order: enabled before there are features.
    pub(super) fn start(path: &Path, size: u16, features: u64, base: u16) -> Driver {
        let mut driver = Driver::connect(path, size);
        driver.begin(features);
        driver.start_rings(base);
        driver
    }

    /// All but the rings.
    pub(super) fn begin(&mut self, features: u64) {
        self.offered();
        self.send(Request::SetOwner, &[], &[]);
        if features & F_PROTOCOL != 0 {
            (0..2).for_each(|ring| self.enable(ring, true));
        }
        self.agree(features);
        self.share_memory();
    }

    pub(super) fn agree(&mut self, features: u64) {
        self.merges = features & F_MRG_RXBUF != 0;
        self.header_len = if features & (F_VERSION_1 | F_MRG_RXBUF) != 0 { 12 } else { 10 };
        self.send(Request::SetFeatures, &words(&[features]), &[]);
    }

    pub(super) fn share_memory(&mut self) {
        self.share(&[(GUEST, MEMORY, USER, OFFSET)]);
    }

    /// Shares regions of the one file.
    pub(super) fn share(&mut self, regions: &[(u64, u64, u64, u64)]) {
        let mut payload = (regions.len() as u64).to_le_bytes().to_vec();
        for (guest, len, user, offset) in regions {
            payload.extend(words(&[*guest, *len, *user, *offset]));
        }
        let fds = vec![self.memory.as_fd(); regions.len()];
        send(&self.socket, Request::SetMemTable as u32, &payload, &fds);
    }

    pub(super) fn start_rings(&mut self, base: u16) {
        for ring in [RX, TX] {
            (self.available[ring], self.used[ring]) = (base, base);
            let [_, available, used] = parts(ring);
            for at in [available, used] {
                self.put(at + 2, &base.to_le_bytes());
            }
            self.send(Request::SetVringNum, &state(ring, self.size.into()), &[]);
            self.start_ring(ring, base);
        }
        self.settled();
    }

    pub(super) fn start_ring(&mut self, ring: usize, base: u16) {
        let [descriptors, available, used] = parts(ring).map(|at| USER + at);
        self.send(Request::SetVringBase, &state(ring, base.into()), &[]);
        let mut payload = state(ring, 0).to_vec();
        payload.extend(words(&[descriptors, used, available, 0]));
        self.send(Request::SetVringAddr, &payload, &[]);
        let number = words(&[ring as u64]);
        let (kick, call) = (self.kicks[ring].as_fd(), self.calls[ring].as_fd());
        send(&self.socket, Request::SetVringKick as u32, &number, &[kick]);
        send(&self.socket, Request::SetVringCall as u32, &number, &[call]);
    }

    /// Stops a ring; where it was.
    pub(super) fn stop_ring(&mut self, ring: usize) -> u16 {
        self.send(Request::GetVringBase, &state(ring, 0), &[]);
        let reply = self.reply();
        u32::from_le_bytes(*reply[4..].first_chunk().unwrap()) as u16
    }

    pub(super) fn enable(&mut self, ring: usize, on: bool) {
        self.send(Request::SetVringEnable, &state(ring, on.into()), &[]);
    }

    /// What is offered.
    pub(super) fn offered(&mut self) -> u64 {
        self.send(Request::GetFeatures, &[], &[]);
        u64::from_le_bytes(*self.reply().first_chunk().unwrap())
    }

    /// All that was said before has been done.
    pub(super) fn settled(&mut self) {
        self.offered();
    }

    pub(super) fn send(&self, request: Request, payload: &[u8], fds: &[BorrowedFd<'_>]) {
        send(&self.socket, request as u32, payload, fds);
    }

    /// Begins a message, and does not end it.
    pub(super) fn send_half(&self) {
        let header = [Request::SetFeatures as u32, 1, 8].map(u32::to_le_bytes).concat();
        send_with(self.socket.as_fd(), &header, &[]).unwrap();
    }

    /// Whether the other side has closed the connection, which it does now or never.
    pub(super) fn is_closed(&mut self) -> bool {
        // A reset, if something of ours was not read.
        self.socket.read(&mut [0]).map_or(true, |len| len == 0)
    }

    fn reply(&mut self) -> Vec<u8> {
        let mut header = [0; 12];
        self.socket.read_exact(&mut header).unwrap();
        let mut payload = vec![0; header[8].into()];
        self.socket.read_exact(&mut payload).unwrap();
        payload
    }

    /// Writes to the guest's memory.
    pub(super) fn put(&self, at: u64, octets: &[u8]) {
        self.memory.write_all_at(octets, OFFSET + at).unwrap();
    }

    pub(super) fn get(&self, at: u64, len: usize) -> Vec<u8> {
        let mut octets = vec![0; len];
        self.memory.read_exact_at(&mut octets, OFFSET + at).unwrap();
        octets
    }

    fn word(&self, at: u64) -> u16 {
        u16::from_le_bytes(*self.get(at, 2).first_chunk().unwrap())
    }

    /// Writes a descriptor of a ring: guest's address, octets, flags, the next one.
    pub(super) fn describe(&self, ring: usize, index: u16, what: (u64, u32, u16, u16)) {
        self.put(parts(ring)[0] + u64::from(index) * 16, &descriptor(what));
    }

    /// Makes a chain available, and does not kick.
    pub(super) fn offer(&mut self, ring: usize, head: u16) {
        let number = self.available[ring];
        self.put(parts(ring)[1] + 4 + u64::from(number % self.size) * 2, &head.to_le_bytes());
        self.available[ring] = number.wrapping_add(1);
        self.set_available(ring, number.wrapping_add(1));
    }

    pub(super) fn set_available(&self, ring: usize, index: u16) {
        self.put(parts(ring)[1] + 2, &index.to_le_bytes());
    }

    pub(super) fn set_available_flags(&self, ring: usize, flags: u16) {
        self.put(parts(ring)[1], &flags.to_le_bytes());
    }

    /// The event behind the available ring.
    pub(super) fn set_used_event(&self, ring: usize, event: u16) {
        self.put(parts(ring)[1] + 4 + u64::from(self.size) * 2, &event.to_le_bytes());
    }

    /// The event behind the used ring.
    pub(super) fn available_event(&self, ring: usize) -> u16 {
        self.word(parts(ring)[2] + 4 + u64::from(self.size) * 8)
    }

    pub(super) fn used_flags(&self, ring: usize) -> u16 {
        self.word(parts(ring)[2])
    }

    /// The used index as it stands.
    pub(super) fn used_index(&self, ring: usize) -> u16 {
        self.word(parts(ring)[2] + 2)
    }

    /// Sends a frame in one buffer behind its header, and does not kick.
    pub(super) fn send_frame(&mut self, header: [u8; 10], frame: &[u8]) {
        let index = self.available[TX] % self.size;
        let (guest, at) = buffer(TX, index);
        let mut octets = header.to_vec();
        octets.resize(self.header_len, 0);
        octets.extend(frame);
        self.put(at, &octets);
        self.describe(TX, index, (guest, octets.len() as u32, 0, 0));
        self.offer(TX, index);
    }

    /// Makes a buffer of so many octets available to receive by.
    pub(super) fn refill(&mut self, len: u32) {
        let index = self.available[RX] % self.size;
        self.describe(RX, index, (buffer(RX, index).0, len, WRITE, 0));
        self.offer(RX, index);
    }

    pub(super) fn kick(&self, ring: usize) {
        self.kicks[ring].write(1).unwrap();
    }

    /// Kicks if that was asked for at one of the chains made available since there were `before`.
    pub(super) fn kick_if_asked(&self, ring: usize, before: u16) {
        fence(Ordering::SeqCst);
        let event = self.available_event(ring);
        let now = self.available[ring];
        if now.wrapping_sub(event).wrapping_sub(1) < now.wrapping_sub(before) {
            self.kick(ring);
        }
    }

    /// Sleeps until there is a used entry. `false`: nobody called for so long that nobody will.
    pub(super) fn sleep(&self, ring: usize) -> bool {
        self.calls(ring);
        self.set_used_event(ring, self.used[ring]);
        fence(Ordering::SeqCst);
        if self.used_index(ring) != self.used[ring] {
            return true;
        }
        let mut call = [PollFd::new(self.calls[ring].as_fd(), PollFlags::POLLIN)];
        poll(&mut call, PollTimeout::try_from(Duration::from_secs(60)).unwrap()).unwrap() == 1
    }

    /// How often it was called since it last looked.
    pub(super) fn calls(&self, ring: usize) -> u64 {
        self.calls[ring].read().unwrap_or(0)
    }

    /// The next used entry: head and octets written.
    pub(super) fn next_used(&mut self, ring: usize) -> Option<(u16, u32)> {
        let number = self.used[ring];
        if self.used_index(ring) == number {
            return None;
        }
        self.used[ring] = number.wrapping_add(1);
        let entry = self.get(parts(ring)[2] + 4 + u64::from(number % self.size) * 8, 8);
        let long = |at: usize| u32::from_le_bytes(*entry[at..].first_chunk().unwrap());
        Some((long(0) as u16, long(4)))
    }

    /// The next frame that it has received, put together again: header and octets.
    pub(super) fn received(&mut self) -> Option<(Vec<u8>, Vec<u8>)> {
        let (head, len) = self.next_used(RX)?;
        let mut octets = self.get(buffer(RX, head).1, len as usize);
        let count = match self.header_len {
            12 => u16::from_le_bytes([octets[10], octets[11]]),
            _ => 1,
        };
        assert!(count == 1 || self.merges, "a frame is merged for who agreed to it");
        for _ in 1..count {
            let (head, len) = self.next_used(RX).expect("all of a frame or nothing of it");
            octets.extend(self.get(buffer(RX, head).1, len as usize));
        }
        let frame = octets.split_off(self.header_len);
        Some((octets, frame))
    }
}

/// Where the parts of a ring are.
pub(super) fn parts(ring: usize) -> [u64; 3] {
    let at = ring as u64 * RING;
    [at, at + AVAILABLE, at + USED]
}

/// Where a ring's buffer of this number is: for the guest, and in its memory.
pub(super) fn buffer(ring: usize, index: u16) -> (u64, u64) {
    let at = BUFFERS + ring as u64 * 0x300000 + u64::from(index) * PITCH;
    (GUEST + at, at)
}

/// A descriptor: guest's address, octets, flags, the next one.
pub(super) fn descriptor((address, len, flags, next): (u64, u32, u16, u16)) -> Vec<u8> {
    let flags = [flags.to_le_bytes(), next.to_le_bytes()].concat();
    [&address.to_le_bytes()[..], &len.to_le_bytes(), &flags].concat()
}

fn words(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// A ring and a number.
pub(super) fn state(ring: usize, number: u32) -> [u8; 8] {
    let [a, b, c, d] = (ring as u32).to_le_bytes();
    let [e, f, g, h] = number.to_le_bytes();
    [a, b, c, d, e, f, g, h]
}

fn send(socket: &UnixStream, request: u32, payload: &[u8], fds: &[BorrowedFd<'_>]) {
    let header = [request, 1, payload.len() as u32].map(u32::to_le_bytes).concat();
    let octets = [header, payload.to_vec()].concat();
    // Refused if the other side has gone, which a test finds out where it asks.
    let _ = send_with(socket.as_fd(), &octets, fds);
}

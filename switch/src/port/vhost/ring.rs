//! A split ring of virtio (virtio 1.2, 2.7), from the device's side. The guest puts chains of
//! buffers into the available ring; we copy out of them what it sends, or into them what it
//! receives, and give them back by the used ring.
//!
//! ```text
//!  guest: available[n % size] = head of a chain;  index = n + 1   -> take, put
//!  descriptors[head] -> (address, length, flags, next) -> ...
//!  us:    used[n % size] = (head, octets written); index = n + 1  <- publish
//! ```
//!
//! The rules:
//!
//! 1. Every number here but our own counts is a stranger's. One that no driver writes
//!    ([`Broken`]) ends the connection with that guest, and harms nobody else.
//! 2. A chain has as many descriptors as the ring has entries at the most, those of an indirect
//!    table included (virtio 1.2, 2.7.5.2 and 2.7.5.3.1): more is a loop. So no walk is endless.
//! 3. Used entries are written as chains are used up, but the guest sees them when `publish` stores
//!    the index: once a batch. So of a frame that was merged from several buffers
//!    (VIRTIO_NET_F_MRG_RXBUF; virtio 1.2, 5.1.6.4) it sees all or none; and a frame for which
//!    there is no room takes nothing back, for nothing of it was published.
//! 4. Indices run modulo 2^16, and are made places modulo the size, which is a power of two.
//!
//! Read `signals.rs` for who wakes whom, `memory.rs` for what protects us.

use std::{fs::File, io::Write};

use super::{
    memory::{DESCRIPTOR_LEN, Place, Words},
    signals::{Ordering, Signals, ask_kick, publish, refuse_kicks},
};
use crate::offload::{NEEDS_CSUM, VNET_HEADER_LEN};

/// Octets of the header that a guest has in front of each frame: ours, and the number of buffers
/// that it is merged from (virtio 1.2, 5.1.6).
const HEADER_LEN: usize = VNET_HEADER_LEN + BUFFERS_LEN;
const BUFFERS_LEN: usize = 2;

/// VIRTQ_DESC_F_NEXT, _WRITE and _INDIRECT (virtio 1.2, 2.7.5).
const NEXT: u16 = 1;
const WRITE: u16 = 2;
const INDIRECT: u16 = 4;

/// What the guest wrote is not what a driver writes; a few words that say how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Broken(pub(super) &'static str);

/// What was agreed upon with the driver about rings.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Terms {
    /// VIRTIO_F_EVENT_IDX: indices say who is to be woken, and not flags.
    pub(super) events: bool,
    /// VIRTIO_F_INDIRECT_DESC: a descriptor may lead to a table of others.
    pub(super) indirect: bool,
    /// VIRTIO_NET_F_MRG_RXBUF: a frame may be put into several chains.
    pub(super) merge: bool,
    /// The header has the number of buffers: VIRTIO_F_VERSION_1, or `merge`.
    pub(super) long_header: bool,
    /// VIRTIO_NET_F_CSUM: what the guest leaves to be done is meant so.
    pub(super) unfinished: bool,
}

/// What became of a frame that is to go into the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Put {
    /// It is in there.
    Taken,
    /// There are no buffers for all of it.
    Full,
    /// The next chain is too short for it, and it may not go on in another.
    TooLong,
}

/// One ring of a guest.
pub(super) struct Ring {
    words: Words,
    terms: Terms,
    /// The number of the chain that is taken next.
    next: u16,
    /// Up to here chains are known to be available.
    available: u16,
    /// The number of the used entry that is written next.
    used: u16,
    /// Up to here used entries were published.
    published: u16,
    /// By which the guest is called. `None`: it looks itself.
    call: Option<File>,
}

impl Ring {
    /// A ring whose next chain has the number `next`. The used ring goes on where it says that it
    /// is: the guest has no other place where we could have left off.
    pub(super) fn new(words: Words, terms: Terms, next: u16) -> Ring {
        let used = words.used_index();
        refuse_kicks(&words, terms.events);
        Ring { words, terms, next, available: next, used, published: used, call: None }
    }

    /// The guest is called by this from now on, and once for what may have been missed.
    pub(super) fn set_call(&mut self, call: Option<File>) {
        self.call = call;
        self.call();
    }

    /// The number of the chain that is taken next.
    pub(super) fn next(&self) -> u16 {
        self.next
    }

    /// Whether the guest has made anything available that was not taken.
    #[inline]
    pub(super) fn is_ready(&mut self) -> Result<bool, Broken> {
        self.has_more(self.next)
    }

    /// Whether there is a chain of this number.
    #[inline]
    fn has_more(&mut self, next: u16) -> Result<bool, Broken> {
        if next != self.available {
            return Ok(true);
        }
        // Acquire: what the guest wrote into the chain before its index is seen after it (virtio
        // 1.2, 2.7.13.3).
        let available = self.words.available_index(Ordering::Acquire);
        self.know(available)?;
        Ok(next != available)
    }

    /// Up to here chains are available.
    #[inline]
    fn know(&mut self, available: u16) -> Result<(), Broken> {
        if available.wrapping_sub(self.next) > self.words.size() {
            return Err(Broken("more is available than the ring has entries"));
        }
        self.available = available;
        Ok(())
    }

    /// Copies the next frame that the guest sends, behind our header. `None`: there is none. A
    /// frame for which there is too little room is lost, and comes with no octets at all.
    #[inline]
    pub(super) fn take(&mut self, room: &mut [u8]) -> Result<Option<usize>, Broken> {
        if !self.has_more(self.next)? {
            return Ok(None);
        }
        let head = self.words.head(self.next);
        let skipped = if self.terms.long_header { BUFFERS_LEN } else { 0 };
        let (mut at, mut len) = (0, 0);
        let mut fits = true;
        chain(&self.words, self.terms, head, 0, |place| {
            let mut from = 0;
            while from < place.len() && fits {
                let left = place.len() - from;
                let header_end = VNET_HEADER_LEN + skipped;
                let part = if at < VNET_HEADER_LEN {
                    left.min(VNET_HEADER_LEN - at)
                } else if at < header_end {
                    // The number of buffers means nothing here.
                    let part = left.min(header_end - at);
                    (at, from) = (at + part, from + part);
                    continue;
                } else {
                    left
                };
                match room.get_mut(len..len + part) {
                    Some(room) => place.read(from, room),
                    None => fits = false,
                }
                (at, from, len) = (at + part, from + part, len + part);
            }
            fits
        })?;
        self.words.put_used(self.used, head, 0);
        self.next = self.next.wrapping_add(1);
        self.used = self.used.wrapping_add(1);
        if !fits {
            return Ok(Some(0));
        }
        if let Some(header) = room.first_chunk_mut().filter(|_| len >= VNET_HEADER_LEN) {
            sift(header, self.terms.unfinished);
        }
        Ok(Some(len))
    }

    /// Copies a frame to the guest: into one chain, or into several if that was agreed upon.
    #[inline]
    pub(super) fn put(
        &mut self,
        header: [u8; VNET_HEADER_LEN],
        octets: &[u8],
    ) -> Result<Put, Broken> {
        let mut long = [0; HEADER_LEN];
        long[..VNET_HEADER_LEN].copy_from_slice(&header);
        // Virtio 1.2, 5.1.6.4.1: one, also where nothing is merged.
        long[VNET_HEADER_LEN..].copy_from_slice(&1u16.to_le_bytes());
        let header = if self.terms.long_header { &long[..] } else { &long[..VNET_HEADER_LEN] };
        let (mut next, mut used, mut buffers) = (self.next, self.used, 0u16);
        let mut parts = [header, octets];
        while parts.iter().any(|part| !part.is_empty()) {
            if !self.has_more(next)? {
                return Ok(Put::Full);
            }
            let head = self.words.head(next);
            let written = fill(&self.words, self.terms, head, &mut parts)?;
            self.words.put_used(used, head, written as u32);
            (next, used, buffers) = (next.wrapping_add(1), used.wrapping_add(1), buffers + 1);
            if !self.terms.merge && parts.iter().any(|part| !part.is_empty()) {
                return Ok(Put::TooLong);
            }
        }
        if buffers > 1 {
            self.number(self.words.head(self.next), buffers)?;
        }
        (self.next, self.used) = (next, used);
        Ok(Put::Taken)
    }

    /// Writes into a frame's header how many buffers it has: a chain that was just filled, but what
    /// it is by now is looked at anew.
    fn number(&self, head: u16, buffers: u16) -> Result<(), Broken> {
        let octets = buffers.to_le_bytes();
        let mut at = 0;
        chain(&self.words, self.terms, head, WRITE, |place| {
            for (index, octet) in octets.iter().enumerate() {
                let wanted = VNET_HEADER_LEN + index;
                if (at..at + place.len()).contains(&wanted) {
                    place.write(wanted - at, &[*octet]);
                }
            }
            at += place.len();
            at < HEADER_LEN
        })
    }

    /// Lets the guest see all that was used since this was called last, and calls it if it wants
    /// to be called: once.
    #[inline]
    pub(super) fn publish(&mut self) {
        if self.used == self.published {
            return;
        }
        let called = publish(&self.words, self.published, self.used, self.terms.events);
        self.published = self.used;
        if called {
            self.call();
        }
    }

    fn call(&mut self) {
        if let Some(call) = &mut self.call {
            // An eventfd whose count is full has been heard by nobody yet, and will be.
            let _ = call.write(&1u64.to_ne_bytes());
        }
    }

    /// Asks for a kick at the next chain. `true`: there is one already, for which none may come.
    pub(super) fn ask_kick(&mut self) -> Result<bool, Broken> {
        let available = ask_kick(&self.words, self.next, self.terms.events);
        self.know(available)?;
        Ok(available != self.next)
    }

    /// Kicks are a waste from now on.
    #[inline]
    pub(super) fn refuse_kicks(&self) {
        refuse_kicks(&self.words, self.terms.events);
    }
}

/// Leaves of the header that a guest sends what it may say (virtio 1.2, 5.1.6.2.1 and 5.1.6.2.2):
/// that a checksum is good, another guest would believe.
#[inline]
fn sift(header: &mut [u8; VNET_HEADER_LEN], unfinished: bool) {
    if unfinished {
        header[0] &= NEEDS_CSUM;
    } else {
        *header = [0; VNET_HEADER_LEN];
    }
}

/// Fills one chain with what is left of header and frame; how many octets that were.
#[inline]
fn fill(words: &Words, terms: Terms, head: u16, parts: &mut [&[u8]; 2]) -> Result<usize, Broken> {
    let mut written = 0;
    chain(words, terms, head, WRITE, |place| {
        let mut at = 0;
        for part in parts.iter_mut() {
            let (now, later) = part.split_at(part.len().min(place.len() - at));
            place.write(at, now);
            at += now.len();
            *part = later;
        }
        written += at;
        !parts[1].is_empty() || !parts[0].is_empty()
    })?;
    Ok(written)
}

/// Calls `each` with the buffers of a chain in their order, as long as it wants more. All have to
/// be for us to read, or to write (`wanted`: [`WRITE`]).
#[inline]
fn chain<'w>(
    words: &'w Words,
    terms: Terms,
    head: u16,
    wanted: u16,
    mut each: impl FnMut(Place<'w>) -> bool,
) -> Result<(), Broken> {
    let mut table = words.table();
    let (mut index, mut is_indirect) = (head, false);
    // Rule 2.
    for _ in 0..=words.size() {
        let at = usize::from(index) * DESCRIPTOR_LEN;
        if at >= table.len() {
            return Err(Broken("a descriptor is outside its table"));
        }
        let mut octets = [0; DESCRIPTOR_LEN];
        table.read(at, &mut octets);
        let number = u128::from_le_bytes(octets);
        let (address, len) = (number as u64, (number >> 64) as u32);
        let (flags, next) = ((number >> 96) as u16, (number >> 112) as u16);
        if flags & INDIRECT != 0 {
            // Virtio 1.2, 2.7.5.3.1: nothing follows, and a table leads to no other.
            if !terms.indirect || is_indirect || flags & NEXT != 0 {
                return Err(Broken("a descriptor is indirect where none can be"));
            }
            if len == 0 || !(len as usize).is_multiple_of(DESCRIPTOR_LEN) {
                return Err(Broken("an indirect table has a length that none can have"));
            }
            let found = words.memory().by_guest(address, len.into());
            table = found.ok_or(Broken("an indirect table is outside memory"))?;
            (index, is_indirect) = (0, true);
            continue;
        }
        if flags & WRITE != wanted {
            return Err(Broken("a buffer is for the other direction"));
        }
        // One of no octets is nowhere.
        if len > 0 {
            let found = words.memory().by_guest(address, len.into());
            if !each(found.ok_or(Broken("a buffer is outside memory"))?) {
                return Ok(());
            }
        }
        if flags & NEXT == 0 {
            return Ok(());
        }
        index = next;
    }
    Err(Broken("a chain of descriptors has no end"))
}

//! A guest's memory, as its machine shares it with us, and all of the unsafe code for it.
//!
//! ```text
//!  what the machine sends (SET_MEM_TABLE)      what we have
//!  | guest address | user address | length |   | mapping of the file, at an address of ours |
//! ```
//!
//! The guest and its machine may write to this memory at any time, and what they write are
//! strangers' numbers. So:
//!
//! 1. How long a region is, is settled when it is mapped, against the length of its file, and
//!    never read again. An address that somebody gives becomes a [`Place`] with a length, all of
//!    which is within one region, or nothing.
//! 2. There is no reference to this memory, for it changes while we look. What is read is copied
//!    once, and judged is the copy; behind each copy the compiler may not look again
//!    (`compiler_fence`). Words that both sides write are atomics.
//! 3. A mapping lives as long as its [`Memory`], to which every place is bound by its lifetime,
//!    and which a ring holds.
//!
//! One thing is not in our hands: whoever owns the file may make it shorter, and to touch what is
//! no longer there ends the process (SIGBUS). The guest cannot do that, its machine can: but QEMU
//! seals a memfd against it (F_SEAL_SHRINK, `seal=on`, the default). Likewise a file on a file
//! system of the machine's own (FUSE) may make whoever touches it wait. A machine that would do
//! either is a program of this host that was let into the folder of the socket.

#![allow(unsafe_code)]

use std::{
    fs::File,
    marker::PhantomData,
    os::{fd::AsRawFd, unix::fs::MetadataExt},
    ptr::{self, NonNull},
    sync::{
        Arc,
        atomic::{AtomicU16, AtomicU32, Ordering, compiler_fence},
    },
};

use super::signals::Signals;

/// Regions of one guest at the most: QEMU shares 8, or 32 if each is added on its own.
pub(super) const REGIONS_MAX: usize = 32;
/// Entries of a ring at the most (virtio 1.2, 2.7: queue size).
pub(super) const QUEUE_MAX: u32 = 32_768;

/// Octets of a descriptor, of an entry of the available ring and of the used ring (virtio 1.2,
/// 2.7.5, 2.7.6, 2.7.8).
pub(super) const DESCRIPTOR_LEN: usize = 16;
const AVAILABLE_LEN: usize = 2;
const USED_LEN: usize = 8;
/// Flags and index in front of the available and of the used ring.
const HEAD_LEN: usize = 4;
/// Where in that head the index stands.
const INDEX_AT: usize = 2;
/// The event behind each of the rings.
const EVENT_LEN: usize = 2;

/// What somebody says about a region.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told {
    /// Where the guest has it.
    pub(super) guest: u64,
    /// Where its machine has it.
    pub(super) user: u64,
    /// Octets.
    pub(super) len: u64,
    /// Where in its file it begins.
    pub(super) offset: u64,
}

/// All regions of a guest. They are unmapped when this is dropped.
pub(super) struct Memory {
    regions: Vec<Region>,
}

struct Region {
    told: Told,
    mapping: NonNull<u8>,
    /// Octets of the mapping: up to the region's end from the start of its file.
    mapped: usize,
}

// SAFETY: Send and Sync want that what threads do to it at the same time is defined. The pointer is
// to a mapping that is the same in all threads, that only this value unmaps, and that is accessed
// by copies and atomics alone (rule 2), which other processes do at any time as well.
unsafe impl Send for Region {}
// SAFETY: as above.
unsafe impl Sync for Region {}

impl Region {
    /// Maps a region, if its file has as much as is told.
    fn map(told: Told, file: &File) -> Result<Region, &'static str> {
        let Told { guest, user, len, offset } = told;
        let end = offset.checked_add(len).ok_or("a region of memory has no end")?;
        if len == 0 || guest.checked_add(len).is_none() || user.checked_add(len).is_none() {
            return Err("a region of memory is where none can be");
        }
        let size = file.metadata().map_err(|_| "a region's file has no length")?.size();
        if end > size {
            return Err("a region of memory is longer than its file");
        }
        let mapped = usize::try_from(end).map_err(|_| "a region of memory is too long")?;
        // From the start of the file: huge pages are mapped from a multiple of theirs only.
        // SAFETY: mmap(2) without MAP_FIXED takes a place that nothing else has, so no memory of
        // ours changes; the borrow keeps the descriptor open.
        let mapping = unsafe {
            libc::mmap(
                ptr::null_mut(),
                mapped,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_NORESERVE,
                file.as_raw_fd(),
                0,
            )
        };
        if mapping == libc::MAP_FAILED {
            return Err("a region of memory could not be mapped");
        }
        let mapping = NonNull::new(mapping.cast()).expect("a mapping is not at zero");
        Ok(Region { told, mapping, mapped })
    }

    /// The place of so many octets, so far behind the start of the region.
    #[inline]
    fn place(&self, behind: u64, len: u64) -> Option<Place<'_>> {
        // No sum that could wrap: both are compared with what is left.
        if behind > self.told.len || len > self.told.len - behind {
            return None;
        }
        let at = (self.told.offset + behind) as usize;
        debug_assert!(at + len as usize <= self.mapped);
        // SAFETY: NonNull::add wants that the result is within the mapping, or one past it:
        // `offset + behind + len` is `offset + told.len` at the most, which `map` took as `mapped`.
        let at = unsafe { self.mapping.add(at) };
        Some(Place { at, len: len as usize, memory: PhantomData })
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: munmap(2) wants that nobody uses the memory any more. It was mapped by `map` with
        // this length, and every place in it borrows the memory that owns this region.
        let result = unsafe { libc::munmap(self.mapping.as_ptr().cast(), self.mapped) };
        debug_assert_eq!(result, 0, "a mapping is unmapped");
    }
}

impl Memory {
    /// Maps all regions, each with its file.
    ///
    /// # Errors
    ///
    /// Why not; then none is mapped.
    pub(super) fn map(regions: &[(Told, &File)]) -> Result<Memory, &'static str> {
        if regions.len() > REGIONS_MAX {
            return Err("there are too many regions of memory");
        }
        let regions = regions.iter().map(|(told, file)| Region::map(*told, file));
        Ok(Memory { regions: regions.collect::<Result<_, _>>()? })
    }

    /// The place of so many octets where the guest has them. `None`: they are not in one region.
    #[inline]
    pub(super) fn by_guest(&self, address: u64, len: u64) -> Option<Place<'_>> {
        self.regions
            .iter()
            .find_map(|region| region.place(address.checked_sub(region.told.guest)?, len))
    }

    /// The same by where its machine has them.
    fn by_user(&self, address: u64, len: u64) -> Option<Place<'_>> {
        self.regions
            .iter()
            .find_map(|region| region.place(address.checked_sub(region.told.user)?, len))
    }
}

/// So many octets of a guest's memory.
#[derive(Clone, Copy)]
pub(super) struct Place<'m> {
    at: NonNull<u8>,
    len: usize,
    memory: PhantomData<&'m Memory>,
}

impl Place<'_> {
    /// Octets.
    #[inline]
    pub(super) fn len(self) -> usize {
        self.len
    }

    /// Copies what is there from `offset` on.
    ///
    /// # Panics
    ///
    /// If it is less than there is room for: our mistake.
    #[inline]
    pub(super) fn read(self, offset: usize, room: &mut [u8]) {
        assert!(offset <= self.len && room.len() <= self.len - offset, "a read within its place");
        // SAFETY: NonNull::add wants that the result is within the mapping, or one past it: a
        // place is (`Region::place`), and `offset` is within the place.
        let from = unsafe { self.at.add(offset) };
        // SAFETY: copy_nonoverlapping wants both sides valid for so many octets, and apart. The
        // place is within a mapping that lives as long as the memory it borrows; the room is ours,
        // and no memory of ours is in a mapping of a file that others own. Others may write the
        // source meanwhile: then the copy has any octets, and any octets are octets.
        unsafe { ptr::copy_nonoverlapping(from.as_ptr(), room.as_mut_ptr(), room.len()) };
        // What follows looks at the copy and not there again (rule 2).
        compiler_fence(Ordering::SeqCst);
    }

    /// Writes this from `offset` on.
    ///
    /// # Panics
    ///
    /// If there is no room: our mistake.
    #[inline]
    pub(super) fn write(self, offset: usize, octets: &[u8]) {
        assert!(
            offset <= self.len && octets.len() <= self.len - offset,
            "a write within its place"
        );
        // SAFETY: as in `read`.
        let to = unsafe { self.at.add(offset) };
        // SAFETY: as in `read`, the other way round.
        unsafe { ptr::copy_nonoverlapping(octets.as_ptr(), to.as_ptr(), octets.len()) };
    }
}

/// Where the three parts of a ring are, by its machine's addresses, and how many entries it has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Parts {
    /// Entries: a power of two.
    pub(super) size: u16,
    /// The table of descriptors.
    pub(super) descriptors: u64,
    /// The available ring, which the guest writes.
    pub(super) available: u64,
    /// The used ring, which we write.
    pub(super) used: u64,
}

/// The three parts of a ring.
pub(super) struct Words {
    memory: Arc<Memory>,
    size: u16,
    descriptors: NonNull<u8>,
    available: NonNull<u8>,
    used: NonNull<u8>,
}

// SAFETY: as for `Region`: the pointers are into the mappings of the memory that this holds.
unsafe impl Send for Words {}

impl Words {
    /// The ring whose parts are there, each as long as a ring of this size has them (virtio 1.2,
    /// 2.7.2).
    ///
    /// # Errors
    ///
    /// Why there can be none.
    pub(super) fn find(memory: &Arc<Memory>, parts: Parts) -> Result<Words, &'static str> {
        let Parts { size, descriptors, available, used } = parts;
        let entries = usize::from(size);
        if !size.is_power_of_two() {
            return Err("a ring's size is no power of two");
        }
        let find = |address, len: usize, align: usize| {
            let place = memory.by_user(address, len as u64).ok_or("a ring is outside memory")?;
            if !place.at.addr().get().is_multiple_of(align) {
                return Err("a ring is not aligned");
            }
            Ok(place.at)
        };
        Ok(Words {
            size,
            descriptors: find(descriptors, entries * DESCRIPTOR_LEN, DESCRIPTOR_LEN)?,
            available: find(available, HEAD_LEN + entries * AVAILABLE_LEN + EVENT_LEN, 2)?,
            used: find(used, HEAD_LEN + entries * USED_LEN + EVENT_LEN, 4)?,
            memory: memory.clone(),
        })
    }

    /// Entries.
    #[inline]
    pub(super) fn size(&self) -> u16 {
        self.size
    }

    /// The memory in which it is, and to which its descriptors lead.
    #[inline]
    pub(super) fn memory(&self) -> &Memory {
        &self.memory
    }

    /// The table of descriptors.
    #[inline]
    pub(super) fn table(&self) -> Place<'_> {
        let len = usize::from(self.size) * DESCRIPTOR_LEN;
        Place { at: self.descriptors, len, memory: PhantomData }
    }

    /// The first descriptor of the chain that was made available as this number: any number.
    #[inline]
    pub(super) fn head(&self, number: u16) -> u16 {
        let entry = usize::from(number & (self.size - 1));
        self.word(self.available, HEAD_LEN + entry * AVAILABLE_LEN).load(Ordering::Relaxed)
    }

    /// Writes the used entry of this number: a chain by its first descriptor, and how many octets
    /// were written into it.
    #[inline]
    pub(super) fn put_used(&self, number: u16, head: u16, written: u32) {
        let entry = usize::from(number & (self.size - 1));
        let at = HEAD_LEN + entry * USED_LEN;
        self.long(at).store(u32::from(head).to_le(), Ordering::Relaxed);
        self.long(at + 4).store(written.to_le(), Ordering::Relaxed);
    }

    /// How many chains were ever given back, modulo 2^16.
    #[inline]
    pub(super) fn used_index(&self) -> u16 {
        self.word(self.used, INDEX_AT).load(Ordering::Relaxed)
    }

    /// A word of the available ring or of the used ring.
    #[inline]
    fn word(&self, part: NonNull<u8>, at: usize) -> &AtomicU16 {
        debug_assert!(at.is_multiple_of(2));
        // SAFETY: NonNull::add wants that the result is within the mapping. `find` looked up each
        // part with its head, `size` entries and its event; `at` is that of the head, of an entry
        // below `size`, or of the event.
        let word = unsafe { part.add(at) };
        // SAFETY: AtomicU16::from_ptr wants a pointer that is aligned, valid as long as the
        // reference lives, and used by atomic accesses alone meanwhile. Both parts are aligned to 2
        // at least (`find`), the mapping lives as long as `self.memory`, and these words are in no
        // place that anybody copies for: if a guest has its buffers over its own rings, any octets
        // are a word.
        unsafe { AtomicU16::from_ptr(word.cast().as_ptr()) }
    }

    /// A word of an entry of the used ring.
    #[inline]
    fn long(&self, at: usize) -> &AtomicU32 {
        debug_assert!(at.is_multiple_of(4));
        // SAFETY: as in `word`: `at` is within an entry below `size`.
        let word = unsafe { self.used.add(at) };
        // SAFETY: as in `word`: the used ring is aligned to 4.
        unsafe { AtomicU32::from_ptr(word.cast().as_ptr()) }
    }

    /// Where the event behind the available ring stands.
    #[inline]
    fn used_event_at(&self) -> usize {
        HEAD_LEN + usize::from(self.size) * AVAILABLE_LEN
    }

    /// Where the event behind the used ring stands.
    #[inline]
    fn available_event_at(&self) -> usize {
        HEAD_LEN + usize::from(self.size) * USED_LEN
    }
}

/// Words of a guest are little-endian (virtio 1.2, 2.7.1), as all machines are for which this is.
const _: () = assert!(cfg!(target_endian = "little"), "guests' rings are little-endian");

impl Signals for Words {
    #[inline]
    fn available_index(&self, order: Ordering) -> u16 {
        self.word(self.available, INDEX_AT).load(order)
    }

    #[inline]
    fn available_flags(&self) -> u16 {
        self.word(self.available, 0).load(Ordering::Relaxed)
    }

    #[inline]
    fn used_event(&self) -> u16 {
        self.word(self.available, self.used_event_at()).load(Ordering::Relaxed)
    }

    #[inline]
    fn set_used_index(&self, index: u16, order: Ordering) {
        self.word(self.used, INDEX_AT).store(index, order);
    }

    #[inline]
    fn set_used_flags(&self, flags: u16) {
        self.word(self.used, 0).store(flags, Ordering::Relaxed);
    }

    #[inline]
    fn set_available_event(&self, index: u16) {
        self.word(self.used, self.available_event_at()).store(index, Ordering::Relaxed);
    }
}

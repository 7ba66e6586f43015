//! A hostile driver for the fuzzer: any octets as a guest's memory, its rings among them.

use std::{fs::File, os::unix::fs::FileExt, sync::Arc};

use nix::sys::memfd::{MFdFlags, memfd_create};

use super::{
    features::Features,
    memory::{Memory, Parts, Told, Words},
    ring::Ring,
};
use crate::frame::WIRE_MAX;

/// Octets of the memory.
const MEMORY: u64 = 0x10000;
/// Entries of the rings.
const SIZE: u16 = 16;
/// Where input begins to be memory: before it stand the driver's features and an index.
const HEAD: usize = 10;
/// Where the rings are: those that a driver writes at the start, where input surely is.
const RINGS: [Parts; 2] = [
    Parts { size: SIZE, descriptors: 0, available: 0x100, used: 0x130 },
    Parts { size: SIZE, descriptors: 0x200, available: 0x300, used: 0x330 },
];
/// Rounds of one input: more than there are chains.
const ROUNDS: usize = 3;

/// Takes frames out of one ring and puts frames into another, whatever they are. Nothing is touched
/// that is not the guest's, and it comes to an end.
///
/// # Panics
///
/// If it does not hold.
pub fn survive(input: &[u8]) {
    let Some((head, octets)) = input.split_at_checked(HEAD) else { return };
    let features = u64::from_le_bytes(*head.first_chunk().expect("it is longer"));
    let next = u16::from_le_bytes([head[8], head[9]]);
    let file = File::from(memfd_create("guest", MFdFlags::MFD_CLOEXEC).expect("a memfd"));
    file.set_len(MEMORY).expect("a memfd has any length");
    let octets = &octets[..octets.len().min(MEMORY as usize)];
    file.write_all_at(octets, 0).expect("a memfd is written");
    let told = Told { guest: 0, user: 0, len: MEMORY, offset: 0 };
    let memory = Arc::new(Memory::map(&[(told, &file)]).expect("it is as long as it is"));
    let terms = Features(features).terms();
    let [mut sending, mut receiving] = RINGS
        .map(|parts| Ring::new(Words::find(&memory, parts).expect("it is in memory"), terms, next));
    let mut room = vec![0; WIRE_MAX];
    for round in 0..ROUNDS {
        for _ in 0..SIZE {
            match sending.take(&mut room) {
                Ok(Some(len)) => assert!(len <= room.len(), "a frame is as long as its room"),
                Ok(None) | Err(_) => break,
            }
        }
        for len in [60, 1514, 65_550] {
            let _ = receiving.put([0; 10], &room[..len]);
        }
        for ring in [&mut sending, &mut receiving] {
            ring.publish();
            let _ = ring.ask_kick();
        }
        // The guest goes on while we look: the same octets, somewhere else.
        file.write_all_at(octets, (round as u64 + 1) * 2).expect("a memfd is written");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_without_anything_in_it_is_survived_and_one_with_a_frame() {
        survive(&[]);
        survive(&[0xff; 4000]);
        let mut input = vec![0; HEAD + 0x400];
        // One buffer at 0x380, which is available.
        input[HEAD..][..16].copy_from_slice(&[0x80, 3, 0, 0, 0, 0, 0, 0, 60, 0, 0, 0, 0, 0, 0, 0]);
        input[HEAD + 0x102] = 1;
        survive(&input);
    }
}

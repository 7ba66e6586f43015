//! Any octets as the memory of a guest: its rings, descriptors and buffers. Eight octets are the
//! features that its driver took, two the index at which its rings begin, the rest is the memory.
#![no_main]

use libfuzzer_sys::fuzz_target;
use uswitch::port::vhost::survive;

fuzz_target!(|input: &[u8]| survive(input));

//! Any program as a capture filter, over any frame. Nothing panics, and every run ends within its
//! steps; and the kernel, from which the rules are taken, is asked as well: what we accept it
//! accepts, what we refuse beyond it are its extensions alone, and of the frame we want as much.
//!
//! An input is a number of instructions, so many of [`INSTRUCTION_LEN`] octets, and the frame.
#![no_main]

use std::{io, os::unix::net::UnixDatagram};

use libfuzzer_sys::fuzz_target;
use socket2::{SockFilter, SockRef};
use uswitch::capture::filter::{Filter, Instruction};

/// What code it has, where it jumps, and its constant.
const INSTRUCTION_LEN: usize = 7;
/// From this first octet on, a code is two octets of any kind.
const WILD: u8 = 0xf0;

/// Codes that there are (linux/bpf_common.h).
const CODES: [u16; 49] = [
    0x20, 0x28, 0x30, 0x40, 0x48, 0x50, 0x00, 0x01, 0x80, 0x81, 0x60, 0x61, 0xb1, 0x02, 0x03, 0x84,
    0x05, 0x15, 0x1d, 0x25, 0x2d, 0x35, 0x3d, 0x45, 0x4d, 0x06, 0x16, 0x07, 0x87, 0x04, 0x0c, 0x14,
    0x1c, 0x24, 0x2c, 0x34, 0x3c, 0x44, 0x4c, 0x54, 0x5c, 0x64, 0x6c, 0x74, 0x7c, 0x94, 0x9c, 0xa4,
    0xac,
];

thread_local! {
    /// Two ends, of which the second one has a filter.
    static ENDS: [UnixDatagram; 2] = {
        let (one, other) = UnixDatagram::pair().expect("a pair of sockets");
        other.set_nonblocking(true).expect("a socket that does not block");
        [one, other]
    };
}

fuzz_target!(|input: &[u8]| {
    let Some((count, rest)) = input.split_first() else { return };
    let Some((octets, frame)) = rest.split_at_checked(usize::from(*count) * INSTRUCTION_LEN) else {
        return;
    };
    let program: Vec<_> = octets.as_chunks().0.iter().map(read).collect();
    let filter = Filter::new(&program);
    ENDS.with(|[near, far]| match (filter, attach(far, &program)) {
        (Ok(filter), Ok(())) => compare(&program, &filter, frame, near, far),
        (Err(_), Err(_)) => {}
        (Err(why), Ok(())) => {
            assert!(why.to_string().contains("extensions"), "{why}: {program:?}");
        }
        // Its memory for filters is small.
        (Ok(_), Err(error)) if error.kind() == io::ErrorKind::OutOfMemory => {}
        (Ok(_), Err(error)) => panic!("the kernel refuses {program:?}: {error}"),
    });
});

fn read(octets: &[u8; INSTRUCTION_LEN]) -> Instruction {
    let [kind, jt, jf, k @ ..] = *octets;
    let code = match kind {
        WILD.. => u16::from_be_bytes([jt, jf]),
        _ => CODES[usize::from(kind) % CODES.len()],
    };
    Instruction { code, jt, jf, k: u32::from_le_bytes(k) }
}

fn attach(to: &UnixDatagram, program: &[Instruction]) -> io::Result<()> {
    let filters: Vec<_> = program
        .iter()
        .map(|Instruction { code, jt, jf, k }| SockFilter::new(*code, *jt, *jf, *k))
        .collect();
    SockRef::from(to).attach_filter(&filters)
}

/// Runs it here and there.
fn compare(
    program: &[Instruction],
    filter: &Filter,
    frame: &[u8],
    near: &UnixDatagram,
    far: &UnixDatagram,
) {
    let wanted = filter.run(frame);
    near.send(frame).expect("there is room");
    let expected = (wanted > 0).then(|| frame.len().min(wanted as usize));
    let mut room = vec![0; frame.len() + 1];
    let found = far.recv(&mut room).ok();
    // A load at X and k together may be one of the kernel's extensions: here it is beyond the
    // frame's end, so the frame is not wanted.
    let indexed = program.iter().any(|step| matches!(step.code, 0x40 | 0x48 | 0x50));
    assert!(found == expected || indexed && wanted == 0, "{program:?}: {expected:?}, {found:?}");
}

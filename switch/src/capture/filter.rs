//! A filter: a program in the language of the classic BSD packet filter (cBPF), which is what
//! `tcpdump -ddd` makes of an expression (bpf(4); linux/filter.h; the kernel's net/core/filter.c).
//!
//! It comes from outside, so it is checked whole before it ever runs, after the kernel's own rules
//! (`bpf_check_classic`): known instructions only, jumps forward and within the program, memory
//! read only where it was written on every way, no division by a zero that is there to be seen,
//! shifts below 32, a return at the end. So a run takes as many steps as there are instructions at
//! the most, and touches nothing but the frame and sixteen words. A load beyond the frame's end
//! rejects the frame. Linux's extensions (loads from "negative" offsets) are refused: what they ask
//! for, a frame in user space has not got.

use std::fmt;

/// Instructions of a filter at the most: half of what the kernel takes (BPF_MAXINSNS), for it runs
/// once for each frame.
pub const FILTER_MAX: usize = 2048;
/// Words of memory that a program has (BPF_MEMWORDS).
const MEMORY_WORDS: usize = 16;
/// Where the kernel's extensions begin (SKF_LL_OFF, the lowest of them, as an unsigned number).
const EXTENSIONS: u32 = 0xffe0_0000;

/// One instruction as it is written: operation, jumps if true and if false, a constant
/// (`struct sock_filter`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// BPF_LD, BPF_JMP and so on, with all that is or'ed to it.
    pub code: u16,
    /// Instructions to skip if the condition holds.
    pub jt: u8,
    /// Instructions to skip if it does not.
    pub jf: u8,
    /// The constant.
    pub k: u32,
}

/// A program that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    steps: Box<[Step]>,
}

/// Why a program is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterError(String);

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for FilterError {}

/// An instruction, understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Loads so many octets of the frame into A, from `k`, or from X + `k`.
    Load { octets: u8, indexed: bool, k: u32 },
    /// Loads into A, or into X.
    Set { x: bool, from: From },
    /// X becomes the length of an IPv4 header whose first octet is there.
    HeaderLen { k: u32 },
    /// Stores A or X.
    Store { x: bool, place: u8 },
    /// A becomes the result of A and the operand.
    Reckon { operation: Operation, operand: Operand },
    /// A becomes its negative.
    Negate,
    /// Skips so many.
    Jump { skip: u32 },
    /// Skips so many if it holds, else so many.
    Branch { test: Test, operand: Operand, then: u8, or: u8 },
    /// X becomes A.
    AToX,
    /// A becomes X.
    XToA,
    /// So much of the frame is wanted: nothing, if 0.
    Return { a: bool, k: u32 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum From {
    Constant(u32),
    Memory(u8),
    FrameLen,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operand {
    Constant(u32),
    X,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    And,
    Or,
    Xor,
    Left,
    Right,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Test {
    Equal,
    Greater,
    GreaterOrEqual,
    AnyBit,
}

impl Filter {
    /// Checks a program.
    ///
    /// # Errors
    ///
    /// A sentence with the number of the first instruction, from 0, that breaks a rule.
    pub fn new(program: &[Instruction]) -> Result<Filter, FilterError> {
        if program.is_empty() || program.len() > FILTER_MAX {
            return Err(FilterError(format!(
                "a filter has 1 to {FILTER_MAX} instructions, and this one {}",
                program.len()
            )));
        }
        let at = |number: usize, why: &str| {
            let Instruction { code, jt, jf, k } = program[number];
            FilterError(format!("instruction {number} ({code} {jt} {jf} {k}): {why}"))
        };
        let steps = program.iter().enumerate().map(|(number, instruction)| {
            let step = understand(*instruction).map_err(|why| at(number, why))?;
            let rest = program.len() - number - 1;
            let farthest = match step {
                Step::Jump { skip } => skip as usize,
                Step::Branch { then, or, .. } => usize::from(then.max(or)),
                Step::Return { .. } => return Ok(step),
                _ => 0,
            };
            if farthest < rest { Ok(step) } else { Err(at(number, "it leaves the program")) }
        });
        let steps: Box<[Step]> = steps.collect::<Result<_, _>>()?;
        check_memory(&steps).map_err(|number| at(number, "this word was not written before"))?;
        Ok(Filter { steps })
    }

    /// How many octets of the frame are wanted; 0: it is not wanted at all.
    pub fn run(&self, frame: &[u8]) -> u32 {
        let (mut a, mut x, mut memory) = (0u32, 0u32, [0u32; MEMORY_WORDS]);
        let mut next = 0;
        // Jumps go forward only, and the last step returns: it ends.
        loop {
            let step = self.steps[next];
            next += 1;
            match step {
                Step::Load { octets, indexed, k } => {
                    let start = k as usize + if indexed { x as usize } else { 0 };
                    let Some(loaded) = load(frame, start, octets) else { return 0 };
                    a = loaded;
                }
                Step::Set { x: into_x, from } => {
                    let value = match from {
                        From::Constant(k) => k,
                        From::Memory(place) => memory[usize::from(place)],
                        From::FrameLen => frame.len() as u32,
                    };
                    *(if into_x { &mut x } else { &mut a }) = value;
                }
                Step::HeaderLen { k } => match frame.get(k as usize) {
                    Some(octet) => x = u32::from(octet & 0xf) * 4,
                    None => return 0,
                },
                Step::Store { x: from_x, place } => {
                    memory[usize::from(place)] = if from_x { x } else { a };
                }
                Step::Reckon { operation, operand } => {
                    let Some(result) = reckon(operation, a, value(operand, x)) else { return 0 };
                    a = result;
                }
                Step::Negate => a = a.wrapping_neg(),
                Step::Jump { skip } => next += skip as usize,
                Step::Branch { test, operand, then, or } => {
                    let holds = holds(test, a, value(operand, x));
                    next += usize::from(if holds { then } else { or });
                }
                Step::AToX => x = a,
                Step::XToA => a = x,
                Step::Return { a: of_a, k } => return if of_a { a } else { k },
            }
        }
    }
}

fn value(operand: Operand, x: u32) -> u32 {
    match operand {
        Operand::Constant(k) => k,
        Operand::X => x,
    }
}

/// Octets in the order of the network. `None`: the frame ends before.
fn load(frame: &[u8], start: usize, octets: u8) -> Option<u32> {
    let loaded = frame.get(start..start.checked_add(usize::from(octets))?)?;
    Some(loaded.iter().fold(0, |number, octet| number << 8 | u32::from(*octet)))
}

/// `None`: it cannot be divided by 0, so the frame is rejected.
fn reckon(operation: Operation, a: u32, b: u32) -> Option<u32> {
    Some(match operation {
        Operation::Add => a.wrapping_add(b),
        Operation::Sub => a.wrapping_sub(b),
        Operation::Mul => a.wrapping_mul(b),
        Operation::Div => a.checked_div(b)?,
        Operation::Mod => a.checked_rem(b)?,
        Operation::And => a & b,
        Operation::Or => a | b,
        Operation::Xor => a ^ b,
        // By X, it may be by more than there are bits: the kernel takes the lower five bits.
        Operation::Left => a.wrapping_shl(b),
        Operation::Right => a.wrapping_shr(b),
    })
}

fn holds(test: Test, a: u32, b: u32) -> bool {
    match test {
        Test::Equal => a == b,
        Test::Greater => a > b,
        Test::GreaterOrEqual => a >= b,
        Test::AnyBit => a & b != 0,
    }
}

/// linux/bpf_common.h: class, size and mode of a load, operation and source.
fn understand(Instruction { code, jt, jf, k }: Instruction) -> Result<Step, &'static str> {
    let operand = if code & 0x08 == 0 { Operand::Constant(k) } else { Operand::X };
    let place = || match k {
        0..16 => Ok(k as u8),
        _ => Err("there are sixteen words of memory"),
    };
    let step = match code {
        // BPF_LD: BPF_W, BPF_H, BPF_B by BPF_ABS and BPF_IND.
        0x20 | 0x28 | 0x30 | 0x40 | 0x48 | 0x50 => {
            let octets = match code & 0x18 {
                0x00 => 4,
                0x08 => 2,
                _ => 1,
            };
            let indexed = code & 0x40 != 0;
            if k >= EXTENSIONS {
                return Err("extensions of Linux are not known here");
            }
            Step::Load { octets, indexed, k }
        }
        // BPF_LD and BPF_LDX: BPF_IMM, BPF_LEN, BPF_MEM.
        0x00 | 0x01 => Step::Set { x: code & 1 != 0, from: From::Constant(k) },
        0x80 | 0x81 => Step::Set { x: code & 1 != 0, from: From::FrameLen },
        0x60 | 0x61 => Step::Set { x: code & 1 != 0, from: From::Memory(place()?) },
        // BPF_LDX | BPF_B | BPF_MSH.
        0xb1 if k >= EXTENSIONS => return Err("extensions of Linux are not known here"),
        0xb1 => Step::HeaderLen { k },
        // BPF_ST, BPF_STX.
        0x02 | 0x03 => Step::Store { x: code & 1 != 0, place: place()? },
        0x84 => Step::Negate,
        // BPF_JMP: BPF_JA, then BPF_JEQ, BPF_JGT, BPF_JGE, BPF_JSET.
        0x05 => Step::Jump { skip: k },
        0x15 | 0x1d => Step::Branch { test: Test::Equal, operand, then: jt, or: jf },
        0x25 | 0x2d => Step::Branch { test: Test::Greater, operand, then: jt, or: jf },
        0x35 | 0x3d => Step::Branch { test: Test::GreaterOrEqual, operand, then: jt, or: jf },
        0x45 | 0x4d => Step::Branch { test: Test::AnyBit, operand, then: jt, or: jf },
        // BPF_RET of a constant, of A.
        0x06 => Step::Return { a: false, k },
        0x16 => Step::Return { a: true, k },
        // BPF_MISC: BPF_TAX, BPF_TXA.
        0x07 => Step::AToX,
        0x87 => Step::XToA,
        _ => {
            let operation = operation(code).ok_or("there is no such instruction")?;
            match (operation, operand) {
                (Operation::Div | Operation::Mod, Operand::Constant(0)) => {
                    return Err("it divides by 0");
                }
                (Operation::Left | Operation::Right, Operand::Constant(32..)) => {
                    return Err("it shifts by more than there are bits");
                }
                _ => Step::Reckon { operation, operand },
            }
        }
    };
    Ok(step)
}

/// BPF_ALU.
fn operation(code: u16) -> Option<Operation> {
    Some(match code & !0x08 {
        0x04 => Operation::Add,
        0x14 => Operation::Sub,
        0x24 => Operation::Mul,
        0x34 => Operation::Div,
        0x44 => Operation::Or,
        0x54 => Operation::And,
        0x64 => Operation::Left,
        0x74 => Operation::Right,
        0x94 => Operation::Mod,
        0xa4 => Operation::Xor,
        _ => return None,
    })
}

/// Whether every word that is read was written before, whatever way led there. The number of the
/// first step of which that is not so.
fn check_memory(steps: &[Step]) -> Result<(), usize> {
    // What was written on all ways to each step: nothing that leads nowhere counts.
    let mut written = vec![u16::MAX; steps.len()];
    let mut now = 0u16;
    for (number, step) in steps.iter().enumerate() {
        now &= written[number];
        let mut meet = |skip: usize| written[number + 1 + skip] &= now;
        match *step {
            Step::Store { place, .. } => now |= 1 << place,
            Step::Set { from: From::Memory(place), .. } if now & 1 << place == 0 => {
                return Err(number);
            }
            Step::Jump { skip } => {
                meet(skip as usize);
                now = u16::MAX;
            }
            Step::Branch { then, or, .. } => {
                meet(usize::from(then));
                meet(usize::from(or));
                now = u16::MAX;
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn program(text: &str) -> Vec<Instruction> {
        let lines = text.lines().map(|line| {
            let mut numbers = line.split_whitespace().map(|word| word.parse::<u32>().unwrap());
            let mut next = || numbers.next().unwrap();
            Instruction { code: next() as u16, jt: next() as u8, jf: next() as u8, k: next() }
        });
        lines.collect()
    }

    /// `tcpdump -ddd -y EN10MB 'udp port 53'`, without the count.
    const DNS: &str = "40 0 0 12\n21 0 6 34525\n48 0 0 20\n21 0 15 17\n40 0 0 54\n\
                       21 12 0 53\n40 0 0 56\n21 10 11 53\n21 0 10 2048\n48 0 0 23\n\
                       21 0 8 17\n40 0 0 20\n69 6 0 8191\n177 0 0 14\n72 0 0 14\n21 2 0 53\n\
                       72 0 0 16\n21 0 1 53\n6 0 0 262144\n6 0 0 0";

    fn frame(port: u16, fragment: u16) -> Vec<u8> {
        let mut frame = vec![2; 12];
        frame.extend([8, 0, 0x45, 0, 0, 28, 0, 0]);
        frame.extend(fragment.to_be_bytes());
        frame.extend([64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        frame.extend(port.to_be_bytes());
        frame.extend([0, 9, 0, 8, 0, 0]);
        frame
    }

    #[test]
    fn program_of_tcpdump_takes_what_it_should_and_leaves_the_rest() {
        let filter = Filter::new(&program(DNS)).unwrap();
        assert_eq!(filter.run(&frame(53, 0)), 262_144);
        assert_eq!(filter.run(&frame(54, 0)), 0);
        assert_eq!(filter.run(&frame(53, 1)), 0, "a later fragment has no port");
        assert_eq!(filter.run(&frame(53, 0)[..34]), 0, "it ends before the port");
        assert_eq!(filter.run(&[]), 0);
    }

    #[test]
    fn what_breaks_a_rule_is_refused_with_its_place() {
        let long = vec![Instruction { code: 6, jt: 0, jf: 0, k: 0 }; FILTER_MAX + 1];
        assert!(Filter::new(&long).is_err() && Filter::new(&[]).is_err());
        assert!(Filter::new(&long[1..]).is_ok());
        for (text, why) in [
            ("0 0 0 1", "instruction 0 (0 0 0 1): it leaves"),
            ("21 0 1 0\n6 0 0 0", "instruction 0 (21 0 1 0): it leaves"),
            ("5 0 0 4294967295\n6 0 0 0", "instruction 0"),
            ("96 0 0 3\n6 0 0 0", "not written"),
            ("96 0 0 16\n6 0 0 0", "sixteen"),
            ("2 0 0 16\n6 0 0 0", "sixteen"),
            // Written on one way and not on the other.
            ("21 0 1 0\n2 0 0 1\n96 0 0 1\n6 0 0 0", "instruction 2"),
            ("52 0 0 0\n6 0 0 0", "divides by 0"),
            ("148 0 0 0\n6 0 0 0", "divides by 0"),
            ("100 0 0 32\n6 0 0 0", "shifts"),
            ("40 0 0 4294963200\n6 0 0 0", "extensions"),
            ("255 0 0 0\n6 0 0 0", "no such instruction"),
            ("65535 0 0 0\n6 0 0 0", "no such instruction"),
        ] {
            let error = Filter::new(&program(text)).unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
        let both = "21 0 2 0\n2 0 0 1\n5 0 0 1\n2 0 0 1\n96 0 0 1\n6 0 0 0";
        assert!(Filter::new(&program(both)).is_ok(), "written on both ways");
    }

    #[test]
    fn every_operation_reckons_as_the_kernel_does() {
        for (code, a, k, result) in [
            (0x04, u32::MAX, 2, 1),
            (0x14, 1, 2, u32::MAX),
            (0x24, 0x8000_0001, 2, 2),
            (0x34, 7, 2, 3),
            (0x94, 7, 2, 1),
            (0x54, 6, 3, 2),
            (0x44, 6, 3, 7),
            (0xa4, 6, 3, 5),
            (0x64, 3, 31, 0x8000_0000),
            (0x74, 0x8000_0000, 31, 1),
        ] {
            let of_constant = format!("0 0 0 {a}\n{code} 0 0 {k}\n22 0 0 0");
            let of_x = format!("1 0 0 {k}\n0 0 0 {a}\n{} 0 0 0\n22 0 0 0", code + 8);
            for text in [of_constant, of_x] {
                assert_eq!(Filter::new(&program(&text)).unwrap().run(&[]), result, "{text}");
            }
        }
        let by_zero = Filter::new(&program("0 0 0 7\n60 0 0 0\n6 0 0 1")).unwrap();
        assert_eq!(by_zero.run(&[]), 0, "X is 0: rejected");
        let negative = Filter::new(&program("0 0 0 7\n132 0 0 0\n22 0 0 0")).unwrap();
        assert_eq!(negative.run(&[]), 7u32.wrapping_neg());
    }

    proptest! {
        #[test]
        fn whatever_passes_the_check_runs_to_its_end(
            steps in proptest::collection::vec(
                (0usize..48, 0u8..4, 0u8..4, prop_oneof![0u32..20, any::<u32>()]), 1..40),
            frame in proptest::collection::vec(any::<u8>(), 0..80),
        ) {
            const CODES: [u16; 48] = [
                0x20, 0x28, 0x30, 0x40, 0x48, 0x50, 0x00, 0x01, 0x80, 0x81, 0x60, 0x61, 0xb1,
                0x02, 0x03, 0x84, 0x05, 0x15, 0x1d, 0x25, 0x2d, 0x35, 0x3d, 0x45, 0x4d, 0x06,
                0x16, 0x07, 0x87, 0x04, 0x0c, 0x14, 0x1c, 0x24, 0x2c, 0x34, 0x3c, 0x44, 0x4c,
                0x54, 0x5c, 0x64, 0x6c, 0x74, 0x7c, 0x94, 0x9c, 0xa4,
            ];
            let instruction =
                |(code, jt, jf, k)| Instruction { code: CODES[code], jt, jf, k };
            let mut program: Vec<_> = steps.into_iter().map(instruction).collect();
            program.push(Instruction { code: 0x16, jt: 0, jf: 0, k: 0 });
            if let Ok(filter) = Filter::new(&program) {
                filter.run(&frame);
            }
        }
    }
}

//! A device whose faults are known: this very test program, which the tester starts between two
//! veth ends, and which then relays frames between them.

use std::{
    env, fs,
    path::PathBuf,
    process,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::Duration,
};

use netlab::{FrameSocket, Namespace};

/// The name of the test that is the device when [`FAULTS`] says so.
pub const NAME: &str = "device::relays_with_faults";
/// The environment variable that says which faults it has.
pub const FAULTS: &str = "USWITCH_TEST_DEVICE";
/// The environment variable that names the file in which it tells what it did.
pub const TOLD: &str = "USWITCH_TEST_DEVICE_TOLD";

/// What it does with measured frames, by number.
pub const DROP_EVERY: u64 = 7;
const HUNDRED: u64 = 100;
const SWAP: u64 = 15;
const REPEAT: u64 = 30;
const FLIP: u64 = 45;

/// As a test: each fault happens as often as the others may expect. As a device: runs until it is
/// killed.
#[test]
fn relays_with_faults() {
    if let Ok(faults) = env::var(FAULTS) {
        return run(&faults);
    }
    let mut relay = Relay::default();
    let sent: Vec<u8> = (0..=255).cycle().take(700).collect();
    let came: Vec<u8> =
        sent.iter().flat_map(|number| relay.pass(vec![*number; 60])).map(|f| f[20]).collect();
    assert_eq!(came.len(), 700 - 100 + 6);
    assert_eq!(came[..13], [0, 1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12, 15], "7 and 14 are dropped");
    assert_eq!(came[13], 14, "frames 15 and 16 are swapped");
    // Of seven of each, those are left that are not, or not followed by, one of every seven.
    assert_eq!((relay.dropped, relay.swapped, relay.repeated, relay.flipped), (100, 5, 6, 6));
}

/// Faults, and how often each has happened.
#[derive(Default)]
pub struct Relay {
    count: u64,
    held: Option<Vec<u8>>,
    pub dropped: u64,
    pub swapped: u64,
    pub repeated: u64,
    pub flipped: u64,
}

impl Relay {
    /// What goes on in place of a frame. The rules are apart from each other: no frame has two
    /// faults, and those behind one that is held have none.
    fn pass(&mut self, mut frame: Vec<u8>) -> Vec<Vec<u8>> {
        self.count += 1;
        let place = self.count % HUNDRED;
        if self.count.is_multiple_of(DROP_EVERY) {
            self.dropped += 1;
            return Vec::new();
        }
        let next_stays = !(self.count + 1).is_multiple_of(DROP_EVERY);
        match place {
            SWAP if next_stays => {
                self.swapped += 1;
                self.held = Some(frame);
                Vec::new()
            }
            REPEAT => {
                self.repeated += 1;
                vec![frame.clone(), frame]
            }
            FLIP => {
                self.flipped += 1;
                frame[40] ^= 0x10;
                vec![frame]
            }
            _ => [Some(frame), self.held.take()].into_iter().flatten().collect(),
        }
    }
}

/// Relays frames between the two devices whose names are the last words of the command line, or
/// among the three.
fn run(faults: &str) {
    let words: Vec<String> = env::args().collect();
    if faults == "hub" {
        return hub(&words[words.len() - 3..]);
    }
    let [.., a, b] = &words[..] else { panic!("two devices are named") };
    let here = Namespace::current().unwrap();
    let open = |name: &str| FrameSocket::open(&here, name).unwrap();
    let (mut near, mut far) = (open(a), open(b));
    let (back_far, back_near) = (open(b), open(a));
    thread::spawn(move || {
        let mut from = back_far;
        loop {
            if let Ok(Some(frame)) = from.recv(Duration::from_secs(1)) {
                let _ = back_near.send(&frame);
            }
        }
    });
    let (mut relay, seen) = (Relay::default(), AtomicU64::new(0));
    let told = PathBuf::from(env::var_os(TOLD).expect("a file is named"));
    loop {
        match near.recv(IDLE) {
            Ok(Some(frame)) if is_measured(&frame) => {
                seen.fetch_add(1, Ordering::Relaxed);
                let out = match faults {
                    "all" => relay.pass(frame),
                    "swallow" => Vec::new(),
                    "die" => process::exit(0),
                    _ => vec![frame],
                };
                out.iter().for_each(|frame| far_send(&mut far, frame));
            }
            Ok(Some(frame)) => far_send(&mut far, &frame),
            Ok(None) | Err(_) => {
                let text = format!("{} {}", process::id(), seen.load(Ordering::Relaxed));
                fs::write(&told, text).unwrap();
            }
        }
    }
}

/// Whatever comes in by one goes out by all others: nothing is learned.
fn hub(links: &[String]) {
    let here = Namespace::current().unwrap();
    let open = |link: &String| FrameSocket::open(&here, link).unwrap();
    thread::scope(|scope| {
        for link in links {
            let others = links.iter().filter(|other| *other != link).map(open);
            let (mut near, mut others) = (open(link), others.collect::<Vec<_>>());
            scope.spawn(move || {
                loop {
                    if let Ok(Some(frame)) = near.recv(Duration::from_secs(1)) {
                        others.iter_mut().for_each(|far| far_send(far, &frame));
                    }
                }
            });
        }
    });
}

/// Until the kernel takes it: what is lost here is lost on purpose.
fn far_send(far: &mut FrameSocket, frame: &[u8]) {
    while far.send(frame).is_err() {
        thread::yield_now();
    }
}

/// The tester's own, and not one by which addresses are learned.
fn is_measured(frame: &[u8]) -> bool {
    frame.get(12..15) == Some(&[0x88, 0xb5, 0xb5])
}

/// The device's number as a process, and how many measured frames it saw.
pub fn told(file: &std::path::Path) -> (u32, u64) {
    let text = fs::read_to_string(file).unwrap_or_default();
    let mut numbers = text.split(' ').filter_map(|word| word.parse().ok());
    let (pid, seen) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    (pid as u32, seen)
}

/// After so long without a frame it tells.
const IDLE: Duration = Duration::from_millis(20);

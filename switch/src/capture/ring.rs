//! The ring in which a worker leaves what it records, and from which another thread takes it: one
//! writer, one reader, no lock, nothing to wait for. What finds no room is lost and counted.
//!
//! ```text
//!            read           written (published)      the writer's own
//!              v                v                        v
//!  | free ...  | record | record | a batch being written | free ... |
//!  record:  HEAD words, then the octets, eight a word, the last one filled up with zeros
//! ```
//!
//! Rules:
//!
//! 1. The writer alone stores words and `written`; the reader alone stores `read`.
//! 2. Words are stored, then `written` with Release: who has loaded that with Acquire finds them.
//! 3. Words are loaded, then `read` is stored with Release: a writer who has loaded that with
//!    Acquire may use their place again.
//! 4. Both numbers only grow; a word's place is its number modulo the length, a power of two.
//! 5. The writer publishes a batch at a time, and loads `read` only when it believes the ring full.
//!
//! It is shared memory in safe Rust: words are atomics, stored and loaded relaxed, which costs what
//! a plain copy by words does. loom checks the rules.

use std::sync::Arc;

use crate::fdb::atomic::{AtomicU64, Ordering};

/// Words in front of the octets of each record.
pub(super) const HEAD: usize = 3;

struct Ring {
    words: Box<[AtomicU64]>,
    written: Line,
    read: Line,
    /// There will be no more.
    closed: AtomicU64,
    /// Records that found no room, by lane: the writer alone stores them.
    lost: Box<[AtomicU64]>,
}

/// A number on a cache line of its own.
#[repr(align(128))]
#[derive(Default)]
struct Line(AtomicU64);

/// The worker's end. The ring is closed when it is dropped.
pub(super) struct Writer {
    ring: Arc<Ring>,
    /// Where the next record begins; published from time to time.
    written: u64,
    /// What `read` was when it was last looked at.
    read: u64,
}

/// The other end.
pub(super) struct Reader {
    ring: Arc<Ring>,
    read: u64,
    /// What was published when it was last looked at.
    written: u64,
}

/// A ring of so many words, a power of two, that counts what is lost in so many lanes.
pub(super) fn ring(words: usize, lanes: usize) -> (Writer, Reader) {
    assert!(words.is_power_of_two(), "the places of a ring are numbers modulo a power of two");
    let zeros = |count: usize| (0..count).map(|_| AtomicU64::new(0)).collect();
    let ring = Arc::new(Ring {
        words: zeros(words),
        written: Line::default(),
        read: Line::default(),
        closed: AtomicU64::new(0),
        lost: zeros(lanes),
    });
    (Writer { ring: ring.clone(), written: 0, read: 0 }, Reader { ring, read: 0, written: 0 })
}

impl Ring {
    fn word(&self, number: u64) -> &AtomicU64 {
        &self.words[number as usize & (self.words.len() - 1)]
    }
}

impl Writer {
    /// Writes a record, or counts it as lost in this lane if there is no room. The first word of
    /// the head is ours: it says how many octets follow.
    pub(super) fn push(&mut self, lane: usize, head: [u64; HEAD - 1], octets: &[u8]) {
        let len = (HEAD + octets.len().div_ceil(8)) as u64;
        if !self.has_room(len) {
            // Relaxed: nobody else stores it, and nothing hangs on it.
            let lost = self.ring.lost[lane].load(Ordering::Relaxed);
            self.ring.lost[lane].store(lost + 1, Ordering::Relaxed);
            return;
        }
        let mut at = self.written;
        let mut put = |word: u64| {
            // Relaxed: published by `written` (rule 2).
            self.ring.word(at).store(word, Ordering::Relaxed);
            at += 1;
        };
        put(octets.len() as u64);
        head.into_iter().for_each(&mut put);
        let (words, rest) = octets.as_chunks::<8>();
        words.iter().for_each(|word| put(u64::from_le_bytes(*word)));
        if !rest.is_empty() {
            let mut last = [0; 8];
            last[..rest.len()].copy_from_slice(rest);
            put(u64::from_le_bytes(last));
        }
        self.written = at;
    }

    fn has_room(&mut self, len: u64) -> bool {
        let end = self.written + len;
        let size = self.ring.words.len() as u64;
        if end - self.read > size {
            // Acquire: rule 3.
            self.read = self.ring.read.0.load(Ordering::Acquire);
        }
        end - self.read <= size
    }

    /// Lets the reader see what was written.
    pub(super) fn publish(&mut self) {
        // Release: rule 2.
        self.ring.written.0.store(self.written, Ordering::Release);
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.publish();
        // Release: who sees it closed sees the last that was published.
        self.ring.closed.store(1, Ordering::Release);
    }
}

impl Reader {
    /// Looks how far the writer has come. `false`: it will come no further.
    pub(super) fn look(&mut self) -> bool {
        // Acquire, and first: what is published before the end is seen after it.
        let closed = self.ring.closed.load(Ordering::Acquire);
        // Acquire: rule 2.
        self.written = self.ring.written.0.load(Ordering::Acquire);
        closed == 0
    }

    /// The head of the next record that was there at the last look, without its first word.
    pub(super) fn peek(&self) -> Option<[u64; HEAD - 1]> {
        (self.read < self.written).then(|| [1, 2].map(|place| self.load(place)))
    }

    /// Takes the next record that was there at the last look: its octets are put behind others.
    pub(super) fn take(&mut self, octets: &mut Vec<u8>) {
        assert!(self.read < self.written, "a record that was seen");
        let len = self.load(0) as usize;
        let words = len.div_ceil(8);
        let begin = octets.len();
        for word in 0..words {
            octets.extend(self.load((HEAD + word) as u64).to_le_bytes());
        }
        octets.truncate(begin + len);
        self.read += (HEAD + words) as u64;
        // Release: rule 3.
        self.ring.read.0.store(self.read, Ordering::Release);
    }

    /// Records of this lane that were lost so far.
    pub(super) fn lost(&self, lane: usize) -> u64 {
        // Relaxed: a number for people. After the end it is exact (`closed`).
        self.ring.lost[lane].load(Ordering::Relaxed)
    }

    fn load(&self, place: u64) -> u64 {
        // Relaxed: ordered by `written` (rule 2).
        self.ring.word(self.read + place).load(Ordering::Relaxed)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn taken(reader: &mut Reader) -> Option<([u64; 2], Vec<u8>)> {
        let head = reader.peek()?;
        let mut octets = Vec::new();
        reader.take(&mut octets);
        Some((head, octets))
    }

    #[test]
    fn records_of_any_length_come_out_as_they_went_in_round_and_round() {
        let (mut writer, mut reader) = ring(64, 1);
        for number in 0..1000u64 {
            let octets: Vec<u8> = (0..number % 400).map(|octet| octet as u8).collect();
            writer.push(0, [number, !number], &octets);
            assert!(reader.look() && reader.peek().is_none(), "it was not published");
            writer.publish();
            reader.look();
            assert_eq!(taken(&mut reader), Some(([number, !number], octets)));
            assert_eq!(reader.peek(), None);
        }
        assert_eq!(reader.lost(0), 0);
    }

    #[test]
    fn what_finds_no_room_is_lost_and_counted_in_its_lane_and_room_comes_back() {
        let (mut writer, mut reader) = ring(8, 2);
        writer.push(0, [1, 0], &[1; 8]);
        writer.push(1, [2, 0], &[2; 9]);
        writer.push(0, [3, 0], &[3; 7]);
        writer.push(1, [4, 0], &[]);
        writer.publish();
        reader.look();
        assert_eq!(taken(&mut reader), Some(([1, 0], vec![1; 8])));
        assert_eq!(taken(&mut reader), Some(([3, 0], vec![3; 7])));
        assert_eq!((taken(&mut reader), reader.lost(0), reader.lost(1)), (None, 0, 2));
        writer.push(1, [5, 0], &[5; 40]);
        drop(writer);
        assert!(!reader.look());
        assert_eq!(taken(&mut reader), Some(([5, 0], vec![5; 40])));
        assert_eq!(reader.lost(1), 2);
    }

    #[test]
    fn two_threads_agree_about_every_octet() {
        const RECORDS: u64 = 100_000;
        let (mut writer, mut reader) = ring(256, 1);
        let writing = std::thread::spawn(move || {
            for number in 0..RECORDS {
                writer.push(0, [number, 0], &vec![number as u8; number as usize % 70]);
                writer.publish();
            }
        });
        let (mut next, mut count) = (0, 0);
        while reader.look() || reader.peek().is_some() {
            while let Some(([number, _], octets)) = taken(&mut reader) {
                assert!(number >= next, "in order");
                assert_eq!(octets, vec![number as u8; number as usize % 70]);
                (next, count) = (number + 1, count + 1);
            }
        }
        writing.join().unwrap();
        assert_eq!(count + reader.lost(0), RECORDS);
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;

    #[test]
    fn loom_record_is_seen_whole_or_not_at_all_and_the_end_is_the_end() {
        // All orders of so many atomics take longer than anybody waits.
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(2);
        model.check(|| {
            let (mut writer, mut reader) = ring(4, 1);
            let writing = loom::thread::spawn(move || {
                for number in [1, 2] {
                    writer.push(0, [number, number], &[number as u8; 3]);
                    writer.publish();
                }
            });
            let mut seen = Vec::new();
            let mut take = |reader: &mut Reader| {
                while let Some([a, b]) = reader.peek() {
                    let mut octets = Vec::new();
                    reader.take(&mut octets);
                    assert_eq!((a, &*octets), (b, &[a as u8; 3][..]));
                    seen.push(a);
                }
            };
            reader.look();
            take(&mut reader);
            writing.join().unwrap();
            assert!(!reader.look());
            take(&mut reader);
            assert_eq!(seen.len() as u64 + reader.lost(0), 2);
        });
    }
}

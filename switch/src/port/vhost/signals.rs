//! How the two sides of a ring tell each other that there is something: the few words on which
//! orders hang, apart from all else, so that loom can explore them.
//!
//! Each side has the same two duties, and a fence between their two halves (virtio 1.2, 2.7.7.1,
//! 2.7.13.3.1 and 2.7.13.4.1; Linux, drivers/virtio/virtio_ring.c, `virtqueue_enable_cb` and
//! `virtqueue_kick_prepare`):
//!
//! | who gives | who waits |
//! |---|---|
//! | stores its index (release) | stores up to where it has seen: its event |
//! | fence | fence |
//! | loads the other's event: is he to be woken? | loads the other's index: is there nothing? |
//!
//! Both fences are SeqCst: of two such fences one is first, and who comes second sees what the
//! other stored before his. So either the giver wakes, or the one who waits finds it. (A
//! release and an acquire would not do: they order no store before a later load.)

#[cfg(loom)]
pub(super) use loom::sync::atomic::{Ordering, fence};
#[cfg(not(loom))]
pub(super) use std::sync::atomic::{Ordering, fence};

/// VIRTQ_USED_F_NO_NOTIFY: we need no kick (virtio 1.2, 2.7.8).
const NO_NOTIFY: u16 = 1;
/// VIRTQ_AVAIL_F_NO_INTERRUPT: the guest needs no call (virtio 1.2, 2.7.6).
const NO_INTERRUPT: u16 = 1;

/// The words of a ring by which its sides tell each other something. What the guest writes may be
/// any number.
pub(in crate::port) trait Signals {
    /// How many chains the guest ever made available, modulo 2^16.
    fn available_index(&self, order: std::sync::atomic::Ordering) -> u16;
    /// The guest's flags.
    fn available_flags(&self) -> u16;
    /// Up to where the guest has seen used entries.
    fn used_event(&self) -> u16;
    /// How many chains we ever gave back, modulo 2^16.
    fn set_used_index(&self, index: u16, order: std::sync::atomic::Ordering);
    /// Our flags.
    fn set_used_flags(&self, flags: u16);
    /// Up to where we have seen available entries.
    fn set_available_event(&self, index: u16);
}

/// Asks for a kick when more becomes available than up to `seen`, and says how much that is by
/// now: if it is more, there may be no kick for it.
#[inline]
pub(super) fn ask_kick(words: &impl Signals, seen: u16, events: bool) -> u16 {
    // The flag means nothing where events were agreed upon (virtio 1.2, 2.7.10).
    if events {
        words.set_available_event(seen)
    } else {
        words.set_used_flags(0)
    }
    fence(Ordering::SeqCst);
    words.available_index(Ordering::Acquire)
}

/// Says that kicks are a waste from now on. With events nothing needs to be said: the guest kicks
/// only where the event is, which it has passed.
#[inline]
pub(super) fn refuse_kicks(words: &impl Signals, events: bool) {
    if !events {
        words.set_used_flags(NO_NOTIFY);
    }
}

/// Gives back what was used between two indices, all at once, and says whether the guest is to be
/// called for it.
#[inline]
pub(super) fn publish(words: &impl Signals, from: u16, to: u16, events: bool) -> bool {
    // Release: who sees the index sees the entries before it, and what was written into their
    // buffers (virtio 1.2, 2.7.8.2).
    words.set_used_index(to, Ordering::Release);
    fence(Ordering::SeqCst);
    if events {
        // Virtio 1.2, 2.7.10.1: if its event is among what was just given back.
        let event = words.used_event();
        to.wrapping_sub(event).wrapping_sub(1) < to.wrapping_sub(from)
    } else {
        words.available_flags() & NO_INTERRUPT == 0
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[derive(Default)]
    struct Noted {
        event: Cell<u16>,
        flags: Cell<u16>,
        used: Cell<u16>,
        used_flags: Cell<u16>,
    }

    impl Signals for Noted {
        fn available_index(&self, _: Ordering) -> u16 {
            7
        }
        fn available_flags(&self) -> u16 {
            self.flags.get()
        }
        fn used_event(&self) -> u16 {
            self.event.get()
        }
        fn set_used_index(&self, index: u16, _: Ordering) {
            self.used.set(index);
        }
        fn set_used_flags(&self, flags: u16) {
            self.used_flags.set(flags);
        }
        fn set_available_event(&self, index: u16) {
            self.event.set(index);
        }
    }

    #[test]
    fn guest_is_called_when_its_event_is_among_what_was_given_back_also_round_the_end() {
        let words = Noted::default();
        for (event, from, to, called) in [
            (0, 0, 1, true),
            (1, 0, 1, false),
            (4, 3, 5, true),
            (2, 3, 5, false),
            (5, 3, 5, false),
            (0xffff, 0xfffe, 1, true),
            (0, 0xfffe, 1, true),
            (1, 0xfffe, 1, false),
            (0xfffd, 0xfffe, 1, false),
        ] {
            words.event.set(event);
            assert_eq!(publish(&words, from, to, true), called, "{event} in {from}..{to}");
            assert_eq!(words.used.get(), to);
        }
    }

    #[test]
    fn without_events_flags_say_who_is_to_be_told() {
        let words = Noted::default();
        assert!(publish(&words, 0, 1, false));
        words.flags.set(1);
        assert!(!publish(&words, 1, 2, false));
        refuse_kicks(&words, false);
        assert_eq!(words.used_flags.get(), 1);
        assert_eq!(ask_kick(&words, 3, false), 7);
        assert_eq!((words.used_flags.get(), words.event.get()), (0, 0));
        ask_kick(&words, 3, true);
        assert_eq!(words.event.get(), 3);
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use loom::{model, sync::Arc, thread};

    use super::*;
    use crate::fdb::atomic::AtomicU32;

    /// A ring of one side each way: indices, events, one buffer of octets, a kick and a call.
    #[derive(Default)]
    struct Shared {
        available: AtomicU32,
        available_event: AtomicU32,
        used: AtomicU32,
        used_event: AtomicU32,
        octets: AtomicU32,
        woken: AtomicU32,
    }

    impl Signals for Shared {
        fn available_index(&self, order: Ordering) -> u16 {
            self.available.load(order) as u16
        }
        fn available_flags(&self) -> u16 {
            0
        }
        fn used_event(&self) -> u16 {
            self.used_event.load(Ordering::Relaxed) as u16
        }
        fn set_used_index(&self, index: u16, order: Ordering) {
            self.used.store(index.into(), order);
        }
        fn set_used_flags(&self, _: u16) {}
        fn set_available_event(&self, index: u16) {
            self.available_event.store(index.into(), Ordering::Relaxed);
        }
    }

    #[test]
    fn loom_what_was_made_available_is_found_or_kicked_for() {
        model(|| {
            let shared = Arc::new(Shared::default());
            // Before: something was seen that is not there, so that no kick is asked for yet.
            shared.available_event.store(0xffff, Ordering::Relaxed);
            let guest = {
                let shared = shared.clone();
                // As Linux does it.
                thread::spawn(move || {
                    shared.octets.store(42, Ordering::Relaxed);
                    shared.available.store(1, Ordering::Release);
                    fence(Ordering::SeqCst);
                    let event = shared.available_event.load(Ordering::Relaxed) as u16;
                    if 1u16.wrapping_sub(event).wrapping_sub(1) < 1 {
                        shared.woken.store(1, Ordering::Release);
                    }
                })
            };
            let found = ask_kick(&*shared, 0, true);
            if found == 1 {
                assert_eq!(shared.octets.load(Ordering::Relaxed), 42, "its octets are there");
            }
            guest.join().unwrap();
            assert!(found == 1 || shared.woken.load(Ordering::Relaxed) == 1, "nobody sleeps on it");
        });
    }

    #[test]
    fn loom_what_was_given_back_is_found_or_called_for() {
        model(|| {
            let shared = Arc::new(Shared::default());
            shared.used_event.store(0xffff, Ordering::Relaxed);
            let device = {
                let shared = shared.clone();
                thread::spawn(move || {
                    shared.octets.store(42, Ordering::Relaxed);
                    publish(&*shared, 0, 2, true)
                })
            };
            // As Linux does it.
            shared.used_event.store(0, Ordering::Relaxed);
            fence(Ordering::SeqCst);
            let used = shared.used.load(Ordering::Acquire);
            if used == 2 {
                assert_eq!(shared.octets.load(Ordering::Relaxed), 42, "all of it");
            }
            // All buffers of a merged frame, or none.
            assert!(used == 0 || used == 2);
            let called = device.join().unwrap();
            assert!(used == 2 || called, "the guest does not sleep on it");
        });
    }
}

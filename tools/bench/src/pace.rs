//! When each frame is due, and how to wait for that.
//!
//! The schedule is arithmetic: frame N of a rate is due N / rate after the start, however late the
//! frames before it were. Who waits for the interval after each send instead slows down with the
//! device, and does not see what waited: coordinated omission (Gil Tene, "How NOT to measure
//! latency").

use std::{
    hint, thread,
    time::{Duration, Instant, SystemTime},
};

/// The schedule of a trial.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// Frames a second; infinite for as fast as it goes.
    pub rate: f64,
    /// Frames in all.
    pub frames: u64,
    /// After how many of them the rate is another, and which.
    pub change: Option<(u64, f64)>,
}

impl Pace {
    /// So many frames at one rate.
    pub fn of(rate: f64, frames: u64) -> Pace {
        Pace { rate, frames, change: None }
    }

    /// As many frames as this rate has in that time.
    pub fn over(rate: f64, duration: Duration) -> Pace {
        let frames = (rate.min(RATE_MAX) * duration.as_secs_f64()).ceil();
        Pace::of(rate, (frames as u64).max(1))
    }

    /// The same, and then as many as another rate has in the same time again.
    pub fn then(self, rate: f64, duration: Duration) -> Pace {
        let more = Pace::over(rate, duration).frames;
        Pace { frames: self.frames + more, change: Some((self.frames, rate)), ..self }
    }

    /// When a frame is due, in nanoseconds from the start.
    pub fn due_ns(&self, frame: u64) -> u64 {
        // A double is exact to a nanosecond over 104 days.
        let span = |frames: u64, rate: f64| (frames as f64 * 1e9 / rate) as u64;
        match self.change {
            Some((before, rate)) if frame > before => {
                span(before, self.rate) + span(frame - before, rate)
            }
            _ => span(frame, self.rate),
        }
    }

    /// How many frames are due at this time.
    pub fn due(&self, now_ns: u64) -> u64 {
        if self.rate.is_infinite() {
            return self.frames;
        }
        let count = |ns: u64, rate: f64| (ns as f64 * rate / 1e9) as u64;
        // A division may be off by one: the schedule itself decides.
        let mut due = match self.change {
            Some((before, rate)) if now_ns > self.due_ns(before) => {
                before + count(now_ns - self.due_ns(before), rate)
            }
            _ => count(now_ns, self.rate),
        };
        while self.due_ns(due) <= now_ns {
            due += 1;
        }
        while due > 0 && self.due_ns(due - 1) > now_ns {
            due -= 1;
        }
        due.min(self.frames)
    }
}

/// Rates beyond this are as fast as it goes: no packet socket comes near.
pub const RATE_MAX: f64 = 2e7;

/// Time since the start of a trial, on two clocks: one that only goes forward, by which is sent,
/// and the real-time clock, by which the kernel notes when a frame came.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
    /// The real-time clock at `start`.
    real: Duration,
}

impl Clock {
    /// Starts now.
    pub fn start() -> Clock {
        let start = Instant::now();
        Clock { start, real: real_time_of(start) }
    }

    /// Nanoseconds since the start.
    pub fn now_ns(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }

    /// The same for a time of the real-time clock.
    pub fn since_start_ns(&self, real: Duration) -> u64 {
        real.saturating_sub(self.real).as_nanos() as u64
    }

    /// By how much the two clocks have come apart since the start, because somebody set the
    /// real-time clock: then no latency of the trial is right.
    pub fn drift(&self) -> Duration {
        self.real.abs_diff(real_time_of(self.start))
    }

    /// Waits until this time: asleep while that is far, spinning at the end, for a thread that
    /// sleeps wakes tens of microseconds late.
    pub fn wait_until(&self, due_ns: u64) {
        loop {
            let left = due_ns.saturating_sub(self.now_ns());
            if left == 0 {
                return;
            }
            if left > SPIN_NS {
                thread::sleep(Duration::from_nanos(left - SPIN_NS));
            } else {
                hint::spin_loop();
            }
        }
    }
}

/// What the real-time clock showed at this instant: the nearest of some readings.
fn real_time_of(instant: Instant) -> Duration {
    let readings = (0..READINGS).map(|_| {
        let before = instant.elapsed();
        let real = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let took = instant.elapsed() - before;
        (took, real.saturating_sub(before + took / 2))
    });
    readings.min().map_or(Duration::ZERO, |(_, real)| real)
}

/// Readings of which the quickest is taken: it was not interrupted.
const READINGS: usize = 16;

/// The end of a wait that is spent awake, in nanoseconds.
const SPIN_NS: u64 = 60_000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_second_has_as_many_frames_as_the_rate() {
        let pace = Pace::over(1e6, Duration::from_secs(2));
        assert_eq!(pace.frames, 2_000_000);
        assert_eq!((pace.due(0), pace.due(999), pace.due(1000)), (1, 1, 2));
        assert_eq!(pace.due(1_000_000_000), 1_000_001);
        assert_eq!(pace.due(u64::MAX / 2), 2_000_000);
        assert_eq!(pace.due_ns(1_999_999), 1_999_999_000);
        assert_eq!(Pace::over(0.001, Duration::from_secs(1)).frames, 1);
    }

    #[test]
    fn a_rate_changes_when_its_frames_are_sent() {
        let pace = Pace::over(1000.0, Duration::from_secs(1)).then(500.0, Duration::from_secs(1));
        assert_eq!((pace.frames, pace.change), (1500, Some((1000, 500.0))));
        assert_eq!(
            [999, 1000, 1001, 1500].map(|frame| pace.due_ns(frame) / 1_000_000),
            [999, 1000, 1002, 2000]
        );
        assert_eq!((pace.due(1_000_000_000), pace.due(1_002_000_000)), (1001, 1002));
    }

    #[test]
    fn as_fast_as_it_goes_is_all_at_once() {
        let pace = Pace::over(f64::INFINITY, Duration::from_secs(1));
        assert_eq!(pace.frames, RATE_MAX as u64);
        assert_eq!((pace.due(0), pace.due_ns(7)), (pace.frames, 0));
    }

    proptest! {
        #[test]
        fn a_frame_is_due_when_its_time_has_come_and_not_before(
            rate in 0.1..2e7f64,
            frame in 0..100_000_000u64,
            change in 0..100_000_000u64,
            then in 0.1..2e7f64,
        ) {
            let change = Some((change, then));
            for pace in [Pace::of(rate, u64::MAX), Pace { rate, frames: u64::MAX, change }] {
                let due = pace.due_ns(frame);
                prop_assert!(pace.due(due) > frame);
                if due > 0 {
                    prop_assert!(pace.due(due - 1) <= frame);
                }
            }
        }
    }

    #[test]
    fn a_wait_ends_when_it_is_due_and_clocks_agree() {
        let clock = Clock::start();
        for wait in [0, 1000, 200_000] {
            let due = clock.now_ns() + wait;
            clock.wait_until(due);
            assert!(clock.now_ns() >= due);
        }
        let real = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let (since, now) = (clock.since_start_ns(real), clock.now_ns());
        assert!(since <= now + 1_000_000, "{since} {now}");
    }
}

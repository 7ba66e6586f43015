//! How many ICMP errors may leave: a token bucket (RFC 1812, section 4.3.2.8; RFC 4443, section
//! 2.4 f). Each leg has its own, so that who provokes errors on one leg keeps none from another.
//!
//! All workers and the slow path take from the same bucket: a limit is that of the router, however
//! many threads it runs on. It is one atomic number, which is looked at when there is an error to
//! be told and by no packet that goes on; an empty one is only read.

use std::sync::atomic::{AtomicU64, Ordering};

/// A moment, in units of 100 ms since some start. It wraps after 13 years.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tick(pub u32);

impl Tick {
    /// Milliseconds in one tick.
    pub const MILLIS: u64 = 100;

    /// So many ticks later.
    pub fn after(self, ticks: u32) -> Tick {
        Tick(self.0.wrapping_add(ticks))
    }

    /// Ticks until a later moment; 0 if it is not later. More than half of all ticks away is
    /// before.
    pub fn until(self, later: Tick) -> u32 {
        let ticks = later.0.wrapping_sub(self.0);
        if ticks <= u32::MAX / 2 { ticks } else { 0 }
    }
}

/// What a bucket is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Tokens that it gets each tick.
    pub per_tick: u32,
    /// Tokens that it holds.
    pub burst: u32,
}

impl Default for Limit {
    /// 100 errors a second, and 50 at once: enough for a traceroute, a fraction of what a link of
    /// 1 Mbit/s carries.
    fn default() -> Limit {
        Limit { per_tick: 10, burst: 50 }
    }
}

/// Tokens. It begins full.
#[derive(Debug)]
pub struct Bucket {
    limit: Limit,
    /// When it was filled last, in the upper half, and how many tokens there are. It guards nothing
    /// else: no order among accesses is needed.
    state: AtomicU64,
}

impl Bucket {
    /// A full one.
    pub fn new(limit: Limit) -> Bucket {
        Bucket { limit, state: AtomicU64::new(u64::from(limit.burst)) }
    }

    /// Takes a token if there is one.
    pub fn take(&self, now: Tick) -> bool {
        let mut taken = false;
        let take = |state: u64| {
            let (filled, tokens) = (Tick((state >> 32) as u32), state as u32);
            // A full one is filled at any time. Else by how long it is: not at all, if somebody
            // filled it whose clock was read later.
            let (filled, ticks) =
                if tokens == self.limit.burst { (now, 0) } else { (filled, filled.until(now)) };
            let new = ticks.saturating_mul(self.limit.per_tick);
            let tokens = tokens.saturating_add(new).min(self.limit.burst);
            taken = tokens > 0;
            let new = u64::from(filled.after(ticks).0) << 32 | u64::from(tokens.saturating_sub(1));
            (new != state).then_some(new)
        };
        // Whoever fails to change it does so because another has.
        let _ = self.state.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(bucket: &Bucket, now: u32) -> usize {
        (0..1000).filter(|_| bucket.take(Tick(now))).count()
    }

    #[test]
    fn burst_leaves_at_once_and_then_so_many_a_tick() {
        let bucket = Bucket::new(Limit { per_tick: 3, burst: 10 });
        assert_eq!(taken(&bucket, 7), 10);
        assert_eq!(taken(&bucket, 7), 0);
        assert_eq!(taken(&bucket, 8), 3);
        assert_eq!(taken(&bucket, 10), 6);
    }

    #[test]
    fn many_take_no_more_than_one() {
        let bucket = Bucket::new(Limit { per_tick: 7, burst: 500 });
        let all = |now| {
            std::thread::scope(|scope| {
                let threads = [0; 4].map(|_| scope.spawn(|| taken(&bucket, now)));
                threads.map(|thread| thread.join().unwrap()).iter().sum::<usize>()
            })
        };
        assert_eq!([3, 4, 4, 14].map(all), [500, 7, 0, 70]);
    }

    #[test]
    fn long_silence_fills_it_and_no_more() {
        let bucket = Bucket::new(Limit { per_tick: u32::MAX, burst: 10 });
        assert_eq!(taken(&bucket, 0), 10);
        assert_eq!(taken(&bucket, 1_000_000_000), 10);
    }

    #[test]
    fn time_may_wrap_and_stand_still_and_go_back() {
        let bucket = Bucket::new(Limit { per_tick: 1, burst: 10 });
        assert_eq!(taken(&bucket, u32::MAX), 10);
        assert_eq!(taken(&bucket, 1), 2);
        assert_eq!(taken(&bucket, 0), 0);
        assert_eq!(taken(&bucket, 2), 1);
    }

    #[test]
    fn what_is_later_is_so_many_ticks_away_and_what_is_not_is_none() {
        let now = Tick(u32::MAX - 1);
        assert_eq!(
            [0, 1, 5, u32::MAX / 2].map(|ticks| now.until(now.after(ticks))),
            [0, 1, 5, u32::MAX / 2]
        );
        assert_eq!(now.after(5), Tick(3));
        assert_eq!([now.until(Tick(0)), Tick(0).until(now)], [2, 0]);
    }

    #[test]
    fn limit_of_nothing_lets_nothing_pass() {
        assert_eq!(taken(&Bucket::new(Limit { per_tick: 0, burst: 0 }), 9), 0);
    }
}

//! How many ICMP errors may leave: a token bucket (RFC 1812, section 4.3.2.8; RFC 4443, section
//! 2.4 f). Each leg has its own, so that who provokes errors on one leg keeps none from another.

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
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    limit: Limit,
    tokens: u32,
    filled: Option<Tick>,
}

impl Bucket {
    /// A full one.
    pub fn new(limit: Limit) -> Bucket {
        Bucket { limit, tokens: limit.burst, filled: None }
    }

    /// Takes a token if there is one.
    pub fn take(&mut self, now: Tick) -> bool {
        let filled = *self.filled.get_or_insert(now);
        let ticks = now.0.wrapping_sub(filled.0);
        // More than half of all ticks away: it was filled later, by a clock read later.
        if ticks <= u32::MAX / 2 {
            let new = ticks.saturating_mul(self.limit.per_tick);
            self.tokens = self.tokens.saturating_add(new).min(self.limit.burst);
            self.filled = Some(now);
        }
        self.tokens.checked_sub(1).inspect(|left| self.tokens = *left).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(bucket: &mut Bucket, now: u32) -> usize {
        (0..1000).filter(|_| bucket.take(Tick(now))).count()
    }

    #[test]
    fn burst_leaves_at_once_and_then_so_many_a_tick() {
        let mut bucket = Bucket::new(Limit { per_tick: 3, burst: 10 });
        assert_eq!(taken(&mut bucket, 7), 10);
        assert_eq!(taken(&mut bucket, 7), 0);
        assert_eq!(taken(&mut bucket, 8), 3);
        assert_eq!(taken(&mut bucket, 10), 6);
    }

    #[test]
    fn long_silence_fills_it_and_no_more() {
        let mut bucket = Bucket::new(Limit { per_tick: u32::MAX, burst: 10 });
        assert_eq!(taken(&mut bucket, 0), 10);
        assert_eq!(taken(&mut bucket, 1_000_000_000), 10);
    }

    #[test]
    fn time_may_wrap_and_stand_still_and_go_back() {
        let mut bucket = Bucket::new(Limit { per_tick: 1, burst: 10 });
        assert_eq!(taken(&mut bucket, u32::MAX), 10);
        assert_eq!(taken(&mut bucket, 1), 2);
        assert_eq!(taken(&mut bucket, 0), 0);
        assert_eq!(taken(&mut bucket, 2), 1);
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
        assert_eq!(taken(&mut Bucket::new(Limit { per_tick: 0, burst: 0 }), 9), 0);
    }
}

//! Whether two devices that were measured in turn differ, or whether chance alone would do.
//!
//! A round measures both, one after the other, and gives the ratio of its two figures: what
//! disturbs the machine for longer than a round is in both. A difference is called real when two
//! conditions hold:
//!
//! * 1 is outside of the bootstrap's interval of the median of these ratios
//!   ([`Sample::interval`]). Of few rounds that interval is too narrow, hence the second.
//! * One of them was ahead in so many rounds as chance brings about once in twenty times (the sign
//!   test: Arbuthnot, 1710), which asks nothing of how the ratios are spread.

use crate::statistics::Sample;

/// What rounds say together.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The figure of the second by that of the first, of all rounds.
    pub ratios: Sample,
    /// Between what it lies, with a confidence of 95 in 100.
    pub interval: (f64, f64),
    /// Rounds in which the second's figure was larger.
    pub larger: usize,
    /// Rounds in all.
    pub rounds: usize,
}

/// What that means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The second's figure is larger.
    Larger,
    /// It is smaller.
    Smaller,
    /// There is none that chance could not bring about.
    NoDifference,
    /// Fewer rounds than [`ROUNDS_MIN`], of which nothing can be said.
    TooFewRounds,
}

impl Change {
    /// Of the figures of rounds, the first's and the second's. `None`: there is no round in which
    /// both have one.
    pub fn of(rounds: &[(f64, f64)]) -> Option<Change> {
        let whole = rounds.iter().filter(|(first, second)| *first > 0.0 && *second > 0.0);
        let ratios: Vec<f64> = whole.map(|(first, second)| second / first).collect();
        let larger = ratios.iter().filter(|ratio| **ratio > 1.0).count();
        let rounds = ratios.len();
        let ratios = Sample::new(ratios)?;
        Some(Change { interval: ratios.interval(), ratios, larger, rounds })
    }

    /// What that means.
    pub fn verdict(&self) -> Verdict {
        let (low, high) = self.interval;
        if self.rounds < ROUNDS_MIN {
            Verdict::TooFewRounds
        } else if low > 1.0 && chance(self.larger, self.rounds) <= CHANCE_MAX {
            Verdict::Larger
        } else if high < 1.0 && chance(self.rounds - self.larger, self.rounds) <= CHANCE_MAX {
            Verdict::Smaller
        } else {
            Verdict::NoDifference
        }
    }
}

/// How likely it is that of two that are alike one is ahead in so many rounds, or more.
fn chance(ahead: usize, rounds: usize) -> f64 {
    let mut ways = 1.0;
    let mut sum = 0.0;
    for count in (ahead..=rounds).rev() {
        // The ways to choose `count` of them: 1 for all, and so on downwards.
        sum += ways;
        ways *= count as f64 / (rounds - count + 1) as f64;
    }
    (2.0 * sum * 0.5f64.powi(rounds as i32)).min(1.0)
}

/// Of fewer rounds even those that all agree say nothing: 2 / 2^5 is above `CHANCE_MAX`.
pub const ROUNDS_MIN: usize = 6;

/// One in twenty.
const CHANCE_MAX: f64 = 0.05;

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(ratios: &[f64]) -> Verdict {
        let rounds: Vec<_> = ratios.iter().map(|ratio| (100.0, 100.0 * ratio)).collect();
        Change::of(&rounds).expect("there are rounds").verdict()
    }

    #[test]
    fn what_is_always_so_is_real_and_what_is_mostly_so_is_not() {
        let up = [1.02, 1.03, 1.01, 1.04, 1.02, 1.05, 1.03];
        assert_eq!(verdict(&up), Verdict::Larger);
        assert_eq!(verdict(&up.map(|ratio| 1.0 / ratio)), Verdict::Smaller);
        assert_eq!(verdict(&up[..ROUNDS_MIN]), Verdict::Larger);
        assert_eq!(verdict(&up[..ROUNDS_MIN - 1]), Verdict::TooFewRounds);
        // The bootstrap alone would call this one real: two of seven are on the other side.
        let mostly = [0.99, 0.98, 1.02, 1.03, 1.04, 1.05, 1.06];
        assert_eq!(verdict(&mostly), Verdict::NoDifference);
        assert_eq!(verdict(&[1.0; 9]), Verdict::NoDifference);
    }

    #[test]
    fn rounds_in_which_one_let_nothing_through_have_no_ratio() {
        assert_eq!(Change::of(&[(0.0, 5.0), (5.0, 0.0)]), None);
        let change = Change::of(&[(0.0, 5.0), (2.0, 4.0)]).unwrap();
        assert_eq!((change.rounds, change.ratios.median(), change.larger), (1, 2.0, 1));
    }

    #[test]
    fn chance_is_that_of_a_coin() {
        for (ahead, rounds, percent) in
            [(6, 6, 3.125), (5, 6, 21.875), (7, 7, 1.5625), (3, 6, 100.)]
        {
            assert!((chance(ahead, rounds) * 100.0 - percent).abs() < 1e-9, "{ahead} of {rounds}");
        }
        assert!(chance(12, 15) <= CHANCE_MAX && chance(11, 15) > CHANCE_MAX);
        assert!(chance(600, 1000) < 1e-9);
    }
}

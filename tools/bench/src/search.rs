//! The search for a throughput: the fastest rate at which the device loses no more than it may
//! (RFC 1242 section 3.17, RFC 2544 section 26.1).

/// A search between a rate that passed and one that failed, by halves. A device's answers need
/// not agree with each other: whatever they are, the search ends, and what it finds did pass.
#[derive(Clone, Debug, PartialEq)]
pub struct Search {
    /// The fastest rate that passed; 0 when none did.
    passed: f64,
    /// The slowest that failed, or at which nothing can be sent.
    failed: f64,
    /// What is tried next, if it is not the middle.
    guess: Option<f64>,
    /// The two are near enough when they differ by this share of the upper one.
    resolution: f64,
    trials: usize,
}

impl Search {
    /// A search below a rate that failed.
    ///
    /// # Panics
    ///
    /// If the rate is no positive number, or the resolution is not between 0 and 1.
    pub fn below(failed: f64, resolution: f64) -> Search {
        assert!(failed.is_finite() && failed > 0.0, "a rate that failed");
        assert!(resolution > 0.0 && resolution < 1.0, "a share");
        Search { passed: 0.0, failed, guess: None, resolution, trials: 0 }
    }

    /// Has this rate tried next, if it is in question: a good guess saves most of the trials.
    pub fn guess(&mut self, rate: f64) {
        self.guess = (rate > self.passed && rate < self.failed).then_some(rate);
    }

    /// The rate to be tried next. `None`: it is found, or cannot be.
    pub fn next_rate(&self) -> Option<f64> {
        let near = self.failed - self.passed <= self.failed * self.resolution;
        if near || self.trials >= TRIALS_MAX {
            return None;
        }
        Some(self.guess.unwrap_or((self.passed + self.failed) / 2.0))
    }

    /// What was found at this rate.
    pub fn tell(&mut self, rate: f64, passes: bool) {
        self.trials += 1;
        self.guess = None;
        if passes {
            self.passed = self.passed.max(rate);
            // It said otherwise before: the later answer is nearer to what was found.
            self.failed = self.failed.max(rate);
        } else {
            self.failed = self.failed.min(rate).max(self.passed);
        }
    }

    /// The fastest rate that passed so far; 0 when none did.
    pub fn found(&self) -> f64 {
        self.passed
    }

    /// How many rates were tried.
    pub fn trials(&self) -> usize {
        self.trials
    }
}

/// Trials of one search at the most: 2^-20 of the first rate is next to nothing.
pub const TRIALS_MAX: usize = 20;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_device_that_loses_everything_has_no_throughput() {
        let mut search = Search::below(1e6, 0.01);
        while let Some(rate) = search.next_rate() {
            search.tell(rate, false);
        }
        assert_eq!(search.found(), 0.0);
        assert_eq!(search.trials(), TRIALS_MAX);
    }

    #[test]
    fn a_good_guess_is_tried_first_and_a_useless_one_is_not() {
        let mut search = Search::below(1000.0, 0.01);
        for useless in [0.0, 1000.0, f64::NAN] {
            search.guess(useless);
            assert_eq!(search.next_rate(), Some(500.0));
        }
        search.guess(900.0);
        assert_eq!(search.next_rate(), Some(900.0));
        search.tell(900.0, true);
        assert_eq!((search.found(), search.next_rate()), (900.0, Some(950.0)));
    }

    proptest! {
        #[test]
        fn the_limit_is_found_to_the_resolution(
            limit in 1e3..1e6f64,
            guess in 0.0..2e6f64,
            resolution in 0.001..0.2f64,
        ) {
            let mut search = Search::below(1e6, resolution);
            search.guess(guess);
            while let Some(rate) = search.next_rate() {
                search.tell(rate, rate <= limit);
            }
            prop_assert!(search.found() <= limit);
            prop_assert!(search.found() >= limit - 1e6 * resolution);
            prop_assert!(search.trials() < TRIALS_MAX);
        }

        #[test]
        fn whatever_is_answered_it_ends_with_a_rate_that_passed(answers: [bool; TRIALS_MAX]) {
            let mut search = Search::below(1e6, 0.001);
            let mut passed = vec![0.0];
            for answer in answers {
                let Some(rate) = search.next_rate() else { break };
                prop_assert!(rate > 0.0 && rate < 1e6);
                search.tell(rate, answer);
                passed.extend(answer.then_some(rate));
            }
            prop_assert!(passed.contains(&search.found()));
        }
    }
}

//! What many rounds say together.

/// A sample: medians, because a disturbed round is an outlier and no error of measurement.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    values: Vec<f64>,
}

impl Sample {
    /// The values of all rounds. `None`: there are none.
    pub fn new(mut values: Vec<f64>) -> Option<Sample> {
        values.sort_by(f64::total_cmp);
        (!values.is_empty()).then_some(Sample { values })
    }

    /// The middle one, or the mean of the two in the middle.
    pub fn median(&self) -> f64 {
        let count = self.values.len();
        let (low, high) = (self.values[(count - 1) / 2], self.values[count / 2]);
        (low + high) / 2.0
    }

    /// The smallest.
    pub fn least(&self) -> f64 {
        self.values[0]
    }

    /// The largest.
    pub fn most(&self) -> f64 {
        self.values[self.values.len() - 1]
    }
}

impl Sample {
    /// Between which two values the median of all rounds that could have been lies, with a
    /// confidence of 95 in 100: the bootstrap by percentiles (Efron, "Bootstrap methods: another
    /// look at the jackknife", 1979). It always draws the same, so that a figure can be checked.
    pub fn interval(&self) -> (f64, f64) {
        let (count, mut random) = (self.values.len(), Random::new());
        let mut draw = || {
            let again = (0..count).map(|_| self.values[random.below(count)]).collect();
            Sample::new(again).expect("there is a value").median()
        };
        let medians: Vec<f64> = (0..DRAWS).map(|_| draw()).collect();
        let medians = Sample::new(medians).expect("there are some");
        let tail = DRAWS * 25 / 1000;
        (medians.values[tail], medians.values[DRAWS - 1 - tail])
    }
}

/// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators").
pub(crate) struct Random(u64);

impl Random {
    /// Draws that are the same each time.
    pub(crate) fn new() -> Random {
        Random(SEED)
    }

    pub(crate) fn below(&mut self, count: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % count as u64) as usize
    }
}

/// How often rounds are drawn again.
const DRAWS: usize = 10_000;

/// Where drawing begins.
const SEED: u64 = 2544;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_of_odd_and_even_and_none() {
        let sample = Sample::new(vec![3.0, 1.0, 2.0]).unwrap();
        assert_eq!((sample.median(), sample.least(), sample.most()), (2.0, 1.0, 3.0));
        assert_eq!(Sample::new(vec![4.0, 1.0, 2.0, 3.0]).unwrap().median(), 2.5);
        assert_eq!(Sample::new(vec![]), None);
    }

    #[test]
    fn an_interval_holds_the_median_and_narrows_with_more_rounds() {
        let rounds = |count: u32| (0..count).map(|round| f64::from(round % 10)).collect();
        let (few, many): (Vec<f64>, Vec<f64>) = (rounds(10), rounds(200));
        let widths = [few, many].map(|rounds| {
            let sample = Sample::new(rounds).unwrap();
            let (low, high) = sample.interval();
            assert!(low <= sample.median() && sample.median() <= high);
            high - low
        });
        assert!(widths[1] < widths[0] / 2.0, "{widths:?}");
        assert_eq!(Sample::new(vec![7.0]).unwrap().interval(), (7.0, 7.0));
    }
}

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
}

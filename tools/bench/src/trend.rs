//! Whether something grows: the slope of a line through its values (least squares), and between
//! what it lies.

use crate::statistics::Random;

/// A slope.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trend {
    /// By how much the value grows a unit of time.
    pub slope: f64,
    /// Between what that lies, with a confidence of 95 in 100: the bootstrap, points drawn again.
    pub interval: (f64, f64),
}

impl Trend {
    /// Of points of time and value. `None`: there are fewer than [`POINTS_MIN`], or all at once.
    pub fn of(points: &[(f64, f64)]) -> Option<Trend> {
        let count = points.len();
        let slope = slope_of(points).filter(|_| count >= POINTS_MIN)?;
        let mut random = Random::new();
        let mut draw = || {
            let drawn: Vec<_> = (0..count).map(|_| points[random.below(count)]).collect();
            slope_of(&drawn)
        };
        let mut slopes: Vec<f64> = (0..DRAWS).filter_map(|_| draw()).collect();
        slopes.sort_by(f64::total_cmp);
        let tail = slopes.len() * 25 / 1000;
        let interval = (*slopes.get(tail)?, *slopes.get(slopes.len() - 1 - tail)?);
        Some(Trend { slope, interval })
    }
}

/// `None`: all points are at one time.
fn slope_of(points: &[(f64, f64)]) -> Option<f64> {
    let count = points.len() as f64;
    let sums = points.iter().fold((0.0, 0.0), |sums, (x, y)| (sums.0 + x, sums.1 + y));
    let (x_mean, y_mean) = (sums.0 / count, sums.1 / count);
    let (mut above, mut below) = (0.0, 0.0);
    for (x, y) in points {
        above += (x - x_mean) * (y - y_mean);
        below += (x - x_mean) * (x - x_mean);
    }
    (below > 0.0).then(|| above / below)
}

/// Of fewer points any line is as good.
pub const POINTS_MIN: usize = 3;

/// How often points are drawn again.
const DRAWS: usize = 2000;

#[cfg(test)]
mod tests {
    use super::*;

    fn trend(value: impl Fn(f64) -> f64) -> Trend {
        let points: Vec<_> = (0..60).map(|at| (f64::from(at), value(f64::from(at)))).collect();
        Trend::of(&points).unwrap()
    }

    #[test]
    fn what_grows_has_a_slope_and_what_goes_up_and_down_has_none() {
        let grows = trend(|at| 1000.0 + 3.0 * at + if at % 2.0 > 0.5 { 5.0 } else { -5.0 });
        assert!((grows.slope - 3.0).abs() < 0.1, "{grows:?}");
        assert!(grows.interval.0 > 2.8 && grows.interval.1 < 3.2, "{grows:?}");
        let waves = trend(|at| 1000.0 + 10.0 * (at * 0.9).sin());
        assert!(waves.interval.0 < 0.0 && waves.interval.1 > 0.0, "{waves:?}");
        assert_eq!(trend(|_| 7.0), Trend { slope: 0.0, interval: (0.0, 0.0) });
    }

    #[test]
    fn few_points_or_one_time_have_no_slope() {
        assert_eq!(Trend::of(&[(0.0, 1.0), (1.0, 2.0)]), None);
        assert_eq!(Trend::of(&[(1.0, 1.0), (1.0, 2.0), (1.0, 3.0)]), None);
        assert_eq!(Trend::of(&[]), None);
    }
}

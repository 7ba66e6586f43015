//! Forwarding rates (RFC 2889 section 5.6; RFC 2285 section 3.6): how much a device lets through
//! of whatever load, loss or not. A device that does less under more load has collapsed.

use std::io;

use crate::{bed::Bed, rfc2544::Point, stop::Stop, throughput::Terms};

/// What was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Forwarding {
    /// From the smallest load to the largest.
    pub points: Vec<Point>,
}

impl Forwarding {
    /// The maximum forwarding rate (RFC 2285 section 3.6.3): frames a second of the best of them.
    pub fn most(&self) -> f64 {
        self.points.iter().map(|point| point.received).fold(0.0, f64::max)
    }

    /// The forwarding rate at maximum offered load (RFC 2285 section 3.6.2).
    pub fn at_full_load(&self) -> f64 {
        self.points.last().map_or(0.0, |point| point.received)
    }
}

/// Loads in [`STEPS`] even steps up to what the tester is able to send.
///
/// # Errors
///
/// A link is down or gone, or what the system said.
pub fn forwarding(bed: &mut Bed<'_>, terms: &Terms, stop: &Stop) -> io::Result<Forwarding> {
    let full = bed.trial(&terms.load(f64::INFINITY), stop)?;
    let fastest = full.offered_rate().max(1.0);
    let mut points = Vec::new();
    for step in 1..=STEPS {
        let share = f64::from(step) / f64::from(STEPS);
        let trial = match step == STEPS {
            true => bed.trial(&terms.load(f64::INFINITY), stop)?,
            false => bed.trial(&terms.load(fastest * share), stop)?,
        };
        if stop.is_given() {
            break;
        }
        let (offered, received) = (trial.offered_rate(), trial.received_rate());
        points.push(Point { share, offered, received, loss: trial.loss() });
    }
    Ok(Forwarding { points })
}

/// Loads that are tried: the RFC leaves their step to the tester (section 5.6.2).
pub const STEPS: u32 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_rate_need_not_be_the_last() {
        let point = |received| Point { share: 0.5, offered: 100.0, received, loss: 0.0 };
        let forwarding = Forwarding { points: [50.0, 90.0, 70.0].map(point).to_vec() };
        assert_eq!((forwarding.most(), forwarding.at_full_load()), (90.0, 70.0));
        let nothing = Forwarding { points: Vec::new() };
        assert_eq!((nothing.most(), nothing.at_full_load()), (0.0, 0.0));
    }
}

//! Rounds in which others took the machine's time do not count: they are done again, and told if
//! that did not help.

use std::io;

use uswitch_bench::{bed::Bed, cpu::Watch, stop::Stop};

/// Rounds that other load disturbed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Disturbed {
    /// Those that were done again.
    pub(crate) again: u32,
    /// Those that were kept, because there was no end of it.
    pub(crate) kept: u32,
}

impl Disturbed {
    /// What stands against a figure.
    pub(crate) fn note(self) -> Option<String> {
        (self.kept > 0).then(|| format!("{} rounds with other load", self.kept))
    }
}

/// Does a round, and once more if others disturbed it. An error is an answer at once.
///
/// # Errors
///
/// Those of the round.
pub(crate) fn undisturbed<T>(
    bed: &mut Bed<'_>,
    disturbed: &mut Disturbed,
    stop: &Stop,
    mut round: impl FnMut(&mut Bed<'_>) -> io::Result<T>,
) -> io::Result<T> {
    count(disturbed, stop, || {
        let watch = Watch::begin(bed.device().cpu())?;
        let outcome = round(bed)?;
        Ok((outcome, watch.others(bed.device().cpu())?))
    })
}

/// The same of a round that says how many processors others took meanwhile.
fn count<T>(
    disturbed: &mut Disturbed,
    stop: &Stop,
    mut round: impl FnMut() -> io::Result<(T, f64)>,
) -> io::Result<T> {
    for _ in 0..AGAIN_MAX {
        let (outcome, others) = round()?;
        if others <= OTHERS_MAX || stop.is_given() {
            return Ok(outcome);
        }
        disturbed.again += 1;
    }
    let (outcome, others) = round()?;
    disturbed.kept += u32::from(others > OTHERS_MAX && !stop.is_given());
    Ok(outcome)
}

/// How many processors others may take on average in a round that counts.
pub(crate) const OTHERS_MAX: f64 = 0.3;

/// How often a round that others disturbed is done again.
const AGAIN_MAX: u32 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of rounds in which others take this much.
    fn rounds(others: &[f64], stop: &Stop) -> (usize, Disturbed) {
        let (mut done, mut disturbed) = (0, Disturbed::default());
        let outcome = count(&mut disturbed, stop, || {
            done += 1;
            Ok((done, others[done - 1]))
        });
        (outcome.unwrap(), disturbed)
    }

    #[test]
    fn a_disturbed_round_is_done_again_and_kept_if_that_does_not_help() {
        let stop = Stop::default();
        assert_eq!(rounds(&[0.1], &stop), (1, Disturbed::default()));
        let once = Disturbed { again: 1, kept: 0 };
        assert_eq!((rounds(&[1.5, 0.2], &stop), once.note()), ((2, once), None));
        let always = Disturbed { again: 1, kept: 1 };
        assert_eq!(rounds(&[1.5, 0.4], &stop), (2, always));
        assert_eq!(always.note().as_deref(), Some("1 rounds with other load"));
    }

    #[test]
    fn who_is_stopped_does_nothing_again() {
        let stop = Stop::default();
        stop.give();
        assert_eq!(rounds(&[1.5], &stop), (1, Disturbed::default()));
    }
}

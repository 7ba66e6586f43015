//! How many addresses a device learns, and how fast (RFC 2889 sections 5.7 and 5.8).
//!
//! Three ports: at the learning port stations speak, each with a frame to the station at the test
//! port; that answers each of them; and at the monitoring port nothing of it may be heard, for
//! what is heard there was flooded, and what is flooded was not learned.
//!
//! Between two tries the RFC waits for the ageing time. Here the device is started anew, which
//! forgets as well and does not take five minutes.

use std::{io, time::Duration};

use crate::{
    bed::{Bed, Load},
    device::{Device, StartError},
    pace::Pace,
    plan::{FramePlan, Pairing, SIZE_MIN, Size},
    search::Search,
    stop::Stop,
    trial::Trial,
};

/// The ports of a device that is measured.
pub const PORTS: usize = 3;

const LEARNING: u8 = 0;
const TEST: u8 = 1;

/// On what terms.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Terms {
    /// Addresses at the most.
    pub most: usize,
    /// At how many a second stations speak while capacity is searched, and are answered always.
    pub rate: f64,
    /// How near a figure is to be found, as a share of it.
    pub resolution: f64,
    /// See [`Load::quiet`].
    pub quiet: Duration,
    /// How long a device may take to let the first frame through.
    pub patience: Duration,
}

/// What came of a try.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Learned {
    /// Stations that spoke.
    pub addresses: usize,
    /// At how many a second.
    pub rate: f64,
    /// Those that were not learned: what was for them came out elsewhere.
    pub flooded: usize,
    /// Those of which nothing is known: what was for them did not come.
    pub lost: usize,
    /// Nothing came through at all.
    pub silent: bool,
}

impl Learned {
    /// Whether all were.
    pub fn all(&self) -> bool {
        !self.silent && self.flooded == 0 && self.lost == 0
    }

    /// How many were, as far as is known.
    pub fn learned(&self) -> usize {
        match self.silent {
            true => 0,
            false => self.addresses.saturating_sub(self.flooded + self.lost),
        }
    }
}

/// Has stations speak at this rate, and sees which were learned. The device is fresh, of
/// [`PORTS`]. Frames that the kernel loses before or behind it say nothing of it: `patiently`,
/// stations that were not heard speak again.
///
/// # Errors
///
/// A link is down or gone, or what the system said.
pub fn learn(
    device: &mut Device,
    addresses: usize,
    rate: f64,
    patiently: bool,
    terms: &Terms,
    stop: &Stop,
) -> io::Result<Learned> {
    let plan = |from, to, flows, pairing| {
        let plan = FramePlan::new(0, from, to, Size::Octets(SIZE_MIN));
        vec![FramePlan { flows, pairing, ..plan }]
    };
    let mut learned = Learned { addresses, rate, flooded: 0, lost: 0, silent: false };
    let mut bed = Bed::open(device, plan(TEST, LEARNING, 1, Pairing::EachToEach))?;
    if !bed.teach(terms.patience, stop)? {
        return Ok(Learned { silent: true, ..learned });
    }
    drop(bed);
    let mut bed = Bed::open(device, plan(LEARNING, TEST, addresses, Pairing::EachToOne))?;
    let load = |rate| {
        let pace = Pace::of(rate, addresses as u64);
        let until = Duration::from_nanos(pace.due_ns(pace.frames)) * 2 + GRACE;
        Load { pace, until, quiet: terms.quiet }
    };
    let spoken = again(&mut bed, &load(rate), if patiently { TRIES } else { 1 }, stop)?;
    learned.rate = spoken.offered_rate();
    drop(bed);
    let mut bed = Bed::open(device, plan(TEST, LEARNING, addresses, Pairing::OneToEach))?;
    let answered = again(&mut bed, &load(terms.rate), TRIES, stop)?;
    // At a port that is neither's.
    learned.flooded = answered.received.strayed as usize;
    learned.lost = answered.lost() as usize;
    Ok(learned)
}

/// Does a trial until nothing of it is lost, or so often.
fn again(bed: &mut Bed<'_>, load: &Load, tries: usize, stop: &Stop) -> io::Result<Trial> {
    let mut trial = bed.trial(load, stop)?;
    for _ in 1..tries {
        if trial.lost() == 0 || stop.is_given() {
            break;
        }
        trial = bed.trial(load, stop)?;
    }
    Ok(trial)
}

/// What was found by some tries.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Found {
    /// Addresses, or addresses a second.
    pub figure: f64,
    /// Nothing was too much: it may be more than was tried.
    pub endless: bool,
    /// Nothing came through in one of the tries.
    pub silent: bool,
    /// Tries in all.
    pub tries: usize,
}

/// Starts a device anew.
pub type Start<'a> = dyn FnMut() -> Result<Device, StartError> + 'a;

/// Address caching capacity (section 5.7): how many addresses of one port are all learned,
/// searched below [`Terms::most`].
///
/// # Errors
///
/// The device does not start any more, a link is down or gone, or what the system said.
pub fn capacity(
    start: &mut Start<'_>,
    terms: &Terms,
    stop: &Stop,
    show: &mut dyn FnMut(&Learned),
) -> Result<Found, StartError> {
    let tried = |addresses: f64, stop: &Stop| {
        learn(&mut start()?, (addresses as usize).max(1), terms.rate, true, terms, stop)
            .map_err(StartError::from)
    };
    search(tried, (1.0, terms.most as f64), terms, stop, show, |learned| {
        (learned.addresses as f64, learned.learned() as f64)
    })
}

/// Address learning rate (section 5.8): the fastest rate at which `addresses` stations may speak,
/// each once, so that all are learned; 0 if that is slower than [`Terms::rate`].
///
/// # Errors
///
/// The device does not start any more, a link is down or gone, or what the system said.
pub fn learning_rate(
    start: &mut Start<'_>,
    addresses: usize,
    terms: &Terms,
    stop: &Stop,
    show: &mut dyn FnMut(&Learned),
) -> Result<Found, StartError> {
    let tried = |rate: f64, stop: &Stop| {
        learn(&mut start()?, addresses, rate, false, terms, stop).map_err(StartError::from)
    };
    search(tried, (terms.rate, f64::INFINITY), terms, stop, show, |learned| {
        let share = learned.learned() as f64 / learned.addresses as f64;
        (learned.rate, learned.rate * share)
    })
}

/// Tries the most, and searches between it and the least. `figures`: what was tried, and what is
/// worth trying after it.
fn search(
    mut tried: impl FnMut(f64, &Stop) -> Result<Learned, StartError>,
    (least, most): (f64, f64),
    terms: &Terms,
    stop: &Stop,
    show: &mut dyn FnMut(&Learned),
    figures: impl Fn(&Learned) -> (f64, f64),
) -> Result<Found, StartError> {
    let learned = tried(most, stop)?;
    show(&learned);
    let ((at, guess), all, silent) = (figures(&learned), learned.all(), learned.silent);
    if all || silent || stop.is_given() {
        let (figure, endless) = if all { (at, true) } else { (0.0, false) };
        return Ok(Found { figure, endless, silent, tries: 1 });
    }
    let mut search = Search::below(at.max(1.0), terms.resolution);
    search.guess(guess);
    let mut found = Found { figure: 0.0, endless: false, silent, tries: 1 };
    while let (Some(next), false) = (search.next_rate(), stop.is_given()) {
        let next = next.max(least);
        let learned = tried(next, stop)?;
        show(&learned);
        found.silent |= learned.silent;
        found.tries += 1;
        search.tell(next, learned.all());
        if learned.all() {
            if found.figure == 0.0 {
                // Most tables keep what they have: then this is as much as there is.
                search.guess(next / (1.0 - terms.resolution * 0.9));
            }
            found.figure = found.figure.max(figures(&learned).0);
        } else if next <= least {
            break;
        }
    }
    Ok(found)
}

/// How often frames are sent again of which the kernel may have lost some.
const TRIES: usize = 5;

/// How long the sender may take beyond its schedule.
const GRACE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    const TERMS: Terms = Terms {
        most: 10_000,
        rate: 1000.0,
        resolution: 0.01,
        quiet: Duration::ZERO,
        patience: Duration::ZERO,
    };

    /// What is found of a table of so many addresses.
    fn capacity_of(table: usize, hub_beyond: bool) -> Found {
        let tried = |addresses: f64, _: &Stop| {
            let addresses = (addresses as usize).max(1);
            let beyond = addresses.saturating_sub(table);
            let flooded = if hub_beyond && beyond > 0 { addresses } else { beyond };
            Ok(Learned { addresses, rate: 1.0, flooded, lost: 0, silent: false })
        };
        let stop = Stop::default();
        search(tried, (1.0, TERMS.most as f64), &TERMS, &stop, &mut |_| {}, |learned| {
            (learned.addresses as f64, learned.learned() as f64)
        })
        .unwrap()
    }

    #[test]
    fn a_table_that_keeps_what_it_has_is_found_exactly_and_at_once() {
        let found = capacity_of(4096, false);
        assert_eq!((found.figure, found.endless), (4096.0, false));
        assert_eq!(found.tries, 3, "{found:?}");
    }

    #[test]
    fn a_table_that_is_thrown_away_when_full_is_found_by_halves() {
        let found = capacity_of(4096, true);
        assert!((4096.0 * 0.98..=4096.0).contains(&found.figure), "{found:?}");
    }

    #[test]
    fn nothing_and_everything_are_figures_too() {
        assert_eq!(capacity_of(0, false).figure, 0.0);
        let found = capacity_of(20_000, false);
        assert_eq!((found.figure, found.endless, found.tries), (10_000.0, true, 1));
    }
}

//! Throughput: the fastest rate at which a device loses no more than it may (RFC 2544 section
//! 26.1).

use std::{io, time::Duration};

use crate::{
    bed::{Bed, Load},
    pace::Pace,
    search::Search,
    stop::Stop,
    trial::Trial,
};

/// On what terms a throughput is searched.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Terms {
    /// Of one trial.
    pub duration: Duration,
    /// The share of frames that may be lost.
    pub loss: f64,
    /// How near the rate is to be found, as a share of it.
    pub resolution: f64,
    /// See [`Load::quiet`].
    pub quiet: Duration,
}

/// What was found.
#[derive(Clone, Debug)]
pub struct Throughput {
    /// Frames a second; 0 when the device loses more at any rate.
    pub rate: f64,
    /// The trial that passed at this rate. `None`: none did.
    pub trial: Option<Trial>,
    /// Trials in all.
    pub trials: usize,
    /// It was stopped before the rate was found.
    pub stopped: bool,
}

impl Terms {
    /// A trial at this rate.
    pub fn load(&self, rate: f64) -> Load {
        let pace = Pace::over(rate, self.duration);
        // A moment for the last batch: who cannot keep the schedule is milliseconds behind soon.
        let until = if rate.is_finite() { self.duration + GRACE } else { self.duration };
        Load { pace, until, quiet: self.quiet }
    }

    /// Whether the device passes a trial.
    pub fn pass(&self, trial: &Trial) -> bool {
        trial.sent.offered > 0 && trial.loss() <= self.loss && trial.received.dropped == 0
    }

    /// Searches, and shows each trial on its way. `near`: what was found before, if anything.
    ///
    /// # Errors
    ///
    /// A link is down or gone, or what the system said.
    pub fn search(
        &self,
        bed: &mut Bed<'_>,
        near: Option<f64>,
        stop: &Stop,
        show: &mut dyn FnMut(&Trial),
    ) -> io::Result<Throughput> {
        let mut found = Throughput { rate: 0.0, trial: None, trials: 0, stopped: false };
        if let Some(near) = near.filter(|near| *near > 0.0) {
            let mut search = Search::below(near * NEARBY, self.resolution);
            search.guess(near);
            self.go_on(&mut search, &mut found, bed, stop, show)?;
            if found.stopped || search.found() < near * NEARBY * (1.0 - 2.0 * self.resolution) {
                return Ok(found);
            }
            // It has become so much faster that nothing has failed.
        }
        // As fast as it goes: what comes through then is a good guess.
        let tried = self.try_at(f64::INFINITY, &mut found, bed, stop, show)?;
        if tried.passes || found.stopped || tried.offered == 0.0 {
            return Ok(found);
        }
        let mut search = Search::below(tried.offered, self.resolution);
        search.guess(tried.received * GUESS);
        self.go_on(&mut search, &mut found, bed, stop, show)?;
        Ok(found)
    }

    fn go_on(
        &self,
        search: &mut Search,
        found: &mut Throughput,
        bed: &mut Bed<'_>,
        stop: &Stop,
        show: &mut dyn FnMut(&Trial),
    ) -> io::Result<()> {
        while let (Some(rate), false) = (search.next_rate(), found.stopped) {
            let tried = self.try_at(rate, found, bed, stop, show)?;
            // What was not offered has not passed.
            let kept = tried.offered >= rate * KEPT;
            if tried.passes && !kept {
                search.tell(tried.offered, true);
            }
            search.tell(rate, tried.passes && kept);
        }
        Ok(())
    }

    fn try_at(
        &self,
        rate: f64,
        found: &mut Throughput,
        bed: &mut Bed<'_>,
        stop: &Stop,
        show: &mut dyn FnMut(&Trial),
    ) -> io::Result<Tried> {
        let mut trial = bed.trial(&self.load(rate), stop)?;
        for _ in 0..REPEATS {
            if self.pass(&trial) || !trial.was_disturbed() || stop.is_given() {
                break;
            }
            // What came too late came as a burst, which the device was not asked to bear.
            show(&trial);
            trial = bed.trial(&self.load(rate), stop)?;
        }
        found.trials += 1;
        found.stopped = stop.is_given();
        let (offered, received) = (trial.offered_rate(), trial.received_rate());
        let passes = self.pass(&trial) && !found.stopped;
        show(&trial);
        if passes && offered >= found.rate {
            (found.rate, found.trial) = (offered, Some(trial));
        }
        Ok(Tried { offered, received, passes })
    }
}

/// What a trial says to the search: rates, and whether it passed.
struct Tried {
    offered: f64,
    received: f64,
    passes: bool,
}

/// How far above what was found before a search begins.
const NEARBY: f64 = 1.25;

/// The share of what comes through under full load that is tried first.
const GUESS: f64 = 0.98;

/// A trial that offers less of the rate than this was not at that rate.
const KEPT: f64 = 0.99;

/// How often a trial is done again that failed while the tester itself was disturbed.
const REPEATS: usize = 3;

/// How much longer than its schedule a sender may take.
const GRACE: Duration = Duration::from_millis(5);

//! The measurements of RFC 2544 beside throughput: latency, the curve of loss, bursts, recovery.
//! Each begins with what was found of the throughput.

use std::{io, time::Duration};

use crate::{
    bed::{Bed, Load},
    pace::Pace,
    search::Search,
    stop::Stop,
    throughput::Terms,
    trial::Trial,
};

/// The shares of the throughput at which latencies are measured. The RFC asks for the first
/// (section 26.2), at which any queue may be full; the others are what somebody meets.
pub const LATENCY_SHARES: [f64; 3] = [1.0, 0.5, 0.1];

/// A rate of the curve, and the share that is lost there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// The share of the fastest rate.
    pub share: f64,
    /// Frames a second that were offered.
    pub offered: f64,
    /// Frames a second that came through.
    pub received: f64,
    /// The share that did not.
    pub loss: f64,
}

/// The curve of frame loss (section 26.3): from the fastest rate that the tester reaches down in
/// tenths, until two trials after each other lose nothing beyond what is allowed.
///
/// # Errors
///
/// A link is down or gone, or what the system said.
pub fn loss_curve(bed: &mut Bed<'_>, terms: &Terms, stop: &Stop) -> io::Result<Vec<Point>> {
    let (mut points, mut fastest, mut passed) = (Vec::new(), f64::INFINITY, 0);
    for tenths in (1..=10).rev() {
        let share = f64::from(tenths) / 10.0;
        let trial = bed.trial(&terms.load(fastest * share), stop)?;
        if stop.is_given() {
            break;
        }
        if tenths == 10 {
            fastest = trial.offered_rate().max(1.0);
        }
        let (offered, received) = (trial.offered_rate(), trial.received_rate());
        points.push(Point { share, offered, received, loss: trial.loss() });
        passed = if terms.pass(&trial) { passed + 1 } else { 0 };
        if passed == 2 {
            break;
        }
    }
    Ok(points)
}

/// What was found of bursts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Burst {
    /// Frames of the longest of which none was lost.
    pub frames: u64,
    /// There was no longer one: it has no end that a trial's time would show.
    pub endless: bool,
}

/// Back-to-back frames (section 26.4): the longest burst, as fast as the tester sends, of which
/// none is lost, searched up to what the tester sends in a trial's time.
///
/// # Errors
///
/// A link is down or gone, or what the system said.
pub fn back_to_back(bed: &mut Bed<'_>, terms: &Terms, stop: &Stop) -> io::Result<Burst> {
    let mut try_at = |frames: u64| {
        let pace = Pace::of(f64::INFINITY, frames);
        bed.trial(&Load { pace, until: terms.duration, quiet: terms.quiet }, stop)
    };
    let whole = |trial: &Trial| trial.received() == trial.sent.offered;
    let all = try_at(Pace::over(f64::INFINITY, terms.duration).frames)?;
    let most = all.sent.offered.max(1);
    if whole(&all) {
        return Ok(Burst { frames: most, endless: true });
    }
    let mut search = Search::below(most as f64, terms.resolution);
    while let (Some(frames), false) = (search.next_rate(), stop.is_given()) {
        let count = (frames as u64).max(1);
        let trial = try_at(count)?;
        // A single frame that is lost: there is no shorter burst.
        if count == 1 && !whole(&trial) {
            break;
        }
        search.tell(frames, trial.sent.offered == count && whole(&trial));
    }
    Ok(Burst { frames: search.found() as u64, endless: false })
}

/// What was found of a recovery.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recovery {
    /// Frames a second of the overload.
    pub overload: f64,
    /// The share that was lost of all.
    pub loss: f64,
    /// From when the rate was halved to when the last frame was due that was lost; nothing if none
    /// was afterwards.
    pub time: Duration,
}

/// System recovery (section 26.5): a trial's time at 110 % of the throughput, another at half of
/// that, and how long frames are still lost in the second.
///
/// # Errors
///
/// A link is down or gone, or what the system said.
pub fn recovery(
    bed: &mut Bed<'_>,
    throughput: f64,
    terms: &Terms,
    stop: &Stop,
) -> io::Result<Recovery> {
    let overload = throughput.max(1.0) * OVERLOAD;
    let pace = Pace::over(overload, terms.duration).then(overload / 2.0, terms.duration);
    // The tester need not be able to send that fast: then it is behind for a while.
    let trial = bed.trial(&Load { pace, until: terms.duration * 3, quiet: terms.quiet }, stop)?;
    let streams = trial.received.streams.len() as u64;
    let last = trial.received.streams.iter().zip(&trial.sent.offered_by);
    let last = last.zip(0..).filter_map(|((tally, offered), stream)| {
        Some(tally.last_missing(*offered)? * streams + stream)
    });
    let (changed, _) = pace.change.expect("the rate changes");
    let time = last.max().map_or(0, |last| pace.due_ns(last).saturating_sub(pace.due_ns(changed)));
    Ok(Recovery { overload, loss: trial.loss(), time: Duration::from_nanos(time) })
}

/// Section 26.5: 110 % of the throughput.
const OVERLOAD: f64 = 1.1;

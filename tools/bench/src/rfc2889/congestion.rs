//! Whether a port to which more comes than it can take slows the others: congestion control and
//! head-of-line blocking (RFC 2889 section 5.5).

use std::io;

use crate::{
    bed::Bed,
    device::Device,
    plan::{FramePlan, Size},
    stop::Stop,
    throughput::Terms,
    trial::Trial,
};

/// The ports of a device that is measured.
pub const PORTS: usize = 4;

/// Two that send, one to which half of a port's load goes, and one to which one and a half go.
const SENDS: [u8; 2] = [0, 1];
const UNCONGESTED: u8 = 2;
const CONGESTED: u8 = 3;

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Congestion {
    /// Frames a second that each of the two sent.
    pub offered: f64,
    /// The share that was lost on the way to the port without congestion, when nothing went to
    /// the other.
    pub loss_alone: f64,
    /// The same when all went.
    pub loss_uncongested: f64,
    /// The share that was lost on the way to the other port.
    pub loss_congested: f64,
    /// By the allowance, and beyond what was lost without congestion: what waits for the one port
    /// stands in the way of what is for the other.
    pub head_of_line_blocking: bool,
    /// Nothing was lost at either port, though one and a half of a port's load was for one: who
    /// sent was held back, or the port took it all.
    pub back_pressure: bool,
}

/// Both ports send at `rate`, all that a port takes: the first half of it to the port without
/// congestion and half to the other; the second all of it to the other.
///
/// `None`: no frame came through in time.
///
/// # Errors
///
/// A link is down or gone, or what the system said.
pub fn congestion(
    device: &mut Device,
    size: Size,
    rate: f64,
    terms: &Terms,
    patience: std::time::Duration,
    stop: &Stop,
) -> io::Result<Option<Congestion>> {
    // Streams of half of a port's load each, one frame after the other.
    let pairs = [
        (SENDS[0], UNCONGESTED),
        (SENDS[1], CONGESTED),
        (SENDS[0], CONGESTED),
        (SENDS[1], CONGESTED),
    ];
    let plans =
        pairs.iter().zip(0..).map(|((from, to), stream)| FramePlan::new(stream, *from, *to, size));
    let plans: Vec<FramePlan> = plans.collect();
    let mut bed = Bed::open(device, plans[..1].to_vec())?;
    if !bed.teach(patience, stop)? {
        return Ok(None);
    }
    let alone = bed.trial(&terms.load(rate / 2.0), stop)?;
    drop(bed);
    let mut bed = Bed::open(device, plans)?;
    if !bed.teach(patience, stop)? {
        return Ok(None);
    }
    let trial = bed.trial(&terms.load(rate * 2.0), stop)?;
    let (loss_uncongested, loss_congested) = (loss(&trial, 0..1), loss(&trial, 1..4));
    let loss_alone = alone.loss();
    Ok(Some(Congestion {
        offered: trial.offered_rate() / 2.0,
        loss_alone,
        loss_uncongested,
        loss_congested,
        head_of_line_blocking: loss_uncongested > terms.loss.max(loss_alone),
        back_pressure: loss_uncongested <= terms.loss && loss_congested <= terms.loss,
    }))
}

/// The share of some streams that did not come.
fn loss(trial: &Trial, streams: std::ops::Range<usize>) -> f64 {
    let offered: u64 = trial.sent.offered_by[streams.clone()].iter().sum();
    let received: u64 = trial.received.streams[streams].iter().map(|tally| tally.received).sum();
    if offered == 0 { 0.0 } else { (offered - received) as f64 / offered as f64 }
}

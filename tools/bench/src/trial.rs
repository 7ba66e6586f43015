//! One trial: frames at one rate for a while, and what came of them (RFC 2544 section 24).

use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use crate::{pace::Pace, receiver::Received, sender::Sent, tally::latencies};

/// What a trial has found.
#[derive(Clone, Debug)]
pub struct Trial {
    /// The schedule.
    pub pace: Pace,
    /// What was sent.
    pub sent: Sent,
    /// What came.
    pub received: Received,
    /// Processor time of the device's processes meanwhile.
    pub cpu: Duration,
    /// Of the whole machine, tester included.
    pub cpu_machine: Duration,
    /// By how much the real-time clock was set meanwhile.
    pub drift: Duration,
    /// A process of the device has ended.
    pub died: bool,
}

/// Why a trial says nothing of the device: the tester was at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// It could not send as fast as it was asked to.
    Sender,
    /// It could not count as fast as frames came.
    Receiver,
}

impl Trial {
    /// Frames that came, each once and sound.
    pub fn received(&self) -> u64 {
        self.received.streams.iter().map(|tally| tally.received).sum()
    }

    /// Frames that came again.
    pub fn duplicated(&self) -> u64 {
        self.received.streams.iter().map(|tally| tally.duplicated).sum()
    }

    /// Frames that came behind one of their stream that was sent later.
    pub fn reordered(&self) -> u64 {
        self.received.streams.iter().map(|tally| tally.reordered).sum()
    }

    /// By how many frames at the most.
    pub fn extent(&self) -> u64 {
        self.received.streams.iter().map(|tally| tally.extent).max().unwrap_or(0)
    }

    /// Frames that came and were changed on their way.
    pub fn damaged(&self) -> u64 {
        let impossible = self.received.streams.iter().map(|tally| tally.impossible);
        self.received.damaged + impossible.sum::<u64>()
    }

    /// Frames that did not come, neither sound nor damaged.
    pub fn lost(&self) -> u64 {
        (self.sent.offered - self.received()).saturating_sub(self.damaged())
    }

    /// The share of the frames that did not come sound (RFC 1242 section 3.6).
    pub fn loss(&self) -> f64 {
        match self.sent.offered {
            0 => 0.0,
            offered => (offered - self.received()) as f64 / offered as f64,
        }
    }

    /// Frames a second that were offered.
    pub fn offered_rate(&self) -> f64 {
        per_second(self.sent.offered, self.sent.elapsed)
    }

    /// Frames a second that came through.
    pub fn received_rate(&self) -> f64 {
        per_second(self.received(), self.sent.elapsed)
    }

    /// Latencies of all streams.
    pub fn latency(&self) -> Histogram<u64> {
        let mut all = latencies();
        for tally in &self.received.streams {
            all.add(&tally.latency).expect("they have the same range");
        }
        all
    }

    /// Whether the tester was at its end. That it could not send as fast as it goes is none.
    pub fn limit(&self) -> Option<Limit> {
        if self.received.dropped > 0 {
            Some(Limit::Receiver)
        } else if self.pace.rate.is_finite() && self.sent.unsent as f64 > 0.005 * self.frames() {
            Some(Limit::Sender)
        } else {
            None
        }
    }

    /// Whether something kept the tester from sending in time: it then sent what was due at once,
    /// which is another load than the one that was asked for.
    pub fn was_disturbed(&self) -> bool {
        self.pace.rate.is_finite() && self.sent.lateness.max() > LATE_MAX_NS
    }

    fn frames(&self) -> f64 {
        self.pace.frames as f64
    }

    /// All of it for programs; times in nanoseconds unless their names say otherwise.
    pub fn json(&self) -> Value {
        let (latency, per_frame) = (self.latency(), |time: Duration| {
            let received = self.received();
            (received > 0).then(|| time.as_nanos() as f64 / received as f64)
        });
        json!({
            "rate_asked": self.pace.rate.is_finite().then_some(self.pace.rate),
            "rate_offered": self.offered_rate(),
            "rate_received": self.received_rate(),
            "seconds": self.sent.elapsed.as_secs_f64(),
            "offered": self.sent.offered,
            "unsent": self.sent.unsent,
            "refused": self.sent.refused,
            "received": self.received(),
            "lost": self.lost(),
            "loss": self.loss(),
            "damaged": self.damaged(),
            "duplicated": self.duplicated(),
            "reordered": self.reordered(),
            "reordered_extent": self.extent(),
            "strayed": self.received.strayed,
            "foreign": self.received.foreign,
            "latency": quantiles(&latency),
            "late": quantiles(&self.sent.lateness),
            "cpu_per_frame": per_frame(self.cpu),
            "cpu_machine_per_frame": per_frame(self.cpu_machine),
            "tester_dropped": self.received.dropped,
            "tester_limit": self.limit().map(|limit| match limit {
                Limit::Sender => "sender",
                Limit::Receiver => "receiver",
            }),
            "clock_set_by": self.drift.as_nanos() as u64,
            "disturbed": self.was_disturbed(),
            "device_died": self.died,
        })
    }
}

/// The quantiles that are told, in nanoseconds. Null: there was nothing to measure.
pub fn quantiles(histogram: &Histogram<u64>) -> Value {
    if histogram.is_empty() {
        return Value::Null;
    }
    json!({
        "min": histogram.min(),
        "p50": histogram.value_at_quantile(0.5),
        "p90": histogram.value_at_quantile(0.9),
        "p99": histogram.value_at_quantile(0.99),
        "p99.9": histogram.value_at_quantile(0.999),
        "max": histogram.max(),
        "mean": histogram.mean(),
    })
}

fn per_second(frames: u64, elapsed: Duration) -> f64 {
    let seconds = elapsed.as_secs_f64();
    if seconds > 0.0 { frames as f64 / seconds } else { 0.0 }
}

/// A frame that was later than this was not sent in time: at a hundred thousand a second, more are
/// due by then than the queue of many a device holds.
const LATE_MAX_NS: u64 = 2_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tally::Tally;

    fn trial(offered: u64, sequences: &[u64], damaged: u64) -> Trial {
        let mut tally = Tally::new(offered);
        sequences.iter().for_each(|sequence| tally.count(*sequence, 5000));
        let elapsed = Duration::from_secs(2);
        let (lateness, offered_by) = (latencies(), vec![offered]);
        let sent = Sent { offered, offered_by, refused: 0, unsent: 0, elapsed, lateness };
        let (streams, copies) = (vec![tally], Vec::new());
        let received = Received { streams, copies, strayed: 0, damaged, foreign: 0, dropped: 0 };
        Trial {
            pace: Pace::of(50.0, offered),
            sent,
            received,
            cpu: Duration::from_micros(8),
            cpu_machine: Duration::ZERO,
            drift: Duration::ZERO,
            died: false,
        }
    }

    #[test]
    fn every_frame_is_in_one_place() {
        let trial = trial(10, &[0, 2, 1, 2, 3, 4], 2);
        assert_eq!((trial.received(), trial.damaged(), trial.lost()), (5, 2, 3));
        assert_eq!((trial.duplicated(), trial.reordered(), trial.extent()), (1, 1, 1));
        assert_eq!((trial.loss(), trial.received_rate()), (0.5, 2.5));
        assert_eq!(trial.limit(), None);
        let json = trial.json();
        assert_eq!(json["lost"], 3);
        assert_eq!(json["cpu_per_frame"], 1600.0);
        assert!(json["latency"]["p50"].as_u64().unwrap().abs_diff(5000) < 10);
    }

    #[test]
    fn nothing_sent_and_nothing_received_are_no_trouble() {
        let nothing = trial(0, &[], 0);
        assert_eq!((nothing.loss(), nothing.lost()), (0.0, 0));
        assert_eq!(nothing.json()["cpu_per_frame"], Value::Null);
        let silence = trial(10, &[], 0);
        assert_eq!((silence.loss(), silence.lost()), (1.0, 10));
        assert_eq!(silence.json()["latency"], Value::Null);
    }

    #[test]
    fn a_frame_that_is_late_disturbs_a_trial_with_a_schedule() {
        let mut trial = trial(2, &[0, 1], 0);
        trial.sent.lateness.saturating_record(LATE_MAX_NS / 2);
        assert!(!trial.was_disturbed());
        trial.sent.lateness.saturating_record(LATE_MAX_NS * 2);
        assert!(trial.was_disturbed());
        trial.pace.rate = f64::INFINITY;
        assert!(!trial.was_disturbed(), "it has no schedule");
    }

    #[test]
    fn who_was_at_its_end_is_told() {
        let mut trial = trial(1000, &[], 0);
        trial.sent.unsent = 5;
        assert_eq!(trial.limit(), None);
        trial.sent.unsent = 6;
        assert_eq!(trial.limit(), Some(Limit::Sender));
        trial.received.dropped = 1;
        assert_eq!(trial.limit(), Some(Limit::Receiver));
    }
}

//! What comes through when more is offered than there is room for: a device that spends its time on
//! frames that it then drops lets less through the more it is sent (Mogul and Ramakrishnan,
//! "Eliminating receive livelock in an interrupt-driven kernel", 1997).

use std::io;

use serde_json::json;
use uswitch_bench::{bed::Bed, device::Kind, statistics::Sample, stop::Stop, trial::Trial};

use super::{
    super::{
        contenders,
        quiet::{Disturbed, undisturbed},
        report::{self, Report},
        table::{Table, grouped},
        throughput::progress,
        trial,
    },
    Axis, Scale, start,
};

/// What was found of a device.
struct Curve<'a> {
    kind: Kind,
    bed: Option<Bed<'a>>,
    /// Frames a second, round by round.
    throughput: Vec<f64>,
    /// By share: what was offered and what came through, round by round.
    points: Vec<Vec<(f64, f64)>>,
    disturbed: Disturbed,
    fault: Option<String>,
}

pub(super) fn run(options: &Scale, report: &mut Report, stop: &Stop) -> io::Result<()> {
    let shares = Axis::Load.values(&options.values);
    let kinds: Vec<_> = options.device.iter().map(|kind| (0, *kind)).collect();
    let mut started = start(options, Axis::Load, &kinds, stop)?;
    let mut curves = Vec::new();
    for (_, kind, setting, device) in &mut started {
        let (bed, fault) = match device {
            Ok(device) => {
                let mut bed = Bed::open(device, setting.plans.clone())?;
                let fault = contenders::teach(&mut bed, options.start.patience, stop);
                bed.device().pause();
                (Some(bed), fault)
            }
            Err(error) => (None, Some(error.to_string())),
        };
        let (throughput, disturbed) = (Vec::new(), Disturbed::default());
        let points = vec![Vec::new(); shares.len()];
        curves.push(Curve { kind: *kind, bed, throughput, points, disturbed, fault });
    }
    let bar = progress(u64::from(options.search.rounds) * curves.len() as u64 * 2);
    // What is offered is the same in all rounds: shares of a figure of all rounds before them.
    for searched in [true, false] {
        for round in 1..=options.search.rounds {
            for curve in &mut curves {
                let step = if searched { "throughput" } else { "load" };
                bar.set_message(format!("{step}, {}", curve.kind));
                curve.round((searched, round), &shares, options, report, stop)?;
                bar.inc(1);
            }
        }
    }
    bar.finish_and_clear();
    tell(&curves, &shares, options, report)
}

impl Curve<'_> {
    /// One round; what goes wrong with the device is its fault.
    fn round(
        &mut self,
        (searched, round): (bool, u32),
        shares: &[usize],
        options: &Scale,
        report: &mut Report,
        stop: &Stop,
    ) -> io::Result<()> {
        if self.fault.is_some() || stop.is_given() {
            return Ok(());
        }
        if let Some(bed) = &mut self.bed {
            bed.device().resume();
        }
        let outcome = if searched {
            self.search(options, stop)
        } else {
            self.load(round, shares, options, report, stop)
        };
        match outcome {
            Err(error) if report::is_own(&error) => return Err(error),
            Err(error) => self.fault = Some(netlab::reason(&error)),
            Ok(()) => {}
        }
        if let Some(bed) = &mut self.bed {
            bed.device().pause();
            if self.fault.is_none() && bed.device().died() {
                self.fault = Some("its process has ended".into());
            }
        }
        Ok(())
    }

    fn search(&mut self, options: &Scale, stop: &Stop) -> io::Result<()> {
        let Some(bed) = &mut self.bed else { return Ok(()) };
        let (terms, near) = (options.search.terms(), self.throughput.last().copied());
        let search = |bed: &mut Bed<'_>| terms.search(bed, near, stop, &mut |_| {});
        let found = undisturbed(bed, &mut self.disturbed, stop, search)?;
        if !found.stopped {
            self.throughput.push(found.rate);
        }
        Ok(())
    }

    fn load(
        &mut self,
        round: u32,
        shares: &[usize],
        options: &Scale,
        report: &mut Report,
        stop: &Stop,
    ) -> io::Result<()> {
        let (throughput, kind) = (self.throughput(), self.kind.name());
        let Some(bed) = &mut self.bed else { return Ok(()) };
        for (share, points) in shares.iter().zip(&mut self.points) {
            if throughput < 1.0 || stop.is_given() {
                break;
            }
            let mut load = options.search.terms().load(throughput * *share as f64 / 100.0);
            // A tester that cannot keep the schedule is to send no longer than one that can.
            load.until = options.search.terms().duration;
            let one = |bed: &mut Bed<'_>| bed.trial(&load, stop);
            let trial: Trial = undisturbed(bed, &mut self.disturbed, stop, one)?;
            let mut line = trial::line(kind, options.size, &trial);
            (line["over"], line["value"]) = ("load".into(), (*share).into());
            line["round"] = round.into();
            report.line(&line)?;
            if !stop.is_given() {
                points.push((trial.offered_rate(), trial.received_rate()));
            }
        }
        Ok(())
    }

    fn throughput(&self) -> f64 {
        Sample::new(self.throughput.clone()).map_or(0.0, |sample| sample.median())
    }

    /// How many times the throughput was offered at the highest share.
    fn times_offered(&self, shares: &[usize]) -> f64 {
        let highest = (0..shares.len()).max_by_key(|index| shares[*index]);
        let offered = highest.and_then(|index| Some(medians(&self.points[index])?.0));
        offered.unwrap_or(0.0) / self.throughput().max(1.0)
    }

    /// In each round, what came through at the highest share by the most that came at any.
    fn grace(&self, shares: &[usize]) -> Option<Sample> {
        let highest = (0..shares.len()).max_by_key(|index| shares[*index])?;
        let rounds = self.points.iter().map(Vec::len).min()?;
        let of_round = |round: usize| {
            let received = |points: &Vec<(f64, f64)>| points[round].1;
            let most = self.points.iter().map(received).fold(0.0, f64::max);
            (most > 0.0).then(|| received(&self.points[highest]) / most)
        };
        Sample::new((0..rounds).filter_map(of_round).collect())
    }
}

/// Medians of what was offered and of what came through.
fn medians(points: &[(f64, f64)]) -> Option<(f64, f64)> {
    let median =
        |of: fn(&(f64, f64)) -> f64| Some(Sample::new(points.iter().map(of).collect())?.median());
    Some((median(|point| point.0)?, median(|point| point.1)?))
}

fn tell(
    curves: &[Curve<'_>],
    shares: &[usize],
    options: &Scale,
    report: &mut Report,
) -> io::Result<()> {
    let mut table = Table::new(&["device", "load %", "offered", "came through", "lost %"]);
    let mut sentences = Vec::new();
    for curve in curves {
        let mut points = Vec::new();
        for (share, found) in shares.iter().zip(&curve.points) {
            let Some((offered, received)) = medians(found) else { continue };
            let loss = 100.0 * (1.0 - received / offered.max(1.0)).max(0.0);
            let cells = [grouped(offered), grouped(received), format!("{loss:.2}")];
            let mut row = vec![curve.kind.to_string(), share.to_string()];
            row.extend(cells);
            table.row(row);
            points.push(json!({
                "percent": share,
                "rate_offered": offered,
                "rate_received": received,
                "rounds": found.iter().map(|(_, received)| *received).collect::<Vec<_>>(),
            }));
        }
        let grace = curve.grace(shares);
        let most = curve.times_offered(shares);
        report.line(&json!({
            "kind": "load",
            "device": curve.kind.name(),
            "size": report::size(options.size),
            "throughput": curve.throughput(),
            "points": points,
            "most_offered": most,
            "kept_of_peak": grace.as_ref().map(Sample::median),
            "confidence_95": grace.as_ref().map(|sample| {
                let (low, high) = sample.interval();
                [low, high]
            }),
            "graceful": grace.as_ref().and_then(|sample| is_graceful(sample, most, shares)),
            "fault": curve.fault,
            "rounds_done_again": curve.disturbed.again,
            "rounds_disturbed": curve.disturbed.kept,
        }))?;
        sentences.push(sentence(curve, grace.as_ref(), most, shares));
    }
    report.text(&format!(
        "under load: frames of {} octets, shares of the throughput\n{}{}\n\n",
        options.size,
        table.text(),
        sentences.join("\n")
    ))
}

/// What a person wants to know.
fn sentence(curve: &Curve<'_>, grace: Option<&Sample>, most: f64, shares: &[usize]) -> String {
    let kind = curve.kind;
    if let Some(fault) = &curve.fault {
        return format!("{kind}: {fault}");
    }
    let Some(grace) = grace else { return format!("{kind}: it let nothing through") };
    let (low, high) = grace.interval();
    let verdict = match is_graceful(grace, most, shares) {
        Some(true) => format!("graceful, as {KEPT_MIN} is to be kept"),
        Some(false) => format!("NOT graceful, as {KEPT_MIN} is to be kept"),
        None => format!("the tester could not offer {:.1} times", highest(shares)),
    };
    let mut text = format!(
        "{kind}: at {most:.1} times its throughput {:.2} of the peak comes through ({low:.2} ... \
         {high:.2}): {verdict}",
        grace.median()
    );
    if let Some(note) = curve.disturbed.note() {
        text.push_str(&format!("; {note}"));
    }
    text
}

/// The highest share, as a factor.
fn highest(shares: &[usize]) -> f64 {
    shares.iter().max().copied().unwrap_or(100) as f64 / 100.0
}

/// Whether enough is kept. `None`: the tester did not offer as much as it was to.
fn is_graceful(grace: &Sample, most: f64, shares: &[usize]) -> Option<bool> {
    (most >= highest(shares) * OFFERED_MIN).then_some(grace.median() >= KEPT_MIN)
}

/// The share of the highest load that is to be offered if it is to count.
const OFFERED_MIN: f64 = 0.95;

/// The share of the peak that is to come through at twice the load.
const KEPT_MIN: f64 = 0.9;

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(points: Vec<Vec<(f64, f64)>>) -> Curve<'static> {
        let (kind, throughput) = (Kind::Bridge, vec![100.0]);
        let disturbed = Disturbed::default();
        Curve { kind, bed: None, throughput, points, disturbed, fault: None }
    }

    #[test]
    fn what_is_kept_is_by_the_peak_of_the_same_round() {
        let curve =
            curve(vec![vec![(100.0, 100.0), (100.0, 50.0)], vec![(200.0, 96.0), (200.0, 46.0)]]);
        let grace = curve.grace(&[100, 200]).unwrap();
        assert_eq!((grace.least(), grace.most()), (0.92, 0.96));
        let text = sentence(&curve, Some(&grace), 2.0, &[100, 200]);
        let told = "0.94 of the peak comes through (0.92 ... 0.96): graceful, as 0.9 is to be kept";
        assert!(text.ends_with(told), "{text}");
        let text = sentence(&curve, Some(&grace), 1.4, &[100, 200]);
        assert!(text.ends_with("the tester could not offer 2.0 times"), "{text}");
    }

    #[test]
    fn a_device_that_chokes_is_told_and_one_that_lets_nothing_through_too() {
        let chokes = curve(vec![vec![(100.0, 100.0)], vec![(200.0, 40.0)]]);
        let grace = chokes.grace(&[100, 200]);
        assert!(sentence(&chokes, grace.as_ref(), 2.0, &[100, 200]).contains("NOT graceful"));
        assert_eq!(
            (chokes.times_offered(&[100, 200]), is_graceful(&grace.unwrap(), 1.8, &[200])),
            (2.0, None)
        );
        let silent = curve(vec![Vec::new(), Vec::new()]);
        assert_eq!(silent.grace(&[100, 200]), None);
        assert!(sentence(&silent, None, 0.0, &[100]).contains("let nothing through"));
        assert_eq!(medians(&[]), None);
    }
}

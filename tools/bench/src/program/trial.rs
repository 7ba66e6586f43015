//! `uswitch-bench trial`: so many frames at one rate, and what became of them.

use std::{io, time::Duration};

use serde_json::{Value, json};
use uswitch_bench::{
    bed::{Bed, Load},
    pace::Pace,
    plan::Size,
    trial::{Limit, Trial},
};

use super::{
    Ending, cli, contenders,
    report::{self, Report},
    signals,
    table::{grouped, micros},
};

/// For how long nothing has come when no more will.
const QUIET: Duration = Duration::from_millis(500);

pub(crate) fn run(options: &cli::Trial) -> io::Result<Ending> {
    let stop = signals::listen()?;
    contenders::check_rights()?;
    let mut report = Report::begin(&options.output)?;
    let mut devices = contenders::start(
        &[options.device],
        &options.start.terms(&options.streams, options.size),
        true,
    )?;
    let kind = options.device;
    let plans = contenders::plans(kind, &options.streams, options.size)?;
    let mut bed = Bed::open(&mut devices[0], plans)?;
    let fault = contenders::teach(&mut bed, options.start.patience, &stop);
    if stop.is_given() {
        return Ok(Ending::Stopped);
    }
    if let Some(fault) = fault {
        let (kind, size) = (kind.name(), report::size(options.size));
        report.line(&json!({ "kind": "trial", "device": kind, "size": size, "fault": fault }))?;
        report.text(&format!("{kind}: {fault}\n"))?;
        return Ok(Ending::Done);
    }
    let pace = Pace::of(options.rate, options.frames);
    let until = Duration::from_nanos(pace.due_ns(pace.frames)) * 10 + PATIENCE;
    let trial = bed.trial(&Load { pace, until, quiet: QUIET }, &stop)?;
    report.line(&line(kind.name(), options.size, &trial))?;
    report.text(&text(kind.name(), options.size, &trial))?;
    Ok(if stop.is_given() { Ending::Stopped } else { Ending::Done })
}

/// A trial as a line for programs.
pub(crate) fn line(device: &str, size: Size, trial: &Trial) -> Value {
    let mut value = trial.json();
    value["kind"] = "trial".into();
    value["device"] = device.into();
    value["size"] = report::size(size);
    value
}

fn text(device: &str, size: Size, trial: &Trial) -> String {
    let count = |count: u64| grouped(count as f64);
    let (received, latency) = (trial.received(), trial.latency());
    let mut text = format!(
        "{device}: frames of {size} octets, {} a second for {:.3} s\n",
        grouped(trial.offered_rate()),
        trial.sent.elapsed.as_secs_f64()
    );
    let mut row = |name: &str, value: String| text.push_str(&format!("{name:>12}  {value}\n"));
    row("offered", count(trial.sent.offered));
    row("received", count(received));
    row("lost", format!("{} ({:.6} of all)", count(trial.lost()), trial.loss()));
    row("damaged", count(trial.damaged()));
    row("duplicated", count(trial.duplicated()));
    row("reordered", format!("{}, by {} at the most", count(trial.reordered()), trial.extent()));
    row("strayed", count(trial.received.strayed));
    let quantile = |q| micros(latency.value_at_quantile(q));
    if received > 0 {
        row(
            "latency",
            format!(
                "p50 {}, p99 {}, p99.9 {}, max {} us",
                quantile(0.5),
                quantile(0.99),
                quantile(0.999),
                micros(latency.max())
            ),
        );
    }
    let late = &trial.sent.lateness;
    row(
        "sent late",
        format!("p50 {}, max {} us", micros(late.value_at_quantile(0.5)), micros(late.max())),
    );
    for sentence in remarks(trial) {
        row("note", sentence);
    }
    text
}

/// What stands against a trial.
pub(crate) fn remarks(trial: &Trial) -> Vec<String> {
    let mut remarks = Vec::new();
    match trial.limit() {
        Some(Limit::Sender) => {
            let left = grouped(trial.sent.unsent as f64);
            remarks.push(format!("the tester could not send as fast: {left} frames were left"));
        }
        Some(Limit::Receiver) => {
            let dropped = grouped(trial.received.dropped as f64);
            remarks.push(format!("the tester could not count as fast: it lost {dropped} frames"));
        }
        None => {}
    }
    if trial.was_disturbed() {
        let late = micros(trial.sent.lateness.max());
        remarks.push(format!("other load kept the tester from sending, for {late} us at once"));
    }
    if trial.drift > DRIFT_MAX {
        remarks.push("somebody set the clock meanwhile: the latencies are wrong".into());
    }
    if trial.died {
        remarks.push("the device's process has ended".into());
    }
    remarks
}

/// How long the sender may take over its schedule and ten times of it.
const PATIENCE: Duration = Duration::from_secs(10);

/// Clocks that differ by more than this were set.
const DRIFT_MAX: Duration = Duration::from_micros(100);

//! `uswitch-bench throughput`: devices side by side, in turn, round after round.

use std::io;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use uswitch_bench::{
    bed::Bed,
    device::{Device, Kind},
    plan::Size,
    statistics::Sample,
    stop::Stop,
    throughput::{Terms, Throughput},
    trial::Trial,
};

use super::{
    Ending, cli, contenders,
    quiet::{Disturbed, undisturbed},
    report::{self, Report},
    signals,
    table::{Table, grouped, micros},
    trial,
};

/// By which the tester measures itself: the least that there is between two ports.
const CALIBRATION: [Kind; 2] = [Kind::Veth, Kind::Loop];

/// Whoever comes this near to what the tester reaches with nothing between its ports may be
/// faster than that.
const TESTER_SHARE: f64 = 0.9;

/// What was found of one device so far.
pub(crate) struct Found {
    pub(crate) kind: Kind,
    pub(crate) rounds: Vec<Throughput>,
    /// Why it is out.
    pub(crate) fault: Option<String>,
    /// Rounds that other load disturbed.
    pub(crate) disturbed: Disturbed,
    /// It has processes, whose time can be told.
    has_processes: bool,
}

impl Found {
    /// The median of all rounds; 0 when there is none.
    pub(crate) fn rate(&self) -> f64 {
        self.sample().map_or(0.0, |sample| sample.median())
    }

    fn sample(&self) -> Option<Sample> {
        Sample::new(self.rounds.iter().map(|round| round.rate).collect())
    }
}

pub(crate) fn run(options: &cli::Measure) -> io::Result<Ending> {
    let stop = signals::listen()?;
    contenders::check_rights()?;
    let mut report = Report::begin(&options.output)?;
    for size in options.sizes_or("60") {
        let mut devices = contenders::start(
            &kinds(options, &[Kind::Uswitch]),
            &options.start.terms(&options.streams, size),
            true,
        )?;
        let (mut beds, mut found) = open(&mut devices, options, size, &stop)?;
        measure(&mut beds, &mut found, options, size, &mut report, &stop)?;
        tell(&found, options, size, &mut report)?;
        if stop.is_given() {
            return Ok(Ending::Stopped);
        }
    }
    Ok(Ending::Done)
}

/// Whoever takes part: those by which the tester measures itself, and those that are asked for.
pub(crate) fn kinds(options: &cli::Measure, default: &[Kind]) -> Vec<Kind> {
    let calibration = CALIBRATION.into_iter().filter(|_| !options.search.no_calibrate);
    calibration.chain(options.devices_or(default)).collect()
}

/// Opens the devices and teaches them the addresses.
pub(crate) fn open<'a>(
    devices: &'a mut [Device],
    options: &cli::Measure,
    size: Size,
    stop: &Stop,
) -> io::Result<(Vec<Bed<'a>>, Vec<Found>)> {
    let (mut beds, mut found) = (Vec::new(), Vec::new());
    for device in devices {
        let (kind, has_processes) = (device.kind, device.has_processes());
        let plans = contenders::plans(kind, &options.streams, size)?;
        let mut bed = Bed::open(device, plans)?;
        let fault = contenders::teach(&mut bed, options.start.patience, stop);
        bed.device().pause();
        found.push(Found {
            kind,
            rounds: Vec::new(),
            fault,
            disturbed: Disturbed::default(),
            has_processes,
        });
        beds.push(bed);
    }
    Ok((beds, found))
}

/// Searches the throughput of all, round after round.
pub(crate) fn measure(
    beds: &mut [Bed<'_>],
    found: &mut [Found],
    options: &cli::Measure,
    size: Size,
    report: &mut Report,
    stop: &Stop,
) -> io::Result<()> {
    let terms = options.search.terms();
    let progress = progress(u64::from(options.search.rounds) * beds.len() as u64);
    for round in 1..=options.search.rounds {
        for (bed, found) in beds.iter_mut().zip(&mut *found) {
            progress.set_message(format!("{size} octets, round {round}, {}", found.kind));
            if found.fault.is_none() && !stop.is_given() {
                bed.device().resume();
                one(bed, found, &terms, (size, round), report, stop)?;
                bed.device().pause();
            }
            progress.inc(1);
        }
    }
    progress.finish_and_clear();
    Ok(())
}

/// One round of one device.
fn one(
    bed: &mut Bed<'_>,
    found: &mut Found,
    terms: &Terms,
    (size, round): (Size, u32),
    report: &mut Report,
    stop: &Stop,
) -> io::Result<()> {
    let near = found.rounds.last().map(|last| last.rate);
    let (mut written, kind) = (Ok(()), found.kind.name());
    let mut show = |trial: &Trial| {
        let mut line = trial::line(kind, size, trial);
        line["round"] = round.into();
        if written.is_ok() {
            written = report.line(&line);
        }
    };
    let search = |bed: &mut Bed<'_>| terms.search(bed, near, stop, &mut show);
    let outcome = undisturbed(bed, &mut found.disturbed, stop, search);
    written?;
    match outcome {
        Ok(throughput) if throughput.stopped => {}
        Ok(throughput) => found.rounds.push(throughput),
        // Its link is gone, or down: that is what was found of it.
        Err(error) => found.fault = Some(netlab::reason(&error)),
    }
    if found.fault.is_none() && bed.device().died() {
        found.fault = Some("its process has ended".into());
    }
    Ok(())
}

/// A bar on a terminal, and nothing elsewhere.
pub(crate) fn progress(steps: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg} ({eta} left)");
    ProgressBar::new(steps).with_style(style.expect("the template is sound"))
}

/// Tells what was found of all.
pub(crate) fn tell(
    found: &[Found],
    options: &cli::Measure,
    size: Size,
    report: &mut Report,
) -> io::Result<()> {
    let terms = options.search.terms();
    let limit = found.iter().find(|found| found.kind == Kind::Veth).map(Found::rate);
    let heads =
        ["device", "frames/s", "least ... most", "Gbit/s", "p50 us", "p99 us", "CPU ns", ""];
    let mut table = Table::new(&heads);
    for one in found {
        let (sample, rate) = (one.sample(), one.rate());
        let at_limit = limit.is_some_and(|limit| rate >= limit * TESTER_SHARE);
        let last = one.rounds.iter().rev().find_map(|round| round.trial.as_ref());
        let cpu = |trial: &Trial| trial.cpu.as_nanos() as f64 / trial.received().max(1) as f64;
        let cpus = one.rounds.iter().filter_map(|round| round.trial.as_ref()).map(cpu);
        let cpu = Sample::new(cpus.collect()).filter(|_| one.has_processes);
        let cpu = cpu.map(|sample| sample.median());
        report.line(&json!({
            "kind": "throughput",
            "device": one.kind.name(),
            "size": report::size(size),
            "pattern": options.streams.pattern.name(),
            "ports": options.streams.ports,
            "ip": one.kind.routes().then(|| options.streams.ip.name()),
            "routes": one.kind.routes().then_some(options.streams.routes),
            "loss_allowed": terms.loss,
            "rounds": one.rounds.iter().map(|round| round.rate).collect::<Vec<_>>(),
            "median": rate,
            "least": sample.as_ref().map(Sample::least),
            "most": sample.as_ref().map(Sample::most),
            "cpu_per_frame": cpu,
            "tester_limit": at_limit,
            "fault": one.fault,
            "rounds_done_again": one.disturbed.again,
            "rounds_disturbed": one.disturbed.kept,
        }))?;
        let quantile = |q| {
            last.map_or_else(|| "-".into(), |trial| micros(trial.latency().value_at_quantile(q)))
        };
        table.row(vec![
            one.kind.name().into(),
            grouped(rate),
            sample.map_or_else(
                || "-".into(),
                |sample| format!("{} ... {}", grouped(sample.least()), grouped(sample.most())),
            ),
            format!("{:.2}", rate * size.mean() * 8.0 / 1e9),
            quantile(0.5),
            quantile(0.99),
            cpu.map_or_else(|| "-".into(), |cpu| format!("{cpu:.0}")),
            note(one, at_limit),
        ]);
    }
    let rounds = found.iter().map(|one| one.rounds.len()).max().unwrap_or(0);
    report.text(&format!(
        "throughput: frames of {size} octets, loss <= {}, median of {rounds}\n{}\n",
        terms.loss,
        table.text()
    ))
}

/// What stands against a figure.
fn note(found: &Found, at_limit: bool) -> String {
    let mut notes = Vec::new();
    match &found.fault {
        Some(fault) => notes.push(fault.clone()),
        None if found.kind == Kind::Veth => notes.push("the tester's own limit".into()),
        None if at_limit => notes.push("the tester's limit: it may be faster".into()),
        None => {}
    }
    notes.extend(found.disturbed.note());
    notes.join("; ")
}

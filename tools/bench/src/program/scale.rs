//! `uswitch-bench scale`: how throughput, memory and idle time grow with ports, addresses, flows,
//! workers or sizes of frames, and what comes through under more load than there is room for.
//!
//! All devices of all values stand side by side and take turns, so that a machine that slows down
//! does not look like a device that does.

mod axis;
mod load;

use std::{
    io, thread,
    time::{Duration, Instant},
};

use clap::Args;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde_json::json;
use uswitch_bench::{
    bed::{Bed, Load},
    device::{Device, Kind, StartError},
    memory,
    pace::Pace,
    plan::{FramePlan, Size},
    statistics::Sample,
    stop::Stop,
    throughput::Throughput,
    trial::Trial,
};

use self::axis::{Axis, Setting};
use super::{
    Ending, cli, complain, contenders,
    quiet::{Disturbed, undisturbed},
    report::{self, Report},
    signals,
    table::{Table, grouped},
    throughput::progress,
    trial,
};

/// What grows, and of what.
#[derive(Debug, Args)]
pub(crate) struct Scale {
    /// What grows; several are measured one after the other
    #[arg(long, value_enum, required = true, value_name = "AXIS,...", value_delimiter = ',')]
    over: Vec<Axis>,
    /// Its values; of `load`, shares of the throughput in percent [default: as README, "Measuring",
    /// has them]
    #[arg(long, value_name = "NUMBER,...", value_delimiter = ',', value_parser = value)]
    values: Vec<usize>,
    /// What is measured, in turn: see `uswitch-bench devices`
    #[arg(
        short,
        long,
        value_name = "DEVICE,...",
        value_delimiter = ',',
        default_value = "uswitch"
    )]
    device: Vec<Kind>,
    /// Octets of a frame, without frame check sequence, or `imix`
    #[arg(short, long, default_value = "60")]
    size: Size,
    #[command(flatten)]
    search: cli::Search,
    #[command(flatten)]
    start: cli::Start,
    #[command(flatten)]
    output: cli::Output,
}

/// A device at one value, and what was found of it.
struct Point<'a> {
    value: usize,
    kind: Kind,
    setting: Setting,
    bed: Option<Bed<'a>>,
    taught: Instant,
    rounds: Vec<Throughput>,
    /// What the tester offers at its fastest, frames a second.
    fastest: f64,
    /// Frames that were flooded although their address had been taught, and all that were sent.
    strayed: (u64, u64),
    /// The share of a processor that it takes when there is nothing to do.
    idle: Option<f64>,
    /// Octets of memory at the most.
    memory: Option<u64>,
    disturbed: Disturbed,
    fault: Option<String>,
}

pub(crate) fn run(options: &Scale) -> io::Result<Ending> {
    let stop = signals::listen()?;
    if !options.values.is_empty() && options.over.len() > 1 {
        let text = "--values are of one axis: say --over with one word";
        return Err(io::Error::other(text));
    }
    for axis in &options.over {
        axis.check(&options.values).map_err(io::Error::other)?;
    }
    contenders::check_rights()?;
    raise_limit()?;
    let mut report = Report::begin(&options.output)?;
    for axis in &options.over {
        match axis {
            Axis::Load => load::run(options, &mut report, &stop)?,
            _ => curve(options, *axis, &mut report, &stop)?,
        }
        if stop.is_given() {
            return Ok(Ending::Stopped);
        }
    }
    Ok(Ending::Done)
}

/// Measures over one axis.
fn curve(options: &Scale, axis: Axis, report: &mut Report, stop: &Stop) -> io::Result<()> {
    let values = axis.values(&options.values);
    let points = values.iter().flat_map(|value| options.kinds(axis).map(|kind| (*value, kind)));
    let points: Vec<(usize, Kind)> = points.collect();
    let mut started = start(options, axis, &points, stop)?;
    let mut points: Vec<Point<'_>> = Vec::new();
    for (value, kind, setting, device) in &mut started {
        if stop.is_given() {
            break;
        }
        let (bed, fault) = match device {
            Ok(device) => open(device, setting, options, stop)?,
            Err(error) => (None, Some(error.to_string())),
        };
        points.push(Point::new(*value, *kind, setting.clone(), bed, fault));
    }
    measure(&mut points, axis, options, report, stop)?;
    tell(&points, axis, options, report)
}

/// A device at one value, or why it did not start.
type Started = (usize, Kind, Setting, Result<Device, StartError>);

fn start(
    options: &Scale,
    axis: Axis,
    points: &[(usize, Kind)],
    stop: &Stop,
) -> io::Result<Vec<Started>> {
    let (mut started, bar) = (Vec::new(), progress(points.len() as u64));
    for (value, kind) in points {
        if stop.is_given() {
            break;
        }
        bar.set_message(format!("starting {kind}, {value} {}", axis.name()));
        let setting = axis.setting(*value, options.size);
        let mut terms = options.start.terms(&setting.streams(), setting.size);
        terms.uswitch_words.extend(setting.words.iter().cloned());
        let device = Device::start(*kind, &terms);
        match &device {
            Err(StartError::Missing(program)) if options.device.len() > 1 => {
                complain(&format!("{kind} does not take part: `{program}` is not installed"));
            }
            Err(error @ StartError::Missing(_)) => {
                return Err(io::Error::other(format!("{kind} did not start: {error}")));
            }
            _ => started.push((*value, *kind, setting, device)),
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(started)
}

/// Opens sockets at a device's ports, and has it learn all addresses.
fn open<'a>(
    device: &'a mut Device,
    setting: &Setting,
    options: &Scale,
    stop: &Stop,
) -> io::Result<(Option<Bed<'a>>, Option<String>)> {
    // At a measured pace: of a burst of a million most would be lost.
    let mut both = setting.plans.clone();
    for plan in &setting.plans {
        let (stream, from, to) = (both.len() as u16, plan.to, plan.from);
        // Where frames go both ways already, all stations speak.
        if !setting.plans.iter().any(|other| (other.from, other.to) == (from, to)) {
            both.push(FramePlan { stream, from, to, ..plan.clone() });
        }
    }
    let flows = both.iter().map(|plan| plan.flows as u64).sum::<u64>();
    if flows > TAUGHT_AT_ONCE {
        let mut bed = Bed::open(device, both)?;
        if let Some(fault) = contenders::teach(&mut bed, options.start.patience, stop) {
            return Ok((None, Some(fault)));
        }
        let pace = Pace::of(TEACH_RATE, flows);
        let until = Duration::from_nanos(pace.due_ns(flows)) * 2;
        let load = Load { pace, until, quiet: options.search.terms().quiet };
        if let Err(error) = bed.trial(&load, stop) {
            return Ok((None, Some(netlab::reason(&error))));
        }
    }
    let mut bed = Bed::open(device, setting.plans.clone())?;
    let fault = match flows > TAUGHT_AT_ONCE {
        true => None,
        false => contenders::teach(&mut bed, options.start.patience, stop),
    };
    bed.device().pause();
    Ok((Some(bed), fault))
}

impl Scale {
    /// Who takes part.
    fn kinds(&self, axis: Axis) -> impl Iterator<Item = Kind> {
        let ours = |kind: &Kind| matches!(kind, Kind::Uswitch | Kind::UswitchPacket);
        self.device.iter().copied().filter(move |kind| axis != Axis::Workers || ours(kind))
    }
}

impl<'a> Point<'a> {
    fn new(
        value: usize,
        kind: Kind,
        setting: Setting,
        bed: Option<Bed<'a>>,
        fault: Option<String>,
    ) -> Point<'a> {
        Point {
            value,
            kind,
            setting,
            bed,
            taught: Instant::now(),
            rounds: Vec::new(),
            fastest: 0.0,
            strayed: (0, 0),
            idle: None,
            memory: None,
            disturbed: Disturbed::default(),
            fault,
        }
    }

    fn rate(&self) -> f64 {
        self.sample().map_or(0.0, |sample| sample.median())
    }

    fn sample(&self) -> Option<Sample> {
        Sample::new(self.rounds.iter().map(|round| round.rate).collect())
    }

    /// Whether the tester offers not much more than comes through.
    fn at_limit(&self) -> bool {
        self.fastest > 0.0 && self.rate() >= self.fastest * TESTER_SHARE
    }

    /// One round; what goes wrong with the device is its fault.
    fn round(
        &mut self,
        (axis, round): (Axis, u32),
        options: &Scale,
        report: &mut Report,
        stop: &Stop,
    ) -> io::Result<()> {
        let Some(bed) = self.bed.as_mut().filter(|_| self.fault.is_none()) else { return Ok(()) };
        let (terms, size) = (options.search.terms(), self.setting.size);
        let (near, kind, value) = (self.rounds.last().map(|last| last.rate), self.kind, self.value);
        let (fastest, strayed, mut written) = (&mut self.fastest, &mut self.strayed, Ok(()));
        let mut show = |trial: &Trial| {
            if trial.pace.rate.is_infinite() {
                *fastest = fastest.max(trial.offered_rate());
            }
            strayed.0 += trial.received.strayed;
            strayed.1 += trial.sent.offered;
            let mut line = trial::line(kind.name(), size, trial);
            (line["over"], line["value"]) = (axis.name().into(), value.into());
            line["round"] = round.into();
            if written.is_ok() {
                written = report.line(&line);
            }
        };
        bed.device().resume();
        if self.taught.elapsed() > TAUGHT_FOR {
            let fault = contenders::teach(bed, options.start.patience, stop);
            self.fault = fault.filter(|_| !stop.is_given());
            self.taught = Instant::now();
        }
        let search = |bed: &mut Bed<'_>| terms.search(bed, near, stop, &mut show);
        let outcome = undisturbed(bed, &mut self.disturbed, stop, search);
        written?;
        match outcome {
            Ok(found) if found.stopped => {}
            Ok(found) => self.rounds.push(found),
            Err(error) => self.fault = Some(netlab::reason(&error)),
        }
        self.memory = memory::peak_of(bed.device().pids());
        bed.device().pause();
        if self.fault.is_none() && bed.device().died() {
            self.fault = Some("its process has ended".into());
        }
        Ok(())
    }
}

fn measure(
    points: &mut [Point<'_>],
    axis: Axis,
    options: &Scale,
    report: &mut Report,
    stop: &Stop,
) -> io::Result<()> {
    let bar = progress(u64::from(options.search.rounds) * points.len() as u64);
    for point in &mut *points {
        let Some(bed) = &mut point.bed else { continue };
        if stop.is_given() || !bed.device().has_processes() {
            continue;
        }
        bed.device().resume();
        let (before, time) = (bed.device().cpu(), options.search.terms().duration.min(IDLE_MAX));
        thread::sleep(time);
        let taken = bed.device().cpu().saturating_sub(before);
        point.idle = Some(taken.as_secs_f64() / time.as_secs_f64());
        bed.device().pause();
    }
    for round in 1..=options.search.rounds {
        for point in &mut *points {
            bar.set_message(format!("{} {}, {}", point.value, axis.name(), point.kind));
            if !stop.is_given() {
                point.round((axis, round), options, report, stop)?;
            }
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    Ok(())
}

fn tell(points: &[Point<'_>], axis: Axis, options: &Scale, report: &mut Report) -> io::Result<()> {
    let heads = [
        "device",
        axis.name(),
        "frames/s",
        "95 % confidence",
        "CPU ns",
        "memory KiB",
        "idle CPU %",
        "",
    ];
    let mut table = Table::new(&heads);
    for point in points {
        let interval = point.sample().map(|sample| sample.interval());
        let cpu = |trial: &Trial| trial.cpu.as_nanos() as f64 / trial.received().max(1) as f64;
        let cpus = point.rounds.iter().filter_map(|round| round.trial.as_ref()).map(cpu);
        let cpu = Sample::new(cpus.collect()).filter(|_| point.memory.is_some());
        let cpu = cpu.map(|sample| sample.median());
        let strayed = point.strayed.0 as f64 / point.strayed.1.max(1) as f64;
        report.line(&json!({
            "kind": "scale",
            "over": axis.name(),
            "value": point.value,
            "device": point.kind.name(),
            "size": report::size(point.setting.size),
            "rounds": point.rounds.iter().map(|round| round.rate).collect::<Vec<_>>(),
            "median": point.rate(),
            "confidence_95": interval.map(|(low, high)| [low, high]),
            "cpu_per_frame": cpu,
            "memory_peak": point.memory,
            "idle_cpu": point.idle,
            "strayed_share": strayed,
            "tester_limit": point.at_limit(),
            "fault": point.fault,
            "rounds_done_again": point.disturbed.again,
            "rounds_disturbed": point.disturbed.kept,
        }))?;
        let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".into());
        table.row(vec![
            point.kind.to_string(),
            point.value.to_string(),
            grouped(point.rate()),
            or_none(interval.map(|(low, high)| format!("{} ... {}", grouped(low), grouped(high)))),
            or_none(cpu.map(grouped)),
            or_none(point.memory.map(|octets| grouped(octets as f64 / 1024.0))),
            or_none(point.idle.map(|share| format!("{:.2}", share * 100.0))),
            note(point, strayed),
        ]);
    }
    let (rounds, loss) = (options.search.rounds, options.search.terms().loss);
    let title = format!("over {}: loss <= {loss}, median of {rounds} rounds", axis.name());
    report.text(&format!("{title}\n{}\n", table.text()))
}

/// What stands against a figure.
fn note(point: &Point<'_>, strayed: f64) -> String {
    let mut notes = Vec::new();
    notes.extend(point.fault.clone());
    if point.fault.is_none() && point.at_limit() {
        notes.push("the tester's limit: it may be faster".into());
    }
    if strayed > 0.0 {
        notes.push(format!("{:.2} % came where they were not sent", strayed * 100.0));
    }
    notes.extend(point.disturbed.note());
    notes.join("; ")
}

fn value(text: &str) -> Result<usize, String> {
    let value = text.parse().ok().filter(|value| *value > 0);
    value.ok_or_else(|| "a value is a whole number above 0".into())
}

/// Each port takes some descriptors, and there are many ports.
fn raise_limit() -> io::Result<()> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    Ok(setrlimit(Resource::RLIMIT_NOFILE, most, most)?)
}

/// For how long it is looked at a device that has nothing to do.
const IDLE_MAX: Duration = Duration::from_secs(2);

/// After so long addresses are taught again: switches forget them after five minutes (IEEE
/// 802.1Q-2018, table 8-6), and the others' turns take long.
const TAUGHT_FOR: Duration = Duration::from_secs(200);

/// Whoever comes this near to what the tester offers may be faster than that.
const TESTER_SHARE: f64 = 0.9;

/// As many addresses as a device may be taught by bursts.
const TAUGHT_AT_ONCE: u64 = 256;

/// Frames a second by which more are taught.
const TEACH_RATE: f64 = 100_000.0;

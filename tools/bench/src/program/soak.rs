//! `uswitch-bench soak`: half of the load that a device can bear, for long: nothing may be lost,
//! and its memory may not grow.

use std::{
    io,
    time::{Duration, Instant},
};

use clap::Args;
use hdrhistogram::Histogram;
use serde_json::{Value, json};
use uswitch_bench::{
    bed::Bed,
    cpu::Watch,
    device::Kind,
    memory,
    plan::Size,
    statistics::Sample,
    stop::Stop,
    tally::latencies,
    trend::Trend,
    trial::{Trial, quantiles},
};

use super::{
    Ending, cli, contenders,
    quiet::{Disturbed, OTHERS_MAX, undisturbed},
    report::{self, Report},
    signals,
    table::{grouped, micros},
    throughput::progress,
    trial,
};

/// What is borne, and for how long.
#[derive(Debug, Args)]
pub(crate) struct Soak {
    /// For how long, as in 90s, 10m or 2h
    #[arg(long = "for", value_name = "TIME", default_value = "10m", value_parser = time)]
    time: Duration,
    /// The share of the throughput that is offered
    #[arg(long, default_value = "0.5", value_parser = share)]
    share: f64,
    /// What is measured: see `uswitch-bench devices`
    #[arg(short, long, value_name = "DEVICE", default_value = "uswitch")]
    device: Kind,
    /// Octets of a frame, without frame check sequence, or `imix`
    #[arg(short, long, default_value = "60")]
    size: Size,
    #[command(flatten)]
    streams: cli::Streams,
    #[command(flatten)]
    search: cli::Search,
    #[command(flatten)]
    start: cli::Start,
    #[command(flatten)]
    output: cli::Output,
}

/// What was borne so far.
struct Borne {
    rate: f64,
    time: Duration,
    slices: u32,
    offered: u64,
    lost: u64,
    /// Slices in which some were lost.
    slices_lossy: u32,
    /// Slices in which others took the machine's time, and frames that were lost in these.
    disturbed: (u32, u64),
    latency: Histogram<u64>,
    /// Octets held after so many seconds.
    memory: Vec<(f64, f64)>,
    memory_peak: Option<u64>,
    fault: Option<String>,
}

pub(crate) fn run(options: &Soak) -> io::Result<Ending> {
    let stop = signals::listen()?;
    contenders::check_rights()?;
    let mut report = Report::begin(&options.output)?;
    let terms = options.start.terms(&options.streams, options.size);
    let mut devices = contenders::start(&[options.device], &terms, true)?;
    let plans = contenders::plans(options.device, &options.streams, options.size)?;
    let mut bed = Bed::open(&mut devices[0], plans)?;
    let mut borne = Borne::new();
    borne.fault = contenders::teach(&mut bed, options.start.patience, &stop);
    if borne.fault.is_none() {
        match throughput(&mut bed, options, &stop) {
            Ok(rate) => borne.rate = rate * options.share,
            // Its link is gone, or down.
            Err(error) => borne.fault = Some(netlab::reason(&error)),
        }
    }
    if borne.fault.is_none() {
        if borne.rate >= 1.0 {
            borne.bear(&mut bed, options, &mut report, &stop)?;
        } else if !stop.is_given() {
            borne.fault = Some("no rate was found at which it loses next to nothing".into());
        }
    }
    report.line(&borne.json(options))?;
    report.text(&borne.text(options))?;
    Ok(if stop.is_given() { Ending::Stopped } else { Ending::Done })
}

/// The median of all rounds; 0 if there is none.
fn throughput(bed: &mut Bed<'_>, options: &Soak, stop: &Stop) -> io::Result<f64> {
    let (mut rates, mut disturbed) = (Vec::new(), Disturbed::default());
    let bar = progress(u64::from(options.search.rounds));
    let terms = options.search.terms();
    for _ in 0..options.search.rounds {
        bar.set_message("its throughput first");
        let near = rates.last().copied();
        let search = |bed: &mut Bed<'_>| terms.search(bed, near, stop, &mut |_| {});
        let found = undisturbed(bed, &mut disturbed, stop, search)?;
        if stop.is_given() {
            break;
        }
        rates.push(found.rate);
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(Sample::new(rates).map_or(0.0, |sample| sample.median()))
}

impl Borne {
    fn new() -> Borne {
        Borne {
            rate: 0.0,
            time: Duration::ZERO,
            slices: 0,
            offered: 0,
            lost: 0,
            slices_lossy: 0,
            disturbed: (0, 0),
            latency: latencies(),
            memory: Vec::new(),
            memory_peak: None,
            fault: None,
        }
    }

    /// Slice after slice of a trial's time, until the time is over.
    fn bear(
        &mut self,
        bed: &mut Bed<'_>,
        options: &Soak,
        report: &mut Report,
        stop: &Stop,
    ) -> io::Result<()> {
        let (terms, begin) = (options.search.terms(), Instant::now());
        let bar = progress(options.time.as_secs().max(1));
        while begin.elapsed() < options.time && !stop.is_given() && self.fault.is_none() {
            let watch = Watch::begin(bed.device().cpu())?;
            let trial = match bed.trial(&terms.load(self.rate), stop) {
                Ok(trial) => trial,
                // Its link is gone, or down: that is what was found of it.
                Err(error) => {
                    self.fault = Some(netlab::reason(&error));
                    break;
                }
            };
            let others = watch.others(bed.device().cpu())?;
            self.time = begin.elapsed();
            let memory = memory::held_by(bed.device().pids());
            self.count(&trial, others > OTHERS_MAX || trial.was_disturbed(), memory);
            self.memory_peak = memory::peak_of(bed.device().pids()).or(self.memory_peak);
            if bed.device().died() {
                self.fault = Some("its process has ended".into());
            }
            let mut line = trial::line(options.device.name(), options.size, &trial);
            line["kind"] = "soak".into();
            line["after_seconds"] = self.time.as_secs_f64().into();
            line["memory"] = memory.into();
            line["others"] = others.into();
            report.line(&line)?;
            bar.set_position(self.time.as_secs());
            bar.set_message(format!("seconds, {} frames lost", self.lost));
        }
        bar.finish_and_clear();
        Ok(())
    }

    fn count(&mut self, trial: &Trial, disturbed: bool, memory: Option<u64>) {
        let lost = trial.sent.offered - trial.received();
        self.slices += 1;
        self.offered += trial.sent.offered;
        self.lost += lost;
        self.slices_lossy += u32::from(lost > 0);
        if disturbed {
            self.disturbed = (self.disturbed.0 + 1, self.disturbed.1 + lost);
        }
        self.latency.add(trial.latency()).expect("they have the same range");
        self.memory.extend(memory.map(|octets| (self.time.as_secs_f64(), octets as f64)));
    }

    /// Memory by time, when tables and buffers are full: the first tenth is left out.
    fn settled(&self) -> &[(f64, f64)] {
        &self.memory[self.memory.len().div_ceil(10).min(self.memory.len())..]
    }

    /// Octets a second.
    fn trend(&self) -> Option<Trend> {
        Trend::of(self.settled())
    }

    /// Whether its memory grows. `None`: it has none of its own, or the time was too short.
    fn grows(&self) -> Option<bool> {
        let (trend, settled) = (self.trend()?, self.settled());
        let gained = settled.last()?.1 - settled.first()?.1;
        Some(trend.interval.0 > 0.0 && gained > GAINED_MAX)
    }

    fn json(&self, options: &Soak) -> Value {
        let hourly = |octets: f64| octets * 3600.0;
        let trend = self.trend();
        json!({
            "kind": "soak_total",
            "device": options.device.name(),
            "size": report::size(options.size),
            "seconds": self.time.as_secs_f64(),
            "rate": self.rate,
            "share": options.share,
            "slices": self.slices,
            "offered": self.offered,
            "lost": self.lost,
            "slices_lossy": self.slices_lossy,
            "slices_disturbed": self.disturbed.0,
            "lost_while_disturbed": self.disturbed.1,
            "latency": quantiles(&self.latency),
            "memory_first": self.memory.first().map(|(_, octets)| octets),
            "memory_last": self.memory.last().map(|(_, octets)| octets),
            "memory_peak": self.memory_peak,
            "memory_per_hour": trend.map(|trend| hourly(trend.slope)),
            "confidence_95": trend.map(|trend| {
                [hourly(trend.interval.0), hourly(trend.interval.1)]
            }),
            "memory_grows": self.grows(),
            "fault": self.fault,
        })
    }

    fn text(&self, options: &Soak) -> String {
        let (kind, count) = (options.device, |count: u64| grouped(count as f64));
        let mut text = format!(
            "{kind}: frames of {} octets, {} a second ({:.0} % of its throughput) for {:.0} s\n",
            options.size,
            grouped(self.rate),
            options.share * 100.0,
            self.time.as_secs_f64()
        );
        let mut row = |name: &str, value: String| text.push_str(&format!("{name:>9}  {value}\n"));
        row("offered", count(self.offered));
        let (lossy, slices) = (self.slices_lossy, self.slices);
        row("lost", format!("{}, in {lossy} of {slices} slices", count(self.lost)));
        let quantile = |q| micros(self.latency.value_at_quantile(q));
        let [p50, p99, most] = [0.5, 0.99, 1.0].map(quantile);
        row("latency", format!("p50 {p50}, p99 {p99}, max {most} us"));
        row("memory", self.memory_text());
        if let (some @ 1.., lost) = self.disturbed {
            row("note", format!("other load in {some} slices, in which {} were lost", count(lost)));
        }
        self.fault.iter().for_each(|fault| row("note", fault.clone()));
        text
    }

    fn memory_text(&self) -> String {
        let kibi = |octets: f64| grouped(octets / 1024.0);
        let (Some((_, first)), Some((_, last))) = (self.memory.first(), self.memory.last()) else {
            return "it has none of its own".into();
        };
        let mut text = format!("{} KiB at first, {} at the end", kibi(*first), kibi(*last));
        if let Some(peak) = self.memory_peak {
            text.push_str(&format!(", {} at the most", kibi(peak as f64)));
        }
        let (Some(trend), Some(grows)) = (self.trend(), self.grows()) else {
            return text + "; too short to say whether it grows";
        };
        let [slope, low, high] = [trend.slope, trend.interval.0, trend.interval.1]
            .map(|octets| format!("{:+.0}", octets * 3600.0 / 1024.0));
        let verdict = if grows { "IT GROWS" } else { "no growth" };
        text + &format!("; {slope} KiB an hour ({low} ... {high}): {verdict}")
    }
}

fn time(text: &str) -> Result<Duration, String> {
    let (number, unit) = match text.char_indices().next_back() {
        Some((at, 's')) => (&text[..at], 1.0),
        Some((at, 'm')) => (&text[..at], 60.0),
        Some((at, 'h')) => (&text[..at], 3600.0),
        _ => (text, 1.0),
    };
    let seconds = number.parse::<f64>().ok().map(|number| number * unit);
    let seconds = seconds.filter(|seconds| (0.01..=TIME_MAX).contains(seconds));
    let time = seconds.map(Duration::from_secs_f64);
    time.ok_or_else(|| "a time is as in 90s, 10m or 2h, and at most a week".into())
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| *share > 0.0 && *share <= 1.0);
    share.ok_or_else(|| "a share is more than 0 and 1 at the most: 0.5 is half".into())
}

/// What it may gain and is not said to grow: a step of its allocator.
const GAINED_MAX: f64 = 64.0 * 1024.0;

/// A week, in seconds.
const TIME_MAX: f64 = 7.0 * 86_400.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn borne(memory: impl Fn(f64) -> f64) -> Borne {
        let memory = (0..100).map(|at| (f64::from(at), memory(f64::from(at)))).collect();
        Borne { memory, ..Borne::new() }
    }

    #[test]
    fn memory_that_grows_is_told_and_what_is_filled_at_first_or_by_a_step_is_not() {
        let mebi = 1024.0 * 1024.0;
        let grows = borne(|at| 5.0 * mebi + at * 4096.0);
        assert_eq!(grows.grows(), Some(true));
        assert!(grows.memory_text().contains("+14400 KiB an hour"), "{}", grows.memory_text());
        assert!(grows.memory_text().ends_with("IT GROWS"));
        let filled = borne(|at| if at < 9.0 { at * mebi } else { 9.0 * mebi });
        assert_eq!((filled.grows(), filled.trend().unwrap().slope), (Some(false), 0.0));
        let step = borne(|at| if at < 50.0 { mebi } else { mebi + 8192.0 });
        assert_eq!(step.grows(), Some(false));
        assert!(step.memory_text().ends_with("no growth"));
        let short = Borne { memory: vec![(0.0, mebi), (1.0, mebi)], ..Borne::new() };
        assert!(short.memory_text().ends_with("too short to say whether it grows"));
        assert_eq!(Borne::new().memory_text(), "it has none of its own");
    }

    #[test]
    fn times_have_units() {
        let seconds = |text: &str| time(text).map(|time| time.as_secs_f64());
        assert_eq!(
            ["90", "90s", "1.5m", "2h"].map(seconds),
            [Ok(90.0), Ok(90.0), Ok(90.0), Ok(7200.0)]
        );
        for nonsense in ["", "m", "-1s", "8d", "nan", "1e9h", "é"] {
            assert!(time(nonsense).is_err(), "{nonsense}");
        }
    }
}

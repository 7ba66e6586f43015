//! `uswitch-bench ab A B`: two states of the switch's source, or two programs, in turn under the
//! same load, and whether they differ.

mod revision;

use std::{ffi::OsString, io, path::PathBuf, time::Duration};

use clap::Args;
use serde_json::{Value, json};
use uswitch_bench::{
    bed::Bed,
    change::{Change, ROUNDS_MIN, Verdict},
    device::{Device, Kind, StartError},
    plan::Size,
    statistics::Sample,
    stop::Stop,
    throughput::Terms,
    trial::Trial,
};

use self::revision::Repository;
use super::{
    Ending, cli, contenders,
    quiet::{Disturbed, undisturbed},
    report::{self, Report},
    signals,
    table::{Table, grouped},
    throughput::progress,
    trial,
};

/// What is compared, and how.
#[derive(Debug, Args)]
pub(crate) struct Ab {
    /// A revision of the tree in which this is run, or `.` for the tree as it is; with --binary a
    /// program
    #[arg(value_name = "A")]
    a: OsString,
    /// What it is compared with, likewise
    #[arg(value_name = "B")]
    b: OsString,
    /// Both are programs that were built before
    #[arg(long)]
    binary: bool,
    /// Cargo's profile with which revisions are built
    #[arg(long, default_value = "release")]
    profile: String,
    /// How the switch is run
    #[arg(short, long, default_value = "uswitch", value_name = "uswitch|uswitch-packet",
        value_parser = switch)]
    device: Kind,
    /// Octets of a frame, without frame check sequence, or `imix`
    #[arg(short, long, default_value = "60")]
    size: Size,
    /// How often each is measured
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// How long a trial is
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = cli::seconds)]
    trial: Duration,
    /// Compare throughputs that are searched, not what comes through when the tester sends as fast
    /// as it can
    #[arg(long)]
    search: bool,
    #[command(flatten)]
    streams: cli::Streams,
    #[command(flatten)]
    start: cli::Start,
    #[command(flatten)]
    output: cli::Output,
}

/// One of the two.
struct Side {
    /// As it was asked for.
    name: String,
    commit: Option<String>,
    program: PathBuf,
}

impl Side {
    fn shown(&self) -> String {
        match &self.commit {
            Some(commit) => format!("{} ({:.12})", self.name, commit),
            None => self.name.clone(),
        }
    }
}

/// What a round has found of one of them.
#[derive(Clone, Copy, Debug)]
struct Figures {
    /// Frames a second.
    rate: f64,
    /// Nanoseconds of processor time for each; 0 if none came.
    cpu: f64,
    /// Nothing was lost at all: the tester was not fast enough.
    at_limit: bool,
}

pub(crate) fn run(options: &Ab) -> io::Result<Ending> {
    let stop = signals::listen()?;
    if options.start.uswitch.is_some() || options.start.exec.is_some() {
        let text = "what `ab` compares are A and B: say `ab --binary A B` for two programs";
        return Err(io::Error::other(text));
    }
    contenders::check_rights()?;
    let mut report = Report::begin(&options.output)?;
    // Kept until the end: no other run shall build where this one does.
    let mut repository = None;
    let mut sides = Vec::new();
    for (place, word) in [("a", &options.a), ("b", &options.b)] {
        if options.binary {
            sides.push(binary(word)?);
            continue;
        }
        let repository = match &mut repository {
            Some(repository) => repository,
            none => none.insert(Repository::here()?),
        };
        match repository.build(place, &word.to_string_lossy(), &options.profile, &stop)? {
            Some(side) => sides.push(side),
            None => return Ok(Ending::Stopped),
        }
    }
    let sides: [Side; 2] = sides.try_into().ok().expect("there are two");
    compare(options, &sides, &mut report, &stop)
}

fn binary(word: &OsString) -> io::Result<Side> {
    let (program, name) = (PathBuf::from(word), word.to_string_lossy().into_owned());
    if !program.is_file() {
        let text = format!("there is no program `{name}`; without --binary it is a revision");
        return Err(io::Error::other(text));
    }
    Ok(Side { name, commit: None, program: program.canonicalize()? })
}

fn compare(
    options: &Ab,
    sides: &[Side; 2],
    report: &mut Report,
    stop: &Stop,
) -> io::Result<Ending> {
    let mut devices = Vec::new();
    for side in sides {
        let mut terms = options.start.terms(&options.streams, options.size);
        terms.uswitch = Some(side.program.clone());
        devices.push(Device::start(options.device, &terms).map_err(|error| failed(side, error))?);
    }
    let mut beds = Vec::new();
    for (device, side) in devices.iter_mut().zip(sides) {
        let plans = contenders::plans(options.device, &options.streams, options.size)?;
        let mut bed = Bed::open(device, plans)?;
        if let Some(fault) = contenders::teach(&mut bed, options.start.patience, stop)
            && !stop.is_given()
        {
            return Err(io::Error::other(format!("{}: {fault}", side.shown())));
        }
        beds.push(bed);
    }
    let mut beds: [Bed<'_>; 2] = beds.try_into().ok().expect("there are two");
    let (mut disturbed, mut fault) = (Disturbed::default(), None);
    let mut rounds: Vec<[Figures; 2]> = Vec::new();
    let bar = progress(u64::from(options.rounds));
    for round in 0..options.rounds {
        bar.set_message(format!("rounds of A and B, {} octets", options.size));
        // A B, B A, A B and so on: what gets slower all the time is in both alike.
        let order = if round % 2 == 0 { [0, 1] } else { [1, 0] };
        let mut figures = [None; 2];
        for side in order {
            let bed = &mut beds[side];
            let mut one = |bed: &mut Bed<'_>| options.round(bed, &sides[side], round, report, stop);
            let shown = sides[side].shown();
            match undisturbed(bed, &mut disturbed, stop, &mut one) {
                Ok(found) => figures[side] = Some(found),
                Err(error) if report::is_own(&error) => return Err(error),
                // Its link is gone, or down: that is what was found of it.
                Err(error) => fault = Some(format!("{shown}: {}", netlab::reason(&error))),
            }
            if bed.device().died() {
                fault = Some(format!("{shown}: its process has ended"));
            }
            if fault.is_some() || stop.is_given() {
                break;
            }
        }
        // One that was stopped in its middle does not count, nor what comes after it.
        match figures {
            [Some(a), Some(b)] if fault.is_none() && !stop.is_given() => rounds.push([a, b]),
            _ => break,
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    tell(options, sides, &rounds, (disturbed, fault), report)?;
    Ok(if stop.is_given() { Ending::Stopped } else { Ending::Done })
}

impl Ab {
    fn terms(&self) -> Terms {
        let quiet = Duration::from_millis(50);
        Terms { duration: self.trial, loss: 1e-4, resolution: 0.02, quiet }
    }

    fn round(
        &self,
        bed: &mut Bed<'_>,
        side: &Side,
        round: u32,
        report: &mut Report,
        stop: &Stop,
    ) -> io::Result<Figures> {
        let terms = self.terms();
        let mut tell = |trial: &Trial| {
            let mut line = trial::line(&side.name, self.size, trial);
            line["round"] = (round + 1).into();
            report.line(&line)
        };
        if !self.search {
            let trial = bed.trial(&terms.load(f64::INFINITY), stop)?;
            tell(&trial)?;
            let at_limit = trial.received.dropped > 0 || trial.loss() <= terms.loss;
            return Ok(Figures { rate: trial.received_rate(), cpu: cpu(&trial), at_limit });
        }
        let mut told = Ok(());
        let found = terms.search(bed, None, stop, &mut |trial| {
            if told.is_ok() {
                told = tell(trial);
            }
        })?;
        told?;
        let trial = found.trial.as_ref();
        let at_limit = trial.is_some_and(|trial| trial.pace.rate.is_infinite());
        Ok(Figures { rate: found.rate, cpu: trial.map_or(0.0, cpu), at_limit })
    }
}

/// Nanoseconds of the switch's for each frame that came through.
fn cpu(trial: &Trial) -> f64 {
    trial.cpu.as_nanos() as f64 / trial.received().max(1) as f64
}

/// The two figures of a round, with their names and what more of them is called.
type Of = fn(&Figures) -> f64;
const FIGURES: [(&str, &str, Of, [&str; 2]); 2] = [
    ("rate", "frames/s", |figures| figures.rate, ["faster", "slower"]),
    ("cpu_per_frame", "CPU ns a frame", |figures| figures.cpu, ["dearer", "cheaper"]),
];

fn tell(
    options: &Ab,
    sides: &[Side; 2],
    rounds: &[[Figures; 2]],
    (disturbed, fault): (Disturbed, Option<String>),
    report: &mut Report,
) -> io::Result<()> {
    let mut table = Table::new(&["", "A", "B", "B / A", "95 % confidence", "rounds", "B more"]);
    let mut sentences = Vec::new();
    let limits = rounds.iter().flatten().filter(|figures| figures.at_limit).count();
    for (name, shown, of, words) in FIGURES {
        let pairs: Vec<_> = rounds.iter().map(|[a, b]| (of(a), of(b))).collect();
        let change = Change::of(&pairs);
        let median = |values: Vec<f64>| Sample::new(values).map_or(0.0, |sample| sample.median());
        let a = median(pairs.iter().map(|(a, _)| *a).collect());
        let b = median(pairs.iter().map(|(_, b)| *b).collect());
        report.line(&json!({
            "kind": "ab",
            "figure": name,
            "a": side(&sides[0], a),
            "b": side(&sides[1], b),
            "device": options.device.name(),
            "size": report::size(options.size),
            "searched": options.search,
            "rounds": pairs.iter().map(|(a, b)| [*a, *b]).collect::<Vec<_>>(),
            "ratio": change.as_ref().map(|change| change.ratios.median()),
            "confidence_95": change.as_ref().map(|change| [change.interval.0, change.interval.1]),
            "rounds_b_larger": change.as_ref().map(|change| change.larger),
            "verdict": change.as_ref().map(|change| word(change.verdict())),
            "rounds_at_tester_limit": limits,
            "fault": fault,
            "rounds_done_again": disturbed.again,
            "rounds_disturbed": disturbed.kept,
        }))?;
        if let Some(change) = &change {
            let (low, high) = change.interval;
            table.row(vec![
                shown.into(),
                grouped(a),
                grouped(b),
                format!("{:.3}", change.ratios.median()),
                format!("{low:.3} ... {high:.3}"),
                change.rounds.to_string(),
                change.larger.to_string(),
            ]);
            sentences.push(sentence(shown, change, words));
        }
    }
    if limits > 0 {
        sentences.push(format!("{limits} trials found the tester's limit: a difference may hide"));
    }
    sentences.extend(disturbed.note());
    sentences.extend(fault);
    if rounds.is_empty() {
        sentences.push("no round was done: nothing can be said".into());
    }
    let [a, b] = [0, 1].map(|index| sides[index].shown());
    report.text(&format!("A: {a}\nB: {b}\n{}{}\n", table.text(), sentences.join("\n")))
}

fn side(side: &Side, median: f64) -> Value {
    json!({ "name": side.name, "commit": side.commit, "median": median })
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Larger => "larger",
        Verdict::Smaller => "smaller",
        Verdict::NoDifference => "no difference seen",
        Verdict::TooFewRounds => "too few rounds",
    }
}

/// What a person wants to know.
fn sentence(shown: &str, change: &Change, [more, less]: [&str; 2]) -> String {
    let percent = |ratio: f64| format!("{:+.1} %", (ratio - 1.0) * 100.0);
    let size = format!("{:.1} %", (change.ratios.median() - 1.0).abs() * 100.0);
    let (low, high) = change.interval;
    let range = format!("{} to {}, with a confidence of 95 in 100", percent(low), percent(high));
    match change.verdict() {
        Verdict::Larger => format!("{shown}: B is {size} {more}: {range}"),
        Verdict::Smaller => format!("{shown}: B is {size} {less}: {range}"),
        Verdict::NoDifference => format!("{shown}: no difference seen: B by A is {range}"),
        Verdict::TooFewRounds => {
            format!("{shown}: too few rounds to say: it takes {ROUNDS_MIN} at the least")
        }
    }
}

fn failed(side: &Side, error: StartError) -> io::Error {
    io::Error::other(format!("{} did not start: {error}", side.shown()))
}

fn switch(name: &str) -> Result<Kind, String> {
    let kind = name.parse()?;
    match kind {
        Kind::Uswitch | Kind::UswitchPacket => Ok(kind),
        _ => Err("only this project's switch has revisions: uswitch or uswitch-packet".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_say_what_is_more_and_by_how_much() {
        let change = |ratio: f64, rounds: usize| {
            Change::of(&(0..rounds).map(|_| (100.0, 100.0 * ratio)).collect::<Vec<_>>()).unwrap()
        };
        let sentence = |ratio, rounds, words| sentence("x", &change(ratio, rounds), words);
        let [rate, cpu] = FIGURES.map(|(.., words)| words);
        assert!(sentence(1.05, 7, rate).starts_with("x: B is 5.0 % faster: +5.0 % to +5.0 %"));
        assert!(sentence(0.9, 7, rate).starts_with("x: B is 10.0 % slower: -10.0 %"));
        assert!(sentence(0.9, 7, cpu).contains("10.0 % cheaper"));
        assert!(sentence(1.0, 7, rate).starts_with("x: no difference seen"));
        assert!(sentence(2.0, 5, rate).contains("it takes 6"));
    }
}

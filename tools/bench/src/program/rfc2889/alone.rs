//! The measurements that each device has alone.

use std::{io, time::Duration};

use serde_json::{Value, json};
use uswitch_bench::{
    bed::Bed,
    device::{self, Device, Kind, StartError},
    plan::{FramePlan, SIZE_MIN, Size},
    rfc2889::{
        addresses::{self, Found},
        congestion::{self, Congestion},
        errored, forwarding,
    },
    statistics::Sample,
    stop::Stop,
};

use super::{
    super::{
        complain,
        report::{self, Report},
        table::{Table, grouped},
        throughput::progress,
    },
    Options, Test, able,
};

/// Everything that they need.
pub(super) struct Alone<'a> {
    pub(super) options: &'a Options,
    pub(super) report: &'a mut Report,
    pub(super) stop: &'a Stop,
    /// What was found of devices before.
    pub(super) capacities: &'a mut Vec<(Kind, Found)>,
}

type Rows = Result<Vec<Vec<String>>, StartError>;

/// A measurement: rows of its table for a device, with frames of a size.
type Step<'a> = fn(&mut Alone<'a>, Kind, Size) -> Rows;

impl<'a> Alone<'a> {
    pub(super) fn measure(&mut self, test: Test) -> io::Result<()> {
        let (title, ports, heads, step): (&str, usize, &[&str], Step<'a>) = match test {
            Test::Congestion => {
                ("congestion control", congestion::PORTS, &CONGESTION, Alone::congestion)
            }
            Test::Forwarding => ("forwarding rates", 2, &FORWARDING, Alone::forwarding),
            Test::Caching => {
                ("address caching capacity", addresses::PORTS, &ADDRESSES, Alone::caching)
            }
            Test::Learning => {
                ("address learning rate", addresses::PORTS, &ADDRESSES, Alone::learning)
            }
            Test::Errored => ("errored frames", 2, &ERRORED, Alone::errored),
            pattern => unreachable!("{pattern:?} is a throughput"),
        };
        let has_sizes = matches!(test, Test::Congestion | Test::Forwarding);
        let sizes = self.options.measure.sizes_or("60");
        for size in &sizes[..if has_sizes { sizes.len() } else { 1 }] {
            let kinds: Vec<Kind> = able(&self.options.measure, ports).collect();
            let (bar, mut table) = (progress(kinds.len() as u64), Table::new(heads));
            for kind in kinds.into_iter().filter(|_| !self.stop.is_given()) {
                bar.set_message(format!("{title}, {kind}"));
                match step(self, kind, *size) {
                    Ok(rows) => rows.into_iter().for_each(|row| table.row(row)),
                    Err(StartError::Failed(error)) if report::is_own(&error) => return Err(error),
                    // What was not waited for is no fault.
                    Err(_) if self.stop.is_given() => {}
                    Err(error @ StartError::Missing(_)) => {
                        complain(&format!("{kind} does not take part: {error}"));
                    }
                    Err(error) => table.row(self.fault(kind, title, &error, heads.len())?),
                }
                bar.inc(1);
            }
            bar.finish_and_clear();
            let of = if has_sizes { format!(": frames of {size} octets") } else { String::new() };
            self.report.text(&format!("{title}{of}\n{}\n", table.text()))?;
        }
        match test {
            Test::Errored => self.report.text(&format!(
                "not to be had in software, where no frame has a check sequence: {}\n\n",
                errored::IMPOSSIBLE.join(", ")
            )),
            Test::Forwarding => self.report.text(
                "forward pressure: not measured; without a line rate no gap can be shortened\n\n",
            ),
            _ => Ok(()),
        }
    }

    /// A device that could not be measured is a result.
    fn fault(
        &mut self,
        kind: Kind,
        title: &str,
        error: &StartError,
        cells: usize,
    ) -> io::Result<Vec<String>> {
        let fault = error.to_string();
        let line = json!({
            "kind": title.replace(' ', "_"),
            "device": kind.name(),
            "fault": fault,
        });
        self.report.line(&line)?;
        let mut row = vec![String::new(); cells];
        (row[0], row[cells - 1]) = (kind.to_string(), fault);
        Ok(row)
    }

    fn start(&self, kind: Kind, ports: usize, size: Size) -> Result<Device, StartError> {
        Device::start(kind, &self.device_terms(ports, size))
    }

    fn device_terms(&self, ports: usize, size: Size) -> device::Terms {
        let measure = &self.options.measure;
        device::Terms { ports, ..measure.start.terms(&measure.streams, size) }
    }

    fn patience(&self) -> Duration {
        self.options.measure.start.patience
    }

    fn rounds(&self) -> u32 {
        self.options.measure.search.rounds
    }

    fn congestion(&mut self, kind: Kind, size: Size) -> Rows {
        let terms = self.options.measure.search.terms();
        let mut device = self.start(kind, congestion::PORTS, size)?;
        let (mut near, mut rounds) = (None, Vec::<Congestion>::new());
        for _ in 0..self.rounds() {
            let mut bed = Bed::open(&mut device, vec![FramePlan::new(0, 0, 2, size)])?;
            if !bed.teach(self.patience(), self.stop)? {
                return Err(silent(self.patience()));
            }
            let throughput = terms.search(&mut bed, near, self.stop, &mut |_| {})?;
            drop(bed);
            if throughput.stopped {
                break;
            }
            let rate = throughput.rate;
            if rate < 1.0 {
                return Err(fault("it has no throughput"));
            }
            near = Some(rate);
            let (patience, stop) = (self.patience(), self.stop);
            let outcome = congestion::congestion(&mut device, size, rate, &terms, patience, stop)?;
            rounds.extend(outcome.filter(|_| !stop.is_given()));
        }
        let median = |figure: fn(&Congestion) -> f64| {
            Sample::new(rounds.iter().map(figure).collect()).map(|sample| sample.median())
        };
        let most = |is: fn(&Congestion) -> bool| {
            rounds.iter().filter(|round| is(round)).count() * 2 > rounds.len()
        };
        let figures = [
            median(|round| round.offered),
            median(|round| round.loss_alone),
            median(|round| round.loss_uncongested),
            median(|round| round.loss_congested),
        ];
        let (blocks, presses) =
            (most(|round| round.head_of_line_blocking), most(|round| round.back_pressure));
        let [offered, alone, uncongested, congested] = figures;
        self.report.line(&json!({
            "kind": "congestion_control",
            "device": kind.name(),
            "size": report::size(size),
            "rounds": rounds.len(),
            "rate_offered_per_port": offered,
            "loss_alone": alone,
            "loss_uncongested": uncongested,
            "loss_congested": congested,
            "head_of_line_blocking": blocks,
            "back_pressure": presses,
        }))?;
        let mut row = vec![kind.to_string(), grouped(offered.unwrap_or(0.0))];
        row.extend(figures[1..].iter().map(|loss| percent(loss.unwrap_or(0.0))));
        row.push(yes(blocks));
        row.push(yes(presses));
        row.push(String::new());
        Ok(vec![row])
    }

    fn forwarding(&mut self, kind: Kind, size: Size) -> Rows {
        let terms = self.options.measure.search.terms();
        let mut device = self.start(kind, 2, size)?;
        let mut bed = Bed::open(&mut device, vec![FramePlan::new(0, 0, 1, size)])?;
        if !bed.teach(self.patience(), self.stop)? {
            return Err(silent(self.patience()));
        }
        let (mut most, mut at_full_load, mut points) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..self.rounds() {
            let found = forwarding::forwarding(&mut bed, &terms, self.stop)?;
            if self.stop.is_given() {
                break;
            }
            most.push(found.most());
            at_full_load.push(found.at_full_load());
            points.extend(found.points.iter().map(
                |point| json!({ "rate_offered": point.offered, "rate_received": point.received }),
            ));
        }
        let median =
            |figures: &[f64]| Sample::new(figures.to_vec()).map_or(0.0, |sample| sample.median());
        let (best, full) = (median(&most), median(&at_full_load));
        self.report.line(&json!({
            "kind": "forwarding_rates",
            "device": kind.name(),
            "size": report::size(size),
            "maximum_forwarding_rate": most,
            "at_maximum_offered_load": at_full_load,
            "points": points,
        }))?;
        let share = if best > 0.0 { format!("{:.2}", full / best) } else { "-".into() };
        Ok(vec![vec![kind.to_string(), grouped(best), grouped(full), share, String::new()]])
    }

    fn caching(&mut self, kind: Kind, _: Size) -> Rows {
        let found = self.capacity(kind)?;
        Ok(vec![address_row(kind, &found, LEARNS_NOTHING)])
    }

    /// The capacity of a device, searched once.
    fn capacity(&mut self, kind: Kind) -> Result<Found, StartError> {
        if let Some((_, found)) = self.capacities.iter().find(|(one, _)| *one == kind) {
            return Ok(*found);
        }
        let (terms, mut tries) = (self.address_terms(), Vec::new());
        let start_terms = self.device_terms(addresses::PORTS, Size::Octets(SIZE_MIN));
        let mut start = || Device::start(kind, &start_terms);
        let mut show = |learned: &addresses::Learned| tries.push(try_line(learned));
        let found = addresses::capacity(&mut start, &terms, self.stop, &mut show)?;
        if self.stop.is_given() {
            return Err(stopped());
        }
        self.report.line(&json!({
            "kind": "address_caching_capacity",
            "device": kind.name(),
            "addresses": found.figure,
            "at_least": found.endless,
            "rate_learning": terms.rate,
            "silent": found.silent,
            "tries": tries,
        }))?;
        self.capacities.push((kind, found));
        Ok(found)
    }

    fn learning(&mut self, kind: Kind, _: Size) -> Rows {
        let capacity = self.capacity(kind)?;
        let addresses = capacity.figure as usize;
        if addresses == 0 {
            return Ok(vec![address_row(kind, &capacity, LEARNS_NOTHING)]);
        }
        let (terms, mut tries) = (self.address_terms(), Vec::new());
        let start_terms = self.device_terms(addresses::PORTS, Size::Octets(SIZE_MIN));
        let mut rounds: Vec<Found> = Vec::new();
        for _ in 0..self.rounds() {
            let mut start = || Device::start(kind, &start_terms);
            let mut show = |learned: &addresses::Learned| tries.push(try_line(learned));
            let found =
                addresses::learning_rate(&mut start, addresses, &terms, self.stop, &mut show)?;
            if self.stop.is_given() {
                break;
            }
            rounds.push(found);
        }
        let rates: Vec<f64> = rounds.iter().map(|round| round.figure).collect();
        let Some(sample) = Sample::new(rates.clone()) else { return Ok(Vec::new()) };
        let endless = rounds.iter().all(|round| round.endless);
        self.report.line(&json!({
            "kind": "address_learning_rate",
            "device": kind.name(),
            "addresses": addresses,
            "rounds": rates,
            "median": sample.median(),
            "at_least": endless,
            "tries": tries,
        }))?;
        let silent = rounds.iter().any(|round| round.silent);
        let found = Found { figure: sample.median(), endless, silent, tries: tries.len() };
        let slow = format!("slower than {} a second", grouped(terms.rate));
        Ok(vec![address_row(kind, &found, &slow)])
    }

    fn address_terms(&self) -> addresses::Terms {
        let terms = self.options.measure.search.terms();
        addresses::Terms {
            most: self.options.addresses,
            rate: self.options.learning_rate,
            resolution: terms.resolution,
            quiet: terms.quiet,
            patience: self.patience(),
        }
    }

    fn errored(&mut self, kind: Kind, _: Size) -> Rows {
        let size = Size::Octets(SIZE_MIN);
        let mut device = self.start(kind, 2, size)?;
        let mtu = self.device_terms(2, size).mtu;
        let (patience, quiet) = (self.patience(), self.options.measure.search.terms().quiet);
        let terms = errored::Terms { mtu, rate: 1000.0, frames: 200, quiet, patience };
        let mut rows = Vec::new();
        for error in errored::errors(mtu) {
            let Some(found) = errored::filtering(&mut device, error, &terms, self.stop)? else {
                return Err(silent(patience));
            };
            if self.stop.is_given() {
                break;
            }
            self.report.line(&json!({
                "kind": "errored_frames",
                "device": kind.name(),
                "error": error.name,
                "octets": error.octets,
                "offered": found.offered,
                "forwarded": found.forwarded,
                "changed": found.changed,
                "outcome": found.outcome().name(),
            }))?;
            let count = |count: u64| grouped(count as f64);
            let mut row = vec![kind.to_string(), error.name.into(), error.octets.to_string()];
            row.extend([found.offered, found.forwarded, found.changed].map(count));
            row.push(found.outcome().name().into());
            rows.push(row);
        }
        Ok(rows)
    }
}

fn try_line(learned: &addresses::Learned) -> Value {
    json!({
        "addresses": learned.addresses,
        "rate": learned.rate,
        "flooded": learned.flooded,
        "lost": learned.lost,
        "passed": learned.all(),
    })
}

fn address_row(kind: Kind, found: &Found, nothing: &str) -> Vec<String> {
    let note = match (found.silent, found.endless, found.figure > 0.0) {
        (true, ..) => "no frame came through",
        (_, true, _) => "at least: more was not tried",
        (_, _, true) => "",
        (_, _, false) => nothing,
    };
    vec![kind.to_string(), grouped(found.figure), found.tries.to_string(), note.into()]
}

fn silent(patience: Duration) -> StartError {
    fault(&format!("no frame came through in {} s", patience.as_secs_f64()))
}

/// Half of a search is no figure.
fn stopped() -> StartError {
    fault("it was stopped")
}

fn fault(sentence: &str) -> StartError {
    StartError::Failed(io::Error::other(sentence.to_owned()))
}

fn percent(share: f64) -> String {
    format!("{:.4} %", share * 100.0)
}

fn yes(is: bool) -> String {
    if is { "yes" } else { "no" }.into()
}

/// What it means that there is no address that was learned.
const LEARNS_NOTHING: &str = "it learns nothing: frames came out of each port";

const CONGESTION: [&str; 8] = [
    "device",
    "frames/s a port",
    "lost alone",
    "uncongested",
    "congested",
    "head of line blocking",
    "back pressure",
    "",
];
const FORWARDING: [&str; 5] = ["device", "most", "at full load", "ratio", ""];
const ADDRESSES: [&str; 4] = ["device", "figure", "tries", ""];
const ERRORED: [&str; 7] = ["device", "error", "octets", "sent", "forwarded", "changed", ""];

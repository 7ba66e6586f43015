//! `uswitch-bench tcp`: what goes through devices by the hosts' own TCP, in turn, and the ratios by
//! the first of them.

use std::io;

use clap::{Args, ValueEnum};
use serde_json::json;
use uswitch_bench::{
    cpu::Watch,
    device::{Device, Kind},
    plan::Size,
    statistics::Sample,
    stop::Stop,
    tally::latencies,
    tcp::{request_response, settle, stream},
    trial::quantiles,
};

use super::{
    Ending, cli, compare, contenders,
    quiet::OTHERS_MAX,
    report::Report,
    signals,
    table::{Table, micros},
    throughput::progress,
};

#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    measure: cli::Measure,
    /// What the hosts do [default: both]
    #[arg(long, value_enum, value_delimiter = ',', value_name = "LOAD,...")]
    load: Vec<Load>,
    /// On how many connections
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=64))]
    connections: u8,
}

/// What hosts do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Load {
    /// One sends as fast as it goes (TCP_STREAM)
    Stream,
    /// One asks and the other answers, an octet each, one after the other (TCP_RR)
    Rr,
}

/// What was found of a device.
struct Found {
    kind: Kind,
    /// Gbit/s, or answers a second.
    rounds: Vec<f64>,
    /// Nanoseconds of the device and of the machine, for each octet. What the kernel does for a
    /// sender is nobody's.
    cpu: Vec<(Option<f64>, f64)>,
    trips: hdrhistogram::Histogram<u64>,
    fault: Option<String>,
    disturbed: u32,
}

pub(crate) fn run(options: &Options) -> io::Result<Ending> {
    let stop = signals::listen()?;
    contenders::check_rights()?;
    let mut report = Report::begin(&options.measure.output)?;
    let kinds = options.measure.devices_or(&compare::ALL);
    let terms = options.measure.start.terms(&options.measure.streams, Size::Octets(1514));
    let must = !options.measure.device.is_empty();
    let mut devices = contenders::start(&kinds, &terms, must)?;
    let mut faults = Vec::new();
    for device in &devices {
        faults.push(settle(device).err().map(|error| netlab::reason(&error)));
        device.pause();
    }
    let loads = if options.load.is_empty() { Load::value_variants() } else { &options.load };
    for load in loads {
        let begin = |(device, fault): (&Device, &Option<String>)| Found {
            kind: device.kind,
            rounds: Vec::new(),
            cpu: Vec::new(),
            trips: latencies(),
            fault: fault.clone(),
            disturbed: 0,
        };
        let mut found: Vec<Found> = devices.iter().zip(&faults).map(begin).collect();
        measure(*load, options, &mut devices, &mut found, &stop)?;
        tell(*load, options, &found, &mut report)?;
        if stop.is_given() {
            return Ok(Ending::Stopped);
        }
    }
    Ok(Ending::Done)
}

fn measure(
    load: Load,
    options: &Options,
    devices: &mut [Device],
    found: &mut [Found],
    stop: &Stop,
) -> io::Result<()> {
    let (rounds, duration) =
        (options.measure.search.rounds, options.measure.search.terms().duration);
    let bar = progress(u64::from(rounds) * devices.len() as u64);
    for round in 1..=rounds {
        for (device, found) in devices.iter_mut().zip(&mut *found) {
            bar.set_message(format!("{}, round {round}, {}", load.name(), found.kind));
            bar.inc(1);
            if found.fault.is_some() || stop.is_given() {
                continue;
            }
            device.resume();
            let watch = Watch::begin(device.cpu())?;
            let outcome = one(load, options, device, found, duration, stop);
            found.disturbed += u32::from(watch.others(device.cpu())? > OTHERS_MAX);
            device.pause();
            if let Err(error) = outcome {
                let died = device.died();
                let reason = netlab::reason(&error);
                found.fault = Some(if died { "its process has ended".into() } else { reason });
            }
        }
    }
    bar.finish_and_clear();
    Ok(())
}

fn one(
    load: Load,
    options: &Options,
    device: &Device,
    found: &mut Found,
    duration: std::time::Duration,
    stop: &Stop,
) -> io::Result<()> {
    match load {
        Load::Stream => {
            let bulk = stream(device, options.connections.into(), duration, stop)?;
            if !stop.is_given() {
                found.rounds.push(bulk.bits_per_second / 1e9);
                let own = device.has_processes().then_some(bulk.cpu_per_octet);
                found.cpu.push((own, bulk.cpu_machine_per_octet));
            }
        }
        Load::Rr => {
            let answers = request_response(device, duration, stop)?;
            if !stop.is_given() {
                found.rounds.push(answers.per_second);
                found.trips.add(&answers.trips).expect("they have the same range");
            }
        }
    }
    Ok(())
}

impl Load {
    fn name(self) -> &'static str {
        match self {
            Load::Stream => "tcp_stream",
            Load::Rr => "tcp_rr",
        }
    }
}

fn tell(load: Load, options: &Options, found: &[Found], report: &mut Report) -> io::Result<()> {
    let unit = if load == Load::Stream { "Gbit/s" } else { "answers/s" };
    let heads =
        ["device", unit, "least ... most", "CPU ns/octet", "machine", "p50 us", "p99", "ratio", ""];
    let (mut table, first) = (Table::new(&heads), &found[0]);
    let median = |values: Vec<f64>| Sample::new(values).map(|sample| sample.median());
    for one in found {
        let ratios = first.rounds.iter().zip(&one.rounds).filter(|(_, one)| **one > 0.0);
        let ratio = Sample::new(ratios.map(|(first, one)| first / one).collect());
        let own = median(one.cpu.iter().filter_map(|(own, _)| *own).collect());
        let machine = median(one.cpu.iter().map(|(_, machine)| *machine).collect());
        report.line(&json!({
            "kind": load.name(),
            "device": one.kind.name(),
            "connections": if load == Load::Stream { options.connections } else { 1 },
            "rounds": one.rounds,
            "median": median(one.rounds.clone()),
            "unit": unit,
            "cpu_per_octet": own,
            "cpu_machine_per_octet": machine,
            "trips": quantiles(&one.trips),
            "by": first.kind.name(),
            "ratio": ratio.as_ref().map(|sample| sample.median()),
            "confidence_95": ratio.as_ref().map(Sample::interval),
            "rounds_disturbed": one.disturbed,
            "fault": one.fault,
        }))?;
        let digits = |value: f64| format!("{value:.2}");
        let dash = |text: Option<String>| text.unwrap_or_else(|| "-".into());
        let spread = Sample::new(one.rounds.clone());
        let trip = |q| (!one.trips.is_empty()).then(|| micros(one.trips.value_at_quantile(q)));
        let mut notes = one.fault.clone().unwrap_or_default();
        if one.disturbed > 0 && one.fault.is_none() {
            notes = format!("{} rounds with other load", one.disturbed);
        }
        table.row(vec![
            one.kind.to_string(),
            dash(median(one.rounds.clone()).map(digits)),
            dash(spread.map(|s| format!("{:.2} ... {:.2}", s.least(), s.most()))),
            dash(own.map(digits)),
            dash(machine.map(digits)),
            dash(trip(0.5)),
            dash(trip(0.99)),
            dash(ratio.map(|sample| digits(sample.median()))),
            notes,
        ]);
    }
    let title = load.name();
    report.text(&format!("{title}: ratios are {}'s by each\n{}\n", first.kind, table.text()))
}

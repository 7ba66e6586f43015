//! `uswitch-bench rfc2889`: the measurements of RFC 2889, the devices in turn, each started anew
//! for each of them.

mod alone;

use std::io;

use clap::{Args, ValueEnum};
use uswitch_bench::{device::Kind, plan::FLOWS_MAX, stop::Stop};

use self::alone::Alone;
use super::{Ending, cli, cli::Pattern, contenders, report::Report, signals, throughput};

#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    measure: cli::Measure,
    /// Which of them [default: all]
    #[arg(long, value_enum, value_delimiter = ',', value_name = "TEST,...")]
    test: Vec<Test>,
    /// How many addresses of a port are tried at the most
    #[arg(long, default_value_t = 16_384, value_parser = addresses)]
    addresses: usize,
    /// At how many a second stations speak while it is searched how many are learned
    #[arg(long, default_value = "20000", value_parser = cli::rate)]
    learning_rate: f64,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Test {
    /// Throughput between all ports (section 5.1)
    Mesh,
    /// From one port to all others (section 5.2)
    OneToMany,
    /// From all others to one (section 5.2)
    ManyToOne,
    /// Whether a port with too much to send slows another (section 5.5)
    Congestion,
    /// What comes through of any load (section 5.6; nobody can press a port without a line rate)
    Forwarding,
    /// How many addresses are learned (section 5.7)
    Caching,
    /// How fast they are learned (section 5.8)
    Learning,
    /// What becomes of frames that are too short or too long (section 5.9)
    Errored,
    /// Throughput of frames to everybody (section 5.10)
    Broadcast,
}

impl Test {
    fn pattern(self) -> Option<Pattern> {
        match self {
            Test::Mesh => Some(Pattern::Mesh),
            Test::OneToMany => Some(Pattern::OneToMany),
            Test::ManyToOne => Some(Pattern::ManyToOne),
            Test::Broadcast => Some(Pattern::Broadcast),
            _ => None,
        }
    }
}

pub(crate) fn run(options: &Options) -> io::Result<Ending> {
    let stop = signals::listen()?;
    if options.measure.streams.pattern != Pattern::Line {
        return Err(io::Error::other("the pattern is the test's: say --test instead"));
    }
    contenders::check_rights()?;
    let mut report = Report::begin(&options.measure.output)?;
    let tests = if options.test.is_empty() { Test::value_variants() } else { &options.test };
    let mut capacities = Vec::new();
    for test in tests {
        if stop.is_given() {
            break;
        }
        match test.pattern() {
            Some(pattern) => pattern_of(pattern, options, &mut report, &stop)?,
            None => {
                let (report, stop) = (&mut report, &stop);
                Alone { options, report, stop, capacities: &mut capacities }.measure(*test)?;
            }
        }
    }
    Ok(if stop.is_given() { Ending::Stopped } else { Ending::Done })
}

/// The throughput between ports of a pattern.
fn pattern_of(
    pattern: Pattern,
    options: &Options,
    report: &mut Report,
    stop: &Stop,
) -> io::Result<()> {
    let mut options = options.measure.clone();
    options.streams.pattern = pattern;
    // With two ports all patterns are one.
    options.streams.ports = options.streams.ports.max(PORTS_MIN);
    for size in options.sizes_or("60") {
        let terms = options.start.terms(&options.streams, size);
        let kinds: Vec<Kind> = able(&options, options.streams.ports).collect();
        if kinds.is_empty() || stop.is_given() {
            continue;
        }
        let mut devices = contenders::start(&kinds, &terms, true)?;
        let (mut beds, mut found) = throughput::open(&mut devices, &options, size, stop)?;
        throughput::measure(&mut beds, &mut found, &options, size, report, stop)?;
        report.text(&format!("{} of {} ports, ", pattern.name(), options.streams.ports))?;
        throughput::tell(&found, &options, size, report)?;
    }
    Ok(())
}

/// The devices that were asked for and can have so many ports.
fn able(options: &cli::Measure, ports: usize) -> impl Iterator<Item = Kind> {
    options.devices_or(&[Kind::Uswitch]).into_iter().filter(move |kind| {
        let why = match kind.ports_max() {
            _ if kind.routes() => "it learns no stations".into(),
            most if most < ports => format!("it has {most} ports"),
            _ => return true,
        };
        super::complain(&format!("{kind} does not take part: {why}"));
        false
    })
}

fn addresses(text: &str) -> Result<usize, String> {
    let addresses = text.parse().ok().filter(|addresses| (1..=FLOWS_MAX).contains(addresses));
    addresses.ok_or_else(|| format!("a port can have 1 to {FLOWS_MAX} addresses"))
}

/// The RFC's smallest number of ports for any pattern (section 5.2.2).
const PORTS_MIN: usize = 4;

//! `uswitch-bench compare`: all switches that are installed, in turn, and the ratios of their
//! throughputs round by round, so that what disturbs the machine for longer than a round disturbs
//! both sides of a ratio alike.

use std::io;

use serde_json::json;
use uswitch_bench::{device::Kind, plan::Size, statistics::Sample};

use super::{
    Ending, cli, contenders,
    report::{self, Report},
    signals,
    table::Table,
    throughput::{self, Found},
};

/// Whoever may be there. The first is what others are compared with.
pub(crate) const ALL: [Kind; 8] = [
    Kind::Uswitch,
    Kind::UswitchPacket,
    Kind::Bridge,
    Kind::Vde,
    Kind::OpenVswitch,
    Kind::Testpmd,
    Kind::TestpmdPacket,
    Kind::Socat,
];

pub(crate) fn run(options: &cli::Measure) -> io::Result<Ending> {
    let stop = signals::listen()?;
    contenders::check_rights()?;
    let mut report = Report::begin(&options.output)?;
    let kinds = throughput::kinds(options, &ALL);
    let first = options.devices_or(&ALL)[0];
    for size in options.sizes_or("60,1514") {
        let mut devices = contenders::start(
            &kinds,
            &options.start.terms(&options.streams, size),
            !options.device.is_empty(),
        )?;
        let (mut beds, mut found) = throughput::open(&mut devices, options, size, &stop)?;
        throughput::measure(&mut beds, &mut found, options, size, &mut report, &stop)?;
        throughput::tell(&found, options, size, &mut report)?;
        tell_ratios(&found, first, size, &mut report)?;
        if stop.is_given() {
            return Ok(Ending::Stopped);
        }
    }
    Ok(Ending::Done)
}

fn tell_ratios(found: &[Found], first: Kind, size: Size, report: &mut Report) -> io::Result<()> {
    let Some(reference) = found.iter().find(|one| one.kind == first) else { return Ok(()) };
    let mut table = Table::new(&["device", "ratio", "95 % confidence", "rounds", ""]);
    for one in found.iter().filter(|one| one.kind != first) {
        let rounds = reference.rounds.iter().zip(&one.rounds);
        let ratios = rounds.filter(|(_, one)| one.rate > 0.0).map(|(a, b)| a.rate / b.rate);
        let ratios: Vec<f64> = ratios.collect();
        let Some(sample) = Sample::new(ratios.clone()) else { continue };
        let (low, high) = sample.interval();
        report.line(&json!({
            "kind": "ratio",
            "device": first.name(),
            "by": one.kind.name(),
            "size": report::size(size),
            "rounds": ratios,
            "median": sample.median(),
            "confidence_95": [low, high],
        }))?;
        table.row(vec![
            format!("{first} / {}", one.kind),
            format!("{:.2}", sample.median()),
            format!("{low:.2} ... {high:.2}"),
            ratios.len().to_string(),
            if low <= 1.0 && high >= 1.0 {
                "no difference is certain".into()
            } else {
                String::new()
            },
        ]);
    }
    report.text(&format!("ratios round by round: frames of {size} octets\n{}\n", table.text()))
}

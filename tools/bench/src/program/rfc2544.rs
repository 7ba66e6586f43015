//! `uswitch-bench rfc2544`: all measurements of RFC 2544 section 26, size by size, the devices in
//! turn.

use std::io;

use serde_json::json;
use uswitch_bench::{
    bed::Bed,
    device::Kind,
    plan::Size,
    rfc2544::{LATENCY_SHARES, back_to_back, loss_curve, recovery},
    statistics::Sample,
    stop::Stop,
    tally::latencies,
    trial::quantiles,
};

use super::{
    Ending, cli, contenders,
    report::{self, Report},
    signals,
    table::{Table, grouped, micros},
    throughput::{self, Found, progress},
};

pub(crate) fn run(options: &cli::Measure) -> io::Result<Ending> {
    let stop = signals::listen()?;
    contenders::check_rights()?;
    let mut report = Report::begin(&options.output)?;
    for size in options.sizes_or("rfc") {
        let kinds = throughput::kinds(options, &[Kind::Uswitch]);
        let mut devices =
            contenders::start(&kinds, &options.start.terms(&options.streams, size), true)?;
        let (mut beds, mut found) = throughput::open(&mut devices, options, size, &stop)?;
        throughput::measure(&mut beds, &mut found, options, size, &mut report, &stop)?;
        throughput::tell(&found, options, size, &mut report)?;
        let mut rest = Rest { options, size, report: &mut report, stop: &stop };
        rest.measure(&mut beds, &mut found)?;
        if stop.is_given() {
            return Ok(Ending::Stopped);
        }
    }
    Ok(Ending::Done)
}

/// What is measured beside throughput.
struct Rest<'a> {
    options: &'a cli::Measure,
    size: Size,
    report: &'a mut Report,
    stop: &'a Stop,
}

/// One of these measurements: a row of its table for each device.
type Step<'a> = fn(&mut Rest<'a>, &mut Bed<'_>, &Found) -> io::Result<Vec<Vec<String>>>;

impl<'a> Rest<'a> {
    fn measure(&mut self, beds: &mut [Bed<'_>], found: &mut [Found]) -> io::Result<()> {
        let latency = ["device", "at", "p50 us", "p90", "p99", "p99.9", "max", ""];
        let curve = ["device", "offered", "frames/s", "received", "lost", ""];
        let burst = ["device", "frames", "least ... most", ""];
        let recovery = ["device", "overload", "lost", "recovered after ms", ""];
        let steps: [(&str, &[&str], Step<'a>); 4] = [
            ("latency at a share of the throughput", &latency, Rest::latency),
            ("frame loss by rate", &curve, Rest::curve),
            ("longest burst without loss", &burst, Rest::burst),
            ("recovery from 110 % of the throughput", &recovery, Rest::recovery),
        ];
        for (title, heads, step) in steps {
            let bar = progress(beds.len() as u64);
            let mut table = Table::new(heads);
            for (bed, found) in beds.iter_mut().zip(&mut *found) {
                bar.set_message(format!("{} octets, {title}, {}", self.size, found.kind));
                if found.fault.is_some() || self.stop.is_given() {
                    continue;
                }
                bed.device().resume();
                let outcome = step(self, bed, found);
                bed.device().pause();
                match outcome {
                    Ok(rows) => rows.into_iter().for_each(|row| table.row(row)),
                    Err(error) if report::is_own(&error) => return Err(error),
                    // Its link is gone, or down: it is out.
                    Err(error) => found.fault = Some(netlab::reason(&error)),
                }
                bar.inc(1);
            }
            bar.finish_and_clear();
            let size = self.size;
            self.report.text(&format!("{title}: frames of {size} octets\n{}\n", table.text()))?;
        }
        // Section 26.6: what is reset is hardware, or its software; here it is started instead.
        self.report.text("reset: not measured; a device in software has none but being started\n\n")
    }

    fn latency(&mut self, bed: &mut Bed<'_>, found: &Found) -> io::Result<Vec<Vec<String>>> {
        let (terms, mut rows) = (self.options.search.terms(), Vec::new());
        for share in LATENCY_SHARES {
            let rate = found.rate() * share;
            let (mut all, mut disturbed) = (latencies(), 0);
            for _ in 0..self.options.search.rounds {
                if rate < 1.0 || self.stop.is_given() {
                    break;
                }
                let trial = bed.trial(&terms.load(rate), self.stop)?;
                disturbed += u32::from(trial.was_disturbed());
                all.add(trial.latency()).expect("they have the same range");
            }
            self.report.line(&json!({
                "kind": "latency",
                "device": found.kind.name(),
                "size": report::size(self.size),
                "share": share,
                "rate": rate,
                "latency": quantiles(&all),
                "rounds_disturbed": disturbed,
            }))?;
            let quantile = |q| micros(all.value_at_quantile(q));
            let note = match disturbed {
                0 => String::new(),
                some => format!("{some} rounds were disturbed by other load"),
            };
            let mut row = vec![found.kind.to_string(), format!("{:.0} %", share * 100.0)];
            row.extend([0.5, 0.9, 0.99, 0.999].map(quantile));
            row.extend([micros(all.max()), note]);
            rows.push(row);
        }
        Ok(rows)
    }

    fn curve(&mut self, bed: &mut Bed<'_>, found: &Found) -> io::Result<Vec<Vec<String>>> {
        let points = loss_curve(bed, &self.options.search.terms(), self.stop)?;
        let told = points.iter().map(|point| {
            json!({
                "share": point.share,
                "rate_offered": point.offered,
                "rate_received": point.received,
                "loss": point.loss,
            })
        });
        self.report.line(&json!({
            "kind": "loss_curve",
            "device": found.kind.name(),
            "size": report::size(self.size),
            "points": told.collect::<Vec<_>>(),
        }))?;
        let row = |point: &uswitch_bench::rfc2544::Point| {
            vec![
                found.kind.to_string(),
                format!("{:.0} %", point.share * 100.0),
                grouped(point.offered),
                grouped(point.received),
                format!("{:.4} %", point.loss * 100.0),
                String::new(),
            ]
        };
        Ok(points.iter().map(row).collect())
    }

    fn burst(&mut self, bed: &mut Bed<'_>, found: &Found) -> io::Result<Vec<Vec<String>>> {
        let (terms, mut lengths, mut endless) = (self.options.search.terms(), Vec::new(), true);
        for _ in 0..self.options.search.rounds {
            if !self.stop.is_given() {
                let burst = back_to_back(bed, &terms, self.stop)?;
                lengths.push(burst.frames as f64);
                endless &= burst.endless;
            }
        }
        self.report.line(&json!({
            "kind": "back_to_back",
            "device": found.kind.name(),
            "size": report::size(self.size),
            "rounds": lengths,
            "endless": endless,
        }))?;
        let Some(sample) = Sample::new(lengths) else { return Ok(Vec::new()) };
        let note = if endless { "no loss, however long" } else { "" };
        Ok(vec![vec![
            found.kind.to_string(),
            grouped(sample.median()),
            format!("{} ... {}", grouped(sample.least()), grouped(sample.most())),
            note.into(),
        ]])
    }

    fn recovery(&mut self, bed: &mut Bed<'_>, found: &Found) -> io::Result<Vec<Vec<String>>> {
        if found.rate() < 1.0 {
            return Ok(Vec::new());
        }
        let outcome = recovery(bed, found.rate(), &self.options.search.terms(), self.stop)?;
        let time = outcome.time.as_secs_f64() * 1e3;
        self.report.line(&json!({
            "kind": "recovery",
            "device": found.kind.name(),
            "size": report::size(self.size),
            "overload": outcome.overload,
            "loss": outcome.loss,
            "seconds": outcome.time.as_secs_f64(),
        }))?;
        Ok(vec![vec![
            found.kind.to_string(),
            grouped(outcome.overload),
            format!("{:.4} %", outcome.loss * 100.0),
            format!("{time:.3}"),
            String::new(),
        ]])
    }
}

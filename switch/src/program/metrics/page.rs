//! What is told: the families of metrics, in OpenMetrics (<https://prometheus.io/docs/specs/om/>)
//! or in the text format that was before it. Names are parallel to node_exporter's, units are in
//! base units and in the name, reasons are labels.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use nix::time::{ClockId, clock_gettime};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, NoLabelSet, text},
    metrics::MetricType,
    registry::{Registry, Unit},
};
use uswitch::stats::Counter;

use crate::program::report::router::{RouterRow, RowKind};

use super::{
    Snapshot,
    totals::{Total, Totals},
};

/// Content types: of OpenMetrics, and of the older format.
pub(super) const OPEN_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
pub(super) const PLAIN_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What is told of one moment.
#[derive(Debug)]
pub(super) struct Page {
    /// Ports that are there, by name, each with its MTU if it has one.
    ports: Vec<(String, Total, Option<u32>)>,
    /// What the router has counted, if there is one.
    router: Vec<RouterRow>,
    waiting: Vec<String>,
    workers: usize,
    fdb: [usize; 2],
    process: [f64; 2],
}

/// What is told of the process.
#[derive(Debug)]
pub(super) struct Process {
    started: Duration,
}

impl Process {
    /// One that starts now.
    pub(super) fn start() -> Process {
        Process { started: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() }
    }

    /// Seconds from 1970 to the start, and of all processors since.
    fn seconds(&self) -> [f64; 2] {
        let used = clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).map(Duration::from);
        [self.started, used.unwrap_or_default()].map(|time| time.as_secs_f64())
    }
}

impl Page {
    pub(super) fn new(snapshot: &Snapshot, totals: &mut Totals, process: &Process) -> Page {
        let Snapshot { report, router, mtus, waiting, workers } = snapshot;
        let mtus: BTreeMap<&str, u32> = mtus.iter().map(|(name, mtu)| (&**name, *mtu)).collect();
        let there = totals.fold(report).iter().filter(|(_, total)| total.attached);
        let ports: Vec<_> = there
            .map(|(name, total)| (name.clone(), total.clone(), mtus.get(&**name).copied()))
            .collect();
        let absent = |name: &&String| ports.iter().all(|(there, ..)| there != *name);
        Page {
            waiting: waiting.iter().filter(absent).cloned().collect(),
            ports,
            router: router.clone(),
            workers: *workers,
            fdb: [report.fdb_used, report.fdb_size],
            process: process.seconds(),
        }
    }

    /// In both formats: OpenMetrics, and the older one.
    pub(super) fn render(self) -> [String; 2] {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self));
        let mut open = String::new();
        text::encode(&mut open, &registry).expect("a string takes everything");
        let plain = plain(&open);
        [open, plain]
    }

    fn counters(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        (name, unit, help): (&str, Option<Unit>, &str),
        count: impl Fn(&Total) -> u64,
    ) -> fmt::Result {
        let kind = MetricType::Counter;
        let mut metric = encoder.encode_descriptor(name, help, unit.as_ref(), kind)?;
        for (port, total, _) in &self.ports {
            metric
                .encode_family(&[("port", &**port)])?
                .encode_counter::<NoLabelSet, _, u64>(&count(total), None)?;
        }
        Ok(())
    }

    fn drops(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Frames that the switch dropped, by the name of the counter that has them.";
        let kind = MetricType::Counter;
        let mut metric = encoder.encode_descriptor("uswitch_port_drops", help, None, kind)?;
        for (port, total, _) in &self.ports {
            for counter in Counter::ALL.iter().filter(|counter| counter.is_drop()) {
                metric
                    .encode_family(&[("port", &**port), ("reason", counter.name())])?
                    .encode_counter::<NoLabelSet, _, u64>(&total.get(*counter), None)?;
            }
        }
        let help = "Frames that the kernel dropped on either side of the port.";
        let name = "uswitch_port_kernel_drops";
        let mut metric = encoder.encode_descriptor(name, help, None, kind)?;
        for (port, total, _) in &self.ports {
            for (way, count) in [("receive", total.kernel.rx), ("transmit", total.kernel.tx)] {
                metric
                    .encode_family(&[("port", &**port), ("direction", way)])?
                    .encode_counter::<NoLabelSet, _, u64>(&count, None)?;
            }
        }
        Ok(())
    }

    fn router(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let (drops, others): (Vec<_>, Vec<_>) =
            self.router.iter().partition(|row| row.kind == RowKind::Drop);
        for row in others {
            let name = format!("uswitch_router_{}", row.name);
            if row.kind == RowKind::Gauge {
                let kind = MetricType::Gauge;
                encoder
                    .encode_descriptor(&name, &row.about, None, kind)?
                    .encode_gauge(&row.count)?;
            } else {
                let kind = MetricType::Counter;
                let mut metric = encoder.encode_descriptor(&name, &row.about, None, kind)?;
                metric.encode_counter::<NoLabelSet, _, u64>(&row.count, None)?;
            }
        }
        if drops.is_empty() {
            return Ok(());
        }
        let help = "Packets that the router dropped, by the reason.";
        let kind = MetricType::Counter;
        let mut metric = encoder.encode_descriptor("uswitch_router_drops", help, None, kind)?;
        for row in drops {
            metric
                .encode_family(&[("reason", &*row.name)])?
                .encode_counter::<NoLabelSet, _, u64>(&row.count, None)?;
        }
        Ok(())
    }

    fn state(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let kind = MetricType::Gauge;
        let help = "1: the port is in the switch. 0: it is waited for.";
        let mut metric = encoder.encode_descriptor("uswitch_port_up", help, None, kind)?;
        let there = self.ports.iter().map(|(port, ..)| (port, 1u64));
        for (port, up) in there.chain(self.waiting.iter().map(|port| (port, 0))) {
            metric.encode_family(&[("port", &**port)])?.encode_gauge(&up)?;
        }
        let help = "The largest payload that the port takes.";
        let bytes = Some(&Unit::Bytes);
        let mut metric = encoder.encode_descriptor("uswitch_port_mtu", help, bytes, kind)?;
        for (port, _, mtu) in &self.ports {
            if let Some(mtu) = mtu {
                metric.encode_family(&[("port", &**port)])?.encode_gauge(mtu)?;
            }
        }
        let [used, size] = self.fdb;
        for (name, help, number) in [
            ("uswitch_fdb_entries", "Addresses in the forwarding database.", used),
            ("uswitch_fdb_size", "Addresses that the forwarding database can hold.", size),
            ("uswitch_workers", "Threads that forward.", self.workers),
        ] {
            encoder.encode_descriptor(name, help, None, kind)?.encode_gauge(&number)?;
        }
        Ok(())
    }

    fn process(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "1, of this version.";
        let kind = MetricType::Gauge;
        encoder
            .encode_descriptor("uswitch_build_info", help, None, kind)?
            .encode_family(&[("version", env!("CARGO_PKG_VERSION"))])?
            .encode_gauge(&1u64)?;
        let [started, used] = self.process;
        let (help, seconds) = ("When the process started, since 1970.", Some(&Unit::Seconds));
        encoder
            .encode_descriptor("process_start_time", help, seconds, kind)?
            .encode_gauge(&started)?;
        let help = "What the process took of all processors, workers included.";
        encoder
            .encode_descriptor("process_cpu", help, seconds, MetricType::Counter)?
            .encode_counter::<NoLabelSet, _, u64>(&used, None)
    }
}

impl Collector for Page {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let encoder = &mut encoder;
        for counter in Counter::ALL.iter().filter(|counter| !counter.is_drop()) {
            let (name, unit) = family(*counter);
            let descriptor = (&*name, unit, counter.about());
            self.counters(encoder, descriptor, |total| total.get(*counter))?;
        }
        self.drops(encoder)?;
        self.router(encoder)?;
        self.state(encoder)?;
        self.process(encoder)
    }
}

/// The family of a counter that is no drop, without the ending that the encoder gives it: where
/// node_exporter has a name, that.
fn family(counter: Counter) -> (Cow<'static, str>, Option<Unit>) {
    let name = match counter {
        Counter::RxFrames => "uswitch_port_receive_packets",
        Counter::TxFrames => "uswitch_port_transmit_packets",
        Counter::RxOctets => return ("uswitch_port_receive".into(), Some(Unit::Bytes)),
        Counter::TxOctets => return ("uswitch_port_transmit".into(), Some(Unit::Bytes)),
        Counter::RxForwarded => "uswitch_port_receive_forwarded_packets",
        Counter::RxFlooded => "uswitch_port_receive_flooded_packets",
        Counter::RxCopies => "uswitch_port_receive_flood_copies",
        Counter::TxCut => "uswitch_port_transmit_cut_packets",
        Counter::TxSegments => "uswitch_port_transmit_segments",
        other => return (format!("uswitch_port_{}", other.name()).into(), None),
    };
    (name.into(), None)
}

/// The same in the format before OpenMetrics: there the ending `_total` is part of a counter's
/// name, and there are neither units nor an end.
fn plain(open: &str) -> String {
    let comment = |line: &str, word: &str| {
        let rest = line.strip_prefix("# ")?.strip_prefix(word)?.strip_prefix(' ')?;
        rest.split_once(' ').map(|(name, rest)| (name.to_owned(), rest.to_owned()))
    };
    let counters: Vec<_> = open.lines().filter_map(|line| comment(line, "TYPE")).collect();
    let is_counter = |of: &str| counters.iter().any(|(name, kind)| name == of && kind == "counter");
    let mut text = String::with_capacity(open.len());
    for line in open.lines().filter(|line| !line.starts_with("# UNIT") && *line != "# EOF") {
        let found =
            ["HELP", "TYPE"].into_iter().find_map(|word| Some((word, comment(line, word)?)));
        match found {
            Some((word, (name, rest))) if is_counter(&name) => {
                text += &format!("# {word} {name}_total {rest}");
            }
            _ => text += line,
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use uswitch::{
        port::{KernelDrops, PortId},
        stats::PortStats,
        switch::{PortReport, Report},
    };

    use super::*;

    fn rendered() -> [String; 2] {
        let port = |name: &str, attached, frames| {
            let mut stats = PortStats::default();
            stats.add(Counter::RxFrames, frames);
            stats.add(Counter::TxFull, 2);
            let kernel = KernelDrops { rx: 1, tx: 0 };
            PortReport { port: PortId::new(0), name: String::from(name), attached, stats, kernel }
        };
        let ports = vec![port("tap0", true, 5), port("a\"b\\\n", true, 1), port("left", false, 9)];
        let report = Report { ports, fdb_used: 3, fdb_size: 64 };
        let (mtus, waiting) = (vec![("tap0".into(), 1500)], vec!["vm0".into(), "tap0".into()]);
        let row = |name: &str, kind, count| RouterRow {
            name: name.to_owned(),
            about: "What it is.".to_owned(),
            kind,
            count,
        };
        let router = vec![
            row("forwarded", RowKind::Packets, 4),
            row("held", RowKind::Gauge, 1),
            row("ttl", RowKind::Drop, 3),
        ];
        let snapshot = Snapshot { report, router, mtus, waiting, workers: 2 };
        Page::new(&snapshot, &mut Totals::default(), &Process::start()).render()
    }

    #[test]
    fn what_is_there_is_told_and_what_has_left_is_not() {
        let [open, _] = rendered();
        for line in [
            "# TYPE uswitch_port_receive_packets counter",
            "uswitch_port_receive_packets_total{port=\"tap0\"} 5",
            "# UNIT uswitch_port_receive_bytes bytes",
            "uswitch_port_receive_bytes_total{port=\"tap0\"} 0",
            "uswitch_port_learn_quota_total{port=\"tap0\"} 0",
            "uswitch_port_drops_total{port=\"tap0\",reason=\"tx_full\"} 2",
            "uswitch_port_kernel_drops_total{port=\"tap0\",direction=\"receive\"} 1",
            "uswitch_port_up{port=\"tap0\"} 1",
            "uswitch_port_up{port=\"vm0\"} 0",
            "uswitch_port_up{port=\"a\\\"b\\\\\\n\"} 1",
            "uswitch_port_mtu_bytes{port=\"tap0\"} 1500",
            "uswitch_fdb_entries 3",
            "uswitch_fdb_size 64",
            "uswitch_workers 2",
            "# TYPE uswitch_router_forwarded counter",
            "uswitch_router_forwarded_total 4",
            "uswitch_router_held 1",
            "uswitch_router_drops_total{reason=\"ttl\"} 3",
        ] {
            assert!(open.lines().any(|found| found == line), "{line}\n{open}");
        }
        assert!(open.ends_with("# EOF\n") && !open.contains("left"), "{open}");
        assert_eq!(open.matches("uswitch_port_up{port=\"tap0\"}").count(), 1);
    }

    #[test]
    fn every_counter_is_told_once() {
        let [open, plain] = rendered();
        let names: Vec<_> = open.lines().filter(|line| line.starts_with("# TYPE")).collect();
        let mut told = names.clone();
        told.sort();
        told.dedup();
        assert_eq!(told.len(), names.len());
        for counter in Counter::ALL {
            let series = match counter.is_drop() {
                true => format!("reason=\"{}\"", counter.name()),
                false => match family(*counter) {
                    (name, Some(unit)) => format!("{name}_{}_total{{port=\"tap0\"", unit.as_str()),
                    (name, None) => format!("{name}_total{{port=\"tap0\""),
                },
            };
            assert!(open.contains(&series) && plain.contains(&series), "{series}");
        }
    }

    #[test]
    fn the_older_format_has_whole_names_and_no_end() {
        let [open, plain] = rendered();
        assert!(plain.contains("\n# TYPE uswitch_port_receive_bytes_total counter\n"), "{plain}");
        assert!(plain.contains("\n# HELP uswitch_port_receive_bytes_total Octets"), "{plain}");
        assert!(plain.contains("\n# TYPE uswitch_fdb_size gauge\n"), "{plain}");
        assert!(!plain.contains("# EOF") && !plain.contains("# UNIT"), "{plain}");
        let values = |text: &str| text.lines().filter(|l| !l.starts_with('#')).count();
        assert_eq!(values(&open), values(&plain));
    }
}

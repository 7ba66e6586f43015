//! What a switch has answered, for people (tables, and lines as bridge(8) has them) and for
//! programs (JSON with iproute2's keys). Pure: answers in, text out.

use std::time::Duration;

use serde::Serialize;
use uswitch::{
    stats::{Counter, PortStats},
    switch::Report,
};

use crate::program::{
    config::Shown,
    control::{Event, FdbRow, Flushed, PortRow, Show},
    explain::Explained,
    output::one_line,
    report::{Status, about, columns, count, fold, router},
};

/// Who has dropped what was not dropped at a port.
const ROUTER: &str = "(router)";

/// Ports, a line each.
pub(super) fn ports(rows: &[PortRow], statistics: bool, json: bool) -> String {
    if json {
        let rows: Vec<_> = rows.iter().map(|row| JsonPort::new(row, statistics)).collect();
        return line(&rows);
    }
    let unknown = || "-".to_owned();
    let common = |row: &PortRow| {
        let state = row.operstate.clone();
        let kind = row.kind.clone().unwrap_or_else(unknown);
        let mtu = row.mtu.map_or_else(unknown, |mtu| mtu.to_string());
        (row.ifname.clone(), kind, state, mtu)
    };
    if !statistics {
        let mut table = vec![["port", "kind", "state", "mtu", ""].map(str::to_owned)];
        table.extend(rows.iter().map(|row| {
            let (name, kind, state, mtu) = common(row);
            let waits = row.waits_for.as_ref().map(|what| format!("waits for {what}"));
            [name, kind, state, mtu, waits.unwrap_or_default()]
        }));
        return columns(&table, 5);
    }
    let head = [
        "port",
        "kind",
        "state",
        "mtu",
        "rx frames",
        "octets",
        "drops",
        "tx frames",
        "octets",
        "drops",
    ];
    let mut table = vec![head.map(str::to_owned)];
    table.extend(rows.iter().map(|row| {
        let (name, kind, state, mtu) = common(row);
        let stats = row.report().map(|report| report.stats);
        let get = |of: fn(&PortStats) -> u64| stats.as_ref().map_or_else(unknown, |s| count(of(s)));
        [
            name,
            kind,
            state,
            mtu,
            get(|stats| stats.get(Counter::RxFrames)),
            get(|stats| stats.get(Counter::RxOctets)),
            get(PortStats::rx_drops),
            get(|stats| stats.get(Counter::TxFrames)),
            get(|stats| stats.get(Counter::TxOctets)),
            get(PortStats::tx_drops),
        ]
    }));
    columns(&table, 3)
}

/// A port by the keys of `ip -j link`, with what it has of them.
#[derive(Serialize)]
struct JsonPort<'a> {
    ifname: &'a str,
    operstate: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    mtu: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    plug: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    waits_for: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stats64: Option<JsonStats>,
    #[serde(skip_serializing_if = "Option::is_none")]
    counts: Option<&'a crate::program::control::Counts>,
}

#[derive(Serialize)]
struct JsonStats {
    rx: JsonWay,
    tx: JsonWay,
}

#[derive(Serialize)]
struct JsonWay {
    bytes: u64,
    packets: u64,
    dropped: u64,
}

impl<'a> JsonPort<'a> {
    fn new(row: &'a PortRow, statistics: bool) -> JsonPort<'a> {
        let stats = row.report().filter(|_| statistics).map(|report| report.stats);
        JsonPort {
            ifname: &row.ifname,
            operstate: &row.operstate,
            mtu: row.mtu,
            kind: row.kind.as_deref(),
            plug: row.plug.as_deref(),
            waits_for: row.waits_for.as_deref(),
            stats64: stats.map(|stats| JsonStats {
                rx: JsonWay {
                    bytes: stats.get(Counter::RxOctets),
                    packets: stats.get(Counter::RxFrames),
                    dropped: stats.rx_drops(),
                },
                tx: JsonWay {
                    bytes: stats.get(Counter::TxOctets),
                    packets: stats.get(Counter::TxFrames),
                    dropped: stats.tx_drops(),
                },
            }),
            counts: row.counts.as_ref().filter(|_| statistics),
        }
    }
}

/// Known addresses in their order, a line each, as `bridge fdb` has them.
pub(super) fn fdb(mut rows: Vec<FdbRow>, statistics: bool, json: bool) -> String {
    rows.sort_by(|one, other| (one.vlan, &one.mac).cmp(&(other.vlan, &other.mac)));
    if json {
        return line(&rows);
    }
    let tell = |row: &FdbRow| {
        let vlan = if row.vlan == 0 { String::new() } else { format!(" vlan {}", row.vlan) };
        let age = row.age().as_secs_f64();
        let age = if statistics { format!(" updated {age:.1} s ago") } else { String::new() };
        let state = if row.state.is_empty() { String::new() } else { format!(" {}", row.state) };
        let age = if row.absent { String::new() } else { age };
        let absent = if row.absent { " (its port is away)" } else { "" };
        format!("{} dev {}{vlan}{age}{state}{absent}\n", row.mac, row.ifname)
    };
    rows.iter().map(tell).collect()
}

/// How much was forgotten.
pub(super) fn flushed(flushed: &Flushed, json: bool) -> String {
    if json {
        return line(flushed);
    }
    match flushed.flushed {
        1 => "1 address forgotten\n".to_owned(),
        number => format!("{} addresses forgotten\n", count(number as u64)),
    }
}

/// What was done, a sentence a line.
pub(super) fn told(told: &[String], json: bool) -> String {
    if json { line(&told) } else { told.iter().map(|sentence| sentence.clone() + "\n").collect() }
}

/// A file, or an object with it.
pub(super) fn config(toml: &str, json: bool) -> String {
    if json { line(&serde_json::json!({ "toml": toml })) } else { toml.to_owned() }
}

/// What is wrong with a file, by the keys of `uswitch check -j`.
pub(super) fn faults(faults: &[Shown]) -> String {
    let plain = |fault: &Shown| Shown { shown: String::new(), ..fault.clone() };
    line(&faults.iter().map(plain).collect::<Vec<_>>())
}

/// What SIGUSR1 prints, from answers.
pub(super) fn status(show: &Show, rows: &[PortRow]) -> Status {
    Status {
        report: Report {
            ports: rows.iter().filter_map(PortRow::report).collect(),
            fdb_used: show.fdb.used,
            fdb_size: show.fdb.size,
        },
        router: show.router.clone(),
        addresses: None,
        elapsed: Duration::try_from_secs_f64(show.elapsed_s).unwrap_or_default(),
        workers: show.workers,
        running: true,
    }
}

/// Why frames were dropped: each reason with its sentence and where it was.
pub(super) fn drops(status: &Status, json: bool) -> String {
    if !json {
        return drop_table(status);
    }
    #[derive(Serialize)]
    struct Drop<'a> {
        reason: &'a str,
        about: &'a str,
        /// Left out: the router has dropped them.
        #[serde(skip_serializing_if = "Option::is_none")]
        ifname: Option<&'a str>,
        frames: u64,
    }
    let reasons = Counter::ALL.iter().filter(|counter| counter.is_drop());
    let drops: Vec<_> = reasons
        .flat_map(|reason| {
            status.report.ports.iter().map(|port| Drop {
                reason: reason.name(),
                about: reason.about(),
                ifname: Some(&port.name),
                frames: port.stats.get(*reason),
            })
        })
        .filter(|drop| drop.frames > 0)
        .chain(router::drops(&status.router).map(|row| Drop {
            reason: &row.name,
            about: &row.about,
            ifname: None,
            frames: row.count,
        }))
        .collect();
    line(&drops)
}

/// A line for each reason and port, with what it means.
fn drop_table(status: &Status) -> String {
    let reasons = Counter::ALL.iter().filter(|counter| counter.is_drop());
    let dropped = reasons.flat_map(|reason| {
        let ports = status.report.ports.iter();
        let frames = ports.map(|port| (*reason, &port.name, port.stats.get(*reason)));
        frames.filter(|(.., frames)| *frames > 0)
    });
    let dropped = dropped.map(|(reason, port, frames)| {
        (reason.name().to_owned(), port.clone(), frames, about(reason).to_owned())
    });
    let routed = router::drops(&status.router)
        .map(|row| (row.name.clone(), ROUTER.to_owned(), row.count, row.meaning()));
    let dropped: Vec<_> = dropped.chain(routed).collect();
    if dropped.is_empty() {
        return "no frame was dropped\n".to_owned();
    }
    let mut rows = vec![["dropped", "port", "frames"].map(str::to_owned)];
    rows.extend(
        dropped
            .iter()
            .map(|(reason, port, frames, _)| [reason.clone(), port.clone(), count(*frames)]),
    );
    let meanings = dropped.iter().map(|(.., meaning)| meaning.as_str());
    let numbers = columns(&rows, 2);
    let lines = numbers.lines().zip(["because"].into_iter().chain(meanings));
    lines.map(|(line, meaning)| fold(&format!("{line}  {meaning}"), line.len() + 2)).collect()
}

/// What would become of a frame.
pub(super) fn explained(told: &Explained, json: bool) -> String {
    if json { line(told) } else { told.text() }
}

/// An event, a line.
pub(super) fn event(event: &Event) -> String {
    let Event { missed, text, .. } = event;
    let missed = match missed {
        0 => String::new(),
        1 => "(1 event was lost here)\n".to_owned(),
        _ => format!("({missed} events were lost here)\n"),
    };
    format!("{missed}{}\n", one_line(text))
}

fn line(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("names, numbers and lists of them") + "\n"
}

//! What was counted, for people (tables) and for programs (JSON). Pure: a [`Status`] in, text out.

pub(crate) mod router;

use std::{fmt::Write, time::Duration};

use serde::Serialize;
use serde_json::Value;
use uswitch::{
    bridge::VLAN_UNAWARE,
    fdb::Entry,
    frame::Mac,
    port::Port,
    stats::{Counter, PortStats},
    switch::{Handle, PortReport, Report},
};

use self::router::RouterRow;
use super::control::Counters;

/// Columns of text, where it can be folded.
const WIDTH: usize = 80;

/// Learned addresses that a table shows at the most; JSON has all of them.
const ADDRESSES_SHOWN_MAX: usize = 256;

/// The forwarding database of a switch as it is now.
pub(crate) fn known_addresses<P: Port>(handle: &Handle<P>) -> Vec<Address> {
    let name = |port| handle.name(port).unwrap_or("?").to_owned();
    let entries = handle.fdb().entries(handle.now());
    let address = |Entry { mac, port, age, .. }: Entry| Address { mac, port: name(port), age };
    let mut addresses: Vec<_> = entries.map(address).collect();
    addresses.sort_by_key(|address| address.mac);
    addresses
}

/// Everything that there is to tell of a switch.
pub(crate) struct Status {
    pub(crate) report: Report,
    /// What the router has counted, if there is one.
    pub(crate) router: Vec<RouterRow>,
    /// `None`: nobody asked for them.
    pub(crate) addresses: Option<Vec<Address>>,
    pub(crate) elapsed: Duration,
    pub(crate) workers: usize,
    /// Whether frames still flow: the counters are not of one instant then.
    pub(crate) running: bool,
}

/// A station that was learned.
pub(crate) struct Address {
    pub(crate) mac: Mac,
    pub(crate) port: String,
    /// How long it has been silent.
    pub(crate) age: Duration,
}

impl Status {
    /// All of it as text: JSON on one line, or tables.
    pub(crate) fn render(&self, json: bool) -> String {
        if json { self.json() } else { self.tables() }
    }

    fn total(&self) -> PortStats {
        let mut total = PortStats::default();
        self.report.ports.iter().for_each(|port| total.merge(&port.stats));
        total
    }

    fn tables(&self) -> String {
        let total = self.total();
        let so_far = if self.running { " so far" } else { "" };
        let mut text = format!("after {:.1} s{so_far}:\n\n", self.elapsed.as_secs_f64());
        text += &self.ports(&total);
        text.push('\n');
        text += &drops(&total, &self.router);
        text += &router::summary(&self.router);
        for PortReport { name, kernel, .. } in &self.report.ports {
            if kernel.rx + kernel.tx > 0 {
                let (rx, tx) = (count(kernel.rx), count(kernel.tx));
                text += &format!("{name}: the kernel dropped {rx} before us, {tx} behind us\n");
            }
        }
        let (used, size) = (self.report.fdb_used as u64, self.report.fdb_size as u64);
        text += &format!("learned addresses: {} of {}\n", count(used), count(size));
        for counter in [Counter::LearnQuota, Counter::LearnFull] {
            let frames = total.get(counter);
            if frames > 0 {
                let (name, about) = (counter.name(), about(counter));
                text += &fold(&format!("{name}: {} {about}", count(frames)), 2);
            }
        }
        text + &self.addresses.as_deref().map(addresses).unwrap_or_default()
    }

    /// A line a port, and one for all.
    fn ports(&self, total: &PortStats) -> String {
        let head = [
            "port",
            "rx frames",
            "rx octets",
            "tx frames",
            "tx octets",
            "flooded",
            "rx drops",
            "tx drops",
        ];
        let mut rows = vec![head.map(str::to_owned)];
        let line = |name: String, stats: &PortStats| {
            let get = |counter| count(stats.get(counter));
            [
                name,
                get(Counter::RxFrames),
                get(Counter::RxOctets),
                get(Counter::TxFrames),
                get(Counter::TxOctets),
                get(Counter::RxFlooded),
                count(stats.rx_drops()),
                count(stats.tx_drops()),
            ]
        };
        for port in &self.report.ports {
            let gone = if port.attached { "" } else { " (gone)" };
            rows.push(line(format!("{}{gone}", port.name), &port.stats));
        }
        rows.push(line("total".into(), total));
        columns(&rows, 1)
    }

    fn json(&self) -> String {
        let text = serde_json::to_string(&self.facts());
        text.expect("numbers, names and lists of them") + "\n"
    }

    /// What JSON has of it.
    pub(crate) fn facts(&self) -> impl Serialize {
        let ports = self.report.ports.iter().map(|port| JsonPort {
            port: port.port.index(),
            name: &port.name,
            attached: port.attached,
            counters: Counters(port.stats),
            kernel_rx_dropped: port.kernel.rx,
            kernel_tx_dropped: port.kernel.tx,
        });
        let entries = self.addresses.as_ref().map(|addresses| {
            let entry = |address: &Address| JsonEntry {
                mac: address.mac.to_string(),
                vlan: VLAN_UNAWARE,
                port: address.port.clone(),
                age_s: address.age.as_secs_f64(),
            };
            addresses.iter().map(entry).collect()
        });
        let (used, size) = (self.report.fdb_used, self.report.fdb_size);
        JsonStatus {
            version: env!("CARGO_PKG_VERSION"),
            running: self.running,
            elapsed_s: self.elapsed.as_secs_f64(),
            workers: self.workers,
            ports: ports.collect(),
            total: Counters(self.total()),
            fdb: JsonFdb { used, size, entries },
            router: router::facts(&self.router),
        }
    }
}

#[derive(Serialize)]
struct JsonStatus<'a> {
    version: &'a str,
    running: bool,
    elapsed_s: f64,
    workers: usize,
    ports: Vec<JsonPort<'a>>,
    total: Counters,
    fdb: JsonFdb,
    #[serde(skip_serializing_if = "Option::is_none")]
    router: Option<Value>,
}

#[derive(Serialize)]
struct JsonPort<'a> {
    port: usize,
    name: &'a str,
    attached: bool,
    #[serde(flatten)]
    counters: Counters,
    kernel_rx_dropped: u64,
    kernel_tx_dropped: u64,
}

#[derive(Serialize)]
struct JsonFdb {
    used: usize,
    size: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    entries: Option<Vec<JsonEntry>>,
}

#[derive(Serialize)]
struct JsonEntry {
    mac: String,
    vlan: u16,
    port: String,
    age_s: f64,
}

/// Each reason for which frames were dropped, and packets by the router.
fn drops(total: &PortStats, router: &[RouterRow]) -> String {
    let dropped = total.iter().filter(|(counter, count)| counter.is_drop() && *count > 0);
    let frames = dropped.map(|(counter, count)| (counter.name(), count, about(counter).to_owned()));
    let packets = router::drops(router).map(|row| (&*row.name, row.count, row.meaning()));
    let dropped: Vec<_> = frames.chain(packets).collect();
    if dropped.is_empty() {
        return "no frame was dropped\n".to_owned();
    }
    let mut rows = vec![["dropped".to_owned(), "frames".to_owned()]];
    rows.extend(dropped.iter().map(|(name, frames, _)| [(*name).to_owned(), count(*frames)]));
    let meanings = dropped.into_iter().map(|(.., meaning)| meaning);
    let meanings = ["because".to_owned()].into_iter().chain(meanings);
    let numbers = columns(&rows, 1);
    numbers
        .lines()
        .zip(meanings)
        .map(|(line, meaning)| fold(&format!("{line}  {meaning}"), line.len() + 2))
        .collect()
}

/// What a counter counts, without the words that its table says anyway.
pub(crate) fn about(counter: Counter) -> &'static str {
    let about = counter.about();
    let about = about.trim_start_matches("Dropped: ").trim_start_matches("Not sent: ");
    let end = about.find(" (").unwrap_or(about.len());
    about[..end].trim_end_matches('.')
}

fn addresses(addresses: &[Address]) -> String {
    if addresses.is_empty() {
        return String::new();
    }
    let mut rows = vec![["address".to_owned(), "port".into(), "silent for".into()]];
    let line = |address: &Address| {
        [
            address.mac.to_string(),
            address.port.clone(),
            format!("{:.1} s", address.age.as_secs_f64()),
        ]
    };
    rows.extend(addresses.iter().take(ADDRESSES_SHOWN_MAX).map(line));
    let mut text = format!("\n{}", columns(&rows, 2));
    if addresses.len() > ADDRESSES_SHOWN_MAX {
        let more = count((addresses.len() - ADDRESSES_SHOWN_MAX) as u64);
        text += &format!("and {more} more; --json has all of them\n");
    }
    text
}

/// Lines of cells in columns as wide as they must be, the first `left` of them flush left.
pub(crate) fn columns<const N: usize>(rows: &[[String; N]], left: usize) -> String {
    let width = |column: usize| {
        rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default()
    };
    let widths: [usize; N] = std::array::from_fn(width);
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
            let gap = if column > 0 { "  " } else { "" };
            // Writing into a string does not fail.
            let _ = if column < left {
                write!(line, "{gap}{cell:<width$}")
            } else {
                write!(line, "{gap}{cell:>width$}")
            };
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}

/// A line, folded between words where it gets too long; what follows is indented.
pub(crate) fn fold(line: &str, indent: usize) -> String {
    let head = line.len() - line[indent.min(line.len())..].trim_start().len();
    let (mut text, mut column) = (line[..head].to_owned(), head);
    for (index, word) in line[head..].split(' ').enumerate() {
        let length = word.chars().count();
        if index > 0 && column + 1 + length > WIDTH {
            text += &format!("\n{:indent$}", "");
            column = indent;
        } else if index > 0 {
            text.push(' ');
            column += 1;
        }
        text += word;
        column += length;
    }
    text.push('\n');
    text
}

/// A number as people read it: exact with separators up to ten million, then four digits of it.
pub(crate) fn count(number: u64) -> String {
    const EXACT_MAX: u64 = 9_999_999;
    if number <= EXACT_MAX {
        let digits = number.to_string();
        let groups: Vec<_> =
            digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
        return groups.join(",");
    }
    let mut value = number as f64 / 1e6;
    let mut units = ["M", "G", "T", "P", "E"].into_iter();
    let mut unit = units.next().unwrap_or_default();
    // 999.95 would be rounded to 1000.0.
    while value >= 999.95 {
        let Some(next) = units.next() else { break };
        (value, unit) = (value / 1e3, next);
    }
    let decimals = if value < 10.0 {
        3
    } else if value < 100.0 {
        2
    } else {
        1
    };
    format!("{value:.decimals$} {unit}")
}

#[cfg(test)]
mod tests {
    use uswitch::port::{KernelDrops, PortId};

    use super::*;

    fn status() -> Status {
        let stats = |numbers: &[(Counter, u64)]| {
            let mut stats = PortStats::default();
            numbers.iter().for_each(|(counter, count)| stats.add(*counter, *count));
            stats
        };
        let port = |index, name: &str, numbers: &[(Counter, u64)]| PortReport {
            port: PortId::new(index),
            name: name.into(),
            attached: true,
            stats: stats(numbers),
            kernel: KernelDrops::default(),
        };
        let mut ports = vec![
            port(
                0,
                "tap0",
                &[
                    (Counter::RxFrames, 1_234_567),
                    (Counter::RxOctets, 81_234_567_890),
                    (Counter::RxForwarded, 1_234_561),
                    (Counter::RxFlooded, 3),
                    (Counter::RxCopies, 3),
                    (Counter::FilterDetached, 3),
                ],
            ),
            port(
                1,
                "tap1",
                &[
                    (Counter::TxFrames, 1_234_560),
                    (Counter::TxOctets, 81_234_560_000),
                    (Counter::TxFull, 4),
                ],
            ),
        ];
        ports[1].kernel.tx = 2005;
        Status {
            report: Report { ports, fdb_used: 2, fdb_size: 65_536 },
            router: Vec::new(),
            addresses: Some(vec![Address {
                mac: Mac::new([2, 0, 0, 0, 0, 1]),
                port: "tap0".into(),
                age: Duration::from_millis(1500),
            }]),
            elapsed: Duration::from_secs(2),
            workers: 2,
            running: false,
        }
    }

    #[test]
    fn tables_are_aligned_and_eighty_columns_wide() {
        let text = status().render(false);
        let expected = "\
after 2.0 s:

port   rx frames  rx octets  tx frames  tx octets  flooded  rx drops  tx drops
tap0   1,234,567    81.23 G          0          0        3         3         0
tap1           0          0  1,234,560    81.23 G        0         0         4
total  1,234,567    81.23 G  1,234,560    81.23 G        3         3         4

dropped          frames  because
filter_detached       3  the destination was behind a port that is just being
                         removed
tx_full               4  the port had no room
tap1: the kernel dropped 0 before us, 2,005 behind us
learned addresses: 2 of 65,536

address            port  silent for
02:00:00:00:00:01  tap0       1.5 s
";
        assert_eq!(text, expected);
        assert!(text.lines().all(|line| line.len() <= WIDTH));
    }

    #[test]
    fn json_is_one_line_with_every_counter_by_its_name() {
        let text = status().render(true);
        assert_eq!(text.lines().count(), 1);
        let json: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
        for counter in Counter::ALL {
            assert!(json["ports"][0][counter.name()].is_u64(), "{counter:?}");
            assert!(json["total"][counter.name()].is_u64(), "{counter:?}");
        }
        assert_eq!(json["ports"][1]["name"], "tap1");
        assert_eq!(json["ports"][1]["kernel_tx_dropped"], 2005);
        assert_eq!(json["total"]["rx_frames"], 1_234_567);
        assert_eq!(json["fdb"]["entries"][0]["mac"], "02:00:00:00:00:01");
        assert_eq!((&json["fdb"]["used"], &json["running"]), (&2.into(), &false.into()));
    }

    #[test]
    fn numbers_are_exact_while_they_are_short() {
        let cases = [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (9_999_999, "9,999,999"),
            (10_000_000, "10.00 M"),
            (999_949_999, "999.9 M"),
            (999_950_000, "1.000 G"),
            (81_234_567_890, "81.23 G"),
            (u64::MAX, "18.447 E"),
        ];
        for (number, text) in cases {
            assert_eq!(count(number), text.replace("18.447", "18.45"));
        }
    }

    #[test]
    fn nothing_dropped_is_said() {
        assert_eq!(drops(&PortStats::default(), &[]), "no frame was dropped\n");
    }
}

//! What `top` shows: answers go in, rates come out. Pure: no clock, no socket, no terminal.

use std::{collections::VecDeque, time::Duration};

use uswitch::stats::{Counter, PortStats};

use crate::program::{
    control::{PortRow, Show},
    output::one_line,
    report::router::{RouterRow, RowKind},
};

/// Looks that a port's line of the past has: a minute, at one a second.
const HISTORY_MAX: usize = 60;
/// Characters of a filter.
pub(super) const FILTER_MAX: usize = 40;

/// What one look at the switch has found.
pub(super) struct Sample {
    /// Since some start that is the same for all.
    pub(super) at: Duration,
    pub(super) show: Show,
    pub(super) ports: Vec<PortRow>,
    pub(super) workers: Vec<Worker>,
}

/// A worker, and for how long it has had a processor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Worker {
    pub(super) number: usize,
    pub(super) busy_s: f64,
}

/// By what the ports are sorted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Sort {
    #[default]
    Name,
    Received,
    Sent,
    Drops,
}

/// A port, by the second.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) state: String,
    /// Frames and bits received and sent.
    pub(super) rx: Rate,
    pub(super) tx: Rate,
    /// Frames dropped, by reason; those that are 0 are left out.
    pub(super) drops: Vec<(Counter, f64)>,
    /// Frames received and sent a second, look by look.
    pub(super) history: VecDeque<f64>,
}

/// Frames and bits a second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Rate {
    pub(super) frames: f64,
    pub(super) bits: f64,
}

/// What the router does, packets by the second.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct RouterRate {
    pub(super) received: f64,
    pub(super) forwarded: f64,
    pub(super) dropped: f64,
    /// For which reason most of them.
    pub(super) mostly: Option<String>,
}

impl Row {
    /// All frames dropped a second.
    pub(super) fn dropped(&self) -> f64 {
        // Not `sum`: that of nothing is -0.
        self.drops.iter().fold(0.0, |sum, (_, rate)| sum + rate)
    }
}

/// Everything that is shown.
pub(super) struct Model {
    pub(super) colours: bool,
    pub(super) sort: Sort,
    pub(super) filter: String,
    /// What is typed goes to the filter.
    pub(super) filtering: bool,
    pub(super) help: bool,
    /// So many rows are above the screen.
    pub(super) first: usize,
    /// Why there is no switch.
    pub(super) lost: Option<String>,
    /// The share of a processor that each worker has had.
    pub(super) loads: Vec<f64>,
    /// `None`: there is no router, or only one look at it.
    pub(super) router: Option<RouterRate>,
    rows: Vec<Row>,
    last: Option<Sample>,
}

impl Model {
    /// Nothing yet.
    pub(super) fn new(colours: bool) -> Model {
        Model {
            colours,
            sort: Sort::default(),
            filter: String::new(),
            filtering: false,
            help: false,
            first: 0,
            lost: None,
            loads: Vec::new(),
            router: None,
            rows: Vec::new(),
            last: None,
        }
    }

    /// The last answer.
    pub(super) fn show(&self) -> Option<&Show> {
        self.last.as_ref().map(|sample| &sample.show)
    }

    /// Takes an answer. What it differs from the one before, by the time between them, are rates.
    pub(super) fn take(&mut self, sample: Sample) {
        self.lost = None;
        // Another process counts from 0.
        let same = |last: &Sample| last.show.pid == sample.show.pid;
        let last = self.last.take().filter(same);
        if last.is_none() {
            self.rows.clear();
        }
        let elapsed = last.as_ref().map(|last| sample.at.saturating_sub(last.at).as_secs_f64());
        let elapsed = elapsed.filter(|elapsed| *elapsed > 0.0);
        let rows = sample.ports.iter().map(|port| {
            let before = last.as_ref().and_then(|last| {
                let same = |old: &&PortRow| old.ifname == port.ifname && index(old) == index(port);
                stats(last.ports.iter().find(same)?)
            });
            let name = one_line(&port.ifname);
            let past = self.rows.iter_mut().find(|row| row.name == name);
            let history = past.map(|row| std::mem::take(&mut row.history)).unwrap_or_default();
            row(name, port, before.zip(elapsed), history)
        });
        self.rows = rows.collect();
        self.loads = match (&last, elapsed) {
            (Some(last), Some(elapsed)) => loads(&last.workers, &sample.workers, elapsed),
            _ => Vec::new(),
        };
        self.router = last
            .as_ref()
            .zip(elapsed)
            .and_then(|(last, elapsed)| router(&last.show.router, &sample.show.router, elapsed));
        self.last = Some(sample);
    }

    /// There is no switch to be asked.
    pub(super) fn lose(&mut self, why: &str) {
        self.lost = Some(one_line(why.lines().next().unwrap_or_default()));
        for row in &mut self.rows {
            *row = Row { name: row.name.clone(), state: "-".to_owned(), ..Row::default() };
        }
        self.loads.clear();
        self.router = None;
    }

    /// The ports that are wanted, in the order that is.
    pub(super) fn rows(&self) -> Vec<&Row> {
        let mut rows: Vec<_> =
            self.rows.iter().filter(|row| row.name.contains(&*self.filter)).collect();
        let by = |row: &Row| match self.sort {
            Sort::Name => 0.0,
            Sort::Received => row.rx.frames,
            Sort::Sent => row.tx.frames,
            Sort::Drops => row.dropped(),
        };
        // Of equals the first by name: else they would dance.
        rows.sort_by(|one, other| by(other).total_cmp(&by(one)).then(one.name.cmp(&other.name)));
        rows
    }
}

fn stats(port: &PortRow) -> Option<PortStats> {
    port.counts.as_ref().map(|counts| counts.counters.0)
}

fn index(port: &PortRow) -> Option<usize> {
    port.counts.as_ref().map(|counts| counts.index)
}

fn row(
    name: String,
    port: &PortRow,
    before: Option<(PortStats, f64)>,
    mut history: VecDeque<f64>,
) -> Row {
    let rate = |counter| {
        let (Some(now), Some((before, elapsed))) = (stats(port), before) else { return 0.0 };
        now.get(counter).saturating_sub(before.get(counter)) as f64 / elapsed
    };
    let way = |frames, octets| Rate { frames: rate(frames), bits: rate(octets) * 8.0 };
    let rx = way(Counter::RxFrames, Counter::RxOctets);
    let tx = way(Counter::TxFrames, Counter::TxOctets);
    let reasons = Counter::ALL.iter().filter(|counter| counter.is_drop());
    let drops = reasons.map(|counter| (*counter, rate(*counter))).filter(|(_, rate)| *rate > 0.0);
    if before.is_some() {
        if history.len() == HISTORY_MAX {
            history.pop_front();
        }
        history.push_back(rx.frames + tx.frames);
    }
    Row { name, state: port.operstate.clone(), rx, tx, drops: drops.collect(), history }
}

fn loads(before: &[Worker], now: &[Worker], elapsed: f64) -> Vec<f64> {
    let load = |worker: &Worker| {
        let old = before.iter().find(|old| old.number == worker.number)?;
        Some(((worker.busy_s - old.busy_s) / elapsed).clamp(0.0, 1.0))
    };
    now.iter().filter_map(load).collect()
}

/// What was routed between two looks. `None`: there is no router.
fn router(before: &[RouterRow], now: &[RouterRow], elapsed: f64) -> Option<RouterRate> {
    let rate = |row: &RouterRow| {
        let old = before.iter().find(|old| old.name == row.name)?;
        Some(row.count.saturating_sub(old.count) as f64 / elapsed)
    };
    let of = |name: &str| rate(now.iter().find(|row| row.name == name)?);
    let drops = now.iter().filter(|row| row.kind == RowKind::Drop);
    let drops = drops.filter_map(|row| Some((row, rate(row)?))).filter(|(_, rate)| *rate > 0.0);
    let drops: Vec<_> = drops.collect();
    let most = drops.iter().max_by(|(_, one), (_, other)| one.total_cmp(other));
    Some(RouterRate {
        received: of("received")?,
        forwarded: of("forwarded")?,
        // Not `sum`: that of nothing is -0.
        dropped: drops.iter().fold(0.0, |sum, (_, rate)| sum + rate),
        mostly: most.map(|(row, _)| one_line(&row.name)),
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::program::control::{Counters, Counts};

    /// A look at this second: ports with frames received, sent, and dropped for want of room.
    pub(in super::super) fn sample(pid: u32, at: u64, ports: &[(&str, u64, u64, u64)]) -> Sample {
        let port = |(index, (name, rx, tx, full)): (usize, &(&str, u64, u64, u64))| {
            let mut stats = PortStats::default();
            stats.add(Counter::RxFrames, *rx);
            stats.add(Counter::RxOctets, 100 * rx);
            stats.add(Counter::TxFrames, *tx);
            stats.add(Counter::TxOctets, 100 * tx);
            stats.add(Counter::TxFull, *full);
            let counters = Counters(stats);
            let counts = Counts { index, counters, kernel_rx_dropped: 0, kernel_tx_dropped: 0 };
            let text = format!("{{\"ifname\":\"{name}\",\"operstate\":\"UP\"}}");
            PortRow { counts: Some(counts), ..serde_json::from_str(&text).unwrap() }
        };
        let show = format!(
            "{{\"name\":\"lab\",\"version\":\"0\",\"pid\":{pid},\"elapsed_s\":{at},\"workers\":2,\
             \"fdb\":{{\"used\":3,\"size\":65536}}}}"
        );
        let busy_s = at as f64 / 4.0;
        Sample {
            at: Duration::from_secs(at),
            show: serde_json::from_str(&show).unwrap(),
            ports: ports.iter().enumerate().map(port).collect(),
            workers: vec![Worker { number: 0, busy_s }, Worker { number: 1, busy_s: 0.0 }],
        }
    }

    fn names(model: &Model) -> Vec<&str> {
        model.rows().iter().map(|row| &*row.name).collect()
    }

    #[test]
    fn rates_are_differences_by_the_time_between() {
        let mut model = Model::new(false);
        model.take(sample(1, 10, &[("a", 1000, 0, 0)]));
        assert_eq!(model.rows()[0].rx, Rate::default(), "one look tells no rate");
        model.take(sample(1, 12, &[("a", 1500, 200, 30)]));
        let row = model.rows()[0].clone();
        assert_eq!(row.rx, Rate { frames: 250.0, bits: 200_000.0 });
        assert_eq!(row.tx, Rate { frames: 100.0, bits: 80_000.0 });
        assert_eq!(row.drops, [(Counter::TxFull, 15.0)]);
        assert_eq!((row.history, &*model.loads), (VecDeque::from([350.0]), &[0.25, 0.0][..]));
    }

    /// The same of a switch with a router that counts so.
    pub(in super::super) fn routed(pid: u32, at: u64, counts: [u64; 4]) -> Sample {
        let rows = [
            ("received", RowKind::Packets),
            ("forwarded", RowKind::Packets),
            ("ttl", RowKind::Drop),
            ("no_route", RowKind::Drop),
        ];
        let row = |((name, kind), count): ((&str, RowKind), u64)| {
            let (name, about) = (name.to_owned(), String::new());
            RouterRow { name, about, kind, count }
        };
        let mut sample = sample(pid, at, &[]);
        sample.show.router = rows.into_iter().zip(counts).map(row).collect();
        sample
    }

    #[test]
    fn router_is_told_by_the_second() {
        let mut model = Model::new(false);
        model.take(routed(1, 1, [10, 5, 5, 0]));
        assert_eq!(model.router, None, "one look tells no rate");
        model.take(routed(1, 3, [110, 65, 15, 30]));
        let mostly = Some("no_route".to_owned());
        let expected = RouterRate { received: 50.0, forwarded: 30.0, dropped: 20.0, mostly };
        assert_eq!(model.router, Some(expected));
        model.take(routed(1, 4, [110, 65, 15, 30]));
        assert_eq!(model.router, Some(RouterRate::default()));
        model.take(routed(2, 5, [1, 1, 0, 0]));
        assert_eq!(model.router, None, "another switch");
    }

    #[test]
    fn switch_that_is_started_again_counts_from_nothing() {
        let mut model = Model::new(false);
        model.take(sample(1, 1, &[("a", 1000, 0, 0)]));
        model.take(sample(1, 2, &[("a", 2000, 0, 0)]));
        model.lose("the switch has hung up\nand so on");
        assert_eq!(model.lost.as_deref(), Some("the switch has hung up"));
        assert_eq!((model.rows()[0].rx.frames, &*model.rows()[0].state), (0.0, "-"));
        model.take(sample(2, 3, &[("a", 5000, 0, 0)]));
        assert_eq!((model.rows()[0].rx.frames, model.lost.is_none()), (0.0, true));
    }

    #[test]
    fn ports_are_sorted_filtered_and_their_past_is_bounded() {
        let mut model = Model::new(false);
        for at in 0..2 * HISTORY_MAX as u64 {
            let ports = [("tap0", at, 9 * at, 0), ("tap1", 5 * at, at, at), ("vm", at, 0, 3 * at)];
            model.take(sample(1, at, &ports));
        }
        for (sort, wanted) in [
            (Sort::Name, ["tap0", "tap1", "vm"]),
            (Sort::Received, ["tap1", "tap0", "vm"]),
            (Sort::Sent, ["tap0", "tap1", "vm"]),
            (Sort::Drops, ["vm", "tap1", "tap0"]),
        ] {
            model.sort = sort;
            assert_eq!(names(&model), wanted, "{sort:?}");
        }
        model.filter = "tap".to_owned();
        assert_eq!(names(&model), ["tap1", "tap0"]);
        assert_eq!(model.rows()[0].history.len(), HISTORY_MAX);
    }
}

//! What the control loop answers. It owns the plugs and the handle, so nothing here waits for
//! anybody, and nothing is between: a request is done when it is answered.

mod config;
mod explain;
mod neighbours;
mod routing;
mod set;
mod statics;

use std::{
    process,
    time::{Duration, Instant},
};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uswitch::{
    bridge::VLAN_UNAWARE,
    fdb::Entry,
    frame::Mac,
    plug::{Change, Plugs},
    port::{KernelDrops, PortId, any::AnyPort},
    stats::{Counter, PortStats},
    switch::{Handle, PortReport},
    topology::{Faults, PortKind, PortSpec, Topology, Words, check_bridges, check_twice},
};

pub(crate) use self::{
    config::{ConfigPage, statics},
    neighbours::{NeighbourPage, NeighbourRow},
    routing::{AddressRow, HopRow, LegPage, LegRow, RoutePage, RouteRow},
};
use super::{
    Captures, Event, PAGE_OCTETS,
    request::{Answer, Request},
};
use crate::program::{open, run::router::Router};

/// The answer to `show`.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Show {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) pid: u32,
    pub(crate) elapsed_s: f64,
    pub(crate) workers: usize,
    pub(crate) fdb: ShowFdb,
}

/// How full the forwarding database is.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct ShowFdb {
    pub(crate) used: usize,
    pub(crate) size: usize,
}

/// A port, or a plug that has none.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct PortRow {
    pub(crate) ifname: String,
    /// As RFC 2863 has it: `UP`, `DORMANT` (it waits for something), `NOTPRESENT` (it has left,
    /// and does not come back).
    pub(crate) operstate: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) mtu: Option<u32>,
    /// The kind of its spec.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) kind: Option<String>,
    /// The name under which it can be deleted, if that is another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) plug: Option<String>,
    /// For what it waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) waits_for: Option<String>,
    /// What a port has that is, or was, in the switch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) counts: Option<Counts>,
}

/// What was counted for a port.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Counts {
    /// Its number in the switch.
    pub(crate) index: usize,
    pub(crate) counters: Counters,
    pub(crate) kernel_rx_dropped: u64,
    pub(crate) kernel_tx_dropped: u64,
}

/// Counters by their names.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counters(pub(crate) PortStats);

/// The answer to `port.show` and `port.del`.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(crate) struct PortPage {
    pub(crate) ports: Vec<PortRow>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) next: Option<usize>,
}

/// The answer to `port.add` and `port.set`.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Told {
    pub(crate) told: Vec<String>,
}

/// A known address, by the keys of `bridge -j fdb`.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct FdbRow {
    pub(crate) mac: String,
    pub(crate) ifname: String,
    /// 0, and left out: the bridge does not mind VLANs.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) vlan: u16,
    /// `static`, or empty: it was learned.
    pub(crate) state: String,
    /// Seconds since it was heard, or said.
    pub(crate) updated: f64,
    /// Static, and its port is away.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) absent: bool,
}

/// The answer to `fdb.show`, `fdb.get`, `fdb.add` and `fdb.del`.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(crate) struct FdbPage {
    pub(crate) entries: Vec<FdbRow>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) next: Option<usize>,
}

/// The answer to `fdb.flush`.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Flushed {
    pub(crate) flushed: usize,
}

/// What the control loop lends for an answer.
pub(crate) struct Steered<'a> {
    pub(crate) name: &'a str,
    /// What it was told to be.
    pub(crate) topology: &'a mut Topology,
    pub(crate) router: &'a mut Router,
    pub(crate) plugs: &'a mut Plugs,
    pub(crate) handle: &'a mut Handle<AnyPort>,
    pub(crate) started: Instant,
    pub(crate) captures: &'a mut Captures,
    /// What has changed by it.
    pub(crate) changes: Vec<Change>,
    /// What was done for it beside that.
    pub(crate) news: Vec<Event>,
}

impl Steered<'_> {
    /// Does what is asked.
    pub(crate) fn answer(&mut self, request: &Request) -> Answer {
        match request {
            Request::Show {} => json(&self.show()),
            Request::PortShow { port, all, from } => {
                let rows = self.rows(port.as_deref(), *all)?;
                json(&self.page(&rows, *from))
            }
            Request::PortAdd { spec } => json(&self.add(spec)?),
            Request::PortDel { port } => json(&self.remove(port)?),
            Request::PortSet { port, set } => json(&self.set(port, set)?),
            Request::Config { from } => json(&self.config(*from)),
            Request::RouteShow { from } => json(&self.routes(*from)),
            Request::RouteGet { address } => json(&self.route(address)?),
            Request::RouteAdd { spec } => json(&self.add_route(spec)?),
            Request::RouteDel { spec } => json(&self.del_route(spec)?),
            Request::LegShow {} => json(&self.legs()),
            Request::NeighShow { leg, from } => json(&self.neighbours(leg.as_deref(), *from)?),
            Request::NeighAdd { address, mac, leg } => json(&self.neigh_add(address, mac, leg)?),
            Request::NeighDel { address, leg } => json(&self.neigh_del(address, leg.as_deref())?),
            Request::NeighFlush { leg } => json(&self.neigh_flush(leg.as_deref())?),
            Request::Reload {} => Err("the control loop answers this itself".to_owned()),
            Request::FdbShow { port, from } => json(&self.fdb(port.as_deref(), *from)?),
            Request::FdbGet { mac } => json(&self.find(mac)?),
            Request::FdbAdd { mac, port } => json(&self.add_static(mac, port)?),
            Request::FdbDel { mac, port } => json(&self.del_station(mac, port.as_deref())?),
            Request::FdbFlush { port } => json(&self.flush(port.as_deref())?),
            Request::Explain { from, frame, gso } => json(&self.explain(from, frame, *gso)?),
            Request::Capture { .. } | Request::Monitor { .. } => {
                Err("the control loop answers this itself".to_owned())
            }
        }
    }

    fn show(&self) -> Show {
        Show {
            name: self.name.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: process::id(),
            elapsed_s: self.started.elapsed().as_secs_f64(),
            workers: self.topology.switch.workers,
            fdb: ShowFdb {
                used: self.handle.fdb().used(),
                size: self.topology.switch.fdb.size as usize,
            },
        }
    }

    /// What there is to show: plugs in the order in which they came, each port of theirs, or
    /// themselves if they have none; then what has left.
    fn rows(&self, name: Option<&str>, all: bool) -> Result<Vec<Row<'_>>, String> {
        let mut rows = Vec::new();
        for (spec, ports) in self.plugs.specs() {
            let wanted = |port: PortId| {
                name.is_none_or(|name| spec.name == name || self.handle.name(port) == Some(name))
            };
            rows.extend(ports.iter().filter(|port| wanted(**port)).map(|p| Row::Port(spec, *p)));
            if ports.is_empty() && name.is_none_or(|name| spec.name == name) {
                rows.push(Row::Plug(spec));
            }
        }
        match name {
            Some(name) if rows.is_empty() => Err(self.unknown(name)),
            _ if all => {
                rows.extend(self.handle.departed().iter().map(Row::Departed));
                Ok(rows)
            }
            _ => Ok(rows),
        }
    }

    /// Whether there is a port or a plug of this name.
    pub(super) fn check_port(&self, name: &str) -> Result<(), String> {
        self.rows(Some(name), false).map(drop)
    }

    fn page(&self, rows: &[Row<'_>], from: usize) -> PortPage {
        let (mut page, mut octets) = (PortPage::default(), 0);
        for (index, row) in rows.iter().enumerate().skip(from) {
            if octets >= PAGE_OCTETS {
                page.next = Some(index);
                break;
            }
            let told = self.tell(row);
            octets += json(&told).map_or(0, |text| text.len());
            page.ports.push(told);
        }
        page
    }

    fn tell(&self, row: &Row<'_>) -> PortRow {
        let (spec, report, mtu) = match row {
            Row::Port(spec, port) => (Some(*spec), self.handle.port(*port), self.handle.mtu(*port)),
            Row::Plug(spec) => (Some(*spec), None, spec.mtu),
            Row::Departed(report) => (None, Some((*report).clone()), None),
        };
        let waits_for = match row {
            Row::Plug(spec) => self.plugs.waits_for(&spec.name),
            _ => None,
        };
        let operstate = match (&report, waits_for) {
            (Some(report), _) if report.attached => "UP",
            (_, Some(_)) => "DORMANT",
            _ => "NOTPRESENT",
        };
        let name = report.as_ref().map(|report| &report.name);
        let name = name.or(spec.map(|spec| &spec.name)).cloned().unwrap_or_default();
        PortRow {
            operstate: operstate.to_owned(),
            mtu,
            kind: spec.map(|spec| kind(&spec.kind).to_owned()),
            plug: spec.map(|spec| &spec.name).filter(|plug| **plug != name).cloned(),
            waits_for: waits_for.map(str::to_owned),
            counts: report.map(|report| Counts {
                index: report.port.index(),
                counters: Counters(report.stats),
                kernel_rx_dropped: report.kernel.rx,
                kernel_tx_dropped: report.kernel.tx,
            }),
            ifname: name,
        }
    }

    /// Opens a port and plugs it in, with the defaults that the others have.
    fn add(&mut self, spec: &str) -> Result<Told, String> {
        let Topology { defaults, switch, .. } = &*self.topology;
        let words = Words {
            port: vec![spec.to_owned()],
            mtu: defaults.mtu.map(|mtu| mtu.to_string()),
            persist: defaults.persist,
            fdb_size: Some(switch.fdb.size.to_string()),
            ..Words::default()
        };
        let topology = Topology::resolve(&words, &[0]).map_err(|faults| lines(&faults))?;
        let mut faults = Faults::default();
        let there = self.plugs.specs().map(|(spec, _)| spec);
        let all: Vec<_> = there.chain(&topology.ports).cloned().collect();
        check_twice(&all, &mut faults);
        check_bridges(&all, &self.topology.legs, &mut faults);
        if !faults.is_empty() {
            return Err(lines(&faults));
        }
        open::open_more(self.plugs, &topology.ports, switch.workers)
            .map_err(|failures| failures.join("\n"))?;
        match self.plugs.plug_in(self.handle) {
            Ok(changes) => {
                self.changes.extend(changes);
                Ok(Told { told: self.changes.iter().map(Change::to_string).collect() })
            }
            Err(error) => {
                for PortSpec { name, .. } in &topology.ports {
                    self.plugs.remove(name, self.handle);
                }
                Err(format!("the port was not plugged in: {}", netlab::reason(&error)))
            }
        }
    }

    fn remove(&mut self, name: &str) -> Result<PortPage, String> {
        let statics = self.statics_of(name);
        if let Some(reports) = self.plugs.remove(name, self.handle) {
            for station in statics {
                self.handle.del_static(station);
            }
            self.news.push(Event::removed(name));
            let ports = reports.iter().map(|report| self.tell(&Row::Departed(report))).collect();
            return Ok(PortPage { ports, next: None });
        }
        Err(match self.plug_of(name) {
            Some(plug) => format!(
                "`{name}` is a client of `{plug}` and leaves when it likes; `{plug}` can be deleted"
            ),
            None => self.unknown(name),
        })
    }

    /// The name of the plug of which this is a client.
    fn plug_of(&self, name: &str) -> Option<&str> {
        let client = |(_, ports): &(&PortSpec, &[PortId])| {
            ports.iter().any(|port| self.handle.name(*port) == Some(name))
        };
        Some(&self.plugs.specs().find(client)?.0.name)
    }

    fn fdb(&self, port: Option<&str>, from: usize) -> Result<FdbPage, String> {
        let ports = port.map(|name| self.ports(name)).transpose()?;
        let (mut page, mut octets, mut last) = (FdbPage::default(), 0, from);
        if from == 0 {
            // They are few, and in no bucket.
            page.entries.extend(self.absent().filter(|row| port.is_none_or(|p| row.ifname == p)));
        }
        for (bucket, entry) in self.handle.fdb().entries_from(from, self.handle.now()) {
            // A bucket is told whole, so that the next page begins with another.
            if octets >= PAGE_OCTETS && bucket != last {
                page.next = Some(bucket);
                break;
            }
            last = bucket;
            if ports.as_ref().is_none_or(|ports| ports.contains(&entry.port)) {
                let row = self.row(&entry);
                octets += json(&row).map_or(0, |text| text.len());
                page.entries.push(row);
            }
        }
        Ok(page)
    }

    fn find(&self, mac: &str) -> Result<FdbPage, String> {
        let wanted: Mac = mac.parse().map_err(|error| format!("mac `{mac}`: {error}"))?;
        let entries = self.handle.fdb().entries(self.handle.now());
        let entries = entries.filter(|entry| entry.mac == wanted);
        let absent = self.absent().filter(|row| row.mac == wanted.to_string());
        let entries = entries.map(|entry| self.row(&entry)).chain(absent).collect();
        let page = FdbPage { entries, next: None };
        if page.entries.is_empty() {
            return Err(format!("{wanted} is not known: frames for it are flooded"));
        }
        Ok(page)
    }

    fn flush(&self, port: Option<&str>) -> Result<Flushed, String> {
        let fdb = self.handle.fdb();
        let before = fdb.used();
        match port {
            None => fdb.flush(None),
            Some(name) => self.ports(name)?.into_iter().for_each(|port| fdb.flush(Some(port))),
        }
        // What was learned meanwhile may have made up for it.
        Ok(Flushed { flushed: before.saturating_sub(fdb.used()) })
    }

    fn row(&self, entry: &Entry) -> FdbRow {
        FdbRow {
            mac: entry.mac.to_string(),
            ifname: self.handle.name(entry.port).unwrap_or("?").to_owned(),
            vlan: VLAN_UNAWARE,
            state: statics::state(entry.is_static),
            updated: entry.age.as_secs_f64(),
            absent: false,
        }
    }

    /// The ports in the switch that have this name, or belong to the plug of this name.
    fn ports(&self, name: &str) -> Result<Vec<PortId>, String> {
        let rows = self.rows(Some(name), false)?;
        let ports = rows.iter().filter_map(|row| match row {
            Row::Port(_, port) => Some(*port),
            _ => None,
        });
        Ok(ports.collect())
    }

    fn unknown(&self, name: &str) -> String {
        let names = self.plugs.specs().map(|(spec, _)| spec.name.as_str());
        let name = name.escape_debug().to_string();
        match uswitch::topology::nearest(&name, names) {
            Some(near) => format!("there is no port `{name}`; did you mean `{near}`?"),
            None => format!("there is no port `{name}`; `uswitch port show` lists them"),
        }
    }
}

/// What a row of ports is about.
enum Row<'a> {
    /// A port in the switch.
    Port(&'a PortSpec, PortId),
    /// A plug without one.
    Plug(&'a PortSpec),
    /// A port that has left.
    Departed(&'a PortReport),
}

impl PortRow {
    /// The port as the switch reported it. `None`: it was never in the switch.
    pub(crate) fn report(&self) -> Option<PortReport> {
        let Counts { index, counters, kernel_rx_dropped, kernel_tx_dropped } =
            self.counts.clone()?;
        Some(PortReport {
            port: PortId::new(index.min(uswitch::port::PORTS_MAX - 1)),
            name: self.ifname.clone(),
            attached: self.operstate == "UP",
            stats: counters.0,
            kernel: KernelDrops { rx: kernel_rx_dropped, tx: kernel_tx_dropped },
        })
    }
}

impl FdbRow {
    /// How long it has been silent.
    pub(crate) fn age(&self) -> Duration {
        Duration::try_from_secs_f64(self.updated).unwrap_or_default()
    }
}

impl Serialize for Counters {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(counter, count)| (counter.name(), count)))
    }
}

impl<'de> Deserialize<'de> for Counters {
    /// Counters that we do not know are left out, those that are not there are 0: the switch may
    /// be of another version.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Counters, D::Error> {
        let counts = std::collections::HashMap::<String, u64>::deserialize(deserializer)?;
        let mut stats = PortStats::default();
        for counter in Counter::ALL {
            stats.add(*counter, counts.get(counter.name()).copied().unwrap_or_default());
        }
        Ok(Counters(stats))
    }
}

/// The name of a kind, as it stands in front of a spec.
fn kind(kind: &PortKind) -> &'static str {
    match kind {
        PortKind::Tap(_) => "tap",
        PortKind::Packet(_) => "packet",
        PortKind::Macvtap(_) => "macvtap",
        PortKind::Macvlan(_) => "macvlan",
        PortKind::Veth(_) => "veth",
        PortKind::Host(_) => "host",
        PortKind::Stream(_) => "stream",
        PortKind::Dgram(_) => "dgram",
        PortKind::Udp(_) => "udp",
        PortKind::Vde(_) => "vde",
        PortKind::Pcap(_) => "pcap",
        PortKind::Tun(_) => "tun",
    }
}

fn json(value: &impl Serialize) -> Answer {
    Ok(serde_json::to_string(value).expect("names, numbers and lists of them"))
}

fn lines(faults: &Faults) -> String {
    faults.iter().collect::<Vec<_>>().join("\n")
}

fn is_zero(vlan: &u16) -> bool {
    *vlan == 0
}

#[cfg(test)]
mod tests {
    use uswitch::topology::KINDS;

    use super::*;

    #[test]
    fn every_kind_is_told_by_the_name_under_which_it_is_given() {
        for there in KINDS {
            let spec: PortSpec = there.example.parse().unwrap();
            assert_eq!(kind(&spec.kind), there.name);
        }
    }

    #[test]
    fn counters_come_back_by_their_names() {
        let mut stats = PortStats::default();
        Counter::ALL.iter().zip(1..).for_each(|(counter, count)| stats.add(*counter, count));
        let text = serde_json::to_string(&Counters(stats)).unwrap();
        let Counters(back) = serde_json::from_str(&text).unwrap();
        assert_eq!(back, stats);
        let Counters(other) = serde_json::from_str(r#"{"tx_new":7,"rx_frames":3}"#).unwrap();
        assert_eq!((other.get(Counter::RxFrames), other.get(Counter::TxFrames)), (3, 0));
    }
}

//! `port.show`, `port.add` and `port.del`: the ports, and the plugs that have none yet.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uswitch::{
    plug::Change,
    port::{KernelDrops, PortId},
    stats::{Counter, PortStats},
    switch::PortReport,
    topology::{PortKind, PortSpec, Topology, Words},
};

use super::{PAGE_OCTETS, Steered, json, lines};
use crate::program::{control::Event, open};

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

/// What a leg's port is, where others have the kind of their spec.
const LEG: &str = "leg";

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

impl Steered<'_> {
    /// A page of what there is to show, with `all` also of what has left.
    pub(super) fn port_page(
        &self,
        name: Option<&str>,
        all: bool,
        from: usize,
    ) -> Result<PortPage, String> {
        Ok(self.page(&self.rows(name, all)?, from))
    }

    /// What there is to show: plugs in the order in which they came, each port of theirs, or
    /// themselves if they have none; then legs, and what has left.
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
        let legs = self.router.ports().filter(|port| self.handle.name(*port).is_some());
        let wanted = |port: PortId| name.is_none() || self.handle.name(port) == name;
        rows.extend(legs.filter(|port| wanted(*port)).map(Row::Leg));
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
    pub(in crate::program::control) fn check_port(&self, name: &str) -> Result<(), String> {
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
            Row::Leg(port) => (None, self.handle.port(*port), self.handle.mtu(*port)),
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
            kind: match row {
                Row::Leg(_) => Some(LEG.to_owned()),
                _ => spec.map(|spec| kind(&spec.kind).to_owned()),
            },
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
    pub(super) fn add(&mut self, spec: &str) -> Result<Told, String> {
        let Topology { defaults, switch, .. } = &*self.topology;
        let words = Words {
            port: vec![spec.to_owned()],
            mtu: defaults.mtu.map(|mtu| mtu.to_string()),
            persist: defaults.persist,
            fdb_size: Some(switch.fdb.size.to_string()),
            ..Words::default()
        };
        let topology = Topology::resolve(&words, &[0]).map_err(|faults| lines(&faults))?;
        let ports = &self.beside(&topology.ports)?;
        self.plugs.forget_bridges(self.handle, &self.topology.legs);
        open::open_more(self.plugs, ports, switch.workers)
            .map_err(|failures| failures.join("\n"))?;
        match self.plugs.plug_in(self.handle) {
            Ok(changes) => {
                self.changes.extend(changes);
                Ok(Told { told: self.changes.iter().map(Change::to_string).collect() })
            }
            Err(error) => {
                for PortSpec { name, .. } in ports {
                    self.plugs.remove(name, self.handle);
                }
                Err(format!("the port was not plugged in: {}", netlab::reason(&error)))
            }
        }
    }

    pub(super) fn remove(&mut self, name: &str) -> Result<PortPage, String> {
        let statics = self.statics_of(name);
        self.remove_tun(name)?;
        if let Some(reports) = self.plugs.remove(name, self.handle) {
            for station in statics {
                self.handle.del_static(station);
            }
            self.news.push(Event::removed(name));
            let ports = reports.iter().map(|report| self.tell(&Row::Departed(report))).collect();
            return Ok(PortPage { ports, next: None });
        }
        self.check_no_leg(name)?;
        Err(match self.plug_of(name) {
            Some(plug) => format!(
                "`{name}` is a client of `{plug}` and leaves when it likes; `{plug}` can be deleted"
            ),
            None => self.unknown(name),
        })
    }

    /// The name of the plug of which this is a client.
    pub(super) fn plug_of(&self, name: &str) -> Option<&str> {
        let client = |(_, ports): &(&PortSpec, &[PortId])| {
            ports.iter().any(|port| self.handle.name(*port) == Some(name))
        };
        Some(&self.plugs.specs().find(client)?.0.name)
    }

    /// The ports in the switch that have this name, or belong to the plug of this name.
    pub(super) fn ports(&self, name: &str) -> Result<Vec<PortId>, String> {
        let rows = self.rows(Some(name), false)?;
        let ports = rows.iter().filter_map(|row| match row {
            Row::Port(_, port) | Row::Leg(port) => Some(*port),
            _ => None,
        });
        Ok(ports.collect())
    }

    pub(super) fn unknown(&self, name: &str) -> String {
        let names = self.plugs.specs().map(|(spec, _)| spec.name.as_str());
        let legs = self.router.ports().filter_map(|port| self.handle.name(port));
        let names = names.chain(legs);
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
    /// A port that a leg of the router is.
    Leg(PortId),
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
pub(super) fn kind(kind: &PortKind) -> &'static str {
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
        PortKind::Vhost(_) => "vhost-user",
        PortKind::Pcap(_) => "pcap",
        PortKind::Tun(_) => "tun",
    }
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

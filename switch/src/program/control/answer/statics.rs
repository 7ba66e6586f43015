//! `fdb.add` and `fdb.del`: what a person says about where a station is.

use std::collections::BTreeSet;

use uswitch::{
    bridge::VLAN_UNAWARE,
    frame::Mac,
    topology::{PortSpec, StaticEntry, no_such_port},
};

use super::{FdbPage, FdbRow, Steered};

/// What the state of a static entry is called, as iproute2 has it.
const STATIC: &str = "static";

impl Steered<'_> {
    /// Says that a station is behind a port, or behind one of that name when it comes.
    pub(super) fn add_static(&mut self, mac: &str, port: &str) -> Result<FdbPage, String> {
        let mac = StaticEntry::read_station(mac)?;
        let specs: Vec<_> = self.plugs.specs().map(|(spec, _)| spec).collect();
        if let Some(why) = no_such_port(port, specs.into_iter()) {
            return Err(why);
        }
        self.handle.add_static(mac, port).map_err(|why| why.to_string())?;
        self.find(&mac.to_string())
    }

    /// Forgets a station, learned or said; with a port, only if it is behind that.
    pub(super) fn del_station(&mut self, mac: &str, port: Option<&str>) -> Result<FdbPage, String> {
        let page = self.find(mac)?;
        if let Some(name) = port {
            let clients = self.ports(name)?;
            let is_there = |row: &FdbRow| {
                row.ifname == name
                    || clients.iter().any(|c| self.handle.name(*c) == Some(&row.ifname))
            };
            if let Some(row) = page.entries.iter().find(|row| !is_there(row)) {
                let FdbRow { mac, ifname, .. } = row;
                return Err(format!("{mac} is behind `{ifname}`, not behind `{name}`"));
            }
        }
        // It was found, so it can be read.
        let station: Mac = mac.parse().map_err(|error| format!("mac `{mac}`: {error}"))?;
        self.handle.del_static(station);
        // What was learned: while the port that was said is away, that is another entry.
        let fdb = self.handle.fdb();
        let bridges = self.handle.ports().filter_map(|(port, _)| self.handle.bridge_of(port));
        for bridge in bridges.collect::<BTreeSet<_>>() {
            fdb.forget(fdb.place(bridge.fid(), station));
        }
        Ok(page)
    }

    /// The static entries whose port is away: they are not in the table.
    pub(super) fn absent(&self) -> impl Iterator<Item = FdbRow> {
        let statics = self.handle.statics().filter(|(_, port)| self.handle.find(port).is_none());
        statics.map(|(mac, port)| FdbRow {
            mac: mac.to_string(),
            ifname: port.to_owned(),
            vlan: VLAN_UNAWARE,
            state: STATIC.to_owned(),
            updated: 0.0,
            absent: true,
        })
    }

    /// The stations that are said to be behind ports of this plug: they are forgotten with it.
    pub(super) fn statics_of(&self, plug: &str) -> Vec<Mac> {
        let spec = self.plugs.specs().map(|(spec, _)| spec).find(|spec| spec.name == plug);
        let of = |spec: &PortSpec| {
            let statics = self.handle.statics().filter(|(_, port)| spec.may_be_named(port));
            statics.map(|(mac, _)| mac).collect()
        };
        spec.map(of).unwrap_or_default()
    }
}

/// The state of an entry, by iproute2's word.
pub(super) fn state(is_static: bool) -> String {
    if is_static { STATIC.to_owned() } else { String::new() }
}

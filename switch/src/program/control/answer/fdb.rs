//! `fdb.show`, `fdb.get` and `fdb.flush`: where the stations are.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use uswitch::{bridge::VLAN_UNAWARE, fdb::Entry, frame::Mac};

use super::{PAGE_OCTETS, Steered, json, statics::state};

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

impl Steered<'_> {
    pub(super) fn fdb(&self, port: Option<&str>, from: usize) -> Result<FdbPage, String> {
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

    pub(super) fn find(&self, mac: &str) -> Result<FdbPage, String> {
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

    pub(super) fn flush(&self, port: Option<&str>) -> Result<Flushed, String> {
        let fdb = self.handle.fdb();
        let before = fdb.used();
        match port {
            None => fdb.flush(None),
            Some(name) => self.ports(name)?.into_iter().for_each(|port| fdb.flush(Some(port))),
        }
        // What was learned meanwhile may have made up for it.
        Ok(Flushed { flushed: before.saturating_sub(fdb.used()) })
    }

    pub(super) fn row(&self, entry: &Entry) -> FdbRow {
        FdbRow {
            mac: entry.mac.to_string(),
            ifname: self.handle.name(entry.port).unwrap_or("?").to_owned(),
            vlan: VLAN_UNAWARE,
            state: state(entry.is_static),
            updated: entry.age.as_secs_f64(),
            absent: false,
        }
    }
}

impl FdbRow {
    /// How long it has been silent.
    pub(crate) fn age(&self) -> Duration {
        Duration::try_from_secs_f64(self.updated).unwrap_or_default()
    }
}

fn is_zero(vlan: &u16) -> bool {
    *vlan == 0
}

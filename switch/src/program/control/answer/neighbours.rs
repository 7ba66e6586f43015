//! `neigh.show`, `neigh.add`, `neigh.del` and `neigh.flush`: who is on the router's links, with
//! the keys of `ip -j neigh`.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use uswitch::topology::{NeighbourSpec, StaticEntry, no_such_leg};

use super::{Flushed, PAGE_OCTETS, Steered, json};
use crate::program::run::router::Neighbour;

/// A neighbour of the router.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct NeighbourRow {
    pub(crate) dst: IpAddr,
    pub(crate) dev: String,
    /// Its link-layer address, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) lladdr: Option<String>,
    /// One, by iproute2's word.
    pub(crate) state: Vec<String>,
}

/// The answer to `neigh.show`, `neigh.add` and `neigh.del`.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(crate) struct NeighbourPage {
    pub(crate) neighbours: Vec<NeighbourRow>,
    /// The leg's number and the address of the next one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) next: Option<(usize, IpAddr)>,
}

impl Steered<'_> {
    /// The neighbours from this one on, on a leg or on all.
    pub(super) fn neighbours(
        &self,
        leg: Option<&str>,
        from: Option<(usize, IpAddr)>,
    ) -> Result<NeighbourPage, String> {
        let leg = self.choose(leg)?;
        let (mut page, mut octets) = (NeighbourPage::default(), 0);
        for known in self.router.neighbours() {
            let place = (known.leg, known.address);
            if from.is_some_and(|from| place < from) || leg.is_some_and(|leg| leg != known.leg) {
                continue;
            }
            if octets >= PAGE_OCTETS {
                page.next = Some(place);
                break;
            }
            let row = self.neighbour_row(known);
            octets += json(&row).map_or(0, |text| text.len());
            page.neighbours.push(row);
        }
        Ok(page)
    }

    /// Says where a neighbour is.
    pub(super) fn neigh_add(
        &mut self,
        address: &str,
        mac: &str,
        leg: &str,
    ) -> Result<NeighbourPage, String> {
        let (at, address) = (self.leg(leg)?, read(address)?);
        let said =
            NeighbourSpec { leg: leg.to_owned(), address, mac: StaticEntry::read_station(mac)? };
        let new = self.topology.with_neighbour(said.clone()).map_err(|why| super::lines(&why))?;
        self.router.add_neighbour(at, &said)?;
        *self.topology = new;
        let known = self.router.neighbours().into_iter();
        let known = known.filter(|known| (known.leg, known.address) == (at, address));
        let neighbours = known.map(|known| self.neighbour_row(known)).collect();
        Ok(NeighbourPage { neighbours, next: None })
    }

    /// Forgets a neighbour, learned or said; with a leg, only if it is there.
    pub(super) fn neigh_del(
        &mut self,
        address: &str,
        leg: Option<&str>,
    ) -> Result<NeighbourPage, String> {
        let (leg, address) = (self.choose(leg)?, read(address)?);
        let is_it =
            |known: &Neighbour| known.address == address && leg.is_none_or(|leg| leg == known.leg);
        let mut found: Vec<_> = self.router.neighbours().into_iter().filter(is_it).collect();
        if let [_, _, ..] = *found {
            return Err(format!("{address} is on several links: say `dev LEG` behind it"));
        }
        let Some(known) = found.pop() else {
            return Err(format!("{address} is not known; `uswitch neigh show` lists who is"));
        };
        let at = known.leg;
        let row = self.neighbour_row(known);
        self.router.remove_neighbour(at, address);
        let is_other = |said: &NeighbourSpec| (&said.leg, said.address) != (&row.dev, address);
        self.topology.neighbours.retain(is_other);
        Ok(NeighbourPage { neighbours: vec![row], next: None })
    }

    /// Forgets who was learned, on a leg or everywhere.
    pub(super) fn neigh_flush(&self, leg: Option<&str>) -> Result<Flushed, String> {
        Ok(Flushed { flushed: self.router.flush_neighbours(self.choose(leg)?) })
    }

    /// The number of the leg of this name, if one is named. There has to be a router.
    fn choose(&self, leg: Option<&str>) -> Result<Option<usize>, String> {
        if self.topology.legs.is_empty() {
            return Err(NO_ROUTER.to_owned());
        }
        leg.map(|name| self.leg(name)).transpose()
    }

    /// The number of the leg of this name.
    fn leg(&self, name: &str) -> Result<usize, String> {
        let legs = &self.topology.legs;
        if legs.is_empty() {
            return Err(NO_ROUTER.to_owned());
        }
        let at = legs.iter().position(|leg| leg.name == name);
        at.ok_or_else(|| no_such_leg(name, legs))
    }

    fn neighbour_row(&self, known: Neighbour) -> NeighbourRow {
        let leg = self.topology.legs.get(known.leg);
        NeighbourRow {
            dst: known.address,
            dev: leg.map_or("?", |leg| &leg.name).to_owned(),
            lladdr: known.to,
            state: vec![known.state.to_owned()],
        }
    }
}

fn read(address: &str) -> Result<IpAddr, String> {
    address.parse().map_err(|_| format!("`{}` is no address", address.escape_debug()))
}

/// What to say to who asks for something of a router that is not there.
pub(crate) const NO_ROUTER: &str = "this switch has no router: it was given no leg, as `--leg \
                                    br=10.0.0.1/24` or `[[leg]]` in a file gives it one";

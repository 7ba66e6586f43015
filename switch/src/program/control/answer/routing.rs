//! `route.show`, `route.get`, `route.add`, `route.del` and `leg.show`: what the router goes by,
//! with the keys of iproute2. Routes follow from the topology that runs.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use uswitch::topology::{
    Found, HopSpec, LEG_MTU_DEFAULT, LegSpec, PortKind, PortSpec, ReversePath, RouteChoice,
    RouteKind, RouteSpec, Topology,
};

use crate::program::{
    control::{Event, FlowSpec},
    run::router::Own,
};

use super::{PAGE_OCTETS, Steered, json, lines, neighbours::NO_ROUTER};

/// A route, by the keys of `ip -j route`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(crate) struct RouteRow {
    /// Left out: unicast.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub(crate) kind: Option<String>,
    /// A network, an address, or `default`.
    pub(crate) dst: String,
    /// Of the flow that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) from: Option<IpAddr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) gateway: Option<IpAddr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) dev: Option<String>,
    /// `kernel`, as iproute2 calls it: it is there because a leg is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) protocol: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) scope: Option<String>,
    /// The router's address on a link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) prefsrc: Option<IpAddr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) metric: Option<u32>,
    /// There are none that we know of.
    pub(crate) flags: Vec<String>,
    /// Several ways.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) nexthops: Vec<HopRow>,
}

/// One of several ways.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct HopRow {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) gateway: Option<IpAddr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) dev: Option<String>,
    pub(crate) weight: u16,
    pub(crate) flags: Vec<String>,
}

/// The answer to `route.show`, `route.get`, `route.add` and `route.del`.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(crate) struct RoutePage {
    pub(crate) routes: Vec<RouteRow>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) next: Option<usize>,
}

/// A leg, by the keys of `ip -j addr`.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct LegRow {
    pub(crate) ifname: String,
    pub(crate) mtu: u32,
    /// Its MAC address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) address: Option<String>,
    pub(crate) addr_info: Vec<AddressRow>,
    /// `loose` or `strict`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reverse_path: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) proxy: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) redirects: bool,
}

/// One address of a leg.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct AddressRow {
    /// `inet` or `inet6`.
    pub(crate) family: String,
    pub(crate) local: IpAddr,
    pub(crate) prefixlen: u8,
    /// Somebody might have it: it is not used yet (RFC 4862, section 5.4).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) tentative: bool,
    /// Somebody had it: it is not used.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) dadfailed: bool,
}

/// The answer to `leg.show`.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(crate) struct LegPage {
    pub(crate) legs: Vec<LegRow>,
}

impl Steered<'_> {
    /// The routes from the one with this number on; those of links come first.
    pub(super) fn routes(&self, from: usize) -> RoutePage {
        let (mut page, mut octets) = (RoutePage::default(), 0);
        for (index, row) in (from..).zip(rows(&*self.topology, from)) {
            if octets >= PAGE_OCTETS {
                page.next = Some(index);
                break;
            }
            octets += json(&row).map_or(0, |text| text.len());
            page.routes.push(row);
        }
        page
    }

    /// Where packets for an address go, or those of one flow.
    pub(super) fn route(&self, address: &str, flow: Option<FlowSpec>) -> Result<RoutePage, String> {
        let address: IpAddr =
            address.parse().map_err(|_| format!("`{}` is no address", address.escape_debug()))?;
        if let Some(FlowSpec { source, .. }) = flow
            && source.is_ipv4() != address.is_ipv4()
        {
            return Err(format!("{source} and {address} are of two versions of IP"));
        }
        let found = self.router.find(self.handle, &self.topology.legs, address, flow);
        let from = flow.map(|flow| flow.source);
        let row = RouteRow { from, ..found_row(address, found)? };
        Ok(RoutePage { routes: vec![row], next: None })
    }

    /// A route more.
    pub(super) fn add_route(&mut self, spec: &str) -> Result<RoutePage, String> {
        let route: RouteSpec = spec.parse().map_err(|faults| lines(&faults))?;
        if self.topology.legs.is_empty() {
            return Err(NO_ROUTER.to_owned());
        }
        let new = self.topology.with_route(route.clone()).map_err(|faults| lines(&faults))?;
        self.reroute(new, &route)
    }

    /// A route less.
    pub(super) fn del_route(&mut self, spec: &str) -> Result<RoutePage, String> {
        let choice: RouteChoice = spec.parse().map_err(|faults| lines(&faults))?;
        if self.topology.legs.is_empty() {
            return Err(NO_ROUTER.to_owned());
        }
        let (new, gone) = self.topology.without_route(&choice)?;
        self.reroute(new, &gone)
    }

    /// From now on it is this topology by which packets are routed. Tells the route that differs.
    fn reroute(&mut self, new: Topology, differs: &RouteSpec) -> Result<RoutePage, String> {
        let applied = self.router.apply(&new, self.plugs, self.handle);
        applied.map_err(|sentences| sentences.join("\n"))?;
        *self.topology = new;
        Ok(RoutePage { routes: vec![route_row(differs, &self.topology.legs)], next: None })
    }

    /// With a TUN its leg goes, and the ways by it, as ip(8) has it for a device.
    pub(super) fn remove_tun(&mut self, name: &str) -> Result<(), String> {
        let specs = self.plugs.specs().map(|(spec, _)| spec);
        let is_it = |spec: &&PortSpec| spec.name == name && matches!(spec.kind, PortKind::Tun(_));
        let Some(leg) = { specs }.find(is_it).map(|spec| spec.bridge.clone()) else {
            return Ok(());
        };
        if !self.topology.legs.iter().any(|other| other.name == leg) {
            return Ok(());
        }
        let (new, routes) = self.topology.without_leg(&leg);
        let applied = self.router.apply(&new, self.plugs, self.handle);
        applied.map_err(|sentences| sentences.join("\n"))?;
        *self.topology = new;
        let routes = match routes {
            0 => String::new(),
            1 => ", and 1 route".to_owned(),
            routes => format!(", and {routes} routes"),
        };
        self.news.push(Event::of_link("removed", &leg, &format!("gone with its TUN{routes}")));
        Ok(())
    }

    /// That this is no leg's port: those follow from the topology.
    pub(super) fn check_no_leg(&self, name: &str) -> Result<(), String> {
        if self.router.ports().all(|port| self.handle.name(port) != Some(name)) {
            return Ok(());
        }
        Err(format!(
            "`{name}` is a leg of the router, and no port that is deleted or set: `[[leg]]` in a \
             file says what it is, and `uswitch reload` does it"
        ))
    }

    /// The legs.
    pub(super) fn legs(&self) -> LegPage {
        let mut legs: Vec<_> = self.topology.legs.iter().map(leg_row).collect();
        let all = self.router.own();
        for (at, row) in legs.iter_mut().enumerate() {
            let own: Vec<_> = all.iter().filter(|own| own.leg == at).collect();
            if let [first, ..] = &*own {
                row.address = Some(first.mac.clone());
                row.addr_info = own.into_iter().map(own_row).collect();
            }
        }
        LegPage { legs }
    }
}

/// The routes from the one with this number on: links first, then those that were said. Those
/// before are not made: of a million routes there are thousands of pages.
fn rows(topology: &Topology, from: usize) -> impl Iterator<Item = RouteRow> {
    let near: usize = topology.legs.iter().map(|leg| leg.addresses.len()).sum();
    let said = topology.routes.get(from.saturating_sub(near)..).unwrap_or_default();
    let links = topology.legs.iter().flat_map(|leg| {
        leg.addresses.iter().map(|own| RouteRow {
            dst: format!("{}/{}", own.network(), own.prefix_len()),
            dev: Some(leg.name.clone()),
            protocol: Some("kernel".to_owned()),
            scope: own.address().is_ipv4().then(|| "link".to_owned()),
            prefsrc: Some(own.address()).filter(IpAddr::is_ipv4),
            ..RouteRow::default()
        })
    });
    let first = from.saturating_sub(near + topology.routes.len());
    let file = topology.route_file.iter().flat_map(move |file| file.iter(first));
    let said = said.iter().map(|route| route_row(route, &topology.legs));
    links.skip(from).chain(said).chain(file.map(|route| route_row(&route, &topology.legs)))
}

fn route_row(route: &RouteSpec, legs: &[LegSpec]) -> RouteRow {
    let RouteSpec { to, metric, kind } = route;
    let bits = if to.address().is_ipv4() { 32 } else { 128 };
    let row = RouteRow {
        kind: kind.word().map(str::to_owned),
        dst: match to.prefix_len() {
            0 => "default".to_owned(),
            len if len == bits => to.address().to_string(),
            _ => to.to_string(),
        },
        metric: Some(*metric).filter(|metric| *metric != 0),
        ..RouteRow::default()
    };
    let RouteKind::Unicast(hops) = kind else { return row };
    let dev = |hop: &HopSpec| hop.leg.clone().or_else(|| leg_of(hop.via?, legs));
    match &**hops {
        [hop] => RouteRow { gateway: hop.via, dev: dev(hop), ..row },
        hops => {
            let hops = hops.iter().map(|hop| HopRow {
                gateway: hop.via,
                dev: dev(hop),
                weight: hop.weight,
                flags: Vec::new(),
            });
            RouteRow { nexthops: hops.collect(), ..row }
        }
    }
}

/// The leg on whose link a gateway is.
fn leg_of(gateway: IpAddr, legs: &[LegSpec]) -> Option<String> {
    legs.iter().find(|leg| leg.is_on_link(gateway)).map(|leg| leg.name.clone())
}

/// What a lookup has found.
fn found_row(address: IpAddr, found: Found) -> Result<RouteRow, String> {
    let row = |kind: &str| RouteRow {
        kind: Some(kind.to_owned()),
        dst: address.to_string(),
        ..RouteRow::default()
    };
    Ok(match found {
        Found::None => return Err(format!("there is no route to {address}")),
        Found::Local => row("local"),
        Found::Broadcast(leg) => RouteRow { dev: Some(leg), ..row("broadcast") },
        Found::Ends(kind) => row(kind),
        Found::Hops(hops) => {
            let mut hops = hops.into_iter();
            let row = RouteRow { kind: None, ..row("") };
            match (hops.next(), hops.len()) {
                (Some((gateway, leg, _)), 0) => RouteRow { gateway, dev: Some(leg), ..row },
                (first, _) => {
                    let hop = |(gateway, leg, weight)| HopRow {
                        gateway,
                        dev: Some(leg),
                        weight,
                        flags: Vec::new(),
                    };
                    RouteRow { nexthops: first.into_iter().chain(hops).map(hop).collect(), ..row }
                }
            }
        }
    })
}

/// An address that the router really has.
fn own_row(own: &Own) -> AddressRow {
    AddressRow {
        family: family(own.address),
        local: own.address,
        prefixlen: own.prefix_len,
        tentative: own.tentative,
        dadfailed: own.duplicate,
    }
}

fn family(address: IpAddr) -> String {
    if address.is_ipv4() { "inet" } else { "inet6" }.to_owned()
}

/// A leg, as it was said.
fn leg_row(leg: &LegSpec) -> LegRow {
    let LegSpec { name, addresses, mtu, mac, reverse_path, proxy, redirects, .. } = leg;
    let addresses = addresses.iter().map(|own| AddressRow {
        family: family(own.address()),
        local: own.address(),
        prefixlen: own.prefix_len(),
        tentative: false,
        dadfailed: false,
    });
    LegRow {
        ifname: name.clone(),
        mtu: mtu.unwrap_or(LEG_MTU_DEFAULT),
        address: mac.map(|mac| mac.to_string()),
        addr_info: addresses.collect(),
        reverse_path: (*reverse_path != ReversePath::Off).then(|| reverse_path.to_string()),
        proxy: *proxy,
        redirects: *redirects,
    }
}

#[cfg(all(test, feature = "router"))]
mod tests {
    use serde_json::json;
    use uswitch::topology::Words;

    use super::*;

    fn topology() -> Topology {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let words = Words {
            ports: texts(&["a"]),
            leg: texts(&["br=10.0.0.1/24,fd00:1::1/64,proxy=on"]),
            tun: texts(&["tun0=10.9.0.1/24,mac=02:00:00:00:00:01,mtu=1400"]),
            route: texts(&[
                "default,metric=5,via=10.9.0.2",
                "10.8.0.0/16,via=10.0.0.2,weight=2,via=10.9.0.3",
                "192.0.2.0/24,blackhole",
                "default6,via=fe80::2,leg=br",
                "198.51.100.7,leg=tun0",
            ]),
            ..Words::default()
        };
        Topology::resolve(&words, &[0]).unwrap()
    }

    #[test]
    fn routes_have_the_keys_of_iproute2() {
        let rows: Vec<_> = rows(&topology(), 0).collect();
        let expected = json!([
            {"dst": "10.0.0.0/24", "dev": "br", "protocol": "kernel", "scope": "link",
             "prefsrc": "10.0.0.1", "flags": []},
            {"dst": "fd00:1::/64", "dev": "br", "protocol": "kernel", "flags": []},
            {"dst": "10.9.0.0/24", "dev": "tun0", "protocol": "kernel", "scope": "link",
             "prefsrc": "10.9.0.1", "flags": []},
            {"dst": "default", "gateway": "10.9.0.2", "dev": "tun0", "metric": 5, "flags": []},
            {"dst": "10.8.0.0/16", "flags": [], "nexthops": [
                {"gateway": "10.0.0.2", "dev": "br", "weight": 2, "flags": []},
                {"gateway": "10.9.0.3", "dev": "tun0", "weight": 1, "flags": []},
            ]},
            {"type": "blackhole", "dst": "192.0.2.0/24", "flags": []},
            {"dst": "default", "gateway": "fe80::2", "dev": "br", "flags": []},
            {"dst": "198.51.100.7", "dev": "tun0", "flags": []},
        ]);
        assert_eq!(serde_json::to_value(&rows).unwrap(), expected);
        for from in 0..=rows.len() + 1 {
            let rest: Vec<_> = super::rows(&topology(), from).collect();
            assert_eq!(rest, rows[from.min(rows.len())..], "from {from} on");
        }
    }

    #[test]
    fn where_an_address_is_reached_is_found() {
        let topology = topology();
        let get = |text: &str| {
            let address = text.parse().unwrap();
            let row = found_row(address, topology.lookup(address).unwrap());
            row.map_or_else(|why| json!(why), |row| serde_json::to_value(row).unwrap())
        };
        let cases = [
            ("10.0.0.7", json!({"dst": "10.0.0.7", "dev": "br", "flags": []})),
            ("10.0.0.1", json!({"type": "local", "dst": "10.0.0.1", "flags": []})),
            (
                "10.0.0.255",
                json!({"type": "broadcast", "dst": "10.0.0.255", "dev": "br", "flags": []}),
            ),
            ("192.0.2.9", json!({"type": "blackhole", "dst": "192.0.2.9", "flags": []})),
            (
                "203.0.113.1",
                json!({"dst": "203.0.113.1", "gateway": "10.9.0.2", "dev": "tun0", "flags": []}),
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(get(text), expected, "{text}");
        }
        let hops = &get("10.8.0.1")["nexthops"];
        assert_eq!((&hops[0]["weight"], &hops[1]["weight"]), (&2.into(), &1.into()));
        let none = found_row("fe80::1".parse().unwrap(), Found::None);
        assert_eq!(none.unwrap_err(), "there is no route to fe80::1");
    }

    #[test]
    fn legs_have_the_keys_of_iproute2() {
        let legs: Vec<_> = topology().legs.iter().map(leg_row).collect();
        let expected = json!([
            {"ifname": "br", "mtu": 1500, "proxy": true, "addr_info": [
                {"family": "inet", "local": "10.0.0.1", "prefixlen": 24},
                {"family": "inet6", "local": "fd00:1::1", "prefixlen": 64},
            ]},
            {"ifname": "tun0", "mtu": 1400, "address": "02:00:00:00:00:01", "addr_info": [
                {"family": "inet", "local": "10.9.0.1", "prefixlen": 24},
            ]},
        ]);
        assert_eq!(serde_json::to_value(&legs).unwrap(), expected);
    }
}

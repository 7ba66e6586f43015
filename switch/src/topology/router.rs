//! From words to the router's tables, and back from what is wrong with them to words: legs have
//! numbers there, and names here.

use std::{collections::HashMap, net::IpAddr};

use netlab::Prefix;
use uswitch_router::{
    limit::{Limit, Tick},
    prefix::{self, LegAddress},
    route::{
        Fault, Kind, LEG_ADDRESSES_MAX, LEGS_MAX, Leg, LegId, NEXT_HOPS_MAX, NextHop, ReversePath,
        Route,
    },
    tables::Target,
};

pub use uswitch_router::tables::Tables;

use super::{
    Found, LEG_MTU_DEFAULT, LegSpec, Part, PartOf, RouteFile, RouteKind, RouteSpec, RouterConfig,
    Topology, Wrong, legs::no_such_leg, routes::HopSpec, routing::Routes,
};

/// Faults between legs and routes that are told: a file may have millions.
const WRONG_MAX: usize = 10_000;

/// The tables of these legs and routes: a leg's number is its place in the list.
///
/// # Errors
///
/// All that is wrong between them.
pub fn tables(
    legs: &[LegSpec],
    routes: Routes<'_>,
    config: &RouterConfig,
) -> Result<Tables, Vec<Wrong>> {
    let ids = ids(legs);
    let mut wrong = Vec::new();
    // The numbers of those whose legs there are, and they themselves.
    let (mut numbers, mut known) = (Vec::new(), Vec::new());
    for (number, spec) in routes.said.iter().enumerate() {
        let names = spec.hops().iter().filter_map(|hop| hop.leg.as_deref());
        let unknown: Vec<_> =
            names.enumerate().filter(|(_, name)| !ids.contains_key(name)).collect();
        // What is left of it can be judged all the same.
        let route = route(spec, &ids);
        if unknown.is_empty() || !matches!(&route.kind, Kind::Unicast(hops) if hops.is_empty()) {
            numbers.push(number);
            known.push(route);
        }
        wrong.extend(unknown.into_iter().map(|(which, name)| Wrong {
            part: Part { of: PartOf::Route, number, option: "leg", which },
            other: None,
            sentence: no_such_leg(name, legs),
            of_leg: true,
        }));
    }
    if let Some(file) = routes.file {
        let ways = Ways::of(file, &ids);
        wrong.extend(ways.unknown(file, legs));
        let of_file = file
            .entries()
            .enumerate()
            .filter_map(|(number, entry)| Some((routes.said.len() + number, ways.route(entry)?)));
        let (more, routes): (Vec<_>, Vec<_>) = of_file.unzip();
        numbers.extend(more);
        known.extend(routes);
    }
    let built = Tables::build(legs.iter().map(|spec| leg(spec, config)).collect(), &known);
    let faults = match built {
        Ok(tables) if wrong.is_empty() => return Ok(tables),
        Ok(_) => Vec::new(),
        Err(faults) => faults,
    };
    let teller = Teller { legs, routes, numbers };
    let is_told = |fault: &&Fault| {
        match fault {
        // An address of two is on the links of both.
        Fault::Overlap(a, _, b, _) => !faults.iter().any(|other| {
            matches!(other, Fault::AddressTwice(c, _, d) if [c, d] == [a, b] || [d, c] == [a, b])
        }),
        _ => true,
    }
    };
    let told = faults.iter().filter(is_told).take(WRONG_MAX);
    wrong.extend(told.map(|fault| teller.tell(fault)));
    if let (more @ 1.., Some(last)) = (faults.len().saturating_sub(WRONG_MAX), wrong.last_mut()) {
        last.sentence += &format!(" (and {more} faults more between legs and routes)");
    }
    Err(wrong)
}

/// A leg's own addresses, each with its link.
pub fn addresses(spec: &LegSpec) -> Vec<LegAddress> {
    let own = |own: &Prefix| LegAddress { address: own.address(), prefix: net(*own) };
    spec.addresses.iter().map(own).collect()
}

/// What these tables, in which these legs have their numbers, say of an address.
pub fn lookup(tables: &Tables, legs: &[LegSpec], address: IpAddr) -> Found {
    let name = |id: LegId| legs[id.index()].name.clone();
    match tables.lookup(address) {
        Target::None => Found::None,
        Target::Local => Found::Local,
        Target::Broadcast(leg) => Found::Broadcast(name(*leg)),
        Target::Blackhole => Found::Ends("blackhole"),
        Target::Unreachable => Found::Ends("unreachable"),
        Target::Prohibit => Found::Ends("prohibit"),
        Target::Hops(hops) => {
            let hops = hops.weighted().map(|(via, weight)| (via.gateway, name(via.leg), weight));
            Found::Hops(hops.collect())
        }
    }
}

impl Topology {
    /// The legs and routes in the router's own terms, for whoever gives them to one that runs: a
    /// leg's number is its place.
    pub fn legs_and_routes(&self) -> (Vec<Leg>, Vec<Route>) {
        let ids = ids(&self.legs);
        let legs = self.legs.iter().map(|spec| leg(spec, &self.router));
        let mut routes: Vec<_> = self.routes.iter().map(|spec| route(spec, &ids)).collect();
        if let Some(file) = &self.route_file {
            let ways = Ways::of(file, &ids);
            routes.extend(file.entries().filter_map(|entry| ways.route(entry)));
        }
        (legs.collect(), routes)
    }
}

fn ids(legs: &[LegSpec]) -> HashMap<&str, LegId> {
    legs.iter().zip(0..).map(|(leg, id)| (leg.name.as_str(), LegId(id))).collect()
}

/// What the router knows of a leg.
fn leg(spec: &LegSpec, config: &RouterConfig) -> Leg {
    let mtu = spec.mtu.unwrap_or(LEG_MTU_DEFAULT) as usize;
    let mut leg = Leg::new(addresses(spec), mtu);
    leg.reverse_path = match spec.reverse_path {
        super::ReversePath::Off => ReversePath::Off,
        super::ReversePath::Loose => ReversePath::Loose,
        super::ReversePath::Strict => ReversePath::Strict,
    };
    leg.redirects = spec.redirects;
    let RouterConfig { icmp_rate, icmp_burst } = *config;
    let per_tick = (u64::from(icmp_rate) * Tick::MILLIS).div_ceil(1000) as u32;
    leg.errors = Limit { per_tick, burst: if icmp_rate == 0 { 0 } else { icmp_burst } };
    leg
}

/// What becomes of packets, in the router's own terms, of each kind in a file of routes.
struct Ways {
    kinds: Vec<Kind>,
    /// The names of legs that there are not, each with the first kind that has it.
    unknown: Vec<(usize, String)>,
}

impl Ways {
    fn of(file: &RouteFile, ids: &HashMap<&str, LegId>) -> Ways {
        let kinds = file.kinds().iter().map(|said| kind(said, ids)).collect();
        let mut unknown: Vec<(usize, String)> = Vec::new();
        for (number, said) in file.kinds().iter().enumerate() {
            let RouteKind::Unicast(hops) = said else { continue };
            let names = hops.iter().filter_map(|hop| hop.leg.as_deref());
            for name in names.filter(|name| !ids.contains_key(name)) {
                if !unknown.iter().any(|(_, other)| other == name) {
                    unknown.push((number, name.to_owned()));
                }
            }
        }
        Ways { kinds, unknown }
    }

    /// A route. `None`: by no leg that there is.
    fn route(&self, (to, metric, kind): (netlab::Prefix, u32, usize)) -> Option<Route> {
        let kind = &self.kinds[kind];
        if matches!(kind, Kind::Unicast(hops) if hops.is_empty()) {
            return None;
        }
        Some(Route { prefix: net(to), metric, kind: kind.clone() })
    }

    /// Says so of each leg that there is not, where it is first named.
    fn unknown(&self, file: &RouteFile, legs: &[LegSpec]) -> Vec<Wrong> {
        let wrong = |(kind, name): &(usize, String)| {
            let number = file.entries().position(|(.., other)| other == *kind)?;
            let named = file.hops(number).iter().filter_map(|hop| hop.leg.as_ref());
            let which = { named }.position(|other| other == name)?;
            Some(Wrong {
                part: Part { of: PartOf::RouteFile, number, option: "leg", which },
                other: None,
                sentence: no_such_leg(name, legs),
                of_leg: true,
            })
        };
        self.unknown.iter().filter_map(wrong).collect()
    }
}

/// What the router knows of a route, without next hops by legs that there are not.
fn route(spec: &RouteSpec, ids: &HashMap<&str, LegId>) -> Route {
    Route { prefix: net(spec.to), metric: spec.metric, kind: kind(&spec.kind, ids) }
}

fn kind(said: &RouteKind, ids: &HashMap<&str, LegId>) -> Kind {
    let hop = |HopSpec { via, leg, weight }: &HopSpec| {
        let leg = leg.as_deref().map(|name| ids.get(name).copied().ok_or(())).transpose().ok()?;
        Some(NextHop { gateway: *via, leg, weight: *weight })
    };
    match said {
        RouteKind::Unicast(hops) => Kind::Unicast(hops.iter().filter_map(hop).collect()),
        RouteKind::Blackhole => Kind::Blackhole,
        RouteKind::Unreachable => Kind::Unreachable,
        RouteKind::Prohibit => Kind::Prohibit,
    }
}

fn net(prefix: Prefix) -> prefix::Prefix {
    let net = prefix::Prefix::of(prefix.address(), prefix.prefix_len());
    net.expect("it is no longer than its address")
}

/// Tells what is wrong by the names of legs.
struct Teller<'a> {
    legs: &'a [LegSpec],
    routes: Routes<'a>,
    /// Of the routes that the tables were made of.
    numbers: Vec<usize>,
}

impl Teller<'_> {
    fn tell(&self, fault: &Fault) -> Wrong {
        match fault {
            Fault::Legs => {
                let sentence = format!(
                    "{} legs are too many: a router has {LEGS_MAX} at the most",
                    self.legs.len()
                );
                self.leg(LegId(LEGS_MAX as u16), "bridge", 0, sentence)
            }
            Fault::Routes => {
                let most = uswitch_router::fib::NETS_MAX;
                let sentence = format!(
                    "the routes are too many: {most} networks of one version \
                                        are known at the most"
                );
                self.route(0, "to", sentence)
            }
            Fault::LegAddresses(id) => {
                let sentence =
                    format!("leg `{}` has more than {LEG_ADDRESSES_MAX} addresses", self.name(*id));
                self.leg(*id, "address", LEG_ADDRESSES_MAX, sentence)
            }
            Fault::Unusable(id, own) => {
                let name = self.name(*id);
                let sentence =
                    format!("leg `{name}` cannot have {own}: no host may have that address");
                let which = self.which(*id, |other| other.to_string() == own.to_string());
                self.leg(*id, "address", which, sentence)
            }
            Fault::AddressTwice(id, address, other) => {
                let (later, first) = (id.max(other), id.min(other));
                let sentence = format!(
                    "leg `{}` has {address}, and so has leg `{}`: give one of them another",
                    self.name(*later),
                    self.name(*first)
                );
                let at = |id| self.which(id, |own| own.address() == *address);
                self.two_legs((*later, at(*later)), (*first, at(*first)), sentence)
            }
            Fault::Overlap(one, on, two, other) => {
                let (mut later, mut first) = ((*two, *other), (*one, *on));
                if later.0 < first.0 {
                    (later, first) = (first, later);
                }
                let sentence = format!(
                    "leg `{}` is on {}, and leg `{}` on {}: who has an address of both could be \
                     on either link",
                    self.name(later.0),
                    later.1,
                    self.name(first.0),
                    first.1
                );
                let at = |(id, on): (LegId, _)| (id, self.which(id, |own| net(own) == on));
                self.two_legs(at(later), at(first), sentence)
            }
            Fault::Mtu(id, mtu) => {
                let (least, version) = match *mtu < uswitch_router::route::MTU_MIN {
                    true => (uswitch_router::route::MTU_MIN, 4),
                    false => (uswitch_router::route::MTU_MIN_V6, 6),
                };
                let name = self.name(*id);
                let sentence =
                    format!("leg `{name}`: mtu {mtu} is too small, IPv{version} needs {least}");
                self.leg(*id, "mtu", 0, sentence)
            }
            of_route => self.tell_route(of_route),
        }
    }

    fn tell_route(&self, fault: &Fault) -> Wrong {
        let gateway = |number: &usize, gateway, sentence: String| {
            let hops = self.hops(self.numbers[*number]).iter();
            let mut gateways = hops.filter_map(|hop| hop.via);
            let which = gateways.position(|via| via == gateway).unwrap_or_default();
            let wrong = self.route(*number, "via", sentence);
            Wrong { part: Part { which, ..wrong.part }, ..wrong }
        };
        match fault {
            Fault::Twice(a, b, prefix) => {
                let (later, first) = (a.max(b), a.min(b));
                let sentence = format!(
                    "there are two routes to {prefix} with one metric: make it one with two next \
                     hops, or give one of them another metric"
                );
                let other = Some(self.route(*first, "to", String::new()).part);
                Wrong { other, ..self.route(*later, "to", sentence) }
            }
            Fault::NextHops(number, prefix) => {
                let sentence =
                    format!("the route to {prefix} has more than {NEXT_HOPS_MAX} next hops");
                self.route(*number, "to", sentence)
            }
            Fault::Gateway(number, prefix, address) => {
                let link_local = uswitch_router::tables::is_link_local(*address);
                let sentence = match link_local && address.is_ipv6() {
                    true => format!(
                        "the gateway {address} of the route to {prefix} can be on any link: say \
                         leg=NAME behind it"
                    ),
                    false => format!(
                        "the gateway {address} of the route to {prefix} is on no link of the \
                         router, or not on that of the leg that is named"
                    ),
                };
                Wrong { of_leg: true, ..gateway(number, *address, sentence) }
            }
            Fault::OwnGateway(number, prefix, address) => {
                let sentence =
                    format!("the gateway {address} of the route to {prefix} is this router itself");
                gateway(number, *address, sentence)
            }
            Fault::Version(number, prefix, address) => {
                let sentence = format!(
                    "the gateway {address} of the route to {prefix} is of another version of IP"
                );
                gateway(number, *address, sentence)
            }
            Fault::Destination(number, _) => self.route(*number, "to", fault.to_string()),
            // What was read has gateways, legs that there are, and weights.
            other => self.route(0, "to", other.to_string()),
        }
    }

    fn name(&self, id: LegId) -> &str {
        &self.legs[id.index()].name
    }

    /// Which of a leg's addresses it is.
    fn which(&self, id: LegId, is: impl Fn(Prefix) -> bool) -> usize {
        let addresses = &self.legs[id.index()].addresses;
        addresses.iter().position(|own| is(*own)).unwrap_or_default()
    }

    fn leg(&self, id: LegId, option: &'static str, which: usize, sentence: String) -> Wrong {
        let part = Part { of: PartOf::Leg, number: id.index(), option, which };
        Wrong { part, other: None, sentence, of_leg: false }
    }

    fn two_legs(&self, later: (LegId, usize), first: (LegId, usize), sentence: String) -> Wrong {
        let other = self.leg(first.0, "address", first.1, String::new()).part;
        Wrong { other: Some(other), ..self.leg(later.0, "address", later.1, sentence) }
    }

    /// The ways of the route with this number.
    fn hops(&self, number: usize) -> &[HopSpec] {
        match (self.routes.said.get(number), self.routes.file) {
            (Some(spec), _) => spec.hops(),
            (None, Some(file)) => file.hops(number - self.routes.said.len()),
            (None, None) => &[],
        }
    }

    fn route(&self, number: usize, option: &'static str, sentence: String) -> Wrong {
        let number = self.numbers.get(number).copied().unwrap_or_default();
        let (of, number) = match number.checked_sub(self.routes.said.len()) {
            Some(number) => (PartOf::RouteFile, number),
            None => (PartOf::Route, number),
        };
        let part = Part { of, number, option, which: 0 };
        Wrong { part, other: None, sentence, of_leg: false }
    }
}

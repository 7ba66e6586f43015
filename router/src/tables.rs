//! The tables of a router: all that it looks up in, made of legs and routes, never changed.
//!
//! One lookup of a destination says all: beside the routes, the table has each leg's link, the
//! router's own addresses and the links' broadcast addresses, as longer prefixes. Link-local
//! addresses are the exception: the same may be on every leg, so a leg's own are looked at apart.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use crate::{
    fib::{Fib, Leaf, NETS_MAX},
    limit::Bucket,
    prefix::{LegAddress, Net, Prefix},
    route::{
        Fault, Kind, LEG_ADDRESSES_MAX, LEGS_MAX, Leg, LegId, MTU_MIN, MTU_MIN_V6, NEXT_HOPS_MAX,
        NextHop, Route,
    },
};

/// What a lookup gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// No route.
    None,
    /// The router itself.
    Local,
    /// All on the link of this leg.
    Broadcast(LegId),
    /// By one of these.
    Hops(Hops),
    /// Ends without a word.
    Blackhole,
    /// Ends, the sender is told.
    Unreachable,
    /// Ends, the sender is told.
    Prohibit,
}

/// By which leg, and to whom there: `None` is the destination itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Via {
    /// The leg.
    pub leg: LegId,
    /// The router there.
    pub gateway: Option<IpAddr>,
}

/// Next hops of equal cost, each with its part of all hashes (hash-threshold, RFC 2992): a hop
/// that goes or comes moves few flows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hops {
    /// The highest hash of each part, in order; that of the last is the highest of all.
    parts: Box<[(u32, Via)]>,
    /// What was said of each.
    weights: Box<[u16]>,
}

impl Hops {
    fn new(hops: &[(Via, u16)]) -> Hops {
        let total: u64 = hops.iter().map(|(_, weight)| u64::from(*weight)).sum();
        let mut sum = 0;
        let parts = hops.iter().map(|(via, weight)| {
            sum += u64::from(*weight);
            ((((sum << 32) / total.max(1)) - 1) as u32, *via)
        });
        let parts = parts.collect();
        Hops { parts, weights: hops.iter().map(|(_, weight)| *weight).collect() }
    }

    /// That for a flow with this hash.
    #[inline]
    pub fn choose(&self, hash: u32) -> Via {
        let [first, rest @ ..] = &*self.parts else { unreachable!("no next hop was refused") };
        let mut chosen = first;
        for part in rest {
            chosen = if hash > chosen.0 { part } else { chosen };
        }
        chosen.1
    }

    /// The one, if there is only one.
    #[inline]
    pub fn only(&self) -> Option<Via> {
        if let [(_, via)] = *self.parts { Some(via) } else { None }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = Via> {
        self.parts.iter().map(|(_, via)| *via)
    }

    /// All of them, each with its weight.
    pub fn weighted(&self) -> impl Iterator<Item = (Via, u16)> {
        self.iter().zip(self.weights.iter().copied())
    }
}

/// The tables.
pub struct Tables {
    fib: Fib,
    targets: Vec<Target>,
    legs: Vec<Leg>,
    own_v4: Vec<Ipv4Addr>,
    own_v6: Vec<Ipv6Addr>,
    /// By leg.
    errors: Vec<Bucket>,
}

impl Tables {
    /// Makes tables.
    ///
    /// # Errors
    ///
    /// All that is wrong with the legs and routes.
    pub fn build(legs: Vec<Leg>, routes: &[Route]) -> Result<Tables, Vec<Fault>> {
        let mut faults = leg_faults(&legs);
        if faults.contains(&Fault::Legs) {
            // They cannot even be numbered.
            return Err(faults);
        }
        let mut new = Building::default();
        let (best, others) = best(routes, &mut faults);
        for index in best {
            let route = &routes[index];
            match new.kinds.get(&(route.prefix.is_v4(), &route.kind)) {
                Some(leaf) => new.put(route.prefix, *leaf),
                None => match target(&legs, index, route) {
                    Ok(target) => {
                        let leaf = new.target(target);
                        new.kinds.insert((route.prefix.is_v4(), &route.kind), leaf);
                        new.put(route.prefix, leaf);
                    }
                    Err(more) => faults.extend(more),
                },
            }
            faults.extend(destination_fault(index, route));
        }
        // They may count one day, when those before them are gone.
        for index in others {
            let route = &routes[index];
            if !new.kinds.contains_key(&(route.prefix.is_v4(), &route.kind)) {
                faults.extend(target(&legs, index, route).err().into_iter().flatten());
            }
        }
        // Behind the routes, so that they count: a link and what is ours come first.
        new.links(&legs);
        if new.v4.len().max(new.v6.len()) > NETS_MAX {
            faults.push(Fault::Routes);
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        let own = || legs.iter().flat_map(|leg| &leg.addresses).map(|own| own.address);
        let mut own_v4: Vec<_> = own().filter_map(v4).collect();
        let mut own_v6: Vec<_> = own().filter_map(v6).collect();
        own_v4.sort_unstable();
        own_v6.sort_unstable();
        let fib = Fib::build(new.v4, new.v6);
        let errors = legs.iter().map(|leg| Bucket::new(leg.errors)).collect();
        Ok(Tables { fib, targets: new.targets, legs, own_v4, own_v6, errors })
    }

    /// The table of prefixes.
    #[inline]
    pub fn fib(&self) -> &Fib {
        &self.fib
    }

    /// What a leaf stands for.
    #[inline]
    pub fn target(&self, leaf: Leaf) -> &Target {
        &self.targets[leaf.index()]
    }

    /// The target of an address.
    pub fn lookup(&self, address: IpAddr) -> &Target {
        self.target(self.fib.lookup(address))
    }

    /// The leg of this number.
    ///
    /// # Panics
    ///
    /// If there is none: a caller names only legs that he gave.
    #[inline]
    pub fn leg(&self, leg: LegId) -> &Leg {
        &self.legs[leg.index()]
    }

    /// All legs, in the order of their numbers.
    pub fn legs(&self) -> &[Leg] {
        &self.legs
    }

    /// What is left of the errors that packets may cause which come by this leg. It is the one
    /// thing here that changes, for all who have these tables.
    ///
    /// # Panics
    ///
    /// As [`Tables::leg`].
    pub fn errors(&self, leg: LegId) -> &Bucket {
        &self.errors[leg.index()]
    }

    /// Whether it is the router's own.
    #[inline]
    pub fn is_own_v4(&self, address: Ipv4Addr) -> bool {
        self.own_v4.binary_search(&address).is_ok()
    }

    /// The same of IPv6.
    #[inline]
    pub fn is_own_v6(&self, address: Ipv6Addr) -> bool {
        self.own_v6.binary_search(&address).is_ok()
    }
}

/// Whether an address is good on one link only (RFC 3927; RFC 4291, section 2.5.6).
pub fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

fn v4(address: IpAddr) -> Option<Ipv4Addr> {
    if let IpAddr::V4(address) = address { Some(address) } else { None }
}

fn v6(address: IpAddr) -> Option<Ipv6Addr> {
    if let IpAddr::V6(address) = address { Some(address) } else { None }
}

/// Tables as they grow.
struct Building<'a> {
    v4: Vec<(Net<u32>, Leaf)>,
    v6: Vec<(Net<u128>, Leaf)>,
    targets: Vec<Target>,
    /// The leaf of each kind of route: most of a million are alike.
    kinds: HashMap<(bool, &'a Kind), Leaf>,
}

impl Default for Building<'_> {
    fn default() -> Self {
        // The first is that of `Leaf::NONE`.
        let targets = vec![Target::None];
        Building { v4: Vec::new(), v6: Vec::new(), targets, kinds: HashMap::new() }
    }
}

impl Building<'_> {
    fn target(&mut self, target: Target) -> Leaf {
        self.targets.push(target);
        Leaf::new(self.targets.len() - 1)
    }

    fn put(&mut self, prefix: Prefix, leaf: Leaf) {
        match prefix {
            Prefix::V4(net) => self.v4.push((net, leaf)),
            Prefix::V6(net) => self.v6.push((net, leaf)),
        }
    }

    /// The links, then the broadcast addresses on them, then what is ours.
    fn links(&mut self, legs: &[Leg]) {
        let local = self.target(Target::Local);
        let ids = (0..legs.len()).map(|index| LegId(index as u16));
        let pairs = ids.zip(legs).flat_map(|(id, leg)| leg.addresses.iter().map(move |a| (id, a)));
        let pairs = pairs.filter(|(_, own)| !own.address.is_ipv6() || !is_link_local(own.address));
        let pairs: Vec<(LegId, &LegAddress)> = pairs.collect();
        for (leg, own) in &pairs {
            let leaf =
                self.target(Target::Hops(Hops::new(&[(Via { leg: *leg, gateway: None }, 1)])));
            self.put(own.prefix, leaf);
        }
        for (leg, own) in &pairs {
            match own.prefix {
                // RFC 3021: a link of two has no broadcast. Elsewhere it is all ones, and of old
                // all zeros (RFC 1812, section 5.3.5).
                Prefix::V4(net) if net.length() <= 30 => {
                    let leaf = self.target(Target::Broadcast(*leg));
                    self.v4.push((Net::of(net.first(), 32), leaf));
                    self.v4.push((Net::of(net.last(), 32), leaf));
                }
                // All routers of the subnet (RFC 4291, section 2.6.1), but RFC 6164, section 5.1.
                Prefix::V6(net) if net.length() <= 126 => {
                    self.v6.push((Net::of(net.first(), 128), local));
                }
                _ => {}
            }
        }
        for (_, own) in &pairs {
            self.put(Prefix::host(own.address), local);
        }
    }
}

/// The indexes of those routes that count, of each prefix the one with the lowest metric, and of
/// the others.
fn best(routes: &[Route], faults: &mut Vec<Fault>) -> (Vec<usize>, Vec<usize>) {
    // What is compared stands together: a million routes lie far apart.
    let keys = routes.iter().enumerate().map(|(index, route)| (route.prefix, route.metric, index));
    let mut keys: Vec<(Prefix, u32, usize)> = keys.collect();
    keys.sort_unstable();
    for pair in keys.windows(2) {
        let ((prefix, metric, a), (other, other_metric, b)) = (pair[0], pair[1]);
        if (prefix, metric) == (other, other_metric) {
            faults.push(Fault::Twice(a, b, prefix));
        }
    }
    let mut others = Vec::new();
    keys.dedup_by(|(prefix, _, index), (kept, ..)| {
        let other = prefix == kept;
        others.extend(other.then_some(*index));
        other
    });
    (keys.into_iter().map(|(.., index)| index).collect(), others)
}

/// What a route stands for.
fn target(legs: &[Leg], index: usize, route: &Route) -> Result<Target, Vec<Fault>> {
    let hops = match &route.kind {
        Kind::Unicast(hops) => hops,
        Kind::Blackhole => return Ok(Target::Blackhole),
        Kind::Unreachable => return Ok(Target::Unreachable),
        Kind::Prohibit => return Ok(Target::Prohibit),
    };
    if hops.is_empty() || hops.len() > NEXT_HOPS_MAX {
        return Err(vec![Fault::NextHops(index, route.prefix)]);
    }
    let mut faults = Vec::new();
    let mut found = Vec::with_capacity(hops.len());
    for hop in hops {
        match via(legs, index, route.prefix, hop) {
            Ok(via) => found.push((via, hop.weight)),
            Err(fault) => faults.push(fault),
        }
        if hop.weight == 0 {
            faults.push(Fault::Weight(index, route.prefix));
        }
    }
    if faults.is_empty() { Ok(Target::Hops(Hops::new(&found))) } else { Err(faults) }
}

/// By which leg a next hop is reached.
fn via(legs: &[Leg], index: usize, prefix: Prefix, hop: &NextHop) -> Result<Via, Fault> {
    if let Some(leg) = hop.leg.filter(|leg| leg.index() >= legs.len()) {
        return Err(Fault::NoLeg(index, prefix, leg));
    }
    let Some(gateway) = hop.gateway else {
        let leg = hop.leg.ok_or(Fault::Nowhere(index, prefix))?;
        return Ok(Via { leg, gateway: None });
    };
    if gateway.is_ipv4() != prefix.is_v4() {
        return Err(Fault::Version(index, prefix, gateway));
    }
    let reaches = |leg: &Leg| {
        leg.addresses.iter().any(|own| own.prefix.contains(gateway) && own.address != gateway)
    };
    let own = |leg: &Leg| leg.addresses.iter().any(|own| own.address == gateway);
    if gateway.is_ipv6() && is_link_local(gateway) {
        // On every link: the leg must be named.
        let leg = hop.leg.ok_or(Fault::Gateway(index, prefix, gateway))?;
        if own(&legs[leg.index()]) {
            return Err(Fault::OwnGateway(index, prefix, gateway));
        }
        return Ok(Via { leg, gateway: Some(gateway) });
    }
    if legs.iter().any(own) {
        return Err(Fault::OwnGateway(index, prefix, gateway));
    }
    let mut numbered = legs.iter().enumerate().map(|(index, leg)| (LegId(index as u16), leg));
    let there = |leg: LegId| hop.leg.is_none_or(|named| named == leg);
    let found = numbered.find(|(id, leg)| there(*id) && reaches(leg)).map(|(id, _)| id);
    let leg = found.ok_or(Fault::Gateway(index, prefix, gateway))?;
    Ok(Via { leg, gateway: Some(gateway) })
}

/// Prefixes that lie in what is never forwarded.
fn destination_fault(index: usize, route: &Route) -> Option<Fault> {
    let first = route.prefix.address();
    let never = match route.prefix {
        Prefix::V4(net) => {
            let inner = |text: [u8; 4], len| Net::of(u32::from_be_bytes(text), len).covers(net);
            inner([224, 0, 0, 0], 4) || inner([127, 0, 0, 0], 8) || inner([169, 254, 0, 0], 16)
        }
        Prefix::V6(net) => {
            let inner = |top: u128, len| Net::of(top << 112, len).covers(net);
            inner(0xff00, 8) || inner(0xfe80, 10) || (net.length() == 128 && first.is_loopback())
        }
    };
    never.then_some(Fault::Destination(index, route.prefix))
}

fn leg_faults(legs: &[Leg]) -> Vec<Fault> {
    let mut faults = Vec::new();
    if legs.len() > LEGS_MAX {
        return vec![Fault::Legs];
    }
    let ids = (0..legs.len()).map(|index| LegId(index as u16));
    let mut seen: Vec<(LegId, &LegAddress)> = Vec::new();
    let mut owners: HashMap<IpAddr, LegId> = HashMap::new();
    for (id, leg) in ids.zip(legs) {
        if leg.addresses.len() > LEG_ADDRESSES_MAX {
            faults.push(Fault::LegAddresses(id));
            continue;
        }
        let speaks_v6 = leg.addresses.iter().any(|own| own.address.is_ipv6());
        if leg.mtu < if speaks_v6 { MTU_MIN_V6 } else { MTU_MIN } {
            faults.push(Fault::Mtu(id, leg.mtu));
        }
        for own in &leg.addresses {
            if !is_usable(own) {
                faults.push(Fault::Unusable(id, *own));
            }
            // Each link has its own link-local addresses.
            if is_link_local(own.address) {
                continue;
            }
            if let Some(other) = owners.insert(own.address, id) {
                faults.push(Fault::AddressTwice(id, own.address, other));
            }
            seen.push((id, own));
        }
    }
    seen.sort_by_key(|(_, own)| own.prefix);
    // In order each stands behind those that contain it: the last that is not yet over is enough.
    let mut outer: Option<(LegId, Prefix)> = None;
    for (id, own) in seen {
        match outer {
            Some((other, prefix)) if prefix.overlaps(own.prefix) => {
                if other != id {
                    faults.push(Fault::Overlap(other, prefix, id, own.prefix));
                }
            }
            _ => outer = Some((id, own.prefix)),
        }
    }
    faults
}

/// Whether a host may have this address on this link.
fn is_usable(own: &LegAddress) -> bool {
    match (own.address, own.prefix) {
        (IpAddr::V4(address), Prefix::V4(net)) => {
            let ends = net.length() <= 30
                && (address.to_bits() == net.first() || address.to_bits() == net.last());
            let first = address.octets()[0];
            !(ends || first == 0 || first == 127 || first >= 224)
        }
        (IpAddr::V6(address), _) => {
            !(address.is_unspecified() || address.is_loopback() || address.is_multicast())
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leg(addresses: &[&str]) -> Leg {
        Leg::new(addresses.iter().map(|text| text.parse().unwrap()).collect(), 1500)
    }

    fn legs() -> Vec<Leg> {
        vec![
            leg(&["10.0.0.1/24", "fd00:1::1/64", "fe80::1/64"]),
            leg(&["10.9.0.1/30", "fe80::1/64"]),
        ]
    }

    fn route(prefix: &str, metric: u32, gateway: &str) -> Route {
        Route { metric, ..Route::via(prefix.parse().unwrap(), gateway.parse().unwrap()) }
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn via(tables: &Tables, address: &str) -> (u16, Option<IpAddr>) {
        match tables.lookup(ip(address)) {
            Target::Hops(hops) => {
                let Via { leg, gateway } = hops.choose(0);
                (leg.0, gateway)
            }
            other => panic!("{address} is {other:?}"),
        }
    }

    fn faults(legs: Vec<Leg>, routes: &[Route]) -> Vec<Fault> {
        Tables::build(legs, routes).err().unwrap_or_default()
    }

    #[test]
    fn one_lookup_tells_links_own_addresses_and_broadcasts_apart() {
        let tables = Tables::build(legs(), &[route("0.0.0.0/0", 0, "10.9.0.2")]).unwrap();
        assert_eq!(via(&tables, "10.0.0.7"), (0, None));
        assert_eq!(via(&tables, "192.0.2.1"), (1, Some(ip("10.9.0.2"))));
        assert_eq!(via(&tables, "fd00:1::7"), (0, None));
        let is =
            |address: &str, target| assert_eq!(*tables.lookup(ip(address)), target, "{address}");
        is("10.0.0.1", Target::Local);
        is("10.0.0.255", Target::Broadcast(LegId(0)));
        is("10.0.0.0", Target::Broadcast(LegId(0)));
        is("10.9.0.3", Target::Broadcast(LegId(1)));
        is("fd00:1::1", Target::Local);
        is("fd00:1::", Target::Local);
        is("fd00:2::", Target::None);
        is("fe80::1", Target::None);
    }

    #[test]
    fn lowest_metric_wins_and_a_link_wins_against_any() {
        let routes = [
            route("192.0.2.0/24", 20, "10.0.0.9"),
            route("192.0.2.0/24", 10, "10.9.0.2"),
            route("10.0.0.0/24", 0, "10.9.0.2"),
        ];
        let tables = Tables::build(legs(), &routes).unwrap();
        assert_eq!(via(&tables, "192.0.2.1"), (1, Some(ip("10.9.0.2"))));
        assert_eq!(via(&tables, "10.0.0.7"), (0, None));
    }

    #[test]
    fn link_local_gateway_needs_its_leg() {
        let mut wanted = route("::/0", 0, "fe80::2");
        assert!(matches!(faults(legs(), &[wanted.clone()])[..], [Fault::Gateway(0, ..)]));
        let Kind::Unicast(hops) = &mut wanted.kind else { unreachable!() };
        hops[0].leg = Some(LegId(1));
        let tables = Tables::build(legs(), &[wanted]).unwrap();
        assert_eq!(via(&tables, "2001:db8::1"), (1, Some(ip("fe80::2"))));
    }

    #[test]
    fn all_faults_of_routes_are_told_at_once() {
        let hop = |weight, leg| NextHop { gateway: None, leg, weight };
        let unicast = |hops| Route { kind: Kind::Unicast(hops), ..route("10.3.0.0/16", 0, "::") };
        let routes = [
            route("10.1.0.0/16", 0, "172.16.0.1"),
            route("10.2.0.0/16", 0, "10.0.0.2"),
            route("10.2.0.0/16", 0, "10.0.0.3"),
            route("10.4.0.0/16", 0, "10.0.0.1"),
            route("10.5.0.0/16", 0, "fd00:1::2"),
            Route { metric: 1, ..unicast(vec![]) },
            Route { prefix: "10.6.0.0/16".parse().unwrap(), ..unicast(vec![hop(1, None)]) },
            Route {
                prefix: "10.7.0.0/16".parse().unwrap(),
                ..unicast(vec![hop(1, Some(LegId(9)))])
            },
            Route {
                prefix: "10.8.0.0/16".parse().unwrap(),
                ..unicast(vec![hop(0, Some(LegId(0)))])
            },
            route("224.1.0.0/16", 0, "10.0.0.2"),
        ];
        let found = faults(legs(), &routes);
        let texts: Vec<_> = found.iter().map(ToString::to_string).collect();
        let parts = [
            "172.16.0.1 of the route to 10.1.0.0/16 is not on the link",
            "two routes to 10.2.0.0/16",
            "10.0.0.1 of the route to 10.4.0.0/16 is this router",
            "fd00:1::2 of the route to 10.5.0.0/16 is of another version",
            "the route to 10.3.0.0/16 needs 1 to 64",
            "the route to 10.6.0.0/16 leads nowhere",
            "names leg 9",
            "10.8.0.0/16 has weight 0",
            "224.1.0.0/16 cannot be routed",
        ];
        for part in parts {
            assert!(texts.iter().any(|text| text.contains(part)), "{part}: {texts:#?}");
        }
        assert_eq!(texts.len(), parts.len());
    }

    #[test]
    fn routes_are_judged_beside_legs_that_are_wrong_and_behind_routes_that_count() {
        let legs = vec![leg(&["10.0.0.1/24"]), leg(&["10.0.0.2/24"])];
        let routes = [
            route("192.0.2.0/24", 10, "10.0.0.9"),
            route("192.0.2.0/24", 20, "172.16.0.1"),
            route("198.51.100.0/24", 0, "fd00::1"),
        ];
        let found = faults(legs, &routes);
        assert!(matches!(found[0], Fault::Overlap(..)), "{found:?}");
        assert!(matches!(found[1], Fault::Version(2, ..)), "{found:?}");
        assert!(matches!(found[2], Fault::Gateway(1, ..)), "{found:?}");
        assert_eq!(found.len(), 3, "{found:?}");
    }

    #[test]
    fn legs_must_not_overlap_nor_share_an_address() {
        let overlap = [leg(&["10.0.0.1/8"]), leg(&["10.1.0.1/16"]), leg(&["10.2.0.1/16"])];
        assert!(matches!(
            faults(overlap.to_vec(), &[])[..],
            [Fault::Overlap(..), Fault::Overlap(..)]
        ));
        let twice = [leg(&["10.0.0.1/24"]), leg(&["10.0.0.1/24"])];
        let found = faults(twice.to_vec(), &[]);
        assert!(
            found.contains(&Fault::AddressTwice(LegId(1), ip("10.0.0.1"), LegId(0))),
            "{found:?}"
        );
        // Two on one leg are two on one link.
        assert_eq!(faults(vec![leg(&["10.0.0.1/24", "10.0.0.2/24"])], &[]), []);
    }

    #[test]
    fn address_that_no_host_has_and_mtu_that_is_too_small_are_refused() {
        for text in ["10.0.0.0/24", "10.0.0.255/24", "127.0.0.1/8", "224.0.0.1/8", "::1/128"] {
            assert!(matches!(faults(vec![leg(&[text])], &[])[..], [Fault::Unusable(..)]), "{text}");
        }
        assert_eq!(faults(vec![leg(&["10.0.0.0/31", "10.1.0.1/32"])], &[]), []);
        let mut small = leg(&["fd00::1/64"]);
        small.mtu = 1279;
        assert_eq!(faults(vec![small], &[]), [Fault::Mtu(LegId(0), 1279)]);
    }

    #[test]
    fn link_of_two_has_two_hosts_and_no_broadcast() {
        let tables = Tables::build(vec![leg(&["10.0.0.0/31", "fd00::/127"])], &[]).unwrap();
        assert_eq!(*tables.lookup(ip("10.0.0.0")), Target::Local);
        assert_eq!(via(&tables, "10.0.0.1"), (0, None));
        assert_eq!(via(&tables, "fd00::1"), (0, None));
    }

    #[test]
    fn flows_are_shared_by_weight() {
        let via = |leg| Via { leg: LegId(leg), gateway: None };
        let hops = Hops::new(&[(via(0), 1), (via(1), 2), (via(2), 1)]);
        let step = 1 << 22;
        let mut counts = [0; 3];
        for hash in (0..=u32::MAX).step_by(step) {
            counts[hops.choose(hash).leg.index()] += 1;
        }
        assert_eq!(counts, [256, 512, 256]);
        assert_eq!(hops.choose(u32::MAX), via(2));
        let one = Hops::new(&[(via(7), 9)]);
        assert_eq!([one.choose(0), one.choose(u32::MAX)], [via(7); 2]);
    }

    #[test]
    fn routes_that_are_alike_share_a_target() {
        let routes: Vec<_> =
            (0..100).map(|i| route(&format!("10.{}.0.0/16", i + 20), 0, "10.0.0.2")).collect();
        let tables = Tables::build(legs(), &routes).unwrap();
        assert!(tables.targets.len() < 10, "{}", tables.targets.len());
    }
}
